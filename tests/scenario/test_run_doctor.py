"""relayctl run: a command whose https requests go through egress; relayctl doctor: which
layer of that way fails, and what to change."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from conftest import CA, PREFIX, free_port, running, until
from egress_stage import EgressStack, allow

RELAYCTL = str(PREFIX / "bin/relayctl")
CARD = "4111111111111111"
LISTENERS = ("egress", "egress-strict", "egress-plain")


@pytest.fixture(scope="module")
def shared(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("stack"), ca, EgressStack) as s:
        yield s


@pytest.fixture
def tmp(tmp_path):
    """TMPDIR of the commands: what `run` leaves there is seen."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def environ(**more):
    """Nothing of ours or of a proxy's in it, but what a test puts there."""
    dropped = ("RELAY", "EV_", "SSL_", "CURL_", "NODE_", "JAVA_", "REQUESTS_")
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(dropped) and not k.lower().endswith("_proxy")}
    return {**env, **{k: str(v) for k, v in more.items()}}


def relayctl(stack, *words, conf=None, code=0, **env):
    r = subprocess.run([RELAYCTL, "-c", str(conf or stack.dir / "relay.conf"), *map(str, words)],
                       capture_output=True, text=True, check=False, timeout=120,
                       env=environ(**env), stdin=subprocess.DEVNULL)
    if code is not None:
        assert r.returncode == code, (words, r.returncode, r.stdout, r.stderr)
    return r


def key_of(stack):
    app, key = stack.app()
    return {"RELAY_APP_ID": app, "RELAY_API_KEY": key}


# ---- doctor -----------------------------------------------------------------------------------

def doctor(stack, *words, code=0, **env):
    """Rows as [(layer, where, result, says, hint)]."""
    r = relayctl(stack, "--json", "doctor", *words, code=code, **env)
    said = json.loads(r.stdout)
    assert said["ok"] == (code == 0)
    return [(x["layer"], x["where"], x["result"], x["says"], x.get("hint", ""))
            for x in said["layers"]]


def bad(rows):
    return [(layer, says, hint) for layer, _, result, says, hint in rows if result == "failed"]


def results(rows, layer):
    return [result for name, _, result, _, _ in rows if name == layer]


def test_every_layer_is_good_and_the_token_arrives_open(shared, origin):
    rows = doctor(shared, "--host", f"localhost:{origin.port}", "--path", "/echo",
                  **key_of(shared))
    assert bad(rows) == []
    wanted = {"configuration": 1, "engine": 1, "clock": 1, "egress CA": 1, "CA listener": 1,
              "key API": 2, "seal a value": 1, "proxy TCP": 3, "proxy TLS": 2,
              "CONNECT, no key": 3, "CONNECT, key": 2, "tunnel TLS": 3, "request": 3,
              "round trip": 3}
    assert {k: results(rows, k) for k in wanted} == {k: ["ok"] * n for k, n in wanted.items()}
    assert {x[1] for x in rows if x[0] == "round trip"} == {
        f"127.0.0.1:{shared.ports[k]}" for k in LISTENERS}
    assert [x[3] for x in rows if x[0] == "round trip"] == [
        "200; the destination saw the value"] * 3
    raw = origin.raw_log()
    assert raw.count(b"relay-doctor-") == 3 and b"ev:" not in raw
    assert b"proxy-authorization" not in raw.lower()


def test_the_table_for_people(shared, origin):
    r = relayctl(shared, "doctor", "--host", f"localhost:{origin.port}", **key_of(shared))
    lines = r.stdout.splitlines()
    assert lines[0].split()[:3] == ["LAYER", "WHERE", "RESULT"]
    assert r.stderr == "" and shared.app()[1] not in r.stdout
    assert not any(line.startswith("change: ") for line in lines)


def test_without_host_and_key_it_goes_as_far_as_it_can(shared):
    rows = doctor(shared)
    assert results(rows, "tunnel TLS") == ["ok", "ok"]      # not behind the strict one
    assert results(rows, "request") == ["skipped", "skipped"]
    assert results(rows, "CONNECT, key") == []
    assert [x[3] for x in rows if x[0] == "key API"] == ["401 without a key, as it should"] * 2
    rows = doctor(shared, **key_of(shared))
    assert results(rows, "tunnel TLS") == ["ok"] * 3
    assert {x[4] for x in rows if x[0] == "request"} == {"name one: --host HOST"}


def test_a_wrong_key(shared, origin):
    app = shared.app()[0]
    rows = doctor(shared, "--host", f"localhost:{origin.port}", code=1, RELAY_APP_ID=app,
                  RELAY_API_KEY="ev:key:1:no:no:no")
    failed = bad(rows)
    assert {x[0] for x in failed} == {"key API", "CONNECT, key", "request"}
    assert all(f"relayctl key create {app}" in hint for _, _, hint in failed)
    assert [x[1][:3] for x in failed if x[0] == "CONNECT, key"] == ["407", "407"]
    assert origin.raw_log() == b""


def test_a_key_without_the_scope(shared, origin):
    app = shared.app()[0]
    key = json.loads(shared.ctl("--json", "key", "create", app, "--scope", "api:keys").stdout)
    rows = doctor(shared, "--host", f"localhost:{origin.port}", code=1, RELAY_APP_ID=app,
                  RELAY_API_KEY=key["secret"])
    hints = [hint for layer, _, hint in bad(rows) if layer == "CONNECT, key"]
    assert len(hints) == 2 and all("--scope egress" in h for h in hints)
    assert results(rows, "key API") == ["ok", "ok"]


def test_a_destination_that_is_not_allowed_and_the_line_that_mends_it(egress, origin):
    to = f"localhost:{origin.port}"
    allow(egress, {"destinations": [{"host": "other.test", "port": 443}]})
    rows = doctor(egress, "--host", to, code=1, **key_of(egress))
    failed = bad(rows)
    assert {x[0] for x in failed} == {"CONNECT, key", "request"}
    assert all("403 forbidden-destination" in says for _, says, _ in failed)
    line = failed[0][2]
    assert line == f"relayctl egress allow {egress.app()[0]} {to}"
    egress.ctl(*line.split()[1:])
    assert bad(doctor(egress, "--host", to, **key_of(egress))) == []
    # Without --host nothing is known to be allowed: no fault.
    rows = doctor(egress, **key_of(egress))
    assert results(rows, "CONNECT, key") == ["skipped", "skipped"]


def test_a_private_address_and_the_line_that_mends_it(make_egress, origin):
    stack = make_egress(internal=False)
    to = f"localhost:{origin.port}"
    rows = doctor(stack, "--host", to, code=1, **key_of(stack))
    hint = f"relayctl egress allow {stack.app()[0]} {to} --internal"
    assert {(x[0], x[2].rpartition(": ")[2]) for x in bad(rows)} == {("request", hint)}
    stack.ctl(*hint.split()[1:])
    assert bad(doctor(stack, "--host", to, **key_of(stack))) == []


@pytest.mark.parametrize("host,code,word", [
    ("nosuch.invalid", "503 service-unavailable", "resolve"),
    ("localhost:{free}", "503 service-unavailable", "is the port open"),
    ("localhost:{own}", "508 tunnel-loop", "resolve"),
    ("localhost:{foreign}", "502 upstream-tls-error", "upstream_ca_file"),
])
def test_destinations_that_cannot_be_reached(shared, make_origin, tmp_path, host, code, word):
    foreign = make_origin(ca=CA(tmp_path, "foreign root")) if "foreign" in host else None
    host = host.format(free=free_port(), own=shared.port, foreign=foreign and foreign.port)
    rows = doctor(shared, "--host", host, code=1, **key_of(shared))
    failed = bad(rows)
    assert [x[0] for x in failed] == ["request"] * 3
    assert all(says.startswith(code) and word in hint for _, says, hint in failed), failed


def test_another_ca_than_the_one_clients_trust(shared, tmp_path, origin):
    other = CA(tmp_path, "other root")
    rows = doctor(shared, "--ca", other.pem, "--host", f"localhost:{origin.port}", code=1,
                  **key_of(shared))
    failed = {layer: hint for layer, _, hint in bad(rows)}
    assert set(failed) == {"CA listener", "key API TLS", "proxy TLS", "tunnel TLS"}
    assert "relayctl ca show --pem" in failed["CA listener"]
    assert origin.raw_log() == b""


def test_a_name_the_proxys_certificate_does_not_have(shared):
    rows = doctor(shared, "--egress", f"https://localhost.localdomain:{shared.ports['egress']}",
                  "--ca", shared.ca.pem, code=1)
    layer, says, hint = bad(rows)[0]
    # The name resolves on some machines only.
    assert layer == "proxy TCP" or (layer == "proxy TLS" and "hostname mismatch" in says.lower()
                                    and "--egress" in hint)


def test_without_an_egress_ca(make_egress):
    stack = make_egress(egress_ca=False)
    rows = doctor(stack, code=1, **key_of(stack))
    failed = dict((layer, hint) for layer, _, hint in bad(rows))
    assert "relayctl ca create" in failed["egress CA"]
    assert "relayctl ca create" in failed["CONNECT, no key"]       # the plain listener
    assert "skipped" in results(rows, "proxy TLS")


def test_nothing_runs(make_egress):
    stack = make_egress()
    env = key_of(stack)
    stack.stop()
    rows = doctor(stack, "--ca", stack.ca.pem, code=1, **env)
    failed = bad(rows)
    assert failed[0][0] == "engine" and "relayctl status" in failed[0][2]
    assert [x[0] for x in failed[1:]] == ["CA listener TCP", "key API TCP", "key API TCP",
                                          "proxy TCP", "proxy TCP", "proxy TCP"]
    assert all("Connection refused" in says for _, says, _ in failed[1:])


def test_a_conf_without_egress_listeners(stack):
    rows = doctor(stack, code=1)
    assert bad(rows)[0][0] == "configuration" and 'listen "egress"' in bad(rows)[0][2]


@contextlib.contextmanager
def false_proxy(answer):
    """Says one thing to whoever connects and has sent a head."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                conn, _ = server.accept()
                with conn, contextlib.suppress(OSError):
                    conn.recv(65536)
                    conn.sendall(answer)
    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.mark.parametrize("answer,says", [
    (b"", "the peer closed the connection"),
    (b"SSH-2.0-x\r\n", "the answer is no HTTP"),
    (b"HTTP/1.1 200 OK\r\n", "the peer closed the connection"),
    (b"HTTP/1.1 200 OK\r\n\r\nhello", "bytes behind the answer to CONNECT"),
    (b"HTTP/1.1 200 OK\r\n\r\n", "connection"),         # closed, or broken by our hello
    (b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nshort", "the peer closed the connection"),
    (b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunks are broken"),
    (b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "ambiguous"),
    (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "403 "),
    (b"HTTP/1.1 502 No\r\n\r\n" + b"x" * 3000000, "502 "),
    (b"HTTP/1.1 403 No\r\nx-evervault-error-code: forbidden-destination\r\n"
     b"Content-Length: 2\r\n\r\n{}", "403 forbidden-destination"),
], ids=["nothing", "ssh", "half-a-head", "bytes-behind", "no-tunnel", "short", "chunks", "lengths",
        "foreign-refusal", "endless", "refusal"])
def test_proxies_that_are_none(shared, answer, says):
    with false_proxy(answer) as port:
        rows = doctor(shared, "--egress", f"http://127.0.0.1:{port}", "--ca", shared.ca.pem,
                      "--host", "shop.test", code=1)
    layer, said, _ = bad(rows)[0]
    assert layer in ("CONNECT, no key", "tunnel TLS") and says in said, rows


@pytest.mark.parametrize("words", [
    ["--host", "a b"], ["--host", "x:0x1"], ["--host", "u@h"], ["--path", "x"],
    ["--path", "/a\r\nb: c"], ["--egress", "https://u:k@h"], ["--api", "ftp://h"],
    ["--ca", "/nonexistent"], ["--ca", "/dev/null"], ["--key-file", "/nonexistent"],
    ["--key", "a b"], ["--key", ""], ["operand"],
])
def test_doctor_usage(shared, words):
    r = relayctl(shared, "doctor", *words, code=2)
    assert r.stdout == "" and "relayctl: " in r.stderr
    assert "u:k" not in r.stderr


# ---- run --------------------------------------------------------------------------------------

def test_a_token_is_open_at_the_destination(shared, origin, tmp):
    token = shared.token(CARD)
    r = relayctl(shared, "run", "--", "curl", "-sS", "--fail-with-body", "-H",
                 "Content-Type: application/json", "-d", json.dumps({"n": token}),
                 f"https://localhost:{origin.port}/pay", TMPDIR=tmp, **key_of(shared))
    assert json.loads(r.stdout) == {"n": CARD}
    assert CARD.encode() in origin.raw_log()
    assert r.stderr == "" and list(tmp.iterdir()) == []


def test_without_a_key_the_tunnel_says_so(shared, origin):
    r = relayctl(shared, "run", "curl", "-sS", f"https://localhost:{origin.port}/")
    assert json.loads(r.stdout)["code"] == "unauthorized"
    assert origin.raw_log() == b""


def variables(stack, *words, **env):
    """What a command finds in its environment."""
    r = relayctl(stack, "run", *words, "--", "/usr/bin/python3", "-c",
                 "import json, os; print(json.dumps(dict(os.environ)))", **env)
    return json.loads(r.stdout), r.stderr


def test_the_environment_of_a_command(shared, tmp):
    env, said = variables(shared, TMPDIR=tmp, **key_of(shared))
    app, key = shared.app()
    ports = shared.ports
    assert said == ""
    assert env["HTTPS_PROXY"] == env["https_proxy"]
    assert env["HTTPS_PROXY"].startswith(f"https://{app}:")
    assert env["HTTPS_PROXY"].endswith(f"@127.0.0.1:{ports['egress']}")
    assert key not in env["HTTPS_PROXY"] and ":" in key          # percent-encoded
    assert "HTTP_PROXY" not in env and "http_proxy" not in env
    assert env["EV_API_URL"] == f"https://127.0.0.1:{ports['api-tls']}"
    assert env["EV_TUNNEL_HOSTNAME"] == f"https://127.0.0.1:{ports['egress']}"
    assert env["EV_CERT_HOSTNAME"] == f"http://127.0.0.1:{ports['ca']}/"
    assert f"-Dhttps.proxyPort={ports['egress-plain']}" in env["JAVA_TOOL_OPTIONS"]
    assert env["NO_PROXY"] == ",".join(f"127.0.0.1:{ports[k]}" for k in ("api", "api-tls", "ca"))
    assert env["no_proxy"] == env["NO_PROXY"]
    env, _ = variables(shared, "--sdk", "python", "--no-proxy", "x.test", TMPDIR=tmp)
    assert env["EV_API_URL"] == f"http://127.0.0.1:{ports['api']}/"
    assert env["NO_PROXY"] == "x.test"
    assert env["HTTPS_PROXY"] == f"https://127.0.0.1:{ports['egress']}"


HOSTS = ["localhost", "127.0.0.1"]


@pytest.mark.parametrize("words,env", [
    ([], {}), (["--sdk", "node"], {}), (["--sdk", "python"], {}), (["--sdk", "go"], {}),
    (["--no-proxy", ""], {}), (["--no-proxy", ""], {"NO_PROXY": "127.0.0.1,localhost"})], ids=str)
@pytest.mark.parametrize("host", HOSTS)
def test_an_origin_beside_the_key_api_sees_values(shared, origin, tmp, host, words, env):
    """API, CA and destination at one address."""
    body = json.dumps({"n": shared.token(CARD)})
    r = relayctl(shared, "run", *words, "--", "curl", "-sS", "-H", "Content-Type: application/json",
                 "-d", body, f"https://{host}:{origin.port}/pay", TMPDIR=tmp, **env,
                 **key_of(shared))
    assert json.loads(r.stdout) == {"n": CARD}
    assert b"ev:" not in origin.raw_log() and r.stderr == ""


@pytest.mark.parametrize("words,env,entry", [
    ([], {"NO_PROXY": "x.test, 127.0.0.1"}, "127.0.0.1"),
    ([], {"no_proxy": "127.0.0.0/8"}, "127.0.0.0/8"),
    # Its libraries know no ports in NO_PROXY, and it calls api-tls.
    (["--sdk", "php"], {}, "127.0.0.1")], ids=str)
def test_what_goes_around_is_warned_of(shared, origin, tmp, words, env, entry):
    r = relayctl(shared, "run", *words, "--", "curl", "-sS", "-H", "Content-Type: application/json",
                 "-d", json.dumps({"n": shared.token(CARD)}),
                 f"https://127.0.0.1:{origin.port}/pay", TMPDIR=tmp, **env, **key_of(shared))
    assert r.stdout.startswith('{"n": "ev:')
    assert r.stderr == (f"relayctl: warning: NO_PROXY has {entry}: requests there go around egress, "
                        "with tokens as they are; --no-proxy LIST says another list\n")


def test_a_list_of_the_users_own_is_the_whole_list(shared, tmp):
    for words in (["127.0.0.1,x.test"], [""], ["*", "--sdk", "php"]):
        env, said = variables(shared, "--no-proxy", *words, TMPDIR=tmp, NO_PROXY="other.test")
        assert env["NO_PROXY"] == env["no_proxy"] == words[0] and said == ""


def test_the_key_api_is_reached_under_run(shared, tmp):
    """By a client that reads ports in NO_PROXY, and by one that asks in clear."""
    script = ("import os, urllib.request as u\n"
              "for url in (os.environ['EV_API_URL'] + '/ca.pem', os.environ['EV_CERT_HOSTNAME']):\n"
              "    print(u.urlopen(url).status)\n")
    r = relayctl(shared, "run", "/usr/bin/python3", "-c", script, TMPDIR=tmp, **key_of(shared))
    assert (r.stdout, r.stderr) == ("200\n200\n", "")
    # One that does not is told so by the proxy: nothing goes around it.
    r = relayctl(shared, "run", "curl", "-sS", "-o", "/dev/null", "-w",
                 "%{http_connect} %{http_code}",
                 f"https://127.0.0.1:{shared.ports['api-tls']}/ca.pem", TMPDIR=tmp, **key_of(shared))
    assert r.stdout == "200 508"


def test_a_key_never_goes_in_clear(shared):
    env, said = variables(shared, "--plain", **key_of(shared))
    assert env["HTTPS_PROXY"] == f"http://127.0.0.1:{shared.ports['egress-plain']}"
    assert "never sent in clear" in said


def test_where_the_key_comes_from(shared, tmp):
    file = tmp / "key"
    file.write_text("from-file\nsecond line\n")
    for words, env, want, warned in [
            ([], {"RELAY_API_KEY": "from-environment"}, ":from-environment@", False),
            (["--key-file", file], {"RELAY_API_KEY": "other"}, ":from-file@", False),
            (["--key", "from-line"], {}, ":from-line@", True)]:
        have, said = variables(shared, *words, **env)
        assert want in have["HTTPS_PROXY"] and ("--key-file" in said) == warned
        assert "from-" not in said


SHOW = 'folder=${SSL_CERT_FILE%/*}; ls -ld "$folder"; echo "$folder"; ls -A "$folder"'


def test_the_files_are_private_whole_and_gone_afterwards(shared, tmp, ca):
    r = relayctl(shared, "run", "sh", "-c", SHOW + '; cat "$NODE_EXTRA_CA_CERTS"', TMPDIR=tmp)
    lines = r.stdout.splitlines()
    assert lines[0].startswith("drwx------") and lines[1].startswith(f"{tmp}/relayctl-run.")
    assert set(lines[2:6]) == {".curlrc", "bundle.pem", "ca.pem", "trust.p12"}
    assert "\n".join(lines[6:]).strip() == ca.pem.read_text().strip()
    assert list(tmp.iterdir()) == []
    # The system's certificates, or those that were chosen before, are in the bundle.
    chosen = tmp / "chosen.pem"
    chosen.write_text("-----BEGIN CERTIFICATE-----\n")
    assert relayctl(shared, "run", "true", TMPDIR=tmp, SSL_CERT_FILE=chosen, code=2)
    other = CA(tmp, "chosen root")
    r = relayctl(shared, "run", "sh", "-c", 'cat "$SSL_CERT_FILE"', TMPDIR=tmp,
                 SSL_CERT_FILE=other.pem)
    assert other.pem.read_text().strip() in r.stdout and ca.pem.read_text().strip() in r.stdout


@pytest.mark.skipif(shutil.which("keytool") is None, reason="no Java here")
def test_java_reads_the_key_store(shared, tmp, ca):
    other = CA(tmp, "chosen root")
    r = relayctl(shared, "run", "sh", "-c", 'keytool -J-Xshare:auto -list -storepass "" '
                 '-keystore "${SSL_CERT_FILE%/*}/trust.p12" -rfc', SSL_CERT_FILE=other.pem)
    assert r.stdout.count("trustedCertEntry") == 2, r.stdout


def test_the_users_own_curlrc_stays(shared, tmp):
    home = tmp / "home"
    home.mkdir()
    (home / ".curlrc").write_text('user-agent = "mine"')
    r = relayctl(shared, "run", "sh", "-c", 'cat "$CURL_HOME/.curlrc"', HOME=home, TMPDIR=tmp)
    assert r.stdout.startswith('user-agent = "mine"\n') and "proxy-cacert" in r.stdout


@pytest.mark.parametrize("script,code", [("exit 0", 0), ("exit 7", 7), ("exit 255", 255),
                                         ("kill -TERM $$", 143), ("kill -KILL $$", 137),
                                         ("kill -PIPE $$", 141)])
def test_the_exit_status_is_the_commands(shared, tmp, script, code):
    relayctl(shared, "run", "sh", "-c", script, code=code, TMPDIR=tmp)
    assert list(tmp.iterdir()) == []


def test_commands_that_cannot_be_started(shared, tmp):
    r = relayctl(shared, "run", "/nonexistent/command", code=127, TMPDIR=tmp)
    assert r.stderr == "relayctl: /nonexistent/command: No such file or directory\n"
    relayctl(shared, "run", "/", code=126, TMPDIR=tmp)
    relayctl(shared, "run", code=2)
    relayctl(shared, "run", "--", code=2)
    assert list(tmp.iterdir()) == []


def test_words_behind_the_command_are_its_own(shared):
    words = ["--json", "-c", "x", "--", "--key", "-h"] + ["w"] * 400
    for front in ([], ["--"]):
        r = relayctl(shared, "run", *front, "/usr/bin/printf", "%s\\n", *words)
        assert r.stdout.split() == words


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_command(shared, tmp, sig):
    script = f"trap 'echo got; exit 9' {sig.value}; echo ready; while :; do sleep 0.05; done"
    p = subprocess.Popen([RELAYCTL, "-c", str(shared.dir / "relay.conf"), "run", "sh", "-c",
                          script], stdout=subprocess.PIPE, text=True, env=environ(TMPDIR=tmp))
    assert p.stdout.readline() == "ready\n"
    p.send_signal(sig)
    assert p.stdout.read() == "got\n"
    assert p.wait(30) == 9 and list(tmp.iterdir()) == []


def test_a_killed_run_takes_its_command_along_and_is_cleaned_up_after(shared, tmp):
    p = subprocess.Popen([RELAYCTL, "-c", str(shared.dir / "relay.conf"), "run", "sh", "-c",
                          "echo $$; exec sleep 600"], stdout=subprocess.PIPE, text=True,
                         env=environ(TMPDIR=tmp))
    child = int(p.stdout.readline())
    p.kill()
    p.wait(30)
    until("the command has ended", lambda: not pathlib.Path(f"/proc/{child}").exists()
          or "Z" in pathlib.Path(f"/proc/{child}/stat").read_text().split()[2])
    assert len(list(tmp.iterdir())) == 1
    relayctl(shared, "run", "true", TMPDIR=tmp)
    assert list(tmp.iterdir()) == []


def test_a_machine_without_relay_conf(shared, origin, tmp):
    """A client's machine knows the proxy's URL, a CA file and its key."""
    token = shared.token(CARD)
    r = relayctl(shared, "run", "--egress", f"https://localhost:{shared.ports['egress']}", "--ca",
                 shared.ca.pem, "curl", "-sS", "-H", "Content-Type: application/json", "-d",
                 json.dumps({"n": token}), f"https://localhost:{origin.port}/pay",
                 conf="/nonexistent", TMPDIR=tmp, **key_of(shared))
    assert json.loads(r.stdout) == {"n": CARD}
    r = relayctl(shared, "run", "true", conf="/nonexistent", code=2)
    assert "/nonexistent" in r.stderr


@pytest.mark.parametrize("words,says", [
    (["--tls", "--plain", "true"], "--tls and --plain: one of them"),
    (["--sdk", "perl", "true"], "--sdk: node, python, php or go"),
    (["--egress", "https://h/path", "true"], "--egress: https://HOST:PORT"),
    (["--egress", "http://127.0.0.1:1", "--tls", "true"], 'no listen "egress"'),
    (["--key", "a", "--key-file", "b", "true"], "--key and --key-file: one of them"),
    (["--key-file", "/nonexistent", "true"], "/nonexistent: No such file"),
    (["--ca", "/dev/null", "true"], "there is no certificate in it"),
    (["--nonsense", "true"], "unknown option '--nonsense'"),
])
def test_run_usage(shared, words, says):
    r = relayctl(shared, "run", *words, code=2)
    assert says in r.stderr and r.stdout == ""
