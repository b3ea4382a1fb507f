/* ctl/ctl.c - what commands share: configuration, input, output. */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"

static const char *consequence;		/* a literal, or NULL */

void
ctl_error_means(const char *text)
{
	consequence = text;
}

void
ctl_error(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("relayctl: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "%s\n", consequence == NULL ? "" : consequence);
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
