/*
 * ctl/ctl.h - what every command of relayctl is given, and how it answers.
 * Context:   a tool run by a person or a script: it may block, and it says
 *            everything that went wrong in one line on stderr.
 * Ownership: main owns the struct; configurations are read on first use.
 */
#ifndef RELAY_CTL_CTL_H
#define RELAY_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf_file.h"
#include "ctl/args.h"
#include "lib/base/buffer.h"

enum ctl_exit {
	CTL_DONE	= 0,
	CTL_FAILED	= 1,
	CTL_USAGE	= 2,	/* usage or bad input */
	CTL_EXISTS	= 3,
	CTL_PARTLY	= 4	/* not confirmed everywhere */
};

struct ctl {
	const char	*conf_path;	/* borrowed: argv or environment */
	bool		json;
	struct args	args;		/* of the command */
	char *const	*command;	/* view of argv, NULL at its end: what
					   `run` runs */
	struct conf	*conf;		/* owned; NULL until ctl_conf */
	struct conf_e3	*conf_e3;	/* owned; NULL until ctl_conf_e3 */
};

/* "relayctl: ..." on stderr. */
void ctl_error(const char *fmt, ...)
    __attribute__((__format__(__printf__, 1, 2)));

/* Errors from here on are appended to this buffer, without the name in front
 * and with a newline behind each; NULL: to stderr again. */
void ctl_error_into(struct buffer *);

/* What every error from here on means for the user, appended to its line, e.g.
 * "; nothing was created"; a literal, or NULL. */
void ctl_error_means(const char *consequence);

/* CTL_DONE with ctl->conf set, or an error told. */
enum ctl_exit ctl_conf(struct ctl *) must_check;
/* The e3.conf that relay.conf names; CTL_USAGE when it names none. */
enum ctl_exit ctl_conf_e3(struct ctl *) must_check;

/* The file of the root key: --root-key, else what e3.conf says.  CTL_DONE with
 * *path (a view), or CTL_USAGE told: there is none that is a file. */
enum ctl_exit ctl_root_key_path(struct ctl *, const char **path) must_check;

/* mkdir -p of the folder of path, or of path itself, mode 0755; an error is
 * told. */
enum ctl_exit ctl_make_folders(const char *path, bool itself) must_check;

/* The root key's bytes: CTL_DONE, or told: no file, not 32 bytes, or others
 * may read it. */
#define CTL_ROOT_KEY_BYTES	32
enum ctl_exit ctl_root_key_read(const char *path,
    uint8_t out[CTL_ROOT_KEY_BYTES]) must_check;

/* SIGINT, SIGTERM and SIGHUP wait while this is on: for the moments between a
 * first file and the last. */
void ctl_hold_signals(bool on);

/* Where the program `name` of sbin is: beside us, as `make install` puts it,
 * else the configured place.  The caller frees it. */
char *ctl_program_path(const char *name);

/* CTL_USAGE, told, when an operand is no app id. */
enum ctl_exit ctl_app_operand(const char *) must_check;

/* A whole file, or stdin for "-".  CTL_USAGE when it cannot be read. */
enum ctl_exit ctl_read_input(const char *path, size_t max, bool sensitive,
    struct buffer *out) must_check;

/* Write to stdout; CTL_FAILED when that fails (a full disk behind a pipe must
 * not look like success). */
enum ctl_exit ctl_print(struct span) must_check;
/* As above and a newline; for JSON documents. */
enum ctl_exit ctl_print_line(struct span) must_check;

/* One function per command; see the table in main.c. */
typedef enum ctl_exit ctl_command(struct ctl *);
ctl_command ctl_init, ctl_check, ctl_explain, ctl_select;
ctl_command ctl_relay_put, ctl_relay_get, ctl_relay_list, ctl_relay_rm;
ctl_command ctl_egress_allow, ctl_egress_deny, ctl_egress_list;
ctl_command ctl_egress_set, ctl_egress_clear;
ctl_command ctl_app_create, ctl_app_list;
ctl_command ctl_app_rotate, ctl_app_pairs, ctl_app_activate, ctl_app_retire;
ctl_command ctl_app_destroy;
ctl_command ctl_key_create, ctl_key_list, ctl_key_revoke;
ctl_command ctl_role_put, ctl_role_list, ctl_role_get, ctl_role_rm;
ctl_command ctl_encrypt, ctl_decrypt, ctl_rewrap;
ctl_command ctl_ca_create, ctl_ca_sign, ctl_ca_install, ctl_ca_rotate;
ctl_command ctl_ca_show;
ctl_command ctl_root_rotate, ctl_link_renew, ctl_link_revoke;
ctl_command ctl_backup, ctl_restore;
ctl_command ctl_status, ctl_reload, ctl_sync;
ctl_command ctl_run, ctl_doctor;

#endif
