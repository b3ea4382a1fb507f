/*
 * worker/explain.c - gather what judge.c and transform_slots.c say into a list
 * of facts, then print it for people or as JSON.
 */
#include "worker/explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "worker/body_reader.h"
#include "worker/content_coding.h"
#include "worker/judge.h"
#include "worker/transform_slots.h"

#define EXIT_INPUT	2
#define REQUEST_BYTES_MAX	((size_t)80 << 20)	/* a body at its limit, and head */
#define VALUES_SHOWN	12	/* of each action: all on one screen */

struct explanation {
	const struct explain	*what;
	struct buffer		relay_text;	/* owned */
	struct buffer		request;	/* owned */
	struct relay		*relay;		/* owned */
	struct http_head	head;
	struct judgement	j;
	struct buffer		body;		/* owned: decoded */
	enum http_coding	undone;		/* it came in; identity: none */
	bool			refused;
	enum error_code		code;
	const char		*detail;
	size_t			n_values;	/* with work, all actions */
	struct body_json_writer	*json;		/* borrowed; NULL: for people */
};

/* ---- input ---- */

static int
unusable(const char *path, const char *why)
{
	fprintf(stderr, "%s: %s\n", path, why);
	return (EXIT_INPUT);
}

static int
read_relay(struct explanation *e)
{
	struct relay_fault fault;

	if (file_read(e->what->relay_path, &e->relay_text) != RC_OK)
		return (unusable(e->what->relay_name, "cannot be read"));
	if (relay_json_parse((struct span){ buffer_data(&e->relay_text),
	    buffer_len(&e->relay_text) }, &e->relay, &fault) == RC_OK)
		return (0);
	fprintf(stderr, "%s: %s%s%s\n", e->what->relay_name, fault.path,
	    fault.path[0] != '\0' ? ": " : "", fault.reason);
	return (EXIT_INPUT);
}

/* Any host has the relay of a file; one by name has its own alone. */
static enum rc
find(void *arg, const char *host, struct relay **out)
{
	struct explanation *e = arg;

	if (e->what->host != NULL && strcmp(e->what->host, host) != 0)
		return (RC_NOTFOUND);
	*out = relay_ref(e->relay);
	return (RC_OK);
}

/* ---- judging ---- */

static void
refuse(struct explanation *e, enum error_code code, const char *detail)
{
	e->refused = true;
	e->code = code;
	e->detail = detail;
}

static void
judge(struct explanation *e)
{
	const struct conf *conf = e->what->conf;
	const struct http_limits limits = {
		.head_bytes = conf->max_head_bytes,
		.target_bytes = conf->max_target_bytes,
		.fields = conf->max_fields,
	};
	const struct judge rules = { .conf = conf, .find = find, .arg = e };

	switch (http_head_request(&e->head, buffer_data(&e->request),
	    buffer_len(&e->request), &limits)) {
	case RC_OK:
		if (!judge_request(&rules, &e->head, &e->j))
			refuse(e, e->j.code, e->j.detail);
		return;
	case RC_MORE:
		refuse(e, ERROR_CLIENT_TIMEOUT,
		    "the head has no end: an empty line is missing");
		return;
	default:
		refuse(e, judge_head_fault(e->head.fault), e->head.detail != NULL ?
		    e->head.detail : "the request head is broken");
		return;
	}
}

/* As exchange_request.c does it. */
static void
undo_coding(struct explanation *e)
{
	enum rc rc = content_coding_undo(e->j.coding, &e->body,
	    judge_body_limit(e->what->conf, e->relay));
	enum error_code code;
	const char *why;

	if (rc == RC_OK) {
		e->undone = e->j.coding;
		return;
	}
	if (rc == RC_SYNTAX && e->relay->mismatch_request == RELAY_MISMATCH_FORWARD) {
		e->j.syntax = REWRITE_NONE;
		return;
	}
	code = content_coding_error(rc, &why);
	refuse(e, code, why);
}

/* The body without its framing. */
static void
read_body(struct explanation *e)
{
	struct body_reader reader;
	struct buffer framed;		/* the head's views must stay good */
	struct span piece;
	size_t used;
	enum rc rc;

	buffer_init(&framed, 0, true);
	buffer_put(&framed, buffer_data(&e->request) + e->head.bytes,
	    buffer_len(&e->request) - e->head.bytes);
	body_reader_init(&reader, &e->j.framing, &HTTP_LIMITS_DEFAULT);
	do {
		rc = body_reader_next(&reader, &framed, &piece, &used);
		if (rc == RC_OK || rc == RC_MORE) {
			buffer_put(&e->body, piece.p, piece.len);
			buffer_consume(&framed, used);
		}
	} while (rc == RC_MORE && used != 0);
	if (rc == RC_MORE)
		refuse(e, ERROR_CLIENT_TIMEOUT,
		    "the body is shorter than its head says");
	else if (rc != RC_OK)
		refuse(e, ERROR_BAD_REQUEST, "chunked framing is broken");
	else if (e->j.syntax != REWRITE_NONE &&
	    buffer_len(&e->body) > judge_body_limit(e->what->conf, e->relay))
		refuse(e, ERROR_PAYLOAD_TOO_LARGE,
		    "the body is over the limit for bodies with selectors");
	else
		undo_coding(e);
	body_reader_fini(&reader);
	buffer_fini(&framed);
}

/* ---- facts ---- */

static const char *
kind_name(enum relay_selection_kind kind)
{
	switch (kind) {
	case RELAY_SELECT_JSON:
		return ("json");
	case RELAY_SELECT_FORM:
		return ("form");
	case RELAY_SELECT_HEADER:
		return ("header");
	case RELAY_SELECTION_KINDS:
		break;
	}
	return ("?");
}

static const char *
type_name(enum body_value_type type)
{
	switch (type) {
	case BODY_VALUE_STRING:
		return ("string");
	case BODY_VALUE_NUMBER:
		return ("number");
	case BODY_VALUE_BOOLEAN:
		return ("boolean");
	}
	return ("?");
}

static const char *
action_name(enum relay_action_kind kind)
{
	return (kind == RELAY_ENCRYPT ? "encrypt" : "decrypt");
}

/* "name   text", or a member of the same name. */
static void __attribute__((__format__(__printf__, 3, 4)))
fact(struct explanation *e, const char *name, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (e->json != NULL)
		body_json_put_str(e->json, name, text);
	else
		printf("%-10s %s\n", name, text);
}

static void
tell_value(struct explanation *e, const struct relay_selection *s,
    const struct body_slot *slot)
{
	if (e->json == NULL) {
		printf("           %-6s %-32s %s bytes %zu-%zu, %s\n",
		    kind_name(s->kind), s->selector,
		    s->kind == RELAY_SELECT_HEADER ? "head" : "body", slot->start,
		    slot->end, type_name(slot->type));
		return;
	}
	body_json_open_object(e->json, NULL);
	body_json_put_str(e->json, "kind", kind_name(s->kind));
	body_json_put_str(e->json, "selector", s->selector);
	body_json_put_u64(e->json, "start", slot->start);
	body_json_put_u64(e->json, "end", slot->end);
	body_json_put_str(e->json, "type", type_name(slot->type));
	body_json_close_object(e->json);
}

static void
tell_values(struct explanation *e, const struct relay_selections *of,
    const struct rewrite *r)
{
	size_t shown = e->json != NULL || r->slots.n <= VALUES_SHOWN ? r->slots.n :
	    VALUES_SHOWN;

	for (size_t i = 0; i < shown; i++)
		tell_value(e, of->v[r->slots.v[i].selection], &r->slots.v[i]);
	if (shown < r->slots.n)
		printf("           ... and %zu more\n", r->slots.n - shown);
	e->n_values += r->slots.n;
}

/* A selector that chose nothing is worth a line: it may be a typing error. */
static void
tell_empty(struct explanation *e, const struct relay_selections *of,
    const struct rewrite *r)
{
	for (size_t i = 0; i < of->n; i++) {
		bool chosen = false;

		for (size_t k = 0; k < r->slots.n && !chosen; k++)
			chosen = r->slots.v[k].selection == i;
		if (!chosen && e->json == NULL)
			printf("           %-6s %-32s nothing\n",
			    kind_name(of->v[i]->kind), of->v[i]->selector);
	}
}

static void
slots_fault(struct explanation *e, enum rc rc)
{
	if (rc == RC_SYNTAX && e->relay->mismatch_request == RELAY_MISMATCH_FORWARD)
		return;
	if (rc == RC_SYNTAX)
		refuse(e, ERROR_MALFORMED_BODY, "not what its selectors can read");
	else if (rc == RC_LIMIT)
		refuse(e, ERROR_TOO_MANY_FIELDS, "more fields than the limit");
	else if (rc != RC_OK)
		refuse(e, ERROR_PAYLOAD_TOO_LARGE, "no memory for a body of this size");
}

/* The values of the head, by their place in the request as it is in the file. */
static void
tell_head(struct explanation *e, const struct relay_action *a)
{
	const struct relay_selections *of = &a->of[RELAY_SELECT_HEADER];

	for (size_t i = 0; i < e->head.n_fields; i++) {
		const struct http_field *f = &e->head.fields[i];
		size_t which = 0;

		while (which < of->n && !relay_field_is(f->name, of->v[which]->selector))
			which++;
		if (which == of->n)
			continue;
		tell_value(e, of->v[which], &(struct body_slot){
		    .start = (size_t)(f->value.p - e->head.base),
		    .end = (size_t)(f->value.p - e->head.base) + f->value.len,
		    .type = BODY_VALUE_STRING });
		e->n_values++;
	}
}

static void
tell_body(struct explanation *e, const struct relay_action *a)
{
	enum relay_selection_kind kind = e->j.syntax == REWRITE_FORM ?
	    RELAY_SELECT_FORM : RELAY_SELECT_JSON;
	unsigned fields = e->relay->max_body_fields != 0 ?
	    e->relay->max_body_fields : e->what->conf->max_body_fields;
	struct slot_rules rules = { .relay = e->relay, .action = a,
	    .max_fields = fields };
	struct rewrite r;
	enum rc rc;

	if (e->j.syntax == REWRITE_NONE || a->of[kind].n == 0 ||
	    buffer_len(&e->body) == 0)
		return;
	rewrite_init(&r, e->j.syntax, &e->body, 0);
	rc = transform_slots_whole(&rules, &r);
	if (rc == RC_OK) {
		tell_values(e, &a->of[kind], &r);
		tell_empty(e, &a->of[kind], &r);
	}
	rewrite_fini(&r);
	slots_fault(e, rc);
}

static void
tell_actions(struct explanation *e)
{
	const struct relay_route *route = e->j.route;

	if (e->json != NULL)
		body_json_open_array(e->json, "actions");
	for (size_t i = 0; i < route->n_request && !e->refused; i++) {
		const struct relay_action *a = &route->request[i];

		if (e->json == NULL)
			printf("%-10s request[%zu]\n", action_name(a->kind), i);
		tell_head(e, a);
		tell_body(e, a);
	}
	if (e->json != NULL)
		body_json_close_array(e->json);
}

/* "decrypt: json $.a, header X-B" */
static void
list_selections(const struct relay_action *a, struct buffer *out)
{
	buffer_printf(out, "%s:", action_name(a->kind));
	for (size_t k = 0; k < a->n_selections; k++)
		buffer_printf(out, "%s %s %s", k != 0 ? "," : "",
		    kind_name(a->selections[k].kind), a->selections[k].selector);
}

static void
tell_response(struct explanation *e)
{
	const struct relay_route *route = e->j.route;
	struct buffer text;

	if (e->json != NULL)
		body_json_open_array(e->json, "response");
	for (size_t i = 0; i < route->n_response; i++) {
		buffer_init(&text, 0, false);
		list_selections(&route->response[i], &text);
		if (e->json != NULL)
			body_json_put_str(e->json, NULL, buffer_cstr(&text));
		else
			fact(e, "response", "%s", buffer_cstr(&text));
		buffer_fini(&text);
	}
	if (e->json != NULL)
		body_json_close_array(e->json);
}

static const char *
syntax_name(enum rewrite_syntax syntax)
{
	switch (syntax) {
	case REWRITE_JSON:
		return ("read as JSON");
	case REWRITE_FORM:
		return ("read as a form");
	case REWRITE_HEAD:
	case REWRITE_TOKENS:
	case REWRITE_HEAD_TOKENS:
	case REWRITE_NONE:
		break;
	}
	return ("passes as it is");
}

static void
tell_route(struct explanation *e)
{
	const struct relay_route *route = e->j.route;

	if (e->j.relay == NULL)
		return;
	fact(e, "relay", "%s: app %s, to https://%s:%u", e->what->relay_name,
	    e->relay->app, e->relay->host, e->relay->port);
	if (route == NULL) {
		if (!e->refused)
			fact(e, "route", "none matches: everything passes");
		return;
	}
	fact(e, "route", "routes[%td] %s %s", route - e->relay->routes,
	    route->method != NULL ? route->method : "any method", route->path);
	if (e->relay->api_key)
		fact(e, "caller", "must present an API key of the app (not checked here)");
	if (e->refused)
		return;
	if (e->undone != HTTP_CODING_IDENTITY)
		fact(e, "body", "%zu bytes when %s is undone, %s", buffer_len(&e->body),
		    http_coding_name(e->undone), syntax_name(e->j.syntax));
	else
		fact(e, "body", "%zu bytes, %s", buffer_len(&e->body),
		    syntax_name(e->j.syntax));
	tell_actions(e);
	tell_response(e);
}

static void
tell_verdict(struct explanation *e)
{
	if (e->refused)
		fact(e, "verdict", "refused: %u %s: %s", error_info(e->code)->status,
		    error_info(e->code)->name, e->detail);
	else if (e->n_values != 0)
		fact(e, "verdict", "forwarded with %zu value%s replaced, every other "
		    "byte as it is%s", e->n_values, e->n_values == 1 ? "" : "s",
		    e->undone != HTTP_CODING_IDENTITY ? " when decoded" : "");
	else if (e->undone != HTTP_CODING_IDENTITY)
		fact(e, "verdict", "forwarded as it is when decoded");
	else
		fact(e, "verdict", "forwarded as it is");
}

static void
tell(struct explanation *e)
{
	judge(e);
	if (e->head.method_text.len != 0)
		fact(e, "request", "%.*s, host %s", (int)e->head.method_text.len,
		    e->head.method_text.p, e->j.host[0] != '\0' ? e->j.host : "none");
	if (!e->refused)
		read_body(e);
	tell_route(e);
	tell_verdict(e);
}

int
explain_run(const struct explain *what)
{
	struct explanation e = { .what = what };
	struct body_json_writer w;
	struct buffer out;
	int status;

	buffer_init(&e.relay_text, RELAY_JSON_BYTES_MAX, false);
	buffer_init(&e.request, REQUEST_BYTES_MAX, true);
	buffer_init(&e.body, 0, true);
	buffer_init(&out, 0, false);
	http_head_init(&e.head);
	if ((status = read_relay(&e)) == 0 &&
	    file_read(what->request_path, &e.request) != RC_OK)
		status = unusable(what->request_path, "cannot be read");
	if (status == 0) {
		body_json_writer_init(&w, &out);
		if (what->json) {
			e.json = &w;
			body_json_open_object(&w, NULL);
		}
		tell(&e);
		if (what->json) {
			body_json_close_object(&w);
			printf("%s\n", buffer_cstr(&out));
		}
	}
	judgement_fini(&e.j);
	relay_unref(&e.relay);
	http_head_fini(&e.head);
	buffer_fini(&out);
	buffer_fini(&e.body);
	buffer_fini(&e.request);
	buffer_fini(&e.relay_text);
	return (status);
}
