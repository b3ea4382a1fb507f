/*
 * scheme/p256_table.c - who gets a table, and the thread that builds them.
 *
 *   tables -> by_point            every point below, for the search
 *          -> counted             calls are counted, no table
 *          -> tabled              table built or asked for
 *               -> waiting        asked for, in order
 *          -> job                 the one that is being built
 *
 * The lists are the network thread's alone.  The builder is given one table at
 * a time (by the next call, once it is idle) and has no lock: it runs at a low
 * priority, and nobody may wait for it.
 *
 * OpenSSL makes tables of a group's generator only, by a function that 3.0
 * deprecates without a successor: hence a group of its own for each point, and
 * the next line in this file alone.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "lib/scheme/p256_table.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/base/thread.h"
#include "lib/base/tree.h"

#define COUNTED_MAX	4096	/* points without a table: 1 MB */
#define BUILDER_NICE	10	/* a tenth of a busy core: 26 ms become 0.3 s */

struct scheme_p256_table {
	struct scheme_public_key	pub;		/* first: by_point's key */
	unsigned		magic;
#define SCHEME_P256_TABLE_MAGIC	0x9256ab1e
	atomic_uint		refs;
	_Atomic(EC_GROUP *)	group;		/* owned; NULL until built */

	/* network thread only */
	enum { TABLE_NONE, TABLE_WAITING, TABLE_GIVEN } state;
	unsigned		n_calls;	/* counted since `first` */
	uint64_t		first, last;	/* calls, by number */
	TAILQ_ENTRY(scheme_p256_table) used_entry, wait_entry;
};
TAILQ_HEAD(table_list, scheme_p256_table);

struct scheme_p256_tables {
	unsigned		magic;
#define SCHEME_P256_TABLES_MAGIC	0x9256ab15
	struct tree		by_point;	/* one reference each */
	struct table_list	counted, tabled;	/* used last: first */
	struct table_list	waiting;
	unsigned		n_counted, n_tabled, max;
	uint64_t		calls;		/* so far */
	pthread_t		builder;
	bool			started;
	sem_t			wake;		/* the builder: a job, or stop */
	struct scheme_p256_table	*job;		/* counted; the builder's if busy */
	atomic_bool		busy, stop;
};

/* ---- a table ---- */

static struct scheme_p256_table *
table_ref(struct scheme_p256_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return (t);
}

void
scheme_p256_table_unref(struct scheme_p256_table **tp)
{
	struct scheme_p256_table *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	obj_check(t, SCHEME_P256_TABLE_MAGIC);
	if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	EC_GROUP_free(atomic_load(&t->group));
	t->magic = 0;
	free(t);
}

const EC_GROUP *
scheme_p256_table_group(const struct scheme_p256_table *t)
{
	obj_check(t, SCHEME_P256_TABLE_MAGIC);
	return (atomic_load_explicit(&t->group, memory_order_acquire));
}

/* ---- the builder ---- */

/* One multiple of the point with and without the table.  A libcrypto that took
 * the curve's own generator would make shared secrets of public keys. */
static bool
table_holds(const EC_GROUP *g, const EC_POINT *point,
    const struct scheme_public_key *pub, BN_CTX *bn)
{
	EC_POINT *with = EC_POINT_new(g), *without = EC_POINT_new(g);
	BIGNUM *k = BN_bin2bn(pub->full + 1, SCHEME_SECRET_BYTES, NULL);
	bool holds;

	holds = with != NULL && without != NULL && k != NULL &&
	    EC_POINT_mul(g, with, k, NULL, NULL, bn) == 1 &&
	    EC_POINT_mul(g, without, NULL, point, k, bn) == 1 &&
	    EC_POINT_cmp(g, with, without, bn) == 0;
	BN_free(k);
	EC_POINT_free(with);
	EC_POINT_free(without);
	return (holds);
}

/* NULL: no point of the curve, or no memory; calls go on without. */
static EC_GROUP *
build(const struct scheme_public_key *pub)
{
	EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *point = g != NULL ? EC_POINT_new(g) : NULL;
	BN_CTX *bn = BN_CTX_new();

	/* oct2point checks the curve's equation.  The order is prime: any
	 * point generates the curve. */
	if (point == NULL || bn == NULL || pub->full[0] != 4 ||
	    EC_POINT_oct2point(g, point, pub->full, sizeof(pub->full), bn) !=
	    1 || EC_GROUP_set_generator(g, point, EC_GROUP_get0_order(g),
	    EC_GROUP_get0_cofactor(g)) != 1 ||
	    EC_GROUP_precompute_mult(g, bn) != 1 ||
	    EC_GROUP_have_precompute_mult(g) != 1 ||
	    !table_holds(g, point, pub, bn)) {
		EC_GROUP_free(g);
		g = NULL;
	}
	EC_POINT_free(point);
	BN_CTX_free(bn);
	ERR_clear_error();
	return (g);
}

static void *
builder_main(void *arg)
{
	struct scheme_p256_tables *s = arg;

	thread_nice(BUILDER_NICE);
	for (;;) {
		while (sem_wait(&s->wake) != 0)
			continue;		/* EINTR */
		if (atomic_load(&s->stop))
			break;
		atomic_store_explicit(&s->job->group, build(&s->job->pub),
		    memory_order_release);
		scheme_p256_table_unref(&s->job);
		atomic_store_explicit(&s->busy, false, memory_order_release);
	}
	OPENSSL_thread_stop();
	return (NULL);
}

static void
hand_over(struct scheme_p256_tables *s)
{
	struct scheme_p256_table *t = TAILQ_FIRST(&s->waiting);

	if (t == NULL || atomic_load_explicit(&s->busy, memory_order_acquire))
		return;
	TAILQ_REMOVE(&s->waiting, t, wait_entry);
	t->state = TABLE_GIVEN;
	s->job = table_ref(t);
	atomic_store_explicit(&s->busy, true, memory_order_relaxed);
	ensure(sem_post(&s->wake) == 0);
}

/* ---- the cache ---- */

/* Compressed points: public, so their order may be searched in any time. */
static int
point_cmp(const void *a, const void *b)
{
	return (memcmp(((const struct scheme_public_key *)a)->compressed,
	    ((const struct scheme_public_key *)b)->compressed,
	    SCHEME_POINT_BYTES));
}

static struct scheme_p256_table *
find(const struct scheme_p256_tables *s, const struct scheme_public_key *pub)
{
	return (tree_find(&s->by_point, pub));
}

static void
drop(struct scheme_p256_tables *s, struct scheme_p256_table *t)
{
	if (t->state == TABLE_WAITING)
		TAILQ_REMOVE(&s->waiting, t, wait_entry);
	if (t->state == TABLE_NONE) {
		TAILQ_REMOVE(&s->counted, t, used_entry);
		s->n_counted--;
	} else {
		TAILQ_REMOVE(&s->tabled, t, used_entry);
		s->n_tabled--;
	}
	(void)tree_remove(&s->by_point, t);
	scheme_p256_table_unref(&t);
}

static struct scheme_p256_table *
add(struct scheme_p256_tables *s, const struct scheme_public_key *pub)
{
	struct scheme_p256_table *t;

	if (s->n_counted == COUNTED_MAX)
		drop(s, TAILQ_LAST(&s->counted, table_list));
	t = xcalloc(1, sizeof(*t));
	t->pub = *pub;
	t->magic = SCHEME_P256_TABLE_MAGIC;
	atomic_init(&t->refs, 1);
	atomic_init(&t->group, NULL);
	ensure(tree_add(&s->by_point, t) == t);
	TAILQ_INSERT_HEAD(&s->counted, t, used_entry);
	s->n_counted++;
	return (t);
}

/* Its calls were enough.  A full cache gives up the table used longest ago,
 * but none that was used while they were counted: where more points are hot
 * than tables fit, each build would only undo another. */
static void
ask(struct scheme_p256_tables *s, struct scheme_p256_table *t)
{
	if (s->n_tabled == s->max) {
		struct scheme_p256_table *old = TAILQ_LAST(&s->tabled, table_list);

		if (old->last > t->first)
			return;
		drop(s, old);
	}
	TAILQ_REMOVE(&s->counted, t, used_entry);
	s->n_counted--;
	TAILQ_INSERT_HEAD(&s->tabled, t, used_entry);
	s->n_tabled++;
	TAILQ_INSERT_TAIL(&s->waiting, t, wait_entry);
	t->state = TABLE_WAITING;
}

struct scheme_p256_table *
scheme_p256_tables_use(struct scheme_p256_tables *s,
    const struct scheme_public_key *pub)
{
	struct table_list *list;
	struct scheme_p256_table *t;

	obj_check(s, SCHEME_P256_TABLES_MAGIC);
	if ((t = find(s, pub)) == NULL)
		t = add(s, pub);
	t->last = ++s->calls;
	list = t->state == TABLE_NONE ? &s->counted : &s->tabled;
	TAILQ_REMOVE(list, t, used_entry);
	TAILQ_INSERT_HEAD(list, t, used_entry);
	if (t->state == TABLE_NONE) {
		if (t->n_calls++ == 0)
			t->first = t->last;
		if (t->n_calls == SCHEME_P256_TABLE_CALLS) {
			t->n_calls = 0;
			ask(s, t);
		}
	}
	hand_over(s);
	return (scheme_p256_table_group(t) != NULL ? table_ref(t) : NULL);
}

void
scheme_p256_tables_drop(struct scheme_p256_tables *s,
    const struct scheme_public_key *pub)
{
	struct scheme_p256_table *t;

	obj_check(s, SCHEME_P256_TABLES_MAGIC);
	if ((t = find(s, pub)) != NULL)
		drop(s, t);
}

struct scheme_p256_tables *
scheme_p256_tables_new(unsigned max)
{
	struct scheme_p256_tables *s = xcalloc(1, sizeof(*s));

	s->magic = SCHEME_P256_TABLES_MAGIC;
	s->max = max;
	s->by_point.cmp = point_cmp;
	TAILQ_INIT(&s->counted);
	TAILQ_INIT(&s->tabled);
	TAILQ_INIT(&s->waiting);
	atomic_init(&s->busy, false);
	atomic_init(&s->stop, false);
	ensure(sem_init(&s->wake, 0, 0) == 0);
	s->started = thread_start(&s->builder, builder_main, s);
	if (!s->started)
		scheme_p256_tables_free(&s);
	return (s);
}

void
scheme_p256_tables_free(struct scheme_p256_tables **sp)
{
	struct scheme_p256_tables *s = *sp;
	struct scheme_p256_table *t;

	*sp = NULL;
	if (s == NULL)
		return;
	obj_check(s, SCHEME_P256_TABLES_MAGIC);
	atomic_store(&s->stop, true);
	ensure(sem_post(&s->wake) == 0);
	if (s->started)
		ensure(pthread_join(s->builder, NULL) == 0);
	scheme_p256_table_unref(&s->job);		/* given and not begun */
	while ((t = TAILQ_FIRST(&s->counted)) != NULL ||
	    (t = TAILQ_FIRST(&s->tabled)) != NULL)
		drop(s, t);
	(void)sem_destroy(&s->wake);
	s->magic = 0;
	free(s);
}
