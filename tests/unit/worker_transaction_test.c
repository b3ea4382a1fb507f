/* worker/transaction.c: the id that every answer carries. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "worker/transaction.h"

/* Upper-case hex without leading zeros (spec/sdk-api.md 4.5).  One id in 16
 * would have begun with a zero. */
static void
test_form(void **state)
{
	struct transaction t;
	size_t n, shorter = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		transaction_begin(&t);
		n = strlen(t.id);
		assert_in_range(n, 1, TRANSACTION_ID_BYTES - 1);
		assert_int_equal(strspn(t.id, "0123456789ABCDEF"), n);
		assert_int_not_equal(t.id[0], '0');
		shorter += n < TRANSACTION_ID_BYTES - 1;
	}
	assert_in_range(shorter, 1, 1000);
}

static void
test_fresh(void **state)
{
	struct transaction a, b;

	(void)state;
	memset(&b, 0xff, sizeof(b));
	transaction_begin(&a);
	transaction_begin(&b);
	assert_string_not_equal(a.id, b.id);
	assert_int_equal(b.sealed + b.passed + b.opened + b.kept, 0);
	assert_int_equal(b.request_bytes + b.response_bytes + b.status, 0);
	assert_true(b.t_start_ms >= a.t_start_ms);
	transaction_end(&b, 1, "shop.test", "done");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_fresh),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
