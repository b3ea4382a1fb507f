/* base/panic.c - one line into the page shared with the master, then abort. */
#include "lib/base/panic.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *page;		/* borrowed: mapped for the process's life */

/* Append s to buf at *at; the last byte of the page stays NUL. */
static void
put(char *buf, size_t *at, const char *s)
{
	while (*s != '\0' && *at < PANIC_PAGE_BYTES - 2)
		buf[(*at)++] = *s++;
}

static void
put_number(char *buf, size_t *at, unsigned n)
{
	char digits[12];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	put(buf, at, digits + i);
}

static void
write_line(const char *file, int line, const char *func, const char *what)
{
	static char fallback[PANIC_PAGE_BYTES];
	char *buf = page != NULL ? page : fallback;
	size_t at = 0;
	ssize_t n;

	put(buf, &at, "panic at ");
	put(buf, &at, file);
	put(buf, &at, ":");
	put_number(buf, &at, (unsigned)line);
	put(buf, &at, " in ");
	put(buf, &at, func);
	put(buf, &at, ": ");
	put(buf, &at, what);
	buf[at] = '\0';
	if (page == NULL) {
		buf[at++] = '\n';
		n = write(STDERR_FILENO, buf, at);
		(void)n;	/* nobody is left to tell */
	}
}

void
panic_at(const char *file, int line, const char *func, const char *what)
{
	write_line(file, line, func, what);
	abort();
}

static void
on_fault(int sig)
{
	const char *name = "signal";

	switch (sig) {
	case SIGSEGV:
		name = "SIGSEGV";
		break;
	case SIGBUS:
		name = "SIGBUS (a mapped file was cut short?)";
		break;
	case SIGILL:
		name = "SIGILL";
		break;
	case SIGFPE:
		name = "SIGFPE";
		break;
	}
	write_line("signal", 0, "handler", name);
	signal(sig, SIG_DFL);
	raise(sig);
}

void
panic_init(int fd)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction sa;
	void *p;

	if (fd >= 0) {
		p = mmap(NULL, PANIC_PAGE_BYTES, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
		if (p != MAP_FAILED)
			page = p;
		close(fd);
	}
#if !defined(__SANITIZE_ADDRESS__)	/* the sanitizer reports these better */
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_fault;
	sa.sa_flags = SA_RESETHAND | SA_NODEFER;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigaction(faults[i], &sa, NULL);
#else
	(void)sa;
	(void)faults;
	(void)on_fault;
#endif
}
