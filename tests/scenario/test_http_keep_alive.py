"""The border of kept connections: an origin that ends them at any moment, told
or untold, while requests are on their way.  Peers: TLS clients under load, one
installation, an origin that ends each connection after some requests in a way
of its own.  No GET is lost; a POST is answered once or 502, and never sent twice."""
import collections
import itertools
import random
import threading

import pytest

from conftest import DEADLINE_S, running, until
from http_stage import PLAIN
from scripted_origin import ScriptedOrigin
from told_origin import read_request

CLIENTS, EACH = 4, 120      # of each method
MOST = 7                    # requests of one connection


def marker(got):
    """Of a request: what its client wrote into it."""
    return got.body if got.body else got.line.split()[1][1:]


def answer(peer, got, *lines):
    body = b"you are " + marker(got)
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s"
              % (len(body), b"".join(line + b"\r\n" for line in lines), body))


# How a connection ends, after some answers.  Each is named for what the request
# behind the last answer meets.

def says_goodbye_when_idle(peer):
    answer(peer, read_request(peer))
    peer.goodbye()


def is_gone_when_idle(peer):
    answer(peer, read_request(peer))


def resets_when_idle(peer):
    answer(peer, read_request(peer))
    peer.reset()


def announces_its_end(peer):
    """Whoever sends behind that has not read it."""
    answer(peer, read_request(peer), b"Connection: close")
    data, _ = peer.rest()
    assert data == b"", data


def announces_and_leaves(peer):
    answer(peer, read_request(peer), b"Connection: close")
    peer.goodbye()


def ends_at_the_first_byte(peer):
    peer.take(1)


def resets_at_the_first_byte(peer):
    peer.take(1)
    peer.reset()


def ends_behind_the_request(peer):
    """It was read, perhaps worked on: nobody may send a POST again."""
    read_request(peer)


def ends_inside_its_head(peer):
    read_request(peer)
    peer.send(b"HTTP/1.1 200 OK\r\nConte")


ENDS = [says_goodbye_when_idle, is_gone_when_idle, resets_when_idle, announces_its_end,
        announces_and_leaves, ends_at_the_first_byte, resets_at_the_first_byte,
        ends_behind_the_request, ends_inside_its_head]


class FickleOrigin(ScriptedOrigin):
    """A fresh connection's first request is always answered."""

    def __init__(self, ca, ends):
        self.ends = itertools.cycle(ends)
        self.ended = collections.Counter()
        self.lock = threading.Lock()
        self.random = random.Random(7)
        super().__init__(ca, self.speak)

    def speak(self, peer):
        with self.lock:
            end, before = next(self.ends), self.random.randrange(1, MOST)
        for _ in range(before):
            answer(peer, read_request(peer))
        with self.lock:
            self.ended[end.__name__] += 1
        end(peer)


@pytest.fixture(scope="module")
def stack(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("stack"), ca) as s:
        yield s


class Client:
    def __init__(self, stack, method, number):
        self.stack, self.method, self.number = stack, method, number
        self.outcomes = collections.Counter()
        self.answered, self.refused = [], []
        self.wrong = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            with self.stack.connect(PLAIN) as c:
                for i in range(EACH):
                    self.ask(c, f"{self.method}-{self.number}-{i}".encode())
        except BaseException as e:
            self.wrong.append(repr(e))

    def ask(self, c, mark):
        if self.method == "POST":
            reply = c.request("POST", "/", mark, content_type="text/plain")
        else:
            reply = c.request("GET", "/" + mark.decode())
        self.outcomes[reply.code or reply.status] += 1
        if reply.status == 200 and reply.body == b"you are " + mark and not reply.closed:
            self.answered.append(mark)
        elif reply.code == "upstream-protocol-error" and not reply.closed:
            self.refused.append(mark)
        else:
            self.wrong.append(f"{mark}: {reply}")

    def end(self):
        self.thread.join(2 * DEADLINE_S)
        assert not self.thread.is_alive(), "a request hangs"
        assert self.wrong == []


def run_load(stack, origin, methods):
    clients = [Client(stack, m, i) for m in methods for i in range(CLIENTS)]
    for c in clients:
        c.end()
    return clients


@pytest.mark.parametrize("ends", [ENDS, *([end] for end in ENDS)],
                         ids=["mixed", *(end.__name__ for end in ENDS)])
def test_no_request_is_lost_or_doubled(stack, ca, ends):
    origin = FickleOrigin(ca, ends)
    try:
        stack.relay(PLAIN, origin)
        clients = run_load(stack, origin, ["GET", "POST"])
        seen = collections.Counter(marker(got) for got in origin.requests)
        for c in clients:
            assert all(seen[mark] >= 1 for mark in c.answered)
            if c.method == "GET":
                assert len(c.answered) == EACH, c.outcomes
            else:
                assert len(c.answered) + len(c.refused) == EACH
                assert all(seen[mark] == 1 for mark in c.answered)
                assert all(seen[mark] <= 1 for mark in c.refused)
        until("every way was met", lambda: set(origin.ended) == {end.__name__ for end in ends})
        reused = len(origin.requests) - origin.connections
        assert reused > 0, "no connection was kept"
    finally:
        origin.close()
    assert origin.faults == []
