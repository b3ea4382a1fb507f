/*
 * conf/relay_json.h - the relay JSON (design.md section 5): schema, validation
 * with the path of the fault, compiled selectors.  The one validator of feed,
 * relayctl and worker.
 * Context:   pure.  A relay is immutable after parsing and reference counted,
 *            not atomically: one thread per process holds relays.
 *
 * Unknown fields are refused; so is every known field, value, selector
 * feature or type that this version does not carry out ("... not available in
 * this version").
 */
#ifndef RELAY_CONF_RELAY_JSON_H
#define RELAY_CONF_RELAY_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/relay_path.h"
#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/body/jsonpath.h"

#define RELAY_JSON_BYTES_MAX	(1u << 20)
#define RELAY_ROUTES_MAX	1024
#define RELAY_ACTIONS_MAX	16	/* per direction of one route */
#define RELAY_SELECTIONS_MAX	256	/* per action */

enum relay_action_kind { RELAY_ENCRYPT, RELAY_DECRYPT };
enum relay_curve { RELAY_CURVE_R1, RELAY_CURVE_K1 };
enum relay_key_scope { RELAY_SCOPE_REQUEST, RELAY_SCOPE_FIELD };
enum relay_existing {
	RELAY_EXISTING_VERIFY,	/* what opens for this app passes */
	RELAY_EXISTING_KEEP,	/* what has the form of a token passes */
	RELAY_EXISTING_ENCRYPT	/* everything is sealed */
};
enum relay_undecryptable { RELAY_UNDECRYPTABLE_KEEP, RELAY_UNDECRYPTABLE_REJECT };
enum relay_mismatch {
	RELAY_MISMATCH_DEFAULT,	/* reject what is sealed, forward the rest */
	RELAY_MISMATCH_REJECT,
	RELAY_MISMATCH_FORWARD
};

enum relay_selection_kind {
	RELAY_SELECT_JSON,	/* a JSONPath */
	RELAY_SELECT_FORM,	/* a form field's exact name */
	RELAY_SELECT_HEADER,	/* a field name, any case */
	RELAY_SELECTION_KINDS
};

struct relay_selection {
	enum relay_selection_kind kind;
	char			*selector;	/* owned: its text */
	struct body_jsonpath	*path;		/* owned; JSON only */
	char			*role;		/* owned; NULL: none */
};

/* The selections of one kind, as lib/body takes them; all views. */
struct relay_selections {
	size_t				n;
	const struct relay_selection	**v;
	const struct body_jsonpath	**paths;	/* JSON only */
	struct span			*names;		/* the selectors */
};

struct relay_action {
	enum relay_action_kind	kind;
	struct relay_selection	*selections;	/* owned, in document order */
	size_t			n_selections;
	struct relay_selections	of[RELAY_SELECTION_KINDS];	/* owned arrays */
};

struct relay_route {
	char			*method;	/* owned; NULL: every method */
	char			*path;		/* owned pattern */
	struct relay_action	*request;	/* owned, applied in order */
	size_t			n_request;
	struct relay_action	*response;
	size_t			n_response;
};

struct relay {
	unsigned		magic;
#define RELAY_MAGIC		0x3e1a77c2
	unsigned		refs;
	char			*app;
	enum relay_curve	curve;
	enum relay_key_scope	key_scope;
	enum relay_existing	existing;
	enum relay_undecryptable undecryptable;
	enum relay_mismatch	mismatch_request;
	enum relay_mismatch	mismatch_response;
	bool			api_key;	/* callers must present one */
	bool			encrypt_empty_strings;
	/* destination */
	char			*host;		/* destinationDomain, canonical */
	uint16_t		port;		/* 443 */
	char			*server_name;	/* SNI and name verified; = host */
	char			*ca;		/* PEM text, or NULL */
	bool			min_tls_13;	/* minTls "1.3" */
	bool			plain;		/* egress: no TLS to it */
	bool			guarded;	/* an address that is not public
						   is refused: egress, relays
						   of the key API ... */
	bool			internal;	/* egress: ... unless this says
						   so */
	unsigned		connect_timeout_ms;	/* 0: conf's */
	unsigned		response_timeout_ms;	/* 0: conf's */
	/* limits; 0: conf's */
	uint64_t		max_body_bytes;
	unsigned		max_body_fields;
	struct relay_route	*routes;	/* owned, or those of routes_of */
	size_t			n_routes;
	struct relay		*routes_of;	/* owned reference; NULL: ours */
};

struct relay_fault {
	char	path[256];	/* "routes[0].request[0].action"; "" = whole */
	char	reason[256];	/* never holds a value of the document, except
				   a field's own name */
};

/*
 * RC_OK: one reference for the caller.  RC_SYNTAX, RC_UNSUPPORTED ("not
 * available in this version"), RC_LIMIT with *fault: the first fault in
 * document order.  RC_NOMEM.
 *
 * `onMismatch`, `existingTokens` and `onUndecryptable` are fields of the
 * relay.  `onMismatch` is an object with a rule for each direction,
 * {"request": "reject", "response": "forward"}, each optional, or one string
 * for both.
 */
enum rc relay_json_parse(struct span json, struct relay **out,
    struct relay_fault *fault) must_check;

/* An action of this list has a selection of this kind. */
bool relay_actions_select(const struct relay_action *, size_t n,
    enum relay_selection_kind);
/* A field of this name is what a header selector chooses: any case, and `_`
 * for `-`, since CGI-like readers (WSGI, PHP, Rack) do not tell them apart. */
bool relay_field_is(struct span name, const char *selector);
/* An action of this list has a header selection of this name. */
bool relay_actions_name_field(const struct relay_action *, size_t n,
    struct span name);
/* An action of this list encrypts. */
bool relay_actions_encrypt(const struct relay_action *, size_t n);

/* Every default, and nothing else; the caller fills in app and host. */
struct relay *relay_new(void);
/* One destination under the rules and routes of another relay, which has
 * neither a destination nor a `ca` of its own. */
struct relay *relay_for(struct relay *rules, const char *host, uint16_t port);

struct relay *relay_ref(struct relay *);
void relay_unref(struct relay **);

#endif
