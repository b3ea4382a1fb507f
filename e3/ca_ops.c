/*
 * e3/ca_ops.c - GetCA, CreateCA, InstallCA.
 *
 * CAs are kept by app_system, which the first CreateCA makes.  A new one takes
 * over at its active_ms, by every engine's own clock, with no further change:
 * so its date can be set long ahead, and clients learn it before.
 */
#include "e3/ca_ops.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "e3/ca_cert.h"
#include "e3/change.h"
#include "e3/x509_text.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

/* ---- GetCA ---- */

static X509 *
anchor(const struct e3_ca *ca)
{
	return (ca->n_certs == 0 ? NULL : ca->certs[ca->n_certs - 1]);
}

static void
put_ca(struct buffer *b, const struct e3_ca *ca, const struct e3_ca *signing,
    uint64_t now_ms)
{
	const char *state = e3_ca_state_name(e3_ca_state(ca, signing, now_ms));
	uint8_t sum[SHA256_DIGEST_LENGTH], anchor_sum[SHA256_DIGEST_LENGTH];
	struct buffer pem;

	buffer_init(&pem, 0, false);
	if (ca->n_certs == 0) {
		/* A copy: buffer_cstr writes, and other threads read this. */
		buffer_put(&pem, buffer_data(&ca->pem), buffer_len(&ca->pem));
		rpc_pack_list(b, RPC_STR("id", ca->id),
		    RPC_STR("state", state), RPC_NIL("sha256"),
		    RPC_NIL("not_before_ms"), RPC_NIL("not_after_ms"),
		    RPC_STR("pem", buffer_cstr(&pem)),
		    RPC_NIL("active_ms"), RPC_NIL("anchor_sha256"));
		buffer_fini(&pem);
		return;
	}
	(void)e3_x509_put(ca->certs[0], &pem);
	(void)X509_digest(ca->certs[0], EVP_sha256(), sum, NULL);
	(void)X509_digest(anchor(ca), EVP_sha256(), anchor_sum, NULL);
	rpc_pack_list(b, RPC_STR("id", ca->id), RPC_STR("state", state),
	    RPC_BIN("sha256", sum, sizeof(sum)),
	    RPC_U64("not_before_ms", ca->not_before_ms),
	    RPC_U64("not_after_ms", ca->not_after_ms),
	    RPC_STR("pem", buffer_cstr(&pem)),
	    RPC_U64("active_ms", ca->active_ms),
	    RPC_BIN("anchor_sha256", anchor_sum, sizeof(anchor_sum)));
	buffer_fini(&pem);
}

/* What clients must trust now and soon, each once; the signing CA's first. */
static void
put_anchors(struct buffer *b, struct e3_ca *const *cas, unsigned n,
    const struct e3_ca *signing, uint64_t now_ms)
{
	X509 *put[E3_CAS_MAX + 1];
	unsigned n_put = 0;

	if (signing != NULL)
		put[n_put++] = anchor(signing);
	for (unsigned i = 0; i < n; i++) {
		X509 *cert = anchor(cas[i]);
		bool known = cert == NULL || cas[i]->not_after_ms <= now_ms;

		for (unsigned k = 0; !known && k < n_put; k++)
			known = X509_cmp(put[k], cert) == 0;
		if (!known)
			put[n_put++] = cert;
	}
	for (unsigned i = 0; i < n_put; i++)
		(void)e3_x509_put(put[i], b);
}

/* By this a worker knows the leaves of the CA that signs from those of a former
 * one. */
static void
put_issuers_sum(struct buffer *b, const struct e3_ca *signing)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	struct buffer pem;

	if (signing == NULL) {
		rpc_put_nil(b);
		return;
	}
	buffer_init(&pem, 0, false);
	if (e3_ca_put_issuers(signing, &pem) &&
	    EVP_Digest(buffer_data(&pem), buffer_len(&pem), sum, NULL,
	    EVP_sha256(), NULL) == 1)
		rpc_put_bin(b, (struct span){ (const char *)sum, sizeof(sum) });
	else
		rpc_put_nil(b);
	buffer_fini(&pem);
}

enum rpc_status
e3_get_ca(struct e3_engine *e, struct e3_call *c)
{
	const struct e3_app *app = e3_keyring_app(e->keyring,
	    SPAN_LIT(E3_SYSTEM_APP));
	unsigned n = app == NULL ? 0 : app->n_cas;
	uint64_t now_ms = clock_wall_ms();
	const struct e3_ca *signing = NULL;
	struct buffer cas, anchors, issuers;
	uint64_t changes_ms = 0;
	enum rpc_status status;

	buffer_init(&cas, 0, false);
	buffer_init(&anchors, 0, false);
	buffer_init(&issuers, 0, false);
	rpc_put_array(&cas, n);
	if (n != 0) {
		signing = e3_ca_signing(app->cas, n, now_ms);
		put_anchors(&anchors, app->cas, n, signing, now_ms);
		changes_ms = e3_ca_changes_ms(app->cas, n, now_ms);
	}
	put_issuers_sum(&issuers, signing);
	for (unsigned i = 0; i < n; i++)
		put_ca(&cas, app->cas[i], signing, now_ms);
	status = rpc_answer(&c->served, RPC_RAW_OF("cas", &cas),
	    RPC_STR("anchors", buffer_cstr(&anchors)),
	    RPC_RAW_OF("issuers_sha256", &issuers),
	    RPC_MAYBE_U64("changes_ms", changes_ms));
	buffer_fini(&issuers);
	buffer_fini(&cas);
	buffer_fini(&anchors);
	return (status);
}

/* ---- CreateCA ---- */

static void
put_text(struct e3_change *w, const char *key, const char *text)
{
	w->n_members++;
	rpc_put_str(&w->members, key);
	if (text[0] != '\0')
		rpc_put_str(&w->members, text);
	else
		rpc_put_nil(&w->members);
}

static enum rc
create(struct e3_change *w, struct scheme_crypto *crypto,
    struct e3_ca_wish *wish)
{
	uint64_t now_ms = clock_wall_ms();
	struct buffer cert;
	struct e3_ca *ca;
	enum rc rc;

	if ((rc = e3_change_make_pairs(w, crypto)) != RC_OK ||
	    (rc = e3_ca_new(crypto, NULL, &ca)) != RC_OK)
		return (rc);
	w->next->cas[w->next->n_cas++] = ca;
	ca->created_ms = now_ms;
	buffer_init(&cert, 0, false);
	rc = e3_ca_request(ca, wish, &ca->pem);
	if (rc == RC_OK && wish->self_signed)
		rc = e3_ca_self_signed(ca, wish, now_ms, &cert);
	put_text(w, "ca", ca->id);
	put_text(w, "csr", buffer_cstr(&ca->pem));
	put_text(w, "certificate", buffer_cstr(&cert));
	put_text(w, "app", w->next->id);
	buffer_fini(&cert);
	return (rc);
}

static enum rc
create_make(struct e3_change *w, struct scheme_crypto *crypto)
{
	struct e3_ca_wish wish;
	enum rc rc;

	if ((rc = e3_ca_wish_read(w->body, &wish)) != RC_OK)
		return (rc);
	rc = create(w, crypto, &wish);
	e3_ca_wish_fini(&wish);
	return (rc);
}

/* The next app_system. */
static enum rpc_status
begin(struct e3_engine *e, struct e3_call *c, struct e3_change **out)
{
	enum rpc_status status;
	enum rc rc;

	*out = e3_change_new(c);
	status = e3_dispatch_app(e, c, SPAN_LIT(E3_SYSTEM_APP));
	if (status != RPC_STATUS_OK)
		return (status);
	if ((rc = e3_app_copy(c->app, 0, 0, &(*out)->next)) != RC_OK)
		return (rpc_served_status(rc));
	(*out)->next->version++;
	return (RPC_STATUS_OK);
}

enum rpc_status
e3_create_ca(struct e3_engine *e, struct e3_call *c)
{
	enum rpc_status status;
	struct e3_change *w;

	status = begin(e, c, &w);
	if (status == RPC_STATUS_NO_SUCH_APP)
		status = rpc_served_status(e3_change_new_app(e, w,
		    E3_SYSTEM_APP));
	if (status != RPC_STATUS_OK)
		return (status);
	if (!e3_app_make_room_for_ca(w->next, clock_wall_ms()))
		return (RPC_STATUS_LIMIT);
	w->make = create_make;
	return (e3_change_submit(e, c));
}

/* ---- InstallCA ---- */

static struct e3_ca **
find(const struct e3_change *w, struct span id)
{
	for (unsigned i = 0; i < w->next->n_cas; i++)
		if (span_eq_str(id, w->next->cas[i]->id))
			return (&w->next->cas[i]);
	return (NULL);
}

/* A date that has passed means now, or what signed before could be newer.  The
 * one that signs goes on: it has a new certificate, and no other date. */
static uint64_t
active_from(const struct e3_change *w, const struct e3_ca *former,
    uint64_t wanted_ms, uint64_t now_ms)
{
	if (e3_ca_signing(w->next->cas, w->next->n_cas, now_ms) == former)
		return (former->active_ms);
	return (wanted_ms > now_ms ? wanted_ms : now_ms);
}

static enum rc
install_make(struct e3_change *w, struct scheme_crypto *crypto)
{
	uint64_t now_ms = clock_wall_ms(), active_ms = 0;
	struct e3_ca **at, *ca;
	const char *why;
	struct span id, pem;
	enum rc rc;

	if (!rpc_unpack(w->body, RPC_WANT_BYTES("ca", &id),
	    RPC_WANT_BYTES("chain", &pem),
	    RPC_MAY_U64("active_ms", &active_ms)) ||
	    (at = find(w, id)) == NULL)
		return (RC_SYNTAX);
	if ((rc = e3_ca_new(crypto, (*at)->secret, &ca)) != RC_OK)
		return (rc);
	ca->created_ms = (*at)->created_ms;
	ca->active_ms = active_from(w, *at, active_ms, now_ms);
	if (e3_ca_set_chain(ca, pem) != RC_OK)
		why = "not-of-this-key";
	else if ((why = e3_ca_fault(ca, *at, now_ms)) == NULL &&
	    ca->active_ms >= ca->not_after_ms)
		why = "begins-after-its-end";
	if (why == NULL) {
		e3_ca_unref(at);
		*at = ca;
		return (RC_OK);
	}
	/* Signed by an admin: not at anybody's will. */
	log_info("ca-refused ca=%s why=%s", ca->id, why);
	e3_ca_unref(&ca);
	return (RC_SYNTAX);
}

enum rpc_status
e3_install_ca(struct e3_engine *e, struct e3_call *c)
{
	enum rpc_status status;
	struct e3_change *w;
	struct e3_ca **at;
	struct span id;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BYTES("ca", &id)))
		return (RPC_STATUS_BAD_REQUEST);
	status = begin(e, c, &w);
	if (status != RPC_STATUS_OK || (at = find(w, id)) == NULL)
		return (status == RPC_STATUS_OK ||
		    status == RPC_STATUS_NO_SUCH_APP ?
		    RPC_STATUS_NO_SUCH_KEY : status);
	(void)span_copy(id, w->subject, sizeof(w->subject));
	w->make = install_make;
	return (e3_change_submit(e, c));
}
