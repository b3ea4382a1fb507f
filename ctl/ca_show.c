/* ctl/ca_show.c - what the engine says of its egress CAs; `ca show`. */
#include "ctl/ca_show.h"

#include <string.h>

#include "ctl/ca_x509.h"
#include "ctl/listing.h"
#include "ctl/time_text.h"
#include "lib/body/json_write.h"

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* ---- what the engine has ---------------------------------------------------------- */

/* [id, state, sha256, not_before_ms, not_after_ms, pem, active_ms,
 * anchor_sha256] */
struct ca_row {
	struct span	id, state, sha256, pem;		/* views */
	struct span	anchor_sha256;			/* view */
	uint64_t	not_before_ms, not_after_ms, active_ms;
};

static bool
row_read(const struct rpc_value *v, struct ca_row *r)
{
	*r = (struct ca_row){ .sha256 = SPAN_LIT(""),
	    .anchor_sha256 = SPAN_LIT("") };
	return (rpc_unpack_list(v, RPC_WANT_BYTES("id", &r->id),
	    RPC_WANT_BYTES("state", &r->state),
	    RPC_MAY_BYTES("sha256", &r->sha256),
	    RPC_MAY_U64("not_before_ms", &r->not_before_ms),
	    RPC_MAY_U64("not_after_ms", &r->not_after_ms),
	    RPC_WANT_BYTES("pem", &r->pem),
	    RPC_MAY_U64("active_ms", &r->active_ms),
	    RPC_MAY_BYTES("anchor_sha256", &r->anchor_sha256)));
}

static void
on_signing(void *arg, const struct rpc_value *body)
{
	const struct rpc_value *rows = rpc_map_get(body, "cas");
	size_t n = rpc_array_len(rows);
	struct ca_signing *s = arg;
	struct ca_row r;

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		if (!row_read(rpc_array_at(rows, i), &r) ||
		    !span_eq_str(r.state, "signs"))
			continue;
		s->found = true;
		s->self_signed = ca_x509_self_signed(r.pem);
		ca_x509_permitted(r.pem, &s->permitted);
	}
}

static enum ctl_exit
ask(struct ctl *ctl, enum engine_which which, engine_reply_cb *cb, void *arg)
{
	struct engine_client *engine = NULL;
	struct buffer body;
	enum ctl_exit status;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	status = engine_client_open(ctl, which, &engine);
	if (status == CTL_DONE)
		status = engine_client_must(engine, RPC_OP_GET_CA, &body, cb,
		    arg);
	engine_client_close(&engine);
	buffer_fini(&body);
	return (status);
}

enum ctl_exit
ca_signing(struct ctl *ctl, struct ca_signing *s)
{
	memset(s, 0, sizeof(*s));
	buffer_init(&s->permitted, 0, false);
	return (ask(ctl, ENGINE_LOCAL, on_signing, s));
}

/* ---- show --------------------------------------------------------------------------- */

/* "AB:CD:...", as browsers and openssl show it; "" for none. */
static void
fingerprint(struct span sha256, struct buffer *out)
{
	buffer_init(out, 0, false);
	for (size_t i = 0; i < sha256.len; i++)
		buffer_printf(out, "%s%02X", i == 0 ? "" : ":",
		    (unsigned)(unsigned char)sha256.p[i]);
}

static void
show_json(struct listing *l, const struct ca_row *r, const struct buffer *sum,
    const struct buffer *anchor_sum, const struct buffer *permitted)
{
	body_json_open_object(&l->w, NULL);
	body_json_put_string(&l->w, "ca", r->id);
	body_json_put_string(&l->w, "state", r->state);
	body_json_put_string(&l->w, "permitted", view(permitted));
	body_json_put_string(&l->w, "pem", r->pem);
	if (r->sha256.len != 0) {
		body_json_put_string(&l->w, "sha256", view(sum));
		body_json_put_string(&l->w, "anchor_sha256", view(anchor_sum));
		body_json_put_u64(&l->w, "not_before_ms", r->not_before_ms);
		body_json_put_u64(&l->w, "not_after_ms", r->not_after_ms);
		body_json_put_u64(&l->w, "active_ms", r->active_ms);
	}
	body_json_close_object(&l->w);
}

static void
put_sum_cell(struct listing *l, struct buffer *sum)
{
	table_cell_str(l->table, buffer_len(sum) == 0 ? "-" : buffer_cstr(sum));
}

static void
show_row(struct listing *l, const struct ca_row *r)
{
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
	struct buffer sum, anchor_sum, permitted;

	buffer_init(&permitted, 0, false);
	fingerprint(r->sha256, &sum);
	fingerprint(r->anchor_sha256, &anchor_sum);
	ca_x509_permitted(r->pem, &permitted);
	if (l->json) {
		show_json(l, r, &sum, &anchor_sum, &permitted);
	} else {
		time_text(r->active_ms, from);
		time_text(r->not_after_ms, to);
		table_cell(l->table, r->id);
		table_cell(l->table, r->state);
		table_cell_str(l->table, from);
		table_cell_str(l->table, to);
		table_cell_str(l->table, buffer_len(&permitted) == 0 ? "any" :
		    buffer_cstr(&permitted));
		put_sum_cell(l, &sum);
		put_sum_cell(l, &anchor_sum);
	}
	buffer_fini(&sum);
	buffer_fini(&anchor_sum);
	buffer_fini(&permitted);
}

static void
on_show(void *arg, const struct rpc_value *body)
{
	const struct rpc_value *rows = rpc_map_get(body, "cas");
	size_t n = rpc_array_len(rows);
	struct ca_row r;

	for (size_t i = 0; n != SIZE_MAX && i < n; i++)
		if (row_read(rpc_array_at(rows, i), &r))
			show_row(arg, &r);
}

static void
on_anchors(void *arg, const struct rpc_value *body)
{
	struct buffer *out = arg;
	struct span pem;

	if (rpc_get_bytes(rpc_map_get(body, "anchors"), &pem))
		buffer_put(out, pem.p, pem.len);
}

enum ctl_exit
ctl_ca_show(struct ctl *ctl)
{
	static const char *const heads[] = { "CA", "STATE", "SIGNS FROM",
	    "ENDS", "PERMITTED", "SHA-256", "TRUST SHA-256" };
	struct buffer b;
	enum ctl_exit status;

	buffer_init(&b, 0, false);
	if (args_has(&ctl->args, "pem")) {
		status = ask(ctl, ENGINE_ANY, on_anchors, &b);
		if (status == CTL_DONE)
			status = ctl_print(view(&b));
	} else {
		rpc_put_map(&b, 0);
		status = listing_print(ctl, heads, 7, RPC_OP_GET_CA, &b,
		    on_show);
	}
	buffer_fini(&b);
	return (status);
}
