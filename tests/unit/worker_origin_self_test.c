/* worker/origin_self.c: which addresses lead back to us. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "worker/origin_self.h"

static bool
is_self(const char *listen, const struct net_addr *a)
{
	char address[64];
	struct conf_listen l[2] = { { .address = address },
		{ .address = address } };
	struct conf conf = { .listens = l, .n_listens = 2 };
	struct origin_self *s;
	char other[] = "192.0.2.1:1";
	bool is;

	assert_true(strlen(listen) < sizeof(address));
	strcpy(address, listen);
	l[0].address = other;		/* the one that counts is not the first */
	s = origin_self_new(&conf);
	is = origin_self_is(s, a);
	origin_self_free(&s);
	assert_null(s);
	return (is);
}

static void
test_table(void **state)
{
	static const struct {
		const char	*listen, *ip;
		uint16_t	port;
		bool		is;
	} cases[] = {
		{ "127.0.0.1:443", "127.0.0.1", 443, true },
		{ "127.0.0.1:443", "127.0.0.1", 444, false },
		{ "127.0.0.1:443", "127.0.0.2", 443, false },
		{ "127.0.0.1:443", "::1", 443, false },
		{ "127.0.0.1:443", "::ffff:127.0.0.1", 443, true },
		{ "127.0.0.1:443", "::ffff:127.0.0.2", 443, false },
		{ "127.0.0.1:443", "0.0.0.0", 443, true },
		{ "[::1]:443", "::1", 443, true },
		{ "[::1]:443", "127.0.0.1", 443, false },
		{ "*:443", "127.0.0.1", 443, true },
		{ "0.0.0.0:443", "127.0.0.1", 443, true },
		{ "0.0.0.0:443", "127.0.0.77", 443, true },
		{ "0.0.0.0:443", "0.0.0.0", 443, true },
		{ "0.0.0.0:443", "::ffff:127.0.0.1", 443, true },
		{ "0.0.0.0:443", "::1", 443, false }, /* a listener of its own */
		{ "0.0.0.0:443", "127.0.0.1", 8443, false },
		{ "0.0.0.0:443", "192.0.2.7", 443, false },
		{ "[::]:443", "::1", 443, true },
		{ "[::]:443", "127.0.0.1", 443, false },
		{ "[::]:443", "2001:db8::7", 443, false },
	};
	struct net_addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(net_addr_from_ip(cases[i].ip, cases[i].port, &a),
		    RC_OK);
		if (is_self(cases[i].listen, &a) != cases[i].is)
			fail_msg("listen %s, destination %s port %u",
			    cases[i].listen, cases[i].ip, cases[i].port);
	}
}

/* Each address this machine has, if it has more than loopback. */
static void
test_own_addresses(void **state)
{
	struct ifaddrs *all, *i;
	struct sockaddr_in in;
	struct net_addr a;

	(void)state;
	assert_int_equal(getifaddrs(&all), 0);
	for (i = all; i != NULL; i = i->ifa_next) {
		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET)
			continue;
		memset(&a, 0, sizeof(a));
		memcpy(&in, i->ifa_addr, sizeof(in));
		in.sin_port = htons(443);
		memcpy(&a.ss, &in, sizeof(in));
		a.len = sizeof(in);
		assert_true(is_self("*:443", &a));
		assert_false(is_self("*:444", &a));
	}
	freeifaddrs(all);
}

static bool
is_part(void *arg, const struct net_addr *a)
{
	return (net_addr_equal(arg, a));
}

/* What somebody else says is of us, however it is written. */
static void
test_parts(void **state)
{
	struct conf conf = { .n_listens = 0 };
	struct origin_self *s = origin_self_new(&conf);
	struct net_addr part, a;

	(void)state;
	assert_int_equal(net_addr_from_ip("127.0.0.1", 3443, &part), RC_OK);
	assert_false(origin_self_is(s, &part));
	origin_self_set_parts(s, is_part, &part);
	assert_true(origin_self_is(s, &part));
	assert_int_equal(net_addr_from_ip("::ffff:127.0.0.1", 3443, &a), RC_OK);
	assert_true(origin_self_is(s, &a));
	assert_int_equal(net_addr_from_ip("127.0.0.1", 3444, &a), RC_OK);
	assert_false(origin_self_is(s, &a));
	origin_self_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_own_addresses),
		cmocka_unit_test(test_parts),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
