"""The engine under broken frames, greedy and lying peers, load and crashes: it
refuses, stays bounded, stays quick for the others, and comes back."""
import contextlib
import os
import random
import signal
import ssl
import statistics
import struct
import time

import msgpack
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import token_codec
from conftest import pid_gone, until
from rpc_client import FRAME_MAX, PIECE_MAX, Refused, connect, decrypt, encrypt

FIELDS_MAX = 65_536
CHANGED_FRAMES = 10_000
VALUES_MAX = 524_288


@pytest.fixture
def engine(shared):
    """The shared stack; its engine must be the same process afterwards."""
    shared.app()
    pid = shared.child("e3d")
    yield shared
    assert shared.child("e3d") == pid, "the engine died"
    with connect(shared) as link:
        assert link.call("Ping")["ready"] is True


@pytest.fixture
def link(engine):
    with connect(engine) as link:
        yield link


def pack(*values):
    return b"".join(msgpack.packb(v) for v in values)


def call(op, body, id=1, version=1):
    """A call whose body is already encoded."""
    return b"\x94" + pack(version, id, op) + body


# ---- broken frames ------------------------------------------------------------------

ENCRYPT_HEAD = b"\x81" + pack("fields")
BROKEN = [
    # (what, payload, status with id 1, or "closed")
    ("empty map for an array", b"\x80", "closed"),
    ("empty array", b"\x90", "closed"),
    ("version alone", b"\x91\x01", "closed"),
    ("nil", b"\xc0", "closed"),
    ("never used type", b"\xc1", "closed"),
    ("id 0", call("Ping", b"\x80", 0), "closed"),
    ("id negative", call("Ping", b"\x80", -1), "closed"),
    ("id text", call("Ping", b"\x80", "1"), "closed"),
    ("id float", call("Ping", b"\x80", 1.0), "closed"),
    ("id nil", call("Ping", b"\x80", None), "closed"),
    ("three elements", b"\x93" + pack(1, 1, "Ping"), "bad-request"),
    ("six elements", b"\x96" + pack(1, 1, "Ping", {}, None, None), "bad-request"),
    ("version 2", call("Ping", b"\x80", version=2), "bad-request"),
    ("version text", call("Ping", b"\x80", version="1"), "bad-request"),
    ("op a number", call(7, b"\x80"), "bad-request"),
    ("op nil", call(None, b"\x80"), "bad-request"),
    ("op empty", call("", b"\x80"), "unknown-op"),
    ("op unknown", call("Ping2", b"\x80"), "unknown-op"),
    ("op in other letters", call("ping", b"\x80"), "unknown-op"),
    ("op with NUL", call("Ping\0", b"\x80"), "unknown-op"),
    ("op long", call("P" * 100_000, b"\x80"), "unknown-op"),
    ("signature a number", b"\x95" + pack(1, 1, "Ping", {}, 7), "bad-request"),
    ("bytes after the end", call("Ping", b"\x80") + b"\0", "bad-request"),
    ("a second value", call("Ping", b"\x80") * 2, "bad-request"),
    ("body missing", call("Ping", b""), "bad-request"),
    ("body cut", call("Encrypt", b"\x81\xa3ap"), "bad-request"),
    ("body no map", call("PublicKeys", b"\x90"), "bad-request"),
    ("key no text", call("PublicKeys", b"\x81\x01\x02"), "bad-request"),
    ("ext", call("Ping", b"\x81\xa1x\xd4\x01\x00"), "bad-request"),
    ("ext 8", call("Ping", b"\x81\xa1x\xc7\x01\x05\x00"), "bad-request"),
    ("timestamp", call("Ping", b"\x81\xa1x\xd6\xff\0\0\0\0"), "bad-request"),
    ("never used type inside", call("Ping", b"\x81\xa1x\xc1"), "bad-request"),
    ("array lies", call("Encrypt", ENCRYPT_HEAD + b"\xdd\xff\xff\xff\xff"), "bad-request"),
    ("array lies by one", call("Encrypt", ENCRYPT_HEAD + b"\x92\x92\0\xa0"), "bad-request"),
    ("map lies", call("Ping", b"\xdf\xff\xff\xff\xff"), "bad-request"),
    ("bin lies", call("PublicKeys", b"\x81\xa3app\xc6\xff\xff\xff\xff" + b"x" * 100), "bad-request"),
    ("str lies", call("PublicKeys", b"\x81\xa3app\xdb\x7f\xff\xff\xff"), "bad-request"),
    ("150 million elements", call("Ping", b"\x81\xa1x\xdd\x08\xf0\xd1\x80"), "bad-request"),
    ("too deep", call("Ping", b"\x81\xa1x" + b"\x91" * 7 + b"\xc0"), "limit"),
    ("much too deep", call("Ping", b"\x91" * 100_000 + b"\xc0"), "limit"),
    ("too many values", call("Ping", b"\x81\xa1x\xdd" + struct.pack(">I", VALUES_MAX) +
                             b"\xc0" * VALUES_MAX), "limit"),
    ("65,537 fields", call("Encrypt", pack(encrypt("a", [b""] * (FIELDS_MAX + 1)))), "limit"),
    ("65,537 tokens", call("Decrypt", pack(decrypt([b""] * (FIELDS_MAX + 1), app="a"))), "limit"),
]


@pytest.mark.parametrize("payload,want", [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_broken_calls(engine, link, payload, want):
    link.open[1] = []
    link.send_payload(payload)
    if want == "closed":
        assert link.closed()
        return
    frame = link.frame()
    assert (frame.id, frame.status, frame.more) == (1, want, False)
    link.last_id = 1
    assert link.status("Ping") == "ok", "the link stays"


def test_what_is_still_allowed(engine, link):
    """Just below the limits, and every spelling of MessagePack."""
    app = engine.app()[0]
    deepest = b"\x81\xa1x" + b"\x91" * 6 + b"\xc0"
    long_forms = (b"\xdd\0\0\0\x04" + b"\xcf" + bytes(7) + b"\x01" + b"\xcf" + bytes(7) + b"\x02" +
                  b"\xda\0\x0aPublicKeys" + b"\xdf\0\0\0\x03" +
                  b"\xd9\x03app" + b"\xc6" + struct.pack(">I", len(app)) + app.encode() +
                  b"\xa3app\xa4none" + b"\xa3new\x91\xcb" + bytes(8))
    link.open = {1: [], 2: [], (1 << 64) - 1: []}
    link.send_payload(call("Ping", deepest))
    link.send_payload(long_forms)
    link.send_payload(call("Ping", b"\x80", id=(1 << 64) - 1))
    assert link.answer(2)["app"] == app
    assert link.answer(1)["ready"] and link.answer((1 << 64) - 1)["ready"]
    link.last_id = 2
    assert len(link.call("Encrypt", encrypt(app, [b""] * FIELDS_MAX))) == FIELDS_MAX
    assert link.call("Encrypt", encrypt(app, [])) == []
    assert link.call("Decrypt", decrypt([], app=app)) == []


@pytest.mark.parametrize("length", [0, FRAME_MAX + 1, 0x7fffffff, 0xffffffff], ids=hex)
def test_impossible_lengths_close_the_link(engine, link, length):
    link.send_bytes(struct.pack(">I", length))
    assert link.closed()


def test_frames_that_are_cut_or_come_in_drops(engine):
    app = engine.app()[0]
    payload = call("Encrypt", pack(encrypt(app, [b"some value", (1, b"42", b"role")])))
    frame = struct.pack(">I", len(payload)) + payload
    for cut in range(1, len(frame)):
        with connect(engine) as link:
            link.send_bytes(frame[:cut])
    with connect(engine) as link:
        link.open[1] = []
        for i in range(len(frame)):
            link.send_bytes(frame[i:i + 1])
        assert len(link.answer(1)) == 2
        # an EOF inside a frame: nothing is answered, nothing is carried out
        link.send_bytes(frame[:-1])
        link.end()
        assert link.closed()


def good_calls(engine):
    """(op, encoded body) of every operation, with all that it can carry."""
    app, key = engine.app()
    token = token_codec.make(engine.app_keys()["r1"][0].public_key(), "v", role="a-role")
    record = (engine.dir / f"e3/{app}.rec").read_bytes()
    rule = [True, 1, ["*.shop.test"], ["192.0.2.0/24"], 60]
    pair = {"app": app, "pair": "pair_000000000000"}
    bodies = {
        "Ping": {}, "GetStatistics": {}, "Cancel": {"id": 3}, "Challenge": {}, "Checksum": {},
        "Encrypt": encrypt(app, [b"v", (2, b"true"), (1, b"7", b"a-role")]),
        "Decrypt": decrypt([token, b"x"], apiKey=key), "Authenticate": {"apiKey": key},
        "PublicKeys": {"app": app}, "LoadRecords": {"records": [record]},
        "SetReady": {"checksum": bytes(32)}, "SetDraining": {"on": False},
        "Reseal": {"app": app}, "Unlock": {"key": bytes(32)}, "Attest": {"nonce": bytes(32)},
        "ListApps": {}, "ListKeys": {"app": app}, "ListPairs": {"app": app},
        "ListRoles": {"app": app}, "CreateApp": {"name": "x"},
        "CreateKey": {"app": app, "scopes": ["decrypt"], "expires_ms": 1 << 42},
        "RevokeKey": {"app": app, "key": "key_000000000000"},
        "RotateKeys": {"app": app, "curve": "k1"}, "ActivateKey": pair, "RetireKey": pair,
        "DestroyKey": pair, "SetRoles": {"app": app, "roles": [["a-role", False, [rule]]]},
        "Rewrap": {"app": app, "curve": "k1", "tokens": [[token]]}}
    return [(op, msgpack.packb(body)) for op, body in bodies.items()]


def changed(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] = rng.choice((0, 0x80, 0x91, 0xc0, 0xc6, 0xdd, 0xff,
                                                     rng.randrange(256)))
    if rng.randrange(8) == 0:
        at = rng.randrange(len(data))
        data[at:at] = data[rng.randrange(len(data)):][:rng.randrange(40)]
    return bytes(data)


@pytest.mark.parametrize("role", ["worker", "helper", "admin"])
def test_changed_frames(engine, role):
    """Any answer or a closed link, never a wrong frame or a crash."""
    rng, calls, closed = random.Random(role), good_calls(engine), 0
    link = connect(engine, role)
    for _ in range(CHANGED_FRAMES):
        op, body = rng.choice(calls)
        payload = b"\x95" + pack(1, 1, op) + body + pack(b"s" * 70)
        try:
            link.send_payload(changed(rng, payload))
            link.send("Ping", id=1 << 40)
            while link.receive().id != 1 << 40:
                pass
        except (EOFError, ConnectionError, ssl.SSLError):
            closed += 1
            link.sock.close()
            link = connect(engine, role)
    assert 0 < closed < CHANGED_FRAMES / 2, "most have an id to answer to"
    link.sock.close()
    with connect(engine, "helper") as helper:
        helper.call("SetDraining", {"on": False})       # one may have meant that


def test_changed_bodies_under_a_good_signature(engine):
    """What only an admin can send wrongly."""
    rng, calls = random.Random(9), good_calls(engine)
    with open(engine.dir / "link/admin.key", "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)
    with connect(engine, "admin") as link:
        before = link.call("GetStatistics")["refused_signature"]
        records = {f: f.read_bytes() for f in (engine.dir / "e3").glob("*.rec")}
        for _ in range(CHANGED_FRAMES // 5):
            op, body = rng.choice(calls[-12:])
            challenge = link.call("Challenge")["challenge"]
            id = link.last_id = link.last_id + 1
            signed = pack(id, op) + changed(rng, body)
            link.open[id] = []
            link.send_payload(b"\x95\x01" + signed + pack(key.sign(
                challenge + signed, ec.ECDSA(hashes.SHA256()))))
            with contextlib.suppress(Refused):
                link.answer(id)
        assert link.call("GetStatistics")["refused_signature"] == before
        assert {f: f.read_bytes() for f in (engine.dir / "e3").glob("*.rec")} == records


def test_one_id_twice_in_flight(engine, link):
    """Callers must not; an engine that is called so survives and answers both."""
    body = encrypt(engine.app()[0], [b"v"] * 3000, scope="field")
    for _ in range(2):
        link.send("Encrypt", body, id=9)
    link.send("Cancel", {"id": 9}, id=10)
    ends = 0
    while ends < 2:
        frame = link.receive()
        ends += frame.id == 9 and not frame.more


# ---- many calls at once --------------------------------------------------------------

def test_replies_come_in_any_order_and_large_ones_in_pieces(engine, link):
    app, keys = engine.app()[0], engine.app_keys()
    # All is sent before anything is read: the big one must take its time.
    big = link.send("Encrypt", encrypt(app, [b"%06d" % i for i in range(8000)], "k1", "field"))
    small = [link.send("Encrypt", encrypt(app, [b"%d" % i])) for i in range(20)]
    long = link.send("Encrypt", encrypt(app, [b"a", b"x" * 300_000, b"b"]))
    while len(link.done) < 22:
        link.frame()
    order = list(link.done)
    assert order != sorted(order) and order.index(big) > order.index(small[0])
    for id in (big, long):
        pieces = link.open[id]
        assert len(pieces) > 1 and [p.more for p in pieces] == [True] * (len(pieces) - 1) + [False]
        assert all(p.bytes <= PIECE_MAX or len(p.body) == 1 for p in pieces)
    for i, id in enumerate(small):
        (_, token), = link.answer(id)
        assert token_codec.open_token(token.decode(), keys)[1] == b"%d" % i
    answer = link.answer(big)
    assert len(answer) == 8000
    opened = link.call("Decrypt", decrypt([token for _, token in answer], app=app))
    assert [value for _, _, value in opened] == [b"%06d" % i for i in range(8000)]
    (_, a), (_, x), (_, b) = link.answer(long)
    values = link.call("Decrypt", decrypt([a, x, b], app=app))
    assert [v for _, _, v in values] == [b"a", b"x" * 300_000, b"b"]


def test_cancel_and_a_small_call_beside_a_large_one(engine, link):
    app = engine.app()[0]
    large = link.send("Encrypt", encrypt(app, [b"v"] * 60_000, scope="field"))
    small = link.send("Encrypt", encrypt(app, [b"v"]))
    link.answer(small)
    assert large not in link.done, "the small one is answered first"
    with connect(engine) as other:
        assert other.status("Cancel", {"id": large}) == "ok", "not known on this link"
        other.call("Encrypt", encrypt(app, [b"v"]))
    assert link.status("Ping") == "ok" and large not in link.done
    start = time.monotonic()
    assert link.call("Cancel", {"id": large}) == {}
    while large not in link.done:
        link.frame()
    assert link.open[large][-1].status == "cancelled"
    assert time.monotonic() - start < 5, "within a slice and what was written"
    assert link.status("Cancel", {"id": large}) == "ok", "any more, or never"
    until("nothing is left in the queue", lambda: link.call("GetStatistics")["queue"] == 0)


@pytest.mark.alone
def test_ping_is_answered_in_time_while_every_thread_is_busy(engine, link):
    app = engine.app()[0]
    busy = [connect(engine) for _ in range(4)]
    body = encrypt(app, [b"v"] * 30_000, scope="field", curve="k1")
    calls = [(b, b.send("Encrypt", body)) for b in busy for _ in range(4)]
    took = []
    for _ in range(100):
        start = time.monotonic()
        assert link.call("Ping")["ready"]
        took.append(time.monotonic() - start)
        start = time.monotonic()
        link.call("Encrypt", encrypt(app, [b"v"]))
        assert time.monotonic() - start < 5, "a small call has its turn"
    assert link.call("GetStatistics")["queue"] >= 1, "they were busy all along"
    assert statistics.median(took) < 0.1 and max(took) < 1, sorted(took)[-5:]
    for b, id in calls:
        b.send("Cancel", {"id": id})
    for b, id in calls:
        while id not in b.done:
            b.frame()
    for b in busy:
        b.sock.close()


def test_256_calls_in_flight_and_not_one_more(engine, link):
    app = engine.app()[0]
    body = encrypt(app, [b"v"] * 2000, scope="field", curve="k1")
    ids = [link.send("Encrypt", body) for _ in range(256)]
    assert link.status("Encrypt", body) == "limit"
    assert link.status("Ping") == "ok"
    for id in ids:
        link.send("Cancel", {"id": id})
    while not set(ids) <= set(link.done):
        link.frame()
    ends = {link.open[id][-1].status for id in ids}
    assert ends <= {"cancelled", "ok"} and "cancelled" in ends
    assert link.status("Encrypt", encrypt(app, [b"v"])) == "ok", "there is room again"


# ---- peers that do not play along --------------------------------------------------------

def rss_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) // 1024


def send_until_full(link, op, body, most):
    """Calls until the engine does not take more bytes; nothing is ever read."""
    link.sock.settimeout(2)
    try:
        for _ in range(most):
            link.send(op, body)
    except (TimeoutError, ssl.SSLWantWriteError):
        return True
    return False


@pytest.mark.parametrize("op,fields,most", [("Ping", 0, 1_000_000), ("Encrypt", FIELDS_MAX, 2000)],
                         ids=["Ping", "Encrypt"])
def test_a_peer_that_sends_and_never_reads(make_stack, op, fields, most):
    """What it makes the engine hold is bounded, and the others do not notice."""
    stack = make_stack()
    app, pid = stack.app()[0], stack.child("e3d")
    before = rss_mib(pid)
    with connect(stack) as greedy, connect(stack) as other:
        assert send_until_full(greedy, op, encrypt(app, [b""] * fields), most), "reading stops"
        grown = rss_mib(pid) - before
        assert other.status("Ping") == "ok"
        assert other.status("Encrypt", encrypt(app, [b"v"])) in ("ok", "overloaded")
    print(f"{op}: {grown} MiB more")
    assert grown < 150, "MiB, sanitizer's own included"
    assert stack.child("e3d") == pid
    with connect(stack) as link:
        until("it is forgotten", lambda: link.call("GetStatistics")["queue"] == 0)
        assert link.status("Encrypt", encrypt(app, [b"v"])) == "ok"


def test_calls_that_are_small_on_the_wire_and_large_in_memory(make_stack):
    """250 calls of 65,536 empty values: four bytes each as they come, 72 unpacked.
    What the engine holds of all calls is bounded at 512 MiB, beyond: overloaded."""
    stack = make_stack()
    app, pid = stack.app()[0], stack.child("e3d")
    body = encrypt(app, [b""] * FIELDS_MAX, curve="k1", scope="field")
    before = rss_mib(pid)
    with connect(stack) as link:
        ids = [link.send("Encrypt", body) for _ in range(250)]
        link.call("Ping")               # the frames before it were taken
        grown = rss_mib(pid) - before
        for id in ids:
            link.send("Cancel", {"id": id})
        while not set(ids) <= set(link.done):
            link.frame()
        ends = {link.open[id][-1].status for id in ids}
    print(f"250 large calls: {grown} MiB more, {ends}")
    assert "overloaded" in ends and ends <= {"overloaded", "cancelled", "ok"}
    assert grown < 512 + 400, "MiB; the sanitizer keeps 256 of what was freed"


def test_callers_that_leave_with_calls_in_flight(engine):
    app = engine.app()[0]
    for _ in range(20):
        with connect(engine) as link:
            for _ in range(10):
                link.send("Encrypt", encrypt(app, [b"v"] * 5000, scope="field"))
    with connect(engine) as link:
        until("their work is dropped", lambda: link.call("GetStatistics")["queue"] == 0)


# ---- crash and end -----------------------------------------------------------------------

def test_kill_9_and_ready_again_without_help(stack):
    app, pid = stack.app()[0], stack.child("e3d")
    with connect(stack) as link:
        link.send("Encrypt", encrypt(app, [b"v"] * 60_000, scope="field"))
        (_, token), = link.call("Encrypt", encrypt(app, [b"before"]))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises((EOFError, OSError)):
            while True:
                link.frame()

    def again():
        try:
            with connect(stack) as link:
                return link.call("Decrypt", decrypt([token], app=app))
        except (OSError, EOFError, Refused):
            return None             # not there, or not ready
    assert until("the engine serves again", again) == [[0, 0, b"before"]]
    assert stack.child("e3d") not in (None, pid)


def test_drain_ends_what_is_in_flight_and_takes_no_new_links(make_stack):
    """The master dies: the engine finishes the calls of the links it has."""
    stack = make_stack()
    app, pid = stack.app()[0], stack.child("e3d")
    with connect(stack) as link:
        large = link.send("Encrypt", encrypt(app, [b"v"] * 10_000, scope="field"))
        link.call("Encrypt", encrypt(app, [b"v"]))
        stack.relayd.kill(signal.SIGKILL)
        stack.relayd.wait()

        def no_new_link():
            try:
                connect(stack).sock.close()
            except OSError:
                return True
        until("no new links", no_new_link)
        assert large not in link.done, "still at work"
        assert link.status("Encrypt", encrypt(app, [b"v"])) == "ok"
        assert len(link.answer(large)) == 10_000
        assert not pid_gone(pid)
    until("the engine is gone", lambda: pid_gone(pid))
