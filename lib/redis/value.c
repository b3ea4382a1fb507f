/*
 * redis/value.c - replies as hiredis' reader builds them: struct redis_value
 * directly, an array's items in one allocation.
 */
#include "lib/redis/value_private.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/redis/client.h"

static void
value_fini(struct redis_value *v)
{
	/* Both were allocated here; the public struct shows them as const. */
	struct redis_value *items = (void *)(uintptr_t)v->items;

	for (size_t i = 0; i < v->n; i++)
		value_fini(&items[i]);
	free(items);
	free((void *)(uintptr_t)v->text.p);
}

void
redis_value_free(void *p)
{
	if (p == NULL)
		return;
	value_fini(p);
	free(p);
}

/* Where this object goes: its place in the array around it, or a new root. */
static struct redis_value *
value_slot(const redisReadTask *task)
{
	struct redis_value *parent;

	if (task->parent == NULL)
		return (calloc(1, sizeof(*parent)));
	parent = task->parent->obj;
	ensure(task->idx >= 0 && (size_t)task->idx < parent->n);
	return ((struct redis_value *)(uintptr_t)&parent->items[task->idx]);
}

static void *
value_string(const redisReadTask *task, char *text, size_t len)
{
	struct redis_value *v;
	char *copy;

	if ((copy = malloc(len + 1)) == NULL)
		return (NULL);
	if ((v = value_slot(task)) == NULL) {
		free(copy);
		return (NULL);
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	v->type = task->type == REDIS_REPLY_ERROR ? REDIS_ERROR :
	    task->type == REDIS_REPLY_STATUS ? REDIS_STATUS : REDIS_STRING;
	v->text.p = copy;
	v->text.len = len;
	return (v);
}

static void *
value_array(const redisReadTask *task, int elements)
{
	struct redis_value *v, *items = NULL;

	if (elements > 0 &&
	    (items = calloc((size_t)elements, sizeof(*items))) == NULL)
		return (NULL);
	if ((v = value_slot(task)) == NULL) {
		free(items);
		return (NULL);
	}
	v->type = REDIS_ARRAY;
	v->items = items;
	v->n = elements > 0 ? (size_t)elements : 0;
	return (v);
}

static void *
value_integer(const redisReadTask *task, long long n)
{
	struct redis_value *v = value_slot(task);

	if (v != NULL) {
		v->type = REDIS_INTEGER;
		v->integer = n;
	}
	return (v);
}

static void *
value_nil(const redisReadTask *task)
{
	return (value_slot(task));	/* zeroed: REDIS_NIL */
}

static redisReplyObjectFunctions value_functions = {
	.createString = value_string,
	.createArray = value_array,
	.createInteger = value_integer,
	.createNil = value_nil,
	.freeObject = redis_value_free,
};

redisReader *
redis_value_reader(void)
{
	redisReader *r = redisReaderCreateWithFunctions(&value_functions);

	ensure(r != NULL);
	return (r);
}

void
redis_value_error_code(const struct redis_value *v, char out[REDIS_CODE_BYTES])
{
	size_t n = 0;

	if (v != NULL && v->type == REDIS_ERROR)
		while (n < v->text.len && n < REDIS_CODE_BYTES - 1 &&
		    v->text.p[n] >= 'A' && v->text.p[n] <= 'Z') {
			out[n] = v->text.p[n];
			n++;
		}
	out[n] = '\0';
}

bool
redis_value_is_error(const struct redis_value *v, const char *code)
{
	char text[REDIS_CODE_BYTES];

	redis_value_error_code(v, text);
	return (v != NULL && v->type == REDIS_ERROR && strcmp(text, code) == 0);
}
