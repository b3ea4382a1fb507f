/* tests/unit/lib_net_stream_kind.c - what streams of lib/net are tested over. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/lib_net_stream_kind.h"

struct stream_stage stage;

int
stage_setup(void **state)
{
	(void)state;
	stage.ca = test_ca_new("ca");
	stage.other_ca = test_ca_new("other");
	stage.leaf = test_leaf_new(stage.ca, "leaf",
	    "DNS:a.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1", 3600);
	stage.expired = test_leaf_new(stage.ca, "old", "DNS:a.test", -60);
	stage.server = test_server_ctx(stage.leaf, TLS1_2_VERSION);
	stage.client = test_client_ctx(stage.ca, TLS1_2_VERSION);
	stage.stranger = test_client_ctx(stage.other_ca, TLS1_2_VERSION);
	return (0);
}

int
stage_teardown(void **state)
{
	(void)state;
	SSL_CTX_free(stage.server);
	SSL_CTX_free(stage.client);
	SSL_CTX_free(stage.stranger);
	test_cert_free(&stage.ca);
	test_cert_free(&stage.other_ca);
	test_cert_free(&stage.leaf);
	test_cert_free(&stage.expired);
	return (0);
}

const struct stream_kind stream_kinds[STREAM_KINDS] = {
	{ "plain tcp", MEDIUM_TCP, false, 0, OUTER_NONE },
	{ "plain unix", MEDIUM_UNIX, false, 0, OUTER_NONE },
	{ "tls 1.3 tcp", MEDIUM_TCP, true, TLS1_3_VERSION, OUTER_NONE },
	{ "tls 1.3 unix", MEDIUM_UNIX, true, TLS1_3_VERSION, OUTER_NONE },
	{ "tls 1.2 tcp", MEDIUM_TCP, true, TLS1_2_VERSION, OUTER_NONE },
	{ "tls 1.3 in plain tcp", MEDIUM_TCP, true, TLS1_3_VERSION,
	    OUTER_PLAIN },
	{ "tls 1.3 in tls tcp", MEDIUM_TCP, true, TLS1_3_VERSION, OUTER_TLS },
	{ "tls 1.3 in tls unix", MEDIUM_UNIX, true, TLS1_3_VERSION,
	    OUTER_TLS },
	{ "tls 1.2 in tls tcp", MEDIUM_TCP, true, TLS1_2_VERSION, OUTER_TLS },
};

void
kind_open_outer(struct pair *p, enum outer outer, enum medium medium,
    int sndbuf)
{
	bool tls = outer == OUTER_TLS;

	pair_open(p, medium, tls ? stage.server : NULL,
	    tls ? stage.client : NULL, tls ? "a.test" : NULL, sndbuf, true);
}

static bool
both_shaken(struct pair *p)
{
	return (p->client.ready != 0 && p->server.ready != 0);
}

void
kind_go_inside(struct pair *p)
{
	p->client.ready = p->server.ready = 0;
	p->client.s = net_stream_connect_inside(&p->client.s, stage.client,
	    "a.test", &end_ops, &p->client);
	p->server.s = net_stream_accept_inside(&p->server.s, stage.server,
	    &end_ops, &p->server);
	pair_until(p, both_shaken);
}

void
kind_open(struct pair *p, const struct stream_kind *k, int sndbuf)
{
	print_message("  %s\n", k->name);
	if (k->tls)
		SSL_CTX_set_max_proto_version(stage.server, k->max_version);
	if (k->outer != OUTER_NONE) {
		kind_open_outer(p, k->outer, k->medium, sndbuf);
		kind_go_inside(p);
	} else
		pair_open(p, k->medium, k->tls ? stage.server : NULL,
		    k->tls ? stage.client : NULL, k->tls ? "a.test" : NULL,
		    sndbuf, true);
	SSL_CTX_set_max_proto_version(stage.server, 0);
}

bool
server_got_4(struct pair *p)
{
	return (buffer_len(&p->server.got) >= 4);
}

bool
client_got_4(struct pair *p)
{
	return (buffer_len(&p->client.got) >= 4);
}

bool
client_eof(struct pair *p)
{
	return (p->client.eof != 0 || p->client.errors != 0);
}

bool
client_error(struct pair *p)
{
	return (p->client.errors != 0);
}

bool
server_error(struct pair *p)
{
	return (p->server.errors != 0);
}

bool
none_lingers(struct pair *p)
{
	(void)p;
	return (net_stream_lingering() == 0);
}
