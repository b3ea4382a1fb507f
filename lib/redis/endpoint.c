/*
 * redis/endpoint.c - choosing a Redis server and coming back to one.
 *
 *   PAUSE -> RESOLVING -> CONNECTING -> (ROLE) -> UP
 *              ^                |
 *              +-- ASKING <-----+      with Sentinel: once for the Sentinel,
 *                                      then again for the master it names
 *
 * Every failure goes through endpoint_failed, which decides where to go next
 * and tells the owner last: the owner may free us from in there.
 */
#include "lib/redis/endpoint.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/host.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"
#include "lib/base/timer.h"
#include "lib/net/tls.h"

#define CONNECT_MS		5000	/* TCP, TLS, greeting */
#define COMMAND_MS		5000	/* SENTINEL, ROLE */
#define PAUSE_FIRST_MS		100
#define PAUSE_LAST_MS		10000
#define STABLE_MS		10000	/* up for so long: pauses start again */
#define PASSWORD_BYTES_MAX	4096
#define CA_BYTES_MAX		(1u << 20)

enum endpoint_state {
	ENDPOINT_PAUSE,		/* the timer runs */
	ENDPOINT_RESOLVING,	/* dns_id */
	ENDPOINT_CONNECTING,	/* the client greets */
	ENDPOINT_ASKING,	/* SENTINEL or ROLE is under way */
	ENDPOINT_UP
};

struct server {
	char		host[HOST_BYTES];	/* "" for a Unix socket */
	uint16_t	port;
	struct net_addr	unix_addr;
	char		text[NET_ADDR_TEXT_BYTES + HOST_BYTES];
};

struct redis_endpoint {
	unsigned			magic;
#define REDIS_ENDPOINT_MAGIC		0x53e7a90d
	enum endpoint_state		state;
	struct loop			*loop;		/* borrowed */
	struct net_dns			*dns;		/* borrowed */
	const struct redis_endpoint_ops	*ops;		/* borrowed: static */
	void				*arg;		/* borrowed: our owner */
	struct server			*servers;	/* owned: as configured */
	size_t				n_servers;
	size_t				at;		/* being tried */
	struct server			target;		/* it, or what Sentinel named */
	bool				at_sentinel;	/* target is a Sentinel */
	bool				sentinel_auth;	/* it wants a password too */
	struct net_addr			addrs[NET_DNS_ADDRS_MAX];
	size_t				n_addrs, addr_at;
	uint64_t			dns_id;		/* 0: none */
	struct redis_client		*client;	/* owned */
	struct timer			pause;
	unsigned			pause_ms;
	uint64_t			up_ms;
	char				*sentinel;	/* owned; NULL: none */
	char				*user;		/* owned */
	char				*password;	/* owned, wiped */
	char				*client_name;	/* owned */
	SSL_CTX				*ctx;		/* owned; NULL: plain */
	int				db;
};

static void endpoint_failed(struct redis_endpoint *, const char *why);
static void endpoint_resolve(struct redis_endpoint *);

/* ---- one server's address ---------------------------------------------------------- */

/* "host:port" or "[v6]:port". */
static enum rc
server_parse_name(struct server *s, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct span host;
	uint64_t port;

	if (colon == NULL || colon == text)
		return (RC_SYNTAX);
	host.p = text;
	host.len = (size_t)(colon - text);
	if (host.p[0] == '[') {
		if (host.len < 3 || host.p[host.len - 1] != ']')
			return (RC_SYNTAX);
		host.p++;
		host.len -= 2;
	} else if (memchr(host.p, ':', host.len) != NULL) {
		return (RC_SYNTAX);
	}
	if (!span_copy(host, s->host, sizeof(s->host)) ||
	    string_u64(span_of(colon + 1), &port) != RC_OK ||
	    port == 0 || port > UINT16_MAX)
		return (RC_SYNTAX);
	s->port = (uint16_t)port;
	return (RC_OK);
}

static enum rc
server_parse(struct server *s, const char *text)
{
	memset(s, 0, sizeof(*s));
	if (strlen(text) >= sizeof(s->text))
		return (RC_SYNTAX);
	(void)snprintf(s->text, sizeof(s->text), "%s", text);
	if (strncmp(text, "unix:", 5) == 0)
		return (net_addr_parse(text, &s->unix_addr));
	return (server_parse_name(s, text));
}

static void
server_name(struct server *s, const char *host, uint16_t port)
{
	memset(s, 0, sizeof(*s));
	(void)snprintf(s->host, sizeof(s->host), "%s", host);
	s->port = port;
	(void)snprintf(s->text, sizeof(s->text),
	    strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
}

/* ---- going up ------------------------------------------------------------------------- */

static void
endpoint_up(struct redis_endpoint *e)
{
	e->state = ENDPOINT_UP;
	e->up_ms = clock_mono_ms();
	e->ops->on_up(e->arg, e->client);
}

/* ["master", offset, replicas] from the server itself. */
static void
on_role(void *arg, enum rc rc, const struct redis_value *v)
{
	struct redis_endpoint *e = arg;
	char code[REDIS_CODE_BYTES], why[64];

	if (rc != RC_OK)
		return;			/* on_down of the client follows */
	if (v->type == REDIS_ERROR) {
		redis_value_error_code(v, code);
		(void)snprintf(why, sizeof(why), "ROLE refused: %s", code);
		endpoint_failed(e, why);
	} else if (v->type != REDIS_ARRAY || v->n < 1 ||
	    !span_eq_str(v->items[0].text, "master")) {
		endpoint_failed(e, "not the master that Sentinel says it is");
	} else {
		endpoint_up(e);
	}
}

/* [host, port] or nil. */
static void
on_master(void *arg, enum rc rc, const struct redis_value *v)
{
	struct redis_endpoint *e = arg;
	char host[HOST_BYTES];
	uint64_t port;

	if (rc != RC_OK)
		return;
	if (v->type != REDIS_ARRAY || v->n != 2 ||
	    !span_copy(v->items[0].text, host, sizeof(host)) ||
	    host[0] == '\0' ||
	    string_u64(v->items[1].text, &port) != RC_OK ||
	    port == 0 || port > UINT16_MAX) {
		endpoint_failed(e, v->type == REDIS_NIL ?
		    "this Sentinel knows no such master" :
		    "Sentinel gave no address");
		return;
	}
	redis_client_close(&e->client);
	e->at_sentinel = false;
	server_name(&e->target, host, (uint16_t)port);
	endpoint_resolve(e);
}

static void
on_client_up(void *arg)
{
	struct redis_endpoint *e = arg;
	enum rc rc;

	if (e->at_sentinel)
		rc = redis_commandl(e->client, COMMAND_MS, on_master, e,
		    "SENTINEL", "get-master-addr-by-name", e->sentinel,
		    (char *)NULL);
	else if (e->sentinel != NULL)
		rc = redis_commandl(e->client, COMMAND_MS, on_role, e, "ROLE",
		    (char *)NULL);
	else {
		endpoint_up(e);
		return;
	}
	if (rc != RC_OK)
		endpoint_failed(e, "cannot write");
	else
		e->state = ENDPOINT_ASKING;
}

static void
on_client_down(void *arg, const char *why)
{
	endpoint_failed(arg, why);
}

/* This connection never subscribes. */
static void
on_client_message(void *arg, struct span pattern, struct span channel,
    struct span payload)
{
	(void)arg;
	(void)pattern;
	(void)channel;
	(void)payload;
}

static const struct redis_client_ops client_ops = {
	.on_up = on_client_up,
	.on_down = on_client_down,
	.on_message = on_client_message,
};

static struct redis_client *
open_client(struct redis_endpoint *e, const struct redis_client_ops *ops,
    void *arg)
{
	bool with_password = !e->at_sentinel || e->sentinel_auth;
	struct redis_client_config cfg = {
		.addr = &e->addrs[e->addr_at],
		.client_name = e->client_name,
		.connect_ms = CONNECT_MS,
	};

	/* A Unix socket is this machine: Redis has no TLS there. */
	if (e->target.host[0] != '\0') {
		cfg.ctx = e->ctx;
		cfg.server_name = e->target.host;
	}
	if (with_password) {
		cfg.user = e->user;
		cfg.password = e->password;
	}
	if (!e->at_sentinel)
		cfg.db = e->db;
	return (redis_client_open(e->loop, &cfg, ops, arg));
}

static void
endpoint_connect(struct redis_endpoint *e)
{
	e->state = ENDPOINT_CONNECTING;
	e->client = open_client(e, &client_ops, e);
}

static void
on_addresses(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct redis_endpoint *e = arg;
	char why[64];

	e->dns_id = 0;
	if (rc != RC_OK) {
		(void)snprintf(why, sizeof(why), "name not resolved: %s",
		    rc_name(rc));
		endpoint_failed(e, why);
		return;
	}
	e->n_addrs = n < NET_DNS_ADDRS_MAX ? n : NET_DNS_ADDRS_MAX;
	memcpy(e->addrs, addrs, e->n_addrs * sizeof(*addrs));
	e->addr_at = 0;
	endpoint_connect(e);
}

static void
endpoint_resolve(struct redis_endpoint *e)
{
	e->state = ENDPOINT_RESOLVING;
	e->n_addrs = e->addr_at = 0;
	if (e->target.host[0] == '\0') {
		e->addrs[0] = e->target.unix_addr;
		e->n_addrs = 1;
		endpoint_connect(e);
		return;
	}
	e->dns_id = net_dns_resolve(e->dns, e->target.host, e->target.port,
	    on_addresses, e);
}

static void
on_pause_over(void *arg)
{
	struct redis_endpoint *e = arg;

	e->target = e->servers[e->at];
	e->at_sentinel = e->sentinel != NULL;
	e->sentinel_auth = false;
	endpoint_resolve(e);
}

/* ---- going down ----------------------------------------------------------------------- */

static void
pause_begin(struct redis_endpoint *e)
{
	timer_start_ms(&e->pause,
	    e->pause_ms / 2 + random_below(e->pause_ms / 2 + 1));
	e->pause_ms = e->pause_ms * 2 < PAUSE_LAST_MS ? e->pause_ms * 2 :
	    PAUSE_LAST_MS;
}

/* Where to go after a failure.  The list is walked without pauses; a link
 * that was up, or the end of the list, is followed by one. */
static void
endpoint_next(struct redis_endpoint *e, bool was_up)
{
	if (was_up && clock_mono_ms() - e->up_ms >= STABLE_MS)
		e->pause_ms = PAUSE_FIRST_MS;
	if (!was_up && e->addr_at + 1 < e->n_addrs) {
		e->addr_at++;
		endpoint_connect(e);
		return;
	}
	e->at = (e->at + 1) % e->n_servers;
	e->state = ENDPOINT_PAUSE;
	if (was_up || e->at == 0)
		pause_begin(e);
	else
		timer_start_ms(&e->pause, 0);
}

static void
endpoint_failed(struct redis_endpoint *e, const char *why)
{
	char server[sizeof(e->target.text)];
	bool was_up = e->state == ENDPOINT_UP;

	redis_client_close(&e->client);
	/* Sentinels usually have no password; one that has gets ours. */
	if (e->at_sentinel && !e->sentinel_auth && e->password != NULL &&
	    strcmp(why, "PING refused: NOAUTH") == 0) {
		e->sentinel_auth = true;
		endpoint_connect(e);
		return;
	}
	memcpy(server, e->target.text, sizeof(server));
	endpoint_next(e, was_up);
	e->ops->on_down(e->arg, was_up, server, why);
}

void
redis_endpoint_retry(struct redis_endpoint *e, const char *why)
{
	obj_check(e, REDIS_ENDPOINT_MAGIC);
	if (e->state == ENDPOINT_UP)
		endpoint_failed(e, why);
}

/* ---- start and end ---------------------------------------------------------------------- */

static char *
copy_set(const char *text)
{
	return (text == NULL || text[0] == '\0' ? NULL : xstrdup(text));
}

static enum rc
read_password(struct redis_endpoint *e, const char *path, char *why,
    size_t why_size)
{
	struct buffer b;
	struct span s;
	enum rc rc;

	buffer_init(&b, PASSWORD_BYTES_MAX, true);
	if ((rc = file_read(path, &b)) != RC_OK) {
		(void)snprintf(why, why_size, "redis_password_file %s: %s", path,
		    rc_name(rc));
		goto out;
	}
	s.p = buffer_data(&b);
	s.len = buffer_len(&b);
	while (s.len > 0 && (s.p[s.len - 1] == '\n' || s.p[s.len - 1] == '\r'))
		s.len--;
	if (s.len == 0 || memchr(s.p, '\0', s.len) != NULL) {
		(void)snprintf(why, why_size,
		    "redis_password_file %s: no password in it", path);
		rc = RC_SYNTAX;
		goto out;
	}
	e->password = xstrndup(s.p, s.len);
out:
	buffer_fini(&b);
	return (rc);
}

static enum rc
make_tls(struct redis_endpoint *e, const char *ca_file, char *why,
    size_t why_size)
{
	struct buffer ca;
	char text[256];
	enum rc rc;

	if ((e->ctx = net_tls_client_ctx(TLS1_2_VERSION)) == NULL)
		return (RC_NOMEM);
	SSL_CTX_set_verify(e->ctx, SSL_VERIFY_PEER, NULL);
	if (ca_file == NULL || ca_file[0] == '\0') {
		if (SSL_CTX_set_default_verify_paths(e->ctx) == 1)
			return (RC_OK);
		(void)snprintf(why, why_size, "system CA store: %s",
		    net_tls_error(text, sizeof(text)));
		return (RC_IO);
	}
	buffer_init(&ca, CA_BYTES_MAX, false);
	if ((rc = file_read(ca_file, &ca)) != RC_OK) {
		(void)snprintf(why, why_size, "redis_ca_file %s: %s", ca_file,
		    rc_name(rc));
	} else {
		rc = net_tls_trust_pem(e->ctx, (struct span){ buffer_data(&ca),
		    buffer_len(&ca) }, text, sizeof(text));
		if (rc != RC_OK)
			(void)snprintf(why, why_size, "redis_ca_file %s: %s",
			    ca_file, text);
	}
	buffer_fini(&ca);
	return (rc);
}

static enum rc
make_servers(struct redis_endpoint *e, const struct redis_endpoint_config *cfg,
    enum redis_purpose purpose, char *why, size_t why_size)
{
	bool single = purpose == REDIS_FOR_WRITING && e->sentinel == NULL &&
	    cfg->write != NULL && cfg->write[0] != '\0';
	const char *text;

	e->n_servers = single ? 1 : cfg->n_endpoints;
	ensure(e->n_servers > 0);
	e->servers = xcalloc(e->n_servers, sizeof(*e->servers));
	for (size_t i = 0; i < e->n_servers; i++) {
		text = single ? cfg->write : cfg->endpoints[i];
		if (server_parse(&e->servers[i], text) != RC_OK) {
			(void)snprintf(why, why_size,
			    "%s: not host:port or unix:/path", text);
			return (RC_SYNTAX);
		}
	}
	return (RC_OK);
}

enum rc
redis_endpoint_new(struct loop *loop, struct net_dns *dns,
    const struct redis_endpoint_config *cfg, enum redis_purpose purpose,
    const struct redis_endpoint_ops *ops, void *arg,
    struct redis_endpoint **out, char *why, size_t why_size)
{
	struct redis_endpoint *e = xcalloc(1, sizeof(*e));
	enum rc rc;

	*out = NULL;
	(void)snprintf(why, why_size, "no memory");
	e->magic = REDIS_ENDPOINT_MAGIC;
	e->loop = loop;
	e->dns = dns;
	e->ops = ops;
	e->arg = arg;
	e->db = cfg->db;
	e->pause_ms = PAUSE_FIRST_MS;
	e->sentinel = copy_set(cfg->sentinel);
	e->user = copy_set(cfg->user);
	e->client_name = copy_set(cfg->client_name);
	timer_init(&e->pause, loop, on_pause_over, e);
	rc = make_servers(e, cfg, purpose, why, why_size);
	if (rc == RC_OK && cfg->password_file != NULL &&
	    cfg->password_file[0] != '\0')
		rc = read_password(e, cfg->password_file, why, why_size);
	if (rc == RC_OK && cfg->tls)
		rc = make_tls(e, cfg->ca_file, why, why_size);
	if (rc != RC_OK) {
		redis_endpoint_free(&e);
		return (rc);
	}
	why[0] = '\0';
	timer_start_ms(&e->pause, 0);
	*out = e;
	return (RC_OK);
}

void
redis_endpoint_free(struct redis_endpoint **ep)
{
	struct redis_endpoint *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	obj_check(e, REDIS_ENDPOINT_MAGIC);
	if (e->dns_id != 0)
		net_dns_cancel(e->dns, e->dns_id);
	redis_client_close(&e->client);
	timer_fini(&e->pause);
	SSL_CTX_free(e->ctx);
	if (e->password != NULL)
		secret_wipe(e->password, strlen(e->password));
	free(e->password);
	free(e->sentinel);
	free(e->user);
	free(e->client_name);
	free(e->servers);
	e->magic = 0;
	free(e);
}

struct redis_client *
redis_endpoint_client(const struct redis_endpoint *e)
{
	obj_check(e, REDIS_ENDPOINT_MAGIC);
	return (e->state == ENDPOINT_UP ? e->client : NULL);
}

const char *
redis_endpoint_server(const struct redis_endpoint *e)
{
	obj_check(e, REDIS_ENDPOINT_MAGIC);
	return (e->target.text);
}

struct redis_client *
redis_endpoint_open_second(struct redis_endpoint *e,
    const struct redis_client_ops *ops, void *arg)
{
	obj_check(e, REDIS_ENDPOINT_MAGIC);
	ensure(e->state == ENDPOINT_UP);
	return (open_client(e, ops, arg));
}
