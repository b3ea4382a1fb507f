/*
 * worker/conn.c - from accept to close.
 *
 *   HANDSHAKE -> IDLE -> HEAD -> EXCHANGE -> FLUSH -> IDLE ...
 *                                                  -> finished (lingers)
 *
 * One request at a time: pipelined ones wait in the stream's input until the
 * answer before them was taken by the kernel.
 */
#include "worker/conn.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "worker/accept.h"
#include "worker/exchange.h"
#include "worker/ingress.h"
#include "worker/transaction.h"

#define INPUT_BYTES	65536	/* what a stream takes in by itself */

static void on_ready(void *);
static void on_input(void *);
static void on_drained(void *);
static void on_eof(void *);
static void on_error(void *, enum net_reason, const char *);

static const struct net_stream_ops conn_ops = {
	.on_ready = on_ready,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_eof = on_eof,
	.on_error = on_error,
};

static const char *
state_name(enum conn_state s)
{
	switch (s) {
	case CONN_HANDSHAKE:
		return ("handshake");
	case CONN_IDLE:
		return ("idle");
	case CONN_HEAD:
		return ("head");
	case CONN_EXCHANGE:
		return ("exchange");
	case CONN_FLUSH:
		return ("flush");
	case CONN_CLOSED:
		return ("closed");
	}
	return ("?");
}

const char *
conn_close_name(enum close_reason why)
{
	switch (why) {
	case CLOSE_CLIENT_END:
		return ("client-end");
	case CLOSE_CLIENT_CUT:
		return ("client-cut");
	case CLOSE_CLIENT_BROKE:
		return ("client-broke");
	case CLOSE_HANDSHAKE_TIMEOUT:
		return ("handshake-timeout");
	case CLOSE_IDLE_TIMEOUT:
		return ("idle-timeout");
	case CLOSE_WRITE_TIMEOUT:
		return ("write-timeout");
	case CLOSE_ANSWERED:
		return ("answered");
	case CLOSE_CUT:
		return ("answer-cut");
	case CLOSE_NO_MEMORY:
		return ("no-memory");
	case CLOSE_DRAIN:
		return ("drain");
	}
	return ("?");
}

/* ---- states ---- */

static bool
may_move(enum conn_state from, enum conn_state to)
{
	switch (from) {
	case CONN_HANDSHAKE:
		return (to == CONN_IDLE);
	case CONN_IDLE:
		return (to == CONN_HEAD || to == CONN_EXCHANGE || to == CONN_FLUSH);
	case CONN_HEAD:
		return (to == CONN_EXCHANGE || to == CONN_FLUSH);
	case CONN_EXCHANGE:
		return (to == CONN_FLUSH);
	case CONN_FLUSH:
		return (to == CONN_IDLE);
	case CONN_CLOSED:
		return (false);
	}
	return (false);
}

static void
set_state(struct conn *c, enum conn_state to)
{
	const struct conf *conf = c->wrk->conf;

	ensure(may_move(c->state, to));
	c->state = to;
	switch (to) {
	case CONN_HANDSHAKE:
		timer_start_ms(&c->timer, conf->handshake_timeout_ms);
		return;
	case CONN_IDLE:
		timer_start_ms(&c->timer, conf->idle_timeout_ms);
		return;
	case CONN_HEAD:
		timer_start_ms(&c->timer, conf->head_timeout_ms);
		return;
	case CONN_FLUSH:
		c->progress = net_stream_sent_total(c->stream);
		timer_start_ms(&c->timer, conf->write_timeout_ms);
		return;
	case CONN_EXCHANGE:	/* the exchange has its own */
	case CONN_CLOSED:
		timer_stop(&c->timer);
		return;
	}
}

static void
bury(struct conn *c, enum close_reason why)
{
	struct worker *w = c->wrk;

	log_debug("conn=%llu closed in=%s why=%s", (unsigned long long)c->id,
	    state_name(c->state), conn_close_name(why));
	c->state = CONN_CLOSED;		/* first: what follows may call back */
	exchange_free(&c->exchange);
	timer_fini(&c->timer);
	TAILQ_REMOVE(&w->live, c, link);
	w->n_live--;
	TAILQ_INSERT_TAIL(&w->dead, c, link);
	event_active(w->reap, EV_TIMEOUT, 0);
	accept_room(w->accept);
}

void
conn_close(struct conn *c, enum close_reason why)
{
	obj_check(c, CONN_MAGIC);
	if (c->state == CONN_CLOSED)
		return;
	bury(c, why);
	net_stream_close(&c->stream);
}

/* The stream flushes, says goodbye and lingers by itself. */
void
conn_finish(struct conn *c, enum close_reason why)
{
	obj_check(c, CONN_MAGIC);
	ensure(c->exchange == NULL);
	if (c->state == CONN_CLOSED)
		return;
	bury(c, why);
	net_stream_finish(&c->stream, c->wrk->conf->linger_ms);
}

void
conn_reap(struct worker *w)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&w->dead)) != NULL) {
		TAILQ_REMOVE(&w->dead, c, link);
		http_head_fini(&c->head);
		c->magic = 0;
		free(c);
	}
}

/* ---- requests ---- */

static enum error_code
head_error(enum http_fault fault)
{
	switch (fault) {
	case HTTP_FAULT_TARGET_LONG:
		return (ERROR_URI_TOO_LONG);
	case HTTP_FAULT_HEAD_LONG:
		return (ERROR_HEADER_TOO_LARGE);
	case HTTP_FAULT_VERSION:
		return (ERROR_HTTP_VERSION_NOT_SUPPORTED);
	case HTTP_FAULT_NONE:
	case HTTP_FAULT_SYNTAX:
		break;
	}
	return (ERROR_BAD_REQUEST);
}

static void
refuse_head(struct conn *c, enum error_code code, const char *detail)
{
	struct transaction tx;

	transaction_begin(&tx);
	tx.status = error_info(code)->status;
	transaction_end(&tx, c->id, "-", error_info(code)->name);
	conn_refuse(c, code, detail, tx.id, false, false);
}

/* Look for a request in what is there. */
static void
parse(struct conn *c)
{
	struct buffer *in = net_stream_input(c->stream);
	enum rc rc;

	if (buffer_len(in) == 0)
		return;
	rc = http_head_request(&c->head, buffer_data(in), buffer_len(in),
	    &c->wrk->head_limits);
	switch (rc) {
	case RC_OK:
		c->asked = true;
		c->exchange = ingress_begin(c);
		if (c->exchange == NULL)
			return;			/* refused, perhaps closed */
		buffer_consume(in, c->head.bytes);
		http_head_reset(&c->head);
		set_state(c, CONN_EXCHANGE);
		exchange_start(c->exchange);
		return;
	case RC_MORE:
		if (c->state == CONN_IDLE)
			set_state(c, CONN_HEAD);
		if (c->eof)
			conn_close(c, CLOSE_CLIENT_CUT);
		return;
	default:
		refuse_head(c, head_error(c->head.fault), c->head.detail != NULL ?
		    c->head.detail : "the request head is broken");
		return;
	}
}

void
conn_refuse(struct conn *c, enum error_code code, const char *detail,
    const char *ctx, bool head_only, bool keep)
{
	struct buffer out;
	bool queued;

	obj_check(c, CONN_MAGIC);
	keep = keep && !c->wrk->draining;
	buffer_init(&out, 0, false);
	error_answer_write(&out, code, detail, ctx, !keep, head_only);
	queued = net_stream_write_buffer(c->stream, &out) == RC_OK;
	buffer_fini(&out);
	if (!queued) {
		conn_close(c, CLOSE_NO_MEMORY);
		return;
	}
	conn_answered(c, keep);
}

void
conn_answered(struct conn *c, bool keep)
{
	obj_check(c, CONN_MAGIC);
	exchange_free(&c->exchange);
	c->close_after = !keep;
	set_state(c, CONN_FLUSH);
	/* Never from here: pipelined refusals would nest. */
	timer_start_ms(&c->timer, net_stream_unsent(c->stream) == 0 ? 0 :
	    c->wrk->conf->write_timeout_ms);
}

static void
flushed(struct conn *c)
{
	if (c->close_after || c->wrk->draining ||
	    (c->eof && buffer_len(net_stream_input(c->stream)) == 0)) {
		conn_finish(c, CLOSE_ANSWERED);
		return;
	}
	set_state(c, CONN_IDLE);
	parse(c);
}

/* ---- events ---- */

static void
on_ready(void *arg)
{
	struct conn *c = arg;

	set_state(c, CONN_IDLE);
}

static void
on_input(void *arg)
{
	struct conn *c = arg;

	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
		parse(c);
		return;
	case CONN_EXCHANGE:
		exchange_on_client_input(c->exchange);
		return;
	case CONN_FLUSH:		/* the next request waits */
	case CONN_HANDSHAKE:
	case CONN_CLOSED:
		return;
	}
}

static void
on_drained(void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_EXCHANGE)
		exchange_on_client_drained(c->exchange);
	else if (c->state == CONN_FLUSH)
		flushed(c);
}

static void
on_eof(void *arg)
{
	struct conn *c = arg;

	c->eof = true;
	switch (c->state) {
	case CONN_HANDSHAKE:
		conn_close(c, CLOSE_CLIENT_END);
		return;
	case CONN_IDLE:
		conn_finish(c, CLOSE_CLIENT_END);
		return;
	case CONN_HEAD:
		conn_close(c, CLOSE_CLIENT_CUT);
		return;
	case CONN_EXCHANGE:
		exchange_on_client_eof(c->exchange);
		return;
	case CONN_FLUSH:
	case CONN_CLOSED:
		return;
	}
}

static void
on_error(void *arg, enum net_reason reason, const char *why)
{
	static struct log_rate rate;
	struct conn *c = arg;
	unsigned suppressed;

	if (c->state == CONN_HANDSHAKE && log_rate_ok(&rate, 10, &suppressed))
		log_info("conn=%llu handshake failed client=%s reason=%s why=\"%s\" "
		    "suppressed=%u", (unsigned long long)c->id, c->client,
		    net_reason_name(reason), why, suppressed);
	conn_close(c, CLOSE_CLIENT_BROKE);
}

static void
on_timer(void *arg)
{
	struct conn *c = arg;
	uint64_t sent;

	switch (c->state) {
	case CONN_HANDSHAKE:
		conn_close(c, CLOSE_HANDSHAKE_TIMEOUT);
		return;
	case CONN_IDLE:
		conn_finish(c, CLOSE_IDLE_TIMEOUT);
		return;
	case CONN_HEAD:
		refuse_head(c, ERROR_CLIENT_TIMEOUT,
		    "the request head did not come in time");
		return;
	case CONN_FLUSH:
		sent = net_stream_sent_total(c->stream);
		if (net_stream_unsent(c->stream) == 0) {
			flushed(c);
			return;
		}
		if (sent == c->progress) {
			conn_close(c, CLOSE_WRITE_TIMEOUT);
			return;
		}
		c->progress = sent;
		timer_start_ms(&c->timer, c->wrk->conf->write_timeout_ms);
		return;
	case CONN_EXCHANGE:
	case CONN_CLOSED:
		return;
	}
}

/* ---- birth ---- */

void
conn_new(struct worker *w, int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	const struct net_addr *peer;

	c->magic = CONN_MAGIC;
	c->id = ++w->next_conn_id;
	c->wrk = w;
	c->state = CONN_HANDSHAKE;
	http_head_init(&c->head);
	timer_init(&c->timer, w->loop, on_timer, c);
	c->stream = net_stream_accept(w->loop, fd, certs_store_default(w->certs),
	    &conn_ops, c);
	/* A whole head must fit, or its limit would be a silent stall. */
	if (w->head_limits.head_bytes > INPUT_BYTES)
		net_stream_set_input_high(c->stream, w->head_limits.head_bytes);
	TAILQ_INSERT_TAIL(&w->live, c, link);
	w->n_live++;
	peer = net_stream_peer(c->stream);
	if (getnameinfo((const struct sockaddr *)&peer->ss, peer->len, c->client,
	    sizeof(c->client), NULL, 0, NI_NUMERICHOST) != 0)
		memcpy(c->client, "unknown", 8);
	timer_start_ms(&c->timer, w->conf->handshake_timeout_ms);
	log_debug("conn=%llu accepted client=%s", (unsigned long long)c->id, c->client);
}
