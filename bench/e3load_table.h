/*
 * bench/e3load_table.h - a JSON object into a struct, by a table: every member
 * is known, of its type, within its bounds, and comes once.
 * Context:   pure.
 */
#ifndef RELAY_BENCH_E3LOAD_TABLE_H
#define RELAY_BENCH_E3LOAD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

/* What stands in the struct for each. */
enum load_kind {
	LOAD_IS_TEXT,		/* char[max + 1] */
	LOAD_IS_UINT,		/* uint64_t */
	LOAD_IS_NUMBER,		/* double */
	LOAD_IS_BOOL,		/* bool */
	LOAD_IS_CHOICE,		/* int: which of the choices */
	LOAD_IS_LIST		/* an array of max structs, and a size_t */
};

struct load_table;
struct load_member {
	const char		*name;
	enum load_kind		kind;
	bool			required;
	size_t			at;		/* offset in the struct */
	double			min, max;	/* of text: bytes; of a list: how
						   many */
	const char		*const *choices;	/* ends with NULL */
	const struct load_table	*of;		/* of a list */
	size_t			n_at;		/* offset of the list's number */
};

struct load_table {
	size_t			size;		/* of the struct */
	size_t			line_at;	/* its member `line`, or LOAD_NO_LINE */
	const struct load_member	*members;
	size_t			n;
};
#define LOAD_NO_LINE		SIZE_MAX

#define LOAD_FAULT_BYTES	192
struct load_fault {
	unsigned	line;			/* from 1 */
	char		text[LOAD_FAULT_BYTES];	/* path: reason */
};

/* obj holds the defaults of what the text leaves out.  RC_OK, or *fault says
 * where and why. */
enum rc load_table_read(const struct load_table *, struct span text, void *obj,
    struct load_fault *fault) must_check;

#endif
