/*
 * ctl/link.c - `link renew`, `link revoke`: the certificates of engine links.
 * Running processes hold what they were born with: both take effect when
 * relayd reloads, which replaces every process whose files changed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/link_ca.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "lib/rpc/op.h"

#define PEM_BYTES_MAX		65536
#define REVOKED_BYTES_MAX	(1u << 20)

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static enum ctl_exit
find_folder(struct ctl *ctl, const char **folder)
{
	enum ctl_exit status;

	*folder = args_get(&ctl->args, "link-dir");
	if (*folder != NULL)
		return (CTL_DONE);
	if ((status = ctl_conf(ctl)) == CTL_DONE)
		*folder = ctl->conf->link_dir;
	return (status);
}

static enum ctl_exit
fail_errno(const char *path)
{
	ctl_error("%s: %s", path, strerror(errno));
	return (CTL_FAILED);
}

static enum ctl_exit
read_pem(const char *path, bool sensitive, struct buffer *out)
{
	struct stat st;
	char why[96];
	enum rc rc;

	buffer_init(out, PEM_BYTES_MAX, sensitive);
	if (sensitive && stat(path, &st) == 0 &&
	    file_private(&st, 0600, why, sizeof(why)) != RC_OK) {
		ctl_error("%s: %s", path, why);
		return (CTL_FAILED);
	}
	errno = 0;
	if ((rc = file_read(path, out)) == RC_OK)
		return (CTL_DONE);
	ctl_error("%s: %s", path, errno != 0 ? strerror(errno) : rc_name(rc));
	return (CTL_FAILED);
}

/* ---- renew ------------------------------------------------------------------------ */

struct renewal {
	const char	*role;		/* borrowed */
	char		*cert_path;	/* owned */
	char		*key_path;
	char		name[LINK_NAME_BYTES];
	struct link_cert now;		/* the one in use */
	struct link_cert made;
};

static enum ctl_exit
load_ca(const char *folder, struct link_ca **ca)
{
	char *cert_path = xasprintf("%s/ca.pem", folder);
	char *key_path = xasprintf("%s/ca.key", folder);
	struct buffer cert, key;
	enum ctl_exit status;

	*ca = NULL;
	buffer_init(&key, 0, true);
	if ((status = read_pem(cert_path, false, &cert)) == CTL_DONE)
		status = read_pem(key_path, true, &key);
	if (status == CTL_DONE &&
	    link_ca_load(view(&cert), view(&key), ca) != RC_OK) {
		ctl_error("%s: not the key of the link CA in %s", key_path,
		    cert_path);
		status = CTL_FAILED;
	}
	buffer_fini(&cert);
	buffer_fini(&key);
	free(cert_path);
	free(key_path);
	return (status);
}

/* The certificate that is to be replaced says whose the new one is. */
static enum ctl_exit
read_present(struct ctl *ctl, struct renewal *r)
{
	const char *name = args_get(&ctl->args, "name");
	enum ctl_exit status;
	struct buffer pem;

	if ((status = read_pem(r->cert_path, false, &pem)) == CTL_DONE &&
	    link_cert_read(view(&pem), &r->now) != RC_OK) {
		ctl_error("%s: no certificate of a link", r->cert_path);
		status = CTL_FAILED;
	}
	buffer_fini(&pem);
	if (status == CTL_DONE)
		(void)snprintf(r->name, sizeof(r->name), "%s", name != NULL ?
		    name : r->now.who.name);
	return (status);
}

/* PATH.new with the owner and mode of PATH, as far as may_mode goes. */
static enum ctl_exit
make_beside(const char *path, const struct buffer *content, mode_t may_mode)
{
	char *fresh = xasprintf("%s.new", path);
	enum ctl_exit status = CTL_DONE;
	struct stat st;

	if (stat(path, &st) != 0 ||
	    file_write_atomic(fresh, buffer_data(content), buffer_len(content),
	    0400) != RC_OK ||
	    (geteuid() == 0 && chown(fresh, st.st_uid, st.st_gid) != 0) ||
	    chmod(fresh, st.st_mode & may_mode) != 0)
		status = fail_errno(fresh);
	free(fresh);
	return (status);
}

/* PATH stays as PATH.old, PATH.new becomes PATH. */
static enum ctl_exit
move_in(const char *path)
{
	char *fresh = xasprintf("%s.new", path);
	char *old = xasprintf("%s.old", path);
	enum ctl_exit status = CTL_DONE;

	(void)unlink(old);
	if (link(path, old) != 0 || rename(fresh, path) != 0)
		status = fail_errno(path);
	free(fresh);
	free(old);
	return (status);
}

/*
 * Both files are complete on disk before the first is renamed.  Two names
 * cannot change at once: whoever reloads between them is refused, key and
 * certificate do not match, and a second renewal repairs it.
 */
static enum ctl_exit
replace_pair(struct renewal *r, const struct buffer *cert,
    const struct buffer *key)
{
	enum ctl_exit status;

	/* admin.key may be its group's too. */
	if ((status = make_beside(r->key_path, key,
	    strcmp(r->role, "admin") == 0 ? 0640 : 0600)) != CTL_DONE ||
	    (status = make_beside(r->cert_path, cert, 0777)) != CTL_DONE ||
	    (status = move_in(r->key_path)) != CTL_DONE)
		return (status);
	return (move_in(r->cert_path));
}

static enum ctl_exit
issue(struct renewal *r, const struct link_ca *ca)
{
	enum ctl_exit status = CTL_FAILED;
	struct buffer cert, key;

	buffer_init(&cert, 0, false);
	buffer_init(&key, 0, true);
	if (link_ca_issue(ca, r->role, r->name, LINK_CERT_DAYS, &cert, &key) !=
	    RC_OK || link_cert_read(view(&cert), &r->made) != RC_OK)
		ctl_error("the certificate of role %s cannot be made",
		    r->role);
	else
		status = replace_pair(r, &cert, &key);
	buffer_fini(&cert);
	buffer_fini(&key);
	return (status);
}

static enum ctl_exit
print_renewed(const struct ctl *ctl, const struct renewal *r)
{
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;

	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "role", r->made.who.role);
		body_json_put_str(&w, "name", r->made.who.name);
		body_json_put_str(&w, "serial", r->made.who.serial);
		body_json_put_u64(&w, "ends_ms", r->made.ends_ms);
		body_json_put_str(&w, "certificate", r->cert_path);
		body_json_put_str(&w, "old_serial", r->now.who.serial);
		body_json_close_object(&w);
	} else if (strcmp(r->role, "admin") == 0)
		buffer_printf(&out, "%s: new, good for %d days", r->cert_path,
		    LINK_CERT_DAYS);
	else
		buffer_printf(&out, "%s: new, good for %d days; in use after "
		    "relayctl reload --wait", r->cert_path, LINK_CERT_DAYS);
	status = ctl_print_line(view(&out));
	buffer_fini(&out);
	return (status);
}

enum ctl_exit
ctl_link_renew(struct ctl *ctl)
{
	struct renewal r = { .role = ctl->args.operands[0] };
	const char *name = args_get(&ctl->args, "name"), *folder;
	struct link_ca *ca = NULL;
	enum ctl_exit status;

	if (rpc_role_lookup(r.role) == RPC_ROLE_NONE) {
		ctl_error("ROLE: engine, worker, feed, helper, pulse or admin");
		return (CTL_USAGE);
	}
	if (name != NULL && !link_name_valid(name)) {
		ctl_error("--name: 1 to 63 of letters, digits, '.', '-', '_'");
		return (CTL_USAGE);
	}
	if ((status = find_folder(ctl, &folder)) != CTL_DONE)
		return (status);
	r.cert_path = xasprintf("%s/%s.pem", folder, r.role);
	r.key_path = xasprintf("%s/%s.key", folder, r.role);
	if ((status = load_ca(folder, &ca)) == CTL_DONE &&
	    (status = read_present(ctl, &r)) == CTL_DONE &&
	    (status = issue(&r, ca)) == CTL_DONE)
		status = print_renewed(ctl, &r);
	link_ca_free(&ca);
	free(r.cert_path);
	free(r.key_path);
	return (status);
}

/* ---- revoke ----------------------------------------------------------------------- */

/* A serial number as it is, or the one of a certificate file. */
static enum ctl_exit
find_serial(const char *word, struct link_cert *cert)
{
	size_t len = strlen(word);
	enum ctl_exit status;
	struct buffer pem;

	memset(cert, 0, sizeof(*cert));
	if (access(word, F_OK) != 0 && len > 0 &&
	    strspn(word, "0123456789abcdefABCDEF") == len) {
		if (span_copy(span_of(word), cert->who.serial,
		    sizeof(cert->who.serial)))
			return (CTL_DONE);
		ctl_error("SERIAL: longer than any serial number");
		return (CTL_USAGE);
	}
	if ((status = read_pem(word, false, &pem)) != CTL_DONE)
		status = CTL_USAGE;
	else if (link_cert_read(view(&pem), cert) != RC_OK) {
		ctl_error("%s: no certificate of a link", word);
		status = CTL_USAGE;
	}
	buffer_fini(&pem);
	return (status);
}

/* A line that is the serial, in either case and with zeros before it. */
static bool
line_is(struct span line, const char *serial)
{
	line = span_trim(line);
	if (line.len != 0 && line.p[line.len - 1] == '\r')
		line.len--;
	while (line.len > 1 && *line.p == '0') {
		line.p++;
		line.len--;
	}
	while (serial[0] == '0' && serial[1] != '\0')
		serial++;
	return (span_eq_case(line, serial));
}

static bool
has_serial(struct span text, const char *serial)
{
	while (text.len != 0) {
		const char *nl = memchr(text.p, '\n', text.len);
		size_t len = nl == NULL ? text.len : (size_t)(nl - text.p);

		if (line_is((struct span){ text.p, len }, serial))
			return (true);
		len += nl == NULL ? 0 : 1;
		text.p += len;
		text.len -= len;
	}
	return (false);
}

static enum ctl_exit
add_serial(const char *path, const char *serial)
{
	enum ctl_exit status = CTL_DONE;
	struct buffer text;
	size_t bad_line;
	enum rc rc;

	buffer_init(&text, REVOKED_BYTES_MAX, false);
	rc = file_read(path, &text);
	if (rc != RC_OK && rc != RC_NOTFOUND) {
		status = fail_errno(path);
		goto out;
	}
	/* One more line would be in vain: nobody loads such a list. */
	if ((bad_line = net_tls_revoked_fault(view(&text))) != 0) {
		ctl_error("%s: line %zu is no serial number: mend it, then run "
		    "this again; nothing was revoked", path, bad_line);
		status = CTL_FAILED;
		goto out;
	}
	if (has_serial(view(&text), serial)) {
		ctl_error("%s is revoked already", serial);
		status = CTL_EXISTS;
		goto out;
	}
	if (buffer_len(&text) != 0 &&
	    buffer_data(&text)[buffer_len(&text) - 1] != '\n')
		buffer_puts(&text, "\n");
	buffer_printf(&text, "%s\n", serial);
	if (file_write_atomic(path, buffer_data(&text), buffer_len(&text),
	    0644) != RC_OK)
		status = fail_errno(path);
out:
	buffer_fini(&text);
	return (status);
}

enum ctl_exit
ctl_link_revoke(struct ctl *ctl)
{
	struct body_json_writer w;
	struct link_cert cert;
	enum ctl_exit status;
	const char *folder;
	struct buffer out;
	char *path;

	if ((status = find_serial(ctl->args.operands[0], &cert)) != CTL_DONE ||
	    (status = find_folder(ctl, &folder)) != CTL_DONE)
		return (status);
	path = xasprintf("%s/revoked", folder);
	buffer_init(&out, 0, false);
	if ((status = add_serial(path, cert.who.serial)) != CTL_DONE)
		goto out;
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "serial", cert.who.serial);
		body_json_put_str(&w, "revoked", path);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s: in %s; refused after relayctl reload "
		    "--wait, on each machine that has this file", cert.who.serial,
		    path);
	status = ctl_print_line(view(&out));
out:
	buffer_fini(&out);
	free(path);
	return (status);
}
