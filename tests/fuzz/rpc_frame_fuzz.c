/*
 * Frames, MessagePack and bodies from a hostile peer: no crash, no read
 * outside, views inside the payload, and what the walk takes msgpack-c takes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/rpc/credential.h"
#include "lib/rpc/frame.h"
#include "lib/rpc/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
inside(struct span part, struct span whole)
{
	if (part.len == 0)
		return;
	ensure(part.p >= whole.p &&
	    part.p + part.len <= whole.p + whole.len);
}

static void
read_encrypt(const struct rpc_value *body, struct span payload)
{
	struct rpc_encrypt e;
	struct rpc_field f;

	if (rpc_encrypt_read(body, &e) != RC_OK)
		return;
	inside(e.app, payload);
	for (size_t i = 0; i <= e.n_fields; i++) {
		if (rpc_encrypt_field_at(&e, i, &f) != RC_OK)
			continue;
		inside(f.bytes, payload);
		inside(f.role, payload);
	}
}

static void
read_decrypt(const struct rpc_value *body, struct span payload)
{
	struct rpc_decrypt d;
	struct span token, role;

	if (rpc_decrypt_read(body, &d) != RC_OK)
		return;
	for (size_t i = 0; i <= d.n_tokens; i++) {
		if (rpc_decrypt_token_at(&d, i, &token, &role) != RC_OK)
			continue;
		inside(token, payload);
		inside(role, payload);
	}
}

static void
read_rewrap(const struct rpc_value *body, struct span payload)
{
	struct rpc_rewrap r;
	struct span token;

	if (rpc_rewrap_read(body, &r) != RC_OK)
		return;
	inside(r.app, payload);
	for (size_t i = 0; i <= r.n_tokens; i++)
		if (rpc_rewrap_token_at(&r, i, &token) == RC_OK)
			inside(token, payload);
}

static void
read_credential(const struct rpc_value *body, struct span payload)
{
	struct rpc_create_token t;
	struct rpc_credential c;

	if (rpc_credential_read(body, &c) == RC_OK) {
		inside(c.secret, payload);
		inside(c.app, payload);
		inside(c.key, payload);
		inside(c.payload_hash, payload);
	}
	if (rpc_create_token_read(body, &t) == RC_OK) {
		inside(t.app, payload);
		inside(t.action, payload);
		inside(t.payload_hash, payload);
	}
}

static void
read_small_reply(const struct rpc_value *body, struct span payload)
{
	struct rpc_created_token t;
	struct rpc_inspected s;

	if (rpc_created_token_read(body, &t) == RC_OK) {
		inside(t.token, payload);
		inside(t.id, payload);
	}
	if (rpc_inspected_read(body, &s) == RC_OK) {
		inside(s.role, payload);
		inside(s.fingerprint, payload);
	}
}

static void
read_results(const struct rpc_value *body, struct span payload)
{
	size_t n = rpc_array_len(body);
	struct rpc_sealed s;
	struct rpc_rewrapped w;
	struct rpc_opened o;

	for (size_t i = 0; n != SIZE_MAX && i <= n; i++) {
		if (rpc_rewrapped_at(body, i, &w) == RC_OK)
			inside(w.token, payload);
		if (rpc_sealed_at(body, i, &s) == RC_OK)
			inside(s.bytes, payload);
		if (rpc_opened_at(body, i, &o) == RC_OK)
			inside(o.bytes, payload);
	}
}

/* What was read is written again and read again: the same. */
static void
write_again(const struct rpc_call_frame *f)
{
	const struct rpc_op_info *op = rpc_op_lookup(f->op);
	struct rpc_call_frame again;
	struct buffer out;
	struct span payload, body;
	size_t used, n;

	if (op == NULL)
		return;
	/* The body is what is left of the signed part behind id and op. */
	body = f->signed_part;
	for (int i = 0; i < 2; i++) {
		n = rpc_value_extent(body.p, body.len);
		ensure(n != 0);
		body.p += n;
		body.len -= n;
	}
	buffer_init(&out, 0, false);
	ensure(rpc_call_frame_write(&out, f->id, op->op, body,
	    f->signature) == RC_OK);
	ensure(rpc_frame_next(buffer_data(&out), buffer_len(&out),
	    RPC_FRAME_BYTES_MAX, &payload, &used) == RC_OK);
	ensure(rpc_call_frame_read(&again, payload) == RC_OK);
	ensure(again.id == f->id && span_eq(again.op, f->op));
	ensure(span_eq(again.signature, f->signature));
	rpc_call_frame_fini(&again);
	buffer_fini(&out);
}

/* A map reads the same without being unpacked. */
static void
scan(struct span payload, const struct rpc_value *root)
{
	struct span text = { NULL, 0 }, same = { NULL, 0 };
	uint64_t n = 0, m = 0;

	if (root == NULL || rpc_map_get(root, "n") == NULL)
		return;
	ensure(rpc_scan(payload, RPC_MAY_U64("n", &n),
	    RPC_MAY_BYTES("t", &text)));
	(void)rpc_get_u64(rpc_map_get(root, "n"), &m);
	(void)rpc_get_bytes(rpc_map_get(root, "t"), &same);
	ensure(n == m && span_eq(text, same));
}

static void
read_payload(struct span payload)
{
	struct rpc_call_frame call;
	struct rpc_reply_frame reply;
	struct rpc_document d;
	enum rc walked = rpc_walk(payload.p, payload.len);

	ensure(rpc_document_read(&d, payload.p, payload.len) == walked);
	scan(payload, d.root);
	rpc_document_fini(&d);
	if (rpc_call_frame_read(&call, payload) == RC_OK) {
		ensure(call.id != 0);
		inside(call.op, payload);
		inside(call.signature, payload);
		inside(call.signed_part, payload);
		read_encrypt(call.body, payload);
		read_decrypt(call.body, payload);
		read_rewrap(call.body, payload);
		read_credential(call.body, payload);
		write_again(&call);
		rpc_call_frame_fini(&call);
	}
	if (rpc_reply_frame_read(&reply, payload) == RC_OK) {
		read_results(reply.body, payload);
		read_small_reply(reply.body, payload);
		rpc_reply_frame_fini(&reply);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0, used;
	struct span payload;
	char *exact;

	while (rpc_frame_next((const char *)data + at, size - at, 1 << 20,
	    &payload, &used) == RC_OK) {
		/* A copy of its own, so that a read past its end is seen. */
		ensure((exact = malloc(payload.len)) != NULL);
		memcpy(exact, payload.p, payload.len);
		read_payload((struct span){ exact, payload.len });
		free(exact);
		at += used;
	}
	return (0);
}
