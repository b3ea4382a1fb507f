/*
 * worker_leaf_signer.h - engines that answer IssueLeaf: with real certificates
 * of a CA of their own, with broken ones, with a refusal, or when they are told;
 * and GetCA.
 * Context:   tests of worker/leaf_cache.c.
 */
#ifndef RELAY_TESTS_WORKER_LEAF_SIGNER_H
#define RELAY_TESTS_WORKER_LEAF_SIGNER_H

#include "tests/unit/test_certs.h"
#include "tests/unit/worker_engine_pair.h"
#include "worker/leaf_cache.h"

enum leaf_chain {
	CHAIN_GOOD,		/* leaf, CA */
	CHAIN_LEAF_ALONE,
	CHAIN_EMPTY,
	CHAIN_GARBAGE,
	CHAIN_CUT,		/* in the leaf */
	CHAIN_OTHER_KEY,	/* a leaf of a key that is not ours */
	CHAIN_CA_FIRST,
	CHAIN_TOO_LONG,
	CHAIN_NO_END,		/* no not_after_ms */
	CHAIN_MORE,		/* another piece is announced */
	CHAINS
};

#define LEAF_HELD_MAX	(LEAF_ASKED_MAX + 8)

struct leaf_held {
	struct engine_link	*link;
	uint64_t		id;
	char			host[64];
	EVP_PKEY		*key;	/* owned */
};

struct leaf_signer {
	struct test_cert	*ca;	/* owned: signs */
	struct test_cert	*other;	/* owned */
	bool			tells_other;	/* GetCA says that this one signs */
	uint64_t		changes_ms;	/* and until then */
	enum rpc_status		status;
	enum leaf_chain		chain;
	int64_t			life_ms;	/* from the moment of the answer */
	bool			hold;
	struct leaf_held		held[LEAF_HELD_MAX];
	size_t			n_held;
	char			host[64];	/* the last one asked for */
	size_t			n_told;
};

/* Both engines of the pair ask this one. */
void leaf_signer_start(struct leaf_signer *, struct engine_pair *);
void leaf_signer_stop(struct leaf_signer *);
/* The other one signs from now on. */
void leaf_signer_turn(struct leaf_signer *);
/* Answer what is held, and hold no more. */
void leaf_signer_let_go(struct leaf_signer *);

#endif
