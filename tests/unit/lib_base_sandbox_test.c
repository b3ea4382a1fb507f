/*
 * tests/unit/lib_base_sandbox_test.c - each profile lets a healthy role live
 * and ends one that tries more.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/sandbox.h"
#include "lib/base/secret.h"
#include "lib/base/thread.h"
#include "lib/net/dns.h"
#include "tests/unit/lib_net_pair.h"

#define N_PROFILES	4

static struct test_cert *ca, *leaf;
static SSL_CTX *server_ctx, *client_ctx;
static struct pair pair;
static struct net_dns *dns;
static char dir[64];

static bool
server_got(struct pair *p)
{
	return (buffer_len(&p->server.got) >= 100000);
}

/* Allocates in an arena of its own and gives it back: glibc then trims the
 * thread's heap, for which it reads a file. */
static void *
busy_thread(void *arg)
{
	void *big[64];

	(void)arg;
	errno = 0;
	thread_nice(3);
	ensure(getpriority(PRIO_PROCESS, 0) >= 3 && errno == 0);
	for (size_t i = 0; i < 64; i++)
		big[i] = xcalloc(1, 100000);
	for (size_t i = 64; i-- != 0;)
		free(big[i]);
	random_thread_end();
	return (NULL);
}

static void
do_threads(void)
{
	pthread_t th[4];

	for (size_t i = 0; i < 4; i++)
		ensure(pthread_create(&th[i], NULL, busy_thread, NULL) == 0);
	for (size_t i = 0; i < 4; i++)
		ensure(pthread_join(th[i], NULL) == 0);
}

static void
ignore(int sig)
{
	(void)sig;
}

/* What every role does all day. */
static void
do_common(void)
{
	struct timespec ts = { 0, 1000 };
	struct rlimit limit;
	time_t now = time(NULL);
	struct tm tm;
	char junk[100];
	void *p;
	int fd;

	end_send_pattern(&pair.client, 100000);
	pair_until(&pair, server_got);
	ensure(end_got_pattern(&pair.server, 100000));
	do_threads();
	log_info("still alive");
	ensure(localtime_r(&now, &tm) != NULL);
	ensure(nanosleep(&ts, NULL) == 0);
	random_bytes(junk, sizeof(junk));
	ensure(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	ensure((fd = fd_memory("x", "y", 1)) >= 0);
	fd_close(&fd);
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ensure(p != MAP_FAILED);
	secret_nodump(p, 1 << 20);
	ensure(mprotect(p, 4096, PROT_READ) == 0);
	ensure(munmap(p, 1 << 20) == 0);
	free(xrealloc(xcalloc(1, 200000), 900000));
	ensure(signal(SIGUSR1, ignore) != SIG_ERR);
	ensure(raise(SIGUSR1) == 0);
	ensure(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	secret_no_core();
}

static void
on_name(void *arg, enum rc rc, const struct net_addr *addrs, size_t n)
{
	struct end *e = arg;

	(void)rc;
	(void)addrs;
	(void)n;
	e->eof++;
}

static void
do_sockets(void)
{
	struct net_stream_connect c = { .ctx = client_ctx,
		.server_name = "a.test" };
	struct net_addr addr;
	struct end e;

	/* Nobody is there: what counts is that we may try. */
	ensure(net_addr_parse("127.0.0.1:1", &addr) == RC_OK);
	c.addr = &addr;
	end_init(&e);
	e.s = net_stream_connect(pair.loop, &c, &end_ops, &e);
	(void)net_dns_resolve(dns, "name.test", 1, on_name, &e);
	while (e.errors == 0 || e.eof == 0)
		loop_turn(pair.loop, true);
	end_fini(&e);
}

static void
do_files(void)
{
	struct buffer b;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/f", dir);
	buffer_init(&b, 0, false);
	ensure(file_write_atomic(path, "one", 3, 0600) == RC_OK);
	ensure(file_create(path, "two", 3, 0600) == RC_EXISTS);
	ensure(file_read(path, &b) == RC_OK);
	ensure(unlink(path) == 0);
	buffer_fini(&b);
}

static void
do_open_refused(void)
{
	errno = 0;
	ensure(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
	ensure(access("/etc/passwd", R_OK) < 0 && errno == EACCES);
}

static void
do_fork(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	ensure(waitpid(pid, &status, 0) == pid && status == 0);
}

static void
do_socket(void)
{
	(void)socket(AF_INET, SOCK_STREAM, 0);
}

static void
do_unix_socket(void)
{
	(void)socket(AF_UNIX, SOCK_STREAM, 0);
}

static void
do_netlink(void)
{
	(void)socket(AF_NETLINK, SOCK_RAW, 0);
}

static void
do_connect(void)
{
	(void)connect(0, NULL, 0);
}

static void
do_listen(void)
{
	(void)listen(0, 1);
}

static void
do_exec(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
}

static void
do_ptrace(void)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void
do_mount(void)
{
	(void)mount("none", "/nowhere", "tmpfs", 0, NULL);
}

static void
do_bpf(void)
{
	(void)syscall(SYS_bpf, 0, NULL, 0);
}

static void
do_kexec(void)
{
	(void)syscall(SYS_kexec_load, 0, 0, NULL, 0);
}

static void
do_kill_other(void)
{
	(void)syscall(SYS_tgkill, 1, 1, 0);
}

static void
do_nice_other(void)
{
	(void)setpriority(PRIO_PROCESS, (id_t)getpid(), 10);
}

static void
do_nice_user(void)
{
	(void)setpriority(PRIO_USER, 0, 10);
}

static void
do_exec_page(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void
do_setuid(void)
{
	(void)syscall(SYS_setuid, 0);
}

static void
do_process_vm(void)
{
	(void)syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0);
}

/* How a process ends that enters the profile and does this. */
static int
in_profile(enum sandbox_profile profile, void (*act)(void))
{
	struct rlimit none = { 0, 0 };
	int status;
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSYS, SIG_DFL);
		signal(SIGABRT, SIG_DFL);
		pair_open(&pair, MEDIUM_TCP, server_ctx, client_ctx, "a.test",
		    0, true);
		dns = net_dns_new(pair.loop, "127.0.0.1:1");
		ensure(sandbox_enter(profile) == RC_OK);
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return (status);
}

static bool
available(void)
{
	int status;
	pid_t pid;

	if ((pid = fork()) == 0)
		_exit(sandbox_enter(SANDBOX_WORKER) == RC_OK ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return (status == 0);
}

static void
skip_without(void)
{
	if (available())
		return;
	print_message("skip: no seccomp here, or built with a sanitizer\n");
	skip();
}

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/relay-sandbox-XXXXXX");
	ca = test_ca_new("ca");
	leaf = test_leaf_new(ca, "leaf", "DNS:a.test", 3600);
	server_ctx = test_server_ctx(leaf, TLS1_3_VERSION);
	client_ctx = test_client_ctx(ca, TLS1_3_VERSION);
	return (mkdtemp(dir) == NULL);
}

static int
teardown(void **state)
{
	(void)state;
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	test_cert_free(&ca);
	test_cert_free(&leaf);
	return (rmdir(dir));
}

static void
test_healthy(void **state)
{
	static const struct {
		enum sandbox_profile	profile;
		void			(*act)(void);
	} cases[] = {
		{ SANDBOX_WORKER, do_common }, { SANDBOX_FEED, do_common },
		{ SANDBOX_ENGINE, do_common }, { SANDBOX_HELPER, do_common },
		{ SANDBOX_WORKER, do_sockets }, { SANDBOX_FEED, do_sockets },
		{ SANDBOX_HELPER, do_sockets }, { SANDBOX_FEED, do_files },
		{ SANDBOX_HELPER, do_files }, { SANDBOX_FEED, do_fork },
		{ SANDBOX_WORKER, do_open_refused },
		{ SANDBOX_ENGINE, do_open_refused },
	};

	(void)state;
	skip_without();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = in_profile(cases[i].profile, cases[i].act);

		if (status != 0)
			fail_msg("case %zu: signal %d", i,
			    WTERMSIG(status));
	}
}

static void
test_ended(void **state)
{
	static const struct {
		void		(*act)(void);
		unsigned	profiles;	/* bits; 0: all */
	} cases[] = {
		{ do_exec, 0 }, { do_ptrace, 0 }, { do_mount, 0 },
		{ do_bpf, 0 }, { do_kexec, 0 }, { do_kill_other, 0 },
		{ do_exec_page, 0 }, { do_setuid, 0 }, { do_netlink, 0 },
		{ do_process_vm, 0 }, { do_listen, 0 },
		{ do_nice_other, 0 }, { do_nice_user, 0 },
		{ do_socket, 1 << SANDBOX_ENGINE },
		{ do_unix_socket, 1 << SANDBOX_ENGINE },
		{ do_connect, 1 << SANDBOX_ENGINE },
		{ do_fork, 1 << SANDBOX_ENGINE | 1 << SANDBOX_WORKER |
		    1 << SANDBOX_HELPER },
	};

	(void)state;
	skip_without();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned p = 0; p < N_PROFILES; p++) {
			int status;

			if (cases[i].profiles != 0 &&
			    (cases[i].profiles & 1u << p) == 0)
				continue;
			status = in_profile((enum sandbox_profile)p,
			    cases[i].act);
			if (!WIFSIGNALED(status) ||
			    WTERMSIG(status) != SIGSYS)
				fail_msg("case %zu profile %u: status %x", i,
				    p, (unsigned)status);
		}
	}
}

/* A bug of ours still ends as itself, so that the master reads its words. */
static void
test_abort_is_abort(void **state)
{
	(void)state;
	skip_without();
	for (unsigned p = 0; p < N_PROFILES; p++) {
		int status = in_profile((enum sandbox_profile)p, abort);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healthy),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_abort_is_abort),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(60);
	return (cmocka_run_group_tests(tests, setup, teardown));
}
