/*
 * ctl/doctor_egress.c - each kind of proxy listener: what it answers without a
 * key, and with one; the tunnel's certificate; a request; a token's way.
 *
 * A proxy in clear takes no key on CONNECT: there it goes with each request
 * inside, as with SDKs.
 */
#include <string.h>

#include "ctl/doctor_cause.h"
#include "ctl/doctor_private.h"

struct way {			/* one listener */
	const struct endpoint	*proxy;		/* borrowed */
	bool			strict;
	bool			blind;		/* the host is not opened */
	char			where[HOST_BYTES + 16];
};

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static bool
has_key(const struct doctor *d)
{
	return (buffer_len(&d->setup.key) != 0);
}

/* Does the key go with CONNECT here? */
static bool
key_outside(const struct doctor *d, const struct way *w)
{
	return (has_key(d) && w->proxy->tls);
}

static enum rc
connect_through(const struct doctor *d, struct probe *p, bool with_key,
    const struct http_head **head, struct buffer *body)
{
	struct buffer request;
	enum rc rc;

	buffer_init(&request, 0, true);
	buffer_puts(&request, "CONNECT ");
	endpoint_put_authority(&d->host, &request);
	buffer_puts(&request, " HTTP/1.1\r\nHost: ");
	endpoint_put_authority(&d->host, &request);
	buffer_puts(&request, "\r\n");
	if (with_key)
		doctor_put_basic(d, "Proxy-Authorization", &request);
	buffer_puts(&request, "\r\n");
	rc = probe_request(p, view(&request), HTTP_CONNECT, head, body);
	buffer_fini(&request);
	return (rc);
}

static bool
says(const struct buffer *body, const char *text)
{
	return (buffer_len(body) != 0 && memmem(buffer_data(body),
	    buffer_len(body), text, strlen(text)) != NULL);
}

static void
add_broken(struct doctor *d, const char *layer, const struct way *w,
    const struct probe *p)
{
	report_add(d->report, layer, w->where, LAYER_FAILED, "%s",
	    probe_why(p));
	report_hint(d->report, "the log of the workers; does another program "
	    "listen there?");
}

/* ---- CONNECT ---------------------------------------------------------------------------- */

/* Without --host the name is one of ours, which need not be allowed. */
static bool
is_our_name(const struct doctor *d, const struct http_head *head)
{
	return (!d->has_host && head->status == 403);
}

/* True: a tunnel is open. */
static bool
judge_without_key(struct doctor *d, struct way *w, const struct http_head *head,
    const struct buffer *body)
{
	static const char layer[] = "CONNECT, no key";
	bool challenge = head->status == 407 &&
	    http_head_field_named(head, "proxy-authenticate") != NULL;

	w->blind = says(body, "a tunnel to this host");
	if (w->strict && head->status == 200) {
		report_add(d->report, layer, w->where, LAYER_FAILED, "200 from a "
		    "strict listener");
		report_hint(d->report, "clients that wait for a 407 will never "
		    "send their key: is this the egress-strict listener?");
	} else if (challenge && (w->strict || w->blind)) {
		report_add(d->report, layer, w->where, LAYER_OK,
		    "407 with a challenge, as %s", w->strict ? "it should" :
		    "for hosts that are passed through");
	} else if (head->status == 200) {
		report_add(d->report, layer, w->where, LAYER_OK,
		    "200, the key may come inside");
		return (true);
	} else if (is_our_name(d, head)) {
		report_add(d->report, layer, w->where, LAYER_SKIPPED,
		    "%s is not allowed", d->host.host);
		report_hint(d->report, "name a destination: --host HOST");
	} else
		doctor_refused(d, layer, w->where, head, body);
	return (false);
}

/* True: a tunnel is open. */
static bool
judge_with_key(struct doctor *d, const struct way *w,
    const struct http_head *head, const struct buffer *body)
{
	static const char layer[] = "CONNECT, key";

	if (head->status == 200) {
		report_add(d->report, layer, w->where, LAYER_OK,
		    "200, the key is good");
		return (true);
	}
	if (is_our_name(d, head)) {
		report_add(d->report, layer, w->where, LAYER_SKIPPED,
		    "the key is good; the app has a list of destinations");
		report_hint(d->report, "name one of them: --host HOST");
	} else
		doctor_refused(d, layer, w->where, head, body);
	return (false);
}

/* A new connection; the first one has told what there was to tell. */
static struct probe *
reach_again(struct doctor *d, const struct way *w)
{
	struct probe *p = probe_new(DOCTOR_TIMEOUT_MS);

	if (probe_connect(p, w->proxy) == RC_OK && (!w->proxy->tls ||
	    probe_tls(p, d->trusted, w->proxy->host) == RC_OK))
		return (p);
	add_broken(d, "proxy TCP", w, p);
	probe_free(&p);
	return (NULL);
}

/* On the same connection where it was kept after a 407, as git and Java do. */
static bool
connect_with_key(struct doctor *d, const struct way *w, struct probe **p,
    bool again)
{
	const struct http_head *head;
	struct buffer body;
	bool open = false;

	if (!again) {
		probe_free(p);
		if ((*p = reach_again(d, w)) == NULL)
			return (false);
	}
	buffer_init(&body, 0, false);
	if (connect_through(d, *p, true, &head, &body) != RC_OK)
		add_broken(d, "CONNECT, key", w, *p);
	else
		open = judge_with_key(d, w, head, &body);
	buffer_fini(&body);
	return (open);
}

/* ---- inside ------------------------------------------------------------------------------- */

static bool
shake_inside(struct doctor *d, const struct way *w, struct probe *p)
{
	char names[256] = "";
	X509 *leaf;
	enum rc rc;

	if (d->ours == NULL) {
		report_add(d->report, "tunnel TLS", w->where, LAYER_SKIPPED,
		    "no CA to check with");
		return (false);
	}
	rc = probe_tls(p, w->blind ? d->trusted : d->ours, d->host.host);
	if (rc != RC_OK) {
		report_add(d->report, "tunnel TLS", w->where, LAYER_FAILED,
		    "%s%s", rc == RC_DENIED ? "certificate: " : "",
		    probe_why(p));
		if (rc == RC_DENIED)
			report_hint(d->report, "%s",
			    cause_of_certificate(probe_verified(p), true));
		return (false);
	}
	if (!w->blind && d->served != NULL && !probe_chains_to(p, d->served)) {
		report_add(d->report, "tunnel TLS", w->where, LAYER_FAILED,
		    "certificate: not of the CA that / of the CA listener "
		    "gives");
		report_hint(d->report, "SDKs refuse it: a worker has a leaf of "
		    "a former CA, and got no new one; 'leaf not issued' in its "
		    "log says why (leaf_per_minute?)");
		return (false);
	}
	if ((leaf = probe_certificate(p)) != NULL)
		(void)X509_NAME_oneline(X509_get_issuer_name(leaf), names,
		    sizeof(names));
	X509_free(leaf);
	report_add(d->report, "tunnel TLS", w->where, LAYER_OK, "%s, name fits, "
	    "signed by %s", probe_tls_version(p), names);
	return (true);
}

static void
put_head(const struct doctor *d, const struct way *w, const char *method,
    struct buffer *out)
{
	buffer_printf(out, "%s %s HTTP/1.1\r\nHost: ", method, d->path);
	endpoint_put_authority(&d->host, out);
	if (d->host.port == 443)	/* as clients write it */
		buffer_truncate(out, buffer_len(out) - strlen(":443"));
	buffer_puts(out, "\r\nUser-Agent: relayctl-doctor\r\nAccept: */*\r\n"
	    "Connection: close\r\n");
	if (!key_outside(d, w))
		doctor_put_basic(d, "Proxy-Authorization", out);
}

static bool
ask_host(struct doctor *d, const struct way *w, struct probe *p)
{
	const struct http_head *head;
	struct buffer request, body;
	bool fine = false;

	buffer_init(&request, 0, true);
	buffer_init(&body, 0, false);
	put_head(d, w, "GET", &request);
	buffer_puts(&request, "\r\n");
	if (probe_request(p, view(&request), HTTP_GET, &head, &body) != RC_OK) {
		add_broken(d, "request", w, p);
	} else if (http_head_field_named(head, "x-evervault-error-code") !=
	    NULL) {
		doctor_refused(d, "request", w->where, head, &body);
	} else {
		report_add(d->report, "request", w->where, LAYER_OK,
		    "GET %s: %u from %s", d->path, head->status,
		    doctor_where(&d->host));
		fine = true;
	}
	buffer_fini(&body);
	buffer_fini(&request);
	return (fine);
}

/* ---- a token's way ------------------------------------------------------------------------ */

static void
judge_round_trip(struct doctor *d, const struct way *w,
    const struct http_head *head, const struct buffer *body)
{
	static const char layer[] = "round trip";

	if (http_head_field_named(head, "x-evervault-error-code") != NULL) {
		doctor_refused(d, layer, w->where, head, body);
	} else if (says(body, buffer_cstr(&d->value))) {
		report_add(d->report, layer, w->where, LAYER_OK,
		    "%u; the destination saw the value", head->status);
	} else if (says(body, buffer_cstr(&d->token))) {
		report_add(d->report, layer, w->where, LAYER_FAILED,
		    "%u; the destination got the token itself", head->status);
		report_hint(d->report, "the key API and the proxy are of "
		    "different installations or apps, or a response route "
		    "seals what comes back");
	} else
		report_add(d->report, layer, w->where, LAYER_OK, "%u; the "
		    "answer does not show what the destination saw",
		    head->status);
}

static bool
open_quietly(struct doctor *d, const struct way *w, struct probe *p)
{
	const struct http_head *head;
	struct buffer body;
	bool open;

	buffer_init(&body, 0, false);
	open = connect_through(d, p, key_outside(d, w), &head, &body) == RC_OK &&
	    head->status == 200 && probe_tls(p, d->ours, d->host.host) == RC_OK;
	buffer_fini(&body);
	return (open);
}

static void
send_token(struct doctor *d, const struct way *w)
{
	const struct http_head *head;
	struct buffer request, body, sent;
	struct probe *p = reach_again(d, w);

	if (p == NULL)
		return;
	buffer_init(&request, 0, true);
	buffer_init(&body, 0, false);
	buffer_init(&sent, 0, false);
	/* A token has no character that JSON escapes. */
	buffer_printf(&sent, "{\"relay-doctor\":\"%s\"}", buffer_cstr(&d->token));
	put_head(d, w, "POST", &request);
	buffer_printf(&request, "Content-Type: application/json\r\n"
	    "Content-Length: %zu\r\n\r\n", buffer_len(&sent));
	buffer_put(&request, buffer_data(&sent), buffer_len(&sent));
	if (!open_quietly(d, w, p) || probe_request(p, view(&request),
	    HTTP_POST, &head, &body) != RC_OK)
		add_broken(d, "round trip", w, p);
	else
		judge_round_trip(d, w, head, &body);
	buffer_fini(&sent);
	buffer_fini(&body);
	buffer_fini(&request);
	probe_free(&p);
}

/* ---- all of it ------------------------------------------------------------------------------ */

/* A tunnel is open. */
static void
go_inside(struct doctor *d, const struct way *w, struct probe *p)
{
	if (!shake_inside(d, w, p))
		return;
	if (!d->has_host || !has_key(d)) {
		report_add(d->report, "request", w->where, LAYER_SKIPPED,
		    !d->has_host ? "no destination" : "no key");
		report_hint(d->report, !d->has_host ? "name one: --host HOST" :
		    "give one: --key-file FILE or RELAY_API_KEY");
		return;
	}
	if (!ask_host(d, w, p) || w->blind)
		return;
	if (buffer_len(&d->token) != 0)
		send_token(d, w);
	else
		report_add(d->report, "round trip", w->where, LAYER_SKIPPED,
		    "no token: the key API sealed none");
}

static void
try_listener(struct doctor *d, const struct endpoint *e, bool strict)
{
	struct way w = { .proxy = e, .strict = strict };
	struct probe *p = doctor_reach(d, e, "proxy TCP", "proxy TLS");
	const struct http_head *head;
	struct buffer body;
	bool open = false, kept = false;

	if (p == NULL)
		return;
	(void)span_copy(span_of(doctor_where(e)), w.where, sizeof(w.where));
	buffer_init(&body, 0, false);
	if (connect_through(d, p, false, &head, &body) != RC_OK) {
		add_broken(d, "CONNECT, no key", &w, p);
	} else {
		kept = head->status == 407 && http_head_keep_alive(head);
		open = judge_without_key(d, &w, head, &body);
	}
	buffer_fini(&body);
	if (key_outside(d, &w))
		open = connect_with_key(d, &w, &p, kept);
	if (open)
		go_inside(d, &w, p);
	probe_free(&p);
}

void
doctor_egress(struct doctor *d)
{
	const struct client_setup *s = &d->setup;

	if (s->egress.port != 0)
		try_listener(d, &s->egress, false);
	if (s->strict.port != 0)
		try_listener(d, &s->strict, true);
	if (s->plain.port != 0)
		try_listener(d, &s->plain, false);
}
