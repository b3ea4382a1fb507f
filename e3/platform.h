/*
 * e3/platform.h - where an engine's own secrets come from: one small
 * interface, a file per kind.
 * Context:   main() before the sandbox; afterwards read by any thread.
 * Ownership: the creator owns the platform; the root key stays in the secure
 *            heap until e3_platform_close.
 *
 *   local   root key and server key are descriptors that the master opened
 */
#ifndef RELAY_E3_PLATFORM_H
#define RELAY_E3_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "lib/base/result.h"
#include "lib/ipc/inherit.h"

struct e3_platform;

/* What one kind of platform does. */
struct e3_platform_ops {
	const char	*name;
	/* Both: RC_OK, or another with a reason (no secret) in why. */
	enum rc		(*root_key)(struct ipc_inherited *, uint8_t *key,
			    char *why, size_t why_size);
	enum rc		(*server_ctx)(struct ipc_inherited *, SSL_CTX **,
			    char *why, size_t why_size);
};
const struct e3_platform_ops *e3_platform_local(void);	/* never NULL */

enum rc e3_platform_open(const char *name, struct ipc_inherited *,
    struct e3_platform **, char *why, size_t why_size) must_check;
void e3_platform_close(struct e3_platform **);

/* 32 bytes of the secure heap. */
const uint8_t *e3_platform_root_key(const struct e3_platform *);
/* For engine links; borrowed. */
SSL_CTX *e3_platform_server_ctx(const struct e3_platform *);

#endif
