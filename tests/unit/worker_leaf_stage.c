/* worker_leaf_stage.c - see worker_leaf_stage.h. */
#include "tests/unit/worker_leaf_stage.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/x509v3.h>

#include "lib/base/clock.h"
#include "tests/unit/test_loop.h"

/* ---- the fixture ---- */

int
leaf_stage_setup(void **state)
{
	struct leaf_stage *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	test_clock_ahead_ms = 0;
	engine_pair_start(&f->engines);
	leaf_signer_start(&f->signer, &f->engines);
	f->signer.life_ms = LEAF_LIFE_MS;
	*state = f;
	return (0);
}

int
leaf_stage_teardown(void **state)
{
	struct leaf_stage *f = *state;

	leaf_cache_free(&f->leaves);
	assert_null(f->leaves);
	egress_ca_free(&f->ca);
	leaf_signer_stop(&f->signer);
	engine_pair_stop(&f->engines);
	free(f);
	return (0);
}

void
leaf_begin(struct leaf_stage *f, size_t n_engines, unsigned timeout_ms, unsigned max)
{
	engine_pair_pool(&f->engines, n_engines, timeout_ms);
	f->ca = egress_ca_new(f->engines.lab.loop, f->engines.pool);
	f->leaves = leaf_cache_new(f->engines.pool, f->ca, max);
	assert_non_null(f->leaves);
	engine_pair_until_up(&f->engines, n_engines);
}

size_t
leaf_calls(const struct leaf_stage *f)
{
	return (f->engines.one.n_calls + f->engines.two.n_calls -
	    f->signer.n_told);
}

static void
got(struct leaf_ask *a, enum leaf_fault fault, SSL_CTX *ctx)
{
	assert_int_equal(ctx != NULL, fault == LEAF_OK);
	a->fault = fault;
	if ((a->ctx = ctx) != NULL)
		assert_int_equal(SSL_CTX_up_ref(ctx), 1);
}

static void
on_leaf(void *arg, enum leaf_fault fault, SSL_CTX *ctx)
{
	struct leaf_ask *a = arg;

	assert_false(a->ended);
	a->ended = true;
	got(a, fault, ctx);
	if (a->count != NULL)
		(*a->count)++;
	leaf_cancel(a->f->leaves, a->cancels);
	if (a->starts != NULL)
		(void)leaf_ask_start(a->starts, a->f, a->host);
}

bool
leaf_ask_start(struct leaf_ask *a, struct leaf_stage *f, const char *host)
{
	enum leaf_fault fault = LEAF_DENIED;
	SSL_CTX *ctx = NULL;

	a->f = f;
	a->id = leaf_take(f->leaves, host, on_leaf, a, &fault, &ctx);
	assert_false(a->ended);
	if (a->id == 0)
		got(a, fault, ctx);
	return (a->id != 0);
}

void
leaf_ask_end(struct leaf_ask *a)
{
	SSL_CTX_free(a->ctx);
	memset(a, 0, sizeof(*a));
}

enum leaf_fault
leaf_fault_of(struct leaf_stage *f, const char *host, bool called)
{
	struct leaf_ask a = { .id = 0 };
	size_t n = leaf_calls(f);
	enum leaf_fault fault;
	bool waits = leaf_ask_start(&a, f, host);

	if (waits != called)
		fail_msg("%s: %s", host, waits ? "not kept" : "not asked for");
	if (waits)
		loop_until(f->engines.lab.loop, &a.ended);
	assert_int_equal(leaf_calls(f), n + called);
	fault = a.fault;
	assert_int_equal(leaf_is_kept(f->leaves, host), fault == LEAF_OK);
	leaf_ask_end(&a);
	return (fault);
}

SSL_CTX *
leaf_kept(struct leaf_stage *f, const char *host)
{
	enum leaf_fault fault;
	SSL_CTX *ctx;

	assert_int_equal(leaf_take(f->leaves, host, on_leaf, NULL, &fault, &ctx),
	    0);
	assert_int_equal(fault, LEAF_OK);
	assert_non_null(ctx);
	return (ctx);
}

/* ---- what a context is ---- */

void
leaf_check_ctx(struct leaf_stage *f, SSL_CTX *ctx, const char *host, int n_chain)
{
	X509 *leaf = SSL_CTX_get0_certificate(ctx);
	STACK_OF(X509) *chain = NULL;

	assert_non_null(leaf);
	assert_int_equal(X509_check_host(leaf, host, 0, 0, NULL), 1);
	assert_int_equal(X509_verify(leaf, f->signer.ca->key), 1);
	assert_int_equal(SSL_CTX_check_private_key(ctx), 1);
	assert_int_equal(SSL_CTX_get0_chain_certs(ctx, &chain), 1);
	assert_int_equal(chain == NULL ? 0 : sk_X509_num(chain), n_chain);
	if (n_chain != 0)
		assert_int_equal(X509_cmp(sk_X509_value(chain, 0),
		    f->signer.ca->cert), 0);
	/* Nothing of a session is kept or handed out. */
	assert_int_equal(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
	assert_true((SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET) != 0);
	assert_int_equal(SSL_CTX_get_num_tickets(ctx), 0);
	assert_true(SSL_CTX_get_min_proto_version(ctx) >= TLS1_2_VERSION);
}
