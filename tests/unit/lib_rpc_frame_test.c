/* lib/rpc/frame.c: frames at every split, both kinds both ways, the part that
 * a signature covers, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/rpc/frame.h"
#include "lib/rpc/message.h"

#define NO_SPAN	((struct span){ NULL, 0 })

static struct span
bytes_of(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static void
test_frame_at_every_split(void **state)
{
	static const char in[] = "\0\0\0\3abc\0\0\0\1z";
	struct span payload;
	size_t used;

	(void)state;
	for (size_t n = 0; n < 7; n++) {
		char *mem = malloc(n + 1);

		memcpy(mem, in, n);
		assert_int_equal(rpc_frame_next(mem, n, 3, &payload, &used),
		    RC_MORE);
		assert_int_equal(used, n < 4 ? 0 : 7);
		free(mem);
	}
	for (size_t n = 7; n < sizeof(in); n++) {
		assert_int_equal(rpc_frame_next(in, n, 3, &payload, &used),
		    RC_OK);
		assert_int_equal(used, 7);
		assert_int_equal(payload.len, 3);
		assert_ptr_equal(payload.p, in + 4);
	}
	/* Refused on the length alone. */
	assert_int_equal(rpc_frame_next(in, 4, 2, &payload, &used), RC_LIMIT);
	assert_int_equal(rpc_frame_next("\0\0\0\0", 4, 3, &payload, &used),
	    RC_LIMIT);
	assert_int_equal(rpc_frame_next("\xff\xff\xff\xff", 4,
	    RPC_FRAME_BYTES_MAX, &payload, &used), RC_LIMIT);
	assert_int_equal(rpc_frame_next(NULL, 0, 3, &payload, &used), RC_MORE);
}

/* ---- the examples of docs/rpc.md, byte for byte ---- */

/* The nth block fenced as hex: pairs at the start of each line, then text. */
static void
manual_bytes(struct buffer *out, unsigned nth)
{
	const char *at, *end;
	struct buffer doc;

	buffer_init(&doc, 0, false);
	assert_int_equal(file_read(TEST_SRCDIR "/docs/rpc.md", &doc), RC_OK);
	at = buffer_cstr(&doc);
	for (unsigned i = 0; i <= nth; i++) {
		at = strstr(at, "```hex\n");
		assert_non_null(at);
		at += 7;
	}
	end = strstr(at, "```");
	assert_non_null(end);
	buffer_clear(out);
	while (at < end) {
		unsigned byte;

		while (sscanf(at, "%2x", &byte) == 1) {
			char c = (char)byte;

			buffer_put(out, &c, 1);
			at += 2;
			if (*at != ' ' || at[1] == ' ')
				break;
			at++;
		}
		at = strchr(at, '\n') + 1;
	}
	buffer_fini(&doc);
}

static void
assert_same(const struct buffer *a, const struct buffer *b)
{
	assert_int_equal(buffer_len(a), buffer_len(b));
	assert_memory_equal(buffer_data(a), buffer_data(b), buffer_len(a));
}

static void
test_the_bytes_of_the_manual(void **state)
{
	const struct rpc_encrypt e = { .app = SPAN_LIT("app_0123456789ab"),
	    .n_fields = 1 };
	const struct rpc_field f = { .bytes = SPAN_LIT("4242") };
	struct buffer want, got, body;

	(void)state;
	buffer_init(&want, 0, false);
	buffer_init(&got, 0, false);
	buffer_init(&body, 0, false);
	manual_bytes(&want, 0);
	assert_int_equal(rpc_call_frame_write(&got, 42, RPC_OP_PING, NO_SPAN,
	    NO_SPAN), RC_OK);
	assert_same(&got, &want);

	manual_bytes(&want, 1);
	buffer_clear(&got);
	rpc_put_map(&body, 2);
	rpc_put_str(&body, "ready");
	rpc_put_bool(&body, true);
	rpc_put_str(&body, "keys_epoch");
	rpc_put_u64(&body, 7);
	assert_int_equal(rpc_reply_frame_write(&got, 42, RPC_STATUS_OK,
	    bytes_of(&body), false), RC_OK);
	assert_same(&got, &want);

	manual_bytes(&want, 2);
	buffer_clear(&got);
	buffer_clear(&body);
	rpc_encrypt_put(&body, &e);
	assert_int_equal(rpc_encrypt_put_field(&body, &f), RC_OK);
	assert_int_equal(rpc_call_frame_write(&got, 43, RPC_OP_ENCRYPT,
	    bytes_of(&body), NO_SPAN), RC_OK);
	assert_same(&got, &want);
	buffer_fini(&body);
	buffer_fini(&got);
	buffer_fini(&want);
}

static const uint64_t ids[] = {
	1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, 1ull << 32, UINT64_MAX
};
#define N_IDS	(sizeof(ids) / sizeof(ids[0]))

static void
test_calls_come_back(void **state)
{
	static const size_t signature_lengths[] = { 0, 1, 72, 255, 256, 70000 };
	char *signature = calloc(1, 70000);
	struct rpc_call_frame f;
	struct buffer out, body, part;
	struct span payload;
	size_t used;

	(void)state;
	buffer_init(&out, 0, false);
	buffer_init(&body, 0, false);
	buffer_init(&part, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "app");
	rpc_put_str(&body, "app_1");
	for (size_t i = 0; i < N_IDS * 6; i++) {
		uint64_t id = ids[i % N_IDS], got;
		struct span sig = { signature, signature_lengths[i / N_IDS] };

		buffer_clear(&out);
		buffer_clear(&part);
		assert_int_equal(rpc_call_frame_write(&out, id,
		    RPC_OP_CREATE_KEY, bytes_of(&body), sig), RC_OK);
		assert_int_equal(rpc_frame_next(buffer_data(&out),
		    buffer_len(&out), RPC_FRAME_BYTES_MAX, &payload, &used),
		    RC_OK);
		assert_int_equal(used, buffer_len(&out));
		assert_int_equal(rpc_call_frame_read(&f, payload), RC_OK);
		assert_int_equal(f.id, id);
		assert_true(span_eq_str(f.op, "CreateKey"));
		assert_non_null(rpc_map_get(f.body, "app"));
		assert_false(rpc_get_u64(rpc_map_get(f.body, "app"), &got));
		assert_true(span_eq(f.signature, sig));
		rpc_signed_part(&part, id, RPC_OP_CREATE_KEY,
		    bytes_of(&body));
		assert_true(span_eq(f.signed_part, bytes_of(&part)));
		rpc_call_frame_fini(&f);

		/* The same frame by its pieces. */
		buffer_clear(&part);
		assert_int_equal(rpc_call_frame_put_head(&part, id,
		    RPC_OP_CREATE_KEY, buffer_len(&body), sig.len), RC_OK);
		buffer_put(&part, buffer_data(&body), buffer_len(&body));
		if (sig.len != 0)
			rpc_put_bin(&part, sig);
		assert_true(span_eq(bytes_of(&part), bytes_of(&out)));
	}
	buffer_fini(&part);
	buffer_fini(&body);
	buffer_fini(&out);
	free(signature);
}

static void
test_replies_come_back(void **state)
{
	struct rpc_reply_frame f;
	struct buffer out;
	struct span payload;
	size_t used;

	(void)state;
	buffer_init(&out, 0, false);
	for (unsigned i = 0; i < RPC_STATUSES * 2; i++) {
		enum rpc_status status = (enum rpc_status)(i / 2);
		uint64_t id = ids[i % N_IDS];

		buffer_clear(&out);
		assert_int_equal(rpc_reply_frame_write(&out, id, status,
		    SPAN_LIT("\x91\x07"), i % 2 == 0), RC_OK);
		assert_int_equal(rpc_frame_next(buffer_data(&out),
		    buffer_len(&out), RPC_FRAME_BYTES_MAX, &payload, &used),
		    RC_OK);
		assert_int_equal(rpc_reply_frame_read(&f, payload), RC_OK);
		assert_int_equal(f.id, id);
		assert_int_equal(f.status, status);
		assert_int_equal(f.more, i % 2 == 0);
		assert_int_equal(rpc_array_len(f.body), 1);
		rpc_reply_frame_fini(&f);
	}
	buffer_fini(&out);
}

static void
test_broken_calls(void **state)
{
	static const struct {
		const char	*name;
		struct span	in;
		enum rc		want;
		uint64_t	id;
	} cases[] = {
		{ "good", SPAN_LIT("\x94\x01\x05\xa1P\x80"), RC_OK, 5 },
		{ "array in long form",
		    SPAN_LIT("\xdc\x00\x04\x01\x05\xa1P\x80"), RC_OK, 5 },
		{ "nil signature",
		    SPAN_LIT("\x95\x01\x05\xa1P\x80\xc0"), RC_OK, 5 },
		{ "no array", SPAN_LIT("\x80"), RC_SYNTAX, 0 },
		{ "empty array", SPAN_LIT("\x90"), RC_SYNTAX, 0 },
		{ "three parts", SPAN_LIT("\x93\x01\x05\xa1P"), RC_SYNTAX, 5 },
		{ "six parts",
		    SPAN_LIT("\x96\x01\x05\xa1P\x80\xa0\xa0"), RC_SYNTAX, 5 },
		{ "another version",
		    SPAN_LIT("\x94\x02\x05\xa1P\x80"), RC_SYNTAX, 5 },
		{ "version is text",
		    SPAN_LIT("\x94\xa1v\x05\xa1P\x80"), RC_SYNTAX, 5 },
		{ "id 0", SPAN_LIT("\x94\x01\x00\xa1P\x80"), RC_SYNTAX, 0 },
		{ "id negative",
		    SPAN_LIT("\x94\x01\xff\xa1P\x80"), RC_SYNTAX, 0 },
		{ "id is text",
		    SPAN_LIT("\x94\x01\xa1i\xa1P\x80"), RC_SYNTAX, 0 },
		{ "op is a number",
		    SPAN_LIT("\x94\x01\x05\x06\x80"), RC_SYNTAX, 5 },
		{ "signature is a number",
		    SPAN_LIT("\x95\x01\x05\xa1P\x80\x01"), RC_SYNTAX, 5 },
		{ "bytes after the end",
		    SPAN_LIT("\x94\x01\x05\xa1P\x80\xc0"), RC_SYNTAX, 5 },
		{ "body too deep", SPAN_LIT("\x94\x01\x05\xa1P"
		    "\x91\x91\x91\x91\x91\x91\x91\x91\x90"), RC_LIMIT, 5 },
		{ "body cut", SPAN_LIT("\x94\x01\x05\xa1P\x91"),
		    RC_SYNTAX, 5 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rpc_call_frame f;
		size_t n = cases[i].in.len;
		char *mem = malloc(n);
		enum rc got;

		memcpy(mem, cases[i].in.p, n);
		got = rpc_call_frame_read(&f, (struct span){ mem, n });
		if (got != cases[i].want || f.id != cases[i].id)
			fail_msg("%s: %s, id %u", cases[i].name, rc_name(got),
			    (unsigned)f.id);
		if (got != RC_OK) {
			assert_null(f.doc.zone);
			assert_null(f.body);
		}
		rpc_call_frame_fini(&f);
		free(mem);
	}
}

static void
test_broken_replies(void **state)
{
	static const struct {
		const char	*name;
		struct span	in;
		enum rc		want;
		uint64_t	id;
	} cases[] = {
		{ "good", SPAN_LIT("\x95\x01\x05\xa2ok\x80\xc2"), RC_OK, 5 },
		{ "foreign status",
		    SPAN_LIT("\x95\x01\x05\xa2no\x80\xc2"), RC_OK, 5 },
		{ "four parts",
		    SPAN_LIT("\x94\x01\x05\xa2ok\x80"), RC_SYNTAX, 5 },
		{ "more is a number",
		    SPAN_LIT("\x95\x01\x05\xa2ok\x80\x00"), RC_SYNTAX, 5 },
		{ "status is a number",
		    SPAN_LIT("\x95\x01\x05\x00\x80\xc2"), RC_SYNTAX, 5 },
		{ "another version",
		    SPAN_LIT("\x95\x02\x05\xa2ok\x80\xc2"), RC_SYNTAX, 5 },
		{ "cut", SPAN_LIT("\x95\x01\x05\xa2ok\x80"), RC_SYNTAX, 5 },
		{ "noise", SPAN_LIT("\xc1\xc1\xc1\xc1"), RC_SYNTAX, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rpc_reply_frame f;
		enum rc got = rpc_reply_frame_read(&f, cases[i].in);

		if (got != cases[i].want || f.id != cases[i].id)
			fail_msg("%s: %s, id %u", cases[i].name, rc_name(got),
			    (unsigned)f.id);
		if (i == 1)
			assert_int_equal(f.status, RPC_STATUS_INTERNAL);
		rpc_reply_frame_fini(&f);
	}
}

static void
test_a_frame_over_the_limit_is_not_begun(void **state)
{
	size_t n = RPC_FRAME_BYTES_MAX;
	char *body = calloc(1, n);	/* a body of zeros is not looked at */
	struct buffer out;

	(void)state;
	assert_non_null(body);
	buffer_init(&out, 0, false);
	assert_int_equal(rpc_call_frame_write(&out, 1, RPC_OP_PING,
	    (struct span){ body, n }, NO_SPAN), RC_LIMIT);
	assert_int_equal(buffer_len(&out), 0);
	assert_int_equal(rpc_call_frame_put_head(&out, 1, RPC_OP_PING,
	    SIZE_MAX, 0), RC_LIMIT);
	assert_int_equal(rpc_call_frame_put_head(&out, 1, RPC_OP_PING, 1,
	    SIZE_MAX), RC_LIMIT);
	assert_int_equal(buffer_len(&out), 0);
	/* Array, version, id, "Ping": eight bytes go around a body. */
	assert_int_equal(rpc_call_frame_write(&out, 1, RPC_OP_PING,
	    (struct span){ body, n - 7 }, NO_SPAN), RC_LIMIT);
	assert_int_equal(rpc_call_frame_put_head(&out, 1, RPC_OP_PING,
	    n - 8, 0), RC_OK);
	buffer_clear(&out);
	assert_int_equal(rpc_reply_frame_write(&out, 1, RPC_STATUS_OK,
	    (struct span){ body, n - 6 }, true), RC_LIMIT);
	assert_int_equal(buffer_len(&out), 0);
	/* A buffer with a limit of its own takes whole frames too. */
	buffer_fini(&out);
	buffer_init(&out, 13, false);
	assert_int_equal(rpc_call_frame_write(&out, 1, RPC_OP_PING,
	    (struct span){ body, 2 }, NO_SPAN), RC_LIMIT);
	assert_int_equal(buffer_len(&out), 0);
	assert_int_equal(rpc_call_frame_write(&out, 1, RPC_OP_PING,
	    (struct span){ body, 1 }, NO_SPAN), RC_OK);
	buffer_fini(&out);
	free(body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_at_every_split),
		cmocka_unit_test(test_the_bytes_of_the_manual),
		cmocka_unit_test(test_calls_come_back),
		cmocka_unit_test(test_replies_come_back),
		cmocka_unit_test(test_broken_calls),
		cmocka_unit_test(test_broken_replies),
		cmocka_unit_test(test_a_frame_over_the_limit_is_not_begun),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
