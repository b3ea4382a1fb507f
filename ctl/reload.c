/* ctl/reload.c - `reload [--wait]` and `sync [--accept]`. */
#include <limits.h>

#include "ctl/control_client.h"
#include "ctl/ctl.h"
#include "lib/body/json_write.h"

/* A generation serves once its workers started: seconds; the master itself
 * gives up and answers `failed` before this. */
#define RELOAD_TIMEOUT_MS	120000
#define ACCEPT_TIMEOUT_MS	60000	/* a full read of Redis */

/* {key: answer} or "text answer" */
static enum ctl_exit
print_answer(const struct ctl *ctl, const char *text, const char *key,
    struct span answer)
{
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;
	uint64_t n;

	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		if (string_u64(answer, &n) == RC_OK)
			body_json_put_u64(&w, key, n);
		else
			body_json_put_string(&w, key, answer);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s %.*s", text, (int)answer.len,
		    answer.len == 0 ? "" : answer.p);
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

enum ctl_exit
ctl_reload(struct ctl *ctl)
{
	bool wait = args_has(&ctl->args, "wait");
	struct control_answer answer;
	char path[PATH_MAX];
	enum ctl_exit status;

	status = control_path(ctl, "relayd.sock", path, sizeof(path));
	if (status != CTL_DONE)
		return (status);
	status = control_want("relayd", path, wait ? "reload-wait" : "reload",
	    SPAN_LIT(""), -1, RELOAD_TIMEOUT_MS, "ok", &answer);
	if (status != CTL_DONE)
		return (status);
	status = print_answer(ctl, wait ? "serving: generation" :
	    "accepted: generation", "generation",
	    control_answer_text(&answer));
	control_answer_fini(&answer);
	return (status);
}

enum ctl_exit
ctl_sync(struct ctl *ctl)
{
	bool accept = args_has(&ctl->args, "accept");
	struct control_answer answer;
	char path[PATH_MAX];
	enum ctl_exit status;

	status = control_path(ctl, "feed.sock", path, sizeof(path));
	if (status != CTL_DONE)
		return (status);
	status = control_want("relay-feed", path,
	    accept ? "sync-accept" : "status", SPAN_LIT(""), -1,
	    accept ? ACCEPT_TIMEOUT_MS : CONTROL_TIMEOUT_MS,
	    accept ? "ok" : "status", &answer);
	if (status != CTL_DONE)
		return (status);
	status = accept ? print_answer(ctl, "accepted:", "accepted",
	    control_answer_text(&answer)) :
	    ctl_print_line(control_answer_text(&answer));
	control_answer_fini(&answer);
	return (status);
}
