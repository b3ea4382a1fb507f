/* Listening sockets: made once, kept, refused with the address, cleaned up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "master/listen.h"

static char folder[] = "/tmp/relay-listen-XXXXXX";
static struct listeners ls;
static struct listen_wants wants;
static struct conf_fault fault;

static int
setup(void **state)
{
	(void)state;
	listen_init(&ls);
	wants.n = 0;
	fault.text[0] = '\0';
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	listen_wants_fini(&wants);
	listen_fini(&ls);
	return (0);
}

static void
want_control(const char *name)
{
	listen_want(&wants, 0660, getegid(), "control:%s/%s", folder, name);
}

static const char *
path_of(const char *name)
{
	static char path[96];	/* fits sun_path */

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return (path);
}

/* A port nobody has: bound and given back. */
static unsigned
free_port(int *keep)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	if (keep != NULL) {
		assert_int_equal(listen(fd, 1), 0);
		*keep = fd;
	} else {
		close(fd);
	}
	return (ntohs(sin.sin_port));
}

static void
test_open_once_and_keep(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	want_control("a.sock");
	listen_want(&wants, 0, 0, "127.0.0.1:%u", free_port(NULL));
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_OK);
	fd = listen_fd(&ls, wants.v[1].address);
	assert_true(fd > 2);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(stat(path_of("a.sock"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	listen_keep(&ls, &wants);
	/* Again: the same sockets, none new. */
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_OK);
	assert_int_equal(listen_fd(&ls, wants.v[1].address), fd);
	listen_undo(&ls);
	assert_int_equal(listen_fd(&ls, wants.v[1].address), fd);
	assert_int_equal(listen_fd(&ls, "127.0.0.1:1"), -1);
}

static void
test_what_leaves_the_configuration_is_closed(void **state)
{
	struct listen_wants fewer = { .n = 0 };

	(void)state;
	want_control("a.sock");
	want_control("b.sock");
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_OK);
	listen_want(&fewer, 0660, getegid(), "control:%s/b.sock", folder);
	listen_keep(&ls, &fewer);
	assert_int_equal(listen_fd(&ls, wants.v[0].address), -1);
	assert_true(listen_fd(&ls, wants.v[1].address) >= 0);
	assert_int_equal(access(path_of("a.sock"), F_OK), -1);
	assert_int_equal(access(path_of("b.sock"), F_OK), 0);
	listen_wants_fini(&fewer);
}

/* A refused reload leaves nothing behind, and what was there stays. */
static void
test_a_taken_port_undoes_the_new_ones(void **state)
{
	char message[256];
	unsigned port;
	int taken;

	(void)state;
	want_control("a.sock");
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_OK);
	listen_keep(&ls, &wants);
	port = free_port(&taken);
	want_control("b.sock");
	listen_want(&wants, 0, 0, "127.0.0.1:%u", port);
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_EXISTS);
	(void)snprintf(message, sizeof(message), "cannot listen on "
	    "127.0.0.1:%u: the address is taken by another process", port);
	assert_string_equal(fault.text, message);
	assert_true(listen_fd(&ls, wants.v[0].address) >= 0);
	assert_int_equal(listen_fd(&ls, wants.v[1].address), -1);
	assert_int_equal(access(path_of("b.sock"), F_OK), -1);
	close(taken);
}

static int
unix_listener(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path_of(name));
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return (fd);
}

static void
test_a_stale_socket_is_replaced(void **state)
{
	(void)state;
	close(unix_listener("a.sock"));		/* its owner died */
	assert_int_equal(access(path_of("a.sock"), F_OK), 0);
	want_control("a.sock");
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_OK);
}

static void
test_a_living_socket_is_left_alone(void **state)
{
	int fd = unix_listener("a.sock");

	(void)state;
	want_control("a.sock");
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_EXISTS);
	assert_non_null(strstr(fault.text, "a.sock: the address is taken"));
	assert_int_equal(access(path_of("a.sock"), F_OK), 0);
	close(fd);
	(void)unlink(path_of("a.sock"));
}

static void
test_a_file_is_never_removed(void **state)
{
	(void)state;
	assert_int_equal(file_create(path_of("a.sock"), "x", 1, 0600), RC_OK);
	want_control("a.sock");
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_IO);
	assert_non_null(strstr(fault.text, "File exists"));
	assert_int_equal(unlink(path_of("a.sock")), 0);
}

static void
test_both_families_on_one_port(void **state)
{
	unsigned port = free_port(NULL);
	int on = 0, fd;
	socklen_t len = sizeof(on);

	(void)state;
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd < 0) {
		print_message("no IPv6 on this machine\n");
		skip();
	}
	close(fd);
	listen_want(&wants, 0, 0, "0.0.0.0:%u", port);
	listen_want(&wants, 0, 0, "[::]:%u", port);
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_OK);
	assert_int_equal(getsockopt(listen_fd(&ls, wants.v[1].address),
	    IPPROTO_IPV6, IPV6_V6ONLY, &on, &len), 0);
	assert_int_equal(on, 1);
}

static void
test_close_one(void **state)
{
	(void)state;
	want_control("a.sock");
	assert_int_equal(listen_open(&ls, &wants, 0, &fault), RC_OK);
	listen_close(&ls, wants.v[0].address);
	listen_close(&ls, wants.v[0].address);
	assert_int_equal(listen_fd(&ls, wants.v[0].address), -1);
	assert_int_equal(access(path_of("a.sock"), F_OK), -1);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_open_once_and_keep),
		T(test_what_leaves_the_configuration_is_closed),
		T(test_a_taken_port_undoes_the_new_ones),
		T(test_a_stale_socket_is_replaced),
		T(test_a_living_socket_is_left_alone),
		T(test_a_file_is_never_removed),
		T(test_both_families_on_one_port),
		T(test_close_one),
	};
	int failed;

	log_init("test", LOG_ERROR);
	if (mkdtemp(folder) == NULL)
		return (1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(folder);
	return (failed);
}
