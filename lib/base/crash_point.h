/*
 * base/crash_point.h - places where a test kills this process, or finds its
 * disk full.
 * Context:   any process, any thread.  Of builds with --enable-crash-points
 *            alone: in all others both are nothing.
 *
 * RELAY_CRASH_POINT is the path of a file that the test arms whenever it likes
 * and every process maps at its start: a name, NUL-padded to 60 bytes, and how
 * many passings are left, 32 bits in the machine's order.  The passing that
 * counts to 0 is the one; so a process that was started again lives.
 */
#ifndef RELAY_BASE_CRASH_POINT_H
#define RELAY_BASE_CRASH_POINT_H

#include <stdbool.h>

#ifdef RELAY_CRASH_POINTS

/* For lists of variables that are passed on to children. */
#define CRASH_POINT_VARIABLE	"RELAY_CRASH_POINT",

/* Armed: SIGKILL to ourselves. */
void crash_point(const char *name);

/* Armed: true, and errno is ENOSPC, as if the next system call had failed. */
bool crash_point_full(const char *name);

#else

#define CRASH_POINT_VARIABLE

static inline void
crash_point(const char *name)
{
	(void)name;
}

static inline bool
crash_point_full(const char *name)
{
	(void)name;
	return (false);
}

#endif
#endif
