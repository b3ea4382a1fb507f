/*
 * ctl/main.c - relayctl: the table of commands.  Each noun has a file of its
 * own; what talks to the processes is engine_client.c (engine, as role admin)
 * and control_client.c (control sockets).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "ctl/ctl.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"

#define CONF_PATH	"/etc/relay/relay.conf"
#define CONF_VARIABLE	"RELAY_CONF"

struct command {
	const char	*noun;
	const char	*verb;		/* or NULL */
	ctl_command	*run;		/* NULL: not in this version */
	size_t		min_operands;
	size_t		max_operands;
	const char	*synopsis;	/* behind the words */
	const char	*does;
	struct args_flag flags[13];	/* its own; a NULL name ends them */
};

static const struct command commands[] = {
	{ "init", NULL, ctl_init, 0, 0,
	    "[--link-dir DIR] [--root-key FILE | --no-root-key] [--name NAME]",
	    "make link CA, role certificates and root key",
	    { { "link-dir", 0, ARGS_VALUE }, { "root-key", 0, ARGS_VALUE },
	    { "no-root-key", 0, ARGS_NO_VALUE }, { "name", 0, ARGS_VALUE } } },
	{ "check", NULL, ctl_check, 1, 1, "FILE",
	    "is this relay JSON valid?", { { 0 } } },
	{ "explain", NULL, ctl_explain, 2, 2, "RELAY REQUEST",
	    "what becomes of a request, offline; RELAY: file or host",
	    { { 0 } } },
	{ "select", NULL, ctl_select, 1, 1, "PATH < DOCUMENT",
	    "what a JSONPath (RFC 9535) selects", { { 0 } } },
	{ "relay", "put", ctl_relay_put, 1, 2, "HOST [FILE|-]",
	    "set a host's relay", { { 0 } } },
	{ "relay", "get", ctl_relay_get, 1, 1, "HOST",
	    "print a host's relay", { { 0 } } },
	{ "relay", "list", ctl_relay_list, 0, 0, "", "list relays", { { 0 } } },
	{ "relay", "rm", ctl_relay_rm, 1, 1, "HOST", "remove a host's relay",
	    { { 0 } } },
	{ "egress", "allow", ctl_egress_allow, 2, 2,
	    "APP HOST[:PORT] [--method M]... [--path P]... [--internal]",
	    "let an app reach a destination, and those in its list alone",
	    { { "method", 0, ARGS_VALUE }, { "path", 0, ARGS_VALUE },
	    { "internal", 0, ARGS_NO_VALUE } } },
	{ "egress", "deny", ctl_egress_deny, 2, 2, "APP HOST[:PORT]",
	    "take a destination off an app's list", { { 0 } } },
	{ "egress", "list", ctl_egress_list, 0, 1, "[APP]",
	    "list apps with a record, or an app's destinations", { { 0 } } },
	{ "egress", "set", ctl_egress_set, 1, 2, "APP [FILE|-]",
	    "set an app's egress record", { { 0 } } },
	{ "egress", "clear", ctl_egress_clear, 1, 1, "APP",
	    "remove an app's egress record", { { 0 } } },
	{ "app", "create", ctl_app_create, 0, 1, "[NAME]",
	    "create an app; prints its id", { { 0 } } },
	{ "app", "list", ctl_app_list, 0, 0, "", "list apps", { { 0 } } },
	{ "app", "rotate", ctl_app_rotate, 1, 1,
	    "APP [--curve r1|k1] [--timeout SECONDS]",
	    "a new key pair seals, once every engine has it",
	    { { "curve", 0, ARGS_VALUE }, { "timeout", 0, ARGS_VALUE } } },
	{ "app", "pairs", ctl_app_pairs, 1, 1, "APP", "list key pairs",
	    { { 0 } } },
	{ "app", "activate", ctl_app_activate, 2, 2,
	    "APP PAIR [--timeout SECONDS]", "have this key pair seal",
	    { { "timeout", 0, ARGS_VALUE } } },
	{ "app", "retire", ctl_app_retire, 2, 2,
	    "APP PAIR [--timeout SECONDS]", "have this key pair open no token",
	    { { "timeout", 0, ARGS_VALUE } } },
	{ "app", "destroy", ctl_app_destroy, 2, 2,
	    "APP PAIR --yes [--timeout SECONDS]",
	    "remove a retired key pair, for ever, once every engine retired it",
	    { { "yes", 0, ARGS_NO_VALUE }, { "timeout", 0, ARGS_VALUE } } },
	{ "key", "create", ctl_key_create, 1, 1,
	    "APP [--scope S]... [--expires WHEN]",
	    "create an API key; prints its secret, once.  S: relay, egress, "
	    "api:encrypt, api:decrypt, api:token, api:inspect, api:keys, manage",
	    { { "scope", 0, ARGS_VALUE }, { "expires", 0, ARGS_VALUE } } },
	{ "key", "list", ctl_key_list, 1, 1, "APP", "list API keys", { { 0 } } },
	{ "key", "revoke", ctl_key_revoke, 2, 2, "APP KEY [--timeout SECONDS]",
	    "revoke an API key on every engine",
	    { { "timeout", 0, ARGS_VALUE } } },
	{ "role", "put", ctl_role_put, 2, 3, "APP ROLE [FILE|-]",
	    "set a data role's policy", { { 0 } } },
	{ "role", "list", ctl_role_list, 1, 1, "APP", "list data roles",
	    { { 0 } } },
	{ "role", "get", ctl_role_get, 2, 2, "APP ROLE",
	    "print a data role's policy", { { 0 } } },
	{ "role", "rm", ctl_role_rm, 2, 2, "APP ROLE",
	    "remove a data role's policy", { { 0 } } },
	{ "encrypt", NULL, ctl_encrypt, 0, 0,
	    "--app APP [--curve r1|k1] [--type TYPE] < VALUE",
	    "seal a value", { { "app", 0, ARGS_VALUE },
	    { "curve", 0, ARGS_VALUE }, { "type", 0, ARGS_VALUE } } },
	{ "decrypt", NULL, ctl_decrypt, 0, 0,
	    "--api-key KEY|- | --api-key-file FILE < TOKENS", "open tokens",
	    { { "api-key", 0, ARGS_VALUE },
	    { "api-key-file", 0, ARGS_VALUE } } },
	{ "backup", NULL, ctl_backup, 0, 0,
	    "--out DIR (--shares N --threshold K | --no-shares)",
	    "write records and shares of the root key into a new folder",
	    { { "out", 0, ARGS_VALUE }, { "shares", 0, ARGS_VALUE },
	    { "threshold", 0, ARGS_VALUE }, { "no-shares", 0, ARGS_NO_VALUE },
	    { "root-key", 0, ARGS_VALUE } } },
	{ "restore", NULL, ctl_restore, 0, ARGS_OPERANDS_MAX,
	    "--from DIR --share FILE... [--rehearse]",
	    "bring a backup back, or rehearse it, after it proved itself",
	    { { "from", 0, ARGS_VALUE }, { "share", 0, ARGS_VALUE },
	    { "rehearse", 0, ARGS_NO_VALUE },
	    { "root-key", 0, ARGS_VALUE } } },
	{ "rewrap", NULL, ctl_rewrap, 0, 0,
	    "--app APP [--curve r1|k1] [--format ndjson|csv|text] [--dry-run] "
	    "[--resume FILE] < IN > OUT",
	    "seal every token in a stream anew",
	    { { "app", 0, ARGS_VALUE }, { "curve", 0, ARGS_VALUE },
	    { "format", 0, ARGS_VALUE }, { "dry-run", 0, ARGS_NO_VALUE },
	    { "resume", 0, ARGS_VALUE } } },
	{ "root", "rotate", ctl_root_rotate, 0, 0,
	    "[--key FILE] [--prepare]",
	    "replace the root key; run again, it goes on",
	    { { "key", 0, ARGS_VALUE }, { "prepare", 0, ARGS_NO_VALUE } } },
	{ "link", "renew", ctl_link_renew, 1, 1,
	    "ROLE [--name NAME] [--link-dir DIR]",
	    "a new link certificate, good for a year",
	    { { "name", 0, ARGS_VALUE }, { "link-dir", 0, ARGS_VALUE } } },
	{ "ca", "create", ctl_ca_create, 0, 0,
	    "[--name N] [--permit DOMAIN]... [--self-signed] [--days N] "
	    "[--out FILE]",
	    "make an egress CA in the engine; prints its request",
	    { { "name", 0, ARGS_VALUE }, { "permit", 0, ARGS_VALUE },
	    { "self-signed", 0, ARGS_NO_VALUE }, { "days", 0, ARGS_VALUE },
	    { "out", 0, ARGS_VALUE }, { "timeout", 0, ARGS_VALUE } } },
	{ "ca", "sign", ctl_ca_sign, 1, 1,
	    "CSR|- --root-cert FILE --root-key FILE [--days N] [--out FILE]",
	    "sign a request with your own root",
	    { { "root-cert", 0, ARGS_VALUE }, { "root-key", 0, ARGS_VALUE },
	    { "days", 0, ARGS_VALUE }, { "out", 0, ARGS_VALUE } } },
	{ "ca", "install", ctl_ca_install, 1, 1,
	    "FILE|- [--at DATE|+DURATION] [--timeout SECONDS]",
	    "give an egress CA its certificate, and a date to sign from",
	    { { "at", 0, ARGS_VALUE }, { "timeout", 0, ARGS_VALUE } } },
	{ "ca", "rotate", ctl_ca_rotate, 0, 0,
	    "[--at DATE|+DURATION] [--name N] [--permit DOMAIN]... "
	    "[--self-signed] [--days N] [--out FILE]",
	    "the next egress CA, made like the one that signs",
	    { { "at", 0, ARGS_VALUE }, { "name", 0, ARGS_VALUE },
	    { "permit", 0, ARGS_VALUE }, { "self-signed", 0, ARGS_NO_VALUE },
	    { "days", 0, ARGS_VALUE }, { "out", 0, ARGS_VALUE },
	    { "timeout", 0, ARGS_VALUE } } },
	{ "ca", "show", ctl_ca_show, 0, 0, "[--json|--pem]",
	    "egress CAs; --pem: what clients must trust",
	    { { "pem", 0, ARGS_NO_VALUE } } },
	{ "link", "revoke", ctl_link_revoke, 1, 1,
	    "SERIAL|FILE [--link-dir DIR]",
	    "refuse a link certificate from the next reload on",
	    { { "link-dir", 0, ARGS_VALUE } } },
	{ "status", NULL, ctl_status, 0, 0, "[--wait [SECONDS]]",
	    "processes and what they say of themselves",
	    { { "wait", 0, ARGS_OPTIONAL_NUMBER } } },
	{ "reload", NULL, ctl_reload, 0, 0, "[--wait]",
	    "have relayd read its configuration again",
	    { { "wait", 0, ARGS_NO_VALUE } } },
	{ "sync", NULL, ctl_sync, 0, 0, "[--accept]",
	    "compare with Redis; accept a large removal",
	    { { "accept", 0, ARGS_NO_VALUE } } },
	{ "run", NULL, ctl_run, 0, 0,
	    "[--tls | --plain] [--key-file FILE | --key KEY] [--app APP] "
	    "[--egress URL] [--ca FILE] [--api URL] [--ca-url URL] "
	    "[--no-proxy LIST] [--sdk node|python|php|go] [--] COMMAND...",
	    "run a command whose https requests go through egress",
	    { { "tls", 0, ARGS_NO_VALUE }, { "plain", 0, ARGS_NO_VALUE },
	    { "key", 0, ARGS_VALUE }, { "key-file", 0, ARGS_VALUE },
	    { "app", 0, ARGS_VALUE }, { "egress", 0, ARGS_VALUE },
	    { "ca", 0, ARGS_VALUE }, { "api", 0, ARGS_VALUE },
	    { "ca-url", 0, ARGS_VALUE }, { "no-proxy", 0, ARGS_VALUE },
	    { "sdk", 0, ARGS_VALUE } } },
	{ "doctor", NULL, ctl_doctor, 0, 0,
	    "[--host HOST[:PORT]] [--path PATH] [--key-file FILE | --key KEY] "
	    "[--app APP] [--egress URL] [--ca FILE] [--api URL] [--ca-url URL]",
	    "try the way through egress, layer by layer",
	    { { "host", 0, ARGS_VALUE }, { "path", 0, ARGS_VALUE },
	    { "key", 0, ARGS_VALUE }, { "key-file", 0, ARGS_VALUE },
	    { "app", 0, ARGS_VALUE }, { "egress", 0, ARGS_VALUE },
	    { "ca", 0, ARGS_VALUE }, { "api", 0, ARGS_VALUE },
	    { "ca-url", 0, ARGS_VALUE } } },
};
#define N_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

/* Words of later versions: refused by name, so that nobody searches for a
 * typing error. */
static const char *const later_nouns[] = {
	"cert", "health", "top",
};

static const struct args_flag global_flags[] = {
	{ "conf", 'c', ARGS_VALUE },
	{ "json", 0, ARGS_NO_VALUE },
	{ "help", 'h', ARGS_NO_VALUE },
	{ "version", 'V', ARGS_NO_VALUE },
	{ NULL, 0, ARGS_NO_VALUE }
};
#define N_GLOBAL	(sizeof(global_flags) / sizeof(global_flags[0]) - 1)

static void
print_command(FILE *to, const struct command *c)
{
	char words[320];
	int n = snprintf(words, sizeof(words), "%s%s%s%s%s", c->noun,
	    c->verb == NULL ? "" : " ", c->verb == NULL ? "" : c->verb,
	    c->synopsis[0] == '\0' ? "" : " ", c->synopsis);

	if (n > 44)
		(void)fprintf(to, "  %s\n  %-44s  %s\n", words, "", c->does);
	else
		(void)fprintf(to, "  %-44s  %s\n", words, c->does);
}

static void
usage(FILE *to)
{
	(void)fputs("usage: relayctl [-c FILE] [--json] [-h] [-V] COMMAND ...\n"
	    "\n", to);
	for (size_t i = 0; i < N_COMMANDS; i++)
		print_command(to, &commands[i]);
}

/* The command named by the first words; *words of them are its name. */
static const struct command *
find_command(int argc, char *const *argv, int *words)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		const struct command *c = &commands[i];

		if (strcmp(argv[0], c->noun) != 0)
			continue;
		*words = c->verb == NULL ? 1 : 2;
		if (c->verb == NULL ||
		    (argc > 1 && strcmp(argv[1], c->verb) == 0))
			return (c);
	}
	return (NULL);
}

static void
tell_unknown(char *const *argv)
{
	for (size_t i = 0; i < sizeof(later_nouns) / sizeof(later_nouns[0]);
	    i++) {
		if (strcmp(argv[0], later_nouns[i]) == 0) {
			ctl_error("'%s' is not available in this version",
			    argv[0]);
			return;
		}
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(argv[0], commands[i].noun) == 0) {
			ctl_error("'%s' needs a verb; see relayctl -h",
			    argv[0]);
			return;
		}
	}
	ctl_error("unknown command '%.40s'; see relayctl -h", argv[0]);
}

/* The command's own options and the global ones. */
static void
join_flags(const struct command *c, struct args_flag *out)
{
	size_t n = 0;

	for (; c->flags[n].name != NULL; n++)
		out[n] = c->flags[n];
	memcpy(out + n, global_flags, sizeof(global_flags));
}

static void
take_globals(struct ctl *ctl, const struct args *args)
{
	if (args_get(args, "conf") != NULL)
		ctl->conf_path = args_get(args, "conf");
	if (args_has(args, "json"))
		ctl->json = true;
	if (args_has(args, "version")) {
		(void)printf("relayctl %s\n", PACKAGE_VERSION);
		exit(CTL_DONE);
	}
}

/* From its first operand on, words are another command's, options too. */
static bool
passes_on(const struct command *c)
{
	return (c->run == ctl_run);
}

static enum ctl_exit
run_command(struct ctl *ctl, const struct command *c, int argc,
    char *const *argv)
{
	struct args_flag flags[sizeof(c->flags) / sizeof(c->flags[0]) +
	    N_GLOBAL + 1];
	enum ctl_exit status;
	char why[128];
	int used;

	join_flags(c, flags);
	if (args_parse(&ctl->args, flags, argc, argv, passes_on(c), &used, why,
	    sizeof(why)) != RC_OK) {
		ctl_error("%s", why);
		return (CTL_USAGE);
	}
	take_globals(ctl, &ctl->args);
	ctl->command = argv + used;
	if (args_has(&ctl->args, "help")) {
		print_command(stdout, c);
		return (CTL_DONE);
	}
	if (ctl->args.n_operands < c->min_operands ||
	    ctl->args.n_operands > c->max_operands ||
	    (passes_on(c) && ctl->command[0] == NULL)) {
		ctl_error("usage: relayctl %s%s%s %s", c->noun,
		    c->verb == NULL ? "" : " ", c->verb == NULL ? "" : c->verb,
		    c->synopsis);
		return (CTL_USAGE);
	}
	status = c->run(ctl);
	conf_free(&ctl->conf);
	conf_e3_free(&ctl->conf_e3);
	return (status);
}

int
main(int argc, char **argv)
{
	struct ctl ctl = { .conf_path = getenv(CONF_VARIABLE) };
	const struct command *c;
	char why[128];
	int used, words;

	(void)signal(SIGPIPE, SIG_IGN);
	secret_no_core();		/* values and API keys pass through */
	log_init("relayctl", LOG_ERROR);
	if (ctl.conf_path == NULL || ctl.conf_path[0] == '\0')
		ctl.conf_path = CONF_PATH;
	if (args_parse(&ctl.args, global_flags, argc - 1, argv + 1, true,
	    &used, why, sizeof(why)) != RC_OK) {
		ctl_error("%s", why);
		return (CTL_USAGE);
	}
	take_globals(&ctl, &ctl.args);
	argc -= used + 1;
	argv += used + 1;
	if (args_has(&ctl.args, "help")) {
		usage(stdout);
		return (CTL_DONE);
	}
	if (argc == 0) {
		usage(stderr);
		return (CTL_USAGE);
	}
	if ((c = find_command(argc, argv, &words)) == NULL) {
		tell_unknown(argv);
		return (CTL_USAGE);
	}
	return (run_command(&ctl, c, argc - words, argv + words));
}
