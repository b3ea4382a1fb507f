/* master/priv.c - users, groups, limits and folders of the roles. */
#include "master/priv.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/object.h"

/* e3d locks its secure heap; the usual soft limit is smaller than allowed. */
#define MEMLOCK_WANTED	(64u << 20)

static const struct {
	const char	*name;
	const char	*program;
	size_t		user;		/* offset of its option */
	bool		map_is_primary;	/* files it makes belong to map_group */
	bool		map_is_extra;	/* may connect to e3's Unix socket */
} table[ROLE_COUNT] = {
	[ROLE_E3D] = { "e3d", "e3d", offsetof(struct conf, engine_user),
	    false, false },
	[ROLE_HELPER] = { "e3-helper", "e3-helper",
	    offsetof(struct conf, helper_user), false, true },
	[ROLE_FEED] = { "feed", "relay-feed",
	    offsetof(struct conf, feed_user), true, false },
	[ROLE_WORKER] = { "worker", "relay-worker",
	    offsetof(struct conf, worker_user), true, false },
};

const char *
role_name(enum role r)
{
	return (table[r].name);
}

const char *
role_program(enum role r)
{
	return (table[r].program);
}

enum rc
role_parse(const char *name, enum role *out)
{
	for (int r = 0; r < ROLE_COUNT; r++) {
		if (strcmp(name, table[r].name) == 0) {
			*out = (enum role)r;
			return (RC_OK);
		}
	}
	return (RC_NOTFOUND);
}

/* ---- names to ids ------------------------------------------------------------ */

static void __attribute__((__format__(__printf__, 2, 3)))
fault_set(struct conf_fault *fault, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
}

static enum rc
resolve_group(const struct conf *conf, const char *option, const char *name,
    gid_t *out, struct conf_fault *fault)
{
	const struct group *g;

	*out = getegid();
	if (*name == '\0')
		return (RC_OK);
	if ((g = getgrnam(name)) == NULL) {
		fault_set(fault, "%s: option '%s': there is no group '%s'",
		    conf->path, option, name);
		return (RC_NOTFOUND);
	}
	*out = g->gr_gid;
	return (RC_OK);
}

static enum rc
resolve_user(const struct conf *conf, enum role r, struct privs *p,
    struct conf_fault *fault)
{
	struct priv *v = &p->of[r];
	const struct passwd *pw;
	char *name;

	memcpy(&name, (const char *)conf + table[r].user, sizeof(name));
	if (*name == '\0')
		return (RC_OK);
	if ((pw = getpwnam(name)) == NULL) {
		fault_set(fault, "%s: user '%s' of %s does not exist: create "
		    "it, or set the option to \"\"", conf->path, name,
		    table[r].program);
		return (RC_NOTFOUND);
	}
	v->change = true;
	v->uid = pw->pw_uid;
	v->gid = table[r].map_is_primary ? p->map_gid : pw->pw_gid;
	v->has_extra = table[r].map_is_extra;
	v->extra = p->map_gid;
	return (RC_OK);
}

enum rc
priv_resolve(const struct conf *conf, struct privs *p,
    struct conf_fault *fault)
{
	bool shared = false;
	enum rc rc;

	memset(p, 0, sizeof(*p));
	p->root = geteuid() == 0;
	p->admin_gid = p->map_gid = getegid();
	if (p->root) {
		rc = resolve_group(conf, "admin_group", conf->admin_group,
		    &p->admin_gid, fault);
		if (rc != RC_OK)
			return (rc);
		rc = resolve_group(conf, "map_group", conf->map_group,
		    &p->map_gid, fault);
		if (rc != RC_OK)
			return (rc);
		for (int r = 0; r < ROLE_COUNT; r++) {
			rc = resolve_user(conf, (enum role)r, p, fault);
			if (rc != RC_OK)
				return (rc);
		}
	}
	for (int r = 0; r < ROLE_COUNT; r++)
		shared = shared || !p->of[r].change;
	if (shared)
		log_warn("one-user uid=%u roles are not separated from each "
		    "other (%s)", (unsigned)geteuid(), p->root ?
		    "users are not set" : "not started by root");
	return (RC_OK);
}

/* ---- folders ------------------------------------------------------------------ */

static enum rc
own_folder(const char *path, mode_t mode, bool change, uid_t uid, gid_t gid,
    struct conf_fault *fault)
{
	struct stat st;
	bool made = mkdir(path, mode) == 0;

	if (!made && errno != EEXIST) {
		fault_set(fault, "%s: %s", path, strerror(errno));
		return (RC_IO);
	}
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		fault_set(fault, "%s: not a folder", path);
		return (RC_IO);
	}
	/* A mistyped option must not take /tmp or a home from its owner. */
	if (!made && !change)
		return (RC_OK);
	if ((st.st_mode & (S_ISVTX | S_IWOTH)) != 0) {
		fault_set(fault, "%s: everybody may write there: name a folder "
		    "of its own", path);
		return (RC_DENIED);
	}
	if (change && (st.st_uid != uid || st.st_gid != gid) &&
	    chown(path, uid, gid) != 0) {
		fault_set(fault, "%s: owner: %s", path, strerror(errno));
		return (RC_IO);
	}
	if ((st.st_mode & 07777) != mode && chmod(path, mode) != 0) {
		fault_set(fault, "%s: mode: %s", path, strerror(errno));
		return (RC_IO);
	}
	return (RC_OK);
}

enum rc
priv_folders(const struct privs *p, const struct conf *conf,
    const struct conf_e3 *e3, bool engine_only, struct conf_fault *fault)
{
	const struct priv *feed = &p->of[ROLE_FEED];
	const struct priv *helper = &p->of[ROLE_HELPER];
	enum rc rc;

	/* The sockets inside carry their own modes. */
	rc = own_folder(conf->run_dir, 0755, false, 0, 0, fault);
	if (rc == RC_OK && !engine_only)
		rc = own_folder(conf->state_dir, 0750, feed->change,
		    feed->uid, feed->gid, fault);
	if (rc == RC_OK && e3 != NULL)
		rc = own_folder(e3->state_dir, 0700, helper->change,
		    helper->uid, helper->gid, fault);
	return (rc);
}

/* ---- in the child ---------------------------------------------------------------- */

static void
raise_limit(int which, rlim_t want)
{
	struct rlimit l;

	if (getrlimit(which, &l) != 0)
		return;
	l.rlim_cur = want < l.rlim_max ? want : l.rlim_max;
	if (l.rlim_max != RLIM_INFINITY && want > l.rlim_max &&
	    want != RLIM_INFINITY) {
		struct rlimit more = { .rlim_cur = want, .rlim_max = want };

		if (setrlimit(which, &more) == 0)	/* root may */
			return;
	}
	(void)setrlimit(which, &l);	/* what is allowed, at least */
}

static void
drop_bounding_set(void)
{
	for (unsigned long c = 0; c <= 63; c++)
		(void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
}

/* Also when root stays root: what it needs is inherited, open. */
static void
drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct none[2];

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	memset(none, 0, sizeof(none));
	(void)syscall(SYS_capset, &head, none);
}

const char *
priv_enter(const struct privs *p, enum role r)
{
	const struct priv *v = &p->of[r];
	const struct rlimit no_core = { .rlim_cur = 0, .rlim_max = 0 };

	raise_limit(RLIMIT_NOFILE, RLIM_INFINITY);
	if (r == ROLE_E3D)
		raise_limit(RLIMIT_MEMLOCK, MEMLOCK_WANTED);
	if (setrlimit(RLIMIT_CORE, &no_core) != 0)
		return ("RLIMIT_CORE");
	if (p->root)
		drop_bounding_set();	/* before the right to do so goes */
	if (v->change) {
		if (setgroups(v->has_extra ? 1 : 0, &v->extra) != 0)
			return ("setgroups");
		if (setresgid(v->gid, v->gid, v->gid) != 0)
			return ("setresgid");
		if (setresuid(v->uid, v->uid, v->uid) != 0)
			return ("setresuid");
	}
	if (p->root)
		drop_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return ("PR_SET_NO_NEW_PRIVS");
	return (NULL);
}
