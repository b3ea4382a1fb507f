/*
 * body/iregexp.h - I-Regexp (RFC 9485), matched by PCRE2 within a budget.
 * Context:   pure.  A compiled pattern is immutable and may be shared; the
 *            scratch memory belongs to one evaluation.
 *
 * Patterns and texts are foreign.  PCRE2 goes back and forth in a text, so an
 * answer may cost more than anybody wants to pay: then there is none
 * (RC_LIMIT), never a wrong "no".
 */
#ifndef RELAY_BODY_IREGEXP_H
#define RELAY_BODY_IREGEXP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

#define IREGEXP_BYTES_MAX	1024	/* of a pattern; as long as a path */

enum iregexp_kind {
	IREGEXP_MATCH,		/* the whole text */
	IREGEXP_SEARCH		/* some part of it */
};

struct iregexp;
struct iregexp_scratch;

/*
 * text is UTF-8.  RC_OK; RC_SYNTAX: not an I-Regexp; RC_LIMIT: too long,
 * nested too deep or too large when compiled; RC_NOMEM.
 */
enum rc iregexp_compile(struct span text, enum iregexp_kind,
    struct iregexp **out) must_check;
void iregexp_free(struct iregexp **);

enum rc iregexp_scratch_new(struct iregexp_scratch **) must_check;
void iregexp_scratch_free(struct iregexp_scratch **);

/*
 * text is UTF-8.  *work: units this and later calls may cost, a unit being
 * about 10 ns; what was spent is taken off.
 * RC_OK: *found is the answer.  RC_LIMIT: the work or the memory for going
 * back is used up.  RC_NOMEM.
 */
enum rc iregexp_run(const struct iregexp *, struct iregexp_scratch *,
    struct span text, uint64_t *work, bool *found) must_check;

#endif
