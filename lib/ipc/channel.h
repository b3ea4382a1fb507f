/*
 * ipc/channel.h - short messages between the master and one child over an
 * inherited SOCK_SEQPACKET pair; also the protocol of control sockets.
 * Context:   the loop's thread, either side.
 * Ownership: the creator owns the channel.
 *
 * A message is a verb and optional text: "ready", "drain", "reopen-log",
 * "status" / "status {json}", "failed TEXT"; of the map: "map-damaged" (worker),
 * "map-check" (to the feed), "map-replaced" (feed).  EOF means the other side is
 * gone: a child then closes its listeners at once, drains and exits.
 */
#ifndef RELAY_IPC_CHANNEL_H
#define RELAY_IPC_CHANNEL_H

#include "lib/base/loop.h"
#include "lib/base/result.h"
#include "lib/base/string.h"

#define IPC_MESSAGE_BYTES	65536

struct ipc_channel;

struct ipc_channel_ops {
	/* fd: a descriptor that came with it, or -1; the callee owns it. */
	void	(*on_message)(void *arg, struct span verb, struct span text,
		    int fd);
	void	(*on_eof)(void *arg);
};

/* fd: owned from here. */
struct ipc_channel *ipc_channel_new(struct loop *, int fd,
    const struct ipc_channel_ops *, void *arg);
void ipc_channel_free(struct ipc_channel **);

/* Queued if the socket is full.  pass_fd: sent along and not closed, or -1.
 * RC_OK, RC_LIMIT (too long, or 64 messages waiting), RC_IO. */
enum rc ipc_channel_send(struct ipc_channel *, const char *verb,
    struct span text, int pass_fd) must_check;

/* Deliver now what has already arrived: for the last words of a peer that is
 * known to have ended.  The callbacks may free the channel. */
void ipc_channel_poll(struct ipc_channel *);

#endif
