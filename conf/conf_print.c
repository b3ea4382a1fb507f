/*
 * conf/conf_print.c - the option tables as manual and as sample files, so that
 * neither can differ from what the reader accepts.
 */
#include "conf/conf_file.h"

#include <string.h>

#include "conf/conf_private.h"
#include "lib/base/object.h"

#define SAMPLE_COLUMNS	76

static bool
is_number(const struct option *o)
{
	return (o->type == OPTION_UINT || o->type == OPTION_U64 ||
	    o->type == OPTION_INT);
}

/* The default as one would write it in the file; `quote` is how the output's
 * format spells a double quote. */
static void
put_default(FILE *fp, const struct option *o, const char *quote)
{
	const char *def = o->def == NULL ? "" : o->def;

	switch (o->type) {
	case OPTION_UINT:
	case OPTION_U64:
	case OPTION_INT:
	case OPTION_BOOL:
		(void)fputs(def, fp);
		break;
	case OPTION_EITHER:
	case OPTION_LEVEL:
	case OPTION_TEXT:
	case OPTION_PATH:
		(void)fprintf(fp, "%s%s%s", quote, def, quote);
		break;
	case OPTION_TEXTS:
		if (o->def == NULL)
			(void)fputs("{ }", fp);
		else
			(void)fprintf(fp, "{ %s%s%s }", quote, def, quote);
		break;
	case OPTION_SECTION:
		break;
	}
}

/* ---- mdoc ------------------------------------------------------------------- */

static const char *
argument_of(const struct option *o)
{
	switch (o->type) {
	case OPTION_UINT:
	case OPTION_U64:
	case OPTION_INT:
		return ("number");
	case OPTION_BOOL:
		return ("true | false");
	case OPTION_PATH:
		return ("path");
	case OPTION_EITHER:
	case OPTION_LEVEL:
	case OPTION_TEXT:
		return ("text");
	case OPTION_TEXTS:
		return ("list");
	case OPTION_SECTION:
		break;
	}
	return ("title");
}

/* A sentence to a line, as mdoc wants it; quotes are safe inside a line. */
static void
mdoc_text(FILE *fp, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (strncmp(p, ".  ", 3) == 0) {
			(void)fputs(".\n", fp);
			p += 2;
		} else {
			(void)fputc(*p, fp);
		}
	}
	(void)fputc('\n', fp);
}

static void
mdoc_table(FILE *fp, const struct option *table)
{
	(void)fputs(".Bl -tag -width Ds\n", fp);
	for (const struct option *o = table; o->name != NULL; o++) {
		if (o->sub != NULL) {
			(void)fprintf(fp, ".It Ic %s Qo Ar title Qc Brq ...\n",
			    o->name);
			mdoc_text(fp, o->help);
			mdoc_table(fp, o->sub);
			continue;
		}
		(void)fprintf(fp, ".It Ic %s No = Ar %s\n", o->name,
		    argument_of(o));
		mdoc_text(fp, o->help);
		(void)fputs("Default:\n.Li ", fp);
		put_default(fp, o, "\\(dq");
		if (is_number(o))
			(void)fprintf(fp, " ;\n%llu to %llu%s%s.\n",
			    (unsigned long long)o->min,
			    (unsigned long long)o->max,
			    o->unit == NULL ? "" : " ",
			    o->unit == NULL ? "" : o->unit);
		else
			(void)fputs(" .\n", fp);
		if ((o->flags & OPTION_FIXED) != 0)
			(void)fputs("A change needs a restart.\n", fp);
	}
	(void)fputs(".El\n", fp);
}

/* ---- sample file --------------------------------------------------------------- */

/* Comment lines of at most SAMPLE_COLUMNS. */
static void
sample_text(FILE *fp, const char *indent, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column == 0 || column + 1 + len > SAMPLE_COLUMNS) {
			if (column != 0)
				(void)fputc('\n', fp);
			column = strlen(indent) + 1;
			(void)fprintf(fp, "%s#", indent);
		}
		(void)fprintf(fp, " %.*s", (int)len, text);
		column += 1 + len;
		text += len;
		text += strspn(text, " ");
	}
	(void)fputc('\n', fp);
}

static void
sample_table(FILE *fp, const struct option *table, const char *indent)
{
	for (const struct option *o = table; o->name != NULL; o++) {
		sample_text(fp, indent, o->help);
		if (o->sub != NULL) {
			(void)fprintf(fp, "#%s %s {\n", o->name,
			    strcmp(o->name, "listen") == 0 ? "\"ingress\"" :
			    "\"default\"");
			sample_table(fp, o->sub, "\t");
			(void)fputs("#}\n\n", fp);
			continue;
		}
		if (is_number(o))
			(void)fprintf(fp, "%s# %llu to %llu%s%s%s\n", indent,
			    (unsigned long long)o->min,
			    (unsigned long long)o->max,
			    o->unit == NULL ? "" : " ",
			    o->unit == NULL ? "" : o->unit,
			    (o->flags & OPTION_FIXED) != 0 ?
			    "; a change needs a restart" : "");
		else if ((o->flags & OPTION_FIXED) != 0)
			(void)fprintf(fp, "%s# A change needs a restart.\n",
			    indent);
		(void)fprintf(fp, "#%s%s = ", indent, o->name);
		put_default(fp, o, "\"");
		(void)fputs(*indent == '\0' ? "\n\n" : "\n", fp);
	}
}

static void
sample_head(FILE *fp, enum conf_which which)
{
	(void)fprintf(fp, "# %s: every option, commented out at its default.\n"
	    "# Relative paths begin at the folder of this file.\n"
	    "# Check a change with: relayd -t -c FILE\n\n",
	    which == CONF_RELAY ? "relay.conf" : "e3.conf");
}

void
conf_print(FILE *fp, enum conf_which which, enum conf_print how)
{
	switch (how) {
	case CONF_PRINT_MDOC:
		mdoc_table(fp, conf_table(which));
		break;
	case CONF_PRINT_SAMPLE:
		sample_head(fp, which);
		sample_table(fp, conf_table(which), "");
		break;
	}
}
