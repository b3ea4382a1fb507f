/* ctl/key.c - `key create`, `key list`, `key revoke`. */
#include <string.h>

#include "ctl/confirm.h"
#include "ctl/ctl.h"
#include "ctl/listing.h"
#include "ctl/record_commit.h"
#include "ctl/time_text.h"
#include "lib/base/clock.h"
#include "lib/body/json_write.h"
#include "lib/rpc/credential.h"

/* ---- key create ------------------------------------------------------------------ */

struct creating {
	const struct ctl	*ctl;		/* borrowed */
	uint64_t		expires_ms;	/* 0: never */
};

static enum ctl_exit
put_create(void *arg, struct engine_client *engine, struct buffer *body)
{
	const struct creating *c = arg;
	const struct args *args = &c->ctl->args;
	size_t n = 0;

	(void)engine;
	while (args_get_nth(args, "scope", n) != NULL)
		n++;
	rpc_put_map(body, c->expires_ms == 0 ? 2 : 3);
	rpc_put_str(body, "app");
	rpc_put_str(body, args->operands[0]);
	rpc_put_str(body, "scopes");
	rpc_put_array(body, n);
	for (size_t i = 0; i < n; i++)
		rpc_put_str(body, args_get_nth(args, "scope", i));
	if (c->expires_ms != 0) {
		rpc_put_str(body, "expires_ms");
		rpc_put_u64(body, c->expires_ms);
	}
	return (CTL_DONE);
}

static enum ctl_exit
check_scopes(const struct ctl *ctl)
{
	const char *scope;
	size_t n = 0;

	for (; (scope = args_get_nth(&ctl->args, "scope", n)) != NULL; n++) {
		if (rpc_scope_valid(span_of(scope)))
			continue;
		ctl_error("--scope '%s': 1 to %d characters of a-z 0-9 : _ -",
		    scope, RPC_SCOPE_BYTES - 1);
		return (CTL_USAGE);
	}
	if (n <= RPC_SCOPES_MAX)
		return (CTL_DONE);
	ctl_error("--scope: at most %d", RPC_SCOPES_MAX);
	return (CTL_USAGE);
}

/* Option --expires, if it was given. */
static enum ctl_exit
read_expires(const struct ctl *ctl, uint64_t *expires_ms)
{
	const char *given = args_get(&ctl->args, "expires");
	enum rc rc = RC_OK;

	*expires_ms = 0;
	if (given != NULL)
		rc = time_parse(given, clock_wall_ms(), expires_ms);
	if (rc == RC_OK)
		return (CTL_DONE);
	if (rc == RC_LIMIT)
		ctl_error("--expires: not within the next 100 years");
	else
		ctl_error("--expires: a duration (90d, 12h, 30m, 45s, 8w) or a "
		    "moment in UTC (2030-01-31T12:00:00Z)");
	return (CTL_USAGE);
}

static enum ctl_exit
print_created(const struct ctl *ctl, const struct record_commit *r,
    uint64_t expires_ms)
{
	struct span secret = { buffer_data(&r->secret),
	    buffer_len(&r->secret) };
	struct body_json_writer w;
	char when[TIME_TEXT_BYTES];
	struct buffer out;
	enum ctl_exit status;

	time_text(expires_ms, when);
	buffer_init(&out, 0, true);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "app", r->app);
		body_json_put_str(&w, "key", r->key);
		body_json_put_string(&w, "secret", secret);
		if (expires_ms != 0)
			body_json_put_u64(&w, "expires_ms", expires_ms);
		body_json_put_u64(&w, "version", r->version);
		body_json_close_object(&w);
		buffer_puts(&out, "\n");
	} else {
		buffer_printf(&out, "key     %s\nsecret  ", r->key);
		buffer_put(&out, secret.p, secret.len);
		buffer_puts(&out, "\n");
		if (expires_ms != 0)
			buffer_printf(&out, "expires %s\n", when);
	}
	status = ctl_print((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

enum ctl_exit
ctl_key_create(struct ctl *ctl)
{
	const char *app = ctl->args.operands[0];
	struct creating creating = { .ctl = ctl };
	const struct record_change change = {
		.op = RPC_OP_CREATE_KEY,
		.app = app,
		.put_body = put_create,
		.arg = &creating,
		.failed = "; nothing was created",
	};
	struct record_commit r;
	enum ctl_exit status;

	if ((status = ctl_app_operand(app)) != CTL_DONE ||
	    (status = check_scopes(ctl)) != CTL_DONE ||
	    (status = read_expires(ctl, &creating.expires_ms)) != CTL_DONE ||
	    (status = record_commit(ctl, &change, &r)) != CTL_DONE)
		return (status);
	/* It exists, and nobody will ever know its secret. */
	status = print_created(ctl, &r, creating.expires_ms);
	if (status != CTL_DONE)
		ctl_error("key %s was created, its secret is lost: revoke it",
		    r.key);
	record_commit_fini(&r);
	return (status);
}

/* ---- key revoke ------------------------------------------------------------------ */

static enum ctl_exit
put_revoke(void *arg, struct engine_client *engine, struct buffer *body)
{
	const struct ctl *ctl = arg;

	(void)engine;
	rpc_pack(body, RPC_STR("app", ctl->args.operands[0]),
	    RPC_STR("key", ctl->args.operands[1]));
	return (CTL_DONE);
}

enum ctl_exit
ctl_key_revoke(struct ctl *ctl)
{
	const struct record_change change = {
		.op = RPC_OP_REVOKE_KEY,
		.app = ctl->args.operands[0],
		.put_body = put_revoke,
		.arg = ctl,
		.failed = "; the key is not revoked",
		.conflict = "the key is revoked already",
		.conflict_exit = CTL_EXISTS,
	};
	static const char then[] =
	    "; the key opens nothing where it is confirmed";
	struct record_commit r;
	struct buffer missing;
	enum ctl_exit status;
	unsigned timeout_s;

	if ((status = ctl_app_operand(change.app)) != CTL_DONE ||
	    (status = confirm_timeout(ctl, &timeout_s)) != CTL_DONE)
		return (status);
	buffer_init(&missing, 0, false);
	status = record_commit(ctl, &change, &r);
	if (status == CTL_DONE) {
		status = confirm_everywhere(ctl, change.app, r.version,
		    timeout_s, then, &missing);
		status = confirm_print(ctl, &r, &(struct confirm_said){
		    .kind = "key", .id = ctl->args.operands[1],
		    .did = "revoked" }, status, &missing);
		record_commit_fini(&r);
	} else if (status == CTL_EXISTS) {
		/* Who was told of an unconfirmed one asks again. */
		status = confirm_present(ctl, change.app, timeout_s, then,
		    &missing);
		status = status == CTL_DONE ? CTL_EXISTS : status;
	}
	buffer_fini(&missing);
	return (status);
}

/* ---- key list --------------------------------------------------------------------- */

static void
list_scopes(struct listing *l, const struct rpc_value *scopes)
{
	size_t n = rpc_array_len(scopes);
	struct buffer text;
	struct span scope;

	buffer_init(&text, 0, false);
	if (l->json)
		body_json_open_array(&l->w, "scopes");
	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		if (!rpc_get_bytes(rpc_array_at(scopes, i), &scope))
			continue;
		if (l->json) {
			body_json_put_string(&l->w, NULL, scope);
			continue;
		}
		if (buffer_len(&text) != 0)
			buffer_puts(&text, ",");
		buffer_put(&text, scope.p, scope.len);
	}
	if (l->json)
		body_json_close_array(&l->w);
	else
		table_cell_str(l->table,
		    buffer_len(&text) == 0 ? "-" : buffer_cstr(&text));
	buffer_fini(&text);
}

/* [[key id, state, created_ms, scopes, expires_ms | nil]...] */
static void
on_keys(void *arg, const struct rpc_value *body)
{
	struct listing *l = arg;
	size_t n = rpc_array_len(body);
	char when[TIME_TEXT_BYTES];

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		const struct rpc_value *row = rpc_array_at(body, i);
		struct span id = { "", 0 }, state = { "", 0 };
		uint64_t created_ms = 0, expires_ms = 0;

		(void)rpc_get_bytes(rpc_array_at(row, 0), &id);
		(void)rpc_get_bytes(rpc_array_at(row, 1), &state);
		(void)rpc_get_u64(rpc_array_at(row, 2), &created_ms);
		(void)rpc_get_u64(rpc_array_at(row, 4), &expires_ms);
		if (l->json) {
			body_json_open_object(&l->w, NULL);
			body_json_put_string(&l->w, "key", id);
			body_json_put_string(&l->w, "state", state);
			body_json_put_u64(&l->w, "created_ms", created_ms);
			if (expires_ms != 0)
				body_json_put_u64(&l->w, "expires_ms",
				    expires_ms);
			list_scopes(l, rpc_array_at(row, 3));
			body_json_close_object(&l->w);
			continue;
		}
		time_text(created_ms, when);
		table_cell(l->table, id);
		table_cell(l->table, state);
		table_cell_str(l->table, when);
		time_text(expires_ms, when);
		table_cell_str(l->table, when);
		list_scopes(l, rpc_array_at(row, 3));
	}
}

enum ctl_exit
ctl_key_list(struct ctl *ctl)
{
	static const char *const heads[] = { "KEY", "STATE", "CREATED",
	    "EXPIRES", "SCOPES" };
	struct buffer body;
	enum ctl_exit status;

	if ((status = ctl_app_operand(ctl->args.operands[0])) != CTL_DONE)
		return (status);
	buffer_init(&body, 0, false);
	rpc_pack(&body, RPC_STR("app", ctl->args.operands[0]));
	status = listing_print(ctl, heads, 5, RPC_OP_LIST_KEYS, &body, on_keys);
	buffer_fini(&body);
	return (status);
}
