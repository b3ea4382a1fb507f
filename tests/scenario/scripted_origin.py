"""A TLS destination that does what a test's script says: for origins that are
slow, rude or dying, which the demo origin is not."""
import contextlib
import itertools
import select
import socket
import ssl
import struct
import threading

NUMBERS = itertools.count(1)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def content_length(head):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def half_close(sock):
    """Say goodbye and go on reading; nothing may be on its way to us."""
    timeout = sock.gettimeout()
    sock.setblocking(False)
    # It looks at once for the peer's own end, which may have come as a cut.
    with contextlib.suppress(ssl.SSLError, ConnectionResetError):
        sock.unwrap()
    sock.settimeout(timeout)


class Peer:
    """One connection as the script sees it; `number` counts from 1."""

    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        self.pending = b""
        self.unsent = 0

    def fill(self):
        try:
            piece = self.sock.recv(65536)
        except ssl.SSLError as e:       # cut, or the end when we have said it too
            raise EOFError from e
        if not piece:
            raise EOFError
        self.pending += piece

    def head(self):
        while b"\r\n\r\n" not in self.pending:
            self.fill()
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        return head

    def line(self):
        while b"\r\n" not in self.pending:
            self.fill()
        line, _, self.pending = self.pending.partition(b"\r\n")
        return line

    def take(self, n):
        while len(self.pending) < n:
            self.fill()
        data, self.pending = self.pending[:n], self.pending[n:]
        return data

    def request(self):
        """Head and body of the next request, which origin.requests keeps."""
        head = self.head()
        body = self.take(content_length(head))
        self.origin.requests.append((head, body))
        return head, body

    def send(self, data):
        self.sock.sendall(data)

    def send_until_stuck(self, data, stuck):
        """Set `stuck` when the reader has stopped reading, or has it all; unsent:
        bytes that were left then."""
        self.sock.setblocking(False)
        data = memoryview(data)
        while data:
            try:
                data = data[self.sock.send(data):]
            except ssl.SSLWantWriteError:
                if not select.select([], [self.sock], [], 0.5)[1]:
                    self.unsent = self.unsent or len(data)
                    stuck.set()
                    select.select([], [self.sock], [])
        stuck.set()

    def rest(self):
        """All that still comes, and how it ends: "goodbye" or "cut"."""
        pieces, self.pending = [self.pending], b""
        end = "goodbye"
        try:
            while pieces[-1] or len(pieces) == 1:
                pieces.append(self.sock.recv(65536))
        except ssl.SSLZeroReturnError:
            pass                # the end, when we have said it too
        except (ssl.SSLError, ConnectionResetError):
            end = "cut"         # no SSLEOFError, in OpenSSL 3
        return b"".join(pieces), end

    def half_close(self):
        half_close(self.sock)

    def goodbye(self):
        """End with close_notify; a script that just returns ends without."""
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            self.sock.unwrap()          # how the peer ends is its own affair

    def reset(self):
        plain = socket.socket(fileno=self.sock.detach())
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        plain.close()


class ScriptedOrigin:
    """script(peer) runs for each connection in a thread of its own.  That a
    connection ends under it is no fault of a script, anything else is."""

    def __init__(self, ca, script, hosts=("localhost", "127.0.0.1"), days=30):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*ca.leaf(f"scripted{next(NUMBERS)}", hosts, days))
        self.context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        self.script = script
        self.connections = 0
        self.shaken = threading.Event()         # a handshake was done
        self.reused = []                        # sessions, by connection
        self.requests = []
        self.faults = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return          # close() was called
            self.connections += 1
            threading.Thread(target=self.serve, args=(plain, self.connections),
                             daemon=True).start()

    def serve(self, plain, number):
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.context.wrap_socket(plain, server_side=True,
                                          suppress_ragged_eofs=False) as sock:
                self.reused.append(sock.session_reused)
                self.shaken.set()
                self.script(Peer(self, sock, number))
        except (OSError, EOFError):
            plain.close()
        except Exception as e:
            self.faults.append(repr(e))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
