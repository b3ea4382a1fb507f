/*
 * worker/egress_connect.c - CONNECT (RFC 9110 9.3.6): its key, its
 * destination, then a certificate for the tunnel's inside, or a tunnel that
 * nobody looks into.
 *
 * Every step that has to wait leaves the head in the input and reads it again
 * afterwards: nothing is kept of it but what was learnt about its key.
 */
#include "worker/egress_private.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/write.h"
#include "worker/address_meter.h"
#include "worker/connect_target.h"
#include "worker/exchange.h"
#include "worker/key_watch.h"

static void
refuse_bad(struct egress_conn *e, const char *detail)
{
	egress_refuse(e, ERROR_BAD_REQUEST, detail, false);
}

/* Clients want CONNECT refusals on a connection that stays: git and Java try
 * again on it.  HTTP/1.0 has nothing to say that it stays. */
static void
refuse(struct egress_conn *e, enum error_code code, const char *detail)
{
	egress_refuse(e, code, detail, e->minor1 && e->keep);
}

/* ---- what is asked for ---- */

bool
egress_serves_plain(const struct egress_conn *e)
{
	const struct conn *c = e->conn;

	return (c->wrk->conf->egress_plain_http &&
	    c->kind != CONF_LISTEN_EGRESS_PLAIN && connect_target_is_plain(&c->head));
}

static bool
read_target(struct egress_conn *e)
{
	const char *detail;

	if (connect_target_read(&e->conn->head, e->host, &e->port, &detail) ==
	    RC_OK)
		return (true);
	refuse_bad(e, detail);
	return (false);
}

/* ---- who asks ---- */

/* False: refused, or it waits.  No key at all is fine where requests inside
 * can bring one. */
static bool
authenticate(struct egress_conn *e)
{
	struct conn *c = e->conn;
	struct api_key_found found;
	struct buffer decoded;
	bool fine = false;
	enum rc rc;

	buffer_init(&decoded, 0, true);
	rc = api_key_find_proxy(&c->head, &decoded, &found);
	if (rc == RC_NOTFOUND && c->kind != CONF_LISTEN_EGRESS_STRICT) {
		fine = true;
	} else if (rc == RC_NOTFOUND) {
		refuse(e, ERROR_PROXY_AUTHENTICATION,
		    "this listener needs an API key on CONNECT");
	} else if (c->kind == CONF_LISTEN_EGRESS_PLAIN) {
		refuse(e, ERROR_PROXY_AUTHENTICATION, "a key in clear is never taken: "
		    "use a TLS proxy URL (https://), or send Proxy-Authorization "
		    "inside of the tunnel; and revoke this key");
	} else if (rc != RC_OK) {
		refuse(e, ERROR_PROXY_AUTHENTICATION,
		    "Proxy-Authorization is no API key");
	} else if (egress_authenticate(e, &found)) {
		memcpy(e->app, e->answer.app, sizeof(e->app));
		memcpy(e->key_id, e->answer.key_id, sizeof(e->key_id));
		fine = true;
	}
	buffer_fini(&decoded);
	return (fine);
}

/* ---- blind tunnels ---- */

static bool
matches(const char *pattern, const char *host)
{
	size_t n = strlen(pattern), len = strlen(host);

	if (strncmp(pattern, "*.", 2) != 0)
		return (strcmp(pattern, host) == 0);
	return (len > n - 1 && strcmp(host + len - (n - 1), pattern + 1) == 0);
}

static bool
is_blind(const struct egress_conn *e)
{
	const struct conf *conf = e->conn->wrk->conf;

	for (size_t i = 0; i < conf->n_egress_pass_through; i++)
		if (matches(conf->egress_pass_through[i], e->host))
			return (true);
	return (false);
}

/* Exactly 200, one field, and nothing behind it.  False: the conn is closed. */
static bool
say_connected(struct egress_conn *e)
{
	struct conn *c = e->conn;
	struct buffer out;
	enum rc rc;

	buffer_init(&out, 0, false);
	http_write_status_line(&out, 200, SPAN_LIT("OK"));
	http_write_field_str(&out, "x-evervault-ctx", e->tx.id);
	http_write_end(&out);
	rc = net_stream_write_buffer(c->stream, &out);
	buffer_fini(&out);
	if (rc != RC_NOMEM)
		return (true);	/* a broken stream says so by its own event */
	conn_close(c, CLOSE_NO_MEMORY);
	return (false);
}

static void
on_destination(void *arg, enum origin_fault fault, const char *why,
    struct origin_conn *origin)
{
	struct egress_conn *e = arg;
	struct conn *c = e->conn;
	struct key_name key;

	e->take_id = 0;
	if (fault != ORIGIN_OK) {
		log_debug("conn=%llu blind tunnel failed host=%s why=\"%s\"",
		    (unsigned long long)c->id, e->host, why);
		refuse(e, exchange_origin_error(fault), exchange_origin_detail(fault));
		return;
	}
	if (!say_connected(e)) {
		origin_drop(&origin);
		return;
	}
	buffer_consume(net_stream_input(c->stream), c->head.bytes);
	e->tx.status = 200;
	transaction_end(&e->tx, c->id, e->host, "blind-tunnel");
	key_name_set(&key, &e->answer, API_SCOPE_EGRESS);
	conn_tunnel(c, &origin, &key);
}

/*
 * For clients that pin their destination's certificate.  Nobody looks inside,
 * so the app must have named the destination, with every method and path: what
 * it asks for there is not seen.
 */
static void
begin_blind(struct egress_conn *e, struct egress *record)
{
	struct conn *c = e->conn;
	struct relay *to;

	if (e->app[0] == '\0') {
		refuse(e, ERROR_PROXY_AUTHENTICATION,
		    "a tunnel to this host needs an API key on CONNECT, over TLS");
		return;
	}
	if (record == NULL || record->any || !egress_allows_request(record,
	    e->host, e->port, SPAN_LIT(""), SPAN_LIT(""))) {
		refuse(e, ERROR_FORBIDDEN_DESTINATION,
		    "a tunnel that is not opened needs the host in the app's "
		    "destinations, without methods and paths");
		return;
	}
	if (egress_seals(record)) {
		refuse(e, ERROR_FORBIDDEN_DESTINATION,
		    "the app's rules seal answers, and those in this tunnel "
		    "could not be");
		return;
	}
	to = egress_destination(e->app, record, e->host, e->port,
	    egress_is_internal(record, e->host, e->port, SPAN_LIT(""), SPAN_LIT("")));
	to->plain = true;
	conn_wait(c);
	e->take_id = origin_take(c->wrk->origins, to, true, on_destination, e);
	relay_unref(&to);
}

/* ---- the leaf ---- */

static void
refuse_leaf(struct egress_conn *e, enum leaf_fault fault)
{
	switch (fault) {
	case LEAF_OK:
		return;
	case LEAF_NO_CA:
		refuse(e, ERROR_NOT_READY, "there is no egress CA yet");
		return;
	case LEAF_LIMITED:
		refuse(e, ERROR_RATE_LIMITED,
		    "too many new certificates at this moment");
		return;
	case LEAF_DENIED:
		refuse(e, ERROR_FORBIDDEN_DESTINATION,
		    "the CA may not vouch for this host");
		return;
	case LEAF_NO_ENGINE:
		refuse(e, ERROR_ENGINE_UNAVAILABLE,
		    "no engine made a certificate in time");
		return;
	}
}

static void
begin_inside(struct egress_conn *e, SSL_CTX *ctx)
{
	SSL_CTX_free(e->tls);
	(void)SSL_CTX_up_ref(ctx);
	e->tls = ctx;
	if (!say_connected(e))
		return;
	e->inside = true;
	e->tx.status = 200;
	transaction_end(&e->tx, e->conn->id, e->host, "connect");
	conn_connected(e->conn);
}

static void
on_leaf(void *arg, enum leaf_fault fault, SSL_CTX *ctx)
{
	struct egress_conn *e = arg;

	e->leaf_id = 0;
	if (fault == LEAF_OK)
		begin_inside(e, ctx);
	else
		refuse_leaf(e, fault);
}

/* Who brings no key can make the engine sign for any name: so many a minute. */
static bool
within_quota(struct egress_conn *e)
{
	struct worker *w = e->conn->wrk;

	if (e->app[0] != '\0' || leaf_is_kept(w->leaves, e->host) ||
	    address_meter_take(w->leaf_quota, e->conn->client, clock_mono_ms()))
		return (true);
	refuse(e, ERROR_RATE_LIMITED,
	    "too many new hosts without a key from this address");
	return (false);
}

static void
take_leaf(struct egress_conn *e)
{
	struct conn *c = e->conn;
	enum leaf_fault fault;
	SSL_CTX *ctx;

	if (!within_quota(e))
		return;
	e->leaf_id = leaf_take(c->wrk->leaves, e->host, on_leaf, e, &fault, &ctx);
	if (e->leaf_id != 0)
		conn_wait(c);
	else if (fault == LEAF_OK)
		begin_inside(e, ctx);
	else
		refuse_leaf(e, fault);
}

/* ---- all of it ---- */

void
egress_connect(struct egress_conn *e)
{
	const struct http_head *head = &e->conn->head;
	struct egress *record = NULL;

	if (!e->answered)
		transaction_begin(&e->tx);
	e->minor1 = head->minor >= 1;
	e->keep = http_head_keep_alive(head);
	e->app[0] = e->key_id[0] = '\0';
	if (head->method != HTTP_CONNECT) {
		refuse_bad(e, connect_target_advice(head));
		return;
	}
	if (!read_target(e) || !authenticate(e))
		return;
	if (e->app[0] != '\0') {
		if (!egress_find_record(e, e->app, &record))
			return;
		if (record != NULL && !egress_allows(record, e->host, e->port)) {
			refuse(e, ERROR_FORBIDDEN_DESTINATION,
			    "the app's destinations do not have this host and port");
			goto out;
		}
	}
	if (is_blind(e))
		begin_blind(e, record);
	else
		take_leaf(e);
out:
	egress_unref(&record);
}
