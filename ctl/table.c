/* ctl/table.c - cells are collected, then each column is as wide as its widest
 * cell. */
#include "ctl/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

struct table {
	unsigned	magic;
#define TABLE_MAGIC	0x1b83e0d7
	size_t		columns;
	char		**cells;	/* owned, the heads first */
	size_t		n;
	size_t		cap;
};

struct table *
table_new(size_t n, const char *const *heads)
{
	struct table *t = xcalloc(1, sizeof(*t));

	ensure(n != 0);
	t->magic = TABLE_MAGIC;
	t->columns = n;
	for (size_t i = 0; i < n; i++)
		table_cell_str(t, heads[i]);
	return (t);
}

void
table_free(struct table **tp)
{
	struct table *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	obj_check(t, TABLE_MAGIC);
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	t->magic = 0;
	free(t);
}

void
table_cell(struct table *t, struct span text)
{
	char *cell;

	obj_check(t, TABLE_MAGIC);
	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 64 : t->cap * 2;
		t->cells = xrealloc(t->cells, t->cap * sizeof(*t->cells));
	}
	cell = xstrndup(text.len == 0 ? "" : text.p, text.len);
	/* A terminal must not be steered by what a peer sent. */
	for (char *p = cell; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	t->cells[t->n++] = cell;
}

void
table_cell_str(struct table *t, const char *text)
{
	table_cell(t, span_of(text));
}

void
table_cell_u64(struct table *t, unsigned long long n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", n);
	table_cell_str(t, text);
}

/* Characters, not bytes: app names may be any UTF-8. */
static size_t
width_of(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return (n);
}

static size_t
column_width(const struct table *t, size_t column)
{
	size_t width = 0, w;

	for (size_t i = column; i < t->n; i += t->columns)
		if ((w = width_of(t->cells[i])) > width)
			width = w;
	return (width);
}

void
table_text(const struct table *t, struct buffer *out)
{
	size_t *widths = xcalloc(t->columns, sizeof(*widths));

	obj_check(t, TABLE_MAGIC);
	ensure(t->n % t->columns == 0);
	for (size_t i = 0; i < t->columns; i++)
		widths[i] = column_width(t, i);
	for (size_t i = 0; i < t->n; i++) {
		size_t column = i % t->columns;
		size_t pad = widths[column] - width_of(t->cells[i]);

		buffer_puts(out, t->cells[i]);
		if (column + 1 == t->columns)
			buffer_puts(out, "\n");
		else
			buffer_printf(out, "%*s", (int)pad + 2, "");
	}
	free(widths);
}

enum ctl_exit
table_print(const struct table *t)
{
	struct buffer text;
	enum ctl_exit status;

	buffer_init(&text, 0, false);
	table_text(t, &text);
	status = ctl_print((struct span){ buffer_data(&text),
	    buffer_len(&text) });
	buffer_fini(&text);
	return (status);
}
