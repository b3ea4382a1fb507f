/* lib_body_suite.c - files of the public suites. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib_body_suite.h"

const char *
suite_path(const char *suite)
{
	static char path[1024];
	const char *shared = getenv("RELAY_SHARED");

	if (shared != NULL)
		(void)snprintf(path, sizeof(path), "%s/suites/%s", shared, suite);
	else
		(void)snprintf(path, sizeof(path), "%s/../shared/suites/%s",
		    TEST_SRCDIR, suite);
	if (access(path, R_OK) != 0) {
		print_message("suite %s is not there: skipped\n", suite);
		skip();
	}
	return (path);
}

void
suite_file(const char *folder, const char *name, struct buffer *out)
{
	char path[2048];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	buffer_init(out, 0, false);
	assert_int_equal(file_read(path, out), RC_OK);
}

unsigned
suite_each_file(const char *folder, suite_file_cb *fn, void *arg)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct buffer text;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' ||
		    strncmp(entry->d_name, "LICENCE", 7) == 0 ||
		    strcmp(entry->d_name, "README.md") == 0)
			continue;
		suite_file(folder, entry->d_name, &text);
		fn(entry->d_name, suite_span(&text), arg);
		buffer_fini(&text);
		n++;
	}
	closedir(dir);
	return (n);
}

void
suite_text(const struct body_json *doc, uint32_t node, struct buffer *out)
{
	buffer_init(out, 0, false);
	assert_int_equal(doc->nodes[node].type, BODY_JSON_STRING);
	assert_int_equal(body_json_unescape(body_json_raw(doc, node), out),
	    RC_OK);
}

struct span
suite_span(const struct buffer *b)
{
	return ((struct span){ buffer_len(b) == 0 ? "" : buffer_data(b),
	    buffer_len(b) });
}

void
suite_nest(struct buffer *out, unsigned depth, const char *open,
    const char *close)
{
	buffer_init(out, 0, false);
	for (unsigned i = 0; i < depth; i++)
		buffer_puts(out, open);
	buffer_puts(out, "1");
	for (unsigned i = 0; i < depth; i++)
		buffer_puts(out, close);
}

void
suite_slots(struct span doc, const struct body_slots *slots, struct buffer *out)
{
	buffer_init(out, 0, false);
	for (size_t i = 0; i < slots->n; i++) {
		const struct body_slot *s = &slots->v[i];

		buffer_put(out, doc.p + s->start, s->end - s->start);
		buffer_printf(out, "%c%u%s%s%s", "snb"[s->type],
		    (unsigned)s->selection, s->escaped ? "e" : "",
		    s->empty ? "_" : "", i + 1 < slots->n ? " " : "");
	}
}
