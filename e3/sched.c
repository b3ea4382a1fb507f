/*
 * e3/sched.c - one lock, one ring of callers, N threads.
 *
 *   sched -> ring of sources that have something to run
 *              source -> small jobs, large jobs
 *         -> out: jobs with news for the network thread (eventfd)
 *
 * The lock is held for list surgery only, never while a job runs.
 */
#include "e3/sched.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "lib/base/object.h"
#include "lib/base/random.h"

#define SMALL_RUN_MAX	7	/* small ones before a large one has its turn */

TAILQ_HEAD(job_list, e3_job);

struct e3_source {
	TAILQ_ENTRY(e3_source)	entry;		/* sched->ring */
	struct job_list		small, large;
	bool			on_ring, closed;
	long			credit;		/* units; may be a debt */
	unsigned		small_run;
	unsigned		n_jobs;		/* accepted and not done */
};

struct thread {
	pthread_t		id;
	struct e3_sched		*sched;		/* borrowed: joins us */
	struct e3_crypto	*crypto;	/* owned */
	bool			started;
};

struct e3_sched {
	unsigned		magic;
#define E3_SCHED_MAGIC		0x5c4ed0e3
	pthread_mutex_t		lock;
	pthread_cond_t		work;
	TAILQ_HEAD(, e3_source)	ring;
	struct job_list		out;
	unsigned		n_jobs, max_jobs, n_threads;
	bool			stop;
	int			event_fd;	/* owned */
	struct event		*event;		/* owned */
	struct thread		*threads;	/* owned */
	e3_pieces_cb		*cb;
	void			*arg;		/* borrowed: owns us */
};

void
e3_job_init(struct e3_job *j, e3_run_fn *run, size_t cost)
{
	j->run = run;
	j->cost = cost;
	j->large = cost > E3_SLICE_COST;
	atomic_init(&j->cancelled, false);
	STAILQ_INIT(&j->made);
	STAILQ_INIT(&j->ready);
}

void
e3_pieces_free(struct e3_pieces *list)
{
	struct e3_piece *p;

	while ((p = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, next);
		buffer_fini(&p->frame);
		free(p);
	}
}

static void
lock(struct e3_sched *s)
{
	ensure(pthread_mutex_lock(&s->lock) == 0);
}

static void
unlock(struct e3_sched *s)
{
	ensure(pthread_mutex_unlock(&s->lock) == 0);
}

/* ---- queues; all under the lock ---- */

static void
enqueue(struct e3_sched *s, struct e3_job *j)
{
	struct e3_source *src = j->source;

	j->state = E3_JOB_QUEUED;
	TAILQ_INSERT_TAIL(j->large ? &src->large : &src->small, j, entry);
	if (!src->on_ring) {
		TAILQ_INSERT_TAIL(&s->ring, src, entry);
		src->on_ring = true;
	}
	ensure(pthread_cond_signal(&s->work) == 0);
}

static struct e3_job *
source_next(struct e3_source *src)
{
	struct e3_job *small = TAILQ_FIRST(&src->small);
	struct e3_job *large = TAILQ_FIRST(&src->large);

	if (small != NULL && (large == NULL || src->small_run < SMALL_RUN_MAX)) {
		src->small_run++;
		TAILQ_REMOVE(&src->small, small, entry);
		return (small);
	}
	ensure(large != NULL);
	src->small_run = 0;
	TAILQ_REMOVE(&src->large, large, entry);
	return (large);
}

/* The next job, or NULL when there is nothing to run. */
static struct e3_job *
pick(struct e3_sched *s)
{
	struct e3_source *src;
	struct e3_job *j;

	while ((src = TAILQ_FIRST(&s->ring)) != NULL && src->credit <= 0) {
		src->credit += E3_SLICE_COST;
		TAILQ_REMOVE(&s->ring, src, entry);
		TAILQ_INSERT_TAIL(&s->ring, src, entry);
	}
	if (src == NULL)
		return (NULL);
	j = source_next(src);
	if (TAILQ_EMPTY(&src->small) && TAILQ_EMPTY(&src->large)) {
		TAILQ_REMOVE(&s->ring, src, entry);
		src->on_ring = false;
	}
	j->state = E3_JOB_RUNNING;
	return (j);
}

static void
source_release(struct e3_source *src)
{
	if (src->closed && src->n_jobs == 0)
		free(src);
}

/* Tell the network thread, once for any number of jobs. */
static void
announce(struct e3_sched *s, struct e3_job *j)
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

/* After a slice. */
static void
settle(struct e3_sched *s, struct e3_job *j, bool done, size_t cost)
{
	struct e3_source *src = j->source;
	struct e3_piece *p;
	bool news = !STAILQ_EMPTY(&j->made);

	src->credit -= (long)cost;
	if (src->credit > E3_SLICE_COST)
		src->credit = E3_SLICE_COST;
	STAILQ_FOREACH(p, &j->made, next)
		j->untaken++;
	STAILQ_CONCAT(&j->ready, &j->made);
	if (done) {
		j->state = E3_JOB_DONE;
		j->source = NULL;
		src->n_jobs--;
		s->n_jobs--;
		source_release(src);
	} else if (j->untaken >= E3_UNTAKEN_MAX &&
	    !atomic_load(&j->cancelled)) {
		j->state = E3_JOB_PARKED;
	} else {
		j->large = true;	/* it did not fit one slice */
		enqueue(s, j);
	}
	if (news || done)
		announce(s, j);
}

static void *
thread_main(void *arg)
{
	struct thread *t = arg;
	struct e3_sched *s = t->sched;
	struct e3_job *j;

	lock(s);
	while (!s->stop) {
		size_t cost = 0;
		bool done;

		if ((j = pick(s)) == NULL) {
			ensure(pthread_cond_wait(&s->work, &s->lock) == 0);
			continue;
		}
		unlock(s);
		done = j->run(j, t->crypto, &cost);
		e3_ecies_reset(t->crypto);
		lock(s);
		settle(s, j, done, cost);
	}
	unlock(s);
	random_thread_end();
	OPENSSL_thread_stop();
	return (NULL);
}

/* ---- the network thread's side ---- */

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct e3_sched *s = arg;
	uint64_t n;

	(void)what;
	if (read((int)fd, &n, sizeof(n)) != sizeof(n))
		return;			/* EAGAIN: a wake-up too many */
	for (;;) {
		struct e3_pieces ready = STAILQ_HEAD_INITIALIZER(ready);
		struct e3_job *j;
		bool done;

		lock(s);
		if ((j = TAILQ_FIRST(&s->out)) == NULL) {
			unlock(s);
			return;
		}
		TAILQ_REMOVE(&s->out, j, out_entry);
		j->on_out = false;
		STAILQ_CONCAT(&ready, &j->ready);
		done = j->state == E3_JOB_DONE;
		unlock(s);
		s->cb(s->arg, j, &ready, done);
		e3_pieces_free(&ready);
	}
}

bool
e3_thread_start(pthread_t *id, void *(*thread)(void *), void *arg)
{
	sigset_t all, old;
	bool ok;

	/* Signals are the network thread's, but for those that a fault in
	 * the thread itself raises. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGILL);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGSYS);
	ensure(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
	ok = pthread_create(id, NULL, thread, arg) == 0;
	ensure(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	return (ok);
}

static bool
threads_start(struct e3_sched *s)
{
	bool ok = true;

	for (unsigned i = 0; ok && i < s->n_threads; i++) {
		struct thread *t = &s->threads[i];

		t->sched = s;
		t->crypto = e3_crypto_new();
		t->started = t->crypto != NULL &&
		    e3_thread_start(&t->id, thread_main, t);
		ok = t->started;
	}
	return (ok);
}

struct e3_sched *
e3_sched_new(struct loop *loop, unsigned threads, unsigned max_jobs,
    e3_pieces_cb *cb, void *arg)
{
	struct e3_sched *s = xcalloc(1, sizeof(*s));

	s->magic = E3_SCHED_MAGIC;
	ensure(pthread_mutex_init(&s->lock, NULL) == 0);
	ensure(pthread_cond_init(&s->work, NULL) == 0);
	TAILQ_INIT(&s->ring);
	TAILQ_INIT(&s->out);
	s->max_jobs = max_jobs;
	s->n_threads = threads;
	s->threads = xcalloc(threads, sizeof(*s->threads));
	s->cb = cb;
	s->arg = arg;
	s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->event_fd >= 0) {
		s->event = event_new(loop_base(loop), s->event_fd,
		    EV_READ | EV_PERSIST, on_event, s);
		ensure(s->event != NULL && event_add(s->event, NULL) == 0);
	}
	if (s->event_fd < 0 || !threads_start(s))
		e3_sched_free(&s);
	return (s);
}

void
e3_sched_free(struct e3_sched **sp)
{
	struct e3_sched *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	obj_check(s, E3_SCHED_MAGIC);
	lock(s);
	s->stop = true;
	ensure(pthread_cond_broadcast(&s->work) == 0);
	unlock(s);
	for (unsigned i = 0; i < s->n_threads; i++) {
		if (s->threads[i].started)
			ensure(pthread_join(s->threads[i].id, NULL) == 0);
		e3_crypto_free(&s->threads[i].crypto);
	}
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

struct e3_source *
e3_source_open(struct e3_sched *s)
{
	struct e3_source *src = xcalloc(1, sizeof(*src));

	obj_check(s, E3_SCHED_MAGIC);
	TAILQ_INIT(&src->small);
	TAILQ_INIT(&src->large);
	return (src);
}

void
e3_source_close(struct e3_sched *s, struct e3_source **srcp)
{
	struct e3_source *src = *srcp;

	*srcp = NULL;
	if (src == NULL)
		return;
	obj_check(s, E3_SCHED_MAGIC);
	lock(s);
	src->closed = true;
	source_release(src);	/* else its last job does */
	unlock(s);
}

enum rc
e3_sched_submit(struct e3_sched *s, struct e3_source *src, struct e3_job *j)
{
	enum rc rc = RC_OK;

	obj_check(s, E3_SCHED_MAGIC);
	lock(s);
	if (s->n_jobs >= s->max_jobs) {
		rc = RC_LIMIT;
	} else {
		s->n_jobs++;
		src->n_jobs++;
		j->source = src;
		enqueue(s, j);
	}
	unlock(s);
	return (rc);
}

void
e3_sched_cancel(struct e3_sched *s, struct e3_job *j)
{
	obj_check(s, E3_SCHED_MAGIC);
	atomic_store(&j->cancelled, true);
	lock(s);
	if (j->state == E3_JOB_QUEUED && j->large) {
		/* Ending it is small work now. */
		TAILQ_REMOVE(&j->source->large, j, entry);
		j->large = false;
		enqueue(s, j);
	} else if (j->state == E3_JOB_PARKED) {
		j->large = false;
		enqueue(s, j);
	}
	unlock(s);
}

void
e3_sched_taken(struct e3_sched *s, struct e3_job *j, unsigned n)
{
	obj_check(s, E3_SCHED_MAGIC);
	lock(s);
	ensure(j->untaken >= n);
	j->untaken -= n;
	if (j->state == E3_JOB_PARKED && j->untaken < E3_UNTAKEN_MAX)
		enqueue(s, j);
	unlock(s);
}

unsigned
e3_sched_depth(struct e3_sched *s)
{
	unsigned n;

	obj_check(s, E3_SCHED_MAGIC);
	lock(s);
	n = s->n_jobs;
	unlock(s);
	return (n);
}
