/*
 * worker/exchange_request.c - the request's way: read, seal, send.
 *
 * Nothing of a body that has work is queued to the origin before every action
 * was carried out on all of it.
 */
#include "worker/exchange.h"

#include "lib/http/write.h"
#include "worker/content_coding.h"
#include "worker/trailer.h"

static void on_sealed(void *, enum transform_result, const char *);

/* ---- reading ---- */

bool
exchange_body_fault(struct exchange *x, enum rc rc)
{
	x->client_keep = false;
	if (rc == RC_LIMIT)
		exchange_fail(x, ERROR_HEADER_TOO_LARGE, "request-trailers",
		    "trailer section over its limit");
	else
		exchange_fail(x, ERROR_BAD_REQUEST, "request-body",
		    "chunked framing is broken");
	return (false);
}

/*
 * Everything that came was taken: was it the end, is there hope for more?
 * False: the exchange is gone.
 */
bool
exchange_body_went_on(struct exchange *x, enum rc rc)
{
	x->tx.request_bytes = x->reader.total;
	if (rc == RC_OK) {
		x->body_taken = true;
		return (true);
	}
	if (x->conn->eof) {
		transaction_end(&x->tx, x->conn->id, x->host, "client-cut-its-body");
		conn_close(x->conn, CLOSE_CLIENT_CUT);
		return (false);
	}
	if (exchange_client_too_slow(x)) {
		x->client_keep = false;
		exchange_fail(x, ERROR_CLIENT_TIMEOUT, "request-body",
		    "the body comes slower than the minimum rate");
		return (false);
	}
	return (true);
}

/* What cannot be read may go on as it came, if the relay says so. */
static bool
goes_on_unread(const struct exchange *x, enum transform_result result)
{
	return (result == TRANSFORM_MALFORMED && x->syntax != REWRITE_NONE &&
	    x->relay->mismatch_request == RELAY_MISMATCH_FORWARD);
}

/* False: the exchange is gone. */
static bool
acted(struct exchange *x, enum transform_result result, const char *why)
{
	switch (result) {
	case TRANSFORM_PENDING:
		return (true);
	case TRANSFORM_PIECE:
		x->piece_at = buffer_len(&x->body) + EXCHANGE_PIECE_BYTES;
		x->reserved_bytes = 0;
		(void)exchange_account(x);
		return (true);
	case TRANSFORM_DONE:
		break;
	default:
		if (goes_on_unread(x, result)) {
			/* Its header values can be sealed all the same. */
			x->syntax = REWRITE_NONE;
			transform_free(&x->transform);
			return (true);
		}
		exchange_fail(x, exchange_transform_error(result),
		    x->egress ? "open" : "seal", why);
		return (false);
	}
	transform_free(&x->transform);
	x->reserved_bytes = 0;
	(void)exchange_account(x);
	x->action++;
	return (true);
}

static bool
refuse_body(struct exchange *x, enum error_code code, const char *detail)
{
	x->client_keep = false;
	exchange_fail(x, code, "request-body", detail);
	return (false);
}

/* The one action of this request can work on a body while it comes. */
static bool
in_pieces(const struct exchange *x)
{
	return (x->syntax == REWRITE_JSON && x->coding == HTTP_CODING_IDENTITY &&
	    x->route->n_request == 1 &&
	    transform_streams(&x->route->request[0]) &&
	    x->relay->mismatch_request != RELAY_MISMATCH_FORWARD);
}

size_t
exchange_enough(const struct exchange *x)
{
	size_t stream = x->wrk->conf->stream_buffer_bytes;

	if (x->egress)
		return (x->reader.left > stream ? stream : (size_t)x->reader.left);
	/* At most body_limit: the head was judged. */
	return (x->reader.left > EXCHANGE_PIECE_BYTES && in_pieces(x) ?
	    EXCHANGE_PIECE_BYTES : (size_t)x->reader.left);
}

/*
 * A body of known length stands in the stream's input until it is whole, or
 * enough for a piece, and then moves: it is not copied.  False: wait.
 */
static bool
take_length(struct exchange *x, struct buffer *in, enum rc *rc)
{
	uint64_t left = x->reader.left;
	size_t n = buffer_len(in) < left ? buffer_len(in) : (size_t)left;

	*rc = RC_MORE;
	if (n < exchange_enough(x))
		return (false);
	if (n == buffer_len(in) && buffer_len(&x->body) == 0) {
		buffer_move(&x->body, in);
	} else if ((*rc = buffer_append(&x->body, buffer_data(in), n)) == RC_OK) {
		buffer_consume(in, n);
	} else {
		return (true);
	}
	body_reader_took(&x->reader, n);
	*rc = x->reader.done ? RC_OK : RC_MORE;
	return (true);
}

/* The chunks' data, joined. */
static enum rc
take_chunks(struct exchange *x, struct buffer *in)
{
	struct span piece;
	size_t used;
	enum rc rc, added;

	do {
		rc = body_reader_next(&x->reader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE)
			return (rc == RC_LIMIT ? RC_DENIED : rc);
		if (x->reader.total > x->body_limit)
			return (RC_LIMIT);
		added = buffer_append(&x->body, piece.p, piece.len);
		if (added != RC_OK)
			return (added);
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	return (rc);
}

/* Work on what is there while the rest comes.  False: the exchange is gone. */
static bool
seal_piece(struct exchange *x)
{
	const struct relay_action *a = &x->route->request[0];
	enum transform_result result;
	const char *why;

	if (buffer_len(&x->body) < x->piece_at ||
	    transform_is_pending(x->transform))
		return (true);
	if (x->transform == NULL) {
		if (!in_pieces(x))
			return (true);
		x->transform = exchange_transform(x, a, x->syntax, &x->head,
		    &x->body, true, on_sealed);
	}
	result = transform_feed(x->transform, false, &why);
	return (acted(x, result, why));
}

/* The body is whole: what its actions can read, of the same limit.  False: the
 * exchange is gone. */
static bool
undo_coding(struct exchange *x)
{
	enum rc rc = content_coding_undo(x->coding, &x->body, x->body_limit);
	enum error_code code;
	const char *why;

	if (rc == RC_OK) {
		x->recode = x->wrk->conf->reencode_bodies ? x->coding :
		    HTTP_CODING_IDENTITY;
		x->coding = HTTP_CODING_IDENTITY;
		if (exchange_account(x))
			return (true);
		exchange_fail(x, ERROR_OVERLOADED, "request-body",
		    "this worker holds as many bodies as it may");
		return (false);
	}
	if (rc == RC_SYNTAX && goes_on_unread(x, TRANSFORM_MALFORMED)) {
		content_coding_write(x->coding, &x->head);
		x->coding = HTTP_CODING_IDENTITY;
		x->syntax = REWRITE_NONE;
		return (true);
	}
	code = content_coding_error(rc, &why);
	exchange_fail(x, code, "request-body", why);
	return (false);
}

/* Every action was carried out.  False: the exchange is gone. */
static bool
redo_coding(struct exchange *x)
{
	if (content_coding_redo(x->recode, &x->body) != RC_OK) {
		exchange_fail(x, ERROR_OVERLOADED, "request-body",
		    "no memory to encode the body");
		return (false);
	}
	content_coding_write(x->recode, &x->head);
	x->recode = HTTP_CODING_IDENTITY;
	(void)exchange_account(x);
	return (true);
}

/* Take what is there into x->body.  False: the exchange is gone. */
static bool
collect(struct exchange *x)
{
	struct buffer *in = net_stream_input(x->conn->stream);
	enum rc rc = RC_MORE;

	if (x->reader.kind == HTTP_BODY_CHUNKED)
		rc = take_chunks(x, in);
	else if (!take_length(x, in, &rc))
		rc = RC_MORE;
	if (!exchange_account(x))
		return (refuse_body(x, ERROR_OVERLOADED,
		    "this worker holds as many bodies as it may"));
	switch (rc) {
	case RC_OK:
	case RC_MORE:
		break;
	case RC_NOMEM:
	case RC_LIMIT:
		return (refuse_body(x, ERROR_PAYLOAD_TOO_LARGE,
		    "the body is over the limit for bodies with selectors"));
	default:
		return (exchange_body_fault(x, rc == RC_DENIED ? RC_LIMIT : rc));
	}
	if (!exchange_body_went_on(x, rc))
		return (false);
	if (rc == RC_MORE)
		return (seal_piece(x));
	conn_input_high(x->conn, 0);	/* what follows is the next request */
	x->request = REQUEST_SEAL;
	if (x->coding != HTTP_CODING_IDENTITY && !undo_coding(x))
		return (false);
	return (transform_is_pending(x->transform) ? true : exchange_run_actions(x));
}

/* ---- sealing ---- */

static void
on_sealed(void *arg, enum transform_result result, const char *why)
{
	struct exchange *x = arg;

	if (!acted(x, result, why))
		return;
	if (x->request == REQUEST_SEAL ? exchange_run_actions(x) : seal_piece(x))
		exchange_arm(x);
}

static size_t
n_actions(const struct exchange *x)
{
	return (x->egress ? 1 : x->route->n_request);
}

/* NULL: open every token. */
static const struct relay_action *
next_action(const struct exchange *x)
{
	return (x->egress ? NULL : &x->route->request[x->action]);
}

bool
exchange_run_actions(struct exchange *x)
{
	enum transform_result result;
	const char *why;

	while (x->action < n_actions(x)) {
		if (x->transform == NULL)
			x->transform = exchange_transform(x, next_action(x),
			    x->syntax, &x->head, &x->body, false, on_sealed);
		result = transform_feed(x->transform, true, &why);
		if (result == TRANSFORM_PENDING)
			return (true);
		if (!acted(x, result, why))
			return (false);
	}
	if (x->egress && !exchange_open_done(x))
		return (false);
	if (x->recode != HTTP_CODING_IDENTITY && !redo_coding(x))
		return (false);
	x->request = x->has_body && !x->collected ? REQUEST_STREAM : REQUEST_READY;
	return (exchange_request_pump(x));
}

/* ---- sending ---- */

/* A piece of the body, or its end, at the front of `in`: taken in any case. */
static enum rc
pass_on(struct exchange *x, struct buffer *in, enum rc rc, struct span piece,
    size_t used)
{
	enum rc sent;

	if (used == 0)
		return (RC_OK);
	if (!x->chunked_out && piece.len == used) {
		sent = net_stream_move(x->origin->stream, in, used);
		if (sent == RC_OK)
			return (RC_OK);
	} else {
		/* Trailers are views of the input. */
		sent = rc == RC_OK && x->chunked_out ? exchange_send_last_chunk(x) :
		    exchange_send_piece(x, piece);
	}
	buffer_consume(in, used);
	return (sent);
}

/* Pass on what is there, as long as the origin takes it. */
static bool
stream(struct exchange *x)
{
	struct buffer *in = net_stream_input(x->conn->stream);
	struct span piece;
	size_t used;
	enum rc rc, sent;

	do {
		if (!exchange_room(x->origin->stream))
			return (true);		/* on_drained goes on */
		rc = body_reader_next(&x->reader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE)
			return (exchange_body_fault(x, rc));
		sent = pass_on(x, in, rc, piece, used);
		if (sent != RC_OK)
			return (exchange_not_sent(x, sent));
	} while (rc == RC_MORE && used != 0);
	if (!exchange_body_went_on(x, rc))
		return (false);
	if (rc == RC_OK)
		x->request = REQUEST_SENT;
	return (true);
}

bool
exchange_streams(const struct exchange *x)
{
	return (x->request == REQUEST_STREAM || x->request == REQUEST_OPEN);
}

bool
exchange_request_pump(struct exchange *x)
{
	enum rc rc;

	if (buffer_len(&x->again) != 0) {
		if (!exchange_has_origin(x))
			return (true);
		if ((rc = exchange_send_again(x)) != RC_OK)
			return (exchange_not_sent(x, rc));
	}
	switch (x->request) {
	case REQUEST_COLLECT:
		return (x->egress ? exchange_open_collect(x) : collect(x));
	case REQUEST_OPEN:
		return (exchange_open_pump(x));
	case REQUEST_SEAL:
		return (x->transform == NULL ? exchange_run_actions(x) : true);
	case REQUEST_AUTH:
	case REQUEST_SENT:
		return (true);
	case REQUEST_READY:
		if (!exchange_has_origin(x))
			return (true);
		if ((rc = exchange_send_head(x, false)) != RC_OK || (rc = exchange_send_body(x)) != RC_OK)
			return (exchange_not_sent(x, rc));
		return (true);
	case REQUEST_STREAM:
		if (!exchange_has_origin(x))
			return (true);
		if (!x->head_sent && (rc = exchange_send_head(x, false)) != RC_OK)
			return (exchange_not_sent(x, rc));
		return (stream(x));
	}
	return (true);
}
