/*
 * Pieces cover the document from the front without a gap, in the order that a
 * multipart has, and are the same however the document is cut; a boundary and
 * a head are what they must be.
 * First byte: how it is cut; a line with the boundary; the document.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/object.h"
#include "lib/body/multipart.h"
#include "lib/body/part_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* A part's data or a text outside in one piece. */
struct told {
	struct buffer	pieces;		/* of struct body_multipart_piece */
	bool		open;
	enum rc		rc;
	bool		closed;
};

static struct body_multipart_piece *
piece_at(struct told *t, size_t i)
{
	return ((struct body_multipart_piece *)(void *)buffer_data(&t->pieces) +
	    i);
}

static size_t
count(const struct told *t)
{
	return (buffer_len(&t->pieces) / sizeof(struct body_multipart_piece));
}

static void
add(struct told *t, const struct body_multipart_piece *piece)
{
	struct body_multipart_piece *before;

	if (t->open) {
		before = piece_at(t, count(t) - 1);
		ensure(before->kind == piece->kind && before->end == piece->start);
		before->end = piece->end;
		before->last = piece->last;
	} else
		buffer_put(&t->pieces, piece, sizeof(*piece));
	t->open = !piece->last;
}

static void
read_all(struct span text, struct span boundary, size_t step, struct told *t)
{
	struct body_multipart_piece piece;
	struct body_multipart m;
	size_t end = step == 0 ? text.len : 0;

	ensure(body_multipart_init(&m, boundary) == RC_OK);
	do {
		size_t base = m.at;
		char *window = malloc(end - base + 1);

		ensure(window != NULL);
		memcpy(window, text.p + base, end - base);
		while ((t->rc = body_multipart_next(&m,
		    (struct span){ window, end - base }, base, end == text.len,
		    &piece)) == RC_OK)
			add(t, &piece);
		free(window);
		ensure(t->rc != RC_MORE || end < text.len);
		end = text.len - end < step ? text.len : end + step;
	} while (t->rc == RC_MORE);
	t->closed = m.closed;
}

static void
check_order(struct told *t, struct span text)
{
	struct body_part_head h;
	size_t at = 0;

	ensure(count(t) > 0 && piece_at(t, 0)->kind == BODY_MULTIPART_OUTSIDE);
	for (size_t i = 0; i < count(t); i++) {
		const struct body_multipart_piece *p = piece_at(t, i);
		struct span s = { text.p + p->start, p->end - p->start };

		ensure(p->start == at && p->end >= at && p->end <= text.len);
		ensure(p->last);
		at = p->end;
		if (i % 2 == 1 && p->kind == BODY_MULTIPART_BOUNDARY)
			ensure(memmem(s.p, s.len, "--", 2) != NULL);
		if (p->kind != BODY_MULTIPART_HEAD)
			continue;
		ensure(piece_at(t, i - 1)->kind == BODY_MULTIPART_BOUNDARY);
		ensure(s.len >= 2 && memcmp(s.p + s.len - 2, "\r\n", 2) == 0);
		body_part_head_read(s, &h);
		ensure(h.type.len + h.name.len + h.filename.len <= s.len);
	}
	ensure(t->rc != RC_EOF || at == text.len);
	ensure(t->rc == RC_EOF || !t->open);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct told once = { .open = false }, often = { .open = false };
	struct span text, boundary, out;
	struct body_multipart m;
	const char *line;

	if (len < 2 || (line = memchr(data + 1, '\n', len - 1)) == NULL)
		return (0);
	boundary.p = (const char *)data + 1;
	boundary.len = (size_t)(line - boundary.p);
	text.p = line + 1;
	text.len = len - boundary.len - 2;
	if (body_media_boundary(text, &out) == RC_OK)
		ensure(out.p >= text.p && out.p + out.len <= text.p + text.len);
	if (body_multipart_init(&m, boundary) != RC_OK)
		return (0);
	buffer_init(&once.pieces, 0, false);
	buffer_init(&often.pieces, 0, false);
	read_all(text, boundary, 0, &once);
	read_all(text, boundary, 1 + data[0] % 64, &often);
	check_order(&once, text);
	ensure(once.rc == often.rc && once.closed == often.closed);
	ensure(count(&once) == count(&often));
	for (size_t i = 0; i < count(&once); i++)
		ensure(piece_at(&once, i)->kind == piece_at(&often, i)->kind &&
		    piece_at(&once, i)->end == piece_at(&often, i)->end);
	buffer_fini(&once.pieces);
	buffer_fini(&often.pieces);
	return (0);
}
