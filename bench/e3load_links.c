/* bench/e3load_links.c - opened, watched, opened again. */
#include "bench/e3load_links.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/base/object.h"

#define RETRY_MS	100

static void link_open(struct load_link *);

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct load_link *l = arg;

	(void)peer;
	l->up = true;
}

static void
on_down(void *arg, const char *why)
{
	struct load_link *l = arg;

	if (!l->all->may_fail)
		fatal(1, "client %s: no link: %s", l->all->name, why);
	l->up = false;
	rpc_link_close(&l->link);
	timer_start_ms(&l->retry, RETRY_MS);
}

static void
on_retry(void *arg)
{
	link_open(arg);
}

static void
link_open(struct load_link *l)
{
	static const struct rpc_link_ops ops = { .on_up = on_up,
	    .on_down = on_down };
	const struct rpc_link_config config = { .addr = l->addr,
	    .ctx = l->all->ctx };

	l->link = rpc_link_open(l->all->loop, &config, &ops, l);
}

static bool
all_up(const struct load_links *links)
{
	for (size_t i = 0; i < links->n; i++)
		if (!links->of[i].up)
			return (false);
	return (true);
}

void
load_links_open(struct load_links *links, const struct load_client *c,
    unsigned index, const struct load_profile *p, struct loop *loop,
    SSL_CTX *ctx)
{
	memset(links, 0, sizeof(*links));
	links->n = c->links;
	links->name = c->name;
	links->loop = loop;
	links->ctx = ctx;
	for (size_t i = 0; i < links->n; i++) {
		struct load_link *l = &links->of[i];

		l->all = links;
		ensure(net_addr_parse(p->addresses[(index + i) %
		    p->n_addresses].text, &l->addr) == RC_OK);
		timer_init(&l->retry, loop, on_retry, l);
		link_open(l);
	}
	while (!all_up(links))
		loop_turn(loop, true);
}

void
load_links_close(struct load_links *links)
{
	for (size_t i = 0; i < links->n; i++) {
		rpc_link_close(&links->of[i].link);
		timer_fini(&links->of[i].retry);
	}
}

struct rpc_link *
load_links_choose(struct load_links *links)
{
	for (size_t i = 0; i < links->n; i++) {
		struct load_link *l = &links->of[links->next++ % links->n];

		if (l->up && rpc_link_in_flight(l->link) < RPC_CALLS_MAX)
			return (l->link);
	}
	return (NULL);
}
