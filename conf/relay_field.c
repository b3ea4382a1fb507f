/*
 * conf/relay_field.c - objects, arrays and scalars of a relay JSON.
 *
 * The path grows and shrinks in the fault itself: when a reader fails, every
 * frame returns at once and leaves it standing there.
 */
#include "conf/relay_field.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/host.h"
#include "lib/base/object.h"

#define FIELDS_MAX	64	/* bits of the set of fields seen */
#define NAME_SHOWN_MAX	64	/* bytes of a foreign name in a path */

enum rc
relay_fail(struct relay_reader *r, enum rc rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->fault->reason, sizeof(r->fault->reason), fmt, ap);
	va_end(ap);
	return (rc);
}

enum rc
relay_not_available(struct relay_reader *r)
{
	return (relay_fail(r, RC_UNSUPPORTED, "not available in this version"));
}

enum rc
relay_read_document(struct relay_reader *r, struct span json,
    struct body_json *doc)
{
	struct body_json_fault broken;
	enum rc rc;

	memset(r->fault, 0, sizeof(*r->fault));
	r->path_len = 0;
	if (json.len > RELAY_JSON_BYTES_MAX)
		return (relay_fail(r, RC_LIMIT, "longer than %u bytes",
		    RELAY_JSON_BYTES_MAX));
	rc = body_json_read(doc, json.p, json.len, 0, &broken);
	if (rc != RC_OK)
		return (relay_fail(r, rc, "not JSON: %s (at byte %zu)",
		    broken.reason, broken.offset));
	r->doc = doc;
	return (RC_OK);
}

/* ---- path ---------------------------------------------------------------- */

/* Add to the path, cut where it is full; returns its old length. */
static size_t __attribute__((__format__(__printf__, 2, 3)))
push(struct relay_reader *r, const char *fmt, ...)
{
	size_t old = r->path_len, room = sizeof(r->fault->path) - old;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->fault->path + old, room, fmt, ap);
	va_end(ap);
	ensure(n >= 0);
	r->path_len = (size_t)n < room ? old + (size_t)n :
	    sizeof(r->fault->path) - 1;
	return (old);
}

static void
pop(struct relay_reader *r, size_t old)
{
	r->path_len = old;
	r->fault->path[old] = '\0';
}

static size_t
push_field(struct relay_reader *r, const char *name)
{
	return (push(r, "%s%s", r->path_len == 0 ? "" : ".", name));
}

static bool
is_plain_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') &&
		    (c < '0' || c > '9') && c != '_')
			return (false);
	}
	return (s.len != 0 && s.len <= NAME_SHOWN_MAX);
}

/* A name that is none of ours: raw, in quotes, cut between characters. */
static void
push_foreign(struct relay_reader *r, uint32_t node)
{
	struct span raw = body_json_raw_key(r->doc, node);
	size_t len;

	raw.p++;
	raw.len -= 2;
	if (is_plain_name(raw)) {
		(void)push(r, "%s%.*s", r->path_len == 0 ? "" : ".",
		    (int)raw.len, raw.p);
		return;
	}
	for (len = raw.len; len > NAME_SHOWN_MAX ||
	    (len < raw.len && ((unsigned char)raw.p[len] & 0xc0) == 0x80); len--)
		continue;
	(void)push(r, "[\"%.*s%s\"]", (int)len, raw.p,
	    len < raw.len ? "..." : "");
}

/* ---- objects and arrays ---------------------------------------------------- */

static const struct relay_field *
find_field(const struct relay_reader *r, uint32_t node,
    const struct relay_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (body_json_key_is(r->doc, node, span_of(fields[i].name)))
			return (&fields[i]);
	return (NULL);
}

static enum rc
read_member(struct relay_reader *r, uint32_t node,
    const struct relay_field *fields, size_t n, uint64_t *seen, void *obj)
{
	const struct relay_field *field = find_field(r, node, fields, n);
	size_t old;
	enum rc rc;

	if (field == NULL) {
		push_foreign(r, node);
		return (relay_fail(r, RC_SYNTAX, "unknown field"));
	}
	old = push_field(r, field->name);
	if ((*seen >> (field - fields) & 1) != 0)
		return (relay_fail(r, RC_SYNTAX, "duplicate field"));
	*seen |= UINT64_C(1) << (field - fields);
	if (field->read == NULL)
		return (relay_not_available(r));
	if ((rc = field->read(r, node, obj)) != RC_OK)
		return (rc);
	pop(r, old);
	return (RC_OK);
}

enum rc
relay_read_object(struct relay_reader *r, uint32_t node,
    const struct relay_field *fields, size_t n, void *obj)
{
	uint64_t seen = 0;
	enum rc rc;

	ensure(n <= FIELDS_MAX);
	if (r->doc->nodes[node].type != BODY_JSON_OBJECT)
		return (relay_fail(r, RC_SYNTAX, "must be an object"));
	for (uint32_t i = body_json_child(r->doc, node); i != 0;
	    i = body_json_sibling(r->doc, i)) {
		rc = read_member(r, i, fields, n, &seen, obj);
		if (rc != RC_OK)
			return (rc);
	}
	for (size_t i = 0; i < n; i++) {
		if (fields[i].required && (seen >> i & 1) == 0) {
			(void)push_field(r, fields[i].name);
			return (relay_fail(r, RC_SYNTAX, "is required"));
		}
	}
	return (RC_OK);
}

enum rc
relay_count_array(struct relay_reader *r, uint32_t node, size_t max, size_t *n)
{
	*n = 0;
	if (r->doc->nodes[node].type != BODY_JSON_ARRAY)
		return (relay_fail(r, RC_SYNTAX, "must be an array"));
	for (uint32_t i = body_json_child(r->doc, node); i != 0;
	    i = body_json_sibling(r->doc, i))
		if (++*n > max)
			return (relay_fail(r, RC_LIMIT,
			    "has more than %zu elements", max));
	return (RC_OK);
}

enum rc
relay_read_array(struct relay_reader *r, uint32_t node, relay_read_cb *read,
    void *elements, size_t size)
{
	char *element = elements;
	unsigned index = 0;
	size_t old;
	enum rc rc;

	for (uint32_t i = body_json_child(r->doc, node); i != 0;
	    i = body_json_sibling(r->doc, i)) {
		old = push(r, "[%u]", index++);
		if ((rc = read(r, i, element)) != RC_OK)
			return (rc);
		pop(r, old);
		element += size;
	}
	return (RC_OK);
}

/* ---- scalars --------------------------------------------------------------- */

enum rc
relay_read_text(struct relay_reader *r, uint32_t node, char **out)
{
	struct buffer text;
	enum rc rc = RC_OK;

	*out = NULL;
	if (r->doc->nodes[node].type != BODY_JSON_STRING)
		return (relay_fail(r, RC_SYNTAX, "must be a string"));
	buffer_init(&text, 0, false);
	if (body_json_unescape(body_json_raw(r->doc, node), &text) != RC_OK)
		rc = relay_fail(r, RC_SYNTAX, "holds a lone surrogate");
	else if (strlen(buffer_cstr(&text)) != buffer_len(&text))
		rc = relay_fail(r, RC_SYNTAX, "holds a NUL");
	else
		*out = xstrdup(buffer_cstr(&text));
	buffer_fini(&text);
	return (rc);
}

enum rc
relay_read_host(struct relay_reader *r, uint32_t node, char **out)
{
	char host[HOST_BYTES];
	char *text;
	enum rc rc;

	*out = NULL;
	if ((rc = relay_read_text(r, node, &text)) != RC_OK)
		return (rc);
	if (host_canonical(span_of(text), host) != RC_OK)
		rc = relay_fail(r, RC_SYNTAX, "must be a host name or an IP "
		    "address, without port or wildcard");
	else
		*out = xstrdup(host);
	free(text);
	return (rc);
}

enum rc
relay_read_bool(struct relay_reader *r, uint32_t node, bool *out)
{
	uint8_t type = r->doc->nodes[node].type;

	if (type != BODY_JSON_TRUE && type != BODY_JSON_FALSE)
		return (relay_fail(r, RC_SYNTAX, "must be true or false"));
	*out = type == BODY_JSON_TRUE;
	return (RC_OK);
}

enum rc
relay_read_uint(struct relay_reader *r, uint32_t node, uint64_t min,
    uint64_t max, uint64_t *out)
{
	/* A string's quote, a sign, a point and an exponent are no digits. */
	if (string_u64(body_json_raw(r->doc, node), out) != RC_OK ||
	    *out < min || *out > max)
		return (relay_fail(r, RC_SYNTAX,
		    "must be an integer from %llu to %llu",
		    (unsigned long long)min, (unsigned long long)max));
	return (RC_OK);
}

/* The choices as a list: the reason names ours, never what came. */
static enum rc
fail_choice(struct relay_reader *r, const struct relay_choice *choices,
    size_t n)
{
	char list[128] = "";
	size_t len = 0;

	for (size_t i = 0; i < n && len < sizeof(list); i++) {
		int wrote = snprintf(list + len, sizeof(list) - len, "%s%s",
		    i == 0 ? "" : ", ", choices[i].text);

		ensure(wrote > 0);
		len += (size_t)wrote;
	}
	return (relay_fail(r, RC_SYNTAX, "must be one of: %s", list));
}

enum rc
relay_read_choice(struct relay_reader *r, uint32_t node,
    const struct relay_choice *choices, size_t n, int *out)
{
	struct span raw = body_json_raw(r->doc, node);

	if (r->doc->nodes[node].type != BODY_JSON_STRING)
		return (relay_fail(r, RC_SYNTAX, "must be a string"));
	for (size_t i = 0; i < n; i++) {
		if (!body_json_text_is(raw, span_of(choices[i].text)))
			continue;
		if (choices[i].value == RELAY_CHOICE_LATER)
			return (relay_not_available(r));
		*out = choices[i].value;
		return (RC_OK);
	}
	return (fail_choice(r, choices, n));
}
