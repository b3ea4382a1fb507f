"""The web platform's urlencoded cases through form selectors: the pairs that are
named are sealed with what the standard says they hold, every other byte stands."""
import json
from urllib.parse import unquote_to_bytes

import pytest

from conftest import TOKEN
from suites import HOST, files, need, road

need("urlencoded")
PARSED = [(c["input"].encode(), c["output"]) for p in files("urlencoded", "*.json")
          for c in json.loads(p.read_text())]
FORM = "application/x-www-form-urlencoded"


def decoded(raw):
    return unquote_to_bytes(raw.replace(b"+", b" "))


def pairs(body):
    """[(piece, name, value)...] of the oracle: raw piece, decoded name and value."""
    out = []
    for piece in body.split(b"&"):
        name, _, value = piece.partition(b"=")
        out.append((piece, decoded(name), decoded(value)))
    return out


def names(body):
    """Those a selector can spell: not empty, and UTF-8."""
    found = []
    for piece, name, _ in pairs(body):
        try:
            text = name.decode()
        except UnicodeDecodeError:
            continue
        if piece and text and text not in found:
            found.append(text)
    return found


def rule(path, selectors):
    return {"method": "POST", "path": path, "request": [
        {"action": "encrypt", "selections": [{"type": "form", "selector": s} for s in selectors]}]}


@pytest.fixture(scope="module")
def served(tmp_path_factory, ca):
    with road(tmp_path_factory, ca) as r:
        routes = [rule("/none", ["zz_absent"])]
        for i, (body, _) in enumerate(PARSED):
            if names(body):
                routes += [rule(f"/all/{i}", names(body)), rule(f"/last/{i}", names(body)[-1:])]
        r.relay(HOST, routes)
        r.open_token = r.opener()
        yield r


def check(served, path, body, chosen):
    reply, seen = served.post(path, body, content_type=FORM)
    assert reply.status == 200, reply
    got = seen[0].body.split(b"&")
    want = pairs(body)
    assert len(got) == len(want), got
    for piece, (raw, name, value) in zip(got, want):
        if raw and name in chosen:
            left, equals, right = piece.partition(b"=")
            assert (left, equals) == (raw.partition(b"=")[0], b"=")
            token = decoded(right)
            assert TOKEN.fullmatch(token), piece
            assert served.open_token(token.decode())[:2] == ("string", value)
        else:
            assert piece == raw


@pytest.mark.parametrize("number", range(len(PARSED)), ids=lambda i: repr(PARSED[i][0]))
def test_urlencoded(served, number):
    body, output = PARSED[number]
    assert [[n.decode(errors="replace"), v.decode(errors="replace")]
            for raw, n, v in pairs(body) if raw] == output, "the oracle agrees with the case"
    check(served, "/none", body, [])
    if names(body):
        check(served, f"/all/{number}", body, [n.encode() for n in names(body)])
        check(served, f"/last/{number}", body, [names(body)[-1].encode()])
