/*
 * master/listen.c - the only bind() of this installation.
 *
 * One socket per address, shared by all workers: with SO_REUSEPORT a dead or
 * stuck worker would own a queue of clients, and closing one of the sockets
 * resets who waits in it.
 */
#include "master/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/string.h"

#define BACKLOG		4096	/* a burst while workers are replaced; the
				   kernel cuts it to net.core.somaxconn */
#define RETRY_MS	50

#define UNIX_PREFIX	"unix:"
#define CONTROL_PREFIX	"control:"

static void
fault_set(struct conf_fault *fault, const char *address, const char *why)
{
	(void)snprintf(fault->text, sizeof(fault->text),
	    "cannot listen on %s: %s", address, why);
}

/* ---- Unix sockets ----------------------------------------------------------- */

/* The path and type of a Unix address, or NULL. */
static const char *
unix_path(const char *address, int *type)
{
	if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
		*type = SOCK_STREAM;
		return (address + strlen(UNIX_PREFIX));
	}
	if (strncmp(address, CONTROL_PREFIX, strlen(CONTROL_PREFIX)) == 0) {
		*type = SOCK_SEQPACKET;
		return (address + strlen(CONTROL_PREFIX));
	}
	return (NULL);
}

/* Does somebody listen there?  A full queue is an answer too. */
static bool
answers(const struct sockaddr_un *sun, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return (true);		/* cannot tell: never take it away */
	yes = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	    (errno != ECONNREFUSED && errno != ENOENT);
	close(fd);
	return (yes);
}

/* What a dead owner left behind is removed, what lives is not touched. */
static enum rc
remove_stale(const struct sockaddr_un *sun, int type)
{
	struct stat st;

	if (lstat(sun->sun_path, &st) != 0)
		return (errno == ENOENT ? RC_OK : RC_IO);
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return (RC_IO);
	}
	if (answers(sun, type)) {
		errno = EADDRINUSE;
		return (RC_EXISTS);
	}
	return (unlink(sun->sun_path) == 0 || errno == ENOENT ? RC_OK : RC_IO);
}

/* errno tells why on failure. */
static enum rc
open_unix(const struct listen_want *w, const char *path, int type, int *out)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	enum rc rc;
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return (RC_IO);
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if ((rc = remove_stale(&sun, type)) != RC_OK)
		return (rc);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return (RC_IO);
	/* Nobody can connect before listen(): the mode is right by then. */
	if (bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0 &&
	    (w->gid == getegid() || chown(path, (uid_t)-1, w->gid) == 0) &&
	    chmod(path, w->mode) == 0 && listen(fd, BACKLOG) == 0) {
		*out = fd;
		return (RC_OK);
	}
	rc = errno == EADDRINUSE ? RC_EXISTS : RC_IO;
	fd_close(&fd);
	return (rc);
}

/* ---- TCP ------------------------------------------------------------------------ */

union any_addr {
	struct sockaddr		any;
	struct sockaddr_in	in;
	struct sockaddr_in6	in6;
};

/* The form was checked by conf: IP:port or [v6]:port. */
static enum rc
parse_ip(const char *address, union any_addr *out, socklen_t *len)
{
	const char *colon = strrchr(address, ':');
	char host[INET6_ADDRSTRLEN + 2];
	struct span name;
	uint64_t port;

	memset(out, 0, sizeof(*out));
	if (colon == NULL || string_u64(span_of(colon + 1), &port) != RC_OK ||
	    port > 65535)
		return (RC_SYNTAX);
	name = (struct span){ address, (size_t)(colon - address) };
	if (name.len > 2 && name.p[0] == '[') {
		name.p++;
		name.len -= 2;
	}
	if (!span_copy(name, host, sizeof(host)))
		return (RC_SYNTAX);
	if (inet_pton(AF_INET, host, &out->in.sin_addr) == 1) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons((uint16_t)port);
		*len = sizeof(out->in);
		return (RC_OK);
	}
	if (inet_pton(AF_INET6, host, &out->in6.sin6_addr) == 1) {
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons((uint16_t)port);
		*len = sizeof(out->in6);
		return (RC_OK);
	}
	return (RC_SYNTAX);
}

static enum rc
open_tcp(const char *address, int *out)
{
	union any_addr addr;
	socklen_t len;
	int on = 1, fd;
	enum rc rc;

	if (parse_ip(address, &addr, &len) != RC_OK) {
		errno = EINVAL;
		return (RC_IO);
	}
	fd = socket(addr.any.sa_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return (RC_IO);
	/* [::]:443 must not take 0.0.0.0:443 along: each is its own line. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (addr.any.sa_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6,
	    IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
	    bind(fd, &addr.any, len) == 0 && listen(fd, BACKLOG) == 0) {
		*out = fd;
		return (RC_OK);
	}
	rc = errno == EADDRINUSE ? RC_EXISTS : RC_IO;
	fd_close(&fd);
	return (rc);
}

/* ---- the list ------------------------------------------------------------------- */

static struct listener *
find(const struct listeners *ls, const char *address)
{
	struct listener *l;

	TAILQ_FOREACH(l, &ls->all, link)
		if (strcmp(l->address, address) == 0)
			return (l);
	return (NULL);
}

static void
drop(struct listeners *ls, struct listener *l)
{
	const char *path;
	int type;

	TAILQ_REMOVE(&ls->all, l, link);
	fd_close(&l->fd);
	if ((path = unix_path(l->address, &type)) != NULL)
		(void)unlink(path);
	free(l->address);
	free(l);
}

/* One address, once or for patience_ms. */
static enum rc
open_one(const struct listen_want *w, unsigned patience_ms, int *fd)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	uint64_t end = clock_mono_ms() + patience_ms;
	const char *path;
	int type, saved;
	enum rc rc;

	for (;;) {
		path = unix_path(w->address, &type);
		rc = path != NULL ? open_unix(w, path, type, fd) :
		    open_tcp(w->address, fd);
		saved = errno;
		if (rc != RC_EXISTS || clock_mono_ms() >= end)
			break;
		(void)nanosleep(&pause, NULL);
	}
	errno = saved;
	return (rc);
}

enum rc
listen_open(struct listeners *ls, const struct listen_wants *wants,
    unsigned patience_ms, struct conf_fault *fault)
{
	struct listener *l;
	enum rc rc;
	int fd;

	for (size_t i = 0; i < wants->n; i++) {
		const struct listen_want *w = &wants->v[i];

		if (find(ls, w->address) != NULL)
			continue;
		fd = -1;
		rc = open_one(w, patience_ms, &fd);
		if (rc != RC_OK) {
			fault_set(fault, w->address, rc == RC_EXISTS ?
			    "the address is taken by another process" :
			    strerror(errno));
			listen_undo(ls);
			return (rc);
		}
		l = xcalloc(1, sizeof(*l));
		l->address = xstrdup(w->address);
		l->fd = fd;
		l->fresh = true;
		TAILQ_INSERT_TAIL(&ls->all, l, link);
		log_info("listening address=%s", l->address);
	}
	return (RC_OK);
}

void
listen_keep(struct listeners *ls, const struct listen_wants *wants)
{
	struct listener *l, *next;
	size_t i;

	TAILQ_FOREACH_SAFE(l, &ls->all, link, next) {
		l->fresh = false;
		for (i = 0; i < wants->n; i++)
			if (strcmp(wants->v[i].address, l->address) == 0)
				break;
		if (i < wants->n)
			continue;
		log_info("listening-ended address=%s", l->address);
		drop(ls, l);
	}
}

void
listen_undo(struct listeners *ls)
{
	struct listener *l, *next;

	TAILQ_FOREACH_SAFE(l, &ls->all, link, next)
		if (l->fresh)
			drop(ls, l);
}

void
listen_adopt(struct listeners *ls, const char *address, int fd)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->address = xstrdup(address);
	l->fd = fd;
	TAILQ_INSERT_TAIL(&ls->all, l, link);
}

void
listen_close(struct listeners *ls, const char *address)
{
	struct listener *l = find(ls, address);

	if (l != NULL)
		drop(ls, l);
}

int
listen_fd(const struct listeners *ls, const char *address)
{
	const struct listener *l = find(ls, address);

	return (l == NULL ? -1 : l->fd);
}

void
listen_init(struct listeners *ls)
{
	TAILQ_INIT(&ls->all);
}

void
listen_fini(struct listeners *ls)
{
	struct listener *l;

	while ((l = TAILQ_FIRST(&ls->all)) != NULL)
		drop(ls, l);
}

/* ---- wants ------------------------------------------------------------------------ */

void
listen_want(struct listen_wants *wants, mode_t mode, gid_t gid,
    const char *fmt, ...)
{
	struct listen_want *w;
	va_list ap;
	int n;

	ensure(wants->n < LISTEN_WANTS_MAX);
	w = &wants->v[wants->n++];
	w->mode = mode;
	w->gid = gid;
	va_start(ap, fmt);
	n = vasprintf(&w->address, fmt, ap);
	va_end(ap);
	ensure(n >= 0);
}

void
listen_wants_fini(struct listen_wants *wants)
{
	for (size_t i = 0; i < wants->n; i++)
		free(wants->v[i].address);
	wants->n = 0;
}
