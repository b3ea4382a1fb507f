/*
 * conf/relay_route.h - one element of `routes`; for relay_json.c.
 * Context:   pure.
 */
#ifndef RELAY_CONF_RELAY_ROUTE_H
#define RELAY_CONF_RELAY_ROUTE_H

#include "conf/relay_field.h"

/* A relay_read_cb: obj is a zeroed struct relay_route. */
enum rc relay_route_read(struct relay_reader *, uint32_t node, void *obj)
    must_check;
/* The same without request actions: of an egress record. */
enum rc relay_route_read_response(struct relay_reader *, uint32_t node,
    void *obj) must_check;
/* A path pattern in its normal form; obj is a char *, NULL before. */
enum rc relay_route_read_path(struct relay_reader *, uint32_t node, void *obj)
    must_check;
void relay_route_fini(struct relay_route *);

#endif
