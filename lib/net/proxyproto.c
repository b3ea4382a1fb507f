/*
 * net/proxyproto.c - a line of text (version 1) or a binary block (version 2)
 * in front of a connection: proxy-protocol.txt of HAProxy, sections 2.1, 2.2.
 *
 * Everything a header says is checked, also what we do not use: who writes a
 * broken one may be wrong about the client too.  What cannot become a header
 * is told at its first wrong byte, so that nobody waits for the rest; the
 * line of version 1 and the addresses of version 2 are read when whole.
 */
#include "lib/net/proxyproto.h"

#include <netinet/in.h>
#include <string.h>

#include "lib/base/string.h"

#define V1_BYTES_MAX	107	/* section 2.1: the longest line with its end */
#define V1_HOST_BYTES	40	/* "ffff:" eight times, and the NUL */

#define V2_FIXED_BYTES	16	/* signature, command, family, length */
#define V2_IPV4_BYTES	12	/* two addresses, two ports */
#define V2_IPV6_BYTES	36
#define V2_UNIX_BYTES	216

#define TLV_FIXED_BYTES	3
#define TLV_CRC32C	0x03
#define CRC32C_BYTES	4

static const char v1_start[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* The input, as far as it goes, begins like this. */
static bool
begins(struct span in, const char *start, size_t len)
{
	if (len > in.len)
		len = in.len;
	return (memcmp(in.p, start, len) == 0);
}

/* ---- version 1 ----------------------------------------------------------- */

/* Up to the next single space, or to the end. */
static struct span
next_word(struct span *line)
{
	const char *space = line->len == 0 ? NULL :
	    memchr(line->p, ' ', line->len);
	struct span word = { line->p, space == NULL ? line->len :
	    (size_t)(space - line->p) };
	size_t used = word.len + (space == NULL ? 0 : 1);

	line->p += used;
	line->len -= used;
	return (word);
}

/* Section 2.1: decimal, no leading zero but in 0 itself. */
static bool
read_port(struct span text, uint16_t *out)
{
	uint64_t v;

	if (text.len > 1 && text.p[0] == '0')
		return (false);
	if (string_u64(text, &v) != RC_OK || v > UINT16_MAX)
		return (false);
	*out = (uint16_t)v;
	return (true);
}

static bool
read_address(struct span host, struct span port, sa_family_t family,
    struct net_addr *out)
{
	char text[V1_HOST_BYTES];
	uint16_t number;

	/* A scope would name an interface of ours. */
	return (span_copy(host, text, sizeof(text)) &&
	    strchr(text, '%') == NULL && read_port(port, &number) &&
	    net_addr_from_ip(text, number, out) == RC_OK &&
	    out->ss.ss_family == family);
}

/* What stands between "PROXY " and CRLF. */
static enum rc
read_line(struct span line, struct net_proxyproto *out)
{
	struct span word = next_word(&line), from, to, from_port, to_port;
	struct net_addr proxy;
	sa_family_t family;

	if (span_eq_str(word, "UNKNOWN"))
		return (RC_OK);		/* the rest of the line is not read */
	if (span_eq_str(word, "TCP4"))
		family = AF_INET;
	else if (span_eq_str(word, "TCP6"))
		family = AF_INET6;
	else
		return (RC_SYNTAX);
	from = next_word(&line);
	to = next_word(&line);
	from_port = next_word(&line);
	to_port = line;			/* a space in it is no digit */
	if (!read_address(from, from_port, family, &out->client) ||
	    !read_address(to, to_port, family, &proxy))
		return (RC_SYNTAX);
	out->has_client = true;
	return (RC_OK);
}

static enum rc
read_v1(struct span in, struct net_proxyproto *out)
{
	const size_t start = sizeof(v1_start) - 1;
	size_t seen = in.len < V1_BYTES_MAX ? in.len : V1_BYTES_MAX;
	const char *end = memchr(in.p, '\n', seen);
	size_t len;
	enum rc rc;

	if (end == NULL)
		return (seen < V1_BYTES_MAX ? RC_MORE : RC_SYNTAX);
	len = (size_t)(end - in.p);	/* without the LF */
	if (in.p[len - 1] != '\r')
		return (RC_SYNTAX);
	rc = read_line((struct span){ in.p + start, len - 1 - start }, out);
	out->bytes = len + 1;
	return (rc);
}

/* ---- version 2 ----------------------------------------------------------- */

static uint16_t
read_u16(const unsigned char *p)
{
	return ((uint16_t)(p[0] << 8 | p[1]));
}

static uint32_t
read_u32(const unsigned char *p)
{
	return ((uint32_t)read_u16(p) << 16 | read_u16(p + 2));
}

/* Castagnoli's, bit by bit: few headers have one, none is long. */
static uint32_t
crc32c_add(uint32_t crc, unsigned char byte)
{
	crc ^= byte;
	for (int i = 0; i < 8; i++)
		crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
	return (crc);
}

/* Section 2.2.4: over the whole header, the sum itself taken as zeros. */
static bool
crc32c_fits(const unsigned char *in, size_t len, size_t at)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++)
		crc = crc32c_add(crc,
		    i >= at && i < at + CRC32C_BYTES ? 0 : in[i]);
	return (~crc == read_u32(in + at));
}

/* They fill the header exactly; only a checksum is looked into. */
static bool
tlvs_fit(const unsigned char *in, size_t len, size_t at)
{
	size_t size;

	for (; at < len; at += TLV_FIXED_BYTES + size) {
		if (len - at < TLV_FIXED_BYTES)
			return (false);
		size = read_u16(in + at + 1);
		if (len - at - TLV_FIXED_BYTES < size)
			return (false);
		if (in[at] == TLV_CRC32C && (size != CRC32C_BYTES ||
		    !crc32c_fits(in, len, at + TLV_FIXED_BYTES)))
			return (false);
	}
	return (true);
}

static void
set_ipv4(const unsigned char *p, struct net_addr *out)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	memcpy(&in.sin_addr, p, 4);
	in.sin_port = htons(read_u16(p + 8));
	memcpy(&out->ss, &in, sizeof(in));
	out->len = sizeof(in);
}

static void
set_ipv6(const unsigned char *p, struct net_addr *out)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	memcpy(&in6.sin6_addr, p, 16);
	in6.sin6_port = htons(read_u16(p + 32));
	memcpy(&out->ss, &in6, sizeof(in6));
	out->len = sizeof(in6);
}

/* Bytes of addresses by the family byte's upper half; its lower half 0 means
 * a transport the proxy has no word for: no addresses to rely on then. */
static size_t
address_bytes(unsigned char family)
{
	static const size_t bytes[] = { 0, V2_IPV4_BYTES, V2_IPV6_BYTES,
		V2_UNIX_BYTES };

	return ((family & 0x0f) == 0 ? 0 : bytes[family >> 4]);
}

/* The fixed part, as far as it is there. */
static bool
fixed_fits(const unsigned char *in, size_t len)
{
	if (len > 12 && in[12] != 0x20 && in[12] != 0x21)
		return (false);	/* version 2; LOCAL or PROXY */
	/* LOCAL: section 2.2 has us look at nothing behind it. */
	return (len <= 13 || in[12] == 0x20 ||
	    (in[13] >> 4 <= 3 && (in[13] & 0x0f) <= 2));
}

/* The header is whole: len bytes, command PROXY. */
static enum rc
read_block(const unsigned char *in, size_t len, struct net_proxyproto *out)
{
	const unsigned char family = in[13];
	size_t addresses = address_bytes(family);

	if (addresses == 0)
		return (RC_OK);		/* section 2.2: skip what follows */
	if (len - V2_FIXED_BYTES < addresses ||
	    !tlvs_fit(in, len, V2_FIXED_BYTES + addresses))
		return (RC_SYNTAX);
	if (addresses == V2_UNIX_BYTES)
		return (RC_OK);
	if (addresses == V2_IPV4_BYTES)
		set_ipv4(in + V2_FIXED_BYTES, &out->client);
	else
		set_ipv6(in + V2_FIXED_BYTES, &out->client);
	out->has_client = true;
	return (RC_OK);
}

static enum rc
read_v2(const unsigned char *in, size_t len, struct net_proxyproto *out)
{
	size_t total;

	if (!fixed_fits(in, len))
		return (RC_SYNTAX);
	if (len < V2_FIXED_BYTES)
		return (RC_MORE);
	total = V2_FIXED_BYTES + (size_t)read_u16(in + 14);
	if (total > NET_PROXYPROTO_BYTES_MAX)
		return (RC_LIMIT);
	if (len < total)
		return (RC_MORE);
	out->bytes = total;
	out->local = in[12] == 0x20;
	return (out->local ? RC_OK : read_block(in, total, out));
}

enum rc
net_proxyproto_read(const void *data, size_t len, struct net_proxyproto *out)
{
	struct span in = { data, len };
	enum rc rc = RC_SYNTAX;

	memset(out, 0, sizeof(*out));
	if (len == 0)
		return (RC_MORE);
	if (begins(in, v1_start, sizeof(v1_start) - 1))
		rc = len < sizeof(v1_start) - 1 ? RC_MORE : read_v1(in, out);
	else if (begins(in, v2_signature, sizeof(v2_signature) - 1))
		rc = read_v2(data, len, out);
	if (rc != RC_OK)
		memset(out, 0, sizeof(*out));
	return (rc);
}
