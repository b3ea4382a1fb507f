/* http/content_encoder.c - drive a library's encoder, see content_coding.h. */
#include <stdlib.h>

#include "lib/base/object.h"
#include "lib/http/coding_private.h"

struct http_encoder {
	unsigned		magic;
#define HTTP_ENCODER_MAGIC	0x59b0d2e6
	const struct coding_encode_ops *ops;	/* NULL: identity */
	void			*state;		/* owned: the library's */
	struct coding_memory	memory;
	bool			ended;
};

static const struct coding_encode_ops *
find_ops(enum http_coding coding)
{
	switch (coding) {
	case HTTP_CODING_IDENTITY:
		break;
	case HTTP_CODING_GZIP:
	case HTTP_CODING_DEFLATE:
		return (coding_zlib_encode());
	case HTTP_CODING_BR:
		return (coding_brotli_encode());
	case HTTP_CODING_ZSTD:
		return (coding_zstd_encode());
	}
	return (NULL);
}

struct http_encoder *
http_encoder_new(enum http_coding coding)
{
	struct http_encoder *e = xcalloc(1, sizeof(*e));

	e->magic = HTTP_ENCODER_MAGIC;
	e->ops = find_ops(coding);
	if (e->ops != NULL && (e->state = e->ops->new(coding, &e->memory)) == NULL)
		http_encoder_free(&e);
	return (e);
}

void
http_encoder_free(struct http_encoder **ep)
{
	struct http_encoder *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	obj_check(e, HTTP_ENCODER_MAGIC);
	if (e->state != NULL)
		e->ops->free(e->state);
	ensure(e->memory.held == 0);
	e->magic = 0;
	free(e);
}

size_t
http_encoder_held(const struct http_encoder *e)
{
	obj_check(e, HTTP_ENCODER_MAGIC);
	return (sizeof(*e) + e->memory.held);
}

static enum rc
encode(struct http_encoder *e, struct span in, bool last, struct buffer *out)
{
	struct coding_io io = { .in_len = in.len,
	    .in = in.len != 0 ? (const uint8_t *)in.p : (const uint8_t *)"" };
	enum coding_step what = CODING_OUTPUT;
	char *p;
	enum rc rc;

	while (what == CODING_OUTPUT || (what == CODING_INPUT && io.in_len != 0)) {
		if ((rc = buffer_reserve(out, CODING_ROOM_BYTES, &p)) != RC_OK)
			return (rc);
		io.out = (uint8_t *)p;
		io.out_len = CODING_ROOM_BYTES;
		what = e->ops->step(e->state, &io, last);
		coding_wipe_rest(out, &io);
		buffer_commit(out, CODING_ROOM_BYTES - io.out_len);
		if (what == CODING_NOMEM)
			return (RC_NOMEM);
		ensure(what != CODING_BROKEN && what != CODING_LIMIT);
	}
	return (RC_OK);
}

enum rc
http_encoder_feed(struct http_encoder *e, struct span in, bool last,
    struct buffer *out)
{
	enum rc rc;

	obj_check(e, HTTP_ENCODER_MAGIC);
	ensure(!e->ended);
	e->ended = last;
	if (e->ops == NULL)
		rc = buffer_append(out, in.p, in.len);
	else if (in.len == 0 && !last)
		rc = RC_OK;
	else
		rc = encode(e, in, last, out);
	if (rc != RC_OK) {
		e->ended = true;
		return (rc);
	}
	return (last ? RC_OK : RC_MORE);
}
