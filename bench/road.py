#!/usr/bin/python3
"""Requests a second and latency: one client straight to an origin, through
nginx as a TLS proxy, and through relay, in one run on the same cores."""
import json
import os
import subprocess
import sys

import bench

CONNECTIONS = 32
BODY_BYTES = 1024
FIELDS = 10
HOST = "localhost"      # wrk takes SNI and Host from the URL
# The origin answers 1 KiB without looking at what came.
NGINX = """
daemon off;
worker_processes 2;
pid {dir}/pid;
error_log {dir}/log error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 100000000;
    ssl_certificate {state}/tls/origin.pem;
    ssl_certificate_key {state}/tls/origin.key;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        default_type application/json;
        location / {{ {location} }}
    }}
}}
"""
ANSWER = "return 200 '%s';" % json.dumps({"ok": "x" * (BODY_BYTES - 10)})
PROXY = """
            proxy_pass https://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_ssl_trusted_certificate %s;
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;""" % bench.CA


class Nginx:
    def __init__(self, name, port, origin, location):
        folder = bench.STATE / f"nginx-{name}"
        folder.mkdir()
        (folder / "conf").write_text(NGINX.format(dir=folder, state=bench.STATE, port=port,
                                                  origin=origin, location=location))
        self.popen = subprocess.Popen(["nginx", "-e", folder / "log", "-c", folder / "conf"])
        bench.until(f"nginx {name}", (folder / "pid").exists)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.terminate()
        self.popen.wait(10)


def body_file(name, fields):
    """A document of BODY_BYTES with `fields` short values to seal."""
    document = {f"f{i}": "4111111111111111" for i in range(fields)}
    document["note"] = ""
    document["note"] = "x" * (BODY_BYTES - len(json.dumps(document)))
    path = bench.STATE / name
    path.write_text(json.dumps(document))
    return path


def wrk(port, path, body, seconds):
    out = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s",
         str(bench.TOP / "bench/post.lua"), f"https://{HOST}:{port}{path}"],
        env={**os.environ, "BENCH_BODY": str(body)}, capture_output=True, text=True, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def sealed_fields():
    with bench.engine_link() as link:
        return link.call("GetStatistics")["fields_sealed"]


def main():
    origin, proxy = bench.INGRESS + 20, bench.INGRESS + 21
    plain, card = body_file("plain.json", 0), body_file("card.json", FIELDS)
    routes = [bench.seal("/ten", *[f"$.f{i}" for i in range(FIELDS)])]
    bench.push(HOST, bench.relay(origin, routes))
    bench.until("the record is live",
                lambda: str(origin) in bench.redis("HGET", "relay:relays", HOST) and
                HOST in bench.relayctl("relay", "list"))
    cases = [("origin, directly", origin, "/none", plain, 0),
             ("nginx, as TLS proxy", proxy, "/none", plain, 0),
             ("relay, no field", bench.INGRESS, "/none", plain, 0),
             (f"relay, {FIELDS} fields sealed", bench.INGRESS, "/ten", card, FIELDS)]
    rows, fault, base = [], False, None
    with Nginx("origin", origin, origin, ANSWER), Nginx("proxy", proxy, origin, PROXY):
        for name, port, path, body, fields in cases:
            wrk(port, path, body, 1)            # warm: connections, tables, caches
            before = sealed_fields()
            r = wrk(port, path, body, bench.SECONDS)
            sealed = (sealed_fields() - before) / max(1, r["requests"])
            rate = r["requests"] / r["seconds"]
            base = base or (rate, r["p50_ms"], r["p99_ms"])
            # wrk cuts what is in flight at its end: a few more may be sealed.
            fault |= r["errors"] != 0 or not fields <= sealed <= fields * 1.05
            rows.append([name, f"{rate:.0f}", f"{rate / base[0]:.2f}", f"{r['p50_ms']:.2f}",
                         f"{r['p50_ms'] / base[1]:.1f}", f"{r['p99_ms']:.2f}",
                         f"{r['p99_ms'] / base[2]:.1f}", f"{sealed:.1f}", r["errors"]])
    bench.table(f"road: POST {BODY_BYTES} bytes, answer {BODY_BYTES} bytes, TLS on every leg, "
                f"{CONNECTIONS} kept connections, wrk -t1, {bench.SECONDS} s each",
                ["", "requests/s", "ratio", "p50 ms", "ratio", "p99 ms", "ratio",
                 "sealed/request", "errors"], rows)
    return fault


sys.exit(main())
