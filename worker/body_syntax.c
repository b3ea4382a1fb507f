/*
 * worker/body_syntax.c - the content type picks which selectors apply; it must
 * be one they can read, in UTF-8, in a coding that can be undone.
 */
#include "worker/body_syntax.h"

#include "worker/content_coding.h"

static bool
selects_bodies(const struct relay_action *actions, size_t n)
{
	return (relay_actions_select(actions, n, RELAY_SELECT_JSON) ||
	    relay_actions_select(actions, n, RELAY_SELECT_FORM));
}

static enum rc
judge_type(const struct http_head *head, const struct relay_action *actions,
    size_t n, enum rewrite_syntax *out, const char **why)
{
	const struct http_field *type = http_head_field(head,
	    HTTP_FIELD_CONTENT_TYPE);
	struct span media, charset;

	if (type == NULL || http_head_count(head, HTTP_FIELD_CONTENT_TYPE) != 1 ||
	    http_media_type(type->value, &media, &charset) != RC_OK) {
		*why = "the body's content type is missing or broken";
		return (RC_UNSUPPORTED);
	}
	if (http_media_is_json(media) &&
	    relay_actions_select(actions, n, RELAY_SELECT_JSON)) {
		*out = REWRITE_JSON;
	} else if (span_eq_case(media, "application/x-www-form-urlencoded") &&
	    relay_actions_select(actions, n, RELAY_SELECT_FORM)) {
		*out = REWRITE_FORM;
	} else {
		*why = "no selector of this route reads this content type";
		return (RC_UNSUPPORTED);
	}
	if (charset.len != 0 && !span_eq_case(charset, "utf-8") &&
	    !span_eq_case(charset, "us-ascii")) {
		*why = "the body's charset is not UTF-8";
		return (RC_UNSUPPORTED);
	}
	return (RC_OK);
}

enum rc
body_syntax_judge(const struct http_head *head, const struct http_framing *f,
    const struct relay_action *actions, size_t n, uint64_t max_bytes,
    enum rewrite_syntax *out, enum http_coding *coding, const char **why)
{
	enum rc rc;

	*out = REWRITE_NONE;
	*coding = HTTP_CODING_IDENTITY;
	*why = "";
	if (!selects_bodies(actions, n) || f->kind == HTTP_BODY_NONE ||
	    (f->kind == HTTP_BODY_LENGTH && f->length == 0))
		return (RC_OK);
	if (content_coding_judge(head, coding) != RC_OK) {
		*why = "the body's content coding cannot be undone here";
		return (RC_UNSUPPORTED);
	}
	if (head->status == 206) {
		*why = "a part of a document is none";
		rc = RC_UNSUPPORTED;
	} else {
		rc = judge_type(head, actions, n, out, why);
	}
	if (rc != RC_OK) {
		*out = REWRITE_NONE;
		*coding = HTTP_CODING_IDENTITY;
	} else if (f->kind == HTTP_BODY_LENGTH && f->length > max_bytes) {
		*why = "the body is over the limit for bodies with selectors";
		rc = RC_LIMIT;	/* pieces may do */
	}
	return (rc);
}
