"""Whose turn it is: small calls beside large ones, apps and callers with many links
beside those with one, a full queue, calls that nobody waits for any more, a
reader that does not read.  Peers: links with certificates of their own that
send frames made beforehand, so that the engine is what they wait for.  Bounds
are generous: first come, first served would miss them by far."""
import contextlib
import ssl
import statistics
import struct
import threading
import time

import msgpack
import pytest

from conftest import running, until
from link_ca import LinkCA
from rpc_client import connect, encrypt

LARGE = 10_000          # fields of a large call
MANY = 8                # links, beside one


@pytest.fixture(scope="module")
def installation(tmp_path_factory, ca):
    """(stack, certificate(name): link options of a worker with that name)"""
    folder = tmp_path_factory.mktemp("stack")
    with running(folder, ca, workers=1) as stack:
        stack.app()
        stack.app("other")
        own, made = LinkCA(stack, folder / "callers"), {}

        def certificate(name):
            if name not in made:
                made[name] = own.role(f"relay://link/worker/{name}")
            return made[name]
        yield stack, certificate


@pytest.fixture
def engine(installation):
    """The engine must be the same process afterwards, and have nothing to do."""
    pid = installation[0].child("e3d")
    yield installation[0]
    assert installation[0].child("e3d") == pid, "the engine died"
    with connect(installation[0]) as link:
        until("the queue is empty", lambda: counts(link)["queue"] == 0)


@pytest.fixture
def certificate(installation):
    return installation[1]


@pytest.fixture
def link(engine):
    with connect(engine) as link:
        yield link


def counts(link):
    return link.call("GetStatistics")


class Sender:
    """Frames of one body, made once; only the id changes."""

    def __init__(self, link, body):
        self.link, self.id = link, 0
        self.rest = msgpack.packb("Encrypt") + msgpack.packb(body)

    def send(self):
        self.id += 1
        call = b"\x94\x01\xcf" + struct.pack(">Q", self.id) + self.rest
        self.link.send_bytes(struct.pack(">I", len(call)) + call)

    def receive(self):
        """(bytes, is it the last piece)"""
        length, = struct.unpack(">I", self.link.read(4))
        piece = self.link.read(length)
        assert b"\xa2ok" in piece[:16], msgpack.unpackb(piece)
        return length, piece[-1] == 0xc2


class Hog(threading.Thread):
    """So many calls in flight on a link, all the time; what came back is counted."""

    def __init__(self, link, body, in_flight=3):
        super().__init__(daemon=True)
        self.sender, self.in_flight = Sender(link, body), in_flight
        self.got, self.stopping, self.fault = 0, False, None
        self.start()

    def run(self):
        try:
            for _ in range(self.in_flight):
                self.sender.send()
            while True:
                length, last = self.sender.receive()
                self.got += length
                if last and not self.stopping:
                    self.sender.send()
        except (OSError, EOFError) as end:
            self.fault = None if self.stopping else end
        except AssertionError as wrong:
            self.fault = wrong


@contextlib.contextmanager
def hogs(stack, groups):
    """groups: [(how many links, their certificate, body)...]; yields lists of hogs.
    All are at work when it begins, and none has failed when it ends."""
    with contextlib.ExitStack() as opened:
        made = [[Hog(opened.enter_context(connect(stack, **certificate)), body)
                 for _ in range(n)] for n, certificate, body in groups]
        everyone = sum(made, [])
        try:
            until("all are at work", lambda: all(h.got or h.fault for h in everyone))
            yield made
        finally:
            for hog in everyone:
                hog.stopping = True
                hog.sender.link.end()
            for hog in everyone:
                hog.join(30)
        assert not [h.fault or h for h in everyone if h.fault or h.is_alive()]


def came(groups, seconds):
    """Bytes a second of tokens, of all hogs of each group."""
    start, before = time.monotonic(), [sum(h.got for h in g) for g in groups]
    threading.Event().wait(seconds)         # a span that is measured
    took = time.monotonic() - start
    return [(sum(h.got for h in g) - b) / took for g, b in zip(groups, before)]


class Slices:
    """Those a second since it was made: progress of large calls, without its pieces."""

    def __init__(self, link):
        self.link, self.start = link, time.monotonic()
        self.first = counts(link)["slices"]

    def rate(self, others=0):
        return (counts(self.link)["slices"] - self.first - others) / (
            time.monotonic() - self.start)


def timed(sender, n):
    took = []
    for _ in range(n):
        start = time.monotonic()
        sender.send()
        while not sender.receive()[1]:
            pass
        took.append(time.monotonic() - start)
    return sorted(took)


def quantile(took, share):
    return took[int((len(took) - 1) * share)]


def large(app, n=LARGE):
    """An ephemeral key for each value: a slice is some of them."""
    return encrypt(app, [b"4111111111111111"] * n, scope="field")


# ---- small beside large -------------------------------------------------------------------

@pytest.mark.alone
@pytest.mark.parametrize("whose", ["own-certificates", "one-certificate",
                                   "one-certificate-one-app"])
def test_small_calls_beside_two_hogs(engine, certificate, link, record_property, whose):
    app, other = engine.app()[0], engine.app("other")[0]
    names = ["hog-a", "hog-b"] if whose == "own-certificates" else ["worker", "worker"]
    options = [{} if n == "worker" else certificate(n) for n in names]
    body = large(app if whose == "one-certificate-one-app" else other)
    small = Sender(link, encrypt(app, [b"4111111111111111"] * 30))
    timed(small, 20)                        # the table of a hot app is made by then
    alone = timed(small, 200)
    with connect(engine, "pulse") as watch, \
            hogs(engine, [(1, o, body) for o in options]) as groups:
        slices = Slices(watch)
        assert all(n > 0 for n in came(groups, 2.0)), "none of them starves"
        before, slices = slices.rate(), Slices(watch)
        beside = timed(small, 400)
        rate = slices.rate(others=400)
    record_property("measured", f"30 fields, {whose}: p50 {quantile(alone, .5) * 1000:.1f} -> "
                    f"{quantile(beside, .5) * 1000:.1f} ms, p99 "
                    f"{quantile(alone, .99) * 1000:.1f} -> {quantile(beside, .99) * 1000:.1f} ms, "
                    f"hogs {rate / before:.2f}")
    assert quantile(beside, .5) < max(10 * quantile(alone, .5), 0.01)
    assert quantile(beside, .99) < max(20 * quantile(alone, .99), 0.1)
    assert rate > 0.3 * before, "what is free goes to the hogs"


@pytest.mark.alone
@pytest.mark.parametrize("of", ["apps", "callers"])
def test_many_links_get_no_more_than_one(engine, certificate, record_property, of):
    """Two apps of one caller, then two callers for one app."""
    app, other = engine.app()[0], engine.app("other")[0]
    if of == "apps":
        groups = [(MANY, {}, large(app, 100)), (1, {}, large(other, 100))]
    else:
        groups = [(MANY, certificate("crowd"), large(app, 100)),
                  (1, certificate("single"), large(app, 100))]
    with hogs(engine, groups) as made:
        crowd, single = came(made, 4)
    record_property("measured", f"{MANY} links beside one of another of the {of}: "
                    f"{crowd / single:.2f} times its share")
    assert 1 / 2 < crowd / single < 2


@pytest.mark.alone
def test_a_lone_hog_takes_what_is_free(engine, certificate):
    """Nothing is held back for callers that are not there."""
    body = large(engine.app()[0], 500)
    with hogs(engine, [(1, certificate("hog-a"), body)]) as made:
        single, = came(made, 2)
    with hogs(engine, [(1, certificate("hog-a"), body), (1, certificate("hog-b"), body)]) as made:
        both = came(made, 2)
    assert single > 0.6 * sum(both)


@pytest.mark.alone
def test_ping_at_full_load(engine, certificate, link, record_property):
    app = engine.app()[0]
    with hogs(engine, [(2, certificate(f"hog-{c}"), large(app)) for c in "abcd"]):
        took = []
        for _ in range(300):
            start = time.monotonic()
            assert link.call("Ping")["ready"]
            took.append(time.monotonic() - start)
        assert counts(link)["queue"] >= 8, "they were busy all along"
    took.sort()
    record_property("measured", f"Ping at full load: p50 {quantile(took, .5) * 1000:.1f}, "
                    f"p99 {quantile(took, .99) * 1000:.1f} ms")
    assert quantile(took, .99) < 0.1


# ---- the queue is full ------------------------------------------------------------------------

def test_a_full_queue_refuses_at_once(make_stack):
    stack = make_stack(workers=1, e3_conf="max_queue = 8\n")
    app = stack.app()[0]
    with connect(stack) as link, connect(stack, "admin") as other:
        before = counts(link)["queue_full"]
        ids = [link.send("Encrypt", large(app)) for _ in range(20)]
        start = time.monotonic()
        assert other.status("Encrypt", encrypt(app, [b"v"])) == "overloaded"
        assert other.status("Ping") == "ok"
        until("the rest is refused", lambda: link.frame() and len(link.done) == 12)
        assert time.monotonic() - start < 5
        assert set(link.done) == set(ids[8:]), "not those that were let in"
        assert {link.open[id][-1].status for id in link.done} == {"overloaded"}
        now = counts(other)
        assert (now["queue"], now["queue_full"] - before) == (8, 13)
        assert now["queue_cost"] > 8 * LARGE
        for id in ids[:8]:
            link.send("Cancel", {"id": id})
        until("it is empty", lambda: counts(other)["queue"] == 0)
        now = counts(other)
        assert now["queue_cost"] == 0
        assert other.status("Encrypt", encrypt(app, [b"v"])) == "ok"


# ---- nobody waits any more -------------------------------------------------------------------

@pytest.mark.parametrize("how", ["cancel", "goodbye", "cut"])
def test_a_call_that_nobody_waits_for_stops(engine, link, how):
    app = engine.app()[0]
    before = counts(link)
    with connect(engine) as large_one:
        id = large_one.send("Encrypt", large(app, 60_000))
        until("it is at work", lambda: counts(link)["slices"] > before["slices"] + 3)
        assert counts(link)["queue"] == 1
        if how == "cancel":
            assert large_one.status("Cancel", {"id": id}) == "ok"
            while id not in large_one.done:
                large_one.frame()
            assert large_one.open[id][-1].status == "cancelled"
        elif how == "goodbye":
            large_one.end()
        else:
            large_one.sock.close()
        until("the engine is idle", lambda: counts(link)["queue"] == 0, 5)
        now = counts(link)
        assert now["cancelled"] == before["cancelled"] + 1
        assert now["fields_sealed"] - before["fields_sealed"] < 60_000
        slices = now["slices"]
        assert link.status("Ping") == "ok" and counts(link)["slices"] == slices, "not a slice more"


# ---- nobody reads ------------------------------------------------------------------------------

def test_a_reader_that_does_not_read_costs_little_and_harms_nobody(make_stack):
    """Its calls stop when a few pieces wait; what others ask for goes on."""
    stack = make_stack(workers=1)
    app, other = stack.app()[0], stack.app("other")[0]
    with connect(stack, receive_buffer=4096) as deaf, connect(stack, "admin") as link:
        small = Sender(link, encrypt(other, [b"v"] * 30))
        timed(small, 20)
        link.last_id = 1000
        before = counts(link)
        greedy, sent = Sender(deaf, encrypt(app, [b"4111111111111111"] * LARGE)), 0
        deaf.sock.settimeout(2)
        with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError):
            for sent in range(200):
                greedy.send()
        assert sent >= 4

        def at_rest():
            """Nothing more is made for it."""
            first = counts(link)["slices"]
            threading.Event().wait(0.2)     # a span that is measured
            return counts(link)["slices"] == first
        until("its calls stand still", at_rest)
        assert quantile(timed(small, 100), .99) < 0.5
        now = counts(link)
        grown = (now["memory_bytes"] - before["memory_bytes"]) >> 20
        print(f"{sent} calls of {LARGE} fields whose answers are not read: {grown} MiB")
        # a call as it came and unpacked is 1 MiB, its answer were 2 more
        assert now["queue"] >= 1 and grown < 32 + 1.5 * sent
        made = now["fields_sealed"] - before["fields_sealed"]
        assert made < 8 * LARGE, "some megabytes of answers, whatever it asked for"
    with connect(stack, "admin") as link:
        until("they are forgotten", lambda: counts(link)["queue"] == 0)
        assert counts(link)["cancelled"] - before["cancelled"] >= now["queue"]


def test_slow_and_fast_readers_of_one_caller(engine, link):
    """The same certificate, one link that reads nothing: the other gets it all."""
    app = engine.app()[0]
    with connect(engine, receive_buffer=4096) as deaf:
        ids = [deaf.send("Encrypt", large(app)) for _ in range(8)]
        took = timed(Sender(link, encrypt(app, [b"v"] * 500)), 50)
        link.last_id = 100
        assert statistics.median(took) < 0.5
        assert len(link.call("Encrypt", large(app, 3000))) == 3000
        # what waited is still right, and all there
        answers = [deaf.answer(id) for id in ids]
        assert [len(a) for a in answers] == [LARGE] * len(ids)
        assert len({token for a in answers for _, token in a}) == LARGE * len(ids)
