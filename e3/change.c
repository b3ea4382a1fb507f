/* e3/change.c - the next record of an app: begun, made, sealed, answered. */
#include "e3/change.h"

#include <stdlib.h>

#include "e3/record.h"
#include "lib/base/clock.h"
#include "lib/base/crash_point.h"
#include "lib/base/log.h"
#include "lib/base/object.h"

static void
change_free(void *p)
{
	struct e3_change *w = p;

	e3_app_unref(&w->next);
	buffer_fini(&w->members);
	free(w);
}

struct e3_change *
e3_change_new(struct e3_call *c)
{
	struct e3_change *w = rpc_served_work(&c->served, sizeof(*w),
	    change_free);

	buffer_init(&w->members, 0, true);
	w->body = c->served.frame.body;
	return (w);
}

enum rpc_status
e3_change_begin(struct e3_engine *e, struct e3_call *c, unsigned extra_pairs,
    unsigned extra_keys, struct e3_change **out)
{
	enum rpc_status status;
	enum rc rc;

	*out = e3_change_new(c);
	if ((status = e3_dispatch_named_app(e, c)) != RPC_STATUS_OK)
		return (status);
	if ((rc = e3_app_copy(c->app, extra_pairs, extra_keys,
	    &(*out)->next)) != RC_OK)
		return (rpc_served_status(rc));
	(*out)->next->version++;
	return (RPC_STATUS_OK);
}

enum rc
e3_change_new_app(struct e3_engine *e, struct e3_change *w, const char *id)
{
	static const enum rpc_curve curves[] = { RPC_CURVE_R1, RPC_CURVE_K1 };
	const unsigned n = sizeof(curves) / sizeof(curves[0]);
	struct e3_app *app;
	enum rc rc;

	if ((rc = e3_app_new(n, 0, &w->next)) != RC_OK)
		return (rc);
	app = w->next;
	ensure(span_copy(span_of(id), app->id, sizeof(app->id)));
	app->version = 1;
	app->created_ms = clock_wall_ms();
	/* Under the key that stays, so that a rotation which sees no app left
	 * to reseal has not overlooked one that is about to be stored. */
	app->under_next = e->next_root_key != NULL;
	for (unsigned i = 0; i < n; i++) {
		app->pairs[i].curve = curves[i];
		app->pairs[i].state = E3_PAIR_SEALS;
		app->pairs[i].number = i + 1;
		app->pairs[i].created_ms = app->created_ms;
	}
	w->make = e3_change_make_pairs;
	return (RC_OK);
}

enum rc
e3_change_make_pairs(struct e3_change *w, struct scheme_crypto *crypto)
{
	enum rc rc = RC_OK;

	for (unsigned i = 0; rc == RC_OK && i < w->next->n_pairs; i++) {
		struct e3_key_pair *p = &w->next->pairs[i];

		if (p->pub.compressed[0] == 0)
			rc = scheme_ecdh_generate(scheme_crypto_ecdh(crypto),
			    p->curve, p->secret, &p->pub);
	}
	return (rc);
}

static enum rc
make_and_seal(struct e3_call *c, struct scheme_crypto *crypto,
    struct buffer *record, struct buffer *reply)
{
	struct e3_change *w = c->served.work;
	enum rc rc;

	if ((w->make != NULL && (rc = w->make(w, crypto)) != RC_OK) ||
	    (rc = e3_record_seal(crypto, w->root_key, w->next, record)) !=
	    RC_OK)
		return (rc);
	crash_point("e3.sealed");
	rpc_put_map(reply, w->n_members + 2);
	buffer_put(reply, buffer_data(&w->members), buffer_len(&w->members));
	rpc_put_str(reply, "version");
	rpc_put_u64(reply, w->next->version);
	rpc_put_str(reply, "record");
	rpc_put_bin(reply, (struct span){ buffer_data(record),
	    buffer_len(record) });
	return (rpc_served_emit(&c->served, reply, false));
}

static bool
change_run(struct sched_job *job, void *crypto, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	struct buffer record, reply;
	enum rc rc = RC_CANCELLED;

	buffer_init(&record, 0, false);
	buffer_init(&reply, 0, true);
	*cost += 2 * E3_COST_ECDH;
	if (!atomic_load(&job->cancelled))
		rc = make_and_seal(c, crypto, &record, &reply);
	if (rc != RC_OK)
		rpc_served_fail(&c->served, rpc_served_status(rc));
	buffer_fini(&record);
	buffer_fini(&reply);
	return (true);
}

/*
 * Key state changed, or would: always in the log, with who asked.
 *
 * An app stays under the root key that its record came with, until Reseal
 * moves it: then no change takes it back, and engines that do not have the
 * next key yet can read what they could read before.
 */
enum rpc_status
e3_change_submit(struct e3_engine *e, struct e3_call *c)
{
	struct e3_change *w = c->served.work;

	w->root_key = w->next->under_next ? e->next_root_key : e->root_key;
	log_info("key-state op=%s by=%s app=%s version=%llu id=%s",
	    c->served.info->name, c->served.peer->name, w->next->id,
	    (unsigned long long)w->next->version,
	    w->subject[0] != '\0' ? w->subject : "-");
	/* Not metered: a key can be revoked however busy its app is. */
	return (rpc_served_submit(&c->served, w->next->id, change_run,
	    2 * E3_COST_ECDH));
}
