"""What SDKs need of the engine: sealed files, client-side tokens, Inspect.  Peers:
links of workers that speak docs/rpc.md, and an independent codec that makes and
opens what the engine opens and makes."""
import hashlib
import json
import os
import statistics
import struct
import threading
import time
import zlib

import pytest

import record_reader
import token_codec
from conftest import SHARED, Stack, sanitizer_check, until
from link_ca import LinkCA
from rpc_client import Refused, connect, decrypt, encrypt

VECTORS = SHARED / "spec/ciphertext-vectors.json"
VECTOR_APP = "app_vectors"
CURVE = {"prime256v1": "r1", "secp256k1": "k1"}
WRITTEN = {"r1": 3, "k1": 2}
OK, NOT_A_TOKEN, CHANGED, FORBIDDEN, DEBUG = 0, 1, 2, 3, 5
FILE = 3
LIMIT = 25 << 20                    # of SDKs, for a file
LIFE_MS = 600_000                   # of a client-side token


def vectors():
    if not VECTORS.exists():
        pytest.skip(f"{VECTORS} is not here")
    return json.loads(VECTORS.read_text())


@pytest.fixture(scope="module")
def engine(tmp_path_factory, ca):
    """A stack whose engine also holds the key pairs of the published vectors."""
    stack = Stack(tmp_path_factory.mktemp("stack"), ca, start=False)
    if VECTORS.exists():
        (stack.dir / "e3").mkdir(mode=0o700)
        (stack.dir / f"e3/{VECTOR_APP}.rec").write_bytes(record_reader.write(
            VECTOR_APP, 1, [(CURVE[name], bytes.fromhex(pair["private_key"]))
                            for name, pair in vectors()["keys"].items()],
            (stack.dir / "root.key").read_bytes()))
    stack.start()
    stack.app()
    stack.app("other")
    yield stack
    errors = []
    stack.stop()
    sanitizer_check(stack, errors)
    assert not errors, "\n".join(errors)


@pytest.fixture
def worker(engine):
    with connect(engine, "worker") as link:
        yield link


def open_one(link, token, app):
    (status, kind, value), = link.call("Decrypt", decrypt([token], app=app))
    assert status == OK or value == b""
    return status, kind, value


def seal_one(link, app, contents, curve="r1", **options):
    return link.call("Encrypt", encrypt(app, [(FILE, contents)], curve, **options))[0]


def close_role(stack, app):
    """Tokens of the role `closed` open nowhere."""
    stack.ctl("role", "put", app, "closed", data=b'{"default": "forbid", "rules": []}')


def first_pair(stack, app):
    with connect(stack, "admin") as admin:
        pairs = admin.call("ListPairs", {"app": app})["pairs"]
    return next(pair for pair, curve, *_ in pairs if curve == "r1")


# ---- files ------------------------------------------------------------------------------

def test_the_published_files(engine, worker):
    files = vectors()["files"]
    assert {bytes.fromhex(f["file_hex"])[6] for f in files} == set(range(6))
    answer = worker.call("Decrypt", decrypt([bytes.fromhex(f["file_hex"]) for f in files],
                                            app=VECTOR_APP))
    assert answer == [[OK, FILE, bytes.fromhex(f["contents_hex"])] for f in files]
    app, _ = engine.app()
    for f in files:
        assert open_one(worker, bytes.fromhex(f["file_hex"]), app)[0] == CHANGED


@pytest.mark.parametrize("version", token_codec.FILE_VERSIONS)
def test_every_version_of_files_opens(engine, worker, version):
    app, _ = engine.app()
    curve, _, _, metadata, _ = token_codec.FILE_VERSIONS[version]
    public = engine.app_keys()[curve][0].public_key()
    for contents in (b"", b"x", os.urandom(255), b"%EVENC" * 20, os.urandom(300_000)):
        for role in (None, "a-role") if metadata else (None,):
            sealed = token_codec.make_file(public, contents, version, role)
            assert open_one(worker, sealed, app) == (OK, FILE, contents)
    flagged = token_codec.make_file(public, b"x", version, debug=True)
    assert open_one(worker, flagged, app)[0] == DEBUG


@pytest.mark.parametrize("version", [0, 2, 4])
@pytest.mark.parametrize("form", ["raw", "kdf"])
def test_files_under_the_other_form_of_the_key(engine, worker, version, form):
    """SDKs that cached a key for another use wrote them."""
    app, _ = engine.app()
    public = engine.app_keys()["k1"][0].public_key()
    sealed = token_codec.make_file(public, b"contents", version, form=form)
    assert open_one(worker, sealed, app) == (OK, FILE, b"contents")


@pytest.mark.parametrize("curve", ["r1", "k1"])
@pytest.mark.parametrize("scope", ["request", "field"])
def test_files_open_by_the_independent_codec(engine, worker, curve, scope):
    app, _ = engine.app()
    contents = [b"", b"x", b"%EVENC", os.urandom(1000), os.urandom(700_000), bytes(65536)]
    answer = worker.call("Encrypt", encrypt(app, [(FILE, c) for c in contents] + [b"text"],
                                            curve, scope))
    assert [status for status, _ in answer] == [0] * 7
    for value, (_, sealed) in zip(contents, answer):
        assert token_codec.open_file(sealed, engine.app_keys()) == (WRITTEN[curve], value, None)
        assert len(sealed) == 55 + len(value) + 16 + 4
    assert token_codec.open_token(answer[6][1].decode(), engine.app_keys())[1] == b"text"
    points = {sealed[9:42] for _, sealed in answer[:6]}
    assert len(points) == 6, "each has an ephemeral key of its own"
    opened = worker.call("Decrypt", decrypt([sealed for _, sealed in answer[:6]], app=app))
    assert opened == [[OK, FILE, value] for value in contents]


def test_files_that_are_sealed_already(engine, worker):
    app, _ = engine.app()
    mine = seal_one(worker, app, b"x")[1]
    foreign = seal_one(worker, engine.app("other")[0], b"x")[1]
    assert seal_one(worker, app, mine) == [1, b""], "passed"
    for contents, existing in ((mine, "encrypt"), (foreign, "verify"), (mine[:-1], "verify")):
        status, sealed = seal_one(worker, app, contents, existing=existing)
        assert status == 0
        assert token_codec.open_file(sealed, engine.app_keys())[1] == contents
    # a string is no file, whatever it begins with
    (status, token), = worker.call("Encrypt", encrypt(app, [mine]))
    assert token_codec.open_token(token.decode(), engine.app_keys())[1] == mine


@pytest.mark.parametrize("version", token_codec.FILE_VERSIONS)
def test_every_byte_of_a_file_counts(engine, worker, version):
    """Changed, and changed with a checksum made to fit; cut; made longer."""
    app, _ = engine.app()
    curve, _, kind, _, checksum = token_codec.FILE_VERSIONS[version]
    good = token_codec.make_file(engine.app_keys()[curve][0].public_key(), b"contents", version)
    bad = []
    for at in range(len(good)):
        if at == 9 and kind == "none":
            continue        # the sign of a point whose x alone is the key
        for bit in (1, 0x80):
            changed = bytearray(good)
            changed[at] ^= bit
            bad.append(bytes(changed))
            if checksum:
                bad.append(bytes(changed[:-4]) + token_codec.file_sum(bytes(changed[:-4])))
    bad = [b for b in bad if b != good]
    bad += [good[:n] for n in range(len(good))] + [good + b"\0", good + good]
    answer = worker.call("Decrypt", decrypt(bad, app=app))
    assert {status for status, _, _ in answer} <= {NOT_A_TOKEN, CHANGED, DEBUG}
    assert all(value == b"" for _, _, value in answer)
    assert open_one(worker, good, app)[0] == OK


def test_lengths_of_files_that_lie(engine, worker):
    app, _ = engine.app()
    public = engine.app_keys()["r1"][0].public_key()
    good = token_codec.make_file(public, b"contents", 5, "a-role")

    def with_(at, data):
        changed = bytearray(good[:-4])
        changed[at:at + len(data)] = data
        return bytes(changed) + struct.pack("<I", zlib.crc32(changed))
    for n in (0, 1, 54, 55, 56, 57, 58, 72, 73, 74, 1000, 65535):
        for at in (7, 55):
            sealed = with_(at, struct.pack("<H", n))
            if sealed != good:
                assert open_one(worker, sealed, app)[0] in (NOT_A_TOKEN, CHANGED)
    for version in (3, 4, 6, 255):
        assert open_one(worker, with_(6, bytes([version])), app)[0] in (NOT_A_TOKEN, CHANGED)
    assert open_one(worker, with_(6, b"\5"), app)[0] == OK


def test_policies_hold_for_files_with_metadata(engine, worker):
    app, _ = engine.app("guarded")
    close_role(engine, app)
    public = engine.app_keys("guarded")
    for version in (4, 5):
        curve = token_codec.FILE_VERSIONS[version][0]
        for role, status in (("closed", FORBIDDEN), ("another", OK), (None, OK)):
            sealed = token_codec.make_file(public[curve][0].public_key(), b"x", version, role)
            assert open_one(worker, sealed, app)[0] == status
            body = decrypt([], app=app)
            body["tokens"] = [[sealed, "closed"]]
            (asked, _, _), = worker.call("Decrypt", body)
            assert asked == (FORBIDDEN if role == "closed" else 6)


def test_25_mebibytes(engine, worker):
    app, _ = engine.app()
    contents = os.urandom(LIMIT)
    started = time.monotonic()
    status, sealed = seal_one(worker, app, contents)
    middle = time.monotonic()
    assert status == 0 and len(sealed) == LIMIT + 75
    assert open_one(worker, sealed, app) == (OK, FILE, contents)
    print(f"25 MiB: sealed in {middle - started:.3f} s, "
          f"opened in {time.monotonic() - middle:.3f} s")
    assert token_codec.open_file(sealed, engine.app_keys()) == (3, contents, None)
    # as much again among small ones
    many = [(0, b"a"), (FILE, contents[:LIMIT // 2]), (0, b"b"), (FILE, contents[LIMIT // 2:])]
    answer = worker.call("Encrypt", encrypt(app, many))
    opened = worker.call("Decrypt", decrypt([token for _, token in answer], app=app))
    assert opened == [[OK, kind, value] for kind, value in many]


@pytest.mark.alone
def test_small_calls_beside_large_files(engine, tmp_path):
    """They wait for the step that runs, not for the files in the queue."""
    app, _ = engine.app()
    other = LinkCA(engine, tmp_path).role("relay://link/worker/files")
    body = encrypt(app, [(FILE, bytes(LIMIT))])
    stop, took = threading.Event(), []

    def files():
        with connect(engine, **other) as link:
            while not stop.is_set():
                began = time.monotonic()
                link.call("Encrypt", body)
                took.append(time.monotonic() - began)

    hogs = [threading.Thread(target=files, daemon=True) for _ in range(3)]
    with connect(engine, "worker") as link:
        for hog in hogs:
            hog.start()
        until("files are sealed", lambda: took)
        waits = []
        while len(took) < 12 or len(waits) < 20:
            began = time.monotonic()
            link.call("Encrypt", encrypt(app, [b"small"]))
            waits.append(time.monotonic() - began)
        stop.set()
    for hog in hogs:
        hog.join(60)
        assert not hog.is_alive()
    print(f"small calls: median {statistics.median(waits):.4f} s, most {max(waits):.4f} s; "
          f"a file {statistics.mean(took):.4f} s")
    assert statistics.median(waits) < statistics.mean(took)


# ---- client-side tokens -----------------------------------------------------------------

HASH = hashlib.sha256(b"payload").digest()


def now_ms():
    return int(time.time() * 1000)


def create(link, app, payload_hash=HASH, life_ms=300_000, change=None):
    body = {"app": app, "action": "api:decrypt", "payloadHash": payload_hash,
            "expires_ms": now_ms() + life_ms, **(change or {})}
    return link.call("CreateToken", body)


def use(link, token, payload_hash=HASH):
    try:
        return link.call("Authenticate", {"clientToken": token, "payloadHash": payload_hash})
    except Refused as no:
        return no.status


def claims_of(token):
    return json.loads(token_codec.unb64(token.split(".")[1].replace("-", "+").replace("_", "/")))


def team_of(app):
    return "team_" + app.removeprefix("app_")


def test_a_client_side_token(engine, worker):
    app, _ = engine.app()
    before = now_ms()
    made = create(worker, app)
    assert set(made) == {"token", "id", "created_ms", "expires_ms"}
    assert before <= made["created_ms"] <= now_ms() < made["expires_ms"]
    assert claims_of(made["token"]) == {
        "version": 1, "app_uuid": app, "team_uuid": team_of(app), "jti": made["id"],
        "exp": made["expires_ms"], "action": "api:decrypt", "resource": None,
        "hashed_body": token_codec.url64(HASH), "client_ip": None}
    assert made["id"].startswith("client_side_token_") and len(made["id"]) == 30
    who = use(worker, made["token"])
    assert who == {"app": app, "key": made["id"], "scopes": ["api:decrypt"], "cache_s": 0,
                   "keys_epoch": worker.call("Ping")["keys_epoch"]}
    with connect(engine, "feed") as feed:
        assert use(feed, made["token"]) == who
    for other in (bytes(32), hashlib.sha256(b"another").digest()):
        assert use(worker, made["token"], other) == "unauthorized"
    free = create(worker, app, None)["token"]
    assert claims_of(free)["hashed_body"] is None
    assert use(worker, free)["app"] == use(worker, free, bytes(32))["app"] == app


def test_a_client_side_token_by_the_page(engine, worker):
    """Signed here: what verifies is what docs/rpc.md says, and nothing near it."""
    app, _ = engine.app()
    other, _ = engine.app("other")
    root = (engine.dir / "root.key").read_bytes()

    def secret(of, curve="r1"):
        record = (engine.dir / f"e3/{of}.rec").read_bytes()
        _, _, document, secrets = record_reader.read(record, root)
        return next(s for pair, s in zip(document["pairs"], secrets) if pair[0] == curve)

    def claims(**change):
        return json.dumps({
            "version": 1, "app_uuid": app, "team_uuid": team_of(app),
            "jti": "client_side_token_0123456789ab", "exp": now_ms() + 60_000,
            "action": "api:decrypt", "resource": None, "hashed_body": None, "client_ip": None,
            **change}, separators=(",", ":")).encode()

    sign = token_codec.client_token
    assert use(worker, sign(secret(app), claims()))["app"] == app
    header = b'{"alg":"none","typ":"JWT"}'
    for wrong in (
            sign(secret(other), claims()), sign(secret(app, "k1"), claims()), sign(root, claims()),
            sign(secret(app), claims(app_uuid=other, team_uuid=team_of(other))),
            sign(secret(app), claims(team_uuid=app)),
            sign(secret(app), claims(action="api:encrypt")),
            sign(secret(app), claims(exp=now_ms() - 1)), sign(secret(app), claims(exp=0)),
            sign(secret(app), claims(exp=now_ms() + LIFE_MS + 120_000)),
            sign(secret(app), claims(version=2)), sign(secret(app), claims(more=1)),
            sign(secret(app), json.dumps(json.loads(claims())).encode()),
            sign(secret(app), claims(), header), sign(secret(app), claims(), b"{}"),
            sign(secret(app), claims()).rsplit(".", 1)[0] + ".",
            sign(secret(app), claims()) + ".", "", ".", "..", "x" * 3000):
        assert use(worker, wrong) == "unauthorized", wrong


def test_every_character_of_a_client_side_token_counts(engine, worker):
    token = create(worker, engine.app()[0])["token"]
    for at in range(len(token)):
        for by in ("A", "_", "=", "."):
            changed = token[:at] + by + token[at + 1:]
            if changed != token:
                assert use(worker, changed) == "unauthorized", at
        assert use(worker, token[:at]) == "unauthorized"
        assert use(worker, token[:at] + token[at + 1:]) == "unauthorized"
    assert use(worker, token) != "unauthorized"


def test_the_end_of_a_client_side_token(engine, worker):
    app, _ = engine.app()
    token = create(worker, app, life_ms=1500)
    assert use(worker, token["token"])["app"] == app
    until("it ends", lambda: use(worker, token["token"]) == "unauthorized")
    assert now_ms() >= token["expires_ms"]


def test_client_side_tokens_live_through_a_rotation(engine, worker):
    app, _ = engine.app("rotated")
    pair = first_pair(engine, app)
    before = create(worker, app)["token"]
    engine.ctl("app", "rotate", app)
    after = create(worker, app)["token"]
    assert use(worker, before)["app"] == use(worker, after)["app"] == app
    engine.ctl("app", "retire", app, pair)
    assert use(worker, before) == "unauthorized"
    assert use(worker, after)["app"] == app


@pytest.mark.parametrize("change", [
    {"action": "api:encrypt"}, {"action": ""}, {"action": None}, {"app": None},
    {"payloadHash": b""}, {"payloadHash": bytes(31)}, {"payloadHash": bytes(33)},
    {"payloadHash": 1}, {"expires_ms": 0}, {"expires_ms": None}, {"expires_ms": (1 << 64) - 1},
    {"expires_ms": "1"},
], ids=str)
def test_client_side_tokens_that_are_not_made(engine, worker, change):
    app, _ = engine.app()
    with pytest.raises(Refused, match="bad-request"):
        create(worker, app, change=change)


def test_for_how_long_and_for_whom(engine, worker):
    app, _ = engine.app()
    assert use(worker, create(worker, app, life_ms=LIFE_MS - 5000)["token"])["app"] == app
    for life_ms in (LIFE_MS + 60_000, -1000):
        with pytest.raises(Refused, match="bad-request"):
            create(worker, app, life_ms=life_ms)
    for of, status in (("app_none", "no-such-app"), ("app_system", "not-allowed")):
        with pytest.raises(Refused, match=status):
            create(worker, of)


# ---- Authenticate -----------------------------------------------------------------------

def test_a_key_by_its_id(engine, worker):
    app, secret = engine.app()
    other, _ = engine.app("other")
    made = json.loads(engine.ctl("key", "create", app, "--scope", "api:decrypt", "--scope",
                                 "egress", "--json").stdout)
    by_secret = worker.call("Authenticate", {"apiKey": made["secret"]})
    assert by_secret["scopes"] == ["api:decrypt", "egress"]
    by_id = {"app": app, "key": made["key"]}
    assert worker.call("Authenticate", by_id) == by_secret
    for wrong in ({"app": other, "key": made["key"]}, {"app": "app_none", "key": made["key"]},
                  {"app": app, "key": made["secret"]}, {"app": app, "key": ""},
                  {"app": app, "key": made["key"][:-1]}):
        assert worker.status("Authenticate", wrong) == "unauthorized"
    token = token_codec.make(engine.app_keys()["r1"][0].public_key(), "v")
    assert worker.call("Decrypt", decrypt([token], apiKey=made["secret"])) == [[0, 0, b"v"]]
    engine.ctl("key", "revoke", app, made["key"])
    assert worker.status("Authenticate", by_id) == "unauthorized"
    assert worker.status("Authenticate", {"apiKey": secret}) == "ok"


@pytest.mark.parametrize("keys", [
    [], ["app"], ["key"], ["apiKey", "app"], ["apiKey", "app", "key"], ["apiKey", "clientToken"],
    ["clientToken"], ["clientToken", "payloadHash", "app", "key"], ["payloadHash"],
    ["apiKey", "clientToken", "payloadHash"],
], ids=str)
def test_exactly_one_of_three(engine, worker, keys):
    app, secret = engine.app()
    whole = {"apiKey": secret, "app": app, "key": "key_0123456789ab",
             "clientToken": create(worker, app)["token"], "payloadHash": HASH}
    assert worker.status("Authenticate", {k: whole[k] for k in keys}) == "bad-request"
    none = {k: whole[k] if k in keys else None for k in whole}
    assert worker.status("Authenticate", none) == "bad-request"


# ---- Inspect ----------------------------------------------------------------------------

def inspect(link, app, token):
    return link.call("Inspect", {"app": app, "token": token})


@pytest.mark.parametrize("version", token_codec.VERSIONS, ids=str)
def test_inspect_says_what_a_token_holds(engine, worker, version):
    app, _ = engine.app()
    curve, _, _, metadata = token_codec.VERSIONS[version]
    public = engine.app_keys()[curve][0].public_key()
    when = 1_700_000_000
    for kind in ("string", "number", "boolean"):
        for role in (None, "a-role") if metadata else (None,):
            seen = inspect(worker, app, token_codec.make(public, "1", kind, version, role, when))
            assert len(seen.pop("fingerprint")) == 32
            assert seen == {"status": OK, "type": kind, "role": role, "integer": kind == "number",
                            "encrypted_ms": when * 1000 if metadata else None}


def test_fingerprints(engine, worker):
    """Equal for equal values of an app, however they were sealed."""
    def prints(name):
        keys = {c: k[0].public_key() for c, k in engine.app_keys(name).items()}
        app = engine.app(name)[0]
        sealed = [token_codec.make(keys[curve], "4111", "string", version)
                  for version, (curve, *_) in token_codec.VERSIONS.items()]
        same = {inspect(worker, app, t)["fingerprint"] for t in sealed}
        assert len(same) == 1
        return same | {inspect(worker, app, t)["fingerprint"] for t in (
            token_codec.make(keys["r1"], "4112"), token_codec.make(keys["r1"], ""),
            token_codec.make(keys["r1"], "4111", "number"),
            token_codec.make_file(keys["r1"], b"4111"))}
    mine, others = prints("app"), prints("other")
    assert len(mine) == len(others) == 5 and not mine & others
    plain = {hashlib.sha256(v).digest() for v in (b"4111", b"\0" + b"4111", b"4112")}
    assert not plain & mine


def test_what_cannot_be_inspected(engine, worker):
    app, _ = engine.app()
    public = engine.app_keys()["r1"][0].public_key()
    token = token_codec.make(public, "v")
    foreign = token_codec.make(engine.app_keys("other")["r1"][0].public_key(), "v")
    nothing = {"type": None, "integer": False, "role": None, "encrypted_ms": None, "fingerprint": None}
    for what, status in ((foreign, CHANGED), ("v", NOT_A_TOKEN), ("", NOT_A_TOKEN),
                         (token[:-5] + "A:$", CHANGED), ("ev:debug" + token[2:], DEBUG),
                         (b"%EVENC", NOT_A_TOKEN)):
        seen = inspect(worker, app, what)
        assert seen["status"] in (status, NOT_A_TOKEN) and {**seen, **nothing} == seen
    sealed = token_codec.make_file(public, b"v" * 1_000_000)
    assert inspect(worker, app, sealed)["type"] == "file"
    for body, status in (({"app": app}, "bad-request"), ({"token": token}, "bad-request"),
                         ({"app": app, "token": 1}, "bad-request"),
                         ({"app": "app_none", "token": token}, "no-such-app"),
                         ({"app": "app_system", "token": token}, "not-allowed")):
        assert worker.status("Inspect", body) == status


def test_a_closed_role_can_be_inspected(engine, worker):
    """No value leaves: the policy has no say."""
    app, _ = engine.app("guarded")
    close_role(engine, app)
    token = token_codec.make(engine.app_keys("guarded")["r1"][0].public_key(), "v",
                             role="closed")
    assert open_one(worker, token, app)[0] == FORBIDDEN
    seen = inspect(worker, app, token)
    assert (seen["status"], seen["role"]) == (OK, "closed")


def test_fingerprints_live_through_a_rotation(engine, worker):
    app, _ = engine.app("turned")

    def seen():
        (_, token), = worker.call("Encrypt", encrypt(app, [b"v"]))
        return inspect(worker, app, token)["fingerprint"]
    first, old = seen(), first_pair(engine, app)
    engine.ctl("app", "rotate", app)
    assert seen() == first
    engine.ctl("app", "retire", app, old)
    assert seen() == first
    engine.ctl("app", "destroy", app, old, "--yes")
    assert seen() != first


def test_no_value_and_no_secret_in_the_logs(engine, worker):
    app, _ = engine.app()
    value = b"never-in-a-log-4111"
    token = create(worker, app)["token"]
    use(worker, token)
    inspect(worker, app, seal_one(worker, app, value)[1])
    logs = engine.logs()
    assert value.decode() not in logs and token not in logs and token.split(".")[2] not in logs
