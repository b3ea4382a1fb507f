/* tests/unit/e3_fixture.c - see e3_fixture.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "e3_fixture.h"
#include "lib/base/clock.h"
#include "lib/base/object.h"

static const uint8_t test_root_key[SCHEME_SECRET_BYTES] = "test root key, 32 bytes long....";

/* Private keys of spec/ciphertext-vectors.json. */
static const char *const vector_keys[] = {
	"788b55a0e63ebb46076a0df4eaba0df34da256fed310504248885d2663e7d8f6",
	"6cdcc9357f96f7d8c449aa26d4e241e7091d5a35d23e0ac2998b2ecbe996f912",
};

static void
on_pieces(void *arg, struct sched_job *job, struct sched_pieces *pieces,
    bool done)
{
	struct fixture *f = arg;
	struct e3_call *c = e3_call_of(job);
	struct sched_piece *p;
	unsigned n = 0;

	STAILQ_FOREACH(p, pieces, next)
		n++;
	STAILQ_CONCAT(&c->served.to_send, pieces);
	if (!done) {
		sched_taken(f->engine.sched, job, n);
		return;
	}
	c->served.done = true;
	f->last = c;
	e3_dispatch_done(&f->engine, c);
	STAILQ_CONCAT(&c->served.to_send, &c->served.job.made);
}

void
fixture_start(struct fixture *f, unsigned threads)
{
	struct rpc_server_config config = { .sched.threads = threads,
	    .sched.max_jobs = 1000, .sched.on_pieces = on_pieces,
	    .sched.arg = f };

	memset(f, 0, sizeof(*f));
	if (!CRYPTO_secure_malloc_initialized())
		assert_int_not_equal(CRYPTO_secure_malloc_init(1 << 20, 32),
		    0);
	f->loop = loop_new();
	f->engine.root_key = test_root_key;
	f->engine.keyring = e3_keyring_new();
	f->engine.crypto = scheme_crypto_new();
	assert_non_null(f->engine.crypto);
	e3_engine_config(&config);
	f->engine.sched = sched_new(f->loop, &config.sched);
	assert_non_null(f->engine.sched);
	f->engine.tables = scheme_p256_tables_new(SCHEME_P256_TABLES_MAX);
	assert_non_null(f->engine.tables);
	f->engine.pairs = scheme_ready_pairs_new();
	assert_non_null(f->engine.pairs);
	f->engine.ready = true;
	f->peer.role = RPC_ROLE_WORKER;
	f->peer.sched = f->engine.sched;
	f->peer.outlet = sched_outlet_open(f->engine.sched, "worker/w", 1);
	TAILQ_INIT(&f->peer.calls);
}

void
fixture_stop(struct fixture *f)
{
	sched_outlet_close(f->engine.sched, &f->peer.outlet);
	sched_free(&f->engine.sched);
	scheme_ready_pairs_free(&f->engine.pairs);
	scheme_p256_tables_free(&f->engine.tables);
	meters_fini(&f->engine.meters);
	meters_fini(&f->engine.leaf_meters);
	e3_keyring_free(&f->engine.keyring);
	scheme_crypto_free(&f->engine.crypto);
	loop_free(&f->loop);
}

static void
add_app(struct fixture *f, const char *id, bool vectors)
{
	struct scheme_ecdh *ecdh = scheme_crypto_ecdh(f->engine.crypto);
	struct e3_app *app;

	assert_int_equal(e3_app_new(2, 0, &app), RC_OK);
	assert_true(span_copy(span_of(id), app->id, sizeof(app->id)));
	app->version = 1;
	for (unsigned i = 0; i < 2; i++) {
		struct e3_key_pair *p = &app->pairs[i];

		p->curve = i == 0 ? RPC_CURVE_R1 : RPC_CURVE_K1;
		p->state = E3_PAIR_SEALS;
		p->number = i + 1;
		if (!vectors) {
			assert_int_equal(scheme_ecdh_generate(ecdh, p->curve,
			    p->secret, &p->pub), RC_OK);
			continue;
		}
		assert_int_equal(hex_decode(span_of(vector_keys[i]),
		    p->secret, SCHEME_SECRET_BYTES), RC_OK);
		assert_int_equal(scheme_ecdh_public(ecdh, p->curve, p->secret,
		    &p->pub), RC_OK);
	}
	assert_int_equal(e3_keyring_put(f->engine.keyring, &app), RC_OK);
}

void
fixture_app(struct fixture *f, const char *id)
{
	add_app(f, id, true);
}

void
fixture_other_app(struct fixture *f, const char *id)
{
	add_app(f, id, false);
}

/* ---- calls ---- */

struct e3_call *
fixture_begin(struct fixture *f, const char *op, struct buffer *body)
{
	static uint64_t id;
	const struct rpc_op_info *info = rpc_op_lookup(span_of(op));
	struct rpc_server_config config = { 0 };
	struct rpc_served *served;
	enum rpc_status status;
	struct buffer frame;
	struct e3_call *c;

	e3_engine_config(&config);
	assert_non_null(info);
	buffer_init(&frame, 0, true);
	assert_int_equal(rpc_call_frame_write(&frame, ++id, info->op,
	    body == NULL ? (struct span){ NULL, 0 } : (struct span){
	    buffer_data(body), buffer_len(body) },
	    (struct span){ NULL, 0 }), RC_OK);
	if (body != NULL)
		buffer_fini(body);
	assert_int_equal(rpc_served_new(config.call_bytes,
	    config.ops->on_free, &frame, &f->peer, &served), RC_OK);
	c = e3_call_of(&served->job);
	if (f->permitted == NULL)
		e3_dispatch(&f->engine, c);
	else if ((status = f->permitted(&f->engine, c)) != RPC_STATUS_OK)
		rpc_served_fail(served, status);
	if (!c->served.submitted) {
		c->served.done = true;
		STAILQ_CONCAT(&c->served.to_send, &c->served.job.made);
	}
	return (c);
}

void
fixture_end(struct e3_call **c)
{
	struct rpc_served *served = &(*c)->served;

	*c = NULL;
	rpc_served_free(&served);
}

void
fixture_call(struct fixture *f, const char *op, struct buffer *body,
    struct reply *r)
{
	struct e3_call *c = fixture_begin(f, op, body);
	uint64_t end_ms = clock_mono_ms() + 20000;
	struct sched_piece *p;

	while (!c->served.done) {
		loop_turn(f->loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	memset(r, 0, sizeof(*r));
	STAILQ_FOREACH(p, &c->served.to_send, next) {
		struct rpc_reply_frame *frame = &r->frames[r->n];
		struct span payload;
		size_t used;

		assert_true(r->n < REPLY_PIECES_MAX);
		buffer_move(&r->raw[r->n], &p->frame);
		assert_int_equal(rpc_frame_next(buffer_data(&r->raw[r->n]),
		    buffer_len(&r->raw[r->n]), RPC_FRAME_BYTES_MAX, &payload,
		    &used), RC_OK);
		assert_int_equal(used, buffer_len(&r->raw[r->n]));
		assert_int_equal(rpc_reply_frame_read(frame, payload), RC_OK);
		assert_int_equal(frame->id, c->served.frame.id);
		assert_int_equal(frame->more, STAILQ_NEXT(p, next) != NULL);
		if (used > r->longest)
			r->longest = used;
		r->status = frame->status;
		r->n++;
	}
	assert_true(r->n != 0);
	fixture_end(&c);
}

void
reply_fini(struct reply *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		rpc_reply_frame_fini(&r->frames[i]);
		buffer_fini(&r->raw[i]);
	}
	r->n = 0;
}

const struct rpc_value *
reply_array(const struct reply *r, size_t *i)
{
	for (unsigned k = 0; k < r->n; k++) {
		size_t n = rpc_array_len(r->frames[k].body);

		assert_true(n != SIZE_MAX);
		if (*i < n)
			return (r->frames[k].body);
		*i -= n;
	}
	fail_msg("the reply has no entry %zu more", *i);
	return (NULL);
}

void
fixture_seal(struct fixture *f, const char *app, enum rpc_curve curve,
    enum rpc_field_type type, const char *value, char *text, size_t size)
{
	fixture_seal_field(f, app, curve, &(struct rpc_field){ .type = type,
	    .bytes = span_of(value) }, text, size);
}

void
fixture_seal_field(struct fixture *f, const char *app, enum rpc_curve curve,
    const struct rpc_field *field, char *text, size_t size)
{
	struct rpc_encrypt e = { .app = span_of(app), .curve = curve,
	    .n_fields = 1 };
	struct rpc_sealed sealed;
	struct buffer b;
	struct reply r;

	buffer_init(&b, 0, true);
	rpc_encrypt_put(&b, &e);
	assert_int_equal(rpc_encrypt_put_field(&b, field), RC_OK);
	fixture_call(f, "Encrypt", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	assert_int_equal(rpc_sealed_at(r.frames[0].body, 0, &sealed), RC_OK);
	assert_int_equal(sealed.status, RPC_SEALED);
	assert_true(span_copy(sealed.bytes, text, size));
	reply_fini(&r);
}

enum rpc_open_status
fixture_open(struct fixture *f, const char *app, struct span token,
    enum rpc_field_type *type, char *value, size_t size)
{
	struct rpc_decrypt d = { .app = span_of(app),
	    .address = SPAN_LIT("127.0.0.1"), .n_tokens = 1 };
	struct rpc_opened opened;
	struct buffer b;
	struct reply r;

	buffer_init(&b, 0, true);
	rpc_decrypt_put(&b, &d);
	assert_int_equal(rpc_decrypt_put_token(&b, token,
	    (struct span){ NULL, 0 }), RC_OK);
	fixture_call(f, "Decrypt", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	assert_int_equal(rpc_opened_at(r.frames[0].body, 0, &opened), RC_OK);
	*type = opened.type;
	assert_true(opened.bytes.len < size);
	if (opened.bytes.len != 0)
		memcpy(value, opened.bytes.p, opened.bytes.len);
	value[opened.bytes.len] = '\0';
	reply_fini(&r);
	return (opened.status);
}
