/*
 * conf/conf_file.c - relay.conf and e3.conf: what their sections mean and what
 * must hold between options.  Single options: conf_table.c.
 */
#include "conf/conf_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_parse.h"
#include "conf/conf_text.h"
#include "lib/base/fd.h"
#include "lib/base/host.h"
#include "lib/base/object.h"

/* ---- relay.conf ---------------------------------------------------------------------- */

static const struct {
	const char	*title;
	bool		tls;
} listen_kinds[] = {
	[CONF_LISTEN_INGRESS] = { "ingress", true },
	[CONF_LISTEN_EGRESS] = { "egress", true },
	[CONF_LISTEN_EGRESS_PLAIN] = { "egress-plain", false },
	[CONF_LISTEN_EGRESS_STRICT] = { "egress-strict", true },
	[CONF_LISTEN_API] = { "api", false },
	[CONF_LISTEN_API_TLS] = { "api-tls", true },
	[CONF_LISTEN_CA] = { "ca", false },
};

#define LISTEN_KINDS	(sizeof(listen_kinds) / sizeof(listen_kinds[0]))

const char *
conf_listen_name(enum conf_listen_kind kind)
{
	ensure((size_t)kind < LISTEN_KINDS);
	return (listen_kinds[kind].title);
}

bool
conf_listen_is_tls(enum conf_listen_kind kind)
{
	ensure((size_t)kind < LISTEN_KINDS);
	return (listen_kinds[kind].tls);
}

static enum rc
find_listen_kind(const struct conf *c, const char *title,
    enum conf_listen_kind *kind, struct conf_fault *fault)
{
	for (size_t i = 0; i < LISTEN_KINDS; i++) {
		if (strcmp(title, listen_kinds[i].title) != 0)
			continue;
		*kind = (enum conf_listen_kind)i;
		return (RC_OK);
	}
	conf_fault_set(fault, c->path, "listen \"%.64s\": not one of ingress, "
	    "egress, egress-plain, egress-strict, api, api-tls and ca", title);
	return (RC_SYNTAX);
}

static enum rc
add_listen(struct conf *c, enum conf_listen_kind kind, char **address,
    unsigned *room, struct conf_fault *fault)
{
	/* API keys and plaintext pass there in clear. */
	if (kind == CONF_LISTEN_API && !c->allow_plain_api &&
	    !conf_is_loopback(*address)) {
		conf_fault_set(fault, c->path, "listen \"api\": %s is not a "
		    "loopback address: use \"api-tls\", or set "
		    "allow_plain_api", *address);
		return (RC_SYNTAX);
	}
	for (size_t i = 0; i < c->n_listens; i++) {
		if (strcmp(c->listens[i].address, *address) != 0)
			continue;
		conf_fault_set(fault, c->path, "address %s is listened on twice",
		    *address);
		return (RC_SYNTAX);
	}
	if (*room == 0) {
		conf_fault_set(fault, c->path, "more than %d listen addresses",
		    CONF_LIST_MAX);
		return (RC_SYNTAX);
	}
	(*room)--;
	c->listens[c->n_listens].kind = kind;
	c->listens[c->n_listens++].address = *address;
	*address = NULL;		/* moved */
	return (RC_OK);
}

static enum rc
fill_listens(struct conf *c, cfg_t *cfg, struct conf_fault *fault)
{
	const struct option *o = conf_option_find(conf_table(CONF_RELAY), "listen");
	unsigned n = cfg_size(cfg, "listen"), room = CONF_LIST_MAX;
	struct conf_listen_section sec;
	enum conf_listen_kind kind;
	enum rc rc = RC_OK;

	c->listens = xcalloc(CONF_LIST_MAX, sizeof(*c->listens));
	for (unsigned i = 0; i < n && rc == RC_OK; i++) {
		cfg_t *s = cfg_getnsec(cfg, "listen", i);

		rc = find_listen_kind(c, cfg_title(s), &kind, fault);
		if (rc != RC_OK)
			return (rc);
		memset(&sec, 0, sizeof(sec));
		conf_fill(o->sub, s, &sec);
		if (sec.n_addresses == 0) {
			conf_fault_set(fault, c->path, "listen \"%s\": "
			    "address is missing", conf_listen_name(kind));
			rc = RC_SYNTAX;
		}
		for (size_t k = 0; k < sec.n_addresses && rc == RC_OK; k++)
			rc = add_listen(c, kind, &sec.addresses[k], &room,
			    fault);
		conf_texts_free(sec.addresses, sec.n_addresses);
	}
	return (rc);
}

static enum rc
fill_certificates(struct conf *c, cfg_t *cfg, struct conf_fault *fault)
{
	const struct option *o = conf_option_find(conf_table(CONF_RELAY),
	    "certificate");
	unsigned n = cfg_size(cfg, "certificate");

	if (n > CONF_LIST_MAX) {
		conf_fault_set(fault, c->path, "more than %d certificates",
		    CONF_LIST_MAX);
		return (RC_SYNTAX);
	}
	c->certificates = xcalloc(n + 1u, sizeof(*c->certificates));
	for (unsigned i = 0; i < n; i++) {
		struct conf_certificate *cert = &c->certificates[i];
		cfg_t *s = cfg_getnsec(cfg, "certificate", i);

		conf_fill(o->sub, s, cert);
		cert->name = xstrdup(cfg_title(s));
		c->n_certificates++;
		if (*cert->chain != '\0' && *cert->key != '\0')
			continue;
		conf_fault_set(fault, c->path, "certificate \"%.64s\": %s is "
		    "missing", cert->name, *cert->chain == '\0' ? "chain" :
		    "key");
		return (RC_SYNTAX);
	}
	for (size_t i = 0; i < c->n_listens && n == 0; i++) {
		if (!conf_listen_is_tls(c->listens[i].kind))
			continue;
		conf_fault_set(fault, c->path, "listen \"%s\" needs a "
		    "certificate section", conf_listen_name(c->listens[i].kind));
		return (RC_SYNTAX);
	}
	return (RC_OK);
}

/* Checked when they were read; what is asked later is canonical, too. */
static void
canonical_pass_through(struct conf *c)
{
	for (size_t i = 0; i < c->n_egress_pass_through; i++) {
		char **at = &c->egress_pass_through[i];
		bool any = strncmp(*at, "*.", 2) == 0;
		char host[HOST_BYTES], *name;

		ensure(host_canonical(span_of(*at + (any ? 2 : 0)), host) == RC_OK);
		name = xasprintf("%s%s", any ? "*." : "", host);
		free(*at);
		*at = name;
	}
}

enum rc
conf_read_text(const char *path, struct span text, struct conf **out,
    struct conf_fault *fault)
{
	struct conf *c = NULL;
	cfg_opt_t *opts;
	cfg_t *cfg;
	enum rc rc;

	*out = NULL;
	rc = conf_parse_begin(CONF_RELAY, path, text, fault, &opts, &cfg);
	if (rc != RC_OK)
		goto out;
	c = xcalloc(1, sizeof(*c));
	c->path = conf_parse_path(path);
	conf_fill(conf_table(CONF_RELAY), cfg, c);
	canonical_pass_through(c);
	if ((rc = fill_listens(c, cfg, fault)) != RC_OK)
		goto out;
	if ((rc = fill_certificates(c, cfg, fault)) != RC_OK)
		goto out;
	*out = c;
	c = NULL;
out:
	conf_free(&c);
	conf_parse_end(opts, cfg);
	return (rc);
}

void
conf_free(struct conf **cp)
{
	const struct option *table = conf_table(CONF_RELAY);
	struct conf *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n_listens; i++)
		free(c->listens[i].address);
	free(c->listens);
	for (size_t i = 0; i < c->n_certificates; i++) {
		conf_clear(conf_option_find(table, "certificate")->sub,
		    &c->certificates[i]);
		free(c->certificates[i].name);
	}
	free(c->certificates);
	conf_clear(table, c);
	free(c->path);
	free(c);
}

/* ---- e3.conf -------------------------------------------------------------------------- */

/* One Unix socket and at most one of TCP: each has its place in e3d. */
static enum rc
check_engine_listens(const struct conf_e3 *c, struct conf_fault *fault)
{
	size_t n_unix = 0;

	for (size_t i = 0; i < c->n_listens; i++)
		if (strncmp(c->listens[i], "unix:", 5) == 0)
			n_unix++;
	if (n_unix == 1 && c->n_listens - n_unix <= 1)
		return (RC_OK);
	conf_fault_set(fault, c->path, "option 'listen': one unix:PATH and at most "
	    "one IP:port, not %zu and %zu", n_unix, c->n_listens - n_unix);
	return (RC_SYNTAX);
}

enum rc
conf_e3_read_text(const char *path, struct span text, struct conf_e3 **out,
    struct conf_fault *fault)
{
	struct conf_e3 *c = NULL;
	cfg_opt_t *opts;
	cfg_t *cfg;
	enum rc rc;

	*out = NULL;
	rc = conf_parse_begin(CONF_E3, path, text, fault, &opts, &cfg);
	if (rc != RC_OK)
		goto out;
	c = xcalloc(1, sizeof(*c));
	c->path = conf_parse_path(path);
	conf_fill(conf_table(CONF_E3), cfg, c);
	if ((rc = check_engine_listens(c, fault)) != RC_OK)
		goto out;
	*out = c;
	c = NULL;
out:
	conf_e3_free(&c);
	conf_parse_end(opts, cfg);
	return (rc);
}

void
conf_e3_free(struct conf_e3 **cp)
{
	struct conf_e3 *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	conf_clear(conf_table(CONF_E3), c);
	free(c->path);
	free(c);
}

/* ---- whole files ------------------------------------------------------------------------ */

static enum rc
load(const char *path, struct buffer *text, struct conf_fault *fault)
{
	enum rc rc;

	fault->text[0] = '\0';
	buffer_init(text, CONF_FILE_BYTES_MAX, false);
	errno = 0;
	rc = file_read(path, text);
	if (rc == RC_OK)
		return (RC_OK);
	conf_fault_set(fault, path, "%s", rc == RC_LIMIT ? "larger than 1 MiB" :
	    errno != 0 ? strerror(errno) : rc_name(rc));
	return (rc == RC_LIMIT ? RC_SYNTAX : RC_IO);
}

enum rc
conf_read(const char *path, struct conf **out, struct conf_fault *fault)
{
	struct buffer text;
	enum rc rc;

	*out = NULL;
	if ((rc = load(path, &text, fault)) == RC_OK)
		rc = conf_read_text(path, (struct span){ buffer_data(&text),
		    buffer_len(&text) }, out, fault);
	buffer_fini(&text);
	return (rc);
}

enum rc
conf_e3_read(const char *path, struct conf_e3 **out, struct conf_fault *fault)
{
	struct buffer text;
	enum rc rc;

	*out = NULL;
	if ((rc = load(path, &text, fault)) == RC_OK)
		rc = conf_e3_read_text(path, (struct span){
		    buffer_data(&text), buffer_len(&text) }, out, fault);
	buffer_fini(&text);
	return (rc);
}
