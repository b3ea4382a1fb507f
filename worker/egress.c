/*
 * worker/egress.c - requests inside of a tunnel: whose key, which destination,
 * then an exchange whose request is searched for tokens.
 */
#include "worker/egress_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/uri.h"
#include "lib/http/write.h"
#include "worker/address_meter.h"
#include "worker/content_coding.h"
#include "worker/exchange.h"
#include "worker/judge.h"
#include "worker/request_head.h"
#include "worker/route.h"

#define REFUSALS_PER_S	20	/* log lines; peers can cause them at will */

/* ---- life ---- */

struct egress_conn *
egress_new(struct conn *c)
{
	struct egress_conn *e = xcalloc(1, sizeof(*e));

	e->magic = EGRESS_CONN_MAGIC;
	e->conn = c;
	return (e);
}

/*
 * GnuTLS, in wget and git, looks at our certificate when its handshake is
 * through: it says no by leaving.
 */
static void
say_unused(const struct egress_conn *e)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (log_rate_ok(&rate, REFUSALS_PER_S, &suppressed))
		log_info("conn=%llu tunnel unused host=%s client=%s ctx=%s "
		    "cause=\"no request came: the client may not trust the CA\" "
		    "suppressed=%u", (unsigned long long)e->conn->id, e->host,
		    e->conn->client, e->tx.id, suppressed);
}

void
egress_free(struct egress_conn **ep)
{
	struct egress_conn *e = *ep;
	struct worker *w;

	*ep = NULL;
	if (e == NULL)
		return;
	obj_check(e, EGRESS_CONN_MAGIC);
	w = e->conn->wrk;
	if (e->shook_hands && !e->asked)
		say_unused(e);
	api_key_cancel(w->api_keys, e->auth_id);
	leaf_cancel(w->leaves, e->leaf_id);
	if (e->take_id != 0)
		origin_cancel(w->origins, e->take_id);
	origin_drop(&e->origin);
	SSL_CTX_free(e->tls);
	e->magic = 0;
	free(e);
}

bool
egress_is_inside(const struct egress_conn *e)
{
	return (e->inside);
}

SSL_CTX *
egress_tls(const struct egress_conn *e)
{
	return (e->tls);
}

/* ---- refusals ---- */

void
egress_refuse(struct egress_conn *e, enum error_code code, const char *detail,
    bool keep)
{
	static struct log_rate rate;
	const struct error_info *info = error_info(code);
	const char *host = e->host[0] != '\0' ? e->host : "-";
	struct conn *c = e->conn;
	bool head_only = c->head.method == HTTP_HEAD;
	unsigned suppressed;

	if (e->tx.id[0] == '\0')
		transaction_begin(&e->tx);
	e->tx.status = info->status;
	if (log_rate_ok(&rate, REFUSALS_PER_S, &suppressed))
		log_info("conn=%llu refused code=%s status=%u stage=%s host=%s ctx=%s "
		    "client=%s detail=\"%s\" suppressed=%u",
		    (unsigned long long)c->id, info->name, info->status,
		    e->inside ? "tunnel-request" : "connect", host, e->tx.id,
		    c->client, detail, suppressed);
	transaction_end(&e->tx, c->id, host, info->name);
	if (keep) {
		buffer_consume(net_stream_input(c->stream), c->head.bytes);
		http_head_reset(&c->head);
	}
	e->answered = false;
	conn_refuse(c, code, detail, e->tx.id, head_only, keep);
}

/* The next request may follow: there is no body that we would have to read. */
static bool
may_keep(const struct http_head *head, const struct judgement *j)
{
	bool no_body = j->framing.kind == HTTP_BODY_NONE ||
	    (j->framing.kind == HTTP_BODY_LENGTH && j->framing.length == 0);

	return (no_body && j->code != ERROR_BAD_REQUEST &&
	    j->code != ERROR_NOT_IMPLEMENTED && head->minor >= 1 &&
	    http_head_keep_alive(head));
}

static void
refuse_judged(struct egress_conn *e, const struct judgement *j)
{
	egress_refuse(e, j->code, j->detail, may_keep(&e->conn->head, j));
}

/* ---- whose key ---- */

/* Inside of a tunnel 407 would be no answer of the destination's. */
static void
refuse_key(struct egress_conn *e, const char *detail)
{
	const struct http_head *head = &e->conn->head;
	bool keep = http_head_field(head, HTTP_FIELD_CONTENT_LENGTH) == NULL &&
	    http_head_field(head, HTTP_FIELD_TRANSFER_ENCODING) == NULL &&
	    (head->method != HTTP_CONNECT || head->minor >= 1) &&
	    http_head_keep_alive(head);

	egress_refuse(e, e->inside ? ERROR_UNAUTHORIZED :
	    ERROR_PROXY_AUTHENTICATION, detail, keep);
}

static void
on_verdict(void *arg, const struct api_key_answer *answer)
{
	struct egress_conn *e = arg;

	e->auth_id = 0;
	e->answer = *answer;
	e->answered = true;
	conn_go_on(e->conn);
}

static bool
judge_answer(struct egress_conn *e)
{
	struct worker *w = e->conn->wrk;

	switch (e->answer.verdict) {
	case API_KEY_GOOD:
		e->key_refused = false;
		return (true);
	case API_KEY_NO_SCOPE:
		refuse_key(e, "the API key has no scope for egress");
		return (false);
	case API_KEY_NO_ENGINE:
		egress_refuse(e, ERROR_ENGINE_UNAVAILABLE,
		    "no engine could check the API key", false);
		return (false);
	case API_KEY_BAD:
		break;
	}
	e->key_refused = true;
	(void)address_meter_take(w->auth_failures, e->conn->client,
	    clock_mono_ms());
	refuse_key(e, "the API key is not good here");
	return (false);
}

/*
 * One bad client must not lock out all who share its address: a key that was
 * good is asked about all the same, and so is that of a tunnel until it was
 * refused once.
 */
static bool
may_ask(struct egress_conn *e, const struct api_key_question *q)
{
	struct worker *w = e->conn->wrk;

	if (!address_meter_over(w->auth_failures, e->conn->client,
	    clock_mono_ms()) ||
	    (q->by_id ? !e->key_refused : api_key_was_good(w->api_keys, q)))
		return (true);
	egress_refuse(e, ERROR_RATE_LIMITED,
	    "too many refused keys from this address", false);
	return (false);
}

bool
egress_authenticate(struct egress_conn *e, const struct api_key_found *found)
{
	struct worker *w = e->conn->wrk;
	bool known = found->key.len == 0;
	char user[RPC_APP_ID_BYTES];
	struct api_key_question q = {
		.key = known ? span_of(e->key_id) : found->key,
		.scope = API_SCOPE_EGRESS,
		.by_id = known,
	};

	if (known)
		q.app = e->app;
	/* Basic names an app, or a team, which is only a name here. */
	else if (egress_is_app(found->app) &&
	    span_copy(found->app, user, sizeof(user)))
		q.app = user;
	if (!e->answered) {
		if (!may_ask(e, &q))
			return (false);
		e->auth_id = api_key_ask(w->api_keys, &q, on_verdict, e, &e->answer);
		if (e->auth_id != 0) {
			conn_wait(e->conn);
			return (false);
		}
	}
	e->answered = false;	/* the next head's is another key */
	return (judge_answer(e));
}

/* ---- which destination ---- */

#define DOTS_DETAIL	"a path with dot segments is allowed by no destination that " \
	"has paths, nor where the app has responses: send it resolved"

bool
egress_find_record(struct egress_conn *e, const char *app, struct egress **out)
{
	struct worker *w = e->conn->wrk;

	switch (route_egress(w->routes, app, out)) {
	case RC_OK:
	case RC_NOTFOUND:
		break;
	default:
		egress_refuse(e, ERROR_NOT_READY, "no configuration yet", false);
		return (false);
	}
	if ((*out == NULL || (*out)->any) && w->conf->egress_default_deny) {
		egress_unref(out);
		egress_refuse(e, ERROR_FORBIDDEN_DESTINATION,
		    "the app has no destinations, and none is the default here",
		    false);
		return (false);
	}
	return (true);
}

struct relay *
egress_destination(const char *app, struct egress *record, const char *host,
    uint16_t port, bool internal)
{
	struct relay *r = record != NULL ? egress_relay(record, host, port) :
	    egress_relay_any(app, host, port);

	r->guarded = true;
	r->internal = internal;
	return (r);
}

/*
 * Is this request one that the app's record allows?  path: its normal form, or
 * empty when it has none.  A destination gets the path as it came, and may read
 * dot segments as the names of folders: then no pattern speaks for them, and no
 * route says what becomes of the answer.
 */
static bool
judge_destination(struct egress_conn *e, struct judgement *j, const char *app,
    struct span path)
{
	struct span method = e->conn->head.method_text;
	bool dots = http_path_has_dots(j->target.path), internal = false;
	struct span sure = dots ? (struct span){ NULL, 0 } : path;
	struct egress *record = NULL;
	bool routed;

	if (!egress_find_record(e, app, &record))
		return (false);
	routed = record != NULL && record->rules->n_routes != 0;
	if (record != NULL && path.len == 0 && (!record->any || routed)) {
		j->code = ERROR_BAD_REQUEST;
		j->detail = "the path is ambiguous";
	} else if (record != NULL && ((dots && routed) ||
	    !egress_allows_request(record, j->host, j->port, method, sure))) {
		j->code = ERROR_FORBIDDEN_DESTINATION;
		j->detail = dots && egress_allows_request(record, j->host,
		    j->port, method, path) ? DOTS_DETAIL :
		    "the app's destinations do not allow this request";
	} else {
		if (record != NULL)
			internal = egress_is_internal(record, j->host, j->port,
			    method, sure);
		j->relay = egress_destination(app, record, j->host, j->port,
		    internal);
		j->relay->plain = !e->inside;
	}
	egress_unref(&record);
	if (j->relay != NULL)
		return (true);
	refuse_judged(e, j);
	return (false);
}

/* ---- the exchange ---- */

static bool
has_response_actions(const struct judgement *j)
{
	return (j->route != NULL && j->route->n_response != 0);
}

/* unopened: the body goes as it came, and what describes it holds. */
static void
write_field(const struct http_head *head, const struct judgement *j,
    const struct http_field *f, bool unopened, struct buffer *out)
{
	if (http_head_is_hop_by_hop(head, f))
		return;			/* Proxy-Authorization, too */
	switch (f->id) {
	case HTTP_FIELD_PROXY_AUTHORIZATION:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_EXPECT:			/* rebuilt, or done with */
	case HTTP_FIELD_X_EVERVAULT_CTX:
		return;
	case HTTP_FIELD_ACCEPT_ENCODING:
	case HTTP_FIELD_RANGE:
		if (has_response_actions(j))
			return;			/* what we cannot undo */
		break;
	case HTTP_FIELD_DIGEST:
	case HTTP_FIELD_CONTENT_ENCODING:
		if (!unopened)
			return;
		break;
	default:
		break;
	}
	http_write_field(out, f->name, f->value);
}

/* HTTP/1.0 may go without it; what we send is HTTP/1.1. */
static void
write_host(const struct judgement *j, uint16_t usual_port, struct buffer *out)
{
	bool v6 = strchr(j->host, ':') != NULL;

	buffer_puts(out, v6 ? "Host: [" : "Host: ");
	buffer_puts(out, j->host);
	if (v6)
		buffer_puts(out, "]");
	if (j->port != usual_port)
		buffer_printf(out, ":%u", j->port);
	buffer_puts(out, "\r\n");
}

/* As the client wrote it: the destination sees the app, and no proxy. */
static void
write_fields(const struct http_head *head, const struct judgement *j,
    bool unopened, struct buffer *out)
{
	request_head_line(head, &j->target, out);
	if (http_head_field(head, HTTP_FIELD_HOST) == NULL)
		write_host(j, j->relay->plain ? 80 : 443, out);
	for (size_t i = 0; i < head->n_fields; i++)
		write_field(head, j, &head->fields[i], unopened, out);
	request_head_connection(j, out);
	if (has_response_actions(j))
		content_coding_write_accept(head, out);
}

/* There is a field that holds for the body as it came alone. */
static bool
describes_body(const struct http_head *head)
{
	return (http_head_field(head, HTTP_FIELD_DIGEST) != NULL ||
	    http_head_field(head, HTTP_FIELD_CONTENT_ENCODING) != NULL);
}

static void
write_head(const struct http_head *head, const struct judgement *j,
    struct exchange *x)
{
	write_fields(head, j, j->syntax == REWRITE_NONE, &x->head);
	if (j->syntax != REWRITE_NONE) {
		/* A second one, so that each field keeps its place. */
		if (describes_body(head))
			write_fields(head, j, true, &x->unopened_head);
		return;
	}
	if (j->expects)
		http_write_field_str(&x->head, "Expect", "100-continue");
	if (j->framing.kind == HTTP_BODY_LENGTH) {
		http_write_length(&x->head, j->framing.length);
	} else if (j->framing.kind == HTTP_BODY_CHUNKED) {
		http_write_field_str(&x->head, "Transfer-Encoding", "chunked");
		x->chunked_out = true;
	}
}

static struct exchange *
make_exchange(struct egress_conn *e, struct judgement *j)
{
	const struct http_head *head = &e->conn->head;
	const struct conf *conf = e->conn->wrk->conf;
	struct exchange *x = exchange_new(e->conn, head, j);

	x->egress = true;
	x->open_head = conf->egress_open_headers || conf->egress_open_query;
	key_name_set(&x->key, &e->answer, API_SCOPE_EGRESS);
	exchange_open_begin(x, head);
	write_head(head, j, x);
	if (j->syntax != REWRITE_NONE)
		x->request = REQUEST_COLLECT;
	else if (x->open_head)
		x->request = REQUEST_SEAL;
	else
		x->request = x->has_body ? REQUEST_STREAM : REQUEST_READY;
	return (x);
}

/* NTLM and Negotiate authenticate the connection, not the request. */
static bool
binds_connection(struct span value)
{
	size_t n = 0;

	while (n < value.len && value.p[n] != ' ' && value.p[n] != ',')
		n++;
	value.len = n;
	return (span_eq_case(value, "NTLM") || span_eq_case(value, "Negotiate"));
}

bool
egress_binds_connection(const struct http_head *head)
{
	for (size_t i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		if ((f->id == HTTP_FIELD_AUTHORIZATION ||
		    span_eq_case(f->name, "www-authenticate")) &&
		    binds_connection(f->value))
			return (true);
	}
	return (false);
}

/* Whatever it says while it is idle, it is no answer to a request of ours. */
static void
on_kept_event(void *arg)
{
	struct egress_conn *e = arg;

	origin_drop(&e->origin);
}

static void
on_kept_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	on_kept_event(arg);
}

static const struct net_stream_ops kept_ops = {
	.on_input = on_kept_event,
	.on_eof = on_kept_event,
	.on_error = on_kept_error,
};

void
egress_keep_origin(struct egress_conn *e, struct origin_conn **c)
{
	origin_drop(&e->origin);
	e->origin = *c;
	*c = NULL;
	e->origin->bound = e->origin->reused = true;
	net_stream_set_ops(e->origin->stream, &kept_ops, e);
}

struct origin_conn *
egress_kept_origin(struct egress_conn *e, const struct relay *to)
{
	struct origin_conn *c = e->origin;

	/* Outside of a tunnel each request names its own destination. */
	if (c == NULL || !origin_is_for(c, to))
		return (NULL);
	e->origin = NULL;
	if (!net_stream_is_quiet(c->stream))
		origin_drop(&c);
	return (c);
}

/* ---- all of it ---- */

/* The key of the CONNECT, or the request's own.  False: refused or waits. */
static bool
authenticate(struct egress_conn *e, char app[RPC_APP_ID_BYTES])
{
	struct api_key_found found = { .field = NULL };
	struct buffer decoded;
	bool fine = true;

	buffer_init(&decoded, 0, true);
	if (e->app[0] == '\0' && api_key_find_proxy(&e->conn->head, &decoded,
	    &found) != RC_OK) {
		refuse_key(e, "Proxy-Authorization with an API key is needed");
		fine = false;
	}
	fine = fine && egress_authenticate(e, &found);
	buffer_fini(&decoded);
	if (fine)
		memcpy(app, e->answer.app, RPC_APP_ID_BYTES);
	return (fine);
}

static struct exchange *
request(struct egress_conn *e, const struct judge_egress *rules)
{
	const struct http_head *head = &e->conn->head;
	char app[RPC_APP_ID_BYTES];
	struct exchange *x = NULL;
	struct judgement j;
	struct buffer path;
	struct span normal;

	buffer_init(&path, 0, true);
	if (!e->answered)
		transaction_begin(&e->tx);
	if (!judge_egress_head(rules, head, &j)) {
		refuse_judged(e, &j);
		goto out;
	}
	if (!authenticate(e, app))
		goto out;
	if (j.target.form != HTTP_TARGET_ASTERISK &&
	    http_path_normalize(j.target.path, &path) != RC_OK)
		buffer_clear(&path);
	normal = (struct span){ buffer_data(&path), buffer_len(&path) };
	if (j.target.form == HTTP_TARGET_ASTERISK)
		normal = SPAN_LIT("*");
	if (!judge_destination(e, &j, app, normal))
		goto out;
	if (judge_egress_rules(head, normal, &j)) {
		x = make_exchange(e, &j);
		goto out;
	}
	refuse_judged(e, &j);
	judgement_fini(&j);
out:
	buffer_fini(&path);
	return (x);
}

struct exchange *
egress_begin(struct conn *c)
{
	struct egress_conn *e = c->egress;
	const struct judge_egress inside = {
		.host = e->host,
		.port = e->port,
		.other_name = e->other_name,
	};
	const struct judge_egress plain = { .host = NULL };

	obj_check(e, EGRESS_CONN_MAGIC);
	if (e->inside) {
		e->asked = true;
		return (request(e, &inside));
	}
	if (c->head.method != HTTP_CONNECT && egress_serves_plain(e))
		return (request(e, &plain));
	egress_connect(e);
	return (NULL);
}

/* ---- TLS inside ---- */

void
egress_on_tls(struct egress_conn *e)
{
	const char *name = SSL_get_servername(net_stream_ssl(e->conn->stream),
	    TLSEXT_NAMETYPE_host_name);
	char canonical[HOST_BYTES];

	e->shook_hands = true;
	e->other_name = name != NULL &&
	    (host_canonical(span_of(name), canonical) != RC_OK ||
	    strcmp(canonical, e->host) != 0);
}

/* The client's last word on our certificate, in words of an operator. */
static const char *
likely_cause(const char *why)
{
	static const struct { const char *alert, *cause; } rows[] = {
		{ "unknown ca", "the client does not trust the CA: relayctl ca show --pem" },
		{ "bad certificate", "the client does not trust the CA, has pinned another certificate, or expects another name" },
		{ "certificate unknown", "the client does not trust the CA, or has pinned another certificate" },
		{ "certificate expired", "the client's clock, or a leaf that was cached too long" },
		{ "unsupported certificate", "the client does not take P-256 certificates" },
		{ "handshake failure", "no cipher or curve in common" },
		{ "protocol version", "the client has no TLS 1.2" },
		{ "unsupported protocol", "the client has no TLS 1.2" },
		{ "closed", "the client left, most likely since it does not trust the CA" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strstr(why, rows[i].alert) != NULL)
			return (rows[i].cause);
	return ("see the alert");
}

void
egress_on_tls_fault(const struct egress_conn *e, enum net_reason reason,
    const char *why)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (log_rate_ok(&rate, REFUSALS_PER_S, &suppressed))
		log_info("conn=%llu tunnel handshake failed host=%s client=%s "
		    "ctx=%s reason=%s alert=\"%s\" cause=\"%s\" suppressed=%u",
		    (unsigned long long)e->conn->id, e->host, e->conn->client,
		    e->tx.id, net_reason_name(reason), why, likely_cause(why),
		    suppressed);
}
