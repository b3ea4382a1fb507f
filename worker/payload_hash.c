/* worker/payload_hash.c - one walk over the index; an object's members are
 * sorted by their decoded names. */
#include "worker/payload_hash.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/object.h"

struct member {
	size_t		name;		/* offset in the names */
	size_t		len;
	const char	*names;		/* view: set before sorting */
	uint32_t	node;		/* in the document's order */
};

/* No pointer is made to the name of no bytes: there may be no names at all. */
static struct span
name_of(const struct member *m)
{
	return ((struct span){ m->len == 0 ? "" : m->names + m->name, m->len });
}

static int
member_cmp(const void *pa, const void *pb)
{
	const struct member *a = pa, *b = pb;
	struct span x = name_of(a), y = name_of(b);
	int c = memcmp(x.p, y.p, x.len < y.len ? x.len : y.len);

	if (c != 0)
		return (c);
	if (a->len != b->len)
		return (a->len < b->len ? -1 : 1);
	return (a->node < b->node ? -1 : 1);
}

static enum rc
put_string(struct span raw, struct buffer *out)
{
	struct buffer text;
	enum rc rc;

	buffer_init(&text, 0, true);
	rc = body_json_unescape(raw, &text);
	if (rc == RC_OK)
		rc = body_json_escape((struct span){ buffer_data(&text),
		    buffer_len(&text) }, out);
	buffer_fini(&text);
	return (rc);
}

/* The members of an object and their names, sorted. */
static enum rc
read_members(const struct body_json *doc, uint32_t object,
    struct buffer *names, struct member **out, size_t *n)
{
	struct member *v;
	size_t count = 0;
	enum rc rc;

	*out = NULL;
	*n = 0;
	for (uint32_t i = body_json_child(doc, object); i != 0;
	    i = body_json_sibling(doc, i))
		count++;
	if (count == 0)
		return (RC_OK);
	if ((v = calloc(count, sizeof(*v))) == NULL)
		return (RC_NOMEM);
	for (uint32_t i = body_json_child(doc, object); i != 0;
	    i = body_json_sibling(doc, i)) {
		struct member *m = &v[(*n)++];

		m->node = i;
		m->name = buffer_len(names);
		rc = body_json_unescape(body_json_raw_key(doc, i), names);
		if (rc != RC_OK) {
			free(v);
			return (rc);
		}
		m->len = buffer_len(names) - m->name;
	}
	for (size_t i = 0; i < *n; i++)
		v[i].names = buffer_data(names);
	qsort(v, *n, sizeof(*v), member_cmp);
	*out = v;
	return (RC_OK);
}

static enum rc
put_object(const struct body_json *doc, uint32_t object, struct buffer *out)
{
	struct member *v = NULL;
	struct buffer names;
	size_t n;
	enum rc rc;

	buffer_init(&names, 0, true);
	if ((rc = read_members(doc, object, &names, &v, &n)) == RC_OK)
		rc = buffer_append(out, "{", 1);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		if (i != 0)
			rc = buffer_append(out, ",", 1);
		if (rc == RC_OK)
			rc = body_json_escape(name_of(&v[i]), out);
		if (rc == RC_OK)
			rc = buffer_append(out, ":", 1);
		if (rc == RC_OK)
			rc = payload_canonical(doc, v[i].node, out);
	}
	free(v);
	buffer_fini(&names);
	return (rc != RC_OK ? rc : buffer_append(out, "}", 1));
}

static enum rc
put_array(const struct body_json *doc, uint32_t array, struct buffer *out)
{
	uint32_t first = body_json_child(doc, array);
	enum rc rc = buffer_append(out, "[", 1);

	for (uint32_t i = first; rc == RC_OK && i != 0;
	    i = body_json_sibling(doc, i)) {
		if (i != first)
			rc = buffer_append(out, ",", 1);
		if (rc == RC_OK)
			rc = payload_canonical(doc, i, out);
	}
	return (rc != RC_OK ? rc : buffer_append(out, "]", 1));
}

/* As deep as the document, which body_json_read has limited. */
enum rc
payload_canonical(const struct body_json *doc, uint32_t node,
    struct buffer *out)
{
	struct span raw = body_json_raw(doc, node);

	switch ((enum body_json_type)doc->nodes[node].type) {
	case BODY_JSON_OBJECT:
		return (put_object(doc, node, out));
	case BODY_JSON_ARRAY:
		return (put_array(doc, node, out));
	case BODY_JSON_STRING:
		return (put_string(raw, out));
	case BODY_JSON_NULL:
	case BODY_JSON_FALSE:
	case BODY_JSON_TRUE:
	case BODY_JSON_NUMBER:
		return (buffer_append(out, raw.p, raw.len));
	}
	return (RC_SYNTAX);
}

enum rc
payload_hash(const struct body_json *doc, uint32_t node,
    uint8_t out[RPC_PAYLOAD_HASH_BYTES])
{
	struct buffer text;
	unsigned n = 0;
	enum rc rc;

	buffer_init(&text, 0, true);
	rc = payload_canonical(doc, node, &text);
	if (rc == RC_OK) {
		ERR_clear_error();
		ensure(EVP_Digest(buffer_data(&text), buffer_len(&text), out, &n,
		    EVP_sha256(), NULL) == 1);
		ensure(n == RPC_PAYLOAD_HASH_BYTES);
	}
	buffer_fini(&text);
	return (rc);
}
