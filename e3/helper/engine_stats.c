/* helper/engine_stats.c - GetStatistics to JSON, member by member. */
#include "e3/helper/engine_stats.h"

#include <string.h>

#include "lib/body/json_write.h"

static const char *const flags[] = { "ready", "draining", "resealing" };

/* In the order of the operations manual. */
static const char *const counters[] = {
	"uptime_ms", "apps", "keys", "pairs", "resealed", "keys_epoch", "calls",
	"fields_sealed", "fields_opened", "refused", "refused_role",
	"refused_early", "refused_signature", "refused_limit", "rate_limited",
	"cancelled", "queue", "queue_cost", "queue_full", "slices",
	"candidates", "candidates_capped", "ready_pairs", "links", "threads",
	"cpu_ms", "memory_bytes",
};

static void
read_facts(const struct rpc_value *body, struct engine_facts *f)
{
	struct span sum;

	memset(f, 0, sizeof(*f));
	f->known = true;
	(void)rpc_get_bool(rpc_map_get(body, "draining"), &f->draining);
	(void)rpc_get_bool(rpc_map_get(body, "resealing"), &f->resealing);
	(void)rpc_get_u64(rpc_map_get(body, "apps"), &f->apps);
	(void)rpc_get_u64(rpc_map_get(body, "resealed"), &f->resealed);
	(void)rpc_get_u64(rpc_map_get(body, "keys_epoch"), &f->keys_epoch);
	(void)rpc_get_u64(rpc_map_get(body, "links"), &f->links);
	f->has_checksum = rpc_get_bytes(rpc_map_get(body, "checksum"), &sum) &&
	    sum.len == sizeof(f->checksum);
	if (f->has_checksum)
		memcpy(f->checksum, sum.p, sizeof(f->checksum));
}

void
engine_stats_read(const struct rpc_value *body, struct buffer *out,
    struct engine_facts *facts)
{
	char hex[2 * ENGINE_CHECKSUM_BYTES + 1];
	struct body_json_writer w;
	uint64_t n;
	bool on;

	buffer_clear(out);
	read_facts(body, facts);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (rpc_get_bool(rpc_map_get(body, flags[i]), &on))
			body_json_put_bool(&w, flags[i], on);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		if (rpc_get_u64(rpc_map_get(body, counters[i]), &n))
			body_json_put_u64(&w, counters[i], n);
	if (facts->has_checksum) {
		hex_encode(facts->checksum, sizeof(facts->checksum), hex);
		body_json_put_str(&w, "checksum", hex);
	}
	body_json_close_object(&w);
}
