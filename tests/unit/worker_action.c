/* worker_action.c - see worker_action.h. */
#include "tests/unit/worker_action.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test_loop.h"

/* ---- what the engine saw ---- */

static void
see(struct script *s, size_t i, const struct rpc_field *field)
{
	struct seen_field *seen = &s->seen[i];
	size_t n = field->bytes.len;

	if (i >= FIELDS_SEEN)
		return;
	memset(seen, 0, sizeof(*seen));
	seen->type = field->type;
	seen->len = n;
	if (n >= sizeof(seen->text))
		n = sizeof(seen->text) - 1;
	if (n != 0)
		memcpy(seen->text, field->bytes.p, n);
	assert_true(span_copy(field->role, seen->role, sizeof(seen->role)));
}

static void
see_encrypt(struct script *s, const struct rpc_call_frame *f)
{
	struct rpc_field field;

	s->sealing = true;
	assert_int_equal(rpc_encrypt_read(f->body, &s->encrypt), RC_OK);
	assert_true(span_eq_str(s->encrypt.app, "app_0123456789ab"));
	for (size_t i = 0; i < s->encrypt.n_fields; i++) {
		assert_int_equal(rpc_encrypt_field_at(&s->encrypt, i, &field),
		    RC_OK);
		see(s, i, &field);
	}
}

static void
see_decrypt(struct script *s, const struct rpc_call_frame *f)
{
	struct rpc_field field = { .type = RPC_FIELD_STRING };

	s->sealing = false;
	assert_true(span_eq_str(f->op, "Decrypt"));
	assert_int_equal(rpc_decrypt_read(f->body, &s->decrypt), RC_OK);
	assert_true(span_eq_str(s->decrypt.app, "app_0123456789ab"));
	assert_true(span_eq_str(s->decrypt.destination, "origin.test"));
	assert_true(span_eq_str(s->decrypt.address, "192.0.2.7"));
	assert_int_equal(s->decrypt.place, RPC_PLACE_RELAY);
	for (size_t i = 0; i < s->decrypt.n_tokens; i++) {
		assert_int_equal(rpc_decrypt_token_at(&s->decrypt, i,
		    &field.bytes, &field.role), RC_OK);
		see(s, i, &field);
	}
}

/* ---- what it says ---- */

static void
put_sealed(struct buffer *out, struct span token)
{
	assert_int_equal(rpc_sealed_put_head(out, RPC_SEALED, token.len), RC_OK);
	buffer_put(out, token.p, token.len);
}

/* A token whose data is the value itself: what was sealed can be opened. */
static void
seal(struct buffer *out, const struct rpc_field *field)
{
	static const char *const types[] = { "", "number:", "boolean:" };
	size_t len = base64_encoded_len(field->bytes.len, false);
	struct buffer token;
	char *data;

	buffer_init(&token, 0, false);
	buffer_printf(&token, "ev:QkTC:%s" IV ":" KEY ":", types[field->type]);
	assert_int_equal(buffer_reserve(&token, len + 1, &data), RC_OK);
	buffer_commit(&token, base64_encode(field->bytes.p, field->bytes.len,
	    false, data));
	buffer_puts(&token, ":$");
	put_sealed(out, (struct span){ buffer_data(&token), buffer_len(&token) });
	buffer_fini(&token);
}

static struct span
data_of(struct span token)
{
	size_t end = token.len - strlen(":$"), start = end;

	while (token.p[start - 1] != ':')
		start--;
	return ((struct span){ token.p + start, end - start });
}

static void
open_token(struct buffer *out, struct span token)
{
	struct span data = data_of(token);
	char *plain = malloc(data.len + 1);
	size_t len;

	assert_non_null(plain);
	assert_int_equal(base64_decode(data, false, plain, data.len + 1, &len),
	    RC_OK);
	assert_int_equal(rpc_opened_put_head(out, RPC_OPEN_OK, RPC_FIELD_STRING,
	    len), RC_OK);
	buffer_put(out, plain, len);
	free(plain);
}

static void
put_own(struct script *s, size_t i, struct buffer *out)
{
	struct rpc_field field;

	if (s->sealing) {
		assert_int_equal(rpc_encrypt_field_at(&s->encrypt, i, &field),
		    RC_OK);
		seal(out, &field);
		return;
	}
	assert_int_equal(rpc_decrypt_token_at(&s->decrypt, i, &field.bytes,
	    &field.role), RC_OK);
	open_token(out, field.bytes);
}

static void
put_item(const struct script *s, const struct item *it, struct buffer *out)
{
	size_t len = it->len != 0 ? it->len : strlen(it->text);

	if (s->sealing)
		assert_int_equal(rpc_sealed_put_head(out,
		    (enum rpc_seal_status)it->status, len), RC_OK);
	else
		assert_int_equal(rpc_opened_put_head(out,
		    (enum rpc_open_status)it->status, it->type, len), RC_OK);
	buffer_put(out, it->text, len);
}

static void
reply(struct script *s, struct engine_link *l, uint64_t id, size_t from,
    size_t to, bool more)
{
	struct buffer out;

	buffer_init(&out, 0, false);
	rpc_put_array(&out, to - from);
	for (size_t i = from; i < to; i++) {
		if (s->items != NULL)
			put_item(s, &s->items[i], &out);
		else
			put_own(s, i, &out);
	}
	engine_reply(l, id, RPC_STATUS_OK, &out, more);
	buffer_fini(&out);
}

static void
on_call(void *arg, struct engine_link *l, const struct rpc_call_frame *f)
{
	struct script *s = arg;
	size_t n;

	if (span_eq_str(f->op, "Encrypt"))
		see_encrypt(s, f);
	else
		see_decrypt(s, f);
	n = s->sealing ? s->encrypt.n_fields : s->decrypt.n_tokens;
	if (s->n_calls < CALLS_SEEN)
		s->n_fields[s->n_calls] = n;
	s->n_calls++;
	if (s->items != NULL)
		n = s->n_items;
	if (s->first != 0)
		reply(s, l, f->id, 0, s->first, true);
	if (s->n_calls == s->cut_at) {
		net_stream_flush(l->stream);
		engine_cut(l);
		return;
	}
	reply(s, l, f->id, s->first, n, false);
}

/* ---- the worker's side ---- */

int
bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct worker_engine *engines[1];

	assert_non_null(b);
	lab_start(&b->lab);
	worker_engine_start(&b->engine, &b->lab, false);
	b->engine.on_call = on_call;
	b->engine.arg = &b->script;
	engines[0] = &b->engine;
	b->pool = lab_pool(&b->lab, NULL, 5000, engines, 1);
	b->syntax = REWRITE_JSON;
	b->max_fields = 65536;
	b->max_bytes = 1 << 20;
	b->may_reserve = SIZE_MAX;
	buffer_init(&b->head, 0, true);
	buffer_init(&b->body, 0, true);
	*state = b;
	return (0);
}

int
bench_teardown(void **state)
{
	struct bench *b = *state;

	transform_free(&b->transform);
	relay_unref(&b->relay);
	buffer_fini(&b->head);
	buffer_fini(&b->body);
	engine_pool_free(&b->pool);
	worker_engine_stop(&b->engine);
	loop_for_ms(b->lab.loop, 1);
	lab_stop(&b->lab);
	free(b);
	return (0);
}

void
bench_relay(struct bench *b, const char *direction, const char *action,
    const char *options, const char *selections)
{
	struct relay_fault fault;
	struct buffer json;

	transform_free(&b->transform);		/* it looks at the old one */
	relay_unref(&b->relay);
	buffer_init(&json, 0, false);
	buffer_printf(&json, "{\"destinationDomain\":\"origin.test\","
	    "\"app\":\"app_0123456789ab\"%s,\"routes\":[{\"method\":\"POST\","
	    "\"path\":\"/\",\"%s\":[{\"action\":\"%s\",\"selections\":[%s]}]}]}",
	    options, direction, action, selections);
	if (relay_json_parse((struct span){ buffer_data(&json), buffer_len(&json) },
	    &b->relay, &fault) != RC_OK)
		fail_msg("%s: %s", fault.path, fault.reason);
	buffer_fini(&json);
}

void
bench_says(struct bench *b, const struct item *items, size_t n)
{
	b->script.items = items;
	b->script.n_items = n;
}

static bool
on_reserve(void *arg, size_t bytes)
{
	struct bench *b = arg;

	b->reserved = bytes;
	return (bytes <= b->may_reserve);
}

static void
on_done(void *arg, enum transform_result result, const char *why)
{
	struct bench *b = arg;

	assert_false(b->called);
	assert_int_not_equal(result, TRANSFORM_PENDING);
	assert_non_null(why);
	b->called = true;
	b->result = result;
	b->why = why;
	if (result != TRANSFORM_PIECE)
		transform_free(&b->transform);	/* as its owner does */
}

void
bench_begin(struct bench *b, const char *head, const char *body, size_t len)
{
	const struct relay_route *route = &b->relay->routes[0];

	transform_free(&b->transform);
	buffer_clear(&b->head);
	buffer_puts(&b->head, head);
	buffer_fini(&b->body);		/* its limit is that of the last result */
	buffer_init(&b->body, 0, true);
	buffer_put(&b->body, body, len);
	memset(&b->tx, 0, sizeof(b->tx));
	b->transform = transform_new(&(struct transform_job){
	    .engines = b->pool,
	    .relay = b->relay,
	    .action = b->scan != NULL ? NULL : route->n_request != 0 ?
	    route->request : route->response,
	    .scan = b->scan,
	    .place = RPC_PLACE_RELAY,
	    .destination = b->relay->host,
	    .client = "192.0.2.7",
	    .head = &b->head,
	    .body = &b->body,
	    .syntax = b->syntax,
	    .forbidden_fails = b->forbidden_fails,
	    .pieces = b->pieces,
	    .tx = &b->tx,
	    .max_fields = b->max_fields,
	    .max_bytes = b->max_bytes,
	    .reserve = on_reserve,
	}, on_done, b);
}

bool
bench_feed_starts(struct bench *b, bool whole)
{
	b->called = false;
	b->reserved = 0;
	b->result = transform_feed(b->transform, whole, &b->why);
	if (b->result == TRANSFORM_PENDING) {
		assert_true(transform_is_pending(b->transform));
		return (true);
	}
	assert_false(transform_is_pending(b->transform));
	assert_non_null(b->why);
	if (b->result != TRANSFORM_PIECE)
		transform_free(&b->transform);
	return (false);
}

enum transform_result
bench_feed(struct bench *b, bool whole)
{
	if (bench_feed_starts(b, whole))
		loop_until(b->lab.loop, &b->called);
	assert_false(transform_is_pending(b->transform));
	return (b->result);
}

enum transform_result
bench_run(struct bench *b, const char *head, const char *body)
{
	bench_begin(b, head, body, strlen(body));
	return (bench_feed(b, true));
}

void
assert_text(const struct buffer *b, const char *want)
{
	struct span got = { buffer_data(b), buffer_len(b) };

	if (!span_eq(got, span_of(want)))
		fail_msg("%.*s is not %s", (int)got.len, got.p, want);
}
