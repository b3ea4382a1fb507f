"""An installation with every listener, its egress CA signed by the tests' root, and
clients of the CONNECT proxy that speak TLS in TLS by hand."""
import base64
import contextlib
import json
import socket
import ssl
import subprocess

from conftest import DEADLINE_S, Connection, Reply, Stack, free_port, until

KINDS = ("egress", "egress-plain", "egress-strict", "api", "api-tls", "ca")


class EgressStack(Stack):
    """`listen` of every kind beside ingress: self.ports[kind]."""

    def __init__(self, folder, ca, conf="", internal=True, egress_ca=True, **options):
        self.ports = {kind: free_port() for kind in KINDS}
        listens = "".join(f'listen "{k}" {{ address = "127.0.0.1:{p}" }}\n'
                          for k, p in self.ports.items())
        internal = 'egress_internal = { "127.0.0.0/8", "::1" }\n' if internal else ""
        super().__init__(folder, ca, conf=listens + internal + conf, **options)
        if egress_ca:
            self.make_egress_ca()

    def make_egress_ca(self):
        """CSR out of the engine, signed by the root, back in."""
        csr, signed = self.dir / "egress.csr", self.dir / "egress.pem"
        made = json.loads(self.ctl("--json", "ca", "create", "--out", csr).stdout)
        key = self.dir / "root-ca.key"
        from cryptography.hazmat.primitives import serialization
        key.write_bytes(self.ca.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        ext = self.dir / "egress.ext"
        ext.write_text("basicConstraints=critical,CA:TRUE,pathlen:0\n"
                       "keyUsage=critical,keyCertSign,cRLSign\n")
        subprocess.run(["openssl", "x509", "-req", "-in", csr, "-CA", self.ca.pem, "-CAkey", key,
                        "-days", "825", "-out", signed, "-extfile", ext],
                       check=True, capture_output=True, timeout=60)
        chain = self.dir / "egress-chain.pem"
        chain.write_bytes(signed.read_bytes() + self.ca.pem.read_bytes())
        self.ctl("ca", "install", chain)
        return made["ca"]

    def tunnel(self, authority, **options):
        return Tunnel(self, authority, **options)

    def tokens(self, values, app="app", **options):
        """Sealed by the engine for this app."""
        from rpc_client import connect
        with connect(self) as link:
            fields = [[1 if isinstance(v, (int, float)) and not isinstance(v, bool) else
                       2 if isinstance(v, bool) else 0,
                       (json.dumps(v) if not isinstance(v, (str, bytes)) else v).encode()
                       if not isinstance(v, bytes) else v] for v in values]
            body = {"app": self.app(app)[0], "curve": "r1", "keyScope": "request",
                    "existing": "encrypt", "fields": fields} | options
            return [bytes(f[1]).decode() for f in link.call("Encrypt", body)]

    def token(self, value, app="app", **options):
        return self.tokens([value], app, **options)[0]


def allow(stack, record, app="app"):
    """The app's record of relay:egress, live in the map."""
    text = json.dumps(record)
    app = stack.app(app)[0]
    stack.redis.cli("-x", "HSET", "relay:egress", app, data=text)
    stack.redis.cli("PUBLISH", "relay:updates", f"egress {app}")
    until("the record is in the map", lambda: stack.ctl(
        "--json", "egress", "list", app, code=None).stdout.strip() == text.encode())


def dechunk(data):
    """A chunked body as the origin got it, joined."""
    out = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            assert data == b"\r\n", data[:100]
            return out
        out, data = out + data[:n], data[n + 2:]


def basic(user, key):
    return "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()


class Inner:
    """TLS inside of a socket that may itself be TLS: the same calls as a TLS socket."""

    def __init__(self, outer, context, name):
        self.outer, self.into, self.out = outer, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_hostname=name)
        self.run(self.tls.do_handshake)

    def flush(self):
        if data := self.out.read():
            self.outer.sendall(data)

    def run(self, call, *args):
        while True:
            try:
                value = call(*args)
                self.flush()
                return value
            except ssl.SSLWantReadError:
                self.flush()
                data = self.outer.recv(65536)
                if data:
                    self.into.write(data)
                else:
                    self.into.write_eof()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self.flush()        # the alert says why
                raise

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self.run(self.tls.write, view[:16384]):]

    def recv(self, n):
        try:
            return self.run(self.tls.read, n)
        except ssl.SSLZeroReturnError:
            return b""

    def close(self):
        self.outer.close()


class Tunnel(Connection):
    """A client connection through the proxy: CONNECT, then TLS inside, then HTTP.

    kind: the listener; key: on CONNECT; inner_key: on each request inside; form: how it
    is written; connect_only: stop after the answer to CONNECT (self.answer)."""

    def __init__(self, stack, authority, kind="egress", key=None, inner_key=None, user=None,
                 sni=True, connect_only=False, fields=(), cafile=None, alpn=None, early=b"",
                 timeout=DEADLINE_S, verify=True):
        host, _, port = authority.rpartition(":")
        self.host = authority if port != "443" else host
        self.inner_key = inner_key
        cafile = cafile or stack.ca.pem
        raw = socket.create_connection(("127.0.0.1", stack.ports[kind]), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kind == "egress-plain":
            self.sock = raw
        else:
            context = ssl.create_default_context(cafile=str(cafile))
            context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
            context.check_hostname = False
            if alpn:
                context.set_alpn_protocols(alpn)
            self.sock = context.wrap_socket(raw, suppress_ragged_eofs=False)
        self.buffer = b""
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if key is not None:
            lines.append(f"Proxy-Authorization: {basic(user, key) if user else key}")
        lines += [f"{n}: {v}" for n, v in fields]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + early)
        self.answer = self.reply("CONNECT")
        if connect_only or self.answer.status != 200:
            return
        assert self.buffer == b"", "bytes behind the answer to CONNECT"
        context = ssl.create_default_context(cafile=str(cafile))
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        name = host.strip("[]") if sni is True else sni
        if not name or sni is not True or not verify:
            context.check_hostname = False
        if not verify:
            context.verify_mode = ssl.CERT_NONE
        self.sock = Inner(self.sock, context, name or None)

    def _one(self, method):
        if method != "CONNECT":
            return super()._one(method)
        # 200 has no framing and no body; a refusal has both.
        line = self.take_line()
        status, reason = int(line.split(b" ")[1]), b" ".join(line.split(b" ")[2:])
        fields = []
        while line := self.take_line():
            name, _, value = line.partition(b":")
            fields.append((name.decode(), value.strip().decode()))
        lower = {n.lower(): v for n, v in fields}
        body = self.take(int(lower["content-length"])) if status != 200 else b""
        return Reply(status, reason.decode(), fields, body,
                     lower.get("connection", "").lower() == "close", [])

    def head(self, method, path, fields, host=None):
        if self.inner_key is not None:
            fields = [*fields, ("Proxy-Authorization", self.inner_key)]
        return super().head(method, path, fields, host)

    def peer(self):
        """The inside's certificate, as x509."""
        from cryptography import x509
        return x509.load_der_x509_certificate(self.sock.tls.getpeercert(True))


