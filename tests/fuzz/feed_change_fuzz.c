/*
 * Any bytes as a change that a worker asks for.  What is read has a key of one
 * of the tables, and an API key in a buffer that is wiped.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "shm/feed/change_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct change_text c;

	if (change_text_read((struct span){ (const char *)data, len }, &c) ==
	    RC_OK) {
		ensure(strncmp(c.key, SHM_RELAYS, strlen(SHM_RELAYS)) == 0 ||
		    strncmp(c.key, SHM_EGRESS, strlen(SHM_EGRESS)) == 0);
		ensure(table_field(span_of(c.key)).len > 0);
		ensure(buffer_len(&c.api_key) <= CHANGE_TEXT_KEY_MAX);
	}
	ensure(c.api_key.sensitive);
	change_text_fini(&c);
	return (0);
}
