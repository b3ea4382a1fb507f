/* e3/token.c - the token grammar, and the table of versions. */
#include "e3/token.h"

#include <string.h>

#include "lib/base/object.h"

#define IV_CHARS	16
#define EPHEMERAL_CHARS	44

static const struct e3_token_format formats[E3_TOKEN_VERSIONS] = {
	[E3_TOKEN_RFVC] = { "RFVC", RPC_CURVE_K1, false, E3_AAD_NONE, 0, false },
	[E3_TOKEN_T1JL] = { "T1JL", RPC_CURVE_R1, false, E3_AAD_NONE, 0, false },
	[E3_TOKEN_TK9D] = { "Tk9D", RPC_CURVE_R1, true, E3_AAD_APP, 0, false },
	[E3_TOKEN_QLJV] = { "QlJV", RPC_CURVE_K1, true, E3_AAD_APP, 0, true },
	[E3_TOKEN_TENZ] = { "TENZ", RPC_CURVE_R1, true, E3_AAD_APP, 0, true },
	[E3_TOKEN_S0LS] = { "S0lS", RPC_CURVE_K1, true, E3_AAD_V2, 0, true },
	[E3_TOKEN_QKTC] = { "QkTC", RPC_CURVE_R1, true, E3_AAD_V2, 1, true },
};

static const struct {
	const char		*name;
	enum rpc_field_type	type;
} types[] = {
	{ "string", RPC_FIELD_STRING },		/* accepted, never written */
	{ "number", RPC_FIELD_NUMBER },
	{ "boolean", RPC_FIELD_BOOLEAN },
};

const struct e3_token_format *
e3_token_format(enum e3_token_version version)
{
	ensure(version < E3_TOKEN_VERSIONS);
	return (&formats[version]);
}

enum e3_token_version
e3_token_written(enum rpc_curve curve)
{
	return (curve == RPC_CURVE_R1 ? E3_TOKEN_QKTC : E3_TOKEN_S0LS);
}

/* ---- parse ---- */

/* Take the text up to the next ':' (which is dropped) into *part. */
static bool
next_part(struct span *in, struct span *part)
{
	const char *colon;

	if (in->len == 0 || (colon = memchr(in->p, ':', in->len)) == NULL)
		return (false);
	part->p = in->p;
	part->len = (size_t)(colon - in->p);
	in->p += part->len + 1;
	in->len -= part->len + 1;
	return (true);
}

static bool
read_version(struct span part, struct e3_token *t)
{
	for (size_t i = 0; i < E3_TOKEN_VERSIONS; i++) {
		if (!span_eq_str(part, formats[i].name))
			continue;
		t->version = (enum e3_token_version)i;
		return (true);
	}
	return (false);
}

static bool
read_type(struct span part, struct e3_token *t)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!span_eq_str(part, types[i].name))
			continue;
		t->type = types[i].type;
		return (true);
	}
	return (false);
}

static bool
read_fixed(struct span part, size_t chars, uint8_t *out, size_t bytes)
{
	size_t n;

	/* Multiples of 3 bytes: '=' has no place here. */
	return (part.len == chars && part.p[chars - 1] != '=' &&
	    base64_decode(part, false, out, bytes, &n) == RC_OK && n == bytes);
}

/* Base64 without padding, or padded to a multiple of four. */
static bool
read_data(struct span part, struct e3_token *t)
{
	size_t pad = 0, rest;

	while (pad < 2 && pad < part.len && part.p[part.len - 1 - pad] == '=')
		pad++;
	if (pad != 0 && part.len % 4 != 0)
		return (false);
	part.len -= pad;
	rest = part.len % 4;
	if (rest == 1 || (pad != 0 && rest + pad != 4) ||
	    memchr(part.p, '=', part.len) != NULL)
		return (false);
	t->data = part;
	t->data_bytes = part.len / 4 * 3 + (rest != 0 ? rest - 1 : 0);
	return (t->data_bytes >= E3_TAG_BYTES);
}

enum rc
e3_token_parse(struct span text, struct e3_token *t)
{
	struct span part;

	memset(t, 0, sizeof(*t));
	t->version = E3_TOKEN_RFVC;
	t->type = RPC_FIELD_STRING;
	if (!next_part(&text, &part) || !span_eq_str(part, "ev") ||
	    !next_part(&text, &part))
		return (RC_SYNTAX);
	if (span_eq_str(part, "debug")) {
		t->debug = true;
		if (!next_part(&text, &part))
			return (RC_SYNTAX);
	}
	if (read_version(part, t) && !next_part(&text, &part))
		return (RC_SYNTAX);
	if (read_type(part, t) && !next_part(&text, &part))
		return (RC_SYNTAX);
	if (!read_fixed(part, IV_CHARS, t->iv, sizeof(t->iv)) ||
	    !next_part(&text, &part) ||
	    !read_fixed(part, EPHEMERAL_CHARS, t->ephemeral,
	    sizeof(t->ephemeral)) || (t->ephemeral[0] | 1) != 3 ||
	    !next_part(&text, &part) || !read_data(part, t) ||
	    !span_eq_str(text, "$"))
		return (RC_SYNTAX);
	return (RC_OK);
}

enum rc
e3_token_data(const struct e3_token *t, uint8_t *out)
{
	size_t n;
	enum rc rc;

	rc = base64_decode(t->data, false, out, t->data_bytes, &n);
	if (rc == RC_OK && n != t->data_bytes)
		rc = RC_SYNTAX;
	return (rc);
}

/* ---- print ---- */

static const char *
type_part(enum rpc_field_type type)
{
	return (type == RPC_FIELD_NUMBER ? "number:" :
	    type == RPC_FIELD_BOOLEAN ? "boolean:" : "");
}

size_t
e3_token_len(enum rpc_field_type type, size_t data_bytes)
{
	return (sizeof("ev:QkTC:") - 1 + strlen(type_part(type)) + IV_CHARS +
	    1 + EPHEMERAL_CHARS + 1 + base64_encoded_len(data_bytes, false) +
	    sizeof(":$") - 1);
}

void
e3_token_print(const struct e3_token *t, const uint8_t *data,
    size_t data_bytes, char *out)
{
	const char *type = type_part(t->type);
	size_t n = strlen(type);

	memcpy(out, "ev:", 3);
	memcpy(out + 3, formats[t->version].name, 4);
	out[7] = ':';
	out += 8;
	memcpy(out, type, n);
	out += n;
	out += base64_encode(t->iv, sizeof(t->iv), false, out);
	*out++ = ':';
	out += base64_encode(t->ephemeral, sizeof(t->ephemeral), false, out);
	*out++ = ':';
	out += base64_encode(data, data_bytes, false, out);
	memcpy(out, ":$", 2);
}

size_t
e3_token_aad(const struct e3_token *t, const uint8_t app_key[E3_POINT_BYTES],
    uint8_t out[E3_AAD_BYTES_MAX])
{
	const struct e3_token_format *f = &formats[t->version];

	switch (f->aad) {
	case E3_AAD_NONE:
		return (0);
	case E3_AAD_APP:
		memcpy(out, app_key, E3_POINT_BYTES);
		return (E3_POINT_BYTES);
	case E3_AAD_V2:
		/* Bit 7 is debug, which we neither write nor open. */
		out[0] = (uint8_t)((unsigned)t->type << 4 | f->number);
		memcpy(out + 1, t->ephemeral, E3_POINT_BYTES);
		memcpy(out + 1 + E3_POINT_BYTES, app_key, E3_POINT_BYTES);
		return (E3_AAD_BYTES_MAX);
	}
	return (0);
}
