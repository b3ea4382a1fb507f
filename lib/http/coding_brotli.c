/*
 * http/coding_brotli.c - br by libbrotli.  The format's largest window is 16
 * MiB; "large window brotli" is no part of it and stays off.
 */
#include <brotli/decode.h>
#include <brotli/encode.h>

#include "lib/base/object.h"
#include "lib/http/coding_private.h"

#define QUALITY		4	/* as small as zlib's 6 in half the time; the next
				   one takes twice as long, 11 a hundred times */
#define WINDOW_LOG	20	/* 1 MiB: what bodies are, not archives */

struct decode_state {
	BrotliDecoderState	*b;		/* owned */
	struct coding_memory	*memory;	/* borrowed: its owner owns us */
};

struct encode_state {
	BrotliEncoderState	*b;		/* owned */
	struct coding_memory	*memory;	/* borrowed: its owner owns us */
};

static void *
brotli_alloc(void *memory, size_t len)
{
	return (coding_alloc(memory, len));
}

static void
brotli_free(void *memory, void *p)
{
	coding_release(memory, p);
}

/* ---- decoding ---- */

static void *
decode_new(enum http_coding coding, struct coding_memory *memory)
{
	struct decode_state *s = coding_alloc(memory, sizeof(*s));

	(void)coding;
	if (s == NULL)
		return (NULL);
	s->memory = memory;
	s->b = BrotliDecoderCreateInstance(brotli_alloc, brotli_free, memory);
	if (s->b != NULL)
		return (s);
	coding_release(memory, s);
	return (NULL);
}

static void
decode_free(void *state)
{
	struct decode_state *s = state;

	BrotliDecoderDestroyInstance(s->b);
	coding_release(s->memory, s);
}

static enum coding_step
decode_fault(const BrotliDecoderState *b)
{
	BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(b);

	return (code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
	    code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES ?
	    CODING_NOMEM : CODING_BROKEN);
}

static enum coding_step
decode_step(void *state, struct coding_io *io)
{
	struct decode_state *s = state;

	switch (BrotliDecoderDecompressStream(s->b, &io->in_len, &io->in,
	    &io->out_len, &io->out, NULL)) {
	case BROTLI_DECODER_RESULT_SUCCESS:
		return (CODING_END);
	case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
		return (CODING_INPUT);
	case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
		return (CODING_OUTPUT);
	case BROTLI_DECODER_RESULT_ERROR:
		break;
	}
	return (decode_fault(s->b));
}

const struct coding_decode_ops *
coding_brotli_decode(void)
{
	static const struct coding_decode_ops ops = {
		.new = decode_new,
		.free = decode_free,
		.step = decode_step,
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
	s->b = BrotliEncoderCreateInstance(brotli_alloc, brotli_free, memory);
	if (s->b == NULL) {
		coding_release(memory, s);
		return (NULL);
	}
	ensure(BrotliEncoderSetParameter(s->b, BROTLI_PARAM_QUALITY, QUALITY));
	ensure(BrotliEncoderSetParameter(s->b, BROTLI_PARAM_LGWIN, WINDOW_LOG));
	return (s);
}

static void
encode_free(void *state)
{
	struct encode_state *s = state;

	BrotliEncoderDestroyInstance(s->b);
	coding_release(s->memory, s);
}

static enum coding_step
encode_step(void *state, struct coding_io *io, bool last)
{
	struct encode_state *s = state;
	BrotliEncoderOperation op = last ? BROTLI_OPERATION_FINISH :
	    BROTLI_OPERATION_FLUSH;

	/* It fails for want of memory alone. */
	if (!BrotliEncoderCompressStream(s->b, op, &io->in_len, &io->in,
	    &io->out_len, &io->out, NULL))
		return (CODING_NOMEM);
	if (BrotliEncoderIsFinished(s->b))
		return (CODING_END);
	return (last || io->in_len != 0 || BrotliEncoderHasMoreOutput(s->b) ?
	    CODING_OUTPUT : CODING_INPUT);
}

const struct coding_encode_ops *
coding_brotli_encode(void)
{
	static const struct coding_encode_ops ops = {
		.new = encode_new,
		.free = encode_free,
		.step = encode_step,
	};

	return (&ops);
}
