"""Upgrade: another protocol through the same connection (RFC 9110 7.8).  Peers:
a WebSocket client, an installation, a tiny WebSocket origin.  When both sides
agreed the bytes are theirs, unchanged and with their ends; when they did not,
or a rule could not be kept in a tunnel, it is ordinary HTTP or an error."""
import contextlib
import os
import socket
import ssl
import threading
import time

import pytest

import websocket
from conftest import DEADLINE_S
from http_stage import GONE, OK, PLAIN, WORK, Cue, Heard, staged
from told_origin import peak_memory
from websocket import BINARY, CLOSE, frame, read_frame

IDLE_MS, DRAIN_MS = 4000, 6000
KEPT_MAX = 4 << 20          # bytes, beside what a worker holds anyway
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
CONF = f"tunnel_idle_ms = {IDLE_MS}\ndrain_timeout_ms = {DRAIN_MS}\n"


@pytest.fixture(scope="module")
def stage(tmp_path_factory, ca):
    with pytest.MonkeyPatch.context() as m:
        # The sanitizer keeps what was freed back; here the question is what we keep.
        m.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") +
                 ":quarantine_size_mb=1")
        with staged(tmp_path_factory.mktemp("stack"), ca, CONF) as s:
            yield s


def agree(peer):
    head = peer.head()
    peer.send(websocket.switch(head))
    return head


def echo(peer):
    agree(peer)
    with contextlib.suppress(EOFError):
        while True:
            opcode, data = read_frame(peer.take)
            peer.send(frame(data, opcode))
            if opcode == CLOSE:
                peer.half_close()


@contextlib.contextmanager
def tunnel(stage, behind=b"", host=PLAIN, **options):
    """A client whose handshake went well.  behind: sent together with it."""
    with stage.connect(host, **options) as c:
        key = websocket.new_key()
        c.send(websocket.request(host.encode(), b"/ws", key) + behind)
        reply = c._one("GET")
        assert reply.status == 101 and reply.reason == "Switching Protocols"
        assert reply.field("upgrade").lower() == "websocket"
        assert reply.field("connection").lower() == "upgrade"
        assert reply.field("sec-websocket-accept") == websocket.accept_key(key).decode()
        assert reply.field("x-server") == "tiny" and reply.field("x-evervault-ctx")
        assert reply.field("content-length") is reply.field("transfer-encoding") is None
        yield c


def ask(c, data, opcode=BINARY):
    c.send(frame(data, opcode, mask=True))
    return read_frame(c.take)


# ---- agreed -------------------------------------------------------------------------

def test_frames_of_every_size_go_both_ways(stage):
    stage.play(echo)
    with tunnel(stage) as c, stage.one_more("why=tunnel-end"):
        for size in SIZES:
            data = os.urandom(size)
            assert ask(c, data) == (BINARY, data), size
        assert ask(c, b"\x03\xe8bye", CLOSE) == (CLOSE, b"\x03\xe8bye")
        c.half_close()
        assert c.ended()


def test_the_origin_gets_the_handshake_and_no_other_hop(stage):
    heads = Heard()
    stage.play(lambda peer: heads.tell(agree(peer)))
    with stage.connect() as c:
        c.send(websocket.request(PLAIN.encode(), b"/chat?x=1", None, b"Sec-WebSocket-Protocol: a, b",
                                 b"Keep-Alive: timeout=5", b"Origin: https://shop.test",
                                 b"Sec-WebSocket-Extensions: permessage-deflate"))
        assert c._one("GET").status == 101
    head = heads.next()
    assert head.startswith(b"GET /chat?x=1 HTTP/1.1\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines.count(b"upgrade: websocket") == lines.count(b"connection: upgrade") == 1
    for line in (b"sec-websocket-protocol: a, b", b"origin: https://shop.test",
                 b"sec-websocket-extensions: permessage-deflate", b"x-forwarded-for: 127.0.0.1"):
        assert line in lines
    assert b"keep-alive" not in head.lower()


def test_bytes_that_come_together_with_the_handshake(stage):
    """Of either side: they belong to the tunnel and arrive, in their order."""
    def script(peer):
        head = peer.head()
        peer.send(websocket.switch(head) + frame(b"first from the origin"))
        while True:
            opcode, data = read_frame(peer.take)
            peer.send(frame(data, opcode))
    stage.play(script)
    early = [b"first from the client", b"x" * 200_000]
    with tunnel(stage, b"".join(frame(d, mask=True) for d in early)) as c:
        for data in (b"first from the origin", *early):
            assert read_frame(c.take) == (BINARY, data)
        assert ask(c, b"later") == (BINARY, b"later")


def test_a_client_that_does_not_read_stops_the_origin(stage):
    """The memory in between stays what it is, then and while all of it passes."""
    stuck, total = threading.Event(), 40 << 20
    peers = Heard()

    def script(peer):
        agree(peer)
        peers.tell(peer)
        peer.send_until_stuck(b"x" * total, stuck)
    stage.play(script)
    with tunnel(stage, rcvbuf=65536) as c:
        before = peak_memory(stage.stack)
        assert stuck.wait(DEADLINE_S)
        assert peers.next().unsent > total // 2
        assert peak_memory(stage.stack) - before < KEPT_MAX
        taken = len(c.buffer)
        while taken < total:
            taken += len(c.sock.recv(1 << 20))
        assert peak_memory(stage.stack) - before < KEPT_MAX


def test_an_origin_that_does_not_read_stops_the_client(stage):
    go = Cue()
    sums = Heard()

    def script(peer):
        agree(peer)
        go.wait()
        data, end = peer.rest()
        sums.tell((len(data), data.count(b"y"), end))
    stage.play(script)
    total = 40 << 20
    with tunnel(stage) as c:
        before = peak_memory(stage.stack)
        data = memoryview(b"y" * total)
        c.sock.settimeout(0.5)              # as long as somebody reads
        with pytest.raises(TimeoutError):
            while data:
                data = data[c.sock.send(data[:16384]):]
        assert len(data) > total // 2
        assert peak_memory(stage.stack) - before < KEPT_MAX
        c.sock.settimeout(DEADLINE_S)
        go.give()
        c.send(data)
        c.half_close()
        assert sums.next() == (total, total, "goodbye")


# ---- how it ends ----------------------------------------------------------------------

def test_the_client_ends_first(stage):
    go, ends = Cue(), Heard()

    def script(peer):
        agree(peer)
        ends.tell(peer.rest())
        go.wait()                       # our goodbye is said: Python's looks for theirs
        peer.send(b"late" * 50_000)
        peer.goodbye()
    stage.play(script)
    with tunnel(stage, b"early") as c, stage.one_more("why=tunnel-end"):
        c.half_close()
        go.give()
        assert ends.next() == (b"early", "goodbye")
        assert c.take(200_000) == b"late" * 50_000 and c.ended()


def test_a_client_that_ends_behind_its_handshake(stage):
    """Before the origin has agreed."""
    go, ends = Cue(), Heard()

    def script(peer):
        head = peer.head()
        go.wait()
        peer.send(websocket.switch(head))
        ends.tell(peer.rest())
        peer.send(b"late")
        peer.goodbye()
    stage.play(script)
    with stage.connect() as c:
        c.send(websocket.request(PLAIN.encode()) + b"early")
        c.half_close()
        go.give()
        assert c._one("GET").status == 101
        assert ends.next() == (b"early", "goodbye")
        assert c.take(4) == b"late" and c.ended()


@pytest.mark.parametrize("late", [b"", b"late", b"late" * 50_000], ids=len)
def test_the_origin_ends_first(stage, late):
    ends = Heard()

    def script(peer):
        agree(peer)
        peer.send(b"early")
        peer.half_close()
        ends.tell(peer.rest())
    stage.play(script)
    with tunnel(stage) as c, stage.one_more("why=tunnel-end"):
        assert c.take(5) == b"early" and c.ended()
        c.send(late)
        c.half_close()
        assert ends.next() == (late, "goodbye")


@pytest.mark.parametrize("die", ["reset", "cut"])
def test_an_origin_that_dies_is_no_clean_end(stage, die):
    def script(peer):
        agree(peer)
        assert read_frame(peer.take) == (BINARY, b"die")
        if die == "reset":
            peer.reset()
    stage.play(script)
    with tunnel(stage) as c, stage.one_more("why=tunnel-broke"):
        c.send(frame(b"die", mask=True))
        assert c.broken()


def test_a_client_that_dies_is_no_clean_end(stage):
    ends = Heard()

    def script(peer):
        agree(peer)
        ends.tell(peer.rest())
    stage.play(script)
    with tunnel(stage) as c, stage.one_more("why=client-broke"):
        c.send(b"last")
        c.sock.shutdown(socket.SHUT_RDWR)       # no goodbye
        assert ends.next() == (b"last", "cut")


def test_a_silent_tunnel_ends(stage):
    ends = Heard()

    def script(peer):
        agree(peer)
        ends.tell(peer.rest())
    stage.play(script)
    with tunnel(stage) as c, stage.one_more("why=tunnel-idle"):
        start = time.monotonic()
        assert c.ended()
        assert time.monotonic() - start > IDLE_MS / 1000 - 0.1
    assert ends.next() == (b"", "goodbye")      # nothing was on its way


def test_a_silent_tunnel_with_bytes_on_their_way_has_no_clean_end(stage):
    """Its client does not read: what it finds later is less than was sent."""
    total = 40 << 20
    stage.play(lambda peer: (agree(peer), peer.send_until_stuck(b"x" * total, threading.Event())))
    with tunnel(stage, rcvbuf=4096) as c:
        with stage.one_more("why=tunnel-idle"):
            pass
        taken = len(c.buffer)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            while piece := c.sock.recv(1 << 20):
                taken += len(piece)
        assert taken < total


def test_a_tunnel_outlives_a_reload_until_the_drain_deadline(stage):
    """And one that speaks outlives the idle deadline."""
    stage.play(echo)
    with tunnel(stage) as c, stage.one_more("drain deadline passed connections_cut=1"), \
            stage.one_more("in=tunnel why=drain"):
        stage.stack.ctl("reload", "--wait")
        start = time.monotonic()
        with pytest.raises(GONE):
            while True:
                assert ask(c, b"still here") == (BINARY, b"still here")
                threading.Event().wait(0.1)     # the pace of a client
        assert c.broken()
        assert IDLE_MS < (time.monotonic() - start) * 1000
    with tunnel(stage) as c:                    # of the new generation
        assert ask(c, b"new") == (BINARY, b"new")


# ---- not agreed -------------------------------------------------------------------------

@pytest.mark.parametrize("said", [
    OK, b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Content-Length: 2\r\n\r\nno"])
def test_an_origin_that_declines_answers_like_any(stage, said):
    requests = stage.answer(said)
    with stage.connect() as c:
        c.send(websocket.request(PLAIN.encode()))
        reply = c.reply()
        assert (reply.status, reply.body) == (int(said[9:12]), said[-2:]) and not reply.closed
        assert c.request("GET", "/next").status == reply.status     # the connection goes on
    assert requests[0].all("upgrade") == ["websocket"] and requests[1].all("upgrade") == []


def test_frames_behind_a_declined_handshake_are_no_request(stage):
    requests = stage.answer()
    with stage.connect() as c:
        c.send(websocket.request(PLAIN.encode()) + frame(b"hello", mask=True))
        assert c.reply().status == 200
        reply = c.reply()
        assert (reply.status, reply.code) == (400, "bad-request") and c.ended()
    assert len(requests) == 1


ASK = websocket.request(PLAIN.encode())
UNASKED = {
    "no upgrade asked": (b"GET / HTTP/1.1\r\nHost: plain.relay.test\r\n\r\n", SWITCH),
    "not by Connection": (ASK.replace(b"Connection: Upgrade\r\n", b""), SWITCH),
    "by HTTP/1.0": (ASK.replace(b"HTTP/1.1", b"HTTP/1.0"), SWITCH),
    "h2c": (ASK.replace(b"websocket", b"h2c"), SWITCH.replace(b"websocket", b"h2c")),
    "answer without Upgrade": (ASK, SWITCH.replace(b"Upgrade: websocket\r\n", b"")),
    "answer without Connection": (ASK, SWITCH.replace(b"Connection: Upgrade\r\n", b"")),
}


@pytest.mark.parametrize("name", UNASKED)
def test_a_switch_that_was_not_agreed_is_an_error(stage, name):
    request, said = UNASKED[name]
    left = Heard()

    def script(peer):
        peer.head()
        peer.send(said + b"not http")
        left.tell(peer.rest()[0])
    stage.play(script)
    with stage.connect() as c:
        c.send(request)
        reply = c.reply()
        assert (reply.status, reply.code) == (502, "upstream-protocol-error")
        assert left.next() == b""
        stage.answer()
        if b"HTTP/1.0" not in request:
            assert c.request("GET", "/").body == b"ok"


@pytest.mark.parametrize("upgrade,connection", [
    ("h2c", "Upgrade"), ("H2C", "upgrade"), ("websocket, h2c", "Upgrade"),
    ("h2c, websocket", "Upgrade"), ("websocket\r\nUpgrade: h2c", "Upgrade"),
    ("h2c", "Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk"), ("websocket", "keep-alive"),
])
def test_h2c_is_never_asked_for(stage, upgrade, connection):
    """Nor is anything that the client's Connection does not name."""
    requests = stage.answer()
    with stage.connect() as c:
        assert c.request("GET", "/", fields=[("Upgrade", upgrade),
                                             ("Connection", connection)]).body == b"ok"
    text = requests[0].raw_head.lower()
    assert b"upgrade" not in text and b"h2c" not in text and b"http2" not in text


def test_an_upgrade_with_a_body_is_an_ordinary_request(stage):
    requests = stage.answer()
    head = ASK.replace(b"GET", b"POST")[:-2]
    with stage.connect() as c:
        for framing in (b"Content-Length: 5\r\n\r\nhello",
                        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):
            c.send(head + framing)
            assert c.reply("POST").body == b"ok"
            assert requests[-1].body == b"hello" and requests[-1].all("upgrade") == []


@pytest.mark.parametrize("method,path", [(b"POST", b"/seal"), (b"POST", b"/seal-head"),
                                         (b"GET", b"/seal-back")])
def test_no_tunnel_where_something_must_be_sealed(stage, method, path):
    """In either direction: bytes of a tunnel are not looked into."""
    requests = stage.answer(SWITCH)
    reply = stage.talk(websocket.request(WORK.encode(), path).replace(b"GET", method), "GET", WORK)
    assert (reply.status, reply.code) == (501, "not-implemented")
    assert requests == []
