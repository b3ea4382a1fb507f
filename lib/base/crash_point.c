/*
 * base/crash_point.c - see crash_point.h.  The page is mapped before main(): a
 * role's sandbox opens no file later.
 */
#include "lib/base/crash_point.h"

#ifdef RELAY_CRASH_POINTS

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct page {
	char			name[60];
	_Atomic uint32_t	left;
};
_Static_assert(sizeof(struct page) == 64, "as the header says");

static struct page *page;	/* NULL: nothing is ever armed */

static void __attribute__((__constructor__))
map_page(void)
{
	const char *path = getenv("RELAY_CRASH_POINT");
	struct stat st;
	void *p;
	int fd;

	if (path == NULL || (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		return;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof(*page)) {
		p = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
		page = p == MAP_FAILED ? NULL : p;
	}
	(void)close(fd);
}

static bool
is_now(const char *name)
{
	uint32_t left;

	if (page == NULL || strncmp(page->name, name, sizeof(page->name)) != 0)
		return (false);
	left = atomic_load(&page->left);
	while (left != 0)
		if (atomic_compare_exchange_weak(&page->left, &left, left - 1))
			return (left == 1);
	return (false);
}

void
crash_point(const char *name)
{
	if (is_now(name))
		(void)raise(SIGKILL);
}

bool
crash_point_full(const char *name)
{
	if (!is_now(name))
		return (false);
	errno = ENOSPC;
	return (true);
}

#endif
