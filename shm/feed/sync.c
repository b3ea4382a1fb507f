/*
 * shm/feed/sync.c - the index: a hash table of keys, each with the hash of
 * the live value.  The digest of all is the XOR of those hashes, so that one
 * change costs one operation.
 */
#include "shm/feed/sync.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/base/object.h"
#include "lib/base/random.h"

#define BUCKETS_FIRST	256	/* doubled while there are more entries */

struct sync_index {
	unsigned		magic;
#define SYNC_INDEX_MAGIC	0x70c9e5a4
	uint64_t		seed;		/* of the bucket hash */
	uint64_t		read;		/* number of this or the last read */
	bool			reading;
	struct sync_entry	**buckets;	/* owned, and the entries */
	size_t			n_buckets;
	size_t			n;
	size_t			n_live[TABLES];
	size_t			n_refused;
	size_t			n_damaged;
	uint8_t			digest[SYNC_HASH_BYTES];
};

/* ---- hints ------------------------------------------------------------------------- */

#define HASH_PREFIX	"relay:"

static bool
strip_prefix(struct span *s, const char *prefix)
{
	size_t len = strlen(prefix);

	if (s->len < len || memcmp(s->p, prefix, len) != 0)
		return (false);
	s->p += len;
	s->len -= len;
	return (true);
}

/* Hashes of features that other readers, or later versions, look after. */
static bool
other_hash(struct span name)
{
	return (span_eq_str(name, "certs") || span_eq_str(name, "apps") ||
	    span_eq_str(name, "nodes"));
}

enum sync_hint
sync_hint_update(struct span payload, enum table *table, struct span *field)
{
	struct span s = payload, name;
	const char *sp;

	field->p = NULL;
	field->len = 0;
	if (s.len > 0 && s.p[s.len - 1] == '\n')
		s.len--;
	(void)strip_prefix(&s, HASH_PREFIX);
	if (s.len == 0 || (sp = memchr(s.p, ' ', s.len)) == NULL)
		return (SYNC_HINT_ALL);
	name.p = s.p;
	name.len = (size_t)(sp - s.p);
	if (other_hash(name))
		return (SYNC_HINT_OTHER);
	if (span_eq_str(name, "engines"))
		return (SYNC_HINT_ENGINES);
	field->p = sp + 1;
	field->len = s.len - name.len - 1;
	if (table_find(name, table) != RC_OK || field->len == 0 ||
	    memchr(field->p, ' ', field->len) != NULL)
		return (SYNC_HINT_ALL);
	return (SYNC_HINT_FIELD);
}

enum sync_hint
sync_hint_keyspace(struct span channel, struct span payload,
    enum table *table)
{
	struct span s = channel;
	const char *colon;

	if (s.len == 0 || (colon = memchr(s.p, ':', s.len)) == NULL)
		return (SYNC_HINT_OTHER);
	s.len -= (size_t)(colon + 1 - s.p);
	s.p = colon + 1;
	if (!strip_prefix(&s, HASH_PREFIX) || table_find(s, table) != RC_OK)
		return (SYNC_HINT_OTHER);
	return (span_eq_str(payload, "hdel") ? SYNC_HINT_REMOVED :
	    SYNC_HINT_ALL);
}

/* ---- the index ------------------------------------------------------------------------ */

struct sync_index *
sync_index_new(void)
{
	struct sync_index *x = xcalloc(1, sizeof(*x));

	x->magic = SYNC_INDEX_MAGIC;
	x->seed = random_u64();
	x->n_buckets = BUCKETS_FIRST;
	x->buckets = xcalloc(x->n_buckets, sizeof(*x->buckets));
	return (x);
}

static void
entry_free(struct sync_entry *e)
{
	free(e->path);
	free(e->reason);
	free(e);
}

void
sync_index_free(struct sync_index **xp)
{
	struct sync_index *x = *xp;
	struct sync_entry *e;

	*xp = NULL;
	if (x == NULL)
		return;
	obj_check(x, SYNC_INDEX_MAGIC);
	for (size_t i = 0; i < x->n_buckets; i++)
		while ((e = x->buckets[i]) != NULL) {
			x->buckets[i] = e->next;
			entry_free(e);
		}
	free(x->buckets);
	x->magic = 0;
	free(x);
}

void
sync_hash(struct span key, struct span value, uint8_t out[SYNC_HASH_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct span name = table_of(key) == TABLE_RELAYS ? table_field(key) :
	    key;
	uint8_t zero = 0;		/* ends the name: "ab"+"c" != "a"+"bc" */

	ensure(ctx != NULL);
	ensure(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, name.p, name.len) == 1 &&
	    EVP_DigestUpdate(ctx, &zero, 1) == 1 &&
	    EVP_DigestUpdate(ctx, value.p, value.len) == 1 &&
	    EVP_DigestFinal_ex(ctx, out, NULL) == 1);
	EVP_MD_CTX_free(ctx);
}

/* FNV-1a from a random seed: collisions cannot be prepared from outside. */
static struct sync_entry **
bucket_of(const struct sync_index *x, struct span key)
{
	uint64_t h = x->seed;

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ (unsigned char)key.p[i]) * 0x100000001b3u;
	return (&x->buckets[(h >> 32 ^ h) & (x->n_buckets - 1)]);
}

static struct sync_entry **
find_slot(const struct sync_index *x, struct span key)
{
	struct sync_entry **ep = bucket_of(x, key);

	while (*ep != NULL && ((*ep)->len != key.len ||
	    memcmp((*ep)->key, key.p, key.len) != 0))
		ep = &(*ep)->next;
	return (ep);
}

struct sync_entry *
sync_find(struct sync_index *x, struct span key)
{
	obj_check(x, SYNC_INDEX_MAGIC);
	return (*find_slot(x, key));
}

static void
grow(struct sync_index *x)
{
	struct sync_entry **old = x->buckets, **ep, *e;
	size_t n_old = x->n_buckets;

	x->n_buckets = n_old * 2;
	x->buckets = xcalloc(x->n_buckets, sizeof(*x->buckets));
	for (size_t i = 0; i < n_old; i++)
		while ((e = old[i]) != NULL) {
			old[i] = e->next;
			ep = bucket_of(x, (struct span){ e->key, e->len });
			e->next = *ep;
			*ep = e;
		}
	free(old);
}

static struct sync_entry *
find_or_add(struct sync_index *x, struct span key)
{
	struct sync_entry **ep, *e;

	obj_check(x, SYNC_INDEX_MAGIC);
	if ((e = *find_slot(x, key)) != NULL)
		return (e);
	if (x->n >= x->n_buckets)
		grow(x);
	e = xcalloc(1, sizeof(*e) + key.len + 1);
	e->len = key.len;
	if (key.len > 0)
		memcpy(e->key, key.p, key.len);
	ep = bucket_of(x, key);
	e->next = *ep;
	*ep = e;
	x->n++;
	return (e);
}

static void
digest_toggle(struct sync_index *x, const uint8_t hash[SYNC_HASH_BYTES])
{
	for (size_t i = 0; i < SYNC_HASH_BYTES; i++)
		x->digest[i] ^= hash[i];
}

static enum table
entry_table(const struct sync_entry *e)
{
	return (table_of((struct span){ e->key, e->len }));
}

static void
clear_live(struct sync_index *x, struct sync_entry *e)
{
	if (!e->live)
		return;
	digest_toggle(x, e->hash);
	e->live = false;
	x->n_live[entry_table(e)]--;
	x->n_damaged -= e->damaged ? 1 : 0;
	e->damaged = false;
}

static void
clear_refused(struct sync_index *x, struct sync_entry *e)
{
	if (!e->refused)
		return;
	free(e->path);
	free(e->reason);
	e->path = e->reason = NULL;
	e->refused = false;
	x->n_refused--;
}

void
sync_set_live(struct sync_index *x, struct span key,
    const uint8_t hash[SYNC_HASH_BYTES])
{
	struct sync_entry *e = find_or_add(x, key);

	clear_live(x, e);
	clear_refused(x, e);
	memcpy(e->hash, hash, SYNC_HASH_BYTES);
	digest_toggle(x, e->hash);
	e->live = true;
	x->n_live[entry_table(e)]++;
}

void
sync_set_refused(struct sync_index *x, struct span key,
    const uint8_t hash[SYNC_HASH_BYTES], const char *path, const char *reason)
{
	struct sync_entry *e = find_or_add(x, key);

	clear_refused(x, e);
	memcpy(e->refused_hash, hash, SYNC_HASH_BYTES);
	e->path = xstrndup(path, strnlen(path, SYNC_PATH_BYTES));
	e->reason = xstrndup(reason,
	    strnlen(reason, SYNC_REASON_BYTES));
	e->refused = true;
	x->n_refused++;
}

/* A key that was not live is from now on, with no hash: the digest is as it
 * was, and a full read that does not see it removes it. */
bool
sync_set_damaged(struct sync_index *x, struct span key)
{
	struct sync_entry *e = find_or_add(x, key);

	if (e->damaged)
		return (false);
	if (!e->live) {
		memset(e->hash, 0, SYNC_HASH_BYTES);
		e->live = true;
		x->n_live[entry_table(e)]++;
	}
	e->damaged = true;
	x->n_damaged++;
	return (true);
}

/* What a running read has seen or settled must be kept until it ends. */
static bool
entry_idle(const struct sync_index *x, const struct sync_entry *e)
{
	return (!e->live && !e->refused && !(x->reading &&
	    (e->settled == x->read || e->seen == x->read)));
}

static void
drop(struct sync_index *x, struct sync_entry **ep)
{
	struct sync_entry *e = *ep;

	*ep = e->next;
	x->n--;
	entry_free(e);
}

void
sync_set_gone(struct sync_index *x, struct span key)
{
	struct sync_entry **ep;

	obj_check(x, SYNC_INDEX_MAGIC);
	ep = find_slot(x, key);
	if (*ep == NULL)
		return;
	clear_live(x, *ep);
	clear_refused(x, *ep);
	if (entry_idle(x, *ep))
		drop(x, ep);
}

size_t
sync_live_count(const struct sync_index *x, enum table t)
{
	ensure((unsigned)t < TABLES);
	return (x->n_live[t]);
}

size_t
sync_live_all(const struct sync_index *x)
{
	size_t sum = 0;

	for (unsigned t = 0; t < TABLES; t++)
		sum += x->n_live[t];
	return (sum);
}

size_t
sync_refused_count(const struct sync_index *x)
{
	return (x->n_refused);
}

size_t
sync_damaged_count(const struct sync_index *x)
{
	return (x->n_damaged);
}

void
sync_digest(const struct sync_index *x, char out[2 * SYNC_HASH_BYTES + 1])
{
	hex_encode(x->digest, SYNC_HASH_BYTES, out);
}

void
sync_digest_after(const struct sync_index *x, const struct sync_changes *list,
    char out[2 * SYNC_HASH_BYTES + 1])
{
	uint8_t sum[SYNC_HASH_BYTES];
	const struct sync_change *c;
	const struct sync_entry *e;

	memcpy(sum, x->digest, sizeof(sum));
	STAILQ_FOREACH(c, list, link) {
		e = *find_slot(x, c->key);
		for (size_t i = 0; i < sizeof(sum); i++) {
			if (e != NULL && e->live)
				sum[i] ^= e->hash[i];
			if (!c->remove)
				sum[i] ^= c->hash[i];
		}
	}
	hex_encode(sum, sizeof(sum), out);
}

void
sync_each(const struct sync_index *x, sync_each_cb *cb, void *arg)
{
	for (size_t i = 0; i < x->n_buckets; i++)
		for (const struct sync_entry *e = x->buckets[i]; e != NULL;
		    e = e->next)
			if (!cb(arg, e))
				return;
}

/* ---- changes ----------------------------------------------------------------------------- */

static struct sync_change *
change_new(struct span key, const struct span *value)
{
	size_t len = value == NULL ? 0 : value->len;
	struct sync_change *c = xcalloc(1, sizeof(*c) + key.len + len);

	if (key.len > 0)
		memcpy(c->bytes, key.p, key.len);
	c->key.p = c->bytes;
	c->key.len = key.len;
	c->remove = value == NULL;
	c->value.p = c->bytes + key.len;
	c->value.len = len;
	if (len > 0)
		memcpy(c->bytes + key.len, value->p, len);
	return (c);
}

static bool
known(const struct sync_entry *e, const uint8_t hash[SYNC_HASH_BYTES])
{
	if (e == NULL)
		return (false);
	if (e->refused)		/* what is live is not what Redis held last */
		return (memcmp(e->refused_hash, hash, SYNC_HASH_BYTES) == 0);
	return (e->live && !e->damaged &&
	    memcmp(e->hash, hash, SYNC_HASH_BYTES) == 0);
}

bool
sync_note(struct sync_index *x, struct sync_changes *out, struct span key,
    const struct span *value)
{
	const struct sync_entry *e = sync_find(x, key);
	uint8_t hash[SYNC_HASH_BYTES] = { 0 };
	struct sync_change *c;

	if (value != NULL) {
		sync_hash(key, *value, hash);
		if (known(e, hash))
			return (false);
	} else if (e == NULL || (!e->live && !e->refused)) {
		return (false);
	}
	c = change_new(key, value);
	memcpy(c->hash, hash, sizeof(hash));
	STAILQ_INSERT_TAIL(out, c, link);
	return (true);
}

void
sync_changes_fini(struct sync_changes *list)
{
	struct sync_change *c;

	while ((c = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		free(c);
	}
}

/* ---- full read ---------------------------------------------------------------------------- */

void
sync_read_begin(struct sync_index *x)
{
	obj_check(x, SYNC_INDEX_MAGIC);
	ensure(!x->reading);
	x->reading = true;
	x->read++;
}

bool
sync_read_note(struct sync_index *x, struct sync_changes *out,
    struct span key, struct span value)
{
	struct sync_entry *e;

	ensure(x->reading);
	e = find_or_add(x, key);
	/* HSCAN may show a key twice: once is enough, so that a list holds
	 * one change for a key.  Newer values come by hints. */
	if (e->seen == x->read || e->settled == x->read)
		return (false);
	e->seen = x->read;
	return (sync_note(x, out, key, &value));
}

void
sync_settle(struct sync_index *x, struct span key)
{
	if (x->reading)
		find_or_add(x, key)->settled = x->read;
}

static void
drop_settled(struct sync_index *x, struct sync_changes *list)
{
	struct sync_changes kept = STAILQ_HEAD_INITIALIZER(kept);
	const struct sync_entry *e;
	struct sync_change *c;

	while ((c = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		e = sync_find(x, c->key);
		if (e != NULL && e->settled == x->read)
			free(c);
		else
			STAILQ_INSERT_TAIL(&kept, c, link);
	}
	STAILQ_CONCAT(list, &kept);
}

/* Entries with nothing in them were kept for the read alone. */
static void
forget_idle(struct sync_index *x)
{
	struct sync_entry **ep;

	for (size_t i = 0; i < x->n_buckets; i++)
		for (ep = &x->buckets[i]; *ep != NULL;) {
			if (entry_idle(x, *ep))
				drop(x, ep);
			else
				ep = &(*ep)->next;
		}
}

size_t
sync_read_end(struct sync_index *x, struct sync_changes *list)
{
	struct sync_change *c;
	struct sync_entry *e;
	size_t removals = 0;

	ensure(x->reading);
	drop_settled(x, list);
	for (size_t i = 0; i < x->n_buckets; i++)
		for (e = x->buckets[i]; e != NULL; e = e->next) {
			if (e->seen == x->read || e->settled == x->read)
				continue;
			clear_refused(x, e);
			if (!e->live)
				continue;
			c = change_new((struct span){ e->key, e->len }, NULL);
			STAILQ_INSERT_TAIL(list, c, link);
			removals++;
		}
	x->reading = false;
	forget_idle(x);
	return (removals);
}

void
sync_read_abort(struct sync_index *x)
{
	obj_check(x, SYNC_INDEX_MAGIC);
	x->reading = false;
	forget_idle(x);
}

bool
sync_may_remove(size_t live, size_t removals, size_t single,
    unsigned max_percent)
{
	if (removals == 0 || removals <= single)
		return (true);
	/* "more than max_percent, or all": counted without rounding. */
	return (removals < live &&
	    (uint64_t)removals * 100 <= (uint64_t)live * max_percent);
}
