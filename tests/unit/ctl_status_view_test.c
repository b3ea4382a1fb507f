/* When is everything ready, and what people are shown. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>


#include "ctl/status_view.h"

#define CHILD(name, role, state)					\
	"{\"name\":\"" name "\",\"pid\":7,\"role\":\"" role "\","		\
	"\"generation\":1,\"state\":\"" state "\",\"restarts\":2,"		\
	"\"since_ms\":61000}"
#define DOC(children, more)						\
	"{\"version\":\"0.1.0\",\"pid\":1,\"generation\":1,\"uptime_ms\":3700000,"	\
	"\"children\":[" children "]" more "}"
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
	    CHILD("worker1", "worker", "ready"), FEED HELPER)), &out), RC_OK);
	assert_string_equal(buffer_cstr(&out),
	    "NAME     PID  STATE  GEN  RESTARTS  SINCE\n"
	    "relayd   1    ready  1    0         1h01m\n"
	    "worker1  7    ready  1    2         1m01s\n"
	    "feed     synced=true redis=up relays=3\n"
	    "helper   ready=true engine=up\n");
	buffer_fini(&out);
	buffer_init(&out, 0, false);
	assert_int_equal(status_text(SPAN_LIT("no"), &out), RC_SYNTAX);
	assert_int_equal(buffer_len(&out), 0);
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_text),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
