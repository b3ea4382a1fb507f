/*
 * worker/origin_connect.c against real sockets: which address of several wins,
 * what is told when none does, and that nothing stays open.
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
#include "tests/unit/test_loop.h"
#include "tests/unit/worker_origin.h"
#include "worker/origin_connect.h"

#define DESTS_MAX	3
#define CLOCK_MS	5	/* the loop's clock is coarse */
#define NO_DELAY	60000	/* longer than any test: the next never joins */

struct ask {
	bool			ended;
	enum origin_fault	fault;
	bool			its_own;
	char			why[160];
	struct net_stream	*stream;	/* owned */
};

static void
on_outcome(void *arg, const struct origin_outcome *o)
{
	struct ask *a = arg;

	assert_false(a->ended);
	a->ended = true;
	a->fault = o->fault;
	a->its_own = o->its_own;
	(void)snprintf(a->why, sizeof(a->why), "%s", o->why);
	a->stream = o->stream;
	assert_int_equal(o->fault == ORIGIN_OK, o->stream != NULL);
}

struct fixture {
	struct lab		lab;
	SSL_CTX			*ctx;
	struct origin_self	*self;
	struct origin_session	session;
	struct origin_connect_to to;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	lab_start(&f->lab);
	f->ctx = test_client_ctx(f->lab.ca, TLS1_2_VERSION);
	origin_session_prepare(f->ctx);
	f->self = origin_self_new(&f->lab.conf);
	f->to = (struct origin_connect_to){
		.loop = f->lab.loop,
		.dns = f->lab.dns,
		.self = f->self,
		.host = "a.test",
		.port = f->lab.port,
		.server_name = "a.test",
		.ctx = f->ctx,
		.session = &f->session,
		.timeout_ms = 5000,
		.delay_ms = NO_DELAY,
	};
	*state = f;
	return (0);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	origin_session_fini(&f->session);
	origin_self_free(&f->self);
	SSL_CTX_free(f->ctx);
	lab_stop(&f->lab);
	free(f);
	return (0);
}

static struct ask
ask(struct fixture *f)
{
	struct origin_connect *c;
	struct ask a;

	memset(&a, 0, sizeof(a));
	c = origin_connect_start(&f->to, on_outcome, &a);
	assert_non_null(c);
	assert_false(a.ended);
	loop_until(f->lab.loop, &a.ended);
	return (a);
}

/* ---- one destination of several kinds ---- */

struct race {
	const char		*name;
	const char		*ips;
	enum dest_kind		kinds[DESTS_MAX];	/* of 127.0.0.2, .3, ... */
	unsigned		delay_ms;
	unsigned		timeout_ms;	/* 0: 5000 */
	enum origin_fault	fault;
	const char		*winner;
	bool			its_own;
	unsigned		min_ms, max_ms;
};

static const struct race races[] = {
	{ "one address", "127.0.0.2", { DEST_GOOD }, NO_DELAY, 0,
	    ORIGIN_OK, "127.0.0.2", false, 0, 2000 },
	{ "the first is used", "127.0.0.2 127.0.0.3", { DEST_GOOD, DEST_GOOD },
	    NO_DELAY, 0, ORIGIN_OK, "127.0.0.2", false, 0, 2000 },
	{ "refused: the next at once", "127.0.0.2 127.0.0.3",
	    { DEST_NONE, DEST_GOOD }, NO_DELAY, 0,
	    ORIGIN_OK, "127.0.0.3", false, 0, 2000 },
	{ "silent: the next after the delay", "127.0.0.2 127.0.0.3",
	    { DEST_SILENT, DEST_GOOD }, 30, 0,
	    ORIGIN_OK, "127.0.0.3", false, 30, 2000 },
	{ "two silent", "127.0.0.2 127.0.0.3 127.0.0.4",
	    { DEST_SILENT, DEST_SILENT, DEST_GOOD }, 30, 0,
	    ORIGIN_OK, "127.0.0.4", false, 60, 2000 },
	{ "silent, refused, good", "127.0.0.2 127.0.0.3 127.0.0.4",
	    { DEST_SILENT, DEST_NONE, DEST_GOOD }, 30, 0,
	    ORIGIN_OK, "127.0.0.4", false, 30, 2000 },
	{ "not trusted: the next at once", "127.0.0.2 127.0.0.3",
	    { DEST_WRONG, DEST_GOOD }, NO_DELAY, 0,
	    ORIGIN_OK, "127.0.0.3", false, 0, 2000 },
	{ "connected, then nothing: the next joins later",
	    "127.0.0.2 127.0.0.3", { DEST_MUTE, DEST_GOOD }, 30, 0,
	    ORIGIN_OK, "127.0.0.3", false, 4 * 30, 2000 },
	{ "this relay is left out", "127.0.0.9 127.0.0.2", { DEST_GOOD },
	    NO_DELAY, 0, ORIGIN_OK, "127.0.0.2", false, 0, 2000 },
	/* no winner */
	{ "refused", "127.0.0.2 127.0.0.3", { DEST_NONE, DEST_NONE }, NO_DELAY,
	    0, ORIGIN_REFUSED, NULL, true, 0, 2000 },
	{ "silent", "127.0.0.2", { DEST_SILENT }, 30, 300,
	    ORIGIN_TIMEOUT, NULL, true, 300, 3000 },
	{ "mute", "127.0.0.2", { DEST_MUTE }, 30, 300,
	    ORIGIN_TIMEOUT, NULL, true, 300, 3000 },
	{ "time over refused", "127.0.0.2 127.0.0.3",
	    { DEST_SILENT, DEST_NONE }, 30, 300,
	    ORIGIN_TIMEOUT, NULL, true, 300, 3000 },
	{ "TLS over refused", "127.0.0.2 127.0.0.3", { DEST_WRONG, DEST_NONE },
	    NO_DELAY, 0, ORIGIN_TLS, NULL, true, 0, 2000 },
	{ "TLS over time", "127.0.0.2 127.0.0.3", { DEST_WRONG, DEST_SILENT },
	    NO_DELAY, 300, ORIGIN_TLS, NULL, true, 300, 3000 },
	{ "TLS over loop", "127.0.0.9 127.0.0.2", { DEST_WRONG }, NO_DELAY, 0,
	    ORIGIN_TLS, NULL, true, 0, 2000 },
	{ "loop over refused", "127.0.0.9 127.0.0.2", { DEST_NONE }, NO_DELAY,
	    0, ORIGIN_LOOP, NULL, true, 0, 2000 },
	{ "loop over time", "127.0.0.9 127.0.0.2", { DEST_SILENT }, NO_DELAY,
	    300, ORIGIN_LOOP, NULL, true, 300, 3000 },
	{ "only this relay", "127.0.0.9", { DEST_NONE }, NO_DELAY, 0,
	    ORIGIN_LOOP, NULL, false, 0, 2000 },
};

static void
check_race(const struct race *r, const struct ask *a, unsigned ms)
{
	char peer[NET_ADDR_TEXT_BYTES] = "";

	if (a->stream != NULL)
		net_addr_format(net_stream_peer(a->stream), peer);
	if (a->fault != r->fault ||
	    (a->fault != ORIGIN_OK && a->its_own != r->its_own) ||
	    ms + CLOCK_MS < r->min_ms || ms > r->max_ms ||
	    (r->winner != NULL && strncmp(peer, r->winner, 9) != 0))
		fail_msg("%s: fault %d its_own %d winner %s after %u ms: %s",
		    r->name, (int)a->fault, a->its_own, peer, ms, a->why);
	assert_true(a->why[0] != '\0' || a->fault == ORIGIN_OK);
}

static void
run_race(const struct race *r)
{
	static struct conf_listen listens[1];
	struct dest dests[DESTS_MAX];
	struct fixture *f;
	char ip[32], own[32];
	uint64_t start_ms;
	struct ask a;
	void *state;
	int n_fds;

	(void)setup(&state);
	f = state;
	(void)snprintf(own, sizeof(own), "127.0.0.9:%u", f->lab.port);
	listens[0].address = own;
	f->lab.conf.listens = listens;
	f->lab.conf.n_listens = 1;
	origin_self_free(&f->self);
	f->to.self = f->self = origin_self_new(&f->lab.conf);
	for (unsigned i = 0; i < DESTS_MAX; i++) {
		(void)snprintf(ip, sizeof(ip), "127.0.0.%u", i + 2);
		dest_start(&dests[i], &f->lab, ip, r->kinds[i]);
	}
	lab_name(&f->lab, "a.test", r->ips);
	f->to.delay_ms = r->delay_ms;
	if (r->timeout_ms != 0)
		f->to.timeout_ms = r->timeout_ms;
	n_fds = fd_count();
	start_ms = clock_mono_ms();
	a = ask(f);
	check_race(r, &a, (unsigned)(clock_mono_ms() - start_ms));
	net_stream_close(&a.stream);
	for (unsigned i = 0; i < DESTS_MAX; i++)
		dest_cut(&dests[i]);
	/* c-ares keeps its own socket. */
	assert_in_range(fd_count(), n_fds, n_fds + 1);
	for (unsigned i = 0; i < DESTS_MAX; i++)
		dest_stop(&dests[i]);
	(void)teardown(&state);
}

static void
test_races(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(races) / sizeof(races[0]); i++) {
		print_message("  %s\n", races[i].name);
		run_race(&races[i]);
	}
}

/* IPv6 first; what it does not do, IPv4 does. */
static void
test_ipv6(void **state)
{
	static const struct {
		enum dest_kind	v6, v4;
		bool		v6_wins;
	} cases[] = {
		{ DEST_GOOD, DEST_GOOD, true },
		{ DEST_SILENT, DEST_GOOD, false },
		{ DEST_NONE, DEST_GOOD, false },
		{ DEST_WRONG, DEST_GOOD, false },
		{ DEST_GOOD, DEST_NONE, true },
	};
	struct fixture *f = *state;

	if (f->lab.port_v6 < 0) {
		print_message("no IPv6 here\n");
		skip();
	}
	lab_name(&f->lab, "a.test", "127.0.0.1 ::1");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dest v6, v4;
		struct ask a;

		dest_start(&v6, &f->lab, "::1", cases[i].v6);
		dest_start(&v4, &f->lab, "127.0.0.1", cases[i].v4);
		f->to.delay_ms = cases[i].v6 == DEST_SILENT ? 30 : NO_DELAY;
		a = ask(f);
		assert_int_equal(a.fault, ORIGIN_OK);
		assert_int_equal(net_stream_peer(a.stream)->ss.ss_family,
		    cases[i].v6_wins ? AF_INET6 : AF_INET);
		net_stream_close(&a.stream);
		dest_stop(&v6);
		dest_stop(&v4);
	}
}

/* ---- egress ---- */

/* Addresses that are not public are not even contacted, and that is told,
 * unless it is ourselves. */
static void
test_public_only(void **state)
{
	static const struct {
		const char		*name, *ips;
		enum origin_fault	fault;
		const char		*why;
	} cases[] = {
		{ "n1.test", "127.0.0.2", ORIGIN_FORBIDDEN, "loopback" },
		{ "n2.test", "10.0.0.1", ORIGIN_FORBIDDEN, "private" },
		{ "n3.test", "169.254.169.254", ORIGIN_FORBIDDEN, "link-local" },
		{ "n4.test", "100.64.0.1", ORIGIN_FORBIDDEN, "shared" },
		{ "n5.test", "192.168.1.1 127.0.0.2", ORIGIN_FORBIDDEN, NULL },
		{ "n6.test", "127.0.0.9 127.0.0.2", ORIGIN_LOOP, NULL },
		{ "n7.test", "127.0.0.2 127.0.0.9", ORIGIN_LOOP, NULL },
		{ "n8.test", "fd00::1", ORIGIN_FORBIDDEN, NULL },
		{ "n9.test", "::ffff:127.0.0.2", ORIGIN_FORBIDDEN, NULL },
		{ "n10.test", "64:ff9b::7f00:2", ORIGIN_FORBIDDEN, NULL },
	};
	static struct conf_listen listens[1];
	struct fixture *f = *state;
	struct dest d;
	struct ask a;
	char own[32];
	int n_fds;

	(void)snprintf(own, sizeof(own), "127.0.0.9:%u", f->lab.port);
	listens[0].address = own;
	f->lab.conf.listens = listens;
	f->lab.conf.n_listens = 1;
	origin_self_free(&f->self);
	f->to.self = f->self = origin_self_new(&f->lab.conf);
	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	f->to.public_only = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lab_name(&f->lab, cases[i].name, cases[i].ips);
		f->to.host = cases[i].name;
		n_fds = fd_count();
		a = ask(f);
		if (a.fault != cases[i].fault || a.its_own || (cases[i].why != NULL &&
		    strstr(a.why, cases[i].why) == NULL))
			fail_msg("%s: fault %d: %s", cases[i].ips, (int)a.fault,
			    a.why);
		assert_in_range(fd_count(), n_fds, n_fds + 1);
	}
	assert_int_equal(d.n_accepted, 0);
	f->to.public_only = false;
	f->to.host = "a.test";
	lab_name(&f->lab, "a.test", "127.0.0.2");
	a = ask(f);
	assert_int_equal(a.fault, ORIGIN_OK);
	net_stream_close(&a.stream);
	dest_stop(&d);
}

/* No TLS: who is connected has won. */
static void
test_plain(void **state)
{
	struct fixture *f = *state;
	struct dest one, two;
	struct ask a;

	f->to.ctx = NULL;
	lab_name(&f->lab, "a.test", "127.0.0.2 127.0.0.3");
	dest_start(&one, &f->lab, "127.0.0.2", DEST_NONE);
	dest_start(&two, &f->lab, "127.0.0.3", DEST_MUTE);
	a = ask(f);
	assert_int_equal(a.fault, ORIGIN_OK);
	assert_null(net_stream_ssl(a.stream));
	assert_int_equal(two.n_accepted, 1);
	net_stream_close(&a.stream);
	dest_stop(&two);
	dest_start(&two, &f->lab, "127.0.0.3", DEST_NONE);
	a = ask(f);
	assert_int_equal(a.fault, ORIGIN_REFUSED);
	assert_true(a.its_own);
	f->to.public_only = true;
	a = ask(f);
	assert_int_equal(a.fault, ORIGIN_FORBIDDEN);
	dest_stop(&one);
	dest_stop(&two);
}

/* A connected address has its time to shake hands: the next one is not even
 * contacted. */
static void
test_connected_holds_the_others_back(void **state)
{
	struct fixture *f = *state;
	struct dest late, other;
	struct ask a;

	dest_start(&late, &f->lab, "127.0.0.2", DEST_LATE);
	dest_start(&other, &f->lab, "127.0.0.3", DEST_GOOD);
	lab_name(&f->lab, "a.test", "127.0.0.2 127.0.0.3");
	f->to.delay_ms = DEST_LATE_MS * 6 / 10;	/* it passes once */
	a = ask(f);
	assert_int_equal(a.fault, ORIGIN_OK);
	assert_int_equal(late.n_accepted, 1);
	assert_int_equal(other.n_accepted, 0);
	net_stream_close(&a.stream);
	dest_stop(&late);
	dest_stop(&other);
}

/* Who joined late is closed when another one wins. */
static void
test_losers_are_closed(void **state)
{
	struct fixture *f = *state;
	struct dest mute, good;
	char bytes[1024];
	struct ask a;
	ssize_t n;

	dest_start(&mute, &f->lab, "127.0.0.2", DEST_MUTE);
	dest_start(&good, &f->lab, "127.0.0.3", DEST_GOOD);
	lab_name(&f->lab, "a.test", "127.0.0.2 127.0.0.3");
	f->to.delay_ms = 5;
	a = ask(f);
	assert_int_equal(a.fault, ORIGIN_OK);
	assert_int_equal(mute.n_accepted, 1);
	assert_int_equal(good.n_accepted, 1);
	/* Its ClientHello, then the end. */
	do {
		n = read(LIST_FIRST(&mute.links)->fd, bytes, sizeof(bytes));
	} while (n > 0);
	assert_int_equal(n, 0);
	net_stream_close(&a.stream);
	dest_stop(&mute);
	dest_stop(&good);
}

/* ---- before there are addresses ---- */

static void
test_names(void **state)
{
	struct fixture *f = *state;
	struct ask a;

	a = ask(f);			/* no such name */
	assert_int_equal(a.fault, ORIGIN_UNRESOLVED);
	assert_false(a.its_own);
	f->to.host = "silent.test";
	lab_name(&f->lab, "silent.test", NULL);
	f->to.timeout_ms = 100;
	a = ask(f);
	assert_int_equal(a.fault, ORIGIN_TIMEOUT);
	assert_false(a.its_own);
	assert_non_null(strstr(a.why, "resolved"));
}

/* ---- sessions ---- */

static void
test_session_is_resumed(void **state)
{
	static const enum dest_kind kinds[] = { DEST_GOOD, DEST_TLS_12 };
	struct fixture *f = *state;

	lab_name(&f->lab, "a.test", "127.0.0.2");
	for (size_t i = 0; i < 2; i++) {
		struct dest d;
		struct ask a;

		dest_start(&d, &f->lab, "127.0.0.2", kinds[i]);
		a = ask(f);
		assert_int_equal(a.fault, ORIGIN_OK);
		assert_false(SSL_session_reused(net_stream_ssl(a.stream)));
		while (f->session.last == NULL)	/* comes after the handshake */
			loop_for_ms(f->lab.loop, 1);
		net_stream_close(&a.stream);
		a = ask(f);
		assert_true(SSL_session_reused(net_stream_ssl(a.stream)));
		net_stream_close(&a.stream);
		dest_stop(&d);
		origin_session_fini(&f->session);
	}
}

/* ---- stopped ---- */

/* At any time: nobody is called, nothing stays open. */
static void
test_stop_at_any_time(void **state)
{
	static const struct {
		const char	*host;
		unsigned	after_ms;
	} cases[] = {
		{ "silent.test", 0 },		/* resolving */
		{ "silent.test", 20 },
		{ "a.test", 0 },
		{ "a.test", 1 },
		{ "a.test", 5 },		/* racing: one silent */
		{ "a.test", 40 },		/* and one in its handshake */
	};
	struct fixture *f = *state;
	struct dest silent, mute;
	struct ask a;

	lab_name(&f->lab, "silent.test", NULL);
	lab_name(&f->lab, "a.test", "127.0.0.2 127.0.0.3");
	dest_start(&silent, &f->lab, "127.0.0.2", DEST_SILENT);
	dest_start(&mute, &f->lab, "127.0.0.3", DEST_MUTE);
	f->to.delay_ms = 10;
	memset(&a, 0, sizeof(a));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n_fds = fd_count();
		struct origin_connect *c;

		f->to.host = cases[i].host;
		c = origin_connect_start(&f->to, on_outcome, &a);
		if (cases[i].after_ms != 0)
			loop_for_ms(f->lab.loop, cases[i].after_ms);
		origin_connect_stop(&c);
		assert_null(c);
		origin_connect_stop(&c);
		loop_for_ms(f->lab.loop, 20);
		assert_false(a.ended);
		dest_cut(&mute);
		assert_in_range(fd_count(), n_fds, n_fds + 1);
	}
	assert_true(mute.n_accepted != 0);
	dest_stop(&silent);
	dest_stop(&mute);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_races),
		cmocka_unit_test_setup_teardown(test_ipv6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_public_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_connected_holds_the_others_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_losers_are_closed, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_is_resumed, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_stop_at_any_time, setup,
		    teardown),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	alarm(120);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
