/*
 * worker/api_relays.h - REST management: relays, their custom domains, egress
 * allowlists (spec/inbound.md 2).
 * Context:   the loop's thread; worker/api*.c alone.
 */
#ifndef RELAY_WORKER_API_RELAYS_H
#define RELAY_WORKER_API_RELAYS_H

#include "conf/relay_json.h"
#include "lib/base/result.h"

struct api_call;

void api_relays_list(struct api_call *);		/* api_relays.c */
void api_relays_create(struct api_call *);
void api_relay_get(struct api_call *);
void api_relay_change(struct api_call *);
void api_relay_remove(struct api_call *);
void api_domains_list(struct api_call *);		/* api_domains.c */
void api_domains_create(struct api_call *);
void api_domain_get(struct api_call *);
void api_domain_remove(struct api_call *);
void api_egress_get(struct api_call *);			/* api_egress.c */
void api_egress_put(struct api_call *);
void api_egress_remove(struct api_call *);

/* The records of the relay that the path names are in a->records, the relay's
 * own first.  False: the call has failed. */
bool api_relays_find(struct api_call *);
/* A record that the caller wrote is not valid. */
void api_relays_fault(struct api_call *, const struct relay_fault *);
/* The map cannot say. */
void api_relays_unread(struct api_call *);
/* This host name has a relay.  False: the call has failed, or none has it. */
bool api_relays_host_is_free(struct api_call *, const char *host);

#endif
