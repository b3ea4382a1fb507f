/* rpc/policy.c - roles: read, checked, and applied to a place. */
#include "lib/rpc/policy.h"

#include <string.h>

/* place of a rule: any, or one more than enum rpc_place */
#define PLACE_ANY	0
#define PLACE_LAST	(1 + RPC_PLACE_API)

struct role {
	struct span		name;
	bool			permit;		/* where no rule matches */
	const struct rpc_value	*rules;
};

struct rule {
	bool			permit;
	uint64_t		place, older_s;
	const struct rpc_value	*destinations, *addresses;
};

static bool
role_read(const struct rpc_value *v, struct role *r)
{
	return (rpc_unpack_list(v, RPC_WANT_BYTES("name", &r->name),
	    RPC_WANT_BOOL("default_permit", &r->permit),
	    RPC_WANT_LIST("rules", &r->rules)));
}

static bool
rule_read(const struct rpc_value *v, struct rule *r)
{
	return (rpc_unpack_list(v, RPC_WANT_BOOL("permit", &r->permit),
	    RPC_WANT_U64("place", &r->place),
	    RPC_WANT_LIST("destinations", &r->destinations),
	    RPC_WANT_LIST("addresses", &r->addresses),
	    RPC_WANT_U64("older_s", &r->older_s)));
}

/* ---- check ---- */

bool
rpc_policy_role_valid(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == '-'))
			return (false);
	}
	return (s.len >= 1 && s.len <= RPC_POLICY_NAME_MAX);
}

static bool
text_at(const struct rpc_value *list, size_t i, char *out, size_t size)
{
	struct span s;

	return (rpc_get_bytes(rpc_array_at(list, i), &s) &&
	    span_copy(s, out, size));
}

/* As hosts are compared: a name in another form would never match. */
static bool
destination_valid(const char *s)
{
	bool star = s[0] == '*' && s[1] == '.';

	return (host_is_canonical(star ? s + 2 : s) &&
	    !(star && host_is_ip(s + 2)));
}

static enum rc
check_rule(const struct rpc_value *v)
{
	char text[HOST_BYTES];
	struct net_cidr block;
	struct rule r;

	if (!rule_read(v, &r) || r.place > PLACE_LAST)
		return (RC_SYNTAX);
	if (rpc_array_len(r.destinations) > RPC_POLICY_PLACES_MAX ||
	    rpc_array_len(r.addresses) > RPC_POLICY_PLACES_MAX)
		return (RC_LIMIT);
	for (size_t i = 0; i < rpc_array_len(r.destinations); i++)
		if (!text_at(r.destinations, i, text, sizeof(text)) ||
		    !destination_valid(text))
			return (RC_SYNTAX);
	for (size_t i = 0; i < rpc_array_len(r.addresses); i++)
		if (!text_at(r.addresses, i, text, sizeof(text)) ||
		    net_cidr_parse(text, &block) != RC_OK)
			return (RC_SYNTAX);
	return (RC_OK);
}

/* The place of a role's name among the first n roles; n: none has it. */
static size_t
role_find(const struct rpc_value *roles, size_t n, struct span name,
    struct role *r)
{
	for (size_t i = 0; i < n; i++)
		if (role_read(rpc_array_at(roles, i), r) &&
		    span_eq(r->name, name))
			return (i);
	return (n);
}

enum rc
rpc_policy_check(const struct rpc_value *roles)
{
	size_t n = rpc_array_len(roles);
	struct role r, other;
	enum rc rc;

	if (n == SIZE_MAX)
		return (RC_SYNTAX);
	if (n > RPC_POLICY_ROLES_MAX)
		return (RC_LIMIT);
	for (size_t i = 0; i < n; i++) {
		if (!role_read(rpc_array_at(roles, i), &r) ||
		    !rpc_policy_role_valid(r.name) ||
		    role_find(roles, i, r.name, &other) != i)
			return (RC_SYNTAX);
		if (rpc_array_len(r.rules) > RPC_POLICY_RULES_MAX)
			return (RC_LIMIT);
		for (size_t k = 0; k < rpc_array_len(r.rules); k++)
			if ((rc = check_rule(rpc_array_at(r.rules, k))) !=
			    RC_OK)
				return (rc);
	}
	return (RC_OK);
}

/* ---- judge ---- */

void
rpc_policy_place_init(struct rpc_policy_place *p, const struct rpc_decrypt *d)
{
	char ip[NET_ADDR_IP_BYTES];

	memset(p, 0, sizeof(*p));
	p->kind = d->place;
	if (host_canonical(d->destination, p->destination) != RC_OK)
		p->destination[0] = '\0';
	p->destination_is_ip = net_addr_from_ip(p->destination, 0,
	    &p->destination_ip) == RC_OK;
	p->has_address = span_copy(d->address, ip, sizeof(ip)) &&
	    net_addr_from_ip(ip, 0, &p->address) == RC_OK;
}

/* The same name, or the same address in another form: an IPv4-mapped one is the
 * IPv4 address that it is. */
static bool
same_destination(const char *pattern, const struct rpc_policy_place *p)
{
	struct net_cidr one;

	if (host_match(pattern, p->destination))
		return (true);
	return (p->destination_is_ip && net_cidr_parse(pattern, &one) ==
	    RC_OK && net_cidr_has(&one, &p->destination_ip));
}

static bool
destination_matches(const struct rule *r, const struct rpc_policy_place *p)
{
	char pattern[HOST_BYTES];
	size_t n = rpc_array_len(r->destinations);

	if (n == 0)
		return (true);
	/* The key API has none, rather than one that we were not told. */
	if (p->destination[0] == '\0')
		return (!r->permit && p->kind != RPC_PLACE_API);
	for (size_t i = 0; i < n; i++)
		if (text_at(r->destinations, i, pattern, sizeof(pattern)) &&
		    same_destination(pattern, p))
			return (true);
	return (false);
}

static bool
address_matches(const struct rule *r, const struct rpc_policy_place *p)
{
	char text[HOST_BYTES];
	struct net_cidr block;
	size_t n = rpc_array_len(r->addresses);

	if (n == 0)
		return (true);
	if (!p->has_address)
		return (!r->permit);
	for (size_t i = 0; i < n; i++)
		if (text_at(r->addresses, i, text, sizeof(text)) &&
		    net_cidr_parse(text, &block) == RC_OK &&
		    net_cidr_has(&block, &p->address))
			return (true);
	return (false);
}

void
rpc_policy_select(const struct rpc_value *roles, struct span name,
    const struct rpc_policy_place *p, struct rpc_policy *out)
{
	size_t n = roles != NULL ? rpc_array_len(roles) : 0;
	struct role role;
	struct rule r;

	out->n = 0;
	if (role_find(roles, n, name, &role) == n) {
		role.permit = true;
		role.rules = NULL;
	}
	for (size_t i = 0; i < RPC_POLICY_RULES_MAX &&
	    rule_read(rpc_array_at(role.rules, i), &r); i++) {
		if ((r.place != PLACE_ANY && r.place != p->kind + 1u) ||
		    !destination_matches(&r, p) || !address_matches(&r, p))
			continue;
		out->rules[out->n].permit = r.permit;
		out->rules[out->n++].older_s = r.older_s;
		if (r.older_s == 0)
			return;
	}
	out->rules[out->n].permit = role.permit;
	out->rules[out->n++].older_s = 0;
}

enum rpc_open_status
rpc_policy_judge(const struct rpc_policy *p, uint64_t age_s)
{
	for (unsigned i = 0; i < p->n; i++) {
		bool permit = p->rules[i].permit;
		uint64_t older_s = p->rules[i].older_s;

		if (older_s != 0 && (age_s == RPC_POLICY_AGE_UNKNOWN ? permit :
		    age_s <= older_s))
			continue;
		return (permit ? RPC_OPEN_OK : older_s != 0 ?
		    RPC_OPEN_TOO_OLD : RPC_OPEN_FORBIDDEN);
	}
	return (RPC_OPEN_FORBIDDEN);	/* never selected: fail closed */
}
