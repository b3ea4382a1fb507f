"""A client of the key API: plain HTTP or TLS, with credentials in every scheme."""
import base64
import json
import socket

from conftest import DEADLINE_S, Connection, Cut


def basic(user, key):
    return "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()


def by_key(stack, app="app"):
    """Scheme A."""
    return [("api-key", stack.app(app)[1])]


def by_basic(stack, app="app", user=None):
    """Scheme B."""
    return [("Authorization", basic(user or stack.app(app)[0], stack.app(app)[1]))]


def by_token(token):
    """Scheme C."""
    return [("Authorization", f"Token {token}")]


class Plain(Connection):
    """The same strict client without TLS."""

    def __init__(self, port, host="api.test", timeout=DEADLINE_S):
        self.host = host
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def ended(self):
        return self.buffer == b"" and self.sock.recv(1) == b""


def api(stack, kind="api"):
    """A connection to one of the API's listeners."""
    if kind == "api-tls":
        return Connection(stack.ports[kind], stack.ca.pem, "localhost")
    return Plain(stack.ports[kind])


def call(stack, method, path, body=None, fields=(), kind="api", **options):
    """One request on a connection of its own; body: JSON unless it is bytes."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    with api(stack, kind) as c:
        return c.request(method, path, body, fields=fields, **options)


def problem(reply, status, code):
    """A refusal as docs/errors.md says."""
    assert (reply.status, reply.code) == (status, code), reply
    assert reply.field("Content-Type") == "application/problem+json"
    p = reply.json()
    assert (p["code"], p["status"], p["evervault-error-code"]) == (code, status, code)
    assert p["title"] and p["detail"] and reply.field("x-evervault-ctx")
    return p


__all__ = ["Cut", "Plain", "api", "basic", "by_basic", "by_key", "by_token", "call", "problem"]
