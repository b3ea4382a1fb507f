/*
 * e3/platform_local.c - an engine that is a plain process: the master opened
 * root-only files (or systemd credentials) and passed the descriptors.
 */
#include "e3/platform.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/ipc/link_ctx.h"
#include "lib/scheme/ecdh.h"

static ssize_t
read_at(int fd, void *p, size_t len, off_t at)
{
	ssize_t n;

	do {
		n = pread(fd, p, len, at);
	} while (n < 0 && errno == EINTR);
	return (n);
}

/* Straight into the secure heap; exactly 32 bytes, so that a text file or a
 * cut one is refused and not used as some other key. */
static enum rc
local_root_key(struct ipc_inherited *fds, bool next, uint8_t *key, char *why,
    size_t why_size)
{
	int fd = ipc_inherit_take(fds, next ? "root.next" : "root");
	uint8_t more;
	enum rc rc = RC_SYNTAX;

	if (fd < 0) {
		(void)snprintf(why, why_size, "no root key was passed");
		return (RC_NOTFOUND);
	}
	if (read_at(fd, key, SCHEME_SECRET_BYTES, 0) == SCHEME_SECRET_BYTES &&
	    read_at(fd, &more, 1, SCHEME_SECRET_BYTES) == 0)
		rc = RC_OK;
	else
		(void)snprintf(why, why_size,
		    "the %sroot key must be exactly %d bytes",
		    next ? "next " : "", SCHEME_SECRET_BYTES);
	fd_close(&fd);
	return (rc);
}

const struct e3_platform_ops *
e3_platform_local(void)
{
	static const struct e3_platform_ops ops = {
		.name = "local",
		.root_key = local_root_key,
		.link_ctx = ipc_inherit_link_ctx,
	};

	return (&ops);
}
