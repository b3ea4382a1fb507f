/*
 * base/result.h - the one result type: what happened, never what was in it.
 * Context:   pure; any process.
 *
 * Their fault or the world's (bad bytes, a peer gone, a limit) is a value of
 * this enum and must be looked at.  Our own bugs are ensure(), see object.h.
 */
#ifndef RELAY_BASE_RESULT_H
#define RELAY_BASE_RESULT_H

#define must_check	__attribute__((__warn_unused_result__))

enum rc {
	RC_OK = 0,
	RC_MORE,		/* fine so far: feed or read more */
	RC_EOF,			/* the peer ended in an orderly way */
	RC_SYNTAX,		/* bytes that break their grammar */
	RC_LIMIT,		/* a named limit was exceeded */
	RC_NOMEM,		/* a peer-sized allocation failed */
	RC_NOTFOUND,
	RC_EXISTS,
	RC_CONFLICT,		/* compare-and-set lost */
	RC_AGAIN,		/* would block, or busy: try later */
	RC_IO,			/* the system or a peer failed */
	RC_TIMEOUT,
	RC_DENIED,		/* not allowed, or authentication failed */
	RC_UNAVAILABLE,		/* the part we need is not there now */
	RC_UNSUPPORTED,		/* known, but not in this version */
	RC_CANCELLED,
	RC_CORRUPT		/* stored bytes fail their checksum */
};

/* A short lower-case name for logs, e.g. "timeout".  Never NULL. */
const char *rc_name(enum rc);

#endif
