/*
 * scheme_client_token_fuzz - lib/scheme/client_token.c: what parses prints to
 * the same text, but for the MAC, which is ours.
 *
 * Input that is no token is tried as the claims of one too: a mutation of
 * base64 seldom is anything.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/scheme/client_token.h"

#define HEADER		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
#define MAC		".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define CLAIMS_MAX	600

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check(struct span text)
{
	static const uint8_t key[SCHEME_SECRET_BYTES] = { 1 };
	struct scheme_client_token t;
	struct buffer again;

	if (scheme_client_token_parse(text, &t) != RC_OK)
		return;
	ensure(strpbrk(t.app, "\"\\") == NULL && strlen(t.app) != 0);
	buffer_init(&again, 0, false);
	ensure(scheme_client_token_print(&t, key, &again) == RC_OK);
	ensure(buffer_len(&again) == text.len);
	ensure(memcmp(buffer_data(&again), text.p, t.signed_part.len) == 0);
	buffer_fini(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[sizeof(HEADER) + CLAIMS_MAX * 4 / 3 + 4 + sizeof(MAC)];
	struct span in = { (const char *)data, len };

	check(in);
	if (len <= CLAIMS_MAX) {
		memcpy(text, HEADER, sizeof(HEADER));
		base64url_encode(data, len, text + sizeof(HEADER) - 1);
		strcat(text, MAC);
		check(span_of(text));
	}
	return (0);
}
