/*
 * conf/egress_json.c - the schema of an egress record, and its questions.
 *
 * Rules and response routes are held as a relay without a destination
 * (`rules`); the relays given out share them.
 */
#include "conf/egress_json.h"

#include <stdlib.h>
#include <string.h>

#include "conf/relay_field.h"
#include "conf/relay_route.h"
#include "conf/relay_rule.h"
#include "lib/base/host.h"
#include "lib/base/object.h"

#define APP_PREFIX	"app_"
#define WILDCARD	"*."
#define METHOD_LEN_MAX	32		/* the longest registered has 17 */
#define PORT_DEFAULT	443

bool
egress_is_app(struct span app)
{
	size_t prefix = strlen(APP_PREFIX);

	if (app.len != EGRESS_APP_ID_LEN || memcmp(app.p, APP_PREFIX, prefix) != 0)
		return (false);
	for (size_t i = prefix; i < app.len; i++)
		if ((app.p[i] < '0' || app.p[i] > '9') &&
		    (app.p[i] < 'a' || app.p[i] > 'f'))
			return (false);
	return (true);
}

/* ---- destinations ------------------------------------------------------------ */

static enum rc
fail_host(struct relay_reader *r)
{
	return (relay_fail(r, RC_SYNTAX, "must be a host name, an IP address or "
	    "*. and a name, without port"));
}

static enum rc
read_host(struct relay_reader *r, uint32_t node, void *obj)
{
	struct egress_destination *d = obj;
	size_t wildcard = 0;
	char host[HOST_BYTES];
	char *text;
	enum rc rc;

	if ((rc = relay_read_text(r, node, &text)) != RC_OK)
		return (rc);
	if (strncmp(text, WILDCARD, strlen(WILDCARD)) == 0)
		wildcard = strlen(WILDCARD);
	if (host_canonical(span_of(text + wildcard), host) != RC_OK ||
	    (wildcard != 0 && host_is_ip(host)))
		rc = fail_host(r);
	else
		d->host = xasprintf("%s%s", wildcard != 0 ? WILDCARD : "", host);
	free(text);
	return (rc);
}

static enum rc
read_port(struct relay_reader *r, uint32_t node, void *obj)
{
	struct egress_destination *d = obj;
	uint64_t port;
	enum rc rc = relay_read_uint(r, node, 1, UINT16_MAX, &port);

	if (rc == RC_OK)
		d->port = (uint16_t)port;
	return (rc);
}

/* A list that nothing can fit is a mistake, not a wish: leave it out to allow
 * all, or leave out the destination. */
static enum rc
read_texts(struct relay_reader *r, uint32_t node, size_t max,
    relay_read_cb *read, char ***list, size_t *n)
{
	size_t count;
	enum rc rc;

	if ((rc = relay_count_array(r, node, max, &count)) != RC_OK)
		return (rc);
	if (count == 0)
		return (relay_fail(r, RC_SYNTAX, "must not be empty"));
	*list = xcalloc(count, sizeof(**list));
	*n = count;
	return (relay_read_array(r, node, read, *list, sizeof(**list)));
}

/* Methods are case-sensitive (RFC 9110 9.1), and all of them upper case. */
static enum rc
read_method(struct relay_reader *r, uint32_t node, void *obj)
{
	char **method = obj;
	size_t len;
	enum rc rc;

	if ((rc = relay_read_text(r, node, method)) != RC_OK)
		return (rc);
	len = strlen(*method);
	if (len == 0 || len > METHOD_LEN_MAX || strspn(*method,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != len)
		return (relay_fail(r, RC_SYNTAX, "must be 1 to %d of A-Z and -",
		    METHOD_LEN_MAX));
	if (strcmp(*method, "CONNECT") == 0)
		return (relay_fail(r, RC_SYNTAX, "makes the tunnel; name the "
		    "methods of the requests in it"));
	return (RC_OK);
}

static enum rc
read_methods(struct relay_reader *r, uint32_t node, void *obj)
{
	struct egress_destination *d = obj;

	return (read_texts(r, node, EGRESS_METHODS_MAX, read_method,
	    &d->methods, &d->n_methods));
}

static enum rc
read_paths(struct relay_reader *r, uint32_t node, void *obj)
{
	struct egress_destination *d = obj;

	return (read_texts(r, node, EGRESS_PATHS_MAX,
	    relay_route_read_path, &d->paths, &d->n_paths));
}

static enum rc
read_internal(struct relay_reader *r, uint32_t node, void *obj)
{
	struct egress_destination *d = obj;

	return (relay_read_bool(r, node, &d->internal));
}

static enum rc
read_destination(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "host", read_host, true },
		{ "port", read_port, false },
		{ "methods", read_methods, false },
		{ "paths", read_paths, false },
		{ "internal", read_internal, false },
	};
	struct egress_destination *d = obj;

	d->port = PORT_DEFAULT;
	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), d));
}

static enum rc
read_destinations(struct relay_reader *r, uint32_t node, void *obj)
{
	struct egress *e = obj;
	size_t n;
	enum rc rc;

	rc = relay_count_array(r, node, EGRESS_DESTINATIONS_MAX, &n);
	if (rc != RC_OK)
		return (rc);
	e->any = false;
	e->destinations = xcalloc(n + 1, sizeof(*e->destinations));
	e->n_destinations = n;
	return (relay_read_array(r, node, read_destination, e->destinations,
	    sizeof(*e->destinations)));
}

/* ---- rules and responses ------------------------------------------------------ */

static enum rc
read_responses(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *rules = ((struct egress *)obj)->rules;
	size_t n;
	enum rc rc;

	if ((rc = relay_count_array(r, node, RELAY_ROUTES_MAX, &n)) != RC_OK)
		return (rc);
	rules->routes = xcalloc(n + 1, sizeof(*rules->routes));
	rules->n_routes = n;
	return (relay_read_array(r, node, relay_route_read_response,
	    rules->routes, sizeof(*rules->routes)));
}

/* The readers of a relay's rules, for a record that holds them. */
#define READ_RULE(rule)							\
	static enum rc							\
	read_##rule(struct relay_reader *r, uint32_t node, void *obj)	\
	{								\
		struct egress *e = obj;					\
									\
		return (relay_rule_##rule(r, node, e->rules));		\
	}

READ_RULE(curve)
READ_RULE(key_scope)
READ_RULE(existing)
READ_RULE(encrypt_empty)
READ_RULE(mismatch)
READ_RULE(undecryptable)
READ_RULE(limits)

static const struct relay_field egress_fields[] = {
	{ "destinations", read_destinations, false },
	{ "responses", read_responses, false },
	{ "curve", read_curve, false },
	{ "keyScope", read_key_scope, false },
	{ "existingTokens", read_existing, false },
	{ "encryptEmptyStrings", read_encrypt_empty, false },
	{ "onMismatch", read_mismatch, false },
	{ "onUndecryptable", read_undecryptable, false },
	{ "limits", read_limits, false },
};

/* ---- life ---------------------------------------------------------------------- */

static void
texts_free(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static void
egress_free(struct egress *e)
{
	for (size_t i = 0; i < e->n_destinations; i++) {
		struct egress_destination *d = &e->destinations[i];

		free(d->host);
		texts_free(d->methods, d->n_methods);
		texts_free(d->paths, d->n_paths);
	}
	free(e->destinations);
	relay_unref(&e->rules);
	e->magic = 0;
	free(e);
}

struct egress *
egress_ref(struct egress *e)
{
	obj_check(e, EGRESS_MAGIC);
	ensure(e->refs > 0 && e->refs < UINT32_MAX);
	e->refs++;
	return (e);
}

void
egress_unref(struct egress **ep)
{
	struct egress *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	obj_check(e, EGRESS_MAGIC);
	ensure(e->refs > 0);
	if (--e->refs == 0)
		egress_free(e);
}

static struct relay *
rules_new(struct span app)
{
	struct relay *rules = relay_new();

	rules->app = xstrndup(app.p, app.len);
	return (rules);
}

static struct egress *
egress_new(struct span app)
{
	struct egress *e = xcalloc(1, sizeof(*e));

	e->magic = EGRESS_MAGIC;
	e->refs = 1;
	e->any = true;
	e->rules = rules_new(app);
	return (e);
}

enum rc
egress_json_parse(struct span app, struct span json, struct egress **out,
    struct relay_fault *fault)
{
	struct relay_fault ignored;
	struct relay_reader r = { .fault = fault == NULL ? &ignored : fault };
	struct body_json doc = { 0 };
	struct egress *e = NULL;
	enum rc rc;

	*out = NULL;
	memset(r.fault, 0, sizeof(*r.fault));
	if (!egress_is_app(app))
		return (relay_fail(&r, RC_SYNTAX, "the record is not of an app: "
		    "app_ and 12 hex digits"));
	if ((rc = relay_read_document(&r, json, &doc)) != RC_OK)
		return (rc);
	e = egress_new(app);
	rc = relay_read_object(&r, 0, egress_fields, RELAY_COUNT(egress_fields), e);
	if (rc == RC_OK) {
		*out = e;
		e = NULL;
	}
	egress_unref(&e);
	body_json_fini(&doc);
	return (rc);
}

/* ---- questions ------------------------------------------------------------------ */

static bool
host_fits(const char *pattern, const char *host)
{
	size_t suffix, len;

	if (strncmp(pattern, WILDCARD, strlen(WILDCARD)) != 0)
		return (strcmp(pattern, host) == 0);
	/* With its dot, and something in front of that. */
	pattern++;
	suffix = strlen(pattern);
	len = strlen(host);
	return (len > suffix && strcmp(host + len - suffix, pattern) == 0 &&
	    !host_is_ip(host));
}

static bool
method_fits(const struct egress_destination *d, struct span method)
{
	if (d->n_methods == 0)
		return (true);
	for (size_t i = 0; i < d->n_methods; i++)
		if (span_eq_str(method, d->methods[i]) ||
		    (span_eq_str(method, "HEAD") &&
		    strcmp(d->methods[i], "GET") == 0))
			return (true);
	return (false);
}

static bool
path_fits(const struct egress_destination *d, struct span path)
{
	if (d->n_paths == 0)
		return (true);
	if (path.p == NULL)
		return (false);
	for (size_t i = 0; i < d->n_paths; i++)
		if (relay_path_match(d->paths[i], path))
			return (true);
	return (false);
}

/* The next destination that fits, after `d` (NULL: the first). */
static const struct egress_destination *
next_fit(const struct egress *e, const struct egress_destination *d,
    const char *host, uint16_t port, struct span method, struct span path)
{
	const struct egress_destination *end = e->destinations + e->n_destinations;

	for (d = d == NULL ? e->destinations : d + 1; d < end; d++)
		if (d->port == port && host_fits(d->host, host) &&
		    (method.p == NULL ||
		    (method_fits(d, method) && path_fits(d, path))))
			return (d);
	return (NULL);
}

bool
egress_allows(const struct egress *e, const char *host, uint16_t port)
{
	struct span none = { NULL, 0 };

	obj_check(e, EGRESS_MAGIC);
	return (e->any || next_fit(e, NULL, host, port, none, none) != NULL);
}

bool
egress_allows_request(const struct egress *e, const char *host, uint16_t port,
    struct span method, struct span path)
{
	obj_check(e, EGRESS_MAGIC);
	ensure(method.p != NULL);
	return (e->any || next_fit(e, NULL, host, port, method, path) != NULL);
}

bool
egress_is_internal(const struct egress *e, const char *host, uint16_t port,
    struct span method, struct span path)
{
	const struct egress_destination *d = NULL;

	obj_check(e, EGRESS_MAGIC);
	if (e->any)
		return (false);
	while ((d = next_fit(e, d, host, port, method, path)) != NULL)
		if (d->internal)
			return (true);
	return (false);
}

/* A list of none has all.  By their text: of paths no more is known. */
static bool
covers(char *const *was, size_t n_was, char *const *list, size_t n)
{
	size_t k;

	if (n_was == 0)
		return (true);
	for (size_t i = 0; i < n; i++) {
		for (k = 0; k < n_was; k++)
			if (strcmp(was[k], list[i]) == 0)
				break;
		if (k == n_was)
			return (false);
	}
	return (n != 0);
}

/* One entry has all of d. */
static bool
has_internal(const struct egress *e, const struct egress_destination *d)
{
	for (size_t i = 0; e != NULL && i < e->n_destinations; i++) {
		const struct egress_destination *was = &e->destinations[i];

		if (was->internal && was->port == d->port &&
		    strcmp(was->host, d->host) == 0 &&
		    covers(was->methods, was->n_methods, d->methods,
		    d->n_methods) && covers(was->paths, was->n_paths, d->paths,
		    d->n_paths))
			return (true);
	}
	return (false);
}

bool
egress_adds_internal(const struct egress *e, const struct egress *was,
    size_t *at)
{
	*at = 0;
	for (size_t i = 0; i < e->n_destinations; i++) {
		if (!e->destinations[i].internal ||
		    has_internal(was, &e->destinations[i]))
			continue;
		*at = i;
		return (true);
	}
	return (false);
}

bool
egress_seals(const struct egress *e)
{
	const struct relay *r = e->rules;

	for (size_t i = 0; i < r->n_routes; i++)
		if (relay_actions_encrypt(r->routes[i].response,
		    r->routes[i].n_response))
			return (true);
	return (false);
}

struct relay *
egress_relay(struct egress *e, const char *host, uint16_t port)
{
	obj_check(e, EGRESS_MAGIC);
	return (relay_for(e->rules, host, port));
}

struct relay *
egress_relay_any(const char *app, const char *host, uint16_t port)
{
	struct relay *rules = rules_new(span_of(app));
	struct relay *relay = relay_for(rules, host, port);

	relay_unref(&rules);
	return (relay);
}
