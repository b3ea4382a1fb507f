/*
 * worker/egress_private.h - what egress.c and egress_connect.c share.
 * Context:   these two files only.
 */
#ifndef RELAY_WORKER_EGRESS_PRIVATE_H
#define RELAY_WORKER_EGRESS_PRIVATE_H

#include "conf/egress_json.h"
#include "lib/base/host.h"
#include "worker/api_key.h"
#include "worker/conn.h"
#include "worker/egress.h"
#include "worker/leaf_cache.h"
#include "worker/origin_pool.h"
#include "worker/transaction.h"

struct egress_conn {
	unsigned		magic;
#define EGRESS_CONN_MAGIC	0x4e9c02d7
	struct conn		*conn;		/* borrowed: owns us */

	/* what CONNECT was about */
	bool			inside;		/* it was answered with 200 */
	char			host[HOST_BYTES];	/* canonical */
	uint16_t		port;
	SSL_CTX			*tls;		/* owned reference: the leaf */
	bool			other_name;	/* TLS inside named another host */
	bool			shook_hands;	/* TLS inside */
	bool			asked;		/* a request came inside */
	/* who stands behind it; "": each request says by itself */
	char			app[RPC_APP_ID_BYTES];
	char			key_id[API_KEY_ID_BYTES];
	bool			key_refused;	/* the last answer was: bad */

	/* of the CONNECT's head, which must not be looked at after a wait */
	bool			minor1;		/* HTTP/1.1 */
	bool			keep;		/* its client keeps the connection */

	/* what the head in the input waits for */
	struct transaction	tx;		/* its id; of a CONNECT, to its end */
	uint64_t		auth_id;	/* 0: not */
	uint64_t		leaf_id;
	uint64_t		take_id;	/* a blind tunnel's destination */
	bool			answered;	/* `answer` is about that head's key */
	struct api_key_answer	answer;

	/* of the last exchange, see egress_keep_origin */
	struct origin_conn	*origin;	/* owned; NULL: none */
};

/* Outside: the conn's head is a CONNECT, or what should have been one. */
void egress_connect(struct egress_conn *);
/* It is a request for a plain http destination, which conf allows here. */
bool egress_serves_plain(const struct egress_conn *);

/* The request in the input is refused; keep: its connection may go on. */
void egress_refuse(struct egress_conn *, enum error_code, const char *detail,
    bool keep);

/*
 * Whose key is this?  False: the conn waits or was refused.  True:
 * e->answer is a good one.  key empty: the one that CONNECT brought.
 */
bool egress_authenticate(struct egress_conn *, const struct api_key_found *);

/*
 * The record of this app, or NULL when it has none and needs none.  False: the
 * request was refused.
 */
bool egress_find_record(struct egress_conn *, const char *app,
    struct egress **);

/* The relay for one destination of the app; a reference for the caller. */
struct relay *egress_destination(const char *app, struct egress *,
    const char *host, uint16_t port, bool internal);

#endif
