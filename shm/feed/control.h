/*
 * shm/feed/control.h - feed.sock: relay-put, relay-get, relay-list, relay-rm,
 * sync-accept, status (docs/operations.md).
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

/* The map changed: answer those whose record is live (or gone) now. */
void feed_control_wake(struct feed_control *);

/* feed_writer_put finished.  code: the error's first word, "" without. */
void feed_control_written(struct feed_control *, uint64_t id, enum rc,
    const char *code);

/* A full read asked for by sync-accept ended. */
void feed_control_read_done(struct feed_control *, bool applied);

#endif
