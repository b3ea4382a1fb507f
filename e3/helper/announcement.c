/* helper/announcement.c - see announcement.h. */
#include "e3/helper/announcement.h"

#include <string.h>

#include "lib/body/json.h"
#include "lib/body/json_write.h"

#define NODES_MAX	64	/* ours has 8 */

/* ASCII only: the name is part of a Redis key and of log lines. */
static bool
is_name_byte(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_');
}

static size_t
put_part(char *out, size_t at, const char *part)
{
	size_t end = at + ANNOUNCEMENT_NAME_BYTES / 2 - 1;

	for (; *part != '\0' && at < end; part++)
		out[at++] = is_name_byte(*part) ? *part : '-';
	return (at);
}

void
announcement_name(const char *name, const char *host,
    char out[ANNOUNCEMENT_NAME_BYTES])
{
	size_t at = put_part(out, 0, name);

	out[at++] = '@';
	at = put_part(out, at, host);
	out[at] = '\0';
}

void
announcement_write(const struct announcement *a, struct buffer *out)
{
	char hex[2 * ENGINE_CHECKSUM_BYTES + 1] = "";
	struct body_json_writer w;

	if (a->has_checksum)
		hex_encode(a->checksum, sizeof(a->checksum), hex);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "name", a->name);
	body_json_put_str(&w, "address", a->address);
	body_json_put_str(&w, "state", a->draining ? "draining" : "ready");
	body_json_put_bool(&w, "resealing", a->resealing);
	body_json_put_str(&w, "checksum", hex);
	body_json_put_u64(&w, "apps", a->apps);
	body_json_put_u64(&w, "keys_epoch", a->keys_epoch);
	body_json_close_object(&w);
}

/* A string member as text of printable ASCII; false: absent, another type,
 * escaped (nothing of ours needs that), too long. */
static bool
get_text(const struct body_json *doc, const char *key, char *out, size_t size)
{
	uint32_t node = body_json_member(doc, 0, key);
	struct span raw;

	if (node == 0 || doc->nodes[node].type != BODY_JSON_STRING ||
	    doc->nodes[node].escaped)
		return (false);
	raw = body_json_raw(doc, node);
	raw = (struct span){ raw.p + 1, raw.len - 2 };
	for (size_t i = 0; i < raw.len; i++)
		if (raw.p[i] <= ' ' || raw.p[i] > '~')
			return (false);
	return (span_copy(raw, out, size));
}

static void
get_number(const struct body_json *doc, const char *key, uint64_t *out)
{
	uint32_t node = body_json_member(doc, 0, key);

	if (node == 0 || doc->nodes[node].type != BODY_JSON_NUMBER ||
	    string_u64(body_json_raw(doc, node), out) != RC_OK)
		*out = 0;
}

static bool
is_true(const struct body_json *doc, const char *key)
{
	uint32_t node = body_json_member(doc, 0, key);

	return (node != 0 && doc->nodes[node].type == BODY_JSON_TRUE);
}

static bool
read_members(const struct body_json *doc, struct announcement *a)
{
	char state[16], hex[2 * ENGINE_CHECKSUM_BYTES + 1];

	if (doc->nodes[0].type != BODY_JSON_OBJECT ||
	    !get_text(doc, "name", a->name, sizeof(a->name)) ||
	    !get_text(doc, "address", a->address, sizeof(a->address)) ||
	    !get_text(doc, "state", state, sizeof(state)))
		return (false);
	a->draining = strcmp(state, "draining") == 0;
	if (!a->draining && strcmp(state, "ready") != 0)
		return (false);
	a->resealing = is_true(doc, "resealing");
	a->has_checksum = get_text(doc, "checksum", hex, sizeof(hex)) &&
	    strlen(hex) == sizeof(hex) - 1 &&
	    hex_decode(span_of(hex), a->checksum, sizeof(a->checksum)) == RC_OK;
	get_number(doc, "apps", &a->apps);
	get_number(doc, "keys_epoch", &a->keys_epoch);
	return (true);
}

enum rc
announcement_read(struct span text, struct span name, struct announcement *a)
{
	struct body_json doc;
	bool good;

	memset(a, 0, sizeof(*a));
	for (size_t i = 0; i < name.len; i++)
		if (!is_name_byte(name.p[i]) && name.p[i] != '@')
			return (RC_SYNTAX);
	if (body_json_read(&doc, text.p, text.len, NODES_MAX, NULL) != RC_OK)
		return (RC_SYNTAX);
	good = read_members(&doc, a) && span_eq_str(name, a->name);
	body_json_fini(&doc);
	return (good ? RC_OK : RC_SYNTAX);
}
