/*
 * e3/inspect.h - the op Inspect: what a token holds, without what it holds.
 * Context:   the handler on the network thread, the work on a crypto thread.
 */
#ifndef RELAY_E3_INSPECT_H
#define RELAY_E3_INSPECT_H

#include "e3/dispatch.h"

e3_handler e3_inspect;

#endif
