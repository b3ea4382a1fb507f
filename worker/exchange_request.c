/*
 * worker/exchange_request.c - the request's way: read, seal, send.
 *
 * Nothing of a body that has work is queued to the origin before every action
 * was carried out on all of it.
 */
#include "worker/exchange.h"

#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/http/write.h"

#define RATE_GRACE_MS	5000	/* a body may be this slow to get going */

static bool run_actions(struct exchange *);

/* ---- reading ---- */

static bool
too_slow(const struct exchange *x)
{
	uint64_t ms = clock_mono_ms() - x->t_body_ms;
	unsigned min = x->wrk->conf->min_body_rate;

	return (min != 0 && ms > RATE_GRACE_MS && !x->reader.done &&
	    x->reader.total * 1000 / ms < min);
}

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
		if (buffer_append(&x->body, piece.p, piece.len) != RC_OK) {
			x->client_keep = false;
			exchange_fail(x, ERROR_PAYLOAD_TOO_LARGE, "request-body",
			    "the body is over the limit for bodies with selectors");
			return (false);
		}
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	x->tx.request_bytes = x->reader.total;
	if (rc == RC_MORE && too_slow(x)) {
		x->client_keep = false;
		exchange_fail(x, ERROR_CLIENT_TIMEOUT, "request-body",
		    "the body comes slower than the minimum rate");
		return (false);
	}
	if (rc == RC_OK)
		return (run_actions(x));
	return (true);
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

/* A write fails only when the stream broke (its own event tells) or memory is
 * short: then no byte may be missing in the middle. */
static bool
to_origin(struct exchange *x, const void *data, size_t len)
{
	if (net_stream_write(x->origin->stream, data, len) == RC_OK)
		return (true);
	exchange_origin_lost(x, "write failed");
	return (false);
}

static bool
send_head(struct exchange *x)
{
	struct buffer head;
	bool sent;

	buffer_init(&head, 0, true);
	buffer_put(&head, buffer_data(&x->head), buffer_len(&x->head));
	if (x->request == REQUEST_READY && x->has_body)
		http_write_length(&head, buffer_len(&x->body));
	http_write_end(&head);
	x->head_sent = true;
	sent = to_origin(x, buffer_data(&head), buffer_len(&head));
	buffer_fini(&head);
	return (sent);
}

/* The whole body in one piece.  It is kept for a repeat while the connection
 * is a reused one, which may turn out to be closed. */
static bool
send_body(struct exchange *x)
{
	x->request = REQUEST_SENT;
	if (x->origin->reused && !x->retried)
		return (to_origin(x, buffer_data(&x->body), buffer_len(&x->body)));
	if (net_stream_write_buffer(x->origin->stream, &x->body) == RC_OK)
		return (true);
	exchange_origin_lost(x, "write failed");
	return (false);
}

static bool
send_piece(struct exchange *x, struct span piece)
{
	char head[HTTP_CHUNK_HEAD_BYTES];
	size_t n;

	if (piece.len == 0)
		return (true);
	if (!x->chunked_out)
		return (to_origin(x, piece.p, piece.len));
	n = http_chunk_head(piece.len, head);
	return (to_origin(x, head, n) && to_origin(x, piece.p, piece.len) &&
	    to_origin(x, "\r\n", 2));
}

/* Pass on what is there, as long as the origin takes it. */
static bool
stream(struct exchange *x)
{
	struct buffer *in = net_stream_input(x->conn->stream);
	struct span piece;
	size_t used;
	enum rc rc;

	do {
		if (!exchange_room(x->origin->stream))
			return (true);		/* on_drained goes on */
		rc = body_reader_next(&x->reader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE)
			return (body_fault(x, rc));
		if (!send_piece(x, piece))
			return (false);
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	x->tx.request_bytes = x->reader.total;
	if (rc == RC_OK) {
		if (x->chunked_out && !to_origin(x, "0\r\n\r\n", 5))
			return (false);
		x->request = REQUEST_SENT;
	}
	return (true);
}

bool
exchange_request_pump(struct exchange *x)
{
	switch (x->request) {
	case REQUEST_COLLECT:
		return (collect(x));
	case REQUEST_SEAL:
	case REQUEST_SENT:
		return (true);
	case REQUEST_READY:
		if (x->origin == NULL)
			return (true);
		if (!send_head(x))
			return (false);
		return (send_body(x));
	case REQUEST_STREAM:
		if (x->origin == NULL)
			return (true);
		if (!x->head_sent && !send_head(x))
			return (false);
		return (stream(x));
	}
	return (true);
}
