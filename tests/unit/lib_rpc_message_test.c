/* lib/rpc/message.c: Encrypt, Decrypt and Authenticate bodies both ways; what
 * is missing, foreign or too much. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/rpc/message.h"

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

static const struct rpc_encrypt encrypt = {
	.app = { "app_0123456789ab", 16 },
	.curve = RPC_CURVE_K1,
	.scope = RPC_SCOPE_FIELD,
	.existing = RPC_EXISTING_ENCRYPT,
};

static void
test_encrypt_comes_back(void **state)
{
	static char large[70000];
	const struct rpc_field fields[] = {
		{ RPC_FIELD_STRING, SPAN_LIT("4111111111111111"),
		    SPAN_LIT("pci") },
		{ RPC_FIELD_NUMBER, SPAN_LIT("1.0"), { NULL, 0 } },
		{ RPC_FIELD_BOOLEAN, SPAN_LIT("true"), { NULL, 0 } },
		{ RPC_FIELD_FILE, { large, sizeof(large) }, SPAN_LIT("r") },
		{ RPC_FIELD_STRING, { NULL, 0 }, { NULL, 0 } },
	};
	const size_t n = sizeof(fields) / sizeof(fields[0]);
	struct rpc_encrypt e = encrypt, got;
	struct buffer *b = *state;
	struct rpc_field f;

	memset(large, 'f', sizeof(large));
	e.n_fields = n + 1;
	rpc_encrypt_put(b, &e);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rpc_encrypt_put_field(b, &fields[i]), RC_OK);
	assert_int_equal(rpc_encrypt_put_field_head(b, RPC_FIELD_NUMBER, 4,
	    true), RC_OK);
	buffer_puts(b, "1234");
	rpc_put_text(b, SPAN_LIT("role"));

	assert_int_equal(rpc_encrypt_read(reread(b), &got), RC_OK);
	assert_true(span_eq(got.app, e.app));
	assert_int_equal(got.curve, e.curve);
	assert_int_equal(got.scope, e.scope);
	assert_int_equal(got.existing, e.existing);
	assert_int_equal(got.n_fields, n + 1);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(rpc_encrypt_field_at(&got, i, &f), RC_OK);
		assert_int_equal(f.type, fields[i].type);
		assert_true(span_eq(f.bytes, fields[i].bytes));
		assert_true(span_eq(f.role, fields[i].role));
	}
	assert_int_equal(rpc_encrypt_field_at(&got, n, &f), RC_OK);
	assert_int_equal(f.type, RPC_FIELD_NUMBER);
	assert_true(span_eq_str(f.bytes, "1234"));
	assert_true(span_eq_str(f.role, "role"));
	assert_int_equal(rpc_encrypt_field_at(&got, n + 1, &f), RC_SYNTAX);
}

/* A map of text pairs, `skip` left out, `swap` given another value. */
static void
put_pairs(struct buffer *b, const char *const pairs[][2], size_t n,
    size_t skip, size_t swap, const char *value)
{
	buffer_clear(b);
	rpc_put_map(b, n + 1 - (skip < n));
	for (size_t i = 0; i < n; i++) {
		if (i == skip)
			continue;
		rpc_put_str(b, pairs[i][0]);
		rpc_put_str(b, i == swap ? value : pairs[i][1]);
	}
}

static void
test_encrypt_needs_every_key_and_known_names(void **state)
{
	static const char *const pairs[][2] = {
		{ "app", "app_1" }, { "curve", "r1" },
		{ "keyScope", "request" }, { "existing", "verify" },
	};
	struct buffer *b = *state;
	struct rpc_encrypt got;

	for (size_t i = 0; i <= 4; i++) {
		put_pairs(b, pairs, 4, i, SIZE_MAX, NULL);
		rpc_put_str(b, "fields");
		rpc_put_array(b, 0);
		assert_int_equal(rpc_encrypt_read(reread(b), &got),
		    i == 4 ? RC_OK : RC_SYNTAX);
		put_pairs(b, pairs, 4, SIZE_MAX, i, i == 0 ? "" : "other");
		rpc_put_str(b, "fields");
		rpc_put_array(b, 0);
		assert_int_equal(rpc_encrypt_read(reread(b), &got),
		    i == 4 ? RC_OK : RC_SYNTAX);
	}
	/* fields: absent under its name, or no array */
	put_pairs(b, pairs, 4, SIZE_MAX, SIZE_MAX, NULL);
	rpc_put_str(b, "values");
	rpc_put_array(b, 0);
	assert_int_equal(rpc_encrypt_read(reread(b), &got), RC_SYNTAX);
	put_pairs(b, pairs, 4, SIZE_MAX, SIZE_MAX, NULL);
	rpc_put_str(b, "fields");
	rpc_put_map(b, 0);
	assert_int_equal(rpc_encrypt_read(reread(b), &got), RC_SYNTAX);
	assert_int_equal(rpc_encrypt_read(NULL, &got), RC_SYNTAX);
}

static void
test_one_field_too_many(void **state)
{
	const struct rpc_field f = { RPC_FIELD_STRING, SPAN_LIT("x"),
	    SPAN_LIT("r") };
	struct rpc_encrypt e = encrypt, got;
	struct buffer *b = *state;

	for (size_t over = 0; over < 2; over++) {
		buffer_clear(b);
		e.n_fields = RPC_FIELDS_MAX + over;
		rpc_encrypt_put(b, &e);
		for (size_t i = 0; i < e.n_fields; i++)
			assert_int_equal(rpc_encrypt_put_field(b, &f), RC_OK);
		assert_int_equal(rpc_encrypt_read(reread(b), &got),
		    over ? RC_LIMIT : RC_OK);
	}
}

/* Each is the one element of an array of fields, tokens or results. */
static const struct rpc_value *
only(struct buffer *b, struct span element)
{
	buffer_clear(b);
	rpc_put_array(b, 1);
	buffer_put(b, element.p, element.len);
	return (reread(b));
}

static void
test_broken_fields(void **state)
{
	static const struct {
		struct span	in;
		enum rc		want;
	} cases[] = {
		{ SPAN_LIT("\x92\x00\xa1x"), RC_OK },
		{ SPAN_LIT("\x93\x03\xa1x\xc0"), RC_OK },
		{ SPAN_LIT("\x91\x00"), RC_SYNTAX },
		{ SPAN_LIT("\x94\x00\xa1x\xc0\xc0"), RC_SYNTAX },
		{ SPAN_LIT("\x92\x04\xa1x"), RC_SYNTAX },
		{ SPAN_LIT("\x92\xff\xa1x"), RC_SYNTAX },
		{ SPAN_LIT("\x92\xa1x\xa1x"), RC_SYNTAX },
		{ SPAN_LIT("\x92\x00\x07"), RC_SYNTAX },
		{ SPAN_LIT("\x92\x00\xc0"), RC_SYNTAX },
		{ SPAN_LIT("\x93\x00\xa1x\x07"), RC_SYNTAX },
		{ SPAN_LIT("\xa1x"), RC_SYNTAX },
		{ SPAN_LIT("\xc0"), RC_SYNTAX },
	};
	struct buffer *b = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rpc_encrypt e = { .n_fields = 1 };
		struct rpc_field f;

		e.fields = only(b, cases[i].in);
		assert_int_equal(rpc_encrypt_field_at(&e, 0, &f),
		    cases[i].want);
	}
}

static void
test_sealed_results(void **state)
{
	static const struct {
		struct span	in;
		enum rc		want;
	} broken[] = {
		{ SPAN_LIT("\x92\x00\xc0"), RC_SYNTAX },
		{ SPAN_LIT("\x92\x00\xa0"), RC_SYNTAX },	/* no token */
		{ SPAN_LIT("\x92\x02\xa1x"), RC_SYNTAX },
		{ SPAN_LIT("\x91\x01"), RC_SYNTAX },
		{ SPAN_LIT("\x92\x01\x05"), RC_SYNTAX },
		{ SPAN_LIT("\x92\x01\xc0"), RC_OK },
		{ SPAN_LIT("\xc3"), RC_SYNTAX },
	};
	struct buffer *b = *state;
	struct rpc_sealed s;

	rpc_put_array(b, 2);
	assert_int_equal(rpc_sealed_put_head(b, RPC_SEALED, 8), RC_OK);
	buffer_puts(b, "ev:token");
	assert_int_equal(rpc_sealed_put_head(b, RPC_PASSED, 0), RC_OK);
	(void)reread(b);
	assert_int_equal(rpc_sealed_at(doc.root, 0, &s), RC_OK);
	assert_int_equal(s.status, RPC_SEALED);
	assert_true(span_eq_str(s.bytes, "ev:token"));
	assert_int_equal(rpc_sealed_at(doc.root, 1, &s), RC_OK);
	assert_int_equal(s.status, RPC_PASSED);
	assert_int_equal(s.bytes.len, 0);
	assert_int_equal(rpc_sealed_at(doc.root, 2, &s), RC_SYNTAX);
	assert_int_equal(rpc_sealed_at(NULL, 0, &s), RC_SYNTAX);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(rpc_sealed_at(only(b, broken[i].in), 0, &s),
		    broken[i].want);
}

static void
test_decrypt_comes_back(void **state)
{
	struct buffer *b = *state;

	for (unsigned i = 0; i < 6; i++) {
		struct rpc_decrypt d = {
			.place = (enum rpc_place)(i % 3),
			.address = SPAN_LIT("192.0.2.7"),
			.n_tokens = 2,
		}, got;
		struct span token, role;

		if (i < 3)
			d.app = SPAN_LIT("app_1");
		else
			d.api_key = SPAN_LIT("ev:key:1:x:y:z");
		if (d.place == RPC_PLACE_EGRESS)
			d.destination = SPAN_LIT("api.example.com");
		buffer_clear(b);
		rpc_decrypt_put(b, &d);
		assert_int_equal(rpc_decrypt_put_token(b, SPAN_LIT("ev:1"),
		    (struct span){ NULL, 0 }), RC_OK);
		assert_int_equal(rpc_decrypt_put_token(b, SPAN_LIT("ev:2"),
		    SPAN_LIT("pci")), RC_OK);
		assert_int_equal(rpc_decrypt_read(reread(b), &got), RC_OK);
		assert_true(span_eq(got.app, d.app));
		assert_true(span_eq(got.api_key, d.api_key));
		assert_int_equal(got.place, d.place);
		assert_true(span_eq(got.destination, d.destination));
		assert_true(span_eq(got.address, d.address));
		assert_int_equal(got.n_tokens, 2);
		assert_int_equal(rpc_decrypt_token_at(&got, 0, &token, &role),
		    RC_OK);
		assert_true(span_eq_str(token, "ev:1"));
		assert_int_equal(role.len, 0);
		assert_int_equal(rpc_decrypt_token_at(&got, 1, &token, &role),
		    RC_OK);
		assert_true(span_eq_str(token, "ev:2"));
		assert_true(span_eq_str(role, "pci"));
		assert_int_equal(rpc_decrypt_token_at(&got, 2, &token, &role),
		    RC_SYNTAX);
	}
}

static void
test_rewrap(void **state)
{
	struct buffer *b = *state;
	struct rpc_rewrap r = { .app = SPAN_LIT("app_1"),
	    .curve = RPC_CURVE_K1, .n_tokens = 2 }, got;
	struct span token;

	rpc_rewrap_put(b, &r);
	assert_int_equal(rpc_decrypt_put_token(b, SPAN_LIT("ev:1"),
	    SPAN_LIT("")), RC_OK);
	assert_int_equal(rpc_decrypt_put_token(b, SPAN_LIT("ev:2"),
	    SPAN_LIT("pci")), RC_OK);
	assert_int_equal(rpc_rewrap_read(reread(b), &got), RC_OK);
	assert_true(span_eq(got.app, r.app));
	assert_int_equal(got.curve, RPC_CURVE_K1);
	assert_int_equal(got.n_tokens, 2);
	assert_int_equal(rpc_rewrap_token_at(&got, 0, &token), RC_OK);
	assert_true(span_eq_str(token, "ev:1"));
	/* The role is the old token's, and not the caller's to choose. */
	assert_int_equal(rpc_rewrap_token_at(&got, 1, &token), RC_SYNTAX);
	assert_int_equal(rpc_rewrap_token_at(&got, 2, &token), RC_SYNTAX);
	for (int missing = 0; missing < 5; missing++) {
		buffer_clear(b);
		rpc_put_map(b, missing < 3 ? 2 : 3);
		if (missing != 0) {
			rpc_put_str(b, "app");
			rpc_put_str(b, missing == 3 ? "" : "app_1");
		}
		if (missing != 1) {
			rpc_put_str(b, "curve");
			rpc_put_str(b, missing == 4 ? "p256" : "r1");
		}
		if (missing != 2) {
			rpc_put_str(b, "tokens");
			rpc_put_array(b, 0);
		}
		assert_int_equal(rpc_rewrap_read(reread(b), &got), RC_SYNTAX);
	}
}

static void
test_rewrapped(void **state)
{
	struct buffer *b = *state;
	const struct rpc_value *v;
	struct rpc_rewrapped got;

	rpc_put_array(b, 5);
	assert_int_equal(rpc_rewrapped_put_head(b, RPC_OPEN_OK, 4), RC_OK);
	buffer_put(b, "ev:1", 4);
	for (int i = 0; i < 2; i++)	/* the second one is a value lost */
		assert_int_equal(rpc_rewrapped_put_head(b, i == 0 ?
		    RPC_OPEN_DEBUG : RPC_OPEN_OK, 0), RC_OK);
	rpc_put_array(b, 2);
	rpc_put_u64(b, RPC_OPEN_OTHER_ROLE + 1);
	rpc_put_bin(b, SPAN_LIT(""));
	rpc_put_array(b, 1);
	rpc_put_u64(b, RPC_OPEN_OK);
	v = reread(b);
	assert_int_equal(rpc_rewrapped_at(v, 0, &got), RC_OK);
	assert_int_equal(got.status, RPC_OPEN_OK);
	assert_true(span_eq_str(got.token, "ev:1"));
	assert_int_equal(rpc_rewrapped_at(v, 1, &got), RC_OK);
	assert_int_equal(got.status, RPC_OPEN_DEBUG);
	assert_int_equal(got.token.len, 0);
	for (size_t i = 2; i < 6; i++)
		assert_int_equal(rpc_rewrapped_at(v, i, &got), RC_SYNTAX);
}

/* {[app], [apiKey], place: {kind, [address]}, tokens} */
static enum rc
decrypt_read_with(struct buffer *b, bool app, bool key, const char *kind,
    bool address, bool tokens)
{
	struct rpc_decrypt got;

	buffer_clear(b);
	rpc_put_map(b, 1u + app + key + tokens);
	if (app) {
		rpc_put_str(b, "app");
		rpc_put_str(b, "app_1");
	}
	if (key) {
		rpc_put_str(b, "apiKey");
		rpc_put_str(b, "ev:key");
	}
	rpc_put_str(b, "place");
	rpc_put_map(b, 1u + address);
	rpc_put_str(b, "kind");
	rpc_put_str(b, kind);
	if (address) {
		rpc_put_str(b, "address");
		rpc_put_str(b, "");
	}
	if (tokens) {
		rpc_put_str(b, "tokens");
		rpc_put_array(b, 0);
	}
	return (rpc_decrypt_read(reread(b), &got));
}

static void
test_decrypt_says_whose_and_where(void **state)
{
	struct buffer *b = *state;
	struct rpc_decrypt got;

	assert_int_equal(decrypt_read_with(b, true, false, "relay", true,
	    true), RC_OK);
	assert_int_equal(decrypt_read_with(b, false, true, "api", true,
	    true), RC_OK);
	assert_int_equal(decrypt_read_with(b, true, true, "relay", true,
	    true), RC_SYNTAX);
	assert_int_equal(decrypt_read_with(b, false, false, "relay", true,
	    true), RC_SYNTAX);
	assert_int_equal(decrypt_read_with(b, true, false, "home", true,
	    true), RC_SYNTAX);
	assert_int_equal(decrypt_read_with(b, true, false, "relay", false,
	    true), RC_SYNTAX);
	assert_int_equal(decrypt_read_with(b, true, false, "relay", true,
	    false), RC_SYNTAX);
	assert_int_equal(rpc_decrypt_read(NULL, &got), RC_SYNTAX);
}

static void
test_opened_results(void **state)
{
	static const struct {
		struct span	in;
		enum rc		want;
	} broken[] = {
		{ SPAN_LIT("\x93\x00\x00\xa0"), RC_OK },
		{ SPAN_LIT("\x93\x00\x00\xc0"), RC_SYNTAX },
		{ SPAN_LIT("\x93\x07\x00\xa0"), RC_SYNTAX },
		{ SPAN_LIT("\x93\x00\x04\xa0"), RC_SYNTAX },
		{ SPAN_LIT("\x92\x00\x00"), RC_SYNTAX },
		{ SPAN_LIT("\x93\x02\x00\xc0"), RC_OK },
		{ SPAN_LIT("\x07"), RC_SYNTAX },
	};
	struct buffer *b = *state;
	struct rpc_opened o;

	rpc_put_array(b, RPC_OPEN_OTHER_ROLE + 1);
	for (unsigned i = 0; i <= RPC_OPEN_OTHER_ROLE; i++) {
		bool ok = i == RPC_OPEN_OK;

		assert_int_equal(rpc_opened_put_head(b,
		    (enum rpc_open_status)i,
		    ok ? RPC_FIELD_NUMBER : RPC_FIELD_STRING, ok ? 3 : 0),
		    RC_OK);
		if (ok)
			buffer_puts(b, "1.0");
	}
	(void)reread(b);
	for (unsigned i = 0; i <= RPC_OPEN_OTHER_ROLE; i++) {
		assert_int_equal(rpc_opened_at(doc.root, i, &o), RC_OK);
		assert_int_equal(o.status, i);
		assert_int_equal(o.bytes.len, i == RPC_OPEN_OK ? 3 : 0);
	}
	assert_int_equal(rpc_opened_at(doc.root, RPC_OPEN_OTHER_ROLE + 1, &o), RC_SYNTAX);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(rpc_opened_at(only(b, broken[i].in), 0, &o),
		    broken[i].want);
	/* What did not open carries no bytes, whatever the peer put there. */
	assert_int_equal(rpc_opened_at(only(b, SPAN_LIT("\x93\x02\x00\xa1x")),
	    0, &o), RC_OK);
	assert_int_equal(o.bytes.len, 0);
}

static void
test_too_long_for_any_frame(void **state)
{
	const struct rpc_field f = { RPC_FIELD_STRING,
	    { "x", RPC_FRAME_BYTES_MAX + 1 }, { NULL, 0 } };
	struct buffer *b = *state;

	assert_int_equal(rpc_encrypt_put_field(b, &f), RC_LIMIT);
	assert_int_equal(rpc_encrypt_put_field_head(b, RPC_FIELD_STRING,
	    SIZE_MAX, false), RC_LIMIT);
	assert_int_equal(rpc_decrypt_put_token(b, f.bytes, f.role), RC_LIMIT);
	assert_int_equal(rpc_sealed_put_head(b, RPC_SEALED, f.bytes.len),
	    RC_LIMIT);
	assert_int_equal(rpc_opened_put_head(b, RPC_OPEN_OK, RPC_FIELD_STRING,
	    f.bytes.len), RC_LIMIT);
	assert_int_equal(buffer_len(b), 0);
}

/* ---- Authenticate ---- */

static void
test_authenticate_call(void **state)
{
	static char longest[RPC_API_KEY_BYTES_MAX];
	const struct span keys[] = { SPAN_LIT("ev:key:1:a:b:c"), { NULL, 0 },
	    { "k\0k", 3 }, { longest, sizeof(longest) } };
	struct buffer *b = *state;
	struct span got;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		buffer_clear(b);
		rpc_authenticate_put(b, keys[i]);
		assert_true(rpc_get_bytes(rpc_map_get(reread(b), "apiKey"),
		    &got));
		assert_true(span_eq(got, keys[i]));
	}
}

/* The reply as the engine writes it, `skip` left out or of another type. */
static void
put_authenticated(struct buffer *b, const char *const *scopes,
    const char *skip, bool foreign)
{
	static const char *const keys[] = { "app", "key", "scopes", "cache_s" };
	size_t n = 0;

	while (scopes[n] != NULL)
		n++;
	buffer_clear(b);
	rpc_put_map(b, skip != NULL && !foreign ? 3 : 4);
	for (int i = 0; i < 4; i++) {
		if (skip != NULL && strcmp(keys[i], skip) == 0) {
			if (!foreign)
				continue;
			rpc_put_str(b, keys[i]);
			rpc_put_bool(b, true);
			continue;
		}
		rpc_put_str(b, keys[i]);
		if (i < 2) {
			rpc_put_str(b, i == 0 ? "app_0123456789ab" :
			    "key_0123456789ab");
		} else if (i == 3) {
			rpc_put_u64(b, 5);
		} else {
			rpc_put_array(b, n);
			for (size_t k = 0; k < n; k++)
				rpc_put_str(b, scopes[k]);
		}
	}
}

static void
test_authenticated(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const two[] = { "decrypt", "relay", NULL };
	static const char *const parts[] = { "app", "key", "scopes",
	    "cache_s" };
	struct buffer *b = *state;
	struct rpc_authenticated a;

	put_authenticated(b, two, NULL, false);
	assert_int_equal(rpc_authenticated_read(reread(b), &a), RC_OK);
	assert_true(span_eq_str(a.app, "app_0123456789ab"));
	assert_true(span_eq_str(a.key, "key_0123456789ab"));
	assert_int_equal(a.cache_s, 5);
	assert_true(rpc_authenticated_allows(&a, "relay"));
	assert_true(rpc_authenticated_allows(&a, "decrypt"));
	assert_false(rpc_authenticated_allows(&a, "rela"));
	assert_false(rpc_authenticated_allows(&a, ""));

	put_authenticated(b, none, NULL, false);
	assert_int_equal(rpc_authenticated_read(reread(b), &a), RC_OK);
	assert_true(rpc_authenticated_allows(&a, "relay"));

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (int foreign = 0; foreign < 2; foreign++) {
			put_authenticated(b, two, parts[i], foreign);
			assert_int_equal(rpc_authenticated_read(reread(b), &a),
			    RC_SYNTAX);
			/* Who looks all the same sees no "all scopes". */
			if (strcmp(parts[i], "scopes") == 0)
				assert_false(rpc_authenticated_allows(&a,
				    "relay"));
		}
	buffer_clear(b);
	rpc_put_array(b, 0);
	assert_int_equal(rpc_authenticated_read(reread(b), &a), RC_SYNTAX);
	assert_int_equal(rpc_authenticated_read(NULL, &a), RC_SYNTAX);
}

int
main(void)
{
#define TEST(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_encrypt_comes_back),
		TEST(test_encrypt_needs_every_key_and_known_names),
		TEST(test_one_field_too_many),
		TEST(test_broken_fields),
		TEST(test_sealed_results),
		TEST(test_decrypt_comes_back),
		TEST(test_decrypt_says_whose_and_where),
		TEST(test_opened_results),
		TEST(test_rewrap),
		TEST(test_rewrapped),
		TEST(test_too_long_for_any_frame),
		TEST(test_authenticate_call),
		TEST(test_authenticated),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
