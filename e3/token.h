/*
 * e3/token.h - the text form of one sealed value: parse and print.
 * Context:   pure; fuzzed.  Any thread.
 *
 *   ev:[debug:]<version>:[<type>:]<iv>:<ephemeral key>:<data>:$
 */
#ifndef RELAY_E3_TOKEN_H
#define RELAY_E3_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "e3/ecies.h"
#include "lib/base/string.h"
#include "lib/rpc/message.h"

enum e3_token_version {
	E3_TOKEN_RFVC,		/* also tokens without a version */
	E3_TOKEN_T1JL,
	E3_TOKEN_TK9D,
	E3_TOKEN_QLJV,
	E3_TOKEN_TENZ,
	E3_TOKEN_S0LS,
	E3_TOKEN_QKTC,
	E3_TOKEN_VERSIONS
};

enum e3_aad { E3_AAD_NONE, E3_AAD_APP, E3_AAD_V2 };

struct e3_token_format {
	char		name[5];
	enum rpc_curve	curve;
	bool		kdf;		/* else the AES key is the shared x */
	enum e3_aad	aad;
	uint8_t		number;		/* of the v2 config byte */
	bool		metadata;
};
const struct e3_token_format *e3_token_format(enum e3_token_version);
/* What we write on this curve. */
enum e3_token_version e3_token_written(enum rpc_curve);

struct e3_token {
	enum e3_token_version	version;
	bool			debug;
	enum rpc_field_type	type;
	uint8_t			iv[E3_IV_BYTES];
	uint8_t			ephemeral[E3_POINT_BYTES];
	struct span		data;		/* view: base64, no padding */
	size_t			data_bytes;	/* decoded, tag included */
};

/* The whole of text is one token: RC_OK, else RC_SYNTAX.  The data itself is
 * decoded by e3_token_data. */
enum rc e3_token_parse(struct span text, struct e3_token *) must_check;
/* out[data_bytes].  RC_SYNTAX: a foreign byte, or spare bits that are set. */
enum rc e3_token_data(const struct e3_token *, uint8_t *out) must_check;

/* Length of the text of a token with this much data (tag included). */
size_t e3_token_len(enum rpc_field_type, size_t data_bytes);
/* Write exactly e3_token_len bytes; version, type, iv, ephemeral of the
 * struct and these bytes of data. */
void e3_token_print(const struct e3_token *, const uint8_t *data,
    size_t data_bytes, char *out);

/* The additional data of a format: 0, 33 or 67 bytes. */
#define E3_AAD_BYTES_MAX	(1 + 2 * E3_POINT_BYTES)
size_t e3_token_aad(const struct e3_token *,
    const uint8_t app_key[E3_POINT_BYTES], uint8_t out[E3_AAD_BYTES_MAX]);

#endif
