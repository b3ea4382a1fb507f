/*
 * e3/platform.h - where an engine's own secrets come from: one small
 * interface, a file per kind.
 * Context:   main() before the sandbox; afterwards read by any thread.
 * Ownership: the creator owns the platform; root keys stay in the secure heap
 *            until e3_platform_close.
 *
 *   local   root keys and server key are descriptors that the master opened
 *
 * The next root key is there while the installation moves from one to another:
 * records then open under both (docs/records.md).
 */
#ifndef RELAY_E3_PLATFORM_H
#define RELAY_E3_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "lib/base/buffer.h"
#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/ipc/inherit.h"

struct e3_platform;

/* What one kind of platform does.  A failure comes with a reason (no secret)
 * in why. */
struct e3_platform_ops {
	const char	*name;
	/* RC_OK, or RC_NOTFOUND: it has no such key; or another. */
	enum rc		(*root_key)(struct ipc_inherited *, bool next,
			    uint8_t *key, char *why, size_t why_size);
	/* Server or client; NULL: failed. */
	SSL_CTX		*(*link_ctx)(struct ipc_inherited *, bool server,
			    char *why, size_t why_size);
	/* NULL: this kind has nothing that vouches for it. */
	enum rc		(*attest)(struct span nonce, struct buffer *document);
	/* NULL: the root key is there from the start. */
	enum rc		(*unlock)(struct span key, uint8_t *root_key);
};
const struct e3_platform_ops *e3_platform_local(void);	/* never NULL */

enum rc e3_platform_open(const char *name, struct ipc_inherited *,
    struct e3_platform **, char *why, size_t why_size) must_check;
void e3_platform_close(struct e3_platform **);

/* 32 bytes of the secure heap. */
const uint8_t *e3_platform_root_key(const struct e3_platform *);
/* The same; NULL: there is none. */
const uint8_t *e3_platform_next_root_key(const struct e3_platform *);
/* For engine links; borrowed. */
SSL_CTX *e3_platform_server_ctx(const struct e3_platform *);

/* A document that says what runs here, bound to the nonce; appended.
 * RC_UNSUPPORTED: this kind has none. */
enum rc e3_platform_attest(const struct e3_platform *, struct span nonce,
    struct buffer *document) must_check;
/* RC_CONFLICT: it was unlocked at birth. */
enum rc e3_platform_unlock(struct e3_platform *, struct span key) must_check;

#endif
