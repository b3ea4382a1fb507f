/* The certificates of `init` carry a link, and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "ctl/link_ca.h"
#include "ctl/link_ends.h"
#include "lib/net/tls.h"

struct pair {
	struct buffer	cert;
	struct buffer	key;
};

static struct span
span_in(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static void
pair_init(struct pair *p)
{
	buffer_init(&p->cert, 0, false);
	buffer_init(&p->key, 0, true);
}

static void
pair_fini(struct pair *p)
{
	buffer_fini(&p->cert);
	buffer_fini(&p->key);
}

static X509 *
parse(const struct buffer *pem)
{
	BIO *bio = BIO_new_mem_buf(buffer_data(pem), (int)buffer_len(pem));
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	assert_non_null(cert);
	return (cert);
}

static SSL_CTX *
make_ctx(bool server, const struct pair *p, const struct pair *ca)
{
	struct net_tls_link_files files = {
		.chain = span_in(&p->cert),
		.key = span_in(&p->key),
		.ca = span_in(&ca->cert),
	};
	char why[256] = "";
	SSL_CTX *ctx = net_tls_link_ctx(server, &files, why, sizeof(why));

	assert_non_null(ctx);
	return (ctx);
}

/* Shake hands in memory; true when both ends are content. */
static bool
shake(SSL_CTX *server_ctx, SSL_CTX *client_ctx, struct net_link_peer *client,
    struct net_link_peer *server)
{
	SSL *s = SSL_new(server_ctx), *c = SSL_new(client_ctx);
	BIO *a, *b;
	int rs = 0, rcl = 0;
	bool ok;

	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(s, a, a);
	SSL_set_bio(c, b, b);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	for (int i = 0; i < 10 && (rs != 1 || rcl != 1); i++) {
		rcl = SSL_do_handshake(c);
		rs = SSL_do_handshake(s);
	}
	ok = rs == 1 && rcl == 1 &&
	    net_tls_link_peer(s, client) == RC_OK &&
	    net_tls_link_peer(c, server) == RC_OK;
	SSL_free(s);
	SSL_free(c);
	return (ok);
}

static void
test_links_hold(void **state)
{
	static const char *const roles[] = { "worker", "feed", "helper",
	    "pulse", "admin" };
	struct net_link_peer client, server;
	struct pair ca_pem, engine, role;
	struct link_ca *ca;

	(void)state;
	pair_init(&ca_pem);
	pair_init(&engine);
	assert_int_equal(link_ca_new("host-1", &ca), RC_OK);
	assert_int_equal(link_ca_pem(ca, &ca_pem.cert, &ca_pem.key), RC_OK);
	assert_int_equal(link_ca_issue(ca, "engine", "host-1", LINK_CERT_DAYS,
	    &engine.cert, &engine.key), RC_OK);
	for (size_t i = 0; i < 5; i++) {
		SSL_CTX *s, *c;

		pair_init(&role);
		assert_int_equal(link_ca_issue(ca, roles[i], "host-1",
		    LINK_CERT_DAYS, &role.cert, &role.key), RC_OK);
		s = make_ctx(true, &engine, &ca_pem);
		c = make_ctx(false, &role, &ca_pem);
		assert_true(shake(s, c, &client, &server));
		assert_string_equal(client.role, roles[i]);
		assert_string_equal(client.name, "host-1");
		assert_string_equal(server.role, "engine");
		SSL_CTX_free(s);
		SSL_CTX_free(c);
		pair_fini(&role);
	}
	pair_fini(&ca_pem);
	pair_fini(&engine);
	link_ca_free(&ca);
}

/* Another installation's CA, a client posing as server, the reverse. */
static void
test_others_are_refused(void **state)
{
	struct net_link_peer client, server;
	struct pair ca_pem, other_pem, engine, worker, stranger;
	struct link_ca *ca, *other;
	SSL_CTX *s, *c;

	(void)state;
	pair_init(&ca_pem);
	pair_init(&other_pem);
	pair_init(&engine);
	pair_init(&worker);
	pair_init(&stranger);
	assert_int_equal(link_ca_new("one", &ca), RC_OK);
	assert_int_equal(link_ca_new("one", &other), RC_OK);
	assert_int_equal(link_ca_pem(ca, &ca_pem.cert, &ca_pem.key), RC_OK);
	assert_int_equal(link_ca_pem(other, &other_pem.cert, &other_pem.key),
	    RC_OK);
	assert_int_equal(link_ca_issue(ca, "engine", "e", 1, &engine.cert,
	    &engine.key), RC_OK);
	assert_int_equal(link_ca_issue(ca, "worker", "w", 1, &worker.cert,
	    &worker.key), RC_OK);
	assert_int_equal(link_ca_issue(other, "worker", "w", 1,
	    &stranger.cert, &stranger.key), RC_OK);

	s = make_ctx(true, &engine, &ca_pem);
	c = make_ctx(false, &stranger, &ca_pem);
	assert_false(shake(s, c, &client, &server));
	SSL_CTX_free(c);
	c = make_ctx(false, &worker, &other_pem);
	assert_false(shake(s, c, &client, &server));
	SSL_CTX_free(s);
	SSL_CTX_free(c);

	s = make_ctx(true, &worker, &ca_pem);	/* a worker's key was stolen */
	c = make_ctx(false, &worker, &ca_pem);
	assert_false(shake(s, c, &client, &server));
	SSL_CTX_free(s);
	SSL_CTX_free(c);
	pair_fini(&ca_pem);
	pair_fini(&other_pem);
	pair_fini(&engine);
	pair_fini(&worker);
	pair_fini(&stranger);
	link_ca_free(&ca);
	link_ca_free(&other);
}

static int
days_left(const X509 *cert)
{
	int days = 0, seconds = 0;

	assert_int_equal(ASN1_TIME_diff(&days, &seconds, NULL,
	    X509_get0_notAfter(cert)), 1);
	return (days);
}

static void
test_shape(void **state)
{
	struct pair ca_pem, leaf;
	struct link_ca *ca;
	X509 *root, *cert;

	(void)state;
	pair_init(&ca_pem);
	pair_init(&leaf);
	assert_int_equal(link_ca_new("h", &ca), RC_OK);
	assert_int_equal(link_ca_pem(ca, &ca_pem.cert, &ca_pem.key), RC_OK);
	assert_int_equal(link_ca_issue(ca, "admin", "h", LINK_CERT_DAYS,
	    &leaf.cert, &leaf.key), RC_OK);
	root = parse(&ca_pem.cert);
	cert = parse(&leaf.cert);
	assert_int_equal(X509_check_ca(root), 1);
	assert_int_equal(X509_get_pathlen(root), 0);
	assert_int_equal(X509_check_ca(cert), 0);
	assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
	assert_in_range(days_left(root), LINK_CA_DAYS - 1, LINK_CA_DAYS);
	assert_in_range(days_left(cert), LINK_CERT_DAYS - 1, LINK_CERT_DAYS);
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(root),
	    X509_get0_serialNumber(cert)), 0);
	X509_free(root);
	X509_free(cert);
	pair_fini(&ca_pem);
	pair_fini(&leaf);
	link_ca_free(&ca);
}

static void
test_names(void **state)
{
	static const char *const bad[] = { "", "a/b", "a b", "a,DNS:evil",
	    "\xc3\xa9", "a\nb",
	    "0123456789012345678901234567890123456789012345678901234567890123" };
	struct pair p;
	struct link_ca *ca;

	(void)state;
	pair_init(&p);
	assert_int_equal(link_ca_new("h", &ca), RC_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(link_name_valid(bad[i]));
		assert_int_equal(link_ca_issue(ca, "worker", bad[i], 1,
		    &p.cert, &p.key), RC_SYNTAX);
	}
	assert_int_equal(link_ca_issue(ca, "root", "h", 1, &p.cert, &p.key),
	    RC_SYNTAX);
	assert_int_equal(buffer_len(&p.cert), 0);
	assert_true(link_name_valid("host-1.example_x"));
	pair_fini(&p);
	link_ca_free(&ca);
}

static struct link_cert
read_leaf(const struct pair *p)
{
	struct link_cert c;

	assert_int_equal(link_cert_read(span_in(&p->cert), &c), RC_OK);
	return (c);
}

/* What is read of a certificate is what was put into it, and its serial is the
 * one that revokes it. */
static void
test_read_and_revoke(void **state)
{
	struct pair ca_pem, engine, one, two;
	struct net_link_peer client, server;
	struct net_tls_link_files files;
	struct link_cert c1, c2;
	struct link_ca *made, *ca;
	char why[256] = "";
	SSL_CTX *s, *c;

	(void)state;
	pair_init(&ca_pem);
	pair_init(&engine);
	pair_init(&one);
	pair_init(&two);
	assert_int_equal(link_ca_new("h", &made), RC_OK);
	assert_int_equal(link_ca_pem(made, &ca_pem.cert, &ca_pem.key), RC_OK);
	link_ca_free(&made);
	/* from here on the one that was loaded */
	assert_int_equal(link_ca_load(span_in(&ca_pem.cert),
	    span_in(&ca_pem.key), &ca), RC_OK);
	assert_int_equal(link_ca_issue(ca, "engine", "e", 1, &engine.cert,
	    &engine.key), RC_OK);
	assert_int_equal(link_ca_issue(ca, "worker", "w.1", 2, &one.cert,
	    &one.key), RC_OK);
	assert_int_equal(link_ca_issue(ca, "worker", "w.1", 2, &two.cert,
	    &two.key), RC_OK);
	c1 = read_leaf(&one);
	c2 = read_leaf(&two);
	assert_string_equal(c1.who.role, "worker");
	assert_string_equal(c1.who.name, "w.1");
	assert_string_not_equal(c1.who.serial, c2.who.serial);
	assert_int_equal((c1.ends_ms / 1000 - (uint64_t)time(NULL) + 60) /
	    86400, 2);

	files = (struct net_tls_link_files){
		.chain = span_in(&engine.cert),
		.key = span_in(&engine.key),
		.ca = span_in(&ca_pem.cert),
		.revoked = span_of(c1.who.serial),
	};
	s = net_tls_link_ctx(true, &files, why, sizeof(why));
	assert_non_null(s);
	c = make_ctx(false, &one, &ca_pem);
	assert_false(shake(s, c, &client, &server));
	SSL_CTX_free(c);
	c = make_ctx(false, &two, &ca_pem);
	assert_true(shake(s, c, &client, &server));
	assert_string_equal(client.serial, c2.who.serial);
	SSL_CTX_free(c);
	SSL_CTX_free(s);

	/* no CA, another's key, no certificate of a link, nothing at all */
	link_ca_free(&ca);
	assert_int_equal(link_ca_load(span_in(&one.cert), span_in(&one.key),
	    &ca), RC_SYNTAX);
	assert_int_equal(link_ca_load(span_in(&ca_pem.cert),
	    span_in(&one.key), &ca), RC_SYNTAX);
	assert_int_equal(link_ca_load(SPAN_LIT(""), SPAN_LIT("x"), &ca),
	    RC_SYNTAX);
	assert_null(ca);
	assert_int_equal(link_cert_read(span_in(&ca_pem.cert), &c1), RC_SYNTAX);
	assert_int_equal(link_cert_read(span_in(&one.key), &c1), RC_SYNTAX);
	assert_int_equal(link_cert_read(SPAN_LIT(""), &c1), RC_SYNTAX);
	pair_fini(&ca_pem);
	pair_fini(&engine);
	pair_fini(&one);
	pair_fini(&two);
}

static void
test_ends(void **state)
{
	struct link_ends e = { .n = 3, .v = {
		{ .who.role = "worker", .ends_ms = 100 * 86400000ull },
		{ .who.role = "feed", .ends_ms = 29 * 86400000ull + 5 },
		{ .who.role = "admin", .ends_ms = 1 } } };
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	link_ends_text(&e, 5, &out);
	assert_string_equal(buffer_cstr(&out),
	    "links    worker=99d feed=29d admin=0d\n"
	    "  warn   the link certificate of feed ends soon: relayctl link "
	    "renew feed\n"
	    "  warn   the link certificate of admin has ended: relayctl link "
	    "renew admin\n");
	buffer_clear(&out);
	e.n = 0;
	link_ends_text(&e, 5, &out);
	assert_int_equal(buffer_len(&out), 0);
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_links_hold),
		cmocka_unit_test(test_others_are_refused),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_read_and_revoke),
		cmocka_unit_test(test_ends),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
