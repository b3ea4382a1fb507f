/* Clients of a control socket: answers by number, the door, no descriptors left. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/timer.h"
#include "lib/ipc/server.h"

#define CLIENTS_MAX	3
#define GIVE_UP_MS	5000

static struct loop *loop;
static struct ipc_server *server;
static struct timer tick;
static struct sockaddr_un door;
static uint64_t last_who;
static unsigned n_messages;
static struct ucred last_peer;

static void
on_tick(void *arg)
{
	timer_start_ms(arg, 2);
}

/* "echo TEXT" is answered; "later" is not. */
static void
on_message(void *arg, uint64_t who, const struct ucred *peer,
    struct span verb, struct span text, int fd)
{
	assert_ptr_equal(arg, &door);
	last_who = who;
	last_peer = *peer;
	n_messages++;
	if (span_eq_str(verb, "echo"))
		ipc_server_answer(server, who, "ok", text, fd);
	fd_close(&fd);
}

static const struct ipc_server_ops ops = { .on_message = on_message };

static void
begin(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	log_set_level(LOG_ERROR);
	loop = loop_new();
	timer_init(&tick, loop, on_tick, &tick);
	on_tick(&tick);
	memset(&door, 0, sizeof(door));
	door.sun_family = AF_UNIX;	/* abstract: nothing to remove */
	(void)snprintf(door.sun_path + 1, sizeof(door.sun_path) - 1,
	    "ipc-server-test-%ld", (long)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&door, sizeof(door)), 0);
	assert_int_equal(listen(fd, 8), 0);
	server = ipc_server_new(loop, fd, CLIENTS_MAX, &ops, &door);
	n_messages = 0;
}

static void
end(void)
{
	ipc_server_free(&server);
	timer_fini(&tick);
	loop_free(&loop);
}

static int
knock(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&door,
	    sizeof(door)) < 0)
		fd_close(&fd);
	return (fd);
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL),
	    strlen(text));
}

/* What comes, or "" for the end of the stream; fails when nothing does. */
static const char *
hear(int fd)
{
	static char text[256];
	uint64_t end_ms = clock_mono_ms() + GIVE_UP_MS;
	ssize_t n;

	do {
		loop_turn(loop, true);
		n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
		assert_true(clock_mono_ms() < end_ms);
	} while (n < 0 && errno == EAGAIN);
	text[n > 0 ? n : 0] = '\0';
	return (text);
}

static void
until_messages(unsigned n)
{
	uint64_t end_ms = clock_mono_ms() + GIVE_UP_MS;

	while (n_messages < n) {
		loop_turn(loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
}

static void
turn_ms(unsigned ms)
{
	uint64_t end_ms = clock_mono_ms() + ms;

	while (clock_mono_ms() < end_ms)
		loop_turn(loop, true);
}

static void
test_answers_go_to_who_asked(void **state)
{
	int a, b;
	uint64_t who;

	(void)state;
	begin();
	a = knock();
	b = knock();
	say(a, "later");
	until_messages(1);
	who = last_who;
	assert_int_equal(last_peer.pid, getpid());
	assert_int_equal(last_peer.uid, geteuid());
	say(b, "echo two");
	assert_string_equal(hear(b), "ok two");
	ipc_server_answer(server, who, "done", SPAN_LIT("one"), -1);
	assert_string_equal(hear(a), "done one");
	/* One that hung up is nobody, and its number is not given again. */
	fd_close(&a);
	turn_ms(20);
	ipc_server_answer(server, who, "done", SPAN_LIT("gone"), -1);
	a = knock();
	say(a, "later");
	until_messages(3);
	assert_true(last_who > who);
	fd_close(&a);
	fd_close(&b);
	end();
}

static void
test_too_many_and_a_closed_door(void **state)
{
	int fd[CLIENTS_MAX + 1];

	(void)state;
	begin();
	for (int i = 0; i <= CLIENTS_MAX; i++)
		fd[i] = knock();
	assert_string_equal(hear(fd[CLIENTS_MAX]), "");
	say(fd[0], "echo x");
	assert_string_equal(hear(fd[0]), "ok x");
	ipc_server_close_door(server);
	assert_int_equal(knock(), -1);
	say(fd[1], "echo y");
	assert_string_equal(hear(fd[1]), "ok y");
	ipc_server_close_door(server);
	for (int i = 0; i <= CLIENTS_MAX; i++)
		fd_close(&fd[i]);
	end();
}

/* Without descriptors the loop does not spin, and goes on when there are some. */
static void
test_no_descriptors(void **state)
{
	struct rlimit before, low;
	unsigned turns = 0;
	uint64_t end_ms;
	int fd, spare;

	(void)state;
	begin();
	turn_ms(10);
	fd = knock();
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(spare > fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)spare + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	say(fd, "echo z");
	end_ms = clock_mono_ms() + 100;
	while (clock_mono_ms() < end_ms) {
		loop_turn(loop, true);
		turns++;
	}
	assert_in_range(turns, 10, 60);	/* the test's own ticks */
	assert_int_equal(n_messages, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_string_equal(hear(fd), "ok z");
	fd_close(&spare);
	fd_close(&fd);
	end();
}

static void
test_nobody_reaches_it(void **state)
{
	(void)state;
	loop = loop_new();
	server = ipc_server_new(loop, -1, 1, &ops, &door);
	ipc_server_answer(server, 1, "ok", SPAN_LIT(""), -1);
	ipc_server_close_door(server);
	ipc_server_free(&server);
	ipc_server_free(&server);
	loop_free(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_go_to_who_asked),
		cmocka_unit_test(test_too_many_and_a_closed_door),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_nobody_reaches_it),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
