/* e3/platform.c - picks the platform by name and keeps what it gave. */
#include "e3/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "e3/ecdh.h"
#include "lib/base/object.h"

struct e3_platform {
	unsigned	magic;
#define E3_PLATFORM_MAGIC	0x91a7f043
	uint8_t		*root_key;	/* owned: secure heap */
	SSL_CTX		*server_ctx;	/* owned */
};

typedef const struct e3_platform_ops *kind_fn(void);

static kind_fn *const kinds[] = {
	e3_platform_local,
};

enum rc
e3_platform_open(const char *name, struct ipc_inherited *fds,
    struct e3_platform **out, char *why, size_t why_size)
{
	const struct e3_platform_ops *ops = NULL;
	struct e3_platform *p;
	enum rc rc;

	*out = NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i]()->name, name) == 0)
			ops = kinds[i]();
	if (ops == NULL) {
		(void)snprintf(why, why_size, "no platform named %s", name);
		return (RC_NOTFOUND);
	}
	p = xcalloc(1, sizeof(*p));
	p->magic = E3_PLATFORM_MAGIC;
	rc = RC_NOMEM;
	(void)snprintf(why, why_size, "the secure heap is full");
	if ((p->root_key = OPENSSL_secure_zalloc(E3_SECRET_BYTES)) == NULL ||
	    (rc = ops->root_key(fds, p->root_key, why, why_size)) != RC_OK ||
	    (rc = ops->server_ctx(fds, &p->server_ctx, why,
	    why_size)) != RC_OK)
		e3_platform_close(&p);
	*out = p;
	return (rc);
}

void
e3_platform_close(struct e3_platform **pp)
{
	struct e3_platform *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	obj_check(p, E3_PLATFORM_MAGIC);
	OPENSSL_secure_clear_free(p->root_key, E3_SECRET_BYTES);
	SSL_CTX_free(p->server_ctx);
	p->magic = 0;
	free(p);
}

const uint8_t *
e3_platform_root_key(const struct e3_platform *p)
{
	obj_check(p, E3_PLATFORM_MAGIC);
	return (p->root_key);
}

SSL_CTX *
e3_platform_server_ctx(const struct e3_platform *p)
{
	obj_check(p, E3_PLATFORM_MAGIC);
	return (p->server_ctx);
}
