/* What text values must look like, and how paths become absolute. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "conf/conf_private.h"

#define CIDR_BITS							\
	"the prefix length is not a number the address has bits for"

static void
test_values(void **state)
{
	static const struct {
		enum option_check	check;
		const char		*value;
		const char		*why;	/* NULL: fine */
	} t[] = {
		{ CHECK_IP_PORT, "127.0.0.1:1", NULL },
		{ CHECK_IP_PORT, "127.0.0.1:65535", NULL },
		{ CHECK_IP_PORT, "[::]:443", NULL },
		{ CHECK_IP_PORT, "127.0.0.1:0",
		    "the port is not a number from 1 to 65535" },
		{ CHECK_IP_PORT, "127.0.0.1:65536",
		    "the port is not a number from 1 to 65535" },
		{ CHECK_IP_PORT, "127.0.0.1:",
		    "the port is not a number from 1 to 65535" },
		{ CHECK_IP_PORT, "127.0.0.1:+1",
		    "the port is not a number from 1 to 65535" },
		{ CHECK_IP_PORT, "127.0.0.1", "not IP:port" },
		{ CHECK_IP_PORT, ":443", "not IP:port" },
		{ CHECK_IP_PORT, "", "not IP:port" },
		{ CHECK_IP_PORT, "::1:443",
		    "an IPv6 address needs brackets: [::1]:443" },
		{ CHECK_IP_PORT, "[::1:443",
		    "an IPv6 address needs brackets: [::1]:443" },
		{ CHECK_IP_PORT, "localhost:443", "not an IP address" },
		{ CHECK_LINK, "e3.test:3443", NULL },
		{ CHECK_LINK, "unix:/run/e3.sock", NULL },
		{ CHECK_LINK, "unix:", "must not be empty" },
		{ CHECK_LINK, "e3 test:3443", "not a host name or IP address" },
		{ CHECK_BIND, "unix:e3.sock", NULL },
		{ CHECK_BIND, "e3.test:1", "not an IP address" },
		{ CHECK_SERVER_NAME, "a.test", NULL },
		{ CHECK_SERVER_NAME, "*.a.test", NULL },
		{ CHECK_SERVER_NAME, "127.0.0.1", NULL },
		{ CHECK_SERVER_NAME, "*.test",
		    "a wildcard needs a name of two labels behind it" },
		{ CHECK_SERVER_NAME, "a.*.test", "not a server name" },
		{ CHECK_SERVER_NAME, "", "not a server name" },
		{ CHECK_CIDR, "192.0.2.1", NULL },
		{ CHECK_CIDR, "192.0.2.0/24", NULL },
		{ CHECK_CIDR, "0.0.0.0/0", NULL },
		{ CHECK_CIDR, "192.0.2.1/32", NULL },
		{ CHECK_CIDR, "2001:db8::/32", NULL },
		{ CHECK_CIDR, "::1", NULL },
		{ CHECK_CIDR, "::/128", NULL },
		{ CHECK_CIDR, "192.0.2.1/33", CIDR_BITS },
		{ CHECK_CIDR, "::/129", CIDR_BITS },
		{ CHECK_CIDR, "192.0.2.0/", CIDR_BITS },
		{ CHECK_CIDR, "192.0.2.0/-1", CIDR_BITS },
		{ CHECK_CIDR, "192.0.2.0/+8", CIDR_BITS },
		{ CHECK_CIDR, "192.0.2.0/ 8", CIDR_BITS },
		{ CHECK_CIDR, "192.0.2.0/8x", CIDR_BITS },
		{ CHECK_CIDR, "192.0.2.0/8/8", CIDR_BITS },
		{ CHECK_CIDR, "192.0.2.0/255.255.255.0", CIDR_BITS },
		{ CHECK_CIDR, "192.0.2.0/18446744073709551624", CIDR_BITS },
		{ CHECK_CIDR, "", "not an IP address" },
		{ CHECK_CIDR, "/8", "not an IP address" },
		{ CHECK_CIDR, "192.0.2", "not an IP address" },
		{ CHECK_CIDR, "192.0.2.256", "not an IP address" },
		{ CHECK_CIDR, "192.0.2.1:443", "not an IP address" },
		{ CHECK_CIDR, "proxy.test/8", "not an IP address" },
		{ CHECK_CIDR, " 192.0.2.0/8", "not an IP address" },
	};
	struct option o = { .name = "x", .type = OPTION_TEXTS };
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		o.check = t[i].check;
		why[0] = '\0';
		if (conf_check_text(&o, "/f", t[i].value, why, sizeof(why)) ==
		    RC_OK) {
			assert_null(t[i].why);
		} else {
			assert_non_null(t[i].why);
			assert_string_equal(why, t[i].why);
		}
	}
}

/* 107 bytes and a NUL are all that sun_path holds, folder included. */
static void
test_socket_path_length(void **state)
{
	struct option o = { .name = "x", .type = OPTION_PATH,
	    .check = CHECK_SOCKET };
	char path[128], why[128];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[104] = '\0';		/* "/f/" + 104 */
	assert_int_equal(conf_check_text(&o, "/f", path, why, sizeof(why)),
	    RC_OK);
	path[104] = 'a';
	path[105] = '\0';
	assert_int_equal(conf_check_text(&o, "/f", path, why, sizeof(why)),
	    RC_SYNTAX);
	path[0] = '/';			/* absolute: the folder is not added */
	assert_int_equal(conf_check_text(&o, "/f", path, why, sizeof(why)),
	    RC_OK);
}

static void
test_absolute(void **state)
{
	static const struct {
		enum option_type	type;
		const char		*value, *want;
	} t[] = {
		{ OPTION_PATH, "a", "/f/a" },
		{ OPTION_PATH, "/a", "/a" },
		{ OPTION_PATH, "", "" },
		{ OPTION_PATH, "credential:a", "credential:a" },
		{ OPTION_TEXT, "a", "a" },
		{ OPTION_TEXTS, "a:1", "a:1" },
		{ OPTION_TEXTS, "unix:a", "unix:/f/a" },
		{ OPTION_TEXTS, "unix:/a", "unix:/a" },
	};
	struct option o = { .name = "x" };

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *got;

		o.type = t[i].type;
		got = conf_absolute(&o, "/f", t[i].value);
		assert_string_equal(got, t[i].want);
		free(got);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_socket_path_length),
		cmocka_unit_test(test_absolute),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
