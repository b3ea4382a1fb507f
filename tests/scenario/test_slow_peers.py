"""Peers that are slow, each in its place: client and origin byte by byte, an
engine that runs in strokes, neighbours that stand still.  Peers: TLS clients
under load, one installation, the demo origin or a scripted one.  Slow is never
wrong and never a plaintext at the origin."""
import contextlib
import subprocess
import threading

import pytest

from conftest import DEADLINE_S, PREFIX, route, stopped, tokens_in, until
from faults import fault_load                                           # noqa: F401
from load import CARD

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
BODY = b'{"card":{"number":"%s"},"note":"kept"}' % CARD.encode()


def byte_by_byte(send, data):
    for i in range(len(data)):
        send(data[i:i + 1])


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_client_and_origin_speak_byte_by_byte(stack, scripted, framing):
    """Each byte is a TLS record of its own, in both directions; the fields are
    sealed on the way there and opened on the way back."""
    def script(peer):
        while True:
            _, body = peer.request()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            if framing == "length":
                answer = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
            elif framing == "chunks":
                answer = (head + b"Transfer-Encoding: chunked\r\n\r\n" +
                          b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
            else:
                answer = head + b"\r\n" + body
            byte_by_byte(peer.send, answer)
            if framing == "close":
                peer.goodbye()
                return
    origin = scripted(script)
    stack.relay("shop.test", origin, PAY)
    with stack.connect("shop.test") as c:
        for _ in range(2):
            byte_by_byte(c.send, c.head("POST", "/pay", [("Content-Type", "application/json"),
                                                         ("Content-Length", len(BODY))]) + BODY)
            reply = c.reply("POST")
            assert reply.status == 200 and reply.body == BODY
    for _, sealed in origin.requests:
        assert CARD.encode() not in sealed and len(tokens_in(sealed)) == 1


def test_a_body_without_work_goes_through_byte_by_byte(stack, scripted):
    """In lockstep: the client sends a byte when the origin has got the one before."""
    got = threading.Semaphore(0)

    def script(peer):
        peer.head()
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            body += peer.take(1)
            got.release()
        peer.origin.requests.append(body)
        byte_by_byte(peer.send, b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n")
        byte_by_byte(peer.send, bytes(range(ord("a"), ord("z") + 1)))
    origin = scripted(script)
    stack.relay("shop.test", origin, PAY)
    with stack.connect("shop.test") as c:
        c.send(c.head("POST", "/other", [("Transfer-Encoding", "chunked")]))
        for letter in b"0123456789":
            byte_by_byte(c.send, b"1\r\n%c\r\n" % letter)
            assert got.acquire(timeout=DEADLINE_S), "a byte waits for the next one"
        c.send(b"0\r\n\r\n")
        assert c.reply("POST").body == b"abcdefghijklmnopqrstuvwxyz"
    body, = origin.requests
    assert b"".join(body.split(b"\r\n")[1::2]) == b"0123456789"


def test_an_engine_that_runs_in_strokes_is_slow_and_never_wrong(stack, origin, fault_load):
    """Stopped most of the time, never as long as the timeout: every answer is right."""
    stack.relay("shop.test", origin, PAY)
    engine = stack.child("e3d")
    with fault_load("engine-in-strokes", stack, origin) as load:
        load.wait_right(10)
        for stroke in range(20):
            with stopped(engine):
                threading.Event().wait(0.2)         # the fault that is played
            load.wait_right(1 + stroke % 3)
        load.struck()
        load.recovered()
    assert stack.child("e3d") == engine


def test_neighbours_that_stand_still_are_not_felt(stack, origin, fault_load):
    """relayd, feed, helper and Redis are not on the way of a request; what they
    are asked meanwhile is done when they go on."""
    stack.relay("shop.test", origin, PAY)
    pids = [stack.relayd.pid, stack.redis.pid, stack.child("feed"), stack.child("e3-helper")]
    with fault_load("neighbours-stand-still", stack, origin) as load:
        load.wait_right(10)
        with stopped(*pids):
            creating = subprocess.Popen(
                [str(PREFIX / "bin/relayctl"), "-c", str(stack.dir / "relay.conf"), "app",
                 "create", "meanwhile"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            load.wait_right(100)
            assert creating.poll() is None, "no helper, and yet an app is made"
        load.struck()
        out, err = creating.communicate(timeout=DEADLINE_S)
        assert creating.returncode == 0, err
        stack.wait_ready()
        load.mended()
        load.wait_right(10)
    assert out.split()[0] in stack.ctl("app", "list").stdout
    stack.relay("new.test", origin, PAY)
    assert stack.post("new.test", "/pay", BODY).body == BODY


def test_a_client_that_waits_holds_nobody_up(make_stack, origin, fault_load):
    """One worker, forty clients that have sent half of their request."""
    stack = make_stack(workers=1)
    stack.relay("shop.test", origin, PAY)
    with contextlib.ExitStack() as waiting:
        clients = [waiting.enter_context(stack.connect("shop.test")) for _ in range(40)]
        for i, c in enumerate(clients):
            whole = c.head("POST", "/pay", [("Content-Type", "application/json"),
                                            ("Content-Length", len(BODY))]) + BODY
            half = i * len(whole) // len(clients)
            c.send(whole[:half])
            c.rest = whole[half:]
        with fault_load("forty-half-requests", stack, origin) as load:
            load.recovered(50)
        for c in clients:
            c.send(c.rest)
            assert c.reply("POST").body == BODY
    until("the origin has them all", lambda: sum(s.body.count(b"kept") for s in origin.seen()) == 40)
    assert CARD.encode() not in origin.raw_log()
