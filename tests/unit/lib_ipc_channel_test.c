/* Messages, descriptors, the queue and the end of a channel. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/ipc/channel.h"

struct side {
	struct ipc_channel	*channel;
	struct buffer		seen;	/* "verb|text;" of each message */
	unsigned		n;
	int			fd;	/* the last that came */
	unsigned		eofs;
	bool			free_on_message;
	bool			free_on_eof;
};

static struct loop *loop;
static struct side a, b;

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct side *s = arg;

	buffer_printf(&s->seen, "%.*s|%.*s;", (int)verb.len, verb.p,
	    (int)text.len, text.p);
	s->n++;
	fd_close(&s->fd);
	s->fd = fd;
	if (s->free_on_message)
		ipc_channel_free(&s->channel);
}

static void
on_eof(void *arg)
{
	struct side *s = arg;

	s->eofs++;
	if (s->free_on_eof)
		ipc_channel_free(&s->channel);
}

static const struct ipc_channel_ops ops = {
	.on_message = on_message, .on_eof = on_eof
};

static int
setup(void **state)
{
	int pair[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0, pair) != 0)
		return (-1);
	loop = loop_new();
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.fd = b.fd = -1;
	buffer_init(&a.seen, 0, false);
	buffer_init(&b.seen, 0, false);
	a.channel = ipc_channel_new(loop, pair[0], &ops, &a);
	b.channel = ipc_channel_new(loop, pair[1], &ops, &b);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	ipc_channel_free(&a.channel);
	ipc_channel_free(&b.channel);
	fd_close(&a.fd);
	fd_close(&b.fd);
	buffer_fini(&a.seen);
	buffer_fini(&b.seen);
	loop_free(&loop);
	return (0);
}

static void
turn(void)
{
	for (int i = 0; i < 40; i++)
		loop_turn(loop, false);
}

static void
test_messages_both_ways(void **state)
{
	(void)state;
	assert_int_equal(ipc_channel_send(a.channel, "drain", SPAN_LIT(""),
	    -1), RC_OK);
	assert_int_equal(ipc_channel_send(a.channel, "failed",
	    SPAN_LIT("two words  here "), -1), RC_OK);
	assert_int_equal(ipc_channel_send(b.channel, "ready", SPAN_LIT(""),
	    -1), RC_OK);
	turn();
	assert_string_equal(buffer_cstr(&b.seen),
	    "drain|;failed|two words  here ;");
	assert_string_equal(buffer_cstr(&a.seen), "ready|;");
	assert_int_equal(b.fd, -1);
}

static void
test_the_longest_message(void **state)
{
	static char text[IPC_MESSAGE_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(ipc_channel_send(a.channel, "v", (struct span){ text,
	    IPC_MESSAGE_BYTES - 1 }, -1), RC_LIMIT);
	assert_int_equal(ipc_channel_send(a.channel, "v", (struct span){ text,
	    IPC_MESSAGE_BYTES - 2 }, -1), RC_OK);
	turn();
	assert_int_equal(b.n, 1);
	assert_int_equal(buffer_len(&b.seen), IPC_MESSAGE_BYTES + 1);
}

static void
test_a_descriptor_goes_along(void **state)
{
	int fd = fd_memory("t", "hello", 5);
	char got[8] = "";

	(void)state;
	assert_int_equal(ipc_channel_send(a.channel, "tickets", SPAN_LIT(""),
	    fd), RC_OK);
	assert_true(fcntl(fd, F_GETFD) >= 0);	/* ours stays open */
	close(fd);
	turn();
	assert_true(b.fd >= 0);
	assert_int_equal(fcntl(b.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pread(b.fd, got, sizeof(got), 0), 5);
	assert_string_equal(got, "hello");
}

static unsigned
open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return (n);
}

/* A message of ours brings one; what else comes must not stay open. */
static void
test_surplus_descriptors_are_closed(void **state)
{
	union {
		char		bytes[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr	align;
	} control = { .bytes = { 0 } };
	char byte[] = "x";
	struct iovec iov = { .iov_base = byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes) };
	int fds[3] = { 0, 1, 2 }, pair[2];
	unsigned before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	ipc_channel_free(&b.channel);
	b.channel = ipc_channel_new(loop, pair[0], &ops, &b);
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
	before = open_descriptors();
	assert_int_equal(sendmsg(pair[1], &msg, 0), 1);
	turn();
	assert_int_equal(b.n, 1);
	assert_true(b.fd >= 0);
	assert_int_equal(open_descriptors(), before + 1);
	close(pair[1]);
}

/* Nobody reads: messages wait, in order, with their descriptors; then no
 * more are taken. */
static void
test_the_queue(void **state)
{
	static char text[8000];
	unsigned sent = 0, waiting = 0;
	int fd = open("/dev/null", O_RDONLY);
	char want[32];
	enum rc rc;

	(void)state;
	memset(text, '.', sizeof(text));
	while (sent < 10000) {
		(void)snprintf(text, sizeof(text), "%05u", sent);
		text[5] = '.';
		rc = ipc_channel_send(a.channel, "v", (struct span){ text,
		    sizeof(text) }, fd);
		if (rc == RC_LIMIT)
			break;
		assert_int_equal(rc, RC_OK);
		sent++;
	}
	assert_true(sent >= 64 && sent < 10000);
	close(fd);
	while (b.n < sent && waiting++ < 1000)
		loop_turn(loop, false);
	assert_int_equal(b.n, sent);
	assert_true(b.fd >= 0);
	for (unsigned i = 0; i < sent; i++) {
		(void)snprintf(want, sizeof(want), "v|%05u.", i);
		assert_memory_equal(buffer_data(&b.seen) + i *
		    (sizeof(text) + 3), want, 8);
	}
	assert_int_equal(ipc_channel_send(a.channel, "end", SPAN_LIT(""), -1),
	    RC_OK);
	turn();
	assert_int_equal(b.n, sent + 1);
}

static void
test_the_end_comes_after_the_last_message(void **state)
{
	(void)state;
	/* Left unread by a: the kernel tells b of a reset first. */
	assert_int_equal(ipc_channel_send(b.channel, "status", SPAN_LIT(""),
	    -1), RC_OK);
	assert_int_equal(ipc_channel_send(a.channel, "failed",
	    SPAN_LIT("why"), -1), RC_OK);
	ipc_channel_free(&a.channel);
	turn();
	assert_string_equal(buffer_cstr(&b.seen), "failed|why;");
	assert_int_equal(b.eofs, 1);
	turn();
	assert_int_equal(b.eofs, 1);
	assert_int_equal(ipc_channel_send(b.channel, "x", SPAN_LIT(""), -1),
	    RC_IO);
}

static void
test_last_words_without_the_loop(void **state)
{
	(void)state;
	assert_int_equal(ipc_channel_send(a.channel, "failed",
	    SPAN_LIT("why"), -1), RC_OK);
	ipc_channel_free(&a.channel);
	ipc_channel_poll(b.channel);
	assert_string_equal(buffer_cstr(&b.seen), "failed|why;");
	assert_int_equal(b.eofs, 1);
	b.free_on_eof = true;
	ipc_channel_poll(b.channel);		/* the end is told once */
	assert_int_equal(b.eofs, 1);
}

static void
test_sending_to_nobody(void **state)
{
	(void)state;
	ipc_channel_free(&a.channel);
	assert_int_equal(ipc_channel_send(b.channel, "x", SPAN_LIT(""), -1),
	    RC_IO);
	turn();
	assert_int_equal(b.eofs, 1);
}

static void
test_freed_by_its_own_callbacks(void **state)
{
	(void)state;
	b.free_on_message = true;
	a.free_on_eof = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ipc_channel_send(a.channel, "x",
		    SPAN_LIT(""), -1), RC_OK);
	turn();
	assert_int_equal(b.n, 1);
	assert_null(b.channel);
	assert_int_equal(a.eofs, 1);
	assert_null(a.channel);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_messages_both_ways),
		T(test_the_longest_message),
		T(test_a_descriptor_goes_along),
		T(test_surplus_descriptors_are_closed),
		T(test_the_queue),
		T(test_the_end_comes_after_the_last_message),
		T(test_last_words_without_the_loop),
		T(test_sending_to_nobody),
		T(test_freed_by_its_own_callbacks),
	};

	signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
