/*
 * conf/relay_json.c - the schema of a relay.
 *
 * One table per object: its fields and who reads each.  A field without a
 * reader, and a choice without a value, are known to design.md but not carried
 * out: a relay that asks for them is refused, never half obeyed.  The object
 * map: relay > routes (relay_route.c) > request / response actions >
 * selections.
 */
#include "conf/relay_json.h"

#include <stdlib.h>
#include <string.h>

#include "conf/relay_field.h"
#include "conf/relay_pem.h"
#include "conf/relay_route.h"
#include "conf/relay_rule.h"
#include "lib/base/object.h"

#define APP_PREFIX	"app_"
#define APP_ID_MAX	35		/* characters behind the prefix */
#define APP_SYSTEM	"app_system"	/* holds certificate keys */
#define PORT_DEFAULT	443
#define CONNECT_MS_MAX	600000		/* ten minutes: more is a hang */
#define RESPONSE_MS_MAX	3600000		/* one hour: slow reports exist */

/* ---- routes ---------------------------------------------------------------- */

static enum rc
read_routes(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;
	size_t n;
	enum rc rc;

	if ((rc = relay_count_array(r, node, RELAY_ROUTES_MAX, &n)) != RC_OK)
		return (rc);
	relay->routes = xcalloc(n + 1, sizeof(*relay->routes));
	relay->n_routes = n;
	return (relay_read_array(r, node, relay_route_read, relay->routes,
	    sizeof(*relay->routes)));
}

/* ---- destination ----------------------------------------------------------- */

static enum rc
read_port(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;
	uint64_t port;
	enum rc rc = relay_read_uint(r, node, 1, UINT16_MAX, &port);

	if (rc == RC_OK)
		relay->port = (uint16_t)port;
	return (rc);
}

static enum rc
read_server_name(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;

	return (relay_read_host(r, node, &relay->server_name));
}

static enum rc
read_ca(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;
	enum rc rc;

	if ((rc = relay_read_text(r, node, &relay->ca)) != RC_OK)
		return (rc);
	switch (relay_pem_check(relay->ca)) {
	case RELAY_PEM_CERTIFICATES:
		return (RC_OK);
	case RELAY_PEM_NAME:		/* of a record in relay:certs */
		return (relay_not_available(r));
	case RELAY_PEM_BROKEN:
		break;
	}
	return (relay_fail(r, RC_SYNTAX,
	    "must be PEM text of certificates and nothing else"));
}

static enum rc
read_min_tls(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice versions[] = {
		{ "1.2", false },
		{ "1.3", true },
	};
	struct relay *relay = obj;
	int is_13;
	enum rc rc;

	rc = relay_read_choice(r, node, versions, RELAY_COUNT(versions), &is_13);
	if (rc == RC_OK)
		relay->min_tls_13 = is_13 != 0;
	return (rc);
}

static enum rc
read_ms(struct relay_reader *r, uint32_t node, uint64_t max, unsigned *out)
{
	uint64_t ms;
	enum rc rc = relay_read_uint(r, node, 1, max, &ms);

	if (rc == RC_OK)
		*out = (unsigned)ms;
	return (rc);
}

static enum rc
read_connect_timeout(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;

	return (read_ms(r, node, CONNECT_MS_MAX, &relay->connect_timeout_ms));
}

static enum rc
read_response_timeout(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;

	return (read_ms(r, node, RESPONSE_MS_MAX, &relay->response_timeout_ms));
}

static enum rc
read_destination(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "port", read_port, false },
		{ "serverName", read_server_name, false },
		{ "ca", read_ca, false },
		{ "clientCert", NULL, false },
		{ "minTls", read_min_tls, false },
		{ "connectTimeoutMs", read_connect_timeout, false },
		{ "responseTimeoutMs", read_response_timeout, false },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}

static enum rc
read_destination_domain(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;

	return (relay_read_host(r, node, &relay->host));
}

/* ---- rules of the whole relay ---------------------------------------------- */

static bool
is_app_id(const char *text)
{
	size_t len = strlen(APP_PREFIX);
	size_t rest;

	if (strncmp(text, APP_PREFIX, len) != 0)
		return (false);
	rest = strspn(text + len, "abcdefghijklmnopqrstuvwxyz0123456789_");
	return (rest >= 1 && rest <= APP_ID_MAX && text[len + rest] == '\0');
}

static enum rc
read_app(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;
	enum rc rc;

	if ((rc = relay_read_text(r, node, &relay->app)) != RC_OK)
		return (rc);
	if (!is_app_id(relay->app))
		return (relay_fail(r, RC_SYNTAX, "must be app_ and 1 to %d of "
		    "a-z, 0-9 and _", APP_ID_MAX));
	if (strcmp(relay->app, APP_SYSTEM) == 0)
		return (relay_fail(r, RC_SYNTAX, "this app is reserved"));
	return (RC_OK);
}

static enum rc
read_authentication(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice kinds[] = {
		{ "api-key", 1 },
	};
	struct relay *relay = obj;
	int kind;
	enum rc rc;

	if (r->doc->nodes[node].type == BODY_JSON_NULL)
		return (RC_OK);
	rc = relay_read_choice(r, node, kinds, RELAY_COUNT(kinds), &kind);
	relay->api_key = rc == RC_OK;
	return (rc);
}

/* A relay may reach what is private, for the operator writes it; one that was
 * made by the key API says no. */
static enum rc
read_internal(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;
	bool internal = false;
	enum rc rc = relay_read_bool(r, node, &internal);

	relay->guarded = !internal;
	return (rc);
}

/* Accepted and kept in the record, not interpreted. */
static enum rc
read_ignored(struct relay_reader *r, uint32_t node, void *obj)
{
	(void)r;
	(void)node;
	(void)obj;
	return (RC_OK);
}

static const struct relay_field relay_fields[] = {
	{ "app", read_app, true },
	{ "destinationDomain", read_destination_domain, true },
	{ "routes", read_routes, true },
	{ "curve", relay_rule_curve, false },
	{ "keyScope", relay_rule_key_scope, false },
	{ "existingTokens", relay_rule_existing, false },
	{ "encryptEmptyStrings", relay_rule_encrypt_empty, false },
	{ "onMismatch", relay_rule_mismatch, false },
	{ "onUndecryptable", relay_rule_undecryptable, false },
	{ "destination", read_destination, false },
	{ "limits", relay_rule_limits, false },
	{ "authentication", read_authentication, false },
	{ "internal", read_internal, false },
	{ "id", read_ignored, false },
	{ "evervaultDomain", read_ignored, false },
	{ "createdAt", read_ignored, false },
	{ "updatedAt", read_ignored, false },
};

/* ---- life ------------------------------------------------------------------ */

static void
relay_free(struct relay *relay)
{
	if (relay->routes_of == NULL) {
		for (size_t i = 0; i < relay->n_routes; i++)
			relay_route_fini(&relay->routes[i]);
		free(relay->routes);
	}
	relay_unref(&relay->routes_of);
	free(relay->app);
	free(relay->host);
	free(relay->server_name);
	free(relay->ca);
	relay->magic = 0;
	free(relay);
}

struct relay *
relay_ref(struct relay *relay)
{
	obj_check(relay, RELAY_MAGIC);
	ensure(relay->refs > 0 && relay->refs < UINT32_MAX);
	relay->refs++;
	return (relay);
}

void
relay_unref(struct relay **relay)
{
	struct relay *r = *relay;

	*relay = NULL;
	if (r == NULL)
		return;
	obj_check(r, RELAY_MAGIC);
	ensure(r->refs > 0);
	if (--r->refs == 0)
		relay_free(r);
}

struct relay *
relay_new(void)
{
	struct relay *relay = xcalloc(1, sizeof(*relay));

	relay->magic = RELAY_MAGIC;
	relay->refs = 1;
	relay->curve = RELAY_CURVE_R1;
	relay->key_scope = RELAY_SCOPE_REQUEST;
	relay->existing = RELAY_EXISTING_VERIFY;
	relay->encrypt_empty_strings = true;
	relay->port = PORT_DEFAULT;
	return (relay);
}

struct relay *
relay_for(struct relay *rules, const char *host, uint16_t port)
{
	struct relay *relay = xcalloc(1, sizeof(*relay));

	obj_check(rules, RELAY_MAGIC);
	ensure(rules->routes_of == NULL && rules->ca == NULL);
	*relay = *rules;
	relay->refs = 1;
	relay->app = xstrdup(rules->app);
	relay->host = xstrdup(host);
	relay->port = port;
	relay->server_name = xstrdup(host);
	relay->routes_of = relay_ref(rules);
	return (relay);
}

enum rc
relay_json_parse(struct span json, struct relay **out,
    struct relay_fault *fault)
{
	struct relay_fault ignored;
	struct relay_reader r = { .fault = fault == NULL ? &ignored : fault };
	struct body_json doc = { 0 };
	struct relay *relay = NULL;
	enum rc rc;

	*out = NULL;
	if ((rc = relay_read_document(&r, json, &doc)) != RC_OK)
		return (rc);
	relay = relay_new();
	rc = relay_read_object(&r, 0, relay_fields, RELAY_COUNT(relay_fields), relay);
	if (rc == RC_OK) {
		if (relay->server_name == NULL)
			relay->server_name = xstrdup(relay->host);
		*out = relay;
		relay = NULL;
	}
	relay_unref(&relay);
	body_json_fini(&doc);
	return (rc);
}
