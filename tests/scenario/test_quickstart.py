"""./quickstart: one command from a clone to a running system, and what other
programs build on: its options, exit codes and every variable of --env."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile

import pytest
from cryptography import x509

from conftest import CA, TOKEN, TOP, Connection, Origin, free_port, pid_gone, route, until

BUILD = TOP / "build/quickstart"
CARD = b"4111111111111111"
VARIABLES = ["RELAY_INGRESS", "RELAY_EGRESS_TLS", "RELAY_EGRESS_PLAIN", "RELAY_EGRESS_STRICT",
             "RELAY_API", "RELAY_ADMIN", "RELAY_REDIS", "RELAY_ORIGIN", "RELAY_ORIGIN_LOG",
             "RELAY_E3", "RELAY_API_TLS", "RELAY_CA_URL", "RELAY_CA", "RELAY_APP_ID",
             "RELAY_API_KEY", "RELAY_HOST", "RELAYCTL", "RELAY_STATE", "RELAY_PIDS", "E3_CERT",
             "E3_KEY", "E3_CA"]
PORTS = 11              # in a row, from --port-base on
NOT_SERVED_YET = {"RELAY_ADMIN"}
PROCESSES = ["relayd", "worker1", "worker2", "feed", "e3d", "e3-helper", "redis", "origin"]


class Quickstart:
    """One state folder and what runs on it."""

    def __init__(self, name="state"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="relay-q."))
        self.state, self.env_file = self.folder / name, self.folder / "env"
        self.base = free_port(PORTS)

    def environ(self, build=False, **more):
        """With RELAY_BUILD_DIR what the first start built is used as it is."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("RELAY")}
        return {**env, **({} if build else {"RELAY_BUILD_DIR": str(BUILD)}), **more}

    def run(self, *options, code=0, **env):
        r = subprocess.run([str(TOP / "quickstart"), "--state", str(self.state), "--no-install",
                            *map(str, options)], capture_output=True, text=True, check=False,
                           timeout=600 if env.get("build") else 120,
                           stdin=subprocess.DEVNULL, env=self.environ(**env))
        assert r.returncode == code, (options, r.returncode, r.stdout[-3000:], r.stderr[-3000:])
        return r

    def start(self, *options, **env):
        if "--port-base" not in options and not (self.state / "port-base").exists():
            options = ["--port-base", self.base, *options]
        return self.run("--detach", "--env", self.env_file, *options, **env)

    def foreground(self, *options):
        """A process group of its own, like a job of a terminal."""
        with open(self.folder / "foreground.out", "wb") as f:
            return subprocess.Popen(
                [str(TOP / "quickstart"), "--state", str(self.state), "--no-install",
                 "--port-base", str(self.base), "--env", str(self.env_file), *options],
                stdout=f, stderr=f, stdin=subprocess.DEVNULL, env=self.environ(),
                start_new_session=True)

    def printed(self):
        return (self.folder / "foreground.out").read_text()

    def vars(self):
        """The env file as a shell reads it."""
        names = " ".join(f'"{n}=${n}"' for n in VARIABLES)
        r = subprocess.run(["/bin/sh", "-euc", f'. "$1"; printf "%s\\0" {names}', "sh",
                            str(self.env_file)], capture_output=True, check=True, env={})
        return dict(w.split("=", 1) for w in r.stdout.decode().split("\0")[:-1])

    def pids(self):
        return {n: int(p) for n, p in (w.split("=") for w in self.vars()["RELAY_PIDS"].split())}

    def ctl(self, *words, data=b"", code=0):
        """From elsewhere, with a configuration in the environment that must not count."""
        r = subprocess.run([self.vars()["RELAYCTL"], *map(str, words)], input=data, cwd="/",
                           capture_output=True, check=False, env={"RELAY_CONF": "/nonexistent"})
        assert r.returncode == code, (words, r.returncode, r.stdout, r.stderr)
        return r.stdout

    def redis(self, *words, data=None):
        return subprocess.run(["redis-cli", "-p", str(self.base + 6), *words], input=data, text=True,
                              capture_output=True, check=True).stdout.strip()

    def curl(self, host, path, body):
        v = self.vars()
        return subprocess.run(
            ["curl", "-sS", "--cacert", v["RELAY_CA"], "--resolve", f"{host}:{self.base}:127.0.0.1",
             "-H", "Content-Type: application/json", "--data", body,
             f"https://{host}:{self.base}{path}"], capture_output=True, text=True, check=True).stdout

    def end(self):
        if self.state.exists():
            self.run("--stop")
            if (self.state / "run-dir").exists():
                shutil.rmtree((self.state / "run-dir").read_text().strip())
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def demo():
    """One instance started as a stranger would, for all tests that leave it whole."""
    q = Quickstart()
    try:
        q.said = q.start(build=True).stdout
        yield q
    finally:
        q.end()


@pytest.fixture
def make_quickstart(demo):
    """Instances of a test's own, on what `demo` built."""
    made = []

    def make(name="state"):
        made.append(Quickstart(name))
        return made[-1]
    yield make
    for q in made:
        q.end()


@pytest.fixture
def quickstart(make_quickstart):
    return make_quickstart()


# ---- a start ----------------------------------------------------------------------------

def test_three_views_are_printed(demo):
    said = demo.said
    views = re.search(r"\n1\. what curl sent \(POST https://(\S+)/pay\)\n   (.*)\n"
                      r"2\. what the origin saw\n   (.*)\n3\. what came back\n   (.*)\n", said)
    assert views, said
    where, sent, saw, back = views.groups()
    assert where == f"{demo.vars()['RELAY_HOST']}:{demo.base}"
    assert json.loads(sent)["card"] == {"number": CARD.decode(), "cvc": 123}
    assert back == sent
    tokens = [m.group(0).decode() for m in TOKEN.finditer(saw.encode())]
    assert len(tokens) == 2 and CARD.decode() not in saw
    # only the two values differ
    assert saw.replace(f'"{tokens[0]}"', f'"{CARD.decode()}"').replace(f'"{tokens[1]}"', "123") == sent
    assert f"running: ingress https://127.0.0.1:{demo.base}" in said


def test_env_file_has_exactly_the_variables_of_the_contract(demo):
    lines = demo.env_file.read_text().splitlines()
    assert [line.split("=", 1)[0] for line in lines] == VARIABLES
    for line in lines:
        assert re.fullmatch(r"[A-Z0-9_]+='[^']*'", line), line
    v = demo.vars()
    assert {name for name in VARIABLES if v[name] == ""} == NOT_SERVED_YET
    assert v["RELAY_INGRESS"] == f"https://127.0.0.1:{demo.base}"
    assert v["RELAY_REDIS"] == f"127.0.0.1:{demo.base + 6}"
    assert v["RELAY_ORIGIN"] == f"https://127.0.0.1:{demo.base + 7}"
    assert v["RELAY_E3"] == f"127.0.0.1:{demo.base + 8}"
    assert v["RELAY_STATE"] == str(demo.state) and v["RELAY_HOST"] == "demo.relay.test"
    assert re.fullmatch(r"app_[0-9a-f]{12}", v["RELAY_APP_ID"])
    assert v["RELAY_API_KEY"].startswith("ev:key:1:")
    for name in ("RELAY_ORIGIN_LOG", "RELAY_CA", "RELAYCTL", "E3_CERT", "E3_KEY", "E3_CA"):
        assert pathlib.Path(v[name]).is_file(), name
    assert stat.S_IMODE(demo.env_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(demo.state.stat().st_mode) == 0o700
    assert list(demo.folder.glob("env.*")) == []        # by rename, nothing left


def test_relayctl_needs_no_option_and_no_variable(demo):
    status = json.loads(demo.ctl("status", "--json"))
    pids = demo.pids()
    assert status["pid"] == pids["relayd"]
    assert {c["name"]: c["pid"] for c in status["children"]} == {
        n: p for n, p in pids.items() if n not in ("relayd", "redis", "origin")}


def test_pids_name_living_processes(demo):
    pids = demo.pids()
    assert list(pids) == PROCESSES
    word = {"worker1": "relay-worker", "worker2": "relay-worker", "feed": "relay-feed",
            "redis": "redis-server", "origin": "origin.py"}
    for name, pid in pids.items():
        assert word.get(name, name).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()


def test_certificate_carries_every_name_and_chains_to_the_root(demo):
    pem = pathlib.Path(demo.vars()["RELAY_CA"]).read_bytes()
    ca = x509.load_pem_x509_certificate(pem)
    assert pem.count(b"BEGIN CERTIFICATE") == 1 and ca.issuer == ca.subject
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca and constraints.path_length == 1
    for name in ("demo.relay.test", "x.relay.test", "x.example.com", "localhost", "127.0.0.1"):
        context = ssl.create_default_context(cafile=demo.vars()["RELAY_CA"])
        with socket.create_connection(("127.0.0.1", demo.base)) as raw:
            with context.wrap_socket(raw, server_hostname=name) as s:
                cert = x509.load_der_x509_certificate(s.getpeercert(True))
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    app = demo.vars()["RELAY_APP_ID"].replace("_", "-")
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "demo.relay.test", "*.example.com", "*.test", "*.relay.test", "localhost",
        f"*.{app}.relay.test"}
    assert {str(a) for a in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}
    assert cert.issuer == ca.subject


def test_e3_certificate_is_a_workers(demo):
    v = demo.vars()
    cert = x509.load_pem_x509_certificate(pathlib.Path(v["E3_CERT"]).read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri, = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uri.startswith("relay://link/worker/")
    context = ssl.create_default_context(cafile=v["E3_CA"])
    context.check_hostname = False
    context.load_cert_chain(v["E3_CERT"], v["E3_KEY"])
    with socket.create_connection(("127.0.0.1", demo.base + 8)) as raw:
        with context.wrap_socket(raw) as s:
            assert s.version() == "TLSv1.3"


def test_a_relay_pushed_by_redis_cli_serves_curl(demo):
    """The example of the README."""
    relay = {"app": demo.vars()["RELAY_APP_ID"], "destinationDomain": "localhost",
             "destination": {"port": demo.base + 7},
             "routes": [route("POST", "/checkout/**", ["$.card.number"], ["$..*"])]}
    demo.redis("-x", "HSET", "relay:relays", "shop.example.com", data=json.dumps(relay))
    demo.redis("PUBLISH", "relay:updates", "relays shop.example.com")
    body = '{"card": {"number": "4111111111111111"},  "total": 1.0}'
    until("it is live", lambda: demo.curl("shop.example.com", "/checkout/1", body) == body)
    log = pathlib.Path(demo.vars()["RELAY_ORIGIN_LOG"]).read_bytes()
    seen = log[log.rindex(b"POST /checkout/1 "):]
    token, = [m.group(0) for m in TOKEN.finditer(seen)]
    assert b'{"card": {"number": "' + token + b'"},  "total": 1.0}' in seen
    opened = demo.ctl("decrypt", "--api-key", demo.vars()["RELAY_API_KEY"], data=token)
    assert opened == CARD + b"\n"


def create_relay(q):
    """POST /relays with the instance's own key: the name that clients use."""
    v = q.vars()
    relay = {"destinationDomain": "localhost", "destination": {"port": q.base + 7},
             "routes": [route("POST", "/managed", ["$.card.number"], ["$..*"])]}
    r = subprocess.run(["curl", "-sS", "--fail-with-body", "--config", "-", "--json",
                        json.dumps(relay), v["RELAY_API"] + "/relays"], capture_output=True,
                       text=True, check=True,
                       input=f'user = "{v["RELAY_APP_ID"]}:{v["RELAY_API_KEY"]}"\n')
    return json.loads(r.stdout)["evervaultDomain"]


def test_the_origin_of_the_env_file_sees_values_under_run(demo):
    """It has the address of the key API, which clients call directly."""
    v = demo.vars()
    token = demo.ctl("encrypt", "--app", v["RELAY_APP_ID"], data=b"opened-by-egress")
    said = demo.ctl("run", "--key-file", demo.state / "api-key", "--", "curl", "-sS", "--json",
                    json.dumps({"n": token.decode().strip()}), v["RELAY_ORIGIN"] + "/under-run")
    assert said == b'{"n": "opened-by-egress"}'
    log = pathlib.Path(v["RELAY_ORIGIN_LOG"]).read_bytes()
    assert not TOKEN.search(log[log.rindex(b"POST /under-run "):])


def test_a_relay_made_by_the_key_api_serves_curl(demo):
    host = create_relay(demo)
    assert host == f"localhost.{demo.vars()['RELAY_APP_ID'].replace('_', '-')}.relay.test"
    body = '{"card": {"number": "4111111111111111"},  "total": 2.0}'
    assert demo.curl(host, "/managed", body) == body        # the certificate has the name
    log = pathlib.Path(demo.vars()["RELAY_ORIGIN_LOG"]).read_bytes()
    assert TOKEN.search(log[log.rindex(b"POST /managed "):])


def test_a_state_of_before_gets_the_names_of_its_apps_relays(quickstart):
    """Its certificate has the names that every instance has, and nothing of the app."""
    quickstart.start("--no-demo")
    quickstart.run("--stop")
    tls = quickstart.state / "tls"
    key, pem = (tls / "ingress.key").read_bytes(), tls / "ingress.pem"
    shutil.copy(tls / "origin.pem", pem)
    shutil.copy(tls / "origin.key", tls / "ingress.key")
    quickstart.start("--no-demo")
    assert (tls / "ingress.key").read_bytes() == (tls / "origin.key").read_bytes() != key
    assert quickstart.curl(create_relay(quickstart), "/x", '{"a":1}') == '{"a":1}'
    assert list(quickstart.pids()) == PROCESSES
    before = pem.read_bytes()
    quickstart.run("--stop")
    quickstart.start("--no-demo")
    assert pem.read_bytes() == before       # once


def test_the_card_is_nowhere_but_at_the_client(demo):
    for path in [demo.vars()["RELAY_ORIGIN_LOG"], *demo.state.rglob("*.log")]:
        assert CARD not in pathlib.Path(path).read_bytes(), path
    for path in (demo.state / "redis").rglob("*"):
        assert path.is_dir() or CARD not in path.read_bytes(), path


def test_children_run_under_seccomp(demo):
    if "Seccomp:" not in pathlib.Path("/proc/self/status").read_text():
        pytest.skip("this kernel has no seccomp")
    for name, pid in demo.pids().items():
        if name in ("relayd", "redis", "origin"):
            continue
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Seccomp:\s2$", status, re.M), name
        assert re.search(r"^NoNewPrivs:\s1$", status, re.M), name
        assert re.search(r"^CapEff:\s0+$", status, re.M), name


def test_it_listens_on_loopback_only(demo):
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        if state == "0A" and demo.base <= int(address.split(":")[1], 16) <= demo.base + 10:
            assert address.startswith("0100007F:"), line


# ---- options ----------------------------------------------------------------------------------

def test_help():
    r = subprocess.run([str(TOP / "quickstart"), "--help"], capture_output=True, text=True, check=True)
    for option in ("--state", "--port-base", "--env", "--detach", "--stop", "--no-demo",
                   "--no-install", "--workers", "--upstream-ca"):
        assert f"\n  {option} " in r.stdout, option


@pytest.mark.parametrize("options,says", [
    (["--nonsense"], "unknown option: --nonsense"),
    (["extra"], "unknown option: extra"),
    (["--env"], "option --env needs a value"),
    (["--port-base", "80"], "--port-base 80 is not in 1024..65525"),
    (["--port-base", "65526"], "--port-base 65526 is not in 1024..65525"),
    (["--port-base", "http"], "--port-base http is not in 1024..65525"),
    (["--workers", "0"], "--workers 0 is not in 1..512"),
    (["--workers", "two"], "--workers two is not in 1..512"),
    (["--upstream-ca", "/nonexistent"], "--upstream-ca: /nonexistent cannot be read"),
])
def test_bad_options_exit_2(make_quickstart, options, says):
    r = make_quickstart().run(*options, code=2)
    assert r.stderr.splitlines()[-1] == f"quickstart: {says}" and r.stdout == ""


def test_a_state_path_that_would_break_quoting_is_refused(make_quickstart):
    for name in ("it's", 'a"b', "a$b", "a\\b", "a`b", "a\nb"):
        q = make_quickstart(name)
        assert "--state: no quotes" in q.run(code=2).stderr
        assert not q.state.exists()


def test_upstream_ca_that_is_no_certificate_is_refused(quickstart):
    bad = quickstart.folder / "bad.pem"
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    good = CA(quickstart.folder / "ca").pem.read_text()
    for text in ("", "no PEM", broken, good + broken):
        bad.write_text(text)
        r = quickstart.run("--upstream-ca", bad, "--port-base", quickstart.base, code=2)
        assert str(bad) in r.stderr
    assert not (quickstart.state / "root.key").exists()


@pytest.mark.parametrize("offset", [0, 6, 7, 8])
def test_a_taken_port_is_named(quickstart, offset):
    with socket.create_server(("127.0.0.1", quickstart.base + offset)):
        r = quickstart.run("--port-base", quickstart.base, code=2)
    assert r.stderr == f"quickstart: port {quickstart.base + offset} is taken (use --port-base N)\n"


def test_a_second_start_while_it_runs_exits_3(demo):
    pids = demo.pids()
    r = demo.run("--detach", code=3)
    assert f"already running (state {demo.state})" in r.stderr
    assert not any(pid_gone(pid) for pid in pids.values())


def test_no_demo_leaves_no_relay(quickstart):
    r = quickstart.start("--no-demo")
    assert "what curl sent" not in r.stdout
    assert quickstart.redis("HLEN", "relay:relays") == "0"
    assert json.loads(quickstart.ctl("relay", "list", "--json")) == []
    v = quickstart.vars()
    token = quickstart.ctl("encrypt", "--app", v["RELAY_APP_ID"], data=b"value")
    assert quickstart.ctl("decrypt", "--api-key", v["RELAY_API_KEY"], data=token) == b"value\n"
    with Connection(quickstart.base + 7, v["RELAY_CA"], "localhost") as c:      # the origin
        assert c.request("GET", "/bytes/3").body == b"xxx"


def test_workers(quickstart):
    quickstart.start("--workers", "3", "--no-demo")
    assert [n for n in quickstart.pids() if n.startswith("worker")] == [
        "worker1", "worker2", "worker3"]


def test_upstream_ca_is_trusted_for_destinations(quickstart):
    own = CA(quickstart.folder / "ca", "own root")
    origin = Origin(quickstart.folder, own)
    try:
        quickstart.start("--no-demo", "--upstream-ca", own.pem)
        relay = json.dumps({"app": quickstart.vars()["RELAY_APP_ID"],
                            "destinationDomain": "localhost", "destination": {"port": origin.port},
                            "routes": []}).encode()
        quickstart.ctl("relay", "put", "own.example.com", data=relay)
        assert quickstart.curl("own.example.com", "/x", '{"a":1}') == '{"a":1}'
        quickstart.run("--stop")
        quickstart.start("--no-demo")           # and not without it
        until("it is refused", lambda: "upstream-tls-error" in
              quickstart.curl("own.example.com", "/x", '{"a":1}'))
    finally:
        origin.end()


# ---- stop, start, end -------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["my state", "long" * 25])
def test_a_second_start_keeps_ports_app_key_and_relays(make_quickstart, name):
    q = make_quickstart(name)
    q.start()
    before, old = q.vars(), q.pids()
    token = q.ctl("encrypt", "--app", before["RELAY_APP_ID"], data=b"before")
    assert q.run("--stop").stdout == f"stopped: every process of {q.state} is gone\n"
    assert all(pid_gone(pid) for pid in old.values())
    q.start("--no-demo")
    after = q.vars()
    assert {k for k in before if before[k] != after[k]} == {"RELAY_PIDS"}
    assert q.ctl("decrypt", "--api-key", before["RELAY_API_KEY"], data=token) == b"before\n"
    assert [r["host"] for r in json.loads(q.ctl("relay", "list", "--json"))] == ["demo.relay.test"]


def test_stop_waits_for_every_process_and_may_be_repeated(quickstart):
    quickstart.start("--no-demo")
    pids = quickstart.pids()
    with Connection(quickstart.base, quickstart.vars()["RELAY_CA"], "demo.relay.test") as c:
        assert c.request("GET", "/x").status == 404     # a connection that stays
        quickstart.run("--stop")
    assert all(pid_gone(pid) for pid in pids.values())
    for p in range(quickstart.base, quickstart.base + 11):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", p))
    quickstart.run("--stop")


def test_stop_of_a_state_that_never_was_makes_none(quickstart):
    assert quickstart.run("--stop").stdout == f"stopped: there is no {quickstart.state}\n"
    assert not quickstart.state.exists()


def test_a_start_after_a_killed_relayd(quickstart):
    quickstart.start("--no-demo")
    old = quickstart.pids()
    os.kill(old["relayd"], signal.SIGKILL)
    until("the children left", lambda: all(pid_gone(p) for n, p in old.items()
                                           if n not in ("redis", "origin")))
    quickstart.start("--no-demo")
    assert pid_gone(old["redis"]) and pid_gone(old["origin"])
    assert list(quickstart.pids()) == PROCESSES


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_everything(quickstart, sig):
    job = quickstart.foreground()
    until("it runs", lambda: "Ctrl-C stops it" in quickstart.printed())
    pids = quickstart.pids()
    assert not any(pid_gone(pid) for pid in pids.values())
    os.killpg(job.pid, sig)
    assert job.wait(60) == 0
    assert all(pid_gone(pid) for pid in pids.values())
    assert quickstart.printed().endswith(f"stopped: every process of {quickstart.state} is gone\n")


def test_ctrl_c_during_the_start_leaves_nothing(quickstart):
    job = quickstart.foreground()
    pidfile = quickstart.state / "redis/redis.pid"
    until("redis runs", lambda: pidfile.exists() and pidfile.read_text().endswith("\n"))
    redis = int(pidfile.read_text())
    os.killpg(job.pid, signal.SIGINT)
    assert job.wait(60) in (0, 1)
    assert pid_gone(redis)
    for p in range(quickstart.base, quickstart.base + 11):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", p))


def test_foreground_ends_when_relayd_does(quickstart):
    job = quickstart.foreground("--no-demo")
    until("it runs", lambda: "Ctrl-C stops it" in quickstart.printed())
    pids = quickstart.pids()
    os.kill(pids["relayd"], signal.SIGKILL)
    assert job.wait(60) == 1
    assert "relayd ended by itself" in quickstart.printed()
    for name, pid in pids.items():
        until(f"{name} is gone", lambda pid=pid: pid_gone(pid), 40)


def test_a_build_that_fails_is_told(quickstart):
    fake = quickstart.folder / "bin"
    fake.mkdir()
    (fake / "make").write_text("#!/bin/sh\necho this is no make\nexit 7\n")
    (fake / "make").chmod(0o755)
    r = quickstart.run("--port-base", quickstart.base, code=1, build=True,
                       PATH=f"{fake}:{os.environ['PATH']}")
    assert r.stderr == "this is no make\nquickstart: the build failed\n"
    assert not (quickstart.state / "root.key").exists()
