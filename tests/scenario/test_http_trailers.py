"""Trailers both ways (RFC 9110 6.5).  Peers: a TLS client, an installation, an
origin of the test.  What is harmless at the end goes on, what could be taken for
framing, routing or authentication does not, and no trailer walks around a rule."""
import contextlib

import pytest

import token_codec
from conftest import tokens_in
from http_stage import GONE, PLAIN, SECRET, WORK, Heard, stage_fixture
from told_origin import made, read_request

MAX_BYTES, MAX_FIELDS = 2048, 20
stage = stage_fixture(f"max_head_bytes = {MAX_BYTES}\nmax_target_bytes = 512\n"
                      f"max_fields = {MAX_FIELDS}")

PASS = ["X-Checksum: 1f", "x-UPPER: a,  b", "Server-Timing: db;dur=5", "Grpc-Status: 0"]
DROP = ["Connection: close, x-checksum", "Keep-Alive: timeout=5", "TE: trailers",
        "Trailer: X-Checksum", "Upgrade: h2c", "Proxy-Connection: close",
        "Proxy-Authorization: Basic eDp5", "Authorization: Basic eDp5", "Api-Key: ev:key:1:x",
        "Cookie: a=b", "Set-Cookie: a=b", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.test",
        "X-Forwarded-Proto: http", "Forwarded: for=6.6.6.6", "Via: 1.1 evil", "Expect: 100-continue",
        "Range: bytes=0-1", "Content-Type: text/evil", "Content-Encoding: gzip",
        "Cache-Control: no-store", "If-Match: x", "Max-Forwards: 0", "Location: /evil",
        "WWW-Authenticate: Basic", "Age: 1", "Date: now", "Vary: *", "Retry-After: 1",
        "Content-Length: 5", "Transfer-Encoding: chunked", "Host: evil.test"]


def chunked(trailers, *pieces):
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces or (b"abc",))
    return body + b"0\r\n" + "".join(t + "\r\n" for t in trailers).encode() + b"\r\n"


def head(c, path="/", announce="X-Checksum, Cookie"):
    return c.head("POST", path, [("Content-Type", "application/json"), ("Trailer", announce),
                                 ("Transfer-Encoding", "chunked")])


def answer_head(announce="X-Checksum, Cookie", kind="text/plain"):
    return (f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTrailer: {announce}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n").encode()


def by_fifteen(lines):
    """No section over its limit of fields."""
    return [lines[i:i + 15] for i in range(0, len(lines), 15)]


@contextlib.contextmanager
def never_whole(stage, path):
    """The origin gets no byte of a body with work, and no other one to its end."""
    left = Heard()
    stage.play(lambda peer: left.tell(peer.rest()[0]))
    yield
    if path == "/seal":
        assert not any(left.values)
    else:
        data = left.next()
        assert b"\r\n0\r\n" not in data and b"smuggled" not in data


# ---- with a request -----------------------------------------------------------------

@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_request_trailers_go_on_without_those_that_belong_to_a_head(stage, pieces):
    requests = stage.answer()
    with stage.connect() as c:
        for drop in by_fifteen(DROP):
            data = head(c) + chunked([PASS[0], *drop, *PASS[1:]])
            for i in range(0, len(data), len(data) if pieces == "whole" else 1):
                c.send(data[i:] if pieces == "whole" else data[i:i + 1])
            assert c.reply("POST").body == b"ok"
            got = requests[-1]
            assert got.body == b"abc"
            assert [t.decode() for t in got.trailers] == PASS
            assert got.all("trailer") == ["X-Checksum, Cookie"]
            assert got.all("transfer-encoding") == ["chunked"]
            assert got.all("content-length") == []


@pytest.mark.parametrize("line", ["X : a", " folded", "X", "X: a\0b", ": a"])
@pytest.mark.parametrize("path", ["/", "/seal"])
def test_broken_request_trailers_are_refused(stage, line, path):
    """400, closed, and the origin has no whole request."""
    with stage.connect(WORK if path == "/seal" else PLAIN) as c, never_whole(stage, path):
        c.send(head(c, path) + chunked([PASS[0], line], SECRET) +
               b"GET /smuggled HTTP/1.1\r\nHost: plain.relay.test\r\n\r\n")
        reply = c.reply("POST")
        assert (reply.status, reply.code) == (400, "bad-request")
        assert reply.closed and c.ended()


@pytest.mark.parametrize("path", ["/", "/seal"])
@pytest.mark.parametrize("trailers", [["X: " + "a" * MAX_BYTES], ["X: a"] * (MAX_FIELDS + 1)],
                         ids=["bytes", "fields"])
def test_too_large_request_trailers(stage, path, trailers):
    with stage.connect(WORK if path == "/seal" else PLAIN) as c, never_whole(stage, path):
        c.send(head(c, path) + chunked(trailers, SECRET))
        reply = c.reply("POST")
        assert (reply.status, reply.code) == (431, "header-too-large")
        assert reply.closed and c.ended()


def test_as_many_request_trailers_as_may_be(stage):
    requests = stage.answer()
    most = ["X-%d: a" % i for i in range(MAX_FIELDS)]
    longest = ["X: " + "a" * (MAX_BYTES - 7)]       # two line ends
    with stage.connect() as c:
        for trailers in (most, longest):
            c.send(head(c) + chunked(trailers))
            assert c.reply("POST").body == b"ok"
            assert [t.decode() for t in requests[-1].trailers] == trailers


def test_a_request_body_with_work_has_a_length_and_no_trailers(stage):
    requests = stage.answer()
    with stage.connect(WORK) as c:
        c.send(head(c, "/seal") + chunked(PASS, SECRET[:9], SECRET[9:]))
        assert c.reply("POST").body == b"ok"
        assert c.request("POST", "/seal", SECRET).status == 200
    got = requests[0]
    assert got.all("content-length") == [str(len(got.body))] and len(tokens_in(got.body)) == 1
    assert got.all("trailer") == got.all("transfer-encoding") == []
    assert b"4111" not in got.raw_head + got.body + requests[1].body


def test_a_field_that_must_be_sealed_is_no_trailer(stage):
    requests = stage.answer()
    with stage.connect(WORK) as c:
        c.send(c.head("POST", "/seal-head", [("X-Secret", "4111"), ("Transfer-Encoding", "chunked")])
               + chunked(["x-secret: 4111", *PASS]))
        assert c.reply("POST").body == b"ok"
    got, = requests
    assert [t.decode() for t in got.trailers] == PASS and got.body == b"abc"
    assert b"4111" not in got.raw_head and len(tokens_in(got.raw_head)) == 1


# ---- with an answer -----------------------------------------------------------------

def test_answer_trailers_go_on_without_those_that_belong_to_a_head(stage):
    with stage.connect() as c:
        for drop in by_fifteen(DROP):
            stage.answer(answer_head() + chunked([PASS[0], *drop, *PASS[1:]]))
            reply = c.request("GET", "/")
            assert reply.body == b"abc" and reply.trailers == PASS
            assert reply.field("trailer") == "X-Checksum, Cookie"


def test_te_trailers_is_said_again_when_the_client_says_it(stage):
    requests = stage.answer()
    with stage.connect() as c:
        c.request("GET", "/", fields=[("TE", "trailers, deflate;q=0.5"), ("Connection", "TE")])
        c.request("GET", "/", fields=[("TE", "deflate"), ("Connection", "TE")])
    assert requests[0].all("te") == ["trailers"] and requests[0].all("connection") == ["TE"]
    assert requests[1].all("te") == requests[1].all("connection") == []


def test_an_http_1_0_client_gets_no_trailers(stage):
    stage.answer(answer_head() + chunked(PASS))
    reply = stage.talk(b"GET / HTTP/1.0\r\nHost: plain.relay.test\r\n\r\n")
    assert reply.body == b"abc" and reply.closed
    assert reply.field("trailer") is None and reply.field("transfer-encoding") is None


@pytest.mark.parametrize("trailers", [["X : a"],
                                      ["X: " + "a" * MAX_BYTES], ["X: a"] * (MAX_FIELDS + 1)])
def test_broken_or_too_large_answer_trailers(stage, trailers):
    """The answer has begun: it is cut, so that it never looks whole."""
    stage.answer(answer_head() + chunked(trailers))
    with stage.connect() as c, stage.one_more("why=answer-cut"):
        c.send(c.head("GET", "/", []))
        with pytest.raises(GONE):
            c.reply()
        assert b"0\r\n\r\n" not in c.buffer
    # one that was read whole is an error
    stage.answer(answer_head(kind="application/json") + chunked(trailers, b'{"a":1}'))
    reply = stage.stack.get(WORK, "/open")
    assert (reply.status, reply.code) == (502, "upstream-protocol-error")


def test_an_answer_with_work_has_a_length_and_no_trailers(stage):
    token = made(stage.stack, "open").encode()
    stage.answer(answer_head(kind="application/json") + chunked(PASS, b'{"a":"', token, b'"}'))
    reply = stage.stack.get(WORK, "/open")
    assert reply.body == b'{"a":"open"}' and reply.field("content-length") == "12"
    assert reply.trailers == [] and reply.field("trailer") is None


def test_a_long_answer_that_is_opened_while_it_comes(stage):
    token = made(stage.stack, "open").encode()
    row = b'"' + b"x" * 1000 + b'",'
    pieces = [b'{"a":["', token, b'",', *[row] * 400, b"1]}"]
    stage.answer(answer_head(kind="application/json") + chunked(PASS, *pieces))
    reply = stage.stack.get(WORK, "/open")
    assert reply.body == b"".join(pieces).replace(token, b"open")
    assert reply.field("transfer-encoding") == "chunked" and reply.trailers == PASS


def test_an_answers_field_that_must_be_sealed_is_no_trailer(stage):
    stage.answer(b"HTTP/1.1 200 OK\r\nX-Secret: 4111\r\nTransfer-Encoding: chunked\r\n\r\n" +
                 chunked(["X-Secret: 4111", *PASS]))
    reply = stage.stack.get(WORK, "/seal-back")
    assert reply.body == b"abc" and reply.trailers == PASS
    kind, value, _ = token_codec.open_token(reply.field("x-secret"), stage.stack.app_keys())
    assert (kind, value) == ("string", b"4111")


def test_empty_trailers_and_extensions(stage):
    """A chunk's extensions are this connection's own."""
    requests = stage.play(lambda peer: (read_request(peer), peer.send(
        answer_head() + b"3;a=b;c\r\nabc\r\n0;last\r\n\r\n")))
    with stage.connect() as c:
        c.send(head(c) + b"3;name=value\r\nabc\r\n00000\r\n\r\n")
        reply = c.reply("POST")
    assert (reply.body, reply.trailers) == (b"abc", [])
    assert (requests[0].body, requests[0].trailers) == (b"abc", [])
