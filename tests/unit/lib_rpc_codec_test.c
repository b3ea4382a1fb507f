/* lib/rpc/codec.c: every honest form is read, every hostile one is refused
 * before memory is spent, and what is read are views. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/rpc/codec.h"
#include "lib/rpc/op.h"

/* A copy of exactly len bytes, so that the sanitizer sees a read behind it. */
static char *
exact(const void *p, size_t len)
{
	char *mem = malloc(len != 0 ? len : 1);

	assert_non_null(mem);
	if (len != 0)
		memcpy(mem, p, len);
	return (mem);
}

static enum rc
walk_copy(const void *p, size_t len)
{
	struct rpc_document d;
	char *mem = exact(p, len);
	enum rc walked = rpc_walk(mem, len), read;

	read = rpc_document_read(&d, mem, len);
	assert_int_equal(walked, read);
	if (read != RC_OK) {
		assert_null(d.zone);
		assert_null(d.root);
	}
	rpc_document_fini(&d);
	free(mem);
	return (walked);
}

/* ---- the suite ---- */

/* What the walk refuses, by group of the suite. */
static const struct {
	const char	*group;
	const char	*reason;
} refused[] = {
	{ "50.timestamp.yaml", "ext types have no meaning in the protocol" },
	{ "60.ext.yaml", "ext types have no meaning in the protocol" },
};

static const char *
refusal(const char *group)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strcmp(group, refused[i].group) == 0)
			return (refused[i].reason);
	return (NULL);
}

static size_t
unhex(const char *text, char *out)
{
	size_t n = 0;
	unsigned byte;

	while (sscanf(text, "%2x", &byte) == 1) {
		out[n++] = (char)byte;
		text += 2;
		if (*text != '-')
			break;
		text++;
	}
	return (n);
}

/* The value line of the suite against what we read; floats have no
 * accessor. */
static void
check_value(const char *line, const struct rpc_value *v, uint8_t type)
{
	char want[256], *end;
	struct span got;
	uint64_t u64;
	bool b;
	size_t n;

	if (strstr(line, "\"nil\"") != NULL) {
		assert_true(rpc_is_nil(v));
	} else if (strstr(line, "\"bool\"") != NULL) {
		assert_true(rpc_get_bool(v, &b));
		assert_int_equal(b, strstr(line, "true") != NULL);
	} else if (strncmp(line, "\"binary\": \"", 11) == 0) {
		n = unhex(line + 11, want);
		assert_true(rpc_get_bytes(v, &got));
		assert_int_equal(got.len, n);
		if (n != 0)
			assert_memory_equal(got.p, want, n);
	} else if (strncmp(line, "\"string\": \"", 11) == 0) {
		assert_true(rpc_get_bytes(v, &got));
		if (strchr(line, '\\') != NULL)
			return;		/* escaped there, checked by length */
		end = strchr(line + 11, '"');
		assert_non_null(end);
		assert_int_equal(got.len, end - (line + 11));
		assert_memory_equal(got.p, line + 11, got.len);
	} else if (strncmp(line, "\"number\": ", 10) == 0 ||
	    strncmp(line, "\"bignum\": \"", 11) == 0) {
		line += strncmp(line, "\"number", 7) == 0 ? 10 : 11;
		if (*line == '-' || type == 0xca || type == 0xcb) {
			assert_false(rpc_get_u64(v, &u64));
			return;
		}
		assert_true(rpc_get_u64(v, &u64));
		assert_int_equal(u64, strtoull(line, NULL, 10));
	}
}

static void
check_form(const char *group, const char *value_line, const char *hex)
{
	struct rpc_document d;
	char bytes[512], *mem;
	size_t n = unhex(hex, bytes);
	const char *why = refusal(group);

	if (why != NULL) {
		assert_int_equal(walk_copy(bytes, n), RC_SYNTAX);
		return;
	}
	mem = exact(bytes, n);
	if (rpc_document_read(&d, mem, n) != RC_OK)
		fail_msg("%s: %s was refused", group, hex);
	assert_int_equal(rpc_value_extent(mem, n), n);
	check_value(value_line, d.root, (uint8_t)mem[0]);
	rpc_document_fini(&d);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(walk_copy(bytes, cut), RC_SYNTAX);
	free(mem);
}

static char *
suite_read(void)
{
	const char *shared = getenv("RELAY_SHARED");
	struct buffer b;
	char path[512], *text;

	(void)snprintf(path, sizeof(path),
	    "%s/suites/msgpack/msgpack-test-suite.json",
	    shared != NULL ? shared : TEST_SRCDIR "/../shared");
	buffer_init(&b, 0, false);
	if (file_read(path, &b) != RC_OK) {
		buffer_fini(&b);
		return (NULL);
	}
	text = exact(buffer_cstr(&b), buffer_len(&b) + 1);
	buffer_fini(&b);
	return (text);
}

static void
test_suite(void **state)
{
	char *text = suite_read(), *line, *save = NULL, *p;
	char group[64] = "", value_line[256] = "";
	bool in_forms = false;
	unsigned forms = 0;

	(void)state;
	if (text == NULL) {
		print_message("skipped: suites/msgpack is missing\n");
		skip();
	}
	/* The file is printed one item a line, which is all we need. */
	for (line = strtok_r(text, "\n", &save); line != NULL;
	    line = strtok_r(NULL, "\n", &save)) {
		while (*line == ' ')
			line++;
		if (strstr(line, ".yaml\": [") != NULL) {
			assert_int_equal(sscanf(line, "\"%63[^\"]", group), 1);
		} else if (strncmp(line, "\"msgpack\": [", 12) == 0) {
			in_forms = true;
		} else if (in_forms && *line == ']') {
			in_forms = false;
			value_line[0] = '\0';
		} else if (in_forms) {
			p = line + 1;
			check_form(group, value_line, p);
			forms++;
		} else if (*line == '"' && value_line[0] == '\0') {
			(void)snprintf(value_line, sizeof(value_line), "%s",
			    line);
		}
	}
	free(text);
	assert_true(forms > 200);
}

/* ---- hostile ---- */

static void
test_hostile(void **state)
{
	static const struct {
		const char	*name;
		const char	*in;
		size_t		len;
		enum rc		want;
	} cases[] = {
#define CASE(name, lit, want) { name, lit, sizeof(lit) - 1, want }
		CASE("nothing", "", RC_SYNTAX),
		CASE("never used type", "\xc1", RC_SYNTAX),
		CASE("two values", "\xc0\xc0", RC_SYNTAX),
		CASE("array of 150 million", "\xdd\x08\xf0\xd1\x80",
		    RC_SYNTAX),
		CASE("array of 4 G", "\xdd\xff\xff\xff\xff", RC_SYNTAX),
		CASE("map of 4 G", "\xdf\xff\xff\xff\xff", RC_SYNTAX),
		CASE("map whose values are missing", "\x82\xa1" "a\xa1" "b",
		    RC_SYNTAX),
		CASE("map of 2 G, doubled past 32 bits",
		    "\xdf\x80\x00\x00\x01\xa1" "a\xc0", RC_SYNTAX),
		CASE("str of 4 G", "\xdb\xff\xff\xff\xff", RC_SYNTAX),
		CASE("bin one too long", "\xc4\x02\x00", RC_SYNTAX),
		CASE("array one short", "\x92\xc0", RC_SYNTAX),
		CASE("fixext", "\xd4\x01\x00", RC_SYNTAX),
		CASE("timestamp", "\xd6\xff\x00\x00\x00\x00", RC_SYNTAX),
		CASE("ext 8", "\xc7\x00\x01", RC_SYNTAX),
		CASE("int key", "\x81\x01\xc0", RC_SYNTAX),
		CASE("bin key", "\x81\xc4\x01" "a\xc0", RC_SYNTAX),
		CASE("map key", "\x81\x80\xc0", RC_SYNTAX),
		CASE("second key nil", "\x82\xa1" "a\xc0\xc0\xc0", RC_SYNTAX),
		CASE("map as value", "\x81\xa1" "a\x81\xa1" "b\xc0", RC_OK),
		CASE("key 32 long form", "\x81\xdb\x00\x00\x00\x01" "a\xc0",
		    RC_OK),
		CASE("depth 8",
		    "\x91\x91\x91\x91\x91\x91\x91\x91\xc0", RC_OK),
		CASE("depth 9",
		    "\x91\x91\x91\x91\x91\x91\x91\x91\x90", RC_LIMIT),
		CASE("depth 9 by maps", "\x81\xa1" "a\x81\xa1" "a\x81\xa1"
		    "a\x81\xa1" "a\x81\xa1" "a\x81\xa1" "a\x81\xa1" "a\x81\xa1"
		    "a\x80", RC_LIMIT),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum rc got = walk_copy(cases[i].in, cases[i].len);

		if (got != cases[i].want)
			fail_msg("%s: %s, not %s", cases[i].name,
			    rc_name(got), rc_name(cases[i].want));
	}
}

static void
test_more_values_than_any_honest_call(void **state)
{
	struct buffer b;
	char *at;

	(void)state;
	buffer_init(&b, 0, false);
	rpc_put_array(&b, RPC_VALUES_MAX - 1);
	assert_int_equal(buffer_reserve(&b, RPC_VALUES_MAX, &at), RC_OK);
	memset(at, 0xc0, RPC_VALUES_MAX);
	buffer_commit(&b, RPC_VALUES_MAX - 1);
	assert_int_equal(rpc_walk(buffer_data(&b), buffer_len(&b)), RC_OK);
	buffer_clear(&b);
	rpc_put_array(&b, RPC_VALUES_MAX);
	assert_int_equal(buffer_reserve(&b, RPC_VALUES_MAX, &at), RC_OK);
	memset(at, 0xc0, RPC_VALUES_MAX);
	buffer_commit(&b, RPC_VALUES_MAX);
	assert_int_equal(rpc_walk(buffer_data(&b), buffer_len(&b)), RC_LIMIT);
	buffer_fini(&b);
}

/* ---- both ways ---- */

static const size_t lengths[] = {
	0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536
};
#define N_LENGTHS	(sizeof(lengths) / sizeof(lengths[0]))

static void
test_every_header_length_comes_back(void **state)
{
	static char filler[65536];
	struct rpc_document d;
	struct buffer b;
	struct span got;

	(void)state;
	memset(filler, 'x', sizeof(filler));
	buffer_init(&b, 0, false);
	for (size_t i = 0; i < N_LENGTHS; i++) {
		size_t n = lengths[i];
		struct span s = { filler, n };
		char head[RPC_BIN_HEAD_MAX];

		buffer_clear(&b);
		rpc_put_array(&b, 2);
		rpc_put_text(&b, s);
		rpc_put_bin(&b, s);
		assert_int_equal(rpc_document_read(&d, buffer_data(&b),
		    buffer_len(&b)), RC_OK);
		for (size_t k = 0; k < 2; k++) {
			assert_true(rpc_get_bytes(rpc_array_at(d.root, k),
			    &got));
			assert_int_equal(got.len, n);
			/* A view into the input, not a copy. */
			if (n == 0)
				continue;
			assert_true(got.p >= buffer_data(&b) && got.p + n <=
			    buffer_data(&b) + buffer_len(&b));
		}
		rpc_document_fini(&d);
		buffer_clear(&b);
		rpc_put_bin_head(&b, n);
		assert_ptr_equal(rpc_write_bin_head(head, n),
		    head + buffer_len(&b));
		assert_memory_equal(head, buffer_data(&b), buffer_len(&b));
		buffer_clear(&b);
		rpc_put_array(&b, n);
		for (size_t k = 0; k < n; k++)
			rpc_put_nil(&b);
		assert_int_equal(rpc_document_read(&d, buffer_data(&b),
		    buffer_len(&b)), RC_OK);
		assert_int_equal(rpc_array_len(d.root), n);
		assert_null(rpc_array_at(d.root, n));
		rpc_document_fini(&d);
		buffer_clear(&b);
		rpc_put_map(&b, n);
		for (size_t k = 0; k < n; k++) {
			rpc_put_str(&b, "k");
			rpc_put_u64(&b, k);
		}
		assert_int_equal(rpc_walk(buffer_data(&b), buffer_len(&b)),
		    RC_OK);
	}
	buffer_fini(&b);
}

static void
test_numbers_come_back(void **state)
{
	static const uint64_t numbers[] = {
		0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295u,
		4294967296u, INT64_MAX, UINT64_MAX
	};
	struct rpc_document d;
	struct buffer b;
	uint64_t got;

	(void)state;
	buffer_init(&b, 0, false);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		buffer_clear(&b);
		rpc_put_u64(&b, numbers[i]);
		assert_int_equal(rpc_document_read(&d, buffer_data(&b),
		    buffer_len(&b)), RC_OK);
		assert_true(rpc_get_u64(d.root, &got));
		assert_int_equal(got, numbers[i]);
		rpc_document_fini(&d);
	}
	buffer_fini(&b);
}

static void
test_accessors_refuse_other_types(void **state)
{
	/* {"a": 1, "b": [true, nil, -1], "a": 2} */
	static const char in[] =
	    "\x83\xa1" "a\x01\xa1" "b\x93\xc3\xc0\xff\xa1" "a\x02";
	const struct rpc_value *list;
	struct rpc_document d;
	struct span s = SPAN_LIT("kept");
	uint64_t n = 7;
	bool b = true;

	(void)state;
	assert_int_equal(rpc_document_read(&d, in, sizeof(in) - 1), RC_OK);
	assert_true(rpc_get_u64(rpc_map_get(d.root, "a"), &n));
	assert_int_equal(n, 1);			/* the first one counts */
	list = rpc_map_get(d.root, "b");
	assert_int_equal(rpc_array_len(list), 3);
	assert_null(rpc_map_get(d.root, "c"));
	assert_null(rpc_map_get(d.root, ""));
	assert_null(rpc_map_get(list, "a"));
	assert_null(rpc_map_get(NULL, "a"));
	assert_null(rpc_array_at(d.root, 0));
	assert_null(rpc_array_at(NULL, 0));
	assert_null(rpc_array_at(list, 3));
	assert_null(rpc_array_at(list, SIZE_MAX));
	assert_int_equal(rpc_array_len(d.root), SIZE_MAX);
	assert_int_equal(rpc_array_len(NULL), SIZE_MAX);
	assert_false(rpc_get_u64(rpc_array_at(list, 2), &n));
	assert_false(rpc_get_u64(NULL, &n));
	assert_int_equal(n, 1);
	assert_false(rpc_get_bytes(list, &s));
	assert_false(rpc_get_bytes(NULL, &s));
	assert_string_equal(s.p, "kept");
	assert_false(rpc_get_bool(rpc_array_at(list, 1), &b));
	assert_false(rpc_get_bool(NULL, &b));
	assert_true(rpc_is_nil(rpc_array_at(list, 1)));
	assert_false(rpc_is_nil(rpc_array_at(list, 0)));
	assert_false(rpc_is_nil(NULL));
	rpc_document_fini(&d);
	rpc_document_fini(&d);
}

static void
test_extent_of_one_value_among_others(void **state)
{
	static const char in[] = "\x92\x01\xa2xy\xc0\xc1";

	(void)state;
	assert_int_equal(rpc_value_extent(in, sizeof(in) - 1), 5);
	assert_int_equal(rpc_value_extent(in + 5, 2), 1);
	assert_int_equal(rpc_value_extent(in + 6, 1), 0);
	assert_int_equal(rpc_value_extent(in, 4), 0);
	assert_int_equal(rpc_value_extent(in, 0), 0);
}

/* What a list of members writes, a list of wants reads. */
static void
test_small_maps(void **state)
{
	struct span app = { NULL, 0 }, bin = { NULL, 0 };
	struct span kept = SPAN_LIT("kept");
	const struct rpc_value *list = NULL;
	struct rpc_document d;
	struct buffer b, again;
	bool on = false;
	uint64_t n = 0, absent = 7;

	(void)state;
	buffer_init(&b, 0, false);
	buffer_init(&again, 0, false);
	rpc_pack(&b, RPC_STR("app", "app_1"), RPC_BOOL("on", true),
	    RPC_U64("n", UINT64_MAX), RPC_BIN("bin", "\0\1", 2),
	    RPC_RAW("list", SPAN_LIT("\x92\x01\x81\xa1k\xc0")),
	    RPC_NIL("nil"));
	assert_int_equal(rpc_document_read(&d, buffer_data(&b),
	    buffer_len(&b)), RC_OK);
	assert_true(rpc_unpack(d.root, RPC_WANT_BYTES("app", &app),
	    RPC_WANT_BOOL("on", &on), RPC_WANT_U64("n", &n),
	    RPC_WANT_BYTES("bin", &bin), RPC_WANT_VALUE("list", &list),
	    RPC_MAY_U64("absent", &absent), RPC_MAY_BYTES("nil", &kept)));
	assert_true(span_eq_str(app, "app_1") && on);
	assert_true(n == UINT64_MAX);
	assert_int_equal(bin.len, 2);
	assert_int_equal(absent, 7);
	assert_true(span_eq_str(kept, "kept"));
	assert_int_equal(rpc_array_len(list), 2);
	/* Missing, of another type, and optional of another type. */
	assert_false(rpc_unpack(d.root, RPC_WANT_U64("absent", &n)));
	assert_false(rpc_unpack(d.root, RPC_WANT_U64("app", &n)));
	assert_false(rpc_unpack(d.root, RPC_MAY_U64("app", &n)));
	assert_false(rpc_unpack(d.root, RPC_WANT_BYTES("nil", &bin)));
	assert_false(rpc_unpack(list, RPC_WANT_BYTES("app", &app)));
	assert_false(rpc_unpack(NULL, RPC_WANT_BYTES("app", &app)));
	/* A value that was read is written as it was. */
	rpc_put_value(&again, d.root);
	assert_int_equal(buffer_len(&again), buffer_len(&b));
	assert_memory_equal(buffer_data(&again), buffer_data(&b),
	    buffer_len(&b));
	rpc_document_fini(&d);
	buffer_fini(&again);
	buffer_fini(&b);
}

/* The same of arrays: in order, not longer than what is wanted, shorter only
 * by what may be absent; and names of a closed list. */
static void
test_small_lists(void **state)
{
	static const char *const colours[] = { "red", "blue", NULL };
	static const struct {
		const char	*in;
		bool		good;
		unsigned	colour, optional;
		uint64_t	end;
	} cases[] = {
		{ "\x94\xa3red\x05\x90\x07", true, 0, 9, 7 },
		{ "\x94\xa4" "blue\x05\x91\xc0\xc0", true, 1, 9, 0 },
		{ "\x93\xa4" "blue\x05\x90", true, 1, 9, 0 },
		{ "\x95\xa4" "blue\x05\x90\x07\xa3red", true, 1, 0, 7 },
		{ "\x96\xa4" "blue\x05\x90\x07\xa3red\xc0", false, 0, 0, 0 },
		{ "\x95\xa4" "blue\x05\x90\x07\xa3rot", false, 0, 0, 0 },
		{ "\x92\xa4" "blue\x05", false, 0, 0, 0 },
		{ "\x93\xa4" "Blue\x05\x90", false, 0, 0, 0 },
		{ "\x93\xa3" "blu\x05\x90", false, 0, 0, 0 },
		{ "\x93\x01\x05\x90", false, 0, 0, 0 },
		{ "\x93\xc0\x05\x90", false, 0, 0, 0 },
		{ "\x93\xa4" "blue\x05\x80", false, 0, 0, 0 },
		{ "\x93\xa4" "blue\x05\xc0", false, 0, 0, 0 },
		{ "\x94\xa4" "blue\x05\x90\xa1" "7", false, 0, 0, 0 },
		{ "\x80", false, 0, 0, 0 },
		{ "\x90", false, 0, 0, 0 },
	};
	struct rpc_document d;
	struct buffer b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned colour = 9, optional = 9;
		const struct rpc_value *list;
		uint64_t n, end = 0;
		bool good;

		assert_int_equal(rpc_document_read(&d, cases[i].in,
		    strlen(cases[i].in)), RC_OK);
		good = rpc_unpack_list(d.root,
		    RPC_WANT_NAME("colour", colours, &colour),
		    RPC_WANT_U64("n", &n), RPC_WANT_LIST("list", &list),
		    RPC_MAY_U64("end", &end),
		    RPC_MAY_NAME("optional", colours, &optional));
		assert_int_equal(good, cases[i].good);
		if (good) {
			assert_int_equal(n, 5);
			assert_int_equal(colour, cases[i].colour);
			assert_int_equal(optional, cases[i].optional);
			assert_int_equal(end, cases[i].end);
		}
		rpc_document_fini(&d);
	}
	buffer_init(&b, 0, false);
	rpc_pack_list(&b, RPC_STR("colour", "red"), RPC_U64("n", 5),
	    RPC_RAW("list", SPAN_LIT("\x90")), RPC_MAYBE_U64("end", 0),
	    RPC_MAYBE_U64("end", 7));
	assert_int_equal(buffer_len(&b), 9);
	assert_memory_equal(buffer_data(&b), "\x95\xa3red\x05\x90\xc0\x07",
	    9);
	buffer_fini(&b);
}

/* A map that is scanned says what one that was unpacked says; wrong types are
 * absent there. */
static void
test_scan_reads_as_unpack(void **state)
{
	static const struct {
		struct span	in;
		bool		good;
		uint64_t	n;
		const char	*text;
	} cases[] = {
		{ SPAN_LIT("\x82\xa1n\x05\xa1t\xa2" "hi"), true, 5, "hi" },
		{ SPAN_LIT("\x82\xa1t\xc4\x02" "hi\xa1n\xcd\x01\x00"), true,
		    256, "hi" },
		{ SPAN_LIT("\xde\x00\x02\xa1t\xd9\x01" "h\xd9\x01n\xd3\0\0\0"
		    "\0\0\0\0\x09"), true, 9, "h" },
		{ SPAN_LIT("\x82\xa1x\x93\x01\x91\x81\xa1n\x06\xc0\xa1n\x05"),
		    true, 5, "" },
		{ SPAN_LIT("\x82\xa1n\x05\xa1n\x06"), true, 5, "" },
		{ SPAN_LIT("\x82\xa1n\x05\xa1t\xc0"), true, 5, "" },
		{ SPAN_LIT("\x81\xa1n\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
		    true, UINT64_MAX, "" },
		{ SPAN_LIT("\x81\xa1t\xa1h"), false, 0, "" },
		{ SPAN_LIT("\x81\xa1n\xff"), false, 0, "" },
		{ SPAN_LIT("\x81\xa1n\xd0\x80"), false, 0, "" },
		{ SPAN_LIT("\x81\xa1n\xca\0\0\0\0"), false, 0, "" },
		{ SPAN_LIT("\x82\xa1n\xa1" "5\xa1n\x05"), false, 0, "" },
		{ SPAN_LIT("\x80"), false, 0, "" },
		{ SPAN_LIT("\x91\x05"), false, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *mem = exact(cases[i].in.p, cases[i].in.len);
		const struct span in = { mem, cases[i].in.len };
		struct span text = { NULL, 0 }, same = { NULL, 0 };
		uint64_t n = 0, m = 0;
		struct rpc_document d;

		assert_int_equal(rpc_scan(in, RPC_WANT_U64("n", &n),
		    RPC_MAY_BYTES("t", &text)), cases[i].good);
		assert_int_equal(rpc_document_read(&d, in.p, in.len), RC_OK);
		assert_int_equal(rpc_unpack(d.root, RPC_WANT_U64("n", &m),
		    RPC_MAY_BYTES("t", &same)), cases[i].good);
		if (cases[i].good) {
			assert_true(n == cases[i].n && m == n);
			assert_true(span_eq_str(text, cases[i].text));
			assert_true(span_eq(text, same));
		}
		rpc_document_fini(&d);
		/* Cut anywhere, or with something behind it: no map. */
		for (size_t len = 0; len < in.len; len++) {
			char *cut = exact(in.p, len);

			assert_false(rpc_scan(((struct span){ cut, len }),
			    RPC_MAY_U64("n", &n)));
			free(cut);
		}
		free(mem);
	}
	assert_false(rpc_scan(SPAN_LIT("\x80\xc0"), RPC_MAY_U64("n",
	    &(uint64_t){ 0 })));
	assert_false(rpc_scan(SPAN_LIT("\x81\x01\x02"), RPC_MAY_U64("n",
	    &(uint64_t){ 0 })));
	assert_false(rpc_scan(SPAN_LIT("\xdf\xff\xff\xff\xff"),
	    RPC_MAY_U64("n", &(uint64_t){ 0 })));
}

/* A head of fixed length is the head of an array like any other. */
static void
test_array_head_of_fixed_length(void **state)
{
	static const size_t counts[] = { 0, 1, 15, 16, 255, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		size_t len = RPC_ARRAY_HEAD_BYTES + counts[i];
		char *mem = calloc(1, len);
		struct rpc_document d;

		assert_non_null(mem);
		rpc_write_array_head(mem, counts[i]);
		assert_int_equal(rpc_document_read(&d, mem, len), RC_OK);
		assert_int_equal(rpc_array_len(d.root), counts[i]);
		rpc_document_fini(&d);
		free(mem);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suite),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_more_values_than_any_honest_call),
		cmocka_unit_test(test_every_header_length_comes_back),
		cmocka_unit_test(test_numbers_come_back),
		cmocka_unit_test(test_accessors_refuse_other_types),
		cmocka_unit_test(test_extent_of_one_value_among_others),
		cmocka_unit_test(test_small_maps),
		cmocka_unit_test(test_small_lists),
		cmocka_unit_test(test_scan_reads_as_unpack),
		cmocka_unit_test(test_array_head_of_fixed_length),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
