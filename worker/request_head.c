/* worker/request_head.c - what ingress and egress write alike. */
#include "worker/request_head.h"

#include "lib/http/write.h"

void
request_head_line(const struct http_head *head, const struct http_target *t,
    struct buffer *out)
{
	struct span target = t->path;

	/* Path and query lie beside each other, with the '?' between. */
	if (t->has_query && target.p + target.len + 1 == t->query.p) {
		target.len += 1 + t->query.len;
	} else if (t->has_query) {
		struct buffer whole;

		buffer_init(&whole, 0, true);
		buffer_put(&whole, target.p, target.len);
		buffer_puts(&whole, "?");
		buffer_put(&whole, t->query.p, t->query.len);
		http_write_request_line(out, head->method_text, (struct span){
		    buffer_data(&whole), buffer_len(&whole) });
		buffer_fini(&whole);
		return;
	}
	http_write_request_line(out, head->method_text, target);
}

void
request_head_connection(const struct judgement *j, struct buffer *out)
{
	bool upgrade = j->upgrade.len != 0;

	if (j->wants_trailers)
		http_write_field_str(out, "TE", "trailers");
	if (upgrade) {
		buffer_puts(out, "Upgrade: ");
		buffer_put(out, j->upgrade.p, j->upgrade.len);
		buffer_puts(out, "\r\n");
	}
	if (upgrade || j->wants_trailers)
		http_write_field_str(out, "Connection", !upgrade ? "TE" :
		    j->wants_trailers ? "Upgrade, TE" : "Upgrade");
}
