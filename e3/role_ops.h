/*
 * e3/role_ops.h - ops on an app's data roles; policy.h says what they mean.
 * Context:   handlers on the network thread; see change.h for the rest.
 */
#ifndef RELAY_E3_ROLE_OPS_H
#define RELAY_E3_ROLE_OPS_H

#include "e3/dispatch.h"

e3_handler e3_list_roles, e3_set_roles;

#endif
