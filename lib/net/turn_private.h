/*
 * net/turn_private.h - the streams that want a look before the loop waits, and
 * those that may keep memory while nothing happens.
 * Context:   lib/net only; the loop's thread.
 * Ownership: one net_turn per loop, made with its first stream and freed with
 *            the last; items are embedded in what they stand for.
 *
 * Two lists instead of a scan of all streams: who asked for one look (it has
 * output to flush, bytes inside TLS, memory to give back), and who is watched
 * before each wait (its input is full, and only the owner's buffer_consume
 * will change that, which nobody reports).
 *
 * A third one of those that worked last: their next work is likely soon, and
 * they keep the memory it takes.  The others give it back.
 */
#ifndef RELAY_NET_TURN_PRIVATE_H
#define RELAY_NET_TURN_PRIVATE_H

#include "lib/base/list.h"
#include "lib/base/loop.h"

typedef void net_turn_cb(void *arg);

struct net_turn;
TAILQ_HEAD(net_turn_list, net_turn_item);

struct net_turn_item {
	TAILQ_ENTRY(net_turn_item)	link;
	struct net_turn_list		*on;	/* the list we are on, or NULL */
	TAILQ_ENTRY(net_turn_item)	warm_link;
	struct net_turn			*warm_in;	/* or NULL */
	net_turn_cb			*look;
	net_turn_cb			*cool;
	void				*arg;	/* borrowed: embeds us */
};

struct net_turn *net_turn_ref(struct loop *);
void net_turn_unref(struct net_turn **);

void net_turn_init(struct net_turn_item *, net_turn_cb *look,
    net_turn_cb *cool, void *arg);
/* One look, before the next wait. */
void net_turn_ask(struct net_turn *, struct net_turn_item *);
/* A look before each wait; each look must watch again. */
void net_turn_watch(struct net_turn *, struct net_turn_item *);

/* This item works.  It may keep memory until NET_TURN_WARM_MAX others have
 * worked since; then cool() is called, once. */
#define NET_TURN_WARM_MAX	64	/* streams, of 33 KB each */
void net_turn_warm(struct net_turn *, struct net_turn_item *);

/* It is on no list, and neither callback comes. */
void net_turn_forget(struct net_turn_item *);

#endif
