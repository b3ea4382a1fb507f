/* e3/load.c - records in: LoadRecords, Checksum, SetReady. */
#include "e3/load.h"

#include <stdlib.h>
#include <string.h>

#include "e3/record.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"

#define COST_RECORD	(2 * E3_COST_ECDH)	/* two public keys derived */

/* ---- LoadRecords ---- */

struct load {
	const uint8_t	*root_key;	/* view: the platform's */
	const struct rpc_value *records;
	size_t		n, at;
	struct e3_app	**apps;		/* owned, counted; NULL: not opened */
	/* what became of them */
	unsigned	loaded, broken, rollbacks, conflicts;
};

static void
load_free(void *p)
{
	struct load *w = p;

	for (size_t i = 0; i < w->n; i++)
		e3_app_unref(&w->apps[i]);
	free(w->apps);
	free(w);
}

static bool
load_run(struct e3_job *job, struct e3_crypto *crypto, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	struct load *w = c->work;

	if (atomic_load(&job->cancelled)) {
		e3_call_fail(c, RPC_STATUS_CANCELLED);
		return (true);
	}
	for (; w->at < w->n && *cost < E3_SLICE_COST; w->at++) {
		struct span record;

		*cost += COST_RECORD;
		/* A failure is NULL here and is counted by load_finish. */
		if (rpc_get_bytes(rpc_array_at(w->records, w->at), &record) &&
		    e3_record_open(crypto, w->root_key, record,
		    &w->apps[w->at]) != RC_OK)
			w->apps[w->at] = NULL;
	}
	return (w->at == w->n);
}

/* Which record could not be taken, by its clear header; never its content. */
static void
load_log(const struct load *w, size_t i, const char *why)
{
	struct rpc_record_head h;
	struct span record;

	if (rpc_get_bytes(rpc_array_at(w->records, i), &record) &&
	    rpc_record_head_read(record, &h) == RC_OK)
		log_error("record-refused app=%s version=%llu why=%s",
		    h.app, (unsigned long long)h.version, why);
	else
		log_error("record-refused why=broken-header");
}

/* The table of a point that nothing is sealed to any more goes. */
static void
drop_table(struct e3_engine *e, const struct e3_app *old,
    const struct e3_app *app)
{
	const struct e3_key_pair *was, *is;

	was = e3_app_sealing_pair(old, RPC_CURVE_R1);
	is = e3_app_sealing_pair(app, RPC_CURVE_R1);
	if (was != NULL && (is == NULL || memcmp(was->pub.compressed,
	    is->pub.compressed, E3_POINT_BYTES) != 0))
		e3_p256_tables_drop(e->tables, &was->pub);
}

static void
load_put(struct e3_engine *e, struct load *w, size_t i)
{
	struct e3_app *app = w->apps[i], *old;

	if (app == NULL) {
		load_log(w, i, "does-not-open");
		w->broken++;
		return;
	}
	if ((old = e3_keyring_app(e->keyring, span_of(app->id))) != NULL)
		(void)e3_app_ref(old);
	switch (e3_keyring_put(e->keyring, &w->apps[i])) {
	case RC_OK:
		if (old != NULL)
			drop_table(e, old, app);
		w->loaded++;
		break;
	case RC_EXISTS:
		w->loaded++;
		break;
	case RC_CONFLICT:
		load_log(w, i, "conflict");
		w->conflicts++;
		break;
	default:
		load_log(w, i, "rollback");
		w->rollbacks++;
		break;
	}
	e3_app_unref(&old);
}

/* [id, version] of what is active now for each record of the call. */
static void
put_active(struct e3_engine *e, const struct load *w, struct buffer *b)
{
	struct rpc_record_head h;
	struct span record;
	size_t n = 0;

	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1)
			rpc_put_array(b, n);
		for (size_t i = 0; i < w->n; i++) {
			const struct e3_app *app;

			if (!rpc_get_bytes(rpc_array_at(w->records, i),
			    &record) || rpc_record_head_read(record, &h) !=
			    RC_OK || (app = e3_keyring_app(e->keyring,
			    span_of(h.app))) == NULL)
				continue;
			if (pass == 0) {
				n++;
				continue;
			}
			rpc_put_array(b, 2);
			rpc_put_str(b, app->id);
			rpc_put_u64(b, app->version);
		}
	}
}

static void
load_finish(void *engine, struct e3_call *c)
{
	struct e3_engine *e = engine;
	struct load *w = c->work;
	enum rpc_status status = RPC_STATUS_OK;
	struct buffer b;

	if (atomic_load(&c->job.cancelled))
		return;			/* answered by load_run */
	for (size_t i = 0; i < w->n; i++)
		load_put(e, w, i);
	log_info("records-loaded loaded=%u broken=%u rollbacks=%u "
	    "conflicts=%u apps=%zu", w->loaded, w->broken, w->rollbacks,
	    w->conflicts, e3_keyring_apps(e->keyring));
	if (w->loaded == 0 && w->conflicts + w->rollbacks != 0) {
		e3_call_fail(c, RPC_STATUS_CONFLICT);
		return;
	}
	if (w->loaded == 0 && w->broken != 0) {
		e3_call_fail(c, RPC_STATUS_BAD_REQUEST);
		return;
	}
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 5);
	rpc_put_str(&b, "loaded");
	rpc_put_u64(&b, w->loaded);
	rpc_put_str(&b, "broken");
	rpc_put_u64(&b, w->broken);
	rpc_put_str(&b, "rollbacks");
	rpc_put_u64(&b, w->rollbacks);
	rpc_put_str(&b, "conflicts");
	rpc_put_u64(&b, w->conflicts);
	rpc_put_str(&b, "active");
	put_active(e, w, &b);
	if ((status = e3_call_status(e3_call_emit(c, &b, false))) != RPC_STATUS_OK)
		e3_call_fail(c, status);
	buffer_fini(&b);
}

enum rpc_status
e3_load_records(struct e3_engine *e, struct e3_call *c)
{
	const struct rpc_value *records = rpc_map_get(c->frame.body, "records");
	size_t n = rpc_array_len(records);
	struct load *w;

	if (n == SIZE_MAX)
		return (RPC_STATUS_BAD_REQUEST);
	if (n > RPC_FIELDS_MAX)
		return (RPC_STATUS_LIMIT);
	w = xcalloc(1, sizeof(*w));
	c->work = w;
	c->work_free = load_free;
	c->finish = load_finish;
	w->root_key = e->root_key;
	w->records = records;
	w->n = n;
	w->apps = xcalloc(n + 1, sizeof(struct e3_app *));
	return (e3_dispatch_submit(e, c, load_run, n * COST_RECORD));
}

/* ---- Checksum, SetReady ---- */

enum rpc_status
e3_checksum(struct e3_engine *e, struct e3_call *c)
{
	uint8_t sum[E3_SECRET_BYTES];
	enum rpc_status status;
	struct buffer b;

	e3_keyring_checksum(e->keyring, sum);
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 2);
	rpc_put_str(&b, "checksum");
	rpc_put_bin(&b, (struct span){ (const char *)sum, sizeof(sum) });
	rpc_put_str(&b, "records");
	rpc_put_u64(&b, e3_keyring_apps(e->keyring));
	status = e3_call_status(e3_call_emit(c, &b, false));
	buffer_fini(&b);
	return (status);
}

enum rpc_status
e3_set_ready(struct e3_engine *e, struct e3_call *c)
{
	uint8_t sum[E3_SECRET_BYTES];
	enum rpc_status status;
	struct span theirs;
	struct buffer b;

	if (!rpc_get_bytes(rpc_map_get(c->frame.body, "checksum"), &theirs) ||
	    theirs.len != sizeof(sum))
		return (RPC_STATUS_BAD_REQUEST);
	e3_keyring_checksum(e->keyring, sum);
	if (!secret_equal(sum, theirs.p, sizeof(sum)))
		return (RPC_STATUS_CONFLICT);
	if (!e->ready)
		log_info("ready apps=%zu keys=%zu",
		    e3_keyring_apps(e->keyring), e3_keyring_keys(e->keyring));
	e->ready = true;
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 0);
	status = e3_call_status(e3_call_emit(c, &b, false));
	buffer_fini(&b);
	return (status);
}
