/*
 * e3/main.c - e3d, the encryption engine: the only process with data keys.
 *
 *   main thread    the network thread: links, permission, small answers
 *   crypto threads slices of Encrypt, Decrypt, sealing and opening records
 *   table builder  what speeds up sealing to busy apps; low priority
 *
 *   options  -> secure heap -> platform (root key, server key)
 *   server   -> links -> calls -> dispatch -> handlers -> scheduler
 *   keyring  -> apps (counted snapshots) -> key pairs, API-key hashes
 *
 * It opens no file after start and no socket at all: what it has came from
 * the master by descriptor.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "e3/server.h"
#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/sandbox.h"
#include "lib/base/secret.h"
#include "lib/ipc/channel.h"
#include "lib/ipc/inherit.h"

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
	enum log_level	log_level;
	bool		seccomp;
};

/* What the control channel's verbs act on. */
struct process {
	struct loop		*loop;		/* owned */
	struct e3_engine	engine;
	struct e3_server	*server;	/* owned */
	struct ipc_channel	*control;	/* owned */
};

/* ---- options ---- */

static void
usage(FILE *to)
{
	(void)fprintf(to,
	    "usage: e3d --name NAME [--threads N] [--secure-heap-kib N]\n"
	    "           [--max-links N] [--max-queue N] [--auth-cache-s N]\n"
	    "           [--log-level LEVEL] [--no-seccomp]\n"
	    "       e3d -V | --help\n"
	    "The encryption engine.  relayd starts it and passes keys and\n"
	    "listening sockets as descriptors; it is not started by hand.\n");
}

static unsigned
number(const char *option, const char *text, unsigned min, unsigned max)
{
	uint64_t v;

	if (string_u64(span_of(text), &v) != RC_OK || v < min || v > max)
		fatal(EXIT_USAGE, "--%s: %s is not in %u..%u", option, text,
		    min, max);
	return ((unsigned)v);
}

static void
set_option(struct options *o, const char *name, const char *value)
{
	if (strcmp(name, "name") == 0)
		o->name = value;
	else if (strcmp(name, "threads") == 0)
		o->threads = number(name, value, 0, 256);
	else if (strcmp(name, "secure-heap-kib") == 0)
		o->secure_heap_kib = number(name, value, 64, 1u << 20);
	else if (strcmp(name, "max-links") == 0)
		o->max_links = number(name, value, 1, 65536);
	else if (strcmp(name, "max-queue") == 0)
		o->max_queue = number(name, value, 1, 1u << 20);
	else if (strcmp(name, "auth-cache-s") == 0)
		o->auth_cache_s = number(name, value, 0, 3600);
	else if (strcmp(name, "no-seccomp") == 0)
		o->seccomp = false;
	else if (strcmp(name, "log-level") == 0 &&
	    !log_level_parse(value, &o->log_level))
		fatal(EXIT_USAGE, "--log-level: %s is not a level", value);
}

static void
read_options(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{ "name", required_argument, NULL, 'o' },
		{ "threads", required_argument, NULL, 'o' },
		{ "secure-heap-kib", required_argument, NULL, 'o' },
		{ "max-links", required_argument, NULL, 'o' },
		{ "max-queue", required_argument, NULL, 'o' },
		{ "auth-cache-s", required_argument, NULL, 'o' },
		{ "log-level", required_argument, NULL, 'o' },
		{ "no-seccomp", no_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int which, index;

	while ((which = getopt_long(argc, argv, "V", table, &index)) != -1) {
		switch (which) {
		case 'o':
			set_option(o, table[index].name, optarg);
			break;
		case 'V':
			(void)printf("e3d %s\n", PACKAGE_VERSION);
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind != argc) {
		usage(stderr);
		exit(EXIT_USAGE);
	}
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

static void
send_status(struct process *p)
{
	const struct e3_engine *e = &p->engine;
	struct buffer b;

	buffer_init(&b, 0, false);
	buffer_printf(&b, "{\"ready\":%s,\"apps\":%zu,\"keys\":%zu,"
	    "\"links\":%u}", e->ready ? "true" : "false",
	    e3_keyring_apps(e->keyring), e3_keyring_keys(e->keyring),
	    e->links);
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
		e3_server_drain(p->server, on_stopped, p);
	else if (span_eq_str(verb, "status"))
		send_status(p);
}

/* The master is gone: make room for a new one. */
static void
on_eof(void *arg)
{
	struct process *p = arg;

	e3_server_drain(p->server, on_stopped, p);
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
    const struct e3_platform *platform, struct ipc_inherited *fds)
{
	static const char *const listeners[] = { "engine.unix", "engine.tcp" };
	const struct e3_server_config config = {
		.ctx = e3_platform_server_ctx(platform),
		.threads = crypto_threads(o->threads),
		.max_links = o->max_links,
		.max_queue = o->max_queue,
	};
	unsigned n = 0;

	p->loop = loop_new();
	p->engine.root_key = e3_platform_root_key(platform);
	p->engine.keyring = e3_keyring_new();
	p->engine.auth_cache_s = o->auth_cache_s;
	p->engine.t_start_ms = clock_mono_ms();
	if ((p->engine.crypto = e3_crypto_new()) == NULL ||
	    (p->server = e3_server_new(p->loop, &p->engine, &config)) == NULL)
		fatal(1, "cannot start %u crypto threads", config.threads);
	for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++) {
		int fd = ipc_inherit_take(fds, listeners[i]);

		if (fd < 0)
			continue;
		e3_server_listen(p->server, fd);
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
	e3_server_free(&p->server);
	e3_keyring_free(&p->engine.keyring);
	e3_crypto_free(&p->engine.crypto);
	loop_free(&p->loop);
}

int
main(int argc, char **argv)
{
	struct options o = { .name = "engine", .secure_heap_kib = 1024,
	    .max_links = 256, .max_queue = 4096, .auth_cache_s = 5,
	    .log_level = LOG_INFO, .seccomp = true };
	static struct ipc_inherited fds;
	static struct process p;
	struct e3_platform *platform;
	char why[256];
	int control, fd;

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("e3d", LOG_INFO);
	read_options(argc, argv, &o);
	log_set_level(o.log_level);
	if (ipc_inherit_read(&fds) != RC_OK)
		fatal(EXIT_USAGE, "%s is broken", IPC_FDS_VARIABLE);
	if ((control = ipc_inherit_take(&fds, "control")) < 0) {
		usage(stderr);
		return (EXIT_USAGE);
	}
	if ((fd = ipc_inherit_take(&fds, "log")) >= 0)
		log_to_fd(fd);
	panic_init(ipc_inherit_take(&fds, "panic"));
	secret_no_core();
	buffer_keep_heap();
	make_secure_heap(o.secure_heap_kib);
	if (e3_platform_open("local", &fds, &platform, why, sizeof(why)) !=
	    RC_OK)
		fatal(1, "%s", why);
	enter_sandbox(o.seccomp);
	start_engine(&p, &o, platform, &fds);
	log_info("start name=%s threads=%u secure_heap_kib=%u", o.name,
	    crypto_threads(o.threads), o.secure_heap_kib);
	serve(&p, control);
	e3_platform_close(&platform);
	log_info("stop name=%s", o.name);
	return (0);
}
