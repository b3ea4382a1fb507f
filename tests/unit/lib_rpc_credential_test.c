/* lib/rpc/credential.c: each body both ways; what is missing, foreign, or two
 * things at once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lib/rpc/credential.h"

#define HASH	"0123456789abcdef0123456789abcdef"

static struct rpc_document doc;

static const struct rpc_value *
reread(const struct buffer *b)
{
	rpc_document_fini(&doc);
	assert_int_equal(rpc_document_read(&doc, buffer_data(b),
	    buffer_len(b)), RC_OK);
	return (doc.root);
}

static int
setup(void **state)
{
	static struct buffer b;

	buffer_init(&b, 0, false);
	*state = &b;
	return (0);
}

static int
teardown(void **state)
{
	rpc_document_fini(&doc);
	buffer_fini(*state);
	return (0);
}

static void
test_credentials_come_back(void **state)
{
	static const struct rpc_credential cases[] = {
		{ .kind = RPC_CREDENTIAL_SECRET, .secret = { "ev:key:1:x", 10 } },
		{ .kind = RPC_CREDENTIAL_KEY, .app = { "app_1", 5 },
		    .key = { "key_1", 5 } },
		{ .kind = RPC_CREDENTIAL_TOKEN, .secret = { "a.b.c", 5 },
		    .payload_hash = { HASH, 32 } },
	};
	struct buffer *b = *state;
	struct rpc_credential got;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buffer_clear(b);
		rpc_credential_put(b, &cases[i]);
		assert_int_equal(rpc_credential_read(reread(b), &got), RC_OK);
		assert_int_equal(got.kind, cases[i].kind);
		assert_true(span_eq(got.secret, cases[i].secret));
		assert_true(span_eq(got.app, cases[i].app));
		assert_true(span_eq(got.key, cases[i].key));
		assert_true(span_eq(got.payload_hash, cases[i].payload_hash));
	}
	/* As it was written before there were three. */
	buffer_clear(b);
	rpc_authenticate_put(b, SPAN_LIT("ev:key:1:x"));
	assert_int_equal(rpc_credential_read(reread(b), &got), RC_OK);
	assert_int_equal(got.kind, RPC_CREDENTIAL_SECRET);
}

/* A bit each: which keys the body has. */
static void
test_exactly_one(void **state)
{
	static const char *const keys[] = { "apiKey", "app", "key",
	    "clientToken", "payloadHash", "other" };
	struct buffer *b = *state;
	struct rpc_credential got;

	for (unsigned has = 0; has < 1u << 6; has++) {
		unsigned n = 0, who = has & ~(1u << 5) & ~(1u << 4);
		bool want = who == 1 || who == 6 ||
		    (who == 8 && (has & 1u << 4) != 0);

		for (unsigned i = 0; i < 6; i++)
			n += has >> i & 1;
		for (int nil = 0; nil < 2; nil++) {
			buffer_clear(b);
			rpc_put_map(b, nil ? 6 : n);
			for (unsigned i = 0; i < 6; i++) {
				if ((has >> i & 1) == 0 && !nil)
					continue;
				rpc_put_str(b, keys[i]);
				if ((has >> i & 1) == 0)
					rpc_put_nil(b);
				else
					rpc_put_bin(b, SPAN_LIT(HASH));
			}
			if (rpc_credential_read(reread(b), &got) !=
			    (want ? RC_OK : RC_SYNTAX))
				fail_msg("keys %#x, nil %d", has, nil);
		}
	}
	assert_int_equal(rpc_credential_read(NULL, &got), RC_SYNTAX);
}

static void
test_hashes_of_another_length(void **state)
{
	struct buffer *b = *state;
	struct rpc_create_token t;
	struct rpc_credential got;
	static const char hash[40];

	for (size_t n = 0; n <= sizeof(hash); n++) {
		buffer_clear(b);
		rpc_put_map(b, 2);
		rpc_put_str(b, "clientToken");
		rpc_put_str(b, "x");
		rpc_put_str(b, "payloadHash");
		rpc_put_bin(b, (struct span){ hash, n });
		assert_int_equal(rpc_credential_read(reread(b), &got),
		    n == 32 ? RC_OK : RC_SYNTAX);
		buffer_clear(b);
		rpc_put_map(b, 4);
		rpc_put_str(b, "app");
		rpc_put_str(b, "app_1");
		rpc_put_str(b, "action");
		rpc_put_str(b, "x");
		rpc_put_str(b, "expires_ms");
		rpc_put_u64(b, 1);
		rpc_put_str(b, "payloadHash");
		rpc_put_bin(b, (struct span){ hash, n });
		assert_int_equal(rpc_create_token_read(reread(b), &t),
		    n == 32 ? RC_OK : RC_SYNTAX);
	}
}

static void
test_create_token_comes_back(void **state)
{
	struct rpc_create_token t = { .app = SPAN_LIT("app_1"),
	    .action = SPAN_LIT("api:decrypt"), .expires_ms = 1700000000000 };
	struct buffer *b = *state;
	struct rpc_create_token got;
	struct rpc_created_token made;

	for (int bound = 0; bound < 2; bound++) {
		if (bound)
			t.payload_hash = SPAN_LIT(HASH);
		buffer_clear(b);
		rpc_create_token_put(b, &t);
		assert_int_equal(rpc_create_token_read(reread(b), &got), RC_OK);
		assert_true(span_eq(got.app, t.app));
		assert_true(span_eq(got.action, t.action));
		assert_true(span_eq(got.payload_hash, t.payload_hash));
		assert_int_equal(got.expires_ms, t.expires_ms);
	}
	buffer_clear(b);
	rpc_pack(b, RPC_STR("token", "a.b.c"), RPC_STR("id", "i"),
	    RPC_U64("created_ms", 7), RPC_U64("expires_ms", 8));
	assert_int_equal(rpc_created_token_read(reread(b), &made), RC_OK);
	assert_true(span_eq_str(made.token, "a.b.c"));
	assert_true(span_eq_str(made.id, "i"));
	assert_int_equal(made.created_ms, 7);
	assert_int_equal(made.expires_ms, 8);
	buffer_clear(b);
	rpc_pack(b, RPC_STR("token", ""), RPC_STR("id", "i"),
	    RPC_U64("created_ms", 7), RPC_U64("expires_ms", 8));
	assert_int_equal(rpc_created_token_read(reread(b), &made), RC_SYNTAX);
}

static void
test_inspect_comes_back(void **state)
{
	struct rpc_inspected s = { .status = RPC_OPEN_OK }, got;
	struct buffer *b = *state;
	struct span app, token;

	assert_int_equal(rpc_inspect_put(b, SPAN_LIT("app_1"), SPAN_LIT("ev:")),
	    RC_OK);
	assert_true(rpc_unpack(reread(b), RPC_WANT_BYTES("app", &app),
	    RPC_WANT_BYTES("token", &token)));
	assert_true(span_eq_str(app, "app_1") && span_eq_str(token, "ev:"));
	for (unsigned type = RPC_FIELD_STRING; type <= RPC_FIELD_FILE; type++) {
		s.type = (enum rpc_field_type)type;
		s.fingerprint = SPAN_LIT(HASH);
		s.role = type != 0 ? SPAN_LIT("pci") : SPAN_LIT("");
		s.encrypted_ms = type;
		s.integer = type == RPC_FIELD_NUMBER;
		buffer_clear(b);
		rpc_inspected_put(b, &s);
		assert_int_equal(rpc_inspected_read(reread(b), &got), RC_OK);
		assert_int_equal(got.type, type);
		assert_true(span_eq(got.role, s.role));
		assert_true(span_eq(got.fingerprint, s.fingerprint));
		assert_int_equal(got.encrypted_ms, type);
		assert_int_equal(got.integer, s.integer);
	}
	/* Nothing is said of what did not open. */
	s.status = RPC_OPEN_WRONG_APP_OR_CHANGED;
	buffer_clear(b);
	rpc_inspected_put(b, &s);
	assert_true(rpc_is_nil(rpc_map_get(reread(b), "type")));
	assert_true(rpc_is_nil(rpc_map_get(doc.root, "role")));
	assert_true(rpc_is_nil(rpc_map_get(doc.root, "fingerprint")));
	assert_int_equal(rpc_inspected_read(doc.root, &got), RC_OK);
	assert_int_equal(got.status, RPC_OPEN_WRONG_APP_OR_CHANGED);
	assert_int_equal(got.fingerprint.len, 0);
	/* An engine that lies. */
	buffer_clear(b);
	rpc_pack(b, RPC_U64("status", 0), RPC_STR("type", "string"));
	assert_int_equal(rpc_inspected_read(reread(b), &got), RC_SYNTAX);
	buffer_clear(b);
	rpc_pack(b, RPC_U64("status", 0), RPC_STR("type", "date"),
	    RPC_BOOL("integer", false), RPC_BIN("fingerprint", HASH, 32));
	assert_int_equal(rpc_inspected_read(reread(b), &got), RC_SYNTAX);
	buffer_clear(b);
	rpc_pack(b, RPC_U64("status", 0), RPC_STR("type", "string"),
	    RPC_BOOL("integer", false), RPC_BIN("fingerprint", HASH, 31));
	assert_int_equal(rpc_inspected_read(reread(b), &got), RC_SYNTAX);
	buffer_clear(b);
	rpc_pack(b, RPC_U64("status", 7));
	assert_int_equal(rpc_inspected_read(reread(b), &got), RC_SYNTAX);
}

static void
test_scopes(void **state)
{
	static const struct {
		const char	*text;
		bool		want;
	} table[] = {
		{ "relay", true }, { "api:decrypt", true }, { "a-b_0", true },
		{ "12345678901234567890123456789012", true },
		{ "123456789012345678901234567890123", false },
		{ "", false }, { "Relay", false }, { "no space", false },
		{ "a.b", false }, { "a\n", false }, { "\xc3\xa9", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(rpc_scope_valid(span_of(table[i].text)),
		    table[i].want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_credentials_come_back,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_exactly_one, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_hashes_of_another_length,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_token_comes_back,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_inspect_comes_back, setup,
		    teardown),
		cmocka_unit_test(test_scopes),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
