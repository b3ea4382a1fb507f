"""An HTTP/1.1 request reader as strict as RFC 9112 allows, which shares nothing
with the product: origins of the suites judge with it what reached them.  What a
lenient reader would mend, or two readers could see differently, is a Violation;
a message that ends in its middle is Cut."""
import re

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") (/[\x21-\x7e\x80-\xff]*|\*) HTTP/1\.1")
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff]"
                        rb"(?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})")
MAX_LINE = 128 * 1024
CONNECTION_OWN = (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer",
                  b"transfer-encoding", b"upgrade")


class Violation(Exception):
    """The bytes are no unambiguous request; the text says why."""


class Cut(Exception):
    """The peer ended inside a message: nothing whole arrived."""


class Request:
    def __init__(self, method, target, fields):
        self.method, self.target, self.fields = method, target, fields
        self.body = b""

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name]

    def get(self, name, default=b""):
        return next(iter(self.all(name)), default)

    def end_to_end(self):
        """The fields that are not this connection's own, in their order."""
        return [(n, v) for n, v in self.fields if n.lower() not in CONNECTION_OWN]

    def __repr__(self):
        return f"<{self.method} {self.target[:80]} {self.body[:80]!r}>"


class Reader:
    """more() gives the next bytes of the connection, none at its end."""

    def __init__(self, more):
        self.more = more
        self.pending = b""

    def fill(self):
        piece = self.more()
        if not piece:
            raise Cut(f"in {self.pending[:80]!r}")
        self.pending += piece

    def line(self):
        while (end := self.pending.find(b"\n")) < 0:
            if len(self.pending) > MAX_LINE:
                raise Violation("a line without end")
            self.fill()
        line, self.pending = self.pending[:end + 1], self.pending[end + 1:]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Violation(f"a line end that is not CRLF: {line[:80]!r}")
        return line[:-2]

    def take(self, n):
        parts = [self.pending[:n]]
        left, self.pending = n - len(parts[0]), self.pending[n:]
        while left:
            self.fill()
            parts.append(self.pending[:left])
            self.pending = self.pending[left:]
            left -= len(parts[-1])
        return b"".join(parts)

    def fields(self):
        fields = []
        while line := self.line():
            if not (match := FIELD_LINE.fullmatch(line)):
                raise Violation(f"field line {line[:80]!r}")
            fields.append((match[1], match[2]))
        return fields

    def head(self):
        """The next head; None when the connection ends between messages."""
        if not self.pending:
            self.pending = self.more()
            if not self.pending:
                return None
        line = self.line()
        if not (match := REQUEST_LINE.fullmatch(line)):
            raise Violation(f"request line {line[:80]!r}")
        request = Request(match[1], match[2], self.fields())
        if len(request.all(b"host")) != 1 or not request.get(b"host"):
            raise Violation("not exactly one Host")
        return request

    def body(self, request):
        """Read it into the request: by exactly one framing, or there is none."""
        lengths, codings = request.all(b"content-length"), request.all(b"transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise Violation(f"framed twice: {lengths} {codings}")
        if codings:
            if codings[0] != b"chunked":
                raise Violation(f"coding {codings[0]!r}")
            request.body = self.chunks()
        elif lengths:
            if not re.fullmatch(rb"0|[1-9][0-9]{0,14}", lengths[0]):
                raise Violation(f"length {lengths[0]!r}")
            request.body = self.take(int(lengths[0]))

    def chunks(self):
        parts = []
        while True:
            line = self.line()
            if not CHUNK_LINE.fullmatch(line):
                raise Violation(f"chunk line {line[:80]!r}")
            if int(line, 16) == 0:
                break
            parts.append(self.take(int(line, 16)))
            if self.take(2) != b"\r\n":
                raise Violation("a chunk longer than it says")
        for name, _ in self.fields():
            if name.lower() in (*CONNECTION_OWN, b"content-length", b"host"):
                raise Violation(f"trailer {name!r}")
        return b"".join(parts)
