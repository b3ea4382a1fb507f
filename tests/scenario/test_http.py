"""Strict heads and framing on the wire: what is ambiguous is 400 and closed,
never resynchronised, and nothing of it reaches the origin."""
import pytest

from conftest import Origin, seal


@pytest.fixture(scope="module")
def served(shared, tmp_path_factory, ca):
    origin = Origin(tmp_path_factory.mktemp("origin"), ca)
    shared.relay("http.relay.test", origin, [seal("POST", "/seal", "$..*")])
    shared.relay("open.relay.test", origin, [])
    shared.origin_of_http = origin
    yield shared
    origin.end()


def raw(stack, data, host="http.relay.test", method="GET"):
    with stack.connect(host) as c:
        c.send(data)
        reply = c.reply(method)
        return reply, c.ended() if reply.closed else False


H = b"Host: http.relay.test\r\n"
BAD = {
    "bare LF": b"GET / HTTP/1.1\nHost: http.relay.test\n\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: http.relay.test\rX: y\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\n" + H + b"X: a\0b\r\n\r\n",
    "folded line": b"GET / HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\n" + H + b"X : a\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\n" + H + b": a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\n" + H + H + b"\r\n",
    "Host with a path": b"GET / HTTP/1.1\r\nHost: http.relay.test/x\r\n\r\n",
    "user info": b"GET / HTTP/1.1\r\nHost: u@http.relay.test\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + H + b"\r\n",
    "tab": b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n",
    "control in target": b"GET /a\x01 HTTP/1.1\r\n" + H + b"\r\n",
    "no target": b"GET HTTP/1.1\r\n" + H + b"\r\n",
    "length and chunked": b"POST / HTTP/1.1\r\n" + H +
                          b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length list": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 3, 3\r\n\r\nabc",
    "plus length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +3\r\n\r\nabc",
    "hex length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x3\r\n\r\nabc",
    "huge length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 99999999999999999999\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE twice": b"POST / HTTP/1.1\r\n" + H +
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk LF": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    "chunk overrun": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_ambiguous_requests_are_400_and_closed(served, name, pieces):
    before = len(served.origin_of_http.seen())
    smuggled = BAD[name] + b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n"
    with served.connect("http.relay.test") as c:
        if pieces == "whole":
            c.send(smuggled)
        else:
            try:
                for i in range(len(smuggled)):
                    c.send(smuggled[i:i + 1])
            except OSError:
                pass            # it was answered and closed before the end
        reply = c.reply("POST")
        assert (reply.status, reply.code) == (400, "bad-request")
        assert reply.closed and c.ended()
    seen = served.origin_of_http.seen()[before:]
    assert not any(b"/smuggled" in s.raw for s in seen)


@pytest.mark.parametrize("data,status,code", [
    (b"GET / HTTP/2.0\r\n" + H + b"\r\n", 505, "http-version-not-supported"),
    (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414, "uri-too-long"),
    (b"GET / HTTP/1.1\r\n" + H + b"X: " + b"a" * 70000 + b"\r\n\r\n", 431, "header-too-large"),
    (b"GET / HTTP/1.1\r\n" + H + b"X: a\r\n" * 300 + b"\r\n", 431, "header-too-large"),
    (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "not-implemented"),
    (b"TRACE / HTTP/1.1\r\n" + H + b"\r\n", 405, "method-not-allowed"),
    (b"CONNECT http.relay.test:443 HTTP/1.1\r\n" + H + b"\r\n", 405, "method-not-allowed"),
])
def test_limits_have_their_codes(served, data, status, code):
    reply, _ = raw(served, data)
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize("path", ["//", "/a//b", "/a\\b", "/a%5Cb", "/a%00", "/%zz", "/a%", "/%2e%2e/x",
                                  "/a/%2E/b", "/../x", "/a/../../x", "/a/..;/b", "/.;x/b"])
def test_ambiguous_paths_are_400_on_a_relay_with_rules(served, path):
    data = f"GET {path} HTTP/1.1\r\n".encode() + H + b"\r\n"
    reply, _ = raw(served, data)
    assert (reply.status, reply.code) == (400, "bad-request"), path
    # without rules nothing can be bypassed: the origin gets the original bytes
    if "\\" not in path and "%zz" not in path:
        reply, _ = raw(served, data.replace(b"http.relay", b"open.relay"), "open.relay.test")
        assert reply.status == 200
        assert served.origin_of_http.last().head.startswith(f"GET {path} ".encode())


@pytest.mark.parametrize("path", ["/x/../seal", "/./seal", "/%73eal", "/se%61l", "/seal?a=//../b"])
def test_a_rule_cannot_be_walked_around(served, path):
    body = b'{"v":"4111111111111111"}'
    reply = served.post("http.relay.test", path, body)
    assert reply.status == 200
    seen = served.origin_of_http.last()
    assert b"ev:QkTC" in seen.body
    assert seen.head.startswith(f"POST {path} ".encode())       # the original bytes


def test_http_1_0_clients(served):
    reply, closed = raw(served, b"GET /chunked/20000 HTTP/1.0\r\n" + H + b"\r\n")
    assert reply.body == b"x" * 20000 and reply.closed
    with served.connect("http.relay.test") as c:
        for _ in range(3):
            c.send(b"GET /bytes/5 HTTP/1.0\r\n" + H + b"Connection: keep-alive\r\n\r\n")
            assert c.reply().body == b"xxxxx"


def test_absolute_form(served):
    reply, _ = raw(served, b"GET https://http.relay.test/bytes/3?q HTTP/1.1\r\n" + H + b"\r\n")
    assert reply.body == b"xxx"
    assert served.origin_of_http.last().head.startswith(b"GET /bytes/3?q HTTP/1.1\r\n")
    reply, _ = raw(served, b"GET https://else.relay.test/ HTTP/1.1\r\n" + H + b"\r\n")
    assert (reply.status, reply.code) == (400, "bad-request")


def test_host_is_folded_and_its_port_does_not_count(served):
    reply, _ = raw(served, b"GET /bytes/1 HTTP/1.1\r\nHost: HTTP.Relay.TEST.:8443\r\n\r\n")
    assert reply.body == b"x"


def test_trailers_go_on_without_those_that_belong_to_a_head(served):
    data = (b"POST /x HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
            b"3\r\nabc\r\n0\r\nX-T: 1\r\nConnection: close\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
    with served.connect("http.relay.test") as c:
        c.send(data)
        assert c.reply().status == 200
        c.send(c.head("GET", "/bytes/2", []))
        assert c.reply().body == b"xx"
    raw = served.origin_of_http.seen()[-2].raw
    assert b"\r\nTrailer: X-T\r\n" in raw
    assert raw.endswith(b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n") and b"6.6.6.6" not in raw


def test_many_connections_at_once(served):
    connections = [served.connect("http.relay.test") for _ in range(200)]
    for i, c in enumerate(connections):
        c.send(c.head("GET", f"/bytes/{i}", []))
    for i, c in enumerate(connections):
        assert len(c.reply().body) == i
        c.close()
