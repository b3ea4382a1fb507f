/* What is on disk after every way a write can go wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "e3/helper/record_store.h"
#include "lib/base/fd.h"
#include "lib/base/random.h"

#define APP	"app_0123456789ab"
#define OTHER	"app_ba9876543210"

static char dir[64];

/* ---- tools ------------------------------------------------------------------- */

static int
make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/record_store.XXXXXX");
	return (mkdtemp(dir) == NULL ? -1 : 0);
}

static int
remove_dir(void **state)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *all = opendir(dir);

	(void)state;
	while (all != NULL && (d = readdir(all)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		(void)unlink(path);
	}
	if (all != NULL)
		closedir(all);
	return (rmdir(dir));
}

static unsigned
count_files(const char *part)
{
	DIR *all = opendir(dir);
	struct dirent *d;
	unsigned n = 0;

	assert_non_null(all);
	while ((d = readdir(all)) != NULL)
		n += strstr(d->d_name, part) != NULL;
	closedir(all);
	return (n);
}

static const char *
file(const char *name)
{
	static char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return (path);
}

/* A record that only the engine could open; here any bytes will do. */
static void
make_record(struct buffer *b, const char *app, uint64_t version, size_t body)
{
	char *room;

	buffer_init(b, 0, false);
	rpc_record_head_write(b, app, version);
	assert_int_equal(buffer_reserve(b, body + 28, &room), RC_OK);
	random_bytes(room, body + 28);
	buffer_commit(b, body + 28);
}

static struct span
span_in(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static struct record_store *
open_store(void)
{
	struct record_store *s;
	char why[256] = "";

	assert_int_equal(record_store_open(dir, &s, why, sizeof(why)), RC_OK);
	return (s);
}

static enum rc
put(struct record_store *s, const char *app, uint64_t version)
{
	struct buffer b;
	enum rc rc;

	make_record(&b, app, version, 200);
	rc = record_store_put(s, span_in(&b));
	buffer_fini(&b);
	return (rc);
}

static enum rc
take(struct record_store *s, const char *app, uint64_t version)
{
	struct buffer b;
	enum rc rc;

	make_record(&b, app, version, 200);
	rc = record_store_take(s, span_in(&b));
	buffer_fini(&b);
	return (rc);
}

static uint64_t
version_after_restart(const char *app)
{
	struct record_store *s = open_store();
	struct record_entry *e = record_store_find(s, app);
	uint64_t version = e == NULL ? 0 : e->version;

	record_store_free(&s);
	return (version);
}

static void
write_file(const char *name, const void *data, size_t len)
{
	int fd = open(file(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, data, len), RC_OK);
	close(fd);
}

/* ---- tests ---------------------------------------------------------------------- */

static void
test_versions_follow_each_other(void **state)
{
	static const struct {
		uint64_t	version;
		enum rc		want;
	} steps[] = {
		{ 2, RC_CONFLICT }, { UINT64_MAX, RC_CONFLICT }, { 1, RC_OK },
		{ 1, RC_CONFLICT }, { 3, RC_CONFLICT }, { 2, RC_OK },
		{ 2, RC_CONFLICT }, { 1, RC_CONFLICT }, { 3, RC_OK },
	};
	struct record_store *s = open_store();

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		assert_int_equal(put(s, APP, steps[i].version), steps[i].want);
	assert_int_equal(record_store_find(s, APP)->version, 3);
	record_store_free(&s);
	assert_int_equal(version_after_restart(APP), 3);
	assert_int_equal(count_files(".tmp"), 0);
}

static void
test_what_was_written_is_read_back(void **state)
{
	struct record_store *s = open_store();
	struct buffer record, back;
	struct stat st;

	(void)state;
	make_record(&record, APP, 1, 5000);
	assert_int_equal(record_store_put(s, span_in(&record)), RC_OK);
	record_store_free(&s);
	s = open_store();
	buffer_init(&back, 0, false);
	assert_int_equal(record_store_read(s, record_store_find(s, APP),
	    &back), RC_OK);
	assert_true(span_eq(span_in(&record), span_in(&back)));
	assert_int_equal(stat(file(APP ".rec"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	buffer_fini(&record);
	buffer_fini(&back);
	record_store_free(&s);
}

static void
test_no_record_is_refused(void **state)
{
	struct record_store *s = open_store();
	struct buffer record;

	(void)state;
	assert_int_equal(record_store_put(s, SPAN_LIT("")), RC_SYNTAX);
	assert_int_equal(record_store_put(s, SPAN_LIT("RLYR")), RC_SYNTAX);
	make_record(&record, APP, 1, 10);
	/* Every cut of the header, and one that leaves no room for IV + tag. */
	for (size_t i = 0; i < buffer_len(&record) - 10; i++)
		assert_int_equal(record_store_put(s, (struct span){
		    buffer_data(&record), i }), RC_SYNTAX);
	assert_int_equal(record_store_count(s), 0);
	buffer_fini(&record);
	record_store_free(&s);
}

static void
test_entries_are_sorted_and_summed(void **state)
{
	static const char *const apps[] = { "app_c", "app_a", "app_bb",
	    "app_b", "app_0" };
	static const char *const sorted[] = { "app_0", "app_a", "app_b",
	    "app_bb", "app_c" };
	struct rpc_checksum *sum = rpc_checksum_new();
	struct record_store *s = open_store();
	uint8_t want[32], got[32];

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(put(s, apps[i], 1), RC_OK);
	record_store_free(&s);
	s = open_store();
	assert_int_equal(record_store_count(s), 5);
	for (size_t i = 0; i < 5; i++) {
		struct record_entry *e = record_store_at(s, i);

		assert_string_equal(e->app, sorted[i]);
		if (i == 2)
			e->refused = true;	/* the engine has it not */
		else
			rpc_checksum_add(sum, e->app, e->version, e->sha256);
	}
	rpc_checksum_end(&sum, want);
	record_store_checksum(s, got);
	assert_memory_equal(want, got, sizeof(want));
	record_store_free(&s);
}

static void
test_a_cut_file_is_kept_and_named(void **state)
{
	struct record_store *s = open_store();
	struct record_entry *e;

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	assert_int_equal(put(s, OTHER, 1), RC_OK);
	record_store_free(&s);
	assert_int_equal(truncate(file(APP ".rec"), 11), 0);
	s = open_store();
	assert_int_equal(record_store_count(s), 2);
	e = record_store_find(s, APP);
	assert_true(e->damaged);
	assert_false(record_store_find(s, OTHER)->damaged);
	/* Nothing may be written over it, whatever version it claims. */
	assert_int_equal(put(s, APP, 1), RC_CONFLICT);
	assert_int_equal(put(s, APP, 2), RC_CONFLICT);
	/* Except what Redis has and the engine opened; it is kept then. */
	assert_int_equal(take(s, APP, 1), RC_OK);
	assert_false(record_store_find(s, APP)->damaged);
	assert_int_equal(count_files(".old"), 1);
	record_store_free(&s);
	assert_int_equal(version_after_restart(APP), 1);
}

static void
test_a_record_under_another_name_is_damaged(void **state)
{
	struct record_store *s = open_store();

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	record_store_free(&s);
	{
		char from[PATH_MAX];

		(void)snprintf(from, sizeof(from), "%s", file(APP ".rec"));
		assert_int_equal(rename(from, file(OTHER ".rec")), 0);
	}
	s = open_store();
	assert_null(record_store_find(s, APP));
	assert_true(record_store_find(s, OTHER)->damaged);
	record_store_free(&s);
}

static void
test_leftovers_of_a_cut_write_are_removed(void **state)
{
	struct record_store *s = open_store();
	struct buffer half;

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	record_store_free(&s);
	make_record(&half, APP, 2, 300);
	write_file(APP ".rec.00112233aabbccdd.tmp", buffer_data(&half), 100);
	write_file(APP ".rec.99112233aabbccdd.tmp", buffer_data(&half),
	    buffer_len(&half));
	write_file("notes.tmp", "mine", 4);
	write_file("README", "also mine", 9);
	buffer_fini(&half);
	s = open_store();
	assert_int_equal(record_store_count(s), 1);
	assert_int_equal(record_store_find(s, APP)->version, 1);
	assert_int_equal(count_files(".rec."), 0);
	assert_int_equal(count_files("notes.tmp"), 1);
	assert_int_equal(put(s, APP, 2), RC_OK);
	record_store_free(&s);
}

static void
test_a_full_disk_loses_nothing(void **state)
{
	struct rlimit old, small;
	struct record_store *s = open_store();
	struct buffer big;

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 4096;
	(void)signal(SIGXFSZ, SIG_IGN);
	make_record(&big, APP, 2, 100000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(record_store_put(s, span_in(&big)), RC_IO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(record_store_find(s, APP)->version, 1);
	assert_int_equal(count_files(".tmp"), 0);
	assert_int_equal(version_after_restart(APP), 1);
	assert_int_equal(record_store_put(s, span_in(&big)), RC_OK);
	buffer_fini(&big);
	record_store_free(&s);
	assert_int_equal(version_after_restart(APP), 2);
}

static void
test_two_helpers_do_not_both_win(void **state)
{
	struct record_store *a = open_store(), *b;

	(void)state;
	assert_int_equal(put(a, APP, 1), RC_OK);
	b = open_store();
	assert_int_equal(put(b, APP, 2), RC_OK);
	assert_int_equal(put(b, OTHER, 1), RC_OK);
	/* a's table is old, the file decides. */
	assert_int_equal(put(a, APP, 2), RC_CONFLICT);
	assert_int_equal(put(a, OTHER, 1), RC_CONFLICT);
	assert_int_equal(record_store_find(a, APP)->version, 2);
	assert_int_equal(record_store_find(a, OTHER)->version, 1);
	assert_int_equal(put(a, APP, 3), RC_OK);
	record_store_free(&a);
	record_store_free(&b);
}

static void
test_a_file_that_vanished_is_no_fresh_start(void **state)
{
	struct record_store *s = open_store();
	struct buffer back;

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	assert_int_equal(unlink(file(APP ".rec")), 0);
	assert_int_equal(put(s, APP, 1), RC_CONFLICT);
	assert_int_equal(put(s, APP, 2), RC_CONFLICT);
	buffer_init(&back, 0, false);
	assert_int_equal(record_store_read(s, record_store_find(s, APP),
	    &back), RC_CORRUPT);
	buffer_fini(&back);
	record_store_free(&s);
}

static void
test_a_changed_file_is_not_handed_out(void **state)
{
	struct record_store *s = open_store();
	struct buffer record, back;

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	make_record(&record, APP, 1, 200);
	write_file(APP ".rec", buffer_data(&record), buffer_len(&record));
	buffer_init(&back, 0, false);
	assert_int_equal(record_store_read(s, record_store_find(s, APP),
	    &back), RC_CORRUPT);
	assert_int_equal(buffer_len(&back), 0);
	buffer_fini(&record);
	buffer_fini(&back);
	record_store_free(&s);
}

static void
test_undo_brings_the_version_before_back(void **state)
{
	struct record_store *s = open_store();
	uint8_t before[32];

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	assert_int_equal(put(s, APP, 2), RC_OK);
	memcpy(before, record_store_find(s, APP)->sha256, sizeof(before));
	assert_int_equal(put(s, APP, 3), RC_OK);
	assert_int_equal(record_store_undo(s, APP), RC_OK);
	assert_int_equal(record_store_find(s, APP)->version, 2);
	assert_memory_equal(record_store_find(s, APP)->sha256, before, 32);
	assert_int_equal(count_files(".refused"), 1);
	assert_int_equal(put(s, APP, 3), RC_OK);
	/* A first version has none before it: the app is gone again. */
	assert_int_equal(put(s, OTHER, 1), RC_OK);
	assert_int_equal(record_store_undo(s, OTHER), RC_OK);
	assert_null(record_store_find(s, OTHER));
	assert_int_equal(count_files(".refused"), 2);
	assert_int_equal(put(s, OTHER, 1), RC_OK);
	record_store_free(&s);
	assert_int_equal(version_after_restart(APP), 3);
	assert_int_equal(version_after_restart(OTHER), 1);
}

/* Of the record in a file. */
static uint64_t
version_of(const char *name)
{
	struct rpc_record_head head;
	struct buffer b;

	buffer_init(&b, RPC_RECORD_BYTES_MAX, false);
	assert_int_equal(file_read(file(name), &b), RC_OK);
	assert_int_equal(rpc_record_head_read((struct span){ buffer_data(&b),
	    buffer_len(&b) }, &head), RC_OK);
	buffer_fini(&b);
	return (head.version);
}

static void
test_take_goes_up_only_and_keeps_what_it_replaces(void **state)
{
	struct record_store *s = open_store();

	(void)state;
	assert_int_equal(take(s, APP, 7), RC_OK);	/* absent: any version */
	assert_int_equal(take(s, APP, 7), RC_CONFLICT);
	assert_int_equal(take(s, APP, 6), RC_CONFLICT);
	assert_int_equal(count_files(".old"), 0);
	assert_int_equal(take(s, APP, 9), RC_OK);
	assert_int_equal(count_files(".old"), 1);
	record_store_find(s, APP)->replicated = true;	/* Redis has ours */
	assert_int_equal(take(s, APP, 10), RC_OK);
	assert_int_equal(count_files(".old"), 1);
	assert_int_equal(version_of(APP ".prev"), 9);
	assert_false(record_store_find(s, APP)->replicated);
	/* One that the engine refuses gives way to any. */
	record_store_find(s, APP)->refused = true;
	assert_int_equal(take(s, APP, 4), RC_OK);
	assert_int_equal(record_store_find(s, APP)->version, 4);
	assert_int_equal(count_files(".old"), 2);
	record_store_free(&s);
}

/* What ours was made from stays known until Redis has ours. */
static void
test_base(void **state)
{
	struct record_store *s = open_store();
	uint8_t five[32], other[32] = { 1 };
	struct record_entry *e;

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	e = record_store_find(s, APP);
	assert_int_equal(e->base, 0);
	assert_int_equal(take(s, APP, 5), RC_OK);
	memcpy(five, e->sha256, sizeof(five));
	assert_int_equal(e->base, 0);
	assert_int_equal(put(s, APP, 6), RC_OK);
	assert_int_equal(put(s, APP, 7), RC_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(e->base, 5);
		assert_int_equal(record_kin_of(e, 4, other), RECORD_KIN);
		assert_int_equal(record_kin_of(e, 5, five), RECORD_KIN);
		assert_int_equal(record_kin_of(e, 5, other), RECORD_KIN_APART);
		assert_int_equal(record_kin_of(e, 6, other), RECORD_KIN_UNSURE);
		assert_int_equal(record_kin_of(e, 7, e->sha256), RECORD_KIN);
		assert_int_equal(record_kin_of(e, 7, other), RECORD_KIN_APART);
		assert_int_equal(record_kin_of(e, 8, other), RECORD_KIN_UNSURE);
		record_store_free(&s);		/* and after a restart */
		s = open_store();
		e = record_store_find(s, APP);
	}
	assert_int_equal(record_store_copied(s, APP, 6), RC_OK);
	assert_int_equal(e->base, 5);
	assert_int_equal(record_store_copied(s, APP, 7), RC_OK);
	assert_int_equal(e->base, 0);
	assert_int_equal(count_files(".base"), 0);
	assert_int_equal(record_kin_of(e, 8, other), RECORD_KIN);
	/* What is taken has no base either. */
	assert_int_equal(put(s, APP, 8), RC_OK);
	assert_int_equal(take(s, APP, 9), RC_OK);
	assert_int_equal(e->base, 0);
	/* A fork is one until Redis has ours. */
	assert_int_equal(record_store_note_apart(s, APP), RC_OK);
	assert_int_equal(put(s, APP, 10), RC_OK);
	assert_int_equal(put(s, APP, 11), RC_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(e->base, 9);
		for (uint64_t v = 8; v < 14; v++)
			assert_int_equal(record_kin_of(e, v, other),
			    RECORD_KIN_APART);
		assert_int_equal(record_kin_of(e, 11, e->sha256), RECORD_KIN);
		record_store_free(&s);
		s = open_store();
		e = record_store_find(s, APP);
	}
	assert_int_equal(record_store_copied(s, APP, 11), RC_OK);
	assert_false(e->base_apart);
	assert_int_equal(record_kin_of(e, 12, other), RECORD_KIN);
	record_store_free(&s);
}

static void
test_a_base_that_cannot_be_read(void **state)
{
	static const char *const texts[] = { "", "x", "3", "0 aa", "3 zz", "3 " };
	uint8_t other[32] = { 1 };
	struct record_store *s = open_store();

	(void)state;
	assert_int_equal(put(s, APP, 1), RC_OK);
	assert_int_equal(put(s, APP, 2), RC_OK);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		record_store_free(&s);
		assert_int_equal(file_write_atomic(file(APP ".base"), texts[i],
		    strlen(texts[i]), 0600), RC_OK);
		s = open_store();
		assert_int_equal(record_kin_of(record_store_find(s, APP), 3,
		    other), RECORD_KIN_UNSURE);
	}
	record_store_free(&s);
}

static void
test_theirs_is_kept(void **state)
{
	struct record_store *s = open_store();
	struct buffer b;

	(void)state;
	make_record(&b, APP, 4, 100);
	assert_int_equal(record_store_keep_theirs(s, APP, 4, span_in(&b)),
	    RC_OK);
	assert_int_equal(record_store_keep_theirs(s, APP, 4, span_in(&b)),
	    RC_OK);
	assert_int_equal(count_files(APP ".4."), 2);
	assert_int_equal(count_files(".old"), 2);
	assert_null(record_store_find(s, APP));
	buffer_fini(&b);
	record_store_free(&s);
}

/* A child writes version after version and says so down a pipe; it is killed
 * in the middle.  What it said must be on disk, and one more at most. */
static void
child_writes(int fd)
{
	struct record_store *s;
	char why[64];
	uint64_t v;

	if (record_store_open(dir, &s, why, sizeof(why)) != RC_OK)
		_exit(1);
	v = record_store_find(s, APP) == NULL ? 0 :
	    record_store_find(s, APP)->version;
	for (;;) {
		struct buffer b;

		v++;
		buffer_init(&b, 0, false);
		rpc_record_head_write(&b, APP, v);
		for (int i = 0; i < 300; i++)
			buffer_puts(&b, "0123456789");
		if (record_store_put(s, span_in(&b)) != RC_OK)
			_exit(1);
		buffer_fini(&b);
		if (write(fd, &v, sizeof(v)) != (ssize_t)sizeof(v))
			_exit(1);
	}
}

static void
test_kill_at_any_step_loses_nothing_acknowledged(void **state)
{
	uint64_t acked = 0, said, version;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	(void)state;
	for (int round = 0; round < 40; round++) {
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(fds[0]);
			child_writes(fds[1]);
		}
		close(fds[1]);
		for (uint32_t i = 1 + random_below(4); i != 0; i--) {
			assert_int_equal(read(fds[0], &said, sizeof(said)),
			    sizeof(said));
			acked = said;
		}
		/* Some way into the next one. */
		for (uint32_t i = random_below(200000); i != 0; i--)
			__asm__ volatile("");
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while ((n = read(fds[0], &said, sizeof(said))) ==
		    (ssize_t)sizeof(said))
			acked = said;
		close(fds[0]);
		version = version_after_restart(APP);
		assert_in_range(version, acked, acked + 1);
		assert_int_equal(count_files(".tmp"), 0);
	}
}

static void
test_a_folder_that_cannot_be_used(void **state)
{
	struct record_store *s;
	char why[256] = "";

	(void)state;
	write_file("plain", "x", 1);
	assert_int_equal(record_store_open(file("plain"), &s, why,
	    sizeof(why)), RC_IO);
	assert_null(s);
	assert_non_null(strstr(why, "plain"));
	assert_int_equal(record_store_open(file("no/such/folder"), &s, why,
	    sizeof(why)), RC_IO);
	assert_null(s);
}

#define TEST(f)	cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_versions_follow_each_other),
		TEST(test_what_was_written_is_read_back),
		TEST(test_no_record_is_refused),
		TEST(test_entries_are_sorted_and_summed),
		TEST(test_a_cut_file_is_kept_and_named),
		TEST(test_a_record_under_another_name_is_damaged),
		TEST(test_leftovers_of_a_cut_write_are_removed),
		TEST(test_a_full_disk_loses_nothing),
		TEST(test_two_helpers_do_not_both_win),
		TEST(test_a_file_that_vanished_is_no_fresh_start),
		TEST(test_a_changed_file_is_not_handed_out),
		TEST(test_undo_brings_the_version_before_back),
		TEST(test_take_goes_up_only_and_keeps_what_it_replaces),
		TEST(test_base),
		TEST(test_a_base_that_cannot_be_read),
		TEST(test_theirs_is_kept),
		TEST(test_kill_at_any_step_loses_nothing_acknowledged),
		TEST(test_a_folder_that_cannot_be_used),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
