/*
 * shm/feed/main.c - relay-feed, the only writer of the map.
 *
 * Start: descriptors, configuration, the map (rescue.c), Redis, control socket,
 * sandbox, ready.  Nothing at start waits for Redis: what the map holds is
 * served meanwhile.
 */
#include "config.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_file.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/options.h"
#include "lib/base/sandbox.h"
#include "lib/ipc/channel.h"
#include "lib/ipc/link_ctx.h"
#include "lib/ipc/role.h"
#include "lib/net/dns.h"
#include "shm/feed/check.h"
#include "shm/feed/control.h"
#include "shm/feed/engines_ask.h"
#include "shm/feed/feed.h"
#include "shm/feed/key_check.h"
#include "shm/feed/manage.h"
#include "shm/feed/redis.h"
#include "shm/feed/rescue.h"
#include "shm/feed/writer.h"

#define CONF_BYTES_MAX	(1u << 20)
#define WHY_BYTES	512

static const char usage_text[] =
    "usage: relay-feed [-V | --help]\n"
    "Keeps the map of relays as Redis has it.  relayd starts it; it is of no\n"
    "use by hand.\n";

struct options {
	const char	*conf_path;	/* for messages and relative paths */
};

struct process {
	struct loop		*loop;		/* owned */
	struct ipc_channel	*master;	/* owned */
	struct net_dns		*dns;		/* owned */
	struct conf		*conf;		/* owned */
	struct event		*sigterm;	/* owned */
	struct feed		feed;
};

/* ---- start ---------------------------------------------------------------------------- */

static void
read_options(int argc, char **argv, struct options *o)
{
	const char *name;		/* these two are for ps(1) */
	unsigned generation;
	const struct options_row rows[] = {
		{ "conf-path", .text = &o->conf_path },
		{ "name", .text = &name },
		{ "generation", .number = &generation, .max = UINT_MAX },
	};

	o->conf_path = "relay.conf";
	options_read(&(struct options_program){ "relay-feed", PACKAGE_VERSION,
	    usage_text }, rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
}

/* Tell the master why, then go.  One message fits the socket at once. */
static void start_failed(struct process *, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3), __noreturn__));

static void
start_failed(struct process *p, const char *fmt, ...)
{
	char why[WHY_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	(void)!ipc_channel_send(p->master, "failed", span_of(why), -1);
	fatal(1, "start failed: %s", why);
}

static void
open_map(struct process *p)
{
	char *folder = xasprintf("%s/" SHM_MAP_FOLDER,
	    p->conf->state_dir);
	struct shm_map *map;
	char why[WHY_BYTES];
	bool replaced;
	enum rc rc;

	if (rescue_open(folder, &map, &replaced, why, sizeof(why)) != RC_OK)
		start_failed(p, "%s", why);
	if ((rc = feed_init(&p->feed, p->loop, map)) != RC_OK)
		start_failed(p, "map in %s: %s", folder, rc_name(rc));
	p->feed.max_delete_percent = p->conf->max_delete_percent;
	p->feed.check = feed_check_new(&p->feed, folder,
	    p->conf->compare_interval_s);
	free(folder);
	/* Workers hold the file that was moved: the master replaces them. */
	if (replaced && ipc_channel_send(p->master, "map-replaced",
	    SPAN_LIT(""), -1) != RC_OK)
		start_failed(p, "the master does not listen");
}

static void
set_node(struct process *p)
{
	char *node = p->feed.node;

	if (p->conf->node != NULL && p->conf->node[0] != '\0')
		(void)snprintf(node, FEED_NODE_BYTES, "%s", p->conf->node);
	else if (gethostname(node, FEED_NODE_BYTES - 1) != 0)
		(void)snprintf(node, FEED_NODE_BYTES, "unnamed");
}

static void
start_redis(struct process *p)
{
	const struct conf_redis *c = &p->conf->redis;
	struct redis_endpoint_config cfg = {
		.endpoints = c->endpoints,
		.n_endpoints = c->n_endpoints,
		.write = c->write,
		.sentinel = c->sentinel,
		.user = c->user,
		.password_file = c->password_file,
		.tls = c->tls,
		.ca_file = c->ca_file,
		.db = c->db,
		.client_name = "relay-feed",
	};
	char why[WHY_BYTES];
	enum rc rc;

	if (c->n_endpoints == 0) {
		rc = feed_start_alone(&p->feed);
		if (rc != RC_OK && rc != RC_LIMIT)
			start_failed(p, "map not written: %s", rc_name(rc));
		return;
	}
	rc = feed_redis_new(&p->feed, p->dns, &cfg,
	    p->conf->compare_interval_s, &p->feed.redis, why, sizeof(why));
	if (rc == RC_OK)
		rc = feed_writer_new(&p->feed, p->dns, &cfg, &p->feed.writer,
		    why, sizeof(why));
	if (rc != RC_OK)
		start_failed(p, "redis: %s", why);
	if (p->conf->engine_announced)
		p->feed.engines_ask = feed_engines_new(&p->feed);
	else
		feed_engines_none(&p->feed);
}

/* Without a link certificate records are served and followed all the same. */
static void
start_manage(struct process *p, struct ipc_inherited *fds)
{
	struct key_check_config cfg = {
		.addresses = (const char *const *)p->conf->engines,
		.n_addresses = p->conf->n_engines,
		.dns = p->dns,
	};
	int fd = ipc_inherit_take(fds, "worker");
	char why[WHY_BYTES] = "";

	if (fd < 0)
		return;
	cfg.ctx = ipc_inherit_link_ctx(fds, false, why, sizeof(why));
	if (cfg.ctx == NULL)
		log_error("link certificate why=\"%s\": the key API cannot "
		    "change records", why);
	p->feed.keys = key_check_new(&p->feed, &cfg);
	p->feed.manage = feed_manage_new(&p->feed, fd);
}

static void
start_dns(struct process *p)
{
	const char *servers = p->conf->dns_servers;

	p->dns = net_dns_new(p->loop,
	    servers != NULL && servers[0] != '\0' ? servers : NULL);
}

static void
enter_sandbox(struct process *p)
{
	enum rc rc;

	if (!p->conf->seccomp) {
		log_warn("seccomp is off by configuration");
		return;
	}
	rc = sandbox_enter(SANDBOX_FEED);
	if (rc == RC_UNAVAILABLE)
		log_warn("seccomp is not available here");
	else if (rc != RC_OK)
		start_failed(p, "seccomp: %s", rc_name(rc));
}

/* ---- the master --------------------------------------------------------------------------- */

static void
on_master_message(void *arg, struct span verb, struct span text, int fd)
{
	struct process *p = arg;
	struct buffer json;

	(void)text;
	if (span_eq_str(verb, "drain")) {
		log_info("drain");
		loop_stop(p->loop);	/* no transaction spans a callback */
	} else if (span_eq_str(verb, "reopen-log") && fd >= 0) {
		log_to_fd(fd);
		fd = -1;
	} else if (span_eq_str(verb, "map-check")) {
		feed_check_want(p->feed.check);
	} else if (span_eq_str(verb, "status")) {
		buffer_init(&json, 0, false);
		feed_status(&p->feed, &json);
		(void)!ipc_channel_send(p->master, "status", (struct span){
		    buffer_data(&json), buffer_len(&json) }, -1);
		buffer_fini(&json);
	} else {
		log_debug("master's message ignored");
	}
	fd_close(&fd);
}

static void
on_master_eof(void *arg)
{
	struct process *p = arg;

	log_info("the master is gone: exit");
	loop_stop(p->loop);
}

static const struct ipc_channel_ops master_ops = {
	.on_message = on_master_message,
	.on_eof = on_master_eof,
};

static void
on_sigterm(evutil_socket_t sig, short what, void *arg)
{
	struct process *p = arg;

	(void)sig;
	(void)what;
	loop_stop(p->loop);
}

static void
take_signals(struct process *p)
{
	/* A terminal sends these to the whole group: the master decides. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	p->sigterm = evsignal_new(loop_base(p->loop), SIGTERM, on_sigterm, p);
	ensure(p->sigterm != NULL && event_add(p->sigterm, NULL) == 0);
}

static void
read_conf(struct process *p, struct ipc_inherited *fds, const char *path)
{
	struct conf_fault fault;
	struct buffer text;
	enum rc rc;

	buffer_init(&text, CONF_BYTES_MAX, false);
	if ((rc = ipc_inherit_take_content(fds, "conf", &text)) != RC_OK)
		start_failed(p, "no configuration: %s", rc_name(rc));
	rc = conf_read_text(path, (struct span){ buffer_data(&text),
	    buffer_len(&text) }, &p->conf, &fault);
	if (rc != RC_OK)
		start_failed(p, "%s", fault.text);
	buffer_fini(&text);
	log_set_level(p->conf->log_level);
}

static void
start(struct process *p, struct ipc_inherited *fds, const char *conf_path)
{
	int fd;

	read_conf(p, fds, conf_path);
	open_map(p);
	set_node(p);
	start_dns(p);
	start_redis(p);
	if ((fd = ipc_inherit_take(fds, "admin")) >= 0)
		p->feed.control = feed_control_new(&p->feed, fd);
	start_manage(p, fds);
	ipc_inherit_close_rest(fds);
	take_signals(p);
	enter_sandbox(p);
	if (ipc_channel_send(p->master, "ready", SPAN_LIT(""), -1) != RC_OK)
		start_failed(p, "the master does not listen");
}

static void
finish(struct process *p)
{
	feed_fini(&p->feed);
	net_dns_free(&p->dns);
	ipc_channel_free(&p->master);
	event_free(p->sigterm);
	conf_free(&p->conf);
	loop_free(&p->loop);
}

int
main(int argc, char **argv)
{
	struct process p = { 0 };
	struct ipc_inherited fds;
	struct options o;
	bool broken;
	int control;

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("feed", LOG_INFO);
	read_options(argc, argv, &o);
	control = ipc_role_start(&fds, usage_text);
	p.loop = loop_new();
	p.master = ipc_channel_new(p.loop, control, &master_ops, &p);
	start(&p, &fds, o.conf_path);
	loop_run(p.loop);
	broken = p.feed.broken;
	finish(&p);
	return (broken ? 1 : 0);
}
