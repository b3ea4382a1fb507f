/* master/tickets.c - makes and rotates ticket keys; no TLS here. */
#include "master/tickets.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/object.h"
#include "lib/base/random.h"
#include "lib/base/secret.h"
#include "master/master.h"

#define KEY_BYTES	80	/* name, AES key, HMAC key: certs/ticket.h */
#define KEYS_MAX	4
#define ROTATE_MS	(6u * 3600 * 1000)

struct tickets {
	struct master	*master;	/* borrowed: owns us */
	unsigned char	keys[KEYS_MAX * KEY_BYTES];	/* newest first */
	size_t		n;
	int		fd;		/* owned */
	struct timer	timer;
};

static void
add_key(struct tickets *t)
{
	memmove(t->keys + KEY_BYTES, t->keys, sizeof(t->keys) - KEY_BYTES);
	random_bytes(t->keys, KEY_BYTES);
	if (t->n < KEYS_MAX)
		t->n++;
	fd_close(&t->fd);
	t->fd = fd_memory("tickets", t->keys, t->n * KEY_BYTES);
	if (t->fd < 0)
		log_error("ticket-keys failed why=memfd");
}

static void
on_rotate(void *arg)
{
	struct tickets *t = arg;

	add_key(t);
	if (t->fd >= 0)
		supervise_tell(&t->master->children, ROLE_WORKER, "tickets",
		    t->fd);
	log_info("ticket-keys rotated keys=%zu", t->n);
	timer_start_ms(&t->timer, ROTATE_MS);
}

struct tickets *
tickets_new(struct master *m)
{
	struct tickets *t = xcalloc(1, sizeof(*t));

	t->master = m;
	t->fd = -1;
	secret_nodump(t->keys, sizeof(t->keys));
	add_key(t);
	timer_init(&t->timer, m->loop, on_rotate, t);
	timer_start_ms(&t->timer, ROTATE_MS);
	return (t);
}

void
tickets_free(struct tickets **tp)
{
	struct tickets *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	timer_fini(&t->timer);
	fd_close(&t->fd);
	secret_wipe(t, sizeof(*t));
	free(t);
}

int
tickets_sample(void)
{
	unsigned char key[KEY_BYTES];
	int fd;

	random_bytes(key, sizeof(key));
	fd = fd_memory("tickets", key, sizeof(key));
	secret_wipe(key, sizeof(key));
	return (fd);
}

int
tickets_fd(const struct tickets *t)
{
	return (t->fd);
}
