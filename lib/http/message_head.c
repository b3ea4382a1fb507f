/*
 * http/message_head.c - start line and fields, one pass over the bytes.
 *
 *   request   EMPTY -> METHOD -> TARGET -> VERSION -> LINE
 *   response  STATUS -> REASON -> LINE
 *   trailers  LINE
 *             LINE -> NAME -> VALUE -> LINE ... -> DONE
 *
 * Each state reads as far as its bytes go and leaves `scanned` there, so the
 * next call goes on at that byte: a head that drips in costs no more than one
 * that comes whole.  `part` is where the current word or line began.
 *
 * Strict in what it takes (RFC 9112 2.2 allows bare LF, 5.2 lets a recipient
 * unfold, 5.1 forbids white space before the colon): a reader behind us may
 * be lenient in another way than we would be.
 */
#include "lib/http/message_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/object.h"
#include "lib/http/class_private.h"

#define EMPTY_LINES_MAX		4	/* some old clients add one after a body */
#define FIELDS_FIRST		32	/* one app's head without a second growth */
#define FIELDS_KEPT		64	/* more is given back between messages */
#define VERSION_BYTES		8	/* HTTP/1.1 */
#define STATUS_BYTES		12	/* HTTP/1.1 200 */

enum state {
	ST_START,
	ST_EMPTY,
	ST_METHOD,
	ST_TARGET,
	ST_VERSION,
	ST_STATUS,
	ST_REASON,
	ST_LINE,
	ST_NAME,
	ST_VALUE,
	ST_DONE,
	ST_FAILED
};

void
http_head_init(struct http_head *h)
{
	memset(h, 0, sizeof(*h));
}

void
http_head_fini(struct http_head *h)
{
	free(h->fields);
	memset(h, 0, sizeof(*h));
}

void
http_head_reset(struct http_head *h)
{
	struct http_field *fields = h->fields;
	size_t cap = h->cap_fields;

	if (cap > FIELDS_KEPT) {
		free(fields);
		fields = NULL;
		cap = 0;
	}
	memset(h, 0, sizeof(*h));
	h->fields = fields;
	h->cap_fields = cap;
}

static enum rc
fault(struct http_head *h, enum http_fault why, const char *detail)
{
	h->state = ST_FAILED;
	h->fault = why;
	h->detail = detail;
	return (RC_SYNTAX);
}

static enum rc
syntax(struct http_head *h, const char *detail)
{
	return (fault(h, HTTP_FAULT_SYNTAX, detail));
}

/* The next state begins at `at`. */
static enum rc
enter(struct http_head *h, enum state next, size_t at)
{
	h->state = (uint8_t)next;
	h->part = at;
	h->scanned = at;
	return (RC_OK);
}

static enum rc
more(struct http_head *h, size_t at)
{
	h->scanned = at;
	return (RC_MORE);
}

static size_t
skip_class(const char *in, size_t i, size_t end, uint8_t class)
{
	while (i < end && HTTP_CLASS(in[i], class))
		i++;
	return (i);
}

/* None of the eight bytes is a control or DEL.  A HTAB counts as one here;
 * the table decides on it. */
static bool
is_plain_word(const char *in)
{
	const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
	uint64_t w, del;

	memcpy(&w, in, sizeof(w));
	del = w ^ ones * 0x7f;
	return (((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & tops) == 0);
}

/* As skip_class for CLASS_VALUE, eight bytes at a time where that will do. */
static size_t
skip_value(const char *in, size_t i, size_t end)
{
	size_t stop;

	for (;;) {
		while (end - i >= 8 && is_plain_word(in + i))
			i += 8;
		stop = end - i >= 8 ? i + 8 : end;
		i = skip_class(in, i, stop, CLASS_VALUE);
		if (i != stop || i == end)
			return (i);
	}
}

/* CRLF at in[i]?  RC_OK, RC_MORE, or RC_SYNTAX with the fault set. */
static enum rc
expect_crlf(struct http_head *h, const char *in, size_t i, size_t end,
    const char *detail)
{
	if (i == end)
		return (more(h, i));
	if (in[i] != '\r')
		return (syntax(h, in[i] == '\n' ? "bare LF" : detail));
	if (i + 1 == end)
		return (more(h, i));
	return (in[i + 1] == '\n' ? RC_OK : syntax(h, "bare CR"));
}

/* Empty lines before a request line (RFC 9112 2.2). */
static enum rc
on_empty(struct http_head *h, const char *in, size_t end)
{
	size_t i = h->scanned;
	enum rc rc;

	for (; i < end && (in[i] == '\r' || in[i] == '\n'); i += 2) {
		if (i / 2 == EMPTY_LINES_MAX)
			return (syntax(h, "too many empty lines"));
		if ((rc = expect_crlf(h, in, i, end, "")) != RC_OK)
			return (rc);
	}
	return (i == end ? more(h, i) : enter(h, ST_METHOD, i));
}

static enum http_method
method_of(struct span text)
{
	static const struct {
		const char		*name;
		enum http_method	method;
	} methods[] = {
		{ "GET", HTTP_GET }, { "POST", HTTP_POST },
		{ "PUT", HTTP_PUT }, { "HEAD", HTTP_HEAD },
		{ "PATCH", HTTP_PATCH }, { "DELETE", HTTP_DELETE },
		{ "OPTIONS", HTTP_OPTIONS }, { "CONNECT", HTTP_CONNECT },
		{ "TRACE", HTTP_TRACE },
	};

	/* Case counts (RFC 9110 9.1): "get" is some other method. */
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (span_eq_str(text, methods[i].name))
			return (methods[i].method);
	return (HTTP_OTHER_METHOD);
}

static enum rc
on_method(struct http_head *h, const char *in, size_t end)
{
	size_t i = skip_class(in, h->scanned, end, CLASS_TOKEN);
	struct span text = { in + h->part, i - h->part };

	if (text.len > HTTP_METHOD_BYTES_MAX)
		return (syntax(h, "method too long"));
	if (i == end)
		return (more(h, i));
	if (in[i] != ' ' || text.len == 0)
		return (syntax(h, "bad method"));
	h->method_text = text;
	h->method = method_of(text);
	return (enter(h, ST_TARGET, i + 1));
}

static enum rc
on_target(struct http_head *h, const char *in, size_t end, size_t max)
{
	size_t i = skip_class(in, h->scanned, end, CLASS_TARGET);
	struct span text = { in + h->part, i - h->part };

	if (text.len > max)
		return (fault(h, HTTP_FAULT_TARGET_LONG, "target too long"));
	if (i == end)
		return (more(h, i));
	if (in[i] != ' ' || text.len == 0)
		return (syntax(h, "bad request target"));
	h->target = text;
	return (enter(h, ST_VERSION, i + 1));
}

static bool
is_digit(char c)
{
	return (c >= '0' && c <= '9');
}

/* "HTTP/1.x" at the start of the part; what is there of it must fit. */
static enum rc
read_version(struct http_head *h, const char *in, size_t end)
{
	const char *v = in + h->part;
	size_t n = end - h->part;

	if (memcmp(v, "HTTP/", n < 5 ? n : 5) != 0)
		return (syntax(h, "bad HTTP version"));
	if (n < VERSION_BYTES)
		return (more(h, h->part));
	if (!is_digit(v[5]) || v[6] != '.' || !is_digit(v[7]))
		return (syntax(h, "bad HTTP version"));
	if (v[5] != '1' || v[7] > '1')
		return (fault(h, HTTP_FAULT_VERSION, "HTTP version"));
	h->minor = (unsigned)(v[7] - '0');
	return (RC_OK);
}

static enum rc
on_version(struct http_head *h, const char *in, size_t end)
{
	size_t behind = h->part + VERSION_BYTES;
	enum rc rc;

	if ((rc = read_version(h, in, end)) != RC_OK)
		return (rc);
	rc = expect_crlf(h, in, behind, end, "bytes after the HTTP version");
	return (rc == RC_OK ? enter(h, ST_LINE, behind + 2) : rc);
}

/* Up to the three digits.  The SP behind them is missing in some servers'
 * lines without a reason; nobody reads that in two ways. */
static enum rc
on_status(struct http_head *h, const char *in, size_t end)
{
	const char *s = in + h->part;
	enum rc rc;

	if ((rc = read_version(h, in, end)) != RC_OK)
		return (rc);
	if (end - h->part <= STATUS_BYTES)
		return (more(h, h->part));
	if (s[8] != ' ' || s[9] < '1' || !is_digit(s[9]) || !is_digit(s[10]) ||
	    !is_digit(s[11]) || (s[12] != ' ' && s[12] != '\r'))
		return (syntax(h, "bad status line"));
	h->status = (unsigned)(s[9] - '0') * 100 +
	    (unsigned)(s[10] - '0') * 10 + (unsigned)(s[11] - '0');
	return (enter(h, ST_REASON,
	    h->part + STATUS_BYTES + (s[12] == ' ' ? 1 : 0)));
}

static enum rc
on_reason(struct http_head *h, const char *in, size_t end)
{
	size_t i = skip_value(in, h->scanned, end);
	enum rc rc;

	rc = expect_crlf(h, in, i, end, "control byte in the reason");
	if (rc != RC_OK)
		return (rc);
	h->reason = (struct span){ in + h->part, i - h->part };
	return (enter(h, ST_LINE, i + 2));
}

/* The first byte of a field line, or the empty line that ends the head. */
static enum rc
on_line(struct http_head *h, const char *in, size_t end)
{
	size_t i = h->part;
	enum rc rc;

	if (i < end && HTTP_CLASS(in[i], CLASS_TOKEN))
		return (enter(h, ST_NAME, i));
	if (i < end && (in[i] == ' ' || in[i] == '\t'))
		return (syntax(h, "folded line"));
	if (i < end && in[i] == ':')
		return (syntax(h, "empty field name"));
	rc = expect_crlf(h, in, i, end, "bad byte in a field name");
	if (rc != RC_OK)
		return (rc);
	h->bytes = i + 2;
	return (enter(h, ST_DONE, i + 2));
}

static enum rc
on_name(struct http_head *h, const char *in, size_t end)
{
	size_t i = skip_class(in, h->scanned, end, CLASS_TOKEN);

	if (i == end)
		return (more(h, i));
	if (in[i] == ' ' || in[i] == '\t')
		return (syntax(h, "white space before the colon"));
	if (in[i] != ':')
		return (syntax(h, in[i] == '\r' || in[i] == '\n' ?
		    "field line without a colon" : "bad byte in a field name"));
	h->state = ST_VALUE;
	h->value = i + 1;
	h->scanned = i + 1;
	return (RC_OK);
}

static void
add_field(struct http_head *h, struct span name, struct span value)
{
	struct http_field *f;

	if (h->n_fields == h->cap_fields) {
		h->cap_fields = h->cap_fields != 0 ?
		    h->cap_fields * 2 : FIELDS_FIRST;
		h->fields = xrealloc(h->fields,
		    h->cap_fields * sizeof(*h->fields));
	}
	f = &h->fields[h->n_fields++];
	f->id = http_field_lookup(name);
	f->name = name;
	f->value = span_trim(value);
	if (f->id == HTTP_FIELD_CONNECTION)
		h->connection += f->value.len;
}

static enum rc
on_value(struct http_head *h, const char *in, size_t end, size_t max_fields)
{
	size_t i = skip_value(in, h->scanned, end);
	enum rc rc;

	rc = expect_crlf(h, in, i, end, "control byte in a field value");
	if (rc != RC_OK)
		return (rc);
	if (h->n_fields >= max_fields)
		return (fault(h, HTTP_FAULT_HEAD_LONG, "too many field lines"));
	add_field(h,
	    (struct span){ in + h->part, h->value - 1 - h->part },
	    (struct span){ in + h->value, i - h->value });
	if (h->connection > HTTP_CONNECTION_BYTES_MAX)
		return (fault(h, HTTP_FAULT_HEAD_LONG, "Connection too long"));
	return (enter(h, ST_LINE, i + 2));
}

/* One state's work.  RC_OK: go on; RC_MORE and RC_SYNTAX end the call. */
static enum rc
step(struct http_head *h, const char *in, size_t end,
    const struct http_limits *lim)
{
	switch ((enum state)h->state) {
	case ST_EMPTY:
		return (on_empty(h, in, end));
	case ST_METHOD:
		return (on_method(h, in, end));
	case ST_TARGET:
		return (on_target(h, in, end, lim->target_bytes));
	case ST_VERSION:
		return (on_version(h, in, end));
	case ST_STATUS:
		return (on_status(h, in, end));
	case ST_REASON:
		return (on_reason(h, in, end));
	case ST_LINE:
		return (on_line(h, in, end));
	case ST_NAME:
		return (on_name(h, in, end));
	case ST_VALUE:
		return (on_value(h, in, end, lim->fields));
	case ST_START:
	case ST_DONE:
	case ST_FAILED:
		break;
	}
	return (RC_SYNTAX);
}

static enum rc
run(struct http_head *h, const char *in, size_t len,
    const struct http_limits *lim, enum state first)
{
	size_t end = len < lim->head_bytes ? len : lim->head_bytes;
	enum rc rc = RC_OK;

	if (len == 0)
		return (RC_MORE);
	if (h->state == ST_START || h->base != in) {
		http_head_reset(h);
		h->base = in;
		h->state = (uint8_t)first;
	}
	ensure(h->scanned <= len);	/* the same bytes first */
	if (h->state == ST_FAILED)
		return (RC_SYNTAX);
	while (h->state != ST_DONE && rc == RC_OK)
		rc = step(h, in, end, lim);
	if (rc == RC_MORE && len >= lim->head_bytes)
		return (h->state == ST_TARGET ?
		    fault(h, HTTP_FAULT_TARGET_LONG, "target too long") :
		    fault(h, HTTP_FAULT_HEAD_LONG, "head too long"));
	return (rc);
}

enum rc
http_head_request(struct http_head *h, const char *in, size_t len,
    const struct http_limits *lim)
{
	return (run(h, in, len, lim, ST_EMPTY));
}

enum rc
http_head_response(struct http_head *h, const char *in, size_t len,
    const struct http_limits *lim)
{
	return (run(h, in, len, lim, ST_STATUS));
}

enum rc
http_head_trailers(struct http_head *h, const char *in, size_t len,
    const struct http_limits *lim)
{
	return (run(h, in, len, lim, ST_LINE));
}

const struct http_field *
http_head_field(const struct http_head *h, enum http_field_id id)
{
	for (size_t i = 0; i < h->n_fields; i++)
		if (h->fields[i].id == id)
			return (&h->fields[i]);
	return (NULL);
}

const struct http_field *
http_head_field_named(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_fields; i++)
		if (span_eq_case(h->fields[i].name, name))
			return (&h->fields[i]);
	return (NULL);
}

size_t
http_head_count(const struct http_head *h, enum http_field_id id)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_fields; i++)
		if (h->fields[i].id == id)
			n++;
	return (n);
}

enum rc
http_head_host(const struct http_head *h, struct span *host)
{
	const struct http_field *f = http_head_field(h, HTTP_FIELD_HOST);

	*host = (struct span){ NULL, 0 };
	if (f == NULL)
		return (h->minor == 0 ? RC_NOTFOUND : RC_SYNTAX);
	if (http_head_count(h, HTTP_FIELD_HOST) != 1)
		return (RC_SYNTAX);
	*host = f->value;
	return (RC_OK);
}

bool
http_head_connection_has(const struct http_head *h, const char *option)
{
	for (size_t i = 0; i < h->n_fields; i++)
		if (h->fields[i].id == HTTP_FIELD_CONNECTION &&
		    http_list_has(h->fields[i].value, option))
			return (true);
	return (false);
}

bool
http_head_keep_alive(const struct http_head *h)
{
	if (http_head_connection_has(h, "close"))
		return (false);
	return (h->minor != 0 || http_head_connection_has(h, "keep-alive"));
}

/* A Connection field names this one. */
static bool
is_named_by_connection(const struct http_head *h, struct span name)
{
	struct span list, item;

	for (size_t i = 0; i < h->n_fields; i++) {
		if (h->fields[i].id != HTTP_FIELD_CONNECTION)
			continue;
		list = h->fields[i].value;
		while (http_list_next(&list, &item))
			if (item.len == name.len &&
			    strncasecmp(item.p, name.p, name.len) == 0)
				return (true);
	}
	return (false);
}

bool
http_head_is_hop_by_hop(const struct http_head *h, const struct http_field *f)
{
	switch (f->id) {
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_KEEP_ALIVE:
	case HTTP_FIELD_PROXY_AUTHENTICATE:
	case HTTP_FIELD_PROXY_AUTHORIZATION:
	case HTTP_FIELD_PROXY_CONNECTION:
	case HTTP_FIELD_TE:
	case HTTP_FIELD_TRAILER:
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_UPGRADE:
		return (true);
	case HTTP_FIELD_HOST:
	case HTTP_FIELD_CONTENT_ENCODING:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_CONTENT_TYPE:
		return (false);
	default:	/* every other field: as the sender says */
		return (is_named_by_connection(h, f->name));
	}
}
