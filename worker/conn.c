/*
 * worker/conn.c - from accept to close.
 *
 *   HANDSHAKE -> IDLE -> HEAD -> EXCHANGE -> FLUSH -> IDLE ...
 *                                                  -> finished (lingers), cut
 *                                -> TUNNEL         -> finished
 *                             -> API -> FLUSH
 *                             -> WAIT -> HEAD, or, answered to a CONNECT:
 *                                HELLO -> HANDSHAKE -> IDLE, inside now
 *
 * One request at a time: pipelined ones wait in the stream's input until the
 * answer before them was taken by the kernel.
 */
#include "worker/conn.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "worker/accept.h"
#include "worker/api.h"
#include "worker/egress.h"
#include "worker/exchange.h"
#include "worker/ingress.h"
#include "worker/judge.h"
#include "worker/transaction.h"
#include "worker/tunnel.h"

#define INPUT_BYTES	65536	/* what a stream takes in by itself */
#define REFUSALS_PER_S	20	/* log lines; peers can cause them at will */
#define RATE_GRACE_MS	5000	/* a reader may be this slow to get going */
#define TLS_HANDSHAKE	22	/* a record's first byte (RFC 8446 5.1) */

static void on_ready(void *);
static void on_input(void *);
static void on_drained(void *);
static void on_eof(void *);
static void on_error(void *, enum net_reason, const char *);
static void name_client(struct conn *);

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
	case CONN_WAIT:
		return ("wait");
	case CONN_HELLO:
		return ("hello");
	case CONN_EXCHANGE:
		return ("exchange");
	case CONN_API:
		return ("api");
	case CONN_TUNNEL:
		return ("tunnel");
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
	case CLOSE_READS_SLOWLY:
		return ("reads-slowly");
	case CLOSE_TUNNEL_END:
		return ("tunnel-end");
	case CLOSE_TUNNEL_IDLE:
		return ("tunnel-idle");
	case CLOSE_TUNNEL_BROKE:
		return ("tunnel-broke");
	case CLOSE_KEY_REVOKED:
		return ("key-revoked");
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
	case CONN_HEAD:
		return (to == CONN_HEAD || to == CONN_EXCHANGE || to == CONN_FLUSH ||
		    to == CONN_API || to == CONN_WAIT || to == CONN_HELLO);
	case CONN_WAIT:
		return (to == CONN_HEAD || to == CONN_FLUSH || to == CONN_HELLO ||
		    to == CONN_TUNNEL);
	case CONN_HELLO:
		return (to == CONN_HANDSHAKE || to == CONN_FLUSH);
	case CONN_EXCHANGE:
		return (to == CONN_FLUSH || to == CONN_TUNNEL);
	case CONN_API:
		return (to == CONN_FLUSH);
	case CONN_FLUSH:
		return (to == CONN_IDLE);
	case CONN_TUNNEL:
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
	case CONN_HELLO:
		timer_start_ms(&c->timer, conf->handshake_timeout_ms);
		return;
	case CONN_IDLE:
		timer_start_ms(&c->timer, conf->idle_timeout_ms);
		return;
	case CONN_HEAD:
		timer_start_ms(&c->timer, conf->head_timeout_ms);
		return;
	case CONN_FLUSH:
		c->progress = c->flush_sent = net_stream_sent_total(c->stream);
		c->t_flush_ms = clock_mono_ms();
		timer_start_ms(&c->timer, conf->write_timeout_ms);
		return;
	case CONN_WAIT:		/* these have their own */
	case CONN_EXCHANGE:
	case CONN_API:
	case CONN_TUNNEL:
	case CONN_CLOSED:
		timer_stop(&c->timer);
		return;
	}
}

/* An answer that was worked on whole counts until its reader has taken it. */
static void
hold(struct conn *c, uint64_t bytes)
{
	c->wrk->held_bytes += bytes - c->held_bytes;
	c->held_bytes = bytes;
}

static void
bury(struct conn *c, enum close_reason why)
{
	struct worker *w = c->wrk;

	log_debug("conn=%llu closed in=%s why=%s", (unsigned long long)c->id,
	    state_name(c->state), conn_close_name(why));
	c->state = CONN_CLOSED;		/* first: what follows may call back */
	hold(c, 0);
	exchange_free(&c->exchange);
	api_free(&c->api);
	tunnel_free(&c->tunnel);
	egress_free(&c->egress);
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

static void
refuse_head(struct conn *c, enum error_code code, const char *detail)
{
	static struct log_rate rate;
	struct transaction tx;
	unsigned suppressed;

	transaction_begin(&tx);
	tx.status = error_info(code)->status;
	if (log_rate_ok(&rate, REFUSALS_PER_S, &suppressed))
		log_info("conn=%llu refused code=%s status=%u stage=request-head host=- "
		    "ctx=%s detail=\"%s\" suppressed=%u", (unsigned long long)c->id,
		    error_info(code)->name, tx.status, tx.id, detail, suppressed);
	transaction_end(&tx, c->id, "-", error_info(code)->name);
	conn_refuse(c, code, detail, tx.id, false, false);
}

static void
begin_api(struct conn *c)
{
	if ((c->api = api_begin(c)) == NULL)
		return;				/* refused, perhaps closed */
	buffer_consume(net_stream_input(c->stream), c->head.bytes);
	http_head_reset(&c->head);
	set_state(c, CONN_API);
	api_start(c->api);
}

/* c->head is a request. */
static void
begin(struct conn *c)
{
	c->asked = true;
	switch (c->kind) {
	case CONF_LISTEN_INGRESS:
		c->exchange = ingress_begin(c);
		break;
	case CONF_LISTEN_EGRESS:
	case CONF_LISTEN_EGRESS_PLAIN:
	case CONF_LISTEN_EGRESS_STRICT:
		c->exchange = egress_begin(c);
		break;
	case CONF_LISTEN_API:
	case CONF_LISTEN_API_TLS:
	case CONF_LISTEN_CA:
		begin_api(c);
		return;
	}
	if (c->exchange == NULL)
		return;			/* refused, perhaps closed; or it waits */
	buffer_consume(net_stream_input(c->stream), c->head.bytes);
	http_head_reset(&c->head);
	set_state(c, CONN_EXCHANGE);
	exchange_start(c->exchange);
}

static bool
speaks_plain(enum conf_listen_kind kind)
{
	return (kind == CONF_LISTEN_EGRESS_PLAIN || kind == CONF_LISTEN_API ||
	    kind == CONF_LISTEN_CA);
}

/* What is wrong with the head: most often, on a plain listener, all of it. */
static const char *
head_fault_detail(const struct conn *c, const struct buffer *in)
{
	if (*(const unsigned char *)buffer_data(in) == TLS_HANDSHAKE &&
	    speaks_plain(c->kind) &&
	    (c->egress == NULL || !egress_is_inside(c->egress)))
		return ("this listener takes no TLS");
	return (c->head.detail != NULL ? c->head.detail :
	    "the request head is broken");
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
		begin(c);
		return;
	case RC_MORE:
		if (c->state == CONN_IDLE)
			set_state(c, CONN_HEAD);
		if (c->eof)
			conn_close(c, CLOSE_CLIENT_CUT);
		return;
	default:
		refuse_head(c, judge_head_fault(c->head.fault),
		    head_fault_detail(c, in));
		return;
	}
}

void
conn_wait(struct conn *c)
{
	set_state(c, CONN_WAIT);
}

/* Its bytes may have moved meanwhile. */
void
conn_go_on(struct conn *c)
{
	http_head_reset(&c->head);
	set_state(c, CONN_HEAD);
	parse(c);
}

static void on_hello(struct conn *);

void
conn_connected(struct conn *c)
{
	buffer_consume(net_stream_input(c->stream), c->head.bytes);
	http_head_reset(&c->head);
	set_state(c, CONN_HELLO);
	on_hello(c);
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
	error_answer_put(&out, &(struct error_answer){
	    .code = code,
	    .detail = detail,
	    .ctx = ctx,
	    .inside = c->egress != NULL && egress_is_inside(c->egress),
	    .close = !keep,
	    .head_only = head_only,
	});
	queued = net_stream_write_buffer(c->stream, &out) == RC_OK;
	buffer_fini(&out);
	if (!queued) {
		conn_close(c, CLOSE_NO_MEMORY);
		return;
	}
	conn_answered(c, keep);
}

void
conn_input_high(struct conn *c, size_t bytes)
{
	size_t head = c->wrk->head_limits.head_bytes;

	/* A whole head must fit, or its limit would be a silent stall. */
	if (bytes < INPUT_BYTES)
		bytes = INPUT_BYTES;
	net_stream_set_input_high(c->stream, bytes > head ? bytes : head);
}

void
conn_answered(struct conn *c, bool keep)
{
	uint64_t unsent = net_stream_unsent(c->stream), held;

	obj_check(c, CONN_MAGIC);
	held = c->exchange != NULL ? c->exchange->held_bytes : api_held(c->api);
	exchange_free(&c->exchange);
	api_free(&c->api);
	hold(c, held < unsent ? held : unsent);
	conn_input_high(c, 0);
	c->close_after = !keep;
	set_state(c, CONN_FLUSH);
	/* Never from here: pipelined refusals would nest. */
	timer_start_ms(&c->timer, unsent == 0 ? 0 :
	    c->wrk->conf->write_timeout_ms);
}

void
conn_cut(struct conn *c)
{
	c->cut = true;
	conn_answered(c, false);
}

/* What is left of an answer goes slower than conf's min_read_rate. */
static bool
reads_too_slowly(const struct conn *c, uint64_t sent)
{
	unsigned min = c->wrk->conf->min_read_rate;
	uint64_t ms = clock_mono_ms() - c->t_flush_ms;

	return (min != 0 && ms > RATE_GRACE_MS &&
	    (sent - c->flush_sent) * 1000 / ms < min);
}

void
conn_tunnel(struct conn *c, struct origin_conn **origin,
    const struct key_name *key)
{
	obj_check(c, CONN_MAGIC);
	c->tunnel = tunnel_new(c, origin, key);
	exchange_free(&c->exchange);
	set_state(c, CONN_TUNNEL);
	tunnel_start(c->tunnel);
}

static void
flushed(struct conn *c)
{
	hold(c, 0);
	if (c->cut) {
		conn_close(c, CLOSE_CUT);
		return;
	}
	if (c->close_after || c->wrk->draining ||
	    (c->eof && buffer_len(net_stream_input(c->stream)) == 0)) {
		conn_finish(c, CLOSE_ANSWERED);
		return;
	}
	set_state(c, CONN_IDLE);
	parse(c);
}

/* ---- a tunnel's inside ---- */

/* The first byte behind CONNECT: TLS, or nothing that we could serve. */
static void
on_hello(struct conn *c)
{
	struct buffer *in = net_stream_input(c->stream);

	if (buffer_len(in) == 0) {
		if (c->eof)
			conn_finish(c, CLOSE_CLIENT_END);
		return;
	}
	if (*(const unsigned char *)buffer_data(in) != TLS_HANDSHAKE) {
		refuse_head(c, ERROR_BAD_REQUEST,
		    "only TLS is served inside a tunnel");
		return;
	}
	set_state(c, CONN_HANDSHAKE);
	c->stream = net_stream_accept_inside(&c->stream,
	    egress_tls(c->egress), &conn_ops, c);
	conn_input_high(c, 0);
}

/* ---- events ---- */

static void
on_ready(void *arg)
{
	struct conn *c = arg;

	if (c->egress != NULL && egress_is_inside(c->egress))
		egress_on_tls(c->egress);
	else
		name_client(c);		/* a PROXY header may have said who */
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
	case CONN_HELLO:
		on_hello(c);
		return;
	case CONN_EXCHANGE:
		exchange_on_client_input(c->exchange);
		return;
	case CONN_API:
		api_on_client_input(c->api);
		return;
	case CONN_TUNNEL:
		tunnel_on_client_input(c->tunnel);
		return;
	case CONN_WAIT:
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
	else if (c->state == CONN_API)
		api_on_client_drained(c->api);
	else if (c->state == CONN_TUNNEL)
		tunnel_on_client_drained(c->tunnel);
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
	case CONN_HELLO:
		conn_finish(c, CLOSE_CLIENT_END);
		return;
	case CONN_HEAD:
		conn_close(c, CLOSE_CLIENT_CUT);
		return;
	case CONN_EXCHANGE:
		exchange_on_client_eof(c->exchange);
		return;
	case CONN_API:
		api_on_client_eof(c->api);
		return;
	case CONN_TUNNEL:
		tunnel_on_client_eof(c->tunnel);
		return;
	case CONN_WAIT:
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

	if (c->state == CONN_HANDSHAKE && c->egress != NULL &&
	    egress_is_inside(c->egress))
		egress_on_tls_fault(c->egress, reason, why);
	else if (c->state == CONN_HANDSHAKE && log_rate_ok(&rate, 10, &suppressed))
		log_info("conn=%llu handshake failed client=%s reason=%s why=\"%s\" "
		    "suppressed=%u", (unsigned long long)c->id, c->client,
		    net_reason_name(reason), why, suppressed);
	if (c->state == CONN_EXCHANGE)
		transaction_end(&c->exchange->tx, c->id, c->exchange->host,
		    "client-broke");
	if (c->state == CONN_TUNNEL)
		tunnel_on_client_error(c->tunnel);
	else
		conn_close(c, CLOSE_CLIENT_BROKE);
}

static void
on_timer(void *arg)
{
	struct conn *c = arg;
	uint64_t sent;

	switch (c->state) {
	case CONN_HANDSHAKE:
	case CONN_HELLO:
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
		if (sent == c->progress || reads_too_slowly(c, sent)) {
			conn_close(c, sent == c->progress ? CLOSE_WRITE_TIMEOUT :
			    CLOSE_READS_SLOWLY);
			return;
		}
		c->progress = sent;
		timer_start_ms(&c->timer, c->wrk->conf->write_timeout_ms);
		return;
	case CONN_WAIT:
	case CONN_EXCHANGE:
	case CONN_API:
	case CONN_TUNNEL:
	case CONN_CLOSED:
		return;
	}
}

/* ---- birth ---- */

static bool
is_trusted(const struct worker *w, const struct net_addr *addr)
{
	for (size_t i = 0; i < w->n_trusted; i++)
		if (net_cidr_has(&w->trusted[i], addr))
			return (true);
	return (false);
}

/* Once its address is known: the peer's, or the one a trusted proxy told. */
static void
name_client(struct conn *c)
{
	const struct net_addr *addr = net_stream_peer(c->stream);

	c->trusted = net_stream_peer_is_known(c->stream) &&
	    is_trusted(c->wrk, addr);
	if (net_addr_ip(addr, c->client) != RC_OK)
		memcpy(c->client, "unknown", 8);
}

static struct net_stream *
open_stream(struct conn *c, int fd, const struct net_addr *peer)
{
	struct worker *w = c->wrk;
	SSL_CTX *ctx = certs_store_default(w->certs);

	/* Without TLS nothing tells a PROXY header from a request: a trusted
	 * proxy must send one there. */
	if (speaks_plain(c->kind))
		ctx = NULL;
	if (is_trusted(w, peer))
		return (net_stream_accept_proxied(w->loop, fd, ctx, &conn_ops, c));
	return (net_stream_accept(w->loop, fd, ctx, &conn_ops, c));
}

void
conn_new(struct worker *w, int fd, const struct net_addr *peer,
    enum conf_listen_kind kind)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->magic = CONN_MAGIC;
	c->id = ++w->next_conn_id;
	c->wrk = w;
	c->kind = kind;
	c->state = CONN_HANDSHAKE;
	http_head_init(&c->head);
	timer_init(&c->timer, w->loop, on_timer, c);
	c->stream = open_stream(c, fd, peer);
	conn_input_high(c, INPUT_BYTES);
	TAILQ_INSERT_TAIL(&w->live, c, link);
	w->n_live++;
	name_client(c);
	if (kind == CONF_LISTEN_EGRESS || kind == CONF_LISTEN_EGRESS_PLAIN ||
	    kind == CONF_LISTEN_EGRESS_STRICT)
		c->egress = egress_new(c);
	if (speaks_plain(kind) && !is_trusted(w, peer))
		set_state(c, CONN_IDLE);
	else
		timer_start_ms(&c->timer, w->conf->handshake_timeout_ms);
	log_debug("conn=%llu accepted client=%s", (unsigned long long)c->id, c->client);
}
