/*
 * worker/relay_record.h - a relay as the REST API shows it, and as it stands in
 * relay:relays (spec/inbound.md 1, 2): made, changed, shown.
 * Context:   pure; fuzzed.
 *
 * The record is the API's object itself; what the API sets is `app`, `id`,
 * `evervaultDomain`, `createdAt` and `updatedAt`.  A record that came another
 * way may lack them: its id follows from its host name.  What the API makes
 * says `"internal": false`; a record that the operator made keeps its own.
 */
#ifndef RELAY_WORKER_RELAY_RECORD_H
#define RELAY_WORKER_RELAY_RECORD_H

#include "conf/relay_json.h"
#include "lib/base/buffer.h"
#include "lib/base/host.h"
#include "lib/rpc/sealed_record.h"

#define RELAY_ID_PREFIX		"relay_destination_"
#define RELAY_DOMAIN_PREFIX	"custom_domain_"
#define RELAY_ID_BYTES		40	/* prefix, 12 hex digits, room */

/* What is read of a record. */
struct relay_identity {
	char		app[RPC_APP_ID_BYTES];
	char		id[RELAY_ID_BYTES];
	char		domain[HOST_BYTES];	/* evervaultDomain; = host when
						   the record has none */
	uint64_t	created_ms, updated_ms;	/* 0: not known */
	bool		guarded;	/* "internal": false */
};

/* host: the record's field in relay:relays.  RC_SYNTAX: no relay. */
enum rc relay_record_identify(struct span record, const char *host,
    struct relay_identity *out) must_check;

/* The body of POST, as a record with these marks.  RC_OK; RC_SYNTAX,
 * RC_UNSUPPORTED, RC_LIMIT: *fault says what is wrong with it. */
enum rc relay_record_create(struct span body, const struct relay_identity *,
    struct buffer *out, struct relay_fault *fault) must_check;

/* The record with the body of PATCH: members that it names are replaced, the
 * others stay.  As above. */
enum rc relay_record_change(struct span record, const char *host,
    struct span body, uint64_t now_ms, struct buffer *out,
    struct relay_fault *fault) must_check;

/* The same relay under another host name. */
enum rc relay_record_alias(struct span record, const char *host,
    uint64_t now_ms, struct buffer *out) must_check;

/* Append the API's object.  RC_SYNTAX: no relay. */
enum rc relay_record_show(struct span record, const char *host,
    struct buffer *out) must_check;

/*
 * The managed host name (spec/inbound.md 1): the destination with '-' for '.',
 * the app with '-' for '_', the suffix.  RC_SYNTAX: that is no host name.
 */
enum rc relay_record_domain(const char *destination, const char *app,
    const char *suffix, char out[HOST_BYTES]) must_check;

/* An id that follows from a host name. */
void relay_record_id(const char *prefix, const char *host,
    char out[RELAY_ID_BYTES]);

/* The body's destinationDomain, canonical; {"customDomain"} of a custom domain.
 * RC_SYNTAX with *fault. */
enum rc relay_record_host_of(struct span body, const char *member,
    char out[HOST_BYTES], struct relay_fault *fault) must_check;

#endif
