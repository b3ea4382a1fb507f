"""relayctl: every command, what it prints, every exit code it can end with."""
import json
import os
import re
import signal
import socket
import stat
import subprocess

import pytest
from cryptography import x509

import token_codec
from conftest import PREFIX, pid_gone, seal, stopped, until

RELAYCTL = PREFIX / "bin/relayctl"
GOOD = {"app": "app_0123456789ab", "destinationDomain": "api.example.com",
        "routes": [seal("POST", "/pay", "$.card.number")]}
LATER = ["cert", "top", "health"]


def relayctl(*words, data=b"", env=None):
    return subprocess.run([str(RELAYCTL), *map(str, words)], input=data, capture_output=True,
                          check=False, timeout=60, env={**os.environ, **(env or {})})


def error(r, code):
    """The one line that a refused command says."""
    text = r.stderr.decode()
    assert r.returncode == code, (r.args, r.returncode, text)
    assert r.stdout == b""
    assert text.startswith("relayctl: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text.removeprefix("relayctl: ").rstrip("\n")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# ---- usage ----------------------------------------------------------------------------

def test_version_and_help_exit_0():
    for option in ("-V", "--version"):
        r = relayctl(option)
        assert r.returncode == 0 and re.fullmatch(rb"relayctl \d+\.\d+\.\d+\n", r.stdout)
    for option in ("-h", "--help"):
        r = relayctl(option)
        assert r.returncode == 0 and r.stderr == b""
        for command in ("init", "check FILE", "select PATH", "relay put", "relay get", "relay list",
                        "relay rm", "egress allow", "egress deny", "egress list", "egress set",
                        "egress clear", "app create", "app list", "app rotate", "app pairs",
                        "app activate", "app retire", "app destroy", "key create", "key list",
                        "key revoke", "role put", "role list", "role get", "role rm", "encrypt",
                        "decrypt", "rewrap", "root rotate", "backup", "restore", "link renew",
                        "link revoke", "status", "reload", "sync", "run", "doctor"):
            assert f"\n  {command}".encode() in r.stdout, command
    r = relayctl("key", "create", "-h")
    assert r.returncode == 0 and b"--scope" in r.stdout and b"app list" not in r.stdout


@pytest.mark.parametrize("word", LATER)
def test_commands_of_later_versions_say_so(word):
    for words in ([word], [word, "put"], ["--json", word, "--x"]):
        assert error(relayctl(*words), 2) == f"'{word}' is not available in this version"


@pytest.mark.parametrize("words,says", [
    (["nonsense"], "unknown command 'nonsense'; see relayctl -h"),
    (["app"], "'app' needs a verb; see relayctl -h"),
    (["relay", "nonsense"], "'relay' needs a verb; see relayctl -h"),
    (["app", "rotate"], "usage: relayctl app rotate APP [--curve r1|k1] [--timeout SECONDS]"),
    (["app", "rotate", "app_1", "--curve", "r2"], "--curve: r1 or k1"),
    (["app", "rotate", "app_1", "--timeout", "0"], "--timeout: 1 to 3600 seconds"),
    (["app", "rotate", "nobody"], "APP: not an app id"),
    (["app", "destroy", "nobody", "pair_1", "--yes"], "APP: not an app id"),
    (["key", "create", "app_1", "--expires", "soon"],
     "--expires: a duration (90d, 12h, 30m, 45s, 8w) or a moment in UTC (2030-01-31T12:00:00Z)"),
    (["key", "create", "app_1", "--expires", "2001-01-01T00:00:00Z"],
     "--expires: not within the next 100 years"),
    (["role", "put", "app_1", "No_Role", "/dev/null"], "ROLE: 1 to 20 of a-z, 0-9 and '-'"),
    (["role", "put", "app_1", "r", "/dev/null"], "/dev/null: byte 0: the document ends too early"),
    (["rewrap"], "--app: an app id is needed"),
    (["rewrap", "--app", "app_1", "--curve", "p256"], "--curve: r1 or k1"),
    (["rewrap", "--app", "app_1", "--format", "xml"], "--format: ndjson, csv or text"),
    (["rewrap", "--app", "app_1", "--dry-run", "--resume", "x"],
     "--dry-run writes nothing: there is nothing to --resume"),
    (["link", "renew", "ca"], "ROLE: engine, worker, feed, helper, pulse or admin"),
    (["link", "renew", "worker", "--name", "a/b"],
     "--name: 1 to 63 of letters, digits, '.', '-', '_'"),
    (["link", "revoke", "12g4"], "12g4: No such file or directory"),
    (["--nonsense", "status"], "unknown option '--nonsense'"),
    (["status", "--nonsense"], "unknown option '--nonsense'"),
    (["status", "-x"], "unknown option '-x'"),
    (["status", "extra"], "usage: relayctl status [--wait [SECONDS]]"),
    (["status", "--wait=soon"], "option '--wait' takes a number"),
    (["status", "--wait", "86401"], "--wait: 0 to 86400 seconds"),
    (["check"], "usage: relayctl check FILE"),
    (["check", "a", "b"], "usage: relayctl check FILE"),
    (["check", "--json=yes", "a"], "option '--json' takes no value"),
    (["-c"], "option '--conf' needs a value"),
    (["-c", "/nonexistent/relay.conf", "status"],
     "/nonexistent/relay.conf: No such file or directory"),
    (["relay", "get", "no_host/"], "HOST: not a host name"),
    (["relay", "put", "shop..test"], "HOST: not a host name"),
    (["key", "create", "shop"], "APP: not an app id"),
    (["app", "create", "x" * 65], "NAME: 1 to 64 bytes of UTF-8"),
    (["app", "create", ""], "NAME: 1 to 64 bytes of UTF-8"),
    (["encrypt"], "--app: an app id is needed"),
    (["encrypt", "--app", "shop"], "--app: an app id is needed"),
    (["encrypt", "--app", "app_0123456789ab", "--curve", "p384"], "--curve: r1 or k1"),
    (["encrypt", "--app", "app_0123456789ab", "--type", "float"],
     "--type: string, number or boolean"),
    (["decrypt"], "--api-key, --api-key-file or RELAY_API_KEY: an API key is needed"),
    (["decrypt", "--api-key", "a", "--api-key-file", "b"],
     "--api-key and --api-key-file: one of them"),
    (["decrypt", "--api-key-file", "/nonexistent"], "/nonexistent: No such file or directory"),
])
def test_bad_usage_is_one_line_and_exit_2(words, says):
    assert error(relayctl(*words), 2) == says


def test_no_command_prints_the_usage_and_exits_2():
    r = relayctl()
    assert r.returncode == 2 and r.stdout == b"" and r.stderr.startswith(b"usage: relayctl ")


def test_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "wb") as full:
        r = subprocess.run([str(RELAYCTL), "select", "$.a"], input=b'{"a":1}', stdout=full,
                           stderr=subprocess.PIPE, check=False)
    assert r.returncode == 1 and r.stderr.startswith(b"relayctl: standard output: ")


# ---- init -----------------------------------------------------------------------------

ROLES = ["engine", "worker", "feed", "helper", "pulse", "admin"]


def test_init_makes_every_file_with_its_mode(tmp_path):
    link, root = tmp_path / "a/b/link", tmp_path / "c/root.key"
    r = relayctl("init", "--link-dir", link, "--root-key", root, "--name", "node-1")
    assert r.returncode == 0, r.stderr
    assert sorted(p.name for p in link.iterdir()) == sorted(
        f"{who}.{kind}" for who in ["ca", *ROLES] for kind in ("pem", "key"))
    assert mode(root) == 0o400 and root.stat().st_size == 32
    for path in link.iterdir():
        assert mode(path) == (0o400 if path.suffix == ".key" else 0o644), path
    assert f"root key {root}".encode() in r.stdout
    assert b"WHOEVER LOSES THE ROOT KEY LOSES ALL DATA" in r.stdout
    ca = x509.load_pem_x509_certificate((link / "ca.pem").read_bytes())
    for role in ROLES:
        cert = x509.load_pem_x509_certificate((link / f"{role}.pem").read_bytes())
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
            f"relay://link/{role}/node-1"]
        assert cert.issuer == ca.subject
        assert 364 <= (cert.not_valid_after - cert.not_valid_before).days <= 366
    assert 3649 <= (ca.not_valid_after - ca.not_valid_before).days <= 3653


def test_init_never_overwrites_and_names_what_exists(tmp_path):
    link, root = tmp_path / "link", tmp_path / "root.key"
    words = ["init", "--link-dir", link, "--root-key", root]
    assert relayctl(*words).returncode == 0
    before = {p: p.read_bytes() for p in [root, *link.iterdir()]}
    text = error(relayctl(*words), 3)
    for path in before:
        assert str(path) in text
    assert {p: p.read_bytes() for p in [root, *link.iterdir()]} == before


@pytest.mark.parametrize("left", ["root.key", "link/worker.key", "link/ca.pem"])
def test_init_makes_nothing_when_one_file_is_left(tmp_path, left):
    (tmp_path / "link").mkdir()
    (tmp_path / left).write_text("mine")
    text = error(relayctl("init", "--link-dir", tmp_path / "link", "--root-key",
                          tmp_path / "root.key"), 3)
    assert text == f"exists, nothing was made: {tmp_path / left}"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / left]
    assert (tmp_path / left).read_text() == "mine"


def test_init_takes_its_files_away_when_one_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    text = error(relayctl("init", "--link-dir", tmp_path / "link", "--root-key",
                          tmp_path / "file/root.key"), 1)
    assert str(tmp_path / "file") in text
    assert list((tmp_path / "link").iterdir()) == []


def test_init_as_json_and_with_a_bad_name(tmp_path):
    words = ["--link-dir", tmp_path / "link", "--root-key", tmp_path / "root.key"]
    assert error(relayctl("init", *words, "--name", "a/b"), 2).startswith("--name: ")
    made = json.loads(relayctl("--json", "init", *words).stdout)
    assert made["link_dir"] == str(tmp_path / "link")
    assert made["root_key"] == str(tmp_path / "root.key")
    assert len(made["made"]) == 15 and all(os.path.exists(p) for p in made["made"])


# ---- check ----------------------------------------------------------------------------

def with_selection(**more):
    r = json.loads(json.dumps(GOOD))
    r["routes"][0]["request"][0]["selections"][0].update(more)
    return r


def test_check_of_a_good_file(tmp_path):
    path = tmp_path / "good.json"
    path.write_text(json.dumps(GOOD) + "\n")
    r = relayctl("check", path)
    assert (r.returncode, r.stdout, r.stderr) == (0, f"{path}: ok\n".encode(), b"")
    assert json.loads(relayctl("check", path, "--json").stdout) == {"file": str(path), "ok": True}
    r = relayctl("check", "-", data=path.read_bytes())
    assert (r.returncode, r.stdout) == (0, b"-: ok\n")


@pytest.mark.parametrize("relay,fault", [
    ({**GOOD, "nonsense": 1}, "nonsense: unknown field"),
    (with_selection(type="xml"),
     "routes[0].request[0].selections[0].type: not available in this version"),
    (with_selection(selector="$.a[?@.b"),
     "routes[0].request[0].selections[0].selector: not a JSONPath: "),
    (with_selection(type="header", selector="Content-Length"),
     "routes[0].request[0].selections[0].selector: this header field belongs to the message "
     "or to the proxy"),
    (with_selection(nonsense=1), "routes[0].request[0].selections[0].nonsense: unknown field"),
    ({**GOOD, "routes": GOOD["routes"] + [
        {"method": "POST", "path": "/x", "request": [{"action": "redact", "selections": []}]}]},
     "routes[1].request[0].action: not available in this version"),
    ([], "must be an object"),
])
def test_check_names_file_path_and_reason(tmp_path, relay, fault):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(relay))
    text = error(relayctl("check", path), 2)
    assert text.startswith(f"{path}: {fault}") and ("not a JSONPath" in fault or
                                                    text == f"{path}: {fault}")


def test_check_of_no_json_and_no_file(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('{"app": ')
    assert error(relayctl("check", path), 2).startswith(f"{path}: not JSON: ")
    assert error(relayctl("check", tmp_path / "none"), 2) == (
        f"{tmp_path}/none: No such file or directory")


# ---- select ---------------------------------------------------------------------------

def test_select_prints_normalized_path_tab_compact_value():
    doc = b'{ "a" : [ 1.0, { "b" : "x  y" } ], "it\'s": null, "a b":\t{"c" : [ ] } }'
    lines = relayctl("select", "$..*", data=doc).stdout.decode().splitlines()
    assert lines == [
        "$['a']\t[1.0,{\"b\":\"x  y\"}]",
        "$['it\\'s']\tnull",
        "$['a b']\t{\"c\":[]}",
        "$['a'][0]\t1.0",
        "$['a'][1]\t{\"b\":\"x  y\"}",
        "$['a'][1]['b']\t\"x  y\"",
        "$['a b']['c']\t[]",
    ]
    assert relayctl("select", "$.a[-1]", data=doc).stdout == b"$['a'][1]\t{\"b\":\"x  y\"}\n"
    assert json.loads(relayctl("select", "$['a b']", "--json", data=doc).stdout) == [
        {"path": "$['a b']", "value": {"c": []}}]


def test_select_of_nothing_is_done():
    for path in ("$.b", "$.a.b", "$[0]"):
        r = relayctl("select", path, data=b'{"a":1}')
        assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")
    assert relayctl("select", "$.b", "--json", data=b'{"a":1}').stdout == b"[]\n"


@pytest.mark.parametrize("path,reason", [
    ("$[", "path: at byte 2: "), ("a", "path: at byte 0: "), ("$.", "path: at byte 2: "),
    ("$.a[?@.b", "path: at byte "), ("$.a[0:2:x]", "path: at byte "),
    ("$[?length(@.a)]", "path: at byte "),
])
def test_select_of_a_bad_path(path, reason):
    assert reason in error(relayctl("select", path, data=b'{"a":1}'), 2)


def test_select_in_no_document_shows_no_value():
    text = error(relayctl("select", "$.a", data=b'{"a":"4111111111111111"'), 2)
    assert text.startswith("document: at byte ") and "4111" not in text


# ---- relays ---------------------------------------------------------------------------

@pytest.fixture(scope="module")
def app(shared):
    return shared.app()


@pytest.mark.parametrize("with_redis", [True, False])
def test_relay_put_get_list_rm(make_stack, with_redis, tmp_path):
    stack = make_stack(redis=with_redis)
    text = json.dumps(GOOD, indent=2).encode() + b"\n"
    path = tmp_path / "relay.json"
    path.write_bytes(text)
    assert stack.ctl("relay", "put", "shop.test", path).stdout == b"shop.test: live\n"
    put = json.loads(stack.ctl("--json", "relay", "put", "Other.TEST.", data=text).stdout)
    assert put["host"] == "other.test" and put["epoch"] > 0
    if with_redis:
        assert stack.redis.cli("HGET", "relay:relays", "shop.test") == text.decode().strip()
    assert stack.ctl("relay", "get", "shop.test").stdout == text
    assert stack.ctl("relay", "get", "other.test", "--json").stdout == text
    listed = json.loads(stack.ctl("relay", "list", "--json").stdout)
    assert {r["host"] for r in listed} == {"shop.test", "other.test"}
    assert all(r["bytes"] == len(text) and r["revision"] > 0 for r in listed)
    table = stack.ctl("relay", "list").stdout.decode().splitlines()
    assert table[0].split() == ["HOST", "REVISION", "BYTES"] and len(table) == 3
    assert stack.ctl("relay", "rm", "shop.test").stdout == b"shop.test: removed\n"
    assert json.loads(stack.ctl("relay", "rm", "other.test", "--json").stdout)["epoch"] > put["epoch"]
    assert error(stack.ctl("relay", "get", "shop.test", code=None), 1) == "not-found"
    assert error(stack.ctl("relay", "rm", "shop.test", code=None), 1) == "not-found"
    assert json.loads(stack.ctl("relay", "list", "--json").stdout) == []
    if with_redis:
        assert stack.redis.cli("HLEN", "relay:relays") == "0"


def test_relay_put_refuses_a_bad_record_and_keeps_the_good_one(shared, tmp_path):
    shared.ctl("relay", "put", "kept.test", data=json.dumps(GOOD).encode())
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(with_selection(type="xml")))
    text = error(shared.ctl("relay", "put", "kept.test", path, code=None), 2)
    assert text == f"{path}: routes[0].request[0].selections[0].type: not available in this version"
    assert json.loads(shared.ctl("relay", "get", "kept.test").stdout) == GOOD


# ---- apps and keys ------------------------------------------------------------------------

def test_app_create_and_list(shared):
    app = shared.ctl("app", "create", "first").stdout.decode().strip()
    assert re.fullmatch(r"app_[0-9a-f]{12}", app)
    made = json.loads(shared.ctl("app", "create", "--json").stdout)
    assert re.fullmatch(r"app_[0-9a-f]{12}", made["app"]) and made["version"] == 1
    rows = {r["app"]: r for r in json.loads(shared.ctl("app", "list", "--json").stdout)}
    for name in (app, made["app"]):
        assert rows[name]["version"] == 1 and rows[name]["created_ms"] > 1700000000000
    assert rows[app]["name"] == "first" and rows[made["app"]]["name"] == ""
    shared.ctl("app", "create", 'Zahlungen "süd"\x1b[2J')
    assert 'Zahlungen "süd"\x1b[2J' in [
        r["name"] for r in json.loads(shared.ctl("app", "list", "--json").stdout)]
    table = shared.ctl("app", "list").stdout.decode().splitlines()
    assert table[0].split() == ["APP", "VERSION", "STATE", "CREATED", "NAME"]
    assert any(line.startswith(app) and line.endswith(" first") for line in table)
    assert any(line.endswith(' Zahlungen "süd"?[2J') for line in table)


def test_key_create_list_revoke(shared, app):
    app = app[0]
    out = shared.ctl("key", "create", app).stdout.decode()
    plain = re.fullmatch(r"key     (key_[0-9a-f]{12})\nsecret  (ev:key:1:\S+)\n", out)
    made = json.loads(shared.ctl("key", "create", app, "--scope", "a:b", "--scope", "c",
                                 "--json").stdout)
    assert made["app"] == app and re.fullmatch(r"key_[0-9a-f]{12}", made["key"])
    assert made["secret"].split(":")[4] == plain[2].split(":")[4]      # which app it is for
    rows = {r["key"]: r for r in json.loads(shared.ctl("key", "list", app, "--json").stdout)}
    assert rows[plain[1]]["scopes"] == [] and rows[made["key"]]["scopes"] == ["a:b", "c"]
    table = shared.ctl("key", "list", app).stdout.decode().splitlines()
    assert table[0].split() == ["KEY", "STATE", "CREATED", "EXPIRES", "SCOPES"]
    assert made["secret"] not in "".join(table)

    assert shared.ctl("key", "revoke", app, plain[1]).stdout == f"{plain[1]}: revoked\n".encode()
    assert error(shared.ctl("key", "revoke", app, plain[1], code=None), 3) == (
        "the key is revoked already")
    gone = json.loads(shared.ctl("key", "revoke", app, made["key"], "--json").stdout)
    assert gone == {"app": app, "key": made["key"], "revoked": True, "version": gone["version"],
                    "confirmed": True, "unconfirmed": []}
    rows = {r["key"]: r["state"] for r in json.loads(
        shared.ctl("key", "list", app, "--json").stdout)}
    assert rows[plain[1]] == rows[made["key"]] == "revoked"


def test_revoked_key_opens_nothing_and_other_keys_still_do(shared, app):
    app, kept = app
    made = json.loads(shared.ctl("key", "create", app, "--json").stdout)
    token = shared.ctl("encrypt", "--app", app, data=b"x").stdout
    for secret in (made["secret"], kept):
        assert shared.ctl("decrypt", "--api-key", secret, data=token).stdout == b"x\n"
    shared.ctl("key", "revoke", app, made["key"])
    text = error(shared.ctl("decrypt", "--api-key", made["secret"], data=token, code=None), 2)
    assert text == "engine: Decrypt: unauthorized"
    assert shared.ctl("decrypt", "--api-key", kept, data=token).stdout == b"x\n"


@pytest.mark.parametrize("words,says", [
    (["key", "create", "app_000000000000"],
     "engine: CreateKey: no-such-app; nothing was created"),
    (["key", "list", "app_000000000000"], "engine: ListKeys: no-such-app"),
    (["encrypt", "--app", "app_000000000000"], "engine: Encrypt: no-such-app"),
    (["key", "revoke", "APP", "key_000000000000"],
     "engine: RevokeKey: no-such-key; the key is not revoked"),
    (["key", "create", "APP", "--scope", "no space"],
     "--scope 'no space': 1 to 32 characters of a-z 0-9 : _ -"),
    (["key", "create", "APP", "--scope", "relay", "--scope", ""],
     "--scope '': 1 to 32 characters of a-z 0-9 : _ -"),
    (["key", "create", "APP", "--scope", "s" * 33],
     f"--scope '{'s' * 33}': 1 to 32 characters of a-z 0-9 : _ -"),
    (["key", "create", "APP", *9 * ["--scope", "relay"]], "--scope: at most 8"),
    (["rewrap", "--app", "app_000000000000"], "engine: Rewrap: no-such-app"),
])
def test_what_the_engine_refuses_is_bad_input(shared, app, words, says):
    words = [app[0] if w == "APP" else w for w in words]
    assert error(shared.ctl(*words, data=b"x", code=None), 2) == says


# ---- values ---------------------------------------------------------------------------------

@pytest.mark.parametrize("curve,version", [("r1", "QkTC"), ("k1", "S0lS")])
@pytest.mark.parametrize("kind,value", [("string", "ünïcode \U0001f512 with  spaces"),
                                        ("string", ""), ("number", "-12.50e3"),
                                        ("boolean", "true"), ("boolean", "false")])
def test_encrypt_and_decrypt_every_type_on_both_curves(shared, app, curve, version, kind, value):
    app, key = app
    token = shared.ctl("encrypt", "--app", app, "--curve", curve, "--type", kind,
                       data=value.encode() + b"\n").stdout.decode().strip()
    assert token.startswith(f"ev:{version}:")
    opened, plain, _ = token_codec.open_token(token, shared.app_keys())
    assert (opened, plain.decode()) == (kind, value)
    assert shared.ctl("decrypt", "--api-key", key, data=token.encode()).stdout == (
        value.encode() + b"\n")
    assert json.loads(shared.ctl("decrypt", "--api-key", key, "--json",
                                 data=token.encode()).stdout) == [
        {"status": "ok", "type": kind, "value": value}]


def test_encrypt_seals_r1_strings_unless_told(shared, app):
    token = shared.ctl("encrypt", "--app", app[0], data=b"12").stdout.decode().strip()
    assert token_codec.open_token(token, shared.app_keys())[:2] == ("string", b"12")
    assert token.startswith("ev:QkTC:")
    made = json.loads(shared.ctl("encrypt", "--app", app[0], "--json", data=b"12").stdout)
    assert list(made) == ["token"] and made["token"].startswith("ev:QkTC:")


def test_encrypt_keeps_bytes_that_are_no_text(shared, app):
    token = shared.ctl("encrypt", "--app", app[0], data=b"\xff\x00\n\n").stdout
    assert shared.ctl("decrypt", "--api-key", app[1], data=token).stdout == b"\xff\x00\n\n"
    opened, = json.loads(shared.ctl("decrypt", "--api-key", app[1], "--json", data=token).stdout)
    assert opened == {"status": "ok", "type": "string", "base64": "/wAK"}


@pytest.mark.parametrize("kind,value", [("number", "4111x"), ("number", "01"), ("number", ""),
                                        ("boolean", "TRUE"), ("boolean", "4111x")])
def test_encrypt_refuses_a_value_that_is_not_of_its_type(shared, app, kind, value):
    text = error(shared.ctl("encrypt", "--app", app[0], "--type", kind, data=value.encode(),
                            code=None), 2)
    assert text.startswith("standard input: ") and "4111" not in text


def test_api_key_from_each_place(shared, app, tmp_path):
    app, key = app
    token = shared.ctl("encrypt", "--app", app, data=b"value").stdout
    path = tmp_path / "key"
    path.write_text(key + "\nsecond line\n")
    conf = shared.dir / "relay.conf"
    assert shared.ctl("decrypt", "--api-key", "-", data=key.encode() + b"\n" + token
                      ).stdout == b"value\n"
    assert shared.ctl("decrypt", "--api-key-file", path, data=token).stdout == b"value\n"
    r = relayctl("-c", conf, "decrypt", data=token, env={"RELAY_API_KEY": key})
    assert (r.returncode, r.stdout) == (0, b"value\n")
    r = relayctl("decrypt", "--api-key", key, data=token, env={"RELAY_CONF": str(conf)})
    assert (r.returncode, r.stdout) == (0, b"value\n")


def test_decrypt_opens_many_and_says_which_did_not(shared, app):
    app, key = app
    token = shared.ctl("encrypt", "--app", app, data=b"value").stdout.decode().strip()
    broken = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    data = "\n".join([token, "", "no token", broken, token]).encode()
    r = shared.ctl("decrypt", "--api-key", key, data=data, code=1)
    assert r.stdout == b"value\n\n\nvalue\n"
    assert r.stderr == b"relayctl: 2 of 4 not opened; line 2: not-a-token\n"
    r = shared.ctl("decrypt", "--api-key", key, "--json", data=data, code=1)
    assert [v["status"] for v in json.loads(r.stdout)] == [
        "ok", "not-a-token", "wrong-app-or-changed", "ok"]


def test_key_of_another_app_does_not_open(shared, app):
    token = shared.ctl("encrypt", "--app", app[0], data=b"4111111111111111").stdout
    r = shared.ctl("decrypt", "--api-key", shared.app("other")[1], data=token, code=1)
    assert r.stdout == b"\n" and b"wrong-app-or-changed" in r.stderr
    assert b"4111" not in r.stderr


@pytest.mark.parametrize("change", ["last", "shorter", "nonsense", "long"])
def test_bad_api_key_is_refused_and_never_shown(shared, app, change):
    key = app[1]
    bad = {"last": key[:-1] + ("A" if key[-1] != "A" else "B"), "shorter": key[:-4],
           "nonsense": "verysecretkey", "long": key + "x" * 3000}[change]
    token = shared.ctl("encrypt", "--app", app[0], data=b"value").stdout
    text = error(shared.ctl("decrypt", "--api-key", bad, data=token, code=None), 2)
    assert bad not in text and bad[:12] not in text
    assert bad not in shared.logs()


def test_error_lines_hold_neither_keys_nor_values(shared, app):
    """A secret in a wrong place does not come back on the terminal."""
    key = app[1]
    for words in (["decrypt", key], ["decrypt", f"--api-kee={key}"], ["key", "create", key],
                  ["encrypt", "--app", key], ["encrypt", "--app", app[0], "--type", key],
                  ["key", "revoke", app[0], key], ["check", "--json", key, key]):
        r = shared.ctl(*words, data=b"4111111111111111", code=2)
        for secret in (key.encode(), key.split(":")[3].encode(), b"4111111111111111"):
            assert secret not in r.stdout + r.stderr, words


# ---- processes ----------------------------------------------------------------------------------

def test_status_as_a_table(shared):
    lines = shared.ctl("status").stdout.decode().splitlines()
    assert lines[0].split() == ["NAME", "PID", "STATE", "GEN", "RESTARTS", "SINCE"]
    rows = {(line.split()[0], line.split()[2]) for line in lines[1:]}
    for name in ("relayd", "worker1", "worker2", "feed", "e3d", "e3-helper"):
        assert (name, "ready") in rows, lines
    assert any(line.startswith("feed ") and "synced=true redis=up" in line for line in lines)
    assert any(line.startswith("helper ") and "ready=true engine=up" in line for line in lines)


def test_status_as_json(shared, app):
    shared.wait_ready()
    status = json.loads(shared.ctl("status", "--json").stdout)
    assert status["pid"] == shared.relayd.pid and status["uptime_ms"] > 0
    assert re.fullmatch(r"\d+\.\d+\.\d+", status["version"]) and status["generation"] >= 1
    for child in status["children"]:
        assert set(child) == {"name", "pid", "role", "generation", "state", "restarts", "since_ms"}
        assert not pid_gone(child["pid"]) and child["state"] == "ready"
    assert sorted(c["name"] for c in status["children"]) == [
        "e3-helper", "e3d", "feed", "worker1", "worker2"]
    feed, helper = status["feed"], status["helper"]
    assert feed["synced"] is True and feed["redis"] == "up" and feed["errors"] == []
    assert {"relays", "digest", "epoch", "pending_delete"} <= set(feed)
    assert helper["ready"] is True and helper["engine"] == "up" and helper["redis"] == "up"
    assert helper["records"] >= 1 and isinstance(helper["statistics"], dict)
    assert {"replicated", "pending_replication"} <= set(helper)


def test_status_names_a_record_that_was_refused(stack):
    stack.push("bad.test", json.dumps({**GOOD, "nonsense": 1}))
    until("the fault shows", lambda: b"error  bad.test: nonsense: unknown field" in
          stack.ctl("status").stdout)


@pytest.mark.parametrize("name,key", [("feed", "feed"), ("e3-helper", "helper")])
def test_status_is_never_older_than_the_question(stack, name, key):
    """One that is stuck is not told to be well because it was well before."""
    assert stack.status()[key]
    pid = stack.child(name)
    with stopped(pid):
        status = stack.status()
        assert status[key] is None
        assert status["helper" if key == "feed" else "feed"]
        r = stack.ctl("status", "--wait", "1", code=1)
        assert r.stderr.startswith(b"relayctl: not ready after 1 s: ")
    stack.wait_ready()
    assert stack.status()[key]


@pytest.mark.parametrize("name", ["feed", "e3-helper", "e3d", "worker2"])
def test_status_wait_after_a_kill_waits_for_the_new_process(stack, name):
    pid = stack.child(name)
    os.kill(pid, signal.SIGKILL)
    until("relayd has noticed", lambda: pid not in [c["pid"] for c in stack.status()["children"]])
    stack.ctl("status", "--wait", "30")
    status = stack.status()
    child, = [c for c in status["children"] if c["name"] == name]
    assert child["pid"] != pid and child["state"] == "ready" and child["restarts"] == 1
    assert status["feed"]["synced"] and status["helper"]["ready"]


def test_many_questions_at_once_are_all_answered(shared):
    asking = [subprocess.Popen([str(RELAYCTL), "-c", str(shared.dir / "relay.conf"), "--json",
                                "status"], stdout=subprocess.PIPE) for _ in range(16)]
    for p in asking:
        status = json.loads(p.communicate(timeout=60)[0])
        assert p.returncode == 0 and status["feed"]["synced"] and status["helper"]["ready"]


def test_without_relayd_status_reload_and_relay_fail(make_stack):
    stack = make_stack(start=False)
    for words, who in ((["status"], "relayd"), (["reload"], "relayd"), (["reload", "--wait"], "relayd"),
                       (["relay", "list"], "relay-feed"), (["sync"], "relay-feed")):
        text = error(stack.ctl(*words, code=None), 1)
        assert re.fullmatch(rf"{who} does not run \({stack.run}/\w+\.sock\)", text)
    text = error(stack.ctl("status", "--wait", "0", code=None), 1)
    assert text.startswith("not ready after 0 s: relayd does not answer")
    text = error(stack.ctl("app", "create", code=None), 1)
    assert text.endswith("; nothing was created")


def test_status_wait_comes_back_as_soon_as_all_is_ready(make_stack):
    stack = make_stack(start=False)
    asking = subprocess.Popen([str(RELAYCTL), "-c", str(stack.dir / "relay.conf"), "status",
                               "--wait"], stdout=subprocess.PIPE)
    stack.start(wait=False)
    out, _ = asking.communicate(timeout=60)
    assert asking.returncode == 0 and b"synced=true" in out and b"ready=true" in out
    assert stack.status()["helper"]["ready"]


def test_relayd_that_never_answers_is_a_timeout(make_stack):
    stack = make_stack(start=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(f"{stack.run}/relayd.sock")
        s.listen(8)
        assert error(stack.ctl("status", code=None), 1) == "relayd did not answer in time"


def test_reload_makes_a_new_generation(stack):
    before = stack.pids("worker")
    r = json.loads(stack.ctl("reload", "--wait", "--json").stdout)
    assert r == {"generation": 2}
    assert stack.status()["generation"] == 2
    until("the old workers left", lambda: all(pid_gone(p) for p in before.values()))
    assert stack.ctl("reload", "--wait").stdout == b"serving: generation 3\n"
    assert stack.ctl("reload").stdout == b"accepted: generation 4\n"
    until("it serves", lambda: stack.status()["generation"] == 4)


def test_reload_that_is_refused_says_why_and_changes_nothing(stack):
    conf = stack.dir / "relay.conf"
    good = conf.read_text()
    conf.write_text(good.replace(str(stack.cert[1]), "/nonexistent.key"))
    for words in (["reload"], ["reload", "--wait"]):
        assert error(stack.ctl(*words, code=None), 1) == (
            "/nonexistent.key: No such file or directory")
    conf.write_text(good.replace(f'state_dir = "{stack.dir}/relay"', 'state_dir = "other"'))
    text = error(stack.ctl("reload", code=None), 1)
    assert text == f"{conf}: option 'state_dir' cannot change while relayd runs: restart it"
    conf.write_text(good)
    assert stack.status()["generation"] == 1


def test_sync_shows_and_accepts(stack):
    for i in range(4):
        stack.push(f"h{i}.test", json.dumps(GOOD))
    until("all are live", lambda: stack.status()["feed"]["relays"] == 4)
    assert stack.ctl("sync", "--accept").stdout == b"accepted: nothing is held back\n"
    stack.redis.cli("DEL", "relay:relays")
    stack.redis.cli("PUBLISH", "relay:updates", "compare")
    until("the removal is held back", lambda: json.loads(
        stack.ctl("sync").stdout)["pending_delete"] == 4)
    assert len(json.loads(stack.ctl("relay", "list", "--json").stdout)) == 4
    accepted = json.loads(stack.ctl("sync", "--accept", "--json").stdout)
    assert accepted["accepted"]
    assert json.loads(stack.ctl("relay", "list", "--json").stdout) == []
    assert json.loads(stack.ctl("sync").stdout)["pending_delete"] == 0
