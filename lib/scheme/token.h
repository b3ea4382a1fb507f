/*
 * scheme/token.h - the text form of one sealed value, parsed and printed, and the
 * metadata that is sealed in front of the value.
 * Context:   pure; fuzzed.  Any thread.
 *
 *   ev:[debug:]<version>:[<type>:]<iv>:<ephemeral key>:<data>:$
 */
#ifndef RELAY_SCHEME_TOKEN_H
#define RELAY_SCHEME_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/string.h"
#include "lib/rpc/message.h"
#include "lib/scheme/ecies.h"

enum scheme_token_version {
	SCHEME_TOKEN_RFVC,		/* also tokens without a version */
	SCHEME_TOKEN_T1JL,
	SCHEME_TOKEN_TK9D,
	SCHEME_TOKEN_QLJV,
	SCHEME_TOKEN_TENZ,
	SCHEME_TOKEN_S0LS,
	SCHEME_TOKEN_QKTC,
	SCHEME_TOKEN_VERSIONS
};

enum scheme_aad { SCHEME_AAD_NONE, SCHEME_AAD_APP, SCHEME_AAD_V2 };

struct scheme_token_format {
	char		name[5];
	enum rpc_curve	curve;
	bool		kdf;		/* else the AES key is the shared x */
	enum scheme_aad	aad;
	uint8_t		number;		/* of the v2 config byte */
	bool		metadata;
};
const struct scheme_token_format *scheme_token_format(enum scheme_token_version);
/* What we write on this curve. */
enum scheme_token_version scheme_token_written(enum rpc_curve);

#define SCHEME_EPHEMERAL_CHARS	44
struct scheme_token {
	enum scheme_token_version	version;
	bool			debug;
	enum rpc_field_type	type;
	uint8_t			iv[SCHEME_IV_BYTES];
	uint8_t			ephemeral[SCHEME_POINT_BYTES];
	char			ephemeral_text[SCHEME_EPHEMERAL_CHARS];
	struct span		data;		/* view: base64, no padding */
	size_t			data_bytes;	/* decoded, tag included */
};

/* The whole of text is one token: RC_OK, else RC_SYNTAX.  Whether the data is
 * base64 is said by scheme_token_data alone. */
enum rc scheme_token_parse(struct span text, struct scheme_token *) must_check;
/* out[data_bytes].  RC_SYNTAX: a foreign byte, or spare bits that are set. */
enum rc scheme_token_data(const struct scheme_token *, uint8_t *out) must_check;

/* Printing: once for all tokens that share the ephemeral key. */
void scheme_token_set_ephemeral(struct scheme_token *,
    const uint8_t point[SCHEME_POINT_BYTES]);
/* Length of the text of a token with this much data (tag included). */
size_t scheme_token_len(enum rpc_field_type, size_t data_bytes);
/* Write exactly scheme_token_len bytes; version, type, iv, ephemeral of the
 * struct and these bytes of data, which may lie at the very end of out. */
void scheme_token_print(const struct scheme_token *, const uint8_t *data,
    size_t data_bytes, char *out);

/* The additional data of a format: 0, 33 or 67 bytes. */
#define SCHEME_AAD_BYTES_MAX	(1 + 2 * SCHEME_POINT_BYTES)
size_t scheme_token_aad(const struct scheme_token *,
    const uint8_t app_key[SCHEME_POINT_BYTES], uint8_t out[SCHEME_AAD_BYTES_MAX]);

/* ---- metadata (spec/ciphertext.md section 5) ---- */

/* Its `eo`: says which program sealed a value; 5 to 13 are SDKs. */
#define SCHEME_ENCRYPTION_ORIGIN	20

struct scheme_metadata {
	struct span	role;		/* view; empty: none */
	uint32_t	sealed_s;	/* since 1970; 0: not known */
};
size_t scheme_metadata_len(struct span role);
/* Write exactly that much: the role is a valid one, or empty. */
void scheme_metadata_write(const struct scheme_metadata *, uint8_t *out);
/* It was made by whoever had the public key, so it may be anything: RC_SYNTAX.
 * The map alone, as files have it; */
enum rc scheme_metadata_read(struct span map, struct scheme_metadata *)
    must_check;
/* or taken, with its length, off the front of an opened value. */
enum rc scheme_metadata_take(struct span *value, struct scheme_metadata *)
    must_check;

#endif
