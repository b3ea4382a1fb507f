/*
 * base/string.h - small text helpers: spans, numbers, base64, hex.
 * Context:   pure; any process, any thread.
 *
 * A span is a view: it owns nothing and is valid as long as what it points to.
 */
#ifndef RELAY_BASE_STRING_H
#define RELAY_BASE_STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"

struct span {
	const char	*p;	/* view */
	size_t		len;
};

#define SPAN_LIT(s)	((struct span){ (s), sizeof(s) - 1 })

struct span span_of(const char *);
bool span_eq(struct span, struct span);
bool span_eq_str(struct span, const char *);
bool span_eq_case(struct span, const char *);	/* ASCII case folded */
struct span span_trim(struct span);		/* SP and HTAB at both ends */

/* Copy as a C string into out[size]; false when it does not fit or holds a
 * NUL (out is then ""). */
bool span_copy(struct span, char *out, size_t size);

/* Whole span is decimal digits and the value fits: RC_OK, else RC_SYNTAX. */
enum rc string_u64(struct span, uint64_t *out) must_check;

/* Strict standard alphabet; `pad` says whether '=' is written / required.
 * Decoding with pad=false takes padded and unpadded text.  *outlen is set;
 * RC_SYNTAX for a foreign byte or non-zero spare bits, RC_LIMIT when out is
 * too small.  Encoding reads ahead of what it writes: the data may be the last
 * bytes of the text's own room. */
size_t base64_encoded_len(size_t len, bool pad);
size_t base64_encode(const void *, size_t len, bool pad, char *out);
/* The alphabet of URLs, no padding, NUL-terminated: one byte more. */
void base64url_encode(const void *, size_t len, char *out);
enum rc base64_decode(struct span, bool pad, void *out, size_t size,
    size_t *outlen) must_check;

/* 0..15 for a hexadecimal digit of either case, else -1. */
int hex_value(char);
/* out has 2 * len + 1 bytes. */
void hex_encode(const void *, size_t len, char *out);
enum rc hex_decode(struct span, void *out, size_t len) must_check;

/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, <= U+10FFFF. */
bool utf8_valid(const char *, size_t len);

/* An app or key id of ours: prefix plus 12 lower-case hex digits from random
 * bytes, e.g. id_make("app_", out).  out has strlen(prefix) + 13 bytes. */
void id_make(const char *prefix, char *out);

#endif
