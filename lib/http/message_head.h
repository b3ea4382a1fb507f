/*
 * http/message_head.h - start line and fields of an HTTP/1.x message
 * (RFC 9112 sections 2 to 5), strict.
 * Context:   pure; no I/O, no globals.
 * Ownership: the caller embeds the struct; fields is a small owned array
 *            (http_head_fini), everything in it is a view into the input,
 *            valid until the caller changes the input.
 *
 * Strict means: only CRLF ends a line, no obs-fold, no white space before the
 * colon, no control bytes, exactly one SP between the parts of a request
 * line, HTTP/1.0 or HTTP/1.1 in upper case.  Empty lines before a request
 * line are skipped (RFC 9112 2.2), at most 4.
 */
#ifndef RELAY_HTTP_MESSAGE_HEAD_H
#define RELAY_HTTP_MESSAGE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/result.h"
#include "lib/http/field.h"

#define HTTP_HEAD_BYTES_MAX	65536	/* whole head; default of max_head_bytes */
#define HTTP_TARGET_BYTES_MAX	16384	/* request target */
#define HTTP_FIELDS_MAX		256	/* lines; one app sends 20 to 40 */
#define HTTP_METHOD_BYTES_MAX	32	/* the longest registered one has 17 */
#define HTTP_CONNECTION_BYTES_MAX 1024	/* all Connection fields: every other field
					   is compared with each option there */

struct http_limits {
	size_t	head_bytes;
	size_t	target_bytes;
	size_t	fields;
};
#define HTTP_LIMITS_DEFAULT						\
	((struct http_limits){ HTTP_HEAD_BYTES_MAX, HTTP_TARGET_BYTES_MAX,	\
	    HTTP_FIELDS_MAX })

enum http_method {
	HTTP_OTHER_METHOD = 0,
	HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_PATCH,
	HTTP_OPTIONS, HTTP_TRACE, HTTP_CONNECT
};

/* Why a head was refused: picks the error code, and the log's reason. */
enum http_fault {
	HTTP_FAULT_NONE = 0,
	HTTP_FAULT_SYNTAX,	/* 400 */
	HTTP_FAULT_TARGET_LONG,	/* 414 */
	HTTP_FAULT_HEAD_LONG,	/* 431, too many lines too */
	HTTP_FAULT_VERSION	/* 505 */
};

struct http_head {
	enum http_method	method;		/* requests */
	struct span		method_text;
	struct span		target;
	unsigned		status;		/* responses, 100..999 */
	struct span		reason;
	unsigned		minor;		/* HTTP/1.minor: 0 or 1 */
	struct http_field	*fields;	/* owned array of views */
	size_t			n_fields;
	size_t			cap_fields;
	size_t			bytes;		/* of input, up to the body */
	enum http_fault		fault;
	const char		*detail;	/* literal, for the log */
	/* Private to message_head.c: */
	const char		*base;		/* view: in of the last call */
	size_t			scanned;	/* where to look on */
	size_t			part;		/* start of what is being read */
	size_t			value;		/* just behind the colon */
	size_t			connection;	/* bytes of Connection fields */
	uint8_t			state;
};

void http_head_init(struct http_head *);
void http_head_fini(struct http_head *);
void http_head_reset(struct http_head *);	/* for the next message */

/*
 * Parse from in[0..len), which starts at the message; call again with more
 * bytes (the same ones first) after RC_MORE.  The bytes may have moved: then
 * they are read again from the start, which a buffer that grows by doubling
 * makes rare.  After the last word the same answer comes until the reset.
 * RC_OK      head complete; ->bytes were used
 * RC_MORE    not yet; limits are already enforced
 * RC_SYNTAX  ->fault and ->detail say why: answer and close
 */
enum rc http_head_request(struct http_head *, const char *in, size_t len,
    const struct http_limits *) must_check;
enum rc http_head_response(struct http_head *, const char *in, size_t len,
    const struct http_limits *) must_check;

/* Trailer section (RFC 9112 7.1.2): field lines up to the empty line; use an
 * object of its own.  Framing and routing fields come too late to mean
 * anything there: whoever passes trailers on leaves them out. */
enum rc http_head_trailers(struct http_head *, const char *in, size_t len,
    const struct http_limits *) must_check;

/* First field of this id or name (ASCII case folded), or NULL. */
const struct http_field *http_head_field(const struct http_head *,
    enum http_field_id);
const struct http_field *http_head_field_named(const struct http_head *,
    const char *name);
size_t http_head_count(const struct http_head *, enum http_field_id);

/*
 * The Host field's value (a view; may be empty, http_host_parse judges it).
 * RC_OK
 * RC_NOTFOUND  none, which HTTP/1.0 allows
 * RC_SYNTAX    none in HTTP/1.1, or more than one: 400 (RFC 9112 3.2)
 */
enum rc http_head_host(const struct http_head *, struct span *host) must_check;

/* Any Connection field lists this option (close, keep-alive, upgrade). */
bool http_head_connection_has(const struct http_head *, const char *option);

/* The sender keeps the connection open after this message (RFC 9112 9.3). */
bool http_head_keep_alive(const struct http_head *);

/*
 * Hop-by-hop (RFC 9110 7.6.1): our fixed list, plus what Connection names,
 * except Host and the Content- fields that say how to read the body: those
 * are never dropped at a sender's wish.  Such a field is rebuilt, never
 * copied; so is Content-Length, which is framing and not on the list.
 */
bool http_head_is_hop_by_hop(const struct http_head *,
    const struct http_field *);

#endif
