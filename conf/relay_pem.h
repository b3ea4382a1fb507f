/*
 * conf/relay_pem.h - what the text of `destination.ca` is.
 * Context:   pure; no OpenSSL here: the worker loads the certificates.
 */
#ifndef RELAY_CONF_RELAY_PEM_H
#define RELAY_CONF_RELAY_PEM_H

enum relay_pem {
	RELAY_PEM_CERTIFICATES,	/* one block or more, all certificates */
	RELAY_PEM_NAME,		/* no PEM: the name of a record */
	RELAY_PEM_BROKEN	/* neither, or holds another kind of block */
};

enum relay_pem relay_pem_check(const char *text);

#endif
