/*
 * worker/tunnel.h - bytes both ways with back-pressure, once client and origin
 * agreed on another protocol (RFC 9110 7.8: WebSocket).
 * Context:   the loop's thread.
 * Ownership: the conn owns its tunnel; the tunnel owns the origin's connection.
 *
 * An end of input is passed on as one; when both have come the tunnel ends.  A
 * side that breaks is one too, but no goodbye follows what it said last.  A
 * side that takes nothing stops the other; silence on both is ended by conf's
 * tunnel_idle_ms, and all of it when the client's API key ends.
 */
#ifndef RELAY_WORKER_TUNNEL_H
#define RELAY_WORKER_TUNNEL_H

struct conn;
struct key_name;
struct origin_conn;
struct tunnel;

/* Takes the origin's connection; what both sides sent already goes on.  It ends
 * with this key (copied), if that names one. */
struct tunnel *tunnel_new(struct conn *, struct origin_conn **,
    const struct key_name *);
void tunnel_free(struct tunnel **);

/* Events of the conn.  Each may close it. */
void tunnel_start(struct tunnel *);
void tunnel_on_client_input(struct tunnel *);
void tunnel_on_client_drained(struct tunnel *);
void tunnel_on_client_eof(struct tunnel *);
void tunnel_on_client_error(struct tunnel *);

#endif
