/*
 * body/token_scan.c - the grammar of an encrypted string
 * (spec/ciphertext.md section 8):
 *   ev:(debug:)?(version:)?(type:)?<16>:<44>:<any>:$
 */
#include "lib/body/token_scan.h"

#include <string.h>

#define IV_CHARS	16
#define KEY_CHARS	44

static bool
skip(struct span *s, const char *literal)
{
	size_t len = strlen(literal);

	if (s->len < len || memcmp(s->p, literal, len) != 0)
		return (false);
	s->p += len;
	s->len -= len;
	return (true);
}

static void
skip_one_of(struct span *s, const char *const *literals, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (skip(s, literals[i]))
			return;
}

/* The standard alphabet; old tokens keep their padding. */
static bool
is_base64(char c)
{
	return ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	    (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=');
}

static size_t
base64_run(struct span s)
{
	size_t n = 0;

	while (n < s.len && is_base64(s.p[n]))
		n++;
	return (n);
}

/* A base64 part and the colon behind it; len 0: any length. */
static bool
skip_part(struct span *s, size_t len)
{
	size_t run = base64_run(*s);

	if (len != 0 && run != len)
		return (false);
	s->p += run;
	s->len -= run;
	return (skip(s, ":"));
}

bool
body_token_whole(struct span text)
{
	static const char *const versions[] = {
		"RFVC:", "T1JL:", "Tk9D:", "TENZ:", "QlJV:", "QkTC:", "S0lS:"
	};
	static const char *const types[] = {
		"string:", "number:", "boolean:"
	};

	if (text.len < BODY_TOKEN_BYTES_MIN || !skip(&text, "ev:"))
		return (false);
	(void)skip(&text, "debug:");
	skip_one_of(&text, versions, sizeof(versions) / sizeof(versions[0]));
	skip_one_of(&text, types, sizeof(types) / sizeof(types[0]));
	return (skip_part(&text, IV_CHARS) && skip_part(&text, KEY_CHARS) &&
	    skip_part(&text, 0) && skip(&text, "$") && text.len == 0);
}
