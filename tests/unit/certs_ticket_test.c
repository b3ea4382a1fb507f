/* Tickets across workers (two stores) and across changes of the keys. */
#include "certs/ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "certs/store.h"
#include "certs_pki.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static struct pki_cert cert;
static char content[5 * CERTS_TICKET_KEY_BYTES];	/* five keys, all unlike */

static int
setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (char)(i * 7 + i / CERTS_TICKET_KEY_BYTES);
	pki_make(&cert, "a", "DNS:a.test,DNS:b.test", false, NULL);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	pki_fini(&cert);
	return (0);
}

/* n keys from the from-th on, newest first. */
static struct span
keys_span(size_t from, size_t n)
{
	return ((struct span){ content + from * CERTS_TICKET_KEY_BYTES,
	    n * CERTS_TICKET_KEY_BYTES });
}

struct worker {
	struct certs_ticket_keys	*keys;
	struct certs_store		*store;
};

static void
worker_start(struct worker *w, size_t from, size_t n)
{
	char why[256];

	w->keys = NULL;
	if (n != 0)
		assert_int_equal(certs_ticket_keys_new(keys_span(from, n),
		    &w->keys), RC_OK);
	w->store = certs_store_new(w->keys);
	assert_int_equal(certs_store_add(w->store, "a", span_of(cert.chain),
	    span_of(cert.key), NULL, 0, why, sizeof(why)), RC_OK);
}

static void
worker_stop(struct worker *w)
{
	certs_store_free(&w->store);
	certs_ticket_keys_free(&w->keys);
}

static SSL_SESSION *last_session;

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(last_session);
	last_session = session;		/* the reference is ours */
	return (1);
}

/* One connection; shows *session if there is one, and leaves the one to show
 * next time there.  True when it was resumed. */
static bool
visit(struct worker *w, int version, SSL_SESSION **session)
{
	SSL_CTX *client = pki_client(version);
	struct pki_link l;
	bool resumed;

	last_session = NULL;
	SSL_CTX_set_session_cache_mode(client,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client, on_session);
	pki_open(&l, client, certs_store_default(w->store), "a.test");
	if (*session != NULL)
		assert_int_equal(SSL_set_session(l.client, *session), 1);
	assert_true(pki_shake(&l));
	/* A renewed ticket of TLS 1.2 is in the session, without a callback. */
	if (last_session == NULL)
		last_session = SSL_get1_session(l.client);
	resumed = SSL_session_reused(l.client) == 1;
	assert_int_equal(resumed, SSL_session_reused(l.server) == 1);
	pki_close(&l);
	SSL_CTX_free(client);
	SSL_SESSION_free(*session);
	*session = last_session;
	return (resumed);
}

static void
test_content(void **state)
{
	struct certs_ticket_keys *keys;

	(void)state;
	for (size_t len = 0; len <= sizeof(content); len++) {
		bool good = len != 0 && len % CERTS_TICKET_KEY_BYTES == 0 &&
		    len / CERTS_TICKET_KEY_BYTES <= CERTS_TICKET_KEYS_MAX;

		assert_int_equal(certs_ticket_keys_new(
		    (struct span){ content, len }, &keys),
		    good ? RC_OK : RC_SYNTAX);
		assert_int_equal(keys != NULL, good);
		certs_ticket_keys_free(&keys);
		assert_null(keys);
	}
}

static void
test_other_worker_opens(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	(void)state;
	for (size_t i = 0; i < N(versions); i++) {
		SSL_SESSION *session = NULL;
		struct worker one, two, stranger;

		worker_start(&one, 1, 1);
		worker_start(&two, 1, 1);
		worker_start(&stranger, 2, 1);
		assert_false(visit(&one, versions[i], &session));
		assert_non_null(session);
		SSL_SESSION_up_ref(session);
		{
			SSL_SESSION *again = session;

			assert_true(visit(&two, versions[i], &again));
			SSL_SESSION_free(again);
		}
		/* A key nobody here has: a full handshake, not a failure. */
		assert_false(visit(&stranger, versions[i], &session));
		assert_non_null(session);
		SSL_SESSION_free(session);
		worker_stop(&one);
		worker_stop(&two);
		worker_stop(&stranger);
	}
}

/* Rotation: the old key opens and the client leaves with a ticket of the new
 * one, with which it resumes after the old key is gone. */
static void
test_rotation_renews(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	(void)state;
	for (size_t i = 0; i < N(versions); i++) {
		SSL_SESSION *session = NULL;
		struct worker w;

		worker_start(&w, 2, 1);
		assert_false(visit(&w, versions[i], &session));
		assert_int_equal(certs_ticket_keys_replace(w.keys,
		    keys_span(1, 2)), RC_OK);
		assert_true(visit(&w, versions[i], &session));
		assert_non_null(session);
		assert_int_equal(certs_ticket_keys_replace(w.keys,
		    keys_span(0, 2)), RC_OK);
		assert_true(visit(&w, versions[i], &session));
		assert_non_null(session);
		/* What is no key list changes nothing. */
		assert_int_equal(certs_ticket_keys_replace(w.keys,
		    (struct span){ content, 79 }), RC_SYNTAX);
		assert_true(visit(&w, versions[i], &session));
		SSL_SESSION_free(session);
		worker_stop(&w);
	}
}

static void
test_without_keys_no_tickets(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	(void)state;
	for (size_t i = 0; i < N(versions); i++) {
		SSL_SESSION *session = NULL;
		struct worker w;

		worker_start(&w, 0, 0);
		assert_false(visit(&w, versions[i], &session));
		assert_false(SSL_SESSION_has_ticket(session));
		assert_false(visit(&w, versions[i], &session));
		SSL_SESSION_free(session);
		worker_stop(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_other_worker_opens),
		cmocka_unit_test(test_rotation_renews),
		cmocka_unit_test(test_without_keys_no_tickets),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
