"""Faults are ordinary: kill, stall, cut, restart, each under load.  Every
request gets a right answer, an error code or a cut connection; nothing chosen
reaches the origin open; service comes back without help."""
import os
import queue
import signal
import threading

import pytest

from conftest import CA, DEADLINE_S, Origin, Redis, pid_gone, route, stopped, until
from faults import fault_load                                           # noqa: F401
from load import CARD, no_plaintext

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]


@pytest.fixture
def loaded(stack, origin):
    stack.relay("shop.test", origin, PAY)
    assert stack.post("shop.test", "/pay", b'{"card":{"number":"1"}}').status == 200
    return stack


@pytest.mark.parametrize("name,allowed", [
    ("worker1", ["cut"]), ("feed", []), ("e3d", ["engine-unavailable"]), ("e3-helper", []),
])
def test_kill_9_of_a_child_under_load(loaded, origin, fault_load, name, allowed):
    pid = loaded.child(name)
    with fault_load(f"kill9-{name}", loaded, origin, allowed=allowed) as load:
        load.wait_right(20)
        os.kill(pid, signal.SIGKILL)
        load.struck()
        load.recovered(50)
        until(f"{name} runs again", lambda: loaded.child(name) not in (None, pid))
        loaded.wait_ready()
        load.wait_right(50)


def test_kill_9_of_relayd_frees_the_ports_and_a_new_one_starts(loaded, origin):
    children = loaded.pids()
    loaded.relayd.kill(signal.SIGKILL)
    loaded.relayd.wait()
    loaded.start()              # at once: the ports are free
    assert loaded.post("shop.test", "/pay", b'{"card":{"number":"2"}}').status == 200
    for name, pid in children.items():
        until(f"old {name} is gone", lambda pid=pid: pid_gone(pid), 40)
    assert loaded.post("shop.test", "/pay", b'{"card":{"number":"3"}}').status == 200
    no_plaintext(origin)


def test_kill_9_of_relayd_under_load(loaded, origin, fault_load):
    with fault_load("kill9-relayd", loaded, origin,
                    allowed=["cut", "engine-unavailable", "not-ready"]) as load:
        load.wait_right(20)
        loaded.relayd.kill(signal.SIGKILL)
        load.struck()
        loaded.relayd.wait()
        loaded.start()
        load.recovered(50)


def test_stalled_engine_is_an_error_not_a_hang(make_stack, origin):
    stack = make_stack(conf="engine_timeout_ms = 1500\n")
    stack.relay("shop.test", origin, PAY)
    pid = stack.child("e3d")
    before = len(origin.seen())
    with stopped(pid):
        reply = stack.post("shop.test", "/pay", b'{"card":{"number":"4111111111111111"}}')
        assert (reply.status, reply.code) == (503, "engine-unavailable")
        assert reply.field("Retry-After")
        # what has no work passes meanwhile
        assert stack.post("shop.test", "/other", b'{"a":1}').body == b'{"a":1}'
    assert len(origin.seen()) == before + 1
    until("sealing works again", lambda: stack.post(
        "shop.test", "/pay", b'{"card":{"number":"4111111111111111"}}').status == 200)
    no_plaintext_pay(origin)


def no_plaintext_pay(origin):
    assert CARD.encode() not in origin.raw_log()


def test_no_engine_at_all(make_stack, origin):
    """The engine cannot start (its root key is another one): 503 for work, 200 for the rest."""
    stack = make_stack(conf="engine_timeout_ms = 500\n")
    stack.relay("shop.test", origin, PAY)
    key = stack.dir / "root.key"
    key.chmod(0o600)
    key.write_bytes(os.urandom(32))
    os.kill(stack.child("e3d"), signal.SIGKILL)
    until("engine refuses", lambda: stack.post(
        "shop.test", "/pay", b'{"card":{"number":"4111111111111111"}}').code == "engine-unavailable")
    assert stack.get("shop.test", "/x").status == 200
    no_plaintext_pay(origin)


def test_redis_killed_and_restarted_empty(loaded, origin, fault_load):
    port = loaded.redis.port
    with fault_load("redis-killed-and-empty", loaded, origin) as load:
        load.wait_right(10)
        loaded.redis.end(signal.SIGKILL)
        loaded.wait_log("redis")
        load.wait_right(20)
        loaded.redis = loaded.own(Redis(loaded.dir, port))
        until("the feed is back and holds the empty read",
              lambda: loaded.feed().get("redis") == "up" and
              loaded.feed().get("pending_delete", 0) > 0)
        load.struck()
        load.recovered()
    # records flow again
    loaded.relay("new.test", origin, PAY)
    assert loaded.get("new.test", "/x").status == 200
    assert loaded.get("shop.test", "/x").status == 200


def test_redis_away_at_start_serves_the_last_map(loaded, origin):
    port = loaded.redis.port
    loaded.relayd.end()
    loaded.redis.end(signal.SIGKILL)
    loaded.start(wait=False)
    until("the last map serves", lambda: answers(loaded))
    loaded.redis = loaded.own(Redis(loaded.dir, port))


def answers(stack):
    try:
        return stack.post("shop.test", "/pay", b'{"card":{"number":"5"}}').status == 200
    except (OSError, EOFError):
        return False


def test_no_map_and_no_redis_is_not_ready(make_stack):
    stack = make_stack(start=False)
    stack.redis.end(signal.SIGKILL)
    stack.start(wait=False)
    stack.wait_log("serving")
    reply = stack.get("shop.test")
    assert (reply.status, reply.code) == (503, "not-ready")


def test_origin_away_and_back(loaded, origin, ca, tmp_path):
    origin.end(signal.SIGKILL)
    reply = loaded.post("shop.test", "/pay", b'{"card":{"number":"1"}}')
    assert (reply.status, reply.code) == (503, "service-unavailable")
    folder = tmp_path / "again"
    folder.mkdir()
    again = Origin(folder, ca, port=origin.port)
    try:
        assert loaded.post("shop.test", "/pay", b'{"card":{"number":"1"}}').status == 200
    finally:
        again.end()


@pytest.mark.parametrize("why", ["foreign-ca", "wrong-name"])
def test_origin_with_a_bad_certificate(stack, make_origin, tmp_path, why):
    if why == "foreign-ca":
        bad = make_origin(ca=CA(tmp_path / "foreign", "foreign root"))
    else:
        bad = make_origin(hosts=["elsewhere.test"])
    stack.relay("shop.test", bad, PAY)
    reply = stack.post("shop.test", "/pay", b'{"card":{"number":"4111111111111111"}}')
    assert (reply.status, reply.code) == (502, "upstream-tls-error")
    assert bad.seen() == []


def test_relays_own_ca_and_server_name(stack, make_origin, tmp_path):
    own = CA(tmp_path / "own", "own root")
    o = make_origin(ca=own, hosts=["inner.name.test"])
    stack.relay("shop.test", o, PAY, destination={
        "port": o.port, "serverName": "inner.name.test", "ca": own.pem.read_text()})
    assert stack.post("shop.test", "/pay", b'{"card":{"number":"1"}}').status == 200


@pytest.mark.parametrize("path,status,code", [
    ("/close", 502, "upstream-protocol-error"),
    ("/garbage", 502, "upstream-protocol-error"),
    ("/early", 200, None),
    ("/until-close", 200, None),
    ("/encoding/gzip", 200, None),
])
def test_strange_origins(loaded, origin, path, status, code):
    reply = loaded.post("shop.test", path, b'{"a":1}')
    assert (reply.status, reply.code) == (status, code)
    assert loaded.get("shop.test", "/x").status == 200


def test_slow_origin(make_stack, origin):
    stack = make_stack(conf="response_timeout_ms = 700\n")
    stack.relay("shop.test", origin, PAY)
    reply = stack.get("shop.test", "/delay/20000")
    assert (reply.status, reply.code) == (504, "request-timeout")


def test_slow_clients_are_answered_408(make_stack, origin):
    stack = make_stack(conf="head_timeout_ms = 500\nbody_timeout_ms = 500\n")
    stack.relay("shop.test", origin, PAY)
    with stack.connect("shop.test") as c:
        c.send(b"GET / HTTP/1.1\r\nHost: shop")
        reply = c.reply()
        assert (reply.status, reply.code) == (408, "client-timeout") and c.ended()
    with stack.connect("shop.test") as c:
        c.send(c.head("POST", "/pay", [("Content-Type", "application/json"),
                                       ("Content-Length", 100)]) + b'{"card')
        reply = c.reply()
        assert (reply.status, reply.code) == (408, "client-timeout") and c.ended()


def test_reload_under_load_loses_nothing(loaded, origin, fault_load):
    # a drained worker may close an idle kept connection; no request is answered wrongly
    with fault_load("reload", loaded, origin, allowed=["cut"]) as load:
        for _ in range(3):
            load.wait_right(10)
            loaded.ctl("reload", "--wait")
        load.struck()
        load.recovered()
    assert load.counts["cut"] <= 16, load.counts


def test_reload_of_a_broken_file_keeps_the_running_generation(loaded, origin):
    conf = loaded.dir / "relay.conf"
    good = conf.read_text()
    conf.write_text(good.replace("workers = 2", "workers = 99999"))
    r = loaded.ctl("reload", "--wait", code=2)          # relayctl reads it too
    assert b"workers" in r.stderr and b"relay.conf" in r.stderr
    loaded.relayd.kill(signal.SIGHUP)
    loaded.wait_log("reload-refused")
    conf.write_text(good.replace(str(loaded.cert[0]), "/nonexistent.pem"))
    r = loaded.ctl("reload", "--wait", code=1)
    assert b"nonexistent" in r.stderr
    conf.write_text(good)
    assert loaded.post("shop.test", "/pay", b'{"card":{"number":"1"}}').status == 200


def test_term_ends_everything(loaded):
    pids = loaded.pids()
    assert loaded.relayd.end(signal.SIGTERM) == 0
    for name, pid in pids.items():
        until(f"{name} is gone", lambda pid=pid: pid_gone(pid), 10)


def test_quit_lets_an_exchange_end(loaded, origin):
    with loaded.connect("shop.test") as c:
        c.send(c.head("GET", "/delay/1500", []))
        until("the origin has it", lambda: any(b"/delay/" in s.raw for s in origin.seen()))
        loaded.relayd.kill(signal.SIGQUIT)
        assert c.reply().status == 200
    assert loaded.relayd.wait() == 0


def test_bodies_held_by_a_worker_are_bounded(make_stack, origin):
    """Many large bodies at once: 503 overloaded beyond the limit, and room again after."""
    stack = make_stack(workers=1, conf="max_held_bytes = 2097152\n")
    stack.relay("shop.test", origin, PAY)
    body = b'{"card":{"number":"4111111111111111"},"pad":"' + b"x" * 1500000 + b'"}'
    both = [stack.connect("shop.test") for _ in range(2)]
    head = both[0].head("POST", "/pay", [("Content-Type", "application/json"),
                                         ("Content-Length", len(body))])
    for c in both:
        c.send(head + body[:1400000])
    # Only one fits; which one is the worker's choice.
    answers = queue.Queue()
    for c in both:
        threading.Thread(target=lambda c=c: answers.put((c, c.reply("POST"))), daemon=True).start()
    refused, reply = answers.get(timeout=DEADLINE_S)
    assert (reply.status, reply.code) == (503, "overloaded")
    assert reply.field("Retry-After") and reply.closed
    held = both[1 - both.index(refused)]
    held.send(body[1400000:])
    assert answers.get(timeout=DEADLINE_S)[1].body == body
    for c in both:
        c.close()
    assert stack.post("shop.test", "/pay", body).body == body
    no_plaintext_pay(origin)
