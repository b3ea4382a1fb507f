/* lib/rpc/pieces.c: whatever the entries' sizes, they come out in order, in
 * frames below the limit but for an entry that is longer itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/rpc/pieces.h"

static void
on_free(struct rpc_served *c)
{
	(void)c;
}

static struct rpc_served *
call_new(void)
{
	static struct rpc_peer peer;
	struct rpc_served *c;
	struct buffer frame;

	buffer_init(&frame, 0, true);
	assert_int_equal(rpc_call_frame_write(&frame, 7, RPC_OP_LIST_APPS,
	    (struct span){ NULL, 0 }, (struct span){ NULL, 0 }), RC_OK);
	assert_int_equal(rpc_served_new(sizeof(*c), on_free, &frame, &peer,
	    &c), RC_OK);
	return (c);
}

/* Entry i: its number, then as many bytes as it has. */
static void
put_entry(struct buffer *b, size_t i, size_t bytes)
{
	char *text = calloc(1, bytes + 1);

	rpc_pack_list(b, RPC_U64("i", i), RPC_BIN("bytes", text, bytes));
	free(text);
}

/* The frames that were made: how many entries, how many frames. */
static void
check(struct rpc_served *c, size_t n, size_t frames)
{
	struct sched_piece *p;
	size_t seen = 0, pieces = 0;

	STAILQ_FOREACH(p, &c->job.made, next) {
		size_t used, len = buffer_len(&p->frame), k;
		struct rpc_reply_frame f;
		struct span payload;

		assert_int_equal(rpc_frame_next(buffer_data(&p->frame), len,
		    RPC_FRAME_BYTES_MAX, &payload, &used), RC_OK);
		assert_int_equal(used, len);
		assert_int_equal(rpc_reply_frame_read(&f, payload), RC_OK);
		assert_int_equal(f.more, STAILQ_NEXT(p, next) != NULL);
		k = rpc_array_len(f.body);
		assert_true(len <= RPC_REPLY_PIECE_BYTES || k == 1);
		for (size_t i = 0; i < k; i++) {
			struct span bytes;
			uint64_t number;

			assert_true(rpc_unpack_list(rpc_array_at(f.body, i),
			    RPC_WANT_U64("i", &number),
			    RPC_WANT_BYTES("bytes", &bytes)));
			assert_int_equal(number, seen++);
		}
		pieces++;
		rpc_reply_frame_fini(&f);
	}
	assert_int_equal(seen, n);
	assert_int_equal(pieces, frames);
}

static void
test_entries_come_out_in_order(void **state)
{
	enum { KB = 1024 };
	static const struct {
		size_t n, guess, frames, sizes[4];	/* in turn */
	} cases[] = {
		{ 0, 0, 1, { 0 } },
		{ 1, 1, 1, { 0 } },
		{ 1, 0, 1, { 1024 * KB } },
		{ 3, 3, 3, { 1024 * KB, 1024 * KB, 1024 * KB } },
		{ 3, 1000, 3, { 1, 1024 * KB, 1 } },
		{ 4, 4, 2, { 100 * KB, 100 * KB, 100 * KB, 100 * KB } },
		{ 2, 2, 2, { 256 * KB - 100, 100 } },
		{ 20000, 20000, 1, { 0, 5, 0, 6 } },
		{ 20000, 10, 8, { 100, 80, 110, 90 } },
	};

	(void)state;
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct rpc_served *c = call_new();
		struct rpc_pieces out;

		rpc_pieces_init(&out, c, cases[k].guess);
		for (size_t i = 0; i < cases[k].n; i++) {
			assert_int_equal(rpc_pieces_next(&out), RC_OK);
			put_entry(&out.piece, i, cases[k].sizes[i % 4]);
		}
		assert_int_equal(rpc_pieces_answer(&out), RPC_STATUS_OK);
		check(c, cases[k].n, cases[k].frames);
		rpc_served_free(&c);
	}
}

static void
test_an_entry_over_the_frame_limit_fails_the_reply(void **state)
{
	struct rpc_served *c = call_new();
	struct rpc_pieces out;

	(void)state;
	rpc_pieces_init(&out, c, 3);
	assert_int_equal(rpc_pieces_next(&out), RC_OK);
	put_entry(&out.piece, 0, RPC_FRAME_BYTES_MAX);
	assert_int_equal(rpc_pieces_next(&out), RC_OK);
	put_entry(&out.piece, 1, 1);
	assert_int_equal(rpc_pieces_next(&out), RC_LIMIT);
	assert_int_equal(rpc_pieces_next(&out), RC_LIMIT);
	assert_int_equal(rpc_pieces_answer(&out), RPC_STATUS_LIMIT);
	assert_true(STAILQ_EMPTY(&c->job.made));
	rpc_served_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries_come_out_in_order),
		cmocka_unit_test(
		    test_an_entry_over_the_frame_limit_fails_the_reply),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
