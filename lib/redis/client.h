/*
 * redis/client.h - RESP2 over lib/net streams, with hiredis' reader and
 * formatter (never its own sockets: they block).
 * Context:   the loop's thread.
 * Ownership: the creator owns the client.
 *
 * One connection, commands pipelined, replies in order; push messages after
 * SUBSCRIBE go to on_message.  Reconnecting is the owner's policy (shm/feed,
 * e3/helper), see redis_client_open.
 */
#ifndef RELAY_REDIS_CLIENT_H
#define RELAY_REDIS_CLIENT_H

#include <openssl/ssl.h>

#include "lib/base/loop.h"
#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/net/addr.h"

#define REDIS_BULK_BYTES_MAX	(16u << 20)
#define REDIS_ELEMENTS_MAX	(1u << 20)

struct redis_client;

enum redis_type {
	REDIS_NIL, REDIS_STRING, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER,
	REDIS_ARRAY
};

/* One reply: a view, valid during the callback. */
struct redis_value {
	enum redis_type			type;
	struct span			text;	/* string, status, error */
	long long			integer;
	const struct redis_value	*items;	/* array */
	size_t				n;
};

struct redis_client_config {
	const struct net_addr	*addr;
	SSL_CTX			*ctx;		/* NULL: plain */
	const char		*server_name;	/* with ctx: to verify */
	const char		*user;		/* NULL or "": default user */
	const char		*password;	/* NULL or "": no AUTH */
	int			db;		/* SELECT when > 0 */
	unsigned		connect_ms;
};

struct redis_client_ops {
	/* Connected, authenticated, database chosen. */
	void	(*on_up)(void *arg);
	/* Gone: commands in flight have had their callback with RC_UNAVAILABLE.
	 * `why` holds no password. */
	void	(*on_down)(void *arg, const char *why);
	/* A pub/sub message; pattern is empty for SUBSCRIBE. */
	void	(*on_message)(void *arg, struct span pattern,
		    struct span channel, struct span payload);
};

struct redis_client *redis_client_open(struct loop *,
    const struct redis_client_config *, const struct redis_client_ops *,
    void *arg);
void redis_client_close(struct redis_client **);
bool redis_client_is_up(const struct redis_client *);

typedef void redis_reply_cb(void *arg, enum rc, const struct redis_value *);

/* argv are copied.  RC_OK, or RC_UNAVAILABLE when the client is down (the
 * callback does not come then).  cb may be NULL. */
enum rc redis_command(struct redis_client *, unsigned timeout_ms,
    redis_reply_cb *, void *arg, size_t argc, const struct span *argv)
    must_check;
/* For words that are C strings; ends with NULL. */
enum rc redis_commandl(struct redis_client *, unsigned timeout_ms,
    redis_reply_cb *, void *arg, ...) __attribute__((__sentinel__)) must_check;

#endif
