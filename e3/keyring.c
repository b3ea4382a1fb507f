/* e3/keyring.c - two search trees: apps by id, API keys by hash. */
#include "e3/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"

struct e3_keyring {
	unsigned	magic;
#define E3_KEYRING_MAGIC	0x6e79419e
	struct tree	apps;		/* of struct e3_app, one reference each */
	struct tree	keys;		/* of their struct e3_api_key, not revoked */
	uint64_t	epoch;
	size_t		pairs, under_next;	/* of all apps */
	bool		summed;		/* the checksum is of this epoch */
	uint8_t		sum[SCHEME_SECRET_BYTES];
};

static int
app_cmp(const void *a, const void *b)
{
	return (strcmp(((const struct e3_app *)a)->id,
	    ((const struct e3_app *)b)->id));
}

/* Hashes of secrets, not secrets: the order of a search tells nothing that
 * helps to find a preimage. */
static int
key_cmp(const void *a, const void *b)
{
	return (memcmp(((const struct e3_api_key *)a)->hash,
	    ((const struct e3_api_key *)b)->hash, SCHEME_SECRET_BYTES));
}

struct e3_keyring *
e3_keyring_new(void)
{
	struct e3_keyring *k = xcalloc(1, sizeof(*k));

	k->magic = E3_KEYRING_MAGIC;
	k->apps.cmp = app_cmp;
	k->keys.cmp = key_cmp;
	/* Another value after each start: callers drop what they remember. */
	k->epoch = clock_wall_ms();
	return (k);
}

static void
app_release(void *p)
{
	struct e3_app *a = p;

	e3_app_unref(&a);
}

void
e3_keyring_free(struct e3_keyring **kp)
{
	struct e3_keyring *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	obj_check(k, E3_KEYRING_MAGIC);
	tree_clear(&k->keys, NULL);
	tree_clear(&k->apps, app_release);
	k->magic = 0;
	free(k);
}

struct e3_app *
e3_keyring_app(const struct e3_keyring *k, struct span id)
{
	struct e3_app like;

	obj_check(k, E3_KEYRING_MAGIC);
	return (span_copy(id, like.id, sizeof(like.id)) ?
	    tree_find(&k->apps, &like) : NULL);
}

const struct e3_api_key *
e3_keyring_key(const struct e3_keyring *k,
    const uint8_t hash[SCHEME_SECRET_BYTES])
{
	struct e3_api_key like;

	obj_check(k, E3_KEYRING_MAGIC);
	memcpy(like.hash, hash, sizeof(like.hash));
	return (tree_find(&k->keys, &like));
}

static void
keys_add(struct e3_keyring *k, struct e3_app *a)
{
	for (unsigned i = 0; i < a->n_keys; i++) {
		a->keys[i].app = a;
		if (!a->keys[i].revoked)	/* one secret twice: the first counts */
			(void)tree_add(&k->keys, &a->keys[i]);
	}
}

static void
keys_drop(struct e3_keyring *k, const struct e3_app *a)
{
	for (unsigned i = 0; i < a->n_keys; i++)
		if (tree_find(&k->keys, &a->keys[i]) == &a->keys[i])
			(void)tree_remove(&k->keys, &a->keys[i]);
}

static enum rc
compare(const struct e3_app *old, const struct e3_app *a)
{
	if (a->version < old->version)
		return (RC_DENIED);
	/* What moved to the next root key does not go back. */
	if (a->version > old->version)
		return (old->under_next && !a->under_next ? RC_DENIED : RC_OK);
	return (memcmp(a->record_sha256, old->record_sha256,
	    SCHEME_SECRET_BYTES) == 0 ? RC_EXISTS : RC_CONFLICT);
}

enum rc
e3_keyring_put(struct e3_keyring *k, struct e3_app **ap)
{
	struct e3_app *a = *ap, *old;
	enum rc rc;

	obj_check(k, E3_KEYRING_MAGIC);
	obj_check(a, E3_APP_MAGIC);
	if ((old = e3_keyring_app(k, span_of(a->id))) != NULL) {
		if ((rc = compare(old, a)) != RC_OK) {
			e3_app_unref(ap);
			return (rc);
		}
		keys_drop(k, old);
		k->pairs -= old->n_pairs;
		k->under_next -= old->under_next;
		(void)tree_remove(&k->apps, old);
		e3_app_unref(&old);	/* calls in flight keep theirs */
	}
	*ap = NULL;
	ensure(tree_add(&k->apps, a) == a);
	keys_add(k, a);
	k->pairs += a->n_pairs;
	k->under_next += a->under_next;
	k->epoch++;
	k->summed = false;
	return (RC_OK);
}

void
e3_keyring_each(const struct e3_keyring *k, tree_cb *cb, void *arg)
{
	obj_check(k, E3_KEYRING_MAGIC);
	tree_each(&k->apps, cb, arg);
}

static void
checksum_add(void *arg, void *object)
{
	const struct e3_app *a = object;

	rpc_checksum_add(arg, a->id, a->version, a->record_sha256);
}

/* Kept until something changes: any caller may ask for the statistics, as often
 * as it likes, and over 10,000 apps it takes milliseconds. */
void
e3_keyring_checksum(struct e3_keyring *k, uint8_t out[SCHEME_SECRET_BYTES])
{
	struct rpc_checksum *c;

	obj_check(k, E3_KEYRING_MAGIC);
	if (!k->summed) {
		c = rpc_checksum_new();
		e3_keyring_each(k, checksum_add, c);
		rpc_checksum_end(&c, k->sum);
		k->summed = true;
	}
	memcpy(out, k->sum, sizeof(k->sum));
}

size_t
e3_keyring_apps(const struct e3_keyring *k)
{
	return (k->apps.n);
}

size_t
e3_keyring_pairs(const struct e3_keyring *k)
{
	return (k->pairs);
}

size_t
e3_keyring_under_next(const struct e3_keyring *k)
{
	return (k->under_next);
}

size_t
e3_keyring_keys(const struct e3_keyring *k)
{
	return (k->keys.n);
}

uint64_t
e3_keyring_epoch(const struct e3_keyring *k)
{
	return (k->epoch);
}
