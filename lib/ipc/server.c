/* ipc/server.c - the clients of a control socket. */
#include "lib/ipc/server.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "lib/ipc/channel.h"

#define ACCEPTS_PER_WAKE	8	/* a script that opens many waits its turn */
#define PAUSE_MS		200	/* without descriptors: the queue keeps them */

struct client {
	unsigned		magic;
#define IPC_CLIENT_MAGIC	0x41f0d92b
	TAILQ_ENTRY(client)	link;
	struct ipc_server	*server;	/* borrowed: owns us */
	struct ipc_channel	*channel;	/* owned */
	uint64_t		who;
	struct ucred		peer;
};

struct ipc_server {
	unsigned			magic;
#define IPC_SERVER_MAGIC		0x7ad91c53
	struct loop			*loop;		/* borrowed */
	int				fd;		/* owned; -1: closed */
	unsigned			max_clients;
	const struct ipc_server_ops	*ops;		/* borrowed: static */
	void				*arg;		/* borrowed: owns us */
	struct event			*ev;		/* owned; NULL: closed */
	struct timer			pause;
	uint64_t			last;		/* number given */
	unsigned			n_clients;
	TAILQ_HEAD(, client)		clients;
};

static void
client_free(struct client *cl)
{
	TAILQ_REMOVE(&cl->server->clients, cl, link);
	cl->server->n_clients--;
	ipc_channel_free(&cl->channel);
	cl->magic = 0;
	free(cl);
}

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct client *cl = arg;
	struct ucred peer;

	obj_check(cl, IPC_CLIENT_MAGIC);
	peer = cl->peer;		/* an answer may end the client */
	cl->server->ops->on_message(cl->server->arg, cl->who, &peer, verb,
	    text, fd);
}

static void
on_eof(void *arg)
{
	struct client *cl = arg;

	obj_check(cl, IPC_CLIENT_MAGIC);
	client_free(cl);
}

static const struct ipc_channel_ops channel_ops = {
	.on_message = on_message,
	.on_eof = on_eof,
};

static void
client_new(struct ipc_server *s, int fd)
{
	struct client *cl = xcalloc(1, sizeof(*cl));
	socklen_t len = sizeof(cl->peer);

	cl->magic = IPC_CLIENT_MAGIC;
	cl->server = s;
	cl->who = ++s->last;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cl->peer, &len) < 0)
		cl->peer = (struct ucred){ .pid = -1, .uid = (uid_t)-1,
		    .gid = (gid_t)-1 };
	cl->channel = ipc_channel_new(s->loop, fd, &channel_ops, cl);
	TAILQ_INSERT_TAIL(&s->clients, cl, link);
	s->n_clients++;
}

/* The socket stays readable while nothing can be accepted: look away, or the
 * loop spins until somebody closes a descriptor. */
static void
no_room(struct ipc_server *s)
{
	log_warn("control client not accepted errno=%d", errno);
	ensure(event_del(s->ev) == 0);
	timer_start_ms(&s->pause, PAUSE_MS);
}

static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct ipc_server *s = arg;
	int fd;

	(void)what;
	obj_check(s, IPC_SERVER_MAGIC);
	for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM)
				no_room(s);
			return;
		}
		if (s->n_clients == s->max_clients) {
			log_warn("control client refused why=too-many");
			(void)close(fd);
			continue;
		}
		client_new(s, fd);
	}
}

static void
on_pause_end(void *arg)
{
	struct ipc_server *s = arg;

	obj_check(s, IPC_SERVER_MAGIC);
	ensure(event_add(s->ev, NULL) == 0);
}

struct ipc_server *
ipc_server_new(struct loop *loop, int fd, unsigned max_clients,
    const struct ipc_server_ops *ops, void *arg)
{
	struct ipc_server *s = xcalloc(1, sizeof(*s));

	s->magic = IPC_SERVER_MAGIC;
	s->loop = loop;
	s->fd = fd;
	s->max_clients = max_clients;
	s->ops = ops;
	s->arg = arg;
	TAILQ_INIT(&s->clients);
	timer_init(&s->pause, loop, on_pause_end, s);
	if (fd < 0)
		return (s);
	if (fd_nonblock(fd) != RC_OK)
		fatal(1, "control socket: cannot make it non-blocking");
	s->ev = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, on_accept,
	    s);
	ensure(s->ev != NULL);
	ensure(event_add(s->ev, NULL) == 0);
	return (s);
}

void
ipc_server_close_door(struct ipc_server *s)
{
	obj_check(s, IPC_SERVER_MAGIC);
	timer_stop(&s->pause);
	if (s->ev != NULL)
		event_free(s->ev);
	s->ev = NULL;
	fd_close(&s->fd);
}

void
ipc_server_free(struct ipc_server **sp)
{
	struct ipc_server *s = *sp;
	struct client *cl;

	*sp = NULL;
	if (s == NULL)
		return;
	obj_check(s, IPC_SERVER_MAGIC);
	ipc_server_close_door(s);
	while ((cl = TAILQ_FIRST(&s->clients)) != NULL)
		client_free(cl);
	timer_fini(&s->pause);
	s->magic = 0;
	free(s);
}

void
ipc_server_answer(struct ipc_server *s, uint64_t who, const char *verb,
    struct span text, int pass_fd)
{
	struct client *cl;

	obj_check(s, IPC_SERVER_MAGIC);
	TAILQ_FOREACH(cl, &s->clients, link)
		if (cl->who == who)
			break;
	if (cl != NULL && ipc_channel_send(cl->channel, verb, text,
	    pass_fd) != RC_OK)
		client_free(cl);
}
