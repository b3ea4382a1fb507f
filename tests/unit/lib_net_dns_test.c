/*
 * tests/unit/lib_net_dns_test.c - names to addresses against a small server
 * that runs on the same loop and counts what it is asked.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/loop.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "lib/net/dns.h"

#define TYPE_A		1
#define TYPE_CNAME	5
#define TYPE_AAAA	28
#define RCODE_SERVFAIL	2
#define RCODE_NXDOMAIN	3

struct record {
	const char	*name;
	uint16_t	type;
	uint32_t	ttl;
	const char	*data;		/* address or name */
};

static const struct record zone[] = {
	{ "both.test", TYPE_A, 60, "192.0.2.1" },
	{ "both.test", TYPE_A, 60, "192.0.2.2" },
	{ "both.test", TYPE_AAAA, 60, "2001:db8::1" },
	{ "v4.test", TYPE_A, 300, "192.0.2.3" },
	{ "zero.test", TYPE_A, 0, "192.0.2.4" },
	{ "steady.test", TYPE_A, 300, "192.0.2.5" },
	{ "alias.test", TYPE_CNAME, 1, "steady.test" },
	{ "steady-alias.test", TYPE_CNAME, 300, "steady.test" },
	{ "big.test", TYPE_A, 60, "192.0.2.6" },	/* over TCP only */
	{ "empty.test", 16, 60, "" },		/* there, without addresses */
	{ "turns.test", TYPE_A, 60, "192.0.2.10" },
	{ "turns.test", TYPE_A, 60, "192.0.2.11" },
	{ "turns.test", TYPE_AAAA, 60, "2001:db8::10" },
	{ "turns.test", TYPE_AAAA, 60, "2001:db8::11" },
	{ "turns.test", TYPE_AAAA, 60, "2001:db8::12" },
	{ "half.test", TYPE_A, 60, "192.0.2.12" },
	{ "half.test", TYPE_AAAA, 60, "2001:db8::13" },
	{ "brief4.test", TYPE_A, 1, "192.0.2.13" },
	{ "brief4.test", TYPE_AAAA, 300, "2001:db8::14" },
};
#define N_ZONE	(sizeof(zone) / sizeof(zone[0]))

static struct {
	struct loop	*loop;
	struct event	*ev_udp, *ev_tcp, *ev_conn;
	int		udp, tcp;
	struct net_dns	*dns;
	unsigned	queries, tcp_queries;
	unsigned	silent_type, failing_type;	/* of half.test; 0: none */
	uint8_t		held[512];	/* the question it is silent about */
	struct sockaddr_storage held_from;
	socklen_t	held_len;
} t;

static size_t
put_name(unsigned char *out, const char *name)
{
	size_t at = 0, len;

	for (; *name != '\0'; name += len + (name[len] == '.' ? 1 : 0)) {
		len = strcspn(name, ".");
		out[at++] = (unsigned char)len;
		memcpy(out + at, name, len);
		at += len;
	}
	out[at++] = 0;
	return (at);
}

static size_t
put16(unsigned char *out, unsigned v)
{
	out[0] = (unsigned char)(v >> 8);
	out[1] = (unsigned char)v;
	return (2);
}

static size_t
put_record(unsigned char *out, const struct record *r)
{
	unsigned char data[256];
	size_t at = put_name(out, r->name), len;

	at += put16(out + at, r->type);
	at += put16(out + at, 1);
	at += put16(out + at, r->ttl >> 16);
	at += put16(out + at, r->ttl & 0xffff);
	if (r->type == TYPE_A) {
		ensure(inet_pton(AF_INET, r->data, data) == 1);
		len = 4;
	} else if (r->type == TYPE_AAAA) {
		ensure(inet_pton(AF_INET6, r->data, data) == 1);
		len = 16;
	} else
		len = put_name(data, r->data);
	at += put16(out + at, (unsigned)len);
	memcpy(out + at, data, len);
	return (at + len);
}

/* Records for name and type, a CNAME and its target included. */
static unsigned
put_answers(unsigned char *out, size_t *at, const char *name, unsigned type)
{
	unsigned n = 0;

	for (size_t i = 0; i < N_ZONE; i++) {
		if (strcmp(zone[i].name, name) != 0 ||
		    (zone[i].type != type && zone[i].type != TYPE_CNAME))
			continue;
		*at += put_record(out + *at, &zone[i]);
		n++;
		if (zone[i].type == TYPE_CNAME)
			n += put_answers(out, at, zone[i].data, type);
	}
	return (n);
}

static bool
known(const char *name)
{
	for (size_t i = 0; i < N_ZONE; i++)
		if (strcmp(zone[i].name, name) == 0)
			return (true);
	return (strncmp(name, "many", 4) == 0);
}

static void
get_name(const unsigned char *in, size_t *at, char *out)
{
	char *o = out;

	while (in[*at] != 0) {
		if (o != out)
			*o++ = '.';
		memcpy(o, in + *at + 1, in[*at]);
		o += in[*at];
		*at += in[*at] + 1u;
	}
	*o = '\0';
	(*at)++;
}

/* The answer to this question; 0: none, the server is silent. */
static size_t
reply(const unsigned char *q, unsigned char *out, bool tcp)
{
	size_t at = 12, q_end;
	unsigned n = 0, rcode = 0, type;
	bool cut;
	char name[256];

	get_name(q, &at, name);
	type = (unsigned)q[at] << 8 | q[at + 1];
	q_end = at + 4;
	t.queries++;
	t.tcp_queries += tcp ? 1 : 0;
	if (strcmp(name, "silent.test") == 0 ||
	    (strcmp(name, "half.test") == 0 && type == t.silent_type))
		return (0);
	memcpy(out, q, q_end);
	at = q_end;
	cut = strcmp(name, "big.test") == 0 && !tcp;
	if (strcmp(name, "servfail.test") == 0 ||
	    (strcmp(name, "half.test") == 0 && type == t.failing_type))
		rcode = RCODE_SERVFAIL;
	else if (!known(name))
		rcode = RCODE_NXDOMAIN;
	else if (strncmp(name, "many", 4) == 0 && type == TYPE_A) {
		struct record r = { name, TYPE_A, 300, "192.0.2.9" };

		at += put_record(out + at, &r);
		n = 1;
	} else if (!cut)
		n = put_answers(out, &at, name, type);
	out[2] = (unsigned char)(0x84 | (cut ? 2 : 0));
	out[3] = (unsigned char)(0x80 | rcode);
	(void)put16(out + 6, n);
	(void)put16(out + 8, 0);
	(void)put16(out + 10, 0);
	return (at);
}

static void
on_udp(evutil_socket_t fd, short what, void *arg)
{
	unsigned char q[512], out[2048];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n;
	size_t size;

	(void)what;
	(void)arg;
	n = recvfrom(fd, q, sizeof(q), 0, (struct sockaddr *)&from, &len);
	if (n < 17)
		return;
	if ((size = reply(q, out, false)) == 0) {
		memcpy(t.held, q, (size_t)n);
		t.held_from = from;
		t.held_len = len;
		return;
	}
	ensure(sendto(fd, out, size, 0, (struct sockaddr *)&from, len) ==
	    (ssize_t)size);
}

/* Questions over TCP: small enough to come whole, maybe two at once. */
static void
on_tcp_question(evutil_socket_t fd, short what, void *arg)
{
	unsigned char q[1024], out[2050];
	ssize_t n = recv(fd, q, sizeof(q), 0);
	size_t size;

	(void)what;
	(void)arg;
	if (n <= 0) {
		event_free(t.ev_conn);
		t.ev_conn = NULL;
		close(fd);
		return;
	}
	for (ssize_t at = 0; at < n; at += 2 + (q[at] << 8 | q[at + 1])) {
		size = reply(q + at + 2, out + 2, true);
		(void)put16(out, (unsigned)size);
		ensure(send(fd, out, size + 2, MSG_NOSIGNAL) ==
		    (ssize_t)(size + 2));
	}
}

static void
on_tcp(evutil_socket_t fd, short what, void *arg)
{
	int c = accept(fd, NULL, NULL);

	(void)what;
	(void)arg;
	ensure(c >= 0 && t.ev_conn == NULL);
	t.ev_conn = event_new(loop_base(t.loop), c, EV_READ | EV_PERSIST,
	    on_tcp_question, NULL);
	event_add(t.ev_conn, NULL);
}

/* One port for both, though somebody may have that of the first for TCP. */
static uint16_t
bind_both(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 50; i++) {
		in.sin_port = 0;
		t.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		ensure(bind(t.udp, (struct sockaddr *)&in, sizeof(in)) == 0);
		ensure(getsockname(t.udp, (struct sockaddr *)&in, &len) == 0);
		t.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(t.tcp, (struct sockaddr *)&in, sizeof(in)) == 0)
			return (ntohs(in.sin_port));
		fd_close(&t.udp);
		fd_close(&t.tcp);
	}
	fail_msg("no port for UDP and TCP");
	return (0);
}

static int
setup(void **state)
{
	char servers[64];
	uint16_t port;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.loop = loop_new();
	port = bind_both();
	ensure(listen(t.tcp, 4) == 0);
	t.ev_udp = event_new(loop_base(t.loop), t.udp, EV_READ | EV_PERSIST,
	    on_udp, NULL);
	t.ev_tcp = event_new(loop_base(t.loop), t.tcp, EV_READ | EV_PERSIST,
	    on_tcp, NULL);
	event_add(t.ev_udp, NULL);
	event_add(t.ev_tcp, NULL);
	(void)snprintf(servers, sizeof(servers), "127.0.0.1:%u", port);
	t.dns = net_dns_new(t.loop, servers);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	net_dns_free(&t.dns);
	if (t.ev_conn != NULL) {
		close(event_get_fd(t.ev_conn));
		event_free(t.ev_conn);
	}
	event_free(t.ev_udp);
	event_free(t.ev_tcp);
	fd_close(&t.udp);
	fd_close(&t.tcp);
	loop_free(&t.loop);
	return (0);
}

struct answer {
	unsigned	calls;
	enum rc		rc;
	size_t		n;
	char		text[NET_DNS_ADDRS_MAX][NET_ADDR_TEXT_BYTES];
};

static void
on_answer(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct answer *a = arg;

	a->calls++;
	a->rc = rc;
	a->n = n;
	for (size_t i = 0; i < n; i++)
		net_addr_format(&addrs[i], a->text[i]);
}

static struct answer
ask(const char *host)
{
	struct answer a;

	memset(&a, 0, sizeof(a));
	assert_true(net_dns_resolve(t.dns, host, 443, on_answer, &a) != 0);
	assert_int_equal(a.calls, 0);		/* never before it returns */
	while (a.calls == 0)
		loop_turn(t.loop, true);
	loop_turn(t.loop, false);
	assert_int_equal(a.calls, 1);
	return (a);
}

static void
test_answers(void **state)
{
	static const struct {
		const char	*host;
		enum rc		rc;
		const char	*addrs;		/* joined by spaces */
	} cases[] = {
		{ "both.test", RC_OK,
		    "[2001:db8::1]:443 192.0.2.1:443 192.0.2.2:443" },
		{ "BOTH.test.", RC_OK,
		    "[2001:db8::1]:443 192.0.2.1:443 192.0.2.2:443" },
		{ "turns.test", RC_OK,
		    "[2001:db8::10]:443 192.0.2.10:443 [2001:db8::11]:443 "
		    "192.0.2.11:443 [2001:db8::12]:443" },
		{ "v4.test", RC_OK, "192.0.2.3:443" },
		{ "alias.test", RC_OK, "192.0.2.5:443" },
		{ "big.test", RC_OK, "192.0.2.6:443" },
		{ "192.0.2.77", RC_OK, "192.0.2.77:443" },
		{ "2001:DB8::7", RC_OK, "[2001:db8::7]:443" },
		{ "[2001:DB8::7]", RC_OK, "[2001:db8::7]:443" },
		{ "gone.test", RC_NOTFOUND, "" },
		{ "empty.test", RC_NOTFOUND, "" },
		{ "servfail.test", RC_IO, "" },
		{ "", RC_NOTFOUND, "" },
		{ "not a name", RC_NOTFOUND, "" },
		{ "a..b", RC_NOTFOUND, "" },
		{ "127.1", RC_NOTFOUND, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer a = ask(cases[i].host);
		char joined[1024] = "";

		for (size_t j = 0; j < a.n; j++) {
			strcat(joined, j == 0 ? "" : " ");
			strcat(joined, a.text[j]);
		}
		if (a.rc != cases[i].rc || strcmp(joined, cases[i].addrs) != 0)
			fail_msg("%s: %s %s", cases[i].host, rc_name(a.rc),
			    joined);
	}
	assert_true(t.tcp_queries != 0);
}

static void
test_no_query_needed(void **state)
{
	struct answer a;

	(void)state;
	(void)ask("192.0.2.77");
	(void)ask("not a name");
	a = ask("localhost");
	assert_int_equal(a.rc, RC_OK);
	assert_true(a.n >= 1);
	assert_int_equal(t.queries, 0);
}

static void
test_cache(void **state)
{
	static const char *const hosts[] = { "both.test", "gone.test",
		"servfail.test" };
	unsigned queries;

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		enum rc first = ask(hosts[i]).rc;

		queries = t.queries;
		assert_int_equal(ask(hosts[i]).rc, first);
		assert_int_equal(t.queries, queries);
	}
}

static bool waited;

static void
on_waited(void *arg)
{
	(void)arg;
	waited = true;
}

/* The CNAME lives one second, what it points to five minutes; a TTL of zero
 * counts as one second. */
static void
test_smallest_ttl(void **state)
{
	static const struct {
		const char	*host;
		bool		again;
	} cases[] = {
		{ "alias.test", true },
		{ "zero.test", true },
		{ "steady-alias.test", false },
		{ "steady.test", false },
	};
	struct timer timer;
	unsigned queries;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		(void)ask(cases[i].host);
	queries = t.queries;
	for (size_t i = 0; i < 4; i++)
		(void)ask(cases[i].host);
	assert_int_equal(t.queries, queries);
	waited = false;
	timer_init(&timer, t.loop, on_waited, NULL);
	timer_start_ms(&timer, 1050);
	while (!waited)
		loop_turn(t.loop, true);
	timer_fini(&timer);
	for (size_t i = 0; i < 4; i++) {
		queries = t.queries;
		(void)ask(cases[i].host);
		assert_int_equal(t.queries != queries, cases[i].again);
	}
}

/* One family has a short life: only that one is asked for again, and the
 * other's addresses stay. */
static void
test_families_age_apart(void **state)
{
	struct answer a;
	struct timer timer;
	unsigned queries;

	(void)state;
	assert_int_equal(ask("brief4.test").n, 2);
	queries = t.queries;
	waited = false;
	timer_init(&timer, t.loop, on_waited, NULL);
	timer_start_ms(&timer, 1050);
	while (!waited)
		loop_turn(t.loop, true);
	timer_fini(&timer);
	a = ask("brief4.test");
	assert_int_equal(t.queries, queries + 1);
	assert_int_equal(a.n, 2);
	assert_string_equal(a.text[0], "[2001:db8::14]:443");
	assert_string_equal(a.text[1], "192.0.2.13:443");
}

/* A server that fails for one family, or never answers: the other's addresses
 * come, soon, and nobody waits a second time. */
static void
test_one_family_is_enough(void **state)
{
	static const struct {
		unsigned	silent, failing;
		const char	*addr;
	} cases[] = {
		{ TYPE_AAAA, 0, "192.0.2.12:443" },
		{ TYPE_A, 0, "[2001:db8::13]:443" },
		{ 0, TYPE_AAAA, "192.0.2.12:443" },
		{ 0, TYPE_A, "[2001:db8::13]:443" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t start_ms = clock_mono_ms();
		struct answer a;

		t.silent_type = cases[i].silent;
		t.failing_type = cases[i].failing;
		a = ask("half.test");
		assert_int_equal(a.rc, RC_OK);
		assert_int_equal(a.n, 1);
		assert_string_equal(a.text[0], cases[i].addr);
		/* A query's first try alone lasts a second. */
		assert_in_range(clock_mono_ms() - start_ms,
		    cases[i].silent != 0 ? 45 : 0, 800);
		/* Known from now on: told without waiting for any event. */
		memset(&a, 0, sizeof(a));
		(void)net_dns_resolve(t.dns, "half.test", 443, on_answer, &a);
		for (int turn = 0; turn < 3; turn++)
			loop_turn(t.loop, false);
		assert_int_equal(a.calls, 1);
		assert_int_equal(a.n, 1);
		(void)teardown(state);
		(void)setup(state);
	}
}

/* The late answer is kept for who asks next. */
static void
test_late_family_joins(void **state)
{
	unsigned char out[2048];
	size_t size;

	(void)state;
	t.silent_type = TYPE_AAAA;
	assert_int_equal(ask("half.test").n, 1);
	t.silent_type = 0;
	size = reply(t.held, out, false);
	assert_true(sendto(t.udp, out, size, 0,
	    (struct sockaddr *)&t.held_from, t.held_len) == (ssize_t)size);
	while (ask("half.test").n == 1)
		;
	assert_int_equal(ask("half.test").n, 2);
}

static void
test_many_waiters_one_query(void **state)
{
	struct answer a[5];
	uint64_t id[5];

	(void)state;
	memset(a, 0, sizeof(a));
	for (int i = 0; i < 5; i++) {
		id[i] = net_dns_resolve(t.dns, "both.test", 443, on_answer,
		    &a[i]);
		for (int j = 0; j < i; j++)
			assert_true(id[i] != id[j]);
	}
	net_dns_cancel(t.dns, id[1]);
	net_dns_cancel(t.dns, id[1]);		/* no longer known: nothing */
	net_dns_cancel(t.dns, 0);
	while (a[4].calls == 0)
		loop_turn(t.loop, true);
	assert_int_equal(t.queries, 2);		/* one of each family */
	for (int i = 0; i < 5; i++)
		assert_int_equal(a[i].calls, i == 1 ? 0 : 1);
	/* Cancelled when the answer is there but not told yet. */
	id[0] = net_dns_resolve(t.dns, "both.test", 443, on_answer, &a[0]);
	net_dns_cancel(t.dns, id[0]);
	for (int i = 0; i < 10; i++)
		loop_turn(t.loop, false);
	assert_int_equal(a[0].calls, 1);
}

struct chain {
	struct answer	last;
	uint64_t	other;
	unsigned	left;
};

static void
on_chain(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct chain *c = arg;

	on_answer(&c->last, rc, addrs, n);
	net_dns_cancel(t.dns, c->other);
	if (c->left-- != 0)
		(void)net_dns_resolve(t.dns, "v4.test", 1, on_chain, c);
}

/* A callback may cancel others and ask again; the loop stays alive. */
static void
test_ask_and_cancel_in_callback(void **state)
{
	struct answer never;
	struct chain c;

	(void)state;
	memset(&c, 0, sizeof(c));
	memset(&never, 0, sizeof(never));
	c.left = 20;
	(void)net_dns_resolve(t.dns, "v4.test", 1, on_chain, &c);
	c.other = net_dns_resolve(t.dns, "v4.test", 1, on_answer, &never);
	while (c.last.calls < 21)
		loop_turn(t.loop, true);
	assert_int_equal(never.calls, 0);
	assert_string_equal(c.last.text[0], "192.0.2.3:1");
}

/* More names than the cache holds: the oldest go, those in use stay right. */
static void
test_cache_is_bounded(void **state)
{
	struct answer a;
	char host[32];
	unsigned queries;

	(void)state;
	(void)ask("both.test");
	for (int i = 0; i < 1100; i++) {
		(void)snprintf(host, sizeof(host), "many%d.test", i);
		a = ask(host);
		assert_int_equal(a.rc, RC_OK);
		assert_string_equal(a.text[0], "192.0.2.9:443");
		if (i % 100 == 0)
			(void)ask("both.test");		/* stays in use */
	}
	queries = t.queries;
	(void)ask("both.test");
	(void)ask("many1099.test");
	assert_int_equal(t.queries, queries);
	(void)ask("many0.test");
	assert_true(t.queries > queries);
}

static void
on_never(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	(void)arg;
	(void)rc;
	(void)addrs;
	(void)n;
	fail_msg("called after free or cancel");
}

/* Too many names that nobody answers for: refused, not kept. */
static void
test_too_many_in_flight(void **state)
{
	struct answer a;
	char host[32];

	(void)state;
	memset(&a, 0, sizeof(a));
	for (int i = 0; i < 1024; i++) {
		(void)snprintf(host, sizeof(host), "quiet%d.test", i);
		(void)net_dns_resolve(t.dns, host, 1, on_never, NULL);
	}
	(void)net_dns_resolve(t.dns, "one-more.test", 1, on_answer, &a);
	event_del(t.ev_udp);			/* no answers come */
	while (a.calls == 0)
		loop_turn(t.loop, true);
	assert_int_equal(a.rc, RC_IO);
	/* All that wait are forgotten with the resolver: teardown. */
}

static void
test_free_with_waiters(void **state)
{
	(void)state;
	(void)net_dns_resolve(t.dns, "silent.test", 1, on_never, NULL);
	for (int i = 0; i < 5; i++)
		loop_turn(t.loop, false);
	(void)net_dns_resolve(t.dns, "192.0.2.1", 1, on_never, NULL);
	net_dns_free(&t.dns);
	for (int i = 0; i < 5; i++)
		loop_turn(t.loop, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_query_needed, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_cache, setup, teardown),
		cmocka_unit_test_setup_teardown(test_smallest_ttl, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_families_age_apart,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_family_is_enough,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_family_joins,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_waiters_one_query,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_ask_and_cancel_in_callback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_is_bounded, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_too_many_in_flight,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_with_waiters, setup,
		    teardown),
	};

	alarm(60);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
