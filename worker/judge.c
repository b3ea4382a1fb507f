/*
 * worker/judge.c - each rule is one function that lets the request pass, or
 * refuses it with a code and a reason.
 */
#include "worker/judge.h"

#include <string.h>

#include "worker/body_syntax.h"
#include "worker/content_coding.h"
#include "worker/route.h"

/* ---- rules of the message ---- */

static bool
refuse(struct judgement *j, enum error_code code, const char *detail)
{
	j->code = code;
	j->detail = detail;
	return (false);
}

static bool
judge_framing(const struct http_head *head, struct judgement *j)
{
	enum rc rc = http_framing_request(head, &j->framing);

	if (rc == RC_UNSUPPORTED)
		return (refuse(j, ERROR_NOT_IMPLEMENTED,
		    "this transfer coding is not known here"));
	if (rc != RC_OK)
		return (refuse(j, ERROR_BAD_REQUEST, j->framing.detail));
	return (true);
}

static bool
judge_expect(const struct http_head *head, struct judgement *j)
{
	const struct http_field *f = http_head_field(head, HTTP_FIELD_EXPECT);

	if (f == NULL || head->minor == 0)	/* RFC 9110 10.1.1 */
		return (true);
	if (!span_eq_case(f->value, "100-continue"))
		return (refuse(j, ERROR_EXPECTATION_FAILED,
		    "only 100-continue can be expected"));
	j->expects = j->framing.kind != HTTP_BODY_NONE;
	return (true);
}

static bool
judge_target(const struct http_head *head, struct judgement *j)
{
	struct span host = { "", 0 };
	char other[HOST_BYTES];
	uint16_t port;
	enum rc rc;

	if (head->method == HTTP_CONNECT || head->method == HTTP_TRACE)
		return (refuse(j, ERROR_METHOD_NOT_ALLOWED,
		    "a relay does not take this method"));
	if (http_target_parse(head->method, head->target, &j->target) != RC_OK)
		return (refuse(j, ERROR_BAD_REQUEST, "the request target is broken"));
	rc = http_head_host(head, &host);
	if (rc == RC_NOTFOUND && head->minor == 0 &&
	    j->target.authority.len != 0)
		host = j->target.authority;
	else if (rc != RC_OK)
		return (refuse(j, ERROR_BAD_REQUEST, "Host is missing or repeated"));
	if (http_host_parse(host, j->host, &j->port) != RC_OK)
		return (refuse(j, ERROR_BAD_REQUEST, "Host is no host name"));
	/* OPTIONS https://host has an authority and is no absolute form. */
	if (j->target.authority.len != 0 &&
	    (http_host_parse(j->target.authority, other, &port) != RC_OK ||
	    strcmp(other, j->host) != 0))
		return (refuse(j, ERROR_BAD_REQUEST,
		    "Host and the target's authority differ"));
	return (true);
}

/* ---- circles ---- */

/* A token, as a host name is but for the colons of IPv6. */
void
judge_via_name(const char *host, char out[JUDGE_VIA_BYTES])
{
	out = stpcpy(out, "relay-");
	for (; *host != '\0'; host++)
		*out++ = *host == ':' ? '_' : *host;
	*out = '\0';
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
judge_loop(const struct http_head *head, struct judgement *j)
{
	struct span list, item;
	char us[JUDGE_VIA_BYTES];

	if (http_head_field(head, HTTP_FIELD_VIA) == NULL)
		return (true);
	judge_via_name(j->host, us);
	for (size_t i = 0; i < head->n_fields; i++) {
		if (head->fields[i].id != HTTP_FIELD_VIA)
			continue;
		list = head->fields[i].value;
		while (http_list_next(&list, &item)) {
			if (span_eq_case(via_received_by(item), us))
				return (refuse(j, ERROR_TUNNEL_LOOP,
				    "the destination is this relay itself"));
		}
	}
	return (true);
}

/* ---- the relay and its route ---- */

static bool
find_relay(const struct judge *judge, struct judgement *j)
{
	const char *sni = judge->server_name;
	struct relay *other = NULL;

	switch (judge->find(judge->arg, j->host, &j->relay)) {
	case RC_OK:
		break;
	case RC_NOTFOUND:
		return (refuse(j, ERROR_RELAY_NOT_FOUND, "no relay has this host name"));
	default:
		return (refuse(j, ERROR_NOT_READY, "no configuration yet"));
	}
	if (sni == NULL || strcmp(sni, j->host) == 0)
		return (true);
	if (judge->find(judge->arg, sni, &other) == RC_OK) {
		relay_unref(&other);
		return (refuse(j, ERROR_MISDIRECTED_REQUEST,
		    "the TLS server name is that of another relay"));
	}
	return (true);
}

static bool
find_route(const struct http_head *head, struct judgement *j)
{
	struct buffer path;
	enum rc rc;

	if (j->relay->n_routes == 0 || j->target.form == HTTP_TARGET_ASTERISK)
		return (true);
	buffer_init(&path, 0, false);
	rc = http_path_normalize(j->target.path, &path);
	if (rc == RC_OK)
		j->route = route_match(j->relay, head->method_text,
		    (struct span){ buffer_data(&path), buffer_len(&path) });
	buffer_fini(&path);
	if (rc != RC_OK)
		return (refuse(j, ERROR_BAD_REQUEST, "the path is ambiguous"));
	return (true);
}

uint64_t
judge_body_limit(const struct conf *conf, const struct relay *r)
{
	return (r->max_body_bytes != 0 ? r->max_body_bytes : conf->max_body_bytes);
}

/*
 * A body with actions must be one that their selectors can read.  Anything
 * else would go on unsealed, so it is refused unless the relay says otherwise.
 */
static bool
judge_body(const struct judge *judge, const struct http_head *head,
    struct judgement *j)
{
	const struct relay_route *route = j->route;
	const char *why;
	enum rc rc;

	if (route == NULL)
		return (true);
	j->head_work = relay_actions_select(route->request, route->n_request,
	    RELAY_SELECT_HEADER);
	rc = body_syntax_judge(head, &j->framing, route->request, route->n_request,
	    judge_body_limit(judge->conf, j->relay), &j->syntax, &j->coding, &why);
	if (rc == RC_OK)
		return (true);
	j->syntax = REWRITE_NONE;
	j->coding = HTTP_CODING_IDENTITY;	/* it stays as it is */
	/* It could be read: no mismatch. */
	if (rc == RC_LIMIT)
		return (refuse(j, ERROR_PAYLOAD_TOO_LARGE, why));
	if (j->relay->mismatch_request == RELAY_MISMATCH_FORWARD)
		return (true);
	return (refuse(j, ERROR_UNSUPPORTED_CONTENT_TYPE, why));
}

/* ---- other protocols on this connection ---- */

/* HTTP/2, HTTP itself or TLS in a tunnel would carry requests past every
 * rule. */
static bool
carries_requests(struct span list)
{
	static const char *const protocols[] = { "h2c", "h2", "http", "tls" };
	struct span item;
	const char *slash;

	while (http_list_next(&list, &item)) {
		if ((slash = memchr(item.p, '/', item.len)) != NULL)
			item.len = (size_t)(slash - item.p);
		for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
			if (span_eq_case(item, protocols[i]))
				return (true);
	}
	return (false);
}

/*
 * WebSocket and the like.  On a route that seals, or works on requests,
 * nothing could be in a tunnel.
 */
static bool
judge_upgrade(const struct http_head *head, struct judgement *j)
{
	const struct http_field *f = http_head_field(head, HTTP_FIELD_UPGRADE);

	if (f == NULL || head->minor == 0 || j->framing.kind != HTTP_BODY_NONE ||
	    http_head_count(head, HTTP_FIELD_UPGRADE) != 1 ||
	    !http_head_connection_has(head, "upgrade") ||
	    carries_requests(f->value))
		return (true);		/* a server may ignore it (RFC 9110 7.8) */
	if (j->route != NULL && (j->route->n_request != 0 ||
	    relay_actions_encrypt(j->route->response, j->route->n_response)))
		return (refuse(j, ERROR_NOT_IMPLEMENTED,
		    "this route's actions cannot be carried out in a tunnel"));
	j->upgrade = f->value;
	return (true);
}

static bool
judge_te(const struct http_head *head, struct judgement *j)
{
	for (size_t i = 0; i < head->n_fields; i++)
		if (head->fields[i].id == HTTP_FIELD_TE &&
		    http_list_has(head->fields[i].value, "trailers"))
			j->wants_trailers = head->minor >= 1;
	return (true);
}

/* ---- all of it ---- */

enum error_code
judge_head_fault(enum http_fault fault)
{
	switch (fault) {
	case HTTP_FAULT_TARGET_LONG:
		return (ERROR_URI_TOO_LONG);
	case HTTP_FAULT_HEAD_LONG:
		return (ERROR_HEADER_TOO_LARGE);
	case HTTP_FAULT_VERSION:
		return (ERROR_HTTP_VERSION_NOT_SUPPORTED);
	case HTTP_FAULT_NONE:
	case HTTP_FAULT_SYNTAX:
		break;
	}
	return (ERROR_BAD_REQUEST);
}

bool
judge_request(const struct judge *judge, const struct http_head *head,
    struct judgement *j)
{
	*j = (struct judgement){ .syntax = REWRITE_NONE };
	return (judge_framing(head, j) && judge_target(head, j) &&
	    judge_expect(head, j) && judge_loop(head, j) && find_relay(judge, j) &&
	    find_route(head, j) && judge_body(judge, head, j) &&
	    judge_upgrade(head, j) && judge_te(head, j));
}

/* ---- egress ---- */

#define HTTPS_PORT	443
#define HTTP_PORT	80

/* Absolute form names the destination itself, outside of a tunnel; there a
 * URL without a port means 80, whatever Host says, and inside 443. */
static bool
judge_authority(const struct judge_egress *rules, struct judgement *j)
{
	uint16_t port = 0, usual = rules->host == NULL ? HTTP_PORT :
	    j->target.authority.len != 0 ? HTTPS_PORT : 0;
	char named[HOST_BYTES];

	if (j->target.authority.len != 0 &&
	    (http_host_parse(j->target.authority, named, &port) != RC_OK ||
	    strcmp(named, j->host) != 0))
		return (refuse(j, ERROR_MISDIRECTED_REQUEST,
		    "Host and the target's authority differ"));
	port = port != 0 ? port : usual;
	if (port != 0 && j->port != 0 && port != j->port)
		return (refuse(j, ERROR_MISDIRECTED_REQUEST,
		    "Host and the target's authority differ"));
	if (port != 0)
		j->port = port;
	if (rules->host == NULL)
		return (true);
	if (rules->other_name)
		return (refuse(j, ERROR_MISDIRECTED_REQUEST,
		    "the TLS server name is not that of the CONNECT"));
	if (strcmp(rules->host, j->host) != 0 ||
	    (j->port != 0 && j->port != rules->port))
		return (refuse(j, ERROR_MISDIRECTED_REQUEST,
		    "Host is not that of the CONNECT"));
	j->port = rules->port;
	return (true);
}

/* HTTP/1.0 may leave Host out: then it is that of the CONNECT. */
static bool
judge_egress_host(const struct judge_egress *rules, const struct http_head *head,
    struct judgement *j)
{
	struct span host = { "", 0 };
	enum rc rc = http_head_host(head, &host);

	if (rc == RC_NOTFOUND && rules->host != NULL) {
		memcpy(j->host, rules->host, strlen(rules->host) + 1);
		return (true);
	}
	if (rc != RC_OK)
		return (refuse(j, ERROR_BAD_REQUEST, "Host is missing or repeated"));
	if (http_host_parse(host, j->host, &j->port) != RC_OK)
		return (refuse(j, ERROR_BAD_REQUEST, "Host is no host name"));
	/* Another port is another origin (RFC 9110 4.3.1), left out or not. */
	if (j->port == 0 && rules->host != NULL)
		j->port = HTTPS_PORT;
	return (true);
}

bool
judge_egress_head(const struct judge_egress *rules, const struct http_head *head,
    struct judgement *j)
{
	*j = (struct judgement){ .syntax = REWRITE_NONE };
	if (!judge_framing(head, j))
		return (false);
	if (head->method == HTTP_CONNECT || head->method == HTTP_TRACE)
		return (refuse(j, ERROR_METHOD_NOT_ALLOWED,
		    "not this method inside a tunnel"));
	if (http_target_parse(head->method, head->target, &j->target) != RC_OK)
		return (refuse(j, ERROR_BAD_REQUEST, "the request target is broken"));
	return (judge_egress_host(rules, head, j) && judge_authority(rules, j) &&
	    judge_expect(head, j));
}

/* What is in a tunnel of another protocol stays as it is: nothing is opened
 * in it, and nothing could be sealed. */
bool
judge_egress_rules(const struct http_head *head, struct span path,
    struct judgement *j)
{
	if (j->relay->n_routes != 0 && j->target.form != HTTP_TARGET_ASTERISK)
		j->route = route_match(j->relay, head->method_text, path);
	/* What cannot be read goes on as it came: its tokens stay sealed. */
	if (j->framing.kind != HTTP_BODY_NONE &&
	    content_coding_judge(head, &j->coding) == RC_OK)
		j->syntax = REWRITE_TOKENS;
	return (judge_upgrade(head, j) && judge_te(head, j));
}

void
judgement_fini(struct judgement *j)
{
	relay_unref(&j->relay);
}
