/* base/secret.c - wiping, and keeping pages out of dumps. */
#include "lib/base/secret.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/object.h"

void
secret_wipe(void *p, size_t len)
{
	explicit_bzero(p, len);
}

void
secret_nodump(void *p, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)p + page - 1) & ~(page - 1);
	uintptr_t to = ((uintptr_t)p + len) & ~(page - 1);

	/* Best effort, for what a process that may leave a core holds. */
	if (from < to)
		(void)madvise((void *)from, to - from, MADV_DONTDUMP);
}

void
secret_no_core(void)
{
	struct rlimit none = { 0, 0 };

	/* Neither can fail; all that keeps values out of dumps hangs on it. */
	ensure(setrlimit(RLIMIT_CORE, &none) == 0);
	ensure(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
}

bool
secret_equal(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;
	uint64_t diff = 0, u, v;

	for (; len >= sizeof(u); len -= sizeof(u)) {
		memcpy(&u, x, sizeof(u));
		memcpy(&v, y, sizeof(v));
		diff |= u ^ v;
		x += sizeof(u);
		y += sizeof(v);
		/* Nobody may conclude that the rest does not matter. */
		__asm__ volatile("" : "+r"(diff));
	}
	for (; len != 0; len--) {
		diff |= (uint64_t)(*x++ ^ *y++);
		__asm__ volatile("" : "+r"(diff));
	}
	return (diff == 0);
}
