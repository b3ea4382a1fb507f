/*
 * master/tickets.h - the TLS session ticket keys that all workers share.
 * Context:   the loop's thread.
 *
 * Content of the memfd: certs/ticket.h.  A key seals for six hours and opens
 * for eighteen more, through every reload and crash of a worker.
 */
#ifndef RELAY_MASTER_TICKETS_H
#define RELAY_MASTER_TICKETS_H

struct tickets;
struct master;

struct tickets *tickets_new(struct master *);
void tickets_free(struct tickets **);

/* The memfd of the present keys: borrowed, replaced at the next rotation. */
int tickets_fd(const struct tickets *);

/* A memfd with one key of its own, for a check that loads and never serves;
 * the caller closes it.  -1 on failure. */
int tickets_sample(void);

#endif
