/*
 * helper/announcement.h - what an engine's helper says of it in Redis, as text
 * and back.
 * Context:   pure.
 */
#ifndef RELAY_E3_HELPER_ANNOUNCEMENT_H
#define RELAY_E3_HELPER_ANNOUNCEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "e3/helper/engine_stats.h"
#include "lib/base/buffer.h"
#include "lib/base/result.h"
#include "lib/base/string.h"

#define ANNOUNCEMENT_NAME_BYTES		128	/* name, "@", host, NUL */
#define ANNOUNCEMENT_ADDRESS_BYTES	264	/* host:port, NUL */

struct announcement {
	char		name[ANNOUNCEMENT_NAME_BYTES];
	char		address[ANNOUNCEMENT_ADDRESS_BYTES];	/* or "" */
	bool		draining;	/* else ready */
	bool		resealing;	/* it knows a next root key */
	bool		has_checksum;
	uint8_t		checksum[ENGINE_CHECKSUM_BYTES];
	uint64_t	apps;
	uint64_t	keys_epoch;
};

/* "<name>@<host>" of letters, digits, dots, hyphens and underscores; what is
 * none of these becomes a hyphen, what is too long is cut. */
void announcement_name(const char *name, const char *host,
    char out[ANNOUNCEMENT_NAME_BYTES]);

/* Append the JSON object. */
void announcement_write(const struct announcement *, struct buffer *out);

/* text is foreign.  RC_OK; RC_SYNTAX: not an announcement of this name. */
enum rc announcement_read(struct span text, struct span name,
    struct announcement *) must_check;

#endif
