/*
 * ctl/role_json.h - a data role's policy as people write it, and as the
 * engine's protocol has it.
 * Context:   pure.
 *
 *   {"default": "permit"|"forbid", "rules": [{"effect": "permit"|"forbid",
 *    "place"?: "relay"|"egress"|"api", "destinations"?: [host or *.name...],
 *    "addresses"?: [IP or CIDR...], "olderThanSeconds"?: N}]}
 *
 *   [name, default_permit, [[permit, place, [destination...], [address...],
 *    older_s]...]]
 */
#ifndef RELAY_CTL_ROLE_JSON_H
#define RELAY_CTL_ROLE_JSON_H

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/body/json_write.h"
#include "lib/rpc/codec.h"

#define ROLE_NAME_BYTES		21	/* with the NUL */
#define ROLE_JSON_BYTES_MAX	65536
#define ROLE_RULES_MAX		16
#define ROLE_LIST_MAX		16	/* destinations, or addresses, of a rule */

struct role_fault {
	char	path[64];	/* rules[0].addresses[1]; "" : the whole */
	char	reason[96];
};

/* ^[a-z0-9-]{1,20}$ */
bool role_name_valid(const char *);

/* Read the policy of role `name` and append it in the engine's form: RC_OK, or
 * RC_SYNTAX with what is wrong where and nothing appended. */
enum rc role_json_read(const char *name, struct span json,
    struct buffer *out, struct role_fault *) must_check;

/* The members "default" and "rules" of an open object; a role that is not
 * understood has none. */
void role_json_write(struct body_json_writer *, const struct rpc_value *role);

#endif
