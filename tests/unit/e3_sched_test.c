/* e3/sched.c: who goes first, how cancel ends, what a slow reader holds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "e3/sched.h"
#include "e3_fixture.h"
#include "lib/base/clock.h"
#include "lib/base/object.h"

/* A job of `units` cost that emits a piece for each `per_piece` units. */
struct work {
	struct e3_job	job;		/* first */
	size_t		units, per_piece, since;
	size_t		slices, pieces;
	bool		cancelled, done;
	unsigned	order;		/* when it was done */
};

struct scene {
	struct loop	*loop;
	struct e3_sched	*sched;
	unsigned	n_done;
	bool		take;		/* the link takes what it is given */
	atomic_uint	gate;		/* jobs spin until it is open */
};
static struct scene scene;

static void
emit(struct work *w)
{
	struct e3_piece *p = xcalloc(1, sizeof(*p));

	buffer_init(&p->frame, 0, true);
	buffer_puts(&p->frame, "piece");
	STAILQ_INSERT_TAIL(&w->job.made, p, next);
	w->pieces++;
	w->since = 0;
}

static bool
run(struct e3_job *job, struct e3_crypto *crypto, size_t *cost)
{
	struct work *w = (struct work *)job;

	assert_non_null(crypto);
	while (atomic_load(&scene.gate) == 0)
		continue;
	w->slices++;
	if (atomic_load(&job->cancelled)) {
		w->cancelled = true;
		emit(w);
		return (true);
	}
	while (w->units != 0 && *cost < E3_SLICE_COST) {
		w->units--;
		w->since++;
		*cost += 1;
		if (w->since == w->per_piece)
			emit(w);
	}
	if (w->units == 0)
		emit(w);
	return (w->units == 0);
}

static void
on_pieces(void *arg, struct e3_job *job, struct e3_pieces *pieces, bool done)
{
	struct work *w = (struct work *)job;
	struct e3_piece *p;
	unsigned n = 0;

	(void)arg;
	STAILQ_FOREACH(p, pieces, next)
		n++;
	if (done) {
		assert_false(w->done);
		w->done = true;
		w->order = ++scene.n_done;
	} else if (scene.take) {
		e3_sched_taken(scene.sched, job, n);
	}
}

static void
open_scene(unsigned threads, unsigned max_jobs)
{
	memset(&scene, 0, sizeof(scene));
	if (!CRYPTO_secure_malloc_initialized())
		assert_int_not_equal(CRYPTO_secure_malloc_init(1 << 18, 32),
		    0);
	scene.loop = loop_new();
	scene.sched = e3_sched_new(scene.loop, threads, max_jobs, on_pieces,
	    NULL);
	assert_non_null(scene.sched);
	scene.take = true;
}

static void
close_scene(void)
{
	assert_int_equal(e3_sched_depth(scene.sched), 0);
	e3_sched_free(&scene.sched);
	loop_free(&scene.loop);
}

static void
submit(struct e3_source *src, struct work *w, size_t units)
{
	memset(w, 0, sizeof(*w));
	w->units = units;
	e3_job_init(&w->job, run, units);
	assert_int_equal(e3_sched_submit(scene.sched, src, &w->job), RC_OK);
}

static void
finish(unsigned n)
{
	uint64_t end_ms = clock_mono_ms() + 10000;

	while (scene.n_done < n) {
		loop_turn(scene.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
}

/* The small call of the same link, and of another, returns before the big. */
static void
test_small_first(void **state)
{
	(void)state;
	for (int other = 0; other < 2; other++) {
		struct e3_source *a, *b;
		struct work big, bigger, small;

		open_scene(1, 10);
		a = e3_source_open(scene.sched);
		b = e3_source_open(scene.sched);
		submit(a, &big, 60000);
		submit(a, &bigger, 65000);
		submit(other ? b : a, &small, 30);
		atomic_store(&scene.gate, 1);
		finish(3);
		assert_int_equal(small.order, 1);
		assert_int_equal(small.slices, 1);
		assert_true(big.slices > 60000 / E3_SLICE_COST);
		e3_source_close(scene.sched, &a);
		e3_source_close(scene.sched, &b);
		close_scene();
	}
}

/* By cost, not by calls: two hundred 500-unit calls of one link do not hold
 * up another's two; and a big call is not starved by small ones beside it. */
static void
test_turns(void **state)
{
	static struct work many[200], two[2];
	struct e3_source *a, *b;
	unsigned last = 0;

	(void)state;
	open_scene(1, 1000);
	a = e3_source_open(scene.sched);
	b = e3_source_open(scene.sched);
	for (int i = 0; i < 200; i++)
		submit(a, &many[i], 500);
	submit(b, &two[0], 500);
	submit(b, &two[1], 4000);
	atomic_store(&scene.gate, 1);
	finish(202);
	assert_true(two[0].order <= 4);
	assert_true(two[1].order <= 40);
	for (int i = 0; i < 200; i++) {
		assert_true(many[i].order > last);	/* in order */
		last = many[i].order;
	}
	e3_source_close(scene.sched, &a);
	e3_source_close(scene.sched, &b);
	close_scene();
}

static void
test_large_not_starved(void **state)
{
	static struct work many[200];
	struct e3_source *a;
	struct work big;

	(void)state;
	open_scene(1, 1000);
	a = e3_source_open(scene.sched);
	submit(a, &big, 4 * E3_SLICE_COST);
	for (int i = 0; i < 200; i++)
		submit(a, &many[i], 400);
	atomic_store(&scene.gate, 1);
	finish(201);
	assert_true(big.order < 60);
	e3_source_close(scene.sched, &a);
	close_scene();
}

static void
test_cancel(void **state)
{
	struct e3_source *a;
	struct work big, queued;

	(void)state;
	open_scene(1, 10);
	a = e3_source_open(scene.sched);
	submit(a, &big, 100000000);
	submit(a, &queued, 100000000);
	e3_sched_cancel(scene.sched, &queued.job);
	e3_sched_cancel(scene.sched, &big.job);
	atomic_store(&scene.gate, 1);
	finish(2);
	assert_true(big.cancelled && big.slices <= 2);
	assert_true(queued.cancelled && queued.slices == 1);
	e3_source_close(scene.sched, &a);
	close_scene();
}

/* Nobody takes the pieces: the job stops, and goes on when they leave; and it
 * can be cancelled where it stands. */
static void
test_slow_reader(void **state)
{
	struct e3_source *a;
	struct work w, other;

	(void)state;
	open_scene(1, 10);
	a = e3_source_open(scene.sched);
	scene.take = false;
	atomic_store(&scene.gate, 1);
	for (int round = 0; round < 2; round++) {
		scene.n_done = 0;
		memset(&w, 0, sizeof(w));
		w.units = 100 * E3_SLICE_COST;
		w.per_piece = E3_SLICE_COST;
		e3_job_init(&w.job, run, w.units);
		assert_int_equal(e3_sched_submit(scene.sched, a, &w.job),
		    RC_OK);
		/* A later call passes it: it waits for nobody. */
		submit(a, &other, 2 * E3_SLICE_COST);
		finish(1);
		assert_true(other.done);
		loop_turn(scene.loop, false);
		assert_int_equal(w.pieces, E3_UNTAKEN_MAX);
		assert_false(w.done);
		if (round == 0) {
			scene.take = true;
			e3_sched_taken(scene.sched, &w.job, E3_UNTAKEN_MAX);
			finish(2);
			assert_int_equal(w.pieces, 101);
			scene.take = false;
		} else {
			e3_sched_cancel(scene.sched, &w.job);
			finish(2);
			assert_true(w.cancelled);
		}
	}
	e3_source_close(scene.sched, &a);
	close_scene();
}

static void
test_bounded(void **state)
{
	struct e3_source *a;
	struct work w[3];

	(void)state;
	open_scene(2, 2);
	a = e3_source_open(scene.sched);
	submit(a, &w[0], 10);
	submit(a, &w[1], 10);
	memset(&w[2], 0, sizeof(w[2]));
	e3_job_init(&w[2].job, run, 10);
	assert_int_equal(e3_sched_submit(scene.sched, a, &w[2].job), RC_LIMIT);
	assert_int_equal(e3_sched_depth(scene.sched), 2);
	atomic_store(&scene.gate, 1);
	finish(2);
	submit(a, &w[2], 10);
	finish(3);
	/* A source may be closed while its job runs. */
	atomic_store(&scene.gate, 0);
	submit(a, &w[0], 10);
	e3_source_close(scene.sched, &a);
	atomic_store(&scene.gate, 1);
	finish(4);
	close_scene();
}

/* The real thing: a 30-field Encrypt beside one of 60,000 fields. */
static void
test_fields(void **state)
{
	static const size_t counts[] = { 60000, 30 };
	struct e3_call *calls[2];
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (int i = 0; i < 2; i++) {
		const struct rpc_encrypt e = { .app = SPAN_LIT(FIXTURE_APP),
		    .n_fields = counts[i] };
		const struct rpc_field field = { .bytes = SPAN_LIT("v") };
		struct buffer b;

		buffer_init(&b, 0, true);
		rpc_encrypt_put(&b, &e);
		for (size_t k = 0; k < counts[i]; k++)
			assert_int_equal(rpc_encrypt_put_field(&b, &field),
			    RC_OK);
		calls[i] = fixture_begin(&f, "Encrypt", &b);
	}
	while (!calls[1]->done)
		loop_turn(f.loop, true);
	assert_false(calls[0]->done);
	while (!calls[0]->done)
		loop_turn(f.loop, true);
	assert_int_equal(calls[0]->n_sealed, 60000);
	e3_call_free(&calls[0]);
	e3_call_free(&calls[1]);
	fixture_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_first),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_large_not_starved),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_fields),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
