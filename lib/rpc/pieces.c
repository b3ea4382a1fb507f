/*
 * rpc/pieces.c - entries to pieces.
 *
 * A MessagePack array begins with its count, which is known when the piece is
 * full: room for its head is left in front.
 */
#include "lib/rpc/pieces.h"

/* The array, without the head of its frame. */
#define PIECE_BYTES_MAX	(RPC_REPLY_PIECE_BYTES - 64)
#define ENTRY_BYTES	192	/* of a short value: a first guess of the piece */

void
rpc_pieces_init(struct rpc_pieces *p, struct rpc_served *served, size_t n)
{
	*p = (struct rpc_pieces){ .served = served, .left = n };
	buffer_init(&p->piece, 0, true);
}

void
rpc_pieces_fini(struct rpc_pieces *p)
{
	buffer_fini(&p->piece);
}

/* An empty piece with room for a usual one. */
static enum rc
begin(struct rpc_pieces *p)
{
	static const char head[RPC_ARRAY_HEAD_BYTES];
	size_t bytes = sizeof(head) + p->left * ENTRY_BYTES;
	enum rc rc;

	p->entries = 0;
	rc = buffer_reserve(&p->piece, bytes < PIECE_BYTES_MAX ? bytes :
	    PIECE_BYTES_MAX, NULL);
	return (rc != RC_OK ? rc :
	    buffer_append(&p->piece, head, sizeof(head)));
}

static enum rc
emit(struct rpc_pieces *p, bool more)
{
	rpc_write_array_head(buffer_data(&p->piece), p->entries);
	return (rpc_served_emit(p->served, &p->piece, more));
}

/* The last entry made the piece too long: it becomes the first of the next. */
static enum rc
carry_over(struct rpc_pieces *p)
{
	struct buffer entry;
	enum rc rc;

	buffer_init(&entry, 0, true);
	rc = buffer_append(&entry, buffer_data(&p->piece) + p->from,
	    buffer_len(&p->piece) - p->from);
	buffer_truncate(&p->piece, p->from);
	if (rc == RC_OK && (rc = emit(p, true)) == RC_OK &&
	    (rc = begin(p)) == RC_OK)
		rc = buffer_append(&p->piece, buffer_data(&entry),
		    buffer_len(&entry));
	buffer_fini(&entry);
	return (rc);
}

/* End the entry that is open; then there is a piece, if an empty one. */
static enum rc
settle(struct rpc_pieces *p)
{
	bool full = p->open && p->entries != 0 &&
	    buffer_len(&p->piece) > PIECE_BYTES_MAX;

	if (p->rc == RC_OK && full)
		p->rc = carry_over(p);
	p->entries += p->open;
	p->open = false;
	if (p->rc == RC_OK && buffer_len(&p->piece) == 0)
		p->rc = begin(p);
	return (p->rc);
}

enum rc
rpc_pieces_next(struct rpc_pieces *p)
{
	p->open = settle(p) == RC_OK;
	p->from = buffer_len(&p->piece);
	p->left -= p->left != 0;
	return (p->rc);
}

enum rc
rpc_pieces_end(struct rpc_pieces *p)
{
	return (settle(p) == RC_OK ? emit(p, false) : p->rc);
}

enum rpc_status
rpc_pieces_answer(struct rpc_pieces *p)
{
	enum rc rc = rpc_pieces_end(p);

	rpc_pieces_fini(p);
	return (rpc_served_status(rc));
}
