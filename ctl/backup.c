/*
 * ctl/backup.c - `backup`: all sealed records and the root key in shares, in a
 * new folder that appears under its name only when it is complete.
 *
 * What cannot be restored is no backup: before anything is written the archive
 * is read again, the shares are put together again, and an isolated engine
 * opens the check values with them.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/archive.h"
#include "ctl/ctl.h"
#include "ctl/proof.h"
#include "ctl/scratch.h"
#include "ctl/shares.h"
#include "ctl/snapshot.h"
#include "lib/base/clock.h"
#include "lib/base/crash_point.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/body/json_write.h"

#define ARCHIVE_NAME	"records.relaybackup"
#define FILE_MODE	0400
/* Beside the folder to be: whatever the next backup there is called, it removes
 * what was left of one that was killed, for there are shares in it. */
#define SCRATCH_PREFIX	".relay-backup."

struct backup {
	char		*out;			/* owned: path of the folder */
	const char	*root_key_path;		/* borrowed */
	unsigned	shares;			/* 0: none are wanted */
	unsigned	threshold;
	uint8_t		root_key[SHARES_SECRET_BYTES];
	struct share	*v;			/* owned; secret */
	struct snapshot	snapshot;
	struct buffer	archive;		/* the file's bytes */
};

/* ---- what is wanted --------------------------------------------------------------- */

static enum ctl_exit
read_count(const struct ctl *ctl, const char *option, unsigned *out)
{
	const char *text = args_get(&ctl->args, option);
	uint64_t n;

	if (text == NULL || string_u64(span_of(text), &n) != RC_OK || n < 2 ||
	    n > SHARES_MAX) {
		ctl_error("--%s: 2 to %d", option, SHARES_MAX);
		return (CTL_USAGE);
	}
	*out = (unsigned)n;
	return (CTL_DONE);
}

static enum ctl_exit
read_shares(const struct ctl *ctl, struct backup *b)
{
	enum ctl_exit status;

	if (args_has(&ctl->args, "no-shares")) {
		if (!args_has(&ctl->args, "shares") &&
		    !args_has(&ctl->args, "threshold"))
			return (CTL_DONE);
		ctl_error("--no-shares goes without --shares and --threshold");
		return (CTL_USAGE);
	}
	if ((status = read_count(ctl, "shares", &b->shares)) != CTL_DONE ||
	    (status = read_count(ctl, "threshold", &b->threshold)) != CTL_DONE)
		return (status);
	if (b->threshold <= b->shares)
		return (CTL_DONE);
	ctl_error("--threshold: not more than the %u shares there are",
	    b->shares);
	return (CTL_USAGE);
}

static enum ctl_exit
refuse_existing(const struct backup *b)
{
	struct stat st;

	if (lstat(b->out, &st) != 0)
		return (CTL_DONE);
	ctl_error("exists, nothing was made: %s", b->out);
	return (CTL_EXISTS);
}

static enum ctl_exit
read_options(struct ctl *ctl, struct backup *b)
{
	const char *out = args_get(&ctl->args, "out");
	enum ctl_exit status;
	size_t len;

	if (out == NULL || out[0] == '\0') {
		ctl_error("--out: a folder to make is needed");
		return (CTL_USAGE);
	}
	for (len = strlen(out); len > 1 && out[len - 1] == '/'; len--)
		continue;
	b->out = xstrndup(out, len);
	if ((status = read_shares(ctl, b)) != CTL_DONE ||
	    (status = ctl_conf_e3(ctl)) != CTL_DONE ||
	    (status = ctl_root_key_path(ctl, &b->root_key_path)) != CTL_DONE)
		return (status);
	return (refuse_existing(b));
}

/* Records of two root keys are no backup. */
static enum ctl_exit
refuse_rotation(const struct backup *b)
{
	char *next = xasprintf("%s.next", b->root_key_path);
	enum ctl_exit status = CTL_DONE;
	struct stat st;

	if (lstat(next, &st) == 0) {
		ctl_error("%s is there: the root key is being rotated; finish "
		    "that first (relayctl root rotate)", next);
		status = CTL_FAILED;
	}
	free(next);
	return (status);
}

/* ---- making it ---------------------------------------------------------------------- */

/* Does a share, as text, read back the same, and do k of them, from either
 * end, give the key? */
static enum ctl_exit
prove_shares(const struct backup *b)
{
	uint8_t secret[SHARES_SECRET_BYTES];
	struct share again;
	const char *why = "";
	struct buffer text;
	bool good = true;

	buffer_init(&text, 0, true);
	for (unsigned i = 0; i < b->shares; i++) {
		buffer_clear(&text);
		share_write(&b->v[i], &text);
		good = good && share_read((struct span){ buffer_data(&text),
		    buffer_len(&text) }, &again, &why) == RC_OK &&
		    shares_fit(&again, &b->v[i]) == RC_EXISTS &&
		    secret_equal(again.bytes, b->v[i].bytes,
		    sizeof(again.bytes));
	}
	for (unsigned i = 0; i < 2; i++)
		good = good && shares_combine(b->v + (i == 0 ? 0 :
		    b->shares - b->threshold), b->threshold, secret) ==
		    RC_OK && secret_equal(secret, b->root_key, sizeof(secret));
	secret_wipe(secret, sizeof(secret));
	secret_wipe(&again, sizeof(again));
	buffer_fini(&text);
	if (good)
		return (CTL_DONE);
	ctl_error("the shares do not give the root key back: nothing was "
	    "made");
	return (CTL_FAILED);
}

static enum ctl_exit
split(struct backup *b)
{
	enum rc rc;

	if (b->shares == 0)
		return (CTL_DONE);
	b->v = xcalloc(b->shares, sizeof(*b->v));
	rc = shares_split(b->root_key, b->shares, b->threshold, b->v);
	if (rc == RC_OK)
		return (prove_shares(b));
	ctl_error("the root key cannot be split: %s", rc == RC_IO ?
	    "no randomness" : rc_name(rc));
	return (CTL_FAILED);
}

/* The archive's bytes, and the proof that they are good. */
static enum ctl_exit
make_archive(struct ctl *ctl, struct backup *b)
{
	struct archive *a = &b->snapshot.archive, again;
	enum ctl_exit status;
	const char *why;
	enum rc rc;

	if (b->shares != 0)
		memcpy(a->set, b->v[0].set, sizeof(a->set));
	shares_key_id(b->root_key, a->key_id);
	a->shares = b->shares;
	a->threshold = b->threshold;
	a->made_ms = clock_wall_ms();
	if ((rc = archive_write(a, b->root_key, &b->archive)) != RC_OK) {
		ctl_error("the records are more than a backup can hold: %s",
		    rc_name(rc));
		return (CTL_FAILED);
	}
	if (archive_read((struct span){ buffer_data(&b->archive),
	    buffer_len(&b->archive) }, &again, &why) != RC_OK) {
		ctl_error("the backup cannot be read back: %s", why);
		return (CTL_FAILED);
	}
	status = proof_run(ctl, &again, b->root_key);
	archive_fini(&again);
	return (status);
}

static enum ctl_exit
take_all(struct ctl *ctl, struct backup *b)
{
	enum ctl_exit status;

	if ((status = refuse_rotation(b)) != CTL_DONE ||
	    (status = ctl_root_key_read(b->root_key_path, b->root_key)) !=
	    CTL_DONE ||
	    (status = snapshot_take(ctl, &b->snapshot)) != CTL_DONE ||
	    (status = refuse_rotation(b)) != CTL_DONE ||
	    (status = split(b)) != CTL_DONE)
		return (status);
	return (make_archive(ctl, b));
}

/* ---- writing it ------------------------------------------------------------------------ */

static enum ctl_exit
put_file(const struct scratch *s, const char *name, const struct buffer *text)
{
	char *path = xasprintf("%s/%s", s->path, name);
	enum ctl_exit status = CTL_DONE;

	if (file_create(path, buffer_data(text), buffer_len(text),
	    FILE_MODE) != RC_OK) {
		ctl_error("%s: %s", path, strerror(errno));
		status = CTL_FAILED;
	}
	free(path);
	return (status);
}

static enum ctl_exit
put_share(const struct scratch *s, const struct share *share)
{
	enum ctl_exit status;
	struct buffer text;
	char name[64];

	buffer_init(&text, 0, true);
	share_write(share, &text);
	(void)snprintf(name, sizeof(name), "share-%u-of-%u.txt",
	    share->number, share->count);
	status = put_file(s, name, &text);
	buffer_fini(&text);
	return (status);
}

static enum ctl_exit
put_all(const struct backup *b, struct scratch *s)
{
	enum ctl_exit status;

	status = put_file(s, ARCHIVE_NAME, &b->archive);
	for (unsigned i = 0; status == CTL_DONE && i < b->shares; i++)
		status = put_share(s, &b->v[i]);
	if (status != CTL_DONE)
		return (status);
	crash_point("backup.written");
	switch (scratch_keep(s, b->out)) {
	case RC_OK:
		crash_point("backup.kept");
		return (CTL_DONE);
	case RC_EXISTS:
		ctl_error("exists, nothing was made: %s", b->out);
		return (CTL_EXISTS);
	default:
		ctl_error("%s: %s", b->out, strerror(errno));
		return (CTL_FAILED);
	}
}

static enum ctl_exit
write_folder(const struct backup *b)
{
	char *copy = xstrdup(b->out);
	const char *parent = dirname(copy);
	struct scratch s = SCRATCH_NONE;
	enum ctl_exit status;

	ctl_hold_signals(true);
	if (scratch_make(&s, parent, SCRATCH_PREFIX) == RC_OK)
		status = put_all(b, &s);
	else {
		ctl_error("a folder below %s cannot be made: %s", parent,
		    strerror(errno));
		status = CTL_FAILED;
	}
	scratch_remove(&s);
	ctl_hold_signals(false);
	free(copy);
	return (status);
}

/* ---- telling ------------------------------------------------------------------------------ */

static void
print_json(const struct backup *b, struct buffer *out)
{
	const struct archive *a = &b->snapshot.archive;
	char key[2 * SHARES_KEY_ID_BYTES + 1];
	struct body_json_writer w;

	hex_encode(a->key_id, sizeof(a->key_id), key);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "folder", b->out);
	body_json_put_u64(&w, "apps", a->n_records);
	body_json_put_u64(&w, "checks", a->n_checks);
	body_json_put_u64(&w, "left_out", b->snapshot.n_left_out);
	body_json_put_str(&w, "key", key);
	body_json_put_u64(&w, "shares", b->shares);
	body_json_put_u64(&w, "threshold", b->threshold);
	body_json_put_u64(&w, "made_ms", a->made_ms);
	body_json_close_object(&w);
	buffer_puts(out, "\n");
}

static void
print_text(const struct backup *b, struct buffer *out)
{
	const struct archive *a = &b->snapshot.archive;
	char key[2 * SHARES_KEY_ID_BYTES + 1];

	hex_encode(a->key_id, sizeof(a->key_id), key);
	buffer_printf(out, "%zu apps, %zu check values opened, root key %s\n"
	    "%s/" ARCHIVE_NAME ": worth nothing without the root key\n",
	    a->n_records, a->n_checks, key, b->out);
	if (b->shares == 0) {
		buffer_printf(out, "no shares were made: those of an earlier "
		    "backup of root key %s open it\n", key);
		return;
	}
	buffer_printf(out, "%s/share-*-of-%u.txt: any %u of them give the root "
	    "key\nGive each to another person, then remove them here.\n",
	    b->out, b->shares, b->threshold);
}

static enum ctl_exit
tell(const struct ctl *ctl, const struct backup *b)
{
	struct buffer out, lines;
	enum ctl_exit status;
	char *line, *rest;

	buffer_init(&out, 0, false);
	if (ctl->json)
		print_json(b, &out);
	else
		print_text(b, &out);
	status = ctl_print((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	if (b->snapshot.n_left_out == 0)
		return (status);
	buffer_init(&lines, 0, false);
	buffer_put(&lines, buffer_data(&b->snapshot.left_out),
	    buffer_len(&b->snapshot.left_out) - 1);
	(void)buffer_cstr(&lines);
	for (rest = buffer_data(&lines); (line = strsep(&rest, "\n")) != NULL;)
		ctl_error("not in the backup: app %s", line);
	buffer_fini(&lines);
	return (CTL_FAILED);
}

enum ctl_exit
ctl_backup(struct ctl *ctl)
{
	struct backup b = { .out = NULL };
	enum ctl_exit status;

	buffer_init(&b.archive, ARCHIVE_BYTES_MAX, false);
	if ((status = read_options(ctl, &b)) == CTL_DONE &&
	    (status = take_all(ctl, &b)) == CTL_DONE &&
	    (status = write_folder(&b)) == CTL_DONE)
		status = tell(ctl, &b);
	secret_wipe(b.root_key, sizeof(b.root_key));
	if (b.v != NULL)
		secret_wipe(b.v, b.shares * sizeof(*b.v));
	free(b.v);
	snapshot_fini(&b.snapshot);
	buffer_fini(&b.archive);
	free(b.out);
	return (status);
}
