/*
 * worker/api_file.c - POST /encrypt and /decrypt of a file: the whole body is
 * one value, and so is the answer (spec/ciphertext.md 6).
 */
#include "worker/api_private.h"

#include <string.h>

#define FILE_MARK	"%EVENC"

/* What the engine call and its answer take beside the body: a copy each, and
 * what sealing adds. */
static bool
reserve(struct api_call *a)
{
	if (api_reserve(a, 2 * buffer_len(&a->body) + 4096))
		return (true);
	api_fail(a, ERROR_OVERLOADED, "work",
	    "this worker holds as many bodies as it may");
	return (false);
}

/* One answer, in one piece. */
static bool
is_first(const struct api_call *a, const struct rpc_value *body, bool more)
{
	return (!more && rpc_array_len(body) == 1 && !a->refused);
}

static enum rc
take(struct api_call *a, struct span file)
{
	buffer_clear(&a->out);
	return (buffer_append(&a->out, file.p, file.len));
}

static bool
is_file(struct span s)
{
	return (s.len >= strlen(FILE_MARK) &&
	    memcmp(s.p, FILE_MARK, strlen(FILE_MARK)) == 0);
}

static void
on_end(void *arg, enum rc rc, enum rpc_status status)
{
	struct api_call *a = arg;

	a->engine_id = 0;
	a->reserved_bytes = 0;
	(void)api_account(a);
	if (rc != RC_OK || a->refused)
		api_engine_fail(a, rc, status);
	else
		api_answer(a, 200, API_TYPE_FILE, &a->out);
}

/* ---- encrypt ---- */

static enum rc
write_encrypt(void *arg, struct buffer *out)
{
	const struct api_call *a = arg;
	const struct rpc_encrypt head = {
		.app = span_of(a->app),
		.curve = RPC_CURVE_R1,
		.scope = RPC_SCOPE_REQUEST,
		/* There is no form of a file that could pass as sealed. */
		.existing = RPC_EXISTING_ENCRYPT,
		.n_fields = 1,
	};
	const struct rpc_field field = {
		.type = RPC_FIELD_FILE,
		.bytes = api_body(a),
		.role = span_of(a->role),
	};

	rpc_encrypt_put(out, &head);
	return (rpc_encrypt_put_field(out, &field));
}

static enum rc
read_encrypted(void *arg, const struct rpc_value *body, bool more)
{
	struct api_call *a = arg;
	struct rpc_sealed item;

	/* What goes back is sealed or nothing, whatever the engine says. */
	if (!is_first(a, body, more) || rpc_sealed_at(body, 0, &item) != RC_OK ||
	    item.status != RPC_SEALED || !is_file(item.bytes))
		return (RC_SYNTAX);
	a->tx.sealed = 1;
	return (take(a, item.bytes));
}

static const struct engine_call_ops encrypt_ops = {
	.on_write = write_encrypt,
	.on_piece = read_encrypted,
	.on_end = on_end,
};

void
api_encrypt_file(struct api_call *a)
{
	if (reserve(a))
		api_engine_call(a, RPC_OP_ENCRYPT, &encrypt_ops);
}

/* ---- decrypt ---- */

static enum rc
write_decrypt(void *arg, struct buffer *out)
{
	const struct api_call *a = arg;
	const struct rpc_decrypt head = {
		.app = span_of(a->app),
		.place = RPC_PLACE_API,
		.address = span_of(a->conn->client),
		.n_tokens = 1,
	};

	rpc_decrypt_put(out, &head);
	return (rpc_decrypt_put_token(out, api_body(a), SPAN_LIT("")));
}

static void
refuse_unopened(struct api_call *a, enum rpc_open_status status)
{
	if (status == RPC_OPEN_FORBIDDEN || status == RPC_OPEN_TOO_OLD)
		api_refuse(a, ERROR_DECRYPT_FORBIDDEN,
		    "a policy forbids to open this file here");
	else
		api_refuse(a, ERROR_DECRYPTION, "the file does not open");
}

static enum rc
read_decrypted(void *arg, const struct rpc_value *body, bool more)
{
	struct api_call *a = arg;
	struct rpc_opened item;

	if (!is_first(a, body, more) || rpc_opened_at(body, 0, &item) != RC_OK)
		return (RC_SYNTAX);
	if (item.status != RPC_OPEN_OK) {
		refuse_unopened(a, item.status);
		return (RC_OK);
	}
	if (item.type != RPC_FIELD_FILE)
		return (RC_SYNTAX);
	a->tx.opened = 1;
	return (take(a, item.bytes));
}

static const struct engine_call_ops decrypt_ops = {
	.on_write = write_decrypt,
	.on_piece = read_decrypted,
	.on_end = on_end,
};

void
api_decrypt_file(struct api_call *a)
{
	/* A token in text is no file. */
	if (!is_file(api_body(a)))
		api_fail(a, ERROR_DECRYPTION, "work",
		    "the body is no encrypted file");
	else if (reserve(a))
		api_engine_call(a, RPC_OP_DECRYPT, &decrypt_ops);
}
