/*
 * First byte: the type; the rest: opened text.  Whatever it is, one JSON value
 * comes out, of a type that the text has earned, or nothing at all.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_value(const struct buffer *out, enum body_value_type type,
    struct span text)
{
	struct body_json doc;
	struct buffer back;

	ensure(body_json_read(&doc, buffer_data(out), buffer_len(out), 0,
	    NULL) == RC_OK);
	ensure(doc.n == 1);
	switch ((enum body_json_type)doc.nodes[0].type) {
	case BODY_JSON_STRING:	/* it says exactly the text */
		buffer_init(&back, 0, true);
		ensure(body_json_unescape(body_json_raw(&doc, 0), &back) ==
		    RC_OK);
		ensure(span_eq((struct span){ buffer_data(&back),
		    buffer_len(&back) }, text));
		ensure(body_json_text_is(body_json_raw(&doc, 0), text));
		buffer_fini(&back);
		break;
	case BODY_JSON_NUMBER:
		ensure(type == BODY_VALUE_NUMBER);
		break;
	case BODY_JSON_TRUE:
	case BODY_JSON_FALSE:
		ensure(type == BODY_VALUE_BOOLEAN);
		break;
	case BODY_JSON_NULL:
	case BODY_JSON_ARRAY:
	case BODY_JSON_OBJECT:
		ensure(!"a type that no text may have");
	}
	body_json_fini(&doc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum body_value_type type;
	struct span text;
	struct buffer out;
	enum rc rc;

	if (len == 0)
		return (0);
	type = (enum body_value_type)(data[0] % 3);
	text = (struct span){ (const char *)data + 1, len - 1 };
	buffer_init(&out, 0, true);
	rc = body_json_insert(type, text, &out);
	ensure((rc == RC_OK) == utf8_valid(text.p, text.len));
	if (rc == RC_OK)
		check_value(&out, type, text);
	else
		ensure(rc == RC_SYNTAX && buffer_len(&out) == 0);
	buffer_clear(&out);
	(void)!body_json_unescape(text, &out);
	buffer_fini(&out);
	return (0);
}
