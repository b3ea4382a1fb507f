/*
 * bench/e3load_profile.c - the tables of a profile: one row for each member,
 * with its type and bounds; then what members must agree on.
 *
 * Numbers are bounded so that no profile can ask for more memory or time than
 * a load may have: a mistyped zero is a line in a message, not a dead machine.
 */
#include "bench/e3load_profile.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/e3load_table.h"
#include "lib/base/fd.h"
#include "lib/rpc/op.h"

#define SECONDS_MAX	86400
#define RATE_MAX	100000		/* requests/s of one client */
#define PING_RATE	50		/* every 20 ms */
/* On the wire a field costs its bytes and at most this, a call at most that. */
#define FIELD_HEAD_BYTES	8
#define CALL_HEAD_BYTES		512
/* Text of a token beside four thirds of its value: what Decrypt sends. */
#define TOKEN_BYTES_MORE	128

/* ---- the tables ---- */

static const char *const ops[] = { "encrypt", "decrypt", "ping", NULL };
static const char *const curves[] = { "r1", "k1", NULL };
static const char *const scopes[] = { "request", "field", NULL };
static const char *const arrivals[] = { "poisson", "fixed", NULL };

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define AT(s, m)	.at = offsetof(struct s, m)
#define TEXT(s, m)	.kind = LOAD_IS_TEXT, AT(s, m), .min = 1, \
	.max = sizeof(((struct s *)0)->m) - 1
#define LIST(s, m, table)	.kind = LOAD_IS_LIST, AT(s, m), .of = &(table), \
	.n_at = offsetof(struct s, n_##m), .min = 1, \
	.max = COUNT(((struct s *)0)->m)

static const struct load_member scenario_members[] = {
	{ .name = "name", .required = true, TEXT(load_scenario, name) },
	{ .name = "op", .kind = LOAD_IS_CHOICE, AT(load_scenario, op),
	    .choices = ops },
	{ .name = "weight", .kind = LOAD_IS_UINT, AT(load_scenario, weight),
	    .min = 1, .max = 1000000 },
	{ .name = "fields", .kind = LOAD_IS_UINT, AT(load_scenario, fields),
	    .min = 1, .max = RPC_FIELDS_MAX },
	{ .name = "bytes", .kind = LOAD_IS_UINT, AT(load_scenario, bytes),
	    .min = 1, .max = RPC_FRAME_BYTES_MAX },
	{ .name = "keyScope", .kind = LOAD_IS_CHOICE, AT(load_scenario, scope),
	    .choices = scopes },
	{ .name = "cancel_after_ms", .kind = LOAD_IS_UINT,
	    AT(load_scenario, cancel_after_ms), .min = 1, .max = 60000 },
};
static const struct load_table scenario_table = { sizeof(struct load_scenario),
    offsetof(struct load_scenario, line), scenario_members,
    COUNT(scenario_members) };

static const struct load_member phase_members[] = {
	{ .name = "rate", .kind = LOAD_IS_NUMBER, AT(load_phase, rate), .min = 0,
	    .max = RATE_MAX },
	{ .name = "in_flight", .kind = LOAD_IS_UINT, AT(load_phase, in_flight),
	    .min = 1, .max = (double)RPC_CALLS_MAX * LOAD_LINKS_MAX },
	{ .name = "seconds", .kind = LOAD_IS_NUMBER, .required = true,
	    AT(load_phase, seconds), .min = 0.001, .max = SECONDS_MAX },
	{ .name = "warm_up", .kind = LOAD_IS_BOOL, AT(load_phase, warm_up) },
};
static const struct load_table phase_table = { sizeof(struct load_phase),
    offsetof(struct load_phase, line), phase_members, COUNT(phase_members) };

static const struct load_member client_members[] = {
	{ .name = "name", .required = true, TEXT(load_client, name) },
	{ .name = "count", .kind = LOAD_IS_UINT, AT(load_client, count), .min = 1,
	    .max = LOAD_INSTANCES_MAX },
	{ .name = "links", .kind = LOAD_IS_UINT, AT(load_client, links), .min = 1,
	    .max = LOAD_LINKS_MAX },
	{ .name = "app", TEXT(load_client, app) },
	{ .name = "curve", .kind = LOAD_IS_CHOICE, AT(load_client, curve),
	    .choices = curves },
	{ .name = "arrivals", .kind = LOAD_IS_CHOICE, AT(load_client, arrivals),
	    .choices = arrivals },
	{ .name = "phases", LIST(load_client, phases, phase_table) },
	{ .name = "scenarios", .required = true,
	    LIST(load_client, scenarios, scenario_table) },
};
static const struct load_table client_table = { sizeof(struct load_client),
    offsetof(struct load_client, line), client_members,
    COUNT(client_members) };

/* A list of plain text: elements without members. */
static const struct load_member address_members[] = {
	{ .name = NULL, TEXT(load_address, text) },
};
static const struct load_table address_table = { sizeof(struct load_address),
    LOAD_NO_LINE, address_members, 0 };

static const struct load_member profile_members[] = {
	{ .name = "addresses", LIST(load_profile, addresses, address_table) },
	{ .name = "cert", TEXT(load_profile, cert) },
	{ .name = "key", TEXT(load_profile, key) },
	{ .name = "ca", TEXT(load_profile, ca) },
	{ .name = "app", TEXT(load_profile, app) },
	{ .name = "curve", .kind = LOAD_IS_CHOICE, AT(load_profile, curve),
	    .choices = curves },
	{ .name = "arrivals", .kind = LOAD_IS_CHOICE, AT(load_profile, arrivals),
	    .choices = arrivals },
	{ .name = "deadline_ms", .kind = LOAD_IS_UINT,
	    AT(load_profile, deadline_ms), .min = 1, .max = 600000 },
	{ .name = "seed", .kind = LOAD_IS_UINT, AT(load_profile, seed), .min = 0,
	    .max = UINT32_MAX },
	{ .name = "phases", LIST(load_profile, phases, phase_table) },
	{ .name = "clients", .required = true,
	    LIST(load_profile, clients, client_table) },
};
static const struct load_table profile_table = { sizeof(struct load_profile),
    LOAD_NO_LINE, profile_members, COUNT(profile_members) };

/* ---- what is left out, and what must agree ---- */

static void
set_defaults(struct load_profile *p)
{
	memset(p, 0, sizeof(*p));
	p->curve = -1;
	p->arrivals = LOAD_POISSON;
	p->deadline_ms = 10000;
	p->seed = 1;
	for (size_t i = 0; i < LOAD_CLIENTS_MAX; i++) {
		struct load_client *c = &p->clients[i];

		c->count = c->links = 1;
		c->curve = c->arrivals = -1;
		for (size_t k = 0; k < LOAD_SCENARIOS_MAX; k++)
			c->scenarios[k] = (struct load_scenario){
			    .weight = 1, .fields = 1, .bytes = 16 };
	}
}

static void
inherit(struct load_profile *p)
{
	for (size_t i = 0; i < p->n_clients; i++) {
		struct load_client *c = &p->clients[i];

		if (c->curve < 0)
			c->curve = p->curve < 0 ? RPC_CURVE_R1 : p->curve;
		if (c->arrivals < 0)
			c->arrivals = p->arrivals;
		if (c->n_phases == 0) {
			memcpy(c->phases, p->phases, sizeof(c->phases));
			c->n_phases = p->n_phases;
		}
	}
}

static enum rc __attribute__((__format__(__printf__, 3, 4)))
disagree(struct load_fault *f, unsigned line, const char *fmt, ...)
{
	va_list ap;

	f->line = line;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return (RC_SYNTAX);
}

static enum rc
check_scenario(const struct load_scenario *s, struct load_fault *f)
{
	uint64_t text = s->op == LOAD_DECRYPT ?
	    s->bytes / 3 * 4 + TOKEN_BYTES_MORE : s->bytes;

	if (s->op == LOAD_PING && s->cancel_after_ms != 0)
		return (disagree(f, s->line, "scenario %s: a Ping cannot be "
		    "cancelled", s->name));
	if (CALL_HEAD_BYTES + s->fields * (text + FIELD_HEAD_BYTES) >
	    RPC_FRAME_BYTES_MAX)
		return (disagree(f, s->line, "scenario %s: a call is longer "
		    "than %u bytes", s->name, RPC_FRAME_BYTES_MAX));
	return (RC_OK);
}

static enum rc
check_phases(const struct load_client *c, struct load_fault *f)
{
	bool counted = false;

	if (c->n_phases == 0)
		return (disagree(f, c->line, "client %s: has no phases",
		    c->name));
	for (size_t i = 0; i < c->n_phases; i++) {
		const struct load_phase *p = &c->phases[i];

		if ((p->rate > 0) == (p->in_flight != 0))
			return (disagree(f, p->line, "a phase has either a "
			    "rate or in_flight"));
		if (p->in_flight > c->links * RPC_CALLS_MAX)
			return (disagree(f, p->line, "in_flight is over %u "
			    "for each link of client %s", RPC_CALLS_MAX,
			    c->name));
		if (p->warm_up && counted)
			return (disagree(f, p->line, "a warm-up comes before "
			    "what is counted"));
		counted = counted || !p->warm_up;
	}
	if (!counted)
		return (disagree(f, c->line, "client %s: all is warm-up",
		    c->name));
	return (RC_OK);
}

static enum rc
check(const struct load_profile *p, struct load_fault *f)
{
	uint64_t instances = 0;
	struct net_addr addr;
	enum rc rc;

	for (size_t i = 0; i < p->n_addresses; i++)
		if (net_addr_parse(p->addresses[i].text, &addr) != RC_OK)
			return (disagree(f, 1, "addresses[%zu]: must be "
			    "unix:PATH or IP:PORT", i));
	for (size_t i = 0; i < p->n_clients; i++) {
		const struct load_client *c = &p->clients[i];

		for (size_t k = 0; k < i; k++)
			if (strcmp(p->clients[k].name, c->name) == 0)
				return (disagree(f, c->line, "client %s: the "
				    "name is taken", c->name));
		if ((instances += c->count) > LOAD_INSTANCES_MAX)
			return (disagree(f, c->line, "client %s: more than %d "
			    "clients in sum", c->name, LOAD_INSTANCES_MAX));
		if ((rc = check_phases(c, f)) != RC_OK)
			return (rc);
		for (size_t k = 0; k < c->n_scenarios; k++)
			if ((rc = check_scenario(&c->scenarios[k], f)) !=
			    RC_OK)
				return (rc);
	}
	return (RC_OK);
}

/* ---- reading ---- */

enum rc
load_profile_parse(struct span text, struct load_profile *p,
    struct load_fault *fault)
{
	enum rc rc;

	set_defaults(p);
	if ((rc = load_table_read(&profile_table, text, p, fault)) != RC_OK)
		return (rc);
	inherit(p);
	return (check(p, fault));
}

enum rc
load_profile_read(const char *path, struct load_profile *p,
    struct load_fault *fault)
{
	struct buffer text;
	enum rc rc;

	buffer_init(&text, LOAD_FILE_BYTES_MAX, false);
	rc = file_read(path, &text);
	if (rc != RC_OK)
		rc = disagree(fault, 0, "cannot be read: %s", rc_name(rc));
	else
		rc = load_profile_parse((struct span){ buffer_data(&text),
		    buffer_len(&text) }, p, fault);
	buffer_fini(&text);
	return (rc);
}

/* ---- changes from the command line ---- */

double
load_client_seconds(const struct load_client *c)
{
	double sum = 0;

	for (size_t i = 0; i < c->n_phases; i++)
		sum += c->phases[i].seconds;
	return (sum);
}

static double
counted_seconds(const struct load_client *c)
{
	double sum = 0;

	for (size_t i = 0; i < c->n_phases; i++)
		if (!c->phases[i].warm_up)
			sum += c->phases[i].seconds;
	return (sum);
}

void
load_profile_scale(struct load_profile *p, double seconds)
{
	double longest = 0;

	for (size_t i = 0; i < p->n_clients; i++)
		if (counted_seconds(&p->clients[i]) > longest)
			longest = counted_seconds(&p->clients[i]);
	for (size_t i = 0; i < p->n_clients; i++)
		for (size_t k = 0; k < p->clients[i].n_phases; k++)
			if (!p->clients[i].phases[k].warm_up)
				p->clients[i].phases[k].seconds *=
				    seconds / longest;
}

static bool
is_named(const struct load_client *c, char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(c->name, names[i]) == 0)
			return (true);
	return (false);
}

enum rc
load_profile_only(struct load_profile *p, char *const *names, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n_clients; i++)
		if (is_named(&p->clients[i], names, n))
			p->clients[kept++] = p->clients[i];
	p->n_clients = kept;
	return (kept == n ? RC_OK : RC_NOTFOUND);
}

enum rc
load_profile_add_ping(struct load_profile *p)
{
	struct load_client *longest = &p->clients[0], *ping;

	if (p->n_clients == LOAD_CLIENTS_MAX)
		return (RC_LIMIT);
	for (size_t i = 1; i < p->n_clients; i++)
		if (load_client_seconds(&p->clients[i]) >
		    load_client_seconds(longest))
			longest = &p->clients[i];
	ping = &p->clients[p->n_clients++];
	*ping = (struct load_client){ .name = "ping", .count = 1, .links = 1,
	    .arrivals = LOAD_FIXED, .n_scenarios = 1 };
	ping->n_phases = longest->n_phases;
	memcpy(ping->phases, longest->phases, sizeof(ping->phases));
	for (size_t i = 0; i < ping->n_phases; i++) {
		ping->phases[i].rate = PING_RATE;
		ping->phases[i].in_flight = 0;
	}
	ping->scenarios[0] = (struct load_scenario){ .name = "Ping",
	    .op = LOAD_PING, .weight = 1 };
	return (RC_OK);
}
