/*
 * body/json_text.h - the text of JSON strings and numbers: escape, unescape,
 * and what opened text may look like inside a document.
 * Context:   pure; appends to the caller's buffer, all or nothing.
 */
#ifndef RELAY_BODY_JSON_TEXT_H
#define RELAY_BODY_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

/*
 * Decode a raw string span (with quotes) and append UTF-8 to out.
 * RC_OK; RC_SYNTAX for a lone surrogate or a bad escape; RC_LIMIT, RC_NOMEM
 * from the buffer.  Text without escapes is copied as it is.
 */
enum rc body_json_unescape(struct span raw, struct buffer *out) must_check;

/*
 * Append a JSON string, quotes included.  Only what must be escaped is.
 * RC_SYNTAX when text is not strict UTF-8; nothing is added then.
 */
enum rc body_json_escape(struct span text, struct buffer *out) must_check;
/* The same without the quotes: a part of a longer string. */
enum rc body_json_escape_text(struct span text, struct buffer *out) must_check;

/*
 * The escape sequence at p, which holds the backslash: up to 4 bytes of UTF-8
 * in out, their number in *outlen.  Returns the bytes read, a surrogate pair
 * as one; 0 for anything RFC 8259 does not have, lone surrogates included.
 */
#define BODY_JSON_ESCAPE_BYTES	4
size_t body_json_escape_read(const char *p, const char *end,
    char out[BODY_JSON_ESCAPE_BYTES], size_t *outlen) must_check;

/* The decoded text of a raw string span equals `text`; never allocates. */
bool body_json_text_is(struct span raw, struct span text);

/* Exactly one number of RFC 8259 section 6. */
bool body_json_number_valid(struct span);

/*
 * Opened text is foreign input (design.md section 6).  Append what may stand
 * for it in a JSON document: a string escaped; a number bare when it is an
 * RFC 8259 number, else normalised (spec/ciphertext.md 5: PHP's 007, " 12",
 * .5 ...; digit by digit, never through a double), else as a string; a boolean
 * bare only if it is exactly true or false, else as a string.
 * RC_SYNTAX: it cannot stand in JSON (not UTF-8): the token stays.
 */
enum body_value_type { BODY_VALUE_STRING, BODY_VALUE_NUMBER, BODY_VALUE_BOOLEAN };
enum rc body_json_insert(enum body_value_type, struct span text,
    struct buffer *out) must_check;

#endif
