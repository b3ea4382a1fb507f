/*
 * ctl/restore.c - `restore`: a backup proves itself in an isolated engine, and
 * only then its records and the root key are written; with --rehearse nothing
 * is, but the time of the rehearsal.
 *
 * Records come first, the root key last: who finds a root key finds all its
 * records.  Files that are there already with the same bytes are taken as
 * written, so a restore that was cut off is simply run again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/archive.h"
#include "ctl/ctl.h"
#include "ctl/proof.h"
#include "ctl/shares.h"
#include "ctl/time_text.h"
#include "lib/base/clock.h"
#include "lib/base/crash_point.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/body/json_write.h"

#define ARCHIVE_NAME	"records.relaybackup"
#define REHEARSED_NAME	"rehearsed"	/* below state_dir; e3-helper reads it */
#define RECORD_MODE	0600
#define ROOT_KEY_MODE	0400
#define TMP_RANDOM	16	/* of file_create: <path>.<16 hex digits>.tmp */

struct restore {
	const char	*root_key_path;	/* borrowed; NULL: a rehearsal */
	const char	*state_dir;	/* borrowed: of e3.conf */
	bool		change_owner;	/* to the helper's user */
	uid_t		uid;
	gid_t		gid;
	int		relayd_lock;	/* owned; -1 */
	size_t		n_shares;
	struct share	shares[SHARES_MAX];	/* secret */
	uint8_t		root_key[SHARES_SECRET_BYTES];
	struct buffer	bytes;		/* the archive's */
	struct archive	archive;
	uint64_t	took_ms;
};

/* ---- the shares ------------------------------------------------------------------- */

/* The i-th file of --share, then of the operands: a pattern that the shell
 * expands gives one of the first and the rest of the second. */
static const char *
share_path(const struct ctl *ctl, size_t i)
{
	size_t n = 0;

	while (args_get_nth(&ctl->args, "share", n) != NULL)
		n++;
	if (i < n)
		return (args_get_nth(&ctl->args, "share", i));
	return (i - n < ctl->args.n_operands ? ctl->args.operands[i - n] :
	    NULL);
}

static enum ctl_exit
read_share(const char *path, struct share *out)
{
	enum ctl_exit status;
	struct buffer text;
	const char *why;

	status = ctl_read_input(path, SHARE_TEXT_BYTES_MAX, true, &text);
	if (status == CTL_DONE && share_read((struct span){
	    buffer_data(&text), buffer_len(&text) }, out, &why) != RC_OK) {
		ctl_error("%s: %s", path, why);
		status = CTL_USAGE;
	}
	buffer_fini(&text);
	return (status);
}

/* Against all that were read before it. */
static enum ctl_exit
fit_share(const struct ctl *ctl, const struct restore *r, const char *path)
{
	const struct share *last = &r->shares[r->n_shares];

	for (size_t i = 0; i < r->n_shares; i++) {
		switch (shares_fit(&r->shares[i], last)) {
		case RC_EXISTS:
			ctl_error("%s and %s are the same share, number %u",
			    share_path(ctl, i), path, last->number);
			return (CTL_USAGE);
		case RC_CONFLICT:
			ctl_error("%s and %s are shares of different backups",
			    share_path(ctl, i), path);
			return (CTL_USAGE);
		default:
			break;
		}
	}
	return (CTL_DONE);
}

static enum ctl_exit
read_shares(const struct ctl *ctl, struct restore *r)
{
	enum ctl_exit status;
	const char *path;

	for (size_t i = 0; (path = share_path(ctl, i)) != NULL; i++) {
		if (i == SHARES_MAX) {
			ctl_error("more than %d shares", SHARES_MAX);
			return (CTL_USAGE);
		}
		if ((status = read_share(path, &r->shares[i])) != CTL_DONE ||
		    (status = fit_share(ctl, r, path)) != CTL_DONE)
			return (status);
		r->n_shares++;
	}
	if (r->n_shares >= r->shares[0].threshold)
		return (CTL_DONE);
	ctl_error("%zu of the %u shares were given, %u are needed",
	    r->n_shares, r->shares[0].count, r->shares[0].threshold);
	return (CTL_USAGE);
}

/* ---- the archive -------------------------------------------------------------------- */

static enum ctl_exit
read_archive(const struct ctl *ctl, struct restore *r)
{
	const char *from = args_get(&ctl->args, "from");
	enum ctl_exit status;
	const char *why;
	char *path;

	path = xasprintf("%s/" ARCHIVE_NAME, from);
	status = ctl_read_input(path, ARCHIVE_BYTES_MAX, false, &r->bytes);
	if (status == CTL_DONE && archive_read((struct span){
	    buffer_data(&r->bytes), buffer_len(&r->bytes) }, &r->archive,
	    &why) != RC_OK) {
		ctl_error("%s: %s", path, why);
		status = CTL_USAGE;
	}
	free(path);
	return (status);
}

/* Do archive and shares belong together, and was neither altered? */
static enum ctl_exit
join(struct restore *r)
{
	char of_archive[2 * SHARES_KEY_ID_BYTES + 1];
	char of_shares[2 * SHARES_KEY_ID_BYTES + 1];
	const struct share *first = &r->shares[0];
	enum rc rc;

	hex_encode(r->archive.key_id, SHARES_KEY_ID_BYTES, of_archive);
	hex_encode(first->key_id, SHARES_KEY_ID_BYTES, of_shares);
	if (strcmp(of_archive, of_shares) != 0) {
		ctl_error("the records are of root key %s, the shares of %s",
		    of_archive, of_shares);
		return (CTL_USAGE);
	}
	rc = shares_combine(r->shares, r->n_shares, r->root_key);
	if (rc == RC_CORRUPT)
		ctl_error("the shares do not give root key %s: one of them "
		    "is false; try others", of_shares);
	else if (rc != RC_OK)
		ctl_error("the shares cannot be put together: %s",
		    rc_name(rc));
	else if (archive_verify(&r->archive, r->root_key) != RC_OK) {
		ctl_error("the records were altered by somebody without root "
		    "key %s: take another copy", of_archive);
		rc = RC_DENIED;
	}
	return (rc == RC_OK ? CTL_DONE : CTL_USAGE);
}

/* ---- what is there --------------------------------------------------------------------- */

/* The bytes at path: RC_OK the same, RC_EXISTS others, RC_NOTFOUND none,
 * RC_IO. */
static enum rc
compare_file(const char *path, const void *bytes, size_t len)
{
	struct buffer b;
	struct stat st;
	enum rc rc;

	buffer_init(&b, len, true);
	rc = file_read(path, &b);
	if (rc == RC_NOTFOUND && lstat(path, &st) == 0)
		rc = RC_EXISTS;		/* a link to what is not there */
	if (rc == RC_LIMIT || (rc == RC_OK && (buffer_len(&b) != len ||
	    memcmp(buffer_data(&b), bytes, len) != 0)))
		rc = RC_EXISTS;
	buffer_fini(&b);
	return (rc);
}

static enum ctl_exit
refuse_other(const char *path, const void *bytes, size_t len)
{
	switch (compare_file(path, bytes, len)) {
	case RC_OK:
	case RC_NOTFOUND:
		return (CTL_DONE);
	case RC_EXISTS:
		ctl_error("exists with other content, nothing was written: %s",
		    path);
		return (CTL_EXISTS);
	default:
		ctl_error("%s: %s", path, strerror(errno));
		return (CTL_FAILED);
	}
}

static char *
record_path(const struct restore *r, size_t i)
{
	return (xasprintf("%s/%s.rec", r->state_dir,
	    r->archive.records[i].head.app));
}

static enum ctl_exit
refuse_existing(const struct restore *r)
{
	enum ctl_exit status;
	char *next, *path;
	struct stat st;

	next = xasprintf("%s.next", r->root_key_path);
	status = lstat(next, &st) == 0 ? CTL_EXISTS : CTL_DONE;
	if (status != CTL_DONE)
		ctl_error("exists, nothing was written: %s", next);
	free(next);
	if (status == CTL_DONE)
		status = refuse_other(r->root_key_path, r->root_key,
		    sizeof(r->root_key));
	for (size_t i = 0; status == CTL_DONE && i < r->archive.n_records;
	    i++) {
		struct span record = r->archive.records[i].bytes;

		path = record_path(r, i);
		status = refuse_other(path, record.p, record.len);
		free(path);
	}
	return (status);
}

/* relayd holds this lock as long as it runs; we, so that it does not start. */
static enum ctl_exit
refuse_running(const struct ctl *ctl, struct restore *r)
{
	char *path = xasprintf("%s/relayd.lock", ctl->conf->run_dir);
	enum ctl_exit status = CTL_DONE;

	r->relayd_lock = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (r->relayd_lock < 0 && errno != ENOENT) {
		ctl_error("%s: %s", path, strerror(errno));
		status = CTL_FAILED;
	} else if (r->relayd_lock >= 0 &&
	    flock(r->relayd_lock, LOCK_EX | LOCK_NB) != 0) {
		ctl_error("relayd is running here (%s): stop it first; "
		    "nothing was written", path);
		status = CTL_FAILED;
	}
	free(path);
	return (status);
}

static enum ctl_exit
find_owner(const struct ctl *ctl, struct restore *r)
{
	const char *user = ctl->conf->helper_user;
	const struct passwd *pw;

	if (geteuid() != 0 || user[0] == '\0')
		return (CTL_DONE);
	if ((pw = getpwnam(user)) == NULL) {
		ctl_error("%s: option 'helper_user': there is no user '%s' to "
		    "own the records: create it first", ctl->conf_path, user);
		return (CTL_USAGE);
	}
	r->change_owner = true;
	r->uid = pw->pw_uid;
	r->gid = pw->pw_gid;
	return (CTL_DONE);
}

static enum ctl_exit
look_around(struct ctl *ctl, struct restore *r)
{
	enum ctl_exit status;

	if ((status = ctl_root_key_path(ctl, &r->root_key_path)) != CTL_DONE ||
	    (status = find_owner(ctl, r)) != CTL_DONE ||
	    (status = refuse_running(ctl, r)) != CTL_DONE)
		return (status);
	return (refuse_existing(r));
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum ctl_exit
put_file(const struct restore *r, const char *path, struct span bytes,
    unsigned mode, bool for_helper)
{
	enum ctl_exit status;
	enum rc rc;

	rc = file_create(path, bytes.p, bytes.len, mode);
	if (rc == RC_EXISTS && (status = refuse_other(path, bytes.p,
	    bytes.len)) != CTL_DONE)
		return (status);
	/* What was there already may be in memory alone, as its owner is. */
	if ((rc == RC_OK || rc == RC_EXISTS) && (!for_helper ||
	    !r->change_owner || lchown(path, r->uid, r->gid) == 0) &&
	    file_sync(path) == RC_OK)
		return (CTL_DONE);
	ctl_error("%s: %s; run it again", path, strerror(errno));
	return (CTL_FAILED);
}

/* The names that lead to a file, of which put_file knows the last only, and
 * not that when it was there already. */
static enum ctl_exit
sync_folders(const char *path)
{
	if (file_sync_folders(path) == RC_OK)
		return (CTL_DONE);
	ctl_error("%s: its folders: %s; run it again", path, strerror(errno));
	return (CTL_FAILED);
}

static enum ctl_exit
make_state_dir(const struct restore *r)
{
	enum ctl_exit status;

	if ((status = ctl_make_folders(r->state_dir, false)) != CTL_DONE)
		return (status);
	/* One that was there is relayd's to judge, and to give to its user. */
	if (mkdir(r->state_dir, 0700) != 0) {
		if (errno == EEXIST)
			return (CTL_DONE);
	} else if (!r->change_owner ||
	    lchown(r->state_dir, r->uid, r->gid) == 0)
		return (CTL_DONE);
	ctl_error("%s: %s", r->state_dir, strerror(errno));
	return (CTL_FAILED);
}

static enum ctl_exit
put_records(const struct restore *r)
{
	enum ctl_exit status;
	char *path;

	status = make_state_dir(r);
	for (size_t i = 0; status == CTL_DONE && i < r->archive.n_records;
	    i++) {
		path = record_path(r, i);
		status = put_file(r, path, r->archive.records[i].bytes,
		    RECORD_MODE, true);
		free(path);
		crash_point("restore.record");
	}
	if (status != CTL_DONE)
		return (status);
	path = xasprintf("%s/", r->state_dir);	/* that folder, too */
	status = sync_folders(path);
	free(path);
	return (status);
}

static bool
is_leftover(const char *name, const char *base)
{
	size_t len = strlen(base);

	return (strncmp(name, base, len) == 0 && name[len] == '.' &&
	    strspn(name + len + 1, "0123456789abcdef") == TMP_RANDOM &&
	    strcmp(name + len + 1 + TMP_RANDOM, ".tmp") == 0);
}

/* The root key in a file that file_create had no time to name. */
static void
remove_leftovers(const char *root_key_path)
{
	char *for_dir = xstrdup(root_key_path);
	char *for_base = xstrdup(root_key_path);
	const char *base = basename(for_base);
	DIR *dir = opendir(dirname(for_dir));
	struct dirent *d;

	while (dir != NULL && (d = readdir(dir)) != NULL)
		if (is_leftover(d->d_name, base))
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	if (dir != NULL)
		(void)closedir(dir);
	free(for_base);
	free(for_dir);
}

static enum ctl_exit
put_root_key(const struct restore *r)
{
	enum ctl_exit status;

	if ((status = ctl_make_folders(r->root_key_path, false)) != CTL_DONE)
		return (status);
	remove_leftovers(r->root_key_path);
	status = put_file(r, r->root_key_path, (struct span){
	    (const char *)r->root_key, sizeof(r->root_key) }, ROOT_KEY_MODE,
	    false);
	return (status == CTL_DONE ? sync_folders(r->root_key_path) : status);
}

static enum ctl_exit
put_all(const struct restore *r)
{
	enum ctl_exit status;

	ctl_hold_signals(true);
	status = put_records(r);
	crash_point("restore.records");
	if (status == CTL_DONE)
		status = put_root_key(r);
	crash_point("restore.root-key");
	ctl_hold_signals(false);
	return (status);
}

/* A rehearsal leaves its time, which `status` shows. */
static enum ctl_exit
put_rehearsed(const struct restore *r)
{
	char *path = xasprintf("%s/" REHEARSED_NAME, r->state_dir);
	enum ctl_exit status = CTL_DONE;
	char text[24];
	int n;

	n = snprintf(text, sizeof(text), "%llu",
	    (unsigned long long)clock_wall_ms());
	if (file_write_atomic(path, text, (size_t)n, 0644) != RC_OK) {
		ctl_error("the backup is good, but its rehearsal is not noted: "
		    "%s: %s", path, strerror(errno));
		status = CTL_FAILED;
	}
	free(path);
	return (status);
}

/* ---- telling --------------------------------------------------------------------------------- */

static void
print_json(const struct restore *r, struct buffer *out)
{
	char key[2 * SHARES_KEY_ID_BYTES + 1];
	struct body_json_writer w;

	hex_encode(r->archive.key_id, SHARES_KEY_ID_BYTES, key);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_bool(&w, "rehearsal", r->root_key_path == NULL);
	body_json_put_u64(&w, "apps", r->archive.n_records);
	body_json_put_u64(&w, "checks", r->archive.n_checks);
	body_json_put_u64(&w, "shares", r->n_shares);
	body_json_put_str(&w, "key", key);
	body_json_put_u64(&w, "made_ms", r->archive.made_ms);
	body_json_put_u64(&w, "took_ms", r->took_ms);
	body_json_close_object(&w);
	buffer_puts(out, "\n");
}

static void
print_text(const struct restore *r, struct buffer *out)
{
	char key[2 * SHARES_KEY_ID_BYTES + 1], made[TIME_TEXT_BYTES];

	hex_encode(r->archive.key_id, SHARES_KEY_ID_BYTES, key);
	time_text(r->archive.made_ms, made);
	buffer_printf(out, "backup of %s, root key %s: %zu apps, %zu check "
	    "values opened with %zu shares, %llu.%llu s\n", made, key,
	    r->archive.n_records, r->archive.n_checks, r->n_shares,
	    (unsigned long long)(r->took_ms / 1000),
	    (unsigned long long)(r->took_ms / 100 % 10));
	if (r->root_key_path == NULL)
		buffer_puts(out, "rehearsed; nothing was written\n");
	else
		buffer_printf(out, "records below %s, root key %s: start "
		    "relayd now\n", r->state_dir, r->root_key_path);
}

static enum ctl_exit
tell(const struct ctl *ctl, const struct restore *r)
{
	enum ctl_exit status;
	struct buffer out;

	buffer_init(&out, 0, false);
	if (ctl->json)
		print_json(r, &out);
	else
		print_text(r, &out);
	status = ctl_print((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

/* ---- the whole -------------------------------------------------------------------------------- */

static enum ctl_exit
check_options(const struct ctl *ctl)
{
	if (args_get(&ctl->args, "from") == NULL)
		ctl_error("--from: the folder of a backup is needed");
	else if (share_path(ctl, 0) == NULL)
		ctl_error("--share: shares of the root key are needed");
	else
		return (CTL_DONE);
	return (CTL_USAGE);
}

static enum ctl_exit
run(struct ctl *ctl, struct restore *r, bool rehearse)
{
	uint64_t start_ms = clock_mono_ms();
	enum ctl_exit status;

	if ((status = ctl_conf_e3(ctl)) != CTL_DONE)
		return (status);
	r->state_dir = ctl->conf_e3->state_dir;
	if ((status = read_archive(ctl, r)) != CTL_DONE ||
	    (status = read_shares(ctl, r)) != CTL_DONE ||
	    (status = join(r)) != CTL_DONE ||
	    (!rehearse && (status = look_around(ctl, r)) != CTL_DONE) ||
	    (status = proof_run(ctl, &r->archive, r->root_key)) != CTL_DONE)
		return (status);
	crash_point("restore.proved");
	status = rehearse ? put_rehearsed(r) : put_all(r);
	r->took_ms = clock_mono_ms() - start_ms;
	return (status == CTL_DONE ? tell(ctl, r) : status);
}

enum ctl_exit
ctl_restore(struct ctl *ctl)
{
	bool rehearse = args_has(&ctl->args, "rehearse");
	struct restore *r;
	enum ctl_exit status;

	if ((status = check_options(ctl)) != CTL_DONE)
		return (status);
	r = xcalloc(1, sizeof(*r));
	r->relayd_lock = -1;
	status = run(ctl, r, rehearse);
	fd_close(&r->relayd_lock);
	archive_fini(&r->archive);
	buffer_fini(&r->bytes);
	secret_wipe(r, sizeof(*r));
	free(r);
	/* A rehearsal was asked whether the backup is good: it is not. */
	return (rehearse && status != CTL_DONE ? CTL_FAILED : status);
}
