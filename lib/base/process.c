/* base/process.c - getrusage, and one file of /proc kept open. */
#include "lib/base/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static int statm = -1;			/* owned for the process's life */

void
process_watch(void)
{
	if (statm < 0)
		statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

/* The second number of statm: resident pages. */
static uint64_t
resident_bytes(void)
{
	char text[128], *end;
	ssize_t n = statm < 0 ? -1 : pread(statm, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return (0);
	text[n] = '\0';
	(void)strtoull(text, &end, 10);
	return (strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE));
}

static uint64_t
to_ms(const struct timeval *t)
{
	return ((uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000);
}

void
process_use(struct process_use *out)
{
	struct rusage use;

	*out = (struct process_use){ 0, resident_bytes() };
	if (getrusage(RUSAGE_SELF, &use) != 0)
		return;
	out->cpu_ms = to_ms(&use.ru_utime) + to_ms(&use.ru_stime);
	if (out->memory_bytes == 0)
		out->memory_bytes = (uint64_t)use.ru_maxrss * 1024;
}
