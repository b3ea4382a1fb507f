/*
 * worker/exchange.c - life of an exchange: its caller's key, its end.  The
 * request's way is in exchange_request.c (on egress exchange_open.c) and
 * exchange_send.c, the response's in exchange_response.c, the connection to the
 * destination in exchange_origin.c, who is waited for in exchange_deadline.c.
 *
 * Any function that may end the exchange is the last thing its caller does, or
 * says so by its result.
 */
#include "worker/exchange.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/write.h"
#include "worker/api_key.h"
#include "worker/egress.h"

#define REFUSALS_PER_S	20	/* log lines; peers can cause them at will */

/* ---- life ---- */

struct exchange *
exchange_new(struct conn *c, const struct http_head *head, struct judgement *j)
{
	struct exchange *x = xcalloc(1, sizeof(*x));
	struct worker *w = c->wrk;

	x->magic = EXCHANGE_MAGIC;
	x->conn = c;
	x->wrk = w;
	x->relay = j->relay;		/* the reference moves; j keeps a view */
	x->route = j->route;
	transaction_begin(&x->tx);
	memcpy(x->host, j->host, sizeof(x->host));
	x->method = head->method;
	x->client_minor = head->minor;
	x->client_keep = http_head_keep_alive(head);
	x->has_body = j->framing.kind == HTTP_BODY_CHUNKED ||
	    j->framing.kind == HTTP_BODY_LENGTH;
	x->syntax = j->syntax;
	x->coding = j->coding;
	x->collected = j->syntax != REWRITE_NONE;
	x->body_limit = judge_body_limit(w->conf, x->relay);
	x->piece_at = EXCHANGE_PIECE_BYTES;
	x->wants_continue = j->expects;
	x->upgrade = j->upgrade.len != 0;
	body_reader_init(&x->reader, &j->framing, &w->head_limits);
	x->body_taken = x->reader.done;
	http_head_init(&x->rhead);
	buffer_init(&x->head, 0, true);
	buffer_init(&x->body, 0, true);
	buffer_init(&x->back_head, 0, true);
	buffer_init(&x->rbody, 0, true);
	buffer_init(&x->trailers, 0, true);
	buffer_init(&x->api_key, 0, true);
	buffer_init(&x->again, 0, true);
	buffer_init(&x->media, 0, false);
	buffer_init(&x->end, 0, true);
	buffer_init(&x->coded, 0, true);
	buffer_init(&x->unopened_head, 0, true);
	x->binds = egress_binds_connection(head);
	return (x);
}

void
exchange_free(struct exchange **xp)
{
	struct exchange *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	obj_check(x, EXCHANGE_MAGIC);
	transform_free(&x->transform);
	x->wrk->held_bytes -= x->held_bytes;
	api_key_cancel(x->wrk->api_keys, x->auth_id);
	if (x->take_id != 0)
		origin_cancel(x->wrk->origins, x->take_id);
	origin_drop(&x->origin);
	timer_fini(&x->expect);
	timer_fini(&x->timer);
	body_reader_fini(&x->reader);
	body_reader_fini(&x->rreader);
	http_head_fini(&x->rhead);
	buffer_fini(&x->head);
	buffer_fini(&x->body);
	buffer_fini(&x->back_head);
	buffer_fini(&x->rbody);
	buffer_fini(&x->trailers);
	buffer_fini(&x->api_key);
	buffer_fini(&x->again);
	buffer_fini(&x->media);
	buffer_fini(&x->end);
	buffer_fini(&x->coded);
	http_decoder_free(&x->decoder);
	http_encoder_free(&x->encoder);
	buffer_fini(&x->unopened_head);
	relay_unref(&x->relay);
	x->magic = 0;
	free(x);
}

void
exchange_fail(struct exchange *x, enum error_code code, const char *stage,
    const char *detail)
{
	static struct log_rate rate;
	const struct error_info *e = error_info(code);
	unsigned suppressed;

	if (log_rate_ok(&rate, REFUSALS_PER_S, &suppressed))
		log_info("conn=%llu refused code=%s status=%u stage=%s host=%s ctx=%s "
		    "detail=\"%s\" suppressed=%u", (unsigned long long)x->conn->id,
		    e->name, e->status, stage, x->host, x->tx.id, detail, suppressed);
	x->tx.status = x->tx.status != 0 ? x->tx.status : e->status;
	transaction_end(&x->tx, x->conn->id, x->host, e->name);
	if (x->answered)
		conn_cut(x->conn);
	else
		conn_refuse(x->conn, code, detail, x->tx.id,
		    x->method == HTTP_HEAD, x->client_keep &&
		    x->client_minor >= 1 && x->body_taken);
}

void
exchange_done(struct exchange *x)
{
	bool keep = !x->close_after && x->body_taken;

	ensure(x->response == RESPONSE_DONE);
	if (x->origin_keep && x->request == REQUEST_SENT && !x->origin_deaf) {
		if (!x->binds && !x->origin->bound)
			origin_give(&x->origin);
		else if (x->egress && egress_is_inside(x->conn->egress))
			egress_keep_origin(x->conn->egress, &x->origin);
	}
	transaction_end(&x->tx, x->conn->id, x->host, "done");
	conn_answered(x->conn, keep);
}

/* A body that is read whole stands in the stream's input until then, and is
 * queued to the destination in one piece. */
static uint64_t
request_held(const struct exchange *x)
{
	uint64_t bytes = buffer_len(&x->body) + buffer_len(&x->again) +
	    buffer_len(&x->coded);

	if (x->decoder != NULL)
		bytes += http_decoder_held(x->decoder);
	if (x->encoder != NULL)
		bytes += http_encoder_held(x->encoder);
	if (x->request == REQUEST_COLLECT)
		bytes += buffer_len(net_stream_input(x->conn->stream));
	if (x->collected && x->origin != NULL)
		bytes += net_stream_unsent(x->origin->stream);
	return (bytes);
}

/* What was read of an answer before it could be passed on is queued at once;
 * what passes as it comes is not, see exchange_room. */
static uint64_t
response_held(const struct exchange *x)
{
	uint64_t bytes = buffer_len(&x->rbody);

	if (x->answered && (x->unread || x->rsyntax != REWRITE_NONE))
		bytes += net_stream_unsent(x->conn->stream);
	return (bytes);
}

bool
exchange_account(struct exchange *x)
{
	struct worker *w = x->wrk;
	uint64_t bytes = request_held(x) + response_held(x) +
	    (x->reserved_bytes != 0 ? x->reserved_bytes :
	    transform_held(x->transform));

	w->held_bytes += bytes - x->held_bytes;
	x->held_bytes = bytes;
	return (w->held_bytes <= w->conf->max_held_bytes);
}

void
exchange_let_go(struct exchange *x)
{
	buffer_fini(&x->body);
	buffer_init(&x->body, 0, true);
	(void)exchange_account(x);	/* it can only be less */
}

static bool
reserve(void *arg, size_t bytes)
{
	struct exchange *x = arg;

	x->reserved_bytes = transform_held(x->transform) + bytes;
	if (exchange_account(x))
		return (true);
	x->reserved_bytes = 0;
	(void)exchange_account(x);
	return (false);
}

struct transform *
exchange_transform(struct exchange *x, const struct relay_action *action,
    enum rewrite_syntax syntax, struct buffer *head, struct buffer *body,
    bool pieces, transform_cb *cb)
{
	const struct relay *r = x->relay;
	const struct conf *conf = x->wrk->conf;
	const struct transform_scan scan = {
		.media = { buffer_data(&x->media), buffer_len(&x->media) },
		.limits = { conf->max_token_bytes,
		    conf->max_file_bytes + WORKER_FILE_SEALED_MORE },
		.headers = conf->egress_open_headers,
		.query = conf->egress_open_query,
	};
	const struct transform_job job = {
		.engines = x->wrk->engines,
		.relay = r,
		.action = action,
		.scan = action == NULL ? &scan : NULL,
		.place = x->egress ? RPC_PLACE_EGRESS : RPC_PLACE_RELAY,
		.destination = r->host,
		.client = x->conn->client,
		.head = head,
		.body = body,
		.syntax = buffer_len(body) == 0 && !pieces ? REWRITE_NONE : syntax,
		/* On the way in the caller is told; on the way back it stays
		 * sealed. */
		.forbidden_fails = head == &x->head,
		.pieces = pieces,
		.tx = &x->tx,
		.max_fields = r->max_body_fields != 0 ? r->max_body_fields :
		    x->wrk->conf->max_body_fields,
		.max_bytes = EXCHANGE_RESULT_MAX,
		.reserve = reserve,
	};

	return (transform_new(&job, cb, x));
}

enum error_code
exchange_transform_error(enum transform_result r)
{
	switch (r) {
	case TRANSFORM_MALFORMED:
		return (ERROR_MALFORMED_BODY);
	case TRANSFORM_TOO_MANY:
		return (ERROR_TOO_MANY_FIELDS);
	case TRANSFORM_TOO_LARGE:
		return (ERROR_PAYLOAD_TOO_LARGE);
	case TRANSFORM_OVERLOADED:
		return (ERROR_OVERLOADED);
	case TRANSFORM_UNDECRYPTABLE:
		return (ERROR_DECRYPTION);
	case TRANSFORM_FORBIDDEN:
		return (ERROR_DECRYPT_FORBIDDEN);
	case TRANSFORM_RATE_LIMITED:
		return (ERROR_RATE_LIMITED);
	case TRANSFORM_ENGINE:
		return (ERROR_ENGINE_UNAVAILABLE);
	case TRANSFORM_PENDING:
	case TRANSFORM_PIECE:
	case TRANSFORM_DONE:
		break;
	}
	return (ERROR_INTERNAL);
}

bool
exchange_room(struct net_stream *to)
{
	return (net_stream_unsent(to) < EXCHANGE_UNSENT_MAX);
}

/* ---- events of the conn ---- */

bool
exchange_say_continue(struct exchange *x)
{
	struct buffer line;
	enum rc rc;

	timer_stop(&x->expect);
	if (!x->wants_continue || x->answered)
		return (true);
	x->wants_continue = false;
	buffer_init(&line, 0, false);
	http_write_status_line(&line, 100, SPAN_LIT(""));
	http_write_end(&line);
	rc = net_stream_write_buffer(x->conn->stream, &line);
	buffer_fini(&line);
	if (rc != RC_NOMEM)
		return (true);	/* a broken stream says so by its own event */
	conn_close(x->conn, CLOSE_NO_MEMORY);
	return (false);
}

/* The destination says nothing: the client may go on (RFC 9110 10.1.1). */
static void
on_expect(void *arg)
{
	struct exchange *x = arg;

	if (exchange_say_continue(x))
		exchange_arm(x);
}

/* A body of known length that is read whole stands in the stream's input. */
static void
make_room(struct exchange *x)
{
	if (x->request == REQUEST_COLLECT && x->reader.kind == HTTP_BODY_LENGTH)
		conn_input_high(x->conn, exchange_enough(x));
}

/* The caller may: ask for a connection, and begin to read. */
static void
begin(struct exchange *x)
{
	exchange_origin_ask(x, false);
	make_room(x);
	if (!x->collected && x->wants_continue)
		timer_start_ms(&x->expect, x->wrk->conf->expect_timeout_ms);
	else if (!exchange_say_continue(x))
		return;
	if (exchange_request_pump(x))
		exchange_arm(x);
}

static void
on_verdict(void *arg, const struct api_key_answer *answer)
{
	struct exchange *x = arg;

	x->auth_id = 0;
	switch (answer->verdict) {
	case API_KEY_GOOD:
		key_name_set(&x->key, answer, API_SCOPE_RELAY);
		x->request = x->after_auth;
		begin(x);
		return;
	case API_KEY_BAD:
	case API_KEY_NO_SCOPE:
		exchange_fail(x, ERROR_UNAUTHORIZED, "authentication",
		    "the API key is not good for this relay");
		return;
	case API_KEY_NO_ENGINE:
		exchange_fail(x, ERROR_ENGINE_UNAVAILABLE, "authentication",
		    "no engine could check the API key");
		return;
	}
}

static void
authenticate(struct exchange *x)
{
	const struct api_key_question question = {
		.key = { buffer_data(&x->api_key), buffer_len(&x->api_key) },
		.app = x->relay->app,
		.scope = API_SCOPE_RELAY,
	};
	struct api_key_answer now;

	x->after_auth = x->request;
	x->request = REQUEST_AUTH;
	x->auth_id = api_key_ask(x->wrk->api_keys, &question, on_verdict, x, &now);
	buffer_clear(&x->api_key);
	if (x->auth_id == 0)
		on_verdict(x, &now);
	else
		exchange_arm(x);
}

void
exchange_start(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	timer_init(&x->timer, x->wrk->loop, exchange_on_deadline, x);
	timer_init(&x->expect, x->wrk->loop, on_expect, x);
	if (x->relay->api_key)
		authenticate(x);
	else
		begin(x);
}

void
exchange_on_client_input(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	if (exchange_request_pump(x))
		exchange_arm(x);
}

void
exchange_on_client_drained(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	(void)exchange_account(x);
	if (x->response == RESPONSE_STREAM || x->response == RESPONSE_PIECES)
		exchange_response_pump(x);
	else
		exchange_arm(x);
}

void
exchange_on_client_eof(struct exchange *x)
{
	obj_check(x, EXCHANGE_MAGIC);
	if (x->body_taken)
		return;		/* a half-close after a whole request is no abort,
				   and others may wait behind it */
	/* The rest may wait in our input: the reader finds out. */
	if (exchange_request_pump(x))
		exchange_arm(x);
}
