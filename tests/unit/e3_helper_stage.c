/* e3_helper_stage.c - see e3_helper_stage.h. */
#include "e3_helper_stage.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e3/helper/record_store.h"
#include "lib/base/object.h"
#include "lib_rpc_engine.h"

#define HELD_MAX	16

struct rpc_stage {
	struct engine	engine;		/* first: freed as a whole */
	struct {
		uint64_t	id;
		struct buffer	payload;
	}		held[HELD_MAX];
};

void
stage_record(struct buffer *b, const char *app, uint64_t version, char last)
{
	char body[64];

	memset(body, 'x', sizeof(body));
	body[sizeof(body) - 1] = last;
	buffer_init(b, 0, false);
	rpc_record_head_write(b, app, version);
	buffer_put(b, body, sizeof(body));
}

const struct stage_app *
stage_find(const struct stage *s, const char *app)
{
	for (size_t i = 0; i < s->n_apps; i++)
		if (strcmp(s->apps[i].app, app) == 0)
			return (&s->apps[i]);
	return (NULL);
}

static struct stage_app *
find_or_add(struct stage *s, const char *app)
{
	size_t at = 0;

	while (at < s->n_apps && strcmp(s->apps[at].app, app) < 0)
		at++;
	if (at < s->n_apps && strcmp(s->apps[at].app, app) == 0)
		return (&s->apps[at]);
	assert_true(s->n_apps < STAGE_APPS_MAX);
	memmove(&s->apps[at + 1], &s->apps[at],
	    (s->n_apps - at) * sizeof(s->apps[0]));
	s->n_apps++;
	memset(&s->apps[at], 0, sizeof(s->apps[0]));
	(void)snprintf(s->apps[at].app, STAGE_APP_BYTES, "%s", app);
	buffer_init(&s->apps[at].record, 0, false);
	return (&s->apps[at]);
}

static bool
take_record(struct stage *s, struct span record)
{
	struct rpc_record_head h;
	struct stage_app *a;

	assert_int_equal(rpc_record_head_read(record, &h), RC_OK);
	if (s->refuse_app != NULL && strcmp(s->refuse_app, h.app) == 0)
		return (false);
	if (record.p[record.len - 1] == STAGE_NEXT_KEY && !s->next_key)
		return (false);
	a = find_or_add(s, h.app);
	if (h.version < a->version)
		return (true);
	a->version = h.version;
	a->under_next = record.p[record.len - 1] == STAGE_NEXT_KEY;
	record_sha256(record, a->sha256);
	buffer_clear(&a->record);
	buffer_put(&a->record, record.p, record.len);
	return (true);
}

static void
reply(struct stage *s, uint64_t id, enum rpc_status status,
    struct buffer *body)
{
	engine_reply(&((struct rpc_stage *)s->rpc)->engine, id, status, body,
	    false);
	if (body != NULL)
		buffer_fini(body);
}

static void
load(struct stage *s, uint64_t id, const struct rpc_value *body)
{
	const struct rpc_value *records = rpc_map_get(body, "records");
	size_t n = rpc_array_len(records), good = 0;
	struct rpc_record_head h;
	struct buffer out, active;
	struct span record;

	s->loads++;
	if (n > s->most_records)
		s->most_records = n;
	if (n > 1 && s->refuse_many) {
		reply(s, id, RPC_STATUS_LIMIT, NULL);
		return;
	}
	buffer_init(&out, 0, false);
	buffer_init(&active, 0, false);
	for (size_t i = 0; i < n; i++) {
		assert_true(rpc_get_bytes(rpc_array_at(records, i), &record));
		if (!take_record(s, record))
			continue;
		good++;
		assert_int_equal(rpc_record_head_read(record, &h), RC_OK);
		rpc_put_array(&active, 2);
		rpc_put_str(&active, h.app);
		rpc_put_u64(&active, stage_find(s, h.app)->version);
	}
	if (good == 0) {
		buffer_fini(&active);
		buffer_fini(&out);
		reply(s, id, RPC_STATUS_BAD_REQUEST, NULL);
		return;
	}
	rpc_put_map(&out, 1);
	rpc_put_str(&out, "active");
	rpc_put_array(&out, good);
	buffer_put(&out, buffer_data(&active), buffer_len(&active));
	buffer_fini(&active);
	reply(s, id, RPC_STATUS_OK, &out);
}

static void
checksum_of(const struct stage *s, uint8_t sum[32])
{
	struct rpc_checksum *c = rpc_checksum_new();

	for (size_t i = 0; i < s->n_apps; i++)
		rpc_checksum_add(c, s->apps[i].app, s->apps[i].version,
		    s->apps[i].sha256);
	rpc_checksum_end(&c, sum);
}

static void
statistics(struct stage *s, uint64_t id)
{
	uint64_t resealed = 0, epoch = 0;
	struct buffer out;
	uint8_t sum[32];

	for (size_t i = 0; i < s->n_apps; i++) {
		resealed += s->apps[i].under_next ? 1 : 0;
		epoch += s->apps[i].version;
	}
	checksum_of(s, sum);
	buffer_init(&out, 0, false);
	rpc_pack(&out, RPC_BOOL("ready", s->ready),
	    RPC_BOOL("draining", s->draining),
	    RPC_BOOL("resealing", s->next_key), RPC_U64("apps", s->n_apps),
	    RPC_U64("resealed", resealed), RPC_U64("keys_epoch", epoch),
	    RPC_U64("links", 1), RPC_BIN("checksum", sum, sizeof(sum)));
	reply(s, id, RPC_STATUS_OK, &out);
}

static void
reseal(struct stage *s, uint64_t id, const struct rpc_value *body)
{
	const struct stage_app *a;
	char app[STAGE_APP_BYTES];
	struct buffer out, record;
	struct span name;

	assert_true(rpc_unpack(body, RPC_WANT_BYTES("app", &name)));
	assert_true(span_copy(name, app, sizeof(app)));
	a = stage_find(s, app);
	assert_non_null(a);
	if (!s->next_key || a->under_next) {
		reply(s, id, RPC_STATUS_CONFLICT, NULL);
		return;
	}
	s->reseals++;
	if (s->reseals == s->cut_at_reseal) {
		stage_restart(s);
		return;
	}
	stage_record(&record, app, a->version + 1, STAGE_NEXT_KEY);
	buffer_init(&out, 0, false);
	rpc_pack(&out, RPC_U64("version", a->version + 1),
	    RPC_BIN("record", buffer_data(&record), buffer_len(&record)));
	buffer_fini(&record);
	reply(s, id, RPC_STATUS_OK, &out);
}

static void
hold(struct stage *s, uint64_t id, struct span payload)
{
	struct rpc_stage *rpc = s->rpc;

	assert_true(s->held < HELD_MAX);
	rpc->held[s->held].id = id;
	buffer_init(&rpc->held[s->held].payload, 0, false);
	buffer_put(&rpc->held[s->held].payload, payload.p, payload.len);
	if (++s->held > s->held_most)
		s->held_most = s->held;
}

void
stage_release(struct stage *s)
{
	struct rpc_stage *rpc = s->rpc;
	unsigned n = s->held;

	s->held = 0;
	for (unsigned i = 0; i < n; i++) {
		struct buffer *b = &rpc->held[i].payload;
		struct rpc_call_frame f;

		assert_int_equal(rpc_call_frame_read(&f, (struct span){
		    buffer_data(b), buffer_len(b) }), RC_OK);
		load(s, rpc->held[i].id, f.body);
		rpc_call_frame_fini(&f);
		buffer_fini(b);
	}
}

static void
on_call(struct engine *e, const struct rpc_call_frame *f, struct span payload)
{
	struct stage *s = e->arg;
	uint8_t mine[32];
	struct buffer out;
	struct span sum;
	bool on;

	e->n_seen = 0;		/* many come; nobody asks which */
	buffer_init(&out, 0, false);
	if (span_eq_str(f->op, "LoadRecords")) {
		if (s->hold)
			hold(s, f->id, payload);
		else
			load(s, f->id, f->body);
	} else if (span_eq_str(f->op, "Checksum")) {
		checksum_of(s, mine);
		rpc_pack(&out, RPC_BIN("checksum", mine, sizeof(mine)));
		reply(s, f->id, RPC_STATUS_OK, &out);
	} else if (span_eq_str(f->op, "SetReady")) {
		checksum_of(s, mine);
		assert_true(rpc_unpack(f->body,
		    RPC_WANT_BYTES("checksum", &sum)));
		assert_memory_equal(sum.p, mine, sizeof(mine));
		s->ready = true;
		s->set_ready++;
		reply(s, f->id, RPC_STATUS_OK, NULL);
	} else if (span_eq_str(f->op, "GetStatistics")) {
		statistics(s, f->id);
	} else if (span_eq_str(f->op, "SetDraining")) {
		assert_true(rpc_unpack(f->body, RPC_WANT_BOOL("on", &on)));
		s->draining = on;
		reply(s, f->id, RPC_STATUS_OK, NULL);
	} else {
		assert_true(span_eq_str(f->op, "Reseal"));
		reseal(s, f->id, f->body);
	}
	buffer_fini(&out);
}

void
stage_start(struct stage *s)
{
	struct rpc_stage *rpc = xcalloc(1, sizeof(*rpc));
	struct rpc_link_config link;

	memset(s, 0, sizeof(*s));
	engine_start(&rpc->engine, "relay://link/engine/e1");
	rpc->engine.on_call = on_call;
	rpc->engine.arg = s;
	link = engine_link_config(&rpc->engine);
	s->loop = rpc->engine.loop;
	s->addr = link.addr;
	s->ctx = link.ctx;
	s->rpc = rpc;
}

static void
forget(struct stage *s)
{
	struct rpc_stage *rpc = s->rpc;

	for (size_t i = 0; i < s->n_apps; i++)
		buffer_fini(&s->apps[i].record);
	for (unsigned i = 0; i < s->held; i++)
		buffer_fini(&rpc->held[i].payload);
	s->n_apps = 0;
	s->held = 0;
	s->ready = s->draining = false;
}

void
stage_restart(struct stage *s)
{
	forget(s);
	engine_cut(&((struct rpc_stage *)s->rpc)->engine);
}

void
stage_stop(struct stage *s)
{
	forget(s);
	engine_stop(&((struct rpc_stage *)s->rpc)->engine);
	free(s->rpc);
}
