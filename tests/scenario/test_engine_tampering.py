"""Tokens and sealed records that somebody changed: every bit, every length, the
wrong app, an older version.  Nothing of it is ever opened or taken, each is
refused by its right name, the good ones serve on, the engine does not die."""
import os
import random
import signal
import string

import pytest

import record_reader
import token_codec
from conftest import running, stand_still, until
from rpc_client import connect, decrypt, encrypt

NOT_A_TOKEN, WRONG_OR_CHANGED, DEBUG = 1, 2, 5
BASE64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
VALUE = b"4111 1111 1111 1111"
VERSIONS = [*token_codec.VERSIONS]
UNBOUND = (None, "RFVC", "T1JL")    # do not bind the sign of the ephemeral key's y


@pytest.fixture(scope="module")
def installation(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("stack"), ca, workers=1) as stack:
        stack.app()
        stack.app("other")
        yield stack


@pytest.fixture
def engine(installation):
    """The engine must be the same process afterwards, and serve."""
    pid = installation.child("e3d")
    yield installation
    assert installation.child("e3d") == pid, "the engine died"
    with connect(installation) as link:
        app = installation.app()[0]
        (_, token), = link.call("Encrypt", encrypt(app, [VALUE]))
        assert link.call("Decrypt", decrypt([token], app=app)) == [[0, 0, VALUE]]


@pytest.fixture
def worker(engine):
    with connect(engine) as link:
        yield link


def token_of(stack, version, app="app", kind="string"):
    curve, _, _, metadata = token_codec.VERSIONS[version]
    return token_codec.make(stack.app_keys(app)[curve][0].public_key(), VALUE, kind, version,
                            "a-role" if metadata else None).encode()


def statuses(link, tokens, app):
    """How each ends; what is not opened has no bytes."""
    answer = link.call("Decrypt", decrypt(tokens, app=app))
    assert len(answer) == len(tokens) and all(a[2] == b"" for a in answer if a[0] != 0)
    return [a[0] for a in answer]


# ---- tokens -------------------------------------------------------------------------------

def changed(token):
    """Every character by each of its bits of base64, and by what has no place there."""
    for i, c in enumerate(token):
        others = {ord(":"), ord("="), ord("$"), 0, 0xff, c ^ 0x20}
        if chr(c) in BASE64:
            others |= {ord(BASE64[BASE64.index(chr(c)) ^ 1 << bit]) for bit in range(6)}
        for other in others - {c}:
            yield token[:i] + bytes([other]) + token[i + 1:]


def same_but_for_the_sign(version, a, b):
    """Documented of the oldest versions: y or -y gives the same key (docs/records.md)."""
    if version not in UNBOUND:
        return False
    a, b = a.split(b":"), b.split(b":")
    if len(a) != len(b) or a[:-3] + a[-2:] != b[:-3] + b[-2:] or len(b[-3]) != 44:
        return False
    try:
        a, b = (token_codec.unb64(t[-3].decode()) for t in (a, b))
    except ValueError:
        return False
    return a[1:] == b[1:] and {a[0], b[0]} == {2, 3}


@pytest.mark.parametrize("kind", ["string", "number"])
@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_a_token_with_any_bit_changed(engine, worker, version, kind):
    app, token = engine.app()[0], token_of(engine, version, kind=kind)
    tokens = list(changed(token))
    assert len(tokens) > 800
    ends = statuses(worker, tokens, app)
    opened = {t for t, end in zip(tokens, ends) if end == 0}
    assert opened == {t for t in tokens if same_but_for_the_sign(version, token, t)}
    assert len(opened) == (version in UNBOUND)
    assert set(ends) - {0} == {NOT_A_TOKEN, WRONG_OR_CHANGED}
    # sealing with "verify" is sealing of any text: only what opens is passed
    answer = worker.call("Encrypt", encrypt(app, tokens))
    assert [s == 1 for s, _ in answer] == [t in opened for t in tokens]


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_a_token_of_any_other_length(engine, worker, version):
    app, token = engine.app()[0], token_of(engine, version)
    cut = [token[:n] for n in range(len(token))] + [token[n:] for n in range(1, len(token))]
    assert set(statuses(worker, cut, app)) == {NOT_A_TOKEN}
    holes = [token[:i] + token[i + 1:] for i in range(len(token))]
    twice = [token[:i] + token[i:i + 1] + token[i:] for i in range(len(token))]
    assert set(statuses(worker, holes + twice, app)) <= {NOT_A_TOKEN, WRONG_OR_CHANGED}
    *head, data, tail = token.decode().split(":")
    data = token_codec.unb64(data)
    shorter = [":".join([*head, token_codec.b64(part), tail]) for part in
               [data[:n] for n in range(len(data))] + [data[n:] for n in range(1, len(data))] +
               [data + bytes(n) for n in range(1, 20)]]
    ends = statuses(worker, shorter, app)
    assert set(ends) == {NOT_A_TOKEN, WRONG_OR_CHANGED}
    assert ends[:16] == [NOT_A_TOKEN] * 16, "not even a tag"
    assert statuses(worker, [token], app) == [0]


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_a_token_of_another_app_or_for_debugging(engine, worker, version):
    app, other = engine.app()[0], engine.app("other")[0]
    mine, theirs = token_of(engine, version), token_of(engine, version, "other")
    assert statuses(worker, [mine, theirs], app) == [0, WRONG_OR_CHANGED]
    assert statuses(worker, [mine, theirs], other) == [WRONG_OR_CHANGED, 0]
    debug = [b"ev:debug" + t[2:] for t in (mine, theirs)]
    assert statuses(worker, debug, app) == [DEBUG, DEBUG]
    assert statuses(worker, [b"ev:debug" + debug[0][2:]], app) == [NOT_A_TOKEN], "twice"
    # parts of two good tokens of the same app
    again = token_of(engine, version).split(b":")
    parts = mine.split(b":")
    mixed = [b":".join(parts[:i] + [again[i]] + parts[i + 1:])
             for i in (len(parts) - 4, len(parts) - 3, len(parts) - 2)]
    assert statuses(worker, mixed, app) == [WRONG_OR_CHANGED] * 3


def test_what_rewrap_takes_is_no_more(engine):
    app, token = engine.app()[0], token_of(engine, "QkTC")
    rng = random.Random(4)
    tokens = [token, token_of(engine, "QkTC", "other"), b"ev:debug" + token[2:],
              *rng.sample(list(changed(token)), 200), token]
    with connect(engine, "admin") as admin:
        answer = admin.call_signed("Rewrap", {"app": app, "curve": "r1",
                                              "tokens": [[t] for t in tokens]})
    assert [status for status, _ in answer[:3]] == [0, WRONG_OR_CHANGED, DEBUG]
    assert {status for status, _ in answer[3:-1]} == {NOT_A_TOKEN, WRONG_OR_CHANGED}
    assert all(new == b"" for status, new in answer if status != 0)
    for status, new in (answer[0], answer[-1]):
        assert status == 0 and token_codec.open_token(
            new.decode(), engine.app_keys())[:2] == ("string", VALUE)


# ---- records, as the helper's role could send them ------------------------------------------

@pytest.fixture
def helper(engine):
    """A link of the helper's role; what the engine has loaded stays what it was."""
    with connect(engine, "helper") as link, connect(engine, "admin") as admin:
        before = link.call("Checksum"), admin.call("ListApps")
        yield link
        assert (link.call("Checksum"), admin.call("ListApps")) == before


def record_file(stack, name="app"):
    return stack.dir / f"e3/{stack.app(name)[0]}.rec"


def all_broken(link, records, good):
    """None of them is taken, alone or beside a good one."""
    assert len(records) > 0
    assert link.status("LoadRecords", {"records": records}) == "bad-request"
    answer = link.call("LoadRecords", {"records": records[::2] + [good] + records[1::2]})
    assert {k: answer[k] for k in ("loaded", "broken", "rollbacks", "conflicts")} == {
        "loaded": 1, "broken": len(records), "rollbacks": 0, "conflicts": 0}


def test_records_of_any_other_length(engine, helper):
    good = record_file(engine).read_bytes()
    lengths = [*range(64), *range(64, len(good), 7), len(good) - 1]
    all_broken(helper, [good[:n] for n in lengths], good)
    all_broken(helper, [good + bytes(n) for n in (1, 16, 32, 4096)] + [good * 2, b"\0" + good],
               good)


def test_records_with_any_byte_changed(engine, helper):
    good, rng = record_file(engine).read_bytes(), random.Random(5)
    all_broken(helper, [good[:i] + bytes([good[i] ^ 1 << rng.randrange(8)]) + good[i + 1:]
                        for i in range(len(good))], good)


def test_records_with_another_header(engine, helper):
    """The header can be read and written by anybody, and is sealed with the rest."""
    good, other = (record_file(engine, name).read_bytes() for name in ("app", "other"))
    app, other_app = (engine.app(name)[0].encode() for name in ("app", "other"))
    n = 6 + len(app)
    version = int.from_bytes(good[n:n + 8], "big")
    headers = [good[:4] + bytes([f]) + good[5:] for f in (0, 1, 2, 3, 255) if f != good[4]]
    headers += [good[:n] + v.to_bytes(8, "big") + good[n + 8:]
                for v in (0, 1, version - 1, version + 1, 1 << 63, (1 << 64) - 1) if v != version]
    headers += [good.replace(app, b"app_" + name) for name in
                (b"0" * 12, b"system", b"x" * 35, b"../../etc/pa", b"A" * 12, b"\0" * 12)]
    headers += [good.replace(app, other_app), other.replace(other_app, app),
                good[:n + 8] + other[n + 8:], other[:n + 8] + good[n + 8:]]
    all_broken(helper, headers, good)


def test_records_of_another_root_key_or_of_the_past(engine, helper):
    good = record_file(engine).read_bytes()
    root = (engine.dir / "root.key").read_bytes()
    app, version, _, secrets = record_reader.read(good, root)
    pairs = list(zip(("r1", "k1"), secrets))
    # beside the present version: of a thief who has the pairs, and no root key
    all_broken(helper, [record_reader.write(app, v, pairs, bytes(32))
                        for v in (1, version, version + 1)], good)
    older = record_reader.write(app, version - 1, pairs, root)
    same = record_reader.write(app, version, pairs, root)
    for record, counted in ((older, "rollbacks"), (same, "conflicts")):
        assert helper.status("LoadRecords", {"records": [record]}) == "conflict"
        answer = helper.call("LoadRecords", {"records": [record, good]})
        assert answer["loaded"] == answer[counted] == 1
        assert answer["active"] == [[app, version]] * 2


# ---- records on the disk ---------------------------------------------------------------------

DAMAGES = {
    "truncated": lambda record, other: record[:len(record) // 2],
    "empty": lambda record, other: b"",
    "swapped": lambda record, other: other,
    "renamed": lambda record, other: other.replace(other[6:22], record[6:22]),
    "version": lambda record, other: record[:22] + (9).to_bytes(8, "big") + record[30:],
    "flipped": lambda record, other: record[:100] + bytes([record[100] ^ 4]) + record[101:],
}


def opens(stack, name, token):
    with connect(stack) as link:
        status = link.status("PublicKeys", {"app": stack.app(name)[0]})
        if status != "ok":
            return status
        return link.call("Decrypt", decrypt([token], apiKey=stack.app(name)[1]))[0][2]


def prepared(stack):
    """(tokens, files) of one app for each damage, and of one that stays whole."""
    names = [*DAMAGES, "whole"]
    tokens = {name: token_of(stack, "QkTC", name) for name in names if stack.app(name)}
    return tokens, {name: record_file(stack, name) for name in names}


def damage(files):
    whole = {name: f.read_bytes() for name, f in files.items()}
    damaged = {name: change(whole[name], whole["whole"]) for name, change in DAMAGES.items()}
    for name, record in damaged.items():
        files[name].write_bytes(record)
    return whole, damaged


def test_damaged_files_are_named_and_the_good_one_serves(make_stack):
    stack = make_stack(workers=1, redis=False)
    tokens, files = prepared(stack)
    stack.relayd.end()
    whole, damaged = damage(files)
    log_from = len(stack.logs())
    stack.start()
    assert opens(stack, "whole", tokens["whole"]) == VALUE
    for name in DAMAGES:
        assert opens(stack, name, tokens[name]) == "no-such-app", name
        app = stack.app(name)[0]
        assert any(app in line and " error " in line
                   for line in stack.logs()[log_from:].splitlines()), f"{name} is named"
        assert files[name].read_bytes() == damaged[name], "left as it is"
    with connect(stack) as link:
        counts = link.call("GetStatistics")
        assert (counts["ready"], counts["apps"]) == (True, 1)
    # the operator puts the right ones back
    stack.relayd.end()
    for name, record in whole.items():
        files[name].write_bytes(record)
    stack.start()
    for name, token in tokens.items():
        assert opens(stack, name, token) == VALUE, name


def test_damaged_files_are_healed_by_the_copy_in_redis(make_stack):
    stack = make_stack(workers=1)
    tokens, files = prepared(stack)
    apps = {stack.app(name)[0] for name in tokens}
    until("all are copied", lambda: apps <= set(stack.redis.cli("HKEYS", "relay:apps").split()))
    until("in their last version", lambda: stack.status()["helper"]["pending_replication"] == 0)
    stack.relayd.end()
    whole, _ = damage(files)
    stack.start()
    for name, token in tokens.items():
        until(f"{name} serves", lambda name=name, token=token: opens(stack, name, token) == VALUE)
    until("the files are whole", lambda: {n: f.read_bytes() for n, f in files.items()} == whole)


@pytest.mark.parametrize("name", [n for n in DAMAGES if n != "swapped"])
def test_a_file_is_damaged_and_the_helper_starts_anew(make_stack, name):
    """The engine goes on with what it has; the copy in Redis heals the file and is
    itself not touched by what nobody could open."""
    stack = make_stack(workers=1)
    token, file = (stack.app("app"), token_of(stack, "QkTC"))[1], record_file(stack)
    stack.app("whole")
    good = file.read_bytes()
    until("it is copied", lambda: stack.status()["helper"]["pending_replication"] == 0)
    engine, helper = stack.child("e3d"), stack.child("e3-helper")
    stand_still(helper)
    file.write_bytes(DAMAGES[name](good, record_file(stack, "whole").read_bytes()))
    os.kill(helper, signal.SIGKILL)
    until("a new helper", lambda: stack.child("e3-helper") not in (None, helper))
    until("the file is whole again", lambda: file.read_bytes() == good)
    assert opens(stack, "app", token) == VALUE
    stack.ctl("key", "create", stack.app()[0])
    assert stack.child("e3d") == engine


@pytest.mark.parametrize("redis", [True, False], ids=["redis", "disk-alone"])
def test_an_older_file_put_back_while_the_engine_runs(make_stack, redis):
    """No change is built on it, and what the engine has serves on."""
    stack = make_stack(workers=1, redis=redis, e3_conf="auth_cache_s = 0\n")
    app = stack.app()[0]
    file = record_file(stack)
    older = file.read_bytes()
    made = stack.ctl("key", "create", app, "--json").stdout
    newer, token = file.read_bytes(), token_of(stack, "QkTC")
    if redis:
        until("it is copied", lambda: stack.status()["helper"]["pending_replication"] == 0)
    file.write_bytes(older)
    assert opens(stack, "app", token) == VALUE
    refused = stack.ctl("key", "create", app, code=None)
    if refused.returncode != 0:
        assert refused.stdout == b"" and b"relayctl: " in refused.stderr
    # nobody was told that the newest key exists, and then it does not
    with connect(stack, "admin") as admin:
        keys = {k[0] for k in admin.call("ListKeys", {"app": app})}
    assert made.split(b'"key"')[1].split(b'"')[1].decode() in keys
    assert opens(stack, "app", token) == VALUE
    # the engine forgets; the helper, started anew, finds what there is
    stack.relayd.end()
    if redis:
        stack.start()
        until("the newer one is back", lambda: file.read_bytes() != older)
        assert record_reader.read(file.read_bytes(), (stack.dir / "root.key").read_bytes())[1] >= \
            record_reader.read(newer, (stack.dir / "root.key").read_bytes())[1]
    else:
        file.write_bytes(newer)
        stack.start()
    with connect(stack, "admin") as admin:
        until("all keys are there", lambda: keys <= {
            k[0] for k in admin.call("ListKeys", {"app": app})})
    assert opens(stack, "app", token) == VALUE


def test_an_older_file_put_back_while_all_is_stopped(make_stack):
    """Redis is ahead: the newer record comes back from there."""
    stack = make_stack(workers=1)
    app, first_key = stack.app()
    file = record_file(stack)
    older = file.read_bytes()
    stack.ctl("key", "create", app)
    until("it is copied", lambda: stack.status()["helper"]["pending_replication"] == 0)
    newer, token = file.read_bytes(), token_of(stack, "QkTC")
    assert older != newer
    stack.relayd.end()
    file.write_bytes(older)
    stack.start()
    until("the newer one is back", lambda: file.read_bytes() == newer)
    with connect(stack, "helper") as helper:
        until("and active",
              lambda: helper.status("LoadRecords", {"records": [older]}) == "conflict")
        assert helper.call("LoadRecords", {"records": [newer]})["loaded"] == 1
    assert opens(stack, "app", token) == VALUE
    assert stack.app() == (app, first_key)
