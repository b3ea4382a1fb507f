/*
 * base/tree.h - objects found by their key: a balanced search tree, libc's
 * <search.h> with types and a count.
 * Context:   pure.
 * Ownership: the tree holds pointers to objects that somebody else owns.
 */
#ifndef RELAY_BASE_TREE_H
#define RELAY_BASE_TREE_H

#include <stddef.h>

/* As for qsort, of two objects. */
typedef int tree_cmp_fn(const void *, const void *);

struct tree {
	tree_cmp_fn	*cmp;
	void		*root;		/* private to tree.c */
	size_t		n;		/* objects */
};

/* The object that is equal to `like`, of which only the key is looked at;
 * NULL: there is none. */
void *tree_find(const struct tree *, const void *like);
/* Adds the object and returns it; or returns the equal one that was there. */
void *tree_add(struct tree *, void *object);
/* Returns what it took out; NULL: there was none. */
void *tree_remove(struct tree *, const void *like);

/* In order.  cb must leave the tree as it is. */
typedef void tree_cb(void *arg, void *object);
void tree_each(const struct tree *, tree_cb *, void *arg);
/* Takes out all of them, each with a call of free_object if there is one. */
void tree_clear(struct tree *, void (*free_object)(void *));

#endif
