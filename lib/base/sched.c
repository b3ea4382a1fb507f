/*
 * base/sched.c - one lock, two levels of turns, N threads.
 *
 *   sched -> callers that have something to run, in the order of their turns
 *              caller -> flows that have
 *                          flow -> small jobs, large jobs
 *         -> outlets -> jobs that wait for room there
 *         -> out: jobs with news for the loop (eventfd)
 *
 * The lock is held for list surgery only, never while a job runs.
 */
#include "lib/base/sched.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/thread.h"

#define SMALL_RUN_MAX	7	/* small ones before a large one has its turn */
#define FLOW_BUCKETS	1024	/* flows that have jobs are found by hash */

TAILQ_HEAD(job_list, sched_job);

/*
 * Who takes turns: a caller among callers, a flow among its caller's.  Each has
 * a clock that runs by what it costs, the faster the less weight it has, and
 * the one whose clock is behind is next (start-time fair queueing).  Who comes
 * back starts at the time it is there: nothing is saved up, nothing is owed
 * but what was had, and it waits for no more than the slices that run.
 */
struct turn {
	TAILQ_ENTRY(turn)	entry;
	bool			waits;		/* in its line */
	uint64_t		at;		/* its clock */
	unsigned		weight;
};
#define TURN_TICKS	64	/* of a unit by weight 1: parts of it count, too */

struct line {
	TAILQ_HEAD(turns, turn)	turns;		/* the earliest first */
	uint64_t		now;		/* clock of who was served last */
};

struct caller {
	struct turn		turn;		/* first */
	LIST_ENTRY(caller)	entry;		/* sched->callers */
	struct line		flows;		/* that have something to run */
	unsigned		n_outlets;
	char			key[];
};

struct sched_flow {
	struct turn		turn;		/* first */
	LIST_ENTRY(sched_flow)	entry;		/* of its bucket */
	struct caller		*caller;	/* borrowed: its jobs' outlets' */
	struct job_list		small, large;
	unsigned		small_run;
	unsigned		n_jobs;		/* accepted and not done */
	char			key[];
};

struct sched_outlet {
	struct caller		*caller;	/* counted by us */
	struct job_list		waiting;	/* for room */
	size_t			held;		/* bytes made and not taken */
	unsigned		n_jobs;		/* accepted and not done */
	bool			closed;
};

struct thread {
	pthread_t		id;
	struct sched		*sched;		/* borrowed: joins us */
	void			*ctx;		/* owned */
	bool			started;
};

struct sched {
	unsigned		magic;
#define SCHED_MAGIC		0x5c4ed0e3
	struct sched_config	config;
	pthread_mutex_t		lock;
	pthread_cond_t		work;
	struct line		line;
	LIST_HEAD(, caller)	callers;
	LIST_HEAD(, sched_flow)	flows[FLOW_BUCKETS];
	struct job_list		out;
	struct sched_counts	counts;
	bool			stop;
	int			event_fd;	/* owned */
	struct event		*event;		/* owned */
	struct thread		*threads;	/* owned */
};

void
sched_job_init(struct sched_job *j, sched_run_fn *run, size_t cost)
{
	j->run = run;
	j->cost = cost;
	j->state = SCHED_JOB_NEW;
	atomic_init(&j->cancelled, false);
	STAILQ_INIT(&j->made);
	STAILQ_INIT(&j->ready);
}

void
sched_pieces_free(struct sched_pieces *list)
{
	struct sched_piece *p;

	while ((p = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, next);
		buffer_fini(&p->frame);
		free(p);
	}
}

static void
lock(struct sched *s)
{
	ensure(pthread_mutex_lock(&s->lock) == 0);
}

static void
unlock(struct sched *s)
{
	ensure(pthread_mutex_unlock(&s->lock) == 0);
}

/* ---- turns; all from here on under the lock ---- */

/* Behind its equals.  From the end: who was just served belongs there. */
static void
line_place(struct line *line, struct turn *t)
{
	struct turn *before = TAILQ_LAST(&line->turns, turns);

	while (before != NULL && before->at > t->at)
		before = TAILQ_PREV(before, turns, entry);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&line->turns, t, entry);
	else
		TAILQ_INSERT_AFTER(&line->turns, before, t, entry);
}

static void
line_enter(struct line *line, struct turn *t)
{
	if (t->waits)
		return;
	t->waits = true;
	if (t->at < line->now)
		t->at = line->now;
	line_place(line, t);
}

static void
line_leave(struct line *line, struct turn *t)
{
	TAILQ_REMOVE(&line->turns, t, entry);
	t->waits = false;
}

/* Whose turn it is, or NULL. */
static struct turn *
line_first(struct line *line)
{
	struct turn *t = TAILQ_FIRST(&line->turns);

	if (t != NULL && t->at > line->now)
		line->now = t->at;
	return (t);
}

/* It costs, or cost less than it was charged with. */
static void
line_charge(struct line *line, struct turn *t, int64_t units)
{
	t->at += (uint64_t)(units * TURN_TICKS / (int64_t)t->weight);
	if (!t->waits)
		return;
	TAILQ_REMOVE(&line->turns, t, entry);
	line_place(line, t);
}

static void
charge(struct sched *s, struct sched_flow *f, int64_t units)
{
	line_charge(&f->caller->flows, &f->turn, units);
	line_charge(&s->line, &f->caller->turn, units);
}

/* ---- queues ---- */

static void
enqueue(struct sched *s, struct sched_job *j)
{
	struct sched_flow *f = j->flow;

	j->state = SCHED_JOB_QUEUED;
	TAILQ_INSERT_TAIL(j->large ? &f->large : &f->small, j, entry);
	line_enter(&f->caller->flows, &f->turn);
	line_enter(&s->line, &f->caller->turn);
	ensure(pthread_cond_signal(&s->work) == 0);
}

static bool
has_room(const struct sched *s, const struct sched_job *j)
{
	return (s->config.outlet_bytes == 0 ||
	    j->outlet->held < s->config.outlet_bytes ||
	    atomic_load(&j->cancelled));
}

static void
wait_for_room(struct sched_job *j)
{
	j->state = SCHED_JOB_WAITING;
	TAILQ_INSERT_TAIL(&j->outlet->waiting, j, entry);
}

/* There is more to do: now, or when its pieces have left. */
static void
proceed(struct sched *s, struct sched_job *j)
{
	if (j->untaken >= SCHED_UNTAKEN_MAX && !atomic_load(&j->cancelled))
		j->state = SCHED_JOB_PARKED;
	else if (!has_room(s, j))
		wait_for_room(j);
	else
		enqueue(s, j);
}

static struct sched_job *
flow_next(struct sched_flow *f)
{
	struct sched_job *small = TAILQ_FIRST(&f->small);
	struct sched_job *large = TAILQ_FIRST(&f->large);

	if (small != NULL && (large == NULL || f->small_run < SMALL_RUN_MAX)) {
		f->small_run++;
		TAILQ_REMOVE(&f->small, small, entry);
		return (small);
	}
	ensure(large != NULL);
	f->small_run = 0;
	TAILQ_REMOVE(&f->large, large, entry);
	return (large);
}

/* A job left the flow's queues. */
static void
flow_check_empty(struct sched *s, struct sched_flow *f)
{
	if (!TAILQ_EMPTY(&f->small) || !TAILQ_EMPTY(&f->large))
		return;
	line_leave(&f->caller->flows, &f->turn);
	if (TAILQ_EMPTY(&f->caller->flows.turns))
		line_leave(&s->line, &f->caller->turn);
}

/* The next job, or NULL when there is nothing to run.  It is charged with a
 * whole slice at once, so that other threads go on with somebody else. */
static struct sched_job *
pick(struct sched *s)
{
	struct turn *t;

	while ((t = line_first(&s->line)) != NULL) {
		struct caller *c = (struct caller *)t;
		struct sched_flow *f =
		    (struct sched_flow *)line_first(&c->flows);
		struct sched_job *j = flow_next(f);

		flow_check_empty(s, f);
		if (has_room(s, j)) {
			charge(s, f, (int64_t)s->config.slice_cost);
			j->state = SCHED_JOB_RUNNING;
			return (j);
		}
		wait_for_room(j);	/* it filled up since */
	}
	return (NULL);
}

static struct sched_flow *
flow_find(struct sched *s, struct caller *c, const char *key)
{
	uint32_t hash = 2166136261u;	/* FNV-1a */
	struct sched_flow *f;

	for (const char *p = key; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	LIST_FOREACH(f, &s->flows[hash % FLOW_BUCKETS], entry)
		if (f->caller == c && strcmp(f->key, key) == 0)
			return (f);
	f = xcalloc(1, sizeof(*f) + strlen(key) + 1);
	memcpy(f->key, key, strlen(key));
	f->caller = c;
	f->turn.weight = 1;
	TAILQ_INIT(&f->small);
	TAILQ_INIT(&f->large);
	LIST_INSERT_HEAD(&s->flows[hash % FLOW_BUCKETS], f, entry);
	return (f);
}

static void
outlet_release(struct sched_outlet *o)
{
	if (!o->closed || o->n_jobs != 0)
		return;
	if (--o->caller->n_outlets == 0) {
		LIST_REMOVE(o->caller, entry);
		free(o->caller);
	}
	free(o);
}

/* Tell the loop, once for any number of jobs. */
static void
announce(struct sched *s, struct sched_job *j)
{
	uint64_t one = 1;
	bool first = TAILQ_EMPTY(&s->out);

	if (j->on_out)
		return;
	TAILQ_INSERT_TAIL(&s->out, j, out_entry);
	j->on_out = true;
	if (first)
		ensure(write(s->event_fd, &one, sizeof(one)) == sizeof(one));
}

static void
job_end(struct sched *s, struct sched_job *j)
{
	j->state = SCHED_JOB_DONE;
	s->counts.depth--;
	s->counts.queued_cost -= j->cost;
	if (--j->flow->n_jobs == 0) {
		LIST_REMOVE(j->flow, entry);
		free(j->flow);
	}
	j->outlet->n_jobs--;
	outlet_release(j->outlet);
	j->flow = NULL;
	j->outlet = NULL;
}

/* After a slice. */
static void
settle(struct sched *s, struct sched_job *j, bool done, size_t cost)
{
	int64_t units = cost != 0 ? (int64_t)cost : 1;	/* none is for nothing */
	struct sched_piece *p;
	bool news = !STAILQ_EMPTY(&j->made);

	s->counts.slices++;
	charge(s, j->flow, units - (int64_t)s->config.slice_cost);
	STAILQ_FOREACH(p, &j->made, next) {
		j->untaken++;
		p->held = buffer_len(&p->frame);
		j->outlet->held += p->held;
	}
	STAILQ_CONCAT(&j->ready, &j->made);
	if (done) {
		job_end(s, j);
	} else {
		/* It did not fit one slice; but ending it is small work. */
		j->large = !atomic_load(&j->cancelled);
		proceed(s, j);
	}
	if (news || done)
		announce(s, j);
}

/* ---- the threads ---- */

static void
run_slice(struct thread *t, struct sched_job *j)
{
	struct sched *s = t->sched;
	size_t cost = 0;
	bool done;

	unlock(s);
	done = j->run(j, t->ctx, &cost);
	if (s->config.after_slice != NULL)
		s->config.after_slice(t->ctx);
	lock(s);
	settle(s, j, done, cost);
}

static void *
thread_main(void *arg)
{
	struct thread *t = arg;
	struct sched *s = t->sched;
	struct sched_job *j;
	bool ask = s->config.idle != NULL;

	if (s->config.nice != 0)
		thread_nice(s->config.nice);
	lock(s);
	while (!s->stop) {
		if ((j = pick(s)) != NULL) {
			run_slice(t, j);
			ask = s->config.idle != NULL;
		} else if (ask) {
			unlock(s);
			ask = s->config.idle(s->config.idle_arg, t->ctx);
			lock(s);	/* work may have come: look again */
		} else {
			ensure(pthread_cond_wait(&s->work, &s->lock) == 0);
		}
	}
	unlock(s);
	if (s->config.ctx_free != NULL)
		s->config.ctx_free(t->ctx);
	random_thread_end();
	return (NULL);
}

static bool
threads_start(struct sched *s)
{
	bool ok = true;

	for (unsigned i = 0; ok && i < s->config.threads; i++) {
		struct thread *t = &s->threads[i];

		t->sched = s;
		if (s->config.ctx_new != NULL &&
		    (t->ctx = s->config.ctx_new()) == NULL)
			return (false);
		ok = t->started = thread_start(&t->id, thread_main, t);
		if (!ok && s->config.ctx_free != NULL)
			s->config.ctx_free(t->ctx);
	}
	return (ok);
}

/* ---- the loop's side ---- */

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct sched *s = arg;
	uint64_t n;

	(void)what;
	if (read((int)fd, &n, sizeof(n)) != sizeof(n))
		return;			/* EAGAIN: a wake-up too many */
	for (;;) {
		struct sched_pieces ready = STAILQ_HEAD_INITIALIZER(ready);
		struct sched_job *j;
		bool done;

		lock(s);
		if ((j = TAILQ_FIRST(&s->out)) == NULL) {
			unlock(s);
			return;
		}
		TAILQ_REMOVE(&s->out, j, out_entry);
		j->on_out = false;
		STAILQ_CONCAT(&ready, &j->ready);
		done = j->state == SCHED_JOB_DONE;
		unlock(s);
		s->config.on_pieces(s->config.arg, j, &ready, done);
		sched_pieces_free(&ready);
	}
}

struct sched *
sched_new(struct loop *loop, const struct sched_config *config)
{
	struct sched *s = xcalloc(1, sizeof(*s));

	s->magic = SCHED_MAGIC;
	s->config = *config;
	ensure(config->threads != 0 && config->slice_cost != 0);
	ensure(pthread_mutex_init(&s->lock, NULL) == 0);
	ensure(pthread_cond_init(&s->work, NULL) == 0);
	TAILQ_INIT(&s->line.turns);
	TAILQ_INIT(&s->out);
	s->threads = xcalloc(config->threads, sizeof(*s->threads));
	s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->event_fd >= 0) {
		s->event = event_new(loop_base(loop), s->event_fd,
		    EV_READ | EV_PERSIST, on_event, s);
		ensure(s->event != NULL && event_add(s->event, NULL) == 0);
	}
	if (s->event_fd < 0 || !threads_start(s))
		sched_free(&s);
	return (s);
}

void
sched_free(struct sched **sp)
{
	struct sched *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	obj_check(s, SCHED_MAGIC);
	lock(s);
	s->stop = true;
	ensure(pthread_cond_broadcast(&s->work) == 0);
	unlock(s);
	for (unsigned i = 0; i < s->config.threads; i++)
		if (s->threads[i].started)
			ensure(pthread_join(s->threads[i].id, NULL) == 0);
	if (s->event != NULL)
		event_free(s->event);
	if (s->event_fd >= 0)
		(void)close(s->event_fd);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_cond_destroy(&s->work);
	free(s->threads);
	s->magic = 0;
	free(s);
}

struct sched_outlet *
sched_outlet_open(struct sched *s, const char *key, unsigned weight)
{
	struct sched_outlet *o = xcalloc(1, sizeof(*o));
	struct caller *c;

	obj_check(s, SCHED_MAGIC);
	ensure(weight != 0);
	TAILQ_INIT(&o->waiting);
	lock(s);
	LIST_FOREACH(c, &s->callers, entry)
		if (strcmp(c->key, key) == 0)
			break;
	if (c == NULL) {
		c = xcalloc(1, sizeof(*c) + strlen(key) + 1);
		memcpy(c->key, key, strlen(key));
		TAILQ_INIT(&c->flows.turns);
		LIST_INSERT_HEAD(&s->callers, c, entry);
	}
	c->turn.weight = weight;
	c->n_outlets++;
	o->caller = c;
	unlock(s);
	return (o);
}

void
sched_outlet_close(struct sched *s, struct sched_outlet **op)
{
	struct sched_outlet *o = *op;

	*op = NULL;
	if (o == NULL)
		return;
	obj_check(s, SCHED_MAGIC);
	lock(s);
	o->closed = true;
	outlet_release(o);	/* else its last job does */
	unlock(s);
}

void
sched_outlet_taken(struct sched *s, struct sched_outlet *o, size_t held)
{
	struct sched_job *j;

	obj_check(s, SCHED_MAGIC);
	lock(s);
	ensure(o->held >= held);
	o->held -= held;
	/* All at once and not before half of it is free: jobs that move to
	 * and fro for each piece would cost more than they do. */
	while (o->held <= s->config.outlet_bytes / 2 &&
	    (j = TAILQ_FIRST(&o->waiting)) != NULL) {
		TAILQ_REMOVE(&o->waiting, j, entry);
		enqueue(s, j);
	}
	unlock(s);
}

enum rc
sched_submit(struct sched *s, struct sched_outlet *o, const char *flow,
    struct sched_job *j)
{
	enum rc rc = RC_OK;

	obj_check(s, SCHED_MAGIC);
	ensure(j->state == SCHED_JOB_NEW);
	lock(s);
	if (s->counts.depth >= s->config.max_jobs) {
		s->counts.refused++;
		rc = RC_LIMIT;
	} else {
		s->counts.depth++;
		s->counts.queued_cost += j->cost;
		j->large = j->cost > s->config.slice_cost;
		j->outlet = o;
		j->flow = flow_find(s, o->caller, flow);
		o->n_jobs++;
		j->flow->n_jobs++;
		proceed(s, j);
	}
	unlock(s);
	return (rc);
}

/* Ending it is small work, wherever it stands. */
void
sched_cancel(struct sched *s, struct sched_job *j)
{
	obj_check(s, SCHED_MAGIC);
	lock(s);
	if (j->state == SCHED_JOB_DONE ||
	    atomic_exchange(&j->cancelled, true)) {
		unlock(s);
		return;
	}
	s->counts.cancelled++;
	if (j->state == SCHED_JOB_QUEUED && j->large)
		TAILQ_REMOVE(&j->flow->large, j, entry);
	else if (j->state == SCHED_JOB_WAITING)
		TAILQ_REMOVE(&j->outlet->waiting, j, entry);
	if ((j->state == SCHED_JOB_QUEUED && j->large) ||
	    j->state == SCHED_JOB_WAITING || j->state == SCHED_JOB_PARKED) {
		j->large = false;
		enqueue(s, j);
	}
	unlock(s);
}

void
sched_taken(struct sched *s, struct sched_job *j, unsigned n)
{
	obj_check(s, SCHED_MAGIC);
	lock(s);
	ensure(j->untaken >= n);
	j->untaken -= n;
	if (j->state == SCHED_JOB_PARKED)
		proceed(s, j);
	unlock(s);
}

unsigned
sched_depth(struct sched *s)
{
	struct sched_counts counts;

	sched_count(s, &counts);
	return (counts.depth);
}

void
sched_count(struct sched *s, struct sched_counts *out)
{
	obj_check(s, SCHED_MAGIC);
	lock(s);
	*out = s->counts;
	unlock(s);
}
