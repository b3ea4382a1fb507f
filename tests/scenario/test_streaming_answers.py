"""Long answers that are only opened: they reach the client while they come, byte
for byte, and whatever ends them early never looks like their end.  Peers: a TLS
client, one installation, origins that follow a script."""
import os
import signal
import socket
import threading

import pytest

from conftest import DEADLINE_S, Cut, running, stopped, until
from told_origin import action, actions, difference, frugal, made, peak_memory      # noqa: F401

HOST = "long.relay.test"
MIB = 1 << 20
GROWTH = 24 * MIB       # generous: it is 3 with sanitizers
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ROUTES = [actions("GET", "/open", (), action("decrypt", "$[*].v", "header:X-V")),
          actions("GET", "/all", (), action("decrypt", "$..*")),
          actions("GET", "/filter", (), action("decrypt", "$[?@.id >= 0].v"))]


class Document:
    """JSON of `size` objects, each with a token; as it comes and as it is opened."""

    def __init__(self, stack, size, bytes_each=1000, kinds=40):
        tokens = [(made(stack, f'value "{i}"'), b'"value \\"%d\\""' % i) for i in range(kinds)]
        tokens += [(made(stack, f"{i}.50", "number"), b"%d.50" % i) for i in range(kinds)]
        pad = b"p" * (bytes_each - 230)
        one = b' {"id":%d,"pad":"%s\\u00e9","w":[1.0,"ev:x:$",null],"v":%s}'
        self.sealed = b"[" + b",\n".join(
            one % (i, pad, b'"%s"' % tokens[i % len(tokens)][0].encode()) for i in range(size)) + b"]\n"
        self.opened = b"[" + b",\n".join(
            one % (i, pad, tokens[i % len(tokens)][1]) for i in range(size)) + b"]\n"


class Reader:
    """An answer as it comes: `data` is what its framing says so far."""

    def __init__(self, c, path="/open", version="1.1"):
        self.c, self.data, self.ended, self.trailers = c, bytearray(), False, []
        c.send(f"GET {path} HTTP/{version}\r\nHost: {HOST}\r\n\r\n".encode())

    def head(self):
        assert self.c.take_line().startswith(b"HTTP/1.1 200 ")
        lines = []
        while line := self.c.take_line():
            lines.append(line)
        self.chunked = b"Transfer-Encoding: chunked" in lines
        assert not any(line.lower().startswith(b"content-length:") for line in lines)
        return lines

    def more(self):
        if not self.chunked:
            try:
                self.c.fill()
            except Cut:
                raise
            except EOFError:
                self.ended = True
            self.data += self.c.buffer
            self.c.buffer = b""
            return
        size = int(self.c.take_line(), 16)
        while size == 0 and (line := self.c.take_line()):
            self.trailers.append(line)
        if size == 0:
            self.ended = True
            return
        self.data += self.c.take(size)
        assert self.c.take(2) == b"\r\n"

    def until(self, n):
        while len(self.data) < n and not self.ended:
            self.more()

    def rest(self):
        while not self.ended:
            self.more()
        return bytes(self.data)

    def is_cut(self):
        """It ends without the end of its framing and without a goodbye."""
        try:
            self.rest()
        except (Cut, ConnectionResetError):
            return True
        return False


class Halves:
    """A script: the head and the first part of a body, and what remains when
    `go` is set.  cut: how it ends before that, instead."""

    def __init__(self, first, rest, framing="chunks", cut=None):
        self.first, self.rest, self.framing, self.cut = first, rest, framing, cut
        self.go = threading.Event()
        self.lines = b""

    def __call__(self, peer):
        peer.head()
        kind = {"chunks": b"Transfer-Encoding: chunked\r\n", "close": b"",
                "length": b"Content-Length: %d\r\n" % (len(self.first) + len(self.rest))}
        peer.send(HEAD + self.lines + kind[self.framing] + b"\r\n")
        self.send(peer, self.first)
        assert self.go.wait(DEADLINE_S), "the client has got nothing yet"
        if self.cut == "reset":
            peer.reset()
        elif self.cut == "goodbye":
            peer.goodbye()
        elif self.cut == "garbage":
            peer.send(b"zz\r\n")
        else:
            self.send(peer, self.rest)
            peer.send(b"0\r\nX-V: t\r\nX-T: 1\r\n\r\n" if self.framing == "chunks" else b"")
            peer.goodbye()

    def send(self, peer, data):
        step = 50_021
        for i in range(0, len(data), step):
            piece = data[i:i + step]
            peer.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self.framing == "chunks" else piece)


@pytest.fixture(scope="module")
def document(shared):
    return Document(shared, 5600)


@pytest.fixture(scope="module")
def short(shared):
    return Document(shared, 2800)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory, ca):
    """An installation whose engine is waited for no longer than a second."""
    with running(tmp_path_factory.mktemp("mortal"), ca, workers=1,
                 conf="engine_timeout_ms = 1000\n") as stack:
        yield stack, Document(stack, 3000)


@pytest.fixture
def serve(shared, scripted):
    """serve(script) makes it the origin behind HOST."""
    def make(script, stack=shared, **fields):
        stack.relay(HOST, scripted(script), ROUTES, **fields)
        return script
    return make


# ---- the good way -----------------------------------------------------------------------

@pytest.mark.parametrize("framing,version", [("chunks", "1.1"), ("length", "1.1"), ("close", "1.1"),
                                             ("chunks", "1.0")])
def test_the_first_bytes_are_there_before_the_last_were_sent(shared, serve, document, framing,
                                                             version):
    """5 MiB; the origin sends the second half when the client has a MiB of the first."""
    half = len(document.sealed) // 2
    assert len(document.sealed) > 5 * MIB
    script = Halves(document.sealed[:half], document.sealed[half:], framing)
    script.lines = b"X-V: " + made(shared, "head").encode() + b"\r\nETag: \"e\"\r\n"
    serve(script)
    with shared.connect(HOST) as c:
        reader = Reader(c, version=version)
        lines = reader.head()
        assert reader.chunked == (version == "1.1")
        assert b"X-V: head" in lines and b'ETag: W/"e"' in lines
        assert (b"Connection: close" in lines) == (version == "1.0")
        reader.until(MIB)
        assert not script.go.is_set()
        script.go.set()
        assert difference(reader.rest(), document.opened) is None
        assert b"X-V: t" not in reader.trailers
        if version == "1.1":
            assert b"x-evervault-ctx: " in b"".join(Reader(c).head())      # it goes on


def test_a_long_answer_in_flat_memory_to_a_client_that_pauses(frugal, make_stack, scripted):
    """32 MiB where 1 MiB may be held; the client reads nothing until the origin
    can send no more.  A selector that needs it whole cannot have it."""
    stack = make_stack(workers=1, conf="max_held_bytes = 1048576\n")
    document = Document(stack, 32000, 1130)
    assert len(document.sealed) > 32 * MIB
    part = document.sealed[:document.sealed.rindex(b",", 0, 3 * MIB)] + b"]"
    stuck = threading.Event()

    def script(peer):
        body = part if b"/filter" in peer.head() else document.sealed
        peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
        peer.send_until_stuck(body, stuck)
    stack.relay(HOST, scripted(script), ROUTES)
    for _ in range(2):
        reply = stack.get(HOST, "/filter")
        assert (reply.status, reply.code) == (503, "overloaded")
        assert reply.field("Retry-After")
    stuck.clear()
    before = peak_memory(stack)
    with stack.connect(HOST, rcvbuf=65536) as c:
        reader = Reader(c, "/all")
        reader.head()
        assert stuck.wait(DEADLINE_S)
        assert peak_memory(stack) - before < GROWTH
        assert difference(reader.rest(), document.opened) is None
    assert peak_memory(stack) - before < GROWTH


def test_a_value_longer_than_any_piece(shared, serve):
    """Half a piece's limit, and longer than what is ever held: that goes on sealed."""
    token = made(shared, "x" * (2 * MIB)).encode()
    body = b'[{"v":"%s"},{"v":"%s"}]' % (token, made(shared, "last").encode())
    script = serve(Halves(body[:1000], body[1000:]))
    with shared.connect(HOST) as c:
        reader = Reader(c)
        script.go.set()
        reader.head()
        assert difference(reader.rest(), b'[{"v":"%s"},{"v":"last"}]' % (b"x" * (2 * MIB))) is None
    huge = b'[{"w":"%s","v":"%s"}]' % (b"y" * (9 * MIB), made(shared, "last").encode())
    script = serve(Halves(huge[:1000], huge[1000:]))
    with shared.connect(HOST) as c:
        reader = Reader(c)
        script.go.set()
        reader.head()
        assert difference(reader.rest(), huge) is None


# ---- what cannot be opened goes on sealed ------------------------------------------------------

@pytest.mark.parametrize("broken", [b"]", b"\xff", b'"\n"', b"{]"])
def test_json_that_breaks_late_goes_on_as_it_comes(shared, serve, broken):
    document = Document(shared, 1000)
    at = 300 * 1000
    whole = document.sealed[:at].rpartition(b",\n")[0] + b",\n"
    script = serve(Halves(whole, broken + document.sealed[len(whole):]))
    opened = document.opened[:document.opened.index(b' {"id":%d,' % whole.count(b"\n"))]
    with shared.connect(HOST) as c:
        reader = Reader(c)
        reader.head()
        reader.until(256 * 1000)        # of what was good so far
        script.go.set()
        data = reader.rest()
    assert difference(data, opened + broken + document.sealed[len(whole):]) is None
    assert reader.trailers == [b"X-T: 1"]


def test_more_tokens_than_may_be_opened(shared, serve, document):
    """Those within the limit or fewer are opened, every other byte stays."""
    script = serve(Halves(document.sealed, b""), limits={"fields": 2000})
    script.go.set()
    with shared.connect(HOST) as c:
        reader = Reader(c)
        reader.head()
        data = reader.rest()
    sealed, opened = document.sealed.split(b",\n"), document.opened.split(b",\n")
    got = data.split(b",\n")
    n = next(i for i, (a, b) in enumerate(zip(got, opened)) if a != b)
    assert 200 < n <= 2000
    assert difference(data, b",\n".join(opened[:n] + sealed[n:])) is None


# ---- what ends it early --------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("framing,cut", [
    ("chunks", "reset"), ("chunks", "goodbye"), ("chunks", "garbage"),
    ("length", "reset"), ("length", "goodbye"), ("close", "reset")])
def test_an_origin_that_breaks_off_is_a_cut(shared, serve, short, version, framing, cut):
    half = len(short.sealed) // 2
    script = serve(Halves(short.sealed[:half], short.sealed[half:], framing, cut))
    with shared.connect(HOST) as c:
        reader = Reader(c, version=version)
        reader.head()
        reader.until(MIB)
        script.go.set()
        assert reader.is_cut()
        assert len(reader.data) >= MIB and short.opened.startswith(bytes(reader.data))


@pytest.mark.parametrize("framing", ["chunks", "close"])
def test_an_origin_that_breaks_off_early_is_an_error(shared, serve, short, framing):
    """Nothing was passed on yet: an answer with a code is possible."""
    script = serve(Halves(short.sealed[:100_000], b"", framing, "reset"))
    script.go.set()
    reply = shared.get(HOST, "/open")
    assert (reply.status, reply.code) == (502, "upstream-protocol-error")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_engine_that_dies_in_the_middle_is_a_cut(mortal, serve, version):
    stack, document = mortal
    half = len(document.sealed) // 2
    script = serve(Halves(document.sealed[:half], document.sealed[half:]), stack)
    engine = stack.child("e3d")
    with stack.connect(HOST) as c, stopped(stack.relayd.pid):       # nobody starts another
        reader = Reader(c, version=version)
        reader.head()
        reader.until(MIB)
        os.kill(engine, signal.SIGKILL)
        script.go.set()
        assert reader.is_cut()
        assert len(reader.data) >= MIB and document.opened.startswith(bytes(reader.data))
    until("it is opened again", lambda: stack.get(HOST, "/open").body == document.opened)


def test_an_engine_that_comes_back_in_the_middle_is_not_felt(shared, serve, document):
    half = len(document.sealed) // 2
    script = serve(Halves(document.sealed[:half], document.sealed[half:]))
    with shared.connect(HOST) as c:
        reader = Reader(c)
        reader.head()
        reader.until(MIB)
        os.kill(shared.child("e3d"), signal.SIGKILL)
        script.go.set()
        assert difference(reader.rest(), document.opened) is None


def test_without_an_engine_a_long_answer_is_a_refusal(mortal, serve):
    stack, document = mortal
    script = serve(Halves(document.sealed, b""), stack)
    script.go.set()
    with stopped(stack.child("e3d")):
        reply = stack.get(HOST, "/open")
    assert (reply.status, reply.code) == (503, "engine-unavailable")


def test_a_client_that_leaves_ends_the_origin_s_work(shared, serve, document):
    half = len(document.sealed) // 2
    script = Halves(document.sealed[:half], document.sealed[half:] * 8, "close")
    ended = threading.Event()

    def watched(peer):
        try:
            script(peer)
        finally:
            ended.set()
    serve(watched)
    with shared.connect(HOST) as c:
        reader = Reader(c)
        reader.head()
        reader.until(MIB)
        c.sock.shutdown(socket.SHUT_RDWR)
    script.go.set()
    assert ended.wait(DEADLINE_S)
