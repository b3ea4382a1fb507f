"""An engine that lies, drags or dies, under load.  Peers: TLS clients whose
requests all carry secrets of their own, one installation, the demo origin, and
between workers and engine a man in the middle that has both roles'
certificates.  A lie is at worst a 503: no value goes to the origin that is not
sealed, no answer holds anything but what was sent."""
import os
import shutil
import signal
import threading
import time

import msgpack
import pytest

from conftest import PREFIX, Origin, Process, Stack, route, sanitizer_check, stopped, until
from faults import fault_load, use_engines                              # noqa: F401
from lying_engine import HangUp, LyingEngine, frame
from scripted_origin import OK, ScriptedOrigin

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
SHORT_MS, LONG_MS = 400, 3000       # engine_timeout_ms: of lies, of what must succeed
REFUSED = "engine-unavailable"


@pytest.fixture(scope="module")
def lied_to(tmp_path_factory, ca):
    """(stack, its false engine, origin), for every test of this file."""
    folder = tmp_path_factory.mktemp("lied-to")
    stack = Stack(folder, ca, conf=f"engine_timeout_ms = {SHORT_MS}\n")
    origin = Origin(folder, ca)
    stack.relay("shop.test", origin, PAY)
    liar = LyingEngine(stack)
    use_engines(stack, liar.address)
    yield stack, liar, origin
    errors = []
    stack.stop()
    liar.close()
    origin.end()
    sanitizer_check(stack, errors)
    assert not errors, "\n".join(errors)


@pytest.fixture(scope="module")
def patient(lied_to):
    """The same with time enough; for the tests behind the lies."""
    stack = lied_to[0]
    conf = stack.dir / "relay.conf"
    conf.write_text(conf.read_text().replace(f"engine_timeout_ms = {SHORT_MS}",
                                             f"engine_timeout_ms = {LONG_MS}"))
    stack.ctl("reload", "--wait")
    return lied_to


# ---- lies -----------------------------------------------------------------------------

def item(a, *parts):
    return a.but(body=[list(parts)] + a.body[1:])


def hang_up(data):
    raise HangUp(data)


def with_tail(a):
    return frame(msgpack.packb([a.version, a.id, a.status, a.body, a.more]) + b"\0")


def deep(a):
    payload = b"\x95" + msgpack.packb(1) + msgpack.packb(a.id) + msgpack.packb("ok")
    return frame(payload + b"\x91" * 100_000 + b"\xc0\xc2")


def announced(a):
    payload = b"\x95" + msgpack.packb(1) + msgpack.packb(a.id) + msgpack.packb("ok")
    return frame(payload + b"\xdd\x08\xf0\xd1\x80\xc2")


# name -> lie about an Encrypt of two strings
SEALING = {
    "an-id-never-used": lambda a: a.but(id=a.id + 1000),
    "id-0": lambda a: a.but(id=0),
    "another-id-negative": lambda a: a.but(id=-1),
    "one-item-short": lambda a: a.but(body=a.body[:-1]),
    "no-items": lambda a: a.but(body=[]),
    "a-map-for-items": lambda a: a.but(body={}),
    "nothing-for-items": lambda a: a.but(body=None),
    "one-item-more": lambda a: a.but(body=a.body + a.body[:1]),
    "one-item-thrice": lambda a: a.but(body=a.body[:1] * 3),
    "an-item-with-an-extra-part": lambda a: item(a, *a.body[0], b""),
    "an-item-of-one-part": lambda a: item(a, 0),
    "the-value-as-its-token": lambda a: item(a, 0, a.values[0]),
    "all-values-as-tokens": lambda a: a.but(body=[[0, v] for v in a.values]),
    "a-value-inside-a-token": lambda a: item(a, 0, a.body[0][1][:-8] + a.values[0] + b":$"),
    "a-token-cut-short": lambda a: item(a, 0, a.body[0][1][:-2]),
    "a-token-that-ends-the-string": lambda a: item(a, 0, a.body[0][1] + b'","x":"'),
    "an-empty-token": lambda a: item(a, 0, b""),
    "no-token": lambda a: item(a, 0, None),
    "passed-what-was-plain": lambda a: item(a, 1, b""),
    "passed-with-the-value": lambda a: a.but(body=[[1, v] for v in a.values]),
    "an-item-status-of-no-meaning": lambda a: item(a, 7, a.body[0][1]),
    "an-item-status-in-letters": lambda a: item(a, "0", a.body[0][1]),
    "an-unknown-status": lambda a: a.but(status="fine"),
    "an-error-with-data": lambda a: a.but(status="no-such-app"),
    "more-as-a-number": lambda a: a.but(more=1),
    "more-that-never-comes": lambda a: a.but(body=a.body[:1], more=True),
    "all-of-it-and-more-to-come": lambda a: a.but(more=True),
    "an-extra-element": lambda a: frame(msgpack.packb([a.version, a.id, a.status, a.body, False,
                                                       {}])),
    "an-element-too-few": lambda a: frame(msgpack.packb([a.version, a.id, a.status, a.body])),
    "bytes-after-the-end": with_tail,
    "no-messagepack": lambda a: frame(b"\xc1" * 20),
    "100,000-deep": deep,
    "150-million-announced": announced,
    "length-0": lambda a: bytes(4),
    "length-over-the-limit": lambda a: b"\xff\xff\xff\xff" + a.but(),
    "half-a-frame-and-goodbye": lambda a: hang_up(a.but()[:-5]),
    "goodbye": lambda a: hang_up(b""),
    "silence": lambda a: b"",
}

# name -> lie about a Decrypt of two tokens
OPENING = {
    "open-one-item-short": lambda a: a.but(body=a.body[:-1]),
    "open-one-item-more": lambda a: a.but(body=a.body + a.body[:1]),
    "open-with-an-extra-part": lambda a: item(a, *a.body[0], 0),
    "open-status-of-no-meaning": lambda a: item(a, 9, *a.body[0][1:]),
    "open-type-of-no-meaning": lambda a: item(a, 0, 77, a.body[0][2]),
    "open-without-text": lambda a: item(a, 0, 0, None),
}

# What these lies say is harmless: the right answer comes with them.
HARMLESS = {
    "twice": lambda a: a.but() * 2,
    "in-pieces-with-an-empty-one": lambda a: a.but(body=a.body[:1], more=True) +
        a.but(body=[], more=True) + a.but(body=a.body[1:]),
    "in-long-spellings": lambda a: frame(
        b"\xdd\0\0\0\x05" + b"\xcf" + bytes(7) + b"\x01" + b"\xcf" + a.id.to_bytes(8, "big") +
        b"\xda\0\x02ok" + msgpack.packb(a.body) + b"\xc2"),
}


def told(liar, lie, op, load, refusals):
    """Lie until enough requests have lain wholly inside; how they ended."""
    load.wait_right(3)
    liar.op, liar.lie, before = op, lie, liar.told
    begin = time.monotonic()
    try:
        until("the lie is told, and requests have ended with it", lambda: (
            liar.told >= before + 3 and
            sum(load.outcomes(begin, time.monotonic()).values()) >= refusals))
        return load.outcomes(begin, time.monotonic())
    finally:
        liar.lie = None


@pytest.mark.parametrize("name", [*SEALING, *OPENING])
def test_a_lie_is_an_error_and_nothing_else(lied_to, fault_load, name):
    stack, liar, origin = lied_to
    op = "Encrypt" if name in SEALING else "Decrypt"
    seen = len(origin.seen())
    with fault_load(f"engine-says-{name}", stack, origin, allowed=[REFUSED], n=3) as load:
        outcomes = told(liar, {**SEALING, **OPENING}[name], op, load, 3)
        load.struck()
        load.recovered(5)
    assert set(outcomes) == {REFUSED}, outcomes
    assert len(origin.seen()) > seen


def test_answers_that_come_when_nobody_waits_any_more(lied_to, fault_load):
    """Held until their callers were refused, then sent all at once."""
    stack, liar, origin = lied_to
    with fault_load("engine-late", stack, origin, allowed=[REFUSED]) as load:
        load.wait_right(3)
        for _ in range(2):
            liar.holding.set()
            refused = load.counts[REFUSED]
            until("they were refused", lambda: load.counts[REFUSED] >= refused + 4)
            liar.holding.clear()
            load.struck()
            load.recovered()


@pytest.mark.parametrize("name", HARMLESS)
def test_what_an_engine_may_do_or_what_costs_no_more_than_a_link(patient, fault_load, name):
    stack, liar, origin = patient
    with fault_load(f"engine-answers-{name}", stack, origin) as load:
        told(liar, HARMLESS[name], "Encrypt", load, 10)
        load.struck()
        load.recovered(5)


# ---- slowness ----------------------------------------------------------------------------

def test_an_engine_that_answers_byte_by_byte(patient, fault_load):
    stack, liar, origin = patient
    with fault_load("engine-byte-by-byte", stack, origin) as load:
        load.wait_right(3)
        liar.drops = True
        load.struck()
        try:
            load.recovered(40)
        finally:
            liar.drops = False


def test_an_engine_that_is_slow_but_in_time(patient, fault_load):
    """Answers are kept back for a tenth of the timeout, again and again."""
    stack, liar, origin = patient
    with fault_load("engine-slow", stack, origin) as load:
        load.wait_right(3)
        load.struck()
        for _ in range(5):
            liar.holding.set()
            until("answers are held", lambda: liar.held >= 2)
            load.stopping.wait(LONG_MS / 10_000)        # the fault that is played
            liar.holding.clear()
            load.wait_right(4)
        load.recovered()


# ---- an origin's connection ends while the engine works ------------------------------

def test_a_post_is_sent_again_when_no_byte_of_it_had_left(patient, ca):
    """The answer of the engine and the end of the kept connection are there when
    the workers look again: what was queued to it goes to another one, once."""
    stack, liar, _ = patient
    seen, bye, said = [], threading.Event(), threading.Event()

    def script(peer):
        while True:
            seen.append((peer.number, peer.request()[1]))
            peer.send(OK)
            if len(seen) == 1:
                bye.wait(30)
                peer.half_close()
                said.set()
                return
    origin = ScriptedOrigin(ca, script)
    stack.relay("kept.relay.test", origin, PAY)
    workers = [c["pid"] for c in stack.status()["children"] if c["name"].startswith("worker")]
    with stack.connect("kept.relay.test") as c:
        assert c.request("POST", "/pay", b'{"card":{"number":"1"}}').status == 200
        liar.holding.set()
        body = b'{"card":{"number":"2"}}'
        c.send(c.head("POST", "/pay", [("Content-Type", "application/json"),
                                       ("Content-Length", len(body))]) + body)
        until("the engine's answer is kept back", lambda: liar.held == 1)
        with stopped(*workers):
            liar.holding.clear()
            until("it is on its way", lambda: liar.held == 0)
            bye.set()
            assert said.wait(30)
        assert c.reply("POST").status == 200
    assert [n for n, _ in seen] == [1, 2] and seen[1][1].startswith(b'{"card":{"number":"ev:')
    origin.close()
    assert origin.faults == []


# ---- two engines, one dies -------------------------------------------------------------

@pytest.fixture
def second_engine(make_stack):
    """second_engine(stack): relayd -r e3 elsewhere with the same keys; its address."""
    def make(stack):
        other = make_stack(start=False)
        for name in ("link", "e3"):
            shutil.rmtree(other.dir / name, ignore_errors=True)
            shutil.copytree(stack.dir / name, other.dir / name)
        (other.dir / "root.key").unlink()
        shutil.copy(stack.dir / "root.key", other.dir / "root.key")
        other.relayd = other.own(Process("relayd-e3", [
            PREFIX / "sbin/relayd", "-f", "-r", "e3", "-c", other.dir / "relay.conf"], other.dir))
        until("the second engine is ready", lambda: other.child("e3d"))
        return f"127.0.0.1:{other.e3_port}"
    return make


def test_one_of_two_engines_dies_with_calls_in_flight(stack, origin, second_engine, fault_load):
    """Its answers are held back in the middle, so that calls are in flight when
    kill -9 comes: the other engine answers them, and nobody hears of it."""
    stack.relay("shop.test", origin, PAY)
    liar = LyingEngine(stack)
    use_engines(stack, liar.address, second_engine(stack))
    stack.wait_log("engine ready", count=6)     # two at the start, then two of each worker
    with fault_load("kill9-one-of-two-engines", stack, origin) as load:
        load.wait_right(20)
        for _ in range(3):
            pid = stack.child("e3d")
            liar.holding.set()
            until("calls are in flight there", lambda: liar.held >= 2)
            os.kill(pid, signal.SIGKILL)
            load.struck()
            liar.holding.clear()
            load.recovered()
            until("e3d is back", lambda pid=pid: stack.child("e3d") not in (None, pid))
    liar.close()
