/*
 * net/stream_private.h - the inside of a stream, shared by stream.c (what its
 * owner calls) and stream_run.c (what the socket and the loop call).
 * Context:   these two files only.
 */
#ifndef RELAY_NET_STREAM_PRIVATE_H
#define RELAY_NET_STREAM_PRIVATE_H

#include <event2/event_struct.h>

#include "lib/base/timer.h"
#include "lib/net/stream.h"
#include "lib/net/transport_private.h"
#include "lib/net/turn_private.h"

#define NET_READ_BYTES	16384	/* one TLS record */
#define NET_INPUT_HIGH	65536	/* default: four records */

enum net_stream_state {
	NET_STREAM_STILLBORN,	/* could not even start: idle tells why */
	NET_STREAM_CONNECTING,
	NET_STREAM_PROXY_HEADER, /* of an accepted stream, before TLS */
	NET_STREAM_HANDSHAKE,
	NET_STREAM_OPEN,
	NET_STREAM_LINGER,	/* finished by its owner: we own ourselves */
	NET_STREAM_BROKEN,	/* on_error was told; only close is left */
	NET_STREAM_CLOSED	/* freed when the frames above have left */
};

enum net_output {
	NET_OUTPUT_OPEN,
	NET_OUTPUT_ENDING,	/* close_notify and FIN follow the queue */
	NET_OUTPUT_ENDED,
	NET_OUTPUT_BROKEN	/* the peer is gone; what it sent before is
				   still read, then on_error comes */
};

/* Of a stream whose peer speaks for others. */
struct net_proxied {
	struct net_addr	proxy;		/* the peer itself */
	struct buffer	header;		/* as far as it came; then empty */
	bool		unnamed;	/* it speaks for a client, and does not
					   say for whom */
};

struct net_stream {
	unsigned		magic;
#define NET_STREAM_MAGIC	0x3ac8e517
	enum net_stream_state	state;
	enum net_output		output;
	enum net_step		read_wait;	/* handshake or read: WANT_* */
	enum net_step		write_wait;	/* WANT_*, or DONE: try */
	bool			eof;
	bool			paused;
	bool			inside;		/* read, or shake hands, again
						   without an event */
	unsigned		busy;		/* our frames on the stack */
	size_t			retry_len;	/* length SSL_write must see again */
	size_t			input_high;
	size_t			read_hint;	/* room to offer: little for
						   requests, all for bulk */
	struct buffer		in;		/* sensitive */
	struct buffer		out;		/* sensitive */
	uint64_t		sent;
	uint64_t		received;
	uint64_t		linger_ms;
	uint64_t		linger_end_ms;	/* on the monotonic clock */
	struct net_transport	io;
	struct loop		*loop;		/* borrowed: outlives us */
	struct net_turn		*turn;		/* counted */
	struct net_turn_item	item;
	struct event		ev_read;
	struct event		ev_write;
	struct timer		linger;		/* made by finish */
	struct net_fault	*fault;		/* owned; what on_error will
						   tell, or NULL */
	const struct net_stream_ops *ops;	/* borrowed: a constant of the owner */
	void			*arg;		/* borrowed: the owner */
	struct net_addr		peer;		/* the client a proxy named */
	struct net_proxied	*proxied;	/* owned; NULL for most */
};

void net_stream_set_state(struct net_stream *, enum net_stream_state);

/*
 * Around all work on a stream.  net_stream_leave sets event interest from the
 * state, gives empty memory back, and frees what was closed meanwhile.
 */
void net_stream_enter(struct net_stream *);
void net_stream_leave(struct net_stream *);

/* A look before the loop waits. */
void net_stream_ask(struct net_stream *);
/* For net_turn_init. */
void net_stream_look(void *);
void net_stream_cool(void *);

/* The socket, if there is one, gets its events; the life begins. */
void net_stream_start(struct net_stream *, enum net_stream_state first);

/* Write what the socket takes; may call back. */
void net_stream_write_out(struct net_stream *);

/* (Re)start the timer of a stream that nobody owns any more. */
void net_stream_linger_again(struct net_stream *);
void net_stream_on_linger_end(void *);

/* Everything ends now but the memory, which frames above may still read: to
 * be called between enter and leave. */
void net_stream_abort(struct net_stream *);

void net_stream_keep_fault(struct net_stream *, const struct net_fault *);

/* Streams in NET_STREAM_LINGER, of all threads. */
unsigned net_stream_count_lingering(void);

#endif
