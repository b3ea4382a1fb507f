/* ctl/confirm.c - the helper's `confirm`, and what its answer means. */
#include "ctl/confirm.h"

#include <stdio.h>
#include <string.h>

#include "ctl/control_client.h"
#include "ctl/engine_client.h"
#include "lib/rpc/sealed_record.h"

#define GRACE_MS	10000	/* the helper's own way there and back */

enum ctl_exit
confirm_timeout(const struct ctl *ctl, unsigned *timeout_s)
{
	const char *given = args_get(&ctl->args, "timeout");
	uint64_t s = CONFIRM_TIMEOUT_S;

	if (given != NULL && (string_u64(span_of(given), &s) != RC_OK ||
	    s < 1 || s > CONFIRM_TIMEOUT_MAX_S)) {
		ctl_error("--timeout: 1 to %d seconds", CONFIRM_TIMEOUT_MAX_S);
		return (CTL_USAGE);
	}
	*timeout_s = (unsigned)s;
	return (CTL_DONE);
}

enum ctl_exit
confirm_everywhere(struct ctl *ctl, const char *app, uint64_t version,
    unsigned timeout_s, const char *then, struct buffer *missing)
{
	struct control_answer answer;
	char text[RPC_APP_ID_BYTES + 48];
	enum ctl_exit status;
	struct span said;
	enum rc rc;

	if ((status = ctl_conf_e3(ctl)) != CTL_DONE)
		return (status);
	(void)snprintf(text, sizeof(text), "%s %llu %u", app,
	    (unsigned long long)version, timeout_s * 1000);
	rc = control_ask(ctl->conf_e3->helper_socket, "confirm", span_of(text),
	    -1, timeout_s * 1000 + GRACE_MS, &answer);
	if (rc != RC_OK) {
		ctl_error("e3-helper: %s: it is not known which engines have "
		    "version %llu of %s%s", rc_name(rc),
		    (unsigned long long)version, app, then);
		return (CTL_PARTLY);
	}
	said = control_answer_text(&answer);
	if (control_answer_is(&answer, "ok")) {
		status = CTL_DONE;
	} else if (control_answer_is(&answer, "partly")) {
		status = CTL_PARTLY;
		buffer_put(missing, said.p, said.len);
		ctl_error("not confirmed by: %.*s%s", (int)said.len, said.p,
		    then);
		ctl_error("an engine that is gone for good, and stopped, is "
		    "forgotten by: redis-cli HDEL relay:engines:last NAME");
	} else {
		status = CTL_PARTLY;
		ctl_error("e3-helper: %.*s: it is not known which engines have "
		    "version %llu of %s%s", (int)said.len, said.p,
		    (unsigned long long)version, app, then);
	}
	control_answer_fini(&answer);
	return (status);
}

static void
on_version(void *arg, const struct rpc_value *body)
{
	(void)rpc_get_u64(rpc_map_get(body, "version"), arg);
}

enum ctl_exit
confirm_present(struct ctl *ctl, const char *app, unsigned timeout_s,
    const char *then, struct buffer *missing)
{
	struct engine_client *engine = NULL;
	uint64_t version = 0;
	enum ctl_exit status;
	struct buffer ask;

	buffer_init(&ask, 0, false);
	rpc_pack(&ask, RPC_STR("app", app));
	status = engine_client_open(ctl, ENGINE_LOCAL, &engine);
	if (status == CTL_DONE)
		status = engine_client_must(engine, RPC_OP_LIST_PAIRS, &ask,
		    on_version, &version);
	engine_client_close(&engine);
	buffer_fini(&ask);
	if (status != CTL_DONE)
		return (status);
	return (confirm_everywhere(ctl, app, version, timeout_s, then,
	    missing));
}

void
confirm_put(struct body_json_writer *w, enum ctl_exit status,
    const struct buffer *missing)
{
	const char *p = buffer_data(missing);
	size_t left = buffer_len(missing), len;

	body_json_put_bool(w, "confirmed", status == CTL_DONE);
	body_json_open_array(w, "unconfirmed");
	while (left != 0) {
		const char *space = memchr(p, ' ', left);

		len = space == NULL ? left : (size_t)(space - p);
		if (len != 0)
			body_json_put_string(w, NULL, (struct span){ p, len });
		p += space == NULL ? len : len + 1;
		left -= space == NULL ? len : len + 1;
	}
	body_json_close_array(w);
}

enum ctl_exit
confirm_print(const struct ctl *ctl, const struct record_commit *r,
    const struct confirm_said *said, enum ctl_exit confirmed,
    const struct buffer *missing)
{
	struct body_json_writer w;
	enum ctl_exit status;
	struct buffer out;

	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "app", r->app);
		body_json_put_str(&w, said->kind, said->id);
		if (said->is_state)
			body_json_put_str(&w, "state", said->did);
		else
			body_json_put_bool(&w, said->did, true);
		body_json_put_u64(&w, "version", r->version);
		confirm_put(&w, confirmed, missing);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s: %s%s%s", said->id, said->did,
		    confirmed == CTL_DONE ? "" : ", not on every engine yet",
		    said->behind != NULL ? said->behind : "");
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status == CTL_DONE ? confirmed : status);
}
