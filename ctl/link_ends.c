/* ctl/link_ends.c - the ends of ROLE.pem below link_dir. */
#include "ctl/link_ends.h"

#include <stdlib.h>

#include "lib/base/fd.h"
#include "lib/base/object.h"

#define PEM_BYTES_MAX	65536
#define DAY_MS		86400000ll

static const char *const roles[LINK_ENDS_MAX] = {
	"engine", "worker", "feed", "helper", "pulse", "admin",
};

void
link_ends_read(const char *folder, struct link_ends *e)
{
	struct buffer pem;
	char *path;

	e->n = 0;
	for (size_t i = 0; i < LINK_ENDS_MAX; i++) {
		path = xasprintf("%s/%s.pem", folder, roles[i]);
		buffer_init(&pem, PEM_BYTES_MAX, false);
		if (file_read(path, &pem) == RC_OK &&
		    link_cert_read((struct span){ buffer_data(&pem),
		    buffer_len(&pem) }, &e->v[e->n]) == RC_OK)
			e->n++;
		buffer_fini(&pem);
		free(path);
	}
}

static long long
days_left(const struct link_cert *c, uint64_t now_ms)
{
	return (((long long)c->ends_ms - (long long)now_ms) / DAY_MS);
}

void
link_ends_text(const struct link_ends *e, uint64_t now_ms, struct buffer *out)
{
	if (e->n == 0)
		return;
	buffer_puts(out, "links   ");
	for (size_t i = 0; i < e->n; i++)
		buffer_printf(out, " %s=%lldd", e->v[i].who.role,
		    days_left(&e->v[i], now_ms));
	buffer_puts(out, "\n");
	for (size_t i = 0; i < e->n; i++) {
		long long days = days_left(&e->v[i], now_ms);

		if (days >= LINK_ENDS_WARN_DAYS)
			continue;
		buffer_printf(out, "  warn   the link certificate of %s %s: "
		    "relayctl link renew %s\n", e->v[i].who.role,
		    e->v[i].ends_ms <= now_ms ? "has ended" : "ends soon",
		    e->v[i].who.role);
	}
}
