/*
 * conf/relay_field.h - typed fields of a relay JSON, with the path of the
 * first fault; for relay_json.c.
 * Context:   pure.
 * Ownership: the caller embeds the reader; document and fault are borrowed.
 *
 * Fields are read in document order and the first fault ends the reading.
 * A reason never holds a value of the document.
 */
#ifndef RELAY_CONF_RELAY_FIELD_H
#define RELAY_CONF_RELAY_FIELD_H

#include <stddef.h>
#include <stdint.h>

#include "conf/relay_json.h"

struct relay_reader {
	const struct body_json	*doc;		/* borrowed */
	struct relay_fault	*fault;		/* borrowed; path is kept here
						   while we read */
	size_t			path_len;
};

/* The whole text, at most RELAY_JSON_BYTES_MAX, for a reader with nothing but
 * its fault set.  RC_OK: the caller finishes *doc. */
enum rc relay_read_document(struct relay_reader *, struct span json,
    struct body_json *doc) must_check;

typedef enum rc relay_read_cb(struct relay_reader *, uint32_t node, void *obj);

struct relay_field {
	const char	*name;
	relay_read_cb	*read;		/* NULL: known, but not available */
	bool		required;
};

/* Set the reason at the current path; returns rc. */
enum rc relay_fail(struct relay_reader *, enum rc rc, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4))) must_check;
/* "not available in this version" */
enum rc relay_not_available(struct relay_reader *) must_check;

/* Every member has its field, once; required ones are there. */
enum rc relay_read_object(struct relay_reader *, uint32_t node,
    const struct relay_field *, size_t n, void *obj) must_check;

/* *n: elements of an array, at most max (RC_LIMIT). */
enum rc relay_count_array(struct relay_reader *, uint32_t node, size_t max,
    size_t *n) must_check;
/* Read each into elements[0..n) of `size` bytes, zeroed by the caller. */
enum rc relay_read_array(struct relay_reader *, uint32_t node,
    relay_read_cb *, void *elements, size_t size) must_check;

/* Decoded text without NUL; the caller frees *out. */
enum rc relay_read_text(struct relay_reader *, uint32_t node, char **out)
    must_check;
enum rc relay_read_host(struct relay_reader *, uint32_t node, char **out)
    must_check;
enum rc relay_read_bool(struct relay_reader *, uint32_t node, bool *out)
    must_check;
enum rc relay_read_uint(struct relay_reader *, uint32_t node, uint64_t min,
    uint64_t max, uint64_t *out) must_check;

#define RELAY_COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define RELAY_CHOICE_LATER	(-1)	/* known, but not available */

struct relay_choice {
	const char	*text;
	int		value;
};

/* One of these strings. */
enum rc relay_read_choice(struct relay_reader *, uint32_t node,
    const struct relay_choice *, size_t n, int *out) must_check;

#endif
