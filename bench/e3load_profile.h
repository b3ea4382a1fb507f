/*
 * bench/e3load_profile.h - what a load consists of: a JSON file, typed and
 * bounded.
 * Context:   start of e3load; blocking file reads.  Pure when given text.
 * Ownership: a profile owns no heap; the caller embeds it (it is large: not
 *            on a stack).
 *
 * bench/README.md describes the members for the reader of a profile.
 */
#ifndef RELAY_BENCH_E3LOAD_PROFILE_H
#define RELAY_BENCH_E3LOAD_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/e3load_table.h"
#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/net/addr.h"
#include "lib/rpc/message.h"

#define LOAD_CLIENTS_MAX	32	/* different ones */
#define LOAD_INSTANCES_MAX	64	/* each is a thread */
#define LOAD_SCENARIOS_MAX	16	/* of one client */
#define LOAD_PHASES_MAX		16
#define LOAD_ADDRESSES_MAX	8
#define LOAD_LINKS_MAX		16	/* of one client */
#define LOAD_NAME_BYTES		48
#define LOAD_PATH_BYTES		256
#define LOAD_FILE_BYTES_MAX	65536	/* more is no profile */

enum load_op { LOAD_ENCRYPT, LOAD_DECRYPT, LOAD_PING };
enum load_arrivals { LOAD_POISSON, LOAD_FIXED };

struct load_scenario {
	unsigned	line;			/* in the file; 0: ours */
	char		name[LOAD_NAME_BYTES];
	int		op;			/* enum load_op */
	uint64_t	weight;
	uint64_t	fields, bytes;		/* of a request; of a field */
	int		scope;			/* enum rpc_key_scope */
	uint64_t	cancel_after_ms;	/* 0: never */
};

/* Either by the clock, or so many in flight as fast as they are answered. */
struct load_phase {
	unsigned	line;
	double		rate;			/* requests/s; 0: closed loop */
	uint64_t	in_flight;		/* of a closed loop */
	double		seconds;
	bool		warm_up;		/* sent, and not counted */
};

struct load_client {
	unsigned		line;
	char			name[LOAD_NAME_BYTES];
	uint64_t		count;		/* so many of the same */
	uint64_t		links;		/* of each */
	char			app[LOAD_NAME_BYTES];
	int			curve;		/* enum rpc_curve */
	int			arrivals;	/* enum load_arrivals */
	struct load_phase	phases[LOAD_PHASES_MAX];
	size_t			n_phases;
	struct load_scenario	scenarios[LOAD_SCENARIOS_MAX];
	size_t			n_scenarios;
};

struct load_address {
	char		text[NET_ADDR_TEXT_BYTES];
};

struct load_profile {
	struct load_address	addresses[LOAD_ADDRESSES_MAX];
	size_t			n_addresses;
	char			cert[LOAD_PATH_BYTES];
	char			key[LOAD_PATH_BYTES];
	char			ca[LOAD_PATH_BYTES];
	char			app[LOAD_NAME_BYTES];
	int			curve;		/* -1: not named */
	int			arrivals;
	uint64_t		deadline_ms;	/* of a call, from its start */
	uint64_t		seed;
	struct load_phase	phases[LOAD_PHASES_MAX];	/* of clients
							   without their own */
	size_t			n_phases;
	struct load_client	clients[LOAD_CLIENTS_MAX];
	size_t			n_clients;
};

/* Text of a profile; what it leaves out is set.  RC_OK, or *fault says
 * where and why. */
enum rc load_profile_parse(struct span text, struct load_profile *,
    struct load_fault *) must_check;
/* The same from a file; line 0: it could not be read. */
enum rc load_profile_read(const char *path, struct load_profile *,
    struct load_fault *) must_check;

/* Seconds of all phases of a client. */
double load_client_seconds(const struct load_client *);
/* The longest client then takes so long, warm-up aside; others in step. */
void load_profile_scale(struct load_profile *, double seconds);
/* Keep the clients of these names alone.  RC_NOTFOUND: there is no such. */
enum rc load_profile_only(struct load_profile *, char *const *names,
    size_t n) must_check;
/* One client more, which sends a Ping every 20 ms while others work. */
enum rc load_profile_add_ping(struct load_profile *) must_check;

#endif
