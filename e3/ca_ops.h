/*
 * e3/ca_ops.h - the egress CAs: listed, made, given their certificates.
 * Context:   handlers on the network thread; see change.h for the changes.
 */
#ifndef RELAY_E3_CA_OPS_H
#define RELAY_E3_CA_OPS_H

#include "e3/dispatch.h"

e3_handler e3_get_ca, e3_create_ca, e3_install_ca;

#endif
