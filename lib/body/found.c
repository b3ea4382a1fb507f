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

/* Of a text inside of strings of JSON: a token's worth of quotes, four deep. */
#define QUOTED_BYTES_MAX	((size_t)16 << 20)

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
	case BODY_FOUND_CDATA:
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

/* A section cannot say all: it ends before such a character and begins again
 * behind what stands for it (2.7).  "]]>" needs its '>', also one that follows
 * the text. */
#define CDATA(s)	"]]>" s "<![CDATA["

static const char *
between_sections(char c, bool last)
{
	switch (c) {
	case '>':
		return (CDATA("&gt;"));
	case '\r':
		return (CDATA("&#13;"));
	case ']':
		return (last ? CDATA("&#93;") : NULL);
	default:
		return (NULL);
	}
}

static const char *
written(enum body_found_place place, struct span text, size_t i)
{
	return (place == BODY_FOUND_CDATA ?
	    between_sections(text.p[i], i + 1 == text.len) :
	    reference(text.p[i]));
}

static enum rc
write_xml(enum body_found_place place, struct span text, struct buffer *out)
{
	const char *instead;
	size_t len = 0;
	char *to;
	enum rc rc;

	if (!utf8_valid(text.p, text.len) || !is_xml_text(text))
		return (RC_SYNTAX);
	for (size_t i = 0; i < text.len; i++)
		len += (instead = written(place, text, i)) != NULL ?
		    strlen(instead) : 1;
	if ((rc = buffer_reserve(out, len, &to)) != RC_OK)
		return (rc);
	for (size_t i = 0; i < text.len; i++) {
		if ((instead = written(place, text, i)) == NULL)
			*to++ = text.p[i];
		else
			to = mempcpy(to, instead, strlen(instead));
	}
	buffer_commit(out, len);
	return (RC_OK);
}

/* ---- any place -------------------------------------------------------------------- */

static enum rc
write_in_place(enum body_found_place place, enum body_value_type type,
    struct span opened, struct buffer *out)
{
	switch (place) {
	case BODY_FOUND_JSON_VALUE:
		return (body_json_insert(type, opened, out));
	case BODY_FOUND_JSON_TEXT:
		return (body_json_escape_text(opened, out));
	case BODY_FOUND_PERCENT:
		return (write_percent(opened, out));
	case BODY_FOUND_XML:
	case BODY_FOUND_CDATA:
		return (write_xml(place, opened, out));
	case BODY_FOUND_PLAIN:
	case BODY_FOUND_FILE:
		break;
	}
	return (buffer_append(out, opened.p, opened.len));
}

/* *text as `depth` strings write it, one in the other; in one of two buffers. */
static enum rc
quote(unsigned depth, struct span *text, struct buffer bufs[2])
{
	enum rc rc = RC_OK;

	for (unsigned i = 0; i < depth && rc == RC_OK; i++) {
		struct buffer *to = &bufs[i % 2];

		buffer_clear(to);
		rc = body_json_escape_text(*text, to);
		*text = (struct span){ buffer_data(to), buffer_len(to) };
	}
	return (rc);
}

enum rc
body_found_write(enum body_found_place place, unsigned depth,
    enum body_value_type type, struct span opened, struct buffer *out)
{
	struct buffer bufs[2];
	enum rc rc;

	if (opened.len == 0 && place != BODY_FOUND_JSON_VALUE)
		return (RC_OK);
	if (depth == 0 || place == BODY_FOUND_PLAIN)
		return (write_in_place(place, type, opened, out));
	if (depth > BODY_FOUND_DEPTH_MAX)
		return (RC_SYNTAX);
	buffer_init(&bufs[0], QUOTED_BYTES_MAX, true);
	buffer_init(&bufs[1], QUOTED_BYTES_MAX, true);
	if ((rc = quote(depth, &opened, bufs)) == RC_OK)
		rc = write_in_place(place, type, opened, out);
	buffer_fini(&bufs[0]);
	buffer_fini(&bufs[1]);
	return (rc);
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
