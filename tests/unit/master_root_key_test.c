/* The root key's file: exactly so, or not at all; the next one beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "master/root_key.h"

#define KEY	"0123456789abcdef0123456789abcdef"
#define NEXT	"fedcba9876543210fedcba9876543210"

static char folder[64];
static char path[128];
static struct conf_e3 e3 = { .root_key = path };
static char conf_path[] = "e3.conf";

static void
put(const char *suffix, const char *text, unsigned mode)
{
	char name[160];

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	assert_int_equal(file_write_atomic(name, text, strlen(text), mode),
	    RC_OK);
}

static void
expect(const char *suffix, enum rc want, const char *text)
{
	struct conf_fault fault = { .text = "" };
	struct stat st;
	char got[64];
	int fd;

	assert_int_equal(root_key_open(&e3, suffix, &fd, &st, &fault), want);
	if (want != RC_OK) {
		assert_int_equal(fd, -1);
		if (strstr(fault.text, text) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", text, fault.text);
		return;
	}
	assert_int_equal(st.st_size, 32);
	assert_int_equal(read(fd, got, sizeof(got)), 32);
	assert_memory_equal(got, text, 32);
	fd_close(&fd);
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/relay-root-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return (-1);
	(void)snprintf(path, sizeof(path), "%s/root.key", folder);
	e3.path = conf_path;
	return (0);
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	e3.root_key = path;
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	return (system(command));
}

static void
test_files(void **state)
{
	(void)state;
	expect("", RC_NOTFOUND, path);
	put("", KEY, 0400);
	expect("", RC_OK, KEY);
	expect(ROOT_KEY_NEXT, RC_NOTFOUND, "root.key.next");
	put(ROOT_KEY_NEXT, NEXT, 0400);
	expect(ROOT_KEY_NEXT, RC_OK, NEXT);
	expect("", RC_OK, KEY);
	put(ROOT_KEY_NEXT, NEXT "\n", 0400);
	expect(ROOT_KEY_NEXT, RC_SYNTAX, "32 bytes");
	put(ROOT_KEY_NEXT, "", 0400);
	expect(ROOT_KEY_NEXT, RC_SYNTAX, "32 bytes");
	put(ROOT_KEY_NEXT, NEXT, 0440);
	expect(ROOT_KEY_NEXT, RC_DENIED, "mode 440");
	put("", KEY, 0404);
	expect("", RC_DENIED, "mode 404");
	assert_int_equal(unlink(path), 0);
	(void)alarm(30);	/* one that waits for a writer waits for ever */
	assert_int_equal(mkfifo(path, 0400), 0);
	expect("", RC_IO, "not a file");
	(void)alarm(0);
	e3.root_key = folder;
	expect("", RC_IO, "not a file");
}

static void
test_credentials(void **state)
{
	static char credential[] = "credential:root.key";

	(void)state;
	put("", KEY, 0400);
	e3.root_key = credential;
	expect("", RC_NOTFOUND, "CREDENTIALS_DIRECTORY");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	expect("", RC_OK, KEY);
	expect(ROOT_KEY_NEXT, RC_NOTFOUND, "root.key.next");
	put(ROOT_KEY_NEXT, NEXT, 0400);
	expect(ROOT_KEY_NEXT, RC_OK, NEXT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_credentials, setup,
		    teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
