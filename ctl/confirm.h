/*
 * ctl/confirm.h - has every engine loaded an app's record: every one that
 * announces itself, or did, and did not say that it leaves?  The helper knows
 * whom to ask; here it is waited for.
 * Context:   blocks, up to the time given by --timeout.
 */
#ifndef RELAY_CTL_CONFIRM_H
#define RELAY_CTL_CONFIRM_H

#include "ctl/ctl.h"
#include "ctl/record_commit.h"
#include "lib/body/json_write.h"

/* Longer than an engine, a helper or Redis needs to come back. */
#define CONFIRM_TIMEOUT_S	15
#define CONFIRM_TIMEOUT_MAX_S	3600

/* Option --timeout; CTL_USAGE when it is no such number. */
enum ctl_exit confirm_timeout(const struct ctl *, unsigned *timeout_s)
    must_check;

/*
 * CTL_DONE: every one.  CTL_PARTLY, told: missing has the names of those that
 * have not, a space between them; it is empty when that cannot be known.
 * then: what the user is to do about it, behind the line on stderr.
 */
enum ctl_exit confirm_everywhere(struct ctl *, const char *app,
    uint64_t version, unsigned timeout_s, const char *then,
    struct buffer *missing) must_check;

/* The same for the record that our engine has now. */
enum ctl_exit confirm_present(struct ctl *, const char *app,
    unsigned timeout_s, const char *then, struct buffer *missing) must_check;

/* "confirmed": bool, "unconfirmed": [names] */
void confirm_put(struct body_json_writer *, enum ctl_exit,
    const struct buffer *missing);

/* A change that counts on our engine at once, and elsewhere as it is confirmed. */
struct confirm_said {
	const char	*kind;		/* member of the answer: "key" */
	const char	*id;
	const char	*did;		/* "revoked" */
	bool		is_state;	/* "state": did; else did: true */
	const char	*behind;	/* the line's end; NULL: none */
};

/* Print it; the exit status of the command. */
enum ctl_exit confirm_print(const struct ctl *, const struct record_commit *,
    const struct confirm_said *, enum ctl_exit confirmed,
    const struct buffer *missing) must_check;

#endif
