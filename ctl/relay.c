/* ctl/relay.c - `relay put|get|list|rm`, through the feed's control socket. */
#include "conf/relay_json.h"
#include "ctl/ctl.h"
#include "ctl/feed_client.h"
#include "ctl/relay_fault.h"
#include "ctl/table.h"
#include "lib/base/host.h"
#include "lib/body/json.h"

#define LIST_BYTES_MAX	(64u << 20)

static enum ctl_exit
check_host(const char *text, char host[HOST_BYTES])
{
	if (host_canonical(span_of(text), host) == RC_OK)
		return (CTL_DONE);
	ctl_error("HOST: not a host name");
	return (CTL_USAGE);
}

enum ctl_exit
ctl_relay_put(struct ctl *ctl)
{
	const char *file = ctl->args.n_operands > 1 ? ctl->args.operands[1] :
	    "-";
	struct control_answer answer;
	struct relay *relay = NULL;
	struct relay_fault fault;
	char host[HOST_BYTES];
	enum ctl_exit status;
	struct buffer doc;

	if ((status = check_host(ctl->args.operands[0], host)) != CTL_DONE)
		return (status);
	status = ctl_read_input(file, RELAY_JSON_BYTES_MAX, false, &doc);
	if (status != CTL_DONE)
		goto out;
	/* Here too, so that a fault is bad input (2) and names the file. */
	if (relay_json_parse((struct span){ buffer_data(&doc),
	    buffer_len(&doc) }, &relay, &fault) != RC_OK) {
		ctl_relay_fault(file, &fault);
		status = CTL_USAGE;
		goto out;
	}
	status = feed_ask_with(ctl, "relay-put", host, (struct span){
	    buffer_data(&doc), buffer_len(&doc) }, &answer);
	if (status != CTL_DONE)
		goto out;
	status = feed_print_change(ctl, "host", host, "live", &answer);
	control_answer_fini(&answer);
out:
	relay_unref(&relay);
	buffer_fini(&doc);
	return (status);
}

enum ctl_exit
ctl_relay_rm(struct ctl *ctl)
{
	struct control_answer answer;
	char host[HOST_BYTES];
	enum ctl_exit status;

	if ((status = check_host(ctl->args.operands[0], host)) != CTL_DONE ||
	    (status = feed_ask(ctl, "relay-rm", host, -1, &answer)) != CTL_DONE)
		return (status);
	status = feed_print_change(ctl, "host", host, "removed", &answer);
	control_answer_fini(&answer);
	return (status);
}

enum ctl_exit
ctl_relay_get(struct ctl *ctl)
{
	struct control_answer answer;
	char host[HOST_BYTES];
	enum ctl_exit status;
	struct buffer doc;

	if ((status = check_host(ctl->args.operands[0], host)) != CTL_DONE ||
	    (status = feed_ask(ctl, "relay-get", host, -1, &answer)) !=
	    CTL_DONE)
		return (status);
	status = feed_content(&answer, RELAY_JSON_BYTES_MAX, &doc);
	if (status == CTL_DONE)
		status = feed_print_record((struct span){ buffer_data(&doc),
		    buffer_len(&doc) });
	buffer_fini(&doc);
	control_answer_fini(&answer);
	return (status);
}

/* ---- relay list ---------------------------------------------------------------- */

static void
string_cell(struct table *t, const struct body_json *doc, uint32_t object,
    const char *name)
{
	uint32_t node = body_json_member(doc, object, name);
	struct buffer text;

	buffer_init(&text, 0, false);
	if (node == 0)
		table_cell_str(t, "-");
	else if (doc->nodes[node].type != BODY_JSON_STRING)
		table_cell(t, body_json_raw(doc, node));
	else if (body_json_unescape(body_json_raw(doc, node), &text) == RC_OK)
		table_cell(t, (struct span){ buffer_data(&text),
		    buffer_len(&text) });
	else
		table_cell_str(t, "?");
	buffer_fini(&text);
}

static enum ctl_exit
print_list(struct span json)
{
	static const char *const heads[] = { "HOST", "REVISION", "BYTES" };
	struct table *t = table_new(3, heads);
	struct body_json doc = { .nodes = NULL };
	enum ctl_exit status = CTL_FAILED;

	if (body_json_read(&doc, json.p, json.len, 0, NULL) != RC_OK) {
		ctl_error(FEED ": its answer is not JSON");
		goto out;
	}
	for (uint32_t n = body_json_child(&doc, 0); n != 0;
	    n = body_json_sibling(&doc, n)) {
		string_cell(t, &doc, n, "host");
		string_cell(t, &doc, n, "revision");
		string_cell(t, &doc, n, "bytes");
	}
	status = table_print(t);
out:
	body_json_fini(&doc);
	table_free(&t);
	return (status);
}

enum ctl_exit
ctl_relay_list(struct ctl *ctl)
{
	struct control_answer answer;
	enum ctl_exit status;
	struct buffer list;
	struct span json;

	status = feed_ask(ctl, "relay-list", "", -1, &answer);
	if (status != CTL_DONE)
		return (status);
	status = feed_content(&answer, LIST_BYTES_MAX, &list);
	json = (struct span){ buffer_data(&list), buffer_len(&list) };
	if (status == CTL_DONE)
		status = ctl->json ? ctl_print_line(json) : print_list(json);
	buffer_fini(&list);
	control_answer_fini(&answer);
	return (status);
}
