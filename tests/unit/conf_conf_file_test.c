/* relay.conf and e3.conf: defaults, every bound, messages with their line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_private.h"
#include "lib/base/buffer.h"

static struct conf *
good(const char *text)
{
	struct conf_fault fault;
	struct conf *c;
	enum rc rc;

	rc = conf_read_text("/x/relay.conf", span_of(text), &c, &fault);
	if (rc != RC_OK)
		print_error("%s\n", fault.text);
	assert_int_equal(rc, RC_OK);
	assert_string_equal(fault.text, "");
	return (c);
}

static void
bad(const char *text, const char *message)
{
	struct conf_fault fault;
	struct conf *c;

	assert_int_equal(conf_read_text("/x/relay.conf", span_of(text), &c,
	    &fault), RC_SYNTAX);
	assert_null(c);
	assert_string_equal(fault.text, message);
}

static struct conf_e3 *
good_e3(const char *text)
{
	struct conf_fault fault;
	struct conf_e3 *c;
	enum rc rc;

	rc = conf_e3_read_text("/x/e3.conf", span_of(text), &c, &fault);
	if (rc != RC_OK)
		print_error("%s\n", fault.text);
	assert_int_equal(rc, RC_OK);
	return (c);
}

static void
bad_e3(const char *text, const char *message)
{
	struct conf_fault fault;
	struct conf_e3 *c;

	assert_int_equal(conf_e3_read_text("/x/e3.conf", span_of(text), &c,
	    &fault), RC_SYNTAX);
	assert_null(c);
	assert_string_equal(fault.text, message);
}

static void
test_an_empty_file_gives_every_default(void **state)
{
	struct conf *c = good("");

	(void)state;
	assert_string_equal(c->path, "/x/relay.conf");
	assert_int_equal(c->workers, 0);
	assert_string_equal(c->state_dir, "/var/lib/relay");
	assert_string_equal(c->run_dir, "/run/relay");
	assert_string_equal(c->link_dir, "/x/link");
	assert_string_equal(c->engine_conf, "/x/e3.conf");
	assert_string_equal(c->worker_user, "relay");
	assert_string_equal(c->feed_user, "relay-feed");
	assert_string_equal(c->engine_user, "e3");
	assert_string_equal(c->helper_user, "e3-helper");
	assert_string_equal(c->admin_group, "relay-admin");
	assert_string_equal(c->map_group, "relay");
	assert_string_equal(c->log_file, "");
	assert_int_equal(c->log_level, LOG_INFO);
	assert_string_equal(c->node, "");
	assert_int_equal(c->n_listens, 0);
	assert_int_equal(c->n_certificates, 0);
	assert_string_equal(c->upstream_ca_file, "");
	assert_int_equal(c->n_engines, 1);
	assert_string_equal(c->engines[0], "unix:/run/relay/e3.sock");
	assert_int_equal(c->engine_links, 2);
	assert_int_equal(c->engine_timeout_ms, 5000);
	assert_int_equal(c->link_stall_ms, 10000);
	assert_int_equal(c->redis.n_endpoints, 0);
	assert_null(c->redis.write);
	assert_null(c->redis.sentinel);
	assert_null(c->redis.user);
	assert_null(c->redis.password_file);
	assert_null(c->redis.ca_file);
	assert_false(c->redis.tls);
	assert_int_equal(c->redis.db, 0);
	assert_int_equal(c->max_delete_percent, 30);
	assert_int_equal(c->max_body_bytes, 8u << 20);
	assert_int_equal(c->max_body_fields, 65536);
	assert_int_equal(c->drain_timeout_ms, 30000);
	assert_true(c->seccomp);
	assert_string_equal(c->dns_servers, "");
	conf_free(&c);
	assert_null(c);
	conf_free(&c);
}

static void
test_an_empty_engine_file_gives_every_default(void **state)
{
	struct conf_e3 *c = good_e3("# nothing\n");

	(void)state;
	assert_string_equal(c->path, "/x/e3.conf");
	assert_int_equal(c->n_listens, 1);
	assert_string_equal(c->listens[0], "unix:/run/relay/e3.sock");
	assert_string_equal(c->root_key, "/x/root.key");
	assert_string_equal(c->link_dir, "/x/link");
	assert_string_equal(c->state_dir, "/var/lib/e3");
	assert_string_equal(c->helper_socket, "/run/relay/helper.sock");
	assert_string_equal(c->name, "e3");
	assert_int_equal(c->threads, 0);
	assert_int_equal(c->secure_heap_kib, 4096);
	assert_int_equal(c->max_links, 256);
	assert_int_equal(c->max_queue, 4096);
	assert_int_equal(c->auth_cache_s, 5);
	assert_int_equal(c->app_fields_per_s, 0);
	assert_int_equal(c->app_calls, 2048);
	assert_int_equal(c->leaf_per_minute, 600);
	assert_string_equal(c->rpc_signatures, "changes");
	assert_string_equal(c->announce, "");
	assert_string_equal(c->statistics_file, "");
	assert_false(c->require_replica);
	assert_int_equal(c->redis.n_endpoints, 0);
	conf_e3_free(&c);
}

static void
test_a_whole_file(void **state)
{
	struct conf *c = good(
	    "workers = 3\n"
	    "listen \"ingress\" { address = { \"127.0.0.1:8443\",\n"
	    "    \"[::1]:8443\" } }\n"
	    "certificate \"default\" { chain = \"tls/a.pem\" key = '/k/a.key'"
	    " names = {\"a.test\", \"*.b.test\"} }\n"
	    "certificate \"second\" { chain = b.pem\n key = b.key }\n"
	    "redis = { \"10.0.0.1:6379\" }\n"
	    "redis += { \"r.test:6379\", \"unix:redis.sock\" }\n"
	    "redis_password_file = secret\n"
	    "redis_tls = yes\n"
	    "engine = { \"unix:e3.sock\", \"e3.test:3443\" }\n"
	    "log_level = debug\n"
	    "engine_conf = \"\"\n"
	    "seccomp = off\n"
	    "/* the end */\n");

	(void)state;
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->n_listens, 2);
	assert_string_equal(c->listens[0].address, "127.0.0.1:8443");
	assert_string_equal(c->listens[1].address, "[::1]:8443");
	assert_int_equal(c->listens[1].kind, CONF_LISTEN_INGRESS);
	assert_int_equal(c->n_certificates, 2);
	assert_string_equal(c->certificates[0].name, "default");
	assert_string_equal(c->certificates[0].chain, "/x/tls/a.pem");
	assert_string_equal(c->certificates[0].key, "/k/a.key");
	assert_int_equal(c->certificates[0].n_names, 2);
	assert_string_equal(c->certificates[0].names[1], "*.b.test");
	assert_string_equal(c->certificates[1].name, "second");
	assert_int_equal(c->certificates[1].n_names, 0);
	assert_int_equal(c->redis.n_endpoints, 3);
	assert_string_equal(c->redis.endpoints[0], "10.0.0.1:6379");
	assert_string_equal(c->redis.endpoints[2], "unix:/x/redis.sock");
	assert_string_equal(c->redis.password_file, "/x/secret");
	assert_true(c->redis.tls);
	assert_int_equal(c->n_engines, 2);
	assert_string_equal(c->engines[0], "unix:/x/e3.sock");
	assert_string_equal(c->engines[1], "e3.test:3443");
	assert_int_equal(c->log_level, LOG_DEBUG);
	assert_string_equal(c->engine_conf, "");
	assert_false(c->seccomp);
	conf_free(&c);
}

/* No ingress is needed, and no certificate where no TLS begins. */
static void
test_every_kind_of_listener(void **state)
{
	struct conf *c = good(
	    "listen \"egress-plain\" { address = \"0.0.0.0:1\" }\n"
	    "listen \"api\" { address = { \"127.9.0.1:2\", \"[::1]:2\",\n"
	    "    \"[::ffff:127.0.0.1]:3\" } }\n"
	    "listen \"ca\" { address = \"[::]:4\" }\n");

	(void)state;
	assert_int_equal(c->n_listens, 5);
	assert_int_equal(c->listens[0].kind, CONF_LISTEN_EGRESS_PLAIN);
	assert_int_equal(c->listens[1].kind, CONF_LISTEN_API);
	assert_int_equal(c->listens[3].kind, CONF_LISTEN_API);
	assert_int_equal(c->listens[4].kind, CONF_LISTEN_CA);
	conf_free(&c);
	c = good("allow_plain_api = true\n"
	    "listen \"api\" { address = \"0.0.0.0:2\" }\n"
	    "listen \"egress\" { address = \"0.0.0.0:3\" }\n"
	    "listen \"egress-strict\" { address = \"0.0.0.0:4\" }\n"
	    "listen \"api-tls\" { address = \"0.0.0.0:5\" }\n"
	    "certificate d { chain = c key = k }\n");
	assert_int_equal(c->n_listens, 4);
	assert_int_equal(c->listens[0].kind, CONF_LISTEN_API);
	assert_int_equal(c->listens[1].kind, CONF_LISTEN_EGRESS);
	assert_int_equal(c->listens[2].kind, CONF_LISTEN_EGRESS_STRICT);
	assert_int_equal(c->listens[3].kind, CONF_LISTEN_API_TLS);
	assert_string_equal(conf_listen_name(CONF_LISTEN_API_TLS), "api-tls");
	assert_true(conf_listen_is_tls(CONF_LISTEN_API_TLS));
	assert_false(conf_listen_is_tls(CONF_LISTEN_CA));
	conf_free(&c);
}

static void
test_egress_options(void **state)
{
	struct conf *c = good("");

	(void)state;
	assert_false(c->egress_default_deny);
	assert_int_equal(c->n_egress_internal, 0);
	assert_false(c->egress_plain_http);
	assert_false(c->egress_open_headers);
	assert_false(c->egress_open_query);
	assert_false(c->allow_plain_api);
	assert_int_equal(c->n_egress_pass_through, 0);
	assert_int_equal(c->leaf_cache_size, 1024);
	assert_int_equal(c->leaf_quota_per_minute, 30);
	assert_int_equal(c->auth_failures_per_minute, 60);
	assert_int_equal(c->outbound_poll_s, 5);
	assert_string_equal(c->relay_domain, "relay.test");
	assert_int_equal(c->max_file_bytes, 25u << 20);
	assert_int_equal(c->max_token_bytes, 1u << 20);
	conf_free(&c);
	c = good("egress_default = deny\n"
	    "egress_internal = { \"10.1.0.0/16\", \"::1\" }\n"
	    "egress_pass_through = { \"Pin.Test\", \"*.Pins.Test\", \"::1\" }\n");
	assert_true(c->egress_default_deny);
	assert_int_equal(c->n_egress_internal, 2);
	assert_string_equal(c->egress_internal[0], "10.1.0.0/16");
	assert_int_equal(c->n_egress_pass_through, 3);
	assert_string_equal(c->egress_pass_through[0], "pin.test");
	assert_string_equal(c->egress_pass_through[1], "*.pins.test");
	conf_free(&c);
	c = good("egress_default = allow\n");
	assert_false(c->egress_default_deny);
	conf_free(&c);
}

static void
test_one_listen_address_needs_no_list(void **state)
{
	struct conf *c = good("listen ingress { address = \"0.0.0.0:443\" }\n"
	    "certificate d { chain = c key = k }\n");

	(void)state;
	assert_int_equal(c->n_listens, 1);
	assert_string_equal(c->listens[0].address, "0.0.0.0:443");
	conf_free(&c);
}

static void
test_an_empty_list_is_not_the_default(void **state)
{
	struct conf *c = good("engine = { }\n");

	(void)state;
	assert_int_equal(c->n_engines, 0);
	conf_free(&c);
}

static void
test_a_credential_is_not_a_path(void **state)
{
	struct conf_e3 *c = good_e3("root_key = \"credential:root\"\n");

	(void)state;
	assert_string_equal(c->root_key, "credential:root");
	conf_e3_free(&c);
}

/* Lowest and highest value pass, one beyond is named with its line. */
static void
check_bounds(enum conf_which which)
{
	char text[256], message[256];

	for (const struct option *o = conf_table(which); o->name != NULL;
	    o++) {
		if (o->type != OPTION_UINT && o->type != OPTION_U64 &&
		    o->type != OPTION_INT)
			continue;
		for (int high = 0; high < 2; high++) {
			struct conf *c = NULL;
			struct conf_e3 *e = NULL;
			uint64_t edge = high ? o->max : o->min;

			(void)snprintf(text, sizeof(text), "\n%s = %llu\n",
			    o->name, (unsigned long long)edge);
			if (which == CONF_RELAY)
				c = good(text);
			else
				e = good_e3(text);
			conf_free(&c);
			conf_e3_free(&e);
			(void)snprintf(text, sizeof(text), "\n\n%s = %lld\n",
			    o->name, (long long)edge + (high ? 1 : -1));
			(void)snprintf(message, sizeof(message), "/x/%s:3: "
			    "option '%s': %lld is %s %llu",
			    which == CONF_RELAY ? "relay.conf" : "e3.conf",
			    o->name, (long long)edge + (high ? 1 : -1),
			    high ? "above" : "below",
			    (unsigned long long)edge);
			if (which == CONF_RELAY)
				bad(text, message);
			else
				bad_e3(text, message);
		}
	}
}

static void
test_every_bound(void **state)
{
	(void)state;
	check_bounds(CONF_RELAY);
	check_bounds(CONF_E3);
}

static void
test_every_default_is_within_its_bounds(void **state)
{
	static const enum conf_which all[] = { CONF_RELAY, CONF_E3 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (const struct option *o = conf_table(all[i]);
		    o->name != NULL; o++) {
			unsigned long long n;

			assert_non_null(o->help);
			if (o->type != OPTION_UINT && o->type != OPTION_U64 &&
			    o->type != OPTION_INT)
				continue;
			n = strtoull(o->def, NULL, 10);
			assert_in_range(n, o->min, o->max);
		}
	}
}

static void
test_messages_name_file_line_and_option(void **state)
{
	static const struct {
		const char	*text, *message;
	} t[] = {
		{ "workers = 9999\n", "/x/relay.conf:1: option 'workers': "
		    "9999 is above 512" },
		{ "workers = 1\nworkers = 2\n", "/x/relay.conf:2: option "
		    "'workers' is given twice" },
		{ "\n\nworker = 1\n", "/x/relay.conf:3: no such option "
		    "'worker'" },
		{ "workers = many\n", "/x/relay.conf:1: invalid integer value "
		    "for option 'workers'" },
		{ "seccomp = maybe\n", "/x/relay.conf:1: invalid boolean value "
		    "for option 'seccomp'" },
		{ "log_level = loud\n", "/x/relay.conf:1: option 'log_level': "
		    "must be error, warn, info or debug" },
		{ "# ok\nstate_dir = \"\"\n", "/x/relay.conf:2: option "
		    "'state_dir': must not be empty" },
		{ "redis = { \"a.test:1\",\n\"a.test\" }\n",
		    "/x/relay.conf:2: option 'redis': not host:port" },
		{ "listen \"ingress\" {\n\taddress = \"a.test:443\"\n}\n",
		    "/x/relay.conf:2: option 'address': not an IP address" },
		{ "listen \"egres\" { address = \"127.0.0.1:1\" }\n",
		    "/x/relay.conf: listen \"egres\": not one of ingress, "
		    "egress, egress-plain, egress-strict, api, api-tls and ca" },
		{ "listen \"api\" { address = \"127.0.0.1:1\" }\n"
		    "listen \"egress-strict\" { address = \"127.0.0.1:2\" }\n",
		    "/x/relay.conf: listen \"egress-strict\" needs a certificate "
		    "section" },
		{ "listen \"ca\" { }\n", "/x/relay.conf: listen \"ca\": "
		    "address is missing" },
		{ "listen \"api\" { address = \"0.0.0.0:80\" }\n",
		    "/x/relay.conf: listen \"api\": 0.0.0.0:80 is not a "
		    "loopback address: use \"api-tls\", or set "
		    "allow_plain_api" },
		{ "listen \"api\" { address = \"[::]:80\" }\n",
		    "/x/relay.conf: listen \"api\": [::]:80 is not a "
		    "loopback address: use \"api-tls\", or set "
		    "allow_plain_api" },
		{ "listen \"api\" { address = \"127.0.0.1:80\" }\n"
		    "listen \"ca\" { address = \"127.0.0.1:80\" }\n",
		    "/x/relay.conf: address 127.0.0.1:80 is listened on twice" },
		{ "egress_default = some\n", "/x/relay.conf:1: option "
		    "'egress_default': must be allow or deny" },
		{ "egress_default = \"\"\n", "/x/relay.conf:1: option "
		    "'egress_default': must be allow or deny" },
		{ "egress_pass_through = { \"a.test\", \"a b\" }\n",
		    "/x/relay.conf:1: option 'egress_pass_through': not a "
		    "server name" },
		{ "listen \"ingress\" { }\n", "/x/relay.conf: listen "
		    "\"ingress\": address is missing" },
		{ "listen \"ingress\" { address = \"127.0.0.1:1\" }\n",
		    "/x/relay.conf: listen \"ingress\" needs a certificate "
		    "section" },
		{ "listen \"ingress\" { address = {\"127.0.0.1:1\", "
		    "\"127.0.0.1:1\"} }\ncertificate c { chain = c key = k }\n",
		    "/x/relay.conf: address 127.0.0.1:1 is listened on twice" },
		{ "certificate \"c\" { chain = c }\n", "/x/relay.conf: "
		    "certificate \"c\": key is missing" },
		{ "certificate \"c\" {\nchain = \"\" }\n", "/x/relay.conf:2: "
		    "option 'chain': must not be empty" },
		{ "certificate \"c\" { chain = c key = k names = \"*.c\" }\n",
		    "/x/relay.conf:1: option 'names': a wildcard needs a name "
		    "of two labels behind it" },
		{ "node = \"${HOME}\"\n", "/x/relay.conf:1: ${...} is not "
		    "expanded here: write the value" },
		{ "node = \"a\\nb\"\n", "/x/relay.conf:1: option 'node': holds "
		    "a control character" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		bad(t[i].text, t[i].message);
}

/* Whatever stands above the fault, its own line is named. */
static void
test_lines_are_counted_through_comments(void **state)
{
	static const char *const above[] = {
		"# c\n", "#\n#\n", "// c\n", "/* c */\n", "/* c\n * c\n */\n",
		"node = \"#a\" # c\n", "node = a#c\n", "node = a//b\n",
		"node = '\\'#'\n", "node = \"a\\\"//\" // c\n",
		"redis = { # c\n\"a:1\", // c\n\"b:1\"\n}\n",
		"listen ingress {\n# c\n}\n", "# \"\n", "# '\n", "/* # */\n",
	};
	char text[256], message[128];

	(void)state;
	for (size_t i = 0; i < sizeof(above) / sizeof(above[0]); i++) {
		unsigned line = 1;

		for (const char *p = above[i]; *p != '\0'; p++)
			line += *p == '\n';
		(void)snprintf(text, sizeof(text), "%sx = 1\n", above[i]);
		(void)snprintf(message, sizeof(message),
		    "/x/relay.conf:%u: no such option 'x'", line);
		bad(text, message);
	}
}

static void
test_comments_do_not_reach_into_values(void **state)
{
	struct conf *c = good("node = \"a # b // c /* d */\"\n");

	(void)state;
	assert_string_equal(c->node, "a # b // c /* d */");
	conf_free(&c);
	c = good("# ${HOME} may be said here\nnode = a//b\n");
	assert_string_equal(c->node, "a//b");
	conf_free(&c);
}

static void
test_the_same_title_twice_is_refused(void **state)
{
	struct conf_fault fault;
	struct conf *c;

	(void)state;
	assert_int_equal(conf_read_text("/x/relay.conf", span_of(
	    "certificate a { chain = c key = k }\n"
	    "certificate a { chain = c key = k }\n"), &c, &fault), RC_SYNTAX);
	assert_non_null(strstr(fault.text, "/x/relay.conf:2: "));
}

static void
test_engine_listens(void **state)
{
	struct conf_e3 *c;

	(void)state;
	c = good_e3("listen = { \"unix:a.sock\", \"127.0.0.1:3443\" }\n");
	assert_string_equal(c->listens[0], "unix:/x/a.sock");
	assert_string_equal(c->listens[1], "127.0.0.1:3443");
	conf_e3_free(&c);
	bad_e3("listen = { }\n", "/x/e3.conf: option 'listen': one unix:PATH "
	    "and at most one IP:port, not 0 and 0");
	bad_e3("listen = { \"127.0.0.1:1\" }\n", "/x/e3.conf: option 'listen': "
	    "one unix:PATH and at most one IP:port, not 0 and 1");
	bad_e3("listen = { \"unix:a\", \"unix:b\" }\n", "/x/e3.conf: option "
	    "'listen': one unix:PATH and at most one IP:port, not 2 and 0");
	bad_e3("listen = { \"unix:a\", \"e3.test:1\" }\n", "/x/e3.conf:1: "
	    "option 'listen': not an IP address");
	bad_e3("secure_heap_kib = 1000\n", "/x/e3.conf:1: option "
	    "'secure_heap_kib': 1000 is not a power of two");
	bad_e3("rpc_signatures = some\n", "/x/e3.conf:1: option "
	    "'rpc_signatures': must be changes or all");
	bad_e3("announce = \"e3.test\"\n", "/x/e3.conf:1: option "
	    "'announce': not host:port");
}

static void
test_too_many_values(void **state)
{
	struct buffer text;

	(void)state;
	buffer_init(&text, 0, false);
	buffer_puts(&text, "redis = {");
	for (int i = 0; i <= CONF_LIST_MAX; i++)
		buffer_printf(&text, "%s\"10.0.0.1:%d\"", i == 0 ? "" : ",",
		    i + 1);
	buffer_puts(&text, "}\n");
	bad(buffer_cstr(&text), "/x/relay.conf:1: option 'redis': more than "
	    "32 values");
	buffer_fini(&text);
}

static void
test_bytes_that_are_no_text(void **state)
{
	struct conf_fault fault;
	struct conf *c;

	(void)state;
	assert_int_equal(conf_read_text("/x/relay.conf",
	    SPAN_LIT("\nworkers = 1\0\n"), &c, &fault), RC_SYNTAX);
	assert_string_equal(fault.text, "/x/relay.conf:2: a NUL byte");
}

/* Every prefix of a file ends in an answer, and leaks nothing. */
static void
test_a_cut_file(void **state)
{
	static const char text[] = "listen \"ingress\" { address = "
	    "{ \"127.0.0.1:1\", '[::1]:2' } }\ncertificate \"c\" { chain = c "
	    "key = k names = { a, b } }\nworkers /* x */ = 1 # y\n";
	struct conf_fault fault;
	struct conf *c;
	enum rc rc;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		rc = conf_read_text("/x/relay.conf", (struct span){ text, n },
		    &c, &fault);
		assert_true((rc == RC_OK) == (fault.text[0] == '\0'));
		assert_true((rc == RC_OK) == (c != NULL));
		conf_free(&c);
	}
}

static void
test_a_file_that_is_not_there(void **state)
{
	struct conf_fault fault;
	struct conf *c;

	(void)state;
	assert_int_equal(conf_read("/nonexistent/relay.conf", &c, &fault),
	    RC_IO);
	assert_null(c);
	assert_string_equal(fault.text,
	    "/nonexistent/relay.conf: No such file or directory");
}

/* What we print as sample is read back as the defaults, also uncommented. */
static void
test_the_sample_file_holds_the_defaults(void **state)
{
	struct buffer plain;
	char *text = NULL;
	size_t len = 0;
	struct conf *c;
	FILE *fp;

	(void)state;
	fp = open_memstream(&text, &len);
	assert_non_null(fp);
	conf_print(fp, CONF_RELAY, CONF_PRINT_SAMPLE);
	assert_int_equal(fclose(fp), 0);
	c = good(text);
	conf_free(&c);
	buffer_init(&plain, 0, false);
	for (char *p = text, *end; (end = strchr(p, '\n')) != NULL;
	    p = end + 1) {
		/* The sections' own examples cannot hold as they are. */
		if (strncmp(p, "#listen", 7) == 0)
			p = strstr(p, "# PEM file of CAs");
		end = strchr(p, '\n');
		if (p[0] == '#' && p[1] != ' ')
			p++;
		buffer_put(&plain, p, (size_t)(end + 1 - p));
	}
	c = good(buffer_cstr(&plain));
	assert_string_equal(c->run_dir, "/run/relay");
	assert_string_equal(c->engines[0], "unix:/run/relay/e3.sock");
	conf_free(&c);
	buffer_fini(&plain);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_file_gives_every_default),
		cmocka_unit_test(test_an_empty_engine_file_gives_every_default),
		cmocka_unit_test(test_a_whole_file),
		cmocka_unit_test(test_one_listen_address_needs_no_list),
		cmocka_unit_test(test_every_kind_of_listener),
		cmocka_unit_test(test_egress_options),
		cmocka_unit_test(test_an_empty_list_is_not_the_default),
		cmocka_unit_test(test_a_credential_is_not_a_path),
		cmocka_unit_test(test_every_bound),
		cmocka_unit_test(test_every_default_is_within_its_bounds),
		cmocka_unit_test(test_messages_name_file_line_and_option),
		cmocka_unit_test(test_lines_are_counted_through_comments),
		cmocka_unit_test(test_comments_do_not_reach_into_values),
		cmocka_unit_test(test_the_same_title_twice_is_refused),
		cmocka_unit_test(test_engine_listens),
		cmocka_unit_test(test_too_many_values),
		cmocka_unit_test(test_bytes_that_are_no_text),
		cmocka_unit_test(test_a_cut_file),
		cmocka_unit_test(test_a_file_that_is_not_there),
		cmocka_unit_test(test_the_sample_file_holds_the_defaults),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
