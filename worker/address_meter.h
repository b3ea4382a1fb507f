/*
 * worker/address_meter.h - events a minute by client address: failed
 * authentications, leaf certificates for strangers.
 * Context:   pure; one thread.
 *
 * An address may save up a minute of silence; then its events pass at the
 * minute's rate.  The table is bounded: an address that is new when it is full
 * takes the place of the one that was silent longest.  IPv6 counts by /64,
 * which is what one client has; what is no IP address counts as one client.
 */
#ifndef RELAY_WORKER_ADDRESS_METER_H
#define RELAY_WORKER_ADDRESS_METER_H

#include <stdbool.h>
#include <stdint.h>

struct address_meter;

/* Addresses remembered: a guesser needs as many networks to be forgotten. */
#define ADDRESS_METER_MAX	4096

/* per_minute 0: every event is one too many. */
struct address_meter *address_meter_new(unsigned per_minute);
void address_meter_free(struct address_meter **);

/* Count an event of this address (text, no port).  False: it is over its
 * limit, and the event was not counted. */
bool address_meter_take(struct address_meter *, const char *ip,
    uint64_t now_ms);
/* Would the next event be over the limit?  Counts nothing. */
bool address_meter_over(const struct address_meter *, const char *ip,
    uint64_t now_ms);

#endif
