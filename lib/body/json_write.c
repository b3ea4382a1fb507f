/* body/json_write.c - commas and quotes for small documents. */
#include "lib/body/json_write.h"

#include <inttypes.h>

#include "lib/base/object.h"
#include "lib/body/json_text.h"

void
body_json_writer_init(struct body_json_writer *w, struct buffer *out)
{
	w->out = out;
	w->comma = false;
}

/* Valid text as it is; each byte that is in no UTF-8 sequence as U+FFFD. */
static void
repair(struct span text, struct buffer *out)
{
	size_t n;

	for (size_t i = 0; i < text.len; i += n) {
		for (n = 1; n <= 4 && n <= text.len - i; n++)
			if (utf8_valid(text.p + i, n))
				break;
		if (n <= 4 && n <= text.len - i) {
			buffer_put(out, text.p + i, n);
		} else {
			buffer_puts(out, "\xef\xbf\xbd");
			n = 1;
		}
	}
}

static void
put_text(struct buffer *out, struct span text)
{
	struct buffer repaired;

	if (utf8_valid(text.p, text.len)) {
		ensure(body_json_escape(text, out) == RC_OK);
		return;
	}
	buffer_init(&repaired, 0, out->sensitive);
	repair(text, &repaired);
	ensure(body_json_escape((struct span){ buffer_data(&repaired),
	    buffer_len(&repaired) }, out) == RC_OK);
	buffer_fini(&repaired);
}

/* What stands before an item: a comma if it is not the first, and its key. */
static void
begin_item(struct body_json_writer *w, const char *key)
{
	if (w->comma)
		buffer_puts(w->out, ",");
	w->comma = true;
	if (key != NULL) {
		put_text(w->out, span_of(key));
		buffer_puts(w->out, ":");
	}
}

static void
open_container(struct body_json_writer *w, const char *key, const char *bracket)
{
	begin_item(w, key);
	buffer_puts(w->out, bracket);
	w->comma = false;
}

static void
close_container(struct body_json_writer *w, const char *bracket)
{
	buffer_puts(w->out, bracket);
	w->comma = true;
}

void
body_json_open_object(struct body_json_writer *w, const char *key)
{
	open_container(w, key, "{");
}

void
body_json_close_object(struct body_json_writer *w)
{
	close_container(w, "}");
}

void
body_json_open_array(struct body_json_writer *w, const char *key)
{
	open_container(w, key, "[");
}

void
body_json_close_array(struct body_json_writer *w)
{
	close_container(w, "]");
}

void
body_json_put_string(struct body_json_writer *w, const char *key,
    struct span text)
{
	begin_item(w, key);
	put_text(w->out, text);
}

void
body_json_put_str(struct body_json_writer *w, const char *key, const char *text)
{
	body_json_put_string(w, key, span_of(text));
}

void
body_json_put_u64(struct body_json_writer *w, const char *key, uint64_t value)
{
	begin_item(w, key);
	buffer_printf(w->out, "%" PRIu64, value);
}

void
body_json_put_bool(struct body_json_writer *w, const char *key, bool value)
{
	begin_item(w, key);
	buffer_puts(w->out, value ? "true" : "false");
}

void
body_json_put_raw(struct body_json_writer *w, const char *key, struct span raw)
{
	begin_item(w, key);
	buffer_put(w->out, raw.p, raw.len);
}
