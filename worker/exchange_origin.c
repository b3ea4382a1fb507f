/*
 * worker/exchange_origin.c - an exchange and its connection to the destination:
 * asked for, lost, tried again.
 */
#include "worker/exchange.h"

#include "lib/base/log.h"
#include "worker/egress.h"

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

enum error_code
exchange_origin_error(enum origin_fault fault)
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
	case ORIGIN_FORBIDDEN:
		return (ERROR_FORBIDDEN_DESTINATION);
	case ORIGIN_OK:
		break;
	}
	return (ERROR_INTERNAL);
}

const char *
exchange_origin_detail(enum origin_fault fault)
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
	case ORIGIN_FORBIDDEN:
		return ("the destination's address is not public, and the app's "
		    "record does not say internal");
	case ORIGIN_OK:
		break;
	}
	return ("");
}

static void
use_origin(struct exchange *x, struct origin_conn *c)
{
	x->origin = c;
	x->origin_deaf = false;
	net_stream_set_ops(c->stream, &origin_ops, x);
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
		exchange_fail(x, exchange_origin_error(fault), "connect",
		    exchange_origin_detail(fault));
		return;
	}
	use_origin(x, c);
	if (exchange_request_pump(x))
		exchange_arm(x);
}

void
exchange_origin_ask(struct exchange *x, bool fresh)
{
	struct origin_conn *kept = x->egress && !fresh ?
	    egress_kept_origin(x->conn->egress, x->relay) : NULL;

	if (kept != NULL) {
		use_origin(x, kept);
		return;
	}
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
	return (x->origin->reused && exchange_idempotent(x->method) &&
	    x->request == REQUEST_SENT && (!x->has_body || buffer_len(&x->body) != 0));
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
