/*
 * worker/exchange_request.c - the request's way: read, seal, send.
 *
 * Nothing of a body that has work is queued to the origin before every action
 * was carried out on all of it.
 */
#include "worker/exchange.h"

#include "lib/http/write.h"
#include "worker/trailer.h"

static bool run_actions(struct exchange *);
static void on_sealed(void *, enum transform_result, const char *);

/* ---- reading ---- */

static bool
body_fault(struct exchange *x, enum rc rc)
{
	x->client_keep = false;
	if (rc == RC_LIMIT)
		exchange_fail(x, ERROR_HEADER_TOO_LARGE, "request-trailers",
		    "trailer section over its limit");
	else
		exchange_fail(x, ERROR_BAD_REQUEST, "request-body",
		    "chunked framing is broken");
	return (false);
}

/*
 * Everything that came was taken: was it the end, is there hope for more?
 * False: the exchange is gone.
 */
static bool
body_went_on(struct exchange *x, enum rc rc)
{
	x->tx.request_bytes = x->reader.total;
	if (rc == RC_OK) {
		x->body_taken = true;
		return (true);
	}
	if (x->conn->eof) {
		transaction_end(&x->tx, x->conn->id, x->host, "client-cut-its-body");
		conn_close(x->conn, CLOSE_CLIENT_CUT);
		return (false);
	}
	if (exchange_client_too_slow(x)) {
		x->client_keep = false;
		exchange_fail(x, ERROR_CLIENT_TIMEOUT, "request-body",
		    "the body comes slower than the minimum rate");
		return (false);
	}
	return (true);
}

/* What cannot be read may go on as it came, if the relay says so. */
static bool
goes_on_unread(const struct exchange *x, enum transform_result result)
{
	return (result == TRANSFORM_MALFORMED && x->syntax != REWRITE_NONE &&
	    x->relay->mismatch_request == RELAY_MISMATCH_FORWARD);
}

/* False: the exchange is gone. */
static bool
acted(struct exchange *x, enum transform_result result, const char *why)
{
	switch (result) {
	case TRANSFORM_PENDING:
		return (true);
	case TRANSFORM_PIECE:
		x->piece_at = buffer_len(&x->body) + EXCHANGE_PIECE_BYTES;
		x->reserved_bytes = 0;
		(void)exchange_account(x);
		return (true);
	case TRANSFORM_DONE:
		break;
	default:
		if (goes_on_unread(x, result)) {
			/* Its header values can be sealed all the same. */
			x->syntax = REWRITE_NONE;
			transform_free(&x->transform);
			return (true);
		}
		exchange_fail(x, exchange_transform_error(result), "seal", why);
		return (false);
	}
	transform_free(&x->transform);
	x->reserved_bytes = 0;
	(void)exchange_account(x);
	x->action++;
	return (true);
}

static bool
refuse_body(struct exchange *x, enum error_code code, const char *detail)
{
	x->client_keep = false;
	exchange_fail(x, code, "request-body", detail);
	return (false);
}

/* The one action of this request can work on a body while it comes. */
static bool
in_pieces(const struct exchange *x)
{
	return (x->syntax == REWRITE_JSON && x->route->n_request == 1 &&
	    transform_streams(&x->route->request[0]) &&
	    x->relay->mismatch_request != RELAY_MISMATCH_FORWARD);
}

size_t
exchange_enough(const struct exchange *x)
{
	/* At most body_limit: the head was judged. */
	return (x->reader.left > EXCHANGE_PIECE_BYTES && in_pieces(x) ?
	    EXCHANGE_PIECE_BYTES : (size_t)x->reader.left);
}

/*
 * A body of known length stands in the stream's input until it is whole, or
 * enough for a piece, and then moves: it is not copied.  False: wait.
 */
static bool
take_length(struct exchange *x, struct buffer *in, enum rc *rc)
{
	uint64_t left = x->reader.left;
	size_t n = buffer_len(in) < left ? buffer_len(in) : (size_t)left;

	*rc = RC_MORE;
	if (n < exchange_enough(x))
		return (false);
	if (n == buffer_len(in) && buffer_len(&x->body) == 0) {
		buffer_move(&x->body, in);
	} else if ((*rc = buffer_append(&x->body, buffer_data(in), n)) == RC_OK) {
		buffer_consume(in, n);
	} else {
		return (true);
	}
	body_reader_took(&x->reader, n);
	*rc = x->reader.done ? RC_OK : RC_MORE;
	return (true);
}

/* The chunks' data, joined. */
static enum rc
take_chunks(struct exchange *x, struct buffer *in)
{
	struct span piece;
	size_t used;
	enum rc rc, added;

	do {
		rc = body_reader_next(&x->reader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE)
			return (rc == RC_LIMIT ? RC_DENIED : rc);
		if (x->reader.total > x->body_limit)
			return (RC_LIMIT);
		added = buffer_append(&x->body, piece.p, piece.len);
		if (added != RC_OK)
			return (added);
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	return (rc);
}

/* Work on what is there while the rest comes.  False: the exchange is gone. */
static bool
seal_piece(struct exchange *x)
{
	const struct relay_action *a = &x->route->request[0];
	enum transform_result result;
	const char *why;

	if (buffer_len(&x->body) < x->piece_at ||
	    transform_is_pending(x->transform))
		return (true);
	if (x->transform == NULL) {
		if (!in_pieces(x))
			return (true);
		x->transform = exchange_transform(x, a, x->syntax, &x->head,
		    &x->body, true, on_sealed);
	}
	result = transform_feed(x->transform, false, &why);
	return (acted(x, result, why));
}

/* Take what is there into x->body.  False: the exchange is gone. */
static bool
collect(struct exchange *x)
{
	struct buffer *in = net_stream_input(x->conn->stream);
	enum rc rc = RC_MORE;

	if (x->reader.kind == HTTP_BODY_CHUNKED)
		rc = take_chunks(x, in);
	else if (!take_length(x, in, &rc))
		rc = RC_MORE;
	if (!exchange_account(x))
		return (refuse_body(x, ERROR_OVERLOADED,
		    "this worker holds as many bodies as it may"));
	switch (rc) {
	case RC_OK:
	case RC_MORE:
		break;
	case RC_NOMEM:
	case RC_LIMIT:
		return (refuse_body(x, ERROR_PAYLOAD_TOO_LARGE,
		    "the body is over the limit for bodies with selectors"));
	default:
		return (body_fault(x, rc == RC_DENIED ? RC_LIMIT : rc));
	}
	if (!body_went_on(x, rc))
		return (false);
	if (rc == RC_MORE)
		return (seal_piece(x));
	conn_input_high(x->conn, 0);	/* what follows is the next request */
	x->request = REQUEST_SEAL;
	return (transform_is_pending(x->transform) ? true : run_actions(x));
}

/* ---- sealing ---- */

static void
on_sealed(void *arg, enum transform_result result, const char *why)
{
	struct exchange *x = arg;

	if (!acted(x, result, why))
		return;
	if (x->request == REQUEST_SEAL ? run_actions(x) : seal_piece(x))
		exchange_arm(x);
}

/* Carry out what is left of the request's actions, in order: the body is
 * whole, or none of it is read.  False: the exchange is gone. */
static bool
run_actions(struct exchange *x)
{
	enum transform_result result;
	const char *why;

	while (x->action < x->route->n_request) {
		if (x->transform == NULL)
			x->transform = exchange_transform(x,
			    &x->route->request[x->action], x->syntax, &x->head,
			    &x->body, false, on_sealed);
		result = transform_feed(x->transform, true, &why);
		if (result == TRANSFORM_PENDING)
			return (true);
		if (!acted(x, result, why))
			return (false);
	}
	x->request = x->has_body && !x->collected ? REQUEST_STREAM : REQUEST_READY;
	return (exchange_request_pump(x));
}

/* ---- sending ---- */

static enum rc
to_origin(struct exchange *x, const void *data, size_t len)
{
	return (net_stream_write(x->origin->stream, data, len));
}

/*
 * A write failed.  RC_IO: the stream broke, and its own event tells after all
 * that the origin said before was read: an early answer counts.  RC_NOMEM: a
 * part is missing and no event will come.  False: see exchange_request_pump.
 */
static bool
not_sent(struct exchange *x, enum rc rc)
{
	if (rc == RC_NOMEM) {
		exchange_origin_lost(x, "no memory to send");
		return (false);
	}
	x->origin_deaf = true;
	return (true);
}

static enum rc
send_head(struct exchange *x)
{
	struct buffer head;
	enum rc rc;

	x->sent_mark = net_stream_sent_total(x->origin->stream);
	buffer_init(&head, 0, true);
	buffer_put(&head, buffer_data(&x->head), buffer_len(&x->head));
	if (x->request == REQUEST_READY && x->has_body)	/* it was collected */
		http_write_length(&head, buffer_len(&x->body));
	http_write_end(&head);
	rc = net_stream_write_buffer(x->origin->stream, &head);
	x->head_sent = rc == RC_OK;
	buffer_fini(&head);
	return (rc);
}

/* The whole body in one piece.  It is kept for a repeat only where there can
 * be one: on a reused connection, which may turn out to be closed, and of a
 * method that does no harm twice. */
static enum rc
send_body(struct exchange *x)
{
	x->request = REQUEST_SENT;
	if (x->origin->reused && !x->retried && exchange_idempotent(x->method))
		return (to_origin(x, buffer_data(&x->body), buffer_len(&x->body)));
	return (net_stream_write_buffer(x->origin->stream, &x->body));
}

static enum rc
send_piece(struct exchange *x, struct span piece)
{
	char head[HTTP_CHUNK_HEAD_BYTES];
	enum rc rc;
	size_t n;

	if (piece.len == 0)
		return (RC_OK);
	n = http_chunk_head(piece.len, head);
	if ((rc = to_origin(x, head, n)) != RC_OK ||
	    (rc = to_origin(x, piece.p, piece.len)) != RC_OK)
		return (rc);
	return (to_origin(x, "\r\n", 2));
}

/* The end, with the trailers that may go on. */
static enum rc
send_last_chunk(struct exchange *x)
{
	struct buffer end;
	enum rc rc;

	buffer_init(&end, 0, true);
	buffer_puts(&end, "0\r\n");
	trailer_write(&x->reader.trailers, x->route, TRAILER_REQUEST, &end);
	buffer_puts(&end, "\r\n");
	rc = net_stream_write_buffer(x->origin->stream, &end);
	buffer_fini(&end);
	return (rc);
}

/* A piece of the body, or its end, at the front of `in`: taken in any case. */
static enum rc
pass_on(struct exchange *x, struct buffer *in, enum rc rc, struct span piece,
    size_t used)
{
	enum rc sent;

	if (used == 0)
		return (RC_OK);
	if (!x->chunked_out && piece.len == used) {
		sent = net_stream_move(x->origin->stream, in, used);
		if (sent == RC_OK)
			return (RC_OK);
	} else {
		/* Trailers are views of the input. */
		sent = rc == RC_OK && x->chunked_out ? send_last_chunk(x) :
		    send_piece(x, piece);
	}
	buffer_consume(in, used);
	return (sent);
}

/* Pass on what is there, as long as the origin takes it. */
static bool
stream(struct exchange *x)
{
	struct buffer *in = net_stream_input(x->conn->stream);
	struct span piece;
	size_t used;
	enum rc rc, sent;

	do {
		if (!exchange_room(x->origin->stream))
			return (true);		/* on_drained goes on */
		rc = body_reader_next(&x->reader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE)
			return (body_fault(x, rc));
		sent = pass_on(x, in, rc, piece, used);
		if (sent != RC_OK)
			return (not_sent(x, sent));
	} while (rc == RC_MORE && used != 0);
	if (!body_went_on(x, rc))
		return (false);
	if (rc == RC_OK)
		x->request = REQUEST_SENT;
	return (true);
}

/* There is a connection that takes bytes; asked for again if it was lost while
 * the body was read. */
static bool
has_origin(struct exchange *x)
{
	if (x->origin == NULL && x->take_id == 0)
		exchange_origin_ask(x, false);
	return (x->origin != NULL && !x->origin_deaf);
}

/* What was queued to a connection that ended before a byte left. */
static enum rc
send_again(struct exchange *x)
{
	enum rc rc;

	x->sent_mark = net_stream_sent_total(x->origin->stream);
	rc = net_stream_write_buffer(x->origin->stream, &x->again);
	x->head_sent = rc == RC_OK;
	return (rc);
}

bool
exchange_request_pump(struct exchange *x)
{
	enum rc rc;

	if (buffer_len(&x->again) != 0) {
		if (!has_origin(x))
			return (true);
		if ((rc = send_again(x)) != RC_OK)
			return (not_sent(x, rc));
	}
	switch (x->request) {
	case REQUEST_COLLECT:
		return (collect(x));
	case REQUEST_SEAL:
		return (x->transform == NULL ? run_actions(x) : true);
	case REQUEST_AUTH:
	case REQUEST_SENT:
		return (true);
	case REQUEST_READY:
		if (!has_origin(x))
			return (true);
		if ((rc = send_head(x)) != RC_OK || (rc = send_body(x)) != RC_OK)
			return (not_sent(x, rc));
		return (true);
	case REQUEST_STREAM:
		if (!has_origin(x))
			return (true);
		if (!x->head_sent && (rc = send_head(x)) != RC_OK)
			return (not_sent(x, rc));
		return (stream(x));
	}
	return (true);
}
