"""JSON selections: containers, the whole of RFC 9535 on a route, and what the
rules of a relay say about a value.  Peers: a TLS client, one installation, an
origin that answers what it is told."""
import pytest

import token_codec
from told_origin import (FORM, JSON, action, actions, api, ephemerals, fields_sealed,  # noqa: F401
                         made, relay, reveal)


def sealed(stack, api, host, body, path="/"):
    reply = stack.post(host, path, body)
    assert reply.status == 200, reply
    return reveal(stack, api.last().body)


# ---- selectors --------------------------------------------------------------------------

ITEMS = (b'{"items":[{"kind":"card","number":1},{"kind":"iban","number":"2"},'
         b'{"kind":"card","number":[3,{"x":null}]}], "n":[0,1,2,3,4,5]}')
DEEP = b'{"a":{"iban":"DE12"},"b":[{"iban":"DE1x"},{"iban":"DE3","v":{"w":true}}],"iban":"FR1"}'

SELECTORS = [
    ("$.v", b'{"v":{"a":"x","b":[1,-2.50,true,false,null,"",{"c":1e5}]},"w":"x"}',
     b'{"v":{"a":"[string:x]","b":["[number:1]","[number:-2.50]","[boolean:true]",'
     b'"[boolean:false]",null,"[string:]",{"c":"[number:1e5]"}]},"w":"x"}'),
    ("$", b' [ 1 , {"a" : null} ,\t"x" ]\r\n', b' [ "[number:1]" , {"a" : null} ,\t"[string:x]" ]\r\n'),
    ("$", b'"whole"', b'"[string:whole]"'),
    ("$", b'{"a":{},"b":[],"c":null}', b'{"a":{},"b":[],"c":null}'),
    ("$['v','w'][0]", b'{"w":[1,2],"v":["a","b"]}', b'{"w":["[number:1]",2],"v":["[string:a]","b"]}'),
    ("$.v", b'{"v":1,"x":2,"\\u0076":3,"v":null,"v":[4]}',
     b'{"v":"[number:1]","x":2,"\\u0076":"[number:3]","v":null,"v":["[number:4]"]}'),
    ("$['\\u00fc \\'q\\'']", '{"ü \'q\'":"x\\u0041\\n\\/"}'.encode(),
     '{"ü \'q\'":"[string:xA\n/]"}'.encode()),
    ("$.n[-1]", ITEMS, ITEMS.replace(b"4,5]", b'4,"[number:5]"]')),
    ("$.n[-2:]", ITEMS, ITEMS.replace(b"4,5]", b'"[number:4]","[number:5]"]')),
    ("$.n[1:5:2]", ITEMS, ITEMS.replace(b"[0,1,2,3,4,5]", b'[0,"[number:1]",2,"[number:3]",4,5]')),
    ("$.n[4:0:-3]", ITEMS, ITEMS.replace(b"[0,1,2,3,4,5]", b'[0,"[number:1]",2,3,"[number:4]",5]')),
    ('$.items[?@.kind=="card"].number', ITEMS,
     ITEMS.replace(b'"number":1}', b'"number":"[number:1]"}').replace(b"[3,", b'["[number:3]",')),
    ("$.items[?@.kind!='card' && @.number]", ITEMS,
     ITEMS.replace(b'"iban","number":"2"', b'"[string:iban]","number":"[string:2]"')),
    ("$.n[?@>3]", ITEMS, ITEMS.replace(b"4,5]", b'"[number:4]","[number:5]"]')),
    ("$.n[?@==$.items[0].number]", ITEMS, ITEMS.replace(b"[0,1,", b'[0,"[number:1]",')),
    ('$..[?match(@.iban,"DE[0-9]+")]', DEEP,
     DEEP.replace(b'"DE12"', b'"[string:DE12]"').replace(b'"DE3"', b'"[string:DE3]"')
     .replace(b"true", b'"[boolean:true]"')),
    ('$..[?search(@,"^DE")]', DEEP,
     DEEP.replace(b'"DE12"', b'"[string:DE12]"').replace(b'"DE3"', b'"[string:DE3]"')
     .replace(b'"DE1x"', b'"[string:DE1x]"')),
    ("$.items[?length(@.number)==2]", ITEMS, ITEMS.replace(
        b'{"kind":"card","number":[3,', b'{"kind":"[string:card]","number":["[number:3]",')),
    ("$.items[?count(@.number[*])==2].kind", ITEMS,
     ITEMS.replace(b'"card","number":[', b'"[string:card]","number":[')),
    ("$.items[?value(@..x)==null].kind", ITEMS,
     ITEMS.replace(b'"card","number":[', b'"[string:card]","number":[')),
    ("$..number", ITEMS, ITEMS.replace(b'"number":1}', b'"number":"[number:1]"}').replace(
        b'"2"', b'"[string:2]"').replace(b"[3,", b'["[number:3]",')),
]


@pytest.mark.parametrize("selector,body,expected", SELECTORS)
def test_what_a_selector_chooses_is_sealed_and_nothing_else(shared, api, relay, selector, body,
                                                            expected):
    host = relay(actions("POST", "/**", action("encrypt", selector), action("decrypt", selector)))
    assert sealed(shared, api, host, body) == expected
    # and the same selector opens it again, byte for byte but for JSON's spelling of strings
    api.tell(api.last().body)
    opened = shared.post(host, "/", body).body
    if b'[?' not in selector.encode() and b"\\" not in body:
        assert opened == body


def test_a_value_chosen_twice_is_sealed_once_with_the_first_role(shared, api, relay):
    host = relay(actions("POST", "/", action("encrypt", ("$.a", "first"), ("$..*", "second"))))
    assert sealed(shared, api, host, b'{"b":1,"a":[2]}') == \
        b'{"b":"[number:1@second]","a":["[number:2@first]"]}'


def test_a_lone_surrogate_is_refused_only_where_it_is_chosen(shared, api, relay):
    host = relay(actions("POST", "/", action("encrypt", "$.v")))
    assert sealed(shared, api, host, b'{"w":"\\ud800","v":1}') == b'{"w":"\\ud800","v":"[number:1]"}'
    assert shared.post(host, "/", b'{"v":"\\ud800"}').code == "malformed-body"


# ---- keys -------------------------------------------------------------------------------

@pytest.mark.parametrize("curve,version", [("r1", "QkTC"), ("k1", "S0lS")])
@pytest.mark.parametrize("scope", ["request", "field"])
def test_curve_and_key_scope(shared, api, relay, curve, version, scope):
    host = relay(actions("POST", "/", action("encrypt", "$..*", "header:X-V")),
                 curve=curve, keyScope=scope)
    shared.post(host, "/", b'{"a":["x","x","x"],"b":true}', fields=[("X-V", "x")])
    got = api.last()
    tokens = got.raw_head + got.body
    assert tokens.count(b"ev:%s:" % version.encode()) == 5
    assert reveal(shared, got.body) == \
        b'{"a":["[string:x]","[string:x]","[string:x]"],"b":"[boolean:true]"}'
    assert len(ephemerals(tokens)) == (5 if scope == "field" else 1)


# ---- roles ------------------------------------------------------------------------------

def test_a_role_goes_into_the_token(shared, api, relay):
    host = relay(actions("POST", "/", action(
        "encrypt", ("$.a", "pci"), "$.b", ("header:X-V", "a-20-characters-role"))))
    shared.post(host, "/", b'{"a":[1,"x"],"b":true}', fields=[("X-V", "v")])
    assert reveal(shared, api.last().body) == \
        b'{"a":["[number:1@pci]","[string:x@pci]"],"b":"[boolean:true]"}'
    assert reveal(shared, api.last().all("X-V")[0]) == b"[string:v@a-20-characters-role]"


@pytest.mark.parametrize("rule", ["keep", "reject"])
def test_an_answer_opens_tokens_of_its_role_alone(shared, api, relay, rule):
    host = relay(actions("GET", "/", (), action("decrypt", ("$.a", "pci"), "$.b",
                                                ("header:X-V", "pci"))), onUndecryptable=rule)
    pci, other, none = (made(shared, role or "none", role=role) for role in ("pci", "oth", None))
    old = made(shared, "old", version="T1JL")      # without metadata: no role
    api.tell('{{"a":["{0}","{1}","{2}","{3}"],"b":["{0}","{1}","{2}","{3}"]}}'.format(
        pci, other, none, old).encode(), JSON, f"X-V: {pci}", f"X-V: {other}")
    reply = shared.get(host)
    assert reply.status == 200, reply       # what is not allowed stays, whatever the rule
    assert reply.body == ('{"a":["pci","%s","%s","%s"],"b":["pci","oth","none","old"]}' % (
        other, none, old)).encode()
    assert [v for n, v in reply.fields if n == "X-V"] == ["pci", other]


# ---- tokens that are there already --------------------------------------------------------

def test_existing_tokens(shared, api, relay):
    route = actions("POST", "/", action("encrypt", "$..*"))
    own, foreign = made(shared, "mine"), made(shared, "x", app="other")
    number, old = made(shared, "1", "number"), made(shared, "o", version="RFVC")
    escaped = own.replace("/", "\\/").replace("e", "\\u0065", 1)
    body = ('["%s","%s","%s","%s","%s","ev:x:$"]' % (own, foreign, number, old, escaped)).encode()

    def arrives(rule):
        reply = shared.post(relay(route, existingTokens=rule), "/", body)
        assert reply.status == 200
        return api.last().body
    # what opens for this app passes, as it came; anything else is sealed like any string
    parts = arrives("verify").split(b'"')
    assert [parts[i] for i in (1, 5, 7, 9)] == [t.encode() for t in (own, number, old, escaped)]
    assert reveal(shared, parts[3]) == b"[string:%s]" % foreign.encode()
    assert reveal(shared, parts[11]) == b"[string:ev:x:$]"
    # what has the form of a token passes
    sealed_before = fields_sealed(shared)
    kept, _, last = arrives("keep").rpartition(b',"')
    assert kept == body.rpartition(b',"')[0] and reveal(shared, last) == b'[string:ev:x:$]"]'
    assert fields_sealed(shared) == sealed_before + 1
    # everything is sealed again
    again = arrives("encrypt").split(b'"')[1::2]
    keys = shared.app_keys()
    assert [token_codec.open_token(t.decode(), keys)[:2] for t in again] == [
        ("string", t) for t in (own.encode(), foreign.encode(), number.encode(), old.encode(),
                                own.encode(), b"ev:x:$")]


# ---- tokens that do not open -------------------------------------------------------------

def test_undecryptable_tokens_in_an_answer(shared, api, relay):
    route = actions("GET", "/", (), action("decrypt", "$..*"))
    own, foreign = made(shared, "mine"), made(shared, "x", app="other")
    changed = own[:-8] + ("A" if own[-8] != "A" else "B") + own[-7:]
    no_utf8 = made(shared, b"\xff")
    keep, reject = relay(route), relay(route, onUndecryptable="reject")
    for bad in (foreign, changed, no_utf8):
        api.tell(('{"a":"%s","b":"%s"}' % (own, bad)).encode())
        assert shared.get(keep).body == ('{"a":"mine","b":"%s"}' % bad).encode()
        reply = shared.get(reject)
        assert (reply.status, reply.code) == (422, "decryption-error")
        assert own.encode() not in reply.body and b"mine" not in reply.body
    for fine in (own, "ev:x:$", "", "ev:debug"):
        api.tell(('["%s"]' % fine).encode())
        assert shared.get(reject).json() == ["mine" if fine == own else fine]


def test_undecryptable_tokens_in_a_request(shared, api, relay):
    route = actions("POST", "/", action("decrypt", "$.v"))
    own, foreign = made(shared, 'a"\\\n\u2028'), made(shared, "x", app="other")
    body = ('{"v":["%s","%s"],"w":"%s"}' % (own, foreign, own)).encode()
    expected = body.replace(own.encode(), 'a\\"\\\\\\n\u2028'.encode(), 1)
    assert shared.post(relay(route), "/", body).status == 200
    assert api.last().body == expected
    before = len(api.requests)
    reply = shared.post(relay(route, onUndecryptable="reject"), "/", body)
    assert (reply.status, reply.code) == (422, "decryption-error")
    assert len(api.requests) == before
    assert b"ev:" not in reply.body


NUMBERS_OPENED = {
    "42.50": b"42.50", "1.0e+21": b"1.0e+21", "-0": b"-0", "007": b"7", ".5": b"0.5", "5.": b"5",
    " 12": b"12", "+1": b"1", "1e": b'"1e"', "0x1": b'"0x1"', "NaN": b'"NaN"', "--1": b'"--1"',
    "": b'""', "1,2": b'"1,2"', "1]": b'"1]"', '1","x":"': b'"1\\",\\"x\\":\\""',
}
BOOLEANS_OPENED = {"true": b"true", "false": b"false", "TRUE": b'"TRUE"', "true ": b'"true "',
                   "1": b'"1"', "": b'""', "true,1": b'"true,1"'}


def test_only_a_number_or_a_boolean_stands_without_quotes(shared, api, relay):
    """Anyone can make tokens: what opens is foreign text."""
    host = relay(actions("GET", "/", (), action("decrypt", "$..*")))
    for kind, texts in ("number", NUMBERS_OPENED), ("boolean", BOOLEANS_OPENED):
        for text, expected in texts.items():
            api.tell(b'{ "a":"%s" ,"b":1}' % made(shared, text, kind).encode())
            assert shared.get(host).body == b'{ "a":%s ,"b":1}' % expected


# ---- actions in their order ----------------------------------------------------------------

def test_actions_are_applied_in_order(shared, api, relay):
    host = relay(
        actions("POST", "/a", [action("decrypt", "$.v"), action("encrypt", ("$.v", "new"))]),
        actions("POST", "/b", [action("encrypt", ("$.v", "new")), action("decrypt", "$.*")]),
        actions("GET", "/c", (), [action("encrypt", ("$.x", "r")), action("decrypt", "$.v")]))
    token = made(shared, "4111", "number", role="old")
    body = ('{"v":"%s","x":1}' % token).encode()
    assert sealed(shared, api, host, body, "/a") == b'{"v":"[number:4111@new]","x":1}'
    # the first keeps what opens, the second opens it, and what it had sealed
    assert sealed(shared, api, host, body, "/b") == b'{"v":4111,"x":1}'
    api.tell(body)
    assert reveal(shared, shared.get(host, "/c").body) == b'{"v":4111,"x":"[number:1@r]"}'


def test_sixteen_actions(shared, api, relay):
    host = relay(actions("POST", "/", [action("encrypt", f"$[{i}]", f"form:f{i}")
                                       for i in range(16)]))
    assert sealed(shared, api, host, b"[%s]" % b",".join(b"%d" % i for i in range(18))) == \
        b"[%s,16,17]" % b",".join(b'"[number:%d]"' % i for i in range(16))
    body = b"&".join(b"f%d=x" % i for i in range(17))
    shared.post(host, "/", body, content_type=FORM)
    assert api.last().body.count(b"=ev%3AQkTC%3A") == 16 and api.last().body.endswith(b"&f16=x")
