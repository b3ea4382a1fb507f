/* An announcement of an engine: refused, or an address that a worker takes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/host.h"
#include "lib/base/object.h"
#include "shm/feed/engines.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct engine_entry e;
	char host[HOST_BYTES];
	const char *colon;
	uint64_t port;

	(void)engine_name_ok((struct span){ (const char *)data, size });
	if (engine_read((struct span){ (const char *)data, size }, &e) != RC_OK)
		return (0);
	ensure(size <= ENGINE_TEXT_BYTES_MAX);
	ensure(strncmp(e.address, "unix:", 5) != 0);
	ensure((colon = strrchr(e.address, ':')) != NULL);
	ensure(host_canonical((struct span){ e.address,
	    (size_t)(colon - e.address) }, host) == RC_OK);
	ensure(string_u64(span_of(colon + 1), &port) == RC_OK && port > 0 &&
	    port <= UINT16_MAX);
	return (0);
}
