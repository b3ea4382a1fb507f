/*
 * base/sched.c: whose turn it is, how cancel ends, what a slow reader holds,
 * what threads do meanwhile.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/base/sched.h"

#define SLICE	512
#define PIECE	"piece"
#define OUTLET_PIECES	6	/* room at an outlet, where a test bounds it */

/* A job of `units` cost that emits a piece for each `per_piece` units. */
struct work {
	struct sched_job	job;		/* first */
	size_t		units, per_piece, since;
	size_t		slices, pieces;
	bool		cancelled, done;
	unsigned	order;		/* when it was done */
};

struct scene {
	struct loop	*loop;
	struct sched	*sched;
	unsigned	n_done;
	bool		take;		/* the link takes what it is given */
	atomic_uint	gate;		/* jobs spin until it is open */
	atomic_uint	idle_left;	/* how often idle() has something */
	atomic_uint	idled, idled_busy;	/* calls; beside a waiting job */
	struct work	*log[64];	/* who had the first slices */
	unsigned	n_log;
};
static struct scene scene;
static atomic_uint contexts, resets;

static void *
ctx_new(void)
{
	atomic_fetch_add(&contexts, 1);
	return (&contexts);
}

static void
ctx_free(void *ctx)
{
	assert_ptr_equal(ctx, &contexts);
	atomic_fetch_sub(&contexts, 1);
}

static void
after_slice(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&resets, 1);
}

static void
emit(struct work *w)
{
	struct sched_piece *p = xcalloc(1, sizeof(*p));

	buffer_init(&p->frame, 0, true);
	buffer_puts(&p->frame, PIECE);
	STAILQ_INSERT_TAIL(&w->job.made, p, next);
	w->pieces++;
	w->since = 0;
}

static bool
run(struct sched_job *job, void *ctx, size_t *cost)
{
	struct work *w = (struct work *)job;

	assert_ptr_equal(ctx, &contexts);
	while (atomic_load(&scene.gate) == 0)
		continue;
	if (w->slices++ < 64 && scene.n_log < 64)
		scene.log[scene.n_log++] = w;	/* read with one thread */
	if (atomic_load(&job->cancelled)) {
		w->cancelled = true;
		emit(w);
		return (true);
	}
	while (w->units != 0 && *cost < SLICE) {
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
on_pieces(void *arg, struct sched_job *job, struct sched_pieces *pieces, bool done)
{
	struct work *w = (struct work *)job;
	struct sched_piece *p;
	unsigned n = 0;

	(void)arg;
	STAILQ_FOREACH(p, pieces, next)
		n++;
	if (done) {
		assert_false(w->done);
		w->done = true;
		w->order = ++scene.n_done;
	} else if (scene.take) {
		sched_taken(scene.sched, job, n);
	}
}

static void
open_config(struct sched_config *config)
{
	memset(&scene, 0, sizeof(scene));
	scene.loop = loop_new();
	config->slice_cost = SLICE;
	config->on_pieces = on_pieces;
	config->ctx_new = ctx_new;
	config->ctx_free = ctx_free;
	config->after_slice = after_slice;
	scene.sched = sched_new(scene.loop, config);
	assert_non_null(scene.sched);
	scene.take = true;
}

static void
open_scene(unsigned threads, unsigned max_jobs)
{
	struct sched_config config = { .threads = threads,
	    .max_jobs = max_jobs };

	open_config(&config);
	assert_int_equal(atomic_load(&contexts), threads);
}

static void
close_scene(void)
{
	struct sched_counts counts;

	sched_count(scene.sched, &counts);
	assert_int_equal(counts.depth, 0);
	assert_int_equal(counts.queued_cost, 0);
	assert_int_equal(counts.slices, atomic_exchange(&resets, 0));
	sched_free(&scene.sched);
	assert_int_equal(atomic_load(&contexts), 0);
	loop_free(&scene.loop);
}

static void
submit_flow(struct sched_outlet *o, const char *flow, struct work *w,
    size_t units)
{
	memset(w, 0, sizeof(*w));
	w->units = units;
	sched_job_init(&w->job, run, units);
	assert_int_equal(sched_submit(scene.sched, o, flow, &w->job), RC_OK);
}

static void
submit(struct sched_outlet *o, struct work *w, size_t units)
{
	submit_flow(o, "", w, units);
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
		struct sched_outlet *a, *b;
		struct work big, bigger, small;

		open_scene(1, 10);
		a = sched_outlet_open(scene.sched, "a", 1);
		b = sched_outlet_open(scene.sched, "b", 1);
		submit(a, &big, 60000);
		submit(a, &bigger, 65000);
		submit(other ? b : a, &small, 30);
		atomic_store(&scene.gate, 1);
		finish(3);
		assert_int_equal(small.order, 1);
		assert_int_equal(small.slices, 1);
		assert_true(big.slices > 60000 / SLICE);
		sched_outlet_close(scene.sched, &a);
		sched_outlet_close(scene.sched, &b);
		close_scene();
	}
}

/* By cost, not by calls: two hundred 500-unit calls of one link do not hold
 * up another's two; and a big call is not starved by small ones beside it. */
static void
test_turns(void **state)
{
	static struct work many[200], two[2];
	struct sched_outlet *a, *b;
	unsigned last = 0;

	(void)state;
	open_scene(1, 1000);
	a = sched_outlet_open(scene.sched, "a", 1);
	b = sched_outlet_open(scene.sched, "b", 1);
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
	sched_outlet_close(scene.sched, &a);
	sched_outlet_close(scene.sched, &b);
	close_scene();
}

static void
test_large_not_starved(void **state)
{
	static struct work many[200];
	struct sched_outlet *a;
	struct work big;

	(void)state;
	open_scene(1, 1000);
	a = sched_outlet_open(scene.sched, "a", 1);
	submit(a, &big, 4 * SLICE);
	for (int i = 0; i < 200; i++)
		submit(a, &many[i], 400);
	atomic_store(&scene.gate, 1);
	finish(201);
	assert_true(big.order < 60);
	sched_outlet_close(scene.sched, &a);
	close_scene();
}

static void
test_cancel(void **state)
{
	struct sched_counts counts;
	struct sched_outlet *a;
	struct work big, queued;

	(void)state;
	open_scene(1, 10);
	a = sched_outlet_open(scene.sched, "a", 1);
	submit(a, &big, 100000000);
	submit(a, &queued, 100000000);
	sched_cancel(scene.sched, &queued.job);
	sched_cancel(scene.sched, &big.job);
	sched_cancel(scene.sched, &big.job);
	sched_count(scene.sched, &counts);
	assert_int_equal(counts.cancelled, 2);
	atomic_store(&scene.gate, 1);
	finish(2);
	assert_true(big.cancelled && big.slices <= 2);
	assert_true(queued.cancelled && queued.slices == 1);
	sched_outlet_close(scene.sched, &a);
	close_scene();
}

/* Nobody takes the pieces: the job stops, and goes on when they leave; and it
 * can be cancelled where it stands. */
static void
test_slow_reader(void **state)
{
	struct sched_outlet *a;
	struct work w, other;

	(void)state;
	open_scene(1, 10);
	a = sched_outlet_open(scene.sched, "a", 1);
	scene.take = false;
	atomic_store(&scene.gate, 1);
	for (int round = 0; round < 2; round++) {
		scene.n_done = 0;
		memset(&w, 0, sizeof(w));
		w.units = 100 * SLICE;
		w.per_piece = SLICE;
		sched_job_init(&w.job, run, w.units);
		assert_int_equal(sched_submit(scene.sched, a, "", &w.job),
		    RC_OK);
		/* A later call passes it: it waits for nobody. */
		submit(a, &other, 2 * SLICE);
		finish(1);
		assert_true(other.done);
		loop_turn(scene.loop, false);
		assert_int_equal(w.pieces, SCHED_UNTAKEN_MAX);
		assert_false(w.done);
		if (round == 0) {
			scene.take = true;
			sched_taken(scene.sched, &w.job, SCHED_UNTAKEN_MAX);
			finish(2);
			assert_int_equal(w.pieces, 101);
			scene.take = false;
		} else {
			sched_cancel(scene.sched, &w.job);
			finish(2);
			assert_true(w.cancelled);
		}
	}
	sched_outlet_close(scene.sched, &a);
	close_scene();
}

static void
test_bounded(void **state)
{
	struct sched_counts counts;
	struct sched_outlet *a;
	struct work w[3];

	(void)state;
	open_scene(2, 2);
	a = sched_outlet_open(scene.sched, "a", 1);
	submit(a, &w[0], 10);
	submit(a, &w[1], 10);
	memset(&w[2], 0, sizeof(w[2]));
	sched_job_init(&w[2].job, run, 10);
	assert_int_equal(sched_submit(scene.sched, a, "", &w[2].job), RC_LIMIT);
	assert_int_equal(sched_depth(scene.sched), 2);
	sched_count(scene.sched, &counts);
	assert_int_equal(counts.refused, 1);
	assert_int_equal(counts.queued_cost, 20);
	atomic_store(&scene.gate, 1);
	finish(2);
	submit(a, &w[2], 10);
	finish(3);
	/* An outlet may be closed while its job runs. */
	atomic_store(&scene.gate, 0);
	submit(a, &w[0], 10);
	sched_outlet_close(scene.sched, &a);
	atomic_store(&scene.gate, 1);
	finish(4);
	close_scene();
}

/* Slices that this work had among the first n. */
static unsigned
had(const struct work *w, size_t n_works, unsigned n)
{
	unsigned slices = 0;

	assert_true(scene.n_log >= n);
	for (unsigned i = 0; i < n; i++)
		if (scene.log[i] >= w && scene.log[i] < w + n_works)
			slices++;
	return (slices);
}

/* Two flows of one caller have the same, however many jobs each asks for. */
static void
test_flows(void **state)
{
	static struct work many[10], one;
	struct sched_outlet *a;
	unsigned n;

	(void)state;
	open_scene(1, 100);
	a = sched_outlet_open(scene.sched, "a", 1);
	for (int i = 0; i < 10; i++)
		submit_flow(a, "app_1", &many[i], 20 * SLICE);
	submit_flow(a, "app_2", &one, 40 * SLICE);
	atomic_store(&scene.gate, 1);
	finish(11);
	n = had(&one, 1, 40);
	assert_in_range(n, 18, 22);
	assert_int_equal(had(many, 10, 40), 40 - n);
	sched_outlet_close(scene.sched, &a);
	close_scene();
}

/* By weight; also when each has one job only, which is not in the queue
 * while it runs. */
static void
test_weights(void **state)
{
	(void)state;
	for (int several = 0; several < 2; several++) {
		static struct work heavy[4], light[4];
		struct sched_outlet *a, *b;
		int n = several ? 4 : 1;

		open_scene(1, 100);
		a = sched_outlet_open(scene.sched, "worker/a", 8);
		b = sched_outlet_open(scene.sched, "feed/b", 1);
		for (int i = 0; i < n; i++) {
			submit(b, &light[i], 60 * SLICE);
			submit(a, &heavy[i], 60 * SLICE);
		}
		atomic_store(&scene.gate, 1);
		finish((unsigned)(2 * n));
		/* 6 rounds of 9, and a beginning in any place. */
		assert_in_range(had(heavy, 4, 54), 46, 50);
		sched_outlet_close(scene.sched, &a);
		sched_outlet_close(scene.sched, &b);
		close_scene();
	}
}

/* Weight is a share and no length of turns: who asks for little waits for a
 * slice of each of the others at most, and that each time anew. */
static void
test_newcomer(void **state)
{
	static struct work big[2], small[8];
	struct sched_outlet *o[3];

	(void)state;
	open_scene(1, 100);
	for (int i = 0; i < 3; i++) {
		char key[] = { (char)('a' + i), '\0' };

		o[i] = sched_outlet_open(scene.sched, key, 8);
	}
	submit(o[0], &big[0], 100 * SLICE);
	submit(o[1], &big[1], 100 * SLICE);
	for (int i = 0; i < 8; i++)
		submit(o[2], &small[i], 30);
	atomic_store(&scene.gate, 1);
	finish(10);
	assert_int_equal(had(small, 8, 3), 1);
	assert_int_equal(had(small, 8, 3 + 8), 8);	/* of little cost */
	assert_in_range(had(&big[0], 1, 64), 27, 29);
	for (int i = 0; i < 3; i++)
		sched_outlet_close(scene.sched, &o[i]);
	close_scene();
}

/* Who opens more links under one name gets no more for it. */
static void
test_one_identity(void **state)
{
	static struct work many[5], one;
	struct sched_outlet *links[5], *b;

	(void)state;
	open_scene(1, 100);
	for (int i = 0; i < 5; i++) {
		links[i] = sched_outlet_open(scene.sched, "worker/a", 1);
		submit(links[i], &many[i], 20 * SLICE);
	}
	b = sched_outlet_open(scene.sched, "worker/b", 1);
	submit(b, &one, 40 * SLICE);
	atomic_store(&scene.gate, 1);
	finish(6);
	assert_in_range(had(&one, 1, 40), 18, 22);
	for (int i = 0; i < 5; i++)
		sched_outlet_close(scene.sched, &links[i]);
	sched_outlet_close(scene.sched, &b);
	close_scene();
}

static bool
idle(void *arg, void *ctx)
{
	assert_ptr_equal(arg, &scene);
	assert_ptr_equal(ctx, &contexts);
	atomic_fetch_add(&scene.idled, 1);
	if (atomic_load(&scene.gate) != 0 && sched_depth(scene.sched) != 0)
		atomic_fetch_add(&scene.idled_busy, 1);
	if (atomic_load(&scene.idle_left) == 0)
		return (false);
	atomic_fetch_sub(&scene.idle_left, 1);
	return (true);
}

/* Asked while it has something to do, then once after each run of work; and
 * never beside a job that could run. */
static void
test_idle(void **state)
{
	struct sched_config config = { .threads = 1, .max_jobs = 10,
	    .idle = idle, .idle_arg = &scene, .nice = 5 };
	uint64_t end_ms = clock_mono_ms() + 10000;
	struct sched_outlet *a;
	static struct work w[4];

	(void)state;
	/* The first question comes when all of the scene is there. */
	atomic_store(&scene.idle_left, 0);
	open_config(&config);
	while (atomic_load(&scene.idled) == 0)
		assert_true(clock_mono_ms() < end_ms);
	a = sched_outlet_open(scene.sched, "a", 1);
	atomic_store(&scene.idle_left, 100);
	for (int i = 0; i < 4; i++)
		submit(a, &w[i], 3 * SLICE);
	assert_int_equal(atomic_load(&scene.idled), 1);
	atomic_store(&scene.gate, 1);
	finish(4);
	while (atomic_load(&scene.idled) < 102)
		assert_true(clock_mono_ms() < end_ms);
	for (int i = 0; i < 5; i++)
		loop_turn(scene.loop, true);
	assert_int_equal(atomic_load(&scene.idled), 102);
	assert_int_equal(atomic_load(&scene.idled_busy), 0);
	sched_outlet_close(scene.sched, &a);
	close_scene();
}

/* What a link has not taken is bounded for all of its jobs together, small
 * ones that are done included; other links go on. */
static void
test_outlet_bound(void **state)
{
	struct sched_config config = { .threads = 1, .max_jobs = 300,
	    .outlet_bytes = OUTLET_PIECES * strlen(PIECE) };
	static struct work small[100], large[100], other;
	struct sched_outlet *a, *b;
	size_t made = 0, taken = 0;

	(void)state;
	open_config(&config);
	scene.take = false;
	a = sched_outlet_open(scene.sched, "a", 1);
	b = sched_outlet_open(scene.sched, "b", 1);
	for (int i = 0; i < 100; i++) {
		submit(a, &small[i], 10);
		submit(a, &large[i], 2 * SLICE);
	}
	submit(b, &other, 10);
	atomic_store(&scene.gate, 1);
	while (!other.done || scene.n_done < OUTLET_PIECES + 1)
		loop_turn(scene.loop, true);
	for (int i = 0; i < 5; i++)
		loop_turn(scene.loop, true);
	/* One thread: full, and not a piece more. */
	assert_int_equal(scene.n_done, OUTLET_PIECES + 1);
	/* It goes on as pieces leave, and stops again. */
	while (scene.n_done < 201) {
		uint64_t end_ms = clock_mono_ms() + 10000;
		unsigned before = scene.n_done;

		sched_outlet_taken(scene.sched, a, OUTLET_PIECES *
		    strlen(PIECE));
		taken += OUTLET_PIECES;
		while (scene.n_done < before + OUTLET_PIECES &&
		    scene.n_done < 150) {
			loop_turn(scene.loop, true);
			assert_true(clock_mono_ms() < end_ms);
		}
		assert_in_range(scene.n_done, before, before + OUTLET_PIECES);
		if (scene.n_done >= 150)
			break;
	}
	/* A full link does not keep what is cancelled. */
	for (int i = 0; i < 100; i++) {
		if (!small[i].done)
			sched_cancel(scene.sched, &small[i].job);
		if (!large[i].done)
			sched_cancel(scene.sched, &large[i].job);
	}
	finish(201);
	for (int i = 0; i < 100; i++)
		made += small[i].pieces + large[i].pieces;
	assert_int_equal(made, 200);
	assert_true(taken < made);
	sched_outlet_close(scene.sched, &a);
	sched_outlet_close(scene.sched, &b);
	close_scene();
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
		cmocka_unit_test(test_flows),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_newcomer),
		cmocka_unit_test(test_one_identity),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_outlet_bound),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
