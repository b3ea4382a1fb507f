/* base/meter.c - one small record for each owner that was ever asked for. */
#include "lib/base/meter.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

/* A day, which keeps the product small, and pays a debt of 65,536 (the largest
 * amount there is) at one a second. */
#define PASSED_MAX_MS	(24u * 3600 * 1000)

struct meter {
	const char	*owner;		/* view of name */
	unsigned	uses;
	int64_t		credit;		/* thousandths; may be a debt */
	uint64_t	t_ms;		/* of the credit */
	char		name[];
};

static int
meter_cmp(const void *a, const void *b)
{
	return (strcmp(((const struct meter *)a)->owner,
	    ((const struct meter *)b)->owner));
}

static struct meter *
find(const struct meters *m, const char *owner)
{
	return (tree_find(&m->all, &(struct meter){ .owner = owner }));
}

static struct meter *
find_or_add(struct meters *m, const char *owner, uint64_t now_ms)
{
	const size_t n = strlen(owner) + 1;
	struct meter *t;

	m->all.cmp = meter_cmp;
	if ((t = find(m, owner)) != NULL)
		return (t);
	t = xcalloc(1, sizeof(*t) + n);
	memcpy(t->name, owner, n);
	t->owner = t->name;
	t->t_ms = now_ms;
	t->credit = m->saved ? (int64_t)m->per_s * 1000 : 0;
	return (tree_add(&m->all, t));
}

/* A second of silence is saved up, no more. */
static void
earn(struct meter *t, unsigned per_s, uint64_t now_ms)
{
	const int64_t most = (int64_t)per_s * 1000;
	uint64_t passed_ms = now_ms - t->t_ms;

	t->t_ms = now_ms;
	if (passed_ms > PASSED_MAX_MS)
		passed_ms = PASSED_MAX_MS;
	t->credit += (int64_t)passed_ms * per_s;
	if (t->credit > most)
		t->credit = most;
}

enum rc
meter_admit(struct meters *m, const char *owner, size_t amount,
    uint64_t now_ms)
{
	struct meter *t = find_or_add(m, owner, now_ms);

	if (m->at_once != 0 && t->uses >= m->at_once)
		return (RC_LIMIT);
	if (m->per_s != 0) {
		earn(t, m->per_s, now_ms);
		if (t->credit < 0)
			return (RC_AGAIN);
		t->credit -= (int64_t)amount * 1000;
	}
	t->uses++;
	return (RC_OK);
}

void
meter_done(struct meters *m, const char *owner)
{
	struct meter *t = find(m, owner);

	ensure(t != NULL && t->uses != 0);
	t->uses--;
}

void
meters_fini(struct meters *m)
{
	tree_clear(&m->all, free);
}
