/* worker/relay_records.c - a walk over the map's relays: what is of another
 * app is told by its bytes, before anything is parsed. */
#include "worker/relay_records.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

struct search {
	const char		*app, *id;
	struct relay_records	*out;
	enum rc			rc;
};

static enum rc
add(struct relay_records *r, const char *host, const struct relay_identity *is,
    struct span json)
{
	struct relay_entry *v = r->v;
	size_t cap = r->cap * 2 + 8;

	if (r->n == r->cap) {
		if ((v = reallocarray(v, cap, sizeof(*v))) == NULL)
			return (RC_NOMEM);
		r->v = v;
		r->cap = cap;
	}
	v = &r->v[r->n];
	memset(v, 0, sizeof(*v));
	if (!span_copy(span_of(host), v->host, sizeof(v->host)))
		return (RC_CORRUPT);
	v->is = *is;
	buffer_init(&v->json, 0, false);
	r->n++;
	r->bytes += json.len;
	return (buffer_append(&v->json, json.p, json.len));
}

static bool
on_relay(void *arg, const char *key, enum rc rc, const struct shm_record *rec)
{
	const char *host = key + strlen(SHM_RELAYS);
	struct search *s = arg;
	struct relay_identity is;

	if (rc != RC_OK || memmem(rec->payload.p, rec->payload.len, s->app,
	    strlen(s->app)) == NULL ||
	    relay_record_identify(rec->payload, host, &is) != RC_OK ||
	    strcmp(is.app, s->app) != 0 ||
	    (s->id != NULL && strcmp(is.id, s->id) != 0))
		return (true);
	s->rc = add(s->out, host, &is, rec->payload);
	return (s->rc == RC_OK);
}

/* Its evervaultDomain is the host name of a relay with the same id. */
static bool
is_custom(const struct relay_records *r, const struct relay_entry *e)
{
	if (strcmp(e->is.domain, e->host) == 0)
		return (false);
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->v[i].host, e->is.domain) == 0 &&
		    strcmp(r->v[i].is.id, e->is.id) == 0)
			return (true);
	return (false);
}

static int
entry_cmp(const void *pa, const void *pb)
{
	const struct relay_entry *a = pa, *b = pb;

	if (a->custom != b->custom)
		return (a->custom ? 1 : -1);
	return (strcmp(a->host, b->host));
}

/* Nothing found says nothing before the first complete sync. */
static enum rc
is_synced(struct route_table *t)
{
	struct relay *none = NULL;
	enum rc rc = route_find(t, "", &none);

	relay_unref(&none);
	return (rc == RC_NOTFOUND ? RC_OK : rc);
}

enum rc
relay_records_find(struct route_table *t, const char *app, const char *id,
    struct relay_records *out)
{
	struct search s = { .app = app, .id = id, .out = out, .rc = RC_OK };
	uint64_t epoch = UINT64_MAX;	/* never: always looked at */
	enum rc rc;

	rc = route_table_each(t, SHM_RELAYS, &epoch, on_relay, &s);
	if (rc != RC_OK || (rc = s.rc) != RC_OK)
		return (rc);
	if (out->n == 0)
		return (is_synced(t));
	for (size_t i = 0; i < out->n; i++)
		out->v[i].custom = is_custom(out, &out->v[i]);
	if (out->n != 0)
		qsort(out->v, out->n, sizeof(*out->v), entry_cmp);
	return (RC_OK);
}

void
relay_records_fini(struct relay_records *r)
{
	for (size_t i = 0; i < r->n; i++)
		buffer_fini(&r->v[i].json);
	free(r->v);
	memset(r, 0, sizeof(*r));
}

/* ---- egress ---- */

struct egress_search {
	char		key[SHM_KEY_BYTES];
	struct buffer	*out;
	enum rc		rc;
};

static bool
on_egress(void *arg, const char *key, enum rc rc, const struct shm_record *rec)
{
	struct egress_search *s = arg;

	if (strcmp(key, s->key) != 0)
		return (true);
	s->rc = rc != RC_OK ? rc : buffer_append(s->out, rec->payload.p,
	    rec->payload.len);
	return (false);
}

enum rc
relay_records_egress(struct route_table *t, const char *app, struct buffer *out)
{
	struct egress_search s = { .key = SHM_EGRESS, .out = out,
	    .rc = RC_NOTFOUND };
	uint64_t epoch = UINT64_MAX;	/* never: always looked at */
	enum rc rc;

	ensure(strlen(app) < sizeof(s.key) - sizeof(SHM_EGRESS));
	strcat(s.key, app);
	rc = route_table_each(t, s.key, &epoch, on_egress, &s);
	if (rc != RC_OK || s.rc != RC_NOTFOUND)
		return (rc != RC_OK ? rc : s.rc);
	return ((rc = is_synced(t)) != RC_OK ? rc : RC_NOTFOUND);
}
