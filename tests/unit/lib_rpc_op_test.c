/* lib/rpc/op.c: the table is whole, its names are unique, and docs/rpc.md
 * tells of each. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/rpc/op.h"

static void
test_every_op_is_found_by_its_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RPC_OPS; i++) {
		const struct rpc_op_info *info = rpc_op_info((enum rpc_op)i);

		assert_int_equal(info->op, i);
		assert_ptr_equal(rpc_op_lookup(span_of(info->name)), info);
		assert_true(info->roles != 0);
		assert_false(info->roles & RPC_ROLE_ENGINE);
		/* Names and ids of one-byte headers: frame.c counts on it. */
		assert_in_range(strlen(info->name), 1, 31);
		assert_true(strlen(info->does) > 0);
	}
	assert_null(rpc_op_lookup(SPAN_LIT("")));
	assert_null(rpc_op_lookup(SPAN_LIT("ping")));
	assert_null(rpc_op_lookup(SPAN_LIT("Ping\0")));
	assert_null(rpc_op_lookup(SPAN_LIT("Pin")));
}

static void
test_what_changes_key_state_is_signed_and_admin(void **state)
{
	static const char *const change[] = {
		"CreateApp", "CreateKey", "RevokeKey", "RotateKeys",
		"ActivateKey", "RetireKey", "DestroyKey", "SetRoles", "Rewrap"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		const struct rpc_op_info *info =
		    rpc_op_lookup(span_of(change[i]));

		assert_non_null(info);
		assert_true(info->signed_call);
		assert_int_equal(info->roles, RPC_ROLE_ADMIN);
		assert_false(info->before_ready);
	}
}

/* Nothing that touches data or names is served before SetReady, and who may
 * ask is exactly this. */
static void
test_permissions(void **state)
{
	static const struct {
		const char	*name;
		unsigned	roles;
		bool		before_ready;
		size_t		max_bytes;
	} want[] = {
		{ "Ping", RPC_ROLE_ANY, true,
		    RPC_SMALL_BYTES_MAX },
		{ "GetStatistics", RPC_ROLE_ANY, true,
		    RPC_SMALL_BYTES_MAX },
		{ "Encrypt", RPC_ROLE_WORKER | RPC_ROLE_ADMIN | RPC_ROLE_FEED, false,
		    RPC_FRAME_BYTES_MAX },
		{ "Decrypt", RPC_ROLE_WORKER | RPC_ROLE_ADMIN, false,
		    RPC_FRAME_BYTES_MAX },
		{ "Authenticate", RPC_ROLE_WORKER | RPC_ROLE_FEED, false,
		    RPC_SMALL_BYTES_MAX },
		{ "PublicKeys", RPC_ROLE_WORKER, false,
		    RPC_SMALL_BYTES_MAX },
		{ "CreateToken", RPC_ROLE_WORKER, false,
		    RPC_SMALL_BYTES_MAX },
		{ "Inspect", RPC_ROLE_WORKER, false,
		    RPC_FRAME_BYTES_MAX },
		{ "Cancel", RPC_ROLE_ANY, true,
		    RPC_SMALL_BYTES_MAX },
		{ "LoadRecords", RPC_ROLE_HELPER, true,
		    RPC_FRAME_BYTES_MAX },
		{ "Checksum", RPC_ROLE_HELPER, true,
		    RPC_SMALL_BYTES_MAX },
		{ "SetReady", RPC_ROLE_HELPER, true,
		    RPC_SMALL_BYTES_MAX },
		{ "SetDraining", RPC_ROLE_HELPER, true,
		    RPC_SMALL_BYTES_MAX },
		{ "Reseal", RPC_ROLE_HELPER, false,
		    RPC_SMALL_BYTES_MAX },
		{ "Unlock", RPC_ROLE_HELPER, true,
		    RPC_FRAME_BYTES_MAX },
		{ "Attest", RPC_ROLE_ANY, true,
		    RPC_SMALL_BYTES_MAX },
		{ "ListApps", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "ListKeys", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "ListPairs", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "ListRoles", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "Challenge", RPC_ROLE_ANY, true,
		    RPC_SMALL_BYTES_MAX },
		{ "CreateApp", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "CreateKey", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "RevokeKey", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "RotateKeys", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "ActivateKey", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "RetireKey", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "DestroyKey", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "SetRoles", RPC_ROLE_ADMIN, false,
		    RPC_ROLES_BYTES_MAX },
		{ "Rewrap", RPC_ROLE_ADMIN, false,
		    RPC_FRAME_BYTES_MAX },
		{ "GetCA", RPC_ROLE_ANY, false,
		    RPC_SMALL_BYTES_MAX },
		{ "IssueLeaf", RPC_ROLE_WORKER, false,
		    RPC_SMALL_BYTES_MAX },
		{ "CreateCA", RPC_ROLE_ADMIN, false,
		    RPC_SMALL_BYTES_MAX },
		{ "InstallCA", RPC_ROLE_ADMIN, false,
		    RPC_CHAIN_BYTES_MAX },
	};

	(void)state;
	assert_int_equal(sizeof(want) / sizeof(want[0]), RPC_OPS);
	for (size_t i = 0; i < RPC_OPS; i++) {
		const struct rpc_op_info *info =
		    rpc_op_lookup(span_of(want[i].name));

		assert_non_null(info);
		assert_int_equal(info->roles, want[i].roles);
		assert_int_equal(info->before_ready, want[i].before_ready);
		assert_int_equal(info->max_bytes, want[i].max_bytes);
		assert_int_equal(info->once, info->op == RPC_OP_UNLOCK);
	}
}

static void
test_statuses_and_roles(void **state)
{
	static const enum rpc_role roles[] = {
		RPC_ROLE_WORKER, RPC_ROLE_FEED, RPC_ROLE_HELPER,
		RPC_ROLE_PULSE, RPC_ROLE_ADMIN, RPC_ROLE_ENGINE
	};

	(void)state;
	for (unsigned i = 0; i < RPC_STATUSES; i++) {
		const char *name = rpc_status_name((enum rpc_status)i);

		assert_int_equal(rpc_status_lookup(span_of(name)), i);
		assert_in_range(strlen(name), 1, 31);
	}
	assert_int_equal(rpc_status_lookup(SPAN_LIT("fine")),
	    RPC_STATUS_INTERNAL);
	assert_int_equal(rpc_status_lookup(SPAN_LIT("")),
	    RPC_STATUS_INTERNAL);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		assert_int_equal(rpc_role_lookup(rpc_role_name(roles[i])),
		    roles[i]);
	assert_int_equal(rpc_role_lookup("root"), RPC_ROLE_NONE);
	assert_int_equal(rpc_role_lookup(""), RPC_ROLE_NONE);
}

static void
assert_named(const char *doc, const char *name)
{
	char quoted[64];

	(void)snprintf(quoted, sizeof(quoted), "`%s`", name);
	if (strstr(doc, quoted) == NULL)
		fail_msg("docs/rpc.md does not tell of %s", quoted);
}

static void
test_the_manual_names_every_op_status_and_role(void **state)
{
	struct buffer doc;
	const char *text;

	(void)state;
	buffer_init(&doc, 0, false);
	assert_int_equal(file_read(TEST_SRCDIR "/docs/rpc.md", &doc), RC_OK);
	text = buffer_cstr(&doc);
	for (unsigned i = 0; i < RPC_OPS; i++)
		assert_named(text, rpc_op_info((enum rpc_op)i)->name);
	for (unsigned i = 0; i < RPC_STATUSES; i++)
		assert_named(text, rpc_status_name((enum rpc_status)i));
	for (unsigned i = 0; i < 6; i++)
		assert_named(text, rpc_role_name((enum rpc_role)(1u << i)));
	buffer_fini(&doc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_op_is_found_by_its_name),
		cmocka_unit_test(test_what_changes_key_state_is_signed_and_admin),
		cmocka_unit_test(test_permissions),
		cmocka_unit_test(test_statuses_and_roles),
		cmocka_unit_test(
		    test_the_manual_names_every_op_status_and_role),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
