/*
 * rpc/policy.h - data roles: may a value with this role be opened for this
 * place, at this age?
 * Context:   pure; fuzzed.  Any thread.
 *
 *   roles   [role...]         role  [name, default_permit, [rule...]]
 *   rule    [permit, place, [destination...], [address...], older_s]
 *
 * What a token says of its role and age was written by whoever had the public
 * key; a policy binds what our own engines sealed.  Where the place or the age
 * is not known, a rule that forbids matches and one that permits does not.
 */
#ifndef RELAY_RPC_POLICY_H
#define RELAY_RPC_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/host.h"
#include "lib/net/addr.h"
#include "lib/rpc/message.h"

#define RPC_POLICY_NAME_MAX	20	/* of a role: what SDKs write in metadata */
#define RPC_POLICY_ROLES_MAX	64	/* per app */
#define RPC_POLICY_RULES_MAX	16	/* per role */
#define RPC_POLICY_PLACES_MAX	16	/* destinations, and addresses, of a rule */

/* [a-z0-9-]{1,20} */
bool rpc_policy_role_valid(struct span);

/* RC_OK; RC_SYNTAX: not as above, or a name twice; RC_LIMIT. */
enum rc rpc_policy_check(const struct rpc_value *roles) must_check;

/* Where the values of one call go. */
struct rpc_policy_place {
	enum rpc_place	kind;
	char		destination[HOST_BYTES];	/* "": not known */
	struct net_addr	destination_ip;
	bool		destination_is_ip;
	struct net_addr	address;
	bool		has_address;
};
void rpc_policy_place_init(struct rpc_policy_place *,
    const struct rpc_decrypt *);

/* A role's rules that apply to one place, up to the first that asks for no
 * age: it decides for all tokens that come so far. */
struct rpc_policy {
	unsigned	n;
	struct {
		bool		permit;
		uint64_t	older_s;	/* 0: any age */
	} rules[RPC_POLICY_RULES_MAX + 1];
};
/* roles: checked before.  A role without a policy, and none, is permitted. */
void rpc_policy_select(const struct rpc_value *roles, struct span role,
    const struct rpc_policy_place *, struct rpc_policy *);

#define RPC_POLICY_AGE_UNKNOWN	UINT64_MAX
/* RPC_OPEN_OK, RPC_OPEN_FORBIDDEN or RPC_OPEN_TOO_OLD. */
enum rpc_open_status rpc_policy_judge(const struct rpc_policy *,
    uint64_t age_s);

#endif
