/*
 * redis/client.h - RESP2 over lib/net streams, with hiredis' reader and
 * formatter (never its own sockets: they block).
 * Context:   the loop's thread.
 * Ownership: the creator owns the client.
 *
 * One connection, commands pipelined, replies in order; push messages after
 * SUBSCRIBE go to on_message.  An idle connection is asked PING, so that a
 * dead peer is noticed.  Choosing a server and reconnecting: endpoint.h.
 */
#ifndef RELAY_REDIS_CLIENT_H
#define RELAY_REDIS_CLIENT_H

#include <openssl/ssl.h>

#include "lib/base/loop.h"
#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/net/addr.h"
#include "lib/redis/reply_bounds.h"	/* REDIS_BULK_BYTES_MAX */

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
	const char		*client_name;	/* CLIENT SETNAME; NULL: none */
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

/* The config is copied.  Failures come by on_down from the loop, never before
 * it returns. */
struct redis_client *redis_client_open(struct loop *,
    const struct redis_client_config *, const struct redis_client_ops *,
    void *arg);
/* From any callback too.  No callback comes after it, also none of commands
 * in flight. */
void redis_client_close(struct redis_client **);
bool redis_client_is_up(const struct redis_client *);

typedef void redis_reply_cb(void *arg, enum rc, const struct redis_value *);

/*
 * argv are copied.  RC_OK, or RC_UNAVAILABLE when the client is down (the
 * callback does not come then).  cb may be NULL.  The callback's rc: RC_OK
 * (the value may be REDIS_ERROR), RC_TIMEOUT (replies come in order, so the
 * connection is given up: on_down follows) or RC_UNAVAILABLE; value is NULL
 * unless RC_OK.  SUBSCRIBE of n channels calls back once, after the n-th.
 */
enum rc redis_command(struct redis_client *, unsigned timeout_ms,
    redis_reply_cb *, void *arg, size_t argc, const struct span *argv)
    must_check;
/* For words that are C strings; ends with NULL. */
enum rc redis_commandl(struct redis_client *, unsigned timeout_ms,
    redis_reply_cb *, void *arg, ...) __attribute__((__sentinel__)) must_check;

/* The first word of an error reply is this code: "READONLY", "NOAUTH". */
bool redis_value_is_error(const struct redis_value *, const char *code);

/* That word as a C string for logs: upper-case letters only, so that no
 * server can have its text (which may quote arguments) logged. */
#define REDIS_CODE_BYTES	24
void redis_value_error_code(const struct redis_value *,
    char out[REDIS_CODE_BYTES]);

#endif
