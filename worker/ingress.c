/*
 * worker/ingress.c - judge the head, find the relay, write the head that goes
 * to its destination.
 *
 * Every check that can refuse comes before the first one that costs: framing,
 * host, target, relay, route, content type, length.
 */
#include "worker/ingress.h"

#include <stdlib.h>
#include <string.h>

#include "certs/sni.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/framing.h"
#include "lib/http/uri.h"
#include "lib/http/write.h"
#include "worker/conn.h"
#include "worker/exchange.h"
#include "worker/route.h"

#define VIA_BYTES	(HOST_BYTES + 6)	/* "relay-" */

/* What is known about the request while it is judged. */
struct request {
	struct conn		*conn;
	const struct http_head	*head;
	struct http_framing	framing;
	struct http_target	target;
	char			host[HOST_BYTES];
	uint16_t		port;
	struct relay		*relay;		/* owned */
	const struct relay_route *route;	/* view into relay */
	bool			work;		/* its body has actions */
	bool			expects;	/* Expect: 100-continue */
	enum error_code		code;		/* of the refusal */
	const char		*detail;
};

static bool
refuse(struct request *r, enum error_code code, const char *detail)
{
	r->code = code;
	r->detail = detail;
	return (false);
}

/* ---- judging ---- */

static bool
judge_framing(struct request *r)
{
	enum rc rc = http_framing_request(r->head, &r->framing);

	if (rc == RC_UNSUPPORTED)
		return (refuse(r, ERROR_NOT_IMPLEMENTED,
		    "this transfer coding is not known here"));
	if (rc != RC_OK)
		return (refuse(r, ERROR_BAD_REQUEST, r->framing.detail));
	return (true);
}

static bool
judge_expect(struct request *r)
{
	const struct http_field *f = http_head_field(r->head, HTTP_FIELD_EXPECT);

	if (f == NULL || r->head->minor == 0)	/* RFC 9110 10.1.1 */
		return (true);
	if (!span_eq_case(f->value, "100-continue"))
		return (refuse(r, ERROR_EXPECTATION_FAILED,
		    "only 100-continue can be expected"));
	r->expects = r->framing.kind != HTTP_BODY_NONE;
	return (true);
}

static bool
judge_target(struct request *r)
{
	struct span host = { "", 0 };
	char other[HOST_BYTES];
	uint16_t port;
	enum rc rc;

	if (r->head->method == HTTP_CONNECT || r->head->method == HTTP_TRACE)
		return (refuse(r, ERROR_METHOD_NOT_ALLOWED,
		    "a relay does not take this method"));
	if (http_target_parse(r->head->method, r->head->target, &r->target) != RC_OK)
		return (refuse(r, ERROR_BAD_REQUEST, "the request target is broken"));
	rc = http_head_host(r->head, &host);
	if (rc == RC_NOTFOUND && r->head->minor == 0 &&
	    r->target.form == HTTP_TARGET_ABSOLUTE)
		host = r->target.authority;
	else if (rc != RC_OK)
		return (refuse(r, ERROR_BAD_REQUEST, "Host is missing or repeated"));
	if (http_host_parse(host, r->host, &r->port) != RC_OK)
		return (refuse(r, ERROR_BAD_REQUEST, "Host is no host name"));
	if (r->target.form == HTTP_TARGET_ABSOLUTE &&
	    (http_host_parse(r->target.authority, other, &port) != RC_OK ||
	    strcmp(other, r->host) != 0))
		return (refuse(r, ERROR_BAD_REQUEST,
		    "Host and the target's authority differ"));
	return (true);
}

/* What Via calls us: a token, as a host name is but for the colons of IPv6. */
static void
via_name(const struct request *r, char out[VIA_BYTES])
{
	(void)snprintf(out, VIA_BYTES, "relay-%s", r->host);
	for (; *out != '\0'; out++)
		if (*out == ':')
			*out = '_';
}

static size_t
word_len(struct span s)
{
	size_t n = 0;

	while (n < s.len && s.p[n] != ' ' && s.p[n] != '\t')
		n++;
	return (n);
}

/* Who wrote this entry of Via: after the protocol, before any comment. */
static struct span
via_received_by(struct span entry)
{
	size_t n = word_len(entry);
	struct span by = span_trim((struct span){ entry.p + n, entry.len - n });

	by.len = word_len(by);
	return (by);
}

/*
 * A request that has been here under the same host is on a circle: the
 * destination's name leads back to us, perhaps around other machines
 * (RFC 9110 7.6.3).
 */
static bool
judge_loop(struct request *r)
{
	struct span list, item;
	char us[VIA_BYTES];

	via_name(r, us);
	for (size_t i = 0; i < r->head->n_fields; i++) {
		if (r->head->fields[i].id != HTTP_FIELD_VIA)
			continue;
		list = r->head->fields[i].value;
		while (http_list_next(&list, &item)) {
			if (span_eq_case(via_received_by(item), us))
				return (refuse(r, ERROR_TUNNEL_LOOP,
				    "the destination is this relay itself"));
		}
	}
	return (true);
}

static bool
find_relay(struct request *r)
{
	struct worker *w = r->conn->wrk;
	const char *sni = certs_sni_name(net_stream_ssl(r->conn->stream));
	struct relay *other = NULL;

	switch (route_find(w->routes, r->host, &r->relay)) {
	case RC_OK:
		break;
	case RC_NOTFOUND:
		return (refuse(r, ERROR_RELAY_NOT_FOUND, "no relay has this host name"));
	default:
		return (refuse(r, ERROR_NOT_READY, "no configuration yet"));
	}
	if (sni == NULL || strcmp(sni, r->host) == 0)
		return (true);
	if (route_find(w->routes, sni, &other) == RC_OK) {
		relay_unref(&other);
		return (refuse(r, ERROR_MISDIRECTED_REQUEST,
		    "the TLS server name is that of another relay"));
	}
	return (true);
}

static bool
find_route(struct request *r)
{
	struct buffer path;
	enum rc rc;

	if (r->relay->n_routes == 0 || r->target.form == HTTP_TARGET_ASTERISK)
		return (true);
	buffer_init(&path, 0, false);
	rc = http_path_normalize(r->target.path, &path);
	if (rc == RC_OK)
		r->route = route_match(r->relay, r->head->method_text,
		    (struct span){ buffer_data(&path), buffer_len(&path) });
	buffer_fini(&path);
	if (rc != RC_OK)
		return (refuse(r, ERROR_BAD_REQUEST, "the path is ambiguous"));
	return (true);
}

static size_t
body_limit(const struct request *r)
{
	return (r->relay->max_body_bytes != 0 ? (size_t)r->relay->max_body_bytes :
	    (size_t)r->conn->wrk->conf->max_body_bytes);
}

/*
 * A body with actions must be one that their selectors can read: JSON, UTF-8,
 * not encoded.  Anything else would go on unsealed, so it is refused.
 */
static bool
judge_body(struct request *r)
{
	const struct http_field *type, *coding;
	struct span media, charset;

	r->work = r->route != NULL && r->route->n_request != 0 &&
	    r->framing.kind != HTTP_BODY_NONE &&
	    !(r->framing.kind == HTTP_BODY_LENGTH && r->framing.length == 0);
	if (!r->work)
		return (true);
	coding = http_head_field(r->head, HTTP_FIELD_CONTENT_ENCODING);
	if (coding != NULL && (http_head_count(r->head, HTTP_FIELD_CONTENT_ENCODING) > 1 ||
	    !span_eq_case(coding->value, "identity")))
		return (refuse(r, ERROR_UNSUPPORTED_CONTENT_TYPE,
		    "the body's content coding cannot be undone here"));
	type = http_head_field(r->head, HTTP_FIELD_CONTENT_TYPE);
	if (type == NULL || http_head_count(r->head, HTTP_FIELD_CONTENT_TYPE) != 1 ||
	    http_media_type(type->value, &media, &charset) != RC_OK)
		return (refuse(r, ERROR_UNSUPPORTED_CONTENT_TYPE,
		    "the body's content type is missing or broken"));
	if (!http_media_is_json(media))
		return (refuse(r, ERROR_UNSUPPORTED_CONTENT_TYPE,
		    "no selector of this route reads this content type"));
	if (charset.len != 0 && !span_eq_case(charset, "utf-8") &&
	    !span_eq_case(charset, "us-ascii"))
		return (refuse(r, ERROR_UNSUPPORTED_CONTENT_TYPE,
		    "the body's charset is not UTF-8"));
	if (r->framing.kind == HTTP_BODY_LENGTH && r->framing.length > body_limit(r))
		return (refuse(r, ERROR_PAYLOAD_TOO_LARGE,
		    "the body is over the limit for bodies with selectors"));
	return (true);
}

static bool
judge(struct request *r)
{
	return (judge_framing(r) && judge_target(r) && judge_expect(r) &&
	    judge_loop(r) && find_relay(r) && find_route(r) && judge_body(r));
}

/* ---- the head that goes on ---- */

static bool
has_response_actions(const struct request *r)
{
	return (r->route != NULL && r->route->n_response != 0);
}

static void
write_field(const struct request *r, const struct http_field *f, struct buffer *out)
{
	if (http_head_is_hop_by_hop(r->head, f))
		return;
	switch (f->id) {
	case HTTP_FIELD_HOST:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_EXPECT:			/* answered here */
	case HTTP_FIELD_FORWARDED:		/* of others: replaced */
	case HTTP_FIELD_X_FORWARDED:
	case HTTP_FIELD_X_EVERVAULT_CTX:
		return;
	case HTTP_FIELD_ACCEPT_ENCODING:
	case HTTP_FIELD_RANGE:
		if (has_response_actions(r))
			return;			/* what we cannot undo */
		break;
	case HTTP_FIELD_DIGEST:
		if (r->work)
			return;			/* of bytes that change */
		break;
	default:
		break;
	}
	http_write_field(out, f->name, f->value);
}

static void
write_host(const struct request *r, struct buffer *out)
{
	const struct relay *relay = r->relay;
	bool v6 = strchr(relay->host, ':') != NULL;

	buffer_printf(out, "Host: %s%s%s", v6 ? "[" : "", relay->host, v6 ? "]" : "");
	if (relay->port != 443)
		buffer_printf(out, ":%u", relay->port);
	buffer_puts(out, "\r\n");
}

static void
write_forwarded(const struct request *r, struct buffer *out)
{
	const char *client = r->conn->client;
	char us[VIA_BYTES];

	via_name(r, us);
	http_write_field_str(out, "X-Forwarded-For", client);
	http_write_field_str(out, "X-Forwarded-Proto", "https");
	http_write_field_str(out, "X-Forwarded-Host", r->host);
	buffer_printf(out, strchr(client, ':') != NULL ?
	    "Forwarded: for=\"[%s]\";proto=https\r\n" :
	    "Forwarded: for=%s;proto=https\r\n", client);
	buffer_printf(out, "Via: 1.%u %s\r\n", r->head->minor, us);
}

/* The target as the client wrote it; absolute form becomes origin form, with
 * a path where it had none. */
static void
write_request_line(const struct request *r, struct buffer *out)
{
	struct buffer target;

	buffer_init(&target, 0, true);
	buffer_put(&target, r->target.path.p, r->target.path.len);
	if (r->target.has_query) {
		buffer_puts(&target, "?");
		buffer_put(&target, r->target.query.p, r->target.query.len);
	}
	http_write_request_line(out, r->head->method_text,
	    (struct span){ buffer_data(&target), buffer_len(&target) });
	buffer_fini(&target);
}

/* Everything but the length of a body that has work, and the end. */
static void
write_head(const struct request *r, struct exchange *x)
{
	struct buffer *out = &x->head;

	write_request_line(r, out);
	write_host(r, out);
	for (size_t i = 0; i < r->head->n_fields; i++)
		write_field(r, &r->head->fields[i], out);
	write_forwarded(r, out);
	if (has_response_actions(r))
		http_write_field_str(out, "Accept-Encoding", "identity");
	if (r->work)
		return;
	if (r->framing.kind == HTTP_BODY_LENGTH) {
		http_write_length(out, r->framing.length);
	} else if (r->framing.kind == HTTP_BODY_CHUNKED) {
		http_write_field_str(out, "Transfer-Encoding", "chunked");
		x->chunked_out = true;
	}
}

static struct exchange *
make_exchange(struct request *r)
{
	struct exchange *x = xcalloc(1, sizeof(*x));
	struct worker *w = r->conn->wrk;

	x->magic = EXCHANGE_MAGIC;
	x->conn = r->conn;
	x->wrk = w;
	x->relay = r->relay;		/* the reference moves; r keeps a view */
	x->route = r->route;
	transaction_begin(&x->tx);
	memcpy(x->host, r->host, sizeof(x->host));
	x->method = r->head->method;
	x->client_minor = r->head->minor;
	x->client_keep = http_head_keep_alive(r->head) && !r->conn->eof;
	x->has_body = r->framing.kind == HTTP_BODY_CHUNKED ||
	    r->framing.kind == HTTP_BODY_LENGTH;
	x->want_continue = r->expects;
	body_reader_init(&x->reader, &r->framing, &w->head_limits);
	x->body_taken = x->reader.done;
	http_head_init(&x->rhead);
	buffer_init(&x->head, 0, true);
	buffer_init(&x->body, body_limit(r), true);
	buffer_init(&x->back_head, 0, true);
	buffer_init(&x->rbody, body_limit(r), true);
	return (x);
}

/* The connection goes on when there is no body that we would have to read. */
static void
refuse_request(struct request *r)
{
	static struct log_rate rate;
	const struct error_info *e = error_info(r->code);
	struct conn *c = r->conn;
	bool no_body = r->framing.kind == HTTP_BODY_NONE ||
	    (r->framing.kind == HTTP_BODY_LENGTH && r->framing.length == 0);
	bool keep = no_body && r->code != ERROR_BAD_REQUEST &&
	    r->code != ERROR_NOT_IMPLEMENTED && http_head_keep_alive(r->head);
	bool head_only = r->head->method == HTTP_HEAD;
	struct transaction tx;
	unsigned suppressed;

	transaction_begin(&tx);
	tx.status = e->status;
	if (log_rate_ok(&rate, 20, &suppressed))
		log_info("conn=%llu refused code=%s status=%u stage=request-head host=%s "
		    "ctx=%s detail=\"%s\" suppressed=%u", (unsigned long long)c->id,
		    e->name, e->status, r->host[0] != '\0' ? r->host : "-", tx.id,
		    r->detail, suppressed);
	transaction_end(&tx, c->id, r->host[0] != '\0' ? r->host : "-", e->name);
	if (keep) {
		buffer_consume(net_stream_input(c->stream), c->head.bytes);
		http_head_reset(&c->head);
	}
	conn_refuse(c, r->code, r->detail, tx.id, head_only, keep);
}

struct exchange *
ingress_begin(struct conn *c)
{
	struct request r = { .conn = c, .head = &c->head };
	struct exchange *x;

	if (!judge(&r)) {
		relay_unref(&r.relay);
		refuse_request(&r);
		return (NULL);
	}
	x = make_exchange(&r);
	write_head(&r, x);
	if (r.work)
		x->request = REQUEST_COLLECT;
	else if (x->has_body)
		x->request = REQUEST_STREAM;
	else
		x->request = REQUEST_READY;
	return (x);
}
