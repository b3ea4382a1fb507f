"""The engine protocol, by a client written from docs/rpc.md: who is let in, who
may call what, and what becomes of values.  Peers: links of every role."""
import datetime
import json
import os
import pathlib
import re
import socket
import ssl
import stat
import subprocess

import pytest
from cryptography import x509

import record_reader
import token_codec
from conftest import SHARED, TOP, Stack, sanitizer_check, until
from link_ca import LinkCA
from rpc_client import Refused, connect, decrypt, encrypt

VECTORS = SHARED / "spec/ciphertext-vectors.json"
VECTOR_APP = "app_vectors"
CURVE = {"prime256v1": "r1", "secp256k1": "k1"}
VERSION = {"r1": "QkTC", "k1": "S0lS"}


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
    yield stack
    errors = []
    stack.stop()
    sanitizer_check(stack, errors)
    assert not errors, "\n".join(errors)


@pytest.fixture
def worker(engine):
    with connect(engine, "worker") as link:
        yield link


@pytest.fixture
def admin(engine):
    with connect(engine, "admin") as link:
        yield link


# ---- who is let in ------------------------------------------------------------------

def let_in(stack, tcp, **options):
    """In TLS 1.3 a client learns from its first read that it was refused."""
    try:
        with connect(stack, tcp=tcp, **options) as link:
            return link.status("Ping") == "ok"
    except (ssl.SSLError, ConnectionError, EOFError):
        return False


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_only_mutual_tls_1_3(engine, tmp_path, tcp):
    own = LinkCA(engine, tmp_path / "own")
    foreign = LinkCA(engine, tmp_path / "foreign", foreign=True)
    good = "relay://link/worker/test"
    with connect(engine, tcp=tcp) as link:
        assert link.sock.version() == "TLSv1.3"
        assert link.call("Ping")["ready"] is True
        assert not link.sock.session_reused and not link.sock.session.has_ticket
    assert let_in(engine, tcp, **own.role(good))
    assert not let_in(engine, tcp, newest=ssl.TLSVersion.TLSv1_2)
    assert not let_in(engine, tcp, pem=None, key=None)
    assert not let_in(engine, tcp, **foreign.role(good))
    assert not let_in(engine, tcp, **own.role(good, days=-1))
    for wrong in ([], ["relay://link/king/x"], ["relay://link/worker/"], ["relay://link/worker"],
                  ["https://link/worker/x"], ["relay://link/engine/x"],
                  [good, "relay://link/admin/x"]):
        assert not let_in(engine, tcp, **own.role(*wrong)), wrong


def test_the_role_is_the_one_of_the_san(engine, tmp_path):
    own = LinkCA(engine, tmp_path)
    with connect(engine, **own.role("relay://link/admin/x", cn="relay://link/worker/x")) as link:
        assert link.status("ListApps") == "ok"
        assert link.status("PublicKeys", {"app": engine.app()[0]}) == "not-allowed"


def test_revoked_certificates_stay_out(make_stack, tmp_path):
    stack = make_stack(start=False)
    own = LinkCA(stack, tmp_path / "own")
    revoked, other = (own.role("relay://link/worker/x") for _ in range(2))
    serial = x509.load_pem_x509_certificate(revoked["pem"].read_bytes()).serial_number
    (stack.dir / "link/revoked").write_text(f"# lost\n{serial:X}\n")
    stack.start()
    assert not let_in(stack, False, **revoked)
    assert let_in(stack, False, **other)


def test_without_tls_nothing_is_answered(engine):
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(30)
        plain.connect(str(engine.run / "e3.sock"))
        plain.sendall(bytes.fromhex("00000009") + bytes.fromhex("94012aa450696e6780"))
        answer = plain.recv(4096)
        assert answer == b"" or answer[0] == 0x15, "a TLS alert at most"
    assert let_in(engine, False)


def test_the_client_of_the_documentation_runs(engine):
    code, = re.findall(r"```python\n(.*?)```", (TOP / "docs/rpc.md").read_text(), re.S)
    link = engine.dir / "link"
    run = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, env={
        "E3_CA": str(link / "ca.pem"), "E3_CERT": str(link / "worker.pem"),
        "E3_KEY": str(link / "worker.key"), "RELAY_E3": f"127.0.0.1:{engine.e3_port}",
        "RELAY_APP_ID": engine.app()[0]}, check=False)
    assert run.returncode == 0, run.stderr
    assert "'ready': True" in run.stdout and run.stdout.count("ev:QkTC:") == 2


# ---- who may seal and open what (every op with every role: test_engine_trust.py) ------

def test_the_finer_rules_of_encrypt_and_decrypt(engine, worker, admin):
    app, _ = engine.app()
    system = encrypt("app_system", [b"v"])
    assert worker.status("Encrypt", system) == "not-allowed"
    with connect(engine, "feed") as feed:
        assert feed.status("Encrypt", system) == "no-such-app"
    assert admin.status("Decrypt", decrypt(["x"], app=app)) == "not-allowed"
    assert worker.status("Decrypt", decrypt(["x"], app="app_system")) == "not-allowed"
    assert worker.status("Decrypt", decrypt(["x"])) == "bad-request"
    assert worker.status("Decrypt", decrypt(["x"], app=app, apiKey="k")) == "bad-request"
    assert worker.status("Encrypt", encrypt("app_none", [b"v"])) == "no-such-app"
    assert worker.status("PublicKeys", {"app": "app_none"}) == "no-such-app"
    assert worker.status("Encrypt2") == "unknown-op"


# ---- signed calls ---------------------------------------------------------------------

def test_signatures_that_do_not_hold(engine, admin):
    body = {"name": "never"}

    def challenge(link=admin):
        return link.call("Challenge")["challenge"]

    def refused(signature, link=admin):
        return link.status("CreateApp", body, signature=signature) == "not-allowed"

    before = admin.call("ListApps")
    assert refused(None)
    challenge()
    assert refused(None)
    assert refused(b""), "the refusal before has used the challenge up"
    challenge()
    assert refused(b"")
    assert refused(admin.sign(os.urandom(32), "CreateApp", body))
    challenge()
    assert refused(admin.sign(os.urandom(32), "CreateApp", body))
    right = bytearray(admin.sign(challenge(), "CreateApp", body))
    right[-1] ^= 1
    assert refused(bytes(right))
    assert refused(admin.sign(challenge(), "CreateApp", {"name": "other"}))
    assert refused(admin.sign(challenge(), "CreateKey", body))
    assert refused(admin.sign(challenge(), "CreateApp", body, id=1 << 40))
    # another certificate of the same role, another link's challenge
    with connect(engine, "admin") as other:
        assert refused(admin.sign(challenge(other), "CreateApp", body))
        other.key_file = engine.dir / "link/worker.key"
        assert refused(other.sign(challenge(other), "CreateApp", body), other)
    # used once, it is used up: the same frame's signature, or a new one
    used = challenge()
    signature = admin.sign(used, "CreateApp", body)
    assert admin.status("CreateApp", body, signature=signature) == "ok"
    assert refused(signature)
    assert refused(admin.sign(used, "CreateApp", body))
    # a wrong one uses it up, too; a new challenge replaces the one before
    spent = challenge()
    assert refused(b"wrong")
    assert refused(admin.sign(spent, "CreateApp", body))
    first, _ = challenge(), challenge()
    assert refused(admin.sign(first, "CreateApp", body))
    assert admin.call("ListApps") == before, "what was made is pending"


def test_two_phases(stack):
    """A key that was made and not loaded refuses every use; loaded, it works."""
    root = (stack.dir / "root.key").read_bytes()
    with connect(stack, "admin") as admin, connect(stack, "helper") as helper, \
            connect(stack, "worker") as worker:
        made = admin.call_signed("CreateApp", {"name": "two phases"})
        app, version, document, _ = record_reader.read(made["record"], root)
        assert (app, version, document["name"]) == (made["app"], made["version"], "two phases")
        assert made["version"] == 1
        assert worker.status("Encrypt", encrypt(app, [b"v"])) == "no-such-app"
        loaded = helper.call("LoadRecords", {"records": [made["record"]]})
        assert (loaded["loaded"], loaded["active"]) == (1, [[app, 1]])
        (_, token), = worker.call("Encrypt", encrypt(app, [b"v"]))
        assert token_codec.open_token(token.decode(), record_reader.pairs(
            made["record"], root))[1] == b"v"

        key = admin.call_signed("CreateKey", {"app": app, "scopes": ["decrypt"]})
        assert key["version"] == 2
        assert worker.status("Authenticate", {"apiKey": key["secret"]}) == "unauthorized"
        epoch = worker.call("Ping")["keys_epoch"]
        helper.call("LoadRecords", {"records": [key["record"]]})
        assert worker.call("Ping")["keys_epoch"] != epoch
        who = worker.call("Authenticate", {"apiKey": key["secret"]})
        assert (who["app"], who["key"], who["scopes"]) == (app, key["key"], ["decrypt"])

        gone = admin.call_signed("RevokeKey", {"app": app, "key": key["key"]})
        assert worker.status("Authenticate", {"apiKey": key["secret"]}) == "ok"
        helper.call("LoadRecords", {"records": [gone["record"]]})
        assert worker.status("Authenticate", {"apiKey": key["secret"]}) == "unauthorized"
        for record, status in ((key["record"], "conflict"), (b"RLYR", "bad-request"),
                               (gone["record"][:-1] + b"\0", "bad-request")):
            assert helper.status("LoadRecords", {"records": [record]}) == status
        with pytest.raises(Refused, match="conflict"):
            admin.call_signed("RevokeKey", {"app": app, "key": key["key"]})
        with pytest.raises(Refused, match="no-such-key"):
            admin.call_signed("RevokeKey", {"app": app, "key": "key_none"})
        assert helper.status("SetReady", {"checksum": bytes(32)}) == "conflict"


# ---- values to tokens -------------------------------------------------------------------

@pytest.mark.parametrize("curve", ["r1", "k1"])
@pytest.mark.parametrize("scope", ["request", "field"])
def test_tokens_of_every_type_open_by_the_independent_codec(engine, worker, curve, scope):
    app, _ = engine.app()
    values = [(0, b""), (0, "ünï \U0001f512\0".encode()), (0, b"\xff\xfe"), (0, b"x" * 100_000),
              (1, b"-1.50e+3"), (2, b"true"), (2, b"false"), (0, b"v", b"a-role"),
              (1, b"7", b"x" * 20), (0, b"n", None)]
    answer = worker.call("Encrypt", encrypt(app, values, curve, scope))
    assert [status for status, _ in answer] == [0] * len(values)
    tokens = [token.decode() for _, token in answer]
    for (kind, value, *role), token in zip(values, tokens):
        assert token.startswith(f"ev:{VERSION[curve]}:")
        opened, plain, meta = token_codec.open_token(token, engine.app_keys())
        assert (opened, plain) == (["string", "number", "boolean"][kind], value)
        assert meta.get("dr", "").encode() == (role[0] if role and role[0] else b"")
        assert meta["eo"] == 20 and abs(meta["et"] - datetime.datetime.now().timestamp()) < 60
    parts = [t.removesuffix(":$").split(":") for t in tokens]
    assert len({p[-2] for p in parts}) == (1 if scope == "request" else len(values))
    assert len({p[-3] for p in parts}) == len(values), "every IV is new"


def test_values_that_are_tokens_already(engine, worker):
    app, _ = engine.app()
    engine.app("other")
    keys = engine.app_keys()
    mine = [token_codec.make(keys[c][0].public_key(), "mine", "string", v).encode()
            for v, (c, *_) in token_codec.VERSIONS.items()]
    foreign = token_codec.make(engine.app_keys("other")["r1"][0].public_key(), "x").encode()
    others = [foreign, mine[0][:-6] + b"AAAA:$", b"ev:debug" + mine[0][2:], b"ev:", mine[0] + b" "]
    answer = worker.call("Encrypt", encrypt(app, mine + others))
    assert answer[:len(mine)] == [[1, b""]] * len(mine), "passed"
    for value, (status, token) in zip(others, answer[len(mine):]):
        assert status == 0 and token_codec.open_token(token.decode(), keys)[1] == value
    for value, (status, token) in zip(mine + others, worker.call(
            "Encrypt", encrypt(app, mine + others, existing="encrypt"))):
        assert status == 0 and token_codec.open_token(token.decode(), keys)[1] == value
    # a number or a boolean is never taken for a token
    (status, _), = worker.call("Encrypt", encrypt(app, [(1, mine[0])]))
    assert status == 0


@pytest.mark.parametrize("change", [
    {"curve": "p521"}, {"curve": 1}, {"keyScope": "call"}, {"existing": "keep"}, {"app": None},
    {"app": ""}, {"fields": None}, {"fields": {}}, {"fields": [0]}, {"fields": [[]]},
    {"fields": [[0]]}, {"fields": [[0, 1]]}, {"fields": [[0, None]]}, {"fields": [["0", b"v"]]},
    {"fields": [[3, b"v", "role"]]}, {"fields": [[4, b"v"]]}, {"fields": [[-1, b"v"]]},
    {"fields": [[0, b"v", "", 1]]}, {"fields": [[0, b"v", "No_Role"]]},
    {"fields": [[0, b"v", "x" * 21]]}, {"fields": [[0, b"ok"], [0, b"v", 5]]},
], ids=str)
def test_what_encrypt_cannot_mean_is_refused_whole(engine, worker, change):
    body = {**encrypt(engine.app()[0], [b"v"]), **change}
    assert worker.status("Encrypt", body) == "bad-request"
    for key in change:
        del body[key]
        assert worker.status("Encrypt", body) == "bad-request"


# ---- tokens to values -------------------------------------------------------------------

@pytest.mark.parametrize("version", token_codec.VERSIONS, ids=str)
def test_every_version_opens(engine, worker, version):
    app, _ = engine.app()
    curve, _, _, metadata = token_codec.VERSIONS[version]
    public = engine.app_keys()[curve][0].public_key()
    wanted, tokens = [], []
    for number, kind in enumerate(("string", "number", "boolean")):
        for value in (b"", b"v", "ü\U0001f512".encode(), bytes(range(256)), b"x" * 70_000):
            for role in (None, "a-role") if metadata else (None,):
                tokens.append(token_codec.make(public, value, kind, version, role))
                wanted.append([0, number, value])
    assert worker.call("Decrypt", decrypt(tokens, app=app)) == wanted


def test_the_published_vectors(engine, worker):
    v = vectors()
    answer = worker.call("Decrypt", decrypt([t["ciphertext"] for t in v["tokens"]],
                                            app=VECTOR_APP))
    kinds = ["string", "number", "boolean"]
    assert answer == [[0, kinds.index(t["type"]), t["plaintext_utf8"].encode()]
                      for t in v["tokens"]]
    answer = worker.call("Decrypt", decrypt([t["token"] for t in v["must_fail"]],
                                            app=VECTOR_APP))
    assert [(a[0], a[2]) for a in answer] == [(2, b"")] * len(v["must_fail"])


def test_tokens_that_do_not_open(engine, worker):
    app, _ = engine.app()
    engine.app("other")
    good = token_codec.make(engine.app_keys()["r1"][0].public_key(), "v")
    foreign = token_codec.make(engine.app_keys("other")["r1"][0].public_key(), "v")
    head, version, iv, ephemeral, data, tail = good.split(":")
    not_on_curve = token_codec.b64(b"\x02" + b"\xff" * 32)
    cases = [
        (good, 0), (foreign, 2), ("ev:debug" + good[2:], 5), ("ev:debug:" + good[8:], 5),
        ("", 1), ("v", 1), ("ev:$", 1), (good[:-1], 1), (good + " ", 1), (" " + good, 1),
        (good.replace("ev:", "ew:"), 1), (good.replace("QkTC", "XXXX"), 1),
        (good.replace("QkTC", "S0lS"), 2), (good.replace("QkTC", "TENZ"), 2),
        (good.replace("QkTC", "QkTC:number"), 2), (good.replace("QkTC", "QkTC:file"), 1),
        (":".join([head, version, iv, not_on_curve, data, tail]), 2),
        (":".join([head, version, iv, ephemeral, "", tail]), 1),
        (":".join([head, version, iv, ephemeral, data[:-4] + "AAAA", tail]), 2),
    ]
    answer = worker.call("Decrypt", decrypt([t for t, _ in cases], app=app))
    assert [(t, a[0]) for (t, _), a in zip(cases, answer)] == cases
    assert all(a[2] == b"" for a in answer if a[0] != 0)


def test_whose_tokens_an_api_key_opens(engine, worker, admin):
    app, key = engine.app()
    _, other_key = engine.app("other")

    def create(*words):
        return json.loads(engine.ctl("key", "create", app, *words, "--json").stdout)

    revoked, scoped = create(), create("--scope", "decrypt")
    narrow = create("--scope", "run")
    engine.ctl("key", "revoke", app, revoked["key"])
    token = token_codec.make(engine.app_keys()["r1"][0].public_key(), "v")
    for link in (worker, admin):
        for secret in (key, scoped["secret"], key.encode()):
            assert link.call("Decrypt", decrypt([token], apiKey=secret)) == [[0, 0, b"v"]]
        assert link.call("Decrypt", decrypt([token], apiKey=other_key)) == [[2, 0, b""]]
        for secret in (revoked["secret"], key[:-1], key + "x", "x" * 5000):
            assert link.status("Decrypt", decrypt([token], apiKey=secret)) == "unauthorized"
        assert link.status("Decrypt", decrypt([token], apiKey=narrow["secret"])) == "not-allowed"


def test_authenticate_and_public_keys(engine, worker):
    app, key = engine.app()
    who = worker.call("Authenticate", {"apiKey": key})
    assert who["app"] == app and who["key"].startswith("key_") and who["scopes"] == []
    assert who["cache_s"] > 0 and who["keys_epoch"] == worker.call("Ping")["keys_epoch"]
    public = worker.call("PublicKeys", {"app": app})
    keys = engine.app_keys()
    assert public == {"app": app, **{c: token_codec.point(keys[c][0].public_key())
                                     for c in ("r1", "k1")}}


def test_lists_have_no_secrets(engine, admin):
    app, key = engine.app()
    listed = admin.call("ListApps")
    assert app in [row[0] for row in listed] and all(row[2] == "active" for row in listed)
    everything = repr([listed, admin.call("ListKeys", {"app": app})]).encode()
    assert key.encode() not in everything
    root = (engine.dir / "root.key").read_bytes()
    record = (engine.dir / f"e3/{app}.rec").read_bytes()
    _, _, document, secrets = record_reader.read(record, root)
    for secret in secrets + [k[1] for k in document["keys"]]:
        assert repr(secret)[2:-1].encode() not in everything


def test_statistics_count(engine, worker):
    app, _ = engine.app()
    before = worker.call("GetStatistics")
    (_, token), = worker.call("Encrypt", encrypt(app, [b"v"]))
    worker.call("Decrypt", decrypt([token, "x"], app=app))
    worker.status("ListApps")
    after = worker.call("GetStatistics")
    for name, least in (("fields_sealed", 1), ("fields_opened", 1), ("refused", 1), ("calls", 4)):
        assert after[name] - before[name] >= least, name
    assert after["apps"] == len(list(pathlib.Path(engine.dir / "e3").glob("*.rec")))
    with connect(engine, "helper") as helper:
        assert helper.call("Checksum")["checksum"] == after["checksum"]


def test_statistics_lie_in_a_file_too(make_stack):
    """For tools that read files: written again and again, while the engine answers."""
    stack = make_stack()
    file = stack.dir / "e3/statistics.json"

    def read():
        return json.loads(file.read_text()) if file.exists() else {}
    app, _ = stack.app()
    until("it tells of the app", lambda: read().get("apps") == 1)
    first = read()
    assert first["ready"] is True and app not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    until("it is written anew", lambda: read()["written_ms"] > first["written_ms"])
