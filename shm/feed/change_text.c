/* shm/feed/change_text.c - see change_text.h. */
#include "shm/feed/change_text.h"

#include <string.h>

#include "lib/body/json.h"

#define NODES_MAX	16	/* an object with six members has 7 */
#define FIELD_MAX	SHM_KEY_BYTES

static enum rc
read_text(const struct body_json *doc, const char *name, struct buffer *out)
{
	uint32_t node = body_json_member(doc, 0, name);

	buffer_clear(out);
	if (node == 0 || doc->nodes[node].type != BODY_JSON_STRING)
		return (RC_SYNTAX);
	return (body_json_unescape(body_json_raw(doc, node), out));
}

static enum rc
read_id(const struct body_json *doc, struct change_text *c)
{
	uint32_t node = body_json_member(doc, 0, "id");

	if (node == 0 || string_u64(body_json_raw(doc, node), &c->id) != RC_OK)
		return (RC_SYNTAX);
	return (RC_OK);
}

static enum rc
read_op(const struct body_json *doc, struct change_text *c, struct buffer *text)
{
	if (read_text(doc, "op", text) != RC_OK)
		return (RC_SYNTAX);
	c->remove = strcmp(buffer_cstr(text), "delete") == 0;
	return (c->remove || strcmp(buffer_cstr(text), "put") == 0 ? RC_OK :
	    RC_SYNTAX);
}

static enum rc
read_key(const struct body_json *doc, struct change_text *c,
    struct buffer *text)
{
	struct span field, key;
	struct buffer whole;
	enum table t;
	enum rc rc = RC_SYNTAX;

	buffer_init(&whole, 0, false);
	if (read_text(doc, "hash", text) == RC_OK &&
	    table_find(span_of(buffer_cstr(text)), &t) == RC_OK &&
	    read_text(doc, "field", text) == RC_OK) {
		field = (struct span){ buffer_data(text), buffer_len(text) };
		key = table_key(t, field, &whole);
		rc = field.len <= FIELD_MAX && table_map_key(key, c->key) ?
		    RC_OK : RC_SYNTAX;
	}
	buffer_fini(&whole);
	return (rc);
}

static enum rc
read_seen(const struct body_json *doc, struct change_text *c,
    struct buffer *text)
{
	uint32_t node = body_json_member(doc, 0, "expect");

	if (node != 0 && doc->nodes[node].type == BODY_JSON_NULL)
		return (RC_OK);
	c->had = true;
	if (read_text(doc, "expect", text) != RC_OK)
		return (RC_SYNTAX);
	return (hex_decode((struct span){ buffer_data(text), buffer_len(text) },
	    c->seen, sizeof(c->seen)));
}

static enum rc
read_members(const struct body_json *doc, struct change_text *c)
{
	struct buffer text;
	enum rc rc;

	buffer_init(&text, 0, true);
	if ((rc = read_id(doc, c)) == RC_OK &&
	    (rc = read_op(doc, c, &text)) == RC_OK &&
	    (rc = read_key(doc, c, &text)) == RC_OK &&
	    (rc = read_seen(doc, c, &text)) == RC_OK)
		rc = read_text(doc, "apiKey", &c->api_key);
	buffer_fini(&text);
	return (rc);
}

enum rc
change_text_read(struct span json, struct change_text *c)
{
	struct body_json doc = { .nodes = NULL };
	enum rc rc;

	memset(c, 0, sizeof(*c));
	buffer_init(&c->api_key, CHANGE_TEXT_KEY_MAX, true);
	rc = body_json_read(&doc, json.p, json.len, NODES_MAX, NULL);
	if (rc == RC_OK)
		rc = doc.nodes[0].type == BODY_JSON_OBJECT ?
		    read_members(&doc, c) : RC_SYNTAX;
	body_json_fini(&doc);
	return (rc == RC_OK ? RC_OK : RC_SYNTAX);
}

void
change_text_fini(struct change_text *c)
{
	buffer_fini(&c->api_key);
}
