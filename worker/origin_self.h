/*
 * worker/origin_self.h - is an address one that this relay listens on?  A
 * request sent there would come back until no descriptor is left.
 * Context:   the loop's thread; never blocks.
 * Ownership: origin_self_new makes it, origin_self_free takes it back.
 */
#ifndef RELAY_WORKER_ORIGIN_SELF_H
#define RELAY_WORKER_ORIGIN_SELF_H

#include <stdbool.h>

#include "conf/conf_file.h"
#include "lib/net/addr.h"

struct origin_self;

/* Of the conf's listeners; it is not needed afterwards. */
struct origin_self *origin_self_new(const struct conf *);
void origin_self_free(struct origin_self **);

/* True also for an address of this machine when the listener takes any, and
 * for the other ways to write such an address (::ffff:127.0.0.1, 0.0.0.0). */
bool origin_self_is(const struct origin_self *, const struct net_addr *);

#endif
