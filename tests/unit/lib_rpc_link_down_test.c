/*
 * lib/rpc/link.c when things go wrong: engines that lie, vanish or are no engines;
 * askers that leave; owners that close from every callback.  Stalls are in
 * lib_rpc_link_stall_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/timer.h"
#include "lib_rpc_engine.h"
#include "test_loop.h"

#define STALL_MS	120

struct world;

/* One asker: what came back for its call. */
struct asker {
	struct world	*world;
	unsigned	n;		/* callbacks */
	enum rc		rc;
	bool		done;		/* the last one came */
	uint64_t	id;
	bool		closes;		/* the link, from its callback */
};

struct world {
	struct engine	engine;
	struct rpc_link	*link;
	bool		up, down;
	bool		close_on_up, close_on_down;
	char		why[200];
	struct asker	a, b, c;
};

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct world *w = arg;

	(void)peer;
	w->up = true;
	if (w->close_on_up)
		rpc_link_close(&w->link);
}

static void
on_down(void *arg, const char *why)
{
	struct world *w = arg;

	assert_false(w->down);
	w->down = true;
	(void)snprintf(w->why, sizeof(w->why), "%s", why);
	/* Every call has had its last callback. */
	assert_true(w->a.id == 0 || w->a.done);
	assert_true(w->b.id == 0 || w->b.done);
	if (w->close_on_down)
		rpc_link_close(&w->link);
}

static const struct rpc_link_ops link_ops = { on_up, on_down };

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct asker *a = arg;

	(void)status;
	(void)body;
	assert_false(a->done);
	a->n++;
	a->rc = rc;
	a->done = !more;
	if (a->closes)
		rpc_link_close(&a->world->link);
}

static void
call(struct asker *a, unsigned timeout_ms)
{
	struct buffer body;

	buffer_init(&body, 0, false);
	assert_int_equal(rpc_link_call(a->world->link, RPC_OP_PING, &body,
	    timeout_ms, on_reply, a, &a->id), RC_OK);
}

static void
world_open(struct world *w, const char *peer_uri)
{
	memset(w, 0, sizeof(*w));
	w->a.world = w->b.world = w->c.world = w;
	engine_start(&w->engine, peer_uri);
}

static void
world_link(struct world *w, unsigned stall_ms)
{
	struct rpc_link_config cfg = engine_link_config(&w->engine);

	cfg.stall_ms = stall_ms;
	w->link = rpc_link_open(w->engine.loop, &cfg, &link_ops, w);
}

/* A link that is up, and calls a and b with the engine. */
static void
world_begin(struct world *w, unsigned stall_ms)
{
	world_open(w, "relay://link/engine/e1");
	world_link(w, stall_ms);
	loop_until(w->engine.loop, &w->up);
	call(&w->a, 0);
	call(&w->b, 0);
	loop_until_count(w->engine.loop, &w->engine.n_seen, 2);
}

static void
world_end(struct world *w)
{
	rpc_link_close(&w->link);
	engine_stop(&w->engine);
}

/* ---- who is at the other end ---- */

/* lib/net's link contexts refuse these in the handshake; the link itself does
 * too, whatever context it was given. */
static void
test_not_an_engine(void **state)
{
	static const struct {
		const char	*uri, *why;
	} cases[] = {
		{ "relay://link/worker/w7", "worker w7 is not an engine" },
		{ "relay://link/admin/a", "admin a is not an engine" },
		{ "relay://link/boss/b", "the peer has no link certificate" },
		{ "https://link/engine/e", "the peer has no link certificate" },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) * 2; i++) {
		world_open(&w, cases[i / 2].uri);
		if (i % 2 == 1)
			SSL_CTX_set_verify(w.engine.client_ctx,
			    SSL_VERIFY_PEER, NULL);
		world_link(&w, 0);
		loop_until(w.engine.loop, &w.down);
		assert_false(w.up);
		if (i % 2 == 1)
			assert_string_equal(w.why, cases[i / 2].why);
		else
			assert_non_null(strstr(w.why, "tls-untrusted"));
		world_end(&w);
	}
}

/* An engine of another installation is nobody's engine here. */
static void
test_foreign_authority(void **state)
{
	struct world w, other;
	SSL_CTX *foreign;

	(void)state;
	world_open(&w, "relay://link/engine/e1");
	world_open(&other, "relay://link/engine/e1");
	foreign = w.engine.server_ctx;
	w.engine.server_ctx = other.engine.server_ctx;
	other.engine.server_ctx = foreign;
	world_link(&w, 0);
	loop_until(w.engine.loop, &w.down);
	assert_false(w.up);
	assert_non_null(strstr(w.why, "tls-"));
	world_end(&w);
	world_end(&other);
}

static void
test_nobody_there(void **state)
{
	struct world w;
	struct rpc_link_config cfg;

	(void)state;
	world_open(&w, "relay://link/engine/e1");
	cfg = engine_link_config(&w.engine);
	assert_int_equal(net_addr_parse("unix:/nonexistent/engine", &cfg.addr),
	    RC_OK);
	w.link = rpc_link_open(w.engine.loop, &cfg, &link_ops, &w);
	assert_false(w.down);			/* never before it returns */
	loop_until(w.engine.loop, &w.down);
	assert_non_null(strstr(w.why, "refused"));
	world_end(&w);
}

static void
test_no_handshake_in_time(void **state)
{
	struct world w;
	struct rpc_link_config cfg;

	(void)state;
	world_open(&w, "relay://link/engine/e1");
	w.engine.silent = true;
	assert_int_equal(event_del(w.engine.ev_accept), 0);
	cfg = engine_link_config(&w.engine);
	cfg.connect_ms = 50;
	w.link = rpc_link_open(w.engine.loop, &cfg, &link_ops, &w);
	loop_until(w.engine.loop, &w.down);
	assert_string_equal(w.why, "no link in time");
	world_end(&w);
}

/* Shaken hands and then nothing: that is no link. */
static void
test_no_challenge_in_time(void **state)
{
	struct world w;
	struct rpc_link_config cfg;

	(void)state;
	world_open(&w, "relay://link/engine/e1");
	w.engine.own_challenge = true;
	cfg = engine_link_config(&w.engine);
	cfg.connect_ms = 200;
	w.link = rpc_link_open(w.engine.loop, &cfg, &link_ops, &w);
	loop_until_count(w.engine.loop, &w.engine.n_seen, 1);
	assert_false(rpc_link_is_up(w.link));
	loop_until(w.engine.loop, &w.down);
	assert_string_equal(w.why, "no link in time");
	assert_false(w.up);
	world_end(&w);
}

/* ---- before it is up ---- */

static void
world_ask(struct world *w)
{
	world_open(w, "relay://link/engine/e1");
	w->engine.own_challenge = true;
	world_link(w, 0);
	loop_until_count(w->engine.loop, &w->engine.n_seen, 1);
}

static void
test_lost_while_it_asks(void **state)
{
	struct world w;

	(void)state;
	world_ask(&w);
	engine_cut(&w.engine);
	loop_until(w.engine.loop, &w.down);
	world_end(&w);
	/* an answer in pieces is none */
	world_ask(&w);
	engine_reply(&w.engine, w.engine.seen_id[0], RPC_STATUS_OK, NULL, true);
	loop_until(w.engine.loop, &w.down);
	assert_string_equal(w.why, "the engine's challenge cannot be used");
	assert_false(w.up);
	world_end(&w);
}

static void
test_closed_while_it_asks(void **state)
{
	struct world w;

	(void)state;
	world_ask(&w);
	rpc_link_close(&w.link);
	loop_until(w.engine.loop, &w.engine.gone);
	assert_false(w.up);
	assert_false(w.down);
	world_end(&w);
}

/* ---- lies ---- */

static void
assert_lost(struct world *w, const char *why, enum rc a)
{
	loop_until(w->engine.loop, &w->down);
	assert_string_equal(w->why, why);
	assert_int_equal(w->a.rc, a);
	assert_int_equal(w->b.rc, RC_UNAVAILABLE);
	assert_int_equal(w->b.n, 1);
	world_end(w);
}

static void
test_reply_to_nothing(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 0);
	engine_reply(&w.engine, w.b.id + 1, RPC_STATUS_OK, NULL, false);
	assert_lost(&w, "the engine answered a call that was never made",
	    RC_UNAVAILABLE);
}

static void
test_second_answer(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 0);
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, false);
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, false);
	assert_lost(&w, "the engine answered a call twice", RC_OK);
}

static void
test_broken_replies(void **state)
{
	static const struct {
		struct span	in;
		const char	*why;
		enum rc		a;
	} cases[] = {
		/* `more` is missing; the id is a's */
		{ SPAN_LIT("\0\0\0\x07\x94\x01\x02\xa2ok\x80"),
		    "the engine sent a broken reply", RC_SYNTAX },
		/* another version */
		{ SPAN_LIT("\0\0\0\x08\x95\x02\x02\xa2ok\x80\xc2"),
		    "the engine sent a broken reply", RC_SYNTAX },
		/* a hostile body behind a good id */
		{ SPAN_LIT("\0\0\0\x0b\x95\x01\x02\xa2ok\xdd\xff\xff\xff\xff"),
		    "the engine sent a broken reply", RC_SYNTAX },
		/* no id to be read */
		{ SPAN_LIT("\0\0\0\x01\xc1"),
		    "the engine sent a broken reply", RC_UNAVAILABLE },
		{ SPAN_LIT("\0\0\0\x08\x95\x01\x00\xa2ok\x80\xc2"),
		    "the engine sent a broken reply", RC_UNAVAILABLE },
		/* never resynchronised on a length */
		{ SPAN_LIT("\0\0\0\0"),
		    "the engine sent a frame over the limit",
		    RC_UNAVAILABLE },
		{ SPAN_LIT("\x02\0\0\x01"),
		    "the engine sent a frame over the limit",
		    RC_UNAVAILABLE },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world_begin(&w, 0);
		assert_int_equal(w.a.id, 2);
		engine_send(&w.engine, cases[i].in.p, cases[i].in.len);
		/* What follows a broken frame is not believed. */
		engine_reply(&w.engine, w.b.id, RPC_STATUS_OK, NULL, false);
		assert_lost(&w, cases[i].why, cases[i].a);
	}
}

static void
test_the_engine_goes(void **state)
{
	struct world w;

	(void)state;
	/* in the middle of a frame */
	world_begin(&w, 0);
	engine_send(&w.engine, "\0\0\0\x08\x95\x01", 6);
	net_stream_shutdown(w.engine.stream);
	assert_lost(&w, "the engine closed the link", RC_UNAVAILABLE);
	/* between the pieces of a reply */
	world_begin(&w, 0);
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, true);
	net_stream_shutdown(w.engine.stream);
	loop_until(w.engine.loop, &w.down);
	assert_int_equal(w.a.n, 2);
	assert_int_equal(w.a.rc, RC_UNAVAILABLE);
	world_end(&w);
	/* without a word */
	world_begin(&w, 0);
	engine_cut(&w.engine);
	loop_until(w.engine.loop, &w.down);
	assert_int_equal(w.a.rc, RC_UNAVAILABLE);
	assert_int_equal(w.b.rc, RC_UNAVAILABLE);
	world_end(&w);
}

/* ---- cancel and deadlines ---- */

static void
note_cancel(struct engine *e, const struct rpc_call_frame *f,
    struct span payload)
{
	uint64_t *cancelled = e->arg;

	(void)payload;
	if (!span_eq_str(f->op, "Cancel"))
		return;
	assert_true(rpc_get_u64(rpc_map_get(f->body, "id"), cancelled));
	engine_reply(e, f->id, RPC_STATUS_OK, NULL, false);
}

static void
test_cancel(void **state)
{
	struct world w;
	uint64_t cancelled = 0;

	(void)state;
	world_begin(&w, 0);
	w.engine.on_call = note_cancel;
	w.engine.arg = &cancelled;
	rpc_link_cancel(w.link, w.a.id);
	rpc_link_cancel(w.link, w.a.id);	/* once is enough */
	rpc_link_cancel(w.link, 99);
	rpc_link_cancel(w.link, 0);
	loop_until_count(w.engine.loop, &w.engine.n_seen, 3);
	assert_int_equal(cancelled, w.a.id);
	assert_int_equal(rpc_link_in_flight(w.link), 2);
	/* What comes for it is known, and dropped up to its last piece. */
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, true);
	engine_reply(&w.engine, w.a.id, RPC_STATUS_CANCELLED, NULL, false);
	engine_reply(&w.engine, w.b.id, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.b.done);
	assert_int_equal(w.a.n, 0);
	assert_int_equal(rpc_link_in_flight(w.link), 0);
	assert_int_equal(w.engine.n_seen, 3);
	/* ... and not beyond. */
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, false);
	w.a.done = true;
	loop_until(w.engine.loop, &w.down);
	assert_string_equal(w.why, "the engine answered a call twice");
	world_end(&w);
}

static void
test_deadline(void **state)
{
	struct world w;
	uint64_t cancelled = 0;

	(void)state;
	world_begin(&w, 0);
	w.engine.on_call = note_cancel;
	w.engine.arg = &cancelled;
	call(&w.c, 20);
	loop_until(w.engine.loop, &w.c.done);
	assert_int_equal(w.c.rc, RC_TIMEOUT);
	loop_until_count(w.engine.loop, &w.engine.n_seen, 4);
	assert_int_equal(cancelled, w.c.id);
	engine_reply(&w.engine, w.c.id, RPC_STATUS_OK, NULL, true);
	engine_reply(&w.engine, w.c.id, RPC_STATUS_OK, NULL, false);
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.a.done);
	assert_int_equal(w.c.n, 1);
	assert_int_equal(rpc_link_in_flight(w.link), 1);
	assert_false(w.down);
	world_end(&w);
}

/* An answer in time stops the deadline. */
static void
test_answer_before_the_deadline(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 0);
	call(&w.c, 50);
	loop_until_count(w.engine.loop, &w.engine.n_seen, 3);
	engine_reply(&w.engine, w.c.id, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.c.done);
	loop_for_ms(w.engine.loop, 100);
	assert_int_equal(w.c.rc, RC_OK);
	assert_int_equal(w.c.n, 1);
	assert_int_equal(w.engine.n_seen, 3);
	world_end(&w);
}

/* ---- closing from every callback ---- */

static void
assert_closed(struct world *w)
{
	assert_null(w->link);
	assert_false(w->down && !w->close_on_down);
	loop_until(w->engine.loop, &w->engine.gone);
	world_end(w);
}

static void
test_close_from_on_up(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "relay://link/engine/e1");
	w.close_on_up = true;
	world_link(&w, 0);
	loop_until(w.engine.loop, &w.up);
	assert_closed(&w);
}

static void
test_close_from_a_reply(void **state)
{
	struct world w;

	(void)state;
	for (int more = 0; more < 2; more++) {
		world_begin(&w, 0);
		w.a.closes = true;
		engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, more);
		engine_reply(&w.engine, w.b.id, RPC_STATUS_OK, NULL, false);
		loop_until(w.engine.loop, &w.b.done);
		/* With more to come, closing was its last callback too. */
		assert_int_equal(w.a.rc, more ? RC_CANCELLED : RC_OK);
		assert_int_equal(w.a.n, more ? 2 : 1);
		assert_int_equal(w.b.rc, RC_CANCELLED);
		assert_closed(&w);
	}
}

static void
test_close_from_a_timeout(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 0);
	w.c.closes = true;
	call(&w.c, 20);
	loop_until(w.engine.loop, &w.c.done);
	assert_int_equal(w.c.rc, RC_TIMEOUT);
	assert_int_equal(w.a.rc, RC_CANCELLED);
	assert_int_equal(w.b.rc, RC_CANCELLED);
	assert_closed(&w);
}

static void
test_close_from_on_down(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, STALL_MS);
	w.close_on_down = true;
	loop_until(w.engine.loop, &w.down);
	assert_int_equal(w.a.rc, RC_UNAVAILABLE);
	assert_closed(&w);
}

/* The first asker to hear of the loss closes: the others are still told, once
 * each, and on_down is not. */
static void
test_close_while_the_link_is_lost(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 0);
	w.a.closes = true;
	engine_reply(&w.engine, 77, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.a.done);
	assert_int_equal(w.a.rc, RC_UNAVAILABLE);
	assert_int_equal(w.a.n, 1);
	assert_int_equal(w.b.rc, RC_CANCELLED);
	assert_int_equal(w.b.n, 1);
	assert_false(w.down);
	assert_closed(&w);
}

static void
test_close_from_a_broken_reply(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, 0);
	w.a.closes = true;
	engine_send(&w.engine, "\0\0\0\x07\x94\x01\x02\xa2ok\x80", 11);
	loop_until(w.engine.loop, &w.a.done);
	assert_int_equal(w.a.rc, RC_SYNTAX);
	assert_int_equal(w.a.n, 1);
	assert_int_equal(w.b.rc, RC_CANCELLED);
	assert_false(w.down);
	assert_closed(&w);
}

static void
test_close_before_up(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "relay://link/engine/e1");
	world_link(&w, 0);
	rpc_link_close(&w.link);
	rpc_link_close(&w.link);
	loop_for_ms(w.engine.loop, 20);
	assert_false(w.up);
	assert_false(w.down);
	world_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_an_engine),
		cmocka_unit_test(test_foreign_authority),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_no_handshake_in_time),
		cmocka_unit_test(test_no_challenge_in_time),
		cmocka_unit_test(test_lost_while_it_asks),
		cmocka_unit_test(test_closed_while_it_asks),
		cmocka_unit_test(test_reply_to_nothing),
		cmocka_unit_test(test_second_answer),
		cmocka_unit_test(test_broken_replies),
		cmocka_unit_test(test_the_engine_goes),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_answer_before_the_deadline),
		cmocka_unit_test(test_close_from_on_up),
		cmocka_unit_test(test_close_from_a_reply),
		cmocka_unit_test(test_close_from_a_timeout),
		cmocka_unit_test(test_close_from_on_down),
		cmocka_unit_test(test_close_while_the_link_is_lost),
		cmocka_unit_test(test_close_from_a_broken_reply),
		cmocka_unit_test(test_close_before_up),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
