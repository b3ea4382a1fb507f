/*
 * body/found.c - each text is measured first and written second, so a buffer's
 * limit leaves nothing half added.
 */
#include "lib/body/found.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/token_scan.h"

#define FOUNDS_FIRST	16
#define PERCENT_BYTES	3

void
body_founds_fini(struct body_founds *f)
{
	free(f->v);
	memset(f, 0, sizeof(*f));
}

enum rc
body_founds_reserve(struct body_founds *f)
{
	size_t cap = f->cap == 0 ? FOUNDS_FIRST : 2 * f->cap;
	struct body_found *v;

	if (f->n < f->cap)
		return (RC_OK);
	if (cap > SIZE_MAX / sizeof(*v) ||
	    (v = realloc(f->v, cap * sizeof(*v))) == NULL)
		return (RC_NOMEM);
	f->v = v;
	f->cap = cap;
	return (RC_OK);
}

/* ---- its own text ----------------------------------------------------------- */

static enum body_token_escape
escape_of(const struct body_found *f)
{
	if (!f->encoded)
		return (BODY_TOKEN_RAW);
	switch (f->place) {
	case BODY_FOUND_JSON_VALUE:
	case BODY_FOUND_JSON_TEXT:
		return (BODY_TOKEN_BACKSLASH);
	case BODY_FOUND_PERCENT:
		return (BODY_TOKEN_PERCENT);
	case BODY_FOUND_XML:
		return (BODY_TOKEN_REFERENCE);
	case BODY_FOUND_PLAIN:
	case BODY_FOUND_FILE:
		break;
	}
	return (BODY_TOKEN_RAW);
}

enum rc
body_found_token(struct span window, size_t base, const struct body_found *f,
    struct buffer *out)
{
	size_t quote = f->place == BODY_FOUND_JSON_VALUE ? 1 : 0;
	struct body_token token = { .escape = escape_of(f) };

	ensure(f->start >= base && f->end - base <= window.len &&
	    f->end - f->start > 2 * quote);
	token.start = f->start + quote - base;
	token.end = f->end - quote - base;
	return (body_token_append(window, &token, out));
}

/* ---- percent-encoding (RFC 3986 2.1) ------------------------------------------ */

static bool
is_unreserved(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	    c == '~');
}

static enum rc
write_percent(struct span text, struct buffer *out)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = 0;
	char *to;
	enum rc rc;

	for (size_t i = 0; i < text.len; i++)
		len += is_unreserved(text.p[i]) ? 1 : PERCENT_BYTES;
	if ((rc = buffer_reserve(out, len, &to)) != RC_OK)
		return (rc);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (is_unreserved(text.p[i])) {
			*to++ = text.p[i];
			continue;
		}
		*to++ = '%';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 15];
	}
	buffer_commit(out, len);
	return (RC_OK);
}

/* ---- XML ------------------------------------------------------------------------ */

/* XML 1.0 section 2.2 of text that is UTF-8: no controls but three, not
 * U+FFFE and U+FFFF. */
static bool
is_xml_text(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
			return (false);
		if (c == 0xef && text.len - i >= 3 &&
		    (memcmp(text.p + i, "\xef\xbf\xbe", 3) == 0 ||
		    memcmp(text.p + i, "\xef\xbf\xbf", 3) == 0))
			return (false);
	}
	return (true);
}

/* What stands for a character that means something to a reader of XML; NULL
 * for all others.  An attribute's tabs and line feeds would become spaces, and
 * any carriage return a line feed (3.3.3, 2.11). */
static const char *
reference(char c)
{
	switch (c) {
	case '&':
		return ("&amp;");
	case '<':
		return ("&lt;");
	case '>':
		return ("&gt;");
	case '"':
		return ("&quot;");
	case '\'':
		return ("&#39;");	/* HTML 4 has no &apos; */
	case '\t':
		return ("&#9;");
	case '\n':
		return ("&#10;");
	case '\r':
		return ("&#13;");
	default:
		return (NULL);
	}
}

static enum rc
write_xml(struct span text, struct buffer *out)
{
	const char *ref;
	size_t len = 0;
	char *to;
	enum rc rc;

	if (!utf8_valid(text.p, text.len) || !is_xml_text(text))
		return (RC_SYNTAX);
	for (size_t i = 0; i < text.len; i++)
		len += (ref = reference(text.p[i])) != NULL ? strlen(ref) : 1;
	if ((rc = buffer_reserve(out, len, &to)) != RC_OK)
		return (rc);
	for (size_t i = 0; i < text.len; i++) {
		if ((ref = reference(text.p[i])) == NULL)
			*to++ = text.p[i];
		else
			to = mempcpy(to, ref, strlen(ref));
	}
	buffer_commit(out, len);
	return (RC_OK);
}

/* ---- any place -------------------------------------------------------------------- */

enum rc
body_found_write(enum body_found_place place, enum body_value_type type,
    struct span opened, struct buffer *out)
{
	if (opened.len == 0 && place != BODY_FOUND_JSON_VALUE)
		return (RC_OK);
	switch (place) {
	case BODY_FOUND_JSON_VALUE:
		return (body_json_insert(type, opened, out));
	case BODY_FOUND_JSON_TEXT:
		return (body_json_escape_text(opened, out));
	case BODY_FOUND_PERCENT:
		return (write_percent(opened, out));
	case BODY_FOUND_XML:
		return (write_xml(opened, out));
	case BODY_FOUND_PLAIN:
	case BODY_FOUND_FILE:
		break;
	}
	return (buffer_append(out, opened.p, opened.len));
}

bool
body_found_fits_line(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return (false);
	}
	return (true);
}
