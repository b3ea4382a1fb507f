"""kill -9 of e3d and of e3-helper at each step of each change of keys, and a disk
that is full at each of them: builds with --enable-crash-points die where a file
says (lib/base/crash_point.h).  What was acknowledged works afterwards; what was not
is either stored whole or not at all."""
import concurrent.futures
import contextlib
import json
import os
import socket
import struct
import subprocess

import pytest

import record_reader
import rpc_client
from conftest import DEADLINE_S, PREFIX, Process, Stack, until

OPS = ["create_app", "create_key", "revoke_key", "rotate", "reseal"]
ENGINE = ["e3.sealed", "e3.opened", "e3.put"]
WRITE = ["file.written", "file.synced", "file.renamed", "file.folder-synced",
         "record.read-back", "change.written", "change.loaded"]
KEEP = ["record.linked", "record.kept"]         # of the version before
RESEAL = ["reseal.sealed", "reseal.stored", "reseal.proved"]
START = ["e3.opened", "e3.put", "e3.ready", "engine.ready"]     # after a death
FULL = ["full.create", "full.write", "full.sync", "full.rename", "full.folder"]


def points(op):
    out = ENGINE + WRITE
    if op != "create_app":
        out = out + KEEP
    return out + RESEAL if op == "reseal" else out


class Armed:
    """The page that all processes of a stack share."""
    BYTES = 64

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(4096))

    def arm(self, name, passing=1):
        with open(self.path, "r+b") as f:
            f.write(struct.pack("60sI", b"", 0))
            f.seek(0)
            f.write(struct.pack("60sI", name.encode(), passing))

    def fired(self):
        with open(self.path, "rb") as f:
            return struct.unpack("60sI", f.read(self.BYTES))[1] == 0


class Engine(Stack):
    """An engine and its helper alone, asked without relayctl."""

    def __init__(self, folder, ca, **options):
        folder.mkdir()
        self.armed = Armed(folder / "crash")
        self.link = None
        self.acked, self.keys = {}, []          # what was acknowledged, and works
        self.dead_keys = set()                  # revoked, or never stored
        self.unclear = []       # (app, version, key, secret, whether it would work)
        super().__init__(folder, ca, **{"redis": False, **options})

    def launch(self, name="relayd"):
        return self.own(Process(name, [PREFIX / "sbin/relayd", "-f", "-r", "e3", "-c",
                                       self.dir / "relay.conf"], self.dir,
                                {**os.environ, "RELAY_CRASH_POINT": str(self.armed.path)}))

    # -- the helper --

    def ask(self, message, record=None, door="helper.sock"):
        """One question; None: it died over it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(DEADLINE_S)
            try:
                s.connect(str(self.run / door))
                if record is None:
                    s.send(message.encode())
                else:
                    fd = os.memfd_create("record")
                    os.write(fd, record)
                    socket.send_fds(s, [message.encode()], [fd])
                    os.close(fd)
                return s.recv(65536).decode() or None
            except (ConnectionError, FileNotFoundError):
                return None

    def status(self, door="relayd.sock"):
        answer = self.ask("status", door=door)
        return json.loads(answer.partition(" ")[2]) if answer else {}

    def helper(self):
        return self.status("helper.sock")

    def answers(self):
        """A new link to an engine that serves."""
        if self.link:
            self.link.sock.close()
        self.link = None
        with contextlib.suppress(OSError, EOFError):
            self.link = rpc_client.connect(self, "admin")
            return self.link.call("Ping")["ready"] and self.helper().get("ready")

    def wait_ready(self):
        until("the engine is ready", self.answers)

    def stop(self):
        if self.link:
            self.link.sock.close()
        super().stop()

    # -- what is there --

    def on_disk(self):
        return {f.stem: f.read_bytes() for f in (self.dir / "e3").glob("*.rec")}

    def listed(self):
        return {app: version for app, version, *_ in self.link.call("ListApps")}

    def works(self, secret):
        with rpc_client.connect(self) as link:
            return link.status("Authenticate", {"apiKey": secret}) == "ok"

    # -- changes: each returns whether it was acknowledged --

    def store(self, app, change):
        answer = self.ask(f"store-record {app} {change['version']}", change["record"])
        return answer is not None and answer.split()[0] == "ok"

    def call(self, op, body):
        """None: refused, or the engine died over it."""
        try:
            return self.link.call_signed(op, body)
        except (EOFError, OSError):
            return None

    def create_app(self):
        change = self.call("CreateApp", {"name": "x"})
        if change is None:
            return False
        done = self.store(change["app"], change)
        if done:
            self.acked[change["app"]] = change["version"]
        return done

    def changed(self, app, change):
        done = self.store(app, change)
        if done:
            self.acked[app] = change["version"]
        return done

    def create_key(self):
        app = next(iter(self.acked))
        change = self.call("CreateKey", {"app": app, "scopes": []})
        if change is None:
            return False
        done = self.changed(app, change)
        if done:
            self.keys.append((app, change["key"], change["secret"]))
        else:
            self.unclear.append((app, change["version"], change["key"], change["secret"], True))
        return done

    def revoke_key(self):
        app, key, secret = self.keys[-1]
        change = self.call("RevokeKey", {"app": app, "key": key})
        if change is None:
            return False
        self.keys.pop()
        done = self.changed(app, change)
        if done:
            self.dead_keys.add(secret)
        else:
            self.unclear.append((app, change["version"], key, secret, False))
        return done

    def rotate(self):
        app = list(self.acked)[-1]
        change = self.call("RotateKeys", {"app": app, "curve": "r1"})
        return change is not None and self.changed(app, change)

    def reseal(self):
        answer = self.ask("reseal")
        return answer is not None and answer.split()[0] == "ok"

    # -- the judgement --

    def settle(self, versions):
        """What was not acknowledged is stored whole, or not at all; from now on it is
        held to that."""
        for app, version, key, secret, would_work in self.unclear:
            if (versions.get(app, 0) >= version) == would_work:
                self.keys.append((app, key, secret))
            else:
                self.dead_keys.add(secret)
        self.unclear = []

    def check(self):
        """-> faults."""
        out, listed = [], self.listed()
        versions = {app: record_reader.version(r) for app, r in self.on_disk().items()}
        self.settle(versions)
        if listed != versions:
            out.append(f"wrong: disk and engine differ: {versions} {listed}")
        out += [f"lost: {app} version {v}" for app, v in self.acked.items()
                if listed.get(app, 0) < v]
        out += [f"lost: key {key} of {app}" for app, key, secret in self.keys
                if not self.works(secret)]
        out += ["wrong: a key works that is revoked or was never stored"
                for secret in self.dead_keys if self.works(secret)]
        if any(f.suffix == ".tmp" for f in (self.dir / "e3").iterdir()):
            out.append("wrong: a leftover was not removed at the start")
        return out

    # -- one blow --

    def prepare(self, op):
        """What the change needs, made in peace."""
        if op == "revoke_key" and len(self.keys) < 2:
            assert self.create_key()
        if op == "rotate":              # an app takes seven of them
            assert self.create_app()
        if op == "reseal":
            self.next_key()

    def restart(self, name):
        pid = self.child(name)
        os.kill(pid, 9)
        until(f"{name} is another", lambda: self.child(name) not in (None, pid))
        self.wait_ready()

    def next_key(self):
        path = self.dir / "root.key.next"
        path.write_bytes(os.urandom(32))
        path.chmod(0o400)
        self.restart("e3d")

    def key_is_changed(self):
        """After a reseal: the next key alone opens everything."""
        (self.dir / "root.key.next").rename(self.dir / "root.key")
        self.restart("e3d")
        root = (self.dir / "root.key").read_bytes()
        for record in self.on_disk().values():
            record_reader.read(record, root)


def blow(stack, op, point):
    """-> (whether it was acknowledged, faults)"""
    stack.prepare(op)
    stack.armed.arm(point)
    done = getattr(stack, op)()
    until(f"{point} is passed in {op}", stack.armed.fired)
    stack.wait_ready()
    faults = stack.check()
    if op == "reseal":
        while not stack.reseal():       # who begins again reseals what is left
            stack.wait_ready()
        stack.key_is_changed()
        faults += stack.check()
    return done, [f"{op} at {point}: {f}" for f in faults]


@contextlib.contextmanager
def an_engine(tmp_path, ca, name, **options):
    """With two apps, and a key of the first."""
    stack = Engine(tmp_path / name, ca, **options)
    try:
        assert stack.create_app() and stack.create_app() and stack.create_key()
        yield stack
    finally:
        stack.stop()


def all_blows(stack, op):
    acked, faults = 0, []
    for point in points(op):
        done, more = blow(stack, op, point)
        acked += done
        faults += more
        if op != "reseal":              # in peace it works again
            stack.prepare(op)
            assert getattr(stack, op)(), f"{op} after {point}"
    return len(points(op)), acked, faults + stack.check()


@pytest.fixture
def with_points():
    """Skips where processes do not die at points."""
    if b"RELAY_CRASH_POINT\0" not in (PREFIX / "sbin/e3-helper").read_bytes():
        pytest.skip("built without --enable-crash-points")


def test_kill_9_at_each_point_of_each_change(tmp_path, ca, with_points, record_property):
    """Mostly they wait for restarts: all at once."""
    with contextlib.ExitStack() as opened:
        stacks = [opened.enter_context(an_engine(tmp_path, ca, op)) for op in OPS]
        with concurrent.futures.ThreadPoolExecutor(len(OPS)) as pool:
            ends = list(pool.map(all_blows, stacks, OPS))
    blows, acked = sum(n for n, *_ in ends), sum(a for _, a, _ in ends)
    faults = [f for *_, more in ends for f in more]
    record_property("measured", f"crash points: blows={blows} acknowledged={acked} "
                    f"wrong={sum('wrong:' in f for f in faults)} "
                    f"lost={sum('lost:' in f for f in faults)}")
    assert faults == []
    # Behind the first point of a write nobody may have been told; behind the
    # last everybody may.
    assert 0 < acked < blows


def test_a_disk_that_is_full_at_each_write_of_a_key(tmp_path, ca, with_points):
    with an_engine(tmp_path, ca, "full") as stack:
        pid = stack.child("e3-helper")
        for op in OPS[:4]:
            for point in FULL if op == "create_app" else FULL + ["full.link"]:
                stack.prepare(op)
                stack.armed.arm(point)
                assert not getattr(stack, op)(), f"{op} with {point} was acknowledged"
                assert stack.armed.fired()
                # What fsync of the folder did not confirm is loaded all the same.
                until("the engine has what the disk has",
                      lambda: not any("differ" in f for f in stack.check()))
                assert stack.check() == [], (op, point)
                stack.prepare(op)
                assert getattr(stack, op)(), f"{op} after {point}"
        assert stack.check() == []
        assert stack.child("e3-helper") == pid


def test_kill_9_while_it_starts(tmp_path, ca, with_points):
    """A second death, in what follows the first."""
    with an_engine(tmp_path, ca, "start") as stack:
        for victim in "e3d", "e3-helper":
            for point in START:
                stack.armed.arm(point)
                os.kill(stack.child(victim), 9)
                until(point, stack.armed.fired)
                stack.wait_ready()
                assert stack.check() == []


def test_kill_9_between_disk_and_redis(tmp_path, ca, with_points):
    """The copy is made in the end, and what another machine wrote is taken."""
    with an_engine(tmp_path, ca, "redis", redis=True) as stack:
        def copied():
            return all(stack.redis.cli("HEXISTS", "relay:apps", app) == "1"
                       for app in stack.acked) and stack.helper().get("replicated")

        until("all are copied", copied)
        stack.armed.arm("push.begun")
        stack.create_key()              # on disk, and perhaps not told
        until("push.begun", stack.armed.fired)
        stack.wait_ready()
        until("all are copied", copied)
        assert stack.check() == []
        for point in "pull.opened", "pull.taken":
            app = next(iter(stack.acked))
            change = stack.call("CreateKey", {"app": app, "scopes": []})
            record = tmp_path / "record"
            record.write_bytes(change["record"])
            stack.armed.arm(point)
            with open(record, "rb") as f:       # as another machine's helper
                subprocess.run(["redis-cli", "-p", str(stack.redis.port), "-x", "HSET",
                                "relay:apps", app], stdin=f, check=True, capture_output=True)
            stack.redis.cli("PUBLISH", "relay:updates", f"apps {app}")
            until(point, stack.armed.fired)
            stack.wait_ready()
            until("the key of another machine works", lambda: stack.works(change["secret"]))
            stack.acked[app] = change["version"]
            assert stack.check() == []
