/*
 * conf/relay_route.c - the schema of a route: its actions and selections.
 *
 * What was read belongs to the route at once, also when a later part of it is
 * refused: relay_route_fini frees whatever is there.
 */
#include "conf/relay_route.h"

#include <stdlib.h>

#include "lib/base/object.h"

/* ---- selections ------------------------------------------------------------ */

static bool
is_json_selection(const struct relay_reader *r, uint32_t selection)
{
	uint32_t type = body_json_member(r->doc, selection, "type");

	return (type == 0 || (r->doc->nodes[type].type == BODY_JSON_STRING &&
	    body_json_text_is(body_json_raw(r->doc, type), SPAN_LIT("json"))));
}

struct selection {
	struct body_jsonpath	*path;		/* owned */
	char			*selector;	/* owned */
};

/*
 * Only a json selector is a JSONPath.  Of any other type we look at the type
 * alone, whose reader refuses it: the text would mean something else.
 */
static enum rc
read_selector(struct relay_reader *r, uint32_t node, void *obj)
{
	struct selection *s = obj;
	struct body_jsonpath_fault fault;
	enum rc rc;

	if ((rc = relay_read_text(r, node, &s->selector)) != RC_OK)
		return (rc);
	if (!is_json_selection(r, r->doc->nodes[node].parent))
		return (RC_OK);
	rc = body_jsonpath_compile(span_of(s->selector), &s->path, &fault);
	if (rc == RC_UNSUPPORTED)
		return (relay_not_available(r));
	if (rc != RC_OK)
		return (relay_fail(r, rc, "not a JSONPath: %s (at byte %zu)",
		    fault.reason, fault.offset));
	return (RC_OK);
}

static enum rc
read_selection_type(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice types[] = {
		{ "json", 0 },
		{ "form", RELAY_CHOICE_LATER },
		{ "header", RELAY_CHOICE_LATER },
		{ "xml", RELAY_CHOICE_LATER },
		{ "multipart", RELAY_CHOICE_LATER },
		{ "text", RELAY_CHOICE_LATER },
	};
	int ignored;

	(void)obj;
	return (relay_read_choice(r, node, types, RELAY_COUNT(types), &ignored));
}

static enum rc
read_selection(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "type", read_selection_type, false },
		{ "selector", read_selector, true },
		{ "role", NULL, false },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}

/* ---- actions --------------------------------------------------------------- */

static enum rc
read_selections(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_action *action = obj;
	struct selection *read;
	size_t n;
	enum rc rc;

	if ((rc = relay_count_array(r, node, RELAY_SELECTIONS_MAX, &n)) !=
	    RC_OK)
		return (rc);
	read = xcalloc(n + 1, sizeof(*read));
	rc = relay_read_array(r, node, read_selection, read, sizeof(*read));
	/* Good or not, what was read belongs to the action from here. */
	action->paths = xcalloc(n + 1, sizeof(*action->paths));
	action->selectors = xcalloc(n + 1, sizeof(*action->selectors));
	action->n_selections = n;
	for (size_t i = 0; i < n; i++) {
		action->paths[i] = read[i].path;
		action->selectors[i] = read[i].selector;
	}
	free(read);
	return (rc);
}

static enum rc
read_request_action_name(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice names[] = {
		{ "encrypt", RELAY_ENCRYPT },
		{ "decrypt", RELAY_CHOICE_LATER },
		{ "redact", RELAY_CHOICE_LATER },
		{ "mask", RELAY_CHOICE_LATER },
	};
	struct relay_action *action = obj;
	int kind;
	enum rc rc;

	rc = relay_read_choice(r, node, names, RELAY_COUNT(names), &kind);
	if (rc == RC_OK)
		action->kind = (enum relay_action_kind)kind;
	return (rc);
}

static enum rc
read_response_action_name(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice names[] = {
		{ "decrypt", RELAY_DECRYPT },
		{ "encrypt", RELAY_CHOICE_LATER },
		{ "redact", RELAY_CHOICE_LATER },
		{ "mask", RELAY_CHOICE_LATER },
	};
	struct relay_action *action = obj;
	int kind;
	enum rc rc;

	rc = relay_read_choice(r, node, names, RELAY_COUNT(names), &kind);
	if (rc == RC_OK)
		action->kind = (enum relay_action_kind)kind;
	return (rc);
}

static enum rc
read_request_action(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "action", read_request_action_name, true },
		{ "selections", read_selections, true },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}

static enum rc
read_response_action(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "action", read_response_action_name, true },
		{ "selections", read_selections, true },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}

/* ---- routes ---------------------------------------------------------------- */

static enum rc
read_method(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice methods[] = {
		{ "GET", 0 }, { "HEAD", 1 }, { "POST", 2 }, { "PUT", 3 },
		{ "DELETE", 4 }, { "PATCH", 5 },
	};
	struct relay_route *route = obj;
	int which;
	enum rc rc;

	if (r->doc->nodes[node].type == BODY_JSON_NULL)
		return (RC_OK);
	rc = relay_read_choice(r, node, methods, RELAY_COUNT(methods), &which);
	if (rc == RC_OK)
		route->method = xstrdup(methods[which].text);
	return (rc);
}

static enum rc
read_path(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_route *route = obj;
	struct buffer normal;
	const char *reason;
	char *text;
	enum rc rc;

	if ((rc = relay_read_text(r, node, &text)) != RC_OK)
		return (rc);
	buffer_init(&normal, 0, false);
	rc = relay_path_normalize(span_of(text), &normal, &reason);
	if (rc == RC_OK)
		route->path = xstrdup(buffer_cstr(&normal));
	else if (reason != NULL)
		rc = relay_fail(r, rc, "%s", reason);
	buffer_fini(&normal);
	free(text);
	return (rc);
}

static enum rc
read_actions(struct relay_reader *r, uint32_t node, relay_read_cb *read,
    struct relay_action **actions, size_t *n)
{
	size_t count;
	enum rc rc;

	rc = relay_count_array(r, node, RELAY_ACTIONS_MAX, &count);
	if (rc != RC_OK)
		return (rc);
	*actions = xcalloc(count + 1, sizeof(**actions));
	*n = count;
	return (relay_read_array(r, node, read, *actions, sizeof(**actions)));
}

static enum rc
read_request(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_route *route = obj;

	return (read_actions(r, node, read_request_action, &route->request,
	    &route->n_request));
}

static enum rc
read_response(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_route *route = obj;

	return (read_actions(r, node, read_response_action, &route->response,
	    &route->n_response));
}

enum rc
relay_route_read(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "method", read_method, false },
		{ "path", read_path, true },
		{ "request", read_request, false },
		{ "response", read_response, false },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}

/* ---- life ------------------------------------------------------------------ */

static void
free_actions(struct relay_action *actions, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct relay_action *a = &actions[i];

		for (size_t k = 0; k < a->n_selections; k++) {
			body_jsonpath_free(&a->paths[k]);
			free(a->selectors[k]);
		}
		free(a->paths);
		free(a->selectors);
	}
	free(actions);
}

void
relay_route_fini(struct relay_route *route)
{
	free(route->method);
	free(route->path);
	free_actions(route->request, route->n_request);
	free_actions(route->response, route->n_response);
}
