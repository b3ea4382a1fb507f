"""authentication: api-key.  Who has no key of the relay's app gets 401 and the
destination hears nothing; who has one is let in, and the destination hears
nothing of the key.  Peers: a TLS client, one installation, an origin."""
import base64
import json
import os
import select
import signal
import ssl

import pytest

from conftest import TOKEN, running, stopped, until
from told_origin import action, actions, made, told

HOST, OPEN = "keyed.relay.test", "unkeyed.relay.test"
ROUTES = [actions("POST", "/pay", action("encrypt", "$.v"), action("decrypt", "$..*")),
          actions("GET", "/auth", action("encrypt", "header:Authorization"))]


@pytest.fixture(scope="module")
def api(shared, ca):
    with told(ca) as origin:
        shared.relay(HOST, origin, ROUTES, authentication="api-key")
        shared.relay(OPEN, origin, ROUTES, authentication=None)
        shared.app("other")
        yield origin


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def new_key(stack, *words, app="app"):
    key = json.loads(stack.ctl("key", "create", stack.app(app)[0], *words, "--json").stdout)
    return key["key"], key["secret"]


def refused(stack, api, fields, host=HOST, **options):
    """It is 401 as the page says, and the origin is not even connected to."""
    before = api.connections, len(api.requests)
    with stack.connect(host) as c:
        reply = c.request("GET", "/", fields=fields, **options)
        assert (reply.status, reply.code) == (401, "unauthorized")
        assert reply.field("WWW-Authenticate") == 'Basic realm="relay"'
        problem = reply.json()
        assert reply.field("Content-Type") == "application/problem+json"
        assert (problem["code"], problem["status"]) == ("unauthorized", 401)
        assert reply.field("x-evervault-ctx")
        # a client may try again on the same connection
        assert not reply.closed
        assert c.request("GET", "/", fields=[("api-key", stack.app()[1])]).status == 200
    assert len(api.requests) == before[1] + 1
    return reply


# ---- who is let in ----------------------------------------------------------------------

def forms(app, key):
    return {
        "api-key": [("api-key", key)],
        "any case": [("API-Key", key)],
        "x-evervault-api-key": [("X-Evervault-Api-Key", key)],
        "Basic": [("Authorization", basic(app, key))],
        "basic, spaces": [("authorization", basic(app, key).replace("Basic ", "basic   "))],
        "Basic without padding": [("Authorization", basic(app, key).rstrip("="))],
        "twice the same": [("api-key", key), ("x-evervault-api-key", key)],
        "all three": [("api-key", key), ("x-evervault-api-key", key),
                      ("Authorization", basic(app, key))],
    }


@pytest.mark.parametrize("form", forms("", ""))
def test_every_form_is_taken_and_none_reaches_the_destination(shared, api, form):
    app, key = shared.app()
    fields = forms(app, key)[form]
    with shared.connect(HOST) as c:
        for _ in range(2):
            assert c.request("GET", "/x", fields=[("A", "1"), *fields, ("B", "2")]).status == 200
            got = api.last()
            assert [n for n, _ in got.fields][:3] == [b"Host", b"A", b"B"]
            assert key.encode() not in got.raw_head and app.encode() not in got.raw_head
            assert base64.b64encode(key.encode())[:20] not in got.raw_head
            assert got.named("api-key", "x-evervault-api-key", "authorization") == []
    assert key not in shared.logs()


def test_the_route_of_a_caller_with_a_key_is_carried_out(shared, api):
    key = shared.app()[1]
    api.tell(b'{"v":"%s"}' % made(shared, "opened").encode())
    reply = shared.post(HOST, "/pay", b'{"v":"4111"}', fields=[("api-key", key)])
    assert reply.body == b'{"v":"opened"}'
    assert TOKEN.fullmatch(api.last().body[6:-2])


@pytest.mark.parametrize("own", ["Bearer abc", "Bearer ev:key:1:x", "Digest username=\"x\"",
                                 basic("shop", "password"), "ev:key:1:x"])
def test_the_app_s_own_credentials_reach_the_destination(shared, api, own):
    key = shared.app()[1]
    shared.get(HOST, "/", fields=[("Authorization", own), ("api-key", key)])
    assert api.last().named("authorization", "api-key") == [("Authorization", own)]
    shared.get(HOST, "/auth", fields=[("Authorization", own), ("api-key", key)])
    value, = api.last().all("authorization")
    assert TOKEN.fullmatch(value.encode())
    refused(shared, api, [("Authorization", own)])      # it is no key


def test_a_relay_without_authentication_leaves_these_fields_alone(shared, api):
    app, key = shared.app()
    fields = [("api-key", "mine"), ("Authorization", basic(app, "x")), ("x-evervault-api-key", "y")]
    shared.get(OPEN, "/", fields=fields)
    assert api.last().named("api-key", "authorization", "x-evervault-api-key") == fields


def test_keys_in_trailers_do_not_go_on(shared, api):
    app, key = shared.app()
    data = "0\r\nX-T: 1\r\napi-key: {0}\r\nX-Evervault-Api-Key: {0}\r\nAuthorization: {1}\r\n\r\n".format(
        key, basic(app, key)).encode()
    with shared.connect(HOST) as c:
        c.send(c.head("POST", "/x", [("api-key", key), ("Transfer-Encoding", "chunked")]) + data)
        assert c.reply().status == 200
    assert api.last().trailers == [b"X-T: 1"]
    with shared.connect(HOST) as c:     # and a trailer lets nobody in
        c.send(c.head("POST", "/x", [("Transfer-Encoding", "chunked")]) + data)
        assert c.reply().status == 401


def test_a_tunnel_is_for_callers_with_a_key_too(shared, api):
    api.tell_raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
    fields = [("Upgrade", "x"), ("Connection", "Upgrade")]
    before = len(api.requests)
    with shared.connect(HOST) as c:
        assert c.request("GET", "/tunnel", fields=fields).status == 401
        assert len(api.requests) == before
        c.send(c.head("GET", "/tunnel", [*fields, ("api-key", shared.app()[1])]))
        assert c._one("GET").status == 101
    assert api.last().named("api-key", "upgrade") == [("Upgrade", "x")]
    api.tell(b"ok", "text/plain")


# ---- who is not -------------------------------------------------------------------------

def bad_forms(app, key, other, other_key):
    return {
        "none": [],
        "empty": [("api-key", "")],
        "made up": [("api-key", "ev:key:1:madeup:abcdef:ghijkl")],
        "cut": [("api-key", key[:-1])],
        "longer": [("api-key", key + "x")],
        "another case": [("api-key", key.swapcase())],
        "512 bytes": [("api-key", key + "x" * (512 - len(key)))],
        "over 512 bytes": [("api-key", "x" * 5000)],
        "of another app": [("api-key", other_key)],
        "of another app, Basic": [("Authorization", basic(other, other_key))],
        "its app, another's key": [("Authorization", basic(app, other_key))],
        "another app, its key": [("Authorization", basic(other, key))],
        "Basic without app": [("Authorization", basic("", key))],
        "Basic, key alone": [("Authorization", "Basic " + base64.b64encode(key.encode()).decode())],
        "Basic, no base64": [("Authorization", "Basic !" + basic(app, key)[6:])],
        "Basic of the destination": [("Authorization", basic("shop", "password"))],
        "Bearer": [("Authorization", f"Bearer {key}")],
        "two that differ": [("api-key", key), ("x-evervault-api-key", other_key)],
        "one good, one empty": [("api-key", key), ("x-evervault-api-key", "")],
        "api-key twice": [("api-key", key), ("api-key", key)],
        "Authorization twice": [("Authorization", basic(app, key)), ("Authorization", "Bearer x")],
        "a cookie": [("Cookie", f"api-key={key}")],
    }


@pytest.mark.parametrize("form", bad_forms("", "", "", ""))
def test_who_has_no_key_is_401(shared, api, form):
    fields = bad_forms(*shared.app(), *shared.app("other"))[form]
    for _ in range(2):
        refused(shared, api, fields)
    assert shared.app()[1] not in shared.logs() and shared.app("other")[1] not in shared.logs()


def test_a_key_with_scopes_needs_that_of_relays(shared, api):
    assert shared.get(HOST, fields=[("api-key", new_key(shared, "--scope", "relay")[1])]).status == 200
    both = new_key(shared, "--scope", "encrypt", "--scope", "relay")[1]
    assert shared.get(HOST, fields=[("api-key", both)]).status == 200
    refused(shared, api, [("api-key", new_key(shared, "--scope", "encrypt")[1])])


def test_the_refusal_of_a_body_does_not_wait_for_it(shared, api):
    """Announced and never sent: 401 comes at once, without 100 Continue."""
    for fields in ([], [("api-key", "ev:key:1:madeup:abcdef:ghijkl")]):
        for framing in (("Content-Length", 1 << 40), ("Transfer-Encoding", "chunked")):
            with shared.connect(HOST) as c:
                c.send(c.head("POST", "/x", [*fields, framing, ("Expect", "100-continue")]))
                reply = c.reply()
                assert (reply.status, c.interim) == (401, [])
                assert reply.closed and c.ended()
    reply = shared.post(HOST, "/pay", b'{"v":', fields=[])       # not judged before its sender
    assert reply.status == 401


# ---- keys that come and go ----------------------------------------------------------------

def test_a_new_key_works_at_once_and_a_revoked_one_no_more(shared, api):
    name, key = new_key(shared)
    fields = [("api-key", key)]
    with shared.connect(HOST) as c:
        assert c.request("GET", "/", fields=fields).status == 200
        shared.ctl("key", "revoke", shared.app()[0], name)
        until("it is refused", lambda: c.request("GET", "/", fields=fields).status == 401, 10)
        for _ in range(20):
            refused(shared, api, fields)
    # others of the app are not touched
    assert shared.get(HOST, fields=[("api-key", shared.app()[1])]).status == 200


# ---- no engine ----------------------------------------------------------------------------

def accepted_until_stuck(sock, data):
    """Bytes that leave before the reader has not read for half a second."""
    sock.setblocking(False)
    sent = 0
    while sent < len(data):
        try:
            sent += sock.send(data[sent:sent + 65536])
        except ssl.SSLWantWriteError:
            if not select.select([], [sock], [], 0.5)[1]:
                break
    sock.setblocking(True)
    return sent


@pytest.fixture(scope="module")
def keyed(tmp_path_factory, ca):
    """(stack, origin) whose engine is waited for no longer than a second and a half."""
    with running(tmp_path_factory.mktemp("keyed"), ca, workers=1,
                 conf="engine_timeout_ms = 1500\n") as stack, told(ca) as origin:
        stack.relay(HOST, origin, ROUTES, authentication="api-key")
        yield stack, origin


def test_without_an_engine_nobody_is_let_in_on_trust(keyed):
    """What was said about a key is forgotten when the engine is silent."""
    stack, origin = keyed
    fields = [("api-key", stack.app()[1])]
    assert stack.get(HOST, fields=fields).status == 200
    replies = []

    def ask():
        replies.append(stack.get(HOST, fields=fields))
        return replies[-1].status != 200
    with stopped(stack.child("e3d")):
        until("the key is forgotten", ask, 10)
        reply = replies[-1]
        assert (reply.status, reply.code) == (503, "engine-unavailable")
        assert reply.field("Retry-After") and reply.field("WWW-Authenticate") is None
        before = len(origin.requests)
        # what needs no engine to be refused still is
        assert stack.get(HOST).status == 401
        assert stack.get(HOST, fields=fields).code == "engine-unavailable"
        assert len(origin.requests) == before
    until("it is let in again", lambda: stack.get(HOST, fields=fields).status == 200)


def test_a_killed_engine_is_asked_when_it_is_back(keyed):
    stack, origin = keyed
    fields = [("api-key", stack.app()[1])]
    pid = stack.child("e3d")
    with stopped(stack.relayd.pid):         # nobody starts another
        os.kill(pid, signal.SIGKILL)
        until("nobody is let in", lambda: stack.get(HOST, fields=fields).code == "engine-unavailable",
              10)
    until("it is let in again", lambda: stack.get(HOST, fields=fields).status == 200)


def test_nothing_of_a_request_is_read_or_sent_before_the_verdict(keyed):
    stack, origin = keyed
    body = b"x" * (32 << 20)
    before = origin.connections
    fields = [("api-key", new_key(stack)[1]), ("Content-Length", len(body)), ("Expect", "100-continue")]
    with stopped(stack.child("e3d")), stack.connect(HOST) as c:
        c.send(c.head("POST", "/x", fields))
        sent = accepted_until_stuck(c.sock, body)
        assert sent < len(body) / 2, "it was read"      # the rest is the kernel's
        reply = c.reply()
        assert (reply.status, reply.code, c.interim) == (503, "engine-unavailable", [])
        assert origin.connections == before
    until("the engine is back", lambda: stack.get(HOST, fields=[
        ("api-key", stack.app()[1])]).status == 200)
    fields = [("api-key", new_key(stack)[1]), ("Content-Length", 3)]
    with stack.connect(HOST) as c:
        with stopped(stack.child("e3d")):       # and with a verdict in time all of it goes on
            c.send(c.head("POST", "/x", fields) + b"abc")
        assert c.reply().status == 200
    assert origin.last().body == b"abc"
