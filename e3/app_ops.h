/*
 * e3/app_ops.h - the ops on apps as a whole: load their records, list them,
 * make and change them.
 * Context:   the network thread; sealing and opening happen on crypto threads.
 *
 * Nothing here makes a key active but LoadRecords: Create and Revoke only
 * return the next sealed record.  The helper writes it to disk and loads it;
 * so a key that was printed is a key that was written.
 */
#ifndef RELAY_E3_APP_OPS_H
#define RELAY_E3_APP_OPS_H

#include "e3/dispatch.h"

e3_handler e3_load_records, e3_checksum, e3_set_ready;
e3_handler e3_list_apps, e3_list_keys;
e3_handler e3_create_app, e3_create_key, e3_revoke_key;

#endif
