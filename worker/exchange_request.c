/*
 * worker/exchange_request.c - the request's way: read, seal, send.
 *
 * Nothing of a body that has work is queued to the origin before every action
 * was carried out on all of it.
 */
#include "worker/exchange.h"

#include "lib/http/write.h"

static bool run_actions(struct exchange *);

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

/* Take what is there into x->body.  False: the exchange is gone. */
static bool
collect(struct exchange *x)
{
	struct buffer *in = net_stream_input(x->conn->stream);
	struct span piece;
	size_t used;
	enum rc rc;

	do {
		rc = body_reader_next(&x->reader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE)
			return (body_fault(x, rc));
		if (!exchange_hold(x, piece.len)) {
			x->client_keep = false;
			exchange_fail(x, ERROR_OVERLOADED, "request-body",
			    "this worker holds as many bodies as it may");
			return (false);
		}
		if (buffer_append(&x->body, piece.p, piece.len) != RC_OK) {
			x->client_keep = false;
			exchange_fail(x, ERROR_PAYLOAD_TOO_LARGE, "request-body",
			    "the body is over the limit for bodies with selectors");
			return (false);
		}
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	if (!body_went_on(x, rc))
		return (false);
	return (rc == RC_OK ? run_actions(x) : true);
}

/* ---- sealing ---- */

static void
on_sealed(void *arg, enum transform_result result, const char *why)
{
	struct exchange *x = arg;

	transform_abort(&x->transform);
	if (result != TRANSFORM_DONE) {
		exchange_fail(x, exchange_transform_error(result), "seal", why);
		return;
	}
	x->action++;
	if (run_actions(x))
		exchange_arm(x);
}

/* Carry out what is left of the request's actions, in order. */
static bool
run_actions(struct exchange *x)
{
	const struct relay *r = x->relay;
	const struct conf *conf = x->wrk->conf;
	enum transform_result result;
	const char *why;

	if (buffer_len(&x->body) == 0)
		x->action = x->route->n_request;	/* no body, no mismatch */
	for (; x->action < x->route->n_request; x->action++) {
		struct transform_job job = {
			.engines = x->wrk->engines,
			.relay = r,
			.action = &x->route->request[x->action],
			.client = x->conn->client,
			.body = &x->body,
			.tx = &x->tx,
			.max_fields = r->max_body_fields != 0 ?
			    r->max_body_fields : conf->max_body_fields,
			.max_bytes = EXCHANGE_RESULT_MAX,
		};

		result = transform_start(&job, on_sealed, x, &x->transform, &why);
		if (result == TRANSFORM_PENDING) {
			x->request = REQUEST_SEAL;
			return (true);
		}
		if (result != TRANSFORM_DONE) {
			exchange_fail(x, exchange_transform_error(result), "seal", why);
			return (false);
		}
	}
	x->request = REQUEST_READY;
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

	buffer_init(&head, 0, true);
	buffer_put(&head, buffer_data(&x->head), buffer_len(&x->head));
	if (x->request == REQUEST_READY && x->has_body)
		http_write_length(&head, buffer_len(&x->body));
	http_write_end(&head);
	rc = net_stream_write_buffer(x->origin->stream, &head);
	x->head_sent = rc == RC_OK;
	buffer_fini(&head);
	return (rc);
}

/* The whole body in one piece.  It is kept for a repeat while the connection
 * is a reused one, which may turn out to be closed. */
static enum rc
send_body(struct exchange *x)
{
	x->request = REQUEST_SENT;
	if (x->origin->reused && !x->retried)
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
	if (!x->chunked_out)
		return (to_origin(x, piece.p, piece.len));
	n = http_chunk_head(piece.len, head);
	if ((rc = to_origin(x, head, n)) != RC_OK ||
	    (rc = to_origin(x, piece.p, piece.len)) != RC_OK)
		return (rc);
	return (to_origin(x, "\r\n", 2));
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
		sent = send_piece(x, piece);
		buffer_consume(in, used);
		if (sent != RC_OK)
			return (not_sent(x, sent));
	} while (rc == RC_MORE && used != 0);
	if (!body_went_on(x, rc))
		return (false);
	if (rc != RC_OK)
		return (true);
	x->request = REQUEST_SENT;
	sent = x->chunked_out ? to_origin(x, "0\r\n\r\n", 5) : RC_OK;
	return (sent == RC_OK ? true : not_sent(x, sent));
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

bool
exchange_request_pump(struct exchange *x)
{
	enum rc rc;

	switch (x->request) {
	case REQUEST_COLLECT:
		return (collect(x));
	case REQUEST_SEAL:
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
