/*
 * shm/feed/table.h - the tables that the map has of Redis: relay:relays and
 * relay:egress, what their records are named and must look like.
 * Context:   pure; relay-feed only.
 *
 * In the feed a record is known by its key in the map, "relays/<host>" or
 * "egress/<app>": two tables cannot be taken for each other.
 */
#ifndef RELAY_SHM_FEED_TABLE_H
#define RELAY_SHM_FEED_TABLE_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "shm/map.h"

enum table { TABLE_RELAYS, TABLE_EGRESS };
#define TABLES	2

struct table_form {
	const char	*name;		/* "egress": in hints */
	const char	*hash;		/* "relay:egress": in Redis */
	const char	*prefix;	/* "egress/": in the map */
	enum shm_kind	kind;
	const char	*record;	/* "egress": one of them, in verbs and logs */
	const char	*field;		/* "app": what its field is */
};

const struct table_form *table_form(enum table);
/* "egress": RC_OK or RC_NOTFOUND. */
enum rc table_find(struct span name, enum table *) must_check;

/* A key's table; TABLE_RELAYS for what has no table's prefix. */
enum table table_of(struct span key);
/* A key without its table's prefix. */
struct span table_field(struct span key);

/* The key of a field, any bytes of any length; the buffer is cleared first. */
struct span table_key(enum table, struct span field, struct buffer *);

/* The key as the map takes it.  False: no record can have it (the field is
 * empty, too long, or holds a NUL). */
bool table_map_key(struct span key, char out[SHM_KEY_BYTES + 1]) must_check;

#endif
