/*
 * Any bytes as a request to the egress proxy: as a CONNECT, as the first
 * request inside of its tunnel, as one for a plain destination.  What passes is
 * about the tunnel's host alone and has one meaning for the destination; what
 * does not has a reason.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "worker/api_key.h"
#include "worker/connect_target.h"
#include "worker/judge.h"
#include "worker/request_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define TUNNEL_HOST	"shop.test"
#define TUNNEL_PORT	8443

static const struct http_limits limits = { 4096, 1024, 32 };

/* Answers of the app, some of them with actions. */
static struct relay *
app_relay(void)
{
	static const char record[] = "{\"app\":\"app_0123456789ab\","
	    "\"destinationDomain\":\"" TUNNEL_HOST "\",\"routes\":["
	    "{\"method\":\"GET\",\"path\":\"/a/*\",\"response\":[{\"action\":"
	    "\"encrypt\",\"selections\":[{\"selector\":\"$..*\"}]}]},"
	    "{\"path\":\"/**\"}]}";
	static struct relay *relay;
	struct relay_fault fault;

	if (relay == NULL)
		ensure(relay_json_parse(SPAN_LIT(record), &relay, &fault) == RC_OK);
	return (relay_ref(relay));
}

static void
check_canonical(const char *host)
{
	char again[HOST_BYTES];
	uint16_t port;
	struct buffer name;
	enum rc rc;

	buffer_init(&name, 0, false);
	buffer_printf(&name, strchr(host, ':') != NULL ? "[%s]" : "%s", host);
	rc = http_host_parse((struct span){ buffer_data(&name),
	    buffer_len(&name) }, again, &port);
	ensure(rc == RC_OK && strcmp(again, host) == 0);
	buffer_fini(&name);
}

static void
check_connect(const struct http_head *head)
{
	char host[HOST_BYTES] = "former.test";
	const char *detail = NULL;
	uint16_t port = 0;

	if (head->method != HTTP_CONNECT) {
		ensure(connect_target_advice(head)[0] != '\0');
		(void)connect_target_is_plain(head);
		return;
	}
	ensure(!connect_target_is_plain(head));
	if (connect_target_read(head, host, &port, &detail) != RC_OK) {
		ensure(host[0] == '\0' && detail != NULL);
		return;
	}
	ensure(host[0] != '\0' && port != 0);
	ensure(http_head_field(head, HTTP_FIELD_TRANSFER_ENCODING) == NULL);
	check_canonical(host);
}

static void
check_key(const struct http_head *head)
{
	struct api_key_found found;
	struct buffer decoded;

	buffer_init(&decoded, 0, true);
	if (api_key_find_proxy(head, &decoded, &found) == RC_OK)
		ensure(found.key.len != 0 && http_head_count(head,
		    HTTP_FIELD_PROXY_AUTHORIZATION) == 1);
	buffer_fini(&decoded);
}

/* What the destination reads is what was judged. */
static void
check_line(const struct http_head *head, const struct judgement *j)
{
	struct http_target target;
	struct http_head again;
	struct buffer out;

	buffer_init(&out, 0, false);
	request_head_line(head, &j->target, &out);
	buffer_puts(&out, "Host: x\r\n");
	request_head_connection(j, &out);
	buffer_puts(&out, "\r\n");
	http_head_init(&again);
	ensure(http_head_request(&again, buffer_data(&out), buffer_len(&out),
	    &HTTP_LIMITS_DEFAULT) == RC_OK);
	ensure(again.bytes == buffer_len(&out));
	ensure(span_eq(again.method_text, head->method_text));
	ensure(http_target_parse(again.method, again.target, &target) == RC_OK);
	ensure(target.form == HTTP_TARGET_ORIGIN ||
	    target.form == HTTP_TARGET_ASTERISK);
	ensure(span_eq(target.path, j->target.path));
	ensure(target.has_query == j->target.has_query);
	ensure(span_eq(target.query, j->target.query));
	http_head_fini(&again);
	buffer_fini(&out);
}

static void
check_rules(const struct http_head *head, struct judgement *j)
{
	struct buffer path;

	buffer_init(&path, 0, false);
	j->relay = app_relay();
	if (http_path_normalize(j->target.path, &path) != RC_OK)
		buffer_clear(&path);
	if (judge_egress_rules(head, (struct span){ buffer_data(&path),
	    buffer_len(&path) }, j)) {
		ensure(j->syntax == REWRITE_NONE ||
		    j->framing.kind != HTTP_BODY_NONE);
		ensure(j->upgrade.len == 0 || j->framing.kind == HTTP_BODY_NONE);
		check_line(head, j);
	} else {
		ensure(j->detail != NULL);
	}
	buffer_fini(&path);
}

/* rules->host NULL: outside of a tunnel. */
static void
check_request(const struct http_head *head, const struct judge_egress *rules)
{
	struct judgement j;

	if (judge_egress_head(rules, head, &j)) {
		ensure(head->method != HTTP_CONNECT && head->method != HTTP_TRACE);
		ensure(j.port != 0);
		ensure(rules->host == NULL || (strcmp(j.host, rules->host) == 0 &&
		    j.port == rules->port && !rules->other_name));
		check_canonical(j.host);
		check_rules(head, &j);
	} else {
		ensure(j.detail != NULL && j.relay == NULL);
	}
	judgement_fini(&j);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct judge_egress inside = { .host = TUNNEL_HOST,
	    .port = TUNNEL_PORT };
	const struct judge_egress other = { .host = TUNNEL_HOST,
	    .port = TUNNEL_PORT, .other_name = true };
	const struct judge_egress plain = { .host = NULL };
	struct http_head head;

	http_head_init(&head);
	if (http_head_request(&head, (const char *)data, len, &limits) == RC_OK) {
		check_connect(&head);
		check_key(&head);
		check_request(&head, &inside);
		check_request(&head, &other);
		check_request(&head, &plain);
	}
	http_head_fini(&head);
	return (0);
}
