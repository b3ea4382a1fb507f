/*
 * ctl/client_setup.h - what a client of egress and the key API has to know:
 * where they are, which CA to trust, its key.  From options of the command,
 * else from relay.conf and the engine.
 * Context:   blocks for files and the engine.
 * Ownership: the caller embeds the struct; client_setup_fini.
 */
#ifndef RELAY_CTL_CLIENT_SETUP_H
#define RELAY_CTL_CLIENT_SETUP_H

#include "ctl/ctl.h"
#include "ctl/endpoint.h"

#define CLIENT_KEY_BYTES_MAX	4096
#define CLIENT_PEM_BYTES_MAX	(1u << 20)

struct client_setup {
	/* port 0: there is none */
	struct endpoint	egress, plain, strict, api, api_tls, ca;
	const char	*app;		/* borrowed: who the key's user is */
	struct buffer	key;		/* owned, sensitive; empty: none */
	struct buffer	anchors;	/* owned: PEM; see client_setup_anchors */
};

/*
 * Reads --egress, --api, --ca-url, --app, --key, --key-file, RELAY_APP_ID and
 * RELAY_API_KEY, and relay.conf for what they leave open.  With --egress alone
 * a relay.conf that cannot be read is no error.  A key on the command line is
 * warned of.
 */
enum ctl_exit client_setup_read(struct ctl *, struct client_setup *)
    must_check;

/* The certificates that clients must trust for egress, PEM: of --ca, else of
 * the engine. */
enum ctl_exit client_setup_anchors(struct ctl *, struct client_setup *)
    must_check;

void client_setup_fini(struct client_setup *);

#endif
