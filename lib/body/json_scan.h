/*
 * body/json_scan.h - the tokens of a JSON document with their spans, whole or
 * in pieces: what json.c and json_walk.c share, so that both are strict alike.
 * Context:   pure; no I/O.
 * Ownership: the reader embeds the scan and outlives it; windows are views
 *            during json_scan_feed only.
 */
#ifndef RELAY_BODY_JSON_SCAN_H
#define RELAY_BODY_JSON_SCAN_H

#include <stdalign.h>

#include "lib/body/json.h"

/*
 * What the scan tells its reader; offsets are the document's.  Anything but
 * RC_OK ends the scan with this result; give the reason by json_scan_fail.
 * The document holds at least [start, end) of the current token's bytes.
 */
struct json_scan_events {
	/* null, boolean, number, string: escaped when it holds a backslash */
	enum rc (*on_scalar)(void *reader, enum body_json_type, size_t start,
	    size_t end, bool escaped);
	enum rc (*on_key)(void *reader, size_t start, size_t end, bool escaped);
	enum rc (*on_open)(void *reader, enum body_json_type, size_t start);
	enum rc (*on_close)(void *reader, size_t end);
};

/* yajl's own small blocks: 450 bytes with their headers.  What does not fit
 * goes to the heap. */
#define JSON_SCAN_ARENA	640

struct json_scan {
	const struct json_scan_events *events;
	void		*reader;	/* borrowed: embeds us */
	void		*yajl;		/* owned */
	const char	*window;	/* view; its first byte is `base` */
	size_t		base;
	size_t		end;		/* of what was shown */
	size_t		fed;		/* yajl has what is before */
	size_t		pos;		/* end of the previous token; between
					   calls also behind the gap that
					   follows it */
	size_t		checked;	/* UTF-8 up to here */
	size_t		seen;		/* an unfinished token was searched for
					   its end up to here */
	bool		backslash;	/* and the byte before is half an escape */
	bool		done;		/* the root value is complete */
	uint32_t	depth;		/* open containers */
	enum rc		rc;		/* of an event */
	const char	*reason;	/* of a failure; literal */
	size_t		arena_used;
	alignas(max_align_t) unsigned char arena[JSON_SCAN_ARENA];
};

/* The scan is zeroed. */
void json_scan_init(struct json_scan *, const struct json_scan_events *,
    void *reader);
void json_scan_fini(struct json_scan *);

/*
 * Go on with window.p[0..window.len), the bytes from offset `base` on, which
 * is scan->pos of the last call or before; final: the document is whole.
 * RC_OK, RC_SYNTAX, RC_LIMIT (depth), or what an event returned; on failure
 * scan->reason and scan->pos tell what and where.
 */
enum rc json_scan_feed(struct json_scan *, struct span window, size_t base,
    bool final) must_check;

/* The byte at a document's offset. */
static inline const char *
json_scan_at(const struct json_scan *scan, size_t offset)
{
	return (scan->window + (offset - scan->base));
}

static inline enum rc
json_scan_fail(struct json_scan *scan, enum rc rc, const char *reason)
{
	scan->reason = reason;
	return (rc);
}

#endif
