"""Expect: 100-continue (RFC 9110 10.1.1).  Peers: a TLS client that waits for
its 100, an installation, an origin that says 100, is silent, or answers before
the body.  The client gets one 100 or the answer, and never waits for ever."""
import time

import pytest

from http_stage import OK, PLAIN, SECRET, WORK, Cue, Heard, stage_fixture
from told_origin import read_request

EXPECT_MS = 3000
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
stage = stage_fixture(f"expect_timeout_ms = {EXPECT_MS}")


def ask(c, path="/", length=5, *fields, expect="100-continue"):
    """The head alone."""
    c.send(c.head("POST", path, [("Content-Type", "application/json"),
                                 ("Content-Length", length), ("Expect", expect), *fields]))


def one_interim(c):
    r = c._one("POST")
    assert (r.status, r.fields, r.body) == (100, [], b"")


def answer_to(c, body):
    """The final answer, and no second 100 before it."""
    c.send(body)
    reply = c.reply("POST")
    assert c.interim == []
    return reply


@pytest.mark.parametrize("spelling", ["100-continue", "100-Continue"])
def test_the_origins_100_goes_on_and_the_body_behind_it(stage, spelling):
    asked = Heard()

    def script(peer):
        asked.tell((peer.head(), peer.pending))
        peer.send(CONTINUE)
        assert peer.take(5) == b"hello"
        peer.send(OK)
    stage.play(script)
    with stage.connect() as c:
        ask(c, expect=spelling)
        head, early = asked.next()
        assert b"\r\nExpect: 100-continue\r\n" in head + b"\r\n" and early == b""
        one_interim(c)
        assert answer_to(c, b"hello").body == b"ok"
        ask(c)                          # and the connection goes on
        one_interim(c)
        assert answer_to(c, b"hello").body == b"ok"


def test_a_chunked_body_waits_too(stage):
    def script(peer):
        head = peer.head()
        peer.send(CONTINUE)
        while not peer.pending.endswith(b"0\r\n\r\n"):
            peer.fill()
        peer.origin.requests.append(head)
        peer.send(OK)
    requests = stage.play(script)
    with stage.connect() as c:
        c.send(c.head("POST", "/", [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]))
        one_interim(c)
        assert answer_to(c, b"5\r\nhello\r\n0\r\n\r\n").body == b"ok"
    assert b"Transfer-Encoding: chunked" in requests[0]


def test_a_silent_origin_gets_the_body_after_the_timeout(stage):
    """Its own 100 comes too late: the client has had one."""
    def script(peer):
        peer.head()
        assert peer.take(5) == b"hello"
        peer.send(CONTINUE + CONTINUE + OK)
    stage.play(script)
    with stage.connect() as c:
        start = time.monotonic()
        ask(c)
        one_interim(c)
        assert time.monotonic() - start >= EXPECT_MS / 1000
        assert answer_to(c, b"hello").body == b"ok"


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"401 Unauthorized", b"200 OK"])
def test_an_answer_instead_of_100_ends_it(stage, status):
    """The client may or may not send its body now: nobody can tell what comes
    next for a request, so the connection ends."""
    said = b"HTTP/1.1 " + status + b"\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno"
    left = Heard()

    def script(peer):
        peer.head()
        peer.send(said)
        left.tell(peer.rest())
    stage.play(script)
    with stage.connect() as c:
        ask(c)
        reply = c.reply("POST")
        assert (reply.status, reply.body, reply.code) == (int(status[:3]), b"no", None)
        assert reply.field("www-authenticate") == "Basic"
        assert c.interim == [] and reply.closed and c.ended()
    body, _ = left.next()
    assert body == b""


def test_a_client_that_does_not_wait_is_served(stage):
    stage.play(lambda peer: (read_request(peer), peer.send(CONTINUE + OK)))
    with stage.connect() as c:
        ask(c)
        c.send(b"hello")
        assert c.reply("POST").body == b"ok" and len(c.interim) <= 1
        ask(c)
        c.send(b"hello")
        assert c.reply("POST").body == b"ok" and len(c.interim) <= 1


def test_a_body_with_work_is_asked_for_at_once(stage):
    """Not even the origin's connection is waited for."""
    cue = Cue()

    def script(peer):
        cue.wait()
        read_request(peer)
        peer.send(OK)
    requests = stage.play(script)
    with stage.connect(WORK) as c:
        start = time.monotonic()
        ask(c, "/seal", len(SECRET))
        one_interim(c)
        assert time.monotonic() - start < EXPECT_MS / 1000
        cue.give()
        assert answer_to(c, SECRET).body == b"ok"
    got, = requests
    assert got.all("expect") == [] and b"4111" not in got.body
    assert got.all("content-length") == [str(len(got.body))]


def test_http_1_0_cannot_expect(stage):
    requests = stage.answer()
    with stage.connect() as c:
        c.send(b"POST / HTTP/1.0\r\nHost: %s\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
               b"\r\nhello" % PLAIN.encode())
        assert c.reply("POST").body == b"ok" and c.interim == []
    assert requests[0].all("expect") == [] and requests[0].body == b"hello"


def test_nothing_to_wait_for(stage):
    """Without a body there is no 100, and the origin is not asked for one."""
    requests = stage.answer()
    with stage.connect() as c:
        reply = c.request("GET", "/", fields=[("Expect", "100-continue")])
        assert reply.body == b"ok" and c.interim == []
        assert c.request("GET", "/").status == 200
    assert requests[0].all("expect") == []


@pytest.mark.parametrize("value", ["magic", "100-continue, magic", "", "200-ok"])
def test_other_expectations_fail(stage, value):
    requests = stage.answer()
    with stage.connect() as c:
        reply = c.request("GET", "/", fields=[("Expect", value)])
        assert (reply.status, reply.code, reply.closed) == (417, "expectation-failed", False)
        ask(c, expect=value)                # with a body that may or may not come
        reply = c.reply("POST")
        assert (reply.status, reply.code) == (417, "expectation-failed")
        assert reply.closed and c.ended()
    assert requests == []
