/* worker/transaction.c - begin with an id, end with one line. */
#include "worker/transaction.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/random.h"

void
transaction_begin(struct transaction *t)
{
	char text[TRANSACTION_ID_BYTES];
	uint64_t hi = random_u64(), lo = random_u64();
	size_t skip;

	memset(t, 0, sizeof(*t));
	snprintf(text, sizeof(text), "%016" PRIX64 "%016" PRIX64, hi, lo);
	skip = strspn(text, "0");
	if (skip > sizeof(text) - 2)
		skip = sizeof(text) - 2;
	memcpy(t->id, text + skip, sizeof(text) - skip);
	t->t_start_ms = clock_mono_ms();
}

void
transaction_end(const struct transaction *t, uint64_t conn_id,
    const char *host, const char *outcome)
{
	log_debug("conn=%" PRIu64 " exchange ctx=%s host=%s outcome=%s status=%u "
	    "sealed=%" PRIu64 " passed=%" PRIu64 " opened=%" PRIu64 " kept=%" PRIu64
	    " in_bytes=%" PRIu64 " out_bytes=%" PRIu64 " ms=%" PRIu64,
	    conn_id, t->id, host, outcome, t->status, t->sealed, t->passed, t->opened,
	    t->kept, t->request_bytes, t->response_bytes,
	    clock_mono_ms() - t->t_start_ms);
}
