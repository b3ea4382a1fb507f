/*
 * conf/conf_text.h - a file's text made ready for libConfuse.
 * Context:   pure.
 */
#ifndef RELAY_CONF_CONF_TEXT_H
#define RELAY_CONF_CONF_TEXT_H

#include "conf/conf_file.h"

#define CONF_FILE_BYTES_MAX	(1u << 20)	/* a file of some hundred lines */

/*
 * A copy with a newline at the end (fmemopen refuses an empty file) and
 * without comments; *len counts the newline, not the NUL behind it.  The
 * caller frees.  RC_SYNTAX with fault: too long, a NUL byte, or ${...}.
 */
enum rc conf_text_prepare(const char *path, struct span text,
    struct conf_fault *, char **out, size_t *len) must_check;

#endif
