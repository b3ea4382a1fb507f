/*
 * Changes to the feed: what is said to it, what comes of its answers, of their
 * absence and of a feed that goes away.  The feed is played here.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/ipc/server.h"
#include "worker/feed_client.h"

#define SEEN	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static struct lab {
	struct loop		*loop;
	char			folder[64], path[96];
	struct ipc_server	*server;
	struct feed_client	*client;
	uint64_t		who;		/* the last that asked */
	unsigned		asked;
	char			text[1024], record[256];	/* of the last question */
	int			had_record;
	unsigned		ended, status;
	char			reason[256];
} lab;

/* ---- the feed --------------------------------------------------------------------- */

static void
on_message(void *arg, uint64_t who, const struct ucred *peer, struct span verb,
    struct span text, int fd)
{
	struct buffer b;

	(void)arg;
	(void)peer;
	assert_true(span_eq_str(verb, "change"));
	assert_true(span_copy(text, lab.text, sizeof(lab.text)));
	lab.who = who;
	lab.asked++;
	lab.had_record = fd >= 0;
	lab.record[0] = '\0';
	if (fd >= 0) {
		buffer_init(&b, sizeof(lab.record) - 1, false);
		assert_int_equal(fd_read_all(fd, &b), RC_OK);
		(void)snprintf(lab.record, sizeof(lab.record), "%s",
		    buffer_cstr(&b));
		buffer_fini(&b);
	}
	fd_close(&fd);
}

static const struct ipc_server_ops server_ops = { .on_message = on_message };

static void
server_up(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)unlink(lab.path);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", lab.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 8), 0);
	lab.server = ipc_server_new(lab.loop, fd, 4, &server_ops, NULL);
}

static void
say(unsigned id, unsigned status, const char *reason)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "{\"id\":%u,\"status\":%u,"
	    "\"reason\":\"%s\"}", id, status, reason);
	ipc_server_answer(lab.server, lab.who, "changed", span_of(text), -1);
}

/* ---- the caller -------------------------------------------------------------------- */

static void
on_change(void *arg, unsigned status, struct span reason)
{
	(void)arg;
	lab.ended++;
	lab.status = status;
	assert_true(span_copy(reason, lab.reason, sizeof(lab.reason)));
}

static uint64_t
put(const char *value)
{
	struct feed_change c = { .hash = "egress",
	    .field = SPAN_LIT("app_0123456789ab"), .value = span_of(value),
	    .api_key = SPAN_LIT("ev:key \"x\"") };

	return (feed_change(lab.client, &c, on_change, NULL));
}

static void
turn_until(const unsigned *n, unsigned want)
{
	for (unsigned i = 0; *n < want; i++) {
		assert_in_range(i, 0, 10000);
		loop_turn(lab.loop, true);
	}
}

static int
setup(void **state)
{
	(void)state;
	memset(&lab, 0, sizeof(lab));
	(void)snprintf(lab.folder, sizeof(lab.folder), "/tmp/relay-fc-XXXXXX");
	if (mkdtemp(lab.folder) == NULL)
		return (-1);
	(void)snprintf(lab.path, sizeof(lab.path), "%s/s", lab.folder);
	lab.loop = loop_new();
	lab.client = feed_client_new(lab.loop, lab.path);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	feed_client_free(&lab.client);
	ipc_server_free(&lab.server);
	loop_free(&lab.loop);
	(void)unlink(lab.path);
	return (rmdir(lab.folder));
}

/* ---- what is said ------------------------------------------------------------------- */

static void
test_what_is_said(void **state)
{
	uint8_t seen[FEED_SHA256_BYTES];
	struct feed_change rm = { .hash = "relays", .field = SPAN_LIT("a.test"),
	    .remove = true, .expect = seen, .api_key = SPAN_LIT("k") };

	(void)state;
	server_up();
	assert_int_equal(put("{\"destinations\":[]}"), 1);
	assert_int_equal(lab.ended, 0);
	turn_until(&lab.asked, 1);
	assert_string_equal(lab.text, "{\"id\":1,\"op\":\"put\",\"hash\":\"egress\","
	    "\"field\":\"app_0123456789ab\",\"expect\":null,"
	    "\"apiKey\":\"ev:key \\\"x\\\"\"}");
	assert_string_equal(lab.record, "{\"destinations\":[]}");
	for (unsigned i = 0; i < sizeof(seen); i++)
		seen[i] = (uint8_t)i;
	assert_int_equal(feed_change(lab.client, &rm, on_change, NULL), 2);
	turn_until(&lab.asked, 2);
	assert_string_equal(lab.text, "{\"id\":2,\"op\":\"delete\",\"hash\":\"relays\","
	    "\"field\":\"a.test\",\"expect\":\"" SEEN "\",\"apiKey\":\"k\"}");
	assert_false(lab.had_record);
	/* any order */
	say(2, 409, "a \\\"race\\\"");
	turn_until(&lab.ended, 1);
	assert_int_equal(lab.status, 409);
	assert_string_equal(lab.reason, "a \"race\"");
	say(1, 200, "");
	turn_until(&lab.ended, 2);
	assert_int_equal(lab.status, 200);
	assert_string_equal(lab.reason, "");
}

/* None of these is an answer to what was asked. */
static void
test_answers_that_are_none(void **state)
{
	static const char *const none[] = { "", "[]", "{}", "nothing",
	    "{\"id\":1,\"status\":200}", "{\"id\":\"1\",\"status\":200,\"reason\":\"\"}",
	    "{\"id\":1,\"status\":-1,\"reason\":\"\"}",
	    "{\"id\":1,\"status\":6000,\"reason\":\"\"}",
	    "{\"id\":1,\"status\":200,\"reason\":7}",
	    "{\"id\":9,\"status\":200,\"reason\":\"\"}" };

	(void)state;
	server_up();
	assert_int_equal(put("{}"), 1);
	turn_until(&lab.asked, 1);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ipc_server_answer(lab.server, lab.who, "changed",
		    span_of(none[i]), -1);
	ipc_server_answer(lab.server, lab.who, "other",
	    SPAN_LIT("{\"id\":1,\"status\":200,\"reason\":\"\"}"), -1);
	say(1, 422, "last");
	turn_until(&lab.ended, 1);
	assert_int_equal(lab.status, 422);
	assert_string_equal(lab.reason, "last");
}

/* ---- nobody there, and gone ------------------------------------------------------------ */

static void
test_a_feed_that_comes_later(void **state)
{
	(void)state;
	(void)put("{}");
	loop_turn(lab.loop, false);
	assert_int_equal(lab.asked, 0);
	server_up();
	turn_until(&lab.asked, 1);
	say(1, 200, "");
	turn_until(&lab.ended, 1);
	assert_int_equal(lab.status, 200);
}

/* What it had may have been done: not sent again.  The next one finds the next
 * feed. */
static void
test_a_feed_that_goes_away(void **state)
{
	(void)state;
	server_up();
	(void)put("{}");
	turn_until(&lab.asked, 1);
	ipc_server_free(&lab.server);
	turn_until(&lab.ended, 1);
	assert_int_equal(lab.status, 503);
	assert_non_null(strstr(lab.reason, "may be carried out"));
	server_up();
	(void)put("{}");
	turn_until(&lab.asked, 2);
	say(2, 200, "");
	turn_until(&lab.ended, 2);
	assert_int_equal(lab.status, 200);
}

static void
test_no_feed_in_time(void **state)
{
	(void)state;
	(void)put("{}");
	turn_until(&lab.ended, 1);
	assert_int_equal(lab.status, 503);
	assert_string_equal(lab.reason, "the feed cannot be reached");
}

static void
test_no_answer_in_time(void **state)
{
	(void)state;
	server_up();
	(void)put("{}");
	turn_until(&lab.ended, 1);
	assert_int_equal(lab.asked, 1);
	assert_int_equal(lab.status, 503);
	/* and then one that is too late */
	say(1, 200, "");
	(void)put("{}");
	turn_until(&lab.asked, 2);
	assert_int_equal(lab.ended, 1);
}

/* ---- limits ----------------------------------------------------------------------------- */

static void
test_cancelled(void **state)
{
	uint64_t id;

	(void)state;
	server_up();
	id = put("{}");
	turn_until(&lab.asked, 1);
	feed_change_cancel(lab.client, id);
	feed_change_cancel(lab.client, id);
	feed_change_cancel(lab.client, 0);
	say(1, 200, "");
	(void)put("{}");
	turn_until(&lab.asked, 2);
	say(2, 404, "");
	turn_until(&lab.ended, 1);
	assert_int_equal(lab.status, 404);
	(void)put("{}");		/* freed with the client: no callback */
}

static void
test_too_many(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++)
		assert_int_not_equal(put("{}"), 0);
	assert_int_equal(put("{}"), 0);
	feed_change_cancel(lab.client, 7);
	assert_int_not_equal(put("{}"), 0);
	server_up();
	turn_until(&lab.asked, 64);
}

static void
test_a_key_that_is_none(void **state)
{
	static char key[2000];
	struct feed_change c = { .hash = "egress", .field = SPAN_LIT("a"),
	    .value = SPAN_LIT("{}"), .api_key = { key, sizeof(key) } };

	(void)state;
	server_up();
	(void)put("{}");
	assert_int_not_equal(feed_change(lab.client, &c, on_change, NULL), 0);
	assert_int_equal(lab.ended, 0);
	turn_until(&lab.ended, 1);
	assert_int_equal(lab.status, 401);
	turn_until(&lab.asked, 1);
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_what_is_said),
		T(test_answers_that_are_none),
		T(test_a_feed_that_comes_later),
		T(test_a_feed_that_goes_away),
		T(test_no_feed_in_time),
		T(test_no_answer_in_time),
		T(test_cancelled),
		T(test_too_many),
		T(test_a_key_that_is_none),
	};

	log_init("test", LOG_ERROR);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
