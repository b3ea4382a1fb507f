/* ctl/key.c - `key create`, `key list`, `key revoke`. */
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/listing.h"
#include "ctl/record_commit.h"
#include "ctl/time_text.h"
#include "lib/body/json_write.h"

static enum ctl_exit
check_app(const char *app)
{
	if (rpc_app_id_valid(span_of(app)))
		return (CTL_DONE);
	ctl_error("APP: not an app id");
	return (CTL_USAGE);
}

/* ---- key create ------------------------------------------------------------------ */

static void
put_create(const struct ctl *ctl, struct buffer *body)
{
	const char *scope;
	size_t n = 0;

	while (args_get_nth(&ctl->args, "scope", n) != NULL)
		n++;
	rpc_put_map(body, 2);
	rpc_put_str(body, "app");
	rpc_put_str(body, ctl->args.operands[0]);
	rpc_put_str(body, "scopes");
	rpc_put_array(body, n);
	for (size_t i = 0; i < n; i++) {
		scope = args_get_nth(&ctl->args, "scope", i);
		rpc_put_str(body, scope);
	}
}

static enum ctl_exit
print_created(const struct ctl *ctl, const struct record_commit *r)
{
	struct span secret = { buffer_data(&r->secret),
	    buffer_len(&r->secret) };
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;

	buffer_init(&out, 0, true);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "app", r->app);
		body_json_put_str(&w, "key", r->key);
		body_json_put_string(&w, "secret", secret);
		body_json_put_u64(&w, "version", r->version);
		body_json_close_object(&w);
		buffer_puts(&out, "\n");
	} else {
		buffer_printf(&out, "key     %s\nsecret  ", r->key);
		buffer_put(&out, secret.p, secret.len);
		buffer_puts(&out, "\n");
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
	struct record_commit r;
	enum ctl_exit status;

	if ((status = check_app(app)) != CTL_DONE)
		return (status);
	status = record_commit(ctl, RPC_OP_CREATE_KEY, app, put_create, &r);
	if (status != CTL_DONE)
		return (status);
	/* It exists, and nobody will ever know its secret. */
	if ((status = print_created(ctl, &r)) != CTL_DONE)
		ctl_error("key %s was created, its secret is lost: revoke it",
		    r.key);
	record_commit_fini(&r);
	return (status);
}

/* ---- key revoke ------------------------------------------------------------------ */

static void
put_revoke(const struct ctl *ctl, struct buffer *body)
{
	rpc_put_map(body, 2);
	rpc_put_str(body, "app");
	rpc_put_str(body, ctl->args.operands[0]);
	rpc_put_str(body, "key");
	rpc_put_str(body, ctl->args.operands[1]);
}

enum ctl_exit
ctl_key_revoke(struct ctl *ctl)
{
	const char *app = ctl->args.operands[0];
	const char *key = ctl->args.operands[1];
	struct body_json_writer w;
	struct record_commit r;
	struct buffer out;
	enum ctl_exit status;

	if ((status = check_app(app)) != CTL_DONE)
		return (status);
	status = record_commit(ctl, RPC_OP_REVOKE_KEY, app, put_revoke, &r);
	if (status != CTL_DONE)
		return (status);
	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "app", app);
		body_json_put_str(&w, "key", key);
		body_json_put_bool(&w, "revoked", true);
		body_json_put_u64(&w, "version", r.version);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s: revoked", key);
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	record_commit_fini(&r);
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

/* [[key id, state, created_ms, scopes]...] */
static void
on_keys(void *arg, const struct rpc_value *body)
{
	struct listing *l = arg;
	size_t n = rpc_array_len(body);
	char when[TIME_TEXT_BYTES];

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		const struct rpc_value *row = rpc_array_at(body, i);
		struct span id = { "", 0 }, state = { "", 0 };
		uint64_t created_ms = 0;

		(void)rpc_get_bytes(rpc_array_at(row, 0), &id);
		(void)rpc_get_bytes(rpc_array_at(row, 1), &state);
		(void)rpc_get_u64(rpc_array_at(row, 2), &created_ms);
		if (l->json) {
			body_json_open_object(&l->w, NULL);
			body_json_put_string(&l->w, "key", id);
			body_json_put_string(&l->w, "state", state);
			body_json_put_u64(&l->w, "created_ms", created_ms);
			list_scopes(l, rpc_array_at(row, 3));
			body_json_close_object(&l->w);
			continue;
		}
		time_text(created_ms, when);
		table_cell(l->table, id);
		table_cell(l->table, state);
		table_cell_str(l->table, when);
		list_scopes(l, rpc_array_at(row, 3));
	}
}

enum ctl_exit
ctl_key_list(struct ctl *ctl)
{
	static const char *const heads[] = { "KEY", "STATE", "CREATED",
	    "SCOPES" };
	struct buffer body;
	enum ctl_exit status;

	if ((status = check_app(ctl->args.operands[0])) != CTL_DONE)
		return (status);
	buffer_init(&body, 0, false);
	rpc_put_map(&body, 1);
	rpc_put_str(&body, "app");
	rpc_put_str(&body, ctl->args.operands[0]);
	status = listing_print(ctl, heads, 4, RPC_OP_LIST_KEYS, &body, on_keys);
	buffer_fini(&body);
	return (status);
}
