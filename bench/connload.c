/*
 * bench/connload.c - one HTTPS request for each connection, from a few threads
 * that wait for their answer: what opening a connection costs a server.
 *
 *   connload PORT CA HOST PATH BODY full|resumed THREADS SECONDS
 *
 * full: a whole TLS 1.3 handshake each time.  resumed: each connection shows
 * the ticket that the one before it was given, once (RFC 8446 C.4).  The file
 * BODY is POSTed as JSON; the client closes, as most do.  Prints one line of
 * JSON; exit 1 when it could not start.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#define TIMES_MAX	(1u << 20)	/* of one thread; a minute at 17,000/s */
#define ANSWER_MAX	65536

struct client {
	pthread_t	thread;
	SSL_CTX		*ctx;		/* owned */
	SSL_SESSION	*session;	/* owned: the newest ticket's */
	char		*answer;	/* owned: ANSWER_MAX bytes */
	uint32_t	*times_us;	/* owned: TIMES_MAX of them */
	size_t		requests, resumed, errors;
};

static struct sockaddr_in server;
static const char *host;
static char *request;
static size_t request_bytes;
static bool resume;
static double t_end;

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "connload: %s\n", what);
	exit(1);
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec + (double)t.tv_nsec / 1e9);
}

static void
make_request(const char *path, const char *body_file)
{
	FILE *f = fopen(body_file, "rb");
	char *body = malloc(1u << 20);
	size_t n;
	int len;

	if (f == NULL || body == NULL)
		die("cannot read the body");
	n = fread(body, 1, 1u << 20, f);
	fclose(f);
	if ((request = malloc(n + 4096)) == NULL)
		die("no memory");
	len = snprintf(request, 4096, "POST %s HTTP/1.1\r\nHost: %s:%u\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", path,
	    host, ntohs(server.sin_port), n);
	if (len < 0 || len >= 4096)
		die("path too long");
	memcpy(request + len, body, n);
	request_bytes = (size_t)len + n;
	free(body);
}

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->session);
	c->session = session;
	return (1);		/* the reference is ours now */
}

/* A whole 200 with Content-Length, and nothing else. */
static bool
read_answer(struct client *c, SSL *ssl)
{
	size_t have = 0, need = 0;
	const char *end, *length;
	int n;

	while (need == 0 || have < need) {
		if (have == ANSWER_MAX - 1 || (n = SSL_read(ssl, c->answer + have,
		    (int)(ANSWER_MAX - 1 - have))) <= 0)
			return (false);
		have += (size_t)n;
		c->answer[have] = '\0';
		if (need != 0 || (end = strstr(c->answer, "\r\n\r\n")) == NULL)
			continue;
		if ((length = strcasestr(c->answer, "\r\nContent-Length:")) == NULL)
			return (false);
		need = (size_t)(end + 4 - c->answer) +
		    strtoul(length + 17, NULL, 10);
	}
	return (have == need && strncmp(c->answer, "HTTP/1.1 200 ", 13) == 0);
}

static bool
exchange(struct client *c, int fd, SSL *ssl)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)&server, sizeof(server)) != 0 ||
	    SSL_set_fd(ssl, fd) != 1 || SSL_set_app_data(ssl, c) != 1 ||
	    SSL_set_tlsext_host_name(ssl, host) != 1 ||
	    SSL_set1_host(ssl, host) != 1)
		return (false);
	if (resume && c->session != NULL &&
	    SSL_set_session(ssl, c->session) != 1)
		return (false);
	if (SSL_connect(ssl) != 1 ||
	    SSL_write(ssl, request, (int)request_bytes) != (int)request_bytes ||
	    !read_answer(c, ssl))
		return (false);
	c->resumed += SSL_session_reused(ssl) != 0;
	(void)SSL_shutdown(ssl);
	return (true);
}

static void *
run(void *arg)
{
	struct client *c = arg;
	double t;

	while ((t = now_s()) < t_end && c->requests < TIMES_MAX) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		SSL *ssl = SSL_new(c->ctx);

		if (fd < 0 || ssl == NULL)
			die("no descriptor or memory");
		if (exchange(c, fd, ssl))
			c->times_us[c->requests++] = (uint32_t)((now_s() - t) * 1e6);
		else
			c->errors++;
		SSL_free(ssl);
		close(fd);
	}
	return (NULL);
}

static void
client_init(struct client *c, const char *ca)
{
	c->ctx = SSL_CTX_new(TLS_client_method());
	c->answer = malloc(ANSWER_MAX);
	c->times_us = malloc(TIMES_MAX * sizeof(*c->times_us));
	if (c->ctx == NULL || c->answer == NULL || c->times_us == NULL)
		die("no memory");
	if (SSL_CTX_load_verify_file(c->ctx, ca) != 1)
		die("cannot read the CA");
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION);
	(void)SSL_CTX_set_session_cache_mode(c->ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_session);
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return ((x > y) - (x < y));
}

static void
print(const struct client *clients, size_t n, double seconds)
{
	size_t requests = 0, resumed = 0, errors = 0;
	uint32_t *all;

	for (size_t i = 0; i < n; i++)
		requests += clients[i].requests;
	if ((all = calloc(requests + 1, sizeof(*all))) == NULL)
		die("no memory");
	requests = 0;
	for (size_t i = 0; i < n; i++) {
		const struct client *c = &clients[i];

		memcpy(all + requests, c->times_us,
		    c->requests * sizeof(*all));
		requests += c->requests;
		resumed += c->resumed;
		errors += c->errors;
	}
	qsort(all, requests, sizeof(*all), compare);
	printf("{\"requests\":%zu,\"seconds\":%.3f,\"p50_ms\":%.3f,"
	    "\"p99_ms\":%.3f,\"errors\":%zu,\"resumed\":%zu}\n", requests, seconds,
	    all[requests / 2] / 1e3, all[requests * 99 / 100] / 1e3, errors,
	    resumed);
	free(all);
}

int
main(int argc, char **argv)
{
	struct client *clients;
	size_t n;
	double t;

	(void)signal(SIGPIPE, SIG_IGN);
	if (argc != 9)
		die("usage: connload PORT CA HOST PATH BODY full|resumed THREADS "
		    "SECONDS");
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)atoi(argv[1]));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	host = argv[3];
	resume = strcmp(argv[6], "resumed") == 0;
	n = strtoul(argv[7], NULL, 10);
	make_request(argv[4], argv[5]);
	if (n == 0 || (clients = calloc(n, sizeof(*clients))) == NULL)
		die("no threads");
	for (size_t i = 0; i < n; i++)
		client_init(&clients[i], argv[2]);
	t = now_s();
	t_end = t + atof(argv[8]);
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
			die("no thread");
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(clients[i].thread, NULL);
	print(clients, n, now_s() - t);
	for (size_t i = 0; i < n; i++) {
		SSL_SESSION_free(clients[i].session);
		SSL_CTX_free(clients[i].ctx);
		free(clients[i].answer);
		free(clients[i].times_us);
	}
	free(clients);
	free(request);
	return (0);
}
