/*
 * e3/encrypt.h - the op Encrypt: values to tokens, in order.
 * Context:   the handler on the network thread, the work on crypto threads.
 */
#ifndef RELAY_E3_ENCRYPT_H
#define RELAY_E3_ENCRYPT_H

#include "e3/dispatch.h"

e3_handler e3_encrypt;

#endif
