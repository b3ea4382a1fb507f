/* A record of the map: read, or refused; what is read is written the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "shm/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shm_record r;
	struct buffer b;

	if (shm_record_read(data, size, &r) != RC_OK)
		return (0);
	buffer_init(&b, 0, false);
	ensure(shm_record_write(&b, &r) == RC_OK);
	ensure(buffer_len(&b) == size);
	ensure(memcmp(buffer_data(&b), data, size) == 0);
	buffer_fini(&b);
	return (0);
}
