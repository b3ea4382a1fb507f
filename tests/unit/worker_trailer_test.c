/* worker/trailer.c: which fields may stand behind a body, both ways. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/worker_relay.h"
#include "worker/trailer.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* Route 0 works on requests, 1 on responses, 2 on neither. */
#define RELAY(more)							\
	"\"destinationDomain\":\"a.test\",\"routes\":["			\
	"{\"path\":\"/0\",\"request\":[{\"action\":\"encrypt\",\"selections\":"	\
	"[{\"selector\":\"$.a\"},{\"type\":\"header\",\"selector\":\"X-Card\"}"	\
	"]}]},"								\
	"{\"path\":\"/1\",\"response\":[{\"action\":\"decrypt\","		\
	"\"selections\":[{\"selector\":\"$.a\"}]},{\"action\":\"encrypt\","	\
	"\"selections\":[{\"type\":\"header\",\"selector\":\"x-pin\"}]}]},"	\
	"{\"path\":\"/2\"}]" more

static void
check(const struct relay_route *route,
    enum trailer_direction direction, const char *lines, const char *want)
{
	struct http_head head;
	struct buffer text, out;

	buffer_init(&text, 0, false);
	buffer_init(&out, 0, false);
	buffer_puts(&text, lines);
	buffer_puts(&text, "\r\n");
	trailers_of(&head, buffer_cstr(&text));
	trailer_write(&head, route, direction, &out);
	if (strcmp(buffer_cstr(&out), want) != 0)
		fail_msg("%s became %s", lines, buffer_cstr(&out));
	http_head_fini(&head);
	buffer_fini(&out);
	buffer_fini(&text);
}

/* Order, case, repetition and empty values stay. */
static void
test_harmless_fields_pass(void **state)
{
	static const char lines[] = "X-Sum: 1\r\nServer-Timing: a;dur=1, b\r\n"
	    "x-sum: \r\ngrpc-status: 0\r\nX-Sum: 1\r\n";
	struct relay *relay = relay_of(RELAY(""));

	(void)state;
	for (int direction = 0; direction < 2; direction++) {
		check(NULL, (enum trailer_direction)direction, lines, lines);
		for (size_t i = 0; i < relay->n_routes; i++)
			check(&relay->routes[i],
			    (enum trailer_direction)direction, lines, lines);
		check(NULL, (enum trailer_direction)direction, "", "");
	}
	relay_unref(&relay);
}

/* Framing, routing, credentials, content, and what the proxy says itself:
 * those that the parser does not refuse are dropped here, in any case. */
static void
test_what_belongs_to_a_head_is_dropped(void **state)
{
	static const char *const names[] = {
		"Accept-Encoding", "Age", "API-Key", "Authorization",
		"Cache-Control", "Connection", "Content-Disposition",
		"Content-Encoding", "Content-Language", "Content-Location",
		"Content-Range", "Content-Security-Policy", "Content-Type",
		"Cookie", "Date", "Expect", "Expires", "Forwarded", "If-Match",
		"If-Modified-Since", "If-None-Match", "If-Range",
		"If-Unmodified-Since", "Keep-Alive", "Location", "Max-Forwards",
		"Origin", "Pragma", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "RANGE", "Retry-After", "Set-Cookie", "TE",
		"Trailer", "Upgrade", "Vary", "Via", "WWW-Authenticate",
		"X-Evervault-Api-Key", "X-Evervault-Ctx",
		"X-Evervault-Error-Code", "X-Forwarded-For", "X-Forwarded-Host",
		"X-Forwarded-Proto", "set-cookie", "content-TYPE",
	};
	struct relay *relay = relay_of(RELAY(""));
	struct buffer lines;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		buffer_init(&lines, 0, false);
		buffer_printf(&lines, "A: 1\r\n%s: x\r\nB: 2\r\n", names[i]);
		for (int direction = 0; direction < 2; direction++)
			check(NULL, (enum trailer_direction)direction,
			    buffer_cstr(&lines), "A: 1\r\nB: 2\r\n");
		buffer_fini(&lines);
	}
	relay_unref(&relay);
}

/* A digest of a body that has work would be wrong, that of another stays. */
static void
test_digests(void **state)
{
	static const char *const lines[] = {
		"Digest: sha-256=x\r\n", "Content-MD5: x\r\n", "ETag: \"x\"\r\n",
		"Content-Digest: sha-256=:x:\r\n", "Repr-Digest: sha-256=:x:\r\n",
	};
	struct relay *relay = relay_of(RELAY(""));

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		check(NULL, TRAILER_REQUEST, lines[i], lines[i]);
		check(NULL, TRAILER_RESPONSE, lines[i], lines[i]);
		check(&relay->routes[0], TRAILER_REQUEST, lines[i], "");
		check(&relay->routes[0], TRAILER_RESPONSE, lines[i],
		    lines[i]);
		check(&relay->routes[1], TRAILER_REQUEST, lines[i],
		    lines[i]);
		check(&relay->routes[1], TRAILER_RESPONSE, lines[i], "");
		check(&relay->routes[2], TRAILER_REQUEST, lines[i],
		    lines[i]);
	}
	relay_unref(&relay);
}

/* A field that would have been sealed in the head does not pass here. */
static void
test_chosen_fields_are_dropped(void **state)
{
	static const char lines[] = "x-card: 4111\r\nX-PIN: 1\r\nx-cards: 1\r\n";
	struct relay *relay = relay_of(RELAY(""));

	(void)state;
	check(&relay->routes[0], TRAILER_REQUEST, lines,
	    "X-PIN: 1\r\nx-cards: 1\r\n");
	check(&relay->routes[0], TRAILER_RESPONSE, lines, lines);
	check(&relay->routes[1], TRAILER_RESPONSE, lines,
	    "x-card: 4111\r\nx-cards: 1\r\n");
	check(&relay->routes[1], TRAILER_REQUEST, lines, lines);
	relay_unref(&relay);
}

/* No credential, of any relay, whether it asks for one or not. */
static void
test_credentials(void **state)
{
	static const char lines[] = "api-key: ev:key:1:x\r\n"
	    "X-Evervault-Api-Key: ev:key:1:x\r\n"
	    "Authorization: Basic YXBwXzAxMjM0NTY3ODlhYjp4\r\n"
	    "Authorization: Bearer x\r\nA: 1\r\n";
	struct relay *relay;

	(void)state;
	for (int asks = 0; asks < 2; asks++) {
		relay = relay_of(asks ? RELAY(",\"authentication\":\"api-key\"") :
		    RELAY(""));
		assert_int_equal(relay->api_key, asks);
		check(NULL, TRAILER_REQUEST, lines, "A: 1\r\n");
		check(NULL, TRAILER_RESPONSE, lines, "A: 1\r\n");
		relay_unref(&relay);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_harmless_fields_pass),
		cmocka_unit_test(test_what_belongs_to_a_head_is_dropped),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_chosen_fields_are_dropped),
		cmocka_unit_test(test_credentials),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
