/* ctl/doctor_api.c - the key API and the CA listener, as SDKs use them. */
#include <string.h>

#include <openssl/pem.h>

#include "ctl/ca_bundle.h"
#include "ctl/doctor_private.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"

#define MEMBER		"relay-doctor"

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static void
put_request(const char *line, const struct endpoint *e, struct buffer *out)
{
	buffer_printf(out, "%s HTTP/1.1\r\nHost: ", line);
	endpoint_put_authority(e, out);
	buffer_puts(out, "\r\nUser-Agent: relayctl-doctor\r\n");
}

/* No answer at all: a row says why. */
static void
add_broken(struct doctor *d, const char *layer, const struct endpoint *e,
    const struct probe *p)
{
	report_add(d->report, layer, doctor_where(e), LAYER_FAILED, "%s",
	    probe_why(p));
	report_hint(d->report, "the log of the workers; does another program "
	    "listen there?");
}

/* ---- /cages/key ---------------------------------------------------------------------- */

static bool
ask_keys(struct doctor *d, const struct endpoint *e, struct probe *p)
{
	const struct buffer *key = &d->setup.key;
	const struct http_head *head;
	struct buffer request, body;
	bool fine = false;

	buffer_init(&request, 0, true);
	buffer_init(&body, 0, false);
	put_request("GET /cages/key", e, &request);
	if (buffer_len(key) != 0) {
		buffer_puts(&request, "api-key: ");
		buffer_put(&request, buffer_data(key), buffer_len(key));
		buffer_puts(&request, "\r\n");
	}
	buffer_puts(&request, "\r\n");
	if (probe_request(p, view(&request), HTTP_GET, &head, &body) != RC_OK) {
		add_broken(d, "key API", e, p);
	} else if (buffer_len(key) == 0 && head->status == 401) {
		report_add(d->report, "key API", doctor_where(e), LAYER_OK,
		    "401 without a key, as it should");
	} else if (head->status == 200) {
		report_add(d->report, "key API", doctor_where(e), LAYER_OK,
		    "GET /cages/key: 200, the key is good");
		fine = true;
	} else
		doctor_refused(d, "key API", doctor_where(e), head, &body);
	buffer_fini(&body);
	buffer_fini(&request);
	return (fine);
}

/* ---- /encrypt --------------------------------------------------------------------------- */

static void
take_token(struct doctor *d, const struct buffer *body)
{
	struct body_json doc;
	uint32_t node;

	if (body_json_read(&doc, buffer_data(body), buffer_len(body), 64,
	    NULL) != RC_OK)
		return;
	node = body_json_member(&doc, 0, MEMBER);
	if (node != 0 && doc.nodes[node].type == BODY_JSON_STRING &&
	    body_json_unescape(body_json_raw(&doc, node), &d->token) != RC_OK)
		buffer_clear(&d->token);
	body_json_fini(&doc);
}

static void
seal_value(struct doctor *d, const struct endpoint *e, struct probe *p)
{
	struct buffer request, body, document;
	const struct http_head *head;
	struct body_json_writer w;

	buffer_init(&request, 0, true);
	buffer_init(&body, 0, false);
	buffer_init(&document, 0, false);
	body_json_writer_init(&w, &document);
	body_json_open_object(&w, NULL);
	body_json_put_string(&w, MEMBER, view(&d->value));
	body_json_close_object(&w);
	put_request("POST /encrypt", e, &request);
	doctor_put_basic(d, "Authorization", &request);
	buffer_printf(&request, "Content-Type: application/json\r\n"
	    "Content-Length: %zu\r\n\r\n", buffer_len(&document));
	buffer_put(&request, buffer_data(&document), buffer_len(&document));
	if (probe_request(p, view(&request), HTTP_POST, &head, &body) !=
	    RC_OK) {
		add_broken(d, "seal a value", e, p);
	} else if (head->status != 200) {
		doctor_refused(d, "seal a value", doctor_where(e), head, &body);
	} else {
		take_token(d, &body);
		report_add(d->report, "seal a value", doctor_where(e),
		    buffer_len(&d->token) == 0 ? LAYER_FAILED : LAYER_OK,
		    "POST /encrypt: 200, %s", buffer_len(&d->token) == 0 ?
		    "without a token" : "a token");
	}
	buffer_fini(&document);
	buffer_fini(&body);
	buffer_fini(&request);
}

void
doctor_api(struct doctor *d)
{
	const struct endpoint *both[] = { &d->setup.api, &d->setup.api_tls };
	bool any = false;

	for (int i = 0; i < 2; i++) {
		const struct endpoint *e = both[i];
		struct probe *p;

		if (e->port == 0)
			continue;
		any = true;
		p = doctor_reach(d, e, "key API TCP", "key API TLS");
		if (p != NULL && ask_keys(d, e, p) &&
		    buffer_len(&d->token) == 0)
			seal_value(d, e, p);
		probe_free(&p);
	}
	if (!any)
		report_add(d->report, "key API", "", LAYER_SKIPPED,
		    "no listener of kind api or api-tls is known (--api URL)");
}

/* ---- the CA listener ------------------------------------------------------------------------ */

static bool
is_anchor(const struct doctor *d, X509 *x)
{
	STACK_OF(X509) *list = ca_bundle_parse(view(&d->setup.anchors));
	bool found = false;

	for (int i = 0; list != NULL && i < sk_X509_num(list); i++)
		found = found || X509_cmp(sk_X509_value(list, i), x) == 0;
	ca_bundle_free(&list);
	return (found);
}

static void
judge_pem(struct doctor *d, const char *where, const struct buffer *body)
{
	STACK_OF(X509) *list = ca_bundle_parse(view(body));
	int n = list == NULL ? 0 : sk_X509_num(list);

	if (n == 1)
		d->served = ca_bundle_store(view(body));
	if (n != 1) {
		report_add(d->report, "CA listener", where, LAYER_FAILED,
		    "%d certificates, not one", n);
		report_hint(d->report, "does another program listen there?");
	} else if (buffer_len(&d->setup.anchors) == 0) {
		report_add(d->report, "CA listener", where, LAYER_OK,
		    "one certificate, compared with nothing");
		report_hint(d->report, "where the engine cannot be asked, --ca "
		    "FILE says what should be there");
	} else if (is_anchor(d, sk_X509_value(list, 0))) {
		report_add(d->report, "CA listener", where, LAYER_OK,
		    "one certificate, the right one");
	} else {
		report_add(d->report, "CA listener", where, LAYER_FAILED,
		    "another certificate than the one to trust");
		report_hint(d->report, "is --ca an old file? relayctl ca show "
		    "--pem");
	}
	ca_bundle_free(&list);
}

void
doctor_ca_listener(struct doctor *d)
{
	const struct endpoint *e = &d->setup.ca;
	const struct http_head *head;
	struct buffer request, body;
	struct probe *p;

	if (e->port == 0) {
		report_add(d->report, "CA listener", "", LAYER_SKIPPED,
		    "no listener of kind ca is known (--ca-url URL)");
		return;
	}
	p = doctor_reach(d, e, "CA listener TCP", "CA listener TLS");
	if (p == NULL)
		return;
	buffer_init(&request, 0, false);
	buffer_init(&body, 0, false);
	put_request("GET /", e, &request);
	buffer_puts(&request, "\r\n");
	if (probe_request(p, view(&request), HTTP_GET, &head, &body) != RC_OK)
		add_broken(d, "CA listener", e, p);
	else if (head->status == 200)
		judge_pem(d, doctor_where(e), &body);
	else
		doctor_refused(d, "CA listener", doctor_where(e), head, &body);
	buffer_fini(&body);
	buffer_fini(&request);
	probe_free(&p);
}
