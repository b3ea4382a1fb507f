/*
 * Heads of both kinds and trailers.  First byte: which kind, and where the
 * input is cut.  Read whole, and cut in two with the second part in memory of
 * its own, the answer must be the same; what was taken must hold what the
 * header of message_head.h promises, and survive being written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/http/framing.h"
#include "lib/http/write.h"

typedef enum rc (*parse_fn)(struct http_head *, const char *, size_t,
    const struct http_limits *);

static const struct http_limits limits = { 4096, 1024, 32 };

static bool
inside(struct span s, const char *in, size_t len)
{
	return (s.len == 0 || (s.p >= in && s.p + s.len <= in + len));
}

static void
check_fields(const struct http_head *h, const char *in)
{
	for (size_t i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];

		ensure(f->name.len != 0 && inside(f->name, in, h->bytes));
		ensure(inside(f->value, in, h->bytes));
		ensure(http_value_valid(f->value));
		ensure(f->id == http_field_lookup(f->name));
		(void)http_head_is_hop_by_hop(h, f);
	}
}

static bool
same(const struct http_head *a, const struct http_head *b)
{
	if (a->n_fields != b->n_fields || a->status != b->status ||
	    a->method != b->method || a->minor != b->minor ||
	    !span_eq(a->target, b->target) || !span_eq(a->reason, b->reason))
		return (false);
	for (size_t i = 0; i < a->n_fields; i++)
		if (!span_eq(a->fields[i].name, b->fields[i].name) ||
		    !span_eq(a->fields[i].value, b->fields[i].value))
			return (false);
	return (true);
}

static void
check_cut(parse_fn parse, const char *in, size_t len, size_t cut, enum rc want,
    const struct http_head *whole)
{
	struct http_head h;
	char *first = malloc(cut + 1);
	enum rc rc;

	ensure(first != NULL);
	memcpy(first, in, cut);
	http_head_init(&h);
	rc = parse(&h, first, cut, &limits);
	memset(first, 0, cut);
	if (rc == RC_MORE)
		rc = parse(&h, in, len, &limits);
	ensure(rc == want);
	/* A head that ended before the cut had its views into `first`. */
	if (rc == RC_OK && h.bytes > cut)
		ensure(same(&h, whole));
	ensure(rc != RC_SYNTAX || (h.fault != HTTP_FAULT_NONE && h.detail != NULL));
	http_head_fini(&h);
	free(first);
}

/* What we would send for this head is read as the same head. */
static void
check_rewrite(const struct http_head *h)
{
	struct http_head again;
	struct buffer b;

	buffer_init(&b, 0, false);
	http_write_request_line(&b, h->method_text, h->target);
	for (size_t i = 0; i < h->n_fields; i++)
		http_write_field(&b, h->fields[i].name, h->fields[i].value);
	http_write_end(&b);
	http_head_init(&again);
	ensure(http_head_request(&again, buffer_data(&b), buffer_len(&b),
	    &HTTP_LIMITS_DEFAULT) == RC_OK);
	ensure(again.bytes == buffer_len(&b));
	again.minor = h->minor;
	ensure(same(h, &again));
	http_head_fini(&again);
	buffer_fini(&b);
}

static void
check_framing(const struct http_head *h, bool request)
{
	struct http_framing f;
	enum rc rc;

	rc = request ? http_framing_request(h, &f) :
	    http_framing_response(h, HTTP_GET, &f);
	ensure(rc == RC_OK || f.detail != NULL);
	if (rc != RC_OK)
		return;
	ensure(http_head_count(h, HTTP_FIELD_CONTENT_LENGTH) +
	    http_head_count(h, HTTP_FIELD_TRANSFER_ENCODING) <= 1);
	ensure(!request || f.kind != HTTP_BODY_UNTIL_CLOSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const parse_fn kinds[] = { http_head_request, http_head_response,
	    http_head_trailers };
	const char *in = (const char *)data + 1;
	struct http_head h;
	struct span host;
	unsigned kind;
	size_t len;
	enum rc rc;

	if (size == 0)
		return (0);
	len = size - 1;
	kind = data[0] % 3u;
	http_head_init(&h);
	rc = kinds[kind](&h, in, len, &limits);
	if (rc == RC_OK) {
		check_fields(&h, in);
		(void)http_head_keep_alive(&h);
		(void)http_head_host(&h, &host);
	}
	if (rc == RC_OK && kind != 2)
		check_framing(&h, kind == 0);
	if (rc == RC_OK && kind == 0)
		check_rewrite(&h);
	check_cut(kinds[kind], in, len, len * (data[0] / 3u) / 85u, rc, &h);
	http_head_fini(&h);
	return (0);
}
