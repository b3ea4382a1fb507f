/* tests/unit/lib_net_addr_class_test.c - each block at its four borders. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/net/addr.h"

#define PUBLIC		NET_ADDR_PUBLIC
#define LOOPBACK	NET_ADDR_LOOPBACK
#define PRIVATE		NET_ADDR_PRIVATE
#define SHARED		NET_ADDR_SHARED
#define LINK_LOCAL	NET_ADDR_LINK_LOCAL
#define UNIQUE_LOCAL	NET_ADDR_UNIQUE_LOCAL
#define SITE_LOCAL	NET_ADDR_SITE_LOCAL
#define MULTICAST	NET_ADDR_MULTICAST
#define BROADCAST	NET_ADDR_BROADCAST
#define THIS_HOST	NET_ADDR_THIS_HOST
#define RESERVED	NET_ADDR_RESERVED
#define DOCUMENTATION	NET_ADDR_DOCUMENTATION
#define BENCHMARK	NET_ADDR_BENCHMARK

struct range {
	const char		*first, *last;
	enum net_addr_class	class;
	enum net_addr_class	before, after;	/* of the addresses next to it */
};

/* before the first and after the last address of all there is nothing */
#define NONE		NET_ADDR_UNKNOWN

static const struct range v4[] = {
	{ "0.0.0.0", "0.255.255.255", THIS_HOST, NONE, PUBLIC },
	{ "10.0.0.0", "10.255.255.255", PRIVATE, PUBLIC, PUBLIC },
	{ "100.64.0.0", "100.127.255.255", SHARED, PUBLIC, PUBLIC },
	{ "127.0.0.0", "127.255.255.255", LOOPBACK, PUBLIC, PUBLIC },
	{ "169.254.0.0", "169.254.255.255", LINK_LOCAL, PUBLIC, PUBLIC },
	{ "172.16.0.0", "172.31.255.255", PRIVATE, PUBLIC, PUBLIC },
	{ "192.0.0.0", "192.0.0.255", RESERVED, PUBLIC, PUBLIC },
	{ "192.0.2.0", "192.0.2.255", DOCUMENTATION, PUBLIC, PUBLIC },
	{ "192.88.99.0", "192.88.99.255", RESERVED, PUBLIC, PUBLIC },
	{ "192.168.0.0", "192.168.255.255", PRIVATE, PUBLIC, PUBLIC },
	{ "198.18.0.0", "198.19.255.255", BENCHMARK, PUBLIC, PUBLIC },
	{ "198.51.100.0", "198.51.100.255", DOCUMENTATION, PUBLIC, PUBLIC },
	{ "203.0.113.0", "203.0.113.255", DOCUMENTATION, PUBLIC, PUBLIC },
	{ "224.0.0.0", "239.255.255.255", MULTICAST, PUBLIC, RESERVED },
	{ "240.0.0.0", "255.255.255.254", RESERVED, MULTICAST, BROADCAST },
	{ "255.255.255.255", "255.255.255.255", BROADCAST, RESERVED, NONE },
	{ "1.0.0.0", "9.255.255.255", PUBLIC, THIS_HOST, PRIVATE },
};

static const struct range v6[] = {
	{ "::", "::", THIS_HOST, NONE, LOOPBACK },
	{ "::1", "::1", LOOPBACK, THIS_HOST, THIS_HOST },
	{ "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", RESERVED,
	    RESERVED, RESERVED },
	{ "100::", "100::ffff:ffff:ffff:ffff", RESERVED, RESERVED, RESERVED },
	{ "2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC,
	    RESERVED, BROADCAST /* Teredo of client 0.0.0.0, inverted */ },
	{ "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", BENCHMARK, PUBLIC,
	    PUBLIC },
	{ "2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED,
	    PUBLIC, RESERVED },
	{ "2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED,
	    RESERVED, PUBLIC },
	{ "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	    DOCUMENTATION, PUBLIC, PUBLIC },
	{ "2001:1::", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC,
	    THIS_HOST /* Teredo of client 255.255.255.255 */,
	    BENCHMARK },
	{ "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", DOCUMENTATION,
	    PUBLIC, PUBLIC },
	{ "4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED,
	    PUBLIC, UNIQUE_LOCAL },
	{ "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", RESERVED,
	    RESERVED, RESERVED },
	{ "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", UNIQUE_LOCAL,
	    RESERVED, RESERVED },
	{ "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LINK_LOCAL,
	    RESERVED, SITE_LOCAL },
	{ "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", SITE_LOCAL,
	    LINK_LOCAL, MULTICAST },
	{ "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", MULTICAST,
	    SITE_LOCAL, NONE },
	/* The borders of the forms that carry an IPv4 address. */
	{ "::ffff:0.0.0.0", "::ffff:0.255.255.255", THIS_HOST, RESERVED,
	    PUBLIC },
	{ "::ffff:255.255.255.255", "::ffff:255.255.255.255", BROADCAST,
	    RESERVED, RESERVED },
	{ "::ffff:0:0.0.0.0", "::ffff:0:0.255.255.255", THIS_HOST, RESERVED,
	    PUBLIC },
	{ "::0.0.0.2", "::0.255.255.255", THIS_HOST, LOOPBACK, PUBLIC },
	{ "::255.255.255.255", "::255.255.255.255", BROADCAST, RESERVED,
	    RESERVED },
	{ "64:ff9b::", "64:ff9b::0.255.255.255", THIS_HOST, RESERVED,
	    PUBLIC },
	{ "64:ff9b::255.255.255.255", "64:ff9b::255.255.255.255", BROADCAST,
	    RESERVED, RESERVED },
	{ "2002::", "2002:ff:ffff:ffff:ffff:ffff:ffff:ffff", THIS_HOST,
	    PUBLIC, PUBLIC },
	{ "2002:ffff:ffff::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	    BROADCAST, RESERVED, PUBLIC },
};

/* The class of ip[0..len) after by has been added to it; NONE when there is no
 * such address. */
static enum net_addr_class
class_at(const unsigned char *from, size_t len, int by)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct net_addr a = { .len = 0 };
	unsigned char ip[16];
	int carry = by;

	memcpy(ip, from, len);
	for (size_t i = len; i-- != 0 && carry != 0;) {
		int sum = ip[i] + carry;

		ip[i] = (unsigned char)sum;
		carry = sum < 0 ? -1 : sum > 255 ? 1 : 0;
	}
	if (carry != 0)
		return (NONE);
	if (len == 4) {
		memcpy(&in.sin_addr, ip, len);
		memcpy(&a.ss, &in, sizeof(in));
	} else {
		memcpy(&in6.sin6_addr, ip, len);
		memcpy(&a.ss, &in6, sizeof(in6));
	}
	return (net_addr_classify(&a));
}

static void
check(const char *text, int family, int by, enum net_addr_class want)
{
	unsigned char ip[16];
	enum net_addr_class got;

	assert_int_equal(inet_pton(family, text, ip), 1);
	got = class_at(ip, family == AF_INET ? 4 : 16, by);
	if (got != want)
		fail_msg("%s%s: %s, not %s", text, by < 0 ? " - 1" : by > 0 ?
		    " + 1" : "", net_addr_class_name(got),
		    net_addr_class_name(want));
}

static void
check_ranges(const struct range *r, size_t n, int family)
{
	for (size_t i = 0; i < n; i++) {
		check(r[i].first, family, -1, r[i].before);
		check(r[i].first, family, 0, r[i].class);
		check(r[i].last, family, 0, r[i].class);
		check(r[i].last, family, 1, r[i].after);
	}
}

static void
test_borders(void **state)
{
	(void)state;
	check_ranges(v4, sizeof(v4) / sizeof(v4[0]), AF_INET);
	check_ranges(v6, sizeof(v6) / sizeof(v6[0]), AF_INET6);
}

/* Each IPv4 border again, inside of each IPv6 form. */
static void
test_carried(void **state)
{
	static const struct {
		const char	*prefix;
		size_t		at;
		unsigned char	flip;
	} forms[] = {
		{ "::ffff:0:0", 12, 0 },
		{ "::ffff:0:0:0", 12, 0 },
		{ "64:ff9b::", 12, 0 },
		{ "2002::", 2, 0 },
		{ "2002:0:0:1:2:3:4:5", 2, 0 },
		{ "2001:0:808:808::", 12, 0xff },	/* Teredo's client */
		{ "2001:0:0:0::f7f7:f7f7", 4, 0 },	/* its server */
		{ "2a00:1450:4001:800:0:5efe::", 12, 0 },	/* ISATAP */
		{ "2a00:1450:4001:800:200:5efe::", 12, 0 },
	};

	(void)state;
	for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
		for (size_t i = 0; i < sizeof(v4) / sizeof(v4[0]); i++)
			for (int last = 0; last < 2; last++) {
				const char *text = last ? v4[i].last :
				    v4[i].first;
				unsigned char ip[16], in[4];

				assert_int_equal(inet_pton(AF_INET6,
				    forms[f].prefix, ip), 1);
				assert_int_equal(inet_pton(AF_INET, text, in),
				    1);
				for (size_t j = 0; j < 4; j++)
					ip[forms[f].at + j] =
					    in[j] ^ forms[f].flip;
				if (class_at(ip, 16, 0) != v4[i].class)
					fail_msg("%s in %s: %s", text,
					    forms[f].prefix, net_addr_class_name(
					    class_at(ip, 16, 0)));
			}
	/* Compatible: but for ::1. */
	check("::10.0.0.1", AF_INET6, 0, PRIVATE);
	check("::127.0.0.1", AF_INET6, 0, LOOPBACK);
	check("::169.254.169.254", AF_INET6, 0, LINK_LOCAL);
	check("::8.8.8.8", AF_INET6, 0, PUBLIC);
	/* What is local in front stays so, whatever is inside. */
	check("fe80::5efe:8.8.8.8", AF_INET6, 0, LINK_LOCAL);
	check("64:ff9b:1::8.8.8.8", AF_INET6, 0, RESERVED);
}

static void
test_well_known(void **state)
{
	(void)state;
	check("8.8.8.8", AF_INET, 0, PUBLIC);
	check("169.254.169.254", AF_INET, 0, LINK_LOCAL);	/* metadata */
	check("2001:4860:4860::8888", AF_INET6, 0, PUBLIC);
	check("2606:4700::1111", AF_INET6, 0, PUBLIC);
	check("fd00:ec2::254", AF_INET6, 0, UNIQUE_LOCAL);	/* metadata */
}

static void
test_no_ip(void **state)
{
	struct net_addr a;

	(void)state;
	assert_int_equal(net_addr_parse("unix:/run/x", &a), RC_OK);
	assert_int_equal(net_addr_classify(&a), NET_ADDR_UNIX);
	a.ss.ss_family = AF_UNSPEC;
	assert_int_equal(net_addr_classify(&a), NET_ADDR_UNKNOWN);
	a.ss.ss_family = 200;
	assert_int_equal(net_addr_classify(&a), NET_ADDR_UNKNOWN);
}

static void
test_names(void **state)
{
	(void)state;
	for (int i = NET_ADDR_PUBLIC; i <= NET_ADDR_UNKNOWN; i++)
		for (int j = NET_ADDR_PUBLIC; j < i; j++)
			assert_string_not_equal(
			    net_addr_class_name((enum net_addr_class)i),
			    net_addr_class_name((enum net_addr_class)j));
	assert_string_equal(net_addr_class_name(NET_ADDR_LINK_LOCAL),
	    "link-local");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_carried),
		cmocka_unit_test(test_well_known),
		cmocka_unit_test(test_no_ip),
		cmocka_unit_test(test_names),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
