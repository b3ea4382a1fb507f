/* tests/unit/lib_net_addr_test.c - addresses as text and back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/un.h>

#include "lib/net/addr.h"

static void
test_parse_and_format(void **state)
{
	static const struct {
		const char	*text;
		const char	*back;	/* NULL: RC_SYNTAX */
		uint16_t	port;
		bool		loopback;
	} cases[] = {
		{ "127.0.0.1:8443", "127.0.0.1:8443", 8443, true },
		{ "127.9.8.7:0", "127.9.8.7:0", 0, true },
		{ "10.0.0.1:65535", "10.0.0.1:65535", 65535, false },
		{ "*:443", "0.0.0.0:443", 443, false },
		{ "[::1]:8443", "[::1]:8443", 8443, true },
		{ "[::]:1", "[::]:1", 1, false },
		{ "[2001:DB8:0:0::1]:443", "[2001:db8::1]:443", 443, false },
		{ "[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:5", 5, true },
		{ "[::ffff:10.0.0.1]:5", "[::ffff:10.0.0.1]:5", 5, false },
		{ "[fe80::1%lo]:80", "[fe80::1%lo]:80", 80, false },
		{ "unix:/run/relay/x.sock", "unix:/run/relay/x.sock", 0,
		    false },
		{ "", NULL, 0, false },
		{ "127.0.0.1", NULL, 0, false },
		{ "127.0.0.1:", NULL, 0, false },
		{ ":80", NULL, 0, false },
		{ "127.0.0.1:65536", NULL, 0, false },
		{ "127.0.0.1:-1", NULL, 0, false },
		{ "127.0.0.1:+1", NULL, 0, false },
		{ "127.0.0.1:080", NULL, 0, false },
		{ "127.0.0.1: 80", NULL, 0, false },
		{ "127.1:80", NULL, 0, false },
		{ "0x7f.0.0.1:80", NULL, 0, false },
		{ "localhost:80", NULL, 0, false },
		{ "::1:80", NULL, 0, false },
		{ "[127.0.0.1]:80", NULL, 0, false },
		{ "[*]:80", NULL, 0, false },
		{ "[::1:80", NULL, 0, false },
		{ "[::1]80", NULL, 0, false },
		{ "[fe80::1%nosuchif0]:80", NULL, 0, false },
		{ "unix:relative", NULL, 0, false },
		{ "unix:", NULL, 0, false },
	};
	char out[NET_ADDR_TEXT_BYTES];
	struct net_addr a, b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum rc rc = net_addr_parse(cases[i].text, &a);

		if (cases[i].back == NULL) {
			if (rc != RC_SYNTAX)
				fail_msg("accepted: %s", cases[i].text);
			continue;
		}
		if (rc != RC_OK)
			fail_msg("refused: %s", cases[i].text);
		net_addr_format(&a, out);
		assert_string_equal(out, cases[i].back);
		assert_int_equal(net_addr_port(&a), cases[i].port);
		assert_int_equal(net_addr_is_loopback(&a), cases[i].loopback);
		assert_int_equal(net_addr_is_unix(&a),
		    strncmp(out, "unix:", 5) == 0);
		assert_int_equal(net_addr_parse(out, &b), RC_OK);
		assert_true(net_addr_equal(&a, &b));
	}
}

static void
test_unix_path_limits(void **state)
{
	char text[200] = "unix:/", out[NET_ADDR_TEXT_BYTES];
	struct sockaddr_un un;
	struct net_addr a;

	(void)state;
	memset(text + 6, 'p', sizeof(text) - 6);
	text[5 + sizeof(un.sun_path) - 1] = '\0';	/* the longest */
	assert_int_equal(net_addr_parse(text, &a), RC_OK);
	net_addr_format(&a, out);
	assert_string_equal(out, text);
	text[5 + sizeof(un.sun_path) - 1] = 'p';
	text[5 + sizeof(un.sun_path)] = '\0';		/* one too long */
	assert_int_equal(net_addr_parse(text, &a), RC_SYNTAX);
	/* The unnamed end of a connection, as the kernel gives it. */
	memset(&a, 0, sizeof(a));
	a.ss.ss_family = AF_UNIX;
	a.len = sizeof(sa_family_t);
	net_addr_format(&a, out);
	assert_string_equal(out, "unix:");
	a.ss.ss_family = AF_UNSPEC;
	net_addr_format(&a, out);
	assert_string_equal(out, "unknown");
}

static void
test_from_ip(void **state)
{
	char out[NET_ADDR_TEXT_BYTES];
	struct net_addr a;

	(void)state;
	assert_int_equal(net_addr_from_ip("192.0.2.1", 443, &a), RC_OK);
	net_addr_format(&a, out);
	assert_string_equal(out, "192.0.2.1:443");
	assert_int_equal(net_addr_from_ip("2001:db8::2", 80, &a), RC_OK);
	net_addr_format(&a, out);
	assert_string_equal(out, "[2001:db8::2]:80");
	assert_int_equal(net_addr_from_ip("[::1]", 80, &a), RC_SYNTAX);
	assert_int_equal(net_addr_from_ip("a.test", 80, &a), RC_SYNTAX);
	assert_int_equal(net_addr_from_ip("", 80, &a), RC_SYNTAX);
	assert_int_equal(net_addr_from_ip("1.2.3.4.5", 80, &a), RC_SYNTAX);
}

static void
test_equal(void **state)
{
	static const char *const all[] = { "127.0.0.1:1", "127.0.0.1:2",
		"127.0.0.2:1", "[::1]:1", "[::1]:2", "[::2]:1", "unix:/a",
		"unix:/b", "unix:/aa" };
	struct net_addr a, b;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (size_t j = 0; j < sizeof(all) / sizeof(all[0]); j++) {
			assert_int_equal(net_addr_parse(all[i], &a), RC_OK);
			assert_int_equal(net_addr_parse(all[j], &b), RC_OK);
			assert_int_equal(net_addr_equal(&a, &b), i == j);
		}
	}
}

static void
test_cidr_parse(void **state)
{
	static const struct {
		const char	*text;
		sa_family_t	family;		/* 0: RC_SYNTAX */
		unsigned	bits;
	} cases[] = {
		{ "10.0.0.0/8", AF_INET, 8 },
		{ "10.1.2.3", AF_INET, 32 },
		{ "10.1.2.3/32", AF_INET, 32 },
		{ "10.1.2.3/9", AF_INET, 9 },
		{ "0.0.0.0/0", AF_INET, 0 },
		{ "2001:DB8::/32", AF_INET6, 32 },
		{ "::1", AF_INET6, 128 },
		{ "::/0", AF_INET6, 0 },
		{ "[::1]/128", AF_INET6, 128 },
		{ "::ffff:10.0.0.0/104", AF_INET, 8 },
		{ "::ffff:10.0.0.1", AF_INET, 32 },
		{ "::ffff:0:0/96", AF_INET, 0 },
		{ "::ffff:0:0/95", AF_INET6, 95 },
		{ "", 0, 0 },
		{ "/8", 0, 0 },
		{ "10.0.0.0/", 0, 0 },
		{ "10.0.0.0/33", 0, 0 },
		{ "::/129", 0, 0 },
		{ "10.0.0.0/-1", 0, 0 },
		{ "10.0.0.0/8/8", 0, 0 },
		{ "10.0.0.0/8 ", 0, 0 },
		{ " 10.0.0.0/8", 0, 0 },
		{ "10.0.0.0/255.0.0.0", 0, 0 },
		{ "10.0.0/8", 0, 0 },
		{ "10/8", 0, 0 },
		{ "10.0.0.0:80", 0, 0 },
		{ "fe80::1%lo/64", 0, 0 },
		{ "proxy.test/8", 0, 0 },
		{ "unix:/a", 0, 0 },
		{ "10.0.0.0/18446744073709551624", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_cidr c;
		enum rc rc = net_cidr_parse(cases[i].text, &c);

		if (rc != (cases[i].family != 0 ? RC_OK : RC_SYNTAX))
			fail_msg("%s: %s", cases[i].text, rc_name(rc));
		if (rc != RC_OK)
			continue;
		assert_int_equal(c.family, cases[i].family);
		assert_int_equal(c.bits, cases[i].bits);
	}
}

static void
test_cidr_has(void **state)
{
	static const struct {
		const char	*block, *addr;
		bool		has;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1:80", true },
		{ "10.0.0.0/8", "11.0.0.0:80", false },
		{ "10.0.0.0/8", "9.255.255.255:80", false },
		{ "10.1.2.3/8", "10.9.9.9:80", true },	/* bits behind it */
		{ "10.1.2.3", "10.1.2.3:80", true },
		{ "10.1.2.3", "10.1.2.2:80", false },
		{ "192.0.2.128/25", "192.0.2.127:1", false },
		{ "192.0.2.128/25", "192.0.2.128:1", true },
		{ "192.0.2.0/31", "192.0.2.1:1", true },
		{ "192.0.2.0/31", "192.0.2.2:1", false },
		{ "128.0.0.0/1", "255.0.0.1:1", true },
		{ "128.0.0.0/1", "127.0.0.1:1", false },
		{ "0.0.0.0/0", "203.0.113.9:1", true },
		{ "0.0.0.0/0", "[2001:db8::1]:1", false },
		{ "::/0", "[2001:db8::1]:1", true },
		{ "2001:db8::/33", "[2001:db8:7fff::1]:1", true },
		{ "2001:db8::/33", "[2001:db8:8000::1]:1", false },
		{ "2001:db8::1", "[2001:db8::1]:1", true },
		{ "2001:db8::1", "[2001:db8::2]:1", false },
		/* a dual-stack socket's way to write an IPv4 peer */
		{ "10.0.0.0/8", "[::ffff:10.1.1.1]:1", true },
		{ "10.0.0.0/8", "[::ffff:11.1.1.1]:1", false },
		{ "0.0.0.0/0", "[::ffff:11.1.1.1]:1", true },
		{ "::ffff:10.0.0.0/104", "10.1.1.1:1", true },
		{ "::ffff:10.0.0.0/104", "11.1.1.1:1", false },
		{ "::/0", "10.1.1.1:1", false },
		{ "::/0", "[::ffff:10.1.1.1]:1", false },
		{ "10.0.0.0/8", "[::10.1.1.1]:1", false },
		{ "10.0.0.0/8", "[a00::]:1", false },
		{ "::/0", "unix:/a", false },
		{ "0.0.0.0/0", "unix:/a", false },
	};
	struct net_addr none = { .len = 0 };
	struct net_cidr c;
	struct net_addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(net_cidr_parse(cases[i].block, &c), RC_OK);
		assert_int_equal(net_addr_parse(cases[i].addr, &a), RC_OK);
		if (net_cidr_has(&c, &a) != cases[i].has)
			fail_msg("%s, %s", cases[i].block, cases[i].addr);
		assert_false(net_cidr_has(&c, &none));
	}
}

static void
test_ip_alone(void **state)
{
	static const struct {
		const char *addr, *ip;
	} cases[] = {
		{ "127.0.0.1:80", "127.0.0.1" },
		{ "[::1]:80", "::1" },
		{ "[::ffff:10.1.2.3]:80", "10.1.2.3" },
		{ "[2001:db8::5]:80", "2001:db8::5" },
	};
	char ip[NET_ADDR_IP_BYTES];
	struct net_addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(net_addr_parse(cases[i].addr, &a), RC_OK);
		assert_int_equal(net_addr_ip(&a, ip), RC_OK);
		assert_string_equal(ip, cases[i].ip);
	}
	assert_int_equal(net_addr_parse("unix:/a", &a), RC_OK);
	assert_int_equal(net_addr_ip(&a, ip), RC_SYNTAX);
	assert_string_equal(ip, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_unix_path_limits),
		cmocka_unit_test(test_from_ip),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_cidr_parse),
		cmocka_unit_test(test_cidr_has),
		cmocka_unit_test(test_ip_alone),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
