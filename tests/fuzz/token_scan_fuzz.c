/* A whole token has its parts where the grammar says. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/token_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span text = { (const char *)data, len };

	if (body_token_whole(text)) {
		ensure(len >= BODY_TOKEN_BYTES_MIN);
		ensure(memcmp(text.p, "ev:", 3) == 0);
		ensure(memcmp(text.p + len - 2, ":$", 2) == 0);
		ensure(memchr(text.p, '"', len) == NULL);
		text.len--;
		ensure(!body_token_whole(text));
	}
	return (0);
}
