/*
 * Our verdicts beside those of other people's collections: llhttp's parser
 * tests, the requests of http-desync-guardian, the Transfer-Encoding gadgets
 * of smuggler.  Where we differ, a table names the case and the reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/http/chunked.h"
#include "lib/http/framing.h"
#include "lib/http/uri.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

/* ---- the judge: what a connection would make of these bytes ---------------- */

enum verdict {
	VERDICT_REFUSED,
	VERDICT_TAKEN,		/* every message complete, or ended by a close */
	VERDICT_MORE		/* a sound beginning */
};

static enum verdict
judge_chunks(const char *in, size_t len, size_t *used)
{
	struct http_chunked c;
	struct http_head t;
	const char *out;
	size_t n, outlen;
	enum rc rc;

	http_chunked_init(&c, UINT64_MAX);
	*used = 0;
	do {
		rc = http_chunked_feed(&c, in + *used, len - *used, &n, &out,
		    &outlen);
		*used += n;
	} while (rc == RC_MORE && n != 0);
	if (rc == RC_OK) {
		http_head_init(&t);
		rc = http_head_trailers(&t, in + *used, len - *used,
		    &HTTP_LIMITS_DEFAULT);
		*used += t.bytes;
		http_head_fini(&t);
	}
	if (rc == RC_MORE)
		return (VERDICT_MORE);
	return (rc == RC_OK ? VERDICT_TAKEN : VERDICT_REFUSED);
}

static enum verdict
judge_body(const struct http_framing *f, const char *in, size_t len,
    size_t *used)
{
	*used = 0;
	switch (f->kind) {
	case HTTP_BODY_CHUNKED:
		return (judge_chunks(in, len, used));
	case HTTP_BODY_LENGTH:
		if (f->length > len)
			return (VERDICT_MORE);
		*used = (size_t)f->length;
		break;
	case HTTP_BODY_UNTIL_CLOSE:
		*used = len;
		break;
	case HTTP_BODY_NONE:
		break;
	}
	return (VERDICT_TAKEN);
}

/* One message at in; *last: nothing is read behind it. */
static enum verdict
judge_message(bool request, const char *in, size_t len, size_t *used,
    bool *last)
{
	enum verdict v = VERDICT_REFUSED;
	struct http_target target;
	struct http_framing f;
	struct http_head h;
	size_t body = 0;
	enum rc rc;

	http_head_init(&h);
	rc = request ?
	    http_head_request(&h, in, len, &HTTP_LIMITS_DEFAULT) :
	    http_head_response(&h, in, len, &HTTP_LIMITS_DEFAULT);
	if (rc == RC_MORE)
		v = VERDICT_MORE;
	if (rc == RC_OK && request)
		rc = http_target_parse(h.method, h.target, &target);
	if (rc == RC_OK)
		rc = request ? http_framing_request(&h, &f) :
		    http_framing_response(&h, HTTP_GET, &f);
	if (rc == RC_OK)
		v = judge_body(&f, in + h.bytes, len - h.bytes, &body);
	*used = h.bytes + body;
	*last = !http_head_keep_alive(&h) || h.method == HTTP_CONNECT ||
	    http_head_connection_has(&h, "upgrade");
	http_head_fini(&h);
	return (v);
}

static enum verdict
judge(bool request, const char *in, size_t len)
{
	enum verdict v;
	bool last = false;
	size_t used;

	do {
		v = judge_message(request, in, len, &used, &last);
		in += used;
		len -= v == VERDICT_TAKEN ? used : len;
	} while (len != 0 && !last);
	return (v);
}

/* ---- finding and reading the collections ----------------------------------- */

static char *
load(const char *name)
{
	const char *root = getenv("RELAY_SHARED");
	char path[512], *text;
	FILE *f;
	long size;

	if (root != NULL)
		(void)snprintf(path, sizeof(path), "%s/suites/%s", root, name);
	else
		(void)snprintf(path, sizeof(path), "%s/../shared/suites/%s",
		    TEST_SRCDIR, name);
	if ((f = fopen(path, "rb")) == NULL) {
		print_message("# skipped: no %s\n", path);
		return (NULL);
	}
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	assert_true(size > 0);
	rewind(f);
	text = malloc((size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, f), (size_t)size);
	text[size] = '\0';
	(void)fclose(f);
	return (text);
}

struct exception {
	const char	*name;
	const char	*reason;
};

static bool
is_excepted(const struct exception *list, size_t n, struct span name)
{
	for (size_t i = 0; i < n; i++)
		if (span_eq_str(name, list[i].name))
			return (true);
	return (false);
}

static int
hex(char c)
{
	const char *digits = "0123456789abcdef", *at;

	at = c != '\0' ? strchr(digits, c | 0x20) : NULL;
	return (at != NULL ? (int)(at - digits) : -1);
}

/* The escape at s (behind the backslash): \r \n \t \xHH, others as they are.
 * Returns the bytes of s it took. */
static size_t
put_escape(struct buffer *out, struct span s)
{
	char c = s.p[0];

	if (c == 'x' && s.len > 2 && hex(s.p[1]) >= 0 && hex(s.p[2]) >= 0) {
		c = (char)(hex(s.p[1]) << 4 | hex(s.p[2]));
		buffer_put(out, &c, 1);
		return (3);
	}
	c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c;
	buffer_put(out, &c, 1);
	return (1);
}

/* ---- llhttp ---------------------------------------------------------------- */

/* We take no more than llhttp does: these it takes and we refuse. */
static const struct exception llhttp_stricter[] = {
	{ "SOURCE request with ICE", "not HTTP" },
	{ "OPTIONS request with RTSP", "not HTTP" },
	{ "ANNOUNCE request with RTSP", "not HTTP" },
	{ "RTSP response", "not HTTP" },
	{ "ICE response", "not HTTP" },
	{ "PRI request HTTP2", "* is for OPTIONS alone" },
	{ "M-SEARCH request", "* is for OPTIONS alone" },
	{ "CONNECT with body", "a tunnel to some, a body to others" },
	{ "No HTTP version", "HTTP/0.9" },
	{ "HTTP version 0.9", "HTTP/0.9" },
	{ "Response starting with CRLF", "RFC 9112 2.2 is on requests" },
};

/* ```http text -> bytes: the last line end goes, a backslash joins lines,
 * line ends are CRLF. */
static void
llhttp_bytes(struct span s, struct buffer *out)
{
	if (s.len != 0 && s.p[s.len - 1] == '\n')
		s.len--;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '\n')
			buffer_puts(out, "\r\n");
		else if (s.p[i] != '\\' || i + 1 == s.len)
			buffer_put(out, s.p + i, 1);
		else if (s.p[i + 1] == '\n')
			i++;
		else
			i += put_escape(out,
			    (struct span){ s.p + i + 1, s.len - i - 1 });
	}
}

/* From after `open` to before `close`; *at moves behind it. */
static bool
between(const char **at, const char *open, const char *close, struct span *out)
{
	const char *from = strstr(*at, open), *to;

	if (from == NULL)
		return (false);
	from += strlen(open);
	if ((to = strstr(from, close)) == NULL)
		return (false);
	*out = (struct span){ from, (size_t)(to - from) };
	*at = to + strlen(close);
	return (true);
}

static bool
contains(struct span s, const char *word)
{
	return (memmem(s.p, s.len, word, strlen(word)) != NULL);
}

/* The heading above `at`. */
static struct span
heading_before(const char *text, const char *at)
{
	const char *line = at;

	while (line > text && !(line[0] == '#' && line[-1] == '\n'))
		line--;
	line += strspn(line, "# ");
	return ((struct span){ line, strcspn(line, "\n") });
}

/* llhttp's word on the case: it stops at an error.  A pause is none, nor are
 * bytes after the last message: those are the connection's to drop. */
static bool
llhttp_refuses(struct span log)
{
	return (contains(log, "error code=") && !contains(log, "Pause on") &&
	    !contains(log, "Data after `Connection: close`"));
}

static unsigned
llhttp_case(struct span name, bool request, struct span message, bool refuses)
{
	struct buffer raw;
	enum verdict v;

	buffer_init(&raw, 0, false);
	llhttp_bytes(message, &raw);
	v = judge(request, buffer_data(&raw), buffer_len(&raw));
	if (refuses && v == VERDICT_MORE) {
		/* It refuses in the middle of a head, we at its end. */
		buffer_puts(&raw, "\r\n");
		v = judge(request, buffer_data(&raw), buffer_len(&raw));
	}
	buffer_fini(&raw);
	if (refuses == (v == VERDICT_REFUSED))
		return (0);
	if (!refuses && is_excepted(llhttp_stricter, N(llhttp_stricter), name))
		return (0);
	print_message("# %.*s: llhttp %s, we do not\n", (int)name.len, name.p,
	    refuses ? "refuses" : "takes");
	return (1);
}

static void
test_llhttp(void **state)
{
	static const char *const files[] = {
		"http-llhttp/request/connection.md",
		"http-llhttp/request/content-length.md",
		"http-llhttp/request/method.md",
		"http-llhttp/request/pipelining.md",
		"http-llhttp/request/sample.md",
		"http-llhttp/response/content-length.md",
		"http-llhttp/response/sample.md",
	};
	unsigned cases = 0, wrong = 0;

	(void)state;
	for (size_t i = 0; i < N(files); i++) {
		struct span meta, message, log;
		char *text = load(files[i]);
		const char *at = text;

		if (text == NULL)
			skip();
		while (between(&at, "<!-- meta=", "-->", &meta)) {
			struct span name = heading_before(text, meta.p);

			assert_true(between(&at, "```http\n", "```", &message));
			assert_true(between(&at, "```log\n", "```", &log));
			/* Lenient modes say nothing on a strict reader. */
			if (contains(meta, "lenient"))
				continue;
			wrong += llhttp_case(name, contains(meta, "\"request\""),
			    message, llhttp_refuses(log));
			cases++;
		}
		free(text);
	}
	assert_true(cases > 60);
	assert_int_equal(wrong, 0);
}

/* ---- http-desync-guardian --------------------------------------------------- */

/* Compliant to it, refused by us. */
static const struct exception desync_stricter[] = {
	{ "Different Transfer-Encoding headers", "only chunked alone" },
	{ "Different Transfer-Encoding headers combined", "only chunked alone" },
	{ "Transfer-Encoding with a param: chunked;custom_param",
	    "only chunked alone" },
	{ "Compliant URL", "'#' in a target: readers cut there or do not" },
	{ "Empty URI", "no target at all" },
};

/* A YAML scalar as it stands in these files: 'x', "x" with escapes, or x. */
static void
yaml_scalar(struct span s, struct buffer *out)
{
	s = span_trim(s);
	if (s.len >= 2 && s.p[0] == '\'') {
		buffer_put(out, s.p + 1, s.len - 2);
		return;
	}
	if (s.len < 2 || s.p[0] != '"') {
		buffer_put(out, s.p, s.len);
		return;
	}
	for (size_t i = 1; i < s.len - 1; i++) {
		if (s.p[i] == '\\')
			i += put_escape(out,
			    (struct span){ s.p + i + 1, s.len - i - 2 });
		else
			buffer_put(out, s.p + i, 1);
	}
}

struct desync_case {
	struct buffer	name, method, uri, version, fields, tier;
};

/* One line of a case: `key: value` at its indentation. */
static void
desync_line(struct desync_case *c, struct span line)
{
	static const char *const keys[] = { "- name:", "  uri:", "  method:",
	    "  version:", "    - name:", "      value:", "    tier:" };
	struct buffer *const into[] = { &c->name, &c->uri, &c->method,
	    &c->version, &c->fields, &c->fields, &c->tier };

	for (size_t k = 0; k < N(keys); k++) {
		size_t n = strlen(keys[k]);

		if (line.len < n || memcmp(line.p, keys[k], n) != 0)
			continue;
		yaml_scalar((struct span){ line.p + n, line.len - n }, into[k]);
		if (k == 4)
			buffer_puts(&c->fields, ": ");
		else if (k == 5)
			buffer_puts(&c->fields, "\r\n");
	}
}

static enum verdict
desync_judge(struct desync_case *c)
{
	enum verdict v;
	struct buffer raw;

	buffer_init(&raw, 0, false);
	buffer_put(&raw, buffer_data(&c->method), buffer_len(&c->method));
	buffer_puts(&raw, " ");
	buffer_put(&raw, buffer_data(&c->uri), buffer_len(&c->uri));
	buffer_puts(&raw, " ");
	buffer_put(&raw, buffer_data(&c->version), buffer_len(&c->version));
	buffer_puts(&raw, "\r\n");
	buffer_put(&raw, buffer_data(&c->fields), buffer_len(&c->fields));
	buffer_puts(&raw, "\r\n");
	v = judge(true, buffer_data(&raw), buffer_len(&raw));
	buffer_fini(&raw);
	return (v);
}

static unsigned
desync_check(struct desync_case *c)
{
	const char *name = buffer_cstr(&c->name), *tier = buffer_cstr(&c->tier);
	enum verdict v = desync_judge(c);
	bool wrong = false;

	if (strcmp(tier, "Severe") == 0 || strcmp(tier, "Ambiguous") == 0)
		wrong = v != VERDICT_REFUSED;
	else if (strcmp(tier, "Compliant") == 0)
		wrong = v == VERDICT_REFUSED && !is_excepted(desync_stricter,
		    N(desync_stricter), span_of(name));
	else	/* ours to choose; but it must be one of the known tiers */
		assert_string_equal(tier, "Acceptable");
	if (wrong)
		print_message("# %s (%s)\n", name, tier);
	return (wrong ? 1 : 0);
}

static unsigned
desync_file(char *text, unsigned *cases)
{
	struct desync_case c;
	struct buffer *const all[] = { &c.name, &c.method, &c.uri, &c.version,
	    &c.fields, &c.tier };
	const char *line = text;
	unsigned wrong = 0;

	for (size_t i = 0; i < N(all); i++)
		buffer_init(all[i], 0, false);
	for (; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n' ? 1 : 0;
		if (buffer_len(&c.name) != 0 &&
		    (*line == '\0' || strncmp(line, "- name:", 7) == 0)) {
			wrong += desync_check(&c);
			++*cases;
			for (size_t i = 0; i < N(all); i++)
				buffer_clear(all[i]);
		}
		desync_line(&c, (struct span){ line, strcspn(line, "\n") });
	}
	for (size_t i = 0; i < N(all); i++)
		buffer_fini(all[i]);
	return (wrong);
}

static void
test_desync(void **state)
{
	static const char *const files[] = {
		"http-desync/severe.yaml",
		"http-desync/uri-specific-test-cases.yaml",
		"http-desync/rfc-compliant.yaml",
		"http-desync/acceptable.yaml",
	};
	unsigned cases = 0, wrong = 0;

	(void)state;
	for (size_t i = 0; i < N(files); i++) {
		char *text = load(files[i]);

		if (text == NULL)
			skip();
		wrong += desync_file(text, &cases);
		free(text);
	}
	assert_true(cases > 50);
	assert_int_equal(wrong, 0);
}

/* ---- smuggler's gadgets ------------------------------------------------------ */

/* Beside a Content-Length every gadget must be refused. */
static unsigned
gadget_check(struct span id, struct span b64)
{
	char line[512], raw[1024];
	size_t len, n;

	assert_int_equal(base64_decode(b64, false, line, sizeof(line), &len), RC_OK);
	n = (size_t)snprintf(raw, sizeof(raw),
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n");
	memcpy(raw + n, line, len);
	memcpy(raw + n + len, "\r\n\r\n0\r\n\r\n", 9);
	if (judge(true, raw, n + len + 9) == VERDICT_REFUSED)
		return (0);
	print_message("# taken: %.*s\n", (int)id.len, id.p);
	return (1);
}

static void
test_te_gadgets(void **state)
{
	char *text = load("http-te-gadgets/gadgets.json");
	const char *at = text;
	unsigned cases = 0, wrong = 0;
	struct span id, b64;

	(void)state;
	if (text == NULL)
		skip();
	while (between(&at, "\"id\": \"", "\"", &id)) {
		assert_true(between(&at, "\"header_b64\": \"", "\"", &b64));
		wrong += gadget_check(id, b64);
		cases++;
	}
	free(text);
	assert_true(cases > 800);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_llhttp),
		cmocka_unit_test(test_desync),
		cmocka_unit_test(test_te_gadgets),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
