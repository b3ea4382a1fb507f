/*
 * bench/e3micro.c - the scheme in one process and one thread, on the engine's
 * own objects: what a request costs, what a field costs, and what the same
 * tokens cost by OpenSSL's high-level calls.
 *
 * Each figure is the median of some rounds; a round is as many repetitions as
 * take ROUND_MS.  Nothing here is a limit of the engine: there is no network,
 * no call and no reply, only the loop that they would feed.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "bench/e3micro_naive.h"
#include "e3/opening.h"
#include "e3/sealing.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"

#define ROUNDS		5
#define ROUND_MS	200
#define QUICK_MS	20
#define FIELDS		2000		/* of a request */
#define TOKENS		10000		/* opened at once */
#define TOKEN_BYTES_MAX	192
#define SECURE_HEAP	(1u << 20)
#define VALUE		"4111111111111111"	/* 16 bytes: a card number */

struct micro {
	enum rpc_curve		curve;
	struct scheme_crypto	*crypto;	/* owned */
	struct e3_app		*app;		/* counted */
	struct scheme_p256_tables *tables;	/* owned */
	struct scheme_p256_table *table;	/* counted; used if not NULL */
	struct scheme_ready_pairs *ready;	/* owned */
	struct scheme_ready_pairs *none;	/* owned: always empty */
	struct naive		*naive;		/* owned */
	struct e3_sealing	sealing;
	struct buffer		reply;		/* what sealing appends to */
	char			*texts;		/* owned: TOKENS of them */
	size_t			text_len;	/* of each */
	uint64_t		pause_ns;	/* of a round, not to count */
	uint64_t		round_ms;
};

/* ---- the scheme, by the objects of Encrypt and Decrypt ---- */

/* The next value gets a new key, of a pair that is ready or not. */
static void
new_key(struct micro *m, struct scheme_ready_pairs *from)
{
	m->sealing.table = m->table;
	m->sealing.ready = from;
	m->sealing.keyed = false;
}

/* A token, appended to the reply with its head. */
static void
seal(struct micro *m)
{
	const struct rpc_field f = { RPC_FIELD_STRING, SPAN_LIT(VALUE),
	    { NULL, 0 } };
	size_t cost = 0;

	if (buffer_len(&m->reply) > RPC_REPLY_PIECE_BYTES)
		buffer_clear(&m->reply);
	ensure(e3_sealing_put(&m->sealing, m->crypto, &f, 0, &m->reply,
	    &cost) == RC_OK);
}

/* ---- what is measured: n times each ---- */

typedef void work_fn(struct micro *, size_t n);

static void
work_request(struct micro *m, size_t n)
{
	while (n-- > 0) {
		new_key(m, m->none);
		seal(m);
		scheme_ecies_reset(m->crypto);
	}
}

/* The first field of a request on an idle engine: its pair is there. */
static void
work_ready(struct micro *m, size_t n)
{
	while (n-- > 0) {
		/* Those of the other curve are never taken. */
		if (scheme_ready_pairs_count(m->ready) <=
		    SCHEME_READY_PAIRS_MAX) {
			uint64_t t = clock_mono_ns();

			while (scheme_ready_pairs_make(m->ready, m->crypto))
				continue;
			m->pause_ns += clock_mono_ns() - t;
		}
		new_key(m, m->ready);
		seal(m);
		scheme_ecies_reset(m->crypto);
	}
}

static void
work_field(struct micro *m, size_t n)
{
	while (n-- > 0)
		seal(m);
}

/* n fields, in whole requests. */
static void
work_loop(struct micro *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i % FIELDS == 0) {
			scheme_ecies_reset(m->crypto);
			new_key(m, m->none);
		}
		seal(m);
	}
}

/* Each call opens `tokens` of them. */
static void
open_all(struct micro *m, size_t n, size_t tokens)
{
	struct e3_call call = { .app = m->app };
	struct e3_opening opening = { .n = 0 };
	struct e3_opened opened;
	size_t cost = 0;

	for (size_t i = 0; i < n; i++) {
		if (i % tokens == 0)
			e3_opening_fini(&opening);
		ensure(e3_opening_open(&opening, &call, m->crypto,
		    (struct span){ m->texts + i % TOKENS * m->text_len,
		    m->text_len }, &opened, &cost) == RC_OK);
		ensure(span_eq_str(opened.value, VALUE));
		buffer_clear(scheme_crypto_scratch(m->crypto));
	}
	e3_opening_fini(&opening);
	scheme_ecies_reset(m->crypto);
}

static void
work_open_cached(struct micro *m, size_t n)
{
	open_all(m, n, TOKENS);
}

static void
work_open(struct micro *m, size_t n)
{
	open_all(m, n, 1);
}

static void
naive_loop(struct micro *m, size_t n, size_t fields)
{
	char text[TOKEN_BYTES_MAX];

	for (size_t i = 0; i < n; i++) {
		if (i % fields == 0)
			ensure(naive_key(m->naive));
		ensure(naive_seal(m->naive, VALUE, sizeof(VALUE) - 1, text,
		    sizeof(text)) != 0);
	}
}

static void
work_naive(struct micro *m, size_t n)
{
	naive_loop(m, n, 1);
}

static void
work_naive_request(struct micro *m, size_t n)
{
	naive_loop(m, n, FIELDS);
}

/* ---- the rows ---- */

enum { NO_TABLE = 1, TABLE = 2 };	/* r1 has both, k1 the first */

static const struct row {
	const char	*key;		/* in JSON, behind the curve */
	const char	*name;
	work_fn		*work;
	unsigned	tables;
	size_t		unit;		/* repetitions in whole such */
} rows[] = {
	{ "request", "first field, no pair ready", work_request,
	    NO_TABLE | TABLE, 1 },
	{ "first", "first field, its pair ready", work_ready,
	    NO_TABLE | TABLE, 1 },
	{ "field", "further field of 16 bytes", work_field, NO_TABLE, 1 },
	{ "loop", "field, in requests of 2,000", work_loop, NO_TABLE | TABLE,
	    FIELDS },
	{ "open_cached", "open one of 10,000, one agreement",
	    work_open_cached, NO_TABLE, TOKENS },
	{ "open", "open one, agreement for each", work_open, NO_TABLE, 1 },
	{ "naive", "naive EVP: field, agreement for each", work_naive,
	    NO_TABLE, 1 },
	{ "naive_request", "naive EVP: field, in requests of 2,000",
	    work_naive_request, NO_TABLE, FIELDS },
};
#define ROWS	(sizeof(rows) / sizeof(rows[0]))

static uint64_t
round_ns(struct micro *m, work_fn *work, size_t n)
{
	uint64_t t;

	m->pause_ns = 0;
	t = clock_mono_ns();
	work(m, n);
	return (clock_mono_ns() - t - m->pause_ns);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return ((x > y) - (x < y));
}

/* Nanoseconds of one repetition. */
static double
measure(struct micro *m, const struct row *row)
{
	double ns[ROUNDS];
	uint64_t one;
	size_t n;

	one = round_ns(m, row->work, row->unit);	/* warms, too */
	one = round_ns(m, row->work, row->unit);
	n = (size_t)(m->round_ms * 1000000 / (one != 0 ? one : 1)) + 1;
	n *= row->unit;
	for (int i = 0; i < ROUNDS; i++)
		ns[i] = (double)round_ns(m, row->work, n) / (double)n;
	qsort(ns, ROUNDS, sizeof(ns[0]), compare);
	return (ns[ROUNDS / 2]);
}

/* ---- life ---- */

static struct scheme_p256_table *
make_table(struct micro *m)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct scheme_p256_table *t;

	while ((t = scheme_p256_tables_use(m->tables, &m->sealing.pair->pub)) == NULL)
		(void)nanosleep(&pause, NULL);
	return (t);
}

static void
micro_init(struct micro *m, enum rpc_curve curve, uint64_t round_ms)
{
	struct e3_engine engine = { .ready = true };
	struct e3_key_pair *pair;

	memset(m, 0, sizeof(*m));
	m->curve = curve;
	m->round_ms = round_ms;
	m->crypto = scheme_crypto_new();
	m->tables = scheme_p256_tables_new(1);
	m->ready = scheme_ready_pairs_new();
	m->none = scheme_ready_pairs_new();
	buffer_init(&m->reply, 0, true);
	if (m->crypto == NULL || m->tables == NULL || m->ready == NULL ||
	    m->none == NULL || e3_app_new(1, 0, &m->app) != RC_OK)
		fatal(1, "no memory");
	pair = &m->app->pairs[0];
	pair->curve = curve;
	pair->state = E3_PAIR_SEALS;
	ensure(scheme_ecdh_generate(scheme_crypto_ecdh(m->crypto), curve,
	    pair->secret, &pair->pub) == RC_OK);
	if ((m->naive = naive_new(curve, &pair->pub)) == NULL)
		fatal(1, "OpenSSL does not know the curve");
	engine.tables = m->tables;
	ensure(e3_sealing_init(&m->sealing, &engine, m->app, curve) ==
	    RPC_STATUS_OK);
}

static void
micro_fini(struct micro *m)
{
	naive_free(&m->naive);
	scheme_p256_table_unref(&m->table);
	scheme_p256_tables_free(&m->tables);
	m->sealing.table = NULL;		/* counted above */
	e3_sealing_fini(&m->sealing);
	scheme_ready_pairs_free(&m->ready);
	scheme_ready_pairs_free(&m->none);
	buffer_fini(&m->reply);
	e3_app_unref(&m->app);
	scheme_crypto_free(&m->crypto);
	free(m->texts);
}

/* What opens next, of one request. */
static void
make_tokens(struct micro *m)
{
	struct rpc_document doc;
	struct rpc_sealed sealed;

	new_key(m, m->none);
	free(m->texts);
	m->texts = NULL;
	for (size_t i = 0; i < TOKENS; i++) {
		buffer_clear(&m->reply);
		seal(m);
		ensure(rpc_document_read(&doc, buffer_data(&m->reply),
		    buffer_len(&m->reply)) == RC_OK);
		ensure(rpc_get_bytes(rpc_array_at(doc.root, 1),
		    &sealed.bytes));
		if (m->texts == NULL)
			m->texts = xcalloc(TOKENS, sealed.bytes.len);
		m->text_len = sealed.bytes.len;
		memcpy(m->texts + i * m->text_len, sealed.bytes.p,
		    m->text_len);
		rpc_document_fini(&doc);
	}
	scheme_ecies_reset(m->crypto);
}

static void
one_row(struct micro *m, const struct row *row, struct body_json_writer *w,
    bool json)
{
	const char *curve = m->curve == RPC_CURVE_R1 ? "r1" : "k1";
	const char *tabled = m->table != NULL ? "_table" : "";
	char key[64], value[32];
	double ns = measure(m, row);

	(void)snprintf(key, sizeof(key), "%s_%s%s", curve, row->key, tabled);
	(void)snprintf(value, sizeof(value), "%.1f", ns);
	body_json_put_raw(w, key, span_of(value));
	if (!json)
		(void)printf("  %s %-6s %-42s %10.2f us %12.0f /s\n", curve,
		    m->table != NULL ? "table" : "", row->name, ns / 1000,
		    1e9 / ns);
}

static void
one_curve(enum rpc_curve curve, uint64_t round_ms, struct body_json_writer *w,
    bool json)
{
	struct micro m;

	micro_init(&m, curve, round_ms);
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].work == work_open_cached)
			make_tokens(&m);
		one_row(&m, &rows[i], w, json);
		if (curve != RPC_CURVE_R1 || (rows[i].tables & TABLE) == 0)
			continue;
		m.table = make_table(&m);
		one_row(&m, &rows[i], w, json);
		scheme_p256_table_unref(&m.table);
	}
	micro_fini(&m);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "quick", no_argument, NULL, 'q' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t round_ms = ROUND_MS;
	struct body_json_writer w;
	struct buffer text;
	bool json = false;
	int opt;

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("e3micro", LOG_WARN);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'j') {
			json = true;
		} else if (opt == 'q') {
			round_ms = QUICK_MS;
		} else {
			(void)fprintf(stderr, "usage: e3micro [--json] "
			    "[--quick]\n");
			return (2);
		}
	}
	if (CRYPTO_secure_malloc_init(SECURE_HEAP, SCHEME_SECRET_BYTES) == 0)
		fatal(1, "no secure heap");
	buffer_init(&text, 0, false);
	body_json_writer_init(&w, &text);
	body_json_open_object(&w, NULL);
	one_curve(RPC_CURVE_R1, round_ms, &w, json);
	one_curve(RPC_CURVE_K1, round_ms, &w, json);
	body_json_close_object(&w);
	buffer_puts(&text, "\n");
	if (json && fd_write_all(STDOUT_FILENO, buffer_data(&text),
	    buffer_len(&text)) != RC_OK)
		fatal(1, "standard output cannot be written");
	buffer_fini(&text);
	return (0);
}
