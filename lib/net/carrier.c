/* net/carrier.c - the inner TLS reads and writes through the outer stream. */
#include "lib/net/carrier_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "lib/base/object.h"

/* What the outer stream had queued goes out in pieces of one record. */
#define REST_WRITE_BYTES	16384

struct net_carrier {
	unsigned		magic;
#define NET_CARRIER_MAGIC	0x58d2c0e7
	struct net_transport	outer;		/* owned */
	struct buffer		in;		/* sensitive; first to be read */
	struct buffer		out;		/* sensitive; first to be sent */
	size_t			retry_len;	/* see net_carrier_new */
	bool			eof;		/* of the outer one, orderly */
	bool			broke;
	struct net_fault	fault;		/* if broke */
};

/* ---- the BIO ------------------------------------------------------------- */

/*
 * While it tells its peer why it fails, the inner SSL has its reason in the
 * error queue of the thread already; the outer one must neither take it for
 * its own nor clear it.  The oldest entry is the one that is asked for later.
 */
static unsigned long
errors_aside(void)
{
	unsigned long oldest = ERR_peek_error();

	if (oldest != 0)
		ERR_clear_error();
	return (oldest);
}

static void
errors_back(unsigned long oldest)
{
	if (oldest != 0)
		ERR_raise(ERR_GET_LIB(oldest), ERR_GET_REASON(oldest));
}

/* 1, or 0 with the BIO's flags telling what the socket must be able to do:
 * SSL_get_error() of the inner SSL reads them. */
static int
bio_step(BIO *bio, struct net_carrier *c, enum net_step step)
{
	switch (step) {
	case NET_STEP_DONE:
		return (1);
	case NET_STEP_WANT_READ:
		BIO_set_retry_read(bio);
		break;
	case NET_STEP_WANT_WRITE:
		BIO_set_retry_write(bio);
		break;
	case NET_STEP_EOF:
		c->eof = true;
		break;
	case NET_STEP_FAILED:
		c->broke = true;
		break;
	}
	return (0);
}

static size_t
read_early(struct net_carrier *c, char *out, size_t size)
{
	size_t n = buffer_len(&c->in);

	if (n > size)
		n = size;
	memcpy(out, buffer_data(&c->in), n);
	buffer_consume(&c->in, n);
	if (buffer_len(&c->in) == 0)
		buffer_fini(&c->in);
	return (n);
}

static int
on_read(BIO *bio, char *out, size_t size, size_t *n)
{
	struct net_carrier *c = BIO_get_data(bio);
	unsigned long oldest;
	enum net_step step;

	obj_check(c, NET_CARRIER_MAGIC);
	BIO_clear_retry_flags(bio);
	if (buffer_len(&c->in) != 0) {
		*n = read_early(c, out, size);
		return (1);
	}
	oldest = errors_aside();
	step = net_transport_read(&c->outer, out, size, n, &c->fault);
	errors_back(oldest);
	return (bio_step(bio, c, step));
}

/* An SSL that could not write all repeats it with the bytes that it keeps for
 * that, so that the outer SSL sees them again too. */
static int
on_write(BIO *bio, const char *data, size_t len, size_t *n)
{
	struct net_carrier *c = BIO_get_data(bio);
	unsigned long oldest;
	enum net_step step;

	obj_check(c, NET_CARRIER_MAGIC);
	ensure(buffer_len(&c->out) == 0);	/* it was to go first */
	BIO_clear_retry_flags(bio);
	oldest = errors_aside();
	step = net_transport_write(&c->outer, data, len, n, &c->fault);
	errors_back(oldest);
	return (bio_step(bio, c, step));
}

static long
on_ctrl(BIO *bio, int what, long arg, void *ptr)
{
	struct net_carrier *c = BIO_get_data(bio);

	(void)arg;
	(void)ptr;
	switch (what) {
	case BIO_CTRL_FLUSH:
		return (1);		/* nothing stays here */
	case BIO_CTRL_EOF:
		return (c->eof ? 1 : 0);
	}
	return (0);
}

static BIO_METHOD *method;	/* for the life of the process */

static void
make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() |
	    BIO_TYPE_SOURCE_SINK, "carrier");

	if (m == NULL)
		return;
	if (BIO_meth_set_read_ex(m, on_read) == 1 &&
	    BIO_meth_set_write_ex(m, on_write) == 1 &&
	    BIO_meth_set_ctrl(m, on_ctrl) == 1)
		method = m;
	else
		BIO_meth_free(m);
}

BIO *
net_carrier_bio(struct net_carrier *c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	obj_check(c, NET_CARRIER_MAGIC);
	(void)pthread_once(&once, make_method);
	if (method == NULL || (bio = BIO_new(method)) == NULL)
		return (NULL);
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	return (bio);
}

/* ---- the object ---------------------------------------------------------- */

struct net_carrier *
net_carrier_new(struct net_transport *outer, struct buffer *in,
    struct buffer *out, size_t retry_len)
{
	struct net_carrier *c = xcalloc(1, sizeof(*c));

	c->magic = NET_CARRIER_MAGIC;
	c->outer = *outer;
	*outer = (struct net_transport){ .fd = -1 };
	buffer_init(&c->in, 0, true);
	buffer_init(&c->out, 0, true);
	buffer_move(&c->in, in);
	buffer_move(&c->out, out);
	c->retry_len = retry_len;
	return (c);
}

void
net_carrier_free(struct net_carrier **cp)
{
	struct net_carrier *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	obj_check(c, NET_CARRIER_MAGIC);
	net_transport_close(&c->outer);
	buffer_fini(&c->in);
	buffer_fini(&c->out);
	c->magic = 0;
	free(c);
}

struct net_transport *
net_carrier_outer(struct net_carrier *c)
{
	obj_check(c, NET_CARRIER_MAGIC);
	return (&c->outer);
}

enum net_step
net_carrier_send_rest(struct net_carrier *c, size_t *n, struct net_fault *f)
{
	enum net_step step;
	size_t len, put;

	obj_check(c, NET_CARRIER_MAGIC);
	*n = 0;
	while ((len = buffer_len(&c->out)) != 0) {
		if (c->retry_len != 0)
			len = c->retry_len;
		else if (len > REST_WRITE_BYTES)
			len = REST_WRITE_BYTES;
		step = net_transport_write(&c->outer, buffer_data(&c->out),
		    len, &put, f);
		c->retry_len = step == NET_STEP_DONE || c->outer.ssl == NULL ?
		    0 : len;
		if (step != NET_STEP_DONE)
			return (step);
		buffer_consume(&c->out, put);
		*n += put;
	}
	buffer_fini(&c->out);
	return (NET_STEP_DONE);
}

size_t
net_carrier_unsent(const struct net_carrier *c)
{
	obj_check(c, NET_CARRIER_MAGIC);
	return (buffer_len(&c->out));
}

bool
net_carrier_has_inside(const struct net_carrier *c)
{
	obj_check(c, NET_CARRIER_MAGIC);
	return (buffer_len(&c->in) != 0 || net_transport_has_inside(&c->outer));
}

void
net_carrier_before(struct net_carrier *c)
{
	obj_check(c, NET_CARRIER_MAGIC);
	c->broke = false;
}

bool
net_carrier_broke(const struct net_carrier *c, struct net_fault *f)
{
	obj_check(c, NET_CARRIER_MAGIC);
	if (c->broke)
		*f = c->fault;
	return (c->broke);
}
