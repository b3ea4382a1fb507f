/* worker/body_reader.c - one switch on the framing. */
#include "worker/body_reader.h"

#include <string.h>

#include "lib/base/object.h"

void
body_reader_init(struct body_reader *r, const struct http_framing *f,
    const struct http_limits *limits)
{
	memset(r, 0, sizeof(*r));
	r->kind = f->kind;
	r->left = f->kind == HTTP_BODY_LENGTH ? f->length : 0;
	r->limits = *limits;
	r->done = f->kind == HTTP_BODY_NONE ||
	    (f->kind == HTTP_BODY_LENGTH && f->length == 0);
	/* How much of a body we take is its reader's policy, not the decoder's. */
	http_chunked_init(&r->chunked, UINT64_MAX);
	http_head_init(&r->trailers);
}

void
body_reader_fini(struct body_reader *r)
{
	http_head_fini(&r->trailers);
}

static enum rc
next_length(struct body_reader *r, const struct buffer *in, struct span *piece,
    size_t *used)
{
	size_t n = buffer_len(in);

	if (n > r->left)
		n = (size_t)r->left;
	*piece = (struct span){ buffer_data(in), n };
	*used = n;
	r->left -= n;
	r->done = r->left == 0;
	return (RC_MORE);
}

static enum rc
next_trailers(struct body_reader *r, const struct buffer *in, size_t *used)
{
	enum rc rc;

	rc = http_head_trailers(&r->trailers, buffer_data(in), buffer_len(in),
	    &r->limits);
	if (rc == RC_OK) {
		*used = r->trailers.bytes;
		r->done = true;
	}
	if (rc == RC_SYNTAX && r->trailers.fault == HTTP_FAULT_HEAD_LONG)
		return (RC_LIMIT);
	return (rc);
}

static enum rc
next_chunked(struct body_reader *r, const struct buffer *in, struct span *piece,
    size_t *used)
{
	enum rc rc;

	if (r->in_trailers)
		return (next_trailers(r, in, used));
	rc = http_chunked_feed(&r->chunked, buffer_data(in), buffer_len(in), used,
	    &piece->p, &piece->len);
	if (rc == RC_OK) {
		r->in_trailers = true;	/* seen on the next call */
		return (RC_MORE);
	}
	return (rc);
}

enum rc
body_reader_next(struct body_reader *r, const struct buffer *in,
    struct span *piece, size_t *used)
{
	enum rc rc = RC_MORE;

	*piece = (struct span){ NULL, 0 };
	*used = 0;
	if (r->done)
		return (RC_OK);
	if (buffer_len(in) == 0)
		return (RC_MORE);
	switch (r->kind) {
	case HTTP_BODY_NONE:
		return (RC_OK);
	case HTTP_BODY_LENGTH:
		rc = next_length(r, in, piece, used);
		break;
	case HTTP_BODY_CHUNKED:
		rc = next_chunked(r, in, piece, used);
		break;
	case HTTP_BODY_UNTIL_CLOSE:
		*piece = (struct span){ buffer_data(in), buffer_len(in) };
		*used = piece->len;
		break;
	}
	r->total += piece->len;
	return (rc);
}

void
body_reader_took(struct body_reader *r, size_t n)
{
	ensure(r->kind == HTTP_BODY_LENGTH && n <= r->left);
	r->left -= n;
	r->total += n;
	r->done = r->left == 0;
}

enum rc
body_reader_eof(struct body_reader *r)
{
	if (r->kind == HTTP_BODY_UNTIL_CLOSE)
		r->done = true;
	return (r->done ? RC_OK : RC_SYNTAX);
}
