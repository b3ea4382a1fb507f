/*
 * e3/dispatch.c and app_ops.c over real links: who may call what and when,
 * signatures, the life of a key, scopes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "e3/record.h"
#include "e3_stage.h"
#include "lib/base/clock.h"
#include "lib/rpc/message.h"
#include "lib/scheme/token.h"

/* Every op by every role, before and after SetReady, against the table. */
static void
test_permission(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	for (int i = 0; i < CLIENTS; i++)
		stage_client_open(&s, i, 0);
	for (int ready = 0; ready < 2; ready++) {
		if (ready)
			stage_make_ready(&s);
		for (int who = 0; who < CLIENTS; who++) {
			enum rpc_role role = rpc_role_lookup(stage_role_of[who]);

			for (int op = 0; op < RPC_OPS; op++) {
				const struct rpc_op_info *info =
				    rpc_op_info((enum rpc_op)op);
				enum rpc_status got = stage_call(&s, who, info->op,
				    NULL, NULL);

				if ((info->roles & role) == 0)
					assert_int_equal(got,
					    RPC_STATUS_NOT_ALLOWED);
				else if (!ready && !info->before_ready)
					assert_int_equal(got,
					    RPC_STATUS_NOT_READY);
				else if (info->signed_call)
					assert_int_equal(got,
					    RPC_STATUS_NOT_ALLOWED);
				else
					assert_true(got == RPC_STATUS_OK ||
					    got == RPC_STATUS_BAD_REQUEST);
			}
		}
	}
	stage_close(&s);
}

static void
test_signatures(void **state)
{
	static const enum forgery forgeries[] = { NO_SIGNATURE, OTHER_KEY,
	    OTHER_OP, OTHER_BODY };
	struct answer ch, a;
	struct stage s;
	struct buffer b;
	struct span c;

	(void)state;
	stage_open(&s);
	for (int i = 0; i < CLIENTS; i++)
		stage_client_open(&s, i, 0);
	stage_make_ready(&s);
	for (size_t i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
		assert_int_equal(stage_call(&s, ADMIN, RPC_OP_CHALLENGE, NULL, &ch),
		    RPC_STATUS_OK);
		c = (struct span){ buffer_data(&ch.bytes),
		    buffer_len(&ch.bytes) };
		assert_int_equal(c.len, RPC_CHALLENGE_BYTES);
		stage_texts(&b, "name", "x", NULL, NULL);
		assert_int_equal(stage_call_signed(&s, ADMIN, RPC_OP_CREATE_APP, &b,
		    c, forgeries[i], &a), RPC_STATUS_NOT_ALLOWED);
		/* Spent by the attempt. */
		stage_texts(&b, "name", "x", NULL, NULL);
		assert_int_equal(stage_call_signed(&s, ADMIN, RPC_OP_CREATE_APP, &b,
		    c, HONEST, &a), RPC_STATUS_NOT_ALLOWED);
		buffer_fini(&ch.bytes);
	}
	/* Of this link only; and once. */
	assert_int_equal(stage_call(&s, ADMIN, RPC_OP_CHALLENGE, NULL, &ch),
	    RPC_STATUS_OK);
	c = (struct span){ buffer_data(&ch.bytes), buffer_len(&ch.bytes) };
	stage_texts(&b, "name", "x", NULL, NULL);
	assert_int_equal(stage_call_signed(&s, ADMIN2, RPC_OP_CREATE_APP, &b, c,
	    HONEST, &a), RPC_STATUS_NOT_ALLOWED);
	stage_texts(&b, "name", "x", NULL, NULL);
	assert_int_equal(stage_call_signed(&s, ADMIN, RPC_OP_CREATE_APP, &b, c,
	    HONEST, &a), RPC_STATUS_OK);
	buffer_fini(&a.bytes);
	stage_texts(&b, "name", "x", NULL, NULL);
	assert_int_equal(stage_call_signed(&s, ADMIN, RPC_OP_CREATE_APP, &b, c,
	    HONEST, &a), RPC_STATUS_NOT_ALLOWED);
	buffer_fini(&ch.bytes);
	stage_close(&s);
}

/* Field 4 of a secret is what SDKs compare with their app id. */
static void
check_secret(const char *secret, const char *app)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	char mark[100], copy[128], *save, *part;
	unsigned n = 0, i = 0;

	assert_int_equal(EVP_Digest(app, strlen(app), digest, &n,
	    EVP_sha512(), NULL), 1);
	mark[base64_encode(digest, n, true, mark)] = '\0';
	mark[6] = '\0';
	(void)snprintf(copy, sizeof(copy), "%s", secret);
	for (part = strtok_r(copy, ":", &save); part != NULL;
	    part = strtok_r(NULL, ":", &save), i++) {
		if (i == 4)
			assert_string_equal(part, mark);
		if (i == 5)
			assert_int_equal(strlen(part), 6);
	}
	assert_int_equal(i, 6);
	assert_int_equal(strncmp(secret, "ev:key:1:", 9), 0);
}

static enum rpc_status
authenticate(struct stage *s, const char *secret)
{
	struct buffer b;

	stage_texts(&b, "apiKey", secret, NULL, NULL);
	return (stage_call(s, WORKER, RPC_OP_AUTHENTICATE, &b, NULL));
}

static enum rpc_status
open_with(struct stage *s, int who, const char *app, const char *secret,
    const struct buffer *token)
{
	const struct rpc_decrypt d = { .app = span_of(app),
	    .api_key = span_of(secret), .address = SPAN_LIT("127.0.0.1"),
	    .place = RPC_PLACE_API, .n_tokens = 1 };
	struct buffer b;

	buffer_init(&b, 0, true);
	rpc_decrypt_put(&b, &d);
	assert_int_equal(rpc_decrypt_put_token(&b, (struct span){
	    buffer_data(token), buffer_len(token) }, (struct span){ NULL,
	    0 }), RC_OK);
	return (stage_call(s, who, RPC_OP_DECRYPT, &b, NULL));
}

/* Created, pending, active, used, revoked, refused. */
static void
test_life_of_a_key(void **state)
{
	struct answer key, token, list, stats;
	char app[64], id[64], secret[128];
	struct stage s;
	struct buffer b;
	uint64_t epoch;

	(void)state;
	stage_open_with_app(&s, app);
	stage_encrypt_body(&b, app, 1, "4111");
	assert_int_equal(stage_call(&s, WORKER, RPC_OP_ENCRYPT, &b, &token),
	    RPC_STATUS_OK);
	stage_texts(&b, "app", app, NULL, NULL);
	assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b, &key),
	    RPC_STATUS_OK);
	assert_int_equal(key.number, 2);
	(void)snprintf(id, sizeof(id), "%.60s", key.text);
	(void)snprintf(secret, sizeof(secret), "%s", key.secret);
	check_secret(secret, app);
	assert_int_equal(authenticate(&s, secret),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(stage_load(&s, &key.bytes), RPC_STATUS_OK);
	assert_int_equal(authenticate(&s, secret), RPC_STATUS_OK);
	assert_int_equal(authenticate(&s, ""), RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(authenticate(&s, "ev:key:1:x:y:z"),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(open_with(&s, WORKER, "", secret, &token.bytes),
	    RPC_STATUS_OK);
	assert_int_equal(open_with(&s, ADMIN, "", secret, &token.bytes),
	    RPC_STATUS_OK);
	assert_int_equal(open_with(&s, ADMIN, app, "", &token.bytes),
	    RPC_STATUS_NOT_ALLOWED);
	assert_int_equal(open_with(&s, WORKER, "", "wrong", &token.bytes),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(open_with(&s, WORKER, app, "", &token.bytes),
	    RPC_STATUS_OK);
	assert_int_equal(stage_call(&s, ADMIN, RPC_OP_LIST_APPS, NULL, &list),
	    RPC_STATUS_OK);
	assert_int_equal(list.n, 1);
	buffer_fini(&list.bytes);
	assert_int_equal(stage_call(&s, PULSE, RPC_OP_GET_STATISTICS, NULL, &stats),
	    RPC_STATUS_OK);
	assert_true(stats.ready);
	epoch = stats.number;
	buffer_fini(&stats.bytes);
	buffer_fini(&key.bytes);

	stage_texts(&b, "app", app, "key", "key_ffffffffffff");
	assert_int_equal(stage_call_honest(&s, RPC_OP_REVOKE_KEY, &b, &key),
	    RPC_STATUS_NO_SUCH_KEY);
	stage_texts(&b, "app", app, "key", id);
	assert_int_equal(stage_call_honest(&s, RPC_OP_REVOKE_KEY, &b, &key),
	    RPC_STATUS_OK);
	assert_int_equal(key.number, 3);
	assert_int_equal(stage_load(&s, &key.bytes), RPC_STATUS_OK);
	assert_int_equal(stage_load(&s, &key.bytes), RPC_STATUS_OK);
	buffer_fini(&key.bytes);
	stage_texts(&b, "app", app, "key", id);
	assert_int_equal(stage_call_honest(&s, RPC_OP_REVOKE_KEY, &b, &key),
	    RPC_STATUS_CONFLICT);
	assert_int_equal(stage_call(&s, WORKER, RPC_OP_PING, NULL, &stats),
	    RPC_STATUS_OK);
	assert_int_not_equal(stats.number, epoch);
	assert_int_equal(open_with(&s, WORKER, "", secret, &token.bytes),
	    RPC_STATUS_UNAUTHORIZED);
	buffer_fini(&token.bytes);
	stage_close(&s);
}

/* What Authenticate tells of one key, as the caller reads it. */
struct identity {
	bool		done;
	enum rpc_status	status;
	char		app[64], key[64], scopes[64];
	uint64_t	cache_s, keys_epoch;
};

static void
take_identity(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct identity *who = arg;
	struct rpc_authenticated a;
	struct span scope;

	assert_int_equal(rc, RC_OK);
	assert_false(more);
	who->done = true;
	if ((who->status = status) != RPC_STATUS_OK)
		return;
	assert_int_equal(rpc_authenticated_read(body, &a), RC_OK);
	assert_true(span_copy(a.app, who->app, sizeof(who->app)));
	assert_true(span_copy(a.key, who->key, sizeof(who->key)));
	for (size_t i = 0; i < rpc_array_len(a.scopes); i++) {
		assert_true(rpc_get_bytes(rpc_array_at(a.scopes, i), &scope));
		(void)snprintf(who->scopes + strlen(who->scopes), 32, "%.*s ",
		    (int)scope.len, scope.p);
	}
	who->cache_s = a.cache_s;
	assert_true(rpc_get_u64(rpc_map_get(body, "keys_epoch"),
	    &who->keys_epoch));
}

static enum rpc_status
identify(struct stage *s, int who, struct span secret, struct identity *out)
{
	struct buffer b;
	uint64_t id;

	memset(out, 0, sizeof(*out));
	buffer_init(&b, 0, true);
	rpc_put_map(&b, 1);
	rpc_put_str(&b, "apiKey");
	rpc_put_text(&b, secret);
	assert_int_equal(rpc_link_call(s->clients[who].link,
	    RPC_OP_AUTHENTICATE, &b, STAGE_WAIT_MS, take_identity, out, &id),
	    RC_OK);
	stage_wait(s, &out->done);
	buffer_fini(&b);
	return (out->status);
}

static uint64_t
epoch_of_ping(struct stage *s)
{
	struct answer a;

	assert_int_equal(stage_call(s, WORKER, RPC_OP_PING, NULL, &a),
	    RPC_STATUS_OK);
	buffer_fini(&a.bytes);
	return (a.number);
}

/* A key of `app` with two scopes, pending. */
static void
create_scoped(struct stage *s, const char *app, struct answer *key)
{
	struct buffer b;

	buffer_init(&b, 0, false);
	rpc_put_map(&b, 2);
	rpc_put_str(&b, "app");
	rpc_put_str(&b, app);
	rpc_put_str(&b, "scopes");
	rpc_put_array(&b, 2);
	rpc_put_str(&b, "relay");
	rpc_put_str(&b, "decrypt");
	assert_int_equal(stage_call_honest(s, RPC_OP_CREATE_KEY, &b, key),
	    RPC_STATUS_OK);
}

/* Nothing but the whole secret is the key. */
static void
check_no_key(struct stage *s, struct span secret)
{
	static char junk[RPC_API_KEY_BYTES_MAX + 1];
	const struct span rows[] = {
		{ secret.p, secret.len - 1 },
		{ secret.p, secret.len + 1 },		/* its NUL */
		{ secret.p + 1, secret.len - 1 },
		{ secret.p, 0 },
		{ junk, RPC_API_KEY_BYTES_MAX },
		{ junk, RPC_API_KEY_BYTES_MAX + 1 },
	};
	struct identity who;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(identify(s, WORKER, rows[i], &who),
		    RPC_STATUS_UNAUTHORIZED);
}

/* Whoever remembers an answer needs all of it, and a new epoch with every
 * change: none while a key is pending, one when it comes and when it goes. */
static void
test_authenticate(void **state)
{
	struct answer key, revoked;
	struct identity who;
	struct span secret;
	uint64_t epoch[3];
	struct stage s;
	struct buffer b;
	char app[64];

	(void)state;
	stage_open_with_app(&s, app);
	s.engine.auth_cache_s = 7;
	epoch[0] = epoch_of_ping(&s);
	create_scoped(&s, app, &key);
	secret = span_of(key.secret);
	assert_int_equal(identify(&s, WORKER, secret, &who),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(epoch_of_ping(&s), epoch[0]);

	assert_int_equal(stage_load(&s, &key.bytes), RPC_STATUS_OK);
	epoch[1] = epoch_of_ping(&s);
	assert_true(epoch[1] > epoch[0]);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(identify(&s, i == 0 ? WORKER : FEED, secret,
		    &who), RPC_STATUS_OK);
		assert_string_equal(who.app, app);
		assert_string_equal(who.key, key.text);
		assert_string_equal(who.scopes, "relay decrypt ");
		assert_int_equal(who.cache_s, 7);
		assert_int_equal(who.keys_epoch, epoch[1]);
	}
	check_no_key(&s, secret);

	stage_texts(&b, "app", app, "key", key.text);
	assert_int_equal(stage_call_honest(&s, RPC_OP_REVOKE_KEY, &b, &revoked),
	    RPC_STATUS_OK);
	assert_int_equal(identify(&s, WORKER, secret, &who), RPC_STATUS_OK);
	assert_int_equal(stage_load(&s, &revoked.bytes), RPC_STATUS_OK);
	assert_int_equal(identify(&s, WORKER, secret, &who),
	    RPC_STATUS_UNAUTHORIZED);
	epoch[2] = epoch_of_ping(&s);
	assert_true(epoch[2] > epoch[1]);
	/* The record from before the revocation does not bring it back. */
	assert_int_not_equal(stage_load(&s, &key.bytes), RPC_STATUS_OK);
	assert_int_equal(identify(&s, WORKER, secret, &who),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(epoch_of_ping(&s), epoch[2]);
	buffer_fini(&key.bytes);
	buffer_fini(&revoked.bytes);
	stage_close(&s);
}

/* A key with scopes opens nothing without the one for it. */
static void
test_scopes(void **state)
{
	static const char *const scopes[] = { "encrypt", "decrypt" };
	char app[64];
	struct stage s;

	(void)state;
	stage_open_with_app(&s, app);
	for (int i = 0; i < 3; i++) {
		struct answer key, token;
		struct buffer b;

		stage_encrypt_body(&b, app, 1, "v");
		assert_int_equal(stage_call(&s, ADMIN, RPC_OP_ENCRYPT, &b, &token),
		    RPC_STATUS_OK);
		buffer_init(&b, 0, false);
		rpc_put_map(&b, 2);
		rpc_put_str(&b, "app");
		rpc_put_str(&b, app);
		rpc_put_str(&b, "scopes");
		rpc_put_array(&b, 1);
		rpc_put_str(&b, i == 2 ? "Not A Scope" : scopes[i]);
		assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b, &key),
		    i == 2 ? RPC_STATUS_BAD_REQUEST : RPC_STATUS_OK);
		if (i < 2) {
			assert_int_equal(stage_load(&s, &key.bytes), RPC_STATUS_OK);
			assert_int_equal(open_with(&s, WORKER, "", key.secret,
			    &token.bytes), i == 0 ? RPC_STATUS_NOT_ALLOWED :
			    RPC_STATUS_OK);
		}
		buffer_fini(&key.bytes);
		buffer_fini(&token.bytes);
	}
	stage_close(&s);
}

/* The app's loaded record once more with the end of its first key moved,
 * and loaded. */
static void
move_end(struct stage *s, const char *app, uint64_t expires_ms)
{
	struct e3_app *next;
	struct buffer record;

	assert_int_equal(e3_app_copy(e3_keyring_app(s->engine.keyring,
	    span_of(app)), 0, 0, &next), RC_OK);
	next->version++;
	next->keys[0].expires_ms = expires_ms;
	buffer_init(&record, 0, false);
	assert_int_equal(e3_record_seal(s->engine.crypto, s->engine.root_key,
	    next, &record), RC_OK);
	assert_int_equal(stage_load(s, &record), RPC_STATUS_OK);
	buffer_fini(&record);
	e3_app_unref(&next);
}

struct key_list {
	bool		done;
	char		state[16];
	uint64_t	expires_ms;	/* 0: nil */
};

static void
take_keys(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	const struct rpc_value *v = rpc_array_at(body, 0);
	struct key_list *l = arg;
	struct span state;

	assert_int_equal(rc, RC_OK);
	assert_int_equal(status, RPC_STATUS_OK);
	assert_false(more);
	l->done = true;
	assert_int_equal(rpc_array_len(body), 1);
	assert_int_equal(rpc_array_len(v), 5);
	assert_true(rpc_get_bytes(rpc_array_at(v, 1), &state));
	assert_true(span_copy(state, l->state, sizeof(l->state)));
	assert_int_equal(rpc_array_len(rpc_array_at(v, 3)), 2);
	if (!rpc_is_nil(rpc_array_at(v, 4)))
		assert_true(rpc_get_u64(rpc_array_at(v, 4), &l->expires_ms));
}

static void
check_key(struct stage *s, const char *app, const char *state,
    uint64_t expires_ms)
{
	struct key_list l = { .done = false };
	struct buffer b;
	uint64_t id;

	stage_texts(&b, "app", app, NULL, NULL);
	assert_int_equal(rpc_link_call(s->clients[ADMIN].link,
	    RPC_OP_LIST_KEYS, &b, STAGE_WAIT_MS, take_keys, &l, &id), RC_OK);
	stage_wait(s, &l.done);
	buffer_fini(&b);
	assert_string_equal(l.state, state);
	assert_int_equal(l.expires_ms, expires_ms);
}

/* A key is good until its end, which nobody may remember it beyond. */
static void
test_expiry(void **state)
{
	uint64_t now_ms = clock_wall_ms();
	const uint64_t bad[] = { 0, 1, now_ms };
	struct answer key, token;
	struct identity who;
	struct stage s;
	struct buffer b;
	char app[64];

	(void)state;
	stage_open_with_app(&s, app);
	s.engine.auth_cache_s = 300;
	stage_encrypt_body(&b, app, 1, "v");
	assert_int_equal(stage_call(&s, ADMIN, RPC_OP_ENCRYPT, &b, &token),
	    RPC_STATUS_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buffer_init(&b, 0, false);
		rpc_pack(&b, RPC_STR("app", app), RPC_U64("expires_ms",
		    bad[i]));
		assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b,
		    &key), RPC_STATUS_BAD_REQUEST);
	}
	buffer_init(&b, 0, false);
	rpc_pack(&b, RPC_STR("app", app), RPC_U64("expires_ms", now_ms +
	    100000), RPC_RAW("scopes", SPAN_LIT("\x92\xa5relay\xa7" "decrypt")));
	assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b, &key),
	    RPC_STATUS_OK);
	assert_int_equal(stage_load(&s, &key.bytes), RPC_STATUS_OK);
	check_key(&s, app, "active", now_ms + 100000);
	assert_int_equal(identify(&s, WORKER, span_of(key.secret), &who),
	    RPC_STATUS_OK);
	assert_in_range(who.cache_s, 100 - STAGE_WAIT_MS / 1000, 99);

	move_end(&s, app, 0);
	check_key(&s, app, "active", 0);
	assert_int_equal(identify(&s, WORKER, span_of(key.secret), &who),
	    RPC_STATUS_OK);
	assert_int_equal(who.cache_s, 300);
	assert_int_equal(open_with(&s, WORKER, "", key.secret, &token.bytes),
	    RPC_STATUS_OK);

	move_end(&s, app, now_ms - 1);
	check_key(&s, app, "expired", now_ms - 1);
	assert_int_equal(identify(&s, WORKER, span_of(key.secret), &who),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(open_with(&s, WORKER, "", key.secret, &token.bytes),
	    RPC_STATUS_UNAUTHORIZED);
	buffer_fini(&key.bytes);
	buffer_fini(&token.bytes);
	stage_close(&s);
}

/* An engine that drains says so, and serves. */
static void
test_draining(void **state)
{
	struct answer ping, token;
	struct stage s;
	struct buffer b;
	char app[64];

	(void)state;
	stage_open_with_app(&s, app);
	for (int on = 0; on < 3; on++) {
		if (on != 0) {
			buffer_init(&b, 0, false);
			rpc_pack(&b, RPC_BOOL("on", on == 1));
			assert_int_equal(stage_call(&s, HELPER,
			    RPC_OP_SET_DRAINING, &b, NULL), RPC_STATUS_OK);
		}
		for (int i = 0; i < 2; i++) {
			assert_int_equal(stage_call(&s, WORKER, i == 0 ?
			    RPC_OP_PING : RPC_OP_GET_STATISTICS, NULL, &ping),
			    RPC_STATUS_OK);
			assert_true(ping.ready);
			assert_int_equal(ping.draining, on == 1);
			buffer_fini(&ping.bytes);
		}
		stage_encrypt_body(&b, app, 1, "v");
		assert_int_equal(stage_call(&s, WORKER, RPC_OP_ENCRYPT, &b,
		    &token), RPC_STATUS_OK);
		buffer_fini(&token.bytes);
	}
	s.engine.draining = s.engine.ending = true;
	for (int on = 0; on < 2; on++) {
		buffer_init(&b, 0, false);
		rpc_pack(&b, RPC_BOOL("on", on == 1));
		assert_int_equal(stage_call(&s, HELPER, RPC_OP_SET_DRAINING,
		    &b, NULL), on == 1 ? RPC_STATUS_OK : RPC_STATUS_CONFLICT);
		assert_true(s.engine.draining);
	}
	stage_close(&s);
}

/* Roles come back as they were set; what is no role, or meant for another
 * version of the app, changes nothing. */
static void
test_set_roles(void **state)
{
	static const char pci[] = "\x91\x93\xa3pci\xc2\x90";
	struct answer a;
	struct stage s;
	struct buffer b;
	char app[64];

	(void)state;
	stage_open_with_app(&s, app);
	for (uint64_t version = 0; version < 4; version++) {
		buffer_init(&b, 0, false);
		rpc_pack(&b, RPC_STR("app", app), RPC_U64("version", version),
		    RPC_RAW("roles", span_of(pci)));
		assert_int_equal(stage_call_honest(&s, RPC_OP_SET_ROLES, &b,
		    &a), version < 2 ? RPC_STATUS_OK : RPC_STATUS_CONFLICT);
		buffer_fini(&a.bytes);
	}
	buffer_init(&b, 0, false);
	rpc_pack(&b, RPC_STR("app", app), RPC_RAW("roles",
	    SPAN_LIT("\x91\x93\xa3PCI\xc2\x90")));
	assert_int_equal(stage_call_honest(&s, RPC_OP_SET_ROLES, &b, &a),
	    RPC_STATUS_BAD_REQUEST);
	assert_int_equal(e3_keyring_app(s.engine.keyring,
	    span_of(app))->version, 1);
	buffer_init(&b, 0, false);
	rpc_pack(&b, RPC_STR("app", app), RPC_RAW("roles", span_of(pci)));
	assert_int_equal(stage_call_honest(&s, RPC_OP_SET_ROLES, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(stage_load(&s, &a.bytes), RPC_STATUS_OK);
	buffer_fini(&a.bytes);
	stage_texts(&b, "app", app, NULL, NULL);
	assert_int_equal(stage_call(&s, ADMIN, RPC_OP_LIST_ROLES, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(a.number, 2);
	assert_int_equal(buffer_len(&a.bytes), sizeof(pci) - 1);
	assert_memory_equal(buffer_data(&a.bytes), pci, sizeof(pci) - 1);
	buffer_fini(&a.bytes);
	stage_close(&s);
}

/* The local platform: keys by descriptor, nothing that vouches for it. */
static void
test_platform(void **state)
{
	static const char two[2][SCHEME_SECRET_BYTES + 1] = { "one", "two" };
	static const struct {
		struct span	root, next;
		enum rc		want;
		bool		has_next;
	} cases[] = {
		{ { two[0], 32 }, { NULL, 0 }, RC_OK, false },
		{ { two[0], 32 }, { two[1], 32 }, RC_OK, true },
		{ { two[0], 32 }, { two[0], 32 }, RC_OK, false },
		{ { NULL, 0 }, { two[1], 32 }, RC_NOTFOUND, false },
		{ { two[0], 31 }, { NULL, 0 }, RC_SYNTAX, false },
		{ { two[0], 33 }, { NULL, 0 }, RC_SYNTAX, false },
		{ { two[0], 32 }, { two[1], 31 }, RC_SYNTAX, false },
		{ { two[0], 32 }, { two[1], 33 }, RC_SYNTAX, false },
	};
	struct e3_platform *p;
	struct stage s;
	struct buffer b;

	(void)state;
	stage_open(&s);
	stage_client_open(&s, HELPER, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(stage_platform(s.ca, s.engine_cert,
		    cases[i].root, cases[i].next, &p), cases[i].want);
		if (p == NULL)
			continue;
		assert_memory_equal(e3_platform_root_key(p), cases[i].root.p,
		    SCHEME_SECRET_BYTES);
		assert_int_equal(e3_platform_next_root_key(p) != NULL,
		    cases[i].has_next);
		if (cases[i].has_next)
			assert_memory_equal(e3_platform_next_root_key(p),
			    cases[i].next.p, SCHEME_SECRET_BYTES);
		e3_platform_close(&p);
	}
	stage_texts(&b, "nonce", "0123456789abcdef", NULL, NULL);
	assert_int_equal(stage_call(&s, HELPER, RPC_OP_ATTEST, &b, NULL),
	    RPC_STATUS_UNKNOWN_OP);
	stage_texts(&b, "key", "0123456789abcdef", NULL, NULL);
	assert_int_equal(stage_call(&s, HELPER, RPC_OP_UNLOCK, &b, NULL),
	    RPC_STATUS_CONFLICT);
	stage_close(&s);
}

/* An app as it is, but with E3_API_KEYS_MAX keys, of which this one is dead. */
static void
fill_keys(struct stage *s, const char *id, size_t dead)
{
	struct e3_app *app, *now = e3_keyring_app(s->engine.keyring, span_of(id));

	assert_int_equal(e3_app_copy(now, 0, E3_API_KEYS_MAX - now->n_keys,
	    &app), RC_OK);
	for (size_t i = now->n_keys; i < app->n_keys; i++) {
		(void)snprintf(app->keys[i].id, sizeof(app->keys[i].id),
		    "key_%012zx", i);
		memset(app->keys[i].hash, 1, sizeof(app->keys[i].hash));
		memcpy(app->keys[i].hash, &i, sizeof(i));
	}
	for (size_t i = 0; i < app->n_keys; i++)
		app->keys[i].revoked = i == dead;
	app->version = now->version + 1;
	assert_int_equal(e3_keyring_put(s->engine.keyring, &app), RC_OK);
}

/* A full app makes room by its oldest dead key, and by no live one. */
static void
test_full_of_keys(void **state)
{
	const struct e3_app *app;
	struct answer a;
	struct buffer b;
	struct stage s;
	char id[64];

	(void)state;
	stage_open_with_app(&s, id);
	fill_keys(&s, id, E3_API_KEYS_MAX);
	stage_texts(&b, "app", id, NULL, NULL);
	assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b, &a),
	    RPC_STATUS_LIMIT);
	buffer_fini(&a.bytes);
	fill_keys(&s, id, 7);
	stage_texts(&b, "app", id, NULL, NULL);
	assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(stage_load(&s, &a.bytes), RPC_STATUS_OK);
	buffer_fini(&a.bytes);
	app = e3_keyring_app(s.engine.keyring, span_of(id));
	assert_int_equal(app->n_keys, E3_API_KEYS_MAX);
	for (size_t i = 0; i < E3_API_KEYS_MAX - 1; i++) {
		char want[E3_KEY_ID_BYTES];

		(void)snprintf(want, sizeof(want), "key_%012zx",
		    i < 7 ? i : i + 1);
		assert_false(app->keys[i].revoked);
		assert_string_equal(app->keys[i].id, want);
	}
	assert_string_not_equal(app->keys[E3_API_KEYS_MAX - 1].id,
	    app->keys[E3_API_KEYS_MAX - 2].id);
	stage_texts(&b, "app", id, NULL, NULL);
	assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b, &a),
	    RPC_STATUS_LIMIT);
	buffer_fini(&a.bytes);
	stage_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_life_of_a_key),
		cmocka_unit_test(test_authenticate),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_full_of_keys),
		cmocka_unit_test(test_draining),
		cmocka_unit_test(test_set_roles),
		cmocka_unit_test(test_platform),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
