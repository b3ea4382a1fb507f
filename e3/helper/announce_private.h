/* helper/announce_private.h - seen by announce.c and its test. */
#ifndef RELAY_E3_HELPER_ANNOUNCE_PRIVATE_H
#define RELAY_E3_HELPER_ANNOUNCE_PRIVATE_H

#include "e3/helper/announce.h"
#include "lib/base/timer.h"

#define ANNOUNCE_REFRESH_MS	2500
#define ANNOUNCE_TTL_TEXT	"10000"	/* ms: three refreshes may be lost */
#define ANNOUNCE_COMMAND_MS	5000
#define ANNOUNCE_END_MS		1000
#define SILENT_TEXT		"604800" /* s: a week.  Longer than anybody leaves a
					   machine cut off and does not know */
#define LEFT_TEXT		"3600"	/* s: longer than a confirm lasts */
#define DISAGREE_MS		10000	/* a change arrives within a second; what
					   is said of it is up to 5 s old */
#define PEERS_MAX		128	/* engines; the status is one message */
#define OWN_SUMS		32	/* more than change in 10 s by hand */

struct announce_peer {
	struct announcement	said;
	bool			seen;		/* in this look */
	bool			agrees;
	bool			told;		/* in the log */
	uint64_t		differs_since_ms;	/* 0: it does not */
};

struct announce {
	unsigned		magic;
#define ANNOUNCE_MAGIC		0x90e1b3d6
	struct engine		*engine;	/* borrowed: outlives us */
	struct replica		*replica;	/* borrowed; NULL: no Redis */
	const struct announce_ops *ops;		/* borrowed: static */
	void			*arg;		/* borrowed: owns us */
	char			*key;		/* owned: relay:engine:<name> */
	struct announcement	own;		/* as it is said next */
	struct timer		refresh;
	struct timer		end;

	bool			draining;
	bool			ending;
	bool			ended;
	bool			superseded;	/* our name is another's now */
	const struct redis_client *link;	/* only compared: the one that
						   knows `said` */
	bool			writing;
	struct buffer		said;		/* owned: the JSON in Redis */
	struct buffer		saying;		/* owned: on its way there */
	bool			news;		/* the feeds are to hear of it */

	/* What our engine held lately, the newest first. */
	uint8_t			sums[OWN_SUMS][ENGINE_CHECKSUM_BYTES];
	size_t			n_sums;
	bool			looking;
	bool			overflow_told;
	struct announce_peer	peers[PEERS_MAX];
	size_t			n_peers;
};

/* What a look brought: [name, JSON, name, JSON...]; exported for the test. */
void announce_judge(struct announce *, const struct redis_value *);

#endif
