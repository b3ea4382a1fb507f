/*
 * http/framing.c - one verdict on the length of a body.
 *
 * Everything here exists because two readers of one message once disagreed:
 * the next request of another client was then read out of this one's body.
 * We forward framing fields that we wrote ourselves, so a refusal is needed
 * only where the sender's intent is not certain; there it is always given.
 */
#include "lib/http/framing.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/string.h"

static enum rc
refuse(struct http_framing *f, const char *detail)
{
	f->kind = HTTP_BODY_NONE;
	f->length = 0;
	f->detail = detail;
	return (RC_SYNTAX);
}

/* Content_Length and friends: CGI and its heirs fold '_' to '-', so a reader
 * behind us could take such a field for the real one. */
static bool
is_look_alike(struct span name)
{
	static const char *const framing[] = {
		"content-length", "transfer-encoding",
	};

	for (size_t i = 0; i < 2; i++) {
		size_t len = strlen(framing[i]), k;

		if (name.len != len)
			continue;
		for (k = 0; k < len; k++) {
			char c = name.p[k] == '_' ? '-' : name.p[k];

			if (c != framing[i][k] && (c | 0x20) != framing[i][k])
				break;
		}
		if (k == len)
			return (true);
	}
	return (false);
}

struct framing_fields {
	const struct http_field	*length;	/* view; NULL when absent */
	const struct http_field	*coding;
};

static enum rc
find_fields(const struct http_head *h, struct http_framing *f,
    struct framing_fields *found)
{
	*found = (struct framing_fields){ NULL, NULL };
	for (size_t i = 0; i < h->n_fields; i++) {
		const struct http_field *line = &h->fields[i];

		switch (line->id) {
		case HTTP_FIELD_CONTENT_LENGTH:
			if (found->length != NULL)
				return (refuse(f, "more than one Content-Length"));
			found->length = line;
			break;
		case HTTP_FIELD_TRANSFER_ENCODING:
			if (found->coding != NULL)
				return (refuse(f, "more than one Transfer-Encoding"));
			found->coding = line;
			break;
		case HTTP_FIELD_OTHER:
			if (is_look_alike(line->name))
				return (refuse(f, "a name that looks like framing"));
			break;
		default:	/* the other ids say nothing on length */
			break;
		}
	}
	if (found->length != NULL && found->coding != NULL)
		return (refuse(f, "Content-Length with Transfer-Encoding"));
	if (found->coding != NULL && h->minor == 0)
		return (refuse(f, "Transfer-Encoding in HTTP/1.0"));
	return (RC_OK);
}

static enum rc
judge_length(struct span value, struct http_framing *f)
{
	uint64_t n;

	/* Over 63 bits some reader's number is negative. */
	if (string_u64(value, &n) != RC_OK || n > INT64_MAX)
		return (refuse(f, "Content-Length is not a number we take"));
	f->kind = HTTP_BODY_LENGTH;
	f->length = n;
	return (RC_OK);
}

/* Two or more plain codings of which the last, and no other, is `chunked`:
 * well framed, but needs a coding we do not have. */
static bool
ends_in_chunked(struct span list)
{
	struct span item;
	bool last = false;
	size_t n = 0;

	for (; http_list_next(&list, &item); n++) {
		if (last)
			return (false);
		for (size_t i = 0; i < item.len; i++)
			if (!http_is_tchar((unsigned char)item.p[i]))
				return (false);
		last = span_eq_case(item, "chunked");
	}
	return (last && n > 1);
}

static enum rc
judge_coding(struct span value, struct http_framing *f)
{
	if (span_eq_case(value, "chunked")) {
		f->kind = HTTP_BODY_CHUNKED;
		return (RC_OK);
	}
	(void)refuse(f, "Transfer-Encoding is not chunked alone");
	return (ends_in_chunked(value) ? RC_UNSUPPORTED : RC_SYNTAX);
}

static void
init(struct http_framing *f)
{
	f->kind = HTTP_BODY_NONE;
	f->length = 0;
	f->detail = NULL;
}

enum rc
http_framing_request(const struct http_head *h, struct http_framing *f)
{
	struct framing_fields found;
	enum rc rc;

	init(f);
	if ((rc = find_fields(h, f, &found)) != RC_OK)
		return (rc);
	if (found.coding != NULL)
		rc = judge_coding(found.coding->value, f);
	else if (found.length != NULL)
		rc = judge_length(found.length->value, f);
	/* What follows a CONNECT head is the tunnel to some, a body to others. */
	if (rc == RC_OK && h->method == HTTP_CONNECT &&
	    (f->kind == HTTP_BODY_CHUNKED || f->length != 0))
		return (refuse(f, "CONNECT with a body"));
	return (rc);
}

/* Statuses that end with their head (RFC 9112 6.3, cases 1 and 2). */
static bool
is_bodiless(const struct http_head *h, enum http_method to)
{
	return (to == HTTP_HEAD || h->status == 304 || h->status == 204 ||
	    h->status / 100 == 1 || (to == HTTP_CONNECT && h->status / 100 == 2));
}

enum rc
http_framing_response(const struct http_head *h, enum http_method to,
    struct http_framing *f)
{
	struct framing_fields found;
	enum rc rc;

	init(f);
	if ((rc = find_fields(h, f, &found)) != RC_OK)
		return (rc);
	if (found.coding != NULL)
		rc = judge_coding(found.coding->value, f);
	else if (found.length != NULL)
		rc = judge_length(found.length->value, f);
	else
		f->kind = HTTP_BODY_UNTIL_CLOSE;
	if (rc != RC_OK)
		return (refuse(f, f->detail));
	if (!is_bodiless(h, to))
		return (RC_OK);
	/* 1xx and 204 must not announce a body (RFC 9110 8.6): an origin that
	 * also sends it would have it read as the answer to the next request. */
	if ((h->status == 204 || h->status / 100 == 1) &&
	    (f->kind == HTTP_BODY_CHUNKED || f->length != 0))
		return (refuse(f, "a body announced where none can be"));
	init(f);
	return (RC_OK);
}
