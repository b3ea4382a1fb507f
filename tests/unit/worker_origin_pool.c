/* worker_origin_pool.c - see worker_origin_pool.h. */
#include "tests/unit/worker_origin_pool.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test_loop.h"

static void
on_ready(void *arg, enum origin_fault fault, const char *why,
    struct origin_conn *c)
{
	static const struct net_stream_ops none;
	struct pool_ask *a = arg;

	assert_false(a->ended);
	assert_int_equal(fault == ORIGIN_OK, c != NULL);
	a->ended = true;
	a->fault = fault;
	(void)snprintf(a->why, sizeof(a->why), "%s", why);
	a->conn = c;
	if (c != NULL)
		net_stream_set_ops(c->stream, &none, NULL);
	if (a->count != NULL)
		(*a->count)++;
	if (a->also_cancel != 0)
		origin_cancel(a->pool, a->also_cancel);
}

int
pool_bench_setup(void **state)
{
	struct pool_bench *f = calloc(1, sizeof(*f));
	char why[160];

	assert_non_null(f);
	lab_start(&f->lab);
	assert_int_equal(certs_verify_new(f->lab.ca->cert_pem, &f->verify, why,
	    sizeof(why)), RC_OK);
	f->pool = origin_pool_new(f->lab.loop, &f->lab.conf, f->verify,
	    f->lab.dns);
	strcpy(f->host, "a.test");
	strcpy(f->name, "a.test");
	f->relay = (struct relay){
		.magic = RELAY_MAGIC,
		.host = f->host,
		.port = f->lab.port,
		.server_name = f->name,
	};
	lab_name(&f->lab, "a.test", "127.0.0.2");
	*state = f;
	return (0);
}

int
pool_bench_teardown(void **state)
{
	struct pool_bench *f = *state;

	origin_pool_free(&f->pool);
	assert_null(f->pool);
	certs_verify_free(&f->verify);
	lab_stop(&f->lab);
	free(f);
	return (0);
}

void
pool_ask_start(struct pool_bench *f, struct pool_ask *a, const struct relay *r, bool fresh)
{
	memset(a, 0, sizeof(*a));
	a->pool = f->pool;
	a->id = origin_take(f->pool, r, fresh, on_ready, a);
	assert_int_not_equal(a->id, 0);
	assert_false(a->ended);		/* nothing before it returns */
}

struct pool_ask
pool_ask(struct pool_bench *f, const struct relay *r, bool fresh)
{
	struct pool_ask a;

	pool_ask_start(f, &a, r, fresh);
	loop_until(f->lab.loop, &a.ended);
	return (a);
}

struct origin_conn *
pool_take(struct pool_bench *f, const struct relay *r)
{
	struct pool_ask a = pool_ask(f, r, false);

	if (a.fault != ORIGIN_OK)
		fail_msg("%s", a.why);
	return (a.conn);
}
