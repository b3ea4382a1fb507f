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

#include "e3/token.h"
#include "lib/rpc/message.h"
#include "e3_stage.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_life_of_a_key),
		cmocka_unit_test(test_authenticate),
		cmocka_unit_test(test_scopes),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
