"""The processes side by side: an nginx origin, nginx as a TLS proxy in front of
it, and the instance's relay; what each of their processes spends and holds."""
import dataclasses
import os
import pathlib
import socket
import ssl
import subprocess

import bench

HOST = "localhost"      # wrk takes SNI and Host from the URL
ORIGIN = bench.INGRESS + 20
PROXY = bench.INGRESS + 21
ANSWER_BYTES = 1024
FILE_BYTES = 100 * 1024

# Buffers that hold each body of these loads: nginx never waits for a file.
CONF = """
{user}
daemon off;
worker_processes {workers};
pid {dir}/pid;
error_log {dir}/log error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    log_not_found off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    client_body_buffer_size 256k;
    keepalive_timeout 300s;
    keepalive_requests 100000000;
    tcp_nodelay on;
    ssl_protocols TLSv1.3;
    ssl_certificate {tls}/{certificate}.pem;
    ssl_certificate_key {tls}/{certificate}.key;
    {more}
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        default_type application/json;
        {server}
    }}
}}
"""
# A GET is the file.  A POST is read whole, which only `mirror` asks of a location
# that passes nothing on, and answered from memory; `return` alone would answer
# before the body came, and a proxy then must drop the connection.
ORIGIN_SERVER = """
        root {dir}/files;
        location / {{ mirror /sink; error_page 404 405 =200 @answer; }}
        location @answer {{ return 200 '{answer}'; }}
        location = /sink {{ internal; return 204; }}"""
ORIGIN_MORE = """
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    open_file_cache_errors on;"""
PROXY_MORE = """
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 100000000; }}
    proxy_buffers 16 16k;
    proxy_buffer_size 16k;"""
PROXY_SERVER = """
        location / {{
            proxy_pass https://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_trusted_certificate {ca};
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
        }}"""


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Nginx:
    """One nginx below the state folder, for the time of a `with`."""

    def __init__(self, name, port, certificate, workers, more, server):
        self.dir = bench.STATE / f"nginx-{name}"
        (self.dir / "files").mkdir(parents=True)
        (self.dir / "files/100k").write_text('{"x":"%s"}' % ("y" * (FILE_BYTES - 8)))
        names = {"dir": self.dir, "origin": ORIGIN, "ca": bench.CA,
                 "answer": '{"ok":"%s"}' % ("x" * (ANSWER_BYTES - 9))}
        # Started by root it would become www-data, which may not enter the state folder.
        (self.dir / "conf").write_text(CONF.format(
            user="user root;" if os.geteuid() == 0 else "", dir=self.dir, port=port,
            tls=bench.STATE / "tls", certificate=certificate, workers=workers,
            more=more.format(**names), server=server.format(**names)))
        self.popen = subprocess.Popen(["nginx", "-e", self.dir / "log", "-c", self.dir / "conf"])
        bench.until(f"nginx {name}", lambda: len(self.workers()) == workers)

    def workers(self):
        """The processes that serve, by name."""
        return {f"nginx{i}": pid for i, pid in enumerate(children(self.popen.pid))}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.terminate()
        self.popen.wait(10)


def origin(workers):
    return Nginx("origin", ORIGIN, "origin", workers, ORIGIN_MORE, ORIGIN_SERVER)


def proxy(workers):
    return Nginx("proxy", PROXY, "ingress", workers, PROXY_MORE, PROXY_SERVER)


@dataclasses.dataclass
class Peer:
    name: str
    port: int
    pids: dict              # name -> pid: everything that works for a request
    workers: list           # pids of those that hold connections


# ---- what they spend and hold ----

def cpu_us(pid):
    """On a core so far, all threads: exact, where utime + stime count ticks."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


def rss_anon(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
    return total


class Idle:
    """Connections that stay open; each may send one request."""

    def __init__(self, port, n):
        context = ssl.create_default_context(cafile=bench.CA)
        self.request = f"GET /idle HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
        self.open = [context.wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                         server_hostname=HOST) for _ in range(n)]

    def use(self):
        for s in self.open:
            s.sendall(self.request)
            got = s.recv(65536)
            assert got.startswith(b"HTTP/1.1 200 "), got[:40]
            while not got.endswith(b'"}'):
                got += s.recv(65536)

    def close(self):
        for s in self.open:
            s.close()


# ---- loads ----

def wrk(port, path, body, connections, seconds):
    return bench.last_line(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s",
         str(bench.TOP / "bench/post.lua"), f"https://{HOST}:{port}{path}"],
        {**os.environ, "BENCH_BODY": str(body or "")})


def connload(port, path, body, mode, threads, seconds):
    return bench.last_line([str(bench.BUILD / "connload"), str(port), bench.CA, HOST, path,
                            str(body), mode, str(threads), str(seconds)], None)
