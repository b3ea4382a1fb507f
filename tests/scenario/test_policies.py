"""What a data role's policy lets a relay open.  Peers: clients from a trusted
proxy, which says who they are, and from elsewhere; one installation with roles;
the demo origin, which sends back what it got.  What is forbidden stays sealed on
its way back, counted and logged, and is refused on its way in."""
import json
import time

import pytest

import token_codec
from conftest import Origin, running, tokens_in

PROXY = "127.0.0.2"
CARD = b"4111111111111111"
DAY_S = 86_400


def action(kind, *selectors, role=None):
    return [{"action": kind, "selections": [
        {"selector": s, **({"role": role} if role else {})} for s in selectors]}]


def place(path, request=(), response=()):
    return {"method": "POST", "path": path, "request": list(request), "response": list(response)}


ROUTES = [place(f"/{role}", request=action("encrypt", "$.card", role=role),
                response=action("decrypt", "$.card"))
          for role in ("free", "inside", "here", "elsewhere", "never")]
ROUTES += [place("/open", request=action("decrypt", "$.card")),
           place("/back", response=action("decrypt", "$.card"))]

POLICIES = {
    "inside": {"default": "forbid", "rules": [
        {"effect": "permit", "place": "relay", "addresses": ["10.9.0.0/16"]}]},
    "here": {"default": "forbid", "rules": [
        {"effect": "permit", "place": "relay", "destinations": ["localhost"]}]},
    "elsewhere": {"default": "forbid", "rules": [
        {"effect": "permit", "place": "relay", "destinations": ["other.test"]},
        {"effect": "permit", "place": "egress"}, {"effect": "permit", "place": "api"}]},
    "never": {"default": "forbid", "rules": []},
    "young": {"default": "permit", "rules": [{"effect": "forbid", "olderThanSeconds": DAY_S}]},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory, ca):
    folder = tmp_path_factory.mktemp("policies")
    conf = f'trusted_proxies = {{ "{PROXY}/32" }}\n'
    with running(folder, ca, conf=conf, workers=1) as stack:
        origin = Origin(folder, ca)
        stack.relay("shop.test", origin, ROUTES, onUndecryptable="keep")
        stack.relay("strict.relay.test", origin, ROUTES, onUndecryptable="reject")
        for role, policy in POLICIES.items():
            stack.ctl("role", "put", stack.app()[0], role, data=json.dumps(policy).encode())
        yield stack, origin
        origin.end()


def post(stack, path, body, client=None, host="shop.test"):
    """client: who the trusted proxy says it is."""
    options = {}
    if client:
        header = f"PROXY TCP4 {client} 127.0.0.1 40000 443\r\n".encode()
        options = {"source": PROXY, "preface": [header]}
    with stack.connect(host, **options) as c:
        return c.request("POST", path, json.dumps({"card": body}).encode())


def came_back(reply):
    assert reply.status == 200, reply.code
    return json.loads(reply.body)["card"].encode()


@pytest.mark.parametrize("role,client,opens", [
    ("free", None, True),
    ("inside", "10.9.1.2", True),
    ("inside", "10.8.1.2", False),
    ("inside", None, False),
    ("here", None, True),
    ("elsewhere", None, False),
    ("never", "10.9.1.2", False),
])
@pytest.mark.parametrize("host", ["shop.test", "strict.relay.test"])
def test_what_comes_back_open(shop, role, client, opens, host):
    stack, origin = shop
    text = came_back(post(stack, f"/{role}", CARD.decode(), client, host))
    token, = tokens_in(origin.last().body)
    assert text == (CARD if opens else token.encode())


def test_what_is_forbidden_is_counted_and_logged(shop):
    stack, _ = shop
    with stack.logs_more("decrypt forbidden ctx="), stack.logs_more("kept=1 forbidden=1"):
        assert came_back(post(stack, "/never", CARD.decode())) != CARD
    line, = [x for x in stack.relayd.text().splitlines()[-200:] if "decrypt forbidden" in x][-1:]
    assert " info " in line and "host=shop.test tokens=1" in line
    assert CARD.decode() not in stack.relayd.text()


@pytest.mark.parametrize("age_s,opens", [(DAY_S - 60, True), (DAY_S + 60, False)])
@pytest.mark.parametrize("host", ["shop.test", "strict.relay.test"])
def test_what_is_too_old(shop, age_s, opens, host):
    stack, _ = shop
    public = stack.app_keys()["r1"][0].public_key()
    token = token_codec.make(public, CARD, role="young", now=time.time() - age_s)
    assert came_back(post(stack, "/back", token, host=host)) == (CARD if opens else token.encode())
    reply = post(stack, "/open", token, host=host)
    assert reply.code == (None if opens else "decrypt/forbidden")


@pytest.mark.parametrize("role", ["never", "elsewhere"])
@pytest.mark.parametrize("host", ["shop.test", "strict.relay.test"])
def test_a_request_is_refused(shop, role, host):
    """403, and nothing of it reaches the origin; whatever onUndecryptable says."""
    stack, origin = shop
    post(stack, f"/{role}", CARD.decode())
    token, = tokens_in(origin.last().body)
    seen = len(origin.seen())
    reply = post(stack, "/open", token, host=host)
    assert (reply.status, reply.code) == (403, "decrypt/forbidden")
    assert token.encode() not in reply.body and CARD not in reply.body
    assert len(origin.seen()) == seen


def test_a_request_from_the_right_place_is_opened(shop):
    stack, origin = shop
    post(stack, "/inside", CARD.decode())
    token, = tokens_in(origin.last().body)
    reply = post(stack, "/open", token, client="10.9.7.7")
    assert reply.status == 200
    assert json.loads(origin.last().body)["card"].encode() == CARD
    assert post(stack, "/open", token, client="10.10.7.7").code == "decrypt/forbidden"
