/*
 * e3_helper_stage.h - an engine of a few lines in the test's own process, that
 * holds records as the real one does and seals nothing: what it "reseals" is
 * the old record with another version and another last byte.
 * Context:   the helper's tests; one loop turns both ends.
 */
#ifndef RELAY_TESTS_E3_HELPER_STAGE_H
#define RELAY_TESTS_E3_HELPER_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "lib/base/buffer.h"
#include "lib/base/loop.h"
#include "lib/net/addr.h"

#define STAGE_APPS_MAX		4000
#define STAGE_APP_BYTES		40
#define STAGE_NEXT_KEY		'N'	/* last byte of a record under it */

struct stage_app {
	char		app[STAGE_APP_BYTES];
	uint64_t	version;
	uint8_t		sha256[32];
	bool		under_next;
	struct buffer	record;		/* owned */
};

struct stage {
	struct loop		*loop;		/* borrowed from rpc */
	struct net_addr		addr;
	SSL_CTX			*ctx;		/* borrowed: for the link */
	void			*rpc;		/* owned: struct engine of
						   lib_rpc_engine.h */
	struct stage_app	apps[STAGE_APPS_MAX];	/* in id order */
	size_t			n_apps;

	/* what it does */
	bool			next_key;	/* it can reseal */
	const char		*refuse_app;	/* its record does not open */
	bool			hold;		/* answers no LoadRecords */
	bool			refuse_many;	/* LoadRecords of more than one */
	unsigned		cut_at_reseal;	/* 0: never */

	/* what it saw */
	bool			ready, draining;
	unsigned		loads, reseals, set_ready;
	unsigned		held, held_most;	/* LoadRecords in flight */
	size_t			most_records;	/* of one LoadRecords */
};

void stage_start(struct stage *);
void stage_stop(struct stage *);
/* As after kill -9: the link is cut and nothing is remembered. */
void stage_restart(struct stage *);
/* Answer the LoadRecords held so far. */
void stage_release(struct stage *);

const struct stage_app *stage_find(const struct stage *, const char *app);

/* A record of this app: one that parses, sealed by nobody. */
void stage_record(struct buffer *, const char *app, uint64_t version,
    char last);

#endif
