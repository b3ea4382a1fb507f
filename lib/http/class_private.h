/*
 * http/class_private.h - what a byte may be part of, one look-up a byte.
 * Context:   private to lib/http.
 */
#ifndef RELAY_HTTP_CLASS_PRIVATE_H
#define RELAY_HTTP_CLASS_PRIVATE_H

#include <stdint.h>

#define CLASS_TOKEN	0x01	/* tchar, RFC 9110 5.6.2 */
#define CLASS_VALUE	0x02	/* SP, HTAB, VCHAR, obs-text: field values */
#define CLASS_TARGET	0x04	/* request target: VCHAR and obs-text, no '#' */
#define CLASS_PCHAR	0x08	/* stands in a path as it is, RFC 3986 3.3 */
#define CLASS_UNRESERVED 0x10	/* RFC 3986 2.3 */

/*
 * '#' is no part of a target (RFC 9112 3.2): a reader that cuts there and one
 * that does not would see two paths.  obs-text is none either, but clients
 * send raw UTF-8, every server takes it for its escaped form, and so do we.
 */
#define SP	CLASS_VALUE					/* SP, HTAB */
#define VC	(CLASS_VALUE | CLASS_TARGET)			/* other VCHAR, obs-text */
#define TK	(VC | CLASS_TOKEN)				/* ^ ` | */
#define PC	(VC | CLASS_PCHAR)				/* ( ) , / : ; = @ */
#define TP	(TK | CLASS_PCHAR)				/* ! $ & ' * + */
#define UN	(TP | CLASS_UNRESERVED)				/* letters, digits, - . _ ~ */
#define HS	(CLASS_VALUE | CLASS_TOKEN)			/* '#' */
#define PE	TK						/* '%' */

static const uint8_t http_class[256] = {
/*	0   1   2   3   4   5   6   7   8   9   a   b   c   d   e   f */
/* 0 */	0,  0,  0,  0,  0,  0,  0,  0,  0,  SP, 0,  0,  0,  0,  0,  0,
/* 1 */	0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
/*	    !   "   #   $   %   &   '   (   )   *   +   ,   -   .   /  */
/* 2 */	SP, TP, VC, HS, TP, PE, TP, TP, PC, PC, TP, TP, PC, UN, UN, PC,
/*	0                                       :   ;   <   =   >   ?  */
/* 3 */	UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, PC, PC, VC, PC, VC, VC,
/*	@   A ... */
/* 4 */	PC, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN,
/*	                                            [   \   ]   ^   _  */
/* 5 */	UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, VC, VC, VC, TK, UN,
/*	`   a ... */
/* 6 */	TK, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN,
/*	                                            {   |   }   ~   DEL */
/* 7 */	UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, UN, VC, TK, VC, UN, 0,
/* 8 */	VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC,
/* 9 */	VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC,
/* a */	VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC,
/* b */	VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC,
/* c */	VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC,
/* d */	VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC,
/* e */	VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC,
/* f */	VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC, VC,
};

#undef SP
#undef VC
#undef TK
#undef PC
#undef TP
#undef UN
#undef HS
#undef PE

#define HTTP_CLASS(c, class)	((http_class[(unsigned char)(c)] & (class)) != 0)

#endif
