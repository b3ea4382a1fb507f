/*
 * http/coding_zstd.c - zstd by libzstd.
 *
 * Memory that is ours can be given to it only by what its header calls the
 * static API: the shared library has it too, since 1.0 with the same
 * arguments.
 *
 * The library may be built to read its formats of before RFC 8878 too, by code
 * that has memory of its own and that nobody fuzzes: the first bytes of each
 * frame are looked at here.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#include "lib/base/object.h"
#include "lib/http/coding_private.h"

#define WINDOW_LOG_MAX	23	/* 8 MiB, RFC 9659 3 */
#define LEVEL		3	/* the library's own default */
#define MAGIC_BYTES	4

struct decode_state {
	ZSTD_DCtx		*z;		/* owned */
	struct coding_memory	*memory;	/* borrowed: its owner owns us */
	unsigned		n_magic;	/* bytes of this frame's seen */
	bool			skippable;
};

struct encode_state {
	ZSTD_CCtx		*z;		/* owned */
	struct coding_memory	*memory;	/* borrowed: its owner owns us */
};

static void *
zstd_alloc(void *memory, size_t len)
{
	return (coding_alloc(memory, len));
}

static void
zstd_free(void *memory, void *p)
{
	coding_release(memory, p);
}

static ZSTD_customMem
memory_of(struct coding_memory *memory)
{
	return ((ZSTD_customMem){ zstd_alloc, zstd_free, memory });
}

/* ---- decoding ---- */

static void *
decode_new(enum http_coding coding, struct coding_memory *memory)
{
	struct decode_state *s = coding_alloc(memory, sizeof(*s));

	(void)coding;
	if (s == NULL)
		return (NULL);
	*s = (struct decode_state){ .memory = memory };
	if ((s->z = ZSTD_createDCtx_advanced(memory_of(memory))) == NULL) {
		coding_release(memory, s);
		return (NULL);
	}
	ensure(!ZSTD_isError(ZSTD_DCtx_setParameter(s->z, ZSTD_d_windowLogMax,
	    WINDOW_LOG_MAX)));
	return (s);
}

static void
decode_free(void *state)
{
	struct decode_state *s = state;

	(void)ZSTD_freeDCtx(s->z);
	coding_release(s->memory, s);
}

static void
decode_again(void *state)
{
	struct decode_state *s = state;

	s->n_magic = 0;
}

/* Frames of RFC 8878 3.1 alone.  Only looked at, not taken. */
static bool
magic_ok(struct decode_state *s, const struct coding_io *io)
{
	static const uint8_t frame[MAGIC_BYTES] = { 0x28, 0xb5, 0x2f, 0xfd };
	static const uint8_t skip[MAGIC_BYTES] = { 0x50, 0x2a, 0x4d, 0x18 };

	for (size_t i = 0; i < io->in_len && s->n_magic < MAGIC_BYTES; i++) {
		uint8_t b = io->in[i];

		if (s->n_magic == 0 && (s->skippable = b >> 4 == skip[0] >> 4))
			b &= 0xf0;
		if (b != (s->skippable ? skip : frame)[s->n_magic++])
			return (false);
	}
	return (true);
}

static enum coding_step
decode_fault(size_t r)
{
	switch (ZSTD_getErrorCode(r)) {
	case ZSTD_error_frameParameter_windowTooLarge:
		return (CODING_LIMIT);
	case ZSTD_error_memory_allocation:
		return (CODING_NOMEM);
	default:
		return (CODING_BROKEN);
	}
}

static enum coding_step
decode_step(void *state, struct coding_io *io)
{
	struct decode_state *s = state;
	ZSTD_inBuffer in = { io->in, io->in_len, 0 };
	ZSTD_outBuffer out = { io->out, io->out_len, 0 };
	size_t r;

	if (!magic_ok(s, io))
		return (CODING_BROKEN);
	r = ZSTD_decompressStream(s->z, &out, &in);
	io->in += in.pos;
	io->in_len -= in.pos;
	io->out += out.pos;
	io->out_len -= out.pos;
	if (ZSTD_isError(r))
		return (decode_fault(r));
	if (r == 0)
		return (CODING_END);
	return (io->out_len == 0 ? CODING_OUTPUT : CODING_INPUT);
}

const struct coding_decode_ops *
coding_zstd_decode(void)
{
	static const struct coding_decode_ops ops = {
		.new = decode_new,
		.free = decode_free,
		.step = decode_step,
		.again = decode_again,
	};

	return (&ops);
}

/* ---- encoding ---- */

static void *
encode_new(enum http_coding coding, struct coding_memory *memory)
{
	struct encode_state *s = coding_alloc(memory, sizeof(*s));

	(void)coding;
	if (s == NULL)
		return (NULL);
	s->memory = memory;
	if ((s->z = ZSTD_createCCtx_advanced(memory_of(memory))) == NULL) {
		coding_release(memory, s);
		return (NULL);
	}
	ensure(!ZSTD_isError(ZSTD_CCtx_setParameter(s->z,
	    ZSTD_c_compressionLevel, LEVEL)));
	return (s);
}

static void
encode_free(void *state)
{
	struct encode_state *s = state;

	(void)ZSTD_freeCCtx(s->z);
	coding_release(s->memory, s);
}

static enum coding_step
encode_step(void *state, struct coding_io *io, bool last)
{
	struct encode_state *s = state;
	ZSTD_inBuffer in = { io->in, io->in_len, 0 };
	ZSTD_outBuffer out = { io->out, io->out_len, 0 };
	size_t r = ZSTD_compressStream2(s->z, &out, &in,
	    last ? ZSTD_e_end : ZSTD_e_flush);

	io->in += in.pos;
	io->in_len -= in.pos;
	io->out += out.pos;
	io->out_len -= out.pos;
	/* It fails for want of memory alone. */
	if (ZSTD_isError(r))
		return (CODING_NOMEM);
	if (r != 0 || io->in_len != 0)
		return (CODING_OUTPUT);
	return (last ? CODING_END : CODING_INPUT);
}

const struct coding_encode_ops *
coding_zstd_encode(void)
{
	static const struct coding_encode_ops ops = {
		.new = encode_new,
		.free = encode_free,
		.step = encode_step,
	};

	return (&ops);
}
