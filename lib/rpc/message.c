/*
 * rpc/message.c - bodies of Encrypt, Decrypt, Rewrap and Authenticate, written
 * and read.
 *
 * `fields` and `tokens` come last in their maps, so that a caller can write
 * them while it walks its body; a reader takes the keys in any order and
 * ignores those it does not know.
 */
#include "lib/rpc/message.h"

#include <string.h>

#include "lib/base/object.h"

/* ---- shared ---- */

static enum rc
bytes_or_nil(const struct rpc_value *v, struct span *out)
{
	*out = (struct span){ NULL, 0 };
	if (v == NULL || rpc_is_nil(v) || rpc_get_bytes(v, out))
		return (RC_OK);
	return (RC_SYNTAX);
}

/* The index of a text value in a list of names, or -1. */
static int
name_index(const struct rpc_value *v, const char *const *names)
{
	struct span s;

	if (!rpc_get_bytes(v, &s))
		return (-1);
	for (int i = 0; names[i] != NULL; i++)
		if (span_eq_str(s, names[i]))
			return (i);
	return (-1);
}

static enum rc
list_of(const struct rpc_value *body, const char *key,
    const struct rpc_value **list, size_t *n)
{
	*list = rpc_map_get(body, key);
	*n = rpc_array_len(*list);
	if (*n == SIZE_MAX) {
		*list = NULL;
		*n = 0;
		return (RC_SYNTAX);
	}
	return (*n > RPC_FIELDS_MAX ? RC_LIMIT : RC_OK);
}

/* Room for head bytes, the first bin and, if any, the second one. */
static enum rc
room(struct buffer *b, size_t head, size_t first, size_t second, char **at)
{
	if (first > RPC_FRAME_BYTES_MAX || second > RPC_FRAME_BYTES_MAX)
		return (RC_LIMIT);
	return (buffer_reserve(b, head + first + second +
	    2 * RPC_BIN_HEAD_MAX, at));
}

/* An array of n_small small numbers and a bin of len bytes (and, if n is more,
 * of what the caller appends), up to the first of those bytes: room for them
 * is reserved. */
static enum rc
put_head(struct buffer *b, unsigned n, const unsigned *small, unsigned n_small,
    size_t len)
{
	char *start, *at;
	enum rc rc;

	if ((rc = room(b, 1 + n_small, len, 0, &start)) != RC_OK)
		return (rc);
	at = start;
	*at++ = (char)(0x90 | n);
	for (unsigned i = 0; i < n_small; i++)
		*at++ = (char)small[i];
	at = rpc_write_bin_head(at, len);
	buffer_commit(b, (size_t)(at - start));
	return (RC_OK);
}

static char *
write_bin(char *at, struct span s)
{
	at = rpc_write_bin_head(at, s.len);
	if (s.len != 0)
		memcpy(at, s.p, s.len);
	return (at + s.len);
}

/* ---- Encrypt ---- */

static const char *const curve_names[] = { "r1", "k1", NULL };
static const char *const scope_names[] = { "request", "field", NULL };
static const char *const existing_names[] = { "verify", "encrypt", NULL };

void
rpc_encrypt_put(struct buffer *b, const struct rpc_encrypt *e)
{
	rpc_put_map(b, 5);
	rpc_put_str(b, "app");
	rpc_put_text(b, e->app);
	rpc_put_str(b, "curve");
	rpc_put_str(b, curve_names[e->curve]);
	rpc_put_str(b, "keyScope");
	rpc_put_str(b, scope_names[e->scope]);
	rpc_put_str(b, "existing");
	rpc_put_str(b, existing_names[e->existing]);
	rpc_put_str(b, "fields");
	rpc_put_array(b, e->n_fields);
}

enum rc
rpc_encrypt_put_field(struct buffer *b, const struct rpc_field *f)
{
	char *start, *at;
	enum rc rc;

	rc = room(b, 2, f->bytes.len, f->role.len, &start);
	if (rc != RC_OK)
		return (rc);
	at = start;
	*at++ = f->role.len != 0 ? (char)0x93 : (char)0x92;
	*at++ = (char)f->type;
	at = write_bin(at, f->bytes);
	if (f->role.len != 0)
		at = write_bin(at, f->role);
	buffer_commit(b, (size_t)(at - start));
	return (RC_OK);
}

enum rc
rpc_encrypt_put_field_head(struct buffer *b, enum rpc_field_type type,
    size_t len, bool has_role)
{
	return (put_head(b, has_role ? 3 : 2, (const unsigned[]){ type }, 1,
	    len));
}

enum rc
rpc_encrypt_read(const struct rpc_value *body, struct rpc_encrypt *e)
{
	int curve, scope, existing;

	memset(e, 0, sizeof(*e));
	curve = name_index(rpc_map_get(body, "curve"), curve_names);
	scope = name_index(rpc_map_get(body, "keyScope"), scope_names);
	existing = name_index(rpc_map_get(body, "existing"), existing_names);
	if (curve < 0 || scope < 0 || existing < 0)
		return (RC_SYNTAX);
	if (!rpc_get_bytes(rpc_map_get(body, "app"), &e->app) ||
	    e->app.len == 0)
		return (RC_SYNTAX);
	e->curve = (enum rpc_curve)curve;
	e->scope = (enum rpc_key_scope)scope;
	e->existing = (enum rpc_existing)existing;
	return (list_of(body, "fields", &e->fields, &e->n_fields));
}

enum rc
rpc_encrypt_field_at(const struct rpc_encrypt *e, size_t i,
    struct rpc_field *f)
{
	const struct rpc_value *v = rpc_array_at(e->fields, i);
	size_t n = rpc_array_len(v);
	uint64_t type;

	memset(f, 0, sizeof(*f));
	if (n != 2 && n != 3)
		return (RC_SYNTAX);
	if (!rpc_get_u64(rpc_array_at(v, 0), &type) || type > RPC_FIELD_FILE)
		return (RC_SYNTAX);
	if (!rpc_get_bytes(rpc_array_at(v, 1), &f->bytes))
		return (RC_SYNTAX);
	f->type = (enum rpc_field_type)type;
	return (bytes_or_nil(rpc_array_at(v, 2), &f->role));
}

enum rc
rpc_sealed_at(const struct rpc_value *body, size_t i, struct rpc_sealed *s)
{
	const struct rpc_value *v = rpc_array_at(body, i);
	uint64_t status;

	memset(s, 0, sizeof(*s));
	if (rpc_array_len(v) != 2)
		return (RC_SYNTAX);
	if (!rpc_get_u64(rpc_array_at(v, 0), &status) || status > RPC_PASSED)
		return (RC_SYNTAX);
	s->status = (enum rpc_seal_status)status;
	if (s->status == RPC_PASSED)
		return (bytes_or_nil(rpc_array_at(v, 1), &s->bytes));
	/* A sealed field without a token would go out as nothing. */
	if (!rpc_get_bytes(rpc_array_at(v, 1), &s->bytes) || s->bytes.len == 0)
		return (RC_SYNTAX);
	return (RC_OK);
}

enum rc
rpc_sealed_put_head(struct buffer *b, enum rpc_seal_status status, size_t len)
{
	return (put_head(b, 2, (const unsigned[]){ status }, 1, len));
}

/* ---- Decrypt ---- */

static const char *const place_names[] = { "relay", "egress", "api", NULL };

void
rpc_decrypt_put(struct buffer *b, const struct rpc_decrypt *d)
{
	bool by_key = d->api_key.len != 0;

	rpc_put_map(b, 3);
	rpc_put_str(b, by_key ? "apiKey" : "app");
	rpc_put_text(b, by_key ? d->api_key : d->app);
	rpc_put_str(b, "place");
	rpc_put_map(b, d->destination.len != 0 ? 3 : 2);
	rpc_put_str(b, "kind");
	rpc_put_str(b, place_names[d->place]);
	if (d->destination.len != 0) {
		rpc_put_str(b, "destination");
		rpc_put_text(b, d->destination);
	}
	rpc_put_str(b, "address");
	rpc_put_text(b, d->address);
	rpc_put_str(b, "tokens");
	rpc_put_array(b, d->n_tokens);
}

enum rc
rpc_decrypt_put_token(struct buffer *b, struct span token, struct span role)
{
	char *start, *at;
	enum rc rc;

	if ((rc = room(b, 1, token.len, role.len, &start)) != RC_OK)
		return (rc);
	at = start;
	*at++ = role.len != 0 ? (char)0x92 : (char)0x91;
	at = write_bin(at, token);
	if (role.len != 0)
		at = write_bin(at, role);
	buffer_commit(b, (size_t)(at - start));
	return (RC_OK);
}

enum rc
rpc_decrypt_read(const struct rpc_value *body, struct rpc_decrypt *d)
{
	const struct rpc_value *place = rpc_map_get(body, "place");
	int kind;

	memset(d, 0, sizeof(*d));
	kind = name_index(rpc_map_get(place, "kind"), place_names);
	if (kind < 0)
		return (RC_SYNTAX);
	d->place = (enum rpc_place)kind;
	if (bytes_or_nil(rpc_map_get(body, "app"), &d->app) != RC_OK ||
	    bytes_or_nil(rpc_map_get(body, "apiKey"), &d->api_key) != RC_OK)
		return (RC_SYNTAX);
	/* Exactly one says whose tokens these are. */
	if ((d->app.len != 0) == (d->api_key.len != 0))
		return (RC_SYNTAX);
	if (bytes_or_nil(rpc_map_get(place, "destination"),
	    &d->destination) != RC_OK)
		return (RC_SYNTAX);
	if (!rpc_get_bytes(rpc_map_get(place, "address"), &d->address))
		return (RC_SYNTAX);
	return (list_of(body, "tokens", &d->tokens, &d->n_tokens));
}

static enum rc
token_at(const struct rpc_value *tokens, size_t i, struct span *token,
    struct span *role)
{
	const struct rpc_value *v = rpc_array_at(tokens, i);
	size_t n = rpc_array_len(v);

	*token = *role = (struct span){ NULL, 0 };
	if (n != 1 && n != 2)
		return (RC_SYNTAX);
	if (!rpc_get_bytes(rpc_array_at(v, 0), token))
		return (RC_SYNTAX);
	return (bytes_or_nil(rpc_array_at(v, 1), role));
}

enum rc
rpc_decrypt_token_at(const struct rpc_decrypt *d, size_t i,
    struct span *token, struct span *role)
{
	return (token_at(d->tokens, i, token, role));
}

enum rc
rpc_opened_at(const struct rpc_value *body, size_t i, struct rpc_opened *o)
{
	const struct rpc_value *v = rpc_array_at(body, i);
	uint64_t status, type;

	memset(o, 0, sizeof(*o));
	if (rpc_array_len(v) != 3)
		return (RC_SYNTAX);
	if (!rpc_get_u64(rpc_array_at(v, 0), &status) ||
	    status > RPC_OPEN_OTHER_ROLE)
		return (RC_SYNTAX);
	if (!rpc_get_u64(rpc_array_at(v, 1), &type) || type > RPC_FIELD_FILE)
		return (RC_SYNTAX);
	o->status = (enum rpc_open_status)status;
	o->type = (enum rpc_field_type)type;
	if (o->status != RPC_OPEN_OK)
		return (RC_OK);
	return (rpc_get_bytes(rpc_array_at(v, 2), &o->bytes) ? RC_OK :
	    RC_SYNTAX);
}

enum rc
rpc_opened_put_head(struct buffer *b, enum rpc_open_status status,
    enum rpc_field_type type, size_t len)
{
	return (put_head(b, 3, (const unsigned[]){ status, type }, 2, len));
}

/* ---- Rewrap ---- */

void
rpc_rewrap_put(struct buffer *b, const struct rpc_rewrap *r)
{
	rpc_put_map(b, 3);
	rpc_put_str(b, "app");
	rpc_put_text(b, r->app);
	rpc_put_str(b, "curve");
	rpc_put_str(b, curve_names[r->curve]);
	rpc_put_str(b, "tokens");
	rpc_put_array(b, r->n_tokens);
}

enum rc
rpc_rewrap_read(const struct rpc_value *body, struct rpc_rewrap *r)
{
	int curve = name_index(rpc_map_get(body, "curve"), curve_names);

	memset(r, 0, sizeof(*r));
	if (curve < 0 || !rpc_get_bytes(rpc_map_get(body, "app"), &r->app) ||
	    r->app.len == 0)
		return (RC_SYNTAX);
	r->curve = (enum rpc_curve)curve;
	return (list_of(body, "tokens", &r->tokens, &r->n_tokens));
}

enum rc
rpc_rewrap_token_at(const struct rpc_rewrap *r, size_t i, struct span *token)
{
	struct span role;
	enum rc rc = token_at(r->tokens, i, token, &role);

	/* The new token keeps the role that the old one has. */
	return (rc == RC_OK && role.p != NULL ? RC_SYNTAX : rc);
}

enum rc
rpc_rewrapped_at(const struct rpc_value *body, size_t i,
    struct rpc_rewrapped *r)
{
	const struct rpc_value *v = rpc_array_at(body, i);
	uint64_t status;

	memset(r, 0, sizeof(*r));
	if (rpc_array_len(v) != 2 ||
	    !rpc_get_u64(rpc_array_at(v, 0), &status) ||
	    status > RPC_OPEN_OTHER_ROLE)
		return (RC_SYNTAX);
	r->status = (enum rpc_open_status)status;
	/* An empty text in a token's place would be a value lost. */
	if (r->status == RPC_OPEN_OK &&
	    (!rpc_get_bytes(rpc_array_at(v, 1), &r->token) ||
	    r->token.len == 0))
		return (RC_SYNTAX);
	return (RC_OK);
}

enum rc
rpc_rewrapped_put_head(struct buffer *b, enum rpc_open_status status,
    size_t len)
{
	return (put_head(b, 2, (const unsigned[]){ status }, 1, len));
}

/* ---- Authenticate ---- */

void
rpc_authenticate_put(struct buffer *b, struct span api_key)
{
	ensure(api_key.len <= RPC_API_KEY_BYTES_MAX);
	rpc_put_map(b, 1);
	rpc_put_str(b, "apiKey");
	rpc_put_text(b, api_key);
}

enum rc
rpc_authenticated_read(const struct rpc_value *body,
    struct rpc_authenticated *a)
{
	struct span scope;
	size_t n;

	memset(a, 0, sizeof(*a));
	if (!rpc_get_bytes(rpc_map_get(body, "app"), &a->app) ||
	    a->app.len == 0 ||
	    !rpc_get_bytes(rpc_map_get(body, "key"), &a->key) ||
	    !rpc_get_u64(rpc_map_get(body, "cache_s"), &a->cache_s))
		return (RC_SYNTAX);
	a->scopes = rpc_map_get(body, "scopes");
	/* No list would read as "all scopes". */
	if ((n = rpc_array_len(a->scopes)) == SIZE_MAX)
		return (RC_SYNTAX);
	for (size_t i = 0; i < n; i++)
		if (!rpc_get_bytes(rpc_array_at(a->scopes, i), &scope))
			return (RC_SYNTAX);
	return (RC_OK);
}

bool
rpc_authenticated_allows(const struct rpc_authenticated *a, const char *want)
{
	size_t n = rpc_array_len(a->scopes);
	struct span scope;

	if (n == SIZE_MAX)
		return (false);
	for (size_t i = 0; i < n; i++)
		if (rpc_get_bytes(rpc_array_at(a->scopes, i), &scope) &&
		    span_eq_str(scope, want))
			return (true);
	return (n == 0);
}
