/*
 * base/thread.h - threads beside the loop's.
 * Context:   any thread.
 */
#ifndef RELAY_BASE_THREAD_H
#define RELAY_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* A thread that gets no signal meant for the process. */
bool thread_start(pthread_t *, void *(*main)(void *), void *arg);

/* The calling thread runs after others: a nice value of its own, above the
 * process's.  Best effort. */
void thread_nice(int nice);

#endif
