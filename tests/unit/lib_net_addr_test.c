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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_unix_path_limits),
		cmocka_unit_test(test_from_ip),
		cmocka_unit_test(test_equal),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
