/*
 * redis/endpoint.c: lists, failover, Sentinel (also one that is wrong), TLS,
 * files that cannot be used.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/timer.h"
#include "lib/redis/endpoint.h"
#include "redis_server.h"

#define TICK_MS		10
#define TICKS_MAX	1500

struct owner {
	struct loop		*loop;
	struct net_dns		*dns;
	struct redis_endpoint	*endpoint;
	struct redis_client	*second;
	struct timer		tick;
	unsigned		ticks;
	unsigned		up, lost, failed, second_up, replies;
	char			why[8][128], server[8][256];
	char			text[128];
};

static void
on_up(void *arg, struct redis_client *client)
{
	struct owner *o = arg;

	assert_ptr_equal(client, redis_endpoint_client(o->endpoint));
	o->up++;
}

static void
on_down(void *arg, bool was_up, const char *server, const char *why)
{
	struct owner *o = arg;
	unsigned i = (o->lost + o->failed) % 8;

	assert_null(redis_endpoint_client(o->endpoint));
	(void)snprintf(o->why[i], sizeof(o->why[i]), "%s", why);
	(void)snprintf(o->server[i], sizeof(o->server[i]), "%s", server);
	redis_client_close(&o->second);
	if (was_up)
		o->lost++;
	else
		o->failed++;
}

static const struct redis_endpoint_ops ops = {
	.on_up = on_up,
	.on_down = on_down,
};

static void
on_tick(void *arg)
{
	struct owner *o = arg;

	o->ticks++;
	timer_start_ms(&o->tick, TICK_MS);
}

static void
owner_init(struct owner *o)
{
	memset(o, 0, sizeof(*o));
	o->loop = loop_new();
	o->dns = net_dns_new(o->loop, NULL);
	timer_init(&o->tick, o->loop, on_tick, o);
	timer_start_ms(&o->tick, TICK_MS);
}

static void
owner_fini(struct owner *o)
{
	redis_client_close(&o->second);
	redis_endpoint_free(&o->endpoint);
	net_dns_free(&o->dns);
	timer_fini(&o->tick);
	loop_free(&o->loop);
}

static void
until(struct owner *o, const unsigned *counter, unsigned value)
{
	while (*counter < value && o->ticks < TICKS_MAX)
		loop_turn(o->loop, true);
	assert_true(*counter >= value);
}

static void
open_endpoint(struct owner *o, const struct redis_endpoint_config *cfg,
    enum redis_purpose purpose)
{
	char why[256];

	if (redis_endpoint_new(o->loop, o->dns, cfg, purpose, &ops, o,
	    &o->endpoint, why, sizeof(why)) != RC_OK)
		fail_msg("%s", why);
	assert_null(redis_endpoint_client(o->endpoint));
}

#define NEED_REDIS()							\
	do {								\
		if (!redis_server_present()) {				\
			print_message("redis-server is missing\n");	\
			skip();						\
		}							\
	} while (0)

static void
on_reply(void *arg, enum rc rc, const struct redis_value *v)
{
	struct owner *o = arg;

	o->replies++;
	if (rc == RC_OK && v->type == REDIS_ARRAY && v->n > 0)
		v = &v->items[0];
	if (rc == RC_OK)
		(void)snprintf(o->text, sizeof(o->text), "%.*s",
		    (int)v->text.len, v->text.p);
}

static void
test_addresses(void **state)
{
	static const struct {
		const char	*text;
		bool		good;
	} cases[] = {
		{ "redis.test:6379", true },
		{ "127.0.0.1:1", true },
		{ "[::1]:6379", true },
		{ "unix:/run/redis.sock", true },
		{ "redis.test", false },
		{ ":6379", false },
		{ "redis.test:0", false },
		{ "redis.test:65536", false },
		{ "redis.test:", false },
		{ "redis.test:63x", false },
		{ "::1:6379", false },
		{ "[]:6379", false },
		{ "[::1:6379", false },
		{ "unix:", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char copy[64], *list[] = { copy }, why[128];
		struct redis_endpoint_config cfg = {
			.endpoints = list, .n_endpoints = 1 };
		struct owner o;
		enum rc rc;

		(void)snprintf(copy, sizeof(copy), "%s", cases[i].text);
		owner_init(&o);
		rc = redis_endpoint_new(o.loop, o.dns, &cfg, REDIS_FOR_READING,
		    &ops, &o, &o.endpoint, why, sizeof(why));
		if (rc != (cases[i].good ? RC_OK : RC_SYNTAX))
			fail_msg("%s: %s", cases[i].text, rc_name(rc));
		owner_fini(&o);
	}
}

static void
test_files_that_cannot_be_used(void **state)
{
	char address[] = "127.0.0.1:1", *list[] = { address }, why[256];
	struct redis_endpoint_config cfg = {
		.endpoints = list, .n_endpoints = 1,
		.password_file = "/tmp/relay-no-such-file" };
	struct owner o;

	(void)state;
	owner_init(&o);
	assert_int_equal(redis_endpoint_new(o.loop, o.dns, &cfg,
	    REDIS_FOR_READING, &ops, &o, &o.endpoint, why, sizeof(why)),
	    RC_NOTFOUND);
	assert_non_null(strstr(why, "/tmp/relay-no-such-file"));
	assert_null(o.endpoint);
	cfg.password_file = "/dev/null";
	assert_int_equal(redis_endpoint_new(o.loop, o.dns, &cfg,
	    REDIS_FOR_READING, &ops, &o, &o.endpoint, why, sizeof(why)),
	    RC_SYNTAX);
	cfg.password_file = NULL;
	cfg.tls = true;
	cfg.ca_file = "/dev/null";
	assert_int_not_equal(redis_endpoint_new(o.loop, o.dns, &cfg,
	    REDIS_FOR_READING, &ops, &o, &o.endpoint, why, sizeof(why)), RC_OK);
	owner_fini(&o);
}

/* The second server is used at once when the first is not there; when it
 * dies, and comes back, so does the link. */
static void
test_list_and_return(void **state)
{
	char nobody[] = "unix:/tmp/relay-nobody-there";
	struct redis_server s;
	struct owner o;

	(void)state;
	NEED_REDIS();
	redis_server_make(&s);
	redis_server_start(&s, false, NULL);
	owner_init(&o);
	{
		char *list[] = { nobody, s.endpoint };
		struct redis_endpoint_config cfg = {
			.endpoints = list, .n_endpoints = 2 };

		open_endpoint(&o, &cfg, REDIS_FOR_READING);
	}
	until(&o, &o.up, 1);
	assert_int_equal(o.failed, 1);
	assert_string_equal(o.server[0], nobody);
	assert_string_equal(redis_endpoint_server(o.endpoint), s.endpoint);
	redis_server_kill(&s);
	until(&o, &o.lost, 1);
	until(&o, &o.failed, 4);
	redis_server_start(&s, false, NULL);
	until(&o, &o.up, 2);
	owner_fini(&o);
	redis_server_remove(&s);
}

static void
on_second_up(void *arg)
{
	struct owner *o = arg;

	o->second_up++;
}

static void
on_second_down(void *arg, const char *why)
{
	struct owner *o = arg;

	redis_endpoint_retry(o->endpoint, why);
}

static void
on_second_message(void *arg, struct span p, struct span c, struct span m)
{
	(void)arg;
	(void)p;
	(void)c;
	(void)m;
}

static void
test_second_connection_and_retry(void **state)
{
	static const struct redis_client_ops second_ops = {
		.on_up = on_second_up,
		.on_down = on_second_down,
		.on_message = on_second_message,
	};
	static const char *const kill_all[] = {
		"CLIENT", "KILL", "TYPE", "normal", NULL };
	struct redis_server s;
	struct owner o;
	char out[64];

	(void)state;
	NEED_REDIS();
	redis_server_make(&s);
	redis_server_start(&s, false, NULL);
	owner_init(&o);
	{
		char *list[] = { s.endpoint };
		struct redis_endpoint_config cfg = {
			.endpoints = list, .n_endpoints = 1 };

		open_endpoint(&o, &cfg, REDIS_FOR_READING);
	}
	until(&o, &o.up, 1);
	o.second = redis_endpoint_open_second(o.endpoint, &second_ops, &o);
	until(&o, &o.second_up, 1);
	redis_server_cli(&s, out, sizeof(out), kill_all);
	until(&o, &o.lost, 1);
	until(&o, &o.up, 2);
	redis_endpoint_retry(o.endpoint, "READONLY");
	assert_int_equal(o.lost, 2);
	until(&o, &o.up, 3);
	owner_fini(&o);
	redis_server_remove(&s);
}

static void
test_write_endpoint_is_separate(void **state)
{
	struct redis_server s;
	struct owner o;
	char nobody[] = "unix:/tmp/relay-nobody-there", *list[] = { nobody };

	(void)state;
	NEED_REDIS();
	redis_server_make(&s);
	redis_server_start(&s, false, NULL);
	owner_init(&o);
	{
		struct redis_endpoint_config cfg = {
			.endpoints = list, .n_endpoints = 1,
			.write = s.endpoint };

		open_endpoint(&o, &cfg, REDIS_FOR_WRITING);
		until(&o, &o.up, 1);
		assert_int_equal(o.failed, 0);
	}
	owner_fini(&o);
	redis_server_remove(&s);
}

static void
write_file(const char *folder, const char *name, const char *text)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static void
remove_file(const char *folder, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	(void)unlink(path);
}

static void
test_password_file(void **state)
{
	static const char *const options[] = { "--requirepass", "ses ame",
		NULL };
	struct redis_server s;
	struct owner o;
	char path[128];

	(void)state;
	NEED_REDIS();
	redis_server_make(&s);
	redis_server_start(&s, false, options);
	write_file(s.folder, "password", "ses ame\n");
	(void)snprintf(path, sizeof(path), "%s/password", s.folder);
	owner_init(&o);
	{
		char *list[] = { s.endpoint };
		struct redis_endpoint_config cfg = {
			.endpoints = list, .n_endpoints = 1, .user = "",
			.password_file = path };

		open_endpoint(&o, &cfg, REDIS_FOR_READING);
	}
	remove_file(s.folder, "password");
	until(&o, &o.up, 1);
	owner_fini(&o);
	redis_server_remove(&s);
}

/* ---- Sentinel ------------------------------------------------------------------ */

/* A process that answers as a Sentinel: PING, AUTH and the master's address.
 * With a password it wants AUTH first. */
struct sentinel {
	pid_t	pid;
	char	endpoint[96];
};

static void
sentinel_talk(int fd, const char *answer, bool locked)
{
	char in[1024];
	const char *out;
	ssize_t n;

	while ((n = read(fd, in, sizeof(in) - 1)) > 0) {
		in[n] = '\0';
		if (strstr(in, "AUTH") != NULL) {
			locked = strstr(in, "sesame") == NULL;
			out = strstr(in, "PING") != NULL ? "+OK\r\n+PONG\r\n" :
			    "+OK\r\n";
		} else if (locked) {
			out = "-NOAUTH Authentication required.\r\n";
		} else if (strstr(in, "PING") != NULL) {
			out = "+PONG\r\n";
		} else {
			out = answer;
		}
		if (write(fd, out, strlen(out)) < 0)
			return;
	}
}

static void
sentinel_start(struct sentinel *s, const char *folder, const char *answer,
    bool locked)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, conn;

	(void)snprintf(s->endpoint, sizeof(s->endpoint), "unix:%s/sentinel",
	    folder);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/sentinel",
	    folder);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_true((s->pid = fork()) >= 0);
	if (s->pid == 0) {
		while ((conn = accept(fd, NULL, NULL)) >= 0) {
			sentinel_talk(conn, answer, locked);
			(void)close(conn);
		}
		_exit(0);
	}
	(void)close(fd);
}

static void
sentinel_stop(struct sentinel *s)
{
	(void)kill(s->pid, SIGKILL);
	(void)waitpid(s->pid, NULL, 0);
	(void)unlink(s->endpoint + 5);
}

static void
sentinel_case(const char *const *options, const char *answer_format,
    const char *password, const char *why)
{
	struct redis_server s;
	struct sentinel sentinel;
	struct owner o;
	char port[8], answer[128], path[128];

	redis_server_make(&s);
	redis_server_start(&s, true, options);
	(void)snprintf(port, sizeof(port), "%u", s.port);
	(void)snprintf(answer, sizeof(answer),
	    "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(port), port);
	sentinel_start(&sentinel, s.folder,
	    answer_format != NULL ? answer_format : answer, password != NULL);
	write_file(s.folder, "password", password != NULL ? password : "");
	(void)snprintf(path, sizeof(path), "%s/password", s.folder);
	owner_init(&o);
	{
		char *list[] = { sentinel.endpoint };
		struct redis_endpoint_config cfg = {
			.endpoints = list, .n_endpoints = 1,
			.sentinel = "mymaster",
			.password_file = password != NULL ? path : NULL };

		open_endpoint(&o, &cfg, REDIS_FOR_WRITING);
	}
	if (why != NULL) {
		until(&o, &o.failed, 2);
		assert_string_equal(o.why[0], why);
		assert_int_equal(o.up, 0);
	} else {
		until(&o, &o.up, 1);
		assert_int_equal(o.failed, 0);
		(void)!redis_commandl(redis_endpoint_client(o.endpoint), 2000,
		    on_reply, &o, "ROLE", (char *)NULL);
		until(&o, &o.replies, 1);
		assert_string_equal(o.text, "master");
	}
	owner_fini(&o);
	sentinel_stop(&sentinel);
	remove_file(s.folder, "password");
	redis_server_remove(&s);
}

static void
test_sentinel_names_the_master(void **state)
{
	(void)state;
	NEED_REDIS();
	sentinel_case(NULL, NULL, NULL, NULL);
}

static void
test_sentinel_with_password(void **state)
{
	static const char *const options[] = { "--requirepass", "sesame",
		NULL };

	(void)state;
	NEED_REDIS();
	sentinel_case(options, NULL, "sesame", NULL);
}

/* A Sentinel that has not noticed a failover names a replica. */
static void
test_sentinel_is_behind(void **state)
{
	static const char *const options[] = { "--replicaof", "127.0.0.1 1",
		NULL };

	(void)state;
	NEED_REDIS();
	sentinel_case(options, NULL, NULL,
	    "not the master that Sentinel says it is");
}

static void
test_sentinel_knows_nothing(void **state)
{
	(void)state;
	NEED_REDIS();
	sentinel_case(NULL, "*-1\r\n", NULL,
	    "this Sentinel knows no such master");
	sentinel_case(NULL, "*2\r\n$1\r\na\r\n$5\r\n99999\r\n", NULL,
	    "Sentinel gave no address");
	sentinel_case(NULL, "-ERR what\r\n", NULL, "Sentinel gave no address");
}

/* ---- TLS -------------------------------------------------------------------------- */

static bool
make_certificate(const char *folder, const char *name)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "openssl req -x509 -newkey ec "
	    "-pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=%s "
	    "-addext subjectAltName=IP:127.0.0.1 -keyout %s/%s.key "
	    "-out %s/%s.pem 2>/dev/null", name, folder, name, folder, name);
	return (system(command) == 0);
}

static void
tls_case(const struct redis_server *s, uint16_t port, const char *ca,
    bool trusted)
{
	struct owner o;
	char address[32], path[128];

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	(void)snprintf(path, sizeof(path), "%s/%s.pem", s->folder, ca);
	owner_init(&o);
	{
		char *list[] = { address };
		struct redis_endpoint_config cfg = {
			.endpoints = list, .n_endpoints = 1, .tls = true,
			.ca_file = path };

		open_endpoint(&o, &cfg, REDIS_FOR_READING);
	}
	until(&o, trusted ? &o.up : &o.failed, 1);
	assert_int_equal(o.up, trusted);
	if (!trusted)
		assert_non_null(strstr(o.why[0], "untrusted"));
	owner_fini(&o);
}

static void
test_tls(void **state)
{
	const char *files[] = { "ours.pem", "ours.key", "other.pem",
		"other.key" };
	char cert[128], key[128], port[8];
	const char *options[] = { "--port", "0", "--tls-port", port,
		"--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", cert, "--tls-auth-clients", "no", NULL };
	struct redis_server s, number;

	(void)state;
	NEED_REDIS();
	redis_server_make(&number);
	redis_server_start(&number, true, NULL);	/* finds a free port */
	redis_server_remove(&number);
	(void)snprintf(port, sizeof(port), "%u", number.port);
	redis_server_make(&s);
	if (!make_certificate(s.folder, "ours") ||
	    !make_certificate(s.folder, "other")) {
		print_message("openssl(1) is missing\n");
		skip();
	}
	(void)snprintf(cert, sizeof(cert), "%s/ours.pem", s.folder);
	(void)snprintf(key, sizeof(key), "%s/ours.key", s.folder);
	redis_server_start(&s, false, options);
	tls_case(&s, number.port, "ours", true);
	tls_case(&s, number.port, "other", false);
	for (size_t i = 0; i < 4; i++)
		remove_file(s.folder, files[i]);
	redis_server_remove(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_files_that_cannot_be_used),
		cmocka_unit_test(test_list_and_return),
		cmocka_unit_test(test_second_connection_and_retry),
		cmocka_unit_test(test_write_endpoint_is_separate),
		cmocka_unit_test(test_password_file),
		cmocka_unit_test(test_sentinel_names_the_master),
		cmocka_unit_test(test_sentinel_with_password),
		cmocka_unit_test(test_sentinel_is_behind),
		cmocka_unit_test(test_sentinel_knows_nothing),
		cmocka_unit_test(test_tls),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
