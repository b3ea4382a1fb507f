/*
 * worker/exchange.c - life of an exchange: its origin, its deadlines, its end.
 * The request's way is in exchange_request.c, the response's in
 * exchange_response.c.
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

#define REFUSALS_PER_S	20	/* log lines; peers can cause them at will */
#define RATE_GRACE_MS	5000	/* a body may be this slow to get going */

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
	transform_abort(&x->transform);
	x->wrk->held_bytes -= x->held_bytes;
	if (x->take_id != 0)
		origin_cancel(x->wrk->origins, x->take_id);
	origin_drop(&x->origin);
	timer_fini(&x->timer);
	body_reader_fini(&x->reader);
	body_reader_fini(&x->rreader);
	http_head_fini(&x->rhead);
	buffer_fini(&x->head);
	buffer_fini(&x->body);
	buffer_fini(&x->back_head);
	buffer_fini(&x->rbody);
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
		conn_close(x->conn, CLOSE_CUT);
	else
		conn_refuse(x->conn, code, detail, x->tx.id,
		    x->method == HTTP_HEAD,
		    x->client_keep && x->body_taken);
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

bool
exchange_hold(struct exchange *x, size_t n)
{
	struct worker *w = x->wrk;

	if (n > w->conf->max_held_bytes - w->held_bytes)
		return (false);
	w->held_bytes += n;
	x->held_bytes += n;
	return (true);
}

void
exchange_let_go(struct exchange *x)
{
	size_t max = x->body.max;

	x->wrk->held_bytes -= x->held_bytes;
	x->held_bytes = 0;
	buffer_fini(&x->body);
	buffer_init(&x->body, max, true);
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
	case TRANSFORM_ENGINE:
		return (ERROR_ENGINE_UNAVAILABLE);
	case TRANSFORM_PENDING:
	case TRANSFORM_DONE:
		break;
	}
	return (ERROR_INTERNAL);
}

/* ---- deadlines: one timer, for whoever has to move next ---- */

enum waiting {
	WAIT_NOBODY,		/* pools have deadlines of their own */
	WAIT_CLIENT_BODY,
	WAIT_CLIENT_READS,
	WAIT_ORIGIN_READS,
	WAIT_ORIGIN_HEAD,
	WAIT_ORIGIN_BODY
};

bool
exchange_room(struct net_stream *to)
{
	return (net_stream_unsent(to) < EXCHANGE_UNSENT_MAX);
}

static enum waiting
whom(const struct exchange *x)
{
	if (x->transform != NULL)
		return (WAIT_NOBODY);
	if (x->answered && !exchange_room(x->conn->stream))
		return (WAIT_CLIENT_READS);
	if (x->request == REQUEST_COLLECT)
		return (WAIT_CLIENT_BODY);
	if (x->origin == NULL)
		return (WAIT_NOBODY);
	if (x->response == RESPONSE_STREAM || x->response == RESPONSE_COLLECT)
		return (WAIT_ORIGIN_BODY);
	if (!exchange_room(x->origin->stream))
		return (WAIT_ORIGIN_READS);
	if (x->request == REQUEST_STREAM)
		return (WAIT_CLIENT_BODY);
	return (WAIT_ORIGIN_HEAD);
}

static uint64_t
bytes_moved(const struct exchange *x)
{
	uint64_t n = net_stream_received_total(x->conn->stream) +
	    net_stream_sent_total(x->conn->stream);

	if (x->origin != NULL)
		n += net_stream_received_total(x->origin->stream) +
		    net_stream_sent_total(x->origin->stream);
	return (n);
}

static unsigned
patience_ms(const struct exchange *x, enum waiting w)
{
	const struct conf *conf = x->wrk->conf;

	switch (w) {
	case WAIT_NOBODY:
		return (0);
	case WAIT_CLIENT_BODY:
	case WAIT_ORIGIN_BODY:
		return (conf->body_timeout_ms);
	case WAIT_CLIENT_READS:
	case WAIT_ORIGIN_READS:
		return (conf->write_timeout_ms);
	case WAIT_ORIGIN_HEAD:
		return (x->relay->response_timeout_ms != 0 ?
		    x->relay->response_timeout_ms : conf->response_timeout_ms);
	}
	return (0);
}

static uint64_t
waited_ms(const struct exchange *x)
{
	return (clock_mono_ms() - x->t_waiting_ms);
}

void
exchange_arm(struct exchange *x)
{
	enum waiting w = whom(x);

	if (w == x->waiting)
		return;
	if (x->waiting == WAIT_CLIENT_BODY)
		x->client_ms += waited_ms(x);
	x->t_waiting_ms = clock_mono_ms();
	x->waiting = w;
	x->progress = bytes_moved(x);
	if (w == WAIT_NOBODY)
		timer_stop(&x->timer);
	else
		timer_start_ms(&x->timer, patience_ms(x, w));
}

/* Only time in which nobody but the client could move counts. */
bool
exchange_client_too_slow(const struct exchange *x)
{
	unsigned min = x->wrk->conf->min_body_rate;
	uint64_t ms = x->client_ms;

	if (x->waiting == WAIT_CLIENT_BODY)
		ms += waited_ms(x);
	return (min != 0 && ms > RATE_GRACE_MS && x->reader.total * 1000 / ms < min);
}

/* Bytes moved since: another period.  An origin's head has no such grace. */
static void
on_timer(void *arg)
{
	struct exchange *x = arg;
	uint64_t moved = bytes_moved(x);

	if (moved != x->progress && x->waiting != WAIT_ORIGIN_HEAD) {
		x->progress = moved;
		timer_start_ms(&x->timer, patience_ms(x, x->waiting));
		return;
	}
	switch ((enum waiting)x->waiting) {
	case WAIT_NOBODY:
		return;
	case WAIT_CLIENT_BODY:
		exchange_fail(x, ERROR_CLIENT_TIMEOUT, "request-body",
		    "the request body stopped coming");
		return;
	case WAIT_CLIENT_READS:
		transaction_end(&x->tx, x->conn->id, x->host, "client-stopped-reading");
		conn_close(x->conn, CLOSE_WRITE_TIMEOUT);
		return;
	case WAIT_ORIGIN_READS:
		exchange_fail(x, ERROR_REQUEST_TIMEOUT, "request-body",
		    "the destination stopped reading");
		return;
	case WAIT_ORIGIN_HEAD:
		exchange_fail(x, ERROR_REQUEST_TIMEOUT, "response-head",
		    "the destination did not answer in time");
		return;
	case WAIT_ORIGIN_BODY:
		exchange_fail(x, ERROR_REQUEST_TIMEOUT, "response-body",
		    "the response body stopped coming");
		return;
	}
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

/* RFC 9110 9.2.2. */
static bool
idempotent(enum http_method m)
{
	return (m == HTTP_GET || m == HTTP_HEAD || m == HTTP_PUT ||
	    m == HTTP_DELETE || m == HTTP_OPTIONS || m == HTTP_TRACE);
}

/* Nothing is to be sent yet: no connection is needed. */
static bool
still_reading(const struct exchange *x)
{
	return (x->request == REQUEST_COLLECT || x->request == REQUEST_SEAL);
}

/*
 * The connection broke before its answer began.  A reused one may have been
 * closed by the origin while our request was on its way: once more on a fresh
 * one, if no byte of the request left or a repeat does no harm, and if we
 * still hold all of it.
 */
static bool
may_retry(const struct exchange *x)
{
	if (x->response != RESPONSE_HEAD)
		return (false);
	if (still_reading(x))
		return (true);
	if (x->retried)
		return (false);
	if (!x->head_sent)
		return (true);
	return (x->origin->reused && idempotent(x->method) && x->request == REQUEST_SENT &&
	    (!x->has_body || buffer_len(&x->body) != 0));
}

void
exchange_origin_lost(struct exchange *x, const char *why)
{
	log_debug("conn=%llu origin lost why=\"%s\"",
	    (unsigned long long)x->conn->id, why);
	if (may_retry(x)) {
		x->head_sent = false;
		if (x->request == REQUEST_SENT)
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

void
exchange_start(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	timer_init(&x->timer, x->wrk->loop, on_timer, x);
	exchange_origin_ask(x, false);
	if (x->want_continue) {
		struct buffer line;

		buffer_init(&line, 0, false);
		http_write_status_line(&line, 100, SPAN_LIT(""));
		http_write_end(&line);
		/* A broken stream says so by its own event. */
		if (net_stream_write_buffer(x->conn->stream, &line) != RC_OK)
			log_debug("conn=%llu no 100 sent",
			    (unsigned long long)x->conn->id);
		buffer_fini(&line);
	}
	if (exchange_request_pump(x))
		exchange_arm(x);
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
	if (x->response == RESPONSE_STREAM)
		exchange_response_pump(x);
	else
		exchange_arm(x);
}

void
exchange_on_client_eof(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	x->client_keep = false;
	if (x->body_taken)
		return;		/* a half-close after a whole request is no abort */
	/* The rest may wait in our input: the reader finds out. */
	if (exchange_request_pump(x))
		exchange_arm(x);
}
