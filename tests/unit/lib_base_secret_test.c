/* tests/unit/lib_base_secret_test.c - wiping, comparing, no dumps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/secret.h"

static void
test_wipe(void **state)
{
	char key[] = "0123456789";

	(void)state;
	secret_wipe(key + 2, 5);
	assert_memory_equal(key, "01\0\0\0\0\0" "789", 10);
	secret_wipe(key, 0);
	assert_int_equal(key[0], '0');
}

static void
test_equal(void **state)
{
	unsigned char a[40], b[40];

	(void)state;
	memset(a, 7, sizeof(a));
	memset(b, 7, sizeof(b));
	assert_true(secret_equal(a, b, sizeof(a)));
	assert_true(secret_equal(a, b, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		for (int bit = 0; bit < 8; bit++) {
			b[i] ^= (unsigned char)(1 << bit);
			assert_false(secret_equal(a, b, sizeof(a)));
			b[i] ^= (unsigned char)(1 << bit);
		}
	}
}

/* The flags of the mapping that holds p: "dd" is "not in dumps". */
static bool
is_nodump(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from = 0, to = 0, a, b;
	char line[512];
	bool dd = false;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2) {
			from = a;
			to = b;
		} else if (strncmp(line, "VmFlags:", 8) == 0 &&
		    from <= (unsigned long)p && (unsigned long)p < to)
			dd = strstr(line, " dd") != NULL;
	}
	if (f != NULL)
		fclose(f);
	return (dd);
}

static void
test_nodump(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	secret_nodump(p + 1, page - 1);		/* no whole page inside */
	assert_false(is_nodump(p));
	secret_nodump(p + 1, 3 * page);
	assert_false(is_nodump(p));
	assert_true(is_nodump(p + page));
	assert_true(is_nodump(p + 2 * page));
	assert_false(is_nodump(p + 3 * page));
	munmap(p, 4 * page);
}

static void
test_no_core(void **state)
{
	struct rlimit limit;
	int status;
	pid_t pid;

	(void)state;
	if ((pid = fork()) == 0) {
		secret_no_core();
		_exit(prctl(PR_GET_DUMPABLE) == 0 &&
		    getrlimit(RLIMIT_CORE, &limit) == 0 &&
		    limit.rlim_max == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_nodump),
		cmocka_unit_test(test_no_core),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
