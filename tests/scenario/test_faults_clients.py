"""Clients that take room and time: 18,000 that say nothing, and slow ones, 200
of each kind at once.  Peers: those, one installation, the demo origin, and
clients that are served meanwhile as if they were alone."""
import contextlib
import os
import pathlib
import re
import resource
import selectors
import socket
import ssl
import subprocess
import time

import pytest

from conftest import DEADLINE_S, Connection, route, until
from faults import fault_load                                           # noqa: F401

pytestmark = pytest.mark.alone
PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
HERE = pathlib.Path(__file__).resolve().parent


# ---- 18,000 idle connections -------------------------------------------------------------

IDLE = 18_000
PROCESSES = 2           # 20,000 descriptors are the most that one may have here
WORKER_MAX = IDLE * 2 // 3      # workers share unevenly
OPEN_S = 120
MEMORY_KIB = 6 << 20
KEPT_SHARE = 1 / 3      # of what they took may stay with the sanitizer's allocator


def rss_kib(pids):
    total = 0
    for pid in pids:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        total += int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
    return total


def descriptors(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def need_room():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < WORKER_MAX + 500:
        pytest.skip(f"{hard} descriptors for a process are too few for {WORKER_MAX} connections")
    free = int(re.search(r"MemAvailable:\s+(\d+)",
                         pathlib.Path("/proc/meminfo").read_text()).group(1))
    if free < MEMORY_KIB:
        pytest.skip(f"{free >> 10} MiB of memory are too few for {IDLE} connections")


class IdleClients:
    def __init__(self, port, host, count, source):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", HERE / "idle_clients.py", str(port), host, str(count), source],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self, seconds):
        with selectors.DefaultSelector() as s:
            s.register(self.process.stdout, selectors.EVENT_READ)
            assert s.select(seconds), f"no word from the clients in {seconds} s"
        return self.process.stdout.readline().strip()

    def ask(self):
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return dict((k, int(n)) for k, n in (p.split("=") for p in self.line(DEADLINE_S).split()))

    def end(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()


def test_18000_idle_connections(make_stack, origin, fault_load, monkeypatch):
    need_room()
    # The sanitizer keeps what was freed back; here the question is what we keep.
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") +
                       ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
                       ":allocator_release_to_os_interval_ms=100")
    stack = make_stack(conf=f"max_connections = {WORKER_MAX}\nidle_timeout_ms = 600000\n")
    stack.relay("shop.test", origin, PAY)
    pids = stack.pids("worker").values()
    with fault_load("18000-idle-connections", stack, origin, n=2, pace_s=0.05) as load:
        load.wait_right(20)
        before = rss_kib(pids)
        start = time.monotonic()
        clients = [IdleClients(stack.port, "shop.test", IDLE // PROCESSES, f"127.0.0.{i + 2}")
                   for i in range(PROCESSES)]
        try:
            for c in clients:
                assert c.line(OPEN_S) == "open"
            load.notes["open_s"] = round(time.monotonic() - start, 1)
            assert descriptors(pids) >= IDLE
            full = rss_kib(pids)
            load.struck()
            load.recovered(50)              # the others are served meanwhile
            for c in clients:
                told = c.ask()
                assert told["closed"] == 0 and told["answered"] == told["asked"], told
        finally:
            for c in clients:
                c.end()
        until("all are closed", lambda: descriptors(pids) < 300)
        load.struck()
        load.recovered()
        until("their memory is back",
              lambda: rss_kib(pids) - before < (full - before) * KEPT_SHARE)
        load.notes.update(kib_each=round((full - before) / IDLE, 1),
                          kept_mib=(rss_kib(pids) - before) >> 10)
    assert set(load.counts) == {"right"}, load.counts
    assert set(stack.pids("worker").values()) == set(pids)


# ---- slow ones ------------------------------------------------------------------------------

SLOW = 200              # of each kind
TICK_S = 0.2            # between two bytes of a slow client
HEAD_MS, WRITE_MS = 3000, 3000
ANSWER = 2_000_000      # bytes, more than the buffers on the way take


class Quick(Connection):
    """A connection that costs the test little, so that many begin at once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def __init__(self, stack, host="shop.test", small=False):
        self.host, self.buffer = host, b""
        raw = socket.socket()
        if small:       # the sender's kernel keeps little, too: it counts in segments
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        raw.settimeout(DEADLINE_S)
        raw.connect(("127.0.0.1", stack.port))
        self.sock = self.context.wrap_socket(raw, server_hostname=self.host)


class Slow(Quick):
    """It has more to say, a byte at a time, until it is answered."""

    def __init__(self, stack, first, rest):
        super().__init__(stack)
        self.first, self.rest = first, rest
        self.answer = None

    def tick(self):
        with contextlib.suppress(OSError):      # it was answered: that is read below
            self.send(self.rest)

    def finished(self):
        """What is there may be a session ticket."""
        self.sock.setblocking(False)
        try:
            self.buffer += self.sock.recv(65536)
        except ssl.SSLWantReadError:
            return False
        finally:
            self.sock.settimeout(DEADLINE_S)
        r = self.reply("POST")
        self.answer = r.status, r.code, r.closed
        return True


def drive(clients, seconds):
    """Tick until each of them has its answer."""
    waiting = {c.sock: c for c in clients}
    with selectors.DefaultSelector() as s:
        for sock in waiting:
            s.register(sock, selectors.EVENT_READ)
        end = time.monotonic() + seconds
        next_tick = 0
        while waiting:
            assert time.monotonic() < end, f"{len(waiting)} clients still wait"
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_S
                for c in waiting.values():
                    c.tick()
            for key, _ in s.select(max(0, next_tick - time.monotonic())):
                if waiting[key.fileobj].finished():
                    s.unregister(key.fileobj)
                    del waiting[key.fileobj]


def test_600_slow_clients(make_stack, make_origin, fault_load):
    """Heads that never end, bodies below the minimum rate, answers that are not
    taken: each ends with its reason, and the others hardly notice."""
    stack = make_stack(conf=f"head_timeout_ms = {HEAD_MS}\nwrite_timeout_ms = {WRITE_MS}\n")
    origin, large = make_origin(), make_origin()
    stack.relay("shop.test", origin, PAY)
    stack.relay("large.test", large)
    head = b"GET / HTTP/1.1\r\nHost: shop.test\r\nX: "
    body = (b"POST /pay HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100000\r\n\r\n")
    streamed = body.replace(b"/pay", b"/other")
    slow = [Slow(stack, head, b"x") for _ in range(SLOW)]
    slow += [Slow(stack, (body, streamed)[i % 2], b" ") for i in range(SLOW)]
    readers = [Quick(stack, "large.test", small=True) for _ in range(SLOW)]
    with contextlib.ExitStack() as opened, \
            fault_load("600-slow-clients", stack, origin, n=4, pace_s=0.01) as load:
        for c in (*slow, *readers):
            opened.callback(c.close)
        load.wait_right(20)
        load.struck()
        for c in readers:
            c.send(c.head("GET", f"/chunked/{ANSWER}", []))
        for c in slow:
            c.send(c.first)
        drive(slow, 30)
        stack.wait_log("why=write-timeout", SLOW)
        load.recovered(50)
    assert set(load.counts) == {"right"}, load.counts
    assert [c.answer for c in slow] == [(408, "client-timeout", True)] * (2 * SLOW)
    text = stack.relayd.text()
    assert text.count("outcome=client-timeout") + text.count("code=client-timeout") >= 2 * SLOW
    assert load.percentile(0.5) < 200, "ms"
    pids = stack.pids("worker").values()
    until("all are closed", lambda: descriptors(pids) < 300)
