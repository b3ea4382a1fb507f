/*
 * A header ends where it says, is waited for at each shorter length, does not
 * depend on what follows, and names a client that our own text form can hold.
 * What was refused once stays refused.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/object.h"
#include "lib/net/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_client(const struct net_proxyproto *h)
{
	char text[NET_ADDR_TEXT_BYTES];
	struct net_addr back;

	if (!h->has_client) {
		ensure(h->client.len == 0);
		return;
	}
	net_addr_format(&h->client, text);
	ensure(net_addr_parse(text, &back) == RC_OK);
	ensure(net_addr_equal(&h->client, &back));
}

static void
check_header(const uint8_t *data, size_t len, const struct net_proxyproto *h)
{
	struct net_proxyproto again;

	ensure(h->bytes != 0 && h->bytes <= len &&
	    h->bytes <= NET_PROXYPROTO_BYTES_MAX);
	if (data[0] == 'P')
		ensure(h->bytes <= 107 &&
		    memcmp(data + h->bytes - 2, "\r\n", 2) == 0);
	check_client(h);
	ensure(net_proxyproto_read(data, h->bytes, &again) == RC_OK);
	ensure(again.bytes == h->bytes && again.has_client == h->has_client);
	ensure(!h->has_client || net_addr_equal(&h->client, &again.client));
	for (size_t cut = 0; cut < h->bytes; cut++)
		ensure(net_proxyproto_read(data, cut, &again) == RC_MORE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct net_proxyproto h, more;
	uint8_t longer[NET_PROXYPROTO_BYTES_MAX];
	enum rc rc = net_proxyproto_read(data, len, &h);

	switch (rc) {
	case RC_OK:
		check_header(data, len, &h);
		break;
	case RC_MORE:
		ensure(len < NET_PROXYPROTO_BYTES_MAX);
		break;
	default:
		ensure(rc == RC_SYNTAX || rc == RC_LIMIT);
		ensure(h.bytes == 0 && !h.has_client);
		if (len >= sizeof(longer))
			break;
		memset(longer, '\n', sizeof(longer));
		memcpy(longer, data, len);
		ensure(net_proxyproto_read(longer, sizeof(longer), &more) ==
		    rc);
	}
	return (0);
}
