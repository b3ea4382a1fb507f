/*
 * worker/exchange.c - life of an exchange: its caller's key, its origin, its
 * end.  The request's way is in exchange_request.c, the response's in
 * exchange_response.c, who is waited for in exchange_deadline.c.
 *
 * Any function that may end the exchange is the last thing its caller does, or
 * says so by its result.
 */
#include "worker/exchange.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/write.h"
#include "worker/api_key.h"

#define REFUSALS_PER_S	20	/* log lines; peers can cause them at will */

static void on_origin_input(void *);
static void on_origin_drained(void *);
static void on_origin_eof(void *);
static void on_origin_error(void *, enum net_reason, const char *);

static const struct net_stream_ops origin_ops = {
	.on_input = on_origin_input,
	.on_drained = on_origin_drained,
	.on_eof = on_origin_eof,
	.on_error = on_origin_error,
};

/* ---- the end ---- */

void
exchange_free(struct exchange **xp)
{
	struct exchange *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	obj_check(x, EXCHANGE_MAGIC);
	transform_free(&x->transform);
	x->wrk->held_bytes -= x->held_bytes;
	api_key_cancel(x->wrk->api_keys, x->auth_id);
	if (x->take_id != 0)
		origin_cancel(x->wrk->origins, x->take_id);
	origin_drop(&x->origin);
	timer_fini(&x->expect);
	timer_fini(&x->timer);
	body_reader_fini(&x->reader);
	body_reader_fini(&x->rreader);
	http_head_fini(&x->rhead);
	buffer_fini(&x->head);
	buffer_fini(&x->body);
	buffer_fini(&x->back_head);
	buffer_fini(&x->rbody);
	buffer_fini(&x->trailers);
	buffer_fini(&x->api_key);
	buffer_fini(&x->again);
	relay_unref(&x->relay);
	x->magic = 0;
	free(x);
}

void
exchange_fail(struct exchange *x, enum error_code code, const char *stage,
    const char *detail)
{
	static struct log_rate rate;
	const struct error_info *e = error_info(code);
	unsigned suppressed;

	if (log_rate_ok(&rate, REFUSALS_PER_S, &suppressed))
		log_info("conn=%llu refused code=%s status=%u stage=%s host=%s ctx=%s "
		    "detail=\"%s\" suppressed=%u", (unsigned long long)x->conn->id,
		    e->name, e->status, stage, x->host, x->tx.id, detail, suppressed);
	x->tx.status = x->tx.status != 0 ? x->tx.status : e->status;
	transaction_end(&x->tx, x->conn->id, x->host, e->name);
	if (x->answered)
		conn_cut(x->conn);
	else
		conn_refuse(x->conn, code, detail, x->tx.id,
		    x->method == HTTP_HEAD, x->client_keep &&
		    x->client_minor >= 1 && x->body_taken);
}

void
exchange_done(struct exchange *x)
{
	bool keep = !x->close_after && x->body_taken;

	ensure(x->response == RESPONSE_DONE);
	if (x->origin_keep && x->request == REQUEST_SENT && !x->origin_deaf)
		origin_give(&x->origin);
	transaction_end(&x->tx, x->conn->id, x->host, "done");
	conn_answered(x->conn, keep);
}

/* A body that is read whole stands in the stream's input until then, and is
 * queued to the destination in one piece. */
static uint64_t
request_held(const struct exchange *x)
{
	uint64_t bytes = buffer_len(&x->body) + buffer_len(&x->again);

	if (x->request == REQUEST_COLLECT)
		bytes += buffer_len(net_stream_input(x->conn->stream));
	if (x->collected && x->origin != NULL)
		bytes += net_stream_unsent(x->origin->stream);
	return (bytes);
}

/* What was read of an answer before it could be passed on is queued at once;
 * what passes as it comes is not, see exchange_room. */
static uint64_t
response_held(const struct exchange *x)
{
	uint64_t bytes = buffer_len(&x->rbody);

	if (x->answered && (x->unread || x->rsyntax != REWRITE_NONE))
		bytes += net_stream_unsent(x->conn->stream);
	return (bytes);
}

bool
exchange_account(struct exchange *x)
{
	struct worker *w = x->wrk;
	uint64_t bytes = request_held(x) + response_held(x) +
	    (x->reserved_bytes != 0 ? x->reserved_bytes :
	    transform_held(x->transform));

	w->held_bytes += bytes - x->held_bytes;
	x->held_bytes = bytes;
	return (w->held_bytes <= w->conf->max_held_bytes);
}

void
exchange_let_go(struct exchange *x)
{
	buffer_fini(&x->body);
	buffer_init(&x->body, 0, true);
	(void)exchange_account(x);	/* it can only be less */
}

static bool
reserve(void *arg, size_t bytes)
{
	struct exchange *x = arg;

	x->reserved_bytes = transform_held(x->transform) + bytes;
	if (exchange_account(x))
		return (true);
	x->reserved_bytes = 0;
	(void)exchange_account(x);
	return (false);
}

struct transform *
exchange_transform(struct exchange *x, const struct relay_action *action,
    enum rewrite_syntax syntax, struct buffer *head, struct buffer *body,
    bool pieces, transform_cb *cb)
{
	const struct relay *r = x->relay;
	const struct transform_job job = {
		.engines = x->wrk->engines,
		.relay = r,
		.action = action,
		.client = x->conn->client,
		.head = head,
		.body = body,
		.syntax = buffer_len(body) == 0 && !pieces ? REWRITE_NONE : syntax,
		/* On the way in the caller is told; on the way back it stays
		 * sealed. */
		.forbidden_fails = head == &x->head,
		.pieces = pieces,
		.tx = &x->tx,
		.max_fields = r->max_body_fields != 0 ? r->max_body_fields :
		    x->wrk->conf->max_body_fields,
		.max_bytes = EXCHANGE_RESULT_MAX,
		.reserve = reserve,
	};

	return (transform_new(&job, cb, x));
}

enum error_code
exchange_transform_error(enum transform_result r)
{
	switch (r) {
	case TRANSFORM_MALFORMED:
		return (ERROR_MALFORMED_BODY);
	case TRANSFORM_TOO_MANY:
		return (ERROR_TOO_MANY_FIELDS);
	case TRANSFORM_TOO_LARGE:
		return (ERROR_PAYLOAD_TOO_LARGE);
	case TRANSFORM_OVERLOADED:
		return (ERROR_OVERLOADED);
	case TRANSFORM_UNDECRYPTABLE:
		return (ERROR_DECRYPTION);
	case TRANSFORM_FORBIDDEN:
		return (ERROR_DECRYPT_FORBIDDEN);
	case TRANSFORM_RATE_LIMITED:
		return (ERROR_RATE_LIMITED);
	case TRANSFORM_ENGINE:
		return (ERROR_ENGINE_UNAVAILABLE);
	case TRANSFORM_PENDING:
	case TRANSFORM_PIECE:
	case TRANSFORM_DONE:
		break;
	}
	return (ERROR_INTERNAL);
}

bool
exchange_room(struct net_stream *to)
{
	return (net_stream_unsent(to) < EXCHANGE_UNSENT_MAX);
}

/* ---- the origin ---- */

static enum error_code
origin_error(enum origin_fault fault)
{
	switch (fault) {
	case ORIGIN_UNRESOLVED:
	case ORIGIN_REFUSED:
		return (ERROR_SERVICE_UNAVAILABLE);
	case ORIGIN_TIMEOUT:
		return (ERROR_REQUEST_TIMEOUT);
	case ORIGIN_TLS:
		return (ERROR_UPSTREAM_TLS);
	case ORIGIN_LOOP:
		return (ERROR_TUNNEL_LOOP);
	case ORIGIN_OK:
		break;
	}
	return (ERROR_INTERNAL);
}

static const char *
origin_detail(enum origin_fault fault)
{
	switch (fault) {
	case ORIGIN_UNRESOLVED:
		return ("the destination's name does not resolve");
	case ORIGIN_REFUSED:
		return ("the destination refused the connection");
	case ORIGIN_TIMEOUT:
		return ("the destination did not accept a connection in time");
	case ORIGIN_TLS:
		return ("no trusted TLS connection to the destination");
	case ORIGIN_LOOP:
		return ("the destination is this relay itself");
	case ORIGIN_OK:
		break;
	}
	return ("");
}

static void
on_origin_ready(void *arg, enum origin_fault fault, const char *why,
    struct origin_conn *c)
{
	static struct log_rate rate;
	struct exchange *x = arg;
	unsigned suppressed;

	x->take_id = 0;
	if (fault != ORIGIN_OK) {
		if (log_rate_ok(&rate, REFUSALS_PER_S, &suppressed))
			log_info("conn=%llu origin failed destination=%s port=%u "
			    "why=\"%s\" suppressed=%u",
			    (unsigned long long)x->conn->id, x->relay->host,
			    x->relay->port, why, suppressed);
		exchange_fail(x, origin_error(fault), "connect",
		    origin_detail(fault));
		return;
	}
	x->origin = c;
	x->origin_deaf = false;
	net_stream_set_ops(c->stream, &origin_ops, x);
	if (exchange_request_pump(x))
		exchange_arm(x);
}

void
exchange_origin_ask(struct exchange *x, bool fresh)
{
	x->take_id = origin_take(x->wrk->origins, x->relay, fresh,
	    on_origin_ready, x);
}

bool
exchange_idempotent(enum http_method m)
{
	return (m == HTTP_GET || m == HTTP_HEAD || m == HTTP_PUT ||
	    m == HTTP_DELETE || m == HTTP_OPTIONS || m == HTTP_TRACE);
}

/* Nothing is to be sent yet: no connection is needed. */
static bool
still_reading(const struct exchange *x)
{
	return (x->request == REQUEST_AUTH || x->request == REQUEST_COLLECT ||
	    x->request == REQUEST_SEAL);
}

/*
 * The connection broke before its answer began.  A reused one may have been
 * closed by the origin while our request was on its way: once more on a fresh
 * one, if no byte of the request left or a repeat does no harm, and if we
 * still hold all of it.
 */
static bool
may_retry(struct exchange *x)
{
	if (x->response != RESPONSE_HEAD)
		return (false);
	if (still_reading(x))
		return (true);
	if (x->retried)
		return (false);
	if (!x->head_sent || net_stream_take_back(x->origin->stream, x->sent_mark,
	    &x->again))
		return (true);
	return (x->origin->reused && exchange_idempotent(x->method) && x->request == REQUEST_SENT &&
	    (!x->has_body || buffer_len(&x->body) != 0));
}

void
exchange_origin_lost(struct exchange *x, const char *why)
{
	log_debug("conn=%llu origin lost why=\"%s\"",
	    (unsigned long long)x->conn->id, why);
	if (may_retry(x)) {
		x->head_sent = false;
		if (x->request == REQUEST_SENT && buffer_len(&x->again) == 0)
			x->request = REQUEST_READY;
		origin_drop(&x->origin);
		http_head_reset(&x->rhead);
		if (!still_reading(x)) {	/* else: asked when it is needed */
			x->retried = true;
			exchange_origin_ask(x, true);
		}
		exchange_arm(x);
		return;
	}
	exchange_fail(x, ERROR_UPSTREAM_PROTOCOL, "response",
	    x->response == RESPONSE_HEAD ?
	    "the destination closed the connection without an answer" :
	    "the destination cut its answer short");
}

static void
on_origin_input(void *arg)
{
	exchange_response_pump(arg);
}

static void
on_origin_drained(void *arg)
{
	struct exchange *x = arg;

	(void)exchange_account(x);
	if (exchange_request_pump(x))
		exchange_arm(x);
}

static void
on_origin_eof(void *arg)
{
	exchange_response_eof(arg);
}

/* What came before it broke counts: input that waits for a slow client, or an
 * answer that is whole already. */
static void
on_origin_error(void *arg, enum net_reason reason, const char *why)
{
	struct exchange *x = arg;

	(void)reason;
	if (x->response == RESPONSE_HEAD) {
		exchange_origin_lost(x, why);
		return;
	}
	x->origin_deaf = x->origin_cut = true;
	exchange_response_eof(x);
}

/* ---- events of the conn ---- */

bool
exchange_say_continue(struct exchange *x)
{
	struct buffer line;
	enum rc rc;

	timer_stop(&x->expect);
	if (!x->wants_continue || x->answered)
		return (true);
	x->wants_continue = false;
	buffer_init(&line, 0, false);
	http_write_status_line(&line, 100, SPAN_LIT(""));
	http_write_end(&line);
	rc = net_stream_write_buffer(x->conn->stream, &line);
	buffer_fini(&line);
	if (rc != RC_NOMEM)
		return (true);	/* a broken stream says so by its own event */
	conn_close(x->conn, CLOSE_NO_MEMORY);
	return (false);
}

/* The destination says nothing: the client may go on (RFC 9110 10.1.1). */
static void
on_expect(void *arg)
{
	struct exchange *x = arg;

	if (exchange_say_continue(x))
		exchange_arm(x);
}

/* A body of known length that is read whole stands in the stream's input. */
static void
make_room(struct exchange *x)
{
	if (x->request == REQUEST_COLLECT && x->reader.kind == HTTP_BODY_LENGTH)
		conn_input_high(x->conn, exchange_enough(x));
}

/* The caller may: ask for a connection, and begin to read. */
static void
begin(struct exchange *x)
{
	exchange_origin_ask(x, false);
	make_room(x);
	if (!x->collected && x->wants_continue)
		timer_start_ms(&x->expect, x->wrk->conf->expect_timeout_ms);
	else if (!exchange_say_continue(x))
		return;
	if (exchange_request_pump(x))
		exchange_arm(x);
}

static void
on_verdict(void *arg, enum api_key_verdict verdict)
{
	struct exchange *x = arg;

	x->auth_id = 0;
	switch (verdict) {
	case API_KEY_GOOD:
		x->request = x->after_auth;
		begin(x);
		return;
	case API_KEY_BAD:
		exchange_fail(x, ERROR_UNAUTHORIZED, "authentication",
		    "the API key is not good for this relay");
		return;
	case API_KEY_NO_ENGINE:
		exchange_fail(x, ERROR_ENGINE_UNAVAILABLE, "authentication",
		    "no engine could check the API key");
		return;
	}
}

static void
authenticate(struct exchange *x)
{
	enum api_key_verdict now = API_KEY_NO_ENGINE;

	x->after_auth = x->request;
	x->request = REQUEST_AUTH;
	x->auth_id = api_key_ask(x->wrk->api_keys, x->relay->app, (struct span){
	    buffer_data(&x->api_key), buffer_len(&x->api_key) }, on_verdict, x,
	    &now);
	buffer_clear(&x->api_key);
	if (x->auth_id == 0)
		on_verdict(x, now);
	else
		exchange_arm(x);
}

void
exchange_start(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	timer_init(&x->timer, x->wrk->loop, exchange_on_deadline, x);
	timer_init(&x->expect, x->wrk->loop, on_expect, x);
	if (x->relay->api_key)
		authenticate(x);
	else
		begin(x);
}

void
exchange_on_client_input(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	if (exchange_request_pump(x))
		exchange_arm(x);
}

void
exchange_on_client_drained(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	(void)exchange_account(x);
	if (x->response == RESPONSE_STREAM || x->response == RESPONSE_PIECES)
		exchange_response_pump(x);
	else
		exchange_arm(x);
}

void
exchange_on_client_eof(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	if (x->body_taken)
		return;		/* a half-close after a whole request is no abort,
				   and others may wait behind it */
	/* The rest may wait in our input: the reader finds out. */
	if (exchange_request_pump(x))
		exchange_arm(x);
}
