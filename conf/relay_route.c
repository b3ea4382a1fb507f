/*
 * conf/relay_route.c - the schema of a route: its actions and selections.
 *
 * What was read belongs to the route at once, also when a later part of it is
 * refused: relay_route_fini frees whatever is there.
 */
#include "conf/relay_route.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

#define ROLE_BYTES_MAX	20	/* the slug's length in a token */

/* ---- selections ------------------------------------------------------------ */

static enum rc
read_selection_type(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice types[] = {
		{ "json", RELAY_SELECT_JSON },
		{ "form", RELAY_SELECT_FORM },
		{ "header", RELAY_SELECT_HEADER },
		{ "xml", RELAY_CHOICE_LATER },
		{ "multipart", RELAY_CHOICE_LATER },
		{ "text", RELAY_CHOICE_LATER },
	};
	struct relay_selection *s = obj;
	int kind;
	enum rc rc;

	rc = relay_read_choice(r, node, types, RELAY_COUNT(types), &kind);
	if (rc == RC_OK)
		s->kind = (enum relay_selection_kind)kind;
	return (rc);
}

static enum rc
compile_path(struct relay_reader *r, struct relay_selection *s)
{
	const struct body_jsonpath_fault *doubt;
	struct body_jsonpath_fault fault;
	enum rc rc;

	rc = body_jsonpath_compile(span_of(s->selector), &s->path, &fault);
	if (rc != RC_OK)
		return (relay_fail(r, rc, "not a JSONPath: %s (at byte %zu)",
		    fault.reason, fault.offset));
	/* The standard makes such a filter false for every value, which would
	 * leave them unsealed. */
	if ((doubt = body_jsonpath_doubt(s->path)) != NULL)
		return (relay_fail(r, RC_SYNTAX, "would never select: %s "
		    "(at byte %zu)", doubt->reason, doubt->offset));
	return (RC_OK);
}

/*
 * Fields that frame, route or describe the message, or that the proxy writes
 * itself: their values are not data of the app.
 */
static const char *const reserved_fields[] = {
	"connection", "content-encoding", "content-length", "content-type",
	"expect", "forwarded", "host", "keep-alive", "proxy-authenticate",
	"proxy-authorization", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade", "via", "accept-encoding", "range",
	"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "api-key",
	"x-evervault-api-key", "x-evervault-ctx", "x-evervault-error-code",
};

static enum rc
check_header_name(struct relay_reader *r, const char *name)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789"
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (*name == '\0' || name[strspn(name, token)] != '\0')
		return (relay_fail(r, RC_SYNTAX, "must be a header field name"));
	for (size_t i = 0; i < RELAY_COUNT(reserved_fields); i++)
		if (relay_field_is(span_of(name), reserved_fields[i]))
			return (relay_fail(r, RC_SYNTAX, "this header field "
			    "belongs to the message or to the proxy"));
	return (RC_OK);
}

/* The type may stand behind the selector: what the text means is judged when
 * both are known. */
static enum rc
read_selector(struct relay_reader *r, uint32_t node, void *obj)
{
	uint32_t type = body_json_member(r->doc, r->doc->nodes[node].parent, "type");
	struct relay_selection *s = obj;
	struct relay_selection known = { .kind = RELAY_SELECT_JSON };
	struct relay_reader quiet = *r;
	struct relay_fault ignored;
	enum rc rc;

	if ((rc = relay_read_text(r, node, &s->selector)) != RC_OK)
		return (rc);
	quiet.fault = &ignored;
	ignored = *r->fault;
	if (type != 0 && read_selection_type(&quiet, type, &known) != RC_OK)
		return (RC_OK);		/* the type's own reader refuses it */
	switch (known.kind) {
	case RELAY_SELECT_JSON:
		return (compile_path(r, s));
	case RELAY_SELECT_FORM:
		return (*s->selector == '\0' ? relay_fail(r, RC_SYNTAX,
		    "must be the name of a form field") : RC_OK);
	case RELAY_SELECT_HEADER:
		return (check_header_name(r, s->selector));
	case RELAY_SELECTION_KINDS:
		break;
	}
	return (RC_SYNTAX);
}

/* A role's slug (spec/inbound.md 5). */
static enum rc
read_role(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_selection *s = obj;
	size_t len;
	enum rc rc;

	if (r->doc->nodes[node].type == BODY_JSON_NULL)
		return (RC_OK);
	if ((rc = relay_read_text(r, node, &s->role)) != RC_OK)
		return (rc);
	len = strlen(s->role);
	if (len < 1 || len > ROLE_BYTES_MAX ||
	    strspn(s->role, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return (relay_fail(r, RC_SYNTAX, "must be 1 to %d of a-z, 0-9 and -",
		    ROLE_BYTES_MAX));
	return (RC_OK);
}

static enum rc
read_selection(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "type", read_selection_type, false },
		{ "selector", read_selector, true },
		{ "role", read_role, false },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}

/* ---- actions --------------------------------------------------------------- */

/* The selections of one kind, beside each other. */
static void
gather(struct relay_action *a, enum relay_selection_kind kind)
{
	struct relay_selections *of = &a->of[kind];

	of->v = xcalloc(a->n_selections + 1, sizeof(*of->v));
	of->paths = xcalloc(a->n_selections + 1, sizeof(*of->paths));
	of->names = xcalloc(a->n_selections + 1, sizeof(*of->names));
	for (size_t i = 0; i < a->n_selections; i++) {
		const struct relay_selection *s = &a->selections[i];

		if (s->kind != kind)
			continue;
		of->v[of->n] = s;
		of->paths[of->n] = s->path;
		of->names[of->n] = span_of(s->selector);
		of->n++;
	}
}

static enum rc
read_selections(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_action *action = obj;
	size_t n;
	enum rc rc;

	if ((rc = relay_count_array(r, node, RELAY_SELECTIONS_MAX, &n)) !=
	    RC_OK)
		return (rc);
	action->selections = xcalloc(n + 1, sizeof(*action->selections));
	action->n_selections = n;
	rc = relay_read_array(r, node, read_selection, action->selections,
	    sizeof(*action->selections));
	if (rc != RC_OK)
		return (rc);
	for (int kind = 0; kind < RELAY_SELECTION_KINDS; kind++)
		gather(action, (enum relay_selection_kind)kind);
	return (RC_OK);
}

static enum rc
read_action_name(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice names[] = {
		{ "encrypt", RELAY_ENCRYPT },
		{ "decrypt", RELAY_DECRYPT },
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
read_action(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "action", read_action_name, true },
		{ "selections", read_selections, true },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}

bool
relay_actions_select(const struct relay_action *actions, size_t n,
    enum relay_selection_kind kind)
{
	for (size_t i = 0; i < n; i++)
		if (actions[i].of[kind].n != 0)
			return (true);
	return (false);
}

static char
folded(char c)
{
	if (c >= 'A' && c <= 'Z')
		return ((char)(c | 0x20));
	return (c == '_' ? '-' : c);
}

bool
relay_field_is(struct span name, const char *selector)
{
	size_t i;

	for (i = 0; i < name.len && selector[i] != '\0'; i++)
		if (folded(name.p[i]) != folded(selector[i]))
			return (false);
	return (i == name.len && selector[i] == '\0');
}

bool
relay_actions_name_field(const struct relay_action *actions, size_t n,
    struct span name)
{
	for (size_t i = 0; i < n; i++) {
		const struct relay_selections *of = &actions[i].of[RELAY_SELECT_HEADER];

		for (size_t k = 0; k < of->n; k++)
			if (relay_field_is(name, of->v[k]->selector))
				return (true);
	}
	return (false);
}

bool
relay_actions_encrypt(const struct relay_action *actions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (actions[i].kind == RELAY_ENCRYPT)
			return (true);
	return (false);
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

enum rc
relay_route_read_path(struct relay_reader *r, uint32_t node, void *obj)
{
	char **path = obj;
	struct buffer normal;
	const char *reason;
	char *text;
	enum rc rc;

	if ((rc = relay_read_text(r, node, &text)) != RC_OK)
		return (rc);
	buffer_init(&normal, 0, false);
	rc = relay_path_normalize(span_of(text), &normal, &reason);
	if (rc == RC_OK)
		*path = xstrdup(buffer_cstr(&normal));
	else if (reason != NULL)
		rc = relay_fail(r, rc, "%s", reason);
	buffer_fini(&normal);
	free(text);
	return (rc);
}

static enum rc
read_path(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_route *route = obj;

	return (relay_route_read_path(r, node, &route->path));
}

static enum rc
read_actions(struct relay_reader *r, uint32_t node,
    struct relay_action **actions, size_t *n)
{
	size_t count;
	enum rc rc;

	rc = relay_count_array(r, node, RELAY_ACTIONS_MAX, &count);
	if (rc != RC_OK)
		return (rc);
	*actions = xcalloc(count + 1, sizeof(**actions));
	*n = count;
	return (relay_read_array(r, node, read_action, *actions, sizeof(**actions)));
}

static enum rc
read_request(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_route *route = obj;

	return (read_actions(r, node, &route->request, &route->n_request));
}

static enum rc
read_response(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay_route *route = obj;

	return (read_actions(r, node, &route->response, &route->n_response));
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

/* The public model of a route has the field; it may be there, and empty. */
static enum rc
read_no_request(struct relay_reader *r, uint32_t node, void *obj)
{
	size_t n;

	(void)obj;
	if (relay_count_array(r, node, 0, &n) == RC_OK)
		return (RC_OK);
	return (relay_fail(r, RC_SYNTAX, "must be empty or absent: only "
	    "response actions are possible here"));
}

enum rc
relay_route_read_response(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "method", read_method, false },
		{ "path", read_path, true },
		{ "request", read_no_request, false },
		{ "response", read_response, true },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}

/* ---- life ------------------------------------------------------------------ */

static void
action_fini(struct relay_action *a)
{
	for (size_t i = 0; i < a->n_selections; i++) {
		body_jsonpath_free(&a->selections[i].path);
		free(a->selections[i].selector);
		free(a->selections[i].role);
	}
	free(a->selections);
	for (int kind = 0; kind < RELAY_SELECTION_KINDS; kind++) {
		free(a->of[kind].v);
		free(a->of[kind].paths);
		free(a->of[kind].names);
	}
}

static void
free_actions(struct relay_action *actions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		action_fini(&actions[i]);
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
