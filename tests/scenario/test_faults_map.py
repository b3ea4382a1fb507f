"""The map damaged or cut short under running processes, and folders without
room.  Peers: TLS clients under load, one installation, the demo origin, Redis,
which has what the map had.  A damaged map is never believed: requests are
refused or served by what a worker knew, and what is damaged is made anew from
Redis, long before the next comparison (compare_interval_s: a minute)."""
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest

from conftest import Stack, route, stopped, until
from faults import fault_load                                           # noqa: F401
from load import CARD

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
BODY = b'{"card":{"number":"%s"}}' % CARD.encode()
ALLOWED = ["not-ready", "engine-unavailable", "cut"]
SOON_S = 20                 # seconds, on a busy machine; never the comparison's
META_BYTES = 8192           # LMDB's two meta pages


class DamagedStack(Stack):
    """Its processes may die of the map, and of nothing else."""

    @property
    def map(self):
        return self.dir / "relay/map/data.mdb"

    def deaths_of_the_map(self):
        """Sanitizer's reports of a fault inside a mapped file, with their stacks."""
        return [r for r in re.findall(r"(?s)ERROR: AddressSanitizer:.*?SUMMARY:[^\n]*", self.logs())
                if re.match(r"ERROR: AddressSanitizer: (SEGV|BUS)", r) and
                re.search(r"\bin (mdb_|shm_map_|shm_record_)|liblmdb", r)]

    def logs_but(self, reports):
        text = self.logs()
        for r in reports:
            text = text.replace(r, "")
        return re.sub(r"panic at signal:0 in handler: SIG(BUS|SEGV)", "", text)


@pytest.fixture
def make_damaged(tmp_path, ca, monkeypatch):
    """After a report processes end by a signal, as they do without a sanitizer."""
    monkeypatch.setenv("ASAN_OPTIONS",
                       f"{os.environ.get('ASAN_OPTIONS', '')}:abort_on_error=1".lstrip(":"))
    made = []

    def make(**options):
        made.append(DamagedStack(tmp_path, ca, **options))
        return made[-1]
    make.stacks = made
    yield make
    for stack in made:
        stack.stop()
        text = stack.logs_but(stack.deaths_of_the_map())
        for word in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer",
                     "panic at "):
            assert word not in text, text[text.find(word):][:4000]


@pytest.fixture
def damaged(make_damaged):
    return make_damaged()


# ---- damage ------------------------------------------------------------------------------

def meta_pages(path):
    with open(path, "r+b") as f:
        f.write(random.Random(1).randbytes(META_BYTES))


def every_page_but_meta(path):
    with open(path, "r+b") as f:
        n = f.seek(0, os.SEEK_END) - META_BYTES
        f.seek(META_BYTES)
        f.write(random.Random(1).randbytes(n))


def cut_to(n):
    def cut(path):
        os.truncate(path, n)
    cut.__name__ = f"cut_to_{n}"
    return cut


def records(path, text=b"destinationDomain"):
    """One byte of every copy of every record of a relay; the pages stay sound."""
    data = path.read_bytes()
    with open(path, "r+b") as f:
        for match in re.finditer(text, data):
            f.seek(match.start())
            f.write(b"D")


def serves(stack, *hosts):
    for host in hosts:
        with contextlib.suppress(OSError, EOFError):
            if stack.post(host, "/pay", BODY).body == BODY:
                continue
        return False
    return True


def answer(stack, host):
    with contextlib.suppress(OSError, EOFError):
        return stack.post(host, "/pay", BODY).code
    return None


WHOLE = [meta_pages, every_page_but_meta, cut_to(0), cut_to(META_BYTES + 100)]


@pytest.mark.parametrize("damage", WHOLE, ids=lambda f: f.__name__)
def test_a_map_that_is_damaged_while_it_serves(damaged, origin, fault_load, damage):
    """A process that meets it dies or refuses, and says so; the feed looks, moves
    it aside and makes a new one from Redis."""
    stack = damaged
    for host in ("shop.test", "other.test"):
        text = stack.relay(host, origin, PAY)
    with fault_load(f"map-{damage.__name__}", stack, origin, allowed=ALLOWED, n=2) as load:
        load.wait_right(10)
        damage(stack.map)
        load.struck()
        until("all are served, without help",
              lambda: serves(stack, "shop.test", "other.test"), SOON_S)
        load.mended()
        stack.wait_ready()
        stack.relay("third.test", origin, PAY)      # what a worker knew is not enough
        until("a new one is served", lambda: serves(stack, "third.test"))
        load.wait_right(10)
    for host in ("shop.test", "other.test"):
        assert stack.live(host).strip() == text.encode()
    assert "name=feed" in stack.relayd.text() and "map-replaced" in stack.relayd.text()


def test_damaged_records_are_not_believed(damaged, origin, fault_load):
    """While nobody repairs them: a worker that knew a relay serves on by what it
    knew, one that did not refuses.  A new feed repairs what it finds."""
    stack = damaged
    text = stack.relay("shop.test", origin, PAY)
    with fault_load("map-records-flipped", stack, origin, allowed=ALLOWED, n=2) as load:
        load.wait_right(10)
        stack.relay("other.test", origin, PAY)
        with stopped(stack.child("feed")):
            records(stack.map)
            assert stack.post("other.test", "/pay", BODY).code == "not-ready"
            load.wait_right(10)
            os.kill(stack.child("feed"), signal.SIGKILL)
            load.struck()
        until("it is served", lambda: serves(stack, "other.test"), SOON_S)
        load.mended()
        load.wait_right(10)
    assert "relays=2 damaged=2" in stack.relayd.text()
    assert "map damaged: moved" not in stack.relayd.text()
    assert stack.live("shop.test").strip() == text.encode()


def test_damaged_records_are_repaired_without_help(damaged, origin, fault_load):
    """The worker that finds one tells the feed; the same processes go on."""
    stack = damaged
    text = stack.relay("shop.test", origin, PAY)
    pids = stack.pids()
    records(stack.map)
    begun = time.monotonic()
    until("it is served", lambda: serves(stack, "shop.test"), SOON_S)
    fault_load.say(f"fault=map-record-unknown recover_ms={(time.monotonic() - begun) * 1000:.0f}")
    assert stack.live("shop.test").strip() == text.encode()
    assert 'relay record damaged host="shop.test"' in stack.relayd.text()
    until("nothing is damaged", lambda: stack.feed().get("damaged") == 0)
    assert stack.pids() == pids


def test_damage_that_nobody_meets_is_found(make_damaged, origin):
    """No request, no push: the feed's own look at the map, at each comparison."""
    stack = make_damaged(conf="compare_interval_s = 1\n")
    stack.relay("shop.test", origin, PAY)
    records(stack.map)
    stack.wait_log('relay record damaged host="shop.test"')
    until("nothing is damaged", lambda: stack.feed().get("damaged") == 0)
    assert serves(stack, "shop.test")


def test_a_push_of_the_same_text_repairs(damaged, origin):
    stack = damaged
    text = stack.relay("shop.test", origin, PAY)
    records(stack.map)
    stack.push("shop.test", text)
    stack.wait_live("shop.test", text)


def test_damage_without_redis(make_damaged, origin):
    """The map is the only copy: what can be read of it serves, what cannot is
    named, and putting it again repairs it, without a restart of anything."""
    stack = make_damaged(redis=False)
    for host in ("other.test", "shop.test"):
        stack.relay(host, origin, PAY)
    pids = stack.pids()
    data = stack.map.read_bytes()
    with open(stack.map, "r+b") as f:       # every copy of the last record put
        for m in re.finditer(b"shop.test", data):
            f.seek(data.index(b"destinationDomain", m.start()))
            f.write(b"D")
    assert stack.post("shop.test", "/pay", BODY).code == "not-ready"
    status = until("the feed knows", lambda: stack.feed() if stack.feed().get("damaged") else None)
    assert [e["key"] for e in status["errors"]] == ["shop.test"] and status["synced"]
    assert serves(stack, "other.test")
    stack.relay("shop.test", origin, PAY)
    assert serves(stack, "shop.test", "other.test") and stack.feed()["errors"] == []
    assert stack.pids() == pids
    cut_to(META_BYTES)(stack.map)           # nothing can be read
    until("requests are answered",
          lambda: answer(stack, "shop.test") == "relay-not-found", SOON_S)
    for host in ("other.test", "shop.test"):
        stack.relay(host, origin, PAY)
    until("all are served", lambda: serves(stack, "shop.test", "other.test"))


# ---- no room ---------------------------------------------------------------------------------

@contextlib.contextmanager
def small(folder, kib):
    """A tmpfs of so many KiB; room(kib) gives it another size."""
    folder.mkdir(parents=True, exist_ok=True)

    def mount(*options):
        return subprocess.run(["mount", *map(str, options), str(folder)], capture_output=True,
                              text=True, check=False)
    r = mount("-t", "tmpfs", "-o", f"size={kib}k,mode=0750", "tmpfs")
    if r.returncode != 0:
        pytest.skip(f"no tmpfs may be mounted: {r.stderr.strip()}")

    def room(kib):
        r = mount("-o", f"remount,size={kib}k")
        assert r.returncode == 0, r.stderr
    try:
        yield room
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_no_room_for_the_map(make_stack, origin, fault_load):
    """What does not fit is not applied, what was applied serves, and as soon as
    there is room the map is what Redis is.  (A full map: tests/unit/shm_map_test.c.)"""
    stack = make_stack(start=False)
    with small(stack.dir / "relay", 512) as room:
        stack.start()
        pids = stack.pids()
        stack.relay("shop.test", origin, PAY)
        big = stack.relay_json(origin, PAY + [route("POST", f"/{'x' * 200}/{n}",
                                                    encrypt=["$.a"]) for n in range(60)])
        with fault_load("map-disk-full", stack, origin, n=2) as load:
            load.wait_right(10)
            for n in range(60):
                stack.push(f"big{n}.test", json.dumps(big))
            stack.wait_log('map not written rc=limit why="No space left on device"')
            until("status says it", lambda: stack.feed().get("no_room"))
            assert b"no_room=No space left on device" in stack.ctl("status", code=None).stdout
            load.wait_right(20)
            assert stack.live("shop.test") and not stack.live("big59.test")
            room(65536)
            load.struck()
            stack.wait_live("big59.test", json.dumps(big))
            load.mended()
            load.wait_right(10)
        assert set(load.counts) == {"right"}, load.counts
        stack.wait_ready()
        assert stack.feed()["relays"] == 61 and "no_room" not in stack.feed()
        assert stack.pids() == pids
        assert stack.relayd.text().count("map not written") == 1
        stack.stop()


def test_no_room_for_keys(make_stack, origin, fault_load):
    """A key that cannot be kept is not given out; those that are kept serve."""
    stack = make_stack(start=False)
    with small(stack.dir / "e3", 64) as room:
        stack.start()
        stack.relay("shop.test", origin, PAY)
        fill = stack.dir / "e3/fill"
        with fault_load("keys-disk-full", stack, origin, n=2) as load:
            with contextlib.suppress(OSError), open(fill, "wb", buffering=0) as f:
                while True:
                    f.write(bytes(4096))
            before = json.loads(stack.ctl("app", "list", "--json").stdout)
            r = stack.ctl("app", "create", "no-room", code=1)
            assert r.stdout == b"" and r.stderr
            assert json.loads(stack.ctl("app", "list", "--json").stdout) == before
            load.wait_right(20)
            room(1024)
            load.struck()
            app = stack.ctl("app", "create", "room").stdout.split()[0].decode()
            load.mended()
            load.wait_right(10)
        assert set(load.counts) == {"right"}, load.counts
        os.kill(stack.child("e3d"), signal.SIGKILL)     # read again, from disk
        until("served by the new engine", lambda: serves(stack, "shop.test"))
        assert app in stack.ctl("app", "list").stdout.decode()
        stack.stop()
