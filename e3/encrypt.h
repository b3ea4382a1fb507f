/*
 * e3/encrypt.h - the op Encrypt: values to tokens, in order.
 * Context:   the handler on the network thread, the work on crypto threads.
 */
#ifndef RELAY_E3_ENCRYPT_H
#define RELAY_E3_ENCRYPT_H

#include "e3/dispatch.h"

/* Metadata `eo`: says which program sealed a value; 5 to 13 are SDKs. */
#define E3_ENCRYPTION_ORIGIN	20

e3_handler e3_encrypt;

#endif
