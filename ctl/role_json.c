/* ctl/role_json.c - strict: what is not known here is refused by its path. */
#include "ctl/role_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/host.h"
#include "lib/body/json.h"
#include "lib/net/addr.h"

/* Beyond a hundred years it is a typing error. */
#define OLDER_S_MAX	(100ull * 366 * 86400)

static const char *const places[] = { NULL, "relay", "egress", "api" };
#define N_PLACES	(sizeof(places) / sizeof(places[0]))

struct reader {
	struct body_json	doc;
	struct role_fault	*fault;
	struct buffer		text;		/* of the last string */
	char			path[64];	/* of the rule at hand */
};

bool
role_name_valid(const char *name)
{
	size_t len = strlen(name);

	return (len > 0 && len < ROLE_NAME_BYTES && strspn(name,
	    "abcdefghijklmnopqrstuvwxyz0123456789-") == len);
}

static enum rc __attribute__((__format__(__printf__, 3, 4)))
refuse(struct reader *r, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->fault->path, sizeof(r->fault->path), fmt, ap);
	va_end(ap);
	(void)snprintf(r->fault->reason, sizeof(r->fault->reason), "%s",
	    reason);
	return (RC_SYNTAX);
}

static unsigned
type_of(const struct reader *r, uint32_t node)
{
	return (r->doc.nodes[node].type);
}

/* The decoded text of a string node, as a C string; NULL: none. */
static const char *
text_of(struct reader *r, uint32_t node)
{
	buffer_clear(&r->text);
	if (node == 0 || type_of(r, node) != BODY_JSON_STRING ||
	    body_json_unescape(body_json_raw(&r->doc, node), &r->text) !=
	    RC_OK || memchr(buffer_cstr(&r->text), '\0',
	    buffer_len(&r->text)) != NULL)
		return (NULL);
	return (buffer_cstr(&r->text));
}

/* Every member is one of names, and there once. */
static enum rc
check_members(struct reader *r, uint32_t object, const char *const *names)
{
	unsigned seen = 0;
	size_t i;

	for (uint32_t n = body_json_child(&r->doc, object); n != 0;
	    n = body_json_sibling(&r->doc, n)) {
		struct span raw = body_json_raw_key(&r->doc, n);

		for (i = 0; names[i] != NULL; i++)
			if (body_json_key_is(&r->doc, n, span_of(names[i])))
				break;
		if (names[i] == NULL)
			return (refuse(r, "unknown field", "%s%.*s", r->path,
			    raw.len > 26 ? 24 : (int)raw.len - 2, raw.p + 1));
		if ((seen & 1u << i) != 0)
			return (refuse(r, "appears twice", "%s%s", r->path,
			    names[i]));
		seen |= 1u << i;
	}
	return (RC_OK);
}

static enum rc
read_effect(struct reader *r, uint32_t object, const char *member,
    bool *permit)
{
	const char *text = text_of(r, body_json_member(&r->doc, object,
	    member));

	if (text != NULL && (strcmp(text, "permit") == 0 ||
	    strcmp(text, "forbid") == 0)) {
		*permit = text[0] == 'p';
		return (RC_OK);
	}
	return (refuse(r, "must be \"permit\" or \"forbid\"", "%s%s", r->path,
	    member));
}

static enum rc
read_place(struct reader *r, uint32_t rule, uint64_t *place)
{
	uint32_t node = body_json_member(&r->doc, rule, "place");
	const char *text = text_of(r, node);

	*place = 0;
	if (node == 0)
		return (RC_OK);
	for (size_t i = 1; text != NULL && i < N_PLACES; i++)
		if (strcmp(text, places[i]) == 0)
			*place = i;
	if (*place != 0)
		return (RC_OK);
	return (refuse(r, "must be \"relay\", \"egress\" or \"api\"",
	    "%splace", r->path));
}

/* A host name in its one form, "*." kept before it. */
static bool
put_destination(struct buffer *out, const char *text)
{
	bool any = strncmp(text, "*.", 2) == 0;
	char host[HOST_BYTES + 2] = "*.";

	if (host_canonical(span_of(text + (any ? 2 : 0)), host + 2) != RC_OK ||
	    (any && host_is_ip(host + 2)))
		return (false);
	rpc_put_str(out, any ? host : host + 2);
	return (true);
}

static bool
put_address(struct buffer *out, const char *text)
{
	struct net_cidr cidr;

	if (net_cidr_parse(text, &cidr) != RC_OK)
		return (false);
	rpc_put_str(out, text);
	return (true);
}

static enum rc
read_list(struct reader *r, uint32_t rule, const char *member,
    bool (*put)(struct buffer *, const char *), const char *reason,
    struct buffer *out)
{
	uint32_t list = body_json_member(&r->doc, rule, member), n;
	size_t count = 0, i = 0;
	const char *text;

	if (list != 0 && (type_of(r, list) != BODY_JSON_ARRAY ||
	    body_json_child(&r->doc, list) == 0))
		return (refuse(r, "must be a list of one or more texts",
		    "%s%s", r->path, member));
	if (list != 0)
		for (n = body_json_child(&r->doc, list); n != 0;
		    n = body_json_sibling(&r->doc, n))
			count++;
	if (count > ROLE_LIST_MAX)
		return (refuse(r, "more than 16", "%s%s", r->path, member));
	rpc_put_array(out, count);
	if (list == 0)
		return (RC_OK);
	for (n = body_json_child(&r->doc, list); n != 0;
	    n = body_json_sibling(&r->doc, n), i++)
		if ((text = text_of(r, n)) == NULL || !put(out, text))
			return (refuse(r, reason, "%s%s[%zu]", r->path, member,
			    i));
	return (RC_OK);
}

static enum rc
read_older(struct reader *r, uint32_t rule, uint64_t *older_s)
{
	uint32_t node = body_json_member(&r->doc, rule, "olderThanSeconds");

	*older_s = 0;
	if (node == 0)
		return (RC_OK);
	if (type_of(r, node) == BODY_JSON_NUMBER &&
	    string_u64(body_json_raw(&r->doc, node), older_s) == RC_OK &&
	    *older_s > 0 && *older_s <= OLDER_S_MAX)
		return (RC_OK);
	return (refuse(r, "must be a whole number of seconds, 1 or more",
	    "%solderThanSeconds", r->path));
}

static enum rc
read_rule(struct reader *r, uint32_t rule, struct buffer *out)
{
	static const char *const names[] = { "effect", "place",
	    "destinations", "addresses", "olderThanSeconds", NULL };
	uint64_t place, older_s;
	bool permit;
	enum rc rc;

	if ((rc = check_members(r, rule, names)) != RC_OK ||
	    (rc = read_effect(r, rule, "effect", &permit)) != RC_OK ||
	    (rc = read_place(r, rule, &place)) != RC_OK ||
	    (rc = read_older(r, rule, &older_s)) != RC_OK)
		return (rc);
	rpc_put_array(out, 5);
	rpc_put_bool(out, permit);
	rpc_put_u64(out, place);
	if ((rc = read_list(r, rule, "destinations", put_destination,
	    "not a host name", out)) != RC_OK ||
	    (rc = read_list(r, rule, "addresses", put_address,
	    "not an IP address or a block of them", out)) != RC_OK)
		return (rc);
	rpc_put_u64(out, older_s);
	return (RC_OK);
}

static enum rc
read_rules(struct reader *r, struct buffer *out)
{
	uint32_t rules = body_json_member(&r->doc, 0, "rules"), n;
	size_t count = 0, i = 0;
	enum rc rc;

	if (rules == 0 || type_of(r, rules) != BODY_JSON_ARRAY)
		return (refuse(r, "must be a list of rules", "rules"));
	for (n = body_json_child(&r->doc, rules); n != 0;
	    n = body_json_sibling(&r->doc, n))
		count++;
	if (count > ROLE_RULES_MAX)
		return (refuse(r, "more than 16", "rules"));
	rpc_put_array(out, count);
	for (n = body_json_child(&r->doc, rules); n != 0;
	    n = body_json_sibling(&r->doc, n), i++) {
		if (type_of(r, n) != BODY_JSON_OBJECT)
			return (refuse(r, "must be an object", "rules[%zu]",
			    i));
		(void)snprintf(r->path, sizeof(r->path), "rules[%zu].", i);
		if ((rc = read_rule(r, n, out)) != RC_OK)
			return (rc);
	}
	return (RC_OK);
}

static enum rc
read_policy(struct reader *r, const char *name, struct buffer *out)
{
	static const char *const names[] = { "default", "rules", NULL };
	bool permit;
	enum rc rc;

	if (type_of(r, 0) != BODY_JSON_OBJECT)
		return (refuse(r, "must be an object", "%s", ""));
	if ((rc = check_members(r, 0, names)) != RC_OK ||
	    (rc = read_effect(r, 0, "default", &permit)) != RC_OK)
		return (rc);
	rpc_put_array(out, 3);
	rpc_put_str(out, name);
	rpc_put_bool(out, permit);
	return (read_rules(r, out));
}

enum rc
role_json_read(const char *name, struct span json, struct buffer *out,
    struct role_fault *fault)
{
	struct reader r = { .fault = fault };
	struct body_json_fault why;
	size_t before = buffer_len(out);
	enum rc rc;

	if (body_json_read(&r.doc, json.p, json.len, 0, &why) != RC_OK)
		return (refuse(&r, why.reason, "byte %zu", why.offset));
	buffer_init(&r.text, 0, false);
	if ((rc = read_policy(&r, name, out)) != RC_OK)
		buffer_truncate(out, before);
	buffer_fini(&r.text);
	body_json_fini(&r.doc);
	return (rc);
}

/* ---- writing ------------------------------------------------------------------- */

static void
write_list(struct body_json_writer *w, const char *member,
    const struct rpc_value *list)
{
	size_t n = rpc_array_len(list);
	struct span text;

	if (n == SIZE_MAX || n == 0)
		return;
	body_json_open_array(w, member);
	for (size_t i = 0; i < n; i++)
		if (rpc_get_bytes(rpc_array_at(list, i), &text))
			body_json_put_string(w, NULL, text);
	body_json_close_array(w);
}

static void
write_rule(struct body_json_writer *w, const struct rpc_value *rule)
{
	uint64_t place = 0, older_s = 0;
	bool permit = false;

	(void)rpc_get_bool(rpc_array_at(rule, 0), &permit);
	(void)rpc_get_u64(rpc_array_at(rule, 1), &place);
	(void)rpc_get_u64(rpc_array_at(rule, 4), &older_s);
	body_json_open_object(w, NULL);
	body_json_put_str(w, "effect", permit ? "permit" : "forbid");
	if (place > 0 && place < N_PLACES)
		body_json_put_str(w, "place", places[place]);
	write_list(w, "destinations", rpc_array_at(rule, 2));
	write_list(w, "addresses", rpc_array_at(rule, 3));
	if (older_s != 0)
		body_json_put_u64(w, "olderThanSeconds", older_s);
	body_json_close_object(w);
}

void
role_json_write(struct body_json_writer *w, const struct rpc_value *role)
{
	const struct rpc_value *rules = rpc_array_at(role, 2);
	size_t n = rpc_array_len(rules);
	bool permit;

	if (!rpc_get_bool(rpc_array_at(role, 1), &permit))
		return;
	body_json_put_str(w, "default", permit ? "permit" : "forbid");
	body_json_open_array(w, "rules");
	for (size_t i = 0; n != SIZE_MAX && i < n; i++)
		write_rule(w, rpc_array_at(rules, i));
	body_json_close_array(w);
}
