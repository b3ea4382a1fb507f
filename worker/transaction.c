/* worker/transaction.c - begin with an id, end with one line. */
#include "worker/transaction.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/random.h"

#define FORBIDDEN_PER_S	10	/* lines in the log */

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

/* Worth a line where others are not: a policy did its work, or is wrong. */
static void
tell_forbidden(const struct transaction *t, uint64_t conn_id, const char *host)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (log_rate_ok(&rate, FORBIDDEN_PER_S, &suppressed))
		log_info("conn=%" PRIu64 " decrypt forbidden ctx=%s host=%s "
		    "tokens=%" PRIu64 " suppressed=%u", conn_id, t->id, host,
		    t->forbidden, suppressed);
}

void
transaction_end(const struct transaction *t, uint64_t conn_id,
    const char *host, const char *outcome)
{
	if (t->forbidden != 0)
		tell_forbidden(t, conn_id, host);
	log_debug("conn=%" PRIu64 " exchange ctx=%s host=%s outcome=%s status=%u "
	    "sealed=%" PRIu64 " passed=%" PRIu64 " opened=%" PRIu64 " kept=%" PRIu64
	    " forbidden=%" PRIu64
	    " in_bytes=%" PRIu64 " out_bytes=%" PRIu64 " ms=%" PRIu64,
	    conn_id, t->id, host, outcome, t->status, t->sealed, t->passed, t->opened,
	    t->kept, t->forbidden, t->request_bytes, t->response_bytes,
	    clock_mono_ms() - t->t_start_ms);
}
