/* One configuration with its files: what is opened, for whom, what differs. */
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
#include "lib/base/log.h"
#include "master/settings.h"

#define RELAY_CONF							\
	"listen \"ingress\" { address = \"127.0.0.1:1\" }\n"		\
	"certificate \"a\" { chain = a.pem key = a.key }\n"		\
	"certificate \"b\" { chain = a.pem key = a.key }\n"		\
	"run_dir = run\n"

static char folder[64];
static struct conf_fault fault;

static char *
path_of(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return (path);
}

static void
put(const char *name, const char *text, unsigned mode)
{
	assert_int_equal(file_write_atomic(path_of(name), text, strlen(text),
	    mode), RC_OK);
}

static int
setup(void **state)
{
	static const char *const files[] = { "link/ca.pem",
	    "link/worker.pem", "link/worker.key", "link/feed.pem",
	    "link/feed.key", "link/engine.pem", "link/engine.key",
	    "link/helper.pem", "link/helper.key", "a.pem", "a.key" };

	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/relay-settings-XXXXXX");
	if (mkdtemp(folder) == NULL || mkdir(path_of("link"), 0700) != 0)
		return (-1);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		put(files[i], "x", 0600);
	put("root.key", "0123456789abcdef0123456789abcdef", 0400);
	put("relay.conf", RELAY_CONF, 0600);
	put("e3.conf", "listen = \"unix:e3.sock\"\n", 0600);
	fault.text[0] = '\0';
	return (0);
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	return (system(command));
}

static struct settings *
read_good(void)
{
	struct settings *s;

	if (settings_read(path_of("relay.conf"), false, false, &s, &fault) !=
	    RC_OK)
		fail_msg("%s", fault.text);
	return (s);
}

static void
read_bad(const char *message)
{
	struct settings *s;

	assert_int_not_equal(settings_read(path_of("relay.conf"), false, false,
	    &s, &fault), RC_OK);
	assert_null(s);
	if (strstr(fault.text, message) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", message, fault.text);
}

static unsigned
count(const struct settings *s, enum role role, const char *name)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n_files; i++)
		n += s->files[i].role == role &&
		    (name == NULL || strcmp(s->files[i].name, name) == 0);
	return (n);
}

/* Each role has its own files and nobody else's: the root key above all. */
static void
test_who_gets_what(void **state)
{
	struct settings *s = read_good();

	(void)state;
	assert_int_equal(count(s, ROLE_E3D, "root"), 1);
	assert_int_equal(count(s, ROLE_E3D, NULL), 4);
	assert_int_equal(count(s, ROLE_HELPER, NULL), 3);
	assert_int_equal(count(s, ROLE_FEED, NULL), 3);
	assert_int_equal(count(s, ROLE_WORKER, NULL), 7);
	assert_int_equal(count(s, ROLE_WORKER, "key.1"), 1);
	assert_int_equal(count(s, ROLE_WORKER, "root"), 0);
	settings_unref(&s);
	put("link/revoked", "01\n", 0600);
	s = read_good();
	assert_int_equal(count(s, ROLE_E3D, "link.revoked"), 1);
	assert_int_equal(count(s, ROLE_WORKER, "link.revoked"), 1);
	settings_unref(&s);
}

static void
test_an_engines_host_needs_no_worker_files(void **state)
{
	struct settings *s;

	(void)state;
	(void)unlink(path_of("link/worker.key"));
	(void)unlink(path_of("a.key"));
	assert_int_equal(settings_read(path_of("relay.conf"), false, true, &s,
	    &fault), RC_OK);
	assert_int_equal(count(s, ROLE_WORKER, NULL), 0);
	assert_int_equal(settings_workers(s), 0);
	settings_unref(&s);
}

static void
test_no_engine_here(void **state)
{
	struct settings *s;

	(void)state;
	put("relay.conf", RELAY_CONF "engine_conf = \"\"\n", 0600);
	(void)unlink(path_of("root.key"));
	s = read_good();
	assert_null(s->e3);
	assert_int_equal(count(s, ROLE_E3D, NULL), 0);
	settings_unref(&s);
}

static void
test_files_that_are_not_there(void **state)
{
	static const char *const names[] = { "a.key", "link/feed.key",
	    "link/ca.pem", "root.key", "e3.conf", "relay.conf" };
	char message[192];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)unlink(path_of(names[i]));
		(void)snprintf(message, sizeof(message),
		    "%s: No such file or directory", path_of(names[i]));
		read_bad(message);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

static void
test_private_link_keys(void **state)
{
	static const char *const names[] = { "link/worker.key",
	    "link/feed.key", "link/engine.key", "link/helper.key" };
	struct settings *s;
	char message[192];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(message, sizeof(message), "%s: others may read "
		    "it (mode 644): chmod 600", path_of(names[i]));
		assert_int_equal(chmod(path_of(names[i]), 0644), 0);
		read_bad(message);
		assert_int_equal(chmod(path_of(names[i]), 0620), 0);
		read_bad("others may change it (mode 620): chmod 600");
		assert_int_equal(chmod(path_of(names[i]), 0400), 0);
	}
	s = read_good();
	settings_unref(&s);
	if (geteuid() != 0)
		return;			/* only root can give a file away */
	assert_int_equal(chown(path_of("link/engine.key"), 4711, -1), 0);
	read_bad("link/engine.key: belongs to user 4711, who may read it: "
	    "chown it to root");
}

static void
test_the_root_key_is_exactly_so(void **state)
{
	(void)state;
	(void)unlink(path_of("root.key"));
	put("root.key", "0123456789abcdef0123456789abcde", 0400);
	read_bad("root.key: a root key has 32 bytes, this file 31");
	(void)unlink(path_of("root.key"));
	put("root.key", "0123456789abcdef0123456789abcdef", 0440);
	read_bad("root.key: others may read it (mode 440): it must be 0400");
	put("e3.conf", "root_key = \"credential:root\"\n", 0600);
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	read_bad("there is no $CREDENTIALS_DIRECTORY");
}

static void
test_a_credential(void **state)
{
	struct settings *s;
	char dir[128];

	(void)state;
	put("e3.conf", "root_key = \"credential:root.key\"\n", 0600);
	(void)snprintf(dir, sizeof(dir), "%s", folder);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
	s = read_good();
	assert_int_equal(count(s, ROLE_E3D, "root"), 1);
	settings_unref(&s);
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void
check_same(const struct settings *a, bool e3d, bool helper, bool feed)
{
	struct settings *b = read_good();

	assert_int_equal(settings_same_for(ROLE_E3D, a, b), e3d);
	assert_int_equal(settings_same_for(ROLE_HELPER, a, b), helper);
	assert_int_equal(settings_same_for(ROLE_FEED, a, b), feed);
	assert_false(settings_same_for(ROLE_WORKER, a, b));
	settings_unref(&b);
}

static void
test_who_has_something_new(void **state)
{
	struct settings *a = read_good();

	(void)state;
	check_same(a, true, true, true);
	put("relay.conf", RELAY_CONF "workers = 3\n", 0600);
	check_same(a, true, true, true);
	put("relay.conf", RELAY_CONF "compare_interval_s = 3\n", 0600);
	check_same(a, true, true, false);
	put("relay.conf", RELAY_CONF "redis = \"r.test:1\"\n", 0600);
	check_same(a, true, true, false);
	put("relay.conf", RELAY_CONF, 0600);
	put("e3.conf", "listen = \"unix:e3.sock\"\nmax_links = 3\n", 0600);
	check_same(a, false, false, true);
	put("e3.conf", "listen = \"unix:e3.sock\"\n", 0600);
	check_same(a, true, true, true);
	put("link/helper.pem", "x", 0600);	/* renewed */
	check_same(a, true, false, true);
	put("link/revoked", "01\n", 0600);
	check_same(a, false, false, false);
	settings_unref(&a);
}

static void
test_what_a_running_relayd_cannot_change(void **state)
{
	struct settings *a = read_good(), *b;

	(void)state;
	put("relay.conf", RELAY_CONF "workers = 3\n", 0600);
	b = read_good();
	assert_int_equal(settings_may_follow(a, b, &fault), RC_OK);
	settings_unref(&b);
	put("relay.conf", RELAY_CONF "state_dir = s\n", 0600);
	b = read_good();
	assert_int_equal(settings_may_follow(a, b, &fault), RC_UNSUPPORTED);
	assert_non_null(strstr(fault.text, "relay.conf: option 'state_dir' "
	    "cannot change while relayd runs: restart it"));
	settings_unref(&b);
	settings_unref(&a);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_who_gets_what),
		T(test_an_engines_host_needs_no_worker_files),
		T(test_no_engine_here),
		T(test_files_that_are_not_there),
		T(test_private_link_keys),
		T(test_the_root_key_is_exactly_so),
		T(test_a_credential),
		T(test_who_has_something_new),
		T(test_what_a_running_relayd_cannot_change),
	};

	log_init("test", LOG_ERROR);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
