/*
 * worker/good_keys.c - a table of fixed size: chains by the hash, which is keyed
 * already, and one list by age.
 */
#include "worker/good_keys.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/base/string.h"
#include "lib/rpc/sealed_record.h"

#define HASH_BYTES	GOOD_KEYS_HASH_BYTES
#define BUCKETS		GOOD_KEYS_MAX

struct entry {
	LIST_ENTRY(entry)	chain;
	TAILQ_ENTRY(entry)	age;	/* the newest last, unused ones first */
	uint8_t			hash[HASH_BYTES];
	char			app[RPC_APP_ID_BYTES];
	uint64_t		t_ms;	/* when it was said to be good */
	bool			used;	/* it stands in a chain */
};

struct good_keys {
	unsigned		magic;
#define GOOD_KEYS_MAGIC		0x71e0a94b
	LIST_HEAD(, entry)	buckets[BUCKETS];
	TAILQ_HEAD(, entry)	ages;
	struct entry		entries[GOOD_KEYS_MAX];
};

static size_t
bucket_of(const uint8_t hash[HASH_BYTES])
{
	return ((hash[0] | (size_t)hash[1] << 8) % BUCKETS);
}

static struct entry *
find(const struct good_keys *g, const uint8_t hash[HASH_BYTES])
{
	struct entry *e;

	LIST_FOREACH(e, &g->buckets[bucket_of(hash)], chain)
		if (secret_equal(e->hash, hash, HASH_BYTES))
			return (e);
	return (NULL);
}

/* It is the first to be taken again. */
static void
drop(struct good_keys *g, struct entry *e)
{
	LIST_REMOVE(e, chain);
	TAILQ_REMOVE(&g->ages, e, age);
	secret_wipe(e, sizeof(*e));
	TAILQ_INSERT_HEAD(&g->ages, e, age);
}

void
good_keys_add(struct good_keys *g, const uint8_t hash[HASH_BYTES],
    const char *app, uint64_t now_ms)
{
	struct entry *e;

	obj_check(g, GOOD_KEYS_MAGIC);
	if ((e = find(g, hash)) == NULL) {
		e = TAILQ_FIRST(&g->ages);
		if (e->used)
			LIST_REMOVE(e, chain);
		e->used = true;
		memcpy(e->hash, hash, HASH_BYTES);
		LIST_INSERT_HEAD(&g->buckets[bucket_of(hash)], e, chain);
	}
	ensure(span_copy(span_of(app), e->app, sizeof(e->app)));
	e->t_ms = now_ms;
	TAILQ_REMOVE(&g->ages, e, age);
	TAILQ_INSERT_TAIL(&g->ages, e, age);
}

bool
good_keys_has(const struct good_keys *g, const uint8_t hash[HASH_BYTES],
    const char *app, uint64_t now_ms)
{
	const struct entry *e;

	obj_check(g, GOOD_KEYS_MAGIC);
	if ((e = find(g, hash)) == NULL)
		return (false);
	return (now_ms - e->t_ms < GOOD_KEYS_S * UINT64_C(1000) &&
	    (app[0] == '\0' || strcmp(app, e->app) == 0));
}

void
good_keys_forget(struct good_keys *g, const uint8_t hash[HASH_BYTES])
{
	struct entry *e;

	obj_check(g, GOOD_KEYS_MAGIC);
	if ((e = find(g, hash)) != NULL)
		drop(g, e);
}

struct good_keys *
good_keys_new(void)
{
	struct good_keys *g = xcalloc(1, sizeof(*g));

	g->magic = GOOD_KEYS_MAGIC;
	for (size_t i = 0; i < BUCKETS; i++)
		LIST_INIT(&g->buckets[i]);
	TAILQ_INIT(&g->ages);
	for (size_t i = 0; i < GOOD_KEYS_MAX; i++)
		TAILQ_INSERT_TAIL(&g->ages, &g->entries[i], age);
	return (g);
}

void
good_keys_free(struct good_keys **gp)
{
	struct good_keys *g = *gp;

	*gp = NULL;
	if (g == NULL)
		return;
	obj_check(g, GOOD_KEYS_MAGIC);
	secret_wipe(g, sizeof(*g));
	free(g);
}
