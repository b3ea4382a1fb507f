"""Machinery of the scenarios: real processes, ports of their own, every log
printed when a test fails, only our own processes ended (by pid)."""
import collections
import contextlib
import datetime
import functools
import ipaddress
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scripted_origin import ScriptedOrigin, half_close

TOP = pathlib.Path(__file__).resolve().parents[2]
PREFIX = pathlib.Path(os.environ.get("RELAY_PREFIX", TOP / "build/tests/asan/root"))
SHARED = pathlib.Path(os.environ.get("RELAY_SHARED", TOP / "../shared"))
DEADLINE_S = 30         # generous: two cores, sanitizers, other tests
TOKEN = re.compile(rb"ev:(debug:)?(?:(RFVC|T1JL|Tk9D|TENZ|QlJV|QkTC|S0lS):)?"
                   rb"(?:(string|number|boolean):)?([A-Za-z0-9+/=]{16}):"
                   rb"([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]*):\$")


class Ports:
    """Those that nobody takes between free_port() and their use: below the ones that
    the system gives away, and in a block that no other process of tests has."""
    FIRST, COUNT = 10_000, 1_500
    AFTER = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")

    def __init__(self):
        self.at = 0
        end = max(int(self.AFTER.read_text().split()[0]), 2 * self.FIRST)
        for first in range(self.FIRST, end - self.COUNT, self.COUNT):
            self.claim = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(OSError):
                self.claim.bind(f"\0relay-test-ports-{first}")
                self.block = range(first, first + self.COUNT)
                return
            self.claim.close()
        raise RuntimeError("too many processes of tests for the ports there are")

    def take(self, row):
        if self.at + row > len(self.block):
            self.at = 0
        self.at += row
        return self.block[self.at - row:self.at]

    @staticmethod
    def are_free(ports):
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
            for port in ports:
                opened.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return True
        return False


own_ports = functools.cache(Ports)      # claimed when the first is asked for


def free_port(row=1):
    """The first of so many in a row."""
    while True:
        ports = own_ports().take(row)
        if Ports.are_free(ports):
            return ports[0]


def until(what, check, seconds=DEADLINE_S):
    """Wait for an event that can only be asked for; returns check()'s value."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        threading.Event().wait(0.02)


def stand_still(*pids):
    """SIGSTOP, and wait: one that is not scheduled stops when it is, and takes
    with it what came in between."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        until(f"{pid} stands still", lambda pid=pid: all(
            task.read_text().rpartition(")")[2].split()[0] in "TZX"
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")))


@contextlib.contextmanager
def stopped(*pids):
    """They stand still inside and go on in any case."""
    try:
        stand_still(*pids)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


# ---- certificates -----------------------------------------------------------------

class CA:
    """A root with as many leaves as a test wants."""

    def __init__(self, folder, name="test root"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self._sign(subject, subject, self.key.public_key(),
                               [(x509.BasicConstraints(True, 1), True)], 3650)
        self.subject = subject
        self.pem = self.folder / "ca.pem"
        self.pem.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, issuer, public, extensions, days):
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
             .public_key(public).serial_number(x509.random_serial_number())
             .not_valid_before(now - datetime.timedelta(days=2))
             .not_valid_after(now + datetime.timedelta(days=days)))
        for extension, critical in extensions:
            b = b.add_extension(extension, critical)
        return b.sign(self.key, hashes.SHA256())

    def leaf(self, name, hosts, days=30):
        key = ec.generate_private_key(ec.SECP256R1())
        names = []
        for h in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(h)))
            except ValueError:
                names.append(x509.DNSName(h))
        cert = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
                          self.subject, key.public_key(),
                          [(x509.SubjectAlternativeName(names), False)], days)
        pem, keyfile = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        pem.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        keyfile.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        keyfile.chmod(0o600)
        return pem, keyfile


# ---- processes --------------------------------------------------------------------

class Process:
    """A child of the test with its output in a file."""

    def __init__(self, name, argv, folder, env=None):
        self.name = name
        self.out = pathlib.Path(folder) / f"{name}.out"
        with open(self.out, "ab") as f:
            self.popen = subprocess.Popen([str(a) for a in argv], stdout=f, stderr=f,
                                          stdin=subprocess.DEVNULL, env=env)

    @property
    def pid(self):
        return self.popen.pid

    def text(self):
        return self.out.read_text(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def kill(self, sig=signal.SIGKILL):
        if self.alive():
            self.popen.send_signal(sig)

    def wait(self, seconds=DEADLINE_S):
        return self.popen.wait(seconds)

    def end(self, sig=signal.SIGTERM, seconds=DEADLINE_S):
        self.kill(sig)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
            raise AssertionError(f"{self.name} (pid {self.pid}) did not end")


def pid_gone(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rsplit(")", 1)[1].split()[0] == "Z"


class Redis(Process):
    def __init__(self, folder, port=None, *options):
        self.port = port or free_port()
        self.dir = pathlib.Path(folder) / "redis"
        self.dir.mkdir(exist_ok=True)
        super().__init__("redis", ["redis-server", "--port", self.port, "--bind", "127.0.0.1",
                                   "--dir", self.dir, "--save", "", *options], folder)
        until("redis answers", lambda: self.try_cli("ping") == "PONG")

    def try_cli(self, *words, data=None):
        r = subprocess.run(["redis-cli", "-p", str(self.port), *map(str, words)], input=data,
                           capture_output=True, text=True, check=False)
        return r.stdout.strip()

    def cli(self, *words, data=None):
        out = self.try_cli(*words, data=data)
        assert not out.startswith(("ERR", "(error)", "Could not connect")), out
        return out


Seen = collections.namedtuple("Seen", "raw head body")


class Origin(Process):
    """The demo origin, and what it saw."""

    def __init__(self, folder, ca, name="origin", hosts=("localhost", "127.0.0.1"), port=0):
        self.log = pathlib.Path(folder) / f"{name}.log"
        self.log.touch()
        pem, key = ca.leaf(name, hosts)
        super().__init__(name, ["/usr/bin/python3", TOP / "tests/origin/origin.py", "--port", port,
                                "--cert", pem, "--key", key, "--log", self.log], folder)
        until(f"{name} listens", lambda: "origin ready port=" in self.text() or not self.alive())
        assert self.alive(), self.text()
        self.port = int(re.search(r"origin ready port=(\d+)", self.text()).group(1))

    def seen(self):
        """Every request the origin got, as bytes."""
        data, out, at = self.log.read_bytes(), [], 0
        while at < len(data):
            line_end = data.index(b"\n", at)
            mark = data[at:line_end].split()
            n = int(mark[-1])
            raw = data[line_end + 1:line_end + 1 + n]
            if mark[1] == b"request":
                head, _, body = raw.partition(b"\r\n\r\n")
                out.append(Seen(raw, head, body))
            at = line_end + 1 + n + 1
        return out

    def last(self):
        return self.seen()[-1]

    def raw_log(self):
        return self.log.read_bytes()


# ---- the client -------------------------------------------------------------------

class Reply:
    def __init__(self, status, reason, fields, body, closed, trailers):
        self.status, self.reason, self.fields, self.body = status, reason, fields, body
        self.closed, self.trailers = closed, trailers

    def field(self, name):
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        return values[0] if values else None

    @property
    def code(self):
        return self.field("x-evervault-error-code")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.code or ''} {self.body[:200]!r}>"


class Cut(EOFError):
    """The end of the stream came without a goodbye (close_notify)."""


class Connection:
    """One TLS connection, strict about what comes back: an end without close_notify,
    which Python hides twice over, is a Cut.  source: the address it comes from;
    preface: pieces sent before TLS begins."""

    def __init__(self, port, ca, host, sni=True, timeout=DEADLINE_S, rcvbuf=None, source=None,
                 preface=()):
        self.host = host
        context = ssl.create_default_context(cafile=str(ca))
        # OpenSSL takes no wildcard directly below a top-level label (*.test).
        context.check_hostname = sni is True and host.count(".") > 1
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        raw = socket.socket()
        if rcvbuf:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        raw.settimeout(timeout)
        if source:
            raw.bind((source, 0))
        raw.connect(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in preface:
            raw.sendall(piece)
        name = host if sni is True else (sni or None)
        self.sock = context.wrap_socket(raw, server_hostname=name, suppress_ragged_eofs=False)
        self.buffer = b""

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def head(self, method, path, fields, host=None):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or self.host}"]
        lines += [f"{n}: {v}" for n, v in fields]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def request(self, method, path, body=None, content_type="application/json", fields=(),
                chunks=None):
        all_fields = list(fields)
        if body is not None and content_type:
            all_fields.append(("Content-Type", content_type))
        if chunks is not None:
            all_fields.append(("Transfer-Encoding", "chunked"))
            data = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
        else:
            data = body or b""
            if body is not None:
                all_fields.append(("Content-Length", len(data)))
        self.send(self.head(method, path, all_fields) + data)
        return self.reply(method)

    def fill(self):
        try:
            piece = self.sock.recv(65536)
        except ssl.SSLZeroReturnError:      # the end, when we have said it too
            piece = b""
        except ssl.SSLError as e:          # no SSLEOFError, in OpenSSL 3
            raise Cut(f"cut inside an answer: {self.buffer[:200]!r}") from e
        if not piece:
            raise EOFError(f"closed inside an answer: {self.buffer[:200]!r}")
        self.buffer += piece

    def take_line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def take(self, n):
        while len(self.buffer) < n:
            self.fill()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def reply(self, method="GET"):
        """The next final answer (interim ones are kept in self.interim)."""
        self.interim = []
        while True:
            r = self._one(method)
            if r.status >= 200:
                return r
            self.interim.append(r)

    def _one(self, method):
        version, status, *reason = self.take_line().split(b" ", 2)
        assert version == b"HTTP/1.1", version
        fields = []
        while line := self.take_line():
            name, _, value = line.partition(b":")
            fields.append((name.decode(), value.strip().decode()))
        status = int(status)
        lower = {n.lower(): v for n, v in fields}
        closed = lower.get("connection", "").lower() == "close"
        body, trailers = b"", []
        if status < 200 or status in (204, 304) or method == "HEAD":
            pass
        elif "transfer-encoding" in lower:
            assert lower["transfer-encoding"] == "chunked" and "content-length" not in lower
            while size := int(self.take_line(), 16):
                body += self.take(size)
                assert self.take(2) == b"\r\n"
            while line := self.take_line():
                trailers.append(line.decode())
        elif "content-length" in lower:
            body = self.take(int(lower["content-length"]))
        else:
            closed = True
            try:
                while True:
                    self.fill()
            except Cut:
                raise
            except EOFError:
                pass
            body, self.buffer = self.buffer, b""
        return Reply(status, (reason or [b""])[0].decode(), fields, body, closed, trailers)

    def half_close(self):
        """Say goodbye and go on reading; nothing may be on its way to us."""
        half_close(self.sock)

    def ended(self):
        """The peer says goodbye and nothing more."""
        try:
            return self.buffer == b"" and self.sock.recv(1) == b""
        except ssl.SSLZeroReturnError:
            return True         # as in fill()

    def broken(self):
        """The peer is gone without a goodbye, and said nothing more."""
        try:
            self.sock.recv(1)
        except (ConnectionResetError, ssl.SSLError):
            return self.buffer == b""
        return False


# ---- routes -----------------------------------------------------------------------

def route(method, path, encrypt=(), decrypt=()):
    def action(kind, selectors):
        return [{"action": kind, "selections": [{"selector": s} for s in selectors]}]
    r = {"method": method, "path": path}
    if encrypt:
        r["request"] = action("encrypt", encrypt)
    if decrypt:
        r["response"] = action("decrypt", decrypt)
    return r


def seal(method, path, *selectors):
    return route(method, path, encrypt=selectors)


# ---- the stack --------------------------------------------------------------------

class Stack:
    """One whole installation in a folder of its own."""

    def __init__(self, folder, ca, redis=True, workers=2, conf="", e3_conf="", start=True,
                 redis_options=()):
        self.dir = pathlib.Path(folder)
        self.ca = ca
        self.port, self.e3_port = free_port(), free_port()
        self.processes = []
        self.redis = None
        # Unix socket paths are short; the folder of a test may not be.
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="relay-t."))
        self.extra_conf, self.extra_e3, self.workers = conf, e3_conf, workers
        self.apps = {}
        self.with_redis = redis
        if redis:
            self.redis = self.own(Redis(self.dir, None, *redis_options))
        self.cert = ca.leaf("ingress", ["*.test", "*.relay.test", "localhost", "127.0.0.1"])
        self.write_conf()
        self.ctl("init")
        self.relayd = None
        if start:
            self.start()

    def own(self, process):
        self.processes.append(process)
        return process

    def write_conf(self):
        redis = f'redis = {{ "127.0.0.1:{self.redis.port}" }}' if self.with_redis else ""
        (self.dir / "relay.conf").write_text(f"""
workers = {self.workers}
state_dir = "{self.dir}/relay"
run_dir = "{self.run}"
link_dir = "{self.dir}/link"
engine_conf = "{self.dir}/e3.conf"
worker_user = ""
feed_user = ""
engine_user = ""
helper_user = ""
admin_group = ""
map_group = ""
log_level = "debug"
upstream_ca_file = "{self.ca.pem}"
engine = {{ "unix:{self.run}/e3.sock" }}
{redis}
listen "ingress" {{ address = "127.0.0.1:{self.port}" }}
certificate "default" {{
    chain = "{self.cert[0]}"
    key = "{self.cert[1]}"
}}
{self.extra_conf}
""")
        (self.dir / "e3.conf").write_text(f"""
listen = {{ "unix:{self.run}/e3.sock", "127.0.0.1:{self.e3_port}" }}
root_key = "{self.dir}/root.key"
link_dir = "{self.dir}/link"
state_dir = "{self.dir}/e3"
helper_socket = "{self.run}/helper.sock"
{redis}
{self.extra_e3}
""")

    def launch(self, name="relayd"):
        return self.own(Process(name, [PREFIX / "sbin/relayd", "-f", "-c",
                                       self.dir / "relay.conf"], self.dir))

    def start(self, wait=True):
        self.relayd = self.launch()
        if wait:
            self.wait_ready()

    def wait_ready(self):
        self.ctl("status", "--wait", str(DEADLINE_S))

    def ctl(self, *words, data=None, code=0):
        r = subprocess.run([str(PREFIX / "bin/relayctl"), "-c", str(self.dir / "relay.conf"),
                            *map(str, words)], input=data, capture_output=True, check=False,
                           timeout=120)
        if code is not None:
            assert r.returncode == code, (words, r.returncode, r.stdout, r.stderr)
        return r

    def status(self):
        return json.loads(self.ctl("status", "--json", code=None).stdout or "{}")

    def feed(self):
        """What the feed last said of itself; empty while it has not."""
        return self.status().get("feed") or {}

    def child(self, name):
        for c in self.status().get("children", []):
            if c["name"] == name and c["state"] in ("ready", "starting"):
                return c["pid"]
        return None

    def pids(self, prefix=""):
        return {c["name"]: c["pid"] for c in self.status().get("children", [])
                if c["name"].startswith(prefix) and c["pid"] > 0}

    # -- apps and relays --

    def app(self, name="app"):
        """(app id, API key), made once for a name."""
        if name not in self.apps:
            app = json.loads(self.ctl("app", "create", name, "--json").stdout)["app"]
            key = json.loads(self.ctl("key", "create", app, "--json").stdout)["secret"]
            self.apps[name] = (app, key)
        return self.apps[name]

    def app_keys(self, name="app"):
        """The app's private keys, by root key and sealed record: {"r1": [...], "k1": [...]}"""
        import record_reader
        app = self.app(name)[0]
        record = (self.dir / "e3" / f"{app}.rec").read_bytes()
        return record_reader.pairs(record, (self.dir / "root.key").read_bytes())

    def relay_json(self, to, routes, app="app", **more):
        r = {"app": self.app(app)[0], "destinationDomain": "localhost",
             "destination": {"port": to if isinstance(to, int) else to.port},
             "routes": routes if isinstance(routes, list) else [routes]}
        r.update(more)
        return r

    def relay(self, host, to, routes=(), app="app", **more):
        """Push by redis-cli (or relayctl without Redis) and wait until it is in the map."""
        text = json.dumps(self.relay_json(to, list(routes) if isinstance(routes, tuple) else routes,
                                          app, **more))
        if self.redis:
            self.push(host, text)
            self.wait_live(host, text)
        else:
            self.ctl("relay", "put", host, "-", data=text.encode())
        return text

    def push(self, host, text):
        self.redis.cli("-x", "HSET", "relay:relays", host, data=text)
        self.redis.cli("PUBLISH", "relay:updates", f"relays {host}")

    def live(self, host):
        r = self.ctl("relay", "get", host, code=None)
        return r.stdout if r.returncode == 0 else None

    def wait_live(self, host, text):
        until(f"{host} is in the map",
              lambda: (self.live(host) or b"").strip() == text.strip().encode())

    # -- clients and evidence --

    def connect(self, host, **options):
        return Connection(self.port, self.ca.pem, host, **options)

    def post(self, host, path, body, **options):
        with self.connect(host) as c:
            return c.request("POST", path, body, **options)

    def get(self, host, path="/", **options):
        with self.connect(host) as c:
            return c.request("GET", path, **options)

    def logs(self):
        out = ""
        for p in self.processes:
            if not isinstance(p, Origin) and p.out.exists():
                out += f"---- {p.name} ----\n{p.text()}\n"
        return out

    def wait_log(self, text, count=1):
        until(f"log line: {text}", lambda: self.relayd.text().count(text) >= count)

    @contextlib.contextmanager
    def logs_more(self, text, count=1):
        """What happens inside is told by so many lines of its own."""
        before = self.relayd.text().count(text)
        yield
        self.wait_log(text, before + count)

    def stop(self):
        """The whole installation ends by itself; nothing of ours is left."""
        left = {}
        if self.relayd and self.relayd.alive():
            left = self.pids()
            self.relayd.end(signal.SIGTERM)
        for p in self.processes:
            if p.alive():
                p.end(signal.SIGTERM)
        for name, pid in left.items():
            until(f"{name} (pid {pid}) is gone", lambda pid=pid: pid_gone(pid))
        shutil.rmtree(self.run, ignore_errors=True)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for value in item.funcargs.values():
            stacks = getattr(value, "stacks", [value])
            for s in stacks:
                if isinstance(s, Stack):
                    text = s.logs()
                    report.sections.append((f"logs of {s.dir}", text[-60000:]))


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: takes or measures the whole machine; tests/run "
                                       "runs it when the others, which share it, are through")


def pytest_terminal_summary(terminalreporter):
    """What scenarios measured, also when they passed.  It comes with their reports:
    there is no other way here from a process of pytest-xdist."""
    lines = [value for reports in terminalreporter.stats.values() for report in reports
             if getattr(report, "when", None) == "call"
             for name, value in report.user_properties if name == "measured"]
    if lines:
        terminalreporter.section("measured")
    for line in lines:
        terminalreporter.line(line)


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return CA(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def make_stack(tmp_path, ca):
    """Stacks with options of their own; ended after the test."""
    made = []

    def make(**options):
        folder = tmp_path / f"stack{len(made)}"
        folder.mkdir()
        made.append(Stack(folder, ca, **options))
        return made[-1]
    make.stacks = made
    yield make
    errors = []
    for s in made:
        sanitizer_check(s, errors)
        s.stop()
        sanitizer_check(s, errors)
    assert not errors, "\n".join(sorted(set(errors)))


def sanitizer_check(stack, errors):
    text = stack.logs()
    for word in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer",
                 "panic at "):
        at = text.find(word)
        if at >= 0:
            errors.append(text[at:at + 4000])


@pytest.fixture
def stack(make_stack):
    """One installation for this test alone."""
    return make_stack()


@pytest.fixture
def make_egress(tmp_path, ca, make_stack):
    """The same with a listener of every kind and an egress CA."""
    from egress_stage import EgressStack

    def make(**options):
        folder = tmp_path / f"egress{len(make_stack.stacks)}"
        folder.mkdir()
        make_stack.stacks.append(EgressStack(folder, ca, **options))
        return make_stack.stacks[-1]
    return make


@pytest.fixture
def egress(make_egress):
    return make_egress()


@contextlib.contextmanager
def running(folder, ca, kind=None, **options):
    """One installation (of this class) for all tests of a module that leave it whole."""
    s = (kind or Stack)(folder, ca, **options)
    yield s
    errors = []
    sanitizer_check(s, errors)
    s.stop()
    sanitizer_check(s, errors)
    assert not errors, "\n".join(errors)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("stack"), ca) as s:
        yield s


@pytest.fixture
def make_origin(tmp_path, ca):
    made = []

    def make(**options):
        made.append(Origin(tmp_path, options.pop("ca", ca), name=f"origin{len(made)}", **options))
        return made[-1]
    yield make
    for o in made:
        if o.alive():
            o.end()


@pytest.fixture
def origin(make_origin):
    return make_origin()


@pytest.fixture
def scripted(ca):
    """Origins that follow a script; its own failures fail the test."""
    made = []

    def make(script, **options):
        made.append(ScriptedOrigin(options.pop("ca", ca), script, **options))
        return made[-1]
    yield make
    for o in made:
        o.close()
        assert o.faults == []


def tokens_in(data):
    return [m.group(0).decode() for m in TOKEN.finditer(data)]
