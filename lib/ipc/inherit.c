/* ipc/inherit.c - the list of inherited descriptors: text in, text out. */
#include "lib/ipc/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/string.h"

#define CONTENT_STEP	4096

enum rc
ipc_inherit_format(const struct ipc_inherited *in, char *out, size_t size)
{
	size_t at = 0;
	int n;

	if (size == 0)
		return (RC_LIMIT);
	out[0] = '\0';
	for (unsigned i = 0; i < in->n; i++) {
		n = snprintf(out + at, size - at, "%s%s=%d",
		    i == 0 ? "" : ":", in->v[i].name, in->v[i].fd);
		if (n < 0 || (size_t)n >= size - at)
			return (RC_LIMIT);
		at += (size_t)n;
	}
	return (RC_OK);
}

static bool
name_valid(struct span name)
{
	if (name.len == 0 || name.len >= IPC_FD_NAME_BYTES)
		return (false);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') &&
		    c != '.' && c != '-')
			return (false);
	}
	return (true);
}

/* One "name=fd". */
static enum rc
read_entry(struct ipc_inherited *in, struct span entry)
{
	const char *eq = memchr(entry.p, '=', entry.len);
	struct span name, number;
	uint64_t fd;

	if (eq == NULL || in->n == IPC_FDS_MAX)
		return (RC_SYNTAX);
	name = (struct span){ entry.p, (size_t)(eq - entry.p) };
	number = (struct span){ eq + 1, entry.len - name.len - 1 };
	/* 0 to 2 are never handed over: a role may close or reopen them. */
	if (!name_valid(name) || string_u64(number, &fd) != RC_OK ||
	    fd < 3 || fd > 1 << 20)
		return (RC_SYNTAX);
	for (unsigned i = 0; i < in->n; i++)
		if (span_eq_str(name, in->v[i].name) || in->v[i].fd == (int)fd)
			return (RC_SYNTAX);
	if (fd_cloexec((int)fd, true) != RC_OK)
		return (RC_SYNTAX);		/* not open: not our list */
	memcpy(in->v[in->n].name, name.p, name.len);
	in->v[in->n].name[name.len] = '\0';
	in->v[in->n].fd = (int)fd;
	in->n++;
	return (RC_OK);
}

enum rc
ipc_inherit_read(struct ipc_inherited *in)
{
	const char *text = getenv(IPC_FDS_VARIABLE);
	const char *p, *end;
	enum rc rc = RC_OK;

	memset(in, 0, sizeof(*in));
	if (text == NULL)
		return (RC_OK);
	for (p = text; *p != '\0' && rc == RC_OK;
	    p = *end == ':' ? end + 1 : end) {
		end = strchrnul(p, ':');
		rc = read_entry(in, (struct span){ p, (size_t)(end - p) });
		if (rc == RC_OK && *end == ':' && end[1] == '\0')
			rc = RC_SYNTAX;
	}
	unsetenv(IPC_FDS_VARIABLE);
	if (rc != RC_OK)
		in->n = 0;
	return (rc);
}

int
ipc_inherit_take(struct ipc_inherited *in, const char *name)
{
	int fd;

	for (unsigned i = 0; i < in->n; i++) {
		if (strcmp(in->v[i].name, name) != 0)
			continue;
		fd = in->v[i].fd;
		in->n--;
		memmove(&in->v[i], &in->v[i + 1],
		    (in->n - i) * sizeof(in->v[0]));
		return (fd);
	}
	return (-1);
}

enum rc
ipc_inherit_take_content(struct ipc_inherited *in, const char *name,
    struct buffer *out)
{
	int fd = ipc_inherit_take(in, name);
	off_t at = 0;
	enum rc rc;
	ssize_t n;
	char *room;

	if (fd < 0)
		return (RC_NOTFOUND);
	for (;;) {
		size_t want = CONTENT_STEP;

		/* One byte past the limit shows that there is more. */
		if (out->max != 0 && out->max - buffer_len(out) < want)
			want = out->max - buffer_len(out);
		if (want == 0) {
			char more;

			n = pread(fd, &more, 1, at);
			rc = n == 0 ? RC_OK : n > 0 ? RC_LIMIT : RC_IO;
			break;
		}
		if ((rc = buffer_reserve(out, want, &room)) != RC_OK)
			break;
		n = pread(fd, room, want, at);
		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? RC_IO : RC_OK;
		if (n <= 0)
			break;
		buffer_commit(out, (size_t)n);
		at += n;
	}
	fd_close(&fd);
	return (rc);
}

void
ipc_inherit_close_rest(struct ipc_inherited *in)
{
	while (in->n > 0)
		fd_close(&in->v[--in->n].fd);
}
