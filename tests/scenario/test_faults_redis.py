"""Redis behind a cut wire, and a feed that stood still while 10,000 updates went
by.  Peers: TLS clients under load, one installation, Redis, in one case in a
network namespace of its own.  Requests do not notice; what the map holds in the
end is what Redis holds, record by record."""
import array
import contextlib
import hashlib
import json
import os
import socket
import subprocess

import pytest

from conftest import DEADLINE_S, Process, Redis, route, stopped, until
from faults import fault_load                                           # noqa: F401

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
UPDATES = 10_000
BEFORE = 2000           # records that are there when the feed stops


# ---- Redis and the feed, asked directly ---------------------------------------------

class Pipe:
    """A connection to Redis for many commands at once."""

    def __init__(self, host, port):
        self.sock = socket.create_connection((host, port), DEADLINE_S)
        self.lines = self.sock.makefile("rb")

    def send(self, commands):
        out = bytearray()
        for words in commands:
            out += b"*%d\r\n" % len(words)
            for w in words:
                w = w.encode()
                out += b"$%d\r\n%s\r\n" % (len(w), w)
        self.sock.sendall(out)

    def run(self, commands, at_once=500):
        for i in range(0, len(commands), at_once):
            some = commands[i:i + at_once]
            self.send(some)
            for _ in some:
                assert self.lines.readline()[:1] == b":", "every answer is a number"

    def hash(self, key):
        self.send([["HGETALL", key]])
        words = [self.bulk() for _ in range(int(self.lines.readline()[1:]))]
        return dict(zip(words[::2], words[1::2]))

    def bulk(self):
        n = int(self.lines.readline()[1:])
        return self.lines.read(n + 2)[:-2]

    def close(self):
        self.lines.close()
        self.sock.close()


class Feed:
    """The feed's control socket: one message, one answer."""

    def __init__(self, stack):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(str(stack.run / "feed.sock"))

    def ask(self, text):
        """(answer, content of the descriptor that came with it)"""
        self.sock.sendall(text.encode())
        room = socket.CMSG_SPACE(array.array("i").itemsize)
        answer, control, _, _ = self.sock.recvmsg(65536, room)
        for _, _, data in control:
            fd = array.array("i", data)[0]
            with open(fd, "rb") as f:
                f.seek(0)
                return answer, f.read()
        return answer, b""

    def status(self):
        return json.loads(self.ask("status")[0].partition(b" ")[2])

    def records(self):
        hosts = [r["host"] for r in json.loads(self.ask("relay-list")[1])]
        return {host.encode(): self.ask(f"relay-get {host}")[1] for host in hosts}


def digest(records):
    """What the feed says of a map that holds exactly these."""
    total = bytes(32)
    for field, value in records.items():
        one = hashlib.sha256(field + b"\0" + value).digest()
        total = bytes(a ^ b for a, b in zip(total, one))
    return total.hex()


def wait_equal(feed, pipe):
    """The map is what Redis is: first by digest, then every byte."""
    want = pipe.hash("relay:relays")
    expected = digest(want)
    until("the feed has what Redis has", lambda: feed.status()["digest"] == expected)
    return want


def records_equal(feed, want):
    have = feed.records()
    assert have.keys() == want.keys()
    assert [h for h in want if have[h] != want[h]] == []


# ---- 10,000 updates --------------------------------------------------------------------

def update(stack, origin, number, host=None):
    """Write a record, or delete one, and say so."""
    host = host or f"h{number * 7 % (2 * BEFORE):04d}.test"
    if number % 20 == 19:
        return [["HDEL", "relay:relays", f"h{number % BEFORE:04d}.test"],
                ["PUBLISH", "relay:updates", f"relays h{number % BEFORE:04d}.test"]]
    text = json.dumps(stack.relay_json(origin, [route("POST", f"/pay/{number}",
                                                      encrypt=["$.card.number"])]))
    return [["HSET", "relay:relays", host, text],
            ["PUBLISH", "relay:updates", f"relays {host}"]]


def test_10000_updates_while_the_feed_stands_still(stack, origin, fault_load):
    stack.relay("shop.test", origin, PAY)
    pipe = Pipe("127.0.0.1", stack.redis.port)
    pid = stack.child("feed")
    feed = Feed(stack)
    pipe.run([c for n in range(BEFORE) for c in update(stack, origin, 0, f"h{n:04d}.test")])
    wait_equal(feed, pipe)
    commands = [c for n in range(UPDATES) for c in update(stack, origin, n)]
    with fault_load("10000-updates-while-the-feed-stands", stack, origin, n=2) as load:
        load.wait_right(10)
        with stopped(pid):
            pipe.run(commands)
            load.wait_right(20)
        load.struck()
        want = wait_equal(feed, pipe)
        load.mended()
        load.wait_right(10)
    assert set(load.counts) == {"right"}, load.counts
    assert len(want) > BEFORE and stack.child("feed") == pid
    records_equal(feed, want)
    pipe.close()


# ---- a wire that is cut ------------------------------------------------------------------

def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


@contextlib.contextmanager
def elsewhere():
    """(namespace, its address): a network of two, this machine and another."""
    name = f"rl{os.getpid()}"
    here, there = f"198.18.{os.getpid() % 256}.1", f"198.18.{os.getpid() % 256}.2"
    if (r := ip("netns", "add", name)).returncode != 0:
        pytest.skip(f"no network namespace may be made: {r.stderr.strip()}")
    try:
        for words in (["link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b",
                       "netns", name],
                      ["addr", "add", f"{here}/30", "dev", f"{name}a"],
                      ["link", "set", f"{name}a", "up"],
                      ["-n", name, "addr", "add", f"{there}/30", "dev", f"{name}b"],
                      ["-n", name, "link", "set", f"{name}b", "up"],
                      ["-n", name, "link", "set", "lo", "up"]):
            if (r := ip(*words)).returncode != 0:
                pytest.skip(f"no veth pair may be made: ip {' '.join(words)}: {r.stderr.strip()}")
        yield name, there
    finally:
        ip("netns", "del", name)        # the pair goes with it


class RedisElsewhere(Redis):
    def __init__(self, folder, namespace, address):
        self.namespace, self.address, self.port = namespace, address, 6379
        self.dir = folder / "redis"
        self.dir.mkdir()
        Process.__init__(self, "redis", [
            "ip", "netns", "exec", namespace, "redis-server", "--port", self.port, "--bind",
            address, "--protected-mode", "no", "--dir", self.dir, "--save", ""], folder)
        until("redis answers", lambda: self.try_cli("ping") == "PONG")

    def try_cli(self, *words, data=None):
        r = subprocess.run(["ip", "netns", "exec", self.namespace, "redis-cli", "-h", self.address,
                            *map(str, words)], input=data, capture_output=True, text=True,
                           check=False)
        return r.stdout.strip()

    def cut(self, wire):
        """What is sent is lost; nobody is told."""
        r = ip("-n", self.namespace, "link", "set", f"{self.namespace}b", "down" if wire else "up")
        assert r.returncode == 0, r.stderr


def reach(host, port):
    """None while the kernel still thinks that nobody is there."""
    with contextlib.suppress(OSError):
        return Pipe(host, port)
    return None


def test_redis_behind_a_wire_that_is_cut(make_stack, origin, fault_load, tmp_path):
    with elsewhere() as (namespace, address):
        redis = RedisElsewhere(tmp_path, namespace, address)
        line = f'redis = {{ "{address}:{redis.port}" }}\n'
        stack = make_stack(redis=False, conf=line + "compare_interval_s = 1\n", e3_conf=line)
        stack.redis = stack.own(redis)
        stack.relay("shop.test", origin, PAY)
        pid, feed = stack.child("feed"), Feed(stack)
        with fault_load("redis-partition", stack, origin, n=2, pace_s=0.02) as load:
            load.wait_right(10)
            redis.cut(True)
            until("the feed knows it is alone", lambda: feed.status()["redis"] == "down")
            for n in range(50):
                redis.cli("HSET", "relay:relays", f"p{n}.test",
                          json.dumps(stack.relay_json(origin, PAY)))
            meanwhile = stack.ctl("app", "create", "meanwhile").stdout.split()[0].decode()
            load.wait_right(20)
            redis.cut(False)
            load.struck()
            pipe = until("Redis can be reached", lambda: reach(address, redis.port))
            want = wait_equal(feed, pipe)
            load.mended()
            load.wait_right(10)
        assert set(load.counts) == {"right"}, load.counts
        assert len(want) == 51 and stack.child("feed") == pid
        records_equal(feed, want)
        until("the new app's record is in Redis too",
              lambda: redis.cli("HEXISTS", "relay:apps", meanwhile) == "1")
        pipe.close()
        stack.stop()
