/* base/result.c - names of results. */
#include "lib/base/result.h"

const char *
rc_name(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return ("ok");
	case RC_MORE:
		return ("more");
	case RC_EOF:
		return ("eof");
	case RC_SYNTAX:
		return ("syntax");
	case RC_LIMIT:
		return ("limit");
	case RC_NOMEM:
		return ("no-memory");
	case RC_NOTFOUND:
		return ("not-found");
	case RC_EXISTS:
		return ("exists");
	case RC_CONFLICT:
		return ("conflict");
	case RC_AGAIN:
		return ("again");
	case RC_IO:
		return ("io");
	case RC_TIMEOUT:
		return ("timeout");
	case RC_DENIED:
		return ("denied");
	case RC_UNAVAILABLE:
		return ("unavailable");
	case RC_UNSUPPORTED:
		return ("unsupported");
	case RC_CANCELLED:
		return ("cancelled");
	case RC_CORRUPT:
		return ("corrupt");
	}
	return ("unknown");
}
