/*
 * bench/e3load.c - a load on an engine, as a profile says: always mutual TLS,
 * over Unix sockets and TCP, by the library that workers use.
 *
 * The profile becomes clients, each a thread with links of its own; they
 * start together, and what became of their requests is told at the end.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/e3load_ask.h"
#include "bench/e3load_client.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/net/tls.h"

#define PEM_BYTES_MAX	65536
#define START_NS	20000000u	/* all threads are awake by then */

static const char usage[] =
    "usage: e3load [options] PROFILE\n"
    "  --address A          unix:PATH or IP:PORT; again for more, links go round\n"
    "  --cert F --key F     the link certificate: role worker\n"
    "  --ca F               the link CA\n"
    "  --callers DIR        each client with a certificate of its own, DIR/NAME.pem\n"
    "                       and .key; copies: NAME-1.pem, NAME-2.pem, ...\n"
    "  --app ID             whose keys\n"
    "  --curve r1|k1        of all clients\n"
    "  --seconds S          of the longest client, warm-up aside; others in step\n"
    "  --only CLIENT        again for more: leave the other clients out\n"
    "  --ping               one client more: a Ping every 20 ms\n"
    "  --cancel-after-ms N  Cancel each request N ms after it was sent\n"
    "  --seed N             of arrivals and choices (1)\n"
    "  --json               one line of JSON\n"
    "  --allow-errors       exit 0 although requests failed\n"
    "  --check              read the profile and end\n"
    "What stands in the profile too is taken from here.\n"
    "exit: 0 done, 1 a request failed, 2 bad option or profile\n";

struct options {
	struct load_profile	*profile;	/* owned */
	const char		*path;		/* view of argv */
	const char		*callers;	/* view of argv; NULL: none */
	bool			json, allow_errors, check;
};

/* ---- options ---- */

enum { OPT_ADDRESS = 256, OPT_CERT, OPT_KEY, OPT_CA, OPT_CALLERS, OPT_APP,
    OPT_CURVE, OPT_SECONDS, OPT_ONLY, OPT_PING, OPT_CANCEL, OPT_SEED, OPT_JSON,
    OPT_ALLOW, OPT_CHECK, OPT_HELP };

static const struct option long_options[] = {
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "callers", required_argument, NULL, OPT_CALLERS },
	{ "app", required_argument, NULL, OPT_APP },
	{ "curve", required_argument, NULL, OPT_CURVE },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "only", required_argument, NULL, OPT_ONLY },
	{ "ping", no_argument, NULL, OPT_PING },
	{ "cancel-after-ms", required_argument, NULL, OPT_CANCEL },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "allow-errors", no_argument, NULL, OPT_ALLOW },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

/* What the command line says of the profile, until that is read. */
struct given {
	char		*addresses[LOAD_ADDRESSES_MAX];
	size_t		n_addresses;
	char		*only[LOAD_CLIENTS_MAX];
	size_t		n_only;
	const char	*cert, *key, *ca, *app, *curve;
	double		seconds;
	uint64_t	cancel_after_ms, seed;
	bool		ping, seeded;
};

static void
set_text(char *to, size_t size, const char *from, const char *what)
{
	if (from != NULL && !span_copy(span_of(from), to, size))
		fatal(2, "%s is too long", what);
}

static uint64_t
number(const char *text, uint64_t min, uint64_t max, const char *what)
{
	uint64_t n;

	if (string_u64(span_of(text), &n) != RC_OK || n < min || n > max)
		fatal(2, "%s must be %llu to %llu", what,
		    (unsigned long long)min, (unsigned long long)max);
	return (n);
}

static void
add(char **list, size_t *n, size_t max, char *value)
{
	if (*n == max)
		fatal(2, "%s: more than %zu of this option", value, max);
	list[(*n)++] = value;
}

static void
take_option(struct options *o, struct given *g, int opt, char *value)
{
	switch (opt) {
	case OPT_ADDRESS:
		add(g->addresses, &g->n_addresses, LOAD_ADDRESSES_MAX, value);
		break;
	case OPT_ONLY:
		add(g->only, &g->n_only, LOAD_CLIENTS_MAX, value);
		break;
	case OPT_CERT:
		g->cert = value;
		break;
	case OPT_KEY:
		g->key = value;
		break;
	case OPT_CA:
		g->ca = value;
		break;
	case OPT_CALLERS:
		o->callers = value;
		break;
	case OPT_APP:
		g->app = value;
		break;
	case OPT_CURVE:
		if (strcmp(value, "r1") != 0 && strcmp(value, "k1") != 0)
			fatal(2, "--curve must be r1 or k1");
		g->curve = value;
		break;
	case OPT_SECONDS:
		g->seconds = (double)number(value, 1, 86400, "--seconds");
		break;
	case OPT_PING:
		g->ping = true;
		break;
	case OPT_CANCEL:
		g->cancel_after_ms = number(value, 1, 60000,
		    "--cancel-after-ms");
		break;
	case OPT_SEED:
		g->seed = number(value, 0, UINT32_MAX, "--seed");
		g->seeded = true;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_ALLOW:
		o->allow_errors = true;
		break;
	case OPT_CHECK:
		o->check = true;
		break;
	case OPT_HELP:
		(void)fputs(usage, stdout);
		exit(0);
	default:
		(void)fputs(usage, stderr);
		exit(2);
	}
}

/* What was given goes before what the profile says. */
static void
apply(struct load_profile *p, const struct given *g)
{
	for (size_t i = 0; i < g->n_addresses; i++) {
		struct net_addr addr;

		if (net_addr_parse(g->addresses[i], &addr) != RC_OK)
			fatal(2, "--address %s: must be unix:PATH or IP:PORT",
			    g->addresses[i]);
		set_text(p->addresses[i].text, sizeof(p->addresses[i].text),
		    g->addresses[i], "--address");
	}
	if (g->n_addresses != 0)
		p->n_addresses = g->n_addresses;
	set_text(p->cert, sizeof(p->cert), g->cert, "--cert");
	set_text(p->key, sizeof(p->key), g->key, "--key");
	set_text(p->ca, sizeof(p->ca), g->ca, "--ca");
	set_text(p->app, sizeof(p->app), g->app, "--app");
	if (g->seeded)
		p->seed = g->seed;
	if (g->n_only != 0 &&
	    load_profile_only(p, g->only, g->n_only) != RC_OK)
		fatal(2, "--only: the profile has no such client");
	if (g->seconds > 0)
		load_profile_scale(p, g->seconds);
	for (size_t i = 0; i < p->n_clients; i++) {
		struct load_client *c = &p->clients[i];

		if (g->curve != NULL)
			c->curve = strcmp(g->curve, "k1") == 0 ? RPC_CURVE_K1 :
			    RPC_CURVE_R1;
		if (c->app[0] == '\0')
			(void)memcpy(c->app, p->app, sizeof(c->app));
		for (size_t k = 0; k < c->n_scenarios; k++)
			if (g->cancel_after_ms != 0 &&
			    c->scenarios[k].op != LOAD_PING)
				c->scenarios[k].cancel_after_ms =
				    g->cancel_after_ms;
	}
	if (g->ping && load_profile_add_ping(p) != RC_OK)
		fatal(2, "--ping: the profile has too many clients");
}

static void
read_options(int argc, char **argv, struct options *o)
{
	struct load_fault fault;
	struct given g = { .n_addresses = 0 };
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take_option(o, &g, opt, optarg);
	if (optind != argc - 1) {
		(void)fputs(usage, stderr);
		exit(2);
	}
	o->path = argv[optind];
	o->profile = xcalloc(1, sizeof(*o->profile));
	if (load_profile_read(o->path, o->profile, &fault) != RC_OK)
		fatal(2, "%s:%u: %s", o->path, fault.line, fault.text);
	apply(o->profile, &g);
	if (o->check)
		return;
	if (o->profile->n_addresses == 0 || o->profile->ca[0] == '\0' ||
	    o->profile->cert[0] == '\0' || o->profile->key[0] == '\0')
		fatal(2, "an address, --cert, --key and --ca are needed");
	for (size_t i = 0; i < o->profile->n_clients; i++)
		if (o->profile->clients[i].app[0] == '\0' &&
		    o->profile->clients[i].scenarios[0].op != LOAD_PING)
			fatal(2, "client %s: --app is needed",
			    o->profile->clients[i].name);
}

/* ---- certificates ---- */

static struct span
file(const char *path, struct buffer *b)
{
	enum rc rc;

	buffer_init(b, PEM_BYTES_MAX, true);
	if ((rc = file_read(path, b)) != RC_OK)
		fatal(2, "%s: %s", path, rc_name(rc));
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static SSL_CTX *
link_ctx(const char *cert, const char *key, const char *ca)
{
	struct buffer b[3];
	struct net_tls_link_files files = { .chain = file(cert, &b[0]),
	    .key = file(key, &b[1]), .ca = file(ca, &b[2]) };
	char why[128];
	SSL_CTX *ctx = net_tls_link_ctx(false, &files, why, sizeof(why));

	if (ctx == NULL)
		fatal(2, "%s: %s", cert, why);
	for (int i = 0; i < 3; i++)
		buffer_fini(&b[i]);
	return (ctx);
}

/* Of this copy of the client. */
static SSL_CTX *
caller_ctx(const struct options *o, const struct load_client *c,
    unsigned index)
{
	const struct load_profile *p = o->profile;
	char *base, *cert, *key;
	SSL_CTX *ctx;

	if (o->callers == NULL)
		return (link_ctx(p->cert, p->key, p->ca));
	base = c->count == 1 ? xasprintf("%s/%s", o->callers, c->name) :
	    xasprintf("%s/%s-%u", o->callers, c->name, index + 1);
	cert = xasprintf("%s.pem", base);
	key = xasprintf("%s.key", base);
	ctx = link_ctx(cert, key, p->ca);
	free(base);
	free(cert);
	free(key);
	return (ctx);
}

/* ---- the load ---- */

static const char *const counter_names[] = { "calls", "fields_sealed",
    "fields_opened", "refused", "rate_limited", "cancelled", "queue_full",
    "slices", "cpu_ms" };
#define COUNTERS	(sizeof(counter_names) / sizeof(counter_names[0]))

struct member {				/* one copy of one client */
	SSL_CTX			*ctx;		/* owned */
	struct load_thread	*thread;	/* owned */
};

static void
run_start(struct load_run *run, const struct load_profile *p)
{
	unsigned n = 1;				/* main */

	run->profile = p;
	for (size_t i = 0; i < p->n_clients; i++)
		n += (unsigned)p->clients[i].count;
	ensure(pthread_barrier_init(&run->ready, NULL, n) == 0 &&
	    pthread_barrier_init(&run->go, NULL, n) == 0);
}

/* All clients at once, until the last of them ends. */
static void
run_clients(const struct options *o, struct load_run *run,
    struct buffer bodies[][LOAD_SCENARIOS_MAX], struct load_report *report)
{
	const struct load_profile *p = o->profile;
	struct member members[LOAD_INSTANCES_MAX + 1];	/* and --ping */
	unsigned n = 0;
	double seconds;

	for (size_t i = 0; i < p->n_clients; i++)
		for (unsigned k = 0; k < p->clients[i].count; k++, n++) {
			members[n].ctx = caller_ctx(o, &p->clients[i], k);
			members[n].thread = load_thread_start(run,
			    &p->clients[i], k, members[n].ctx, bodies[i]);
		}
	(void)pthread_barrier_wait(&run->ready);
	run->start_ns = clock_mono_ns() + START_NS;
	(void)pthread_barrier_wait(&run->go);
	n = 0;
	for (size_t i = 0; i < p->n_clients; i++)
		for (unsigned k = 0; k < p->clients[i].count; k++, n++) {
			seconds = load_thread_join(&members[n].thread,
			    report->results[i]);
			if (seconds > report->seconds[i])
				report->seconds[i] = seconds;
			SSL_CTX_free(members[n].ctx);
		}
}

static void
measure(const struct options *o, struct load_report *report,
    struct load_counter *counters)
{
	const struct load_profile *p = o->profile;
	struct buffer (*bodies)[LOAD_SCENARIOS_MAX] =
	    xcalloc(p->n_clients, sizeof(*bodies));
	uint64_t before[COUNTERS], after[COUNTERS];
	struct load_run run;
	struct load_ask *ask;
	struct net_addr addr;
	SSL_CTX *ctx = link_ctx(p->cert, p->key, p->ca);

	run_start(&run, p);
	ensure(net_addr_parse(p->addresses[0].text, &addr) == RC_OK);
	ask = load_ask_open(&addr, ctx, (unsigned)p->deadline_ms);
	for (size_t i = 0; i < p->n_clients; i++)
		for (size_t k = 0; k < p->clients[i].n_scenarios; k++)
			load_ask_body(ask, &p->clients[i],
			    &p->clients[i].scenarios[k], &bodies[i][k]);
	load_ask_statistics(ask, counter_names, COUNTERS, before);
	load_ask_close(&ask);
	run_clients(o, &run, bodies, report);
	ask = load_ask_open(&addr, ctx, (unsigned)p->deadline_ms);
	load_ask_statistics(ask, counter_names, COUNTERS, after);
	load_ask_close(&ask);
	for (size_t i = 0; i < COUNTERS; i++)
		counters[i] = (struct load_counter){
		    .name = counter_names[i],
		    /* Less than before: another engine process answers. */
		    .known = before[i] != UINT64_MAX &&
		    after[i] != UINT64_MAX && after[i] >= before[i],
		    .grown = after[i] - before[i] };
	for (size_t i = 0; i < p->n_clients; i++)
		for (size_t k = 0; k < p->clients[i].n_scenarios; k++)
			buffer_fini(&bodies[i][k]);
	free(bodies);
	(void)pthread_barrier_destroy(&run.ready);
	(void)pthread_barrier_destroy(&run.go);
	SSL_CTX_free(ctx);
}

static bool
tell(const struct options *o, const struct load_report *report)
{
	struct buffer text;

	buffer_init(&text, 0, false);
	if (o->json)
		load_report_json(report, &text);
	else
		load_report_text(report, &text);
	if (fd_write_all(STDOUT_FILENO, buffer_data(&text),
	    buffer_len(&text)) != RC_OK)
		fatal(1, "standard output cannot be written");
	buffer_fini(&text);
	return (load_report_errors(report) == 0);
}

int
main(int argc, char **argv)
{
	struct options o = { .path = NULL };
	struct load_counter counters[COUNTERS];
	struct load_report report;
	bool clean;

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("e3load", LOG_WARN);
	read_options(argc, argv, &o);
	if (o.check) {
		free(o.profile);
		return (0);
	}
	buffer_keep_heap();
	report = (struct load_report){ .path = o.path, .profile = o.profile,
	    .counters = counters, .n_counters = COUNTERS };
	for (size_t i = 0; i < o.profile->n_clients; i++)
		report.results[i] = xcalloc(o.profile->clients[i].n_scenarios,
		    sizeof(*report.results[i]));
	measure(&o, &report, counters);
	clean = tell(&o, &report);
	for (size_t i = 0; i < o.profile->n_clients; i++)
		free(report.results[i]);
	free(o.profile);
	return (clean || o.allow_errors ? 0 : 1);
}
