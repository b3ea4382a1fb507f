"""WebSocket (RFC 6455) as far as a tunnel needs it: the handshake and whole
frames, for both sides."""
import base64
import hashlib
import os
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE = 2, 8


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def new_key():
    return base64.b64encode(os.urandom(16))


def request(host, path=b"/ws", key=None, *lines):
    return (b"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
            % (path, host, key or new_key(), b"".join(line + b"\r\n" for line in lines)))


def switch(head):
    """The answer that agrees."""
    key = next(line.split(b":", 1)[1].strip() for line in head.split(b"\r\n")
               if line.lower().startswith(b"sec-websocket-key:"))
    return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\nX-Server: tiny\r\n\r\n" % accept_key(key))


def masked(data, mask):
    n = len(data)
    pad = (mask * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(n, "big")


def frame(data, opcode=BINARY, mask=False):
    """One whole frame; a client's is masked."""
    n, bit = len(data), 0x80 if mask else 0
    if n < 126:
        head = struct.pack("!BB", 0x80 | opcode, bit | n)
    elif n < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, bit | 126, n)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, bit | 127, n)
    if not mask:
        return head + data
    key = os.urandom(4)
    return head + key + masked(data, key)


def read_frame(take):
    """(opcode, data); take(n) gives exactly n bytes."""
    first, second = take(2)
    assert first & 0x80, "a fragment"
    n = second & 0x7f
    if n == 126:
        n, = struct.unpack("!H", take(2))
    elif n == 127:
        n, = struct.unpack("!Q", take(8))
    key = take(4) if second & 0x80 else None
    data = take(n)
    return first & 0x0f, masked(data, key) if key else data
