/*
 * e3/keyring.c - two search trees (libc's <search.h>, balanced): apps by id,
 * API keys by hash.
 */
#include "e3/keyring.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"

struct key_entry {
	const uint8_t		*hash;	/* view into key */
	struct e3_app		*app;	/* borrowed: holds key */
	const struct e3_api_key	*key;	/* view into app */
};

struct e3_keyring {
	unsigned	magic;
#define E3_KEYRING_MAGIC	0x6e79419e
	void		*apps;		/* tree of struct e3_app, one ref each */
	void		*keys;		/* tree of struct key_entry, owned */
	size_t		n_apps, n_keys;
	uint64_t	epoch;
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
	return (memcmp(((const struct key_entry *)a)->hash,
	    ((const struct key_entry *)b)->hash, E3_SECRET_BYTES));
}

struct e3_keyring *
e3_keyring_new(void)
{
	struct e3_keyring *k = xcalloc(1, sizeof(*k));

	k->magic = E3_KEYRING_MAGIC;
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
	tdestroy(k->keys, free);
	tdestroy(k->apps, app_release);
	k->magic = 0;
	free(k);
}

struct e3_app *
e3_keyring_app(const struct e3_keyring *k, struct span id)
{
	struct e3_app want;
	void *node;

	obj_check(k, E3_KEYRING_MAGIC);
	if (!span_copy(id, want.id, sizeof(want.id)))
		return (NULL);
	node = tfind(&want, &k->apps, app_cmp);
	return (node == NULL ? NULL : *(struct e3_app **)node);
}

enum rc
e3_keyring_authenticate(const struct e3_keyring *k,
    const uint8_t hash[E3_SECRET_BYTES], struct e3_app **app,
    const struct e3_api_key **key)
{
	struct key_entry want = { hash, NULL, NULL };
	const struct key_entry *found;
	void *node;

	obj_check(k, E3_KEYRING_MAGIC);
	*app = NULL;
	*key = NULL;
	if ((node = tfind(&want, &k->keys, key_cmp)) == NULL)
		return (RC_DENIED);
	found = *(struct key_entry **)node;
	if (!secret_equal(found->hash, hash, E3_SECRET_BYTES))
		return (RC_DENIED);
	*app = found->app;
	*key = found->key;
	return (RC_OK);
}

static void
keys_add(struct e3_keyring *k, struct e3_app *a)
{
	for (unsigned i = 0; i < a->n_keys; i++) {
		struct key_entry *e;
		void *node;

		if (a->keys[i].revoked)
			continue;
		e = xcalloc(1, sizeof(*e));
		e->hash = a->keys[i].hash;
		e->app = a;
		e->key = &a->keys[i];
		node = tsearch(e, &k->keys, key_cmp);
		ensure(node != NULL);
		if (*(struct key_entry **)node != e)
			free(e);	/* one secret twice: the first counts */
		else
			k->n_keys++;
	}
}

static void
keys_drop(struct e3_keyring *k, const struct e3_app *a)
{
	for (unsigned i = 0; i < a->n_keys; i++) {
		struct key_entry want = { a->keys[i].hash, NULL, NULL };
		struct key_entry *found;
		void *node = tfind(&want, &k->keys, key_cmp);

		if (node == NULL)
			continue;
		found = *(struct key_entry **)node;
		if (found->app != a)
			continue;
		(void)tdelete(&want, &k->keys, key_cmp);
		free(found);
		k->n_keys--;
	}
}

static enum rc
compare(const struct e3_app *old, const struct e3_app *a)
{
	if (a->version > old->version)
		return (RC_OK);
	if (a->version < old->version)
		return (RC_DENIED);
	return (memcmp(a->record_sha256, old->record_sha256,
	    E3_SECRET_BYTES) == 0 ? RC_EXISTS : RC_CONFLICT);
}

enum rc
e3_keyring_put(struct e3_keyring *k, struct e3_app **ap)
{
	struct e3_app *a = *ap, *old;
	void *node;
	enum rc rc;

	obj_check(k, E3_KEYRING_MAGIC);
	obj_check(a, E3_APP_MAGIC);
	if ((old = e3_keyring_app(k, span_of(a->id))) != NULL) {
		if ((rc = compare(old, a)) != RC_OK) {
			e3_app_unref(ap);
			return (rc);
		}
		keys_drop(k, old);
		(void)tdelete(old, &k->apps, app_cmp);
		e3_app_unref(&old);	/* calls in flight keep theirs */
		k->n_apps--;
	}
	*ap = NULL;
	node = tsearch(a, &k->apps, app_cmp);
	ensure(node != NULL && *(struct e3_app **)node == a);
	k->n_apps++;
	keys_add(k, a);
	k->epoch++;
	return (RC_OK);
}

struct each {
	e3_keyring_cb	*cb;
	void		*arg;	/* borrowed: for one walk */
};

static void
on_node(const void *node, VISIT which, void *arg)
{
	struct each *e = arg;

	if (which == postorder || which == leaf)	/* ascending order */
		e->cb(e->arg, *(struct e3_app *const *)node);
}

void
e3_keyring_each(const struct e3_keyring *k, e3_keyring_cb *cb, void *arg)
{
	struct each e = { cb, arg };

	obj_check(k, E3_KEYRING_MAGIC);
	twalk_r(k->apps, on_node, &e);
}

static void
checksum_add(void *arg, const struct e3_app *a)
{
	rpc_checksum_add(arg, a->id, a->version, a->record_sha256);
}

void
e3_keyring_checksum(const struct e3_keyring *k, uint8_t out[E3_SECRET_BYTES])
{
	struct rpc_checksum *c = rpc_checksum_new();

	e3_keyring_each(k, checksum_add, c);
	rpc_checksum_end(&c, out);
}

size_t
e3_keyring_apps(const struct e3_keyring *k)
{
	return (k->n_apps);
}

size_t
e3_keyring_keys(const struct e3_keyring *k)
{
	return (k->n_keys);
}

uint64_t
e3_keyring_epoch(const struct e3_keyring *k)
{
	return (k->epoch);
}
