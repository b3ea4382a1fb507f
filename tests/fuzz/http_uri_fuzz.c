/*
 * Targets, hosts, paths and media types.  A host or path that was taken is
 * its own normal form, and a normal path holds nothing that another reader
 * could take for a step up.
 */
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/http/uri.h"

static void
check_host(struct span text)
{
	char host[HOST_BYTES], again[HOST_BYTES + 2];
	uint16_t port;

	if (http_host_parse(text, host, &port) != RC_OK) {
		ensure(host[0] == '\0' && port == 0);
		return;
	}
	ensure(host_is_canonical(host));
	if (strchr(host, ':') != NULL)
		return;		/* IPv6 goes back in brackets */
	ensure(http_host_parse(span_of(host), again, &port) == RC_OK);
	ensure(strcmp(host, again) == 0);
}

static size_t
slashes(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += s.p[i] == '/';
	return (n);
}

static void
check_path(struct span path)
{
	struct buffer out, again;
	const char *text;

	buffer_init(&out, 0, false);
	buffer_init(&again, 0, false);
	if (http_path_normalize(path, &out) != RC_OK)
		ensure(buffer_len(&out) == 0);
	else {
		text = buffer_cstr(&out);
		ensure(text[0] == '/' && strlen(text) == buffer_len(&out));
		ensure(strstr(text, "//") == NULL && strchr(text, '\\') == NULL);
		ensure(strstr(text, "/../") == NULL && strstr(text, "/./") == NULL);
		ensure(strstr(text, "%2E") == NULL && strstr(text, "%5C") == NULL);
		ensure(!http_path_has_dots(span_of(text)));
		ensure(http_path_has_dots(path) ||
		    slashes(path) == slashes(span_of(text)));
		ensure(http_path_normalize(span_of(text), &again) == RC_OK);
		ensure(strcmp(buffer_cstr(&again), text) == 0);
	}
	buffer_fini(&out);
	buffer_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text, type, charset;
	struct http_target t;

	if (size == 0)
		return (0);
	text = (struct span){ (const char *)data + 1, size - 1 };
	if (http_target_parse((enum http_method)(data[0] % 10u), text, &t) ==
	    RC_OK) {
		ensure(t.has_query || t.query.len == 0);
		ensure(t.form != HTTP_TARGET_ORIGIN || t.path.p == text.p);
		check_path(t.path);
		check_host(t.authority);
	}
	check_host(text);
	check_path(text);
	if (http_media_type(text, &type, &charset) == RC_OK) {
		ensure(memchr(type.p, '/', type.len) != NULL);
		(void)http_media_is_json(type);
	}
	return (0);
}
