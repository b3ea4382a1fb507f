/*
 * net/stream.c - what the owner of a stream calls.
 *
 *	net_stream -> net_transport (transport.c)   calls on the socket or SSL
 *	           -> net_turn_item (turn.c)        a look before the loop waits
 *	           -> two libevent events           read and write interest
 *
 * Nothing here calls back, net_stream_flush excepted: the owner changes the
 * state and asks for a look; stream_run.c does the work from the loop.
 */
#include "lib/net/stream_private.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"

/* From this size on a buffer changes hands rather than being copied. */
#define MOVE_BYTES	4096

/* A finished stream is cut after linger_ms without progress, but a peer that
 * reads an answer byte by byte is not waited for longer than this many. */
#define LINGER_FACTOR	15

const char *
net_reason_name(enum net_reason reason)
{
	switch (reason) {
	case NET_REFUSED:
		return ("refused");
	case NET_RESET:
		return ("reset");
	case NET_TRUNCATED:
		return ("truncated");
	case NET_TLS_ERROR:
		return ("tls-error");
	case NET_TLS_UNTRUSTED:
		return ("tls-untrusted");
	case NET_PROXY_HEADER:
		return ("proxy-header");
	case NET_LOCAL_ERROR:
		return ("local-error");
	}
	return ("unknown");
}

static struct net_stream *
stream_new(struct loop *loop, const struct net_stream_ops *ops, void *arg)
{
	struct net_stream *s = xcalloc(1, sizeof(*s));

	s->magic = NET_STREAM_MAGIC;
	s->loop = loop;
	s->turn = net_turn_ref(loop);
	net_turn_init(&s->item, net_stream_look, net_stream_cool, s);
	s->io.fd = -1;
	s->read_wait = NET_STEP_WANT_READ;
	s->write_wait = NET_STEP_DONE;
	s->input_high = NET_INPUT_HIGH;
	s->read_hint = NET_READ_BYTES;
	buffer_init(&s->in, 0, true);
	buffer_init(&s->out, 0, true);
	s->ops = ops;
	s->arg = arg;
	return (s);
}

/* `first`: the state it begins in, if TLS (with a ctx) can be set up. */
static void
accept_in(struct net_stream *s, int fd, SSL_CTX *ctx,
    enum net_stream_state first)
{
	static const struct net_fault no_tls = { .reason = NET_LOCAL_ERROR,
		.why = "cannot set up TLS" };

	net_transport_adopt(&s->io, fd, &s->peer);
	if (s->proxied != NULL)
		s->proxied->proxy = s->peer;
	if (ctx != NULL &&
	    net_transport_tls(&s->io, ctx, true, NULL, NULL) != RC_OK) {
		net_stream_keep_fault(s, &no_tls);
		first = NET_STREAM_STILLBORN;
	}
	net_stream_start(s, first);
}

struct net_stream *
net_stream_accept(struct loop *loop, int fd, SSL_CTX *ctx,
    const struct net_stream_ops *ops, void *arg)
{
	struct net_stream *s = stream_new(loop, ops, arg);

	accept_in(s, fd, ctx, ctx != NULL ? NET_STREAM_HANDSHAKE :
	    NET_STREAM_OPEN);
	return (s);
}

struct net_stream *
net_stream_accept_proxied(struct loop *loop, int fd, SSL_CTX *ctx,
    const struct net_stream_ops *ops, void *arg)
{
	struct net_stream *s = stream_new(loop, ops, arg);

	s->proxied = xcalloc(1, sizeof(*s->proxied));
	buffer_init(&s->proxied->header, NET_PROXYPROTO_BYTES_MAX, false);
	accept_in(s, fd, ctx, NET_STREAM_PROXY_HEADER);
	return (s);
}

struct net_stream *
net_stream_connect(struct loop *loop, const struct net_stream_connect *p,
    const struct net_stream_ops *ops, void *arg)
{
	static const struct net_fault no_tls = { .reason = NET_LOCAL_ERROR,
		.why = "cannot set up TLS, or to verify this name" };
	struct net_stream *s = stream_new(loop, ops, arg);
	enum net_stream_state first = NET_STREAM_CONNECTING;
	struct net_fault f;

	s->peer = *p->addr;
	if (net_transport_connect(&s->io, p, &f) == NET_STEP_FAILED) {
		net_stream_keep_fault(s, &f);
		first = NET_STREAM_STILLBORN;
	} else if (p->ctx != NULL && net_transport_tls(&s->io, p->ctx, false,
	    p->server_name, p->session) != RC_OK) {
		net_stream_keep_fault(s, &no_tls);
		first = NET_STREAM_STILLBORN;
	}
	net_stream_start(s, first);
	return (s);
}

/* What is told of the other end, and the socket with all that is on it. */
static void
inherit(struct net_stream *s, struct net_stream *outer)
{
	/* Its own events go first: ours are for the same descriptor. */
	(void)event_del(&outer->ev_read);
	(void)event_del(&outer->ev_write);
	s->peer = outer->peer;
	s->proxied = outer->proxied;
	outer->proxied = NULL;
	s->sent = outer->sent;
	s->received = outer->received;
	s->fault = outer->fault;
	outer->fault = NULL;
	s->io = outer->io;
	outer->io = (struct net_transport){ .fd = -1 };
	net_transport_go_inside(&s->io, &outer->in, &outer->out,
	    outer->retry_len);
}

static struct net_stream *
go_inside(struct net_stream **outerp, SSL_CTX *ctx, bool server,
    const char *name, const struct net_stream_ops *ops, void *arg)
{
	static const struct net_fault no_tls = { .reason = NET_LOCAL_ERROR,
		.why = "cannot set up TLS inside" };
	enum net_stream_state first = NET_STREAM_HANDSHAKE;
	struct net_stream *s, *outer = *outerp;

	*outerp = NULL;
	net_stream_enter(outer);	/* we may be called from its callback */
	ensure(outer->state == NET_STREAM_OPEN &&
	    (outer->output == NET_OUTPUT_OPEN ||
	    outer->output == NET_OUTPUT_BROKEN));
	s = stream_new(outer->loop, ops, arg);
	inherit(s, outer);
	if (outer->output == NET_OUTPUT_BROKEN)
		first = NET_STREAM_STILLBORN;	/* it has the fault */
	else if (net_transport_tls(&s->io, ctx, server, name, NULL) != RC_OK) {
		net_stream_keep_fault(s, &no_tls);
		first = NET_STREAM_STILLBORN;
	}
	/* Its bytes may be here already, and what was queued wants to leave. */
	s->inside = true;
	net_stream_start(s, first);
	net_stream_abort(outer);
	net_stream_leave(outer);
	return (s);
}

struct net_stream *
net_stream_accept_inside(struct net_stream **outer, SSL_CTX *ctx,
    const struct net_stream_ops *ops, void *arg)
{
	return (go_inside(outer, ctx, true, NULL, ops, arg));
}

struct net_stream *
net_stream_connect_inside(struct net_stream **outer, SSL_CTX *ctx,
    const char *server_name, const struct net_stream_ops *ops, void *arg)
{
	return (go_inside(outer, ctx, false, server_name, ops, arg));
}

void
net_stream_set_ops(struct net_stream *s, const struct net_stream_ops *ops,
    void *arg)
{
	obj_check(s, NET_STREAM_MAGIC);
	s->ops = ops;
	s->arg = arg;
}

struct buffer *
net_stream_input(struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	/* Whoever asks is about to consume: a look gives the memory back. */
	if (s->busy == 0 && s->state != NET_STREAM_CLOSED)
		net_stream_ask(s);
	return (&s->in);
}

void
net_stream_set_input_high(struct net_stream *s, size_t bytes)
{
	obj_check(s, NET_STREAM_MAGIC);
	s->input_high = bytes;
	net_stream_ask(s);
}

void
net_stream_read_pause(struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	if (!s->paused)
		net_stream_ask(s);
	s->paused = true;
}

void
net_stream_read_resume(struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	if (s->paused)
		net_stream_ask(s);
	s->paused = false;
}

bool
net_stream_read_paused(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (s->paused);
}

static bool
may_write(const struct net_stream *s)
{
	return (s->output == NET_OUTPUT_OPEN && s->state != NET_STREAM_BROKEN &&
	    s->state != NET_STREAM_CLOSED);
}

enum rc
net_stream_write(struct net_stream *s, const void *data, size_t len)
{
	enum rc rc;

	obj_check(s, NET_STREAM_MAGIC);
	if (!may_write(s))
		return (RC_IO);
	if ((rc = buffer_append(&s->out, data, len)) != RC_OK)
		return (RC_NOMEM);
	if (s->write_wait == NET_STEP_DONE)
		net_stream_ask(s);
	return (RC_OK);
}

enum rc
net_stream_write_buffer(struct net_stream *s, struct buffer *b)
{
	enum rc rc;

	obj_check(s, NET_STREAM_MAGIC);
	if (!may_write(s))
		return (RC_IO);
	if (buffer_len(&s->out) != 0 || buffer_len(b) < MOVE_BYTES) {
		rc = net_stream_write(s, buffer_data(b), buffer_len(b));
		if (rc == RC_OK)
			buffer_clear(b);
		return (rc);
	}
	buffer_move(&s->out, b);
	s->out.max = 0;		/* its limit was b's own affair */
	net_stream_ask(s);
	return (RC_OK);
}

enum rc
net_stream_move(struct net_stream *to, struct buffer *from, size_t len)
{
	enum rc rc;

	if (len == buffer_len(from))
		return (net_stream_write_buffer(to, from));
	ensure(len < buffer_len(from));
	rc = net_stream_write(to, buffer_data(from), len);
	if (rc == RC_OK)
		buffer_consume(from, len);
	return (rc);
}

size_t
net_stream_unsent(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (buffer_len(&s->out) + net_transport_unsent(&s->io));
}

uint64_t
net_stream_sent_total(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (s->sent);
}

uint64_t
net_stream_received_total(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (s->received);
}

bool
net_stream_take_back(struct net_stream *s, uint64_t mark, struct buffer *to)
{
	obj_check(s, NET_STREAM_MAGIC);
	/* A record may be half out. */
	if (s->sent != mark || s->retry_len != 0 || buffer_len(&s->out) == 0)
		return (false);
	buffer_move(to, &s->out);
	return (true);
}

void
net_stream_flush(struct net_stream *s)
{
	net_stream_enter(s);
	net_stream_write_out(s);
	net_stream_leave(s);
}

void
net_stream_close(struct net_stream **sp)
{
	struct net_stream *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	net_stream_enter(s);
	net_stream_abort(s);
	net_stream_leave(s);
}

static void
begin_linger(struct net_stream *s, unsigned linger_ms)
{
	net_stream_set_state(s, NET_STREAM_LINGER);
	s->ops = NULL;
	s->arg = NULL;
	buffer_clear(&s->in);
	if (s->output == NET_OUTPUT_OPEN)
		s->output = NET_OUTPUT_ENDING;
	s->linger_ms = linger_ms;
	s->linger_end_ms = clock_mono_ms() +
	    (uint64_t)linger_ms * LINGER_FACTOR;
	timer_init(&s->linger, s->loop, net_stream_on_linger_end, s);
	net_stream_linger_again(s);
}

void
net_stream_finish(struct net_stream **sp, unsigned linger_ms)
{
	struct net_stream *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	net_stream_enter(s);
	if (s->state == NET_STREAM_OPEN && s->output != NET_OUTPUT_BROKEN &&
	    !(s->output == NET_OUTPUT_ENDED && s->eof))
		begin_linger(s, linger_ms);
	else
		net_stream_abort(s);	/* nothing to say, or all is said */
	net_stream_leave(s);
}

void
net_stream_shutdown(struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	if (!may_write(s))
		return;
	s->output = NET_OUTPUT_ENDING;
	net_stream_ask(s);
}

bool
net_stream_is_open(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (s->state == NET_STREAM_OPEN);
}

bool
net_stream_is_quiet(struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	if (s->state != NET_STREAM_OPEN || s->eof || s->inside ||
	    s->output != NET_OUTPUT_OPEN || buffer_len(&s->in) != 0)
		return (false);
	if (net_transport_is_quiet(&s->io))
		return (true);
	/* The look inside may have taken bytes off the socket. */
	s->inside = true;
	net_stream_ask(s);
	return (false);
}

SSL *
net_stream_ssl(struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (s->io.ssl);
}

int
net_stream_fd(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (s->io.fd);
}

const struct net_addr *
net_stream_peer(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (&s->peer);
}

bool
net_stream_peer_is_known(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (s->proxied == NULL || !s->proxied->unnamed);
}

const struct net_addr *
net_stream_proxy(const struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	return (s->proxied != NULL ? &s->proxied->proxy : NULL);
}

unsigned
net_stream_lingering(void)
{
	return (net_stream_count_lingering());
}
