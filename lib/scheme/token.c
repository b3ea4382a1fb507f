/* scheme/token.c - the token grammar, the table of versions, the metadata. */
#include "lib/scheme/token.h"

#include <string.h>

#include "lib/base/object.h"

#define IV_CHARS	16
#define FIXED_CHARS	(IV_CHARS + 1 + SCHEME_EPHEMERAL_CHARS + 1)
#define END		":$"
#define END_CHARS	2

static const struct scheme_token_format formats[SCHEME_TOKEN_VERSIONS] = {
	[SCHEME_TOKEN_RFVC] = { "RFVC", RPC_CURVE_K1, false, SCHEME_AAD_NONE, 0, false },
	[SCHEME_TOKEN_T1JL] = { "T1JL", RPC_CURVE_R1, false, SCHEME_AAD_NONE, 0, false },
	[SCHEME_TOKEN_TK9D] = { "Tk9D", RPC_CURVE_R1, true, SCHEME_AAD_APP, 0, false },
	[SCHEME_TOKEN_QLJV] = { "QlJV", RPC_CURVE_K1, true, SCHEME_AAD_APP, 0, true },
	[SCHEME_TOKEN_TENZ] = { "TENZ", RPC_CURVE_R1, true, SCHEME_AAD_APP, 0, true },
	[SCHEME_TOKEN_S0LS] = { "S0lS", RPC_CURVE_K1, true, SCHEME_AAD_V2, 0, true },
	[SCHEME_TOKEN_QKTC] = { "QkTC", RPC_CURVE_R1, true, SCHEME_AAD_V2, 1, true },
};

static const struct span types[] = {
	[RPC_FIELD_STRING] = { "string:", 7 },	/* accepted, never written */
	[RPC_FIELD_NUMBER] = { "number:", 7 },
	[RPC_FIELD_BOOLEAN] = { "boolean:", 8 },
};

const struct scheme_token_format *
scheme_token_format(enum scheme_token_version version)
{
	ensure(version < SCHEME_TOKEN_VERSIONS);
	return (&formats[version]);
}

enum scheme_token_version
scheme_token_written(enum rpc_curve curve)
{
	return (curve == RPC_CURVE_R1 ? SCHEME_TOKEN_QKTC : SCHEME_TOKEN_S0LS);
}

/* ---- parse ---- */

/* Take the prefix off, if it is there. */
static bool
skip(struct span *in, struct span prefix)
{
	if (in->len < prefix.len || memcmp(in->p, prefix.p, prefix.len) != 0)
		return (false);
	in->p += prefix.len;
	in->len -= prefix.len;
	return (true);
}

static void
skip_version(struct span *in, struct scheme_token *t)
{
	if (in->len < 5 || in->p[4] != ':')
		return;
	for (unsigned i = 0; i < SCHEME_TOKEN_VERSIONS; i++)
		if (memcmp(in->p, formats[i].name, 4) == 0) {
			t->version = (enum scheme_token_version)i;
			in->p += 5;
			in->len -= 5;
			return;
		}
}

static void
skip_type(struct span *in, struct scheme_token *t)
{
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (skip(in, types[i])) {
			t->type = (enum rpc_field_type)i;
			return;
		}
}

/* Multiples of 3 bytes: '=' would make fewer of them. */
static bool
read_fixed(const char *text, size_t chars, uint8_t *out, size_t bytes)
{
	size_t n;

	return (base64_decode((struct span){ text, chars }, false, out, bytes,
	    &n) == RC_OK && n == bytes);
}

/* Base64 without padding, or padded to a multiple of four. */
static bool
read_data(struct span part, struct scheme_token *t)
{
	size_t pad = 0;

	while (pad < 2 && pad < part.len && part.p[part.len - 1 - pad] == '=')
		pad++;
	if (pad != 0 && part.len % 4 != 0)
		return (false);
	part.len -= pad;
	t->data = part;
	t->data_bytes = part.len * 3 / 4;
	return (t->data_bytes >= SCHEME_TAG_BYTES);
}

enum rc
scheme_token_parse(struct span text, struct scheme_token *t)
{
	const char *iv, *ephemeral;

	memset(t, 0, sizeof(*t));
	t->version = SCHEME_TOKEN_RFVC;
	t->type = RPC_FIELD_STRING;
	if (!skip(&text, SPAN_LIT("ev:")))
		return (RC_SYNTAX);
	t->debug = skip(&text, SPAN_LIT("debug:"));
	skip_version(&text, t);
	skip_type(&text, t);
	if (text.len < FIXED_CHARS + END_CHARS ||
	    memcmp(text.p + text.len - END_CHARS, END, END_CHARS) != 0)
		return (RC_SYNTAX);
	iv = text.p;
	ephemeral = iv + IV_CHARS + 1;
	if (iv[IV_CHARS] != ':' || ephemeral[SCHEME_EPHEMERAL_CHARS] != ':' ||
	    !read_fixed(iv, IV_CHARS, t->iv, sizeof(t->iv)) ||
	    !read_fixed(ephemeral, SCHEME_EPHEMERAL_CHARS, t->ephemeral,
	    sizeof(t->ephemeral)) || (t->ephemeral[0] | 1) != 3)
		return (RC_SYNTAX);
	memcpy(t->ephemeral_text, ephemeral, SCHEME_EPHEMERAL_CHARS);
	return (read_data((struct span){ text.p + FIXED_CHARS, text.len -
	    FIXED_CHARS - END_CHARS }, t) ? RC_OK : RC_SYNTAX);
}

enum rc
scheme_token_data(const struct scheme_token *t, uint8_t *out)
{
	size_t n;

	return (base64_decode(t->data, false, out, t->data_bytes, &n) ==
	    RC_OK && n == t->data_bytes ? RC_OK : RC_SYNTAX);
}

/* ---- print ---- */

void
scheme_token_set_ephemeral(struct scheme_token *t,
    const uint8_t point[SCHEME_POINT_BYTES])
{
	memcpy(t->ephemeral, point, SCHEME_POINT_BYTES);
	(void)base64_encode(point, SCHEME_POINT_BYTES, false, t->ephemeral_text);
}

static size_t
type_chars(enum rpc_field_type type)
{
	return (type == RPC_FIELD_STRING ? 0 : types[type].len);
}

size_t
scheme_token_len(enum rpc_field_type type, size_t data_bytes)
{
	return (sizeof("ev:QkTC:") - 1 + type_chars(type) + FIXED_CHARS +
	    base64_encoded_len(data_bytes, false) + END_CHARS);
}

/* Data at the end of out is read before it is written over: what is written
 * grows by four for each three that are read, and ends where they end. */
void
scheme_token_print(const struct scheme_token *t, const uint8_t *data,
    size_t data_bytes, char *out)
{
	size_t n = type_chars(t->type);

	memcpy(out, "ev:", 3);
	memcpy(out + 3, formats[t->version].name, 4);
	out[7] = ':';
	out += 8;
	memcpy(out, types[t->type].p, n);
	out += n;
	out += base64_encode(t->iv, sizeof(t->iv), false, out);
	*out++ = ':';
	memcpy(out, t->ephemeral_text, SCHEME_EPHEMERAL_CHARS);
	out += SCHEME_EPHEMERAL_CHARS;
	*out++ = ':';
	out += base64_encode(data, data_bytes, false, out);
	memcpy(out, END, END_CHARS);
}

size_t
scheme_token_aad(const struct scheme_token *t,
    const uint8_t app_key[SCHEME_POINT_BYTES],
    uint8_t out[SCHEME_AAD_BYTES_MAX])
{
	const struct scheme_token_format *f = &formats[t->version];

	switch (f->aad) {
	case SCHEME_AAD_NONE:
		return (0);
	case SCHEME_AAD_APP:
		memcpy(out, app_key, SCHEME_POINT_BYTES);
		return (SCHEME_POINT_BYTES);
	case SCHEME_AAD_V2:
		/* Bit 7 is debug, which we neither write nor open. */
		out[0] = (uint8_t)((unsigned)t->type << 4 | f->number);
		memcpy(out + 1, t->ephemeral, SCHEME_POINT_BYTES);
		memcpy(out + 1 + SCHEME_POINT_BYTES, app_key, SCHEME_POINT_BYTES);
		return (SCHEME_AAD_BYTES_MAX);
	}
	return (0);
}

/* ---- metadata ---- */

size_t
scheme_metadata_len(struct span role)
{
	return (2 + 1 + (role.len != 0 ? 4 + role.len : 0) + 4 + 8);
}

/* Length, then the map in the fixed order that every SDK writes. */
void
scheme_metadata_write(const struct scheme_metadata *m, uint8_t *out)
{
	const size_t n = m->role.len;

	*out++ = (uint8_t)(scheme_metadata_len(m->role) - 2);
	*out++ = 0;
	*out++ = n != 0 ? 0x83 : 0x82;
	if (n != 0) {
		memcpy(out, "\xa2" "dr", 3);
		out[3] = (uint8_t)(0xa0 | n);
		memcpy(out + 4, m->role.p, n);
		out += 4 + n;
	}
	memcpy(out, "\xa2" "eo", 3);
	out[3] = SCHEME_ENCRYPTION_ORIGIN;
	memcpy(out + 4, "\xa2" "et\xce", 4);
	for (int i = 0; i < 4; i++)
		out[8 + i] = (uint8_t)(m->sealed_s >> (24 - 8 * i));
}

enum rc
scheme_metadata_read(struct span map, struct scheme_metadata *m)
{
	uint64_t sealed_s = 0;

	*m = (struct scheme_metadata){ .sealed_s = 0 };
	if (!rpc_scan(map, RPC_MAY_BYTES("dr", &m->role),
	    RPC_MAY_U64("et", &sealed_s)))
		return (RC_SYNTAX);
	m->sealed_s = sealed_s <= UINT32_MAX ? (uint32_t)sealed_s : 0;
	return (RC_OK);
}

enum rc
scheme_metadata_take(struct span *value, struct scheme_metadata *m)
{
	const uint8_t *p = (const uint8_t *)value->p;
	size_t n;

	*m = (struct scheme_metadata){ .sealed_s = 0 };
	if (value->len < 2)
		return (RC_SYNTAX);
	n = (size_t)p[0] | (size_t)p[1] << 8;
	if (n > value->len - 2 || scheme_metadata_read((struct span){
	    value->p + 2, n }, m) != RC_OK)
		return (RC_SYNTAX);
	value->p += 2 + n;
	value->len -= 2 + n;
	return (RC_OK);
}
