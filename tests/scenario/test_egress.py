"""The CONNECT proxy end to end: who may, where to, and that tokens are open there and
nowhere else."""
import json
import ssl

import pytest

from conftest import running
from egress_stage import EgressStack, Inner, basic, dechunk

CARD = "4111111111111111"


@pytest.fixture(scope="module")
def shared(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("stack"), ca, EgressStack) as s:
        yield s


@pytest.fixture
def to(origin):
    return f"localhost:{origin.port}"


def credentials(stack, way):
    """(options of a tunnel) for each way a client may say who it is."""
    app, key = stack.app()
    return {
        "bare-connect": {"key": key},
        "basic-app": {"key": key, "user": app},
        "basic-team": {"key": key, "user": "team_1"},
        "bearer": {"key": f"Bearer {key}"},
        "inner-bare": {"inner_key": key},
        "inner-basic": {"inner_key": basic(app, key)},
        "inner-bearer": {"inner_key": f"Bearer {key}"},
    }[way]


WAYS = ("bare-connect", "basic-app", "basic-team", "bearer", "inner-bare", "inner-basic",
        "inner-bearer")


# A key in clear, and no key on a strict CONNECT, are refused: below.
ROADS = [(kind, way) for kind in ("egress", "egress-plain", "egress-strict") for way in WAYS
         if way.startswith("inner") or kind != "egress-plain"
         if not way.startswith("inner") or kind != "egress-strict"]


@pytest.mark.parametrize("kind,way", ROADS)
def test_a_token_is_open_at_the_destination_alone(shared, origin, to, kind, way):
    token = shared.token(CARD)
    body = json.dumps({"card": token, "n": 1.0}).encode()
    with shared.tunnel(to, kind=kind, **credentials(shared, way)) as t:
        assert [n.lower() for n, _ in t.answer.fields] == ["x-evervault-ctx"]
        reply = t.request("POST", "/pay", body)
    seen = origin.last()
    want = json.dumps({"card": CARD, "n": 1.0}).encode()
    assert reply.status == 200
    assert seen.body == want
    assert reply.body == want           # the origin's echo passes unchanged
    assert b"proxy-authorization" not in seen.head.lower()
    assert shared.app()[1].encode() not in origin.raw_log()
    assert CARD not in shared.logs() and shared.app()[1] not in shared.logs()


def test_kept_tunnel_and_new_ones(shared, origin, to):
    with shared.tunnel(to, key=shared.app()[1]) as t:
        for i in range(20):
            token = shared.token(f"value {i}") if i % 5 == 0 else f"value {i}"
            reply = t.request("POST", "/x", json.dumps([token]).encode())
            assert reply.json() == [f"value {i}"]
    assert len(origin.seen()) == 20


def test_connect_without_a_key(shared, to):
    with shared.tunnel(to, kind="egress-strict") as t:
        assert t.answer.status == 407
        assert t.answer.code == "proxy-authentication-required"
        assert t.answer.field("proxy-authenticate") == 'Basic realm="relay"'
        # The connection is kept: git and Java try again on it.
        t.send(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"
               f"Proxy-Authorization: {basic(*shared.app())}\r\n\r\n".encode())
        assert t.reply("CONNECT").status == 200
    with shared.tunnel(to) as t:
        reply = t.request("GET", "/")
        assert (reply.status, reply.code) == (401, "unauthorized")
        # Not Basic: git would ask for the destination's password.
        assert reply.field("www-authenticate") == 'ApiKey realm="relay"'
        assert reply.json()["evervault-error-code"] == "unauthorized"


@pytest.mark.parametrize("kind,key", [("egress-strict", None), ("egress", "wrong"),
                                      ("egress", "Basic !!!"), ("egress-plain", "wrong")])
@pytest.mark.parametrize("close", [True, False])
def test_a_refused_connect_ends_its_connection_if_asked_to(shared, to, kind, key, close):
    """RFC 9112 9.6."""
    fields = [("Connection", "close")] if close else []
    with shared.tunnel(to, kind=kind, key=key, fields=fields) as t:
        assert (t.answer.status, t.answer.closed) == (407, close)
        if close:
            assert t.sock.recv(1) == b""
        else:
            t.send(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n".encode())
            assert t.reply("CONNECT").status == (407 if kind == "egress-strict" else 200)


@pytest.mark.parametrize("key", ["wrong", "ev:key:1:wrong", "Bearer wrong", "Basic !!!",
                                 basic("app_000000000000", "wrong"), "Bearer", "Basic "])
def test_a_wrong_key(shared, to, key):
    with shared.tunnel(to, key=key) as t:
        assert (t.answer.status, t.answer.code) == (407, "proxy-authentication-required")
    with shared.tunnel(to, inner_key=key) as t:
        reply = t.request("GET", "/")
        assert (reply.status, reply.code) == (401, "unauthorized")


def test_the_key_of_another_app_under_this_ones_name(shared, to):
    other = shared.app("other")
    with shared.tunnel(to, key=other[1], user=shared.app()[0]) as t:
        assert t.answer.status == 407


def test_a_key_in_clear_is_refused(shared, to):
    with shared.tunnel(to, kind="egress-plain", key=shared.app()[1]) as t:
        assert t.answer.status == 407
        assert "in clear" in t.answer.json()["detail"]


def test_a_token_of_another_app_stays(shared, origin, to):
    token = shared.token(CARD, app="other")
    with shared.tunnel(to, key=shared.app()[1]) as t:
        assert t.request("POST", "/x", json.dumps([token]).encode()).status == 200
    assert json.loads(origin.last().body) == [token]


@pytest.mark.parametrize("media,template,wrap", [
    ("application/json", '{"a": "%s"}', json.dumps),
    ("application/vnd.api+json", '{"a": "%s"}', json.dumps),
    ("text/plain", "pay %s now", str),
    (None, "pay %s now", str),
    ("application/octet-stream", "\x00\x01 %s \xff", str),
    ("application/x-www-form-urlencoded", "a=1&b=%s&c=2", str),
    ("application/xml", "<a b='%s'>x</a>", str),
])
def test_any_content_type(shared, origin, to, media, template, wrap):
    import urllib.parse
    value = 'a&b "c" <d>'
    token = shared.token(value)
    sent = urllib.parse.quote(token, safe="") if media and "urlencoded" in media else token
    with shared.tunnel(to, key=shared.app()[1]) as t:
        assert t.request("POST", "/x", (template % sent).encode("latin-1"),
                         content_type=media).status == 200
    want = {"application/xml": "a&amp;b &quot;c&quot; &lt;d&gt;",
            "application/x-www-form-urlencoded": urllib.parse.quote(value, safe="")}.get(
                media, json.dumps(value)[1:-1] if media and "json" in media else value)
    assert origin.last().body == (template % want).encode("latin-1")


def test_types_come_back_bare_in_json(shared, origin, to):
    tokens = shared.tokens(["text", 12.5, True, 'a"b'])
    body = ("[" + ", ".join(f'"{t}"' for t in tokens) + f', "n {tokens[1]}"' + "]").encode()
    with shared.tunnel(to, key=shared.app()[1]) as t:
        t.request("POST", "/x", body)
    assert origin.last().body == b'["text", 12.5, true, "a\\"b", "n 12.5"]'


@pytest.mark.parametrize("chunks", [1, 3, 1000])
def test_chunked_and_with_content_length(shared, origin, to, chunks):
    token = shared.token(CARD)
    body = json.dumps({"card": token}).encode()
    size = max(1, len(body) // chunks)
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    with shared.tunnel(to, key=shared.app()[1]) as t:
        assert t.request("POST", "/x", b"", chunks=parts).json() == {"card": CARD}
    head = origin.last().head.lower()
    assert b"content-length: %d" % len(json.dumps({"card": CARD})) in head
    assert b"transfer-encoding" not in head


def test_a_long_body_is_opened_as_it_comes(shared, origin, to):
    tokens = shared.tokens([f"value {i}" for i in range(50)])
    filler = "x" * 30_000
    body = json.dumps([t for token in tokens for t in (token, filler)]).encode()
    want = json.dumps([t for i in range(50) for t in (f"value {i}", filler)]).encode()
    with shared.tunnel(to, key=shared.app()[1]) as t:
        reply = t.request("POST", "/x", body)
        assert reply.status == 200 and reply.body == want
        assert dechunk(origin.last().body) == want
        assert b"transfer-encoding: chunked" in origin.last().head.lower()
        parts = [body[i:i + 7777] for i in range(0, len(body), 7777)]
        assert t.request("POST", "/x", b"", chunks=parts).body == want


def test_nothing_to_open_changes_nothing(shared, origin, to):
    body = bytes(range(256)) * 4
    fields = [("Content-MD5", "abc=="), ("X-Odd-Case", "1"), ("Accept-Encoding", "gzip")]
    with shared.tunnel(to, key=shared.app()[1]) as t:
        assert t.request("PUT", "/x?a=b%20c", body, content_type="application/octet-stream",
                         fields=fields).status == 200
    seen = origin.last()
    assert seen.body == body
    lines = seen.head.split(b"\r\n")
    assert lines[0] == b"PUT /x?a=b%20c HTTP/1.1"
    for line in (b"X-Odd-Case: 1", b"Content-MD5: abc==", b"Accept-Encoding: gzip",
                 b"Host: " + to.encode()):
        assert line in lines
    for word in (b"via", b"forwarded", b"x-forwarded-for"):
        assert not any(line.lower().startswith(word) for line in lines)


# ---- the inside -------------------------------------------------------------------

def test_leaf_and_chain(shared, to):
    import datetime
    with shared.tunnel(to, key=shared.app()[1]) as t:
        leaf = t.peer()
    from cryptography import x509
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    life = leaf.not_valid_after - leaf.not_valid_before
    assert life <= datetime.timedelta(hours=25, minutes=5)
    # An hour back, but not before its CA, which the tests have just signed.
    assert leaf.not_valid_before <= datetime.datetime.utcnow()


def test_an_address_as_destination(shared, origin):
    with shared.tunnel(f"127.0.0.1:{origin.port}", key=shared.app()[1]) as t:
        assert t.request("GET", "/").status == 200


@pytest.mark.parametrize("change", ["sni", "host", "port", "no-port", "absolute"])
def test_the_inside_must_be_about_the_connect(shared, origin, to, change):
    before = len(origin.seen())
    key = shared.app()[1]
    with shared.tunnel(to, key=key, sni="other.test" if change == "sni" else True) as t:
        host = {"host": f"other.test:{origin.port}", "port": "localhost:1",
                "no-port": "localhost"}.get(change, to)
        path = "https://other.test/" if change == "absolute" else "/"
        t.send(t.head("GET", path, [], host=host))
        reply = t.reply()
    assert (reply.status, reply.code) == (421, "misdirected-request")
    assert len(origin.seen()) == before


def test_absolute_form_inside(shared, origin, to):
    with shared.tunnel(to, key=shared.app()[1]) as t:
        t.send(t.head("GET", f"https://{to}/x?y=1", []))
        assert t.reply().status == 200
    assert origin.last().head.startswith(b"GET /x?y=1 HTTP/1.1")


def test_no_sni_inside(shared, to):
    with shared.tunnel(to, key=shared.app()[1], sni=None) as t:
        assert t.request("GET", "/").status == 200


def test_old_sdks_offer_a_broken_alpn(shared, to):
    with shared.tunnel(to, key=shared.app()[1], alpn=["http 1.1"]) as t:
        assert t.request("GET", "/").status == 200


def test_no_tls_inside(shared, to):
    with shared.tunnel(to, key=shared.app()[1], connect_only=True) as t:
        t.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reply = t.reply()
        assert (reply.status, reply.code) == (400, "bad-request")


def test_a_client_that_does_not_trust_us_is_one_log_line(shared, to, tmp_path):
    from conftest import CA
    other = CA(tmp_path / "other")
    both = tmp_path / "proxy-only.pem"
    both.write_bytes(other.pem.read_bytes())
    with shared.logs_more("tunnel handshake failed host=localhost"):
        with pytest.raises(ssl.SSLError):
            shared.tunnel(to, kind="egress-plain", cafile=both)
    line = [li for li in shared.relayd.text().splitlines() if "tunnel handshake failed" in li][-1]
    assert "does not trust the CA" in line and "client=127.0.0.1" in line


def test_handshake_faults_have_likely_causes(shared, to):
    trusting = ssl.create_default_context(cafile=str(shared.ca.pem))
    old = ssl.create_default_context(cafile=str(shared.ca.pem))
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    for context, name, says in ((trusting, "other.test", "or expects another name"),
                                (old, "localhost", "the client has no TLS 1.2")):
        with shared.logs_more("tunnel handshake failed host=localhost"):
            with shared.tunnel(to, kind="egress-plain", connect_only=True) as t:
                assert t.answer.status == 200
                with pytest.raises(ssl.SSLError):
                    Inner(t.sock, context, name)
        assert says in [li for li in shared.relayd.text().splitlines()
                        if "tunnel handshake failed" in li][-1]


# ---- what is no CONNECT -----------------------------------------------------------

@pytest.mark.parametrize("target,says", [
    ("https://localhost/x", "HTTPS_PROXY"), ("http://localhost/x", "egress_plain_http"),
    ("/x", "HTTPS_PROXY")])
@pytest.mark.parametrize("kind", ["egress", "egress-plain"])
def test_other_requests_are_told_what_to_change(shared, kind, target, says):
    with shared.tunnel("localhost:1", kind=kind, connect_only=True, key="x" if kind == "egress"
                       else None) as t:
        pass
    import socket
    raw = socket.create_connection(("127.0.0.1", shared.ports[kind]), timeout=20)
    if kind == "egress":
        context = ssl.create_default_context(cafile=str(shared.ca.pem))
        context.check_hostname = False
        raw = context.wrap_socket(raw)
    raw.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = b""
    while piece := raw.recv(65536):
        answer += piece
    raw.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert says.encode() in answer


@pytest.mark.parametrize("head", [
    "CONNECT localhost HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT localhost:0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT localhost:99999 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT user@localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
])
def test_broken_connects(shared, head):
    import socket
    with socket.create_connection(("127.0.0.1", shared.ports["egress-plain"]), timeout=20) as raw:
        raw.sendall(head.encode())
        answer = b""
        while piece := raw.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ") and b"bad-request" in answer
