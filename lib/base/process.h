/*
 * base/process.h - what this process takes of the machine.
 * Context:   any process, also where no file may be opened.
 */
#ifndef RELAY_BASE_PROCESS_H
#define RELAY_BASE_PROCESS_H

#include <stdint.h>

struct process_use {
	uint64_t	cpu_ms;		/* of all threads, system calls too */
	uint64_t	memory_bytes;	/* resident; the most there was, unless
					   process_watch could open its file */
};

/* Once, before the sandbox: keep a descriptor that tells resident memory. */
void process_watch(void);
void process_use(struct process_use *);

#endif
