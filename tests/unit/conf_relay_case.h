/*
 * conf_relay_case.h - relay JSON texts around one member, and what is wrong
 * with them; for the tests of conf/relay_json.c and relay_route.c.
 * Context:   tests; what is not as it must be fails the test.
 */
#ifndef RELAY_TESTS_CONF_RELAY_CASE_H
#define RELAY_TESTS_CONF_RELAY_CASE_H

#include "conf/relay_json.h"

#define NA	"not available in this version"
#define PEM	"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n"

/* A relay around one more member; around routes; around one action. */
#define HEAD	"{\"app\":\"app_0123456789ab\",\"destinationDomain\":\"a.test\","
#define RELAY(member)	HEAD "\"routes\":[]," member "}"
#define ROUTES(routes)	HEAD "\"routes\":" routes "}"
#define ROUTE(members)	ROUTES("[{\"path\":\"/a\"" members "}]")
#define REQUEST(action)	ROUTE(",\"request\":[" action "]")
#define RESPONSE(action) ROUTE(",\"response\":[" action "]")
#define SELECTION(s)	REQUEST("{\"action\":\"encrypt\",\"selections\":[" s "]}")
#define SELECTOR(s)	SELECTION("{\"selector\":\"" s "\"}")

#define REQUEST_PATH	"routes[0].request[0]"
#define SELECTION_PATH	REQUEST_PATH ".selections[0]"

#define OBJECT	"must be an object"
#define ARRAY	"must be an array"
#define STRING	"must be a string"

struct fault_case {
	const char	*json;
	enum rc		rc;
	const char	*path;
	const char	*reason;
};

#define BAD(json, path, reason) { json, RC_SYNTAX, path, reason }
#define LATER(json, path)	{ json, RC_UNSUPPORTED, path, NA }

/* Refused with this path and reason. */
void check_fault(const struct fault_case *);
void check_faults(const struct fault_case *, size_t n);
/* head, then `part` n times with commas, then tail: good; with n + 1 there
 * are too many elements at `path`. */
void check_count(const char *head, const char *part, unsigned n,
    const char *tail, const char *path);

/* A good one; the caller unrefs it. */
struct relay *parse(const char *json);

#endif
