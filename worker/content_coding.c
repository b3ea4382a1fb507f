/*
 * worker/content_coding.c - see content_coding.h; Accept-Encoding is RFC 9110
 * 12.5.3.
 */
#include "worker/content_coding.h"

#include "lib/http/field.h"
#include "lib/http/write.h"

/* ---- bodies ---- */

enum rc
content_coding_judge(const struct http_head *head, enum http_coding *out)
{
	const struct http_field *f = http_head_field(head,
	    HTTP_FIELD_CONTENT_ENCODING);

	*out = HTTP_CODING_IDENTITY;
	if (f == NULL)
		return (RC_OK);
	if (http_head_count(head, HTTP_FIELD_CONTENT_ENCODING) > 1)
		return (RC_UNSUPPORTED);
	return (http_coding_parse(f->value, out));
}

enum rc
content_coding_undo(enum http_coding coding, struct buffer *body,
    uint64_t max_bytes)
{
	struct http_decoder *d;
	struct buffer text;
	enum rc rc;

	if (coding == HTTP_CODING_IDENTITY || buffer_len(body) == 0)
		return (RC_OK);
	if ((d = http_decoder_new(coding, max_bytes, HTTP_DECODER_RATIO)) == NULL)
		return (RC_NOMEM);
	buffer_init(&text, 0, body->sensitive);
	rc = http_decoder_feed(d, (struct span){ buffer_data(body),
	    buffer_len(body) }, true, &text);
	http_decoder_free(&d);
	if (rc == RC_OK)
		buffer_move(body, &text);
	buffer_fini(&text);
	return (rc);
}

enum error_code
content_coding_error(enum rc rc, const char **why)
{
	switch (rc) {
	case RC_LIMIT:
		*why = "the decoded body is over the limit for bodies with "
		    "selectors, or over a hundred times what came";
		return (ERROR_PAYLOAD_TOO_LARGE);
	case RC_NOMEM:
		*why = "no memory to decode the body";
		return (ERROR_OVERLOADED);
	default:
		*why = "the body is not what its content coding says";
		return (ERROR_MALFORMED_BODY);
	}
}

enum rc
content_coding_redo(enum http_coding coding, struct buffer *body)
{
	struct http_encoder *e;
	struct buffer coded;
	enum rc rc;

	if (coding == HTTP_CODING_IDENTITY)
		return (RC_OK);
	if ((e = http_encoder_new(coding)) == NULL)
		return (RC_NOMEM);
	buffer_init(&coded, 0, body->sensitive);
	rc = http_encoder_feed(e, (struct span){ buffer_data(body),
	    buffer_len(body) }, true, &coded);
	http_encoder_free(&e);
	if (rc == RC_OK)
		buffer_move(body, &coded);
	buffer_fini(&coded);
	return (rc);
}

void
content_coding_write(enum http_coding coding, struct buffer *out)
{
	if (coding != HTTP_CODING_IDENTITY)
		http_write_field_str(out, "Content-Encoding",
		    http_coding_name(coding));
}

/* ---- what the client takes ---- */

struct accepted {
	struct span	weight[HTTP_CODINGS];	/* "q=..." as it came, or empty */
	bool		named[HTTP_CODINGS];
	bool		refused[HTTP_CODINGS];	/* with q=0 */
};

/* qvalue of RFC 9110 12.4.2. */
static bool
weight_ok(struct span w, bool *zero)
{
	char first;

	if (w.len < 3 || w.len > 7 || (w.p[0] | 0x20) != 'q' || w.p[1] != '=')
		return (false);
	first = w.p[2];
	*zero = first == '0';
	if ((first != '0' && first != '1') || (w.len > 3 && w.p[3] != '.'))
		return (false);
	for (size_t i = 4; i < w.len; i++) {
		if (w.p[i] < '0' || w.p[i] > (first == '1' ? '0' : '9'))
			return (false);
		*zero = *zero && w.p[i] == '0';
	}
	return (true);
}

/* "name ; q=0.5": the name, and the weight without the semicolon. */
static bool
split(struct span item, struct span *name, struct span *weight, bool *zero)
{
	size_t n = 0;

	while (n < item.len && item.p[n] != ';')
		n++;
	*name = span_trim((struct span){ item.p, n });
	*weight = (struct span){ "", 0 };
	*zero = false;
	if (n == item.len)
		return (true);
	*weight = span_trim((struct span){ item.p + n + 1, item.len - n - 1 });
	return (weight_ok(*weight, zero));
}

static void
accept_one(struct accepted *a, unsigned coding, struct span weight, bool zero)
{
	if (!a->named[coding])
		a->weight[coding] = weight;
	a->named[coding] = true;
	a->refused[coding] = a->refused[coding] || zero;
}

/* What '*' stands for is known when all else was read. */
static void
accept_list(struct accepted *a, struct span list, struct span *star, bool *any)
{
	struct span item, name, weight;
	enum http_coding coding;
	bool zero;

	while (http_list_next(&list, &item)) {
		if (!split(item, &name, &weight, &zero))
			continue;	/* a weight nobody can read */
		if (span_eq(name, SPAN_LIT("*"))) {
			*star = weight;
			*any = !zero;
		} else if (http_coding_parse(name, &coding) == RC_OK) {
			accept_one(a, coding, weight, zero);
		}
	}
}

static void
write_accepted(const struct accepted *a, struct buffer *out)
{
	/* In an order that serves those best who take the first. */
	static const enum http_coding order[] = { HTTP_CODING_ZSTD, HTTP_CODING_BR,
	    HTTP_CODING_GZIP, HTTP_CODING_DEFLATE };
	const char *between = "";

	buffer_puts(out, "Accept-Encoding: ");
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		enum http_coding coding = order[i];

		if (!a->named[coding] || a->refused[coding])
			continue;
		buffer_printf(out, "%s%s", between, http_coding_name(coding));
		if (a->weight[coding].len != 0) {
			buffer_puts(out, ";");
			buffer_put(out, a->weight[coding].p, a->weight[coding].len);
		}
		between = ", ";
	}
	buffer_puts(out, *between == '\0' ? "identity\r\n" : "\r\n");
}

void
content_coding_write_accept(const struct http_head *head, struct buffer *out)
{
	struct accepted a = { .named = { false } };
	struct span star = { "", 0 };
	bool any = false;

	for (size_t i = 0; i < head->n_fields; i++)
		if (head->fields[i].id == HTTP_FIELD_ACCEPT_ENCODING)
			accept_list(&a, head->fields[i].value, &star, &any);
	for (unsigned coding = 0; any && coding < HTTP_CODINGS; coding++)
		if (!a.named[coding])
			accept_one(&a, coding, star, false);
	write_accepted(&a, out);
}
