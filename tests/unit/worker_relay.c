/* worker_relay.c - see worker_relay.h. */
#include "tests/unit/worker_relay.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/base/buffer.h"

struct relay *
relay_of(const char *members)
{
	struct relay_fault fault;
	struct relay *relay;
	struct buffer json;

	buffer_init(&json, 0, false);
	buffer_printf(&json, "{\"app\":\"app_0123456789ab\",%s}", members);
	if (relay_json_parse(span_of(buffer_cstr(&json)), &relay, &fault) != RC_OK)
		fail_msg("%s: %s", fault.path, fault.reason);
	buffer_fini(&json);
	return (relay);
}

static void
check(const struct http_head *head, enum rc rc, const char *text)
{
	if (rc != RC_OK)
		fail_msg("%s: %s", text, head->detail);
	assert_int_equal(head->bytes, strlen(text));
}

void
request_head_of(struct http_head *head, const char *text)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	http_head_init(head);
	check(head, http_head_request(head, text, strlen(text), &limits), text);
}

void
response_head_of(struct http_head *head, const char *text)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	http_head_init(head);
	check(head, http_head_response(head, text, strlen(text), &limits), text);
}

void
trailers_of(struct http_head *head, const char *text)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;

	http_head_init(head);
	check(head, http_head_trailers(head, text, strlen(text), &limits), text);
}
