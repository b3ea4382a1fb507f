/*
 * http/uri.h - request targets, host names and paths (RFC 9112 3.2, 3986).
 * Context:   pure.
 */
#ifndef RELAY_HTTP_URI_H
#define RELAY_HTTP_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/http/message_head.h"

enum http_target_form {
	HTTP_TARGET_ORIGIN,	/* /path?query */
	HTTP_TARGET_ABSOLUTE,	/* http(s)://authority/path?query */
	HTTP_TARGET_AUTHORITY,	/* host:port, CONNECT only */
	HTTP_TARGET_ASTERISK	/* *, OPTIONS only */
};

struct http_target {
	enum http_target_form	form;
	struct span		scheme;		/* absolute form; else empty */
	struct span		authority;	/* absolute and authority form */
	struct span		path;		/* begins with '/'; view */
	struct span		query;		/* without '?'; may be empty */
	bool			has_query;
};

/* The form must fit the method.  RC_SYNTAX: 400. */
enum rc http_target_parse(enum http_method, struct span target,
    struct http_target *out) must_check;

#define HTTP_HOST_BYTES		256	/* 253 + NUL, rounded */

/*
 * Host field or authority -> the name the maps are keyed by: lower case, no
 * trailing dot, no port, IPv6 literals without brackets.  *port is 0 when
 * absent.  RC_SYNTAX: user info, empty, bad characters, bad port.
 */
enum rc http_host_parse(struct span authority, char host[HTTP_HOST_BYTES],
    uint16_t *port) must_check;

/* A key of relay:relays is in the one form http_host_parse makes. */
bool http_host_is_canonical(const char *host);

/*
 * The path as rules match it (design.md section 5): plain dot segments and
 * percent-encoded unreserved characters resolved, %2F kept (upper-case hex).
 * RC_SYNTAX for a path that two readers could judge differently: `//`,
 * backslash, NUL or control (raw or encoded), a broken percent escape, an
 * encoded dot segment, `..` above the root, `;` parameters in a dot segment.
 */
enum rc http_path_normalize(struct span path, struct buffer *out) must_check;

/*
 * A rule's path against a normalized one: `*` is one segment, `**` (only as
 * the last segment) every following segment, also none.
 */
bool http_path_match(struct span pattern, struct span path);

/* A pattern is usable: begins with '/', `**` only last, its other segments
 * are in normalized form. */
bool http_path_pattern_valid(struct span pattern);

#endif
