/*
 * relay-worker: the proxy process.  Many run at once; none holds a data key.
 *
 * main() is the order of things: descriptors, configuration, TLS, pools,
 * sandbox, loop.
 */
#include "config.h"

#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/ticket.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/options.h"
#include "lib/base/sandbox.h"
#include "lib/base/secret.h"
#include "lib/ipc/link_ctx.h"
#include "lib/ipc/role.h"
#include "worker/accept.h"
#include "worker/api.h"
#include "worker/address_meter.h"
#include "worker/api_key.h"
#include "worker/conn.h"
#include "worker/drain.h"
#include "worker/egress_ca.h"
#include "worker/engine_list.h"
#include "worker/engine_pool.h"
#include "worker/feed_client.h"
#include "worker/explain.h"
#include "worker/key_watch.h"
#include "worker/leaf_cache.h"
#include "worker/origin_pool.h"
#include "worker/route.h"

#define MAP_RETRY_MS	100	/* the feed makes the map within moments */
#define PEM_BYTES_MAX	(4u << 20)
#define TICKETS_BYTES_MAX	4096	/* a handful of keys of 80 bytes */

struct options {
	const char	*name;
	const char	*conf_path;
	unsigned	generation;
	bool		test;		/* -t: load everything, serve nothing */
	struct explain	explain;	/* --explain: of one request */
};

static SSL_CTX *link_ctx;	/* owned: for engine links */
static struct timer map_timer;

static const char usage_text[] =
    "usage: relay-worker [-t] --name NAME [--generation N] [--conf-path PATH]\n"
    "\n"
    "relayd starts this program; it needs the descriptors that relayd passes.\n"
    "  -t            load certificates, keys and CA files, say ok, exit\n"
    "  --explain REQUEST --relay FILE --relay-name NAME [--host HOST] [--json]\n"
    "                what relayctl explain prints; needs no descriptors\n"
    "  -V, --version print the version\n"
    "  -h, --help    print this text\n";

static struct options
parse_options(int argc, char **argv)
{
	struct options o = { .name = "worker", .conf_path = NULL };
	const struct options_row rows[] = {
		{ "name", .text = &o.name },
		{ "generation", .number = &o.generation, .max = UINT_MAX },
		{ "conf-path", .text = &o.conf_path },
		{ "test", 't', .set = &o.test },
		{ "explain", .text = &o.explain.request_path },
		{ "relay", .text = &o.explain.relay_path },
		{ "relay-name", .text = &o.explain.relay_name },
		{ "host", .text = &o.explain.host },
		{ "json", .set = &o.explain.json },
	};

	options_read(&(struct options_program){ "relay-worker",
	    PACKAGE_VERSION, usage_text }, rows, sizeof(rows) / sizeof(rows[0]),
	    argc, argv);
	return (o);
}

/* Offline: the limits of the configuration when one was named, else defaults. */
static int
explain(struct options *o)
{
	struct conf_fault fault;
	struct conf *conf = NULL;
	enum rc rc;
	int status;

	if (o->explain.relay_path == NULL || o->explain.relay_name == NULL) {
		fputs(usage_text, stderr);
		return (2);
	}
	rc = o->conf_path != NULL ? conf_read(o->conf_path, &conf, &fault) :
	    conf_read_text("relay.conf", SPAN_LIT(""), &conf, &fault);
	if (rc != RC_OK) {
		fprintf(stderr, "%s\n", fault.text);
		return (2);
	}
	o->explain.conf = conf;
	status = explain_run(&o->explain);
	conf_free(&conf);
	return (status);
}

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* Content of a descriptor that must be there. */
static void
need(struct ipc_inherited *in, const char *name, struct buffer *out)
{
	if (ipc_inherit_take_content(in, name, out) != RC_OK)
		fatal(1, "descriptor missing or unreadable name=%s", name);
}

/* ---- configuration and TLS ---- */

static void
read_conf(struct worker *w, struct ipc_inherited *in, const struct options *o)
{
	struct conf_fault fault;
	struct buffer text;

	buffer_init(&text, PEM_BYTES_MAX, false);
	need(in, "conf", &text);
	if (conf_read_text(o->conf_path, view(&text), &w->conf, &fault) != RC_OK)
		fatal(2, "%s", fault.text);
	buffer_fini(&text);
	log_set_level(w->conf->log_level);
	w->head_limits = (struct http_limits){
		.head_bytes = w->conf->max_head_bytes,
		.target_bytes = w->conf->max_target_bytes,
		.fields = w->conf->max_fields,
	};
}

/* The configuration was checked: only memory can fail here. */
static void
read_trusted(struct worker *w)
{
	w->trusted = xcalloc(w->conf->n_trusted_proxies + 1, sizeof(*w->trusted));
	for (size_t i = 0; i < w->conf->n_trusted_proxies; i++)
		ensure(net_cidr_parse(w->conf->trusted_proxies[i],
		    &w->trusted[i]) == RC_OK);
	w->n_trusted = w->conf->n_trusted_proxies;
}

static void
load_certificate(struct worker *w, struct ipc_inherited *in, size_t i)
{
	const struct conf_certificate *c = &w->conf->certificates[i];
	struct buffer chain, key;
	char name[IPC_FD_NAME_BYTES], why[256];

	buffer_init(&chain, PEM_BYTES_MAX, false);
	buffer_init(&key, PEM_BYTES_MAX, true);
	snprintf(name, sizeof(name), "cert.%zu", i);
	need(in, name, &chain);
	snprintf(name, sizeof(name), "key.%zu", i);
	need(in, name, &key);
	if (certs_store_add(w->certs, c->name, view(&chain), view(&key),
	    (const char *const *)c->names, c->n_names, why, sizeof(why)) != RC_OK)
		fatal(2, "%s: certificate '%s' (%s, %s): %s", w->conf->path, c->name,
		    c->chain, c->key, why);
	buffer_fini(&chain);
	buffer_fini(&key);
}

static void
load_tickets(struct worker *w, struct ipc_inherited *in)
{
	struct buffer tickets;

	buffer_init(&tickets, TICKETS_BYTES_MAX, true);
	need(in, "tickets", &tickets);
	if (certs_ticket_keys_new(view(&tickets), &w->tickets) != RC_OK)
		fatal(1, "ticket keys are not of their form");
	buffer_fini(&tickets);
}

static void
load_tls(struct worker *w, struct ipc_inherited *in)
{
	struct buffer ca;
	char why[256];

	w->certs = certs_store_new(w->tickets);
	for (size_t i = 0; i < w->conf->n_certificates; i++)
		load_certificate(w, in, i);
	if (certs_store_default(w->certs) == NULL)
		fatal(2, "%s: no certificate section", w->conf->path);
	buffer_init(&ca, PEM_BYTES_MAX, false);
	if (w->conf->upstream_ca_file[0] != '\0' &&
	    file_read(w->conf->upstream_ca_file, &ca) != RC_OK)
		fatal(2, "%s: option 'upstream_ca_file': %s cannot be read",
		    w->conf->path, w->conf->upstream_ca_file);
	if (certs_verify_new(view(&ca), &w->verify, why, sizeof(why)) != RC_OK)
		fatal(2, "%s: option 'upstream_ca_file': %s: %s", w->conf->path,
		    w->conf->upstream_ca_file, why);
	buffer_fini(&ca);
}

static void
load_link(struct ipc_inherited *in)
{
	char why[256];

	link_ctx = ipc_inherit_link_ctx(in, false, why, sizeof(why));
	if (link_ctx == NULL)
		fatal(2, "link certificate of role worker: %s", why);
}

/* ---- the control channel ---- */

static void
new_tickets(struct worker *w, int fd)
{
	/* All workers share its offset: only the reader for such will do. */
	struct ipc_inherited one = { .n = 1, .v = { { "tickets", fd } } };
	struct buffer content;

	buffer_init(&content, TICKETS_BYTES_MAX, true);
	if (fd < 0 || ipc_inherit_take_content(&one, "tickets", &content) != RC_OK ||
	    certs_ticket_keys_replace(w->tickets, view(&content)) != RC_OK)
		log_warn("ticket keys refused");
	buffer_fini(&content);
}

static void
on_control_message(void *arg, struct span verb, struct span text, int fd)
{
	struct worker *w = arg;

	(void)text;
	if (span_eq_str(verb, "drain")) {
		drain_begin(w);
	} else if (span_eq_str(verb, "reopen-log") && fd >= 0) {
		log_to_fd(fd);
		return;
	} else if (span_eq_str(verb, "tickets")) {
		new_tickets(w, fd);
		return;
	}
	fd_close(&fd);
}

static void
on_control_eof(void *arg)
{
	struct worker *w = arg;

	log_info("relayd is gone");
	drain_begin(w);
}

static const struct ipc_channel_ops control_ops = {
	.on_message = on_control_message,
	.on_eof = on_control_eof,
};

/* ---- start ---- */

static void
enter_sandbox(const struct worker *w)
{
	if (!w->conf->seccomp)
		return;
	switch (sandbox_enter(SANDBOX_WORKER)) {
	case RC_OK:
		return;
	case RC_UNAVAILABLE:
		log_warn("no system call filter here: this kernel or build has none");
		return;
	default:
		fatal(1, "the system call filter could not be loaded");
	}
}

/*
 * The feed makes the map, perhaps a moment after we start.  Until then every
 * request gets 503 not-ready; the sandbox, which forbids opening files, comes
 * after it.
 */
static void
on_map_timer(void *arg)
{
	struct worker *w = arg;
	enum rc rc = route_table_open(w->routes);

	if (rc == RC_OK) {
		enter_sandbox(w);
		return;
	}
	if (rc != RC_NOTFOUND)
		log_warn("map not open reason=%s", rc_name(rc));
	timer_start_ms(&map_timer, rc == RC_NOTFOUND ? MAP_RETRY_MS : 1000);
}

/* The feed walks the map, and writes again what cannot be read. */
static void
on_map_damage(void *arg)
{
	struct worker *w = arg;

	(void)!ipc_channel_send(w->control, "map-damaged", SPAN_LIT(""), -1);
}

static void
on_reap(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_reap(arg);
}

/* Of the pool of engines, which outlives that of destinations. */
static bool
is_engine(void *arg, const struct net_addr *addr)
{
	return (engine_pool_is_at(arg, addr));
}

/* Ingress alone has no use for it. */
static bool
uses_egress_ca(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_listens; i++)
		if (conf->listens[i].kind != CONF_LISTEN_INGRESS)
			return (true);
	return (false);
}

static void
make_pools(struct worker *w)
{
	char *path = xasprintf("%s/map", w->conf->state_dir);

	w->routes = route_table_new(path);
	route_table_on_damage(w->routes, on_map_damage, w);
	free(path);
	path = xasprintf("%s/" CONF_FEED_WORKER_SOCKET, w->conf->run_dir);
	w->feed = feed_client_new(w->loop, path);
	free(path);
	w->dns = net_dns_new(w->loop, w->conf->dns_servers[0] != '\0' ?
	    w->conf->dns_servers : NULL);
	w->origins = origin_pool_new(w->loop, w->conf, w->verify, w->dns);
	w->engines = engine_pool_new(w->loop, &(struct engine_pool_config){
	    .addresses = (const char *const *)w->conf->engines,
	    .n_addresses = w->conf->n_engines,
	    .dns = w->dns,
	    .ctx = link_ctx,
	    .links = w->conf->engine_links,
	    .timeout_ms = w->conf->engine_timeout_ms,
	    .stall_ms = w->conf->link_stall_ms,
	});
	origin_pool_set_parts(w->origins, is_engine, w->engines);
	if (w->conf->engine_announced)
		w->engine_list = engine_list_new(w->loop, w->routes, w->engines);
	w->api_keys = api_keys_new(w->loop, w->engines);
	w->key_watches = key_watches_new(w->loop, w->api_keys, w->engines);
	w->egress_ca = egress_ca_new(w->loop, w->engines);
	if (uses_egress_ca(w->conf))
		egress_ca_watch(w->egress_ca);
	w->leaves = leaf_cache_new(w->engines, w->egress_ca,
	    w->conf->leaf_cache_size);
	ensure(w->leaves != NULL);
	w->auth_failures = address_meter_new(w->conf->auth_failures_per_minute);
	w->leaf_quota = address_meter_new(w->conf->leaf_quota_per_minute);
	w->api = api_new(w);
	w->reap = event_new(loop_base(w->loop), -1, 0, on_reap, w);
	ensure(w->reap != NULL);
}

static void
take_listeners(struct worker *w, struct ipc_inherited *in)
{
	struct accept_listener v[CONF_LIST_MAX];
	char name[IPC_FD_NAME_BYTES];
	size_t n;

	for (n = 0; n < w->conf->n_listens && n < CONF_LIST_MAX; n++) {
		snprintf(name, sizeof(name), "listen.%zu", n);
		v[n].kind = w->conf->listens[n].kind;
		if ((v[n].fd = ipc_inherit_take(in, name)) < 0)
			fatal(1, "descriptor missing name=%s", name);
	}
	w->accept = accept_new(w, v, n);
}

static void
leave(struct worker *w)
{
	struct conn *c, *next;

	TAILQ_FOREACH_SAFE(c, &w->live, link, next)
		conn_close(c, CLOSE_DRAIN);
	conn_reap(w);
	accept_free(&w->accept);
	origin_pool_free(&w->origins);
	api_shared_free(&w->api);
	feed_client_free(&w->feed);
	leaf_cache_free(&w->leaves);
	egress_ca_free(&w->egress_ca);
	key_watches_free(&w->key_watches);
	api_keys_free(&w->api_keys);
	address_meter_free(&w->auth_failures);
	address_meter_free(&w->leaf_quota);
	engine_list_free(&w->engine_list);
	engine_pool_free(&w->engines);
	net_dns_free(&w->dns);
	route_table_free(&w->routes);
	certs_store_free(&w->certs);
	certs_verify_free(&w->verify);
	certs_ticket_keys_free(&w->tickets);
	ipc_channel_free(&w->control);
	timer_fini(&map_timer);
	timer_fini(&w->drain_timer);
	if (w->reap != NULL)
		event_free(w->reap);
	SSL_CTX_free(link_ctx);
	free(w->trusted);
	conf_free(&w->conf);
	loop_free(&w->loop);
}

int
main(int argc, char **argv)
{
	struct options o = parse_options(argc, argv);
	struct worker w = { .name = o.name };
	struct ipc_inherited in;
	int control;

	signal(SIGPIPE, SIG_IGN);
	log_init(o.name, LOG_INFO);
	if (o.explain.request_path != NULL)
		return (explain(&o));
	if (o.conf_path == NULL)
		o.conf_path = "relay.conf";
	control = ipc_role_start(&in, o.test ? NULL : usage_text);
	secret_no_core();
	buffer_keep_heap();
	TAILQ_INIT(&w.live);
	TAILQ_INIT(&w.dead);
	read_conf(&w, &in, &o);
	read_trusted(&w);
	load_tickets(&w, &in);
	load_tls(&w, &in);
	load_link(&in);
	if (o.test) {
		printf("%s: certificates, keys and CA files load\n", o.conf_path);
		leave(&w);
		return (0);
	}
	w.loop = loop_new();
	take_listeners(&w, &in);
	w.control = ipc_channel_new(w.loop, control, &control_ops, &w);
	make_pools(&w);
	timer_init(&map_timer, w.loop, on_map_timer, &w);
	on_map_timer(&w);
	accept_start(w.accept);
	if (ipc_channel_send(w.control, "ready", SPAN_LIT(""), -1) != RC_OK)
		fatal(1, "relayd does not listen");
	log_info("serving generation=%u listeners=%zu", o.generation, w.conf->n_listens);
	loop_run(w.loop);
	leave(&w);
	log_info("gone");
	return (0);
}
