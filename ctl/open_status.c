/* ctl/open_status.c - in the words of docs/rpc.md. */
#include "ctl/open_status.h"

const char *
open_status_name(enum rpc_open_status status)
{
	switch (status) {
	case RPC_OPEN_OK:
		return ("ok");
	case RPC_OPEN_NOT_A_TOKEN:
		return ("not-a-token");
	case RPC_OPEN_WRONG_APP_OR_CHANGED:
		return ("wrong-app-or-changed");
	case RPC_OPEN_FORBIDDEN:
		return ("forbidden");
	case RPC_OPEN_TOO_OLD:
		return ("too-old");
	case RPC_OPEN_DEBUG:
		return ("debug");
	case RPC_OPEN_OTHER_ROLE:
		return ("other-role");
	}
	return ("unknown");
}
