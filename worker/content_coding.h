/*
 * worker/content_coding.h - Content-Encoding of bodies that have work: what of
 * it can be undone, undo it, do it again.  The codings themselves are
 * lib/http/content_coding.h's.
 * Context:   the loop's thread; pure.  A body is decoded in one go: what the
 *            decoder needs besides (20 MiB at most) is held by one at a time.
 */
#ifndef RELAY_WORKER_CONTENT_CODING_H
#define RELAY_WORKER_CONTENT_CODING_H

#include "lib/http/content_coding.h"
#include "lib/http/message_head.h"
#include "worker/error_answer.h"

/* RC_OK: *out, identity when the head names none; RC_UNSUPPORTED: an unknown
 * coding, or several. */
enum rc content_coding_judge(const struct http_head *, enum http_coding *out)
    must_check;

/*
 * The whole body, replaced by what it decodes to; it is sensitive as before.
 * A body of no bytes is that in any coding.
 * RC_OK, RC_SYNTAX (broken, cut), RC_LIMIT (over max_bytes, or swells too
 * much), RC_NOMEM.  But for RC_OK the body stays as it was.
 */
enum rc content_coding_undo(enum http_coding, struct buffer *body,
    uint64_t max_bytes) must_check;
/* The refusal of a request for what undo returned, *why a literal. */
enum error_code content_coding_error(enum rc, const char **why);

/* The other way: RC_OK, or RC_NOMEM with the body as it was. */
enum rc content_coding_redo(enum http_coding, struct buffer *body) must_check;

/* The field line "Content-Encoding: ..."; nothing for identity. */
void content_coding_write(enum http_coding, struct buffer *out);

/*
 * The field line Accept-Encoding for a destination whose answer may have work:
 * what this request's client takes and we can undo, so that an answer which
 * goes on as it came is one for the client; else identity.
 */
void content_coding_write_accept(const struct http_head *, struct buffer *out);

#endif
