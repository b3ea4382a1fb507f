/*
 * ctl/engine_client.c - lib/rpc/link.h on a loop of its own: every call runs
 * the loop until its last callback.  Deadlines are the link's.
 */
#include "ctl/engine_client.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/pem.h>

#include "lib/base/fd.h"
#include "lib/base/loop.h"
#include "lib/base/object.h"
#include "lib/net/tls.h"
#include "lib/rpc/link.h"
#include "lib/rpc/sign.h"

#define CALL_TIMEOUT_MS	15000
#define PEM_BYTES_MAX	65536

struct engine_client {
	unsigned	magic;
#define ENGINE_CLIENT_MAGIC	0x63f7a05d
	struct loop	*loop;		/* owned */
	struct rpc_link	*link;		/* owned */
	SSL_CTX		*ctx;		/* owned */
	EVP_PKEY	*key;		/* owned: signs */
	bool		waiting;	/* for on_up or on_down */
	const char	*tried;		/* view: of the configuration */
	char		why[128];
};

struct call {
	engine_reply_cb		*cb;
	void			*arg;
	bool			done;
	enum rc			rc;
	enum rpc_status		status;
};

/* ---- who we are ------------------------------------------------------------- */

struct identity {
	struct buffer	chain;
	struct buffer	key;
	struct buffer	ca;
	struct buffer	revoked;
};

static struct span
span_in(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static enum rc
read_one(const char *dir, const char *name, bool sensitive, struct buffer *b)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	struct stat st;
	char why[96];

	buffer_init(b, PEM_BYTES_MAX, sensitive);
	if (n < 0 || (size_t)n >= sizeof(path))
		return (RC_LIMIT);
	/* The admin group reads it too: relayctl init gives it to them. */
	if (sensitive && stat(path, &st) == 0 &&
	    file_private(&st, 0640, why, sizeof(why)) != RC_OK) {
		ctl_error("%s: %s", path, why);
		return (RC_DENIED);
	}
	return (file_read(path, b));
}

static enum ctl_exit
read_identity(const char *dir, struct identity *id)
{
	enum rc rc, revoked;

	memset(id, 0, sizeof(*id));
	if ((rc = read_one(dir, "admin.pem", false, &id->chain)) != RC_OK ||
	    (rc = read_one(dir, "admin.key", true, &id->key)) != RC_OK ||
	    (rc = read_one(dir, "ca.pem", false, &id->ca)) != RC_OK) {
		if (rc == RC_DENIED)
			return (CTL_FAILED);	/* it said why */
		ctl_error("cannot read admin.pem, admin.key and ca.pem below "
		    "%s: %s", dir, strerror(errno));
		return (CTL_FAILED);
	}
	revoked = read_one(dir, "revoked", false, &id->revoked);
	if (revoked == RC_OK || revoked == RC_NOTFOUND)
		return (CTL_DONE);
	ctl_error("%s/revoked cannot be read", dir);
	return (CTL_FAILED);
}

static void
identity_fini(struct identity *id)
{
	buffer_fini(&id->chain);
	buffer_fini(&id->key);
	buffer_fini(&id->ca);
	buffer_fini(&id->revoked);
}

static EVP_PKEY *
parse_key(const struct buffer *pem)
{
	BIO *bio = BIO_new_mem_buf(buffer_data(pem), (int)buffer_len(pem));
	EVP_PKEY *key = NULL;

	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return (key);
}

static enum ctl_exit
use_identity(struct engine_client *c, const char *dir)
{
	struct net_tls_link_files files;
	struct identity id;
	enum ctl_exit status;

	if ((status = read_identity(dir, &id)) != CTL_DONE)
		goto out;
	files = (struct net_tls_link_files){
		.chain = span_in(&id.chain),
		.key = span_in(&id.key),
		.ca = span_in(&id.ca),
		.revoked = span_in(&id.revoked),
	};
	c->ctx = net_tls_link_ctx(false, &files, c->why, sizeof(c->why));
	c->key = parse_key(&id.key);
	if (c->ctx == NULL || c->key == NULL) {
		ctl_error("%s: admin certificate: %s", dir,
		    c->ctx == NULL ? c->why : "the key cannot be read");
		status = CTL_FAILED;
	}
out:
	identity_fini(&id);
	return (status);
}

/* ---- connecting ---------------------------------------------------------------- */

static void
on_up(void *arg, const struct net_link_peer *peer)
{
	struct engine_client *c = arg;

	(void)peer;
	c->waiting = false;
}

static void
on_down(void *arg, const char *why)
{
	struct engine_client *c = arg;

	(void)snprintf(c->why, sizeof(c->why), "%s", why);
	c->waiting = false;
}

static const struct rpc_link_ops link_ops = {
	.on_up = on_up,
	.on_down = on_down,
};

/* "host:port" with a name: a tool may wait for the resolver. */
static enum rc
resolve(const char *text, struct net_addr *out)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char host[NI_MAXHOST];
	const char *colon = strrchr(text, ':');
	enum rc rc = RC_SYNTAX;

	if (net_addr_parse(text, out) == RC_OK)
		return (RC_OK);
	if (colon == NULL || !span_copy((struct span){ text,
	    (size_t)(colon - text) }, host, sizeof(host)) ||
	    getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return (RC_SYNTAX);
	if (found->ai_addrlen <= sizeof(out->ss)) {
		memset(out, 0, sizeof(*out));
		memcpy(&out->ss, found->ai_addr, found->ai_addrlen);
		out->len = found->ai_addrlen;
		rc = RC_OK;
	}
	freeaddrinfo(found);
	return (rc);
}

static enum rc
connect_to(struct engine_client *c, const char *text)
{
	struct rpc_link_config config = {
		.ctx = c->ctx,
		.stall_ms = RPC_LINK_STALL_MS,
		.connect_ms = RPC_LINK_CONNECT_MS,
		.max_calls = RPC_CALLS_MAX,
	};

	if (resolve(text, &config.addr) != RC_OK) {
		(void)snprintf(c->why, sizeof(c->why), "no such address");
		return (RC_NOTFOUND);
	}
	c->waiting = true;
	c->link = rpc_link_open(c->loop, &config, &link_ops, c);
	while (c->waiting)
		loop_turn(c->loop, true);
	if (rpc_link_is_up(c->link))
		return (RC_OK);
	rpc_link_close(&c->link);
	return (RC_UNAVAILABLE);
}

/* Try each address in turn; c->why says why the last one failed. */
static enum rc
connect_any(struct engine_client *c, char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		c->tried = v[i];
		if (connect_to(c, v[i]) == RC_OK)
			return (RC_OK);
	}
	return (RC_UNAVAILABLE);
}

/* The engines of relay.conf unless it must be ours; then the one of e3.conf,
 * which on a machine with an engine of its own is often the same. */
static enum ctl_exit
connect_where(struct ctl *ctl, struct engine_client *c,
    enum engine_which which)
{
	const struct conf *conf = ctl->conf;
	bool local = conf->engine_conf != NULL && conf->engine_conf[0] != '\0';
	enum ctl_exit status;

	if (which == ENGINE_ANY &&
	    connect_any(c, conf->engines, conf->n_engines) == RC_OK)
		return (CTL_DONE);
	if (which == ENGINE_LOCAL || local) {
		if ((status = ctl_conf_e3(ctl)) != CTL_DONE)
			return (status);
		if (connect_any(c, ctl->conf_e3->listens,
		    ctl->conf_e3->n_listens) == RC_OK)
			return (CTL_DONE);
	}
	if (c->tried == NULL)
		ctl_error("%s: option 'engine' names no engine",
		    ctl->conf_path);
	else
		ctl_error("engine %s: %s", c->tried, c->why);
	return (CTL_FAILED);
}

enum ctl_exit
engine_client_open(struct ctl *ctl, enum engine_which which,
    struct engine_client **out)
{
	struct engine_client *c;
	enum ctl_exit status;

	*out = NULL;
	if ((status = ctl_conf(ctl)) != CTL_DONE)
		return (status);
	c = xcalloc(1, sizeof(*c));
	c->magic = ENGINE_CLIENT_MAGIC;
	c->loop = loop_new();
	if ((status = use_identity(c, ctl->conf->link_dir)) == CTL_DONE)
		status = connect_where(ctl, c, which);
	if (status == CTL_DONE)
		*out = c;
	else
		engine_client_close(&c);
	return (status);
}

void
engine_client_close(struct engine_client **cp)
{
	struct engine_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, ENGINE_CLIENT_MAGIC);
	rpc_link_close(&c->link);
	SSL_CTX_free(c->ctx);
	EVP_PKEY_free(c->key);
	loop_free(&c->loop);
	c->magic = 0;
	free(c);
}

/* ---- calling ----------------------------------------------------------------------- */

static void
on_reply(void *arg, enum rc rc, enum rpc_status status,
    const struct rpc_value *body, bool more)
{
	struct call *call = arg;

	call->rc = rc;
	call->status = status;
	call->done = rc != RC_OK || !more;
	if (rc == RC_OK && status == RPC_STATUS_OK && call->cb != NULL)
		call->cb(call->arg, body);
}

static enum rc
run(struct engine_client *c, struct call *call)
{
	while (!call->done)
		loop_turn(c->loop, true);
	return (call->rc);
}

struct challenge {
	uint8_t	bytes[RPC_CHALLENGE_BYTES];
	bool	came;
};

static void
on_challenge(void *arg, const struct rpc_value *body)
{
	struct challenge *ch = arg;
	struct span bytes;

	if (!rpc_get_bytes(rpc_map_get(body, "challenge"), &bytes) ||
	    bytes.len != sizeof(ch->bytes))
		return;
	memcpy(ch->bytes, bytes.p, bytes.len);
	ch->came = true;
}

/* The signature over challenge, id, op and body of the call that is next. */
static enum rc
sign_next(struct engine_client *c, enum rpc_op op, const struct buffer *body,
    struct buffer *signature, enum rpc_status *status)
{
	struct challenge ch = { .came = false };
	struct buffer ask, part;
	enum rc rc;

	buffer_init(&ask, 0, false);
	buffer_init(&part, 0, false);
	rpc_put_map(&ask, 0);
	rc = engine_client_call(c, RPC_OP_CHALLENGE, &ask, on_challenge, &ch,
	    status);
	if (rc != RC_OK || *status != RPC_STATUS_OK)
		goto out;
	if (!ch.came) {
		rc = RC_SYNTAX;
		goto out;
	}
	rpc_signed_part(&part, rpc_link_next_id(c->link), op, span_in(body));
	rc = rpc_sign(c->key, (struct span){ (const char *)ch.bytes,
	    sizeof(ch.bytes) }, span_in(&part), signature);
out:
	buffer_fini(&ask);
	buffer_fini(&part);
	return (rc);
}

enum rc
engine_client_call(struct engine_client *c, enum rpc_op op,
    struct buffer *body, engine_reply_cb *cb, void *arg,
    enum rpc_status *status)
{
	struct call call = { .cb = cb, .arg = arg };
	struct buffer signature;
	uint64_t id;
	enum rc rc;

	obj_check(c, ENGINE_CLIENT_MAGIC);
	*status = RPC_STATUS_OK;
	buffer_init(&signature, 0, false);
	if (rpc_op_info(op)->signed_call) {
		rc = sign_next(c, op, body, &signature, status);
		if (rc != RC_OK || *status != RPC_STATUS_OK)
			goto out;
		rc = rpc_link_call_signed(c->link, op, body,
		    span_in(&signature), CALL_TIMEOUT_MS, on_reply, &call, &id);
	} else
		rc = rpc_link_call(c->link, op, body, CALL_TIMEOUT_MS,
		    on_reply, &call, &id);
	if (rc == RC_OK)
		rc = run(c, &call);
	*status = call.status;
out:
	buffer_fini(&signature);
	return (rc);
}

enum ctl_exit
engine_client_tell(enum rpc_op op, enum rc rc, enum rpc_status status)
{
	const char *name = rpc_op_info(op)->name;

	if (rc == RC_OK && status == RPC_STATUS_OK)
		return (CTL_DONE);
	if (rc != RC_OK) {
		ctl_error("engine: %s: %s", name, rc_name(rc));
		return (CTL_FAILED);
	}
	ctl_error("engine: %s: %s", name, rpc_status_name(status));
	switch (status) {
	case RPC_STATUS_BAD_REQUEST:
	case RPC_STATUS_LIMIT:
	case RPC_STATUS_NO_SUCH_APP:
	case RPC_STATUS_NO_SUCH_KEY:
	case RPC_STATUS_UNAUTHORIZED:
		return (CTL_USAGE);
	case RPC_STATUS_OK:
	case RPC_STATUS_UNKNOWN_OP:
	case RPC_STATUS_NOT_ALLOWED:
	case RPC_STATUS_NOT_READY:
	case RPC_STATUS_OVERLOADED:
	case RPC_STATUS_CONFLICT:
	case RPC_STATUS_CANCELLED:
	case RPC_STATUS_RATE_LIMITED:
	case RPC_STATUS_INTERNAL:
	case RPC_STATUSES:
		break;
	}
	return (CTL_FAILED);
}

enum ctl_exit
engine_client_must(struct engine_client *c, enum rpc_op op,
    struct buffer *body, engine_reply_cb *cb, void *arg)
{
	enum rpc_status status;
	enum rc rc;

	rc = engine_client_call(c, op, body, cb, arg, &status);
	return (engine_client_tell(op, rc, status));
}
