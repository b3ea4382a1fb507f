/*
 * shm/map.c: one writer, readers in other processes (an LMDB environment must
 * be open once per process only), damage, a full map.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/map.h"
#include "shm/map_private.h"

static char folder[64];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/relay-map-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return (-1);
	return (rmdir(folder));		/* the writer makes it */
}

static int
teardown(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/lock.mdb", folder);
	(void)unlink(path);
	return (rmdir(folder));
}

static struct span
text(const char *s)
{
	return ((struct span){ s, strlen(s) });
}

static uint64_t
put(struct shm_map *m, const char *key, const char *value)
{
	uint64_t epoch;

	assert_int_equal(shm_map_write_begin(m), RC_OK);
	assert_int_equal(shm_map_put(m, key, SHM_KIND_RELAY, text(value)),
	    RC_OK);
	assert_int_equal(shm_map_write_commit(m, &epoch), RC_OK);
	return (epoch);
}

static mode_t
mode_of(const char *name)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(stat(path, &st), 0);
	return (st.st_mode & 07777);
}

static void
test_no_map_yet(void **state)
{
	struct shm_map *m;
	char path[128];
	struct stat st;

	(void)state;
	assert_int_equal(shm_map_open(folder, SHM_READER, &m), RC_NOTFOUND);
	assert_null(m);
	assert_int_equal(mkdir(folder, 0750), 0);
	assert_int_equal(shm_map_open(folder, SHM_READER, &m), RC_NOTFOUND);
	/* A reader leaves nothing behind that the writer could trip over. */
	(void)snprintf(path, sizeof(path), "%s/lock.mdb", folder);
	assert_int_equal(stat(path, &st), -1);
}

static void
test_modes_whatever_the_umask(void **state)
{
	struct shm_map *m;
	mode_t before = umask(0077);

	(void)state;
	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_OK);
	(void)umask(before);
	assert_int_equal(mode_of("."), 0750);
	assert_int_equal(mode_of("data.mdb"), 0640);
	assert_int_equal(mode_of("lock.mdb"), 0660);
	shm_map_close(&m);
}

static void
test_folder_mode_is_kept(void **state)
{
	struct shm_map *m;

	(void)state;
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(chmod(folder, 02750), 0);
	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_OK);
	assert_int_equal(mode_of("."), 02750);
	shm_map_close(&m);
}

static void
test_put_get_delete(void **state)
{
	struct shm_record r;
	struct shm_map *m;
	uint64_t epoch, seen;

	(void)state;
	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_OK);
	epoch = put(m, "relays/a.test", "one\n");
	assert_int_equal(shm_map_begin(m, &seen), RC_OK);
	assert_true(seen == epoch);
	assert_int_equal(shm_map_get(m, "relays/a.test", &r), RC_OK);
	assert_int_equal(r.kind, SHM_KIND_RELAY);
	assert_true(r.revision == epoch);
	assert_true(span_eq(r.payload, SPAN_LIT("one\n")));
	assert_int_equal(shm_map_get(m, "relays/b.test", &r), RC_NOTFOUND);
	shm_map_end(m);

	assert_int_equal(shm_map_write_begin(m), RC_OK);
	assert_int_equal(shm_map_delete(m, "relays/b.test"), RC_NOTFOUND);
	assert_int_equal(shm_map_delete(m, "relays/a.test"), RC_OK);
	assert_int_equal(shm_map_get(m, "relays/a.test", &r), RC_NOTFOUND);
	shm_map_write_abort(m);
	assert_int_equal(shm_map_begin(m, &seen), RC_OK);
	assert_int_equal(shm_map_get(m, "relays/a.test", &r), RC_OK);
	shm_map_end(m);
	shm_map_close(&m);
}

struct walk {
	char		keys[8][32];
	enum rc		rc[8];
	unsigned	n, stop;
};

static bool
on_record(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct walk *w = arg;

	(void)r;
	(void)snprintf(w->keys[w->n], sizeof(w->keys[0]), "%s", key);
	w->rc[w->n++] = rc;
	return (w->n != w->stop);
}

static void
test_each_by_prefix(void **state)
{
	struct walk w = { .n = 0 };
	struct shm_map *m;
	uint64_t epoch;

	(void)state;
	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_OK);
	(void)put(m, "relays/b", "2");
	(void)put(m, "relays/a", "1");
	(void)put(m, "relay", "0");
	(void)put(m, "sync/state", "3");
	assert_int_equal(shm_map_begin(m, &epoch), RC_OK);
	assert_int_equal(shm_map_each(m, "relays/", on_record, &w), RC_OK);
	assert_int_equal(w.n, 2);
	assert_string_equal(w.keys[0], "relays/a");
	assert_string_equal(w.keys[1], "relays/b");
	memset(&w, 0, sizeof(w));
	assert_int_equal(shm_map_each(m, "", on_record, &w), RC_OK);
	assert_int_equal(w.n, 4);
	memset(&w, 0, sizeof(w));
	w.stop = 1;
	assert_int_equal(shm_map_each(m, "", on_record, &w), RC_OK);
	assert_int_equal(w.n, 1);
	memset(&w, 0, sizeof(w));
	assert_int_equal(shm_map_each(m, "z", on_record, &w), RC_OK);
	assert_int_equal(w.n, 0);
	shm_map_end(m);
	shm_map_close(&m);
}

/* A reader process, spoken to through two pipes. */
struct reader {
	pid_t	pid;
	int	to, from;
};

/*
 * 'b': begin and get relays/a, answers its first byte ('-': not found);
 * 'e': end; 'x': exit.
 */
static void
reader_main(int in, int out)
{
	struct shm_map *m = NULL;
	struct shm_record r;
	uint64_t epoch;
	char c, answer;

	if (read(in, &c, 1) != 1 ||
	    shm_map_open(folder, SHM_READER, &m) != RC_OK)
		_exit(1);
	do {
		answer = 'k';
		if (c == 'b') {
			if (shm_map_begin(m, &epoch) != RC_OK)
				_exit(2);
			answer = shm_map_get(m, "relays/a", &r) == RC_OK ?
			    r.payload.p[0] : '-';
		} else if (c == 'e') {
			shm_map_end(m);
		} else {
			break;
		}
		if (write(out, &answer, 1) != 1)
			_exit(3);
	} while (read(in, &c, 1) == 1);
	shm_map_close(&m);
	_exit(0);
}

static struct reader
reader_start(void)
{
	struct reader r;
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_true((r.pid = fork()) >= 0);
	if (r.pid == 0) {
		(void)close(in[1]);
		(void)close(out[0]);
		reader_main(in[0], out[1]);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	r.to = in[1];
	r.from = out[0];
	return (r);
}

static char
ask(const struct reader *r, char c)
{
	char answer;

	assert_int_equal(write(r->to, &c, 1), 1);
	assert_int_equal(read(r->from, &answer, 1), 1);
	return (answer);
}

static int
reader_wait(struct reader *r)
{
	int status;

	(void)close(r->to);
	(void)close(r->from);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	return (status);
}

static void
test_reader_sees_writer(void **state)
{
	struct reader r = reader_start();
	struct shm_map *m;

	(void)state;
	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_OK);
	assert_int_equal(ask(&r, 'b'), '-');
	(void)put(m, "relays/a", "1");
	assert_int_equal(ask(&r, 'e'), 'k');
	assert_int_equal(ask(&r, 'b'), '1');
	(void)put(m, "relays/a", "2");
	assert_int_equal(ask(&r, 'e'), 'k');
	assert_int_equal(ask(&r, 'b'), '2');
	assert_int_equal(ask(&r, 'e'), 'k');
	assert_int_equal(reader_wait(&r), 0);
	shm_map_close(&m);
}

/* kill -9 inside a transaction: its snapshot must not pin pages for ever. */
static void
test_dead_reader_pins_nothing(void **state)
{
	struct reader r = reader_start();
	char value[3000];
	struct shm_map *m;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(shm_map_open_sized(folder, SHM_WRITER, 256 << 10, &m),
	    RC_OK);
	(void)put(m, "relays/a", value);
	assert_int_equal(ask(&r, 'b'), 'v');
	assert_int_equal(kill(r.pid, SIGKILL), 0);
	assert_true(WIFSIGNALED(reader_wait(&r)));
	for (int i = 0; i < 200; i++)
		(void)put(m, "relays/a", value);
	shm_map_close(&m);
}

static void
test_full_map_keeps_what_it_has(void **state)
{
	static char value[20000];
	struct shm_record r;
	struct shm_map *m;
	uint64_t epoch;
	char key[32];
	enum rc rc = RC_OK;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	assert_int_equal(shm_map_open_sized(folder, SHM_WRITER, 256 << 10, &m),
	    RC_OK);
	(void)put(m, "relays/a", "kept");
	assert_int_equal(shm_map_write_begin(m), RC_OK);
	for (int i = 0; i < 20 && rc == RC_OK; i++) {
		(void)snprintf(key, sizeof(key), "relays/big%d", i);
		rc = shm_map_put(m, key, SHM_KIND_RELAY, text(value));
	}
	assert_int_equal(rc, RC_LIMIT);
	shm_map_write_abort(m);
	assert_int_equal(shm_map_begin(m, &epoch), RC_OK);
	assert_int_equal(shm_map_get(m, "relays/a", &r), RC_OK);
	assert_true(span_eq(r.payload, SPAN_LIT("kept")));
	shm_map_end(m);
	(void)put(m, "relays/a", "still writable");
	shm_map_close(&m);
}

struct count {
	unsigned	good, damaged;
};

static bool
count_record(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	struct count *n = arg;

	assert_memory_equal(key, "relays/host", 11);
	if (rc == RC_OK)
		n->good++;
	else
		n->damaged++;
	assert_true(rc == RC_OK ? r->payload.len > 0 : r->payload.len == 0);
	return (true);
}

static int
verify_main(void)
{
	struct count n = { 0, 0 };
	struct shm_map *m;
	uint64_t epoch;
	enum rc rc;

	if (shm_map_open(folder, SHM_READER, &m) != RC_OK)
		return (1);
	if ((rc = shm_map_begin(m, &epoch)) == RC_OK) {
		rc = shm_map_verify(m, count_record, &n);
		shm_map_end(m);
	}
	shm_map_close(&m);
	if (rc != RC_OK || n.good + n.damaged != 50)
		return (1);
	return (n.damaged == 0 ? 0 : 2);
}

/* In a child, as the feed does it: 'c' corrupt, 'o' ok, 'r' records are, 'd'
 * died. */
static char
verify(void)
{
	int status;
	pid_t pid;

	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		/* The sanitizer would make SIGBUS an exit. */
		(void)signal(SIGBUS, SIG_DFL);
		(void)signal(SIGSEGV, SIG_DFL);
		_exit(verify_main());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		return ('d');
	return (WEXITSTATUS(status) == 0 ? 'o' :
	    WEXITSTATUS(status) == 2 ? 'r' : 'c');
}

static void
fill(void)
{
	struct shm_map *m;
	uint64_t epoch;
	char key[32];

	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_OK);
	assert_int_equal(shm_map_write_begin(m), RC_OK);
	for (int i = 0; i < 50; i++) {
		(void)snprintf(key, sizeof(key), "relays/host%02d.test", i);
		assert_int_equal(shm_map_put(m, key, SHM_KIND_RELAY,
		    text("{\"a relay\": \"of some length, so that pages fill\"}")),
		    RC_OK);
	}
	assert_int_equal(shm_map_write_commit(m, &epoch), RC_OK);
	shm_map_close(&m);
}

static int
open_data(off_t *size)
{
	char path[128];
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
	assert_true((fd = open(path, O_RDWR | O_CLOEXEC)) >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*size = st.st_size;
	return (fd);
}

static void
test_verify_finds_damage(void **state)
{
	char page[4096], good[4096];
	unsigned found = 0, records = 0;
	char said;
	off_t size;
	int fd;

	(void)state;
	fill();
	assert_int_equal(verify(), 'o');
	fd = open_data(&size);
	/* Each data page in turn with one flipped byte in its records: they
	 * lie at the end of a page. */
	for (off_t at = 2 * 4096; at + 4096 <= size; at += 4096) {
		assert_int_equal(pread(fd, good, sizeof(good), at), 4096);
		memcpy(page, good, sizeof(page));
		page[4080] ^= 1;
		assert_int_equal(pwrite(fd, page, sizeof(page), at), 4096);
		said = verify();
		found += said != 'o';
		records += said == 'r';
		assert_int_equal(pwrite(fd, good, sizeof(good), at), 4096);
	}
	assert_in_range(found, 2, 8);	/* pages in use; free ones do not count */
	assert_in_range(records, 1, found);	/* the file can be used */
	assert_int_equal(verify(), 'o');
	assert_int_equal(ftruncate(fd, 3 * 4096), 0);
	assert_int_not_equal(verify(), 'o');
	(void)close(fd);
}

/* ---- salvage ---------------------------------------------------------------------- */

static bool
send_key(void *arg, const char *key, enum rc rc, const struct shm_record *r)
{
	(void)r;
	assert_int_equal(rc, RC_OK);
	return (write(*(int *)arg, key, 32) == 32);
}

/* The keys that can be read, each in 32 bytes; *complete: all of them. */
static unsigned
salvage(bool backward, char keys[64][32], bool *complete)
{
	char path[128];
	unsigned n = 0;
	int fds[2], status;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/data.mdb", folder);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		(void)signal(SIGBUS, SIG_DFL);
		(void)signal(SIGSEGV, SIG_DFL);
		_exit(shm_map_salvage(path, backward, send_key, &fds[1]) ==
		    RC_OK ? 0 : 1);
	}
	(void)close(fds[1]);
	while (n < 64 && read(fds[0], keys[n], 32) == 32)
		n++;
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*complete = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return (n);
}

/* A page in the middle is gone: what is before it and what is behind it is
 * read, in two passes, and nothing twice. */
static void
test_salvage(void **state)
{
	static const char wrong[4096] = "wrong bytes";
	char there[64][32], back[64][32], good[4096];
	unsigned n, m, most = 0;
	bool complete;
	off_t size;
	int fd;

	(void)state;
	fill();
	assert_int_equal(salvage(false, there, &complete), 50);
	assert_true(complete);
	assert_string_equal(there[0], "relays/host00.test");
	assert_int_equal(salvage(true, back, &complete), 50);
	assert_true(complete);
	assert_string_equal(back[0], "relays/host49.test");
	fd = open_data(&size);
	for (off_t at = 2 * 4096; at + 4096 <= size; at += 4096) {
		assert_int_equal(pread(fd, good, sizeof(good), at), 4096);
		assert_int_equal(pwrite(fd, wrong, sizeof(wrong), at), 4096);
		n = salvage(false, there, &complete);
		if (!complete) {
			m = salvage(true, back, &complete);
			assert_false(complete);
			assert_true(n + m < 50);
			if (n > 0 && m > 0)
				assert_true(strcmp(there[n - 1],
				    back[m - 1]) < 0);
			most = n + m > most ? n + m : most;
		}
		assert_int_equal(pwrite(fd, good, sizeof(good), at), 4096);
	}
	assert_in_range(most, 20, 49);
	assert_int_equal(ftruncate(fd, 2 * 4096), 0);
	assert_int_equal(salvage(false, there, &complete), 0);
	assert_false(complete);
	(void)close(fd);
}

/* ---- no room ------------------------------------------------------------------------ */

/* A file size limit cuts writes short as a full disk does; one that is smaller
 * than what the map tries out is taken for one. */
static enum rc
commit_within(struct shm_map *m, rlim_t bytes)
{
	static char value[400000];
	struct rlimit before, limit;
	uint64_t epoch;
	enum rc rc;

	memset(value, 'v', sizeof(value) - 1);
	assert_int_equal(shm_map_write_begin(m), RC_OK);
	assert_int_equal(shm_map_put(m, "relays/big", SHM_KIND_RELAY,
	    text(value)), RC_OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	rc = shm_map_write_commit(m, &epoch);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	return (rc);
}

static void
test_no_room_is_no_fault_of_the_disk(void **state)
{
	struct shm_record r;
	struct shm_map *m;
	uint64_t epoch;
	char path[128];

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_OK);
	(void)put(m, "relays/a", "kept");
	assert_int_equal(commit_within(m, 40000), RC_LIMIT);
	assert_string_equal(shm_map_why(m), "No space left on device");
	assert_int_equal(commit_within(m, 200000), RC_IO);
	assert_int_equal(shm_map_begin(m, &epoch), RC_OK);
	assert_int_equal(shm_map_get(m, "relays/a", &r), RC_OK);
	assert_true(span_eq(r.payload, SPAN_LIT("kept")));
	assert_int_equal(shm_map_get(m, "relays/big", &r), RC_NOTFOUND);
	shm_map_end(m);
	assert_int_equal(commit_within(m, 1 << 20), RC_OK);
	(void)snprintf(path, sizeof(path), "%s/room", folder);
	assert_int_equal(access(path, F_OK), -1);
	shm_map_close(&m);
}

static void
test_foreign_file_is_no_map(void **state)
{
	struct shm_map *m;
	off_t size;
	int fd;

	(void)state;
	fill();
	fd = open_data(&size);
	assert_int_equal(pwrite(fd, "not a database at all", 21, 16), 21);
	(void)close(fd);
	assert_int_equal(shm_map_open(folder, SHM_READER, &m), RC_CORRUPT);
	assert_null(m);
	assert_int_equal(shm_map_open(folder, SHM_WRITER, &m), RC_CORRUPT);
	assert_null(m);
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_no_map_yet),
		T(test_modes_whatever_the_umask),
		T(test_folder_mode_is_kept),
		T(test_put_get_delete),
		T(test_each_by_prefix),
		T(test_reader_sees_writer),
		T(test_dead_reader_pins_nothing),
		T(test_full_map_keeps_what_it_has),
		T(test_verify_finds_damage),
		T(test_salvage),
		T(test_no_room_is_no_fault_of_the_disk),
		T(test_foreign_file_is_no_map),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
