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
	uint64_t links;

	assert_int_equal(rpc_document_read(&doc, buffer_data(body),
	    buffer_len(body)), RC_OK);
	buffer_init(&out, 0, false);
	buffer_puts(&out, "old");
	engine_stats_json(doc.root, &out, &links);
	assert_string_equal(buffer_cstr(&out), want);
	assert_int_equal(links, want_links);
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
	rpc_put_map(&b, 5);
	rpc_put_str(&b, "ready");
	rpc_put_bool(&b, true);
	rpc_put_str(&b, "links");
	rpc_put_u64(&b, 3);
	rpc_put_str(&b, "apps");
	rpc_put_u64(&b, UINT64_MAX);
	rpc_put_str(&b, "checksum");
	rpc_put_bin(&b, (struct span){ sum, sizeof(sum) });
	rpc_put_str(&b, "secret");
	rpc_put_str(&b, "nobody asked");
	check(&b, "{\"ready\":true,\"apps\":18446744073709551615,\"links\":3,"
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
