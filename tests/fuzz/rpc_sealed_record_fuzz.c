/* The clear header of a sealed record: what is read, written again, is the
 * same bytes. */
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/rpc/sealed_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct rpc_record_head h;
	struct buffer out;

	(void)rpc_app_id_valid(in);
	if (rpc_record_head_read(in, &h) != RC_OK)
		return (0);
	ensure(rpc_app_id_valid(span_of(h.app)) && h.version != 0);
	buffer_init(&out, 0, false);
	rpc_record_head_write(&out, h.app, h.version);
	ensure(buffer_len(&out) == h.bytes && h.bytes < size);
	buffer_data(&out)[4] = (char)h.format;	/* the newest is written */
	ensure(memcmp(buffer_data(&out), data, h.bytes) == 0);
	buffer_fini(&out);
	return (0);
}
