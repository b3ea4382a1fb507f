/*
 * ctl/listing.h - what the engine lists, as a table or as a JSON array.
 * Context:   relayctl; blocks for the engine.
 */
#ifndef RELAY_CTL_LISTING_H
#define RELAY_CTL_LISTING_H

#include "ctl/ctl.h"
#include "ctl/engine_client.h"
#include "ctl/table.h"
#include "lib/body/json_write.h"

struct listing {
	bool			json;
	struct table		*table;		/* owned; rows when not json */
	struct body_json_writer	w;		/* items when json */
};

/* Call op with body (left empty) and print every row.  heads: n columns.
 * rows: takes each reply body, an array of rows; its arg is a struct listing. */
enum ctl_exit listing_print(struct ctl *, const char *const *heads, size_t n,
    enum rpc_op, struct buffer *body, engine_reply_cb *rows) must_check;

#endif
