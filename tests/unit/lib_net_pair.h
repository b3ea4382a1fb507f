/*
 * tests/unit/lib_net_pair.h - two streams of lib/net that talk to each other,
 * and what each of them saw.
 * Context:   unit tests of lib/net.
 */
#ifndef RELAY_TEST_LIB_NET_PAIR_H
#define RELAY_TEST_LIB_NET_PAIR_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "lib/base/loop.h"
#include "lib/net/stream.h"
#include "tests/unit/test_certs.h"

enum close_in {
	CLOSE_NOWHERE,
	CLOSE_IN_READY,
	CLOSE_IN_INPUT,
	CLOSE_IN_DRAINED,
	CLOSE_IN_EOF,
	CLOSE_IN_ERROR
};

/* One end as its owner sees it. */
struct end {
	struct net_stream	*s;
	struct buffer		got;	/* all input, if `take` */
	bool			take;	/* consume in on_input */
	unsigned		ready, inputs, drained, eof, errors;
	enum net_reason		reason;
	char			why[160];
	size_t			max_input;	/* most bytes seen waiting */
	enum close_in		close_in;
	struct end		*also_close;	/* in the same callback */
	/* Sends `left` bytes of a pattern in odd pieces as output drains. */
	size_t			left, at;
};

extern const struct net_stream_ops end_ops;

enum medium { MEDIUM_TCP, MEDIUM_UNIX };

struct pair {
	struct loop	*loop;
	struct end	client, server;
	int		listener;	/* -1 once accepted */
};

/* A socket that listens on loopback or at a path, and its address. */
int listen_on(enum medium, struct net_addr *);

/* Connected streams; handshakes are done if both contexts are given and
 * `wait`.  send_buffer_bytes: 0 = the system's. */
void pair_open(struct pair *, enum medium, SSL_CTX *server, SSL_CTX *client,
    const char *name, int send_buffer_bytes, bool wait);
/* The same on a loop that others use too, and the caller frees: end_fini for
 * both ends instead of pair_close. */
void pair_open_on(struct pair *, struct loop *, enum medium, SSL_CTX *server,
    SSL_CTX *client, const char *name, int send_buffer_bytes, bool wait);
void pair_close(struct pair *);

/* Turn the loop until cond is true; fails the test after many turns. */
typedef bool pair_cond(struct pair *);
void pair_until(struct pair *, pair_cond *);
/* Turn it as long as something is ready, without waiting. */
void pair_settle(struct pair *);

void end_init(struct end *);
void end_fini(struct end *);
void end_send(struct end *, const char *);
/* Start sending n bytes of the pattern. */
void end_send_pattern(struct end *, size_t n);
char pattern_at(size_t i);
/* What was got is exactly n bytes of the pattern. */
bool end_got_pattern(const struct end *, size_t n);
bool end_got(const struct end *, const char *);

#endif
