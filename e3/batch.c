/* e3/batch.c - born with its call's work, gone with it. */
#include "e3/batch.h"

#include <stdlib.h>

static void
batch_free(void *p)
{
	struct e3_batch *b = p;

	e3_opening_fini(&b->opening);
	e3_sealing_fini(&b->sealing);
	rpc_batch_fini(&b->values);
	free(b);
}

void *
e3_batch_new(struct e3_call *c, size_t size, rpc_batch_one *one, size_t n)
{
	struct e3_batch *b = rpc_served_work(&c->served, size, batch_free);

	rpc_batch_init(&b->values, &c->served, one, n, E3_SLICE_COST);
	return (b);
}
