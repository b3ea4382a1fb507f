"""Keys through their lives, by relayctl and the real processes: rotation under
load, retire and destroy, roles, API keys that end, rewrap of streams, the root
key, link certificates."""
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest

import record_reader
import rpc_client
import token_codec
from conftest import PREFIX, Redis, route, seal, tokens_in, until
from load import Load, no_plaintext

DAY_S = 86_400


def pairs(stack, app, curve="r1"):
    """{pair id: state} of one curve."""
    listed = json.loads(stack.ctl("app", "pairs", app, "--json").stdout)
    return {p["pair"]: p["state"] for p in listed if p["curve"] == curve}


def sealing(stack, app, curve="r1"):
    one, = [pair for pair, state in pairs(stack, app, curve).items() if state == "seals"]
    return one


def encrypt(stack, app, value=b"value", *options):
    return stack.ctl("encrypt", "--app", app, *options, data=value).stdout.decode().strip()


def opened(stack, key, token):
    """What a token opens to, or why it does not."""
    r = stack.ctl("decrypt", "--api-key", key, "--json", data=token.encode(), code=None)
    one, = json.loads(r.stdout)
    return one.get("value", one["status"])


def rotate(stack, app, *options):
    return json.loads(stack.ctl("app", "rotate", app, "--json", *options).stdout)


# ---- rotation ---------------------------------------------------------------------

def test_rotation_under_load_fails_no_request(make_stack, make_origin):
    stack, origin = make_stack(), make_origin()
    app, key = stack.app()
    stack.relay("shop.test", origin, [route("POST", "/pay", encrypt=["$.card.number"],
                                            decrypt=["$.card.number"])])
    before = encrypt(stack, app)
    with Load(stack, n=3) as load:
        for _ in range(3):
            load.wait_right(10)
            done = rotate(stack, app)
            assert done["state"] == "seals" and done["confirmed"] and done["unconfirmed"] == []
        load.wait_right(10)
    assert load.wrong == [] and set(load.counts) == {"right"}, load.counts
    no_plaintext(origin)
    assert sorted(pairs(stack, app).values()) == ["opens"] * 3 + ["seals"]
    assert sorted(pairs(stack, app, "k1").values()) == ["opens"] * 3 + ["seals"]
    # Whatever was made before, meanwhile and after opens, by an engine or by hand.
    after = encrypt(stack, app)
    assert opened(stack, key, before) == opened(stack, key, after) == "value"
    keys = stack.app_keys()
    assert len(keys["r1"]) == len(keys["k1"]) == 4
    used = set()
    for seen in origin.seen():
        for token in tokens_in(seen.body):
            assert token_codec.open_token(token, keys)[1] == b"4111111111111111"
            used |= {i for i, k in enumerate(keys["r1"]) if opens(token, k)}
    assert len(used) >= 3, "each rotation was used"


def opens(token, private):
    try:
        token_codec.open_token(token, {"r1": [private], "k1": []})
    except ValueError:
        return False
    return True


def test_rotation_of_one_curve_and_its_limit(stack):
    app, key = stack.app()
    old = encrypt(stack, app, b"old", "--curve", "k1")
    for _ in range(7):
        assert len(rotate(stack, app, "--curve", "k1")["pairs"]) == 1
    assert len(pairs(stack, app)) == 1 and len(pairs(stack, app, "k1")) == 8
    r = stack.ctl("app", "rotate", app, "--curve", "k1", code=1)
    assert b"retire one" in r.stderr and r.stdout == b""
    assert opened(stack, key, old) == "old"
    one = next(p for p, state in pairs(stack, app, "k1").items() if state == "opens")
    stack.ctl("app", "retire", app, one)
    rotate(stack, app, "--curve", "k1")


def test_retire_destroy_and_back(stack):
    app, key = stack.app()
    first = sealing(stack, app)
    token = encrypt(stack, app, b"by the first")
    second, = [p for p in rotate(stack, app, "--curve", "r1")["pairs"]]
    assert sealing(stack, app) == second
    r = stack.ctl("app", "retire", app, second, code=2)
    assert b"activate another key pair first" in r.stderr
    assert stack.ctl("app", "activate", app, second, code=3).stdout == b""
    r = stack.ctl("app", "destroy", app, first, "--yes", code=2)
    assert b"retire it first" in r.stderr

    stack.ctl("app", "retire", app, first)
    assert opened(stack, key, token) == "wrong-app-or-changed"
    assert opened(stack, key, encrypt(stack, app, b"by the second")) == "by the second"
    assert stack.ctl("app", "retire", app, first, code=3).stdout == b""
    stack.ctl("app", "activate", app, first)         # it was missed
    assert opened(stack, key, token) == "by the first"
    assert pairs(stack, app) == {first: "opens", second: "seals"}
    stack.ctl("app", "activate", app, first)
    assert pairs(stack, app) == {first: "seals", second: "opens"}

    stack.ctl("app", "activate", app, second)
    stack.ctl("app", "retire", app, first)
    r = stack.ctl("app", "destroy", app, first, code=2)
    assert b"NEVER OPEN AGAIN" in r.stderr and pairs(stack, app)[first] == "retired"
    stack.ctl("app", "destroy", app, first, "--yes")
    assert pairs(stack, app) == {second: "seals"}
    assert opened(stack, key, token) == "wrong-app-or-changed"
    r = stack.ctl("app", "activate", app, first, code=2)
    assert b"no such key pair" in r.stderr


def test_nothing_is_destroyed_while_nobody_can_be_asked(stack):
    app, _ = stack.app()
    first = sealing(stack, app)
    rotate(stack, app, "--curve", "r1")
    name = ghost(stack)
    r = stack.ctl("app", "retire", app, first, "--timeout", "1", code=4)
    assert b"retired, not on every engine yet" in r.stdout and name.encode() in r.stderr
    r = stack.ctl("app", "destroy", app, first, "--yes", "--timeout", "1", "--json", code=4)
    assert r.stdout == b"" and name.encode() in r.stderr
    exorcise(stack, name)
    with stack.logs_more("redis down"):
        stack.redis.end(signal.SIGKILL)
    r = stack.ctl("app", "destroy", app, first, "--yes", "--timeout", "1", code=4)
    assert b"redis is away" in r.stderr and b"nothing was destroyed" in r.stderr
    assert pairs(stack, app)[first] == "retired"
    stack.ctl("app", "destroy", app, first, "--yes", "--timeout", "0", code=2)
    stack.redis = stack.own(Redis(stack.dir, stack.redis.port))
    stack.wait_log("redis up", 2)
    stack.ctl("app", "destroy", app, first, "--yes")
    assert first not in pairs(stack, app)


def ghost(stack, name="e3@ghost"):
    """An engine that announces itself and confirms nothing."""
    said = {"name": name, "address": "", "state": "ready", "checksum": "00" * 32, "apps": 0,
            "keys_epoch": 1}
    stack.redis.cli("SADD", "relay:engines", name)
    stack.redis.cli("SET", f"relay:engine:{name}", json.dumps(said), "PX", "600000")
    return name


def exorcise(stack, name):
    stack.redis.cli("DEL", f"relay:engine:{name}")


def test_nothing_seals_before_every_engine_opens_it(stack):
    app, key = stack.app()
    first = sealing(stack, app)
    name = ghost(stack)
    r = stack.ctl("app", "rotate", app, "--curve", "r1", "--timeout", "1", "--json", code=4)
    told = json.loads(r.stdout)
    assert told["unconfirmed"] == [name] and not told["confirmed"] and told["state"] == "opens"
    assert name.encode() in r.stderr and b"app activate" in r.stderr
    second, = told["pairs"]
    assert pairs(stack, app) == {first: "seals", second: "opens"}
    r = stack.ctl("app", "activate", app, second, "--timeout", "1", code=4)
    assert name.encode() in r.stderr and sealing(stack, app) == first
    exorcise(stack, name)
    stack.ctl("app", "activate", app, second)
    assert pairs(stack, app) == {first: "opens", second: "seals"}
    assert opened(stack, key, encrypt(stack, app)) == "value"


# ---- API keys -----------------------------------------------------------------------

def test_a_revocation_names_who_has_not_confirmed(stack):
    app, _ = stack.app()
    one, two = (json.loads(stack.ctl("key", "create", app, "--json").stdout) for _ in "ab")
    told = json.loads(stack.ctl("key", "revoke", app, one["key"], "--json").stdout)
    assert told["revoked"] and told["confirmed"] and told["unconfirmed"] == []
    name = ghost(stack)
    r = stack.ctl("key", "revoke", app, two["key"], "--timeout", "1", "--json", code=4)
    told = json.loads(r.stdout)
    assert told["revoked"] and not told["confirmed"] and told["unconfirmed"] == [name]
    assert name.encode() in r.stderr
    # It is revoked where it can be.
    token = encrypt(stack, app)
    stack.ctl("decrypt", "--api-key", two["secret"], data=token.encode(), code=2)
    # Asked again, it tells whether it is everywhere by now.
    r = stack.ctl("key", "revoke", app, two["key"], "--timeout", "1", code=4)
    assert name.encode() in r.stderr
    exorcise(stack, name)
    assert stack.ctl("key", "revoke", app, two["key"], code=3).stdout == b""


def test_a_key_ends_when_it_was_said_to(stack):
    app, _ = stack.app()
    token = encrypt(stack, app).encode()
    before_ms = time.time_ns() // 1_000_000
    made = json.loads(stack.ctl("key", "create", app, "--expires", "4s", "--json").stdout)
    assert 0 < made["expires_ms"] - before_ms <= 6000
    assert stack.ctl("decrypt", "--api-key", made["secret"], data=token).stdout == b"value\n"

    def state():
        listed = json.loads(stack.ctl("key", "list", app, "--json").stdout)
        return {k["key"]: (k["state"], k.get("expires_ms")) for k in listed}[made["key"]]
    assert state() == ("active", made["expires_ms"])
    until("the key has ended", lambda: state()[0] == "expired")
    assert time.time_ns() // 1_000_000 >= made["expires_ms"]
    stack.ctl("decrypt", "--api-key", made["secret"], data=token, code=2)
    later = json.loads(stack.ctl("key", "create", app, "--expires", "2099-01-01T00:00:00Z",
                                 "--json").stdout)
    assert later["expires_ms"] == 4_070_908_800_000
    assert b"2099-01-01T00:00:00Z" in stack.ctl("key", "list", app).stdout


# ---- roles --------------------------------------------------------------------------

OK, FORBIDDEN, TOO_OLD = 0, 3, 4


def judge(link, app, token, kind="relay", destination=None, address="192.0.2.1"):
    place = {"kind": kind, "address": address}
    if destination:
        place["destination"] = destination
    (status, _, _), = link.call("Decrypt", {"app": app, "place": place, "tokens": [[token]]})
    return status


def put_role(stack, app, role, default, *rules, code=0):
    policy = json.dumps({"default": default, "rules": list(rules)}).encode()
    return stack.ctl("role", "put", app, role, data=policy, code=code)


def test_roles_by_place_address_and_age(stack):
    app, _ = stack.app()
    put_role(stack, app, "pay", "forbid",
             {"effect": "forbid", "addresses": ["198.51.100.0/24"]},
             {"effect": "permit", "place": "egress",
              "destinations": ["api.pay.test", "*.bank.test"]},
             {"effect": "permit", "place": "api", "addresses": ["192.0.2.0/24", "2001:db8::/32"]})
    put_role(stack, app, "young", "permit", {"effect": "forbid", "olderThanSeconds": DAY_S})
    with rpc_client.connect(stack) as link:
        (_, pay), (_, free), (_, none) = link.call("Encrypt", rpc_client.encrypt(
            app, [(0, b"a", "pay"), (0, b"b", "nobody"), b"c"]))
        for token in (free, none):      # no policy for it, no role
            assert judge(link, app, token) == OK
        for kind, destination, address, want in [
                ("relay", "api.pay.test", "192.0.2.1", FORBIDDEN),
                ("egress", "api.pay.test", "192.0.2.1", OK),
                ("egress", "api.pay.test", "198.51.100.7", FORBIDDEN),
                ("egress", "a.bank.test", "192.0.2.1", OK),
                ("egress", "bank.test", "192.0.2.1", FORBIDDEN),
                ("egress", "evil.test", "192.0.2.1", FORBIDDEN),
                ("api", None, "192.0.2.255", OK),
                ("api", None, "192.0.3.0", FORBIDDEN),
                ("api", None, "2001:db8::1", OK),
                ("api", None, "::ffff:192.0.2.1", OK)]:
            assert judge(link, app, pay, kind, destination, address) == want, \
                (kind, destination, address)
        public = stack.app_keys()["r1"][0].public_key()
        now = time.time()
        for age_s, want in [(0, OK), (DAY_S - 60, OK), (DAY_S + 60, TOO_OLD)]:
            token = token_codec.make(public, b"v", role="young", now=now - age_s)
            assert judge(link, app, token) == want, age_s
        # A change is obeyed by the next call.
        put_role(stack, app, "pay", "permit")
        assert judge(link, app, pay) == OK
        stack.ctl("role", "rm", app, "young")
        assert judge(link, app, token) == OK


def test_roles_are_kept_as_they_were_put(stack):
    app, _ = stack.app()
    policy = {"default": "permit", "rules": [
        {"effect": "forbid", "place": "relay", "destinations": ["a.test", "*.b.test"],
         "addresses": ["10.0.0.0/8"], "olderThanSeconds": 60}]}
    assert stack.ctl("role", "list", app, "--json").stdout == b"[]\n"
    stack.ctl("role", "put", app, "ops", data=json.dumps(policy).encode())
    assert json.loads(stack.ctl("role", "get", app, "ops").stdout) == policy
    r = put_role(stack, app, "ops", "permit", {"effect": "forbid", "place": "moon"}, code=2)
    assert b"rules[0].place: must be" in r.stderr
    assert json.loads(stack.ctl("role", "get", app, "ops").stdout) == policy
    # Changes at the same time: none undoes another.
    procs = [subprocess.Popen([str(PREFIX / "bin/relayctl"), "-c", str(stack.dir / "relay.conf"),
                               "role", "put", app, f"r{i}"], stdin=subprocess.PIPE)
             for i in range(4)]
    for p in procs:
        p.communicate(json.dumps({"default": "forbid", "rules": []}).encode(), timeout=60)
    done = [i for i, p in enumerate(procs) if p.returncode == 0]
    listed = json.loads(stack.ctl("role", "list", app, "--json").stdout)
    assert len(done) >= 2 and {r["role"] for r in listed} == {"ops"} | {f"r{i}" for i in done}
    stack.ctl("role", "rm", app, "ops")
    for words in (["get"], ["rm"]):
        r = stack.ctl("role", *words, app, "ops", code=2)
        assert b"no role 'ops'" in r.stderr
    stack.relayd.end()
    stack.start()
    assert len(json.loads(stack.ctl("role", "list", app, "--json").stdout)) == len(done)


# ---- rewrap ---------------------------------------------------------------------------

def values_in(stack, data):
    """The values of all tokens in it, in order."""
    keys = stack.app_keys()
    return [token_codec.open_token(t, keys)[1] for t in tokens_in(data)]


def retire_all_but_sealing(stack, app):
    for curve in ("r1", "k1"):
        for pair, state in pairs(stack, app, curve).items():
            if state == "opens":
                stack.ctl("app", "retire", app, pair)


def test_rewrap_changes_tokens_and_nothing_else(stack):
    app, key = stack.app()
    other, _ = stack.app("other")
    a = encrypt(stack, app, b"4111111111111111")
    n = encrypt(stack, app, b"42", "--type", "number")
    k = encrypt(stack, app, b"by k1", "--curve", "k1")
    foreign = encrypt(stack, other, b"not ours")
    changed = a[:-12] + ("A" if a[-12] != "A" else "B") + a[-11:]
    escaped = a.replace("/", "\\/").replace("+", "\\u002B").replace("e", "\\u0065", 1)
    ndjson = (f'{{"card": {{"number":"{a}"}}, "n": "{n}", "n": 1.0 , "x":"\\\\"}}\r\n'
              f'\n{{"two":["{k}","{escaped}{a}"],"note":"ev:QkTC:no token:$"}}\n'
              f'not json {foreign} {changed}\n"last {a}"').encode()
    first = sealing(stack, app)
    rotate(stack, app)

    r = stack.ctl("rewrap", "--app", app, "--dry-run", "--json", data=ndjson, code=4)
    counts = {"ok": 6, "not-a-token": 0, "wrong-app-or-changed": 2, "forbidden": 0,
              "too-old": 0, "debug": 0}
    assert r.stdout == b""
    assert json.loads(r.stderr) == {"dry_run": True, "lines": 5, "tokens": counts}

    r = stack.ctl("rewrap", "--app", app, data=ndjson, code=4)
    assert b"6 ok" in r.stderr and b"2 wrong-app-or-changed" in r.stderr
    old = tokens_in(ndjson.replace(escaped.encode(), a.encode()))
    new = tokens_in(r.stdout)
    assert len(new) == len(old) == 8
    assert new[5:7] == [foreign, changed]
    mine = [t for t in new if t not in (foreign, changed)]
    assert len(set(mine)) == 6 and not set(mine) & {a, n, k}
    # Put the old ones back: every other byte is the input's.
    back = r.stdout
    for before, after in zip(old, new):
        back = back.replace(after.encode(), before.encode(), 1)
    assert back == ndjson.replace(escaped.encode(), a.encode())

    retire_all_but_sealing(stack, app)
    assert pairs(stack, app)[first] == "retired"
    assert opened(stack, key, a) == "wrong-app-or-changed"
    assert [opened(stack, key, t) for t in mine] == \
        ["4111111111111111", "42", "by k1", "4111111111111111", "4111111111111111",
         "4111111111111111"]
    assert [t.split(":")[2] == "number" for t in mine].count(True) == 1
    assert all(t.startswith("ev:QkTC:") for t in mine)


def test_rewrap_keeps_role_and_age(stack):
    app, _ = stack.app()
    public = stack.app_keys()["r1"][0].public_key()
    token = token_codec.make(public, b"v", role="ops", now=1_600_000_000)
    csv = f'id,card\r\n1,"{token}"\r\n'.encode()
    out = stack.ctl("rewrap", "--app", app, "--format", "csv", "--curve", "k1", data=csv).stdout
    new, = tokens_in(out)
    assert out == csv.replace(token.encode(), new.encode()) and new.startswith("ev:S0lS:")
    _, value, meta = token_codec.open_token(new, stack.app_keys())
    assert value == b"v" and meta["dr"] == "ops" and meta["et"] == 1_600_000_000


def big_input(stack, app, lines):
    """Some MB of lines, most of it no token; -> (bytes, values in order)"""
    tokens = [encrypt(stack, app, b"%d" % i) for i in range(4)]
    out = [json.dumps({"id": i, "card": tokens[i % 4], "text": "." * (1000 + i % 7)})
           for i in range(lines)]
    return "\n".join(out).encode() + b"\n", [b"%d" % (i % 4) for i in range(lines)]


def relayctl(stack, *words):
    return [str(PREFIX / "bin/relayctl"), "-c", str(stack.dir / "relay.conf"), *map(str, words)]


def test_rewrap_goes_on_after_a_kill(stack, tmp_path):
    app, _ = stack.app()
    data, values = big_input(stack, app, 4000)
    rotate(stack, app)
    source, result, state = (tmp_path / name for name in ("in", "out", "state"))
    source.write_bytes(data)
    result.write_bytes(b"head\n")
    command = relayctl(stack, "rewrap", "--app", app, "--resume", state)
    with open(result, "ab") as out:
        # The input stops in its middle, and so does the command.
        proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out)
        proc.stdin.write(data[:len(data) // 2])
        proc.stdin.flush()
        until("a block is counted",
              lambda: state.exists() and int(state.read_text().split()[4]) > 0)
        proc.kill()
        proc.wait()
        proc.stdin.close()
    done = int(state.read_text().split()[4])
    assert 0 < done < len(data)
    with open(result, "ab") as out:     # what the state does not know of
        out.write(b'{"half a line": "ev:QkT')
    with open(source, "rb") as i, open(result, "ab") as out:
        r = subprocess.run([*command, "--json"], stdin=i, stdout=out, stderr=subprocess.PIPE,
                           check=True, timeout=120)
    assert json.loads(r.stderr)["tokens"]["ok"] == json.loads(r.stderr)["lines"] == 4000
    text = result.read_bytes()
    assert text.startswith(b"head\n")
    assert [json.loads(line)["id"] for line in text.splitlines()[1:]] == list(range(4000))
    assert values_in(stack, text)[::50] == values[::50]
    assert not set(tokens_in(text)) & set(tokens_in(data))
    # Once more: nothing is left to do.
    with open(source, "rb") as i, open(result, "ab") as out:
        subprocess.run(command, stdin=i, stdout=out, stderr=subprocess.PIPE, check=True,
                       timeout=120)
    assert result.read_bytes() == text
    # What does not fit is refused before a byte is written.
    for stdin, stdout, words in [(b"", result, []), (data, tmp_path / "empty", []),
                                 (data, result, ["--curve", "k1"])]:
        with open(stdout, "ab") as out:
            r = subprocess.run([*command, *words], input=stdin, stdout=out,
                               stderr=subprocess.PIPE, check=False, timeout=120)
        assert r.returncode == 2 and r.stderr.startswith(b"relayctl: "), r.stderr
    assert result.read_bytes() == text


def test_rewrap_killed_before_its_first_state_writes_nothing_twice(stack, tmp_path):
    app, _ = stack.app()
    data, values = big_input(stack, app, 1500)
    result, state = tmp_path / "out", tmp_path / "state"
    result.write_bytes(b"head\n")
    command = relayctl(stack, "rewrap", "--app", app, "--resume", state)
    with open(result, "ab") as out:
        proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out)
        until("it has begun", state.exists)
        proc.kill()
        proc.wait()
        proc.stdin.close()
    with open(result, "ab") as out:     # killed behind its first block
        out.write(data[:len(data) // 3])
        subprocess.run(command, input=data, stdout=out, stderr=subprocess.PIPE, check=True,
                       timeout=120)
    text = result.read_bytes()
    assert text.startswith(b"head\n")
    assert [json.loads(line)["id"] for line in text.splitlines()[1:]] == list(range(1500))
    assert values_in(stack, text)[::50] == values[::50]


def test_rewrap_refuses_a_line_it_cannot_hold(stack):
    app, _ = stack.app()
    token = encrypt(stack, app)
    long = b"x" * (17 << 20)
    r = stack.ctl("rewrap", "--app", app, data=f"{token}\n".encode() + long, code=2)
    assert b"line 2 is longer than 16 MiB" in r.stderr
    assert values_in(stack, r.stdout) == [b"value"] and r.stdout.endswith(b":$\n")


# ---- the root key ---------------------------------------------------------------------

def records_open_with(stack, root):
    for f in (stack.dir / "e3").glob("*.rec"):
        record_reader.read(f.read_bytes(), root)


def test_the_root_key_is_rotated(stack):
    app, key = stack.app()
    stack.app("other")
    token = encrypt(stack, app)
    path = stack.dir / "root.key"
    before, pid = path.read_bytes(), stack.child("e3d")
    told = json.loads(stack.ctl("root", "rotate", "--json").stdout)
    assert told["rotated"] and told["records"] == 2
    after = path.read_bytes()
    assert after != before and len(after) == 32 and path.stat().st_mode & 0o777 == 0o400
    assert (stack.dir / "root.key.old").read_bytes() == before
    assert not (stack.dir / "root.key.next").exists() and stack.child("e3d") != pid
    records_open_with(stack, after)
    assert opened(stack, key, token) == opened(stack, key, encrypt(stack, app)) == "value"
    assert json.loads(stack.ctl("key", "create", app, "--json").stdout)["secret"]
    r = stack.ctl("root", "rotate", code=3)
    assert b"root.key.old" in r.stderr and path.read_bytes() == after
    until("Redis has the new records", lambda: stack.status()["helper"]["pending_replication"] == 0)
    stack.relayd.end()
    stack.start()
    assert opened(stack, key, token) == "value"
    (stack.dir / "root.key.old").rename(stack.dir / "safe")
    stack.ctl("root", "rotate")
    assert (stack.dir / "root.key.old").read_bytes() == after
    assert opened(stack, key, token) == "value"


def door(stack, name):
    """A control socket: a message is a datagram."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(60)
    s.connect(str(stack.run / name))
    return s


def helper(stack, message):
    """One message to the helper, one back."""
    with door(stack, "helper.sock") as s:
        s.send(message)
        return s.recv(65536)


@pytest.mark.parametrize("cut", ["made", "resealed", "linked", "renamed"])
def test_a_root_rotation_goes_on_wherever_it_was_cut_off(stack, cut):
    app, key = stack.app()
    token = encrypt(stack, app)
    path, nxt, old = (stack.dir / f"root.key{s}" for s in ("", ".next", ".old"))
    before = path.read_bytes()
    new = os.urandom(32)
    given = stack.dir / "given"
    given.write_bytes(new)
    given.chmod(0o400)
    if cut == "made":
        nxt.write_bytes(new)
        nxt.chmod(0o400)
    else:
        stack.ctl("root", "rotate", "--prepare", "--key", given)
        assert nxt.read_bytes() == new and path.read_bytes() == before
        assert opened(stack, key, token) == "value"
        assert helper(stack, b"reseal").startswith(b"ok")
        records_open_with(stack, new)
        if cut != "resealed":
            os.link(path, old)
        if cut == "renamed":
            os.rename(nxt, path)
        # The engine dies of something else: it still finds its keys.
        pid = stack.child("e3d")
        if cut != "renamed":
            os.kill(pid, signal.SIGKILL)
            until("e3d is back", lambda: stack.child("e3d") not in (None, pid))
            stack.wait_ready()
            assert opened(stack, key, token) == "value"
    stack.ctl("root", "rotate")
    assert path.read_bytes() == new and old.read_bytes() == before and not nxt.exists()
    records_open_with(stack, new)
    assert opened(stack, key, token) == "value"
    assert not stack.status()["helper"]["resealing"]


def test_an_engine_that_dies_behind_the_rename_finds_the_new_key(stack):
    app, key = stack.app()
    token = encrypt(stack, app)
    path = stack.dir / "root.key"
    stack.ctl("root", "rotate", "--prepare")
    assert helper(stack, b"reseal").startswith(b"ok")
    os.link(path, stack.dir / "root.key.old")
    os.rename(stack.dir / "root.key.next", path)
    pid = stack.child("e3d")
    os.kill(pid, signal.SIGKILL)
    until("e3d is back", lambda: stack.child("e3d") not in (None, pid))
    stack.wait_ready()
    assert opened(stack, key, token) == "value"
    r = stack.ctl("root", "rotate", code=3)     # it is complete
    assert b"is complete" in r.stderr


def test_a_next_key_that_does_not_fit_is_refused(stack):
    stack.app()
    path, nxt, old = (stack.dir / f"root.key{s}" for s in ("", ".next", ".old"))
    nxt.write_bytes(path.read_bytes())
    nxt.chmod(0o400)
    assert b"is the root key already" in stack.ctl("root", "rotate", code=2).stderr
    nxt.unlink()
    nxt.write_bytes(b"x" * 31)
    nxt.chmod(0o400)
    assert b"root.key.next" in stack.ctl("root", "rotate", code=None).stderr
    nxt.unlink()
    nxt.write_bytes(b"y" * 32)
    nxt.chmod(0o400)
    old.write_bytes(b"z" * 32)
    old.chmod(0o400)
    assert b"move it to a safe place first" in stack.ctl("root", "rotate", code=3).stderr
    given = stack.dir / "given"
    given.write_bytes(b"w" * 32)
    given.chmod(0o400)
    r = stack.ctl("root", "rotate", "--key", given, code=3)
    assert b"holds another key" in r.stderr
    assert old.read_bytes() == b"z" * 32 and nxt.read_bytes() == b"y" * 32
    # A crash meanwhile does no harm: an engine takes no other key in place of its own.
    pid = stack.child("e3d")
    os.kill(pid, signal.SIGKILL)
    until("e3d is back", lambda: stack.child("e3d") not in (None, pid))
    stack.wait_ready()


def test_restart_engine_answers_when_the_new_one_serves(stack):
    app, key = stack.app()
    token, pid = encrypt(stack, app), stack.child("e3d")
    with door(stack, "relayd.sock") as first, door(stack, "relayd.sock") as second:
        first.send(b"restart-engine")
        stack.wait_log("control asks=restart-engine")
        second.send(b"restart-engine")
        assert second.recv(4096) == b"failed the engine is being restarted already"
        assert first.recv(4096).strip() == b"ok"
        # No waiting here: it serves by now.
        assert stack.child("e3d") not in (None, pid)
        assert opened(stack, key, token) == "value"
        second.send(b"restart-engine")
        second.close()                  # who asked left: it goes on
        stack.wait_log("engine-restarted", count=2)
    assert opened(stack, key, token) == "value"


def test_e3d_is_born_with_the_options_of_e3_conf(make_stack):
    stack = make_stack(e3_conf='app_calls = 77\napp_fields_per_s = 100000\n'
                               'rpc_signatures = "all"\n')
    with open(f"/proc/{stack.child('e3d')}/cmdline", encoding="ascii") as f:
        words = f.read().split("\0")
    assert words[words.index("--app-calls") + 1] == "77"
    assert words[words.index("--app-fields-per-s") + 1] == "100000" and "--sign-all" in words
    app, key = stack.app()
    assert opened(stack, key, encrypt(stack, app)) == "value"
    fds = [os.readlink(f"/proc/{stack.child('e3d')}/fd/{n}")
           for n in os.listdir(f"/proc/{stack.child('e3d')}/fd")]
    assert not any("root.key" in fd for fd in fds), "read, wiped where it lay, closed"


# ---- link certificates ------------------------------------------------------------------

def test_link_certificates_are_renewed_and_revoked(make_stack, make_origin, tmp_path):
    stack, origin = make_stack(), make_origin()
    stack.relay("shop.test", origin, [seal("POST", "/", "$.v")])
    links = stack.dir / "link"
    stolen = {name: tmp_path / name for name in ("worker.pem", "worker.key")}
    for name, copy in stolen.items():
        copy.write_bytes((links / name).read_bytes())
    thief = {"pem": stolen["worker.pem"], "key": stolen["worker.key"]}
    held = rpc_client.connect(stack, **thief)
    assert held.status("Ping") == "ok"
    renewed = [json.loads(stack.ctl("link", "renew", role, "--json").stdout)
               for role in ("worker", "admin", "engine")]
    assert (links / "worker.pem.old").read_bytes() == stolen["worker.pem"].read_bytes()
    assert (links / "worker.key").stat().st_mode & 0o777 == 0o400
    stack.ctl("app", "list")            # by the new admin certificate, at once
    r = stack.ctl("link", "revoke", stolen["worker.pem"], "--json")
    assert json.loads(r.stdout)["serial"] == renewed[0]["old_serial"]
    assert stack.ctl("link", "revoke", renewed[0]["old_serial"].upper(), code=3).stdout == b""
    assert held.status("Ping") == "ok"  # not before the reload

    stack.ctl("reload", "--wait")
    assert until("the link is closed", held.closed)
    until("the engine knows", lambda: refused(stack, thief))
    stack.wait_ready()
    with rpc_client.connect(stack) as link:
        assert link.status("Ping") == "ok"
    assert stack.post("shop.test", "/", b'{"v":"a"}').status == 200
    ends = {one["role"]: one["serial"] for one in stack.status()["links"]}
    assert ends["worker"] == renewed[0]["serial"] and ends["engine"] == renewed[2]["serial"]
    text = stack.ctl("status").stdout.decode()
    assert "worker=364d" in text and "  warn" not in text and "never rehearsed" in text


@pytest.mark.parametrize("role", ["engine", "helper"])
def test_a_reload_that_replaces_the_engine_waits_for_the_new_one(stack, role):
    app, key = stack.app()
    token, pid = encrypt(stack, app), stack.child("e3d" if role == "engine" else "e3-helper")
    stack.ctl("link", "renew", role)
    stack.ctl("reload", "--wait")
    # No waiting here: it serves by now.
    status = stack.status()
    assert status["helper"]["ready"] and status["helper"]["engine"] == "up"
    assert pid not in [c["pid"] for c in status["children"] if c["state"] == "ready"]
    assert opened(stack, key, token) == "value"


def test_nothing_is_revoked_in_a_broken_list(stack):
    revoked = stack.dir / "link/revoked"
    text = b"# who left\n0a1b\r\n\nno serial\n"
    revoked.write_bytes(text)
    r = stack.ctl("link", "revoke", "c0ffee", code=1)
    assert f"{revoked}: line 4 is no serial number" in r.stderr.decode() and r.stdout == b""
    assert revoked.read_bytes() == text
    revoked.write_text("# who left\n0a1b\n")
    stack.ctl("link", "revoke", "c0ffee")
    assert revoked.read_text() == "# who left\n0a1b\nc0ffee\n"
    revoked.unlink()


def test_link_keys_that_others_may_read_are_not_used(stack):
    links = stack.dir / "link"
    before = (links / "worker.pem").read_bytes()
    (links / "ca.key").chmod(0o640)
    r = stack.ctl("link", "renew", "worker", code=1)
    assert f"{links}/ca.key: others may read it (mode 640): chmod 600" in r.stderr.decode()
    assert (links / "worker.pem").read_bytes() == before
    (links / "ca.key").chmod(0o400)
    (links / "admin.key").chmod(0o644)
    r = stack.ctl("app", "list", code=1)
    assert f"{links}/admin.key: others may read it (mode 644): chmod 640" in r.stderr.decode()
    (links / "admin.key").chmod(0o640)  # the admin group's
    stack.ctl("app", "list")
    generation = stack.status()["generation"]
    (links / "engine.key").chmod(0o644)
    r = stack.ctl("reload", "--wait", code=1)
    assert f"{links}/engine.key: others may read it (mode 644): chmod 600" in r.stderr.decode()
    assert stack.status()["generation"] == generation
    stack.ctl("link", "renew", "engine")
    assert (links / "engine.key").stat().st_mode & 0o777 == 0o600
    stack.ctl("reload", "--wait")


def refused(stack, thief):
    try:
        with rpc_client.connect(stack, **thief) as link:
            link.call("Ping")
    except (OSError, EOFError, ssl.SSLError):
        return True
    return False


def test_a_renewal_without_the_ca_changes_nothing(stack, tmp_path):
    links = stack.dir / "link"
    before = (links / "worker.pem").read_bytes()
    (links / "ca.key").rename(tmp_path / "ca.key")
    assert b"ca.key" in stack.ctl("link", "renew", "worker", code=1).stderr
    (links / "ca.key").write_bytes((links / "feed.key").read_bytes())
    (links / "ca.key").chmod(0o400)
    assert b"not the key of the link CA" in stack.ctl("link", "renew", "worker", code=1).stderr
    assert (links / "worker.pem").read_bytes() == before
    assert not (links / "worker.pem.old").exists()
