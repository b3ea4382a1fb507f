/*
 * worker/exchange_response.c - the response's way back: head, then the body
 * passed through as it comes, or read whole and opened.
 *
 * What only decrypts is never worth an error by itself: a body that cannot be
 * read goes on as it came, still sealed.  A missing engine is an error.
 */
#include "worker/exchange.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/write.h"

static void run_actions(struct exchange *);

/* ---- the head ---- */

static void
broken(struct exchange *x, const char *detail)
{
	x->origin_keep = false;
	exchange_fail(x, ERROR_UPSTREAM_PROTOCOL, "response-head", detail);
}

static size_t
body_limit(const struct exchange *x)
{
	return (x->relay->max_body_bytes != 0 ? (size_t)x->relay->max_body_bytes :
	    (size_t)x->wrk->conf->max_body_bytes);
}

/* The response's body is one that its actions can be carried out on. */
static bool
has_work(const struct exchange *x)
{
	const struct http_field *type, *coding;
	struct span media, charset;

	if (x->route == NULL || x->route->n_response == 0 ||
	    x->rframing.kind == HTTP_BODY_NONE)
		return (false);
	if (x->rframing.kind == HTTP_BODY_LENGTH &&
	    (x->rframing.length == 0 || x->rframing.length > body_limit(x)))
		return (false);
	coding = http_head_field(&x->rhead, HTTP_FIELD_CONTENT_ENCODING);
	if (coding != NULL && !span_eq_case(coding->value, "identity"))
		return (false);
	if (x->rhead.status == 206)	/* a part of a document is none */
		return (false);
	type = http_head_field(&x->rhead, HTTP_FIELD_CONTENT_TYPE);
	if (type == NULL || http_media_type(type->value, &media, &charset) != RC_OK ||
	    !http_media_is_json(media))
		return (false);
	return (charset.len == 0 || span_eq_case(charset, "utf-8") ||
	    span_eq_case(charset, "us-ascii"));
}

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

/* Everything but the body's framing and the end. */
static void
write_back_head(struct exchange *x)
{
	http_write_status_line(&x->back_head, x->rhead.status, x->rhead.reason);
	for (size_t i = 0; i < x->rhead.n_fields; i++)
		write_back_field(x, &x->rhead.fields[i], &x->back_head);
	write_ctx(x);
}

/*
 * Queue the head.  length: of the body as it will be sent, or UINT64_MAX when
 * it is not known.  False: the exchange is gone.
 */
static bool
answer_head(struct exchange *x, uint64_t length)
{
	const struct http_field *declared;
	bool body = x->rframing.kind != HTTP_BODY_NONE;

	if (body && length != UINT64_MAX) {
		http_write_length(&x->back_head, length);
	} else if (body && x->client_minor >= 1) {
		http_write_field_str(&x->back_head, "Transfer-Encoding", "chunked");
		x->chunked_back = true;
	} else if (body) {
		x->close_after = true;	/* HTTP/1.0: the end is the close */
	} else if (x->route == NULL || x->route->n_response == 0) {
		/* HEAD and 304 may tell a length without sending that much. */
		declared = http_head_field(&x->rhead, HTTP_FIELD_CONTENT_LENGTH);
		if (declared != NULL && x->rhead.status >= 200 &&
		    x->rhead.status != 204)
			http_write_field(&x->back_head, declared->name, declared->value);
	}
	/* An early answer leaves the rest of the request unread. */
	if (!x->client_keep || x->wrk->draining ||
	    (!x->body_taken && x->request != REQUEST_STREAM))
		x->close_after = true;
	if (x->close_after)
		http_write_field_str(&x->back_head, "Connection", "close");
	else if (x->client_minor == 0)
		http_write_field_str(&x->back_head, "Connection", "keep-alive");
	http_write_end(&x->back_head);
	x->answered = true;
	x->tx.status = x->rhead.status;
	if (net_stream_write_buffer(x->conn->stream, &x->back_head) == RC_OK)
		return (true);
	conn_close(x->conn, CLOSE_NO_MEMORY);
	return (false);
}

/* 1xx: 100 was ours to answer, 103 and the like go on (RFC 9110 15.2). */
static bool
interim(struct exchange *x, struct buffer *in)
{
	struct buffer line;
	bool fine = true;

	if (x->rhead.status == 101) {
		broken(x, "the destination switched protocols unasked");
		return (false);
	}
	/* A client that reads nothing is spared: it can do without. */
	if (x->rhead.status != 100 && x->client_minor >= 1 &&
	    exchange_room(x->conn->stream)) {
		buffer_init(&line, 0, false);
		http_write_status_line(&line, x->rhead.status, x->rhead.reason);
		for (size_t i = 0; i < x->rhead.n_fields; i++)
			write_back_field(x, &x->rhead.fields[i], &line);
		http_write_end(&line);
		fine = net_stream_write_buffer(x->conn->stream, &line) == RC_OK;
		buffer_fini(&line);
	}
	buffer_consume(in, x->rhead.bytes);
	http_head_reset(&x->rhead);
	if (!fine)
		conn_close(x->conn, CLOSE_NO_MEMORY);
	return (fine);
}

/* A final head was read.  False: the exchange is gone. */
static bool
begin_body(struct exchange *x, struct buffer *in)
{
	if (http_framing_response(&x->rhead, x->method, &x->rframing) != RC_OK) {
		broken(x, "the destination's framing is broken");
		return (false);
	}
	body_reader_init(&x->rreader, &x->rframing, &x->wrk->head_limits);
	if (x->request == REQUEST_SENT)
		exchange_let_go(x);	/* there is no repeat from here */
	x->origin_keep = http_head_keep_alive(&x->rhead) &&
	    x->rframing.kind != HTTP_BODY_UNTIL_CLOSE;
	write_back_head(x);
	if (has_work(x)) {
		x->response = RESPONSE_COLLECT;
		buffer_consume(in, x->rhead.bytes);
		return (true);
	}
	x->response = RESPONSE_STREAM;
	if (!answer_head(x, x->rframing.kind == HTTP_BODY_LENGTH ?
	    x->rframing.length : UINT64_MAX))
		return (false);
	buffer_consume(in, x->rhead.bytes);
	return (true);
}

/* False: wait for more, or the exchange is gone. */
static bool
read_head(struct exchange *x, struct buffer *in)
{
	enum rc rc;

	for (;;) {
		if (buffer_len(in) == 0)
			return (false);
		if (!x->head_sent) {
			/* An answer before its question belongs to nobody. */
			exchange_origin_lost(x, "bytes before the request");
			return (false);
		}
		rc = http_head_response(&x->rhead, buffer_data(in), buffer_len(in),
		    &x->wrk->head_limits);
		if (rc == RC_MORE)
			return (false);
		if (rc != RC_OK) {
			broken(x, "the destination's answer is no HTTP");
			return (false);
		}
		if (x->rhead.status >= 200)
			return (begin_body(x, in));
		if (!interim(x, in))
			return (false);
	}
}

/* ---- passing through ---- */

static bool
to_client(struct exchange *x, const void *data, size_t len)
{
	if (net_stream_write(x->conn->stream, data, len) == RC_OK)
		return (true);
	conn_close(x->conn, CLOSE_NO_MEMORY);
	return (false);
}

static bool
back_piece(struct exchange *x, struct span piece)
{
	char head[HTTP_CHUNK_HEAD_BYTES];
	size_t n;

	x->tx.response_bytes += piece.len;
	if (piece.len == 0)
		return (true);
	if (!x->chunked_back)
		return (to_client(x, piece.p, piece.len));
	n = http_chunk_head(piece.len, head);
	return (to_client(x, head, n) && to_client(x, piece.p, piece.len) &&
	    to_client(x, "\r\n", 2));
}

/* The last byte was passed on.  The exchange is gone after. */
static void
end_stream(struct exchange *x)
{
	if (x->chunked_back && !to_client(x, "0\r\n\r\n", 5))
		return;
	x->response = RESPONSE_DONE;
	exchange_done(x);
}

/*
 * Everything that came was taken and the body is not complete.  RC_MORE: more
 * may come; RC_OK: the end of the stream completes it; RC_EOF: it was cut, and
 * the exchange is gone.
 */
static enum rc
at_end(struct exchange *x)
{
	if (!x->origin_eof)
		return (RC_MORE);
	if (!x->origin_cut && body_reader_eof(&x->rreader) == RC_OK)
		return (RC_OK);
	exchange_origin_lost(x, "end of stream in the body");
	return (RC_EOF);
}

static void
stream(struct exchange *x, struct buffer *in)
{
	struct span piece;
	size_t used;
	enum rc rc;

	do {
		if (!exchange_room(x->conn->stream)) {
			exchange_arm(x);	/* on_client_drained goes on */
			return;
		}
		rc = body_reader_next(&x->rreader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE) {
			exchange_fail(x, ERROR_UPSTREAM_PROTOCOL, "response-body",
			    "the destination's framing is broken");
			return;
		}
		if (!back_piece(x, piece))
			return;
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	if (rc == RC_MORE)
		rc = at_end(x);
	if (rc == RC_OK)
		end_stream(x);
	else if (rc == RC_MORE)
		exchange_arm(x);
}

/* ---- opening ---- */

/* Too large to be read whole, or unreadable: on as it came, still sealed. */
static void
pass_collected(struct exchange *x, struct buffer *in)
{
	bool whole = x->rreader.done;
	uint64_t length = UINT64_MAX;

	if (whole)		/* an earlier action may have changed it */
		length = buffer_len(&x->rbody);
	else if (x->rframing.kind == HTTP_BODY_LENGTH)
		length = x->rframing.length;
	x->response = RESPONSE_STREAM;
	if (!answer_head(x, length) ||
	    !back_piece(x, (struct span){ buffer_data(&x->rbody),
	    buffer_len(&x->rbody) }))
		return;
	buffer_fini(&x->rbody);
	buffer_init(&x->rbody, body_limit(x), true);
	if (whole)
		end_stream(x);
	else
		stream(x, in);
}

static void
send_opened(struct exchange *x)
{
	x->tx.response_bytes = buffer_len(&x->rbody);
	if (!answer_head(x, buffer_len(&x->rbody)))
		return;
	if (net_stream_write_buffer(x->conn->stream, &x->rbody) != RC_OK) {
		conn_close(x->conn, CLOSE_NO_MEMORY);
		return;
	}
	x->response = RESPONSE_DONE;
	exchange_done(x);
}

static void
acted(struct exchange *x, enum transform_result result, const char *why)
{
	switch (result) {
	case TRANSFORM_PENDING:
		x->response = RESPONSE_OPEN;
		exchange_arm(x);
		return;
	case TRANSFORM_DONE:
		x->raction++;
		run_actions(x);
		return;
	case TRANSFORM_MALFORMED:
	case TRANSFORM_TOO_MANY:
	case TRANSFORM_TOO_LARGE:
		log_debug("conn=%llu response goes on sealed why=\"%s\"",
		    (unsigned long long)x->conn->id, why);
		pass_collected(x, net_stream_input(x->origin->stream));
		return;
	case TRANSFORM_ENGINE:
		exchange_fail(x, ERROR_ENGINE_UNAVAILABLE, "open", why);
		return;
	}
}

static void
on_opened(void *arg, enum transform_result result, const char *why)
{
	struct exchange *x = arg;

	transform_abort(&x->transform);
	acted(x, result, why);
}

static void
run_actions(struct exchange *x)
{
	const struct relay *r = x->relay;
	enum transform_result result;
	const char *why;

	if (x->raction == x->route->n_response) {
		send_opened(x);
		return;
	}
	result = transform_start(&(struct transform_job){
	    .engines = x->wrk->engines,
	    .relay = r,
	    .action = &x->route->response[x->raction],
	    .client = x->conn->client,
	    .body = &x->rbody,
	    .tx = &x->tx,
	    .max_fields = r->max_body_fields != 0 ? r->max_body_fields :
		x->wrk->conf->max_body_fields,
	    .max_bytes = EXCHANGE_RESULT_MAX,
	}, on_opened, x, &x->transform, &why);
	acted(x, result, why);
}

static void
collect(struct exchange *x, struct buffer *in)
{
	struct span piece;
	size_t used;
	enum rc rc;

	do {
		rc = body_reader_next(&x->rreader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE) {
			broken(x, "the destination's framing is broken");
			return;
		}
		if (!exchange_hold(x, piece.len)) {
			exchange_fail(x, ERROR_OVERLOADED, "response-body",
			    "this worker holds as many bodies as it may");
			return;
		}
		if (buffer_append(&x->rbody, piece.p, piece.len) != RC_OK) {
			/* Give the piece back to the reader's count by sending it. */
			x->rbody.max = 0;
			if (buffer_append(&x->rbody, piece.p, piece.len) != RC_OK) {
				exchange_fail(x, ERROR_INTERNAL, "response-body",
				    "out of memory");
				return;
			}
			buffer_consume(in, used);
			pass_collected(x, in);
			return;
		}
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	if (rc == RC_MORE)
		rc = at_end(x);
	if (rc == RC_MORE)
		exchange_arm(x);
	else if (rc == RC_OK && buffer_len(&x->rbody) == 0)
		send_opened(x);		/* no body after all */
	else if (rc == RC_OK)
		run_actions(x);
}

/* ---- events ---- */

void
exchange_response_pump(struct exchange *x)
{
	struct buffer *in;

	obj_check(x, EXCHANGE_MAGIC);
	if (x->origin == NULL)
		return;
	in = net_stream_input(x->origin->stream);
	if (x->response == RESPONSE_HEAD && !read_head(x, in))
		return;
	switch (x->response) {
	case RESPONSE_HEAD:
	case RESPONSE_OPEN:
	case RESPONSE_DONE:
		return;
	case RESPONSE_STREAM:
		stream(x, in);
		return;
	case RESPONSE_COLLECT:
		collect(x, in);
		return;
	}
}

void
exchange_response_eof(struct exchange *x)
{
	x->origin_keep = false;
	switch (x->response) {
	case RESPONSE_HEAD:
		exchange_origin_lost(x, "end of stream");
		return;
	case RESPONSE_OPEN:
	case RESPONSE_DONE:
		return;
	case RESPONSE_STREAM:
	case RESPONSE_COLLECT:
		break;
	}
	/* Input that waits for a slow client is not lost: it ends the body, or
	 * shows it cut, when it has been passed on. */
	x->origin_eof = true;
	exchange_response_pump(x);
}
