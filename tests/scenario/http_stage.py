"""What the scenarios of HTTP share: one installation and one origin, which acts
each test's script.  No connection to the origin is kept, so that each exchange
of a test meets its own script."""
import concurrent.futures
import contextlib
import threading

import pytest

from conftest import DEADLINE_S, route, running
from scripted_origin import ScriptedOrigin
from told_origin import action, actions, read_request

PLAIN, WORK = "plain.relay.test", "work.relay.test"
ROUTES = [
    actions("POST", "/seal", request=action("encrypt", "$.secret")),
    actions("POST", "/seal-head", request=action("encrypt", "header:X-Secret")),
    route("GET", "/open", decrypt=["$..*"]),
    actions("GET", "/seal-back", response=action("encrypt", "header:X-Secret")),
]
SECRET = b'{"secret":"4111111111111111"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GONE = (EOFError, OSError)


class Stage:
    def __init__(self, stack, ca):
        self.stack = stack
        self.origin = ScriptedOrigin(ca, None)
        stack.relay(PLAIN, self.origin)
        stack.relay(WORK, self.origin, ROUTES)

    def play(self, script):
        """script(peer) from the next connection on; the requests that it reads are
        kept in the list that comes back."""
        self.origin.script = script
        self.origin.requests = []
        return self.origin.requests

    def answer(self, data=OK):
        """The same to every request."""
        def script(peer):
            while True:
                read_request(peer)
                peer.send(data)
        return self.play(script)

    def connect(self, host=PLAIN, **options):
        return self.stack.connect(host, **options)

    def talk(self, data, method="GET", host=PLAIN):
        """One answer on a connection of its own."""
        with self.connect(host) as c:
            c.send(data)
            return c.reply(method)

    def one_more(self, text):
        return self.stack.logs_more(text)


@contextlib.contextmanager
def staged(folder, ca, conf=""):
    with running(folder, ca, conf=f"origin_pool_size = 0\n{conf}") as stack:
        stage = Stage(stack, ca)
        yield stage
        stage.origin.close()
        assert stage.origin.faults == []


def stage_fixture(conf=""):
    """A module's own stage: stage = stage_fixture("option = value")."""
    @pytest.fixture(scope="module")
    def stage(tmp_path_factory, ca):
        with staged(tmp_path_factory.mktemp("stack"), ca, conf) as s:
            yield s
    return stage


class Cue:
    """One side waits for the other."""

    def __init__(self):
        self.event = threading.Event()

    def give(self):
        self.event.set()

    def wait(self):
        assert self.event.wait(DEADLINE_S), "no cue"


class Heard:
    """What the origin's script has to tell the test."""

    def __init__(self):
        self.values, self.changed = [], threading.Condition()

    def tell(self, value):
        with self.changed:
            self.values.append(value)
            self.changed.notify()

    def next(self):
        with self.changed:
            assert self.changed.wait_for(lambda: self.values, DEADLINE_S), "it says nothing"
            return self.values.pop(0)


def together(*calls):
    """Each call, as (function, argument...), in a thread of its own: what they return."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(*call) for call in calls]]
