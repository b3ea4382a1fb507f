/*
 * ctl/link_ends.h - how long the link certificates of this machine are good.
 * Context:   blocking reads of files that everybody may read.
 */
#ifndef RELAY_CTL_LINK_ENDS_H
#define RELAY_CTL_LINK_ENDS_H

#include <stddef.h>

#include "ctl/link_ca.h"

#define LINK_ENDS_MAX		6	/* roles */
#define LINK_ENDS_WARN_DAYS	30	/* design: a month to act in */

struct link_ends {
	size_t			n;
	struct link_cert	v[LINK_ENDS_MAX];
};

/* The role certificates below folder that can be read. */
void link_ends_read(const char *folder, struct link_ends *);

/* "links     worker=364d ...", and a line for each that ends soon. */
void link_ends_text(const struct link_ends *, uint64_t now_ms,
    struct buffer *out);

#endif
