/*
 * worker/origin_session.h - the TLS session to resume with one destination:
 * the latest it gave us.
 * Context:   the loop's thread.
 * Ownership: embedded in a group; outlives every SSL that it watches.
 */
#ifndef RELAY_WORKER_ORIGIN_SESSION_H
#define RELAY_WORKER_ORIGIN_SESSION_H

#include <openssl/ssl.h>

struct origin_session {
	SSL_SESSION	*last;		/* owned; NULL: none yet */
};

/* Have this context tell of new sessions; any number of times. */
void origin_session_prepare(SSL_CTX *);

/* What this connection is given, before or after its handshake is done, is
 * kept.  The context was prepared. */
void origin_session_watch(struct origin_session *, SSL *);

void origin_session_fini(struct origin_session *);

#endif
