"""relayctl explain: which route, which selectors, which bytes, what would be refused."""
import gzip
import json
import zlib

import brotli
import pytest

from test_relayctl import relayctl

RELAY = {"app": "app_1b2c3d4e5f60", "destinationDomain": "api.shop.example", "routes": [
    {"method": "POST", "path": "/pay/*",
     "request": [{"action": "encrypt", "selections": [
         {"selector": "$.card.number"}, {"selector": "$.items[?@.kind=='x'].v"},
         {"type": "form", "selector": "pan"}, {"type": "header", "selector": "X-Card"},
         {"selector": "$.nope"}]}],
     "response": [{"action": "decrypt", "selections": [{"selector": "$..*"}]}]},
    {"path": "/open/**"}]}
BODY = b'{"card":{"number":"4111111111111111"},"items":[{"kind":"x","v":12},{"kind":"y","v":1}]}'


@pytest.fixture
def explain(tmp_path):
    def run(request, relay=RELAY, *words, code=0):
        (tmp_path / "relay.json").write_text(json.dumps(relay))
        (tmp_path / "request").write_bytes(request)
        r = relayctl("explain", tmp_path / "relay.json", tmp_path / "request", *words)
        assert r.returncode == code, r.stderr
        return r.stdout.decode() if code == 0 else r.stderr.decode()
    return run


def post(body, content_type="application/json", target="/pay/1", *lines):
    head = [f"POST {target} HTTP/1.1", "Host: shop.example.com", f"Content-Type: {content_type}",
            *lines, f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def test_it_names_route_selectors_and_bytes_and_never_a_value(explain):
    request = post(BODY, "application/json", "/pay/1?q=secret", "X-Card: 5555444433332222")
    text = explain(request)
    assert "routes[0] POST /pay/*" in text and "https://api.shop.example:443" in text
    for value, kind in ((b'"4111111111111111"', "string"), (b"12", "number")):
        at = BODY.index(value)
        assert f"body bytes {at}-{at + len(value)}, {kind}" in text
    at = request.index(b"5555444433332222")
    assert f"head bytes {at}-{at + 16}, string" in text
    assert "json   $.nope" in text and "nothing" in text
    assert "response   decrypt: json $..*" in text
    assert "forwarded with 3 values replaced" in text
    assert "4111" not in text and "5555" not in text and "secret" not in text
    assert len(text.splitlines()) < 24
    facts = json.loads(explain(request, RELAY, "--json"))
    assert [(v["kind"], v["selector"]) for v in facts["actions"]] == [
        ("header", "X-Card"), ("json", "$.card.number"), ("json", "$.items[?@.kind=='x'].v")]
    card = facts["actions"][1]
    assert BODY[card["start"]:card["end"]] == b'"4111111111111111"'


@pytest.mark.parametrize("coding,encode", [("gzip", gzip.compress), ("deflate", zlib.compress),
                                           ("br", brotli.compress)])
def test_a_coded_body_is_judged_as_the_proxy_does(explain, coding, encode):
    line = f"Content-Encoding: {coding}"

    def told(body, relay=RELAY):
        return explain(post(body, "application/json", "/pay/1", line), relay)
    text = told(encode(BODY))
    at = BODY.index(b'"4111111111111111"')
    assert f"{len(BODY)} bytes when {coding} is undone, read as JSON" in text
    assert f"body bytes {at}-{at + 18}, string" in text
    assert "forwarded with 2 values replaced" in text and "as it is when decoded" in text
    assert "4111" not in text
    assert "refused: 400 malformed-body" in told(encode(BODY)[:-1])
    assert "refused: 413 payload-too-large" in told(encode(b"a" * (7 << 20)))
    forward = dict(RELAY, onMismatch="forward")
    text = told(encode(BODY)[:-1], forward)
    assert "passes as it is" in text and "verdict    forwarded as it is\n" in text
    for other in ("compress", f"{coding}, {coding}"):
        assert "refused: 415 unsupported-content-type" in explain(
            post(BODY, "application/json", "/pay/1", f"Content-Encoding: {other}"))


def test_forms_chunks_and_requests_without_work(explain):
    body = b"a=1&pan=41%2011&b=2"
    text = explain(post(body, "application/x-www-form-urlencoded"))
    assert "read as a form" in text and "body bytes 8-15, string" in text
    chunked = (b"POST /pay/2 HTTP/1.1\r\nHost: h.test\r\nContent-Type: application/json\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
    at = BODY.index(b'"4111')
    assert f"body bytes {at}-{at + 18}, string" in explain(chunked)
    assert "forwarded as it is" in explain(post(b"x", "text/html", "/open/door"))
    assert "none matches" in explain(b"GET /else HTTP/1.1\r\nHost: h.test\r\n\r\n")


@pytest.mark.parametrize("request_bytes,says", [
    (post(BODY, "text/html"), "415 unsupported-content-type"),
    (post(b"{", "application/json"), "400 malformed-body"),
    (post(BODY, target="/pay//1"), "400 bad-request: the path is ambiguous"),
    (b"GET / HTTP/1.1\r\n\r\n", "400 bad-request: Host is missing or repeated"),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505 http-version-not-supported"),
    (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "414 uri-too-long"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", "408 client-timeout: the head has no end"),
    (post(BODY)[:-1], "408 client-timeout: the body is shorter"),
    (b"POST /pay/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     "400 bad-request"),
    (b"GET /pay/1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", None),
    (b"", "408 client-timeout"),
])
def test_what_would_be_refused_and_why(explain, request_bytes, says):
    text = explain(request_bytes)
    if says is None:
        assert "refused: " not in text      # GET: no route of this relay
    else:
        assert f"refused: {says}" in text


def test_input_that_cannot_be_used(explain, tmp_path):
    assert "routes[0].path: " in explain(b"", {**RELAY, "routes": [{"path": "no"}]}, code=2)
    (tmp_path / "r").write_text(json.dumps(RELAY))
    r = relayctl("explain", tmp_path / "r", tmp_path / "none")
    assert r.returncode == 2 and b"cannot be read" in r.stderr
    assert relayctl("explain", tmp_path / "none/r", tmp_path / "r").returncode == 2
    assert relayctl("explain", tmp_path / "r").returncode == 2


def test_a_host_name_means_its_live_record(stack, origin, tmp_path):
    stack.relay("live.relay.test", origin, [{
        "path": "/x", "request": [{"action": "encrypt", "selections": [{"selector": "$.a"}]}]}])
    request = tmp_path / "request"
    request.write_bytes(b"POST /x HTTP/1.1\r\nHost: live.relay.test\r\n"
                        b"Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}")
    text = stack.ctl("explain", "live.relay.test", request).stdout
    text = text.decode() if isinstance(text, bytes) else text
    assert "body bytes 5-6, number" in text
    request.write_bytes(b"GET / HTTP/1.1\r\nHost: other.relay.test\r\n\r\n")
    text = stack.ctl("explain", "live.relay.test", request).stdout
    assert "404 relay-not-found" in (text.decode() if isinstance(text, bytes) else text)
    r = stack.ctl("explain", "none.relay.test", request, code=None)
    assert r.returncode == 1
