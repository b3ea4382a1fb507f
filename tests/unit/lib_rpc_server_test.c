/*
 * rpc/server.c and rpc/served.c over real TLS, with ops of the test's own:
 * peers that do not read, do not keep to the protocol, are too many or sign
 * wrongly; what a link may hold; draining.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/log.h"
#include "lib/net/stream.h"
#include "lib/rpc/link.h"
#include "lib/rpc/server.h"
#include "test_certs.h"
#include "test_loop.h"

#define SLICE		100
#define PIECE_BYTES	100000u
#define MAX_LINKS	4
#define MAX_JOBS	(RPC_CALLS_MAX + 44)

/* Encrypt, here: `n` pieces of reply, a slice for each. */
struct call {
	struct rpc_served	served;		/* first */
	uint64_t		left;
};

struct scene {
	struct loop		*loop;		/* owned, as all below */
	struct rpc_server	*server;
	struct test_cert	*ca, *server_cert;
	SSL_CTX			*server_ctx;
	struct net_addr		addr;
	char			dir[64], path[80];
	size_t			n_calls, n_refused, n_done, n_freed;
	bool			drained;
};
static struct scene scene;
static atomic_size_t made;	/* bytes of reply */
static atomic_bool hold;	/* slices wait */
static const char zeros[PIECE_BYTES];

/* ---- the ops ---- */

static bool
run(struct sched_job *job, void *ctx, size_t *cost)
{
	struct call *c = (struct call *)rpc_served_of(job);
	struct buffer b;

	(void)ctx;
	while (atomic_load(&hold))
		continue;
	*cost += SLICE;
	if (atomic_load(&job->cancelled)) {
		rpc_served_fail(&c->served, RPC_STATUS_CANCELLED);
		return (true);
	}
	buffer_init(&b, 0, false);
	rpc_put_bin(&b, (struct span){ zeros, sizeof(zeros) });
	atomic_fetch_add(&made, PIECE_BYTES);
	c->left--;
	assert_int_equal(rpc_served_emit(&c->served, &b, c->left != 0), RC_OK);
	buffer_fini(&b);
	return (c->left == 0);
}

static void
answer(struct rpc_served *c, struct span bin)
{
	struct buffer b;

	buffer_init(&b, 0, false);
	rpc_put_bin(&b, bin);
	assert_int_equal(rpc_served_emit(c, &b, false), RC_OK);
	buffer_fini(&b);
}

static void
on_call(void *arg, struct rpc_served *served)
{
	struct call *c = (struct call *)served;
	enum rpc_op op = served->info != NULL ? served->info->op : RPC_OPS;
	enum rpc_status status = RPC_STATUS_OK;
	uint64_t id;

	assert_ptr_equal(arg, &scene);
	scene.n_calls++;
	assert_int_equal(c->left, 0);
	if (op == RPC_OP_PING) {
		answer(served, span_of(served->peer->name));
	} else if (op == RPC_OP_CANCEL) {
		assert_true(rpc_get_u64(rpc_map_get(served->frame.body, "id"),
		    &id));
		rpc_peer_cancel(served->peer, id);
		answer(served, SPAN_LIT(""));
	} else if (op == RPC_OP_CHALLENGE) {
		answer(served, rpc_peer_challenge(served->peer));
	} else if (op == RPC_OP_CREATE_APP) {
		status = rpc_peer_signed(served->peer, served) ?
		    RPC_STATUS_UNAUTHORIZED : RPC_STATUS_NOT_ALLOWED;
	} else if (op == RPC_OP_PUBLIC_KEYS) {
		status = rpc_peer_link_signed(served->peer, served) ?
		    RPC_STATUS_UNAUTHORIZED : RPC_STATUS_NOT_ALLOWED;
	} else if (op == RPC_OP_ENCRYPT && rpc_get_u64(rpc_map_get(
	    served->frame.body, "n"), &c->left)) {
		status = rpc_served_submit(served, "app", run,
		    (size_t)c->left * SLICE);
	} else {
		status = RPC_STATUS_BAD_REQUEST;
	}
	if (status != RPC_STATUS_OK)
		rpc_served_fail(served, status);
}

static void
on_refused(void *arg, enum rpc_status status)
{
	assert_ptr_equal(arg, &scene);
	assert_int_not_equal(status, RPC_STATUS_OK);
	scene.n_refused++;
}

static void
on_done(void *arg, struct rpc_served *served)
{
	assert_ptr_equal(arg, &scene);
	assert_true(served->submitted && served->done);
	scene.n_done++;
}

static void
on_free(struct rpc_served *served)
{
	assert_int_equal(served->magic, RPC_SERVED_MAGIC);
	scene.n_freed++;
}

static unsigned
weight(enum rpc_role role)
{
	return (role == RPC_ROLE_WORKER ? 8 : 1);
}

static const struct rpc_server_ops ops = { on_call, on_refused, on_done,
    on_free, weight };

/* ---- the scene ---- */

static SSL_CTX *
link_ctx(bool server, const struct test_cert *c)
{
	const struct net_tls_link_files files = { .chain = c->cert_pem,
	    .key = c->key_pem, .ca = scene.ca->cert_pem };
	char why[200];
	SSL_CTX *ctx = net_tls_link_ctx(server, &files, why, sizeof(why));

	assert_non_null(ctx);
	return (ctx);
}

static void
scene_open(void)
{
	struct rpc_server_config config = { .ops = &ops,
	    .call_bytes = sizeof(struct call), .max_links = MAX_LINKS,
	    .sched = { .threads = 1, .max_jobs = MAX_JOBS,
		.slice_cost = SLICE } };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[100];

	memset(&scene, 0, sizeof(scene));
	atomic_store(&made, 0);
	log_set_level(LOG_ERROR);
	scene.loop = loop_new();
	scene.ca = test_ca_new("link CA");
	scene.server_cert = test_leaf_new(scene.ca, "e",
	    "URI:relay://link/engine/e", 3600);
	scene.server_ctx = config.ctx = link_ctx(true, scene.server_cert);
	scene.server = rpc_server_new(scene.loop, &config, &scene);
	assert_non_null(scene.server);
	(void)snprintf(scene.dir, sizeof(scene.dir), "/tmp/rpc_server.XXXXXX");
	assert_non_null(mkdtemp(scene.dir));
	(void)snprintf(scene.path, sizeof(scene.path), "%s/s", scene.dir);
	(void)snprintf(text, sizeof(text), "unix:%s", scene.path);
	assert_int_equal(net_addr_parse(text, &scene.addr), RC_OK);
	assert_int_equal(bind(fd, (struct sockaddr *)&scene.addr.ss,
	    scene.addr.len), 0);
	assert_int_equal(listen(fd, 16), 0);
	rpc_server_listen(scene.server, fd);
}

static void
scene_close(void)
{
	rpc_server_free(&scene.server);
	assert_true(scene.n_freed >= scene.n_calls + scene.n_refused);
	SSL_CTX_free(scene.server_ctx);
	test_cert_free(&scene.server_cert);
	test_cert_free(&scene.ca);
	(void)unlink(scene.path);
	(void)rmdir(scene.dir);
	loop_free(&scene.loop);
}

static void
until_links(unsigned n)
{
	for (int i = 0; i < 500 && rpc_server_links(scene.server) != n; i++)
		loop_turn(scene.loop, true);
	assert_int_equal(rpc_server_links(scene.server), n);
}

/* ---- a peer that writes what it likes and counts what comes ---- */

struct raw {
	struct test_cert	*cert;		/* owned, as all below */
	SSL_CTX			*ctx;
	struct net_stream	*stream;
	bool			ready, ended;
	uint64_t		id;		/* of the last call */
	size_t			n;		/* last frames of answers */
	enum rpc_status		status;		/* of the last one */
	size_t			bytes;		/* of bodies */
	struct buffer		bin;		/* owned: the last body */
};

static void
raw_ready(void *arg)
{
	((struct raw *)arg)->ready = true;
}

static void
raw_input(void *arg)
{
	struct raw *r = arg;
	struct buffer *in = net_stream_input(r->stream);
	struct span payload, bin;
	struct rpc_reply_frame f;
	size_t used;

	while (rpc_frame_next(buffer_data(in), buffer_len(in),
	    RPC_FRAME_BYTES_MAX, &payload, &used) == RC_OK) {
		assert_int_equal(rpc_reply_frame_read(&f, payload), RC_OK);
		r->status = f.status;
		r->n += !f.more;
		if (rpc_get_bytes(f.body, &bin)) {
			r->bytes += bin.len;
			buffer_clear(&r->bin);
			buffer_put(&r->bin, bin.p, bin.len);
		}
		rpc_reply_frame_fini(&f);
		buffer_consume(in, used);
	}
	net_stream_set_input_high(r->stream, 2 * PIECE_BYTES);
}

static void
raw_nothing(void *arg)
{
	(void)arg;
}

static void
raw_eof(void *arg)
{
	((struct raw *)arg)->ended = true;
}

static void
raw_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	((struct raw *)arg)->ended = true;
}

static const struct net_stream_ops raw_ops = { raw_ready, raw_input,
    raw_nothing, raw_eof, raw_error };

static void
raw_open(struct raw *r, const char *san)
{
	struct net_stream_connect to = { .addr = &scene.addr };

	memset(r, 0, sizeof(*r));
	buffer_init(&r->bin, 0, false);
	r->cert = test_leaf_new(scene.ca, "raw", san, 3600);
	r->ctx = to.ctx = link_ctx(false, r->cert);
	r->stream = net_stream_connect(scene.loop, &to, &raw_ops, r);
}

static void
raw_close(struct raw *r)
{
	net_stream_close(&r->stream);
	SSL_CTX_free(r->ctx);
	test_cert_free(&r->cert);
	buffer_fini(&r->bin);
}

static void
raw_worker(struct raw *r, const char *san)
{
	raw_open(r, san);
	loop_until(scene.loop, &r->ready);
}

static void
raw_send(struct raw *r, enum rpc_op op, const char *key, uint64_t n,
    struct span signature)
{
	struct buffer body, frame;

	buffer_init(&body, 0, false);
	buffer_init(&frame, 0, false);
	rpc_put_map(&body, key != NULL);
	if (key != NULL) {
		rpc_put_str(&body, key);
		rpc_put_u64(&body, n);
	}
	assert_int_equal(rpc_call_frame_write(&frame, ++r->id, op,
	    (struct span){ buffer_data(&body), buffer_len(&body) }, signature),
	    RC_OK);
	assert_int_equal(net_stream_write_buffer(r->stream, &frame), RC_OK);
	buffer_fini(&body);
	buffer_fini(&frame);
}

static void
raw_call(struct raw *r, enum rpc_op op, const char *key, uint64_t n)
{
	raw_send(r, op, key, n, (struct span){ NULL, 0 });
}

static void
raw_ping(struct raw *r)
{
	size_t n = r->n;

	raw_call(r, RPC_OP_PING, NULL, 0);
	loop_until_count(scene.loop, &r->n, n + 1);
	assert_int_equal(r->status, RPC_STATUS_OK);
}

/* ---- tests ---- */

/* Thirty calls whose answers nobody takes: what is made for the link stops at
 * a bound for all of them, another link is served, and all goes on later. */
static void
test_slow_link(void **state)
{
	const size_t bound = 6u << 20;	/* outlet, stream and socket */
	struct raw slow, other;

	(void)state;
	scene_open();
	raw_worker(&slow, "URI:relay://link/worker/slow");
	raw_worker(&other, "URI:relay://link/worker/other");
	net_stream_read_pause(slow.stream);
	for (int i = 0; i < 30; i++)
		raw_call(&slow, RPC_OP_ENCRYPT, "n", 1 + 9 * (i % 2));
	raw_call(&other, RPC_OP_ENCRYPT, "n", 40);
	loop_until_count(scene.loop, &other.n, 1);
	assert_int_equal(other.bytes, 40u * PIECE_BYTES);
	loop_for_ms(scene.loop, 100);
	assert_true(atomic_load(&made) < other.bytes + bound);
	assert_true(scene.n_done < 31);
	raw_ping(&other);
	net_stream_read_resume(slow.stream);
	loop_until_count(scene.loop, &slow.n, 30);
	assert_int_equal(slow.bytes, 15u * 11 * PIECE_BYTES);
	assert_int_equal(scene.n_done, 31);
	raw_close(&slow);
	raw_close(&other);
	until_links(0);
	scene_close();
}

/* It dies with answers made, in the making and not begun. */
static void
test_link_gone(void **state)
{
	struct raw r;

	(void)state;
	scene_open();
	raw_worker(&r, "URI:relay://link/worker/w");
	net_stream_read_pause(r.stream);
	for (int i = 0; i < 30; i++)
		raw_call(&r, RPC_OP_ENCRYPT, "n", 100000);
	loop_until_count(scene.loop, &scene.n_calls, 30);
	raw_close(&r);
	loop_until_count(scene.loop, &scene.n_done, 30);
	until_links(0);
	loop_turn(scene.loop, false);
	assert_int_equal(scene.n_freed, 30);
	assert_int_equal(sched_depth(rpc_server_sched(scene.server)), 0);
	scene_close();
}

/* Only its own calls, and those only that are still at work. */
static void
test_cancel(void **state)
{
	struct raw r, other;
	struct sched_counts counts;

	(void)state;
	scene_open();
	raw_worker(&r, "URI:relay://link/worker/w");
	raw_worker(&other, "URI:relay://link/worker/w");
	raw_call(&r, RPC_OP_ENCRYPT, "n", UINT64_MAX / SLICE);
	raw_call(&other, RPC_OP_CANCEL, "id", r.id);
	loop_until_count(scene.loop, &other.n, 1);
	raw_call(&other, RPC_OP_CANCEL, "id", 12345);
	loop_until_count(scene.loop, &other.n, 2);
	sched_count(rpc_server_sched(scene.server), &counts);
	assert_int_equal(counts.cancelled, 0);
	assert_int_equal(scene.n_done, 0);
	raw_call(&r, RPC_OP_CANCEL, "id", r.id);
	loop_until_count(scene.loop, &r.n, 2);
	sched_count(rpc_server_sched(scene.server), &counts);
	assert_int_equal(counts.cancelled, 1);
	assert_int_equal(scene.n_done, 1);
	raw_close(&r);
	raw_close(&other);
	until_links(0);
	scene_close();
}

/* Above what a link may have in flight, and all links together: refused at
 * once, and what is at work is not hurt.  Ping is answered all the while. */
static void
test_limits(void **state)
{
	const size_t surplus = 20, rest = MAX_JOBS - RPC_CALLS_MAX;
	struct sched_counts counts;
	struct raw r, other;

	(void)state;
	scene_open();
	atomic_store(&hold, true);
	raw_worker(&r, "URI:relay://link/worker/w");
	raw_worker(&other, "URI:relay://link/worker/other");
	for (size_t i = 0; i < RPC_CALLS_MAX + surplus; i++)
		raw_call(&r, RPC_OP_ENCRYPT, "n", 2);
	loop_until_count(scene.loop, &r.n, surplus);
	assert_int_equal(r.status, RPC_STATUS_LIMIT);
	raw_ping(&r);
	for (size_t i = 0; i < rest + surplus; i++)
		raw_call(&other, RPC_OP_ENCRYPT, "n", 2);
	loop_until_count(scene.loop, &other.n, surplus);
	assert_int_equal(other.status, RPC_STATUS_OVERLOADED);
	raw_ping(&other);
	sched_count(rpc_server_sched(scene.server), &counts);
	assert_int_equal(counts.depth, MAX_JOBS);
	assert_int_equal(counts.refused, surplus);
	r.bytes = other.bytes = 0;
	atomic_store(&hold, false);
	loop_until_count(scene.loop, &scene.n_done, MAX_JOBS);
	loop_until_count(scene.loop, &r.n, RPC_CALLS_MAX + surplus + 1);
	loop_until_count(scene.loop, &other.n, rest + surplus + 1);
	assert_int_equal(r.bytes, 2 * RPC_CALLS_MAX * PIECE_BYTES);
	assert_int_equal(other.bytes, 2 * rest * PIECE_BYTES);
	raw_close(&r);
	raw_close(&other);
	until_links(0);
	scene_close();
}

static void
test_hostile(void **state)
{
	static const struct {
		const char	*bytes;
		size_t		len;
	} cases[] = {
		{ "\0\0\0\0", 4 },			/* empty frame */
		{ "\xff\xff\xff\xff", 4 },		/* 4 GiB announced */
		{ "\0\0\0\1\xc0", 5 },			/* nil */
		{ "\0\0\0\3\xdd\xff\xff", 7 },		/* array cut short */
		{ "\0\0\0\5\x94\1\0\xa4Ping", 9 },	/* id 0, cut */
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
	};
	static const char *const foreign[] = { "URI:relay://link/engine/e",
	    "DNS:worker.test", "URI:relay://link/nobody/w" };
	struct raw good, r;

	(void)state;
	scene_open();
	raw_worker(&good, "URI:relay://link/worker/good");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		raw_worker(&r, "URI:relay://link/worker/w");
		assert_int_equal(net_stream_write(r.stream, cases[i].bytes,
		    cases[i].len), RC_OK);
		loop_until(scene.loop, &r.ended);
		raw_close(&r);
		raw_ping(&good);
		assert_int_equal(buffer_len(&good.bin), strlen("good"));
	}
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		raw_open(&r, foreign[i]);
		loop_until(scene.loop, &r.ended);
		raw_close(&r);
	}
	/* More links than allowed: the surplus is cut. */
	for (int k = 0; k < 2; k++) {
		struct raw more[MAX_LINKS - 1];

		for (int i = 0; i < MAX_LINKS - 1; i++)
			raw_worker(&more[i], "URI:relay://link/worker/w");
		raw_open(&r, "URI:relay://link/worker/w");
		loop_until(scene.loop, &r.ended);
		raw_close(&r);
		raw_ping(&good);
		for (int i = 0; i < MAX_LINKS - 1; i++)
			raw_close(&more[i]);
		until_links(1);
	}
	raw_close(&good);
	until_links(0);
	scene_close();
}

/* Strangers who never shake hands, and one certificate, take no place that
 * somebody else needs. */
static void
test_places(void **state)
{
	struct raw w[MAX_LINKS - 1], good, surplus;
	int strangers[2 * MAX_LINKS];

	(void)state;
	scene_open();
	for (size_t i = 0; i < 2 * MAX_LINKS; i++) {
		strangers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(strangers[i],
		    (struct sockaddr *)&scene.addr.ss, scene.addr.len), 0);
	}
	until_links(MAX_LINKS);
	for (int i = 0; i < MAX_LINKS - 1; i++)
		raw_worker(&w[i], "URI:relay://link/worker/w");
	raw_open(&surplus, "URI:relay://link/worker/w");
	loop_until(scene.loop, &surplus.ended);
	raw_close(&surplus);
	raw_worker(&good, "URI:relay://link/worker/good");
	raw_ping(&good);
	for (int i = 0; i < MAX_LINKS - 1; i++) {
		raw_ping(&w[i]);
		raw_close(&w[i]);
	}
	raw_close(&good);
	for (size_t i = 0; i < 2 * MAX_LINKS; i++)
		(void)close(strangers[i]);
	until_links(0);
	scene_close();
}

/* One challenge, one attempt, this link, this call. */
static void
test_signed(void **state)
{
	struct raw r, other;
	struct buffer part, signature, body;

	(void)state;
	scene_open();
	raw_worker(&r, "URI:relay://link/admin/a");
	raw_worker(&other, "URI:relay://link/admin/b");
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	for (int i = 0; i < 6; i++) {
		struct raw *from = i == 1 ? &other : &r;
		uint64_t id = from->id + 1 + (i != 2 && i != 1);
		size_t n = from->n;

		buffer_init(&part, 0, false);
		buffer_init(&signature, 0, false);
		if (i != 1 && i != 2) {
			raw_call(&r, RPC_OP_CHALLENGE, NULL, 0);
			loop_until_count(scene.loop, &r.n, ++n);
		}
		/* 0 good; 1 of another link; 2 spent; 3 another op;
		 * 4 another id; 5 none */
		rpc_signed_part(&part, i == 4 ? id + 1 : id, i == 3 ?
		    RPC_OP_REVOKE_KEY : RPC_OP_CREATE_APP, (struct span){
		    buffer_data(&body), buffer_len(&body) });
		if (i != 5)
			assert_int_equal(rpc_sign(from->cert->key,
			    (struct span){ buffer_data(&r.bin),
			    buffer_len(&r.bin) }, (struct span){
			    buffer_data(&part), buffer_len(&part) },
			    &signature), RC_OK);
		raw_send(from, RPC_OP_CREATE_APP, NULL, 0, (struct span){
		    buffer_data(&signature), buffer_len(&signature) });
		assert_int_equal(from->id, id);
		loop_until_count(scene.loop, &from->n, n + 1);
		assert_int_equal(from->status, i == 0 ?
		    RPC_STATUS_UNAUTHORIZED : RPC_STATUS_NOT_ALLOWED);
		buffer_fini(&part);
		buffer_fini(&signature);
	}
	buffer_fini(&body);
	raw_close(&r);
	raw_close(&other);
	until_links(0);
	scene_close();
}

/* A link on which all is signed: by the first challenge, by this link's key,
 * over these bytes, and never twice. */
static void
test_link_signed(void **state)
{
	static const struct {
		const char	*what;
		unsigned	first;	/* by this challenge: 0 or 1 */
		int		id;	/* the call's beside the one signed */
		bool		again;	/* the id of the call before */
		bool		body;	/* another than the one signed */
		bool		ok;
	} cases[] = {
		{ "good", 0, 0, false, false, true },
		{ "good again, by the same challenge", 0, 0, false, false, true },
		{ "said before", 0, 0, true, false, false },
		{ "over a later challenge", 1, 0, false, false, false },
		{ "for another id", 0, 1, false, false, false },
		{ "with another body", 0, 0, false, true, false },
		{ "good after all that", 0, 0, false, false, true },
	};
	struct buffer challenges[2];
	struct raw r;

	(void)state;
	scene_open();
	raw_worker(&r, "URI:relay://link/worker/w");
	raw_call(&r, RPC_OP_PUBLIC_KEYS, NULL, 0);	/* before any challenge */
	loop_until_count(scene.loop, &r.n, 1);
	assert_int_equal(r.status, RPC_STATUS_NOT_ALLOWED);
	for (int i = 0; i < 2; i++) {
		raw_call(&r, RPC_OP_CHALLENGE, NULL, 0);
		loop_until_count(scene.loop, &r.n, r.n + 1);
		buffer_init(&challenges[i], 0, false);
		buffer_put(&challenges[i], buffer_data(&r.bin),
		    buffer_len(&r.bin));
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct buffer *by = &challenges[cases[i].first];
		struct buffer part, signature;
		size_t n = r.n;

		r.id -= cases[i].again;
		buffer_init(&part, 0, false);
		buffer_init(&signature, 0, false);
		rpc_signed_part(&part, r.id + 1 + (uint64_t)cases[i].id,
		    RPC_OP_PUBLIC_KEYS, cases[i].body ?
		    SPAN_LIT("\x81\xa1n\x02") : SPAN_LIT("\x81\xa1n\x01"));
		assert_int_equal(rpc_sign(r.cert->key, (struct span){
		    buffer_data(by), buffer_len(by) }, (struct span){
		    buffer_data(&part), buffer_len(&part) }, &signature),
		    RC_OK);
		raw_send(&r, RPC_OP_PUBLIC_KEYS, "n", 1, (struct span){
		    buffer_data(&signature), buffer_len(&signature) });
		loop_until_count(scene.loop, &r.n, n + 1);
		if ((r.status == RPC_STATUS_UNAUTHORIZED) != cases[i].ok)
			fail_msg("%s", cases[i].what);
		buffer_fini(&part);
		buffer_fini(&signature);
	}
	buffer_fini(&challenges[0]);
	buffer_fini(&challenges[1]);
	raw_close(&r);
	until_links(0);
	scene_close();
}

static void
on_drained(void *arg)
{
	((struct scene *)arg)->drained = true;
}

/* Links are served while they last; new ones find nobody. */
static void
test_drain(void **state)
{
	struct raw r, late;

	(void)state;
	scene_open();
	raw_worker(&r, "URI:relay://link/worker/w");
	rpc_server_drain(scene.server, on_drained, &scene);
	raw_ping(&r);
	raw_call(&r, RPC_OP_ENCRYPT, "n", 3);
	loop_until_count(scene.loop, &r.n, 2);
	raw_open(&late, "URI:relay://link/worker/w");
	loop_until(scene.loop, &late.ended);
	raw_close(&late);
	assert_false(scene.drained);
	raw_close(&r);
	loop_until(scene.loop, &scene.drained);
	scene_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_link),
		cmocka_unit_test(test_link_gone),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_link_signed),
		cmocka_unit_test(test_drain),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
