"""What stands beside Relay as a CONNECT proxy: squid with ssl-bump, the same squid
behind a TLS listener, a proxy on Node; their origin, and the load on all of them."""
import base64
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import bench
import peers

HOST = peers.HOST
ORIGIN = peers.ORIGIN
SQUID = bench.INGRESS + 22
SQUID_TLS = bench.INGRESS + 23
NODE = bench.INGRESS + 24
SQUID_DEFAULTS = bench.INGRESS + 25

# /echo gives a POST's body back, everything else is as for ingress.
ECHO_SERVER = peers.ORIGIN_SERVER + """
        location = /echo {{ mirror /sink; error_page 404 405 =200 @echo; }}
        location @echo {{ return 200 $request_body; }}"""

# `bump all` at the first step: squid, like Relay, makes its leaf of CONNECT's host and
# asks nobody, and keeps its connections to the origin for every client.
SQUID_CONF = """
workers {workers}
http_port 127.0.0.1:{port} ssl-bump tls-cert={dir}/ca.pem tls-key={dir}/ca.key \
    generate-host-certificates=on dynamic_cert_mem_cache_size=16MB \
    options=NO_SSLv3,NO_TLSv1,NO_TLSv1_1,NO_TLSv1_2
sslcrtd_program /usr/lib/squid/security_file_certgen -s {dir}/certs -M 16MB
sslcrtd_children 2 startup=1 idle=1
ssl_bump bump all
tls_outgoing_options cafile={ca} min-version=1.3
http_access allow all
cache deny all
access_log none
cache_store_log none
cache_log {dir}/log
pid_filename {dir}/pid
coredump_dir {dir}
visible_hostname localhost
max_filedescriptors 16384
client_lifetime 1 day
client_idle_pconn_timeout 300 seconds
shutdown_lifetime 0 seconds
pinger_enable off
logfile_rotate 0
hosts_file /etc/hosts
"""
# By default squid opens a connection to the origin for each POST.
SQUID_REUSES = "server_pconn_for_nonretriable allow all\n"
TERMINATOR_CONF = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
{user}
daemon off;
worker_processes {workers};
pid {dir}/pid;
error_log {dir}/log error;
events {{ worker_connections 8192; }}
stream {{
    tcp_nodelay on;
    proxy_buffer_size 16k;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_protocols TLSv1.3;
        ssl_session_tickets off;
        ssl_certificate {tls}/ingress.pem;
        ssl_certificate_key {tls}/ingress.key;
        proxy_pass 127.0.0.1:{squid};
    }}
}}
"""


def listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def descendants(pid):
    for child in peers.children(pid):
        yield child
        yield from descendants(child)


def comm(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def make_certificate(folder, name, subject, extensions):
    """Signed by quickstart's root, as Relay's own are."""
    tls = bench.STATE / "tls"
    (folder / "ext").write_text("\n".join(extensions) + "\n")
    for command in (
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
             folder / f"{name}.key", "-out", folder / "csr", "-subj", f"/CN={subject}"],
            ["x509", "-req", "-in", folder / "csr", "-CA", tls / "ca.pem", "-CAkey",
             tls / "ca.key", "-days", "30", "-out", folder / f"{name}.pem", "-extfile",
             folder / "ext"]):
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)


class Process:
    """One peer for the time of a `with`."""

    def __init__(self, name, port, command):
        self.name, self.port = name, port
        if listening(port):
            raise SystemExit(f"{name}: port {port} is taken")
        self.popen = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL)
        try:
            bench.until(f"{name} listens", self.is_up)
        except SystemExit:
            self.__exit__()
            raise

    def is_up(self):
        if self.popen.poll() is not None:
            raise SystemExit(f"{self.name} ended: exit {self.popen.returncode}")
        return listening(self.port)

    def pids(self):
        """Everything that works for a request, by role."""
        return {f"{comm(p)}{p}": p for p in descendants(self.popen.pid)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.terminate()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(10)


class Squid(Process):
    """With a folder of its own: as root it becomes `proxy`, which may not enter ours."""

    def __init__(self, name, port, workers, more=""):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="relay-bench-squid."))
        make_certificate(self.dir, "ca", "squid egress CA",
                         ["basicConstraints=critical,CA:TRUE,pathlen:0",
                          "keyUsage=critical,keyCertSign,cRLSign"])
        subprocess.run(["/usr/lib/squid/security_file_certgen", "-c", "-s", self.dir / "certs",
                        "-M", "16MB"], check=True, capture_output=True)
        (self.dir / "conf").write_text(SQUID_CONF.format(
            workers=workers, port=port, dir=self.dir, ca=self.dir / "root.pem") + more)
        shutil.copy(bench.CA, self.dir / "root.pem")
        if os.geteuid() == 0:
            for path in (self.dir, *self.dir.rglob("*")):
                shutil.chown(path, "proxy", "proxy")
        self.wanted = workers
        super().__init__(name, port, ["squid", "--foreground", "-n", f"bench{port}", "-f",
                                      self.dir / "conf"])

    def is_up(self):
        return super().is_up() and len(self.workers()) == self.wanted

    def workers(self):
        """Without the coordinator, which carries nothing."""
        return [p for p in peers.children(self.popen.pid)
                if re.match(r"\(squid-\d", pathlib.Path(f"/proc/{p}/cmdline").read_text())]

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.dir, ignore_errors=True)


class Terminator(Process):
    """TLS in front of squid, which cannot bump what comes to an https_port."""

    def __init__(self, workers):
        folder = bench.STATE / "nginx-terminator"
        folder.mkdir()
        (folder / "conf").write_text(TERMINATOR_CONF.format(
            user="user root;" if os.geteuid() == 0 else "", workers=workers, dir=folder,
            port=SQUID_TLS, tls=bench.STATE / "tls", squid=SQUID))
        super().__init__("nginx before squid", SQUID_TLS,
                         ["nginx", "-e", folder / "log", "-c", folder / "conf"])


class Node(Process):
    """Its app's key pair is its own: Relay's never leaves the engine."""

    def __init__(self, workers):
        folder = bench.STATE / "node"
        folder.mkdir()
        make_certificate(folder, "leaf", HOST, [f"subjectAltName=DNS:{HOST}"])
        self.app = AppKey()
        (folder / "conf.json").write_text(json.dumps({
            "port": NODE, "workers": workers, "key": os.environ["RELAY_API_KEY"],
            "certificate": str(folder / "leaf.pem"), "certificateKey": str(folder / "leaf.key"),
            "ca": bench.CA, **self.app.conf()}))
        super().__init__("node", NODE, ["node", bench.TOP / "bench/peer_node_proxy.js",
                                        folder / "conf.json"])


class AppKey:
    """A P-256 pair that seals as SDKs do: version QkTC, one ephemeral key for a body."""

    def __init__(self):
        from cryptography.hazmat.primitives.asymmetric import ec
        self.key = ec.generate_private_key(ec.SECP256R1())

    @staticmethod
    def point(public, compressed=True):
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        return public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint if compressed
                                   else PublicFormat.UncompressedPoint)

    def conf(self):
        scalar = self.key.private_numbers().private_value.to_bytes(32, "big")
        return {"appPublic": base64.b64encode(self.point(self.key.public_key())).decode(),
                "appPrivate": base64.b64encode(scalar).decode()}

    def seal(self, values):
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256, Hash
        import msgpack
        ephemeral = ec.generate_private_key(ec.SECP256R1())
        point = self.point(ephemeral.public_key())
        digest = Hash(SHA256())
        digest.update(ephemeral.exchange(ec.ECDH(), self.key.public_key()) + b"\0\0\0\1" +
                      SPKI + self.point(ephemeral.public_key(), False))
        gcm = AESGCM(digest.finalize())
        metadata = msgpack.packb({"eo": 5, "et": 0x65000000})
        aad = b"\x01" + point + self.point(self.key.public_key())

        def text(data):
            return base64.b64encode(data).decode().rstrip("=")

        def token(value):
            iv = os.urandom(12)
            sealed = gcm.encrypt(iv, len(metadata).to_bytes(2, "little") + metadata +
                                 value.encode(), aad)
            return f"ev:QkTC:{text(iv)}:{text(point)}:{text(sealed)}:$"

        return [token(v) for v in values]


SPKI = bytes.fromhex(
    "3082014b3082010306072a8648ce3d02013081f7020101302c06072a8648ce3d0101022100ffffffff00000001"
    "000000000000000000000000ffffffffffffffffffffffff305b0420ffffffff00000001000000000000000000"
    "000000fffffffffffffffffffffffc04205ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e"
    "27d2604b031500c49d360886e704936a6678e1139d26b7819f7e900441046b17d1f2e12c4247f8bce6e563a440"
    "f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb64068"
    "37bf51f5022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551020101034200")


def origin(workers):
    return peers.Nginx("origin", ORIGIN, "origin", workers, peers.ORIGIN_MORE, ECHO_SERVER)


def squids(workers):
    """(it does what Relay does, it is as it comes)"""
    return (Squid("squid", SQUID, workers, SQUID_REUSES),
            Squid("squid, defaults", SQUID_DEFAULTS, workers))


# ---- the load ----

def command(way, path, body, expect, connections, *more):
    """tunnelload for a way (form, port, key or None)."""
    return [str(w) for w in (
        bench.BUILD / "tunnelload", "--form", way.form, "--port", way.port, "--host", HOST,
        "--origin-port", ORIGIN, "--ca", bench.CA, "--path", path, "--connections", connections,
        *(["--key", way.key] if way.key else []), *(["--body", body] if body else []),
        *(["--expect", expect] if expect else []), *more)]
