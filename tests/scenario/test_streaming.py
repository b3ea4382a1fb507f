"""Long bodies on their way to the destination: what has no work passes at any
size, what is to be sealed is sealed in pieces while it comes, and nothing of it
leaves before all of it was.  Peers: a TLS client, one installation, an origin."""
import contextlib
import hashlib
import os
import signal
import ssl

import pytest

from conftest import stopped, until
from faults import use_engines
from lying_engine import HangUp, LyingEngine
from told_origin import (action, actions, difference, ephemerals, fields_sealed,     # noqa: F401
                         frugal, made, peak_memory, reveal, told)

HOST = "long.relay.test"
MIB = 1 << 20
GROWTH = 24 * MIB       # generous: it is 3 with sanitizers
ROUTES = [actions("POST", "/pay", action("encrypt", "$[*].v", "header:X-V")),
          actions("POST", "/opens", action("decrypt", "$[*].v"))]


@pytest.fixture
def api(ca):
    with told(ca) as origin:
        yield origin


@pytest.fixture
def ready(shared, make_stack, api):
    """ready(**relay fields) -> the module's stack; with conf, one of its own"""
    def make(conf="", **fields):
        stack = make_stack(conf=conf, workers=1) if conf else shared
        stack.relay(HOST, api, ROUTES, **fields)
        return stack
    return make


def document(values, bytes_each):
    """(JSON of objects of that size, the same as reveal() shows it sealed)"""
    plain, sealed = [], []
    for i, v in enumerate(values):
        one = b'{"id":%d, "pad":"%%s","v":%%s,"w":[1.0,null]}' % i
        pad = b"p" * (bytes_each - len(one) - len(v))
        plain.append(one % (pad, v))
        sealed.append(one % (pad, b'"[string:%s]"' % v[1:-1] if v[:1] == b'"' else
                             b'"[number:%s]"' % v))
    return b" [" + b",\n".join(plain) + b"]\n", b" [" + b",\n".join(sealed) + b"]\n"


def begin(c, path, length, *fields):
    c.send(c.head("POST", path, [("Content-Type", "application/json"), ("Content-Length", length),
                                 *fields]))


# ---- what has no work -------------------------------------------------------------------

@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_bodies_without_work_pass_in_flat_memory(frugal, make_stack, scripted, framing):
    """64 MiB there and 64 MiB back."""
    block = os.urandom(MIB)
    digest = hashlib.sha256(block * 64).digest()
    seen = []

    def script(peer):
        head = peer.head().lower()
        sums = hashlib.sha256()
        for _ in range(64):
            if b"chunked" in head:          # the pieces are cut anew on the way
                left = MIB
                while left:
                    while b"\r\n" not in peer.pending:
                        peer.fill()
                    size, _, peer.pending = peer.pending.partition(b"\r\n")
                    data = peer.take(int(size, 16))
                    assert peer.take(2) == b"\r\n"
                    sums.update(data)
                    left -= len(data)
            else:
                sums.update(peer.take(MIB))
        seen.append(sums.digest())
        peer.send(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if b"chunked" in head
                                            else b"Content-Length: %d\r\n\r\n" % (64 * MIB)))
        for _ in range(64):
            peer.send(b"100000\r\n%s\r\n" % block if b"chunked" in head else block)
        peer.send(b"0\r\n\r\n" if b"chunked" in head else b"")
    stack = make_stack(workers=1)
    stack.relay(HOST, scripted(script), ROUTES)
    assert stack.get("nobody.relay.test").status == 404     # warm
    before = peak_memory(stack)
    with stack.connect(HOST) as c:
        chunked = framing == "chunks"
        c.send(c.head("POST", "/other", [("Transfer-Encoding", "chunked") if chunked else
                                         ("Content-Length", 64 * MIB)]))
        for _ in range(64):
            c.send(b"100000\r\n%s\r\n" % block if chunked else block)
        c.send(b"0\r\n\r\n" if chunked else b"")
        while c.take_line():
            pass
        sums = hashlib.sha256()
        while True:
            size = int(c.take_line(), 16) if chunked else MIB
            for _ in range(0, size, MIB):
                sums.update(c.take(min(size, MIB)))
            if chunked:
                assert c.take(2) == b"\r\n"
            if sums.digest() == digest:
                break
    assert seen == [digest]
    assert peak_memory(stack) - before < GROWTH


# ---- sealed in pieces -----------------------------------------------------------------------

def test_a_long_document_is_sealed_while_it_comes(ready, api):
    """6 MiB, 20,000 values, in four parts, each when the engine has had some of
    the one before."""
    stack = ready()
    values = [b'"value-%d"' % i if i % 3 else b"%d.50" % i for i in range(20000)]
    body, expected = document(values, 310)
    assert 6 * 1000 * 1000 < len(body) < 8 * MIB
    quarter = len(body) // 4
    sealed = [fields_sealed(stack)]
    with stack.connect(HOST) as c:
        begin(c, "/pay", len(body), ("X-V", "head"))
        for part in range(3):
            c.send(body[part * quarter:(part + 1) * quarter])
            until("the engine has had some of it", lambda: fields_sealed(stack) > sealed[-1])
            sealed.append(fields_sealed(stack))
            assert api.requests == []
        c.send(body[3 * quarter:])
        assert c.reply().status == 200
    got = api.last()
    assert difference(reveal(stack, got.body), expected) is None
    assert reveal(stack, got.all("X-V")[0]) == b"[string:head]"
    assert got.all("Content-Length") == [str(len(got.body))]
    assert 4 <= len(ephemerals(got.body)) <= 8, "engine calls"
    assert fields_sealed(stack) == sealed[0] + 20001
    assert len(api.requests) == 1
    assert "value-1" not in stack.logs()


@pytest.mark.parametrize("chunk", [700_001, 65_537])
def test_pieces_of_a_chunked_document(ready, api, chunk):
    stack = ready()
    body, expected = document([b'"v%d"' % i for i in range(3000)], 1000)
    with stack.connect(HOST) as c:
        pieces = [body[i:i + chunk] for i in range(0, len(body), chunk)]
        assert c.request("POST", "/pay", b"", chunks=pieces).status == 200
        assert difference(reveal(stack, api.last().body), expected) is None
        assert c.request("POST", "/pay", b'[{"v":1}]').status == 200    # the connection goes on
    assert reveal(stack, api.last().body) == b'[{"v":"[number:1]"}]'


@pytest.mark.parametrize("length", [MIB - 10, 4 * MIB])
def test_one_value_longer_than_a_piece(ready, api, length):
    stack = ready()
    big = bytes(range(97, 123)) * (length // 26)
    body = b'[{"v":"first"},{"v":"%s"},{"w":"%s","v":"last"}]' % (big, big[:100000])
    for chunks in (None, [body[i:i + 500000] for i in range(0, len(body), 500000)]):
        reply = stack.post(HOST, "/pay", b"" if chunks else body, chunks=chunks)
        assert reply.status == 200, reply
        seen = reveal(stack, api.last().body)
        assert difference(seen, b'[{"v":"[string:first]"},{"v":"[string:%s]"},{"w":"%s",'
                          b'"v":"[string:last]"}]' % (big, big[:100000])) is None


def test_a_long_document_is_opened_in_pieces(ready, api):
    stack = ready()
    tokens = [made(stack, f'a "{i}"') for i in range(50)]
    body, _ = document([b'"%s"' % tokens[i % 50].encode() for i in range(2500)], 1000)
    with stack.connect(HOST) as c:
        assert c.request("POST", "/opens", body).status == 200
    for i, token in enumerate(tokens):
        body = body.replace(token.encode(), b'a \\"%d\\"' % i)
    assert difference(api.last().body, body) is None


# ---- what ends it ---------------------------------------------------------------------------

def half_sent(stack, c, body, path="/pay"):
    """The first half is with the engine, the client holds the rest."""
    before = fields_sealed(stack)
    begin(c, path, len(body))
    c.send(body[:len(body) // 2])
    until("the engine has had some of it", lambda: fields_sealed(stack) > before)
    return body[len(body) // 2:]


@pytest.mark.parametrize("spoil,status,code", [
    (lambda rest: rest[:-2] + b"}\n", 400, "malformed-body"),
    (lambda rest: rest[:-200] + b"\xff" + rest[-199:], 400, "malformed-body"),
    (lambda rest: rest[:1000] + b"x" + rest[1001:-3] + b'"]\n', 400, "malformed-body"),
], ids=["cut", "no UTF-8", "in the middle"])
def test_a_fault_in_a_later_piece_is_clean(ready, api, spoil, status, code):
    stack = ready()
    body, _ = document([b'"v%d"' % i for i in range(3000)], 1000)
    with stack.connect(HOST) as c:
        rest = half_sent(stack, c, body)
        c.send(spoil(rest))
        reply = c.reply()
    assert (reply.status, reply.code) == (status, code)
    assert api.requests == []


def test_limits_hold_over_all_pieces(ready, api):
    stack = ready(limits={"fields": 2500, "bodyBytes": 3 * MIB + MIB // 2})
    body, _ = document([b'"v%d"' % i for i in range(3000)], 1000)
    for chunks in (None, [body[i:i + 300000] for i in range(0, len(body), 300000)]):
        reply = stack.post(HOST, "/pay", b"" if chunks else body, chunks=chunks)
        assert (reply.status, reply.code) == (413, "too-many-fields")
    body, _ = document([b'"v%d"' % i for i in range(2400)], 1600)
    reply = stack.post(HOST, "/pay", b"", chunks=[body[:2 * MIB], body[2 * MIB:]])
    assert (reply.status, reply.code) == (413, "payload-too-large")
    assert api.requests == []


def test_a_token_that_does_not_open_in_a_later_piece(ready, api):
    stack = ready(onUndecryptable="reject")
    good, bad = made(stack, "x").encode(), made(stack, "x", app="other").encode()
    body, _ = document([b'"%s"' % (bad if i == 2400 else good) for i in range(2500)], 1000)
    reply = stack.post(HOST, "/opens", body)
    assert (reply.status, reply.code) == (422, "decryption-error")
    assert api.requests == []


def test_clients_that_leave_between_pieces_leave_nothing(ready, api):
    """Also nothing that counts as held: the last is served as the first."""
    stack = ready(conf="max_held_bytes = 8388608\n")
    body, expected = document([b'"v%d"' % i for i in range(3000)], 1000)
    assert stack.post(HOST, "/pay", body).status == 200
    for how in ["outcome=client-cut-its-body", "why=client-broke"] * 3:
        with stack.connect(HOST) as c, stack.logs_more(how):
            half_sent(stack, c, body)
            if how.startswith("outcome"):
                with contextlib.suppress(ssl.SSLError):     # they may be faster
                    c.half_close()
            else:
                c.close()
    assert len(api.requests) == 1
    assert stack.post(HOST, "/pay", body).status == 200
    assert difference(reveal(stack, api.last().body), expected) is None


# ---- engines that die between pieces ----------------------------------------------------------

def test_an_engine_that_dies_between_pieces_is_a_clean_refusal(ready, api):
    stack = ready(conf="engine_timeout_ms = 1000\n")
    body, _ = document([b'"v%d"' % i for i in range(3000)], 1000)
    engine = stack.child("e3d")
    with stack.connect(HOST) as c, stopped(stack.relayd.pid):       # nobody starts another
        rest = half_sent(stack, c, body)
        os.kill(engine, signal.SIGKILL)
        c.send(rest)
        reply = c.reply()
    assert (reply.status, reply.code) == (503, "engine-unavailable")
    assert reply.field("Retry-After")
    assert api.requests == []


def test_an_engine_that_comes_back_between_pieces_goes_on(ready, api):
    stack = ready()
    body, expected = document([b'"v%d"' % i for i in range(3000)], 1000)
    with stack.connect(HOST) as c:
        rest = half_sent(stack, c, body)
        os.kill(stack.child("e3d"), signal.SIGKILL)
        c.send(rest)
        assert c.reply().status == 200
    assert difference(reveal(stack, api.last().body), expected) is None


def test_an_answer_that_breaks_off_is_asked_for_again(ready, api):
    """The link ends inside the answer to a piece, once for each piece."""
    stack = ready()
    body, expected = document([b'"v%d"' % i for i in range(12000)], 300)
    liar = LyingEngine(stack)
    broken = []

    def lie(answer):
        if len(broken) < 2 and answer.more and answer.values[0] not in broken:
            broken.append(answer.values[0])
            raise HangUp(answer.but())
        return answer.but()
    liar.lie = lie
    use_engines(stack, liar.address)
    try:
        assert stack.post(HOST, "/pay", body).status == 200
    finally:
        liar.close()
    assert len(broken) == 2
    assert difference(reveal(stack, api.last().body), expected) is None


# ---- held bodies ------------------------------------------------------------------------------

def test_what_tokens_add_is_held_too(ready, api):
    """130 KB of one-digit values grow to megabytes: refused before they do."""
    stack = ready(conf="max_held_bytes = 4194304\n")
    stack.relay("digits.relay.test", api, [actions("POST", "/", action("encrypt", "$[*]"))])
    body = b"[" + b",".join([b"1"] * 65536) + b"]"
    reply = stack.post("digits.relay.test", "/", body)
    assert (reply.status, reply.code) == (503, "overloaded")
    assert reply.field("Retry-After")
    assert api.requests == []
    # it was given back: what fits is sealed, again and again
    body = b"[" + b",".join([b"1"] * 4000) + b"]"
    for _ in range(10):
        assert stack.post("digits.relay.test", "/", body).status == 200
    assert difference(reveal(stack, api.last().body),
                      b"[" + b",".join([b'"[number:1]"'] * 4000) + b"]") is None
    body, _ = document([b'"v%d"' % i for i in range(5000)], 1000)
    reply = stack.post(HOST, "/pay", body)
    assert (reply.status, reply.code) == (503, "overloaded")
    assert len(api.requests) == 10
