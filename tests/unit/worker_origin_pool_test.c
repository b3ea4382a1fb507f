/*
 * worker/origin_pool.c against real TLS destinations: what is shared and what
 * is not, the circuit as a taker meets it, and takers that go away.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "tests/unit/test_loop.h"
#include "tests/unit/worker_origin_pool.h"
#include "worker/origin_group.h"

#define MANY	50

/* ---- reuse ---- */

static void
test_reuse(void **state)
{
	struct pool_bench *f = *state;
	struct origin_conn *c;
	struct net_stream *stream;
	struct dest d;
	struct pool_ask a;

	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	c = pool_take(f, &f->relay);
	assert_false(c->reused);
	stream = c->stream;
	origin_give(&c);
	assert_null(c);
	c = pool_take(f, &f->relay);
	assert_true(c->reused);
	assert_ptr_equal(c->stream, stream);
	assert_int_equal(d.n_accepted, 1);
	origin_give(&c);
	a = pool_ask(f, &f->relay, true);		/* fresh */
	assert_int_equal(a.fault, ORIGIN_OK);
	assert_false(a.conn->reused);
	assert_int_equal(d.n_accepted, 2);
	origin_drop(&a.conn);
	loop_until_count(f->lab.loop, &d.n_ended, 1);
	c = pool_take(f, &f->relay);			/* the idle one is still there */
	assert_int_equal(d.n_accepted, 2);
	/* Not with something unsent. */
	assert_int_equal(net_stream_write(c->stream, "x", 1), RC_OK);
	origin_give(&c);
	loop_until_count(f->lab.loop, &d.n_ended, 2);
	dest_stop(&d);
}

/* All of them come back, and none beyond the pool's size is kept. */
static void
test_many_are_reused(void **state)
{
	struct pool_bench *f = *state;
	struct pool_ask asks[MANY];
	size_t count = 0;
	struct dest d;

	f->lab.conf.origin_pool_size = MANY - 10;
	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	for (int round = 0; round < 3; round++) {
		count = 0;
		for (size_t i = 0; i < MANY; i++) {
			pool_ask_start(f, &asks[i], &f->relay, false);
			asks[i].count = &count;
		}
		loop_until_count(f->lab.loop, &count, MANY);
		for (size_t i = 0; i < MANY; i++) {
			assert_int_equal(asks[i].fault, ORIGIN_OK);
			origin_give(&asks[i].conn);
		}
		loop_until_count(f->lab.loop, &d.n_ended,
		    (size_t)(round + 1) * 10);
		loop_for_ms(f->lab.loop, 5);
		assert_int_equal(d.n_ended, (round + 1) * 10);
		assert_int_equal(d.n_accepted, MANY + round * 10);
	}
	dest_stop(&d);
}

/* An idle connection that the destination closed, or speaks on, is not used. */
static void
test_idle_that_ended(void **state)
{
	struct pool_bench *f = *state;
	struct origin_conn *c;
	struct dest d;

	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	for (int turn = 0; turn < 6; turn++) {
		c = pool_take(f, &f->relay);
		assert_false(c->reused);
		origin_give(&c);
		if (turn % 2 == 0)
			dest_cut(&d);
		else
			dest_say(&d, "HTTP/1.1 408 Request Timeout\r\n\r\n");
		/* Seen by the pool, by the taker, or on the way to it. */
		if (turn < 2)
			loop_for_ms(f->lab.loop, 20);
		else if (turn < 4)
			loop_turn(f->lab.loop, false);
	}
	assert_int_equal(d.n_accepted, 6);
	dest_stop(&d);
}

static void
test_idle_times_out(void **state)
{
	struct pool_bench *f = *state;
	struct origin_conn *c;
	struct dest d;

	f->lab.conf.origin_idle_ms = 1;
	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	c = pool_take(f, &f->relay);
	origin_give(&c);
	loop_until_count(f->lab.loop, &d.n_ended, 1);
	dest_stop(&d);
}

/* ---- identities ---- */

/* More identities than are remembered: those in use stay, of the others the
 * ones used last. */
static void
test_eviction(void **state)
{
	struct pool_bench *f = *state;
	struct relay r = f->relay, used = f->relay, taken = f->relay;
	struct origin_conn *c, *held;
	char b[] = "b.test", host[32];
	struct dest d;
	struct pool_ask a;

	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	lab_name(&f->lab, "b.test", "127.0.0.2");
	taken.server_name = b;
	held = pool_take(f, &taken);
	used.host = b;
	c = pool_take(f, &f->relay);
	origin_give(&c);
	c = pool_take(f, &used);
	origin_give(&c);
	r.host = host;
	for (unsigned i = 0; i < ORIGIN_GROUPS_MAX; i++) {
		(void)snprintf(host, sizeof(host), "h%u.test", i);
		pool_ask_start(f, &a, &r, false);
		origin_cancel(f->pool, a.id);
		if (i % 1000 == 0) {
			c = pool_take(f, &used);
			assert_true(c->reused);
			origin_give(&c);
		}
	}
	loop_until_count(f->lab.loop, &d.n_ended, 1);
	assert_int_equal(d.n_accepted, 3);
	c = pool_take(f, &used);
	assert_true(c->reused);
	origin_give(&c);
	origin_give(&held);
	c = pool_take(f, &taken);
	assert_true(c->reused);
	origin_drop(&c);
	c = pool_take(f, &f->relay);			/* the forgotten one */
	assert_false(c->reused);
	origin_drop(&c);
	dest_stop(&d);
}

/* ---- circuit ---- */

static void
fail_times(struct pool_bench *f, unsigned times, enum origin_fault fault)
{
	for (unsigned i = 0; i < times; i++)
		assert_int_equal(pool_ask(f, &f->relay, false).fault, fault);
}

static void
wait_out(struct pool_bench *f)
{
	uint64_t end_ms = clock_mono_ms() + f->lab.conf.origin_fail_ms;

	while (clock_mono_ms() <= end_ms)
		loop_for_ms(f->lab.loop, 1);
}

static void
test_circuit(void **state)
{
	struct pool_bench *f = *state;
	struct origin_conn *idle;
	struct pool_ask a, b;
	struct dest d;

	f->lab.conf.origin_max_fails = 3;
	f->lab.conf.origin_fail_ms = 700;
	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	idle = pool_take(f, &f->relay);
	origin_give(&idle);
	a = pool_ask(f, &f->relay, true);
	/* The listener goes, its connections stay. */
	event_free(d.ev);
	d.ev = NULL;
	assert_int_equal(close(d.fd), 0);
	d.fd = -1;
	for (int i = 0; i < 3; i++) {
		b = pool_ask(f, &f->relay, true);
		assert_int_equal(b.fault, ORIGIN_REFUSED);
		assert_string_not_equal(b.why, "circuit open");
	}
	b = pool_ask(f, &f->relay, true);
	assert_int_equal(b.fault, ORIGIN_REFUSED);
	assert_string_equal(b.why, "circuit open");
	/* Idle ones are used meanwhile; a dead one is not waited for. */
	b = pool_ask(f, &f->relay, false);
	assert_int_equal(b.fault, ORIGIN_OK);
	origin_drop(&b.conn);
	origin_give(&a.conn);
	pool_ask_start(f, &b, &f->relay, false);
	dest_cut(&d);
	loop_until(f->lab.loop, &b.ended);
	if (b.conn != NULL) {		/* told before it was seen to end */
		origin_drop(&b.conn);
		b = pool_ask(f, &f->relay, false);
	}
	assert_string_equal(b.why, "circuit open");
	/* One tries; it fails, and the others go on being refused. */
	wait_out(f);
	pool_ask_start(f, &a, &f->relay, false);
	b = pool_ask(f, &f->relay, false);
	assert_string_equal(b.why, "circuit open");
	loop_until(f->lab.loop, &a.ended);
	assert_string_not_equal(a.why, "circuit open");
	assert_string_equal(pool_ask(f, &f->relay, false).why, "circuit open");
	dest_stop(&d);
	/* It comes back. */
	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	assert_string_equal(pool_ask(f, &f->relay, false).why, "circuit open");
	wait_out(f);
	a = pool_ask(f, &f->relay, false);
	assert_int_equal(a.fault, ORIGIN_OK);
	origin_drop(&a.conn);
	a = pool_ask(f, &f->relay, true);
	assert_int_equal(a.fault, ORIGIN_OK);
	origin_drop(&a.conn);
	dest_stop(&d);
}

/* The one that tries is cancelled: the next one tries. */
static void
test_trial_is_cancelled(void **state)
{
	struct pool_bench *f = *state;
	struct pool_ask a, b;
	struct dest d;

	f->lab.conf.origin_max_fails = 1;
	f->lab.conf.origin_fail_ms = 300;
	fail_times(f, 1, ORIGIN_REFUSED);
	assert_string_equal(pool_ask(f, &f->relay, false).why, "circuit open");
	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	wait_out(f);
	pool_ask_start(f, &a, &f->relay, false);
	pool_ask_start(f, &b, &f->relay, false);
	origin_cancel(f->pool, a.id);
	loop_until(f->lab.loop, &b.ended);
	assert_string_equal(b.why, "circuit open");
	b = pool_ask(f, &f->relay, false);
	assert_int_equal(b.fault, ORIGIN_OK);
	assert_false(a.ended);
	origin_drop(&b.conn);
	dest_stop(&d);
}

/* What opens it, and what is no failure of the destination. */
static void
test_what_opens_it(void **state)
{
	static const struct {
		enum dest_kind		kind;
		enum origin_fault	fault;
	} opens[] = {
		{ DEST_NONE, ORIGIN_REFUSED },
		{ DEST_WRONG, ORIGIN_TLS },
		{ DEST_MUTE, ORIGIN_TIMEOUT },
		{ DEST_SILENT, ORIGIN_TIMEOUT },
	};
	char gone[] = "gone.test", silent[] = "silent.test", name[16];
	struct pool_bench *f = *state;
	struct conf_listen listens[1];
	struct relay r = f->relay;
	struct dest d;
	char own[32];

	f->lab.conf.origin_max_fails = 2;
	f->lab.conf.connect_timeout_ms = 300;
	for (size_t i = 0; i < sizeof(opens) / sizeof(opens[0]); i++) {
		/* Another identity each time. */
		(void)snprintf(name, sizeof(name), "b%zu.test", i);
		f->relay.server_name = name;
		dest_start(&d, &f->lab, "127.0.0.2", opens[i].kind);
		fail_times(f, 2, opens[i].fault);
		assert_string_equal(pool_ask(f, &f->relay, false).why,
		    "circuit open");
		dest_stop(&d);
	}
	f->relay = r;
	f->relay.host = gone;
	fail_times(f, 5, ORIGIN_UNRESOLVED);
	lab_name(&f->lab, silent, NULL);
	f->relay.host = silent;
	fail_times(f, 3, ORIGIN_TIMEOUT);
	f->relay = r;
	(void)snprintf(own, sizeof(own), "127.0.0.2:%u", f->lab.port);
	listens[0].address = own;
	f->lab.conf.listens = listens;
	f->lab.conf.n_listens = 1;
	origin_pool_free(&f->pool);
	f->pool = origin_pool_new(f->lab.loop, &f->lab.conf, f->verify,
	    f->lab.dns);
	fail_times(f, 5, ORIGIN_LOOP);
}

/* origin_max_fails = 0 */
static void
test_circuit_off(void **state)
{
	struct pool_bench *f = *state;

	f->lab.conf.origin_max_fails = 0;
	for (int i = 0; i < 10; i++)
		assert_string_not_equal(pool_ask(f, &f->relay, false).why,
		    "circuit open");
}

/* ---- takers that go away ---- */

enum wait_kind {
	WAIT_NAME,		/* no answer from the name server */
	WAIT_CONNECT,		/* silent */
	WAIT_HANDSHAKE,		/* connected, but mute */
	WAIT_IDLE,		/* an idle one is on its way */
	WAIT_FAULT,		/* the circuit is open */
	WAIT_KINDS
};

static void
wait_start(struct pool_bench *f, struct dest *d, struct pool_ask *a, enum wait_kind kind)
{
	static const enum dest_kind dests[WAIT_KINDS] = {
		[WAIT_NAME] = DEST_NONE, [WAIT_CONNECT] = DEST_SILENT,
		[WAIT_HANDSHAKE] = DEST_MUTE, [WAIT_IDLE] = DEST_GOOD,
		[WAIT_FAULT] = DEST_NONE,
	};
	static char silent[] = "silent.test";
	struct origin_conn *c;
	struct relay r = f->relay;

	dest_start(d, &f->lab, "127.0.0.2", dests[kind]);
	if (kind == WAIT_NAME) {
		lab_name(&f->lab, silent, NULL);
		r.host = silent;
	} else if (kind == WAIT_IDLE) {
		c = pool_take(f, &r);
		origin_give(&c);
	} else if (kind == WAIT_FAULT) {
		f->lab.conf.origin_max_fails = 1;
		r.server_name = f->host;
		assert_int_equal(pool_ask(f, &r, false).fault, ORIGIN_REFUSED);
	}
	pool_ask_start(f, a, &r, false);
	if (kind == WAIT_CONNECT)
		loop_for_ms(f->lab.loop, 10);
	else if (kind == WAIT_HANDSHAKE)
		loop_until_count(f->lab.loop, &d->n_accepted, 1);
}

static void
test_cancel_in_every_state(void **state)
{
	(void)state;
	for (int kind = 0; kind < WAIT_KINDS; kind++) {
		struct pool_bench *f;
		struct dest d;
		struct pool_ask a;
		void *s;

		(void)pool_bench_setup(&s);
		f = s;
		wait_start(f, &d, &a, (enum wait_kind)kind);
		origin_cancel(f->pool, a.id);
		origin_cancel(f->pool, a.id);
		origin_cancel(f->pool, 0);
		origin_cancel(f->pool, a.id + 1);
		loop_for_ms(f->lab.loop, 20);
		assert_false(a.ended);
		if (kind == WAIT_IDLE) {	/* it is idle again */
			struct origin_conn *c = pool_take(f, &f->relay);

			assert_true(c->reused);
			assert_int_equal(d.n_accepted, 1);
			origin_drop(&c);
		}
		dest_stop(&d);
		(void)pool_bench_teardown(&s);
	}
}

static void
test_free_in_every_state(void **state)
{
	(void)state;
	for (int kind = 0; kind < WAIT_KINDS; kind++) {
		struct pool_bench *f;
		struct dest d;
		struct pool_ask a;
		void *s;

		(void)pool_bench_setup(&s);
		f = s;
		wait_start(f, &d, &a, (enum wait_kind)kind);
		origin_pool_free(&f->pool);
		loop_for_ms(f->lab.loop, 20);
		assert_false(a.ended);
		dest_stop(&d);
		(void)pool_bench_teardown(&s);
	}
}

/* From the callback of one taker another one is cancelled. */
static void
test_cancel_in_callback(void **state)
{
	struct pool_bench *f = *state;
	struct pool_ask a, b;
	struct dest d;

	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	for (int idle = 0; idle < 2; idle++) {
		pool_ask_start(f, &a, &f->relay, idle == 0);
		pool_ask_start(f, &b, &f->relay, idle == 0);
		a.also_cancel = b.id;
		b.also_cancel = a.id;
		while (!a.ended && !b.ended)
			loop_turn(f->lab.loop, true);
		loop_for_ms(f->lab.loop, 20);
		assert_int_equal(a.ended + b.ended, 1);
		if (a.conn != NULL)
			origin_give(&a.conn);
		if (b.conn != NULL)
			origin_give(&b.conn);
	}
	dest_stop(&d);
}

/* ---- descriptors ---- */

static void
test_nothing_stays_open(void **state)
{
	struct pool_bench *f = *state;
	struct origin_conn *c;
	struct pool_ask a;
	struct dest d;
	int n_fds;

	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	c = pool_take(f, &f->relay);			/* c-ares has its socket now */
	origin_drop(&c);
	loop_until_count(f->lab.loop, &d.n_ended, 1);
	n_fds = fd_count();
	for (size_t i = 0; i < 200; i++) {
		pool_ask_start(f, &a, &f->relay, true);
		if (i % 2 == 0) {
			for (size_t turn = 0; turn < i % 20; turn++)
				loop_turn(f->lab.loop, false);
			origin_cancel(f->pool, a.id);
		} else {
			loop_until(f->lab.loop, &a.ended);
		}
		if (a.conn != NULL)
			origin_drop(&a.conn);
	}
	loop_for_ms(f->lab.loop, 50);
	dest_cut(&d);
	assert_int_equal(fd_count(), n_fds);
	dest_stop(&d);
}


int
main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(test_reuse),
		POOL_TEST(test_many_are_reused),
		POOL_TEST(test_idle_that_ended),
		POOL_TEST(test_idle_times_out),
		POOL_TEST(test_eviction),
		POOL_TEST(test_circuit),
		POOL_TEST(test_trial_is_cancelled),
		POOL_TEST(test_what_opens_it),
		POOL_TEST(test_circuit_off),
		cmocka_unit_test(test_cancel_in_every_state),
		cmocka_unit_test(test_free_in_every_state),
		POOL_TEST(test_cancel_in_callback),
		POOL_TEST(test_nothing_stays_open),
	};

	log_init("test", LOG_ERROR);
	(void)signal(SIGPIPE, SIG_IGN);
	alarm(120);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
