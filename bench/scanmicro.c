/*
 * bench/scanmicro.c - how fast a body is looked through for tokens: one
 * process, one thread, on the scanner of lib/body that egress uses.
 *
 * Each figure is the median of some rounds, in CPU time of the process, which
 * neighbours disturb less; a round is as many bodies as take ROUND_MS.  A body of BODY_BYTES comes in windows of WINDOW_BYTES, as a worker
 * reads it; what is held back of one is in front of the next.  Nothing opens,
 * and nothing is written: that is the engine's and the writer's work.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/body/json_write.h"
#include "lib/body/scan.h"

#define ROUNDS		5
#define ROUND_MS	200
#define QUICK_MS	20
#define BODY_BYTES	(1u << 20)	/* in the cache, as what was just read */
#define WINDOW_BYTES	(16u << 10)	/* a TLS record */
#define TOKEN_BYTES	(64u << 10)
#define FILE_BYTES	(25u << 20)

#define TOKEN	"ev:QkTC:number:AAAAAAAAAAAAAA+/:" \
	"AzXN7Yf0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:" \
	"c29tZSBieXRlcyB0aGF0IGFyZSBzZWFsZWQgaGVyZQ:$"
#define ORDER	"{\"id\":4711,\"level\":\"every day\",\"event\":\"delivered\"," \
	"\"customer\":{\"name\":\"Eve Everett\",\"note\":\"5% \\\"off\\\"\"}," \
	"\"lines\":[{\"sku\":\"A-17\",\"n\":2,\"price\":12.50}]},\n"

/* ---- bodies ---- */

/* Returns how many tokens a body has. */
typedef size_t fill_fn(char *body, size_t len);

static size_t
repeat(char *body, size_t len, const char *unit)
{
	const char *token_end = strstr(unit, ":$");
	size_t n = strlen(unit);

	for (size_t i = 0; i < len; i++)
		body[i] = unit[i % n];
	if (token_end == NULL)
		return (0);
	/* The last unit may be cut. */
	return (len / n + (len % n >= (size_t)(token_end - unit) + 2));
}

static size_t
fill_json(char *body, size_t len)
{
	return (repeat(body, len, ORDER));
}

static size_t
fill_json_tokens(char *body, size_t len)
{
	return (repeat(body, len, "{\"id\":4711,\"card\":\"" TOKEN "\"},\n"));
}

static size_t
fill_json_ten(char *body, size_t len)
{
	(void)fill_json(body, len);
	for (size_t i = 0; i < 10; i++)
		memcpy(body + len / 10 * i, "\"" TOKEN "\"", sizeof(TOKEN) + 1);
	return (10);
}

static size_t
fill_tokens(char *body, size_t len)
{
	return (repeat(body, len, TOKEN "\n"));
}

static size_t
fill_form(char *body, size_t len)
{
	return (repeat(body, len, "name=Eve+Everett&note=5%25+%22off%22"
	    "&city=M%C3%BCnchen&token=ev%3A&"));
}

static size_t
fill_xml(char *body, size_t len)
{
	return (repeat(body, len, "<order id=\"4711\"><event>delivered "
	    "&amp; every line &#8364;</event></order>\n"));
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state);
}

static size_t
fill_binary(char *body, size_t len)
{
	uint64_t state = 88172645463325252u;

	for (size_t i = 0; i < len; i++)
		body[i] = (char)(next_random(&state) >> 32);
	return (0);
}

static size_t
fill_base64(char *body, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t state = 88172645463325252u;

	for (size_t i = 0; i < len; i++)
		body[i] = digits[next_random(&state) >> 32 & 63];
	return (0);
}

static size_t
fill_starts(char *body, size_t len)
{
	return (repeat(body, len, "ev:"));
}

static size_t
fill_backslashes(char *body, size_t len)
{
	return (repeat(body, len, "\\"));
}

static size_t
fill_quotes(char *body, size_t len)
{
	return (repeat(body, len, "\\\""));
}

/* One string of JSON, all of whose contents is JSON. */
static size_t
fill_json_in_json(char *body, size_t len)
{
	(void)repeat(body, len, "{\\\"id\\\":4711,\\\"event\\\":\\\"delivered\\\","
	    "\\\"name\\\":\\\"Eve Everett\\\"},");
	body[0] = '"';
	return (0);
}

static size_t
fill_multipart(char *body, size_t len)
{
	static const char head[] = "--b\r\nContent-Disposition: form-data; "
	    "name=\"f\"; filename=\"f\"\r\nContent-Type: image/png\r\n\r\n";

	(void)fill_binary(body, len);
	memcpy(body, head, sizeof(head) - 1);
	memcpy(body + len - 9, "\r\n--b--\r\n", 9);
	return (0);
}

/* ---- the rows ---- */

static const struct row {
	const char	*key;		/* in JSON */
	const char	*name;
	const char	*type;
	fill_fn		*fill;
} rows[] = {
	{ "json", "JSON without tokens", "application/json", fill_json },
	{ "json_ten", "JSON, ten tokens in 1 MiB", "application/json",
	    fill_json_ten },
	{ "json_tokens", "JSON, a token in each line", "application/json",
	    fill_json_tokens },
	{ "base64", "base64 text", "text/csv", fill_base64 },
	{ "binary", "binary", "image/png", fill_binary },
	{ "tokens", "text, nothing but tokens", "text/csv", fill_tokens },
	{ "form", "form without tokens", "application/x-www-form-urlencoded",
	    fill_form },
	{ "xml", "XML without tokens", "text/xml", fill_xml },
	{ "multipart", "multipart, one binary part",
	    "multipart/form-data; boundary=b", fill_multipart },
	{ "starts", "hostile: \"ev:\" for ever", "application/json",
	    fill_starts },
	{ "json_in_json", "JSON in a string of JSON", "application/json",
	    fill_json_in_json },
	{ "backslashes", "hostile: backslashes", "application/json",
	    fill_backslashes },
	{ "quotes", "hostile: quotes with backslashes", "application/json",
	    fill_quotes },
};
#define ROWS	(sizeof(rows) / sizeof(rows[0]))

/* One body; the number of tokens. */
static size_t
scan(const char *type, const char *body, struct body_founds *founds)
{
	static const struct body_scan_limits limits = { TOKEN_BYTES, FILE_BYTES };
	struct body_scan *s = body_scan_new_for(span_of(type), &limits);
	size_t base = 0, n = 0, end;

	ensure(s != NULL);
	for (end = WINDOW_BYTES; end <= BODY_BYTES; end += WINDOW_BYTES) {
		founds->n = 0;
		ensure(body_scan_feed(s, (struct span){ body + base,
		    end - base }, base, end == BODY_BYTES, SIZE_MAX, founds,
		    &base) == RC_OK);
		n += founds->n;
	}
	body_scan_free(&s);
	return (n);
}

static uint64_t
cpu_ns(void)
{
	struct timespec t;

	ensure(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
	return ((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return ((x > y) - (x < y));
}

/* Bytes of a nanosecond: GB/s. */
static double
measure(const struct row *row, const char *body, uint64_t round_ms,
    size_t tokens)
{
	struct body_founds founds = { NULL, 0, 0 };
	double speed[ROUNDS];

	if (scan(row->type, body, &founds) != tokens)	/* warms, too */
		fatal(1, "%s: not the tokens that are there", row->name);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t t = cpu_ns(), used;
		size_t n = 0;

		do {
			(void)scan(row->type, body, &founds);
			n++;
			used = cpu_ns() - t;
		} while (used < round_ms * 1000000);
		speed[i] = (double)n * BODY_BYTES / (double)used;
	}
	body_founds_fini(&founds);
	qsort(speed, ROUNDS, sizeof(speed[0]), compare);
	return (speed[ROUNDS / 2]);
}

static void
all_rows(uint64_t round_ms, struct body_json_writer *w, bool json)
{
	char *body = xcalloc(1, BODY_BYTES);

	for (size_t i = 0; i < ROWS; i++) {
		char value[32];
		size_t tokens;
		double speed;

		tokens = rows[i].fill(body, BODY_BYTES);
		speed = measure(&rows[i], body, round_ms, tokens);
		(void)snprintf(value, sizeof(value), "%.3f", speed);
		body_json_put_raw(w, rows[i].key, span_of(value));
		if (!json)
			(void)printf("  %-30s %7zu tokens in 1 MiB %8.2f GB/s\n",
			    rows[i].name, tokens, speed);
	}
	free(body);
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

	log_init("scanmicro", LOG_WARN);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'j') {
			json = true;
		} else if (opt == 'q') {
			round_ms = QUICK_MS;
		} else {
			(void)fprintf(stderr, "usage: scanmicro [--json] "
			    "[--quick]\n");
			return (2);
		}
	}
	buffer_init(&text, 0, false);
	body_json_writer_init(&w, &text);
	body_json_open_object(&w, NULL);
	all_rows(round_ms, &w, json);
	body_json_close_object(&w);
	buffer_puts(&text, "\n");
	if (json && fd_write_all(STDOUT_FILENO, buffer_data(&text),
	    buffer_len(&text)) != RC_OK)
		fatal(1, "standard output cannot be written");
	buffer_fini(&text);
	return (0);
}
