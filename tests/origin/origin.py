#!/usr/bin/python3
"""A small HTTPS origin for demonstrations and tests.

    origin.py --port N --cert FILE --key FILE [--log FILE] [--bind ADDRESS]

HTTP/1.1 with keep-alive, one thread a connection, standard library only.  It
reads strictly: what is not plain HTTP/1.1 is answered 400 and logged.  Every
request is appended to the log as the bytes that arrived, before the answer:

    === request <n> <bytes>
    <that many bytes, head and body>

or `=== partial ...` when the peer broke off, or broke the grammar, inside one.
A JSON body comes back byte for byte; any other request gets a JSON summary.
The path steers the rest:

    /status/<code>   that status          /close        no answer, just close
    /delay/<ms>      answers later        /garbage      an answer that is none
    /bytes/<n>       n times 'x'          /early        answers before the body
    /chunked/<n>     the same in chunks   /until-close  body ends with the close
    /headers         the field lines      /encoding/gzip  the answer, gzipped
"""
import argparse
import contextlib
import gzip
import json
import re
import signal
import socket
import ssl
import sys
import threading
import time

MAX_HEAD = 128 * 1024
MAX_BODY = 256 * 1024 * 1024
MAX_ANSWER = 1 << 30
IDLE_S = 120
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
REASONS = {200: "OK", 204: "No Content", 304: "Not Modified", 400: "Bad Request",
           404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


class Malformed(Exception):
    """The peer broke the grammar; the text says how."""


class Closed(Exception):
    """The peer went away."""


class Log:
    """Requests one after another, whole, from all threads."""

    def __init__(self, path):
        self.file = open(path, "ab") if path else None
        self.lock = threading.Lock()
        self.count = 0

    def add(self, raw, kind=b"request"):
        with self.lock:
            self.count += 1
            if self.file is not None:
                self.file.write(b"=== %s %d %d\n%s\n" % (kind, self.count, len(raw), raw))
                self.file.flush()


class Request:
    def __init__(self, method, target, minor, fields):
        self.method = method
        self.target = target
        self.path = target.split(b"?", 1)[0]
        self.minor = minor
        self.fields = fields            # [(name, value)] as received
        self.body = b""

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name]

    def get(self, name):
        return next(iter(self.all(name)), b"")

    def keeps_alive(self):
        options = b",".join(self.all(b"connection")).lower().replace(b" ", b"").split(b",")
        if b"close" in options:
            return False
        return self.minor == 1 or b"keep-alive" in options


class Reader:
    """Bytes of one connection; keeps the raw text of the message being read."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = b""
        self.raw = bytearray()

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            self.take(len(self.pending))
            raise Closed()
        self.pending += data

    def take(self, n):
        data, self.pending = self.pending[:n], self.pending[n:]
        self.raw += data
        return data

    def message(self):
        """All that was read of the message; the next one begins."""
        raw, self.raw = bytes(self.raw), bytearray()
        return raw

    def line(self):
        while (end := self.pending.find(b"\n")) < 0:
            if len(self.pending) > MAX_HEAD:
                raise Malformed("line too long")
            self.fill()
        line = self.take(end + 1)
        if len(self.raw) > MAX_HEAD + MAX_BODY:
            raise Malformed("message too long")
        if not line.endswith(b"\r\n"):
            raise Malformed("bare LF")
        return line[:-2]

    def exactly(self, n):
        parts, left = [], n
        while left:
            if not self.pending:
                self.fill()
            parts.append(self.take(left))
            left -= len(parts[-1])
        return b"".join(parts)

    def fields(self):
        fields, size = [], 0
        while line := self.line():
            size += len(line)
            if size > MAX_HEAD or not (match := FIELD_LINE.fullmatch(line)):
                raise Malformed("bad field line, or too many")
            fields.append((match[1], match[2]))
        return fields

    def head(self):
        if not (match := REQUEST_LINE.fullmatch(self.line())):
            raise Malformed("bad request line")
        request = Request(match[1], match[2], int(match[3]), self.fields())
        if len(request.all(b"host")) != 1 and request.minor == 1:
            raise Malformed("not exactly one Host")
        return request

    def body(self, request):
        lengths, codings = request.all(b"content-length"), request.all(b"transfer-encoding")
        if codings:
            if lengths or not request.minor or [c.lower() for c in codings] != [b"chunked"]:
                raise Malformed("ambiguous framing")
            return self.chunks()
        if not lengths:
            return b""
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]) \
                or int(lengths[0]) > MAX_BODY:
            raise Malformed("bad Content-Length")
        return self.exactly(int(lengths[0]))

    def chunks(self):
        parts, total = [], 0
        while True:
            if not (match := CHUNK_LINE.fullmatch(self.line())):
                raise Malformed("bad chunk size")
            if (total := total + (size := int(match[1], 16))) > MAX_BODY:
                raise Malformed("body too long")
            if size == 0:
                self.fields()           # trailers
                return b"".join(parts)
            parts.append(self.exactly(size))
            if self.exactly(2) != b"\r\n":
                raise Malformed("chunk longer than its size")


def as_json(value):
    return json.dumps(value).encode() + b"\n"


def summary(request):
    return {"method": request.method.decode("latin-1"), "target": request.target.decode("latin-1"),
            "body_bytes": len(request.body)}


def is_json(content_type):
    kind = content_type.split(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")


class Connection:
    def __init__(self, sock, log):
        self.sock = sock
        self.log = log
        self.reader = Reader(sock)
        self.keep = True

    def send_head(self, status, fields):
        lines = ["HTTP/1.1 %d %s" % (status, REASONS.get(status, ""))]
        lines += ["%s: %s" % field for field in fields]
        lines += [] if self.keep else ["Connection: close"]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def send(self, request, status, body, content_type="application/json", extra=()):
        fields = [("Content-Type", content_type), *extra]
        bodiless = status < 200 or status in (204, 304)
        if not bodiless:
            fields.append(("Content-Length", len(body)))
        self.send_head(status, fields)
        if not bodiless and request.method != b"HEAD":
            self.sock.sendall(body)

    def echo(self, request, status=200, extra=(), change=lambda body: body):
        kind = request.get(b"content-type")
        if request.body and is_json(kind):
            self.send(request, status, change(request.body), kind.decode("latin-1"), extra)
        else:
            self.send(request, status, change(as_json(summary(request))), extra=extra)

    def send_chunked(self, request, size):
        self.send_head(200, [("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")])
        if request.method == b"HEAD":
            return
        while size > 0:
            piece = b"x" * min(size, 16384)
            size -= len(piece)
            self.sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.sock.sendall(b"0\r\n\r\n")

    def send_until_close(self, request):
        self.keep = False
        self.sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
        body = request.body if is_json(request.get(b"content-type")) else b""
        if request.method != b"HEAD":
            self.sock.sendall(body or as_json(summary(request)))

    def answer(self, request):
        word, _, rest = request.path.decode("latin-1")[1:].partition("/")
        number = int(rest) if re.fullmatch(r"[0-9]{1,10}", rest) else None
        if word == "status" and number is not None and 200 <= number <= 599:
            self.echo(request, number)
        elif word == "delay" and number is not None:
            time.sleep(number / 1000)
            self.echo(request)
        elif word == "bytes" and number is not None and number <= MAX_ANSWER:
            self.send(request, 200, b"x" * number, "text/plain")
        elif word == "chunked" and number is not None:
            self.send_chunked(request, number)
        elif word == "close":
            self.keep = False
        elif word == "garbage":
            self.keep = False
            self.sock.sendall(b"\x00this is no answer\r\n\r\n")
        elif word == "headers":
            lines = [b"%s: %s" % field for field in request.fields]
            self.send(request, 200, as_json([line.decode("latin-1") for line in lines]))
        elif word == "until-close":
            self.send_until_close(request)
        elif (word, rest) == ("encoding", "gzip"):
            self.echo(request, extra=[("Content-Encoding", "gzip")], change=gzip.compress)
        else:
            self.echo(request)

    def exchange(self):
        request = self.reader.head()
        self.keep = request.keeps_alive()
        if early := request.path == b"/early":
            self.send(request, 200, as_json(summary(request)))
        elif request.get(b"expect").lower() == b"100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.body = self.reader.body(request)
        self.log.add(self.reader.message())
        if not early:
            self.answer(request)

    def refuse(self, why):
        self.keep = False
        print("origin malformed request: %s" % why, file=sys.stderr, flush=True)
        body = as_json({"error": why})
        self.send_head(400, [("Content-Type", "application/json"), ("Content-Length", len(body))])
        self.sock.sendall(body)

    def run(self):
        try:
            while self.keep:
                self.exchange()
        except Malformed as e:
            self.log.add(self.reader.message(), b"partial")
            self.refuse(str(e))
        except (OSError, Closed):
            if partial := self.reader.message():
                self.log.add(partial, b"partial")

    def finish(self):
        """close_notify, then read to the end: a reset could destroy the answer."""
        with contextlib.suppress(OSError, ValueError):
            self.sock.settimeout(2)
            plain = self.sock.unwrap()
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass
        self.sock.close()


def serve(plain, context, log):
    """One connection, in a thread of its own."""
    plain.settimeout(IDLE_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        connection = Connection(context.wrap_socket(plain, server_side=True), log)
    except OSError:
        plain.close()
        return
    with contextlib.suppress(OSError):
        connection.run()
    connection.finish()


def main():
    parser = argparse.ArgumentParser(description="A small HTTPS origin for tests.")
    parser.add_argument("--port", type=int, required=True, help="0: the system chooses")
    parser.add_argument("--cert", required=True, help="PEM, leaf first")
    parser.add_argument("--key", required=True)
    parser.add_argument("--log", help="append each raw request here")
    parser.add_argument("--bind", default="127.0.0.1")
    args = parser.parse_args()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)
    context.set_alpn_protocols(["http/1.1"])
    log = Log(args.log)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    family = socket.AF_INET6 if ":" in args.bind else socket.AF_INET
    with socket.create_server((args.bind, args.port), family=family, backlog=256) as listener:
        print("origin ready port=%d" % listener.getsockname()[1], flush=True)
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=serve, args=(plain, context, log), daemon=True).start()


if __name__ == "__main__":
    main()
