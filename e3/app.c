/* e3/app.c - the app snapshot: birth, counting, wiping. */
#include "e3/app.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

enum rc
e3_app_new(unsigned n_pairs, unsigned n_keys, struct e3_app **out)
{
	struct e3_app *a;

	*out = NULL;
	if (n_pairs == 0 || n_pairs > E3_PAIRS_MAX || n_keys > E3_API_KEYS_MAX)
		return (RC_LIMIT);
	a = xcalloc(1, sizeof(*a));
	a->magic = E3_APP_MAGIC;
	atomic_init(&a->refs, 1);
	a->n_pairs = n_pairs;
	a->n_keys = n_keys;
	a->pairs = xcalloc(n_pairs, sizeof(*a->pairs));
	a->keys = xcalloc(n_keys + 1, sizeof(*a->keys));
	a->secrets = OPENSSL_secure_zalloc((size_t)n_pairs * E3_SECRET_BYTES);
	if (a->secrets == NULL) {
		e3_app_unref(&a);
		return (RC_NOMEM);
	}
	for (unsigned i = 0; i < n_pairs; i++)
		a->pairs[i].secret = a->secrets + i * E3_SECRET_BYTES;
	*out = a;
	return (RC_OK);
}

enum rc
e3_app_copy(const struct e3_app *from, unsigned extra_keys,
    struct e3_app **out)
{
	struct e3_app *a;
	enum rc rc;

	obj_check(from, E3_APP_MAGIC);
	if ((rc = e3_app_new(from->n_pairs, from->n_keys + extra_keys,
	    out)) != RC_OK)
		return (rc);
	a = *out;
	memcpy(a->id, from->id, sizeof(a->id));
	memcpy(a->name, from->name, sizeof(a->name));
	a->version = from->version;
	a->created_ms = from->created_ms;
	for (unsigned i = 0; i < from->n_pairs; i++) {
		uint8_t *secret = a->pairs[i].secret;

		a->pairs[i] = from->pairs[i];
		a->pairs[i].secret = secret;
		memcpy(secret, from->pairs[i].secret, E3_SECRET_BYTES);
	}
	for (unsigned i = 0; i < from->n_keys; i++)
		a->keys[i] = from->keys[i];
	return (RC_OK);
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
	    (size_t)a->n_pairs * E3_SECRET_BYTES);
	secret_wipe(a->keys, (a->n_keys + 1) * sizeof(*a->keys));
	free(a->keys);
	free(a->pairs);
	a->magic = 0;
	free(a);
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

bool
e3_api_key_allows(const struct e3_api_key *k, const char *scope)
{
	for (unsigned i = 0; i < k->n_scopes; i++)
		if (strcmp(k->scopes[i], scope) == 0)
			return (true);
	return (k->n_scopes == 0);
}

bool
e3_scope_valid(struct span s)
{
	if (s.len == 0 || s.len >= E3_SCOPE_BYTES)
		return (false);
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == ':' || c == '_' || c == '-'))
			return (false);
	}
	return (true);
}
