/*
 * bench/e3load_client.c - arrivals by the clock on the callers' own library.
 *
 *   thread -> links        calls go round them, where there is room
 *          -> requests     in flight; kept for reuse
 *
 * There is no queue of requests that wait: the next one's time stands still
 * until it can be sent, and those behind it follow from it.
 */
#include "bench/e3load_client.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench/e3load_chance.h"
#include "bench/e3load_links.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "lib/rpc/link.h"

#define NS_PER_S	1000000000.0
#define NS_PER_MS	1000000u

struct request {
	struct load_thread	*thread;	/* borrowed */
	LIST_ENTRY(request)	entry;		/* thread->idle */
	struct rpc_link		*link;		/* borrowed: it fails its calls before
						   it goes */
	size_t			scenario;
	uint64_t		id;		/* on its link */
	uint64_t		t_due_ns;	/* when it should have left */
	uint64_t		fields, bytes;	/* of the answer so far */
	bool			counted, fits;
	uint64_t		t_cancel_ns;	/* 0: not cancelled */
	uint64_t		t_told_ns;	/* the Cancel was answered; or 0 */
	bool			cancel_open;	/* it is not, so far */
	bool			ended;
	uint64_t		late_pieces;
	struct timer		cancel;
};

struct load_thread {
	pthread_t		id;
	struct load_run		*run;		/* borrowed: main's */
	const struct load_client *client;	/* borrowed: the profile's */
	unsigned		index;
	SSL_CTX			*ctx;		/* borrowed: main's */
	struct loop		*loop;		/* owned */
	int			clock_fd;	/* owned: wakes us for arrivals */
	struct event		*clock;		/* owned */
	struct load_links	links;
	const struct buffer	*bodies;	/* borrowed: main's, copied */
	LIST_HEAD(, request)	idle;		/* owned */
	unsigned		in_flight;
	struct load_chance	chance;
	size_t			phase;
	uint64_t		t_phase_end_ns, t_due_ns, t_last_ns;
	double			counted_s;	/* of the phases */
	struct load_result	*results;	/* owned: one each scenario */
};

/* ---- requests ---- */

static void on_cancel_time(void *);

static struct request *
request_take(struct load_thread *t)
{
	struct request *r = LIST_FIRST(&t->idle);

	if (r != NULL) {
		LIST_REMOVE(r, entry);
		return (r);
	}
	r = xcalloc(1, sizeof(*r));
	r->thread = t;
	timer_init(&r->cancel, t->loop, on_cancel_time, r);
	return (r);
}

/* The call and its Cancel are both answered. */
static void
request_give(struct request *r)
{
	if (r->ended && !r->cancel_open)
		LIST_INSERT_HEAD(&r->thread->idle, r, entry);
}

/* The one place where a request ends. */
static void
request_end(struct request *r, enum rc rc, enum rpc_status status)
{
	struct load_thread *t = r->thread;
	struct load_result *result = &t->results[r->scenario];
	const struct load_scenario *s = &t->client->scenarios[r->scenario];
	uint64_t now = clock_mono_ns();

	t->in_flight--;
	t->t_last_ns = now;
	r->ended = true;
	timer_stop(&r->cancel);
	request_give(r);
	if (!r->counted)
		return;
	if (rc == RC_TIMEOUT) {
		result->timeouts++;
	} else if (rc != RC_OK) {
		result->lost++;
	} else if (r->t_cancel_ns != 0 && (status == RPC_STATUS_CANCELLED ||
	    status == RPC_STATUS_OK)) {
		load_times_add(&result->cancels, now - r->t_cancel_ns);
		load_times_add(&result->stops, r->t_told_ns != 0 ?
		    now - r->t_told_ns : 0);
		result->cancelled += status == RPC_STATUS_CANCELLED;
		result->late_pieces += r->late_pieces;
	} else if (status != RPC_STATUS_OK) {
		result->statuses[status]++;
	} else if (!r->fits || (s->op != LOAD_PING && r->fields != s->fields)) {
		result->wrong++;
	} else {
		load_times_add(&result->times, now - r->t_due_ns);
		result->fields += r->fields;
		result->bytes += r->bytes;
	}
}

static void
take_sealed(struct request *r, const struct rpc_value *body)
{
	struct rpc_sealed s;

	for (size_t i = 0, n = rpc_array_len(body); i < n; i++) {
		if (n == SIZE_MAX || rpc_sealed_at(body, i, &s) != RC_OK ||
		    s.status != RPC_SEALED || s.bytes.len == 0) {
			r->fits = false;
			return;
		}
		r->fields++;
		r->bytes += s.bytes.len;
	}
}

static void
take_opened(struct request *r, const struct rpc_value *body)
{
	size_t want = r->thread->client->scenarios[r->scenario].bytes;
	struct rpc_opened o;

	for (size_t i = 0, n = rpc_array_len(body); i < n; i++) {
		if (n == SIZE_MAX || rpc_opened_at(body, i, &o) != RC_OK ||
		    o.status != RPC_OPEN_OK || o.bytes.len != want) {
			r->fits = false;
			return;
		}
		r->fields++;
		r->bytes += o.bytes.len;
	}
}

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct request *r = arg;

	if (rc == RC_OK && status == RPC_STATUS_OK) {
		switch (r->thread->client->scenarios[r->scenario].op) {
		case LOAD_ENCRYPT:
			take_sealed(r, body);
			break;
		case LOAD_DECRYPT:
			take_opened(r, body);
			break;
		default:		/* a Ping carries nothing for us */
			break;
		}
	}
	if (rc == RC_OK && more)
		r->late_pieces += r->t_cancel_ns != 0;
	else
		request_end(r, rc, status);
}

static void
on_cancel_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct request *r = arg;

	(void)rc, (void)status, (void)body;
	if (more)
		return;
	r->t_told_ns = clock_mono_ns();
	r->cancel_open = false;
	request_give(r);
}

/* Not by rpc_link_cancel, which would hide the last piece from us. */
static void
on_cancel_time(void *arg)
{
	struct request *r = arg;
	struct buffer body;
	uint64_t id;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "id");
	rpc_put_u64(&body, r->id);
	r->t_cancel_ns = clock_mono_ns();
	r->cancel_open = rpc_link_call(r->link, RPC_OP_CANCEL, &body, 0,
	    on_cancel_reply, r, &id) == RC_OK;
	if (!r->cancel_open)
		r->t_cancel_ns = 0;	/* full or lost: it ends as it is */
	buffer_fini(&body);
}

static enum rpc_op
op_of(const struct load_scenario *s)
{
	return (s->op == LOAD_ENCRYPT ? RPC_OP_ENCRYPT :
	    s->op == LOAD_DECRYPT ? RPC_OP_DECRYPT : RPC_OP_PING);
}

/* False: it cannot be sent now. */
static bool
send_one(struct load_thread *t, uint64_t t_due_ns, bool counted)
{
	uint64_t limit_ms = t->run->profile->deadline_ms, waited_ms;
	struct rpc_link *l = load_links_choose(&t->links);
	const struct load_scenario *s;
	struct request *r;
	struct buffer body;
	enum rc rc;

	waited_ms = (clock_mono_ns() - t_due_ns) / NS_PER_MS;
	if (l == NULL && waited_ms < limit_ms)
		return (false);
	r = request_take(t);
	r->link = l;
	r->scenario = load_chance_scenario(&t->chance, t->client);
	r->t_due_ns = t_due_ns;
	r->counted = counted;
	r->fits = true;
	r->ended = r->cancel_open = false;
	r->fields = r->bytes = r->late_pieces = 0;
	r->t_cancel_ns = r->t_told_ns = 0;
	t->in_flight++;
	if (waited_ms >= limit_ms) {
		request_end(r, RC_TIMEOUT, RPC_STATUS_INTERNAL);
		return (true);
	}
	s = &t->client->scenarios[r->scenario];
	buffer_init(&body, 0, false);
	if (buffer_len(&t->bodies[r->scenario]) != 0)
		buffer_put(&body, buffer_data(&t->bodies[r->scenario]),
		    buffer_len(&t->bodies[r->scenario]));
	rc = rpc_link_call(l, op_of(s), &body,
	    (unsigned)(limit_ms - waited_ms), on_reply, r, &r->id);
	buffer_fini(&body);
	if (rc != RC_OK)
		request_end(r, rc, RPC_STATUS_INTERNAL);
	else if (s->cancel_after_ms != 0)
		timer_start_ms(&r->cancel, s->cancel_after_ms);
	return (true);
}

/* ---- the clock ---- */

static void
on_clock(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what, (void)arg;		/* the turn of the loop is what counts */
	if (read((int)fd, &n, sizeof(n)) != sizeof(n))
		return;			/* set anew meanwhile */
}

static void
wake_at(struct load_thread *t, uint64_t ns)
{
	const struct itimerspec when = { .it_value = {
	    .tv_sec = (time_t)(ns / (uint64_t)NS_PER_S),
	    .tv_nsec = (long)(ns % (uint64_t)NS_PER_S) } };

	ensure(timerfd_settime(t->clock_fd, TFD_TIMER_ABSTIME, &when, NULL) ==
	    0);
}

static void
phase_begin(struct load_thread *t, uint64_t start_ns)
{
	const struct load_phase *p;

	if (t->phase == t->client->n_phases)
		return;
	p = &t->client->phases[t->phase];
	t->t_phase_end_ns = start_ns + (uint64_t)(p->seconds * NS_PER_S);
	t->t_due_ns = start_ns;
	if (p->rate <= 0)
		return;
	/* Copies of one client step in turn, not all at once. */
	if (t->client->arrivals == LOAD_FIXED)
		t->t_due_ns += load_chance_gap_ns(&t->chance, t->client, p->rate) * t->index /
		    t->client->count;
	else
		t->t_due_ns += load_chance_gap_ns(&t->chance, t->client, p->rate);
}

/* All that should have left by now, and when to look again. */
static void
advance(struct load_thread *t)
{
	while (t->phase < t->client->n_phases) {
		const struct load_phase *p = &t->client->phases[t->phase];
		uint64_t now = clock_mono_ns();
		uint64_t t_next_ns = p->rate > 0 ? t->t_due_ns : now;

		if (t_next_ns >= t->t_phase_end_ns) {
			t->phase++;
			phase_begin(t, t->t_phase_end_ns);
		} else if (t_next_ns > now) {
			wake_at(t, t_next_ns);
			return;
		} else if (p->rate <= 0 && t->in_flight >= p->in_flight) {
			wake_at(t, t->t_phase_end_ns);
			return;
		} else if (!send_one(t, t_next_ns, !p->warm_up)) {
			return;		/* room comes with an answer */
		} else if (p->rate > 0) {
			t->t_due_ns += load_chance_gap_ns(&t->chance, t->client, p->rate);
		}
	}
}

/* ---- life ---- */

static void
thread_prepare(struct load_thread *t)
{
	t->loop = loop_new();
	t->clock_fd = timerfd_create(CLOCK_MONOTONIC,
	    TFD_NONBLOCK | TFD_CLOEXEC);
	if (t->clock_fd < 0)
		fatal(1, "no timer for client %s", t->client->name);
	t->clock = event_new(loop_base(t->loop), t->clock_fd,
	    EV_READ | EV_PERSIST, on_clock, NULL);
	ensure(t->clock != NULL && event_add(t->clock, NULL) == 0);
	(void)prctl(PR_SET_TIMERSLACK, 1);	/* 50 us else, on each arrival */
	load_links_open(&t->links, t->client, t->index, t->run->profile,
	    t->loop, t->ctx);
}

static void
thread_end(struct load_thread *t)
{
	struct request *r;

	load_links_close(&t->links);
	while ((r = LIST_FIRST(&t->idle)) != NULL) {
		LIST_REMOVE(r, entry);
		timer_fini(&r->cancel);
		free(r);
	}
	event_free(t->clock);
	(void)close(t->clock_fd);
	loop_free(&t->loop);
}

static void *
thread_main(void *arg)
{
	struct load_thread *t = arg;
	uint64_t t_counted_ns;
	double warm_s = 0;

	thread_prepare(t);
	(void)pthread_barrier_wait(&t->run->ready);
	(void)pthread_barrier_wait(&t->run->go);
	t->links.may_fail = true;
	phase_begin(t, t->run->start_ns);
	for (size_t i = 0; t->client->phases[i].warm_up; i++)
		warm_s += t->client->phases[i].seconds;
	t_counted_ns = t->run->start_ns + (uint64_t)(warm_s * NS_PER_S);
	do {
		advance(t);
		loop_turn(t->loop, true);
	} while (t->phase < t->client->n_phases || t->in_flight != 0);
	if (t->t_last_ns < t->t_phase_end_ns)
		t->t_last_ns = t->t_phase_end_ns;
	t->counted_s = (double)(t->t_last_ns - t_counted_ns) / NS_PER_S;
	thread_end(t);
	return (NULL);
}

struct load_thread *
load_thread_start(struct load_run *run, const struct load_client *client,
    unsigned index, SSL_CTX *ctx, const struct buffer *bodies)
{
	struct load_thread *t = xcalloc(1, sizeof(*t));

	t->run = run;
	t->client = client;
	t->index = index;
	t->ctx = ctx;
	t->bodies = bodies;
	t->chance.state = run->profile->seed << 32 ^ (uint64_t)client->line << 8 ^
	    index;
	t->results = xcalloc(client->n_scenarios, sizeof(*t->results));
	LIST_INIT(&t->idle);
	if (pthread_create(&t->id, NULL, thread_main, t) != 0)
		fatal(1, "no thread for client %s", client->name);
	return (t);
}

double
load_thread_join(struct load_thread **tp, struct load_result *results)
{
	struct load_thread *t = *tp;
	double seconds;

	*tp = NULL;
	ensure(pthread_join(t->id, NULL) == 0);
	for (size_t i = 0; i < t->client->n_scenarios; i++)
		load_result_merge(&results[i], &t->results[i]);
	seconds = t->counted_s;
	free(t->results);
	free(t);
	return (seconds);
}
