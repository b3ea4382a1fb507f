/* bench/e3load_ask.c - a link, a loop, and the turns until the answer. */
#include "bench/e3load_ask.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/rpc/link.h"
#include "lib/rpc/message.h"

#define DIGITS	"4111111111111111"

/* A piece of an answer; NULL: it carries nothing for us. */
typedef void piece_cb(void *arg, const struct rpc_value *body);

struct load_ask {
	struct loop	*loop;		/* owned */
	struct rpc_link	*link;		/* owned */
	unsigned	deadline_ms;
	bool		up, done;
	piece_cb	*cb;
	void		*arg;		/* borrowed: of the call that runs */
};

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct load_ask *a = arg;

	(void)peer;
	a->up = true;
}

static void
on_down(void *arg, const char *why)
{
	(void)arg;
	fatal(1, "no link to the engine: %s", why);
}

struct load_ask *
load_ask_open(const struct net_addr *addr, SSL_CTX *ctx, unsigned deadline_ms)
{
	static const struct rpc_link_ops ops = { .on_up = on_up,
	    .on_down = on_down };
	const struct rpc_link_config config = { .addr = *addr, .ctx = ctx };
	struct load_ask *a = xcalloc(1, sizeof(*a));

	a->deadline_ms = deadline_ms;
	a->loop = loop_new();
	a->link = rpc_link_open(a->loop, &config, &ops, a);
	while (!a->up)
		loop_turn(a->loop, true);
	return (a);
}

void
load_ask_close(struct load_ask **ap)
{
	struct load_ask *a = *ap;

	*ap = NULL;
	rpc_link_close(&a->link);
	loop_free(&a->loop);
	free(a);
}

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct load_ask *a = arg;

	if (rc != RC_OK || status != RPC_STATUS_OK)
		fatal(1, "the engine refused what the load needs: %s, %s",
		    rc_name(rc), rpc_status_name(status));
	a->cb(a->arg, body);
	a->done = !more;
}

static void
ask(struct load_ask *a, enum rpc_op op, struct buffer *body, piece_cb *cb,
    void *arg)
{
	uint64_t id;
	enum rc rc;

	a->done = false;
	a->cb = cb;
	a->arg = arg;
	rc = rpc_link_call(a->link, op, body, a->deadline_ms, on_reply, a,
	    &id);
	if (rc != RC_OK)
		fatal(1, "a call was not taken: %s", rc_name(rc));
	while (!a->done)
		loop_turn(a->loop, true);
	buffer_fini(body);
}

/* ---- bodies ---- */

static void
put_encrypt(const struct load_client *c, const struct load_scenario *s,
    struct buffer *out)
{
	const struct rpc_encrypt e = {
		.app = span_of(c->app),
		.curve = (enum rpc_curve)c->curve,
		.scope = (enum rpc_key_scope)s->scope,
		.existing = RPC_EXISTING_VERIFY,
		.n_fields = s->fields,
	};
	char *value = xcalloc(s->bytes, 1);
	const struct rpc_field f = { .type = RPC_FIELD_STRING,
	    .bytes = { value, s->bytes } };

	for (size_t i = 0; i < s->bytes; i++)
		value[i] = DIGITS[i % (sizeof(DIGITS) - 1)];
	rpc_encrypt_put(out, &e);
	for (size_t i = 0; i < s->fields; i++)
		ensure(rpc_encrypt_put_field(out, &f) == RC_OK);
	free(value);
}

struct tokens {
	struct buffer	*out;		/* borrowed: the body of a Decrypt */
	size_t		n;
};

static void
on_tokens(void *arg, const struct rpc_value *body)
{
	struct tokens *t = arg;
	struct rpc_sealed s;

	for (size_t i = 0, n = rpc_array_len(body); i < n; i++, t->n++)
		if (n == SIZE_MAX || rpc_sealed_at(body, i, &s) != RC_OK ||
		    s.status != RPC_SEALED || rpc_decrypt_put_token(t->out,
		    s.bytes, (struct span){ NULL, 0 }) != RC_OK)
			fatal(1, "a broken answer to Encrypt");
}

static void
put_decrypt(struct load_ask *a, const struct load_client *c,
    const struct load_scenario *s, struct buffer *out)
{
	const struct rpc_decrypt d = {
		.app = span_of(c->app),
		.place = RPC_PLACE_RELAY,
		.destination = SPAN_LIT("localhost"),
		.address = SPAN_LIT("127.0.0.1"),
		.n_tokens = s->fields,
	};
	struct tokens t = { .out = out };
	struct buffer encrypt;

	rpc_decrypt_put(out, &d);
	buffer_init(&encrypt, 0, false);
	put_encrypt(c, s, &encrypt);
	ask(a, RPC_OP_ENCRYPT, &encrypt, on_tokens, &t);
	if (t.n != s->fields)
		fatal(1, "%zu tokens of %zu came", t.n, (size_t)s->fields);
}

void
load_ask_body(struct load_ask *a, const struct load_client *c,
    const struct load_scenario *s, struct buffer *out)
{
	buffer_init(out, 0, false);
	if (s->op == LOAD_ENCRYPT)
		put_encrypt(c, s, out);
	else if (s->op == LOAD_DECRYPT)
		put_decrypt(a, c, s, out);
}

/* ---- counters ---- */

struct wanted {
	const char *const	*names;		/* borrowed */
	size_t			n;
	uint64_t		*values;	/* borrowed */
};

static void
on_statistics(void *arg, const struct rpc_value *body)
{
	struct wanted *w = arg;

	for (size_t i = 0; i < w->n; i++)
		if (!rpc_get_u64(rpc_map_get(body, w->names[i]),
		    &w->values[i]))
			w->values[i] = UINT64_MAX;
}

void
load_ask_statistics(struct load_ask *a, const char *const *names, size_t n,
    uint64_t *values)
{
	struct wanted w = { .names = names, .n = n, .values = values };
	struct buffer body;

	buffer_init(&body, 0, false);
	ask(a, RPC_OP_GET_STATISTICS, &body, on_statistics, &w);
}
