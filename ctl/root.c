/*
 * ctl/root.c - `root rotate`: every record under a new root key, and the file
 * of the old one replaced.
 *
 *   0  every other engine that is announced knows the next key
 *   1  KEY.next is made, never over another                   (or given: --key)
 *   2  e3d is restarted: it opens records of both keys        (--prepare ends)
 *   3  the helper has each record sealed under the next key, stored, loaded
 *   4  KEY.old becomes a second name of KEY, then KEY.next is renamed to KEY
 *   5  e3d is restarted: it knows the new key alone; nothing may be missing
 *
 * Whatever ends it, the files and what the engine says tell where it was, and
 * the next run goes on there.  At no moment is a record on disk whose key is
 * not in one of the files; the old key stays, for backups made with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/control_client.h"
#include "ctl/ctl.h"
#include "ctl/pause.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"

#define RESTART_TIMEOUT_MS	90000	/* relayd itself gives up before */
#define RESEAL_TIMEOUT_MS	600000	/* some milliseconds of disk a record */
#define SETTLE_MS		20000	/* until new statistics have come */
#define TOLD_MS			8000	/* statistics, announcement, our look at
					   it: who was prepared is known */
#define POLL_MS			100

struct root {
	struct ctl	*ctl;		/* borrowed */
	char		*key;		/* owned paths */
	char		*next;
	char		*old;
	char		relayd[PATH_MAX];
	uint64_t	resealed;
};

/* What the helper says of its engine. */
struct facts {
	bool		ready;
	bool		resealing;	/* it knows a next root key */
	uint64_t	records;	/* on disk */
	uint64_t	apps;		/* loaded */
	uint64_t	resealed;	/* of them, under the next root key */
	bool		redis;		/* is up: engines are announced, */
	bool		announced;	/* and ours among those that were seen */
	char		unaware[512];	/* other engines without one, by name */
};

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static bool
exists(const char *path)
{
	struct stat st;

	return (lstat(path, &st) == 0);
}

static enum ctl_exit
fail_errno(const char *path)
{
	ctl_error("%s: %s", path, strerror(errno));
	return (CTL_FAILED);
}

/* ---- the engine ----------------------------------------------------------------------- */

static bool
member_true(const struct body_json *doc, uint32_t object, const char *name)
{
	uint32_t n = body_json_member(doc, object, name);

	return (n != 0 && doc->nodes[n].type == BODY_JSON_TRUE);
}

static uint64_t
member_u64(const struct body_json *doc, uint32_t object, const char *name)
{
	uint32_t n = body_json_member(doc, object, name);
	uint64_t value = 0;

	if (n != 0 && string_u64(body_json_raw(doc, n), &value) != RC_OK)
		value = 0;
	return (value);
}

static struct span
member_text(const struct body_json *doc, uint32_t object, const char *name)
{
	uint32_t n = body_json_member(doc, object, name);

	/* Names of engines: nothing in them is ever escaped. */
	return (n == 0 || doc->nodes[n].type != BODY_JSON_STRING ?
	    (struct span){ NULL, 0 } : body_json_raw(doc, n));
}

/* Who is announced, is not ours, and cannot open what we would seal.  One that
 * is through with the rotation knows one key again, the new one: it holds what we
 * hold, records under the next key among it. */
static void
note_engines(const struct body_json *doc, uint32_t stats, struct facts *f)
{
	const size_t size = sizeof(f->unaware);
	struct span own = member_text(doc, 0, "name"), name;
	struct span sum = member_text(doc, stats, "checksum");
	uint32_t list = body_json_member(doc, 0, "engines"), n;
	size_t len = 0;

	if (list == 0)
		return;
	for (n = body_json_child(doc, list); n != 0;
	    n = body_json_sibling(doc, n)) {
		name = member_text(doc, n, "name");
		if (span_eq(name, own))
			f->announced = true;
		else if (name.len >= 2 && len < size &&
		    !member_true(doc, n, "resealing") &&
		    (f->resealed == 0 || sum.len == 0 ||
		    !span_eq(sum, member_text(doc, n, "checksum"))))
			len += (size_t)snprintf(f->unaware + len, size - len,
			    "%s%.*s", len != 0 ? ", " : "", (int)name.len - 2,
			    name.p + 1);
	}
}

static bool
facts_read(struct span json, struct facts *f)
{
	struct body_json doc;
	uint32_t stats;

	if (body_json_read(&doc, json.p, json.len, 0, NULL) != RC_OK)
		return (false);
	stats = doc.nodes[0].type != BODY_JSON_OBJECT ? 0 :
	    body_json_member(&doc, 0, "statistics");
	if (stats != 0 && doc.nodes[stats].type == BODY_JSON_OBJECT) {
		f->ready = member_true(&doc, 0, "ready");
		f->records = member_u64(&doc, 0, "records");
		f->resealing = member_true(&doc, stats, "resealing");
		f->apps = member_u64(&doc, stats, "apps");
		f->resealed = member_u64(&doc, stats, "resealed");
		f->redis = span_eq_str(member_text(&doc, 0, "redis"),
		    "\"up\"");
		note_engines(&doc, stats, f);
	}
	body_json_fini(&doc);
	return (stats != 0);
}

static enum ctl_exit
ask_facts(struct root *r, struct facts *f)
{
	struct control_answer answer;
	enum ctl_exit status;

	memset(f, 0, sizeof(*f));
	status = control_want("e3-helper", r->ctl->conf_e3->helper_socket,
	    "status", SPAN_LIT(""), -1, CONTROL_TIMEOUT_MS, "status", &answer);
	if (status != CTL_DONE)
		return (status);
	if (!facts_read(control_answer_text(&answer), f)) {
		ctl_error("e3-helper: its status is not understood");
		status = CTL_FAILED;
	}
	control_answer_fini(&answer);
	return (status);
}

/* Restart e3d and wait until it says of the next key what the files say, with
 * every record loaded. */
static enum ctl_exit
restart_engine(struct root *r, bool resealing)
{
	struct control_answer answer;
	enum ctl_exit status;
	struct facts f;
	uint64_t end_ms;

	status = control_want("relayd", r->relayd, "restart-engine",
	    SPAN_LIT(""), -1, RESTART_TIMEOUT_MS, "ok", &answer);
	if (status != CTL_DONE)
		return (status);
	control_answer_fini(&answer);
	end_ms = clock_mono_ms() + SETTLE_MS;
	do {
		if ((status = ask_facts(r, &f)) != CTL_DONE)
			return (status);
		if (f.ready && f.resealing == resealing &&
		    f.apps == f.records)
			return (CTL_DONE);
		pause_ms(POLL_MS);
	} while (clock_mono_ms() < end_ms);
	ctl_error("the engine is not as it should be after its restart: "
	    "ready %s, next root key %s, %llu apps of %llu records; run this "
	    "again once it is", f.ready ? "yes" : "no",
	    f.resealing ? "known" : "unknown", (unsigned long long)f.apps,
	    (unsigned long long)f.records);
	return (CTL_FAILED);
}

static enum ctl_exit
reseal(struct root *r)
{
	struct control_answer answer;
	enum ctl_exit status = CTL_DONE;
	struct span said;
	enum rc rc;

	rc = control_ask(r->ctl->conf_e3->helper_socket, "reseal",
	    SPAN_LIT(""), -1, RESEAL_TIMEOUT_MS, &answer);
	if (rc != RC_OK) {
		ctl_error("e3-helper: %s: run this again, it goes on where it "
		    "was", rc_name(rc));
		return (rc == RC_TIMEOUT || rc == RC_EOF ? CTL_PARTLY :
		    CTL_FAILED);
	}
	said = control_answer_text(&answer);
	if (control_answer_is(&answer, "ok")) {
		if (string_u64(said, &r->resealed) != RC_OK)
			r->resealed = 0;
	} else {
		status = control_answer_is(&answer, "partly") ? CTL_PARTLY :
		    CTL_FAILED;
		ctl_error("e3-helper: %.*s; both root keys stay where they "
		    "are: run this again, it goes on where it was",
		    (int)said.len, said.p);
	}
	control_answer_fini(&answer);
	return (status);
}

/* ---- the files ---------------------------------------------------------------------------- */

/* CTL_DONE: both can be read; *same says whether they hold the same key. */
static enum ctl_exit
compare_keys(const char *a, const char *b, bool *same)
{
	uint8_t ka[CTL_ROOT_KEY_BYTES], kb[CTL_ROOT_KEY_BYTES];
	enum ctl_exit status;

	*same = false;
	if ((status = ctl_root_key_read(a, ka)) == CTL_DONE &&
	    (status = ctl_root_key_read(b, kb)) == CTL_DONE)
		*same = memcmp(ka, kb, sizeof(ka)) == 0;
	secret_wipe(ka, sizeof(ka));
	secret_wipe(kb, sizeof(kb));
	return (status);
}

/* KEY.next, from --key or from chance; for the same owner as KEY. */
static enum ctl_exit
make_next(struct root *r)
{
	const char *given = args_get(&r->ctl->args, "key");
	uint8_t key[CTL_ROOT_KEY_BYTES];
	enum ctl_exit status = CTL_DONE;
	struct stat st;

	if (given == NULL)
		random_bytes(key, sizeof(key));
	else if ((status = ctl_root_key_read(given, key)) != CTL_DONE)
		return (status);
	if (file_create(r->next, key, sizeof(key), 0400) != RC_OK)
		status = fail_errno(r->next);
	else if (stat(r->key, &st) != 0 || (st.st_uid != geteuid() &&
	    chown(r->next, st.st_uid, st.st_gid) != 0))
		status = fail_errno(r->key);
	secret_wipe(key, sizeof(key));
	return (status);
}

/* What lies there fits this run. */
static enum ctl_exit
check_next(struct root *r)
{
	const char *given = args_get(&r->ctl->args, "key");
	enum ctl_exit status;
	bool same;

	if (given != NULL) {
		status = compare_keys(given, r->next, &same);
		if (status != CTL_DONE)
			return (status);
		if (!same) {
			ctl_error("%s: holds another key than %s", r->next,
			    given);
			return (CTL_EXISTS);
		}
	}
	if ((status = compare_keys(r->key, r->next, &same)) != CTL_DONE)
		return (status);
	if (same) {
		ctl_error("%s: is the root key already", r->next);
		return (CTL_USAGE);
	}
	if (!exists(r->old))
		return (CTL_DONE);
	/* A run was cut off between the two names of step 4. */
	if ((status = compare_keys(r->key, r->old, &same)) != CTL_DONE || same)
		return (status);
	ctl_error("%s: exists from the last rotation: move it to a safe place "
	    "first", r->old);
	return (CTL_EXISTS);
}

static enum ctl_exit
sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL ? xstrdup(".") :
	    xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum ctl_exit status = CTL_DONE;

	if (fd < 0 || fsync(fd) != 0)
		status = fail_errno(folder);
	fd_close(&fd);
	free(folder);
	return (status);
}

/* KEY exists at every moment; KEY.old is on disk before KEY is another. */
static enum ctl_exit
swap_files(struct root *r)
{
	enum ctl_exit status;

	if (!exists(r->old) && link(r->key, r->old) != 0)
		return (fail_errno(r->old));
	if ((status = sync_folder(r->key)) != CTL_DONE)
		return (status);
	if (rename(r->next, r->key) != 0)
		return (fail_errno(r->next));
	return (sync_folder(r->key));
}

/* ---- the way ---------------------------------------------------------------------------------- */

static enum ctl_exit
print_prepared(const struct root *r)
{
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;

	buffer_init(&out, 0, false);
	if (r->ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "root_key", r->key);
		body_json_put_str(&w, "next", r->next);
		body_json_put_bool(&w, "rotated", false);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s: the engine knows it; relayctl root "
		    "rotate goes on", r->next);
	status = ctl_print_line(view(&out));
	buffer_fini(&out);
	return (status);
}

static enum ctl_exit
print_rotated(const struct root *r, uint64_t records)
{
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;

	buffer_init(&out, 0, false);
	if (r->ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "root_key", r->key);
		body_json_put_str(&w, "old", r->old);
		body_json_put_bool(&w, "rotated", true);
		body_json_put_u64(&w, "records", records);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s is the new root key; %llu records are "
		    "under it.\nThe old one stays as %s: backups made before "
		    "now open with it alone.\nKeep it in a safe place, off "
		    "this machine, and make a new backup.\n"
		    "WHOEVER LOSES THE ROOT KEY LOSES ALL DATA: copy the new "
		    "one to a safe place now.", r->key,
		    (unsigned long long)records, r->old);
	status = ctl_print_line(view(&out));
	buffer_fini(&out);
	return (status);
}

/* Step 5. */
static enum ctl_exit
finish(struct root *r)
{
	enum ctl_exit status;
	struct facts f;

	if ((status = restart_engine(r, false)) != CTL_DONE ||
	    (status = ask_facts(r, &f)) != CTL_DONE)
		return (status);
	return (print_rotated(r, f.records));
}

/* No KEY.next: begin, or end what was cut off behind the rename. */
static enum ctl_exit
begin(struct root *r, const struct facts *f, bool *finished)
{
	if (exists(r->next))
		return (CTL_DONE);
	if (!exists(r->old))
		return (make_next(r));
	if (f->resealing) {
		*finished = true;
		return (finish(r));
	}
	ctl_error("%s: exists from the last rotation, which is complete: move "
	    "it to a safe place before the next one (old backups open with it "
	    "alone)", r->old);
	return (CTL_EXISTS);
}

static bool
all_resealed(const struct facts *f)
{
	return (f->records != 0 && f->resealed >= f->records);
}

static enum ctl_exit
fail_unaware(const struct facts *f)
{
	if (f->unaware[0] == '\0')
		ctl_error("this engine is not announced: what others know of the "
		    "next root key cannot be told; nothing was changed");
	else
		ctl_error("the next root key is not known to: %s. First run "
		    "relayctl root rotate --key FILE --prepare, with one and "
		    "the same key, on every machine that has an engine, this "
		    "one too; nothing was changed", f->unaware);
	return (CTL_PARTLY);
}

/*
 * Step 0.  An engine that cannot open what Redis brings would go on with what it
 * has, and make other versions of it.  With nothing left to seal there is
 * nothing to ask: then the files are all that is not done.
 */
static enum ctl_exit
check_fleet(struct root *r, struct facts *f)
{
	uint64_t end_ms = clock_mono_ms() + TOLD_MS;
	enum ctl_exit status;

	while (!all_resealed(f) && (f->unaware[0] != '\0' ||
	    (f->redis && !f->announced))) {
		if (clock_mono_ms() >= end_ms)
			return (fail_unaware(f));
		pause_ms(POLL_MS);
		if ((status = ask_facts(r, f)) != CTL_DONE)
			return (status);
	}
	return (CTL_DONE);
}

/* Neither only prepared, nor behind the rename. */
static bool
will_reseal(const struct root *r)
{
	return (!args_has(&r->ctl->args, "prepare") &&
	    (exists(r->next) || !exists(r->old)));
}

static enum ctl_exit
rotate(struct root *r)
{
	enum ctl_exit status;
	bool finished = false;
	struct facts f;

	if ((status = ask_facts(r, &f)) != CTL_DONE ||
	    (will_reseal(r) && (status = check_fleet(r, &f)) != CTL_DONE) ||
	    (status = begin(r, &f, &finished)) != CTL_DONE || finished ||
	    (status = check_next(r)) != CTL_DONE)
		return (status);
	if (!f.resealing && (status = restart_engine(r, true)) != CTL_DONE)
		return (status);
	if (args_has(&r->ctl->args, "prepare"))
		return (print_prepared(r));
	if ((status = reseal(r)) != CTL_DONE ||
	    (status = swap_files(r)) != CTL_DONE)
		return (status);
	return (finish(r));
}

enum ctl_exit
ctl_root_rotate(struct ctl *ctl)
{
	struct root r = { .ctl = ctl };
	const char *key;
	enum ctl_exit status;

	if ((status = ctl_conf_e3(ctl)) != CTL_DONE ||
	    (status = control_path(ctl, "relayd.sock", r.relayd,
	    sizeof(r.relayd))) != CTL_DONE)
		return (status);
	key = ctl->conf_e3->root_key;
	if (strncmp(key, CONF_CREDENTIAL, strlen(CONF_CREDENTIAL)) == 0) {
		ctl_error("%s: option 'root_key' is a credential of systemd, "
		    "which relayctl cannot replace: see relayctl(1)",
		    ctl->conf_e3->path);
		return (CTL_USAGE);
	}
	r.key = xstrdup(key);
	r.next = xasprintf("%s.next", key);
	r.old = xasprintf("%s.old", key);
	status = rotate(&r);
	free(r.key);
	free(r.next);
	free(r.old);
	return (status);
}
