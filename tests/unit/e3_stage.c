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
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "e3_stage.h"

#include <openssl/crypto.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

static const char root_key[SCHEME_SECRET_BYTES] = "root key of the engine's stage.";

const char *const stage_role_of[CLIENTS] = { "worker", "feed", "helper",
    "pulse", "admin", "admin" };

/* ---- the stage ---- */

static SSL_CTX *
client_ctx(const struct stage *s, const struct test_cert *c)
{
	const struct net_tls_link_files files = { .chain = c->cert_pem,
	    .key = c->key_pem, .ca = s->ca->cert_pem };
	char why[200];
	SSL_CTX *ctx = net_tls_link_ctx(false, &files, why, sizeof(why));

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
	c->ctx = client_ctx(s, c->cert);
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

static void
give(struct ipc_inherited *fds, const char *name, struct span content)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	assert_int_equal(write(fd, content.p, content.len), content.len);
	fds->v[fds->n].fd = fd;
	(void)snprintf(fds->v[fds->n++].name, IPC_FD_NAME_BYTES, "%s", name);
}

/* As the master starts an engine: everything comes by descriptor. */
enum rc
stage_platform(const struct test_cert *ca, const struct test_cert *engine,
    struct span root, struct span next_root, struct e3_platform **out)
{
	struct ipc_inherited fds = { .n = 0 };
	char why[200];
	enum rc rc;

	if (root.p != NULL)
		give(&fds, "root", root);
	if (next_root.p != NULL)
		give(&fds, "root.next", next_root);
	give(&fds, "link.cert", engine->cert_pem);
	give(&fds, "link.key", engine->key_pem);
	give(&fds, "link.ca", ca->cert_pem);
	rc = e3_platform_open("local", &fds, out, why, sizeof(why));
	assert_int_equal(rc == RC_OK, *out != NULL);
	ipc_inherit_close_rest(&fds);
	return (rc);
}

void
stage_open(struct stage *s)
{
	struct rpc_server_config config = { .max_links = 8,
	    .sched.threads = 2, .sched.max_jobs = 100 };
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
	assert_int_equal(stage_platform(s->ca, s->engine_cert, (struct span){
	    root_key, sizeof(root_key) }, (struct span){ NULL, 0 },
	    &s->engine.platform), RC_OK);
	config.ctx = e3_platform_server_ctx(s->engine.platform);
	s->engine.root_key = e3_platform_root_key(s->engine.platform);
	s->engine.keyring = e3_keyring_new();
	s->engine.crypto = scheme_crypto_new();
	assert_true(e3_engine_start(&s->engine, s->loop, &config));
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/e3_server.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	(void)snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	(void)snprintf(text, sizeof(text), "unix:%s", s->path);
	assert_int_equal(net_addr_parse(text, &s->addr), RC_OK);
	assert_int_equal(bind(fd, (struct sockaddr *)&s->addr.ss,
	    s->addr.len), 0);
	assert_int_equal(listen(fd, 16), 0);
	rpc_server_listen(s->engine.server, fd);
}

void
stage_close(struct stage *s)
{
	for (int i = 0; i < CLIENTS; i++)
		if (s->clients[i].link != NULL)
			stage_client_close(&s->clients[i]);
	e3_engine_stop(&s->engine);
	e3_keyring_free(&s->engine.keyring);
	scheme_crypto_free(&s->engine.crypto);
	e3_platform_close(&s->engine.platform);
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
	if (rpc_map_get(body, "roles") != NULL)
		rpc_put_value(&a->bytes, rpc_map_get(body, "roles"));
	take_text(body, "app", a->text, sizeof(a->text));
	take_text(body, "key", a->text, sizeof(a->text));
	take_text(body, "secret", a->secret, sizeof(a->secret));
	(void)rpc_get_u64(rpc_map_get(body, "version"), &a->number);
	(void)rpc_get_u64(rpc_map_get(body, "keys_epoch"), &a->number);
	(void)rpc_get_bool(rpc_map_get(body, "ready"), &a->ready);
	(void)rpc_get_bool(rpc_map_get(body, "draining"), &a->draining);
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
