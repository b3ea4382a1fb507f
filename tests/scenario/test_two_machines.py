"""Two machines.  Peers: two whole installations with the root key and the link
CA of one of them, each with an engine, workers and records of its own, and one
Redis, which the second reaches over a wire that can be cut.  What is done on one
of them holds on both, and who has not heard of it is named."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import rpc_client
import token_codec
from conftest import PREFIX, Redis, free_port, route, seal, stopped, tokens_in, until
from load import CARD, Load, no_plaintext

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
KEYED = "keyed.relay.test"
OK, FORBIDDEN = 0, 3
REVOKED_S = 10          # a generous bound; the figure is printed


class Wire:
    """A TCP port that leads to another one, until it is cut."""

    def __init__(self, to):
        self.to, self.whole, self.ends = to, True, set()
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.to))
            self.ends |= {near, far}
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            self.end(end)

    def end(self, sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        self.whole = False
        for sock in list(self.ends):
            self.end(sock)

    def mend(self):
        self.whole = True

    def close(self):
        self.cut()
        self.listener.close()
        for sock in self.ends:
            sock.close()


class Beyond:
    """The Redis of another machine, as this one reaches it."""

    def __init__(self, redis, wire):
        self.port, self.cli = wire.port, redis.cli


def name_of(stack):
    """What its announcement calls its engine."""
    one, = [n for n in stack.redis.cli("SMEMBERS", "relay:engines").split()
            if n.startswith(stack.engine_name + "@")]
    return one


@pytest.fixture
def machines(make_stack):
    """(A, B, the wire between B and Redis)"""
    a = make_stack(start=False, e3_conf='name = "e3-a"\n')
    wire = Wire(a.redis.port)
    b = make_stack(start=False, redis=False, e3_conf='name = "e3-b"\n')
    shutil.rmtree(b.dir / "link")
    shutil.copytree(a.dir / "link", b.dir / "link")
    (b.dir / "root.key").unlink()
    shutil.copy(a.dir / "root.key", b.dir / "root.key")
    b.redis, b.with_redis, b.apps = Beyond(a.redis, wire), True, a.apps
    a.engine_name, b.engine_name = "e3-a", "e3-b"
    b.write_conf()
    a.start()
    b.start()
    until("both engines are announced",
          lambda: a.redis.cli("SCARD", "relay:engines") == "2")
    yield a, b, wire
    b.relayd.end()          # while it can still take its leave
    wire.close()


def both_have(a, b, app):
    """The app is in use on both, in the same version."""
    def same():
        seen = [json.loads(r.stdout) for r in
                (m.ctl("app", "pairs", app, "--json", code=None) for m in (a, b))
                if r.returncode == 0]
        return len(seen) == 2 and seen[0] == seen[1]
    until(f"both machines have {app}", same)


def relay_on_both(a, b, host, origin, routes, **more):
    text = a.relay(host, origin, routes, **more)
    b.wait_live(host, text)


def new_key(stack, app):
    made = json.loads(stack.ctl("key", "create", app, "--json").stdout)
    return made["key"], made["secret"]


def let_in(stack, secret):
    status = stack.get(KEYED, fields=[("api-key", secret)]).status
    assert status in (200, 401), status
    return status == 200


def opened(stack, secret, token):
    r = stack.ctl("decrypt", "--api-key", secret, "--json", data=token, code=None)
    return json.loads(r.stdout)[0].get("value") if r.returncode == 0 else None


# ---- API keys ---------------------------------------------------------------------------

def test_a_key_revoked_here_is_refused_there_at_once(machines, make_origin):
    a, b, _ = machines
    origin = make_origin()
    app, _ = a.app()
    relay_on_both(a, b, KEYED, origin, [seal("POST", "/pay", "$.v")], authentication="api-key")
    took = []
    for here, there in ((a, b), (b, a), (a, b)):
        key, secret = new_key(here, app)
        until("it is let in there", lambda: let_in(there, secret))
        assert let_in(here, secret)
        start = time.monotonic()
        told = json.loads(here.ctl("key", "revoke", app, key, "--json").stdout)
        done = time.monotonic()
        assert told["confirmed"] and told["unconfirmed"] == []
        until("it is refused there", lambda: not let_in(there, secret), REVOKED_S)
        took.append((round((done - start) * 1000), round((time.monotonic() - done) * 1000)))
        until("it is refused here", lambda: not let_in(here, secret), REVOKED_S)
    print("revoked, confirmed everywhere, ms:", *[t for t, _ in took],
          " then refused by the other machine's relay, ms:", *[t for _, t in took])


def test_a_machine_cut_off_from_redis_is_named_and_learns_it_later(machines, make_origin):
    a, b, wire = machines
    origin = make_origin()
    app, kept = a.app()
    relay_on_both(a, b, KEYED, origin, [seal("POST", "/pay", "$.v")], authentication="api-key")
    key, secret = new_key(a, app)
    until("both are let in there", lambda: let_in(b, secret) and let_in(b, kept))
    name = name_of(b)
    with b.logs_more("redis down"):
        wire.cut()
    r = a.ctl("key", "revoke", app, key, "--timeout", "2", "--json", code=4)
    told = json.loads(r.stdout)
    assert told["revoked"] and not told["confirmed"] and told["unconfirmed"] == [name]
    assert name.encode() in r.stderr
    until("it is refused here", lambda: not let_in(a, secret), REVOKED_S)
    assert let_in(b, secret), "it cannot know, and goes on serving"
    wire.mend()
    until("it is refused there too", lambda: not let_in(b, secret))
    assert let_in(b, kept) and let_in(a, kept)
    # Nobody is missing any more: it says that there is nothing left to do.
    until("all have confirmed",
          lambda: a.ctl("key", "revoke", app, key, code=None).returncode == 3)


def test_a_fork_is_not_taken_for_a_confirmation(machines):
    """Both made the same version while Redis was away: a key revoked in the one is
    good in the other."""
    a, b, wire = machines
    app, kept = a.app()
    key, secret = new_key(a, app)
    both_have(a, b, app)
    name = name_of(b)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    with a.logs_more("redis down"), b.logs_more("redis down"):
        wire.cut()
        a.redis.end(signal.SIGKILL)
    told = json.loads(a.ctl("key", "revoke", app, key, "--timeout", "1", "--json", code=4).stdout)
    made = json.loads(b.ctl("key", "create", app, "--json").stdout)
    assert told["version"] == made["version"] and not told["confirmed"]
    a.redis = a.own(Redis(a.dir, a.redis.port))
    wire.mend()
    until("the fork is seen", lambda: any(m.status()["helper"]["forked"] for m in (a, b)))
    until("both engines are announced",
          lambda: a.redis.cli("SCARD", "relay:engines") == "2")
    for _ in range(2):
        r = a.ctl("key", "revoke", app, key, "--timeout", "2", code=4)
        assert b"revoked already" in r.stderr and name.encode() in r.stderr
    assert opened(b, secret, token) == "value" and opened(a, secret, token) is None
    assert opened(a, kept, token) == opened(b, kept, token) == "value"


def test_a_helper_that_stands_still_is_named(machines):
    """Longer than its announcement lives, and when it is asked for the first time
    after that."""
    a, b, _ = machines
    app, kept = a.app()
    key, secret = new_key(a, app)
    both_have(a, b, app)
    name = name_of(b)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    with stopped(b.child("e3-helper")):
        told = json.loads(a.ctl("key", "revoke", app, key, "--json", code=4).stdout)
        assert told["revoked"] and not told["confirmed"] and told["unconfirmed"] == [name]
        assert a.redis.cli("EXISTS", f"relay:engine:{name}") == "0"
        r = a.ctl("key", "revoke", app, key, "--timeout", "1", code=4)
        assert name.encode() in r.stderr and b"HDEL relay:engines:last" in r.stderr
        r = a.ctl("app", "rotate", app, "--curve", "r1", "--timeout", "1", "--json", code=4)
        told = json.loads(r.stdout)
        assert told["state"] == "opens" and told["unconfirmed"] == [name]
        assert opened(b, secret, token) == "value", "it cannot know"
        # Who knows that it is gone for good says so.
        assert a.redis.cli("HDEL", "relay:engines:last", name) == "1"
        a.ctl("key", "revoke", app, key, code=3)
    until("it is refused there too", lambda: opened(b, secret, token) is None)
    assert opened(b, kept, token) == "value"
    until("it is known again", lambda: a.redis.cli("HEXISTS", "relay:engines:last", name) == "1")
    a.ctl("app", "activate", app, *told["pairs"])


def test_who_takes_its_leave_is_not_waited_for_and_who_dies_is(machines):
    a, b, _ = machines
    app, _ = a.app()
    both_have(a, b, app)
    name, keys = name_of(b), [new_key(a, app)[0] for _ in range(3)]
    both_have(a, b, app)
    b.relayd.end(signal.SIGTERM)
    assert a.redis.cli("HGET", "relay:engines:last", name).startswith("left ")
    a.ctl("key", "revoke", app, keys[0])
    b.start()
    until("it is announced", lambda: name in a.redis.cli("SMEMBERS", "relay:engines"))
    both_have(a, b, app)
    pids = [b.relayd.pid, *b.pids().values()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    b.relayd.wait()
    until("its announcement is over",
          lambda: name not in a.redis.cli("SMEMBERS", "relay:engines"))
    r = a.ctl("key", "revoke", app, keys[1], "--timeout", "1", code=4)
    assert name.encode() in r.stderr
    b.start()
    a.ctl("key", "revoke", app, keys[2])
    a.ctl("key", "revoke", app, keys[1], code=3)


def race(words, *stacks):
    """The same words on all of them at one moment."""
    gate = threading.Barrier(len(stacks))

    def run(stack):
        gate.wait()
        return subprocess.run(
            [str(PREFIX / "bin/relayctl"), "-c", str(stack.dir / "relay.conf"), *words],
            capture_output=True, check=False, timeout=120)
    with ThreadPoolExecutor(len(stacks)) as pool:
        return list(pool.map(run, stacks))


def test_keys_made_on_both_machines_at_one_moment_all_work(machines):
    """Each is a version of the same record: who comes second makes it anew."""
    a, b, _ = machines
    app, first = a.app()
    both_have(a, b, app)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    secrets = [first]
    for _ in range(8):
        for r in race(["key", "create", app, "--json"], a, b):
            assert r.returncode == 0, r.stderr
            secrets.append(json.loads(r.stdout)["secret"])
    assert len(set(secrets)) == 17
    until("both say the same", lambda: a.ctl("key", "list", app, "--json").stdout ==
          b.ctl("key", "list", app, "--json").stdout)
    for stack in (a, b):
        for secret in secrets:
            assert opened(stack, secret, token) == "value", (stack.dir, secrets.index(secret))
        helper = stack.status()["helper"]
        assert helper["forked"] == 0 and not list((stack.dir / "e3").glob("*.old")), helper


# ---- key pairs and roles ----------------------------------------------------------------

def test_rotation_here_under_load_on_both_fails_no_request(machines, make_origin):
    a, b, _ = machines
    origin = make_origin()
    app, key = a.app()
    relay_on_both(a, b, "shop.test", origin, PAY)
    both_have(a, b, app)
    with Load(a, n=2) as here, Load(b, n=2) as there:
        for stack in (a, b, a):
            for load in (here, there):
                load.wait_right(8)
            told = json.loads(stack.ctl("app", "rotate", app, "--json").stdout)
            assert told["state"] == "seals" and told["confirmed"] and told["unconfirmed"] == []
        for load in (here, there):
            load.wait_right(8)
    for load in (here, there):
        assert load.wrong == [] and set(load.counts) == {"right"}, load.counts
    no_plaintext(origin)
    both_have(a, b, app)
    tokens = [t for seen in origin.seen() for t in tokens_in(seen.body)]
    assert len(tokens) >= 64
    for stack in (a, b):
        keys = stack.app_keys()
        assert len(keys["r1"]) == 4
        for token in tokens:
            assert token_codec.open_token(token, keys)[1] == CARD.encode()
        # and by the machine itself: the first and the last one of each pair
        assert opened(stack, key, tokens[0].encode()) == CARD
        assert opened(stack, key, tokens[-1].encode()) == CARD


def pair_states(stack, app):
    listed = json.loads(stack.ctl("app", "pairs", app, "--json").stdout)
    return {p["pair"]: p["state"] for p in listed if p["curve"] == "r1"}


def test_no_pair_is_destroyed_while_a_machine_may_seal_with_it(machines):
    a, b, wire = machines
    app, key = a.app()
    name = name_of(b)
    first, = pair_states(a, app)
    second, = json.loads(a.ctl("app", "rotate", app, "--curve", "r1", "--json").stdout)["pairs"]
    a.ctl("app", "activate", app, first)
    both_have(a, b, app)
    a.ctl("key", "list", app)
    until("it said so", lambda: len(set(a.redis.cli("HVALS", f"relay:applied:{app}").split("\n")))
          == 1)
    with b.logs_more("redis down"):
        wire.cut()
    a.ctl("app", "activate", app, second)       # both open it
    r = a.ctl("app", "retire", app, first, "--timeout", "1", "--json", code=4)
    told = json.loads(r.stdout)
    assert told["state"] == "retired" and told["unconfirmed"] == [name] and not told["confirmed"]
    assert name.encode() in r.stderr
    r = a.ctl("app", "retire", app, first, "--timeout", "1", code=4)
    assert b"retired already" in r.stderr and name.encode() in r.stderr
    for _ in range(2):
        r = a.ctl("app", "destroy", app, first, "--yes", "--timeout", "1", code=4)
        assert name.encode() in r.stderr and b"nothing was destroyed" in r.stderr
    assert pair_states(a, app) == {first: "retired", second: "seals"}
    assert pair_states(b, app)[first] == "seals"
    token = b.ctl("encrypt", "--app", app, data=b"sealed there").stdout
    wire.mend()
    until("it has heard of it",
          lambda: a.ctl("app", "retire", app, first, code=None).returncode == 3)
    assert pair_states(b, app) == {first: "retired", second: "seals"}
    assert opened(a, key, token) is None
    a.ctl("app", "activate", app, first)
    assert opened(a, key, token) == "sealed there", "it was lost"
    a.ctl("app", "retire", app, first)
    a.ctl("app", "destroy", app, first, "--yes")
    both_have(a, b, app)
    assert pair_states(b, app) == {second: "seals"}


def judge(link, app, token):
    place = {"kind": "relay", "address": "192.0.2.1"}
    (status, _, _), = link.call("Decrypt", {"app": app, "place": place, "tokens": [[token]]})
    return status


def test_a_role_put_here_binds_there(machines):
    a, b, _ = machines
    app, _ = a.app()
    both_have(a, b, app)
    policy = {"default": "forbid", "rules": []}
    with rpc_client.connect(a) as at_a, rpc_client.connect(b) as at_b:
        (_, token), = at_a.call("Encrypt", rpc_client.encrypt(app, [(0, b"v", "pay")]))
        assert judge(at_a, app, token) == judge(at_b, app, token) == OK
        a.ctl("role", "put", app, "pay", data=json.dumps(policy).encode())
        until("it binds there", lambda: judge(at_b, app, token) == FORBIDDEN, REVOKED_S)
        assert judge(at_a, app, token) == FORBIDDEN
        assert json.loads(b.ctl("role", "get", app, "pay").stdout) == policy
        b.ctl("role", "rm", app, "pay")
        until("it binds no more", lambda: judge(at_a, app, token) == OK, REVOKED_S)
        assert judge(at_b, app, token) == OK


# ---- the root key -------------------------------------------------------------------------

def test_the_root_key_moves_when_every_engine_knows_the_next_one(machines):
    a, b, _ = machines
    app, key = a.app()
    both_have(a, b, app)
    with rpc_client.connect(a) as link:
        (_, token), = link.call("Encrypt", rpc_client.encrypt(app, [(0, b"value")]))
    before = {m: (m.dir / "root.key").read_bytes() for m in (a, b)}
    until("they know of each other",
          lambda: all(len(m.status()["helper"]["engines"]) == 2 for m in (a, b)))
    pid, records = a.child("e3d"), (a.dir / f"e3/{app}.rec").read_bytes()
    r = a.ctl("root", "rotate", code=4)
    assert f"not known to: {name_of(b)}." in r.stderr.decode()
    assert not (a.dir / "root.key.next").exists() and a.child("e3d") == pid
    given = a.dir / "given"
    given.write_bytes(b"new key of 32 bytes: test only. ")
    given.chmod(0o400)
    a.ctl("root", "rotate", "--key", given, "--prepare")
    r = a.ctl("root", "rotate", code=4)
    assert f"not known to: {name_of(b)}." in r.stderr.decode()
    # A new app is under the next key at once: that says nothing of b.
    early = json.loads(a.ctl("app", "create", "early", "--json").stdout)["app"]
    r = a.ctl("root", "rotate", code=4)
    assert f"not known to: {name_of(b)}." in r.stderr.decode()
    assert (a.dir / f"e3/{app}.rec").read_bytes() == records
    assert all((m.dir / "root.key").read_bytes() == before[m] for m in (a, b))

    b.ctl("root", "rotate", "--key", given, "--prepare")
    a.ctl("root", "rotate")             # what b said a moment ago is waited for
    late = json.loads(b.ctl("app", "create", "late", "--json").stdout)["app"]
    b.ctl("root", "rotate")
    for m in (a, b):
        assert (m.dir / "root.key").read_bytes() == given.read_bytes()
        assert opened(m, key, token) == "value"
    both_have(a, b, app)
    both_have(a, b, early)
    both_have(a, b, late)
