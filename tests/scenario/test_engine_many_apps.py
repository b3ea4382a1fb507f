"""10,000 apps: the engine is killed, and serves all of them again within seconds.
Peers: one installation with Redis, whose records were written by record_reader."""
import hashlib
import os
import signal
import struct
import time

import pytest

import record_reader
import token_codec
from conftest import Stack, sanitizer_check, until
from rpc_client import Refused, connect, decrypt, encrypt

APPS = 10_000
PAIRS = 32              # different ones; the engine derives each app's all the same
READY_S = 30            # generous; bench/start.py tells the time without sanitizers


@pytest.fixture(scope="module")
def many(tmp_path_factory, ca):
    """(stack, {app: record}): the files lie there before the first start."""
    stack = Stack(tmp_path_factory.mktemp("stack"), ca, workers=1, start=False)
    root = (stack.dir / "root.key").read_bytes()
    (stack.dir / "e3").mkdir(mode=0o700)
    pairs = [[(curve, hashlib.sha256(b"%s %d" % (curve.encode(), i)).digest())
              for curve in ("r1", "k1")] for i in range(PAIRS)]
    records = {}
    for i in range(APPS):
        app = f"app_{i:012x}"
        key = [f"key_{i:012x}", hashlib.sha256(secret_of(app)).digest(), False, 0, []]
        records[app] = record_reader.write(app, 1, pairs[i % PAIRS], root, [key])
        (stack.dir / f"e3/{app}.rec").write_bytes(records[app])
    stack.start()
    yield stack, records
    errors = []
    stack.stop()
    sanitizer_check(stack, errors)
    assert not errors, "\n".join(errors)


def secret_of(app):
    return b"ev:key:1:test:" + app.encode()


def digest(records):
    """As docs/rpc.md has it."""
    sum = hashlib.sha256()
    for app in sorted(records):
        version = record_reader.version(records[app])
        sum.update(app.encode() + b"\0" + struct.pack(">Q", version) +
                   hashlib.sha256(records[app]).digest())
    return sum.digest()


def ready(stack):
    try:
        with connect(stack) as link:
            return link.call("Ping")["ready"]
    except (OSError, EOFError, Refused):
        return False


@pytest.mark.alone
def test_all_are_there(many):
    stack, records = many
    with connect(stack, "admin") as admin:
        counts = admin.call("GetStatistics")
        assert (counts["apps"], counts["keys"], counts["pairs"]) == (APPS, APPS, 2 * APPS)
        assert counts["checksum"] == digest(records)
        assert sorted(row[0] for row in admin.call("ListApps")) == sorted(records)


@pytest.mark.alone
def test_kill_9_and_all_serve_again(many, record_property):
    stack, records = many
    sample = list(records)[::APPS // 50]
    with connect(stack) as link:
        tokens = {app: link.call("Encrypt", encrypt(app, [b"kept"]))[0][1] for app in sample}
    for _ in range(2):
        pid, start = stack.child("e3d"), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        until("the engine is ready again", lambda: ready(stack), READY_S)
        took = time.monotonic() - start
        record_property("measured", f"{APPS} apps: kill -9 to ready {took * 1000:.0f} ms")
        assert stack.child("e3d") not in (None, pid)
        with connect(stack) as link:
            counts = link.call("GetStatistics")
            assert (counts["apps"], counts["checksum"]) == (APPS, digest(records))
            for app, token in tokens.items():
                assert link.call("Decrypt", decrypt([token], apiKey=secret_of(app))) == \
                    [[0, 0, b"kept"]]


@pytest.mark.alone
def test_one_app_more(many):
    """A change beside so many is as quick as any, and its keys work at once."""
    stack, records = many
    app, key = stack.app()
    assert app not in records
    token = token_codec.make(stack.app_keys()["r1"][0].public_key(), "new")
    with connect(stack) as link:
        assert link.call("Decrypt", decrypt([token], apiKey=key)) == [[0, 0, b"new"]]
        assert link.call("GetStatistics")["apps"] == APPS + 1
    until("Redis has them all", lambda: stack.redis.cli("HLEN", "relay:apps") == str(APPS + 1), 60)
