/*
 * worker/api_change.c - one question to the feed, and what its answer means to
 * the caller.
 */
#include "worker/api_change.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/object.h"
#include "worker/api_private.h"
#include "worker/feed_client.h"

static void
digest(const struct buffer *record, uint8_t out[FEED_SHA256_BYTES])
{
	unsigned n = 0;

	ERR_clear_error();
	ensure(EVP_Digest(buffer_data(record), buffer_len(record), out, &n,
	    EVP_sha256(), NULL) == 1);
	ensure(n == FEED_SHA256_BYTES);
}

/* What the feed says against a record is told to who wrote it. */
static void
fail_record(struct api_call *a, enum error_code code, struct span reason,
    const char *otherwise)
{
	char *text = xstrndup(reason.p, reason.len);

	api_fail(a, code, "change", text[0] != '\0' ? text : otherwise);
	free(text);
}

static void
fail(struct api_call *a, unsigned status, struct span reason)
{
	switch (status) {
	case 401:
		api_fail(a, ERROR_UNAUTHORIZED, "change",
		    "the API key is not good");
		return;
	case 403:
		fail_record(a, ERROR_FORBIDDEN, reason,
		    "the record is another app's, or the API key may not manage");
		return;
	case 404:
		api_fail(a, ERROR_RESOURCE_NOT_FOUND, "change",
		    "it is not there any more");
		return;
	case 409:
		api_fail(a, ERROR_CONFLICT, "change",
		    "it was changed by somebody else");
		return;
	case 422:
		fail_record(a, ERROR_BAD_REQUEST, reason,
		    "the record is not valid");
		return;
	default:
		api_fail(a, ERROR_NOT_READY, "change",
		    "the configuration cannot be written now");
		return;
	}
}

static void
on_changed(void *arg, unsigned status, struct span reason)
{
	struct api_call *a = arg;

	a->change_id = 0;
	if (status == 200)
		a->then(a);
	else
		fail(a, status, reason);
}

void
api_change(struct api_call *a, const struct api_change *c,
    void (*then)(struct api_call *))
{
	uint8_t expect[FEED_SHA256_BYTES];
	struct feed_change change = {
		.hash = c->hash,
		.field = span_of(c->field),
		.remove = c->value == NULL,
		.expect = c->was != NULL ? expect : NULL,
		.api_key = { buffer_data(&a->credentials.secret),
		    buffer_len(&a->credentials.secret) },
	};

	if (c->value != NULL)
		change.value = (struct span){ buffer_data(c->value),
		    buffer_len(c->value) };
	if (c->was != NULL)
		digest(c->was, expect);
	a->then = then;
	a->change_id = feed_change(a->wrk->feed, &change, on_changed, a);
	if (a->change_id == 0)
		api_fail(a, ERROR_OVERLOADED, "change",
		    "too many changes wait already");
}
