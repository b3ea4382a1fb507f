/*
 * shm/feed/key_check.h - whose an API key is, and may it manage: asked of an
 * engine, always (nothing is remembered here).
 * Context:   the loop's thread.
 * Ownership: feed.c owns it; it borrows the feed.
 *
 * One link, opened when the first key is to be checked, to the first engine of
 * relay.conf or of those announced that can be reached.
 */
#ifndef RELAY_SHM_FEED_KEY_CHECK_H
#define RELAY_SHM_FEED_KEY_CHECK_H

#include <openssl/ssl.h>

#include "lib/net/dns.h"
#include "shm/feed/feed.h"

#define KEY_CHECK_MS	3000	/* one key, every try included */
#define KEY_APP_BYTES	64	/* of an app's id */

struct key_check;

struct key_check_config {
	const char *const	*addresses;	/* of conf: "unix:...", "host:port" */
	size_t			n_addresses;
	struct net_dns		*dns;		/* borrowed: outlives it */
	SSL_CTX			*ctx;		/* role feed; owned from here; NULL:
						   no key is good */
};

struct key_check *key_check_new(struct feed *, const struct key_check_config *);
/* Those that wait get RC_CANCELLED. */
void key_check_free(struct key_check **);

/*
 * RC_OK: it is a key of app, and carries the scope "manage" or none at all;
 * RC_DENIED: it is, and may not; RC_NOTFOUND: no key of ours;
 * RC_UNAVAILABLE, RC_TIMEOUT, RC_CANCELLED.
 */
typedef void key_check_cb(void *arg, enum rc, const char *app);

/* Never calls back before it returns; once.  RC_OK; RC_LIMIT: too many wait, no
 * callback comes.  The key is copied, and wiped. */
enum rc key_check(struct key_check *, struct span api_key, key_check_cb *,
    void *arg) must_check;

#endif
