/* e3/pair_ops.c - key pairs: listed, added, taken up, retired, destroyed. */
#include "e3/pair_ops.h"

#include "e3/change.h"
#include "lib/base/clock.h"

#define BOTH_CURVES	2	/* RPC_CURVE_R1, RPC_CURVE_K1 */

enum rpc_status
e3_list_pairs(struct e3_engine *e, struct e3_call *c)
{
	char id[E3_PAIR_ID_BYTES];
	enum rpc_status status;
	struct buffer b;

	if ((status = e3_dispatch_named_app(e, c)) != RPC_STATUS_OK)
		return (status);
	buffer_init(&b, 0, false);
	rpc_put_array(&b, c->app->n_pairs);
	for (unsigned i = 0; i < c->app->n_pairs; i++) {
		const struct e3_key_pair *p = &c->app->pairs[i];

		e3_pair_id(p, id);
		rpc_pack_list(&b, RPC_STR("id", id),
		    RPC_STR("curve", e3_curve_names()[p->curve]),
		    RPC_U64("number", p->number),
		    RPC_STR("state", e3_pair_state_names()[p->state]),
		    RPC_U64("created_ms", p->created_ms));
	}
	status = rpc_answer(&c->served, RPC_STR("app", c->app->id),
	    RPC_U64("version", c->app->version), RPC_RAW_OF("pairs", &b));
	buffer_fini(&b);
	return (status);
}

/* ---- RotateKeys ---- */

static enum rc
rotate_make(struct e3_change *w, struct scheme_crypto *crypto)
{
	const struct e3_app *app = w->next;
	unsigned first = app->n_pairs;
	char id[E3_PAIR_ID_BYTES];
	enum rc rc;

	while (first != 0 && app->pairs[first - 1].pub.compressed[0] == 0)
		first--;
	if ((rc = e3_change_make_pairs(w, crypto)) != RC_OK)
		return (rc);
	w->n_members = 1;
	rpc_put_str(&w->members, "pairs");
	rpc_put_array(&w->members, app->n_pairs - first);
	for (; first < app->n_pairs; first++) {
		e3_pair_id(&app->pairs[first], id);
		rpc_put_str(&w->members, id);
	}
	return (RC_OK);
}

/* A pair of one curve, or of each. */
enum rpc_status
e3_rotate_keys(struct e3_engine *e, struct e3_call *c)
{
	unsigned curve = BOTH_CURVES, n;
	struct e3_change *w;
	struct e3_key_pair *p;
	enum rpc_status status;

	if (!rpc_unpack(c->served.frame.body, RPC_MAY_NAME("curve",
	    e3_curve_names(), &curve)))
		return (RPC_STATUS_BAD_REQUEST);
	n = curve == BOTH_CURVES ? 2 : 1;
	if ((status = e3_change_begin(e, c, n, 0, &w)) != RPC_STATUS_OK)
		return (status);
	p = &w->next->pairs[c->app->n_pairs];
	for (unsigned i = 0; i < n; i++, p++) {
		p->curve = (enum rpc_curve)(n == 2 ? i : curve);
		p->state = E3_PAIR_OPENS;
		p->number = p[-1].number + 1;	/* an app has one at least */
		p->created_ms = clock_wall_ms();
		if (e3_app_live_pairs(c->app, p->curve) >= E3_LIVE_PAIRS_MAX)
			return (RPC_STATUS_CONFLICT);
	}
	w->make = rotate_make;
	return (e3_change_submit(e, c));
}

/* ---- one pair, by its id ---- */

static enum rpc_status
begin_pair(struct e3_engine *e, struct e3_call *c, struct e3_app **app,
    struct e3_key_pair **pair)
{
	enum rpc_status status;
	struct e3_change *w;
	struct span id;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BYTES("pair", &id)))
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = e3_change_begin(e, c, 0, 0, &w)) != RPC_STATUS_OK)
		return (status);
	*app = w->next;
	for (unsigned i = 0; i < w->next->n_pairs; i++) {
		*pair = &w->next->pairs[i];
		e3_pair_id(*pair, w->subject);
		if (span_eq_str(id, w->subject))
			return (RPC_STATUS_OK);
	}
	return (RPC_STATUS_NO_SUCH_KEY);
}

enum rpc_status
e3_activate_key(struct e3_engine *e, struct e3_call *c)
{
	struct e3_key_pair *p;
	struct e3_app *app;
	enum rpc_status status;

	if ((status = begin_pair(e, c, &app, &p)) != RPC_STATUS_OK)
		return (status);
	if (p->state == E3_PAIR_SEALS || (p->state == E3_PAIR_RETIRED &&
	    e3_app_live_pairs(app, p->curve) >= E3_LIVE_PAIRS_MAX))
		return (RPC_STATUS_CONFLICT);
	if (p->state == E3_PAIR_RETIRED) {
		p->state = E3_PAIR_OPENS;
	} else {
		for (unsigned i = 0; i < app->n_pairs; i++)
			if (app->pairs[i].curve == p->curve &&
			    app->pairs[i].state == E3_PAIR_SEALS)
				app->pairs[i].state = E3_PAIR_OPENS;
		p->state = E3_PAIR_SEALS;
	}
	return (e3_change_submit(e, c));
}

enum rpc_status
e3_retire_key(struct e3_engine *e, struct e3_call *c)
{
	struct e3_key_pair *p;
	struct e3_app *app;
	enum rpc_status status;

	if ((status = begin_pair(e, c, &app, &p)) != RPC_STATUS_OK)
		return (status);
	if (p->state != E3_PAIR_OPENS)
		return (RPC_STATUS_CONFLICT);
	p->state = E3_PAIR_RETIRED;
	return (e3_change_submit(e, c));
}

enum rpc_status
e3_destroy_key(struct e3_engine *e, struct e3_call *c)
{
	struct e3_key_pair *p;
	struct e3_app *app;
	enum rpc_status status;

	if ((status = begin_pair(e, c, &app, &p)) != RPC_STATUS_OK)
		return (status);
	/* An app without any pair would be no record. */
	if (p->state != E3_PAIR_RETIRED || app->n_pairs == 1)
		return (RPC_STATUS_CONFLICT);
	e3_app_drop_pair(app, (unsigned)(p - app->pairs));
	return (e3_change_submit(e, c));
}
