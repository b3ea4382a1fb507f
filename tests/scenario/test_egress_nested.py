"""Documents in documents: what opens stands for itself for the last reader, too.  Anyone
can make tokens, so a value may try to end the string that it stands in."""
import json
import urllib.parse
import xml.etree.ElementTree as ET

import pytest

from conftest import Origin, running
from egress_stage import EgressStack, dechunk

VALUES = ['x","admin":true,"y":"', 'back\\slash\\', 'line\nfeed\ttab', "]]><a>&amp;'\"", "\\u0022\\\"",
          "plain"]
FORM = "application/x-www-form-urlencoded"


def unicode_quotes(text):
    """A string of JSON as some writers have it."""
    return json.dumps(text).replace("\\\\", "\0").replace('\\"', "\\u0022").replace("\0", "\\\\")


def slashes(text):
    """A string of JSON as others have it."""
    return json.dumps(text).replace("/", "\\/").replace("+", "\\u002B")


def form(name):
    return lambda body: urllib.parse.parse_qs(body.decode(), strict_parsing=True)[name][0]


def nested(value, deep, dumps=json.dumps):
    text = '{"quotes":"\\"a\\" \\\\","card":' + dumps(value) + '}'
    for _ in range(deep):
        text = '{"n":"\\"b\\"","d":' + dumps(text) + ',"e":"\\""}'
    return text


def unnested(text, deep):
    for _ in range(deep):
        text = json.loads(text)["d"]
    assert list(json.loads(text)) == ["quotes", "card"]
    return json.loads(text)["card"]


# name: Content-Type, token -> body, what the destination has -> value
PLACES = {
    "json": ("application/json", lambda t: nested(t, 0), lambda b: unnested(b, 0)),
    "json-in-json": ("application/json", lambda t: nested(t, 1), lambda b: unnested(b, 1)),
    "json-in-json-by-unicode": (
        "application/json", lambda t: nested(t, 1, unicode_quotes), lambda b: unnested(b, 1)),
    "json-in-json-with-slashes": (
        "application/json", lambda t: nested(t, 2, slashes), lambda b: unnested(b, 2)),
    "four-deep": ("application/json", lambda t: nested(t, 4), lambda b: unnested(b, 4)),
    "json-in-form": (
        FORM, lambda t: urllib.parse.urlencode({"a": '"', "payload": nested(t, 0), "b": "c"}),
        lambda b: unnested(form("payload")(b), 0)),
    "json-in-json-in-form": (
        FORM, lambda t: urllib.parse.urlencode({"payload": nested(t, 1)}),
        lambda b: unnested(form("payload")(b), 1)),
    "form": (FORM, lambda t: urllib.parse.urlencode({"a": '"', "card": t}), form("card")),
    "json-in-url-in-json": (
        "application/json", lambda t: json.dumps({"url": "https://a.test/?q=" + urllib.parse.quote(
            nested(t, 0)) + "&b=1"}),
        lambda b: unnested(urllib.parse.parse_qs(urllib.parse.urlsplit(
            json.loads(b)["url"]).query)["q"][0], 0)),
    "graphql": (
        "application/json", lambda t: json.dumps({"query": 'mutation { pay(card: %s) { id } }'
                                                  % json.dumps(t)}),
        lambda b: json.loads(json.loads(b)["query"].partition("card: ")[2].rpartition(")")[0])),
    "json-in-xml": (
        "text/xml", lambda t: '<a b=\'"\'>' + nested(t, 1).replace("&", "&amp;").replace(
            "<", "&lt;") + "</a>", lambda b: unnested(ET.fromstring(b).text, 1)),
    "cdata": ("text/xml", lambda t: f"<a><![CDATA[<b>\"{t}]]></a>",
              lambda b: ET.fromstring(b).text[4:]),
    "json-in-cdata": ("text/xml", lambda t: f"<a><![CDATA[{nested(t, 0)}]]></a>",
                      lambda b: unnested(ET.fromstring(b).text, 0)),
}


@pytest.fixture(scope="module")
def egress(tmp_path_factory, ca):
    with running(tmp_path_factory.mktemp("nested"), ca, EgressStack) as stack:
        yield stack


@pytest.fixture(scope="module")
def origin(tmp_path_factory, ca):
    one = Origin(tmp_path_factory.mktemp("origin"), ca)
    yield one
    one.end()


@pytest.fixture(scope="module")
def tokens(egress):
    return {v: egress.token(v) for v in VALUES}


@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", PLACES)
def test_a_value_stands_for_itself(egress, origin, tokens, name, chunked):
    media, build, read = PLACES[name]
    with egress.tunnel(f"localhost:{origin.port}", key=egress.app()[1]) as t:
        for value in VALUES:
            body = build(tokens[value]).encode()
            if chunked:
                t.send(t.head("POST", "/n", [("Transfer-Encoding", "chunked"),
                                             ("Content-Type", media)]))
                for at in range(0, len(body), 13):
                    t.send(b"%x\r\n%s\r\n" % (len(body[at:at + 13]), body[at:at + 13]))
                t.send(b"0\r\n\r\n")
                assert t.reply("POST").status == 200
            else:
                assert t.request("POST", "/n", body, content_type=media).status == 200
            seen = origin.last()
            got = dechunk(seen.body) if b"transfer-encoding" in seen.head.lower() else seen.body
            assert read(got) == value, got


def test_beyond_the_buffer(egress, origin, tokens):
    """The string around has begun 400 KB before the token."""
    value = VALUES[0]
    inner = json.dumps({"pad": "x" * 400_000, "quotes": '"\\"' * 20_000, "card": tokens[value]})
    with egress.tunnel(f"localhost:{origin.port}", key=egress.app()[1]) as t:
        assert t.request("POST", "/n", json.dumps({"d": inner}).encode(),
                         content_type="application/json").status == 200
    seen = origin.last()
    got = dechunk(seen.body) if b"transfer-encoding" in seen.head.lower() else seen.body
    assert json.loads(json.loads(got)["d"])["card"] == value


def test_deeper_than_that_it_stays(egress, origin, tokens):
    token = tokens[VALUES[0]]
    with egress.tunnel(f"localhost:{origin.port}", key=egress.app()[1]) as t:
        assert t.request("POST", "/n", nested(token, 5).encode(),
                         content_type="application/json").status == 200
    assert unnested(origin.last().body, 5) == token


def test_in_the_query(make_egress, origin):
    stack = make_egress(conf="egress_open_query = true\n")
    value = VALUES[0]
    query = urllib.parse.quote(nested(stack.token(value), 0))
    with stack.tunnel(f"localhost:{origin.port}", key=stack.app()[1]) as t:
        assert t.request("GET", "/a%22?x=%22&q=" + query).status == 200
    target = origin.last().head.split(b" ")[1].decode()
    assert unnested(urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["q"][0], 0) == value
