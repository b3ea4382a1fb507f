/*
 * certs/sni.h - the name callback: picks the certificate of the name the
 * client asked for, the default when there is none (RFC 6066 section 3).
 * Context:   runs inside a handshake on the loop's thread.
 */
#ifndef RELAY_CERTS_SNI_H
#define RELAY_CERTS_SNI_H

#include <openssl/ssl.h>

struct certs_store;

/* Install on a context; store: borrowed, outlives the context.  A name that
 * is no host name ends the handshake with the alert unrecognized_name. */
void certs_sni_install(SSL_CTX *, struct certs_store *);

/* The name the client sent, canonical as in base/host.h, or NULL; owned by the
 * SSL and valid as long.  Known once the handshake is done. */
const char *certs_sni_name(SSL *);

#endif
