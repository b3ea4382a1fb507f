"""Requests of llhttp's and http-desync-guardian's collections, raw at the
listener: what the origin's strict reader sees is what those projects say the
bytes mean, or the case is refused and closed with nothing of it at the origin.
Each one whole and in records of one byte, and a probe after each."""
import ast
import re

import pytest

from suites import FIELDS, HOST, files, llhttp, llhttp_refuses, need, road

need("http-llhttp", "http-desync")

# llhttp takes these, the product does not.
LLHTTP_REFUSED = {
    "SOURCE request with ICE": "not HTTP",
    "OPTIONS request with RTSP": "not HTTP",
    "ANNOUNCE request with RTSP": "not HTTP",
    "PRI request HTTP2": "not HTTP/1; * is for OPTIONS alone",
    "M-SEARCH request": "* is for OPTIONS alone",
    "CONNECT with body": "no tunnels on an ingress listener",
    "CONNECT request": "no tunnels on an ingress listener",
    "CONNECT request with CAPS": "no tunnels on an ingress listener",
    "No HTTP version": "HTTP/0.9",
}
# http-desync-guardian calls these compliant, the product does not.
DESYNC_REFUSED = {
    "Different Transfer-Encoding headers": "only chunked alone",
    "Different Transfer-Encoding headers combined": "only chunked alone",
    "Transfer-Encoding with a param: chunked;custom_param": "only chunked alone",
    "Compliant URL": "'#' in a target: readers cut there or do not",
    "Empty URI": "no target at all",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory, ca):
    with road(tmp_path_factory, ca) as r:
        r.relay(HOST)
        yield r


def expect_refused(answers):
    assert answers, "an answer"
    a = answers[-1]
    assert a.whole and 400 <= a.status <= 505 and a.code and a.closing, answers


# ---- llhttp ---------------------------------------------------------------------------

class Llhttp:
    """A case, and what llhttp's log says its bytes mean."""

    def __init__(self, name, raw, log):
        self.name, self.raw = name, raw
        self.refused = llhttp_refuses(log)
        self.upgrade = "Pause on CONNECT/Upgrade" in log    # what follows is no HTTP
        self.messages = []          # the last may be unfinished
        self.finished = 0
        self.edits = []             # (at, until, bytes): each message gets our Host
        host_next = False
        for line in log.splitlines():
            if line.endswith("message begin"):
                self.messages.append({"method": b"", "url": b"", "body": b""})
            elif line.endswith("message complete"):
                self.finished += 1
            elif m := re.match(r'off=(\d+) len=(\d+) span\[(\w+)\]=', line):
                at, until, kind = int(m[1]), int(m[1]) + int(m[2]), m[3]
                span = raw[at:until]
                if kind in ("method", "url", "body"):
                    self.messages[-1][kind] += span
                elif kind == "header_field":
                    host_next = span.lower() == b"host"
                elif kind == "header_value" and host_next:
                    self.edits.append((at, until, HOST.encode()))
                    self.messages[-1]["host"] = True
            elif m := re.match(r"off=(\d+) headers complete", line):
                if self.messages and "host" not in self.messages[-1]:
                    self.messages[-1]["host"] = self.insert_before(int(m[1]))

    def insert_before(self, head_end):
        start = self.raw.rfind(b"\r\n\r\n", 0, head_end)
        if start >= 0:
            self.edits.append((start + 2, start + 2, FIELDS))
        return start >= 0

    def hosted(self):
        """The raw bytes, our Host in each message that has a head."""
        raw = self.raw
        for at, until, text in sorted(self.edits, reverse=True):
            raw = raw[:at] + text + raw[until:]
        return raw

    def meant(self):
        return [(m["method"], m["url"], m["body"]) for m in self.messages[:self.finished]]


LLHTTP = [Llhttp(*case) for case in llhttp("request")]


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
@pytest.mark.parametrize("case", LLHTTP, ids=lambda c: c.name)
def test_llhttp_request(served, case, pieces):
    meant = case.meant()
    refused = case.refused or case.name in LLHTTP_REFUSED
    whole = case.finished == len(case.messages) and not refused
    # llhttp refuses in the middle of a head, we at its end.
    answers, seen = served.case(case.hosted() + (b"\r\n\r\n" if refused else b""),
                                fence=whole, last=not whole and not refused,
                                methods=[m for m, _, _ in meant], one_by_one=pieces != "whole")
    got = [(r.method, r.target, r.body) for r in seen]
    assert got == meant[:len(got)], "nothing but what was meant, in its order"
    if refused:
        expect_refused(answers)
        assert len(got) <= case.finished and (case.refused or got == [])
    elif whole:
        closing = re.search(rb"(?i)connection: *close|HTTP/1\.0", case.raw)
        assert got and (got == meant or closing), answers
        statuses = [a.status for a in answers]
        assert statuses[:len(got)] == [200] * len(got)
        if statuses[len(got):]:
            assert case.upgrade, "the origin did not upgrade: what follows is no request"
            expect_refused(answers)


@pytest.mark.parametrize("case", LLHTTP, ids=lambda c: c.name)
def test_llhttp_request_for_no_host_of_ours(served, case):
    """As it stands in the collection: another Host or none never gets through."""
    answers, seen = served.case(case.raw + b"\r\n\r\n")
    assert seen == []
    assert 400 <= answers[0].status <= 505 and answers[0].code, answers


# ---- http-desync-guardian ---------------------------------------------------------------

def scalar(text):
    """A YAML scalar as these files use them: 'x', "x" with escapes, or x."""
    text = text.strip()
    if text[:1] == '"':
        return ast.literal_eval(text).encode("latin-1", "replace")
    return (text[1:-1] if text[:1] == "'" else text).encode()


def desync_cases():
    """[(name, tier, method, uri, version, [(field, value)...])...]"""
    for path in files("http-desync", "*.yaml"):
        for block in re.split(r"(?m)^(?=- name:)", path.read_text())[1:]:
            block = re.sub(r"(?m)^\s*#.*$", "", block)
            top = {k: scalar(v) for k, v in re.findall(
                r"(?m)^(?:- |  )(name|uri|method|version):(.*)$", block)}
            fields = re.findall(r"(?m)^    - name:(.*)\n      value:(.*)$", block)
            tier = re.search(r"(?m)^    tier:(.*)$", block)[1].strip()
            yield (top["name"].decode(), tier, top.get("method", b""), top.get("uri", b""),
                   top.get("version", b""), [(scalar(n), scalar(v)) for n, v in fields])


DESYNC = list(desync_cases())


def framed_body(fields):
    """A body as a plain reader of these fields would frame it, and what it holds."""
    lower = {n.lower(): v for n, v in fields}
    if b"transfer-encoding" in lower:
        return b"5\r\nmeant\r\n0\r\n\r\n", b"meant"
    length = lower.get(b"content-length", b"")
    n = int(length) if length.isdigit() and len(length) < 5 else 0
    return b"x" * n, b"x" * n


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
@pytest.mark.parametrize("case", DESYNC, ids=lambda c: f"{c[1]}: {c[0]}")
def test_desync_request(served, case, pieces):
    name, tier, method, uri, version, fields = case
    if not any(n.lower().strip() == b"host" for n, _ in fields):
        fields = [(b"Host", HOST.encode()), *fields]
    head = b" ".join([method, uri, version]) + b"\r\n" + b"".join(
        b"%s: %s\r\n" % f for f in fields) + b"\r\n"
    body, meant = framed_body(fields)
    answers, seen = served.case(head + body, methods=[method], one_by_one=pieces != "whole")
    if tier in ("Severe", "Ambiguous") or name in DESYNC_REFUSED:
        expect_refused(answers)
        assert seen == []
        assert answers[0].status == 400 or tier == "Compliant", answers
    elif answers[-1].code:
        assert tier == "Acceptable", f"compliant, and refused: {answers}"
        expect_refused(answers)
        assert seen == []
    else:
        request, = seen
        assert (request.method, request.body) == (method, meant)


def test_the_collections_are_read(served):
    assert len(LLHTTP) > 50 and len(DESYNC) > 50
    assert {c.name for c in LLHTTP} >= set(LLHTTP_REFUSED)
    assert {c[0] for c in DESYNC} >= set(DESYNC_REFUSED)
