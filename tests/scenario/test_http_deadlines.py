"""Peers that take too long, each in its place.  Peers: TLS clients that drip,
stop or do not read, an installation whose deadlines are short, an origin that
stops.  Each wait has its own deadline, its own answer and its own reason in the
log, and what was begun never looks whole."""
import concurrent.futures
import contextlib
import socket
import ssl
import threading
import time

import pytest

from conftest import Cut, DEADLINE_S
from http_stage import (GONE, OK, PLAIN, ROUTES, SECRET, WORK, Cue, Heard, stage_fixture,
                        together)
from told_origin import read_request

HEAD_MS, IDLE_MS, BODY_MS, WRITE_MS, STALL_MS, ANSWER_MS, HANDSHAKE_MS = (
    1200, 1300, 1000, 1500, 700, 800, 1500)
BODY_RATE, READ_RATE = 100_000, 50_000_000   # bytes per second: dripping is far below
GRACE_MS = 5000             # before a rate counts
TICK_S, SIP_S = 0.1, 0.03   # between two drops, two sips
LONG = 24_000_000           # bytes; the kernels hold some millions of it
LONG_ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
               b'Content-Length: %d\r\n\r\n"%s"' % (LONG + 2, b"x" * LONG))
WHOLE = "whole.relay.test"  # reads long answers to their end, too
conf_stage = stage_fixture(f"""
head_timeout_ms = {HEAD_MS}
idle_timeout_ms = {IDLE_MS}
body_timeout_ms = {BODY_MS}
write_timeout_ms = {WRITE_MS}
origin_body_timeout_ms = {STALL_MS}
response_timeout_ms = {ANSWER_MS}
handshake_timeout_ms = {HANDSHAKE_MS}
min_body_rate = {BODY_RATE}
min_read_rate = {READ_RATE}
""")


@pytest.fixture(scope="module")
def stage(conf_stage):
    conf_stage.stack.relay(WHOLE, conf_stage.origin, ROUTES, onUndecryptable="reject",
                           limits={"bodyBytes": 2 * LONG})
    return conf_stage


@contextlib.contextmanager
def takes(ms):
    """Not less, and not much more: sanitizers and other tests count."""
    start = time.monotonic()
    yield
    took = (time.monotonic() - start) * 1000
    assert ms - 100 < took < ms + 10_000, took


def drip(c, drop):
    """Again and again until an answer begins."""
    while True:
        with contextlib.suppress(OSError):
            c.send(drop)
        c.sock.settimeout(TICK_S)
        try:
            return c.fill()
        except TimeoutError:
            pass
        finally:
            c.sock.settimeout(DEADLINE_S)


def sip(c, records):
    """Read so many of TLS at a time until it is over; how it ended."""
    with contextlib.suppress(ssl.SSLError, ConnectionResetError):
        while all(c.sock.recv(16384) for _ in range(records)):
            threading.Event().wait(SIP_S)       # the pace of who sips
        return "goodbye"
    return "cut"


def timed_out(reply, status=408, code="client-timeout"):
    assert (reply.status, reply.code, reply.closed) == (status, code, status == 408)


def body_head(c, path="/", length=1_000_000):
    return c.head("POST", path, [("Content-Type", "application/json"), ("Content-Length", length)])


# ---- clients: heads -------------------------------------------------------------------

def slow_head(stage, begin, drop):
    """begin: in pieces, each but the last a whole request."""
    with stage.connect() as c:
        c.send(b"".join(begin))
        for _ in begin[1:]:
            assert c.reply().body == b"ok"
        with takes(HEAD_MS):
            drip(c, drop)
        timed_out(c.reply())
        assert c.ended()


def test_a_head_has_a_deadline_as_a_whole(stage):
    stage.answer()
    whole = b"GET / HTTP/1.1\r\nHost: plain.relay.test\r\n\r\n"
    with stage.stack.logs_more("outcome=client-timeout status=408", 4):
        together((slow_head, stage, [b"G"], b"E"), (slow_head, stage, [whole[:20]], b""),
                 (slow_head, stage, [whole[:20]], b"x"),
                 (slow_head, stage, [whole, whole[:20]], b"x"))


def idle(stage, asks):
    with stage.connect() as c:
        if asks:
            assert c.request("GET", "/").body == b"ok"
        with takes(IDLE_MS):
            assert c.ended()


def test_a_client_that_asks_nothing_is_let_go(stage):
    stage.answer()
    with stage.stack.logs_more("in=idle why=idle-timeout", 2):
        together((idle, stage, False), (idle, stage, True))


def slow_handshake(stage, hello):
    with socket.socket() as raw, takes(HANDSHAKE_MS):
        raw.connect(("127.0.0.1", stage.stack.port))
        raw.sendall(hello)
        raw.settimeout(TICK_S)
        while True:
            try:
                return raw.recv(1)
            except TimeoutError:
                raw.sendall(hello and b"\0")


def test_a_handshake_has_a_deadline_as_a_whole(stage):
    with stage.stack.logs_more("in=handshake why=handshake-timeout", 2):
        assert together((slow_handshake, stage, b""), (slow_handshake, stage,
                        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")) == [b"", b""]


# ---- clients: bodies and reading ---------------------------------------------------------

def stopped_body(stage, path, part):
    with stage.connect(WORK) as c:
        with takes(BODY_MS):
            c.send(body_head(c, path) + part)
            timed_out(c.reply("POST"))
        assert c.ended()


def test_a_body_that_stops(stage):
    left = Heard()
    stage.play(lambda peer: left.tell(peer.rest()))
    with stage.stack.logs_more("the request body stopped coming", 4):
        together(*((stopped_body, stage, path, part) for path in ("/", "/seal")
                   for part in (b"", SECRET[:9])))
    ends = [left.next() for _ in range(4)]
    assert {end for _, end in ends} == {"cut"}
    assert {data.rpartition(b"\r\n\r\n")[2] for data, _ in ends} == {b"", SECRET[:9]}
    assert all(data == b"" or data.startswith(b"POST / ") for data, _ in ends)


def slow_body(stage, path):
    with stage.connect(WORK) as c:
        start = time.monotonic()
        c.send(body_head(c, path))
        drip(c, b" " * 100)
        timed_out(c.reply("POST"))
        return time.monotonic() - start


def slow_reader(stage, host, path):
    """It sips; what it gets is no whole answer."""
    with stage.connect(host, rcvbuf=65536) as c:
        start = time.monotonic()
        c.send(c.head("GET", path, []))
        assert sip(c, 4) == "cut"
        return time.monotonic() - start


BELOW_THE_RATE = {
    "body that passes": (slow_body, "/"),
    "body that is collected": (slow_body, "/seal"),
    "reader of what passes": (slow_reader, PLAIN, "/long"),
    "reader of what was collected": (slow_reader, WHOLE, "/open"),
}


@pytest.fixture(scope="module")
def slow_ones(stage):
    """All of them at once; the others are served meanwhile."""
    def script(peer):
        got = read_request(peer)
        peer.send(LONG_ANSWER if got.line.startswith((b"GET /open", b"GET /long")) else OK)
    stage.play(script)
    with concurrent.futures.ThreadPoolExecutor(len(BELOW_THE_RATE)) as pool:
        slow = {name: pool.submit(call, stage, *arguments)
                for name, (call, *arguments) in BELOW_THE_RATE.items()}
        while not any(s.done() for s in slow.values()):
            assert stage.stack.get(PLAIN).body == b"ok"
            concurrent.futures.wait(slow.values(), TICK_S)
        yield slow


@pytest.mark.parametrize("who", BELOW_THE_RATE)
def test_who_is_below_the_minimum_rate(slow_ones, stage, who):
    """It moves all the time, and yet it is ended, not before the grace is over."""
    assert slow_ones[who].result() * 1000 > GRACE_MS - 100


def test_low_rates_have_their_reasons(slow_ones, stage):
    for s in slow_ones.values():
        s.exception()
    stage.stack.wait_log("the body comes slower than the minimum rate", 2)
    stage.stack.wait_log("in=flush why=reads-slowly")


def reads_nothing(stage, host, path):
    """Not even when it reads afterwards does it look whole."""
    with stage.connect(host, rcvbuf=65536) as c:
        with stage.one_more(f"in={'flush' if host == WHOLE else 'exchange'} why=write-timeout"):
            c.send(c.head("GET", path, []))
        with pytest.raises(GONE):
            c.reply()


def test_a_client_that_reads_nothing(stage):
    stage.answer(LONG_ANSWER)
    with stage.one_more("outcome=client-stopped-reading"):
        together((reads_nothing, stage, PLAIN, "/long"), (reads_nothing, stage, WHOLE, "/open"))


# ---- origins --------------------------------------------------------------------------

def stops_after(said):
    def script(peer):
        read_request(peer)
        peer.send(said)
        peer.rest()
    return script


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Len",
                                  b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_an_origin_that_does_not_answer(stage, said):
    stage.play(stops_after(said))
    with stage.connect() as c, stage.one_more("stage=response-head"):
        with takes(ANSWER_MS):
            timed_out(c.request("GET", "/"), 504, "request-timeout")
        stage.answer()
        assert c.request("GET", "/").body == b"ok"      # the connection goes on


def test_an_origin_that_only_hints(stage):
    """Interim answers are no answer, however many."""
    def script(peer):
        read_request(peer)
        while True:
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 100)
    stage.play(script)
    with stage.connect() as c, takes(ANSWER_MS):
        timed_out(c.request("GET", "/"), 504, "request-timeout")
        assert len(c.interim) > 100


def stops_inside(stage, framing, host, version):
    with stage.connect(host) as c, takes(STALL_MS):
        c.send(f"GET /open?{framing} HTTP/{version}\r\nHost: {host}\r\n\r\n".encode())
        if host == WORK:
            timed_out(c.reply(), 504, "request-timeout")
            return
        with pytest.raises(Cut):
            c.reply()


def test_an_origin_that_stops_inside_its_answer(stage):
    """A 504 when none of it went on; else it is cut, in every framing."""
    parts = {"length": b'Content-Length: 10\r\n\r\n{"a"',
             "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", "close": b"\r\n{"}

    def script(peer):
        got = read_request(peer)
        framing = got.line.split()[1].partition(b"?")[2].decode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + parts[framing])
        peer.rest()
    stage.play(script)
    with stage.stack.logs_more("stage=response-body", 9), stage.stack.logs_more("why=answer-cut", 6):
        together(*((stops_inside, stage, framing, host, version) for framing in parts
                   for host, version in ((WORK, "1.1"), (PLAIN, "1.1"), (PLAIN, "1.0"))))


def test_an_origin_that_does_not_read(stage):
    done = Cue()

    def script(peer):
        peer.head()
        done.wait()
    stage.play(script)
    with stage.connect() as c, stage.one_more("the destination stopped reading"):
        c.send(body_head(c, length=100_000_000))
        c.sock.settimeout(WRITE_MS / 2000)
        with contextlib.suppress(OSError):      # as long as somebody takes it
            while True:
                c.send(b"x" * 65536)
        c.sock.settimeout(DEADLINE_S)
        reply = c.reply("POST")
        done.give()
        assert (reply.status, reply.code) == (504, "request-timeout")
        assert reply.closed and c.ended()


def test_who_is_slow_within_the_deadlines_is_served(stage):
    """A head of some ticks, a body and an answer with pauses."""
    def script(peer):
        got = read_request(peer)
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n":
            peer.send(b"%c" % byte)
        for byte in got.body:
            threading.Event().wait(TICK_S)      # the pace of the origin
            peer.send(b"%c" % byte)
    stage.play(script)
    with stage.connect() as c:
        head = body_head(c, length=3)
        for i in range(0, len(head), len(head) // 4):
            c.send(head[i:i + len(head) // 4])
            threading.Event().wait(TICK_S)      # the pace of the client
        for byte in b"abc":
            c.send(b"%c" % byte)
            threading.Event().wait(TICK_S)
        assert c.reply("POST").body == b"abc"
