/*
 * conf/relay_pem.c - tells certificates from names and from mistakes, above
 * all from a private key pasted where a CA belongs.
 */
#include "conf/relay_pem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/base/string.h"

#define BEGIN		"-----BEGIN "
#define BEGIN_CERT	"-----BEGIN CERTIFICATE-----"
#define END_CERT	"-----END CERTIFICATE-----"
#define DER_SEQUENCE	0x30	/* the first byte of every certificate */
#define NAME_BYTES_MAX	253

/* Names of records: server names or labels an operator chose. */
static bool
is_name(const char *text)
{
	size_t len = strlen(text);

	return (len >= 1 && len <= NAME_BYTES_MAX && len == strspn(text,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	    "._*-"));
}

/* Base64 in lines, of something that begins like a certificate. */
static bool
is_block(const char *text, size_t len)
{
	char *lean = xcalloc(len + 1, 1);
	unsigned char *der = xcalloc(len + 1, 1);
	size_t n = 0, decoded = 0;
	bool good;

	for (size_t i = 0; i < len; i++)
		if (strchr(" \t\r\n", text[i]) == NULL)
			lean[n++] = text[i];
	good = base64_decode((struct span){ lean, n }, true, der, len,
	    &decoded) == RC_OK && decoded > 1 && der[0] == DER_SEQUENCE;
	secret_wipe(lean, len);	/* it may be a key after all */
	secret_wipe(der, len);
	free(lean);
	free(der);
	return (good);
}

enum relay_pem
relay_pem_check(const char *text)
{
	const char *at = strstr(text, BEGIN), *end;

	if (at == NULL)
		return (is_name(text) ? RELAY_PEM_NAME : RELAY_PEM_BROKEN);
	for (; at != NULL; at = strstr(end, BEGIN)) {
		if (strncmp(at, BEGIN_CERT, strlen(BEGIN_CERT)) != 0)
			return (RELAY_PEM_BROKEN);
		at += strlen(BEGIN_CERT);
		if ((end = strstr(at, END_CERT)) == NULL ||
		    !is_block(at, (size_t)(end - at)))
			return (RELAY_PEM_BROKEN);
	}
	return (RELAY_PEM_CERTIFICATES);
}
