/*
 * RESP2 from a hostile server.  One piece or byte by byte gives the same
 * verdict.  Bytes that pass go through hiredis' reader with allocations
 * counted: what it is made to allocate stays within the limits.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "lib/base/object.h"
#include "lib/redis/reply_bounds.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static size_t elements;

static void *
on_string(const redisReadTask *task, char *text, size_t len)
{
	(void)task;
	(void)text;
	ensure(len <= REDIS_BULK_BYTES_MAX);
	return (&elements);
}

static void *
on_array(const redisReadTask *task, int n)
{
	if (task->parent == NULL)
		elements = 0;
	ensure(n >= 0);
	elements += (size_t)n;
	ensure(elements <= REDIS_ELEMENTS_MAX);
	return (&elements);
}

static void *
on_integer(const redisReadTask *task, long long n)
{
	(void)task;
	(void)n;
	return (&elements);
}

static void *
on_nil(const redisReadTask *task)
{
	(void)task;
	return (&elements);
}

static void
on_free(void *p)
{
	(void)p;
}

static redisReplyObjectFunctions functions = {
	.createString = on_string,
	.createArray = on_array,
	.createInteger = on_integer,
	.createNil = on_nil,
	.freeObject = on_free,
};

static enum rc
feed_bytes(const char *data, size_t size)
{
	struct redis_reply_bounds b;
	enum rc rc = RC_OK;

	redis_reply_bounds_init(&b);
	for (size_t i = 0; i < size && rc == RC_OK; i++)
		rc = redis_reply_bounds_feed(&b, data + i, 1);
	return (rc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redis_reply_bounds b;
	redisReader *reader;
	void *reply;
	enum rc rc;

	redis_reply_bounds_init(&b);
	rc = redis_reply_bounds_feed(&b, (const char *)data, size);
	ensure(rc == feed_bytes((const char *)data, size));
	if (rc != RC_OK)
		return (0);
	reader = redisReaderCreateWithFunctions(&functions);
	ensure(reader != NULL);
	ensure(redisReaderFeed(reader, (const char *)data, size) == REDIS_OK);
	do {
		reply = NULL;
	} while (redisReaderGetReply(reader, &reply) == REDIS_OK &&
	    reply != NULL);
	redisReaderFree(reader);
	return (0);
}
