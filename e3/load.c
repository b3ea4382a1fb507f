/* e3/load.c - records in, ready, draining; what the platform answers. */
#include "e3/load.h"

#include <stdlib.h>
#include <string.h>

#include "e3/record.h"
#include "lib/base/crash_point.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"

#define COST_RECORD	(2 * E3_COST_ECDH)	/* two public keys derived */
#define NONCE_BYTES_MAX	512	/* what an attestation document can hold */

/* ---- LoadRecords ---- */

struct load {
	const uint8_t	*root_key, *next_root_key;	/* views: platform's */
	size_t		n, at;
	struct loading {
		struct span	record;	/* view of the call's bytes */
		struct e3_app	*app;	/* counted; NULL: not opened */
		enum rc		rc;	/* why */
	}		*all;		/* owned */
	bool		cancelled;	/* seen and answered by a slice */
	/* what became of them */
	unsigned	loaded, broken, rollbacks, conflicts;
};

static void
load_free(void *p)
{
	struct load *w = p;

	for (size_t i = 0; i < w->n; i++)
		e3_app_unref(&w->all[i].app);
	free(w->all);
	free(w);
}

/* While the root key changes, a record is under the one or under the other. */
static void
open_one(const struct load *w, struct scheme_crypto *crypto, struct loading *l)
{
	l->rc = e3_record_open(crypto, w->root_key, l->record, &l->app);
	if (l->rc != RC_CORRUPT || w->next_root_key == NULL)
		return;
	l->rc = e3_record_open(crypto, w->next_root_key, l->record, &l->app);
	if (l->rc == RC_OK)
		l->app->under_next = true;
}

static bool
load_run(struct sched_job *job, void *crypto, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	struct load *w = c->served.work;

	if (atomic_load(&job->cancelled)) {
		w->cancelled = true;
		rpc_served_fail(&c->served, RPC_STATUS_CANCELLED);
		return (true);
	}
	for (; w->at < w->n && *cost < E3_SLICE_COST; *cost += COST_RECORD)
		open_one(w, crypto, &w->all[w->at++]);
	crash_point("e3.opened");
	return (w->at == w->n);
}

/* Which record could not be taken, by its clear header; never its content. */
static void
load_log(const struct loading *l, const char *why)
{
	struct rpc_record_head h;

	if (rpc_record_head_read(l->record, &h) == RC_OK)
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
	    is->pub.compressed, SCHEME_POINT_BYTES) != 0))
		scheme_p256_tables_drop(e->tables, &was->pub);
}

static void
load_put(struct e3_engine *e, struct load *w, struct loading *l)
{
	struct e3_app *app = l->app, *old;
	enum rc rc;

	if (app == NULL) {
		load_log(l, rc_name(l->rc));
		w->broken++;
		return;
	}
	if ((old = e3_keyring_app(e->keyring, span_of(app->id))) != NULL)
		(void)e3_app_ref(old);
	rc = e3_keyring_put(e->keyring, &l->app);
	if (rc == RC_OK && old != NULL)
		drop_table(e, old, app);
	e3_app_unref(&old);
	if (rc == RC_OK || rc == RC_EXISTS) {
		w->loaded++;
		return;
	}
	load_log(l, rc == RC_CONFLICT ? "conflict" : "rollback");
	if (rc == RC_CONFLICT)
		w->conflicts++;
	else
		w->rollbacks++;
}

/* [id, version] of what is active now for each record that could be opened:
 * of another its header is no word to go by. */
static void
put_active(struct e3_engine *e, const struct load *w, struct buffer *b)
{
	struct rpc_record_head h;
	struct buffer entries;
	size_t n = 0;

	buffer_init(&entries, 0, false);
	for (size_t i = 0; i < w->n; i++) {
		const struct e3_app *app;

		if (w->all[i].rc != RC_OK ||
		    rpc_record_head_read(w->all[i].record, &h) != RC_OK ||
		    (app = e3_keyring_app(e->keyring, span_of(h.app))) == NULL)
			continue;
		n++;
		rpc_pack_list(&entries, RPC_STR("app", app->id),
		    RPC_U64("version", app->version));
	}
	rpc_put_array(b, n);
	buffer_put(b, buffer_data(&entries), buffer_len(&entries));
	buffer_fini(&entries);
}

static void
load_finish(struct e3_engine *e, struct e3_call *c)
{
	struct load *w = c->served.work;
	enum rpc_status status;
	struct buffer active;

	/* Not the job's flag: that may have come after the last look. */
	if (w->cancelled)
		return;
	for (size_t i = 0; i < w->n; i++)
		load_put(e, w, &w->all[i]);
	crash_point("e3.put");
	log_info("records-loaded loaded=%u broken=%u rollbacks=%u "
	    "conflicts=%u apps=%zu", w->loaded, w->broken, w->rollbacks,
	    w->conflicts, e3_keyring_apps(e->keyring));
	buffer_init(&active, 0, false);
	put_active(e, w, &active);
	if (w->loaded == 0 && w->conflicts + w->rollbacks != 0)
		status = RPC_STATUS_CONFLICT;
	else if (w->loaded == 0 && w->broken != 0)
		status = RPC_STATUS_BAD_REQUEST;
	else
		status = rpc_answer(&c->served, RPC_U64("loaded", w->loaded),
		    RPC_U64("broken", w->broken),
		    RPC_U64("rollbacks", w->rollbacks),
		    RPC_U64("conflicts", w->conflicts),
		    RPC_RAW_OF("active", &active));
	if (status != RPC_STATUS_OK)
		rpc_served_fail(&c->served, status);
	buffer_fini(&active);
}

enum rpc_status
e3_load_records(struct e3_engine *e, struct e3_call *c)
{
	const struct rpc_value *records = rpc_map_get(c->served.frame.body,
	    "records");
	size_t n = rpc_array_len(records);
	struct load *w;

	if (n == SIZE_MAX)
		return (RPC_STATUS_BAD_REQUEST);
	if (n > RPC_FIELDS_MAX)
		return (RPC_STATUS_LIMIT);
	w = rpc_served_work(&c->served, sizeof(*w), load_free);
	c->finish = load_finish;
	w->root_key = e->root_key;
	w->next_root_key = e->next_root_key;
	w->n = n;
	w->all = xcalloc(n + 1, sizeof(*w->all));
	for (size_t i = 0; i < n; i++)	/* none of bytes: an empty record */
		(void)rpc_get_bytes(rpc_array_at(records, i),
		    &w->all[i].record);
	return (e3_dispatch_submit(e, c, load_run, 0, n * COST_RECORD));
}

/* ---- Checksum, SetReady, SetDraining ---- */

enum rpc_status
e3_checksum(struct e3_engine *e, struct e3_call *c)
{
	uint8_t sum[SCHEME_SECRET_BYTES];

	e3_keyring_checksum(e->keyring, sum);
	return (rpc_answer(&c->served, RPC_BIN("checksum", sum, sizeof(sum)),
	    RPC_U64("records", e3_keyring_apps(e->keyring))));
}

enum rpc_status
e3_set_ready(struct e3_engine *e, struct e3_call *c)
{
	uint8_t sum[SCHEME_SECRET_BYTES];
	struct span theirs;

	if (!rpc_unpack(c->served.frame.body,
	    RPC_WANT_BYTES("checksum", &theirs)) || theirs.len != sizeof(sum))
		return (RPC_STATUS_BAD_REQUEST);
	e3_keyring_checksum(e->keyring, sum);
	if (!secret_equal(sum, theirs.p, sizeof(sum)))
		return (RPC_STATUS_CONFLICT);
	if (!e->ready)
		log_info("ready apps=%zu keys=%zu",
		    e3_keyring_apps(e->keyring), e3_keyring_keys(e->keyring));
	crash_point("e3.ready");
	e->ready = true;
	return (rpc_served_answer(&c->served, NULL, 0));
}

enum rpc_status
e3_set_draining(struct e3_engine *e, struct e3_call *c)
{
	bool on;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BOOL("on", &on)))
		return (RPC_STATUS_BAD_REQUEST);
	if (!on && e->ending)
		return (RPC_STATUS_CONFLICT);
	if (e->draining != on)
		log_info("draining on=%d by=%s", on, c->served.peer->name);
	e->draining = on;
	return (rpc_served_answer(&c->served, NULL, 0));
}

/* ---- the platform ---- */

enum rpc_status
e3_attest(struct e3_engine *e, struct e3_call *c)
{
	enum rpc_status status = RPC_STATUS_UNKNOWN_OP;
	struct buffer document;
	struct span nonce;
	enum rc rc;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BYTES("nonce", &nonce)))
		return (RPC_STATUS_BAD_REQUEST);
	if (nonce.len > NONCE_BYTES_MAX)
		return (RPC_STATUS_LIMIT);
	buffer_init(&document, 0, false);
	rc = e3_platform_attest(e->platform, nonce, &document);
	if (rc == RC_OK)
		status = rpc_answer(&c->served,
		    RPC_BIN_OF("document", &document));
	else if (rc != RC_UNSUPPORTED)
		status = rpc_served_status(rc);
	buffer_fini(&document);
	return (status);
}

enum rpc_status
e3_unlock(struct e3_engine *e, struct e3_call *c)
{
	struct span key;
	enum rc rc;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BYTES("key", &key)))
		return (RPC_STATUS_BAD_REQUEST);
	if ((rc = e3_platform_unlock(e->platform, key)) != RC_OK)
		return (rpc_served_status(rc));
	log_info("unlocked by=%s", c->served.peer->name);
	return (rpc_served_answer(&c->served, NULL, 0));
}
