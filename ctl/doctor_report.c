/* ctl/doctor_report.c - rows, then what to change. */
#include "ctl/doctor_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/table.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"

#define TEXT_BYTES	512	/* of a cell; certificates' names are cut */

struct row {
	const char		*layer;		/* a literal */
	char			*where;		/* owned */
	enum layer_result	result;
	char			*says;		/* owned */
	char			*hint;		/* owned; NULL: none */
};

struct report {
	unsigned	magic;
#define REPORT_MAGIC	0x2d5be817
	struct row	*rows;		/* owned */
	size_t		n, cap;
};

static const char *
result_name(enum layer_result r)
{
	static const char *const names[] = {
		[LAYER_OK] = "ok",
		[LAYER_FAILED] = "FAILED",
		[LAYER_SKIPPED] = "skipped",
	};

	return (names[r]);
}

struct report *
report_new(void)
{
	struct report *r = xcalloc(1, sizeof(*r));

	r->magic = REPORT_MAGIC;
	return (r);
}

void
report_free(struct report **rp)
{
	struct report *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	obj_check(r, REPORT_MAGIC);
	for (size_t i = 0; i < r->n; i++) {
		free(r->rows[i].where);
		free(r->rows[i].says);
		free(r->rows[i].hint);
	}
	free(r->rows);
	r->magic = 0;
	free(r);
}

void
report_add(struct report *r, const char *layer, const char *where,
    enum layer_result result, const char *says, ...)
{
	char text[TEXT_BYTES];
	va_list ap;

	obj_check(r, REPORT_MAGIC);
	if (r->n == r->cap) {
		r->cap = r->cap == 0 ? 32 : r->cap * 2;
		r->rows = xrealloc(r->rows, r->cap * sizeof(*r->rows));
	}
	va_start(ap, says);
	(void)vsnprintf(text, sizeof(text), says, ap);
	va_end(ap);
	r->rows[r->n++] = (struct row){ .layer = layer, .where = xstrdup(where),
	    .result = result, .says = xstrdup(text) };
}

void
report_hint(struct report *r, const char *hint, ...)
{
	char text[TEXT_BYTES];
	va_list ap;

	ensure(r->n != 0);
	va_start(ap, hint);
	(void)vsnprintf(text, sizeof(text), hint, ap);
	va_end(ap);
	free(r->rows[r->n - 1].hint);
	r->rows[r->n - 1].hint = xstrdup(text);
}

size_t
report_count(const struct report *r, enum layer_result result)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->rows[i].result == result;
	return (n);
}

static enum ctl_exit
print_json(const struct report *r)
{
	struct body_json_writer w;
	enum ctl_exit status;
	struct buffer out;

	buffer_init(&out, 0, false);
	body_json_writer_init(&w, &out);
	body_json_open_object(&w, NULL);
	body_json_put_bool(&w, "ok", report_count(r, LAYER_FAILED) == 0);
	body_json_open_array(&w, "layers");
	for (size_t i = 0; i < r->n; i++) {
		const struct row *row = &r->rows[i];

		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "layer", row->layer);
		body_json_put_str(&w, "where", row->where);
		body_json_put_str(&w, "result", row->result == LAYER_FAILED ?
		    "failed" : result_name(row->result));
		body_json_put_str(&w, "says", row->says);
		if (row->hint != NULL)
			body_json_put_str(&w, "hint", row->hint);
		body_json_close_object(&w);
	}
	body_json_close_array(&w);
	body_json_close_object(&w);
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

/* Three listeners fail for one reason: it is told once. */
static bool
is_told(const struct report *r, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (r->rows[i].hint != NULL &&
		    strcmp(r->rows[i].hint, r->rows[at].hint) == 0)
			return (true);
	return (false);
}

/* "change: LAYER: HINT", for rows that have one. */
static void
hints_text(const struct report *r, struct buffer *out)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct row *row = &r->rows[i];

		if (row->hint != NULL && !is_told(r, i))
			buffer_printf(out, "%s%s: %s\n",
			    row->result == LAYER_FAILED ? "change: " : "note: ",
			    row->layer, row->hint);
	}
}

static enum ctl_exit
print_table(const struct report *r)
{
	static const char *const heads[] = { "LAYER", "WHERE", "RESULT",
	    "WHAT WAS SEEN" };
	struct table *t = table_new(4, heads);
	enum ctl_exit status;
	struct buffer text;

	for (size_t i = 0; i < r->n; i++) {
		const struct row *row = &r->rows[i];

		table_cell_str(t, row->layer);
		table_cell_str(t, row->where[0] == '\0' ? "-" : row->where);
		table_cell_str(t, result_name(row->result));
		table_cell_str(t, row->says);
	}
	buffer_init(&text, 0, false);
	table_text(t, &text);
	hints_text(r, &text);
	status = ctl_print((struct span){ buffer_data(&text),
	    buffer_len(&text) });
	buffer_fini(&text);
	table_free(&t);
	return (status);
}

enum ctl_exit
report_print(const struct report *r, bool json)
{
	enum ctl_exit status;

	obj_check(r, REPORT_MAGIC);
	status = json ? print_json(r) : print_table(r);
	if (status == CTL_DONE && report_count(r, LAYER_FAILED) != 0)
		status = CTL_FAILED;
	return (status);
}
