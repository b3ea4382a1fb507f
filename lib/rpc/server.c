/* rpc/server.c - links in, and the flow of frames in both directions. */
#include "lib/rpc/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "lib/net/stream.h"

#define LISTENERS_MAX	2	/* one Unix, one TCP or vsock */
#define ACCEPTS_MAX	8	/* per wake-up: links that exist go first */
#define ACCEPT_PAUSE_MS	100	/* out of descriptors: do not spin */
#define HANDSHAKE_MS	10000
#define STALL_MS	30000	/* bytes wait and none moves: close */
#define INPUT_HIGH	(256u << 10)
/* Replies handed to the stream and not yet taken by the kernel; above it the
 * pieces wait, the jobs that make them stop, and so does reading. */
#define UNSENT_HIGH	(2u * RPC_REPLY_PIECE_BYTES)
/* Replies made by the threads of one link and not yet handed to its stream. */
#define OUTLET_BYTES	(8u * RPC_REPLY_PIECE_BYTES)
/* Memory of calls at the scheduler, all links: bytes and unpacked values. */
#define HELD_MAX	((size_t)512 << 20)

struct link {
	struct rpc_peer		peer;		/* first: a peer is its link */
	unsigned		magic;
#define LINK_MAGIC		0x11e3ca11
	TAILQ_ENTRY(link)	entry;		/* server->links or ->dead */
	struct rpc_server	*server;	/* borrowed: owns us */
	struct net_stream	*stream;	/* owned; NULL once closed */
	bool			up;		/* peer known */
	unsigned		in_flight;	/* submitted, not answered */
	TAILQ_HEAD(, rpc_served) sending;	/* have pieces; take turns */
	struct timer		timer;		/* handshake, then stall */
	uint64_t		moved;		/* bytes at the last tick */
};

struct rpc_server {
	unsigned		magic;
#define RPC_SERVER_MAGIC	0x5e54e3d1
	struct loop		*loop;		/* borrowed: outlives us */
	struct rpc_server_config config;
	void			*arg;		/* borrowed: outlives us */
	struct sched		*sched;		/* owned */
	unsigned		n_links;
	unsigned		n_listeners;
	struct event		*listeners[LISTENERS_MAX];	/* owned */
	struct timer		accept_timer;
	TAILQ_HEAD(, link)	links, dead;	/* owned */
	size_t			held;		/* memory of submitted calls */
	unsigned		submitted;	/* calls at the scheduler */
	struct timer		drain_timer;
	uint64_t		last_call_ms;
	void			(*drained)(void *);	/* NULL: not draining */
	void			*drained_arg;	/* borrowed */
};

/* What a call holds until it is done: itself, unpacked too, and what its answer
 * may have begun. */
static size_t
call_memory(const struct rpc_served *c)
{
	return (2 * buffer_len(&c->bytes) + c->frame.doc.bytes);
}

/* ---- the end of a link ---- */

static void
retire(struct rpc_served *c)
{
	struct link *l = (struct link *)c->peer;

	TAILQ_REMOVE(&l->peer.calls, c, entry);
	if (c->submitted)
		l->in_flight--;
	rpc_served_free(&c);
}

/* Of peers that were never known anyone can make any number. */
static void
link_down_log(const struct link *l, const char *why, const char *detail)
{
	static struct log_rate rate;
	unsigned suppressed = 0;

	if (l->up || log_rate_ok(&rate, 10, &suppressed))
		log_info("link-down role=%s name=%s why=%s detail=\"%s\" "
		    "suppressed=%u", rpc_role_name(l->peer.role),
		    l->peer.name, why, detail, suppressed);
}

static void
link_close_detail(struct link *l, const char *why, const char *detail)
{
	struct rpc_server *s = l->server;
	struct rpc_served *c, *next;

	obj_check(l, LINK_MAGIC);
	if (l->stream == NULL)
		return;
	link_down_log(l, why, detail);
	net_stream_close(&l->stream);
	timer_stop(&l->timer);
	TAILQ_FOREACH_SAFE(c, &l->peer.calls, entry, next) {
		if (c->done) {
			retire(c);
			continue;
		}
		/* The scheduler has it: it comes back to on_pieces. */
		TAILQ_REMOVE(&l->peer.calls, c, entry);
		c->peer = NULL;
		sched_cancel(s->sched, &c->job);
	}
	sched_outlet_close(s->sched, &l->peer.outlet);
	s->n_links--;
	TAILQ_REMOVE(&s->links, l, entry);
	TAILQ_INSERT_TAIL(&s->dead, l, entry);	/* freed when the loop unwinds */
	if (s->drained != NULL && TAILQ_EMPTY(&s->links))
		timer_start_ms(&s->drain_timer, 0);
}

static void
link_close(struct link *l, const char *why)
{
	link_close_detail(l, why, "");
}

static void
reap(void *arg)
{
	struct rpc_server *s = arg;
	struct link *l;

	while ((l = TAILQ_FIRST(&s->dead)) != NULL) {
		TAILQ_REMOVE(&s->dead, l, entry);
		timer_fini(&l->timer);
		l->magic = 0;
		free(l);
	}
}

/* ---- replies out ---- */

/* One piece of each call in turn, while the stream is not too full. */
static void
pump(struct link *l)
{
	struct sched *sched = l->server->sched;
	struct sched_piece *p;
	struct rpc_served *c;
	size_t held = 0;
	enum rc rc;

	while (l->stream != NULL && (c = TAILQ_FIRST(&l->sending)) != NULL &&
	    net_stream_unsent(l->stream) < UNSENT_HIGH) {
		p = STAILQ_FIRST(&c->to_send);
		STAILQ_REMOVE_HEAD(&c->to_send, next);
		TAILQ_REMOVE(&l->sending, c, sending_entry);
		rc = net_stream_write_buffer(l->stream, &p->frame);
		held += p->held;
		buffer_fini(&p->frame);
		free(p);
		if (!c->done)
			sched_taken(sched, &c->job, 1);
		c->sending = !STAILQ_EMPTY(&c->to_send);
		if (c->sending)
			TAILQ_INSERT_TAIL(&l->sending, c, sending_entry);
		else if (c->done)
			retire(c);
		if (rc != RC_OK)
			link_close(l, rc_name(rc));
	}
	if (held != 0 && l->peer.outlet != NULL)
		sched_outlet_taken(sched, l->peer.outlet, held);
}

/* Pieces have come to c->to_send.  Small answers of this thread go first. */
static void
send_pieces(struct link *l, struct rpc_served *c, bool first)
{
	if (!c->sending && !STAILQ_EMPTY(&c->to_send)) {
		c->sending = true;
		if (first)
			TAILQ_INSERT_HEAD(&l->sending, c, sending_entry);
		else
			TAILQ_INSERT_TAIL(&l->sending, c, sending_entry);
	}
	pump(l);
}

/* From the scheduler. */
static void
on_pieces(void *arg, struct sched_job *job, struct sched_pieces *pieces, bool done)
{
	struct rpc_server *s = arg;
	struct rpc_served *c = rpc_served_of(job);

	STAILQ_CONCAT(&c->to_send, pieces);
	if (done) {
		c->done = true;
		s->submitted--;
		s->held -= call_memory(c);
		s->last_call_ms = clock_mono_ms();
		s->config.ops->on_done(s->arg, c);
		STAILQ_CONCAT(&c->to_send, &c->job.made);
	}
	if (c->peer != NULL)
		send_pieces((struct link *)c->peer, c, false);
	else if (done)
		rpc_served_free(&c);
	else
		sched_pieces_free(&c->to_send);
}

/* ---- calls in ---- */

static enum rpc_status
admit(const struct link *l, const struct rpc_served *c)
{
	const struct rpc_server *s = l->server;

	/* Ping and Cancel are answered however full we are. */
	if (c->info != NULL && c->info->at_once)
		return (RPC_STATUS_OK);
	if (l->in_flight >= RPC_CALLS_MAX)
		return (RPC_STATUS_LIMIT);
	if (s->held + call_memory(c) > HELD_MAX)
		return (RPC_STATUS_OVERLOADED);
	return (RPC_STATUS_OK);
}

static void
on_frame(struct link *l, struct buffer *frame)
{
	struct rpc_server *s = l->server;
	enum rpc_status status;
	struct rpc_served *c;
	enum rc rc;

	rc = rpc_served_new(s->config.call_bytes, s->config.ops->on_free,
	    frame, &l->peer, &c);
	if (rc != RC_OK && c->frame.id == 0) {
		rpc_served_free(&c);
		link_close(l, "broken-call");
		return;
	}
	status = rc != RC_OK ? rpc_served_status(rc) : admit(l, c);
	if (status == RPC_STATUS_OK) {
		s->config.ops->on_call(s->arg, c);
	} else {
		rpc_served_fail(c, status);
		s->config.ops->on_refused(s->arg, status);
	}
	TAILQ_INSERT_TAIL(&l->peer.calls, c, entry);
	if (c->submitted) {
		l->in_flight++;
		s->submitted++;
		s->held += call_memory(c);
		return;
	}
	if (c->info == NULL || !c->info->at_once)
		s->last_call_ms = clock_mono_ms();
	c->done = true;
	STAILQ_CONCAT(&c->to_send, &c->job.made);
	send_pieces(l, c, true);
}

/* The one frame at the front of the input, moved when it is all there is. */
static enum rc
take_frame(struct buffer *in, size_t used, struct buffer *frame)
{
	enum rc rc;

	if (used == buffer_len(in)) {
		buffer_move(frame, in);
		return (RC_OK);
	}
	rc = buffer_append(frame, buffer_data(in), used);
	buffer_consume(in, used);
	return (rc);
}

static void
read_frames(struct link *l)
{
	while (l->stream != NULL) {
		struct buffer *in = net_stream_input(l->stream), frame;
		struct span payload;
		size_t used;
		enum rc rc;

		if (net_stream_unsent(l->stream) >= UNSENT_HIGH) {
			net_stream_read_pause(l->stream);
			return;
		}
		rc = rpc_frame_next(buffer_data(in), buffer_len(in),
		    RPC_FRAME_BYTES_MAX, &payload, &used);
		if (rc == RC_MORE) {
			net_stream_set_input_high(l->stream,
			    used > INPUT_HIGH ? used : INPUT_HIGH);
			return;
		}
		buffer_init(&frame, 0, true);
		if (rc == RC_OK)
			rc = take_frame(in, used, &frame);
		if (rc == RC_OK)
			on_frame(l, &frame);
		else
			link_close(l, rc == RC_LIMIT ? "frame-too-long" :
			    rc_name(rc));
		buffer_fini(&frame);
	}
}

/* ---- stream events ---- */

/* One certificate, which may be stolen, must not take every place: a quarter
 * is left to the others. */
static bool
has_its_share(const struct link *l, const struct net_link_peer *peer)
{
	const struct rpc_server *s = l->server;
	const struct link *other;
	unsigned n = 0;

	TAILQ_FOREACH(other, &s->links, entry)
		n += other->up && other->peer.role == l->peer.role &&
		    strcmp(other->peer.name, peer->name) == 0;
	return (n >= s->config.max_links - s->config.max_links / 4);
}

static void
on_ready(void *arg)
{
	struct link *l = arg;
	struct rpc_server *s = l->server;
	struct net_link_peer peer;
	char key[sizeof(peer.role) + sizeof(peer.name)];

	if (net_tls_link_peer(net_stream_ssl(l->stream), &peer) == RC_OK)
		l->peer.role = rpc_role_lookup(peer.role);
	if ((l->peer.role & RPC_ROLE_ANY) == 0) {
		link_close(l, "no-role");
		return;
	}
	if (has_its_share(l, &peer)) {
		link_close(l, "max-links-of-caller");
		return;
	}
	(void)span_copy(span_of(peer.name), l->peer.name,
	    sizeof(l->peer.name));
	l->peer.ssl = net_stream_ssl(l->stream);
	(void)snprintf(key, sizeof(key), "%s/%s", peer.role, peer.name);
	l->peer.outlet = sched_outlet_open(s->sched, key,
	    s->config.ops->weight(l->peer.role));
	l->up = true;
	timer_start_ms(&l->timer, STALL_MS);
	log_info("link-up role=%s name=%s serial=%s", peer.role,
	    peer.name, peer.serial);
	read_frames(l);
}

static void
on_input(void *arg)
{
	struct link *l = arg;

	if (l->up)
		read_frames(l);
}

static void
on_drained(void *arg)
{
	struct link *l = arg;

	pump(l);
	if (l->stream != NULL && l->up && net_stream_read_paused(l->stream)) {
		net_stream_read_resume(l->stream);
		read_frames(l);
	}
}

/* A caller that shut its end waits for nothing any more. */
static void
on_eof(void *arg)
{
	link_close(arg, "eof");
}

static void
on_error(void *arg, enum net_reason reason, const char *why)
{
	link_close_detail(arg, net_reason_name(reason), why);
}

static const struct net_stream_ops stream_ops = {
	.on_ready = on_ready,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_eof = on_eof,
	.on_error = on_error,
};

static void
on_link_timer(void *arg)
{
	struct link *l = arg;
	uint64_t moved = net_stream_sent_total(l->stream) +
	    net_stream_received_total(l->stream);
	bool waiting = net_stream_unsent(l->stream) != 0 ||
	    buffer_len(net_stream_input(l->stream)) != 0;

	if (!l->up) {
		link_close(l, "handshake-timeout");
	} else if (waiting && moved == l->moved) {
		link_close(l, "stalled");
	} else {
		l->moved = moved;
		timer_start_ms(&l->timer, STALL_MS);
	}
}

/* ---- listeners ---- */

static void
link_open(struct rpc_server *s, int fd)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->magic = LINK_MAGIC;
	l->server = s;
	l->peer.role = RPC_ROLE_NONE;
	l->peer.sched = s->sched;
	TAILQ_INIT(&l->peer.calls);
	TAILQ_INIT(&l->sending);
	timer_init(&l->timer, s->loop, on_link_timer, l);
	timer_start_ms(&l->timer, HANDSHAKE_MS);
	TAILQ_INSERT_TAIL(&s->links, l, entry);
	s->n_links++;
	l->stream = net_stream_accept(s->loop, fd, s->config.ctx, &stream_ops, l);
}

/* All places are taken: the oldest stranger's, whose handshake did not end
 * yet, is given away.  An honest one takes milliseconds. */
static bool
make_room(struct rpc_server *s)
{
	struct link *l;

	if (s->n_links < s->config.max_links)
		return (true);
	TAILQ_FOREACH(l, &s->links, entry) {
		if (!l->up) {
			link_close(l, "room-for-another");
			return (true);
		}
	}
	return (false);
}

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	static struct log_rate rate;
	struct rpc_server *s = arg;
	unsigned suppressed;

	(void)what;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4((int)lfd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0 && make_room(s)) {
			link_open(s, fd);
			continue;
		}
		if (fd < 0 && errno != EMFILE && errno != ENFILE &&
		    errno != ENOBUFS && errno != ENOMEM)
			return;		/* EAGAIN, or it went away again */
		if (log_rate_ok(&rate, 1, &suppressed))
			log_warn("link-refused why=%s suppressed=%u",
			    fd >= 0 ? "max-links" : strerror(errno),
			    suppressed);
		if (fd >= 0) {
			fd_close(&fd);
			continue;
		}
		for (unsigned k = 0; k < s->n_listeners; k++)
			(void)event_del(s->listeners[k]);
		timer_start_ms(&s->accept_timer, ACCEPT_PAUSE_MS);
		return;
	}
}

static void
on_accept_timer(void *arg)
{
	struct rpc_server *s = arg;

	for (unsigned i = 0; i < s->n_listeners; i++)
		ensure(event_add(s->listeners[i], NULL) == 0);
}

void
rpc_server_listen(struct rpc_server *s, int fd)
{
	struct event *ev;

	obj_check(s, RPC_SERVER_MAGIC);
	ensure(s->n_listeners < LISTENERS_MAX);
	ensure(fd_nonblock(fd) == RC_OK);
	ev = event_new(loop_base(s->loop), fd, EV_READ | EV_PERSIST,
	    on_accept, s);
	ensure(ev != NULL && event_add(ev, NULL) == 0);
	s->listeners[s->n_listeners++] = ev;
}

static void
listeners_close(struct rpc_server *s)
{
	timer_stop(&s->accept_timer);
	while (s->n_listeners != 0) {
		struct event *ev = s->listeners[--s->n_listeners];
		int fd = (int)event_get_fd(ev);

		event_free(ev);
		fd_close(&fd);
	}
}

/* ---- life ---- */

static void
on_drain_timer(void *arg)
{
	struct rpc_server *s = arg;
	uint64_t quiet_ms = clock_mono_ms() - s->last_call_ms;

	if (!TAILQ_EMPTY(&s->links) &&
	    (s->submitted != 0 || quiet_ms < RPC_SERVER_DRAIN_MS))
		timer_start_ms(&s->drain_timer, s->submitted != 0 ?
		    RPC_SERVER_DRAIN_MS : RPC_SERVER_DRAIN_MS - quiet_ms);
	else
		s->drained(s->drained_arg);
}

void
rpc_server_drain(struct rpc_server *s, void (*cb)(void *), void *arg)
{
	obj_check(s, RPC_SERVER_MAGIC);
	if (s->drained != NULL)
		return;
	log_info("drain links=%u calls=%u", s->n_links,
	    s->submitted);
	listeners_close(s);
	s->drained = cb;
	s->drained_arg = arg;
	s->last_call_ms = clock_mono_ms();
	timer_start_ms(&s->drain_timer, TAILQ_EMPTY(&s->links) ? 0 :
	    RPC_SERVER_DRAIN_MS);
}

struct rpc_server *
rpc_server_new(struct loop *loop, const struct rpc_server_config *config,
    void *arg)
{
	struct rpc_server *s = xcalloc(1, sizeof(*s));
	struct sched_config sched = config->sched;

	s->magic = RPC_SERVER_MAGIC;
	s->loop = loop;
	s->config = *config;
	s->arg = arg;
	TAILQ_INIT(&s->links);
	TAILQ_INIT(&s->dead);
	timer_init(&s->accept_timer, loop, on_accept_timer, s);
	timer_init(&s->drain_timer, loop, on_drain_timer, s);
	loop_idle_add(loop, reap, s);
	sched.outlet_bytes = OUTLET_BYTES;
	sched.on_pieces = on_pieces;
	sched.arg = s;
	if ((s->sched = sched_new(loop, &sched)) == NULL)
		rpc_server_free(&s);
	return (s);
}

void
rpc_server_free(struct rpc_server **sp)
{
	struct rpc_server *s = *sp;
	struct link *l;

	*sp = NULL;
	if (s == NULL)
		return;
	obj_check(s, RPC_SERVER_MAGIC);
	listeners_close(s);
	s->drained = NULL;
	while ((l = TAILQ_FIRST(&s->links)) != NULL)
		link_close(l, "server-stops");
	while (s->submitted != 0)	/* cancelled: one slice each */
		loop_turn(s->loop, true);
	reap(s);
	loop_idle_del(s->loop, reap, s);
	timer_fini(&s->accept_timer);
	timer_fini(&s->drain_timer);
	sched_free(&s->sched);
	s->magic = 0;
	free(s);
}

struct sched *
rpc_server_sched(struct rpc_server *s)
{
	obj_check(s, RPC_SERVER_MAGIC);
	return (s->sched);
}

unsigned
rpc_server_links(const struct rpc_server *s)
{
	obj_check(s, RPC_SERVER_MAGIC);
	return (s->n_links);
}
