/* When is everything ready, and what people are shown. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ctl/status_view.h"

#define CHILD(name, role, state)					\
	"{\"name\":\"" name "\",\"pid\":7,\"role\":\"" role "\","		\
	"\"generation\":1,\"state\":\"" state "\",\"restarts\":2,"		\
	"\"since_ms\":61000}"
#define DOC(children, more)						\
	"{\"version\":\"0.1.0\",\"pid\":1,\"generation\":1,\"uptime_ms\":3700000,"	\
	"\"children\":[" children "]" more "}"
#define NOW_MS	1700000000000u
#define FEED	",\"feed\":{\"synced\":true,\"redis\":\"up\",\"relays\":3}"
#define HELPER	",\"helper\":{\"ready\":true,\"engine\":\"up\"}"

static void
test_ready(void **state)
{
	static const struct {
		const char	*json;
		enum rc		want;
		const char	*why;
	} table[] = {
		{ "", RC_SYNTAX, NULL },
		{ "[]", RC_SYNTAX, NULL },
		{ "{}", RC_SYNTAX, NULL },
		{ "{\"children\":[}", RC_SYNTAX, NULL },
		{ DOC("", ""), RC_AGAIN, "no worker runs yet" },
		{ DOC(CHILD("worker1", "worker", "ready"), ""), RC_OK, NULL },
		{ DOC(CHILD("worker1", "worker", "starting"), ""), RC_AGAIN,
		    "worker1 is starting" },
		{ DOC(CHILD("worker1", "worker", "backoff"), ""), RC_AGAIN,
		    "worker1 is backoff" },
		{ DOC(CHILD("worker1", "worker", "draining"), ""), RC_AGAIN,
		    "no worker runs yet" },
		{ DOC(CHILD("worker1", "worker", "draining") ","
		    CHILD("worker2", "worker", "ready"), ""), RC_OK, NULL },
		{ DOC(CHILD("worker1", "worker", "ready") ","
		    CHILD("feed", "feed", "ready"), ""), RC_AGAIN,
		    "the feed is not synced" },
		{ DOC(CHILD("worker1", "worker", "ready") ","
		    CHILD("feed", "feed", "ready"), FEED), RC_OK, NULL },
		{ DOC(CHILD("worker1", "worker", "ready") ","
		    CHILD("feed", "feed", "ready"),
		    ",\"feed\":{\"synced\":\"true-ish\"}"), RC_AGAIN,
		    "the feed is not synced" },
		{ DOC(CHILD("worker1", "worker", "ready") ","
		    CHILD("e3-helper", "helper", "ready"), FEED), RC_AGAIN,
		    "the engine is not ready" },
		{ DOC(CHILD("worker1", "worker", "ready") ","
		    CHILD("e3-helper", "helper", "ready"), HELPER), RC_OK,
		    NULL },
		{ DOC(CHILD("e3-helper", "helper", "ready"),
		    ",\"helper\":{\"ready\":false,\"engine\":\"up\"}"), RC_AGAIN,
		    "the engine is not ready" },
		{ DOC(CHILD("e3-helper", "helper", "ready"),
		    ",\"helper\":{\"ready\":false,\"engine\":\"silent\"}"),
		    RC_AGAIN, "the engine does not answer" },
		{ DOC(CHILD("e3-helper", "helper", "ready"),
		    ",\"helper\":{\"ready\":false,\"engine\":\"down\"}"),
		    RC_AGAIN, "the engine does not answer" },
		/* an engine-only host */
		{ DOC(CHILD("e3-helper", "helper", "ready"), HELPER), RC_OK,
		    NULL },
	};
	char why[160];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		why[0] = '\0';
		assert_int_equal(status_ready(span_of(table[i].json), why,
		    sizeof(why)), table[i].want);
		if (table[i].why != NULL)
			assert_string_equal(why, table[i].why);
	}
}

static void
test_text(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(status_text(span_of(DOC(
	    CHILD("worker1", "worker", "ready"), FEED HELPER)),
	    NOW_MS, &out), RC_OK);
	assert_string_equal(buffer_cstr(&out),
	    "NAME     PID  STATE  GEN  RESTARTS  SINCE\n"
	    "relayd   1    ready  1    0         1h01m\n"
	    "worker1  7    ready  1    2         1m01s\n"
	    "feed     synced=true redis=up relays=3\n"
	    "helper   ready=true engine=up\n"
	    "backup   never rehearsed\n");
	buffer_fini(&out);
	buffer_init(&out, 0, false);
	assert_int_equal(status_text(SPAN_LIT("no"), NOW_MS, &out),
	    RC_SYNTAX);
	assert_int_equal(buffer_len(&out), 0);
	buffer_fini(&out);
}

/* What the helper says of its engine and of the others. */
static void
test_engines(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(status_text(SPAN_LIT(DOC("", ",\"helper\":{"
	    "\"ready\":true,\"disagree\":1,\"resealing\":false,"
	    "\"rehearsed_ms\":1699740800000,\"statistics\":{\"ready\":true,"
	    "\"draining\":false,\"apps\":2,\"fields_sealed\":9,\"queue\":0},"
	    "\"engines\":[{\"name\":\"e3@a\",\"address\":\"192.0.2.1:8444\","
	    "\"state\":\"ready\",\"agrees\":true},{\"name\":\"e3@b\","
	    "\"address\":\"\",\"state\":\"draining\",\"agrees\":false}]}")),
	    NOW_MS, &out), RC_OK);
	assert_string_equal(buffer_cstr(&out),
	    "NAME    PID  STATE  GEN  RESTARTS  SINCE\n"
	    "relayd  1    ready  1    0         1h01m\n"
	    "helper   ready=true disagree=1 resealing=false\n"
	    "engine   draining=false apps=2 fields_sealed=9 queue=0\n"
	    "  engine e3@a ready 192.0.2.1:8444\n"
	    "  engine e3@b draining - DISAGREES: it has loaded other records\n"
	    "backup   rehearsed 3d ago\n");
	buffer_fini(&out);
}

/* A fleet must not push the rest off the screen; nothing here is an engine. */
static void
test_many_engines(void **state)
{
	struct buffer json, out;

	(void)state;
	buffer_init(&json, 0, false);
	buffer_init(&out, 0, false);
	buffer_puts(&json, "{\"children\":[],\"helper\":{\"engines\":[");
	for (int i = 0; i < 100; i++)
		buffer_printf(&json, "%s{\"name\":%d}", i == 0 ? "" : ",", i);
	buffer_puts(&json, "],\"statistics\":null}}");
	assert_int_equal(status_text((struct span){ buffer_data(&json),
	    buffer_len(&json) }, NOW_MS, &out), RC_OK);
	assert_non_null(strstr(buffer_cstr(&out), "  engine ... 88 more\n"));
	assert_null(strstr(buffer_cstr(&out), "  engine 12 "));
	buffer_fini(&json);
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_engines),
		cmocka_unit_test(test_many_engines),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
