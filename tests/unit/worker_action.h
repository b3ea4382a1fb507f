/*
 * worker_action.h - one action of a relay carried out by worker/transform.c,
 * with a real engine pool and an engine in the test's own process that says
 * what a test wrote down, or seals and opens by itself.
 * Context:   tests of worker/transform.c; cmocka's state is a struct bench.
 */
#ifndef RELAY_TESTS_WORKER_ACTION_H
#define RELAY_TESTS_WORKER_ACTION_H

#include "lib/rpc/message.h"
#include "tests/unit/worker_engine.h"
#include "worker/transform.h"

/* Tokens by form, all of one length: the data is base64, nothing else. */
#define IV	"AAAAAAAAAAAAAAAA"
#define KEY	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define TOKEN(data)	"ev:QkTC:" IV ":" KEY ":" data ":$"
#define T1	TOKEN("b25l")				/* one */
#define T2	"ev:QkTC:number:" IV ":" KEY ":dHdv:$"
#define T3	"ev:QkTC:boolean:" IV ":" KEY ":dGhyZWU:$"
#define T4	TOKEN("Zm91cg")				/* four */
/* As a form's value; in JSON with another spelling of its first and last. */
#define FORM_TOKEN(data)						\
	"ev%3AQkTC%3A" IV "%3A" KEY "%3A" data "%3A%24"
#define JSON_TOKEN(data)						\
	"\\u0065v:QkTC:" IV ":" KEY ":" data ":\\u0024"

#define SELECT(type, selector)						\
	"{\"type\":\"" type "\",\"selector\":\"" selector "\"}"
#define SELECT_ROLE(type, selector, role)				\
	"{\"type\":\"" type "\",\"selector\":\"" selector "\",\"role\":\""	\
	role "\"}"

#define START	"POST / HTTP/1.1\r\n"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* One element of a written answer. */
struct item {
	unsigned		status;	/* rpc_seal_status or rpc_open_status */
	enum rpc_field_type	type;	/* opened */
	const char		*text;
	size_t			len;	/* 0: strlen(text) */
};

#define CALLS_SEEN	32
#define FIELDS_SEEN	8

struct seen_field {
	enum rpc_field_type	type;
	size_t			len;
	char			text[256];	/* its begin */
	char			role[32];
};

/* What the engine answers, and what it saw. */
struct script {
	const struct item	*items;	/* of every call; NULL: it seals and
					   opens by itself */
	size_t			n_items;
	size_t			first;	/* in the first of two replies; 0: one */
	size_t			cut_at;	/* the call (from 1) that is cut off after
					   `first` items; 0: none */
	size_t			n_calls;
	bool			sealing;	/* the last call */
	struct rpc_encrypt	encrypt;
	struct rpc_decrypt	decrypt;
	size_t			n_fields[CALLS_SEEN];	/* of each call */
	struct seen_field	seen[FIELDS_SEEN];	/* of the last one */
};

struct bench {
	struct lab		lab;
	struct worker_engine	engine;
	struct engine_pool	*pool;
	struct relay		*relay;
	struct buffer		head;
	struct buffer		body;
	struct transaction	tx;
	struct transform	*transform;
	struct script		script;
	/* Of the next job. */
	enum rewrite_syntax	syntax;		/* JSON at first */
	bool			pieces;
	bool			forbidden_fails;
	const struct transform_scan *scan;	/* in place of the relay's action */
	size_t			max_fields;
	size_t			max_bytes;
	size_t			may_reserve;
	/* The outcome. */
	size_t			reserved;	/* last asked for */
	bool			called;
	enum transform_result	result;
	const char		*why;
};

int bench_setup(void **state);
int bench_teardown(void **state);
#define BENCH_TEST(t)							\
	cmocka_unit_test_setup_teardown(t, bench_setup, bench_teardown)

/* A relay of one route with one action.  direction: "request", "response";
 * options: further fields of the relay with a comma in front, or "";
 * selections: as SELECT, with commas. */
void bench_relay(struct bench *, const char *direction, const char *action,
    const char *options, const char *selections);

/* A transform for these texts; nothing is fed yet.  head: "" for none. */
void bench_begin(struct bench *, const char *head, const char *body,
    size_t len);
/* Feed and turn the loop until its result, which is never PENDING; the
 * transform is gone unless it is PIECE. */
enum transform_result bench_feed(struct bench *, bool whole);
/* Feed; true: a call is out. */
bool bench_feed_starts(struct bench *, bool whole);
/* Both texts, whole, in one go. */
enum transform_result bench_run(struct bench *, const char *head,
    const char *body);

/* A call's answers from now on: COUNT(items) of them. */
void bench_says(struct bench *, const struct item *, size_t n);

void assert_text(const struct buffer *, const char *want);

#endif
