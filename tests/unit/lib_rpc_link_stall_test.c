/*
 * lib/rpc/link.c and time: what passes for progress, and what does not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "lib_rpc_engine.h"
#include "test_loop.h"

#define STALL_MS	120
#define LONG_MS		(3 * STALL_MS)

/* One asker: what came back for its call. */
struct asker {
	unsigned	n;		/* callbacks */
	enum rc		rc;
	bool		done;		/* the last one came */
	uint64_t	id;
};

struct world {
	struct engine	engine;
	struct rpc_link	*link;
	bool		up, down;
	char		why[200];
	struct asker	a, b, c;
};

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct world *w = arg;

	(void)peer;
	w->up = true;
}

static void
on_down(void *arg, const char *why)
{
	struct world *w = arg;

	w->down = true;
	(void)snprintf(w->why, sizeof(w->why), "%s", why);
}

static const struct rpc_link_ops link_ops = { on_up, on_down };

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct asker *a = arg;

	(void)status;
	(void)body;
	a->n++;
	a->rc = rc;
	a->done = !more;
}

static void
call(struct world *w, struct asker *a)
{
	struct buffer body;

	buffer_init(&body, 0, false);
	assert_int_equal(rpc_link_call(w->link, RPC_OP_PING, &body, 0,
	    on_reply, a, &a->id), RC_OK);
}

static void
world_open(struct world *w, int send_buffer_bytes)
{
	struct rpc_link_config cfg;

	memset(w, 0, sizeof(*w));
	engine_start(&w->engine, "relay://link/engine/e1");
	cfg = engine_link_config(&w->engine);
	cfg.stall_ms = STALL_MS;
	cfg.send_buffer_bytes = send_buffer_bytes;
	w->link = rpc_link_open(w->engine.loop, &cfg, &link_ops, w);
	loop_until(w->engine.loop, &w->up);
}

/* A link that is up, and calls a and b with the engine. */
static void
world_begin(struct world *w)
{
	world_open(w, 0);
	call(w, &w->a);
	call(w, &w->b);
	loop_until_count(w->engine.loop, &w->engine.n_seen, 2);
}

static void
world_end(struct world *w)
{
	rpc_link_close(&w->link);
	engine_stop(&w->engine);
}

static void
test_stalled_engine(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w);
	loop_until(w.engine.loop, &w.down);
	assert_string_equal(w.why, "calls in flight and no progress");
	assert_int_equal(w.a.rc, RC_UNAVAILABLE);
	assert_int_equal(w.b.rc, RC_UNAVAILABLE);
	world_end(&w);
}

/* A link that waits for nothing does not stall, and the waiting of a later
 * call counts from that call on. */
static void
test_idle_link_stays(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w);
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, false);
	engine_reply(&w.engine, w.b.id, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.b.done);
	loop_for_ms(w.engine.loop, LONG_MS);
	assert_false(w.down);
	call(&w, &w.c);
	loop_for_ms(w.engine.loop, STALL_MS / 3);
	assert_false(w.down);
	engine_reply(&w.engine, w.c.id, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.c.done);
	assert_int_equal(w.c.rc, RC_OK);
	world_end(&w);
}

static void
test_slow_pieces_are_progress(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w);
	for (int i = 0; i < 9; i++) {
		engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, true);
		loop_for_ms(w.engine.loop, STALL_MS / 3);
		assert_false(w.down);
	}
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.a.done);
	assert_int_equal(w.a.rc, RC_OK);
	assert_int_equal(w.a.n, 10);
	world_end(&w);
}

static void
on_ignored(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	(void)arg;
	(void)rc;
	(void)status;
	(void)body;
	(void)more;
}

/* It takes every call and answers none: asking again is no sign of life. */
static void
test_new_calls_are_no_progress(void **state)
{
	struct buffer body;
	struct world w;
	uint64_t id;

	(void)state;
	world_begin(&w);
	for (int i = 0; i < 60 && !w.down; i++) {
		buffer_init(&body, 0, false);
		assert_int_equal(rpc_link_call(w.link, RPC_OP_GET_STATISTICS,
		    &body, STALL_MS / 3, on_ignored, NULL, &id), RC_OK);
		buffer_fini(&body);
		loop_for_ms(w.engine.loop, STALL_MS / 8);
	}
	assert_true(w.down);
	assert_string_equal(w.why, "calls in flight and no progress");
	world_end(&w);
}

#define SIP_BYTES	(16u << 10)
#define LONG_CALL_BYTES	(20 * SIP_BYTES)

/* A call that is long for its line: the engine takes it in little by little,
 * and answers nothing before it has the whole. */
static void
begin_long_call(struct world *w)
{
	struct buffer body;
	char *text;

	world_open(w, 4096);
	w->engine.sips = true;
	net_stream_set_input_high(w->engine.stream, SIP_BYTES);
	text = calloc(1, LONG_CALL_BYTES);
	assert_non_null(text);
	buffer_init(&body, 0, false);
	rpc_put_bin(&body, (struct span){ text, LONG_CALL_BYTES });
	free(text);
	assert_int_equal(rpc_link_call(w->link, RPC_OP_PING, &body, 0,
	    on_reply, &w->a, &w->a.id), RC_OK);
	buffer_fini(&body);
}

static void
test_a_long_call_on_its_way_is_progress(void **state)
{
	struct world w;

	(void)state;
	begin_long_call(&w);
	for (size_t n = 2 * SIP_BYTES; w.engine.n_seen == 0; n += SIP_BYTES) {
		assert_true(n < LONG_CALL_BYTES + 3 * SIP_BYTES);
		loop_for_ms(w.engine.loop, STALL_MS / 3);
		assert_false(w.down);
		net_stream_set_input_high(w.engine.stream, n);
	}
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.a.done);
	assert_int_equal(w.a.rc, RC_OK);
	world_end(&w);
	/* It takes in no more: what waits in our queue saves nobody. */
	begin_long_call(&w);
	loop_for_ms(w.engine.loop, STALL_MS / 2);
	assert_false(rpc_link_call_sent(w.link, w.a.id));
	assert_false(w.down);
	loop_until(w.engine.loop, &w.down);
	assert_string_equal(w.why, "calls in flight and no progress");
	world_end(&w);
}

/* A machine that was stopped: no time was given to the engine, nor to us to
 * read what it had said. */
static void
test_who_stood_still_waits_anew(void **state)
{
	struct timespec still = { .tv_nsec = 2 * STALL_MS * 1000000l };
	struct world w;

	(void)state;
	world_begin(&w);
	loop_for_ms(w.engine.loop, STALL_MS / 2);
	while (nanosleep(&still, &still) != 0)
		;
	loop_for_ms(w.engine.loop, STALL_MS / 3);
	assert_false(w.down);
	engine_reply(&w.engine, w.a.id, RPC_STATUS_OK, NULL, false);
	loop_until(w.engine.loop, &w.a.done);
	assert_int_equal(w.a.rc, RC_OK);
	/* and no longer than that */
	loop_until(w.engine.loop, &w.down);
	world_end(&w);
}

/* Nobody waits for a cancelled call, but an engine that never ends it hangs. */
static void
test_cancelled_calls_stall_too(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w);
	rpc_link_cancel(w.link, w.a.id);
	rpc_link_cancel(w.link, w.b.id);
	w.a.done = w.b.done = true;
	loop_until(w.engine.loop, &w.down);
	assert_int_equal(w.a.n + w.b.n, 0);
	world_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stalled_engine),
		cmocka_unit_test(test_idle_link_stays),
		cmocka_unit_test(test_slow_pieces_are_progress),
		cmocka_unit_test(test_new_calls_are_no_progress),
		cmocka_unit_test(test_a_long_call_on_its_way_is_progress),
		cmocka_unit_test(test_who_stood_still_waits_anew),
		cmocka_unit_test(test_cancelled_calls_stall_too),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
