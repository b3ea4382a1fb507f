/* ctl/endpoint.c - listeners and URLs, in both directions. */
#include "ctl/endpoint.h"

#include <string.h>

#include "lib/base/object.h"
#include "lib/http/uri.h"

#define PORT_HTTPS	443
#define PORT_HTTP	80

enum rc
endpoint_parse_host(const char *text, uint16_t otherwise, struct endpoint *out)
{
	memset(out, 0, sizeof(*out));
	out->tls = true;
	if (http_host_parse(span_of(text), out->host, &out->port) != RC_OK)
		return (RC_SYNTAX);
	if (out->port == 0)
		out->port = otherwise;
	return (RC_OK);
}

enum rc
endpoint_parse(const char *text, struct endpoint *out)
{
	struct http_target target;
	bool tls;

	memset(out, 0, sizeof(*out));
	if (strstr(text, "://") == NULL)
		return (endpoint_parse_host(text, PORT_HTTPS, out));
	if (http_target_parse(HTTP_GET, span_of(text), &target) != RC_OK ||
	    target.form != HTTP_TARGET_ABSOLUTE || target.has_query ||
	    (target.path.len != 0 && !span_eq_str(target.path, "/")))
		return (RC_SYNTAX);
	tls = span_eq_case(target.scheme, "https");
	if (http_host_parse(target.authority, out->host, &out->port) != RC_OK)
		return (RC_SYNTAX);
	out->tls = tls;
	if (out->port == 0)
		out->port = tls ? PORT_HTTPS : PORT_HTTP;
	return (RC_OK);
}

bool
endpoint_of_conf(const struct conf *conf, enum conf_listen_kind kind,
    struct endpoint *out)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; conf != NULL && i < conf->n_listens; i++) {
		const char *address = conf->listens[i].address;
		char text[HOST_BYTES + 16] = "localhost:";

		if (conf->listens[i].kind != kind)
			continue;
		if (strncmp(address, "0.0.0.0:", 8) == 0)
			(void)strncat(text, address + 8, 8);
		else if (strncmp(address, "[::]:", 5) == 0)
			(void)strncat(text, address + 5, 8);
		else if (!span_copy(span_of(address), text, sizeof(text)))
			continue;
		if (endpoint_parse_host(text, 0, out) != RC_OK || out->port == 0)
			continue;
		out->tls = conf_listen_is_tls(kind);
		return (true);
	}
	memset(out, 0, sizeof(*out));
	return (false);
}

void
endpoint_put_authority(const struct endpoint *e, struct buffer *out)
{
	bool brackets = strchr(e->host, ':') != NULL;

	buffer_printf(out, "%s%s%s:%u", brackets ? "[" : "", e->host,
	    brackets ? "]" : "", e->port);
}

static bool
is_unreserved(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL));
}

static void
put_escaped(struct span text, struct buffer *out)
{
	for (size_t i = 0; i < text.len; i++) {
		if (is_unreserved(text.p[i]))
			buffer_put(out, text.p + i, 1);
		else
			buffer_printf(out, "%%%02X",
			    (unsigned)(unsigned char)text.p[i]);
	}
}

void
endpoint_put_url(const struct endpoint *e, const char *user, struct span key,
    struct buffer *out)
{
	ensure(e->port != 0);
	buffer_puts(out, e->tls ? "https://" : "http://");
	if (key.len != 0) {
		put_escaped(span_of(user), out);
		buffer_puts(out, ":");
		put_escaped(key, out);
		buffer_puts(out, "@");
	}
	endpoint_put_authority(e, out);
}
