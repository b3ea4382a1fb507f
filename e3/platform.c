/* e3/platform.c - picks the platform by name and keeps what it gave. */
#include "e3/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/scheme/ecdh.h"

struct e3_platform {
	unsigned	magic;
#define E3_PLATFORM_MAGIC	0x91a7f043
	const struct e3_platform_ops *ops;	/* a constant */
	uint8_t		*root_key;	/* owned: secure heap */
	uint8_t		*next_root_key;	/* owned: secure heap; or NULL */
	SSL_CTX		*server_ctx;	/* owned */
};

typedef const struct e3_platform_ops *kind_fn(void);

static kind_fn *const kinds[] = {
	e3_platform_local,
};

/* A second key, if there is one.  A copy of the first is none: records would
 * never count as moved. */
static enum rc
take_next_key(struct e3_platform *p, struct ipc_inherited *fds, char *why,
    size_t why_size)
{
	enum rc rc;

	if ((p->next_root_key = OPENSSL_secure_zalloc(SCHEME_SECRET_BYTES)) ==
	    NULL)
		return (RC_NOMEM);
	rc = p->ops->root_key(fds, true, p->next_root_key, why, why_size);
	if (rc == RC_OK && !secret_equal(p->next_root_key, p->root_key,
	    SCHEME_SECRET_BYTES))
		return (RC_OK);
	if (rc == RC_OK)
		log_warn("next-root-key-ignored why=it-is-the-present-one");
	OPENSSL_secure_clear_free(p->next_root_key, SCHEME_SECRET_BYTES);
	p->next_root_key = NULL;
	return (rc == RC_NOTFOUND ? RC_OK : rc);
}

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
	p->ops = ops;
	rc = RC_NOMEM;
	(void)snprintf(why, why_size, "the secure heap is full");
	if ((p->root_key = OPENSSL_secure_zalloc(SCHEME_SECRET_BYTES)) != NULL &&
	    (rc = ops->root_key(fds, false, p->root_key, why, why_size)) ==
	    RC_OK && (rc = take_next_key(p, fds, why, why_size)) == RC_OK &&
	    (p->server_ctx = ops->link_ctx(fds, true, why, why_size)) == NULL)
		rc = RC_SYNTAX;
	if (rc != RC_OK)
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
	OPENSSL_secure_clear_free(p->root_key, SCHEME_SECRET_BYTES);
	OPENSSL_secure_clear_free(p->next_root_key, SCHEME_SECRET_BYTES);
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

const uint8_t *
e3_platform_next_root_key(const struct e3_platform *p)
{
	obj_check(p, E3_PLATFORM_MAGIC);
	return (p->next_root_key);
}

SSL_CTX *
e3_platform_server_ctx(const struct e3_platform *p)
{
	obj_check(p, E3_PLATFORM_MAGIC);
	return (p->server_ctx);
}

enum rc
e3_platform_attest(const struct e3_platform *p, struct span nonce,
    struct buffer *document)
{
	obj_check(p, E3_PLATFORM_MAGIC);
	return (p->ops->attest == NULL ? RC_UNSUPPORTED :
	    p->ops->attest(nonce, document));
}

enum rc
e3_platform_unlock(struct e3_platform *p, struct span key)
{
	obj_check(p, E3_PLATFORM_MAGIC);
	return (p->ops->unlock == NULL ? RC_CONFLICT :
	    p->ops->unlock(key, p->root_key));
}
