/* helper/statistics_file.c - see statistics_file.h. */
#include "e3/helper/statistics_file.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/timer.h"

#define WRITE_MS	5000
#define FILE_MODE	0640	/* counters, and the checksum of sealed bytes */

struct statistics_file {
	unsigned	magic;
#define STATISTICS_FILE_MAGIC	0x6be2a914
	char		*path;			/* owned */
	char		*state_dir;		/* owned */
	struct engine	*engine;		/* borrowed: outlives us */
	struct timer	timer;
	uint64_t	t_written_ms;		/* what the engine said then */
	bool		told;			/* that it cannot be written */
};

bool
statistics_rehearsed(const char *state_dir, uint64_t *ms)
{
	char *path = xasprintf("%s/rehearsed", state_dir);
	struct buffer text;
	struct span s;
	bool good;

	buffer_init(&text, 64, false);
	good = file_read(path, &text) == RC_OK;
	s = (struct span){ buffer_data(&text), buffer_len(&text) };
	if (s.len != 0 && s.p[s.len - 1] == '\n')
		s.len--;
	good = good && string_u64(s, ms) == RC_OK;
	buffer_fini(&text);
	free(path);
	return (good);
}

/* The engine's object with members that are not its own. */
static void
write_now(struct statistics_file *f)
{
	struct span json = engine_statistics(f->engine);
	struct buffer text;
	uint64_t ms;

	buffer_init(&text, 0, false);
	buffer_put(&text, json.p, json.len - 1);	/* its '}' */
	buffer_puts(&text, json.len > 2 ? "," : "");
	if (statistics_rehearsed(f->state_dir, &ms))
		buffer_printf(&text, "\"rehearsed_ms\":%llu,",
		    (unsigned long long)ms);
	buffer_printf(&text, "\"written_ms\":%llu}\n",
	    (unsigned long long)clock_wall_ms());
	if (file_replace(f->path, buffer_data(&text), buffer_len(&text),
	    FILE_MODE) == RC_OK) {
		f->told = false;
	} else {
		if (!f->told)
			log_warn("statistics not written file=%s", f->path);
		f->told = true;
	}
	buffer_fini(&text);
}

static void
on_timer(void *arg)
{
	struct statistics_file *f = arg;
	uint64_t t;

	obj_check(f, STATISTICS_FILE_MAGIC);
	timer_start_ms(&f->timer, WRITE_MS);
	t = engine_answered_ms(f->engine);
	if (t == f->t_written_ms)
		return;			/* it has not answered since */
	f->t_written_ms = t;
	write_now(f);
}

struct statistics_file *
statistics_file_new(struct loop *loop, const char *path, const char *state_dir,
    struct engine *engine)
{
	struct statistics_file *f = xcalloc(1, sizeof(*f));

	f->magic = STATISTICS_FILE_MAGIC;
	f->path = xstrdup(path);
	f->state_dir = xstrdup(state_dir);
	f->engine = engine;
	timer_init(&f->timer, loop, on_timer, f);
	timer_start_ms(&f->timer, WRITE_MS);
	return (f);
}

void
statistics_file_stop(struct statistics_file *f)
{
	obj_check(f, STATISTICS_FILE_MAGIC);
	timer_stop(&f->timer);
}

void
statistics_file_free(struct statistics_file **fp)
{
	struct statistics_file *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	obj_check(f, STATISTICS_FILE_MAGIC);
	timer_fini(&f->timer);
	free(f->path);
	free(f->state_dir);
	f->magic = 0;
	free(f);
}
