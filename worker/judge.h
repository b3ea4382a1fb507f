/*
 * worker/judge.h - what is to become of a request, from its head alone.
 * Context:   pure: what it has to look up comes by a callback, so that
 *            `relayctl explain` judges as the proxy does.
 *
 * Every check that can refuse comes before the first one that costs: framing,
 * host, target, relay, route, content type, length.
 */
#ifndef RELAY_WORKER_JUDGE_H
#define RELAY_WORKER_JUDGE_H

#include "conf/conf_file.h"
#include "conf/relay_json.h"
#include "lib/base/host.h"
#include "lib/http/content_coding.h"
#include "lib/http/framing.h"
#include "lib/http/uri.h"
#include "worker/error_answer.h"
#include "worker/rewrite.h"

struct judgement {
	struct http_framing	framing;
	struct http_target	target;
	char			host[HOST_BYTES]; /* canonical; "" when broken */
	uint16_t		port;
	struct relay		*relay;		/* owned reference */
	const struct relay_route *route;	/* view into relay; NULL: none */
	enum rewrite_syntax	syntax;		/* of a body that has work */
	enum http_coding	coding;		/* of it, to be undone first */
	bool			head_work;	/* header values have work */
	bool			expects;	/* Expect: 100-continue */
	struct span		upgrade;	/* view: protocol to switch to;
						   empty: none */
	bool			wants_trailers;	/* TE: trailers */
	enum error_code		code;		/* of the refusal */
	const char		*detail;	/* literal */
};

/* RC_OK, RC_NOTFOUND (no such relay), anything else: not ready. */
typedef enum rc judge_find_cb(void *arg, const char *host, struct relay **);

struct judge {
	const struct conf	*conf;
	const char		*server_name;	/* SNI, canonical; NULL: none */
	judge_find_cb		*find;
	void			*arg;
};

/* The code for a head that could not be read at all. */
enum error_code judge_head_fault(enum http_fault);

/* False: refused with code and detail.  judgement_fini in any case. */
bool judge_request(const struct judge *, const struct http_head *,
    struct judgement *) must_check;

/*
 * A request through the egress proxy, in two steps.  First what its head says
 * by itself: inside a tunnel its authority is that of the CONNECT.
 */
struct judge_egress {
	const char	*host;		/* of the CONNECT, canonical; NULL: no
					   tunnel, the target names it */
	uint16_t	port;
	bool		other_name;	/* the TLS server name was another */
};
bool judge_egress_head(const struct judge_egress *, const struct http_head *,
    struct judgement *) must_check;
/* Then, with j->relay set to that of the caller's app: which of its rules for
 * answers fits, what becomes of the body.  path: the normal form. */
bool judge_egress_rules(const struct http_head *, struct span path,
    struct judgement *) must_check;
void judgement_fini(struct judgement *);

/* Largest body that is read for its selectors, in bytes. */
uint64_t judge_body_limit(const struct conf *, const struct relay *);

#define JUDGE_VIA_BYTES	(HOST_BYTES + 6)	/* "relay-" */
/* What Via calls us when we answer for this host. */
void judge_via_name(const char *host, char out[JUDGE_VIA_BYTES]);

#endif
