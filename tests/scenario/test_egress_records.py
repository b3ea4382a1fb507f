"""Egress records: from Redis or relayctl to every node's map, what a bad one does, and
changes that a worker asks for on behalf of a caller with an API key."""
import contextlib
import hashlib
import json
import os
import signal
import socket

import pytest

from conftest import stopped, until

NOBODY = "app_00000000beef"


@pytest.fixture(scope="module")
def redis_stack(shared):
    shared.app("app")
    shared.app("other")
    return shared


def app_of(stack, name="app"):
    return stack.app(name)[0]


def record_of(stack, app):
    """What the map has, or None."""
    r = stack.ctl("egress", "list", app, "--json")
    return json.loads(r.stdout) or None


def destinations(stack, app):
    return (record_of(stack, app) or {}).get("destinations")


def push(stack, app, text, hint=True):
    stack.redis.cli("-x", "HSET", "relay:egress", app, data=text)
    if hint:
        stack.redis.cli("PUBLISH", "relay:updates", f"egress {app}")


def node_report(stack):
    values = stack.redis.cli("HVALS", "relay:nodes")
    return json.loads(values) if values.strip() else {"errors": []}


# ---- Redis ------------------------------------------------------------------------------

def test_a_record_comes_by_hint_and_goes_by_hint(redis_stack):
    app = app_of(redis_stack)
    push(redis_stack, app, '{"destinations": [{"host": "a.test"}]}')
    until("it is live", lambda: destinations(redis_stack, app) == [{"host": "a.test"}])
    assert redis_stack.feed()["egress"] == 1
    redis_stack.redis.cli("HDEL", "relay:egress", app)
    redis_stack.redis.cli("PUBLISH", "relay:updates", f"relay:egress {app}")
    until("it is gone", lambda: redis_stack.feed()["egress"] == 0)
    assert destinations(redis_stack, app) is None


def test_a_bad_record_keeps_the_good_one_and_is_told(redis_stack):
    app = app_of(redis_stack)
    push(redis_stack, app, '{"destinations": [{"host": "good.test"}]}')
    until("it is live", lambda: destinations(redis_stack, app) == [{"host": "good.test"}])
    push(redis_stack, app, '{"destinations": [{"host": "good.test", "prot": 1}]}')
    error = {"key": f"egress/{app}", "path": "destinations[0].prot", "reason": "unknown field"}
    until("relay:nodes tells", lambda: error in node_report(redis_stack)["errors"])
    assert destinations(redis_stack, app) == [{"host": "good.test"}]
    assert error in redis_stack.feed()["errors"]
    redis_stack.wait_log(f'egress refused app="{app}" path="destinations[0].prot" '
                         'reason="unknown field" live=old')
    push(redis_stack, app, "{}")
    until("no error is left", lambda: not node_report(redis_stack)["errors"])
    redis_stack.ctl("egress", "clear", app)


@pytest.mark.parametrize("field", ["app_system", "app_0123456789AB", "shop.test", "app_1"])
def test_a_field_that_is_no_app(redis_stack, field):
    push(redis_stack, field, "{}")
    until("relay:nodes tells", lambda: [e["key"] for e in node_report(redis_stack)["errors"]] ==
          [f"egress/{field}"])
    redis_stack.redis.cli("HDEL", "relay:egress", field)
    redis_stack.redis.cli("PUBLISH", "relay:updates", f"egress {field}")
    until("no error is left", lambda: not node_report(redis_stack)["errors"])


def test_a_hash_that_is_lost_is_held_back(make_stack):
    """Without its list an app may reach everything: nothing opens by accident."""
    stack = make_stack()
    app = app_of(stack)
    stack.ctl("egress", "allow", app, "a.test")
    for i in range(10):
        stack.push(f"h{i}.test", json.dumps({"app": app, "destinationDomain": "o.test",
                                             "routes": []}))
    until("all are live", lambda: stack.feed().get("relays") == 10)
    stack.redis.cli("DEL", "relay:egress")
    stack.redis.cli("PUBLISH", "relay:updates", "?")
    until("it is held back", lambda: stack.feed().get("pending_delete") == 1)
    assert destinations(stack, app) == [{"host": "a.test"}]
    stack.ctl("sync", "--accept")
    assert destinations(stack, app) is None
    assert stack.feed()["relays"] == 10


# ---- relayctl -----------------------------------------------------------------------------

@pytest.fixture(params=["redis", "alone"])
def either(request, make_stack):
    return make_stack(redis=request.param == "redis")


def test_allow_deny_set_and_clear(either):
    app = app_of(either)
    ctl = either.ctl
    assert ctl("egress", "list", app).stdout == b"no list: egress_default of relay.conf decides\n"
    assert ctl("egress", "allow", app, "API.Test").stdout == f"{app}: live\n".encode()
    assert destinations(either, app) == [{"host": "api.test"}]
    ctl("egress", "allow", app, "*.pay.test:8443", "--method", "GET", "--method", "POST",
        "--path", "/v1/*", "--internal")
    wide = {"host": "*.pay.test", "port": 8443, "methods": ["GET", "POST"], "paths": ["/v1/*"],
            "internal": True}
    assert destinations(either, app) == [{"host": "api.test"}, wide]
    assert ctl("egress", "list", app).stdout.decode().splitlines() == [
        "HOST        PORT  METHODS   PATHS  INTERNAL",
        "api.test    443   *         *      no",
        "*.pay.test  8443  GET,POST  /v1/*  yes"]
    # the same host and port is one entry
    ctl("egress", "allow", app, "api.test", "--path", "/only")
    assert destinations(either, app) == [wide, {"host": "api.test", "paths": ["/only"]}]
    ctl("egress", "deny", app, "*.pay.test:8443")
    r = ctl("egress", "deny", app, "*.pay.test:8443", code=1)
    assert r.stderr.decode() == f"relayctl: *.pay.test:8443 is not in the list of {app}\n"
    ctl("egress", "deny", app, "api.test")
    assert record_of(either, app) == {"destinations": []}      # none, not: all
    text = b'{"curve": "k1", "responses": [{"path": "/**", "response": []}]}'
    ctl("egress", "set", app, data=text)
    assert ctl("egress", "list", app, "--json").stdout == text + b"\n"
    ctl("egress", "allow", app, "a.test")
    assert record_of(either, app) == {"destinations": [{"host": "a.test"}], **json.loads(text)}
    apps = json.loads(ctl("egress", "list", "--json").stdout)
    assert [a["app"] for a in apps] == [app]
    assert ctl("egress", "clear", app).stdout == f"{app}: removed\n".encode()
    assert ctl("egress", "clear", app, code=1).stderr == b"relayctl: not-found\n"
    assert json.loads(ctl("egress", "list", "--json").stdout) == []


def test_what_relayctl_refuses(redis_stack):
    app = app_of(redis_stack)
    for words, error in [
            (("allow", "app_system", "a.test"), "APP: not an app id"),
            (("allow", app, "https://a.test"), "HOST: must be a host name, an IP address or *. "
             "and a name, and :PORT if that is not 443"),
            (("allow", app, "a.test:0"), "HOST: must be a host name, an IP address or *. and a "
             "name, and :PORT if that is not 443"),
            (("allow", app, "a.test", "--method", "get"),
             "the record: destinations[0].methods[0]: must be 1 to 32 of A-Z and -"),
            (("allow", app, "a.test", "--path", "v1"),
             "the record: destinations[0].paths[0]: must begin with a slash")]:
        r = redis_stack.ctl("egress", *words, code=2)
        assert r.stderr.decode() == f"relayctl: {error}\n"
    r = redis_stack.ctl("egress", "set", app, code=2, data=b'{"destinations": [{"host": 1}]}')
    assert r.stderr == b"relayctl: -: destinations[0].host: must be a string\n"


# ---- what workers ask for ---------------------------------------------------------------------

class Manager:
    """A worker, as the feed sees it."""

    def __init__(self, stack):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(30)
        self.socket.connect(str(stack.run / "feed-worker.sock"))
        self.id = 0

    def say(self, text, record=None):
        fds = []
        if record is not None:
            fd = os.memfd_create("record", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
            os.write(fd, record.encode())
            fds = [fd]
        socket.send_fds(self.socket, [b"change " + text.encode()], fds)
        for fd in fds:
            os.close(fd)

    def hear(self):
        verb, text = self.socket.recv(65536).split(b" ", 1)
        assert verb == b"changed"
        return json.loads(text)

    def ask(self, op, hash_, field, key, record=None, old=None):
        self.id += 1
        expect = None if old is None else hashlib.sha256(old.encode()).hexdigest()
        self.say(json.dumps({"id": self.id, "op": op, "hash": hash_, "field": field,
                             "expect": expect, "apiKey": key}), record)
        answer = self.hear()
        assert answer["id"] == self.id
        return answer["status"], answer["reason"]


@contextlib.contextmanager
def manager(stack):
    m = Manager(stack)
    yield m
    m.socket.close()


def relay_of(app, host="o.test", internal=False, **more):
    return json.dumps({"app": app, "destinationDomain": host, "routes": [],
                       "internal": internal, **more})


def test_a_caller_manages_what_is_its_app_s(either):
    app, key = either.app("app")
    first, second = relay_of(app), relay_of(app, "p.test")
    with manager(either) as m:
        assert m.ask("put", "relays", "a.test", key, first) == (200, "")
        assert either.live("a.test").strip() == first.encode()      # live when it is answered
        assert m.ask("put", "relays", "a.test", key, first)[0] == 409
        assert m.ask("put", "relays", "a.test", key, second, old=second)[0] == 409
        assert m.ask("put", "relays", "a.test", key, second, old=first) == (200, "")
        assert m.ask("delete", "relays", "a.test", key, old=first)[0] == 409
        assert m.ask("delete", "relays", "b.test", key, old=first)[0] == 404
        assert m.ask("put", "relays", "b.test", key, first, old=first)[0] == 404
        assert m.ask("delete", "relays", "a.test", key, old=second) == (200, "")
        assert either.live("a.test") is None
        assert m.ask("put", "egress", app, key, '{"destinations": []}') == (200, "")
        assert destinations(either, app) == []
        assert m.ask("delete", "egress", app, key, old='{"destinations": []}') == (200, "")
    if either.redis:
        assert either.redis.cli("HLEN", "relay:relays").strip() == "0"
    assert key not in either.logs()


def test_nobody_opens_walls_by_a_relay(redis_stack):
    """Whatever a worker sends: what may reach private addresses is the operator's, its other
    names and rules alone are the app's."""
    (app, key), (other, _) = redis_stack.app("app"), redis_stack.app("other")
    ours, theirs = relay_of(app, internal=True), relay_of(other, internal=True)
    for host, text in (("ours.test", ours), ("theirs.test", theirs)):
        redis_stack.ctl("relay", "put", host, "-", data=text.encode())
    refused = (403, "internal: the operator alone sets it, and says where a relay that has it "
                    "leads")
    unsaid = json.dumps({"app": app, "destinationDomain": "o.test", "routes": []})

    def named(main, host="o.test", **more):
        return relay_of(app, host, True, evervaultDomain=main, **more)

    with manager(redis_stack) as m:
        for record in (ours, unsaid, named("theirs.test"), named("new.test"), named(7),
                       named("nobody.test"), named("ours.test", "p.test"),
                       named("ours.test", destination={"port": 444})):
            assert m.ask("put", "relays", "new.test", key, record) == refused, record
        assert m.ask("put", "relays", "new.test", key, named("ours.test")) == (200, "")
        for record in (relay_of(app, "p.test", True),
                       relay_of(app, "o.test", True, destination={"port": 444})):
            assert m.ask("put", "relays", "ours.test", key, record, old=ours) == refused
        changed = relay_of(app, internal=True, encryptEmptyStrings=False)
        assert m.ask("put", "relays", "ours.test", key, changed, old=ours) == (200, "")
        less = relay_of(app)
        assert m.ask("put", "relays", "ours.test", key, less, old=changed) == (200, "")
        assert m.ask("put", "relays", "ours.test", key, changed, old=less) == refused
    for host in ("ours.test", "theirs.test", "new.test"):
        redis_stack.ctl("relay", "rm", host)


def test_nobody_manages_what_is_another_s(redis_stack):
    (app, key), (other, _) = redis_stack.app("app"), redis_stack.app("other")
    theirs = relay_of(other)
    redis_stack.ctl("relay", "put", "theirs.test", "-", data=theirs.encode())
    with manager(redis_stack) as m:
        for op, record in [("put", relay_of(app)), ("delete", None)]:
            for old in (theirs, None):
                assert m.ask(op, "relays", "theirs.test", key, record, old)[0] == 403
        assert m.ask("put", "relays", "new.test", key, relay_of(other)) == (
            403, "the record names another app")
        assert m.ask("put", "egress", other, key, "{}")[0] == 403
        inside = {"destinations": [{"host": "a.test"}, {"host": "b.test", "internal": True}]}
        assert m.ask("put", "egress", app, key, json.dumps(inside)) == (
            403, "destinations[1].internal: the operator alone sets it")
        assert m.ask("put", "egress", NOBODY, key, "{}")[0] == 403
    assert redis_stack.live("theirs.test").strip() == theirs.encode()
    assert redis_stack.live("new.test") is None
    assert record_of(redis_stack, other) is None
    redis_stack.ctl("relay", "rm", "theirs.test")


def test_keys_that_may_not(redis_stack):
    app, key = redis_stack.app("app")

    def new_key(*words):
        return json.loads(redis_stack.ctl("key", "create", app, *words, "--json").stdout)

    narrow, wide = new_key("--scope", "relay"), new_key("--scope", "manage")
    with manager(redis_stack) as m:
        for bad in ("", "no-key", key + "x", "k" * 600, "\0", app):
            assert m.ask("put", "egress", app, bad, "{}") == (401, ""), bad
        assert m.ask("put", "egress", app, narrow["secret"], "{}")[0] == 403
        assert m.ask("put", "egress", app, wide["secret"], "{}") == (200, "")
        redis_stack.ctl("key", "revoke", app, wide["key"])
        assert m.ask("delete", "egress", app, wide["secret"], old="{}") == (401, "")
    assert record_of(redis_stack, app) is None or destinations(redis_stack, app) is None
    redis_stack.ctl("egress", "clear", app)


def test_a_record_with_a_fault_says_where(redis_stack):
    app, key = redis_stack.app("app")
    with manager(redis_stack) as m:
        assert m.ask("put", "relays", "f.test", key,
                     json.dumps({"app": app, "destinationDomain": "o.test"})) == (
            422, "routes: is required")
        assert m.ask("put", "egress", app, key, '{"destinations": [{}]}') == (
            422, "destinations[0].host: is required")
        assert m.ask("put", "relays", "Not.A.Host", key, relay_of(app))[0] == 422
        assert m.ask("put", "relays", "f.test", key)[0] == 422           # no record
        assert m.ask("put", "relays", "f.test", key, "{" * 1_100_000)[0] == 422
        assert m.ask("put", "apps", app, key, "{}")[0] == 422
        assert m.ask("get", "relays", "f.test", key)[0] == 422
        m.say("nonsense")
        assert m.hear()["status"] == 422
        m.say('{"id": 5}')
        assert m.hear() == {"id": 5, "status": 422,
                            "reason": "not a change, or longer than a record may be"}
    assert redis_stack.live("f.test") is None


def test_a_race_has_one_winner(redis_stack):
    """Redis was changed, and the map does not know it yet."""
    app, key = redis_stack.app("app")
    redis_stack.ctl("egress", "set", app, data=b'{"curve": "r1"}')
    push(redis_stack, app, '{"curve": "k1"}', hint=False)
    with manager(redis_stack) as m:
        assert m.ask("put", "egress", app, key, "{}", old='{"curve": "r1"}') == (
            409, "it was changed by somebody else")
        until("what is in Redis is live",
              lambda: record_of(redis_stack, app) == {"curve": "k1"})
        assert m.ask("put", "egress", app, key, "{}", old='{"curve": "k1"}') == (200, "")
    redis_stack.ctl("egress", "clear", app)


def test_many_ask_at_once(redis_stack):
    """Who creates one record wins once; each is answered, in any order."""
    app, key = redis_stack.app("app")
    with contextlib.ExitStack() as all_:
        managers = [all_.enter_context(manager(redis_stack)) for _ in range(8)]
        for m in managers:
            for i in range(1, 5):
                m.say(json.dumps({"id": i, "op": "put", "hash": "egress", "field": app,
                                  "expect": None, "apiKey": key}), '{"curve": "k1"}')
        answers = [m.hear() for m in managers for _ in range(4)]
    assert sorted(a["id"] for a in answers) == sorted(list(range(1, 5)) * 8)
    assert sorted(a["status"] for a in answers) == [200] + [409] * 31
    redis_stack.ctl("egress", "clear", app)


def test_without_an_engine_nobody_manages(make_stack):
    stack = make_stack()
    app, key = stack.app("app")
    with manager(stack) as m:
        assert m.ask("put", "egress", app, key, "{}") == (200, "")
        pid = stack.pids()["e3d"]
        with stopped(pid):
            assert m.ask("delete", "egress", app, key, old="{}") == (
                503, "no engine could be asked")
        until("it answers again",
              lambda: m.ask("delete", "egress", app, key, old="{}")[0] in (200, 404))
        # one that was killed and starts again is waited for
        os.kill(stack.pids()["e3d"], signal.SIGKILL)
        until("the next engine is asked",
              lambda: m.ask("put", "egress", app, key, "{}")[0] in (200, 409))
    assert destinations(stack, app) is None


def test_without_redis_for_writing(make_stack):
    stack = make_stack()
    app, key = stack.app("app")
    with manager(stack) as m:
        assert m.ask("put", "egress", app, key, "{}") == (200, "")
        stack.redis.end(signal.SIGKILL)
        until("the feed knows", lambda: stack.feed().get("redis") == "down")
        status, reason = m.ask("delete", "egress", app, key, old="{}")
        assert (status, reason) == (503, "Redis is down")
