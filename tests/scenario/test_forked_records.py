"""Two machines that changed one app while one of them could not see Redis: each has
what the other lacks, so neither record takes the other's place.  Peers: as in
test_two_machines.py."""
import json
import os
import signal

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


def apart(a, b, wire, here, there):
    """`here` keys made on A, `there` on B, which is cut off; then they meet.
    (app, its token, A's secrets, B's)"""
    app, _ = a.app()
    both_have(a, b, app)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    cut_off(b, wire)
    secrets = [[new_key(m, app)[1] for _ in range(n)] for m, n in ((a, here), (b, there))]
    until("a copied it", lambda: a.status()["helper"]["pending_replication"] == 0)
    with b.logs_more("record forked"):
        wire.mend()
    return app, token, *secrets


def nothing_is_lost(a, b, token, of_a, of_b):
    assert all(opened(a, s, token) == "value" for s in of_a)
    assert all(opened(b, s, token) == "value" for s in of_b)
    assert not any(opened(a, s, token) for s in of_b)
    assert not any(opened(b, s, token) for s in of_a)


def test_the_one_with_more_changes_does_not_win(machines):                       # noqa: F811
    a, b, wire = machines
    app, token, of_a, of_b = apart(a, b, wire, here=1, there=3)
    nothing_is_lost(a, b, token, of_a, of_b)
    assert (forked(a), forked(b)) == (0, 1)
    # A change there stays there, and says so.
    r = b.ctl("key", "create", app, code=4)
    assert b"redis holds another record of this app" in r.stderr and b"alone" in r.stderr
    # It is known after a death of the helper, and not told as an end of the fork.
    helper = b.child("e3-helper")
    os.kill(helper, signal.SIGKILL)
    until("a new helper", lambda: b.child("e3-helper") not in (None, helper))
    until("it knows", lambda: forked(b) == 1)
    nothing_is_lost(a, b, token, of_a, of_b)
    # A's changes go on, and B's record is still not touched.
    of_a.append(new_key(a, app)[1])
    until("a copied it", lambda: a.status()["helper"]["pending_replication"] == 0)
    nothing_is_lost(a, b, token, of_a, of_b)


def test_the_one_with_less_changes_is_not_replaced(machines):                    # noqa: F811
    a, b, wire = machines
    app, token, of_a, of_b = apart(a, b, wire, here=3, there=1)
    nothing_is_lost(a, b, token, of_a, of_b)
    assert (forked(a), forked(b)) == (0, 1)
    # As e3-helper(8) says: B's goes aside, and B takes what Redis has.
    b.relayd.end()
    for suffix in ("rec", "base"):
        (b.dir / f"e3/{app}.{suffix}").rename(b.dir / f"e3/{app}.aside.{suffix}")
    b.start()
    both_have(a, b, app)
    until("nothing is forked", lambda: forked(b) == 0)
    until("both have the same keys", lambda: listed(a, app) == listed(b, app))
    assert all(opened(m, s, token) == "value" for m in (a, b) for s in of_a)


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
    a, b, wire = machines
    app, _ = a.app()
    key, secret = new_key(a, app)
    both_have(a, b, app)
    token = a.ctl("encrypt", "--app", app, data=b"value").stdout
    cut_off(b, wire)
    a.ctl("key", "revoke", app, key, "--timeout", "1", code=4)
    new_key(b, app)                             # the same version
    with b.logs_more("record forked"):
        wire.mend()
    assert opened(a, secret, token) is None and listed(a, app)[key] == "revoked"
    # What B does now stays with B.
    assert b.ctl("key", "create", app, code=4).stderr
    until("a has compared", lambda: a.status()["helper"]["pending_replication"] == 0)
    assert opened(a, secret, token) is None and listed(a, app)[key] == "revoked"
    # B has not confirmed it, and is named.
    r = a.ctl("key", "revoke", app, key, "--timeout", "2", code=4)
    assert name_of(b).encode() in r.stderr
