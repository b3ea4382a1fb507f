/*
 * worker/api_public_keys.c - an app's public keys as SDKs want them
 * (spec/sdk-api.md 3.1): three requests, one answer.
 */
#include "worker/api_private.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "lib/base/object.h"
#include "lib/body/json_write.h"

#define APP_SYSTEM		"app_system"	/* nobody seals for it */
#define COMPRESSED_BYTES	33
#define UNCOMPRESSED_BYTES	65
/* Of 65 bytes, with padding: the Go and Ruby SDKs demand it. */
#define KEY_TEXT_BYTES		89

/* A P-256 point in its long form, which OpenSSL writes. */
static enum rc
uncompress(struct span point, unsigned char out[UNCOMPRESSED_BYTES])
{
	char group[] = "P-256", format[] = "uncompressed";
	unsigned char copy[COMPRESSED_BYTES];
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
		    group, 0),
		OSSL_PARAM_construct_utf8_string(
		    OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, format, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy,
		    sizeof(copy)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *key = NULL;
	size_t n = 0;
	enum rc rc = RC_SYNTAX;

	if (point.len != sizeof(copy))
		return (RC_SYNTAX);
	memcpy(copy, point.p, sizeof(copy));
	ERR_clear_error();
	ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY,
	    (OSSL_PARAM *)(uintptr_t)params) != 1)
		goto out;
	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out,
	    UNCOMPRESSED_BYTES, &n) == 1 && n == UNCOMPRESSED_BYTES)
		rc = RC_OK;
out:
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return (rc);
}

static void
put_key(struct body_json_writer *w, const char *name, const void *key,
    size_t len)
{
	char text[KEY_TEXT_BYTES];
	size_t n = 0;

	if (len != 0)
		n = base64_encode(key, len, true, text);
	body_json_put_string(w, name, (struct span){ text, n });
}

/* There are no teams here; some SDKs want the name of one. */
static void
put_team(struct body_json_writer *w, const char *app)
{
	char *team = xasprintf("team_%s", strncmp(app, "app_", 4) == 0 ? app + 4 :
	    app);

	body_json_put_str(w, "teamUuid", team);
	free(team);
}

static enum rc
write_answer(struct buffer *out, const char *app, struct span k1, struct span r1)
{
	unsigned char long_r1[UNCOMPRESSED_BYTES];
	struct body_json_writer w;

	if ((k1.len != 0 && k1.len != COMPRESSED_BYTES) ||
	    (r1.len != 0 && uncompress(r1, long_r1) != RC_OK))
		return (RC_SYNTAX);
	buffer_clear(out);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	put_team(&w, app);
	body_json_put_str(&w, "appUuid", app);
	body_json_put_str(&w, "key", "");	/* RSA, of former times */
	put_key(&w, "ecdhKey", k1.p, k1.len);
	put_key(&w, "ecdhP256Key", r1.p, r1.len);
	put_key(&w, "ecdhP256KeyUncompressed", long_r1, r1.len == 0 ? 0 :
	    sizeof(long_r1));
	body_json_close_object(&w);
	return (RC_OK);
}

static enum rc
on_write(void *arg, struct buffer *body)
{
	const struct api_call *a = arg;

	rpc_pack(body, RPC_STR("app", a->app));
	return (RC_OK);
}

static enum rc
on_piece(void *arg, const struct rpc_value *body, bool more)
{
	struct span r1 = { NULL, 0 }, k1 = { NULL, 0 };
	struct api_call *a = arg;

	if (more || !rpc_unpack(body, RPC_MAY_BYTES("r1", &r1),
	    RPC_MAY_BYTES("k1", &k1)))
		return (RC_SYNTAX);
	return (write_answer(&a->out, a->app, k1, r1));
}

static const struct engine_call_ops ops = {
	.on_write = on_write,
	.on_piece = on_piece,
	.on_end = api_on_json_end,
};

/* GET /cages/key: of the app that the API key is of. */
void
api_cages_key(struct api_call *a)
{
	api_engine_call(a, RPC_OP_PUBLIC_KEYS, &ops);
}

static void
keys_of(struct api_call *a)
{
	if (!rpc_app_id_valid(span_of(a->app)) || strcmp(a->app, APP_SYSTEM) == 0)
		api_fail(a, ERROR_RESOURCE_NOT_FOUND, "work",
		    "there is no such app");
	else
		api_engine_call(a, RPC_OP_PUBLIC_KEYS, &ops);
}

/* GET /keys: of the app that a field names; they are public. */
void
api_keys_of_app(struct api_call *a)
{
	keys_of(a);
}

/* GET /TEAM/apps/APP: the same for browsers.  Any team will do. */
void
api_keys_of_browser(struct api_call *a)
{
	if (!span_copy(span_of(a->arguments.v[1]), a->app, sizeof(a->app)))
		a->app[0] = '\0';		/* too long for an app's id */
	keys_of(a);
}
