/*
 * ctl/doctor.c - `doctor`: the way of a client through egress, layer by layer,
 * with what to change where it ends.
 *
 *   here                 relay.conf, the engine, its CA, the clocks
 *   doctor_api.c         the key API, the CA listener
 *   doctor_egress.c      each proxy listener: TCP, TLS, CONNECT, the tunnel
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

#include "ctl/ca_bundle.h"
#include "ctl/doctor_cause.h"
#include "ctl/doctor_private.h"
#include "ctl/engine_client.h"
#include "ctl/time_text.h"
#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/body/json.h"

#define SKEW_MAX_MS	30000	/* leaves are back-dated an hour; tokens for
				   clients live minutes */
#define CA_SOON_MS	(30ull * 24 * 3600 * 1000)
#define VALUE_BYTES	12	/* random, of the round trip */

/* ---- what the parts share ---------------------------------------------------------- */

const char *
doctor_where(const struct endpoint *e)
{
	static char texts[4][HOST_BYTES + 16];
	static unsigned next;
	char *text = texts[next++ % 4];

	(void)snprintf(text, sizeof(texts[0]), "%s%s%s:%u",
	    strchr(e->host, ':') != NULL ? "[" : "", e->host,
	    strchr(e->host, ':') != NULL ? "]" : "", e->port);
	return (text);
}

/* A member of a problem document, as text. */
static void
problem_member(const struct buffer *body, const char *name, char *out,
    size_t size)
{
	struct body_json doc;
	struct buffer text;
	uint32_t node;

	out[0] = '\0';
	if (buffer_len(body) == 0 || body_json_read(&doc, buffer_data(body),
	    buffer_len(body), 64, NULL) != RC_OK)
		return;
	buffer_init(&text, size, false);
	node = body_json_member(&doc, 0, name);
	if (node != 0 && doc.nodes[node].type == BODY_JSON_STRING &&
	    body_json_unescape(body_json_raw(&doc, node), &text) == RC_OK)
		(void)span_copy((struct span){ buffer_data(&text),
		    buffer_len(&text) }, out, size);
	buffer_fini(&text);
	body_json_fini(&doc);
}

void
doctor_refused(struct doctor *d, const char *layer, const char *where,
    const struct http_head *head, const struct buffer *body)
{
	const struct http_field *f = http_head_field_named(head,
	    "x-evervault-error-code");
	struct span code = f == NULL ? SPAN_LIT("") : f->value;
	char detail[256], advice[384];
	const char *app = d->setup.app, *cause;

	problem_member(body, "detail", detail, sizeof(detail));
	report_add(d->report, layer, where, LAYER_FAILED, "%u %.*s%s%s",
	    head->status, (int)code.len, code.p, detail[0] == '\0' ? "" : ": ",
	    detail);
	if (code.len == 0) {
		report_hint(d->report, "no answer of Relay's: does another "
		    "program listen there?");
		return;
	}
	if ((cause = cause_of_code(code, span_of(detail))) == NULL)
		return;
	if (strncmp(app, "app_", 4) != 0)
		app = "APP";
	cause_text(cause, app, doctor_where(&d->host), advice, sizeof(advice));
	report_hint(d->report, "%s", advice);
}

void
doctor_put_basic(const struct doctor *d, const char *field, struct buffer *out)
{
	const struct buffer *key = &d->setup.key;
	struct buffer text;
	char *room;
	size_t len;

	buffer_init(&text, 0, true);
	buffer_printf(&text, "%s:", d->setup.app);
	buffer_put(&text, buffer_data(key), buffer_len(key));
	len = base64_encoded_len(buffer_len(&text), true);
	buffer_printf(out, "%s: Basic ", field);
	if (buffer_reserve(out, len + 1, &room) == RC_OK)
		buffer_commit(out, base64_encode(buffer_data(&text),
		    buffer_len(&text), true, room));
	buffer_puts(out, "\r\n");
	buffer_fini(&text);
}

static void
add_tls_row(struct doctor *d, const char *layer, const struct endpoint *e,
    struct probe *p, enum rc rc)
{
	const char *where = doctor_where(e);

	if (rc == RC_OK) {
		report_add(d->report, layer, where, LAYER_OK, "%s, certificate "
		    "trusted, name fits", probe_tls_version(p));
		return;
	}
	report_add(d->report, layer, where, LAYER_FAILED, "%s%s",
	    rc == RC_DENIED ? "certificate: " : "", probe_why(p));
	if (rc == RC_DENIED)
		report_hint(d->report, "%s",
		    cause_of_certificate(probe_verified(p), false));
	else
		report_hint(d->report, "is this a TLS listener? relay.conf, "
		    "the log of the workers");
}

struct probe *
doctor_reach(struct doctor *d, const struct endpoint *e, const char *tcp_layer,
    const char *tls_layer)
{
	struct probe *p = probe_new(DOCTOR_TIMEOUT_MS);
	enum rc rc = probe_connect(p, e);

	if (rc != RC_OK) {
		report_add(d->report, tcp_layer, doctor_where(e), LAYER_FAILED,
		    "%s", probe_why(p));
		report_hint(d->report, rc == RC_NOTFOUND ? "the name is not "
		    "known here: DNS, /etc/hosts" : "is relayd running "
		    "(relayctl status), is the port open from here?");
		goto failed;
	}
	report_add(d->report, tcp_layer, doctor_where(e), LAYER_OK,
	    "connected");
	if (!e->tls)
		return (p);
	if (d->trusted == NULL) {
		report_add(d->report, tls_layer, doctor_where(e), LAYER_SKIPPED,
		    "no CA to check with");
		goto failed;
	}
	rc = probe_tls(p, d->trusted, e->host);
	add_tls_row(d, tls_layer, e, p, rc);
	if (rc == RC_OK)
		return (p);
failed:
	probe_free(&p);
	return (NULL);
}

/* ---- relay.conf ------------------------------------------------------------------------ */

static void
check_conf(struct doctor *d, const struct ctl *ctl)
{
	const struct client_setup *s = &d->setup;
	unsigned n = (s->egress.port != 0) + (s->plain.port != 0) +
	    (s->strict.port != 0);

	if (args_get(&ctl->args, "egress") != NULL) {
		report_add(d->report, "configuration", "", LAYER_OK,
		    "the proxy is the one of --egress");
		return;
	}
	report_add(d->report, "configuration", ctl->conf_path,
	    n == 0 ? LAYER_FAILED : LAYER_OK, "%u kind%s of egress listeners%s",
	    n, n == 1 ? "" : "s", s->egress.port == 0 && s->strict.port == 0 &&
	    n != 0 ? ", none with TLS" : "");
	if (n == 0)
		report_hint(d->report, "add listen \"egress\" { address = "
		    "\"0.0.0.0:8443\" } and reload");
}

/* ---- the engine --------------------------------------------------------------------------- */

struct engine_facts {
	bool		ready;
	uint64_t	time_ms;
	char		ca[32];		/* that signs; "": none */
	uint64_t	not_after_ms;
	size_t		n_cas;
	struct buffer	*anchors;	/* borrowed */
};

static void
on_ping(void *arg, const struct rpc_value *body)
{
	struct engine_facts *f = arg;

	(void)rpc_get_bool(rpc_map_get(body, "ready"), &f->ready);
	(void)rpc_get_u64(rpc_map_get(body, "time_ms"), &f->time_ms);
}

/* [id, state, sha256, not_before_ms, not_after_ms, pem, ...] */
static void
on_ca(void *arg, const struct rpc_value *body)
{
	const struct rpc_value *rows = rpc_map_get(body, "cas");
	size_t n = rpc_array_len(rows);
	struct engine_facts *f = arg;
	struct span id, state, pem;

	for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
		const struct rpc_value *row = rpc_array_at(rows, i);

		f->n_cas++;
		if (!rpc_get_bytes(rpc_array_at(row, 0), &id) ||
		    !rpc_get_bytes(rpc_array_at(row, 1), &state) ||
		    !span_eq_str(state, "signs"))
			continue;
		(void)span_copy(id, f->ca, sizeof(f->ca));
		(void)rpc_get_u64(rpc_array_at(row, 4), &f->not_after_ms);
	}
	if (f->anchors != NULL &&
	    rpc_get_bytes(rpc_map_get(body, "anchors"), &pem) &&
	    buffer_append(f->anchors, pem.p, pem.len) != RC_OK)
		buffer_clear(f->anchors);
}

static enum ctl_exit
call(struct engine_client *engine, enum rpc_op op, engine_reply_cb *cb,
    struct engine_facts *facts)
{
	struct buffer body;
	enum ctl_exit status;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	status = engine_client_must(engine, op, &body, cb, facts);
	buffer_fini(&body);
	return (status);
}

static void
add_clock_row(struct doctor *d, const struct engine_facts *f)
{
	uint64_t now = clock_wall_ms();
	bool behind = now < f->time_ms;
	uint64_t skew = behind ? f->time_ms - now : now - f->time_ms;

	report_add(d->report, "clock", "", skew > SKEW_MAX_MS ? LAYER_FAILED :
	    LAYER_OK, "%llu.%03llu s %s the engine's",
	    (unsigned long long)(skew / 1000),
	    (unsigned long long)(skew % 1000), behind ? "behind" : "ahead of");
	if (skew > SKEW_MAX_MS)
		report_hint(d->report, "certificates and tokens have dates: set "
		    "the clocks (NTP)");
}

static void
add_ca_row(struct doctor *d, const struct engine_facts *f)
{
	uint64_t now = clock_wall_ms();
	char when[TIME_TEXT_BYTES];

	if (f->ca[0] == '\0') {
		report_add(d->report, "egress CA", "", LAYER_FAILED,
		    "none signs (%zu made)", f->n_cas);
		report_hint(d->report, f->n_cas == 0 ? "relayctl ca create, "
		    "have the request signed, relayctl ca install" :
		    "relayctl ca show; relayctl ca install FILE");
		return;
	}
	time_text(f->not_after_ms, when);
	report_add(d->report, "egress CA", f->ca, f->not_after_ms <= now ?
	    LAYER_FAILED : LAYER_OK, "signs, until %s", when);
	if (f->not_after_ms <= now + CA_SOON_MS)
		report_hint(d->report, "it ends soon: relayctl ca rotate");
}

/* The first line of what was told. */
static void
cut_line(struct buffer *text)
{
	char *end = buffer_len(text) == 0 ? NULL :
	    memchr(buffer_data(text), '\n', buffer_len(text));

	if (end != NULL)
		buffer_truncate(text, (size_t)(end - buffer_data(text)));
}

static void
ask_engine(struct doctor *d, struct ctl *ctl, struct engine_facts *f,
    struct buffer *told)
{
	struct engine_client *engine = NULL;
	bool ping = false, ca = false;

	ctl_error_into(told);
	if (engine_client_open(ctl, ENGINE_ANY, &engine) == CTL_DONE &&
	    call(engine, RPC_OP_PING, on_ping, f) == CTL_DONE) {
		ping = true;
		ca = call(engine, RPC_OP_GET_CA, on_ca, f) == CTL_DONE;
	}
	engine_client_close(&engine);
	ctl_error_into(NULL);
	cut_line(told);
	if (!ping) {
		report_add(d->report, "engine", "", LAYER_FAILED, "%s",
		    buffer_cstr(told));
		report_hint(d->report, "relayctl status; is e3d running, and may "
		    "you read link_dir/admin.key?");
		return;
	}
	report_add(d->report, "engine", "", f->ready ? LAYER_OK : LAYER_FAILED,
	    "%s", f->ready ? "ready" : "not ready");
	add_clock_row(d, f);
	if (ca)
		add_ca_row(d, f);
	else
		report_add(d->report, "egress CA", "", LAYER_FAILED, "%s",
		    buffer_cstr(told));
}

static void
check_engine(struct doctor *d, struct ctl *ctl)
{
	bool own_ca = args_get(&ctl->args, "ca") != NULL;
	struct engine_facts f = { .anchors = own_ca ? NULL : &d->setup.anchors };
	struct buffer told;

	if (args_get(&ctl->args, "egress") != NULL && own_ca) {
		report_add(d->report, "engine", "", LAYER_SKIPPED,
		    "the proxy of --egress may be elsewhere");
		return;
	}
	buffer_init(&told, 0, false);
	ask_engine(d, ctl, &f, &told);
	buffer_fini(&told);
}

/* ---- what to trust -------------------------------------------------------------------------- */

static void
make_stores(struct doctor *d)
{
	struct buffer *anchors = &d->setup.anchors;
	struct buffer all;

	if (buffer_len(anchors) == 0) {
		report_add(d->report, "CA file", "", LAYER_SKIPPED,
		    "no CA certificate: no TLS can be checked");
		return;
	}
	buffer_init(&all, CA_BUNDLE_BYTES_MAX, false);
	ca_bundle_system(&all);
	/* A bundle that fills the buffer is none of a system's. */
	if (buffer_append(&all, "\n", 1) != RC_OK ||
	    buffer_append(&all, buffer_data(anchors), buffer_len(anchors)) !=
	    RC_OK)
		buffer_clear(&all);
	d->trusted = ca_bundle_store((struct span){ buffer_data(&all),
	    buffer_len(&all) });
	d->ours = ca_bundle_store((struct span){ buffer_data(anchors),
	    buffer_len(anchors) });
	buffer_fini(&all);
	if (d->trusted != NULL && d->ours != NULL)
		return;
	report_add(d->report, "CA file", "", LAYER_FAILED,
	    "the CA, or the system's bundle, is broken PEM");
	report_hint(d->report, "fetch it again: relayctl ca show --pem");
}

/* ---- all of it ------------------------------------------------------------------------------- */

static enum ctl_exit
read_host(const struct ctl *ctl, struct doctor *d)
{
	const char *host = args_get(&ctl->args, "host");

	d->path = args_get(&ctl->args, "path");
	if (d->path == NULL)
		d->path = "/";
	for (const char *p = d->path; *p != '\0'; p++) {
		if (*p > ' ' && *p < 0x7f && d->path[0] == '/')
			continue;
		ctl_error("--path: a path that begins with '/', percent-encoded");
		return (CTL_USAGE);
	}
	d->has_host = host != NULL;
	if (endpoint_parse_host(host == NULL ? DOCTOR_NO_HOST : host, 443,
	    &d->host) == RC_OK)
		return (CTL_DONE);
	ctl_error("--host: HOST or HOST:PORT");
	return (CTL_USAGE);
}

static void
make_value(struct doctor *d)
{
	uint8_t random[VALUE_BYTES];
	char text[2 * VALUE_BYTES + 1];

	random_bytes(random, sizeof(random));
	hex_encode(random, sizeof(random), text);
	buffer_printf(&d->value, "relay-doctor-%s", text);
}

static void
examine(struct doctor *d, struct ctl *ctl)
{
	check_conf(d, ctl);
	check_engine(d, ctl);
	make_stores(d);
	doctor_ca_listener(d);
	doctor_api(d);
	doctor_egress(d);
}

enum ctl_exit
ctl_doctor(struct ctl *ctl)
{
	struct doctor d = { .report = report_new() };
	enum ctl_exit status;

	buffer_init(&d.value, 0, false);
	buffer_init(&d.token, 0, false);
	if ((status = client_setup_read(ctl, &d.setup)) == CTL_DONE &&
	    (status = read_host(ctl, &d)) == CTL_DONE &&
	    (args_get(&ctl->args, "ca") == NULL ||
	    (status = client_setup_anchors(ctl, &d.setup)) == CTL_DONE)) {
		make_value(&d);
		examine(&d, ctl);
		status = report_print(d.report, ctl->json);
	}
	X509_STORE_free(d.trusted);
	X509_STORE_free(d.ours);
	X509_STORE_free(d.served);
	buffer_fini(&d.value);
	buffer_fini(&d.token);
	client_setup_fini(&d.setup);
	report_free(&d.report);
	return (status);
}
