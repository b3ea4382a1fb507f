/*
 * ctl/feed_client.h - records of the map, through the feed's control socket.
 * Context:   blocks for the feed; errors are told.
 */
#ifndef RELAY_CTL_FEED_CLIENT_H
#define RELAY_CTL_FEED_CLIENT_H

#include "ctl/control_client.h"

#define FEED	"relay-feed"	/* as it is called in messages */

/* One question about one record; fd: a document, or -1.  As control_want. */
enum ctl_exit feed_ask(struct ctl *, const char *verb, const char *name, int fd,
    struct control_answer *) must_check;
/* The same with a document. */
enum ctl_exit feed_ask_with(struct ctl *, const char *verb, const char *name,
    struct span doc, struct control_answer *) must_check;
/* The same, and an answer `failed` with one of these texts is no error (NULL
 * ends them): *which is its index, -1 with the answer "ok". */
enum ctl_exit feed_ask_unless(struct ctl *, const char *verb, const char *name,
    const struct span *doc, const char *const *texts, int *which,
    struct control_answer *) must_check;

/* What came with an answer.  buffer_fini out in either case. */
enum ctl_exit feed_content(struct control_answer *, size_t max,
    struct buffer *out) must_check;

/* {FIELD: NAME, "epoch": EPOCH} or "NAME: TEXT" */
enum ctl_exit feed_print_change(const struct ctl *, const char *field,
    const char *name, const char *text, const struct control_answer *)
    must_check;

/* A record as it was put; a newline only where there is none. */
enum ctl_exit feed_print_record(struct span) must_check;

#endif
