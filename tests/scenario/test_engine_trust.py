"""Who may ask the engine for what: every operation with every role, before it is
ready and after, with and without the signature it wants; that each refusal is
counted; and what a stolen worker certificate or API key is good for.  Peers:
links of every role, certificates of the installation's link CA."""
import base64
import hashlib
import os
import re
import signal
import struct
import time

import msgpack
import pytest

import record_reader
import token_codec
from conftest import TOP, route, running, seal, stand_still, tokens_in, until
from link_ca import LinkCA
from rpc_client import Link, Refused, connect, decrypt, encrypt

ROLES = ["worker", "feed", "helper", "pulse", "admin"]
CHALLENGE_S = 30
SMALL, LARGE = 4096, 65_536         # bytes of a body; 0: what a frame holds

# What lib/rpc/op.c has to say, once more.
OPS = """
op             roles              signed  early  bytes
Ping           any                -       early  4096
GetStatistics  any                -       early  4096
Challenge      any                -       early  4096
Cancel         any                -       early  4096
Attest         any                -       early  4096
Encrypt        worker,feed,admin  -       -      0
Decrypt        worker,admin       -       -      0
Authenticate   worker,feed        -       -      4096
PublicKeys     worker             -       -      4096
CreateToken    worker             -       -      4096
Inspect        worker             -       -      0
LoadRecords    helper             -       early  0
Checksum       helper             -       early  4096
SetReady       helper             -       early  4096
SetDraining    helper             -       early  4096
Unlock         helper             -       early  0
Reseal         helper             -       -      4096
ListApps       admin              -       -      4096
ListKeys       admin              -       -      4096
ListPairs      admin              -       -      4096
ListRoles      admin              -       -      4096
CreateApp      admin              signed  -      4096
CreateKey      admin              signed  -      4096
RevokeKey      admin              signed  -      4096
RotateKeys     admin              signed  -      4096
ActivateKey    admin              signed  -      4096
RetireKey      admin              signed  -      4096
DestroyKey     admin              signed  -      4096
SetRoles       admin              signed  -      65536
Rewrap         admin              signed  -      0
GetCA          any                -       -      4096
IssueLeaf      worker             -       -      4096
CreateCA       admin              signed  -      4096
InstallCA      admin              signed  -      16384
"""


class Op:
    def __init__(self, roles, signed, early, most):
        self.roles = ROLES if roles == "any" else roles.split(",")
        self.signed, self.early, self.most = signed != "-", early != "-", int(most)


TABLE = {name: Op(*rest) for name, *rest in map(str.split, OPS.strip().splitlines()[1:])}


@pytest.fixture(scope="module")
def installation(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("stack"), ca, workers=1) as stack:
        stack.app()
        yield stack


@pytest.fixture
def engine(installation):
    """The engine must be the same process afterwards."""
    pid = installation.child("e3d")
    yield installation
    assert installation.child("e3d") == pid, "the engine died"


@pytest.fixture
def worker(engine):
    with connect(engine, "worker") as link:
        yield link


@pytest.fixture
def admin(engine):
    with connect(engine, "admin") as link:
        yield link


@pytest.fixture(scope="module", autouse=True)
def aged(installation):
    """(link, challenge, when): asked for at the begin, and used by the last test."""
    with connect(installation, "admin") as link:
        yield link, link.call("Challenge")["challenge"], time.monotonic()


def asks(stack):
    """op -> (a body, how it ends for who may ask).  Nothing becomes active by it."""
    app, key = stack.app()
    with connect(stack, "admin") as admin:
        key_id = admin.call("ListKeys", {"app": app})[0][0]
        pair = admin.call("ListPairs", {"app": app})["pairs"][0][0]
    token = token_codec.make(stack.app_keys()["r1"][0].public_key(), "value")
    record = (stack.dir / f"e3/{app}.rec").read_bytes()
    sealing = ({"app": app, "pair": pair}, "conflict")
    return {
        "Ping": ({}, "ok"), "GetStatistics": ({}, "ok"), "Challenge": ({}, "ok"),
        "Cancel": ({"id": 7}, "ok"), "Attest": ({"nonce": b"n" * 32}, "unknown-op"),
        "Encrypt": (encrypt(app, [b"value"]), "ok"),
        "Decrypt": (decrypt([token], apiKey=key), "ok"),
        "Authenticate": ({"apiKey": key}, "ok"), "PublicKeys": ({"app": app}, "ok"),
        "CreateToken": ({"app": app, "action": "api:decrypt", "payloadHash": None,
                         "expires_ms": int(time.time() * 1000) + 300_000}, "ok"),
        "Inspect": ({"app": app, "token": token}, "ok"),
        "LoadRecords": ({"records": [record]}, "ok"), "Checksum": ({}, "ok"),
        "SetReady": ({"checksum": bytes(32)}, "conflict"),
        "SetDraining": ({"on": False}, "ok"), "Unlock": ({"key": bytes(32)}, "conflict"),
        "Reseal": ({"app": app}, "conflict"), "ListApps": ({}, "ok"),
        "ListKeys": ({"app": app}, "ok"), "ListPairs": ({"app": app}, "ok"),
        "ListRoles": ({"app": app}, "ok"), "CreateApp": ({"name": "never"}, "ok"),
        "CreateKey": ({"app": app}, "ok"), "RevokeKey": ({"app": app, "key": key_id}, "ok"),
        "RotateKeys": ({"app": app}, "ok"), "ActivateKey": sealing, "RetireKey": sealing,
        "DestroyKey": sealing, "SetRoles": ({"app": app, "roles": []}, "ok"),
        "Rewrap": ({"app": app, "curve": "r1", "tokens": [[token]]}, "ok"),
        "GetCA": ({}, "ok"), "CreateCA": ({}, "ok"),
        "IssueLeaf": ({"host": "a.test", "publicKey": b""}, "no-such-key"),
        "InstallCA": ({"ca": "ca_000000000000", "chain": ""}, "no-such-key"),
    }


def ask(link, op, body):
    """Signed where that is wanted, whoever asks: it is not the signature that fails."""
    return link.status_signed(op, body) if TABLE[op].signed else link.status(op, body)


def refused(stack):
    """What the engine counted so far."""
    with connect(stack, "pulse") as link:
        counts = link.call("GetStatistics")
    return {name: n for name, n in counts.items() if name.startswith("refused")}


def grown(stack, before):
    return {name: n - before[name] for name, n in refused(stack).items() if n != before[name]}


# ---- roles ------------------------------------------------------------------------------

def test_the_table_is_that_of_the_documentation():
    text = (TOP / "docs/rpc.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (yes)? ?\| (yes[^|]*)?\|", text, re.M)
    told = {op: (sorted(ROLES if roles.startswith("any") else re.findall(r"\w+", roles)),
                 bool(signed), bool(early)) for op, roles, signed, early in rows}
    assert told == {name: (sorted(op.roles), op.signed, op.early) for name, op in TABLE.items()}


@pytest.mark.parametrize("role", ROLES)
def test_every_op_with_every_role(engine, role):
    asked, before = asks(engine), refused(engine)
    assert set(asked) == set(TABLE)
    with connect(engine, role) as link:
        seen = {op: ask(link, op, body) for op, (body, _) in asked.items()}
    want = {op: end if role in TABLE[op].roles else "not-allowed"
            for op, (_, end) in asked.items()}
    if role == "feed":
        want["Encrypt"] = "not-allowed"         # but for app_system
    assert seen == want
    others = sum(role not in op.roles for op in TABLE.values())
    assert grown(engine, before) == {
        "refused": sum(end != "ok" for end in want.values()), "refused_role": others}


def test_every_op_over_its_size(engine):
    """Unknown keys of a body are ignored; their bytes count."""
    asked, before, over = asks(engine), refused(engine), 0
    for op, row in TABLE.items():
        body, end = asked[op]
        with connect(engine, row.roles[0]) as link:
            fits = {**body, "pad": bytes((row.most or LARGE) - 2048)}
            assert ask(link, op, fits) == end, op
            if row.most == 0:
                continue
            assert ask(link, op, {**body, "pad": bytes(row.most)}) == "limit", op
            over += 1
            if "pulse" not in row.roles:
                with connect(engine, "pulse") as other:
                    assert other.status(op, {"pad": bytes(row.most)}) == "not-allowed", op
    assert grown(engine, before)["refused_limit"] == over > 15


@pytest.mark.parametrize("role", ROLES)
def test_before_it_is_ready(unready, role):
    """The helper is stopped: nobody loads records into a new engine."""
    stack, asked = unready
    before = refused(stack)
    with connect(stack, role) as link:
        assert link.call("Ping")["ready"] is False
        seen = {op: ask(link, op, body) for op, (body, _) in asked.items()}
    want = {op: "not-allowed" if role not in TABLE[op].roles else
            end if TABLE[op].early else "not-ready" for op, (_, end) in asked.items()}
    assert seen == want
    counts = grown(stack, before)
    assert counts.pop("refused") == sum(end != "ok" for end in want.values())
    assert counts == {name: n for name, n in {
        "refused_role": list(want.values()).count("not-allowed"),
        "refused_early": list(want.values()).count("not-ready")}.items() if n}


@pytest.fixture(scope="module")
def unready(tmp_path_factory, ca):
    """(stack, what to ask it); it becomes ready as soon as the helper goes on."""
    with running(tmp_path_factory.mktemp("unready"), ca, workers=1) as stack:
        asked, key = asks(stack), stack.app()[1]
        helper, engine = stack.child("e3-helper"), stack.child("e3d")
        stand_still(helper)
        try:
            os.kill(engine, signal.SIGKILL)
            until("a new engine", lambda: stack.child("e3d") not in (None, engine))
            until("it answers", lambda: answers(stack))
            yield stack, asked
        finally:
            os.kill(helper, signal.SIGCONT)
        with connect(stack, "worker") as link:
            until("it is ready", lambda: link.call("Ping")["ready"])
            assert link.status("Authenticate", {"apiKey": key}) == "ok"


def answers(stack):
    try:
        with connect(stack, "pulse") as link:
            return link.call("Ping")
    except (OSError, EOFError):
        return None


# ---- signatures -------------------------------------------------------------------------

@pytest.mark.parametrize("op", [name for name, op in TABLE.items() if op.signed])
def test_unsigned_and_wrongly_signed(engine, admin, tmp_path, op):
    body, end = asks(engine)[op]
    before, wrong = refused(engine), 0

    def challenge(link=admin):
        return link.call("Challenge")["challenge"]

    with connect(engine, "admin") as other:
        first, second = challenge(), challenge()
        theirs = LinkCA(engine, tmp_path).role("relay://link/admin/test")
        with connect(engine, "admin", **theirs) as stranger:
            foreign = stranger.sign(second, op, body, admin.last_id + 1)
        for signature in (None,                                     # and `second` is spent
                          lambda: admin.sign(second, op, body),     # used
                          lambda: admin.sign(first, op, body),      # an older one
                          lambda: foreign,                          # of another key
                          lambda: admin.sign(challenge(other), op, body),
                          lambda: admin.sign(challenge(), op, {**body, "name": "x"}),
                          lambda: admin.sign(challenge(), "Ping", body),
                          lambda: admin.sign(challenge(), op, body, 1 << 40),
                          lambda: admin.sign(challenge(), op, body)[:-1],
                          lambda: b"", lambda: bytes(70)):
            made = signature and signature()
            assert admin.status(op, body, signature=made) == "not-allowed"
            wrong += 1
        assert admin.status_signed(op, body) == end
    counts = grown(engine, before)
    assert counts["refused_signature"] == wrong and "refused_role" not in counts


def test_a_signed_call_replayed_byte_for_byte(engine, admin):
    body = {"name": "once"}
    challenge = admin.call("Challenge")["challenge"]
    id = admin.last_id + 1
    call = msgpack.packb([1, id, "CreateApp", body, admin.sign(challenge, "CreateApp", body)])

    def play(link):
        link.open[id] = []
        link.send_payload(call)
        try:
            return link.answer(id)["version"]
        except Refused as no:
            return no.status

    assert play(admin) == 1
    assert play(admin) == "not-allowed"
    admin.last_id = id
    admin.call("Challenge")
    assert play(admin) == "not-allowed", "another challenge"
    with connect(engine, "admin") as other:
        other.call("Challenge")
        assert play(other) == "not-allowed"
        assert other.status("Ping") == "ok"


def test_ids_come_in_any_order(worker):
    ids = [9, 3, (1 << 64) - 1, 1, 1 << 32, 2]
    for id in ids:
        worker.send("Authenticate", {"apiKey": "none"}, id=id)
    for id in sorted(ids):
        with pytest.raises(Refused, match="unauthorized"):
            worker.answer(id)


# ---- thieves ----------------------------------------------------------------------------

def test_a_stolen_worker_certificate_changes_and_exports_nothing(engine, worker):
    """Its owner signs well, knows ids and holds a challenge: it is the wrong role."""
    asked = asks(engine)
    records = {f.name: f.read_bytes() for f in (engine.dir / "e3").glob("*.rec")}
    changes = [op for op in TABLE if "worker" not in TABLE[op].roles]
    assert {"CreateApp", "RotateKeys", "Rewrap", "LoadRecords", "SetReady"} < set(changes)
    for op in changes:
        assert worker.status_signed(op, asked[op][0]) == "not-allowed", op
    assert {f.name: f.read_bytes() for f in (engine.dir / "e3").glob("*.rec")} == records


def spellings(secret):
    plain = base64.b64encode(secret)
    return {secret, secret.hex().encode(), secret.hex().upper().encode(), plain.rstrip(b"="),
            plain.replace(b"+", b"-").replace(b"/", b"_").rstrip(b"=")}


def test_no_reply_holds_a_secret(engine):
    """Every operation by every role; what came back is searched as bytes."""
    app, key = engine.app()
    root = (engine.dir / "root.key").read_bytes()
    _, _, document, private = record_reader.read(
        (engine.dir / f"e3/{app}.rec").read_bytes(), root)
    hashes = [k[1] for k in document["keys"]]
    assert hashlib.sha256(key.encode()).digest() in hashes and len(private) >= 2
    secrets = set().union(*map(spellings, [root, key.encode(), *private, *hashes]))
    asked, heard = asks(engine), bytearray()

    class Tapped(Link):
        def read(self, n):
            data = super().read(n)
            heard.extend(data)
            return data

    folder = engine.dir / "link"
    for role in ROLES:
        with Tapped(engine.run / "e3.sock", folder / "ca.pem", folder / f"{role}.pem",
                    folder / f"{role}.key") as link:
            for op, (body, _) in asked.items():
                ask(link, op, body)
    assert len(heard) > 5000 and app.encode() in heard
    for where, text in (("replies", bytes(heard)), ("logs", engine.logs().encode())):
        assert not [s for s in secrets if s in text], where


def test_a_stolen_api_key_opens_nothing_of_another_app(engine, worker, admin):
    mine, key = engine.app()
    other, other_key = engine.app("other")
    tokens = [token_codec.make(engine.app_keys("other")[curve][0].public_key(), "v", "string", v)
              for v, (curve, *_) in token_codec.VERSIONS.items()]
    for link in (worker, admin):
        assert link.call("Decrypt", decrypt(tokens, apiKey=key)) == [[2, 0, b""]] * len(tokens)
        assert [a[0] for a in link.call("Decrypt", decrypt(tokens, apiKey=other_key))] == \
            [0] * len(tokens)
        for both in ({"apiKey": key, "app": other}, {"app": other, "apiKey": key},
                     {"apiKey": key, "app": mine}):
            assert link.status("Decrypt", decrypt(tokens, **both)) == "bad-request"
        assert link.status("Decrypt", decrypt(tokens, apiKey=key[:-1])) == "unauthorized"
        # a key that comes twice: the first counts, here as everywhere
        body = decrypt(tokens, apiKey=key)
        twice = b"\x84" + b"".join(msgpack.packb(k) + msgpack.packb(v) for k, v in [
            ("apiKey", key), ("apiKey", other_key), ("place", body["place"]),
            ("tokens", body["tokens"])])
        id = link.last_id = link.last_id + 1
        link.open[id] = []
        link.send_payload(b"\x94\x01" + msgpack.packb(id) + msgpack.packb("Decrypt") + twice)
        assert {a[0] for a in link.answer(id)} == {2}
    assert worker.call("Authenticate", {"apiKey": key})["app"] == mine
    assert admin.status("Decrypt", decrypt(tokens, app=other)) == "not-allowed"
    assert admin.status("Decrypt", decrypt(tokens, apiKey="", app=other)) != "ok"


# ---- rpc_signatures = all -----------------------------------------------------------------

@pytest.fixture(scope="module")
def signing(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("signing"), ca, workers=1,
                 e3_conf='rpc_signatures = "all"\n') as stack:
        yield stack


def test_a_whole_installation_that_signs_every_call(signing, origin):
    signing.relay("shop.test", origin, [route("POST", "/pay", encrypt=["$.card"],
                                              decrypt=["$.card"])])
    with signing.connect("shop.test") as c:
        for i in range(20):
            body = b'{"card":"secret-%d","note":"kept"}' % i
            reply = c.request("POST", "/pay", body)
            assert (reply.status, reply.body) == (200, body)
            token, = tokens_in(origin.last().body)
            assert token_codec.open_token(token, signing.app_keys())[1] == b"secret-%d" % i
    key = signing.app()[1]
    assert b"secret" in signing.ctl("decrypt", "--api-key", key, data=token.encode()).stdout
    signing.ctl("app", "list")


def test_what_is_not_signed_or_said_twice_is_refused(signing):
    app = signing.app()[0]
    body = encrypt(app, [b"v"])
    with connect(signing) as link, connect(signing, "pulse") as watch:
        watch.sign_all()
        before = watch.call("GetStatistics")["refused_signature"]
        bad = 0
        for op in ("Ping", "GetStatistics", "Encrypt", "PublicKeys"):
            assert link.status(op, body) == "not-allowed", "no challenge was given yet"
        told = link.call("Challenge")
        assert told["every_call"] is True
        first, second = told["challenge"], link.call("Challenge")["challenge"]
        assert link.status("Encrypt", body) == "not-allowed"
        assert link.status("Encrypt", body, signature=b"x" * 70) == "not-allowed"
        assert link.status("Encrypt", body,
                           signature=link.sign(second, "Encrypt", body)) == "not-allowed"
        assert link.status("Cancel", {"id": 1}) == "ok", "that and Challenge need none"
        bad += 7

        def call(id, signature):
            payload = msgpack.packb([1, id, "Encrypt", body, signature])
            link.open[id] = []
            link.send_bytes(struct.pack(">I", len(payload)) + payload)
            try:
                return len(link.answer(id))
            except Refused as no:
                return no.status
        at_100, at_90 = (link.sign(first, "Encrypt", body, id) for id in (100, 90))
        assert call(100, at_100) == 1
        assert call(100, at_100) == "not-allowed", "replayed"
        assert call(90, at_90) == "not-allowed", "kept back, and said later"
        assert call(101, at_100) == "not-allowed", "with another id"
        assert call(101, link.sign(first, "Encrypt", body, 101)) == 1
        bad += 3
        assert watch.call("GetStatistics")["refused_signature"] - before == bad
        with connect(signing) as other:
            other.call("Challenge")
            link.last_id = 200
            assert other.status("Encrypt", body, id=201, signature=link.sign(
                first, "Encrypt", body, 201)) == "not-allowed", "another link's"


def test_changes_want_a_challenge_of_their_own_all_the_same(signing):
    body = {"name": "fresh"}
    with connect(signing, "admin") as link:
        link.sign_all()
        assert link.call("ListApps") is not None
        assert link.call_signed("CreateApp", body)["version"] == 1
        assert link.status("CreateApp", body) == "not-allowed", "by the first challenge, again"
        assert link.call_signed("CreateApp", body)["version"] == 1


# ---- what one app may take ----------------------------------------------------------------

def two_apps(stack, origin):
    """relays of two apps, each with a route that seals"""
    for app in ("greedy", "calm"):
        stack.relay(f"{app}.relay.test", origin, [seal("POST", "/", "$.v")], app=app)
    return stack.app("greedy")[0], stack.app("calm")[0]


def post(stack, app):
    return stack.post(f"{app}.relay.test", "/", b'{"v":"secret"}')


def test_fields_per_second_of_an_app(make_stack, origin):
    """A call of any size passes once, and its app pays for it by time."""
    stack = make_stack(workers=1, e3_conf="app_fields_per_s = 1000\n")
    greedy, calm = two_apps(stack, origin)
    key, other_key = stack.app("greedy")[1], stack.app("calm")[1]
    with connect(stack) as link:
        for app in (greedy, calm):
            (_, token), = link.call("Encrypt", encrypt(app, [b"v"]))
        start = time.monotonic()
        assert len(link.call("Encrypt", encrypt(greedy, [b"v"] * 8000))) == 8000
        for body in (encrypt(greedy, [b"v"]), encrypt(greedy, [b"v"], curve="k1")):
            assert link.status("Encrypt", body) == "rate-limited"
        for whose in ({"app": greedy}, {"apiKey": key}):
            assert link.status("Decrypt", decrypt([token], **whose)) == "rate-limited"
        reply, at = post(stack, "greedy"), len(origin.seen())
        assert (reply.status, reply.code) == (429, "rate-limited")
        assert 1 <= int(reply.field("retry-after")) <= 60
        assert post(stack, "calm").status == 200
        assert len(origin.seen()) == at + 1, "nothing of the refused request"
        assert link.call("Decrypt", decrypt([token], apiKey=other_key)) == [[0, 0, b"v"]]
        counts = link.call("GetStatistics")
        assert counts["rate_limited"] >= 5
        assert time.monotonic() - start < 7, "the debt was not paid meanwhile"
        until("it is", lambda: link.status("Encrypt", encrypt(greedy, [b"v"])) == "ok")
        assert 5 < time.monotonic() - start < 40
        assert post(stack, "greedy").status == 200


def test_calls_of_an_app_at_once(make_stack, origin):
    stack = make_stack(workers=1, e3_conf="app_calls = 4\n")
    greedy, calm = two_apps(stack, origin)
    with connect(stack, "admin") as busy, connect(stack) as link:
        large = encrypt(greedy, [b"v"] * 60_000, scope="field", curve="k1")
        ids = [busy.send("Encrypt", large) for _ in range(4)]
        until("they are in", lambda: link.call("GetStatistics")["queue"] == 4)
        for op, body in (("Encrypt", encrypt(greedy, [b"v"])),
                         ("Decrypt", decrypt(["x"], app=greedy))):
            assert link.status(op, body) == "overloaded"
        reply = post(stack, "greedy")
        assert (reply.status, reply.code) == (503, "engine-unavailable")
        assert link.status("Encrypt", encrypt(calm, [b"v"])) == "ok"
        assert post(stack, "calm").status == 200
        assert link.call("GetStatistics")["queue"] == 4, "they were there all along"
        busy.send("Cancel", {"id": ids[0]})
        while ids[0] not in busy.done:
            busy.frame()
        assert link.status("Encrypt", encrypt(greedy, [b"v"])) == "ok"
        assert post(stack, "greedy").status == 200


# ---- a challenge is late ------------------------------------------------------------------

def test_a_challenge_of_30_seconds_ago(engine, aged):
    link, challenge, since = aged
    until("the challenge is late", lambda: time.monotonic() > since + CHALLENGE_S + 0.5,
          CHALLENGE_S + 5)
    body = {"name": "late"}
    assert link.status("CreateApp", body,
                       signature=link.sign(challenge, "CreateApp", body)) == "not-allowed"
    assert link.status_signed("CreateApp", body) == "ok"
