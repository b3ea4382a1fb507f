/*
 * ctl/snapshot.c - records are files that are replaced by rename, so each is
 * whole at any time; together they are of one moment when the engine holds the
 * same versions before and after it sealed the check values.  Else: again.
 */
#include "ctl/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/engine_client.h"
#include "ctl/pause.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"

#define SUFFIX		".rec"
#define RECORDS_MAX	1000000	/* as many as e3-helper reads */
#define ATTEMPTS	10
#define PAUSE_MS	200	/* a change of an app takes less */
#define VALUE_BYTES	16

/* What the engine says it holds. */
struct held {
	char		app[RPC_APP_ID_BYTES];
	uint64_t	version;
};

struct taking {
	struct snapshot		*s;		/* borrowed */
	const char		*dir;		/* borrowed: state_dir */
	struct engine_client	*engine;	/* owned */
	char			(*damaged)[RPC_APP_ID_BYTES]; /* owned, sorted */
	size_t			n_damaged;
	struct held		*held;		/* owned, sorted */
	size_t			n_held;
	bool			one_sided;	/* an app is on disk or in the
						   engine alone */
};

/* Both start with an app id. */
static int
by_app(const void *a, const void *b)
{
	return (strcmp(a, b));
}

/* ---- the disk ---------------------------------------------------------------------- */

static int
is_record(const struct dirent *d)
{
	size_t len = strlen(d->d_name), tail = strlen(SUFFIX);

	return (len > tail && strcmp(d->d_name + len - tail, SUFFIX) == 0 &&
	    rpc_app_id_valid((struct span){ d->d_name, len - tail }));
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	size_t na = strlen((*a)->d_name) - strlen(SUFFIX);
	size_t nb = strlen((*b)->d_name) - strlen(SUFFIX);
	int cmp = memcmp((*a)->d_name, (*b)->d_name, na < nb ? na : nb);

	/* By app id: ".rec" is not part of it. */
	return (cmp != 0 ? cmp : na < nb ? -1 : na > nb);
}

/* Append the record of a file: RC_OK with *out, whose bytes.p is to be set
 * when the buffer has come to rest; RC_NOTFOUND; RC_CORRUPT: no record, or it
 * cannot be read; RC_LIMIT, RC_NOMEM: no more room. */
static enum rc
read_record(const struct taking *t, const char *name, struct buffer *all,
    struct archive_record *out)
{
	char *path = xasprintf("%s/%s", t->dir, name);
	size_t len = strlen(name) - strlen(SUFFIX);
	struct buffer one;
	enum rc rc;

	buffer_init(&one, RPC_RECORD_BYTES_MAX, false);
	rc = file_read(path, &one);
	out->bytes = (struct span){ buffer_data(&one), buffer_len(&one) };
	if (rc == RC_LIMIT || rc == RC_IO || (rc == RC_OK &&
	    (rpc_record_head_read(out->bytes, &out->head) != RC_OK ||
	    !span_eq_str((struct span){ name, len }, out->head.app))))
		rc = RC_CORRUPT;
	if (rc == RC_OK)
		rc = buffer_append(all, out->bytes.p, out->bytes.len);
	buffer_fini(&one);
	free(path);
	return (rc);
}

static void
note_damaged(struct taking *t, const char *name)
{
	size_t len = strlen(name) - strlen(SUFFIX);

	t->damaged = xrealloc(t->damaged,
	    (t->n_damaged + 1) * sizeof(*t->damaged));
	(void)snprintf(t->damaged[t->n_damaged++], RPC_APP_ID_BYTES, "%.*s",
	    (int)len, name);
}

static enum ctl_exit
read_all(struct taking *t, struct dirent **names, size_t n)
{
	struct archive *a = &t->s->archive;
	const char *at;
	enum rc rc;

	a->records = xcalloc(n + 1, sizeof(*a->records));
	for (size_t i = 0; i < n; i++) {
		rc = read_record(t, names[i]->d_name, &t->s->records,
		    &a->records[a->n_records]);
		if (rc == RC_OK)
			a->n_records++;
		else if (rc == RC_CORRUPT)
			note_damaged(t, names[i]->d_name);
		else if (rc != RC_NOTFOUND) {	/* that: just set aside */
			ctl_error("%s: the records cannot be read: %s",
			    t->dir, rc_name(rc));
			return (CTL_FAILED);
		}
	}
	at = buffer_data(&t->s->records);
	for (size_t i = 0; i < a->n_records; i++) {
		a->records[i].bytes.p = at;
		at += a->records[i].bytes.len;
	}
	return (CTL_DONE);
}

static enum ctl_exit
read_folder(struct taking *t)
{
	enum ctl_exit status = CTL_FAILED;
	struct dirent **names = NULL;
	int n;

	t->n_damaged = 0;
	n = scandir(t->dir, &names, is_record, by_name);
	if (n < 0)
		ctl_error("%s: %s", t->dir, strerror(errno));
	else if (n > RECORDS_MAX)
		ctl_error("%s: more than %d records", t->dir, RECORDS_MAX);
	else
		status = read_all(t, names, (size_t)n);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return (status);
}

/* ---- the engine -------------------------------------------------------------------- */

/* [[id, version, state, created_ms]...], in pieces. */
static void
on_apps(void *arg, const struct rpc_value *body)
{
	struct taking *t = arg;
	size_t n = rpc_array_len(body);
	struct held *h;
	struct span id;

	if (n == SIZE_MAX || n == 0)
		return;
	t->held = xrealloc(t->held, (t->n_held + n) * sizeof(*t->held));
	for (size_t i = 0; i < n; i++) {
		const struct rpc_value *row = rpc_array_at(body, i);

		h = &t->held[t->n_held];
		memset(h, 0, sizeof(*h));
		if (rpc_get_bytes(rpc_array_at(row, 0), &id) &&
		    span_copy(id, h->app, sizeof(h->app)) &&
		    rpc_get_u64(rpc_array_at(row, 1), &h->version))
			t->n_held++;
	}
}

static enum ctl_exit
ask_held(struct taking *t)
{
	struct buffer body;
	enum ctl_exit status;

	t->n_held = 0;
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	status = engine_client_must(t->engine, RPC_OP_LIST_APPS, &body,
	    on_apps, t);
	buffer_fini(&body);
	if (t->n_held > 1)
		qsort(t->held, t->n_held, sizeof(*t->held), by_app);
	return (status);
}

static bool
is_damaged(const struct taking *t, const char *app)
{
	return (t->n_damaged != 0 && bsearch(app, t->damaged, t->n_damaged,
	    sizeof(*t->damaged), by_app) != NULL);
}

static void
leave_out(struct taking *t, const char *app, const char *why)
{
	buffer_printf(&t->s->left_out, "%s: %s\n", app, why);
	t->s->n_left_out++;
}

/*
 * Walk both lists, which are sorted.  What is on one side alone is left out.
 * RC_OK; RC_CONFLICT: versions differ.
 */
static enum rc
compare(struct taking *t)
{
	struct archive *a = &t->s->archive;
	size_t i = 0, h = 0, kept = 0;
	enum rc rc = RC_OK;

	t->one_sided = false;
	for (size_t d = 0; d < t->n_damaged; d++)
		leave_out(t, t->damaged[d],
		    "its file is no record, or cannot be read");
	while (i < a->n_records || h < t->n_held) {
		int cmp = i == a->n_records ? 1 : h == t->n_held ? -1 :
		    strcmp(a->records[i].head.app, t->held[h].app);

		if (cmp == 0) {
			if (a->records[i].head.version != t->held[h].version)
				rc = RC_CONFLICT;
			a->records[kept++] = a->records[i++];
			h++;
		} else if (cmp < 0) {
			t->one_sided = true;
			leave_out(t, a->records[i++].head.app,
			    "on disk, but the engine does not hold it");
		} else {
			if (!is_damaged(t, t->held[h].app)) {
				t->one_sided = true;
				leave_out(t, t->held[h].app, "the engine "
				    "holds it, but it is not on disk");
			}
			h++;
		}
	}
	a->n_records = kept;
	return (rc);
}

/* ---- check values -------------------------------------------------------------------- */

struct sealing {
	struct snapshot	*s;		/* borrowed */
	size_t		token_bytes;	/* 0: none came */
};

static void
on_sealed(void *arg, const struct rpc_value *body)
{
	struct sealing *c = arg;
	struct rpc_sealed sealed;

	if (rpc_array_len(body) != 1 ||
	    rpc_sealed_at(body, 0, &sealed) != RC_OK ||
	    sealed.status != RPC_SEALED ||
	    sealed.bytes.len > ARCHIVE_TOKEN_BYTES_MAX)
		return;
	buffer_put(&c->s->tokens, sealed.bytes.p, sealed.bytes.len);
	c->token_bytes = sealed.bytes.len;
}

/* A value that is known to nobody, not even to us a moment later. */
static void
put_value(struct buffer *body)
{
	uint8_t random[VALUE_BYTES / 2];
	char text[VALUE_BYTES + 1];
	struct rpc_field field = { .type = RPC_FIELD_STRING,
	    .bytes = { text, VALUE_BYTES } };

	random_bytes(random, sizeof(random));
	hex_encode(random, sizeof(random), text);
	ensure(rpc_encrypt_put_field(body, &field) == RC_OK);
	secret_wipe(random, sizeof(random));
	secret_wipe(text, sizeof(text));
}

/* RC_OK, also when the app seals nothing on that curve; RC_CONFLICT: gone
 * meanwhile, or too busy; RC_IO: told. */
static enum rc
seal_one(struct taking *t, size_t record, enum rpc_curve curve)
{
	struct archive *a = &t->s->archive;
	struct sealing c = { .s = t->s };
	struct rpc_encrypt call = {
		.app = span_of(a->records[record].head.app),
		.curve = curve,
		.scope = RPC_SCOPE_FIELD,
		.existing = RPC_EXISTING_ENCRYPT,
		.n_fields = 1,
	};
	enum rpc_status status;
	struct buffer body;
	enum rc rc;

	buffer_init(&body, 0, true);
	rpc_encrypt_put(&body, &call);
	put_value(&body);
	rc = engine_client_call(t->engine, RPC_OP_ENCRYPT, &body, on_sealed,
	    &c, &status);
	buffer_fini(&body);
	if (rc == RC_OK && status == RPC_STATUS_NO_SUCH_KEY)
		return (RC_OK);
	if (rc == RC_OK && (status == RPC_STATUS_NO_SUCH_APP ||
	    status == RPC_STATUS_OVERLOADED ||
	    status == RPC_STATUS_RATE_LIMITED))
		return (RC_CONFLICT);
	if (engine_client_tell(RPC_OP_ENCRYPT, rc, status) != CTL_DONE)
		return (RC_IO);
	if (c.token_bytes == 0) {
		ctl_error("engine: Encrypt: the answer is not understood");
		return (RC_IO);
	}
	a->checks[a->n_checks++] = (struct archive_check){ .record = record,
	    .curve = curve, .token = { NULL, c.token_bytes } };
	return (RC_OK);
}

static enum rc
seal_all(struct taking *t)
{
	struct archive *a = &t->s->archive;
	enum rc rc = RC_OK;
	const char *at;

	a->checks = xcalloc(2 * a->n_records + 1, sizeof(*a->checks));
	for (size_t i = 0; rc == RC_OK && i < a->n_records; i++) {
		/* No engine rewraps its tokens, by which they are proved; that
		 * its keys are whole is seen when its record opens. */
		if (strcmp(a->records[i].head.app, RPC_SYSTEM_APP) == 0)
			continue;
		rc = seal_one(t, i, RPC_CURVE_R1);
		if (rc == RC_OK)
			rc = seal_one(t, i, RPC_CURVE_K1);
	}
	at = buffer_data(&t->s->tokens);
	for (size_t i = 0; i < a->n_checks; i++) {
		a->checks[i].token.p = at;
		at += a->checks[i].token.len;
	}
	return (rc);
}

/* ---- both ------------------------------------------------------------------------------ */

static void
start_again(struct snapshot *s)
{
	archive_fini(&s->archive);
	buffer_clear(&s->records);
	buffer_clear(&s->tokens);
	buffer_clear(&s->left_out);
	s->n_left_out = 0;
}

/* Does the engine hold the versions that were read? */
static bool
still_held(const struct taking *t)
{
	const struct archive *a = &t->s->archive;

	for (size_t i = 0; i < a->n_records; i++) {
		const struct held *h = t->n_held == 0 ? NULL :
		    bsearch(a->records[i].head.app, t->held, t->n_held,
		    sizeof(*t->held), by_app);

		if (h == NULL || h->version != a->records[i].head.version)
			return (false);
	}
	return (true);
}

/* RC_OK; RC_CONFLICT: something changed meanwhile; RC_IO: told. */
static enum rc
try_once(struct taking *t, bool last)
{
	enum rc rc;

	start_again(t->s);
	if (read_folder(t) != CTL_DONE || ask_held(t) != CTL_DONE)
		return (RC_IO);
	if ((rc = compare(t)) != RC_OK)
		return (rc);
	/* An app that is just being made is on one side for a moment. */
	if (t->one_sided && !last)
		return (RC_CONFLICT);
	if ((rc = seal_all(t)) != RC_OK)
		return (rc);
	if (ask_held(t) != CTL_DONE)
		return (RC_IO);
	return (still_held(t) ? RC_OK : RC_CONFLICT);
}

enum ctl_exit
snapshot_take(struct ctl *ctl, struct snapshot *s)
{
	struct taking t = { .s = s };
	enum ctl_exit status;
	enum rc rc = RC_CONFLICT;

	memset(s, 0, sizeof(*s));
	buffer_init(&s->records, ARCHIVE_BYTES_MAX, false);
	buffer_init(&s->tokens, 0, false);
	buffer_init(&s->left_out, 0, false);
	if ((status = ctl_conf_e3(ctl)) != CTL_DONE ||
	    (status = engine_client_open(ctl, ENGINE_LOCAL, &t.engine)) !=
	    CTL_DONE)
		return (status);
	t.dir = ctl->conf_e3->state_dir;
	for (int i = 0; rc == RC_CONFLICT && i < ATTEMPTS; i++) {
		if (i > 0)
			pause_ms(PAUSE_MS);
		rc = try_once(&t, i == ATTEMPTS - 1);
	}
	if (rc == RC_CONFLICT)
		ctl_error("apps are being changed, or the engine is too busy: "
		    "try again");
	engine_client_close(&t.engine);
	free(t.damaged);
	free(t.held);
	return (rc == RC_OK ? CTL_DONE : CTL_FAILED);
}

void
snapshot_fini(struct snapshot *s)
{
	archive_fini(&s->archive);
	buffer_fini(&s->records);
	buffer_fini(&s->tokens);
	buffer_fini(&s->left_out);
}
