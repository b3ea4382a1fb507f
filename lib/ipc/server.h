/*
 * ipc/server.h - a control socket: accepts clients, which are known by number.
 * Context:   the loop's thread.
 * Ownership: the creator owns the server; it owns its clients.
 *
 * Whoever owes an answer keeps the client's number: the client may be gone
 * when the answer comes, and a number is never given twice.
 */
#ifndef RELAY_IPC_SERVER_H
#define RELAY_IPC_SERVER_H

#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/loop.h"
#include "lib/base/string.h"

struct ipc_server;

struct ipc_server_ops {
	/* peer: who connected (-1 where the kernel does not say); a view.  fd:
	 * came with the message, or -1; the callee owns it. */
	void	(*on_message)(void *arg, uint64_t who,
		    const struct ucred *peer, struct span verb,
		    struct span text, int fd);
};

/* fd: a listening SOCK_SEQPACKET socket; owned from here.  -1: a server that
 * nobody reaches.  Beyond max_clients they are closed at once. */
struct ipc_server *ipc_server_new(struct loop *, int fd, unsigned max_clients,
    const struct ipc_server_ops *, void *arg);
void ipc_server_free(struct ipc_server **);

/* No new clients; those that are there stay. */
void ipc_server_close_door(struct ipc_server *);

/* Nothing happens when the client is gone.  One that does not read its answers
 * is closed.  pass_fd: as in ipc_channel_send. */
void ipc_server_answer(struct ipc_server *, uint64_t who, const char *verb,
    struct span text, int pass_fd);

#endif
