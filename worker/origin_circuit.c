/* worker/origin_circuit.c - see origin_circuit.h. */
#include "worker/origin_circuit.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

#define LINES_PER_S	20	/* many destinations may fail together */

void
origin_circuit_init(struct origin_circuit *c, const char *host, uint16_t port,
    unsigned max_fails, unsigned open_ms)
{
	memset(c, 0, sizeof(*c));
	c->host = host;
	c->port = port;
	c->max_fails = max_fails;
	c->open_ms = open_ms;
}

static void
open_now(struct origin_circuit *c)
{
	c->state = ORIGIN_CIRCUIT_OPEN;
	c->until_ms = clock_mono_ms() + c->open_ms;
}

bool
origin_circuit_allows(struct origin_circuit *c, bool *trial)
{
	*trial = false;
	switch (c->state) {
	case ORIGIN_CIRCUIT_CLOSED:
		return (true);
	case ORIGIN_CIRCUIT_OPEN:
		if (clock_mono_ms() < c->until_ms)
			return (false);
		c->state = ORIGIN_CIRCUIT_TRIAL;
		*trial = true;
		return (true);
	case ORIGIN_CIRCUIT_TRIAL:
		break;
	}
	return (false);
}

void
origin_circuit_succeeded(struct origin_circuit *c)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (c->state != ORIGIN_CIRCUIT_CLOSED &&
	    log_rate_ok(&rate, LINES_PER_S, &suppressed))
		log_info("origin circuit closed destination=%s port=%u "
		    "why=\"connected\" suppressed=%u", c->host, c->port,
		    suppressed);
	c->state = ORIGIN_CIRCUIT_CLOSED;
	c->fails = 0;
}

void
origin_circuit_failed(struct origin_circuit *c, bool trial, const char *why)
{
	static struct log_rate rate;
	unsigned suppressed;

	if (trial) {
		/* Not when another one has succeeded meanwhile. */
		if (c->state == ORIGIN_CIRCUIT_TRIAL)
			open_now(c);
		return;
	}
	/* Attempts that began before it opened do not keep it open. */
	if (c->max_fails == 0 || c->state != ORIGIN_CIRCUIT_CLOSED ||
	    ++c->fails < c->max_fails)
		return;
	open_now(c);
	if (log_rate_ok(&rate, LINES_PER_S, &suppressed))
		log_warn("origin circuit open destination=%s port=%u why=\"%s\" "
		    "fails=%u suppressed=%u", c->host, c->port, why, c->fails,
		    suppressed);
}

void
origin_circuit_unknown(struct origin_circuit *c, bool trial)
{
	/* It has waited its time: the next one may try at once. */
	if (trial && c->state == ORIGIN_CIRCUIT_TRIAL)
		c->state = ORIGIN_CIRCUIT_OPEN;
}
