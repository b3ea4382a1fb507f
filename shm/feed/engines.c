/* shm/feed/engines.c - announcements in, records of the map out. */
#include "shm/feed/engines.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/json.h"
#include "lib/body/json_write.h"

#define NODES_MAX	64	/* an announcement has nine */
#define UNIX_PREFIX	"unix:"	/* of addresses of this machine */
#define STATE_READY	"ready"
#define STATE_DRAINING	"draining"

/* ---- announcements ---------------------------------------------------------------- */

bool
engine_name_ok(struct span name)
{
	if (name.len == 0 || name.len >= ENGINE_NAME_BYTES)
		return (false);
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
			return (false);
	return (true);
}

/* "host:port", "1.2.3.4:port" or "[v6]:port", as relay.conf takes it. */
static bool
address_ok(const char *address)
{
	const char *colon = strrchr(address, ':');
	char host[HOST_BYTES];
	struct span name;
	uint64_t port;

	/* A host of the name "unix" cannot be told from a socket. */
	if (colon == NULL || colon == address ||
	    strncmp(address, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0)
		return (false);
	name = (struct span){ address, (size_t)(colon - address) };
	if (memchr(name.p, ':', name.len) != NULL &&
	    (name.p[0] != '[' || name.p[name.len - 1] != ']'))
		return (false);
	return (host_canonical(name, host) == RC_OK &&
	    string_u64(span_of(colon + 1), &port) == RC_OK && port > 0 &&
	    port <= UINT16_MAX);
}

/* A member that is text without escapes: neither an address nor a state needs
 * one. */
static bool
member_text(const struct body_json *doc, const char *name, char *out,
    size_t size)
{
	uint32_t node = body_json_member(doc, 0, name);
	struct span raw;

	if (node == 0 || doc->nodes[node].type != BODY_JSON_STRING ||
	    doc->nodes[node].escaped)
		return (false);
	raw = body_json_raw(doc, node);
	raw.p++;
	raw.len -= 2;
	return (span_copy(raw, out, size));
}

static enum rc
read_members(const struct body_json *doc, struct engine_entry *out)
{
	char state[sizeof(STATE_DRAINING)];

	if (doc->nodes[0].type != BODY_JSON_OBJECT ||
	    !member_text(doc, "state", state, sizeof(state)) ||
	    !member_text(doc, "address", out->address, sizeof(out->address)))
		return (RC_SYNTAX);
	out->draining = strcmp(state, STATE_DRAINING) == 0;
	if (!out->draining && strcmp(state, STATE_READY) != 0)
		return (RC_SYNTAX);
	if (out->address[0] == '\0')
		return (RC_NOTFOUND);
	return (address_ok(out->address) ? RC_OK : RC_SYNTAX);
}

enum rc
engine_read(struct span text, struct engine_entry *out)
{
	struct body_json doc;
	enum rc rc;

	if (text.len > ENGINE_TEXT_BYTES_MAX || body_json_read(&doc, text.p,
	    text.len, NODES_MAX, NULL) != RC_OK)
		return (RC_SYNTAX);
	rc = read_members(&doc, out);
	body_json_fini(&doc);
	return (rc);
}

enum rc
engines_add(struct engines *e, const struct engine_entry *entry)
{
	if (e->n == ENGINES_MAX)
		return (RC_LIMIT);
	e->v[e->n++] = *entry;
	return (RC_OK);
}

/* ---- the map ------------------------------------------------------------------------ */

static bool
listed(const struct engines *e, const char *name)
{
	for (size_t i = 0; i < e->n; i++)
		if (strcmp(e->v[i].name, name) == 0)
			return (true);
	return (false);
}

void
engines_add_record(struct engines *e, const char *key, struct span payload)
{
	struct span name = span_of(key + sizeof(SHM_ENGINES) - 1);
	struct engine_entry entry;

	if (engine_name_ok(name) &&
	    span_copy(name, entry.name, sizeof(entry.name)) &&
	    !listed(e, entry.name) &&
	    engine_read(payload, &entry) == RC_OK)
		(void)!engines_add(e, &entry);
}

static bool
load_record(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	if (rc == RC_OK && r->kind == SHM_KIND_ENGINE)
		engines_add_record(arg, key, r->payload);
	return (true);
}

enum rc
engines_load(struct shm_map *map, struct engines *e)
{
	uint64_t epoch;
	enum rc rc;

	e->n = 0;
	if ((rc = shm_map_begin(map, &epoch)) != RC_OK)
		return (rc);
	rc = shm_map_each(map, SHM_ENGINES, load_record, e);
	shm_map_end(map);
	return (rc);
}

static void
key_of(const struct engine_entry *entry, char key[SHM_KEY_BYTES + 1])
{
	memcpy(key, SHM_ENGINES, sizeof(SHM_ENGINES));
	ensure(span_copy(span_of(entry->name), key + sizeof(SHM_ENGINES) - 1,
	    SHM_KEY_BYTES + 1 - (sizeof(SHM_ENGINES) - 1)));
}

static void
payload_of(const struct engine_entry *entry, struct buffer *out)
{
	struct body_json_writer w;

	buffer_clear(out);
	body_json_writer_init(&w, out);
	body_json_open_object(&w, NULL);
	body_json_put_str(&w, "address", entry->address);
	body_json_put_str(&w, "state",
	    entry->draining ? STATE_DRAINING : STATE_READY);
	body_json_close_object(&w);
}

static bool
map_has(struct shm_map *map, const char *key, struct span payload)
{
	struct shm_record r;

	return (shm_map_get(map, key, &r) == RC_OK &&
	    r.kind == SHM_KIND_ENGINE && span_eq(r.payload, payload));
}

/* What the map has, and the list has not.  Keys are copied out: a cursor does
 * not outlive a change. */
struct foreign {
	const struct engines	*wanted;
	size_t			n;
	char			keys[ENGINES_MAX][SHM_KEY_BYTES + 1];
};

static bool
note_foreign(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct foreign *f = arg;

	(void)rc;
	(void)r;
	if (listed(f->wanted, key + sizeof(SHM_ENGINES) - 1))
		return (true);
	memcpy(f->keys[f->n], key, strlen(key) + 1);
	return (++f->n < ENGINES_MAX);	/* more: the next time */
}

static enum rc
write_wanted(struct shm_map *map, const struct engines *e,
    struct engines_result *res)
{
	char key[SHM_KEY_BYTES + 1];
	struct buffer text;
	enum rc rc = RC_OK;

	buffer_init(&text, 0, false);
	for (size_t i = 0; i < e->n && rc == RC_OK; i++) {
		struct span payload;

		key_of(&e->v[i], key);
		payload_of(&e->v[i], &text);
		payload = (struct span){ buffer_data(&text), buffer_len(&text) };
		if (map_has(map, key, payload))
			continue;
		res->put++;
		rc = shm_map_put(map, key, SHM_KIND_ENGINE, payload);
	}
	buffer_fini(&text);
	return (rc);
}

static enum rc
remove_foreign(struct shm_map *map, const struct engines *e,
    struct engines_result *res)
{
	struct foreign *f = xcalloc(1, sizeof(*f));
	enum rc rc;

	f->wanted = e;
	rc = shm_map_each(map, SHM_ENGINES, note_foreign, f);
	for (size_t i = 0; i < f->n && rc == RC_OK; i++)
		if ((rc = shm_map_delete(map, f->keys[i])) == RC_OK)
			res->removed++;
	free(f);
	return (rc);
}

static bool
count_record(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	size_t *n = arg;

	(void)key;
	(void)rc;
	(void)r;
	++*n;
	return (true);
}

/* Inside a read: each engine of the list, and no other record. */
static bool
map_equals(struct shm_map *map, const struct engines *e)
{
	char key[SHM_KEY_BYTES + 1];
	struct buffer text;
	size_t n = 0;
	bool same;

	buffer_init(&text, 0, false);
	same = shm_map_each(map, SHM_ENGINES, count_record, &n) == RC_OK &&
	    n == e->n;
	for (size_t i = 0; i < e->n && same; i++) {
		key_of(&e->v[i], key);
		payload_of(&e->v[i], &text);
		same = map_has(map, key, (struct span){ buffer_data(&text),
		    buffer_len(&text) });
	}
	buffer_fini(&text);
	return (same);
}

/* Most of the time nothing has changed, which a reader can see. */
static bool
differs(struct shm_map *map, const struct engines *e)
{
	uint64_t epoch;
	bool same;

	if (shm_map_begin(map, &epoch) != RC_OK)
		return (true);		/* the write says why */
	same = map_equals(map, e);
	shm_map_end(map);
	return (!same);
}

enum rc
engines_apply(struct shm_map *map, const struct engines *e,
    struct engines_result *res)
{
	enum rc rc;

	memset(res, 0, sizeof(*res));
	if (!differs(map, e))
		return (RC_OK);
	if ((rc = shm_map_write_begin(map)) != RC_OK)
		return (rc);
	if ((rc = write_wanted(map, e, res)) == RC_OK)
		rc = remove_foreign(map, e, res);
	if (rc == RC_OK)
		return (shm_map_write_commit(map, &res->epoch));
	shm_map_write_abort(map);
	return (rc);
}
