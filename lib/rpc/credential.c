/* rpc/credential.c - small maps, written and read. */
#include "lib/rpc/credential.h"

#include <string.h>

#include "lib/base/object.h"

/* ---- Authenticate ---- */

static bool
given(const struct rpc_value *body, const char *key)
{
	const struct rpc_value *v = rpc_map_get(body, key);

	return (v != NULL && !rpc_is_nil(v));
}

void
rpc_credential_put(struct buffer *b, const struct rpc_credential *c)
{
	rpc_put_map(b, c->kind == RPC_CREDENTIAL_SECRET ? 1 : 2);
	switch (c->kind) {
	case RPC_CREDENTIAL_SECRET:
		rpc_put_str(b, "apiKey");
		rpc_put_text(b, c->secret);
		break;
	case RPC_CREDENTIAL_KEY:
		rpc_put_str(b, "app");
		rpc_put_text(b, c->app);
		rpc_put_str(b, "key");
		rpc_put_text(b, c->key);
		break;
	case RPC_CREDENTIAL_TOKEN:
		rpc_put_str(b, "clientToken");
		rpc_put_text(b, c->secret);
		rpc_put_str(b, "payloadHash");
		rpc_put_bin(b, c->payload_hash);
		break;
	}
}

enum rc
rpc_credential_read(const struct rpc_value *body, struct rpc_credential *c)
{
	bool secret = given(body, "apiKey"), token = given(body, "clientToken");
	bool id = given(body, "app") || given(body, "key");
	bool ok;

	memset(c, 0, sizeof(*c));
	if ((unsigned)secret + (unsigned)token + (unsigned)id != 1)
		return (RC_SYNTAX);
	if (secret) {
		c->kind = RPC_CREDENTIAL_SECRET;
		ok = rpc_unpack(body, RPC_WANT_BYTES("apiKey", &c->secret));
	} else if (id) {
		c->kind = RPC_CREDENTIAL_KEY;
		ok = rpc_unpack(body, RPC_WANT_BYTES("app", &c->app),
		    RPC_WANT_BYTES("key", &c->key));
	} else {
		c->kind = RPC_CREDENTIAL_TOKEN;
		ok = rpc_unpack(body, RPC_WANT_BYTES("clientToken", &c->secret),
		    RPC_WANT_BYTES("payloadHash", &c->payload_hash)) &&
		    c->payload_hash.len == RPC_PAYLOAD_HASH_BYTES;
	}
	return (ok ? RC_OK : RC_SYNTAX);
}

/* ---- CreateToken ---- */

void
rpc_create_token_put(struct buffer *b, const struct rpc_create_token *t)
{
	rpc_put_map(b, 4);
	rpc_put_str(b, "app");
	rpc_put_text(b, t->app);
	rpc_put_str(b, "action");
	rpc_put_text(b, t->action);
	rpc_put_str(b, "payloadHash");
	if (t->payload_hash.len != 0)
		rpc_put_bin(b, t->payload_hash);
	else
		rpc_put_nil(b);
	rpc_put_str(b, "expires_ms");
	rpc_put_u64(b, t->expires_ms);
}

enum rc
rpc_create_token_read(const struct rpc_value *body, struct rpc_create_token *t)
{
	memset(t, 0, sizeof(*t));
	if (!rpc_unpack(body, RPC_WANT_BYTES("app", &t->app),
	    RPC_WANT_BYTES("action", &t->action),
	    RPC_MAY_BYTES("payloadHash", &t->payload_hash),
	    RPC_WANT_U64("expires_ms", &t->expires_ms)))
		return (RC_SYNTAX);
	/* A hash that is no hash must not make a token for any payload. */
	return (t->payload_hash.len == RPC_PAYLOAD_HASH_BYTES ||
	    !given(body, "payloadHash") ? RC_OK : RC_SYNTAX);
}

enum rc
rpc_created_token_read(const struct rpc_value *body,
    struct rpc_created_token *t)
{
	memset(t, 0, sizeof(*t));
	return (rpc_unpack(body, RPC_WANT_BYTES("token", &t->token),
	    RPC_WANT_BYTES("id", &t->id),
	    RPC_WANT_U64("created_ms", &t->created_ms),
	    RPC_WANT_U64("expires_ms", &t->expires_ms)) && t->token.len != 0 ?
	    RC_OK : RC_SYNTAX);
}

/* ---- Inspect ---- */

static const char *const type_names[] = {
	[RPC_FIELD_STRING] = "string",
	[RPC_FIELD_NUMBER] = "number",
	[RPC_FIELD_BOOLEAN] = "boolean",
	[RPC_FIELD_FILE] = "file",
	NULL
};

enum rc
rpc_inspect_put(struct buffer *b, struct span app, struct span token)
{
	char *room, *at;
	enum rc rc;

	if (token.len > RPC_FRAME_BYTES_MAX)
		return (RC_LIMIT);
	rpc_put_map(b, 2);
	rpc_put_str(b, "app");
	rpc_put_text(b, app);
	rpc_put_str(b, "token");
	if ((rc = buffer_reserve(b, RPC_BIN_HEAD_MAX + token.len, &room)) !=
	    RC_OK)
		return (rc);
	at = rpc_write_bin_head(room, token.len);
	if (token.len != 0)
		memcpy(at, token.p, token.len);
	buffer_commit(b, (size_t)(at - room) + token.len);
	return (RC_OK);
}

void
rpc_inspected_put(struct buffer *b, const struct rpc_inspected *s)
{
	bool ok = s->status == RPC_OPEN_OK;

	rpc_put_map(b, 6);
	rpc_put_str(b, "status");
	rpc_put_u64(b, s->status);
	rpc_put_str(b, "integer");
	rpc_put_bool(b, ok && s->integer);
	rpc_put_str(b, "type");
	if (ok)
		rpc_put_str(b, type_names[s->type]);
	else
		rpc_put_nil(b);
	rpc_put_str(b, "role");
	if (ok && s->role.len != 0)
		rpc_put_text(b, s->role);
	else
		rpc_put_nil(b);
	rpc_put_str(b, "encrypted_ms");
	if (ok && s->encrypted_ms != 0)
		rpc_put_u64(b, s->encrypted_ms);
	else
		rpc_put_nil(b);
	rpc_put_str(b, "fingerprint");
	if (ok)
		rpc_put_bin(b, s->fingerprint);
	else
		rpc_put_nil(b);
}

enum rc
rpc_inspected_read(const struct rpc_value *body, struct rpc_inspected *s)
{
	unsigned type = 0;
	uint64_t status;

	memset(s, 0, sizeof(*s));
	if (!rpc_unpack(body, RPC_WANT_U64("status", &status)) ||
	    status > RPC_OPEN_OTHER_ROLE)
		return (RC_SYNTAX);
	s->status = (enum rpc_open_status)status;
	if (s->status != RPC_OPEN_OK)
		return (RC_OK);
	if (!rpc_unpack(body, RPC_WANT_NAME("type", type_names, &type),
	    RPC_WANT_BOOL("integer", &s->integer),
	    RPC_MAY_BYTES("role", &s->role),
	    RPC_MAY_U64("encrypted_ms", &s->encrypted_ms),
	    RPC_WANT_BYTES("fingerprint", &s->fingerprint)) ||
	    s->fingerprint.len != RPC_PAYLOAD_HASH_BYTES)
		return (RC_SYNTAX);
	s->type = (enum rpc_field_type)type;
	return (RC_OK);
}

/* ---- scopes ---- */

bool
rpc_scope_valid(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == ':' || c == '_' || c == '-'))
			return (false);
	}
	return (s.len != 0 && s.len < RPC_SCOPE_BYTES);
}
