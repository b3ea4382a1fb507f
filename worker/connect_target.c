/* worker/connect_target.c - CONNECT as in RFC 9110 9.3.6, and what people send
 * in its place. */
#include "worker/connect_target.h"

#include "lib/http/uri.h"

/* What looks like a body would be read as the tunnel's first bytes by one
 * reader and not by another. */
static bool
has_body(const struct http_head *head)
{
	const struct http_field *length = http_head_field(head,
	    HTTP_FIELD_CONTENT_LENGTH);

	return (http_head_field(head, HTTP_FIELD_TRANSFER_ENCODING) != NULL ||
	    (length != NULL && !span_eq_str(length->value, "0")) ||
	    http_head_count(head, HTTP_FIELD_CONTENT_LENGTH) > 1);
}

enum rc
connect_target_read(const struct http_head *head, char host[HOST_BYTES],
    uint16_t *port, const char **detail)
{
	struct http_target target;

	host[0] = '\0';
	if (has_body(head)) {
		*detail = "CONNECT has no body";
		return (RC_SYNTAX);
	}
	if (http_target_parse(HTTP_CONNECT, head->target, &target) != RC_OK ||
	    http_host_parse(target.authority, host, port) != RC_OK ||
	    *port == 0) {
		host[0] = '\0';
		*detail = "CONNECT needs host:port";
		return (RC_SYNTAX);
	}
	return (RC_OK);
}

static bool
is_absolute(const struct http_head *head, struct http_target *target)
{
	return (http_target_parse(head->method, head->target, target) == RC_OK &&
	    target->form == HTTP_TARGET_ABSOLUTE);
}

bool
connect_target_is_plain(const struct http_head *head)
{
	struct http_target target;

	return (is_absolute(head, &target) && span_eq_case(target.scheme, "http"));
}

/* People set a proxy in many ways: say which one is right. */
const char *
connect_target_advice(const struct http_head *head)
{
	struct http_target target;

	if (!is_absolute(head, &target))
		return ("this is a CONNECT proxy, no API: set it as the "
		    "client's proxy for https (HTTPS_PROXY), not as a base URL");
	if (span_eq_case(target.scheme, "https"))
		return ("this proxy serves https by CONNECT alone: let the "
		    "client open a tunnel (HTTPS_PROXY, curl -x, a proxy agent for "
		    "https), not send it an https:// request");
	return ("http:// destinations are not served on this "
	    "listener: use https://, or egress_plain_http on a TLS "
	    "listener; set HTTPS_PROXY alone, not HTTP_PROXY");
}
