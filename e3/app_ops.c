/* e3/app_ops.c - the next record of an app, and lists without secrets. */
#include "e3/app_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "e3/record.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"

#define COST_RECORD	(2 * E3_COST_ECDH)	/* two public keys derived */
#define LIST_PIECE	512	/* entries of at most ~400 bytes: below one piece */
#define NEW_APP_PAIRS	2	/* one of each curve */
#define KEY_RANDOM_BYTES	32
#define KEY_MARK_CHARS	6
#define SECRET_TEXT_BYTES	96	/* "ev:key:1:" + 43 + 1 + 6 + 1 + 6 */

static enum rpc_status
answer(struct e3_call *c, struct buffer *body, bool more)
{
	return (e3_call_status(e3_call_emit(c, body, more)));
}

/* ---- lists ---- */

struct list {
	struct e3_call	*call;		/* borrowed: for one walk */
	struct buffer	b;
	size_t		n, at;		/* entries: all, the next one */
	enum rpc_status	status;
};

/* Before each entry: ends a full piece and begins the next one. */
static void
list_next(struct list *l)
{
	size_t left = l->n - l->at;

	if (l->at % LIST_PIECE == 0) {
		if (l->at != 0 && l->status == RPC_STATUS_OK)
			l->status = answer(l->call, &l->b, true);
		rpc_put_array(&l->b, left < LIST_PIECE ? left : LIST_PIECE);
	}
	l->at++;
}

static enum rpc_status
list_end(struct list *l)
{
	if (l->n == 0)
		rpc_put_array(&l->b, 0);
	if (l->status == RPC_STATUS_OK)
		l->status = answer(l->call, &l->b, false);
	buffer_fini(&l->b);
	return (l->status);
}

static void
list_app(void *arg, const struct e3_app *app)
{
	struct list *l = arg;

	list_next(l);
	rpc_put_array(&l->b, 4);
	rpc_put_str(&l->b, app->id);
	rpc_put_u64(&l->b, app->version);
	rpc_put_str(&l->b, "active");
	rpc_put_u64(&l->b, app->created_ms);
}

enum rpc_status
e3_list_apps(struct e3_engine *e, struct e3_call *c)
{
	struct list l = { .call = c, .n = e3_keyring_apps(e->keyring),
	    .status = RPC_STATUS_OK };

	buffer_init(&l.b, 0, false);
	e3_keyring_each(e->keyring, list_app, &l);
	return (list_end(&l));
}

static void
list_key(struct list *l, const struct e3_api_key *k)
{
	list_next(l);
	rpc_put_array(&l->b, 4);
	rpc_put_str(&l->b, k->id);
	rpc_put_str(&l->b, k->revoked ? "revoked" : "active");
	rpc_put_u64(&l->b, k->created_ms);
	rpc_put_array(&l->b, k->n_scopes);
	for (unsigned i = 0; i < k->n_scopes; i++)
		rpc_put_str(&l->b, k->scopes[i]);
}

enum rpc_status
e3_list_keys(struct e3_engine *e, struct e3_call *c)
{
	struct list l = { .call = c, .status = RPC_STATUS_OK };
	enum rpc_status status;
	struct span id;

	if (!rpc_get_bytes(rpc_map_get(c->frame.body, "app"), &id))
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = e3_dispatch_app(e, c, id)) != RPC_STATUS_OK)
		return (status);
	buffer_init(&l.b, 0, false);
	l.n = c->app->n_keys;
	for (unsigned i = 0; i < c->app->n_keys; i++)
		list_key(&l, &c->app->keys[i]);
	return (list_end(&l));
}

/* ---- CreateApp, CreateKey, RevokeKey: the next record of an app ---- */

struct change {
	const uint8_t	*root_key;	/* view: the platform's */
	const char	*op;		/* for the log and the reply */
	struct e3_app	*next;		/* counted: being built */
	char		key[E3_KEY_ID_BYTES];		/* or "" */
	char		secret[SECRET_TEXT_BYTES];	/* CreateKey only */
};

static void
change_free(void *p)
{
	struct change *w = p;

	e3_app_unref(&w->next);
	secret_wipe(w->secret, sizeof(w->secret));
	free(w);
}

static struct change *
change_new(struct e3_engine *e, struct e3_call *c, const char *op)
{
	struct change *w = xcalloc(1, sizeof(*w));

	w->root_key = e->root_key;
	w->op = op;
	c->work = w;
	c->work_free = change_free;
	return (w);
}

static void
base64url(const uint8_t *in, size_t len, char *out)
{
	size_t n = base64_encode(in, len, false, out);

	for (size_t i = 0; i < n; i++)
		out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
	out[n] = '\0';
}

/* "ev:key:1:<random>:<mark of the app>:<random>": SDKs compare field 4 with
 * the app id they were given (spec: first 6 of base64(SHA-512(app id))). */
static enum rc
make_secret(struct e3_crypto *crypto, struct change *w, struct e3_api_key *k)
{
	uint8_t random[KEY_RANDOM_BYTES], digest[EVP_MAX_MD_SIZE];
	char text[48], mark[96], tail[48];
	struct span id = span_of(w->next->id);
	unsigned n = 0;

	if (EVP_Digest(id.p, id.len, digest, &n, EVP_sha512(), NULL) != 1)
		return (RC_NOMEM);
	mark[base64_encode(digest, n, true, mark)] = '\0';
	random_bytes(random, sizeof(random));
	base64url(random, sizeof(random), text);
	random_bytes(random, sizeof(random));
	base64url(random, sizeof(random), tail);
	(void)snprintf(w->secret, sizeof(w->secret), "ev:key:1:%s:%.*s:%.*s",
	    text, KEY_MARK_CHARS, mark, KEY_MARK_CHARS, tail);
	secret_wipe(random, sizeof(random));
	secret_wipe(text, sizeof(text));
	return (e3_sha256(crypto, span_of(w->secret), k->hash));
}

static enum rc
make_pairs(struct e3_crypto *crypto, struct e3_app *app)
{
	const enum rpc_curve curves[] = { RPC_CURVE_R1, RPC_CURVE_K1 };
	enum rc rc = RC_OK;

	for (unsigned i = 0; rc == RC_OK && i < NEW_APP_PAIRS; i++) {
		struct e3_key_pair *p = &app->pairs[i];

		p->curve = curves[i];
		p->state = E3_PAIR_SEALS;
		p->number = i + 1;
		p->created_ms = app->created_ms;
		rc = e3_ecdh_generate(e3_crypto_ecdh(crypto), p->curve,
		    p->secret, &p->pub);
	}
	return (rc);
}

/* Build what is random, seal, and answer with the record. */
static enum rc
change_seal(struct e3_call *c, struct e3_crypto *crypto, struct buffer *record,
    struct buffer *b)
{
	struct change *w = c->work;
	struct e3_app *app = w->next;
	bool create_app = c->info->op == RPC_OP_CREATE_APP;
	bool create_key = c->info->op == RPC_OP_CREATE_KEY;
	enum rc rc = RC_OK;

	if (create_app)
		rc = make_pairs(crypto, app);
	else if (create_key)
		rc = make_secret(crypto, w, &app->keys[app->n_keys - 1]);
	if (rc != RC_OK ||
	    (rc = e3_record_seal(crypto, w->root_key, app, record)) != RC_OK)
		return (rc);
	rpc_put_map(b, create_app ? 3 : create_key ? 4 : 2);
	if (create_app) {
		rpc_put_str(b, "app");
		rpc_put_str(b, app->id);
	} else if (create_key) {
		rpc_put_str(b, "key");
		rpc_put_str(b, w->key);
		rpc_put_str(b, "secret");
		rpc_put_str(b, w->secret);
	}
	rpc_put_str(b, "version");
	rpc_put_u64(b, app->version);
	rpc_put_str(b, "record");
	rpc_put_bin(b, (struct span){ buffer_data(record),
	    buffer_len(record) });
	return (e3_call_emit(c, b, false));
}

static bool
change_run(struct e3_job *job, struct e3_crypto *crypto, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	struct buffer record, b;
	enum rc rc = RC_CANCELLED;

	buffer_init(&record, 0, false);
	buffer_init(&b, 0, true);	/* may hold a new key's secret */
	*cost += COST_RECORD;
	if (!atomic_load(&job->cancelled))
		rc = change_seal(c, crypto, &record, &b);
	if (rc != RC_OK)
		e3_call_fail(c, e3_call_status(rc));
	buffer_fini(&record);
	buffer_fini(&b);
	return (true);
}

/* Key state changed, or would: always in the log, with who asked. */
static enum rpc_status
change_submit(struct e3_engine *e, struct e3_call *c)
{
	const struct change *w = c->work;

	log_info("key-state op=%s by=%s app=%s version=%llu key=%s",
	    w->op, c->caller->name, w->next->id,
	    (unsigned long long)w->next->version,
	    w->key[0] != '\0' ? w->key : "-");
	return (e3_dispatch_submit(e, c, change_run, COST_RECORD));
}

enum rpc_status
e3_create_app(struct e3_engine *e, struct e3_call *c)
{
	const struct rpc_value *v = rpc_map_get(c->frame.body, "name");
	struct change *w = change_new(e, c, "CreateApp");
	struct span name = { "", 0 };

	if (v != NULL && !rpc_is_nil(v) && !rpc_get_bytes(v, &name))
		return (RPC_STATUS_BAD_REQUEST);
	if (!utf8_valid(name.p, name.len))
		return (RPC_STATUS_BAD_REQUEST);
	if (e3_app_new(NEW_APP_PAIRS, 0, &w->next) != RC_OK)
		return (RPC_STATUS_OVERLOADED);
	if (!span_copy(name, w->next->name, sizeof(w->next->name)))
		return (RPC_STATUS_BAD_REQUEST);
	do {
		id_make("app_", w->next->id);
	} while (e3_keyring_app(e->keyring, span_of(w->next->id)) != NULL);
	w->next->version = 1;
	w->next->created_ms = clock_wall_ms();
	return (change_submit(e, c));
}

/* The app of the call, copied with the next version number. */
static enum rpc_status
next_version(struct e3_engine *e, struct e3_call *c, struct change *w,
    unsigned extra_keys)
{
	enum rpc_status status;
	struct span id;
	enum rc rc;

	if (!rpc_get_bytes(rpc_map_get(c->frame.body, "app"), &id))
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = e3_dispatch_app(e, c, id)) != RPC_STATUS_OK)
		return (status);
	if ((rc = e3_app_copy(c->app, extra_keys, &w->next)) != RC_OK)
		return (e3_call_status(rc));
	w->next->version++;
	return (RPC_STATUS_OK);
}

enum rpc_status
e3_create_key(struct e3_engine *e, struct e3_call *c)
{
	const struct rpc_value *v = rpc_map_get(c->frame.body, "scopes");
	size_t n = rpc_array_len(v);
	struct change *w = change_new(e, c, "CreateKey");
	struct e3_api_key *k;
	enum rpc_status status;
	struct span scope;

	if (v == NULL || rpc_is_nil(v))
		n = 0;
	if (n > E3_SCOPES_MAX)
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = next_version(e, c, w, 1)) != RPC_STATUS_OK)
		return (status);
	k = &w->next->keys[w->next->n_keys - 1];
	for (k->n_scopes = 0; k->n_scopes < n; k->n_scopes++)
		if (!rpc_get_bytes(rpc_array_at(v, k->n_scopes), &scope) ||
		    !e3_scope_valid(scope) || !span_copy(scope,
		    k->scopes[k->n_scopes], E3_SCOPE_BYTES))
			return (RPC_STATUS_BAD_REQUEST);
	id_make("key_", k->id);
	memcpy(w->key, k->id, sizeof(w->key));
	k->created_ms = clock_wall_ms();
	return (change_submit(e, c));
}

enum rpc_status
e3_revoke_key(struct e3_engine *e, struct e3_call *c)
{
	struct change *w = change_new(e, c, "RevokeKey");
	struct e3_api_key *k = NULL;
	enum rpc_status status;
	struct span id;

	if (!rpc_get_bytes(rpc_map_get(c->frame.body, "key"), &id))
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = next_version(e, c, w, 0)) != RPC_STATUS_OK)
		return (status);
	for (unsigned i = 0; i < w->next->n_keys; i++)
		if (span_eq_str(id, w->next->keys[i].id))
			k = &w->next->keys[i];
	if (k == NULL)
		return (RPC_STATUS_NO_SUCH_KEY);
	if (k->revoked)
		return (RPC_STATUS_CONFLICT);
	k->revoked = true;
	memcpy(w->key, k->id, sizeof(w->key));
	return (change_submit(e, c));
}
