/* ctl/scratch.c - folders that are complete under their name, or gone. */
#include "ctl/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/object.h"

#define RANDOM_CHARS	6	/* of mkdtemp */
#define OPEN_MAX_FDS	8	/* nftw: deeper than any of ours */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path);
	return (0);		/* go on with the rest */
}

static void
remove_folder(const char *path)
{
	(void)nftw(path, remove_one, OPEN_MAX_FDS, FTW_DEPTH | FTW_PHYS);
}

/* The folder, as a lock that lasts as long as its owner; -1: somebody holds
 * it, it is not ours, or it was removed before we had it (no links left). */
static int
lock_folder(const char *path, int flags)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return (-1);
	if (flock(fd, LOCK_EX | flags) != 0 || fstat(fd, &st) != 0 ||
	    st.st_uid != geteuid() || st.st_nlink == 0)
		fd_close(&fd);
	return (fd);
}

static void
remove_leftovers(const char *folder, const char *prefix)
{
	size_t len = strlen(prefix);
	DIR *dir = opendir(folder);
	struct dirent *d;
	char *path;
	int fd;

	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL) {
		if (strncmp(d->d_name, prefix, len) != 0 ||
		    strlen(d->d_name) != len + RANDOM_CHARS)
			continue;
		path = xasprintf("%s/%s", folder, d->d_name);
		if ((fd = lock_folder(path, LOCK_NB)) >= 0)
			remove_folder(path);
		fd_close(&fd);
		free(path);
	}
	(void)closedir(dir);
}

enum rc
scratch_make(struct scratch *s, const char *folder, const char *prefix)
{
	char *path = xasprintf("%s/%sXXXXXX", folder, prefix);

	*s = SCRATCH_NONE;
	remove_leftovers(folder, prefix);
	if (mkdtemp(path) == NULL || (s->lock = lock_folder(path, 0)) < 0) {
		free(path);
		return (RC_IO);
	}
	s->path = path;
	return (RC_OK);
}

static void
let_go(struct scratch *s)
{
	fd_close(&s->lock);
	free(s->path);
	*s = SCRATCH_NONE;
}

void
scratch_remove(struct scratch *s)
{
	if (s->path != NULL)
		remove_folder(s->path);
	let_go(s);
}

/* The name in its folder is on disk. */
static enum rc
sync_parent(const char *path)
{
	char *copy = xstrdup(path), *slash = strrchr(copy, '/');
	const char *parent = slash == NULL ? "." : slash == copy ? "/" : copy;
	enum rc rc = RC_IO;
	int fd;

	if (slash != NULL && slash != copy)
		*slash = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && fsync(fd) == 0)
		rc = RC_OK;
	fd_close(&fd);
	free(copy);
	return (rc);
}

enum rc
scratch_keep(struct scratch *s, const char *path)
{
	struct stat st;
	int r;

	r = renameat2(AT_FDCWD, s->path, AT_FDCWD, path, RENAME_NOREPLACE);
	/* A file system without it: rename replaces nothing but an empty
	 * folder, and that not if it is seen in time. */
	if (r != 0 && (errno == EINVAL || errno == ENOSYS)) {
		if (lstat(path, &st) == 0)
			return (RC_EXISTS);
		r = rename(s->path, path);
	}
	if (r != 0)
		return (errno == EEXIST || errno == ENOTEMPTY ? RC_EXISTS :
		    RC_IO);
	let_go(s);
	return (sync_parent(path));
}
