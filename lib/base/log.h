/*
 * base/log.h - one line per fact: `level role pid event key=value ...`.
 * Context:   any process, any thread; a line is one write() to stderr or to
 *            the log file; never blocks longer than that.
 *
 * Values of requests, keys, tokens and header values never come here: field
 * paths, counts, sizes, ids and reasons do.  error = someone must act, warn =
 * degraded, info = life of processes and config, debug = one connection.
 */
#ifndef RELAY_BASE_LOG_H
#define RELAY_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* `role` is borrowed for ever (a literal).  Until log_open, lines go to
 * stderr. */
void log_init(const char *role, enum log_level);
void log_set_level(enum log_level);
enum log_level log_get_level(void);

/* "error" | "warn" | "info" | "debug" -> true and *out. */
bool log_level_parse(const char *name, enum log_level *out);

/* Write to this descriptor from now on (owned by log from here; the old one
 * is closed unless it is stderr). */
void log_to_fd(int fd);

void log_error(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));
void log_warn(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));
void log_info(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));
void log_debug(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));

/* Main-time code only: log an error and exit with `code` (1 failed, 2 usage
 * or bad input, 3 exists). */
void fatal(int code, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3), __noreturn__, __cold__));

/*
 * For facts a peer can cause at will: true at most `per_s` times a second.
 * The next line let through says how many were not (`suppressed=N`), so
 * nothing vanishes silently.
 */
struct log_rate {
	long		second;
	unsigned	count;
	unsigned	suppressed;
};
bool log_rate_ok(struct log_rate *, unsigned per_s, unsigned *suppressed);

#endif
