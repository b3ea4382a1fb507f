/*
 * tests/unit/e3_stage.h - the engine behind mutual TLS on a Unix socket, one
 * link of each role, and calls over them, signed or forged.
 * Context:   the e3 tests; failures end the test.
 */
#ifndef RELAY_TESTS_E3_STAGE_H
#define RELAY_TESTS_E3_STAGE_H

#include <stdbool.h>

#include "e3/dispatch.h"
#include "lib/rpc/link.h"
#include "test_certs.h"

#define STAGE_WAIT_MS	20000

enum { WORKER, FEED, HELPER, PULSE, ADMIN, ADMIN2, CLIENTS };
extern const char *const stage_role_of[CLIENTS];

struct stage_client {
	struct test_cert	*cert;		/* owned, as all below */
	SSL_CTX			*ctx;
	struct rpc_link		*link;
	bool			up, down;
};

struct stage {
	struct loop		*loop;		/* owned, as all below */
	struct e3_engine	engine;
	struct test_cert	*ca, *engine_cert;
	struct net_addr		addr;
	char			dir[64], path[80];
	struct stage_client	clients[CLIENTS];
};

/* An engine that listens, not ready, without callers. */
void stage_open(struct stage *);
void stage_close(struct stage *);
/* All callers linked, ready, one app created and loaded; its id in app. */
void stage_open_with_app(struct stage *, char app[64]);

/* The local platform with these root keys (p NULL: not passed). */
enum rc stage_platform(const struct test_cert *ca,
    const struct test_cert *engine, struct span root, struct span next_root,
    struct e3_platform **);

/* Turn the loop until *flag; fails after STAGE_WAIT_MS. */
void stage_wait(struct stage *, const bool *flag);

/* which: WORKER ...; send_buffer_bytes: 0 = the system's.  Waits until up. */
void stage_client_open(struct stage *, int which, int send_buffer_bytes);
void stage_client_close(struct stage_client *);

struct answer {
	bool		done;
	enum rc		rc;
	enum rpc_status	status;
	size_t		n, pieces;	/* entries of arrays; frames */
	uint64_t	number;		/* `version`, or keys_epoch */
	bool		ready, draining;
	char		text[256];	/* app, key or secret; last one wins */
	char		secret[128];
	struct buffer	bytes;		/* record, challenge, roles (encoded);
					   first entry */
};

void answer_init(struct answer *);
/* An rpc_reply_cb; arg is the answer. */
void answer_take(void *arg, enum rc, enum rpc_status, const struct rpc_value *,
    bool more);

/* Call, wait, return the status; body may be NULL and is gone afterwards.
 * a: keep it, then fini its bytes. */
enum rpc_status stage_call(struct stage *, int who, enum rpc_op,
    struct buffer *body, struct answer *a);

enum forgery { HONEST, NO_SIGNATURE, OTHER_KEY, OTHER_OP, OTHER_BODY };
enum rpc_status stage_call_signed(struct stage *, int who, enum rpc_op,
    struct buffer *body, struct span challenge, enum forgery, struct answer *);
/* As ADMIN, with a challenge of its own. */
enum rpc_status stage_call_honest(struct stage *, enum rpc_op,
    struct buffer *body, struct answer *);

/* LoadRecords of one record, by HELPER. */
enum rpc_status stage_load(struct stage *, const struct buffer *record);
void stage_make_ready(struct stage *);

/* Bodies, which these initialise: {key: text, key2: text2}, key2 may be NULL;
 * Encrypt with n times the same value. */
void stage_texts(struct buffer *, const char *key, const char *text,
    const char *key2, const char *text2);
void stage_encrypt_body(struct buffer *, const char *app, size_t n,
    const char *value);

#endif
