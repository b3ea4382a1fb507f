/*
 * base/sched.h - jobs that run in slices on threads, and who runs next.
 * Context:   sched_* are called by the loop's thread; run() of a job by the
 *            scheduler's threads, one at a time for each job.
 * Ownership: a job belongs to the scheduler from submit until the callback
 *            said `done`; then to the loop's thread again.
 *
 *   sched -> callers (weighted)  -> flows -> small jobs, large jobs
 *         -> outlets: what a caller's connection has made and not sent
 *
 * Work is cut in slices of about slice_cost units.  Callers take turns by
 * weight, the flows of a caller take turns among themselves: by cost and not
 * by count, so that who asks for more at once does not get more, and who asks
 * for little waits for a slice or two, whatever the others ask for.  Within a
 * flow, jobs that fit one slice go first, but every eighth turn is a large
 * one's, so that none starves.  Nothing is held back while a thread is free.
 *
 * Results leave in pieces, and memory for them is bounded: a job stops while
 * SCHED_UNTAKEN_MAX of its pieces wait, and all jobs of an outlet while
 * outlet_bytes wait there (each thread may end the slice it is at).
 */
#ifndef RELAY_BASE_SCHED_H
#define RELAY_BASE_SCHED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/list.h"
#include "lib/base/loop.h"
#include "lib/base/result.h"

#define SCHED_UNTAKEN_MAX	2	/* pieces of one job waiting to leave */

struct sched_piece {
	STAILQ_ENTRY(sched_piece) next;
	struct buffer		frame;	/* owned: bytes for the outlet */
	size_t			held;	/* of them counted at the outlet */
};
STAILQ_HEAD(sched_pieces, sched_piece);
void sched_pieces_free(struct sched_pieces *);

struct sched;
struct sched_outlet;
struct sched_flow;
struct sched_job;

/* One slice, until *cost reaches the slice's or the work is done (true).  ctx
 * is the thread's.  Sees job->cancelled at its start.  Finished pieces go to
 * job->made. */
typedef bool sched_run_fn(struct sched_job *, void *ctx, size_t *cost);

struct sched_job {
	sched_run_fn		*run;
	size_t			cost;		/* estimated, in units */
	atomic_bool		cancelled;
	struct sched_pieces	made;		/* owned by who runs it */
	/* the rest is sched.c's, under its lock */
	TAILQ_ENTRY(sched_job)	entry, out_entry;
	struct sched_outlet	*outlet;	/* borrowed: counts its jobs */
	struct sched_flow	*flow;		/* borrowed: counts its jobs */
	enum sched_job_state {
		SCHED_JOB_NEW,
		SCHED_JOB_QUEUED,		/* in its flow */
		SCHED_JOB_RUNNING,
		SCHED_JOB_PARKED,		/* its pieces are not taken */
		SCHED_JOB_WAITING,		/* its outlet is full */
		SCHED_JOB_DONE
	}			state;
	bool			large, on_out;
	unsigned		untaken;
	struct sched_pieces	ready;		/* owned: for the loop */
};
void sched_job_init(struct sched_job *, sched_run_fn *, size_t cost);

/* On the loop: these pieces (take them all) are finished; done: the job is
 * yours again. */
typedef void sched_pieces_cb(void *arg, struct sched_job *,
    struct sched_pieces *, bool done);

struct sched_config {
	unsigned	threads;	/* >= 1 */
	unsigned	max_jobs;	/* accepted at a time */
	size_t		slice_cost;	/* units: what a small job may wait */
	size_t		outlet_bytes;	/* pieces of one outlet; 0: any */
	int		nice;		/* of the threads; 0: as the process */
	sched_pieces_cb	*on_pieces;
	void		*arg;		/* borrowed: owns the scheduler */

	/* Optional: a context for each thread.  Made by sched_new (NULL: it
	 * fails), freed by the thread itself when it ends. */
	void		*(*ctx_new)(void);
	void		(*ctx_free)(void *ctx);
	void		(*after_slice)(void *ctx);
	/* Optional, by a thread that has nothing to run: true, ask again at
	 * once; false, wait for work.  Brief: it is not interrupted. */
	bool		(*idle)(void *idle_arg, void *ctx);
	void		*idle_arg;	/* borrowed */
};

/* NULL when threads or their contexts cannot be made. */
struct sched *sched_new(struct loop *, const struct sched_config *);
/* Stops the threads; jobs still queued are not run: call it with none. */
void sched_free(struct sched **);

/* A way out for pieces, of the caller with this key; all outlets of one key
 * share the caller's turns.  weight >= 1: its share beside other callers. */
struct sched_outlet *sched_outlet_open(struct sched *, const char *key,
    unsigned weight);
/* Its jobs must have been cancelled or done. */
void sched_outlet_close(struct sched *, struct sched_outlet **);
/* Pieces with this sum of `held` have left. */
void sched_outlet_taken(struct sched *, struct sched_outlet *, size_t held);

/* RC_OK; RC_LIMIT: the bounded queue is full, the job stays the caller's. */
enum rc sched_submit(struct sched *, struct sched_outlet *, const char *flow,
    struct sched_job *) must_check;
/* It ends within one slice; the callback still comes. */
void sched_cancel(struct sched *, struct sched_job *);
/* n pieces of it have left.  Not after `done`. */
void sched_taken(struct sched *, struct sched_job *, unsigned n);

/* Jobs accepted and not done. */
unsigned sched_depth(struct sched *);

struct sched_counts {
	unsigned	depth;		/* now: jobs, and their estimated cost */
	uint64_t	queued_cost;
	uint64_t	slices, cancelled, refused;	/* since the start */
};
void sched_count(struct sched *, struct sched_counts *);

#endif
