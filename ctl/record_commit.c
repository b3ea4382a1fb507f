/*
 * ctl/record_commit.c - sign, call, hand over, and again from the start when
 * somebody else changed the app in between.
 *
 * Whatever ends us before the helper's "ok" leaves at most a record that
 * nobody was told of (see e3/helper/record_store.c).
 */
#include "ctl/record_commit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/control_client.h"
#include "lib/base/fd.h"
#include "lib/body/json_write.h"

#define ATTEMPTS	5
/* Longer than all the helper may wait for: a turn, Redis, disk, engine. */
#define STORE_TIMEOUT_MS 60000

static void
take_pairs(struct record_commit *out, const struct rpc_value *pairs)
{
	size_t n = rpc_array_len(pairs);
	struct span id;

	for (size_t i = 0; n != SIZE_MAX && i < n && i < RECORD_PAIRS_MAX; i++)
		if (rpc_get_bytes(rpc_array_at(pairs, i), &id) &&
		    span_copy(id, out->pairs[out->n_pairs],
		    sizeof(out->pairs[0])))
			out->n_pairs++;
}

static void
take_reply(void *arg, const struct rpc_value *body)
{
	struct record_commit *out = arg;
	struct span s;

	if (rpc_get_bytes(rpc_map_get(body, "app"), &s))
		(void)span_copy(s, out->app, sizeof(out->app));
	(void)rpc_get_u64(rpc_map_get(body, "version"), &out->version);
	if (rpc_get_bytes(rpc_map_get(body, "key"), &s))
		(void)span_copy(s, out->key, sizeof(out->key));
	if (rpc_get_bytes(rpc_map_get(body, "secret"), &s))
		buffer_put(&out->secret, s.p, s.len);
	take_pairs(out, rpc_map_get(body, "pairs"));
	if (rpc_get_bytes(rpc_map_get(body, "ca"), &s))
		(void)span_copy(s, out->ca, sizeof(out->ca));
	if (rpc_get_bytes(rpc_map_get(body, "csr"), &s))
		buffer_put(&out->request, s.p, s.len);
	if (rpc_get_bytes(rpc_map_get(body, "certificate"), &s))
		buffer_put(&out->certificate, s.p, s.len);
	/* Too long for a record: it stays empty, and reply_fits says no. */
	if (rpc_get_bytes(rpc_map_get(body, "record"), &s) &&
	    buffer_append(&out->record, s.p, s.len) != RC_OK)
		buffer_clear(&out->record);
}

/* What came is what was asked for. */
static bool
reply_fits(enum rpc_op op, const char *app, const struct record_commit *r)
{
	struct rpc_record_head head;

	if (rpc_record_head_read((struct span){ buffer_data(&r->record),
	    buffer_len(&r->record) }, &head) != RC_OK)
		return (false);
	if (strcmp(head.app, app == NULL ? r->app : app) != 0 ||
	    head.version != r->version)
		return (false);
	if (op == RPC_OP_ROTATE_KEYS)
		return (r->n_pairs != 0);
	if (op == RPC_OP_CREATE_CA)
		return (r->ca[0] != '\0' && buffer_len(&r->request) != 0);
	return (op != RPC_OP_CREATE_KEY ||
	    (r->key[0] != '\0' && buffer_len(&r->secret) != 0));
}

static void
reset(struct record_commit *r, const char *app)
{
	record_commit_fini(r);
	memset(r, 0, sizeof(*r));
	buffer_init(&r->record, RPC_RECORD_BYTES_MAX, false);
	buffer_init(&r->secret, 0, true);
	buffer_init(&r->request, 0, false);
	buffer_init(&r->certificate, 0, false);
	if (app != NULL)
		(void)snprintf(r->app, sizeof(r->app), "%s", app);
}

/* Phase one.  RC_OK, RC_CONFLICT (again), else told. */
static enum rc
make(struct engine_client *engine, const struct record_change *c,
    struct record_commit *out, enum ctl_exit *exit_status)
{
	enum rpc_status status;
	struct buffer body;
	enum rc rc;

	reset(out, c->app);
	buffer_init(&body, 0, false);
	*exit_status = c->put_body(c->arg, engine, &body);
	if (*exit_status != CTL_DONE) {
		buffer_fini(&body);
		return (RC_IO);
	}
	rc = engine_client_call(engine, c->op, &body, take_reply, out, &status);
	buffer_fini(&body);
	if (rc == RC_OK && status == RPC_STATUS_CONFLICT) {
		if (c->conflict == NULL)
			return (RC_CONFLICT);
		ctl_error_means(NULL);
		ctl_error("%s", c->conflict);
		*exit_status = c->conflict_exit;
		return (RC_EXISTS);
	}
	*exit_status = engine_client_tell(c->op, rc, status);
	if (*exit_status != CTL_DONE)
		return (RC_IO);
	if (reply_fits(c->op, c->app, out))
		return (RC_OK);
	ctl_error("engine: %s: the answer is not understood",
	    rpc_op_info(c->op)->name);
	*exit_status = CTL_FAILED;
	return (RC_SYNTAX);
}

/* The helper had the record and did not say what became of it, or says that it
 * is on disk and something behind the disk has not confirmed it. */
static void
tell_unconfirmed(struct span why)
{
	ctl_error_means("; it may have taken effect: relayctl app list, "
	    "app pairs and key list tell");
	ctl_error("e3-helper: %.*s", (int)why.len, why.p);
}

/* Phase two.  RC_OK, RC_CONFLICT (again), RC_TIMEOUT (told: not confirmed),
 * else told. */
static enum rc
store(const char *socket_path, const struct record_commit *r)
{
	struct control_answer answer;
	char text[RPC_APP_ID_BYTES + 24];
	struct span said;
	enum rc rc;
	int fd;

	fd = fd_memory("record", buffer_data(&r->record),
	    buffer_len(&r->record));
	if (fd < 0) {
		ctl_error("no memory file can be made");
		return (RC_IO);
	}
	(void)snprintf(text, sizeof(text), "%s %llu", r->app,
	    (unsigned long long)r->version);
	rc = control_ask(socket_path, "store-record", span_of(text), fd,
	    STORE_TIMEOUT_MS, &answer);
	close(fd);
	if (rc == RC_EOF || rc == RC_TIMEOUT) {
		tell_unconfirmed(rc == RC_EOF ?
		    SPAN_LIT("it ended without an answer") :
		    SPAN_LIT("no answer in time"));
		return (RC_TIMEOUT);
	}
	if (rc != RC_OK) {
		ctl_error("e3-helper (%s): %s", socket_path, rc_name(rc));
		return (RC_IO);
	}
	said = control_answer_text(&answer);
	if (said.len == 0)
		said = SPAN_LIT("");
	if (control_answer_is(&answer, "conflict"))
		rc = RC_CONFLICT;
	else if (control_answer_is(&answer, "partly")) {
		tell_unconfirmed(said);
		rc = RC_TIMEOUT;
	} else if (!control_answer_is(&answer, "ok")) {
		ctl_error("e3-helper: %.*s", (int)said.len, said.p);
		rc = RC_IO;
	}
	control_answer_fini(&answer);
	return (rc);
}

enum ctl_exit
record_commit(struct ctl *ctl, const struct record_change *c,
    struct record_commit *out)
{
	struct engine_client *engine = NULL;
	enum ctl_exit status = CTL_FAILED;
	enum rc rc = RC_CONFLICT;

	memset(out, 0, sizeof(*out));
	/* Until the helper has it, the engine alone knows of it: the user must
	 * not act as if it were done. */
	ctl_error_means(c->failed);
	if ((status = ctl_conf_e3(ctl)) != CTL_DONE ||
	    (status = engine_client_open(ctl, ENGINE_LOCAL, &engine)) !=
	    CTL_DONE)
		goto out;
	for (int i = 0; rc == RC_CONFLICT && i < ATTEMPTS; i++) {
		rc = make(engine, c, out, &status);
		if (rc != RC_OK)
			continue;	/* a conflict tries again */
		rc = store(ctl->conf_e3->helper_socket, out);
		status = rc == RC_OK ? CTL_DONE : rc == RC_TIMEOUT ?
		    CTL_PARTLY : CTL_FAILED;
	}
	if (rc == RC_CONFLICT) {
		ctl_error("the app is being changed by others: try again");
		status = CTL_FAILED;
	}
out:
	engine_client_close(&engine);
	ctl_error_means(NULL);
	if (status != CTL_DONE)
		record_commit_fini(out);
	return (status);
}

void
record_commit_fini(struct record_commit *r)
{
	buffer_fini(&r->record);
	buffer_fini(&r->secret);
	buffer_fini(&r->request);
	buffer_fini(&r->certificate);
}

enum ctl_exit
record_commit_print(const struct ctl *ctl, const struct record_commit *r,
    const char *noun, const char *id, const char *state, const char *text)
{
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;

	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "app", r->app);
		body_json_put_str(&w, noun, id);
		if (state != NULL)
			body_json_put_str(&w, "state", state);
		body_json_put_u64(&w, "version", r->version);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s: %s", id, text);
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}
