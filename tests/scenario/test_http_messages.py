"""Messages of every kind HTTP/1.x has.  Peers: TLS clients that speak HTTP/1.0,
ask for everything at once, ask for heads only or end early; an installation with
small limits; an origin whose answers are made for each test.  What the client
gets is the origin's answer, framed for this client, in the order asked."""
import pytest

from conftest import Cut
from http_stage import GONE, OK, PLAIN, WORK, Cue, Heard, stage_fixture
from told_origin import made, read_request

MAX_HEAD, MAX_TARGET, MAX_FIELDS = 2048, 512, 20
stage = stage_fixture(f"max_head_bytes = {MAX_HEAD}\nmax_target_bytes = {MAX_TARGET}\n"
                      f"max_fields = {MAX_FIELDS}")
LARGE = 200_000             # bytes, more than a connection takes in by itself
large_stage = stage_fixture(f"max_head_bytes = {LARGE}\nmax_target_bytes = {LARGE}\n")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


def old(path=b"/", fields=b"", host=PLAIN, method=b"GET"):
    return b"%s %s HTTP/1.0\r\nHost: %s\r\n%s\r\n" % (method, path, host.encode(), fields)


def until_close(data, say_goodbye=True):
    def script(peer):
        read_request(peer)
        peer.send(data)
        if say_goodbye:
            peer.goodbye()
    return script


# ---- HTTP/1.0 -------------------------------------------------------------------------

@pytest.mark.parametrize("said", [OK, CHUNKED, OK.replace(b"1.1", b"1.0")])
def test_an_http_1_0_client_is_closed_by_default(stage, said):
    requests = stage.answer(said)
    with stage.connect() as c:
        c.send(old())
        reply = c.reply()
        assert reply.body == (b"abcde" if said == CHUNKED else b"ok")
        assert reply.field("connection") == "close" and c.ended()
        assert reply.field("transfer-encoding") is None
    assert requests[0].line == b"GET / HTTP/1.1"
    assert requests[0].all("via") == [f"1.0 relay-{PLAIN}"]


def test_an_http_1_0_client_may_keep_its_connection(stage):
    stage.answer()
    with stage.connect() as c:
        for connection in (b"keep-alive", b"Keep-Alive", b"x, keep-alive"):
            c.send(old(fields=b"Connection: " + connection + b"\r\n"))
            reply = c.reply()
            assert reply.body == b"ok" and reply.field("connection") == "keep-alive"
        c.send(old(method=b"POST", fields=b"Connection: keep-alive\r\nContent-Length: 3\r\n")
               + b"abc" + old(fields=b"Connection: keep-alive, close\r\n"))
        assert c.reply("POST").field("connection") == "keep-alive"
        assert c.reply().closed and c.ended()


def test_an_answer_of_unknown_length_ends_an_http_1_0_connection(stage):
    stage.answer(CHUNKED)
    with stage.connect() as c:
        c.send(old(fields=b"Connection: keep-alive\r\n") * 2)
        reply = c.reply()           # reads to the end: there is no second answer
        assert reply.body == b"abcde" and reply.field("connection") == "close"


def test_an_http_1_0_request_without_host(stage):
    """The absolute form names it; otherwise nobody does."""
    requests = stage.answer()
    absolute = b"GET https://%s/x?y HTTP/1.0\r\n\r\n" % PLAIN.encode()
    assert stage.talk(absolute).body == b"ok"
    assert requests[0].line == b"GET /x?y HTTP/1.1"
    assert requests[0].all("host") == [f"localhost:{stage.origin.port}"]
    reply = stage.talk(b"GET /x HTTP/1.0\r\n\r\n")
    assert (reply.status, reply.code) == (400, "bad-request")
    reply = stage.talk(absolute.replace(b"1.0", b"1.1"))
    assert (reply.status, reply.code) == (400, "bad-request")


@pytest.mark.parametrize("target,line", [
    (b"https://plain.relay.test", b"GET / HTTP/1.1"),
    (b"https://plain.relay.test?a=b", b"GET /?a=b HTTP/1.1"),
    (b"HTTPS://PLAIN.relay.test:443/x", b"GET /x HTTP/1.1"),
    (b"http://plain.relay.test/", b"GET / HTTP/1.1"),
])
def test_the_absolute_form_becomes_the_origins(stage, target, line):
    requests = stage.answer()
    assert stage.talk(b"GET %s HTTP/1.1\r\nHost: plain.relay.test\r\n\r\n" % target).body == b"ok"
    assert requests[0].line == line


# ---- several at once ------------------------------------------------------------------

def test_pipelined_requests_with_refusals_among_them(stage):
    """Each gets its answer, in order; the broken one ends it, and nothing behind
    it is read."""
    requests = stage.answer()

    def ask(method="GET", path="/", host=PLAIN, more=""):
        return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()
    wanted = [
        (ask(path="/1"), "GET", 200, None),
        (ask(host="nobody.relay.test"), "GET", 404, "relay-not-found"),
        (ask("TRACE"), "TRACE", 405, "method-not-allowed"),
        (ask("HEAD", "/2"), "HEAD", 200, None),
        (ask("HEAD", host="nobody.relay.test"), "HEAD", 404, "relay-not-found"),
        (ask("POST", "/3", more="Content-Length: 5\r\n") + b"GET /", "POST", 200, None),
        (ask(host=WORK), "GET", 421, "misdirected-request"),
        (ask("POST", "/4", more="Transfer-Encoding: chunked\r\n") + b"1\r\nx\r\n0\r\n\r\n",
         "POST", 200, None),
        (ask(more="Expect: magic\r\n"), "GET", 417, "expectation-failed"),
        (ask("OPTIONS", "*"), "OPTIONS", 200, None),
        (ask(path="/5"), "GET", 200, None),
        (ask(more="X : y\r\n"), "GET", 400, "bad-request"),
    ]
    with stage.connect() as c:
        c.send(b"".join(data for data, *_ in wanted) + ask(path="/never"))
        for _, method, status, code in wanted:
            reply = c.reply(method)
            assert (reply.status, reply.code) == (status, code)
            assert reply.closed == (status == 400)
        assert c.ended()
    assert [r.line.split()[1] for r in requests] == [b"/1", b"/2", b"/3", b"/4", b"*", b"/5"]


def test_a_hundred_refusals_at_once(stage):
    with stage.connect() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: nobody.relay.test\r\n\r\n" * 100)
        for _ in range(100):
            assert c.reply().code == "relay-not-found"


def test_options_of_the_server(stage):
    requests = stage.answer()
    for host in (PLAIN, WORK):
        with stage.connect(host) as c:
            assert c.request("OPTIONS", "*").body == b"ok"
            assert requests[-1].line == b"OPTIONS * HTTP/1.1"
            reply = c.request("GET", "*")
            assert (reply.status, reply.code) == (400, "bad-request")
    assert len(requests) == 2


# ---- answers without a body -----------------------------------------------------------

BODILESS = {
    "HEAD, length": ("HEAD", b"200 OK\r\nContent-Length: 5", 200, "5"),
    "HEAD, chunked": ("HEAD", b"200 OK\r\nTransfer-Encoding: chunked", 200, None),
    "HEAD, neither": ("HEAD", b"200 OK", 200, None),
    "HEAD, 404": ("HEAD", b"404 No\r\nContent-Length: 7", 404, "7"),
    "204": ("GET", b"204 No Content", 204, None),
    "204, length 0": ("GET", b"204 No Content\r\nContent-Length: 0", 204, None),
    "304": ("GET", b'304 Not Modified\r\nETag: "x"', 304, None),
    "304, length": ("GET", b'304 Not Modified\r\nETag: "x"\r\nContent-Length: 5', 304, "5"),
    "304, chunked": ("GET", b"304 Not Modified\r\nTransfer-Encoding: chunked", 304, None),
}


@pytest.mark.parametrize("name", BODILESS)
def test_an_answer_without_a_body(stage, name):
    """And the next one on the same connection is the next one's."""
    method, said, status, length = BODILESS[name]
    stage.answer(b"HTTP/1.1 " + said + b"\r\n\r\n")
    with stage.connect() as c:
        for _ in range(2):
            reply = c.request(method, "/")
            assert (reply.status, reply.field("content-length")) == (status, length)
            assert reply.field("transfer-encoding") is None and not reply.closed
        stage.answer()
        assert c.request("GET", "/").body == b"ok"
        stage.answer(b"HTTP/1.1 " + said + b"\r\n\r\n")
        c.send(old(method=method.encode()))
        assert c.reply(method).status == status and c.ended()


@pytest.mark.parametrize("said", [b"204 No Content\r\nContent-Length: 5\r\n\r\nhello",
                                  b"204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                                  b"103 Early Hints\r\nContent-Length: 5\r\n\r\nhello"])
def test_a_body_where_none_can_be(stage, said):
    stage.answer(b"HTTP/1.1 " + said)
    reply = stage.stack.get(PLAIN)
    assert (reply.status, reply.code) == (502, "upstream-protocol-error")


def test_a_head_of_an_answer_that_would_change(stage):
    """Its length would be another one: nothing is said about it."""
    stage.answer(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "x"\r\n'
                 b"Content-Length: 500\r\n\r\n")
    with stage.connect(WORK) as c:
        reply = c.request("HEAD", "/open")
        assert reply.field("content-length") is None and reply.field("etag") == 'W/"x"'
        stage.answer(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n'
                     b'\r\n{"a":1}')
        assert c.request("GET", "/open").body == b'{"a":1}'


# ---- interim answers --------------------------------------------------------------------

HINTS = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\n"
         b"X-Hop: y\r\nX-Secret: 4111\r\nX-Evervault-Error-Code: forged\r\n\r\n")


def test_early_hints_go_on_before_the_answer(stage):
    """At once: the origin goes on when they were seen."""
    seen = Cue()

    def script(peer):
        read_request(peer)
        peer.send(HINTS)
        seen.wait()
        peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" + HINTS + OK)
    stage.play(script)
    with stage.connect() as c:
        c.send(c.head("GET", "/", []))
        hints = c._one("GET")
        assert (hints.status, hints.reason) == (103, "Early Hints")
        assert hints.fields == [("Link", "</a.css>; rel=preload"), ("X-Secret", "4111")]
        seen.give()
        reply = c.reply()
        assert reply.body == b"ok" and [r.status for r in c.interim] == [102, 103]


def test_early_hints_are_not_for_http_1_0(stage):
    stage.answer(HINTS + HINTS + OK)
    with stage.connect() as c:
        c.send(old(fields=b"Connection: keep-alive\r\n"))
        assert c.reply().body == b"ok" and c.interim == []


def test_early_hints_hold_nothing_that_must_be_sealed(stage):
    stage.answer(HINTS + OK)
    with stage.connect(WORK) as c:
        assert c.request("GET", "/seal-back").body == b"ok"
        hints, = c.interim
        assert hints.fields == [("Link", "</a.css>; rel=preload")]


# ---- answers until the end --------------------------------------------------------------

def test_an_answer_until_the_end(stage):
    """Chunked for HTTP/1.1, which keeps the connection; as it is for HTTP/1.0."""
    stage.play(until_close(b"HTTP/1.0 200 OK\r\n\r\n" + b"y" * 100_000))
    with stage.connect() as c:
        for _ in range(2):
            assert c.request("GET", "/").body == b"y" * 100_000
        c.send(old(fields=b"Connection: keep-alive\r\n"))
        reply = c.reply()
        assert reply.body == b"y" * 100_000 and reply.closed


@pytest.mark.parametrize("request_of", [lambda c: c.head("GET", "/", []), lambda c: old()],
                         ids=["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_an_answer_until_the_end_that_was_cut_is_seen_as_cut(stage, request_of, size):
    """The origin's TLS ended without a goodbye: ours must not say one."""
    stage.play(until_close(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * size, say_goodbye=False))
    with stage.connect() as c, stage.one_more("why=answer-cut"):
        c.send(request_of(c))
        with pytest.raises((Cut, ConnectionError)):
            c.reply()
        assert b"0\r\n\r\n" not in c.buffer


def test_an_answer_with_work_that_was_cut_is_an_error(stage):
    token = made(stage.stack, "open").encode()
    data = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b'{"a":"' + token + b'"}'
    stage.play(until_close(data, say_goodbye=False))
    reply = stage.stack.get(WORK, "/open")
    assert (reply.status, reply.code) == (502, "upstream-protocol-error")
    stage.play(until_close(data))
    assert stage.stack.get(WORK, "/open").body == b'{"a":"open"}'


# ---- answers before the body, ends before the answer ------------------------------------------

def test_an_answer_that_begins_with_the_body_still_on_its_way(stage):
    """In lockstep: a piece goes up when the one before has come back."""
    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            while b"\r\n" not in peer.pending:
                peer.fill()
            size, _, peer.pending = peer.pending.partition(b"\r\n")
            data = peer.take(int(size, 16) + 2)
            peer.send(size + b"\r\n" + data)
            if size == b"0":
                return peer.rest()
    stage.play(script)
    with stage.connect() as c:
        c.send(c.head("POST", "/", [("Transfer-Encoding", "chunked")]))
        while line := c.take_line():
            assert line.startswith(b"HTTP/1.1 200") or b": " in line
        for size in (1, 70, 16384, 3, 200_000):
            c.send(b"%x\r\n%s\r\n" % (size, b"x" * size))
            back = b""
            while len(back) < size:
                back += c.take(int(c.take_line(), 16))
                assert c.take(2) == b"\r\n"
            assert back == b"x" * size
        c.send(b"0\r\n\r\n")
        assert c.take_line() == b"0" and c.take_line() == b""
        stage.answer()
        assert c.request("GET", "/").body == b"ok"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_whole_answer_before_the_body_is_not_lost(stage, framing):
    """The client reads it while it sends; then the connection ends as it should."""
    body = b"z" * 3_000_000
    answered = Cue()
    said = {"length": b"Content-Length: %d\r\n\r\n%s" % (len(body), body),
            "chunked": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            "close": b"\r\n" + body}[framing]

    def script(peer):
        peer.head()
        peer.take(1_000_000)
        peer.send(b"HTTP/1.1 403 No\r\n" + said)
        if framing == "close":
            peer.half_close()
        answered.give()
        peer.rest()
    stage.play(script)
    with stage.connect() as c:
        c.send(c.head("POST", "/", [("Content-Length", 10_000_000)]) + b"a" * 1_000_000)
        reply = c.reply("POST")
        assert (reply.status, reply.body) == (403, body)
        answered.wait()
        assert c.ended()


def test_an_early_answer_leaves_a_body_that_then_comes_whole(stage):
    """Nothing of that body is read as a request."""
    def script(peer):
        peer.head()
        peer.send(OK)
        peer.rest()
    stage.play(script)
    inner = b"GET /smuggled HTTP/1.1\r\nHost: plain.relay.test\r\n\r\n"
    with stage.connect() as c:
        c.send(c.head("POST", "/", [("Content-Length", len(inner))]))
        assert c.reply("POST").body == b"ok"
        c.send(inner)
        assert c.ended()


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: plain.relay.test\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: plain.relay.test\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: plain.relay.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\n\r\n", old(fields=b"Connection: keep-alive\r\n")])
def test_a_client_that_ends_behind_its_request_gets_its_answer(stage, data):
    go, asked = Cue(), Cue()

    def script(peer):
        read_request(peer)
        asked.give()
        go.wait()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000)
    stage.play(script)
    with stage.connect() as c, stage.one_more("why=answered"):
        c.send(data)
        asked.wait()
        c.half_close()
        go.give()
        assert c.reply().body == b"y" * 300_000 and c.ended()


def test_a_client_that_ends_behind_several_requests_gets_all_answers(stage):
    go = Cue()
    asked = Cue()

    def script(peer):
        read_request(peer)
        asked.give()
        go.wait()
        peer.send(OK)
    stage.play(script)
    with stage.connect() as c:
        c.send(c.head("GET", "/", []) * 5)
        asked.wait()
        c.half_close()
        go.give()
        for _ in range(5):
            assert c.reply().body == b"ok"
        assert c.ended()


@pytest.mark.parametrize("part", [
    b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nab", b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n"])
@pytest.mark.parametrize("path", ["/", "/seal"])
def test_a_client_that_ends_inside_its_body_has_asked_nothing(stage, part, path):
    left = Heard()
    stage.play(lambda peer: left.tell(peer.rest()))
    with stage.connect(WORK) as c, stage.one_more("why=client-cut"):
        c.send(c.head("POST", path, [("Content-Type", "application/json")])[:-2] + part)
        c.half_close()
        with pytest.raises(GONE):
            c.reply("POST")
    if path == "/":
        data, end = left.next()
        assert end == "cut" and b"\r\n0\r\n" not in data
    else:
        assert not any(data for data, _ in left.values)


def test_a_client_that_ends_inside_its_head(stage):
    with stage.connect() as c, stage.one_more("in=head why=client-cut"):
        c.send(b"GET / HTTP/1.1\r\nHost: ")
        c.half_close()
        with pytest.raises(GONE):
            c.reply()
    with stage.one_more("in=idle why=client-end"), stage.connect() as c:
        c.half_close()
        assert c.ended()


# ---- too large ------------------------------------------------------------------------

def padded(size):
    """A request of this many bytes."""
    head = b"GET / HTTP/1.1\r\nHost: plain.relay.test\r\nX: "
    return head + b"a" * (size - len(head) - 4) + b"\r\n\r\n"


def target(size):
    return b"GET /" + b"a" * (size - 1) + b" HTTP/1.1\r\nHost: plain.relay.test\r\n\r\n"


def with_fields(count):
    return b"GET / HTTP/1.1\r\nHost: plain.relay.test\r\n" + b"X: y\r\n" * (count - 1) + b"\r\n"


LIMITS = {"head": (padded, MAX_HEAD, 431, "header-too-large"),
          "target": (target, MAX_TARGET, 414, "uri-too-long"),
          "fields": (with_fields, MAX_FIELDS, 431, "header-too-large")}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_the_limits_of_a_request_head_to_the_byte(stage, name, pieces):
    make, limit, status, code = LIMITS[name]
    requests = stage.answer()

    def ask(data):
        with stage.connect() as c:
            try:
                for i in range(0, len(data), len(data) if pieces == "whole" else 1):
                    c.send(data[i:] if pieces == "whole" else data[i:i + 1])
            except OSError:
                pass                # it was answered before the end
            reply = c.reply()
            assert not reply.closed or c.ended()
            return reply
    assert ask(make(limit)).status == 200
    reply = ask(make(limit + 1))
    assert (reply.status, reply.code, reply.closed) == (status, code, True)
    assert len(requests) == 1


@pytest.mark.parametrize("said", [b"X: " + b"a" * MAX_HEAD + b"\r\n", b"X: y\r\n" * MAX_FIELDS],
                         ids=["bytes", "fields"])
def test_an_answers_head_over_the_limits(stage, said):
    stage.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + said + b"\r\n")
    reply = stage.stack.get(PLAIN)
    assert (reply.status, reply.code) == (502, "upstream-protocol-error")


@pytest.mark.parametrize("path", ["/", "/seal"])
def test_heads_and_trailers_as_large_as_they_may_be(large_stage, path):
    """In both directions, none waits for room that never comes."""
    much = "a" * (LARGE - 500)
    trailers = f"0\r\nX: {much}\r\n\r\n".encode()
    requests = large_stage.answer(f"HTTP/1.1 200 OK\r\nX: {much}\r\n".encode() +
                                  b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + trailers)
    with large_stage.connect(WORK) as c:
        c.send(c.head("POST", path, [("X", much), ("Content-Type", "application/json"),
                                     ("Transfer-Encoding", "chunked")]) + b"2\r\n{}\r\n" + trailers)
        reply = c.reply("POST")
        assert (reply.field("x"), reply.body, reply.trailers) == (much, b"abc", [f"X: {much}"])
        target = "/" + much[:LARGE - 1000]
        assert c.request("GET", target).body == b"abc"
    assert requests[0].all("x") == [much] and requests[0].body == b"{}"
    assert [t.decode() for t in requests[0].trailers] == ([f"X: {much}"] if path == "/" else [])
    assert requests[1].line.decode() == f"GET {target} HTTP/1.1"
