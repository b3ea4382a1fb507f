/*
 * redis_server.h - a real redis-server of a test's own: its folder, its Unix
 * socket, a loopback port when asked for.  It dies with the test.
 */
#ifndef TEST_REDIS_SERVER_H
#define TEST_REDIS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
	pid_t		pid;		/* 0: not running */
	char		folder[64];
	char		endpoint[96];	/* "unix:/tmp/.../s" */
	uint16_t	port;		/* 0: none */
};

/* False: there is no redis-server here; the test skips. */
bool redis_server_present(void);

/* Make the folder.  options: further arguments, ends with NULL. */
void redis_server_make(struct redis_server *);
/* Start in it, empty; returns when it accepts connections.  tcp: `port` gets
 * a free port of 127.0.0.1 and stays the same over restarts. */
void redis_server_start(struct redis_server *, bool tcp,
    const char *const *options);
void redis_server_kill(struct redis_server *);	/* SIGKILL */
void redis_server_remove(struct redis_server *);	/* and the folder */

/* One command, by redis-cli; its answer's first line goes to out. */
void redis_server_cli(const struct redis_server *, char *out, size_t size,
    const char *const *words);

#endif
