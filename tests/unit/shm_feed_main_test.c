/*
 * relay-feed as a process: how it starts, what it says to its master, a map
 * that was damaged, how it ends.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fd.h"

#define ANSWER_MS	10000
#define CONTROL_FD	20
#define CONF_FD		21

static char folder[64];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/relay-feed-XXXXXX");
	return (mkdtemp(folder) == NULL ? -1 : 0);
}

static int
teardown(void **state)
{
	char pattern[128];
	glob_t g;

	(void)state;
	(void)snprintf(pattern, sizeof(pattern), "%s/map/*", folder);
	if (glob(pattern, 0, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			(void)unlink(g.gl_pathv[i]);
		globfree(&g);
	}
	(void)snprintf(pattern, sizeof(pattern), "%s/map", folder);
	(void)rmdir(pattern);
	return (rmdir(folder));
}

struct feed {
	pid_t	pid;
	int	control;
};

/* conf NULL: no descriptors at all, as by hand. */
static struct feed
feed_start(const char *conf, const char *option)
{
	struct feed f = { .control = -1 };
	int pair[2] = { -1, -1 }, memory = -1;

	if (conf != NULL) {
		assert_int_equal(socketpair(AF_UNIX,
		    SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		memory = fd_memory("conf", conf, strlen(conf));
		assert_true(memory >= 0);
	}
	assert_true((f.pid = fork()) >= 0);
	if (f.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (conf != NULL) {
			(void)dup2(pair[1], CONTROL_FD);
			(void)dup2(memory, CONF_FD);
			(void)setenv("RELAY_FDS", "control=20:conf=21", 1);
		}
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(126);
		(void)execl(RELAY_FEED, "relay-feed", option, (char *)NULL);
		_exit(127);
	}
	if (conf != NULL) {
		(void)close(pair[1]);
		(void)close(memory);
	}
	f.control = pair[0];
	return (f);
}

/* The next message, "" when the other end closed. */
static const char *
hear(const struct feed *f)
{
	static char text[65536];
	struct pollfd p = { .fd = f->control, .events = POLLIN };
	ssize_t n;

	assert_int_equal(poll(&p, 1, ANSWER_MS), 1);
	n = recv(f->control, text, sizeof(text) - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	return (text);
}

static void
say(const struct feed *f, const char *text)
{
	assert_int_equal(send(f->control, text, strlen(text), MSG_NOSIGNAL),
	    strlen(text));
}

static int
feed_wait(struct feed *f)
{
	int status;

	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	if (f->control >= 0)
		(void)close(f->control);
	assert_true(WIFEXITED(status));
	return (WEXITSTATUS(status));
}

static const char *
conf_text(void)
{
	static char text[256];

	(void)snprintf(text, sizeof(text), "state_dir = \"%s\"\n", folder);
	return (text);
}

static void
test_by_hand(void **state)
{
	struct feed f;

	(void)state;
	f = feed_start(NULL, NULL);
	assert_int_equal(feed_wait(&f), 2);
	f = feed_start(NULL, "--no-such-option");
	assert_int_equal(feed_wait(&f), 2);
}

static void
test_ready_status_drain(void **state)
{
	struct feed f = feed_start(conf_text(), NULL);
	const char *text;

	(void)state;
	assert_string_equal(hear(&f), "ready");
	say(&f, "status");
	text = hear(&f);
	assert_memory_equal(text, "status {", 8);
	assert_non_null(strstr(text, "\"redis\":\"unset\""));
	assert_non_null(strstr(text, "\"synced\":true"));
	say(&f, "drain");
	assert_string_equal(hear(&f), "");
	assert_int_equal(feed_wait(&f), 0);
}

static void
test_master_gone(void **state)
{
	struct feed f = feed_start(conf_text(), NULL);

	(void)state;
	assert_string_equal(hear(&f), "ready");
	(void)close(f.control);
	f.control = -1;
	assert_int_equal(feed_wait(&f), 0);
}

static void
test_bad_configuration(void **state)
{
	struct feed f = feed_start("no_such_option = 1\n", NULL);

	(void)state;
	assert_memory_equal(hear(&f), "failed ", 7);
	assert_int_equal(feed_wait(&f), 1);
}

static void
damage(void (*how)(int fd, off_t size))
{
	char path[128];
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/map/data.mdb", folder);
	assert_true((fd = open(path, O_RDWR | O_CLOEXEC)) >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	how(fd, st.st_size);
	(void)close(fd);
}

static void
truncate_half(int fd, off_t size)
{
	assert_int_equal(ftruncate(fd, size / 2), 0);
}

static void
overwrite_pages(int fd, off_t size)
{
	static const char wrong[4096] = "wrong bytes";

	for (off_t at = 8192; at < size; at += 4096)
		assert_int_equal(pwrite(fd, wrong, sizeof(wrong), at), 4096);
}

static void
overwrite_meta(int fd, off_t size)
{
	static const char wrong[8192] = "wrong bytes";

	(void)size;
	assert_int_equal(pwrite(fd, wrong, sizeof(wrong), 0), 8192);
}

static void
test_damaged_map_is_replaced(void **state)
{
	static void (*const how[])(int, off_t) = {
		truncate_half, overwrite_pages, overwrite_meta };
	char pattern[128];
	struct feed f;
	glob_t g;

	(void)state;
	for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
		f = feed_start(conf_text(), NULL);
		assert_string_equal(hear(&f), "ready");
		say(&f, "drain");
		assert_int_equal(feed_wait(&f), 0);
		damage(how[i]);
		f = feed_start(conf_text(), NULL);
		assert_string_equal(hear(&f), "map-replaced");
		assert_string_equal(hear(&f), "ready");
		say(&f, "drain");
		assert_int_equal(feed_wait(&f), 0);
	}
	(void)snprintf(pattern, sizeof(pattern), "%s/map/data.mdb.bad-*",
	    folder);
	assert_int_equal(glob(pattern, 0, NULL, &g), 0);
	globfree(&g);
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_by_hand),
		T(test_ready_status_drain),
		T(test_master_gone),
		T(test_bad_configuration),
		T(test_damaged_map_is_replaced),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
