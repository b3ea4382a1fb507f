/*
 * worker/api_private.h - what the files of the key API share: the call, the
 * table's rows, how a call ends.
 * Context:   the loop's thread; worker/api*.c alone.
 *
 * Any function that may end the call (api_answer, api_fail and what leads
 * there) is the last thing its caller does.
 */
#ifndef RELAY_WORKER_API_PRIVATE_H
#define RELAY_WORKER_API_PRIVATE_H

#include "conf/relay_json.h"
#include "lib/base/list.h"
#include "lib/base/timer.h"
#include "lib/rpc/credential.h"
#include "lib/rpc/message.h"
#include "lib/rpc/sealed_record.h"
#include "worker/api.h"
#include "worker/api_credentials.h"
#include "worker/api_key.h"
#include "worker/api_path.h"
#include "worker/body_reader.h"
#include "worker/conn.h"
#include "worker/content_coding.h"
#include "worker/egress_ca.h"
#include "worker/payload_hash.h"
#include "worker/relay_records.h"
#include "worker/transaction.h"
#include "worker/transform.h"

/* ---- the table: api.c ---- */

enum api_flag {
	API_OPEN	= 1 << 0,	/* no credentials are looked at */
	API_TOKENS	= 1 << 1,	/* a client-side token will do, too */
	API_CORS	= 1 << 2,	/* browsers call it from other sites */
	API_JSON	= 1 << 3,	/* the body is JSON */
	API_FILE	= 1 << 4,	/* or a file: application/octet-stream */
	API_ON_CA	= 1 << 5,	/* also on listeners of kind ca */
	API_ONLY_CA	= 1 << 6	/* and there alone */
};

struct api_endpoint {
	const char		*path;	/* '*': any one segment, an argument */
	enum http_method	method;	/* GET answers HEAD */
	unsigned		flags;
	enum api_scope		scope;
	/* The caller may, the body is whole. */
	void			(*run)(struct api_call *);
};

/* ---- what calls share ---- */

struct api {
	unsigned		magic;
#define API_MAGIC		0x41a7e92d
	struct worker		*wrk;		/* borrowed: owns us */
	struct relay		*rules;		/* owned: routes[0] encrypts every
						   leaf, routes[1] decrypts */
};

/* ---- a call ---- */

enum api_state {
	API_AUTH,		/* an engine is asked about the caller */
	API_COLLECT,		/* the body is read */
	API_WORK		/* the endpoint's own */
};

#define API_ROLE_BYTES	21	/* spec/inbound.md 5: 1 to 20, and a NUL */

struct api_call {
	unsigned		magic;
#define API_CALL_MAGIC		0x6d20b8f1
	struct conn		*conn;		/* borrowed: owns us */
	struct worker		*wrk;		/* borrowed */
	struct transaction	tx;
	bool			ended;		/* tx was told */
	const struct api_endpoint *endpoint;	/* NULL: refused before */
	enum api_state		state;

	/* A fault that was found early, or by a piece of an engine's answer. */
	bool			refused;
	enum error_code		refusal;
	const char		*refusal_detail;	/* literal */
	char			*allow;		/* owned; methods, of a 405 */

	/* request */
	enum http_method	method;
	unsigned		client_minor;	/* HTTP/1.minor of the client */
	bool			client_keep;
	bool			wants_continue;
	bool			is_file;	/* the body is octets, not JSON */
	enum http_coding	coding;		/* of the body, as it comes */
	struct api_arguments	arguments;	/* of the path */
	char			role[API_ROLE_BYTES];	/* "": none */
	struct body_reader	reader;
	uint64_t		body_limit;
	bool			body_taken;	/* read to its last byte */
	bool			collected;
	struct buffer		body;		/* owned, sensitive */

	/* caller */
	struct api_credentials	credentials;	/* wiped when they were asked about */
	bool			authorised;
	bool			second_try;	/* a token's: of the member data */
	char			app[RPC_APP_ID_BYTES];
	char			key_id[API_KEY_ID_BYTES];
	uint64_t		auth_id;	/* waits for a verdict; 0: no */
	uint8_t			payload_hash[RPC_PAYLOAD_HASH_BYTES];

	/* work */
	uint64_t		engine_id;	/* engine call; 0: none out */
	struct relay		*relay;		/* owned reference */
	struct relay_selection	selection;	/* the template's, with our role */
	const struct relay_selection *selection_at;
	struct relay_action	action;		/* a view of the template's */
	struct buffer		no_head;	/* stays empty */
	struct transform	*transform;	/* owned; NULL: none */
	struct egress_ca_waiter	ca_waiter;
	struct buffer		out;		/* owned, sensitive: the answer */
	uint64_t		number;		/* an endpoint's own */

	/* REST management */
	struct relay_records	records;	/* owned: of the relay */
	char			host[HOST_BYTES];	/* of a new record */
	struct buffer		was;		/* owned: an egress record */
	uint64_t		change_id;	/* waits for the feed; 0: no */
	void			(*then)(struct api_call *);	/* then */

	uint64_t		held_bytes;	/* ours in wrk->held_bytes */
	uint64_t		reserved_bytes;	/* of those: for an answer */
	struct timer		timer;		/* of the body */
	uint64_t		t_body_ms;	/* when we began to read it */
	uint64_t		progress;
};

#define API_RESULT_MAX	((size_t)64 << 20)	/* a new body */

/* ---- api_call.c: the life of a call ---- */

/* The next step: ask about the caller, read, or run. */
void api_go_on(struct api_call *);

/* Content-Type of most answers.  Exactly this: the Go SDK takes the answer as
 * text when a charset follows (spec/sdk-api.md 3.2). */
#define API_TYPE_JSON	"application/json"
#define API_TYPE_FILE	"application/octet-stream"

/* Queue the whole answer; the body is taken.  type NULL: no body. */
void api_answer(struct api_call *, unsigned status, const char *type,
    struct buffer *body);
/* The same with field lines ("Name: value\r\n") of our own. */
void api_answer_with(struct api_call *, unsigned status, const char *type,
    struct buffer *body, const char *fields);
void api_fail(struct api_call *, enum error_code, const char *stage,
    const char *detail);
/* The first fault counts; for api_begin and an engine's pieces. */
void api_refuse(struct api_call *, enum error_code, const char *detail);
/* Count what this call holds.  False: over the worker's max_held_bytes. */
bool api_account(struct api_call *);
/* May these bytes be held besides?  arg: the call. */
bool api_reserve(void *arg, size_t bytes);
struct span api_body(const struct api_call *);

/* ---- engine calls: api_engine.c ---- */

/* One is out then, or the call has ended. */
void api_engine_call(struct api_call *, enum rpc_op,
    const struct engine_call_ops *);
/* No usable answer came. */
void api_engine_fail(struct api_call *, enum rc, enum rpc_status);
/* on_end of an op whose on_piece wrote a JSON answer into a->out. */
void api_on_json_end(void *arg, enum rc, enum rpc_status);

/* ---- who asks: api_auth.c ---- */

/* False: its address has failed too often; the call has failed. */
bool api_auth_may_try(struct api_call *);
void api_auth_ask(struct api_call *);

/* ---- the endpoints, by file ---- */
void api_cages_key(struct api_call *);		/* api_public_keys.c */
void api_keys_of_app(struct api_call *);
void api_keys_of_browser(struct api_call *);
void api_encrypt(struct api_call *);		/* api_transform.c */
void api_decrypt(struct api_call *);
void api_encrypt_file(struct api_call *);	/* api_file.c */
void api_decrypt_file(struct api_call *);
void api_token_create(struct api_call *);	/* api_token.c */
void api_inspect(struct api_call *);		/* api_inspect.c */
void api_outbound(struct api_call *);		/* api_outbound.c */
void api_ca_pem(struct api_call *);		/* api_ca_answer.c */
void api_ca_bundle(struct api_call *);

#endif
