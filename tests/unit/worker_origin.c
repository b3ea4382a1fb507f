/* worker_origin.c - see worker_origin.h. */
#include "tests/unit/worker_origin.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fd.h"

#define TYPE_A		1
#define TYPE_AAAA	28
#define RCODE_NXDOMAIN	3

int
fd_count(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return (n);
}

/* ---- the name server ---- */

static size_t
put16(uint8_t *out, unsigned v)
{
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
	return (2);
}

/* The question's name again, by pointer, and this address. */
static size_t
put_address(uint8_t *out, unsigned type, const void *ip)
{
	size_t len = type == TYPE_A ? 4 : 16, at = 0;

	at += put16(out + at, 0xc00c);
	at += put16(out + at, type);
	at += put16(out + at, 1);
	at += put16(out + at, 0);
	at += put16(out + at, 60);
	at += put16(out + at, (unsigned)len);
	memcpy(out + at, ip, len);
	return (at + len);
}

static unsigned
put_addresses(uint8_t *out, size_t *at, unsigned type, const char *ips)
{
	char text[1024], *save = NULL, *one;
	uint8_t ip[16];
	unsigned n = 0;

	(void)snprintf(text, sizeof(text), "%s", ips);
	for (one = strtok_r(text, " ", &save); one != NULL;
	    one = strtok_r(NULL, " ", &save)) {
		if ((strchr(one, ':') != NULL) != (type == TYPE_AAAA))
			continue;
		assert_int_equal(inet_pton(type == TYPE_A ? AF_INET : AF_INET6,
		    one, ip), 1);
		*at += put_address(out + *at, type, ip);
		n++;
	}
	return (n);
}

static const struct lab_name *
find_name(const struct lab *lab, const char *name)
{
	for (size_t i = 0; i < lab->n_names; i++)
		if (strcmp(lab->names[i].name, name) == 0)
			return (&lab->names[i]);
	return (NULL);
}

static size_t
read_name(const uint8_t *q, size_t at, char *name)
{
	for (; q[at] != 0; at += q[at] + 1u) {
		memcpy(name, q + at + 1, q[at]);
		name += q[at];
		*name++ = '.';
	}
	name[-1] = '\0';
	return (at + 1);
}

static void
on_question(evutil_socket_t fd, short what, void *arg)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	const struct lab_name *n;
	uint8_t q[512], out[2048];
	unsigned answers = 0;
	char name[256];
	size_t at;

	(void)what;
	if (recvfrom(fd, q, sizeof(q), 0, (struct sockaddr *)&from, &len) < 17)
		return;
	at = read_name(q, 12, name) + 4;
	n = find_name(arg, name);
	if (n != NULL && n->ips == NULL)
		return;
	memcpy(out, q, at);
	out[2] = 0x84;
	out[3] = (uint8_t)(0x80 | (n == NULL ? RCODE_NXDOMAIN : 0));
	if (n != NULL)
		answers = put_addresses(out, &at, q[at - 3], n->ips);
	(void)put16(out + 6, answers);
	(void)put16(out + 8, 0);
	(void)put16(out + 10, 0);
	assert_true(sendto(fd, out, at, 0, (struct sockaddr *)&from, len) ==
	    (ssize_t)at);
}

static void
start_dns(struct lab *lab)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	char servers[64];

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	lab->dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(lab->dns_fd, (struct sockaddr *)&in, sizeof(in)),
	    0);
	assert_int_equal(getsockname(lab->dns_fd, (struct sockaddr *)&in, &len),
	    0);
	lab->ev_dns = event_new(loop_base(lab->loop), lab->dns_fd,
	    EV_READ | EV_PERSIST, on_question, lab);
	event_add(lab->ev_dns, NULL);
	(void)snprintf(servers, sizeof(servers), "127.0.0.1:%u",
	    ntohs(in.sin_port));
	lab->dns = net_dns_new(lab->loop, servers);
}

void
lab_name(struct lab *lab, const char *name, const char *ips)
{
	assert_true(lab->n_names < LAB_NAMES_MAX);
	lab->names[lab->n_names++] = (struct lab_name){ name, ips };
}

/* ---- the lab ---- */

/* A socket at this address and port; -1: taken, or no such family here. */
static int
bound(const char *ip, uint16_t port)
{
	struct net_addr a;
	int on = 1, fd;

	assert_int_equal(net_addr_from_ip(ip, port, &a), RC_OK);
	fd = socket(a.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (fd < 0)
		return (-1);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a.ss.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a.ss, a.len) != 0)
		fd_close(&fd);
	return (fd);
}

static uint16_t
port_of(int fd)
{
	struct net_addr a = { .len = sizeof(a.ss) };

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a.ss, &a.len), 0);
	return (net_addr_port(&a));
}

static SSL_CTX *
server_ctx(struct test_cert *ca)
{
	struct test_cert *leaf = test_leaf_new(ca, "origin",
	    "DNS:a.test,DNS:b.test", 3600);
	SSL_CTX *ctx = test_server_ctx(leaf, TLS1_2_VERSION);

	test_cert_free(&leaf);
	return (ctx);
}

void
lab_start(struct lab *lab)
{
	memset(lab, 0, sizeof(*lab));
	lab->ca = test_ca_new("origins' CA");
	lab->other_ca = test_ca_new("a CA nobody knows");
	lab->good = server_ctx(lab->ca);
	lab->wrong = server_ctx(lab->other_ca);
	lab->n_fds = fd_count();
	lab->loop = loop_new();
	lab->port_v4 = bound("0.0.0.0", 0);
	assert_true(lab->port_v4 >= 0);
	lab->port = port_of(lab->port_v4);
	lab->port_v6 = bound("::", lab->port);
	start_dns(lab);
	lab->conf = (struct conf){
		.connect_timeout_ms = 5000,
		.connect_attempt_delay_ms = 30,
		.origin_max_fails = 5,
		.origin_fail_ms = 60000,
		.origin_idle_ms = 60000,
		.origin_pool_size = 64,
		.max_head_bytes = 65536,
	};
}

void
lab_stop(struct lab *lab)
{
	net_dns_free(&lab->dns);
	event_free(lab->ev_dns);
	fd_close(&lab->dns_fd);
	fd_close(&lab->port_v4);
	fd_close(&lab->port_v6);
	loop_free(&lab->loop);
	assert_int_equal(fd_count(), lab->n_fds);
	SSL_CTX_free(lab->good);
	SSL_CTX_free(lab->wrong);
	test_cert_free(&lab->ca);
	test_cert_free(&lab->other_ca);
}

/* ---- destinations ---- */

static void
link_end(struct dest_link *l)
{
	net_stream_close(&l->stream);
	timer_fini(&l->late);
	fd_close(&l->fd);
	LIST_REMOVE(l, chain);
	l->dest->n_ended++;
	free(l);
}

static void
on_nothing(void *arg)
{
	(void)arg;
}

static void
on_input(void *arg)
{
	struct dest_link *l = arg;

	buffer_clear(net_stream_input(l->stream));
}

static void
on_eof(void *arg)
{
	link_end(arg);
}

static void
on_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	link_end(arg);
}

static const struct net_stream_ops link_ops = {
	.on_ready = on_nothing,
	.on_input = on_input,
	.on_drained = on_nothing,
	.on_eof = on_eof,
	.on_error = on_error,
};

static void
link_tls(void *arg)
{
	struct dest_link *l = arg;
	int fd = l->fd;

	l->fd = -1;
	l->stream = net_stream_accept(l->dest->lab->loop, fd, l->dest->ctx,
	    &link_ops, l);
}

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct dest *d = arg;
	struct dest_link *l;
	int fd;

	(void)what;
	fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	d->n_accepted++;
	l = calloc(1, sizeof(*l));
	assert_non_null(l);
	l->dest = d;
	l->fd = fd;
	timer_init(&l->late, d->lab->loop, link_tls, l);
	LIST_INSERT_HEAD(&d->links, l, chain);
	if (d->kind == DEST_LATE)
		timer_start_ms(&l->late, DEST_LATE_MS);
	else if (d->kind != DEST_MUTE)
		link_tls(l);
}

/* A queue for one, and that one comes from us: the kernel then drops every
 * other SYN. */
static void
fill_queue(struct dest *d)
{
	struct net_addr a = { .len = sizeof(a.ss) };

	assert_int_equal(getsockname(d->fd, (struct sockaddr *)&a.ss, &a.len),
	    0);
	for (size_t i = 0; i < DEST_FILL; i++) {
		d->fill[i] = socket(a.ss.ss_family,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(d->fill[i] >= 0);
		(void)connect(d->fill[i], (struct sockaddr *)&a.ss, a.len);
	}
}

void
dest_start(struct dest *d, struct lab *lab, const char *ip, enum dest_kind kind)
{
	memset(d, 0, sizeof(*d));
	d->lab = lab;
	d->kind = kind;
	d->fd = -1;
	memset(d->fill, 0xff, sizeof(d->fill));		/* -1 */
	LIST_INIT(&d->links);
	if (kind == DEST_NONE)
		return;
	if (kind == DEST_TLS_12)
		d->ctx = server_ctx(lab->ca);
	else {
		d->ctx = kind == DEST_WRONG ? lab->wrong : lab->good;
		SSL_CTX_up_ref(d->ctx);
	}
	if (kind == DEST_TLS_12)
		SSL_CTX_set_max_proto_version(d->ctx, TLS1_2_VERSION);
	d->fd = bound(ip, lab->port);
	assert_true(d->fd >= 0);
	assert_int_equal(listen(d->fd, kind == DEST_SILENT ? 0 : 128), 0);
	if (kind == DEST_SILENT) {
		fill_queue(d);
		return;
	}
	d->ev = event_new(loop_base(lab->loop), d->fd, EV_READ | EV_PERSIST,
	    on_accept, d);
	event_add(d->ev, NULL);
}

void
dest_cut(struct dest *d)
{
	struct dest_link *l;

	while ((l = LIST_FIRST(&d->links)) != NULL)
		link_end(l);
}

void
dest_say(struct dest *d, const char *text)
{
	struct dest_link *l;

	LIST_FOREACH(l, &d->links, chain)
		assert_int_equal(net_stream_write(l->stream, text, strlen(text)),
		    RC_OK);
}

void
dest_stop(struct dest *d)
{
	dest_cut(d);
	if (d->ev != NULL)
		event_free(d->ev);
	d->ev = NULL;
	fd_close(&d->fd);
	for (size_t i = 0; i < DEST_FILL; i++)
		fd_close(&d->fill[i]);
	SSL_CTX_free(d->ctx);
	d->ctx = NULL;
}
