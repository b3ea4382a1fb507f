/*
 * http/content_decoder.c - drive a library's decoder: room in small steps,
 * limits after each, members one after the other, nothing behind the last.
 */
#include <stdlib.h>

#include "lib/base/object.h"
#include "lib/http/coding_private.h"

struct http_decoder {
	unsigned		magic;
#define HTTP_DECODER_MAGIC	0x3e8a17c5
	const struct coding_decode_ops *ops;	/* NULL: identity */
	void			*state;		/* owned: the library's */
	struct coding_memory	memory;
	uint64_t		in_bytes, out_bytes;
	uint64_t		max_bytes;
	unsigned		max_ratio;
	bool			at_end;		/* a member is complete */
	enum rc			rc;		/* RC_MORE until it is over */
};

static const struct coding_decode_ops *
find_ops(enum http_coding coding)
{
	switch (coding) {
	case HTTP_CODING_IDENTITY:
		break;
	case HTTP_CODING_GZIP:
	case HTTP_CODING_DEFLATE:
		return (coding_zlib_decode(coding));
	case HTTP_CODING_BR:
		return (coding_brotli_decode());
	case HTTP_CODING_ZSTD:
		return (coding_zstd_decode());
	}
	return (NULL);
}

struct http_decoder *
http_decoder_new(enum http_coding coding, uint64_t max_bytes, unsigned max_ratio)
{
	struct http_decoder *d = xcalloc(1, sizeof(*d));

	ensure(max_ratio != 0);
	d->magic = HTTP_DECODER_MAGIC;
	d->max_bytes = max_bytes;
	d->max_ratio = max_ratio;
	d->rc = RC_MORE;
	d->ops = find_ops(coding);
	if (d->ops != NULL && (d->state = d->ops->new(coding, &d->memory)) == NULL)
		http_decoder_free(&d);
	return (d);
}

void
http_decoder_free(struct http_decoder **dp)
{
	struct http_decoder *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	obj_check(d, HTTP_DECODER_MAGIC);
	if (d->state != NULL)
		d->ops->free(d->state);
	ensure(d->memory.held == 0);
	d->magic = 0;
	free(d);
}

size_t
http_decoder_held(const struct http_decoder *d)
{
	obj_check(d, HTTP_DECODER_MAGIC);
	return (sizeof(*d) + d->memory.held);
}

static bool
over_ratio(const struct http_decoder *d)
{
	return (d->out_bytes > HTTP_DECODER_FREE_BYTES &&
	    (d->out_bytes - HTTP_DECODER_FREE_BYTES) / d->max_ratio >= d->in_bytes);
}

/* One more than may be decoded is asked for, and not taken. */
static size_t
room_bytes(const struct http_decoder *d)
{
	uint64_t left = d->max_bytes - d->out_bytes;

	return (left < CODING_ROOM_BYTES ? (size_t)left + 1 : CODING_ROOM_BYTES);
}

static enum rc
step_result(enum coding_step step)
{
	switch (step) {
	case CODING_INPUT:
	case CODING_OUTPUT:
	case CODING_END:
		break;
	case CODING_BROKEN:
		return (RC_SYNTAX);
	case CODING_LIMIT:
		return (RC_LIMIT);
	case CODING_NOMEM:
		return (RC_NOMEM);
	}
	return (RC_MORE);
}

/* RC_MORE: so far, so good. */
static enum rc
step(struct http_decoder *d, struct coding_io *io, struct buffer *out,
    enum coding_step *what)
{
	size_t in = io->in_len, made, room = room_bytes(d);
	char *p;
	enum rc rc;

	if ((rc = buffer_reserve(out, room, &p)) != RC_OK)
		return (rc);
	io->out = (uint8_t *)p;
	io->out_len = room;
	*what = d->ops->step(d->state, io);
	made = room - io->out_len;
	coding_wipe_rest(out, io);
	d->in_bytes += in - io->in_len;
	if (made > d->max_bytes - d->out_bytes) {
		buffer_commit(out, made);
		buffer_truncate(out, buffer_len(out) - 1);
		d->out_bytes = d->max_bytes;
		return (RC_LIMIT);
	}
	buffer_commit(out, made);
	d->out_bytes += made;
	if (over_ratio(d))
		return (RC_LIMIT);
	if (*what == CODING_INPUT && in != 0 && in == io->in_len)
		return (RC_SYNTAX);	/* it must not want more of the same */
	return (step_result(*what));
}

static enum rc
decode(struct http_decoder *d, struct span in, struct buffer *out)
{
	struct coding_io io = { .in = (const uint8_t *)in.p, .in_len = in.len };
	enum coding_step what = CODING_INPUT;
	enum rc rc;

	/* Not once more without a reason: zstd takes calls that lead nowhere
	 * for an error. */
	while (io.in_len != 0 || what == CODING_OUTPUT) {
		if (d->at_end) {
			if (d->ops->again == NULL)
				return (RC_SYNTAX);
			d->ops->again(d->state);
			d->at_end = false;
		}
		if ((rc = step(d, &io, out, &what)) != RC_MORE)
			return (rc);
		d->at_end = what == CODING_END;
	}
	return (RC_MORE);
}

static enum rc
pass_on(struct http_decoder *d, struct span in, struct buffer *out)
{
	enum rc rc;

	if (in.len > d->max_bytes - d->out_bytes)
		return (RC_LIMIT);
	if ((rc = buffer_append(out, in.p, in.len)) != RC_OK)
		return (rc);
	d->in_bytes += in.len;
	d->out_bytes += in.len;
	return (RC_MORE);
}

enum rc
http_decoder_feed(struct http_decoder *d, struct span in, bool last,
    struct buffer *out)
{
	obj_check(d, HTTP_DECODER_MAGIC);
	if (d->rc != RC_MORE)
		return (d->rc == RC_OK && in.len != 0 ? RC_SYNTAX : d->rc);
	d->rc = d->ops == NULL ? pass_on(d, in, out) : decode(d, in, out);
	if (d->rc == RC_MORE && last)
		d->rc = d->ops == NULL || d->at_end ? RC_OK : RC_SYNTAX;
	return (d->rc);
}
