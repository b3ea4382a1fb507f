/* conf/conf_check.c - what a text value must look like; paths made absolute. */
#include "conf/conf_private.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/host.h"
#include "lib/base/object.h"

#define UNIX_PREFIX	"unix:"

/* A socket's name must fit with its NUL. */
#define SOCKET_PATH_MAX	(sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static bool
begins(const char *s, const char *prefix)
{
	return (strncmp(s, prefix, strlen(prefix)) == 0);
}

static size_t
absolute_len(const char *folder, const char *path)
{
	return (*path == '/' ? strlen(path) :
	    strlen(folder) + 1 + strlen(path));
}

char *
conf_absolute(const struct option *o, const char *folder, const char *value)
{
	const char *prefix = "";

	if (o->type == OPTION_TEXTS) {
		if (!begins(value, UNIX_PREFIX))
			return (xstrdup(value));
		prefix = UNIX_PREFIX;
		value += strlen(UNIX_PREFIX);
	} else if (o->type != OPTION_PATH || *value == '\0' ||
	    begins(value, CONF_CREDENTIAL)) {
		return (xstrdup(value));
	}
	if (*value == '/')
		return (xasprintf("%s%s", prefix, value));
	return (xasprintf("%s%s/%s", prefix, folder, value));
}

static const char *
check_port(struct span port)
{
	uint64_t n;

	if (string_u64(port, &n) != RC_OK || n < 1 || n > 65535)
		return ("the port is not a number from 1 to 65535");
	return (NULL);
}

/* Split at the last colon, which is outside of brackets. */
static const char *
check_host_port(const char *value, bool ip_only)
{
	const char *colon = strrchr(value, ':');
	char host[HOST_BYTES];
	struct span name;

	if (colon == NULL || colon == value)
		return (ip_only ? "not IP:port" : "not host:port");
	name = (struct span){ value, (size_t)(colon - value) };
	if (memchr(name.p, ':', name.len) != NULL &&
	    (name.p[0] != '[' || name.p[name.len - 1] != ']'))
		return ("an IPv6 address needs brackets: [::1]:443");
	if (host_canonical(name, host) != RC_OK)
		return ("not a host name or IP address");
	if (ip_only && !host_is_ip(host))
		return ("not an IP address");
	return (check_port(span_of(colon + 1)));
}

static const char *
check_socket(const char *folder, const char *path)
{
	if (*path == '\0')
		return ("must not be empty");
	if (absolute_len(folder, path) > SOCKET_PATH_MAX)
		return ("longer than the 107 bytes a Unix socket's path may "
		    "have");
	return (NULL);
}

static const char *
check_address(const struct option *o, const char *folder, const char *value)
{
	if (begins(value, UNIX_PREFIX))
		return (check_socket(folder, value + strlen(UNIX_PREFIX)));
	return (check_host_port(value, o->check == CHECK_BIND));
}

static const char *
check_server_name(const char *value)
{
	char host[HOST_BYTES];
	const char *name = begins(value, "*.") ? value + 2 : value;

	if (host_canonical(span_of(name), host) != RC_OK)
		return ("not a server name");
	if (name != value && (host_is_ip(host) || strchr(host, '.') == NULL))
		return ("a wildcard needs a name of two labels behind it");
	return (NULL);
}

static const char *
check_cidr(const char *value)
{
	const char *slash = strchr(value, '/');
	struct span ip = { value, slash != NULL ? (size_t)(slash - value) :
	    strlen(value) };
	char host[HOST_BYTES];
	uint64_t bits;

	if (host_canonical(ip, host) != RC_OK || !host_is_ip(host))
		return ("not an IP address");
	if (slash != NULL && (string_u64(span_of(slash + 1), &bits) != RC_OK ||
	    bits > (strchr(host, ':') != NULL ? 128 : 32)))
		return ("the prefix length is not a number the address has bits for");
	return (NULL);
}

/* NULL when the value is fine. */
static const char *
fault_of(const struct option *o, const char *folder, const char *value)
{
	enum log_level level;

	/* A newline would end up in argv, logs and path names. */
	for (const char *p = value; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return ("holds a control character");
	if (o->type == OPTION_PATH && strlen(value) >= PATH_MAX / 2)
		return ("too long for a path");
	if (*value == '\0' && o->type != OPTION_TEXTS &&
	    o->check != CHECK_SET && o->check != CHECK_SOCKET &&
	    o->check != CHECK_LEVEL && o->check != CHECK_WORDS)
		return (NULL);
	switch (o->check) {
	case CHECK_NONE:
	case CHECK_POWER_OF_2:
		return (NULL);
	case CHECK_SET:
		return (*value == '\0' ? "must not be empty" : NULL);
	case CHECK_LEVEL:
		return (log_level_parse(value, &level) ? NULL :
		    "must be error, warn, info or debug");
	case CHECK_IP_PORT:
		return (check_host_port(value, true));
	case CHECK_LINK:
	case CHECK_BIND:
		return (check_address(o, folder, value));
	case CHECK_SOCKET:
		return (check_socket(folder, value));
	case CHECK_SERVER_NAME:
		return (check_server_name(value));
	case CHECK_CIDR:
		return (check_cidr(value));
	case CHECK_HOST_PORT:
		return (check_host_port(value, false));
	case CHECK_SIGNATURES:
		return (strcmp(value, "changes") == 0 ||
		    strcmp(value, "all") == 0 ? NULL :
		    "must be changes or all");
	case CHECK_WORDS:
		return (strcmp(value, o->words[0]) == 0 ||
		    strcmp(value, o->words[1]) == 0 ? NULL : "");
	}
	return ("cannot be checked");
}

bool
conf_is_loopback(const char *address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct span ip = { address, (size_t)(strrchr(address, ':') - address) };
	char host[HOST_BYTES];
	struct in6_addr six;
	struct in_addr four;

	if (host_canonical(ip, host) != RC_OK)
		return (false);
	if (inet_pton(AF_INET, host, &four) == 1)
		return (ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET);
	if (inet_pton(AF_INET6, host, &six) != 1)
		return (false);
	return (IN6_IS_ADDR_LOOPBACK(&six) ||
	    (memcmp(&six, mapped, sizeof(mapped)) == 0 &&
	    six.s6_addr[12] == IN_LOOPBACKNET));
}

enum rc
conf_check_text(const struct option *o, const char *folder, const char *value,
    char *why, size_t size)
{
	const char *fault = fault_of(o, folder, value);

	if (fault == NULL)
		return (RC_OK);
	if (o->check == CHECK_WORDS)
		(void)snprintf(why, size, "must be %s or %s", o->words[0],
		    o->words[1]);
	else
		(void)snprintf(why, size, "%s", fault);
	return (RC_SYNTAX);
}
