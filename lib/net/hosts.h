/*
 * net/hosts.h - the system's hosts file.
 * Context:   main-time code; reads a file.
 */
#ifndef RELAY_NET_HOSTS_H
#define RELAY_NET_HOSTS_H

/* host: canonical.  ip: as the file has it, maybe no address at all.  Both are
 * valid during the call. */
typedef void net_hosts_cb(void *arg, const char *ip, const char *host);

/* Each name of each line, in order.  A file that cannot be read whole is not
 * used, with a warning in the log; none at all is fine. */
void net_hosts_read(net_hosts_cb *, void *arg);

#endif
