/*
 * lib/rpc/link.c over real TLS: frames larger than every buffer, replies in
 * pieces and any order, limits, signatures, what *sent* means.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/rpc/message.h"
#include "lib/rpc/sign.h"
#include "lib_rpc_engine.h"
#include "test_loop.h"

#define TINY_BYTES	4096	/* a TLS record does not fit */

/* One asker: what came back for its call. */
struct asker {
	unsigned	n;		/* callbacks */
	unsigned	n_last;		/* of them, last ones */
	enum rc		rc;
	enum rpc_status	status;
	bool		done;
	uint64_t	id;
	uint64_t	number;		/* the body, when it is one */
	size_t		results;	/* [status, bytes] pairs */
	size_t		result_bytes;
	bool		sent_at_end;
	struct rpc_link	*link;
};

struct owner {
	bool	up, down;
	char	why[200];
	struct net_link_peer peer;
};

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct owner *o = arg;

	o->up = true;
	o->peer = *peer;
}

static void
on_down(void *arg, const char *why)
{
	struct owner *o = arg;

	assert_false(o->down);
	o->down = true;
	(void)snprintf(o->why, sizeof(o->why), "%s", why);
}

static const struct rpc_link_ops link_ops = { on_up, on_down };

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct asker *a = arg;
	struct rpc_sealed s;

	assert_false(a->done);
	a->n++;
	a->rc = rc;
	a->status = status;
	(void)rpc_get_u64(body, &a->number);
	for (size_t i = 0; rpc_sealed_at(body, i, &s) == RC_OK; i++) {
		/* Each token carries its own number: order and content. */
		assert_true(s.bytes.len > sizeof(a->results));
		assert_memory_equal(s.bytes.p, &a->results,
		    sizeof(a->results));
		assert_int_equal((uint8_t)s.bytes.p[s.bytes.len - 1],
		    a->results & 0xff);
		a->results++;
		a->result_bytes += s.bytes.len;
	}
	if (rc != RC_OK) {
		assert_int_equal(status, RPC_STATUS_INTERNAL);
		assert_null(body);
		assert_false(more);
	}
	if (!more) {
		a->n_last++;
		a->done = true;
		a->sent_at_end = a->link != NULL &&
		    rpc_link_call_sent(a->link, a->id);
	}
}

static struct rpc_link *
link_up(struct engine *e, const struct rpc_link_config *cfg, struct owner *o)
{
	struct rpc_link *l = rpc_link_open(e->loop, cfg, &link_ops, o);

	loop_until(e->loop, &o->up);
	assert_true(rpc_link_is_up(l));
	return (l);
}

static void
call_number(struct rpc_link *l, struct asker *a, uint64_t number,
    unsigned timeout_ms)
{
	struct buffer body;

	buffer_init(&body, 0, false);
	rpc_put_u64(&body, number);
	assert_int_equal(rpc_link_call(l, RPC_OP_PING, &body, timeout_ms,
	    on_reply, a, &a->id), RC_OK);
	assert_int_equal(buffer_len(&body), 0);
	assert_true(a->id != 0);
	a->link = l;
	buffer_fini(&body);
}

/* A body of about len bytes that no two offsets share. */
static void
put_noise(struct buffer *b, size_t len)
{
	uint32_t x = 0x12345678;
	char *at;

	rpc_put_bin_head(b, len);
	assert_int_equal(buffer_reserve(b, len, &at), RC_OK);
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		at[i] = (char)(x >> 24);
	}
	buffer_commit(b, len);
}

/* ---- test first: the repeated SSL_write ---- */

#define LARGE_BYTES	200000

struct expected {
	struct buffer	payload;	/* of the one large call */
	bool		came;
};

static void
compare_large(struct engine *e, const struct rpc_call_frame *f,
    struct span payload)
{
	struct expected *x = e->arg;

	if (span_eq_str(f->op, "Encrypt")) {
		assert_int_equal(payload.len + RPC_FRAME_HEAD_BYTES,
		    buffer_len(&x->payload));
		assert_memory_equal(payload.p, buffer_data(&x->payload) +
		    RPC_FRAME_HEAD_BYTES, payload.len);
		x->came = true;
	}
	engine_reply(e, f->id, RPC_STATUS_OK, NULL, false);
}

/*
 * The engine does not read: SSL_write is left waiting in the middle of a
 * record.  Other calls come meanwhile, so that the queue behind the waiting
 * bytes grows and moves.  Then the engine reads: every byte is there, in
 * order, once.  A repeat that is dropped, cut or replaced ends this with a
 * broken record, a stall or wrong bytes.
 */
static void
test_large_call_through_a_tiny_buffer(void **state)
{
	struct owner o = { 0 };
	struct asker large = { 0 }, small[8] = { 0 };
	struct expected x = { .came = false };
	struct rpc_link_config cfg;
	struct rpc_link *l;
	struct buffer body;
	struct engine e;

	(void)state;
	engine_start(&e, "relay://link/engine/e1");
	e.on_call = compare_large;
	e.arg = &x;
	cfg = engine_link_config(&e);
	cfg.send_buffer_bytes = TINY_BYTES;
	l = link_up(&e, &cfg, &o);
	loop_until(e.loop, &e.accepted);
	net_stream_read_pause(e.stream);

	buffer_init(&body, 0, false);
	buffer_init(&x.payload, 0, false);
	put_noise(&body, LARGE_BYTES);
	assert_int_equal(rpc_call_frame_write(&x.payload,
	    rpc_link_next_id(l), RPC_OP_ENCRYPT,
	    (struct span){ buffer_data(&body), buffer_len(&body) },
	    (struct span){ NULL, 0 }), RC_OK);
	assert_int_equal(rpc_link_call(l, RPC_OP_ENCRYPT, &body, 0, on_reply,
	    &large, &large.id), RC_OK);
	assert_true(large.id > e.greeting_id);
	assert_int_equal(buffer_len(&body), 0);
	for (size_t i = 0; i < 8; i++) {
		for (int turn = 0; turn < 4; turn++)
			loop_turn(e.loop, false);
		assert_false(rpc_link_call_sent(l, large.id));
		call_number(l, &small[i], i, 0);
	}
	assert_false(large.done);
	net_stream_read_resume(e.stream);
	loop_until(e.loop, &small[7].done);
	assert_true(x.came);
	assert_true(large.done);
	assert_int_equal(large.rc, RC_OK);
	assert_true(rpc_link_call_sent(l, large.id));
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(small[i].rc, RC_OK);
	assert_false(o.down);
	assert_int_equal(rpc_link_in_flight(l), 0);
	rpc_link_close(&l);
	buffer_fini(&body);
	buffer_fini(&x.payload);
	engine_stop(&e);
}

#define MANY_FIELDS	60000
#define TOKEN_BYTES	140	/* 60,000 of them are over 8 MB */

/* Read the call's fields, answer with tokens in pieces as e3d does. */
static void
seal_all(struct engine *e, const struct rpc_call_frame *f, struct span payload)
{
	struct rpc_encrypt enc;
	struct rpc_field field;
	struct buffer body;
	char token[TOKEN_BYTES] = { 0 };
	size_t per_piece = RPC_REPLY_PIECE_BYTES / (TOKEN_BYTES + 4), n;

	(void)payload;
	buffer_init(&body, 0, false);
	assert_int_equal(rpc_encrypt_read(f->body, &enc), RC_OK);
	assert_int_equal(enc.n_fields, MANY_FIELDS);
	for (size_t i = 0; i < enc.n_fields; i += n) {
		n = enc.n_fields - i < per_piece ? enc.n_fields - i :
		    per_piece;
		buffer_clear(&body);
		rpc_put_array(&body, n);
		for (size_t k = i; k < i + n; k++) {
			assert_int_equal(rpc_encrypt_field_at(&enc, k,
			    &field), RC_OK);
			assert_int_equal(field.bytes.len, sizeof(k));
			assert_memory_equal(field.bytes.p, &k, sizeof(k));
			memcpy(token, &k, sizeof(k));
			token[TOKEN_BYTES - 1] = (char)k;
			assert_int_equal(rpc_sealed_put_head(&body,
			    RPC_SEALED, TOKEN_BYTES), RC_OK);
			buffer_put(&body, token, TOKEN_BYTES);
		}
		assert_true(buffer_len(&body) <= RPC_REPLY_PIECE_BYTES);
		engine_reply(e, f->id, RPC_STATUS_OK, &body,
		    i + n < enc.n_fields);
	}
	buffer_fini(&body);
}

static void
many_fields(int send_buffer_bytes)
{
	struct rpc_encrypt enc = { .app = SPAN_LIT("app_1"),
	    .n_fields = MANY_FIELDS };
	struct owner o = { 0 };
	struct asker a = { 0 };
	struct rpc_link_config cfg;
	struct rpc_link *l;
	struct buffer body;
	struct engine e;

	engine_start(&e, "relay://link/engine/e1");
	e.on_call = seal_all;
	e.send_buffer_bytes = send_buffer_bytes;
	cfg = engine_link_config(&e);
	cfg.send_buffer_bytes = send_buffer_bytes;
	l = link_up(&e, &cfg, &o);
	buffer_init(&body, 0, true);
	rpc_encrypt_put(&body, &enc);
	for (size_t i = 0; i < MANY_FIELDS; i++) {
		struct rpc_field f = { RPC_FIELD_STRING,
		    { (const char *)&i, sizeof(i) }, { NULL, 0 } };

		assert_int_equal(rpc_encrypt_put_field(&body, &f), RC_OK);
	}
	assert_int_equal(rpc_link_call(l, RPC_OP_ENCRYPT, &body, 0, on_reply,
	    &a, &a.id), RC_OK);
	loop_until(e.loop, &a.done);
	assert_int_equal(a.rc, RC_OK);
	assert_int_equal(a.status, RPC_STATUS_OK);
	assert_int_equal(a.results, MANY_FIELDS);
	assert_true(a.result_bytes > 8u << 20);
	assert_true(a.n > 30);			/* pieces */
	assert_int_equal(a.n_last, 1);
	rpc_link_close(&l);
	buffer_fini(&body);
	engine_stop(&e);
}

static void
test_60000_fields(void **state)
{
	(void)state;
	many_fields(0);
}

static void
test_60000_fields_through_tiny_buffers(void **state)
{
	(void)state;
	many_fields(TINY_BYTES);
}

/* ---- replies by id ---- */

static void
test_replies_in_any_order_and_interleaved(void **state)
{
	struct owner o = { 0 };
	struct asker a[5] = { 0 };
	struct rpc_link_config cfg;
	struct rpc_link *l;
	struct buffer n;
	struct engine e;

	(void)state;
	engine_start(&e, "relay://link/engine/e1");
	cfg = engine_link_config(&e);
	l = link_up(&e, &cfg, &o);
	assert_string_equal(o.peer.role, "engine");
	assert_string_equal(o.peer.name, "e1");
	for (size_t i = 0; i < 5; i++)
		call_number(l, &a[i], i, 0);
	assert_int_equal(rpc_link_in_flight(l), 5);
	loop_until_count(e.loop, &e.n_seen, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(e.seen_id[i], a[i].id);
		for (size_t k = 0; k < i; k++)
			assert_true(a[k].id != a[i].id);
	}
	buffer_init(&n, 0, false);
	rpc_put_u64(&n, 11);
	engine_reply(&e, a[3].id, RPC_STATUS_OK, &n, true);
	engine_reply(&e, a[4].id, RPC_STATUS_OVERLOADED, NULL, false);
	engine_reply(&e, a[1].id, RPC_STATUS_OK, &n, true);
	buffer_clear(&n);
	rpc_put_u64(&n, 12);
	engine_reply(&e, a[3].id, RPC_STATUS_OK, &n, false);
	engine_reply(&e, a[0].id, RPC_STATUS_OK, NULL, false);
	engine_reply(&e, a[2].id, RPC_STATUS_NO_SUCH_APP, NULL, false);
	engine_reply(&e, a[1].id, RPC_STATUS_OK, &n, false);
	loop_until(e.loop, &a[1].done);
	assert_int_equal(a[3].n, 2);
	assert_int_equal(a[3].number, 12);
	assert_int_equal(a[1].n, 2);
	assert_int_equal(a[4].status, RPC_STATUS_OVERLOADED);
	assert_int_equal(a[2].status, RPC_STATUS_NO_SUCH_APP);
	for (size_t i = 0; i < 5; i++) {
		assert_true(a[i].done);
		assert_int_equal(a[i].rc, RC_OK);
	}
	assert_int_equal(rpc_link_in_flight(l), 0);
	assert_false(o.down);
	buffer_fini(&n);
	rpc_link_close(&l);
	engine_stop(&e);
}

/* ---- limits ---- */

static void
test_limits_keep_the_body_and_send_nothing(void **state)
{
	struct owner o = { 0 };
	struct asker a[3] = { 0 };
	struct rpc_link_config cfg;
	struct rpc_link *l;
	struct buffer body;
	struct engine e;
	uint64_t id = 1;

	(void)state;
	engine_start(&e, "relay://link/engine/e1");
	cfg = engine_link_config(&e);
	cfg.max_calls = 2;
	buffer_init(&body, 0, false);
	rpc_put_nil(&body);
	l = rpc_link_open(e.loop, &cfg, &link_ops, &o);
	assert_int_equal(rpc_link_call(l, RPC_OP_PING, &body, 0, on_reply,
	    &a[0], &id), RC_UNAVAILABLE);		/* not up yet */
	assert_int_equal(id, 0);
	loop_until(e.loop, &o.up);
	call_number(l, &a[0], 0, 0);
	call_number(l, &a[1], 1, 0);
	assert_int_equal(rpc_link_call(l, RPC_OP_PING, &body, 0, on_reply,
	    &a[2], &id), RC_AGAIN);
	assert_int_equal(id, 0);
	assert_int_equal(buffer_len(&body), 1);
	loop_until_count(e.loop, &e.n_seen, 2);
	engine_reply(&e, a[0].id, RPC_STATUS_OK, NULL, false);
	loop_until(e.loop, &a[0].done);

	buffer_clear(&body);
	put_noise(&body, RPC_FRAME_BYTES_MAX - 5);
	assert_int_equal(rpc_link_call(l, RPC_OP_PING, &body, 0, on_reply,
	    &a[2], &id), RC_LIMIT);
	assert_int_equal(id, 0);
	assert_int_equal(buffer_len(&body), RPC_FRAME_BYTES_MAX);
	/* The next call is the next thing the engine gets. */
	call_number(l, &a[2], 2, 0);
	loop_until_count(e.loop, &e.n_seen, 3);
	assert_int_equal(e.seen_id[2], a[2].id);
	assert_int_equal(rpc_link_in_flight(l), 2);
	rpc_link_close(&l);
	assert_int_equal(a[1].rc, RC_CANCELLED);
	assert_int_equal(a[2].rc, RC_CANCELLED);
	assert_false(o.down);
	buffer_fini(&body);
	engine_stop(&e);
}

/* ---- signatures ---- */

static const char challenge[RPC_CHALLENGE_BYTES] = "challenge";

static void
check_signature(struct engine *e, const struct rpc_call_frame *f,
    struct span payload)
{
	EVP_PKEY *key = X509_get0_pubkey(SSL_get0_peer_certificate(
	    net_stream_ssl(e->stream)));

	(void)payload;
	assert_int_equal(rpc_verify(key,
	    (struct span){ challenge, sizeof(challenge) }, f->signed_part,
	    f->signature), RC_OK);
	engine_reply(e, f->id, RPC_STATUS_OK, NULL, false);
}

/* Each call that comes, but Cancel, is signed over the first challenge. */
static void
check_every_signature(struct engine *e, const struct rpc_call_frame *f,
    struct span payload)
{
	EVP_PKEY *key = X509_get0_pubkey(SSL_get0_peer_certificate(
	    net_stream_ssl(e->stream)));
	unsigned *n = e->arg;

	(void)payload;
	if (span_eq_str(f->op, "Cancel") || span_eq_str(f->op, "Challenge")) {
		assert_int_equal(f->signature.len, 0);
	} else if (span_eq_str(f->op, "CreateKey")) {
		assert_int_equal(rpc_verify(key, (struct span){ challenge,
		    sizeof(challenge) }, f->signed_part, f->signature), RC_OK);
	} else {
		assert_int_equal(rpc_verify(key, span_of(ENGINE_CHALLENGE),
		    f->signed_part, f->signature), RC_OK);
		++*n;
	}
	if (!span_eq_str(f->op, "Encrypt"))
		engine_reply(e, f->id, RPC_STATUS_OK, NULL, false);
}

static void
sign_and_call(struct rpc_link *l, struct engine *e, enum rpc_op op,
    struct asker *a)
{
	struct buffer body, part, signature;

	buffer_init(&body, 0, false);
	buffer_init(&part, 0, false);
	buffer_init(&signature, 0, false);
	rpc_signed_part(&part, rpc_link_next_id(l), op, SPAN_LIT(""));
	assert_int_equal(rpc_sign(SSL_CTX_get0_privatekey(e->client_ctx),
	    (struct span){ challenge, sizeof(challenge) },
	    (struct span){ buffer_data(&part), buffer_len(&part) },
	    &signature), RC_OK);
	assert_int_equal(rpc_link_call_signed(l, op, &body,
	    (struct span){ buffer_data(&signature), buffer_len(&signature) },
	    0, on_reply, a, &a->id), RC_OK);
	buffer_fini(&body);
	buffer_fini(&part);
	buffer_fini(&signature);
}

static void
test_signed_call(void **state)
{
	struct owner o = { 0 };
	struct asker a = { 0 };
	struct rpc_link_config cfg;
	struct rpc_link *l;
	struct engine e;

	(void)state;
	engine_start(&e, "relay://link/engine/e1");
	e.on_call = check_signature;
	cfg = engine_link_config(&e);
	l = link_up(&e, &cfg, &o);
	sign_and_call(l, &e, RPC_OP_CREATE_KEY, &a);
	loop_until(e.loop, &a.done);
	assert_int_equal(a.rc, RC_OK);
	rpc_link_close(&l);
	engine_stop(&e);
}

static void
test_every_call_is_signed_when_the_engine_wants_it(void **state)
{
	struct owner o = { 0 };
	struct asker small[3] = { 0 }, large = { 0 }, asked = { 0 }, fresh = { 0 };
	struct rpc_link_config cfg;
	struct rpc_link *l;
	struct buffer body;
	struct engine e;
	unsigned n = 0;

	(void)state;
	engine_start(&e, "relay://link/engine/e1");
	e.every_call = true;
	e.on_call = check_every_signature;
	e.arg = &n;
	cfg = engine_link_config(&e);
	l = link_up(&e, &cfg, &o);
	for (size_t i = 0; i < 3; i++)
		call_number(l, &small[i], i, 0);
	buffer_init(&body, 0, true);
	put_noise(&body, LARGE_BYTES);
	assert_int_equal(rpc_link_call(l, RPC_OP_ENCRYPT, &body, 0, on_reply,
	    &large, &large.id), RC_OK);
	assert_int_equal(buffer_len(&body), 0);
	rpc_link_cancel(l, large.id);
	assert_int_equal(rpc_link_call(l, RPC_OP_CHALLENGE, &body, 0, on_reply,
	    &asked, &asked.id), RC_OK);
	sign_and_call(l, &e, RPC_OP_CREATE_KEY, &fresh);
	loop_until(e.loop, &fresh.done);
	assert_int_equal(n, 4);
	for (size_t i = 1; i < e.n_seen; i++)
		assert_true(e.seen_id[i] > e.seen_id[i - 1]);
	assert_false(o.down);
	rpc_link_close(&l);
	buffer_fini(&body);
	engine_stop(&e);
}

/* An engine that knows no Challenge from us, or says nothing of signatures. */
struct greeting {
	enum rpc_status	status;
	struct span	body;
	const char	*why;		/* NULL: the link comes up */
};

static void
answer_greeting(struct engine *e, const struct rpc_call_frame *f,
    struct span payload)
{
	const struct greeting *g = e->arg;
	struct buffer body;

	(void)payload;
	assert_int_equal(f->signature.len, 0);
	if (!span_eq_str(f->op, "Challenge")) {
		engine_reply(e, f->id, RPC_STATUS_OK, NULL, false);
		return;
	}
	buffer_init(&body, 0, false);
	buffer_put(&body, g->body.p, g->body.len);
	engine_reply(e, f->id, g->status, g->body.len != 0 ? &body : NULL, false);
	buffer_fini(&body);
}

#define THE_CHALLENGE	"\xa9" "challenge\xc4\x20" ENGINE_CHALLENGE
static const struct greeting greetings[] = {
	{ RPC_STATUS_NOT_ALLOWED, { NULL, 0 }, NULL },
	{ RPC_STATUS_UNKNOWN_OP, { NULL, 0 }, NULL },
	{ RPC_STATUS_OK, SPAN_LIT("\x81" THE_CHALLENGE), NULL },
	{ RPC_STATUS_OK, SPAN_LIT("\x82" THE_CHALLENGE "\xaa" "every_call\xc2"),
	    NULL },
	{ RPC_STATUS_OK, SPAN_LIT("\x80"), "challenge cannot be used" },
	{ RPC_STATUS_OK, SPAN_LIT("\x81\xa9" "challenge\xc4\x03" "abc"),
	    "challenge cannot be used" },
	{ RPC_STATUS_OK, SPAN_LIT("\x81\xaa" "every_call\xc3"),
	    "challenge cannot be used" },
	{ RPC_STATUS_INTERNAL, { NULL, 0 }, "challenge cannot be used" },
	{ RPC_STATUS_OVERLOADED, { NULL, 0 }, "challenge cannot be used" },
};

static void
test_what_the_engine_says_of_signatures(void **state)
{
	struct rpc_link_config cfg;
	struct rpc_link *l;
	struct engine e;

	(void)state;
	for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
		struct greeting g = greetings[i];
		struct owner o = { 0 };
		struct asker a = { 0 };

		engine_start(&e, "relay://link/engine/e1");
		e.own_challenge = true;
		e.on_call = answer_greeting;
		e.arg = &g;
		cfg = engine_link_config(&e);
		l = rpc_link_open(e.loop, &cfg, &link_ops, &o);
		loop_until(e.loop, g.why == NULL ? &o.up : &o.down);
		if (g.why == NULL) {
			call_number(l, &a, 1, 0);
			loop_until(e.loop, &a.done);
			assert_int_equal(a.rc, RC_OK);
		} else {
			assert_false(o.up);
			assert_non_null(strstr(o.why, g.why));
		}
		assert_int_equal(e.seen_id[0], 1);
		assert_string_equal(e.seen_op[0], "Challenge");
		rpc_link_close(&l);
		engine_stop(&e);
	}
}

/* ---- sent ---- */

/* When the link is lost each asker can tell whether its call left whole. */
static void
test_sent_is_told_when_the_link_is_lost(void **state)
{
	struct owner o = { 0 };
	struct asker small = { 0 }, large = { 0 };
	struct rpc_link_config cfg;
	struct rpc_link *l;
	struct buffer body;
	struct engine e;

	(void)state;
	engine_start(&e, "relay://link/engine/e1");
	cfg = engine_link_config(&e);
	cfg.send_buffer_bytes = TINY_BYTES;
	l = link_up(&e, &cfg, &o);
	call_number(l, &small, 1, 0);
	assert_false(rpc_link_call_sent(l, small.id));
	loop_until_count(e.loop, &e.n_seen, 1);
	assert_true(rpc_link_call_sent(l, small.id));
	net_stream_read_pause(e.stream);
	buffer_init(&body, 0, false);
	put_noise(&body, LARGE_BYTES);
	assert_int_equal(rpc_link_call(l, RPC_OP_ENCRYPT, &body, 0, on_reply,
	    &large, &large.id), RC_OK);
	large.link = l;
	for (int i = 0; i < 4; i++)
		loop_turn(e.loop, false);
	engine_cut(&e);
	loop_until(e.loop, &o.down);
	assert_int_equal(small.rc, RC_UNAVAILABLE);
	assert_int_equal(large.rc, RC_UNAVAILABLE);
	assert_true(small.sent_at_end);
	assert_false(large.sent_at_end);
	assert_false(rpc_link_is_up(l));
	/* A lost link takes nothing, and the body stays with the caller. */
	buffer_clear(&body);
	rpc_put_nil(&body);
	assert_int_equal(rpc_link_call(l, RPC_OP_PING, &body, 0, on_reply,
	    &small, &small.id), RC_UNAVAILABLE);
	assert_int_equal(buffer_len(&body), 1);
	rpc_link_cancel(l, large.id);
	rpc_link_close(&l);
	buffer_fini(&body);
	engine_stop(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large_call_through_a_tiny_buffer),
		cmocka_unit_test(test_60000_fields),
		cmocka_unit_test(test_60000_fields_through_tiny_buffers),
		cmocka_unit_test(test_replies_in_any_order_and_interleaved),
		cmocka_unit_test(test_limits_keep_the_body_and_send_nothing),
		cmocka_unit_test(test_signed_call),
		cmocka_unit_test(test_every_call_is_signed_when_the_engine_wants_it),
		cmocka_unit_test(test_what_the_engine_says_of_signatures),
		cmocka_unit_test(test_sent_is_told_when_the_link_is_lost),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
