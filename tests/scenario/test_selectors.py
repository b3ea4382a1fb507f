"""Form and header selectors: what is chosen is sealed or opened, every other
byte stays.  Peers: a TLS client, one installation, an origin that answers what
it is told."""
import json

import pytest

from conftest import TOKEN
from told_origin import (FORM, JSON, action, actions, ephemerals, fields_sealed, form_text,
                         form_tokens, made, reveal, reveal_form, told)

ROUTES = [
    actions("POST", "/form", action("encrypt", "form:card[n]", "form:name"),
            action("decrypt", "form:card[n]", "form:name")),
    actions("POST", "/both", action("encrypt", "$.v", "form:v")),
    actions("POST", "/two", [action("encrypt", "$.v"), action("encrypt", "form:v")]),
    actions(None, "/header", action("encrypt", "header:X-Card", "header:Cookie"),
            action("decrypt", "header:X-Card", "header:Set-Cookie")),
    actions("POST", "/with-body", action("encrypt", "header:x-card", "$.v")),
    actions("POST", "/opens", action("decrypt", "form:v", "header:X-V", "$.v")),
    actions("GET", "/sealed", response=action("encrypt", "header:X-Secret")),
]
HOST, BLANK = "select.relay.test", "blank.relay.test"


@pytest.fixture(scope="module")
def api(shared, ca):
    with told(ca) as origin:
        shared.relay(HOST, origin, ROUTES)
        shared.relay(BLANK, origin, ROUTES, encryptEmptyStrings=False)
        shared.relay("reject.relay.test", origin, ROUTES, onUndecryptable="reject")
        shared.relay("keep.relay.test", origin, ROUTES, existingTokens="keep")
        yield origin


@pytest.fixture(autouse=True)
def untold(api):
    api.tell(b"ok", "text/plain")


def post_form(stack, path, body, host=HOST, **options):
    return stack.post(host, path, body, content_type=options.pop("content_type", FORM), **options)


def sealed_form(stack, api, body, host=HOST, **options):
    """What of this form arrives, with tokens revealed."""
    reply = post_form(stack, "/form", body, host, **options)
    assert reply.status == 200, reply
    got = api.last()
    assert got.all("Content-Length") == [str(len(got.body))]
    return reveal_form(stack, got.body)


# ---- forms: requests ------------------------------------------------------------------

FORMS = {
    "only the value": (b"name=4111&b=2", b"name=[string:4111]&b=2"),
    "order, foreign encodings": (b"z=%7a+%2B&name=x&a=%C3%BC&A=~!'()",
                                 b"z=%7a+%2B&name=[string:x]&a=%C3%BC&A=~!'()"),
    "empty pairs": (b"&&name=x&&&b=1&", b"&&name=[string:x]&&&b=1&"),
    "nothing but &": (b"&&&", b"&&&"),
    "bare and empty others": (b"a&b=&=c&==&name=x", b"a&b=&=c&==&name=[string:x]"),
    "duplicates": (b"name=1&x=2&name=3", b"name=[string:1]&x=2&name=[string:3]"),
    "plus is a space": (b"name=a+b+", b"name=[string:a b ]"),
    "escapes": (b"name=%34%31%2b%26%3D%c3%bc", b"name=[string:4" b"1+&=\xc3\xbc]"),
    "no escapes": (b"name=100%&x=%zz", b"name=[string:100%]&x=%zz"),
    "half an escape": (b"name=%4&x=1", b"name=[string:%4]&x=1"),
    "equals in the value": (b"name=a=b==&x", b"name=[string:a=b==]&x"),
    "a name in brackets": (b"card[n]=1", b"card[n]=[string:1]"),
    "a name that needs decoding": (b"card%5Bn%5D=1&card%5bn%5d=2&%6eame=3&card%5Bx%5D=4",
                                   b"card%5Bn%5D=[string:1]&card%5bn%5d=[string:2]&"
                                   b"%6eame=[string:3]&card%5Bx%5D=4"),
    "names like it": (b"Name=1&name%00=2&nam=3&+name=4&names=5",
                      b"Name=1&name%00=2&nam=3&+name=4&names=5"),
    "empty": (b"name=&x=", b"name=[string:]&x="),
    "bare": (b"name&x", b"name=[string:]&x"),
    "no UTF-8": (b"name=%FF%00%0d%0a", b"name=[string:\xff\0\r\n]"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_keeps_every_byte_but_those_chosen(shared, api, name):
    body, expected = FORMS[name]
    assert sealed_form(shared, api, body) == expected
    pieces = [body[i:i + 1] for i in range(len(body))]
    with shared.connect(HOST) as c:
        c.request("POST", "/form", b"", content_type=FORM, chunks=pieces)
    assert reveal_form(shared, api.last().body) == expected


def test_empty_values_stay_if_the_relay_says_so(shared, api):
    body = b"name=&x&name&card[n]=1&name=+"
    assert sealed_form(shared, api, body, BLANK) == \
        b"name=&x&name&card[n]=[string:1]&name=[string: ]"


def test_own_tokens_in_a_form_pass_as_they_came(shared, api):
    own = made(shared, "mine")
    loose = form_text(own).replace(b"%3A", b":").replace(b"%2F", b"%2f")     # encoded otherwise
    other = own[:-8] + ("A" if own[-8] != "A" else "B") + own[-7:]
    body = b"name=%s&card[n]=%s&name=%s" % (form_text(own), loose, form_text(other))
    post_form(shared, "/form", body)
    head, _, last = api.last().body.rpartition(b"&name=")
    assert head == body.rpartition(b"&name=")[0]
    assert reveal_form(shared, b"name=" + last) == b"name=[string:%s]" % other.encode()
    # kept by its looks alone, opened or not
    post_form(shared, "/form", body, "keep.relay.test")
    assert api.last().body == body


def test_many_values_of_one_form(shared, api):
    body = b"&".join(b"name=v%d&other=%d" % (i, i) for i in range(400))
    assert sealed_form(shared, api, body) == b"&".join(
        b"name=[string:v%d]&other=%d" % (i, i) for i in range(400))
    assert len(ephemerals(form_tokens(api.last().body))) == 1, "one call"
    before = len(api.requests)
    reply = post_form(shared, "/form", b"name&" * 65537)
    assert (reply.status, reply.code) == (413, "too-many-fields")
    assert len(api.requests) == before


# ---- which selectors apply ------------------------------------------------------------

@pytest.mark.parametrize("content_type,body,expected", [
    (FORM, b"v=1&w=2", b"v=[string:1]&w=2"),
    (FORM.upper() + " ; Charset=\"UTF-8\"", b"v=1", b"v=[string:1]"),
    (FORM + "; charset=us-ascii", b"v=1", b"v=[string:1]"),
    (JSON, b'{"v": 1, "w":2}', b'{"v": "[number:1]", "w":2}'),
    ("application/problem+json", b'{"v":true}', b'{"v":"[boolean:true]"}'),
])
@pytest.mark.parametrize("path", ["/both", "/two"])
def test_the_content_type_picks_the_selectors(shared, api, path, content_type, body, expected):
    reply = post_form(shared, path, body, content_type=content_type)
    assert reply.status == 200
    eye = reveal if b"{" in body else reveal_form
    assert eye(shared, api.last().body) == expected
    assert api.last().all("Content-Type") == [content_type]


@pytest.mark.parametrize("path,content_type", [
    ("/form", JSON), ("/form", "text/plain"), ("/form", "multipart/form-data; boundary=x"),
    ("/form", FORM + "; charset=iso-8859-1"), ("/form", FORM + "; charset=utf-16"),
    ("/form", FORM + "x"), ("/form", ""), ("/both", "text/plain"), ("/two", "application/xml"),
    ("/both", JSON + "; charset=latin1"), ("/with-body", FORM),
])
def test_a_body_that_no_selector_reads_is_415(shared, api, path, content_type):
    before = len(api.requests)
    reply = post_form(shared, path, b"name=4111", content_type=content_type)
    assert (reply.status, reply.code) == (415, "unsupported-content-type")
    assert len(api.requests) == before
    # but no body never mismatches
    assert post_form(shared, path, b"", content_type=content_type).status == 200


# ---- forms: answers and requests that are opened ----------------------------------------

def test_a_form_answer_is_opened_and_written_as_a_form(shared, api):
    a, b = made(shared, "a b&c=%+ü\n\0~*-._"), made(shared, "4111", "number")
    foreign = made(shared, "x", app="other")
    body = b"x=%%7e+&name=%s&&card%%5bn%%5d=%s&name=%s&y=%s&name" % (
        form_text(a), form_text(b), form_text(foreign), form_text(a))
    api.tell(body, FORM)
    reply = post_form(shared, "/form", b"z=1")
    assert reply.field("Content-Length") == str(len(reply.body))
    assert reply.body == (
        b"x=%%7e+&name=a+b%%26c%%3D%%25%%2B%%C3%%BC%%0A%%00%%7E*-._&&card%%5bn%%5d=4111&"
        b"name=%s&y=%s&name" % (form_text(foreign), form_text(a)))


def test_a_form_answer_without_tokens_is_byte_equal(shared, api):
    body = b"&&name=%zz+%41&x&name=ev:QkTC:&card[n]"
    api.tell(body, FORM)
    assert post_form(shared, "/form", b"z=1").body == body
    api.tell(body, JSON)        # no selector reads it: it goes on as it is
    assert post_form(shared, "/form", b"z=1").body == body


@pytest.mark.parametrize("content_type", [FORM, JSON])
def test_a_request_is_opened(shared, api, content_type):
    token = made(shared, 'a "b" &c')
    body, expected = {
        FORM: (b"v=%s&w=%s" % (form_text(token), form_text(token)),
               b"v=a+%%22b%%22+%%26c&w=%s" % form_text(token)),
        JSON: (b'{"v":"%s","w":"%s"}' % (token.encode(), token.encode()),
               b'{"v":"a \\"b\\" &c","w":"%s"}' % token.encode())}[content_type]
    post_form(shared, "/opens", body, content_type=content_type, fields=[("X-v", token)])
    assert api.last().body == expected
    assert api.last().named("x-v") == [("X-v", 'a "b" &c')]


# ---- header fields ----------------------------------------------------------------------

def shown(stack, api, *names):
    return [(n, reveal(stack, v).decode("utf-8", "replace")) for n, v in api.last().named(*names)]


def test_fields_of_a_request_without_body_are_sealed(shared, api):
    shared.get(HOST, "/header?q=1", fields=[
        ("A", "1"), ("x-card", "4111 1111"), ("B", "x-card"), ("X-CARD", "a, b"), ("Cookie", "c=d"),
        ("X-Cards", "no"), ("X-Card", ""), ("x_card", "as CGI has it")])
    assert api.last().line == b"GET /header?q=1 HTTP/1.1"
    assert shown(shared, api, "a", "b", "x-card", "cookie", "x-cards") == [
        ("A", "1"), ("x-card", "[string:4111 1111]"), ("B", "x-card"), ("X-CARD", "[string:a, b]"),
        ("Cookie", "[string:c=d]"), ("X-Cards", "no"), ("X-Card", "[string:]")]
    assert shown(shared, api, "x_card") == [("x_card", "[string:as CGI has it]")]
    assert api.last().all("Content-Length") == []
    shared.get(BLANK, "/header", fields=[("X-Card", ""), ("X-Card", "1")])
    assert shown(shared, api, "x-card") == [("X-Card", ""), ("X-Card", "[string:1]")]
    with shared.connect(HOST) as c:
        for method in ("HEAD", "DELETE", "OPTIONS"):
            assert c.request(method, "/header", fields=[("X-Card", method)]).status == 200
            assert shown(shared, api, "x-card") == [("X-Card", f"[string:{method}]")]
    assert "4111 1111" not in shared.logs()


def test_fields_without_a_chosen_one_cost_no_call(shared, api):
    sealed = fields_sealed(shared)
    shared.get(HOST, "/header", fields=[("X-Other", "1")])
    assert api.last().named("x-other") == [("X-Other", "1")]
    assert fields_sealed(shared) == sealed


def test_bytes_over_ascii_in_a_field_are_sealed(shared, api):
    with shared.connect(HOST) as c:
        c.send(c.head("GET", "/header", [])[:-2] + b"X-Card: \xff\xfe\t\xc3\xbc\r\n\r\n")
        assert c.reply().status == 200
    value, = api.last().all("X-Card")
    assert reveal(shared, value) == b"[string:\xff\xfe\t\xc3\xbc]"


@pytest.mark.parametrize("content_type", ["image/png", FORM, JSON, ""])
def test_a_body_beside_chosen_fields_streams_through(shared, api, content_type):
    body = bytes(range(256)) * 4000
    fields = [("X-Card", "1")]
    assert shared.post(HOST, "/header", body, content_type=content_type, fields=fields).status == 200
    assert api.last().body == body and api.last().all("Content-Length") == [str(len(body))]
    assert shown(shared, api, "x-card") == [("X-Card", "[string:1]")]
    with shared.connect(HOST) as c:
        pieces = [body[i:i + 10007] for i in range(0, len(body), 10007)]
        c.request("POST", "/header", b"", content_type=content_type, fields=fields, chunks=pieces)
    assert api.last().body == body and api.last().all("Transfer-Encoding") == ["chunked"]
    assert shown(shared, api, "x-card") == [("X-Card", "[string:1]")]


def test_fields_and_body_are_sealed_by_one_call(shared, api):
    shared.post(HOST, "/with-body", b'{"v":1,"w":2}', fields=[("X-Card", "c"), ("x-card", "d")])
    assert shown(shared, api, "x-card") == [("X-Card", "[string:c]"), ("x-card", "[string:d]")]
    assert reveal(shared, api.last().body) == b'{"v":"[number:1]","w":2}'
    assert len(ephemerals(api.last().raw_head + api.last().body)) == 1


def test_own_tokens_in_fields(shared, api):
    own = made(shared, "mine")
    for host in (HOST, "keep.relay.test"):
        shared.get(host, "/header", fields=[("X-Card", own), ("X-Card", own + " ,x")])
        value, other = api.last().all("x-card")
        assert value == own
        assert reveal(shared, other) == f"[string:{own} ,x]".encode()


def test_fields_of_an_answer_are_opened(shared, api):
    a, b = made(shared, "4111 ü"), made(shared, "12.50", "number")
    foreign = made(shared, "x", app="other")
    api.tell(b"the body " + a.encode(), "text/plain", f"x-CARD: {a}", "X-Other: " + a,
             f"Set-Cookie: {b}", f"Set-Cookie: id={a}", f"X-Card: {foreign}", "X-Card:", "ETag: \"e\"")
    reply = shared.get(HOST, "/header")
    assert reply.body == b"the body " + a.encode()
    assert [f for f in reply.fields if f[0].lower() in ("x-card", "x-other", "set-cookie")] == [
        ("x-CARD", "4111 ü"), ("X-Other", a), ("Set-Cookie", "12.50"), ("Set-Cookie", f"id={a}"),
        ("X-Card", foreign), ("X-Card", "")]


@pytest.mark.parametrize("status,method", [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_fields_of_an_answer_without_body_are_opened(shared, api, status, method):
    api.tell(None if status != 200 else b"12345", None, f"X-Card: {made(shared, 'v')}",
             status=status)
    with shared.connect(HOST) as c:
        for _ in range(2):
            reply = c.request(method, "/header")
            assert (reply.status, reply.field("x-card"), reply.body) == (status, "v", b"")


# What opens and cannot stand in a field: the token stays.
UNFIT = ["a\r\nX-Evil: 1", "a\nb", "\r", "a\0b", " a", "a ", "\ta", "a\t", "\x7f", "\x01", "a\r\n\r\nbody"]


@pytest.mark.parametrize("text", UNFIT)
def test_what_cannot_stand_in_a_field_stays_a_token(shared, api, text):
    token = made(shared, text)
    api.tell(b"body", "text/plain", f"X-Card: {token}", "X-After: 1")
    reply = shared.get(HOST, "/header")
    assert (reply.field("X-Card"), reply.field("X-After"), reply.body) == (token, "1", b"body")
    assert reply.field("X-Evil") is None
    reply = shared.get("reject.relay.test", "/header")
    assert (reply.status, reply.code) == (422, "decryption-error")
    # and on the way there
    shared.post(HOST, "/opens", b"", fields=[("X-V", token), ("X-After", "1")])
    assert api.last().named("x-v", "x-after", "x-evil") == [("X-V", token), ("X-After", "1")]
    before = len(api.requests)
    reply = shared.post("reject.relay.test", "/opens", b"", fields=[("X-V", token)])
    assert (reply.status, reply.code) == (422, "decryption-error")
    assert len(api.requests) == before


def test_an_empty_text_opens_to_an_empty_field(shared, api):
    api.tell(b"body", "text/plain", f"X-Card: {made(shared, '')}")
    assert shared.get(HOST, "/header").field("X-Card") == ""


def test_fields_of_an_answer_are_sealed(shared, api):
    api.tell(b"<p>", "text/html", "X-Secret: s3cret", "x-secret: ", "X-Open: 1")
    reply = shared.get(HOST, "/sealed")
    assert [reveal(shared, v) for n, v in reply.fields if n.lower() == "x-secret"] == [
        b"[string:s3cret]", b"[string:]"]
    assert (reply.field("X-Open"), reply.body) == ("1", b"<p>")
    api.tell_raw(b"HTTP/1.1 103 Early Hints\r\nX-Secret: s3cret\r\nLink: </a>\r\n\r\n"
                 b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Secret: s3cret\r\n\r\n", b"ok")
    with shared.connect(HOST) as c:
        reply = c.request("GET", "/sealed")
        assert [(r.status, r.fields) for r in c.interim] == [(103, [("Link", "</a>")])]
    assert TOKEN.fullmatch(reply.field("X-Secret").encode())


# ---- trailers ---------------------------------------------------------------------------

def test_trailers_named_like_a_chosen_field_are_dropped(shared, api):
    with shared.connect(HOST) as c:
        c.send(c.head("POST", "/header", [("Transfer-Encoding", "chunked"), ("X-Card", "1")]) +
               b"3\r\nabc\r\n0\r\nX-T: 1\r\nx-CARD: 4111\r\nCookie: c\r\nX-U: 2\r\n\r\n")
        assert c.reply().status == 200
        assert api.last().body == b"abc"
        assert api.last().trailers == [b"X-T: 1", b"X-U: 2"]
        token = made(shared, "v").encode()
        api.tell_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Card: %s\r\n\r\n" % token,
                     b"2\r\nok\r\n0\r\nX-T: 1\r\nX-Card: %s\r\nx-card: 4111\r\nX-U: 2\r\n\r\n" % token)
        c.send(c.head("GET", "/header", []))
        while b"X-U: 2\r\n\r\n" not in c.buffer:
            c.fill()
    head, _, body = c.buffer.partition(b"\r\n\r\n")
    assert b"\r\nX-Card: v" in head
    assert body == b"2\r\nok\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n"


# ---- what may be chosen -----------------------------------------------------------------

@pytest.mark.parametrize("selector,path", [
    ("header:Host", "routes[0].request[0].selections[0].selector"),
    ("header:content-LENGTH", "routes[0].request[0].selections[0].selector"),
    ("header:X Y", "routes[0].request[0].selections[0].selector"),
    ("form:", "routes[0].request[0].selections[0].selector"),
    ("$.", "routes[0].request[0].selections[0].selector"),
])
def test_a_selector_that_cannot_be_is_named(shared, api, tmp_path, selector, path):
    file = tmp_path / "relay.json"
    file.write_text(json.dumps(shared.relay_json(api, actions("POST", "/", action("encrypt",
                                                                                  selector)))))
    r = shared.ctl("check", file, code=2)
    assert path in (r.stdout + r.stderr).decode()
