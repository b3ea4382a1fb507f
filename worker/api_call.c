/*
 * worker/api_call.c - the life of a call: the steps, its body, its deadline,
 * its answer.
 */
#include "worker/api_private.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/http/write.h"
#include "worker/feed_client.h"

#define REFUSALS_PER_S	20	/* log lines; peers can cause them at will */
#define RATE_GRACE_MS	5000	/* a client may be this slow to get going */

static void on_deadline(void *);

static const char *
where(const struct api_call *a)
{
	return (a->endpoint != NULL ? a->endpoint->path : "-");
}

static void
end_transaction(struct api_call *a, const char *outcome)
{
	if (a->ended)
		return;
	a->ended = true;
	transaction_end(&a->tx, a->conn->id, where(a), outcome);
}

/* ---- the end ---- */

void
api_free(struct api_call **ap)
{
	struct api_call *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	obj_check(a, API_CALL_MAGIC);
	end_transaction(a, "client-gone");
	transform_free(&a->transform);
	engine_call_cancel(a->wrk->engines, a->engine_id);
	api_key_cancel(a->wrk->api_keys, a->auth_id);
	egress_ca_forget(a->wrk->egress_ca, &a->ca_waiter);
	feed_change_cancel(a->wrk->feed, a->change_id);
	a->wrk->held_bytes -= a->held_bytes;
	timer_fini(&a->timer);
	body_reader_fini(&a->reader);
	api_credentials_fini(&a->credentials);
	buffer_fini(&a->body);
	buffer_fini(&a->no_head);
	buffer_fini(&a->out);
	buffer_fini(&a->was);
	relay_records_fini(&a->records);
	relay_unref(&a->relay);
	free(a->allow);
	a->magic = 0;
	free(a);
}

uint64_t
api_held(const struct api_call *a)
{
	return (a == NULL ? 0 : a->held_bytes);
}

bool
api_account(struct api_call *a)
{
	struct worker *w = a->wrk;
	uint64_t bytes = buffer_len(&a->body) + buffer_len(&a->out) +
	    buffer_len(&a->was) + a->records.bytes + (a->reserved_bytes != 0 ? a->reserved_bytes :
	    transform_held(a->transform));

	w->held_bytes += bytes - a->held_bytes;
	a->held_bytes = bytes;
	return (w->held_bytes <= w->conf->max_held_bytes);
}

bool
api_reserve(void *arg, size_t bytes)
{
	struct api_call *a = arg;

	a->reserved_bytes = transform_held(a->transform) + bytes;
	if (api_account(a))
		return (true);
	a->reserved_bytes = 0;
	(void)api_account(a);
	return (false);
}

struct span
api_body(const struct api_call *a)
{
	return ((struct span){ buffer_data(&a->body), buffer_len(&a->body) });
}

/* The connection goes on after this answer. */
static bool
keeps(const struct api_call *a)
{
	if (!a->client_keep || !a->body_taken || a->wrk->draining)
		return (false);
	return (!a->conn->eof || buffer_len(net_stream_input(a->conn->stream)) != 0);
}

static void
write_connection(const struct api_call *a, struct buffer *head)
{
	if ((a->endpoint != NULL ? a->endpoint->flags & API_CORS : 0) != 0)
		http_write_field_str(head, "Access-Control-Allow-Origin", "*");
	if (!keeps(a))
		http_write_field_str(head, "Connection", "close");
	else if (a->client_minor == 0)
		http_write_field_str(head, "Connection", "keep-alive");
}

/* False: the connection is gone. */
static bool
queue(struct api_call *a, struct buffer *bytes)
{
	if (net_stream_write_buffer(a->conn->stream, bytes) != RC_NOMEM)
		return (true);	/* a broken stream says so by its own event */
	conn_close(a->conn, CLOSE_NO_MEMORY);
	return (false);
}

void
api_answer_with(struct api_call *a, unsigned status, const char *type,
    struct buffer *body, const char *fields)
{
	struct buffer head;
	bool keep = keeps(a), fine;

	(void)api_account(a);	/* it counts until its reader has taken it */
	buffer_init(&head, 0, false);
	http_write_status_line(&head, status, SPAN_LIT(""));
	if (type != NULL)
		http_write_field_str(&head, "Content-Type", type);
	if (status != 204)
		http_write_length(&head, body != NULL ? buffer_len(body) : 0);
	http_write_field_str(&head, "x-evervault-ctx", a->tx.id);
	http_write_field_str(&head, "Cache-Control", "no-store");
	buffer_puts(&head, fields);
	write_connection(a, &head);
	http_write_end(&head);
	a->tx.status = status;
	a->tx.response_bytes = body != NULL ? buffer_len(body) : 0;
	end_transaction(a, "done");
	fine = queue(a, &head);
	if (fine && body != NULL && a->method != HTTP_HEAD)
		fine = queue(a, body);
	buffer_fini(&head);
	if (fine)
		conn_answered(a->conn, keep);
}

void
api_answer(struct api_call *a, unsigned status, const char *type,
    struct buffer *body)
{
	api_answer_with(a, status, type, body, "");
}

void
api_fail(struct api_call *a, enum error_code code, const char *stage,
    const char *detail)
{
	static struct log_rate rate;
	const struct error_info *e = error_info(code);
	struct error_answer answer = {
		.code = code,
		.detail = detail,
		.ctx = a->tx.id,
		.allow = a->allow,
		.cors = a->endpoint != NULL && (a->endpoint->flags & API_CORS) != 0,
		.head_only = a->method == HTTP_HEAD,
	};
	bool keep = keeps(a) && a->client_minor >= 1;
	struct buffer out;
	unsigned suppressed;

	if (log_rate_ok(&rate, REFUSALS_PER_S, &suppressed))
		log_info("conn=%llu refused code=%s status=%u stage=%s host=%s ctx=%s "
		    "detail=\"%s\" suppressed=%u", (unsigned long long)a->conn->id,
		    e->name, e->status, stage, where(a), a->tx.id, detail,
		    suppressed);
	a->tx.status = e->status;
	end_transaction(a, e->name);
	answer.close = !keep;
	buffer_init(&out, 0, false);
	error_answer_put(&out, &answer);
	if (queue(a, &out))
		conn_answered(a->conn, keep);
	buffer_fini(&out);
}

void
api_refuse(struct api_call *a, enum error_code code, const char *detail)
{
	if (a->refused)
		return;
	a->refused = true;
	a->refusal = code;
	a->refusal_detail = detail;
}

/* ---- the body ---- */

static void
fail_body(struct api_call *a, enum error_code code, const char *detail)
{
	a->client_keep = false;
	api_fail(a, code, "request-body", detail);
}

/* Only time in which nobody but the client could move counts: nothing else
 * happens while we read. */
static bool
too_slow(const struct api_call *a)
{
	unsigned min = a->wrk->conf->min_body_rate;
	uint64_t ms = clock_mono_ms() - a->t_body_ms;

	return (min != 0 && ms > RATE_GRACE_MS &&
	    a->reader.total * 1000 / ms < min);
}

/* All of a piece is taken, or the call is gone and rc says why. */
static enum rc
take(struct api_call *a, struct span piece)
{
	if (a->reader.total > a->body_limit) {
		fail_body(a, ERROR_PAYLOAD_TOO_LARGE, "the body is over the limit");
		return (RC_LIMIT);
	}
	if (buffer_append(&a->body, piece.p, piece.len) != RC_OK ||
	    !api_account(a)) {
		fail_body(a, ERROR_OVERLOADED,
		    "this worker holds as many bodies as it may");
		return (RC_NOMEM);
	}
	return (RC_OK);
}

/* RC_OK: the body is whole; RC_MORE: wait; anything else: the call is gone. */
static enum rc
collect(struct api_call *a)
{
	struct buffer *in = net_stream_input(a->conn->stream);
	struct span piece;
	size_t used;
	enum rc rc;

	do {
		rc = body_reader_next(&a->reader, in, &piece, &used);
		if (rc != RC_OK && rc != RC_MORE) {
			fail_body(a, rc == RC_LIMIT ? ERROR_HEADER_TOO_LARGE :
			    ERROR_BAD_REQUEST, rc == RC_LIMIT ?
			    "trailer section over its limit" :
			    "chunked framing is broken");
			return (RC_SYNTAX);
		}
		if (piece.len != 0 && take(a, piece) != RC_OK)
			return (RC_SYNTAX);
		buffer_consume(in, used);
	} while (rc == RC_MORE && used != 0);
	a->tx.request_bytes = a->reader.total;
	return (rc);
}

/* False: the call is gone. */
static bool
decode(struct api_call *a)
{
	enum error_code code;
	const char *why;
	enum rc rc;

	rc = content_coding_undo(a->coding, &a->body, a->body_limit);
	if (rc == RC_OK && api_account(a))
		return (true);
	why = "this worker holds as many bodies as it may";
	code = rc == RC_OK ? ERROR_OVERLOADED : content_coding_error(rc, &why);
	api_fail(a, code, "request-body", why);
	return (false);
}

/* False: the call is gone, or goes on when more has come. */
static bool
read_body(struct api_call *a)
{
	switch (collect(a)) {
	case RC_OK:
		timer_stop(&a->timer);
		a->collected = a->body_taken = true;
		return (decode(a));
	case RC_MORE:
		break;
	default:
		return (false);
	}
	if (a->conn->eof) {
		end_transaction(a, "client-cut-its-body");
		conn_close(a->conn, CLOSE_CLIENT_CUT);
	} else if (too_slow(a)) {
		fail_body(a, ERROR_CLIENT_TIMEOUT,
		    "the body comes slower than the minimum rate");
	}
	return (false);
}

static void
on_deadline(void *arg)
{
	struct api_call *a = arg;
	uint64_t received = net_stream_received_total(a->conn->stream);

	if (received == a->progress) {
		fail_body(a, ERROR_CLIENT_TIMEOUT,
		    "the request body stopped coming");
		return;
	}
	a->progress = received;
	timer_start_ms(&a->timer, a->wrk->conf->body_timeout_ms);
}

/* False: the connection is gone. */
static bool
say_continue(struct api_call *a)
{
	struct buffer line;
	bool fine;

	if (!a->wants_continue)
		return (true);
	a->wants_continue = false;
	buffer_init(&line, 0, false);
	http_write_status_line(&line, 100, SPAN_LIT(""));
	http_write_end(&line);
	fine = queue(a, &line);
	buffer_fini(&line);
	return (fine);
}

static void
begin_body(struct api_call *a)
{
	a->state = API_COLLECT;
	if (!say_continue(a))
		return;
	a->t_body_ms = clock_mono_ms();
	a->progress = net_stream_received_total(a->conn->stream);
	timer_start_ms(&a->timer, a->wrk->conf->body_timeout_ms);
	if (read_body(a))
		api_go_on(a);
}

/* ---- the steps ---- */

void
api_go_on(struct api_call *a)
{
	/* A token is good for one payload, which has to be here. */
	bool body_first = a->credentials.scheme == API_SCHEME_TOKEN;

	if (!a->authorised && (!body_first || a->collected)) {
		a->state = API_AUTH;
		api_auth_ask(a);
		return;
	}
	if (!a->collected) {
		if (a->authorised || api_auth_may_try(a))
			begin_body(a);
		return;
	}
	a->state = API_WORK;
	a->endpoint->run(a);
}

void
api_start(struct api_call *a)
{
	obj_check(a, API_CALL_MAGIC);
	timer_init(&a->timer, a->wrk->loop, on_deadline, a);
	if (a->refused)
		api_fail(a, a->refusal, "request-head", a->refusal_detail);
	else
		api_go_on(a);
}

/* ---- events of the conn ---- */

void
api_on_client_input(struct api_call *a)
{
	obj_check(a, API_CALL_MAGIC);
	/* Else it is the next request, or a body that is not wanted yet. */
	if (a->state == API_COLLECT && !a->collected && read_body(a))
		api_go_on(a);
}

void
api_on_client_drained(struct api_call *a)
{
	obj_check(a, API_CALL_MAGIC);	/* 100 Continue is all that can be */
}

/* A half-close after a whole request is no abort. */
void
api_on_client_eof(struct api_call *a)
{
	api_on_client_input(a);
}
