/*
 * conf/relay_rule.h - rules that a relay and an egress record have in common;
 * for relay_json.c and egress_json.c.
 * Context:   pure.
 */
#ifndef RELAY_CONF_RELAY_RULE_H
#define RELAY_CONF_RELAY_RULE_H

#include "conf/relay_field.h"

/* Each is a relay_read_cb: obj is the struct relay. */
enum rc relay_rule_curve(struct relay_reader *, uint32_t node, void *obj)
    must_check;
enum rc relay_rule_key_scope(struct relay_reader *, uint32_t node, void *obj)
    must_check;
enum rc relay_rule_existing(struct relay_reader *, uint32_t node, void *obj)
    must_check;
enum rc relay_rule_encrypt_empty(struct relay_reader *, uint32_t node,
    void *obj) must_check;
enum rc relay_rule_mismatch(struct relay_reader *, uint32_t node, void *obj)
    must_check;
enum rc relay_rule_undecryptable(struct relay_reader *, uint32_t node,
    void *obj) must_check;
enum rc relay_rule_limits(struct relay_reader *, uint32_t node, void *obj)
    must_check;

#endif
