/*
 * master/notify.h - sd_notify(3) without libsystemd: one datagram.
 * Context:   any time; does nothing without NOTIFY_SOCKET.
 */
#ifndef RELAY_MASTER_NOTIFY_H
#define RELAY_MASTER_NOTIFY_H

/* state: lines as of sd_notify(3), e.g. "READY=1\nSTATUS=serving". */
void notify_send(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));

#endif
