/* worker/trailer.c - what is not known to be harmless at the end is dropped. */
#include "worker/trailer.h"

#include "lib/http/write.h"

/* Names that no id of ours stands for, and that only a head may carry. */
static bool
belongs_to_head(struct span name)
{
	static const char *const names[] = {
		"age", "cache-control", "content-disposition", "content-language",
		"content-location", "content-range", "content-security-policy",
		"cookie", "date", "expires", "if-match", "if-modified-since",
		"if-none-match", "if-range", "if-unmodified-since", "location",
		"max-forwards", "origin", "pragma", "retry-after", "set-cookie",
		"vary", "www-authenticate",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_eq_case(name, names[i]))
			return (true);
	return (false);
}

static bool
may_pass(const struct http_field *f, bool changed)
{
	switch (f->id) {
	case HTTP_FIELD_OTHER:
		return (!belongs_to_head(f->name));
	case HTTP_FIELD_DIGEST:
		return (!changed);
	case HTTP_FIELD_ETAG:
		return (!changed);
	default:
		return (false);
	}
}

void
trailer_write(const struct http_head *trailers,
    const struct relay_route *route, enum trailer_direction direction,
    struct buffer *out)
{
	bool request = direction == TRAILER_REQUEST;
	const struct relay_action *actions = route == NULL ? NULL : request ?
	    route->request : route->response;
	size_t n = route == NULL ? 0 : request ? route->n_request :
	    route->n_response;

	for (size_t i = 0; i < trailers->n_fields; i++) {
		const struct http_field *f = &trailers->fields[i];

		if (may_pass(f, n != 0) && !relay_actions_name_field(actions, n, f->name))
			http_write_field(out, f->name, f->value);
	}
}
