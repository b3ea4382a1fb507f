/*
 * body/part_head.h - the header fields of a part of a multipart body
 * (RFC 7578 4), and the parameters they share with a request's Content-Type.
 * Context:   pure; views into what is read.
 */
#ifndef RELAY_BODY_PART_HEAD_H
#define RELAY_BODY_PART_HEAD_H

#include <stdbool.h>

#include "lib/base/string.h"

/* "" where a field or parameter is absent.  Fields that are none are passed
 * over; of two the first counts. */
struct body_part_head {
	struct span	type;		/* Content-Type, the whole value */
	struct span	name;		/* as written, without quotes */
	struct span	filename;	/* so, too */
	bool		extended;	/* it is that of filename*, which goes
					 * before filename: charset'language'text
					 * (RFC 8187) */
};

/* head: lines that end with CRLF. */
void body_part_head_read(struct span head, struct body_part_head *out);

/* "text/xml; charset=utf-8" -> "text/xml"; "" for an empty value. */
struct span body_media_type(struct span content_type);

/* The boundary parameter of a multipart type.  RC_SYNTAX: it has none. */
enum rc body_media_boundary(struct span content_type, struct span *out)
    must_check;

#endif
