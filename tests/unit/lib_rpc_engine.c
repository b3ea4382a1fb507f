/* lib_rpc_engine.c - see lib_rpc_engine.h. */
#include "lib_rpc_engine.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "test_certs.h"


static void
on_ready(void *arg)
{
	struct engine *e = arg;

	e->accepted = true;
}

static void
greet(struct engine *e, uint64_t id)
{
	struct buffer body;

	e->greeted = true;
	e->greeting_id = id;
	buffer_init(&body, 0, false);
	rpc_pack(&body, RPC_BIN("challenge", ENGINE_CHALLENGE,
	    strlen(ENGINE_CHALLENGE)), RPC_BOOL("every_call", e->every_call));
	engine_reply(e, id, RPC_STATUS_OK, &body, false);
	buffer_fini(&body);
}

static void
take_call(struct engine *e, const struct rpc_call_frame *f, struct span payload)
{
	if (!e->greeted && !e->own_challenge) {
		assert_true(span_eq_str(f->op, "Challenge"));
		greet(e, f->id);
		return;
	}
	assert_true(e->n_seen < ENGINE_SEEN_MAX);
	e->seen_id[e->n_seen] = f->id;
	assert_true(span_copy(f->op, e->seen_op[e->n_seen], 32));
	e->n_seen++;
	if (e->on_call != NULL)
		e->on_call(e, f, payload);
}

static void
on_input(void *arg)
{
	struct engine *e = arg;
	struct rpc_call_frame f;
	struct span payload;
	struct buffer *in;
	size_t used;

	while (e->stream != NULL) {
		in = net_stream_input(e->stream);
		if (rpc_frame_next(buffer_data(in), buffer_len(in),
		    RPC_FRAME_BYTES_MAX, &payload, &used) != RC_OK) {
			if (!e->sips)
				net_stream_set_input_high(e->stream,
				    used > 65536 ? used : 65536);
			return;
		}
		assert_int_equal(rpc_call_frame_read(&f, payload), RC_OK);
		take_call(e, &f, payload);
		rpc_call_frame_fini(&f);
		if (e->stream != NULL)
			buffer_consume(in, used);
	}
}

static void
on_drained(void *arg)
{
	(void)arg;
}

static void
on_eof(void *arg)
{
	struct engine *e = arg;

	e->gone = true;
	net_stream_close(&e->stream);
}

static void
on_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	on_eof(arg);
}

static const struct net_stream_ops ops = {
	.on_ready = on_ready,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_eof = on_eof,
	.on_error = on_error,
};

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct engine *e = arg;
	int fd;

	(void)what;
	if (e->silent)
		return;
	fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (e->send_buffer_bytes != 0)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF,
		    &e->send_buffer_bytes, sizeof(e->send_buffer_bytes)), 0);
	assert_null(e->stream);
	e->greeted = false;
	e->stream = net_stream_accept(e->loop, fd, e->server_ctx, &ops, e);
}

static SSL_CTX *
link_ctx(bool server, const struct test_cert *ca, const char *uri)
{
	struct test_cert *leaf;
	char san[128], why[128];
	SSL_CTX *ctx;

	(void)snprintf(san, sizeof(san), "URI:%s", uri);
	leaf = test_leaf_new(ca, "link", san, 3600);
	ctx = net_tls_link_ctx(server, &(struct net_tls_link_files){
	    .chain = leaf->cert_pem, .key = leaf->key_pem,
	    .ca = ca->cert_pem }, why, sizeof(why));
	if (ctx == NULL)
		fail_msg("no link context: %s", why);
	test_cert_free(&leaf);
	return (ctx);
}

static void
socket_path(const struct engine *e, char out[NET_ADDR_TEXT_BYTES])
{
	(void)snprintf(out, NET_ADDR_TEXT_BYTES, "unix:%s/s", e->dir);
}

void
engine_start(struct engine *e, const char *peer_uri)
{
	char text[NET_ADDR_TEXT_BYTES];
	struct test_cert *ca;
	struct net_addr addr;

	memset(e, 0, sizeof(*e));
	e->loop = loop_new();
	ca = test_ca_new("link CA");
	e->server_ctx = link_ctx(true, ca, peer_uri);
	e->client_ctx = link_ctx(false, ca, "relay://link/worker/w1");
	test_cert_free(&ca);
	(void)snprintf(e->dir, sizeof(e->dir), "/tmp/rpc-link-XXXXXX");
	assert_non_null(mkdtemp(e->dir));
	socket_path(e, text);
	assert_int_equal(net_addr_parse(text, &addr), RC_OK);
	e->listen_fd = socket(AF_UNIX,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(e->listen_fd >= 0);
	assert_int_equal(bind(e->listen_fd, (struct sockaddr *)&addr.ss,
	    addr.len), 0);
	assert_int_equal(listen(e->listen_fd, 4), 0);
	e->ev_accept = event_new(loop_base(e->loop), e->listen_fd,
	    EV_READ | EV_PERSIST, on_accept, e);
	assert_int_equal(event_add(e->ev_accept, NULL), 0);
}

void
engine_stop(struct engine *e)
{
	char text[NET_ADDR_TEXT_BYTES];

	net_stream_close(&e->stream);
	event_free(e->ev_accept);
	fd_close(&e->listen_fd);
	SSL_CTX_free(e->server_ctx);
	SSL_CTX_free(e->client_ctx);
	socket_path(e, text);
	(void)unlink(text + strlen("unix:"));
	(void)rmdir(e->dir);
	loop_free(&e->loop);
}

struct rpc_link_config
engine_link_config(struct engine *e)
{
	struct rpc_link_config cfg = { .ctx = e->client_ctx };
	char text[NET_ADDR_TEXT_BYTES];

	socket_path(e, text);
	assert_int_equal(net_addr_parse(text, &cfg.addr), RC_OK);
	return (cfg);
}

/* ---- what the engine says ---- */

void
engine_reply(struct engine *e, uint64_t id, enum rpc_status status,
    const struct buffer *body, bool more)
{
	struct span view = { NULL, 0 };
	struct buffer out;

	if (body != NULL)
		view = (struct span){ buffer_data(body), buffer_len(body) };
	buffer_init(&out, 0, false);
	assert_int_equal(rpc_reply_frame_write(&out, id, status, view, more),
	    RC_OK);
	engine_send(e, buffer_data(&out), buffer_len(&out));
	buffer_fini(&out);
}

void
engine_send(struct engine *e, const void *data, size_t len)
{
	assert_non_null(e->stream);
	assert_int_equal(net_stream_write(e->stream, data, len), RC_OK);
}

void
engine_cut(struct engine *e)
{
	net_stream_close(&e->stream);
}

uint64_t
engine_seen_id(const struct engine *e, const char *op)
{
	for (size_t i = e->n_seen; i > 0; i--)
		if (strcmp(e->seen_op[i - 1], op) == 0)
			return (e->seen_id[i - 1]);
	return (0);
}
