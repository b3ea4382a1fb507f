/*
 * base/fd.c - descriptors and whole files.
 *
 * The file helpers block; they run at start, in tools and in the writers of
 * small records, never on a loop that serves peers.
 */
#include "lib/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crash_point.h"
#include "lib/base/random.h"

#define READ_BYTES	65536	/* files we read whole are mostly smaller */

enum rc
fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return (RC_IO);
	return (RC_OK);
}

enum rc
fd_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return (RC_IO);
	flags = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
	return (fcntl(fd, F_SETFD, flags) < 0 ? RC_IO : RC_OK);
}

void
fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* Bytes one read may ask for: never more than out may still hold, except the
 * one byte that tells a full buffer from a file that is longer. */
static size_t
read_size(const struct buffer *out)
{
	size_t room;

	if (out->max == 0)
		return (READ_BYTES);
	room = out->max - buffer_len(out);
	return (room < READ_BYTES ? room : READ_BYTES);
}

enum rc
fd_read_all(int fd, struct buffer *out)
{
	for (;;) {
		size_t want = read_size(out);
		char *at, probe;
		enum rc rc;
		ssize_t n;

		if (want != 0) {
			if ((rc = buffer_reserve(out, want, &at)) != RC_OK)
				return (rc);
			n = read(fd, at, want);
		} else
			n = read(fd, &probe, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return (RC_IO);
		if (n == 0)
			return (RC_OK);
		if (want == 0)
			return (RC_LIMIT);
		buffer_commit(out, (size_t)n);
	}
}

enum rc
fd_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len != 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (RC_IO);
		p += n;
		len -= (size_t)n;
	}
	return (RC_OK);
}

enum rc
file_read(const char *path, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum rc rc;

	if (fd < 0)
		return (errno == ENOENT ? RC_NOTFOUND : RC_IO);
	rc = fd_read_all(fd, out);
	fd_close(&fd);
	return (rc);
}

/* The folder of path, as text in dir. */
static enum rc
folder_of(const char *path, char dir[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);

	if (slash == NULL) {
		memcpy(dir, ".", 2);
		return (RC_OK);
	}
	if (len == 0)
		len = 1;		/* the root folder itself */
	if (len >= PATH_MAX)
		return (RC_LIMIT);
	memcpy(dir, path, len);
	dir[len] = '\0';
	return (RC_OK);
}

/* A rename or link is durable only once the folder is on disk too. */
static enum rc
fsync_folder(const char *path)
{
	char dir[PATH_MAX];
	enum rc rc;
	int fd;

	if ((rc = folder_of(path, dir)) != RC_OK)
		return (rc);
	if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return (RC_IO);
	rc = !crash_point_full("full.folder") && fsync(fd) == 0 ? RC_OK : RC_IO;
	crash_point("file.folder-synced");
	fd_close(&fd);
	return (rc);
}

/* The content in a file of its own beside path, complete and on disk.  A
 * random name: two writers must not meet in one file. */
static enum rc
write_beside(const char *path, const void *data, size_t len, unsigned mode,
    char tmp[PATH_MAX])
{
	enum rc rc;
	int fd, n;

	n = snprintf(tmp, PATH_MAX, "%s.%016llx.tmp", path,
	    (unsigned long long)random_u64());
	if (n < 0 || n >= PATH_MAX) {
		tmp[0] = '\0';
		return (RC_LIMIT);
	}
	fd = crash_point_full("full.create") ? -1 : open(tmp, O_WRONLY |
	    O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
	if (fd < 0) {
		tmp[0] = '\0';
		return (RC_IO);
	}
	rc = crash_point_full("full.write") ? RC_IO :
	    fd_write_all(fd, data, len);
	if (rc == RC_OK && fchmod(fd, (mode_t)mode) < 0)
		rc = RC_IO;		/* the umask took bits away */
	crash_point("file.written");
	if (rc == RC_OK && (crash_point_full("full.sync") || fsync(fd) < 0))
		rc = RC_IO;
	crash_point("file.synced");
	if (close(fd) < 0 && rc == RC_OK)
		rc = RC_IO;
	return (rc);
}

enum rc
file_write_atomic(const char *path, const void *data, size_t len,
    unsigned mode)
{
	char tmp[PATH_MAX];
	enum rc rc;

	rc = write_beside(path, data, len, mode, tmp);
	if (rc == RC_OK && (crash_point_full("full.rename") ||
	    rename(tmp, path) < 0))
		rc = RC_IO;
	crash_point("file.renamed");
	if (rc != RC_OK) {
		if (tmp[0] != '\0')
			(void)unlink(tmp);
		return (rc);
	}
	return (fsync_folder(path));
}

enum rc
file_replace(const char *path, const void *data, size_t len, unsigned mode)
{
	char tmp[PATH_MAX];
	enum rc rc = RC_IO;
	int fd, n;

	n = snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return (RC_LIMIT);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
	    (mode_t)mode);
	if (fd < 0)
		return (RC_IO);
	if (fchmod(fd, (mode_t)mode) == 0)
		rc = fd_write_all(fd, data, len);
	if (close(fd) < 0 || (rc == RC_OK && rename(tmp, path) < 0))
		rc = RC_IO;
	if (rc != RC_OK)
		(void)unlink(tmp);
	return (rc);
}

enum rc
file_create(const char *path, const void *data, size_t len, unsigned mode)
{
	char tmp[PATH_MAX];
	enum rc rc;

	rc = write_beside(path, data, len, mode, tmp);
	if (rc == RC_OK && link(tmp, path) < 0)
		rc = errno == EEXIST ? RC_EXISTS : RC_IO;
	if (tmp[0] != '\0')
		(void)unlink(tmp);
	return (rc == RC_OK ? fsync_folder(path) : rc);
}

enum rc
file_private(const struct stat *st, unsigned mode, char *why, size_t why_size)
{
	unsigned has = st->st_mode & 0777;

	if ((has & 077 & ~mode) == 0)
		return (RC_OK);
	(void)snprintf(why, why_size, "others may %s it (mode %03o): chmod %o",
	    (has & 044 & ~mode) != 0 ? "read" : "change", has, mode);
	return (RC_DENIED);
}

enum rc
file_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	enum rc rc = fd >= 0 && fsync(fd) == 0 ? RC_OK : RC_IO;

	fd_close(&fd);
	return (rc);
}

enum rc
file_sync_folders(const char *path)
{
	char dir[PATH_MAX], above[PATH_MAX];
	enum rc rc;

	for (rc = folder_of(path, dir); rc == RC_OK; memcpy(dir, above,
	    sizeof(dir))) {
		if (crash_point_full("full.folders"))
			return (RC_IO);
		/* One that we may not read, or that is on a file system that
		 * cannot be written, we did not make. */
		if (file_sync(dir) != RC_OK && errno != EACCES &&
		    errno != EINVAL && errno != EROFS)
			return (RC_IO);
		rc = folder_of(dir, above);
		if (rc == RC_OK && strcmp(dir, above) == 0)
			break;
	}
	return (rc);
}

int
fd_memory(const char *name, const void *data, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return (-1);
	/* Sealed: the receiver may map it without fearing a later change. */
	if (fd_write_all(fd, data, len) != RC_OK ||
	    lseek(fd, 0, SEEK_SET) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
	    F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		fd_close(&fd);
	return (fd);
}
