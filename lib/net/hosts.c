/* net/hosts.c - see hosts.h. */
#include "lib/net/hosts.h"

#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/fd.h"
#include "lib/base/host.h"
#include "lib/base/log.h"

#define HOSTS_FILE	"/etc/hosts"
#define HOSTS_MAX_BYTES	(256 * 1024)	/* some block lists are that long */

static void
read_line(char *line, net_hosts_cb *cb, void *arg)
{
	char *save = NULL, *ip, *name, host[HOST_BYTES];

	line[strcspn(line, "#")] = '\0';
	if ((ip = strtok_r(line, " \t\r", &save)) == NULL)
		return;
	while ((name = strtok_r(NULL, " \t\r", &save)) != NULL)
		if (host_canonical(span_of(name), host) == RC_OK)
			cb(arg, ip, host);
}

void
net_hosts_read(net_hosts_cb *cb, void *arg)
{
	struct buffer text;
	char *line, *rest;
	enum rc rc;

	buffer_init(&text, HOSTS_MAX_BYTES, false);
	rc = file_read(HOSTS_FILE, &text);
	if (rc != RC_OK && rc != RC_NOTFOUND) {
		/* Not a part of it: the last name would be cut. */
		log_warn("dns hosts file not used path=" HOSTS_FILE
		    " why=%s", rc_name(rc));
		buffer_clear(&text);
	}
	(void)buffer_cstr(&text);
	for (rest = buffer_data(&text); (line = strsep(&rest, "\n")) != NULL;)
		read_line(line, cb, arg);
	buffer_fini(&text);
}
