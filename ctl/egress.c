/*
 * ctl/egress.c - `egress allow|deny|list|set|clear`: which destinations an
 * app may reach.
 *
 * allow and deny read the record, change it and write it back on condition that
 * it is still what was read; somebody else's change in between is read anew.
 */
#include <string.h>

#include <openssl/evp.h>

#include "conf/egress_json.h"
#include "ctl/ctl.h"
#include "ctl/egress_edit.h"
#include "ctl/feed_client.h"
#include "ctl/relay_fault.h"
#include "ctl/table.h"
#include "lib/base/object.h"
#include "lib/body/json.h"

#define LIST_BYTES_MAX	(64u << 20)
#define TRIES		5	/* of a change that others keep changing */
#define SHA256_BYTES	32

static enum ctl_exit
check_app(const char *app)
{
	if (egress_is_app(span_of(app)))
		return (CTL_DONE);
	ctl_error("APP: not an app id");
	return (CTL_USAGE);
}

static enum ctl_exit
check_target(const char *text, struct egress_target *t)
{
	if (egress_target_read(text, t) == RC_OK)
		return (CTL_DONE);
	ctl_error("HOST: must be a host name, an IP address or *. and a name, "
	    "and :PORT if that is not 443");
	return (CTL_USAGE);
}

/* ---- the record ------------------------------------------------------------------ */

/* *found: there is one.  buffer_fini record in either case. */
static enum ctl_exit
read_record(struct ctl *ctl, const char *app, struct buffer *record,
    bool *found)
{
	static const char *const none[] = { "not-found", NULL };
	struct control_answer answer;
	enum ctl_exit status;
	int which;

	buffer_init(record, RELAY_JSON_BYTES_MAX, false);
	status = feed_ask_unless(ctl, "egress-get", app, NULL, none, &which,
	    &answer);
	*found = status == CTL_DONE && which < 0;
	if (status != CTL_DONE)
		return (status);
	if (*found)
		status = feed_content(&answer, RELAY_JSON_BYTES_MAX, record);
	control_answer_fini(&answer);
	return (status);
}

/* "APP <SHA-256 of what was read>", or "APP none". */
static void
condition(const char *app, const struct buffer *seen, bool found,
    struct buffer *out)
{
	uint8_t sum[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1] = "none";

	ensure(EVP_Digest(buffer_data(seen), buffer_len(seen), sum, NULL,
	    EVP_sha256(), NULL) == 1);
	if (found)
		hex_encode(sum, sizeof(sum), hex);
	buffer_clear(out);
	buffer_printf(out, "%s %s", app, hex);
}

/* *lost: the record is no longer what was seen. */
static enum ctl_exit
write_record(struct ctl *ctl, const char *app, const struct buffer *seen,
    bool found, const struct buffer *record, bool *lost)
{
	static const char *const conflicts[] = { "conflict",
	    "it was changed by somebody else", NULL };
	struct span doc = { buffer_data(record), buffer_len(record) };
	struct control_answer answer;
	enum ctl_exit status;
	struct buffer name;
	int which;

	buffer_init(&name, 0, false);
	condition(app, seen, found, &name);
	status = feed_ask_unless(ctl, "egress-put", buffer_cstr(&name), &doc,
	    conflicts, &which, &answer);
	buffer_fini(&name);
	*lost = status == CTL_DONE && which >= 0;
	if (status != CTL_DONE)
		return (status);
	if (!*lost)
		status = feed_print_change(ctl, "app", app, "live", &answer);
	control_answer_fini(&answer);
	return (status);
}

/* ---- allow and deny ---------------------------------------------------------------- */

struct edit {
	struct egress_target	target;
	const struct egress_grant *grant;	/* NULL: deny */
};

static enum ctl_exit
make_record(const char *app, const struct edit *e, struct span old,
    struct buffer *out)
{
	struct egress *egress = NULL;
	struct relay_fault fault;

	if (e->grant != NULL) {
		egress_edit_allow(old, e->grant, out);
	} else if (egress_edit_deny(old, &e->target, out) != RC_OK) {
		ctl_error("%s:%u is not in the list of %s", e->target.host,
		    (unsigned)e->target.port, app);
		return (CTL_FAILED);
	}
	if (egress_json_parse(span_of(app), (struct span){ buffer_data(out),
	    buffer_len(out) }, &egress, &fault) != RC_OK) {
		ctl_relay_fault("the record", &fault);
		return (CTL_USAGE);
	}
	egress_unref(&egress);
	return (CTL_DONE);
}

static enum ctl_exit
edit_once(struct ctl *ctl, const char *app, const struct edit *e, bool *lost)
{
	struct buffer old, new;
	enum ctl_exit status;
	bool found;

	*lost = false;
	buffer_init(&new, 0, false);
	status = read_record(ctl, app, &old, &found);
	if (status == CTL_DONE)
		status = make_record(app, e, (struct span){ buffer_data(&old),
		    buffer_len(&old) }, &new);
	if (status == CTL_DONE)
		status = write_record(ctl, app, &old, found, &new, lost);
	buffer_fini(&old);
	buffer_fini(&new);
	return (status);
}

static enum ctl_exit
edit_record(struct ctl *ctl, const char *app, const struct edit *e)
{
	enum ctl_exit status;
	bool lost = true;

	for (unsigned i = 0; i < TRIES && lost; i++)
		if ((status = edit_once(ctl, app, e, &lost)) != CTL_DONE)
			return (status);
	if (!lost)
		return (CTL_DONE);
	ctl_error("%s: somebody else keeps changing it", app);
	return (CTL_FAILED);
}

/* The values of a repeated option; at most max. */
static enum ctl_exit
take_values(const struct args *args, const char *name, size_t max,
    const char **list, size_t *n)
{
	const char *value;

	for (*n = 0; (value = args_get_nth(args, name, *n)) != NULL; (*n)++) {
		if (*n == max) {
			ctl_error("--%s: more than %zu", name, max);
			return (CTL_USAGE);
		}
		list[*n] = value;
	}
	return (CTL_DONE);
}

enum ctl_exit
ctl_egress_allow(struct ctl *ctl)
{
	const char *app = ctl->args.operands[0];
	const char *methods[EGRESS_METHODS_MAX], *paths[EGRESS_PATHS_MAX];
	struct egress_grant grant = { .methods = methods, .paths = paths,
	    .internal = args_has(&ctl->args, "internal") };
	struct edit e = { .grant = &grant };
	enum ctl_exit status;

	if ((status = check_app(app)) != CTL_DONE ||
	    (status = check_target(ctl->args.operands[1], &grant.to)) != CTL_DONE ||
	    (status = take_values(&ctl->args, "method", EGRESS_METHODS_MAX,
	    methods, &grant.n_methods)) != CTL_DONE ||
	    (status = take_values(&ctl->args, "path", EGRESS_PATHS_MAX, paths,
	    &grant.n_paths)) != CTL_DONE)
		return (status);
	e.target = grant.to;
	return (edit_record(ctl, app, &e));
}

enum ctl_exit
ctl_egress_deny(struct ctl *ctl)
{
	const char *app = ctl->args.operands[0];
	struct edit e = { .grant = NULL };
	enum ctl_exit status;

	if ((status = check_app(app)) != CTL_DONE ||
	    (status = check_target(ctl->args.operands[1], &e.target)) != CTL_DONE)
		return (status);
	return (edit_record(ctl, app, &e));
}

/* ---- whole records ------------------------------------------------------------------- */

enum ctl_exit
ctl_egress_set(struct ctl *ctl)
{
	const char *app = ctl->args.operands[0];
	const char *file = ctl->args.n_operands > 1 ? ctl->args.operands[1] :
	    "-";
	struct control_answer answer;
	struct egress *egress = NULL;
	struct relay_fault fault;
	enum ctl_exit status;
	struct buffer doc;
	struct span text;

	if ((status = check_app(app)) != CTL_DONE)
		return (status);
	status = ctl_read_input(file, RELAY_JSON_BYTES_MAX, false, &doc);
	text = (struct span){ buffer_data(&doc), buffer_len(&doc) };
	if (status == CTL_DONE &&
	    egress_json_parse(span_of(app), text, &egress, &fault) != RC_OK) {
		ctl_relay_fault(file, &fault);
		status = CTL_USAGE;
	}
	if (status == CTL_DONE)
		status = feed_ask_with(ctl, "egress-put", app, text, &answer);
	if (status == CTL_DONE) {
		status = feed_print_change(ctl, "app", app, "live", &answer);
		control_answer_fini(&answer);
	}
	egress_unref(&egress);
	buffer_fini(&doc);
	return (status);
}

enum ctl_exit
ctl_egress_clear(struct ctl *ctl)
{
	const char *app = ctl->args.operands[0];
	struct control_answer answer;
	enum ctl_exit status;

	if ((status = check_app(app)) != CTL_DONE ||
	    (status = feed_ask(ctl, "egress-rm", app, -1, &answer)) != CTL_DONE)
		return (status);
	status = feed_print_change(ctl, "app", app, "removed", &answer);
	control_answer_fini(&answer);
	return (status);
}

/* ---- list ------------------------------------------------------------------------------ */

static void
texts_cell(struct table *t, char *const *list, size_t n)
{
	struct buffer text;

	buffer_init(&text, 0, false);
	for (size_t i = 0; i < n; i++)
		buffer_printf(&text, "%s%s", i == 0 ? "" : ",", list[i]);
	table_cell_str(t, n == 0 ? "*" : buffer_cstr(&text));
	buffer_fini(&text);
}

static enum ctl_exit
print_destinations(const struct egress *e)
{
	static const char *const heads[] = { "HOST", "PORT", "METHODS", "PATHS",
	    "INTERNAL" };
	struct table *t;
	enum ctl_exit status;

	if (e->any)
		return (ctl_print(SPAN_LIT("no list: egress_default of relay.conf "
		    "decides\n")));
	t = table_new(5, heads);
	for (size_t i = 0; i < e->n_destinations; i++) {
		const struct egress_destination *d = &e->destinations[i];

		table_cell_str(t, d->host);
		table_cell_u64(t, d->port);
		texts_cell(t, d->methods, d->n_methods);
		texts_cell(t, d->paths, d->n_paths);
		table_cell_str(t, d->internal ? "yes" : "no");
	}
	status = table_print(t);
	table_free(&t);
	return (status);
}

/* One app: its record with --json, else its destinations. */
static enum ctl_exit
list_app(struct ctl *ctl, const char *app)
{
	struct span none = SPAN_LIT("{}"), text;
	struct egress *egress = NULL;
	enum ctl_exit status;
	struct buffer record;
	bool found;

	if ((status = check_app(app)) != CTL_DONE)
		return (status);
	status = read_record(ctl, app, &record, &found);
	text = (struct span){ buffer_data(&record), buffer_len(&record) };
	if (status == CTL_DONE && ctl->json)
		status = feed_print_record(found ? text : none);
	else if (status == CTL_DONE && egress_json_parse(span_of(app), found ?
	    text : none, &egress, NULL) != RC_OK) {
		ctl_error("%s: its record cannot be read", app);
		status = CTL_FAILED;
	} else if (status == CTL_DONE)
		status = print_destinations(egress);
	egress_unref(&egress);
	buffer_fini(&record);
	return (status);
}

static enum ctl_exit
print_apps(struct span json)
{
	static const char *const heads[] = { "APP", "REVISION", "BYTES" };
	static const char *const members[] = { "app", "revision", "bytes" };
	struct table *t = table_new(3, heads);
	struct body_json doc = { .nodes = NULL };
	enum ctl_exit status = CTL_FAILED;

	if (body_json_read(&doc, json.p, json.len, 0, NULL) != RC_OK) {
		ctl_error(FEED ": its answer is not JSON");
		goto out;
	}
	for (uint32_t n = body_json_child(&doc, 0); n != 0;
	    n = body_json_sibling(&doc, n))
		for (size_t i = 0; i < 3; i++) {
			uint32_t m = body_json_member(&doc, n, members[i]);
			struct span raw = m == 0 ? SPAN_LIT("-") :
			    body_json_raw(&doc, m);

			if (raw.len >= 2 && raw.p[0] == '"') {
				raw.p++;	/* an app id needs no unescaping */
				raw.len -= 2;
			}
			table_cell(t, raw);
		}
	status = table_print(t);
out:
	body_json_fini(&doc);
	table_free(&t);
	return (status);
}

enum ctl_exit
ctl_egress_list(struct ctl *ctl)
{
	struct control_answer answer;
	enum ctl_exit status;
	struct buffer list;
	struct span json;

	if (ctl->args.n_operands > 0)
		return (list_app(ctl, ctl->args.operands[0]));
	if ((status = feed_ask(ctl, "egress-list", "", -1, &answer)) != CTL_DONE)
		return (status);
	status = feed_content(&answer, LIST_BYTES_MAX, &list);
	json = (struct span){ buffer_data(&list), buffer_len(&list) };
	if (status == CTL_DONE)
		status = ctl->json ? ctl_print_line(json) : print_apps(json);
	buffer_fini(&list);
	control_answer_fini(&answer);
	return (status);
}
