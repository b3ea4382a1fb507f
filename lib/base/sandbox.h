/*
 * base/sandbox.h - what a role may still ask of the kernel once it runs.
 * Context:   each role calls it after start, before the first foreign byte.
 *
 * A profile is an allow list of system calls (libseccomp).  A call outside it
 * ends the process (SIGSYS; the master logs it).  Only opening files, where a
 * profile has none, is refused instead (EACCES): libraries probe for files and
 * go on without.  All threads of the process are covered, those to come too.
 *
 * After it: read files, load trust stores, start children and listen before.
 */
#ifndef RELAY_BASE_SANDBOX_H
#define RELAY_BASE_SANDBOX_H

#include "lib/base/result.h"

enum sandbox_profile {
	SANDBOX_WORKER,		/* sockets, no file opens, no exec */
	SANDBOX_FEED,		/* + files below its state folder */
	SANDBOX_ENGINE,		/* inherited sockets only: no socket(), no open */
	SANDBOX_HELPER		/* + files below its state folder, sockets */
};

/*
 * RC_OK           loaded
 * RC_UNAVAILABLE  this kernel or container has no seccomp: the caller logs
 *                 one warning and goes on
 * RC_IO           it should have worked: the caller refuses to start
 */
enum rc sandbox_enter(enum sandbox_profile) must_check;

#endif
