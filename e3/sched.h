/*
 * e3/sched.h - crypto threads, and who runs next.
 * Context:   e3_sched_* are called by the network thread; run() of a job by
 *            crypto threads, one at a time for each job.
 * Ownership: a job belongs to the scheduler from submit until the callback
 *            said `done`; then to the network thread again.
 *
 * Work is cut in slices of about E3_SLICE_COST units (half a microsecond
 * each).  Callers (links) take turns, by cost and not by count (deficit round
 * robin).  Among one caller's jobs those that fit one slice go first, but
 * every eighth turn is a large one's, so that none starves.  A job whose
 * finished pieces are not taken stops (a slow reader costs memory for
 * E3_UNTAKEN_MAX pieces and no more).
 */
#ifndef RELAY_E3_SCHED_H
#define RELAY_E3_SCHED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "e3/ecies.h"
#include "lib/base/buffer.h"
#include "lib/base/list.h"
#include "lib/base/loop.h"

#define E3_SLICE_COST	512	/* ~0.25 ms: what a small call may wait for */
#define E3_COST_ECDH	128	/* one ephemeral key, made or agreed with */
#define E3_COST_TABLED	36	/* the same by a table of the other's point */
/* One value: its own cost and its bytes'. */
#define E3_COST_VALUE(bytes)	(1 + (bytes) / 512)
#define E3_UNTAKEN_MAX	2	/* pieces of one job waiting for its link */

struct e3_piece {
	STAILQ_ENTRY(e3_piece)	next;
	struct buffer		frame;	/* owned: one reply frame */
};
STAILQ_HEAD(e3_pieces, e3_piece);

struct e3_sched;
struct e3_source;			/* a caller whose jobs take turns */
struct e3_job;

/* One slice, until *cost reaches E3_SLICE_COST or the work is done (true).
 * Sees job->cancelled at its start.  Finished frames go to job->made. */
typedef bool e3_run_fn(struct e3_job *, struct e3_crypto *, size_t *cost);

struct e3_job {
	e3_run_fn		*run;
	size_t			cost;		/* estimated, in units */
	atomic_bool		cancelled;
	struct e3_pieces	made;		/* owned by who runs it */
	/* the rest is sched.c's, under its lock */
	TAILQ_ENTRY(e3_job)	entry, out_entry;
	struct e3_source	*source;	/* borrowed: counts its jobs */
	enum e3_job_state {
		E3_JOB_QUEUED, E3_JOB_RUNNING, E3_JOB_PARKED, E3_JOB_DONE
	}			state;
	bool			large, on_out;
	unsigned		untaken;
	struct e3_pieces	ready;		/* owned: for the network */
};
void e3_job_init(struct e3_job *, e3_run_fn *, size_t cost);
void e3_pieces_free(struct e3_pieces *);

/* On the loop: these pieces (take them all) are finished; done: the job is
 * yours again. */
typedef void e3_pieces_cb(void *arg, struct e3_job *, struct e3_pieces *,
    bool done);

/* threads >= 1; at most max_jobs are accepted at a time.  NULL when threads or
 * their contexts cannot be made (errno or the secure heap). */
struct e3_sched *e3_sched_new(struct loop *, unsigned threads,
    unsigned max_jobs, e3_pieces_cb *, void *arg);
/* Stops the threads; jobs still queued are not run: call it with none. */
void e3_sched_free(struct e3_sched **);

struct e3_source *e3_source_open(struct e3_sched *);
/* Its jobs must have been cancelled or done. */
void e3_source_close(struct e3_sched *, struct e3_source **);

/* RC_OK; RC_LIMIT: the bounded queue is full, the job stays the caller's. */
enum rc e3_sched_submit(struct e3_sched *, struct e3_source *,
    struct e3_job *) must_check;
/* It ends within one slice; the callback still comes. */
void e3_sched_cancel(struct e3_sched *, struct e3_job *);
/* n pieces of it have left for the link.  Not after `done`. */
void e3_sched_taken(struct e3_sched *, struct e3_job *, unsigned n);

/* Jobs accepted and not done. */
unsigned e3_sched_depth(struct e3_sched *);

/* A thread that gets no signal meant for the process. */
bool e3_thread_start(pthread_t *, void *(*thread)(void *), void *arg);

#endif
