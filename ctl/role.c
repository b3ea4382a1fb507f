/*
 * ctl/role.c - `role put`, `role list`, `role get`, `role rm`: an app's data
 * roles.  The engine takes all of them at once; a change reads them first and
 * names the version it has seen, so that of two changes at a time neither
 * undoes the other.
 */
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/listing.h"
#include "ctl/record_commit.h"
#include "ctl/role_json.h"
#include "lib/body/json_write.h"

#define ROLES_MAX	64	/* of one app; the engine's limit */

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static enum ctl_exit
check_operands(const struct ctl *ctl)
{
	if (ctl->args.n_operands > 1 &&
	    !role_name_valid(ctl->args.operands[1])) {
		ctl_error("ROLE: 1 to 20 of a-z, 0-9 and '-'");
		return (CTL_USAGE);
	}
	return (ctl_app_operand(ctl->args.operands[0]));
}

static bool
is_role(const struct rpc_value *role, const char *name)
{
	struct span s;

	return (rpc_get_bytes(rpc_array_at(role, 0), &s) &&
	    span_eq_str(s, name));
}

/* ---- changing ------------------------------------------------------------------- */

struct role_change {
	const char	*app;		/* borrowed */
	const char	*name;		/* ditto */
	const struct buffer *policy;	/* ditto, encoded; NULL: it goes */
	bool		came;		/* below: the engine's answer */
	bool		found;		/* the role was there */
	uint64_t	version;	/* that was read */
	size_t		n;		/* roles in others */
	struct buffer	others;		/* encoded, one behind the other */
};

/* {app, version, roles: [...]} */
static void
on_roles(void *arg, const struct rpc_value *body)
{
	const struct rpc_value *roles = rpc_map_get(body, "roles");
	size_t n = rpc_array_len(roles);
	struct role_change *c = arg;

	c->came = n != SIZE_MAX &&
	    rpc_get_u64(rpc_map_get(body, "version"), &c->version);
	for (size_t i = 0; c->came && i < n; i++) {
		const struct rpc_value *role = rpc_array_at(roles, i);

		if (is_role(role, c->name)) {
			c->found = true;
			continue;
		}
		rpc_put_value(&c->others, role);
		c->n++;
	}
}

static enum ctl_exit
read_others(struct role_change *c, struct engine_client *engine)
{
	struct buffer ask;
	enum ctl_exit status;

	buffer_clear(&c->others);
	c->n = 0;
	c->came = c->found = false;
	buffer_init(&ask, 0, false);
	rpc_pack(&ask, RPC_STR("app", c->app));
	status = engine_client_must(engine, RPC_OP_LIST_ROLES, &ask, on_roles,
	    c);
	buffer_fini(&ask);
	if (status != CTL_DONE || c->came)
		return (status);
	ctl_error("engine: ListRoles: the answer is not understood");
	return (CTL_FAILED);
}

static enum ctl_exit
put_roles(void *arg, struct engine_client *engine, struct buffer *body)
{
	struct role_change *c = arg;
	enum ctl_exit status;

	if ((status = read_others(c, engine)) != CTL_DONE)
		return (status);
	if (c->policy == NULL && !c->found) {
		ctl_error("the app has no role '%s'", c->name);
		return (CTL_USAGE);
	}
	if (c->policy != NULL && c->n == ROLES_MAX) {
		ctl_error("the app has %d roles already", ROLES_MAX);
		return (CTL_FAILED);
	}
	rpc_put_map(body, 3);
	rpc_put_str(body, "app");
	rpc_put_str(body, c->app);
	rpc_put_str(body, "version");
	rpc_put_u64(body, c->version);
	rpc_put_str(body, "roles");
	rpc_put_array(body, c->n + (c->policy == NULL ? 0 : 1));
	buffer_put(body, buffer_data(&c->others), buffer_len(&c->others));
	if (c->policy != NULL)
		buffer_put(body, buffer_data(c->policy),
		    buffer_len(c->policy));
	return (CTL_DONE);
}

/* policy NULL: remove it. */
static enum ctl_exit
change_roles(struct ctl *ctl, const struct buffer *policy)
{
	struct role_change c = {
		.app = ctl->args.operands[0],
		.name = ctl->args.operands[1],
		.policy = policy,
	};
	const struct record_change change = {
		.op = RPC_OP_SET_ROLES,
		.app = c.app,
		.put_body = put_roles,
		.arg = &c,
		.failed = "; the roles are as they were",
	};
	struct record_commit r;
	enum ctl_exit status;

	buffer_init(&c.others, 0, false);
	status = record_commit(ctl, &change, &r);
	if (status == CTL_DONE) {
		status = record_commit_print(ctl, &r, "role", c.name, NULL,
		    policy != NULL ? "set" :
		    "removed: its tokens open everywhere");
		record_commit_fini(&r);
	}
	buffer_fini(&c.others);
	return (status);
}

enum ctl_exit
ctl_role_put(struct ctl *ctl)
{
	const char *file = ctl->args.n_operands > 2 ? ctl->args.operands[2] :
	    "-";
	struct buffer json, policy;
	struct role_fault fault;
	enum ctl_exit status;

	if ((status = check_operands(ctl)) != CTL_DONE)
		return (status);
	buffer_init(&policy, 0, false);
	status = ctl_read_input(file, ROLE_JSON_BYTES_MAX, false, &json);
	if (status == CTL_DONE && role_json_read(ctl->args.operands[1],
	    view(&json), &policy, &fault) != RC_OK) {
		ctl_error("%s: %s%s%s", file, fault.path,
		    fault.path[0] == '\0' ? "" : ": ", fault.reason);
		status = CTL_USAGE;
	}
	if (status == CTL_DONE)
		status = change_roles(ctl, &policy);
	buffer_fini(&policy);
	buffer_fini(&json);
	return (status);
}

enum ctl_exit
ctl_role_rm(struct ctl *ctl)
{
	enum ctl_exit status;

	if ((status = check_operands(ctl)) != CTL_DONE)
		return (status);
	return (change_roles(ctl, NULL));
}

/* ---- role list --------------------------------------------------------------------- */

static void
list_role(struct listing *l, const struct rpc_value *role)
{
	size_t rules = rpc_array_len(rpc_array_at(role, 2));
	struct span name = { "", 0 };
	bool permit = false;

	(void)rpc_get_bytes(rpc_array_at(role, 0), &name);
	(void)rpc_get_bool(rpc_array_at(role, 1), &permit);
	if (l->json) {
		body_json_open_object(&l->w, NULL);
		body_json_put_string(&l->w, "role", name);
		role_json_write(&l->w, role);
		body_json_close_object(&l->w);
		return;
	}
	table_cell(l->table, name);
	table_cell_str(l->table, permit ? "permit" : "forbid");
	table_cell_u64(l->table, rules == SIZE_MAX ? 0 : rules);
}

static void
on_list(void *arg, const struct rpc_value *body)
{
	const struct rpc_value *roles = rpc_map_get(body, "roles");
	size_t n = rpc_array_len(roles);

	for (size_t i = 0; n != SIZE_MAX && i < n; i++)
		list_role(arg, rpc_array_at(roles, i));
}

enum ctl_exit
ctl_role_list(struct ctl *ctl)
{
	static const char *const heads[] = { "ROLE", "DEFAULT", "RULES" };
	struct buffer body;
	enum ctl_exit status;

	if ((status = check_operands(ctl)) != CTL_DONE)
		return (status);
	buffer_init(&body, 0, false);
	rpc_pack(&body, RPC_STR("app", ctl->args.operands[0]));
	status = listing_print(ctl, heads, 3, RPC_OP_LIST_ROLES, &body,
	    on_list);
	buffer_fini(&body);
	return (status);
}

/* ---- role get ------------------------------------------------------------------------ */

struct one_role {
	const char	*name;		/* borrowed */
	struct buffer	json;		/* empty: there is none */
};

static void
on_get(void *arg, const struct rpc_value *body)
{
	const struct rpc_value *roles = rpc_map_get(body, "roles");
	size_t n = rpc_array_len(roles);
	struct body_json_writer w;
	struct one_role *one = arg;

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		if (!is_role(rpc_array_at(roles, i), one->name))
			continue;
		body_json_writer_init(&w, &one->json);
		body_json_open_object(&w, NULL);
		role_json_write(&w, rpc_array_at(roles, i));
		body_json_close_object(&w);
		return;
	}
}

enum ctl_exit
ctl_role_get(struct ctl *ctl)
{
	struct one_role one = { .name = ctl->args.operands[1] };
	struct engine_client *engine = NULL;
	struct buffer body;
	enum ctl_exit status;

	if ((status = check_operands(ctl)) != CTL_DONE)
		return (status);
	buffer_init(&one.json, 0, false);
	buffer_init(&body, 0, false);
	rpc_pack(&body, RPC_STR("app", ctl->args.operands[0]));
	status = engine_client_open(ctl, ENGINE_ANY, &engine);
	if (status == CTL_DONE)
		status = engine_client_must(engine, RPC_OP_LIST_ROLES, &body,
		    on_get, &one);
	engine_client_close(&engine);
	if (status == CTL_DONE && buffer_len(&one.json) == 0) {
		ctl_error("the app has no role '%s'", one.name);
		status = CTL_USAGE;
	} else if (status == CTL_DONE)
		status = ctl_print_line(view(&one.json));
	buffer_fini(&body);
	buffer_fini(&one.json);
	return (status);
}
