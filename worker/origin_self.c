/* worker/origin_self.c - our own listeners, parsed once, and what else we are
 * made of. */
#include "worker/origin_self.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/object.h"

struct own {
	struct net_addr	addr;
	bool		any;		/* every address of this machine */
};

struct origin_self {
	struct own	*listens;	/* owned */
	size_t		n;
	origin_self_part_cb *is_part;	/* NULL: there are no others */
	void		*arg;		/* borrowed: whose is_part it is */
};

static bool
is_any(const struct net_addr *a)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (a->ss.ss_family == AF_INET) {
		memcpy(&in, &a->ss, sizeof(in));
		return (in.sin_addr.s_addr == htonl(INADDR_ANY));
	}
	memcpy(&in6, &a->ss, sizeof(in6));
	return (a->ss.ss_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr));
}

/* ::ffff:a.b.c.d reaches the sockets of a.b.c.d. */
static void
unmap(struct net_addr *a)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6;

	memcpy(&in6, &a->ss, sizeof(in6));
	if (a->ss.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return;
	in.sin_port = in6.sin6_port;
	memcpy(&in.sin_addr, in6.sin6_addr.s6_addr + 12, sizeof(in.sin_addr));
	memset(a, 0, sizeof(*a));
	memcpy(&a->ss, &in, sizeof(in));
	a->len = sizeof(in);
}

static void
set_port(struct net_addr *a, uint16_t port)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (a->ss.ss_family == AF_INET) {
		memcpy(&in, &a->ss, sizeof(in));
		in.sin_port = htons(port);
		memcpy(&a->ss, &in, sizeof(in));
	} else {
		memcpy(&in6, &a->ss, sizeof(in6));
		in6.sin6_port = htons(port);
		memcpy(&a->ss, &in6, sizeof(in6));
	}
}

/*
 * Does this address belong to this machine?  The kernel says so without a
 * packet: it would talk to an own address from that very address.  Interfaces
 * come and go, so no list is kept.  What connect() makes of the address
 * (0.0.0.0 is 127.0.0.1) replaces it.
 */
static bool
is_local(struct net_addr *a)
{
	struct net_addr from = { .len = sizeof(from.ss) };
	struct net_addr to = { .len = sizeof(to.ss) };
	uint16_t port = net_addr_port(a);
	bool known;
	int fd;

	if (net_addr_is_loopback(a))
		return (true);
	fd = socket(a->ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return (false);		/* connecting will fail as well */
	known = connect(fd, (struct sockaddr *)&a->ss, a->len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&from.ss, &from.len) == 0 &&
	    getpeername(fd, (struct sockaddr *)&to.ss, &to.len) == 0;
	(void)close(fd);
	if (!known)
		return (false);
	set_port(&from, port);
	set_port(&to, port);
	*a = to;
	return (net_addr_equal(&from, &to));
}

static bool
any_on_port(const struct origin_self *s, uint16_t port)
{
	for (size_t i = 0; i < s->n; i++)
		if (net_addr_port(&s->listens[i].addr) == port)
			return (true);
	return (false);
}

bool
origin_self_is(const struct origin_self *s, const struct net_addr *addr)
{
	struct net_addr a = *addr;
	bool local;

	unmap(&a);
	if (s->is_part != NULL && s->is_part(s->arg, &a))
		return (true);
	if (!any_on_port(s, net_addr_port(addr)))
		return (false);
	local = is_local(&a);
	for (size_t i = 0; i < s->n; i++) {
		const struct own *o = &s->listens[i];

		if (net_addr_equal(&o->addr, &a))
			return (true);
		if (local && o->any &&
		    o->addr.ss.ss_family == a.ss.ss_family &&
		    net_addr_port(&o->addr) == net_addr_port(&a))
			return (true);
	}
	return (false);
}

struct origin_self *
origin_self_new(const struct conf *conf)
{
	struct origin_self *s = xcalloc(1, sizeof(*s));

	s->listens = xcalloc(conf->n_listens + 1, sizeof(*s->listens));
	for (size_t i = 0; i < conf->n_listens; i++) {
		struct own *o = &s->listens[s->n];

		/* Checked when the file was read: it has this form. */
		if (net_addr_parse(conf->listens[i].address, &o->addr) != RC_OK)
			continue;
		unmap(&o->addr);
		o->any = is_any(&o->addr);
		s->n++;
	}
	return (s);
}

void
origin_self_set_parts(struct origin_self *s, origin_self_part_cb *is_part,
    void *arg)
{
	s->is_part = is_part;
	s->arg = arg;
}

void
origin_self_free(struct origin_self **sp)
{
	struct origin_self *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	free(s->listens);
	free(s);
}
