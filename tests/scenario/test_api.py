"""The key API (docs/api.md), as SDKs call it.  Peers: clients over plain HTTP and TLS,
one installation; nobody else."""
import base64
import gzip
import json
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from api_stage import Plain, api, basic, by_basic, by_key, by_token, call, problem
from conftest import TOKEN, stopped, tokens_in, until
from egress_stage import EgressStack


@pytest.fixture(scope="module")
def stage(tmp_path_factory, ca):
    s = EgressStack(tmp_path_factory.mktemp("api"), ca)
    s.app()
    s.app("other")
    yield s
    text = s.logs()
    s.stop()
    for word in ("AddressSanitizer", "runtime error:", "panic at "):
        assert word not in text


def new_key(stage, *words, app="app"):
    made = json.loads(stage.ctl("key", "create", stage.app(app)[0], *words, "--json").stdout)
    return made["key"], made["secret"]


def tls_hello():
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(into, out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def encrypted(stage, value, **options):
    reply = call(stage, "POST", "/encrypt", value, by_basic(stage), **options)
    assert reply.status == 200, reply
    return reply.json()


# ---- public keys ----------------------------------------------------------------------

def check_keys(stage, reply, app="app"):
    assert reply.status == 200 and reply.field("Content-Type") == "application/json"
    keys, app_id = reply.json(), stage.app(app)[0]
    assert (keys["appUuid"], keys["teamUuid"]) == (app_id, "team_" + app_id[4:])
    assert keys["key"] == ""
    short = base64.b64decode(keys["ecdhP256Key"], validate=True)
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), short)
    long = base64.b64decode(keys["ecdhP256KeyUncompressed"], validate=True)
    assert (len(short), len(long), long[0]) == (33, 65, 4)
    assert ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP256R1(), long).public_numbers() == point.public_numbers()
    k1 = base64.b64decode(keys["ecdhKey"], validate=True)
    assert ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), k1)
    return keys


@pytest.mark.parametrize("kind", ["api", "api-tls"])
def test_cages_key_by_both_schemes(stage, kind):
    for fields in (by_key(stage), by_basic(stage), by_basic(stage, user="team_x")):
        check_keys(stage, call(stage, "GET", "/cages/key", fields=fields, kind=kind))
    other = check_keys(stage, call(stage, "GET", "/cages/key", fields=by_key(stage, "other")),
                       "other")
    assert other["ecdhKey"] != call(stage, "GET", "/cages/key",
                                    fields=by_key(stage)).json()["ecdhKey"]


def test_keys_by_name_need_no_key(stage):
    app = stage.app()[0]
    a = check_keys(stage, call(stage, "GET", "/keys", fields=[("x-evervault-app-id", app)]))
    reply = call(stage, "GET", f"/team_1/apps/{app}?context=default")
    assert check_keys(stage, reply) == a
    assert reply.field("Access-Control-Allow-Origin") == "*"
    for name in ("app_000000000000", "app_system", "nothing"):
        reply = call(stage, "GET", f"/team_1/apps/{name}")
        problem(reply, 404, "resource-not-found")
        assert reply.field("Access-Control-Allow-Origin") == "*"
        problem(call(stage, "GET", "/keys", fields=[("x-evervault-app-id", name)]), 404,
                "resource-not-found")
    problem(call(stage, "GET", "/keys"), 400, "bad-request")


# ---- encrypt and decrypt ----------------------------------------------------------------

DOCUMENT = {"card": {"number": "4111111111111111", "cvc": 123, "ok": True, "no": False},
            "list": ["a", 1.5, None, [], {}, ""], "null": None, "é": "ü\n\"x\""}


def leaves(value):
    if isinstance(value, dict):
        return [x for v in value.values() for x in leaves(v)]
    if isinstance(value, list):
        return [x for v in value for x in leaves(v)]
    return [value]


@pytest.mark.parametrize("value", [DOCUMENT, "one", 12, True, ["x"], "", -0.5, [[["deep"]]]],
                         ids=str)
def test_every_leaf_there_and_back(stage, value):
    sealed = encrypted(stage, value)
    for leaf, was in zip(leaves(sealed), leaves(value), strict=True):
        assert (leaf is None) if was is None else TOKEN.fullmatch(leaf.encode())
    for fields in (by_key(stage), by_basic(stage)):
        reply = call(stage, "POST", "/decrypt", sealed, fields)
        assert reply.status == 200 and reply.field("Content-Type") == "application/json"
        assert reply.json() == value


def test_what_is_no_token_and_every_other_byte_is_kept(stage):
    token = encrypted(stage, 7)
    body = b'{ "data" : [ "plain", 1.0e2 , null ,"ev:no" ,\t"\\u0041"] , "t":"%s" }' % token.encode()
    reply = call(stage, "POST", "/decrypt", body, by_basic(stage))
    assert reply.body == body.replace(b'"%s"' % token.encode(), b"7")


def test_data_role(stage):
    sealed = encrypted(stage, {"a": "secret"})
    with_role = call(stage, "POST", "/encrypt", {"a": "secret"},
                     by_basic(stage) + [("x-evervault-data-role", "pci-1")]).json()
    seen = call(stage, "POST", "/inspect", {"token": with_role["a"]}, by_basic(stage))
    assert seen.json()["role"] == "pci-1"
    assert "role" not in call(stage, "POST", "/inspect", {"token": sealed["a"]},
                              by_basic(stage)).json()
    for role in ("", "No", "a" * 21, "a b"):
        problem(call(stage, "POST", "/encrypt", "x",
                     by_basic(stage) + [("x-evervault-data-role", role)]), 400, "bad-request")


def test_tokens_of_others_and_changed_ones_are_422(stage):
    token = encrypted(stage, "secret")
    other = call(stage, "POST", "/encrypt", "secret", by_basic(stage, "other")).json()
    head, _, tail = token.rpartition(":$")
    changed = head[:-1] + ("A" if head[-1] != "A" else "B") + ":$"
    for bad in (other, changed):
        problem(call(stage, "POST", "/decrypt", {"a": token, "b": bad}, by_basic(stage)), 422,
                "decryption-error")


def test_a_policy_says_403(stage):
    policy = {"default": "permit", "rules": [{"effect": "forbid", "place": "api"}]}
    stage.ctl("role", "put", stage.app()[0], "closed", data=json.dumps(policy).encode())
    sealed = call(stage, "POST", "/encrypt", "x",
                  by_basic(stage) + [("x-evervault-data-role", "closed")]).json()
    reply = call(stage, "POST", "/decrypt", sealed, by_basic(stage))
    problem(reply, 403, "decrypt/forbidden")


@pytest.mark.parametrize("body, status, code", [
    (b"", 400, "malformed-body"), (b"{", 400, "malformed-body"),
    (b'"\xff"', 400, "malformed-body"), (b"[" * 200 + b"]" * 200, 400, "malformed-body"),
    (b"1 2", 400, "malformed-body"), (b'\xef\xbb\xbf{"a": 1}', 400, "malformed-body")])
@pytest.mark.parametrize("path", ["/encrypt", "/decrypt"])
def test_what_is_no_json(stage, path, body, status, code):
    p = problem(call(stage, "POST", path, body, by_basic(stage)), status, code)
    assert p["detail"] == "the body is no JSON in UTF-8, or is nested too deeply"


def test_content_types(stage):
    for kind in ("text/plain", "application/x-www-form-urlencoded",
                 "application/json; charset=latin-1"):
        problem(call(stage, "POST", "/encrypt", b'"x"', by_basic(stage), content_type=kind),
                415, "unsupported-content-type")
    for kind in (None, "application/json; charset=utf-8", "application/vnd.x+json"):
        assert call(stage, "POST", "/encrypt", b'"x"', by_basic(stage),
                    content_type=kind).status == 200
    gzipped = by_basic(stage) + [("Content-Encoding", "gzip")]
    reply = call(stage, "POST", "/encrypt", gzip.compress(b'{"a":"x"}'), gzipped)
    assert reply.status == 200 and TOKEN.fullmatch(reply.json()["a"].encode())
    problem(call(stage, "POST", "/encrypt", b'"x"', gzipped), 400, "malformed-body")
    problem(call(stage, "POST", "/encrypt", gzip.compress(b'"' + bytes(20_000_000)), gzipped),
            413, "payload-too-large")
    for coding in ("compress", "gzip, gzip"):
        problem(call(stage, "POST", "/encrypt", b'"x"',
                     by_basic(stage) + [("Content-Encoding", coding)]), 415,
                "unsupported-content-type")


def test_limits(make_stack, tmp_path, ca):
    s = EgressStack(tmp_path, ca, egress_ca=False,
                    conf="max_body_bytes = 4096\nmax_body_fields = 10\nmax_file_bytes = 8192\n")
    make_stack.stacks.append(s)
    problem(call(s, "POST", "/encrypt", b'"' + b"a" * 5000 + b'"', by_basic(s)), 413,
            "payload-too-large")
    problem(call(s, "POST", "/encrypt", None, by_basic(s),
                 chunks=[b'"' + b"a" * 3000, b"a" * 3000 + b'"']), 413, "payload-too-large")
    problem(call(s, "POST", "/encrypt", list(range(11)), by_basic(s)), 413, "too-many-fields")
    assert call(s, "POST", "/encrypt", list(range(10)), by_basic(s)).status == 200
    octets = {"content_type": "application/octet-stream"}
    sealed = call(s, "POST", "/encrypt", b"a" * 8192, by_basic(s), **octets)
    assert sealed.status == 200     # and what was sealed can be opened again
    opened = call(s, "POST", "/decrypt", sealed.body, by_basic(s), **octets)
    assert (opened.status, opened.body) == (200, b"a" * 8192)
    problem(call(s, "POST", "/encrypt", b"a" * 8193, by_basic(s), **octets), 413,
            "payload-too-large")


# ---- files --------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 1000, 300_000, 3_000_000])
def test_files(stage, size):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    octets = {"content_type": "application/octet-stream"}
    sealed = call(stage, "POST", "/encrypt", data, by_basic(stage), **octets)
    assert sealed.status == 200 and sealed.field("Content-Type") == "application/octet-stream"
    assert sealed.body.startswith(b"%EVENC") and (size < 100 or data[:100] not in sealed.body)
    opened = call(stage, "POST", "/decrypt", sealed.body, by_basic(stage), **octets)
    assert opened.status == 200 and opened.body == data
    assert opened.field("Content-Type") == "application/octet-stream"
    broken = sealed.body[:-20] + bytes([sealed.body[-20] ^ 1]) + sealed.body[-19:]
    problem(call(stage, "POST", "/decrypt", broken, by_basic(stage), **octets), 422,
            "decryption-error")
    problem(call(stage, "POST", "/decrypt", sealed.body, by_basic(stage, "other"), **octets), 422,
            "decryption-error")


def test_what_is_no_file(stage):
    token = encrypted(stage, "secret")
    for body in (b"", b"hello", b"%EVENC", b"%EVENC\x02", token.encode()):
        problem(call(stage, "POST", "/decrypt", body, by_basic(stage),
                     content_type="application/octet-stream"), 422, "decryption-error")


# ---- who asks -----------------------------------------------------------------------------

def test_who_is_refused(stage):
    app, key = stage.app()
    other = stage.app("other")[0]
    for fields in ([], [("api-key", "ev:key:nobody")], [("api-key", key + "x")],
                   [("Authorization", basic(other, key))], [("Authorization", basic(app, "x"))],
                   [("Authorization", "Basic !")], [("Authorization", f"Bearer {key}")],
                   [("Authorization", "Token x")],
                   [("api-key", "x"), ("Authorization", basic(app, key))]):
        with api(stage) as c:
            for path in ("/decrypt", "/encrypt"):
                reply = c.request("POST", path, b'"x"', fields=fields)
                problem(reply, 401, "unauthorized")
                assert reply.field("WWW-Authenticate") == 'Basic realm="relay"'
                if reply.closed:
                    break
    assert key not in stage.logs()


def test_scopes(stage):
    fields = [("api-key", new_key(stage, "--scope", "api:encrypt")[1])]
    assert call(stage, "POST", "/encrypt", "x", fields).status == 200
    for method, path, body in (("POST", "/decrypt", "x"), ("GET", "/cages/key", None),
                               ("POST", "/inspect", {"token": "x"}), ("GET", "/relays", None),
                               ("POST", "/client-side-tokens", {}),
                               ("GET", "/v2/relay-outbound", None)):
        problem(call(stage, method, path, body, fields), 403, "forbidden")


def test_a_revoked_key_is_dropped(stage):
    name, secret = new_key(stage)
    fields = [("api-key", secret)]
    assert call(stage, "GET", "/cages/key", fields=fields).status == 200
    stage.ctl("key", "revoke", stage.app()[0], name)
    until("the key is dropped",
          lambda: call(stage, "GET", "/cages/key", fields=fields).status == 401, 10)


def test_failures_are_counted_by_address(make_stack, tmp_path, ca):
    s = EgressStack(tmp_path, ca, egress_ca=False, workers=1,
                    conf="auth_failures_per_minute = 5\n")
    make_stack.stacks.append(s)
    good = by_key(s)
    assert call(s, "GET", "/cages/key", fields=good).status == 200
    replies = [call(s, "GET", "/cages/key", fields=[("api-key", f"ev:key:guess{i}")])
               for i in range(6)]
    assert [r.status for r in replies] == [401] * 5 + [429]
    problem(replies[-1], 429, "rate-limited")
    assert replies[-1].field("Retry-After")
    # a key that was good before goes on, one that nobody has seen may be a guess
    assert call(s, "GET", "/cages/key", fields=good).status == 200
    assert call(s, "GET", "/cages/key", fields=by_basic(s)).status == 200
    name, unseen = new_key(s)
    assert call(s, "GET", "/cages/key", fields=[("api-key", unseen)]).status == 429
    other = basic(s.app("other")[0], s.app()[1])
    assert call(s, "GET", "/cages/key", fields=[("Authorization", other)]).status == 429
    # nor is the body of a client-side token waited for
    with api(s) as c:
        c.send(c.head("POST", "/decrypt", [*by_token("x"), ("Content-Length", "100000")]))
        problem(c.reply("POST"), 429, "rate-limited")
    assert call(s, "GET", "/keys", fields=[("x-evervault-app-id", s.app()[0])]).status == 200


# ---- client-side tokens ---------------------------------------------------------------------

def make_token(stage, payload, expiry=None, **more):
    body = {"action": "api:decrypt", "payload": payload, **more}
    if expiry is not None:
        body["expiry"] = expiry
    return call(stage, "POST", "/client-side-tokens", body, by_basic(stage))


def test_a_client_side_token_opens_its_payload_and_no_other(stage):
    sealed = encrypted(stage, DOCUMENT)
    before = time.time() * 1000
    made = make_token(stage, sealed)
    assert made.status == 200       # the Go SDK takes no other
    made = made.json()
    claims = json.loads(base64.urlsafe_b64decode(made["token"].split(".")[1] + "=="))
    keys = call(stage, "GET", "/cages/key", fields=by_basic(stage)).json()
    assert (claims["app_uuid"], claims["team_uuid"]) == (keys["appUuid"], keys["teamUuid"])
    assert made["id"].startswith("client_side_token_")
    assert 0 <= 300_000 - (made["expiry"] - made["createdAt"]) < 30_000     # two clocks
    assert abs(made["createdAt"] - before) < 60_000
    token = by_token(made["token"])
    reply = call(stage, "POST", "/decrypt", sealed, token)
    assert reply.json() == DOCUMENT
    assert reply.field("Access-Control-Allow-Origin") == "*"
    # the same in another spelling, and wrapped as SDKs do
    turned = json.dumps(dict(reversed(sealed.items())), ensure_ascii=True, indent=1).encode()
    assert call(stage, "POST", "/decrypt", turned, token).json() == DOCUMENT
    assert call(stage, "POST", "/decrypt", {"data": sealed}, token).json() == {"data": DOCUMENT}
    # nothing is opened that stands beside it
    another = json.dumps(encrypted(stage, "another"))
    beside = [text.encode() % (json.dumps(sealed).encode(), another.encode()) for text in (
        '{"data":%b,"more":%b}', '{"data":%b,"data":%b}', '{"data":%b,"d\\u0061ta":%b}')]
    for other in (sealed["card"], [sealed], encrypted(stage, DOCUMENT), "x", {"data": {}}, {},
                  *beside):
        reply = call(stage, "POST", "/decrypt", other, token)
        problem(reply, 401, "unauthorized")
        assert reply.field("Access-Control-Allow-Origin") == "*"
    problem(call(stage, "POST", "/encrypt", sealed, token), 401, "unauthorized")
    problem(call(stage, "GET", "/cages/key", fields=token), 401, "unauthorized")
    assert made["token"] not in stage.logs()


def test_a_client_side_token_by_scheme_a(stage):
    reply = call(stage, "POST", "/client-side-tokens", {
        "action": "api:decrypt", "payload": "x", "expiry": 0}, by_key(stage))
    assert reply.status == 200


def test_expiry_of_client_side_tokens(stage):
    sealed = encrypted(stage, "x")
    now = int(time.time() * 1000)
    for expiry, life in ((0, 300_000), (60_000, 60_000), (600_000, 600_000)):
        made = make_token(stage, sealed, expiry).json()     # by the worker, then by the engine
        assert 0 <= life - (made["expiry"] - made["createdAt"]) < 30_000, expiry
    made = make_token(stage, sealed, now + 120_000).json()
    assert made["expiry"] == now + 120_000
    for expiry in (now - 1000, now + 700_000, -1, "soon", 1.5):
        problem(make_token(stage, sealed, expiry), 400, "bad-request")
    short = make_token(stage, sealed, 2000).json()["token"]
    until("it has ended", lambda: call(stage, "POST", "/decrypt", sealed,
                                       by_token(short)).status == 401)
    problem(call(stage, "POST", "/client-side-tokens", {"action": "api:decrypt"},
                 by_basic(stage)), 400, "bad-request")


# ---- inspect --------------------------------------------------------------------------------

def test_inspect(stage):
    prints = set()
    for value, kind in (("text", "string"), (12, "integer"), (True, "boolean"),
                        (1.5, "float")):
        for _ in range(2):
            token = encrypted(stage, value)
            seen = call(stage, "POST", "/inspect", {"token": token}, by_basic(stage))
            assert seen.status == 200 and seen.json()["type"] == kind
            assert abs(seen.json()["encryptedAt"] - time.time() * 1000) < 60_000
            prints.add(seen.json()["fingerprint"])
    assert len(prints) == 4         # equal for equal values
    other = call(stage, "POST", "/encrypt", "text", by_basic(stage, "other")).json()
    for token in (other, "x", ""):
        problem(call(stage, "POST", "/inspect", {"token": token}, by_basic(stage)), 422,
                "decryption-error")
    for body in ({}, {"token": 1}, [], "x"):
        problem(call(stage, "POST", "/inspect", body, by_basic(stage)), 400, "bad-request")


# ---- what SDKs poll for -----------------------------------------------------------------------

def test_relay_outbound(stage):
    app = stage.app()[0]
    reply = call(stage, "GET", "/v2/relay-outbound", fields=by_key(stage))
    assert reply.status == 200 and reply.field("X-Poll-Interval") == "5"
    assert reply.json() == {"appUuid": app, "teamUuid": "team_" + app[4:], "strictMode": False,
                            "outboundDestinations": {}}
    stage.redis.cli("-x", "HSET", "relay:egress", app, data=json.dumps(
        {"destinations": [{"host": "api.acme.test"}, {"host": "*.bank.test", "port": 8443}]}))
    stage.redis.cli("PUBLISH", "relay:updates", f"egress {app}")

    def listed():
        return call(stage, "GET", "/v2/relay-outbound",
                    fields=by_key(stage)).json()["outboundDestinations"]
    until("the list is in the map", listed)
    found = listed()
    assert list(found) == ["api.acme.test", "*.bank.test", "*.bank.test:8443"]
    for name, d in found.items():
        assert d["destinationDomain"] == name and d["appUuid"] == app
        assert d["uuid"].startswith("outbound_destination_")
    stage.redis.cli("HDEL", "relay:egress", app)
    stage.redis.cli("PUBLISH", "relay:updates", f"egress {app}")
    until("the list is gone", lambda: listed() == {})


def test_the_ca(stage):
    for kind, path in (("ca", "/"), ("ca", "/ca.pem"), ("api", "/ca.pem"), ("api-tls", "/ca.pem")):
        with api(stage, kind) as c:
            for _ in range(3):
                reply = c.request("GET", path, fields=by_key(stage))
                assert reply.status == 200
                assert reply.body.count(b"BEGIN CERTIFICATE") == 1
                assert x509.load_pem_x509_certificate(reply.body) == stage.ca.cert
            head = c.request("HEAD", path)
            assert head.status == 200 and head.field("Content-Length") == str(len(reply.body))
    problem(call(stage, "GET", "/", kind="api"), 404, "resource-not-found")
    problem(call(stage, "GET", "/cages/key", fields=by_key(stage), kind="ca"), 404,
            "resource-not-found")


def test_no_ca_was_installed(make_stack, tmp_path, ca):
    s = EgressStack(tmp_path, ca, egress_ca=False)
    make_stack.stacks.append(s)
    problem(call(s, "GET", "/", kind="ca"), 404, "resource-not-found")
    s.make_egress_ca()
    until("it is served", lambda: call(s, "GET", "/", kind="ca").status == 200)


# ---- HTTP ---------------------------------------------------------------------------------------

def test_paths_and_methods(stage):
    for path in ("/nothing", "/decrypt/", "//decrypt", "/functions/x/runs", "/relays/a/b"):
        problem(call(stage, "POST", path, "x", by_basic(stage)), 404, "resource-not-found")
    for method, path, allow in (("GET", "/decrypt", "POST, OPTIONS"),
                                ("PUT", "/cages/key", "GET, HEAD, OPTIONS"),
                                ("TRACE", "/encrypt", "POST, OPTIONS"),
                                ("POST", "/relays/x", "GET, HEAD, PATCH, DELETE, OPTIONS")):
        reply = call(stage, method, path)
        problem(reply, 405, "method-not-allowed")
        assert reply.field("Allow") == allow


def test_preflight(stage):
    with api(stage) as c:
        for path in ("/decrypt", "/keys", "/team_1/apps/app_1"):
            reply = c.request("OPTIONS", path, fields=[
                ("Origin", "https://shop.test"), ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", "authorization,content-type")])
            assert reply.status == 204 and reply.body == b""
            assert reply.field("Access-Control-Allow-Origin") == "*"
            assert "Authorization" in reply.field("Access-Control-Allow-Headers")
            assert "OPTIONS" in reply.field("Access-Control-Allow-Methods")
        reply = c.request("OPTIONS", "/encrypt")
        assert reply.status == 204 and reply.field("Access-Control-Allow-Origin") is None
        assert reply.field("Allow") == "POST, OPTIONS"


def test_keep_alive_and_pipelining(stage):
    head = by_basic(stage)
    with api(stage) as c:
        one = c.head("POST", "/encrypt", head + [("Content-Type", "application/json"),
                                                 ("Content-Length", "3")]) + b'"x"'
        c.send(one * 20 + c.head("GET", "/cages/key", head))
        for _ in range(20):
            assert c.reply("POST").status == 200
        check_keys(stage, c.reply())


def test_every_cut_of_a_chunked_request(stage):
    with api(stage) as c:
        data = c.head("POST", "/encrypt", by_basic(stage) + [
            ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"),
            ("Trailer", "x")]) + b'2;e=1\r\n"a\r\n3\r\nbc"\r\n0\r\nx: y\r\n\r\n'
        for at in list(range(1, len(data), 17)) + list(range(len(data) - 45, len(data))):
            c.send(data[:at])
            c.send(data[at:])
            assert c.reply("POST").status == 200


def test_expect_continue(stage):
    with api(stage) as c:
        c.send(c.head("POST", "/encrypt", by_basic(stage) + [
            ("Expect", "100-continue"), ("Content-Type", "application/json"),
            ("Content-Length", "3")]))
        until("100 Continue", lambda: c.take_line() == b"HTTP/1.1 100 Continue")
        assert c.take_line() == b""
        c.send(b'"x"')
        assert c.reply("POST").status == 200
        # who may not is told without a body
        c.send(c.head("POST", "/encrypt", [("api-key", "ev:key:nobody"),
                                           ("Expect", "100-continue"), ("Content-Length", "3")]))
        assert c.reply("POST").status == 401 and c.interim == []
    problem(call(stage, "POST", "/encrypt", "x", by_basic(stage) + [("Expect", "tea")]), 417,
            "expectation-failed")


def test_http_1_0(stage):
    key = stage.app()[1]
    for keep in (False, True):
        with api(stage) as c:
            for _ in range(2 if keep else 1):
                c.send(b"GET /cages/key HTTP/1.0\r\n%sapi-key: %s\r\n\r\n" % (
                    b"Connection: keep-alive\r\n" if keep else b"", key.encode()))
                reply = c.reply()
                assert reply.status == 200
                assert reply.field("Connection") == ("keep-alive" if keep else "close")
            assert keep or c.ended()


def test_a_half_closed_client_gets_its_answer(stage):
    with api(stage) as c:
        c.send(c.head("GET", "/cages/key", by_key(stage)))
        c.half_close()
        assert c.reply().status == 200
        assert c.ended()


@pytest.mark.parametrize("kind", ["api", "ca", "egress-plain"])
def test_tls_where_none_is(stage, kind):
    with stage.logs_more('detail="this listener takes no TLS"'):
        with Plain(stage.ports[kind]) as c:
            c.send(tls_hello())
            assert problem(c.reply(), 400, "bad-request")["detail"] == \
                "this listener takes no TLS"
            assert c.ended()
    with api(stage) as c:                   # the first byte alone is no TLS
        c.send(b"\x17" + tls_hello()[1:])
        assert c.reply().json()["detail"] != "this listener takes no TLS"


def test_broken_requests(stage):
    for text in (b"GET /cages/key HTTP/1.1\r\n\r\n", b"GET /cages/key HTTP/1.1\r\nHost: a b\r\n\r\n",
                 b"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n",
                 b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"):
        with api(stage) as c:
            c.send(text)
            assert c.reply().status in (400, 404, 405)
    with api(stage) as c:
        c.send(c.head("POST", "/decrypt", by_basic(stage) + [
            ("Transfer-Encoding", "chunked")]) + b"xyz\r\n")
        problem(c.reply("POST"), 400, "bad-request")
        assert c.ended()


# ---- faults ---------------------------------------------------------------------------------------

def test_no_engine(make_stack, tmp_path, ca):
    s = EgressStack(tmp_path, ca, conf="engine_timeout_ms = 500\n", workers=1)
    make_stack.stacks.append(s)
    keys = by_basic(s)
    sealed = call(s, "POST", "/encrypt", "x", keys).json()
    assert call(s, "GET", "/", kind="ca").status == 200
    with stopped(s.pids()["e3d"]):
        until("503", lambda: call(s, "POST", "/decrypt", sealed, keys).status == 503, 20)
        reply = call(s, "POST", "/decrypt", sealed, keys)
        problem(reply, 503, "engine-unavailable")
        assert reply.field("Retry-After")
        # the CA does not end with the engine
        assert call(s, "GET", "/", kind="ca").status == 200
    until("it serves again", lambda: call(s, "POST", "/decrypt", sealed, keys).status == 200)


def test_a_client_that_goes_in_the_middle(stage):
    for n in range(5):
        with api(stage) as c:
            c.send(c.head("POST", "/encrypt", by_basic(stage) + [("Content-Length", "1000")])
                   + b"x" * (n * 100))
    assert encrypted(stage, "x")


def test_a_body_that_stops(make_stack, tmp_path, ca):
    s = EgressStack(tmp_path, ca, egress_ca=False, conf="body_timeout_ms = 300\n")
    make_stack.stacks.append(s)
    with api(s) as c:
        c.send(c.head("POST", "/encrypt", by_basic(s) + [("Content-Length", "10")]) + b"x")
        problem(c.reply("POST"), 408, "client-timeout")
        assert c.ended()


def test_nothing_is_told_of_values(stage):
    reply = call(stage, "POST", "/encrypt", {"n": "4999 9999 9999 9999"}, by_basic(stage))
    assert len(tokens_in(reply.body)) == 1
    text = stage.logs()
    assert "4999 9999" not in text and reply.json()["n"] not in text
