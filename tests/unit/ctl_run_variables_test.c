/* Which variables a command gets, for which listeners and options. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ctl/run_variables.h"
#include "lib/base/object.h"

#define KEY	"ev:key:1:a/b"
#define PROXY	"https://app_1:ev%3Akey%3A1%3Aa%2Fb@relay.test:8443"

static struct client_setup setup;
static struct run_plan plan;
static struct run_variables list;

static void
set(struct endpoint *e, const char *url)
{
	assert_int_equal(endpoint_parse(url, e), RC_OK);
}

static int
begin(void **state)
{
	(void)state;
	memset(&setup, 0, sizeof(setup));
	buffer_init(&setup.key, 0, true);
	buffer_puts(&setup.key, KEY);
	setup.app = "app_1";
	set(&setup.egress, "https://relay.test:8443");
	set(&setup.plain, "http://127.0.0.1:8080");
	set(&setup.api, "http://127.0.0.1:8081");
	set(&setup.api_tls, "https://api.relay.test:8444");
	set(&setup.ca, "http://ca.relay.test:8082");
	plan = (struct run_plan){ .setup = &setup, .sdk = RUN_NODE,
	    .anchors = "/t/ca.pem", .bundle = "/t/bundle.pem",
	    .key_store = "/t/trust.p12", .folder = "/t" };
	return (0);
}

static int
end(void **state)
{
	(void)state;
	run_variables_fini(&list);
	buffer_fini(&setup.key);
	return (0);
}

static void
is(const char *name, const char *want)
{
	const char *have = run_variables_get(&list, name);

	if (want == NULL ? have != NULL : have == NULL || strcmp(have, want))
		fail_msg("%s: %s, not %s", name, have == NULL ? "-" : have,
		    want == NULL ? "-" : want);
}

static void
java_has(const char *hosts)
{
	const char *have = run_variables_get(&list, "JAVA_TOOL_OPTIONS");
	char *want = xasprintf(" -Dhttp.nonProxyHosts=%s ", hosts);

	assert_non_null(have);
	if (strstr(have, want) == NULL)
		fail_msg("%s: not in %s", want, have);
	free(want);
}

static void
test_tls(void **state)
{
	static const char *const bundles[] = { "SSL_CERT_FILE",
	    "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "AWS_CA_BUNDLE",
	    "GIT_SSL_CAINFO", "GIT_PROXY_SSL_CAINFO", "CARGO_HTTP_CAINFO" };

	(void)state;
	run_variables_make(&plan, &list);
	is("HTTPS_PROXY", PROXY);
	is("https_proxy", PROXY);
	is("HTTP_PROXY", NULL);
	is("NODE_USE_ENV_PROXY", "1");
	is("GIT_HTTP_PROXY_AUTHMETHOD", "basic");
	is("NODE_EXTRA_CA_CERTS", "/t/ca.pem");
	is("CURL_HOME", "/t");
	for (size_t i = 0; i < sizeof(bundles) / sizeof(bundles[0]); i++)
		is(bundles[i], "/t/bundle.pem");
	is("NO_PROXY", "127.0.0.1:8081,api.relay.test,ca.relay.test");
	is("no_proxy", "127.0.0.1:8081,api.relay.test,ca.relay.test");
	is("EV_API_URL", "https://api.relay.test:8444");
	is("EV_TUNNEL_HOSTNAME", "https://relay.test:8443");
	is("EV_RELAY_URL", "https://relay.test:8443");
	is("EV_CERT_HOSTNAME", "http://ca.relay.test:8082/");
	is("EV_CA_URL", "http://ca.relay.test:8082/");
	is("EV_API_HOST", NULL);
	is("JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStore=/t/trust.p12 "
	    "-Djavax.net.ssl.trustStoreType=PKCS12 "
	    "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 "
	    "-Dhttp.nonProxyHosts=api.relay.test|ca.relay.test "
	    "-Djdk.http.auth.tunneling.disabledSchemes=");
}

/* A key is never put where it would go in clear. */
static void
test_plain_has_no_key(void **state)
{
	(void)state;
	plan.plain = true;
	run_variables_make(&plan, &list);
	is("HTTPS_PROXY", "http://127.0.0.1:8080");
	for (size_t i = 0; i < list.n; i++)
		assert_null(strstr(buffer_cstr(&list.v[i].value), "key"));
}

static void
test_no_key(void **state)
{
	(void)state;
	buffer_clear(&setup.key);
	run_variables_make(&plan, &list);
	is("HTTPS_PROXY", "https://relay.test:8443");
}

static void
test_sdks(void **state)
{
	enum run_sdk sdk;

	(void)state;
	assert_int_equal(run_sdk_lookup("python", &sdk), RC_OK);
	assert_int_equal(sdk, RUN_PYTHON);
	assert_int_equal(run_sdk_lookup("perl", &sdk), RC_NOTFOUND);
	plan.sdk = RUN_PYTHON;
	run_variables_make(&plan, &list);
	is("EV_API_URL", "http://127.0.0.1:8081/");
	run_variables_fini(&list);
	setup.api.port = 0;
	run_variables_make(&plan, &list);
	is("EV_API_URL", "https://api.relay.test:8444/");
	run_variables_fini(&list);
	plan.sdk = RUN_GO;
	setup.ca.port = 0;
	run_variables_make(&plan, &list);
	is("EV_API_URL", "https://api.relay.test:8444");
	is("EV_CA_URL", "https://api.relay.test:8444/ca.pem");
}

/* Java's SDK knows port 443 alone. */
static void
test_java_sdk(void **state)
{
	(void)state;
	set(&setup.api_tls, "https://api.relay.test");
	set(&setup.strict, "https://strict.relay.test");
	setup.plain.port = 0;
	plan.java = "-Xmx1g";
	plan.key_store = "/t t/trust.p12";
	run_variables_make(&plan, &list);
	is("EV_API_HOST", "api.relay.test");
	is("EV_RELAY_HOST", "strict.relay.test");
	is("JAVA_TOOL_OPTIONS",
	    "-Xmx1g \"-Djavax.net.ssl.trustStore=/t t/trust.p12\" "
	    "-Djavax.net.ssl.trustStoreType=PKCS12");
}

static void
test_nothing_but_a_proxy(void **state)
{
	(void)state;
	setup.api.port = setup.api_tls.port = setup.ca.port = 0;
	run_variables_make(&plan, &list);
	is("EV_API_URL", NULL);
	is("EV_CERT_HOSTNAME", NULL);
	is("NO_PROXY", "");
	java_has("");
}

static void
test_no_proxy_grows(void **state)
{
	static const struct { const char *given, *want; } table[] = {
		{ "x.test",
		    "x.test,127.0.0.1:8081,api.relay.test,ca.relay.test" },
		{ "127.0.0.1:8081",
		    "127.0.0.1:8081,api.relay.test,ca.relay.test" },
		{ "API.relay.test, 127.0.0.1",
		    "API.relay.test, 127.0.0.1,ca.relay.test" },
		/* part of a name is another name */
		{ "127.0.0.11,my-api.relay.test",
		    "127.0.0.11,my-api.relay.test,127.0.0.1:8081,"
		    "api.relay.test,ca.relay.test" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		run_variables_fini(&list);
		plan.no_proxy = table[i].given;
		run_variables_make(&plan, &list);
		is("NO_PROXY", table[i].want);
	}
}

/* Ports keep the API's neighbours behind the proxy; two SDKs know none. */
static void
test_loopback(void **state)
{
	static const struct {
		enum run_sdk sdk;
		const char *api, *api_tls, *ca, *want;
	} table[] = {
		{ RUN_NODE, "http://127.0.0.1:81", "https://127.0.0.1:82",
		    "http://127.0.0.1:83",
		    "127.0.0.1:81,127.0.0.1:82,127.0.0.1:83" },
		{ RUN_NODE, "http://localhost:81", "https://[::1]:82",
		    "http://a.localhost:83",
		    "localhost:81,[::1]:82,a.localhost:83" },
		{ RUN_GO, NULL, "https://127.0.0.2:82", NULL, "127.0.0.2:82" },
		{ RUN_PYTHON, "http://127.0.0.1:81", "https://127.0.0.1:82",
		    "http://127.0.0.1:83",
		    "127.0.0.1:81,127.0.0.1:82,127.0.0.1:83" },
		{ RUN_PYTHON, NULL, "https://127.0.0.1:82",
		    "http://127.0.0.1:83", "127.0.0.1" },
		{ RUN_PHP, "http://127.0.0.1:81", "https://127.0.0.1:82",
		    "https://localhost:83",
		    "127.0.0.1:81,127.0.0.1,localhost" },
		/* no name of this machine's */
		{ RUN_NODE, NULL, "https://localhost.test:82",
		    "http://mylocalhost:83", "localhost.test,mylocalhost" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		run_variables_fini(&list);
		setup.api.port = setup.ca.port = 0;
		if (table[i].api != NULL)
			set(&setup.api, table[i].api);
		set(&setup.api_tls, table[i].api_tls);
		if (table[i].ca != NULL)
			set(&setup.ca, table[i].ca);
		plan.sdk = table[i].sdk;
		run_variables_make(&plan, &list);
		is("NO_PROXY", table[i].want);
	}
}

static void
test_a_list_of_the_users_own(void **state)
{
	static const struct { const char *given, *java; } table[] = {
		{ "", "" },
		{ "x.test", "x.test" },
		{ "x.test, .y.test,,127.0.0.1", "x.test|*.y.test|127.0.0.1" },
	};

	(void)state;
	plan.no_proxy = "other.test";
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		run_variables_fini(&list);
		plan.no_proxy_only = table[i].given;
		run_variables_make(&plan, &list);
		is("NO_PROXY", table[i].given);
		is("no_proxy", table[i].given);
		java_has(table[i].java);
	}
}

static void
test_what_goes_around(void **state)
{
	static const struct { const char *given, *entry; } table[] = {
		{ "", NULL },
		{ "x.test,127.0.0.1:81,[::1]:82,localhost:83", NULL },
		{ "10.0.0.0/8, 128.0.0.1,localhost.test,.test,::2", NULL },
		{ "x.test, 127.0.0.1", "127.0.0.1" },
		{ "127.8.9.10,localhost", "127.8.9.10" },
		{ "x.test 127.0.0.1", "127.0.0.1" },
		{ "127.0.0.0/8", "127.0.0.0" },
		{ "x.test,LocalHost", "LocalHost" },
		{ "a.localhost", "a.localhost" },
		{ ".localhost", ".localhost" },
		{ "::1", "::1" },
		{ "[::1]", "[::1]" },
		{ "::ffff:127.0.0.1", "::ffff:127.0.0.1" },
		{ "x.test,*", "*" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct span entry = { NULL, 0 };

		run_variables_fini(&list);
		plan.no_proxy_only = table[i].given;
		run_variables_make(&plan, &list);
		if (run_variables_around(&list, &entry) !=
		    (table[i].entry != NULL) || (table[i].entry != NULL &&
		    strncmp(entry.p, table[i].entry, strlen(table[i].entry))))
			fail_msg("%s", table[i].given);
	}
}

static void
test_apply(void **state)
{
	(void)state;
	assert_int_equal(setenv("HTTPS_PROXY", "http://old.test", 1), 0);
	run_variables_make(&plan, &list);
	assert_int_equal(run_variables_apply(&list), RC_OK);
	assert_string_equal(getenv("HTTPS_PROXY"), PROXY);
	assert_string_equal(getenv("SSL_CERT_FILE"), "/t/bundle.pem");
}

#define TEST(f)	cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tls),
		TEST(test_plain_has_no_key),
		TEST(test_no_key),
		TEST(test_sdks),
		TEST(test_java_sdk),
		TEST(test_nothing_but_a_proxy),
		TEST(test_no_proxy_grows),
		TEST(test_loopback),
		TEST(test_a_list_of_the_users_own),
		TEST(test_what_goes_around),
		TEST(test_apply),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
