/*
 * worker/response_head.c - the answer's head as the client gets it: interim
 * heads, fields passed on, framing of our own.
 */
#include "worker/exchange.h"

#include <string.h>

#include "lib/http/write.h"

/* Our own id behind one that is there already (spec/sdk-api.md 4.5). */
static void
write_ctx(struct exchange *x)
{
	const struct http_field *f = http_head_field(&x->rhead,
	    HTTP_FIELD_X_EVERVAULT_CTX);

	if (f == NULL || f->value.len == 0 || f->value.len > 512) {
		http_write_field_str(&x->back_head, "x-evervault-ctx", x->tx.id);
		return;
	}
	buffer_puts(&x->back_head, "x-evervault-ctx: ");
	buffer_put(&x->back_head, f->value.p, f->value.len);
	buffer_printf(&x->back_head, ";%s\r\n", x->tx.id);
}

/* A strong validator of other bytes than those we send (RFC 9110 8.8.1). */
static void
write_etag(const struct http_field *f, struct buffer *out)
{
	if (f->value.len > 2 && memcmp(f->value.p, "W/", 2) == 0) {
		http_write_field(out, f->name, f->value);
		return;
	}
	buffer_put(out, f->name.p, f->name.len);
	buffer_puts(out, ": W/");
	buffer_put(out, f->value.p, f->value.len);
	buffer_puts(out, "\r\n");
}

/* HEAD and 304 may tell a length without sending that much, unless the body
 * they speak of would have changed on the way. */
static uint64_t
declared_length(const struct exchange *x)
{
	const struct http_field *f = http_head_field(&x->rhead,
	    HTTP_FIELD_CONTENT_LENGTH);
	uint64_t length;

	if (x->rframing.kind != HTTP_BODY_NONE || f == NULL ||
	    x->rhead.status < 200 || x->rhead.status == 204 ||
	    (x->route != NULL && x->route->n_response != 0) ||
	    string_u64(f->value, &length) != RC_OK)
		return (UINT64_MAX);
	return (length);
}

static void
write_back_field(const struct exchange *x, const struct http_field *f,
    struct buffer *out)
{
	bool may_change = x->route != NULL && x->route->n_response != 0;

	if (http_head_is_hop_by_hop(&x->rhead, f))
		return;
	switch (f->id) {
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_X_EVERVAULT_CTX:
	case HTTP_FIELD_X_EVERVAULT_ERROR_CODE:
		return;		/* ours to say, or not the origin's to say */
	case HTTP_FIELD_CONTENT_ENCODING:
		if (x->rcoding != HTTP_CODING_IDENTITY)
			return;		/* it is undone, or said again */
		break;
	case HTTP_FIELD_DIGEST:
		if (may_change)
			return;
		break;
	case HTTP_FIELD_ETAG:
		if (may_change) {
			write_etag(f, out);
			return;
		}
		break;
	default:
		break;
	}
	http_write_field(out, f->name, f->value);
}

/* An interim head or a switch of protocols is not sealed: what would have to
 * be is left out. */
static void
write_plain_fields(struct exchange *x, struct buffer *out)
{
	const struct relay_route *r = x->route;

	for (size_t i = 0; i < x->rhead.n_fields; i++) {
		const struct http_field *f = &x->rhead.fields[i];

		if (r == NULL || !relay_actions_name_field(r->response,
		    r->n_response, f->name))
			write_back_field(x, f, out);
	}
}

/* What 426 asks for (RFC 9110 15.5.22). */
static void
write_upgrade(struct exchange *x)
{
	const struct http_field *f = http_head_field(&x->rhead, HTTP_FIELD_UPGRADE);

	if (x->rhead.status != 426 || f == NULL)
		return;
	http_write_field(&x->back_head, f->name, f->value);
	http_write_field_str(&x->back_head, "Connection", "upgrade");
}

/* Everything but the body's framing and the end. */
void
response_head_write(struct exchange *x)
{
	bool trailers = x->rframing.kind == HTTP_BODY_CHUNKED &&
	    x->client_minor >= 1 && x->rsyntax == REWRITE_NONE;

	http_write_status_line(&x->back_head, x->rhead.status, x->rhead.reason);
	for (size_t i = 0; i < x->rhead.n_fields; i++) {
		const struct http_field *f = &x->rhead.fields[i];

		if (f->id == HTTP_FIELD_TRAILER && trailers)
			http_write_field(&x->back_head, f->name, f->value);
		else
			write_back_field(x, f, &x->back_head);
	}
	write_ctx(x);
	write_upgrade(x);
	x->rlength = declared_length(x);
}

bool
response_head_answer(struct exchange *x, uint64_t length)
{
	bool body = x->rframing.kind != HTTP_BODY_NONE;

	if (body && length != UINT64_MAX) {
		http_write_length(&x->back_head, length);
	} else if (body && x->client_minor >= 1) {
		http_write_field_str(&x->back_head, "Transfer-Encoding", "chunked");
		x->chunked_back = true;
	} else if (body) {
		x->close_after = true;	/* HTTP/1.0: the end is the close */
	} else if (x->rlength != UINT64_MAX) {
		http_write_length(&x->back_head, x->rlength);
	}
	/* An early answer leaves the rest of the request unread; a client that
	 * still waits for a 100 may never send it. */
	if (!x->client_keep || x->wrk->draining || (!x->body_taken &&
	    (!exchange_streams(x) || x->wants_continue)))
		x->close_after = true;
	if (x->conn->eof && x->body_taken &&
	    buffer_len(net_stream_input(x->conn->stream)) == 0)
		x->close_after = true;	/* the last answer it will get */
	if (x->close_after)
		http_write_field_str(&x->back_head, "Connection", "close");
	else if (x->client_minor == 0)
		http_write_field_str(&x->back_head, "Connection", "keep-alive");
	http_write_end(&x->back_head);
	x->answered = true;
	x->tx.status = x->rhead.status;
	if (net_stream_write_buffer(x->conn->stream, &x->back_head) != RC_NOMEM)
		return (true);	/* a broken stream says so by its own event */
	conn_close(x->conn, CLOSE_NO_MEMORY);
	return (false);
}

/* ---- heads before the final one ---- */

static bool
to_client(struct exchange *x, struct buffer *head)
{
	bool fine = net_stream_write_buffer(x->conn->stream, head) != RC_NOMEM;

	buffer_fini(head);
	if (!fine)
		conn_close(x->conn, CLOSE_NO_MEMORY);
	return (fine);
}

/* 103 and the like go on (RFC 9110 15.2). */
static bool
pass_on(struct exchange *x)
{
	struct buffer head;

	/* A client that reads nothing is spared: it can do without. */
	if (x->client_minor == 0 || !exchange_room(x->conn->stream))
		return (true);
	buffer_init(&head, 0, true);
	http_write_status_line(&head, x->rhead.status, x->rhead.reason);
	write_plain_fields(x, &head);
	http_write_end(&head);
	return (to_client(x, &head));
}

/* Both sides agreed: from here on the bytes are theirs (RFC 9110 7.8). */
static bool
switch_protocols(struct exchange *x, struct buffer *in)
{
	const struct http_field *f = http_head_field(&x->rhead, HTTP_FIELD_UPGRADE);
	struct buffer *head = &x->back_head;

	if (!x->upgrade || x->request != REQUEST_SENT || f == NULL ||
	    !http_head_connection_has(&x->rhead, "upgrade")) {
		x->origin_keep = false;
		exchange_fail(x, ERROR_UPSTREAM_PROTOCOL, "response-head",
		    "the destination switched protocols unasked");
		return (false);
	}
	http_write_status_line(head, 101, x->rhead.reason);
	write_plain_fields(x, head);
	http_write_field(head, SPAN_LIT("Upgrade"), f->value);
	http_write_field_str(head, "Connection", "Upgrade");
	write_ctx(x);
	http_write_end(head);
	buffer_consume(in, x->rhead.bytes);
	x->tx.status = 101;
	x->answered = true;
	if (net_stream_write_buffer(x->conn->stream, head) == RC_NOMEM) {
		conn_close(x->conn, CLOSE_NO_MEMORY);
		return (false);
	}
	transaction_end(&x->tx, x->conn->id, x->host, "tunnel");
	conn_tunnel(x->conn, &x->origin, &x->key);
	return (false);
}

bool
response_head_interim(struct exchange *x, struct buffer *in)
{
	bool here;

	if (x->rhead.status == 101)
		return (switch_protocols(x, in));
	here = x->rhead.status == 100 ? exchange_say_continue(x) : pass_on(x);
	if (!here)
		return (false);
	buffer_consume(in, x->rhead.bytes);
	http_head_reset(&x->rhead);
	return (true);
}
