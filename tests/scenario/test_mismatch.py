"""Bodies that their selectors cannot read, in both directions, and answers that
are sealed: onMismatch, limits, answers without body.  Peers: a TLS client, one
installation, an origin that answers what it is told."""
import gzip

import pytest

from told_origin import (FORM, JSON, action, actions, api, made, relay, reveal,  # noqa: F401
                         reveal_form)

BOTH = actions("POST", "/", action("encrypt", "$.v", "form:v", "header:X-V"),
               action("decrypt", "$.v", "form:v", "header:X-V"))
SEALS = actions(None, "/", (), action("encrypt", "$.v", "header:X-V"))
OPENS = actions(None, "/", (), action("decrypt", "$.v", "header:X-V"))
HTML = b"<p>4111</p>"
REFUSED, UNSEALABLE = (415, "unsupported-content-type"), (502, "unsealable-response")


def how(reply):
    return reply.status, reply.code


# ---- requests ---------------------------------------------------------------------------

# (content type, body, further fields, how it is refused)
UNREADABLE = {
    "another type": ("text/html", HTML, [], REFUSED),
    "no type": ("", b'{"v":1}', [], REFUSED),
    "a charset": (JSON + "; charset=latin1", b'{"v":"\xfc"}', [], REFUSED),
    "a coding": (JSON, gzip.compress(b'{"v":1}'), [("Content-Encoding", "gzip, br")], REFUSED),
    "a broken coding": (JSON, gzip.compress(b'{"v":1}')[:-1], [("Content-Encoding", "gzip")],
                        (400, "malformed-body")),
    "broken JSON": (JSON, b'{"v":1', [], (400, "malformed-body")),
    "broken JSON late": (JSON, b'{"v":"4111","w":[1,2,}', [], (400, "malformed-body")),
    "no UTF-8": (JSON, b'{"v":"\xff"}', [], (400, "malformed-body")),
    "a lone surrogate": (JSON, b'{"v":"\\ud800"}', [], (400, "malformed-body")),
    "too deep": (JSON, b"[" * 129 + b"]" * 129, [], (400, "malformed-body")),
    "two documents": (JSON, b'{"v":1}{"v":2}', [], (400, "malformed-body")),
}


@pytest.fixture(scope="module")
def rules(shared, api):
    """Hosts by their rule, some that refuse and some that forward."""
    refuse = [None, {"response": "forward"}, "reject"]
    forward = ["forward", {"request": "forward"}, {"request": "forward", "response": "reject"}]
    hosts = []
    for rule in refuse + forward:
        hosts.append(f"request{len(hosts)}.relay.test")
        shared.relay(hosts[-1], api, [BOTH], **({} if rule is None else {"onMismatch": rule}))
    return hosts[:len(refuse)], hosts[len(refuse):]


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_request_is_refused_or_goes_on_as_it_came(shared, api, rules, name):
    content_type, body, fields, refusal = UNREADABLE[name]
    fields = [*fields, ("X-V", "4111")]
    refuse, forward = rules
    before = len(api.requests)
    for host in refuse:
        reply = shared.post(host, "/", body, content_type=content_type, fields=fields)
        assert how(reply) == refusal
    assert len(api.requests) == before
    api.tell(b'{"v":1}')
    for host in forward:
        for chunks in (None, [body[i:i + 1] for i in range(len(body))]):
            reply = shared.post(host, "/", b"" if chunks else body, content_type=content_type,
                                fields=fields, chunks=chunks)
            assert reply.status == 200
            got = api.last()
            assert got.body == body
            assert got.all("Content-Type") == ([content_type] if content_type else [])
            assert got.all("Content-Encoding") == [v for n, v in fields if n == "Content-Encoding"]
            # a field can be sealed whatever the body is
            assert reveal(shared, got.all("X-V")[0]) == b"[string:4111]"


def test_a_readable_request_is_sealed_where_others_may_go_on(shared, api, relay):
    host = relay(BOTH, onMismatch="forward")
    shared.post(host, "/", b'{"v":1,"w":2}')
    assert reveal(shared, api.last().body) == b'{"v":"[number:1]","w":2}'
    shared.post(host, "/", b"v=1&w=2", content_type=FORM)
    assert reveal_form(shared, api.last().body) == b"v=[string:1]&w=2"
    long = b'{"v":"x","w":"%s"}' % (b"y" * (2 << 20))     # would be sealed in pieces otherwise
    shared.post(host, "/", long)
    assert reveal(shared, api.last().body) == long.replace(b'"x"', b'"[string:x]"')
    assert shared.post(host, "/", long[:-1]).status == 200
    assert api.last().body == long[:-1]


@pytest.mark.parametrize("rule", ["reject", "forward"])
@pytest.mark.parametrize("chunked", [False, True])
def test_limits_of_a_request(shared, api, relay, rule, chunked):
    """They hold also where unreadable bodies may go on: these could be read."""
    host = relay(BOTH, onMismatch={"request": rule}, limits={"bodyBytes": 2000, "fields": 3})
    fits = b'{"v":[1,2,"%s"]}' % (b"x" * 1986)
    assert len(fits) == 2000
    large, many = fits[:-2] + b" ]}", b'{"v":[1,2,3,4]}'

    def post(body):
        return how(shared.post(host, "/", b"" if chunked else body,
                               chunks=[body[:50], body[50:]] if chunked else None))
    assert post(fits) == (200, None)
    before = len(api.requests)
    assert post(large) == (413, "payload-too-large")
    assert post(many) == (413, "too-many-fields")
    assert len(api.requests) == before


# ---- answers ----------------------------------------------------------------------------

ANSWERS = {
    "another type": ("text/html", HTML, []),
    "no type": (None, b'{"v":1}', []),
    "a charset": (JSON + "; charset=latin1", b'{"v":"\xfc"}', []),
    "a coding": (JSON, gzip.compress(b'{"v":1}'), ["Content-Encoding: compress"]),
    "a broken coding": (JSON, gzip.compress(b'{"v":1}')[:-1], ["Content-Encoding: gzip"]),
    "a form": (FORM, b"v=1", []),
    "broken JSON": (JSON, b'{"v":1', []),
    "no UTF-8": (JSON, b'{"v":"\xff"}', []),
}
# what the relay says -> (an answer to be sealed, one that is opened) goes on
RULES = [(None, False, True), ("forward", True, True), ("reject", False, False),
         ({"request": "forward"}, False, True), ({"response": "forward"}, True, True),
         ({"response": "reject"}, False, False),
         ({"request": "forward", "response": "reject"}, False, False)]


@pytest.fixture(scope="module")
def answers(shared, api):
    """(host, sealed answers go on, opened ones do) for each of RULES."""
    out = []
    for rule, seals, opens in RULES:
        host = f"answer{len(out)}.relay.test"
        shared.relay(host, api, [dict(SEALS, path="/seals"), dict(OPENS, path="/opens")],
                     **({} if rule is None else {"onMismatch": rule}))
        out.append((host, seals, opens))
    return out


@pytest.mark.parametrize("name", ANSWERS)
def test_an_unreadable_answer(shared, api, answers, name):
    content_type, body, lines = ANSWERS[name]
    token = made(shared, "4111")
    for host, seals, opens in answers:
        for path, goes_on, value, worked in (("/seals", seals, "4111", b"[string:4111]"),
                                             ("/opens", opens, token, b"4111")):
            api.tell(body, content_type, *lines, f"X-V: {value}")
            reply = shared.get(host, path)
            if not goes_on:
                assert how(reply) == UNSEALABLE
                assert body not in reply.body and reply.field("X-V") is None
                continue
            assert how(reply) == (200, None)
            assert reply.body == body and reply.field("Content-Type") == content_type
            assert lines == [f"Content-Encoding: {v}" for n, v in reply.fields
                             if n.lower() == "content-encoding"]
            # a field can be worked on whatever the body is
            assert reveal(shared, reply.field("X-V")) == worked


def test_an_answer_is_sealed(shared, api, relay):
    host = relay(actions(None, "/", (), action("encrypt", ("$.v", "pci"), "form:v", "header:X-V")))
    body, expected = b'{ "v":[1,"x"], "w":1}', b'{ "v":["[number:1@pci]","[string:x@pci]"], "w":1}'
    for status in (200, 404, 500):
        api.tell(body, JSON, 'ETag: "strong"', "Digest: sha-256=x", "X-V: 1", status=status)
        reply = shared.get(host)
        assert (reply.status, reveal(shared, reply.body)) == (status, expected)
        assert reply.field("Content-Length") == str(len(reply.body))
        assert reply.field("ETag") == 'W/"strong"' and reply.field("Digest") is None
        assert reveal(shared, reply.field("X-V")) == b"[string:1]"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    api.tell_raw(head + b"Transfer-Encoding: chunked\r\n\r\n",
                 b"3\r\n{ \"\r\n%x\r\n%s\r\n0\r\nX-V: 1\r\n\r\n" % (len(body) - 3, body[3:]))
    reply = shared.get(host)
    assert reveal(shared, reply.body) == expected
    api.tell(b"v=1&w=2", FORM)
    assert reveal_form(shared, shared.get(host).body) == b"v=[string:1]&w=2"
    assert api.last().all("Accept-Encoding") == ["identity"]


@pytest.mark.parametrize("status,method,length", [
    (204, "GET", None), (304, "GET", None), (304, "GET", "5"), (200, "HEAD", "11"), (404, "HEAD", None),
    (200, "GET", "0"),
])
@pytest.mark.parametrize("route", [SEALS, OPENS], ids=["seals", "opens"])
def test_an_answer_without_body_never_mismatches(shared, api, relay, route, status, method, length):
    host = relay(route, onMismatch="reject")
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: text/html\r\nX-V: 1\r\n"
    api.tell_raw((head + (f"Content-Length: {length}\r\n" if length else "") + "\r\n").encode())
    with shared.connect(host) as c:
        for _ in range(2):
            reply = c.request(method, "/")
            assert (how(reply), reply.body) == ((status, None), b"")
            # a length that may not hold is not told
            assert reply.field("Content-Length") == ("0" if length == "0" else None)
            assert reveal(shared, reply.field("X-V")) == (
                b"[string:1]" if route is SEALS else b"1")


def test_a_part_of_a_document_is_none(shared, api, relay):
    part = b'"4111","w":'
    api.tell(part, JSON, "Content-Range: bytes 5-15/100", status=206)
    assert how(shared.get(relay(SEALS))) == UNSEALABLE
    host = relay(OPENS)
    reply = shared.get(host, fields=[("Range", "bytes=5-15")])
    assert (reply.status, reply.body) == (206, part)
    assert api.last().all("Range") == []


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_limits_of_an_answer(shared, api, relay, framing, scripted):
    """What is opened goes on sealed, what must be sealed is an error."""
    limits = {"bodyBytes": 2000, "fields": 3}
    token = made(shared, "4111").encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    said = []

    def script(peer):
        peer.request()
        body, = said
        if framing == "length":
            peer.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        elif framing == "chunks":
            peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
                b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:700], body[700:1900], body[1900:]) if p) +
                b"0\r\n\r\n")
        else:
            peer.send(head + b"\r\n" + body)
        peer.goodbye()
    origin = scripted(script)
    # by a filter: the whole document is needed
    opens = actions("GET", "/", (), action("decrypt", "$.v[?@ != 1]"))
    seals = actions("GET", "/", (), action("encrypt", "$.v[?@ != 1]"))
    for host, route in (("limit-o.relay.test", opens), ("limit-s.relay.test", seals)):
        shared.relay(host, origin, [route], limits=limits)
    large = b'{"v":["%s","%s"]}' % (token, b"x" * 2000)
    many = b'{"v":[%s]}' % b",".join([b'"%s"' % token] * 4)
    for body in (large, many):
        said[:] = [body]
        reply = shared.get("limit-o.relay.test")
        assert how(reply) == (200, None) and reply.body == body
    for body in (large, b'{"v":[2,3,4,5]}'):
        said[:] = [body]
        assert how(shared.get("limit-s.relay.test")) == UNSEALABLE
    said[:] = [b'{"v":[%s]}' % b",".join([b'"%s"' % token] * 3)]
    assert shared.get("limit-o.relay.test").body == b'{"v":["4111","4111","4111"]}'


def test_a_client_of_http_1_0_gets_a_length(shared, api, relay):
    host = relay(SEALS)
    api.tell(b'{"v":1}')
    with shared.connect(host) as c:
        for _ in range(2):
            c.send(b"GET / HTTP/1.0\r\nHost: %s\r\nConnection: keep-alive\r\n\r\n" % host.encode())
            assert reveal(shared, c.reply().body) == b'{"v":"[number:1]"}'
