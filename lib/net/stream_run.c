/*
 * net/stream_run.c - what a stream does when its socket or the loop calls.
 *
 * Work starts in on_event (the socket is ready) or in net_stream_look (idle:
 * something was written, consumed, paused ...).  Both run between enter and
 * leave; leave is the one place that sets event interest from the state.  So
 * every callback may close, and nobody arms events by hand.
 */
#include "lib/net/stream_private.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"

/* One TLS record for each SSL_write: what has to be repeated stays small. */
#define TLS_WRITE_BYTES	16384

#define TO(state)	(1u << NET_STREAM_##state)

static atomic_uint lingering;

void
net_stream_set_state(struct net_stream *s, enum net_stream_state to)
{
	static const unsigned char allowed[] = {
		[NET_STREAM_STILLBORN] = TO(BROKEN) | TO(CLOSED),
		[NET_STREAM_CONNECTING] = TO(HANDSHAKE) | TO(OPEN) |
		    TO(BROKEN) | TO(CLOSED),
		[NET_STREAM_PROXY_HEADER] = TO(HANDSHAKE) | TO(OPEN) |
		    TO(BROKEN) | TO(CLOSED),
		[NET_STREAM_HANDSHAKE] = TO(OPEN) | TO(BROKEN) | TO(CLOSED),
		[NET_STREAM_OPEN] = TO(LINGER) | TO(BROKEN) | TO(CLOSED),
		[NET_STREAM_LINGER] = TO(CLOSED),
		[NET_STREAM_BROKEN] = TO(CLOSED),
		[NET_STREAM_CLOSED] = 0,
	};

	ensure((allowed[s->state] & 1u << to) != 0);
	if (s->state == NET_STREAM_LINGER)
		atomic_fetch_sub(&lingering, 1);
	if (to == NET_STREAM_LINGER)
		atomic_fetch_add(&lingering, 1);
	s->state = to;
}

static bool
wants_input(const struct net_stream *s)
{
	return (s->state == NET_STREAM_OPEN && !s->eof && !s->paused &&
	    buffer_len(&s->in) < s->input_high);
}

static bool
has_output(const struct net_stream *s)
{
	if (s->state != NET_STREAM_OPEN && s->state != NET_STREAM_LINGER)
		return (false);
	switch (s->output) {
	case NET_OUTPUT_OPEN:
		return (buffer_len(&s->out) != 0);
	case NET_OUTPUT_ENDING:
		return (true);
	case NET_OUTPUT_ENDED:
	case NET_OUTPUT_BROKEN:
		break;
	}
	return (false);
}

/* ---- interest ---------------------------------------------------------- */

static void
arm(struct event *ev, short what, bool on)
{
	if ((event_pending(ev, what, NULL) != 0) == on)
		return;
	ensure((on ? event_add(ev, NULL) : event_del(ev)) == 0);
}

static void
set_interest(struct net_stream *s)
{
	bool want_read = false, want_write = false;

	switch (s->state) {
	case NET_STREAM_CONNECTING:
		want_write = true;
		break;
	case NET_STREAM_PROXY_HEADER:
		want_read = true;
		break;
	case NET_STREAM_HANDSHAKE:
		want_read = s->read_wait == NET_STEP_WANT_READ;
		want_write = s->read_wait == NET_STEP_WANT_WRITE;
		break;
	case NET_STREAM_OPEN:
	case NET_STREAM_LINGER:
		if (s->state == NET_STREAM_LINGER)
			want_read = !s->eof;
		else if (wants_input(s)) {
			want_read = s->read_wait == NET_STEP_WANT_READ;
			want_write = s->read_wait == NET_STEP_WANT_WRITE;
		}
		if (has_output(s)) {
			want_read |= s->write_wait == NET_STEP_WANT_READ;
			want_write |= s->write_wait == NET_STEP_WANT_WRITE;
		}
		break;
	case NET_STREAM_STILLBORN:
	case NET_STREAM_BROKEN:
	case NET_STREAM_CLOSED:
		break;
	}
	if (s->io.fd < 0)
		return;
	arm(&s->ev_read, EV_READ, want_read);
	arm(&s->ev_write, EV_WRITE, want_write);
}

/* The one promise that keeps a stream alive: bytes that are unsent have an
 * event armed that will send them, or a look that is still to come. */
static void
check_armed(const struct net_stream *s)
{
	if (!has_output(s))
		return;
	switch (s->write_wait) {
	case NET_STEP_WANT_WRITE:
		ensure(event_pending(&s->ev_write, EV_WRITE, NULL) != 0);
		return;
	case NET_STEP_WANT_READ:
		ensure(event_pending(&s->ev_read, EV_READ, NULL) != 0);
		return;
	case NET_STEP_DONE:
	case NET_STEP_EOF:
	case NET_STEP_FAILED:
		break;
	}
	ensure(s->item.on != NULL);
}

void
net_stream_ask(struct net_stream *s)
{
	net_turn_ask(s->turn, &s->item);
}

static void
stream_free(struct net_stream *s)
{
	buffer_fini(&s->in);
	buffer_fini(&s->out);
	if (s->proxied != NULL)
		buffer_fini(&s->proxied->header);
	free(s->proxied);
	free(s->fault);
	net_turn_unref(&s->turn);
	s->magic = 0;
	free(s);
}

void
net_stream_enter(struct net_stream *s)
{
	obj_check(s, NET_STREAM_MAGIC);
	s->busy++;
}

void
net_stream_leave(struct net_stream *s)
{
	if (--s->busy != 0)
		return;
	if (s->state == NET_STREAM_CLOSED) {
		stream_free(s);
		return;
	}
	/* 18,000 idle connections must not hold 18,000 records. */
	if (buffer_len(&s->in) == 0)
		buffer_fini(&s->in);
	if (buffer_len(&s->out) == 0)
		buffer_fini(&s->out);
	if (s->io.ssl != NULL)
		net_turn_warm(s->turn, &s->item);
	if ((has_output(s) && s->write_wait == NET_STEP_DONE) ||
	    (s->inside && (wants_input(s) ||
	    s->state == NET_STREAM_HANDSHAKE)))
		net_stream_ask(s);
	else if (s->state == NET_STREAM_OPEN && !s->eof && !s->paused &&
	    !wants_input(s))
		net_turn_watch(s->turn, &s->item);
	set_interest(s);
	check_armed(s);
}

/* Everything ends now but the memory, which frames above may still read. */
void
net_stream_abort(struct net_stream *s)
{
	ensure(s->busy != 0);	/* leave, not we, gives the memory back */
	if (s->state == NET_STREAM_CLOSED)
		return;
	net_stream_set_state(s, NET_STREAM_CLOSED);
	net_turn_forget(&s->item);
	if (s->io.fd >= 0) {
		(void)event_del(&s->ev_read);
		(void)event_del(&s->ev_write);
	}
	timer_fini(&s->linger);
	net_transport_close(&s->io);
}

/* Tell the owner that it is over.  Unsent bytes stay counted as unsent. */
static void
stream_fail(struct net_stream *s, const struct net_fault *f)
{
	if (s->state == NET_STREAM_LINGER) {
		net_stream_abort(s);
		return;
	}
	net_stream_set_state(s, NET_STREAM_BROKEN);
	s->ops->on_error(s->arg, f->reason, f->why);
}

void
net_stream_keep_fault(struct net_stream *s, const struct net_fault *f)
{
	if (s->fault == NULL)
		s->fault = xcalloc(1, sizeof(*f));
	*s->fault = *f;
}

/* ---- reading ----------------------------------------------------------- */

/*
 * Fill the input buffer until the socket has no more, the buffer is full, or
 * the stream ended.  Nothing is told to the owner here.
 */
static enum net_step
fill_input(struct net_stream *s, struct net_fault *f)
{
	enum net_step step;
	size_t size, n;
	char *at;

	s->inside = false;
	while (wants_input(s)) {
		size = s->input_high - buffer_len(&s->in);
		if (size > s->read_hint)
			size = s->read_hint;
		if (buffer_reserve(&s->in, size, &at) != RC_OK) {
			*f = (struct net_fault){ .reason = NET_LOCAL_ERROR,
			    .why = "no memory for input" };
			return (NET_STEP_FAILED);
		}
		step = net_transport_read(&s->io, at, size, &n, f);
		buffer_commit(&s->in, n);	/* no byte more was written */
		if (step != NET_STEP_DONE)
			return (step);
		s->received += n;
		/* Less than we asked for, and nothing inside: the socket is
		 * empty and its event will tell.  Saves the read that only
		 * says EAGAIN. */
		if (!net_transport_has_inside(&s->io) &&
		    (s->io.ssl != NULL || n < size) &&
		    s->output != NET_OUTPUT_BROKEN)
			return (NET_STEP_WANT_READ);
	}
	s->inside = s->output == NET_OUTPUT_BROKEN ||
	    net_transport_has_inside(&s->io);
	return (NET_STEP_DONE);
}

static void
read_turn(struct net_stream *s)
{
	bool was_broken = s->output == NET_OUTPUT_BROKEN;
	uint64_t before = s->received;
	struct net_fault f;
	enum net_step step = fill_input(s, &f);

	s->read_wait = step == NET_STEP_WANT_WRITE ? step : NET_STEP_WANT_READ;
	s->read_hint = s->received - before > NET_READ_BYTES ? NET_INPUT_HIGH :
	    NET_READ_BYTES;
	if (s->received != before)
		s->ops->on_input(s->arg);
	if (s->state != NET_STREAM_OPEN || step == NET_STEP_DONE)
		return;
	if (step == NET_STEP_EOF) {
		s->eof = true;
		s->ops->on_eof(s->arg);
		if (s->state != NET_STREAM_OPEN)
			return;
	}
	/* What the peer sent before it left is delivered: say why it left. */
	if (was_broken)
		stream_fail(s, s->fault);
	else if (step == NET_STEP_FAILED)
		stream_fail(s, &f);
}

/* The owner has left: make room for the peer to read our answer. */
static void
drop_input(struct net_stream *s)
{
	switch (net_transport_drop(&s->io)) {
	case NET_STEP_EOF:
		s->eof = true;
		break;
	case NET_STEP_FAILED:
		net_stream_abort(s);
		return;
	case NET_STEP_DONE:
	case NET_STEP_WANT_READ:
	case NET_STEP_WANT_WRITE:
		break;
	}
	if (s->eof && s->output == NET_OUTPUT_ENDED)
		net_stream_abort(s);
}

/* ---- writing ----------------------------------------------------------- */

static void
write_failed(struct net_stream *s, const struct net_fault *f)
{
	/* An origin may answer and hang up before it has read all: what it
	 * said counts.  After its reset no read can block. */
	if (f->peer_gone && s->state == NET_STREAM_OPEN && !s->eof && !s->paused) {
		net_stream_keep_fault(s, f);
		s->output = NET_OUTPUT_BROKEN;
		s->read_wait = NET_STEP_WANT_READ;
		s->inside = true;	/* net_stream_leave() asks for the read */
		return;
	}
	stream_fail(s, f);
}

void
net_stream_linger_again(struct net_stream *s)
{
	uint64_t now = clock_mono_ms(), ms = s->linger_ms;

	if (now >= s->linger_end_ms)
		ms = 0;
	else if (ms > s->linger_end_ms - now)
		ms = s->linger_end_ms - now;
	timer_start_ms(&s->linger, ms);
}

/* close_notify and FIN, once the queue is empty. */
static void
end_output(struct net_stream *s)
{
	struct net_fault f;
	enum net_step step = net_transport_end(&s->io, &f);

	switch (step) {
	case NET_STEP_WANT_READ:
	case NET_STEP_WANT_WRITE:
		s->write_wait = step;
		return;
	case NET_STEP_FAILED:
		write_failed(s, &f);
		return;
	case NET_STEP_EOF:
	case NET_STEP_DONE:
		break;
	}
	s->output = NET_OUTPUT_ENDED;
	if (s->state != NET_STREAM_LINGER)
		return;
	if (s->eof)
		net_stream_abort(s);
	else
		net_stream_linger_again(s);
}

/* RC_OK: the queue is empty.  RC_AGAIN: blocked, write_wait says on what.
 * RC_IO: the stream or its output broke, the owner may know. */
static enum rc
write_queue(struct net_stream *s)
{
	struct net_fault f;
	enum net_step step;
	size_t len, n;

	while ((len = buffer_len(&s->out)) != 0) {
		if (s->retry_len != 0)
			len = s->retry_len;
		else if (s->io.ssl != NULL && len > TLS_WRITE_BYTES)
			len = TLS_WRITE_BYTES;
		step = net_transport_write(&s->io, buffer_data(&s->out), len,
		    &n, &f);
		switch (step) {
		case NET_STEP_DONE:
			s->retry_len = 0;
			s->sent += n;
			buffer_consume(&s->out, n);
			continue;
		case NET_STEP_WANT_READ:
		case NET_STEP_WANT_WRITE:
			s->write_wait = step;
			s->retry_len = s->io.ssl != NULL ? len : 0;
			return (RC_AGAIN);
		case NET_STEP_EOF:
		case NET_STEP_FAILED:
			write_failed(s, &f);
			return (RC_IO);
		}
	}
	return (RC_OK);
}

void
net_stream_write_out(struct net_stream *s)
{
	uint64_t before = s->sent;
	enum rc rc;

	if (!has_output(s) || s->write_wait != NET_STEP_DONE)
		return;
	rc = write_queue(s);
	if (s->state == NET_STREAM_LINGER && s->sent != before)
		net_stream_linger_again(s);
	if (rc != RC_OK)
		return;
	if (s->output == NET_OUTPUT_ENDING)
		end_output(s);
	if (s->sent != before && s->state == NET_STREAM_OPEN)
		s->ops->on_drained(s->arg);
}

/* ---- events ------------------------------------------------------------ */

/* What the outer stream had queued leaves before anything of ours, and the
 * peer may wait for it before it says a word. */
static enum net_step
rest_and_handshake(struct net_stream *s, struct net_fault *f)
{
	enum net_step step;
	size_t n;

	step = net_transport_send_rest(&s->io, &n, f);
	s->sent += n;
	return (step != NET_STEP_DONE ? step :
	    net_transport_handshake(&s->io, f));
}

static void
handshake(struct net_stream *s)
{
	struct net_fault f;
	enum net_step step = rest_and_handshake(s, &f);

	s->inside = false;	/* it took all there was, or it waits */
	switch (step) {
	case NET_STEP_WANT_READ:
	case NET_STEP_WANT_WRITE:
		s->read_wait = step;
		return;
	case NET_STEP_EOF:
		f = (struct net_fault){ .reason = NET_RESET,
		    .why = "closed during the handshake" };
		stream_fail(s, &f);
		return;
	case NET_STEP_FAILED:
		stream_fail(s, &f);
		return;
	case NET_STEP_DONE:
		break;
	}
	net_stream_set_state(s, NET_STREAM_OPEN);
	s->read_wait = NET_STEP_WANT_READ;
	s->inside = net_transport_has_inside(&s->io);
	s->ops->on_ready(s->arg);
}

static void
proxy_header(struct net_stream *s)
{
	struct net_proxyproto h;
	struct net_fault f;

	switch (net_transport_proxy_header(&s->io, &s->proxied->header, &h,
	    &f)) {
	case NET_STEP_WANT_READ:
	case NET_STEP_WANT_WRITE:
		return;
	case NET_STEP_EOF:
	case NET_STEP_FAILED:
		stream_fail(s, &f);
		return;
	case NET_STEP_DONE:
		break;
	}
	buffer_fini(&s->proxied->header);
	if (h.has_client)
		s->peer = h.client;
	s->proxied->unnamed = h.bytes != 0 && !h.local && !h.has_client;
	if (s->io.ssl != NULL) {
		net_stream_set_state(s, NET_STREAM_HANDSHAKE);
		handshake(s);
		return;
	}
	net_stream_set_state(s, NET_STREAM_OPEN);
	s->ops->on_ready(s->arg);
}

static void
connected(struct net_stream *s)
{
	struct net_fault f;

	if (net_transport_connected(&s->io, &f) == NET_STEP_FAILED) {
		stream_fail(s, &f);
		return;
	}
	if (s->io.ssl != NULL) {
		net_stream_set_state(s, NET_STREAM_HANDSHAKE);
		handshake(s);
		return;
	}
	net_stream_set_state(s, NET_STREAM_OPEN);
	s->ops->on_ready(s->arg);
}

/* The socket can do what `ready` waits for. */
static void
run_open(struct net_stream *s, enum net_step ready)
{
	if (s->write_wait == ready) {
		s->write_wait = NET_STEP_DONE;
		net_stream_write_out(s);
	}
	if (s->state == NET_STREAM_OPEN && s->read_wait == ready && wants_input(s))
		read_turn(s);
	else if (s->state == NET_STREAM_LINGER && ready == NET_STEP_WANT_READ)
		drop_input(s);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct net_stream *s = arg;

	(void)fd;
	net_stream_enter(s);
	switch (s->state) {
	case NET_STREAM_CONNECTING:
		connected(s);
		break;
	case NET_STREAM_PROXY_HEADER:
		proxy_header(s);
		break;
	case NET_STREAM_HANDSHAKE:
		handshake(s);
		break;
	case NET_STREAM_OPEN:
	case NET_STREAM_LINGER:
		run_open(s, (what & EV_WRITE) != 0 ? NET_STEP_WANT_WRITE :
		    NET_STEP_WANT_READ);
		break;
	case NET_STREAM_STILLBORN:
	case NET_STREAM_BROKEN:
	case NET_STREAM_CLOSED:
		break;
	}
	net_stream_leave(s);
}

/* Before the loop waits: somebody asked, or our input was full. */
void
net_stream_look(void *arg)
{
	struct net_stream *s = arg;

	net_stream_enter(s);
	if (s->state == NET_STREAM_STILLBORN)
		stream_fail(s, s->fault);
	else if (s->state == NET_STREAM_HANDSHAKE && s->inside)
		handshake(s);
	net_stream_write_out(s);
	if (s->state == NET_STREAM_OPEN && s->output == NET_OUTPUT_BROKEN && s->paused)
		stream_fail(s, s->fault);	/* nobody wants the rest */
	else if (s->inside && wants_input(s))
		read_turn(s);
	net_stream_leave(s);
}

/* Many others worked since we did. */
void
net_stream_cool(void *arg)
{
	struct net_stream *s = arg;

	obj_check(s, NET_STREAM_MAGIC);
	if (s->busy == 0)	/* else it is warm again when it leaves */
		net_transport_rest(&s->io);
}

void
net_stream_on_linger_end(void *arg)
{
	struct net_stream *s = arg;

	net_stream_enter(s);
	net_stream_abort(s);
	net_stream_leave(s);
}

void
net_stream_start(struct net_stream *s, enum net_stream_state first)
{
	struct event_base *base = loop_base(s->loop);

	net_stream_enter(s);
	if (s->io.fd >= 0) {
		ensure(event_assign(&s->ev_read, base, s->io.fd,
		    EV_READ | EV_PERSIST, on_event, s) == 0);
		ensure(event_assign(&s->ev_write, base, s->io.fd,
		    EV_WRITE | EV_PERSIST, on_event, s) == 0);
	}
	s->state = first;
	if (first == NET_STREAM_STILLBORN)
		net_stream_ask(s);
	net_stream_leave(s);
}

unsigned
net_stream_count_lingering(void)
{
	return (atomic_load(&lingering));
}
