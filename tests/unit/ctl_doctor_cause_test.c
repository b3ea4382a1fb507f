/* From a refusal to advice: every code that egress and the key API can answer
 * has one, and names stand where the advice needs them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <openssl/x509_vfy.h>

#include "ctl/doctor_cause.h"

static void
test_codes(void **state)
{
	static const struct { const char *code, *detail, *word; } table[] = {
		{ "proxy-authentication-required", "the API key is not good here",
		    "relayctl key list <APP>" },
		{ "proxy-authentication-required",
		    "the API key has no scope for egress", "--scope egress" },
		{ "proxy-authentication-required",
		    "a key in clear is never taken: use a TLS proxy URL",
		    "revoke it" },
		{ "proxy-authentication-required", "", "--key-file" },
		{ "unauthorized", "the API key is not good", "key list" },
		{ "forbidden-destination",
		    "the app's destinations do not have this host and port",
		    "relayctl egress allow <APP> <HOST>" },
		{ "forbidden-destination", "the destination's address is not "
		    "public, and the app's record does not say internal",
		    "--internal" },
		{ "forbidden-destination", "the CA may not vouch for this host",
		    "relayctl ca show" },
		{ "engine-unavailable", "", "relayctl status" },
		{ "not-ready", "there is no egress CA yet", "relayctl ca create" },
		{ "not-ready", "no configuration yet", "Redis" },
		{ "service-unavailable",
		    "the destination's name does not resolve", "resolve" },
		{ "service-unavailable",
		    "the destination refused the connection", "<HOST>" },
		{ "upstream-tls-error", "", "upstream_ca_file" },
		{ "request-timeout", "", "connect_timeout_ms" },
		{ "rate-limited", "too many refused keys from this address",
		    "auth_failures_per_minute" },
		{ "rate-limited", "", "leaf_quota_per_minute" },
		{ "tunnel-loop", "", "resolve" },
		{ "misdirected-request", "", "SNI" },
		{ "internal-server-error", "", "log" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *advice = cause_of_code(span_of(table[i].code),
		    span_of(table[i].detail));

		if (advice == NULL || strstr(advice, table[i].word) == NULL)
			fail_msg("%s, %s: %s", table[i].code, table[i].detail,
			    advice == NULL ? "-" : advice);
	}
	assert_null(cause_of_code(SPAN_LIT("no-such-code"), SPAN_LIT("")));
	assert_null(cause_of_code(SPAN_LIT(""), SPAN_LIT("")));
}

static void
test_text(void **state)
{
	static const struct { const char *advice, *text; size_t size; } table[] = {
		{ "egress allow <APP> <HOST>", "egress allow app_1 h.test:1", 64 },
		{ "<HOST><HOST>", "h.test:1h.test:1", 64 },
		{ "none < here >", "none < here >", 64 },
		{ "", "", 64 },
		{ "<HOST>", "h.te", 5 },	/* cut, ended */
		{ "abc", "", 1 },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(out, 'x', sizeof(out));
		cause_text(table[i].advice, "app_1", "h.test:1", out,
		    table[i].size);
		assert_string_equal(out, table[i].text);
	}
}

static void
test_certificates(void **state)
{
	(void)state;
	for (int inside = 0; inside < 2; inside++) {
		assert_non_null(strstr(cause_of_certificate(
		    X509_V_ERR_CERT_HAS_EXPIRED, inside), "clock"));
		assert_non_null(strstr(cause_of_certificate(
		    X509_V_ERR_CERT_NOT_YET_VALID, inside), "clock"));
		assert_non_null(strstr(cause_of_certificate(
		    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, inside),
		    "CA"));
	}
	assert_non_null(strstr(cause_of_certificate(
	    X509_V_ERR_IP_ADDRESS_MISMATCH, false), "--egress"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_certificates),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
