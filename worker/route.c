/*
 * worker/route.c - a hash of snapshots over the map.
 *
 * An entry holds what was parsed (a relay, an egress record), the revision it
 * was parsed from and the epoch it was last compared at.  A record that left
 * the map loses its entry when it is next asked for; those never asked for
 * have none, so the table is never larger than the map.
 */
#include "worker/route.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"

#define ROUTE_BUCKETS	4096	/* chains stay short up to some 10,000 hosts */
#define TELL_MS		1000	/* from one report of damage to the next */

struct entry {
	struct entry	*next;		/* owned: the chain */
	/* One of these, by the key's prefix: */
	struct relay	*relay;		/* owned: one reference */
	struct egress	*egress;	/* owned: one reference */
	uint64_t	revision;
	uint64_t	epoch;
	char		key[];		/* of the map */
};

struct route_table {
	unsigned	magic;
#define ROUTE_MAGIC	0x70c3b1e5
	char		*folder;	/* owned */
	struct shm_map	*map;		/* owned; NULL until there is one */
	bool		synced;		/* sync/state was seen: never goes back */
	uint64_t	seed;		/* names come from clients: keyed hash */
	route_damage_cb	*on_damage;
	void		*damage_arg;	/* borrowed: outlives us */
	uint64_t	told_ms;	/* of damage; 0: never */
	struct entry	*buckets[ROUTE_BUCKETS];
};

struct route_table *
route_table_new(const char *folder)
{
	struct route_table *t = xcalloc(1, sizeof(*t));

	t->magic = ROUTE_MAGIC;
	t->folder = xstrdup(folder);
	t->seed = random_u64();
	return (t);
}

static void
entry_free(struct entry **ep)
{
	struct entry *e = *ep;

	*ep = e->next;
	relay_unref(&e->relay);
	egress_unref(&e->egress);
	free(e);
}

void
route_table_free(struct route_table **tp)
{
	struct route_table *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	obj_check(t, ROUTE_MAGIC);
	for (size_t i = 0; i < ROUTE_BUCKETS; i++)
		while (t->buckets[i] != NULL)
			entry_free(&t->buckets[i]);
	shm_map_close(&t->map);
	free(t->folder);
	free(t);
}

void
route_table_on_damage(struct route_table *t, route_damage_cb *cb, void *arg)
{
	obj_check(t, ROUTE_MAGIC);
	t->on_damage = cb;
	t->damage_arg = arg;
}

/* Each request for a damaged record sees it again until it is repaired. */
static void
tell_damage(struct route_table *t)
{
	uint64_t now = clock_mono_ms();

	if (t->on_damage == NULL ||
	    (t->told_ms != 0 && now - t->told_ms < TELL_MS))
		return;
	t->told_ms = now;
	t->on_damage(t->damage_arg);
}

enum rc
route_table_open(struct route_table *t)
{
	enum rc rc;

	obj_check(t, ROUTE_MAGIC);
	if (t->map != NULL)
		return (RC_OK);
	rc = shm_map_open(t->folder, SHM_READER, &t->map);
	if (rc == RC_CORRUPT)
		tell_damage(t);
	return (rc);
}

/* FNV-1a from a random seed: collisions cannot be prepared from outside. */
static struct entry **
bucket_of(struct route_table *t, const char *key)
{
	uint64_t h = t->seed;

	for (; *key != '\0'; key++)
		h = (h ^ (unsigned char)*key) * 0x100000001b3u;
	return (&t->buckets[(h >> 32 ^ h) % ROUTE_BUCKETS]);
}

static struct entry **
entry_find(struct route_table *t, const char *key)
{
	struct entry **ep = bucket_of(t, key);

	while (*ep != NULL && strcmp((*ep)->key, key) != 0)
		ep = &(*ep)->next;
	return (ep);
}

static void
log_damage(const char *key, const char *reason)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (log_rate_ok(&rate, 1, &suppressed))
		log_error("record damaged key=%s reason=\"%s\" suppressed=%u", key,
		    reason, suppressed);
}

static bool
is_egress(const char *key)
{
	return (strncmp(key, SHM_EGRESS, strlen(SHM_EGRESS)) == 0);
}

/* Into an empty entry. */
static enum rc
parse(const char *key, struct span payload, struct entry *e,
    struct relay_fault *fault)
{
	if (is_egress(key))
		return (egress_json_parse(span_of(key + strlen(SHM_EGRESS)),
		    payload, &e->egress, fault));
	return (relay_json_parse(payload, &e->relay, fault));
}

/* Bring *ep up to the record of this epoch, making it if it is new. */
static enum rc
refresh(struct entry **ep, const char *key, const struct shm_record *rec,
    uint64_t epoch)
{
	struct entry *e = *ep, new = { .next = NULL };
	struct relay_fault fault;
	enum rc rc;

	if (e != NULL && e->revision == rec->revision) {
		e->epoch = epoch;
		return (RC_OK);
	}
	if ((rc = parse(key, rec->payload, &new, &fault)) != RC_OK) {
		/* The feed validates with the same code: this is damage. */
		log_damage(key, rc == RC_NOMEM ? "no memory" : fault.reason);
		return (RC_CORRUPT);
	}
	if (e == NULL) {
		e = xcalloc(1, sizeof(*e) + strlen(key) + 1);
		memcpy(e->key, key, strlen(key) + 1);
		*ep = e;
	}
	relay_unref(&e->relay);
	egress_unref(&e->egress);
	e->relay = new.relay;
	e->egress = new.egress;
	e->revision = rec->revision;
	e->epoch = epoch;
	return (RC_OK);
}

static enum rc
not_found(struct route_table *t)
{
	struct shm_record rec;
	enum rc rc;

	if (!t->synced) {
		rc = shm_map_get(t->map, "sync/state", &rec);
		t->synced = rc == RC_OK;
		if (rc == RC_CORRUPT)
			tell_damage(t);
	}
	return (t->synced ? RC_NOTFOUND : RC_UNAVAILABLE);
}

/* *out: a view, valid until the next look. */
static enum rc
look_up(struct route_table *t, const char *key, uint64_t epoch,
    const struct entry **out)
{
	struct entry **ep = entry_find(t, key);
	struct shm_record rec;
	enum rc rc;

	if (*ep == NULL || (*ep)->epoch != epoch) {
		rc = shm_map_get(t->map, key, &rec);
		if (rc == RC_OK) {
			rc = refresh(ep, key, &rec, epoch);
		} else if (rc == RC_NOTFOUND) {
			if (*ep != NULL)
				entry_free(ep);
			rc = not_found(t);
		} else {
			log_damage(key, "checksum");
			tell_damage(t);
		}
		if (rc == RC_CORRUPT && *ep != NULL) {
			/* The old snapshot stays live until the map changes. */
			(*ep)->epoch = epoch;
			rc = RC_OK;
		}
		if (rc != RC_OK)
			return (rc);
	}
	*out = *ep;
	return (RC_OK);
}

static enum rc
find(struct route_table *t, const char *key, const struct entry **out)
{
	uint64_t epoch;
	enum rc rc;

	obj_check(t, ROUTE_MAGIC);
	if (t->map == NULL)
		return (RC_UNAVAILABLE);
	if ((rc = shm_map_begin(t->map, &epoch)) != RC_OK) {
		if (rc == RC_CORRUPT)
			tell_damage(t);
		/* It cannot be read now: what it said last still serves. */
		*out = *entry_find(t, key);
		return (*out != NULL ? RC_OK : RC_UNAVAILABLE);
	}
	rc = look_up(t, key, epoch, out);
	shm_map_end(t->map);
	return (rc);
}

enum rc
route_find(struct route_table *t, const char *host, struct relay **out)
{
	char key[SHM_KEY_BYTES] = SHM_RELAYS;
	const struct entry *e;
	enum rc rc;

	*out = NULL;
	ensure(strlen(host) < sizeof(key) - sizeof(SHM_RELAYS));
	memcpy(key + strlen(SHM_RELAYS), host, strlen(host) + 1);
	if ((rc = find(t, key, &e)) == RC_OK)
		*out = relay_ref(e->relay);
	return (rc);
}

enum rc
route_egress(struct route_table *t, const char *app, struct egress **out)
{
	char key[SHM_KEY_BYTES] = SHM_EGRESS;
	const struct entry *e;
	enum rc rc;

	*out = NULL;
	ensure(strlen(app) < sizeof(key) - sizeof(SHM_EGRESS));
	memcpy(key + strlen(SHM_EGRESS), app, strlen(app) + 1);
	if ((rc = find(t, key, &e)) == RC_OK)
		*out = egress_ref(e->egress);
	return (rc);
}

struct each {
	shm_each_cb	*cb;
	void		*arg;
	bool		damage;
};

static bool
each_record(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct each *e = arg;

	if (rc != RC_OK)
		e->damage = true;
	return (e->cb(e->arg, key, rc, r));
}

enum rc
route_table_each(struct route_table *t, const char *prefix, uint64_t *epoch,
    shm_each_cb *cb, void *arg)
{
	struct each e = { .cb = cb, .arg = arg };
	uint64_t now;
	enum rc rc;

	obj_check(t, ROUTE_MAGIC);
	if (t->map == NULL)
		return (RC_UNAVAILABLE);
	if ((rc = shm_map_begin(t->map, &now)) == RC_OK) {
		rc = now == *epoch ? RC_AGAIN :
		    shm_map_each(t->map, prefix, each_record, &e);
		shm_map_end(t->map);
		*epoch = now;
	}
	if (rc == RC_CORRUPT || e.damage)
		tell_damage(t);
	return (rc);
}

static bool
method_fits(const char *want, struct span method)
{
	if (want == NULL || span_eq_str(method, want))
		return (true);
	return (strcmp(want, "GET") == 0 && span_eq_str(method, "HEAD"));
}

const struct relay_route *
route_match(const struct relay *r, struct span method, struct span path)
{
	for (size_t i = 0; i < r->n_routes; i++) {
		const struct relay_route *route = &r->routes[i];

		if (method_fits(route->method, method) &&
		    relay_path_match(route->path, path))
			return (route);
	}
	return (NULL);
}
