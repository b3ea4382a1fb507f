/* Where Relay listens, as URLs: read from options and relay.conf, written with
 * and without a key. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ctl/endpoint.h"

static void
test_parse(void **state)
{
	static const struct {
		const char	*text;
		enum rc		rc;
		bool		tls;
		const char	*host;
		uint16_t	port;
	} table[] = {
		{ "https://relay.test:8443", RC_OK, true, "relay.test", 8443 },
		{ "https://relay.test:8443/", RC_OK, true, "relay.test", 8443 },
		{ "http://relay.test:8080", RC_OK, false, "relay.test", 8080 },
		{ "HTTPS://RELAY.TEST", RC_OK, true, "relay.test", 443 },
		{ "http://relay.test", RC_OK, false, "relay.test", 80 },
		{ "relay.test", RC_OK, true, "relay.test", 443 },
		{ "relay.test:1", RC_OK, true, "relay.test", 1 },
		{ "127.0.0.1:65535", RC_OK, true, "127.0.0.1", 65535 },
		{ "https://[::1]:9", RC_OK, true, "::1", 9 },
		{ "", RC_SYNTAX, false, NULL, 0 },
		{ "https://", RC_SYNTAX, false, NULL, 0 },
		{ "https://relay.test:0x1", RC_SYNTAX, false, NULL, 0 },
		{ "https://relay.test:65536", RC_SYNTAX, false, NULL, 0 },
		{ "https://user:key@relay.test", RC_SYNTAX, false, NULL, 0 },
		{ "user:key@relay.test", RC_SYNTAX, false, NULL, 0 },
		{ "https://relay.test/path", RC_SYNTAX, false, NULL, 0 },
		{ "https://relay.test/?q", RC_SYNTAX, false, NULL, 0 },
		{ "https://relay.test/#f", RC_SYNTAX, false, NULL, 0 },
		{ "ftp://relay.test", RC_SYNTAX, false, NULL, 0 },
		{ "https://a b", RC_SYNTAX, false, NULL, 0 },
	};
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		enum rc rc = endpoint_parse(table[i].text, &e);

		if (rc != table[i].rc)
			fail_msg("%s: %s", table[i].text, rc_name(rc));
		if (rc != RC_OK)
			continue;
		assert_int_equal(e.tls, table[i].tls);
		assert_string_equal(e.host, table[i].host);
		assert_int_equal(e.port, table[i].port);
	}
}

static void
test_conf(void **state)
{
	static const char text[] =
	    "listen \"ingress\" { address = \"127.0.0.1:1\" }\n"
	    "listen \"egress\" { address = { \"0.0.0.0:2\", \"127.0.0.1:22\" } }\n"
	    "listen \"egress-strict\" { address = \"0.0.0.0:3\" }\n"
	    "listen \"egress-plain\" { address = \"[::]:4\" }\n"
	    "listen \"api-tls\" { address = \"[2001:db8::1]:5\" }\n"
	    "certificate \"default\" { chain = \"c\" key = \"k\" }\n"
	    "engine = { \"unix:/e3\" }\n";
	static const struct {
		enum conf_listen_kind	kind;
		bool			there;
		const char		*url;
	} table[] = {
		{ CONF_LISTEN_EGRESS, true, "https://localhost:2" },
		{ CONF_LISTEN_EGRESS_STRICT, true, "https://localhost:3" },
		{ CONF_LISTEN_EGRESS_PLAIN, true, "http://localhost:4" },
		{ CONF_LISTEN_API_TLS, true, "https://[2001:db8::1]:5" },
		{ CONF_LISTEN_API, false, NULL },
		{ CONF_LISTEN_CA, false, NULL },
	};
	struct conf_fault fault = { "" };
	struct conf *conf = NULL;
	struct endpoint e;
	struct buffer b;

	(void)state;
	if (conf_read_text("relay.conf", SPAN_LIT(text), &conf, &fault) != RC_OK)
		fail_msg("%s", fault.text);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(endpoint_of_conf(conf, table[i].kind, &e),
		    table[i].there);
		assert_int_equal(e.port != 0, table[i].there);
		if (!table[i].there)
			continue;
		buffer_init(&b, 0, false);
		endpoint_put_url(&e, NULL, SPAN_LIT(""), &b);
		assert_string_equal(buffer_cstr(&b), table[i].url);
		buffer_fini(&b);
	}
	conf_free(&conf);
	assert_false(endpoint_of_conf(NULL, CONF_LISTEN_EGRESS, &e));
}

/* A key with every character that means something in a URL. */
static void
test_key_in_url(void **state)
{
	static const struct { const char *user, *key, *url; } table[] = {
		{ "app_1", "abc", "https://app_1:abc@h.test:7" },
		{ "app_1", "ev:key:1:aZ09:x+/:=",
		    "https://app_1:ev%3Akey%3A1%3AaZ09%3Ax%2B%2F%3A%3D@h.test:7" },
		{ "a@b", "@?#[]%~-._", "https://a%40b:%40%3F%23%5B%5D%25~-._@h.test:7" },
		{ "u", "\xc3\xa9", "https://u:%C3%A9@h.test:7" },
	};
	struct endpoint e;
	struct buffer b;

	(void)state;
	assert_int_equal(endpoint_parse("https://h.test:7", &e), RC_OK);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		buffer_init(&b, 0, true);
		endpoint_put_url(&e, table[i].user, span_of(table[i].key), &b);
		assert_string_equal(buffer_cstr(&b), table[i].url);
		buffer_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_conf),
		cmocka_unit_test(test_key_in_url),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
