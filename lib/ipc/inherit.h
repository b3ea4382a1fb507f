/*
 * ipc/inherit.h - the descriptors a role is born with.
 * Context:   master writes the list (spawn.c), each role reads it first thing.
 *
 * The list is one environment variable, RELAY_FDS="name=fd:name=fd:...", so
 * that `ls -l /proc/PID/fd` and `tr` show all there is.  Names:
 *
 *   control        socket pair to the master (ipc/channel.h)
 *   panic          page for last words (base/panic.h)
 *   log            where log lines go; absent: stderr
 *   conf           relay.conf as the master checked it, a read-only memfd
 *   listen.<n>     the n-th listening socket of relay.conf, in order
 *   cert.<n>, key.<n>   PEM files of the n-th certificate of relay.conf
 *   link.cert, link.key, link.ca   PEM of this role's link certificate
 *   link.revoked   serials that are refused; absent when there is no such file
 *   tickets        TLS ticket keys shared by workers, a memfd
 *   root           root key, 32 bytes (e3d)
 *   root.next      the one that a rotation moves to; mostly absent (e3d)
 *   engine.unix, engine.tcp   e3d's listening sockets
 *   admin          listening socket of a role's own control (helper, feed)
 *
 * A memfd may be shared by several children, and with it its file offset:
 * content is read with pread(2) only.
 */
#ifndef RELAY_IPC_INHERIT_H
#define RELAY_IPC_INHERIT_H

#include "lib/base/buffer.h"
#include "lib/base/result.h"

#define IPC_FDS_VARIABLE	"RELAY_FDS"
#define IPC_FDS_MAX		128
#define IPC_FD_NAME_BYTES	32

struct ipc_inherited {
	unsigned	n;
	struct {
		char	name[IPC_FD_NAME_BYTES];
		int	fd;
	} v[IPC_FDS_MAX];
};

/* The list as the variable's text.  RC_OK, RC_LIMIT when size is too small. */
enum rc ipc_inherit_format(const struct ipc_inherited *, char *out,
    size_t size) must_check;

/* Read and unset the variable; set close-on-exec on each.  RC_OK (also when
 * absent: n is 0), RC_SYNTAX (also: not open, below 3, named twice). */
enum rc ipc_inherit_read(struct ipc_inherited *) must_check;

/* Take a descriptor out of the list (the caller owns it then); -1: absent. */
int ipc_inherit_take(struct ipc_inherited *, const char *name);

/* Whole content of a taken-out file or memfd from offset 0, then closed.
 * RC_NOTFOUND when absent, RC_LIMIT (out's max), RC_IO, RC_NOMEM. */
enum rc ipc_inherit_take_content(struct ipc_inherited *, const char *name,
    struct buffer *out) must_check;

/* Close what was not taken: a role keeps no key open that it has no use for. */
void ipc_inherit_close_rest(struct ipc_inherited *);

#endif
