/*
 * e3/pair_ops.h - ops on an app's key pairs, by id.
 * Context:   handlers on the network thread; see change.h for the rest.
 *
 *   (new) -> opens <-> seals        one of each curve seals
 *              |  ^
 *              v  |
 *            retired -> (gone)
 *
 * A rotation is two records: in the first the new pair opens, at every engine
 * that has the record; in the second it seals.  So no token is made that some
 * engine could not open yet.
 */
#ifndef RELAY_E3_PAIR_OPS_H
#define RELAY_E3_PAIR_OPS_H

#include "e3/dispatch.h"

e3_handler e3_list_pairs, e3_rotate_keys;
e3_handler e3_activate_key, e3_retire_key, e3_destroy_key;

#endif
