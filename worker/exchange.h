/*
 * worker/exchange.h - one request and its response: from a parsed head to the
 * last byte of the answer.
 * Context:   the loop's thread.
 * Ownership: the conn owns its exchange; the exchange owns its bodies, its
 *            transform, its origin connection or the wait for one.
 *
 * Request and response move on their own, since an origin may answer before
 * the body was read:
 *
 *   request   (AUTH ->) COLLECT -> SEAL -> READY -> SENT  a body with work
 *             (AUTH ->) SEAL -> READY | STREAM -> SENT    work in the head alone
 *             (AUTH ->) STREAM -> SENT                    no work
 *             COLLECT -> SEAL -> READY -> SENT            egress: a short body
 *             COLLECT -> OPEN -> SENT                     egress: opened while
 *                                                         it comes
 *   response  HEAD -> STREAM -> DONE                  passes through
 *             HEAD -> OPEN -> STREAM -> DONE          work in the head alone
 *             HEAD -> COLLECT -> OPEN -> DONE         has work, read whole
 *             HEAD -> COLLECT -> PIECES -> DONE       only decrypts, and is long
 *   and, when both sides agreed on another protocol, the conn's tunnel.
 *
 * The origin's connection is asked for when the exchange begins, so that its
 * handshake runs beside the body and the engine call.
 */
#ifndef RELAY_WORKER_EXCHANGE_H
#define RELAY_WORKER_EXCHANGE_H

#include "conf/relay_json.h"
#include "lib/base/host.h"
#include "lib/base/timer.h"
#include "lib/http/content_coding.h"
#include "worker/body_reader.h"
#include "worker/conn.h"
#include "worker/error_answer.h"
#include "worker/judge.h"
#include "worker/key_watch.h"
#include "worker/origin_pool.h"
#include "worker/transform.h"
#include "worker/worker.h"

enum request_state {
	REQUEST_AUTH,		/* an engine is asked about the caller's key */
	REQUEST_COLLECT,	/* the body is read whole: it has work */
	REQUEST_SEAL,		/* an engine call is out for what is whole */
	REQUEST_READY,		/* whole in body, waits for the origin */
	REQUEST_STREAM,		/* passes through as it comes */
	REQUEST_OPEN,		/* egress: opened and passed on as it comes */
	REQUEST_SENT		/* every byte is queued to the origin */
};

enum response_state {
	RESPONSE_HEAD,		/* no final head yet */
	RESPONSE_STREAM,	/* passes through as it comes */
	RESPONSE_COLLECT,	/* read whole: it has work */
	RESPONSE_OPEN,		/* an engine call is out */
	RESPONSE_PIECES,	/* opened and passed on as it comes */
	RESPONSE_DONE		/* every byte is queued to the client */
};

struct exchange {
	unsigned		magic;
#define EXCHANGE_MAGIC		0x2b90c4f8
	struct conn		*conn;		/* borrowed: owns us */
	struct worker		*wrk;		/* borrowed */
	struct relay		*relay;		/* owned reference, to the end */
	const struct relay_route *route;	/* view into relay; NULL: none */
	struct transaction	tx;
	char			host[HOST_BYTES]; /* as the client asked */

	/* request */
	enum request_state	request;
	enum request_state	after_auth;	/* where AUTH leads */
	struct buffer		api_key;	/* owned: the caller's; wiped when
						   it was asked about */
	uint64_t		auth_id;	/* waits for a verdict; 0: no */
	struct key_name		key;		/* the caller's, once it was good */
	enum http_method	method;
	unsigned		client_minor;	/* HTTP/1.minor of the client */
	bool			client_keep;	/* it keeps the connection */
	bool			has_body;
	enum rewrite_syntax	syntax;		/* of a body that has work */
	enum http_coding	coding;		/* of it, still to be undone */
	enum http_coding	recode;		/* to be done again behind the last
						   action; identity: none */
	bool			collected;	/* the body is read whole */
	bool			chunked_out;	/* towards the origin */
	bool			wants_continue;	/* it waits for a 100 */
	bool			upgrade;	/* it asks for another protocol */
	struct body_reader	reader;
	bool			body_taken;	/* and consumed to its last byte:
						   what follows is a request */
	uint64_t		body_limit;	/* bytes, with selectors; both ways */
	struct buffer		head;		/* owned: outgoing, unfinished */
	struct buffer		body;		/* owned: while it has work */
	size_t			action;		/* next request action */
	size_t			piece_at;	/* bytes in body that are worth a call
						   before it is whole */

	/* egress: tokens are opened, wherever they stand */
	bool			egress;
	bool			open_head;	/* in its head, too */
	struct buffer		media;		/* owned: its Content-Type */
	struct http_decoder	*decoder;	/* owned; NULL: not coded */
	struct http_encoder	*encoder;	/* owned; NULL: goes on decoded */
	struct buffer		coded;		/* owned: a short body as it came */
	struct buffer		end;		/* owned: trailers of its body */
	enum transform_result	opened;		/* of a piece that waits for a
						   connection; PENDING: none does */
	struct buffer		unopened_head;	/* owned: instead of `head` if
						   nothing was opened; "": as it */

	/* origin */
	bool			binds;		/* a side authenticates its connection:
						   not to be shared */
	uint64_t		take_id;	/* waits for a connection; 0: no */
	struct origin_conn	*origin;	/* owned; NULL: not yet */
	bool			head_sent;	/* request head is queued */
	bool			origin_deaf;	/* takes no more; may still speak */
	bool			retried;
	uint64_t		sent_mark;	/* the connection's bytes before ours */
	struct buffer		again;		/* owned: queued, and no byte left;
						   for the next connection */

	/* response */
	enum response_state	response;
	bool			answered;	/* a head is queued to the client */
	struct http_head	rhead;		/* owned array; views into origin input */
	struct http_framing	rframing;
	struct body_reader	rreader;
	enum rewrite_syntax	rsyntax;	/* of a body that has work */
	enum http_coding	rcoding;	/* of it, still to be undone, and
						   not in back_head yet */
	bool			unread;		/* read in part, and goes on as it
						   came */
	uint64_t		rlength;	/* declared for a body-less answer;
						   UINT64_MAX: not */
	bool			chunked_back;	/* towards the client */
	bool			close_after;	/* towards the client */
	bool			origin_keep;	/* reusable after this answer */
	bool			origin_eof;	/* it will send no more */
	bool			origin_cut;	/* and did not say goodbye */
	struct buffer		back_head;	/* owned: answer head, unfinished */
	struct buffer		rbody;		/* owned: while it has work */
	struct buffer		trailers;	/* owned: lines that go on behind
						   the last chunk */
	size_t			raction;	/* next response action */

	uint64_t		held_bytes;	/* ours in wrk->held_bytes */
	uint64_t		reserved_bytes;	/* of those: for a call's answer */
	struct transform	*transform;	/* owned; NULL: none */
	struct timer		expect;		/* then we say 100 ourselves */
	struct timer		timer;		/* no progress, exchange_deadline.c */
	uint8_t			waiting;	/* private: for whom */
	uint64_t		t_waiting_ms;	/* private: since when */
	uint64_t		client_ms;	/* private: waited for its body */
	uint64_t		reads_ms;	/* private: waited for it to read */
	uint64_t		progress;	/* private: bytes moved at arming */
};

/* High-water mark of what is queued and unsent in either direction: above it
 * the other side is not read.  Two TLS records and room. */
#define EXCHANGE_UNSENT_MAX	(128u << 10)
/* A request body over this is sealed in pieces of this while the rest comes. */
#define EXCHANGE_PIECE_BYTES	((size_t)1 << 20)
/* A sealed body is longer than a plain one: about 4/3 plus 90 bytes a field. */
#define EXCHANGE_RESULT_MAX	(64u << 20)

/* Of a request that was judged, whose relay reference moves here; x->request
 * and x->head are the caller's to fill in.  Nothing points into the head. */
struct exchange *exchange_new(struct conn *, const struct http_head *,
    struct judgement *);
/* Free whatever state it is in; cancels its call and its wait. */
void exchange_free(struct exchange **);

/* ---- events of the conn ---- */
void exchange_start(struct exchange *);
void exchange_on_client_input(struct exchange *);
void exchange_on_client_drained(struct exchange *);
/* Half-close: an error only while the body is incomplete. */
void exchange_on_client_eof(struct exchange *);

/* ---- inside: the three files of an exchange ---- */

/* Answer with a refusal, or, when an answer has begun, cut the connection so
 * that no framing looks complete.  The exchange is gone after. */
void exchange_fail(struct exchange *, enum error_code, const char *stage,
    const char *detail);
/* The whole answer is queued: back to the conn.  The exchange is gone after. */
void exchange_done(struct exchange *);
/* Count what this exchange holds of bodies.  False: that passes the worker's
 * max_held_bytes. */
bool exchange_account(struct exchange *);
/* The request's body is needed no more: wiped, and no longer counted. */
void exchange_let_go(struct exchange *);
/* Room for more towards the peer. */
bool exchange_room(struct net_stream *to);
/* Say 100 Continue if the client waits for it.  False: the exchange is gone. */
bool exchange_say_continue(struct exchange *);
enum error_code exchange_transform_error(enum transform_result);
/* The next action on a message, begun; one that is only fed later is created.
 * Action NULL: every token of an egress request is opened.  The transform's
 * owner is the exchange. */
struct transform *exchange_transform(struct exchange *,
    const struct relay_action *, enum rewrite_syntax, struct buffer *head,
    struct buffer *body, bool pieces, transform_cb *);

/* exchange_deadline.c */
/* Watch whoever has to move next. */
void exchange_arm(struct exchange *);
/* The timer's callback. */
void exchange_on_deadline(void *);
/* The request body comes slower than conf's min_body_rate. */
bool exchange_client_too_slow(const struct exchange *);

/* How much of a body with work is worth taking out of the stream's input: all
 * that is left of it, or a piece that can be sealed while the rest comes. */
size_t exchange_enough(const struct exchange *);

/* exchange_open.c: the request of an egress exchange.  As exchange_request_pump
 * what may end the exchange says so. */
void exchange_open_begin(struct exchange *, const struct http_head *);
bool exchange_open_collect(struct exchange *);
bool exchange_open_pump(struct exchange *);
/* Every action was carried out on a short body. */
bool exchange_open_done(struct exchange *);

/* exchange_request.c; false: the exchange is gone, or begins again with
 * another origin connection: nothing is left to do */
bool exchange_request_pump(struct exchange *);
/* The body goes on as it comes. */
bool exchange_streams(const struct exchange *);
/* The body's framing is broken, or its trailers too long.  Returns false. */
bool exchange_body_fault(struct exchange *, enum rc);
/* Everything that came of the body was taken, and rc says whether that was the
 * end: is there hope for more?  False: the exchange is gone. */
bool exchange_body_went_on(struct exchange *, enum rc);
/* The body is whole, or none of it is read: carry out what is left of the
 * request's actions, in order.  False: the exchange is gone. */
bool exchange_run_actions(struct exchange *);

/* exchange_send.c */
enum rc exchange_send_head(struct exchange *, bool chunked);
enum rc exchange_send_body(struct exchange *);
enum rc exchange_send_piece(struct exchange *, struct span);
/* The last chunk, with the trailers that may go on: of the reader, whose views
 * must be good; or those that were kept in x->end. */
enum rc exchange_send_last_chunk(struct exchange *);
enum rc exchange_send_end(struct exchange *);
enum rc exchange_send_again(struct exchange *);
/* A write failed.  False: see exchange_request_pump. */
bool exchange_not_sent(struct exchange *, enum rc);
/* There is a connection that takes bytes; asked for again if it was lost while
 * the body was read. */
bool exchange_has_origin(struct exchange *);
/* exchange_response.c */
void exchange_response_pump(struct exchange *);
void exchange_response_eof(struct exchange *);
/* response_head.c: the answer's head as the client gets it */
void response_head_write(struct exchange *);
/* False: the exchange is gone. */
bool response_head_interim(struct exchange *, struct buffer *in);
/* Queue it.  length: of the body as it will be sent, or UINT64_MAX when it is
 * not known.  False: the exchange is gone. */
bool response_head_answer(struct exchange *, uint64_t length);

/* exchange_origin.c */
enum error_code exchange_origin_error(enum origin_fault);
const char *exchange_origin_detail(enum origin_fault);
/* A repeat does no harm (RFC 9110 9.2.2). */
bool exchange_idempotent(enum http_method);
void exchange_origin_ask(struct exchange *, bool fresh);
/* Begin again with another connection if that does no harm, else fail. */
void exchange_origin_lost(struct exchange *, const char *why);

#endif
