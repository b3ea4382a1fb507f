/* ctl/x509_serial.c - one number. */
#include "ctl/x509_serial.h"

#include <openssl/bn.h>

#define SERIAL_BITS	127

bool
x509_serial_set(X509 *cert)
{
	BIGNUM *n = BN_new();
	bool ok;

	ok = n != NULL &&
	    BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
	    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
	BN_free(n);
	return (ok);
}
