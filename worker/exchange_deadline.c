/*
 * worker/exchange_deadline.c - one timer, for whoever has to move next: each
 * state that waits has its own patience and its own reason.
 */
#include "worker/exchange.h"

#include "lib/base/clock.h"

#define RATE_GRACE_MS	5000	/* a peer may be this slow to get going */

enum waiting {
	WAIT_NOBODY,		/* pools have deadlines of their own */
	WAIT_CLIENT_BODY,
	WAIT_CLIENT_READS,
	WAIT_ORIGIN_READS,
	WAIT_ORIGIN_HEAD,
	WAIT_ORIGIN_BODY
};

static enum waiting
whom(const struct exchange *x)
{
	if (x->request == REQUEST_COLLECT)
		return (WAIT_CLIENT_BODY);
	if (x->auth_id != 0 || transform_is_pending(x->transform))
		return (WAIT_NOBODY);
	if (x->answered && !exchange_room(x->conn->stream))
		return (WAIT_CLIENT_READS);
	if (x->origin == NULL)
		return (WAIT_NOBODY);
	if (x->response == RESPONSE_STREAM || x->response == RESPONSE_COLLECT ||
	    x->response == RESPONSE_PIECES)
		return (WAIT_ORIGIN_BODY);
	if (!exchange_room(x->origin->stream))
		return (WAIT_ORIGIN_READS);
	if (exchange_streams(x))
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
		return (conf->body_timeout_ms);
	case WAIT_ORIGIN_BODY:
		return (conf->origin_body_timeout_ms);
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

/* The answer is taken slower than conf's min_read_rate. */
static bool
reads_too_slowly(const struct exchange *x)
{
	unsigned min = x->wrk->conf->min_read_rate;
	uint64_t ms = x->reads_ms + waited_ms(x);
	uint64_t unsent = net_stream_unsent(x->conn->stream);
	uint64_t taken = x->tx.response_bytes > unsent ?
	    x->tx.response_bytes - unsent : 0;

	return (min != 0 && ms > RATE_GRACE_MS && taken * 1000 / ms < min);
}

void
exchange_arm(struct exchange *x)
{
	enum waiting w = whom(x);

	if (w == x->waiting)
		return;
	if (x->waiting == WAIT_CLIENT_BODY)
		x->client_ms += waited_ms(x);
	if (x->waiting == WAIT_CLIENT_READS)
		x->reads_ms += waited_ms(x);
	x->t_waiting_ms = clock_mono_ms();
	x->waiting = w;
	x->progress = bytes_moved(x);
	if (w == WAIT_NOBODY)
		timer_stop(&x->timer);
	else if (w == WAIT_CLIENT_READS && reads_too_slowly(x))
		timer_start_ms(&x->timer, 0);	/* our callers still use x */
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
	return (min != 0 && ms > RATE_GRACE_MS && (x->reader.total +
	    buffer_len(net_stream_input(x->conn->stream))) * 1000 / ms < min);
}

/* Bytes moved since: another period.  An origin's head has no such grace. */
void
exchange_on_deadline(void *arg)
{
	struct exchange *x = arg;
	uint64_t moved = bytes_moved(x);

	if (moved != x->progress && x->waiting != WAIT_ORIGIN_HEAD &&
	    !(x->waiting == WAIT_CLIENT_READS && reads_too_slowly(x))) {
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
		conn_close(x->conn, reads_too_slowly(x) ? CLOSE_READS_SLOWLY :
		    CLOSE_WRITE_TIMEOUT);
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

