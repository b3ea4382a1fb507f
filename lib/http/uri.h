/*
 * http/uri.h - request targets, host names and paths (RFC 9112 3.2, 3986).
 * Context:   pure.
 */
#ifndef RELAY_HTTP_URI_H
#define RELAY_HTTP_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/host.h"
#include "lib/base/string.h"
#include "lib/http/message_head.h"

enum http_target_form {
	HTTP_TARGET_ORIGIN,	/* /path?query */
	HTTP_TARGET_ABSOLUTE,	/* http(s)://authority/path?query */
	HTTP_TARGET_AUTHORITY,	/* host:port, CONNECT only */
	HTTP_TARGET_ASTERISK	/* *, OPTIONS only; also http://authority alone
				   there (RFC 9112 3.2.4): path is "*" */
};

struct http_target {
	enum http_target_form	form;
	struct span		scheme;		/* absolute form; else empty */
	struct span		authority;	/* absolute and authority form */
	struct span		path;		/* begins with '/', or "*"; view */
	struct span		query;		/* without '?'; may be empty */
	bool			has_query;
};

/* The form must fit the method; an authority in it passes http_host_parse
 * (CONNECT: with a port).  A '#' is never part of a target.  RC_SYNTAX: 400. */
enum rc http_target_parse(enum http_method, struct span target,
    struct http_target *out) must_check;

/*
 * Host field or authority -> the name the maps are keyed by: lower case, no
 * trailing dot, no port, IPv6 literals without brackets.  *port is 0 when
 * absent.  RC_SYNTAX: user info, empty, bad characters, bad port.
 */
enum rc http_host_parse(struct span authority, char host[HOST_BYTES],
    uint16_t *port) must_check;

/*
 * The path as rules match it (design.md section 5), appended to out: plain dot
 * segments and percent-encoded unreserved characters resolved, %2F kept
 * (upper-case hex); bytes that RFC 3986 does not allow raw in a path (raw
 * UTF-8, `"<>[]^{|}` and the backquote) percent-encoded.  Rules are written in
 * this spelling.
 * RC_SYNTAX for a path that two readers could judge differently: `//`,
 * backslash, NUL or control (raw or encoded), a broken percent escape, an
 * encoded dot segment, `..` above the root, `;` parameters or %2F in a dot
 * segment.  RC_LIMIT or RC_NOMEM from the buffer.  Nothing is added on failure.
 */
enum rc http_path_normalize(struct span path, struct buffer *out) must_check;
/* A path that has a normal form has dot segments, which are not in that: a
 * server that does not resolve them serves another path. */
bool http_path_has_dots(struct span path);

#endif
