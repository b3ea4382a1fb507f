/* helper/engine_stats.c - GetStatistics to JSON, member by member. */
#include "e3/helper/engine_stats.h"

#include "lib/body/json_write.h"

#define CHECKSUM_BYTES	32

static const char *const counters[] = {
	"keys_epoch", "apps", "keys", "calls", "fields_sealed",
	"fields_opened", "refused", "queue", "links", "uptime_ms",
};

void
engine_stats_json(const struct rpc_value *body, struct buffer *out,
    uint64_t *links)
{
	struct body_json_writer w;
	struct span sum;
	char hex[2 * CHECKSUM_BYTES + 1];
	uint64_t n;
	bool ready;

	buffer_clear(out);
	*links = 0;
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	if (rpc_get_bool(rpc_map_get(body, "ready"), &ready))
		body_json_put_bool(&w, "ready", ready);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		if (rpc_get_u64(rpc_map_get(body, counters[i]), &n))
			body_json_put_u64(&w, counters[i], n);
	if (rpc_get_bytes(rpc_map_get(body, "checksum"), &sum) &&
	    sum.len == CHECKSUM_BYTES) {
		hex_encode(sum.p, sum.len, hex);
		body_json_put_str(&w, "checksum", hex);
	}
	body_json_close_object(&w);
	(void)rpc_get_u64(rpc_map_get(body, "links"), links);
}
