/* The file of a backup, behind a digest that fits: views stay inside it, and
 * what is read is in order.  And the text of a share: written again and read
 * again it is the same. */
#include <stdint.h>
#include <string.h>

#include <openssl/evp.h>

#include "ctl/archive.h"
#include "lib/base/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
one_archive(struct span in)
{
	const char *end = in.p + in.len, *why;
	struct archive a;

	if (archive_read(in, &a, &why) != RC_OK)
		return;
	for (size_t i = 0; i < a.n_records; i++) {
		struct span r = a.records[i].bytes;

		ensure(r.p > in.p && r.len <= (size_t)(end - r.p));
		ensure(archive_find(&a, span_of(a.records[i].head.app)) ==
		    &a.records[i]);
	}
	for (size_t i = 0; i < a.n_checks; i++) {
		struct span t = a.checks[i].token;

		ensure(a.checks[i].record < a.n_records);
		ensure(t.p > in.p && t.len <= (size_t)(end - t.p));
	}
	ensure(a.sealed.p == in.p && a.sealed.len < in.len);
	archive_fini(&a);
}

static void
one_share(struct span in)
{
	struct share s, again;
	struct buffer text;
	const char *why;

	if (share_read(in, &s, &why) != RC_OK)
		return;
	buffer_init(&text, 0, true);
	share_write(&s, &text);
	ensure(share_read((struct span){ buffer_data(&text),
	    buffer_len(&text) }, &again, &why) == RC_OK);
	ensure(memcmp(&s, &again, sizeof(s)) == 0);
	buffer_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t digest[ARCHIVE_DIGEST_BYTES];
	struct buffer b;

	one_share((struct span){ (const char *)data, size });
	ensure(EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) == 1);
	buffer_init(&b, 0, false);
	buffer_put(&b, data, size);
	buffer_put(&b, digest, sizeof(digest));
	one_archive((struct span){ buffer_data(&b), buffer_len(&b) });
	buffer_fini(&b);
	return (0);
}
