/* e3/server.c - links, and the flow of frames in both directions. */
#include "e3/server.h"

#include <errno.h>
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
/* Memory of calls at the scheduler, all links: bytes and unpacked values. */
#define HELD_MAX	((size_t)512 << 20)

struct link {
	struct e3_caller	caller;		/* first: a caller is its link */
	unsigned		magic;
#define E3_LINK_MAGIC		0x11e3ca11
	TAILQ_ENTRY(link)	entry;		/* server->links or ->dead */
	struct e3_server	*server;	/* borrowed: owns us */
	struct net_stream	*stream;	/* owned; NULL once closed */
	bool			up;		/* peer known */
	unsigned		in_flight;	/* submitted, not answered */
	TAILQ_HEAD(, e3_call)	sending;	/* have pieces; take turns */
	struct timer		timer;		/* handshake, then stall */
	uint64_t		moved;		/* bytes at the last tick */
};

struct e3_server {
	unsigned		magic;
#define E3_SERVER_MAGIC		0x5e54e3d1
	struct loop		*loop;		/* borrowed: outlives us */
	struct e3_engine	*engine;	/* borrowed: main's */
	SSL_CTX			*ctx;		/* borrowed: the platform's */
	unsigned		max_links;
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

/* What a call holds until it is done. */
static size_t
call_memory(const struct e3_call *c)
{
	return (buffer_len(&c->bytes) + c->frame.doc.bytes);
}

/* ---- the end of a link ---- */

static void
retire(struct e3_call *c)
{
	struct link *l = (struct link *)c->caller;

	TAILQ_REMOVE(&l->caller.calls, c, entry);
	if (c->submitted)
		l->in_flight--;
	e3_call_free(&c);
}

/* Of peers that were never known anyone can make any number. */
static void
link_down_log(const struct link *l, const char *why, const char *detail)
{
	static struct log_rate rate;
	unsigned suppressed = 0;

	if (l->up || log_rate_ok(&rate, 10, &suppressed))
		log_info("link-down role=%s name=%s why=%s detail=\"%s\" "
		    "suppressed=%u", rpc_role_name(l->caller.role),
		    l->caller.name, why, detail, suppressed);
}

static void
link_close_detail(struct link *l, const char *why, const char *detail)
{
	struct e3_server *s = l->server;
	struct e3_call *c, *next;

	obj_check(l, E3_LINK_MAGIC);
	if (l->stream == NULL)
		return;
	link_down_log(l, why, detail);
	net_stream_close(&l->stream);
	timer_stop(&l->timer);
	TAILQ_FOREACH_SAFE(c, &l->caller.calls, entry, next) {
		if (c->done) {
			retire(c);
			continue;
		}
		/* The scheduler has it: it comes back to on_pieces. */
		TAILQ_REMOVE(&l->caller.calls, c, entry);
		c->caller = NULL;
		e3_sched_cancel(s->engine->sched, &c->job);
	}
	e3_source_close(s->engine->sched, &l->caller.source);
	s->engine->links--;
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
	struct e3_server *s = arg;
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
	struct e3_sched *sched = l->server->engine->sched;
	struct e3_piece *p;
	struct e3_call *c;
	enum rc rc;

	while (l->stream != NULL && (c = TAILQ_FIRST(&l->sending)) != NULL &&
	    net_stream_unsent(l->stream) < UNSENT_HIGH) {
		p = STAILQ_FIRST(&c->to_send);
		STAILQ_REMOVE_HEAD(&c->to_send, next);
		TAILQ_REMOVE(&l->sending, c, sending_entry);
		rc = net_stream_write_buffer(l->stream, &p->frame);
		buffer_fini(&p->frame);
		free(p);
		if (!c->done)
			e3_sched_taken(sched, &c->job, 1);
		c->sending = !STAILQ_EMPTY(&c->to_send);
		if (c->sending)
			TAILQ_INSERT_TAIL(&l->sending, c, sending_entry);
		else if (c->done)
			retire(c);
		if (rc != RC_OK)
			link_close(l, rc_name(rc));
	}
}

/* Pieces have come to c->to_send.  Small answers of this thread go first. */
static void
send_pieces(struct link *l, struct e3_call *c, bool first)
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
on_pieces(void *arg, struct e3_job *job, struct e3_pieces *pieces, bool done)
{
	struct e3_server *s = arg;
	struct e3_call *c = e3_call_of(job);

	STAILQ_CONCAT(&c->to_send, pieces);
	if (done) {
		c->done = true;
		s->submitted--;
		s->held -= call_memory(c);
		s->engine->fields_sealed += c->n_sealed;
		s->engine->fields_opened += c->n_opened;
		s->last_call_ms = clock_mono_ms();
		if (c->finish != NULL)
			c->finish(s->engine, c);
		STAILQ_CONCAT(&c->to_send, &c->job.made);
	}
	if (c->caller != NULL)
		send_pieces((struct link *)c->caller, c, false);
	else if (done)
		e3_call_free(&c);
	else
		e3_pieces_free(&c->to_send);
}

/* ---- calls in ---- */

static enum rpc_status
admit(const struct link *l, const struct e3_call *c)
{
	const struct e3_server *s = l->server;

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
	struct e3_server *s = l->server;
	enum rpc_status status;
	struct e3_call *c;
	enum rc rc;

	rc = e3_call_new(frame, &l->caller, &c);
	if (rc != RC_OK && c->frame.id == 0) {
		e3_call_free(&c);
		link_close(l, "broken-call");
		return;
	}
	status = rc != RC_OK ? e3_call_status(rc) : admit(l, c);
	if (status == RPC_STATUS_OK)
		e3_dispatch(s->engine, c);
	else
		e3_call_fail(c, status);
	TAILQ_INSERT_TAIL(&l->caller.calls, c, entry);
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

static void
on_ready(void *arg)
{
	struct link *l = arg;
	struct net_link_peer peer;

	if (net_tls_link_peer(net_stream_ssl(l->stream), &peer) == RC_OK)
		l->caller.role = rpc_role_lookup(peer.role);
	if ((l->caller.role & RPC_ROLE_ANY) == 0) {
		link_close(l, "no-role");
		return;
	}
	(void)span_copy(span_of(peer.name), l->caller.name,
	    sizeof(l->caller.name));
	l->caller.ssl = net_stream_ssl(l->stream);
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
link_open(struct e3_server *s, int fd)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->magic = E3_LINK_MAGIC;
	l->server = s;
	l->caller.role = RPC_ROLE_NONE;
	l->caller.source = e3_source_open(s->engine->sched);
	TAILQ_INIT(&l->caller.calls);
	TAILQ_INIT(&l->sending);
	timer_init(&l->timer, s->loop, on_link_timer, l);
	timer_start_ms(&l->timer, HANDSHAKE_MS);
	TAILQ_INSERT_TAIL(&s->links, l, entry);
	s->engine->links++;
	l->stream = net_stream_accept(s->loop, fd, s->ctx, &stream_ops, l);
}

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	static struct log_rate rate;
	struct e3_server *s = arg;
	unsigned suppressed;

	(void)what;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4((int)lfd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0 && s->engine->links < s->max_links) {
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
	struct e3_server *s = arg;

	for (unsigned i = 0; i < s->n_listeners; i++)
		ensure(event_add(s->listeners[i], NULL) == 0);
}

void
e3_server_listen(struct e3_server *s, int fd)
{
	struct event *ev;

	obj_check(s, E3_SERVER_MAGIC);
	ensure(s->n_listeners < LISTENERS_MAX);
	ensure(fd_nonblock(fd) == RC_OK);
	ev = event_new(loop_base(s->loop), fd, EV_READ | EV_PERSIST,
	    on_accept, s);
	ensure(ev != NULL && event_add(ev, NULL) == 0);
	s->listeners[s->n_listeners++] = ev;
}

static void
listeners_close(struct e3_server *s)
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
	struct e3_server *s = arg;
	uint64_t quiet_ms = clock_mono_ms() - s->last_call_ms;

	if (!TAILQ_EMPTY(&s->links) &&
	    (s->submitted != 0 || quiet_ms < E3_DRAIN_MS))
		timer_start_ms(&s->drain_timer, s->submitted != 0 ?
		    E3_DRAIN_MS : E3_DRAIN_MS - quiet_ms);
	else
		s->drained(s->drained_arg);
}

void
e3_server_drain(struct e3_server *s, void (*cb)(void *), void *arg)
{
	obj_check(s, E3_SERVER_MAGIC);
	if (s->drained != NULL)
		return;
	log_info("drain links=%u calls=%u", s->engine->links,
	    s->submitted);
	listeners_close(s);
	s->drained = cb;
	s->drained_arg = arg;
	s->last_call_ms = clock_mono_ms();
	timer_start_ms(&s->drain_timer, TAILQ_EMPTY(&s->links) ? 0 :
	    E3_DRAIN_MS);
}

struct e3_server *
e3_server_new(struct loop *loop, struct e3_engine *engine,
    const struct e3_server_config *config)
{
	struct e3_server *s = xcalloc(1, sizeof(*s));

	s->magic = E3_SERVER_MAGIC;
	s->loop = loop;
	s->engine = engine;
	s->ctx = config->ctx;
	s->max_links = config->max_links;
	TAILQ_INIT(&s->links);
	TAILQ_INIT(&s->dead);
	timer_init(&s->accept_timer, loop, on_accept_timer, s);
	timer_init(&s->drain_timer, loop, on_drain_timer, s);
	loop_idle_add(loop, reap, s);
	engine->sched = e3_sched_new(loop, config->threads, config->max_queue,
	    on_pieces, s);
	engine->tables = e3_p256_tables_new(E3_P256_TABLES_MAX);
	if (engine->sched == NULL || engine->tables == NULL)
		e3_server_free(&s);
	return (s);
}

void
e3_server_free(struct e3_server **sp)
{
	struct e3_server *s = *sp;
	struct link *l;

	*sp = NULL;
	if (s == NULL)
		return;
	obj_check(s, E3_SERVER_MAGIC);
	listeners_close(s);
	s->drained = NULL;
	while ((l = TAILQ_FIRST(&s->links)) != NULL)
		link_close(l, "engine-stops");
	while (s->submitted != 0)	/* cancelled: one slice each */
		loop_turn(s->loop, true);
	reap(s);
	loop_idle_del(s->loop, reap, s);
	timer_fini(&s->accept_timer);
	timer_fini(&s->drain_timer);
	e3_sched_free(&s->engine->sched);
	e3_p256_tables_free(&s->engine->tables);
	s->magic = 0;
	free(s);
}
