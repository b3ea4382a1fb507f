/*
 * ctl/control_client.h - one question to a control socket, one answer.
 * Context:   blocks until the answer or the deadline.
 */
#ifndef RELAY_CTL_CONTROL_CLIENT_H
#define RELAY_CTL_CONTROL_CLIENT_H

#include "ctl/ctl.h"

struct control_answer {
	char		verb[32];
	struct buffer	text;
	int		fd;	/* owned; -1: none came */
};

/*
 * Send `verb text` (and pass_fd, not closed, or -1) to the socket at path.
 * RC_OK with *answer (control_answer_fini it); RC_NOTFOUND: nobody listens
 * there; RC_DENIED: not allowed to; RC_EOF: closed without an answer;
 * RC_TIMEOUT; RC_IO.  The answer is empty unless RC_OK.
 */
enum rc control_ask(const char *path, const char *verb, struct span text,
    int pass_fd, unsigned timeout_ms, struct control_answer *answer) must_check;
void control_answer_fini(struct control_answer *);

bool control_answer_is(const struct control_answer *, const char *verb);
struct span control_answer_text(const struct control_answer *);

/* "<run_dir>/<name>" of relay.conf, e.g. relayd.sock. */
enum ctl_exit control_path(struct ctl *, const char *name, char *out,
    size_t size) must_check;

/*
 * Ask, and tell on stderr whatever is not `want`: CTL_DONE with *answer, else
 * CTL_FAILED and *answer empty.  who: "relayd", "relay-feed".
 */
enum ctl_exit control_want(const char *who, const char *path,
    const char *verb, struct span text, int pass_fd, unsigned timeout_ms,
    const char *want, struct control_answer *answer) must_check;

/* The two halves of it: any answer (CTL_FAILED: told that there is none); and
 * whether it is `want` (else told, and empty). */
enum ctl_exit control_get(const char *who, const char *path, const char *verb,
    struct span text, int pass_fd, unsigned timeout_ms,
    struct control_answer *answer) must_check;
enum ctl_exit control_check(struct control_answer *, const char *want)
    must_check;

#define CONTROL_TIMEOUT_MS	10000	/* what needs no work but an answer */

#endif
