/*
 * shm/feed/key_check.c - see key_check.h.
 *
 *   IDLE -> RESOLVING -> CONNECTING -> UP
 *     ^         |             |         |
 *     +---------+-------------+---------+   lost, or it cannot be reached
 *
 * While somebody waits, the next address is tried after a short pause; when
 * nobody does, the link is closed soon.  A check whose link was lost is asked
 * again on the next one: Authenticate changes nothing.
 */
#include "shm/feed/key_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/host.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/base/timer.h"
#include "lib/rpc/link.h"
#include "lib/rpc/message.h"

#define CHECKS_MAX	256
#define RETRY_MS	100	/* between addresses: a local engine that starts
				   again is there in a moment */
#define IDLE_MS		1000	/* an engine that wants to leave waits for links */
#define SCOPE		"manage"

enum key_link {
	KEY_LINK_IDLE,		/* none; maybe waiting for the retry */
	KEY_LINK_RESOLVING,	/* dns_id != 0 */
	KEY_LINK_CONNECTING,	/* link != NULL */
	KEY_LINK_UP
};

struct check {
	TAILQ_ENTRY(check)	link;
	struct key_check	*owner;		/* borrowed: owns us */
	uint64_t		call_id;	/* on the link; 0: waiting */
	uint64_t		deadline_ms;
	enum rc			at_deadline;
	key_check_cb		*cb;
	void			*arg;
	size_t			key_len;
	char			key[RPC_API_KEY_BYTES_MAX];	/* wiped */
};

struct key_check {
	unsigned		magic;
#define KEY_CHECK_MAGIC		0x58d1e06b
	struct feed		*feed;		/* borrowed: owns us */
	struct key_check_config	cfg;
	enum key_link		state;
	struct rpc_link		*link;		/* owned */
	uint64_t		dns_id;
	unsigned		turn;		/* which address is next */
	bool			unready;	/* the engine said so: try another */
	uint64_t		log_ms;		/* of the last line about it */
	struct timer		retry;		/* next try, or end of an idle link */
	struct timer		deadline;
	TAILQ_HEAD(, check)	checks;		/* owned; the oldest first */
	unsigned		n_checks;
};

/* ---- checks ------------------------------------------------------------------- */

static void
deadline_arm(struct key_check *k)
{
	const struct check *c = TAILQ_FIRST(&k->checks);
	uint64_t now = clock_mono_ms();

	if (c == NULL)
		timer_stop(&k->deadline);
	else		/* all wait equally long */
		timer_start_ms(&k->deadline,
		    c->deadline_ms > now ? c->deadline_ms - now : 0);
}

static void
check_end(struct check *c, enum rc rc, const char *app)
{
	struct key_check *k = c->owner;
	key_check_cb *cb = c->cb;
	void *arg = c->arg;

	if (c->call_id != 0 && k->link != NULL)
		rpc_link_cancel(k->link, c->call_id);
	TAILQ_REMOVE(&k->checks, c, link);
	k->n_checks--;
	secret_wipe(c, sizeof(*c));
	free(c);
	deadline_arm(k);
	if (TAILQ_EMPTY(&k->checks) && k->state == KEY_LINK_UP)
		timer_start_ms(&k->retry, IDLE_MS);
	cb(arg, rc, app);
}

static void
on_deadline(void *arg)
{
	struct key_check *k = arg;
	uint64_t now = clock_mono_ms();
	struct check *c;

	while ((c = TAILQ_FIRST(&k->checks)) != NULL && c->deadline_ms <= now)
		check_end(c, c->at_deadline, NULL);
	deadline_arm(k);
}

/* It starts, or leaves; another may be there. */
static void
ask_another(struct key_check *k)
{
	k->unready = true;
	timer_start_ms(&k->retry, RETRY_MS);
}

/* Its answer: an app and scopes, or the engine's no. */
static void
take_answer(struct check *c, enum rpc_status status,
    const struct rpc_value *body)
{
	struct rpc_authenticated a;
	char app[KEY_APP_BYTES];

	if (status == RPC_STATUS_UNAUTHORIZED)
		check_end(c, RC_NOTFOUND, NULL);
	else if (status == RPC_STATUS_NOT_READY)
		ask_another(c->owner);
	else if (status != RPC_STATUS_OK ||
	    rpc_authenticated_read(body, &a) != RC_OK ||
	    !span_copy(a.app, app, sizeof(app)))
		check_end(c, RC_UNAVAILABLE, NULL);
	else if (!rpc_authenticated_allows(&a, SCOPE))
		check_end(c, RC_DENIED, app);
	else
		check_end(c, RC_OK, app);
}

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct check *c = arg;

	(void)more;
	c->call_id = 0;
	if (rc == RC_OK)
		take_answer(c, status, body);
	else if (rc != RC_UNAVAILABLE && rc != RC_CANCELLED)
		check_end(c, RC_UNAVAILABLE, NULL);
	/* Else the link is gone: on_down follows, and the next one asks. */
}

static void
ask(struct check *c)
{
	struct buffer body;

	buffer_init(&body, 0, true);
	rpc_authenticate_put(&body, (struct span){ c->key, c->key_len });
	if (rpc_link_call(c->owner->link, RPC_OP_AUTHENTICATE, &body, 0,
	    on_reply, c, &c->call_id) != RC_OK)
		c->call_id = 0;		/* its deadline tells */
	buffer_fini(&body);
}

static void
ask_all(struct key_check *k)
{
	struct check *c;

	TAILQ_FOREACH(c, &k->checks, link)
		if (c->call_id == 0 && c->key_len > 0)
			ask(c);
}

/* ---- the link ------------------------------------------------------------------- */

static void
lost(struct key_check *k, const char *why)
{
	bool was_up = k->state == KEY_LINK_UP;

	k->state = KEY_LINK_IDLE;
	k->unready = false;
	rpc_link_close(&k->link);
	k->turn++;
	if (TAILQ_EMPTY(&k->checks)) {
		timer_stop(&k->retry);
		log_debug("engine link closed why=\"%s\"", why);
		return;
	}
	feed_log_down(&k->log_ms, "engine link", was_up, "-", why);
	timer_start_ms(&k->retry, RETRY_MS);
}

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct key_check *k = arg;

	obj_check(k, KEY_CHECK_MAGIC);
	k->state = KEY_LINK_UP;
	k->log_ms = 0;
	log_info("engine link up engine=%s serial=%s", peer->name,
	    peer->serial);
	ask_all(k);
	if (TAILQ_EMPTY(&k->checks))
		timer_start_ms(&k->retry, IDLE_MS);
}

static void
on_down(void *arg, const char *why)
{
	struct key_check *k = arg;

	obj_check(k, KEY_CHECK_MAGIC);
	lost(k, why);
}

static const struct rpc_link_ops link_ops = {
	.on_up = on_up,
	.on_down = on_down,
};

static void
connect_to(struct key_check *k, const struct net_addr *addr)
{
	struct rpc_link_config config = {
		.addr = *addr,
		.ctx = k->cfg.ctx,
		.stall_ms = RPC_LINK_STALL_MS,
		.connect_ms = RPC_LINK_CONNECT_MS,
		.max_calls = RPC_CALLS_MAX,
	};

	k->state = KEY_LINK_CONNECTING;
	k->link = rpc_link_open(k->feed->loop, &config, &link_ops, k);
}

static void
on_resolved(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct key_check *k = arg;

	k->dns_id = 0;
	if (rc == RC_OK && n > 0)
		connect_to(k, &addrs[k->turn % n]);
	else
		lost(k, "the engine's name cannot be resolved");
}

/* The address whose turn it is: those of conf, then those announced. */
static const char *
next_address(const struct key_check *k)
{
	size_t n = k->cfg.n_addresses + k->feed->engines->n, i;

	if (n == 0)
		return (NULL);
	i = k->turn % n;
	return (i < k->cfg.n_addresses ? k->cfg.addresses[i] :
	    k->feed->engines->v[i - k->cfg.n_addresses].address);
}

static void
resolve(struct key_check *k, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[HOST_BYTES];
	uint64_t port;

	if (colon == NULL || string_u64(span_of(colon + 1), &port) != RC_OK ||
	    port > UINT16_MAX || !span_copy((struct span){ text,
	    (size_t)(colon - text) }, host, sizeof(host))) {
		lost(k, "its address cannot be used");
		return;
	}
	k->state = KEY_LINK_RESOLVING;
	k->dns_id = net_dns_resolve(k->cfg.dns, host, (uint16_t)port,
	    on_resolved, k);
}

static void
connect_next(struct key_check *k)
{
	const char *text = next_address(k);
	struct net_addr addr;

	if (k->state != KEY_LINK_IDLE)
		return;
	if (text == NULL)
		lost(k, "there is no engine");
	else if (net_addr_parse(text, &addr) == RC_OK)
		connect_to(k, &addr);
	else
		resolve(k, text);
}

static void
on_retry(void *arg)
{
	struct key_check *k = arg;

	if (k->state == KEY_LINK_UP && TAILQ_EMPTY(&k->checks))
		lost(k, "idle");
	else if (k->state == KEY_LINK_UP && k->unready)
		lost(k, "it is not ready");
	else if (!TAILQ_EMPTY(&k->checks))
		connect_next(k);
}

/* ---- life ------------------------------------------------------------------------- */

/* False: *no is what it is without asking. */
static bool
may_ask(const struct key_check *k, struct span api_key, enum rc *no)
{
	*no = RC_TIMEOUT;
	if (api_key.len == 0 || api_key.len > RPC_API_KEY_BYTES_MAX)
		*no = RC_NOTFOUND;
	else if (k->cfg.ctx == NULL)
		*no = RC_UNAVAILABLE;
	return (*no == RC_TIMEOUT);
}

enum rc
key_check(struct key_check *k, struct span api_key, key_check_cb *cb, void *arg)
{
	struct check *c;

	obj_check(k, KEY_CHECK_MAGIC);
	if (k->n_checks == CHECKS_MAX)
		return (RC_LIMIT);
	c = xcalloc(1, sizeof(*c));
	c->owner = k;
	c->cb = cb;
	c->arg = arg;
	k->n_checks++;
	if (!may_ask(k, api_key, &c->at_deadline)) {
		c->deadline_ms = 0;	/* said from the loop */
		TAILQ_INSERT_HEAD(&k->checks, c, link);
		deadline_arm(k);
		return (RC_OK);
	}
	c->deadline_ms = clock_mono_ms() + KEY_CHECK_MS;
	c->key_len = api_key.len;
	memcpy(c->key, api_key.p, api_key.len);
	TAILQ_INSERT_TAIL(&k->checks, c, link);
	deadline_arm(k);
	if (k->state == KEY_LINK_UP)
		ask(c);
	else if (!timer_running(&k->retry))
		timer_start_ms(&k->retry, 0);
	return (RC_OK);
}

struct key_check *
key_check_new(struct feed *f, const struct key_check_config *cfg)
{
	struct key_check *k = xcalloc(1, sizeof(*k));

	k->magic = KEY_CHECK_MAGIC;
	k->feed = f;
	k->cfg = *cfg;
	TAILQ_INIT(&k->checks);
	timer_init(&k->retry, f->loop, on_retry, k);
	timer_init(&k->deadline, f->loop, on_deadline, k);
	return (k);
}

void
key_check_free(struct key_check **kp)
{
	struct key_check *k = *kp;
	struct check *c;

	*kp = NULL;
	if (k == NULL)
		return;
	obj_check(k, KEY_CHECK_MAGIC);
	if (k->dns_id != 0)
		net_dns_cancel(k->cfg.dns, k->dns_id);
	rpc_link_close(&k->link);
	while ((c = TAILQ_FIRST(&k->checks)) != NULL)
		check_end(c, RC_CANCELLED, NULL);
	timer_fini(&k->retry);
	timer_fini(&k->deadline);
	SSL_CTX_free(k->cfg.ctx);
	k->magic = 0;
	free(k);
}
