/* worker_engine.c - see worker_engine.h. */
#include "tests/unit/worker_engine.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/net/tls.h"
#include "lib/rpc/sign.h"
#include "tests/unit/test_certs.h"

#define STALL_MS	10000

/* ---- the lab ---- */

static SSL_CTX *
link_ctx(bool server, const struct test_cert *ca, const char *san)
{
	struct test_cert *leaf = test_leaf_new(ca, "link", san, 3600);
	char why[128];
	SSL_CTX *ctx;

	ctx = net_tls_link_ctx(server, &(struct net_tls_link_files){
	    .chain = leaf->cert_pem, .key = leaf->key_pem, .ca = ca->cert_pem },
	    why, sizeof(why));
	if (ctx == NULL)
		fail_msg("no link context: %s", why);
	test_cert_free(&leaf);
	return (ctx);
}

void
lab_start(struct lab *lab)
{
	struct test_cert *ca = test_ca_new("link CA");

	lab->loop = loop_new();
	lab->server_ctx = link_ctx(true, ca, "URI:relay://link/engine/e1");
	lab->client_ctx = link_ctx(false, ca, "URI:relay://link/worker/w1");
	test_cert_free(&ca);
}

void
lab_stop(struct lab *lab)
{
	SSL_CTX_free(lab->server_ctx);
	SSL_CTX_free(lab->client_ctx);
	loop_free(&lab->loop);
}

/* ---- an engine ---- */

static void
answer_ping(struct engine_link *l, uint64_t id)
{
	struct buffer body;

	l->engine->n_pings++;
	if (l->engine->mute) {
		l->engine->unanswered = l;
		l->engine->unanswered_id = id;
		return;
	}
	buffer_init(&body, 0, false);
	rpc_put_map(&body, l->engine->keys_epoch != 0 ? 3 : 2);
	rpc_put_str(&body, "ready");
	rpc_put_bool(&body, l->engine->ready);
	rpc_put_str(&body, "draining");
	rpc_put_bool(&body, l->engine->draining);
	if (l->engine->keys_epoch != 0) {
		rpc_put_str(&body, "keys_epoch");
		rpc_put_u64(&body, l->engine->keys_epoch);
	}
	engine_reply(l, id, RPC_STATUS_OK, &body, false);
	buffer_fini(&body);
}

static void
answer_challenge(struct engine_link *l, uint64_t id)
{
	static const char challenge[RPC_CHALLENGE_BYTES] = "challenge";
	struct buffer body;

	buffer_init(&body, 0, false);
	rpc_pack(&body, RPC_BIN("challenge", challenge, sizeof(challenge)),
	    RPC_BOOL("every_call", false));
	engine_reply(l, id, RPC_STATUS_OK, &body, false);
	buffer_fini(&body);
}

static void
take_call(struct engine_link *l, const struct rpc_call_frame *f)
{
	struct worker_engine *e = l->engine;

	if (span_eq_str(f->op, "Ping")) {
		answer_ping(l, f->id);
	} else if (span_eq_str(f->op, "Challenge")) {
		answer_challenge(l, f->id);
	} else if (span_eq_str(f->op, "Cancel")) {
		e->n_cancels++;
		engine_reply(l, f->id, RPC_STATUS_OK, NULL, false);
	} else {
		e->n_calls++;
		if (e->on_call != NULL)
			e->on_call(e->arg, l, f);
	}
}

static void
on_input(void *arg)
{
	struct engine_link *l = arg;
	struct rpc_call_frame f;
	struct span payload;
	struct buffer *in;
	size_t used;

	while (l->stream != NULL) {
		in = net_stream_input(l->stream);
		if (rpc_frame_next(buffer_data(in), buffer_len(in),
		    RPC_FRAME_BYTES_MAX, &payload, &used) != RC_OK) {
			net_stream_set_input_high(l->stream,
			    used > 65536 ? used : 65536);
			return;
		}
		assert_int_equal(rpc_call_frame_read(&f, payload), RC_OK);
		take_call(l, &f);
		rpc_call_frame_fini(&f);
		if (l->stream != NULL)
			buffer_consume(in, used);
	}
}

static void
on_nothing(void *arg)
{
	(void)arg;
}

static void
on_eof(void *arg)
{
	engine_cut(arg);
}

static void
on_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	engine_cut(arg);
}

static const struct net_stream_ops link_ops = {
	.on_ready = on_nothing,
	.on_input = on_input,
	.on_drained = on_nothing,
	.on_eof = on_eof,
	.on_error = on_error,
};

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct worker_engine *e = arg;
	struct engine_link *l;
	int fd;

	(void)what;
	fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	l = calloc(1, sizeof(*l));
	assert_non_null(l);
	l->engine = e;
	l->stream = net_stream_accept(e->lab->loop, fd, e->lab->server_ctx,
	    &link_ops, l);
	LIST_INSERT_HEAD(&e->links, l, chain);
	e->n_links++;
}

static void
listen_at(struct worker_engine *e, const char *text)
{
	struct net_addr addr;

	assert_int_equal(net_addr_parse(text, &addr), RC_OK);
	e->listen_fd = socket(addr.ss.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(e->listen_fd >= 0);
	assert_int_equal(bind(e->listen_fd, (struct sockaddr *)&addr.ss, addr.len), 0);
	assert_int_equal(listen(e->listen_fd, 16), 0);
}

static uint16_t
bound_port(int fd)
{
	struct net_addr addr;

	memset(&addr, 0, sizeof(addr));
	addr.len = sizeof(addr.ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr.ss, &addr.len), 0);
	return (net_addr_port(&addr));
}

void
worker_engine_start(struct worker_engine *e, struct lab *lab, bool tcp)
{
	memset(e, 0, sizeof(*e));
	e->lab = lab;
	e->ready = true;
	e->keys_epoch = 1;
	LIST_INIT(&e->links);
	if (tcp) {
		listen_at(e, "127.0.0.1:0");
		(void)snprintf(e->address, sizeof(e->address), "localhost:%u",
		    bound_port(e->listen_fd));
	} else {
		(void)snprintf(e->dir, sizeof(e->dir), "/tmp/worker-engine-XXXXXX");
		assert_non_null(mkdtemp(e->dir));
		(void)snprintf(e->address, sizeof(e->address), "unix:%s/s", e->dir);
		listen_at(e, e->address);
	}
	e->ev_accept = event_new(loop_base(lab->loop), e->listen_fd,
	    EV_READ | EV_PERSIST, on_accept, e);
	assert_int_equal(event_add(e->ev_accept, NULL), 0);
}

void
worker_engine_cut(struct worker_engine *e)
{
	struct engine_link *l;

	LIST_FOREACH(l, &e->links, chain)
		engine_cut(l);
}

void
worker_engine_stop(struct worker_engine *e)
{
	struct engine_link *l;

	worker_engine_cut(e);
	while ((l = LIST_FIRST(&e->links)) != NULL) {
		LIST_REMOVE(l, chain);
		free(l);
	}
	event_free(e->ev_accept);
	fd_close(&e->listen_fd);
	if (e->dir[0] == '\0')
		return;
	(void)unlink(e->address + strlen("unix:"));
	(void)rmdir(e->dir);
}

void
worker_engine_unmute(struct worker_engine *e)
{
	e->mute = false;
	assert_non_null(e->unanswered);
	answer_ping(e->unanswered, e->unanswered_id);
	e->unanswered = NULL;
}

struct engine_pool *
lab_pool(struct lab *lab, struct net_dns *dns, unsigned timeout_ms,
    struct worker_engine *const *engines, size_t n)
{
	static const char *addresses[4];	/* the pool borrows the texts */

	assert_in_range(n, 0, 4);
	for (size_t i = 0; i < n; i++)
		addresses[i] = engines[i]->address;
	return (engine_pool_new(lab->loop, &(struct engine_pool_config){
	    .addresses = addresses,
	    .n_addresses = n,
	    .dns = dns,
	    .ctx = lab->client_ctx,
	    .links = 1,
	    .timeout_ms = timeout_ms,
	    .stall_ms = STALL_MS,
	}));
}

/* ---- what it says ---- */

void
engine_reply(struct engine_link *l, uint64_t id, enum rpc_status status,
    const struct buffer *body, bool more)
{
	struct buffer out, empty;

	if (l->stream == NULL)
		return;
	buffer_init(&out, 0, false);
	buffer_init(&empty, 0, false);
	if (body == NULL) {
		rpc_put_array(&empty, 0);
		body = &empty;
	}
	assert_int_equal(rpc_reply_frame_write(&out, id, status,
	    (struct span){ buffer_data(body), buffer_len(body) }, more), RC_OK);
	assert_int_equal(net_stream_write(l->stream, buffer_data(&out),
	    buffer_len(&out)), RC_OK);
	buffer_fini(&out);
	buffer_fini(&empty);
}

void
engine_cut(struct engine_link *l)
{
	net_stream_close(&l->stream);
}
