/*
 * e3/load.h - the engine's life: sealed records become active keys, and it
 * begins to serve.
 * Context:   handlers on the network thread; records are opened on crypto
 *            threads and published by the network thread (call->finish).
 *
 * A key becomes active here and nowhere else.
 */
#ifndef RELAY_E3_LOAD_H
#define RELAY_E3_LOAD_H

#include "e3/dispatch.h"

e3_handler e3_load_records, e3_checksum, e3_set_ready, e3_set_draining;
e3_handler e3_attest, e3_unlock;

#endif
