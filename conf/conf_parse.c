/*
 * conf/conf_parse.c - text of a configuration file through libConfuse, by the
 * table of conf_table.c.
 *
 * The table is turned into libConfuse's own option arrays.  Values are checked
 * in its validation callbacks, because only there the line is known; when the
 * whole file was fine they are copied into a struct.
 *
 * libConfuse's scanner is global and its error callback has no argument of
 * ours: one file is read at a time, by the main thread, at start and reload.
 */
#include "conf/conf_parse.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_text.h"
#include "lib/base/object.h"

#define OPTIONS_MAX	128		/* in one table */

/* The file being read; see the head of this file. */
static struct reading {
	struct conf_fault	*fault;		/* borrowed: our caller's */
	const struct option	*table;		/* static */
	char			*folder;	/* owned: of relative paths */
	bool			seen[OPTIONS_MAX];	/* top level */
} now;

/* ---- errors ---------------------------------------------------------------- */

/* The first fault is the one to show: later ones may be its consequence. */
static void __attribute__((__format__(__printf__, 2, 0)))
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char *text = now.fault->text;
	size_t size = sizeof(now.fault->text);
	int n = 0;

	if (text[0] != '\0')
		return;
	if (cfg != NULL && cfg->filename != NULL)
		n = snprintf(text, size, "%.300s:%d: ", cfg->filename,
		    cfg->line);
	if (n >= 0 && (size_t)n < size)
		(void)vsnprintf(text + n, size - (size_t)n, fmt, ap);
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20)
			*p = '?';
}

void
conf_fault_set(struct conf_fault *fault, const char *path, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (fault->text[0] != '\0')
		return;
	n = snprintf(fault->text, sizeof(fault->text), "%.300s: ", path);
	if (n < 0 || (size_t)n >= sizeof(fault->text))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(fault->text + n, sizeof(fault->text) - (size_t)n, fmt,
	    ap);
	va_end(ap);
}

/* ---- checking while libConfuse reads ----------------------------------------- */

const struct option *
conf_option_find(const struct option *table, const char *name)
{
	for (const struct option *o = table; o->name != NULL; o++)
		if (strcmp(o->name, name) == 0)
			return (o);
	return (NULL);
}

/* The table that this section of the file was made from. */
static const struct option *
option_of(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct option *section;

	if (cfg->title == NULL)
		return (conf_option_find(now.table, opt->name));
	section = conf_option_find(now.table, cfg->name);
	ensure(section != NULL && section->sub != NULL);
	return (conf_option_find(section->sub, opt->name));
}

static int
check_number(cfg_t *cfg, const struct option *o, long n)
{
	if (n < 0 || (uint64_t)n < o->min) {
		cfg_error(cfg, "option '%s': %ld is below %llu", o->name, n,
		    (unsigned long long)o->min);
		return (-1);
	}
	if ((uint64_t)n > o->max) {
		cfg_error(cfg, "option '%s': %ld is above %llu", o->name, n,
		    (unsigned long long)o->max);
		return (-1);
	}
	if (o->check == CHECK_POWER_OF_2 && (n & (n - 1)) != 0) {
		cfg_error(cfg, "option '%s': %ld is not a power of two",
		    o->name, n);
		return (-1);
	}
	return (0);
}

static int
check_text(cfg_t *cfg, cfg_opt_t *opt, const struct option *o)
{
	unsigned n = cfg_opt_size(opt);
	const char *value;
	char why[128];

	if (n == 0)
		return (0);
	if (n > CONF_LIST_MAX) {
		cfg_error(cfg, "option '%s': more than %d values", o->name,
		    CONF_LIST_MAX);
		return (-1);
	}
	/* A list is checked as it grows: the newest value is the last. */
	value = cfg_opt_getnstr(opt, n - 1);
	if (conf_check_text(o, now.folder, value == NULL ? "" : value, why,
	    sizeof(why)) == RC_OK)
		return (0);
	cfg_error(cfg, "option '%s': %s", o->name, why);
	return (-1);
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct option *o = option_of(cfg, opt);

	ensure(o != NULL);
	if (cfg->title == NULL && o->type != OPTION_TEXTS &&
	    o->type != OPTION_SECTION) {
		size_t i = (size_t)(o - now.table);

		if (now.seen[i]) {
			cfg_error(cfg, "option '%s' is given twice", o->name);
			return (-1);
		}
		now.seen[i] = true;
	}
	switch (o->type) {
	case OPTION_UINT:
	case OPTION_U64:
	case OPTION_INT:
		return (check_number(cfg, o, cfg_opt_getnint(opt, 0)));
	case OPTION_BOOL:
	case OPTION_SECTION:
		return (0);
	case OPTION_EITHER:
	case OPTION_LEVEL:
	case OPTION_TEXT:
	case OPTION_PATH:
	case OPTION_TEXTS:
		break;
	}
	return (check_text(cfg, opt, o));
}

/* ---- libConfuse's option arrays ------------------------------------------------ */

static void
opts_free(cfg_opt_t *opts)
{
	if (opts == NULL)
		return;
	for (cfg_opt_t *c = opts; c->name != NULL; c++)
		opts_free(c->subopts);
	free(opts);
}

static cfg_opt_t *
opts_new(const struct option *table)
{
	cfg_opt_t *opts, *c;
	size_t n = 0;

	while (table[n].name != NULL)
		n++;
	ensure(n < OPTIONS_MAX);
	c = opts = xcalloc(n + 1, sizeof(*opts));
	for (const struct option *o = table; o->name != NULL; o++, c++) {
		c->name = o->name;
		c->validcb = on_value;
		switch (o->type) {
		case OPTION_UINT:
		case OPTION_U64:
		case OPTION_INT:
			c->type = CFGT_INT;
			c->def.number = atol(o->def);
			break;
		case OPTION_BOOL:
			c->type = CFGT_BOOL;
			c->def.boolean = o->def[0] == 't' ? cfg_true :
			    cfg_false;
			break;
		case OPTION_EITHER:
		case OPTION_LEVEL:
		case OPTION_TEXT:
		case OPTION_PATH:
			c->type = CFGT_STR;
			c->def.string = o->def == NULL ? "" : o->def;
			break;
		case OPTION_TEXTS:
			/* Defaults are put in by us: libConfuse would parse
			 * them as text of the file. */
			c->type = CFGT_STR;
			c->flags = CFGF_LIST;
			break;
		case OPTION_SECTION:
			c->type = CFGT_SEC;
			c->flags = CFGF_MULTI | CFGF_TITLE |
			    CFGF_NO_TITLE_DUPES;
			c->subopts = opts_new(o->sub);
			break;
		}
	}
	return (opts);
}

/* ---- from libConfuse to our structs --------------------------------------------- */

static void
fill_texts(const struct option *o, cfg_t *cfg, void *base)
{
	unsigned n = cfg_size(cfg, o->name);
	cfg_opt_t *opt = cfg_getopt(cfg, o->name);
	/* Not named in the file: an empty list there stays empty. */
	bool use_default = o->def != NULL && n == 0 &&
	    (opt->flags & CFGF_MODIFIED) == 0;
	char **list = xcalloc(n + 1u, sizeof(*list));

	for (unsigned i = 0; i < n; i++)
		list[i] = conf_absolute(o, now.folder,
		    cfg_getnstr(cfg, o->name, i));
	if (use_default)
		list[n++] = conf_absolute(o, now.folder, o->def);
	memcpy((char *)base + o->at, &list, sizeof(list));
	memcpy((char *)base + o->at_count, &(size_t){ n }, sizeof(size_t));
}

static void
fill_text(const struct option *o, cfg_t *cfg, void *base)
{
	const char *value = cfg_getstr(cfg, o->name);
	char *copy = NULL;

	if (value == NULL)
		value = "";
	if (*value != '\0' || (o->flags & OPTION_NULL) == 0)
		copy = conf_absolute(o, now.folder, value);
	memcpy((char *)base + o->at, &copy, sizeof(copy));
}

static void
fill_level(const struct option *o, cfg_t *cfg, void *base)
{
	enum log_level level;

	ensure(log_level_parse(cfg_getstr(cfg, o->name), &level));
	memcpy((char *)base + o->at, &level, sizeof(level));
}

static void
fill_number(const struct option *o, cfg_t *cfg, void *base)
{
	long n = cfg_getint(cfg, o->name);
	char *to = (char *)base + o->at;

	if (o->type == OPTION_UINT)
		memcpy(to, &(unsigned){ (unsigned)n }, sizeof(unsigned));
	else if (o->type == OPTION_U64)
		memcpy(to, &(uint64_t){ (uint64_t)n }, sizeof(uint64_t));
	else
		memcpy(to, &(int){ (int)n }, sizeof(int));
}

/* All but sections, which their callers know. */
void
conf_fill(const struct option *table, cfg_t *cfg, void *base)
{
	bool flag;

	for (const struct option *o = table; o->name != NULL; o++) {
		switch (o->type) {
		case OPTION_UINT:
		case OPTION_U64:
		case OPTION_INT:
			fill_number(o, cfg, base);
			break;
		case OPTION_BOOL:
			flag = cfg_getbool(cfg, o->name) == cfg_true;
			memcpy((char *)base + o->at, &flag, sizeof(flag));
			break;
		case OPTION_EITHER:
			flag = strcmp(cfg_getstr(cfg, o->name),
			    o->words[1]) == 0;
			memcpy((char *)base + o->at, &flag, sizeof(flag));
			break;
		case OPTION_LEVEL:
			fill_level(o, cfg, base);
			break;
		case OPTION_TEXT:
		case OPTION_PATH:
			fill_text(o, cfg, base);
			break;
		case OPTION_TEXTS:
			fill_texts(o, cfg, base);
			break;
		case OPTION_SECTION:
			break;
		}
	}
}

void
conf_texts_free(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

void
conf_clear(const struct option *table, void *base)
{
	char *text, **list;
	size_t n;

	for (const struct option *o = table; o->name != NULL; o++) {
		switch (o->type) {
		case OPTION_TEXT:
		case OPTION_PATH:
			memcpy(&text, (char *)base + o->at, sizeof(text));
			free(text);
			break;
		case OPTION_TEXTS:
			memcpy(&list, (char *)base + o->at, sizeof(list));
			memcpy(&n, (char *)base + o->at_count, sizeof(n));
			conf_texts_free(list, n);
			break;
		case OPTION_UINT:
		case OPTION_U64:
		case OPTION_INT:
		case OPTION_BOOL:
		case OPTION_EITHER:
		case OPTION_LEVEL:
		case OPTION_SECTION:
			break;
		}
	}
}

/* ---- one file ---------------------------------------------------------------------- */

/* The folder of path, absolute. */
static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char here[PATH_MAX];

	if (slash == path)
		return (xstrdup(""));
	if (*path == '/')
		return (xstrndup(path, (size_t)(slash - path)));
	if (getcwd(here, sizeof(here)) == NULL)
		return (xstrdup("."));
	if (slash == NULL)
		return (xstrdup(here));
	return (xasprintf("%s/%.*s", here, (int)(slash - path), path));
}

/* RC_OK: *out is read and checked; end_reading in either case. */
enum rc
conf_parse_begin(enum conf_which which, const char *path, struct span text,
    struct conf_fault *fault, cfg_opt_t **opts, cfg_t **out)
{
	size_t len;
	enum rc rc;
	char *copy;
	FILE *fp;
	int r;

	fault->text[0] = '\0';
	memset(&now, 0, sizeof(now));
	*out = NULL;
	*opts = NULL;
	rc = conf_text_prepare(path, text, fault, &copy, &len);
	if (rc != RC_OK)
		return (rc);
	now.fault = fault;
	now.table = conf_table(which);
	now.folder = folder_of(path);
	*opts = opts_new(now.table);
	*out = cfg_init(*opts, CFGF_NONE);
	ensure(*out != NULL);
	cfg_set_error_function(*out, on_error);
	(*out)->filename = strdup(path);
	fp = fmemopen(copy, len, "r");
	ensure(fp != NULL);
	r = cfg_parse_fp(*out, fp);
	(void)fclose(fp);
	free(copy);
	if (r == CFG_SUCCESS && fault->text[0] == '\0')
		return (RC_OK);
	conf_fault_set(fault, path, "cannot be read");
	return (RC_SYNTAX);
}

void
conf_parse_end(cfg_opt_t *opts, cfg_t *cfg)
{
	if (cfg != NULL)
		cfg_free(cfg);
	opts_free(opts);
	free(now.folder);
	memset(&now, 0, sizeof(now));
}

/* path as it is needed later: absolute. */
char *
conf_parse_path(const char *path)
{
	const char *slash = strrchr(path, '/');

	return (xasprintf("%s/%s", now.folder, slash == NULL ? path :
	    slash + 1));
}
