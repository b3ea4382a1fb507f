/*
 * ctl/init.c - `init`: link CA, a certificate per role, root key.
 *
 * Nothing is ever overwritten: what exists is named, exit 3, and nothing is
 * made.  Each file is complete or absent (file_create); if one cannot be made,
 * those of this run are taken away again: nothing was sealed with them yet.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/link_ca.h"
#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"
#include "lib/body/json_write.h"

#define FILES_MAX	32

static const char *const roles[] = {
	"engine", "worker", "feed", "helper", "pulse", "admin",
};
#define N_ROLES		(sizeof(roles) / sizeof(roles[0]))

struct init {
	const char	*link_dir;		/* borrowed */
	const char	*root_key;		/* borrowed; NULL: none here */
	const char	*admin_group;		/* borrowed; NULL: none */
	char		name[LINK_NAME_BYTES];
	size_t		n_made;
	char		*made[FILES_MAX];	/* owned: paths of this run */
};

/* ---- where ----------------------------------------------------------------------- */

/* This machine's name in the alphabet of link names. */
static void
host_name(char out[LINK_NAME_BYTES])
{
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
		(void)snprintf(host, sizeof(host), "local");
	(void)snprintf(out, LINK_NAME_BYTES, "%.63s", host);
	for (char *p = out; *p != '\0'; p++) {
		char one[2] = { *p, '\0' };

		if (!link_name_valid(one))
			*p = '-';
	}
}

static enum ctl_exit
find_link_dir(struct ctl *ctl, struct init *in)
{
	enum ctl_exit status;

	in->link_dir = args_get(&ctl->args, "link-dir");
	if (in->link_dir != NULL && (args_has(&ctl->args, "root-key") ||
	    args_has(&ctl->args, "no-root-key")))
		return (CTL_DONE);	/* no configuration is needed */
	if ((status = ctl_conf(ctl)) != CTL_DONE)
		return (status);
	in->admin_group = ctl->conf->admin_group;
	if (in->link_dir == NULL)
		in->link_dir = ctl->conf->link_dir;
	return (CTL_DONE);
}

static enum ctl_exit
find_root_key(struct ctl *ctl, struct init *in)
{
	enum ctl_exit status;

	if (args_has(&ctl->args, "no-root-key"))
		return (CTL_DONE);	/* restore brings it, or has */
	in->root_key = args_get(&ctl->args, "root-key");
	if (in->root_key != NULL)
		return (CTL_DONE);
	if (ctl->conf->engine_conf == NULL || ctl->conf->engine_conf[0] == '\0')
		return (CTL_DONE);	/* the engine is on another machine */
	if ((status = ctl_conf_e3(ctl)) != CTL_DONE)
		return (status);
	if (args_get(&ctl->args, "link-dir") == NULL &&
	    strcmp(ctl->conf_e3->link_dir, in->link_dir) != 0) {
		ctl_error("option 'link_dir' differs between %s and %s: name "
		    "one with --link-dir", ctl->conf_path,
		    ctl->conf->engine_conf);
		return (CTL_USAGE);
	}
	return (ctl_root_key_path(ctl, &in->root_key));
}

static enum ctl_exit
find_places(struct ctl *ctl, struct init *in)
{
	const char *name = args_get(&ctl->args, "name");
	enum ctl_exit status;

	if (name != NULL && !link_name_valid(name)) {
		ctl_error("--name: 1 to 63 of letters, digits, '.', '-', '_'");
		return (CTL_USAGE);
	}
	if (name != NULL)
		(void)snprintf(in->name, sizeof(in->name), "%s", name);
	else
		host_name(in->name);
	if ((status = find_link_dir(ctl, in)) != CTL_DONE)
		return (status);
	return (find_root_key(ctl, in));
}

/* ---- what exists ------------------------------------------------------------------- */

static void
note_existing(const char *path, struct buffer *found)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return;
	if (buffer_len(found) != 0)
		buffer_puts(found, ", ");
	buffer_puts(found, path);
}

static void
note_existing_pair(const char *dir, const char *base, struct buffer *found)
{
	static const char *const suffixes[] = { "pem", "key" };
	char *path;

	for (size_t i = 0; i < 2; i++) {
		path = xasprintf("%s/%s.%s", dir, base, suffixes[i]);
		note_existing(path, found);
		free(path);
	}
}

static enum ctl_exit
refuse_existing(const struct init *in)
{
	enum ctl_exit status = CTL_DONE;
	struct buffer found;

	buffer_init(&found, 0, false);
	note_existing_pair(in->link_dir, "ca", &found);
	for (size_t i = 0; i < N_ROLES; i++)
		note_existing_pair(in->link_dir, roles[i], &found);
	if (in->root_key != NULL)
		note_existing(in->root_key, &found);
	if (buffer_len(&found) != 0) {
		ctl_error("exists, nothing was made: %s",
		    buffer_cstr(&found));
		status = CTL_EXISTS;
	}
	buffer_fini(&found);
	return (status);
}

/* ---- making --------------------------------------------------------------------------- */

/* path: moved. */
static enum ctl_exit
make_file(struct init *in, char *path, const struct buffer *content,
    unsigned mode)
{
	enum rc rc;

	rc = file_create(path, buffer_data(content), buffer_len(content),
	    mode);
	if (rc == RC_OK) {
		ensure(in->n_made < FILES_MAX);
		in->made[in->n_made++] = path;
		return (CTL_DONE);
	}
	if (rc == RC_EXISTS)
		ctl_error("exists, nothing was made: %s", path);
	else
		ctl_error("%s: %s", path, strerror(errno));
	free(path);
	return (rc == RC_EXISTS ? CTL_EXISTS : CTL_FAILED);
}

/* Members of the admin group may run relayctl; nobody else sees that key. */
static enum ctl_exit
give_to_group(const char *path, const char *group)
{
	const struct group *gr;

	if (geteuid() != 0 || group == NULL || group[0] == '\0' ||
	    (gr = getgrnam(group)) == NULL)
		return (CTL_DONE);
	if (chown(path, (uid_t)-1, gr->gr_gid) == 0 && chmod(path, 0640) == 0)
		return (CTL_DONE);
	ctl_error("%s: cannot be given to group %s: %s", path, group,
	    strerror(errno));
	return (CTL_FAILED);
}

static enum ctl_exit
make_pair(struct init *in, const char *base, const struct buffer *cert,
    const struct buffer *key)
{
	enum ctl_exit status;

	status = make_file(in, xasprintf("%s/%s.pem", in->link_dir, base),
	    cert, 0644);
	if (status != CTL_DONE)
		return (status);
	status = make_file(in, xasprintf("%s/%s.key", in->link_dir, base), key,
	    0400);
	if (status != CTL_DONE || strcmp(base, "admin") != 0)
		return (status);
	return (give_to_group(in->made[in->n_made - 1], in->admin_group));
}

static enum ctl_exit
make_role(struct init *in, const struct link_ca *ca, const char *role)
{
	enum ctl_exit status = CTL_FAILED;
	struct buffer cert, key;

	buffer_init(&cert, 0, false);
	buffer_init(&key, 0, true);
	if (link_ca_issue(ca, role, in->name, LINK_CERT_DAYS, &cert, &key) !=
	    RC_OK)
		ctl_error("the certificate of role %s cannot be made", role);
	else
		status = make_pair(in, role, &cert, &key);
	buffer_fini(&cert);
	buffer_fini(&key);
	return (status);
}

static enum ctl_exit
make_links(struct init *in)
{
	struct link_ca *ca = NULL;
	struct buffer cert, key;
	enum ctl_exit status = CTL_FAILED;

	buffer_init(&cert, 0, false);
	buffer_init(&key, 0, true);
	if (link_ca_new(in->name, &ca) != RC_OK ||
	    link_ca_pem(ca, &cert, &key) != RC_OK)
		ctl_error("the link CA cannot be made");
	else
		status = make_pair(in, "ca", &cert, &key);
	for (size_t i = 0; status == CTL_DONE && i < N_ROLES; i++)
		status = make_role(in, ca, roles[i]);
	link_ca_free(&ca);
	buffer_fini(&cert);
	buffer_fini(&key);
	return (status);
}

static enum ctl_exit
make_root_key(struct init *in)
{
	uint8_t bytes[CTL_ROOT_KEY_BYTES];
	enum ctl_exit status;
	struct buffer key;

	if (in->root_key == NULL)
		return (CTL_DONE);
	if ((status = ctl_make_folders(in->root_key, false)) != CTL_DONE)
		return (status);
	buffer_init(&key, 0, true);
	random_bytes(bytes, sizeof(bytes));
	buffer_put(&key, bytes, sizeof(bytes));
	secret_wipe(bytes, sizeof(bytes));
	status = make_file(in, xstrdup(in->root_key), &key, 0400);
	buffer_fini(&key);
	return (status);
}

/* ---- the end ------------------------------------------------------------------------------ */

static void
take_away(struct init *in)
{
	for (size_t i = 0; i < in->n_made; i++)
		(void)unlink(in->made[i]);
}

static enum ctl_exit
print_made(const struct ctl *ctl, const struct init *in)
{
	struct body_json_writer w;
	struct buffer out;
	enum ctl_exit status;

	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "name", in->name);
		body_json_put_str(&w, "link_dir", in->link_dir);
		if (in->root_key != NULL)
			body_json_put_str(&w, "root_key", in->root_key);
		body_json_open_array(&w, "made");
		for (size_t i = 0; i < in->n_made; i++)
			body_json_put_str(&w, NULL, in->made[i]);
		body_json_close_array(&w);
		body_json_close_object(&w);
		buffer_puts(&out, "\n");
	} else {
		buffer_printf(&out, "link CA and %zu role certificates for "
		    "'%s' below %s\n", N_ROLES, in->name, in->link_dir);
		buffer_printf(&out, "%s/ca.key signs certificates only here: "
		    "it may be moved off this machine\n", in->link_dir);
		if (in->root_key != NULL)
			buffer_printf(&out, "root key %s\n"
			    "WHOEVER LOSES THE ROOT KEY LOSES ALL DATA: every "
			    "key and every sealed value hangs on it.\n"
			    "Copy it to a safe place now.\n", in->root_key);
	}
	status = ctl_print((struct span){ buffer_data(&out),
	    buffer_len(&out) });
	buffer_fini(&out);
	return (status);
}

enum ctl_exit
ctl_init(struct ctl *ctl)
{
	struct init in = { .link_dir = NULL };
	enum ctl_exit status;

	if ((status = find_places(ctl, &in)) != CTL_DONE ||
	    (status = refuse_existing(&in)) != CTL_DONE ||
	    (status = ctl_make_folders(in.link_dir, true)) != CTL_DONE)
		return (status);
	if ((status = make_links(&in)) != CTL_DONE ||
	    (status = make_root_key(&in)) != CTL_DONE)
		take_away(&in);
	else
		status = print_made(ctl, &in);
	for (size_t i = 0; i < in.n_made; i++)
		free(in.made[i]);
	return (status);
}
