/*
 * worker/api.c - the table of endpoints, and what becomes of a request from
 * its head alone.  The life of a call is in api_call.c, who asks in api_auth.c,
 * the endpoints are in a file for each noun.
 */
#include "worker/api_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/uri.h"
#include "worker/api_relays.h"

#define ROLE_FIELD	"x-evervault-data-role"

/* Rows of one path stand together; the first that fits counts. */
static const struct api_endpoint endpoints[] = {
	{ "/cages/key", HTTP_GET, 0, API_SCOPE_KEYS, api_cages_key },
	{ "/keys", HTTP_GET, API_OPEN | API_CORS, 0, api_keys_of_app },
	{ "/encrypt", HTTP_POST, API_JSON | API_FILE, API_SCOPE_ENCRYPT,
	    api_encrypt },
	{ "/decrypt", HTTP_POST, API_JSON | API_FILE | API_TOKENS | API_CORS,
	    API_SCOPE_DECRYPT, api_decrypt },
	{ "/client-side-tokens", HTTP_POST, API_JSON, API_SCOPE_TOKEN,
	    api_token_create },
	{ "/inspect", HTTP_POST, API_JSON, API_SCOPE_INSPECT, api_inspect },
	{ "/v2/relay-outbound", HTTP_GET, 0, API_SCOPE_EGRESS, api_outbound },
	{ "/ca.pem", HTTP_GET, API_OPEN | API_CORS | API_ON_CA, 0,
	    api_ca_bundle },
	{ "/", HTTP_GET, API_OPEN | API_CORS | API_ONLY_CA, 0, api_ca_pem },
	{ "/relays", HTTP_GET, 0, API_SCOPE_MANAGE, api_relays_list },
	{ "/relays", HTTP_POST, API_JSON, API_SCOPE_MANAGE, api_relays_create },
	{ "/relays/*", HTTP_GET, 0, API_SCOPE_MANAGE, api_relay_get },
	{ "/relays/*", HTTP_PATCH, API_JSON, API_SCOPE_MANAGE,
	    api_relay_change },
	{ "/relays/*", HTTP_DELETE, 0, API_SCOPE_MANAGE, api_relay_remove },
	{ "/relays/*/custom-domains", HTTP_GET, 0, API_SCOPE_MANAGE,
	    api_domains_list },
	{ "/relays/*/custom-domains", HTTP_POST, API_JSON, API_SCOPE_MANAGE,
	    api_domains_create },
	{ "/relays/*/custom-domains/*", HTTP_GET, 0, API_SCOPE_MANAGE,
	    api_domain_get },
	{ "/relays/*/custom-domains/*", HTTP_DELETE, 0, API_SCOPE_MANAGE,
	    api_domain_remove },
	{ "/egress", HTTP_GET, 0, API_SCOPE_MANAGE, api_egress_get },
	{ "/egress", HTTP_PUT, API_JSON, API_SCOPE_MANAGE, api_egress_put },
	{ "/egress", HTTP_DELETE, 0, API_SCOPE_MANAGE, api_egress_remove },
	{ "/*/apps/*", HTTP_GET, API_OPEN | API_CORS, 0, api_keys_of_browser },
};
#define ENDPOINTS	(sizeof(endpoints) / sizeof(endpoints[0]))

/* ---- which endpoint ---- */

static bool
is_served(const struct api_endpoint *e, enum conf_listen_kind kind)
{
	if (kind == CONF_LISTEN_CA)
		return ((e->flags & (API_ON_CA | API_ONLY_CA)) != 0);
	return ((e->flags & API_ONLY_CA) == 0);
}

/* The first row of this path; NULL: there is none. */
static const struct api_endpoint *
find_path(struct api_call *a, struct span path)
{
	for (size_t i = 0; i < ENDPOINTS; i++)
		if (is_served(&endpoints[i], a->conn->kind) &&
		    api_path_match(endpoints[i].path, path, &a->arguments))
			return (&endpoints[i]);
	return (NULL);
}

static bool
same_path(const struct api_endpoint *a, const struct api_endpoint *b)
{
	return (b < endpoints + ENDPOINTS && strcmp(a->path, b->path) == 0);
}

static const char *
method_name(enum http_method m)
{
	switch (m) {
	case HTTP_GET:
		return ("GET, HEAD");
	case HTTP_POST:
		return ("POST");
	case HTTP_PUT:
		return ("PUT");
	case HTTP_PATCH:
		return ("PATCH");
	case HTTP_DELETE:
		return ("DELETE");
	default:
		return ("OPTIONS");
	}
}

/* What Allow says of this path (RFC 9110 10.2.1). */
static char *
allowed_methods(const struct api_endpoint *first)
{
	struct buffer text;
	char *copy;

	buffer_init(&text, 0, false);
	for (const struct api_endpoint *e = first; same_path(first, e); e++)
		buffer_printf(&text, "%s, ", method_name(e->method));
	buffer_puts(&text, "OPTIONS");
	copy = xstrdup(buffer_cstr(&text));
	buffer_fini(&text);
	return (copy);
}

static void
answer_options(struct api_call *a)
{
	static const char cors[] =
	    "Access-Control-Allow-Headers: Authorization, Api-Key, Content-Type, "
	    "X-Evervault-App-Id\r\n"
	    "Access-Control-Max-Age: 600\r\n";
	bool browsers = (a->endpoint->flags & API_CORS) != 0;
	char *fields = xasprintf("Allow: %s\r\n%s%s%s%s", a->allow,
	    browsers ? "Access-Control-Allow-Methods: " : "",
	    browsers ? a->allow : "", browsers ? "\r\n" : "",
	    browsers ? cors : "");

	api_answer_with(a, 204, NULL, NULL, fields);
	free(fields);
}

/* A browser asks before it calls (Fetch, "CORS-preflight fetch"); it sends no
 * credentials with that. */
static const struct api_endpoint options[] = {
	{ "OPTIONS", HTTP_OPTIONS, API_OPEN, 0, answer_options },
	{ "OPTIONS", HTTP_OPTIONS, API_OPEN | API_CORS, 0, answer_options },
};

static bool
find_endpoint(struct api_call *a, struct span path)
{
	enum http_method m = a->method == HTTP_HEAD ? HTTP_GET : a->method;
	const struct api_endpoint *first = find_path(a, path);

	if (first == NULL) {
		api_refuse(a, ERROR_RESOURCE_NOT_FOUND,
		    "the key API has no such path");
		return (false);
	}
	for (const struct api_endpoint *e = first; same_path(first, e); e++) {
		a->endpoint = e;	/* also of a refusal: for its CORS */
		if (e->method == m)
			return (true);
	}
	a->allow = allowed_methods(first);
	if (m == HTTP_OPTIONS) {
		a->endpoint = &options[(first->flags & API_CORS) != 0];
		return (true);
	}
	api_refuse(a, ERROR_METHOD_NOT_ALLOWED,
	    "the path does not take this method");
	return (false);
}

/* ---- what the head says ---- */

static bool
judge_target(struct api_call *a, const struct http_head *head)
{
	struct http_target target;
	char name[HOST_BYTES];
	struct span host;
	uint16_t port;
	enum rc rc = http_head_host(head, &host);

	if (rc == RC_SYNTAX || (rc == RC_OK &&
	    http_host_parse(host, name, &port) != RC_OK)) {
		api_refuse(a, ERROR_BAD_REQUEST,
		    "exactly one Host field with a host name is needed");
		return (false);
	}
	if (http_target_parse(head->method, head->target, &target) != RC_OK) {
		api_refuse(a, ERROR_BAD_REQUEST,
		    "the request target is not understood");
		return (false);
	}
	return (find_endpoint(a, target.path));
}

static bool
judge_framing(struct api_call *a, const struct http_head *head,
    struct http_framing *framing)
{
	enum rc rc = http_framing_request(head, framing);

	if (rc == RC_OK)
		return (true);
	a->client_keep = false;
	api_refuse(a, rc == RC_UNSUPPORTED ? ERROR_NOT_IMPLEMENTED :
	    ERROR_BAD_REQUEST, framing->detail);
	return (false);
}

static void
judge_expect(struct api_call *a, const struct http_head *head)
{
	const struct http_field *f = http_head_field(head, HTTP_FIELD_EXPECT);

	if (f == NULL || head->minor == 0)	/* RFC 9110 10.1.1 */
		return;
	if (!span_eq_case(f->value, "100-continue") ||
	    http_head_count(head, HTTP_FIELD_EXPECT) > 1)
		api_refuse(a, ERROR_EXPECTATION_FAILED,
		    "only 100-continue can be expected");
	else
		a->wants_continue = !a->reader.done;
}

/* JSON is what a body without a type is taken for: a user's curl. */
static bool
is_json(struct span type, struct span charset)
{
	return (http_media_is_json(type) && (charset.len == 0 ||
	    span_eq_case(charset, "utf-8") || span_eq_case(charset, "us-ascii")));
}

static void
judge_content(struct api_call *a, const struct http_head *head)
{
	const struct http_field *f = http_head_field(head, HTTP_FIELD_CONTENT_TYPE);
	struct span type = { NULL, 0 }, charset = { NULL, 0 };
	bool known;

	if ((a->endpoint->flags & (API_JSON | API_FILE)) == 0)
		return;
	if (content_coding_judge(head, &a->coding) != RC_OK) {
		api_refuse(a, ERROR_UNSUPPORTED_CONTENT_TYPE,
		    "the body has a content coding that is not known here");
		return;
	}
	known = f == NULL || http_media_type(f->value, &type, &charset) == RC_OK;
	a->is_file = f != NULL && known && (a->endpoint->flags & API_FILE) != 0 &&
	    span_eq_case(type, API_TYPE_FILE);
	if (!known || http_head_count(head, HTTP_FIELD_CONTENT_TYPE) > 1 ||
	    (f != NULL && !a->is_file && !is_json(type, charset)))
		api_refuse(a, ERROR_UNSUPPORTED_CONTENT_TYPE,
		    (a->endpoint->flags & API_FILE) != 0 ?
		    "the body must be application/json in UTF-8, or "
		    "application/octet-stream" :
		    "the body must be application/json in UTF-8");
}

static void
judge_length(struct api_call *a, const struct http_framing *framing)
{
	const struct conf *conf = a->wrk->conf;

	a->body_limit = a->is_file ? conf->max_file_bytes : conf->max_body_bytes;
	if (a->is_file && a->endpoint->run == api_decrypt)
		a->body_limit += WORKER_FILE_SEALED_MORE;
	if ((a->endpoint->flags & (API_JSON | API_FILE)) == 0)
		a->body_limit = 0;
	if (framing->kind == HTTP_BODY_LENGTH && framing->length > a->body_limit)
		api_refuse(a, ERROR_PAYLOAD_TOO_LARGE, a->body_limit == 0 ?
		    "a request of this kind has no body" :
		    "the body is over the limit");
}

/* A data role is a slug (spec/inbound.md 5). */
static void
read_role(struct api_call *a, const struct http_head *head)
{
	const struct http_field *f = http_head_field_named(head, ROLE_FIELD);
	bool good;

	if (f == NULL || a->endpoint->run != api_encrypt)
		return;
	good = f->value.len > 0 && span_copy(f->value, a->role, sizeof(a->role));
	for (const char *p = a->role; good && *p != '\0'; p++)
		good = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		    *p == '-';
	if (!good)
		api_refuse(a, ERROR_BAD_REQUEST, "x-evervault-data-role must be "
		    "1 to 20 of a-z, 0-9 and hyphen");
}

/* Which app's keys are asked for: the one argument of a path without one. */
static void
read_app_field(struct api_call *a, const struct http_head *head)
{
	const struct http_field *f;

	if (a->endpoint->run != api_keys_of_app)
		return;
	f = http_head_field_named(head, "x-evervault-app-id");
	if (f == NULL || !span_copy(f->value, a->app, sizeof(a->app)))
		api_refuse(a, ERROR_BAD_REQUEST,
		    "x-evervault-app-id must name an app");
}

static void
read_credentials(struct api_call *a, const struct http_head *head)
{
	if ((a->endpoint->flags & API_OPEN) != 0) {
		a->authorised = true;	/* SDKs send them here, too */
		return;
	}
	if (api_credentials_read(head, &a->credentials) != RC_OK)
		api_refuse(a, ERROR_UNAUTHORIZED,
		    "the credentials cannot be read, or contradict each other");
	else if (a->credentials.scheme == API_SCHEME_NONE)
		api_refuse(a, ERROR_UNAUTHORIZED, "an API key is needed");
	else if (a->credentials.scheme == API_SCHEME_TOKEN &&
	    (a->endpoint->flags & API_TOKENS) == 0)
		api_refuse(a, ERROR_UNAUTHORIZED,
		    "a client-side token is not good for this path");
}

/* Every check that can refuse comes before the first one that costs. */
static void
judge(struct api_call *a, const struct http_head *head)
{
	struct http_framing framing = { .kind = HTTP_BODY_NONE };
	bool framed = judge_framing(a, head, &framing);

	body_reader_init(&a->reader, &framing, &a->wrk->head_limits);
	a->body_taken = framed && a->reader.done;
	a->collected = a->body_taken;
	if (!framed || !judge_target(a, head))
		return;
	read_credentials(a, head);
	judge_expect(a, head);
	judge_content(a, head);
	judge_length(a, &framing);
	read_role(a, head);
	read_app_field(a, head);
}

struct api_call *
api_begin(struct conn *c)
{
	struct api_call *a = xcalloc(1, sizeof(*a));
	const struct http_head *head = &c->head;

	a->magic = API_CALL_MAGIC;
	a->conn = c;
	a->wrk = c->wrk;
	transaction_begin(&a->tx);
	a->method = head->method;
	a->client_minor = head->minor;
	a->client_keep = http_head_keep_alive(head);
	api_credentials_init(&a->credentials);
	buffer_init(&a->body, 0, true);
	buffer_init(&a->no_head, 0, false);
	buffer_init(&a->out, 0, true);
	buffer_init(&a->was, 0, false);
	judge(a, head);
	return (a);
}

/* ---- what calls share ---- */

/* `$` chooses every leaf, and a document that is one value. */
static const char rules_json[] =
    "{\"app\":\"app_000000000000\",\"destinationDomain\":\"api.invalid\","
    "\"onUndecryptable\":\"reject\",\"routes\":["
    "{\"path\":\"/encrypt\",\"request\":[{\"action\":\"encrypt\","
    "\"selections\":[{\"selector\":\"$\"}]}]},"
    "{\"path\":\"/decrypt\",\"request\":[{\"action\":\"decrypt\","
    "\"selections\":[{\"selector\":\"$\"}]}]}]}";

struct api *
api_new(struct worker *w)
{
	struct api *api = xcalloc(1, sizeof(*api));
	struct relay_fault fault;

	api->magic = API_MAGIC;
	api->wrk = w;
	ensure(relay_json_parse(SPAN_LIT(rules_json), &api->rules, &fault) ==
	    RC_OK);
	return (api);
}

void
api_shared_free(struct api **ap)
{
	struct api *api = *ap;

	*ap = NULL;
	if (api == NULL)
		return;
	obj_check(api, API_MAGIC);
	relay_unref(&api->rules);
	api->magic = 0;
	free(api);
}
