/*
 * master/listen.h - every listening socket of an installation: one per
 * address, made once, inherited by whoever serves it, kept until the address
 * leaves the configuration.
 * Context:   start and reload; bind() only, nothing is accepted here.
 * Ownership: the list owns its sockets.
 *
 * Addresses are text: "IP:port", "[v6]:port", "unix:PATH" (a stream) and
 * "control:PATH" (SOCK_SEQPACKET, ipc/channel.h).
 */
#ifndef RELAY_MASTER_LISTEN_H
#define RELAY_MASTER_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf/conf_file.h"
#include "lib/base/list.h"
#include "lib/base/result.h"

struct listener {
	TAILQ_ENTRY(listener)	link;
	char			*address;	/* owned */
	int			fd;		/* owned */
	bool			fresh;		/* made by a reload that has not
						   succeeded yet */
};
TAILQ_HEAD(listener_list, listener);

struct listeners {
	struct listener_list	all;
};

/* One socket somebody wants. */
struct listen_want {
	char	*address;	/* owned by the list of wants */
	mode_t	mode;		/* of a Unix socket's file */
	gid_t	gid;
};

#define LISTEN_WANTS_MAX	(CONF_LIST_MAX + 8)

struct listen_wants {
	struct listen_want	v[LISTEN_WANTS_MAX];
	size_t			n;
};

/* How long an address may still be held by the children of a relayd that was
 * killed: they close their listeners as soon as they notice. */
#define LISTEN_TAKEOVER_MS	2000

void listen_init(struct listeners *);
void listen_fini(struct listeners *);	/* closes; Unix files are removed */

/* Add to the wants; the address is copied. */
void listen_want(struct listen_wants *, mode_t, gid_t, const char *fmt, ...)
    __attribute__((__format__(__printf__, 4, 5)));
void listen_wants_fini(struct listen_wants *);

/*
 * Make what is wanted and not there; new ones are fresh.  patience_ms > 0
 * blocks and tries again while an address is taken.  RC_OK; RC_EXISTS (taken)
 * or RC_IO with the address and the reason in fault: then nothing is left
 * over.
 */
enum rc listen_open(struct listeners *, const struct listen_wants *,
    unsigned patience_ms, struct conf_fault *) must_check;

/* The fresh ones stay; those nobody wants any more are closed. */
void listen_keep(struct listeners *, const struct listen_wants *);
/* The fresh ones go. */
void listen_undo(struct listeners *);

/* Adopt a socket that came through an upgrade. */
void listen_adopt(struct listeners *, const char *address, int fd);

/* This one is wanted no more; nothing happens when it is not there. */
void listen_close(struct listeners *, const char *address);

/* Its descriptor, or -1. */
int listen_fd(const struct listeners *, const char *address);

#endif
