/*
 * ctl/proof.c - what the isolated engine must answer: ListApps, its checksum,
 * and Rewrap of every check value.
 *
 * Rewrap opens a token and seals its value again inside the engine: so the
 * private key that is in the record is the one that the token was made for,
 * and no plaintext comes here.
 */
#include "ctl/proof.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/engine_client.h"
#include "ctl/isolated_engine.h"
#include "lib/base/object.h"

#define TOLD_MAX	20	/* apps; then their number says enough */

struct proof {
	const struct archive	*archive;	/* borrowed */
	bool			*seen;		/* owned: by record */
	size_t			faults;
	bool			answered;	/* the call's body was understood */
};

static const char *
curve_name(enum rpc_curve curve)
{
	return (curve == RPC_CURVE_K1 ? "k1" : "r1");
}

/* Tell the first ones by name. */
static bool
count_fault(struct proof *p)
{
	return (++p->faults <= TOLD_MAX);
}

/* ---- apps ------------------------------------------------------------------------ */

/* [[id, version, state, created_ms]...], in pieces. */
static void
on_apps(void *arg, const struct rpc_value *body)
{
	struct proof *p = arg;
	size_t n = rpc_array_len(body);

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		const struct rpc_value *row = rpc_array_at(body, i);
		const struct archive_record *r;
		struct span id = { "", 0 };
		uint64_t version = 0;

		(void)rpc_get_bytes(rpc_array_at(row, 0), &id);
		(void)rpc_get_u64(rpc_array_at(row, 1), &version);
		r = archive_find(p->archive, id);
		if (r != NULL)
			p->seen[r - p->archive->records] = true;
		if (r != NULL && r->head.version == version)
			continue;
		if (count_fault(p))
			ctl_error("app %.*s: the engine holds version %llu, "
			    "which is not in the backup", (int)id.len, id.p,
			    (unsigned long long)version);
	}
}

static enum ctl_exit
prove_apps(struct proof *p, struct engine_client *engine)
{
	struct buffer body;
	enum ctl_exit status;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	status = engine_client_must(engine, RPC_OP_LIST_APPS, &body, on_apps,
	    p);
	buffer_fini(&body);
	if (status != CTL_DONE)
		return (CTL_FAILED);
	for (size_t i = 0; i < p->archive->n_records; i++)
		if (!p->seen[i] && count_fault(p))
			ctl_error("app %s: its record does not open",
			    p->archive->records[i].head.app);
	return (p->faults == 0 ? CTL_DONE : CTL_FAILED);
}

/* ---- checksum ----------------------------------------------------------------------- */

static void
on_statistics(void *arg, const struct rpc_value *body)
{
	struct proof *p = arg;
	struct span sum;

	p->answered = rpc_get_bytes(rpc_map_get(body, "checksum"), &sum) &&
	    sum.len == sizeof(p->archive->checksum) &&
	    memcmp(sum.p, p->archive->checksum, sum.len) == 0;
}

static enum ctl_exit
prove_checksum(struct proof *p, struct engine_client *engine)
{
	struct buffer body;
	enum ctl_exit status;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	p->answered = false;
	status = engine_client_must(engine, RPC_OP_GET_STATISTICS, &body,
	    on_statistics, p);
	buffer_fini(&body);
	if (status != CTL_DONE)
		return (CTL_FAILED);
	if (p->answered)
		return (CTL_DONE);
	ctl_error("checksum: the engine does not hold what the backup says");
	return (CTL_FAILED);
}

/* ---- check values -------------------------------------------------------------------- */

struct rewrapped {
	struct span	was;	/* view */
	bool		good;
};

/* [[status, bytes]]: opened, and sealed to another token. */
static void
on_rewrapped(void *arg, const struct rpc_value *body)
{
	struct rewrapped *r = arg;
	const struct rpc_value *one = rpc_array_at(body, 0);
	uint64_t status = RPC_OPEN_NOT_A_TOKEN;
	struct span token = { "", 0 };

	(void)rpc_get_u64(rpc_array_at(one, 0), &status);
	(void)rpc_get_bytes(rpc_array_at(one, 1), &token);
	r->good = rpc_array_len(body) == 1 && status == RPC_OPEN_OK &&
	    token.len != 0 && !span_eq(token, r->was);
}

/* CTL_FAILED: the engine cannot be asked, told.  A value that does not open
 * is counted. */
static enum ctl_exit
prove_value(struct proof *p, struct engine_client *engine,
    const struct archive_check *c)
{
	const char *app = p->archive->records[c->record].head.app;
	struct rewrapped r = { .was = c->token };
	enum rpc_status answer;
	struct buffer body;
	enum rc rc;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 3);
	rpc_put_str(&body, "app");
	rpc_put_str(&body, app);
	rpc_put_str(&body, "curve");
	rpc_put_str(&body, curve_name(c->curve));
	rpc_put_str(&body, "tokens");
	rpc_put_array(&body, 1);
	rpc_put_array(&body, 1);
	rpc_put_bin(&body, c->token);
	rc = engine_client_call(engine, RPC_OP_REWRAP, &body, on_rewrapped, &r,
	    &answer);
	buffer_fini(&body);
	if (rc != RC_OK)
		return (engine_client_tell(RPC_OP_REWRAP, rc, answer));
	if (!r.good && count_fault(p))
		ctl_error("app %s, curve %s: its check value does not open"
		    "%s%s", app, curve_name(c->curve),
		    answer == RPC_STATUS_OK ? "" : ": ",
		    answer == RPC_STATUS_OK ? "" : rpc_status_name(answer));
	return (CTL_DONE);
}

static enum ctl_exit
prove_values(struct proof *p, struct engine_client *engine,
    const struct isolated_engine *isolated)
{
	enum ctl_exit status = CTL_DONE;

	for (size_t i = 0; status == CTL_DONE && i < p->archive->n_checks;
	    i++) {
		status = prove_value(p, engine, &p->archive->checks[i]);
		if (status == CTL_DONE &&
		    isolated_engine_interrupted(isolated)) {
			ctl_error("interrupted");
			status = CTL_FAILED;
		}
	}
	if (p->faults > TOLD_MAX)
		ctl_error("%zu more do not open", p->faults - TOLD_MAX);
	return (p->faults == 0 ? status : CTL_FAILED);
}

/* ---- the whole -------------------------------------------------------------------------- */

enum ctl_exit
proof_run(struct ctl *ctl, const struct archive *a,
    const uint8_t root_key[SHARES_SECRET_BYTES])
{
	struct proof p = { .archive = a };
	struct isolated_engine *isolated = NULL;
	struct engine_client *engine = NULL;
	enum ctl_exit status;

	status = isolated_engine_start(ctl, a, root_key, &isolated);
	if (status != CTL_DONE)
		return (status);
	p.seen = xcalloc(a->n_records + 1, sizeof(*p.seen));
	status = engine_client_open(isolated_engine_ctl(isolated),
	    ENGINE_LOCAL, &engine);
	if (status == CTL_DONE)
		status = prove_apps(&p, engine);
	if (status == CTL_DONE)
		status = prove_checksum(&p, engine);
	if (status == CTL_DONE)
		status = prove_values(&p, engine, isolated);
	if (status != CTL_DONE)
		isolated_engine_tell_log(isolated);
	engine_client_close(&engine);
	isolated_engine_end(&isolated);
	free(p.seen);
	return (status);
}
