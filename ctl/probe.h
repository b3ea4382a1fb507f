/*
 * ctl/probe.h - one connection, made step by step as a client of egress makes
 * it, so that the step that fails can be named: TCP, TLS, CONNECT, TLS inside
 * of that, requests.
 * Context:   blocks, until the probe's deadline at most.
 * Ownership: the creator owns the probe.
 */
#ifndef RELAY_CTL_PROBE_H
#define RELAY_CTL_PROBE_H

#include <openssl/ssl.h>

#include "ctl/endpoint.h"
#include "lib/http/message_head.h"

#define PROBE_BODY_MAX	(1u << 20)	/* more of an answer is not looked at */

struct probe;

/* timeout_ms: for all steps together. */
struct probe *probe_new(unsigned timeout_ms);
void probe_free(struct probe **);

/* Why the last step failed; "" if it did not.  A view, until the next step. */
const char *probe_why(const struct probe *);

/* RC_OK; RC_NOTFOUND: no such name; RC_UNAVAILABLE; RC_TIMEOUT. */
enum rc probe_connect(struct probe *, const struct endpoint *) must_check;

/*
 * TLS on what there is: the first call on the socket, the second inside of
 * that TLS.  trusted: what to trust besides nothing.  name: host name or
 * address that the certificate must have.
 * RC_OK; RC_DENIED: the certificate, see probe_verified; RC_IO: the handshake;
 * RC_TIMEOUT.
 */
enum rc probe_tls(struct probe *, X509_STORE *trusted, const char *name)
    must_check;
/* X509_V_OK, or what is wrong with the certificate of the last probe_tls. */
long probe_verified(const struct probe *);
/* The last handshake's: "TLSv1.3"; the peer's certificate, the caller's. */
const char *probe_tls_version(const struct probe *);
X509 *probe_certificate(const struct probe *);
/* Would who trusts just these have taken the chain of the last handshake? */
bool probe_chains_to(const struct probe *, X509_STORE *trusted);

/* Send, then read one final answer.  to: the method of the request.  RC_OK:
 * *status, head (view until the next step) and body; the last may be cut at
 * PROBE_BODY_MAX.  RC_EOF: closed without a whole answer; RC_SYNTAX: no HTTP;
 * RC_IO; RC_TIMEOUT. */
enum rc probe_request(struct probe *, struct span request,
    enum http_method to, const struct http_head **head, struct buffer *body)
    must_check;

#endif
