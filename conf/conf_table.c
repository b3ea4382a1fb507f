/*
 * conf/conf_table.c - THE option table of relay.conf and of e3.conf.
 *
 * Everything about an option is said here once: reader, bounds, man page and
 * sample files all come from it.  Order is the order of the manual.
 */
#include "conf/conf_private.h"

#define UINT(n, s, d, lo, hi, u, h)					\
	{ .name = n, .type = OPTION_UINT, .at = s, .def = d, .min = lo,	\
	  .max = hi, .unit = u, .help = h }
#define FLAG(n, s, d, h)						\
	{ .name = n, .type = OPTION_BOOL, .at = s, .def = d, .help = h }
#define TEXT(n, s, c, f, d, h)						\
	{ .name = n, .type = OPTION_TEXT, .check = c, .flags = f,	\
	  .at = s, .def = d, .help = h }
#define PATH(n, s, c, f, d, h)						\
	{ .name = n, .type = OPTION_PATH, .check = c, .flags = f,	\
	  .at = s, .def = d, .help = h }
#define TEXTS(n, s, cnt, c, f, d, h)					\
	{ .name = n, .type = OPTION_TEXTS, .check = c, .flags = f,	\
	  .at = s, .at_count = cnt, .def = d, .help = h }
#define SECTION(n, t, h)						\
	{ .name = n, .type = OPTION_SECTION, .sub = t, .help = h }

#define AT(f)	offsetof(struct conf, f)
#define AT3(f)	offsetof(struct conf_e3, f)

#define MS	"milliseconds"
#define HOUR_MS	3600000u

/* Both files speak to the same Redis in the same words. */
#define REDIS(base)							\
	TEXTS("redis", (base) + offsetof(struct conf_redis, endpoints),	\
	    (base) + offsetof(struct conf_redis, n_endpoints),		\
	    CHECK_LINK, 0, NULL,					\
	    "Redis servers as host:port or unix:PATH, tried in this order."\
	    "  Empty: no Redis."),					\
	TEXT("redis_write", (base) + offsetof(struct conf_redis, write),\
	    CHECK_LINK, OPTION_NULL, NULL,				\
	    "Where writes go when the servers above are replicas."),	\
	TEXT("redis_sentinel",						\
	    (base) + offsetof(struct conf_redis, sentinel),		\
	    CHECK_NONE, OPTION_NULL, NULL,				\
	    "Name of a Sentinel group; the servers above are Sentinels "\
	    "then."),							\
	TEXT("redis_user", (base) + offsetof(struct conf_redis, user),	\
	    CHECK_NONE, OPTION_NULL, NULL,				\
	    "ACL user.  Empty: the default user."),			\
	PATH("redis_password_file",					\
	    (base) + offsetof(struct conf_redis, password_file),	\
	    CHECK_NONE, OPTION_NULL, NULL,				\
	    "File with the password, readable by the process that needs it."),			\
	FLAG("redis_tls", (base) + offsetof(struct conf_redis, tls),	\
	    "false", "Speak TLS to Redis and verify its certificate."),	\
	PATH("redis_ca_file",						\
	    (base) + offsetof(struct conf_redis, ca_file),		\
	    CHECK_NONE, OPTION_NULL, NULL,				\
	    "PEM file of CAs for redis_tls.  Empty: the system's."),	\
	{ .name = "redis_db", .type = OPTION_INT,			\
	  .at = (base) + offsetof(struct conf_redis, db), .def = "0",	\
	  .min = 0, .max = 65535, .help = "Database number." }

static const struct option listen_options[] = {
	TEXTS("address", offsetof(struct conf_listen_section, addresses),
	    offsetof(struct conf_listen_section, n_addresses),
	    CHECK_IP_PORT, 0, NULL,
	    "One address or a list of them, as IP:port; IPv6 in brackets."),
	{ .name = NULL }
};

static const struct option certificate_options[] = {
	PATH("chain", offsetof(struct conf_certificate, chain), CHECK_SET, 0,
	    NULL, "PEM file of the certificate, leaf first."),
	PATH("key", offsetof(struct conf_certificate, key), CHECK_SET, 0,
	    NULL, "PEM file of the private key, readable by root alone."),
	TEXTS("names", offsetof(struct conf_certificate, names),
	    offsetof(struct conf_certificate, n_names), CHECK_SERVER_NAME, 0,
	    NULL, "Server names it is used for, *.name allowed.  Empty: those "
	    "in the certificate."),
	{ .name = NULL }
};

static const struct option relay_options[] = {
	UINT("workers", AT(workers), "0", 0, 512, "processes",
	    "Worker processes.  0: one for each core."),
	PATH("state_dir", AT(state_dir), CHECK_SET, OPTION_FIXED,
	    "/var/lib/relay", "Folder of the map of relays."),
	PATH("run_dir", AT(run_dir), CHECK_SET, OPTION_FIXED, "/run/relay",
	    "Folder of the control sockets, the lock and the pid file."),
	PATH("link_dir", AT(link_dir), CHECK_SET, 0, "link",
	    "Folder of the engine link certificates: ca.pem, <role>.pem, "
	    "<role>.key and, if there is one, revoked."),
	PATH("engine_conf", AT(engine_conf), CHECK_NONE, OPTION_FIXED,
	    "e3.conf", "Configuration of the engine that relayd starts.  "
	    "Empty: no engine on this machine."),
	TEXT("worker_user", AT(worker_user), CHECK_NONE, OPTION_FIXED,
	    "relay", "User of relay-worker.  Users count only when relayd is "
	    "started by root; empty: the caller's."),
	TEXT("feed_user", AT(feed_user), CHECK_NONE, OPTION_FIXED,
	    "relay-feed", "User of relay-feed."),
	TEXT("engine_user", AT(engine_user), CHECK_NONE, OPTION_FIXED, "e3",
	    "User of e3d."),
	TEXT("helper_user", AT(helper_user), CHECK_NONE, OPTION_FIXED,
	    "e3-helper", "User of e3-helper."),
	TEXT("admin_group", AT(admin_group), CHECK_NONE, OPTION_FIXED,
	    "relay-admin", "Group that may use the control sockets.  Empty: "
	    "the caller's."),
	TEXT("map_group", AT(map_group), CHECK_NONE, OPTION_FIXED, "relay",
	    "Group that may read the map.  Empty: the caller's."),
	PATH("log_file", AT(log_file), CHECK_NONE, 0, NULL,
	    "File for log lines of every process.  Empty: standard error."),
	{ .name = "log_level", .type = OPTION_LEVEL, .check = CHECK_LEVEL,
	  .at = AT(log_level), .def = "info",
	  .help = "error, warn, info or debug.  Engine and helper take a "
	  "change when they start next." },
	TEXT("node", AT(node), CHECK_NONE, 0, NULL,
	    "Name of this machine in relay:nodes.  Empty: the host name."),
	SECTION("listen", listen_options,
	    "Where clients connect.  The title says what for: \"ingress\" is "
	    "the reverse proxy, over TLS; \"egress\" is the CONNECT proxy, "
	    "over TLS; \"egress-strict\" is the same, but asks for "
	    "credentials at once (407); \"egress-plain\" is the CONNECT proxy "
	    "in clear, where credentials are taken inside of the tunnel only; "
	    "\"api\" is the key API over plain HTTP, on loopback addresses; "
	    "\"api-tls\" is the same over TLS; \"ca\" answers / with the "
	    "certificate that clients of egress must trust, over plain HTTP."),
	SECTION("certificate", certificate_options,
	    "A server certificate; the title is its name.  The first one is "
	    "used when no name matches."),
	PATH("upstream_ca_file", AT(upstream_ca_file), CHECK_NONE, 0, NULL,
	    "PEM file of CAs trusted for every destination, beside the "
	    "system's."),
	TEXTS("trusted_proxies", AT(trusted_proxies), AT(n_trusted_proxies),
	    CHECK_CIDR, 0, NULL, "Proxies in front of this one, as IP or "
	    "IP/bits.  From them a PROXY protocol header (version 1 or 2) says "
	    "who the client is, and X-Forwarded-* and Forwarded are added to "
	    "instead of replaced."),
	TEXTS("engine", AT(engines), AT(n_engines), CHECK_LINK, 0,
	    "unix:/run/relay/e3.sock",
	    "Engines to use, as unix:PATH or host:port."),
	FLAG("engine_announced", AT(engine_announced), "true",
	    "Use engines that announce themselves in Redis, too."),
	UINT("engine_links", AT(engine_links), "2", 1, 16, "links",
	    "Links from each worker to each engine."),
	UINT("engine_timeout_ms", AT(engine_timeout_ms), "5000", 100, 600000,
	    MS, "Longest time for one engine call."),
	UINT("link_stall_ms", AT(link_stall_ms), "10000", 100, 600000, MS,
	    "A link that has calls in flight and makes no progress for this "
	    "long is closed."),
	REDIS(AT(redis)),
	UINT("max_delete_percent", AT(max_delete_percent), "30", 0, 100,
	    "percent", "A full read that would remove more of the records is "
	    "held until relayctl sync --accept."),
	UINT("compare_interval_s", AT(compare_interval_s), "60", 1, 86400,
	    "seconds", "How often the map is compared with Redis."),
	UINT("handshake_timeout_ms", AT(handshake_timeout_ms), "10000", 100,
	    HOUR_MS, MS, "Longest TLS handshake of a client."),
	UINT("head_timeout_ms", AT(head_timeout_ms), "10000", 100, HOUR_MS,
	    MS, "Longest time for a whole request head."),
	UINT("body_timeout_ms", AT(body_timeout_ms), "30000", 100, HOUR_MS,
	    MS, "Longest pause inside a request body."),
	UINT("idle_timeout_ms", AT(idle_timeout_ms), "60000", 100, HOUR_MS,
	    MS, "Longest wait for the next request on a connection."),
	UINT("write_timeout_ms", AT(write_timeout_ms), "30000", 100, HOUR_MS,
	    MS, "Longest time a client may take nothing of an answer."),
	UINT("linger_ms", AT(linger_ms), "2000", 0, 60000, MS,
	    "How long input is still read after the last answer, so that the "
	    "answer is not lost to a reset."),
	UINT("min_body_rate", AT(min_body_rate), "64", 0, 1u << 30,
	    "bytes per second", "Slowest request body.  0: no limit."),
	UINT("min_read_rate", AT(min_read_rate), "64", 0, 1u << 30,
	    "bytes per second", "Slowest reading of an answer.  0: no limit."),
	UINT("expect_timeout_ms", AT(expect_timeout_ms), "1000", 0, HOUR_MS,
	    MS, "How long a destination may take to answer a passed on Expect: "
	    "100-continue before the client is told to go on."),
	UINT("tunnel_idle_ms", AT(tunnel_idle_ms), "300000", 100, HOUR_MS * 24,
	    MS, "Longest silence in a tunnel made by Upgrade (WebSocket)."),
	UINT("connect_timeout_ms", AT(connect_timeout_ms), "5000", 10,
	    600000, MS, "Longest TCP and TLS handshake with a destination."),
	UINT("response_timeout_ms", AT(response_timeout_ms), "60000", 10,
	    HOUR_MS, MS, "Longest wait for the head of a destination's "
	    "answer."),
	UINT("origin_body_timeout_ms", AT(origin_body_timeout_ms), "60000",
	    100, HOUR_MS * 24, MS, "Longest pause inside a destination's "
	    "answer; server-sent events need more than their ping interval."),
	UINT("connect_attempt_delay_ms", AT(connect_attempt_delay_ms), "250",
	    10, 10000, MS, "A destination's next address is tried beside the "
	    "first after this long (RFC 8305)."),
	UINT("origin_max_fails", AT(origin_max_fails), "5", 0, 1000,
	    "failures", "A destination that refused this many connections in "
	    "a row is not asked for origin_fail_ms.  0: always asked."),
	UINT("origin_fail_ms", AT(origin_fail_ms), "2000", 10, HOUR_MS, MS,
	    "How long such a destination is refused at once; then one request "
	    "tries it."),
	UINT("origin_idle_ms", AT(origin_idle_ms), "30000", 0, HOUR_MS, MS,
	    "How long an idle connection to a destination is kept."),
	UINT("origin_pool_size", AT(origin_pool_size), "64", 0, 65536,
	    "connections", "Idle connections kept for each destination and "
	    "worker."),
	UINT("max_connections", AT(max_connections), "10000", 1, 1000000,
	    "connections", "Clients of one worker; more wait in the queue of "
	    "the socket."),
	UINT("max_head_bytes", AT(max_head_bytes), "65536", 1024, 1u << 20,
	    "bytes", "Largest request or response head."),
	UINT("max_target_bytes", AT(max_target_bytes), "16384", 256, 1u << 20,
	    "bytes", "Longest request target."),
	UINT("max_fields", AT(max_fields), "256", 8, 4096, "fields",
	    "Most header fields in one head."),
	{ .name = "max_body_bytes", .type = OPTION_U64,
	  .at = AT(max_body_bytes), .def = "8388608", .min = 1024,
	  .max = 64u << 20, .unit = "bytes",
	  .help = "Largest body that is read for its selectors." },
	{ .name = "max_held_bytes", .type = OPTION_U64,
	  .at = AT(max_held_bytes), .def = "268435456", .min = 1u << 20,
	  .max = 1ull << 40, .unit = "bytes",
	  .help = "Bodies that one worker holds for their selectors, all "
	  "together.  Beyond it requests with work get 503 overloaded." },
	FLAG("reencode_bodies", AT(reencode_bodies), "false",
	    "A request body that came in a content coding (gzip, deflate, br, "
	    "zstd) and was worked on is encoded again; else it goes on as "
	    "identity.  Sealed values hardly shrink, and it takes time."),
	UINT("max_body_fields", AT(max_body_fields), "65536", 1, 65536,
	    "fields", "Most chosen values in one body."),
	UINT("stream_buffer_bytes", AT(stream_buffer_bytes), "262144", 4096,
	    64u << 20, "bytes", "An answer that is only decrypted is passed on "
	    "while it comes once it is longer than this; so is an egress "
	    "request."),
	{ .name = "max_file_bytes", .type = OPTION_U64,
	  .at = AT(max_file_bytes), .def = "26214400", .min = 1024,
	  .max = 64u << 20, .unit = "bytes",
	  .help = "Largest encrypted file that is opened." },
	{ .name = "max_token_bytes", .type = OPTION_U64,
	  .at = AT(max_token_bytes), .def = "1048576", .min = 1024,
	  .max = 16u << 20, .unit = "bytes",
	  .help = "Longest token that egress looks for in a body." },
	{ .name = "egress_default", .type = OPTION_EITHER,
	  .check = CHECK_WORDS, .at = AT(egress_default_deny),
	  .def = "allow", .words = { "allow", "deny" },
	  .help = "allow or deny: the destinations of an app that has no "
	  "list of them in relay:egress." },
	TEXTS("egress_internal", AT(egress_internal), AT(n_egress_internal),
	    CHECK_CIDR, 0, NULL, "Addresses that are not public and may be "
	    "destinations all the same, as IP or IP/bits, also when the app's "
	    "entry does not say \"internal\"."),
	FLAG("egress_plain_http", AT(egress_plain_http), "false",
	    "Take requests for http:// destinations, too, on egress listeners "
	    "over TLS.  What is opened then travels on in clear."),
	TEXTS("egress_pass_through", AT(egress_pass_through),
	    AT(n_egress_pass_through), CHECK_SERVER_NAME, 0, NULL,
	    "Destinations whose TLS is not ended here, as host or *.name: for "
	    "clients that pin a certificate.  Nothing is opened in them; they "
	    "need credentials with CONNECT over TLS."),
	FLAG("egress_open_headers", AT(egress_open_headers), "false",
	    "Open tokens in header fields of egress requests, too."),
	FLAG("egress_open_query", AT(egress_open_query), "false",
	    "Open tokens in the query of egress requests, too."),
	UINT("leaf_cache_size", AT(leaf_cache_size), "1024", 1, 1u << 20,
	    "certificates", "Leaf certificates for egress that each worker "
	    "keeps."),
	UINT("leaf_quota_per_minute", AT(leaf_quota_per_minute), "30", 0,
	    1000000, "certificates", "New leaf certificates for tunnels "
	    "without credentials, for each client address."),
	UINT("auth_failures_per_minute", AT(auth_failures_per_minute), "60",
	    1, 1000000, "failures", "Credentials that were wrong, for each "
	    "client address; then it gets 429, but for API keys that were good "
	    "within the hour."),
	FLAG("allow_plain_api", AT(allow_plain_api), "false",
	    "Let listen \"api\" have addresses that are not loopback.  API "
	    "keys and plaintext are in clear there."),
	UINT("outbound_poll_s", AT(outbound_poll_s), "5", 1, 86400, "seconds",
	    "X-Poll-Interval of the key API's relay-outbound: how often SDKs "
	    "ask for the list of destinations."),
	TEXT("relay_domain", AT(relay_domain), CHECK_SERVER_NAME, 0,
	    "relay.test", "Relays made by the key API have host names below "
	    "this one, DESTINATION.APP.relay_domain: its DNS leads here, and a "
	    "certificate covers them.  Empty: none are made."),
	UINT("drain_timeout_ms", AT(drain_timeout_ms), "30000", 100, HOUR_MS,
	    MS, "How long a process that leaves may finish what it has."),
	FLAG("seccomp", AT(seccomp), "true",
	    "Limit the system calls of each process after its start."),
	TEXT("dns_servers", AT(dns_servers), CHECK_NONE, 0, NULL,
	    "Name servers as IP or IP:port, separated by commas.  Empty: "
	    "those of resolv.conf."),
	{ .name = NULL }
};

static const struct option e3_options[] = {
	TEXTS("listen", AT3(listens), AT3(n_listens), CHECK_BIND, 0,
	    "unix:/run/relay/e3.sock", "Where workers and tools reach the "
	    "engine: one unix:PATH and, if wanted, one IP:port.  Every link "
	    "is mutual TLS 1.3."),
	PATH("root_key", AT3(root_key), CHECK_SET, 0, "root.key",
	    "File of the root key, 32 bytes, mode 0400; or credential:NAME "
	    "for a systemd credential."),
	PATH("link_dir", AT3(link_dir), CHECK_SET, 0, "link",
	    "Folder of the engine's and the helper's link certificates."),
	PATH("state_dir", AT3(state_dir), CHECK_SET, 0, "/var/lib/e3",
	    "Folder of the sealed records."),
	PATH("helper_socket", AT3(helper_socket), CHECK_SOCKET, 0,
	    "/run/relay/helper.sock", "Where relayctl hands over new sealed "
	    "records."),
	TEXT("name", AT3(name), CHECK_SET, 0, "e3",
	    "Name of this engine in status and logs."),
	UINT("threads", AT3(threads), "0", 0, 512, "threads",
	    "Crypto threads.  0: one less than there are cores, at least 1."),
	{ .name = "secure_heap_kib", .type = OPTION_UINT,
	  .check = CHECK_POWER_OF_2, .at = AT3(secure_heap_kib),
	  .def = "4096", .min = 64, .max = 1u << 20, .unit = "KiB",
	  .help = "Locked memory for keys; a power of two.  RLIMIT_MEMLOCK "
	  "must allow it." },
	UINT("max_links", AT3(max_links), "256", 1, 65536, "links",
	    "Most links at once."),
	UINT("max_queue", AT3(max_queue), "4096", 1, 1u << 20, "calls",
	    "Most calls waiting for a crypto thread."),
	UINT("auth_cache_s", AT3(auth_cache_s), "5", 0, 60, "seconds",
	    "How long a worker may remember that an API key is good."),
	UINT("app_fields_per_s", AT3(app_fields_per_s), "0", 0, 1u << 30,
	    "fields per second", "Most values of one app, sealed and opened.  "
	    "Over it calls are refused (429 rate-limited).  0: no limit."),
	UINT("app_calls", AT3(app_calls), "2048", 1, 1u << 20, "calls",
	    "Most calls of one app at once, waiting ones too."),
	UINT("leaf_per_minute", AT3(leaf_per_minute), "600", 1, 1u << 20,
	    "certificates", "Leaf certificates for egress that one worker may "
	    "have issued in a minute."),
	{ .name = "rpc_signatures", .type = OPTION_TEXT,
	  .check = CHECK_SIGNATURES, .at = AT3(rpc_signatures),
	  .def = "changes", .help = "Which calls must be signed by the "
	  "caller's link key: \"changes\", those that change keys; \"all\", "
	  "every call." },
	TEXT("announce", AT3(announce), CHECK_HOST_PORT, 0, NULL,
	    "How the workers of other machines reach this engine, as "
	    "host:port; announced in Redis while the engine is ready.  Empty: "
	    "announced without an address."),
	PATH("statistics_file", AT3(statistics_file), CHECK_NONE, 0, NULL,
	    "File for the engine's statistics, JSON, written every 5 seconds.  "
	    "Empty: statistics.json in state_dir."),
	FLAG("require_replica", AT3(require_replica), "false",
	    "A new key counts as made only when Redis has its sealed record "
	    "too."),
	REDIS(AT3(redis)),
	{ .name = NULL }
};

const struct option *
conf_table(enum conf_which which)
{
	switch (which) {
	case CONF_RELAY:
		return (relay_options);
	case CONF_E3:
		break;
	}
	return (e3_options);
}
