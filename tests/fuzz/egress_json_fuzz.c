/*
 * Any bytes as an egress record.  A refusal has a reason; a record that is
 * accepted has all that the worker relies on, and allows what it lists.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "conf/egress_json.h"
#include "lib/base/host.h"
#include "lib/base/object.h"

#define APP	"app_0123456789ab"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_destination(const struct egress *e, const struct egress_destination *d)
{
	bool wild = strncmp(d->host, "*.", 2) == 0;
	struct span none = { NULL, 0 };

	ensure(host_is_canonical(wild ? d->host + 2 : d->host));
	ensure(d->port != 0);
	ensure((d->methods == NULL) == (d->n_methods == 0));
	ensure((d->paths == NULL) == (d->n_paths == 0));
	for (size_t i = 0; i < d->n_methods; i++)
		ensure(d->methods[i][0] != '\0');
	for (size_t i = 0; i < d->n_paths; i++)
		ensure(d->paths[i][0] == '/');
	if (wild)
		return;
	ensure(egress_allows(e, d->host, d->port));
	ensure(!d->internal || egress_is_internal(e, d->host, d->port, none, none));
	ensure(egress_allows_request(e, d->host, d->port, span_of(
	    d->n_methods == 0 ? "GET" : d->methods[0]), span_of(
	    d->n_paths == 0 ? "/" : d->paths[0])));
}

static void
check_record(struct egress *e)
{
	struct relay *relay = egress_relay(e, "a.test", 443);

	ensure(e->refs == 1 && strcmp(relay->app, APP) == 0);
	ensure(!e->any || e->n_destinations == 0);
	for (size_t i = 0; i < e->n_destinations; i++)
		check_destination(e, &e->destinations[i]);
	egress_unref(&e);
	for (size_t i = 0; i < relay->n_routes; i++)
		ensure(relay->routes[i].n_request == 0 &&
		    relay->routes[i].path[0] == '/');
	relay_unref(&relay);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct relay_fault fault;
	struct egress *e;
	struct span json = { (const char *)data, len };

	if (egress_json_parse(span_of(APP), json, &e, &fault) == RC_OK)
		check_record(e);
	else
		ensure(e == NULL && fault.reason[0] != '\0');
	return (0);
}
