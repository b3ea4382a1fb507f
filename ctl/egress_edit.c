/* ctl/egress_edit.c - see egress_edit.h. */
#include "ctl/egress_edit.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"

#define PORT_DEFAULT	443
#define DESTINATIONS	"destinations"
/* Any app: what is edited is no matter of whose it is. */
#define ANY_APP		SPAN_LIT("app_000000000000")

/* ---- targets ------------------------------------------------------------------- */

/* The colon in front of the port, or NULL.  Several without brackets are those
 * of an IPv6 address. */
static const char *
port_colon(const char *text)
{
	const char *colon = strrchr(text, ':');

	if (text[0] == '[')
		return (colon != NULL && colon > text && colon[-1] == ']' ?
		    colon : NULL);
	return (colon == strchr(text, ':') ? colon : NULL);
}

enum rc
egress_target_read(const char *text, struct egress_target *t)
{
	const char *colon = port_colon(text);
	struct span name = { text, colon != NULL ? (size_t)(colon - text) :
	    strlen(text) };
	bool wildcard = name.len > 2 && memcmp(name.p, "*.", 2) == 0;
	uint64_t port = PORT_DEFAULT;
	char host[HOST_BYTES];

	if (wildcard) {
		name.p += 2;
		name.len -= 2;
	}
	if (colon != NULL && (string_u64(span_of(colon + 1), &port) != RC_OK ||
	    port < 1 || port > UINT16_MAX))
		return (RC_SYNTAX);
	if (host_canonical(name, host) != RC_OK || (wildcard && host_is_ip(host)))
		return (RC_SYNTAX);
	(void)snprintf(t->host, sizeof(t->host), "%s%s", wildcard ? "*." : "",
	    host);
	t->port = (uint16_t)port;
	return (RC_OK);
}

/* ---- records --------------------------------------------------------------------- */

/* The text, its index, and what it means: the n-th element of the list is the
 * n-th destination. */
struct record {
	struct body_json	doc;
	struct egress		*egress;	/* owned */
};

static void
record_open(struct record *r, struct span text)
{
	memset(r, 0, sizeof(*r));
	if (text.len == 0)
		text = SPAN_LIT("{}");
	ensure(body_json_read(&r->doc, text.p, text.len, 0, NULL) == RC_OK &&
	    egress_json_parse(ANY_APP, text, &r->egress, NULL) == RC_OK);
}

static void
record_close(struct record *r)
{
	egress_unref(&r->egress);
	body_json_fini(&r->doc);
}

/* The destinations but those of the target.  Returns how many those were. */
static size_t
put_others(const struct record *r, const struct egress_target *t,
    struct body_json_writer *w)
{
	const struct egress_destination *d = r->egress->destinations;
	uint32_t list = body_json_member(&r->doc, 0, DESTINATIONS);
	size_t left_out = 0;

	if (list == 0)
		return (0);
	for (uint32_t n = body_json_child(&r->doc, list); n != 0;
	    n = body_json_sibling(&r->doc, n), d++) {
		if (strcmp(d->host, t->host) == 0 && d->port == t->port)
			left_out++;
		else
			body_json_put_raw(w, NULL, body_json_raw(&r->doc, n));
	}
	return (left_out);
}

/* Everything behind the list. */
static void
put_rest(const struct record *r, struct body_json_writer *w)
{
	struct buffer name;

	buffer_init(&name, 0, false);
	for (uint32_t n = body_json_child(&r->doc, 0); n != 0;
	    n = body_json_sibling(&r->doc, n)) {
		buffer_clear(&name);
		ensure(body_json_unescape(body_json_raw_key(&r->doc, n), &name) ==
		    RC_OK);
		if (strcmp(buffer_cstr(&name), DESTINATIONS) != 0)
			body_json_put_raw(w, buffer_cstr(&name),
			    body_json_raw(&r->doc, n));
	}
	buffer_fini(&name);
}

static void
put_texts(struct body_json_writer *w, const char *name,
    const char *const *list, size_t n)
{
	if (n == 0)
		return;
	body_json_open_array(w, name);
	for (size_t i = 0; i < n; i++)
		body_json_put_str(w, NULL, list[i]);
	body_json_close_array(w);
}

static void
put_grant(struct body_json_writer *w, const struct egress_grant *g)
{
	body_json_open_object(w, NULL);
	body_json_put_str(w, "host", g->to.host);
	if (g->to.port != PORT_DEFAULT)
		body_json_put_u64(w, "port", g->to.port);
	put_texts(w, "methods", g->methods, g->n_methods);
	put_texts(w, "paths", g->paths, g->n_paths);
	if (g->internal)
		body_json_put_bool(w, "internal", true);
	body_json_close_object(w);
}

static size_t
edit(struct span text, const struct egress_target *t,
    const struct egress_grant *g, struct buffer *out)
{
	struct body_json_writer w;
	struct record r;
	size_t left_out;

	record_open(&r, text);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_open_array(&w, DESTINATIONS);
	left_out = put_others(&r, t, &w);
	if (g != NULL)
		put_grant(&w, g);
	body_json_close_array(&w);
	put_rest(&r, &w);
	body_json_close_object(&w);
	record_close(&r);
	return (left_out);
}

void
egress_edit_allow(struct span record, const struct egress_grant *g,
    struct buffer *out)
{
	(void)edit(record, &g->to, g, out);
}

enum rc
egress_edit_deny(struct span record, const struct egress_target *t,
    struct buffer *out)
{
	if (edit(record, t, NULL, out) > 0)
		return (RC_OK);
	buffer_clear(out);
	return (RC_NOTFOUND);
}
