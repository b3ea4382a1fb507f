/*
 * net/dns.c - one cache entry per name, c-ares below it, waiters above it.
 *
 *	net_dns_resolve -> waiter -> entry -> v6, v4 (asking | known until expiry)
 *	                               `-> ares_getaddrinfo, sockets on the loop
 *
 * The families are asked and remembered apart: a server that is silent for
 * AAAA, as some are, must not keep the name's IPv4 addresses from their user
 * (RFC 8305 3).  c-ares joins both to one answer that waits for the slower.
 *
 * A waiter is answered from an event of its own, never from inside c-ares:
 * its callback may resolve and cancel at will.
 *
 * Files are read here only at net_dns_new: resolv.conf by c-ares, the hosts
 * file by us.  Lookups go to DNS alone ("b"), because c-ares would open
 * /etc/hosts for each name, and a worker may open nothing once it runs.  A
 * change of either file is seen by the next generation of workers (reload).
 * Search domains are not applied: a name that does not exist must not turn
 * into another one that does.
 */
#include "lib/net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/host.h"
#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/timer.h"
#include "lib/net/hosts.h"

#define CACHE_MAX	1024	/* names; more than a worker's origins */
#define BUCKETS		1024	/* of both tables; a power of two */
#define TTL_MIN_S	1	/* a TTL of 0 must not mean a query each time */
#define TTL_MAX_S	300	/* a moved origin is found again in minutes */
#define TTL_FAILED_S	5
#define QUERY_TRY_MS	1000	/* first try; c-ares doubles it: 1 + 2 + 4 s */
#define QUERY_TRIES	3
#define LATE_MS		50	/* one family known: how long to wait for the
				   other (RFC 8305 8: Resolution Delay) */

/* Without a port, and a tenth of a net_addr. */
struct ip {
	uint8_t	family;		/* AF_INET or AF_INET6 */
	uint8_t	bytes[16];
};

TAILQ_HEAD(waiter_list, waiter);

enum { V6, V4, FAMILIES };	/* in the order of preference */

/* What is known of a name's addresses of one family. */
struct family {
	struct entry		*entry;		/* borrowed: embeds us */
	bool			asking;		/* c-ares will call on_answer */
	enum rc			rc;
	uint64_t		expires_ms;
	size_t			n;
	struct ip		ips[NET_DNS_ADDRS_MAX];
};

struct entry {
	TAILQ_ENTRY(entry)	by_use;		/* cached names, oldest first */
	LIST_ENTRY(entry)	by_host;
	struct net_dns		*dns;		/* borrowed: owns us */
	bool			hosts_file;	/* never expires, never evicted */
	bool			late;		/* the family still asked for had its
						   time: the other will do */
	struct timer		delay;		/* until then */
	struct waiter_list	waiting;	/* for the answer to come */
	unsigned		waiters;	/* that point here, ready or not */
	struct family		families[FAMILIES];
	char			host[HOST_BYTES];
};

struct waiter {
	TAILQ_ENTRY(waiter)	link;		/* entry->waiting or dns->ready */
	LIST_ENTRY(waiter)	by_id;
	uint64_t		id;
	struct entry		*entry;		/* borrowed: stays while counted;
						   NULL: rc and ip say it all */
	enum rc			rc;
	struct ip		ip;
	bool			ready;		/* on which list */
	uint16_t		port;
	net_dns_cb		*cb;
	void			*arg;		/* borrowed: cancels before it dies */
};

/* A socket of c-ares. */
struct watch {
	LIST_ENTRY(watch)	link;
	struct net_dns		*dns;		/* borrowed: owns us */
	struct event		*ev;		/* owned */
	ares_socket_t		fd;
};

LIST_HEAD(entry_bucket, entry);
LIST_HEAD(waiter_bucket, waiter);

struct net_dns {
	unsigned		magic;
#define NET_DNS_MAGIC		0x5be0d274
	struct loop		*loop;		/* borrowed: outlives us */
	ares_channel		channel;	/* owned */
	struct timer		timeout;	/* c-ares' next deadline */
	struct event		*ev_ready;	/* owned */
	uint64_t		last_id;
	uint32_t		salt;		/* peers choose names, not buckets */
	size_t			n_cached;
	TAILQ_HEAD(, entry)	by_use;
	struct waiter_list	ready;
	LIST_HEAD(, watch)	watches;
	struct entry_bucket	entries[BUCKETS];
	struct waiter_bucket	ids[BUCKETS];
};

/* ---- entries ----------------------------------------------------------- */

static void on_late(void *);

static struct entry_bucket *
bucket_of(struct net_dns *d, const char *host)
{
	uint32_t h = d->salt;

	for (; *host != '\0'; host++)	/* FNV-1a, salted */
		h = (h ^ (unsigned char)*host) * 16777619u;
	return (&d->entries[(h ^ h >> 16) % BUCKETS]);
}

static struct entry *
entry_find(struct net_dns *d, const char *host)
{
	struct entry *e;

	LIST_FOREACH(e, bucket_of(d, host), by_host)
		if (strcmp(e->host, host) == 0)
			return (e);
	return (NULL);
}

static bool
is_asking(const struct entry *e)
{
	return (e->families[V6].asking || e->families[V4].asking);
}

static struct entry *
entry_new(struct net_dns *d, const char *host, bool hosts_file)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	e->dns = d;
	e->hosts_file = hosts_file;
	for (size_t i = 0; i < FAMILIES; i++)
		e->families[i].entry = e;
	timer_init(&e->delay, d->loop, on_late, e);
	TAILQ_INIT(&e->waiting);
	(void)snprintf(e->host, sizeof(e->host), "%s", host);
	LIST_INSERT_HEAD(bucket_of(d, host), e, by_host);
	if (!hosts_file) {
		TAILQ_INSERT_TAIL(&d->by_use, e, by_use);
		d->n_cached++;
	}
	return (e);
}

static void
entry_free(struct entry *e)
{
	struct net_dns *d = e->dns;

	timer_fini(&e->delay);
	LIST_REMOVE(e, by_host);
	if (!e->hosts_file) {
		TAILQ_REMOVE(&d->by_use, e, by_use);
		d->n_cached--;
	}
	free(e);
}

/* Room for one more name: the longest unused one that nobody waits for.
 * False when all are awaited: more names in flight than we care to ask. */
static bool
make_room(struct net_dns *d)
{
	struct entry *e;

	if (d->n_cached < CACHE_MAX)
		return (true);
	TAILQ_FOREACH(e, &d->by_use, by_use) {
		if (is_asking(e) || e->waiters != 0)
			continue;
		entry_free(e);
		return (true);
	}
	return (false);
}

static void
entry_touch(struct entry *e)
{
	if (e->hosts_file)
		return;
	TAILQ_REMOVE(&e->dns->by_use, e, by_use);
	TAILQ_INSERT_TAIL(&e->dns->by_use, e, by_use);
}

static void
add_ip(struct family *f, int family, const void *bytes)
{
	struct ip *ip = &f->ips[f->n];

	if (f->n == NET_DNS_ADDRS_MAX)
		return;
	ip->family = (uint8_t)family;
	memcpy(ip->bytes, bytes, family == AF_INET ? 4 : 16);
	f->n++;
}

/* ---- waiters ----------------------------------------------------------- */

static void
waiter_free(struct net_dns *d, struct waiter *w)
{
	TAILQ_REMOVE(w->ready ? &d->ready : &w->entry->waiting, w, link);
	LIST_REMOVE(w, by_id);
	if (w->entry != NULL)
		w->entry->waiters--;
	free(w);
}

static void
waiter_ready(struct net_dns *d, struct waiter *w)
{
	w->ready = true;
	TAILQ_INSERT_TAIL(&d->ready, w, link);
	event_active(d->ev_ready, EV_TIMEOUT, 0);
}

static void
to_addr(const struct ip *ip, uint16_t port, struct net_addr *out)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	memset(out, 0, sizeof(*out));
	if (ip->family == AF_INET) {
		in.sin_port = htons(port);
		memcpy(&in.sin_addr, ip->bytes, sizeof(in.sin_addr));
		memcpy(&out->ss, &in, sizeof(in));
		out->len = sizeof(in);
	} else {
		in6.sin6_port = htons(port);
		memcpy(&in6.sin6_addr, ip->bytes, sizeof(in6.sin6_addr));
		memcpy(&out->ss, &in6, sizeof(in6));
		out->len = sizeof(in6);
	}
}

/* The families take turns, so that neither keeps the other out. */
static size_t
entry_addrs(const struct entry *e, uint16_t port, struct net_addr *out)
{
	size_t n = 0;

	for (size_t i = 0; i < NET_DNS_ADDRS_MAX; i++) {
		for (size_t k = 0; k < FAMILIES; k++) {
			const struct family *f = &e->families[k];

			if (i < f->n && n < NET_DNS_ADDRS_MAX)
				to_addr(&f->ips[i], port, &out[n++]);
		}
	}
	return (n);
}

static bool
has_addrs(const struct entry *e)
{
	return (e->families[V6].n != 0 || e->families[V4].n != 0);
}

/* Without an address: "no such name" only if that holds for both families. */
static enum rc
entry_rc(const struct entry *e)
{
	if (has_addrs(e))
		return (RC_OK);
	return (e->families[V4].rc != RC_NOTFOUND ? e->families[V4].rc :
	    e->families[V6].rc);
}

static void
answer(struct net_dns *d, struct waiter *w)
{
	struct net_addr addrs[NET_DNS_ADDRS_MAX];
	const struct entry *e = w->entry;
	enum rc rc = e == NULL ? w->rc : entry_rc(e);
	net_dns_cb *cb = w->cb;
	void *arg = w->arg;
	size_t n = 0;

	if (rc == RC_OK && e == NULL)
		to_addr(&w->ip, w->port, &addrs[n++]);
	else if (rc == RC_OK)
		n = entry_addrs(e, w->port, addrs);
	waiter_free(d, w);
	cb(arg, rc, addrs, n);
}

/* Answer outside of c-ares.  One by one, since a callback may cancel any
 * other; and only those that are here now, since it may also ask again. */
static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct net_dns *d = arg;
	struct waiter *w;
	size_t n = 0;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(w, &d->ready, link)
		n++;
	for (; n != 0 && (w = TAILQ_FIRST(&d->ready)) != NULL; n--)
		answer(d, w);
	if (!TAILQ_EMPTY(&d->ready))
		event_active(d->ev_ready, EV_TIMEOUT, 0);
}

/* ---- c-ares ------------------------------------------------------------ */

static void
set_timeout(struct net_dns *d)
{
	struct timeval tv;

	if (ares_timeout(d->channel, NULL, &tv) == NULL)
		timer_stop(&d->timeout);
	else
		timer_start_ms(&d->timeout, (uint64_t)tv.tv_sec * 1000 +
		    (uint64_t)tv.tv_usec / 1000 + 1);
}

static void
on_timeout(void *arg)
{
	struct net_dns *d = arg;

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timeout(d);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct net_dns *d = w->dns;	/* w may go in the call */

	ares_process_fd(d->channel,
	    (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
	    (what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	set_timeout(d);
}

/* c-ares tells which of its sockets waits for what; neither: it closes. */
static void
on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct net_dns *d = arg;
	struct watch *w;
	short what = EV_PERSIST;

	LIST_FOREACH(w, &d->watches, link)
		if (w->fd == fd)
			break;
	if (w != NULL)
		event_free(w->ev);
	if (!readable && !writable) {
		if (w != NULL) {
			LIST_REMOVE(w, link);
			free(w);
		}
		return;
	}
	if (w == NULL) {
		w = xcalloc(1, sizeof(*w));
		w->dns = d;
		w->fd = fd;
		LIST_INSERT_HEAD(&d->watches, w, link);
	}
	what |= readable ? EV_READ : 0;
	what |= writable ? EV_WRITE : 0;
	w->ev = event_new(loop_base(d->loop), fd, what, on_socket, w);
	ensure(w->ev != NULL && event_add(w->ev, NULL) == 0);
}

/* The smallest TTL of all records, CNAMEs included: c-ares reports them but
 * takes only those of the addresses itself. */
static uint64_t
smallest_ttl(const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_cname *c;
	const struct ares_addrinfo_node *a;
	int ttl = TTL_MAX_S;

	for (c = info->cnames; c != NULL; c = c->next)
		if (c->ttl < ttl)
			ttl = c->ttl;
	for (a = info->nodes; a != NULL; a = a->ai_next)
		if (a->ai_ttl < ttl)
			ttl = a->ai_ttl;
	return (ttl < TTL_MIN_S ? TTL_MIN_S : (uint64_t)ttl);
}

static void
take_addrs(struct family *f, const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_node *a;
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	for (a = info->nodes; a != NULL; a = a->ai_next) {
		if (a->ai_family == AF_INET) {
			memcpy(&in, a->ai_addr, sizeof(in));
			add_ip(f, AF_INET, &in.sin_addr);
		} else if (a->ai_family == AF_INET6) {
			memcpy(&in6, a->ai_addr, sizeof(in6));
			add_ip(f, AF_INET6, &in6.sin6_addr);
		}
	}
}

static enum rc
rc_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return (RC_OK);
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_EBADNAME:
	case ARES_ENONAME:
		return (RC_NOTFOUND);
	case ARES_ETIMEOUT:
		return (RC_TIMEOUT);
	}
	return (RC_IO);
}

/* Both families said what they have, or one did and the other is late. */
static bool
is_known(const struct entry *e)
{
	for (size_t i = 0; i < FAMILIES; i++)
		if (e->families[i].asking &&
		    !(e->late && e->families[FAMILIES - 1 - i].n != 0))
			return (false);
	return (true);
}

/* "No address of this family" holds as long as the other's addresses do: most
 * names have only one.  A failure is asked about again sooner. */
static void
bind_absence(struct entry *e)
{
	for (size_t i = 0; i < FAMILIES; i++) {
		const struct family *other = &e->families[FAMILIES - 1 - i];

		if (e->families[i].rc == RC_NOTFOUND && other->n != 0)
			e->families[i].expires_ms = other->expires_ms;
	}
}

/* Something changed: whoever waits hears what is known; or the late family's
 * time begins, if the other has what is needed. */
static void
entry_settle(struct entry *e)
{
	struct waiter *w;

	if (!is_asking(e)) {
		timer_stop(&e->delay);
		e->late = false;
		bind_absence(e);
	}
	if (!is_known(e)) {
		if (has_addrs(e) && !timer_running(&e->delay))
			timer_start_ms(&e->delay, LATE_MS);
		return;
	}
	while ((w = TAILQ_FIRST(&e->waiting)) != NULL) {
		TAILQ_REMOVE(&e->waiting, w, link);
		waiter_ready(e->dns, w);
	}
}

static void
on_late(void *arg)
{
	struct entry *e = arg;

	e->late = true;
	entry_settle(e);
}

static void
on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct family *f = arg;
	uint64_t ttl_s = TTL_FAILED_S;

	(void)timeouts;
	f->asking = false;
	f->rc = rc_of(status);
	if (f->rc == RC_OK) {
		take_addrs(f, info);
		ttl_s = smallest_ttl(info);
		if (f->n == 0) {
			f->rc = RC_NOTFOUND;
			ttl_s = TTL_FAILED_S;
		}
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
	f->expires_ms = clock_mono_ms() + ttl_s * 1000;
	if (status != ARES_EDESTRUCTION)	/* else nobody is left to tell */
		entry_settle(f->entry);
}

static bool
is_due(const struct family *f, uint64_t now_ms)
{
	return (!f->asking && now_ms >= f->expires_ms);
}

/* Ask for what is not known any more; old addresses are forgotten first. */
static void
entry_refresh(struct entry *e)
{
	static const int af[FAMILIES] = { [V6] = AF_INET6, [V4] = AF_INET };
	uint64_t now_ms = clock_mono_ms();
	struct ares_addrinfo_hints hints;
	bool due[FAMILIES], failed = true;

	for (size_t i = 0; i < FAMILIES; i++) {
		struct family *f = &e->families[i];

		if ((due[i] = is_due(f, now_ms))) {
			failed = failed && f->n == 0;
			f->asking = true;
			f->n = 0;
		}
	}
	if (!due[V6] && !due[V4])
		return;
	/* Nobody waits once more for what had no addresses the last time. */
	if (failed && has_addrs(e))
		e->late = true;
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = ARES_AI_NOSORT;	/* sorting opens sockets */
	for (size_t i = 0; i < FAMILIES; i++) {
		hints.ai_family = af[i];
		if (due[i])		/* may be answered inside the call */
			ares_getaddrinfo(e->dns->channel, e->host, NULL, &hints,
			    on_answer, &e->families[i]);
	}
	entry_settle(e);
	set_timeout(e->dns);
}

/* ---- the hosts file ---------------------------------------------------- */

static bool
parse_ip(const char *text, struct ip *out)
{
	out->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	return (inet_pton(out->family, text, out->bytes) == 1);
}

static void
on_host(void *arg, const char *text, const char *host)
{
	struct net_dns *d = arg;
	struct entry *e;
	struct ip ip;

	if (!parse_ip(text, &ip))
		return;
	if ((e = entry_find(d, host)) == NULL)
		e = entry_new(d, host, true);
	add_ip(&e->families[ip.family == AF_INET ? V4 : V6], ip.family,
	    ip.bytes);
}

static void
hosts_load(struct net_dns *d)
{
	net_hosts_read(on_host, d);
	/* RFC 6761 6.3: never asked of a server. */
	if (entry_find(d, "localhost") == NULL) {
		on_host(d, "::1", "localhost");
		on_host(d, "127.0.0.1", "localhost");
	}
}

/* ---- the owner's side -------------------------------------------------- */

static bool
start_ares(struct net_dns *d, const char *servers)
{
	struct ares_options o;
	char lookups[] = "b";
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
	    ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB;

	memset(&o, 0, sizeof(o));	/* and no search domains */
	o.timeout = QUERY_TRY_MS;
	o.tries = QUERY_TRIES;
	o.lookups = lookups;
	o.sock_state_cb = on_socket_state;
	o.sock_state_cb_data = d;
	if (ares_init_options(&d->channel, &o, mask) != ARES_SUCCESS)
		return (false);
	return (servers == NULL ||
	    ares_set_servers_ports_csv(d->channel, servers) == ARES_SUCCESS);
}

struct net_dns *
net_dns_new(struct loop *loop, const char *servers)
{
	struct net_dns *d = xcalloc(1, sizeof(*d));

	ensure(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
	d->magic = NET_DNS_MAGIC;
	d->loop = loop;
	d->salt = (uint32_t)random_u64();
	TAILQ_INIT(&d->by_use);
	TAILQ_INIT(&d->ready);
	timer_init(&d->timeout, loop, on_timeout, d);
	d->ev_ready = event_new(loop_base(loop), -1, 0, on_ready, d);
	ensure(d->ev_ready != NULL);
	hosts_load(d);
	/* Memory or a malformed list of servers: our own call is wrong. */
	ensure(start_ares(d, servers));
	return (d);
}

void
net_dns_free(struct net_dns **dp)
{
	struct net_dns *d = *dp;
	struct waiter *w;
	struct entry *e;

	*dp = NULL;
	if (d == NULL)
		return;
	obj_check(d, NET_DNS_MAGIC);
	ares_destroy(d->channel);	/* its callbacks come and do nothing */
	ares_library_cleanup();
	ensure(LIST_EMPTY(&d->watches));
	while ((w = TAILQ_FIRST(&d->ready)) != NULL)
		waiter_free(d, w);
	for (size_t i = 0; i < BUCKETS; i++) {
		while ((e = LIST_FIRST(&d->entries[i])) != NULL) {
			while ((w = TAILQ_FIRST(&e->waiting)) != NULL)
				waiter_free(d, w);
			entry_free(e);
		}
	}
	event_free(d->ev_ready);
	timer_fini(&d->timeout);
	d->magic = 0;
	free(d);
}

/* The entry that answers for this name, asking a server if need be; NULL when
 * more names are in flight than we care to ask for. */
static struct entry *
entry_for(struct net_dns *d, const char *name)
{
	struct entry *e = entry_find(d, name);

	if (e != NULL) {
		entry_touch(e);
	} else {
		if (!make_room(d))
			return (NULL);
		e = entry_new(d, name, false);
	}
	/* With waiters still to be answered it must not change. */
	if (!e->hosts_file && e->waiters == 0)
		entry_refresh(e);
	return (e);
}

static void
waiter_route(struct net_dns *d, struct waiter *w, const char *host)
{
	char name[HOST_BYTES];

	if (host_canonical(span_of(host), name) != RC_OK)
		w->rc = RC_NOTFOUND;
	else if (parse_ip(name, &w->ip))
		w->rc = RC_OK;
	else if ((w->entry = entry_for(d, name)) == NULL)
		w->rc = RC_IO;
	else
		w->entry->waiters++;
}

uint64_t
net_dns_resolve(struct net_dns *d, const char *host, uint16_t port,
    net_dns_cb *cb, void *arg)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	obj_check(d, NET_DNS_MAGIC);
	w->id = ++d->last_id;
	w->port = port;
	w->cb = cb;
	w->arg = arg;
	LIST_INSERT_HEAD(&d->ids[w->id % BUCKETS], w, by_id);
	waiter_route(d, w, host);
	if (w->entry != NULL && !is_known(w->entry))
		TAILQ_INSERT_TAIL(&w->entry->waiting, w, link);
	else
		waiter_ready(d, w);
	return (w->id);
}

void
net_dns_cancel(struct net_dns *d, uint64_t id)
{
	struct waiter *w;

	obj_check(d, NET_DNS_MAGIC);
	LIST_FOREACH(w, &d->ids[id % BUCKETS], by_id) {
		if (w->id == id) {
			waiter_free(d, w);
			return;
		}
	}
}
