/* shm/feed/apply.c - what may go into the map, and how it gets there. */
#include "shm/feed/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/egress_json.h"
#include "lib/base/clock.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"

#define KEY_STATE	"sync/state"
#define STATE_NODES_MAX	16	/* of a document with three members */

#define PRINTABLE_BYTES	128	/* of a name in a log line */

const char *
apply_printable(struct span s, char *out, size_t size)
{
	size_t n = 0;

	for (; n < s.len && n < size - 1; n++)
		out[n] = s.p[n] >= ' ' && s.p[n] < 0x7f && s.p[n] != '"' ?
		    s.p[n] : '?';
	out[n] = '\0';
	return (out);
}

/* ---- what is in the map ------------------------------------------------------------- */

static bool
load_record(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct sync_index *index = arg;
	struct span name = span_of(key);
	uint8_t hash[SYNC_HASH_BYTES];

	if (rc != RC_OK || r->kind != table_form(table_of(name))->kind) {
		(void)sync_set_damaged(index, name);
		return (true);
	}
	sync_hash(name, r->payload, hash);
	sync_set_live(index, name, hash);
	return (true);
}

enum rc
apply_load(struct shm_map *map, struct sync_index *index, bool *synced)
{
	struct shm_record r;
	uint64_t epoch;
	enum rc rc;

	*synced = false;
	if ((rc = shm_map_begin(map, &epoch)) != RC_OK)
		return (rc);
	for (unsigned t = 0; t < TABLES && rc == RC_OK; t++)
		rc = shm_map_each(map, table_form((enum table)t)->prefix,
		    load_record, index);
	/* One that is damaged is no state: the next full read writes it. */
	*synced = rc == RC_OK && shm_map_get(map, KEY_STATE, &r) == RC_OK;
	shm_map_end(map);
	return (rc);
}

/* ---- validation ------------------------------------------------------------------------ */

static enum rc
fail_field(struct relay_fault *fault, const char *reason)
{
	(void)snprintf(fault->reason, sizeof(fault->reason), "%s", reason);
	return (RC_SYNTAX);
}

static enum rc
check_relay(struct span field, struct span value, struct relay_fault *fault)
{
	struct relay *relay = NULL;
	char host[HOST_BYTES];
	enum rc rc;

	if (!span_copy(field, host, sizeof(host)) || !host_is_canonical(host))
		return (fail_field(fault, "the field is not a host name in lower "
		    "case, without port and trailing dot"));
	rc = relay_json_parse(value, &relay, fault);
	relay_unref(&relay);
	return (rc);
}

static enum rc
check_egress(struct span field, struct span value, struct relay_fault *fault)
{
	struct egress *egress = NULL;
	enum rc rc;

	if (!egress_is_app(field))
		return (fail_field(fault, "the field is not an app id: app_ and "
		    "12 hex digits"));
	rc = egress_json_parse(field, value, &egress, fault);
	egress_unref(&egress);
	return (rc);
}

enum rc
apply_check(struct span key, struct span value, struct relay_fault *fault)
{
	struct span field = table_field(key);

	memset(fault, 0, sizeof(*fault));
	switch (table_of(key)) {
	case TABLE_RELAYS:
		return (check_relay(field, value, fault));
	case TABLE_EGRESS:
		break;
	}
	return (check_egress(field, value, fault));
}

static void
refuse(struct sync_index *index, const struct sync_change *c,
    const struct relay_fault *fault)
{
	const struct table_form *t = table_form(table_of(c->key));
	char field[PRINTABLE_BYTES], path[PRINTABLE_BYTES];
	char reason[2 * PRINTABLE_BYTES];

	sync_set_refused(index, c->key, c->hash, fault->path, fault->reason);
	log_warn("%s refused %s=\"%s\" path=\"%s\" reason=\"%s\" live=%s",
	    t->record, t->field,
	    apply_printable(table_field(c->key), field, sizeof(field)),
	    apply_printable(span_of(fault->path), path, sizeof(path)),
	    apply_printable(span_of(fault->reason), reason, sizeof(reason)),
	    sync_find(index, c->key)->live ? "old" : "none");
}

static size_t
drop_invalid(struct sync_index *index, struct sync_changes *list)
{
	struct sync_changes valid = STAILQ_HEAD_INITIALIZER(valid);
	struct relay_fault fault;
	struct sync_change *c;
	size_t refused = 0;

	while ((c = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		if (c->remove ||
		    apply_check(c->key, c->value, &fault) == RC_OK) {
			STAILQ_INSERT_TAIL(&valid, c, link);
			continue;
		}
		refuse(index, c, &fault);
		free(c);
		refused++;
	}
	STAILQ_CONCAT(list, &valid);
	return (refused);
}

/* ---- writing ------------------------------------------------------------------------------ */

bool
apply_readable(struct shm_map *map, struct span key)
{
	char name[SHM_KEY_BYTES + 1];
	struct shm_record r;
	uint64_t epoch;
	enum rc rc;

	if (!table_map_key(key, name) || shm_map_begin(map, &epoch) != RC_OK)
		return (true);
	rc = shm_map_get(map, name, &r);
	if (rc == RC_OK && r.kind != table_form(table_of(key))->kind)
		rc = RC_CORRUPT;
	shm_map_end(map);
	return (rc != RC_CORRUPT && rc != RC_NOTFOUND);
}

static enum rc
remove_one(struct shm_map *map, const struct sync_change *c,
    struct apply_result *res)
{
	char key[SHM_KEY_BYTES + 1];
	enum rc rc;

	if (!table_map_key(c->key, key))
		return (RC_OK);		/* it was never live */
	rc = shm_map_delete(map, key);
	if (rc == RC_OK)
		res->removed++;
	return (rc == RC_NOTFOUND ? RC_OK : rc);
}

static enum rc
write_one(struct shm_map *map, const struct sync_change *c,
    struct apply_result *res)
{
	enum shm_kind kind = table_form(table_of(c->key))->kind;
	char key[SHM_KEY_BYTES + 1];
	struct shm_record old;

	if (c->remove)
		return (remove_one(map, c, res));
	ensure(table_map_key(c->key, key));	/* validated */
	if (shm_map_get(map, key, &old) == RC_OK && old.kind == kind &&
	    span_eq(old.payload, c->value)) {
		res->unchanged++;
		return (RC_OK);
	}
	res->put++;
	return (shm_map_put(map, key, kind, c->value));
}

static bool
member_is(const struct body_json *doc, const char *name, const char *want)
{
	uint32_t node = body_json_member(doc, 0, name);
	struct span raw;

	if (node == 0)
		return (false);
	raw = body_json_raw(doc, node);
	return (raw.len == strlen(want) + 2 &&
	    memcmp(raw.p + 1, want, raw.len - 2) == 0);
}

/* Does sync/state say this already?  Its time alone is no reason to write. */
static bool
state_is(struct shm_map *map, const char *digest, const char *source)
{
	struct body_json doc;
	struct shm_record r;
	bool same;

	if (shm_map_get(map, KEY_STATE, &r) != RC_OK ||
	    r.kind != SHM_KIND_SYNC ||
	    body_json_read(&doc, r.payload.p, r.payload.len, STATE_NODES_MAX,
	    NULL) != RC_OK)
		return (false);
	same = member_is(&doc, "digest", digest) &&
	    member_is(&doc, "source", source);
	body_json_fini(&doc);
	return (same);
}

static enum rc
write_state(struct shm_map *map, const char *digest, const char *source,
    bool *written)
{
	struct body_json_writer w;
	struct buffer text;
	enum rc rc;

	*written = false;
	if (state_is(map, digest, source))
		return (RC_OK);
	buffer_init(&text, 0, false);
	body_json_writer_init(&w, &text);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "digest", digest);
	body_json_put_u64(&w, "applied_ms", clock_wall_ms());
	body_json_put_str(&w, "source", source);
	body_json_close_object(&w);
	rc = shm_map_put(map, KEY_STATE, SHM_KIND_SYNC,
	    (struct span){ buffer_data(&text), buffer_len(&text) });
	*written = rc == RC_OK;
	buffer_fini(&text);
	return (rc);
}

/* One transaction; given up when it would change nothing. */
static enum rc
write_all(struct shm_map *map, const struct sync_index *index,
    const struct sync_changes *list, const char *source,
    struct apply_result *res)
{
	char digest[2 * SYNC_HASH_BYTES + 1];
	const struct sync_change *c;
	bool state = false;
	enum rc rc;

	if ((rc = shm_map_write_begin(map)) != RC_OK)
		return (rc);
	STAILQ_FOREACH(c, list, link)
		if ((rc = write_one(map, c, res)) != RC_OK)
			break;
	if (rc == RC_OK && source != NULL) {
		sync_digest_after(index, list, digest);
		rc = write_state(map, digest, source, &state);
	}
	if (rc == RC_OK && (res->put > 0 || res->removed > 0 || state))
		return (shm_map_write_commit(map, &res->epoch));
	shm_map_write_abort(map);
	return (rc);
}

enum rc
apply_changes(struct shm_map *map, struct sync_index *index,
    struct sync_changes *list, const char *source, struct apply_result *res)
{
	const struct sync_change *c;
	enum rc rc;

	memset(res, 0, sizeof(*res));
	res->refused = drop_invalid(index, list);
	if (STAILQ_EMPTY(list) && source == NULL)
		return (RC_OK);
	if ((rc = write_all(map, index, list, source, res)) != RC_OK) {
		res->put = res->removed = res->unchanged = 0;
		return (rc);
	}
	STAILQ_FOREACH(c, list, link) {
		if (c->remove)
			sync_set_gone(index, c->key);
		else
			sync_set_live(index, c->key, c->hash);
	}
	return (RC_OK);
}
