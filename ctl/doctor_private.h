/*
 * ctl/doctor_private.h - what the parts of `doctor` share.
 * Context:   ctl/doctor*.c only.
 */
#ifndef RELAY_CTL_DOCTOR_PRIVATE_H
#define RELAY_CTL_DOCTOR_PRIVATE_H

#include <openssl/x509.h>

#include "ctl/client_setup.h"
#include "ctl/doctor_report.h"
#include "ctl/probe.h"

#define DOCTOR_TIMEOUT_MS	15000	/* of one connection with all its steps */

/* A name that nobody has (RFC 6761 6.4): good for everything up to the tunnel's
 * handshake, which resolves nothing. */
#define DOCTOR_NO_HOST		"doctor.invalid"

struct doctor {
	struct client_setup	setup;
	struct report		*report;	/* owned */
	struct endpoint		host;		/* the destination */
	bool			has_host;	/* it was given */
	const char		*path;		/* view: option --path */
	/* The system's, ours and of --ca; NULL: there is no CA.  The tunnel's
	 * inside is checked against ours alone. */
	X509_STORE		*trusted;	/* owned */
	X509_STORE		*ours;		/* owned */
	/* What the CA listener gives to SDKs; NULL: not known. */
	X509_STORE		*served;	/* owned */
	struct buffer		value;		/* owned: what the round trip sends */
	struct buffer		token;		/* owned: it, sealed; empty: not */
};

/* Each adds its rows. */
void doctor_api(struct doctor *);	/* fills token */
void doctor_ca_listener(struct doctor *);	/* fills served */
void doctor_egress(struct doctor *);

/*
 * TCP, and TLS if it is a TLS endpoint, with a row for each.  NULL: one failed.
 */
struct probe *doctor_reach(struct doctor *, const struct endpoint *,
    const char *tcp_layer, const char *tls_layer);

/* The row of an answer that is a refusal of Relay's, with what to change. */
void doctor_refused(struct doctor *, const char *layer, const char *where,
    const struct http_head *, const struct buffer *body);

/* "host:port", valid until the next call but three. */
const char *doctor_where(const struct endpoint *);

/* "NAME: BASE64(user:key)" or the bare key, and CRLF. */
void doctor_put_basic(const struct doctor *, const char *field,
    struct buffer *out);

#endif
