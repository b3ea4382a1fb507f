/* worker/origin_session.c - see origin_session.h. */
#include "worker/origin_session.h"

#include "lib/base/object.h"

static int session_index = -1;	/* SSL ex_data: who watches a connection */

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct origin_session *s = SSL_get_ex_data(ssl, session_index);

	if (s == NULL)
		return (0);
	SSL_SESSION_free(s->last);
	/* A copy: OpenSSL marks its own as spent when an origin closes without
	 * close_notify, as many do. */
	s->last = SSL_SESSION_dup(session);
	return (0);		/* we took no reference */
}

void
origin_session_prepare(SSL_CTX *ctx)
{
	if (session_index < 0)
		session_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	ensure(session_index >= 0);
	SSL_CTX_set_session_cache_mode(ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
}

void
origin_session_watch(struct origin_session *s, SSL *ssl)
{
	ensure(SSL_set_ex_data(ssl, session_index, s) == 1);
}

void
origin_session_fini(struct origin_session *s)
{
	SSL_SESSION_free(s->last);
	s->last = NULL;
}
