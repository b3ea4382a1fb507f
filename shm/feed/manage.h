/*
 * shm/feed/manage.h - feed-worker.sock: changes of records that workers ask for
 * on behalf of the key API's callers.
 * Context:   the loop's thread.  Peers are workers; what they say is foreign all
 *            the same: the caller's key decides, and an engine says whose it is.
 * Ownership: feed.c owns it; it borrows the feed.
 *
 * `change {"id", "op": "put"|"delete", "hash": "relays"|"egress", "field",
 * "expect": SHA-256 in hex of the record there is, or null, "apiKey"}`, with the
 * new record in a memfd; answered by `changed {"id", "status", "reason"}`, in
 * any order (worker/feed_client.h has the statuses).
 */
#ifndef RELAY_SHM_FEED_MANAGE_H
#define RELAY_SHM_FEED_MANAGE_H

#include "shm/feed/feed.h"

/* fd: the listening SOCK_SEQPACKET socket, owned from here. */
struct feed_manage *feed_manage_new(struct feed *, int fd);
void feed_manage_free(struct feed_manage **);

#endif
