/* master/root_key.c - found, checked, opened; its bytes are the engine's. */
#include "master/root_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/object.h"

#define BYTES		32

static enum rc __attribute__((__format__(__printf__, 3, 4)))
refuse(struct conf_fault *fault, enum rc rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
	return (rc);
}

/* *path: owned by the caller. */
static enum rc
find(const struct conf_e3 *e3, const char *suffix, char **path,
    struct conf_fault *fault)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");

	*path = NULL;
	if (strncmp(e3->root_key, CONF_CREDENTIAL, strlen(CONF_CREDENTIAL)) != 0)
		*path = xasprintf("%s%s", e3->root_key, suffix);
	else if (folder != NULL)
		*path = xasprintf("%s/%s%s", folder,
		    e3->root_key + strlen(CONF_CREDENTIAL), suffix);
	else
		return (refuse(fault, RC_NOTFOUND, "%s: option 'root_key': "
		    "there is no $CREDENTIALS_DIRECTORY", e3->path));
	return (RC_OK);
}

static enum rc
check(const char *path, const struct stat *st, struct conf_fault *fault)
{
	if (!S_ISREG(st->st_mode))
		return (refuse(fault, RC_IO, "%s: not a file", path));
	if (st->st_size != BYTES)
		return (refuse(fault, RC_SYNTAX, "%s: a root key has %d bytes, "
		    "this file %lld", path, BYTES, (long long)st->st_size));
	if ((st->st_mode & 077) != 0)
		return (refuse(fault, RC_DENIED, "%s: others may read it (mode "
		    "%03o): it must be 0400", path,
		    (unsigned)(st->st_mode & 0777)));
	return (RC_OK);
}

enum rc
root_key_open(const struct conf_e3 *e3, const char *suffix, int *fd,
    struct stat *st, struct conf_fault *fault)
{
	char *path;
	enum rc rc;

	*fd = -1;
	if ((rc = find(e3, suffix, &path, fault)) != RC_OK)
		return (rc);
	/* O_NONBLOCK: a fifo in its place must not stop the loop. */
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*fd < 0 || fstat(*fd, st) != 0)
		rc = refuse(fault, *fd < 0 && errno == ENOENT ? RC_NOTFOUND :
		    RC_IO, "%s: %s", path, strerror(errno));
	else
		rc = check(path, st, fault);
	if (rc != RC_OK)
		fd_close(fd);
	free(path);
	return (rc);
}
