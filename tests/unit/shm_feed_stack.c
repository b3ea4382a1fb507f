/* tests/unit/shm_feed_stack.c - see shm_feed_stack.h. */
#include "shm_feed_stack.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/timer.h"
#include "lib/ipc/channel.h"
#include "redis_server.h"
#include "shm/feed/apply.h"
#include "shm/feed/check.h"
#include "shm/feed/control.h"
#include "shm/feed/feed.h"
#include "shm/feed/redis.h"
#include "shm/feed/writer.h"

#define TICK_MS		5

struct stack stack;

/* ---- the stack --------------------------------------------------------------- */

static void
on_tick(void *arg)
{
	(void)arg;
	stack.ticks++;
	timer_start_ms(&stack.tick, TICK_MS);
}

void
stack_feed_up(bool redis)
{
	char *list[] = { stack.redis.endpoint }, why[256];
	struct redis_endpoint_config cfg = {
		.endpoints = list, .n_endpoints = 1, .client_name = "relay-feed" };
	struct shm_map *map;

	stack.loop = loop_new();
	stack.dns = net_dns_new(stack.loop, NULL);
	timer_init(&stack.tick, stack.loop, on_tick, NULL);
	timer_start_ms(&stack.tick, TICK_MS);
	assert_int_equal(shm_map_open(stack.folder, SHM_WRITER, &map), RC_OK);
	assert_int_equal(feed_init(&stack.feed, stack.loop, map), RC_OK);
	(void)snprintf(stack.feed.node, sizeof(stack.feed.node), "test-node");
	stack.feed.max_delete_percent = 30;
	if (!redis)
		assert_int_equal(feed_start_alone(&stack.feed), RC_OK);
	else if (feed_redis_new(&stack.feed, stack.dns, &cfg, 3600, &stack.feed.redis,
	    why, sizeof(why)) != RC_OK || feed_writer_new(&stack.feed, stack.dns,
	    &cfg, &stack.feed.writer, why, sizeof(why)) != RC_OK)
		fail_msg("%s", why);
}

void
stack_feed_down(void)
{
	ipc_channel_free(&stack.ctl);
	feed_fini(&stack.feed);
	net_dns_free(&stack.dns);
	timer_fini(&stack.tick);
	loop_free(&stack.loop);
}

int
stack_setup(void **state)
{
	(void)state;
	memset(&stack, 0, sizeof(stack));
	(void)snprintf(stack.folder, sizeof(stack.folder), "/tmp/relay-feed-XXXXXX");
	if (mkdtemp(stack.folder) == NULL)
		return (-1);
	if (redis_server_present()) {
		redis_server_make(&stack.redis);
		redis_server_start(&stack.redis, false, NULL);
	}
	return (0);
}

int
stack_teardown(void **state)
{
	static const char *const files[] = { "data.mdb", "lock.mdb", "sock" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", stack.folder, files[i]);
		(void)unlink(path);
	}
	if (stack.redis.pid != 0)
		redis_server_remove(&stack.redis);
	return (rmdir(stack.folder));
}

/* What the map has: the payload, or "" for none. */
const char *
stack_in_map(const char *key)
{
	static char out[4096];
	struct shm_record r;
	uint64_t epoch;

	out[0] = '\0';
	assert_int_equal(shm_map_begin(stack.feed.map, &epoch), RC_OK);
	if (shm_map_get(stack.feed.map, key, &r) == RC_OK)
		assert_true(span_copy(r.payload, out, sizeof(out)));
	shm_map_end(stack.feed.map);
	return (out);
}

void
stack_turn_until(bool (*done)(const void *), const void *arg)
{
	stack.ticks = 0;
	while (!done(arg) && stack.ticks < STACK_TICKS_MAX)
		loop_turn(stack.loop, true);
	assert_true(done(arg));
}

bool
stack_is_synced(const void *arg)
{
	(void)arg;
	return (stack.feed.synced);
}

bool
stack_is_held_back(const void *arg)
{
	return (stack.feed.pending_delete == *(const size_t *)arg);
}

bool
stack_is_up(const void *arg)
{
	return (feed_redis_is_up(stack.feed.redis) == *(const bool *)arg);
}

bool
stack_has_refused(const void *arg)
{
	return (sync_refused_count(stack.feed.index) == *(const size_t *)arg);
}

bool
stack_is_live(const void *arg)
{
	const struct want *w = arg;

	return (strcmp(stack_in_map(w->key), w->payload) == 0);
}

void
stack_until_live(const char *host, const char *payload)
{
	char key[300];
	struct want w = { key, payload };

	(void)snprintf(key, sizeof(key), "relays/%s", host);
	stack_turn_until(stack_is_live, &w);
}

const char *
stack_cli(const char *const *words)
{
	static char out[4096];

	redis_server_cli(&stack.redis, out, sizeof(out), words);
	return (out);
}

bool
stack_node_report_has(const void *arg)
{
	return (strstr(cli("--raw", "HGET", "relay:nodes", "test-node"), arg) !=
	    NULL);
}

/* ---- control socket -------------------------------------------------------------- */

static void
on_answer(void *arg, struct span verb, struct span text, int fd)
{
	struct buffer b;

	(void)arg;
	assert_true(span_copy(verb, stack.verb, sizeof(stack.verb)));
	assert_true(span_copy(text, stack.text, sizeof(stack.text)));
	stack.bytes[0] = '\0';
	if (fd >= 0) {
		buffer_init(&b, sizeof(stack.bytes) - 1, false);
		assert_int_equal(fd_read_all(fd, &b), RC_OK);
		(void)snprintf(stack.bytes, sizeof(stack.bytes), "%s",
		    buffer_cstr(&b));
		buffer_fini(&b);
		fd_close(&fd);
	}
	stack.answers++;
}

static void
on_ctl_eof(void *arg)
{
	(void)arg;
	fail_msg("control connection closed");
}

static const struct ipc_channel_ops ctl_ops = {
	.on_message = on_answer,
	.on_eof = on_ctl_eof,
};

void
stack_control_up(void)
{
	struct net_addr addr;
	char text[128];
	int fd, listener;

	(void)snprintf(text, sizeof(text), "unix:%s/sock", stack.folder);
	assert_int_equal(net_addr_parse(text, &addr), RC_OK);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr.ss,
	    addr.len), 0);
	assert_int_equal(listen(listener, 4), 0);
	stack.feed.control = feed_control_new(&stack.feed, listener);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr.ss, addr.len), 0);
	stack.ctl = ipc_channel_new(stack.loop, fd, &ctl_ops, NULL);
}

bool
stack_is_answered(const void *arg)
{
	return (stack.answers == *(const unsigned *)arg);
}

void
stack_ask(const char *verb, const char *text, const char *doc)
{
	unsigned want = stack.answers + 1;
	int fd = doc == NULL ? -1 : fd_memory("doc", doc, strlen(doc));

	assert_int_equal(ipc_channel_send(stack.ctl, verb, span_of(text), fd),
	    RC_OK);
	fd_close(&fd);
	stack_turn_until(stack_is_answered, &want);
}

