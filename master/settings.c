/* master/settings.c - both files read, checked, and what they name opened. */
#include "master/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "master/root_key.h"

#define TEXT_MAX	(1u << 20)

static void __attribute__((__format__(__printf__, 2, 3)))
fault_set(struct conf_fault *fault, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
}

/* ---- files that children get ----------------------------------------------------- */

/* Open path for a role.  RC_NOTFOUND leaves the judgement to the caller. */
static enum rc
add_file(struct settings *s, enum role role, const char *name,
    const char *path, struct conf_fault *fault)
{
	struct settings_file *f;
	int fd;

	ensure(s->n_files < SETTINGS_FILES_MAX);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	f = &s->files[s->n_files];
	if (fd < 0 || fstat(fd, &f->st) != 0 || !S_ISREG(f->st.st_mode)) {
		enum rc rc = fd < 0 && errno == ENOENT ? RC_NOTFOUND : RC_IO;

		fault_set(fault, "%s: %s", path, fd >= 0 ? "not a file" :
		    strerror(errno));
		fd_close(&fd);
		return (rc);
	}
	f->role = role;
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	f->fd = fd;
	s->n_files++;
	return (RC_OK);
}

/* The last file that was added is the private key of a link: nobody but the
 * master opens it for itself. */
static enum rc
check_link_key(const struct settings *s, const char *path,
    struct conf_fault *fault)
{
	const struct stat *st = &s->files[s->n_files - 1].st;
	char why[96];
	enum rc rc;

	if ((rc = file_private(st, 0600, why, sizeof(why))) != RC_OK)
		fault_set(fault, "%s: %s", path, why);
	else if (st->st_uid != 0 && st->st_uid != geteuid()) {
		fault_set(fault, "%s: belongs to user %u, who may read it: "
		    "chown it to root", path, (unsigned)st->st_uid);
		rc = RC_DENIED;
	}
	return (rc);
}

static enum rc
add_link_files(struct settings *s, enum role role, const char *folder,
    const char *who, struct conf_fault *fault)
{
	static const struct {
		const char	*name;	/* of the descriptor */
		const char	*suffix;
	} t[] = { { "link.cert", ".pem" }, { "link.key", ".key" } };
	enum rc rc = RC_OK;
	char *path;

	for (size_t i = 0; i < 2 && rc == RC_OK; i++) {
		path = xasprintf("%s/%s%s", folder, who, t[i].suffix);
		rc = add_file(s, role, t[i].name, path, fault);
		if (rc == RC_OK && strcmp(t[i].name, "link.key") == 0)
			rc = check_link_key(s, path, fault);
		free(path);
	}
	if (rc != RC_OK)
		return (rc);
	path = xasprintf("%s/ca.pem", folder);
	rc = add_file(s, role, "link.ca", path, fault);
	free(path);
	if (rc != RC_OK)
		return (rc);
	/* Most installations never revoked anything. */
	path = xasprintf("%s/revoked", folder);
	rc = add_file(s, role, "link.revoked", path, fault);
	free(path);
	return (rc == RC_NOTFOUND ? RC_OK : rc);
}

static enum rc
add_certificates(struct settings *s, struct conf_fault *fault)
{
	char name[IPC_FD_NAME_BYTES];
	enum rc rc = RC_OK;

	for (size_t i = 0; i < s->relay->n_certificates && rc == RC_OK; i++) {
		const struct conf_certificate *c = &s->relay->certificates[i];

		(void)snprintf(name, sizeof(name), "cert.%zu", i);
		rc = add_file(s, ROLE_WORKER, name, c->chain, fault);
		if (rc != RC_OK)
			break;
		(void)snprintf(name, sizeof(name), "key.%zu", i);
		rc = add_file(s, ROLE_WORKER, name, c->key, fault);
	}
	return (rc);
}

/* Kept for the case that it cannot be opened at a later birth of e3d. */
static enum rc
add_root_key(struct settings *s, struct conf_fault *fault)
{
	struct settings_file *f = &s->files[s->n_files];
	enum rc rc;

	ensure(s->n_files < SETTINGS_FILES_MAX);
	rc = root_key_open(s->e3, "", &f->fd, &f->st, fault);
	if (rc != RC_OK)
		return (rc);
	f->role = ROLE_E3D;
	(void)snprintf(f->name, sizeof(f->name), "root");
	s->n_files++;
	return (RC_OK);
}

static enum rc
open_files(struct settings *s, struct conf_fault *fault)
{
	enum rc rc = RC_OK;

	if (!s->engine_only) {
		rc = add_certificates(s, fault);
		if (rc == RC_OK)
			rc = add_link_files(s, ROLE_WORKER,
			    s->relay->link_dir, "worker", fault);
		if (rc == RC_OK)
			rc = add_link_files(s, ROLE_FEED, s->relay->link_dir,
			    "feed", fault);
	}
	if (rc != RC_OK || s->e3 == NULL)
		return (rc);
	rc = add_root_key(s, fault);
	if (rc == RC_OK)
		rc = add_link_files(s, ROLE_E3D, s->e3->link_dir, "engine",
		    fault);
	if (rc == RC_OK)
		rc = add_link_files(s, ROLE_HELPER, s->e3->link_dir, "helper",
		    fault);
	return (rc);
}

/* ---- reading ------------------------------------------------------------------------- */

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static enum rc
read_text(const char *path, bool missing_ok, struct buffer *text,
    struct conf_fault *fault)
{
	enum rc rc;

	errno = 0;
	rc = file_read(path, text);
	if (rc == RC_OK || (rc == RC_NOTFOUND && missing_ok))
		return (RC_OK);
	fault_set(fault, "%s: %s", path, rc == RC_LIMIT ?
	    "larger than 1 MiB" : errno != 0 ? strerror(errno) : rc_name(rc));
	return (rc);
}

static int
memory_of(const char *name, const struct buffer *text)
{
	const char *p = buffer_data(text);

	return (fd_memory(name, p == NULL ? "" : p, buffer_len(text)));
}

static enum rc
read_engine(struct settings *s, struct conf_fault *fault)
{
	const char *path = s->relay->engine_conf;
	enum rc rc;

	if (*path == '\0') {
		if (!s->engine_only)
			return (RC_OK);
		fault_set(fault, "%s: option 'engine_conf' is empty: there is "
		    "no engine to start", s->relay->path);
		return (RC_SYNTAX);
	}
	if ((rc = read_text(path, false, &s->e3_text, fault)) != RC_OK)
		return (rc);
	rc = conf_e3_read_text(path, view(&s->e3_text), &s->e3, fault);
	if (rc != RC_OK)
		return (rc);
	s->e3_fd = memory_of("e3.conf", &s->e3_text);
	if (s->e3_fd >= 0)
		return (RC_OK);
	fault_set(fault, "memfd: %s", strerror(errno));
	return (RC_IO);
}

enum rc
settings_read(const char *path, bool missing_ok, bool engine_only,
    struct settings **out, struct conf_fault *fault)
{
	struct settings *s = xcalloc(1, sizeof(*s));
	struct buffer text;
	enum rc rc;

	*out = NULL;
	s->refs = 1;
	s->engine_only = engine_only;
	s->relay_fd = s->e3_fd = -1;
	buffer_init(&text, TEXT_MAX, false);
	buffer_init(&s->e3_text, TEXT_MAX, false);
	if ((rc = read_text(path, missing_ok, &text, fault)) != RC_OK)
		goto out;
	rc = conf_read_text(path, view(&text), &s->relay, fault);
	if (rc != RC_OK)
		goto out;
	s->relay_fd = memory_of("relay.conf", &text);
	if (s->relay_fd < 0) {
		fault_set(fault, "memfd: %s", strerror(errno));
		rc = RC_IO;
		goto out;
	}
	if ((rc = read_engine(s, fault)) != RC_OK)
		goto out;
	if ((rc = open_files(s, fault)) != RC_OK)
		goto out;
	*out = s;
	s = NULL;
out:
	buffer_fini(&text);
	settings_unref(&s);
	return (rc);
}

struct settings *
settings_ref(struct settings *s)
{
	ensure(s->refs > 0);
	s->refs++;
	return (s);
}

void
settings_unref(struct settings **sp)
{
	struct settings *s = *sp;

	*sp = NULL;
	if (s == NULL || --s->refs > 0)
		return;
	for (size_t i = 0; i < s->n_files; i++)
		fd_close(&s->files[i].fd);
	fd_close(&s->relay_fd);
	fd_close(&s->e3_fd);
	buffer_fini(&s->e3_text);
	conf_free(&s->relay);
	conf_e3_free(&s->e3);
	free(s);
}

/* ---- comparing ---------------------------------------------------------------------- */

static bool
same_stat(const struct stat *a, const struct stat *b)
{
	return (a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec);
}

static const struct settings_file *
next_file(const struct settings *s, enum role role, size_t *at)
{
	while (*at < s->n_files)
		if (s->files[(*at)++].role == role)
			return (&s->files[*at - 1]);
	return (NULL);
}

/* Files are opened in the same order each time. */
static bool
same_files(enum role role, const struct settings *a, const struct settings *b)
{
	const struct settings_file *fa, *fb;
	size_t ia = 0, ib = 0;

	for (;;) {
		fa = next_file(a, role, &ia);
		fb = next_file(b, role, &ib);
		if (fa == NULL || fb == NULL)
			return (fa == fb);
		if (strcmp(fa->name, fb->name) != 0 ||
		    !same_stat(&fa->st, &fb->st))
			return (false);
	}
}

static bool
same_text(const char *a, const char *b)
{
	return (strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0);
}

static bool
same_list(char *const *a, size_t na, char *const *b, size_t nb)
{
	if (na != nb)
		return (false);
	for (size_t i = 0; i < na; i++)
		if (strcmp(a[i], b[i]) != 0)
			return (false);
	return (true);
}

static bool
same_redis(const struct conf_redis *a, const struct conf_redis *b)
{
	return (same_list(a->endpoints, a->n_endpoints, b->endpoints,
	    b->n_endpoints) && same_text(a->write, b->write) &&
	    same_text(a->sentinel, b->sentinel) &&
	    same_text(a->user, b->user) &&
	    same_text(a->password_file, b->password_file) &&
	    same_text(a->ca_file, b->ca_file) && a->tls == b->tls &&
	    a->db == b->db);
}

/* The part of relay.conf that the feed reads. */
static bool
same_feed(const struct conf *a, const struct conf *b)
{
	return (same_redis(&a->redis, &b->redis) &&
	    same_list(a->engines, a->n_engines, b->engines, b->n_engines) &&
	    same_text(a->node, b->node) &&
	    same_text(a->dns_servers, b->dns_servers) &&
	    a->engine_timeout_ms == b->engine_timeout_ms &&
	    a->link_stall_ms == b->link_stall_ms &&
	    a->max_delete_percent == b->max_delete_percent &&
	    a->compare_interval_s == b->compare_interval_s &&
	    a->drain_timeout_ms == b->drain_timeout_ms &&
	    a->log_level == b->log_level && a->seccomp == b->seccomp);
}

static bool
same_engine(const struct settings *a, const struct settings *b)
{
	return (a->e3 != NULL && b->e3 != NULL &&
	    span_eq(view(&a->e3_text), view(&b->e3_text)));
}

bool
settings_same_for(enum role role, const struct settings *a,
    const struct settings *b)
{
	if (a == b)
		return (true);
	if (!same_files(role, a, b))
		return (false);
	switch (role) {
	case ROLE_E3D:
	case ROLE_HELPER:
		return (same_engine(a, b));
	case ROLE_FEED:
		return (same_feed(a->relay, b->relay));
	case ROLE_WORKER:
	case ROLE_COUNT:
		break;
	}
	return (false);		/* workers are replaced by every reload */
}

enum rc
settings_may_follow(const struct settings *now, const struct settings *next,
    struct conf_fault *fault)
{
	const struct conf *a = now->relay, *b = next->relay;
	const struct {
		const char	*option, *a, *b;
	} fixed[] = {
		{ "state_dir", a->state_dir, b->state_dir },
		{ "run_dir", a->run_dir, b->run_dir },
		{ "engine_conf", a->engine_conf, b->engine_conf },
		{ "worker_user", a->worker_user, b->worker_user },
		{ "feed_user", a->feed_user, b->feed_user },
		{ "engine_user", a->engine_user, b->engine_user },
		{ "helper_user", a->helper_user, b->helper_user },
		{ "admin_group", a->admin_group, b->admin_group },
		{ "map_group", a->map_group, b->map_group },
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (strcmp(fixed[i].a, fixed[i].b) == 0)
			continue;
		fault_set(fault, "%s: option '%s' cannot change while relayd "
		    "runs: restart it", b->path, fixed[i].option);
		return (RC_UNSUPPORTED);
	}
	return (RC_OK);
}

/* ---- what follows from them ------------------------------------------------------------ */

void
settings_wants(const struct settings *s, const struct privs *p,
    struct listen_wants *w)
{
	const struct conf *c = s->relay;

	w->n = 0;
	listen_want(w, 0660, p->admin_gid, "control:%s/relayd.sock",
	    c->run_dir);
	if (!s->engine_only) {
		listen_want(w, 0660, p->admin_gid, "control:%s/feed.sock",
		    c->run_dir);
		/* Workers, for callers of the key API; their keys decide. */
		listen_want(w, 0660, p->map_gid,
		    "control:%s/" CONF_FEED_WORKER_SOCKET, c->run_dir);
		for (size_t i = 0; i < c->n_listens; i++)
			listen_want(w, 0, 0, "%s", c->listens[i].address);
	}
	if (s->e3 == NULL)
		return;
	listen_want(w, 0660, p->admin_gid, "control:%s", s->e3->helper_socket);
	/* Who may speak there is decided by the link certificate; the group
	 * keeps strangers from using up links. */
	for (size_t i = 0; i < s->e3->n_listens; i++)
		listen_want(w, 0660, p->map_gid, "%s", s->e3->listens[i]);
}

unsigned
settings_workers(const struct settings *s)
{
	long n;

	if (s->engine_only)
		return (0);
	if (s->relay->workers != 0)
		return (s->relay->workers);
	n = sysconf(_SC_NPROCESSORS_ONLN);
	return (n > 0 ? (unsigned)n : 1);
}
