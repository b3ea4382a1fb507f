/*
 * worker/transform.c - encrypt: every chosen value goes to the engine and a
 * quoted token takes its bytes.  decrypt: every chosen string that has the
 * form of a token goes; what opens stands there escaped for JSON, what does
 * not stays as it is, counted.
 *
 * Answers come in slot order, in pieces; the new body is written as they come.
 * A second on_write means that an engine was lost: begin again.
 */
#include "worker/transform.h"

#include <stdlib.h>

#include "lib/base/object.h"
#include "lib/body/slot.h"
#include "lib/body/token_scan.h"
#include "lib/rpc/message.h"

/* Values in one document: 40 bytes of index each while slots are looked for.
 * Far more than max_fields, since most values of a document are not chosen. */
#define NODES_MAX	(1u << 20)

struct transform {
	unsigned		magic;
#define TRANSFORM_MAGIC		0x1f6e8d43
	struct transform_job	job;
	transform_cb		*cb;
	void			*arg;		/* borrowed: aborts us */
	struct body_slots	slots;		/* owned: in document order */
	struct buffer		out;		/* owned: the new body so far */
	size_t			at;		/* next slot to be answered */
	size_t			copied;		/* body bytes that are in out */
	uint64_t		n_sealed, n_passed, n_opened, n_kept;
	struct buffer		tmp;		/* owned: an unescaped value */
	uint64_t		call;		/* engine call id */
};

static void
transform_free(struct transform **tp)
{
	struct transform *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	obj_check(t, TRANSFORM_MAGIC);
	body_slots_fini(&t->slots);
	buffer_fini(&t->out);
	buffer_fini(&t->tmp);
	t->magic = 0;
	free(t);
}

static bool
encrypting(const struct transform *t)
{
	return (t->job.action->kind == RELAY_ENCRYPT);
}

/* The raw bytes of a slot, quotes included for strings. */
static struct span
slot_raw(const struct transform *t, const struct body_slot *s)
{
	return ((struct span){ buffer_data(t->job.body) + s->start,
	    s->end - s->start });
}

/*
 * The value of a slot: a view into the body, or into t->tmp when it had to be
 * unescaped (valid until the next one).
 */
static enum rc
slot_value(struct transform *t, const struct body_slot *s, struct span *out)
{
	struct span raw = slot_raw(t, s);
	enum rc rc;

	*out = raw;
	if (s->type != BODY_VALUE_STRING)
		return (RC_OK);
	if (!s->escaped) {
		*out = (struct span){ raw.p + 1, raw.len - 2 };
		return (RC_OK);
	}
	buffer_clear(&t->tmp);
	if ((rc = body_json_unescape(raw, &t->tmp)) != RC_OK)
		return (rc);
	*out = (struct span){ buffer_data(&t->tmp), buffer_len(&t->tmp) };
	return (RC_OK);
}

/*
 * Keep the slots that are work; the others are no slots of ours.  RC_SYNTAX:
 * a value to be sealed cannot be read (a lone surrogate).
 */
static enum rc
keep_work(struct transform *t)
{
	struct span value;
	size_t n = 0;
	enum rc rc;

	for (size_t i = 0; i < t->slots.n; i++) {
		struct body_slot *s = &t->slots.v[i];

		if (encrypting(t)) {
			if (s->empty && !t->job.relay->encrypt_empty_strings)
				continue;
			if (s->escaped && (rc = slot_value(t, s, &value)) != RC_OK)
				return (rc);
		} else if (s->type != BODY_VALUE_STRING ||
		    slot_value(t, s, &value) != RC_OK ||
		    !body_token_whole(value)) {
			continue;
		}
		t->slots.v[n++] = *s;
	}
	t->slots.n = n;
	return (RC_OK);
}

/* RC_OK, RC_SYNTAX (too deep as well), RC_LIMIT (too many), RC_NOMEM. */
static enum rc
find_slots(struct transform *t)
{
	const struct relay_action *a = t->job.action;
	struct body_json_fault fault;
	struct body_json doc;
	enum rc rc;

	rc = body_json_read(&doc, buffer_data(t->job.body),
	    buffer_len(t->job.body), NODES_MAX, &fault);
	if (rc != RC_OK)
		return (rc == RC_LIMIT && !fault.too_many ? RC_SYNTAX : rc);
	/* Decrypt picks tokens out of perhaps many more strings. */
	rc = body_slots_select(&doc,
	    (const struct body_jsonpath *const *)a->paths, a->n_selections,
	    encrypting(t) ? t->job.max_fields : SIZE_MAX, &t->slots);
	body_json_fini(&doc);
	if (rc != RC_OK)
		return (rc);
	if ((rc = keep_work(t)) != RC_OK)
		return (rc);
	return (t->slots.n > t->job.max_fields ? RC_LIMIT : RC_OK);
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
		.existing = r->existing == RELAY_EXISTING_ENCRYPT ?
		    RPC_EXISTING_ENCRYPT : RPC_EXISTING_VERIFY,
		.n_fields = t->slots.n,
	};

	rpc_encrypt_put(body, &m);
}

static void
write_decrypt_head(struct transform *t, struct buffer *body)
{
	struct rpc_decrypt m = {
		.app = span_of(t->job.relay->app),
		.place = RPC_PLACE_RELAY,
		.destination = span_of(t->job.relay->host),
		.address = span_of(t->job.client),
		.n_tokens = t->slots.n,
	};

	rpc_decrypt_put(body, &m);
}

static enum rc
write_slot(struct transform *t, const struct body_slot *s, struct buffer *body)
{
	struct rpc_field field = { .type = RPC_FIELD_STRING };
	enum rc rc;

	if ((rc = slot_value(t, s, &field.bytes)) != RC_OK)
		return (rc);
	if (!encrypting(t))
		return (rpc_decrypt_put_token(body, field.bytes, SPAN_LIT("")));
	switch (s->type) {
	case BODY_VALUE_STRING:
		field.type = RPC_FIELD_STRING;
		break;
	case BODY_VALUE_NUMBER:
		field.type = RPC_FIELD_NUMBER;
		break;
	case BODY_VALUE_BOOLEAN:
		field.type = RPC_FIELD_BOOLEAN;
		break;
	}
	return (rpc_encrypt_put_field(body, &field));
}

static enum rc
on_write(void *arg, struct buffer *body)
{
	struct transform *t = arg;
	enum rc rc = RC_OK;

	buffer_clear(&t->out);
	t->at = t->copied = 0;
	t->n_sealed = t->n_passed = t->n_opened = t->n_kept = 0;
	if (encrypting(t))
		write_encrypt_head(t, body);
	else
		write_decrypt_head(t, body);
	for (size_t i = 0; i < t->slots.n && rc == RC_OK; i++)
		rc = write_slot(t, &t->slots.v[i], body);
	return (rc);
}

/* ---- the answer ---- */

/* Body bytes up to `end` that are not in out yet. */
static enum rc
copy_up_to(struct transform *t, size_t end)
{
	enum rc rc;

	rc = buffer_append(&t->out, buffer_data(t->job.body) + t->copied,
	    end - t->copied);
	t->copied = end;
	return (rc);
}

/* Only a string that looks like a token can have been one already. */
static bool
may_pass(struct transform *t, const struct body_slot *s)
{
	struct span value;

	return (t->job.relay->existing == RELAY_EXISTING_VERIFY &&
	    s->type == BODY_VALUE_STRING && slot_value(t, s, &value) == RC_OK &&
	    body_token_whole(value));
}

static enum rc
take_sealed(struct transform *t, const struct rpc_value *body, size_t i,
    const struct body_slot *s)
{
	struct rpc_sealed item;
	enum rc rc;

	if (rpc_sealed_at(body, i, &item) != RC_OK)
		return (RC_SYNTAX);
	if (item.status == RPC_PASSED) {
		if (!may_pass(t, s))
			return (RC_SYNTAX);
		t->n_passed++;
		return (copy_up_to(t, s->end));
	}
	/* What goes to the app is a token or nothing, whatever the engine says. */
	if (!body_token_whole(item.bytes))
		return (RC_SYNTAX);
	if ((rc = copy_up_to(t, s->start)) != RC_OK ||
	    (rc = buffer_append(&t->out, "\"", 1)) != RC_OK ||
	    (rc = buffer_append(&t->out, item.bytes.p, item.bytes.len)) != RC_OK ||
	    (rc = buffer_append(&t->out, "\"", 1)) != RC_OK)
		return (rc);
	t->copied = s->end;
	t->n_sealed++;
	return (RC_OK);
}

static enum rc
take_opened(struct transform *t, const struct rpc_value *body, size_t i,
    const struct body_slot *s)
{
	enum body_value_type type = BODY_VALUE_STRING;
	struct rpc_opened item;
	enum rc rc;

	if (rpc_opened_at(body, i, &item) != RC_OK)
		return (RC_SYNTAX);
	if (item.status == RPC_OPEN_OK) {
		if (item.type == RPC_FIELD_NUMBER)
			type = BODY_VALUE_NUMBER;
		else if (item.type == RPC_FIELD_BOOLEAN)
			type = BODY_VALUE_BOOLEAN;
		if ((rc = copy_up_to(t, s->start)) != RC_OK)
			return (rc);
		rc = body_json_insert(type, item.bytes, &t->out);
		if (rc == RC_OK) {
			t->copied = s->end;
			t->n_opened++;
			return (RC_OK);
		}
		if (rc != RC_SYNTAX)
			return (rc);
		/* It cannot stand here: undecryptable, the token stays. */
	}
	t->n_kept++;
	return (copy_up_to(t, s->end));
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct transform *t = arg;
	size_t n = rpc_array_len(body);
	enum rc rc = RC_OK;

	/* Exactly one answer per slot, never more, never fewer. */
	if (n == SIZE_MAX || n > t->slots.n - t->at)
		return (RC_SYNTAX);
	for (size_t i = 0; i < n && rc == RC_OK; i++, t->at++) {
		const struct body_slot *s = &t->slots.v[t->at];

		rc = encrypting(t) ? take_sealed(t, body, i, s) :
		    take_opened(t, body, i, s);
	}
	if (rc == RC_OK && !more && t->at != t->slots.n)
		return (RC_SYNTAX);
	return (rc);
}

static void
finish(struct transform *t, enum transform_result result, const char *why)
{
	transform_cb *cb = t->cb;
	void *arg = t->arg;

	t->call = 0;
	if (result == TRANSFORM_DONE) {
		buffer_move(t->job.body, &t->out);
		t->job.tx->sealed += t->n_sealed;
		t->job.tx->passed += t->n_passed;
		t->job.tx->opened += t->n_opened;
		t->job.tx->kept += t->n_kept;
	}
	cb(arg, result, why);	/* the owner aborts, that is frees, us */
}

static void
on_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct transform *t = arg;

	if (rc == RC_OK)
		rc = copy_up_to(t, buffer_len(t->job.body));
	switch (rc) {
	case RC_OK:
		finish(t, TRANSFORM_DONE, "");
		return;
	case RC_LIMIT:
	case RC_NOMEM:
		finish(t, TRANSFORM_TOO_LARGE, "the call or its result is too large");
		return;
	case RC_TIMEOUT:
		finish(t, TRANSFORM_ENGINE, "no engine answered in time");
		return;
	case RC_SYNTAX:
		finish(t, TRANSFORM_ENGINE, "an engine answered wrongly");
		return;
	default:
		finish(t, TRANSFORM_ENGINE, rc == RC_DENIED ?
		    rpc_status_name(status) : "no engine is available");
		return;
	}
}

static const struct engine_call_ops call_ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = on_end,
};

enum transform_result
transform_start(const struct transform_job *job, transform_cb *cb, void *arg,
    struct transform **out, const char **why)
{
	struct transform *t = xcalloc(1, sizeof(*t));
	enum transform_result result = TRANSFORM_PENDING;
	enum rc rc;

	*out = NULL;
	*why = "";
	t->magic = TRANSFORM_MAGIC;
	t->job = *job;
	t->cb = cb;
	t->arg = arg;
	buffer_init(&t->out, job->max_bytes, true);
	buffer_init(&t->tmp, 0, true);
	rc = find_slots(t);
	if (rc == RC_LIMIT) {
		result = TRANSFORM_TOO_MANY;
		*why = "more fields than the limit";
	} else if (rc == RC_NOMEM) {
		result = TRANSFORM_TOO_LARGE;
		*why = "no memory for a body of this size";
	} else if (rc != RC_OK) {
		result = TRANSFORM_MALFORMED;
		*why = "not JSON as its selectors need it";
	} else if (t->slots.n == 0) {
		result = TRANSFORM_DONE;
	} else if ((t->call = engine_call(job->engines, encrypting(t) ?
	    RPC_OP_ENCRYPT : RPC_OP_DECRYPT, &call_ops, t)) == 0) {
		result = TRANSFORM_ENGINE;
		*why = "too many calls wait for an engine";
	}
	if (result != TRANSFORM_PENDING) {
		transform_free(&t);
		return (result);
	}
	*out = t;
	return (TRANSFORM_PENDING);
}

void
transform_abort(struct transform **tp)
{
	struct transform *t = *tp;

	if (t == NULL)
		return;
	if (t->call != 0)
		engine_call_cancel(t->job.engines, t->call);
	transform_free(tp);
}
