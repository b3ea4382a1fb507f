/*
 * Reads any bytes as a document.  What is accepted must hold together: spans
 * nest, rise, and each is a document of its own type.
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/base/object.h"
#include "lib/body/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_node(const struct body_json *doc, uint32_t i)
{
	const struct body_json_node *n = &doc->nodes[i];
	const struct body_json_node *parent = &doc->nodes[n->parent];
	struct span raw = body_json_raw(doc, i);
	struct body_json alone;

	ensure(n->start < n->end && n->next > i && n->next <= doc->n);
	if (i != 0) {
		ensure(n->parent < i);
		ensure(n->start > parent->start && n->end < parent->end);
	}
	if (n->has_key)
		ensure(n->key_start < n->key_end && n->key_end <= n->start);
	if (n->type < BODY_JSON_ARRAY) {
		ensure(body_json_read(&alone, raw.p, raw.len, 0, NULL) == RC_OK);
		ensure(alone.n == 1 && alone.nodes[0].type == n->type);
		body_json_fini(&alone);
	}
	if (n->type == BODY_JSON_NUMBER)
		ensure(body_json_number_valid(raw));
	if (n->type == BODY_JSON_STRING) {
		struct buffer text;

		buffer_init(&text, 0, true);
		if (body_json_unescape(raw, &text) == RC_OK)
			ensure(utf8_valid(buffer_data(&text),
			    buffer_len(&text)));
		buffer_fini(&text);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct body_json_fault fault;
	struct body_json doc;

	if (body_json_read(&doc, (const char *)data, len, 4096, &fault) ==
	    RC_OK) {
		for (uint32_t i = 0; i < doc.n; i++)
			check_node(&doc, i);
		body_json_fini(&doc);
	} else {
		ensure(doc.nodes == NULL && fault.offset <= len);
	}
	return (0);
}
