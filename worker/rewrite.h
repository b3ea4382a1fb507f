/*
 * worker/rewrite.h - a text (the fields of a head, a JSON document, a form)
 * whose chosen values are replaced one after the other; every other byte is
 * kept.
 * Context:   the loop's thread; no I/O.
 * Ownership: the owner embeds it; text is borrowed and outlives it.
 *
 * The text may be a window on a document that is still coming: offsets count
 * from the document's start, the window begins at `base`.
 */
#ifndef RELAY_WORKER_REWRITE_H
#define RELAY_WORKER_REWRITE_H

#include "lib/base/buffer.h"
#include "lib/body/slot.h"

enum rewrite_syntax {
	REWRITE_NONE,		/* nothing in it is chosen */
	REWRITE_HEAD,		/* field lines, as we write them */
	REWRITE_JSON,
	REWRITE_FORM,
	REWRITE_TOKENS,		/* any text: the tokens in it */
	REWRITE_HEAD_TOKENS	/* the same, in field lines and the target */
};

struct rewrite {
	enum rewrite_syntax	syntax;
	struct buffer		*text;		/* borrowed: the window */
	size_t			base;		/* its first byte's offset */
	struct body_slots	slots;		/* owned: of this round */
	size_t			at;		/* next slot to be replaced */
	struct buffer		out;		/* owned: the new text so far */
	size_t			copied;		/* offset: text before is in out */
	struct buffer		tmp;		/* owned: a decoded value */
	size_t			round_out;	/* out when the round began */
	size_t			round_copied;	/* and copied */
	struct span		delimiter;	/* view of the owner's: what new
						   text may not hold; or empty */
};

/* max: bytes of the new text that out may hold. */
void rewrite_init(struct rewrite *, enum rewrite_syntax, struct buffer *text,
    size_t max);
void rewrite_fini(struct rewrite *);

/* The decoded value of a slot: a view into the text, or into tmp (valid until
 * the next one).  RC_SYNTAX: it has none (a lone surrogate); RC_NOMEM. */
enum rc rewrite_value(struct rewrite *, const struct body_slot *,
    struct span *out) must_check;

/* What the answers to this round's slots can add to memory, in bytes: the
 * text up to `end`, and each value as a token. */
size_t rewrite_growth(const struct rewrite *, size_t end);

/* The round's answers begin again with the first slot. */
void rewrite_restart(struct rewrite *);

/* The next slot stays as it is, or becomes this text (a token, an opened
 * value), written as its place needs it.  RC_OK, RC_LIMIT, RC_NOMEM;
 * rewrite_replace also RC_SYNTAX: such text cannot stand there, nothing was
 * done (keep it then). */
enum rc rewrite_keep(struct rewrite *) must_check;
enum rc rewrite_replace(struct rewrite *, enum body_value_type,
    struct span text) must_check;

/* Every slot has its answer: the text up to `end` is copied and the round is
 * over.  drop: the window loses what was copied. */
enum rc rewrite_settle(struct rewrite *, size_t end, bool drop) must_check;

/* The owner takes the new text out of `out`. */
void rewrite_take(struct rewrite *, struct buffer *to);

#endif
