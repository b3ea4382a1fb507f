/*
 * helper/record_store_private.h - what record_store.c (the table) and
 * record_write.c (changes) share.
 */
#ifndef RELAY_E3_HELPER_RECORD_STORE_PRIVATE_H
#define RELAY_E3_HELPER_RECORD_STORE_PRIVATE_H

#include <limits.h>

#include "e3/helper/record_store.h"

#define RECORD_SUFFIX	".rec"
#define PREVIOUS_SUFFIX	".prev"
#define BASE_SUFFIX	".base"	/* VERSION SHA256[ apart]: see record_entry */
#define BASE_APART	" apart"
#define TMP_SUFFIX	".tmp"

struct record_store {
	unsigned		magic;
#define RECORD_STORE_MAGIC	0x72b04d1e
	char			*dir;		/* owned */
	int			lock;		/* owned: <dir>/lock */
	struct record_entry	*v;		/* owned, sorted by app */
	size_t			n;
	size_t			cap;
};

/* <dir>/<app>.rec; RC_LIMIT when that is too long. */
enum rc record_store_path(const struct record_store *, const char *app,
    char path[PATH_MAX]) must_check;

/* The same with another suffix. */
enum rc record_store_path_of(const struct record_store *, const char *app,
    const char *suffix, char path[PATH_MAX]) must_check;

/* Make the entry say what the disk has, adding it if need be.  RC_OK;
 * RC_NOTFOUND (the table is as it was); RC_CORRUPT and others: damaged. */
enum rc record_store_refresh(struct record_store *, const char *app) must_check;
void record_store_forget(struct record_store *, const char *app);

/* F_WRLCK or F_UNLCK: exclusive between helpers, held for one write. */
enum rc record_store_lock(const struct record_store *, short type) must_check;

#endif
