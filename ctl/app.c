/* ctl/app.c - `app create`, `app list`. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/listing.h"
#include "ctl/record_commit.h"
#include "ctl/time_text.h"
#include "lib/body/json_write.h"

#define NAME_BYTES_MAX	64	/* a label for people; the engine's limit */

static enum ctl_exit
put_create(void *arg, struct engine_client *engine, struct buffer *body)
{
	const struct ctl *ctl = arg;

	(void)engine;
	if (ctl->args.n_operands == 0)
		rpc_put_map(body, 0);
	else
		rpc_pack(body, RPC_STR("name", ctl->args.operands[0]));
	return (CTL_DONE);
}

static enum ctl_exit
print_created(const struct ctl *ctl, const struct record_commit *r)
{
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;

	if (!ctl->json)
		return (ctl_print_line(span_of(r->app)));
	buffer_init(&out, 0, false);
	body_json_writer_init(&w, &out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "app", r->app);
	body_json_put_u64(&w, "version", r->version);
	body_json_close_object(&w);
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

enum ctl_exit
ctl_app_create(struct ctl *ctl)
{
	const struct record_change change = {
		.op = RPC_OP_CREATE_APP,
		.put_body = put_create,
		.arg = ctl,
		.failed = "; nothing was created",
	};
	struct record_commit r;
	enum ctl_exit status;

	if (ctl->args.n_operands == 1) {
		struct span name = span_of(ctl->args.operands[0]);

		if (name.len == 0 || name.len > NAME_BYTES_MAX ||
		    !utf8_valid(name.p, name.len)) {
			ctl_error("NAME: 1 to %d bytes of UTF-8",
			    NAME_BYTES_MAX);
			return (CTL_USAGE);
		}
	}
	if ((status = record_commit(ctl, &change, &r)) != CTL_DONE)
		return (status);
	if ((status = print_created(ctl, &r)) != CTL_DONE)
		ctl_error("app %s was created", r.app);
	record_commit_fini(&r);
	return (status);
}

/* ---- app list ----------------------------------------------------------------- */

/* [[id, version, state, created_ms, name]...]; an older engine sends no name. */
static void
on_apps(void *arg, const struct rpc_value *body)
{
	struct listing *l = arg;
	size_t n = rpc_array_len(body);
	char when[TIME_TEXT_BYTES];

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		const struct rpc_value *row = rpc_array_at(body, i);
		struct span id = { "", 0 }, state = { "", 0 }, name = { "", 0 };
		uint64_t version = 0, created_ms = 0;

		(void)rpc_get_bytes(rpc_array_at(row, 0), &id);
		(void)rpc_get_u64(rpc_array_at(row, 1), &version);
		(void)rpc_get_bytes(rpc_array_at(row, 2), &state);
		(void)rpc_get_u64(rpc_array_at(row, 3), &created_ms);
		(void)rpc_get_bytes(rpc_array_at(row, 4), &name);
		if (!l->json) {
			time_text(created_ms, when);
			table_cell(l->table, id);
			table_cell_u64(l->table, version);
			table_cell(l->table, state);
			table_cell_str(l->table, when);
			table_cell(l->table, name);
			continue;
		}
		body_json_open_object(&l->w, NULL);
		body_json_put_string(&l->w, "app", id);
		body_json_put_u64(&l->w, "version", version);
		body_json_put_string(&l->w, "state", state);
		body_json_put_u64(&l->w, "created_ms", created_ms);
		body_json_put_string(&l->w, "name", name);
		body_json_close_object(&l->w);
	}
}

enum ctl_exit
ctl_app_list(struct ctl *ctl)
{
	static const char *const heads[] = { "APP", "VERSION", "STATE",
	    "CREATED", "NAME" };
	struct buffer body;
	enum ctl_exit status;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	status = listing_print(ctl, heads, 5, RPC_OP_LIST_APPS, &body, on_apps);
	buffer_fini(&body);
	return (status);
}
