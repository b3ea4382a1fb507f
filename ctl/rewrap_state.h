/*
 * ctl/rewrap_state.h - how far a rewrap has come, in a file, so that one that
 * was killed goes on where it was.
 * Context:   blocking file I/O.
 */
#ifndef RELAY_CTL_REWRAP_STATE_H
#define RELAY_CTL_REWRAP_STATE_H

#include <stdint.h>

#include "lib/base/result.h"
#include "lib/rpc/message.h"
#include "lib/rpc/sealed_record.h"

#define REWRAP_STATUSES	(RPC_OPEN_DEBUG + 1)	/* enum rpc_open_status */

struct rewrap_state {
	char		app[RPC_APP_ID_BYTES];	/* same command as before? */
	char		curve[4];
	char		format[8];
	uint64_t	in;		/* bytes of input that are done */
	uint64_t	out;		/* offset in the output behind them */
	uint64_t	lines;
	uint64_t	counts[REWRAP_STATUSES];	/* tokens */
};

/* RC_OK; RC_NOTFOUND; RC_SYNTAX: no such file of ours; RC_IO. */
enum rc rewrap_state_read(const char *path, struct rewrap_state *) must_check;
/* On disk when it returns; a reader sees the last state or this one. */
enum rc rewrap_state_write(const char *path, const struct rewrap_state *)
    must_check;

#endif
