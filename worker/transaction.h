/*
 * worker/transaction.h - what happened in one exchange, without a value: the
 * id that every answer carries, counts and times for the log.
 * Context:   pure.
 */
#ifndef RELAY_WORKER_TRANSACTION_H
#define RELAY_WORKER_TRANSACTION_H

#include <stdint.h>

#define TRANSACTION_ID_BYTES	33

struct transaction {
	char		id[TRANSACTION_ID_BYTES];
	uint64_t	t_start_ms;	/* monotonic */
	uint64_t	sealed;		/* fields encrypted */
	uint64_t	passed;		/* were tokens of this app already */
	uint64_t	opened;		/* fields decrypted */
	uint64_t	kept;		/* tokens that stayed: undecryptable */
	uint64_t	forbidden;	/* of those, by their role's policy */
	uint64_t	request_bytes;	/* body, from the client */
	uint64_t	response_bytes;	/* body, to the client */
	unsigned	status;		/* of the answer; 0 while none */
};

/* A fresh id: 128 random bits, upper-case hex without leading zeros
 * (spec/sdk-api.md 4.5). */
void transaction_begin(struct transaction *);
void transaction_end(const struct transaction *, uint64_t conn_id,
    const char *host, const char *outcome);

#endif
