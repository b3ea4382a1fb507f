/* ctl/open_status.h - names of what became of a token.  Context: pure. */
#ifndef RELAY_CTL_OPEN_STATUS_H
#define RELAY_CTL_OPEN_STATUS_H

#include "lib/rpc/message.h"

const char *open_status_name(enum rpc_open_status);

#endif
