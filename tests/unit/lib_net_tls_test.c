/* tests/unit/lib_net_tls_test.c - contexts, PEM text, engine links. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "lib/base/object.h"
#include "lib/net/tls.h"
#include "tests/unit/lib_net_pair.h"

#define WORKER_URI	"URI:relay://link/worker/worker1"
#define ENGINE_URI	"URI:relay://link/engine/e3"

static struct {
	struct test_cert	*ca, *other_ca, *worker, *engine, *stranger;
} t;

static int
setup(void **state)
{
	(void)state;
	t.ca = test_ca_new("link ca");
	t.other_ca = test_ca_new("other ca");
	t.worker = test_leaf_new(t.ca, "worker", WORKER_URI, 3600);
	t.engine = test_leaf_new(t.ca, "engine", ENGINE_URI, 3600);
	t.stranger = test_leaf_new(t.other_ca, "stranger", WORKER_URI, 3600);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	test_cert_free(&t.ca);
	test_cert_free(&t.other_ca);
	test_cert_free(&t.worker);
	test_cert_free(&t.engine);
	test_cert_free(&t.stranger);
	return (0);
}

static void
test_base_contexts(void **state)
{
	SSL_CTX *server = net_tls_server_ctx(TLS1_2_VERSION);
	SSL_CTX *client = net_tls_client_ctx(TLS1_3_VERSION);
	const long modes = SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
	const uint64_t options = SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_COMPRESSION | SSL_OP_CLEANSE_PLAINTEXT;

	(void)state;
	assert_int_equal(SSL_CTX_get_min_proto_version(server),
	    TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_get_min_proto_version(client),
	    TLS1_3_VERSION);
	assert_true((SSL_CTX_get_mode(server) & modes) == modes);
	assert_true((SSL_CTX_get_mode(client) & modes) == modes);
	assert_true((SSL_CTX_get_options(server) & options) == options);
	assert_true((SSL_CTX_get_options(client) & options) == options);
	assert_int_equal(SSL_CTX_get_verify_mode(client), SSL_VERIFY_PEER);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static char *
join(const char *a, const char *b)
{
	return (xasprintf("%s%s", a, b));
}

static void
test_use_pem(void **state)
{
	char *chain = join(t.worker->cert_pem.p, t.ca->cert_pem.p);
	char *cut = xstrndup(t.worker->cert_pem.p, t.worker->cert_pem.len / 2);
	char *bad_second = join(t.worker->cert_pem.p,
	    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	static const char locked[] =
	    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
	    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
	    "-----END ENCRYPTED PRIVATE KEY-----\n";
	const struct {
		struct span	chain, key;
		enum rc		rc;
		const char	*why;	/* NULL: any */
	} cases[] = {
		{ t.worker->cert_pem, t.worker->key_pem, RC_OK, "" },
		{ span_of(chain), t.worker->key_pem, RC_OK, "" },
		{ t.worker->cert_pem, t.engine->key_pem, RC_SYNTAX,
		    "key values mismatch" },
		{ span_of(cut), t.worker->key_pem, RC_SYNTAX, NULL },
		{ span_of(bad_second), t.worker->key_pem, RC_SYNTAX, NULL },
		{ span_of("no pem at all"), t.worker->key_pem, RC_SYNTAX,
		    "no certificate" },
		{ span_of(""), t.worker->key_pem, RC_SYNTAX,
		    "no certificate" },
		{ { NULL, 0 }, { NULL, 0 }, RC_SYNTAX, "no certificate" },
		{ t.worker->cert_pem, span_of(""), RC_SYNTAX,
		    "no private key, or it is encrypted" },
		{ t.worker->cert_pem, t.worker->cert_pem, RC_SYNTAX,
		    "no private key, or it is encrypted" },
		{ t.worker->cert_pem, SPAN_LIT(locked), RC_SYNTAX,
		    "no private key, or it is encrypted" },
	};
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SSL_CTX *ctx = net_tls_server_ctx(TLS1_2_VERSION);

		assert_int_equal(net_tls_use_pem(ctx, cases[i].chain,
		    cases[i].key, why, sizeof(why)), cases[i].rc);
		if (cases[i].why != NULL)
			assert_string_equal(why, cases[i].why);
		else
			assert_true(why[0] != '\0');
		assert_int_equal(ERR_peek_error(), 0);
		SSL_CTX_free(ctx);
	}
	free(chain);
	free(cut);
	free(bad_second);
}

static void
test_trust_pem(void **state)
{
	char *two = join(t.ca->cert_pem.p, t.other_ca->cert_pem.p);
	char *broken = join(t.ca->cert_pem.p,
	    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	const struct {
		struct span	pem;
		enum rc		rc;
	} cases[] = {
		{ t.ca->cert_pem, RC_OK },
		{ span_of(two), RC_OK },
		{ span_of(broken), RC_SYNTAX },
		{ span_of("x"), RC_SYNTAX },
		{ { NULL, 0 }, RC_SYNTAX },
		{ t.ca->key_pem, RC_SYNTAX },
	};
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		SSL_CTX *ctx = net_tls_client_ctx(TLS1_2_VERSION);

		assert_int_equal(net_tls_trust_pem(ctx, cases[i].pem, why,
		    sizeof(why)), cases[i].rc);
		assert_int_equal(why[0] == '\0', cases[i].rc == RC_OK);
		assert_int_equal(ERR_peek_error(), 0);
		SSL_CTX_free(ctx);
	}
	free(two);
	free(broken);
}

static void
test_error_text(void **state)
{
	char why[128], tiny[4];

	(void)state;
	ERR_raise_data(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, "%s", "secret");
	ERR_raise(ERR_LIB_SSL, SSL_R_LENGTH_MISMATCH);
	assert_string_equal(net_tls_error(why, sizeof(why)),
	    "no shared cipher");	/* the oldest, without its data */
	assert_int_equal(ERR_peek_error(), 0);
	assert_string_equal(net_tls_error(why, sizeof(why)),
	    "unknown tls error");
	assert_string_equal(net_tls_error(tiny, sizeof(tiny)), "unk");
}

static SSL_CTX *
link_ctx(bool server, const struct test_cert *own, const struct test_cert *ca,
    const char *revoked)
{
	struct net_tls_link_files f = { own->cert_pem, own->key_pem,
		ca->cert_pem, span_of(revoked) };
	char why[128];
	SSL_CTX *ctx = net_tls_link_ctx(server, &f, why, sizeof(why));

	assert_non_null(ctx);
	assert_string_equal(why, "");
	return (ctx);
}

static bool
either_failed(struct pair *p)
{
	return (p->client.errors + p->server.errors != 0);
}

static bool
server_failed(struct pair *p)
{
	return (p->server.errors != 0);
}

/* True when both ends took each other. */
static bool
links(SSL_CTX *server, SSL_CTX *client, enum net_reason *server_reason,
    enum net_reason *client_reason)
{
	struct pair p;
	bool ok;

	pair_open(&p, MEDIUM_UNIX, server, client, NULL, 0, false);
	/* In TLS 1.3 the client is done before the server has checked it. */
	while (!either_failed(&p) && p.server.ready == 0)
		loop_turn(p.loop, true);
	ok = p.server.ready != 0 && p.client.ready != 0;
	if (!ok) {
		pair_until(&p, server_failed);
		while (p.client.errors == 0)
			loop_turn(p.loop, true);
	}
	*server_reason = p.server.reason;
	*client_reason = p.client.reason;
	pair_close(&p);
	return (ok);
}

static void
test_link_peers(void **state)
{
	SSL_CTX *server = link_ctx(true, t.engine, t.ca, "");
	SSL_CTX *client = link_ctx(false, t.worker, t.ca, "");
	struct net_link_peer peer;
	struct pair p;

	(void)state;
	pair_open(&p, MEDIUM_UNIX, server, client, NULL, 0, true);
	assert_int_equal(net_tls_link_peer(net_stream_ssl(p.server.s), &peer),
	    RC_OK);
	assert_string_equal(peer.role, "worker");
	assert_string_equal(peer.name, "worker1");
	assert_string_equal(peer.serial, t.worker->serial);
	assert_int_equal(net_tls_link_peer(net_stream_ssl(p.client.s), &peer),
	    RC_OK);
	assert_string_equal(peer.role, "engine");
	assert_string_equal(peer.name, "e3");
	assert_int_equal(SSL_version(net_stream_ssl(p.client.s)),
	    TLS1_3_VERSION);
	/* No tickets: nothing comes after the handshake. */
	pair_settle(&p);
	assert_int_equal(p.client.inputs, 0);
	assert_int_equal(SSL_SESSION_has_ticket(SSL_get_session(
	    net_stream_ssl(p.client.s))), 0);
	pair_close(&p);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void
test_link_peer_without_certificate(void **state)
{
	SSL_CTX *server = test_server_ctx(t.engine, TLS1_3_VERSION);
	SSL_CTX *client = test_client_ctx(t.ca, TLS1_3_VERSION);
	struct net_link_peer peer;
	struct pair p;

	(void)state;
	pair_open(&p, MEDIUM_UNIX, server, client, NULL, 0, true);
	assert_int_equal(net_tls_link_peer(net_stream_ssl(p.server.s), &peer),
	    RC_DENIED);
	assert_string_equal(peer.role, "");
	pair_close(&p);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void
test_link_refusals(void **state)
{
	static const char *const bad_san[] = {
		NULL,
		"DNS:worker.test",
		"URI:relay://link/worker/",
		"URI:relay://link/worker",
		"URI:relay://link//w1",
		"URI:relay://link/root/w1",
		"URI:relay://link/workers/w1",
		"URI:relay://link/worker/a/b",
		"URI:relay://link/worker/a b",
		"URI:relay://Link/worker/w1",
		"URI:relay://link/engine/e3/",
		"URI:https://link/worker/w1",
		WORKER_URI "," ENGINE_URI,
		"URI:https://a.test/," WORKER_URI,
	};
	SSL_CTX *server = link_ctx(true, t.engine, t.ca, ""), *c;
	enum net_reason s_why, c_why;
	struct test_cert *leaf;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_san) / sizeof(bad_san[0]); i++) {
		leaf = test_leaf_new(t.ca, "bad", bad_san[i], 3600);
		c = link_ctx(false, leaf, t.ca, "");
		assert_false(links(server, c, &s_why, &c_why));
		assert_int_equal(s_why, NET_TLS_UNTRUSTED);
		SSL_CTX_free(c);
		test_cert_free(&leaf);
	}
	/* Another authority, on either side. */
	c = link_ctx(false, t.stranger, t.ca, "");
	assert_false(links(server, c, &s_why, &c_why));
	assert_int_equal(s_why, NET_TLS_UNTRUSTED);
	SSL_CTX_free(c);
	c = link_ctx(false, t.worker, t.other_ca, "");
	assert_false(links(server, c, &s_why, &c_why));
	assert_int_equal(c_why, NET_TLS_UNTRUSTED);
	SSL_CTX_free(c);
	/* An old certificate. */
	leaf = test_leaf_new(t.ca, "old", WORKER_URI, -10);
	c = link_ctx(false, leaf, t.ca, "");
	assert_false(links(server, c, &s_why, &c_why));
	assert_int_equal(s_why, NET_TLS_UNTRUSTED);
	SSL_CTX_free(c);
	test_cert_free(&leaf);
	/* No certificate at all. */
	c = test_client_ctx(t.ca, TLS1_3_VERSION);
	assert_false(links(server, c, &s_why, &c_why));
	assert_int_equal(s_why, NET_TLS_ERROR);
	SSL_CTX_free(c);
	SSL_CTX_free(server);
	/* A worker's certificate does not make an engine. */
	server = link_ctx(true, t.worker, t.ca, "");
	c = link_ctx(false, t.worker, t.ca, "");
	assert_false(links(server, c, &s_why, &c_why));
	assert_int_equal(c_why, NET_TLS_UNTRUSTED);
	SSL_CTX_free(c);
	SSL_CTX_free(server);
}

static void
test_link_revoked(void **state)
{
	char upper[64], list[300];
	enum net_reason s_why, c_why;
	SSL_CTX *server, *client;

	(void)state;
	for (size_t i = 0; i == 0 || t.worker->serial[i - 1] != '\0'; i++)
		upper[i] = (char)toupper((unsigned char)t.worker->serial[i]);
	client = link_ctx(false, t.worker, t.ca, "");
	(void)snprintf(list, sizeof(list), "# old ones\n\n  01  \r\n00%s\n",
	    upper);
	server = link_ctx(true, t.engine, t.ca, list);
	assert_false(links(server, client, &s_why, &c_why));
	assert_int_equal(s_why, NET_TLS_UNTRUSTED);
	SSL_CTX_free(server);
	/* Another serial: not ours. */
	server = link_ctx(true, t.engine, t.ca, "02\n03");
	assert_true(links(server, client, &s_why, &c_why));
	SSL_CTX_free(client);
	/* The client looks too. */
	client = link_ctx(false, t.worker, t.ca, t.engine->serial);
	assert_false(links(server, client, &s_why, &c_why));
	assert_int_equal(c_why, NET_TLS_UNTRUSTED);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

static void
test_link_files_broken(void **state)
{
	static const char *const revoked[] = { "xyz", "12\nnot hex\n", "-1",
		/* longer than any serial */
		"012345678901234567890123456789012345678901234567890123456" };
	struct net_tls_link_files f = { t.worker->cert_pem, t.worker->key_pem,
		t.ca->cert_pem, { NULL, 0 } };
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(revoked) / sizeof(revoked[0]); i++) {
		f.revoked = span_of(revoked[i]);
		assert_null(net_tls_link_ctx(true, &f, why, sizeof(why)));
		assert_string_equal(why, "revoked: a line is no hex serial");
	}
	f.revoked = span_of("");
	f.ca = span_of("");
	assert_null(net_tls_link_ctx(true, &f, why, sizeof(why)));
	f.ca = t.ca->cert_pem;
	f.key = t.engine->key_pem;
	assert_null(net_tls_link_ctx(false, &f, why, sizeof(why)));
	assert_string_equal(why, "key values mismatch");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base_contexts),
		cmocka_unit_test(test_use_pem),
		cmocka_unit_test(test_trust_pem),
		cmocka_unit_test(test_error_text),
		cmocka_unit_test(test_link_peers),
		cmocka_unit_test(test_link_peer_without_certificate),
		cmocka_unit_test(test_link_refusals),
		cmocka_unit_test(test_link_revoked),
		cmocka_unit_test(test_link_files_broken),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(60);
	return (cmocka_run_group_tests(tests, setup, teardown));
}
