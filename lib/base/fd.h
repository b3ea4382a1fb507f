/*
 * base/fd.h - descriptors: flags, whole files, passing over a Unix socket.
 * Context:   any process; the file helpers block and are for start-up and
 *            tools only.
 */
#ifndef RELAY_BASE_FD_H
#define RELAY_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "lib/base/buffer.h"
#include "lib/base/result.h"

enum rc fd_nonblock(int fd) must_check;
enum rc fd_cloexec(int fd, bool on) must_check;

/* Close and set to -1; -1 is accepted. */
void fd_close(int *fd);

/* Append the rest of fd to out (its max is the limit): RC_OK, RC_LIMIT,
 * RC_IO, RC_NOMEM. */
enum rc fd_read_all(int fd, struct buffer *out) must_check;
enum rc fd_write_all(int fd, const void *, size_t len) must_check;

/* RC_NOTFOUND when there is no such file. */
enum rc file_read(const char *path, struct buffer *out) must_check;

/* Write a new file beside path, fsync it, rename it over path, fsync the
 * folder.  Readers see the old or the new content, never a part. */
enum rc file_write_atomic(const char *path, const void *, size_t len,
    unsigned mode) must_check;

/* As above without fsync, through <path>.tmp: for one writer, and for what may
 * be lost with the machine. */
enum rc file_replace(const char *path, const void *, size_t len,
    unsigned mode) must_check;

/* As file_write_atomic but RC_EXISTS when path is there already (link(2) decides). */
enum rc file_create(const char *path, const void *, size_t len,
    unsigned mode) must_check;

/*
 * May a private key lie in a file like this?  mode: the bits it may have, 0600,
 * or 0640 where its group reads it too.  RC_OK; RC_DENIED: why says what is
 * wrong and what to do, to be read after "PATH: ".
 */
enum rc file_private(const struct stat *, unsigned mode, char *why,
    size_t why_size) must_check;

/* The content at path is on disk, whoever wrote it. */
enum rc file_sync(const char *path) must_check;

/* So are the names of all folders that lead to path: for who made some. */
enum rc file_sync_folders(const char *path) must_check;

/* A read-only memfd holding these bytes, at offset 0; -1 on failure. */
int fd_memory(const char *name, const void *, size_t len);

#endif
