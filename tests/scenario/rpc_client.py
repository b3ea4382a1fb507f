"""A client of the engine protocol in plain Python (ssl, msgpack), written from
docs/rpc.md alone: it shares nothing with lib/rpc.  It checks every reply frame
by that page, and can also send what the page forbids."""
import os
import socket
import ssl
import struct

import msgpack
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FRAME_MAX = 33_554_432
PIECE_MAX = 262_144
STATUSES = {"ok", "bad-request", "unknown-op", "not-allowed", "not-ready", "limit", "overloaded",
            "no-such-app", "no-such-key", "unauthorized", "conflict", "cancelled", "rate-limited",
            "internal"}


class Refused(Exception):
    """A status that is not ok."""

    @property
    def status(self):
        return self.args[0]


class Frame:
    """One reply frame, held to the page."""

    def __init__(self, payload):
        version, self.id, self.status, self.body, self.more = msgpack.unpackb(
            payload, max_array_len=FRAME_MAX)
        self.bytes = len(payload)
        assert version == 1 and type(self.id) is int and type(self.more) is bool
        assert self.status in STATUSES, self.status
        assert self.status == "ok" or (self.body == {} and not self.more), "an error has no data"


class Link:
    """where: a path (Unix socket) or a port of this machine (TCP).  pem, key: the
    caller's link certificate, pem None for none; ca: the link CA."""

    def __init__(self, where, ca, pem, key, newest=ssl.TLSVersion.TLSv1_3, timeout=60,
                 receive_buffer=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = newest
        context.check_hostname = False          # roles, not host names
        context.load_verify_locations(str(ca))  # this CA alone
        if pem:
            context.load_cert_chain(str(pem), str(key))
        self.key_file = key
        tcp = isinstance(where, int)
        raw = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        raw.settimeout(timeout)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            raw.connect(("127.0.0.1", where) if tcp else str(where))
            self.sock = context.wrap_socket(raw)
        except Exception:
            raw.close()
            raise
        uris = [v for k, v in self.sock.getpeercert()["subjectAltName"] if k == "URI"]
        assert len(uris) == 1 and uris[0].startswith("relay://link/engine/"), "not an engine"
        self.last_id = 0
        self.first = None                       # challenge that signs every call
        self.open = {}                          # id -> pieces so far
        self.done = []                          # ids in the order of their last pieces

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # -- out --

    def send_bytes(self, data):
        self.sock.sendall(data)

    def send_payload(self, payload):
        self.send_bytes(struct.pack(">I", len(payload)) + payload)

    def send(self, op, body=None, signature=None, id=None):
        """Queue a call; returns its id."""
        if id is None:
            id = self.last_id = self.last_id + 1
        self.open[id] = []
        body = {} if body is None else body
        if self.first and signature is None and op not in ("Challenge", "Cancel"):
            signature = self.sign(self.first, op, body, id)
        call = [1, id, op, body]
        self.send_payload(msgpack.packb(call if signature is None else call + [signature]))
        return id

    # -- in --

    def read(self, n):
        data = bytearray()
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError("the engine closed the link")
            data += part
        return bytes(data)

    def receive(self):
        """The next reply frame, whatever its id."""
        length, = struct.unpack(">I", self.read(4))
        assert 0 < length <= FRAME_MAX
        return Frame(self.read(length))

    def frame(self):
        """The next reply frame, of one of the calls in flight."""
        f = self.receive()
        assert f.id in self.open, "an id that was never issued, or had its last piece"
        self.open[f.id].append(f)
        if not f.more:
            self.done.append(f.id)
        return f

    def answer(self, id):
        """The whole answer to one call; others that come before it are kept."""
        while id not in self.done:
            self.frame()
        self.done.remove(id)
        pieces = self.open.pop(id)
        if pieces[-1].status != "ok":
            raise Refused(pieces[-1].status)
        bodies = [p.body for p in pieces]
        return sum(bodies, []) if isinstance(bodies[0], list) else bodies[0]

    def call(self, op, body=None, **options):
        return self.answer(self.send(op, body, **options))

    def status(self, op, body=None, **options):
        """How a call ends: "ok" or what it was refused with."""
        try:
            self.call(op, body, **options)
        except Refused as refused:
            return refused.status
        return "ok"

    def end(self):
        """Shut the sending side, as a process that ended."""
        with socket.socket(fileno=os.dup(self.sock.fileno())) as raw:
            raw.shutdown(socket.SHUT_WR)

    def closed(self):
        """The engine ends the link without another byte."""
        try:
            return self.sock.recv(1) == b""
        except (ConnectionResetError, ssl.SSLError):
            return True

    # -- signed calls --

    def sign(self, challenge, op, body, id=None):
        """By the key of the link certificate, for the next call or the one named."""
        with open(self.key_file, "rb") as f:
            key = serialization.load_pem_private_key(f.read(), None)
        part = b"".join(msgpack.packb(v) for v in (id or self.last_id + 1, op, body))
        return key.sign(challenge + part, ec.ECDSA(hashes.SHA256()))

    def call_signed(self, op, body):
        challenge = self.call("Challenge")["challenge"]
        return self.call(op, body, signature=self.sign(challenge, op, body))

    def status_signed(self, op, body):
        try:
            self.call_signed(op, body)
        except Refused as refused:
            return refused.status
        return "ok"

    def sign_all(self):
        """From now on every call is signed by the link's first challenge."""
        self.first = self.call("Challenge")["challenge"]


def encrypt(app, values, curve="r1", scope="request", existing="verify"):
    """A body of Encrypt; values: bytes (string) or (type, bytes[, role])."""
    fields = [[0, v] if isinstance(v, bytes) else list(v) for v in values]
    return {"app": app, "curve": curve, "keyScope": scope, "existing": existing, "fields": fields}


def decrypt(tokens, **whose):
    """A body of Decrypt; whose: app= or apiKey=."""
    return {**whose, "place": {"kind": "relay", "destination": "origin.test",
                               "address": "192.0.2.1"},
            "tokens": [[t] for t in tokens]}


def connect(stack, role="worker", tcp=False, **options):
    """A link to a stack's engine with the role's own certificate."""
    folder = stack.dir / "link"
    options = {"pem": folder / f"{role}.pem", "key": folder / f"{role}.key", **options}
    return Link(stack.e3_port if tcp else stack.run / "e3.sock", folder / "ca.pem", **options)
