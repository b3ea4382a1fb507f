/*
 * ipc/channel.c - messages over a SOCK_SEQPACKET socket: one datagram is one
 * message, so there is no framing to get wrong.
 *
 * Either callback may free the channel; read_messages looks at a flag on its
 * own stack before it touches the object again.
 */
#include "lib/ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"

#define QUEUE_MAX	64	/* a peer that leaves more unread is stuck */
#define READS_PER_WAKE	16	/* one busy peer must not hold the loop */
#define FDS_PER_MESSAGE	4	/* room to see, and close, what is too many */

struct message {
	TAILQ_ENTRY(message)	next;
	int			fd;	/* owned copy, or -1 */
	size_t			len;
	char			bytes[];
};

struct ipc_channel {
	unsigned			magic;
#define IPC_CHANNEL_MAGIC		0x51c8e02d
	int				fd;		/* owned */
	bool				eof;
	const struct ipc_channel_ops	*ops;		/* borrowed: static */
	void				*arg;		/* borrowed: owns us */
	struct event			*ev_read;	/* owned */
	struct event			*ev_write;	/* owned */
	bool				*freed;		/* view: read_messages' stack */
	unsigned			n_waiting;
	TAILQ_HEAD(, message)		waiting;
	char				in[IPC_MESSAGE_BYTES];
};

/* ---- reading --------------------------------------------------------------- */

/* The first descriptor of a message, or -1; any further one is closed. */
static int
take_fd(struct msghdr *msg)
{
	struct cmsghdr *c;
	int first = -1, fd;
	size_t n;

	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (first < 0)
				first = fd;
			else
				close(fd);
		}
	}
	return (first);
}

/* RC_OK, RC_AGAIN, RC_EOF.  *fd: see take_fd. */
static enum rc
receive(struct ipc_channel *c, size_t *len, int *fd)
{
	union {
		char		bytes[CMSG_SPACE(FDS_PER_MESSAGE * sizeof(int))];
		struct cmsghdr	align;
	} control;
	struct iovec iov = { .iov_base = c->in, .iov_len = sizeof(c->in) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	bool reset = false;
	ssize_t n;

	*fd = -1;
	do {
		n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		/* A peer that left something of ours unread shows as a reset,
		 * once, ahead of its last messages: those still count. */
		if (n < 0 && errno == ECONNRESET && !reset) {
			reset = true;
			errno = EINTR;
		}
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return (errno == EAGAIN ? RC_AGAIN : RC_EOF);
	*fd = take_fd(&msg);
	/* An empty message cannot be told from the end; a cut one is not a
	 * message of ours. */
	if (n == 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		fd_close(fd);
		return (RC_EOF);
	}
	*len = (size_t)n;
	return (RC_OK);
}

static void
deliver(struct ipc_channel *c, size_t len, int fd)
{
	const char *space = memchr(c->in, ' ', len);
	struct span verb = { c->in, len };
	struct span text = { c->in + len, 0 };

	if (space != NULL) {
		verb.len = (size_t)(space - c->in);
		text = (struct span){ space + 1, len - verb.len - 1 };
	}
	c->ops->on_message(c->arg, verb, text, fd);
}

static void
read_messages(struct ipc_channel *c, unsigned most)
{
	bool freed = false;
	enum rc rc = RC_OK;
	size_t len;
	int passed;

	c->freed = &freed;
	for (unsigned i = 0; i < most; i++) {
		if ((rc = receive(c, &len, &passed)) != RC_OK)
			break;
		deliver(c, len, passed);
		if (freed)
			return;
		secret_wipe(c->in, len);	/* an API key may be in it */
	}
	c->freed = NULL;
	if (rc != RC_EOF || c->eof)
		return;
	c->eof = true;
	event_del(c->ev_read);
	event_del(c->ev_write);
	c->ops->on_eof(c->arg);		/* may free c */
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct ipc_channel *c = arg;

	(void)fd;
	(void)what;
	obj_check(c, IPC_CHANNEL_MAGIC);
	read_messages(c, READS_PER_WAKE);
}

void
ipc_channel_poll(struct ipc_channel *c)
{
	obj_check(c, IPC_CHANNEL_MAGIC);
	/* Called from outside of on_read, or `freed` would be overwritten. */
	ensure(c->freed == NULL);
	read_messages(c, QUEUE_MAX);
}

/* ---- writing --------------------------------------------------------------- */

/* RC_OK, RC_AGAIN (would block), RC_IO. */
static enum rc
transmit(struct ipc_channel *c, const void *bytes, size_t len, int fd)
{
	union {
		char		bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr	align;
	} control;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	/* sendmsg only reads, but iov_base is not const. */
	memcpy(&iov.iov_base, &bytes, sizeof(bytes));
	iov.iov_len = len;
	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
	}
	do {
		n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (RC_OK);
	return (errno == EAGAIN || errno == ENOBUFS ? RC_AGAIN : RC_IO);
}

static void
message_free(struct message *m)
{
	secret_wipe(m->bytes, m->len);
	free(m);
}

static void
message_drop(struct ipc_channel *c, struct message *m)
{
	TAILQ_REMOVE(&c->waiting, m, next);
	c->n_waiting--;
	fd_close(&m->fd);
	message_free(m);
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct ipc_channel *c = arg;
	struct message *m;
	enum rc rc;

	(void)fd;
	(void)what;
	obj_check(c, IPC_CHANNEL_MAGIC);
	while ((m = TAILQ_FIRST(&c->waiting)) != NULL) {
		rc = transmit(c, m->bytes, m->len, m->fd);
		if (rc == RC_AGAIN)
			return;
		/* A broken socket shows as EOF on the reading side. */
		message_drop(c, m);
	}
	event_del(c->ev_write);
}

/* Takes the bytes of m; the caller fills them first. */
static enum rc
enqueue(struct ipc_channel *c, struct message *m, int pass_fd)
{
	if (pass_fd >= 0) {
		m->fd = fcntl(pass_fd, F_DUPFD_CLOEXEC, 0);
		if (m->fd < 0) {
			message_free(m);
			return (RC_IO);
		}
	}
	TAILQ_INSERT_TAIL(&c->waiting, m, next);
	c->n_waiting++;
	ensure(event_add(c->ev_write, NULL) == 0);
	return (RC_OK);
}

enum rc
ipc_channel_send(struct ipc_channel *c, const char *verb, struct span text,
    int pass_fd)
{
	size_t verb_len = strlen(verb);
	size_t len = verb_len + (text.len > 0 ? 1 + text.len : 0);
	struct message *m;
	enum rc rc = RC_AGAIN;

	obj_check(c, IPC_CHANNEL_MAGIC);
	if (c->eof)
		return (RC_IO);
	if (text.len >= IPC_MESSAGE_BYTES || len > IPC_MESSAGE_BYTES ||
	    c->n_waiting >= QUEUE_MAX)
		return (RC_LIMIT);
	m = xcalloc(1, sizeof(*m) + len);
	m->fd = -1;
	m->len = len;
	memcpy(m->bytes, verb, verb_len);
	if (text.len > 0) {
		m->bytes[verb_len] = ' ';
		memcpy(m->bytes + verb_len + 1, text.p, text.len);
	}
	if (c->n_waiting == 0)		/* order is kept: never overtake */
		rc = transmit(c, m->bytes, m->len, pass_fd);
	if (rc == RC_AGAIN)
		return (enqueue(c, m, pass_fd));
	message_free(m);
	return (rc);
}

/* ---- life ------------------------------------------------------------------ */

struct ipc_channel *
ipc_channel_new(struct loop *loop, int fd, const struct ipc_channel_ops *ops,
    void *arg)
{
	struct ipc_channel *c = xcalloc(1, sizeof(*c));

	c->magic = IPC_CHANNEL_MAGIC;
	c->fd = fd;
	c->ops = ops;
	c->arg = arg;
	TAILQ_INIT(&c->waiting);
	c->ev_read = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST,
	    on_read, c);
	c->ev_write = event_new(loop_base(loop), fd, EV_WRITE | EV_PERSIST,
	    on_write, c);
	ensure(c->ev_read != NULL && c->ev_write != NULL);
	ensure(event_add(c->ev_read, NULL) == 0);
	return (c);
}

void
ipc_channel_free(struct ipc_channel **cp)
{
	struct ipc_channel *c = *cp;
	struct message *m;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, IPC_CHANNEL_MAGIC);
	if (c->freed != NULL)
		*c->freed = true;
	event_free(c->ev_read);
	event_free(c->ev_write);
	while ((m = TAILQ_FIRST(&c->waiting)) != NULL)
		message_drop(c, m);
	fd_close(&c->fd);
	secret_wipe(c->in, sizeof(c->in));
	c->magic = 0;
	free(c);
}
