/*
 * base/sandbox.c - system calls per role, as seccomp allow lists.
 *
 * Three answers exist.  What a list names is allowed.  Opening files, where a
 * profile has none, is refused with EACCES: glibc and OpenSSL probe for files
 * in odd moments (malloc reads /proc/sys/vm/overcommit_memory before it trims
 * a thread's heap, X509 lookups try a folder) and go on without them, so that
 * killing would end healthy processes.  All else ends the process.
 *
 * clone3 is refused with ENOSYS: its flags are behind a pointer that no
 * filter can read, and glibc then uses clone, whose flags we check.
 */
#include "lib/base/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/object.h"

/* A sanitizer's runtime opens, maps and traces as it likes. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED	1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED	1
#endif
#ifndef SANITIZED
#define SANITIZED	0
#endif

#ifndef PR_SET_VMA
#define PR_SET_VMA	0x53564d41	/* names anonymous mappings */
#endif

#define N(list)	(sizeof(list) / sizeof((list)[0]))

/* What every running role needs: its descriptors, memory, time, threads that
 * it has, and a way to die. */
static const int allow_all[] = {
	/* descriptors */
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv),
	SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close),
	SCMP_SYS(close_range), SCMP_SYS(lseek), SCMP_SYS(_llseek),
	SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(newfstatat),
	SCMP_SYS(fcntl), SCMP_SYS(fcntl64), SCMP_SYS(dup), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(pipe2), SCMP_SYS(eventfd2),
	SCMP_SYS(memfd_create), SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64),
	/* events */
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(poll),
	SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	/* sockets that exist */
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(recv),
	SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(send), SCMP_SYS(shutdown), SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	/* memory; mmap and mprotect are below */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(msync), SCMP_SYS(mlock), SCMP_SYS(mlock2),
	SCMP_SYS(munlock), SCMP_SYS(membarrier), SCMP_SYS(mincore),
	/* time and chance */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64),
	SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(getrandom), SCMP_SYS(times),
	/* threads and signals */
	SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(futex_waitv),
	SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list),
	SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity),
	SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_get_priority_max), SCMP_SYS(sched_get_priority_min),
	SCMP_SYS(getpriority), SCMP_SYS(getcpu),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigsuspend),
	SCMP_SYS(sigaltstack), SCMP_SYS(sigreturn),
	SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(arch_prctl),
	/* questions without consequence */
	SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getresuid), SCMP_SYS(getresgid),
	SCMP_SYS(getrlimit), SCMP_SYS(prlimit64), SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(capget),
	SCMP_SYS(umask),
};

/* Sockets of its own; socket() itself is below, by family. */
static const int allow_sockets[] = {
	SCMP_SYS(connect), SCMP_SYS(socketpair),
};

/* Files.  A filter cannot see paths: the role's user owns one folder. */
static const int allow_files[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(creat),
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx),
	SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(getcwd), SCMP_SYS(getdents64),
	SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(fsync),
	SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(fallocate),
	SCMP_SYS(truncate), SCMP_SYS(rename), SCMP_SYS(renameat),
	SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(chmod),
	SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(chown),
	SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(flock),
	SCMP_SYS(utimensat),
};

/* For profiles without files: "no", not the end. */
static const int refuse_files[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(stat),
	SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(getcwd), SCMP_SYS(statfs),
};

/* A child that reads a doubtful map, so that SIGBUS ends the child only. */
static const int allow_children[] = {
	SCMP_SYS(fork), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(waitpid),
};

static const unsigned socket_families[] = {
	AF_UNIX, AF_INET, AF_INET6, AF_VSOCK,
};

static const unsigned ioctls[] = {
	FIONREAD, FIONBIO, TIOCOUTQ, TCGETS,
};

static const unsigned prctls[] = {
	PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_SET_DUMPABLE,
	PR_GET_DUMPABLE, PR_CAPBSET_READ, PR_GET_SECCOMP,
};

static const struct profile {
	bool	sockets;
	bool	files;
	bool	children;
} profiles[] = {
	[SANDBOX_WORKER] = { .sockets = true },
	[SANDBOX_FEED] = { .sockets = true, .files = true, .children = true },
	[SANDBOX_ENGINE] = { .sockets = false },
	[SANDBOX_HELPER] = { .sockets = true, .files = true },
};

static int
add_list(scmp_filter_ctx f, uint32_t action, const int *list, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++)
		err = seccomp_rule_add(f, action, list[i], 0);
	return (err);
}

static struct scmp_arg_cmp
is_value(unsigned arg, scmp_datum_t value)
{
	return ((struct scmp_arg_cmp){ .arg = arg, .op = SCMP_CMP_EQ,
	    .datum_a = value });
}

/* The bits of mask are as in `bits`. */
static struct scmp_arg_cmp
has_bits(unsigned arg, scmp_datum_t mask, scmp_datum_t bits)
{
	return ((struct scmp_arg_cmp){ .arg = arg, .op = SCMP_CMP_MASKED_EQ,
	    .datum_a = mask, .datum_b = bits });
}

/* A call whose argument `arg` must be one of these. */
static int
add_values(scmp_filter_ctx f, int call, unsigned arg, const unsigned *values,
    size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1,
		    is_value(arg, values[i]));
	return (err);
}

/* What depends on arguments: memory that is never executable, threads of this
 * process, signals to itself, a priority of the calling thread's own. */
static int
add_checked(scmp_filter_ctx f)
{
	const struct scmp_arg_cmp no_exec = has_bits(2, PROT_EXEC, 0);
	int err;

	if ((err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	    no_exec)) != 0 ||
	    (err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	    no_exec)) != 0 ||
	    (err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    is_value(0, (scmp_datum_t)getpid()))) != 0 ||
	    (err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setpriority),
	    2, is_value(0, PRIO_PROCESS), is_value(1, 0))) != 0 ||
	    (err = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS),
	    SCMP_SYS(clone3), 0)) != 0 ||
	    (err = add_values(f, SCMP_SYS(ioctl), 1, ioctls, N(ioctls))) != 0)
		return (err);
	return (add_values(f, SCMP_SYS(prctl), 0, prctls, N(prctls)));
}

static int
add_clone(scmp_filter_ctx f, bool children)
{
	if (children)
		return (seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone),
		    0));
	return (seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	    has_bits(0, CLONE_THREAD, CLONE_THREAD)));
}

static int
add_sockets(scmp_filter_ctx f)
{
	int err = add_list(f, SCMP_ACT_ALLOW, allow_sockets,
	    N(allow_sockets));

	if (err != 0)
		return (err);
	return (add_values(f, SCMP_SYS(socket), 0, socket_families,
	    N(socket_families)));
}

static int
add_profile(scmp_filter_ctx f, const struct profile *p)
{
	int err;

	if ((err = add_list(f, SCMP_ACT_ALLOW, allow_all, N(allow_all))) != 0 ||
	    (err = add_checked(f)) != 0 ||
	    (err = add_clone(f, p->children)) != 0)
		return (err);
	if (p->sockets && (err = add_sockets(f)) != 0)
		return (err);
	if (p->children && (err = add_list(f, SCMP_ACT_ALLOW, allow_children,
	    N(allow_children))) != 0)
		return (err);
	if (p->files)
		return (add_list(f, SCMP_ACT_ALLOW, allow_files,
		    N(allow_files)));
	return (add_list(f, SCMP_ACT_ERRNO(EACCES), refuse_files,
	    N(refuse_files)));
}

/* All threads at once, no foreign call table, and a filter that is searched
 * rather than walked: it runs on every call. */
static int
set_attributes(scmp_filter_ctx f)
{
	int err;

	if ((err = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1)) != 0 ||
	    (err = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS)) != 0)
		return (err);
	return (seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2));
}

/* Level 3 of libseccomp's API is a kernel that can end a whole process. */
static bool
kernel_can(void)
{
	return (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 &&
	    seccomp_api_get() >= 3);
}

enum rc
sandbox_enter(enum sandbox_profile which)
{
	scmp_filter_ctx f;
	int err;

	ensure((size_t)which < N(profiles));
	if (SANITIZED || !kernel_can())
		return (RC_UNAVAILABLE);
	if ((f = seccomp_init(SCMP_ACT_KILL_PROCESS)) == NULL)
		return (RC_IO);
	if ((err = set_attributes(f)) == 0 &&
	    (err = add_profile(f, &profiles[which])) == 0)
		err = seccomp_load(f);
	seccomp_release(f);
	return (err == 0 ? RC_OK : RC_IO);
}
