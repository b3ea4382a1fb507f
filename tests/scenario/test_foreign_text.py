"""Opened text is foreign input: the nine tokens that anyone can make from an
app's public key (tests/unit/foreign_text.json), sent through a response."""
import json
import pathlib

import pytest

import token_codec
from conftest import Origin, route

TABLE = json.loads((pathlib.Path(__file__).parents[1] / "unit/foreign_text.json").read_text())
CASES = TABLE


@pytest.fixture(scope="module")
def echo(shared, tmp_path_factory, ca):
    origin = Origin(tmp_path_factory.mktemp("origin"), ca)
    shared.relay("echo.test", origin, [route("POST", "/**", decrypt=["$..*"])])
    shared.ctl("role", "put", shared.app()[0], "forbidden-role",
               data=b'{"default":"forbid","rules":[]}')
    yield origin
    origin.end()


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
@pytest.mark.parametrize("version", ["QkTC", "S0lS", "Tk9D"])
def test_foreign_text_cannot_break_out(shared, echo, case, version):
    place = case["places"].get("json")
    # What a policy forbids is not a matter of text: the engine's, not the parser's.
    if place is None or not (place.get("available", True) or case.get("role")):
        pytest.skip(f"{case['name']}: its place does not exist in this version")
    if case.get("role") and not token_codec.VERSIONS[version][-1]:
        pytest.skip(f"{case['name']}: tokens of this version have no role")
    curve = token_codec.VERSIONS[version][0]
    public = shared.app_keys()[curve][0].public_key()
    token = token_codec.make(public, bytes.fromhex(case["hex"]), case["type"], version,
                             role=case.get("role"))
    body = b'{"before":1,"t":"%s","after":[2]}' % token.encode()
    reply = shared.post("echo.test", "/x", body)
    assert reply.status == 200
    want = body if place.get("undecryptable") else body.replace(
        b'"%s"' % token.encode(), place["bytes"].encode())
    assert reply.body == want
    document = json.loads(reply.body)
    assert list(document) == ["before", "t", "after"]


def test_tokens_of_another_app_and_changed_ones_stay(shared, echo):
    other = shared.app("other")
    assert other
    public = shared.app_keys("other")["r1"][0].public_key()
    token = token_codec.make(public, "not yours")
    mine = token_codec.make(shared.app_keys()["r1"][0].public_key(), "mine")
    body = json.dumps({"t": token, "m": mine, "half": mine[:-3], "debug":
                       "ev:debug:" + mine[3:]}).encode()
    reply = shared.post("echo.test", "/x", body)
    assert reply.body == body.replace(b'"%s"' % mine.encode(), b'"mine"', 1)
