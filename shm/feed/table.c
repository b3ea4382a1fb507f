/* shm/feed/table.c - see table.h. */
#include "shm/feed/table.h"

#include <string.h>

#include "lib/base/object.h"

static const struct table_form forms[TABLES] = {
	[TABLE_RELAYS] = { "relays", "relay:relays", SHM_RELAYS,
	    SHM_KIND_RELAY, "relay", "host" },
	[TABLE_EGRESS] = { "egress", "relay:egress", SHM_EGRESS,
	    SHM_KIND_EGRESS, "egress", "app" },
};

const struct table_form *
table_form(enum table t)
{
	ensure((unsigned)t < TABLES);
	return (&forms[t]);
}

enum rc
table_find(struct span name, enum table *out)
{
	for (unsigned t = 0; t < TABLES; t++)
		if (span_eq_str(name, forms[t].name)) {
			*out = (enum table)t;
			return (RC_OK);
		}
	return (RC_NOTFOUND);
}

static bool
has_prefix(struct span key, const char *prefix)
{
	size_t len = strlen(prefix);

	return (key.len >= len && memcmp(key.p, prefix, len) == 0);
}

enum table
table_of(struct span key)
{
	return (has_prefix(key, SHM_EGRESS) ? TABLE_EGRESS : TABLE_RELAYS);
}

struct span
table_field(struct span key)
{
	const char *prefix = forms[table_of(key)].prefix;

	if (has_prefix(key, prefix)) {
		key.p += strlen(prefix);
		key.len -= strlen(prefix);
	}
	return (key);
}

struct span
table_key(enum table t, struct span field, struct buffer *b)
{
	buffer_clear(b);
	buffer_puts(b, table_form(t)->prefix);
	buffer_put(b, field.p, field.len);
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

bool
table_map_key(struct span key, char out[SHM_KEY_BYTES + 1])
{
	return (table_field(key).len > 0 &&
	    span_copy(key, out, SHM_KEY_BYTES + 1));
}
