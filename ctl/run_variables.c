/* ctl/run_variables.c - which variable says what to whom.  docs/clients says it
 * by runtime. */
#include "ctl/run_variables.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/net/addr.h"

enum rc
run_sdk_lookup(const char *name, enum run_sdk *out)
{
	static const char *const names[] = {
		[RUN_NODE] = "node",
		[RUN_PYTHON] = "python",
		[RUN_PHP] = "php",
		[RUN_GO] = "go",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*out = (enum run_sdk)i;
		return (RC_OK);
	}
	return (RC_NOTFOUND);
}

static struct buffer *
add(struct run_variables *list, const char *name)
{
	struct run_variable *v;

	ensure(list->n < RUN_VARIABLES_MAX);
	v = &list->v[list->n++];
	v->name = name;
	buffer_init(&v->value, 0, true);
	return (&v->value);
}

static void
set(struct run_variables *list, const char *name, const char *value)
{
	buffer_puts(add(list, name), value);
}

static void
set_url(struct run_variables *list, const char *name, const struct endpoint *e,
    const char *behind)
{
	struct buffer *b = add(list, name);

	endpoint_put_url(e, NULL, (struct span){ NULL, 0 }, b);
	buffer_puts(b, behind);
}

/* ---- where SDKs find the key API --------------------------------------------------------- */

/* Python's SDK trusts its own certificates alone for the key API, and wants
 * a slash at the end. */
static const struct endpoint *
choose_api(const struct run_plan *plan)
{
	const struct client_setup *s = plan->setup;
	bool plain_first = plan->sdk == RUN_PYTHON;

	if (s->api.port != 0 && (plain_first || s->api_tls.port == 0))
		return (&s->api);
	return (&s->api_tls);
}

/* ---- what is reached directly ------------------------------------------------------------- */

/* The key API and the CA (spec/sdk-api.md 4.3), and as little else as can be:
 * a token for a destination of the same name would go there as it is. */

static bool
is_loopback(const char *host)
{
	size_t n = strlen(host), suffix = strlen(".localhost");
	struct net_addr addr;

	if (net_addr_from_ip(host, 0, &addr) == RC_OK)
		return (net_addr_classify(&addr) == NET_ADDR_LOOPBACK);
	return (strcmp(host, "localhost") == 0 ||
	    (n > suffix && strcmp(host + n - suffix, ".localhost") == 0));
}

static bool
is_listed(const char *list, const char *entry, const char *between)
{
	while (*list != '\0') {
		size_t n = strcspn(list, between);

		if (span_eq_case(span_trim((struct span){ list, n }), entry))
			return (true);
		list += n + (list[n] != '\0');
	}
	return (false);
}

static void
put_entry(struct buffer *list, const char *entry, const char *between)
{
	if (is_listed(buffer_cstr(list), entry, between))
		return;
	if (buffer_len(list) != 0)
		buffer_puts(list, between);
	buffer_puts(list, entry);
}

/* PHP's SDK and Python's read the list by libraries that know no ports in it.
 * http:// is none of HTTPS_PROXY's business, and Go asks no proxy for loopback. */
static bool
needs_host(const struct run_plan *plan, const struct endpoint *e)
{
	return ((plan->sdk == RUN_PHP || plan->sdk == RUN_PYTHON) && e->tls &&
	    (e == choose_api(plan) || e == &plan->setup->ca));
}

/* What listens on this machine is not alone at its address, so the entry has
 * the port, too.  Who knows no ports there takes it for some other host: then
 * the proxy refuses what is for the API, and nothing goes around it. */
static void
put_direct(const struct run_plan *plan, const struct endpoint *e,
    struct buffer *list)
{
	struct buffer text;

	if (e->port == 0 || is_listed(buffer_cstr(list), e->host, ","))
		return;
	if (!is_loopback(e->host) || needs_host(plan, e)) {
		put_entry(list, e->host, ",");
		return;
	}
	buffer_init(&text, 0, false);
	endpoint_put_authority(e, &text);
	put_entry(list, buffer_cstr(&text), ",");
	buffer_fini(&text);
}

static void
put_no_proxy(const struct run_plan *plan, struct buffer *list)
{
	const struct client_setup *s = plan->setup;

	if (plan->no_proxy_only != NULL) {
		buffer_puts(list, plan->no_proxy_only);
		return;
	}
	if (plan->no_proxy != NULL)
		buffer_puts(list, plan->no_proxy);
	put_direct(plan, &s->api, list);
	put_direct(plan, &s->api_tls, list);
	put_direct(plan, &s->ca, list);
}

/* Java: "|" between entries, "*." for a suffix, no ports. */
static void
put_java_entry(struct buffer *list, struct span entry)
{
	struct buffer text;

	if (entry.len == 0)
		return;
	buffer_init(&text, 0, false);
	if (entry.p[0] == '.')
		buffer_puts(&text, "*");
	buffer_put(&text, entry.p, entry.len);
	put_entry(list, buffer_cstr(&text), "|");
	buffer_fini(&text);
}

/* An empty list is one, too: without it the JDK takes loopback out. */
static void
put_java_direct(const struct run_plan *plan, struct buffer *list)
{
	const struct client_setup *s = plan->setup;
	const struct endpoint *direct[] = { &s->api, &s->api_tls, &s->ca };
	const char *given = plan->no_proxy_only;

	for (size_t i = 0; given == NULL && i < 3; i++)
		if (direct[i]->port != 0 && !is_loopback(direct[i]->host))
			put_java_entry(list, span_of(direct[i]->host));
	while (given != NULL && *given != '\0') {
		size_t n = strcspn(given, ",");

		put_java_entry(list, span_trim((struct span){ given, n }));
		given += n + (given[n] != '\0');
	}
}

/* Does it stand for every port of this machine, or for all hosts? */
static bool
is_around(struct span entry)
{
	char host[HOST_BYTES];
	const char *mask;

	if (span_eq_str(entry, "*") || span_eq_case(entry, ".localhost"))
		return (true);
	if ((mask = memchr(entry.p, '/', entry.len)) != NULL)
		entry.len = (size_t)(mask - entry.p);	/* 127.0.0.0/8 */
	return (host_canonical(entry, host) == RC_OK && is_loopback(host));
}

bool
run_variables_around(struct run_variables *list, struct span *entry)
{
	const char *p = run_variables_get(list, "NO_PROXY");

	while (p != NULL && *p != '\0') {
		size_t n = strcspn(p, ", \t");	/* some split at spaces */

		*entry = (struct span){ p, n };
		if (is_around(*entry))
			return (true);
		p += n + (p[n] != '\0');
	}
	return (false);
}

/* ---- the proxy ---------------------------------------------------------------------- */

static void
set_proxy(const struct run_plan *plan, struct run_variables *out)
{
	static const char *const names[] = { "HTTPS_PROXY", "https_proxy" };
	static const char *const exceptions[] = { "NO_PROXY", "no_proxy" };
	const struct client_setup *s = plan->setup;
	const struct endpoint *proxy = plan->plain ? &s->plain : &s->egress;
	/* A key in clear is never taken, so it is not put there. */
	struct span key = { buffer_data(&s->key),
	    plan->plain ? 0 : buffer_len(&s->key) };

	for (int i = 0; i < 2; i++) {
		struct buffer *b;

		endpoint_put_url(proxy, s->app, key, add(out, names[i]));
		b = add(out, exceptions[i]);
		put_no_proxy(plan, b);
	}
	set(out, "NODE_USE_ENV_PROXY", "1");	/* Node 24 */
	/* git waits for a 407 by itself, which only a strict listener gives. */
	set(out, "GIT_HTTP_PROXY_AUTHMETHOD", "basic");
}

/* ---- what to trust -------------------------------------------------------------------- */

static void
set_trust(const struct run_plan *plan, struct run_variables *out)
{
	/* These take the place of the system's store... */
	static const char *const replacing[] = {
		"SSL_CERT_FILE",	/* OpenSSL, Go, Ruby, PHP, httpx, uv */
		"CURL_CA_BUNDLE",
		"REQUESTS_CA_BUNDLE",
		"PIP_CERT",
		"AWS_CA_BUNDLE",
		"GIT_SSL_CAINFO",
		"GIT_PROXY_SSL_CAINFO",
		"CARGO_HTTP_CAINFO",
		"PERL_LWP_SSL_CA_FILE",
		"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
		"HTTPLIB2_CA_CERTS",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
		"NIX_SSL_CERT_FILE",
		"npm_config_cafile",
	};
	/* ...and these add to what the runtime trusts. */
	static const char *const adding[] = {
		"NODE_EXTRA_CA_CERTS",
		"DENO_CERT",
	};

	for (size_t i = 0; i < sizeof(replacing) / sizeof(replacing[0]); i++)
		set(out, replacing[i], plan->bundle);
	for (size_t i = 0; i < sizeof(adding) / sizeof(adding[0]); i++)
		set(out, adding[i], plan->anchors);
	/* curl trusts a proxy by a file of its own, which no variable names. */
	set(out, "CURL_HOME", plan->folder);
}

/* One option; the JVM splits the variable at spaces outside of quotes. */
static void
put_option(struct buffer *b, const char *name, const char *value)
{
	bool quoted = strpbrk(value, " \t") != NULL;

	if (buffer_len(b) != 0)
		buffer_puts(b, " ");
	buffer_printf(b, "%s-D%s=%s%s", quoted ? "\"" : "", name, value,
	    quoted ? "\"" : "");
}

/* The JDK opens tunnels through proxies without TLS alone, so its proxy is the
 * plain listener; the key goes with the request then. */
static void
set_java(const struct run_plan *plan, struct run_variables *out)
{
	struct buffer *b = add(out, "JAVA_TOOL_OPTIONS");
	const struct endpoint *plain = &plan->setup->plain;
	struct buffer text;

	if (plan->java != NULL)
		buffer_puts(b, plan->java);
	put_option(b, "javax.net.ssl.trustStore", plan->key_store);
	put_option(b, "javax.net.ssl.trustStoreType", "PKCS12");
	if (plain->port == 0)
		return;
	buffer_init(&text, 0, false);
	buffer_printf(&text, "%u", plain->port);
	put_option(b, "https.proxyHost", plain->host);
	put_option(b, "https.proxyPort", buffer_cstr(&text));
	/* A list here, though named http., is also for https. */
	buffer_clear(&text);
	put_java_direct(plan, &text);
	put_option(b, "http.nonProxyHosts", buffer_cstr(&text));
	put_option(b, "jdk.http.auth.tunneling.disabledSchemes", "");
	buffer_fini(&text);
}

/* ---- SDKs (spec/sdk-api.md 1) ------------------------------------------------------------ */

#define PORT_HTTPS	443

/* Java's SDK takes host names alone: https and 443 are fixed there. */
static void
set_sdk_java(const struct client_setup *s, struct run_variables *out)
{
	if (s->api_tls.port == PORT_HTTPS)
		set(out, "EV_API_HOST", s->api_tls.host);
	if (s->strict.port == PORT_HTTPS)
		set(out, "EV_RELAY_HOST", s->strict.host);
}

static void
set_sdk(const struct run_plan *plan, struct run_variables *out)
{
	const struct client_setup *s = plan->setup;
	const struct endpoint *api = choose_api(plan);
	const struct endpoint *ca = s->ca.port != 0 ? &s->ca : api;
	const char *path = s->ca.port != 0 ? "/" : "/ca.pem";

	if (api->port != 0)
		set_url(out, "EV_API_URL", api,
		    plan->sdk == RUN_PYTHON ? "/" : "");
	if (s->egress.port != 0) {
		set_url(out, "EV_TUNNEL_HOSTNAME", &s->egress, "");
		set_url(out, "EV_RELAY_URL", &s->egress, "");
	}
	if (ca->port != 0) {
		set_url(out, "EV_CERT_HOSTNAME", ca, path);
		set_url(out, "EV_CA_URL", ca, path);
	}
	set_sdk_java(s, out);
}

/* ---- the list ----------------------------------------------------------------------------- */

void
run_variables_make(const struct run_plan *plan, struct run_variables *out)
{
	memset(out, 0, sizeof(*out));
	set_proxy(plan, out);
	set_trust(plan, out);
	set_java(plan, out);
	set_sdk(plan, out);
}

const char *
run_variables_get(struct run_variables *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i].name, name) == 0)
			return (buffer_cstr(&list->v[i].value));
	return (NULL);
}

enum rc
run_variables_apply(struct run_variables *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (setenv(list->v[i].name, buffer_cstr(&list->v[i].value), 1) !=
		    0)
			return (RC_NOMEM);
	return (RC_OK);
}

void
run_variables_fini(struct run_variables *list)
{
	for (size_t i = 0; i < list->n; i++)
		buffer_fini(&list->v[i].value);
	list->n = 0;
}
