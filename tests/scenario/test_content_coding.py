"""Bodies with work in gzip, deflate, br and zstd, in both directions: undone,
worked on, sent as identity; broken, swollen and foreign ones.  Peers: a TLS
client and an origin that answers what it is told, both with codings of their
own (Python's zlib, brotli and zstandard), one installation."""
import gzip
import json
import subprocess
import zlib

import brotli
import pytest
import zstandard

from conftest import running, until
from told_origin import (FORM, JSON, action, actions, api, made, relay, reveal,  # noqa: F401
                         reveal_form)

CARD = b"4111111111111111"
SEALS = actions("POST", "/", action("encrypt", "$.v", "form:v", "header:X-V"))
OPENS_BACK = actions(None, "/", (), action("decrypt", "$.v", "header:X-V"))
SEALS_BACK = actions(None, "/", (), action("encrypt", "$.v", "header:X-V"))
MIB = 1 << 20


def raw_deflate(data):
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    return c.compress(data) + c.flush()


def two_members(data):
    return gzip.compress(data[:9]) + gzip.compress(data[9:])


def zstd(data):
    return zstandard.ZstdCompressor().compress(data)


# name in the field -> what its peer makes
CODINGS = [("gzip", gzip.compress), ("x-gzip", two_members), ("deflate", zlib.compress),
           ("deflate", raw_deflate), ("br", brotli.compress), ("zstd", zstd)]
IDS = ["gzip", "x-gzip, members", "deflate", "raw deflate", "br", "zstd"]
UNDO = {"gzip": gzip.decompress, "deflate": zlib.decompress, "br": brotli.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)}
all_codings = pytest.mark.parametrize("name,encode", CODINGS, ids=IDS)


def how(reply):
    return reply.status, reply.code


def post(stack, host, body, coding=None, **options):
    fields = [*options.pop("fields", ()), *([("Content-Encoding", coding)] if coding else [])]
    return stack.post(host, "/", body, fields=fields, **options)


# ---- requests ---------------------------------------------------------------------------

@all_codings
def test_a_request_is_sealed_and_goes_on_as_identity(shared, api, relay, name, encode):
    host = relay(SEALS)
    body = b'{ "v":"%s", "w":1.0}' % CARD
    coded = encode(body)
    for chunks in (None, [coded[i:i + 1] for i in range(len(coded))]):
        reply = post(shared, host, b"" if chunks else coded, name, chunks=chunks,
                     fields=[("Content-MD5", "x"), ("Digest", "sha-256=x"), ("X-V", "4111")])
        assert how(reply) == (200, None)
        got = api.last()
        assert reveal(shared, got.body) == body.replace(b'"%s"' % CARD, b'"[string:%s]"' % CARD)
        assert got.all("Content-Length") == [str(len(got.body))]
        for gone in ("Content-Encoding", "Content-MD5", "Digest", "Transfer-Encoding"):
            assert got.all(gone) == []
        assert reveal(shared, got.all("X-V")[0]) == b"[string:4111]"
    assert how(post(shared, host, encode(b"v=1&w=2"), name, content_type=FORM)) == (200, None)
    assert reveal_form(shared, api.last().body) == b"v=[string:1]&w=2"
    assert CARD.decode() not in shared.logs()


@all_codings
def test_a_long_request_is_read_whole(shared, api, relay, name, encode):
    """One that would be sealed in pieces while it comes, did it come as it is."""
    host = relay(SEALS)
    body = b'{"v":"%s","w":%s}' % (CARD, json.dumps([str(i) for i in range(300_000)]).encode())
    assert len(body) > 2 * MIB
    assert how(post(shared, host, encode(body), name)) == (200, None)
    assert reveal(shared, api.last().body) == body.replace(CARD, b"[string:%s]" % CARD, 1)


@all_codings
def test_what_a_route_does_not_read_passes_as_it_came(shared, api, relay, name, encode):
    coded = encode(b"anything")
    for routes in ([], [actions("POST", "/", action("encrypt", "header:X-V"))]):
        host = relay(*routes)
        assert how(post(shared, host, coded, name, fields=[("Digest", "sha-256=x")])) == (200, None)
        got = api.last()
        assert got.body == coded and got.all("Content-Encoding") == [name]
        assert got.all("Digest") == ["sha-256=x"]


@all_codings
@pytest.mark.parametrize("rule", ["reject", "forward"])
def test_a_broken_request(shared, api, relay, name, encode, rule):
    """Cut, followed by more, or not of that coding at all: never a part of it."""
    host = relay(SEALS, onMismatch=rule)
    coded = encode(b'{"v":"%s"}' % CARD)
    before = len(api.requests)
    for body in (coded[:-1], coded + b"\0", b'{"v":1}', coded[:len(coded) // 2]):
        reply = post(shared, host, body, name, fields=[("X-V", "4111")])
        if rule == "reject":
            assert how(reply) == (400, "malformed-body")
            assert len(api.requests) == before
            continue
        assert how(reply) == (200, None)
        got = api.last()
        assert got.body == body and got.all("Content-Encoding") == [name.removeprefix("x-")]
        assert reveal(shared, got.all("X-V")[0]) == b"[string:4111]"


@all_codings
def test_a_whole_coding_of_broken_json_is_refused(shared, api, relay, name, encode):
    before = len(api.requests)
    reply = post(shared, relay(SEALS), encode(b'{"v":1'), name)
    assert how(reply) == (400, "malformed-body") and len(api.requests) == before


@pytest.mark.parametrize("coding", ["compress", "gzip, gzip", "gzip, br", "identity, gzip", "dcz", "*"])
def test_codings_that_are_not_undone(shared, api, relay, coding):
    host, before = relay(SEALS), len(api.requests)
    reply = post(shared, host, b'{"v":1}', coding)
    assert how(reply) == (415, "unsupported-content-type") and len(api.requests) == before


@pytest.mark.parametrize("rule", ["reject", "forward"])
@all_codings
def test_the_limit_is_of_the_decoded_body(shared, api, relay, name, encode, rule):
    host = relay(SEALS, onMismatch={"request": rule}, limits={"bodyBytes": 5000})
    text = b"".join(b"%d," % i for i in range(2000))
    fits = b'{"v":1,"w":"%s"}' % text[:4986]
    assert len(fits) == 5000
    assert how(post(shared, host, encode(fits), name)) == (200, None)
    before = len(api.requests)
    assert len(encode(fits)) < 5000
    assert how(post(shared, host, encode(fits + b" "), name)) == (413, "payload-too-large")
    assert how(post(shared, host, b"x" * 5001, name)) == (413, "payload-too-large")
    assert len(api.requests) == before


@all_codings
def test_a_bomb_is_refused(shared, api, relay, name, encode):
    host, before = relay(SEALS), len(api.requests)
    bomb = encode(b'{"v":"' + b"\0" * (200 * MIB) + b'"}')
    small = encode(b'{"v":"' + b"a" * (7 * MIB) + b'"}')        # would be under the limit
    with shared.connect(host) as c:
        for body in (small, bomb) if len(bomb) < 8 * MIB else (small,):
            reply = c.request("POST", "/", body, fields=[("Content-Encoding", name)])
            assert how(reply) == (413, "payload-too-large")
        assert len(api.requests) == before
        # the connection and the worker serve on
        assert how(c.request("POST", "/", encode(b'{"v":1}'),
                             fields=[("Content-Encoding", name)])) == (200, None)


def test_an_empty_body_has_no_coding(shared, api, relay):
    host = relay(SEALS)
    for chunks in (None, []):
        assert how(post(shared, host, b"", "gzip", chunks=chunks)) == (200, None)
        assert api.last().body == b""


def test_a_body_is_encoded_again_by_option(tmp_path_factory, ca, api):
    body = b'{"v":"%s","w":1.0}' % CARD
    with running(tmp_path_factory.mktemp("reencode"), ca, conf="reencode_bodies = true\n") as stack:
        stack.relay("again.relay.test", api, [SEALS])
        for name, encode in CODINGS:
            assert how(post(stack, "again.relay.test", encode(body), name)) == (200, None)
            got = api.last()
            coding = name.removeprefix("x-")
            assert got.all("Content-Encoding") == [coding]
            assert got.all("Content-Length") == [str(len(got.body))]
            assert reveal(stack, UNDO[coding](got.body)) == body.replace(
                CARD, b"[string:%s]" % CARD)
        assert how(post(stack, "again.relay.test", body)) == (200, None)
        assert api.last().all("Content-Encoding") == []


# ---- answers ----------------------------------------------------------------------------

def get(stack, host, accept=None):
    return stack.get(host, fields=[("Accept-Encoding", accept)] if accept else [])


@pytest.mark.parametrize("accept,asked", [
    (None, "identity"), ("gzip, deflate, br, zstd", "zstd, br, gzip, deflate"),
    ("compress, gzip;q=0.5", "gzip;q=0.5"), ("gzip;q=0, br", "br"), ("exi", "identity"),
    ("*", "zstd, br, gzip, deflate"), ("*;q=0", "identity"),
])
def test_a_destination_is_asked_for_what_can_be_undone(shared, api, relay, accept, asked):
    for route in (OPENS_BACK, SEALS_BACK):
        get(shared, relay(route), accept)
        assert api.last().all("Accept-Encoding") == [asked]
    get(shared, relay(), accept)
    assert api.last().all("Accept-Encoding") == ([accept] if accept else [])


@all_codings
def test_an_answer_is_worked_on_and_goes_on_as_identity(shared, api, relay, name, encode):
    token = made(shared, CARD.decode())
    for route, value, worked in ((OPENS_BACK, token.encode(), CARD),
                                 (SEALS_BACK, CARD, b"[string:%s]" % CARD)):
        host, body = relay(route), b'{ "v":"%s","w":1.0}' % value
        coded = encode(body)
        head = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: %s\r\n"
                b'Vary: Accept-Encoding\r\nETag: "e"\r\nDigest: x\r\n' % name.encode())
        for framed in (b"Content-Length: %d\r\n\r\n%s" % (len(coded), coded),
                       b"Transfer-Encoding: chunked\r\n\r\n" +
                       b"".join(b"1\r\n%c\r\n" % c for c in coded) + b"0\r\n\r\n"):
            api.tell_raw(head + framed)
            reply = get(shared, host, name)
            assert how(reply) == (200, None)
            assert reveal(shared, reply.body) == body.replace(value, worked)
            assert reply.field("Content-Encoding") is None
            assert reply.field("Content-Length") == str(len(reply.body))
            assert reply.field("Vary") == "Accept-Encoding"
            assert reply.field("ETag") == 'W/"e"' and reply.field("Digest") is None


@all_codings
def test_a_long_answer_that_is_only_opened_is_read_whole(shared, api, relay, name, encode):
    token = made(shared, "opened").encode()
    body = b'{"v":"%s","w":%s}' % (token, json.dumps([str(i) for i in range(300_000)]).encode())
    api.tell(encode(body), JSON, f"Content-Encoding: {name}")
    reply = get(shared, relay(OPENS_BACK), name)
    assert reply.body == body.replace(token, b"opened")


@all_codings
def test_an_answer_that_cannot_be_undone(shared, api, relay, name, encode):
    """One to be sealed is an error; one to be opened goes on as it came."""
    coded = encode(b'{"v":"%s"}' % CARD)
    swollen = encode(b'{"v":"' + b"a" * (7 * MIB) + b'"}')
    token = made(shared, "4111")
    opens, seals = relay(OPENS_BACK), relay(SEALS_BACK)
    for body in (coded[:-1], coded + b"\0", b'{"v":1}', swollen):
        api.tell(body, JSON, f"Content-Encoding: {name}", f"X-V: {token}")
        reply = get(shared, opens, name)
        assert how(reply) == (200, None) and reply.body == body
        assert reply.field("Content-Encoding") == name.removeprefix("x-")
        assert reply.field("Content-Length") == str(len(body))
        assert reply.field("X-V") == "4111"     # a field is opened all the same
        api.tell(body, JSON, f"Content-Encoding: {name}", "X-V: 4111")
        reply = get(shared, seals, name)
        assert how(reply) == (502, "unsealable-response")
        assert body not in reply.body and reply.field("X-V") is None


@all_codings
def test_an_answer_over_the_limit(shared, api, relay, name, encode):
    text = bytes(b for i in range(20_000) for b in (33 + (i * i >> 3) % 90, 35 + i * 7919 % 58)
                 if b != 92)
    body = b'{"v":"%s","w":"%s"}' % (CARD, text)
    coded = encode(body)
    for limit in (len(body) - 1, len(coded) - 1):
        opens = relay(OPENS_BACK, limits={"bodyBytes": limit})
        seals = relay(SEALS_BACK, limits={"bodyBytes": limit})
        for framed in (b"Content-Length: %d\r\n\r\n%s" % (len(coded), coded),
                       b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
                           len(coded), coded)):
            api.tell_raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                         b"Content-Encoding: %s\r\n" % name.encode() + framed)
            reply = get(shared, opens, name)
            assert how(reply) == (200, None) and reply.body == coded
            assert reply.field("Content-Encoding") in (name, name.removeprefix("x-"))
            assert how(get(shared, seals, name)) == (502, "unsealable-response")


@pytest.mark.parametrize("coding", ["compress", "gzip, br", "gzip, gzip"])
def test_answers_in_codings_that_are_not_undone(shared, api, relay, coding):
    api.tell(b'{"v":1}', JSON, f"Content-Encoding: {coding}")
    reply = get(shared, relay(OPENS_BACK), "gzip")
    assert (reply.body, reply.field("Content-Encoding")) == (b'{"v":1}', coding)
    assert how(get(shared, relay(SEALS_BACK), "gzip")) == (502, "unsealable-response")


def test_a_head_alone_keeps_its_coding(shared, api, relay):
    api.tell_raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                 b"Content-Encoding: gzip\r\nContent-Length: 50\r\n\r\n")
    with shared.connect(relay(SEALS_BACK)) as c:
        reply = c.request("HEAD", "/")
        assert how(reply) == (200, None) and reply.field("Content-Encoding") == "gzip"


# ---- a real client, memory --------------------------------------------------------------

@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_curl_gets_what_it_can_read(shared, api, relay, ca, coding):
    if coding not in subprocess.run(["curl", "--version"], capture_output=True, text=True,
                                    check=True).stdout.replace("brotli", "br").replace(
                                        "libz", "gzip deflate"):
        pytest.skip(f"this curl does not know {coding}")
    encode = dict(CODINGS)[coding]
    host = relay(OPENS_BACK)
    for body, worked in ((b'{"v":"%s"}' % made(shared, "opened").encode(), b'{"v":"opened"}'),
                         (b'{"v":', b'{"v":')):
        api.tell(encode(body), JSON, f"Content-Encoding: {coding}")
        got = subprocess.run(
            ["curl", "-s", "--compressed", "--cacert", ca.pem, "--connect-to",
             f"{host}:443:127.0.0.1:{shared.port}", f"https://{host}/"],
            capture_output=True, check=True).stdout
        assert got == worked
        assert coding in api.last().all("Accept-Encoding")[0]


def test_bodies_are_counted_and_given_back(shared, api, relay):
    host = relay(SEALS)
    bomb = brotli.compress(b'{"v":"' + b"a" * (64 * MIB) + b'"}', lgwin=24)
    before = resident(shared)
    with shared.connect(host) as c:
        for _ in range(50):
            reply = c.request("POST", "/", bomb, fields=[("Content-Encoding", "br")])
            assert how(reply) == (413, "payload-too-large")
    until("memory is given back", lambda: resident(shared) < before + 48 * MIB)


def resident(stack):
    total = 0
    for pid in stack.pids("worker").values():
        with open(f"/proc/{pid}/statm") as f:
            total += int(f.read().split()[1]) * 4096
    return total
