/*
 * e3/decrypt.h - the op Decrypt: tokens to values, in order.
 * Context:   the handler on the network thread, the work on crypto threads.
 */
#ifndef RELAY_E3_DECRYPT_H
#define RELAY_E3_DECRYPT_H

#include "e3/dispatch.h"

e3_handler e3_decrypt;

#endif
