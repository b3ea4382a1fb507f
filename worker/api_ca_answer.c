/*
 * worker/api_ca_answer.c - GET /ca.pem, and / on a listener of kind ca: what
 * clients of egress must trust.
 *
 * The latter is exactly one certificate, the anchor of the CA that signs:
 * Node's SDK reads one (spec/sdk-api.md 4.1).  The former has all of them
 * while one CA follows another.
 */
#include "worker/api_private.h"

/* RFC 8555 9.1; no SDK looks at it. */
#define TYPE_PEM	"application/pem-certificate-chain"

/* All of them hold beyond the date when another one takes over; which is the
 * first does not. */
static void
answer(struct api_call *a, enum egress_ca_known known, struct span anchors,
    bool all)
{
	struct span pem;

	if (known == EGRESS_CA_UNKNOWN || (known == EGRESS_CA_PAST && !all)) {
		api_fail(a, ERROR_ENGINE_UNAVAILABLE, "work",
		    "no engine could say which CA signs");
		return;
	}
	pem = all ? anchors : egress_ca_first(anchors);
	if (pem.len == 0) {
		api_fail(a, ERROR_RESOURCE_NOT_FOUND, "work",
		    "no egress CA was installed yet");
		return;
	}
	buffer_put(&a->out, pem.p, pem.len);
	api_answer(a, 200, TYPE_PEM, &a->out);
}

static void
on_first(void *arg, enum egress_ca_known known, struct span anchors)
{
	answer(arg, known, anchors, false);
}

static void
on_all(void *arg, enum egress_ca_known known, struct span anchors)
{
	answer(arg, known, anchors, true);
}

void
api_ca_pem(struct api_call *a)
{
	egress_ca_ask(a->wrk->egress_ca, &a->ca_waiter, on_first, a);
}

void
api_ca_bundle(struct api_call *a)
{
	egress_ca_ask(a->wrk->egress_ca, &a->ca_waiter, on_all, a);
}
