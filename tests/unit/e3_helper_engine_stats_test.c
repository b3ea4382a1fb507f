/* GetStatistics as JSON: known members only, hostile types left out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "e3/helper/engine_stats.h"

static void
check(struct buffer *body, const char *want, uint64_t want_links)
{
	struct rpc_document doc;
	struct buffer out;
	struct engine_facts facts;

	assert_int_equal(rpc_document_read(&doc, buffer_data(body),
	    buffer_len(body)), RC_OK);
	buffer_init(&out, 0, false);
	buffer_puts(&out, "old");
	engine_stats_read(doc.root, &out, &facts);
	assert_string_equal(buffer_cstr(&out), want);
	assert_int_equal(facts.links, want_links);
	assert_true(facts.known);
	assert_int_equal(facts.has_checksum, want_links != 0);
	assert_int_equal(facts.draining, want_links != 0);
	buffer_fini(&out);
	rpc_document_fini(&doc);
	buffer_fini(body);
}

static void
test_members(void **state)
{
	static const char sum[32] = { 0x01, 0x23 };
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 7);
	rpc_put_str(&b, "ready");
	rpc_put_bool(&b, true);
	rpc_put_str(&b, "draining");
	rpc_put_bool(&b, true);
	rpc_put_str(&b, "cpu_ms");
	rpc_put_u64(&b, 12);
	rpc_put_str(&b, "links");
	rpc_put_u64(&b, 3);
	rpc_put_str(&b, "apps");
	rpc_put_u64(&b, UINT64_MAX);
	rpc_put_str(&b, "checksum");
	rpc_put_bin(&b, (struct span){ sum, sizeof(sum) });
	rpc_put_str(&b, "secret");
	rpc_put_str(&b, "nobody asked");
	check(&b, "{\"ready\":true,\"draining\":true,"
	    "\"apps\":18446744073709551615,\"links\":3,\"cpu_ms\":12,"
	    "\"checksum\":\"0123000000000000000000000000000000000000000000000000"
	    "000000000000\"}", 3);
}

static void
test_hostile(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 3);
	rpc_put_str(&b, "ready");
	rpc_put_str(&b, "yes");
	rpc_put_str(&b, "links");
	rpc_put_array(&b, 0);
	rpc_put_str(&b, "checksum");
	rpc_put_bin(&b, SPAN_LIT("short"));
	check(&b, "{}", 0);
	buffer_init(&b, 0, false);
	rpc_put_array(&b, 1);
	rpc_put_u64(&b, 1);
	check(&b, "{}", 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_hostile),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
