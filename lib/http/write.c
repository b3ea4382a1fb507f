/*
 * http/write.c - start lines and fields of the heads we send.
 *
 * The last place before the wire: a CR, LF or NUL that reached it would be a
 * second message, so it ends the process instead.
 */
#include "lib/http/write.h"

#include <string.h>

#include "lib/base/object.h"
#include "lib/http/class_private.h"

#define LENGTH_DIGITS_MAX	20	/* UINT64_MAX */

static const struct {
	unsigned	status;
	const char	*reason;
} reasons[] = {
	{ 100, "Continue" },
	{ 101, "Switching Protocols" },
	{ 103, "Early Hints" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 203, "Non-Authoritative Information" },
	{ 204, "No Content" },
	{ 205, "Reset Content" },
	{ 206, "Partial Content" },
	{ 300, "Multiple Choices" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 425, "Too Early" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 508, "Loop Detected" },
};

const char *
http_reason(unsigned status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return (reasons[i].reason);
	return ("");
}

static bool
all_of(struct span s, uint8_t class)
{
	for (size_t i = 0; i < s.len; i++)
		if (!HTTP_CLASS(s.p[i], class))
			return (false);
	return (true);
}

/* The parts of a line beside each other: one look for room. */
static void
put_line(struct buffer *b, const struct span *parts, size_t n)
{
	size_t len = 0;
	char *to;

	for (size_t i = 0; i < n; i++)
		len += parts[i].len;
	ensure(buffer_reserve(b, len, &to) == RC_OK);
	for (size_t i = 0; i < n; i++) {
		memcpy(to, parts[i].p, parts[i].len);
		to += parts[i].len;
	}
	buffer_commit(b, len);
}

void
http_write_request_line(struct buffer *b, struct span method,
    struct span target)
{
	ensure(method.len != 0 && all_of(method, CLASS_TOKEN));
	ensure(target.len != 0 && all_of(target, CLASS_TARGET));
	put_line(b, (const struct span[]){ method, SPAN_LIT(" "), target,
	    SPAN_LIT(" HTTP/1.1\r\n") }, 4);
}

void
http_write_status_line(struct buffer *b, unsigned status, struct span reason)
{
	const char code[3] = { (char)('0' + status / 100),
	    (char)('0' + status / 10 % 10), (char)('0' + status % 10) };

	ensure(status >= 100 && status <= 999);
	ensure(all_of(reason, CLASS_VALUE));
	if (reason.len == 0)
		reason = span_of(http_reason(status));
	put_line(b, (const struct span[]){ SPAN_LIT("HTTP/1.1 "), { code, 3 },
	    SPAN_LIT(" "), reason, SPAN_LIT("\r\n") }, 5);
}

void
http_write_field(struct buffer *b, struct span name, struct span value)
{
	ensure(name.len != 0 && all_of(name, CLASS_TOKEN));
	ensure(all_of(value, CLASS_VALUE));
	put_line(b, (const struct span[]){ name, SPAN_LIT(": "), value,
	    SPAN_LIT("\r\n") }, 4);
}

void
http_write_field_str(struct buffer *b, const char *name, const char *value)
{
	http_write_field(b, span_of(name), span_of(value));
}

void
http_write_length(struct buffer *b, uint64_t length)
{
	char digits[LENGTH_DIGITS_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + length % 10);
	} while ((length /= 10) != 0);
	http_write_field(b, SPAN_LIT("Content-Length"),
	    (struct span){ digits + at, sizeof(digits) - at });
}

void
http_write_end(struct buffer *b)
{
	buffer_put(b, "\r\n", 2);
}
