/*
 * redis/endpoint.h - one lasting way to Redis: which server of a list, found
 * through Sentinel or not, and coming back after it was lost.
 * Context:   the loop's thread.  redis_endpoint_new reads files (password, CA):
 *            call it before the sandbox.
 * Ownership: the creator owns the endpoint; the endpoint owns its client.
 *
 * Servers are tried in order; when all have failed there is a pause that
 * doubles from 100 ms to 10 s, with jitter, so that a fleet does not come back
 * as one.  With Sentinel the listed endpoints are Sentinels: the master they
 * name is used only after its own ROLE agrees (a Sentinel may be behind).
 */
#ifndef RELAY_REDIS_ENDPOINT_H
#define RELAY_REDIS_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/loop.h"
#include "lib/base/result.h"
#include "lib/net/dns.h"
#include "lib/redis/client.h"

struct redis_endpoint;

enum redis_purpose {
	REDIS_FOR_READING,	/* any listed server, replicas too */
	REDIS_FOR_WRITING	/* `write` when set, else as above */
};

/* As the options of relay.conf and e3.conf; copied.  NULL and "" mean the
 * same everywhere: not set. */
struct redis_endpoint_config {
	char *const	*endpoints;	/* "host:port", "[v6]:port", "unix:/path" */
	size_t		n_endpoints;	/* >= 1 */
	const char	*write;		/* ditto; unused with sentinel */
	const char	*sentinel;	/* master name: endpoints are Sentinels */
	const char	*user;
	const char	*password_file;	/* trailing newlines do not count */
	bool		tls;
	const char	*ca_file;	/* NULL: system store */
	int		db;
	const char	*client_name;	/* shown by CLIENT LIST, e.g. "relay-feed" */
};

struct redis_endpoint_ops {
	/* Usable.  The client is borrowed and valid until on_down. */
	void	(*on_up)(void *arg, struct redis_client *);
	/* It was lost (its commands have had their callbacks), or one more
	 * attempt failed: `was_up` tells.  `server` is "host:port"; neither
	 * text holds a password.  The next attempt comes by itself. */
	void	(*on_down)(void *arg, bool was_up, const char *server,
		    const char *why);
};

/*
 * RC_OK; RC_SYNTAX (an address), RC_NOTFOUND or RC_IO (a file) with a reason
 * in why[why_size].  The first attempt starts from the loop, never in here.
 * dns is borrowed: it outlives the endpoint.
 */
enum rc redis_endpoint_new(struct loop *, struct net_dns *dns,
    const struct redis_endpoint_config *, enum redis_purpose,
    const struct redis_endpoint_ops *, void *arg,
    struct redis_endpoint **out, char *why, size_t why_size) must_check;

/* No callback comes after this, also none of commands in flight. */
void redis_endpoint_free(struct redis_endpoint **);

/* NULL while down. */
struct redis_client *redis_endpoint_client(const struct redis_endpoint *);

/* "host:port" of the server in use or tried last; "" before the first. */
const char *redis_endpoint_server(const struct redis_endpoint *);

/*
 * A second connection to the server in use (for SUBSCRIBE), with the same
 * credentials.  Only while up.  The caller owns it, and closes it in on_down.
 */
struct redis_client *redis_endpoint_open_second(struct redis_endpoint *,
    const struct redis_client_ops *, void *arg);

/* Give this server up (it answers READONLY, or the second connection broke)
 * and choose again after the pause.  Calls on_down before it returns, when it
 * was up.  `why` must not point into the client. */
void redis_endpoint_retry(struct redis_endpoint *, const char *why);

#endif
