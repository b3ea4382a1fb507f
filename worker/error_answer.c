/* worker/error_answer.c - the table of refusals and their one form. */
#include "worker/error_answer.h"

#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "lib/http/write.h"

static const struct error_info table[ERROR_CODES] = {
	{ ERROR_BAD_REQUEST, "bad-request", 400, "Bad Request", false },
	{ ERROR_MALFORMED_BODY, "malformed-body", 400, "Malformed Body", false },
	{ ERROR_UNSUPPORTED_CONTENT_TYPE, "unsupported-content-type", 415,
	    "Unsupported Content Type", false },
	{ ERROR_PAYLOAD_TOO_LARGE, "payload-too-large", 413, "Payload Too Large", false },
	{ ERROR_TOO_MANY_FIELDS, "too-many-fields", 413, "Too Many Fields", false },
	{ ERROR_URI_TOO_LONG, "uri-too-long", 414, "URI Too Long", false },
	{ ERROR_HEADER_TOO_LARGE, "header-too-large", 431, "Header Too Large", false },
	{ ERROR_EXPECTATION_FAILED, "expectation-failed", 417, "Expectation Failed", false },
	{ ERROR_NOT_IMPLEMENTED, "not-implemented", 501, "Not Implemented", false },
	{ ERROR_HTTP_VERSION_NOT_SUPPORTED, "http-version-not-supported", 505,
	    "HTTP Version Not Supported", false },
	{ ERROR_CLIENT_TIMEOUT, "client-timeout", 408, "Client Timeout", false },
	{ ERROR_UNAUTHORIZED, "unauthorized", 401, "Unauthorized", false },
	{ ERROR_PROXY_AUTHENTICATION, "proxy-authentication-required", 407,
	    "Proxy Authentication Required", false },
	{ ERROR_FORBIDDEN_DESTINATION, "forbidden-destination", 403, "Forbidden", false },
	{ ERROR_FORBIDDEN_IP, "forbidden-ip-error", 403, "Forbidden", false },
	{ ERROR_FORBIDDEN, "forbidden", 403, "Forbidden", false },
	{ ERROR_DECRYPT_FORBIDDEN, "decrypt/forbidden", 403, "Forbidden", false },
	{ ERROR_RELAY_NOT_FOUND, "relay-not-found", 404, "Relay Not Found", false },
	{ ERROR_RESOURCE_NOT_FOUND, "resource-not-found", 404, "Not Found", false },
	{ ERROR_METHOD_NOT_ALLOWED, "method-not-allowed", 405, "Method Not Allowed", false },
	{ ERROR_CONFLICT, "conflict", 409, "Conflict", false },
	{ ERROR_MISDIRECTED_REQUEST, "misdirected-request", 421, "Misdirected Request", false },
	{ ERROR_DECRYPTION, "decryption-error", 422, "Decryption Error", false },
	{ ERROR_RATE_LIMITED, "rate-limited", 429, "Too Many Requests", true },
	{ ERROR_OVERLOADED, "overloaded", 503, "Overloaded", true },
	{ ERROR_NOT_READY, "not-ready", 503, "Not Ready", true },
	{ ERROR_ENGINE_UNAVAILABLE, "engine-unavailable", 503, "Engine Unavailable", true },
	{ ERROR_SERVICE_UNAVAILABLE, "service-unavailable", 503, "Service Unavailable", true },
	{ ERROR_UPSTREAM_TLS, "upstream-tls-error", 502, "Upstream TLS Error", false },
	{ ERROR_UPSTREAM_PROTOCOL, "upstream-protocol-error", 502,
	    "Upstream Protocol Error", false },
	{ ERROR_UNSEALABLE_RESPONSE, "unsealable-response", 502,
	    "Unsealable Response", false },
	{ ERROR_REQUEST_TIMEOUT, "request-timeout", 504, "Request Timeout", false },
	{ ERROR_TUNNEL_LOOP, "tunnel-loop", 508, "Loop Detected", false },
	{ ERROR_INTERNAL, "internal-server-error", 500, "Internal Server Error", false },
};

const struct error_info *
error_info(enum error_code code)
{
	ensure(code < ERROR_CODES && table[code].code == code);
	return (&table[code]);
}

/* Problem JSON (RFC 9457), with the field that SDKs read. */
static void
write_problem(struct buffer *out, const struct error_info *e, const char *detail)
{
	struct body_json_writer w;

	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "code", e->name);
	body_json_put_str(&w, "title", e->title);
	body_json_put_u64(&w, "status", e->status);
	body_json_put_str(&w, "detail", detail);
	body_json_put_str(&w, "evervault-error-code", e->name);
	body_json_close_object(&w);
}

static void
write_allow(struct buffer *out, const char *allow)
{
	http_write_field_str(out, "Allow", allow != NULL ? allow :
	    "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
}

void
error_answer_put(struct buffer *out, const struct error_answer *a)
{
	const struct error_info *e = error_info(a->code);
	struct buffer body;

	buffer_init(&body, 0, false);
	write_problem(&body, e, a->detail);
	http_write_status_line(out, e->status, SPAN_LIT(""));
	http_write_field_str(out, "Content-Type", "application/problem+json");
	http_write_length(out, buffer_len(&body));
	http_write_field_str(out, "x-evervault-error-code", e->name);
	http_write_field_str(out, "x-evervault-ctx", a->ctx);
	http_write_field_str(out, "Cache-Control", "no-store");
	if (e->retry_after)
		http_write_field_str(out, "Retry-After", "1");
	if (a->cors)
		http_write_field_str(out, "Access-Control-Allow-Origin", "*");
	if (a->code == ERROR_METHOD_NOT_ALLOWED)
		write_allow(out, a->allow);
	/* RFC 9110 15.5.2.  Basic, inside of a tunnel, would have clients ask
	 * for, and forget, the password of the destination. */
	if (a->code == ERROR_UNAUTHORIZED)
		http_write_field_str(out, "WWW-Authenticate", a->inside ?
		    "ApiKey realm=\"relay\"" : "Basic realm=\"relay\"");
	if (a->code == ERROR_PROXY_AUTHENTICATION)	/* RFC 9110 15.5.8 */
		http_write_field_str(out, "Proxy-Authenticate",
		    "Basic realm=\"relay\"");
	if (a->close)
		http_write_field_str(out, "Connection", "close");
	http_write_end(out);
	if (!a->head_only)
		buffer_put(out, buffer_data(&body), buffer_len(&body));
	buffer_fini(&body);
}
