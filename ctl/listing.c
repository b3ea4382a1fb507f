/* ctl/listing.c - one engine call, its rows printed in either form. */
#include "ctl/listing.h"

enum ctl_exit
listing_print(struct ctl *ctl, const char *const *heads, size_t n,
    enum rpc_op op, struct buffer *body, engine_reply_cb *rows)
{
	struct listing l = { .json = ctl->json };
	struct engine_client *engine = NULL;
	struct buffer out;
	enum ctl_exit status;

	buffer_init(&out, 0, false);
	l.table = table_new(n, heads);
	body_json_writer_init(&l.w, &out);
	body_json_open_array(&l.w, NULL);
	status = engine_client_open(ctl, ENGINE_ANY, &engine);
	if (status == CTL_DONE)
		status = engine_client_must(engine, op, body, rows, &l);
	engine_client_close(&engine);
	body_json_close_array(&l.w);
	if (status == CTL_DONE)
		status = ctl->json ? ctl_print_line((struct span){
		    buffer_data(&out), buffer_len(&out) }) :
		    table_print(l.table);
	table_free(&l.table);
	buffer_fini(&out);
	return (status);
}
