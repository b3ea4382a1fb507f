/*
 * conf/conf_file.h - relay.conf and e3.conf: libConfuse syntax, ONE option
 * table with type, default, bounds and help (conf_file.c); relay.conf(5) and
 * the sample files are generated from it.
 * Context:   start and reload; blocking file reads.  Pure when given text.
 * Ownership: conf_free gives everything back; strings are owned by the struct.
 *
 * Paths in a file may be relative to the file's folder; they come out
 * absolute.
 */
#ifndef RELAY_CONF_CONF_FILE_H
#define RELAY_CONF_CONF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/result.h"
#include "lib/base/string.h"

/* Below run_dir: where workers ask the feed for changes. */
#define CONF_FEED_WORKER_SOCKET	"feed-worker.sock"

#define CONF_LIST_MAX	32	/* addresses, certificates, engines */

enum conf_listen_kind {
	CONF_LISTEN_INGRESS,		/* reverse proxy, TLS */
	CONF_LISTEN_EGRESS,		/* CONNECT proxy, TLS */
	CONF_LISTEN_EGRESS_PLAIN,	/* CONNECT in clear: no credentials on it */
	CONF_LISTEN_EGRESS_STRICT,	/* TLS; 407 to a CONNECT without them */
	CONF_LISTEN_API,		/* key API, plain HTTP */
	CONF_LISTEN_API_TLS,		/* key API, TLS */
	CONF_LISTEN_CA			/* the egress CA as PEM, plain HTTP */
};

/* The section's title; does TLS begin there at once? */
const char *conf_listen_name(enum conf_listen_kind);
bool conf_listen_is_tls(enum conf_listen_kind);

struct conf_listen {			/* listen "ingress" { ... } */
	enum conf_listen_kind	kind;
	char			*address;	/* "127.0.0.1:8443" */
};

struct conf_certificate {		/* certificate "default" { ... } */
	char	*name;
	char	*chain;			/* path: PEM, leaf first */
	char	*key;			/* path: PEM */
	char	**names;		/* server names, "*.x" allowed; empty:
					   taken from the certificate's SAN */
	size_t	n_names;
};

struct conf_redis {			/* shared by relay.conf and e3.conf */
	char	**endpoints;		/* redis = { "host:port", ... }; empty:
					   no Redis */
	size_t	n_endpoints;
	char	*write;			/* redis_write: for writes, or NULL */
	char	*sentinel;		/* redis_sentinel: master name: the
					   endpoints are Sentinels then */
	char	*user;			/* redis_user */
	char	*password_file;		/* redis_password_file (path) */
	bool	tls;			/* redis_tls */
	char	*ca_file;		/* redis_ca_file; NULL: system store */
	int	db;			/* redis_db */
};

struct conf {
	char			*path;		/* the file, for messages */

	unsigned		workers;	/* workers: 0 = one per core */
	char			*state_dir;	/* state_dir: map below it */
	char			*run_dir;	/* run_dir: control sockets */
	char			*link_dir;	/* link_dir: ca.pem, <role>.pem,
						   <role>.key, revoked */
	char			*engine_conf;	/* engine_conf: e3.conf path;
						   "": no local engine */
	char			*worker_user;	/* "relay" */
	char			*feed_user;	/* "relay-feed" */
	char			*engine_user;	/* "e3" */
	char			*helper_user;	/* "e3-helper" */
	char			*admin_group;	/* "relay-admin" */
	char			*map_group;	/* "relay" */
	char			*log_file;	/* log_file: "" = stderr */
	enum log_level		log_level;	/* log_level */
	char			*node;		/* node: name in relay:nodes; "":
						   the host name */

	struct conf_listen	*listens;
	size_t			n_listens;
	struct conf_certificate	*certificates;	/* the first is the default */
	size_t			n_certificates;
	char			*upstream_ca_file; /* extra trust for all
						   destinations; "" none */
	char			**trusted_proxies; /* CIDR blocks whose PROXY
						   headers and X-Forwarded-*
						   are believed */
	size_t			n_trusted_proxies;

	char			**engines;	/* engine = { "unix:...", "host:port" } */
	size_t			n_engines;
	bool			engine_announced; /* those of relay:engines too */
	unsigned		engine_links;	/* links per engine and worker, 2 */
	unsigned		engine_timeout_ms; /* one call, 5000 */
	unsigned		link_stall_ms;	/* 10000 */

	struct conf_redis	redis;
	unsigned		max_delete_percent;	/* 30 */
	unsigned		compare_interval_s;	/* digests compared, 60 */

	/* client side; every state of a connection has one of these */
	unsigned		handshake_timeout_ms;	/* 10000 */
	unsigned		head_timeout_ms;	/* 10000, whole head */
	unsigned		body_timeout_ms;	/* 30000 without progress */
	unsigned		idle_timeout_ms;	/* 60000 keep-alive */
	unsigned		write_timeout_ms;	/* 30000 without progress */
	unsigned		linger_ms;		/* 2000 */
	unsigned		min_body_rate;		/* bytes/s, 0 = off; 64 */
	unsigned		min_read_rate;		/* bytes/s, 0 = off; 64 */
	unsigned		expect_timeout_ms;	/* 1000: then we say 100 */
	unsigned		tunnel_idle_ms;		/* 300000 */
	/* origin side */
	unsigned		connect_timeout_ms;	/* 5000: TCP + TLS */
	unsigned		response_timeout_ms;	/* 60000: until the head */
	unsigned		origin_body_timeout_ms;	/* 60000 without progress */
	unsigned		connect_attempt_delay_ms; /* 250: next address beside */
	unsigned		origin_max_fails;	/* 5 in a row: circuit opens; 0 off */
	unsigned		origin_fail_ms;		/* 2000: how long it stays open */
	unsigned		origin_idle_ms;		/* 30000 pooled */
	unsigned		origin_pool_size;	/* 64 idle per origin */
	/* limits */
	unsigned		max_connections;	/* per worker, 10000 */
	unsigned		max_head_bytes;		/* 65536 */
	unsigned		max_target_bytes;	/* 16384 */
	unsigned		max_fields;		/* header lines, 256 */
	uint64_t		max_body_bytes;		/* with selectors, 8 MiB */
	uint64_t		max_held_bytes;		/* bodies held by a worker, 256 MiB */
	bool			reencode_bodies;	/* requests; false */
	unsigned		max_body_fields;	/* 65536 */
	unsigned		stream_buffer_bytes;	/* bodies that are only opened, 256 KiB */
	uint64_t		max_file_bytes;		/* one %EVENC file, 25 MiB */
	uint64_t		max_token_bytes;	/* longest token looked for, 1 MiB */
	/* egress */
	bool			egress_default_deny;	/* egress_default = "deny" */
	char			**egress_internal;	/* CIDR blocks that are not public,
							   and may be reached by all */
	size_t			n_egress_internal;
	bool			egress_plain_http;	/* http:// destinations, on TLS
							   listeners */
	char			**egress_pass_through;	/* blind tunnels: "host", "*.x";
							   canonical */
	size_t			n_egress_pass_through;
	bool			egress_open_headers;	/* tokens in header fields */
	bool			egress_open_query;	/* tokens in the query */
	unsigned		leaf_cache_size;	/* leaves per worker, 1024 */
	unsigned		leaf_quota_per_minute;	/* per client address, of tunnels
							   without credentials, 30 */
	unsigned		auth_failures_per_minute; /* per client address, 60 */
	/* key API */
	bool			allow_plain_api;	/* beyond loopback */
	unsigned		outbound_poll_s;	/* X-Poll-Interval, 5 */
	char			*relay_domain;	/* of relays that are made there,
						   "relay.test" */
	/* life */
	unsigned		drain_timeout_ms;	/* 30000 */
	bool			seccomp;		/* true */
	char			*dns_servers;		/* "": resolv.conf */
};

/* In front of the name of a systemd credential, for root_key only. */
#define CONF_CREDENTIAL	"credential:"

struct conf_e3 {
	char			*path;
	char			**listens;	/* listen = { "unix:...", "ip:port" } */
	size_t			n_listens;	/* one unix, optionally one TCP */
	char			*root_key;	/* path; "credential:NAME" reads
						   $CREDENTIALS_DIRECTORY/NAME */
	char			*link_dir;
	char			*state_dir;	/* sealed records */
	char			*helper_socket;	/* unix path, relayctl -> helper */
	char			*name;		/* announced engine name */
	unsigned		threads;	/* crypto threads; 0: cores - 1, >= 1 */
	unsigned		secure_heap_kib; /* 4096, a power of two */
	unsigned		max_links;	/* 256 */
	unsigned		max_queue;	/* calls waiting, 4096 */
	unsigned		auth_cache_s;	/* how long hashes may be kept, 5 */
	unsigned		app_fields_per_s; /* 0: no limit */
	unsigned		app_calls;	/* one app's calls at once, 2048 */
	unsigned		leaf_per_minute; /* of one worker, 600 */
	char			*rpc_signatures; /* "changes" or "all" */
	char			*announce;	/* host:port, or empty */
	char			*statistics_file; /* empty: in state_dir */
	bool			require_replica; /* false */
	struct conf_redis	redis;
};

struct conf_fault {
	char	text[512];	/* "FILE:LINE: option 'workers': 9999 is above 512" */
};

/* Read and check.  RC_OK; RC_SYNTAX or RC_IO with fault->text. */
enum rc conf_read(const char *path, struct conf **, struct conf_fault *)
    must_check;
/* The same from text; `path` is used in messages and for relative paths. */
enum rc conf_read_text(const char *path, struct span text, struct conf **,
    struct conf_fault *) must_check;
void conf_free(struct conf **);

enum rc conf_e3_read(const char *path, struct conf_e3 **,
    struct conf_fault *) must_check;
enum rc conf_e3_read_text(const char *path, struct span text,
    struct conf_e3 **, struct conf_fault *) must_check;
void conf_e3_free(struct conf_e3 **);

/* The option tables as a man page section (mdoc) or as a sample file with
 * every option commented out at its default. */
enum conf_which { CONF_RELAY, CONF_E3 };
enum conf_print { CONF_PRINT_MDOC, CONF_PRINT_SAMPLE };
void conf_print(FILE *, enum conf_which, enum conf_print);

#endif
