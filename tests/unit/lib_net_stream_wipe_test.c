/*
 * tests/unit/lib_net_stream_wipe_test.c - no memory is freed with what a stream
 * carried in it, neither ours nor OpenSSL's, and idle streams hold little.
 *
 * Linked with --wrap for free(): our blocks are looked at before they go.
 * OpenSSL is told to use functions of ours for the same.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/stream_private.h"
#include "tests/unit/lib_net_stream_kind.h"

#define SECRET		'^'	/* each byte of a value, in runs of ... */
#define SECRET_RUN	8	/* ... at least so many */
#define RECORD_BYTES	16384	/* OpenSSL's buffers are a bit larger */

void __real_free(void *);
void __wrap_free(void *);

static bool watching;
static unsigned leaks;		/* blocks freed with a value in them */
static unsigned records;	/* OpenSSL's buffers for records, alive */

static bool
has_secret(const char *p, size_t len)
{
	size_t run = 0;

	for (size_t i = 0; i < len && run < SECRET_RUN; i++)
		run = p[i] == SECRET ? run + 1 : 0;
	return (run == SECRET_RUN);
}

static void
look(void *p)
{
	if (watching && p != NULL && has_secret(p, malloc_usable_size(p)))
		leaks++;
}

void
__wrap_free(void *p)
{
	look(p);
	__real_free(p);
}

static bool
is_record(void *p)
{
	size_t size = p == NULL ? 0 : malloc_usable_size(p);

	return (size > RECORD_BYTES && size < RECORD_BYTES + 1024);
}

static void *
ssl_malloc(size_t size, const char *file, int line)
{
	void *p = malloc(size);

	(void)file;
	(void)line;
	records += is_record(p) ? 1 : 0;
	return (p);
}

static void
ssl_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	records -= is_record(p) ? 1 : 0;
	look(p);
	__real_free(p);
}

/* Always to another place, so that the old one is looked at. */
static void *
ssl_realloc(void *old, size_t size, const char *file, int line)
{
	size_t had = old == NULL ? 0 : malloc_usable_size(old);
	void *p = size == 0 ? NULL : ssl_malloc(size, file, line);

	if (p != NULL && old != NULL)
		memcpy(p, old, had < size ? had : size);
	if (size == 0 || p != NULL)
		ssl_free(old, file, line);
	return (p);
}

static void
send_secret(struct end *e, size_t n)
{
	static char value[100000];

	memset(value, SECRET, sizeof(value));
	assert_true(n <= sizeof(value));
	assert_int_equal(net_stream_write(e->s, value, n), RC_OK);
}

static size_t wanted;

static bool
server_got_wanted(struct pair *p)
{
	return (buffer_len(&p->server.got) >= wanted);
}

static bool
client_got_wanted(struct pair *p)
{
	return (buffer_len(&p->client.got) >= wanted);
}

/* There and back, read at most `high` bytes at a time. */
static void
carry(const struct stream_kind *kind, size_t size, size_t high, int sndbuf)
{
	struct pair p;

	kind_open(&p, kind, sndbuf);
	p.client.got.sensitive = p.server.got.sensitive = true;
	net_stream_set_input_high(p.server.s, high);
	net_stream_set_input_high(p.client.s, high);
	wanted = size;
	send_secret(&p.client, size);
	pair_until(&p, server_got_wanted);
	send_secret(&p.server, size);
	pair_until(&p, client_got_wanted);
	/* At rest nothing is left inside either. */
	net_stream_cool(p.client.s);
	assert_int_equal(leaks, 0);
	send_secret(&p.client, size);	/* and what was sent by half */
	net_stream_flush(p.client.s);
	pair_close(&p);
	assert_int_equal(leaks, 0);
}

static void
test_no_value_is_freed(void **state)
{
	static const size_t sizes[] = { 9, 300, 16384, 16385, 100000 };
	static const size_t highs[] = { 100, 16384, 65536 };

	(void)state;
	watching = true;
	for (size_t k = 0; k < STREAM_KINDS; k++)
		for (size_t i = 0; i < 5; i++)
			for (size_t j = 0; j < 3; j++) {
				carry(&stream_kinds[k], sizes[i], highs[j], 0);
				carry(&stream_kinds[k], sizes[i], highs[j],
				    TINY_SNDBUF);
			}
	watching = false;
}

/* What is inside OpenSSL when its memory is asked back stays there. */
static void
test_cool_in_the_middle(void **state)
{
	struct pair p;
	char *at;

	(void)state;
	watching = true;
	for (size_t k = 0; k < STREAM_KINDS; k++) {
		kind_open(&p, &stream_kinds[k], TINY_SNDBUF);
		p.server.got.sensitive = true;
		net_stream_set_input_high(p.server.s, 1000);
		wanted = 300000;
		for (int i = 0; i < 3; i++)
			send_secret(&p.client, 100000);
		while (!server_got_wanted(&p)) {
			loop_turn(p.loop, true);
			net_stream_cool(p.server.s);	/* half a record read */
			net_stream_cool(p.client.s);	/* or half a one sent */
		}
		at = buffer_data(&p.server.got);
		for (size_t i = 0; i < wanted; i++)
			assert_int_equal(at[i], SECRET);
		assert_int_equal(p.client.errors + p.server.errors, 0);
		pair_close(&p);
		assert_int_equal(leaks, 0);
	}
	watching = false;
}

/* A header without its record, from OpenSSL's view: its buffer must stay. */
static void
test_cool_at_every_byte(void **state)
{
	char wire[400];
	struct pair p;
	ssize_t n;

	(void)state;
	for (int k = 0; k < (int)STREAM_KINDS; k++) {
		if (!stream_kinds[k].tls)
			continue;
		kind_open(&p, &stream_kinds[k], 0);
		pair_settle(&p);
		/* Two records, taken off the wire and put back byte by byte. */
		net_stream_read_pause(p.server.s);
		for (int i = 0; i < 2; i++) {
			send_secret(&p.client, 100);
			net_stream_flush(p.client.s);
		}
		n = recv(net_stream_fd(p.server.s), wire, sizeof(wire), 0);
		assert_true(n > 200);
		net_stream_read_resume(p.server.s);
		for (ssize_t i = 0; i < n; i++) {
			assert_int_equal(write(net_stream_fd(p.client.s),
			    wire + i, 1), 1);
			loop_turn(p.loop, true);
			net_stream_cool(p.server.s);
		}
		wanted = 200;
		pair_until(&p, server_got_wanted);
		assert_int_equal(p.server.errors, 0);
		pair_close(&p);
	}
}

/* What an outer stream had read, and what it had not sent, when it changed into
 * the TLS inside of it; that stream is closed before, or in its handshake. */
static void
test_around_a_change(void **state)
{
	struct pair p;

	(void)state;
	watching = true;
	for (size_t i = 0; i < 4; i++) {
		kind_open_outer(&p, i % 2 == 0 ? OUTER_PLAIN : OUTER_TLS,
		    MEDIUM_TCP, TINY_SNDBUF);
		p.client.got.sensitive = true;
		p.server.take = false;
		send_secret(&p.client, 300);
		while (buffer_len(&p.server.s->in) < 300)
			loop_turn(p.loop, true);
		net_stream_read_pause(p.client.s);
		for (int n = 0; n < 5; n++)
			send_secret(&p.server, 100000);
		pair_settle(&p);
		assert_true(net_stream_unsent(p.server.s) != 0);
		p.server.s = net_stream_accept_inside(&p.server.s, stage.server,
		    &end_ops, &p.server);
		assert_int_equal(leaks, 0);
		if (i >= 2) {
			net_stream_read_resume(p.client.s);
			wanted = 500000;
			pair_until(&p, client_got_wanted);
			pair_until(&p, server_error);	/* no hello at all */
		}
		net_stream_close(&p.server.s);
		assert_int_equal(leaks, 0);
		pair_close(&p);
		assert_int_equal(leaks, 0);
	}
	watching = false;
}

#define MANY	(NET_TURN_WARM_MAX + 20)

/* Only the streams that worked last keep OpenSSL's buffers, and any of the
 * others works on. */
static void
test_idle_streams_are_small(void **state)
{
	static struct pair p[MANY / 2];
	struct loop *loop = loop_new();
	unsigned before = records;

	(void)state;
	for (size_t i = 0; i < MANY / 2; i++) {
		pair_open_on(&p[i], loop, MEDIUM_UNIX, stage.server,
		    stage.client, "a.test", 0, true);
		pair_settle(&p[i]);
	}
	assert_true(records - before <= 2 * NET_TURN_WARM_MAX);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < MANY / 2; i++) {
			buffer_clear(&p[i].server.got);
			end_send(&p[i].client, "ask!");
			pair_until(&p[i], server_got_4);
			assert_true(end_got(&p[i].server, "ask!"));
			assert_true(records - before <=
			    2 * NET_TURN_WARM_MAX);
		}
	assert_true(records - before >= NET_TURN_WARM_MAX);
	for (size_t i = 0; i < MANY / 2; i++) {
		end_fini(&p[i].client);
		end_fini(&p[i].server);
	}
	loop_free(&loop);
	assert_int_equal(records, before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_value_is_freed),
		cmocka_unit_test(test_cool_in_the_middle),
		cmocka_unit_test(test_cool_at_every_byte),
		cmocka_unit_test(test_around_a_change),
		cmocka_unit_test(test_idle_streams_are_small),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(120);		/* a hang is a failure */
	if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1)
		return (1);	/* something of OpenSSL ran before us */
	return (cmocka_run_group_tests(tests, stage_setup, stage_teardown));
}
