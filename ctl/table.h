/*
 * ctl/table.h - aligned columns for people; with --json the same facts are
 * printed by the command itself.
 * Context:   pure until table_print.
 */
#ifndef RELAY_CTL_TABLE_H
#define RELAY_CTL_TABLE_H

#include "ctl/ctl.h"

struct table;

/* heads: n column names, upper case, borrowed literals. */
struct table *table_new(size_t n, const char *const *heads);
void table_free(struct table **);

/* The next cell, row by row; control bytes are written as '?'. */
void table_cell(struct table *, struct span);
void table_cell_str(struct table *, const char *);
void table_cell_u64(struct table *, unsigned long long);

/* Append the text: two spaces between columns, none at the end of a line. */
void table_text(const struct table *, struct buffer *out);
enum ctl_exit table_print(const struct table *) must_check;

#endif
