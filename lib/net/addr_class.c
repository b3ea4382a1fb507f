/*
 * net/addr_class.c - what an address is for: two tables of blocks, and the
 * IPv6 forms that carry an IPv4 address.  Declared in addr.h.
 */
#include "lib/net/addr.h"

#include <netinet/in.h>
#include <string.h>

struct block {
	unsigned char		ip[16];		/* AF_INET: the first 4 */
	unsigned char		bits;
	enum net_addr_class	class;
};

/* The first that fits counts. */
static const struct block v4_blocks[] = {
	{ { 0 }, 8, NET_ADDR_THIS_HOST },
	{ { 10 }, 8, NET_ADDR_PRIVATE },
	{ { 100, 64 }, 10, NET_ADDR_SHARED },
	{ { 127 }, 8, NET_ADDR_LOOPBACK },
	{ { 169, 254 }, 16, NET_ADDR_LINK_LOCAL },
	{ { 172, 16 }, 12, NET_ADDR_PRIVATE },
	{ { 192, 0, 0 }, 24, NET_ADDR_RESERVED },
	{ { 192, 0, 2 }, 24, NET_ADDR_DOCUMENTATION },
	{ { 192, 88, 99 }, 24, NET_ADDR_RESERVED },	/* RFC 7526 */
	{ { 192, 168 }, 16, NET_ADDR_PRIVATE },
	{ { 198, 18 }, 15, NET_ADDR_BENCHMARK },
	{ { 198, 51, 100 }, 24, NET_ADDR_DOCUMENTATION },
	{ { 203, 0, 113 }, 24, NET_ADDR_DOCUMENTATION },
	{ { 224 }, 4, NET_ADDR_MULTICAST },
	{ { 255, 255, 255, 255 }, 32, NET_ADDR_BROADCAST },
	{ { 240 }, 4, NET_ADDR_RESERVED },
};

static const struct block v6_blocks[] = {
	{ { 0 }, 128, NET_ADDR_THIS_HOST },
	{ { [15] = 1 }, 128, NET_ADDR_LOOPBACK },
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, NET_ADDR_RESERVED },
	{ { 0x20, 1, 0, 2 }, 48, NET_ADDR_BENCHMARK },
	{ { 0x20, 1, 0, 0x10 }, 28, NET_ADDR_RESERVED },	/* ORCHID */
	{ { 0x20, 1, 0, 0x20 }, 28, NET_ADDR_RESERVED },	/* its second */
	{ { 0x20, 1, 0x0d, 0xb8 }, 32, NET_ADDR_DOCUMENTATION },
	{ { 0x3f, 0xff }, 20, NET_ADDR_DOCUMENTATION },	/* RFC 9637 */
	{ { 0xfc }, 7, NET_ADDR_UNIQUE_LOCAL },
	{ { 0xfe, 0x80 }, 10, NET_ADDR_LINK_LOCAL },
	{ { 0xfe, 0xc0 }, 10, NET_ADDR_SITE_LOCAL },
	{ { 0xff }, 8, NET_ADDR_MULTICAST },
};

/* IPv6 forms with an IPv4 address in them. */
struct carries {
	unsigned char	ip[16];
	unsigned char	bits;
	unsigned char	at;		/* where the four bytes are */
	unsigned char	flip;		/* what they are xored with */
};

static const struct carries carriers[] = {
	{ { [10] = 0xff, 0xff }, 96, 12, 0 },		/* mapped */
	{ { [8] = 0xff, 0xff }, 96, 12, 0 },		/* RFC 2765 */
	{ { 0 }, 96, 12, 0 },				/* compatible */
	{ { 0, 0x64, 0xff, 0x9b }, 96, 12, 0 },		/* NAT64, RFC 6052 */
	{ { 0x20, 2 }, 16, 2, 0 },			/* 6to4, RFC 3056 */
	{ { 0x20, 1, 0, 0 }, 32, 12, 0xff },		/* Teredo, RFC 4380:
							   the client */
	{ { 0x20, 1, 0, 0 }, 32, 4, 0 },		/* and its server */
};

static bool
in_block(const unsigned char *ip, const unsigned char *block, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return (memcmp(ip, block, whole) == 0 &&
	    (rest == 0 || (ip[whole] ^ block[whole]) >> (8 - rest) == 0));
}

static enum net_addr_class
look_up(const unsigned char *ip, const struct block *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (in_block(ip, blocks[i].ip, blocks[i].bits))
			return (blocks[i].class);
	return (NET_ADDR_PUBLIC);
}

static enum net_addr_class
classify_v4(const unsigned char ip[4])
{
	return (look_up(ip, v4_blocks,
	    sizeof(v4_blocks) / sizeof(v4_blocks[0])));
}

/* ISATAP (RFC 5214 6.1): any prefix, then 0000:5efe or 0200:5efe. */
static bool
is_isatap(const unsigned char ip[16])
{
	return ((ip[8] & 0xfd) == 0 && ip[9] == 0 && ip[10] == 0x5e &&
	    ip[11] == 0xfe);
}

/* Global unicast is 2000::/3 (RFC 4291 2.4, and IANA's register of what of the
 * rest was given away: nothing). */
static bool
is_global_unicast(const unsigned char ip[16])
{
	return (ip[0] >> 5 == 1);
}

static enum net_addr_class
classify_inner(const unsigned char ip[16])
{
	enum net_addr_class class;
	unsigned char v4[4];
	bool any = false;

	for (size_t i = 0; i < sizeof(carriers) / sizeof(carriers[0]); i++) {
		const struct carries *c = &carriers[i];

		if (!in_block(ip, c->ip, c->bits))
			continue;
		for (unsigned j = 0; j < 4; j++)
			v4[j] = ip[c->at + j] ^ c->flip;
		if ((class = classify_v4(v4)) != NET_ADDR_PUBLIC)
			return (class);
		any = true;
	}
	if (!any && !is_global_unicast(ip))
		return (NET_ADDR_RESERVED);
	return (is_isatap(ip) ? classify_v4(ip + 12) : NET_ADDR_PUBLIC);
}

static enum net_addr_class
classify_v6(const unsigned char ip[16])
{
	enum net_addr_class class = look_up(ip, v6_blocks,
	    sizeof(v6_blocks) / sizeof(v6_blocks[0]));

	return (class != NET_ADDR_PUBLIC ? class : classify_inner(ip));
}

enum net_addr_class
net_addr_classify(const struct net_addr *a)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	unsigned char v4[4];

	switch (a->ss.ss_family) {
	case AF_INET:
		memcpy(&in, &a->ss, sizeof(in));
		memcpy(v4, &in.sin_addr, sizeof(v4));
		return (classify_v4(v4));
	case AF_INET6:
		memcpy(&in6, &a->ss, sizeof(in6));
		return (classify_v6(in6.sin6_addr.s6_addr));
	case AF_UNIX:
		return (NET_ADDR_UNIX);
	}
	return (NET_ADDR_UNKNOWN);
}

const char *
net_addr_class_name(enum net_addr_class class)
{
	switch (class) {
	case NET_ADDR_PUBLIC:
		return ("public");
	case NET_ADDR_LOOPBACK:
		return ("loopback");
	case NET_ADDR_PRIVATE:
		return ("private");
	case NET_ADDR_SHARED:
		return ("shared");
	case NET_ADDR_LINK_LOCAL:
		return ("link-local");
	case NET_ADDR_UNIQUE_LOCAL:
		return ("unique-local");
	case NET_ADDR_SITE_LOCAL:
		return ("site-local");
	case NET_ADDR_MULTICAST:
		return ("multicast");
	case NET_ADDR_BROADCAST:
		return ("broadcast");
	case NET_ADDR_THIS_HOST:
		return ("this-host");
	case NET_ADDR_RESERVED:
		return ("reserved");
	case NET_ADDR_DOCUMENTATION:
		return ("documentation");
	case NET_ADDR_BENCHMARK:
		return ("benchmark");
	case NET_ADDR_UNIX:
		return ("unix");
	case NET_ADDR_UNKNOWN:
		break;
	}
	return ("unknown");
}
