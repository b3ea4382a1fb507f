/* e3_helper_machine.c - see e3_helper_machine.h. */
#include "e3_helper_machine.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

#define GIVE_UP_MS	10000
#define TICK_EACH_MS	2

static void
on_tick(void *arg)
{
	struct machine *m = arg;

	timer_start_ms(&m->tick, TICK_EACH_MS);
}

/* As main.c. */
static void
on_change(void *arg)
{
	struct machine *m = arg;

	if (m->reseal == NULL)
		return;
	if (m->replica != NULL)
		replica_kick(m->replica);
	store_changes_kick(&m->changes);
	reseal_kick(m->reseal);
	confirms_kick(&m->confirms);
	announce_kick(m->announce);
}

static void
on_done(void *arg, uint64_t who, enum rc rc, const char *text)
{
	struct machine *m = arg;

	assert_int_equal(who, 7);
	assert_false(m->answered);
	m->answered = true;
	m->rc = rc;
	(void)snprintf(m->text, sizeof(m->text), "%s", text);
}

static void
on_ended(void *arg)
{
	struct machine *m = arg;

	m->ended = true;
}

static const struct engine_ops engine_ops = { .on_change = on_change };
static const struct replica_ops replica_ops = { .on_change = on_change };
static const struct announce_ops announce_ops = { .on_ended = on_ended };
static const struct reseal_ops reseal_ops = { .on_done = on_done };

void
machine_app(unsigned i, char out[RPC_APP_ID_BYTES])
{
	(void)snprintf(out, RPC_APP_ID_BYTES, "app_%012x", i);
}

/* Without fsync: thousands are made. */
static void
write_record(const struct machine *m, unsigned i)
{
	char app[RPC_APP_ID_BYTES], path[160];
	struct buffer b;
	FILE *f;

	machine_app(i, app);
	stage_record(&b, app, 1, 'o');
	(void)snprintf(path, sizeof(path), "%s/%s.rec", m->dir, app);
	assert_non_null(f = fopen(path, "w"));
	assert_int_equal(fwrite(buffer_data(&b), 1, buffer_len(&b), f),
	    buffer_len(&b));
	assert_int_equal(fclose(f), 0);
	buffer_fini(&b);
}

static void
open_parts(struct machine *m, const struct redis_server *redis,
    const char *name)
{
	struct engine_config engine = { m->stage.addr, m->stage.ctx };
	char endpoint[96], *list[] = { endpoint }, why[256] = "";
	struct conf_redis conf = { .endpoints = list, .n_endpoints = 1 };
	struct replica_config replica = { .redis = &conf, .name = name };
	struct announce_config announce = { .name = name,
	    .address = "127.0.0.1:7000" };
	struct reseal_config reseal = { .turn = &m->turn };

	assert_int_equal(record_store_open(m->dir, &m->store, why,
	    sizeof(why)), RC_OK);
	turn_init(&m->turn);
	m->engine = engine_new(m->stage.loop, &engine, m->store, &engine_ops,
	    m);
	replica.store = m->store;
	replica.engine = m->engine;
	replica.turn = &m->turn;
	if (redis != NULL) {
		(void)snprintf(endpoint, sizeof(endpoint), "%s",
		    redis->endpoint);
		assert_int_equal(replica_new(m->stage.loop, &replica,
		    &replica_ops, m, &m->replica, why, sizeof(why)), RC_OK);
	}
	announce.engine = m->engine;
	announce.replica = m->replica;
	m->announce = announce_new(m->stage.loop, &announce, &announce_ops, m);
	m->changes = (struct store_changes){ .loop = m->stage.loop,
	    .store = m->store, .engine = m->engine, .replica = m->replica,
	    .turn = &m->turn, .on_done = on_done, .arg = m };
	store_changes_init(&m->changes);
	m->confirms = (struct confirms){ .loop = m->stage.loop,
	    .store = m->store, .replica = m->replica,
	    .name = m->announce->own.name, .on_done = on_done, .arg = m };
	confirms_init(&m->confirms);
	reseal.store = m->store;
	reseal.engine = m->engine;
	reseal.replica = m->replica;
	m->reseal = reseal_new(m->stage.loop, &reseal, &reseal_ops, m);
}

static void
close_parts(struct machine *m)
{
	turn_close(&m->turn);
	engine_free(&m->engine);
	replica_free(&m->replica);
	reseal_free(&m->reseal);
	confirms_fini(&m->confirms);
	store_changes_fini(&m->changes);
	announce_free(&m->announce);
	record_store_free(&m->store);
}

void
machine_open(struct machine *m, const struct redis_server *redis,
    const char *name, unsigned n)
{
	log_set_level(LOG_ERROR);
	memset(m, 0, sizeof(*m));
	stage_start(&m->stage);
	(void)snprintf(m->dir, sizeof(m->dir), "/tmp/machine.XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	for (unsigned i = 0; i < n; i++)
		write_record(m, i);
	timer_init(&m->tick, m->stage.loop, on_tick, m);
	on_tick(m);
	open_parts(m, redis, name);
}

void
machine_restart(struct machine *m, const struct redis_server *redis,
    const char *name)
{
	close_parts(m);
	open_parts(m, redis, name);
}

void
machine_close(struct machine *m)
{
	char command[128];

	close_parts(m);
	timer_fini(&m->tick);
	stage_stop(&m->stage);
	(void)snprintf(command, sizeof(command), "rm -r %s", m->dir);
	assert_int_equal(system(command), 0);
}

uint64_t
machine_version(struct machine *m, const char *app)
{
	const struct record_entry *e = record_store_find(m->store, app);

	return (e == NULL ? 0 : e->version);
}

enum rc
machine_change(struct machine *m, const char *app)
{
	uint64_t version = machine_version(m, app) + 1;
	struct buffer b;

	m->answered = false;
	stage_record(&b, app, version, 'o');
	assert_int_equal(store_change_begin(&m->changes, 7, app, version, &b),
	    RC_OK);
	buffer_fini(&b);
	machine_until_answered(m);
	return (m->rc);
}

static bool
turn_all(struct machine *const *v, size_t n, unsigned ms,
    bool (*check)(void *arg), void *arg)
{
	uint64_t end_ms = clock_mono_ms() + ms;

	while (clock_mono_ms() < end_ms) {
		for (size_t i = 0; i < n; i++)
			loop_turn(v[i]->stage.loop, true);
		if (check != NULL && check(arg))
			return (true);
	}
	return (false);
}

void
machines_until(struct machine *const *v, size_t n, bool (*check)(void *arg),
    void *arg)
{
	if (!turn_all(v, n, GIVE_UP_MS, check, arg))
		fail_msg("nothing happened for %d ms", GIVE_UP_MS);
}

void
machines_for_ms(struct machine *const *v, size_t n, unsigned ms)
{
	(void)turn_all(v, n, ms, NULL, NULL);
}

static bool
has_answered(void *arg)
{
	const struct machine *m = arg;

	return (m->answered);
}

void
machine_until_answered(struct machine *m)
{
	machines_until(&m, 1, has_answered, m);
}

bool
machine_is_ready(void *arg)
{
	const struct machine *m = arg;

	return (engine_state(m->engine) == ENGINE_READY &&
	    engine_facts(m->engine)->known && (m->replica == NULL ||
	    (m->replica->scanned && replica_pending(m->replica) == 0)));
}
