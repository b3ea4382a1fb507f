/*
 * rpc/frame.c - the two frames and their outermost arrays.
 *
 * A frame's length counts the payload, not the four bytes before it.
 */
#include "lib/rpc/frame.h"

#include <string.h>

#include "lib/base/object.h"

static const char empty_map[] = { (char)0x80 };

static uint32_t
be32(const char *p)
{
	const uint8_t *u = (const uint8_t *)p;

	return ((uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 |
	    (uint32_t)u[2] << 8 | u[3]);
}

enum rc
rpc_frame_next(const char *in, size_t len, size_t max_bytes,
    struct span *payload, size_t *used)
{
	size_t n;

	*payload = (struct span){ NULL, 0 };
	*used = 0;
	if (len < RPC_FRAME_HEAD_BYTES)
		return (RC_MORE);
	n = be32(in);
	if (n == 0 || n > max_bytes)
		return (RC_LIMIT);
	*used = RPC_FRAME_HEAD_BYTES + n;
	if (len < *used)
		return (RC_MORE);
	*payload = (struct span){ in + RPC_FRAME_HEAD_BYTES, n };
	return (RC_OK);
}

/* ---- reading ---- */

/* The id of a frame that could not be unpacked, or 0: a refusal names the
 * call although its body is hostile. */
static uint64_t
id_peek(struct span payload)
{
	struct rpc_document d;
	size_t at = 1, n;
	uint64_t id = 0;

	if (payload.len < 1 || ((uint8_t)payload.p[0] & 0xf0) != 0x90)
		return (0);
	n = rpc_value_extent(payload.p + at, payload.len - at);
	if (n == 0)
		return (0);
	at += n;
	n = rpc_value_extent(payload.p + at, payload.len - at);
	if (n == 0 || n > 9)
		return (0);
	if (rpc_document_read(&d, payload.p + at, n) == RC_OK &&
	    !rpc_get_u64(d.root, &id))
		id = 0;
	rpc_document_fini(&d);
	return (id);
}

/* Unpack, and read what both kinds begin with: version and id. */
static enum rc
envelope_read(struct rpc_document *doc, struct span payload, uint64_t *id)
{
	uint64_t version;
	enum rc rc;

	*id = 0;
	if ((rc = rpc_document_read(doc, payload.p, payload.len)) != RC_OK) {
		*id = id_peek(payload);
		return (rc);
	}
	if (!rpc_get_u64(rpc_array_at(doc->root, 1), id) || *id == 0)
		return (RC_SYNTAX);
	if (!rpc_get_u64(rpc_array_at(doc->root, 0), &version) ||
	    version != RPC_VERSION)
		return (RC_SYNTAX);
	return (RC_OK);
}

/*
 * Where id, op and body lie in the payload.  Only a signature needs the end
 * of the body; without one the body is last, and a second walk is saved.
 */
static enum rc
signed_part_find(struct span payload, bool has_signature, struct span *out)
{
	size_t start, at, n;

	/* The array's own header: one byte, or the long forms. */
	switch ((uint8_t)payload.p[0]) {
	case 0xdc:
		at = 3;
		break;
	case 0xdd:
		at = 5;
		break;
	default:
		at = 1;
		break;
	}
	at += rpc_value_extent(payload.p + at, payload.len - at);
	start = at;
	if (!has_signature) {
		at = payload.len;
	} else {
		for (int i = 0; i < 3; i++) {
			n = rpc_value_extent(payload.p + at, payload.len - at);
			if (n == 0)
				return (RC_SYNTAX);
			at += n;
		}
	}
	*out = (struct span){ payload.p + start, at - start };
	return (RC_OK);
}

enum rc
rpc_call_frame_read(struct rpc_call_frame *f, struct span payload)
{
	const struct rpc_value *signature = NULL;
	size_t n;
	enum rc rc;

	memset(f, 0, sizeof(*f));
	if ((rc = envelope_read(&f->doc, payload, &f->id)) != RC_OK)
		goto broken;
	rc = RC_SYNTAX;
	n = rpc_array_len(f->doc.root);
	if (n != 4 && n != 5)
		goto broken;
	if (!rpc_get_bytes(rpc_array_at(f->doc.root, 2), &f->op))
		goto broken;
	f->body = rpc_array_at(f->doc.root, 3);
	if (n == 5 && !rpc_is_nil(rpc_array_at(f->doc.root, 4)))
		signature = rpc_array_at(f->doc.root, 4);
	if (signature != NULL && !rpc_get_bytes(signature, &f->signature))
		goto broken;
	if ((rc = signed_part_find(payload, n == 5, &f->signed_part)) != RC_OK)
		goto broken;
	return (RC_OK);
broken:
	rpc_document_fini(&f->doc);
	f->body = NULL;
	f->op = f->signature = f->signed_part = (struct span){ NULL, 0 };
	return (rc);
}

void
rpc_call_frame_fini(struct rpc_call_frame *f)
{
	rpc_document_fini(&f->doc);
	f->body = NULL;
}

enum rc
rpc_reply_frame_read(struct rpc_reply_frame *f, struct span payload)
{
	struct span status;
	enum rc rc;

	memset(f, 0, sizeof(*f));
	f->status = RPC_STATUS_INTERNAL;
	if ((rc = envelope_read(&f->doc, payload, &f->id)) != RC_OK)
		goto broken;
	rc = RC_SYNTAX;
	if (rpc_array_len(f->doc.root) != 5 ||
	    !rpc_get_bytes(rpc_array_at(f->doc.root, 2), &status) ||
	    !rpc_get_bool(rpc_array_at(f->doc.root, 4), &f->more))
		goto broken;
	f->status = rpc_status_lookup(status);
	f->body = rpc_array_at(f->doc.root, 3);
	return (RC_OK);
broken:
	rpc_document_fini(&f->doc);
	f->more = false;
	return (rc);
}

void
rpc_reply_frame_fini(struct rpc_reply_frame *f)
{
	rpc_document_fini(&f->doc);
	f->body = NULL;
}

/* ---- writing ---- */

/* A body that was left empty is the empty map. */
static struct span
body_or_empty(struct span body)
{
	if (body.len != 0)
		return (body);
	return ((struct span){ empty_map, sizeof(empty_map) });
}

static size_t
u64_bytes(uint64_t v)
{
	if (v < 0x80)
		return (1);
	if (v <= UINT8_MAX)
		return (2);
	if (v <= UINT16_MAX)
		return (3);
	return (v <= UINT32_MAX ? 5 : 9);
}

/* Bytes of the encoded signature: none for none; more than any frame for one
 * that fits no frame, so that the sum is not computed past its type. */
static size_t
signature_bytes(size_t len)
{
	if (len == 0 || len > RPC_FRAME_BYTES_MAX)
		return (len);
	if (len <= UINT8_MAX)
		return (2 + len);
	return (len <= UINT16_MAX ? 3 + len : 5 + len);
}

/*
 * Length, array, version, id and name: all that stands before a body.
 * `around` is what will follow it.  Room for the whole frame is there after
 * RC_OK if `whole`, so that a frame is never written in part.
 */
static enum rc
put_start(struct buffer *out, size_t elements, uint64_t id, const char *name,
    size_t body, size_t around, bool whole)
{
	size_t start, total, before;
	char *at;
	enum rc rc;

	ensure(id != 0 && body != 0);
	/* Both arrays and all names are of one-byte headers. */
	start = 2 + u64_bytes(id) + 1 + strlen(name);
	if (body > RPC_FRAME_BYTES_MAX || around > RPC_FRAME_BYTES_MAX)
		return (RC_LIMIT);
	total = start + body + around;
	if (total > RPC_FRAME_BYTES_MAX)
		return (RC_LIMIT);
	rc = buffer_reserve(out, RPC_FRAME_HEAD_BYTES +
	    (whole ? total : start), &at);
	if (rc != RC_OK)
		return (rc);
	before = buffer_len(out);
	for (int shift = 24; shift >= 0; shift -= 8)
		*at++ = (char)(uint8_t)(total >> shift);
	buffer_commit(out, RPC_FRAME_HEAD_BYTES);
	rpc_put_array(out, elements);
	rpc_put_u64(out, RPC_VERSION);
	rpc_put_u64(out, id);
	rpc_put_str(out, name);
	ensure(buffer_len(out) - before == RPC_FRAME_HEAD_BYTES + start);
	return (RC_OK);
}

enum rc
rpc_call_frame_put_head(struct buffer *out, uint64_t id, enum rpc_op op,
    size_t body_len, size_t signature_len)
{
	return (put_start(out, signature_len != 0 ? 5 : 4, id,
	    rpc_op_info(op)->name, body_len,
	    signature_bytes(signature_len), false));
}

enum rc
rpc_call_frame_write(struct buffer *out, uint64_t id, enum rpc_op op,
    struct span body, struct span signature)
{
	enum rc rc;

	body = body_or_empty(body);
	rc = put_start(out, signature.len != 0 ? 5 : 4, id,
	    rpc_op_info(op)->name, body.len,
	    signature_bytes(signature.len), true);
	if (rc != RC_OK)
		return (rc);
	buffer_put(out, body.p, body.len);
	if (signature.len != 0)
		rpc_put_bin(out, signature);
	return (RC_OK);
}

enum rc
rpc_reply_frame_write(struct buffer *out, uint64_t id,
    enum rpc_status status, struct span body, bool more)
{
	enum rc rc;

	body = body_or_empty(body);
	rc = put_start(out, 5, id, rpc_status_name(status), body.len, 1, true);
	if (rc != RC_OK)
		return (rc);
	buffer_put(out, body.p, body.len);
	rpc_put_bool(out, more);
	return (RC_OK);
}

void
rpc_signed_part(struct buffer *out, uint64_t id, enum rpc_op op,
    struct span body)
{
	body = body_or_empty(body);
	rpc_put_u64(out, id);
	rpc_put_str(out, rpc_op_info(op)->name);
	buffer_put(out, body.p, body.len);
}
