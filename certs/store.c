/*
 * certs/store.c - certificates by the names they serve.
 *
 *   certs_store --owns--> entry[] --owns--> SSL_CTX (one per certificate)
 *               --owns--> name[]  sorted; each views the context of an entry
 *
 * Every context carries the same callbacks: a handshake begins on the default
 * and is moved by sni.c to the one that has the name.
 */
#include "certs/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "certs/sni.h"
#include "lib/base/host.h"
#include "lib/base/object.h"
#include "lib/net/tls.h"

#define PATTERN_BYTES	(HOST_BYTES + 2)	/* "*." and a host name */

struct entry {
	char	*label;		/* owned */
	SSL_CTX	*ctx;		/* owned reference */
};

struct name {
	char		*pattern;	/* owned */
	size_t		entry;		/* index of the certificate */
};

struct certs_store {
	unsigned			magic;
#define CERTS_STORE_MAGIC	0x5ce27504
	const struct certs_ticket_keys	*keys;	/* borrowed (outlives us) */
	struct entry			*entries;	/* owned, n_entries */
	size_t				n_entries;
	struct name			*names;		/* owned, by pattern */
	size_t				n_names;
};

/* Names of one certificate before it is added. */
struct name_list {
	char	(*pattern)[PATTERN_BYTES];	/* owned */
	size_t	n;
};

struct certs_store *
certs_store_new(const struct certs_ticket_keys *keys)
{
	struct certs_store *s = xcalloc(1, sizeof(*s));

	s->magic = CERTS_STORE_MAGIC;
	s->keys = keys;
	return (s);
}

void
certs_store_free(struct certs_store **store)
{
	struct certs_store *s = *store;

	if (s == NULL)
		return;
	obj_check(s, CERTS_STORE_MAGIC);
	*store = NULL;
	for (size_t i = 0; i < s->n_entries; i++) {
		free(s->entries[i].label);
		SSL_CTX_free(s->entries[i].ctx);
	}
	for (size_t i = 0; i < s->n_names; i++)
		free(s->names[i].pattern);
	free(s->entries);
	free(s->names);
	s->magic = 0;
	free(s);
}

/* Where pattern is, or would be; true when it is there. */
static bool
find_name(const struct certs_store *s, const char *pattern, size_t *at)
{
	size_t lo = 0, hi = s->n_names, mid;
	int order;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		order = strcmp(pattern, s->names[mid].pattern);
		if (order == 0) {
			*at = mid;
			return (true);
		}
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	*at = lo;
	return (false);
}

static void
insert_name(struct certs_store *s, const char *pattern, size_t entry)
{
	size_t at;

	if (find_name(s, pattern, &at))
		return;		/* twice in this one, or in an earlier SAN */
	s->names = xrealloc(s->names, (s->n_names + 1) * sizeof(*s->names));
	memmove(&s->names[at + 1], &s->names[at],
	    (s->n_names - at) * sizeof(*s->names));
	s->names[at].pattern = xstrdup(pattern);
	s->names[at].entry = entry;
	s->n_names++;
}

/* "Shop.Test." -> "shop.test", "*.Shop.Test" -> "*.shop.test".  A star
 * elsewhere is no host character and fails. */
static enum rc
canonical_pattern(struct span text, char out[PATTERN_BYTES])
{
	size_t star = 0;
	enum rc rc;

	if (text.len > 2 && memcmp(text.p, "*.", 2) == 0) {
		memcpy(out, "*.", 2);
		star = 2;
		text.p += 2;
		text.len -= 2;
	}
	if ((rc = host_canonical(text, out + star)) != RC_OK)
		return (rc);
	return (star != 0 && host_is_ip(out + star) ? RC_SYNTAX : RC_OK);
}

static void
list_add(struct name_list *list, const char *pattern)
{
	list->pattern = xrealloc(list->pattern,
	    (list->n + 1) * sizeof(*list->pattern));
	(void)snprintf(list->pattern[list->n++], PATTERN_BYTES, "%s", pattern);
}

static enum rc
names_given(const struct certs_store *s, const char *const *names,
    size_t n, struct name_list *list, char *why, size_t why_size)
{
	char pattern[PATTERN_BYTES];
	size_t at;

	for (size_t i = 0; i < n; i++) {
		if (canonical_pattern(span_of(names[i]), pattern) != RC_OK) {
			(void)snprintf(why, why_size, "%s: not a host name",
			    names[i]);
			return (RC_SYNTAX);
		}
		if (find_name(s, pattern, &at)) {
			(void)snprintf(why, why_size,
			    "%s: already served by certificate %s", names[i],
			    s->entries[s->names[at].entry].label);
			return (RC_EXISTS);
		}
		list_add(list, pattern);
	}
	return (RC_OK);
}

/* DNS names of the leaf.  Addresses are skipped, no client sends them as a
 * server name (RFC 6066 3); so are names that no client could ask for. */
static enum rc
names_of_san(SSL_CTX *ctx, struct name_list *list, char *why, size_t why_size)
{
	GENERAL_NAMES *san;
	char pattern[PATTERN_BYTES];

	san = X509_get_ext_d2i(SSL_CTX_get0_certificate(ctx),
	    NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(san); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);
		struct span text;

		if (g->type != GEN_DNS)
			continue;
		text.p = (const char *)ASN1_STRING_get0_data(g->d.dNSName);
		text.len = (size_t)ASN1_STRING_length(g->d.dNSName);
		if (canonical_pattern(text, pattern) == RC_OK)
			list_add(list, pattern);
	}
	GENERAL_NAMES_free(san);
	if (list->n != 0)
		return (RC_OK);
	(void)snprintf(why, why_size, "the certificate has no DNS name");
	return (RC_SYNTAX);
}

/*
 * http/1.1 when it is offered.  A list without it is ignored, not refused:
 * some clients offer the name "http 1.1", which does not exist, and would
 * fail on the alert no_application_protocol.
 */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "http/1.1";
	unsigned char len = sizeof(ours) - 1;
	unsigned i = 0;

	(void)ssl;
	(void)arg;
	while (i < inlen && in[i] <= inlen - i - 1) {
		if (in[i] == len && memcmp(in + i + 1, ours, len) == 0) {
			*out = ours;
			*outlen = len;
			return (SSL_TLSEXT_ERR_OK);
		}
		i += 1u + in[i];
	}
	return (SSL_TLSEXT_ERR_NOACK);
}

enum rc
certs_store_add(struct certs_store *s, const char *label, struct span chain,
    struct span key, const char *const *names, size_t n_names, char *why,
    size_t why_size)
{
	struct name_list list = { NULL, 0 };
	SSL_CTX *ctx;
	enum rc rc = RC_NOMEM;

	obj_check(s, CERTS_STORE_MAGIC);
	if ((ctx = net_tls_server_ctx(TLS1_2_VERSION)) == NULL) {
		(void)snprintf(why, why_size, "no memory");
		goto out;
	}
	if ((rc = net_tls_use_pem(ctx, chain, key, why, why_size)) != RC_OK)
		goto out;
	rc = n_names != 0 ?
	    names_given(s, names, n_names, &list, why, why_size) :
	    names_of_san(ctx, &list, why, why_size);
	if (rc != RC_OK)
		goto out;
	certs_ticket_install(ctx, s->keys);
	certs_sni_install(ctx, s);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	s->entries = xrealloc(s->entries,
	    (s->n_entries + 1) * sizeof(*s->entries));
	s->entries[s->n_entries].label = xstrdup(label);
	s->entries[s->n_entries].ctx = ctx;
	ctx = NULL;
	for (size_t i = 0; i < list.n; i++)
		insert_name(s, list.pattern[i], s->n_entries);
	s->n_entries++;
out:
	SSL_CTX_free(ctx);
	free(list.pattern);
	return (rc);
}

SSL_CTX *
certs_store_default(struct certs_store *s)
{
	obj_check(s, CERTS_STORE_MAGIC);
	return (s->n_entries != 0 ? s->entries[0].ctx : NULL);
}

SSL_CTX *
certs_store_find(struct certs_store *s, const char *server_name)
{
	char pattern[HOST_BYTES];
	const char *dot;
	size_t at;

	obj_check(s, CERTS_STORE_MAGIC);
	if (find_name(s, server_name, &at))
		return (s->entries[s->names[at].entry].ctx);
	if ((dot = strchr(server_name, '.')) == NULL || dot == server_name ||
	    host_is_ip(server_name) || strlen(dot) + 2 > sizeof(pattern))
		return (NULL);
	(void)snprintf(pattern, sizeof(pattern), "*%s", dot);
	if (!find_name(s, pattern, &at))
		return (NULL);
	return (s->entries[s->names[at].entry].ctx);
}
