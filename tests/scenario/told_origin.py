"""An origin that answers what a test told it last and keeps every request as it
came, and the eye that sees through tokens: what a test expects is written as
one text, with `[type:value]` where a token must stand."""
import contextlib
import itertools
import os

import pytest

import rpc_client
import token_codec
from conftest import TOKEN
from scripted_origin import ScriptedOrigin, content_length

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789*-._"


class Got:
    """One request: its parts as bytes; a chunked body joined."""

    def __init__(self, head, body, trailers=()):
        self.line, *lines = head.split(b"\r\n")
        self.fields = [tuple(line.split(b": ", 1)) for line in lines]
        self.raw_head, self.body, self.trailers = head, body, list(trailers)

    def all(self, name):
        return [v.decode() for n, v in self.fields if n.lower() == name.lower().encode()]

    def named(self, *names):
        """(name, value) of the fields with these names, as they stand."""
        low = [n.lower().encode() for n in names]
        return [(n.decode(), v.decode()) for n, v in self.fields if n.lower() in low]


def read_chunks(peer):
    def line():
        while b"\r\n" not in peer.pending:
            peer.fill()
        text, _, peer.pending = peer.pending.partition(b"\r\n")
        return text
    parts = []
    while size := int(line(), 16):
        parts.append(peer.take(size))
        assert peer.take(2) == b"\r\n"
    trailers = []
    while text := line():
        trailers.append(text)
    return b"".join(parts), trailers


def read_request(peer):
    head = peer.head()
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        got = Got(head, *read_chunks(peer))
    else:
        got = Got(head, peer.take(content_length(head)))
    peer.origin.requests.append(got)
    return got


class ToldOrigin(ScriptedOrigin):
    """tell() before each request; untold it says 200 and `ok`."""

    def __init__(self, ca, **options):
        self.said = None
        self.tell(b"ok", "text/plain")
        super().__init__(ca, self.speak, **options)

    def tell(self, body, content_type=JSON, *lines, status=200):
        head = [f"HTTP/1.1 {status} Said", *lines]
        if content_type:
            head.append(f"Content-Type: {content_type}")
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        self.tell_raw("\r\n".join(head).encode("latin-1") + b"\r\n\r\n", body or b"")

    def tell_raw(self, head, body=b""):
        self.said = head, body

    def speak(self, peer):
        while True:
            got = read_request(peer)
            head, body = self.said
            peer.send(head + (b"" if got.line.startswith(b"HEAD ") else body))

    def last(self):
        return self.requests[-1]


@contextlib.contextmanager
def told(ca):
    """One whose own failures fail the test."""
    origin = ToldOrigin(ca)
    yield origin
    origin.close()
    assert origin.faults == []


@pytest.fixture(scope="module")
def api(ca):
    """One for a module that makes its relays as it goes, by relay()."""
    with told(ca) as origin:
        yield origin


NUMBERS = itertools.count(1)


@pytest.fixture
def relay(shared, api):
    """relay(route..., **fields): under a host of its own, which is returned."""
    def push(*routes, **fields):
        host = f"relay{next(NUMBERS)}.relay.test"
        shared.relay(host, api, list(routes), **fields)
        return host
    api.tell(b"ok", "text/plain")
    return push


# ---- what tokens hold -------------------------------------------------------------------

def made(stack, text, type_name="string", app="app", **options):
    """A token of the app, by the independent codec."""
    version = options.get("version", "QkTC")
    public = stack.app_keys(app)[token_codec.VERSIONS[version][0]][0].public_key()
    return token_codec.make(public, text, type_name, **options)


def reveal(stack, data, app="app"):
    """Each token that opens for the app becomes [type:value], with @role behind
    the value where it has one; the others stay."""
    keys = stack.app_keys(app)

    def one(match):
        try:
            kind, value, meta = token_codec.open_token(match.group(0).decode(), keys)
        except (ValueError, AssertionError):
            return match.group(0)
        role = (meta or {}).get("dr")
        return b"[%s:%s%s]" % (kind.encode(), value, b"@" + role.encode() if role else b"")
    return TOKEN.sub(one, data if isinstance(data, bytes) else data.encode())


def form_text(text):
    """As the urlencoded serializer writes a value."""
    data = text if isinstance(text, bytes) else text.encode()
    return b"".join(b"+" if c == 32 else b"%c" % c if c in PLAIN else b"%%%02X" % c for c in data)


def form_tokens(data):
    """A form's text with the escapes undone that a token has in it."""
    for escape, byte in (b"%3A", b":"), (b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="), (b"%24", b"$"):
        data = data.replace(escape, byte)
    return data


def reveal_form(stack, data):
    """The same for a form's values; a token must be written as the standard's
    serializer writes it."""
    out = []
    for pair in data.split(b"&"):
        name, equals, value = pair.partition(b"=")
        decoded = form_tokens(value)
        if TOKEN.fullmatch(decoded) and form_text(decoded) == value:
            value = reveal(stack, decoded)
        out.append(name + equals + value)
    return b"&".join(out)


def ephemerals(data):
    """The different ephemeral keys of the tokens in it: one for each engine call."""
    return {m.group(5) for m in TOKEN.finditer(data)}


def fields_sealed(stack):
    """By the engine since it started."""
    with rpc_client.connect(stack) as link:
        return link.call("GetStatistics")["fields_sealed"]


def difference(got, expected):
    """None, or where two long texts part; pytest would take minutes to say it."""
    if got == expected:
        return None
    at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b),
              min(len(got), len(expected)))
    return at, got[at - 40:at + 80], expected[at - 40:at + 80]


# ---- actions ----------------------------------------------------------------------------

def action(kind, *selections):
    """selections: "$.path", "form:name", "header:name", each perhaps with "@role"
    as a pair (selector, role)."""
    out = []
    for s in selections:
        selector, role = s if isinstance(s, tuple) else (s, None)
        one = {"type": "json", "selector": selector}
        for other in ("form", "header"):
            if selector.startswith(other + ":"):
                one = {"type": other, "selector": selector[len(other) + 1:]}
        if role:
            one["role"] = role
        out.append(one)
    return {"action": kind, "selections": out}


def actions(method, path, request=(), response=()):
    """A route; each direction one action or a list of them."""
    def several(a):
        return [a] if isinstance(a, dict) else list(a)
    return {"method": method, "path": path, "request": several(request),
            "response": several(response)}


# ---- memory -----------------------------------------------------------------------------

def peak_memory(stack):
    """The most that each worker ever held, in bytes, together."""
    total = 0
    for pid in stack.pids("worker").values():
        with open(f"/proc/{pid}/status") as f:
            total += sum(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM:"))
    return total


@pytest.fixture
def frugal(monkeypatch):
    """Stacks made from here on: freed memory goes back also under AddressSanitizer,
    which keeps up to 256 MiB of it by itself."""
    options = os.environ.get("ASAN_OPTIONS", "")
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:quarantine_size_mb=1".lstrip(":"))
