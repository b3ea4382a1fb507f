/* lib/rpc/policy.c: what a roles value may be, and what it says of a place. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/rpc/policy.h"

/* A rule, short: { AT(PERMIT, RELAY), TO { "a.test" }, OLDER 60 } */
#define AT(may, where)	.permit = (may), .place = (where)
#define TO		.destinations =
#define FROM		.addresses =
#define OLDER		.older_s =
struct rule {
	bool		permit;
	unsigned	place;
	const char	*destinations[4], *addresses[4];
	uint64_t	older_s;
};

static void
put_texts(struct buffer *b, const char *const texts[4])
{
	size_t n = 0;

	while (n < 4 && texts[n] != NULL)
		n++;
	rpc_put_array(b, n);
	for (size_t i = 0; i < n; i++)
		rpc_put_str(b, texts[i]);
}

static void
put_rule(struct buffer *b, const struct rule *r)
{
	rpc_put_array(b, 5);
	rpc_put_bool(b, r->permit);
	rpc_put_u64(b, r->place);
	put_texts(b, r->destinations);
	put_texts(b, r->addresses);
	rpc_put_u64(b, r->older_s);
}

static void
put_role(struct buffer *b, const char *name, bool permit,
    const struct rule *rules, size_t n)
{
	rpc_put_array(b, 3);
	rpc_put_str(b, name);
	rpc_put_bool(b, permit);
	rpc_put_array(b, n);
	for (size_t i = 0; i < n; i++)
		put_rule(b, &rules[i]);
}

static enum rc
check(struct buffer *b)
{
	struct rpc_document doc;
	enum rc rc;

	assert_int_equal(rpc_document_read(&doc, buffer_data(b),
	    buffer_len(b)), RC_OK);
	rc = rpc_policy_check(doc.root);
	rpc_document_fini(&doc);
	buffer_clear(b);
	return (rc);
}

/* ---- judgement ---- */

#define PERMIT	true
#define FORBID	false
enum { ANY, RELAY, EGRESS, API };

struct judged {
	bool		default_permit;
	struct rule	rules[4];
	size_t		n;
	const char	*role;		/* the token's; "" none */
	enum rpc_place	place;
	const char	*destination, *address;
	uint64_t	age_s;
	enum rpc_open_status want;
};

#define OK	RPC_OPEN_OK
#define NO	RPC_OPEN_FORBIDDEN
#define OLD	RPC_OPEN_TOO_OLD
#define HERE	"pci", RPC_PLACE_RELAY, "shop.test", "10.1.2.3", 60

static const struct judged judged[] = {
	/* no rule: the default; no policy, no role: permitted */
	{ PERMIT, { { 0 } }, 0, HERE, OK },
	{ FORBID, { { 0 } }, 0, HERE, NO },
	{ FORBID, { { 0 } }, 0, "other", RPC_PLACE_API, "", "", 0, OK },
	{ FORBID, { { 0 } }, 0, "", RPC_PLACE_API, "", "", 0, OK },
	{ FORBID, { { 0 } }, 0, "pc", RPC_PLACE_API, "", "", 0, OK },
	/* place */
	{ FORBID, { { AT(PERMIT, ANY) } }, 1, HERE, OK },
	{ FORBID, { { AT(PERMIT, RELAY) } }, 1, HERE, OK },
	{ FORBID, { { AT(PERMIT, EGRESS) } }, 1, HERE, NO },
	{ FORBID, { { AT(PERMIT, API) } }, 1, HERE, NO },
	{ PERMIT, { { AT(FORBID, EGRESS) } }, 1, "pci", RPC_PLACE_EGRESS, "a.test",
	    "10.1.2.3", 0, NO },
	{ PERMIT, { { AT(FORBID, API) } }, 1, "pci", RPC_PLACE_API, "", "", 0, NO },
	{ PERMIT, { { AT(FORBID, RELAY) } }, 1, "pci", RPC_PLACE_API, "", "", 0,
	    OK },
	/* destination */
	{ FORBID, { { AT(PERMIT, ANY), TO { "shop.test" } } }, 1, HERE, OK },
	{ FORBID, { { AT(PERMIT, ANY), TO { "a.test", "shop.test" } } }, 1, HERE,
	    OK },
	{ FORBID, { { AT(PERMIT, ANY), TO { "shop.tes", "hop.test" } } }, 1, HERE,
	    NO },
	{ FORBID, { { AT(PERMIT, ANY), TO { "*.test" } } }, 1, HERE, OK },
	{ FORBID, { { AT(PERMIT, ANY), TO { "*.shop.test" } } }, 1, HERE, NO },
	{ FORBID, { { AT(PERMIT, ANY), TO { "shop.test" } } }, 1, "pci",
	    RPC_PLACE_EGRESS, "SHOP.test.", "", 0, OK },
	{ FORBID, { { AT(PERMIT, ANY), TO { "*.test" } } }, 1, "pci",
	    RPC_PLACE_EGRESS, "a.b.test", "", 0, NO },
	/* an address is one destination in each of its forms */
	{ PERMIT, { { AT(FORBID, ANY), TO { "10.9.8.7" } } }, 1, "pci",
	    RPC_PLACE_EGRESS, "10.9.8.7", "", 0, NO },
	{ PERMIT, { { AT(FORBID, ANY), TO { "10.9.8.7" } } }, 1, "pci",
	    RPC_PLACE_EGRESS, "[::ffff:10.9.8.7]", "", 0, NO },
	{ PERMIT, { { AT(FORBID, ANY), TO { "::ffff:10.9.8.7" } } }, 1, "pci",
	    RPC_PLACE_EGRESS, "10.9.8.7", "", 0, NO },
	{ PERMIT, { { AT(FORBID, ANY), TO { "10.9.8.7" } } }, 1, "pci",
	    RPC_PLACE_EGRESS, "[::ffff:10.9.8.8]", "", 0, OK },
	/* address */
	{ FORBID, { { AT(PERMIT, ANY), FROM { "10.0.0.0/8" } } }, 1, HERE,
	    OK },
	{ FORBID, { { AT(PERMIT, ANY), FROM { "10.1.2.3" } } }, 1, HERE, OK },
	{ FORBID, { { AT(PERMIT, ANY), FROM { "10.1.2.4", "::1" } } }, 1,
	    HERE, NO },
	{ PERMIT, { { AT(FORBID, ANY), FROM { "2001:db8::/32" } } }, 1, "pci",
	    RPC_PLACE_API, "", "2001:db8::7", 0, NO },
	{ PERMIT, { { AT(FORBID, ANY), FROM { "10.0.0.0/8" } } }, 1, "pci",
	    RPC_PLACE_API, "", "::ffff:10.9.9.9", 0, NO },
	/* both must match */
	{ FORBID, { { AT(PERMIT, RELAY), TO { "shop.test" }, FROM { "10.0.0.0/8" } } }, 1,
	    HERE, OK },
	{ FORBID, { { AT(PERMIT, RELAY), TO { "shop.test" }, FROM { "11.0.0.0/8" } } }, 1,
	    HERE, NO },
	{ FORBID, { { AT(PERMIT, RELAY), TO { "shop2.test" }, FROM { "10.0.0.0/8" } } }, 1,
	    HERE, NO },
	/* what is not known: a forbid holds, a permit does not */
	{ PERMIT, { { AT(FORBID, ANY), FROM { "10.0.0.0/8" } } }, 1, "pci",
	    RPC_PLACE_API, "", "", 0, NO },
	{ FORBID, { { AT(PERMIT, ANY), FROM { "0.0.0.0/0" } } }, 1, "pci",
	    RPC_PLACE_API, "", "unix", 0, NO },
	{ PERMIT, { { AT(FORBID, ANY), TO { "shop.test" } } }, 1, "pci",
	    RPC_PLACE_EGRESS, "", "10.1.2.3", 0, NO },
	{ PERMIT, { { AT(FORBID, ANY), TO { "shop.test" } } }, 1, "pci",
	    RPC_PLACE_EGRESS, "not a host", "10.1.2.3", 0, NO },
	{ FORBID, { { AT(PERMIT, ANY), TO { "*.test" } } }, 1, "pci",
	    RPC_PLACE_RELAY, "", "10.1.2.3", 0, NO },
	{ PERMIT, { { AT(FORBID, ANY), TO { "shop.test" } } }, 1, "pci",
	    RPC_PLACE_API, "", "10.1.2.3", 0, OK },
	/* age */
	{ PERMIT, { { AT(FORBID, ANY), OLDER 59 } }, 1, HERE, OLD },
	{ PERMIT, { { AT(FORBID, ANY), OLDER 60 } }, 1, HERE, OK },
	{ FORBID, { { AT(PERMIT, ANY), OLDER 59 } }, 1, HERE, OK },
	{ FORBID, { { AT(PERMIT, ANY), OLDER 60 } }, 1, HERE, NO },
	{ PERMIT, { { AT(FORBID, ANY), OLDER UINT64_MAX } }, 1, HERE,
	    OK },
	{ PERMIT, { { AT(FORBID, ANY), OLDER 59 } }, 1, "pci",
	    RPC_PLACE_RELAY, "shop.test", "10.1.2.3", RPC_POLICY_AGE_UNKNOWN, OLD },
	{ FORBID, { { AT(PERMIT, ANY), OLDER 59 } }, 1, "pci",
	    RPC_PLACE_RELAY, "shop.test", "10.1.2.3", RPC_POLICY_AGE_UNKNOWN, NO },
	/* order: the first that matches */
	{ FORBID, { { AT(FORBID, API) }, { AT(PERMIT, RELAY) }, { AT(FORBID, ANY) } }, 3,
	    HERE, OK },
	{ PERMIT, { { AT(FORBID, ANY) }, { AT(PERMIT, RELAY) } }, 2, HERE, NO },
	{ FORBID, { { AT(FORBID, ANY), OLDER 30 }, { AT(PERMIT, ANY) } },
	    2, HERE, OLD },
	{ FORBID, { { AT(FORBID, ANY), OLDER 90 }, { AT(PERMIT, ANY) } },
	    2, HERE, OK },
	{ FORBID, { { AT(FORBID, API), OLDER 30 }, { AT(PERMIT, ANY) } },
	    2, HERE, OK },
};

static void
test_judgement(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(judged) / sizeof(judged[0]); i++) {
		const struct judged *j = &judged[i];
		const struct rpc_decrypt d = { .place = j->place,
		    .destination = span_of(j->destination),
		    .address = span_of(j->address) };
		struct rpc_policy_place place;
		struct rpc_policy policy;
		struct rpc_document doc;
		enum rpc_open_status got;
		struct buffer b;

		buffer_init(&b, 0, false);
		rpc_put_array(&b, 3);
		put_role(&b, "a-first", !j->default_permit, NULL, 0);
		put_role(&b, "pci", j->default_permit, j->rules, j->n);
		put_role(&b, "z", !j->default_permit, NULL, 0);
		assert_int_equal(rpc_document_read(&doc, buffer_data(&b),
		    buffer_len(&b)), RC_OK);
		assert_int_equal(rpc_policy_check(doc.root), RC_OK);
		rpc_policy_place_init(&place, &d);
		rpc_policy_select(doc.root, span_of(j->role), &place, &policy);
		got = rpc_policy_judge(&policy, j->age_s);
		if (got != j->want)
			fail_msg("case %zu: %d, wanted %d", i, (int)got,
			    (int)j->want);
		rpc_document_fini(&doc);
		buffer_fini(&b);
	}
}

/* No roles at all, and a policy that nobody selected. */
static void
test_edges(void **state)
{
	const struct rpc_decrypt d = { .place = RPC_PLACE_API };
	struct rpc_policy policy = { .n = 0 };
	struct rpc_policy_place place;

	(void)state;
	assert_int_equal(rpc_policy_judge(&policy, 0), RPC_OPEN_FORBIDDEN);
	rpc_policy_place_init(&place, &d);
	rpc_policy_select(NULL, SPAN_LIT("pci"), &place, &policy);
	assert_int_equal(rpc_policy_judge(&policy, 0), RPC_OPEN_OK);
}

/* ---- check ---- */

static void
test_limits(void **state)
{
	static const struct {
		size_t	roles, rules, destinations, addresses;
		enum rc	want;
	} cases[] = {
		{ 0, 0, 0, 0, RC_OK }, { 64, 0, 0, 0, RC_OK },
		{ 65, 0, 0, 0, RC_LIMIT }, { 1, 16, 0, 0, RC_OK },
		{ 1, 17, 0, 0, RC_LIMIT }, { 1, 1, 16, 16, RC_OK },
		{ 1, 1, 17, 0, RC_LIMIT }, { 1, 1, 0, 17, RC_LIMIT },
		{ 2, 16, 16, 16, RC_OK },
	};
	struct buffer b;
	char name[32];

	(void)state;
	buffer_init(&b, 0, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rpc_put_array(&b, cases[i].roles);
		for (size_t r = 0; r < cases[i].roles; r++) {
			rpc_put_array(&b, 3);
			(void)snprintf(name, sizeof(name), "role-%zu", r);
			rpc_put_str(&b, name);
			rpc_put_bool(&b, true);
			rpc_put_array(&b, cases[i].rules);
			for (size_t k = 0; k < cases[i].rules; k++) {
				rpc_put_array(&b, 5);
				rpc_put_bool(&b, true);
				rpc_put_u64(&b, 3);
				rpc_put_array(&b, cases[i].destinations);
				for (size_t d = 0; d < cases[i].destinations;
				    d++)
					rpc_put_str(&b, "*.a.test");
				rpc_put_array(&b, cases[i].addresses);
				for (size_t d = 0; d < cases[i].addresses; d++)
					rpc_put_str(&b, "fe80::/10");
				rpc_put_u64(&b, 0);
			}
		}
		assert_int_equal(check(&b), cases[i].want);
	}
	buffer_fini(&b);
}

static void
test_names(void **state)
{
	static const struct {
		struct span	name;
		bool		valid;
	} cases[] = {
		{ SPAN_LIT("pci"), true }, { SPAN_LIT("a"), true },
		{ SPAN_LIT("0-9"), true }, { SPAN_LIT("-"), true },
		{ SPAN_LIT("aaaaaaaaaabbbbbbbbbb"), true },
		{ SPAN_LIT("aaaaaaaaaabbbbbbbbbbc"), false },
		{ SPAN_LIT(""), false }, { SPAN_LIT("PCI"), false },
		{ SPAN_LIT("p_ci"), false }, { SPAN_LIT("p ci"), false },
		{ SPAN_LIT("pci\0"), false }, { SPAN_LIT("p\xc3\xa4"), false },
	};
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(rpc_policy_role_valid(cases[i].name),
		    cases[i].valid);
		rpc_put_array(&b, 1);
		rpc_put_array(&b, 3);
		rpc_put_text(&b, cases[i].name);
		rpc_put_bool(&b, false);
		rpc_put_array(&b, 0);
		assert_int_equal(check(&b), cases[i].valid ? RC_OK :
		    RC_SYNTAX);
	}
	rpc_put_array(&b, 3);
	put_role(&b, "one", true, NULL, 0);
	put_role(&b, "two", true, NULL, 0);
	put_role(&b, "one", false, NULL, 0);
	assert_int_equal(check(&b), RC_SYNTAX);
	buffer_fini(&b);
}

static void
test_places_of_rules(void **state)
{
	static const struct {
		struct rule	rule;
		enum rc		want;
	} cases[] = {
		{ { AT(true, 3), TO { "a.test" }, FROM { "::/0" }, OLDER 1 }, RC_OK },
		{ { AT(true, 4) }, RC_SYNTAX },
		{ { AT(true, 0), TO { "10.0.0.1" } }, RC_OK },
		{ { AT(true, 0), TO { "*.test" } }, RC_OK },
		/* forms that no host is compared in */
		{ { AT(true, 0), TO { "Shop.test" } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "shop.test." } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "shop.test:443" } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "" } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "*" } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "*." } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "a.*.test" } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "*.*.test" } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "*.0.0.1" } }, RC_SYNTAX },
		{ { AT(true, 0), TO { "*.10.0.0.1" } }, RC_SYNTAX },
		{ { AT(true, 0), FROM { "" } }, RC_SYNTAX },
		{ { AT(true, 0), FROM { "10.0.0.0/33" } }, RC_SYNTAX },
		{ { AT(true, 0), FROM { "10.0.0.0/" } }, RC_SYNTAX },
		{ { AT(true, 0), FROM { "10.0.0.0/-1" } }, RC_SYNTAX },
		{ { AT(true, 0), FROM { "a.test" } }, RC_SYNTAX },
		{ { AT(true, 0), FROM { "10.0.0.1", "*" } }, RC_SYNTAX },
	};
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum rc rc;

		rpc_put_array(&b, 1);
		put_role(&b, "pci", true, &cases[i].rule, 1);
		if ((rc = check(&b)) != cases[i].want)
			fail_msg("case %zu: %s", i, rc_name(rc));
	}
	buffer_fini(&b);
}

/* Each part in turn replaced by another type, dropped, or doubled. */
static void
test_shapes(void **state)
{
	static const char *const broken[] = {
		"\xc0", "\x80", "\x01", "\xa3" "pci", "\xc3",
		"\x91\xc0", "\x91\x80", "\x91\xa3" "pci", "\x91\x90",
		"\x91\x91\xa1" "a", "\x91\x92\xa1" "a\xc3",
		"\x91\x93\x01\xc3\x90",			/* name */
		"\x91\x93\xa1" "a\x01\x90",		/* default */
		"\x91\x93\xa1" "a\xc0\x90",
		"\x91\x93\xa1" "a\xc3\xc0",		/* rules */
		"\x91\x93\xa1" "a\xc3\x80",
		"\x91\x94\xa1" "a\xc3\x90\xc0",
		"\x91\x93\xa1" "a\xc3\x91\xc0",		/* a rule */
		"\x91\x93\xa1" "a\xc3\x91\x90",
		"\x91\x93\xa1" "a\xc3\x91\x94\xc3\x01\x90\x90",
		"\x91\x93\xa1" "a\xc3\x91\x96\xc3\x01\x90\x90\x01\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\x01\x01\x90\x90\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\xa1" "1\x90\x90\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\xff\x90\x90\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\x01\xc0\x90\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\x01\xa1" "a\x90\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\x01\x91\x01\x90\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\x01\x90\x80\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\x01\x90\x91\xc0\x01",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\x01\x90\x90\xc0",
		"\x91\x93\xa1" "a\xc3\x91\x95\xc3\x01\x90\x90\xff",
	};
	struct buffer b;

	(void)state;
	buffer_init(&b, 0, false);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		buffer_puts(&b, broken[i]);
		assert_int_equal(check(&b), RC_SYNTAX);
	}
	buffer_puts(&b, "\x91\x93\xa1" "a\xc3\x91\x95\xc3\x01\x90\x90\x01");
	assert_int_equal(check(&b), RC_OK);
	buffer_fini(&b);
	assert_int_equal(rpc_policy_check(NULL), RC_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judgement),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_places_of_rules),
		cmocka_unit_test(test_shapes),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
