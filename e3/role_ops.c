/* e3/role_ops.c - data roles: all of an app's at once, out and in. */
#include "e3/role_ops.h"

#include "e3/change.h"

enum rpc_status
e3_list_roles(struct e3_engine *e, struct e3_call *c)
{
	enum rpc_status status;

	if ((status = e3_dispatch_named_app(e, c)) != RPC_STATUS_OK)
		return (status);
	return (rpc_answer(&c->served, RPC_STR("app", c->app->id),
	    RPC_U64("version", c->app->version),
	    RPC_RAW("roles", e3_app_roles(c->app))));
}

enum rpc_status
e3_set_roles(struct e3_engine *e, struct e3_call *c)
{
	const struct rpc_value *roles;
	struct e3_change *w;
	enum rpc_status status;
	uint64_t version = 0;	/* 0: whichever is loaded */

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_VALUE("roles", &roles),
	    RPC_MAY_U64("version", &version)))
		return (RPC_STATUS_BAD_REQUEST);
	if ((status = e3_change_begin(e, c, 0, 0, &w)) != RPC_STATUS_OK)
		return (status);
	/* Certificate keys are opened under their names alone. */
	if (span_eq_str(span_of(c->app->id), E3_SYSTEM_APP))
		return (RPC_STATUS_NOT_ALLOWED);
	if (version != 0 && version != c->app->version)
		return (RPC_STATUS_CONFLICT);
	status = rpc_served_status(e3_app_set_roles(w->next, roles));
	return (status != RPC_STATUS_OK ? status : e3_change_submit(e, c));
}
