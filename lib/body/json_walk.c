/*
 * body/json_walk.c - paths as small automata that run along a document.
 *
 * A path at an open container is the set of its segments that apply there: a
 * bit each.  A child that a segment selects carries the next segment's bit, a
 * descendant segment stays set all the way down, and a child selected by the
 * last segment is chosen.  Below a container that a path chose, this path and
 * those behind it in the list have nothing more to say: a slot belongs to the
 * first that chose it.  So each container holds the states of the paths that
 * are alive there, on one stack, and most containers hold none.
 *
 * The states of the child that comes next lie on top of that stack; a key, an
 * element or the document's begin puts them there, and opening the child makes
 * them its own.
 */
#include "lib/body/json_walk.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/body/json_scan.h"
#include "lib/body/jsonpath_private.h"

#define FRAMES_FIRST	16	/* deeper documents get all frames at once */
#define STATES_FIRST	4	/* per path: levels with every path alive */
#define NOT_CHOSEN	UINT16_MAX

/* Most keys are no name of any path: 16 bits of a name tell quickly. */
#define NO_HINT		0
#define ELEMENT_HINT	1
#define NAME_HINT	0x8000		/* and more bits */

struct state {			/* of one path at one container */
	uint64_t	alive;		/* segments that apply here: bits */
	uint16_t	path;		/* index; rises along the stack */
	uint16_t	hint;		/* only a name of this hint advances it;
					   NO_HINT: look */
	bool		stays;		/* with a hint: else the state goes on
					   as it is, or ends */
};

struct frame {			/* an open container */
	uint64_t	n_elements;	/* of an array, so far */
	size_t		first;		/* of its states */
	uint16_t	n;
	uint16_t	chosen;		/* the first path that chose it or what
					   it is in; or NOT_CHOSEN */
	bool		array;
};

struct place {			/* a child in its container */
	struct span	key;		/* raw, with quotes; or NULL */
	bool		escaped;
	uint16_t	hint;
	uint64_t	element;
};

struct body_json_walk {
	unsigned		magic;
#define BODY_JSON_WALK_MAGIC	0x51c8e2b7
	struct json_scan	scan;
	const struct body_jsonpath *const *paths; /* borrowed */
	size_t			max_fields;
	size_t			n_fields;	/* slots reported */
	bool			too_many;
	bool			over;		/* final or failed */
	struct body_slots	*slots;		/* borrowed during feed */
	struct frame		*frames;	/* few, or owned: all */
	size_t			depth;
	uint16_t		child_n;	/* the next child's states, */
	uint16_t		child_chosen;	/* and its frame's chosen */
	struct state		*states;	/* states_first, or owned */
	size_t			n_states;	/* of open containers */
	size_t			max_states;
	struct frame		few[FRAMES_FIRST];
	struct state		states_first[];
};

/* ---- the automaton ------------------------------------------------------- */

static bool
selector_streams(const struct jsonpath_selector *s)
{
	switch (s->kind) {
	case JSONPATH_NAME:
	case JSONPATH_WILDCARD:
		return (true);
	case JSONPATH_INDEX:
		return (s->index >= 0);
	case JSONPATH_SLICE:
		return (s->slice.step > 0 &&
		    (!s->slice.has_start || s->slice.start >= 0) &&
		    (!s->slice.has_stop || s->slice.stop >= 0));
	case JSONPATH_FILTER:
		return (false);
	}
	return (false);
}

bool
body_jsonpath_streams(const struct body_jsonpath *path)
{
	obj_check(path, BODY_JSONPATH_MAGIC);
	ensure(path->n_steps <= 64);
	for (size_t i = 0; i < path->n_steps; i++)
		for (size_t k = 0; k < path->steps[i].n; k++)
			if (!selector_streams(
			    &path->selectors[path->steps[i].first + k]))
				return (false);
	return (true);
}

static bool
in_slice(const struct jsonpath_slice *slice, uint64_t element)
{
	uint64_t start = slice->has_start ? (uint64_t)slice->start : 0;

	return (element >= start &&
	    (!slice->has_stop || element < (uint64_t)slice->stop) &&
	    (element - start) % (uint64_t)slice->step == 0);
}

static bool
key_is(const struct place *place, struct span name)
{
	if (place->escaped)
		return (body_json_text_is(place->key, name));
	return (place->key.len - 2 == name.len &&
	    memcmp(place->key.p + 1, name.p, name.len) == 0);
}

static bool
selects(const struct jsonpath_selector *s, const struct place *place)
{
	bool element = place->key.p == NULL;

	switch (s->kind) {
	case JSONPATH_NAME:
		return (!element && key_is(place, s->name));
	case JSONPATH_WILDCARD:
		return (true);
	case JSONPATH_INDEX:
		return (element && place->element == (uint64_t)s->index);
	case JSONPATH_SLICE:
		return (element && in_slice(&s->slice, place->element));
	case JSONPATH_FILTER:
		break;
	}
	return (false);
}

/* From a container to a child: the segments alive there. */
static uint64_t
advance(const struct body_jsonpath *path, uint64_t alive,
    const struct place *place, bool *chosen)
{
	uint64_t next = 0;

	*chosen = false;
	for (; alive != 0; alive &= alive - 1) {
		size_t i = (size_t)__builtin_ctzll(alive);
		const struct jsonpath_step *step = &path->steps[i];
		size_t k = 0;

		if (step->descendant)
			next |= UINT64_C(1) << i;
		while (k < step->n &&
		    !selects(&path->selectors[step->first + k], place))
			k++;
		if (k == step->n)
			continue;
		if (i + 1 == path->n_steps)
			*chosen = true;
		else
			next |= UINT64_C(1) << (i + 1);
	}
	return (next);
}

static uint16_t
name_hint(const char *p, size_t len)
{
	size_t sum = len * 64;

	if (len != 0)
		sum += (unsigned char)p[0] * 5u + (unsigned char)p[len - 1];
	return ((uint16_t)(NAME_HINT | sum));
}

/* The usual state: one segment that waits for one name. */
static struct state
new_state(const struct body_jsonpath *path, uint16_t index, uint64_t alive)
{
	struct state state = { .alive = alive, .path = index };
	const struct jsonpath_step *step;
	const struct jsonpath_selector *s;

	if ((alive & (alive - 1)) != 0)
		return (state);
	step = &path->steps[__builtin_ctzll(alive)];
	s = &path->selectors[step->first];
	if (step->n == 1 && s->kind == JSONPATH_NAME) {
		state.hint = name_hint(s->name.p, s->name.len);
		state.stays = step->descendant;
	}
	return (state);
}

/* ---- states -------------------------------------------------------------- */

static struct frame *
innermost(struct body_json_walk *w)
{
	return (&w->frames[w->depth - 1]);
}

static void
enter_child(struct body_json_walk *w, const struct frame *f,
    const struct place *place)
{
	const struct state *from = &w->states[f->first], *end = from + f->n;
	struct state *first = &w->states[w->n_states], *to = first;

	w->child_chosen = f->chosen;
	for (; from < end && from->path < w->child_chosen; from++) {
		const struct body_jsonpath *path;
		uint64_t alive;
		bool chosen;

		if (from->hint != place->hint && from->hint != NO_HINT &&
		    place->hint != NO_HINT) {
			if (from->stays)
				*to++ = *from;
			continue;
		}
		path = w->paths[from->path];
		alive = advance(path, from->alive, place, &chosen);
		if (chosen)
			w->child_chosen = from->path;
		else if (alive != 0)
			*to++ = new_state(path, from->path, alive);
	}
	w->child_n = (uint16_t)(to - first);
}

/* A value begins.  In an object its key has been there before. */
static void
enter_element(struct body_json_walk *w)
{
	struct frame *f;

	if (w->depth == 0 || !(f = innermost(w))->array)
		return;
	enter_child(w, f, &(struct place){
		.hint = ELEMENT_HINT,
		.element = f->n_elements++,
	});
}

static void
enter_root(struct body_json_walk *w, size_t n_paths)
{
	w->child_chosen = NOT_CHOSEN;
	for (uint16_t i = 0; i < n_paths; i++) {
		ensure(body_jsonpath_streams(w->paths[i]));
		if (w->paths[i]->n_steps == 0) {	/* the path $ */
			w->child_chosen = i;
			break;
		}
		w->states[w->child_n++] = new_state(w->paths[i], i, 1);
	}
}

/* Room for the states of the children of a container that holds n. */
static bool
make_room(struct body_json_walk *w, size_t n)
{
	size_t max = w->max_states * 2 + n;
	struct state *states;

	if (n <= w->max_states - w->n_states)
		return (true);
	if (w->states == w->states_first) {
		states = malloc(max * sizeof(*states));
		if (states != NULL)
			memcpy(states, w->states,
			    w->n_states * sizeof(*states));
	} else {
		states = realloc(w->states, max * sizeof(*states));
	}
	if (states == NULL)
		return (false);
	w->states = states;
	w->max_states = max;
	return (true);
}

static bool
more_frames(struct body_json_walk *w)
{
	struct frame *frames;

	if (w->frames != w->few || w->depth < FRAMES_FIRST)
		return (true);
	frames = malloc(BODY_JSON_DEPTH_MAX * sizeof(*frames));
	if (frames == NULL)
		return (false);
	memcpy(frames, w->few, sizeof(w->few));
	w->frames = frames;
	return (true);
}

/* ---- events -------------------------------------------------------------- */

static enum rc
on_key(void *reader, size_t start, size_t end, bool escaped)
{
	struct body_json_walk *w = reader;
	const struct frame *f = innermost(w);
	struct span key = { json_scan_at(&w->scan, start), end - start };

	enter_child(w, f, &(struct place){
		.key = key,
		.escaped = escaped,
		.hint = escaped || f->n == 0 ? NO_HINT :
		    name_hint(key.p + 1, key.len - 2),
	});
	return (RC_OK);
}

static enum rc
on_scalar(void *reader, enum body_json_type type, size_t start, size_t end,
    bool escaped)
{
	struct body_json_walk *w = reader;
	enum rc rc;

	enter_element(w);
	if (w->child_chosen == NOT_CHOSEN || type == BODY_JSON_NULL)
		return (RC_OK);
	if (w->n_fields == w->max_fields) {
		w->too_many = true;
		return (json_scan_fail(&w->scan, RC_LIMIT, "too many fields"));
	}
	w->n_fields++;
	rc = body_slots_add_json(w->slots, type, start, end, escaped,
	    w->child_chosen);
	if (rc != RC_OK)
		w->scan.reason = "out of memory";
	return (rc);
}

static enum rc
on_open(void *reader, enum body_json_type type, size_t start)
{
	struct body_json_walk *w = reader;
	struct frame *f;

	(void)start;
	enter_element(w);
	if (!more_frames(w))
		return (json_scan_fail(&w->scan, RC_NOMEM, "out of memory"));
	f = &w->frames[w->depth++];
	*f = (struct frame){
		.first = w->n_states,
		.n = w->child_n,
		.chosen = w->child_chosen,
		.array = type == BODY_JSON_ARRAY,
	};
	w->n_states += f->n;
	if (!make_room(w, f->n))
		return (json_scan_fail(&w->scan, RC_NOMEM, "out of memory"));
	return (RC_OK);
}

static enum rc
on_close(void *reader, size_t end)
{
	struct body_json_walk *w = reader;

	(void)end;
	w->n_states = innermost(w)->first;
	w->depth--;
	return (RC_OK);
}

static const struct json_scan_events events = {
	.on_scalar = on_scalar,
	.on_key = on_key,
	.on_open = on_open,
	.on_close = on_close,
};

/* ---- life ---------------------------------------------------------------- */

struct body_json_walk *
body_json_walk_new(const struct body_jsonpath *const *paths, size_t n_paths,
    size_t max_fields)
{
	size_t max_states = n_paths * STATES_FIRST;
	struct body_json_walk *w;

	ensure(n_paths <= UINT16_MAX);
	w = xcalloc(1, sizeof(*w) + max_states * sizeof(w->states_first[0]));
	w->magic = BODY_JSON_WALK_MAGIC;
	w->paths = paths;
	w->max_fields = max_fields;
	w->frames = w->few;
	w->states = w->states_first;
	w->max_states = max_states;
	json_scan_init(&w->scan, &events, w);
	enter_root(w, n_paths);
	return (w);
}

void
body_json_walk_free(struct body_json_walk **wp)
{
	struct body_json_walk *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	obj_check(w, BODY_JSON_WALK_MAGIC);
	json_scan_fini(&w->scan);
	if (w->frames != w->few)
		free(w->frames);
	if (w->states != w->states_first)
		free(w->states);
	w->magic = 0;
	free(w);
}

enum rc
body_json_walk_feed(struct body_json_walk *w, struct span window, size_t base,
    bool final, struct body_slots *slots, size_t *settled,
    struct body_json_fault *fault)
{
	enum rc rc;

	obj_check(w, BODY_JSON_WALK_MAGIC);
	ensure(!w->over);
	w->slots = slots;
	rc = json_scan_feed(&w->scan, window, base, final);
	w->slots = NULL;
	w->over = final || rc != RC_OK;
	*settled = w->scan.pos;
	if (fault != NULL) {
		fault->offset = w->scan.pos;
		fault->reason = rc == RC_OK ? "" : w->scan.reason;
		fault->too_many = w->too_many;
	}
	return (rc);
}
