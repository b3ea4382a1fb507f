/*
 * e3/platform_local.c - an engine that is a plain process: the master opened
 * root-only files (or systemd credentials) and passed the descriptors.
 */
#include "e3/platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "e3/ecdh.h"
#include "lib/base/buffer.h"
#include "lib/base/fd.h"
#include "lib/base/secret.h"
#include "lib/net/tls.h"

#define PEM_BYTES_MAX	(256u << 10)	/* a chain or a bundle, generously */

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
local_root_key(struct ipc_inherited *fds, uint8_t *key, char *why,
    size_t why_size)
{
	int fd = ipc_inherit_take(fds, "root");
	uint8_t more;
	enum rc rc = RC_SYNTAX;

	if (fd < 0) {
		(void)snprintf(why, why_size, "no root key was passed");
		return (RC_NOTFOUND);
	}
	if (read_at(fd, key, E3_SECRET_BYTES, 0) == E3_SECRET_BYTES &&
	    read_at(fd, &more, 1, E3_SECRET_BYTES) == 0)
		rc = RC_OK;
	else
		(void)snprintf(why, why_size,
		    "the root key must be exactly %d bytes", E3_SECRET_BYTES);
	fd_close(&fd);
	return (rc);
}

static enum rc
take_pem(struct ipc_inherited *fds, const char *name, struct buffer *out,
    char *why, size_t why_size)
{
	enum rc rc;

	rc = ipc_inherit_take_content(fds, name, out);
	if (rc != RC_OK)
		(void)snprintf(why, why_size, "%s: %s", name,
		    rc == RC_NOTFOUND ? "was not passed" : rc_name(rc));
	return (rc);
}

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static enum rc
local_server_ctx(struct ipc_inherited *fds, SSL_CTX **out, char *why,
    size_t why_size)
{
	struct buffer chain, key, ca, revoked;
	struct net_tls_link_files files;
	enum rc rc;

	*out = NULL;
	buffer_init(&chain, PEM_BYTES_MAX, false);
	buffer_init(&key, PEM_BYTES_MAX, true);
	buffer_init(&ca, PEM_BYTES_MAX, false);
	buffer_init(&revoked, PEM_BYTES_MAX, false);
	if ((rc = take_pem(fds, "link.cert", &chain, why, why_size)) != RC_OK ||
	    (rc = take_pem(fds, "link.key", &key, why, why_size)) != RC_OK ||
	    (rc = take_pem(fds, "link.ca", &ca, why, why_size)) != RC_OK)
		goto out;
	/* Most installations never revoked anything. */
	rc = ipc_inherit_take_content(fds, "link.revoked", &revoked);
	if (rc != RC_OK && rc != RC_NOTFOUND) {
		(void)snprintf(why, why_size, "link.revoked: %s", rc_name(rc));
		goto out;
	}
	files.chain = view(&chain);
	files.key = view(&key);
	files.ca = view(&ca);
	files.revoked = view(&revoked);
	*out = net_tls_link_ctx(true, &files, why, why_size);
	rc = *out == NULL ? RC_SYNTAX : RC_OK;
out:
	buffer_fini(&chain);
	buffer_fini(&key);
	buffer_fini(&ca);
	buffer_fini(&revoked);
	return (rc);
}

const struct e3_platform_ops *
e3_platform_local(void)
{
	static const struct e3_platform_ops ops = {
		.name = "local",
		.root_key = local_root_key,
		.server_ctx = local_server_ctx,
	};

	return (&ops);
}
