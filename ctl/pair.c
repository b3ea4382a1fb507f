/*
 * ctl/pair.c - key pairs of an app: `app rotate`, `app pairs`, `app activate`,
 * `app retire`, `app destroy`.
 *
 * A rotation is two records: the first adds a pair that opens everywhere and
 * seals nowhere; the second has it seal, and is not asked for before every
 * engine that announces itself has the first.  Else one engine would seal what
 * another one cannot open.  The end is the same the other way round: a pair is
 * destroyed when every engine has it retired, or one would still seal with it.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/confirm.h"
#include "ctl/ctl.h"
#include "ctl/listing.h"
#include "ctl/record_commit.h"
#include "ctl/time_text.h"
#include "lib/body/json_write.h"

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static enum ctl_exit
put_app(void *arg, struct engine_client *engine, struct buffer *body)
{
	const struct ctl *ctl = arg;

	(void)engine;
	rpc_pack(body, RPC_STR("app", ctl->args.operands[0]));
	return (CTL_DONE);
}

/* ---- app pairs ------------------------------------------------------------------ */

struct pair {
	struct span	id;		/* views into the reply */
	struct span	curve;
	struct span	state;
	uint64_t	number;
	uint64_t	created_ms;
};

/* [pair id, curve, number, state, created_ms] */
static bool
pair_read(const struct rpc_value *row, struct pair *p)
{
	return (rpc_get_bytes(rpc_array_at(row, 0), &p->id) &&
	    rpc_get_bytes(rpc_array_at(row, 1), &p->curve) &&
	    rpc_get_u64(rpc_array_at(row, 2), &p->number) &&
	    rpc_get_bytes(rpc_array_at(row, 3), &p->state) &&
	    rpc_get_u64(rpc_array_at(row, 4), &p->created_ms));
}

/* {app, version, pairs: [...]} */
static void
on_pairs(void *arg, const struct rpc_value *body)
{
	const struct rpc_value *rows = rpc_map_get(body, "pairs");
	size_t n = rpc_array_len(rows);
	struct listing *l = arg;
	char when[TIME_TEXT_BYTES];
	struct pair p;

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		if (!pair_read(rpc_array_at(rows, i), &p))
			continue;
		if (!l->json) {
			time_text(p.created_ms, when);
			table_cell(l->table, p.id);
			table_cell(l->table, p.curve);
			table_cell_u64(l->table, p.number);
			table_cell(l->table, p.state);
			table_cell_str(l->table, when);
			continue;
		}
		body_json_open_object(&l->w, NULL);
		body_json_put_string(&l->w, "pair", p.id);
		body_json_put_string(&l->w, "curve", p.curve);
		body_json_put_u64(&l->w, "number", p.number);
		body_json_put_string(&l->w, "state", p.state);
		body_json_put_u64(&l->w, "created_ms", p.created_ms);
		body_json_close_object(&l->w);
	}
}

enum ctl_exit
ctl_app_pairs(struct ctl *ctl)
{
	static const char *const heads[] = { "PAIR", "CURVE", "NUMBER",
	    "STATE", "CREATED" };
	struct buffer body;
	enum ctl_exit status;

	if ((status = ctl_app_operand(ctl->args.operands[0])) != CTL_DONE)
		return (status);
	buffer_init(&body, 0, false);
	(void)put_app(ctl, NULL, &body);
	status = listing_print(ctl, heads, 5, RPC_OP_LIST_PAIRS, &body,
	    on_pairs);
	buffer_fini(&body);
	return (status);
}

/* ---- one pair, as the engine has it ------------------------------------------------ */

struct found {
	const char	*id;		/* borrowed: wanted */
	uint64_t	version;	/* of the app's record */
	char		state[16];	/* "" : no such pair */
};

static void
on_find(void *arg, const struct rpc_value *body)
{
	const struct rpc_value *rows = rpc_map_get(body, "pairs");
	size_t n = rpc_array_len(rows);
	struct found *f = arg;
	struct pair p;

	(void)rpc_get_u64(rpc_map_get(body, "version"), &f->version);
	for (size_t i = 0; n != SIZE_MAX && i < n; i++)
		if (pair_read(rpc_array_at(rows, i), &p) &&
		    span_eq_str(p.id, f->id))
			(void)span_copy(p.state, f->state, sizeof(f->state));
}

static enum ctl_exit
find_pair(struct ctl *ctl, struct found *f)
{
	struct engine_client *engine = NULL;
	struct buffer body;
	enum ctl_exit status;

	*f = (struct found){ .id = ctl->args.operands[1] };
	if ((status = ctl_app_operand(ctl->args.operands[0])) != CTL_DONE)
		return (status);
	buffer_init(&body, 0, false);
	(void)put_app(ctl, NULL, &body);
	status = engine_client_open(ctl, ENGINE_LOCAL, &engine);
	if (status == CTL_DONE)
		status = engine_client_must(engine, RPC_OP_LIST_PAIRS, &body,
		    on_find, f);
	engine_client_close(&engine);
	buffer_fini(&body);
	if (status == CTL_DONE && f->state[0] == '\0') {
		ctl_error("PAIR: the app has no such key pair; relayctl app "
		    "pairs lists them");
		status = CTL_USAGE;
	}
	return (status);
}

/* ---- changing one pair ---------------------------------------------------------------- */

struct pair_body {
	const char	*app;		/* borrowed */
	const char	*pair;
};

static enum ctl_exit
put_pair(void *arg, struct engine_client *engine, struct buffer *body)
{
	const struct pair_body *p = arg;

	(void)engine;
	rpc_pack(body, RPC_STR("app", p->app), RPC_STR("pair", p->pair));
	return (CTL_DONE);
}

static enum ctl_exit
change_pair(struct ctl *ctl, enum rpc_op op, const char *app, const char *pair,
    struct record_commit *r)
{
	struct pair_body body = { .app = app, .pair = pair };
	const struct record_change change = {
		.op = op,
		.app = app,
		.put_body = put_pair,
		.arg = &body,
		.failed = "; the key pair is as it was",
		.conflict = "somebody else changed the key pair: see relayctl "
		    "app pairs",
		.conflict_exit = CTL_FAILED,
	};

	return (record_commit(ctl, &change, r));
}

static enum ctl_exit
change_and_print(struct ctl *ctl, enum rpc_op op, const char *state,
    const char *text)
{
	const char *app = ctl->args.operands[0], *pair = ctl->args.operands[1];
	struct record_commit r;
	enum ctl_exit status;

	if ((status = change_pair(ctl, op, app, pair, &r)) != CTL_DONE)
		return (status);
	status = record_commit_print(ctl, &r, "pair", pair, state, text);
	record_commit_fini(&r);
	return (status);
}

enum ctl_exit
ctl_app_activate(struct ctl *ctl)
{
	struct buffer missing;
	enum ctl_exit status;
	unsigned timeout_s;
	struct found f;

	if ((status = confirm_timeout(ctl, &timeout_s)) != CTL_DONE ||
	    (status = find_pair(ctl, &f)) != CTL_DONE)
		return (status);
	if (strcmp(f.state, "seals") == 0) {
		ctl_error("%s seals already", f.id);
		return (CTL_EXISTS);
	}
	if (strcmp(f.state, "retired") == 0)	/* wherever it comes first */
		return (change_and_print(ctl, RPC_OP_ACTIVATE_KEY, "opens",
		    "opens again; activate it once more to have it seal"));
	buffer_init(&missing, 0, false);
	status = confirm_everywhere(ctl, ctl->args.operands[0], f.version,
	    timeout_s, "; the key pair is as it was", &missing);
	buffer_fini(&missing);
	if (status != CTL_DONE)
		return (status);
	return (change_and_print(ctl, RPC_OP_ACTIVATE_KEY, "seals",
	    "seals from now on; the one that did, opens"));
}

static enum ctl_exit
retire(struct ctl *ctl, const struct found *f, unsigned timeout_s)
{
	static const char then[] =
	    "; the key pair opens, and may seal, where it is not confirmed";
	const char *app = ctl->args.operands[0];
	struct record_commit r;
	struct buffer missing;
	enum ctl_exit status;

	buffer_init(&missing, 0, false);
	if (strcmp(f->state, "retired") == 0) {
		/* Who was told of an unconfirmed one asks again. */
		ctl_error("%s is retired already", f->id);
		status = confirm_everywhere(ctl, app, f->version, timeout_s,
		    then, &missing);
		status = status == CTL_DONE ? CTL_EXISTS : status;
	} else if ((status = change_pair(ctl, RPC_OP_RETIRE_KEY, app, f->id,
	    &r)) == CTL_DONE) {
		status = confirm_everywhere(ctl, app, r.version, timeout_s,
		    then, &missing);
		status = confirm_print(ctl, &r, &(struct confirm_said){
		    .kind = "pair", .id = f->id, .did = "retired",
		    .is_state = true, .behind = ": tokens sealed by it do not "
		    "open any more; relayctl app activate brings it back" },
		    status, &missing);
		record_commit_fini(&r);
	}
	buffer_fini(&missing);
	return (status);
}

enum ctl_exit
ctl_app_retire(struct ctl *ctl)
{
	enum ctl_exit status;
	unsigned timeout_s;
	struct found f;

	if ((status = confirm_timeout(ctl, &timeout_s)) != CTL_DONE ||
	    (status = find_pair(ctl, &f)) != CTL_DONE)
		return (status);
	if (strcmp(f.state, "seals") == 0) {
		ctl_error("%s seals: activate another key pair first", f.id);
		return (CTL_USAGE);
	}
	return (retire(ctl, &f, timeout_s));
}

enum ctl_exit
ctl_app_destroy(struct ctl *ctl)
{
	struct buffer missing;
	enum ctl_exit status;
	unsigned timeout_s;
	struct found f;

	if ((status = confirm_timeout(ctl, &timeout_s)) != CTL_DONE ||
	    (status = find_pair(ctl, &f)) != CTL_DONE)
		return (status);
	if (strcmp(f.state, "retired") != 0) {
		ctl_error("%s %s: retire it first, and see that nobody misses "
		    "it", f.id, f.state);
		return (CTL_USAGE);
	}
	if (!args_has(&ctl->args, "yes")) {
		ctl_error("TOKENS SEALED BY %s NEVER OPEN AGAIN once it is "
		    "destroyed, by no means but a backup with its root key. "
		    "Nothing was done; --yes destroys it", f.id);
		return (CTL_USAGE);
	}
	buffer_init(&missing, 0, false);
	status = confirm_everywhere(ctl, ctl->args.operands[0], f.version,
	    timeout_s, "; an engine that may still seal with it would make "
	    "tokens that nobody opens: nothing was destroyed", &missing);
	buffer_fini(&missing);
	if (status != CTL_DONE)
		return (status);
	return (change_and_print(ctl, RPC_OP_DESTROY_KEY, "destroyed",
	    "destroyed: tokens sealed by it never open again"));
}

/* ---- app rotate -------------------------------------------------------------------------- */

static enum ctl_exit
put_rotate(void *arg, struct engine_client *engine, struct buffer *body)
{
	const struct ctl *ctl = arg;
	const char *curve = args_get(&ctl->args, "curve");

	if (curve == NULL)
		return (put_app(arg, engine, body));
	rpc_pack(body, RPC_STR("app", ctl->args.operands[0]),
	    RPC_STR("curve", curve));
	return (CTL_DONE);
}

static enum ctl_exit
check_curve(const char *curve)
{
	if (curve == NULL || strcmp(curve, "r1") == 0 ||
	    strcmp(curve, "k1") == 0)
		return (CTL_DONE);
	ctl_error("--curve: r1 or k1");
	return (CTL_USAGE);
}

/* state: of all its new pairs. */
static enum ctl_exit
print_rotated(const struct ctl *ctl, const struct record_commit *r,
    uint64_t version, const char *state, enum ctl_exit confirmed,
    const struct buffer *missing)
{
	struct body_json_writer w;
	enum ctl_exit status;
	struct buffer out;

	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "app", r->app);
		body_json_put_u64(&w, "version", version);
		body_json_put_str(&w, "state", state);
		body_json_open_array(&w, "pairs");
		for (size_t i = 0; i < r->n_pairs; i++)
			body_json_put_str(&w, NULL, r->pairs[i]);
		body_json_close_array(&w);
		confirm_put(&w, confirmed, missing);
		body_json_close_object(&w);
		buffer_puts(&out, "\n");
	} else
		for (size_t i = 0; i < r->n_pairs; i++)
			buffer_printf(&out, "%s: %s\n", r->pairs[i], state);
	status = ctl_print(view(&out));
	buffer_fini(&out);
	return (status);
}

/* The second record of each new pair; *version is the last one's. */
static enum ctl_exit
activate_all(struct ctl *ctl, const struct record_commit *r,
    uint64_t *version)
{
	struct record_commit one;
	enum ctl_exit status;

	*version = r->version;
	for (size_t i = 0; i < r->n_pairs; i++) {
		status = change_pair(ctl, RPC_OP_ACTIVATE_KEY, r->app,
		    r->pairs[i], &one);
		if (status != CTL_DONE) {
			ctl_error("%s does not seal yet: relayctl app activate "
			    "%s %s", r->pairs[i], r->app, r->pairs[i]);
			return (status);
		}
		*version = one.version;
		record_commit_fini(&one);
	}
	return (CTL_DONE);
}

/* Also what was half done is printed: its pairs exist, and `app activate`
 * takes it from there. */
static enum ctl_exit
finish_rotation(struct ctl *ctl, const struct record_commit *r,
    unsigned timeout_s)
{
	enum ctl_exit status, printed, confirmed;
	uint64_t version = r->version;
	struct buffer missing;

	buffer_init(&missing, 0, false);
	confirmed = confirm_everywhere(ctl, r->app, r->version, timeout_s,
	    "; the new key pair opens and does not seal yet: relayctl app "
	    "activate finishes", &missing);
	status = confirmed;
	if (status == CTL_DONE)
		status = activate_all(ctl, r, &version);
	printed = print_rotated(ctl, r, version, status == CTL_DONE ? "seals" :
	    "opens", confirmed, &missing);
	buffer_fini(&missing);
	return (status == CTL_DONE ? printed : status);
}

enum ctl_exit
ctl_app_rotate(struct ctl *ctl)
{
	const struct record_change change = {
		.op = RPC_OP_ROTATE_KEYS,
		.app = ctl->args.operands[0],
		.put_body = put_rotate,
		.arg = ctl,
		.failed = "; no key pair was added",
		.conflict = "the app has as many key pairs of a curve as it "
		    "may have: retire one (relayctl app pairs)",
		.conflict_exit = CTL_FAILED,
	};
	struct record_commit r;
	enum ctl_exit status;
	unsigned timeout_s;

	if ((status = ctl_app_operand(change.app)) != CTL_DONE ||
	    (status = check_curve(args_get(&ctl->args, "curve"))) != CTL_DONE ||
	    (status = confirm_timeout(ctl, &timeout_s)) != CTL_DONE ||
	    (status = record_commit(ctl, &change, &r)) != CTL_DONE)
		return (status);
	status = finish_rotation(ctl, &r, timeout_s);
	record_commit_fini(&r);
	return (status);
}
