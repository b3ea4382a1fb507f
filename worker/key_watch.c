/*
 * worker/key_watch.c - watches of keys.
 *
 *   key_watches -> watched (one key) -> watches, who live on it.
 *
 * A watched key is in one of three lists: `due` to be asked about, `asked`, or
 * at `rest` after an engine said that it lives, the oldest word first.
 */
#include "worker/key_watch.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"

#define BUCKETS		256	/* ids are the engine's: nobody chooses one */

struct key_watch {
	unsigned		magic;
#define KEY_WATCH_MAGIC		0x52b7e09d
	TAILQ_ENTRY(key_watch)	link;	/* key->watches, while key != NULL */
	struct watched		*key;	/* borrowed; NULL: it was told */
	key_watch_cb		*cb;
	void			*arg;	/* borrowed: stops us when it goes */
};

TAILQ_HEAD(watched_list, watched);

struct watched {
	LIST_ENTRY(watched)	chain;
	TAILQ_ENTRY(watched)	link;
	struct watched_list	*list;	/* view: where link is */
	struct key_watches	*all;	/* borrowed: owns us */
	struct key_name		name;
	TAILQ_HEAD(, key_watch)	watches; /* owned by who watches; not empty */
	uint64_t		ask_id;	/* 0: not asked */
	uint64_t		keys_seen; /* of the pool, before it was asked */
	uint64_t		t_ms;	/* of the last word */
	bool			ended;	/* those who watch are being told */
};

struct key_watches {
	unsigned		magic;
#define KEY_WATCHES_MAGIC	0xd86f2c13
	struct api_keys		*keys;	/* borrowed: outlives us */
	struct engine_pool	*pool;	/* borrowed: outlives us */
	struct watched_list	due, asked, rest;	/* owned */
	unsigned		n_asked;
	bool			unsure;	/* nobody could say: not before the
					   next look */
	uint64_t		keys_seen;	/* at the last look */
	LIST_HEAD(, watched)	by_name[BUCKETS];
	struct timer		look;	/* runs while a key is watched */
};

/* ---- keys ---- */

void
key_name_set(struct key_name *name, const struct api_key_answer *answer,
    enum api_scope scope)
{
	ensure(answer->verdict == API_KEY_GOOD);
	memcpy(name->app, answer->app, sizeof(name->app));
	memcpy(name->id, answer->key_id, sizeof(name->id));
	name->scope = scope;
}

static size_t
bucket_of(const struct key_name *name)
{
	uint32_t h = 2166136261u;	/* FNV-1a */

	for (const char *p = name->id; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return (h % BUCKETS);
}

static bool
name_equal(const struct key_name *a, const struct key_name *b)
{
	return (a->scope == b->scope && strcmp(a->id, b->id) == 0 &&
	    strcmp(a->app, b->app) == 0);
}

static void
move_to(struct watched *key, struct watched_list *list)
{
	TAILQ_REMOVE(key->list, key, link);
	key->list = list;
	TAILQ_INSERT_TAIL(list, key, link);
}

static struct watched *
watched_find(struct key_watches *k, const struct key_name *name)
{
	struct watched *key;

	LIST_FOREACH(key, &k->by_name[bucket_of(name)], chain)
		if (name_equal(&key->name, name))
			return (key);
	return (NULL);
}

/* Due: its word is from before the wait for a destination. */
static struct watched *
watched_new(struct key_watches *k, const struct key_name *name)
{
	struct watched *key = xcalloc(1, sizeof(*key));

	key->all = k;
	key->name = *name;
	TAILQ_INIT(&key->watches);
	key->list = &k->due;
	TAILQ_INSERT_TAIL(&k->due, key, link);
	LIST_INSERT_HEAD(&k->by_name[bucket_of(name)], key, chain);
	if (!timer_running(&k->look))
		timer_start_ms(&k->look, KEY_WATCH_LOOK_MS);
	return (key);
}

static void
watched_free(struct watched *key)
{
	struct key_watches *k = key->all;

	ensure(TAILQ_EMPTY(&key->watches));
	if (key->ask_id != 0) {
		api_key_cancel(k->keys, key->ask_id);
		k->n_asked--;
	}
	TAILQ_REMOVE(key->list, key, link);
	LIST_REMOVE(key, chain);
	free(key);
}

/* ---- what is said about them ---- */

/* All who live on it are told.  Each may stop others, of this key, too. */
static void
end(struct watched *key, const char *cause)
{
	struct key_watch *w;

	key->ended = true;
	while ((w = TAILQ_FIRST(&key->watches)) != NULL) {
		TAILQ_REMOVE(&key->watches, w, link);
		w->key = NULL;
		w->cb(w->arg, cause);
	}
	watched_free(key);
}

static void
take(struct watched *key, enum api_key_verdict verdict)
{
	struct key_watches *k = key->all;

	switch (verdict) {
	case API_KEY_GOOD:
		key->t_ms = clock_mono_ms();
		/* Something changed while we asked: once more. */
		move_to(key, key->keys_seen == engine_pool_keys_seen(k->pool) ?
		    &k->rest : &k->due);
		return;
	case API_KEY_NO_ENGINE:
		k->unsure = true;
		move_to(key, &k->due);
		return;
	case API_KEY_BAD:
		end(key, "the API key was revoked or has ended");
		return;
	case API_KEY_NO_SCOPE:
		end(key, "the API key is not good for this any more");
		return;
	}
}

/* ---- asking ---- */

static void ask_those_due(struct key_watches *);

static void
on_verdict(void *arg, const struct api_key_answer *answer)
{
	struct watched *key = arg;
	struct key_watches *k = key->all;

	key->ask_id = 0;
	k->n_asked--;
	take(key, answer->verdict);
	ask_those_due(k);
}

static void
ask(struct watched *key)
{
	struct key_watches *k = key->all;
	const struct api_key_question question = {
		.key = span_of(key->name.id),
		.app = key->name.app,
		.scope = key->name.scope,
		.by_id = true,
	};
	struct api_key_answer now;

	key->keys_seen = engine_pool_keys_seen(k->pool);
	key->ask_id = api_key_ask(k->keys, &question, on_verdict, key, &now);
	if (key->ask_id == 0) {
		take(key, now.verdict);
		return;
	}
	k->n_asked++;
	move_to(key, &k->asked);
}

/* Without an engine whose word would count it is no use. */
static void
ask_those_due(struct key_watches *k)
{
	while (!k->unsure && k->n_asked < KEY_WATCH_ASKED_MAX &&
	    !TAILQ_EMPTY(&k->due) && engine_pool_keys_seen(k->pool) != 0)
		ask(TAILQ_FIRST(&k->due));
}

/* Whose word is from before a change, or old. */
static void
find_due(struct key_watches *k)
{
	uint64_t keys_seen = engine_pool_keys_seen(k->pool);
	uint64_t now_ms = clock_mono_ms();
	struct watched *key;

	while ((key = TAILQ_FIRST(&k->rest)) != NULL &&
	    (keys_seen != k->keys_seen ||
	    now_ms - key->t_ms >= KEY_WATCH_AGAIN_MS))
		move_to(key, &k->due);
	k->keys_seen = keys_seen;
}

static void
on_look(void *arg)
{
	struct key_watches *k = arg;

	k->unsure = false;
	find_due(k);
	ask_those_due(k);
	if (!TAILQ_EMPTY(&k->due) || !TAILQ_EMPTY(&k->asked) ||
	    !TAILQ_EMPTY(&k->rest))
		timer_start_ms(&k->look, KEY_WATCH_LOOK_MS);
}

/* ---- watches ---- */

struct key_watch *
key_watch_start(struct key_watches *k, const struct key_name *name,
    key_watch_cb *cb, void *arg)
{
	struct key_watch *w = xcalloc(1, sizeof(*w));

	obj_check(k, KEY_WATCHES_MAGIC);
	ensure(name->app[0] != '\0');
	w->magic = KEY_WATCH_MAGIC;
	w->cb = cb;
	w->arg = arg;
	if ((w->key = watched_find(k, name)) == NULL)
		w->key = watched_new(k, name);
	TAILQ_INSERT_TAIL(&w->key->watches, w, link);
	return (w);
}

void
key_watch_stop(struct key_watch **wp)
{
	struct key_watch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	obj_check(w, KEY_WATCH_MAGIC);
	if (w->key != NULL) {
		TAILQ_REMOVE(&w->key->watches, w, link);
		/* At its end it is in use, see end. */
		if (TAILQ_EMPTY(&w->key->watches) && !w->key->ended)
			watched_free(w->key);
	}
	w->magic = 0;
	free(w);
}

/* ---- life ---- */

struct key_watches *
key_watches_new(struct loop *loop, struct api_keys *keys,
    struct engine_pool *pool)
{
	struct key_watches *k = xcalloc(1, sizeof(*k));

	k->magic = KEY_WATCHES_MAGIC;
	k->keys = keys;
	k->pool = pool;
	TAILQ_INIT(&k->due);
	TAILQ_INIT(&k->asked);
	TAILQ_INIT(&k->rest);
	for (size_t i = 0; i < BUCKETS; i++)
		LIST_INIT(&k->by_name[i]);
	timer_init(&k->look, loop, on_look, k);
	return (k);
}

void
key_watches_free(struct key_watches **kp)
{
	struct key_watches *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	obj_check(k, KEY_WATCHES_MAGIC);
	ensure(TAILQ_EMPTY(&k->due) && TAILQ_EMPTY(&k->asked) &&
	    TAILQ_EMPTY(&k->rest));
	timer_fini(&k->look);
	k->magic = 0;
	free(k);
}
