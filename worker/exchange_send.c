/* worker/exchange_send.c - bytes of a request towards its destination. */
#include "worker/exchange.h"

#include "lib/http/write.h"
#include "worker/trailer.h"

static enum rc
to_origin(struct exchange *x, const void *data, size_t len)
{
	return (net_stream_write(x->origin->stream, data, len));
}

/*
 * A write failed.  RC_IO: the stream broke, and its own event tells after all
 * that the origin said before was read: an early answer counts.  RC_NOMEM: a
 * part is missing and no event will come.  False: see exchange_request_pump.
 */
bool
exchange_not_sent(struct exchange *x, enum rc rc)
{
	if (rc == RC_NOMEM) {
		exchange_origin_lost(x, "no memory to send");
		return (false);
	}
	x->origin_deaf = true;
	return (true);
}

/* chunked: the body may have been changed, or will be. */
static const struct buffer *
head_to_send(const struct exchange *x, bool chunked)
{
	return (!chunked && x->tx.opened == 0 &&
	    buffer_len(&x->unopened_head) != 0 ? &x->unopened_head : &x->head);
}

enum rc
exchange_send_head(struct exchange *x, bool chunked)
{
	const struct buffer *fields = head_to_send(x, chunked);
	struct buffer head;
	enum rc rc;

	x->sent_mark = net_stream_sent_total(x->origin->stream);
	buffer_init(&head, 0, true);
	buffer_put(&head, buffer_data(fields), buffer_len(fields));
	if (x->request == REQUEST_READY && x->has_body)	/* it was collected */
		http_write_length(&head, buffer_len(&x->body));
	if (chunked)
		http_write_field_str(&head, "Transfer-Encoding", "chunked");
	http_write_end(&head);
	rc = net_stream_write_buffer(x->origin->stream, &head);
	x->head_sent = rc == RC_OK;
	buffer_fini(&head);
	return (rc);
}

/* The whole body in one piece.  It is kept for a repeat only where there can
 * be one: on a reused connection, which may turn out to be closed, and of a
 * method that does no harm twice. */
enum rc
exchange_send_body(struct exchange *x)
{
	x->request = REQUEST_SENT;
	if (x->origin->reused && !x->retried && exchange_idempotent(x->method))
		return (to_origin(x, buffer_data(&x->body), buffer_len(&x->body)));
	return (net_stream_write_buffer(x->origin->stream, &x->body));
}

enum rc
exchange_send_piece(struct exchange *x, struct span piece)
{
	char head[HTTP_CHUNK_HEAD_BYTES];
	enum rc rc;
	size_t n;

	if (piece.len == 0)
		return (RC_OK);
	n = http_chunk_head(piece.len, head);
	if ((rc = to_origin(x, head, n)) != RC_OK ||
	    (rc = to_origin(x, piece.p, piece.len)) != RC_OK)
		return (rc);
	return (to_origin(x, "\r\n", 2));
}

/* lines: of the trailer section. */
static enum rc
send_end(struct exchange *x, const struct buffer *lines)
{
	struct buffer end;
	enum rc rc;

	buffer_init(&end, 0, true);
	buffer_puts(&end, "0\r\n");
	buffer_put(&end, buffer_data(lines), buffer_len(lines));
	buffer_puts(&end, "\r\n");
	rc = net_stream_write_buffer(x->origin->stream, &end);
	buffer_fini(&end);
	return (rc);
}

enum rc
exchange_send_last_chunk(struct exchange *x)
{
	trailer_write(&x->reader.trailers, x->route, TRAILER_REQUEST, &x->end);
	return (send_end(x, &x->end));
}

enum rc
exchange_send_end(struct exchange *x)
{
	return (send_end(x, &x->end));
}

/* There is a connection that takes bytes; asked for again if it was lost while
 * the body was read. */
bool
exchange_has_origin(struct exchange *x)
{
	if (x->origin == NULL && x->take_id == 0)
		exchange_origin_ask(x, false);
	return (x->origin != NULL && !x->origin_deaf);
}

/* What was queued to a connection that ended before a byte left. */
enum rc
exchange_send_again(struct exchange *x)
{
	enum rc rc;

	x->sent_mark = net_stream_sent_total(x->origin->stream);
	rc = net_stream_write_buffer(x->origin->stream, &x->again);
	x->head_sent = rc == RC_OK;
	return (rc);
}
