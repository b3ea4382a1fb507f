/* ctl/ctl.c - what commands share: configuration, input, output. */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/rpc/sealed_record.h"
#include "lib/base/object.h"

static const char *consequence;		/* a literal, or NULL */
#define CAUGHT_BYTES	1024		/* one line for a table */
static struct buffer *errors;		/* borrowed; NULL: stderr */

void
ctl_error_into(struct buffer *b)
{
	errors = b;
}

void
ctl_error_means(const char *text)
{
	consequence = text;
}

void
ctl_error(const char *fmt, ...)
{
	char text[CAUGHT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	if (errors != NULL) {
		(void)vsnprintf(text, sizeof(text), fmt, ap);
		buffer_printf(errors, "%s\n", text);
	} else {
		(void)fputs("relayctl: ", stderr);
		(void)vfprintf(stderr, fmt, ap);
		(void)fprintf(stderr, "%s\n",
		    consequence == NULL ? "" : consequence);
	}
	va_end(ap);
}

enum ctl_exit
ctl_conf(struct ctl *ctl)
{
	struct conf_fault fault;

	if (ctl->conf != NULL)
		return (CTL_DONE);
	if (conf_read(ctl->conf_path, &ctl->conf, &fault) == RC_OK)
		return (CTL_DONE);
	ctl_error("%s", fault.text);
	return (CTL_USAGE);
}

enum ctl_exit
ctl_conf_e3(struct ctl *ctl)
{
	struct conf_fault fault;
	enum ctl_exit status;

	if (ctl->conf_e3 != NULL)
		return (CTL_DONE);
	if ((status = ctl_conf(ctl)) != CTL_DONE)
		return (status);
	if (ctl->conf->engine_conf == NULL ||
	    ctl->conf->engine_conf[0] == '\0') {
		ctl_error("%s: option 'engine_conf' is empty: there is no "
		    "engine on this machine", ctl->conf_path);
		return (CTL_USAGE);
	}
	if (conf_e3_read(ctl->conf->engine_conf, &ctl->conf_e3,
	    &fault) == RC_OK)
		return (CTL_DONE);
	ctl_error("%s", fault.text);
	return (CTL_USAGE);
}

enum ctl_exit
ctl_root_key_path(struct ctl *ctl, const char **path)
{
	enum ctl_exit status;

	*path = args_get(&ctl->args, "root-key");
	if (*path != NULL)
		return (CTL_DONE);
	if ((status = ctl_conf_e3(ctl)) != CTL_DONE)
		return (status);
	if (strncmp(ctl->conf_e3->root_key, CONF_CREDENTIAL,
	    strlen(CONF_CREDENTIAL)) == 0) {
		ctl_error("%s: option 'root_key' is a credential of systemd: "
		    "name a file with --root-key", ctl->conf->engine_conf);
		return (CTL_USAGE);
	}
	*path = ctl->conf_e3->root_key;
	return (CTL_DONE);
}

enum ctl_exit
ctl_root_key_read(const char *path, uint8_t out[CTL_ROOT_KEY_BYTES])
{
	enum ctl_exit status = CTL_FAILED;
	struct buffer b;
	struct stat st;
	int fd;

	buffer_init(&b, CTL_ROOT_KEY_BYTES, true);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0)
		ctl_error("%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size != CTL_ROOT_KEY_BYTES ||
	    fd_read_all(fd, &b) != RC_OK ||
	    buffer_len(&b) != CTL_ROOT_KEY_BYTES)
		ctl_error("%s: no root key: it has %d bytes", path,
		    CTL_ROOT_KEY_BYTES);
	else if ((st.st_mode & 077) != 0)
		ctl_error("%s: others may read it (mode %03o): it must be "
		    "0400", path, (unsigned)(st.st_mode & 0777));
	else {
		memcpy(out, buffer_data(&b), CTL_ROOT_KEY_BYTES);
		status = CTL_DONE;
	}
	fd_close(&fd);
	buffer_fini(&b);
	return (status);
}

void
ctl_hold_signals(bool on)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(on ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

enum ctl_exit
ctl_make_folders(const char *path, bool itself)
{
	char *copy = xstrdup(path), *p;
	enum ctl_exit status = CTL_DONE;

	for (p = copy + 1; status == CTL_DONE && *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			status = CTL_FAILED;
		if (status == CTL_DONE)
			*p = '/';
	}
	if (status == CTL_DONE && itself && mkdir(copy, 0755) < 0 &&
	    errno != EEXIST)
		status = CTL_FAILED;
	if (status != CTL_DONE)
		ctl_error("%s: %s", copy, strerror(errno));
	free(copy);
	return (status);
}

char *
ctl_program_path(const char *name)
{
	char self[PATH_MAX], *slash, *path;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		if ((slash = strrchr(self, '/')) != NULL)
			*slash = '\0';
		path = xasprintf("%s/../sbin/%s", self, name);
		if (access(path, X_OK) == 0)
			return (path);
		free(path);
	}
	return (xasprintf("%s/%s", SBINDIR, name));
}

enum ctl_exit
ctl_app_operand(const char *app)
{
	if (rpc_app_id_valid(span_of(app)))
		return (CTL_DONE);
	ctl_error("APP: not an app id");
	return (CTL_USAGE);
}

enum ctl_exit
ctl_read_input(const char *path, size_t max, bool sensitive,
    struct buffer *out)
{
	bool from_stdin = strcmp(path, "-") == 0;
	const char *name = from_stdin ? "standard input" : path;
	int fd = STDIN_FILENO;
	enum rc rc;

	buffer_init(out, max, sensitive);
	if (!from_stdin && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
		ctl_error("%s: %s", name, strerror(errno));
		return (CTL_USAGE);
	}
	rc = fd_read_all(fd, out);
	if (!from_stdin)
		fd_close(&fd);
	if (rc == RC_OK)
		return (CTL_DONE);
	if (rc == RC_LIMIT)
		ctl_error("%s: longer than %zu bytes", name, max);
	else
		ctl_error("%s: cannot be read", name);
	return (CTL_USAGE);
}

enum ctl_exit
ctl_print(struct span text)
{
	if (fd_write_all(STDOUT_FILENO, text.p, text.len) == RC_OK)
		return (CTL_DONE);
	ctl_error("standard output: %s", strerror(errno));
	return (CTL_FAILED);
}

enum ctl_exit
ctl_print_line(struct span text)
{
	enum ctl_exit status = ctl_print(text);

	return (status == CTL_DONE ? ctl_print(SPAN_LIT("\n")) : status);
}
