/* e3/call.c - the life of one call, and its reply frames. */
#include "e3/call.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"

enum rc
e3_call_new(struct buffer *bytes, struct e3_caller *caller,
    struct e3_call **out)
{
	struct e3_call *c = xcalloc(1, sizeof(*c));
	struct span payload;
	size_t used;
	enum rc rc;

	c->magic = E3_CALL_MAGIC;
	c->caller = caller;
	e3_job_init(&c->job, NULL, 0);
	STAILQ_INIT(&c->to_send);
	buffer_init(&c->bytes, 0, true);
	buffer_move(&c->bytes, bytes);
	*out = c;
	rc = rpc_frame_next(buffer_data(&c->bytes), buffer_len(&c->bytes),
	    RPC_FRAME_BYTES_MAX, &payload, &used);
	ensure(rc == RC_OK);
	if ((rc = rpc_call_frame_read(&c->frame, payload)) == RC_OK)
		c->info = rpc_op_lookup(c->frame.op);
	return (rc);
}

void
e3_call_free(struct e3_call **cp)
{
	struct e3_call *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, E3_CALL_MAGIC);
	if (c->work != NULL)
		c->work_free(c->work);
	e3_app_unref(&c->app);
	rpc_call_frame_fini(&c->frame);
	buffer_fini(&c->bytes);
	e3_pieces_free(&c->job.made);
	e3_pieces_free(&c->to_send);
	c->magic = 0;
	free(c);
}

struct e3_call *
e3_call_of(struct e3_job *job)
{
	struct e3_call *c = (struct e3_call *)job;

	_Static_assert(offsetof(struct e3_call, job) == 0, "job comes first");
	obj_check(c, E3_CALL_MAGIC);
	return (c);
}

static enum rc
add(struct e3_call *c, enum rpc_status status, struct span body, bool more)
{
	struct e3_piece *p = xcalloc(1, sizeof(*p));
	enum rc rc;

	buffer_init(&p->frame, 0, true);
	rc = rpc_reply_frame_write(&p->frame, c->frame.id, status, body, more);
	if (rc == RC_OK) {
		STAILQ_INSERT_TAIL(&c->job.made, p, next);
	} else {
		buffer_fini(&p->frame);
		free(p);
	}
	return (rc);
}

enum rc
e3_call_emit(struct e3_call *c, struct buffer *body, bool more)
{
	enum rc rc;

	rc = add(c, RPC_STATUS_OK, (struct span){ buffer_data(body),
	    buffer_len(body) }, more);
	buffer_clear(body);
	return (rc);
}

void
e3_call_fail(struct e3_call *c, enum rpc_status status)
{
	enum rc rc = add(c, status, (struct span){ NULL, 0 }, false);

	ensure(rc == RC_OK);	/* a few bytes: only without any memory */
}

enum rpc_status
e3_call_status(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return (RPC_STATUS_OK);
	case RC_SYNTAX:
	case RC_UNSUPPORTED:
		return (RPC_STATUS_BAD_REQUEST);
	case RC_LIMIT:
		return (RPC_STATUS_LIMIT);
	case RC_NOMEM:
		return (RPC_STATUS_OVERLOADED);
	case RC_CONFLICT:
		return (RPC_STATUS_CONFLICT);
	case RC_CANCELLED:
		return (RPC_STATUS_CANCELLED);
	default:
		return (RPC_STATUS_INTERNAL);
	}
}
