/*
 * First line: a path; the rest: a document.  The list of the standard and the
 * set of the data path must hold the same nodes.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/jsonpath_private.h"
#include "lib/body/slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define NODES_MAX	2000

static void
compare(const struct body_jsonpath *path, const struct body_json *doc)
{
	struct body_nodelist list = { 0 };
	struct jsonpath_set marked;
	struct buffer text;
	uint32_t n = 0;
	enum rc rc;

	ensure(jsonpath_set_init(&marked, doc->n) == RC_OK);
	rc = jsonpath_mark(path, doc, &marked);
	ensure(rc == RC_OK || rc == RC_LIMIT || rc == RC_SYNTAX);
	if (rc == RC_OK &&
	    body_jsonpath_select(path, doc, NODES_MAX, &list) == RC_OK) {
		struct jsonpath_set listed;

		ensure(jsonpath_set_init(&listed, doc->n) == RC_OK);
		buffer_init(&text, 0, false);
		for (size_t i = 0; i < list.n; i++) {
			ensure(jsonpath_set_has(&marked, list.nodes[i]));
			jsonpath_set_add(&listed, list.nodes[i]);
			(void)!body_jsonpath_normalized(doc, list.nodes[i],
			    &text);
		}
		for (n = jsonpath_set_next(&marked, 0); n < doc->n;
		    n = jsonpath_set_next(&marked, n + 1))
			ensure(jsonpath_set_has(&listed, n));
		buffer_fini(&text);
		jsonpath_set_fini(&listed);
	}
	body_nodelist_fini(&list);
	jsonpath_set_fini(&marked);
}

static void
select_slots(const struct body_jsonpath *path, const struct body_json *doc)
{
	struct body_slots slots;

	if (body_slots_select(doc, &path, 1, NODES_MAX, &slots) != RC_OK)
		return;
	for (size_t i = 1; i < slots.n; i++)
		ensure(slots.v[i - 1].end < slots.v[i].start);
	body_slots_fini(&slots);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	const char *line = len == 0 ? NULL : memchr(text, '\n', len);
	struct span selector = { text, line == NULL ? len :
	    (size_t)(line - text) };
	struct body_jsonpath_fault fault;
	struct body_jsonpath *path;
	struct body_json doc;

	if (body_jsonpath_compile(selector, &path, &fault) != RC_OK) {
		ensure(path == NULL && fault.offset <= selector.len);
		return (0);
	}
	if (line != NULL && body_json_read(&doc, line + 1,
	    len - selector.len - 1, 512, NULL) == RC_OK) {
		compare(path, &doc);
		select_slots(path, &doc);
		body_json_fini(&doc);
	}
	body_jsonpath_free(&path);
	return (0);
}
