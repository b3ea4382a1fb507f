/*
 * conf/conf_private.h - the option tables, shared by reader, checks and
 * generators of this folder and their tests.
 * Context:   pure.
 */
#ifndef RELAY_CONF_CONF_PRIVATE_H
#define RELAY_CONF_CONF_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf_file.h"

enum option_type {
	OPTION_UINT,		/* unsigned */
	OPTION_U64,		/* uint64_t */
	OPTION_INT,		/* int */
	OPTION_BOOL,		/* bool */
	OPTION_EITHER,		/* bool: false for words[0], true for words[1] */
	OPTION_LEVEL,		/* enum log_level */
	OPTION_TEXT,		/* char *, "" when unset */
	OPTION_PATH,		/* char *, made absolute; "" when unset */
	OPTION_TEXTS,		/* char ** at `at`, size_t at `at_count` */
	OPTION_SECTION		/* `sub` is its table */
};

/* What a value must look like, beyond type and bounds. */
enum option_check {
	CHECK_NONE,
	CHECK_SET,		/* not empty */
	CHECK_POWER_OF_2,
	CHECK_LEVEL,
	CHECK_IP_PORT,
	CHECK_LINK,		/* unix:PATH or host:port */
	CHECK_BIND,		/* unix:PATH or IP:port */
	CHECK_SOCKET,		/* a path short enough for a Unix socket */
	CHECK_SERVER_NAME,	/* host name, *.name, or IP */
	CHECK_CIDR,		/* IP or IP/bits */
	CHECK_HOST_PORT,	/* name or IP, and port */
	CHECK_SIGNATURES,	/* "changes" or "all" */
	CHECK_WORDS		/* one of `words` */
};

/* Flags of an option. */
#define OPTION_NULL	0x01u	/* empty comes out as NULL */
#define OPTION_FIXED	0x02u	/* relayd takes a change at restart only */

struct option {
	const char		*name;		/* NULL ends a table */
	enum option_type	type;
	enum option_check	check;
	unsigned		flags;
	size_t			at;		/* offset in its struct */
	size_t			at_count;	/* of a list's length */
	const char		*def;		/* as in the file; NULL: empty */
	uint64_t		min;		/* numbers: inclusive */
	uint64_t		max;
	const char		*unit;		/* for people; NULL: none */
	const char		*words[2];	/* of OPTION_EITHER */
	const char		*help;		/* sentences, one line */
	const struct option	*sub;		/* of a section */
};

/* What a section is read into before it joins struct conf. */
struct conf_listen_section {
	char	**addresses;	/* owned */
	size_t	n_addresses;
};

const struct option *conf_table(enum conf_which);

/* Does an IP:port that was checked name this machine alone? */
bool conf_is_loopback(const char *address) must_check;

/* One value against o->check.  `folder` is what relative paths begin at.
 * RC_OK, or RC_SYNTAX with the reason in why[size] (never the value). */
enum rc conf_check_text(const struct option *o, const char *folder,
    const char *value, char *why, size_t size) must_check;

/* The value with its path made absolute where the option holds one.  The
 * caller frees. */
char *conf_absolute(const struct option *o, const char *folder,
    const char *value);

#endif
