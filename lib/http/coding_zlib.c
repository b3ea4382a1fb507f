/*
 * http/coding_zlib.c - gzip and deflate by zlib.
 *
 * "deflate" is the zlib format (RFC 9110 8.4.1.2), but there are senders of
 * RFC 1951 alone.  The first two bytes tell: as a header of RFC 1950 they name
 * method 8 and divide by 31; raw, the same first byte would be a stored block
 * with a bit set where there is padding, which no encoder writes.
 */
#define ZLIB_CONST
#include <string.h>
#include <zlib.h>

#include "lib/base/object.h"
#include "lib/http/coding_private.h"

#define WINDOW_BITS	15	/* 32 KiB, all that the format has */
#define GZIP_BITS	16	/* added: the header and trailer of RFC 1952 */
#define MEMORY_LEVEL	8	/* zlib's own default */
#define LEVEL		4	/* 6, its own default, takes more than twice the
				   time for 5 to 11 % */

struct zlib_state {
	z_stream		z;
	struct coding_memory	*memory;	/* borrowed: its owner owns us */
	bool			guess;		/* zlib or raw: not known yet */
	uint8_t			first[2];	/* bytes it is guessed from */
	unsigned		n_first;
};

static void *
zlib_alloc(void *memory, unsigned n, unsigned size)
{
	return (coding_alloc(memory, (size_t)n * size));
}

static void
zlib_free(void *memory, void *p)
{
	coding_release(memory, p);
}

static struct zlib_state *
state_new(struct coding_memory *memory)
{
	struct zlib_state *s = coding_alloc(memory, sizeof(*s));

	if (s == NULL)
		return (NULL);
	memset(s, 0, sizeof(*s));
	s->memory = memory;
	s->z.zalloc = zlib_alloc;
	s->z.zfree = zlib_free;
	s->z.opaque = memory;
	return (s);
}

static unsigned
at_most(size_t len)
{
	return (len < UINT32_MAX / 2 ? (unsigned)len : UINT32_MAX / 2);
}

static void
lend(struct zlib_state *s, const struct coding_io *io)
{
	s->z.next_in = io->in;
	s->z.avail_in = at_most(io->in_len);
	s->z.next_out = io->out;
	s->z.avail_out = at_most(io->out_len);
}

static void
take_back(struct zlib_state *s, struct coding_io *io)
{
	io->in_len -= (size_t)(s->z.next_in - io->in);
	io->in = s->z.next_in;
	io->out_len -= (size_t)(s->z.next_out - io->out);
	io->out = s->z.next_out;
}

/* ---- decoding ---- */

static void *
inflate_new(enum http_coding coding, struct coding_memory *memory)
{
	struct zlib_state *s = state_new(memory);
	bool gzip = coding == HTTP_CODING_GZIP;

	if (s == NULL)
		return (NULL);
	s->guess = !gzip;
	if (inflateInit2(&s->z, WINDOW_BITS + (gzip ? GZIP_BITS : 0)) == Z_OK)
		return (s);
	coding_release(memory, s);
	return (NULL);
}

static void
inflate_free(void *state)
{
	struct zlib_state *s = state;

	(void)inflateEnd(&s->z);
	coding_release(s->memory, s);
}

/* Another member of RFC 1952; RFC 1950 has one. */
static void
gunzip_again(void *state)
{
	struct zlib_state *s = state;

	ensure(inflateReset(&s->z) == Z_OK);
}

static enum coding_step
inflate_some(struct zlib_state *s, struct coding_io *io)
{
	int r;

	lend(s, io);
	r = inflate(&s->z, Z_NO_FLUSH);
	take_back(s, io);
	switch (r) {
	case Z_STREAM_END:
		return (CODING_END);
	case Z_OK:
	case Z_BUF_ERROR:	/* nothing to do, which is fine */
		return (io->out_len == 0 ? CODING_OUTPUT : CODING_INPUT);
	case Z_MEM_ERROR:
		return (CODING_NOMEM);
	default:
		return (CODING_BROKEN);	/* a dictionary too: nobody has one */
	}
}

static bool
is_zlib_header(const uint8_t b[2])
{
	return ((b[0] & 0x0f) == Z_DEFLATED && (b[0] << 8 | b[1]) % 31 == 0);
}

/* The bytes that it was guessed from.  No code ends in the first, so both are
 * taken before anything comes out. */
static enum coding_step
inflate_first(struct zlib_state *s, struct coding_io *io)
{
	struct coding_io first = { .in = s->first, .in_len = 2,
	    .out = io->out, .out_len = io->out_len };
	enum coding_step step;

	s->guess = false;
	if (!is_zlib_header(s->first))
		ensure(inflateReset2(&s->z, -WINDOW_BITS) == Z_OK);
	step = inflate_some(s, &first);
	io->out = first.out;
	io->out_len = first.out_len;
	return (first.in_len != 0 && step != CODING_NOMEM ? CODING_BROKEN : step);
}

static enum coding_step
inflate_step(void *state, struct coding_io *io)
{
	struct zlib_state *s = state;
	enum coding_step step;

	while (s->guess && s->n_first < 2) {
		if (io->in_len == 0)
			return (CODING_INPUT);
		s->first[s->n_first++] = *io->in++;
		io->in_len--;
	}
	if (s->guess && (step = inflate_first(s, io)) != CODING_INPUT)
		return (step);
	return (inflate_some(s, io));
}

const struct coding_decode_ops *
coding_zlib_decode(enum http_coding coding)
{
	static const struct coding_decode_ops inflate_ops = {
		.new = inflate_new,
		.free = inflate_free,
		.step = inflate_step,
	}, gunzip_ops = {
		.new = inflate_new,
		.free = inflate_free,
		.step = inflate_step,
		.again = gunzip_again,
	};

	return (coding == HTTP_CODING_GZIP ? &gunzip_ops : &inflate_ops);
}

/* ---- encoding ---- */

static void *
deflate_new(enum http_coding coding, struct coding_memory *memory)
{
	struct zlib_state *s = state_new(memory);
	int bits = WINDOW_BITS + (coding == HTTP_CODING_GZIP ? GZIP_BITS : 0);

	if (s == NULL)
		return (NULL);
	if (deflateInit2(&s->z, LEVEL, Z_DEFLATED, bits,
	    MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK)
		return (s);
	coding_release(memory, s);
	return (NULL);
}

static void
deflate_free(void *state)
{
	struct zlib_state *s = state;

	(void)deflateEnd(&s->z);
	coding_release(s->memory, s);
}

static enum coding_step
deflate_step(void *state, struct coding_io *io, bool last)
{
	struct zlib_state *s = state;
	bool finish;
	int r;

	lend(s, io);
	finish = last && s->z.avail_in == io->in_len;
	r = deflate(&s->z, finish ? Z_FINISH : Z_SYNC_FLUSH);
	take_back(s, io);
	if (r == Z_STREAM_END)
		return (CODING_END);
	/* BUF_ERROR: all was flushed when the room had just become full. */
	ensure(r == Z_OK || r == Z_BUF_ERROR);
	return (io->out_len == 0 || finish ? CODING_OUTPUT : CODING_INPUT);
}

const struct coding_encode_ops *
coding_zlib_encode(void)
{
	static const struct coding_encode_ops ops = {
		.new = deflate_new,
		.free = deflate_free,
		.step = deflate_step,
	};

	return (&ops);
}
