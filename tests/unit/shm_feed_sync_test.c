/* shm/feed/sync.c: hints, the index, full reads, the delete guard. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shm/feed/sync.h"

static struct span
text(const char *s)
{
	return (span_of(s));
}

static void
test_update_hints(void **state)
{
	static const struct {
		const char	*payload;
		enum sync_hint	hint;
		const char	*key;
	} cases[] = {
		{ "relays shop.example.com", SYNC_HINT_FIELD,
		    "relays/shop.example.com" },
		{ "relay:relays shop.example.com", SYNC_HINT_FIELD,
		    "relays/shop.example.com" },
		{ "relays shop.example.com\n", SYNC_HINT_FIELD,
		    "relays/shop.example.com" },
		{ "relays Not.A.Host.", SYNC_HINT_FIELD, "relays/Not.A.Host." },
		{ "", SYNC_HINT_ALL, NULL },
		{ "\n", SYNC_HINT_ALL, NULL },
		{ "relays", SYNC_HINT_ALL, NULL },
		{ "relays ", SYNC_HINT_ALL, NULL },
		{ "relays a.test b.test", SYNC_HINT_ALL, NULL },
		{ "relays  a.test", SYNC_HINT_ALL, NULL },
		{ "all", SYNC_HINT_ALL, NULL },
		{ "unknown a.test", SYNC_HINT_ALL, NULL },
		{ "relay:relay:relays a.test", SYNC_HINT_ALL, NULL },
		{ "certs shop", SYNC_HINT_OTHER, NULL },
		{ "relay:certs shop", SYNC_HINT_OTHER, NULL },
		{ "egress app_000000000000", SYNC_HINT_FIELD,
		    "egress/app_000000000000" },
		{ "relay:egress app_0\n", SYNC_HINT_FIELD, "egress/app_0" },
		{ "egress", SYNC_HINT_ALL, NULL },
		{ "egresses a", SYNC_HINT_ALL, NULL },
		{ "relay:apps app_000000000000", SYNC_HINT_OTHER, NULL },
		{ "nodes n", SYNC_HINT_OTHER, NULL },
		{ "engines e3@host.test", SYNC_HINT_ENGINES, NULL },
		{ "relay:engines e3@host.test\n", SYNC_HINT_ENGINES, NULL },
		{ "engines", SYNC_HINT_ALL, NULL },
	};
	struct buffer key;

	(void)state;
	buffer_init(&key, 0, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum table table = TABLE_RELAYS;
		enum sync_hint hint;
		struct span field;

		hint = sync_hint_update(text(cases[i].payload), &table, &field);
		if (hint != cases[i].hint)
			fail_msg("%s: %d", cases[i].payload, (int)hint);
		if (cases[i].key != NULL)
			assert_true(span_eq_str(table_key(table, field, &key),
			    cases[i].key));
	}
	buffer_fini(&key);
}

static void
test_keyspace_hints(void **state)
{
	static const struct {
		const char	*channel, *payload;
		enum sync_hint	hint;
		enum table	table;
	} cases[] = {
		{ "__keyspace@0__:relay:relays", "hset", SYNC_HINT_ALL, TABLE_RELAYS },
		{ "__keyspace@0__:relay:relays", "hdel", SYNC_HINT_REMOVED, TABLE_RELAYS },
		{ "__keyspace@0__:relay:relays", "del", SYNC_HINT_ALL, TABLE_RELAYS },
		{ "__keyspace@15__:relay:relays", "hset", SYNC_HINT_ALL, TABLE_RELAYS },
		{ "__keyspace@0__:relay:nodes", "hset", SYNC_HINT_OTHER, TABLE_RELAYS },
		{ "__keyspace@0__:relay:apps", "hset", SYNC_HINT_OTHER, TABLE_RELAYS },
		{ "__keyspace@0__:relay:relays2", "hset", SYNC_HINT_OTHER, TABLE_RELAYS },
		{ "__keyspace@0__:relay:egress", "hset", SYNC_HINT_ALL,
		    TABLE_EGRESS },
		{ "__keyspace@0__:relay:egress", "hdel", SYNC_HINT_REMOVED,
		    TABLE_EGRESS },
		{ "__keyspace@0__:egress", "hset", SYNC_HINT_OTHER, TABLE_RELAYS },
		{ "no colon", "hset", SYNC_HINT_OTHER, TABLE_RELAYS },
		{ "", "", SYNC_HINT_OTHER, TABLE_RELAYS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum table table = TABLE_RELAYS;

		if (sync_hint_keyspace(text(cases[i].channel),
		    text(cases[i].payload), &table) != cases[i].hint ||
		    table != cases[i].table)
			fail_msg("%s %s", cases[i].channel, cases[i].payload);
	}
}

static void
test_delete_guard(void **state)
{
	static const struct {
		size_t		live, removals, single;
		unsigned	percent;
		bool		may;
	} cases[] = {
		{ 0, 0, 0, 30, true },
		{ 10, 0, 0, 0, true },
		{ 10, 3, 0, 30, true },
		{ 10, 4, 0, 30, false },
		{ 3, 1, 0, 30, false },		/* 33 % */
		{ 3, 1, 1, 30, true },		/* one HDEL was announced */
		{ 3, 2, 1, 30, false },
		{ 1, 1, 0, 30, false },
		{ 1, 1, 1, 30, true },
		{ 10, 10, 0, 100, false },	/* all is never by percent */
		{ 10, 9, 0, 100, true },
		{ 10, 1, 0, 0, false },
		{ 1000000007, 300000002, 0, 30, true },
		{ 1000000007, 300000003, 0, 30, false },
		{ SIZE_MAX / 128, SIZE_MAX / 256, 0, 30, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (sync_may_remove(cases[i].live, cases[i].removals,
		    cases[i].single, cases[i].percent) != cases[i].may)
			fail_msg("case %zu", i);
}

/* ---- a map and a Redis of the test ------------------------------------------- */

static void
set_live(struct sync_index *x, const char *field, const char *value)
{
	uint8_t hash[SYNC_HASH_BYTES];

	sync_hash(text(field), text(value), hash);
	sync_set_live(x, text(field), hash);
}

static void
set_refused(struct sync_index *x, const char *field, const char *value)
{
	uint8_t hash[SYNC_HASH_BYTES];

	sync_hash(text(field), text(value), hash);
	sync_set_refused(x, text(field), hash, "routes[0]", "no");
}

/* "+field" or "-field" for each change, in order. */
static void
describe(const struct sync_changes *list, char *out, size_t size)
{
	const struct sync_change *c;
	size_t n = 0;

	out[0] = '\0';
	STAILQ_FOREACH(c, list, link)
		n += (size_t)snprintf(out + n, size - n, "%c%.*s ",
		    c->remove ? '-' : '+', (int)c->key.len, c->key.p);
}

static void
expect(struct sync_changes *list, const char *want)
{
	char have[256];

	describe(list, have, sizeof(have));
	assert_string_equal(have, want);
	sync_changes_fini(list);
}

static void
test_notes(void **state)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	struct sync_index *x = sync_index_new();
	struct span v1 = SPAN_LIT("1"), v2 = SPAN_LIT("2");

	(void)state;
	assert_true(sync_note(x, &list, text("a"), &v1));
	assert_false(sync_note(x, &list, text("b"), NULL));
	expect(&list, "+a ");
	set_live(x, "a", "1");
	assert_false(sync_note(x, &list, text("a"), &v1));
	assert_true(sync_note(x, &list, text("a"), &v2));
	expect(&list, "+a ");
	/* A refused value is not tried again, and hides no way back. */
	set_refused(x, "a", "2");
	assert_false(sync_note(x, &list, text("a"), &v2));
	assert_true(sync_note(x, &list, text("a"), &v1));
	assert_true(sync_note(x, &list, text("a"), NULL));
	expect(&list, "+a -a ");
	assert_int_equal(sync_refused_count(x), 1);
	set_live(x, "a", "1");
	assert_int_equal(sync_refused_count(x), 0);
	/* Refused and never live: gone from Redis is a change too. */
	set_refused(x, "bad", "x");
	assert_true(sync_note(x, &list, text("bad"), NULL));
	expect(&list, "-bad ");
	sync_set_gone(x, text("bad"));
	assert_int_equal(sync_refused_count(x), 0);
	assert_null(sync_find(x, text("bad")));
	sync_index_free(&x);
}

static void
test_full_read(void **state)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	struct sync_index *x = sync_index_new();

	(void)state;
	set_live(x, "same", "1");
	set_live(x, "changed", "1");
	set_live(x, "gone", "1");
	set_refused(x, "was-bad", "1");
	sync_read_begin(x);
	(void)sync_read_note(x, &list, text("same"), text("1"));
	(void)sync_read_note(x, &list, text("changed"), text("2"));
	(void)sync_read_note(x, &list, text("new"), text("1"));
	/* HSCAN may repeat itself. */
	(void)sync_read_note(x, &list, text("changed"), text("2"));
	(void)sync_read_note(x, &list, text("new"), text("1"));
	assert_int_equal(sync_read_end(x, &list), 1);
	expect(&list, "+changed +new -gone ");
	assert_int_equal(sync_refused_count(x), 0);
	assert_int_equal(sync_live_all(x), 3);	/* nothing applied yet */
	assert_null(sync_find(x, text("was-bad")));
	sync_index_free(&x);
}

/* A hint during the read saw a newer value than the read did. */
static void
test_hint_during_full_read(void **state)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	struct sync_index *x = sync_index_new();

	(void)state;
	set_live(x, "a", "1");
	set_live(x, "b", "1");
	set_live(x, "c", "1");
	sync_read_begin(x);
	(void)sync_read_note(x, &list, text("a"), text("2"));
	(void)sync_read_note(x, &list, text("b"), text("2"));
	/* a: set to 3; b: deleted; new: made; c: made and shown later. */
	sync_settle(x, text("a"));
	set_live(x, "a", "3");
	sync_settle(x, text("b"));
	sync_set_gone(x, text("b"));
	sync_settle(x, text("new"));
	set_live(x, "new", "1");
	sync_settle(x, text("c"));
	set_live(x, "c", "2");
	(void)sync_read_note(x, &list, text("c"), text("1"));
	assert_int_equal(sync_read_end(x, &list), 0);
	expect(&list, "");
	assert_null(sync_find(x, text("b")));
	assert_non_null(sync_find(x, text("new")));

	/* The next read is not bound by it. */
	sync_read_begin(x);
	(void)sync_read_note(x, &list, text("a"), text("4"));
	assert_int_equal(sync_read_end(x, &list), 2);
	sync_changes_fini(&list);
	sync_index_free(&x);
}

static void
test_read_that_broke_off(void **state)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	struct sync_index *x = sync_index_new();

	(void)state;
	set_live(x, "a", "1");
	sync_read_begin(x);
	(void)sync_read_note(x, &list, text("b"), text("1"));
	sync_read_abort(x);
	sync_changes_fini(&list);
	assert_null(sync_find(x, text("b")));
	assert_true(sync_find(x, text("a"))->live);
	sync_read_begin(x);
	(void)sync_read_note(x, &list, text("a"), text("1"));
	assert_int_equal(sync_read_end(x, &list), 0);
	expect(&list, "");
	sync_index_free(&x);
}

static void
test_digest(void **state)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	struct sync_index *x = sync_index_new(), *y = sync_index_new();
	char dx[2 * SYNC_HASH_BYTES + 1], dy[2 * SYNC_HASH_BYTES + 1];
	char after[2 * SYNC_HASH_BYTES + 1];
	struct span two = SPAN_LIT("2"), one = SPAN_LIT("1");

	(void)state;
	set_live(x, "a", "1");
	set_live(x, "b", "2");
	set_live(y, "b", "2");
	set_live(y, "a", "0");
	set_live(y, "a", "1");
	set_live(y, "c", "3");
	sync_digest(x, dx);
	sync_digest(y, dy);
	assert_string_not_equal(dx, dy);
	sync_set_gone(y, text("c"));
	sync_digest(y, dy);
	assert_string_equal(dx, dy);
	set_refused(y, "a", "9");		/* what is live counts */
	sync_digest(y, dy);
	assert_string_equal(dx, dy);
	assert_int_equal(strlen(dx), 2 * SYNC_HASH_BYTES);

	(void)sync_note(x, &list, text("a"), &two);
	(void)sync_note(x, &list, text("b"), NULL);
	(void)sync_note(x, &list, text("n"), &one);
	sync_digest_after(x, &list, after);
	sync_changes_fini(&list);
	set_live(x, "a", "2");
	sync_set_gone(x, text("b"));
	set_live(x, "n", "1");
	sync_digest(x, dx);
	assert_string_equal(dx, after);
	sync_index_free(&x);
	sync_index_free(&y);
}

/* The boundary between field and value is part of the hash. */
/* Damaged is what is live and not known: any answer of Redis is a change. */
static void
test_damaged(void **state)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	struct sync_index *x = sync_index_new();
	struct span one = SPAN_LIT("1");
	char before[2 * SYNC_HASH_BYTES + 1], after[sizeof(before)];

	(void)state;
	set_live(x, "a", "1");
	set_live(x, "b", "1");
	sync_digest(x, before);
	assert_true(sync_set_damaged(x, text("a")));
	assert_false(sync_set_damaged(x, text("a")));	/* known */
	assert_int_equal(sync_damaged_count(x), 1);
	assert_int_equal(sync_live_all(x), 2);
	assert_true(sync_note(x, &list, text("a"), &one));
	assert_false(sync_note(x, &list, text("b"), &one));
	expect(&list, "+a ");
	set_live(x, "a", "1");
	assert_false(sync_note(x, &list, text("a"), &one));
	assert_int_equal(sync_damaged_count(x), 0);

	/* A name that should not be there goes, by a read or by a hint. */
	assert_true(sync_set_damaged(x, text("?")));
	assert_int_equal(sync_live_all(x), 3);
	sync_digest(x, after);
	assert_string_equal(after, before);
	sync_read_begin(x);
	(void)sync_read_note(x, &list, text("a"), one);
	(void)sync_read_note(x, &list, text("b"), one);
	assert_int_equal(sync_read_end(x, &list), 1);
	expect(&list, "-? ");
	assert_true(sync_note(x, &list, text("?"), NULL));
	expect(&list, "-? ");
	sync_set_gone(x, text("?"));
	assert_null(sync_find(x, text("?")));
	assert_int_equal(sync_damaged_count(x), 0);

	/* What Redis has is refused: it repairs nothing, and is not tried at
	 * every read. */
	assert_true(sync_set_damaged(x, text("a")));
	set_refused(x, "a", "bad");
	assert_false(sync_note(x, &list, text("a"),
	    &(struct span){ "bad", 3 }));
	assert_int_equal(sync_damaged_count(x), 1);
	assert_true(sync_note(x, &list, text("a"), &one));
	expect(&list, "+a ");
	sync_index_free(&x);
}

static void
test_hash_boundary(void **state)
{
	uint8_t a[SYNC_HASH_BYTES], b[SYNC_HASH_BYTES];

	(void)state;
	sync_hash(text("ab"), text("c"), a);
	sync_hash(text("a"), text("bc"), b);
	assert_memory_not_equal(a, b, sizeof(a));
	sync_hash(text("ab"), text("c\n"), b);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void
test_many(void **state)
{
	struct sync_changes list = STAILQ_HEAD_INITIALIZER(list);
	struct sync_index *x = sync_index_new();
	char digest[2 * SYNC_HASH_BYTES + 1], empty[2 * SYNC_HASH_BYTES + 1];
	char field[32];

	(void)state;
	sync_digest(x, empty);
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(field, sizeof(field), "host%d.test", i);
		set_live(x, field, "v");
	}
	assert_int_equal(sync_live_all(x), 5000);
	sync_read_begin(x);
	for (int i = 0; i < 5000; i += 2) {
		(void)snprintf(field, sizeof(field), "host%d.test", i);
		(void)sync_read_note(x, &list, text(field), text("v"));
	}
	assert_int_equal(sync_read_end(x, &list), 2500);
	sync_changes_fini(&list);
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(field, sizeof(field), "host%d.test", i);
		sync_set_gone(x, text(field));
	}
	sync_digest(x, digest);
	assert_string_equal(digest, empty);
	sync_index_free(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_update_hints),
		cmocka_unit_test(test_keyspace_hints),
		cmocka_unit_test(test_delete_guard),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_full_read),
		cmocka_unit_test(test_hint_during_full_read),
		cmocka_unit_test(test_read_that_broke_off),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_hash_boundary),
		cmocka_unit_test(test_many),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
