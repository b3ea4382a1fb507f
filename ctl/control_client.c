/* ctl/control_client.c - ipc/channel.h on a loop of its own. */
#include "ctl/control_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/loop.h"
#include "lib/base/timer.h"
#include "lib/ipc/channel.h"

struct asking {
	struct control_answer	*answer;	/* borrowed: the caller's */
	bool			done;
	enum rc			rc;
};

static void
on_message(void *arg, struct span verb, struct span text, int fd)
{
	struct asking *a = arg;

	if (a->done) {
		fd_close(&fd);
		return;
	}
	a->done = true;
	a->rc = RC_IO;
	a->answer->fd = fd;
	if (span_copy(verb, a->answer->verb, sizeof(a->answer->verb)))
		a->rc = buffer_append(&a->answer->text, text.p, text.len);
}

static void
on_eof(void *arg)
{
	struct asking *a = arg;

	if (!a->done)
		a->rc = RC_EOF;
	a->done = true;
}

static void
on_timeout(void *arg)
{
	struct asking *a = arg;

	if (!a->done)
		a->rc = RC_TIMEOUT;
	a->done = true;
}

static const struct ipc_channel_ops ops = {
	.on_message = on_message,
	.on_eof = on_eof,
};

static enum rc
connect_to(const char *path, int *out)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	*out = -1;
	if (strlen(path) >= sizeof(un.sun_path))
		return (RC_NOTFOUND);
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return (RC_IO);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0) {
		*out = fd;
		return (RC_OK);
	}
	switch (errno) {
	case ENOENT:
	case ECONNREFUSED:
		close(fd);
		return (RC_NOTFOUND);
	case EACCES:
	case EPERM:
		close(fd);
		return (RC_DENIED);
	default:
		close(fd);
		return (RC_IO);
	}
}

enum rc
control_ask(const char *path, const char *verb, struct span text, int pass_fd,
    unsigned timeout_ms, struct control_answer *answer)
{
	struct asking a = { .answer = answer };
	struct ipc_channel *channel = NULL;
	struct loop *loop = NULL;
	struct timer timer;
	int fd;

	memset(&timer, 0, sizeof(timer));
	memset(answer, 0, sizeof(*answer));
	answer->fd = -1;
	buffer_init(&answer->text, IPC_MESSAGE_BYTES, false);
	if ((a.rc = connect_to(path, &fd)) != RC_OK)
		return (a.rc);
	loop = loop_new();
	channel = ipc_channel_new(loop, fd, &ops, &a);
	timer_init(&timer, loop, on_timeout, &a);
	timer_start_ms(&timer, timeout_ms);
	if ((a.rc = ipc_channel_send(channel, verb, text, pass_fd)) == RC_OK)
		while (!a.done)
			loop_turn(loop, true);
	timer_fini(&timer);
	ipc_channel_free(&channel);
	loop_free(&loop);
	if (a.rc != RC_OK)
		control_answer_fini(answer);
	return (a.rc);
}

void
control_answer_fini(struct control_answer *a)
{
	buffer_fini(&a->text);
	fd_close(&a->fd);
}

bool
control_answer_is(const struct control_answer *a, const char *verb)
{
	return (strcmp(a->verb, verb) == 0);
}

struct span
control_answer_text(const struct control_answer *a)
{
	return ((struct span){ buffer_data(&a->text), buffer_len(&a->text) });
}

enum ctl_exit
control_path(struct ctl *ctl, const char *name, char *out, size_t size)
{
	enum ctl_exit status;
	int n;

	if ((status = ctl_conf(ctl)) != CTL_DONE)
		return (status);
	n = snprintf(out, size, "%s/%s", ctl->conf->run_dir, name);
	if (n >= 0 && (size_t)n < size)
		return (CTL_DONE);
	ctl_error("%s: option 'run_dir' is too long", ctl->conf_path);
	return (CTL_USAGE);
}

static void
tell(const char *who, const char *path, enum rc rc)
{
	switch ((int)rc) {
	case RC_NOTFOUND:
		ctl_error("%s does not run (%s)", who, path);
		break;
	case RC_DENIED:
		ctl_error("%s: permission denied", path);
		break;
	case RC_EOF:
		ctl_error("%s ended without an answer", who);
		break;
	case RC_TIMEOUT:
		ctl_error("%s did not answer in time", who);
		break;
	default:
		ctl_error("%s: %s", path, rc_name(rc));
		break;
	}
}

enum ctl_exit
control_get(const char *who, const char *path, const char *verb,
    struct span text, int pass_fd, unsigned timeout_ms,
    struct control_answer *answer)
{
	enum rc rc;

	rc = control_ask(path, verb, text, pass_fd, timeout_ms, answer);
	if (rc == RC_OK)
		return (CTL_DONE);
	tell(who, path, rc);
	return (CTL_FAILED);
}

enum ctl_exit
control_check(struct control_answer *answer, const char *want)
{
	struct span said;

	if (control_answer_is(answer, want))
		return (CTL_DONE);
	said = control_answer_text(answer);
	if (said.len == 0)
		said = span_of(answer->verb);
	ctl_error("%.*s", (int)said.len, said.p);
	control_answer_fini(answer);
	return (CTL_FAILED);
}

enum ctl_exit
control_want(const char *who, const char *path, const char *verb,
    struct span text, int pass_fd, unsigned timeout_ms, const char *want,
    struct control_answer *answer)
{
	enum ctl_exit status;

	status = control_get(who, path, verb, text, pass_fd, timeout_ms, answer);
	return (status != CTL_DONE ? status : control_check(answer, want));
}
