/*
 * ctl/ca.c - `ca create`, `ca sign`, `ca install`, `ca rotate`: the
 * egress CAs, whose keys never leave the engines.
 *
 * With a root of the operator's own: create prints a request, the root signs
 * it (`ca sign`, or any other tool), install brings the certificate back.
 * Without one the engine signs the request itself, and install follows at once.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ca_show.h"
#include "ctl/ca_x509.h"
#include "ctl/confirm.h"
#include "ctl/ctl.h"
#include "ctl/record_commit.h"
#include "ctl/time_text.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/body/json_write.h"

#define PEM_BYTES_MAX	(64u << 10)
#define DAYS_MAX	7300
#define SIGN_DAYS	1825
#define ROTATE_AT	"7d"	/* clients have a week to learn the new one */
#define PERMIT_MAX	16	/* the engine's limit */
#define FILE_MODE	0644	/* nothing secret */

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* ---- options -------------------------------------------------------------------- */

/* 0: not given. */
static enum ctl_exit
read_days(const struct ctl *ctl, uint64_t *days)
{
	const char *text = args_get(&ctl->args, "days");

	*days = 0;
	if (text == NULL || (string_u64(span_of(text), days) == RC_OK &&
	    *days >= 1 && *days <= DAYS_MAX))
		return (CTL_DONE);
	ctl_error("--days: 1 to %d", DAYS_MAX);
	return (CTL_USAGE);
}

/* 0: at once. */
static enum ctl_exit
read_at(const struct ctl *ctl, const char *otherwise, uint64_t *at_ms)
{
	const char *text = args_get(&ctl->args, "at");

	*at_ms = 0;
	text = text == NULL ? otherwise : text;
	if (text == NULL || strcmp(text, "now") == 0 ||
	    time_parse(text[0] == '+' ? text + 1 : text, clock_wall_ms(),
	    at_ms) == RC_OK)
		return (CTL_DONE);
	ctl_error("--at: now, a moment to come (2030-01-31T12:00:00Z), or "
	    "from now on (+12h, +7d)");
	return (CTL_USAGE);
}

/* To --out, or to stdout. */
static enum ctl_exit
write_out(const struct ctl *ctl, struct span pem)
{
	const char *path = args_get(&ctl->args, "out");
	bool written;
	int fd;

	if (path == NULL)
		return (ctl_print(pem));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
	written = fd >= 0 && fd_write_all(fd, pem.p, pem.len) == RC_OK;
	if (fd >= 0 && close(fd) != 0)
		written = false;
	if (written)
		return (CTL_DONE);
	ctl_error("%s: cannot be written", path);
	return (CTL_FAILED);
}

/* ---- install ------------------------------------------------------------------------ */

struct install {
	char		id[CA_ID_BYTES];
	struct span	chain;		/* view */
	uint64_t	at_ms;
	unsigned	timeout_s;
};

static enum ctl_exit
put_install(void *arg, struct engine_client *engine, struct buffer *body)
{
	const struct install *in = arg;

	(void)engine;
	rpc_pack(body, RPC_STR("ca", in->id),
	    RPC_BIN("chain", in->chain.p, in->chain.len),
	    RPC_MAYBE_U64("active_ms", in->at_ms));
	return (CTL_DONE);
}

static enum ctl_exit
print_installed(const struct ctl *ctl, const struct install *in,
    uint64_t version, enum ctl_exit confirmed, const struct buffer *missing)
{
	char when[TIME_TEXT_BYTES];
	struct body_json_writer w;
	enum ctl_exit status;
	struct buffer out;

	time_text(in->at_ms, when);
	buffer_init(&out, 0, false);
	if (ctl->json) {
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "ca", in->id);
		if (in->at_ms != 0)
			body_json_put_u64(&w, "active_ms", in->at_ms);
		body_json_put_u64(&w, "version", version);
		confirm_put(&w, confirmed, missing);
		body_json_close_object(&w);
	} else
		buffer_printf(&out, "%s: installed, signs from %s on", in->id,
		    in->at_ms == 0 ? "now" : when);
	status = ctl_print_line(view(&out));
	buffer_fini(&out);
	return (status);
}

static enum ctl_exit
install(struct ctl *ctl, struct install *in)
{
	const struct record_change change = {
		.op = RPC_OP_INSTALL_CA,
		.app = RPC_SYSTEM_APP,
		.put_body = put_install,
		.arg = in,
		.failed = "; the certificate was not installed (no-such-key: "
		    "relayctl ca show lists the CAs; bad-request: the engine's "
		    "log says why, event ca-refused)",
	};
	struct record_commit r;
	struct buffer missing;
	enum ctl_exit status, printed;

	if ((status = record_commit(ctl, &change, &r)) != CTL_DONE)
		return (status);
	buffer_init(&missing, 0, false);
	status = confirm_everywhere(ctl, RPC_SYSTEM_APP, r.version,
	    in->timeout_s, "; the certificate is installed, and they learn it "
	    "as soon as they can", &missing);
	printed = print_installed(ctl, in, r.version, status, &missing);
	buffer_fini(&missing);
	record_commit_fini(&r);
	return (status == CTL_DONE ? printed : status);
}

static enum ctl_exit
install_pem(struct ctl *ctl, const char *from, struct span chain,
    uint64_t at_ms)
{
	struct install in = { .chain = chain, .at_ms = at_ms };
	enum ctl_exit status;
	const char *why;

	if ((status = confirm_timeout(ctl, &in.timeout_s)) != CTL_DONE)
		return (status);
	if (ca_x509_id(chain, in.id, &why) == RC_OK)
		return (install(ctl, &in));
	ctl_error("%s: %s", from, why);
	return (CTL_USAGE);
}

enum ctl_exit
ctl_ca_install(struct ctl *ctl)
{
	const char *file = ctl->args.operands[0];
	enum ctl_exit status;
	struct buffer pem;
	uint64_t at_ms;

	if ((status = read_at(ctl, NULL, &at_ms)) != CTL_DONE)
		return (status);
	status = ctl_read_input(file, PEM_BYTES_MAX, true, &pem);
	/* A root's key that lies beside its certificate goes nowhere. */
	if (status == CTL_DONE && strstr(buffer_cstr(&pem), "PRIVATE KEY") !=
	    NULL) {
		ctl_error("%s: there is a private key in it, which does not "
		    "belong there", file);
		status = CTL_USAGE;
	}
	if (status == CTL_DONE)
		status = install_pem(ctl, file, view(&pem), at_ms);
	buffer_fini(&pem);
	return (status);
}

/* ---- create, rotate ----------------------------------------------------------------- */

struct creation {
	const struct ctl *ctl;		/* borrowed */
	uint64_t	days;		/* 0: the engine's choice */
	bool		self_signed;
	const char	*permitted;	/* borrowed: commas between; "" for none */
};

static void
put_permit(struct buffer *list, const char *domains, size_t *n)
{
	while (*domains != '\0') {
		size_t len = strcspn(domains, ",");

		if (len != 0) {
			rpc_put_text(list, (struct span){ domains, len });
			(*n)++;
		}
		domains += len + (domains[len] == ',');
	}
}

static enum ctl_exit
put_create(void *arg, struct engine_client *engine, struct buffer *body)
{
	const struct creation *c = arg;
	const struct args *args = &c->ctl->args;
	const char *name = args_get(args, "name"), *domain;
	struct buffer domains, list;
	size_t n = 0;

	(void)engine;
	buffer_init(&domains, 0, false);
	buffer_init(&list, 0, false);
	for (size_t i = 0; (domain = args_get_nth(args, "permit", i)) != NULL;
	    i++)
		put_permit(&domains, domain, &n);
	if (n == 0)
		put_permit(&domains, c->permitted, &n);
	rpc_put_array(&list, n);
	buffer_put(&list, buffer_data(&domains), buffer_len(&domains));
	rpc_put_map(body, 2 + (name != NULL) + (c->days != 0));
	rpc_put_str(body, "permit");
	buffer_put(body, buffer_data(&list), buffer_len(&list));
	rpc_put_str(body, "selfSigned");
	rpc_put_bool(body, c->self_signed);
	if (name != NULL) {
		rpc_put_str(body, "name");
		rpc_put_str(body, name);
	}
	if (c->days != 0) {
		rpc_put_str(body, "days");
		rpc_put_u64(body, c->days);
	}
	buffer_fini(&list);
	buffer_fini(&domains);
	return (CTL_DONE);
}

static enum ctl_exit
print_request(const struct ctl *ctl, const struct record_commit *r)
{
	struct body_json_writer w;
	enum ctl_exit status;
	struct buffer out;

	if (!ctl->json || args_get(&ctl->args, "out") != NULL) {
		status = write_out(ctl, view(&r->request));
		if (status != CTL_DONE)
			return (status);
	}
	if (ctl->json) {
		buffer_init(&out, 0, false);
		body_json_writer_init(&w, &out);
		body_json_open_object(&w, NULL);
		body_json_put_str(&w, "ca", r->ca);
		body_json_put_string(&w, "csr", view(&r->request));
		body_json_put_u64(&w, "version", r->version);
		body_json_close_object(&w);
		status = ctl_print_line(view(&out));
		buffer_fini(&out);
		return (status);
	}
	/* Beside the request, which may go through a pipe. */
	(void)fprintf(stderr, "%s: have your root sign this request, then: "
	    "relayctl ca install FILE [--at DATE]\n", r->ca);
	return (CTL_DONE);
}

static enum ctl_exit
create(struct ctl *ctl, struct creation *c, uint64_t at_ms)
{
	const struct record_change change = {
		.op = RPC_OP_CREATE_CA,
		.app = RPC_SYSTEM_APP,
		.put_body = put_create,
		.arg = c,
		.failed = "; no CA was created",
	};
	struct record_commit r;
	enum ctl_exit status;
	unsigned timeout_s;

	if ((status = read_days(ctl, &c->days)) != CTL_DONE ||
	    (status = confirm_timeout(ctl, &timeout_s)) != CTL_DONE ||
	    (status = record_commit(ctl, &change, &r)) != CTL_DONE)
		return (status);
	if (buffer_len(&r.certificate) == 0)
		status = print_request(ctl, &r);
	else
		status = install_pem(ctl, r.ca, view(&r.certificate), at_ms);
	record_commit_fini(&r);
	return (status);
}

enum ctl_exit
ctl_ca_create(struct ctl *ctl)
{
	struct creation c = { .ctl = ctl, .permitted = "",
	    .self_signed = args_has(&ctl->args, "self-signed") };

	return (create(ctl, &c, 0));
}

enum ctl_exit
ctl_ca_rotate(struct ctl *ctl)
{
	struct ca_signing s;
	struct creation c = { .ctl = ctl };
	enum ctl_exit status;
	uint64_t at_ms;

	if ((status = read_at(ctl, ROTATE_AT, &at_ms)) != CTL_DONE)
		return (status);
	status = ca_signing(ctl, &s);
	if (status == CTL_DONE && !s.found) {
		ctl_error("no CA signs yet: relayctl ca create");
		status = CTL_USAGE;
	}
	if (status == CTL_DONE) {
		c.permitted = buffer_cstr(&s.permitted);
		c.self_signed = s.self_signed ||
		    args_has(&ctl->args, "self-signed");
		status = create(ctl, &c, at_ms);
	}
	buffer_fini(&s.permitted);
	return (status);
}

/* ---- sign ------------------------------------------------------------------------------ */

static enum ctl_exit
read_option(const struct ctl *ctl, const char *name, struct buffer *out)
{
	const char *path = args_get(&ctl->args, name);

	if (path != NULL)
		return (ctl_read_input(path, PEM_BYTES_MAX, true, out));
	ctl_error("--%s is needed", name);
	return (CTL_USAGE);
}

static enum ctl_exit
sign(const struct ctl *ctl, const struct buffer in[3], unsigned days)
{
	struct buffer out;
	enum ctl_exit status;
	const char *why;
	enum rc rc;

	buffer_init(&out, 0, false);
	rc = ca_x509_sign(view(&in[0]), view(&in[1]), view(&in[2]), days, &out,
	    &why);
	if (rc == RC_OK) {
		status = write_out(ctl, view(&out));
	} else {
		ctl_error("%s", why != NULL ? why :
		    "OpenSSL cannot sign with this key");
		status = CTL_USAGE;
	}
	buffer_fini(&out);
	return (status);
}

enum ctl_exit
ctl_ca_sign(struct ctl *ctl)
{
	struct buffer in[3];		/* request, root's certificate and key */
	enum ctl_exit status;
	uint64_t days;

	for (int i = 0; i < 3; i++)
		buffer_init(&in[i], 0, true);
	if ((status = read_days(ctl, &days)) == CTL_DONE &&
	    (status = ctl_read_input(ctl->args.operands[0], PEM_BYTES_MAX,
	    false, &in[0])) == CTL_DONE &&
	    (status = read_option(ctl, "root-cert", &in[1])) == CTL_DONE &&
	    (status = read_option(ctl, "root-key", &in[2])) == CTL_DONE)
		status = sign(ctl, in, days == 0 ? SIGN_DAYS : (unsigned)days);
	for (int i = 0; i < 3; i++)
		buffer_fini(&in[i]);
	return (status);
}
