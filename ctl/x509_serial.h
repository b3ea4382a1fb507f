/*
 * ctl/x509_serial.h - serial numbers of certificates that relayctl makes.
 * Context:   relayctl; OpenSSL's random numbers.
 */
#ifndef RELAY_CTL_X509_SERIAL_H
#define RELAY_CTL_X509_SERIAL_H

#include <stdbool.h>

#include <openssl/x509.h>

/* Random and positive (RFC 5280 4.1.2.2): no two are ever the same.  False:
 * OpenSSL has no memory or no randomness. */
bool x509_serial_set(X509 *);

#endif
