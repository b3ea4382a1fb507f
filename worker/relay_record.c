/*
 * worker/relay_record.c - members are taken over as they stand; the result is
 * read by the relay JSON's own validator.
 */
#include "worker/relay_record.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "lib/base/object.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"

#define NODES_MAX	65536	/* a relay of 1 MiB has fewer */
#define DERIVED_BYTES	6
#define LABEL_BYTES_MAX	63

/* Ours: a caller's are ignored, so that what GET gave can be sent back. */
static const char *const ours[] = { "app", "id", "evervaultDomain", "createdAt",
    "updatedAt", "internal" };
#define OURS	(sizeof(ours) / sizeof(ours[0]))

static enum rc
fail(struct relay_fault *fault, const char *path, const char *reason)
{
	(void)snprintf(fault->path, sizeof(fault->path), "%s", path);
	(void)snprintf(fault->reason, sizeof(fault->reason), "%s", reason);
	return (RC_SYNTAX);
}

static enum rc
read_object(struct span text, struct body_json *doc, struct relay_fault *fault)
{
	memset(doc, 0, sizeof(*doc));
	if (text.len > RELAY_JSON_BYTES_MAX)
		return (fail(fault, "", "longer than 1 MiB"));
	if (body_json_read(doc, text.p, text.len, NODES_MAX, NULL) != RC_OK)
		return (fail(fault, "", "not JSON"));
	if (doc->nodes[0].type == BODY_JSON_OBJECT)
		return (RC_OK);
	body_json_fini(doc);
	return (fail(fault, "", "must be an object"));
}

static bool
is_ours(const struct body_json *doc, uint32_t member)
{
	for (size_t i = 0; i < OURS; i++)
		if (body_json_key_is(doc, member, span_of(ours[i])))
			return (true);
	return (false);
}

/* ---- reading ---- */

static bool
text_member(const struct body_json *doc, const char *name, char *out,
    size_t size)
{
	uint32_t at = body_json_member(doc, 0, name);
	struct buffer text;
	bool good = false;

	if (at == 0 || doc->nodes[at].type != BODY_JSON_STRING)
		return (false);
	buffer_init(&text, 0, false);
	if (body_json_unescape(body_json_raw(doc, at), &text) == RC_OK)
		good = buffer_len(&text) != 0 && span_copy((struct span){
		    buffer_data(&text), buffer_len(&text) }, out, size);
	buffer_fini(&text);
	return (good);
}

static uint64_t
time_member(const struct body_json *doc, const char *name)
{
	uint32_t at = body_json_member(doc, 0, name);
	uint64_t ms = 0;

	if (at == 0 || string_u64(body_json_raw(doc, at), &ms) != RC_OK)
		return (0);
	return (ms);
}

void
relay_record_id(const char *prefix, const char *host, char out[RELAY_ID_BYTES])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char text[2 * DERIVED_BYTES + 1];
	unsigned n = 0;

	ERR_clear_error();
	ensure(EVP_Digest(host, strlen(host), hash, &n, EVP_sha256(), NULL) == 1);
	hex_encode(hash, DERIVED_BYTES, text);
	(void)snprintf(out, RELAY_ID_BYTES, "%s%s", prefix, text);
}

static bool
identify(const struct body_json *doc, const char *host,
    struct relay_identity *out)
{
	uint32_t at;

	memset(out, 0, sizeof(*out));
	if (!text_member(doc, "app", out->app, sizeof(out->app)))
		return (false);
	if (!text_member(doc, "id", out->id, sizeof(out->id)))
		relay_record_id(RELAY_ID_PREFIX, host, out->id);
	if (!text_member(doc, "evervaultDomain", out->domain,
	    sizeof(out->domain)))
		(void)snprintf(out->domain, sizeof(out->domain), "%s", host);
	out->created_ms = time_member(doc, "createdAt");
	out->updated_ms = time_member(doc, "updatedAt");
	at = body_json_member(doc, 0, "internal");
	out->guarded = at != 0 && doc->nodes[at].type == BODY_JSON_FALSE;
	return (true);
}

enum rc
relay_record_identify(struct span record, const char *host,
    struct relay_identity *out)
{
	struct relay_fault fault;
	struct body_json doc;
	bool good;

	if (read_object(record, &doc, &fault) != RC_OK)
		return (RC_SYNTAX);
	good = identify(&doc, host, out);
	body_json_fini(&doc);
	return (good ? RC_OK : RC_SYNTAX);
}

enum rc
relay_record_host_of(struct span body, const char *member,
    char out[HOST_BYTES], struct relay_fault *fault)
{
	char text[HOST_BYTES];
	struct body_json doc;
	enum rc rc = RC_OK;

	if (read_object(body, &doc, fault) != RC_OK)
		return (RC_SYNTAX);
	if (body_json_member(&doc, 0, member) == 0)
		rc = fail(fault, member, "is missing");
	else if (!text_member(&doc, member, text, sizeof(text)) ||
	    host_canonical(span_of(text), out) != RC_OK)
		rc = fail(fault, member, "must be a host name");
	body_json_fini(&doc);
	return (rc);
}

/* ---- writing ---- */

static void
put_member(struct body_json_writer *w, const struct body_json *doc,
    uint32_t member)
{
	struct span key = body_json_raw_key(doc, member);
	struct span value = body_json_raw(doc, member);

	/* The writer's own way is for names that are C strings. */
	if (w->comma)
		buffer_puts(w->out, ",");
	w->comma = true;
	buffer_put(w->out, key.p, key.len);
	buffer_puts(w->out, ":");
	buffer_put(w->out, value.p, value.len);
}

static void
put_ours(struct body_json_writer *w, const struct relay_identity *is)
{
	body_json_put_str(w, "app", is->app);
	body_json_put_str(w, "id", is->id);
	body_json_put_str(w, "evervaultDomain", is->domain);
	body_json_put_u64(w, "createdAt", is->created_ms);
	body_json_put_u64(w, "updatedAt", is->updated_ms);
	if (is->guarded)
		body_json_put_bool(w, "internal", false);
}

/* A decoded name that both have; 0: the other has none. */
static uint32_t
same_member(const struct body_json *doc, uint32_t member,
    const struct body_json *other)
{
	struct span key = body_json_raw_key(doc, member);
	struct buffer name;
	uint32_t found = 0;

	buffer_init(&name, 0, false);
	if (body_json_unescape(key, &name) == RC_OK)
		for (uint32_t i = body_json_child(other, 0); i != 0 && found == 0;
		    i = body_json_sibling(other, i))
			if (body_json_key_is(other, i, (struct span){
			    buffer_data(&name), buffer_len(&name) }))
				found = i;
	buffer_fini(&name);
	return (found);
}

/* The members of doc but ours, those that `except` has, too, left out. */
static void
put_members(struct body_json_writer *w, const struct body_json *doc,
    const struct body_json *except)
{
	for (uint32_t i = body_json_child(doc, 0); i != 0;
	    i = body_json_sibling(doc, i))
		if (!is_ours(doc, i) &&
		    (except == NULL || same_member(doc, i, except) == 0))
			put_member(w, doc, i);
}

/* It is what the feed will take. */
static enum rc
check(const struct buffer *out, struct relay_fault *fault)
{
	struct relay *relay = NULL;
	enum rc rc;

	rc = relay_json_parse((struct span){ buffer_data(out),
	    buffer_len(out) }, &relay, fault);
	relay_unref(&relay);
	return (rc);
}

/* A caller may name its app, and no other. */
static enum rc
check_app(const struct body_json *doc, const char *app,
    struct relay_fault *fault)
{
	char named[RPC_APP_ID_BYTES];

	if (body_json_member(doc, 0, "app") == 0 || (text_member(doc, "app",
	    named, sizeof(named)) && strcmp(named, app) == 0))
		return (RC_OK);
	return (fail(fault, "app", "must be the app of the API key"));
}

enum rc
relay_record_create(struct span body, const struct relay_identity *is,
    struct buffer *out, struct relay_fault *fault)
{
	struct body_json_writer w;
	struct body_json doc;
	enum rc rc;

	if ((rc = read_object(body, &doc, fault)) != RC_OK)
		return (rc);
	if ((rc = check_app(&doc, is->app, fault)) == RC_OK) {
		body_json_writer_init(&w, out);
		body_json_open_object(&w, NULL);
		put_members(&w, &doc, NULL);
		put_ours(&w, is);
		body_json_close_object(&w);
		rc = check(out, fault);
	}
	body_json_fini(&doc);
	return (rc);
}

/* A relay keeps its destination for life; to send the same again is no change
 * of it (spec/inbound.md 1). */
static enum rc
check_destination(const struct body_json *doc, const struct body_json *body,
    struct relay_fault *fault)
{
	char was[HOST_BYTES] = "", named[HOST_BYTES];

	if (body_json_member(body, 0, "destinationDomain") == 0)
		return (RC_OK);
	(void)text_member(doc, "destinationDomain", was, sizeof(was));
	if (text_member(body, "destinationDomain", named, sizeof(named)) &&
	    strcmp(named, was) == 0)
		return (RC_OK);
	return (fail(fault, "destinationDomain", "cannot be changed"));
}

static enum rc
change(const struct body_json *doc, const char *host,
    const struct body_json *body, uint64_t now_ms, struct buffer *out,
    struct relay_fault *fault)
{
	struct relay_identity is;
	struct body_json_writer w;
	enum rc rc;

	if (!identify(doc, host, &is))
		return (fail(fault, "", "the record is no relay"));
	if ((rc = check_app(body, is.app, fault)) != RC_OK ||
	    (rc = check_destination(doc, body, fault)) != RC_OK)
		return (rc);
	is.updated_ms = now_ms;
	if (is.created_ms == 0)
		is.created_ms = now_ms;
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	put_members(&w, doc, body);
	put_members(&w, body, NULL);
	put_ours(&w, &is);
	body_json_close_object(&w);
	return (check(out, fault));
}

enum rc
relay_record_change(struct span record, const char *host, struct span body,
    uint64_t now_ms, struct buffer *out, struct relay_fault *fault)
{
	struct body_json doc, patch;
	enum rc rc;

	if ((rc = read_object(record, &doc, fault)) != RC_OK)
		return (rc);
	if ((rc = read_object(body, &patch, fault)) == RC_OK) {
		rc = change(&doc, host, &patch, now_ms, out, fault);
		body_json_fini(&patch);
	}
	body_json_fini(&doc);
	return (rc);
}

enum rc
relay_record_alias(struct span record, const char *host, uint64_t now_ms,
    struct buffer *out)
{
	struct relay_identity is;
	struct body_json_writer w;
	struct relay_fault fault;
	struct body_json doc;
	bool good;

	if (read_object(record, &doc, &fault) != RC_OK)
		return (RC_SYNTAX);
	if ((good = identify(&doc, host, &is))) {
		is.created_ms = is.updated_ms = now_ms;
		body_json_writer_init(&w, out);
		body_json_open_object(&w, NULL);
		put_members(&w, &doc, NULL);
		put_ours(&w, &is);
		body_json_close_object(&w);
	}
	body_json_fini(&doc);
	return (good ? RC_OK : RC_SYNTAX);
}

/* ---- showing ---- */

static void
put_default(struct body_json_writer *w, const struct body_json *doc,
    const char *name, const char *value)
{
	if (body_json_member(doc, 0, name) == 0)
		body_json_put_raw(w, name, span_of(value));
}

enum rc
relay_record_show(struct span record, const char *host, struct buffer *out)
{
	struct relay_identity is;
	struct body_json_writer w;
	struct relay_fault fault;
	struct body_json doc;
	bool good;

	if (read_object(record, &doc, &fault) != RC_OK)
		return (RC_SYNTAX);
	if ((good = identify(&doc, host, &is))) {
		body_json_writer_init(&w, out);
		body_json_open_object(&w, NULL);
		put_members(&w, &doc, NULL);
		put_default(&w, &doc, "encryptEmptyStrings", "true");
		put_default(&w, &doc, "authentication", "null");
		put_ours(&w, &is);
		body_json_close_object(&w);
	}
	body_json_fini(&doc);
	return (good ? RC_OK : RC_SYNTAX);
}

/* ---- names ---- */

/* A destination too long for a label keeps its beginning and a mark. */
static void
label_of(const char *destination, char out[LABEL_BYTES_MAX + 1])
{
	char id[RELAY_ID_BYTES];
	size_t n = strlen(destination);

	(void)snprintf(out, LABEL_BYTES_MAX + 1, "%s", destination);
	if (n > LABEL_BYTES_MAX) {
		relay_record_id("-", destination, id);
		memcpy(out + LABEL_BYTES_MAX - strlen(id), id, strlen(id) + 1);
	}
	for (char *p = out; *p != '\0'; p++)
		if (*p == '.' || *p == ':')
			*p = '-';
}

enum rc
relay_record_domain(const char *destination, const char *app,
    const char *suffix, char out[HOST_BYTES])
{
	char label[LABEL_BYTES_MAX + 1], owner[RPC_APP_ID_BYTES];
	int n;

	label_of(destination, label);
	(void)snprintf(owner, sizeof(owner), "%s", app);
	for (char *p = owner; *p != '\0'; p++)
		if (*p == '_')
			*p = '-';
	n = snprintf(out, HOST_BYTES, "%s.%s.%s", label, owner, suffix);
	return (n > 0 && n < HOST_BYTES && host_is_canonical(out) ? RC_OK :
	    RC_SYNTAX);
}
