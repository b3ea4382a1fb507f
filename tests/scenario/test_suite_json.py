"""JSON documents of others through the whole road: accepted or refused rightly,
every byte beside the chosen values equal at the origin, and all of them back at
the client.  Verdicts are those of the collections and of json_oracle."""
import pytest

import json_oracle
from conftest import route, seal
from suites import HOST, OPEN, Failures, files, need, road

need("json-parsing", "json-transform", "json-numbers", "json-documents", "json-documents-2",
     "fuzz-seeds/json")
PARSING = files("json-parsing", "*.json")
DOCUMENTS = [p for name in ("json-transform", "json-documents", "json-documents-2")
             for p in files(name, "*.json")]
NUMBERS = files("json-numbers", "*.txt")
MAX_DEPTH = 128         # the product's, docs/errors.md
SECRET = '{"zz_chosen":"4111 1111 1111 1111","doc":'


@pytest.fixture(scope="module")
def served(tmp_path_factory, ca):
    with road(tmp_path_factory, ca) as r:
        r.relay(HOST, [
            route("POST", "/all", encrypt=["$..*"], decrypt=["$..*"]),
            route("POST", "/whole", encrypt=["$"], decrypt=["$"]),
            seal("POST", "/one", "$..zz_chosen"),
            route("POST", "/numbers", encrypt=["$.chosen"], decrypt=["$.chosen"])])
        r.relay(OPEN)
        r.open_token = r.opener()
        yield r


def oracle(body):
    try:
        return json_oracle.parse(body)
    except json_oracle.Malformed:
        return None


def expect_refused(reply, seen):
    assert (reply.status, reply.code) == (400, "malformed-body"), reply
    assert seen == [], "nothing of it reaches the origin"


def expect(served, path, body, leaves_of, **options):
    """The road's verdict on this body is the oracle's, and so are its bytes."""
    reply, seen = served.post(path, body, **options)
    if not body and not options:
        assert reply.status == 200 and seen[0].body == b"", "a message without body"
        return
    root = oracle(body)
    leaves = leaves_of(root) if root else []
    if (root is None or json_oracle.depth(root) > MAX_DEPTH
            or any(map(json_oracle.lone_surrogate, leaves))):
        expect_refused(reply, seen)
        return
    assert reply.status == 200, reply
    json_oracle.check_sealed(body, seen[0].body, leaves, served.open_token)
    if path != "/one":
        json_oracle.check_opened(body, reply.body, leaves)


def chosen_by(query):
    return lambda root: json_oracle.chosen(root, [query])


def document(served, body):
    """All that is asked of one document."""
    expect(served, "/all", body, chosen_by(json_oracle.EVERYTHING))
    if len(body) < 100_000:
        expect(served, "/whole", body, chosen_by([]))
    one = chosen_by([(True, [("name", "zz_chosen")])])
    expect(served, "/one", body, one)
    wrapped = SECRET.encode() + body + b' , "zz_chosen" : 4111 }'
    expect(served, "/one", wrapped, one)
    step = max(7, len(wrapped) // 64)
    expect(served, "/one", wrapped, one,
           chunks=[wrapped[i:i + step] for i in range(0, len(wrapped), step)])
    reply, seen = served.post("/all", body, host=OPEN)
    assert (reply.status, reply.body, seen[0].body) == (200, body, body), "pass-through"


@pytest.mark.parametrize("path", PARSING, ids=lambda p: p.stem)
def test_json_parsing(served, path):
    body = path.read_bytes()
    root = oracle(body)
    assert path.name[0] == "i" or (root is not None) == (path.name[0] == "y"), (
        "the oracle of this test agrees with the collection")
    document(served, body)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.stem)
def test_whole_documents(served, path):
    body = path.read_bytes()
    if "EXCLUDE" not in path.name and path.parent.name == "jsonchecker":
        assert (oracle(body) is not None) == path.name.startswith("pass")
    document(served, body)


def test_fuzz_seeds(served):
    """Bodies found by a fuzzer: the oracle's verdict on each, and its bytes."""
    failures = Failures()
    for path in files("fuzz-seeds/json"):
        with failures.of(path.name):
            document(served, path.read_bytes())
    failures.check(80)


def texts():
    return sorted({line.split()[3] for p in NUMBERS for line in p.read_text().splitlines()
                   if len(line.split()) == 4})


def test_numbers_keep_their_text(served):
    """Every legal one of the collection, once chosen and once beside: sealed as it
    stands, opened as it stands."""
    legal = [t.encode() for t in texts() if json_oracle.NUMBER.fullmatch(t.encode())]
    assert len(legal) > 1000
    items = b",".join(legal)
    body = b'{"chosen":[' + items + b'],"kept":[' + items + b"]}"
    expect(served, "/numbers", body, chosen_by([(False, [("name", "chosen")])]))
    reply, seen = served.post("/numbers", body, host=OPEN)
    assert reply.body == seen[0].body == body


def test_what_is_no_json_number_is_refused(served):
    failures = Failures()
    for text in texts():
        if not json_oracle.NUMBER.fullmatch(text.encode()):
            with failures.of(text[:60]):
                expect_refused(*served.post("/numbers", b"[" + text.encode() + b"]"))
    failures.check(20)
