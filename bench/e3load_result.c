/* bench/e3load_result.c - counts, tables, JSON. */
#include "bench/e3load_result.h"

#include <stdio.h>
#include <string.h>

#include "lib/body/json_write.h"

#define NS_PER_MS	1e6
#define NUMBER_BYTES	32

uint64_t
load_result_errors(const struct load_result *r)
{
	uint64_t n = r->timeouts + r->lost + r->wrong;

	for (size_t i = 0; i < RPC_STATUSES; i++)
		n += r->statuses[i];
	return (n);
}

void
load_result_merge(struct load_result *r, const struct load_result *other)
{
	load_times_merge(&r->times, &other->times);
	load_times_merge(&r->cancels, &other->cancels);
	load_times_merge(&r->stops, &other->stops);
	r->fields += other->fields;
	r->bytes += other->bytes;
	for (size_t i = 0; i < RPC_STATUSES; i++)
		r->statuses[i] += other->statuses[i];
	r->timeouts += other->timeouts;
	r->lost += other->lost;
	r->wrong += other->wrong;
	r->cancelled += other->cancelled;
	r->late_pieces += other->late_pieces;
}

/* ---- what both forms tell ---- */

static const char *const op_names[] = { "Encrypt", "Decrypt", "Ping" };

static double
percentile_ms(const struct load_times *t, double percent)
{
	return ((double)load_times_percentile(t, percent) / NS_PER_MS);
}

uint64_t
load_report_errors(const struct load_report *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->profile->n_clients; i++)
		for (size_t k = 0; k < r->profile->clients[i].n_scenarios; k++)
			n += load_result_errors(&r->results[i][k]);
	return (n);
}

typedef void error_cb(void *arg, const char *name, uint64_t n);

static void
each_error(const struct load_result *r, error_cb *cb, void *arg)
{
	for (int i = 0; i < RPC_STATUSES; i++)
		if (r->statuses[i] != 0)
			cb(arg, rpc_status_name((enum rpc_status)i),
			    r->statuses[i]);
	if (r->timeouts != 0)
		cb(arg, "timeout", r->timeouts);
	if (r->lost != 0)
		cb(arg, "link-lost", r->lost);
	if (r->wrong != 0)
		cb(arg, "wrong-answer", r->wrong);
}

/* ---- text ---- */

static void
text_row(struct buffer *out, const struct load_client *c,
    const struct load_scenario *s, const struct load_result *r, double seconds)
{
	char name[2 * LOAD_NAME_BYTES + 16];

	if (c->count > 1)
		(void)snprintf(name, sizeof(name), "%llu %s, %s",
		    (unsigned long long)c->count, c->name, s->name);
	else
		(void)snprintf(name, sizeof(name), "%s, %s", c->name, s->name);
	buffer_printf(out, "  %-24s %-8s %9llu %7llu %9.3f %9.3f %9.3f %9.3f "
	    "%11.0f %8.1f\n", name, op_names[s->op],
	    (unsigned long long)r->times.count,
	    (unsigned long long)load_result_errors(r),
	    percentile_ms(&r->times, 50), percentile_ms(&r->times, 90),
	    percentile_ms(&r->times, 99), (double)r->times.max_ns / NS_PER_MS,
	    (double)r->fields / seconds, (double)r->bytes / seconds / 1e6);
}

static void
text_error(void *arg, const char *name, uint64_t n)
{
	buffer_printf(arg, " %s %llu", name, (unsigned long long)n);
}

static void
text_more(struct buffer *out, const struct load_scenario *s,
    const struct load_result *r)
{
	if (load_result_errors(r) != 0) {
		buffer_puts(out, "    errors:");
		each_error(r, text_error, out);
		buffer_puts(out, "\n");
	}
	if (s->cancel_after_ms != 0)
		buffer_printf(out, "    cancelled after %llu ms: %llu, the "
		    "engine stopped %llu; to the last piece p50 %.3f p99 %.3f "
		    "max %.3f ms, from its answer p50 %.3f p99 %.3f; %.1f "
		    "pieces came late\n",
		    (unsigned long long)s->cancel_after_ms,
		    (unsigned long long)r->cancels.count,
		    (unsigned long long)r->cancelled,
		    percentile_ms(&r->cancels, 50),
		    percentile_ms(&r->cancels, 99),
		    (double)r->cancels.max_ns / NS_PER_MS,
		    percentile_ms(&r->stops, 50),
		    percentile_ms(&r->stops, 99), r->cancels.count == 0 ? 0.0 :
		    (double)r->late_pieces / (double)r->cancels.count);
}

void
load_report_text(const struct load_report *r, struct buffer *out)
{
	const struct load_profile *p = r->profile;

	buffer_printf(out, "%s: mutual TLS 1.3 to", r->path);
	for (size_t i = 0; i < p->n_addresses; i++)
		buffer_printf(out, " %s", p->addresses[i].text);
	buffer_printf(out, "; latency in ms from when a request was due\n"
	    "  %-24s %-8s %9s %7s %9s %9s %9s %9s %11s %8s\n",
	    "client, scenario", "op", "answered", "errors", "p50", "p90",
	    "p99", "max", "fields/s", "MB/s");
	for (size_t i = 0; i < p->n_clients; i++) {
		const struct load_client *c = &p->clients[i];

		for (size_t k = 0; k < c->n_scenarios; k++) {
			text_row(out, c, &c->scenarios[k], &r->results[i][k],
			    r->seconds[i]);
			text_more(out, &c->scenarios[k], &r->results[i][k]);
		}
	}
	buffer_puts(out, "  engine, all callers:");
	for (size_t i = 0; i < r->n_counters; i++)
		if (r->counters[i].known)
			buffer_printf(out, " %s +%llu", r->counters[i].name,
			    (unsigned long long)r->counters[i].grown);
	buffer_puts(out, "\n");
}

/* ---- JSON ---- */

static void
put_number(struct body_json_writer *w, const char *key, int decimals,
    double value)
{
	char text[NUMBER_BYTES];

	(void)snprintf(text, sizeof(text), "%.*f", decimals, value);
	body_json_put_raw(w, key, span_of(text));
}

static void
put_times(struct body_json_writer *w, const struct load_times *t)
{
	put_number(w, "p50_ms", 4, percentile_ms(t, 50));
	put_number(w, "p90_ms", 4, percentile_ms(t, 90));
	put_number(w, "p99_ms", 4, percentile_ms(t, 99));
	put_number(w, "max_ms", 4, (double)t->max_ns / NS_PER_MS);
}

static void
json_error(void *arg, const char *name, uint64_t n)
{
	body_json_put_u64(arg, name, n);
}

static void
put_scenario(struct body_json_writer *w, const struct load_client *c,
    const struct load_scenario *s, const struct load_result *r, double seconds)
{
	body_json_open_object(w, NULL);
	body_json_put_str(w, "client", c->name);
	body_json_put_u64(w, "clients", c->count);
	body_json_put_str(w, "scenario", s->name);
	body_json_put_str(w, "op", op_names[s->op]);
	put_number(w, "seconds", 3, seconds);
	body_json_put_u64(w, "count", r->times.count);
	body_json_open_object(w, "errors");
	each_error(r, json_error, w);
	body_json_close_object(w);
	put_times(w, &r->times);
	put_number(w, "calls_per_s", 1, (double)r->times.count / seconds);
	put_number(w, "fields_per_s", 1, (double)r->fields / seconds);
	put_number(w, "bytes_per_s", 0, (double)r->bytes / seconds);
	if (s->cancel_after_ms != 0) {
		body_json_open_object(w, "cancel");
		body_json_put_u64(w, "after_ms", s->cancel_after_ms);
		body_json_put_u64(w, "sent", r->cancels.count);
		body_json_put_u64(w, "stopped", r->cancelled);
		body_json_put_u64(w, "late_pieces", r->late_pieces);
		put_times(w, &r->cancels);
		put_number(w, "stop_p50_ms", 4, percentile_ms(&r->stops, 50));
		put_number(w, "stop_p99_ms", 4, percentile_ms(&r->stops, 99));
		body_json_close_object(w);
	}
	body_json_close_object(w);
}

void
load_report_json(const struct load_report *r, struct buffer *out)
{
	const struct load_profile *p = r->profile;
	struct body_json_writer w;

	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "profile", r->path);
	body_json_put_u64(&w, "errors", load_report_errors(r));
	body_json_open_array(&w, "scenarios");
	for (size_t i = 0; i < p->n_clients; i++)
		for (size_t k = 0; k < p->clients[i].n_scenarios; k++)
			put_scenario(&w, &p->clients[i],
			    &p->clients[i].scenarios[k], &r->results[i][k],
			    r->seconds[i]);
	body_json_close_array(&w);
	body_json_open_object(&w, "engine");
	for (size_t i = 0; i < r->n_counters; i++)
		if (r->counters[i].known)
			body_json_put_u64(&w, r->counters[i].name,
			    r->counters[i].grown);
	body_json_close_object(&w);
	body_json_close_object(&w);
	buffer_puts(out, "\n");
}
