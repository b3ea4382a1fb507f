/*
 * rpc_policy_fuzz - lib/rpc/policy.c: any roles value, and one case to judge
 * by it.
 *
 *   place u8 | age u8 (in hours; 255: unknown) | lengths of role, destination
 *   and address, u8 each | these three | the roles, encoded
 */
#include <stdint.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/object.h"
#include "lib/rpc/policy.h"

#define HEAD	5

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* The next n bytes, or as many as there are. */
static struct span
take(struct span *in, size_t n)
{
	struct span s = { in->p, n < in->len ? n : in->len };

	in->p += s.len;
	in->len -= s.len;
	return (s);
}

/* What was taken is encoded again, as an app keeps it, and taken again. */
static void
check_again(const struct rpc_value *roles)
{
	struct rpc_document doc;
	struct buffer b;

	buffer_init(&b, 0, false);
	rpc_put_value(&b, roles);
	ensure(rpc_document_read(&doc, buffer_data(&b), buffer_len(&b)) ==
	    RC_OK);
	ensure(rpc_policy_check(doc.root) == RC_OK);
	rpc_document_fini(&doc);
	buffer_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size }, role;
	struct rpc_decrypt d = { .n_tokens = 0 };
	struct rpc_policy policy;
	struct rpc_document doc;
	struct rpc_policy_place place;
	enum rpc_open_status got;

	if (size < HEAD)
		return (0);
	(void)take(&in, HEAD);
	d.place = (enum rpc_place)(data[0] % 3);
	role = take(&in, data[2]);
	d.destination = take(&in, data[3]);
	d.address = take(&in, data[4]);
	if (rpc_document_read(&doc, in.p, in.len) != RC_OK)
		return (0);
	if (rpc_policy_check(doc.root) == RC_OK) {
		check_again(doc.root);
		rpc_policy_place_init(&place, &d);
		rpc_policy_select(doc.root, role, &place, &policy);
		ensure(policy.n >= 1 && policy.n <= RPC_POLICY_RULES_MAX + 1);
		got = rpc_policy_judge(&policy, data[1] == 255 ?
		    RPC_POLICY_AGE_UNKNOWN : data[1] * 3600u);
		ensure(got == RPC_OPEN_OK || got == RPC_OPEN_FORBIDDEN ||
		    got == RPC_OPEN_TOO_OLD);
		/* Only roles that are there forbid anything. */
		ensure(got == RPC_OPEN_OK || rpc_policy_role_valid(role));
	}
	rpc_document_fini(&doc);
	return (0);
}
