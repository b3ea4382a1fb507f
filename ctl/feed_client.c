/* ctl/feed_client.c - see feed_client.h. */
#include "ctl/feed_client.h"

#include <limits.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/body/json_write.h"

#define FEED_SOCKET	"feed.sock"

enum ctl_exit
feed_ask(struct ctl *ctl, const char *verb, const char *name, int fd,
    struct control_answer *answer)
{
	char path[PATH_MAX];
	enum ctl_exit status;

	status = control_path(ctl, FEED_SOCKET, path, sizeof(path));
	if (status != CTL_DONE)
		return (status);
	return (control_want(FEED, path, verb, span_of(name), fd,
	    CONTROL_TIMEOUT_MS, "ok", answer));
}

static enum ctl_exit
document_fd(struct span doc, int *fd)
{
	if ((*fd = fd_memory("record", doc.p, doc.len)) >= 0)
		return (CTL_DONE);
	ctl_error("no memory file can be made");
	return (CTL_FAILED);
}

enum ctl_exit
feed_ask_with(struct ctl *ctl, const char *verb, const char *name,
    struct span doc, struct control_answer *answer)
{
	enum ctl_exit status;
	int fd;

	if ((status = document_fd(doc, &fd)) != CTL_DONE)
		return (status);
	status = feed_ask(ctl, verb, name, fd, answer);
	fd_close(&fd);
	return (status);
}

/* The index of the answer's text among these, or -1. */
static int
text_of(const struct control_answer *answer, const char *const *texts)
{
	if (!control_answer_is(answer, "failed"))
		return (-1);
	for (int i = 0; texts[i] != NULL; i++)
		if (span_eq_str(control_answer_text(answer), texts[i]))
			return (i);
	return (-1);
}

enum ctl_exit
feed_ask_unless(struct ctl *ctl, const char *verb, const char *name,
    const struct span *doc, const char *const *texts, int *which,
    struct control_answer *answer)
{
	char path[PATH_MAX];
	enum ctl_exit status;
	int fd = -1;

	*which = -1;
	status = control_path(ctl, FEED_SOCKET, path, sizeof(path));
	if (status == CTL_DONE && doc != NULL)
		status = document_fd(*doc, &fd);
	if (status == CTL_DONE)
		status = control_get(FEED, path, verb, span_of(name), fd,
		    CONTROL_TIMEOUT_MS, answer);
	fd_close(&fd);
	if (status != CTL_DONE || (*which = text_of(answer, texts)) >= 0)
		return (status);
	return (control_check(answer, "ok"));
}

enum ctl_exit
feed_content(struct control_answer *answer, size_t max, struct buffer *out)
{
	buffer_init(out, max, false);
	if (answer->fd >= 0 && lseek(answer->fd, 0, SEEK_SET) == 0 &&
	    fd_read_all(answer->fd, out) == RC_OK)
		return (CTL_DONE);
	ctl_error(FEED ": its answer cannot be read");
	return (CTL_FAILED);
}

enum ctl_exit
feed_print_change(const struct ctl *ctl, const char *field, const char *name,
    const char *text, const struct control_answer *answer)
{
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;
	uint64_t epoch;

	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, field, name);
		if (string_u64(control_answer_text(answer), &epoch) == RC_OK)
			body_json_put_u64(&w, "epoch", epoch);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s: %s", name, text);
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

enum ctl_exit
feed_print_record(struct span text)
{
	return (text.len != 0 && text.p[text.len - 1] == '\n' ?
	    ctl_print(text) : ctl_print_line(text));
}
