"""Peers that break off, say goodbye in the middle or send strange heads.
Peers: a TLS client, an installation with one worker, a scripted origin (the
demo origin where it need not misbehave).  Nothing is invented, lost or taken
for a request that it is not."""
import contextlib
import queue
import socket
import ssl
import threading

import pytest

import websocket
from conftest import DEADLINE_S, TOKEN, free_port, route, seal, until
from scripted_origin import OK
from told_origin import action, actions, made

SECRET = b'{"a": "secret"}'
CUT = (EOFError, ssl.SSLError, ConnectionError)


@pytest.fixture
def lone(make_stack):
    """An installation with one worker: all connections meet the same pool."""
    return make_stack(workers=1)


def json_head(c, length):
    return c.head("POST", "/", [("Content-Type", "application/json"), ("Content-Length", length)])


# ---- origins that break off -------------------------------------------------------

def test_a_whole_answer_is_kept_when_its_origin_dies_and_its_client_is_slow(lone, scripted):
    body = b"x" * 3_000_000
    stuck = threading.Event()

    def script(peer):
        peer.head()
        peer.send_until_stuck(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
                              stuck)
    lone.relay("a.test", scripted(script))
    with lone.connect("a.test", rcvbuf=4096) as c:
        c.send(c.head("GET", "/", []))
        assert stuck.wait(DEADLINE_S)
        reply = c.reply()
        assert reply.status == 200 and reply.body == body


def test_an_answer_until_the_end_that_ends_without_goodbye_is_cut(lone, scripted):
    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 100_000)
    lone.relay("a.test", scripted(script))
    with lone.connect("a.test") as c:
        c.send(c.head("GET", "/", []))
        with pytest.raises(CUT):
            c.reply()


def test_an_answer_until_the_end_is_chunked_and_keeps_the_client(lone, scripted):
    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 1_000_000)
        peer.goodbye()
    lone.relay("a.test", scripted(script))
    with lone.connect("a.test") as c:
        reply = c.request("GET", "/")
        assert reply.body == b"y" * 1_000_000 and reply.field("transfer-encoding") == "chunked"
        assert c.request("GET", "/").status == 200


def test_a_whole_answer_is_opened_though_its_origin_dies(lone, scripted):
    def script(peer):
        head, body = peer.request()
        if head.startswith(b"POST"):
            peer.send(OK)
            return
        body = peer.origin.requests[0][1]
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "x"\r\n'
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
    origin = scripted(script)
    lone.relay("a.test", origin, [seal("POST", "/", "$.a"), route("GET", "/", decrypt=["$.a"])])
    assert lone.post("a.test", "/", SECRET).status == 200
    assert b"secret" not in origin.requests[0][1]
    reply = lone.get("a.test")
    assert reply.status == 200 and reply.body == SECRET
    assert reply.field("etag") == 'W/"x"'


def test_an_early_answer_survives_the_reset_behind_it(lone, scripted):
    """The origin answers the head and leaves with the body unread: its kernel resets."""
    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nbig")
    lone.relay("a.test", scripted(script))
    for _ in range(5):
        with lone.connect("a.test") as c:
            c.send(c.head("POST", "/", [("Content-Length", 20_000_000)]))
            c.sock.settimeout(0.1)      # writes as long as somebody reads
            with contextlib.suppress(OSError):
                for _ in range(1200):
                    c.send(b"z" * 16000)
            c.sock.settimeout(DEADLINE_S)
            reply = c.reply("POST")
            assert (reply.status, reply.body) == (413, b"big")
            assert c.ended()


def test_a_body_whose_origin_died_is_never_read_as_requests(lone, scripted):
    origin = scripted(lambda peer: peer.head())
    lone.relay("a.test", origin)
    inner = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
    for i in range(30):
        with lone.connect("a.test") as c:
            c.send(c.head("POST", "/", [("Content-Length", len(inner) * 3000 + 1)]))
            c.send(inner * 1500)
            # The rest comes before, while and after the origin is found dead.
            threading.Event().wait(i / 1000)
            with contextlib.suppress(OSError):
                c.send(inner * 1500)
            assert c.reply("POST").status == 502
            assert c.ended(), c.buffer


@pytest.mark.parametrize("before", [0, len(SECRET) // 2, len(SECRET) - 1])
def test_an_origin_that_gives_up_waiting_is_connected_again(lone, scripted, before):
    """It closes connections that stay silent; the client is slower than that."""
    gave_up = threading.Event()

    def script(peer):
        if peer.number == 1:
            peer.sock.settimeout(0.2)
        try:
            peer.request()
        except TimeoutError:
            peer.goodbye()
            gave_up.set()
            return
        peer.send(OK)
    origin = scripted(script)
    lone.relay("a.test", origin, [seal("POST", "/", "$.a")])
    with lone.connect("a.test") as c:
        c.send(json_head(c, len(SECRET)) + SECRET[:before])
        assert gave_up.wait(DEADLINE_S)
        c.send(SECRET[before:])
        assert c.reply("POST").status == 200
    assert origin.connections >= 2
    (_, sealed), = origin.requests
    assert b"secret" not in sealed


# ---- last words -------------------------------------------------------------------

# Some of these leave a rest in the worker itself, when all kernels are full.
AMOUNTS = range(3 << 20, 7 << 20, 100_000)


def turn(stack):
    """The worker has seen what was there for it to see."""
    for _ in range(5):
        assert stack.get("other.test").status == 200


@pytest.mark.parametrize("how", ["answer", "tunnel"])
def test_what_an_origin_said_before_it_broke_reaches_a_slow_client(lone, scripted, origin, how):
    """Then the end is no good one."""
    said = threading.Event()

    def script(peer):
        head = peer.head()
        amount = int(head.split()[1][1:])
        peer.send(websocket.switch(head) if how == "tunnel" else
                  b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (amount + 1))
        peer.send(b"x" * amount)
        peer.sock.shutdown(socket.SHUT_RDWR)
        said.set()
    lone.relay("a.test", scripted(script))
    lone.relay("other.test", origin)
    for amount in AMOUNTS:
        said.clear()
        with lone.connect("a.test", rcvbuf=4096) as c:
            c.send(websocket.request(b"a.test", b"/%d" % amount) if how == "tunnel" else
                   c.head("GET", f"/{amount}", []))
            if not said.wait(3):
                break           # more than everybody holds: it could not say it all
            turn(lone)
            while c.take_line():
                pass
            assert c.take(amount) == b"x" * amount and c.broken()


def test_what_a_client_said_before_it_broke_reaches_a_slow_origin(lone, scripted, origin):
    go, heard = threading.Event(), queue.Queue()

    def script(peer):
        peer.send(websocket.switch(peer.head()))
        assert go.wait(DEADLINE_S)
        data, end = peer.rest()
        heard.put((len(data), end))
    lone.relay("a.test", scripted(script))
    lone.relay("other.test", origin)
    for amount in AMOUNTS:
        go.clear()
        with lone.connect("a.test") as c:
            c.send(websocket.request(b"a.test", b"/"))
            assert c._one("GET").status == 101
            c.sock.settimeout(3)
            try:
                c.send(b"x" * amount)
            except TimeoutError:
                go.set()        # as above
                break
            c.sock.shutdown(socket.SHUT_RDWR)
            turn(lone)
            go.set()
            assert heard.get(timeout=DEADLINE_S) == (amount, "cut")


# ---- clients that break off -------------------------------------------------------

class HalfCloser:
    """A client that says all it has, then goodbye, and only then listens."""

    def __init__(self, stack, host):
        context = ssl.create_default_context(cafile=str(stack.ca.pem))
        context.check_hostname = False
        self.raw = socket.create_connection(("127.0.0.1", stack.port), DEADLINE_S)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        while not self.shaken():
            self.incoming.write(self.raw.recv(65536))

    def shaken(self):
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            self.flush()

    def flush(self):
        self.raw.sendall(self.outgoing.read())

    def say(self, data, fin):
        self.tls.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()
        if fin:
            self.raw.shutdown(socket.SHUT_WR)

    def hear(self):
        """All that comes until the other side has ended."""
        heard = b""
        while piece := self.raw.recv(65536):
            self.incoming.write(piece)
            with contextlib.suppress(ssl.SSLError):     # wants more, or goodbye
                while text := self.tls.read(65536):
                    heard += text
        self.raw.close()
        return heard


@pytest.mark.parametrize("fin", [False, True], ids=["goodbye", "goodbye and FIN"])
def test_a_goodbye_behind_a_body_that_waits_loses_none_of_it(lone, scripted, fin):
    said = threading.Event()
    body = b"q" * 400_000

    def script(peer):
        assert said.wait(DEADLINE_S)
        peer.request()
        peer.send(OK)
    origin = scripted(script)
    lone.relay("a.test", origin)
    client = HalfCloser(lone, "a.test")
    client.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
               fin)
    said.set()
    heard = client.hear()
    assert heard.startswith(b"HTTP/1.1 200 ") and heard.endswith(b"\r\n\r\nok")
    assert [b for _, b in origin.requests] == [body]


def test_requests_behind_each_other_and_a_goodbye_are_all_answered(lone, origin):
    lone.relay("a.test", origin)
    client = HalfCloser(lone, "a.test")
    client.say(b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % n for n in range(5)),
               True)
    heard = client.hear()
    assert heard.count(b"HTTP/1.1 200 ") == 5 and heard.endswith(b"\r\n\r\nxxxx")


# What is opened needs room for the new body too.
@pytest.mark.parametrize("end,room", [(b'"}', 20_000_000), (b'"', 12_000_000)],
                         ids=["opened", "unreadable"])
def test_a_client_that_does_not_read_an_answer_read_whole_counts(make_stack, scripted, end, room):
    """It is held for its reader, until that has it or is gone."""
    stack = make_stack(workers=1, conf=f"max_held_bytes = {room}\n")
    token = made(stack, "abc").encode()
    body = b'{"a":"%s","b":"%s' % (token, b"x" * 7_500_000) + end
    gets = body.replace(token, b"abc") if end == b'"}' else body

    def script(peer):
        while True:
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
    # A filter needs it whole.
    stack.relay("a.test", scripted(script), [route("GET", "/", decrypt=["$[?@ != 1]"])])
    for reads in True, False:
        with stack.connect("a.test", rcvbuf=4096) as slow:
            slow.send(slow.head("GET", "/", []))
            slow.fill()
            reply = stack.get("a.test")
            assert (reply.status, reply.code) == (503, "overloaded")
            if reads:
                assert slow.reply().body == gets
                assert stack.get("a.test").status == 200
        until("what was held is free", lambda: stack.get("a.test").status == 200)


def test_a_body_cut_by_its_client_is_cut_at_the_origin(lone, scripted):
    began, over = threading.Event(), threading.Event()

    def script(peer):
        try:
            peer.head()
            peer.take(50)
            began.set()
            peer.take(1)
            peer.origin.faults.append("more than the client sent")
        finally:
            over.set()
    lone.relay("a.test", scripted(script))
    with lone.connect("a.test") as c:
        c.send(c.head("POST", "/", [("Content-Length", 100)]) + b"x" * 50)
        assert began.wait(DEADLINE_S)
    assert over.wait(DEADLINE_S)
    assert lone.get("nope.test").status == 404          # the worker lives


# ---- heads and orders that are unusual --------------------------------------------

@pytest.mark.parametrize("said", [
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"Content-Length: 0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Secret: 4111\r\n\r\n", b"\r\n"])
def test_the_head_of_an_empty_answer_is_sealed(lone, scripted, said):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Secret: 4111\r\n" + said)
        peer.goodbye()
    lone.relay("a.test", scripted(script), [
        actions("GET", "/", response=action("encrypt", "$.a", "header:X-Secret"))])
    reply = lone.get("a.test")
    assert (reply.status, reply.body, reply.trailers) == (200, b"", [])
    assert TOKEN.fullmatch(reply.field("X-Secret").encode())


@pytest.mark.parametrize("kind", ["encrypt", "decrypt"])
@pytest.mark.parametrize("rule", ["forward", "reject", None])
@pytest.mark.parametrize("body", [b"{}", b"plain"])
def test_more_chosen_fields_in_an_answers_head_than_the_limit(lone, scripted, kind, rule, body):
    """Tokens may go on as they are, what must be sealed never does."""
    value = made(lone, "4111").encode()

    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nX-A: %s\r\nX-A: %s\r\n"
                  b"Content-Length: %d\r\n\r\n" % (
                      b"application/json" if body == b"{}" else b"text/plain", value, value,
                      len(body)) + body)
    more = {"onMismatch": {"response": rule}} if rule else {}
    lone.relay("a.test", scripted(script), [
        actions("GET", "/", response=action(kind, "$.a", "header:X-A"))],
               limits={"fields": 1}, **more)
    reply = lone.get("a.test")
    if kind == "decrypt" and rule != "reject":
        assert (reply.status, reply.body) == (200, body)
        assert [v for n, v in reply.fields if n == "X-A"] == [value.decode()] * 2
    else:
        assert (reply.status, reply.code) == (502, "unsealable-response")


@pytest.mark.parametrize("host,status", [("a.test", 503), ("nobody.test", 404)])
def test_a_refusal_ends_a_connection_of_http_1_0(lone, host, status):
    lone.relay("a.test", free_port())
    with lone.connect(host) as c:
        c.send(b"GET / HTTP/1.0\r\nHost: %s\r\nConnection: keep-alive\r\n\r\n" % host.encode())
        reply = c.reply()
        assert reply.status == status and reply.closed and c.ended()


def test_a_relay_to_itself_is_a_loop(lone):
    lone.relay("a.test", lone.port)
    reply = lone.get("a.test")
    assert (reply.status, reply.code) == (508, "tunnel-loop")


@pytest.mark.parametrize("via", ["1.1 other, 1.1 relay-a.test (x)", "1.1 x, 1.1 relay-a.test"])
def test_a_request_that_was_here_is_a_loop(lone, origin, via):
    lone.relay("a.test", origin)
    reply = lone.get("a.test", fields=[("Via", via)])
    assert (reply.status, reply.code) == (508, "tunnel-loop")
    assert origin.seen() == []


@pytest.mark.parametrize("method,target,line", [
    ("GET", "http://a.test?x=1", b"GET /?x=1 HTTP/1.1"),
    ("GET", "https://a.test/p/q?", b"GET /p/q? HTTP/1.1"),
    ("OPTIONS", "http://a.test", b"OPTIONS * HTTP/1.1"),
])
def test_the_absolute_form_becomes_the_form_of_origins(lone, origin, method, target, line):
    lone.relay("a.test", origin)
    with lone.connect("a.test") as c:
        reply = c.request(method, target)
    assert reply.field("x-evervault-ctx")
    assert origin.last().head.split(b"\r\n")[0] == line


def test_a_head_as_large_as_the_options_allow_passes(make_stack, origin):
    stack = make_stack(workers=1, conf="max_head_bytes = 300000\nmax_target_bytes = 20000\n")
    stack.relay("a.test", origin)
    reply = stack.get("a.test", "/" + "t" * 19000,
                      fields=[(f"X-A{i}", "v" * 1000) for i in range(100)])
    assert reply.status == 200
    assert origin.last().head.count(b"v" * 1000) == 100


def test_a_drain_says_goodbye_to_idle_connections_and_serves_unused_ones(lone, origin):
    lone.relay("a.test", origin)
    with lone.connect("a.test") as used, lone.connect("a.test") as fresh:
        assert used.request("GET", "/").status == 200
        lone.ctl("reload", "--wait")
        assert used.sock.recv(1) == b""         # an SSLError without close_notify
        assert fresh.request("GET", "/").status == 200


def test_two_hundred_requests_in_one_piece(lone, origin):
    lone.relay("a.test", origin)
    with lone.connect("a.test") as c:
        c.send(b"".join(c.head("GET", f"/bytes/{n}", []) for n in range(200)))
        for n in range(200):
            assert c.reply().body == b"x" * n


def test_an_empty_chunked_body_needs_no_work(lone, origin):
    lone.relay("a.test", origin, [seal("POST", "/", "$.a")])
    assert lone.post("a.test", "/", b"", chunks=[]).status == 200
    until("the origin has it", lambda: [s.body for s in origin.seen()] == [b""])
