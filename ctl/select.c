/* ctl/select.c - `select PATH < doc`: a line per selected node, normalized
 * path, TAB, the value as it stands without the white space between tokens. */
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/compact.h"
#include "lib/body/json_write.h"
#include "lib/body/jsonpath.h"

#define DOCUMENT_BYTES_MAX	(64u << 20)	/* a tool: what fits a desk */
#define NODES_MAX		(16u << 20)

static void
print_node(struct buffer *out, struct body_json_writer *w, struct span path,
    struct span value)
{
	if (w == NULL) {
		buffer_put(out, path.p, path.len);
		buffer_puts(out, "\t");
		json_compact(value, out);
		buffer_puts(out, "\n");
		return;
	}
	body_json_open_object(w, NULL);
	body_json_put_string(w, "path", path);
	body_json_put_raw(w, "value", value);
	body_json_close_object(w);
}

static enum rc
print_nodes(const struct body_json *doc, const struct body_nodelist *list,
    bool json, struct buffer *out)
{
	struct body_json_writer w;
	struct buffer path;
	enum rc rc = RC_OK;

	buffer_init(&path, 0, false);
	body_json_writer_init(&w, out);
	if (json)
		body_json_open_array(&w, NULL);
	for (size_t i = 0; rc == RC_OK && i < list->n; i++) {
		buffer_clear(&path);
		rc = body_jsonpath_normalized(doc, list->nodes[i], &path);
		if (rc == RC_OK)
			print_node(out, json ? &w : NULL, (struct span){
			    buffer_data(&path), buffer_len(&path) },
			    body_json_raw(doc, list->nodes[i]));
	}
	if (json) {
		body_json_close_array(&w);
		buffer_puts(out, "\n");
	}
	buffer_fini(&path);
	return (rc);
}

static enum ctl_exit
compile(const char *text, struct body_jsonpath **path)
{
	struct body_jsonpath_fault fault = { .reason = "not valid" };
	const struct body_jsonpath_fault *doubt;
	enum rc rc = body_jsonpath_compile(span_of(text), path, &fault);

	if (rc != RC_OK) {
		ctl_error("path: at byte %zu: %s%s", fault.offset, fault.reason,
		    rc != RC_SYNTAX ? "" : fault.well_formed ?
		    " (not valid)" : " (not well-formed)");
		return (CTL_USAGE);
	}
	if ((doubt = body_jsonpath_doubt(*path)) != NULL)
		ctl_error("path: at byte %zu: %s", doubt->offset,
		    doubt->reason);
	return (CTL_DONE);
}

/* What the path selects, as text. */
static enum ctl_exit
print_selected(const struct body_jsonpath *path, const struct body_json *doc,
    bool json, struct buffer *out)
{
	struct body_nodelist list = { NULL, 0, 0 };
	enum rc rc = body_jsonpath_select(path, doc, NODES_MAX, &list);

	if (rc == RC_OK)
		rc = print_nodes(doc, &list, json, out);
	body_nodelist_fini(&list);
	if (rc == RC_OK)
		return (CTL_DONE);
	if (rc == RC_SYNTAX) {
		ctl_error("document: a name or a compared text holds half of "
		    "a surrogate pair");
		return (CTL_USAGE);
	}
	ctl_error("document: %s", rc == RC_LIMIT ?
	    "too much is selected, or a filter needs too much work" :
	    "out of memory");
	return (CTL_FAILED);
}

enum ctl_exit
ctl_select(struct ctl *ctl)
{
	struct body_jsonpath *path = NULL;
	struct body_json_fault fault = { .reason = "not valid" };
	struct body_json doc = { .nodes = NULL };
	struct buffer text, out;
	enum ctl_exit status;

	buffer_init(&out, 0, true);
	buffer_init(&text, 0, true);
	if ((status = compile(ctl->args.operands[0], &path)) != CTL_DONE)
		goto done;
	status = ctl_read_input("-", DOCUMENT_BYTES_MAX, true, &text);
	if (status != CTL_DONE)
		goto done;
	if (body_json_read(&doc, buffer_data(&text), buffer_len(&text), 0,
	    &fault) != RC_OK) {
		ctl_error("document: at byte %zu: %s", fault.offset,
		    fault.reason);
		status = CTL_USAGE;
		goto done;
	}
	status = print_selected(path, &doc, ctl->json, &out);
	if (status == CTL_DONE)
		status = ctl_print((struct span){ buffer_data(&out),
		    buffer_len(&out) });
done:
	body_json_fini(&doc);
	body_jsonpath_free(&path);
	buffer_fini(&text);
	buffer_fini(&out);
	return (status);
}
