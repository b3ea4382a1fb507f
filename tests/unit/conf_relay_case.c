/* conf_relay_case.c - see conf_relay_case.h. */
#include "tests/unit/conf_relay_case.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/base/buffer.h"

void
check_fault(const struct fault_case *c)
{
	struct relay_fault fault;
	struct relay *relay;
	enum rc rc = relay_json_parse(span_of(c->json), &relay, &fault);

	if (rc != c->rc || strcmp(fault.path, c->path) != 0 ||
	    strcmp(fault.reason, c->reason) != 0)
		fail_msg("%s\n  got  %s at %s: %s\n  want %s at %s: %s", c->json,
		    rc_name(rc), fault.path, fault.reason, rc_name(c->rc),
		    c->path, c->reason);
	assert_null(relay);
	assert_int_equal(relay_json_parse(span_of(c->json), &relay, NULL), rc);
}

void
check_faults(const struct fault_case *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_fault(&c[i]);
}

void
check_count(const char *head, const char *part, unsigned n, const char *tail,
    const char *path)
{
	struct fault_case c = { .rc = RC_LIMIT, .path = path };
	struct relay *relay;
	struct buffer b;
	char reason[64];

	for (unsigned over = 0; over < 2; over++) {
		buffer_init(&b, 0, false);
		buffer_puts(&b, head);
		for (unsigned i = 0; i < n + over; i++)
			buffer_printf(&b, "%s%s", i == 0 ? "" : ",", part);
		buffer_puts(&b, tail);
		c.json = buffer_cstr(&b);
		if (over == 0) {
			assert_int_equal(relay_json_parse(span_of(c.json),
			    &relay, NULL), RC_OK);
			relay_unref(&relay);
		} else {
			(void)snprintf(reason, sizeof(reason),
			    "has more than %u elements", n);
			c.reason = reason;
			check_fault(&c);
		}
		buffer_fini(&b);
	}
}

struct relay *
parse(const char *json)
{
	struct relay_fault fault;
	struct relay *relay;

	if (relay_json_parse(span_of(json), &relay, &fault) != RC_OK)
		fail_msg("%s\n  %s: %s", json, fault.path, fault.reason);
	assert_string_equal(fault.path, "");
	return (relay);
}
