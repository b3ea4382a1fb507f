/*
 * worker/outbound_answer.c - one member for each host of the list, and one for
 * what a URL has in its place where that is something else: some SDKs compare
 * the host of a request, some its host and port, by how it was asked for
 * (spec/sdk-api.md 4.3), and what fits no member they send directly.
 */
#include "worker/outbound_answer.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/object.h"
#include "lib/body/json_write.h"

/* Records have no times; SDKs only want the fields to be there. */
#define NO_TIME	"1970-01-01T00:00:00.000Z"
#define ID_BYTES	6
#define PORT_HTTPS	443	/* never written in a URL */

/* The same for the same destination, as long as it stays. */
static void
put_uuid(struct body_json_writer *w, const char *app, const char *domain)
{
	char *of = xasprintf("%s %s", app, domain), text[2 * ID_BYTES + 1], *uuid;
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	ERR_clear_error();
	ensure(EVP_Digest(of, strlen(of), hash, &n, EVP_sha256(), NULL) == 1);
	hex_encode(hash, ID_BYTES, text);
	uuid = xasprintf("outbound_destination_%s", text);
	body_json_put_str(w, "uuid", uuid);
	free(uuid);
	free(of);
}

static void
put_destination(struct body_json_writer *w, const char *app,
    const struct relay *rules, uint64_t id, const char *domain)
{
	body_json_open_object(w, domain);
	body_json_put_u64(w, "id", id);
	put_uuid(w, app, domain);
	body_json_put_str(w, "appUuid", app);
	body_json_put_str(w, "destinationDomain", domain);
	body_json_put_str(w, "curve", rules->curve == RELAY_CURVE_K1 ?
	    "secp256k1" : "prime256v1");
	body_json_put_bool(w, "encryptEmptyStrings",
	    rules->encrypt_empty_strings);
	body_json_open_array(w, "routeSpecificFieldsToEncrypt");
	body_json_close_array(w);
	body_json_open_array(w, "deterministicFieldsToEncrypt");
	body_json_close_array(w);
	body_json_put_str(w, "createdAt", NO_TIME);
	body_json_put_str(w, "updatedAt", NO_TIME);
	body_json_put_raw(w, "deletedAt", SPAN_LIT("null"));
	body_json_close_object(w);
}

/* As a URL names it: IPv6 in brackets, the port when it is not 443. */
static char *
name_in_url(const struct egress_destination *d)
{
	bool is_ip6 = strchr(d->host, ':') != NULL;
	char *host = xasprintf("%s%s%s", is_ip6 ? "[" : "", d->host,
	    is_ip6 ? "]" : ""), *text;

	if (d->port == PORT_HTTPS)
		return (host);
	text = xasprintf("%s:%u", host, d->port);
	free(host);
	return (text);
}

/* Two entries of one host may differ in port, methods or paths. */
static bool
is_repeated(const struct egress *e, size_t i, bool with_port)
{
	const struct egress_destination *d = &e->destinations[i];

	for (size_t k = 0; k < i; k++)
		if (strcmp(e->destinations[k].host, d->host) == 0 &&
		    (!with_port || e->destinations[k].port == d->port))
			return (true);
	return (false);
}

static void
put_destinations(struct body_json_writer *w, const char *app,
    const struct egress *e)
{
	uint64_t id = 0;

	for (size_t i = 0; i < e->n_destinations; i++) {
		const char *host = e->destinations[i].host;
		char *in_url = name_in_url(&e->destinations[i]);

		if (!is_repeated(e, i, false))
			put_destination(w, app, e->rules, ++id, host);
		if (strcmp(in_url, host) != 0 && !is_repeated(e, i, true))
			put_destination(w, app, e->rules, ++id, in_url);
		free(in_url);
	}
}

void
outbound_answer_write(const char *app, const struct egress *e,
    struct buffer *out)
{
	char *team = xasprintf("team_%s", app + strlen("app_"));
	struct body_json_writer w;

	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "appUuid", app);
	body_json_put_str(&w, "teamUuid", team);
	body_json_put_bool(&w, "strictMode", e != NULL && !e->any);
	body_json_open_object(&w, "outboundDestinations");
	if (e != NULL)
		put_destinations(&w, app, e);
	body_json_close_object(&w);
	body_json_close_object(&w);
	free(team);
}
