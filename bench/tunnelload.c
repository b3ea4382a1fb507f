/*
 * bench/tunnelload.c - requests through a CONNECT proxy, the same for every
 * proxy: a tunnel for each request, or kept ones; also without a proxy, and
 * tunnels that are only held open.
 *
 * Closed loop: a connection asks again when it was answered.  Every answer is
 * compared with what is expected, byte by byte.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <sys/epoll.h>

#include "bench/e3load_times.h"
#include "bench/tunnelload_client.h"

#define EVENTS_MAX	64
#define OPENING_MAX	32	/* of --idle: in the making at once */
#define WAIT_MS		100	/* looks at the clock; nothing else waits for it */
#define ERRORS_MAX	100	/* and no answer: what was asked cannot work */
#define STUCK_S		20	/* without any answer: something is broken */

static const char usage[] =
    "usage: tunnelload [options]\n"
    "  --form tls|plain|direct   CONNECT over TLS, in clear, or no proxy\n"
    "  --port N             of the proxy, or of the origin, on 127.0.0.1\n"
    "  --host NAME          the destination, and the proxy's name (localhost)\n"
    "  --origin-port N      the destination's\n"
    "  --ca F               who signs all of them\n"
    "  --key KEY            on CONNECT over TLS; in clear: in each request inside\n"
    "  --path P             (/)\n"
    "  --body F             POST this as JSON; without: GET\n"
    "  --expect F           the body of each answer; without: any\n"
    "  --new                a tunnel for each request\n"
    "  --connections N      (32)\n"
    "  --threads N          (1)\n"
    "  --seconds S          (1)\n"
    "  --requests N         end after so many, if earlier\n"
    "  --idle               one request each, a line of JSON, then hold all of them\n"
    "                       until input ends\n"
    "prints a line of JSON; exit: 0, also with errors (they are counted), 2 bad\n"
    "option or no resources\n";

struct options {
	struct tunnel_plan plan;
	const char	*path, *key, *body, *ca;	/* views of argv */
	unsigned	origin_port, connections, threads;
	uint64_t	requests;		/* 0: no limit */
	double		seconds;
	bool		fresh, idle;
};

struct client {
	pthread_t		thread;
	const struct options	*options;	/* borrowed */
	struct tunnel		*tunnels;	/* owned */
	uint64_t		*t_asked_ns;	/* owned; of each tunnel */
	struct load_times	times;
	unsigned		count, opened, waiting;
	int			epoll;
	uint64_t		errors, tunnels_made;
	const char		*why;		/* of the last error */
};

static uint64_t t_end_ns;
static _Atomic uint64_t left;			/* requests still to ask */

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

/* ---- what is sent ---- */

static struct tunnel_bytes
file_bytes(const char *path)
{
	struct tunnel_bytes b = { NULL, 0 };
	FILE *f;
	long n;

	if (path == NULL)
		return (b);
	if ((f = fopen(path, "rb")) == NULL || fseek(f, 0, SEEK_END) != 0 ||
	    (n = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0 ||
	    (b.at = malloc((size_t)n + 1)) == NULL ||
	    fread(b.at, 1, (size_t)n, f) != (size_t)n)
		tunnel_die("cannot read a body");
	fclose(f);
	b.len = (size_t)n;
	return (b);
}

static void
make_request(struct options *o)
{
	struct tunnel_plan *p = &o->plan;
	struct tunnel_bytes body = file_bytes(o->body);
	char *text = NULL, *key = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		tunnel_die("no memory");
	/* A key is never sent in clear: then it stands inside. */
	if (o->key != NULL && asprintf(&key, "Proxy-Authorization: %s\r\n",
	    o->key) < 0)
		tunnel_die("no memory");
	fprintf(f, "%s %s HTTP/1.1\r\nHost: %s:%u\r\n%s", o->body != NULL ? "POST" :
	    "GET", o->path, p->host, o->origin_port,
	    key != NULL && p->form == TUNNEL_PLAIN ? key : "");
	if (o->body != NULL)
		fprintf(f, "Content-Type: application/json\r\n"
		    "Content-Length: %zu\r\n", body.len);
	fputs("\r\n", f);
	if (o->body != NULL)
		fwrite(body.at, 1, body.len, f);
	fclose(f);
	p->request.at = text;
	p->request.len = len;
	if ((f = open_memstream(&p->connect.at, &p->connect.len)) == NULL)
		tunnel_die("no memory");
	fprintf(f, "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n%s\r\n", p->host,
	    o->origin_port, p->host, o->origin_port,
	    key != NULL && p->form == TUNNEL_TLS ? key : "");
	fclose(f);
	free(key);
	free(body.at);
}

static void
make_tls(struct options *o)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL || SSL_CTX_load_verify_file(ctx, o->ca) != 1 ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
		tunnel_die("--ca: cannot be read");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	/* Whole handshakes, each of them. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	o->plan.ctx = ctx;
}

/* ---- a thread ---- */

static bool
may_ask(void)
{
	uint64_t n = left;

	while (n != 0)
		if (atomic_compare_exchange_weak(&left, &n, n - 1))
			return (true);
	return (false);
}

static void
fault(struct client *c, struct tunnel *t)
{
	c->errors++;
	c->why = t->why;
	tunnel_close(t);
	if (c->errors >= ERRORS_MAX && c->times.count == 0)
		tunnel_die(c->why);
}

/* A tunnel for the next request; false: none is wanted any more. */
static bool
open_one(struct client *c, unsigned i)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
	    .data.u32 = i };
	struct tunnel *t = &c->tunnels[i];

	while (now_ns() < t_end_ns && may_ask()) {
		c->t_asked_ns[i] = now_ns();
		if (!tunnel_open(t)) {
			fault(c, t);
			continue;
		}
		c->tunnels_made++;
		if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, t->fd, &ev) != 0)
			tunnel_die("epoll");
		c->waiting++;
		return (true);
	}
	return (false);
}

static void
open_idle(struct client *c)
{
	while (c->opened < c->count && c->waiting < OPENING_MAX)
		(void)open_one(c, c->opened++);
}

/* It was answered: what comes now?  True: step it again. */
static bool
next(struct client *c, unsigned i)
{
	struct tunnel *t = &c->tunnels[i];

	load_times_add(&c->times, now_ns() - c->t_asked_ns[i]);
	if (c->options->idle) {
		c->waiting--;
		open_idle(c);
		return (false);
	}
	if (!c->options->fresh && now_ns() < t_end_ns && may_ask()) {
		c->t_asked_ns[i] = now_ns();
		tunnel_ask(t);
		return (true);
	}
	tunnel_close(t);
	c->waiting--;
	if (c->options->fresh)
		(void)open_one(c, i);
	return (false);
}

static void
on_event(struct client *c, unsigned i)
{
	struct tunnel *t = &c->tunnels[i];

	for (;;) {
		switch (tunnel_step(t)) {
		case TUNNEL_WAIT:
			return;
		case TUNNEL_ANSWERED:
			if (!next(c, i))
				return;
			break;
		case TUNNEL_FAILED:
			fault(c, t);
			c->waiting--;
			if (c->options->idle)
				open_idle(c);
			else
				(void)open_one(c, i);
			return;
		}
	}
}

static void *
run(void *arg)
{
	struct epoll_event events[EVENTS_MAX];
	struct client *c = arg;
	uint64_t t_last_ns = now_ns();

	if (c->options->idle)
		open_idle(c);
	else
		for (unsigned i = 0; i < c->count; i++)
			(void)open_one(c, i);
	while (c->waiting != 0) {
		int n = epoll_wait(c->epoll, events, EVENTS_MAX, WAIT_MS);

		for (int k = 0; k < n; k++)
			if (c->tunnels[events[k].data.u32].fd >= 0)
				on_event(c, events[k].data.u32);
		if (n > 0)
			t_last_ns = now_ns();
		else if (now_ns() - t_last_ns > STUCK_S * 1000000000ull)
			tunnel_die("no answer any more");
	}
	return (NULL);
}

static void
client_init(struct client *c, const struct options *o, unsigned count)
{
	c->options = o;
	c->count = count;
	c->tunnels = calloc(count + 1, sizeof(*c->tunnels));
	c->t_asked_ns = calloc(count + 1, sizeof(*c->t_asked_ns));
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->tunnels == NULL || c->t_asked_ns == NULL || c->epoll < 0)
		tunnel_die("no memory");
	for (unsigned i = 0; i < count; i++)
		tunnel_init(&c->tunnels[i], &o->plan);
}

static void
client_fini(struct client *c)
{
	for (unsigned i = 0; i < c->count; i++)
		tunnel_fini(&c->tunnels[i]);
	close(c->epoll);
	free(c->tunnels);
	free(c->t_asked_ns);
}

/* ---- options and the result ---- */

enum { OPT_FORM = 256, OPT_PORT, OPT_HOST, OPT_ORIGIN, OPT_CA, OPT_KEY, OPT_PATH,
    OPT_BODY, OPT_EXPECT, OPT_NEW, OPT_CONNECTIONS, OPT_THREADS, OPT_SECONDS,
    OPT_REQUESTS, OPT_IDLE };

static const struct option long_options[] = {
	{ "form", required_argument, NULL, OPT_FORM },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "host", required_argument, NULL, OPT_HOST },
	{ "origin-port", required_argument, NULL, OPT_ORIGIN },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "path", required_argument, NULL, OPT_PATH },
	{ "body", required_argument, NULL, OPT_BODY },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "new", no_argument, NULL, OPT_NEW },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "requests", required_argument, NULL, OPT_REQUESTS },
	{ "idle", no_argument, NULL, OPT_IDLE },
	{ NULL, 0, NULL, 0 },
};

static bool
take_form(struct tunnel_plan *p, const char *name)
{
	static const char *const names[] = { "tls", "plain", "direct" };

	for (unsigned i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0) {
			p->form = (enum tunnel_form)i;
			return (true);
		}
	return (false);
}

static bool
take_option(struct options *o, int c)
{
	struct tunnel_plan *p = &o->plan;

	switch (c) {
	case OPT_FORM: return (take_form(p, optarg));
	case OPT_PORT: p->server.sin_port = htons((uint16_t)atoi(optarg)); break;
	case OPT_HOST: p->host = optarg; break;
	case OPT_ORIGIN: o->origin_port = (unsigned)atoi(optarg); break;
	case OPT_CA: o->ca = optarg; break;
	case OPT_KEY: o->key = optarg; break;
	case OPT_PATH: o->path = optarg; break;
	case OPT_BODY: o->body = optarg; break;
	case OPT_EXPECT:
		free(p->expect.at);
		p->expect = file_bytes(optarg);
		p->any_answer = false;
		break;
	case OPT_NEW: o->fresh = true; break;
	case OPT_CONNECTIONS: o->connections = (unsigned)atoi(optarg); break;
	case OPT_THREADS: o->threads = (unsigned)atoi(optarg); break;
	case OPT_SECONDS: o->seconds = atof(optarg); break;
	case OPT_REQUESTS: o->requests = strtoull(optarg, NULL, 10); break;
	case OPT_IDLE: o->idle = true; break;
	default: return (false);
	}
	return (true);
}

static bool
take_options(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (!take_option(o, c))
			return (false);
	return (optind == argc && o->ca != NULL && o->connections != 0 &&
	    o->threads != 0 && o->threads <= o->connections &&
	    o->plan.server.sin_port != 0 && o->origin_port != 0);
}

static void
print(struct client *clients, unsigned n, double seconds)
{
	struct client *all = &clients[0];

	for (unsigned i = 1; i < n; i++) {
		load_times_merge(&all->times, &clients[i].times);
		all->errors += clients[i].errors;
		all->tunnels_made += clients[i].tunnels_made;
		if (clients[i].why != NULL)
			all->why = clients[i].why;
	}
	printf("{\"requests\":%llu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
	    "\"tunnels\":%llu,\"errors\":%llu,\"why\":\"%s\"}\n",
	    (unsigned long long)all->times.count, seconds,
	    (double)load_times_percentile(&all->times, 50) / 1e6,
	    (double)load_times_percentile(&all->times, 99) / 1e6,
	    (unsigned long long)all->tunnels_made,
	    (unsigned long long)all->errors, all->why != NULL ? all->why : "");
	fflush(stdout);
}

static void
hold(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

int
main(int argc, char **argv)
{
	struct options o = { .path = "/", .connections = 32, .threads = 1,
	    .seconds = 1, .plan = { .host = "localhost", .any_answer = true } };
	struct client *clients;
	uint64_t t_start_ns;

	(void)signal(SIGPIPE, SIG_IGN);
	o.plan.server.sin_family = AF_INET;
	o.plan.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!take_options(&o, argc, argv)) {
		fputs(usage, stderr);
		return (2);
	}
	make_request(&o);
	make_tls(&o);
	if ((clients = calloc(o.threads, sizeof(*clients))) == NULL)
		tunnel_die("no memory");
	for (unsigned i = 0; i < o.threads; i++)
		client_init(&clients[i], &o, o.connections / o.threads +
		    (i < o.connections % o.threads));
	left = o.requests != 0 ? o.requests : UINT64_MAX;
	t_start_ns = now_ns();
	t_end_ns = o.idle ? UINT64_MAX : t_start_ns + (uint64_t)(o.seconds * 1e9);
	for (unsigned i = 0; i < o.threads; i++)
		if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
			tunnel_die("no thread");
	for (unsigned i = 0; i < o.threads; i++)
		(void)pthread_join(clients[i].thread, NULL);
	print(clients, o.threads, (double)(now_ns() - t_start_ns) / 1e9);
	if (o.idle)
		hold();
	for (unsigned i = 0; i < o.threads; i++)
		client_fini(&clients[i]);
	SSL_CTX_free(o.plan.ctx);
	free(o.plan.request.at);
	free(o.plan.connect.at);
	free(o.plan.expect.at);
	free(clients);
	return (0);
}
