/*
 * ctl/rewrap_call.c - Rewrap {app, curve, tokens} -> [[status, bytes]...].
 *
 * An engine at its limit is waited for: a rewrap is long, nobody stands at the
 * counter, and what serves requests goes first.  One that limits fields per
 * second may refuse a large call for ever, so calls get smaller.
 */
#include "ctl/rewrap_call.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/pause.h"
#include "lib/base/object.h"

#define TOKENS_MAX	4096u		/* a fraction of a second of work */
#define TOKENS_MIN	16u
#define CALL_BYTES_MAX	(1u << 20)
#define PAUSE_MS	500
#define PAUSES_MAX	240		/* two minutes without any progress */

struct result {
	enum rpc_open_status	status;
	size_t			end;	/* in text; where the next one begins */
};

struct rewrap_call {
	unsigned		magic;
#define REWRAP_CALL_MAGIC	0x3ae1c055
	struct engine_client	*engine;	/* borrowed */
	const char		*app;		/* borrowed */
	const char		*curve;		/* borrowed */
	size_t			tokens_max;	/* of the next call */
	struct buffer		text;		/* new tokens, end to end */
	struct result		*results;	/* owned */
	size_t			n;
	size_t			cap;
};

static void
add_result(struct rewrap_call *c, uint64_t status, struct span token)
{
	if (c->n == c->cap)
		return;			/* more than was asked: seen later */
	if (status == RPC_OPEN_OK)
		buffer_put(&c->text, token.p, token.len);
	c->results[c->n].status = (enum rpc_open_status)status;
	c->results[c->n++].end = buffer_len(&c->text);
}

/* A status that is foreign, or a token that is none, ends the run: n is short
 * then. */
static void
on_rewrapped(void *arg, const struct rpc_value *body)
{
	size_t n = rpc_array_len(body);
	struct rewrap_call *c = arg;
	struct span token;
	uint64_t status;

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		const struct rpc_value *row = rpc_array_at(body, i);

		if (!rpc_get_u64(rpc_array_at(row, 0), &status) ||
		    !rpc_get_bytes(rpc_array_at(row, 1), &token) ||
		    status > RPC_OPEN_DEBUG ||
		    (status == RPC_OPEN_OK) != (token.len != 0))
			return;
		add_result(c, status, token);
	}
}

static enum rc
put_call(struct rewrap_call *c, struct buffer *body, struct span tokens,
    const size_t *ends, size_t from, size_t n)
{
	size_t start = from == 0 ? 0 : ends[from - 1];
	enum rc rc = RC_OK;

	rpc_put_map(body, 3);
	rpc_put_str(body, "app");
	rpc_put_str(body, c->app);
	rpc_put_str(body, "curve");
	rpc_put_str(body, c->curve);
	rpc_put_str(body, "tokens");
	rpc_put_array(body, n);
	for (size_t i = from; rc == RC_OK && i < from + n; i++) {
		struct span token = { tokens.p + start, ends[i] - start };

		rc = rpc_decrypt_put_token(body, token,
		    (struct span){ NULL, 0 });
		start = ends[i];
	}
	return (rc);
}

/* How many from `from` on go into the next call: one at least. */
static size_t
choose(const struct rewrap_call *c, const size_t *ends, size_t from, size_t n)
{
	size_t start = from == 0 ? 0 : ends[from - 1], i = from;

	while (i < n && i - from < c->tokens_max &&
	    (i == from || ends[i] - start <= CALL_BYTES_MAX))
		i++;
	return (i - from);
}

/* One call.  *again: the engine has no time for it now. */
static enum ctl_exit
call(struct rewrap_call *c, struct span tokens, const size_t *ends,
    size_t from, size_t n, bool *again)
{
	enum rpc_status status = RPC_STATUS_OK;
	struct buffer body;
	enum rc rc;

	*again = false;
	buffer_init(&body, 0, false);
	if ((rc = put_call(c, &body, tokens, ends, from, n)) == RC_OK)
		rc = engine_client_call(c->engine, RPC_OP_REWRAP, &body,
		    on_rewrapped, c, &status);
	buffer_fini(&body);
	if (rc == RC_OK && (status == RPC_STATUS_OVERLOADED ||
	    status == RPC_STATUS_RATE_LIMITED)) {
		*again = true;
		return (CTL_DONE);
	}
	if (rc == RC_OK && status == RPC_STATUS_OK && c->n != from + n) {
		ctl_error("engine: Rewrap: the answer is not understood");
		return (CTL_FAILED);
	}
	return (engine_client_tell(RPC_OP_REWRAP, rc, status));
}

static void
forget(struct rewrap_call *c, size_t n)
{
	c->n = n;
	buffer_truncate(&c->text, n == 0 ? 0 : c->results[n - 1].end);
}

enum ctl_exit
rewrap_call_check(struct rewrap_call *c)
{
	struct span none = { NULL, 0 };
	enum ctl_exit status;
	bool again;

	obj_check(c, REWRAP_CALL_MAGIC);
	forget(c, 0);
	status = call(c, none, NULL, 0, 0, &again);
	/* One that has no time now is asked again with the first tokens. */
	return (status);
}

enum ctl_exit
rewrap_call_run(struct rewrap_call *c, struct span tokens, const size_t *ends,
    size_t n)
{
	enum ctl_exit status = CTL_DONE;
	unsigned pauses = 0;
	size_t from = 0;
	bool again;

	obj_check(c, REWRAP_CALL_MAGIC);
	if (n > c->cap) {
		free(c->results);
		c->results = xcalloc(n, sizeof(*c->results));
		c->cap = n;
	}
	forget(c, 0);
	while (status == CTL_DONE && from < n) {
		size_t some = choose(c, ends, from, n);

		status = call(c, tokens, ends, from, some, &again);
		if (!again) {
			from += some;
			pauses = 0;
			continue;
		}
		forget(c, from);
		if (++pauses > PAUSES_MAX) {
			ctl_error("engine: Rewrap: it has no time for this");
			status = CTL_FAILED;
		}
		if (c->tokens_max > TOKENS_MIN)
			c->tokens_max /= 2;
		pause_ms(PAUSE_MS);
	}
	return (status);
}

enum rpc_open_status
rewrap_call_result(const struct rewrap_call *c, size_t i, struct span *token)
{
	size_t start = i == 0 ? 0 : c->results[i - 1].end;

	obj_check(c, REWRAP_CALL_MAGIC);
	ensure(i < c->n);
	*token = (struct span){ "", 0 };
	if (c->results[i].status == RPC_OPEN_OK)
		*token = (struct span){ buffer_data(&c->text) + start,
		    c->results[i].end - start };
	return (c->results[i].status);
}

struct rewrap_call *
rewrap_call_new(struct engine_client *engine, const char *app,
    const char *curve)
{
	struct rewrap_call *c = xcalloc(1, sizeof(*c));

	c->magic = REWRAP_CALL_MAGIC;
	c->engine = engine;
	c->app = app;
	c->curve = curve;
	c->tokens_max = TOKENS_MAX;
	buffer_init(&c->text, 0, false);
	return (c);
}

void
rewrap_call_free(struct rewrap_call **cp)
{
	struct rewrap_call *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, REWRAP_CALL_MAGIC);
	buffer_fini(&c->text);
	free(c->results);
	c->magic = 0;
	free(c);
}
