/*
 * base/host.c - one spelling for each host name.
 *
 * What routes, certificates and allowlists are keyed by must not depend on
 * case, a trailing dot or the way an IPv6 address is written: two spellings
 * of one host would be two sets of rules.
 */
#include "lib/base/host.h"

#include <arpa/inet.h>
#include <string.h>

#define NAME_MAX_BYTES	253	/* RFC 1035 2.3.4 as text without the dot */
#define LABEL_MAX_BYTES	63

/* An IP literal with or without brackets (those are for IPv6 only). */
static bool
ip_canonical(const char *text, char out[HOST_BYTES])
{
	char inside[INET6_ADDRSTRLEN];
	unsigned char addr[sizeof(struct in6_addr)];
	size_t len = strlen(text);

	if (text[0] == '[') {
		if (len < 2 || text[len - 1] != ']' ||
		    !span_copy((struct span){ text + 1, len - 2 }, inside,
		    sizeof(inside)))
			return (false);
		text = inside;
	} else if (inet_pton(AF_INET, text, addr) == 1)
		return (inet_ntop(AF_INET, addr, out, HOST_BYTES) != NULL);
	return (inet_pton(AF_INET6, text, addr) == 1 &&
	    inet_ntop(AF_INET6, addr, out, HOST_BYTES) != NULL);
}

static bool
is_alnum(char c)
{
	return ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'));
}

/* Letters, digits and underscores; hyphens inside only. */
static bool
label_valid(const char *s, size_t len)
{
	if (len == 0 || len > LABEL_MAX_BYTES)
		return (false);
	for (size_t i = 0; i < len; i++) {
		if (is_alnum(s[i]) || s[i] == '_')
			continue;
		if (s[i] != '-' || i == 0 || i == len - 1)
			return (false);
	}
	return (true);
}

/*
 * A last label that a resolver would take for a number (all digits, or 0x and
 * hex digits) makes the whole name an IPv4 address in some spelling inet_aton
 * knows ("127.1", "0x7f.1"): another name for a host we know by its canonical
 * one, so such names are refused (WHATWG URL, "ends in a number").
 */
static bool
ends_in_number(const char *label)
{
	if (label[strspn(label, "0123456789")] == '\0')
		return (true);
	return (strncmp(label, "0x", 2) == 0 &&
	    label[2 + strspn(label + 2, "0123456789abcdef")] == '\0');
}

/* name is lower case already. */
static bool
name_valid(const char *name)
{
	const char *dot;

	if (strlen(name) > NAME_MAX_BYTES)
		return (false);
	for (; (dot = strchr(name, '.')) != NULL; name = dot + 1)
		if (!label_valid(name, (size_t)(dot - name)))
			return (false);
	return (label_valid(name, strlen(name)) && !ends_in_number(name));
}

enum rc
host_canonical(struct span text, char out[HOST_BYTES])
{
	char name[HOST_BYTES];

	out[0] = '\0';
	if (text.len == 0 || !span_copy(text, name, sizeof(name)))
		return (RC_SYNTAX);
	if (ip_canonical(name, out))
		return (RC_OK);
	out[0] = '\0';
	for (char *c = name; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	if (name[text.len - 1] == '.')
		name[text.len - 1] = '\0';
	/* "127.0.0.1." is the address too, for a resolver. */
	if (host_is_ip(name) && strchr(name, ':') == NULL) {
		(void)ip_canonical(name, out);
		return (RC_OK);
	}
	if (!name_valid(name))
		return (RC_SYNTAX);
	memcpy(out, name, sizeof(name));
	return (RC_OK);
}

bool
host_is_canonical(const char *host)
{
	char out[HOST_BYTES];

	return (host_canonical(span_of(host), out) == RC_OK &&
	    strcmp(host, out) == 0);
}

bool
host_is_ip(const char *host)
{
	unsigned char addr[sizeof(struct in6_addr)];

	return (inet_pton(AF_INET, host, addr) == 1 ||
	    inet_pton(AF_INET6, host, addr) == 1);
}

bool
host_match(const char *pattern, const char *host)
{
	const char *dot;

	if (pattern[0] != '*' || pattern[1] != '.')
		return (strcmp(pattern, host) == 0);
	/* One label for the star, and never an address: "*.0.0.1". */
	dot = strchr(host, '.');
	return (dot != NULL && dot != host && !host_is_ip(host) &&
	    strcmp(pattern + 1, dot) == 0);
}
