/*
 * helper/main.c - e3-helper: the engine's only door outside.  It keeps the
 * sealed records on disk and in Redis, hands them to the engine after each of
 * its starts, and takes new ones from relayctl.  It never sees an unsealed
 * key.
 *
 * Objects: store (files) <- engine (link, loads them), replica (Redis, copies
 * them), control (relayctl's socket, changes them one at a time by `turn`).
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_file.h"
#include "config.h"
#include "e3/helper/control.h"
#include "e3/helper/engine.h"
#include "e3/helper/record_store.h"
#include "e3/helper/replica.h"
#include "e3/helper/turn.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/panic.h"
#include "lib/base/sandbox.h"
#include "lib/base/secret.h"
#include "lib/base/timer.h"
#include "lib/ipc/channel.h"
#include "lib/ipc/inherit.h"
#include "lib/net/tls.h"

#define DRAIN_MS	30000	/* as long as workers may need the engine */
#define PEM_BYTES_MAX	65536
#define CONF_BYTES_MAX	(1u << 20)

struct options {
	const char	*name;
	const char	*conf_path;
	enum log_level	log_level;
};

struct helper {
	struct loop		*loop;		/* owned, as all below */
	struct record_store	*store;
	struct engine		*engine;
	struct replica		*replica;	/* NULL: no Redis */
	struct control		*control;
	struct ipc_channel	*master;	/* NULL after EOF */
	SSL_CTX			*ctx;
	struct turn		turn;
	struct timer		drain;
	bool			draining;
};

static const char usage_text[] =
    "usage: e3-helper [-V] [--help]\n"
    "relayd starts this program and passes it its sockets; see e3-helper(8).\n";

/* ---- options and what was inherited ------------------------------------------- */

static struct options
parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "conf-path", required_argument, NULL, 'c' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	struct options o = {
		.name = "e3-helper",
		.conf_path = "/etc/relay/e3.conf",
		.log_level = LOG_INFO,
	};
	int c;

	while ((c = getopt_long(argc, argv, "Vh", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			o.name = optarg;
			break;
		case 'c':
			o.conf_path = optarg;
			break;
		case 'l':
			if (!log_level_parse(optarg, &o.log_level))
				fatal(2, "--log-level: unknown level");
			break;
		case 'V':
			(void)printf("e3-helper %s\n", PACKAGE_VERSION);
			exit(0);
		case 'h':
			(void)fputs(usage_text, stdout);
			exit(0);
		default:
			(void)fputs(usage_text, stderr);
			exit(2);
		}
	}
	return (o);
}

static struct conf_e3 *
read_conf(struct ipc_inherited *fds, const char *path)
{
	struct conf_fault fault;
	struct conf_e3 *conf;
	struct buffer text;

	buffer_init(&text, CONF_BYTES_MAX, false);
	if (ipc_inherit_take_content(fds, "conf", &text) != RC_OK)
		fatal(1, "no descriptor named conf was passed");
	if (conf_e3_read_text(path, (struct span){ buffer_data(&text),
	    buffer_len(&text) }, &conf, &fault) != RC_OK)
		fatal(2, "%s", fault.text);
	buffer_fini(&text);
	return (conf);
}

static struct span
content(struct ipc_inherited *fds, const char *name, struct buffer *b)
{
	if (ipc_inherit_take_content(fds, name, b) != RC_OK)
		fatal(1, "no descriptor named %s was passed", name);
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static SSL_CTX *
link_ctx(struct ipc_inherited *fds)
{
	struct net_tls_link_files files;
	struct buffer chain, key, ca;
	char why[256] = "";
	SSL_CTX *ctx;

	buffer_init(&chain, PEM_BYTES_MAX, false);
	buffer_init(&key, PEM_BYTES_MAX, true);
	buffer_init(&ca, PEM_BYTES_MAX, false);
	files = (struct net_tls_link_files){
		.chain = content(fds, "link.cert", &chain),
		.key = content(fds, "link.key", &key),
		.ca = content(fds, "link.ca", &ca),
	};
	ctx = net_tls_link_ctx(false, &files, why, sizeof(why));
	if (ctx == NULL)
		fatal(1, "link certificate: %s", why);
	buffer_fini(&chain);
	buffer_fini(&key);
	buffer_fini(&ca);
	return (ctx);
}

/* The Unix listener if there is one: TCP is for other machines. */
static struct net_addr
engine_addr(const struct conf_e3 *conf)
{
	struct net_addr addr, first = { .len = 0 };

	for (size_t i = 0; i < conf->n_listens; i++) {
		if (net_addr_parse(conf->listens[i], &addr) != RC_OK)
			continue;
		if (net_addr_is_unix(&addr))
			return (addr);
		if (first.len == 0)
			first = addr;
	}
	if (first.len == 0)
		fatal(2, "%s: option 'listen' names no address", conf->path);
	return (first);
}

/* ---- the life of the role --------------------------------------------------------- */

/* Last to leave: the engine may still owe somebody an answer that needs us. */
static void
leave_if_done(struct helper *h)
{
	if (h->draining && engine_is_left_alone(h->engine) &&
	    control_is_idle(h->control)) {
		log_info("drained");
		loop_stop(h->loop);
	}
}

static void
on_change(void *arg)
{
	struct helper *h = arg;

	if (h->control == NULL)
		return;			/* still starting, or ending */
	if (h->replica != NULL)
		replica_kick(h->replica);
	control_kick(h->control);
	leave_if_done(h);
}

static void
on_drain_end(void *arg)
{
	struct helper *h = arg;

	log_warn("drain time is over");
	loop_stop(h->loop);
}

static void
begin_drain(struct helper *h)
{
	if (h->draining)
		return;
	h->draining = true;
	log_info("draining");
	control_drain(h->control);
	timer_start_ms(&h->drain, DRAIN_MS);
	engine_drain(h->engine);
	leave_if_done(h);
}

static void
send_status(struct helper *h)
{
	struct buffer json;

	buffer_init(&json, IPC_MESSAGE_BYTES, false);
	control_status(h->control, &json);
	if (ipc_channel_send(h->master, "status", (struct span){
	    buffer_data(&json), buffer_len(&json) }, -1) != RC_OK)
		log_warn("status not sent");
	buffer_fini(&json);
}

static void
on_master_message(void *arg, struct span verb, struct span text, int fd)
{
	struct helper *h = arg;

	(void)text;
	if (span_eq_str(verb, "status"))
		send_status(h);
	else if (span_eq_str(verb, "drain"))
		begin_drain(h);
	else if (span_eq_str(verb, "reopen-log") && fd >= 0) {
		log_to_fd(fd);
		fd = -1;
	}
	fd_close(&fd);
}

static void
on_master_eof(void *arg)
{
	struct helper *h = arg;

	ipc_channel_free(&h->master);
	begin_drain(h);
}

static const struct ipc_channel_ops master_ops = {
	.on_message = on_master_message,
	.on_eof = on_master_eof,
};
static const struct engine_ops engine_ops = { .on_change = on_change };
static const struct replica_ops replica_ops = { .on_change = on_change };

static void
open_parts(struct helper *h, const struct conf_e3 *conf, int admin_fd)
{
	struct engine_config engine = {
		.addr = engine_addr(conf),
		.ctx = h->ctx,
	};
	struct control_config control;
	char why[256] = "";

	if (record_store_open(conf->state_dir, &h->store, why,
	    sizeof(why)) != RC_OK)
		fatal(1, "%s", why);
	log_info("records read dir=%s records=%zu", conf->state_dir,
	    record_store_count(h->store));
	turn_init(&h->turn);
	timer_init(&h->drain, h->loop, on_drain_end, h);
	h->engine = engine_new(h->loop, &engine, h->store, &engine_ops, h);
	if (conf->redis.n_endpoints != 0 && replica_new(h->loop, &conf->redis,
	    h->store, h->engine, &h->turn, &replica_ops, h, &h->replica, why,
	    sizeof(why)) != RC_OK)
		fatal(2, "%s: redis: %s", conf->path, why);
	if (conf->require_replica && h->replica == NULL)
		fatal(2, "%s: option 'require_replica' needs option 'redis'",
		    conf->path);
	control = (struct control_config){
		.fd = admin_fd,
		.store = h->store,
		.engine = h->engine,
		.replica = h->replica,
		.turn = &h->turn,
		.require_replica = conf->require_replica,
	};
	h->control = control_new(h->loop, &control);
}

static void
enter_sandbox(void)
{
	switch ((int)sandbox_enter(SANDBOX_HELPER)) {
	case RC_OK:
		return;
	case RC_UNAVAILABLE:
		log_warn("seccomp is not available here");
		return;
	default:
		fatal(1, "the system call filter could not be loaded");
	}
}

/* Cancelled calls run their callbacks, so the engine goes while all who may be
 * called are there, and nobody gets the turn any more. */
static void
close_parts(struct helper *h)
{
	turn_close(&h->turn);
	engine_free(&h->engine);
	replica_free(&h->replica);
	control_free(&h->control);
	ipc_channel_free(&h->master);
	timer_fini(&h->drain);
	record_store_free(&h->store);
	SSL_CTX_free(h->ctx);
	loop_free(&h->loop);
}

int
main(int argc, char **argv)
{
	struct ipc_inherited fds;
	struct helper h = { .draining = false };
	struct conf_e3 *conf;
	struct options o;
	int control_fd, fd;

	(void)signal(SIGPIPE, SIG_IGN);
	o = parse_options(argc, argv);
	log_init(o.name, o.log_level);
	if (ipc_inherit_read(&fds) != RC_OK)
		fatal(1, IPC_FDS_VARIABLE " cannot be read");
	if ((control_fd = ipc_inherit_take(&fds, "control")) < 0) {
		(void)fputs(usage_text, stderr);
		return (2);
	}
	panic_init(ipc_inherit_take(&fds, "panic"));
	if ((fd = ipc_inherit_take(&fds, "log")) >= 0)
		log_to_fd(fd);
	secret_no_core();		/* the link key is in here */

	h.loop = loop_new();
	conf = read_conf(&fds, o.conf_path);
	h.ctx = link_ctx(&fds);
	open_parts(&h, conf, ipc_inherit_take(&fds, "admin"));
	conf_e3_free(&conf);
	h.master = ipc_channel_new(h.loop, control_fd, &master_ops, &h);
	enter_sandbox();
	if (ipc_channel_send(h.master, "ready", SPAN_LIT(""), -1) != RC_OK)
		fatal(1, "cannot tell relayd that we are ready");
	loop_run(h.loop);
	close_parts(&h);
	return (0);
}
