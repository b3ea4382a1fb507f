/* ctl/relay_fault.h - a fault of a relay JSON as one line on stderr. */
#ifndef RELAY_CTL_RELAY_FAULT_H
#define RELAY_CTL_RELAY_FAULT_H

#include "conf/relay_json.h"

/* "NAME: path: reason" */
void ctl_relay_fault(const char *name, const struct relay_fault *);

#endif
