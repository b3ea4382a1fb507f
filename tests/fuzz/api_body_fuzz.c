/*
 * Any bytes as a body of the key API.  The first byte says of which endpoint.
 * A canonical form is its own canonical form, a record that was made can be
 * changed and shown, and what is refused has a reason.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "worker/api_path.h"
#include "worker/api_token_request.h"
#include "worker/payload_hash.h"
#include "worker/relay_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define NOW	1700000000000u
#define HOST	"shop-test.app-0123456789ab.relay.test"

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

static enum rc
canonical(struct span text, struct buffer *out)
{
	struct body_json doc;
	enum rc rc;

	buffer_init(out, 0, true);
	if (body_json_read(&doc, text.p, text.len, PAYLOAD_NODES_MAX, NULL) !=
	    RC_OK)
		return (RC_SYNTAX);
	rc = payload_canonical(&doc, 0, out);
	body_json_fini(&doc);
	return (rc);
}

static void
check_canonical(struct span body)
{
	struct buffer once, twice;

	if (canonical(body, &once) == RC_OK) {
		ensure(canonical(view(&once), &twice) == RC_OK);
		ensure(span_eq(view(&once), view(&twice)));
		buffer_fini(&twice);
	}
	buffer_fini(&once);
}

static void
check_token_request(struct span body)
{
	struct api_token_request r;

	if (api_token_request_read(body, NOW, &r) == RC_OK)
		ensure(r.expires_ms > NOW &&
		    r.expires_ms <= NOW + RPC_CLIENT_TOKEN_MS_MAX);
	else
		ensure(r.detail != NULL && r.detail[0] != '\0');
}

static void
check_create(struct span body)
{
	const struct relay_identity is = {
		.app = "app_0123456789ab",
		.id = "relay_destination_000000000001",
		.domain = HOST,
	};
	struct relay_fault fault = { .reason = "" };
	struct buffer made, shown, alias;
	struct relay_identity got;

	buffer_init(&made, 0, false);
	buffer_init(&shown, 0, false);
	buffer_init(&alias, 0, false);
	if (relay_record_create(body, &is, &made, &fault) == RC_OK) {
		ensure(relay_record_identify(view(&made), HOST, &got) == RC_OK);
		ensure(strcmp(got.app, is.app) == 0);
		ensure(strcmp(got.id, is.id) == 0);
		ensure(strcmp(got.domain, is.domain) == 0);
		ensure(relay_record_show(view(&made), HOST, &shown) == RC_OK);
		/* What was shown changes nothing. */
		ensure(relay_record_change(view(&made), HOST, view(&shown), NOW,
		    &alias, &fault) == RC_OK);
	} else {
		ensure(fault.reason[0] != '\0');
	}
	buffer_fini(&made);
	buffer_fini(&shown);
	buffer_fini(&alias);
}

static void
check_change(struct span body)
{
	static const char record[] = "{\"app\":\"app_0123456789ab\","
	    "\"destinationDomain\":\"shop.test\",\"routes\":[]}";
	struct relay_fault fault = { .reason = "" };
	struct relay_identity got;
	struct buffer out;

	buffer_init(&out, 0, false);
	if (relay_record_change(SPAN_LIT(record), HOST, body, NOW, &out, &fault) ==
	    RC_OK) {
		ensure(relay_record_identify(view(&out), HOST, &got) == RC_OK);
		ensure(strcmp(got.app, "app_0123456789ab") == 0);
		ensure(got.updated_ms == NOW);
	} else {
		ensure(fault.reason[0] != '\0');
	}
	buffer_fini(&out);
}

static void
check_record(struct span body)
{
	struct relay_identity got;
	struct buffer out;

	buffer_init(&out, 0, false);
	if (relay_record_identify(body, HOST, &got) == RC_OK) {
		ensure(got.id[0] != '\0' && got.domain[0] != '\0');
		ensure(relay_record_show(body, HOST, &out) == RC_OK);
	}
	buffer_fini(&out);
}

static void
check_path(struct span path)
{
	struct api_arguments a;

	if (api_path_match("/relays/*/custom-domains/*", path, &a))
		ensure(a.n == 2 && a.v[0][0] != '\0' && a.v[1][0] != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct span body;

	if (len == 0)
		return (0);
	body = (struct span){ (const char *)data + 1, len - 1 };
	switch (data[0] % 6) {
	case 0:
		check_canonical(body);
		break;
	case 1:
		check_token_request(body);
		break;
	case 2:
		check_create(body);
		break;
	case 3:
		check_change(body);
		break;
	case 4:
		check_record(body);
		break;
	default:
		check_path(body);
		break;
	}
	return (0);
}
