/*
 * First line: a pattern; the rest: a text.  A whole match is found by a search
 * too, and no run goes beyond its budget.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/iregexp.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define WORK	(UINT64_C(1) << 20)

static enum rc
run(struct span pattern, enum iregexp_kind kind, struct span text, bool *found)
{
	struct iregexp_scratch *scratch = NULL;
	struct iregexp *re;
	uint64_t work = WORK;
	enum rc rc;

	*found = false;
	if ((rc = iregexp_compile(pattern, kind, &re)) != RC_OK) {
		ensure(re == NULL);
		return (rc);
	}
	if ((rc = iregexp_scratch_new(&scratch)) == RC_OK)
		rc = iregexp_run(re, scratch, text, &work, found);
	ensure(work <= WORK && (rc == RC_OK || !*found));
	iregexp_scratch_free(&scratch);
	iregexp_free(&re);
	return (rc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *input = (const char *)data;
	const char *line = len == 0 ? NULL : memchr(input, '\n', len);
	struct span pattern, text;
	bool matched, found;
	enum rc match, search;

	if (line == NULL || !utf8_valid(input, len))
		return (0);
	pattern = (struct span){ input, (size_t)(line - input) };
	text = (struct span){ line + 1, len - pattern.len - 1 };
	match = run(pattern, IREGEXP_MATCH, text, &matched);
	search = run(pattern, IREGEXP_SEARCH, text, &found);
	ensure((match == RC_SYNTAX) == (search == RC_SYNTAX));
	if (match == RC_OK && search == RC_OK)
		ensure(found || !matched);
	return (0);
}
