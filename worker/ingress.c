/*
 * worker/ingress.c - write the head that goes to the destination, make the
 * exchange; what may pass at all is judge.c's.
 */
#include "worker/ingress.h"

#include <stdlib.h>
#include <string.h>

#include "certs/sni.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/write.h"
#include "worker/api_key.h"
#include "worker/conn.h"
#include "worker/content_coding.h"
#include "worker/exchange.h"
#include "worker/judge.h"
#include "worker/request_head.h"
#include "worker/route.h"

struct request {
	struct conn		*conn;
	const struct http_head	*head;
	struct judgement	j;
};

static enum rc
find_relay(void *arg, const char *host, struct relay **out)
{
	struct worker *w = arg;

	return (route_find(w->routes, host, out));
}

static bool
judge(struct request *r)
{
	struct conn *c = r->conn;
	const struct judge rules = {
		.conf = c->wrk->conf,
		.server_name = certs_sni_name(net_stream_ssl(c->stream)),
		.find = find_relay,
		.arg = c->wrk,
	};

	return (judge_request(&rules, r->head, &r->j));
}

/* ---- the head that goes on ---- */

static bool
has_response_actions(const struct request *r)
{
	return (r->j.route != NULL && r->j.route->n_response != 0);
}

/* The body goes on as it came, chunk by chunk. */
static bool
stays_chunked(const struct request *r)
{
	return (r->j.framing.kind == HTTP_BODY_CHUNKED &&
	    r->j.syntax == REWRITE_NONE);
}

static bool
is_named(const struct http_field *f, const char *name)
{
	return (span_eq_case(f->name, name));
}

/*
 * What others say of hops before us, in a field that we do not write: as
 * X-Forwarded-Port, or spelled for a reader that takes '_' for '-', as CGI and
 * its heirs do.  Of a trusted proxy only the latter is no good.
 */
static bool
is_forwarded(const struct request *r, struct span name)
{
	static const char prefix[] = "x-forwarded-";
	char folded[sizeof(prefix) - 1];

	if (name.len < sizeof(folded))
		return (false);
	for (size_t i = 0; i < sizeof(folded); i++)
		folded[i] = name.p[i] == '_' ? '-' : name.p[i];
	if (!span_eq_case((struct span){ folded, sizeof(folded) }, prefix))
		return (false);
	return (!r->conn->trusted || memchr(name.p, '_', sizeof(folded)) != NULL);
}

static void
write_field(const struct request *r, const struct http_field *f, struct buffer *out)
{
	if (f->id == HTTP_FIELD_TRAILER && stays_chunked(r)) {
		http_write_field(out, f->name, f->value);
		return;
	}
	if (http_head_is_hop_by_hop(r->head, f))
		return;
	switch (f->id) {
	case HTTP_FIELD_HOST:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_EXPECT:			/* rebuilt */
	case HTTP_FIELD_FORWARDED:
	case HTTP_FIELD_X_FORWARDED:
	case HTTP_FIELD_X_EVERVAULT_CTX:
		return;
	case HTTP_FIELD_ACCEPT_ENCODING:
	case HTTP_FIELD_RANGE:
		if (has_response_actions(r))
			return;			/* rebuilt; what we cannot undo */
		break;
	case HTTP_FIELD_CONTENT_ENCODING:
		if (r->j.coding != HTTP_CODING_IDENTITY)
			return;			/* undone; said again if need be */
		break;
	case HTTP_FIELD_DIGEST:
		if (r->j.syntax != REWRITE_NONE)
			return;			/* of bytes that change */
		break;
	case HTTP_FIELD_OTHER:
		if (is_forwarded(r, f->name))
			return;
		break;
	default:
		break;
	}
	if (r->j.relay->api_key && api_key_field(f, r->j.relay->app))
		return;				/* for us alone */
	http_write_field(out, f->name, f->value);
}

static void
write_host(const struct request *r, struct buffer *out)
{
	const struct relay *relay = r->j.relay;
	bool v6 = strchr(relay->host, ':') != NULL;

	buffer_puts(out, v6 ? "Host: [" : "Host: ");
	buffer_puts(out, relay->host);
	if (v6)
		buffer_puts(out, "]");
	if (relay->port != 443)
		buffer_printf(out, ":%u", relay->port);
	buffer_puts(out, "\r\n");
}

/* Append "NAME: " and every value that a trusted proxy wrote for it, so that
 * ours can follow; those of others are not believed. */
static void
begin_chain(const struct request *r, const char *name, struct buffer *out)
{
	buffer_puts(out, name);
	buffer_puts(out, ": ");
	if (!r->conn->trusted)
		return;
	for (size_t i = 0; i < r->head->n_fields; i++) {
		const struct http_field *f = &r->head->fields[i];

		if (!is_named(f, name) || f->value.len == 0)
			continue;
		buffer_put(out, f->value.p, f->value.len);
		buffer_puts(out, ", ");
	}
}

/* What a trusted proxy says about the first hop, or what we see. */
static void
write_first_hop(const struct request *r, const char *name, const char *ours,
    struct buffer *out)
{
	const struct http_field *f = r->conn->trusted ?
	    http_head_field_named(r->head, name) : NULL;

	if (f != NULL && f->value.len != 0)
		http_write_field(out, f->name, f->value);
	else
		http_write_field_str(out, name, ours);
}

static void
write_forwarded(const struct request *r, struct buffer *out)
{
	const char *client = r->conn->client;
	bool v6 = strchr(client, ':') != NULL;
	char us[JUDGE_VIA_BYTES];

	begin_chain(r, "X-Forwarded-For", out);
	buffer_puts(out, client);
	buffer_puts(out, "\r\n");
	write_first_hop(r, "X-Forwarded-Proto", "https", out);
	write_first_hop(r, "X-Forwarded-Host", r->j.host, out);
	begin_chain(r, "Forwarded", out);
	buffer_puts(out, v6 ? "for=\"[" : "for=");
	buffer_puts(out, client);
	buffer_puts(out, v6 ? "]\";proto=https\r\n" : ";proto=https\r\n");
	judge_via_name(r->j.host, us);
	buffer_puts(out, r->head->minor == 0 ? "Via: 1.0 " : "Via: 1.1 ");
	buffer_puts(out, us);
	buffer_puts(out, "\r\n");
}

/* Everything but the length of a body that has work, and the end. */
static void
write_head(const struct request *r, struct exchange *x)
{
	struct buffer *out = &x->head;

	request_head_line(r->head, &r->j.target, out);
	write_host(r, out);
	for (size_t i = 0; i < r->head->n_fields; i++)
		write_field(r, &r->head->fields[i], out);
	write_forwarded(r, out);
	request_head_connection(&r->j, out);
	if (has_response_actions(r))
		content_coding_write_accept(r->head, out);
	if (r->j.syntax != REWRITE_NONE)
		return;			/* whole before it leaves: no Expect */
	if (r->j.expects)
		http_write_field_str(out, "Expect", "100-continue");
	if (r->j.framing.kind == HTTP_BODY_LENGTH) {
		http_write_length(out, r->j.framing.length);
	} else if (r->j.framing.kind == HTTP_BODY_CHUNKED) {
		http_write_field_str(out, "Transfer-Encoding", "chunked");
		x->chunked_out = true;
	}
}

/* ---- the exchange ---- */

/* The connection goes on when there is no body that we would have to read; a
 * refusal does not tell HTTP/1.0 that it would. */
static void
refuse_request(struct request *r)
{
	static struct log_rate rate;
	const struct error_info *e = error_info(r->j.code);
	struct conn *c = r->conn;
	bool no_body = r->j.framing.kind == HTTP_BODY_NONE ||
	    (r->j.framing.kind == HTTP_BODY_LENGTH && r->j.framing.length == 0);
	bool keep = no_body && r->j.code != ERROR_BAD_REQUEST &&
	    r->j.code != ERROR_NOT_IMPLEMENTED && r->head->minor >= 1 &&
	    http_head_keep_alive(r->head);
	bool head_only = r->head->method == HTTP_HEAD;
	const char *host = r->j.host[0] != '\0' ? r->j.host : "-";
	struct transaction tx;
	unsigned suppressed;

	transaction_begin(&tx);
	tx.status = e->status;
	if (log_rate_ok(&rate, 20, &suppressed))
		log_info("conn=%llu refused code=%s status=%u stage=request-head host=%s "
		    "ctx=%s detail=\"%s\" suppressed=%u", (unsigned long long)c->id,
		    e->name, e->status, host, tx.id, r->j.detail, suppressed);
	transaction_end(&tx, c->id, host, e->name);
	if (keep) {
		buffer_consume(net_stream_input(c->stream), c->head.bytes);
		http_head_reset(&c->head);
	}
	conn_refuse(c, r->j.code, r->j.detail, tx.id, head_only, keep);
}

/* The key that this relay asks of its callers is copied out of the head. */
static bool
take_api_key(struct request *r, struct buffer *key)
{
	struct api_key_found found;
	struct buffer decoded;
	enum rc rc;

	if (!r->j.relay->api_key)
		return (true);
	buffer_init(&decoded, 0, true);
	rc = api_key_find(r->head, r->j.relay->app, &decoded, &found);
	if (rc == RC_OK)
		rc = buffer_append(key, found.key.p, found.key.len);
	buffer_fini(&decoded);
	if (rc == RC_OK)
		return (true);
	r->j.code = ERROR_UNAUTHORIZED;
	r->j.detail = "an API key of this relay's app is needed";
	return (false);
}

struct exchange *
ingress_begin(struct conn *c)
{
	struct request r = { .conn = c, .head = &c->head };
	struct exchange *x;
	struct buffer key;

	buffer_init(&key, 0, true);
	if (!judge(&r) || !take_api_key(&r, &key)) {
		buffer_fini(&key);
		judgement_fini(&r.j);
		refuse_request(&r);
		return (NULL);
	}
	x = exchange_new(c, &c->head, &r.j);
	write_head(&r, x);
	buffer_move(&x->api_key, &key);
	if (r.j.syntax != REWRITE_NONE)
		x->request = REQUEST_COLLECT;
	else if (r.j.head_work)
		x->request = REQUEST_SEAL;
	else if (x->has_body)
		x->request = REQUEST_STREAM;
	else
		x->request = REQUEST_READY;
	return (x);
}
