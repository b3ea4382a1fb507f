/*
 * e3/app_ops.h - the admin's ops on apps: make them, change them, list them.
 * Context:   handlers on the network thread; sealing on crypto threads.
 *
 * Nothing here makes a key active: Create and Revoke only return the next
 * sealed record.  The helper writes it to disk and loads it;
 * so a key that was printed is a key that was written.
 */
#ifndef RELAY_E3_APP_OPS_H
#define RELAY_E3_APP_OPS_H

#include "e3/dispatch.h"

e3_handler e3_list_apps, e3_list_keys;
e3_handler e3_create_app, e3_create_key, e3_revoke_key;

#endif
