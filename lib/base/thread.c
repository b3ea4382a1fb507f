/* base/thread.c - start of a thread, and its place behind others. */
#include "lib/base/thread.h"

#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>

#include "lib/base/object.h"

bool
thread_start(pthread_t *id, void *(*main)(void *), void *arg)
{
	sigset_t all, old;
	bool ok;

	/* Signals are the loop thread's, but for those that a fault in the
	 * thread itself raises. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGILL);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGSYS);
	ensure(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
	ok = pthread_create(id, NULL, main, arg) == 0;
	ensure(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	return (ok);
}

/* On Linux the process 0 of setpriority is the calling thread alone; the
 * sandbox lets nobody name another. */
void
thread_nice(int nice)
{
	(void)setpriority(PRIO_PROCESS, 0, nice);
}
