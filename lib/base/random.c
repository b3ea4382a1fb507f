/* base/random.c - a buffer of kernel randomness per thread. */
#include "lib/base/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define POOL_BYTES	4096	/* one getrandom call per ~340 IVs */

static _Thread_local unsigned char pool[POOL_BYTES];
static _Thread_local size_t pool_left;

static void
from_kernel(unsigned char *out, size_t len)
{
	while (len != 0) {
		ssize_t n = getrandom(out, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		ensure(n > 0);
		out += n;
		len -= (size_t)n;
	}
}

void
random_bytes(void *out, size_t len)
{
	if (len > POOL_BYTES) {
		from_kernel(out, len);
		return;
	}
	if (len > pool_left) {
		from_kernel(pool, POOL_BYTES);
		pool_left = POOL_BYTES;
	}
	pool_left -= len;
	memcpy(out, pool + pool_left, len);
	secret_wipe(pool + pool_left, len);
}

uint64_t
random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return (v);
}

uint32_t
random_below(uint32_t n)
{
	uint64_t limit, v;

	ensure(n != 0);
	limit = UINT64_MAX - UINT64_MAX % n;
	do {
		v = random_u64();
	} while (v >= limit);
	return ((uint32_t)(v % n));
}

void
random_thread_end(void)
{
	secret_wipe(pool, sizeof(pool));
	pool_left = 0;
}
