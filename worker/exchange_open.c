/*
 * worker/exchange_open.c - the request's way on egress: tokens of its body are
 * opened wherever they stand, whatever the content type.
 *
 * A short body is whole before its first byte leaves, and keeps its
 * Content-Length.  A longer one is opened and passed on as it comes, in chunks:
 * when something fails then, the connection ends without the last chunk, so
 * that the destination cannot take what it has for all of it.
 */
#include "worker/exchange.h"

#include "lib/base/object.h"
#include "worker/content_coding.h"
#include "worker/trailer.h"

static void on_opened(void *, enum transform_result, const char *);

/* What of the head the body is read by: the head's views die soon. */
void
exchange_open_begin(struct exchange *x, const struct http_head *head)
{
	const struct http_field *f = http_head_field(head, HTTP_FIELD_CONTENT_TYPE);

	if (f != NULL)
		buffer_put(&x->media, f->value.p, f->value.len);
	if (x->coding != HTTP_CODING_IDENTITY)
		ensure((x->decoder = http_decoder_new(x->coding, UINT64_MAX,
		    HTTP_DECODER_RATIO)) != NULL);
}

/* So much of a body is read before it is known whether it is a short one. */
static size_t
short_bytes(const struct exchange *x)
{
	return (x->wrk->conf->stream_buffer_bytes);
}

/* All of a short body at once: nothing is copied. */
static bool
take_at_once(struct exchange *x, struct buffer *in)
{
	size_t n = buffer_len(in);

	if (x->reader.kind != HTTP_BODY_LENGTH || x->reader.left != n || n == 0 ||
	    buffer_len(&x->body) != 0 || x->decoder != NULL)
		return (false);
	buffer_move(&x->body, in);
	body_reader_took(&x->reader, n);
	return (true);
}

/* A body of known length stands in the stream's input until it is whole, or
 * long: it is not joined twice. */
static bool
is_awaited(const struct exchange *x, const struct buffer *in)
{
	return (x->request == REQUEST_COLLECT && x->decoder == NULL &&
	    x->reader.kind == HTTP_BODY_LENGTH && buffer_len(&x->body) == 0 &&
	    buffer_len(in) < exchange_enough(x));
}

/* A piece of the body, or its end: what can be read of it.  RC_DENIED: its
 * coding is broken; RC_LIMIT: it swells too much. */
static enum rc
take_piece(struct exchange *x, struct span piece, bool last)
{
	enum rc rc;

	if (x->decoder == NULL)
		return (buffer_append(&x->body, piece.p, piece.len));
	if (x->request == REQUEST_COLLECT &&
	    (rc = buffer_append(&x->coded, piece.p, piece.len)) != RC_OK)
		return (rc);
	rc = http_decoder_feed(x->decoder, piece, last, &x->body);
	if (rc == RC_SYNTAX)
		return (RC_DENIED);
	return (rc == RC_MORE ? RC_OK : rc);
}

/*
 * Take what is there of the body, up to what is worth a call.  RC_OK at its
 * end, RC_MORE; RC_SYNTAX, RC_LIMIT: its framing is broken; RC_DENIED: its
 * coding is, RC_UNSUPPORTED: it swells too much; RC_NOMEM.
 */
static enum rc
take(struct exchange *x)
{
	struct buffer *in = net_stream_input(x->conn->stream);
	size_t want = buffer_len(&x->body) + short_bytes(x), used;
	struct span piece;
	enum rc rc, taken;

	if (take_at_once(x, in))
		return (RC_OK);
	if (is_awaited(x, in))
		return (RC_MORE);
	do {
		if (buffer_len(&x->body) >= want)
			return (RC_MORE);
		rc = body_reader_next(&x->reader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE)
			return (rc);
		taken = take_piece(x, piece, rc == RC_OK && !x->body_taken);
		if (taken != RC_OK)
			return (taken == RC_LIMIT ? RC_UNSUPPORTED : taken);
		if (rc == RC_OK && used != 0)	/* views of what goes now */
			trailer_write(&x->reader.trailers, x->route,
			    TRAILER_REQUEST, &x->end);
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	return (rc);
}

/* False: the exchange is gone. */
static bool
took(struct exchange *x, enum rc rc)
{
	if (rc == RC_NOMEM || !exchange_account(x)) {
		x->client_keep = false;
		exchange_fail(x, ERROR_OVERLOADED, "request-body",
		    "this worker holds as many bodies as it may");
		return (false);
	}
	switch (rc) {
	case RC_OK:
	case RC_MORE:
		return (exchange_body_went_on(x, rc));
	case RC_DENIED:
		x->client_keep = false;
		exchange_fail(x, ERROR_MALFORMED_BODY, "request-body",
		    "the body is not of its content coding");
		return (false);
	case RC_UNSUPPORTED:
		x->client_keep = false;
		exchange_fail(x, ERROR_PAYLOAD_TOO_LARGE, "request-body",
		    "the body swells too much when it is decoded");
		return (false);
	default:
		return (exchange_body_fault(x, rc));
	}
}

/* Nothing was opened: it goes on as it came, digests and all. */
bool
exchange_open_done(struct exchange *x)
{
	if (x->decoder == NULL)
		return (true);
	if (x->tx.opened == 0)
		buffer_move(&x->body, &x->coded);
	else if (x->wrk->conf->reencode_bodies)
		x->recode = x->coding;
	buffer_clear(&x->coded);
	return (true);
}

bool
exchange_open_collect(struct exchange *x)
{
	enum rc rc = take(x);

	if (!took(x, rc))
		return (false);
	/* Trailers need chunks. */
	if (rc == RC_OK && buffer_len(&x->end) == 0) {
		conn_input_high(x->conn, 0);	/* what follows is another request */
		x->request = REQUEST_SEAL;
		return (exchange_run_actions(x));
	}
	if (rc == RC_MORE && buffer_len(&x->body) < short_bytes(x))
		return (true);
	x->request = REQUEST_OPEN;
	buffer_fini(&x->coded);
	buffer_init(&x->coded, 0, true);
	if (x->decoder != NULL && x->wrk->conf->reencode_bodies) {
		content_coding_write(x->coding, &x->head);
		ensure((x->encoder = http_encoder_new(x->coding)) != NULL);
	}
	x->transform = exchange_transform(x, NULL, REWRITE_TOKENS, &x->head,
	    &x->body, true, on_opened);
	return (exchange_open_pump(x));
}

/* ---- as it comes ---- */

static enum rc
send_encoded(struct exchange *x, struct span piece, bool last)
{
	struct buffer coded;
	enum rc rc;

	buffer_init(&coded, 0, true);
	rc = http_encoder_feed(x->encoder, piece, last, &coded);
	if (rc == RC_OK || rc == RC_MORE)
		rc = exchange_send_piece(x, (struct span){ buffer_data(&coded),
		    buffer_len(&coded) });
	buffer_fini(&coded);
	return (rc);
}

/* What is opened of the body goes on.  False: the exchange is gone. */
static bool
send_opened(struct exchange *x, struct buffer *out, bool last)
{
	struct span piece = { buffer_data(out), buffer_len(out) };
	enum rc rc = RC_OK;

	x->reserved_bytes = 0;
	if (!x->head_sent)
		rc = exchange_send_head(x, true);
	if (rc == RC_OK)
		rc = x->encoder != NULL ? send_encoded(x, piece, last) :
		    exchange_send_piece(x, piece);
	buffer_clear(out);
	(void)exchange_account(x);
	return (rc == RC_OK ? true : exchange_not_sent(x, rc));
}

static bool
send_end(struct exchange *x)
{
	enum rc rc;

	transform_free(&x->transform);
	x->request = REQUEST_SENT;
	conn_input_high(x->conn, 0);
	if (x->origin_deaf)
		return (true);
	rc = exchange_send_end(x);
	return (rc == RC_OK ? true : exchange_not_sent(x, rc));
}

/* A piece is done, or failed.  False: the exchange is gone. */
static bool
opened(struct exchange *x, enum transform_result result, const char *why)
{
	switch (result) {
	case TRANSFORM_PIECE:
		return (send_opened(x, transform_output(x->transform), false));
	case TRANSFORM_DONE:
		return (send_opened(x, &x->body, true) && send_end(x));
	default:
		exchange_fail(x, exchange_transform_error(result), "open", why);
		return (false);
	}
}

static void
on_opened(void *arg, enum transform_result result, const char *why)
{
	struct exchange *x = arg;
	bool fine = result == TRANSFORM_PIECE || result == TRANSFORM_DONE;

	/* The destination may have left meanwhile: for the next connection. */
	if (fine && x->origin == NULL)
		x->opened = result;
	else if (!opened(x, result, why))
		return;
	if (exchange_open_pump(x))
		exchange_arm(x);
}

bool
exchange_open_pump(struct exchange *x)
{
	enum transform_result result;
	const char *why;
	size_t before;
	enum rc rc;

	while (x->request == REQUEST_OPEN) {
		if (transform_is_pending(x->transform) || !exchange_has_origin(x) ||
		    !exchange_room(x->origin->stream))
			return (true);	/* its end, or on_drained, goes on */
		if ((result = x->opened) != TRANSFORM_PENDING) {
			x->opened = TRANSFORM_PENDING;
			if (!opened(x, result, ""))
				return (false);
			continue;
		}
		before = buffer_len(&x->body);
		rc = take(x);
		if (!took(x, rc))
			return (false);
		if (rc == RC_MORE && buffer_len(&x->body) == before && x->head_sent)
			return (true);
		result = transform_feed(x->transform, rc == RC_OK, &why);
		if (result == TRANSFORM_PENDING)
			return (true);
		if (!opened(x, result, why))
			return (false);
	}
	return (true);
}
