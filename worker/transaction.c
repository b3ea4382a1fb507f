/* worker/transaction.c - begin with an id, end with one line. */
#include "worker/transaction.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/random.h"

void
transaction_begin(struct transaction *t)
{
	static const char digits[] = "0123456789ABCDEF";
	const uint64_t random[2] = { random_u64(), random_u64() };
	size_t n = 0;

	memset(t, 0, sizeof(*t));
	for (unsigned bit = 128; bit != 0; bit -= 4) {
		uint64_t half = random[bit > 64 ? 0 : 1] >> (bit - 4) % 64;

		if (n != 0 || (half & 15) != 0 || bit == 4)
			t->id[n++] = digits[half & 15];
	}
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
