"""The road: a chosen field of a real request reaches the app sealed, and comes
back open.  Peers: a TLS client, relayd with two workers, feed, engine and
helper, a real Redis, a TLS origin."""
import json

import pytest

import token_codec
from conftest import TOKEN, route, seal, tokens_in

CARD = "4111111111111111"


@pytest.fixture(scope="module")
def pay(shared, tmp_path_factory, ca):
    from conftest import Origin
    origin = Origin(tmp_path_factory.mktemp("origin"), ca)
    shared.relay("shop.test", origin, [
        route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"]),
        seal("PUT", "/seal/**", "$..secret", "$.list[*]", "$['a b'][-1]"),
        seal("POST", "/seal-only", "$..*"),
    ])
    shared.relay("k1.test", origin, seal("POST", "/**", "$.v"), curve="k1")
    shared.relay("field.test", origin, seal("POST", "/**", "$..*"), keyScope="field")
    yield origin
    origin.end()


def test_card_is_sealed_and_every_other_byte_is_kept(shared, pay):
    body = b'{"card": {"number":"4111111111111111"}, "note":"4111 is not a card", "n":1.0}'
    reply = shared.post("shop.test", "/pay", body)
    seen = pay.last()
    token, = tokens_in(seen.body)
    assert seen.body == body.replace(b'"4111111111111111"', b'"%s"' % token.encode())
    assert f"Content-Length: {len(seen.body)}".encode() in seen.head
    assert reply.status == 200
    assert reply.body == body
    assert CARD not in shared.logs()


@pytest.mark.parametrize("host,version,curve", [("shop.test", "QkTC", "r1"),
                                                ("k1.test", "S0lS", "k1")])
def test_independent_codec_opens_what_we_write(shared, pay, host, version, curve):
    path = "/seal-only" if host == "shop.test" else "/x"
    for value in ["text", "", "ünïcode \U0001f512", 12.50, -0, 1e400, True, False, "x" * 100000]:
        body = b'{"v":1e400}' if value == 1e400 else json.dumps({"v": value}).encode()
        assert shared.post(host, path, body).status == 200
        token, = tokens_in(pay.last().body)
        assert token.startswith(f"ev:{version}:")
        kind, plain, meta = token_codec.open_token(token, shared.app_keys())
        if isinstance(value, str):
            assert (kind, plain.decode()) == ("string", value)
        else:
            assert kind == ("boolean" if isinstance(value, bool) else "number")
            assert plain == body[5:-1].strip()
        assert meta["et"] > 1700000000 and "eo" in meta


def test_one_ephemeral_key_for_a_request_and_an_iv_for_each_value(shared, pay):
    body = json.dumps({"a": ["x"] * 50}).encode()
    shared.post("shop.test", "/seal-only", body)
    tokens = tokens_in(pay.last().body)
    parts = [t.split(":") for t in tokens]
    assert len(tokens) == 50
    assert len({p[3] for p in parts}) == 1, "ephemeral keys"
    assert len({p[2] for p in parts}) == 50, "IVs"
    shared.post("field.test", "/x", body)
    assert len({t.split(":")[3] for t in tokens_in(pay.last().body)}) == 50


def test_names_indexes_wildcards_and_descendants(shared, pay):
    body = (b'{ "secret" : "s1", "deep":{"x":[{"secret":{"p":1,"q":[true,null,"z"]}}]},\t'
            b'"list":[1,"two",[3]], "a b":["no","yes"], "other":"kept"}')
    shared.post("shop.test", "/seal/none", body)         # POST: no route
    assert pay.last().body == body
    with shared.connect("shop.test") as c:
        assert c.request("PUT", "/seal/any/thing", body).status == 200
    seen = pay.last().body
    tokens = tokens_in(seen)
    opened = [token_codec.open_token(t, shared.app_keys())[1] for t in tokens]
    assert opened == [b"s1", b"1", b"true", b"z", b"1", b"two", b"3", b"yes"]
    restored = seen
    for t, raw in zip(tokens, [b'"s1"', b"1", b"true", b'"z"', b"1", b'"two"', b"3", b'"yes"']):
        restored = restored.replace(b'"%s"' % t.encode(), raw, 1)
    assert restored == body


def test_own_tokens_pass_and_foreign_lookalikes_are_sealed(shared, pay):
    public = shared.app_keys()["r1"][0].public_key()
    own = token_codec.make(public, "mine")
    foreign = own[:-10] + ("A" if own[-10] != "A" else "B") + own[-9:]
    body = json.dumps({"own": own, "foreign": foreign}).encode()
    shared.post("shop.test", "/seal-only", body)
    seen = json.loads(pay.last().body)
    assert seen["own"] == own
    assert seen["foreign"] != foreign
    assert token_codec.open_token(seen["foreign"], shared.app_keys())[1].decode() == foreign


@pytest.mark.parametrize("version", ["none", "RFVC", "T1JL", "Tk9D", "QlJV", "TENZ", "S0lS", "QkTC"])
def test_every_version_comes_back_open(shared, pay, version):
    version = None if version == "none" else version
    curve = token_codec.VERSIONS[version][0]
    public = shared.app_keys()[curve][0].public_key()
    values = {"s": ("string", 'quote " and \\ and \n'), "n": ("number", "42.50"),
              "b": ("boolean", "true")}
    # Response actions do not depend on the request's: an unsealed field goes through.
    body = json.dumps({k: token_codec.make(public, text, t, version)
                       for k, (t, text) in values.items()}).encode()
    reply = shared.post("shop.test", "/pay", body)
    assert json.loads(reply.body) == {"s": values["s"][1], "n": 42.5, "b": True}
    assert b'"n": 42.50' in reply.body


def test_answers_without_work_and_methods_without_route_pass(shared, pay):
    reply = shared.get("shop.test", "/bytes/100000")
    assert reply.body == b"x" * 100000 and reply.field("Content-Length") == "100000"
    reply = shared.get("shop.test", "/chunked/50000")
    assert reply.body == b"x" * 50000 and reply.field("Transfer-Encoding") == "chunked"
    assert shared.get("shop.test", "/status/404").status == 404
    with shared.connect("shop.test") as c:
        assert c.request("HEAD", "/bytes/5").field("Content-Length") == "5"
        assert c.request("GET", "/status/304").status == 304
        assert c.request("GET", "/bytes/3").body == b"xxx"


def test_response_routes_ask_for_what_can_be_undone(shared, pay):
    shared.post("shop.test", "/pay", b'{"a":1}', fields=[("Accept-Encoding", "gzip, compress"),
                                                         ("Range", "bytes=0-1")])
    head = pay.last().head.lower()
    assert b"accept-encoding: gzip\r\n" in head and b"compress" not in head
    assert b"range:" not in head


def test_chunked_request_with_work_gets_a_length(shared, pay):
    body = b'{"card":{"number":"4111111111111111"}}'
    reply = None
    with shared.connect("shop.test") as c:
        reply = c.request("POST", "/pay", b"", chunks=[body[:9], body[9:10], body[10:]])
    assert reply.body == body
    assert b"Content-Length: " in pay.last().head and b"chunked" not in pay.last().head
    assert CARD.encode() not in pay.last().raw


def test_transaction_id_is_on_every_answer(shared, pay):
    ids = {shared.get("shop.test", p).field("x-evervault-ctx") for p in ("/a", "/b")}
    ids.add(shared.get("nobody.test").field("x-evervault-ctx"))
    assert len(ids) == 3 and all(i and i == i.upper() and i[0] != "0" for i in ids)


def test_relay_not_found_is_a_problem(shared, pay):
    reply = shared.get("nobody.test")
    assert (reply.status, reply.code) == (404, "relay-not-found")
    problem = reply.json()
    assert reply.field("Content-Type") == "application/problem+json"
    assert problem["code"] == problem["evervault-error-code"] == "relay-not-found"
    assert problem["status"] == 404 and problem["title"] and problem["detail"]


@pytest.mark.parametrize("body,ctype,status,code", [
    (b'{"v":"4111111111111111"', "application/json", 400, "malformed-body"),
    (b'{"v":"\\ud800"}', "application/json", 400, "malformed-body"),
    (b'{"v":"\xff"}', "application/json", 400, "malformed-body"),
    (b'[' * 129 + b']' * 129, "application/json", 400, "malformed-body"),
    (b'v=4111111111111111', "application/x-www-form-urlencoded", 415, "unsupported-content-type"),
    (b'{"v":"4111111111111111"}', "application/json; charset=utf-16", 415,
     "unsupported-content-type"),
    (b'{"v":"4111111111111111"}', "", 415, "unsupported-content-type"),
    (b'{"v":"4111111111111111"}', "nonsense", 415, "unsupported-content-type"),
    (b'', "application/json", 200, None),       # no body never mismatches
])
def test_what_cannot_be_sealed_is_never_forwarded(shared, pay, body, ctype, status, code):
    before = len(pay.seen())
    reply = shared.post("shop.test", "/seal-only", body, content_type=ctype)
    assert (reply.status, reply.code) == (status, code)
    if status != 200:
        assert len(pay.seen()) == before
        assert b"4111111111111111" not in pay.raw_log()[-2000:]


def test_encoded_body_with_work_is_refused(shared, pay):
    reply = shared.post("shop.test", "/seal-only", b'{"v":1}',
                        fields=[("Content-Encoding", "compress")])
    assert (reply.status, reply.code) == (415, "unsupported-content-type")


def test_large_body_streams_and_large_work_is_refused(shared, pay):
    big = b'{"a":"' + b"x" * (9 << 20) + b'"}'
    reply = shared.post("shop.test", "/seal-only", big)
    assert (reply.status, reply.code) == (413, "payload-too-large")
    reply = shared.post("shop.test", "/no/route", big)
    assert reply.body == big
    with shared.connect("shop.test") as c:
        pieces = [big[i:i + 100000] for i in range(0, len(big), 100000)]
        assert c.request("POST", "/no/route", b"", chunks=pieces).body == big


def test_too_many_fields(shared, pay):
    reply = shared.post("shop.test", "/seal-only", json.dumps([1] * 65537).encode())
    assert (reply.status, reply.code) == (413, "too-many-fields")


def test_sixty_thousand_fields_in_one_request(shared, pay):
    values = [f"value-{i}" for i in range(60000)]
    reply = shared.post("shop.test", "/seal-only", json.dumps(values).encode())
    assert reply.status == 200
    tokens = tokens_in(pay.last().body)
    assert len(tokens) == 60000
    # and all of them come back open
    reply = shared.post("shop.test", "/pay", json.dumps(tokens).encode())
    assert json.loads(reply.body) == values


def test_keep_alive_and_pipelining(shared, pay):
    with shared.connect("shop.test") as c:
        c.send(b"".join(c.head("GET", f"/bytes/{n}", []) for n in range(1, 30)))
        for n in range(1, 30):
            assert len(c.reply().body) == n
        # refusals that have read their request keep the connection
        assert c.request("GET", "/x", fields=[]).status == 200


def test_headers_pass_in_order_and_hop_by_hop_do_not(shared, pay):
    shared.get("shop.test", "/headers", fields=[
        ("X-First", "1"), ("x-SECOND", "b  c"), ("Connection", "keep-alive, x-hop"),
        ("X-Hop", "gone"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"),
        ("Upgrade", "websocket"), ("Proxy-Connection", "x"), ("X-First", "2"),
        ("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6")])
    head = pay.last().head.split(b"\r\n")
    assert head[0] == b"GET /headers HTTP/1.1"
    assert head[1] == f"Host: localhost:{pay.port}".encode()
    assert head[2:5] == [b"X-First: 1", b"x-SECOND: b  c", b"X-First: 2"]
    text = b"\r\n".join(head).lower()
    for gone in (b"x-hop", b"keep-alive", b"upgrade", b"proxy-connection", b"6.6.6.6"):
        assert gone not in text
    assert b"X-Forwarded-For: 127.0.0.1" in head and b"X-Forwarded-Host: shop.test" in head
    assert b"X-Forwarded-Proto: https" in head
    # what we say to the origin about this connection is ours
    assert head.count(b"TE: trailers") == 1 and head.count(b"Connection: TE") == 1


def test_origin_cannot_pose_as_a_refusal(shared, pay):
    reply = shared.get("shop.test", "/status/503")
    assert reply.status == 503 and reply.code is None


def test_byte_by_byte(shared, pay):
    body = b'{"card":{"number":"4111111111111111"}}'
    with shared.connect("shop.test") as c:
        data = c.head("POST", "/pay", [("Content-Type", "application/json"),
                                       ("Content-Length", len(body))]) + body
        for i in range(len(data)):
            c.send(data[i:i + 1])
        assert c.reply().body == body
    assert TOKEN.search(pay.last().body)


def test_expect_continue(shared, pay):
    with shared.connect("shop.test") as c:
        c.send(c.head("POST", "/pay", [("Content-Type", "application/json"),
                                       ("Content-Length", 2), ("Expect", "100-continue")]))
        assert c._one("POST").status == 100
        c.send(b"{}")
        assert c.reply("POST").body == b"{}"
    assert b"expect" not in pay.last().head.lower()
    reply = shared.post("shop.test", "/pay", b"{}", fields=[("Expect", "magic")])
    assert (reply.status, reply.code) == (417, "expectation-failed")


def test_large_answer_to_a_slow_reader(shared, pay):
    with shared.connect("shop.test", rcvbuf=4096) as c:
        c.send(c.head("GET", "/bytes/3000000", []))
        assert c.reply().body == b"x" * 3000000


def test_sni_of_another_relay_is_misdirected(shared, pay):
    with shared.connect("k1.test") as c:
        c.host = "shop.test"
        reply = c.request("GET", "/")
        assert (reply.status, reply.code) == (421, "misdirected-request")
    with shared.connect("shop.test", sni=False) as c:
        assert c.request("GET", "/").status == 200
