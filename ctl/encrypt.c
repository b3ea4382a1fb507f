/* ctl/encrypt.c - `encrypt --app APP < value`: prints the token. */
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/engine_client.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"
#include "lib/rpc/message.h"
#include "lib/rpc/sealed_record.h"

#define VALUE_BYTES_MAX	(8u << 20)	/* a frame is 32 MiB */

struct token {
	struct buffer	text;
	bool		came;
};

static enum ctl_exit
read_options(const struct ctl *ctl, struct rpc_encrypt *call,
    enum rpc_field_type *type)
{
	const char *app = args_get(&ctl->args, "app");
	const char *curve = args_get(&ctl->args, "curve");
	const char *kind = args_get(&ctl->args, "type");

	if (app == NULL || !rpc_app_id_valid(span_of(app))) {
		ctl_error("--app: an app id is needed");
		return (CTL_USAGE);
	}
	if (curve != NULL && strcmp(curve, "r1") != 0 &&
	    strcmp(curve, "k1") != 0) {
		ctl_error("--curve: r1 or k1");
		return (CTL_USAGE);
	}
	*type = RPC_FIELD_STRING;
	if (kind != NULL && strcmp(kind, "number") == 0)
		*type = RPC_FIELD_NUMBER;
	else if (kind != NULL && strcmp(kind, "boolean") == 0)
		*type = RPC_FIELD_BOOLEAN;
	else if (kind != NULL && strcmp(kind, "string") != 0) {
		ctl_error("--type: string, number or boolean");
		return (CTL_USAGE);
	}
	*call = (struct rpc_encrypt){
		.app = span_of(app),
		.curve = curve != NULL && strcmp(curve, "k1") == 0 ?
		    RPC_CURVE_K1 : RPC_CURVE_R1,
		.scope = RPC_SCOPE_FIELD,
		.existing = RPC_EXISTING_ENCRYPT,
		.n_fields = 1,
	};
	return (CTL_DONE);
}

static enum ctl_exit
check_value(enum rpc_field_type type, struct span value)
{
	if (type == RPC_FIELD_NUMBER && !body_json_number_valid(value)) {
		ctl_error("standard input: not a JSON number");
		return (CTL_USAGE);
	}
	if (type == RPC_FIELD_BOOLEAN && !span_eq_str(value, "true") &&
	    !span_eq_str(value, "false")) {
		ctl_error("standard input: neither true nor false");
		return (CTL_USAGE);
	}
	return (CTL_DONE);
}

static void
on_sealed(void *arg, const struct rpc_value *body)
{
	struct token *token = arg;
	struct rpc_sealed sealed;

	if (rpc_array_len(body) != 1 ||
	    rpc_sealed_at(body, 0, &sealed) != RC_OK)
		return;
	token->came = sealed.status == RPC_SEALED;
	buffer_put(&token->text, sealed.bytes.p, sealed.bytes.len);
}

static enum ctl_exit
print_token(const struct ctl *ctl, const struct token *token)
{
	struct span text = { buffer_data(&token->text),
	    buffer_len(&token->text) };
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;

	if (!token->came) {
		ctl_error("engine: Encrypt: the answer is not understood");
		return (CTL_FAILED);
	}
	if (!ctl->json)
		return (ctl_print_line(text));
	buffer_init(&out, 0, false);
	body_json_writer_init(&w, &out);
	body_json_open_object(&w, NULL);
	body_json_put_string(&w, "token", text);
	body_json_close_object(&w);
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

enum ctl_exit
ctl_encrypt(struct ctl *ctl)
{
	struct engine_client *engine = NULL;
	struct token token = { .came = false };
	struct rpc_field field = { .role = { NULL, 0 } };
	struct rpc_encrypt call;
	struct buffer value, body;
	enum ctl_exit status;

	if ((status = read_options(ctl, &call, &field.type)) != CTL_DONE)
		return (status);
	buffer_init(&body, 0, true);
	buffer_init(&token.text, 0, false);
	status = ctl_read_input("-", VALUE_BYTES_MAX, true, &value);
	if (status != CTL_DONE)
		goto out;
	field.bytes = (struct span){ buffer_data(&value), buffer_len(&value) };
	/* `echo 42 |` and files made by editors end in one that is not meant. */
	if (field.bytes.len != 0 &&
	    field.bytes.p[field.bytes.len - 1] == '\n')
		field.bytes.len--;
	if ((status = check_value(field.type, field.bytes)) != CTL_DONE)
		goto out;
	rpc_encrypt_put(&body, &call);
	if (rpc_encrypt_put_field(&body, &field) != RC_OK) {
		ctl_error("standard input: too long");
		status = CTL_USAGE;
		goto out;
	}
	if ((status = engine_client_open(ctl, ENGINE_ANY, &engine)) != CTL_DONE)
		goto out;
	status = engine_client_must(engine, RPC_OP_ENCRYPT, &body, on_sealed,
	    &token);
	if (status == CTL_DONE)
		status = print_token(ctl, &token);
out:
	engine_client_close(&engine);
	buffer_fini(&token.text);
	buffer_fini(&body);
	buffer_fini(&value);
	return (status);
}
