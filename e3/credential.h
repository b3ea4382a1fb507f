/*
 * e3/credential.h - who is it: API keys by secret or id, client-side tokens; and
 * the ops Authenticate and CreateToken.
 * Context:   the network thread: a MAC or two, no more.
 *
 * A client-side token is signed by a key derived from the pair that seals on
 * P-256, and verified by each such pair that is not retired: any engine with
 * the app's record can, through a rotation too.  Nothing is kept of it.
 */
#ifndef RELAY_E3_CREDENTIAL_H
#define RELAY_E3_CREDENTIAL_H

#include "e3/dispatch.h"

e3_handler e3_authenticate, e3_create_token;

#endif
