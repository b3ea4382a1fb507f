/* net/addr.c - socket addresses as text and back; no name is looked up. */
#include "lib/net/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/host.h"
#include "lib/base/string.h"

#define MAPPED_BITS	96	/* ::ffff:0:0/96 */

#define UNIX_PREFIX	"unix:"

static enum rc
parse_unix(const char *path, struct net_addr *out)
{
	struct sockaddr_un un;
	size_t len = strlen(path);

	/* Absolute: a daemon's working folder is nobody's business. */
	if (path[0] != '/' || len >= sizeof(un.sun_path))
		return (RC_SYNTAX);
	memset(&un, 0, sizeof(un));
	un.sun_family = AF_UNIX;
	memcpy(un.sun_path, path, len + 1);
	memcpy(&out->ss, &un, sizeof(un));
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
	    1);
	return (RC_OK);
}

/* Decimal, without sign or leading zero; 0 is "any port" to bind. */
static enum rc
parse_port(const char *text, uint16_t *out)
{
	uint64_t v;
	enum rc rc;

	if (text[0] == '0' && text[1] != '\0')
		return (RC_SYNTAX);
	if ((rc = string_u64(span_of(text), &v)) != RC_OK)
		return (rc);
	if (v > UINT16_MAX)
		return (RC_SYNTAX);
	*out = (uint16_t)v;
	return (RC_OK);
}

static enum rc
from_v6(const char *host, uint16_t port, struct net_addr *out)
{
	struct sockaddr_in6 in6;
	char text[INET6_ADDRSTRLEN];
	const char *scope = strchr(host, '%');
	size_t len = scope == NULL ? strlen(host) : (size_t)(scope - host);

	memset(&in6, 0, sizeof(in6));
	in6.sin6_family = AF_INET6;
	in6.sin6_port = htons(port);
	if (!span_copy((struct span){ host, len }, text, sizeof(text)) ||
	    inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
		return (RC_SYNTAX);
	if (scope != NULL &&
	    (in6.sin6_scope_id = if_nametoindex(scope + 1)) == 0)
		return (RC_SYNTAX);
	memcpy(&out->ss, &in6, sizeof(in6));
	out->len = sizeof(in6);
	return (RC_OK);
}

enum rc
net_addr_from_ip(const char *host, uint16_t port, struct net_addr *out)
{
	struct sockaddr_in in;

	memset(out, 0, sizeof(*out));
	memset(&in, 0, sizeof(in));
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return (from_v6(host, port, out));
	in.sin_family = AF_INET;
	in.sin_port = htons(port);
	memcpy(&out->ss, &in, sizeof(in));
	out->len = sizeof(in);
	return (RC_OK);
}

enum rc
net_addr_parse(const char *text, struct net_addr *out)
{
	char host[NET_ADDR_TEXT_BYTES];
	const char *colon, *from = text;
	uint16_t port;
	size_t len;
	bool v6;
	enum rc rc;

	memset(out, 0, sizeof(*out));
	if (strncmp(text, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0)
		return (parse_unix(text + sizeof(UNIX_PREFIX) - 1, out));
	if ((colon = strrchr(text, ':')) == NULL)
		return (RC_SYNTAX);
	if ((rc = parse_port(colon + 1, &port)) != RC_OK)
		return (rc);
	len = (size_t)(colon - text);
	v6 = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	if (v6) {
		from++;
		len -= 2;
	}
	if (!span_copy((struct span){ from, len }, host, sizeof(host)))
		return (RC_SYNTAX);
	if (strcmp(host, "*") == 0 && !v6)
		return (net_addr_from_ip("0.0.0.0", port, out));
	/* "::1:80" is ambiguous: IPv6 wants its brackets, IPv4 has none. */
	if (v6 != (strchr(host, ':') != NULL))
		return (RC_SYNTAX);
	return (net_addr_from_ip(host, port, out));
}

static void
format_v6(const struct net_addr *a, char out[NET_ADDR_TEXT_BYTES])
{
	struct sockaddr_in6 in6;
	char text[INET6_ADDRSTRLEN], scope[IF_NAMESIZE];

	memcpy(&in6, &a->ss, sizeof(in6));
	(void)inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
	if (in6.sin6_scope_id != 0 &&
	    if_indextoname(in6.sin6_scope_id, scope) != NULL)
		(void)snprintf(out, NET_ADDR_TEXT_BYTES, "[%s%%%s]:%u", text,
		    scope, ntohs(in6.sin6_port));
	else
		(void)snprintf(out, NET_ADDR_TEXT_BYTES, "[%s]:%u", text,
		    ntohs(in6.sin6_port));
}

void
net_addr_format(const struct net_addr *a, char out[NET_ADDR_TEXT_BYTES])
{
	char text[INET_ADDRSTRLEN];
	struct sockaddr_in in;
	struct sockaddr_un un;
	size_t len;

	switch (a->ss.ss_family) {
	case AF_INET:
		memcpy(&in, &a->ss, sizeof(in));
		(void)inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
		(void)snprintf(out, NET_ADDR_TEXT_BYTES, "%s:%u", text,
		    ntohs(in.sin_port));
		return;
	case AF_INET6:
		format_v6(a, out);
		return;
	case AF_UNIX:
		/* The kernel gives a path without NUL when it is full, and
		 * none at all for the unnamed end of a connection. */
		memcpy(&un, &a->ss, sizeof(un));
		len = a->len <= offsetof(struct sockaddr_un, sun_path) ? 0 :
		    strnlen(un.sun_path, sizeof(un.sun_path));
		(void)snprintf(out, NET_ADDR_TEXT_BYTES, "unix:%.*s",
		    (int)len, un.sun_path);
		return;
	}
	(void)snprintf(out, NET_ADDR_TEXT_BYTES, "unknown");
}

bool
net_addr_is_unix(const struct net_addr *a)
{
	return (a->ss.ss_family == AF_UNIX);
}

bool
net_addr_is_loopback(const struct net_addr *a)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	unsigned char first;

	if (a->ss.ss_family == AF_INET) {
		memcpy(&in, &a->ss, sizeof(in));
		return (ntohl(in.sin_addr.s_addr) >> 24 == 127);
	}
	if (a->ss.ss_family != AF_INET6)
		return (false);
	memcpy(&in6, &a->ss, sizeof(in6));
	/* ::ffff:127.x.y.z reaches the same sockets. */
	first = in6.sin6_addr.s6_addr[12];
	return (IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ||
	    (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && first == 127));
}

uint16_t
net_addr_port(const struct net_addr *a)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (a->ss.ss_family == AF_INET) {
		memcpy(&in, &a->ss, sizeof(in));
		return (ntohs(in.sin_port));
	}
	if (a->ss.ss_family == AF_INET6) {
		memcpy(&in6, &a->ss, sizeof(in6));
		return (ntohs(in6.sin6_port));
	}
	return (0);
}

/* Field by field: padding and flow labels do not make an address. */
bool
net_addr_equal(const struct net_addr *a, const struct net_addr *b)
{
	struct sockaddr_in6 x6, y6;
	struct sockaddr_in x, y;

	if (a->ss.ss_family != b->ss.ss_family)
		return (false);
	switch (a->ss.ss_family) {
	case AF_INET:
		memcpy(&x, &a->ss, sizeof(x));
		memcpy(&y, &b->ss, sizeof(y));
		return (x.sin_port == y.sin_port &&
		    x.sin_addr.s_addr == y.sin_addr.s_addr);
	case AF_INET6:
		memcpy(&x6, &a->ss, sizeof(x6));
		memcpy(&y6, &b->ss, sizeof(y6));
		return (x6.sin6_port == y6.sin6_port &&
		    x6.sin6_scope_id == y6.sin6_scope_id &&
		    memcmp(&x6.sin6_addr, &y6.sin6_addr,
		    sizeof(x6.sin6_addr)) == 0);
	}
	return (a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0);
}

/* ---- blocks -------------------------------------------------------------- */

/* One form for each address: a mapped one is the IPv4 address that it is. */
static bool
ip_of(const struct net_addr *a, struct net_cidr *out)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	memset(out, 0, sizeof(*out));
	out->family = a->ss.ss_family;
	if (out->family == AF_INET) {
		memcpy(&in, &a->ss, sizeof(in));
		memcpy(out->ip, &in.sin_addr, 4);
		out->bits = 32;
		return (true);
	}
	if (out->family != AF_INET6)
		return (false);
	memcpy(&in6, &a->ss, sizeof(in6));
	memcpy(out->ip, &in6.sin6_addr, 16);
	out->bits = 128;
	return (true);
}

static void
unmap(struct net_cidr *c)
{
	struct in6_addr in6;

	memcpy(&in6, c->ip, sizeof(in6));
	if (c->family != AF_INET6 || c->bits < MAPPED_BITS ||
	    !IN6_IS_ADDR_V4MAPPED(&in6))
		return;
	c->family = AF_INET;
	memmove(c->ip, c->ip + 12, 4);
	c->bits -= MAPPED_BITS;
}

enum rc
net_addr_ip(const struct net_addr *a, char out[NET_ADDR_IP_BYTES])
{
	struct net_cidr c;

	*out = '\0';
	if (!ip_of(a, &c))
		return (RC_SYNTAX);
	unmap(&c);
	return (inet_ntop(c.family, c.ip, out, NET_ADDR_IP_BYTES) != NULL ?
	    RC_OK : RC_SYNTAX);
}

enum rc
net_cidr_parse(const char *text, struct net_cidr *out)
{
	const char *slash = strchr(text, '/');
	struct span ip = { text, slash != NULL ? (size_t)(slash - text) :
	    strlen(text) };
	char host[HOST_BYTES];
	struct net_addr addr;
	uint64_t bits;

	memset(out, 0, sizeof(*out));
	if (host_canonical(ip, host) != RC_OK ||
	    net_addr_from_ip(host, 0, &addr) != RC_OK || !ip_of(&addr, out))
		return (RC_SYNTAX);
	if (slash != NULL) {
		if (string_u64(span_of(slash + 1), &bits) != RC_OK ||
		    bits > out->bits)
			return (RC_SYNTAX);
		out->bits = (unsigned)bits;
	}
	unmap(out);
	return (RC_OK);
}

bool
net_cidr_has(const struct net_cidr *c, const struct net_addr *addr)
{
	struct net_cidr ip;
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (!ip_of(addr, &ip))
		return (false);
	unmap(&ip);
	return (ip.family == c->family && memcmp(ip.ip, c->ip, whole) == 0 &&
	    (rest == 0 || (ip.ip[whole] ^ c->ip[whole]) >> (8 - rest) == 0));
}
