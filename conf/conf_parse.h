/*
 * conf/conf_parse.h - text of a configuration file through libConfuse into a
 * struct, by an option table.
 * Context:   start and reload, one file at a time (libConfuse is global).
 */
#ifndef RELAY_CONF_CONF_PARSE_H
#define RELAY_CONF_CONF_PARSE_H

#include <confuse.h>

#include "conf/conf_private.h"

/* "PATH: text", unless there is a fault already: the first one counts. */
void conf_fault_set(struct conf_fault *, const char *path, const char *fmt,
    ...) __attribute__((__format__(__printf__, 3, 4)));

const struct option *conf_option_find(const struct option *table,
    const char *name);

/* Parse and check.  In either case call conf_parse_end with what came out. */
enum rc conf_parse_begin(enum conf_which, const char *path, struct span text,
    struct conf_fault *, cfg_opt_t **opts, cfg_t **out) must_check;
void conf_parse_end(cfg_opt_t *opts, cfg_t *cfg);

/* Between the two.  The file's path made absolute; the caller frees. */
char *conf_parse_path(const char *path);

/* Copy every option but sections into the struct at base. */
void conf_fill(const struct option *table, cfg_t *, void *base);

/* Free what conf_fill made. */
void conf_clear(const struct option *table, void *base);
void conf_texts_free(char **list, size_t n);

#endif
