/*
 * conf/egress_json.h - an egress record (relay:egress): which destinations an
 * app may reach, and what becomes of their answers; schema, validation with
 * the path of the fault.  The one validator of feed, relayctl and worker.
 * Context:   pure.  A record is immutable after parsing and reference counted,
 *            not atomically: one thread per process holds records.
 *
 * {"destinations": [{"host", "port", "methods", "paths", "internal"}],
 *  "responses": [routes as in a relay, with response actions only],
 *  "curve", "keyScope", "existingTokens", "encryptEmptyStrings",
 *  "onMismatch", "onUndecryptable", "limits": as in a relay}
 *
 * Every field is optional.  Unknown fields are refused.  A host is a name, an
 * IP address, or `*.suffix`, which stands for names with one label or more in
 * front of the suffix, and for no address.
 */
#ifndef RELAY_CONF_EGRESS_JSON_H
#define RELAY_CONF_EGRESS_JSON_H

#include "conf/relay_json.h"

#define EGRESS_APP_ID_LEN	16	/* "app_" and 12 hex digits */
#define EGRESS_DESTINATIONS_MAX	1024
#define EGRESS_METHODS_MAX	16	/* of one destination */
#define EGRESS_PATHS_MAX	256	/* of one destination */

struct egress_destination {
	char		*host;		/* owned: canonical, or "*.suffix" */
	uint16_t	port;		/* 443 */
	char		**methods;	/* owned; NULL: every method */
	size_t		n_methods;
	char		**paths;	/* owned patterns; NULL: every path */
	size_t		n_paths;
	bool		internal;	/* private addresses, too */
};

struct egress {
	unsigned			magic;
#define EGRESS_MAGIC			0x5be0c917
	unsigned			refs;
	/* There is no field `destinations`: conf's egress_default decides, and
	 * the functions below allow every destination. */
	bool				any;
	struct egress_destination	*destinations;	/* owned; any of them */
	size_t				n_destinations;
	struct relay			*rules;		/* owned reference */
};

/* "app_" and 12 lower-case hex digits: what a field of relay:egress must be.
 * app_system is none. */
bool egress_is_app(struct span);

/* As relay_json_parse; app: the field that the record stands in. */
enum rc egress_json_parse(struct span app, struct span json,
    struct egress **out, struct relay_fault *fault) must_check;

/* host is canonical in all of these.  A destination fits host and port: for
 * CONNECT, before there is a request. */
bool egress_allows(const struct egress *, const char *host, uint16_t port);
/* A destination fits the request, too.  GET stands for HEAD.  path: the normal
 * form of lib/http/uri.h; p NULL where the destination may read another path,
 * which only one without `paths` allows. */
bool egress_allows_request(const struct egress *, const char *host,
    uint16_t port, struct span method, struct span path);
/* A destination that fits says `internal`; without a method (p NULL) only
 * host and port count.  False where `any` decides. */
bool egress_is_internal(const struct egress *, const char *host, uint16_t port,
    struct span method, struct span path);

/* A rule seals a part of some answer: what cannot be read must not come back. */
bool egress_seals(const struct egress *);

/* A destination says `internal` that did not in `was` (NULL: no record), or not
 * for this method or path: what may be reached inside is for the operator to
 * say, and not for an app's key.  *at: the first of them, by its place in
 * `destinations`; 0 if none. */
bool egress_adds_internal(const struct egress *, const struct egress *was,
    size_t *at);

/* The relay for one destination, with response actions only; one reference for
 * the caller.  It does not need the record to live. */
struct relay *egress_relay(struct egress *, const char *host, uint16_t port);
/* The same for an app that has no record. */
struct relay *egress_relay_any(const char *app, const char *host,
    uint16_t port);

struct egress *egress_ref(struct egress *);
void egress_unref(struct egress **);

#endif
