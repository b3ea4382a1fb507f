/* ctl/status.c - `status [--wait [SECONDS]]`, asked of relayd. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/control_client.h"
#include "ctl/ctl.h"
#include "ctl/link_ends.h"
#include "ctl/pause.h"
#include "ctl/status_view.h"
#include "lib/base/clock.h"
#include "lib/body/json_write.h"

#define WAIT_DEFAULT_S	60
#define WAIT_MAX_S	86400
#define POLL_MS		100	/* a person does not notice less */

/* relayd's document, and as one member more what it does not know: it reads no
 * certificate. */
static void
put_json(struct buffer *out, struct span json, const struct link_ends *links)
{
	struct body_json_writer w;

	buffer_put(out, json.p, json.len);
	if (links->n == 0 || json.len < 2 || json.p[json.len - 1] != '}')
		return;
	buffer_truncate(out, json.len - 1);
	buffer_puts(out, ",");
	body_json_writer_init(&w, out);
	body_json_open_array(&w, "links");
	for (size_t i = 0; i < links->n; i++) {
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "role", links->v[i].who.role);
		body_json_put_str(&w, "name", links->v[i].who.name);
		body_json_put_str(&w, "serial", links->v[i].who.serial);
		body_json_put_u64(&w, "ends_ms", links->v[i].ends_ms);
		body_json_close_object(&w);
	}
	body_json_close_array(&w);
	buffer_puts(out, "}");
}

static enum ctl_exit
print_status(const struct ctl *ctl, struct span json)
{
	enum ctl_exit status = CTL_DONE;
	struct link_ends links;
	struct buffer out;

	link_ends_read(ctl->conf->link_dir, &links);
	buffer_init(&out, 0, false);
	if (ctl->json) {
		put_json(&out, json, &links);
		buffer_puts(&out, "\n");
	} else if (status_text(json, clock_wall_ms(), &out) == RC_OK) {
		link_ends_text(&links, clock_wall_ms(), &out);
	} else {
		ctl_error("relayd: its status is not understood");
		status = CTL_FAILED;
	}
	if (status == CTL_DONE)
		status = ctl_print((struct span){ buffer_data(&out),
		    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

/* Ask until all is ready; the last answer is printed, also when time is up. */
static enum ctl_exit
wait_ready(struct ctl *ctl, const char *path, unsigned wait_s)
{
	uint64_t end_ms = clock_mono_ms() + (uint64_t)wait_s * 1000;
	struct control_answer answer;
	char why[160];
	enum ctl_exit status;
	enum rc rc;

	for (;;) {
		bool late = clock_mono_ms() >= end_ms;

		rc = control_ask(path, "status", SPAN_LIT(""), -1,
		    CONTROL_TIMEOUT_MS, &answer);
		if (rc == RC_DENIED) {
			ctl_error("%s: permission denied", path);
			return (CTL_FAILED);
		}
		if (rc == RC_OK) {
			struct span json = control_answer_text(&answer);

			rc = status_ready(json, why, sizeof(why));
			if (rc == RC_OK || late) {
				status = print_status(ctl, json);
				control_answer_fini(&answer);
				break;
			}
			control_answer_fini(&answer);
		} else {
			(void)snprintf(why, sizeof(why),
			    "relayd does not answer (%s)", rc_name(rc));
			status = CTL_FAILED;
			if (late)
				break;
		}
		pause_ms(POLL_MS);
	}
	if (rc == RC_OK)
		return (status);
	ctl_error("not ready after %u s: %s", wait_s,
	    rc == RC_SYNTAX ? "its status is not understood" : why);
	return (CTL_FAILED);
}

enum ctl_exit
ctl_status(struct ctl *ctl)
{
	const char *given = args_get(&ctl->args, "wait");
	struct control_answer answer;
	uint64_t wait_s = WAIT_DEFAULT_S;
	char path[PATH_MAX];
	enum ctl_exit status;

	if (given != NULL && (string_u64(span_of(given), &wait_s) != RC_OK ||
	    wait_s > WAIT_MAX_S)) {
		ctl_error("--wait: 0 to %d seconds", WAIT_MAX_S);
		return (CTL_USAGE);
	}
	status = control_path(ctl, "relayd.sock", path, sizeof(path));
	if (status != CTL_DONE)
		return (status);
	if (args_has(&ctl->args, "wait"))
		return (wait_ready(ctl, path, (unsigned)wait_s));
	status = control_want("relayd", path, "status", SPAN_LIT(""), -1,
	    CONTROL_TIMEOUT_MS, "status", &answer);
	if (status != CTL_DONE)
		return (status);
	status = print_status(ctl, control_answer_text(&answer));
	control_answer_fini(&answer);
	return (status);
}
