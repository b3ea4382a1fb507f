"""Other people's test collections on the wire: where they lie, one installation
with an origin that reads strictly, raw bytes in (whole, or each in a TLS record
of its own), every answer out with how it was framed and whether it is whole."""
import contextlib
import itertools
import queue
import re
import socket
import ssl
import threading

import pytest

import strict_http
import token_codec
from conftest import DEADLINE_S, SHARED, Connection, Cut, Stack, sanitizer_check
from scripted_origin import ScriptedOrigin

HOST, OPEN = "suite.relay.test", "open.relay.test"      # with rules, without
FIELDS = b"Host: %s\r\n" % HOST.encode()
CASES = SHARED / "suites"


def need(*names):
    """Skip the asking module when one of these collections is not there."""
    for name in names:
        if not (CASES / name).is_dir():
            pytest.skip(f"no {CASES / name} (RELAY_SHARED)", allow_module_level=True)


def files(name, pattern="*"):
    return sorted(p for p in (CASES / name).rglob(pattern) if p.is_file()
                  and not p.name.startswith(("LICENCE", "README")))


# ---- llhttp's markdown ----------------------------------------------------------------

def unescape(text):
    r"""\r \n \t \xHH as written in these files."""
    return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", lambda m: {"r": "\r", "n": "\n", "t": "\t"}.get(
        m[1], chr(int(m[1][1:], 16)) if len(m[1]) == 3 else m[1]), text).encode("latin-1")


def wire_bytes(block):
    """```http text: the last line end goes, a backslash joins lines, line ends are CRLF."""
    lines = block.encode().decode("latin-1").removesuffix("\n").replace("\\\n", "").split("\n")
    return b"\r\n".join(map(unescape, lines))


def llhttp(kind):
    """(name, bytes, llhttp's log of them) of each request or response; without
    those for other modes of its parser."""
    for path in files("http-llhttp", "*.md"):
        text = path.read_text()
        for case in re.finditer(r"(?s)<!-- meta=(.*?)-->(.*?)(?=<!-- meta=|\Z)", text):
            name = re.findall(r"^#+ (.*)$", text[:case.start()], re.M)[-1]
            raw, log = (re.search(rf"(?s)```{block}\n(.*?)```", case[2])[1]
                        for block in ("http", "log"))
            if not re.search("lenient|skipBody", case[1]) and f'"{kind}"' in case[1]:
                yield name, wire_bytes(raw), log


def llhttp_refuses(log):
    """A pause is no error, nor are bytes behind the last message."""
    return ("error code=" in log and "Pause on" not in log
            and "Data after `Connection: close`" not in log)


# ---- the origin -----------------------------------------------------------------------

def echo(request):
    """The body back under its own type, and what was seen of the request."""
    kind = request.get(b"content-type", b"application/octet-stream")
    return (b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nX-Target: %s\r\nContent-Length: %d\r\n\r\n"
            % (kind, request.target, len(request.body))
            + (b"" if request.method == b"HEAD" else request.body))


class StrictOrigin(ScriptedOrigin):
    """Keeps each whole request in order; what is none goes to `faults`, which
    fails the test."""

    def __init__(self, ca):
        super().__init__(ca, self.converse)
        self.seen, self.cut = [], []

    def converse(self, peer):
        reader = strict_http.Reader(lambda: peer.sock.recv(65536))
        while True:
            try:
                request = reader.head()
                if request is None:
                    return
                if request.get(b"expect").lower() == b"100-continue":
                    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                reader.body(request)
            except strict_http.Violation as e:
                self.faults.append(str(e))
                return
            except (strict_http.Cut, OSError) as e:
                self.cut.append(str(e))
                return
            self.seen.append(request)
            peer.send(echo(request))


# ---- the client -----------------------------------------------------------------------

class Answer:
    """framing: none, length, chunked or close; whole: nothing is missing."""

    def __init__(self, status, reason, fields):
        self.status, self.reason, self.fields = status, reason, fields
        self.body, self.framing, self.whole = b"", "none", True

    def field(self, name):
        return next((v for n, v in self.fields if n.lower() == name), None)

    @property
    def code(self):
        return (self.field(b"x-evervault-error-code") or b"").decode() or None

    @property
    def closing(self):
        return self.framing == "close" or (self.field(b"connection") or b"").lower() == b"close"

    def __repr__(self):
        how = "" if self.whole else "CUT "
        return f"<{how}{self.status} {self.code or ''} {self.body[:80]!r}>"


class Client(Connection):
    """A connection that reports in bytes, and knows a goodbye from a break, which
    Python's defaults hide twice over."""

    def __init__(self, stack, host=HOST):
        self.host, self.buffer = host, b""
        context = ssl.create_default_context(cafile=str(stack.ca.pem))
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        plain = socket.create_connection(("127.0.0.1", stack.port), DEADLINE_S)
        self.sock = context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)

    def half_close(self):
        """Nothing more will come from us; answers may still."""
        socket.socket.shutdown(self.sock, socket.SHUT_WR)

    def silent(self):
        """Nothing more comes, however it ended."""
        try:
            return self.buffer == b"" and self.sock.recv(1) == b""
        except (ConnectionResetError, ssl.SSLError):
            return True

    def send_bytes(self, data):
        """Each byte in a record of its own; the peer may end before the last."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            for i in range(len(data)):
                self.sock.send(data[i:i + 1])

    def answer(self, method=b"GET"):
        """The next answer, interim ones skipped; None at the end of them."""
        while True:
            if not self.buffer:
                try:
                    self.fill()
                except (EOFError, OSError):
                    return None
            a = self.one(method)
            if not a.whole or a.status >= 200 or a.status == 101:
                return a

    def one(self, method):
        a = Answer(0, b"", [])
        try:
            match = re.fullmatch(rb"HTTP/1\.1 ([1-9][0-9][0-9]) (.*)", self.take_line())
            a.status, a.reason = int(match[1]), match[2]
            while line := self.take_line():
                name, colon, value = line.partition(b":")
                assert colon, line
                a.fields.append((name, value.strip()))
            self.one_body(a, method)
        except (EOFError, OSError) as e:
            assert not isinstance(e, TimeoutError), f"no end in {DEADLINE_S} s: {a}"
            a.whole, a.body = False, a.body + self.buffer
            self.buffer = b""
        return a

    def one_body(self, a, method):
        if a.status < 200 or a.status in (204, 304) or method == b"HEAD":
            return
        length, coding = a.field(b"content-length"), a.field(b"transfer-encoding")
        if coding is not None:
            assert coding == b"chunked" and length is None, a.fields
            a.framing = "chunked"
            while size := int(self.take_line(), 16):
                a.body += self.take(size)
                assert self.take(2) == b"\r\n"
            while self.take_line():
                pass
        elif length is not None:
            a.framing = "length"
            a.body = self.take(int(length))
        else:
            a.framing = "close"
            try:
                while True:
                    self.fill()
            except Cut:
                raise
            except EOFError:
                a.body, self.buffer = self.buffer, b""


def closing(target, host):
    return b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (target, host.encode())


def talk(stack, data, methods=(), one_by_one=False, last=False, host=HOST):
    """Send this and give every answer until the peer ends.  last: that was all,
    an end on our side follows, so that an unfinished request gets none."""
    with Client(stack, host) as c:
        if one_by_one:
            c.send_bytes(data)
        else:
            with contextlib.suppress(OSError):
                c.send(data)
        if last:
            with contextlib.suppress(OSError):
                c.half_close()
        answers = []
        for method in itertools.chain(methods, itertools.repeat(b"GET")):
            a = c.answer(method)
            if a is None:
                return answers
            answers.append(a)
            if not a.whole or a.closing:
                assert c.ended() if a.whole else c.silent(), "more after an answer that closes"
                return answers


# ---- the installation -----------------------------------------------------------------

class Road:
    """One worker, so that the next request meets the origin connections that the
    one before left behind."""

    def __init__(self, folder, ca, **options):
        self.stack = Stack(folder, ca, workers=1, **options)
        self.stacks = [self.stack]
        self.origin = StrictOrigin(ca)
        self.probes = itertools.count(1)
        self.connections = {}

    def relay(self, host, routes=(), **more):
        self.stack.relay(host, more.pop("to", self.origin), list(routes), **more)

    def opener(self):
        """Opens tokens of the app with its private keys, apart from the engine."""
        pairs = self.stack.app_keys()
        return lambda token: token_codec.open_token(token, pairs)

    def post(self, path, body, host=HOST, **options):
        """On one kept connection a host; the answer and what the origin saw."""
        before = len(self.origin.seen)
        c = self.connections.get(host) or self.stack.connect(host)
        self.connections[host] = c
        reply = c.request("POST", path, body, **options)
        if reply.closed:
            self.connections.pop(host).close()
        return reply, self.origin.seen[before:]

    def case(self, data, fence=True, **options):
        """One case and then a probe on a fresh connection, which must get its own
        answer; gives the answers and what the case made the origin see.  fence: a
        last request behind it ends a connection that goes on; it must be seen as
        itself where it is seen."""
        before, host = len(self.origin.seen), options.get("host", HOST)
        answers = talk(self.stack, data + (closing(b"/fence", host) if fence else b""), **options)
        self.probe(host)
        seen = [r for r in self.origin.seen[before:] if not r.target.startswith(b"/probe")]
        if fence and answers and answers[-1].field(b"x-target") == b"/fence":
            assert seen[-1].target == b"/fence" and seen[-1].body == b""
            return answers[:-1], seen[:-1]
        return answers, seen

    def probe(self, host=HOST):
        target = b"/probe/%d" % next(self.probes)
        a, = talk(self.stack, closing(target, host), host=host)
        assert (a.status, a.whole, a.field(b"x-target")) == (200, True, target), (
            f"the probe got the answer of another: {a} {a.fields}")

    def end(self):
        errors = []
        for c in self.connections.values():
            c.close()
        sanitizer_check(self.stack, errors)
        self.stack.stop()
        self.origin.close()
        sanitizer_check(self.stack, errors)
        assert not errors, "\n".join(errors)
        assert self.origin.faults == [], "the origin saw what is no HTTP"


@contextlib.contextmanager
def road(tmp_path_factory, ca, **options):
    """A Road whose processes are the same ones at its end."""
    r = Road(tmp_path_factory.mktemp("road"), ca, **options)
    try:
        before = r.stack.pids()
        yield r
        assert r.stack.pids() == before, "a process died of a case"
    finally:
        r.end()


def in_threads(work, items, threads=4):
    """work(item) for all; the failures as text, so that one test names every case."""
    todo, wrong = queue.SimpleQueue(), []
    for item in items:
        todo.put(item)

    def run():
        with contextlib.suppress(queue.Empty):
            while True:
                item = todo.get_nowait()
                try:
                    work(item)
                except Exception as e:          # reported below with its case
                    wrong.append(f"{str(item)[:200]}: {type(e).__name__} {e}")
    started = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for t in started:
        t.start()
    for t in started:
        t.join()
    return wrong


class Failures:
    """Collects failing cases by name: with failures.of(name): assertions."""

    def __init__(self):
        self.texts, self.cases = [], 0

    @contextlib.contextmanager
    def of(self, name):
        self.cases += 1
        try:
            yield
        except (AssertionError, ValueError, OSError, EOFError, ssl.SSLError) as e:
            self.texts.append(f"{name}: {type(e).__name__} {str(e)[:600]}")

    def check(self, at_least):
        assert self.cases >= at_least, f"only {self.cases} cases"
        assert not self.texts, (f"{len(self.texts)} of {self.cases} cases failed:\n"
                                + "\n".join(self.texts[:60]))
