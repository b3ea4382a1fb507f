/*
 * worker/origin_pool.c: which relays share a connection, and which never do:
 * other hosts, names, trust, apps, with TLS and without.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/object.h"
#include "tests/unit/test_loop.h"
#include "tests/unit/worker_origin_pool.h"

static void
test_identities(void **state)
{
	struct pool_bench *f = *state;
	struct relay other[5];
	char *pem[2];
	struct origin_conn *c;
	struct dest d;
	char b[] = "b.test";

	lab_name(&f->lab, "b.test", "127.0.0.2");
	pem[0] = xstrdup(f->lab.ca->cert_pem.p);
	pem[1] = xstrdup(f->lab.other_ca->cert_pem.p);
	for (size_t i = 0; i < 5; i++)
		other[i] = f->relay;
	other[0].host = b;
	other[1].server_name = b;
	other[2].min_tls_13 = true;
	other[3].ca = pem[0];
	other[4].ca = pem[1];
	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	c = pool_take(f, &f->relay);
	origin_give(&c);
	for (size_t i = 0; i < 5; i++) {
		c = pool_take(f, &other[i]);
		if (c->reused || d.n_accepted != i + 2)
			fail_msg("relay %zu shares a connection", i);
		origin_give(&c);
	}
	/* And each finds its own again, also by another copy of the text. */
	other[3].ca = xstrdup(pem[0]);
	for (size_t i = 0; i < 5; i++) {
		c = pool_take(f, &other[i]);
		if (!c->reused)
			fail_msg("relay %zu lost its connection", i);
		origin_give(&c);
	}
	assert_int_equal(d.n_accepted, 6);
	free(other[3].ca);
	free(pem[0]);
	free(pem[1]);
	dest_stop(&d);
}

/* ---- egress ---- */

enum kind { INGRESS, APP_ONE, APP_TWO, PUBLIC_ONLY, PLAIN, PLAIN_INGRESS, KINDS };

static void
make_kinds(struct pool_bench *f, struct relay of[KINDS], char *one, char *two)
{
	for (size_t i = 0; i < KINDS; i++) {
		of[i] = f->relay;
		of[i].app = one;
		of[i].guarded = i != INGRESS && i != PLAIN_INGRESS;
		of[i].internal = of[i].guarded && i != PUBLIC_ONLY;
		of[i].plain = i == PLAIN || i == PLAIN_INGRESS;
	}
	of[APP_TWO].app = two;
}

/* Each app has its own; TLS and none, every address and public ones alone are
 * never mixed. */
static void
test_identities_of_egress(void **state)
{
	char one[] = "app_0123456789ab", two[] = "app_ffffffffffff";
	struct origin_conn *c[KINDS] = { NULL };
	struct pool_bench *f = *state;
	struct relay of[KINDS];
	struct dest d;
	struct pool_ask a;

	make_kinds(f, of, one, two);
	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	for (size_t i = 0; i < KINDS; i++) {
		if (i == PUBLIC_ONLY)
			continue;
		c[i] = pool_take(f, &of[i]);
		assert_false(c[i]->reused);
		assert_int_equal(net_stream_ssl(c[i]->stream) == NULL, of[i].plain);
		for (size_t k = 0; k < KINDS; k++)
			if (origin_is_for(c[i], &of[k]) != (i == k))
				fail_msg("the connection of %zu, asked for %zu", i, k);
	}
	for (size_t i = 0; i < KINDS; i++)
		if (c[i] != NULL)
			origin_give(&c[i]);
	loop_until_count(f->lab.loop, &d.n_accepted, KINDS - 1);
	/* There is an idle one of the same app to that host: not for this. */
	a = pool_ask(f, &of[PUBLIC_ONLY], false);
	assert_int_equal(a.fault, ORIGIN_FORBIDDEN);
	for (size_t i = 0; i < KINDS; i++) {
		if (i == PUBLIC_ONLY)
			continue;
		c[i] = pool_take(f, &of[i]);
		assert_true(c[i]->reused);
		assert_true(origin_is_for(c[i], &of[i]));
		origin_drop(&c[i]);
	}
	/* Of ingress the app does not count. */
	c[0] = pool_take(f, &of[INGRESS]);
	of[INGRESS].app = two;
	assert_true(origin_is_for(c[0], &of[INGRESS]));
	origin_give(&c[0]);
	c[0] = pool_take(f, &of[INGRESS]);
	assert_true(c[0]->reused);
	origin_drop(&c[0]);
	dest_stop(&d);
}

/* What an app's rules forbid says nothing about the destination: its circuit
 * stays closed. */
static void
test_forbidden_opens_no_circuit(void **state)
{
	char one[] = "app_0123456789ab";
	struct pool_bench *f = *state;
	struct relay r = f->relay;
	struct pool_ask a;
	struct dest d;

	dest_start(&d, &f->lab, "127.0.0.2", DEST_GOOD);
	r.app = one;
	r.guarded = true;
	for (unsigned i = 0; i < 2 * f->lab.conf.origin_max_fails + 2; i++) {
		a = pool_ask(f, &r, false);
		assert_int_equal(a.fault, ORIGIN_FORBIDDEN);
		assert_string_equal(a.why, "loopback");
	}
	assert_int_equal(d.n_accepted, 0);
	dest_stop(&d);
}

static void
test_trust(void **state)
{
	char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n";
	struct pool_bench *f = *state;
	struct relay r = f->relay;
	struct dest d;
	struct pool_ask a;

	dest_start(&d, &f->lab, "127.0.0.2", DEST_WRONG);
	a = pool_ask(f, &r, false);
	assert_int_equal(a.fault, ORIGIN_TLS);
	r.ca = xstrdup(f->lab.other_ca->cert_pem.p);
	a = pool_ask(f, &r, false);
	assert_int_equal(a.fault, ORIGIN_OK);
	origin_drop(&a.conn);
	free(r.ca);
	r.ca = broken;
	for (int i = 0; i < 2; i++) {
		a = pool_ask(f, &r, false);
		assert_int_equal(a.fault, ORIGIN_TLS);
		assert_true(a.why[0] != '\0');
	}
	dest_stop(&d);
	dest_start(&d, &f->lab, "127.0.0.2", DEST_TLS_12);
	a = pool_ask(f, &f->relay, true);
	assert_int_equal(a.fault, ORIGIN_OK);
	origin_drop(&a.conn);
	r = f->relay;
	r.min_tls_13 = true;
	a = pool_ask(f, &r, false);
	assert_int_equal(a.fault, ORIGIN_TLS);
	dest_stop(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(test_identities),
		POOL_TEST(test_identities_of_egress),
		POOL_TEST(test_forbidden_opens_no_circuit),
		POOL_TEST(test_trust),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	alarm(120);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
