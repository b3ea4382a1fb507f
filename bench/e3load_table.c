/*
 * bench/e3load_table.c - members in the order of the document; the first fault
 * ends the reading and is told with its line and path.
 */
#include "bench/e3load_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/object.h"
#include "lib/body/json.h"

#define NODES_MAX	4096
#define PATH_BYTES	96
#define NUMBER_BYTES	32
#define TEXT_BYTES_MAX	4096

struct reader {
	const struct body_json	*doc;		/* borrowed */
	struct load_fault	*fault;		/* borrowed */
	char			path[PATH_BYTES];
};

/* ---- faults ---- */

static unsigned
line_of(const struct body_json *doc, size_t offset)
{
	unsigned line = 1;

	for (size_t i = 0; i < offset && i < doc->len; i++)
		line += doc->doc[i] == '\n';
	return (line);
}

static enum rc __attribute__((__format__(__printf__, 3, 4)))
refuse(struct reader *r, uint32_t node, const char *fmt, ...)
{
	struct load_fault *f = r->fault;
	const struct body_json_node *n = &r->doc->nodes[node];
	va_list ap;
	int len;

	f->line = line_of(r->doc, n->has_key ? n->key_start : n->start);
	len = snprintf(f->text, sizeof(f->text), "%s%s", r->path,
	    r->path[0] != '\0' ? ": " : "");
	ensure(len >= 0 && (size_t)len < sizeof(f->text));
	va_start(ap, fmt);
	(void)vsnprintf(f->text + len, sizeof(f->text) - (size_t)len, fmt, ap);
	va_end(ap);
	return (RC_SYNTAX);
}

static size_t __attribute__((__format__(__printf__, 2, 3)))
push(struct reader *r, const char *fmt, ...)
{
	size_t old = strlen(r->path);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->path + old, sizeof(r->path) - old, fmt, ap);
	va_end(ap);
	return (old);
}

/* ---- values ---- */

static enum rc
read_text(struct reader *r, uint32_t node, const struct load_member *m, char *out)
{
	struct buffer text;
	bool fits;

	if (r->doc->nodes[node].type != BODY_JSON_STRING)
		return (refuse(r, node, "must be a string"));
	buffer_init(&text, TEXT_BYTES_MAX, false);
	fits = body_json_unescape(body_json_raw(r->doc, node), &text) ==
	    RC_OK && buffer_len(&text) != 0 &&
	    span_copy((struct span){ buffer_data(&text), buffer_len(&text) },
	    out, (size_t)m->max + 1);
	buffer_fini(&text);
	if (!fits)
		return (refuse(r, node, "must be 1 to %.0f bytes of text",
		    m->max));
	return (RC_OK);
}

static enum rc
read_uint(struct reader *r, uint32_t node, const struct load_member *m,
    uint64_t *out)
{
	if (r->doc->nodes[node].type != BODY_JSON_NUMBER ||
	    string_u64(body_json_raw(r->doc, node), out) != RC_OK ||
	    *out < (uint64_t)m->min || *out > (uint64_t)m->max)
		return (refuse(r, node, "must be an integer from %.0f to %.0f",
		    m->min, m->max));
	return (RC_OK);
}

static enum rc
read_number(struct reader *r, uint32_t node, const struct load_member *m,
    double *out)
{
	char text[NUMBER_BYTES];

	if (r->doc->nodes[node].type != BODY_JSON_NUMBER ||
	    !span_copy(body_json_raw(r->doc, node), text, sizeof(text)) ||
	    (*out = strtod(text, NULL)) < m->min || *out > m->max)
		return (refuse(r, node, "must be a number from %g to %g",
		    m->min, m->max));
	return (RC_OK);
}

static enum rc
read_bool(struct reader *r, uint32_t node, bool *out)
{
	uint8_t type = r->doc->nodes[node].type;

	if (type != BODY_JSON_TRUE && type != BODY_JSON_FALSE)
		return (refuse(r, node, "must be true or false"));
	*out = type == BODY_JSON_TRUE;
	return (RC_OK);
}

static enum rc
read_choice(struct reader *r, uint32_t node, const struct load_member *m, int *out)
{
	char all[64] = "";

	for (int i = 0; m->choices[i] != NULL; i++) {
		if (r->doc->nodes[node].type == BODY_JSON_STRING &&
		    body_json_text_is(body_json_raw(r->doc, node),
		    span_of(m->choices[i]))) {
			*out = i;
			return (RC_OK);
		}
		(void)snprintf(all + strlen(all), sizeof(all) - strlen(all),
		    "%s\"%s\"", i == 0 ? "" : " or ", m->choices[i]);
	}
	return (refuse(r, node, "must be %s", all));
}

static enum rc read_object(struct reader *, uint32_t,
    const struct load_table *, char *);

static enum rc
read_list(struct reader *r, uint32_t node, const struct load_member *m, char *obj)
{
	size_t n = 0;
	enum rc rc;

	if (r->doc->nodes[node].type != BODY_JSON_ARRAY ||
	    body_json_child(r->doc, node) == 0)
		return (refuse(r, node, "must be an array that is not empty"));
	for (uint32_t e = body_json_child(r->doc, node); e != 0;
	    e = body_json_sibling(r->doc, e)) {
		char *element = obj + m->at + n * m->of->size;
		size_t old = push(r, "[%zu]", n);

		if (n == (size_t)m->max)
			return (refuse(r, e, "more than %.0f", m->max));
		rc = m->of->n == 0 ? read_text(r, e, m->of->members, element) :
		    read_object(r, e, m->of, element);
		if (rc != RC_OK)
			return (rc);
		r->path[old] = '\0';
		n++;
	}
	memcpy(obj + m->n_at, &n, sizeof(n));
	return (RC_OK);
}

static enum rc
read_member(struct reader *r, uint32_t node, const struct load_member *m,
    char *obj)
{
	void *at = obj + m->at;

	switch (m->kind) {
	case LOAD_IS_TEXT:
		return (read_text(r, node, m, at));
	case LOAD_IS_UINT:
		return (read_uint(r, node, m, at));
	case LOAD_IS_NUMBER:
		return (read_number(r, node, m, at));
	case LOAD_IS_BOOL:
		return (read_bool(r, node, at));
	case LOAD_IS_CHOICE:
		return (read_choice(r, node, m, at));
	case LOAD_IS_LIST:
		return (read_list(r, node, m, obj));
	}
	return (RC_SYNTAX);
}

/* Every member is one of the table's, and comes once. */
static enum rc
read_object(struct reader *r, uint32_t node, const struct load_table *t,
    char *obj)
{
	uint64_t seen = 0;
	enum rc rc;
	size_t i;

	if (r->doc->nodes[node].type != BODY_JSON_OBJECT)
		return (refuse(r, node, "must be an object"));
	if (t->line_at != LOAD_NO_LINE) {
		unsigned line = line_of(r->doc, r->doc->nodes[node].start);

		memcpy(obj + t->line_at, &line, sizeof(line));
	}
	for (uint32_t m = body_json_child(r->doc, node); m != 0;
	    m = body_json_sibling(r->doc, m)) {
		size_t old;

		for (i = 0; i < t->n; i++)
			if (body_json_key_is(r->doc, m,
			    span_of(t->members[i].name)))
				break;
		if (i == t->n)
			return (refuse(r, m, "unknown member"));
		old = push(r, "%s%s", r->path[0] != '\0' ? "." : "",
		    t->members[i].name);
		if ((seen & (uint64_t)1 << i) != 0)
			return (refuse(r, m, "is there twice"));
		seen |= (uint64_t)1 << i;
		rc = read_member(r, m, &t->members[i], obj);
		if (rc != RC_OK)
			return (rc);
		r->path[old] = '\0';
	}
	for (i = 0; i < t->n; i++)
		if (t->members[i].required && (seen & (uint64_t)1 << i) == 0)
			return (refuse(r, node, "\"%s\" is missing",
			    t->members[i].name));
	return (RC_OK);
}

enum rc
load_table_read(const struct load_table *table, struct span text, void *obj,
    struct load_fault *fault)
{
	const struct body_json whole = { .doc = text.p, .len = text.len };
	struct body_json doc;
	struct reader r = { .doc = &doc, .fault = fault };
	struct body_json_fault bad;
	enum rc rc;

	rc = body_json_read(&doc, text.p, text.len, NODES_MAX, &bad);
	if (rc != RC_OK) {
		fault->line = line_of(&whole, bad.offset);
		(void)snprintf(fault->text, sizeof(fault->text), "not JSON: %s",
		    bad.reason);
		return (rc);
	}
	rc = read_object(&r, 0, table, obj);
	body_json_fini(&doc);
	return (rc);
}
