/* A whole token has its parts where the grammar says; what is found in a text
 * is one, and nothing of it is left over. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/token_find.h"

static void
find_all(struct span text, unsigned escapes)
{
	struct body_token t;
	struct buffer plain;
	size_t at = 0;

	buffer_init(&plain, 0, false);
	while (body_token_next(text, escapes, at, &t)) {
		ensure(t.start >= at && t.end > t.start && t.end <= text.len);
		ensure((t.escape & ~escapes) == 0);
		buffer_clear(&plain);
		ensure(body_token_append(text, &t, &plain) == RC_OK);
		ensure(body_token_whole((struct span){ buffer_data(&plain),
		    buffer_len(&plain) }));
		ensure((t.escape == BODY_TOKEN_BACKSLASH) ==
		    (memchr(text.p + t.start, '\\', t.end - t.start) != NULL));
		at = t.end;
	}
	buffer_fini(&plain);
}

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
		text.len++;
	}
	find_all(text, BODY_TOKEN_RAW);
	find_all(text, BODY_TOKEN_BACKSLASH);
	find_all(text, BODY_TOKEN_PERCENT | BODY_TOKEN_REFERENCE);
	return (0);
}
