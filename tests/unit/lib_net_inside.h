/*
 * tests/unit/lib_net_inside.h - what tests of TLS inside of a stream share: the
 * outer streams, and a client whose inner TLS is in the test's hand.
 * Context:   unit tests of lib/net; stage_setup first.
 */
#ifndef RELAY_TEST_LIB_NET_INSIDE_H
#define RELAY_TEST_LIB_NET_INSIDE_H

#include "lib/net/carrier_private.h"
#include "lib/net/stream_private.h"
#include "tests/unit/lib_net_stream_kind.h"

#define OUTERS	2u
extern const enum outer outers[OUTERS];
const char *outer_name(enum outer);

/* The stream of e changes into the TLS server inside of it. */
void accept_inside(struct end *e);
/* The outer one's SSL of an inner stream, or NULL. */
SSL *outer_ssl(struct net_stream *);

/* For pair_until. */
bool server_ready(struct pair *);
bool server_ended(struct pair *);	/* or broke */

/* What the server says before TLS begins inside. */
#define ANSWER	"HTTP/1.1 200 OK\r\n\r\n"

/* What a stream of ours would not do: its inner TLS is in memory, and its bytes
 * go into the outer stream as the test likes. */
struct hand {
	struct pair	p;	/* the outer one's; then its server is inside */
	SSL		*ssl;	/* inner */
	BIO		*in, *out;
};

void hand_open(struct hand *, enum outer, SSL_CTX *);
void hand_close(struct hand *);

/* The next n bytes of what TLS has to say. */
void hand_say(struct hand *, size_t n);
void hand_say_all(struct hand *, bool by_byte);

/* Makes its hello, of so many bytes; what follows is in `out`. */
size_t hand_hello(struct hand *);
/* The server's outer stream has `cut` bytes of the hello when it answers, and
 * changes at once. */
void hand_begin(struct hand *, size_t cut);
/* The answer comes although not a byte of the hello may be there. */
void hand_hear_answer(struct hand *);
void hand_shake(struct hand *, bool by_byte);
void hand_echo(struct hand *, bool by_byte);

#endif
