/*
 * bench/e3load.c - how many fields a second an engine seals: a caller that
 * keeps a few Encrypt calls in flight on one link.
 *
 *   e3load ADDRESS CERT KEY CA APP r1|k1 FIELDS IN_FLIGHT SECONDS
 *
 * Prints one line of JSON; exit 1 when a call was refused or a field was not
 * sealed.  Built by bench/run on the library that workers use.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/object.h"
#include "lib/net/tls.h"
#include "lib/rpc/link.h"
#include "lib/rpc/message.h"

#define VALUE		"4111111111111111"	/* 16 bytes: a card number */
#define TIMEOUT_MS	10000
#define PEM_BYTES_MAX	65536

struct load {
	struct loop	*loop;		/* owned */
	struct rpc_link	*link;		/* owned */
	SSL_CTX		*ctx;		/* owned */
	struct buffer	body;		/* owned: one call's, copied for each */
	size_t		fields;		/* of one call */
	bool		up;
	bool		stopping;	/* send no more, wait for the rest */
	unsigned	in_flight;
	uint64_t	calls, sealed, bytes;
};

static struct span
file(const char *path, struct buffer *b)
{
	buffer_init(b, PEM_BYTES_MAX, true);
	if (file_read(path, b) != RC_OK)
		fatal(2, "%s cannot be read", path);
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static SSL_CTX *
link_ctx(const char *cert, const char *key, const char *ca)
{
	struct buffer b[3];
	struct net_tls_link_files files = { .chain = file(cert, &b[0]),
	    .key = file(key, &b[1]), .ca = file(ca, &b[2]) };
	char why[128];
	SSL_CTX *ctx = net_tls_link_ctx(false, &files, why, sizeof(why));

	if (ctx == NULL)
		fatal(2, "%s: %s", cert, why);
	for (int i = 0; i < 3; i++)
		buffer_fini(&b[i]);
	return (ctx);
}

/* ---- calls ---- */

static void send_one(struct load *);

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct load *l = arg;
	struct rpc_sealed s;

	if (rc != RC_OK || status != RPC_STATUS_OK)
		fatal(1, "a call ended with %s, %s", rc_name(rc),
		    rpc_status_name(status));
	for (size_t i = 0; i < rpc_array_len(body); i++) {
		if (rpc_sealed_at(body, i, &s) != RC_OK ||
		    s.status != RPC_SEALED)
			fatal(1, "a field was not sealed");
		l->sealed++;
		l->bytes += s.bytes.len;
	}
	if (more)
		return;
	l->calls++;
	l->in_flight--;
	if (l->sealed != l->calls * l->fields && l->in_flight == 0)
		fatal(1, "an answer has too few fields");
	if (!l->stopping)
		send_one(l);
}

static void
send_one(struct load *l)
{
	struct buffer body;
	uint64_t id;

	buffer_init(&body, 0, false);
	buffer_put(&body, buffer_data(&l->body), buffer_len(&l->body));
	if (rpc_link_call(l->link, RPC_OP_ENCRYPT, &body, TIMEOUT_MS,
	    on_reply, l, &id) != RC_OK)
		fatal(1, "a call could not be queued");
	l->in_flight++;
}

static void
make_body(struct load *l, const char *app, const char *curve)
{
	const struct rpc_encrypt e = {
		.app = span_of(app),
		.curve = strcmp(curve, "k1") == 0 ? RPC_CURVE_K1 : RPC_CURVE_R1,
		.scope = RPC_SCOPE_REQUEST,
		.existing = RPC_EXISTING_VERIFY,
		.n_fields = l->fields,
	};
	const struct rpc_field f = { .type = RPC_FIELD_STRING,
	    .bytes = SPAN_LIT(VALUE) };

	buffer_init(&l->body, 0, false);
	rpc_encrypt_put(&l->body, &e);
	for (size_t i = 0; i < l->fields; i++)
		if (rpc_encrypt_put_field(&l->body, &f) != RC_OK)
			fatal(2, "too many fields");
}

/* ---- the link ---- */

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct load *l = arg;

	(void)peer;
	l->up = true;
}

static void
on_down(void *arg, const char *why)
{
	(void)arg;
	fatal(1, "the link is lost: %s", why);
}

static void
link_up(struct load *l, const char *address)
{
	static const struct rpc_link_ops ops = { .on_up = on_up,
	    .on_down = on_down };
	struct rpc_link_config config = { .ctx = l->ctx,
	    .stall_ms = RPC_LINK_STALL_MS, .connect_ms = RPC_LINK_CONNECT_MS,
	    .max_calls = RPC_CALLS_MAX };

	if (net_addr_parse(address, &config.addr) != RC_OK)
		fatal(2, "%s is no address", address);
	l->link = rpc_link_open(l->loop, &config, &ops, l);
	while (!l->up)
		loop_turn(l->loop, true);
}

static void
run(struct load *l, unsigned in_flight, unsigned seconds)
{
	uint64_t start_ms = clock_mono_ms(), took_ms;

	for (unsigned i = 0; i < in_flight; i++)
		send_one(l);
	while (l->in_flight != 0) {
		loop_turn(l->loop, true);
		if (clock_mono_ms() - start_ms >= seconds * 1000)
			l->stopping = true;
	}
	took_ms = clock_mono_ms() - start_ms;
	(void)printf("{\"calls\":%llu,\"fields\":%llu,\"token_bytes\":%llu,"
	    "\"seconds\":%.3f,\"fields_per_s\":%.0f}\n",
	    (unsigned long long)l->calls, (unsigned long long)l->sealed,
	    (unsigned long long)l->bytes, (double)took_ms / 1000,
	    (double)l->sealed * 1000 / (double)took_ms);
}

int
main(int argc, char **argv)
{
	struct load l = { .up = false };

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("e3load", LOG_WARN);
	if (argc != 10) {
		(void)fprintf(stderr, "usage: e3load ADDRESS CERT KEY CA APP "
		    "r1|k1 FIELDS IN_FLIGHT SECONDS\n");
		return (2);
	}
	l.fields = strtoul(argv[7], NULL, 10);
	l.loop = loop_new();
	l.ctx = link_ctx(argv[2], argv[3], argv[4]);
	make_body(&l, argv[5], argv[6]);
	link_up(&l, argv[1]);
	run(&l, (unsigned)strtoul(argv[8], NULL, 10),
	    (unsigned)strtoul(argv[9], NULL, 10));
	rpc_link_close(&l.link);
	SSL_CTX_free(l.ctx);
	buffer_fini(&l.body);
	loop_free(&l.loop);
	return (0);
}
