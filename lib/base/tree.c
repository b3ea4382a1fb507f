/* base/tree.c - what <search.h> leaves to its callers. */
#include "lib/base/tree.h"

#include <search.h>

#include "lib/base/object.h"

/* A node begins with the object's address. */
static void *
object_of(const void *node)
{
	return (*(void *const *)node);
}

void *
tree_find(const struct tree *t, const void *like)
{
	const void *node = tfind(like, &t->root, t->cmp);

	return (node == NULL ? NULL : object_of(node));
}

void *
tree_add(struct tree *t, void *object)
{
	const void *node = tsearch(object, &t->root, t->cmp);

	ensure(node != NULL);		/* a few bytes: only without any memory */
	t->n += object_of(node) == object;
	return (object_of(node));
}

void *
tree_remove(struct tree *t, const void *like)
{
	void *object = tree_find(t, like);

	if (object != NULL) {
		(void)tdelete(object, &t->root, t->cmp);
		t->n--;
	}
	return (object);
}

struct each {
	tree_cb	*cb;
	void	*arg;		/* borrowed: for one walk */
};

static void
on_node(const void *node, VISIT which, void *arg)
{
	struct each *e = arg;

	if (which == postorder || which == leaf)	/* ascending order */
		e->cb(e->arg, object_of(node));
}

void
tree_each(const struct tree *t, tree_cb *cb, void *arg)
{
	struct each e = { cb, arg };

	twalk_r(t->root, on_node, &e);
}

static void
keep(void *object)
{
	(void)object;
}

void
tree_clear(struct tree *t, void (*free_object)(void *))
{
	tdestroy(t->root, free_object != NULL ? free_object : keep);
	t->root = NULL;
	t->n = 0;
}
