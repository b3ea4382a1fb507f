/*
 * e3/pair_ops.c, change.c and Reseal over real links: a rotation in its two
 * records, what each state does, limits, and the move to another root key.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "e3/record.h"
#include "e3_stage.h"
#include "lib/rpc/message.h"

#define PAIRS_MAX	16

struct pairs {
	bool		done;
	enum rpc_status	status;
	uint64_t	version;
	size_t		n;
	struct {
		char		id[32], curve[8], state[16];
		uint64_t	number;
	} v[PAIRS_MAX];
};

static void
text_of(const struct rpc_value *v, char *out, size_t size)
{
	struct span s;

	assert_true(rpc_get_bytes(v, &s));
	assert_true(span_copy(s, out, size));
}

static void
take_pairs(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	const struct rpc_value *list = rpc_map_get(body, "pairs");
	struct pairs *p = arg;

	assert_int_equal(rc, RC_OK);
	assert_false(more);
	p->done = true;
	if ((p->status = status) != RPC_STATUS_OK)
		return;
	assert_true(rpc_get_u64(rpc_map_get(body, "version"), &p->version));
	p->n = rpc_array_len(list);
	assert_in_range(p->n, 1, PAIRS_MAX);
	for (size_t i = 0; i < p->n; i++) {
		const struct rpc_value *v = rpc_array_at(list, i);

		assert_int_equal(rpc_array_len(v), 5);
		text_of(rpc_array_at(v, 0), p->v[i].id, 32);
		text_of(rpc_array_at(v, 1), p->v[i].curve, 8);
		text_of(rpc_array_at(v, 3), p->v[i].state, 16);
		assert_true(rpc_get_u64(rpc_array_at(v, 2),
		    &p->v[i].number));
	}
}

/* "r1 seals, k1 opens": what ListPairs shows, in its order. */
static void
check_pairs(struct stage *s, const char *app, const char *want,
    struct pairs *p)
{
	char got[512] = "";
	struct buffer b;
	uint64_t id;

	memset(p, 0, sizeof(*p));
	stage_texts(&b, "app", app, NULL, NULL);
	assert_int_equal(rpc_link_call(s->clients[ADMIN].link,
	    RPC_OP_LIST_PAIRS, &b, STAGE_WAIT_MS, take_pairs, p, &id), RC_OK);
	stage_wait(s, &p->done);
	buffer_fini(&b);
	assert_int_equal(p->status, RPC_STATUS_OK);
	for (size_t i = 0; i < p->n; i++) {
		(void)snprintf(got + strlen(got), 24, "%s%s %s",
		    i == 0 ? "" : ", ", p->v[i].curve, p->v[i].state);
		assert_int_equal(strlen(p->v[i].id), 5 + 12);
		assert_int_equal(strncmp(p->v[i].id, "pair_", 5), 0);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(p->v[i].id, p->v[k].id);
			assert_true(p->v[i].number > p->v[k].number);
		}
	}
	assert_string_equal(got, want);
}

/* A change; when the engine took it, its record is loaded, too. */
static enum rpc_status
change(struct stage *s, enum rpc_op op, const char *app, const char *key,
    const char *text)
{
	enum rpc_status status;
	struct answer a;
	struct buffer b;

	stage_texts(&b, "app", app, key, text);
	status = stage_call_honest(s, op, &b, &a);
	if (status == RPC_STATUS_OK)
		assert_int_equal(stage_load(s, &a.bytes), RPC_STATUS_OK);
	buffer_fini(&a.bytes);
	return (status);
}

static void
seal(struct stage *s, const char *app, enum rpc_curve curve,
    struct answer *token)
{
	const struct rpc_encrypt e = { .app = span_of(app), .curve = curve,
	    .n_fields = 1 };
	const struct rpc_field f = { .bytes = SPAN_LIT("4111") };
	struct buffer b;

	buffer_init(&b, 0, true);
	rpc_encrypt_put(&b, &e);
	assert_int_equal(rpc_encrypt_put_field(&b, &f), RC_OK);
	assert_int_equal(stage_call(s, WORKER, RPC_OP_ENCRYPT, &b, token),
	    RPC_STATUS_OK);
}

struct opened {
	bool			done;
	enum rpc_open_status	status;
};

static void
take_opened(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct rpc_opened one;
	struct opened *o = arg;

	assert_int_equal(rc, RC_OK);
	assert_int_equal(status, RPC_STATUS_OK);
	assert_false(more);
	assert_int_equal(rpc_opened_at(body, 0, &one), RC_OK);
	assert_true((one.status == RPC_OPEN_OK) ==
	    span_eq_str(one.bytes, "4111"));
	o->status = one.status;
	o->done = true;
}

static bool
opens(struct stage *s, const char *app, const struct answer *token)
{
	const struct rpc_decrypt d = { .app = span_of(app), .n_tokens = 1 };
	struct opened o = { false, RPC_OPEN_OK };
	struct buffer b;
	uint64_t id;

	buffer_init(&b, 0, true);
	rpc_decrypt_put(&b, &d);
	assert_int_equal(rpc_decrypt_put_token(&b, (struct span){
	    buffer_data(&token->bytes), buffer_len(&token->bytes) },
	    (struct span){ NULL, 0 }), RC_OK);
	assert_int_equal(rpc_link_call(s->clients[WORKER].link,
	    RPC_OP_DECRYPT, &b, STAGE_WAIT_MS, take_opened, &o, &id), RC_OK);
	stage_wait(s, &o.done);
	buffer_fini(&b);
	if (o.status != RPC_OPEN_OK)
		assert_int_equal(o.status, RPC_OPEN_WRONG_APP_OR_CHANGED);
	return (o.status == RPC_OPEN_OK);
}

static const struct e3_key_pair *
sealing(struct stage *s, const char *app, enum rpc_curve curve)
{
	return (e3_app_sealing_pair(e3_keyring_app(s->engine.keyring,
	    span_of(app)), curve));
}

/* n+1: the new pair opens and seals nothing.  n+2: it seals, the old opens.
 * Then the old one goes, in two steps, of which the first can be undone. */
static void
test_rotation(void **state)
{
	uint8_t was[2][SCHEME_POINT_BYTES];
	struct answer old[2], now;
	struct pairs p;
	struct stage s;
	char app[64];

	(void)state;
	stage_open_with_app(&s, app);
	for (int i = 0; i < 2; i++) {
		seal(&s, app, (enum rpc_curve)i, &old[i]);
		memcpy(was[i], sealing(&s, app, (enum rpc_curve)i)->pub.
		    compressed, SCHEME_POINT_BYTES);
	}
	check_pairs(&s, app, "r1 seals, k1 seals", &p);
	assert_int_equal(change(&s, RPC_OP_ROTATE_KEYS, app, NULL, NULL),
	    RPC_STATUS_OK);
	check_pairs(&s, app, "r1 seals, k1 seals, r1 opens, k1 opens", &p);
	assert_int_equal(p.version, 2);
	for (int i = 0; i < 2; i++)
		assert_memory_equal(was[i], sealing(&s, app,
		    (enum rpc_curve)i)->pub.compressed, SCHEME_POINT_BYTES);

	assert_int_equal(change(&s, RPC_OP_ACTIVATE_KEY, app, "pair",
	    p.v[2].id), RPC_STATUS_OK);
	check_pairs(&s, app, "r1 opens, k1 seals, r1 seals, k1 opens", &p);
	assert_memory_not_equal(was[0], sealing(&s, app,
	    RPC_CURVE_R1)->pub.compressed, SCHEME_POINT_BYTES);
	assert_memory_equal(was[1], sealing(&s, app,
	    RPC_CURVE_K1)->pub.compressed, SCHEME_POINT_BYTES);
	seal(&s, app, RPC_CURVE_R1, &now);
	assert_true(opens(&s, app, &now));
	assert_true(opens(&s, app, &old[0]));
	assert_int_equal(change(&s, RPC_OP_ACTIVATE_KEY, app, "pair",
	    p.v[2].id), RPC_STATUS_CONFLICT);
	assert_int_equal(change(&s, RPC_OP_RETIRE_KEY, app, "pair",
	    p.v[2].id), RPC_STATUS_CONFLICT);
	assert_int_equal(change(&s, RPC_OP_DESTROY_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_CONFLICT);

	assert_int_equal(change(&s, RPC_OP_RETIRE_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_OK);
	check_pairs(&s, app, "r1 retired, k1 seals, r1 seals, k1 opens", &p);
	assert_false(opens(&s, app, &old[0]));
	assert_true(opens(&s, app, &now));
	assert_true(opens(&s, app, &old[1]));
	assert_int_equal(change(&s, RPC_OP_RETIRE_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_CONFLICT);
	assert_int_equal(change(&s, RPC_OP_ACTIVATE_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_OK);
	check_pairs(&s, app, "r1 opens, k1 seals, r1 seals, k1 opens", &p);
	assert_true(opens(&s, app, &old[0]));

	assert_int_equal(change(&s, RPC_OP_RETIRE_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_OK);
	assert_int_equal(change(&s, RPC_OP_DESTROY_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_OK);
	assert_int_equal(change(&s, RPC_OP_DESTROY_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_NO_SUCH_KEY);
	assert_int_equal(change(&s, RPC_OP_ACTIVATE_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_NO_SUCH_KEY);
	check_pairs(&s, app, "k1 seals, r1 seals, k1 opens", &p);
	assert_false(opens(&s, app, &old[0]));
	assert_true(opens(&s, app, &now));
	assert_true(opens(&s, app, &old[1]));
	for (int i = 0; i < 2; i++)
		buffer_fini(&old[i].bytes);
	buffer_fini(&now.bytes);
	stage_close(&s);
}

/* At most 8 pairs of a curve open tokens. */
static void
test_ninth_pair(void **state)
{
	struct answer first;
	struct pairs p;
	struct stage s;
	char app[64];

	(void)state;
	stage_open_with_app(&s, app);
	seal(&s, app, RPC_CURVE_R1, &first);
	for (int i = 0; i < 7; i++)
		assert_int_equal(change(&s, RPC_OP_ROTATE_KEYS, app, "curve",
		    "r1"), RPC_STATUS_OK);
	assert_int_equal(change(&s, RPC_OP_ROTATE_KEYS, app, "curve", "r1"),
	    RPC_STATUS_CONFLICT);
	assert_int_equal(change(&s, RPC_OP_ROTATE_KEYS, app, NULL, NULL),
	    RPC_STATUS_CONFLICT);
	assert_int_equal(change(&s, RPC_OP_ROTATE_KEYS, app, "curve", "k1"),
	    RPC_STATUS_OK);
	check_pairs(&s, app, "r1 seals, k1 seals, r1 opens, r1 opens, "
	    "r1 opens, r1 opens, r1 opens, r1 opens, r1 opens, k1 opens", &p);
	/* The oldest of eight still opens: within the cap of tries. */
	assert_int_equal(change(&s, RPC_OP_ACTIVATE_KEY, app, "pair",
	    p.v[8].id), RPC_STATUS_OK);
	assert_true(opens(&s, app, &first));
	assert_int_equal(change(&s, RPC_OP_RETIRE_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_OK);
	assert_int_equal(change(&s, RPC_OP_ROTATE_KEYS, app, "curve", "r1"),
	    RPC_STATUS_OK);
	assert_int_equal(change(&s, RPC_OP_ACTIVATE_KEY, app, "pair",
	    p.v[0].id), RPC_STATUS_CONFLICT);
	assert_int_equal(s.engine.candidates_capped, 0);
	assert_true(s.engine.candidates >= 8);
	buffer_fini(&first.bytes);
	stage_close(&s);
}

static void
test_bad_requests(void **state)
{
	static const struct {
		enum rpc_op	op;
		const char	*key, *text;
		enum rpc_status	status;
	} cases[] = {
		{ RPC_OP_ROTATE_KEYS, "curve", "", RPC_STATUS_BAD_REQUEST },
		{ RPC_OP_ROTATE_KEYS, "curve", "R1", RPC_STATUS_BAD_REQUEST },
		{ RPC_OP_ROTATE_KEYS, "curve", "p521", RPC_STATUS_BAD_REQUEST },
		{ RPC_OP_ACTIVATE_KEY, NULL, NULL, RPC_STATUS_BAD_REQUEST },
		{ RPC_OP_RETIRE_KEY, NULL, NULL, RPC_STATUS_BAD_REQUEST },
		{ RPC_OP_DESTROY_KEY, NULL, NULL, RPC_STATUS_BAD_REQUEST },
		{ RPC_OP_SET_ROLES, NULL, NULL, RPC_STATUS_BAD_REQUEST },
		{ RPC_OP_ACTIVATE_KEY, "pair", "", RPC_STATUS_NO_SUCH_KEY },
		{ RPC_OP_RETIRE_KEY, "pair", "pair_", RPC_STATUS_NO_SUCH_KEY },
		{ RPC_OP_DESTROY_KEY, "pair", "pair_000000000000",
		    RPC_STATUS_NO_SUCH_KEY },
	};
	struct pairs p;
	struct stage s;
	char app[64];

	(void)state;
	stage_open_with_app(&s, app);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(change(&s, cases[i].op, app, cases[i].key,
		    cases[i].text), cases[i].status);
	assert_int_equal(change(&s, RPC_OP_ROTATE_KEYS, "app_ffffffffffff",
	    NULL, NULL), RPC_STATUS_NO_SUCH_APP);
	check_pairs(&s, app, "r1 seals, k1 seals", &p);
	assert_int_equal(p.version, 1);
	stage_close(&s);
}

/* Which root key opens this record: 0 the present one, 1 the next one. */
static int
opened_by(struct stage *s, const struct buffer *record)
{
	const uint8_t *keys[] = { s->engine.root_key, s->engine.next_root_key };
	const struct span bytes = { buffer_data(record), buffer_len(record) };
	int by = -1;

	for (int i = 0; i < 2; i++) {
		struct e3_app *app;
		enum rc rc = e3_record_open(s->engine.crypto, keys[i], bytes,
		    &app);

		if (rc == RC_OK) {
			assert_int_equal(by, -1);
			by = i;
		} else {
			assert_int_equal(rc, RC_CORRUPT);
		}
		e3_app_unref(&app);
	}
	return (by);
}

static enum rpc_status
reseal(struct stage *s, const char *app, struct answer *a)
{
	struct buffer b;

	stage_texts(&b, "app", app, NULL, NULL);
	return (stage_call(s, HELPER, RPC_OP_RESEAL, &b, a));
}

/* An app moves to the next root key by Reseal alone, once, and never back;
 * new ones are born there. */
static void
test_reseal(void **state)
{
	static const uint8_t next[SCHEME_SECRET_BYTES] = "the next root key";
	struct answer a, token;
	struct buffer b;
	struct stage s;
	char app[64];

	(void)state;
	stage_open_with_app(&s, app);
	seal(&s, app, RPC_CURVE_R1, &token);
	assert_int_equal(reseal(&s, app, NULL), RPC_STATUS_CONFLICT);
	s.engine.next_root_key = next;
	assert_int_equal(reseal(&s, "app_ffffffffffff", NULL),
	    RPC_STATUS_NO_SUCH_APP);

	stage_texts(&b, "app", app, NULL, NULL);
	assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_KEY, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(opened_by(&s, &a.bytes), 0);
	assert_int_equal(stage_load(&s, &a.bytes), RPC_STATUS_OK);
	buffer_fini(&a.bytes);

	assert_int_equal(reseal(&s, app, &a), RPC_STATUS_OK);
	assert_int_equal(a.number, 3);
	assert_int_equal(opened_by(&s, &a.bytes), 1);
	assert_false(e3_keyring_app(s.engine.keyring,
	    span_of(app))->under_next);
	assert_int_equal(stage_load(&s, &a.bytes), RPC_STATUS_OK);
	assert_true(e3_keyring_app(s.engine.keyring,
	    span_of(app))->under_next);
	buffer_fini(&a.bytes);
	assert_true(opens(&s, app, &token));
	assert_int_equal(reseal(&s, app, NULL), RPC_STATUS_CONFLICT);

	stage_texts(&b, "app", app, NULL, NULL);
	assert_int_equal(stage_call_honest(&s, RPC_OP_ROTATE_KEYS, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(opened_by(&s, &a.bytes), 1);
	buffer_fini(&a.bytes);
	stage_texts(&b, "name", "born late", NULL, NULL);
	assert_int_equal(stage_call_honest(&s, RPC_OP_CREATE_APP, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(opened_by(&s, &a.bytes), 1);
	assert_int_equal(stage_load(&s, &a.bytes), RPC_STATUS_OK);

	/* The next key has become the present one. */
	s.engine.root_key = next;
	s.engine.next_root_key = NULL;
	assert_int_equal(stage_load(&s, &a.bytes), RPC_STATUS_OK);
	buffer_fini(&a.bytes);
	buffer_fini(&token.bytes);
	stage_close(&s);
}

/* What moved to the next root key does not go back, in no later version. */
static void
test_no_way_back(void **state)
{
	static const struct {
		bool	under_next;
		enum rc	want;
	} later[] = { { false, RC_OK }, { true, RC_OK }, { false, RC_DENIED },
	    { true, RC_OK } };
	struct e3_app *app, *now;
	struct stage s;
	char id[64];

	(void)state;
	stage_open_with_app(&s, id);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		now = e3_keyring_app(s.engine.keyring, span_of(id));
		assert_int_equal(e3_app_copy(now, 0, 0, &app), RC_OK);
		app->version = now->version + 1;
		app->under_next = later[i].under_next;
		assert_int_equal(e3_keyring_put(s.engine.keyring, &app),
		    later[i].want);
	}
	stage_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_ninth_pair),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_reseal),
		cmocka_unit_test(test_no_way_back),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
