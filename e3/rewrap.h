/*
 * e3/rewrap.h - the op Rewrap: tokens of any key and form that still opens to
 * tokens of the key that seals, in order.
 * Context:   the handler on the network thread, the work on crypto threads.
 */
#ifndef RELAY_E3_REWRAP_H
#define RELAY_E3_REWRAP_H

#include "e3/dispatch.h"

e3_handler e3_rewrap;

#endif
