/*
 * worker/exchange_response.c - the response's way back: head, then the body
 * passed through as it comes, read whole and worked on, or opened while it
 * comes.
 *
 * What only decrypts is not worth an error by itself: a body that cannot be
 * read goes on as it came, still sealed, unless the relay says otherwise.
 * What must be sealed and cannot be is an error, as is a missing engine.
 */
#include "worker/exchange.h"

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/write.h"
#include "worker/body_syntax.h"
#include "worker/content_coding.h"
#include "worker/egress.h"
#include "worker/trailer.h"

static void run_actions(struct exchange *);

/* ---- the head ---- */

static void
broken(struct exchange *x, const char *detail)
{
	x->origin_keep = false;
	exchange_fail(x, ERROR_UPSTREAM_PROTOCOL, "response-head", detail);
}

/* What the rule says about an answer that its selectors cannot read. */
static bool
goes_on_unread(const struct exchange *x)
{
	if (x->relay->mismatch_response != RELAY_MISMATCH_DEFAULT)
		return (x->relay->mismatch_response == RELAY_MISMATCH_FORWARD);
	return (!relay_actions_encrypt(x->route->response, x->route->n_response));
}

/* It is opened and passed on while it comes: nothing in it must be sealed, and
 * no fault needs a clear answer. */
static bool
may_stream(const struct exchange *x)
{
	const struct relay_action *a = x->route->response;

	return (x->rsyntax == REWRITE_JSON && x->rcoding == HTTP_CODING_IDENTITY &&
	    x->route->n_response == 1 &&
	    a->kind == RELAY_DECRYPT && transform_streams(a) && goes_on_unread(x) &&
	    x->relay->undecryptable == RELAY_UNDECRYPTABLE_KEEP);
}

/* False: it must be sealed and cannot be; the exchange is gone. */
static bool
judge_body(struct exchange *x)
{
	const char *why;
	enum rc rc;

	x->rsyntax = REWRITE_NONE;
	x->rcoding = HTTP_CODING_IDENTITY;
	if (x->route == NULL || x->route->n_response == 0)
		return (true);
	rc = body_syntax_judge(&x->rhead, &x->rframing, x->route->response,
	    x->route->n_response, x->body_limit, &x->rsyntax, &x->rcoding, &why);
	if (rc == RC_OK || (rc == RC_LIMIT && may_stream(x)))
		return (true);
	x->rsyntax = REWRITE_NONE;
	x->rcoding = HTTP_CODING_IDENTITY;
	if (goes_on_unread(x)) {
		log_debug("conn=%llu response goes on unread why=\"%s\"",
		    (unsigned long long)x->conn->id, why);
		return (true);
	}
	x->origin_keep = false;
	exchange_fail(x, ERROR_UNSEALABLE_RESPONSE, "response-head", why);
	return (false);
}

static bool
has_head_work(const struct exchange *x)
{
	return (x->route != NULL && relay_actions_select(x->route->response,
	    x->route->n_response, RELAY_SELECT_HEADER));
}

/* A final head was read.  False: the exchange is gone, or waits. */
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
	x->binds = x->binds || egress_binds_connection(&x->rhead);
	x->origin_keep = http_head_keep_alive(&x->rhead) &&
	    x->rframing.kind != HTTP_BODY_UNTIL_CLOSE;
	if (!judge_body(x))
		return (false);
	response_head_write(x);
	if (x->rsyntax != REWRITE_NONE || has_head_work(x)) {
		buffer_consume(in, x->rhead.bytes);
		x->response = RESPONSE_COLLECT;
		if (x->rsyntax != REWRITE_NONE)
			return (true);
		run_actions(x);
		return (false);
	}
	x->response = RESPONSE_STREAM;
	if (!response_head_answer(x, x->rframing.kind == HTTP_BODY_LENGTH ?
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
		if (!response_head_interim(x, in))
			return (false);
	}
}

/* ---- passing through ---- */

static bool
to_client(struct exchange *x, const void *data, size_t len)
{
	if (net_stream_write(x->conn->stream, data, len) != RC_NOMEM)
		return (true);	/* a broken stream says so by its own event */
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

/* The next piece of the body.  When it is complete, the trailers that may go
 * on are kept: they are views of what the caller consumes now. */
static enum rc
next_piece(struct exchange *x, struct buffer *in, struct span *piece, size_t *used)
{
	enum rc rc = body_reader_next(&x->rreader, in, piece, used);

	if (rc == RC_OK && *used != 0)
		trailer_write(&x->rreader.trailers, x->route, TRAILER_RESPONSE,
		    &x->trailers);
	return (rc);
}

/* The last byte was passed on.  The exchange is gone after. */
static void
end_stream(struct exchange *x)
{
	if (x->chunked_back && (!to_client(x, "0\r\n", 3) ||
	    !to_client(x, buffer_data(&x->trailers), buffer_len(&x->trailers)) ||
	    !to_client(x, "\r\n", 2)))
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

/* A piece of the body at the front of `in`.  False: the exchange is gone. */
static bool
pass_on(struct exchange *x, struct buffer *in, struct span piece, size_t used)
{
	if (used == 0)
		return (true);
	if (!x->chunked_back && piece.len == used) {
		x->tx.response_bytes += used;
		switch (net_stream_move(x->conn->stream, in, used)) {
		case RC_OK:
			return (true);
		case RC_NOMEM:
			conn_close(x->conn, CLOSE_NO_MEMORY);
			return (false);
		default:	/* it says so by its own event */
			break;
		}
	} else if (!back_piece(x, piece)) {
		return (false);
	}
	buffer_consume(in, used);
	return (true);
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
		rc = next_piece(x, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE) {
			exchange_fail(x, ERROR_UPSTREAM_PROTOCOL, "response-body",
			    "the destination's framing is broken");
			return;
		}
		if (!pass_on(x, in, piece, used))
			return;
	} while (rc == RC_MORE && used != 0);
	if (rc == RC_MORE)
		rc = at_end(x);
	if (rc == RC_OK)
		end_stream(x);
	else if (rc == RC_MORE)
		exchange_arm(x);
}

/* ---- working on it ---- */

/* What was read of it goes on as it is, and the rest as it comes. */
static void
pass_collected(struct exchange *x, struct buffer *in)
{
	bool whole = x->rreader.done;
	uint64_t length = UINT64_MAX;

	if (whole)		/* an earlier action may have changed it */
		length = buffer_len(&x->rbody);
	else if (x->rframing.kind == HTTP_BODY_LENGTH)
		length = x->rframing.length;
	transform_free(&x->transform);
	x->response = RESPONSE_STREAM;
	if ((!x->answered && !response_head_answer(x, length)) ||
	    !back_piece(x, (struct span){ buffer_data(&x->rbody),
	    buffer_len(&x->rbody) }))
		return;
	buffer_fini(&x->rbody);
	buffer_init(&x->rbody, 0, true);
	x->reserved_bytes = 0;
	(void)exchange_account(x);
	if (whole)
		end_stream(x);
	else
		stream(x, in);
}

/* Every action was carried out. */
static void
send_worked(struct exchange *x)
{
	if (x->unread) {
		pass_collected(x, net_stream_input(x->origin->stream));
		return;
	}
	if (x->rsyntax == REWRITE_NONE) {	/* the head alone had work */
		x->response = RESPONSE_STREAM;
		if (response_head_answer(x, x->rframing.kind == HTTP_BODY_LENGTH ?
		    x->rframing.length : UINT64_MAX))
			stream(x, net_stream_input(x->origin->stream));
		return;
	}
	x->tx.response_bytes = buffer_len(&x->rbody);
	if (!response_head_answer(x, buffer_len(&x->rbody)))
		return;
	if (net_stream_write_buffer(x->conn->stream, &x->rbody) == RC_NOMEM) {
		conn_close(x->conn, CLOSE_NO_MEMORY);
		return;
	}
	x->response = RESPONSE_DONE;
	exchange_done(x);
}

/* The body as it came; the header values of this action and those behind it
 * can be worked on all the same, unless they are with the client already, or
 * are the ones that could not be. */
static void
go_on_unread(struct exchange *x)
{
	transform_free(&x->transform);
	x->reserved_bytes = 0;
	content_coding_write(x->rcoding, &x->back_head);	/* not undone */
	x->rcoding = HTTP_CODING_IDENTITY;
	if (x->rsyntax == REWRITE_NONE)
		x->raction++;
	x->rsyntax = REWRITE_NONE;
	x->unread = true;
	if (x->answered)
		pass_collected(x, net_stream_input(x->origin->stream));
	else
		run_actions(x);
}

/* The rule is about bodies: header values that must be sealed never go on. */
static bool
may_go_on_unread(const struct exchange *x)
{
	return (goes_on_unread(x) && (x->rsyntax != REWRITE_NONE ||
	    !relay_actions_encrypt(x->route->response, x->route->n_response)));
}

/* An action could not be carried out.  The exchange may be gone after. */
static void
not_acted(struct exchange *x, enum transform_result result, const char *why)
{
	switch (result) {
	case TRANSFORM_MALFORMED:
	case TRANSFORM_TOO_MANY:
	case TRANSFORM_TOO_LARGE:
		if (may_go_on_unread(x)) {
			log_debug("conn=%llu response goes on unread why=\"%s\"",
			    (unsigned long long)x->conn->id, why);
			go_on_unread(x);
			return;
		}
		x->origin_keep = false;
		exchange_fail(x, ERROR_UNSEALABLE_RESPONSE, "response-body", why);
		return;
	default:
		exchange_fail(x, exchange_transform_error(result), "open", why);
		return;
	}
}

static void
on_worked(void *arg, enum transform_result result, const char *why)
{
	struct exchange *x = arg;

	if (result != TRANSFORM_DONE) {
		not_acted(x, result, why);
		return;
	}
	transform_free(&x->transform);
	x->reserved_bytes = 0;
	x->raction++;
	run_actions(x);
}

/* The body is whole, or the head alone has work. */
static void
run_actions(struct exchange *x)
{
	enum transform_result result;
	const char *why;

	while (x->raction < x->route->n_response) {
		x->transform = exchange_transform(x, &x->route->response[x->raction],
		    x->rsyntax, &x->back_head, &x->rbody, false, on_worked);
		result = transform_feed(x->transform, true, &why);
		if (result == TRANSFORM_PENDING) {
			x->response = RESPONSE_OPEN;
			exchange_arm(x);
			return;
		}
		if (result != TRANSFORM_DONE) {
			not_acted(x, result, why);
			return;
		}
		transform_free(&x->transform);
		x->raction++;
	}
	(void)exchange_account(x);
	send_worked(x);
}

/* ---- opened while it comes ---- */

/* A piece is done: send it.  False: the exchange is gone. */
static bool
send_piece(struct exchange *x, struct buffer *out)
{
	bool fine;

	x->reserved_bytes = 0;
	if (!x->answered && !response_head_answer(x, UINT64_MAX))
		return (false);
	fine = back_piece(x, (struct span){ buffer_data(out), buffer_len(out) });
	if (!fine)
		return (false);
	buffer_clear(out);
	(void)exchange_account(x);
	return (true);
}

static void pieces(struct exchange *, struct buffer *in);

static void
on_piece(void *arg, enum transform_result result, const char *why)
{
	struct exchange *x = arg;

	switch (result) {
	case TRANSFORM_PIECE:
		if (send_piece(x, transform_output(x->transform)))
			pieces(x, net_stream_input(x->origin->stream));
		return;
	case TRANSFORM_DONE:
		if (send_piece(x, &x->rbody))
			end_stream(x);
		return;
	default:
		not_acted(x, result, why);
		return;
	}
}

/* RC_OK: the body is complete; RC_MORE: that is all there is now; anything
 * else: the exchange is gone. */
static enum rc
read_some(struct exchange *x, struct buffer *in)
{
	struct span piece;
	size_t used;
	enum rc rc;

	do {
		if (buffer_len(&x->rbody) > x->body_limit)
			return (RC_MORE);	/* enough: the caller judges */
		rc = next_piece(x, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE) {
			exchange_fail(x, ERROR_UPSTREAM_PROTOCOL, "response-body",
			    "the destination's framing is broken");
			return (RC_SYNTAX);
		}
		if (buffer_append(&x->rbody, piece.p, piece.len) != RC_OK) {
			exchange_fail(x, ERROR_INTERNAL, "response-body",
			    "out of memory");
			return (RC_NOMEM);
		}
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	if (!exchange_account(x)) {
		exchange_fail(x, ERROR_OVERLOADED, "response-body",
		    "this worker holds as many bodies as it may");
		return (RC_LIMIT);
	}
	return (rc == RC_MORE ? at_end(x) : rc);
}

static void
pieces(struct exchange *x, struct buffer *in)
{
	enum transform_result result;
	size_t before = buffer_len(&x->rbody);
	const char *why;
	enum rc rc;

	if (transform_is_pending(x->transform) ||
	    !exchange_room(x->conn->stream)) {
		exchange_arm(x);	/* its end, or on_client_drained, goes on */
		return;
	}
	rc = read_some(x, in);
	if (rc != RC_OK && rc != RC_MORE)
		return;
	if (buffer_len(&x->rbody) > x->body_limit) {
		/* One value larger than any that can be opened. */
		pass_collected(x, in);
		return;
	}
	if (rc == RC_MORE && buffer_len(&x->rbody) == before && x->answered) {
		exchange_arm(x);
		return;
	}
	result = transform_feed(x->transform, rc == RC_OK, &why);
	if (result == TRANSFORM_PENDING)
		exchange_arm(x);
	else
		on_piece(x, result, why);
}

/* ---- reading it whole ---- */

/* The body is whole: what its actions can read.  It goes on in no coding.
 * False: it is dealt with, and the exchange may be gone. */
static bool
undo_coding(struct exchange *x)
{
	enum rc rc = content_coding_undo(x->rcoding, &x->rbody, x->body_limit);
	const char *why;

	if (rc == RC_OK) {
		x->rcoding = HTTP_CODING_IDENTITY;
		if (exchange_account(x))
			return (true);
		not_acted(x, TRANSFORM_OVERLOADED,
		    "this worker holds as many bodies as it may");
		return (false);
	}
	(void)content_coding_error(rc, &why);
	not_acted(x, rc == RC_NOMEM ? TRANSFORM_OVERLOADED : rc == RC_LIMIT ?
	    TRANSFORM_TOO_LARGE : TRANSFORM_MALFORMED, why);
	return (false);
}

static void
collect(struct exchange *x, struct buffer *in)
{
	size_t enough = may_stream(x) ? x->wrk->conf->stream_buffer_bytes : SIZE_MAX;
	enum rc rc = read_some(x, in);

	if (rc == RC_OK) {
		/* Also without a body: the head's. */
		if (x->rcoding == HTTP_CODING_IDENTITY || undo_coding(x))
			run_actions(x);
	} else if (rc == RC_MORE && buffer_len(&x->rbody) > enough) {
		x->response = RESPONSE_PIECES;
		x->transform = exchange_transform(x, &x->route->response[0],
		    x->rsyntax, &x->back_head, &x->rbody, true, on_piece);
		pieces(x, in);
	} else if (rc == RC_MORE && buffer_len(&x->rbody) > x->body_limit) {
		not_acted(x, TRANSFORM_TOO_LARGE,
		    "the body is over the limit for bodies with selectors");
	} else if (rc == RC_MORE) {
		exchange_arm(x);
	}
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
	case RESPONSE_PIECES:
		pieces(x, in);
		return;
	}
}

void
exchange_response_eof(struct exchange *x)
{
	x->origin_keep = false;
	x->origin_eof = true;
	switch (x->response) {
	case RESPONSE_HEAD:
		exchange_origin_lost(x, "end of stream");
		return;
	case RESPONSE_OPEN:
	case RESPONSE_DONE:
		return;
	case RESPONSE_STREAM:
	case RESPONSE_COLLECT:
	case RESPONSE_PIECES:
		break;
	}
	/* Input that waits for a slow client is not lost: it ends the body, or
	 * shows it cut, when it has been passed on. */
	exchange_response_pump(x);
}
