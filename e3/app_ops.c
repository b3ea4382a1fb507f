/* e3/app_ops.c - apps and API keys: lists without secrets, and changes. */
#include "e3/app_ops.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "e3/change.h"
#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"
#include "lib/rpc/pieces.h"

#define KEY_RANDOM_BYTES	32
#define KEY_MARK_CHARS	6
#define SECRET_TEXT_BYTES	96	/* "ev:key:1:" + 43 + 1 + 6 + 1 + 6 */

/* ---- lists ---- */

static void
list_app(void *arg, void *object)
{
	const struct e3_app *app = object;
	struct rpc_pieces *out = arg;

	if (rpc_pieces_next(out) != RC_OK)
		return;			/* said at the end */
	rpc_pack_list(&out->piece, RPC_STR("app", app->id),
	    RPC_U64("version", app->version), RPC_STR("state", "active"),
	    RPC_U64("created_ms", app->created_ms),
	    RPC_STR("name", app->name));
}

enum rpc_status
e3_list_apps(struct e3_engine *e, struct e3_call *c)
{
	struct rpc_pieces out;

	rpc_pieces_init(&out, &c->served, e3_keyring_apps(e->keyring));
	e3_keyring_each(e->keyring, list_app, &out);
	return (rpc_pieces_answer(&out));
}

static void
put_key(struct buffer *b, const struct e3_api_key *k, uint64_t now_ms)
{
	struct buffer scopes;

	buffer_init(&scopes, 0, false);
	e3_api_key_put_scopes(&scopes, k);
	rpc_pack_list(b, RPC_STR("key", k->id),
	    RPC_STR("state", k->revoked ? "revoked" :
	    e3_api_key_live(k, now_ms) ? "active" : "expired"),
	    RPC_U64("created_ms", k->created_ms),
	    RPC_RAW_OF("scopes", &scopes),
	    RPC_MAYBE_U64("expires_ms", k->expires_ms));
	buffer_fini(&scopes);
}

enum rpc_status
e3_list_keys(struct e3_engine *e, struct e3_call *c)
{
	const uint64_t now_ms = clock_wall_ms();
	enum rpc_status status;
	struct rpc_pieces out;

	if ((status = e3_dispatch_named_app(e, c)) != RPC_STATUS_OK)
		return (status);
	rpc_pieces_init(&out, &c->served, c->app->n_keys);
	for (unsigned i = 0; i < c->app->n_keys &&
	    rpc_pieces_next(&out) == RC_OK; i++)
		put_key(&out.piece, &c->app->keys[i], now_ms);
	return (rpc_pieces_answer(&out));
}

/* ---- apps ---- */

/* What SDKs compare keys with (spec/sdk-api.md 2): the first characters of
 * base64(SHA-512(app id)).  False: OpenSSL has no memory. */
static bool
app_mark(struct span id, char mark[KEY_MARK_CHARS + 1])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	char text[96];
	unsigned n = 0;

	if (EVP_Digest(id.p, id.len, digest, &n, EVP_sha512(), NULL) != 1)
		return (false);
	(void)base64_encode(digest, n, true, text);
	memcpy(mark, text, KEY_MARK_CHARS);
	mark[KEY_MARK_CHARS] = '\0';
	return (true);
}

/* Keys of this app can stand in the URL of a proxy as they are. */
static bool
has_url_mark(const char *id)
{
	char mark[KEY_MARK_CHARS + 1];

	return (!app_mark(span_of(id), mark) || strpbrk(mark, "+/") == NULL);
}

enum rpc_status
e3_create_app(struct e3_engine *e, struct e3_call *c)
{
	struct e3_change *w = e3_change_new(c);
	struct span name = { "", 0 };
	char id[RPC_APP_ID_BYTES];

	if (!rpc_unpack(c->served.frame.body, RPC_MAY_BYTES("name", &name)) ||
	    !utf8_valid(name.p, name.len))
		return (RPC_STATUS_BAD_REQUEST);
	do {
		id_make("app_", id);
	} while (e3_keyring_app(e->keyring, span_of(id)) != NULL ||
	    !has_url_mark(id));
	if (e3_change_new_app(e, w, id) != RC_OK)
		return (RPC_STATUS_OVERLOADED);
	if (!span_copy(name, w->next->name, sizeof(w->next->name)))
		return (RPC_STATUS_BAD_REQUEST);
	w->n_members = 1;
	rpc_put_str(&w->members, "app");
	rpc_put_str(&w->members, id);
	return (e3_change_submit(e, c));
}

/* The same app, under the next root key. */
enum rpc_status
e3_reseal(struct e3_engine *e, struct e3_call *c)
{
	enum rpc_status status;
	struct e3_change *w;

	if ((status = e3_change_begin(e, c, 0, 0, &w)) != RPC_STATUS_OK)
		return (status);
	if (e->next_root_key == NULL || w->next->under_next)
		return (RPC_STATUS_CONFLICT);
	w->next->under_next = true;
	return (e3_change_submit(e, c));
}

/* ---- API keys ---- */

/* "ev:key:1:<random>:<mark of the app>:<random>". */
static enum rc
make_secret(struct e3_change *w, struct scheme_crypto *crypto)
{
	struct e3_api_key *k = &w->next->keys[w->next->n_keys - 1];
	char text[48], mark[KEY_MARK_CHARS + 1], tail[48];
	char secret[SECRET_TEXT_BYTES];
	uint8_t random[KEY_RANDOM_BYTES];
	enum rc rc;

	if (!app_mark(span_of(w->next->id), mark))
		return (RC_NOMEM);
	random_bytes(random, sizeof(random));
	base64url_encode(random, sizeof(random), text);
	random_bytes(random, sizeof(random));
	base64url_encode(random, sizeof(random), tail);
	(void)snprintf(secret, sizeof(secret), "ev:key:1:%s:%s:%.*s",
	    text, mark, KEY_MARK_CHARS, tail);
	rpc_put_str(&w->members, "secret");
	rpc_put_str(&w->members, secret);
	rc = scheme_sha256(crypto, span_of(secret), k->hash);
	secret_wipe(random, sizeof(random));
	secret_wipe(text, sizeof(text));
	secret_wipe(tail, sizeof(tail));
	secret_wipe(secret, sizeof(secret));
	return (rc);
}

enum rpc_status
e3_create_key(struct e3_engine *e, struct e3_call *c)
{
	const struct rpc_value *scopes = NULL;
	uint64_t now_ms = clock_wall_ms(), expires_ms = UINT64_MAX;
	struct e3_change *w;
	struct e3_api_key *k;
	enum rpc_status status;

	if (!rpc_unpack(c->served.frame.body, RPC_MAY_VALUE("scopes", &scopes),
	    RPC_MAY_U64("expires_ms", &expires_ms)) || expires_ms <= now_ms)
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = e3_change_begin(e, c, 0, 1, &w)) != RPC_STATUS_OK)
		return (status);
	/* It holds certificate keys and has no callers: no key opens it. */
	if (span_eq_str(span_of(c->app->id), E3_SYSTEM_APP))
		return (RPC_STATUS_NOT_ALLOWED);
	if (w->next->n_keys > E3_API_KEYS_MAX &&
	    !e3_app_drop_dead_key(w->next, now_ms))
		return (RPC_STATUS_LIMIT);
	k = &w->next->keys[w->next->n_keys - 1];
	if (scopes != NULL && !e3_api_key_set_scopes(k, scopes))
		return (RPC_STATUS_BAD_REQUEST);
	id_make("key_", k->id);
	k->created_ms = now_ms;
	k->expires_ms = expires_ms == UINT64_MAX ? 0 : expires_ms;
	memcpy(w->subject, k->id, sizeof(k->id));
	w->make = make_secret;
	w->n_members = 2;
	rpc_put_str(&w->members, "key");
	rpc_put_str(&w->members, k->id);
	return (e3_change_submit(e, c));
}

enum rpc_status
e3_revoke_key(struct e3_engine *e, struct e3_call *c)
{
	struct e3_api_key *k = NULL;
	struct e3_change *w;
	enum rpc_status status;
	struct span id;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BYTES("key", &id)))
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = e3_change_begin(e, c, 0, 0, &w)) != RPC_STATUS_OK)
		return (status);
	for (unsigned i = 0; i < w->next->n_keys; i++)
		if (span_eq_str(id, w->next->keys[i].id))
			k = &w->next->keys[i];
	if (k == NULL)
		return (RPC_STATUS_NO_SUCH_KEY);
	if (k->revoked)
		return (RPC_STATUS_CONFLICT);
	k->revoked = true;
	memcpy(w->subject, k->id, sizeof(k->id));
	return (e3_change_submit(e, c));
}
