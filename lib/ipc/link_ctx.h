/*
 * ipc/link_ctx.h - the TLS context of a role's engine links, from the
 * descriptors link.cert, link.key, link.ca and link.revoked.
 * Context:   main(), before the sandbox.
 *
 * A file of its own: the master links this library, and no OpenSSL.
 */
#ifndef RELAY_IPC_LINK_CTX_H
#define RELAY_IPC_LINK_CTX_H

#include "lib/ipc/inherit.h"
#include "lib/net/tls.h"

/* Takes the descriptors.  NULL with a reason (no secret) in why; else the
 * caller's. */
SSL_CTX *ipc_inherit_link_ctx(struct ipc_inherited *, bool server, char *why,
    size_t why_size);

#endif
