/*
 * worker/api_domains.c - /relays/ID/custom-domains (spec/inbound.md 2).
 *
 * A custom domain is the relay's record under another host name.  Whoever
 * manages an app's relays is believed that the name is theirs: a client has to
 * be led here by DNS, and a certificate for the name has to be here, too.  So
 * each is active at once, and its validationRecord is not looked for.
 */
#include "worker/api_relays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "worker/api_change.h"
#include "worker/api_private.h"

#define UUID_BYTES	37

/* What the hosted service wants to see in DNS; always the same for a name. */
static void
uuid_of(const char *id, const char *host, char out[UUID_BYTES])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char *of = xasprintf("%s %s", id, host), hex[2 * 16 + 1];
	unsigned n = 0;

	ERR_clear_error();
	ensure(EVP_Digest(of, strlen(of), hash, &n, EVP_sha256(), NULL) == 1);
	hash[6] = (hash[6] & 0x0f) | 0x80;	/* RFC 9562: version 8, */
	hash[8] = (hash[8] & 0x3f) | 0x80;	/* and the variant */
	hex_encode(hash, 16, hex);
	(void)snprintf(out, UUID_BYTES, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
	    hex + 12, hex + 16, hex + 20);
	free(of);
}

static void
put_domain(struct body_json_writer *w, const char *host,
    const struct relay_identity *is)
{
	char id[RELAY_ID_BYTES], uuid[UUID_BYTES];

	relay_record_id(RELAY_DOMAIN_PREFIX, host, id);
	uuid_of(is->id, host, uuid);
	body_json_open_object(w, NULL);
	body_json_put_str(w, "id", id);
	body_json_put_str(w, "customDomain", host);
	body_json_put_str(w, "relay", is->id);
	body_json_put_str(w, "status", "active");
	body_json_put_str(w, "validationRecord", uuid);
	body_json_put_u64(w, "createdAt", is->created_ms);
	body_json_put_u64(w, "updatedAt", is->updated_ms);
	body_json_close_object(w);
}

static void
answer_domain(struct api_call *a, unsigned status, const char *host,
    const struct relay_identity *is)
{
	struct body_json_writer w;

	buffer_clear(&a->out);
	body_json_writer_init(&w, &a->out);
	put_domain(&w, host, is);
	api_answer(a, status, API_TYPE_JSON, &a->out);
}

/* The custom domain that the path names; NULL: the call has failed. */
static const struct relay_entry *
find_domain(struct api_call *a)
{
	char id[RELAY_ID_BYTES];

	if (!api_relays_find(a))
		return (NULL);
	for (size_t i = 0; i < a->records.n; i++) {
		relay_record_id(RELAY_DOMAIN_PREFIX, a->records.v[i].host, id);
		if (a->records.v[i].custom && strcmp(id, a->arguments.v[1]) == 0)
			return (&a->records.v[i]);
	}
	api_fail(a, ERROR_RESOURCE_NOT_FOUND, "work",
	    "the relay has no such custom domain");
	return (NULL);
}

void
api_domains_list(struct api_call *a)
{
	struct body_json_writer w;

	if (!api_relays_find(a))
		return;
	body_json_writer_init(&w, &a->out);
	body_json_open_object(&w, NULL);
	body_json_open_array(&w, "data");
	for (size_t i = 0; i < a->records.n; i++)
		if (a->records.v[i].custom)
			put_domain(&w, a->records.v[i].host,
			    &a->records.v[i].is);
	body_json_close_array(&w);
	body_json_close_object(&w);
	api_answer(a, 200, API_TYPE_JSON, &a->out);
}

void
api_domain_get(struct api_call *a)
{
	const struct relay_entry *e = find_domain(a);

	if (e != NULL)
		answer_domain(a, 200, e->host, &e->is);
}

/* Names below relay_domain say whose they are: they are given, not chosen.
 * Else an app could take the one that another's relay had, or will have. */
static bool
is_given(const struct conf *conf, const char *host)
{
	const char *domain = conf->relay_domain;
	size_t n = strlen(domain), len = strlen(host);

	return (n != 0 && len >= n && strcmp(host + len - n, domain) == 0 &&
	    (len == n || host[len - n - 1] == '.'));
}

static void
created(struct api_call *a)
{
	struct relay_identity is = a->records.v[0].is;

	is.created_ms = is.updated_ms = a->number;
	answer_domain(a, 201, a->host, &is);
}

void
api_domains_create(struct api_call *a)
{
	struct relay_fault fault = { .path = "" };
	const struct relay_entry *e;

	if (relay_record_host_of(api_body(a), "customDomain", a->host, &fault) !=
	    RC_OK) {
		api_relays_fault(a, &fault);
		return;
	}
	if (is_given(a->wrk->conf, a->host)) {
		api_fail(a, ERROR_BAD_REQUEST, "work",
		    "customDomain: names below relay_domain are given, not chosen");
		return;
	}
	if (!api_relays_find(a) || !api_relays_host_is_free(a, a->host))
		return;
	e = &a->records.v[0];
	a->number = clock_wall_ms();
	if (relay_record_alias((struct span){ buffer_data(&e->json),
	    buffer_len(&e->json) }, e->host, a->number, &a->out) != RC_OK) {
		api_relays_unread(a);
		return;
	}
	api_change(a, &(struct api_change){ .hash = "relays", .field = a->host,
	    .value = &a->out }, created);
}

static void
removed(struct api_call *a)
{
	api_answer(a, 202, NULL, NULL);
}

void
api_domain_remove(struct api_call *a)
{
	const struct relay_entry *e = find_domain(a);

	if (e != NULL)
		api_change(a, &(struct api_change){ .hash = "relays",
		    .field = e->host, .was = &e->json }, removed);
}
