/* tests/unit/lib_base_panic_test.c - last words, and what cannot fail. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/object.h"
#include "lib/base/panic.h"

struct thing {
	unsigned	magic;
};

static void
fail_ensure(void)
{
	ensure(1 + 1 == 3);
}

static void
fail_magic(void)
{
	struct thing t = { 7 };

	obj_check(&t, 8);
}

static void
fail_null(void)
{
	struct thing *t = NULL;

	obj_check(t, 8);
}

static void
fail_bus(void)
{
	raise(SIGBUS);
}

/* How a child that does this ends, and what its page says. */
static int
last_words(void (*die)(void), char *page)
{
	struct rlimit none = { 0, 0 };
	int fd = memfd_create("panic", 0), status;
	pid_t pid;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PANIC_PAGE_BYTES), 0);
	if ((pid = fork()) == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGBUS, SIG_DFL);	/* cmocka catches it */
		panic_init(fd);
		die();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(pread(fd, page, PANIC_PAGE_BYTES, 0),
	    PANIC_PAGE_BYTES);
	close(fd);
	return (status);
}

static void
test_last_words(void **state)
{
	static const struct {
		void		(*die)(void);
		const char	*words;
	} cases[] = {
		{ fail_ensure, "in fail_ensure: 1 + 1 == 3" },
		{ fail_magic, "in fail_magic: (&t)->magic == (8)" },
		{ fail_null, "in fail_null: (t) != NULL" },
	};
	char page[PANIC_PAGE_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = last_words(cases[i].die, page);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
		assert_memory_equal(page, "panic at ", 9);
		assert_non_null(strstr(page, "lib_base_panic_test.c:"));
		assert_non_null(strstr(page, cases[i].words));
	}
}

static void
test_faults(void **state)
{
	char page[PANIC_PAGE_BYTES];
	int status = last_words(fail_bus, page);

	(void)state;
	/* Sanitizers take the signal for themselves. */
	if (page[0] == '\0') {
		print_message("skip: built with a sanitizer\n");
		skip();
	}
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	assert_non_null(strstr(page, "SIGBUS"));
}

static void
test_allocations(void **state)
{
	char *p = xcalloc(0, 0), *q;

	(void)state;
	assert_non_null(p);
	free(p);
	p = xcalloc(10, 10);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	p = xrealloc(p, 200);
	free(p);
	p = xstrdup("abc");
	q = xstrndup("abcdef", 3);
	assert_string_equal(p, q);
	free(p);
	free(q);
	p = xasprintf("%d-%s", 7, "x");
	assert_string_equal(p, "7-x");
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_allocations),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
