/*
 * worker/api_key.h - API keys of callers: which fields of a request carry one,
 * and whether the engine takes it.
 * Context:   the loop's thread.
 * Ownership: who waits for a verdict holds an id.
 *
 * Callers send `api-key: KEY`, `x-evervault-api-key: KEY`, or
 * `Authorization: Basic base64(APP:KEY)`.  Whatever is wrong with what they
 * sent is one answer, 401: an answer per reason would help who guesses.
 *
 * Good keys are remembered for the seconds that the engine allows, as a hash
 * under a key of this process, and forgotten when engine_pool_keys_seen says
 * so.  Refusals are never remembered: a key works as soon as it was made.
 * That a key was good is known for an hour, see good_keys.h: for who has to
 * choose whom to ask about, never as a verdict.
 */
#ifndef RELAY_WORKER_API_KEY_H
#define RELAY_WORKER_API_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/loop.h"
#include "lib/http/message_head.h"
#include "lib/rpc/sealed_record.h"
#include "worker/engine_pool.h"

/* ---- what a request carries: api_key_find.c ---- */

struct api_key_found {
	struct span		key;	/* view into the head or `decoded` */
	struct span		app;	/* of Basic, view into `decoded`; else empty */
	const struct http_field	*field;	/* view: the first that carries it */
};

/*
 * The one API key of a request to a relay of relay_app.  decoded: sensitive,
 * cleared first; Basic is decoded into it, so found lives as long as it and
 * the head stay unchanged.
 * RC_OK        found->key is not empty; it may still be any text
 * RC_NOTFOUND  no field carries one
 * RC_SYNTAX    Basic that cannot be read for sure, an empty key, a field
 *              twice, different keys
 * RC_DENIED    Basic for another app
 * Every one but RC_OK: 401.
 */
enum rc api_key_find(const struct http_head *, const char *relay_app,
    struct buffer *decoded, struct api_key_found *found) must_check;

/*
 * The key of a request to the egress proxy, from Proxy-Authorization: a bare
 * key, Basic base64(APP-or-TEAM:KEY), or Bearer KEY (spec/sdk-api.md 4.2).
 * found->app is the user of Basic.  RC_OK; RC_NOTFOUND: there is none;
 * RC_SYNTAX: it cannot be read for sure, is empty, or fields differ.
 */
enum rc api_key_find_proxy(const struct http_head *, struct buffer *decoded,
    struct api_key_found *found) must_check;

/*
 * This field is for us and must not reach the origin, as a field or as a
 * trailer: api-key and x-evervault-api-key; Authorization when it is Basic
 * with an app id as user or an API key as password, or Basic that cannot be
 * read for sure.  Any other Authorization belongs to the origin.
 */
bool api_key_field(const struct http_field *, const char *relay_app);

/* ---- what the engine says ---- */

struct api_keys;

/* Keys remembered.  Those in use within a few seconds: what does not fit costs
 * a call. */
#define API_KEY_REMEMBERED_MAX	1024
/* Different keys asked for at once.  Half of what one engine link takes, so
 * that who guesses keys cannot keep the links from the bodies. */
#define API_KEY_ASKED_MAX	(RPC_CALLS_MAX / 2)
/* However long the engine allows. */
#define API_KEY_REMEMBER_MAX_S	60

/* The pool is borrowed and outlives it. */
struct api_keys *api_keys_new(struct loop *, struct engine_pool *);
/* Every asker has its verdict or has cancelled. */
void api_keys_free(struct api_keys **);

/* What a key may be good for (docs/api.md); one without scopes is for all. */
enum api_scope {
	API_SCOPE_RELAY		= 1 << 0,	/* "relay" */
	API_SCOPE_EGRESS	= 1 << 1,	/* "egress" */
	API_SCOPE_ENCRYPT	= 1 << 2,	/* "api:encrypt" */
	API_SCOPE_DECRYPT	= 1 << 3,	/* "api:decrypt" */
	API_SCOPE_TOKEN		= 1 << 4,	/* "api:token" */
	API_SCOPE_INSPECT	= 1 << 5,	/* "api:inspect" */
	API_SCOPE_KEYS		= 1 << 6,	/* "api:keys" */
	API_SCOPE_MANAGE	= 1 << 7	/* "manage" */
};

enum api_key_verdict {
	API_KEY_GOOD,
	API_KEY_BAD,		/* 401: unknown, revoked, of another app */
	API_KEY_NO_SCOPE,	/* a live key, for other things */
	API_KEY_NO_ENGINE	/* 503: nobody could say, or too many ask */
};

#define API_KEY_ID_BYTES	24	/* "key_" + 12 hex + NUL, and room */

struct api_key_question {
	struct span	key;	/* copied */
	const char	*app;	/* whose it must be; NULL: anybody's */
	enum api_scope	scope;
	bool		by_id;	/* key is the id of a key of app: does it still
				   live?  No secret is needed for that */
};

struct api_key_answer {
	enum api_key_verdict	verdict;
	char			app[RPC_APP_ID_BYTES];	/* GOOD: whose */
	char			key_id[API_KEY_ID_BYTES];	/* GOOD */
};

typedef void api_key_cb(void *arg, const struct api_key_answer *);

/*
 * Is this a live key, of this app, good for that?  cb may ask and cancel.
 * 0:  *now says it, cb never comes.
 * id: cb comes once, after this returned, unless cancelled.
 */
uint64_t api_key_ask(struct api_keys *, const struct api_key_question *,
    api_key_cb *, void *arg, struct api_key_answer *now);
/* No callback comes after this; 0 and answered ids are ignored. */
void api_key_cancel(struct api_keys *, uint64_t id);

/*
 * An engine said within the hour that this key lives and is of this app, and
 * none has said otherwise since.  Of a secret, not by_id.  Worth an engine's
 * time, though its sender's address failed too often.
 */
bool api_key_was_good(struct api_keys *, const struct api_key_question *);

/* Calls to engines that are under way. */
unsigned api_keys_asked(const struct api_keys *);

#endif
