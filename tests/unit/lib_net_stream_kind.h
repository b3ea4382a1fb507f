/*
 * tests/unit/lib_net_stream_kind.h - the kinds of streams that tests of
 * lib/net/stream.c run over, their TLS contexts, and what they wait for.
 * Context:   unit tests of lib/net; stage_setup first.
 */
#ifndef RELAY_TEST_LIB_NET_STREAM_KIND_H
#define RELAY_TEST_LIB_NET_STREAM_KIND_H

#include "tests/unit/lib_net_pair.h"

#define TINY_SNDBUF	4096

/* One per program; made and freed by the group's setup and teardown. */
struct stream_stage {
	struct test_cert	*ca, *other_ca, *leaf, *expired;
	SSL_CTX			*server, *client;
	SSL_CTX			*stranger;	/* trusts other_ca only */
};
extern struct stream_stage stage;
int stage_setup(void **state);
int stage_teardown(void **state);

/* What the stream is inside of, if it is. */
enum outer { OUTER_NONE, OUTER_PLAIN, OUTER_TLS };

struct stream_kind {
	const char	*name;
	enum medium	medium;
	bool		tls;
	int		max_version;
	enum outer	outer;
};
#define STREAM_KINDS	9u
extern const struct stream_kind stream_kinds[STREAM_KINDS];

/* Connected, handshakes done.  sndbuf: 0 = the system's. */
void kind_open(struct pair *, const struct stream_kind *, int sndbuf);
/* The same up to the outer handshake, then for its inside. */
void kind_open_outer(struct pair *, enum outer, enum medium, int sndbuf);
void kind_go_inside(struct pair *);

/* For pair_until; *_eof are also true after an error. */
bool server_got_4(struct pair *);
bool client_got_4(struct pair *);
bool client_eof(struct pair *);
bool client_error(struct pair *);
bool server_error(struct pair *);
bool none_lingers(struct pair *);

#endif
