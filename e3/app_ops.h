/*
 * e3/app_ops.h - ops on apps and their API keys: make, change, list.
 * Context:   handlers on the network thread; see change.h for the rest.
 */
#ifndef RELAY_E3_APP_OPS_H
#define RELAY_E3_APP_OPS_H

#include "e3/dispatch.h"

e3_handler e3_list_apps, e3_list_keys;
e3_handler e3_create_app, e3_create_key, e3_revoke_key, e3_reseal;

#endif
