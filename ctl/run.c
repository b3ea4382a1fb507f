/*
 * ctl/run.c - `run`: a command whose https requests go through egress.  The CA
 * files live in a folder of their own, as long as the command.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ca_bundle.h"
#include "ctl/run_child.h"
#include "ctl/run_variables.h"
#include "ctl/scratch.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"

#define SCRATCH_PREFIX	"relayctl-run."	/* nobody else's: leftovers are removed */
#define CURLRC_BYTES_MAX (1u << 20)
#define FILE_MODE	0644	/* certificates; the folder is 0700 */

/* ---- files ---------------------------------------------------------------------------- */

struct files {
	struct scratch	folder;
	char		*anchors;	/* owned: paths */
	char		*bundle;
	char		*key_store;
};

static enum ctl_exit
write_one(const struct scratch *folder, const char *name,
    const struct buffer *content, char **path)
{
	*path = xasprintf("%s/%s", folder->path, name);
	if (file_replace(*path, buffer_data(content), buffer_len(content),
	    FILE_MODE) == RC_OK)
		return (CTL_DONE);
	ctl_error("%s: %s", *path, strerror(errno));
	return (CTL_FAILED);
}

static enum ctl_exit
make_key_store(const struct buffer *bundle, struct buffer *out)
{
	struct span pem = { buffer_data(bundle), buffer_len(bundle) };

	switch (ca_bundle_pkcs12(pem, out)) {
	case RC_OK:
		return (CTL_DONE);
	case RC_SYNTAX:
		ctl_error("the CA, or the system's bundle, is broken PEM");
		return (CTL_USAGE);
	default:
		ctl_error("OpenSSL cannot write a key store for Java");
		return (CTL_FAILED);
	}
}

/* ---- curl ----------------------------------------------------------------------------- */

/* The user's own settings: where curl(1) would have found them. */
static void
read_curlrc(struct buffer *out)
{
	static const struct { const char *variable, *name; } places[] = {
		{ "CURL_HOME", ".curlrc" },
		{ "XDG_CONFIG_HOME", "curlrc" },
		{ "HOME", ".curlrc" },
		{ "HOME", ".config/curlrc" },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *folder = getenv(places[i].variable);
		char *path;
		enum rc rc;

		if (folder == NULL || folder[0] == '\0')
			continue;
		path = xasprintf("%s/%s", folder, places[i].name);
		rc = file_read(path, out);
		free(path);
		if (rc == RC_OK)
			return;
		buffer_clear(out);
	}
}

/* They may hold passwords. */
static enum ctl_exit
write_curlrc(const struct files *f)
{
	char *path = xasprintf("%s/.curlrc", f->folder.path);
	enum ctl_exit status = CTL_DONE;
	struct buffer text;

	buffer_init(&text, CURLRC_BYTES_MAX, true);
	read_curlrc(&text);
	if (buffer_len(&text) > CURLRC_BYTES_MAX - PATH_MAX - 64)
		buffer_clear(&text);
	buffer_printf(&text, "\nproxy-cacert = \"%s\"\n", f->bundle);
	if (file_replace(path, buffer_data(&text), buffer_len(&text), 0600) !=
	    RC_OK) {
		ctl_error("%s: %s", path, strerror(errno));
		status = CTL_FAILED;
	}
	buffer_fini(&text);
	free(path);
	return (status);
}

/* ---- all files ---------------------------------------------------------------------- */

/* Ours first: who looks at the first certificate alone finds it. */
static void
join(const struct buffer *ours, const struct buffer *system, struct buffer *out)
{
	buffer_put(out, buffer_data(ours), buffer_len(ours));
	buffer_puts(out, "\n");
	buffer_put(out, buffer_data(system), buffer_len(system));
	if (buffer_len(system) == 0)
		(void)fputs("relayctl: warning: this system has no bundle of "
		    "trusted certificates; the command trusts the egress CA "
		    "alone\n", stderr);
}

static enum ctl_exit
write_files(const struct client_setup *s, struct files *f)
{
	const char *tmp = getenv("TMPDIR");
	struct buffer system, bundle, store;
	enum ctl_exit status = CTL_FAILED;

	buffer_init(&system, CA_BUNDLE_BYTES_MAX, false);
	buffer_init(&bundle, 0, false);
	buffer_init(&store, 0, false);
	tmp = tmp == NULL || tmp[0] == '\0' ? "/tmp" : tmp;
	if (scratch_make(&f->folder, tmp, SCRATCH_PREFIX) != RC_OK) {
		ctl_error("%s: %s", tmp, strerror(errno));
		goto out;
	}
	ca_bundle_system(&system);
	join(&s->anchors, &system, &bundle);
	if ((status = make_key_store(&bundle, &store)) != CTL_DONE ||
	    (status = write_one(&f->folder, "ca.pem", &s->anchors,
	    &f->anchors)) != CTL_DONE ||
	    (status = write_one(&f->folder, "bundle.pem", &bundle,
	    &f->bundle)) != CTL_DONE)
		goto out;
	status = write_one(&f->folder, "trust.p12", &store, &f->key_store);
	if (status == CTL_DONE)
		status = write_curlrc(f);
out:
	buffer_fini(&system);
	buffer_fini(&bundle);
	buffer_fini(&store);
	return (status);
}

static void
remove_files(struct files *f)
{
	scratch_remove(&f->folder);
	free(f->anchors);
	free(f->bundle);
	free(f->key_store);
}

/* ---- which proxy ------------------------------------------------------------------------ */

static enum ctl_exit
choose_proxy(struct ctl *ctl, const struct client_setup *s, bool *plain)
{
	bool wants_tls = args_has(&ctl->args, "tls");

	*plain = args_has(&ctl->args, "plain");
	if (*plain && wants_tls) {
		ctl_error("--tls and --plain: one of them");
		return (CTL_USAGE);
	}
	if (!*plain && !wants_tls)
		*plain = s->egress.port == 0;
	if ((*plain ? s->plain.port : s->egress.port) == 0) {
		ctl_error("%s has no listen \"%s\": add one, or say --egress "
		    "URL", ctl->conf_path, *plain ? "egress-plain" : "egress");
		return (CTL_USAGE);
	}
	if (*plain && buffer_len(&s->key) != 0)
		(void)fputs("relayctl: warning: a key is never sent in clear: "
		    "the command itself has to send it, with each request "
		    "inside of the tunnel\n", stderr);
	return (CTL_DONE);
}

static enum ctl_exit
choose_sdk(const struct ctl *ctl, enum run_sdk *sdk)
{
	const char *name = args_get(&ctl->args, "sdk");

	*sdk = RUN_NODE;
	if (name == NULL || run_sdk_lookup(name, sdk) == RC_OK)
		return (CTL_DONE);
	ctl_error("--sdk: node, python, php or go");
	return (CTL_USAGE);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void
choose_no_proxy(const struct ctl *ctl, struct run_plan *plan)
{
	plan->no_proxy_only = args_get(&ctl->args, "no-proxy");
	plan->no_proxy = getenv("NO_PROXY");
	if (plan->no_proxy == NULL)
		plan->no_proxy = getenv("no_proxy");
}

/* Nobody notices otherwise: a request that goes directly works. */
static void
warn_of_around(const struct run_plan *plan, struct run_variables *variables)
{
	struct span entry;

	if (plan->no_proxy_only == NULL &&
	    run_variables_around(variables, &entry))
		(void)fprintf(stderr, "relayctl: warning: NO_PROXY has %.*s: "
		    "requests there go around egress, with tokens as they are; "
		    "--no-proxy LIST says another list\n", (int)entry.len,
		    entry.p);
}

static enum ctl_exit
run_in(const struct ctl *ctl, struct run_plan *plan, const struct files *f)
{
	struct run_variables variables;
	enum ctl_exit status = CTL_FAILED;

	plan->anchors = f->anchors;
	plan->bundle = f->bundle;
	plan->key_store = f->key_store;
	plan->folder = f->folder.path;
	choose_no_proxy(ctl, plan);
	plan->java = getenv("JAVA_TOOL_OPTIONS");
	run_variables_make(plan, &variables);
	warn_of_around(plan, &variables);
	if (run_variables_apply(&variables) == RC_OK)
		status = (enum ctl_exit)run_child(ctl->command);
	else
		ctl_error("the environment is full");
	run_variables_fini(&variables);
	return (status);
}

enum ctl_exit
ctl_run(struct ctl *ctl)
{
	struct files files = { .folder = SCRATCH_NONE };
	struct client_setup setup;
	struct run_plan plan = { .setup = &setup };
	enum ctl_exit status;

	if ((status = client_setup_read(ctl, &setup)) == CTL_DONE &&
	    (status = choose_sdk(ctl, &plan.sdk)) == CTL_DONE &&
	    (status = choose_proxy(ctl, &setup, &plan.plain)) == CTL_DONE &&
	    (status = client_setup_anchors(ctl, &setup)) == CTL_DONE &&
	    (status = write_files(&setup, &files)) == CTL_DONE)
		status = run_in(ctl, &plan, &files);
	remove_files(&files);
	client_setup_fini(&setup);
	return (status);
}
