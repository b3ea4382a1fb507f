"""Inputs that fuzzers found for other programs: raw at the listener, as targets,
as bodies nobody looks into.  Each gets an answer or a close, no process dies of
one, and what reaches the origin is HTTP, byte for byte what was sent.  (JSON
seeds are in test_suite_json.)"""
import re

import pytest

from conftest import seal
from suites import FIELDS, HOST, OPEN, Failures, files, in_threads, need, road, talk

need("fuzz-seeds/httpreq", "fuzz-seeds/http2", "fuzz-seeds/url", "fuzz-seeds/multipart",
     "fuzz-seeds/xml")
BOUNDARY = "dfhjksd23f43242f43fv4b4g2g2g23vf2"
TYPES = {"multipart": f"multipart/form-data; boundary={BOUNDARY}", "xml": "text/xml",
         "http2": "application/octet-stream", "httpreq": "message/http"}


@pytest.fixture(scope="module")
def served(tmp_path_factory, ca):
    # What never ends by itself is ended soon: many seeds stop in their middle.
    with road(tmp_path_factory, ca, conf="head_timeout_ms = 500\nbody_timeout_ms = 500\n"
              "idle_timeout_ms = 500") as r:
        r.relay(HOST, [seal("POST", "/sealed", "$..*")])
        r.relay(OPEN)
        yield r


def hosted(data):
    """The same with our Host where the first line ends, so that it goes further."""
    line, end, rest = data.partition(b"\n")
    return line + end + FIELDS + rest if end else data


@pytest.mark.parametrize("kind", ["httpreq", "http2"])
def test_raw_at_the_listener(served, kind):
    seeds = [p.read_bytes() for p in files(f"fuzz-seeds/{kind}")]
    assert len(seeds) > 80

    def send(data):
        for a in talk(served.stack, data):
            assert not a.whole or a.code or a.status == 200, a
    wrong = in_threads(send, seeds + [hosted(s) for s in seeds] +
                       [hosted(s) + b"\r\n\r\n" for s in seeds], threads=16)
    assert not wrong, "\n".join(wrong)
    served.probe()


@pytest.mark.parametrize("host", [HOST, OPEN])
def test_targets(served, host):
    failures = Failures()
    for path in files("fuzz-seeds/url"):
        target = path.read_bytes().rstrip(b"\r\n")
        data = b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host.encode())
        with failures.of(target):
            answers, seen = served.case(data, host=host)
            assert len(answers) == 1 and answers[0].whole, answers
            if answers[0].status == 200:
                request, = seen
                assert target.startswith(b"/") and request.target == target
            else:
                assert answers[0].code and answers[0].closing and seen == [], answers
            assert answers[0].status == 200 or not re.fullmatch(rb"/[0-9a-z/]*", target)
    failures.check(30)


@pytest.mark.parametrize("kind", TYPES)
def test_bodies_nobody_looks_into(served, kind):
    """On a relay without rules, and beside the rules of one."""
    failures = Failures()
    for path in files(f"fuzz-seeds/{kind}"):
        body = path.read_bytes()
        with failures.of(path.name):
            for host, where in ((OPEN, "/sealed"), (HOST, "/other")):
                for chunks in (None, [body[i:i + 97] for i in range(0, len(body), 97)]):
                    reply, seen = served.post(where, body, host=host, chunks=chunks,
                                              content_type=TYPES[kind])
                    assert (reply.status, reply.body) == (200, body)
                    assert [r.body for r in seen] == [body]
                    assert seen[0].get(b"content-type").decode() == TYPES[kind]
    failures.check(80)


@pytest.mark.parametrize("kind", TYPES)
def test_bodies_that_should_be_sealed_and_cannot(served, kind):
    """A type that no selector of the route reads never passes unsealed."""
    for path in files(f"fuzz-seeds/{kind}")[:20]:
        reply, seen = served.post("/sealed", path.read_bytes() or b"x", content_type=TYPES[kind])
        assert (reply.status, reply.code) == (415, "unsupported-content-type"), reply
        assert seen == []
