"""Keys are never lost: what relayctl printed as made opens its tokens after any
crash; what it did not print never sealed anything."""
import itertools
import json
import os
import random
import signal
import subprocess
import threading

import record_reader
import token_codec
from conftest import PREFIX, pid_gone, seal, tokens_in, until

LOOPS = int(os.environ.get("RELAY_CRASH_LOOPS", "50"))
VICTIMS = ["relayd", "e3d", "e3-helper"]


def create_app(stack, name):
    """relayctl app create as a process of its own, so that crashes can hit it."""
    return subprocess.Popen([str(PREFIX / "bin/relayctl"), "-c", str(stack.dir / "relay.conf"),
                             "app", "create", name, "--json"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def records(stack):
    root = (stack.dir / "root.key").read_bytes()
    out = {}
    for f in (stack.dir / "e3").glob("*.rec"):
        app, version, *_ = record_reader.read(f.read_bytes(), root)
        out[app] = version
    return out


def kill_9(stack, victim):
    pid = stack.relayd.pid if victim == "relayd" else stack.child(victim)
    if pid:
        os.kill(pid, signal.SIGKILL)
    return pid


def bring_back(stack, victim, pid):
    if victim == "relayd":
        stack.relayd.wait()
        stack.start()
    else:
        until(f"{victim} is back", lambda: stack.child(victim) not in (None, pid))
        stack.wait_ready()


def test_kill_9_at_each_step_of_app_create(make_stack):
    """Each process in its turn: a new relayd does not know who crashed before, and
    does not make them wait."""
    stack = make_stack()
    printed, unclear = [], 0
    steps = max(1, LOOPS // len(VICTIMS) + 1)
    rng = random.Random(1)
    for i, victim in itertools.product(range(steps), VICTIMS):
        proc = create_app(stack, f"crash-{victim}-{i}")
        # A step is some milliseconds long; the instants sweep over all of them.
        threading.Event().wait(i / steps * 0.12 + rng.random() * 0.01)
        pid = kill_9(stack, victim)
        out, err = proc.communicate(timeout=60)
        if proc.returncode == 0:
            printed.append(json.loads(out)["app"])
        else:
            # 1: nothing was made; 4: it may have been, and relayctl cannot know
            assert proc.returncode in (1, 4) and err.startswith(b"relayctl: "), (out, err)
            unclear += 1
        bring_back(stack, victim, pid)
    print(f"{steps} kills of each, {len(printed)} printed, {unclear} refused")
    on_disk = records(stack)
    listed = {a["app"] for a in json.loads(stack.ctl("app", "list", "--json").stdout)}
    for app in printed:
        assert app in on_disk and app in listed
        token = stack.ctl("encrypt", "--app", app, data=b"value").stdout.decode().strip()
        pairs = record_reader.pairs((stack.dir / "e3" / f"{app}.rec").read_bytes(),
                                    (stack.dir / "root.key").read_bytes())
        assert token_codec.open_token(token, pairs)[1] == b"value"
    # The engine serves exactly what is safe on disk.
    assert listed == set(on_disk)


def test_keys_survive_a_restart_of_everything(stack, make_origin):
    origin = make_origin()
    stack.relay("shop.test", origin, [seal("POST", "/", "$.v")])
    stack.post("shop.test", "/", b'{"v":"before"}')
    token, = tokens_in(origin.last().body)
    key = stack.app()[1]
    stack.relayd.end()
    stack.start()
    out = stack.ctl("decrypt", "--api-key", key, data=token.encode()).stdout
    assert b"before" in out


def test_a_stale_record_is_a_conflict_and_never_overwrites(stack):
    app, _ = stack.app()
    path = stack.dir / "e3" / f"{app}.rec"
    before = path.read_bytes()
    # two key creations race from the same version: both end as further versions
    procs = [subprocess.Popen([str(PREFIX / "bin/relayctl"), "-c", str(stack.dir / "relay.conf"),
                               "key", "create", app, "--json"], stdout=subprocess.PIPE)
             for _ in range(4)]
    keys = [json.loads(p.communicate(timeout=60)[0])["secret"] for p in procs if p.wait() == 0]
    assert len(keys) == 4 and len(set(keys)) == 4
    root = (stack.dir / "root.key").read_bytes()
    assert record_reader.read(path.read_bytes(), root)[1] == \
        record_reader.read(before, root)[1] + 4
    token = stack.ctl("encrypt", "--app", app, data=b"v").stdout.strip()
    for key in keys:
        assert b"v" in stack.ctl("decrypt", "--api-key", key, data=token).stdout


def test_revoked_and_foreign_keys_do_not_open(stack):
    app, key = stack.app()
    other, other_key = stack.app("other")
    assert other != app
    token = stack.ctl("encrypt", "--app", app, data=b"v").stdout.strip()
    r = stack.ctl("decrypt", "--api-key", other_key, data=token, code=None)
    assert r.returncode != 0 and b"v" != r.stdout.strip()
    made = json.loads(stack.ctl("key", "create", app, "--json").stdout)
    stack.ctl("key", "revoke", app, made["key"])
    r = stack.ctl("decrypt", "--api-key", made["secret"], data=token, code=2)
    assert b"ev:key" not in r.stderr
    assert b"v" in stack.ctl("decrypt", "--api-key", key, data=token).stdout
    listed = json.loads(stack.ctl("key", "list", app, "--json").stdout)
    assert {k["key"]: k["state"] for k in listed}[made["key"]] == "revoked"


def test_redis_has_a_copy_and_a_lost_disk_is_refilled(stack):
    app, key = stack.app()
    until("replicated", lambda: stack.redis.cli("HEXISTS", "relay:apps", app).endswith("1"))
    token = stack.ctl("encrypt", "--app", app, data=b"kept").stdout.strip()
    stack.relayd.end()
    for f in (stack.dir / "e3").glob("*.rec"):
        f.unlink()
    stack.start()
    until("the app is back", lambda: app in stack.ctl("app", "list", code=None).stdout.decode())
    assert b"kept" in stack.ctl("decrypt", "--api-key", key, data=token).stdout
    # and nothing is deleted because Redis lacks it
    stack.redis.cli("FLUSHALL")
    stack.relayd.end()
    stack.start()
    assert b"kept" in stack.ctl("decrypt", "--api-key", key, data=token).stdout
    until("copied again", lambda: stack.redis.cli("HEXISTS", "relay:apps", app).endswith("1"))


def test_secrets_are_nowhere_they_should_not_be(stack):
    app, key = stack.app()
    root = (stack.dir / "root.key").read_bytes()
    assert len(root) == 32 and (stack.dir / "root.key").stat().st_mode & 0o777 == 0o400
    assert key not in stack.logs()
    for f in (stack.dir / "e3").iterdir():
        assert key.encode() not in f.read_bytes()
    for name in ("worker1", "feed", "e3d", "e3-helper"):
        pid = stack.child(name)
        environ = open(f"/proc/{pid}/environ", "rb").read()
        assert key.encode() not in environ
        limits = open(f"/proc/{pid}/limits").read()
        assert "Max core file size        0" in limits
    assert not pid_gone(stack.child("e3d"))


def test_a_key_that_redis_does_not_take_is_not_confirmed(make_stack):
    """require_replica: on disk and loaded, but no copy: exit 4, and it says so."""
    stack = make_stack(e3_conf="require_replica = true\n")
    app = json.loads(stack.ctl("app", "create", "--json").stdout)["app"]
    # What is refused before a byte is written did not happen.
    stack.redis.cli("ACL", "SETUSER", "default", "-eval")
    r = stack.ctl("key", "create", app, code=1)
    assert r.stdout == b"" and b"redis is away or refuses; nothing was created" in r.stderr
    assert json.loads(stack.ctl("key", "list", app, "--json").stdout) == []
    stack.redis.cli("ACL", "SETUSER", "default", "+eval", "-hset")
    r = stack.ctl("key", "create", app, code=4)
    assert r.stdout == b"" and b"it may have taken effect" in r.stderr
    assert len(json.loads(stack.ctl("key", "list", app, "--json").stdout)) == 1
    stack.redis.cli("ACL", "SETUSER", "default", "+hset")


def test_a_record_in_redis_that_cannot_be_opened_is_told(make_stack):
    """A higher version under another root key: a fork, or somebody's lie.  A key
    can still be revoked here, and whoever does learns that it is only here."""
    stack = make_stack()
    app = json.loads(stack.ctl("app", "create", "--json").stdout)["app"]
    key = json.loads(stack.ctl("key", "create", app, "--json").stdout)
    theirs = record_reader.write(app, 9, [("r1", bytes(31) + b"\1")], os.urandom(32))
    subprocess.run(["redis-cli", "-p", str(stack.redis.port), "-x", "HSET", "relay:apps", app],
                   input=theirs, check=True, capture_output=True)
    stack.redis.cli("PUBLISH", "relay:updates", f"apps {app}")
    until("it was seen", lambda: json.loads(
        stack.ctl("status", "--json").stdout)["helper"]["forked"] == 1)
    r = stack.ctl("key", "revoke", app, key["key"], code=4)
    assert b"another record of this app" in r.stderr and b"on this machine alone" in r.stderr
    states = {k["key"]: k["state"]
              for k in json.loads(stack.ctl("key", "list", app, "--json").stdout)}
    assert states == {key["key"]: "revoked"}
    assert stack.redis.cli("HSTRLEN", "relay:apps", app) == str(len(theirs))
