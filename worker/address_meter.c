/*
 * worker/address_meter.c - a table of fixed size: chains by hash, one list by
 * age.  The hash is keyed, so that nobody outside can choose a chain.
 */
#include "worker/address_meter.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/base/random.h"

#define BUCKETS		ADDRESS_METER_MAX
#define MINUTE_MS	60000
/* Credit is kept in events * MINUTE_MS: a millisecond earns per_minute. */
#define EVENT		((uint64_t)MINUTE_MS)

/* The first 64 bits of an IPv6 address, or an IPv4 address. */
struct network {
	uint64_t	bits;
	bool		four;
};

struct entry {
	LIST_ENTRY(entry)	chain;
	TAILQ_ENTRY(entry)	age;	/* the newest event last */
	struct network		network;
	uint64_t		credit;
	uint64_t		t_ms;	/* of the credit */
	bool			used;	/* it stands in a chain */
};

struct address_meter {
	unsigned		magic;
#define ADDRESS_METER_MAGIC	0x3c81d6f5
	unsigned		per_minute;
	uint64_t		hash_key;
	LIST_HEAD(, entry)	buckets[BUCKETS];
	TAILQ_HEAD(, entry)	ages;
	struct entry		entries[ADDRESS_METER_MAX];
};

static struct network
network_of(const char *ip)
{
	struct network n = { .bits = 0 };
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, ip, &four) == 1) {
		n.four = true;
		n.bits = four.s_addr;
	} else if (inet_pton(AF_INET6, ip, &six) == 1) {
		memcpy(&n.bits, six.s6_addr, sizeof(n.bits));
	}
	return (n);
}

static size_t
bucket_of(const struct address_meter *m, const struct network *n)
{
	uint64_t h = (n->bits ^ m->hash_key) * 0x9e3779b97f4a7c15u;

	h ^= h >> 32;
	h = (h + n->four + m->hash_key) * 0xd6e8feb86659fd93u;
	return ((h >> 40) % BUCKETS);
}

static struct entry *
find(const struct address_meter *m, const struct network *n)
{
	struct entry *e;

	LIST_FOREACH(e, &m->buckets[bucket_of(m, n)], chain)
		if (e->network.bits == n->bits && e->network.four == n->four)
			return (e);
	return (NULL);
}

static uint64_t
credit_max(const struct address_meter *m)
{
	return (m->per_minute * EVENT);
}

static uint64_t
credit_at(const struct address_meter *m, const struct entry *e, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms > e->t_ms ? now_ms - e->t_ms : 0;
	uint64_t credit;

	if (passed_ms >= MINUTE_MS)
		return (credit_max(m));
	credit = e->credit + passed_ms * m->per_minute;
	return (credit < credit_max(m) ? credit : credit_max(m));
}

/* In the place of the one that was silent longest. */
static struct entry *
add(struct address_meter *m, const struct network *n, uint64_t now_ms)
{
	struct entry *e = TAILQ_FIRST(&m->ages);

	if (e->used)
		LIST_REMOVE(e, chain);
	e->used = true;
	e->network = *n;
	e->credit = credit_max(m);
	e->t_ms = now_ms;
	LIST_INSERT_HEAD(&m->buckets[bucket_of(m, n)], e, chain);
	return (e);
}

bool
address_meter_take(struct address_meter *m, const char *ip, uint64_t now_ms)
{
	struct network n = network_of(ip);
	struct entry *e;

	obj_check(m, ADDRESS_METER_MAGIC);
	if ((e = find(m, &n)) == NULL)
		e = add(m, &n, now_ms);
	TAILQ_REMOVE(&m->ages, e, age);
	TAILQ_INSERT_TAIL(&m->ages, e, age);
	e->credit = credit_at(m, e, now_ms);
	if (now_ms > e->t_ms)
		e->t_ms = now_ms;
	if (e->credit < EVENT)
		return (false);
	e->credit -= EVENT;
	return (true);
}

bool
address_meter_over(const struct address_meter *m, const char *ip,
    uint64_t now_ms)
{
	struct network n = network_of(ip);
	const struct entry *e;

	obj_check(m, ADDRESS_METER_MAGIC);
	if ((e = find(m, &n)) == NULL)
		return (m->per_minute == 0);
	return (credit_at(m, e, now_ms) < EVENT);
}

struct address_meter *
address_meter_new(unsigned per_minute)
{
	struct address_meter *m = xcalloc(1, sizeof(*m));

	m->magic = ADDRESS_METER_MAGIC;
	m->per_minute = per_minute;
	m->hash_key = random_u64();
	for (size_t i = 0; i < BUCKETS; i++)
		LIST_INIT(&m->buckets[i]);
	TAILQ_INIT(&m->ages);
	for (size_t i = 0; i < ADDRESS_METER_MAX; i++)
		TAILQ_INSERT_TAIL(&m->ages, &m->entries[i], age);
	return (m);
}

void
address_meter_free(struct address_meter **mp)
{
	struct address_meter *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	obj_check(m, ADDRESS_METER_MAGIC);
	m->magic = 0;
	free(m);
}
