/*
 * base/list.h - intrusive lists: the system's <sys/queue.h>, with the safe
 * iteration that glibc leaves out.
 * Context:   pure.
 */
#ifndef RELAY_BASE_LIST_H
#define RELAY_BASE_LIST_H

#include <sys/queue.h>

#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)			\
	for ((var) = TAILQ_FIRST((head));				\
	    (var) != NULL && ((next) = TAILQ_NEXT((var), field), 1);	\
	    (var) = (next))
#endif

#endif
