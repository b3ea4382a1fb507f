"""Answers of origins from curl's and llhttp's collections, as they stand: what the
client gets is what Python's http.client makes of the same bytes, or the answer is
refused for one of the reasons below, or it is cut and looks cut.  Pairs of words:
an answer is `whole` when nothing of its framing is missing."""
import base64
import http.client
import io
import json
import re

import pytest

import strict_http
from conftest import ScriptedOrigin
from suites import CASES, HOST, Failures, closing, llhttp, llhttp_refuses, need, road, talk

need("http-origin-responses", "http-llhttp")
# Why an answer that http.client takes is no answer here.  It is mended by nobody:
# what two readers could see differently is a 502.
REASONS = {
    "LF": "a line of the head ends in LF alone",
    "end": "it ends inside the head",
    "status": "the first line is no status line of HTTP/1",
    "upgrade": "101, and nobody asked",
    "fold": "a folded line",
    "field": "a line that is no field",
    "coding": "a transfer coding other than chunked, once",
    "coding 1.0": "a transfer coding in HTTP/1.0",
    "twice": "framed by a length and a coding, or by several lengths",
    "length": "a length that is no number",
    "chunks": "a chunk line or trailer that is none",
}
# Content-Length is compared apart; an origin is no proxy that could ask for a key.
HOP_BY_HOP = {*strict_http.CONNECTION_OWN, b"proxy-authenticate", b"content-length",
              b"x-evervault-ctx"}
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{1,15}(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
BROKEN = (502, "upstream-protocol-error")
FORGED = b"HTTP/1.1 200 OK\r\nX-Target: forged\r\nContent-Length: 6\r\n\r\nforged"


# ---- the oracles ------------------------------------------------------------------------

def head_and_rest(raw):
    match = re.match(rb"(?s)(.*?\n)\r?\n", raw)
    return (match[1], raw[match.end():]) if match else (None, b"")


def heads(raw):
    """Interim heads, then the final one; and what follows."""
    out = []
    while True:
        head, raw = head_and_rest(raw)
        out.append(head)
        if head is None or not re.match(rb"HTTP/1\.[01] 1(?!01)[0-9][0-9]", head):
            return out, raw


def refusal_of_head(head):
    if head is None:
        return "end"
    if re.search(rb"(?<!\r)\n", head):
        return "LF"
    first, *lines = head.removesuffix(b"\r\n").split(b"\r\n")
    status = STATUS_LINE.fullmatch(first)
    if not status or status[2] == b"101":
        return "upgrade" if status else "status"
    fields = [strict_http.FIELD_LINE.fullmatch(line) for line in lines]
    if not all(fields):
        return "fold" if any(line[:1] in b" \t" for line in lines) else "field"
    lengths, codings = ([f[2] for f in fields if f[1].lower() == name]
                        for name in (b"content-length", b"transfer-encoding"))
    if codings and codings != [b"chunked"]:
        return "coding"
    if codings and status[1] == b"0":
        return "coding 1.0"
    if len(lengths) + len(codings) > 1:
        return "twice"
    return "length" if lengths and not re.fullmatch(rb"[0-9]{1,18}", lengths[0]) else None


def refusal_of_chunks(rest):
    """Broken, as far as they came; that they are cut is no refusal."""
    while rest:
        line, end, rest = rest.partition(b"\n")
        if not end:
            return None
        if not line.endswith(b"\r") or not CHUNK_LINE.fullmatch(line[:-1]):
            return "chunks"
        size = int(re.match(rb"[0-9A-Fa-f]+", line)[0], 16)
        if size == 0:
            trailers = rest.split(b"\r\n\r\n")[0] if rest[:2] != b"\r\n" else b""
            return None if all(map(strict_http.FIELD_LINE.fullmatch,
                                   filter(None, trailers.split(b"\r\n")))) else "chunks"
        if not (b"\r\n" + rest[size + 2:]).startswith(rest[size:size + 2] or b"\r\n"):
            return "chunks"
        rest = rest[size + 2:]
    return None


def refusal(raw, method):
    """The reason why this must be no answer; None when it is one."""
    every, rest = heads(raw)
    if reason := next(filter(None, map(refusal_of_head, every)), None):
        return reason
    if method == b"HEAD" or re.match(rb"HTTP/1\.[01] (204|304)", every[-1]):
        return None
    if re.search(rb"(?i)\ntransfer-encoding:", every[-1]):
        return refusal_of_chunks(rest)
    return None


class Direct:
    """What http.client gets from these bytes: `whole` or cut; None: nothing."""

    def __init__(self, raw, method):
        every, rest = heads(raw)
        self.raw = (every[-1] or b"") + b"\r\n" + rest
        self.body, self.whole, self.ends_by_close = b"", True, False
        reply = http.client.HTTPResponse(self, method=method.decode())
        try:
            reply.begin()
            self.status = reply.status
            self.fields = [(n.encode("latin-1"), v.strip().encode("latin-1"))
                           for n, v in reply.getheaders()]
            self.ends_by_close = reply.length is None and not reply.chunked
            self.body = reply.read()
        except http.client.IncompleteRead as e:
            self.whole, self.body = False, e.partial
        except (http.client.HTTPException, ValueError, OverflowError):
            self.whole, self.status = False, None

    def makefile(self, _):
        return io.BytesIO(self.raw)


def end_to_end(fields):
    named = {w.strip().lower() for n, v in fields if n.lower() == b"connection"
             for w in v.split(b",")}
    return [(n, v) for n, v in fields if n.lower() not in HOP_BY_HOP | named]


# ---- the cases --------------------------------------------------------------------------

def mended(raw):
    """The same answer with CRLF in its heads, so that the rest of it is judged too."""
    every, rest = heads(raw)
    if None in every:
        return raw
    return b"".join(re.sub(rb"\r?\n", b"\r\n", h) + b"\r\n" for h in every) + rest


def curl_cases():
    for case in json.loads((CASES / "http-origin-responses/responses.json").read_text()):
        name, raw = f"{case['id']} {case['name']}", base64.b64decode(case["raw_b64"])
        yield name, raw, None
        if mended(raw) != raw:
            yield f"{name}, mended", mended(raw), None


CURL = list(curl_cases())
LLHTTP = list(llhttp("response"))


@pytest.fixture(scope="module")
def served(tmp_path_factory, ca):
    """The origin answers /<collection>/<number>/<ending> from the collections and
    anything else, on the same connection, as itself."""
    cases = {b"curl": CURL, b"llhttp": LLHTTP}

    def script(peer):
        while True:
            target = peer.request()[0].split(b" ")[1]
            if target.startswith(b"/probe"):
                peer.send(b"HTTP/1.1 200 OK\r\nX-Target: %s\r\nContent-Length: 0\r\n\r\n" % target)
                continue
            _, collection, number, ending = target.split(b"/")
            raw = cases[collection][int(number)][1]
            peer.send(raw + (FORGED if ending == b"forged" else b""))
            if ending == b"goodbye":
                peer.goodbye()
            if ending in (b"goodbye", b"broken"):
                return
    with road(tmp_path_factory, ca) as r:
        answers = ScriptedOrigin(ca, script)
        r.relay(HOST, to=answers)
        yield r
        answers.close()
        assert answers.faults == []


def ask(served, collection, number, ending, method=b"GET", version=b"1.1"):
    request = closing(b"/%s/%d/%s" % (collection, number, ending), HOST)
    got = talk(served.stack, request.replace(b"GET", method, 1).replace(b"/1.1", b"/" + version, 1),
               methods=[method])
    assert len(got) <= 1, got
    return got[0] if got else None


def expect_none(a):
    """A refusal that says so, or an answer that looks cut."""
    assert a is None or not a.whole or (a.status, a.code) == BROKEN, a


def expect(a, raw, method=b"GET"):
    direct, reason = Direct(raw, method), refusal(raw, method)
    if reason and reason != "chunks":
        assert a and a.whole and (a.status, a.code) == BROKEN, f"{a} for: {REASONS[reason]}"
        return False
    if reason or not direct.whole:
        expect_none(a)
        return False
    assert a is not None and a.whole, "it is whole for http.client"
    assert (a.status, a.body) == (direct.status, direct.body), a
    assert a.code is None and a.field(b"x-evervault-ctx")
    assert end_to_end(a.fields) == end_to_end(direct.fields)
    lengths = [dict((n.lower(), v) for n, v in f).get(b"content-length")
               for f in (a.fields, direct.fields)]
    assert lengths[0] in (None, lengths[1]) and (method != b"HEAD" or lengths[0] == lengths[1])
    return True


@pytest.mark.parametrize("version", [b"1.1", b"1.0"], ids=bytes.decode)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"], ids=bytes.decode)
def test_curl(served, method, version):
    """Served and closed, to clients of both versions."""
    failures, taken = Failures(), 0
    for number, (name, raw, _) in enumerate(CURL):
        with failures.of(name):
            taken += expect(ask(served, b"curl", number, b"goodbye", method, version), raw, method)
    failures.check(600)
    print(f"{taken} of {len(CURL)} taken")
    assert taken > 350


@pytest.mark.parametrize("version", [b"1.1", b"1.0"], ids=bytes.decode)
def test_curl_broken_off(served, version):
    """An answer that ends with its connection needs a goodbye, or it is cut."""
    failures = Failures()
    for number, (name, raw, _) in enumerate(CURL):
        direct = Direct(raw, b"GET")
        if refusal(raw, b"GET") or not direct.ends_by_close:
            continue
        with failures.of(name):
            expect_none(ask(served, b"curl", number, b"broken", version=version))
    failures.check(60)


def test_curl_and_a_forged_answer_behind(served):
    """The connection stays, with an answer on it that nobody asked for: the next
    request never gets it."""
    failures = Failures()
    for number, (name, raw, _) in enumerate(CURL):
        direct = Direct(raw, b"GET")
        if refusal(raw, b"GET") or direct.ends_by_close or not direct.whole:
            continue
        with failures.of(name):
            assert expect(ask(served, b"curl", number, b"forged"), raw)
            served.probe()
    failures.check(300)


def test_llhttp(served):
    """And what llhttp's log says of the same bytes."""
    failures = Failures()
    for number, (name, raw, log) in enumerate(LLHTTP):
        with failures.of(name):
            a = ask(served, b"llhttp", number, b"goodbye")
            taken = expect(a, raw)
            if llhttp_refuses(log):
                expect_none(a)
            elif taken:
                body = b"".join(raw[int(at):int(at) + int(n)] for at, n in re.findall(
                    r"off=(\d+) len=(\d+) span\[body\]", log))
                assert a.body == body
    failures.check(len(LLHTTP))


def test_every_reason_is_met():
    met = {refusal(raw, b"GET") for _, raw, _ in CURL + LLHTTP}
    assert met - {None} <= set(REASONS)
    assert len(met) > 7, met
