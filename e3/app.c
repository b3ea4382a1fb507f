/* e3/app.c - the app snapshot: birth, counting, wiping. */
#include "e3/app.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"
#include "lib/rpc/policy.h"

enum rc
e3_app_new(unsigned n_pairs, unsigned n_keys, struct e3_app **out)
{
	struct e3_app *a;

	*out = NULL;
	if (n_pairs == 0 || n_pairs > E3_PAIRS_MAX ||
	    n_keys > E3_API_KEYS_MAX + 1)	/* one that is being made */
		return (RC_LIMIT);
	a = xcalloc(1, sizeof(*a));
	a->magic = E3_APP_MAGIC;
	atomic_init(&a->refs, 1);
	a->n_pairs = n_pairs;
	a->n_keys = n_keys;
	a->pairs = xcalloc(n_pairs, sizeof(*a->pairs));
	a->keys = xcalloc(n_keys + 1, sizeof(*a->keys));
	buffer_init(&a->roles_bytes, 0, false);
	a->secrets = OPENSSL_secure_zalloc((size_t)n_pairs * SCHEME_SECRET_BYTES);
	if (a->secrets == NULL) {
		e3_app_unref(&a);
		return (RC_NOMEM);
	}
	for (unsigned i = 0; i < n_pairs; i++)
		a->pairs[i].secret = a->secrets + i * SCHEME_SECRET_BYTES;
	*out = a;
	return (RC_OK);
}

enum rc
e3_app_copy(const struct e3_app *from, unsigned extra_pairs,
    unsigned extra_keys, struct e3_app **out)
{
	struct e3_app *a;
	enum rc rc;

	obj_check(from, E3_APP_MAGIC);
	if ((rc = e3_app_new(from->n_pairs + extra_pairs,
	    from->n_keys + extra_keys, out)) != RC_OK)
		return (rc);
	a = *out;
	memcpy(a->id, from->id, sizeof(a->id));
	memcpy(a->name, from->name, sizeof(a->name));
	a->version = from->version;
	a->created_ms = from->created_ms;
	a->under_next = from->under_next;
	memcpy(a->secrets, from->secrets,
	    (size_t)from->n_pairs * SCHEME_SECRET_BYTES);
	for (unsigned i = 0; i < from->n_pairs; i++) {
		uint8_t *secret = a->pairs[i].secret;

		a->pairs[i] = from->pairs[i];
		a->pairs[i].secret = secret;
	}
	memcpy(a->keys, from->keys, from->n_keys * sizeof(*a->keys));
	for (; a->n_cas < from->n_cas; a->n_cas++)
		a->cas[a->n_cas] = e3_ca_ref(from->cas[a->n_cas]);
	if (from->roles.root != NULL &&
	    (rc = e3_app_set_roles(a, from->roles.root)) != RC_OK)
		e3_app_unref(out);
	return (rc);
}

struct e3_app *
e3_app_ref(struct e3_app *a)
{
	obj_check(a, E3_APP_MAGIC);
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return (a);
}

void
e3_app_unref(struct e3_app **ap)
{
	struct e3_app *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	obj_check(a, E3_APP_MAGIC);
	if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
		return;
	OPENSSL_secure_clear_free(a->secrets,
	    (size_t)a->n_pairs * SCHEME_SECRET_BYTES);
	secret_wipe(a->keys, (a->n_keys + 1) * sizeof(*a->keys));
	free(a->keys);
	free(a->pairs);
	while (a->n_cas != 0)
		e3_ca_unref(&a->cas[--a->n_cas]);
	rpc_document_fini(&a->roles);
	buffer_fini(&a->roles_bytes);
	a->magic = 0;
	free(a);
}

enum rc
e3_app_set_roles(struct e3_app *a, const struct rpc_value *roles)
{
	struct rpc_document doc;
	struct buffer b;
	enum rc rc;

	if ((rc = rpc_policy_check(roles)) != RC_OK)
		return (rc);
	buffer_init(&b, 0, false);
	rpc_put_value(&b, roles);
	rc = buffer_len(&b) > RPC_ROLES_BYTES_MAX ? RC_LIMIT :
	    rpc_document_read(&doc, buffer_data(&b), buffer_len(&b));
	if (rc == RC_OK) {
		rpc_document_fini(&a->roles);
		buffer_fini(&a->roles_bytes);
		buffer_move(&a->roles_bytes, &b);
		a->roles = doc;
	}
	buffer_fini(&b);
	return (rc);
}

struct span
e3_app_roles(const struct e3_app *a)
{
	if (a->roles.root == NULL)
		return (SPAN_LIT("\x90"));
	return ((struct span){ buffer_data(&a->roles_bytes),
	    buffer_len(&a->roles_bytes) });
}

void
e3_app_drop_pair(struct e3_app *a, unsigned i)
{
	ensure(i < a->n_pairs);
	for (a->n_pairs--; i < a->n_pairs; i++) {
		uint8_t *secret = a->pairs[i].secret;

		memcpy(secret, a->pairs[i + 1].secret, SCHEME_SECRET_BYTES);
		a->pairs[i] = a->pairs[i + 1];
		a->pairs[i].secret = secret;
	}
	secret_wipe(a->pairs[i].secret, SCHEME_SECRET_BYTES);
}

static void
drop_ca(struct e3_app *a, unsigned i)
{
	e3_ca_unref(&a->cas[i]);
	a->n_cas--;
	memmove(&a->cas[i], &a->cas[i + 1],
	    (a->n_cas - i) * sizeof(a->cas[0]));
}

bool
e3_app_make_room_for_ca(struct e3_app *a, uint64_t now_ms)
{
	for (int pending = 0; a->n_cas == E3_CAS_MAX && pending < 2; pending++)
		for (unsigned i = 0; i < a->n_cas; i++)
			if (pending ? a->cas[i]->active_ms == 0 :
			    a->cas[i]->active_ms != 0 &&
			    a->cas[i]->not_after_ms <= now_ms) {
				drop_ca(a, i);
				return (true);
			}
	return (a->n_cas < E3_CAS_MAX);
}

bool
e3_app_drop_dead_key(struct e3_app *a, uint64_t now_ms)
{
	for (unsigned i = 0; i < a->n_keys; i++) {
		if (e3_api_key_live(&a->keys[i], now_ms))
			continue;
		memmove(&a->keys[i], &a->keys[i + 1],
		    (--a->n_keys - i) * sizeof(*a->keys));
		secret_wipe(&a->keys[a->n_keys], sizeof(*a->keys));
		return (true);
	}
	return (false);
}

const struct e3_key_pair *
e3_app_sealing_pair(const struct e3_app *a, enum rpc_curve curve)
{
	obj_check(a, E3_APP_MAGIC);
	for (unsigned i = 0; i < a->n_pairs; i++)
		if (a->pairs[i].curve == curve &&
		    a->pairs[i].state == E3_PAIR_SEALS)
			return (&a->pairs[i]);
	return (NULL);
}

unsigned
e3_app_live_pairs(const struct e3_app *a, enum rpc_curve curve)
{
	unsigned n = 0;

	for (unsigned i = 0; i < a->n_pairs; i++)
		n += a->pairs[i].curve == curve &&
		    a->pairs[i].state != E3_PAIR_RETIRED;
	return (n);
}

void
e3_pair_id(const struct e3_key_pair *p, char out[E3_PAIR_ID_BYTES])
{
	static const char prefix[] = "pair_";
	uint8_t digest[EVP_MAX_MD_SIZE];

	ensure(EVP_Digest(p->pub.compressed, SCHEME_POINT_BYTES, digest, NULL,
	    EVP_sha256(), NULL) == 1);
	memcpy(out, prefix, sizeof(prefix));
	hex_encode(digest, 6, out + sizeof(prefix) - 1);
}

const char *const *
e3_curve_names(void)
{
	static const char *const names[] = {
		[RPC_CURVE_R1] = "r1",
		[RPC_CURVE_K1] = "k1",
		NULL
	};

	return (names);
}

const char *const *
e3_pair_state_names(void)
{
	static const char *const names[] = {
		[E3_PAIR_SEALS] = "seals",
		[E3_PAIR_OPENS] = "opens",
		[E3_PAIR_RETIRED] = "retired",
		NULL
	};

	return (names);
}

/* ---- API keys ---- */

bool
e3_api_key_live(const struct e3_api_key *k, uint64_t now_ms)
{
	return (!k->revoked && (k->expires_ms == 0 || now_ms < k->expires_ms));
}

bool
e3_api_key_allows(const struct e3_api_key *k, const char *scope)
{
	for (unsigned i = 0; i < k->n_scopes; i++)
		if (strcmp(k->scopes[i], scope) == 0)
			return (true);
	return (k->n_scopes == 0);
}

bool
e3_api_key_set_scopes(struct e3_api_key *k, const struct rpc_value *scopes)
{
	size_t n = rpc_array_len(scopes);
	struct span s;

	if (n > E3_SCOPES_MAX)
		return (false);
	for (k->n_scopes = 0; k->n_scopes < n; k->n_scopes++)
		if (!rpc_get_bytes(rpc_array_at(scopes, k->n_scopes), &s) ||
		    !rpc_scope_valid(s) ||
		    !span_copy(s, k->scopes[k->n_scopes], E3_SCOPE_BYTES))
			return (false);
	return (true);
}

void
e3_api_key_put_scopes(struct buffer *b, const struct e3_api_key *k)
{
	rpc_put_array(b, k->n_scopes);
	for (unsigned i = 0; i < k->n_scopes; i++)
		rpc_put_str(b, k->scopes[i]);
}
