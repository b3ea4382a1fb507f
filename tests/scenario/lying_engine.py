"""A man in the middle of the engine protocol.  To a worker it is an engine, to
the engine a worker: it holds certificates of both roles, signed by the stack's
link CA, ends TLS on both sides and understands every frame.  What it was not
told to lie about it passes on byte for byte."""
import contextlib
import select
import socket
import ssl
import struct
import threading

import msgpack

WORK = ("Encrypt", "Decrypt")


def frame(payload):
    return struct.pack(">I", len(payload)) + payload


class Answer:
    """A reply as it came from the engine, and the call it is for."""

    def __init__(self, payload, call):
        self.version, self.id, self.status, self.body, self.more = msgpack.unpackb(payload)
        self.call = call        # the call's body

    @property
    def values(self):
        """What was to be sealed, or the tokens that were to be opened."""
        return [v[-1] for v in self.call.get("fields") or self.call["tokens"]]

    def but(self, **changes):
        """The same answer with other parts, as a frame."""
        a = {"id": self.id, "status": self.status, "body": self.body, "more": self.more, **changes}
        return frame(msgpack.packb([self.version, a["id"], a["status"], a["body"], a["more"]]))


class HangUp(Exception):
    """A lie may end the link instead of answering; its text is sent before."""


class LyingEngine:
    """lie(answer) -> bytes to send instead of each answer to `op`; None: honest.
    holding: answers are kept back (and counted in `held`) until it is cleared."""

    def __init__(self, stack):
        self.stack = stack
        self.lie, self.op = None, "Encrypt"
        self.drops = False      # every byte of an answer is a record of its own
        self.holding = threading.Event()
        self.held = 0
        self.told = 0
        folder = stack.dir / "link"
        self.to_workers = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.to_workers.minimum_version = ssl.TLSVersion.TLSv1_3
        self.to_workers.num_tickets = 0
        self.to_workers.verify_mode = ssl.CERT_REQUIRED
        self.to_workers.load_verify_locations(folder / "ca.pem")
        self.to_workers.load_cert_chain(folder / "engine.pem", folder / "engine.key")
        self.to_engine = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.to_engine.check_hostname = False
        self.to_engine.load_verify_locations(folder / "ca.pem")
        self.to_engine.load_cert_chain(folder / "worker.pem", folder / "worker.key")
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain):
        with contextlib.suppress(OSError, HangUp), contextlib.ExitStack() as open_ends:
            open_ends.enter_context(plain)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            down = open_ends.enter_context(self.to_workers.wrap_socket(plain, server_side=True))
            engine = open_ends.enter_context(socket.socket(socket.AF_UNIX))
            engine.connect(str(self.stack.run / "e3.sock"))
            up = open_ends.enter_context(self.to_engine.wrap_socket(engine))
            Pair(self, down, up).run()


class Pair:
    """One link of a worker and ours to the engine behind it, in one thread."""

    def __init__(self, liar, down, up):
        self.liar, self.down, self.up = liar, down, up
        self.pending = {down: b"", up: b""}
        self.calls = {}         # id -> (op, body)
        self.held = []          # answers kept back

    def run(self):
        try:
            while True:
                self.let_go()
                ready = [s for s in (self.down, self.up) if s.pending()]
                ready = ready or select.select([self.down, self.up], [], [], 0.02)[0]
                for sock in ready:
                    if not self.take(sock):
                        return
        finally:
            self.liar.held -= len(self.held)

    def take(self, sock):
        """What is there now; False at the end."""
        sock.setblocking(False)
        try:
            piece = sock.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        finally:
            sock.setblocking(True)
        data = self.pending[sock] + piece
        while len(data) >= 4 and len(data) >= 4 + (n := struct.unpack(">I", data[:4])[0]):
            payload, data = data[4:4 + n], data[4 + n:]
            (self.on_call if sock is self.down else self.on_reply)(payload)
        self.pending[sock] = data
        return piece != b""

    def on_call(self, payload):
        _, id, op, body = msgpack.unpackb(payload)[:4]
        self.calls[id] = op, body
        self.up.sendall(frame(payload))

    def on_reply(self, payload):
        id, more = msgpack.unpackb(payload)[1::3]
        op, body = self.calls[id] if more else self.calls.pop(id)
        if op in WORK and self.liar.holding.is_set():
            self.held.append((payload, op, body))
            self.liar.held += 1
        else:
            self.answer(payload, op, body)

    def let_go(self):
        if self.liar.holding.is_set():
            return
        while self.held:
            self.answer(*self.held[0])
            self.held.pop(0)
            self.liar.held -= 1

    def answer(self, payload, op, body):
        data = frame(payload)
        if op == self.liar.op and (lie := self.liar.lie) is not None:
            self.liar.told += 1
            try:
                data = lie(Answer(payload, body))
            except HangUp as last:
                self.down.sendall(last.args[0])
                raise
        step = 1 if self.liar.drops and op in WORK else len(data) or 1
        for at in range(0, len(data), step):
            self.down.sendall(data[at:at + step])
