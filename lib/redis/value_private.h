/*
 * redis/value_private.h - a reader that makes struct redis_value.
 * Context:   lib/redis only.
 * Ownership: the reader's replies are the caller's: redis_value_free.
 */
#ifndef RELAY_REDIS_VALUE_PRIVATE_H
#define RELAY_REDIS_VALUE_PRIVATE_H

#include <hiredis/hiredis.h>

/* Never NULL; redisReaderFree frees it. */
redisReader *redis_value_reader(void);

/* A whole reply; NULL is accepted. */
void redis_value_free(void *);

#endif
