/*
 * bench/e3load_result.h - what became of the requests of one scenario, added
 * up and told.
 * Context:   a client's thread counts into its own; main adds them and tells.
 * Ownership: the caller embeds it on the heap (it is large).
 */
#ifndef RELAY_BENCH_E3LOAD_RESULT_H
#define RELAY_BENCH_E3LOAD_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/e3load_profile.h"
#include "bench/e3load_times.h"
#include "lib/base/buffer.h"
#include "lib/rpc/op.h"

/* What became of the requests of one scenario. */
struct load_result {
	struct load_times	times;		/* answered in full, as asked */
	uint64_t		fields, bytes;	/* of these */
	uint64_t		statuses[RPC_STATUSES];	/* other than ok */
	uint64_t		timeouts;	/* the deadline, also unsent */
	uint64_t		lost;		/* the link went down */
	uint64_t		wrong;		/* an answer that does not fit */
	/* of those that were cancelled, to the last piece: from our Cancel,
	 * and from its answer, which the engine sends as it stops the call */
	struct load_times	cancels, stops;
	uint64_t		cancelled;	/* the engine stopped it */
	uint64_t		late_pieces;	/* that came behind our Cancel */
};
uint64_t load_result_errors(const struct load_result *);
void load_result_merge(struct load_result *, const struct load_result *);

/* A counter of the engine, and how much it grew during the load. */
struct load_counter {
	const char	*name;
	uint64_t	grown;
	bool		known;		/* this engine has it */
};

struct load_report {
	const char		*path;		/* of the profile */
	const struct load_profile *profile;
	struct load_result	*results[LOAD_CLIENTS_MAX];
	double			seconds[LOAD_CLIENTS_MAX];
	const struct load_counter *counters;
	size_t			n_counters;
};
uint64_t load_report_errors(const struct load_report *);
/* Tables for people; one line of JSON for programs. */
void load_report_text(const struct load_report *, struct buffer *);
void load_report_json(const struct load_report *, struct buffer *);

#endif
