"""The judges of the suites are judged: what they must notice, they notice."""
import pytest

import json_oracle
import strict_http
import token_codec

HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"
VIOLATIONS = {
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute form": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "version": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": HEAD + b"Host: a\r\n\r\n",
    "space before colon": HEAD + b"X : y\r\n\r\n",
    "folded": HEAD + b"X: y\r\n z\r\n\r\n",
    "NUL": HEAD + b"X: \0\r\n\r\n",
    "length and chunked": HEAD +
                          b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "length list": HEAD + b"Content-Length: 1, 1\r\n\r\nx",
    "signed length": HEAD + b"Content-Length: +1\r\n\r\nx",
    "coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
    "chunk extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n",
    "chunk overrun": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "framing in a trailer": HEAD +
                            b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
    "junk behind": HEAD + b"Content-Length: 1\r\n\r\nxy\r\n\r\n",
}


def requests(data, step):
    pieces = [data[i:i + step] for i in range(0, len(data), step)]
    reader, out = strict_http.Reader(lambda: pieces.pop(0) if pieces else b""), []
    while request := reader.head():
        reader.body(request)
        out.append((request.method, request.target, request.body))
    return out


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_strict_reader_refuses(step):
    for name, data in VIOLATIONS.items():
        with pytest.raises(strict_http.Violation):
            print(name, requests(data, step))


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_strict_reader_reads(step):
    data = (HEAD + b"Content-Length: 3\r\n\r\nabc" + b"GET /?q HTTP/1.1\r\nHost: a\r\n\r\n" +
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\nX-T: 1\r\n\r\n")
    assert requests(data, step) == [
        (b"POST", b"/x", b"abc"), (b"GET", b"/?q", b""), (b"POST", b"/x", b"def")]
    for cut in range(1, len(HEAD) + 20):
        with pytest.raises(strict_http.Cut):
            requests(data[:cut], step)


# RFC 9535's examples of each kind of selector, the query as data.
STORE = b'{"a":[3,5,1,2,4,6,{"b":"j"},{"b":"k"},{"b":{}},{"b":"kilo"}],"o":{"p":1,"q":2,"p":null}}'
A = (False, [("name", "a")])


@pytest.mark.parametrize("query,texts", [
    ([A, (False, [("index", 1), ("index", -1)])], ["5", '{"b":"kilo"}']),
    ([A, (False, [("index", 10), ("index", -11)])], []),
    ([A, (False, [("slice", 1, 3, None)])], ["5", "1"]),
    ([A, (False, [("slice", 5, 1, -2)])], ["6", "2"]),
    ([A, (False, [("slice", None, None, -1)])], None),
    ([A, (False, [("slice", 1, 5, 0)])], []),
    ([(True, [("name", "b")])], ['"j"', '"k"', "{}", '"kilo"']),
    ([(False, [("name", "o")]), (False, [("name", "p")])], ["1", "null"]),
    ([A, (False, [("filter", ("compare", "==", [(False, [("name", "b")])], '"kilo"'))])],
     ['{"b":"kilo"}']),
    ([A, (False, [("filter", ("compare", ">", [], "3.5"))])], ["5", "4", "6"]),
    ([A, (False, [("filter", ("exists", [(False, [("name", "b")])]))])],
     ['{"b":"j"}', '{"b":"k"}', '{"b":{}}', '{"b":"kilo"}']),
    ([A, (False, [("filter", ("and", ("exists", [(False, [("name", "b")])]), ("not", ("compare",
      "<", [(False, [("name", "b")])], '"kilo"'))))])], ['{"b":{}}', '{"b":"kilo"}']),
])
def test_the_evaluator_selects(query, texts):
    root = json_oracle.parse(STORE)
    found = [STORE[n.start:n.end].decode() for n in json_oracle.select(root, query)]
    assert found == texts if texts is not None else len(found) == 10


def test_a_changed_byte_is_noticed():
    document = b'{ "a" :"\\u0041", "n": 1.0, "x":null, "b": true }'
    leaves = json_oracle.chosen(json_oracle.parse(document), [json_oracle.EVERYTHING])
    pair = token_codec.private_key("r1", b"\1" * 32)
    tokens = [token_codec.make(pair.public_key(), text, kind)
              for kind, text in (("string", "A"), ("number", "1.0"), ("boolean", "true"))]
    sealed = b'{ "a" :"%s", "n": "%s", "x":null, "b": "%s" }' % tuple(t.encode() for t in tokens)

    def judge(seen):
        json_oracle.check_sealed(document, seen, leaves,
                                 lambda t: token_codec.open_token(t, {"r1": [pair]}))
    judge(sealed)
    json_oracle.check_opened(document, document.replace(b"\\u0041", b"A"), leaves)
    for i in range(len(sealed)):
        with pytest.raises((AssertionError, ValueError)):
            judge(sealed[:i] + b"!" + sealed[i + 1:])
    for bad in (document, sealed[:-1], sealed + b" ", sealed.replace(b"null", b'"x"'),
                b'{ "a" :"%s", "n": 1.0, "x":null, "b": true }' % tokens[0].encode()):
        with pytest.raises(AssertionError):
            judge(bad)
    for bad in (document.replace(b"1.0", b"1"), document.replace(b"0041", b"0042"),
                document.replace(b" :", b":"), document + b"\n"):
        with pytest.raises(AssertionError):
            json_oracle.check_opened(document, bad, leaves)
