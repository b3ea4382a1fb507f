/*
 * certs/ticket.h - session tickets that every worker can open (RFC 5077,
 * RFC 8446 4.6.1): keys come from the master by memfd, the newest seals, the
 * older ones open.
 * Context:   worker; the loop's thread.
 *
 * memfd content: n records of name[16] | aes[32] | hmac[32], newest first.
 * This file is the one named place where the worker's side refers to
 * EVP cipher calls (layout.md).
 */
#ifndef RELAY_CERTS_TICKET_H
#define RELAY_CERTS_TICKET_H

#include <openssl/ssl.h>

#include "lib/base/result.h"
#include "lib/base/string.h"

#define CERTS_TICKET_KEY_BYTES	80
#define CERTS_TICKET_KEYS_MAX	4
#define CERTS_TICKET_LIFE_S	43200	/* 12 h: a key seals for half of it */

struct certs_ticket_keys;

/* content: as above; RC_SYNTAX when it is not n * 80 bytes, 1 <= n <= 4. */
enum rc certs_ticket_keys_new(struct span content,
    struct certs_ticket_keys **) must_check;
void certs_ticket_keys_free(struct certs_ticket_keys **);	/* wiped */

/* New keys in the same object, for every context that has it; the old ones
 * stay when content is RC_SYNTAX. */
enum rc certs_ticket_keys_replace(struct certs_ticket_keys *,
    struct span content) must_check;

/* keys: borrowed, outlives the context; NULL: no tickets, no resumption. */
void certs_ticket_install(SSL_CTX *, const struct certs_ticket_keys *);

#endif
