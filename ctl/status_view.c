/* ctl/status_view.c - walks the document with lib/body/json.h. */
#include "ctl/status_view.h"

#include <stdio.h>
#include <string.h>

#include "ctl/table.h"
#include "lib/body/json.h"

#define TEXT_BYTES	128
#define ENGINES_SHOWN	12	/* of a fleet; --json has all */

/* A member as text: strings decoded, anything else as it stands, "-" when
 * there is none. */
static const char *
member(const struct body_json *doc, uint32_t object, const char *name,
    char out[TEXT_BYTES])
{
	uint32_t node = body_json_member(doc, object, name);
	struct buffer text;

	(void)snprintf(out, TEXT_BYTES, "-");
	if (node == 0)
		return (out);
	buffer_init(&text, 0, false);
	if (doc->nodes[node].type != BODY_JSON_STRING)
		(void)span_copy(body_json_raw(doc, node), out, TEXT_BYTES);
	else if (body_json_unescape(body_json_raw(doc, node), &text) == RC_OK)
		(void)span_copy((struct span){ buffer_data(&text),
		    buffer_len(&text) }, out, TEXT_BYTES);
	buffer_fini(&text);
	if (out[0] == '\0')
		(void)snprintf(out, TEXT_BYTES, "-");
	return (out);
}

static bool
member_is(const struct body_json *doc, uint32_t object, const char *name,
    const char *want)
{
	char text[TEXT_BYTES];

	return (strcmp(member(doc, object, name, text), want) == 0);
}

static enum rc
read_doc(struct span json, struct body_json *doc)
{
	enum rc rc;

	memset(doc, 0, sizeof(*doc));
	if ((rc = body_json_read(doc, json.p, json.len, 0, NULL)) != RC_OK)
		return (rc);
	if (doc->nodes[0].type == BODY_JSON_OBJECT &&
	    body_json_member(doc, 0, "children") != 0)
		return (RC_OK);
	body_json_fini(doc);
	return (RC_SYNTAX);
}

/* ---- ready? -------------------------------------------------------------------- */

struct seen {
	unsigned	workers;
	bool		feed;
	bool		helper;
};

static enum rc
children_ready(const struct body_json *doc, struct seen *seen, char *why,
    size_t why_size)
{
	char name[TEXT_BYTES], state[TEXT_BYTES];
	uint32_t n;

	for (n = body_json_child(doc, body_json_member(doc, 0, "children"));
	    n != 0; n = body_json_sibling(doc, n)) {
		(void)member(doc, n, "state", state);
		if (strcmp(state, "draining") == 0)
			continue;
		if (strcmp(state, "ready") != 0) {
			(void)snprintf(why, why_size, "%s is %s",
			    member(doc, n, "name", name), state);
			return (RC_AGAIN);
		}
		seen->workers += member_is(doc, n, "role", "worker");
		seen->feed |= member_is(doc, n, "role", "feed");
		seen->helper |= member_is(doc, n, "role", "helper") ||
		    member_is(doc, n, "role", "e3-helper");
	}
	return (RC_OK);
}

static enum rc
engine_ready(const struct body_json *doc, uint32_t helper, char *why,
    size_t why_size)
{
	if (member_is(doc, helper, "ready", "true"))
		return (RC_OK);
	(void)snprintf(why, why_size, "the engine %s",
	    member_is(doc, helper, "engine", "silent") ||
	    member_is(doc, helper, "engine", "down") ?
	    "does not answer" : "is not ready");
	return (RC_AGAIN);
}

enum rc
status_ready(struct span json, char *why, size_t why_size)
{
	struct seen seen = { 0, false, false };
	struct body_json doc;
	enum rc rc;

	if ((rc = read_doc(json, &doc)) != RC_OK)
		return (RC_SYNTAX);
	rc = children_ready(&doc, &seen, why, why_size);
	if (rc == RC_OK && seen.workers == 0 && !seen.helper) {
		(void)snprintf(why, why_size, "no worker runs yet");
		rc = RC_AGAIN;
	}
	if (rc == RC_OK && seen.feed && !member_is(&doc,
	    body_json_member(&doc, 0, "feed"), "synced", "true")) {
		(void)snprintf(why, why_size, "the feed is not synced");
		rc = RC_AGAIN;
	}
	if (rc == RC_OK && seen.helper)
		rc = engine_ready(&doc, body_json_member(&doc, 0, "helper"),
		    why, why_size);
	body_json_fini(&doc);
	return (rc);
}

/* ---- for people -------------------------------------------------------------------- */

static const char *
duration_text(uint64_t ms, char out[TEXT_BYTES])
{
	uint64_t s = ms / 1000;

	if (s >= 172800)
		(void)snprintf(out, TEXT_BYTES, "%llud",
		    (unsigned long long)(s / 86400));
	else if (s < 60)
		(void)snprintf(out, TEXT_BYTES, "%us", (unsigned)s);
	else if (s < 3600)
		(void)snprintf(out, TEXT_BYTES, "%um%02us",
		    (unsigned)(s / 60), (unsigned)(s % 60));
	else
		(void)snprintf(out, TEXT_BYTES, "%lluh%02um",
		    (unsigned long long)(s / 3600),
		    (unsigned)(s / 60 % 60));
	return (out);
}

static const char *
age_text(const struct body_json *doc, uint32_t object, const char *name,
    char out[TEXT_BYTES])
{
	uint64_t ms;

	if (string_u64(span_of(member(doc, object, name, out)), &ms) == RC_OK)
		(void)duration_text(ms, out);
	return (out);
}

static void
process_row(struct table *t, const struct body_json *doc, uint32_t n)
{
	static const char *const names[] = { "name", "pid", "state",
	    "generation", "restarts" };
	char text[TEXT_BYTES];

	for (size_t i = 0; i < 5; i++)
		table_cell_str(t, member(doc, n, names[i], text));
	table_cell_str(t, age_text(doc, n, "since_ms", text));
}

/* "feed      synced=true redis=up ..." of the named members that are there. */
static void
part_line(struct buffer *out, const struct body_json *doc, const char *part,
    uint32_t object, const char *const *names)
{
	char text[TEXT_BYTES];

	if (object == 0 || doc->nodes[object].type != BODY_JSON_OBJECT)
		return;
	buffer_printf(out, "%-8s", part);
	for (; *names != NULL; names++)
		if (body_json_member(doc, object, *names) != 0)
			buffer_printf(out, " %s=%s", *names,
			    member(doc, object, *names, text));
	buffer_puts(out, "\n");
}

static void
feed_errors(struct buffer *out, const struct body_json *doc)
{
	uint32_t feed = body_json_member(doc, 0, "feed"), list, n;
	char key[TEXT_BYTES], path[TEXT_BYTES], reason[TEXT_BYTES];

	if (feed == 0 || (list = body_json_member(doc, feed, "errors")) == 0)
		return;
	for (n = body_json_child(doc, list); n != 0;
	    n = body_json_sibling(doc, n))
		buffer_printf(out, "  error  %s: %s: %s\n",
		    member(doc, n, "key", key), member(doc, n, "path", path),
		    member(doc, n, "reason", reason));
}

static uint32_t
member_object(const struct body_json *doc, uint32_t object, const char *name)
{
	uint32_t n = body_json_member(doc, object, name);

	return (n != 0 && doc->nodes[n].type == BODY_JSON_OBJECT ? n : 0);
}

/* Every engine that announces itself, a line each. */
static void
engine_lines(struct buffer *out, const struct body_json *doc, uint32_t helper)
{
	char name[TEXT_BYTES], address[TEXT_BYTES], state[TEXT_BYTES];
	uint32_t list = body_json_member(doc, helper, "engines"), n;
	unsigned i = 0;

	if (list == 0 || doc->nodes[list].type != BODY_JSON_ARRAY)
		return;
	for (n = body_json_child(doc, list); n != 0;
	    n = body_json_sibling(doc, n))
		if (++i <= ENGINES_SHOWN)
			buffer_printf(out, "  engine %s %s %s%s\n",
			    member(doc, n, "name", name),
			    member(doc, n, "state", state),
			    member(doc, n, "address", address),
			    member_is(doc, n, "agrees", "false") ?
			    " DISAGREES: it has loaded other records" : "");
	if (i > ENGINES_SHOWN)
		buffer_printf(out, "  engine ... %u more\n",
		    i - ENGINES_SHOWN);
}

/* A backup that nobody ever opened is none. */
static void
rehearsal_line(struct buffer *out, const struct body_json *doc,
    uint32_t helper, uint64_t now_ms)
{
	char text[TEXT_BYTES];
	uint64_t ms;

	if (string_u64(span_of(member(doc, helper, "rehearsed_ms", text)),
	    &ms) != RC_OK)
		buffer_puts(out, "backup   never rehearsed\n");
	else
		buffer_printf(out, "backup   rehearsed %s ago\n",
		    duration_text(now_ms > ms ? now_ms - ms : 0, text));
}

static void
helper_lines(struct buffer *out, const struct body_json *doc, uint64_t now_ms)
{
	static const char *const names[] = { "ready", "engine", "redis",
	    "records", "damaged", "refused", "forked", "replicated",
	    "pending_replication", "disagree", "resealing", NULL };
	static const char *const figures[] = { "draining", "apps", "keys",
	    "pairs", "fields_sealed", "fields_opened", "refused",
	    "rate_limited", "queue", "queue_full", "links", "threads", NULL };
	uint32_t helper = member_object(doc, 0, "helper");

	if (helper == 0)
		return;
	part_line(out, doc, "helper", helper, names);
	part_line(out, doc, "engine", member_object(doc, helper, "statistics"),
	    figures);
	engine_lines(out, doc, helper);
	rehearsal_line(out, doc, helper, now_ms);
}

enum rc
status_text(struct span json, uint64_t now_ms, struct buffer *out)
{
	static const char *const heads[] = { "NAME", "PID", "STATE", "GEN",
	    "RESTARTS", "SINCE" };
	static const char *const feed[] = { "synced", "redis", "relays",
	    "egress", "epoch", "pending_delete", "damaged", "no_room", NULL };
	char text[TEXT_BYTES];
	struct body_json doc;
	struct table *t;

	if (read_doc(json, &doc) != RC_OK)
		return (RC_SYNTAX);
	t = table_new(6, heads);
	table_cell_str(t, "relayd");
	table_cell_str(t, member(&doc, 0, "pid", text));
	table_cell_str(t, "ready");
	table_cell_str(t, member(&doc, 0, "generation", text));
	table_cell_str(t, "0");
	table_cell_str(t, age_text(&doc, 0, "uptime_ms", text));
	for (uint32_t n = body_json_child(&doc,
	    body_json_member(&doc, 0, "children")); n != 0;
	    n = body_json_sibling(&doc, n))
		process_row(t, &doc, n);
	table_text(t, out);
	table_free(&t);
	part_line(out, &doc, "feed", member_object(&doc, 0, "feed"), feed);
	feed_errors(out, &doc);
	helper_lines(out, &doc, now_ms);
	body_json_fini(&doc);
	return (RC_OK);
}
