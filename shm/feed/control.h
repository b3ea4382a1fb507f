/*
 * shm/feed/control.h - feed.sock: relay-put, -get, -list and -rm, the same with
 * egress-, sync-accept, status (docs/operations.md).
 * Context:   the loop's thread.  Peers are of the admin group; each is logged.
 * Ownership: feed.c owns it; it borrows the feed.
 */
#ifndef RELAY_SHM_FEED_CONTROL_H
#define RELAY_SHM_FEED_CONTROL_H

#include <stdint.h>

#include "shm/feed/feed.h"

/* fd: the listening SOCK_SEQPACKET socket, owned from here. */
struct feed_control *feed_control_new(struct feed *, int fd);
void feed_control_free(struct feed_control **);

#endif
