/* base/log.c - formats one line and writes it with one write(). */
#include "lib/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES	2048		/* a longer line is cut, with a mark */

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const char *log_role = "relay";
static enum log_level log_max = LOG_INFO;
static int log_fd = STDERR_FILENO;

void
log_init(const char *role, enum log_level level)
{
	log_role = role;
	log_max = level;
}

void
log_set_level(enum log_level level)
{
	log_max = level;
}

enum log_level
log_get_level(void)
{
	return (log_max);
}

bool
log_level_parse(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < 4; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return (true);
		}
	}
	return (false);
}

void
log_to_fd(int fd)
{
	if (log_fd != STDERR_FILENO && log_fd != fd)
		close(log_fd);
	log_fd = fd;
}

/* Control bytes would let a peer's text forge a second line. */
static void
clean(char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			s[i] = '?';
}

static void __attribute__((__format__(__printf__, 2, 0)))
log_line(enum log_level level, const char *fmt, va_list ap)
{
	char line[LINE_BYTES];
	struct timespec now;
	struct tm tm;
	size_t at;
	ssize_t n;
	int want;

	if (level > log_max)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	at = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	at += (size_t)snprintf(line + at, sizeof(line) - at,
	    ".%03ldZ %s %s %ld ", now.tv_nsec / 1000000, level_names[level],
	    log_role, (long)getpid());
	want = vsnprintf(line + at, sizeof(line) - at, fmt, ap);
	if (want < 0)
		return;
	if ((size_t)want >= sizeof(line) - at - 1) {
		memcpy(line + sizeof(line) - 6, "...", 3);
		want = (int)(sizeof(line) - 3 - at);
	}
	clean(line + at, (size_t)want);
	line[at + (size_t)want] = '\n';
	do {
		n = write(log_fd, line, at + (size_t)want + 1);
	} while (n < 0 && errno == EINTR);
}

#define LOG_FUNC(name, level)						\
void									\
name(const char *fmt, ...)						\
{									\
	va_list ap;							\
									\
	va_start(ap, fmt);						\
	log_line(level, fmt, ap);					\
	va_end(ap);							\
}

LOG_FUNC(log_error, LOG_ERROR)
LOG_FUNC(log_warn, LOG_WARN)
LOG_FUNC(log_info, LOG_INFO)
LOG_FUNC(log_debug, LOG_DEBUG)

void
fatal(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(LOG_ERROR, fmt, ap);
	va_end(ap);
	exit(code);
}

bool
log_rate_ok(struct log_rate *r, unsigned per_s, unsigned *suppressed)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec != r->second) {
		r->second = now.tv_sec;
		r->count = 0;
	}
	if (r->count >= per_s) {
		r->suppressed++;
		return (false);
	}
	r->count++;
	*suppressed = r->suppressed;
	r->suppressed = 0;
	return (true);
}
