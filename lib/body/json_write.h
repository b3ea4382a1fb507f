/*
 * body/json_write.h - writes small JSON documents: problem bodies, status,
 * tool output.  Commas and quotes come by themselves.
 * Context:   pure; writes into the caller's buffer; aborts without memory, so
 *            only for documents whose size we choose.
 */
#ifndef RELAY_BODY_JSON_WRITE_H
#define RELAY_BODY_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"

struct body_json_writer {
	struct buffer	*out;		/* borrowed */
	bool		comma;		/* the next item needs one */
};

void body_json_writer_init(struct body_json_writer *, struct buffer *out);
/* key NULL: inside an array, or the document itself. */
void body_json_open_object(struct body_json_writer *, const char *key);
void body_json_close_object(struct body_json_writer *);
void body_json_open_array(struct body_json_writer *, const char *key);
void body_json_close_array(struct body_json_writer *);
/* Bytes that are not UTF-8 are written as U+FFFD. */
void body_json_put_string(struct body_json_writer *, const char *key,
    struct span);
void body_json_put_str(struct body_json_writer *, const char *key,
    const char *);
void body_json_put_u64(struct body_json_writer *, const char *key, uint64_t);
void body_json_put_bool(struct body_json_writer *, const char *key, bool);
/* raw is a JSON value already. */
void body_json_put_raw(struct body_json_writer *, const char *key,
    struct span raw);

#endif
