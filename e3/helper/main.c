/*
 * helper/main.c - e3-helper: the engine's only door outside.  It keeps the
 * sealed records on disk and in Redis, hands them to the engine after each of
 * its starts, and takes new ones from relayctl.  It never sees an unsealed
 * key.
 *
 * Objects: store (files) <- engine (link, loads them), replica (Redis, copies
 * them), control (relayctl's socket, changes them one at a time by `turn`);
 * announce (says in Redis what engine there is), statistics (a file).
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_file.h"
#include "config.h"
#include "e3/helper/announce.h"
#include "e3/helper/control.h"
#include "e3/helper/engine.h"
#include "e3/helper/record_store.h"
#include "e3/helper/replica.h"
#include "e3/helper/statistics_file.h"
#include "e3/helper/turn.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/options.h"
#include "lib/base/sandbox.h"
#include "lib/base/secret.h"
#include "lib/base/timer.h"
#include "lib/ipc/channel.h"
#include "lib/ipc/link_ctx.h"
#include "lib/ipc/role.h"

#define DRAIN_MS	30000	/* as long as workers may need the engine */
#define END_MS		1000	/* relayd kills us 3 s after its SIGTERM */
#define CONF_BYTES_MAX	(1u << 20)

struct options {
	const char	*name;
	const char	*conf_path;
	enum log_level	log_level;
};

struct helper {
	struct loop		*loop;		/* owned, as all below */
	struct conf_e3		*conf;
	struct record_store	*store;
	struct engine		*engine;
	struct replica		*replica;	/* NULL: no Redis */
	struct announce		*announce;
	struct statistics_file	*statistics;
	struct control		*control;
	struct ipc_channel	*master;	/* NULL after EOF */
	SSL_CTX			*ctx;
	struct turn		turn;
	struct event		*sigterm;
	struct timer		drain;
	bool			draining;
	bool			ending;		/* at once: see on_sigterm */
	bool			leaving;	/* only the farewell is left */
	char			name[ANNOUNCEMENT_NAME_BYTES];	/* announced */
};

static const char usage_text[] =
    "usage: e3-helper [-V] [--help]\n"
    "relayd starts this program and passes it its sockets; see e3-helper(8).\n";

/* ---- options and what was inherited ------------------------------------------- */

static struct options
parse_options(int argc, char **argv)
{
	struct options o = {
		.name = "e3-helper",
		.conf_path = "/etc/relay/e3.conf",
		.log_level = LOG_INFO,
	};
	const struct options_row rows[] = {
		{ "name", .text = &o.name },
		{ "conf-path", .text = &o.conf_path },
		{ "log-level", .level = &o.log_level },
	};

	options_read(&(struct options_program){ "e3-helper", PACKAGE_VERSION,
	    usage_text }, rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
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

static SSL_CTX *
link_ctx(struct ipc_inherited *fds)
{
	char why[256] = "";
	SSL_CTX *ctx = ipc_inherit_link_ctx(fds, false, why, sizeof(why));

	if (ctx == NULL)
		fatal(1, "link certificate: %s", why);
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
static bool
is_drained(const struct helper *h)
{
	return (h->draining && engine_is_left_alone(h->engine) &&
	    control_is_idle(h->control));
}

static void
leave_if_done(struct helper *h)
{
	bool gone = h->ending && !engine_is_up(h->engine);

	if (h->leaving || (!gone && !is_drained(h)))
		return;
	h->leaving = true;
	log_info("%s", gone ? "leaving" : "drained");
	announce_end(h->announce);
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
	announce_kick(h->announce);
	leave_if_done(h);
}

static void
on_announce_ended(void *arg)
{
	struct helper *h = arg;

	loop_stop(h->loop);
}

static void
on_drain_end(void *arg)
{
	struct helper *h = arg;

	if (h->ending) {
		loop_stop(h->loop);
		return;
	}
	log_warn("drain time is over");
	announce_end(h->announce);
}

/*
 * relayd ends now, and our engine with it: when that is gone we say that it is,
 * or whoever asks whether all engines have a record would go on waiting for it.
 * Where only we were meant it serves on, and nothing is said.
 */
static void
on_sigterm(evutil_socket_t sig, short what, void *arg)
{
	struct helper *h = arg;

	(void)sig;
	(void)what;
	if (h->leaving)
		return;			/* it is being said */
	h->ending = true;
	timer_start_ms(&h->drain, END_MS);
	leave_if_done(h);
}

/* SIGINT of a terminal is for relayd, which tells us. */
static void
take_signals(struct helper *h)
{
	(void)signal(SIGINT, SIG_IGN);
	h->sigterm = evsignal_new(loop_base(h->loop), SIGTERM, on_sigterm, h);
	ensure(h->sigterm != NULL && event_add(h->sigterm, NULL) == 0);
}

static void
begin_drain(struct helper *h)
{
	if (h->draining)
		return;
	h->draining = true;
	log_info("draining");
	/* Workers of other machines leave first; ours have, or are told. */
	announce_drain(h->announce);
	if (engine_set_draining(h->engine, true, NULL, NULL) != RC_OK)
		log_debug("no engine to set draining");
	control_drain(h->control);
	statistics_file_stop(h->statistics);
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

static const struct announce_ops announce_ops = {
	.on_ended = on_announce_ended,
};

static void
open_store(struct helper *h)
{
	char why[256] = "";

	if (record_store_open(h->conf->state_dir, &h->store, why,
	    sizeof(why)) != RC_OK)
		fatal(1, "%s", why);
	log_info("records read dir=%s records=%zu", h->conf->state_dir,
	    record_store_count(h->store));
}

static void
open_replica(struct helper *h)
{
	const struct conf_e3 *conf = h->conf;
	struct replica_config config = {
		.redis = &conf->redis,
		.name = h->name,
		.store = h->store,
		.engine = h->engine,
		.turn = &h->turn,
	};
	char why[256] = "";

	if (conf->redis.n_endpoints != 0 && replica_new(h->loop, &config,
	    &replica_ops, h, &h->replica, why, sizeof(why)) != RC_OK)
		fatal(2, "%s: redis: %s", conf->path, why);
	if (conf->require_replica && h->replica == NULL)
		fatal(2, "%s: option 'require_replica' needs option 'redis'",
		    conf->path);
}

static void
open_statistics(struct helper *h)
{
	const struct conf_e3 *conf = h->conf;
	char *path = conf->statistics_file[0] != '\0' ?
	    xstrdup(conf->statistics_file) :
	    xasprintf("%s/statistics.json", conf->state_dir);

	h->statistics = statistics_file_new(h->loop, path, conf->state_dir,
	    h->engine);
	free(path);
}

static void
open_parts(struct helper *h, int admin_fd)
{
	struct engine_config engine = {
		.addr = engine_addr(h->conf),
		.ctx = h->ctx,
	};
	struct announce_config announce = {
		.name = h->name,
		.address = h->conf->announce,
	};
	struct control_config control = {
		.fd = admin_fd,
		.turn = &h->turn,
		.name = h->name,
		.state_dir = h->conf->state_dir,
		.require_replica = h->conf->require_replica,
	};
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1);
	announcement_name(h->conf->name, host, h->name);
	open_store(h);
	turn_init(&h->turn);
	timer_init(&h->drain, h->loop, on_drain_end, h);
	h->engine = engine_new(h->loop, &engine, h->store, &engine_ops, h);
	open_replica(h);
	announce.engine = control.engine = h->engine;
	announce.replica = control.replica = h->replica;
	h->announce = announce_new(h->loop, &announce, &announce_ops, h);
	open_statistics(h);
	control.store = h->store;
	control.announce = h->announce;
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
	statistics_file_free(&h->statistics);
	announce_free(&h->announce);
	ipc_channel_free(&h->master);
	event_free(h->sigterm);
	timer_fini(&h->drain);
	record_store_free(&h->store);
	conf_e3_free(&h->conf);
	SSL_CTX_free(h->ctx);
	loop_free(&h->loop);
}

int
main(int argc, char **argv)
{
	struct ipc_inherited fds;
	struct helper h = { .draining = false };
	struct options o;
	int control_fd;

	(void)signal(SIGPIPE, SIG_IGN);
	o = parse_options(argc, argv);
	log_init(o.name, o.log_level);
	control_fd = ipc_role_start(&fds, usage_text);
	secret_no_core();		/* the link key is in here */

	h.loop = loop_new();
	h.conf = read_conf(&fds, o.conf_path);
	h.ctx = link_ctx(&fds);
	open_parts(&h, ipc_inherit_take(&fds, "admin"));
	take_signals(&h);
	h.master = ipc_channel_new(h.loop, control_fd, &master_ops, &h);
	enter_sandbox();
	if (ipc_channel_send(h.master, "ready", SPAN_LIT(""), -1) != RC_OK)
		fatal(1, "cannot tell relayd that we are ready");
	loop_run(h.loop);
	close_parts(&h);
	return (0);
}
