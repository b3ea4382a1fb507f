"""External JSON documents posted through the whole road: accepted or refused
rightly, every byte outside the chosen values equal, and back again."""
import json

import pytest

from conftest import SHARED, TOKEN, Origin, route

PARSING = sorted((SHARED / "suites/json-parsing").glob("*.json"))
DOCUMENTS = sorted((SHARED / "suites/json-documents").glob("*.json")) + sorted(
    (SHARED / "suites/json-documents-2").rglob("*.json")) + sorted(
    (SHARED / "suites/json-transform").glob("*.json"))


@pytest.fixture(scope="module")
def served(shared, tmp_path_factory, ca):
    if not PARSING:
        pytest.skip("the external suites are not beside the project (RELAY_SHARED)")
    origin = Origin(tmp_path_factory.mktemp("origin"), ca)
    shared.relay("json.relay.test", origin, [
        route("POST", "/both", encrypt=["$..*"], decrypt=["$..*"])])
    shared.json_origin = origin
    yield shared
    origin.end()


def same(a, b):
    """Equal but for how a chosen string is escaped: number text, member order and
    duplicates count."""
    def load(data):
        return json.loads(data, parse_int=str, parse_float=str, object_pairs_hook=list)
    return a == b or (b"\\" in b and load(a) == load(b))


@pytest.mark.parametrize("path", PARSING, ids=lambda p: p.stem)
def test_json_parsing(served, path):
    body = path.read_bytes()
    before = len(served.json_origin.seen())
    reply = served.post("json.relay.test", "/both", body)
    kind = path.name[0]
    if kind == "n" and body:
        assert (reply.status, reply.code) == (400, "malformed-body")
        assert len(served.json_origin.seen()) == before
    elif kind == "y":
        assert reply.status == 200
        assert same(reply.body, body), "what comes back is what was sent"
    else:
        assert reply.status in (200, 400)
        if reply.status == 200 and body:
            assert same(reply.body, body)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.stem)
def test_whole_documents_come_back_byte_for_byte(served, path):
    body = path.read_bytes()
    reply = served.post("json.relay.test", "/both", body)
    if reply.status == 200:
        assert same(reply.body, body)
        assert TOKEN.search(served.json_origin.last().body) or body == served.json_origin.last().body
    else:
        assert reply.code in ("malformed-body", "too-many-fields")
        if "invalid_codepoint" in path.name:
            return          # a lone surrogate has no UTF-8: Python takes it, we do not
        with pytest.raises(ValueError):
            json.loads(body)
