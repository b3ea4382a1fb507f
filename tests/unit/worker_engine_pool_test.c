/*
 * worker/engine_pool.c against real peers: engines that answer in pieces, lie,
 * vanish, are not ready or say nothing.  A call must end exactly once, or, when
 * it was cancelled, not at all.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test_loop.h"
#include "tests/unit/worker_engine_pair.h"

/* One call as its asker sees it. */
struct ask {
	struct engine_pool	*pool;
	uint64_t		id;
	uint64_t		value;		/* what the call carries */
	size_t			writes;
	size_t			pieces;		/* since the last write */
	uint64_t		sum;		/* of the answer's numbers */
	bool			ended;
	size_t			n_ends;
	enum rc			rc;
	enum rpc_status		status;
	/* What its callbacks say. */
	enum rc			write_rc;
	enum rc			piece_rc;
	size_t			*count;		/* NULL, or: calls that ended */
};

static enum rc
ask_write(void *arg, struct buffer *body)
{
	struct ask *a = arg;

	a->writes++;
	a->pieces = 0;
	a->sum = 0;
	rpc_put_map(body, 1);
	rpc_put_str(body, "value");
	rpc_put_u64(body, a->value);
	return (a->write_rc);
}

static enum rc
ask_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct ask *a = arg;
	uint64_t n;

	(void)more;
	assert_false(a->ended);
	a->pieces++;
	for (size_t i = 0; i < rpc_array_len(body); i++) {
		if (!rpc_get_u64(rpc_array_at(body, i), &n))
			return (RC_SYNTAX);
		a->sum += n;
	}
	return (a->piece_rc);
}

static void
ask_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct ask *a = arg;

	a->ended = true;
	a->n_ends++;
	a->rc = rc;
	a->status = status;
	if (a->count != NULL)
		(*a->count)++;
}

static const struct engine_call_ops ask_ops = {
	.on_write = ask_write,
	.on_piece = ask_piece,
	.on_end = ask_end,
};

static void
ask_start(struct ask *a, struct engine_pool *pool, uint64_t value)
{
	a->pool = pool;
	a->value = value;
	a->id = engine_call(pool, RPC_OP_ENCRYPT, &ask_ops, a);
	assert_int_not_equal(a->id, 0);
	assert_int_equal(a->writes, 0);		/* nothing before it returns */
}

/* ---- what engines do with a call ---- */

static uint64_t
value_of(const struct rpc_call_frame *f)
{
	uint64_t n;

	assert_true(rpc_get_u64(rpc_map_get(f->body, "value"), &n));
	return (n);
}

static void
reply_number(struct engine_link *l, uint64_t id, uint64_t n, bool more)
{
	struct buffer body;

	buffer_init(&body, 0, false);
	rpc_put_array(&body, 1);
	rpc_put_u64(&body, n);
	engine_reply(l, id, RPC_STATUS_OK, &body, more);
	buffer_fini(&body);
}

static void
answer(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	(void)arg;
	reply_number(l, f->id, value_of(f), false);
}

static void
answer_in_pieces(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	(void)arg;
	reply_number(l, f->id, value_of(f), true);
	reply_number(l, f->id, 10, true);
	reply_number(l, f->id, 100, false);
}

/* ---- tests ---- */

static void
test_pieces(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };

	f->one.on_call = answer_in_pieces;
	engine_pair_pool(f, 1, NEVER_MS);
	ask_start(&a, f->pool, 1);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_OK);
	assert_int_equal(a.pieces, 3);
	assert_int_equal(a.sum, 111);
	assert_int_equal(a.writes, 1);
	assert_int_equal(engine_pool_up(f->pool), 1);
	assert_int_equal(engine_pool_calls(f->pool), 0);
	engine_call_cancel(f->pool, a.id);	/* answered: ignored */
	assert_int_equal(a.n_ends, 1);
}

/* The link goes after the first piece: what came is void. */
static void
cut_once(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	bool *was_cut = arg;

	if (*was_cut) {
		answer_in_pieces(NULL, l, f);
		return;
	}
	*was_cut = true;
	reply_number(l, f->id, 5555, true);
	net_stream_flush(l->stream);
	engine_cut(l);
}

static void
test_link_lost_in_mid_call(void **state)
{
	struct engine_pair *f = *state;
	bool was_cut = false;
	struct ask a = { 0 };

	f->one.on_call = cut_once;
	f->one.arg = &was_cut;
	engine_pair_pool(f, 1, NEVER_MS);
	ask_start(&a, f->pool, 1);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_OK);
	assert_int_equal(a.writes, 2);
	assert_int_equal(a.sum, 111);
	assert_int_equal(a.n_ends, 1);
}

/* A text where a number must be; the call beside it is not its fault. */
static void
lie_to_13(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct buffer body;
	bool *more = arg;

	if (value_of(f) != 13) {
		if (l->engine->n_calls > 2)
			answer(NULL, l, f);
		return;		/* the first time it waits */
	}
	buffer_init(&body, 0, false);
	rpc_put_array(&body, 1);
	rpc_put_str(&body, "lie");
	engine_reply(l, f->id, RPC_STATUS_OK, &body, *more);
	buffer_fini(&body);
	if (*more)
		reply_number(l, f->id, 1, false);
}

static void
wrong_piece(struct engine_pair *f, bool more)
{
	struct ask honest = { 0 }, liar = { 0 };

	f->one.on_call = lie_to_13;
	f->one.arg = &more;
	engine_pair_pool(f, 1, NEVER_MS);
	ask_start(&honest, f->pool, 7);
	ask_start(&liar, f->pool, 13);
	loop_until(f->lab.loop, &liar.ended);
	assert_int_equal(liar.rc, RC_SYNTAX);
	assert_int_equal(liar.pieces, 1);
	loop_until(f->lab.loop, &honest.ended);
	assert_int_equal(honest.rc, RC_OK);
	assert_int_equal(honest.sum, 7);
	assert_int_equal(honest.writes, 2);	/* that link is not believed */
	loop_for_ms(f->lab.loop, SOON_MS);
	assert_int_equal(liar.n_ends, 1);
}

static void
test_wrong_piece(void **state)
{
	wrong_piece(*state, false);
}

static void
test_wrong_piece_with_more_behind(void **state)
{
	wrong_piece(*state, true);
}

/* What the asker cannot take is no lie. */
static void
test_limits_of_the_asker(void **state)
{
	struct engine_pair *f = *state;
	struct ask written = { .write_rc = RC_LIMIT };
	struct ask read = { .piece_rc = RC_LIMIT }, after = { 0 };

	f->one.on_call = answer_in_pieces;
	engine_pair_pool(f, 1, NEVER_MS);
	ask_start(&written, f->pool, 1);
	ask_start(&read, f->pool, 1);
	loop_until(f->lab.loop, &written.ended);
	loop_until(f->lab.loop, &read.ended);
	assert_int_equal(written.rc, RC_LIMIT);
	assert_int_equal(read.rc, RC_LIMIT);
	assert_int_equal(read.pieces, 1);
	ask_start(&after, f->pool, 1);
	loop_until(f->lab.loop, &after.ended);
	assert_int_equal(after.rc, RC_OK);
	assert_int_equal(f->one.n_links, 2);	/* the first data link still */
	assert_int_equal(f->one.n_calls, 2);	/* `written` never left */
}

static void
test_not_ready_engine_is_not_chosen(void **state)
{
	struct engine_pair *f = *state;
	struct ask asks[20];
	size_t n_ended = 0;

	memset(asks, 0, sizeof(asks));
	f->one.ready = false;
	f->one.on_call = f->two.on_call = answer;
	engine_pair_pool(f, 2, NEVER_MS);
	for (unsigned i = 0; i < 20; i++) {
		asks[i].count = &n_ended;
		ask_start(&asks[i], f->pool, i);
	}
	loop_until_count(f->lab.loop, &n_ended, 20);
	assert_int_equal(f->one.n_calls, 0);
	assert_int_equal(f->two.n_calls, 20);
	assert_int_equal(engine_pool_up(f->pool), 1);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(asks[i].sum, i);
}

/* An engine that drains says so to the call, `more` or not; the other one
 * takes over at once. */
static void
refuse_not_ready(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	bool *more = arg;

	engine_reply(l, f->id, RPC_STATUS_NOT_READY, NULL, *more);
	if (*more)
		reply_number(l, f->id, 666, false);
	l->engine->ready = false;
}

static void
not_ready_moves(struct engine_pair *f, bool more)
{
	struct ask a = { 0 };

	f->one.on_call = refuse_not_ready;
	f->one.arg = &more;
	f->two.on_call = answer;
	f->two.ready = false;
	engine_pair_pool(f, 2, NEVER_MS);
	ask_start(&a, f->pool, 3);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	f->two.ready = true;
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_OK);
	assert_int_equal(a.sum, 3);
	assert_int_equal(a.writes, 2);
	assert_int_equal(f->one.n_calls, 1);
	assert_int_equal(f->two.n_calls, 1);
}

static void
test_not_ready_moves_the_call(void **state)
{
	not_ready_moves(*state, false);
}

static void
test_not_ready_with_more_behind(void **state)
{
	not_ready_moves(*state, true);
}

/* A refusal ends the call; pieces behind it find nobody. */
static void
refuse(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	enum rpc_status *status = arg;

	engine_reply(l, f->id, *status, NULL, true);
	reply_number(l, f->id, 1, true);
	reply_number(l, f->id, 1, false);
}

static void
test_refusals(void **state)
{
	static const struct {
		enum rpc_status	status;
		enum rc		rc;
	} rows[] = {
		{ RPC_STATUS_NO_SUCH_APP, RC_DENIED },
		{ RPC_STATUS_NOT_ALLOWED, RC_DENIED },
		{ RPC_STATUS_LIMIT, RC_DENIED },
		{ RPC_STATUS_INTERNAL, RC_DENIED },
		{ RPC_STATUS_OVERLOADED, RC_UNAVAILABLE },
	};
	struct engine_pair *f = *state;
	enum rpc_status status;

	f->one.on_call = refuse;
	f->one.arg = &status;
	engine_pair_pool(f, 1, NEVER_MS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ask a = { 0 };

		status = rows[i].status;
		ask_start(&a, f->pool, 1);
		loop_until(f->lab.loop, &a.ended);
		assert_int_equal(a.rc, rows[i].rc);
		assert_int_equal(a.status, status);
		assert_int_equal(a.pieces, 0);
		loop_for_ms(f->lab.loop, 20);
		assert_int_equal(a.n_ends, 1);
	}
}

static void
test_no_engine(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };

	engine_pair_pool(f, 0, SOON_MS);
	ask_start(&a, f->pool, 1);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_UNAVAILABLE);
	assert_int_equal(a.writes, 0);
}

static void
test_silent_call(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };

	engine_pair_pool(f, 1, SOON_MS);
	ask_start(&a, f->pool, 1);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_TIMEOUT);
	assert_int_equal(a.writes, 1);
	loop_until_count(f->lab.loop, &f->one.n_cancels, 1);
}

static void
test_cancel(void **state)
{
	struct engine_pair *f = *state;
	struct ask waiting = { 0 }, running = { 0 };

	engine_pair_pool(f, 1, NEVER_MS);
	ask_start(&waiting, f->pool, 1);
	engine_call_cancel(f->pool, waiting.id);
	ask_start(&running, f->pool, 2);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	engine_call_cancel(f->pool, running.id);
	engine_call_cancel(f->pool, running.id);
	engine_call_cancel(f->pool, 0);
	assert_int_equal(engine_pool_calls(f->pool), 0);
	loop_until_count(f->lab.loop, &f->one.n_cancels, 1);
	worker_engine_cut(&f->one);
	loop_for_ms(f->lab.loop, SOON_MS);
	assert_int_equal(waiting.n_ends + running.n_ends, 0);
	assert_int_equal(waiting.writes, 0);
	assert_int_equal(running.writes, 1);
}

/* Answers that come after their call was cancelled. */
struct held {
	struct engine_link	*link;
	uint64_t		id;
};

static void
hold(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct held *h = arg;

	h->link = l;
	h->id = f->id;
}

static void
test_answer_after_cancel(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 }, b = { 0 };
	struct held held;

	f->one.on_call = hold;
	f->one.arg = &held;
	engine_pair_pool(f, 1, NEVER_MS);
	ask_start(&a, f->pool, 1);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	engine_call_cancel(f->pool, a.id);
	reply_number(held.link, held.id, 1, true);
	reply_number(held.link, held.id, 1, false);
	f->one.on_call = answer;
	ask_start(&b, f->pool, 2);
	loop_until(f->lab.loop, &b.ended);
	assert_int_equal(b.sum, 2);
	assert_int_equal(a.pieces + a.n_ends, 0);
	assert_int_equal(f->one.n_links, 2);
}

/* Ping unanswered for a second: its calls go elsewhere. */
static void
test_stuck_engine_is_left(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };

	f->two.ready = false;
	f->two.on_call = answer;
	engine_pair_pool(f, 2, NEVER_MS);
	ask_start(&a, f->pool, 4);
	loop_until_count(f->lab.loop, &f->one.n_calls, 1);
	f->one.mute = true;
	f->two.ready = true;
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.rc, RC_OK);
	assert_int_equal(a.sum, 4);
	assert_int_equal(f->two.n_calls, 1);
	assert_int_equal(engine_pool_up(f->pool), 1);
}

/* More calls than a link takes: none is lost, none answered twice. */
#define MANY	(2 * RPC_CALLS_MAX + 50)

static struct ask many[MANY];

static void
start_many(struct engine_pair *f, size_t *n_ended)
{
	memset(many, 0, sizeof(many));
	for (unsigned i = 0; i < MANY; i++) {
		many[i].count = n_ended;
		ask_start(&many[i], f->pool, i);
	}
}

static void
check_many(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(many[i].n_ends, 1);
		assert_int_equal(many[i].rc, RC_OK);
		assert_int_equal(many[i].sum, i);
	}
}

static void
test_more_calls_than_a_link_takes(void **state)
{
	struct engine_pair *f = *state;
	size_t n_ended = 0;

	f->one.on_call = answer;
	engine_pair_pool(f, 1, NEVER_MS);
	start_many(f, &n_ended);
	loop_until_count(f->lab.loop, &n_ended, MANY);
	check_many();
	assert_int_equal(f->one.n_calls, MANY);
}

/* Each link dies at its tenth call; those that it swallowed come again. */
static void
cut_at_tenth(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	(void)arg;
	if (l->engine->n_calls % 10 == 0 && l->engine->n_calls <= 50)
		engine_cut(l);
	else
		answer(NULL, l, f);
}

static void
test_links_that_die_again_and_again(void **state)
{
	struct engine_pair *f = *state;
	size_t n_ended = 0;

	f->one.on_call = f->two.on_call = cut_at_tenth;
	engine_pair_pool(f, 2, NEVER_MS);
	start_many(f, &n_ended);
	loop_until_count(f->lab.loop, &n_ended, MANY);
	loop_for_ms(f->lab.loop, 20);
	check_many();
}

static void
test_queue_is_bounded(void **state)
{
	struct engine_pair *f = *state;
	struct ask a = { 0 };
	uint64_t first;

	engine_pair_pool(f, 0, NEVER_MS);
	ask_start(&a, f->pool, 1);
	first = a.id;
	for (unsigned i = 1; i < ENGINE_WAITING_MAX; i++)
		assert_int_not_equal(engine_call(f->pool, RPC_OP_ENCRYPT, &ask_ops,
		    &a), 0);
	assert_int_equal(engine_call(f->pool, RPC_OP_ENCRYPT, &ask_ops, &a), 0);
	for (unsigned i = 0; i < ENGINE_WAITING_MAX; i++)
		engine_call_cancel(f->pool, first + i);
	assert_int_equal(engine_pool_calls(f->pool), 0);
	assert_int_equal(a.n_ends, 0);
}

static bool
is_at(const struct engine_pool *p, const char *ip, uint16_t port)
{
	struct net_addr a;

	assert_int_equal(net_addr_from_ip(ip, port, &a), RC_OK);
	return (engine_pool_is_at(p, &a));
}

/* An engine by name: of its addresses (v6 first) one answers. */
static void
test_engine_by_name(void **state)
{
	struct engine_pair *f = *state;
	struct worker_engine tcp, *engines[1] = { &tcp };
	struct net_dns *dns = net_dns_new(f->lab.loop, NULL);
	struct ask a = { 0 };
	uint16_t port;

	worker_engine_start(&tcp, &f->lab, true);
	tcp.on_call = answer;
	f->pool = lab_pool(&f->lab, dns, NEVER_MS, engines, 1);
	ask_start(&a, f->pool, 9);
	loop_until(f->lab.loop, &a.ended);
	assert_int_equal(a.sum, 9);
	port = (uint16_t)strtoul(strrchr(tcp.address, ':') + 1, NULL, 10);
	assert_true(is_at(f->pool, "127.0.0.1", port));
	assert_false(is_at(f->pool, "127.0.0.2", port));
	assert_false(is_at(f->pool, "127.0.0.1", port ^ 1));
	engine_pool_free(&f->pool);
	net_dns_free(&dns);
	worker_engine_stop(&tcp);
}

/* Every form that relay.conf accepts for `engine`; none may end the process,
 * and freeing while names are looked up must be safe. */
static void
test_addresses_of_conf(void **state)
{
	static const char *const addresses[] = {
		"unix:/nowhere/e3.sock", "127.0.0.1:1", "[::1]:1", "e3.test:3443",
		"e3.test.:03443", "E3.Test:1", "127.0.0.1.:1", "127.0.0.1:01",
	};
	struct engine_pair *f = *state;
	struct net_dns *dns = net_dns_new(f->lab.loop, "127.0.0.1:1");

	f->pool = engine_pool_new(f->lab.loop, &(struct engine_pool_config){
	    .addresses = addresses,
	    .n_addresses = sizeof(addresses) / sizeof(addresses[0]),
	    .dns = dns,
	    .ctx = f->lab.client_ctx,
	    .links = 2,
	    .timeout_ms = SOON_MS,
	});
	loop_for_ms(f->lab.loop, 50);
	assert_int_equal(engine_pool_up(f->pool), 0);
	assert_true(is_at(f->pool, "127.0.0.1", 1));
	assert_true(is_at(f->pool, "::1", 1));
	assert_false(is_at(f->pool, "::1", 2));
	assert_false(is_at(f->pool, "192.0.2.1", 1));
	engine_pool_free(&f->pool);
	net_dns_free(&dns);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ENGINE_PAIR_TEST(test_pieces),
		ENGINE_PAIR_TEST(test_link_lost_in_mid_call),
		ENGINE_PAIR_TEST(test_wrong_piece),
		ENGINE_PAIR_TEST(test_wrong_piece_with_more_behind),
		ENGINE_PAIR_TEST(test_limits_of_the_asker),
		ENGINE_PAIR_TEST(test_not_ready_engine_is_not_chosen),
		ENGINE_PAIR_TEST(test_not_ready_moves_the_call),
		ENGINE_PAIR_TEST(test_not_ready_with_more_behind),
		ENGINE_PAIR_TEST(test_refusals),
		ENGINE_PAIR_TEST(test_no_engine),
		ENGINE_PAIR_TEST(test_silent_call),
		ENGINE_PAIR_TEST(test_cancel),
		ENGINE_PAIR_TEST(test_answer_after_cancel),
		ENGINE_PAIR_TEST(test_stuck_engine_is_left),
		ENGINE_PAIR_TEST(test_more_calls_than_a_link_takes),
		ENGINE_PAIR_TEST(test_links_that_die_again_and_again),
		ENGINE_PAIR_TEST(test_queue_is_bounded),
		ENGINE_PAIR_TEST(test_engine_by_name),
		ENGINE_PAIR_TEST(test_addresses_of_conf),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
