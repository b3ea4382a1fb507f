/*
 * e3/main.c - e3d, the encryption engine: the only process with data keys.
 *
 *   main thread    the network thread: links, permission, small answers
 *   crypto threads slices of Encrypt, Decrypt, sealing and opening records
 *   table builder  what speeds up sealing to busy apps; low priority
 *
 *   options  -> secure heap -> platform (root key, server key)
 *   server   -> links -> calls -> dispatch -> handlers -> scheduler (lib/rpc,
 *               lib/base)
 *   keyring  -> apps (counted snapshots) -> key pairs, API-key hashes
 *
 * It opens no file after start and no socket at all: what it has came from
 * the master by descriptor.
 */
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "e3/leaf_cert.h"
#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/options.h"
#include "lib/base/process.h"
#include "lib/base/sandbox.h"
#include "lib/base/secret.h"
#include "lib/ipc/channel.h"
#include "lib/ipc/role.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION	"unversioned"
#endif

#define EXIT_USAGE	2
#define HEAP_MIN_BYTES	32	/* smallest piece: one secret */

struct options {
	const char	*name;
	unsigned	threads;	/* 0: cores - 1, at least 1 */
	unsigned	secure_heap_kib;
	unsigned	max_links;
	unsigned	max_queue;
	unsigned	auth_cache_s;
	unsigned	app_fields_per_s;	/* 0: no limit */
	unsigned	app_calls;
	unsigned	leaf_per_minute;
	enum log_level	log_level;
	bool		sign_all;
	bool		seccomp;
};

/* What the control channel's verbs act on. */
struct process {
	struct loop		*loop;		/* owned */
	struct e3_engine	engine;
	struct ipc_channel	*control;	/* owned */
};

/* ---- options ---- */

static const char usage_text[] =
    "usage: e3d --name NAME [--threads N] [--secure-heap-kib N]\n"
    "           [--max-links N] [--max-queue N] [--auth-cache-s N]\n"
    "           [--app-fields-per-s N] [--app-calls N]\n"
    "           [--leaf-per-minute N] [--sign-all]\n"
    "           [--log-level LEVEL] [--no-seccomp]\n"
    "       e3d -V | --help\n"
    "The encryption engine.  relayd starts it and passes keys and\n"
    "listening sockets as descriptors; it is not started by hand.\n";

static void
read_options(int argc, char **argv, struct options *o)
{
	const struct options_row rows[] = {
		{ "name", .text = &o->name },
		{ "threads", .number = &o->threads, .max = 256 },
		{ "secure-heap-kib", .number = &o->secure_heap_kib, .min = 64,
		    .max = 1u << 20 },
		{ "max-links", .number = &o->max_links, .min = 1,
		    .max = 65536 },
		{ "max-queue", .number = &o->max_queue, .min = 1,
		    .max = 1u << 20 },
		{ "auth-cache-s", .number = &o->auth_cache_s, .max = 3600 },
		{ "app-fields-per-s", .number = &o->app_fields_per_s,
		    .max = 1u << 30 },
		{ "app-calls", .number = &o->app_calls, .max = 1u << 20 },
		{ "leaf-per-minute", .number = &o->leaf_per_minute, .min = 1,
		    .max = 1u << 20 },
		{ "sign-all", .set = &o->sign_all },
		{ "log-level", .level = &o->log_level },
		{ "no-seccomp", .clear = &o->seccomp },
	};

	options_read(&(struct options_program){ "e3d", PACKAGE_VERSION,
	    usage_text }, rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
}

/* ---- secrets ---- */

/* Keys must not reach a swap device: an arena that cannot be locked is a
 * reason not to start. */
static void
make_secure_heap(unsigned kib)
{
	struct rlimit limit;
	size_t bytes = (size_t)kib << 10;

	if ((kib & (kib - 1)) != 0)
		fatal(EXIT_USAGE, "--secure-heap-kib: %u is not a power of two",
		    kib);
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	if (CRYPTO_secure_malloc_init(bytes, HEAP_MIN_BYTES) != 1)
		fatal(1, "cannot lock %u KiB of memory for keys "
		    "(secure_heap_kib): raise the limit of locked memory "
		    "(ulimit -l, LimitMEMLOCK=) above it", kib);
}

static void
enter_sandbox(bool wanted)
{
	enum rc rc = wanted ? sandbox_enter(SANDBOX_ENGINE) : RC_UNAVAILABLE;

	if (rc == RC_UNAVAILABLE)
		log_warn("no-sandbox why=%s", wanted ?
		    "the kernel has no seccomp" : "switched off");
	else if (rc != RC_OK)
		fatal(1, "the seccomp profile could not be loaded");
}

/* ---- the master ---- */

static void
on_stopped(void *arg)
{
	struct process *p = arg;

	loop_stop(p->loop);
}

/* Who asks is told to go elsewhere while those who are here are served. */
static void
drain(struct process *p)
{
	p->engine.draining = p->engine.ending = true;
	rpc_server_drain(p->engine.server, on_stopped, p);
}

static void
send_status(struct process *p)
{
	const struct e3_engine *e = &p->engine;
	struct buffer b;

	buffer_init(&b, 0, false);
	buffer_printf(&b, "{\"ready\":%s,\"apps\":%zu,\"keys\":%zu,"
	    "\"links\":%u}", e->ready ? "true" : "false",
	    e3_keyring_apps(e->keyring), e3_keyring_keys(e->keyring),
	    rpc_server_links(e->server));
	if (ipc_channel_send(p->control, "status", (struct span){
	    buffer_data(&b), buffer_len(&b) }, -1) != RC_OK)
		log_warn("status-not-sent");
	buffer_fini(&b);
}

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct process *p = arg;

	(void)text;
	if (span_eq_str(verb, "reopen-log") && fd >= 0) {
		log_to_fd(fd);
		return;
	}
	if (fd >= 0)
		(void)close(fd);
	if (span_eq_str(verb, "drain"))
		drain(p);
	else if (span_eq_str(verb, "status"))
		send_status(p);
}

/* The master is gone: make room for a new one. */
static void
on_eof(void *arg)
{
	drain(arg);
}

static const struct ipc_channel_ops control_ops = {
	.on_message = on_message,
	.on_eof = on_eof,
};

/* ---- start ---- */

static unsigned
crypto_threads(unsigned wanted)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted != 0)
		return (wanted);
	return (cores > 2 ? (unsigned)cores - 1 : 1);
}

static void
start_engine(struct process *p, const struct options *o,
    struct e3_platform *platform, struct ipc_inherited *fds)
{
	static const char *const listeners[] = { "engine.unix", "engine.tcp" };
	struct rpc_server_config config = {
		.ctx = e3_platform_server_ctx(platform),
		.max_links = o->max_links,
		.sched.threads = crypto_threads(o->threads),
		.sched.max_jobs = o->max_queue,
	};
	unsigned n = 0;

	p->loop = loop_new();
	p->engine.platform = platform;
	p->engine.root_key = e3_platform_root_key(platform);
	p->engine.next_root_key = e3_platform_next_root_key(platform);
	p->engine.keyring = e3_keyring_new();
	p->engine.auth_cache_s = o->auth_cache_s;
	p->engine.sign_all = o->sign_all;
	p->engine.meters.per_s = o->app_fields_per_s;
	p->engine.meters.at_once = o->app_calls;
	e3_leaf_limit(&p->engine.leaf_meters, o->leaf_per_minute);
	p->engine.threads = config.sched.threads;
	p->engine.t_start_ms = clock_mono_ms();
	if ((p->engine.crypto = scheme_crypto_new()) == NULL ||
	    !e3_engine_start(&p->engine, p->loop, &config))
		fatal(1, "cannot start %u crypto threads",
		    config.sched.threads);
	for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++) {
		int fd = ipc_inherit_take(fds, listeners[i]);

		if (fd < 0)
			continue;
		rpc_server_listen(p->engine.server, fd);
		n++;
	}
	if (n == 0)
		fatal(EXIT_USAGE, "no listening socket was passed");
}

static void
serve(struct process *p, int control_fd)
{
	p->control = ipc_channel_new(p->loop, control_fd, &control_ops, p);
	if (ipc_channel_send(p->control, "ready", (struct span){ "", 0 },
	    -1) != RC_OK)
		log_warn("ready-not-sent");
	loop_run(p->loop);
	ipc_channel_free(&p->control);
	e3_engine_stop(&p->engine);
	e3_keyring_free(&p->engine.keyring);
	scheme_crypto_free(&p->engine.crypto);
	loop_free(&p->loop);
}

int
main(int argc, char **argv)
{
	struct options o = { .name = "engine", .secure_heap_kib = 4096,
	    .max_links = 256, .max_queue = 4096, .auth_cache_s = 5,
	    .app_calls = 2048, .leaf_per_minute = 600,
	    .log_level = LOG_INFO, .seccomp = true };
	static struct ipc_inherited fds;
	static struct process p;
	struct e3_platform *platform;
	char why[256];
	int control;

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("e3d", LOG_INFO);
	read_options(argc, argv, &o);
	log_set_level(o.log_level);
	control = ipc_role_start(&fds, usage_text);
	secret_no_core();
	buffer_keep_heap();
	make_secure_heap(o.secure_heap_kib);
	if (e3_platform_open("local", &fds, &platform, why, sizeof(why)) !=
	    RC_OK)
		fatal(1, "%s", why);
	process_watch();
	enter_sandbox(o.seccomp);
	start_engine(&p, &o, platform, &fds);
	log_info("start name=%s threads=%u secure_heap_kib=%u", o.name,
	    crypto_threads(o.threads), o.secure_heap_kib);
	serve(&p, control);
	e3_platform_close(&platform);
	log_info("stop name=%s", o.name);
	return (0);
}
