/* ctl/client_setup.c - options first, relay.conf for the rest. */
#include "ctl/client_setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/engine_client.h"

#define KEY_VARIABLE	"RELAY_API_KEY"
#define APP_VARIABLE	"RELAY_APP_ID"
/* Basic needs a user; one that is no app id is only a name (spec/sdk-api.md
 * 4.2: older clients send a team). */
#define NOBODY		"relay"

/* ---- the key ----------------------------------------------------------------------- */

static enum ctl_exit
use_key(struct span key, struct buffer *out)
{
	key = span_trim(key);
	if (key.len == 0) {
		ctl_error("the API key is empty");
		return (CTL_USAGE);
	}
	for (size_t i = 0; i < key.len; i++) {
		if (key.p[i] > ' ' && key.p[i] < 0x7f)
			continue;
		ctl_error("the API key has a character that no key has");
		return (CTL_USAGE);
	}
	if (buffer_append(out, key.p, key.len) == RC_OK)
		return (CTL_DONE);
	ctl_error("the API key is too long");
	return (CTL_USAGE);
}

/* The first line of it. */
static enum ctl_exit
key_from_file(const char *path, struct buffer *out)
{
	enum ctl_exit status;
	struct buffer text;

	status = ctl_read_input(path, CLIENT_KEY_BYTES_MAX, true, &text);
	if (status == CTL_DONE) {
		const char *line = buffer_cstr(&text);

		status = use_key((struct span){ line, strcspn(line, "\r\n") },
		    out);
	}
	buffer_fini(&text);
	return (status);
}

static enum ctl_exit
read_key(const struct ctl *ctl, struct buffer *out)
{
	const char *given = args_get(&ctl->args, "key");
	const char *file = args_get(&ctl->args, "key-file");
	const char *variable = getenv(KEY_VARIABLE);

	if (given != NULL && file != NULL) {
		ctl_error("--key and --key-file: one of them");
		return (CTL_USAGE);
	}
	if (file != NULL)
		return (key_from_file(file, out));
	if (given != NULL) {
		(void)fputs("relayctl: warning: every user of this machine can "
		    "read --key: rather use --key-file or " KEY_VARIABLE "\n",
		    stderr);
		return (use_key(span_of(given), out));
	}
	if (variable != NULL && variable[0] != '\0')
		return (use_key(span_of(variable), out));
	return (CTL_DONE);
}

/* ---- where ----------------------------------------------------------------------------- */

/* Option NAME as an endpoint; *given says whether there was one. */
static enum ctl_exit
read_endpoint(const struct ctl *ctl, const char *name, struct endpoint *out,
    bool *given)
{
	const char *text = args_get(&ctl->args, name);

	*given = text != NULL;
	if (text == NULL || endpoint_parse(text, out) == RC_OK)
		return (CTL_DONE);
	/* It may be a proxy URL with a key in it. */
	ctl_error("--%s: https://HOST:PORT or http://HOST:PORT, without a user, "
	    "path or query", name);
	return (CTL_USAGE);
}

static enum ctl_exit
read_egress(struct ctl *ctl, struct client_setup *s, bool *given)
{
	struct endpoint e;
	enum ctl_exit status;

	memset(&e, 0, sizeof(e));
	status = read_endpoint(ctl, "egress", &e, given);
	if (status != CTL_DONE || !*given)
		return (status);
	if (e.tls)
		s->egress = e;
	else
		s->plain = e;
	return (CTL_DONE);
}

static void
use_conf(const struct conf *conf, bool egress, bool api, bool ca,
    struct client_setup *s)
{
	if (egress) {
		(void)endpoint_of_conf(conf, CONF_LISTEN_EGRESS, &s->egress);
		(void)endpoint_of_conf(conf, CONF_LISTEN_EGRESS_PLAIN,
		    &s->plain);
		(void)endpoint_of_conf(conf, CONF_LISTEN_EGRESS_STRICT,
		    &s->strict);
	}
	if (api) {
		(void)endpoint_of_conf(conf, CONF_LISTEN_API, &s->api);
		(void)endpoint_of_conf(conf, CONF_LISTEN_API_TLS, &s->api_tls);
	}
	if (ca)
		(void)endpoint_of_conf(conf, CONF_LISTEN_CA, &s->ca);
}

/* A client machine has no relay.conf, and its user need not read ours. */
static enum ctl_exit
try_conf(struct ctl *ctl, bool needed)
{
	struct conf_fault fault;

	if (needed)
		return (ctl_conf(ctl));
	if (ctl->conf == NULL && conf_read(ctl->conf_path, &ctl->conf,
	    &fault) != RC_OK)
		ctl->conf = NULL;
	return (CTL_DONE);
}

enum ctl_exit
client_setup_read(struct ctl *ctl, struct client_setup *s)
{
	bool egress = false, api = false, ca = false;
	struct endpoint e;
	enum ctl_exit status;

	memset(s, 0, sizeof(*s));
	memset(&e, 0, sizeof(e));
	buffer_init(&s->key, CLIENT_KEY_BYTES_MAX, true);
	buffer_init(&s->anchors, CLIENT_PEM_BYTES_MAX, false);
	s->app = args_get(&ctl->args, "app");
	if (s->app == NULL && (s->app = getenv(APP_VARIABLE)) == NULL)
		s->app = NOBODY;
	if ((status = read_key(ctl, &s->key)) != CTL_DONE ||
	    (status = read_egress(ctl, s, &egress)) != CTL_DONE ||
	    (status = read_endpoint(ctl, "api", &e, &api)) != CTL_DONE ||
	    (status = read_endpoint(ctl, "ca-url", &s->ca, &ca)) != CTL_DONE)
		return (status);
	if (api && e.tls)
		s->api_tls = e;
	else if (api)
		s->api = e;
	if ((status = try_conf(ctl, !egress)) != CTL_DONE)
		return (status);
	/* Of a remote proxy nothing here is known but what was said. */
	use_conf(egress ? NULL : ctl->conf, !egress, !api, !ca, s);
	return (CTL_DONE);
}

/* ---- the CA ------------------------------------------------------------------------------ */

static void
on_ca(void *arg, const struct rpc_value *body)
{
	struct buffer *out = arg;
	struct span pem;

	if (rpc_get_bytes(rpc_map_get(body, "anchors"), &pem) &&
	    buffer_append(out, pem.p, pem.len) != RC_OK)
		buffer_clear(out);
}

static enum ctl_exit
ask_engine(struct ctl *ctl, struct buffer *out)
{
	struct engine_client *engine = NULL;
	struct buffer body;
	enum ctl_exit status;

	buffer_init(&body, 0, false);
	rpc_put_map(&body, 0);
	status = engine_client_open(ctl, ENGINE_ANY, &engine);
	if (status == CTL_DONE)
		status = engine_client_must(engine, RPC_OP_GET_CA, &body, on_ca,
		    out);
	engine_client_close(&engine);
	buffer_fini(&body);
	if (status == CTL_DONE && buffer_len(out) == 0) {
		ctl_error("there is no egress CA yet: relayctl ca create");
		status = CTL_FAILED;
	}
	return (status);
}

enum ctl_exit
client_setup_anchors(struct ctl *ctl, struct client_setup *s)
{
	const char *path = args_get(&ctl->args, "ca");
	enum ctl_exit status;
	struct buffer pem;

	if (path == NULL)
		return (ask_engine(ctl, &s->anchors));
	status = ctl_read_input(path, CLIENT_PEM_BYTES_MAX, false, &pem);
	if (status == CTL_DONE && strstr(buffer_cstr(&pem),
	    "-----BEGIN CERTIFICATE-----") == NULL) {
		ctl_error("--ca: %s: there is no certificate in it (PEM)", path);
		status = CTL_USAGE;
	} else if (status == CTL_DONE)
		buffer_move(&s->anchors, &pem);
	buffer_fini(&pem);
	return (status);
}

void
client_setup_fini(struct client_setup *s)
{
	buffer_fini(&s->key);
	buffer_fini(&s->anchors);
}
