/*
 * tests/unit/e3_stage.c - the engine on a Unix socket, and its callers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "e3_stage.h"

#include <openssl/crypto.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

static const uint8_t root_key[E3_SECRET_BYTES] =
    "root key of the server's test.";

const char *const stage_role_of[CLIENTS] = { "worker", "feed", "helper",
    "pulse", "admin", "admin" };

/* ---- the stage ---- */

SSL_CTX *
stage_ctx(const struct stage *s, bool server, const struct test_cert *c)
{
	const struct net_tls_link_files files = { .chain = c->cert_pem,
	    .key = c->key_pem, .ca = s->ca->cert_pem };
	char why[200];
	SSL_CTX *ctx = net_tls_link_ctx(server, &files, why, sizeof(why));

	assert_non_null(ctx);
	return (ctx);
}

void
stage_wait(struct stage *s, const bool *flag)
{
	uint64_t end_ms = clock_mono_ms() + STAGE_WAIT_MS;

	while (!*flag) {
		loop_turn(s->loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
}

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct stage_client *c = arg;

	assert_string_equal(peer->role, "engine");
	c->up = true;
}

static void
on_down(void *arg, const char *why)
{
	struct stage_client *c = arg;

	(void)why;
	c->down = true;
}

static const struct rpc_link_ops link_ops = { on_up, on_down };

void
stage_client_open(struct stage *s, int which, int send_buffer_bytes)
{
	struct stage_client *c = &s->clients[which];
	char san[80], name[32];
	struct rpc_link_config config = { .addr = s->addr,
	    .send_buffer_bytes = send_buffer_bytes };

	(void)snprintf(name, sizeof(name), "%s%d", stage_role_of[which], which);
	(void)snprintf(san, sizeof(san), "URI:relay://link/%s/%s",
	    stage_role_of[which], name);
	c->cert = test_leaf_new(s->ca, name, san, 3600);
	c->ctx = stage_ctx(s, false, c->cert);
	config.ctx = c->ctx;
	c->link = rpc_link_open(s->loop, &config, &link_ops, c);
	assert_non_null(c->link);
	stage_wait(s, &c->up);
}

void
stage_client_close(struct stage_client *c)
{
	rpc_link_close(&c->link);
	SSL_CTX_free(c->ctx);
	test_cert_free(&c->cert);
	memset(c, 0, sizeof(*c));
}

void
stage_open(struct stage *s)
{
	struct e3_server_config config = { .threads = 2, .max_links = 8,
	    .max_queue = 100 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[100];

	memset(s, 0, sizeof(*s));
	if (!CRYPTO_secure_malloc_initialized())
		assert_int_not_equal(CRYPTO_secure_malloc_init(1 << 20, 32),
		    0);
	log_set_level(LOG_ERROR);
	s->loop = loop_new();
	s->ca = test_ca_new("link CA");
	s->engine_cert = test_leaf_new(s->ca, "e", "URI:relay://link/engine/e",
	    3600);
	s->server_ctx = config.ctx = stage_ctx(s, true, s->engine_cert);
	s->engine.root_key = root_key;
	s->engine.keyring = e3_keyring_new();
	s->engine.crypto = e3_crypto_new();
	s->server = e3_server_new(s->loop, &s->engine, &config);
	assert_non_null(s->server);
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/e3_server.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	(void)snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	(void)snprintf(text, sizeof(text), "unix:%s", s->path);
	assert_int_equal(net_addr_parse(text, &s->addr), RC_OK);
	assert_int_equal(bind(fd, (struct sockaddr *)&s->addr.ss,
	    s->addr.len), 0);
	assert_int_equal(listen(fd, 16), 0);
	e3_server_listen(s->server, fd);
}

void
stage_close(struct stage *s)
{
	for (int i = 0; i < CLIENTS; i++)
		if (s->clients[i].link != NULL)
			stage_client_close(&s->clients[i]);
	e3_server_free(&s->server);
	e3_keyring_free(&s->engine.keyring);
	e3_crypto_free(&s->engine.crypto);
	SSL_CTX_free(s->server_ctx);
	test_cert_free(&s->engine_cert);
	test_cert_free(&s->ca);
	(void)unlink(s->path);
	(void)rmdir(s->dir);
	loop_free(&s->loop);
}

/* ---- calls ---- */

static void
take_text(const struct rpc_value *body, const char *key, char *out,
    size_t size)
{
	struct span s;

	if (rpc_get_bytes(rpc_map_get(body, key), &s))
		assert_true(span_copy(s, out, size));
}

void
answer_take(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	static const char *const bins[] = { "record", "challenge",
	    "checksum" };
	struct answer *a = arg;
	struct rpc_sealed sealed;
	struct span s;

	assert_false(a->done);
	a->rc = rc;
	a->status = status;
	a->pieces++;
	a->done = !more;
	if (rpc_array_len(body) != SIZE_MAX)
		a->n += rpc_array_len(body);
	if (buffer_len(&a->bytes) == 0 &&
	    rpc_sealed_at(body, 0, &sealed) == RC_OK)
		buffer_put(&a->bytes, sealed.bytes.p, sealed.bytes.len);
	for (size_t i = 0; i < sizeof(bins) / sizeof(bins[0]); i++)
		if (rpc_get_bytes(rpc_map_get(body, bins[i]), &s))
			buffer_put(&a->bytes, s.p, s.len);
	take_text(body, "app", a->text, sizeof(a->text));
	take_text(body, "key", a->text, sizeof(a->text));
	take_text(body, "secret", a->secret, sizeof(a->secret));
	(void)rpc_get_u64(rpc_map_get(body, "version"), &a->number);
	(void)rpc_get_u64(rpc_map_get(body, "keys_epoch"), &a->number);
	(void)rpc_get_bool(rpc_map_get(body, "ready"), &a->ready);
}

void
answer_init(struct answer *a)
{
	memset(a, 0, sizeof(*a));
	buffer_init(&a->bytes, 0, false);
}

enum rpc_status
stage_call(struct stage *s, int who, enum rpc_op op, struct buffer *body,
    struct answer *a)
{
	struct answer own, *into = a != NULL ? a : &own;
	struct buffer empty;
	uint64_t id;

	answer_init(into);
	buffer_init(&empty, 0, false);
	assert_int_equal(rpc_link_call(s->clients[who].link, op,
	    body != NULL ? body : &empty, STAGE_WAIT_MS, answer_take, into, &id),
	    RC_OK);
	stage_wait(s, &into->done);
	assert_int_equal(into->rc, RC_OK);
	if (a == NULL)
		buffer_fini(&own.bytes);
	if (body != NULL)
		buffer_fini(body);
	return (into->status);
}

enum rpc_status
stage_call_signed(struct stage *s, int who, enum rpc_op op, struct buffer *body,
    struct span challenge, enum forgery forgery, struct answer *a)
{
	struct stage_client *c = &s->clients[who];
	uint64_t id = rpc_link_next_id(c->link);
	struct buffer part, signature, other;
	EVP_PKEY *key = c->cert->key;

	answer_init(a);
	buffer_init(&part, 0, false);
	buffer_init(&signature, 0, false);
	buffer_init(&other, 0, false);
	rpc_put_map(&other, 0);
	if (forgery == OTHER_KEY)
		key = s->engine_cert->key;
	rpc_signed_part(&part, id, forgery == OTHER_OP ? RPC_OP_REVOKE_KEY :
	    op, forgery == OTHER_BODY ? (struct span){ buffer_data(&other),
	    buffer_len(&other) } : (struct span){ buffer_data(body),
	    buffer_len(body) });
	if (forgery != NO_SIGNATURE)
		assert_int_equal(rpc_sign(key, challenge, (struct span){
		    buffer_data(&part), buffer_len(&part) }, &signature),
		    RC_OK);
	assert_int_equal(rpc_link_call_signed(c->link, op, body,
	    (struct span){ buffer_data(&signature), buffer_len(&signature) },
	    STAGE_WAIT_MS, answer_take, a, &id), RC_OK);
	stage_wait(s, &a->done);
	buffer_fini(&part);
	buffer_fini(&signature);
	buffer_fini(&other);
	buffer_fini(body);
	return (a->status);
}

enum rpc_status
stage_call_honest(struct stage *s, enum rpc_op op, struct buffer *body,
    struct answer *a)
{
	struct answer ch;
	enum rpc_status status;

	assert_int_equal(stage_call(s, ADMIN, RPC_OP_CHALLENGE, NULL, &ch),
	    RPC_STATUS_OK);
	status = stage_call_signed(s, ADMIN, op, body, (struct span){
	    buffer_data(&ch.bytes), buffer_len(&ch.bytes) }, HONEST, a);
	buffer_fini(&ch.bytes);
	return (status);
}

void
stage_texts(struct buffer *b, const char *key, const char *text,
    const char *key2, const char *text2)
{
	buffer_init(b, 0, false);
	rpc_put_map(b, key2 != NULL ? 2 : 1);
	rpc_put_str(b, key);
	rpc_put_str(b, text);
	if (key2 == NULL)
		return;
	rpc_put_str(b, key2);
	rpc_put_str(b, text2);
}

enum rpc_status
stage_load(struct stage *s, const struct buffer *record)
{
	struct buffer b;

	buffer_init(&b, 0, false);
	rpc_put_map(&b, 1);
	rpc_put_str(&b, "records");
	rpc_put_array(&b, 1);
	rpc_put_bin(&b, (struct span){ buffer_data(record),
	    buffer_len(record) });
	return (stage_call(s, HELPER, RPC_OP_LOAD_RECORDS, &b, NULL));
}

void
stage_make_ready(struct stage *s)
{
	struct answer a;
	struct buffer b;

	assert_int_equal(stage_call(s, HELPER, RPC_OP_CHECKSUM, NULL, &a),
	    RPC_STATUS_OK);
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 1);
	rpc_put_str(&b, "checksum");
	rpc_put_bin(&b, (struct span){ buffer_data(&a.bytes),
	    buffer_len(&a.bytes) });
	assert_int_equal(stage_call(s, HELPER, RPC_OP_SET_READY, &b, NULL),
	    RPC_STATUS_OK);
	buffer_fini(&a.bytes);
}

void
stage_encrypt_body(struct buffer *b, const char *app, size_t n,
    const char *value)
{
	const struct rpc_encrypt e = { .app = span_of(app), .n_fields = n };
	const struct rpc_field f = { .bytes = span_of(value) };

	buffer_init(b, 0, true);
	rpc_encrypt_put(b, &e);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rpc_encrypt_put_field(b, &f), RC_OK);
}

void
stage_open_with_app(struct stage *s, char app[64])
{
	struct answer a;
	struct buffer b;

	stage_open(s);
	for (int i = 0; i < CLIENTS; i++)
		stage_client_open(s, i, 0);
	stage_make_ready(s);
	stage_texts(&b, "name", "shop", NULL, NULL);
	assert_int_equal(stage_call_honest(s, RPC_OP_CREATE_APP, &b, &a),
	    RPC_STATUS_OK);
	assert_int_equal(a.number, 1);
	(void)snprintf(app, 64, "%.60s", a.text);
	stage_encrypt_body(&b, app, 1, "v");
	assert_int_equal(stage_call(s, WORKER, RPC_OP_ENCRYPT, &b, NULL),
	    RPC_STATUS_NO_SUCH_APP);	/* pending until it is loaded */
	assert_int_equal(stage_load(s, &a.bytes), RPC_STATUS_OK);
	buffer_fini(&a.bytes);
}
