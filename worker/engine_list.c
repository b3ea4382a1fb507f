/* worker/engine_list.c - looks at the map's epoch, and at its engines behind it. */
#include "worker/engine_list.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"
#include "lib/body/json.h"

#define LIST_MAX	256	/* as many as the feed puts there */
#define NODES_MAX	16	/* of a payload with two members */
#define ADDRESS_BYTES	(HOST_BYTES + 8)	/* host:65535 */

struct engine_list {
	unsigned		magic;
#define ENGINE_LIST_MAGIC	0x7b1d46c8
	struct route_table	*routes;	/* borrowed: outlives us */
	struct engine_pool	*pool;		/* borrowed: outlives us */
	uint64_t		epoch;		/* of the map when it was read */
	struct timer		timer;
	bool			unread;		/* a record could not be */
	size_t			n;
	struct engine_announced	v[LIST_MAX];	/* views into addresses */
	char			addresses[LIST_MAX][ADDRESS_BYTES];
};

/* Text without its quotes; the feed writes none with escapes. */
static bool
member_text(const struct body_json *doc, const char *name, char *out,
    size_t size)
{
	uint32_t node = body_json_member(doc, 0, name);
	struct span raw;

	if (node == 0 || doc->nodes[node].type != BODY_JSON_STRING)
		return (false);
	raw = body_json_raw(doc, node);
	raw.p++;
	raw.len -= 2;
	return (span_copy(raw, out, size));
}

static bool
read_payload(struct engine_list *l, struct span payload)
{
	struct body_json doc;
	char state[16];
	bool good;

	if (body_json_read(&doc, payload.p, payload.len, NODES_MAX, NULL) != RC_OK)
		return (false);
	good = member_text(&doc, "address", l->addresses[l->n], ADDRESS_BYTES) &&
	    member_text(&doc, "state", state, sizeof(state));
	body_json_fini(&doc);
	if (!good)
		return (false);
	l->v[l->n] = (struct engine_announced){
	    .address = l->addresses[l->n],
	    .draining = strcmp(state, "draining") == 0,
	};
	l->n++;
	return (true);
}

static bool
on_record(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct engine_list *l = arg;

	(void)key;
	if (l->n == LIST_MAX)
		return (false);
	if (rc != RC_OK || r->kind != SHM_KIND_ENGINE ||
	    !read_payload(l, r->payload))
		l->unread = true;
	return (true);
}

static void
on_timer(void *arg)
{
	struct engine_list *l = arg;
	enum rc rc;

	timer_start_ms(&l->timer, ENGINE_LIST_MS);
	l->n = 0;
	l->unread = false;
	rc = route_table_each(l->routes, SHM_ENGINES, &l->epoch, on_record, l);
	if (rc == RC_OK && !l->unread)
		engine_pool_announced(l->pool, l->v, l->n);
	else if (rc == RC_OK)
		log_warn("an announced engine cannot be read: the last list stays");
}

struct engine_list *
engine_list_new(struct loop *loop, struct route_table *routes,
    struct engine_pool *pool)
{
	struct engine_list *l = xcalloc(1, sizeof(*l));

	l->magic = ENGINE_LIST_MAGIC;
	l->routes = routes;
	l->pool = pool;
	timer_init(&l->timer, loop, on_timer, l);
	timer_start_ms(&l->timer, 0);
	return (l);
}

void
engine_list_free(struct engine_list **lp)
{
	struct engine_list *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	obj_check(l, ENGINE_LIST_MAGIC);
	timer_fini(&l->timer);
	l->magic = 0;
	free(l);
}
