"""Peers that are not what they pretend: an engine with the wrong certificate or
none, a Redis that talks nonsense, an origin whose certificate is over or that
dies under load.  Peers: TLS clients, one installation, the demo origin, and
the false one.  No false peer gets a value or changes an answer."""
import contextlib
import signal
import socket
import ssl
import struct
import threading

import pytest

from conftest import CA, Origin, Redis, route, until
from faults import fault_load, use_engines                              # noqa: F401
from load import CARD, no_plaintext

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
BODY = b'{"card":{"number":"%s"}}' % CARD.encode()


class FalsePeer:
    """speak(sock) does what it likes with each connection; heard: what came open."""

    def __init__(self, speak, port=0):
        self.speak = speak
        self.sockets = []
        self.heard = b""
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock, contextlib.suppress(OSError):
            self.speak(self, sock)

    def hear(self, sock):
        while piece := sock.recv(65536):
            self.heard += piece
            yield piece

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def silent(peer, sock):
    for _ in peer.hear(sock):
        pass


def reset(_, sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def plain_text(peer, sock):
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    silent(peer, sock)


def with_certificate(pem, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pem, key)

    def speak(peer, sock):
        with context.wrap_socket(sock, server_side=True) as tls:
            silent(peer, tls)
    return speak


RUDE = {"silent": silent, "reset": reset, "plain text": plain_text}
CERTIFIED = ["foreign CA", "link CA but role worker", "ingress certificate"]


def certificate(kind, stack, tmp_path):
    if kind == "foreign CA":
        return CA(tmp_path / "foreign", "foreign root").leaf("e3", ["engine"])
    if kind == "link CA but role worker":
        return stack.dir / "link/worker.pem", stack.dir / "link/worker.key"
    return stack.cert


@contextlib.contextmanager
def instead_of_the_engine(stack, speak):
    with FalsePeer(speak) as false:
        use_engines(stack, f"127.0.0.1:{false.port}")
        until("a worker asks the false engine", lambda: false.sockets)
        yield false
    use_engines(stack, f"unix:{stack.run}/e3.sock")


@pytest.mark.parametrize("kind", [*RUDE, *CERTIFIED])
def test_a_false_engine_is_given_nothing(make_stack, origin, tmp_path, kind):
    stack = make_stack(conf="engine_timeout_ms = 300\n")
    stack.relay("shop.test", origin, PAY)
    speak = RUDE.get(kind) or with_certificate(*certificate(kind, stack, tmp_path))
    with instead_of_the_engine(stack, speak) as false:
        for _ in range(2):
            reply = stack.post("shop.test", "/pay", BODY)
            assert (reply.status, reply.code) == (503, "engine-unavailable")
        assert stack.get("shop.test", "/x").status == 200       # what has no work
        assert CARD.encode() not in false.heard
        if kind in CERTIFIED:
            assert false.heard == b"", "a call to an engine that was not verified"
        assert len(origin.seen()) == 1
    assert stack.post("shop.test", "/pay", BODY).body == BODY
    no_plaintext(origin)


def test_an_engine_that_never_answers_is_heard_of(make_stack, origin):
    """The same false engine with the true certificate is called: what the
    other cases do not hear, they would have heard."""
    stack = make_stack(conf="engine_timeout_ms = 300\n")
    stack.relay("shop.test", origin, PAY)
    speak = with_certificate(stack.dir / "link/engine.pem", stack.dir / "link/engine.key")
    with instead_of_the_engine(stack, speak) as false:
        reply = stack.post("shop.test", "/pay", BODY)
        assert (reply.status, reply.code) == (503, "engine-unavailable")
        assert false.heard
    assert origin.seen() == []


def nonsense(peer, sock):
    for _ in peer.hear(sock):
        sock.sendall(b"\x00nonsense\r\n" * 10)


def always_one(peer, sock):
    """Well-formed answers, none of the kind that was asked for."""
    for piece in peer.hear(sock):
        sock.sendall(b":1\r\n" * max(1, piece.count(b"*")))


def half_an_answer(peer, sock):
    for _ in peer.hear(sock):
        sock.sendall(b"*1000000\r\n$9\r\nshop.test\r\n$100\r\n{")
        return


@pytest.mark.parametrize("speak", [silent, reset, nonsense, always_one, half_an_answer],
                         ids=lambda f: f.__name__)
def test_a_false_redis_changes_nothing(stack, origin, fault_load, speak):
    text = stack.relay("shop.test", origin, PAY)
    port = stack.redis.port
    with fault_load(f"false-redis-{speak.__name__}", stack, origin, n=2) as load:
        load.wait_right(10)
        stack.redis.end(signal.SIGKILL)
        with FalsePeer(speak, port) as false:
            until("it was asked", lambda: len(false.sockets) >= 2)
            load.wait_right(50)
            status = stack.feed()
            assert (status["relays"], status["pending_delete"]) == (1, 0), status
            assert CARD.encode() not in false.heard
        stack.redis = stack.own(Redis(stack.dir, port))
        load.struck()
        stack.push("shop.test", text)       # the true one has what it had
        stack.relay("new.test", origin, PAY)
        load.mended()
        load.wait_right(10)
    assert stack.post("new.test", "/pay", BODY).body == BODY
    no_plaintext(origin)


def test_an_origin_whose_certificate_is_over_gets_nothing(stack, scripted):
    origin = scripted(lambda peer: peer.request(), days=-1)
    stack.relay("shop.test", origin, PAY)
    reply = stack.post("shop.test", "/pay", BODY)
    assert (reply.status, reply.code) == (502, "upstream-tls-error")
    assert origin.connections >= 1 and origin.requests == []


def test_kill_9_of_the_origin_under_load(stack, origin, ca, fault_load, tmp_path):
    stack.relay("shop.test", origin, PAY)
    folder = tmp_path / "again"
    folder.mkdir()
    with fault_load("kill9-origin", stack, origin, allowed=[
            "cut", "service-unavailable", "upstream-protocol-error",
            "upstream-tls-error"]) as load:
        load.wait_right(20)
        origin.kill(signal.SIGKILL)
        origin.wait()
        until("the fault is felt", lambda: load.counts["service-unavailable"] > 0)
        again = Origin(folder, ca, port=origin.port)
        load.origins.append((again, 0, 0))
        load.struck()
        load.recovered(50)
    again.end()
