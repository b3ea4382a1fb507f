"""smuggler's 891 malformed Transfer-Encoding lines beside a Content-Length, on the
wire: refused and closed with nothing at the origin, or one request there whose
body is what the length says.  Each one whole and in records of one byte, and
after each a probe that must get its own answer."""
import base64
import json
import re

import pytest

from suites import CASES, FIELDS, HOST, Failures, need, road

need("http-te-gadgets")
GADGETS = json.loads((CASES / "http-te-gadgets/gadgets.json").read_text())
# To who takes the length one body; to who takes the chunks an empty one and
# another request behind it.
BODY = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + FIELDS + b"\r\n"
GROUPS = sorted({g["id"].split("/")[0] for g in GADGETS})


@pytest.fixture(scope="module")
def served(tmp_path_factory, ca):
    with road(tmp_path_factory, ca) as r:
        r.relay(HOST)
        yield r


def post(line, length_first):
    length = b"Content-Length: %d\r\n" % len(BODY)
    both = length + line + b"\r\n" if length_first else line + b"\r\n" + length
    return b"POST /gadget HTTP/1.1\r\n" + FIELDS + both + b"\r\n" + BODY


def judge(line, answers, seen):
    assert len(answers) == 1 and answers[0].whole, answers
    # Those that are whole and sound field lines of another name say nothing on
    # the framing: the words stand in a value.
    if re.fullmatch(rb"X: [\t\x20-\x7e\x80-\xff]*", line):
        request, = seen
        assert answers[0].status == 200, answers
        assert (request.method, request.target, request.body) == (b"POST", b"/gadget", BODY)
        assert request.get(b"x") == line[3:]
        return "forwarded"
    assert answers[0].status in (400, 501) and answers[0].code and answers[0].closing, answers
    assert seen == [], "refused, and nothing of it at the origin"
    return "refused"


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
@pytest.mark.parametrize("group", GROUPS)
def test_gadgets(served, group, pieces):
    failures, verdicts = Failures(), []
    for i, gadget in enumerate(g for g in GADGETS if g["id"].startswith(group + "/")):
        line = base64.b64decode(gadget["header_b64"])
        with failures.of(gadget["id"]):
            verdicts.append(judge(line, *served.case(post(line, length_first=i % 2 == 0),
                                                     one_by_one=pieces != "whole")))
    print(f"{group}, {pieces}: {verdicts.count('refused')} refused, "
          f"{verdicts.count('forwarded')} forwarded")
    failures.check(60)
