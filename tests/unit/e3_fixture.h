/*
 * e3_fixture.h - an engine without a network: calls go through dispatch and
 * real crypto threads, and the reply frames come back read.
 * Context:   the e3 tests; failures end the test.
 */
#ifndef RELAY_TESTS_E3_FIXTURE_H
#define RELAY_TESTS_E3_FIXTURE_H

#include "e3/dispatch.h"
#include "lib/scheme/token.h"

#define FIXTURE_APP	"app_0123456789ab"
#define FIXTURE_OTHER	"app_00000000000f"

struct fixture {
	struct loop		*loop;		/* owned */
	struct e3_engine	engine;
	struct rpc_peer		peer;		/* role: the test's choice */
	struct e3_call		*last;		/* done last, borrowed */
	e3_handler		*permitted;	/* called in dispatch's place: an op
						   that it wants signed */
};

/* Secure heap, one network thread's worth of crypto, N crypto threads, ready,
 * no apps. */
void fixture_start(struct fixture *, unsigned threads);
void fixture_stop(struct fixture *);

/* An app with the key pairs of the published vectors, active; `other` keys
 * are made anew. */
void fixture_app(struct fixture *, const char *id);
void fixture_other_app(struct fixture *, const char *id);

#define REPLY_PIECES_MAX	256
struct reply {
	enum rpc_status		status;		/* of the last frame */
	unsigned		n;		/* frames */
	size_t			longest;	/* bytes of the longest one */
	struct buffer		raw[REPLY_PIECES_MAX];
	struct rpc_reply_frame	frames[REPLY_PIECES_MAX];
};
/* body is left empty; NULL: an empty map. */
void fixture_call(struct fixture *, const char *op, struct buffer *body,
    struct reply *);
void reply_fini(struct reply *);
/* The array that holds entry *i of all pieces; *i becomes its index there. */
const struct rpc_value *reply_array(const struct reply *, size_t *i);

/* Begin a call and do not wait; end it when it is done. */
struct e3_call *fixture_begin(struct fixture *, const char *op,
    struct buffer *body);
void fixture_end(struct e3_call **);

/* One value sealed to text[size] (NUL terminated). */
void fixture_seal(struct fixture *, const char *app, enum rpc_curve,
    enum rpc_field_type, const char *value, char *text, size_t size);
void fixture_seal_field(struct fixture *, const char *app, enum rpc_curve,
    const struct rpc_field *, char *text, size_t size);
/* One token opened; value[size] is NUL terminated. */
enum rpc_open_status fixture_open(struct fixture *, const char *app,
    struct span token, enum rpc_field_type *, char *value, size_t size);

#endif
