/*
 * tests/unit/shm_feed_stack.h - the feed whole, in this process: a real map, a
 * real redis-server, the control socket; shared by the tests of shm/feed.
 */
#ifndef RELAY_TESTS_SHM_FEED_STACK_H
#define RELAY_TESTS_SHM_FEED_STACK_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/timer.h"
#include "lib/ipc/channel.h"
#include "redis_server.h"
#include "shm/feed/feed.h"

#define RELAY(host)							\
	"{\"app\": \"app_0123456789ab\", \"destinationDomain\": \"" host "\", " \
	"\"routes\": []}"
#define BAD_RELAY							\
	"{\"app\": \"app_0123456789ab\", \"destinationDomain\": \"a.test\", " \
	"\"routes\": [], \"surprise\": 1}"

struct stack {
	struct loop		*loop;
	struct net_dns		*dns;
	struct feed		feed;
	struct redis_server	redis;
	char			folder[64];
	struct timer		tick;
	unsigned		ticks;
	struct ipc_channel	*ctl;		/* our end of the control socket */
	int			listener;
	char			path[96];
	char			verb[32], text[4096], bytes[4096];
	unsigned		answers;
};

extern struct stack stack;

#define NEED_REDIS()							\
	do {								\
		if (stack.redis.pid == 0) {					\
			print_message("redis-server is missing\n");	\
			skip();						\
		}							\
	} while (0)

int stack_setup(void **state);
int stack_teardown(void **state);

/* The feed over the folder's map; redis: with its link, else alone. */
void stack_feed_up(bool redis);
void stack_feed_down(void);

/* What the map has: the payload, or "" for none. */
const char *stack_in_map(const char *key);

#define STACK_TICKS_MAX	2000	/* of 5 ms: how long an event is waited for */

/* Turns the loop until done(arg) holds, a few seconds at most. */
void stack_turn_until(bool (*done)(const void *), const void *arg);
bool stack_is_synced(const void *arg);
bool stack_is_held_back(const void *n);		/* size_t */
bool stack_is_up(const void *up);		/* bool: the link to Redis */
bool stack_has_refused(const void *n);		/* size_t */
struct want {
	const char	*key, *payload;
};

bool stack_is_live(const void *want);
void stack_until_live(const char *host, const char *payload);

#define cli(...)	stack_cli((const char *const []){ __VA_ARGS__, NULL })

const char *stack_cli(const char *const *words);
bool stack_node_report_has(const void *text);

/* A control socket and a connection to it; then verb, text and descriptor,
 * answered in stack.verb, .text, .bytes. */
void stack_control_up(void);
bool stack_is_answered(const void *n);		/* unsigned */
void stack_ask(const char *verb, const char *text, const char *doc);

#endif
