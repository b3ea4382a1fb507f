/*
 * worker/transform.c - encrypt: every chosen value goes to the engine and a
 * token takes its bytes.  decrypt: every chosen text that has the form of a
 * token goes; what opens stands there as its place needs it, what does not
 * stays as it is, counted.
 *
 * One call per piece, the head's values with the first; a body that is whole
 * is one piece.  Answers come in slot order; the new texts are written as they
 * come.  A second on_write means that an engine was lost: begin the piece
 * again.  Which values: transform_slots.c.  How they are replaced: rewrite.c.
 */
#include "worker/transform.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/json_walk.h"
#include "lib/body/token_scan.h"
#include "lib/rpc/message.h"
#include "worker/transform_slots.h"

struct counts {
	uint64_t	sealed, passed, opened, kept, forbidden;
};

struct transform {
	unsigned		magic;
#define TRANSFORM_MAGIC		0x1f6e8d43
	struct transform_job	job;
	struct slot_rules	rules;
	transform_cb		*cb;
	void			*arg;		/* borrowed: frees us */
	struct rewrite		head;
	struct rewrite		body;
	struct body_json_walk	*walk;		/* owned; NULL: by an index */
	struct body_scan	*scan;		/* owned; NULL: by selectors */
	bool			scan_headers, scan_query;
	size_t			settled;	/* of the body, in this piece */
	bool			head_done;	/* its values went with a piece */
	bool			whole;		/* this piece is the last */
	struct counts		counts;		/* of this piece */
	enum transform_result	fault;		/* why we ended the call; or DONE */
	uint64_t		call;		/* engine call id; 0: none out */
};

static bool
encrypting(const struct transform *t)
{
	return (t->job.action != NULL && t->job.action->kind == RELAY_ENCRYPT);
}

/* NULL: a scan has none. */
static const struct relay_selections *
header_selections(const struct transform *t)
{
	return (t->job.action == NULL ? NULL :
	    &t->job.action->of[RELAY_SELECT_HEADER]);
}

static const struct relay_selections *
body_selections(const struct transform *t)
{
	return (t->job.action == NULL ? NULL :
	    &t->job.action->of[t->job.syntax == REWRITE_FORM ?
	    RELAY_SELECT_FORM : RELAY_SELECT_JSON]);
}

/* ---- the call ---- */

static void
write_encrypt_head(struct transform *t, struct buffer *body)
{
	const struct relay *r = t->job.relay;
	struct rpc_encrypt m = {
		.app = span_of(r->app),
		.curve = r->curve == RELAY_CURVE_K1 ? RPC_CURVE_K1 : RPC_CURVE_R1,
		.scope = r->key_scope == RELAY_SCOPE_FIELD ? RPC_SCOPE_FIELD :
		    RPC_SCOPE_REQUEST,
		/* What is to be kept does not come this far. */
		.existing = r->existing == RELAY_EXISTING_VERIFY ?
		    RPC_EXISTING_VERIFY : RPC_EXISTING_ENCRYPT,
		.n_fields = t->head.slots.n + t->body.slots.n,
	};

	rpc_encrypt_put(body, &m);
}

static void
write_decrypt_head(struct transform *t, struct buffer *body)
{
	struct rpc_decrypt m = {
		.app = span_of(t->job.relay->app),
		.place = t->job.place,
		.destination = t->job.destination != NULL ?
		    span_of(t->job.destination) : SPAN_LIT(""),
		.address = span_of(t->job.client),
		.n_tokens = t->head.slots.n + t->body.slots.n,
	};

	rpc_decrypt_put(body, &m);
}

static struct span
role_of(const struct relay_selections *of, const struct body_slot *s)
{
	const char *role = of != NULL ? of->v[s->selection]->role : NULL;

	return (role != NULL ? span_of(role) : SPAN_LIT(""));
}

static enum rpc_field_type
field_type(enum body_value_type type)
{
	switch (type) {
	case BODY_VALUE_STRING:
		return (RPC_FIELD_STRING);
	case BODY_VALUE_NUMBER:
		return (RPC_FIELD_NUMBER);
	case BODY_VALUE_BOOLEAN:
		return (RPC_FIELD_BOOLEAN);
	}
	return (RPC_FIELD_STRING);
}

static enum rc
write_slots(struct transform *t, struct rewrite *r,
    const struct relay_selections *of, struct buffer *out)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < r->slots.n && rc == RC_OK; i++) {
		const struct body_slot *s = &r->slots.v[i];
		struct rpc_field field = {
			.type = field_type(s->type),
			.role = role_of(of, s),
		};

		if ((rc = rewrite_value(r, s, &field.bytes)) != RC_OK)
			break;
		rc = encrypting(t) ? rpc_encrypt_put_field(out, &field) :
		    rpc_decrypt_put_token(out, field.bytes, field.role);
	}
	return (rc);
}

static enum rc
on_write(void *arg, struct buffer *out)
{
	struct transform *t = arg;
	enum rc rc;

	rewrite_restart(&t->head);
	rewrite_restart(&t->body);
	t->counts = (struct counts){ 0 };
	if (encrypting(t))
		write_encrypt_head(t, out);
	else
		write_decrypt_head(t, out);
	rc = write_slots(t, &t->head, header_selections(t), out);
	return (rc != RC_OK ? rc : write_slots(t, &t->body, body_selections(t), out));
}

/* ---- the answer ---- */

/* Only a text that looks like a token can have been one already. */
static bool
may_pass(struct transform *t, struct rewrite *r, const struct body_slot *s)
{
	struct span value;

	return (t->job.relay->existing == RELAY_EXISTING_VERIFY &&
	    s->type == BODY_VALUE_STRING && rewrite_value(r, s, &value) == RC_OK &&
	    body_token_whole(value));
}

static enum rc
take_sealed(struct transform *t, const struct rpc_value *body, size_t i,
    struct rewrite *r)
{
	struct rpc_sealed item;

	if (rpc_sealed_at(body, i, &item) != RC_OK)
		return (RC_SYNTAX);
	if (item.status == RPC_PASSED) {
		if (!may_pass(t, r, &r->slots.v[r->at]))
			return (RC_SYNTAX);
		t->counts.passed++;
		return (rewrite_keep(r));
	}
	/* What goes on is a token or nothing, whatever the engine says. */
	if (!body_token_whole(item.bytes))
		return (RC_SYNTAX);
	t->counts.sealed++;
	return (rewrite_replace(r, BODY_VALUE_STRING, item.bytes));
}

static enum body_value_type
value_type(enum rpc_field_type type)
{
	if (type == RPC_FIELD_NUMBER)
		return (BODY_VALUE_NUMBER);
	return (type == RPC_FIELD_BOOLEAN ? BODY_VALUE_BOOLEAN : BODY_VALUE_STRING);
}

/* It did not open, or what came out cannot stand here. */
static enum rc
take_unopened(struct transform *t, struct rewrite *r, enum rpc_open_status status)
{
	bool forbidden = status == RPC_OPEN_FORBIDDEN || status == RPC_OPEN_TOO_OLD;
	bool fails = forbidden ? t->job.forbidden_fails :
	    t->job.relay->undecryptable == RELAY_UNDECRYPTABLE_REJECT;

	/* A selection with a role is about tokens of that role alone. */
	if (status != RPC_OPEN_OTHER_ROLE && fails) {
		t->fault = forbidden ? TRANSFORM_FORBIDDEN :
		    TRANSFORM_UNDECRYPTABLE;
		return (RC_LIMIT);
	}
	t->counts.kept++;
	t->counts.forbidden += forbidden;
	return (rewrite_keep(r));
}

static enum rc
take_opened(struct transform *t, const struct rpc_value *body, size_t i,
    struct rewrite *r)
{
	struct rpc_opened item;
	enum rc rc = RC_SYNTAX;

	if (rpc_opened_at(body, i, &item) != RC_OK)
		return (RC_SYNTAX);
	if (item.status == RPC_OPEN_OK)
		rc = rewrite_replace(r, value_type(item.type), item.bytes);
	if (rc == RC_OK)
		t->counts.opened++;
	if (rc != RC_SYNTAX)
		return (rc);
	return (take_unopened(t, r, item.status));
}

/* Whose turn it is: the head's values were written first. */
static struct rewrite *
turn(struct transform *t)
{
	return (t->head.at < t->head.slots.n ? &t->head : &t->body);
}

static size_t
n_left(const struct transform *t)
{
	return (t->head.slots.n - t->head.at + t->body.slots.n - t->body.at);
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct transform *t = arg;
	size_t n = rpc_array_len(body);
	enum rc rc = RC_OK;

	/* Exactly one answer per slot, never more, never fewer. */
	if (n == SIZE_MAX || n > n_left(t))
		return (RC_SYNTAX);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = encrypting(t) ? take_sealed(t, body, i, turn(t)) :
		    take_opened(t, body, i, turn(t));
	if (rc == RC_OK && !more && n_left(t) != 0)
		return (RC_SYNTAX);
	return (rc);
}

/* ---- the end of a piece ---- */

static void
count(struct transform *t)
{
	struct transaction *tx = t->job.tx;

	tx->sealed += t->counts.sealed;
	tx->passed += t->counts.passed + t->rules.n_kept_tokens;
	tx->opened += t->counts.opened;
	tx->kept += t->counts.kept;
	tx->forbidden += t->counts.forbidden;
	t->counts = (struct counts){ 0 };
	t->rules.n_kept_tokens = 0;
}

/* Every slot of this piece has its answer. */
static enum rc
settle(struct transform *t)
{
	/* Nothing was chosen in a body that is whole, now or in a call before:
	 * it is good as it is. */
	bool same = t->body.syntax == REWRITE_NONE || (!t->job.pieces &&
	    t->body.slots.n == 0 && t->body.copied == 0);
	enum rc rc;

	if (!same && (rc = rewrite_settle(&t->body, t->settled,
	    t->job.pieces)) != RC_OK)
		return (rc);
	if (!t->head_done && (rc = rewrite_settle(&t->head,
	    buffer_len(t->job.head), false)) != RC_OK)
		return (rc);
	if (!t->head_done)		/* both or none are replaced */
		rewrite_take(&t->head, t->job.head);
	t->head_done = true;
	if (!same && t->whole)
		rewrite_take(&t->body, t->job.body);
	return (RC_OK);
}

static enum transform_result
piece_done(struct transform *t, const char **why)
{
	if (settle(t) != RC_OK) {
		*why = "the result is too large";
		return (TRANSFORM_TOO_LARGE);
	}
	count(t);
	return (t->whole ? TRANSFORM_DONE : TRANSFORM_PIECE);
}

static enum transform_result
call_fault(const struct transform *t, enum rc rc, enum rpc_status status,
    const char **why)
{
	if (t->fault != TRANSFORM_DONE) {
		*why = t->fault == TRANSFORM_FORBIDDEN ?
		    "a policy forbids to open a token here" :
		    "a token does not open";
		return (t->fault);
	}
	switch (rc) {
	case RC_LIMIT:
	case RC_NOMEM:
		*why = "the call or its result is too large";
		return (TRANSFORM_TOO_LARGE);
	case RC_TIMEOUT:
		*why = "no engine answered in time";
		return (TRANSFORM_ENGINE);
	case RC_SYNTAX:
		*why = "an engine answered wrongly";
		return (TRANSFORM_ENGINE);
	case RC_DENIED:
		if (status == RPC_STATUS_RATE_LIMITED) {
			*why = "the app's values per second are used up";
			return (TRANSFORM_RATE_LIMITED);
		}
		*why = rpc_status_name(status);
		return (TRANSFORM_ENGINE);
	default:
		*why = status == RPC_STATUS_OVERLOADED ?
		    "every engine's queue is full" : "no engine is available";
		return (TRANSFORM_ENGINE);
	}
}

static void
on_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct transform *t = arg;
	enum transform_result result;
	const char *why = "";

	t->call = 0;
	result = rc == RC_OK ? piece_done(t, &why) : call_fault(t, rc, status, &why);
	t->cb(t->arg, result, why);	/* which may free us */
}

static const struct engine_call_ops call_ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = on_end,
};

/* ---- a piece ---- */

static enum rc
find_slots(struct transform *t)
{
	enum rc rc = RC_OK;

	if (!t->head_done && t->job.action == NULL)
		rc = transform_slots_scan_head(&t->rules, &t->head,
		    t->scan_headers, t->scan_query);
	else if (!t->head_done)
		rc = transform_slots_head(&t->rules, &t->head);
	if (rc != RC_OK)
		return (rc);
	if (t->scan != NULL)
		return (transform_slots_scan(&t->body, t->scan, t->whole,
		    t->rules.max_fields - t->head.slots.n, &t->settled));
	if (t->walk != NULL)
		return (transform_slots_walk(&t->rules, &t->body, t->walk, t->whole,
		    &t->settled));
	t->settled = t->body.syntax == REWRITE_NONE ? 0 : buffer_len(t->job.body);
	return (transform_slots_whole(&t->rules, &t->body));
}

static enum transform_result
slots_fault(enum rc rc, const char **why)
{
	switch (rc) {
	case RC_LIMIT:
		*why = "more fields than the limit";
		return (TRANSFORM_TOO_MANY);
	case RC_NOMEM:
		*why = "no memory for a body of this size";
		return (TRANSFORM_TOO_LARGE);
	default:
		*why = "not what its selectors can read";
		return (TRANSFORM_MALFORMED);
	}
}

/* What this piece's call adds to memory; the head is new with the first. */
static size_t
growth(const struct transform *t)
{
	size_t bytes = rewrite_growth(&t->body, t->settled);

	return (t->head_done ? bytes : bytes + rewrite_growth(&t->head,
	    buffer_len(t->job.head)));
}

enum transform_result
transform_feed(struct transform *t, bool whole, const char **why)
{
	enum rc rc;

	obj_check(t, TRANSFORM_MAGIC);
	ensure(t->call == 0 && (whole || t->job.pieces));
	*why = "";
	t->whole = whole;
	/* Some of it may have been taken out. */
	t->body.round_out = buffer_len(&t->body.out);
	if ((rc = find_slots(t)) != RC_OK)
		return (slots_fault(rc, why));
	if (t->scan != NULL)
		t->whole = whole &&
		    t->settled == t->body.base + buffer_len(t->job.body);
	else if (whole && t->body.syntax != REWRITE_NONE)
		t->settled = t->body.base + buffer_len(t->job.body);
	if (t->head.slots.n + t->body.slots.n == 0)
		return (piece_done(t, why));
	if (!t->job.reserve(t->arg, growth(t))) {
		*why = "this worker holds as many bodies as it may";
		return (TRANSFORM_OVERLOADED);
	}
	t->call = engine_call(t->job.engines, encrypting(t) ? RPC_OP_ENCRYPT :
	    RPC_OP_DECRYPT, &call_ops, t);
	if (t->call == 0) {
		*why = "too many calls wait for an engine";
		return (TRANSFORM_ENGINE);
	}
	return (TRANSFORM_PENDING);
}

bool
transform_is_pending(const struct transform *t)
{
	return (t != NULL && t->call != 0);
}

struct buffer *
transform_output(struct transform *t)
{
	ensure(t->call == 0);
	return (&t->body.out);
}

size_t
transform_held(const struct transform *t)
{
	return (t == NULL ? 0 : t->body.out.cap);
}

/* ---- life ---- */

bool
transform_streams(const struct relay_action *a)
{
	const struct relay_selections *of = &a->of[RELAY_SELECT_JSON];

	for (size_t i = 0; i < of->n; i++)
		if (!body_jsonpath_streams(of->paths[i]))
			return (false);
	return (true);
}

static void
begin_action(struct transform *t)
{
	const struct relay_selections *json = &t->job.action->of[RELAY_SELECT_JSON];

	/* An action without a selection of this syntax leaves the body alone. */
	if (t->job.syntax != REWRITE_NONE && body_selections(t)->n == 0)
		t->job.syntax = REWRITE_NONE;
	t->head_done = header_selections(t)->n == 0;
	rewrite_init(&t->head, REWRITE_HEAD, t->job.head, 0);
	if (t->job.syntax == REWRITE_JSON && transform_streams(t->job.action))
		t->walk = body_json_walk_new(json->paths, json->n,
		    encrypting(t) ? t->job.max_fields : SIZE_MAX);
}

static void
begin_scan(struct transform *t)
{
	const struct transform_scan *s = t->job.scan;

	t->scan_headers = s->headers;
	t->scan_query = s->query;
	t->head_done = !s->headers && !s->query;
	rewrite_init(&t->head, REWRITE_HEAD_TOKENS, t->job.head, 0);
	if (t->job.syntax == REWRITE_TOKENS)
		ensure((t->scan = body_scan_new_for(s->media, &s->limits)) != NULL);
	t->job.scan = NULL;	/* only now is it sure to be there */
}

struct transform *
transform_new(const struct transform_job *job, transform_cb *cb, void *arg)
{
	struct transform *t = xcalloc(1, sizeof(*t));

	t->magic = TRANSFORM_MAGIC;
	t->job = *job;
	t->cb = cb;
	t->arg = arg;
	t->fault = TRANSFORM_DONE;
	t->rules = (struct slot_rules){
		.relay = job->relay,
		.action = job->action,
		.max_fields = job->max_fields,
	};
	if (job->action == NULL)
		begin_scan(t);
	else
		begin_action(t);
	rewrite_init(&t->body, t->job.syntax, job->body, job->max_bytes);
	if (t->scan != NULL)
		t->body.delimiter = body_scan_delimiter(t->scan);
	ensure(!job->pieces || t->walk != NULL || t->scan != NULL);
	return (t);
}

void
transform_free(struct transform **tp)
{
	struct transform *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	obj_check(t, TRANSFORM_MAGIC);
	if (t->call != 0)
		engine_call_cancel(t->job.engines, t->call);
	rewrite_fini(&t->head);
	rewrite_fini(&t->body);
	body_json_walk_free(&t->walk);
	body_scan_free(&t->scan);
	t->magic = 0;
	free(t);
}
