/* ipc/link_ctx.c - PEM by descriptor to a context of lib/net. */
#include "lib/ipc/link_ctx.h"

#include <stdio.h>

#include "lib/base/buffer.h"

#define PEM_BYTES_MAX	(256u << 10)	/* a chain or a bundle, generously */

enum { CHAIN, KEY, CA, REVOKED, FILES };

SSL_CTX *
ipc_inherit_link_ctx(struct ipc_inherited *fds, bool server, char *why,
    size_t why_size)
{
	static const char *const names[FILES] = { "link.cert", "link.key",
	    "link.ca", "link.revoked" };
	struct buffer b[FILES];
	struct span view[FILES];
	SSL_CTX *ctx = NULL;
	enum rc rc = RC_OK;

	for (int i = 0; i < FILES; i++)
		buffer_init(&b[i], PEM_BYTES_MAX, i == KEY);
	for (int i = 0; i < FILES && rc == RC_OK; i++) {
		rc = ipc_inherit_take_content(fds, names[i], &b[i]);
		if (rc == RC_NOTFOUND && i == REVOKED)
			rc = RC_OK;	/* most never revoked anything */
		view[i] = (struct span){ buffer_data(&b[i]),
		    buffer_len(&b[i]) };
		if (rc != RC_OK)
			(void)snprintf(why, why_size, "%s: %s", names[i],
			    rc == RC_NOTFOUND ? "was not passed" :
			    rc_name(rc));
	}
	if (rc == RC_OK)
		ctx = net_tls_link_ctx(server, &(struct net_tls_link_files){
		    .chain = view[CHAIN], .key = view[KEY], .ca = view[CA],
		    .revoked = view[REVOKED] }, why, why_size);
	for (int i = 0; i < FILES; i++)
		buffer_fini(&b[i]);
	return (ctx);
}
