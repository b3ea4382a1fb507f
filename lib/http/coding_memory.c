/*
 * http/coding_memory.c - memory for zlib, brotli and zstd: they keep windows of
 * plaintext and tables made of it, and none of them wipes.  A length stands in
 * front of each block.
 *
 * Large blocks are windows, of a size that the sender names: 16 MiB for a body
 * of twenty bytes.  To wipe all of one would touch all of it, so these are
 * pages of their own: what is given back to the kernel is out of our reach at
 * once, and it wipes what was touched before anybody has it again.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/http/coding_private.h"

#define LARGE_BYTES	((size_t)1 << 20)

union block {
	size_t		len;	/* bytes, with this */
	max_align_t	align;
};

static void *
pages(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return (NULL);
	secret_nodump(p, len);
	return (p);
}

void *
coding_alloc(struct coding_memory *m, size_t len)
{
	union block *b;

	if (len > SIZE_MAX - sizeof(*b))
		return (NULL);
	len += sizeof(*b);
	if ((b = len < LARGE_BYTES ? malloc(len) : pages(len)) == NULL)
		return (NULL);
	b->len = len;
	m->held += len;
	return (b + 1);
}

void
coding_release(struct coding_memory *m, void *p)
{
	union block *b = p;
	size_t len;

	if (p == NULL)
		return;
	len = (--b)->len;
	ensure(m->held >= len);
	m->held -= len;
	if (len >= LARGE_BYTES) {
		(void)munmap(b, len);
		return;
	}
	secret_wipe(b, len);
	free(b);
}

void
coding_wipe_rest(const struct buffer *out, const struct coding_io *io)
{
	if (out->sensitive && io->out_len != 0)
		secret_wipe(io->out, io->out_len);
}
