/* Handshakes: which certificate the client sees, and what ALPN settles on. */
#include "certs/sni.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "certs/store.h"
#include "certs_pki.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static struct pki_cert shop, other;
static struct certs_store *store;
static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static int
setup(void **state)
{
	char why[256];

	(void)state;
	pki_make(&shop, "shop", "DNS:shop.test,DNS:*.shop.test", false, NULL);
	pki_make(&other, "other", "DNS:other.test", false, NULL);
	store = certs_store_new(NULL);
	if (certs_store_add(store, "shop", span_of(shop.chain), span_of(shop.key),
	    NULL, 0, why, sizeof(why)) != RC_OK)
		return (-1);
	return (certs_store_add(store, "other", span_of(other.chain),
	    span_of(other.key), NULL, 0, why, sizeof(why)) == RC_OK ? 0 : -1);
}

static int
teardown(void **state)
{
	(void)state;
	certs_store_free(&store);
	pki_fini(&shop);
	pki_fini(&other);
	return (0);
}

static void
test_name(void **state)
{
	static const struct {
		const char		*sent;
		const struct pki_cert	*seen;	/* NULL: the handshake fails */
		const char		*name;
	} rows[] = {
		{ "shop.test", &shop, "shop.test" },
		{ "OTHER.Test", &other, "other.test" },
		{ "other.test.", &other, "other.test" },
		{ "www.shop.test", &shop, "www.shop.test" },
		{ "unknown.test", &shop, "unknown.test" },
		{ "127.0.0.1", &shop, "127.0.0.1" },
		{ NULL, &shop, NULL },
		{ "no host", NULL, NULL },
		{ "other.test:443", NULL, NULL },
		{ "a..b", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < 2 * N(rows); i++) {
		SSL_CTX *client = pki_client(versions[i % 2]);
		struct pki_link l;
		X509 *seen;

		pki_open(&l, client, certs_store_default(store), rows[i / 2].sent);
		assert_int_equal(pki_shake(&l), rows[i / 2].seen != NULL);
		if (rows[i / 2].seen != NULL) {
			seen = SSL_get0_peer_certificate(l.client);
			assert_non_null(seen);
			assert_int_equal(X509_cmp(seen, rows[i / 2].seen->x509), 0);
			if (rows[i / 2].name == NULL)
				assert_null(certs_sni_name(l.server));
			else
				assert_string_equal(certs_sni_name(l.server),
				    rows[i / 2].name);
		}
		pki_close(&l);
		SSL_CTX_free(client);
	}
}

static void
test_alpn(void **state)
{
#define OFFER(s)	(const unsigned char *)(s), sizeof(s) - 1
	static const struct {
		const unsigned char	*offer;
		size_t			len;
		const char		*chosen;
	} rows[] = {
		{ OFFER("\x08http/1.1"), "http/1.1" },
		{ OFFER("\x02h2\x08http/1.1"), "http/1.1" },
		{ OFFER("\x08http/1.1\x02h2"), "http/1.1" },
		{ OFFER("\x02h2"), "" },
		{ OFFER("\x08http 1.1"), "" },
		{ OFFER("\x08http/1.0"), "" },
		{ OFFER("\x09http/1.1x"), "" },
		{ NULL, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < 4 * N(rows); i++) {
		SSL_CTX *client = pki_client(versions[i % 2]);
		const unsigned char *chosen;
		struct pki_link l;
		unsigned len;

		/* Also where the name moved it to another context. */
		pki_open(&l, client, certs_store_default(store),
		    i / 2 % 2 == 0 ? "shop.test" : "other.test");
		if (rows[i / 4].offer != NULL)
			assert_int_equal(SSL_set_alpn_protos(l.client,
			    rows[i / 4].offer, (unsigned)rows[i / 4].len), 0);
		assert_true(pki_shake(&l));
		SSL_get0_alpn_selected(l.client, &chosen, &len);
		assert_int_equal(len, strlen(rows[i / 4].chosen));
		if (len != 0)
			assert_memory_equal(chosen, rows[i / 4].chosen, len);
		pki_close(&l);
		SSL_CTX_free(client);
	}
}

/* A HelloRetryRequest makes the callback run twice. */
static void
test_hello_retry(void **state)
{
	SSL_CTX *client = pki_client(TLS1_3_VERSION);
	char offered[] = "X448:P-256", wanted[] = "P-256";
	struct pki_link l;

	(void)state;
	assert_int_equal(SSL_CTX_set1_groups_list(client, offered), 1);
	pki_open(&l, client, certs_store_default(store), "other.test");
	assert_int_equal(SSL_set1_groups_list(l.server, wanted), 1);
	assert_true(pki_shake(&l));
	assert_string_equal(certs_sni_name(l.server), "other.test");
	assert_int_equal(X509_cmp(SSL_get0_peer_certificate(l.client), other.x509),
	    0);
	pki_close(&l);
	SSL_CTX_free(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_hello_retry),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
