/* worker/outbound_answer.c - one member for each host of the list. */
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

/* The same for the same destination, as long as it stays. */
static void
put_uuid(struct body_json_writer *w, const char *app, const char *host)
{
	char *of = xasprintf("%s %s", app, host), text[2 * ID_BYTES + 1], *uuid;
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
    const struct egress *e, size_t i)
{
	const char *host = e->destinations[i].host;

	body_json_open_object(w, host);
	body_json_put_u64(w, "id", i + 1);
	put_uuid(w, app, host);
	body_json_put_str(w, "appUuid", app);
	body_json_put_str(w, "destinationDomain", host);
	body_json_put_str(w, "curve", e->rules->curve == RELAY_CURVE_K1 ?
	    "secp256k1" : "prime256v1");
	body_json_put_bool(w, "encryptEmptyStrings",
	    e->rules->encrypt_empty_strings);
	body_json_open_array(w, "routeSpecificFieldsToEncrypt");
	body_json_close_array(w);
	body_json_open_array(w, "deterministicFieldsToEncrypt");
	body_json_close_array(w);
	body_json_put_str(w, "createdAt", NO_TIME);
	body_json_put_str(w, "updatedAt", NO_TIME);
	body_json_put_raw(w, "deletedAt", SPAN_LIT("null"));
	body_json_close_object(w);
}

/* Two entries of one host differ in port or path: SDKs know hosts alone. */
static bool
is_repeated(const struct egress *e, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(e->destinations[k].host, e->destinations[i].host) == 0)
			return (true);
	return (false);
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
	for (size_t i = 0; e != NULL && i < e->n_destinations; i++)
		if (!is_repeated(e, i))
			put_destination(&w, app, e, i);
	body_json_close_object(&w);
	body_json_close_object(&w);
	free(team);
}
