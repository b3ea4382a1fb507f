/*
 * e3/server.c, dispatch.c and app_ops.c over real links: mutual TLS on a Unix
 * socket, every role, signed calls, the life of a key, large calls, hostile
 * peers, draining.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "e3/server.h"
#include "e3/token.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/stream.h"
#include "lib/rpc/link.h"
#include "test_certs.h"

#define WAIT_MS		20000

static const uint8_t root_key[E3_SECRET_BYTES] = "root key of the server's test.";

enum { WORKER, FEED, HELPER, PULSE, ADMIN, ADMIN2, CLIENTS };
static const char *const role_of[CLIENTS] = { "worker", "feed", "helper",
    "pulse", "admin", "admin" };

struct client {
	struct test_cert	*cert;
	SSL_CTX			*ctx;
	struct rpc_link		*link;
	bool			up, down;
};

struct stage {
	struct loop		*loop;
	struct e3_engine	engine;
	struct e3_server	*server;
	struct test_cert	*ca, *engine_cert;
	SSL_CTX			*server_ctx;
	struct net_addr		addr;
	char			dir[64], path[80];
	struct client		clients[CLIENTS];
	bool			drained;
};

/* ---- the stage ---- */

static SSL_CTX *
link_ctx(const struct stage *s, bool server, const struct test_cert *c)
{
	const struct net_tls_link_files files = { .chain = c->cert_pem,
	    .key = c->key_pem, .ca = s->ca->cert_pem };
	char why[200];
	SSL_CTX *ctx = net_tls_link_ctx(server, &files, why, sizeof(why));

	assert_non_null(ctx);
	return (ctx);
}

static void
wait_for(struct stage *s, const bool *flag)
{
	uint64_t end_ms = clock_mono_ms() + WAIT_MS;

	while (!*flag) {
		loop_turn(s->loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
}

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct client *c = arg;

	assert_string_equal(peer->role, "engine");
	c->up = true;
}

static void
on_down(void *arg, const char *why)
{
	struct client *c = arg;

	(void)why;
	c->down = true;
}

static const struct rpc_link_ops link_ops = { on_up, on_down };

static void
client_open(struct stage *s, int which, int send_buffer_bytes)
{
	struct client *c = &s->clients[which];
	char san[80], name[32];
	struct rpc_link_config config = { .addr = s->addr,
	    .send_buffer_bytes = send_buffer_bytes };

	(void)snprintf(name, sizeof(name), "%s%d", role_of[which], which);
	(void)snprintf(san, sizeof(san), "URI:relay://link/%s/%s",
	    role_of[which], name);
	c->cert = test_leaf_new(s->ca, name, san, 3600);
	c->ctx = link_ctx(s, false, c->cert);
	config.ctx = c->ctx;
	c->link = rpc_link_open(s->loop, &config, &link_ops, c);
	assert_non_null(c->link);
	wait_for(s, &c->up);
}

static void
client_close(struct client *c)
{
	rpc_link_close(&c->link);
	SSL_CTX_free(c->ctx);
	test_cert_free(&c->cert);
	memset(c, 0, sizeof(*c));
}

static void
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
	s->server_ctx = config.ctx = link_ctx(s, true, s->engine_cert);
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

static void
stage_close(struct stage *s)
{
	for (int i = 0; i < CLIENTS; i++)
		if (s->clients[i].link != NULL)
			client_close(&s->clients[i]);
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

struct answer {
	bool		done;
	enum rc		rc;
	enum rpc_status	status;
	size_t		n, pieces;	/* entries of arrays; frames */
	uint64_t	number;		/* `version`, or keys_epoch */
	bool		ready;
	char		text[256];	/* app, key or secret; last one wins */
	char		secret[128];
	struct buffer	bytes;		/* record or challenge; first entry */
};

static void
take_text(const struct rpc_value *body, const char *key, char *out,
    size_t size)
{
	struct span s;

	if (rpc_get_bytes(rpc_map_get(body, key), &s))
		assert_true(span_copy(s, out, size));
}

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
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

static void
answer_init(struct answer *a)
{
	memset(a, 0, sizeof(*a));
	buffer_init(&a->bytes, 0, false);
}

/* Call, wait, return the status; body may be NULL.  a: keep it, then fini its
 * bytes. */
static enum rpc_status
call(struct stage *s, int who, enum rpc_op op, struct buffer *body,
    struct answer *a)
{
	struct answer own, *into = a != NULL ? a : &own;
	struct buffer empty;
	uint64_t id;

	answer_init(into);
	buffer_init(&empty, 0, false);
	assert_int_equal(rpc_link_call(s->clients[who].link, op,
	    body != NULL ? body : &empty, WAIT_MS, on_reply, into, &id),
	    RC_OK);
	wait_for(s, &into->done);
	assert_int_equal(into->rc, RC_OK);
	if (a == NULL)
		buffer_fini(&own.bytes);
	if (body != NULL)
		buffer_fini(body);
	return (into->status);
}

enum forgery { HONEST, NO_SIGNATURE, OTHER_KEY, OTHER_OP, OTHER_BODY };

static enum rpc_status
signed_call(struct stage *s, int who, enum rpc_op op, struct buffer *body,
    struct span challenge, enum forgery forgery, struct answer *a)
{
	struct client *c = &s->clients[who];
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
	    WAIT_MS, on_reply, a, &id), RC_OK);
	wait_for(s, &a->done);
	buffer_fini(&part);
	buffer_fini(&signature);
	buffer_fini(&other);
	buffer_fini(body);
	return (a->status);
}

static enum rpc_status
honest(struct stage *s, enum rpc_op op, struct buffer *body, struct answer *a)
{
	struct answer ch;
	enum rpc_status status;

	assert_int_equal(call(s, ADMIN, RPC_OP_CHALLENGE, NULL, &ch),
	    RPC_STATUS_OK);
	status = signed_call(s, ADMIN, op, body, (struct span){
	    buffer_data(&ch.bytes), buffer_len(&ch.bytes) }, HONEST, a);
	buffer_fini(&ch.bytes);
	return (status);
}

/* {key: text, ...}; NULL ends. */
static void
texts(struct buffer *b, const char *key, const char *text, const char *key2,
    const char *text2)
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

static enum rpc_status
load(struct stage *s, const struct buffer *record)
{
	struct buffer b;

	buffer_init(&b, 0, false);
	rpc_put_map(&b, 1);
	rpc_put_str(&b, "records");
	rpc_put_array(&b, 1);
	rpc_put_bin(&b, (struct span){ buffer_data(record),
	    buffer_len(record) });
	return (call(s, HELPER, RPC_OP_LOAD_RECORDS, &b, NULL));
}

static void
make_ready(struct stage *s)
{
	struct answer a;
	struct buffer b;

	assert_int_equal(call(s, HELPER, RPC_OP_CHECKSUM, NULL, &a),
	    RPC_STATUS_OK);
	buffer_init(&b, 0, false);
	rpc_put_map(&b, 1);
	rpc_put_str(&b, "checksum");
	rpc_put_bin(&b, (struct span){ buffer_data(&a.bytes),
	    buffer_len(&a.bytes) });
	assert_int_equal(call(s, HELPER, RPC_OP_SET_READY, &b, NULL),
	    RPC_STATUS_OK);
	buffer_fini(&a.bytes);
}

static void
encrypt_body(struct buffer *b, const char *app, size_t n, const char *value)
{
	const struct rpc_encrypt e = { .app = span_of(app), .n_fields = n };
	const struct rpc_field f = { .bytes = span_of(value) };

	buffer_init(b, 0, true);
	rpc_encrypt_put(b, &e);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rpc_encrypt_put_field(b, &f), RC_OK);
}

/* Ready, with one app, loaded; its id in app. */
static void
with_app(struct stage *s, char app[64])
{
	struct answer a;
	struct buffer b;

	stage_open(s);
	for (int i = 0; i < CLIENTS; i++)
		client_open(s, i, 0);
	make_ready(s);
	texts(&b, "name", "shop", NULL, NULL);
	assert_int_equal(honest(s, RPC_OP_CREATE_APP, &b, &a), RPC_STATUS_OK);
	assert_int_equal(a.number, 1);
	(void)snprintf(app, 64, "%.60s", a.text);
	encrypt_body(&b, app, 1, "v");
	assert_int_equal(call(s, WORKER, RPC_OP_ENCRYPT, &b, NULL),
	    RPC_STATUS_NO_SUCH_APP);	/* pending until it is loaded */
	assert_int_equal(load(s, &a.bytes), RPC_STATUS_OK);
	buffer_fini(&a.bytes);
}

/* ---- tests ---- */

/* Every op by every role, before and after SetReady, against the table. */
static void
test_permission(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	for (int i = 0; i < CLIENTS; i++)
		client_open(&s, i, 0);
	for (int ready = 0; ready < 2; ready++) {
		if (ready)
			make_ready(&s);
		for (int who = 0; who < CLIENTS; who++) {
			enum rpc_role role = rpc_role_lookup(role_of[who]);

			for (int op = 0; op < RPC_OPS; op++) {
				const struct rpc_op_info *info =
				    rpc_op_info((enum rpc_op)op);
				enum rpc_status got = call(&s, who, info->op,
				    NULL, NULL);

				if ((info->roles & role) == 0)
					assert_int_equal(got,
					    RPC_STATUS_NOT_ALLOWED);
				else if (!ready && !info->before_ready)
					assert_int_equal(got,
					    RPC_STATUS_NOT_READY);
				else if (info->signed_call)
					assert_int_equal(got,
					    RPC_STATUS_NOT_ALLOWED);
				else
					assert_true(got == RPC_STATUS_OK ||
					    got == RPC_STATUS_BAD_REQUEST);
			}
		}
	}
	stage_close(&s);
}

static void
test_signatures(void **state)
{
	static const enum forgery forgeries[] = { NO_SIGNATURE, OTHER_KEY,
	    OTHER_OP, OTHER_BODY };
	struct answer ch, a;
	struct stage s;
	struct buffer b;
	struct span c;

	(void)state;
	stage_open(&s);
	for (int i = 0; i < CLIENTS; i++)
		client_open(&s, i, 0);
	make_ready(&s);
	for (size_t i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
		assert_int_equal(call(&s, ADMIN, RPC_OP_CHALLENGE, NULL, &ch),
		    RPC_STATUS_OK);
		c = (struct span){ buffer_data(&ch.bytes),
		    buffer_len(&ch.bytes) };
		assert_int_equal(c.len, RPC_CHALLENGE_BYTES);
		texts(&b, "name", "x", NULL, NULL);
		assert_int_equal(signed_call(&s, ADMIN, RPC_OP_CREATE_APP, &b,
		    c, forgeries[i], &a), RPC_STATUS_NOT_ALLOWED);
		/* Spent by the attempt. */
		texts(&b, "name", "x", NULL, NULL);
		assert_int_equal(signed_call(&s, ADMIN, RPC_OP_CREATE_APP, &b,
		    c, HONEST, &a), RPC_STATUS_NOT_ALLOWED);
		buffer_fini(&ch.bytes);
	}
	/* Of this link only; and once. */
	assert_int_equal(call(&s, ADMIN, RPC_OP_CHALLENGE, NULL, &ch),
	    RPC_STATUS_OK);
	c = (struct span){ buffer_data(&ch.bytes), buffer_len(&ch.bytes) };
	texts(&b, "name", "x", NULL, NULL);
	assert_int_equal(signed_call(&s, ADMIN2, RPC_OP_CREATE_APP, &b, c,
	    HONEST, &a), RPC_STATUS_NOT_ALLOWED);
	texts(&b, "name", "x", NULL, NULL);
	assert_int_equal(signed_call(&s, ADMIN, RPC_OP_CREATE_APP, &b, c,
	    HONEST, &a), RPC_STATUS_OK);
	buffer_fini(&a.bytes);
	texts(&b, "name", "x", NULL, NULL);
	assert_int_equal(signed_call(&s, ADMIN, RPC_OP_CREATE_APP, &b, c,
	    HONEST, &a), RPC_STATUS_NOT_ALLOWED);
	buffer_fini(&ch.bytes);
	stage_close(&s);
}

/* Field 4 of a secret is what SDKs compare with their app id. */
static void
check_secret(const char *secret, const char *app)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	char mark[100], copy[128], *save, *part;
	unsigned n = 0, i = 0;

	assert_int_equal(EVP_Digest(app, strlen(app), digest, &n,
	    EVP_sha512(), NULL), 1);
	mark[base64_encode(digest, n, true, mark)] = '\0';
	mark[6] = '\0';
	(void)snprintf(copy, sizeof(copy), "%s", secret);
	for (part = strtok_r(copy, ":", &save); part != NULL;
	    part = strtok_r(NULL, ":", &save), i++) {
		if (i == 4)
			assert_string_equal(part, mark);
		if (i == 5)
			assert_int_equal(strlen(part), 6);
	}
	assert_int_equal(i, 6);
	assert_int_equal(strncmp(secret, "ev:key:1:", 9), 0);
}

static enum rpc_status
authenticate(struct stage *s, const char *secret)
{
	struct buffer b;

	texts(&b, "apiKey", secret, NULL, NULL);
	return (call(s, WORKER, RPC_OP_AUTHENTICATE, &b, NULL));
}

static enum rpc_status
open_with(struct stage *s, int who, const char *app, const char *secret,
    const struct buffer *token)
{
	const struct rpc_decrypt d = { .app = span_of(app),
	    .api_key = span_of(secret), .address = SPAN_LIT("127.0.0.1"),
	    .place = RPC_PLACE_API, .n_tokens = 1 };
	struct buffer b;

	buffer_init(&b, 0, true);
	rpc_decrypt_put(&b, &d);
	assert_int_equal(rpc_decrypt_put_token(&b, (struct span){
	    buffer_data(token), buffer_len(token) }, (struct span){ NULL,
	    0 }), RC_OK);
	return (call(s, who, RPC_OP_DECRYPT, &b, NULL));
}

/* Created, pending, active, used, revoked, refused. */
static void
test_life_of_a_key(void **state)
{
	struct answer key, token, list, stats;
	char app[64], id[64], secret[128];
	struct stage s;
	struct buffer b;
	uint64_t epoch;

	(void)state;
	with_app(&s, app);
	encrypt_body(&b, app, 1, "4111");
	assert_int_equal(call(&s, WORKER, RPC_OP_ENCRYPT, &b, &token),
	    RPC_STATUS_OK);
	texts(&b, "app", app, NULL, NULL);
	assert_int_equal(honest(&s, RPC_OP_CREATE_KEY, &b, &key),
	    RPC_STATUS_OK);
	assert_int_equal(key.number, 2);
	(void)snprintf(id, sizeof(id), "%.60s", key.text);
	(void)snprintf(secret, sizeof(secret), "%s", key.secret);
	check_secret(secret, app);
	assert_int_equal(authenticate(&s, secret),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(load(&s, &key.bytes), RPC_STATUS_OK);
	assert_int_equal(authenticate(&s, secret), RPC_STATUS_OK);
	assert_int_equal(authenticate(&s, ""), RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(authenticate(&s, "ev:key:1:x:y:z"),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(open_with(&s, WORKER, "", secret, &token.bytes),
	    RPC_STATUS_OK);
	assert_int_equal(open_with(&s, ADMIN, "", secret, &token.bytes),
	    RPC_STATUS_OK);
	assert_int_equal(open_with(&s, ADMIN, app, "", &token.bytes),
	    RPC_STATUS_NOT_ALLOWED);
	assert_int_equal(open_with(&s, WORKER, "", "wrong", &token.bytes),
	    RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(open_with(&s, WORKER, app, "", &token.bytes),
	    RPC_STATUS_OK);
	assert_int_equal(call(&s, ADMIN, RPC_OP_LIST_APPS, NULL, &list),
	    RPC_STATUS_OK);
	assert_int_equal(list.n, 1);
	buffer_fini(&list.bytes);
	assert_int_equal(call(&s, PULSE, RPC_OP_GET_STATISTICS, NULL, &stats),
	    RPC_STATUS_OK);
	assert_true(stats.ready);
	epoch = stats.number;
	buffer_fini(&stats.bytes);
	buffer_fini(&key.bytes);

	texts(&b, "app", app, "key", "key_ffffffffffff");
	assert_int_equal(honest(&s, RPC_OP_REVOKE_KEY, &b, &key),
	    RPC_STATUS_NO_SUCH_KEY);
	texts(&b, "app", app, "key", id);
	assert_int_equal(honest(&s, RPC_OP_REVOKE_KEY, &b, &key),
	    RPC_STATUS_OK);
	assert_int_equal(key.number, 3);
	assert_int_equal(load(&s, &key.bytes), RPC_STATUS_OK);
	assert_int_equal(load(&s, &key.bytes), RPC_STATUS_OK);
	buffer_fini(&key.bytes);
	texts(&b, "app", app, "key", id);
	assert_int_equal(honest(&s, RPC_OP_REVOKE_KEY, &b, &key),
	    RPC_STATUS_CONFLICT);
	assert_int_equal(call(&s, WORKER, RPC_OP_PING, NULL, &stats),
	    RPC_STATUS_OK);
	assert_int_not_equal(stats.number, epoch);
	assert_int_equal(open_with(&s, WORKER, "", secret, &token.bytes),
	    RPC_STATUS_UNAUTHORIZED);
	buffer_fini(&token.bytes);
	stage_close(&s);
}

/* A key with scopes opens nothing without the one for it. */
static void
test_scopes(void **state)
{
	static const char *const scopes[] = { "encrypt", "decrypt" };
	char app[64];
	struct stage s;

	(void)state;
	with_app(&s, app);
	for (int i = 0; i < 3; i++) {
		struct answer key, token;
		struct buffer b;

		encrypt_body(&b, app, 1, "v");
		assert_int_equal(call(&s, ADMIN, RPC_OP_ENCRYPT, &b, &token),
		    RPC_STATUS_OK);
		buffer_init(&b, 0, false);
		rpc_put_map(&b, 2);
		rpc_put_str(&b, "app");
		rpc_put_str(&b, app);
		rpc_put_str(&b, "scopes");
		rpc_put_array(&b, 1);
		rpc_put_str(&b, i == 2 ? "Not A Scope" : scopes[i]);
		assert_int_equal(honest(&s, RPC_OP_CREATE_KEY, &b, &key),
		    i == 2 ? RPC_STATUS_BAD_REQUEST : RPC_STATUS_OK);
		if (i < 2) {
			assert_int_equal(load(&s, &key.bytes), RPC_STATUS_OK);
			assert_int_equal(open_with(&s, WORKER, "", key.secret,
			    &token.bytes), i == 0 ? RPC_STATUS_NOT_ALLOWED :
			    RPC_STATUS_OK);
		}
		buffer_fini(&key.bytes);
		buffer_fini(&token.bytes);
	}
	stage_close(&s);
}

/* 60,000 fields and 8 MB of reply through a 4 KiB send buffer; Ping passes. */
static void
test_large(void **state)
{
	struct answer big, ping;
	struct buffer b, empty;
	char app[64];
	struct stage s;
	uint64_t id;

	(void)state;
	with_app(&s, app);
	client_close(&s.clients[WORKER]);
	client_open(&s, WORKER, 4096);
	answer_init(&big);
	answer_init(&ping);
	encrypt_body(&b, app, 60000, "a value of no great length");
	assert_int_equal(rpc_link_call(s.clients[WORKER].link, RPC_OP_ENCRYPT,
	    &b, WAIT_MS, on_reply, &big, &id), RC_OK);
	buffer_fini(&b);
	buffer_init(&empty, 0, false);
	assert_int_equal(rpc_link_call(s.clients[WORKER].link, RPC_OP_PING,
	    &empty, WAIT_MS, on_reply, &ping, &id), RC_OK);
	wait_for(&s, &ping.done);
	assert_false(big.done);
	wait_for(&s, &big.done);
	assert_int_equal(big.status, RPC_STATUS_OK);
	assert_int_equal(big.n, 60000);
	assert_true(big.pieces > 20);
	buffer_fini(&big.bytes);
	stage_close(&s);
}

/* Cancelled: the engine stops, and the link goes on. */
static void
test_cancel(void **state)
{
	struct answer big;
	struct buffer b;
	char app[64];
	struct stage s;
	uint64_t id, end_ms = clock_mono_ms() + WAIT_MS;

	(void)state;
	with_app(&s, app);
	answer_init(&big);
	encrypt_body(&b, app, 60000, "v");
	assert_int_equal(rpc_link_call(s.clients[WORKER].link, RPC_OP_ENCRYPT,
	    &b, WAIT_MS, on_reply, &big, &id), RC_OK);
	buffer_fini(&b);
	while (e3_sched_depth(s.engine.sched) == 0) {
		loop_turn(s.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	rpc_link_cancel(s.clients[WORKER].link, id);
	while (e3_sched_depth(s.engine.sched) != 0 ||
	    rpc_link_in_flight(s.clients[WORKER].link) != 0) {
		loop_turn(s.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	assert_true(s.engine.fields_sealed < 60000);
	assert_int_equal(call(&s, WORKER, RPC_OP_PING, NULL, NULL),
	    RPC_STATUS_OK);
	buffer_fini(&big.bytes);
	stage_close(&s);
}

/* A link that dies with a call at work leaves nothing behind. */
static void
test_caller_gone(void **state)
{
	struct answer big;
	struct buffer b;
	char app[64];
	struct stage s;
	uint64_t id, end_ms = clock_mono_ms() + WAIT_MS;

	(void)state;
	with_app(&s, app);
	answer_init(&big);
	encrypt_body(&b, app, 60000, "v");
	assert_int_equal(rpc_link_call(s.clients[WORKER].link, RPC_OP_ENCRYPT,
	    &b, WAIT_MS, on_reply, &big, &id), RC_OK);
	buffer_fini(&b);
	while (e3_sched_depth(s.engine.sched) == 0)
		loop_turn(s.loop, true);
	client_close(&s.clients[WORKER]);
	while (e3_sched_depth(s.engine.sched) != 0 ||
	    s.engine.links != CLIENTS - 1) {
		loop_turn(s.loop, true);
		assert_true(clock_mono_ms() < end_ms);
	}
	buffer_fini(&big.bytes);
	stage_close(&s);
}

/* ---- peers that do not keep to the protocol ---- */

struct raw {
	struct net_stream	*stream;
	bool			ready, ended;
};

static void
raw_ready(void *arg)
{
	((struct raw *)arg)->ready = true;
}

static void
raw_nothing(void *arg)
{
	(void)arg;
}

static void
raw_eof(void *arg)
{
	((struct raw *)arg)->ended = true;
}

static void
raw_error(void *arg, enum net_reason reason, const char *why)
{
	(void)reason;
	(void)why;
	((struct raw *)arg)->ended = true;
}

static const struct net_stream_ops raw_ops = { raw_ready, raw_nothing,
    raw_nothing, raw_eof, raw_error };

static void
raw_open(struct stage *s, const char *san, struct raw *r,
    struct test_cert **cert, SSL_CTX **ctx)
{
	struct net_stream_connect to = { .addr = &s->addr };

	*cert = test_leaf_new(s->ca, "raw", san, 3600);
	*ctx = to.ctx = link_ctx(s, false, *cert);
	memset(r, 0, sizeof(*r));
	r->stream = net_stream_connect(s->loop, &to, &raw_ops, r);
}

static void
raw_close(struct raw *r, struct test_cert **cert, SSL_CTX **ctx)
{
	net_stream_close(&r->stream);
	SSL_CTX_free(*ctx);
	test_cert_free(cert);
}

static void
test_hostile(void **state)
{
	static const struct {
		const char	*bytes;
		size_t		len;
	} cases[] = {
		{ "\0\0\0\0", 4 },			/* empty frame */
		{ "\xff\xff\xff\xff", 4 },		/* 4 GiB announced */
		{ "\0\0\0\1\xc0", 5 },			/* nil */
		{ "\0\0\0\3\xdd\xff\xff", 7 },		/* array cut short */
		{ "\0\0\0\5\x94\1\0\xa4Ping", 9 },	/* id 0, cut */
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
	};
	struct test_cert *cert;
	struct stage s;
	struct raw r;
	SSL_CTX *ctx;

	(void)state;
	stage_open(&s);
	client_open(&s, WORKER, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		raw_open(&s, "URI:relay://link/worker/w", &r, &cert, &ctx);
		wait_for(&s, &r.ready);
		assert_int_equal(net_stream_write(r.stream, cases[i].bytes,
		    cases[i].len), RC_OK);
		wait_for(&s, &r.ended);
		raw_close(&r, &cert, &ctx);
		assert_int_equal(call(&s, WORKER, RPC_OP_PING, NULL, NULL),
		    RPC_STATUS_OK);
	}
	/* Certificates of our CA that are no caller's. */
	raw_open(&s, "URI:relay://link/engine/e", &r, &cert, &ctx);
	wait_for(&s, &r.ended);
	raw_close(&r, &cert, &ctx);
	raw_open(&s, "DNS:worker.test", &r, &cert, &ctx);
	wait_for(&s, &r.ended);
	raw_close(&r, &cert, &ctx);
	stage_close(&s);
}

/* More links than allowed: the surplus is cut, the others serve. */
static void
test_max_links(void **state)
{
	struct test_cert *cert[8];
	SSL_CTX *ctx[8];
	struct raw r[8];
	struct stage s;

	(void)state;
	stage_open(&s);
	client_open(&s, WORKER, 0);
	for (int i = 0; i < 7; i++) {
		raw_open(&s, "URI:relay://link/worker/w", &r[i], &cert[i],
		    &ctx[i]);
		wait_for(&s, &r[i].ready);
	}
	raw_open(&s, "URI:relay://link/worker/w", &r[7], &cert[7], &ctx[7]);
	wait_for(&s, &r[7].ended);
	assert_int_equal(call(&s, WORKER, RPC_OP_PING, NULL, NULL),
	    RPC_STATUS_OK);
	for (int i = 0; i < 8; i++)
		raw_close(&r[i], &cert[i], &ctx[i]);
	stage_close(&s);
}

static void
on_drained(void *arg)
{
	struct stage *s = arg;

	s->drained = true;
}

/* Links are served while they last; new ones find nobody. */
static void
test_drain(void **state)
{
	struct buffer b;
	char app[64];
	struct stage s;

	(void)state;
	with_app(&s, app);
	e3_server_drain(s.server, on_drained, &s);
	encrypt_body(&b, app, 3, "v");
	assert_int_equal(call(&s, WORKER, RPC_OP_ENCRYPT, &b, NULL),
	    RPC_STATUS_OK);
	assert_false(s.drained);
	for (int i = 0; i < CLIENTS; i++)
		client_close(&s.clients[i]);
	wait_for(&s, &s.drained);
	assert_int_equal(s.engine.links, 0);
	stage_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_life_of_a_key),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_caller_gone),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_max_links),
		cmocka_unit_test(test_drain),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
