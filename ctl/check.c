/* ctl/check.c - `check FILE`: the validator that feed and workers use. */
#include "conf/relay_json.h"
#include "ctl/ctl.h"
#include "ctl/relay_fault.h"
#include "lib/body/json_write.h"

void
ctl_relay_fault(const char *name, const struct relay_fault *fault)
{
	if (fault->path[0] == '\0')
		ctl_error("%s: %s", name, fault->reason);
	else
		ctl_error("%s: %s: %s", name, fault->path, fault->reason);
}

enum ctl_exit
ctl_check(struct ctl *ctl)
{
	const char *path = ctl->args.operands[0];
	struct relay *relay = NULL;
	struct relay_fault fault;
	struct buffer doc, out;
	enum ctl_exit status;

	buffer_init(&out, 0, false);
	status = ctl_read_input(path, RELAY_JSON_BYTES_MAX, false, &doc);
	if (status != CTL_DONE)
		goto done;
	if (relay_json_parse((struct span){ buffer_data(&doc),
	    buffer_len(&doc) }, &relay, &fault) != RC_OK) {
		ctl_relay_fault(path, &fault);
		status = CTL_USAGE;
		goto done;
	}
	if (ctl->json) {
		struct body_json_writer w;

		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "file", path);
		body_json_put_bool(&w, "ok", true);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s: ok", path);
	status = ctl_print_line((struct span){ buffer_data(&out),
	    buffer_len(&out) });
done:
	relay_unref(&relay);
	buffer_fini(&doc);
	buffer_fini(&out);
	return (status);
}
