/* tests/unit/e3_ca_stage.c - see e3_ca_stage.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/err.h>

#include "e3/ca_ops.h"
#include "e3/leaf_cert.h"
#include "e3/record.h"
#include "e3/x509_text.h"
#include "e3_ca_stage.h"

static void
take_text(const struct reply *r, const char *key, char *out, size_t size)
{
	struct span s = { "", 0 };

	(void)rpc_get_bytes(rpc_map_get(r->frames[0].body, key), &s);
	assert_true(span_copy(s, out, size));
}

/* The record of a change becomes active. */
static void
load(struct fixture *f, const struct reply *r)
{
	struct span record;
	struct e3_app *app;

	assert_true(rpc_get_bytes(rpc_map_get(r->frames[0].body, "record"),
	    &record));
	assert_int_equal(e3_record_open(f->engine.crypto, f->engine.root_key,
	    record, &app), RC_OK);
	assert_int_equal(e3_keyring_put(f->engine.keyring, &app), RC_OK);
}

enum rpc_status
ca_create(struct fixture *f, const char *permit, bool self_signed, unsigned days,
    struct ca_made *m)
{
	struct buffer b;
	struct reply r;
	enum rpc_status status;

	buffer_init(&b, 0, false);
	rpc_put_map(&b, permit != NULL ? 4 : 3);
	rpc_put_str(&b, "selfSigned");
	rpc_put_bool(&b, self_signed);
	rpc_put_str(&b, "days");
	rpc_put_u64(&b, days);
	rpc_put_str(&b, "name");
	rpc_put_str(&b, "Test egress");
	if (permit != NULL) {
		rpc_put_str(&b, "permit");
		rpc_put_array(&b, 1);
		rpc_put_str(&b, permit);
	}
	f->permitted = e3_create_ca;
	fixture_call(f, "CreateCA", &b, &r);
	f->permitted = NULL;
	if ((status = r.status) == RPC_STATUS_OK) {
		take_text(&r, "ca", m->id, sizeof(m->id));
		take_text(&r, "csr", m->request, sizeof(m->request));
		take_text(&r, "certificate", m->cert, sizeof(m->cert));
		load(f, &r);
	}
	reply_fini(&r);
	return (status);
}

enum rpc_status
ca_install(struct fixture *f, const char *id, struct span chain,
    uint64_t active_ms)
{
	struct buffer b;
	struct reply r;
	enum rpc_status status;

	buffer_init(&b, 0, false);
	rpc_pack(&b, RPC_STR("ca", id), RPC_BIN("chain", chain.p, chain.len),
	    RPC_MAYBE_U64("active_ms", active_ms));
	f->permitted = e3_install_ca;
	fixture_call(f, "InstallCA", &b, &r);
	f->permitted = NULL;
	if ((status = r.status) == RPC_STATUS_OK)
		load(f, &r);
	reply_fini(&r);
	return (status);
}

/* "pending, signs": what GetCA shows; anchors: how many. */
void
ca_check_states(struct fixture *f, const char *want, unsigned anchors)
{
	const struct rpc_value *rows;
	char got[256] = "";
	unsigned n = 0;
	struct span s;
	struct reply r;

	fixture_call(f, "GetCA", NULL, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	rows = rpc_map_get(r.frames[0].body, "cas");
	for (size_t i = 0; i < rpc_array_len(rows); i++) {
		const struct rpc_value *row = rpc_array_at(rows, i);
		struct span state, pem, sum;

		assert_int_equal(rpc_array_len(row), 8);
		assert_true(rpc_get_bytes(rpc_array_at(row, 1), &state));
		assert_true(rpc_get_bytes(rpc_array_at(row, 5), &pem));
		assert_int_equal(span_eq_str(state, "pending"),
		    rpc_is_nil(rpc_array_at(row, 2)));
		if (rpc_get_bytes(rpc_array_at(row, 2), &sum))
			assert_int_equal(sum.len, 32);
		assert_int_equal(strncmp(pem.p, "-----BEGIN CERTIFICATE",
		    22), 0);
		(void)snprintf(got + strlen(got), 32, "%s%.*s", i == 0 ? "" :
		    ", ", (int)state.len, state.p);
	}
	assert_string_equal(got, want);
	assert_true(rpc_get_bytes(rpc_map_get(r.frames[0].body, "anchors"),
	    &s));
	for (size_t i = 0; i + 10 <= s.len; i++)
		n += memcmp(s.p + i, "-----BEGIN", 10) == 0;
	assert_int_equal(n, anchors);
	reply_fini(&r);
}

struct span
ca_public_der(EVP_PKEY *key, unsigned char **out)
{
	int n;

	*out = NULL;
	n = i2d_PUBKEY(key, out);
	assert_true(n > 0);
	return ((struct span){ (const char *)*out, (size_t)n });
}

enum rpc_status
ca_leaf(struct fixture *f, const char *host, struct span key, char *chain,
    size_t size)
{
	struct buffer b;
	struct reply r;
	enum rpc_status status;

	buffer_init(&b, 0, false);
	rpc_pack(&b, RPC_STR("host", host), RPC_BIN("publicKey", key.p,
	    key.len));
	fixture_call(f, "IssueLeaf", &b, &r);
	if ((status = r.status) == RPC_STATUS_OK && chain != NULL)
		take_text(&r, "chain", chain, size);
	reply_fini(&r);
	return (status);
}

/* As a client that trusts `anchor` does: X509_V_OK or why not. */
int
ca_verify(const char *chain, X509 *anchor, const char *host, X509 **out)
{
	BIO *bio = BIO_new_mem_buf(chain, -1);
	STACK_OF(X509) *between = sk_X509_new_null();
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	X509 *cert, *first = e3_x509_read(bio);
	int error;

	assert_non_null(first);
	while ((cert = e3_x509_read(bio)) != NULL)
		assert_true(sk_X509_push(between, cert) > 0);
	ERR_clear_error();
	assert_int_equal(X509_STORE_add_cert(store, anchor), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, first, between), 1);
	param = X509_STORE_CTX_get0_param(ctx);
	assert_int_equal(X509_VERIFY_PARAM_set_purpose(param,
	    X509_PURPOSE_SSL_SERVER), 1);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ||
	    X509_VERIFY_PARAM_set1_host(param, host, 0) == 1, 1);
	(void)X509_verify_cert(ctx);
	error = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	sk_X509_pop_free(between, X509_free);
	BIO_free(bio);
	if (out != NULL)
		*out = first;
	else
		X509_free(first);
	return (error);
}

X509 *
ca_pem_cert(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = e3_x509_read(bio);

	BIO_free(bio);
	assert_non_null(cert);
	return (cert);
}

void
ca_fixture(struct fixture *f, const char *permit, struct ca_made *m)
{
	fixture_start(f, 1);
	f->peer.role = RPC_ROLE_WORKER;
	(void)snprintf(f->peer.name, sizeof(f->peer.name), "w1");
	e3_leaf_limit(&f->engine.leaf_meters, 600);
	assert_int_equal(ca_create(f, permit, true, 30, m), RPC_STATUS_OK);
	ca_check_states(f, "pending", 0);
	assert_int_equal(ca_install(f, m->id, span_of(m->cert), 0),
	    RPC_STATUS_OK);
	ca_check_states(f, "signs", 1);
}
