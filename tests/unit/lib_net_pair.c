/* tests/unit/lib_net_pair.c - two streams and their owners. */
#include "tests/unit/lib_net_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/object.h"

#define MANY_TURNS	2000000

char
pattern_at(size_t i)
{
	return ((char)(i * 2654435761u >> 13));
}

static void
maybe_close(struct end *e, enum close_in here)
{
	if (e->close_in != here)
		return;
	net_stream_close(&e->s);
	if (e->also_close != NULL)
		net_stream_close(&e->also_close->s);
}

/* Odd sizes, so that records and retries fall at odd places; more than one
 * piece, so that bytes are appended while a write waits to be repeated. */
static void
send_more(struct end *e)
{
	char piece[7001];

	while (e->left != 0 && net_stream_unsent(e->s) < 40000) {
		size_t n = 1 + (e->at * 31 + 17) % sizeof(piece);

		if (n > e->left)
			n = e->left;
		for (size_t i = 0; i < n; i++)
			piece[i] = pattern_at(e->at + i);
		ensure(net_stream_write(e->s, piece, n) == RC_OK);
		e->at += n;
		e->left -= n;
	}
}

static void
on_ready(void *arg)
{
	struct end *e = arg;

	e->ready++;
	maybe_close(e, CLOSE_IN_READY);
}

static void
on_input(void *arg)
{
	struct end *e = arg;
	struct buffer *in = net_stream_input(e->s);

	e->inputs++;
	ensure(buffer_len(in) != 0);
	if (buffer_len(in) > e->max_input)
		e->max_input = buffer_len(in);
	if (e->take) {
		buffer_put(&e->got, buffer_data(in), buffer_len(in));
		buffer_clear(in);
	}
	maybe_close(e, CLOSE_IN_INPUT);
}

static void
on_drained(void *arg)
{
	struct end *e = arg;

	e->drained++;
	ensure(net_stream_unsent(e->s) == 0);
	send_more(e);
	maybe_close(e, CLOSE_IN_DRAINED);
}

static void
on_eof(void *arg)
{
	struct end *e = arg;

	e->eof++;
	maybe_close(e, CLOSE_IN_EOF);
}

static void
on_error(void *arg, enum net_reason reason, const char *why)
{
	struct end *e = arg;

	e->errors++;
	e->reason = reason;
	(void)snprintf(e->why, sizeof(e->why), "%s", why);
	maybe_close(e, CLOSE_IN_ERROR);
}

const struct net_stream_ops end_ops = {
	.on_ready = on_ready,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_eof = on_eof,
	.on_error = on_error,
};

void
end_init(struct end *e)
{
	memset(e, 0, sizeof(*e));
	buffer_init(&e->got, 0, false);
	e->take = true;
}

void
end_fini(struct end *e)
{
	net_stream_close(&e->s);
	buffer_fini(&e->got);
}

void
end_send(struct end *e, const char *text)
{
	ensure(net_stream_write(e->s, text, strlen(text)) == RC_OK);
}

void
end_send_pattern(struct end *e, size_t n)
{
	e->left = n;
	e->at = 0;
	send_more(e);
}

bool
end_got_pattern(const struct end *e, size_t n)
{
	const char *data = buffer_data(&e->got);

	if (buffer_len(&e->got) != n)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (data[i] != pattern_at(i))
			return (false);
	return (true);
}

bool
end_got(const struct end *e, const char *text)
{
	return (buffer_len(&e->got) == strlen(text) &&
	    memcmp(buffer_data(&e->got), text, strlen(text)) == 0);
}

int
listen_on(enum medium medium, struct net_addr *addr)
{
	char path[] = "/tmp/relay-net-XXXXXX", text[128];
	int fd;

	if (medium == MEDIUM_TCP)
		ensure(net_addr_parse("127.0.0.1:0", addr) == RC_OK);
	else {
		ensure(mkdtemp(path) != NULL);
		(void)snprintf(text, sizeof(text), "unix:%s/s", path);
		ensure(net_addr_parse(text, addr) == RC_OK);
	}
	fd = socket(addr->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ensure(fd >= 0);
	ensure(bind(fd, (struct sockaddr *)&addr->ss, addr->len) == 0);
	ensure(listen(fd, 16) == 0);
	if (medium == MEDIUM_TCP) {
		addr->len = sizeof(addr->ss);
		ensure(getsockname(fd, (struct sockaddr *)&addr->ss,
		    &addr->len) == 0);
	}
	return (fd);
}

/* A path is needed until both ends hold the socket. */
static void
forget_path(const struct net_addr *addr)
{
	char text[NET_ADDR_TEXT_BYTES], *path = text + 5;

	if (!net_addr_is_unix(addr))
		return;
	net_addr_format(addr, text);
	(void)unlink(path);
	*strrchr(path, '/') = '\0';
	(void)rmdir(path);
}

static bool
both_open(struct pair *p)
{
	return (p->client.s != NULL && net_stream_is_open(p->client.s) &&
	    p->server.s != NULL && net_stream_is_open(p->server.s));
}

void
pair_open(struct pair *p, enum medium medium, SSL_CTX *server,
    SSL_CTX *client, const char *name, int send_buffer_bytes, bool wait)
{
	pair_open_on(p, loop_new(), medium, server, client, name,
	    send_buffer_bytes, wait);
}

void
pair_open_on(struct pair *p, struct loop *loop, enum medium medium,
    SSL_CTX *server, SSL_CTX *client, const char *name, int send_buffer_bytes,
    bool wait)
{
	struct net_stream_connect c = { .ctx = client, .server_name = name,
		.send_buffer_bytes = send_buffer_bytes };
	struct net_addr addr;
	int fd;

	memset(p, 0, sizeof(*p));
	p->loop = loop;
	end_init(&p->client);
	end_init(&p->server);
	p->listener = listen_on(medium, &addr);
	c.addr = &addr;
	p->client.s = net_stream_connect(p->loop, &c, &end_ops, &p->client);
	ensure((fd = accept(p->listener, NULL, NULL)) >= 0);
	fd_close(&p->listener);
	forget_path(&addr);
	ensure(fd_nonblock(fd) == RC_OK);
	if (send_buffer_bytes != 0)
		ensure(setsockopt(fd, SOL_SOCKET, SO_SNDBUF,
		    &send_buffer_bytes, sizeof(send_buffer_bytes)) == 0);
	p->server.s = net_stream_accept(p->loop, fd, server, &end_ops,
	    &p->server);
	if (wait)
		pair_until(p, both_open);
}

void
pair_close(struct pair *p)
{
	end_fini(&p->client);
	end_fini(&p->server);
	while (net_stream_lingering() != 0)
		loop_turn(p->loop, true);
	loop_free(&p->loop);
}

void
pair_until(struct pair *p, pair_cond *cond)
{
	for (unsigned i = 0; i < MANY_TURNS; i++) {
		if (cond(p))
			return;
		loop_turn(p->loop, true);
	}
	ensure(!"the condition came true");
}

void
pair_settle(struct pair *p)
{
	for (unsigned i = 0; i < 50; i++)
		loop_turn(p->loop, false);
}
