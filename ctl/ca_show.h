/*
 * ctl/ca_show.h - the egress CA that signs now, as the engine tells it.
 * Context:   blocks for the engine.
 */
#ifndef RELAY_CTL_CA_SHOW_H
#define RELAY_CTL_CA_SHOW_H

#include "ctl/ctl.h"
#include "ctl/engine_client.h"

struct ca_signing {
	bool		found, self_signed;
	struct buffer	permitted;	/* owned by the caller, in every case:
					   domains, commas between */
};

/* CTL_DONE, also when there is none, or an error told. */
enum ctl_exit ca_signing(struct ctl *, struct ca_signing *) must_check;

#endif
