/*
 * lib_body_suite.h - public test suites beside the source tree, and small
 * helpers for documents; for the lib_body tests.
 * Context:   tests; blocking file reads.
 */
#ifndef LIB_BODY_SUITE_H
#define LIB_BODY_SUITE_H

#include "lib/base/buffer.h"
#include "lib/body/json.h"
#include "lib/body/slot.h"

/* The folder of a suite; the test is skipped with a message without it. */
const char *suite_path(const char *suite);

/* A whole file, which must be there; the caller finis the buffer. */
void suite_file(const char *folder, const char *name, struct buffer *out);

/* Call fn for each regular file of a folder (LICENCE and README left out), in
 * any order; returns how many there were. */
typedef void suite_file_cb(const char *name, struct span text, void *arg);
unsigned suite_each_file(const char *folder, suite_file_cb *fn, void *arg);

/* The decoded text of a string node. */
void suite_text(const struct body_json *, uint32_t node, struct buffer *out);
struct span suite_span(const struct buffer *);

/* A number inside so many containers; the caller finis the buffer. */
void suite_nest(struct buffer *out, unsigned depth, const char *open,
    const char *close);
/* Each slot: raw bytes, type (s, n, b), selection; e escaped, _ empty.  The
 * caller finis the buffer. */
void suite_slots(struct span doc, const struct body_slots *,
    struct buffer *out);

#endif
