"""Two machines that changed one app while one of them could not see Redis: each has
what the other lacks.  Where that is sure neither record takes the other's place, and
else what is replaced is kept.  Peers: as in test_two_machines.py."""
import json
import os
import signal
import subprocess

from conftest import until
from test_two_machines import both_have, machines, name_of, new_key, opened      # noqa: F401


def forked(stack):
    return stack.status()["helper"]["forked"]


def listed(stack, app):
    return {k["key"]: k["state"] for k in
            json.loads(stack.ctl("key", "list", app, "--json").stdout)}


def cut_off(b, wire):
    with b.logs_more("redis down"):
        wire.cut()


def kept(stack, app):
    """Records that others' replaced, or that ours did."""
    return list((stack.dir / "e3").glob(f"{app}.*.old"))


def apart(a, b, wire, here, there):
    """`here` keys made on A, `there` on B, which is cut off; then they meet.
    (app, its token, A's secrets, B's)"""
    app, _ = a.app()
    both_have(a, b, app)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    cut_off(b, wire)
    secrets = [[new_key(m, app)[1] for _ in range(n)] for m, n in ((a, here), (b, there))]
    until("a copied it", lambda: a.status()["helper"]["pending_replication"] == 0)
    wire.mend()
    return app, token, *secrets


def works_on_both(a, b, token, secrets):
    until("the keys work on both", lambda: all(
        opened(m, s, token) == "value" for m in (a, b) for s in secrets))


def test_what_the_one_with_more_changes_replaces_is_kept(machines):              # noqa: F811
    a, b, wire = machines
    with b.logs_more("record of redis may have been made apart from ours"):
        app, token, _, of_b = apart(a, b, wire, here=1, there=3)
    works_on_both(a, b, token, of_b)
    theirs, = kept(b, app)
    assert theirs.name.split(".")[1] == "3", "A's, with the key that A made"
    assert (forked(a), forked(b)) == (0, 0)


def test_what_the_one_with_less_changes_had_is_kept(machines):                   # noqa: F811
    a, b, wire = machines
    with b.logs_more("record of redis replaces ours"):
        app, token, of_a, _ = apart(a, b, wire, here=3, there=1)
    works_on_both(a, b, token, of_a)
    ours, = kept(b, app)
    assert ours.name.split(".")[1] == "3"
    assert (forked(a), forked(b)) == (0, 0) and kept(a, app) == []


def test_a_lost_confirmation_is_no_fork(machines):                               # noqa: F811
    """Redis took it, and the machine did not hear so."""
    a, b, wire = machines
    app, _ = a.app()
    both_have(a, b, app)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    cut_off(b, wire)
    secrets = [new_key(b, app)[1]]
    with open(b.dir / f"e3/{app}.rec", "rb") as record:
        subprocess.run(["redis-cli", "-p", str(a.redis.port), "-x", "HSET", "relay:apps", app],
                       stdin=record, check=True, capture_output=True)
    secrets.append(new_key(b, app)[1])
    wire.mend()
    works_on_both(a, b, token, secrets)
    assert (forked(a), forked(b)) == (0, 0)


def test_changes_of_one_machine_alone_are_copied(machines):                      # noqa: F811
    a, b, wire = machines
    app, first = a.app()
    both_have(a, b, app)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    cut_off(b, wire)
    secrets = [first, *(new_key(b, app)[1] for _ in range(3))]
    base = b.dir / f"e3/{app}.base"
    assert base.exists()
    helper = b.child("e3-helper")
    os.kill(helper, signal.SIGKILL)             # what it was made from is on disk
    until("a new helper", lambda: b.child("e3-helper") not in (None, helper))
    wire.mend()
    until("all keys work on both", lambda: all(
        opened(m, s, token) == "value" for m in (a, b) for s in secrets))
    assert (forked(a), forked(b)) == (0, 0)
    until("that is over", lambda: not base.exists())


def test_a_revoked_key_does_not_come_back(machines):                             # noqa: F811
    """One version, two contents: neither replaces the other, whatever is changed."""
    a, b, wire = machines
    app, _ = a.app()
    key, secret = new_key(a, app)
    both_have(a, b, app)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    cut_off(b, wire)
    a.ctl("key", "revoke", app, key, "--timeout", "1", code=4)
    of_b = [new_key(b, app)[1]]                 # the same version
    with b.logs_more("record forked"):
        wire.mend()
    assert (forked(a), forked(b)) == (0, 1)
    for _ in range(2):                          # what B does now stays with B
        r = b.ctl("key", "create", app, "--json", code=4)
        assert b"redis holds another record of this app" in r.stderr and b"alone" in r.stderr
    # Also after a death of the helper, which compares all of it anew.
    helper = b.child("e3-helper")
    os.kill(helper, signal.SIGKILL)
    until("a new helper", lambda: b.child("e3-helper") not in (None, helper))
    until("it knows", lambda: forked(b) == 1)
    assert opened(a, secret, token) is None and listed(a, app)[key] == "revoked"
    assert opened(b, of_b[0], token) == "value" and opened(a, of_b[0], token) is None
    # B has not confirmed it, and is named.
    r = a.ctl("key", "revoke", app, key, "--timeout", "2", code=4)
    assert name_of(b).encode() in r.stderr
    # As e3-helper(8) says: B's goes aside, and B takes what Redis has.
    b.relayd.end()
    for suffix in ("rec", "base"):
        (b.dir / f"e3/{app}.{suffix}").rename(b.dir / f"e3/{app}.aside.{suffix}")
    b.start()
    both_have(a, b, app)
    until("both have the same keys", lambda: listed(a, app) == listed(b, app))
    assert forked(b) == 0
