"""A name server that knows one address: 127.0.0.1, of every name below one suffix."""
import socket
import struct
import threading


class NameServer:
    """Answers A with 127.0.0.1 and any other type with nothing; other names do not exist
    (RFC 1035 4.1)."""

    def __init__(self, suffix):
        self.suffix = suffix
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            query, client = self.sock.recvfrom(4096)
            if not query:
                return
            self.sock.sendto(self.answer(query), client)

    def answer(self, query):
        at, labels = 12, []
        while n := query[at]:
            labels.append(query[at + 1:at + 1 + n].decode().lower())
            at += 1 + n
        question = query[12:at + 5]
        kind, = struct.unpack(">H", question[-4:-2])
        known = ".".join(labels).endswith(self.suffix)
        address = known and kind == 1
        head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, int(address), 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + bytes([127, 0, 0, 1])
        return head + question + (record if address else b"")

    def close(self):
        """An empty datagram is the end."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.sock.getsockname())
        self.thread.join()
        self.sock.close()
