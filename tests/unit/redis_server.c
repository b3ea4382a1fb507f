#include "redis_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX	64

static void
die(const char *what)
{
	perror(what);
	abort();
}

bool
redis_server_present(void)
{
	return (access("/usr/bin/redis-server", X_OK) == 0 &&
	    access("/usr/bin/redis-cli", X_OK) == 0);
}

static uint16_t
free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
		die("free port");
	(void)close(fd);
	return (ntohs(sin.sin_port));
}

void
redis_server_make(struct redis_server *s)
{
	memset(s, 0, sizeof(*s));
	(void)snprintf(s->folder, sizeof(s->folder), "/tmp/relay-redis-XXXXXX");
	if (mkdtemp(s->folder) == NULL)
		die("mkdtemp");
	(void)snprintf(s->endpoint, sizeof(s->endpoint), "unix:%s/s",
	    s->folder);
}

static void
run_server(const struct redis_server *s, int out, const char *const *options)
{
	const char *argv[ARGS_MAX] = {
		"redis-server", "--unixsocket", s->endpoint + 5, "--dir",
		s->folder, "--save", "", "--appendonly", "no", "--bind",
		"127.0.0.1", "--port",
	};
	char port[8];
	size_t n = 0;

	(void)snprintf(port, sizeof(port), "%u", s->port);
	while (argv[n] != NULL)
		n++;
	argv[n++] = port;
	for (; options != NULL && *options != NULL; options++)
		argv[n++] = *options;
	argv[n] = NULL;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(out, STDOUT_FILENO);
	(void)execv("/usr/bin/redis-server", (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* The server says so itself: no polling. */
static void
wait_ready(int out)
{
	FILE *f = fdopen(out, "r");
	char line[512];

	if (f == NULL)
		die("fdopen");
	while (fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, "eady to accept connections at") != NULL) {
			(void)fclose(f);
			return;
		}
	die("redis-server did not start");
}

void
redis_server_start(struct redis_server *s, bool tcp,
    const char *const *options)
{
	int out[2];

	if (tcp && s->port == 0)
		s->port = free_port();
	if (pipe2(out, O_CLOEXEC) != 0)
		die("pipe");
	if ((s->pid = fork()) < 0)
		die("fork");
	if (s->pid == 0)
		run_server(s, out[1], options);
	(void)close(out[1]);
	wait_ready(out[0]);
}

void
redis_server_kill(struct redis_server *s)
{
	if (s->pid == 0)
		return;
	(void)kill(s->pid, SIGKILL);
	(void)waitpid(s->pid, NULL, 0);
	s->pid = 0;
	(void)unlink(s->endpoint + 5);
}

void
redis_server_remove(struct redis_server *s)
{
	redis_server_kill(s);
	(void)rmdir(s->folder);
}

void
redis_server_cli(const struct redis_server *s, char *out, size_t size,
    const char *const *words)
{
	const char *argv[ARGS_MAX] = { "redis-cli", "-s", s->endpoint + 5 };
	size_t n = 3;
	int fds[2];
	pid_t pid;
	FILE *f;

	for (; *words != NULL; words++)
		argv[n++] = *words;
	if (pipe2(fds, O_CLOEXEC) != 0)
		die("pipe");
	if ((pid = fork()) < 0)
		die("fork");
	if (pid == 0) {
		(void)dup2(fds[1], STDOUT_FILENO);
		(void)execv("/usr/bin/redis-cli",
		    (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	(void)close(fds[1]);
	if ((f = fdopen(fds[0], "r")) == NULL)
		die("fdopen");
	if (fgets(out, (int)size, f) == NULL)
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	(void)fclose(f);
	(void)waitpid(pid, NULL, 0);
}
