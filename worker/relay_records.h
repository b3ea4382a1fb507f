/*
 * worker/relay_records.h - an app's records in the map, as the REST API wants
 * them: by relay id, with the custom domains that belong to it.
 * Context:   the loop's thread.
 * Ownership: records are copies.
 *
 * A relay is one record, and one more for each custom domain: the same JSON
 * with the same id under another host name.
 */
#ifndef RELAY_WORKER_RELAY_RECORDS_H
#define RELAY_WORKER_RELAY_RECORDS_H

#include "worker/relay_record.h"
#include "worker/route.h"

struct relay_entry {
	char			host[HOST_BYTES];
	struct relay_identity	is;
	bool			custom;		/* a custom domain of another */
	struct buffer		json;		/* owned: byte for byte */
};

struct relay_records {
	struct relay_entry	*v;	/* owned; relays before their domains */
	size_t			n;
	size_t			cap;
	uint64_t		bytes;	/* of all the JSON */
};
void relay_records_fini(struct relay_records *);

/*
 * Of this app; of one relay, or all of them (id NULL), relays first, by host
 * name.  Into a zeroed one.  RC_OK, also with none; RC_UNAVAILABLE, RC_IO,
 * RC_CORRUPT, RC_NOMEM: the map cannot say.
 */
enum rc relay_records_find(struct route_table *, const char *app,
    const char *id, struct relay_records *out) must_check;

/* The egress record of an app, byte for byte: RC_OK, RC_NOTFOUND, or as above. */
enum rc relay_records_egress(struct route_table *, const char *app,
    struct buffer *out) must_check;

#endif
