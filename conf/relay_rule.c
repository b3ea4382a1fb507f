/*
 * conf/relay_rule.c - rules that a relay and an egress record have in common:
 * how values are sealed, what becomes of what cannot be opened, limits.
 */
#include "conf/relay_rule.h"

#define FIELDS_MAX	65536		/* of one engine call */

enum rc
relay_rule_curve(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice curves[] = {
		{ "r1", RELAY_CURVE_R1 },
		{ "k1", RELAY_CURVE_K1 },
	};
	struct relay *relay = obj;
	int curve;
	enum rc rc;

	rc = relay_read_choice(r, node, curves, RELAY_COUNT(curves), &curve);
	if (rc == RC_OK)
		relay->curve = (enum relay_curve)curve;
	return (rc);
}

enum rc
relay_rule_key_scope(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice scopes[] = {
		{ "request", RELAY_SCOPE_REQUEST },
		{ "field", RELAY_SCOPE_FIELD },
	};
	struct relay *relay = obj;
	int scope;
	enum rc rc;

	rc = relay_read_choice(r, node, scopes, RELAY_COUNT(scopes), &scope);
	if (rc == RC_OK)
		relay->key_scope = (enum relay_key_scope)scope;
	return (rc);
}

enum rc
relay_rule_existing(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice rules[] = {
		{ "verify", RELAY_EXISTING_VERIFY },
		{ "encrypt", RELAY_EXISTING_ENCRYPT },
		{ "keep", RELAY_EXISTING_KEEP },
	};
	struct relay *relay = obj;
	int rule;
	enum rc rc;

	rc = relay_read_choice(r, node, rules, RELAY_COUNT(rules), &rule);
	if (rc == RC_OK)
		relay->existing = (enum relay_existing)rule;
	return (rc);
}

enum rc
relay_rule_encrypt_empty(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;

	return (relay_read_bool(r, node, &relay->encrypt_empty_strings));
}

static enum rc
read_mismatch_rule(struct relay_reader *r, uint32_t node,
    enum relay_mismatch *out)
{
	static const struct relay_choice rules[] = {
		{ "reject", RELAY_MISMATCH_REJECT },
		{ "forward", RELAY_MISMATCH_FORWARD },
	};
	int rule;
	enum rc rc;

	rc = relay_read_choice(r, node, rules, RELAY_COUNT(rules), &rule);
	if (rc == RC_OK)
		*out = (enum relay_mismatch)rule;
	return (rc);
}

static enum rc
read_mismatch_request(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;

	return (read_mismatch_rule(r, node, &relay->mismatch_request));
}

static enum rc
read_mismatch_response(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;

	return (read_mismatch_rule(r, node, &relay->mismatch_response));
}

enum rc
relay_rule_mismatch(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "request", read_mismatch_request, false },
		{ "response", read_mismatch_response, false },
	};
	struct relay *relay = obj;
	enum rc rc;

	if (r->doc->nodes[node].type != BODY_JSON_STRING)
		return (relay_read_object(r, node, fields, RELAY_COUNT(fields),
		    obj));
	rc = read_mismatch_rule(r, node, &relay->mismatch_request);
	relay->mismatch_response = relay->mismatch_request;
	return (rc);
}

enum rc
relay_rule_undecryptable(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_choice rules[] = {
		{ "keep", RELAY_UNDECRYPTABLE_KEEP },
		{ "reject", RELAY_UNDECRYPTABLE_REJECT },
	};
	struct relay *relay = obj;
	int rule;
	enum rc rc;

	rc = relay_read_choice(r, node, rules, RELAY_COUNT(rules), &rule);
	if (rc == RC_OK)
		relay->undecryptable = (enum relay_undecryptable)rule;
	return (rc);
}

/* ---- limits ---------------------------------------------------------------- */

static enum rc
read_body_bytes(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;

	return (relay_read_uint(r, node, 1, BODY_JSON_BYTES_MAX,
	    &relay->max_body_bytes));
}

static enum rc
read_body_fields(struct relay_reader *r, uint32_t node, void *obj)
{
	struct relay *relay = obj;
	uint64_t fields;
	enum rc rc = relay_read_uint(r, node, 1, FIELDS_MAX, &fields);

	if (rc == RC_OK)
		relay->max_body_fields = (unsigned)fields;
	return (rc);
}

enum rc
relay_rule_limits(struct relay_reader *r, uint32_t node, void *obj)
{
	static const struct relay_field fields[] = {
		{ "bodyBytes", read_body_bytes, false },
		{ "fields", read_body_fields, false },
		{ "fileBytes", NULL, false },
		{ "requestsPerSecond", NULL, false },
	};

	return (relay_read_object(r, node, fields, RELAY_COUNT(fields), obj));
}
