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
		cmocka_unit_test(test_scopes),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
