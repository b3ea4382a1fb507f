"""REST management through the key API (docs/api.md): relays, custom domains, egress
allowlists.  Peers: API clients with keys of two apps, TLS clients of the relays that
are made, a destination, one installation with Redis and one without."""
import json

import pytest

from api_stage import api, by_basic, by_key, call, problem
from conftest import Connection, Origin, seal, stopped, tokens_in, until
from egress_stage import EgressStack

PAY = seal("POST", "/pay", "$.card")


@pytest.fixture(scope="module", params=["redis", "alone"])
def stage(request, tmp_path_factory, ca):
    s = EgressStack(tmp_path_factory.mktemp(request.param), ca, redis=request.param == "redis",
                    egress_ca=False)
    s.app()
    s.app("other")
    yield s
    text = s.logs()
    s.stop()
    for word in ("AddressSanitizer", "runtime error:", "panic at "):
        assert word not in text


@pytest.fixture(scope="module")
def shop(tmp_path_factory, ca):
    o = Origin(tmp_path_factory.mktemp("shop"), ca)
    yield o
    o.end()


def relay(shop, name="localhost", **more):
    return {"destinationDomain": name, "destination": {"port": shop.port}, "routes": [PAY], **more}


def made(stage, shop, app="app", **more):
    reply = call(stage, "POST", "/relays", relay(shop, **more), by_basic(stage, app))
    assert reply.status == 201 and reply.field("Content-Type") == "application/json", reply
    return reply.json()


def gone(stage, r, app="app"):
    reply = call(stage, "DELETE", f"/relays/{r['id']}", None, by_basic(stage, app))
    assert reply.status == 202 and reply.body == b"", reply


def pay(stage, host):
    with Connection(stage.port, stage.ca.pem, host, sni=False) as c:
        return c.request("POST", "/pay", b'{"card":"4111111111111111"}')


def test_the_life_of_a_relay(stage, shop):
    app = stage.app()[0]
    r = made(stage, shop)
    assert r["id"].startswith("relay_destination_") and len(r["id"]) == 30
    host = f"localhost.{app.replace('_', '-')}.relay.test"
    assert r["evervaultDomain"] == host and r["app"] == app
    assert r["authentication"] is None and r["encryptEmptyStrings"] is True
    assert r["createdAt"] == r["updatedAt"] and r["routes"] == [PAY]
    # live when it is answered
    reply = pay(stage, host)
    assert reply.status == 200 and len(tokens_in(shop.last().body)) == 1
    assert call(stage, "GET", f"/relays/{r['id']}", None, by_basic(stage)).json() == r
    assert call(stage, "GET", "/relays", None, by_basic(stage)).json() == {"data": [r]}
    # what is absent stays
    changed = call(stage, "PATCH", f"/relays/{r['id']}", {"authentication": "api-key"},
                   by_basic(stage))
    assert changed.status == 200, changed
    changed = changed.json()
    assert changed["authentication"] == "api-key" and changed["routes"] == [PAY]
    assert changed["id"] == r["id"] and changed["createdAt"] == r["createdAt"]
    assert changed["updatedAt"] >= r["updatedAt"]
    assert pay(stage, host).status == 401
    # the CLI sends its whole file with null
    whole = call(stage, "PATCH", f"/relays/{r['id']}", {
        "encryptEmptyStrings": False, "authentication": None, "routes": []}, by_basic(stage))
    assert whole.json()["routes"] == [] and whole.json()["authentication"] is None
    assert call(stage, "PATCH", f"/relays/{r['id']}", whole.json(), by_basic(stage)).status == 200
    assert pay(stage, host).status == 200 and tokens_in(shop.last().body) == []
    gone(stage, r)
    assert pay(stage, host).status == 404
    for method in ("GET", "DELETE"):
        problem(call(stage, method, f"/relays/{r['id']}", None, by_basic(stage)), 404,
                "resource-not-found")
    assert call(stage, "GET", "/relays", None, by_basic(stage)).json() == {"data": []}


def test_what_is_no_relay(stage, shop):
    for body, path in (({}, "destinationDomain"), ([], ""), ({"routes": []}, "destinationDomain"),
                       ({"destinationDomain": "a b", "routes": []}, "destinationDomain"),
                       ({"destinationDomain": "a.test"}, "routes"),
                       ({"destinationDomain": "a.test", "routes": [{"path": 7}]}, "routes[0].path"),
                       ({"destinationDomain": "a.test", "routes": [], "nonsense": 1}, "nonsense"),
                       ({"destinationDomain": "a.test", "routes": [],
                         "app": stage.app("other")[0]}, "app")):
        p = problem(call(stage, "POST", "/relays", body, by_basic(stage)), 400, "bad-request")
        assert p["detail"].startswith(path)
    problem(call(stage, "POST", "/relays", b"{", by_basic(stage)), 400, "bad-request")
    r = made(stage, shop)
    for body in ({"destinationDomain": "other.test"}, {"routes": 1}, {"nonsense": 1}, [], 7):
        problem(call(stage, "PATCH", f"/relays/{r['id']}", body, by_basic(stage)), 400,
                "bad-request")
    assert call(stage, "GET", f"/relays/{r['id']}", None, by_basic(stage)).json() == r
    problem(call(stage, "POST", "/relays", relay(shop), by_basic(stage)), 409, "conflict")
    gone(stage, r)


def test_relays_of_others_are_not_there(stage, shop):
    mine, other = made(stage, shop), made(stage, shop, app="other")
    assert mine["evervaultDomain"] != other["evervaultDomain"]
    for method, body in (("GET", None), ("PATCH", {"routes": []}), ("DELETE", None)):
        problem(call(stage, method, f"/relays/{other['id']}", body, by_basic(stage)), 404,
                "resource-not-found")
    listed = call(stage, "GET", "/relays", None, by_basic(stage)).json()["data"]
    assert [r["id"] for r in listed] == [mine["id"]]
    gone(stage, mine)
    gone(stage, other, "other")


def test_who_may_manage(stage, shop):
    narrow = json.loads(stage.ctl("key", "create", stage.app()[0], "--scope", "api:encrypt",
                                  "--json").stdout)["secret"]
    wide = json.loads(stage.ctl("key", "create", stage.app()[0], "--scope", "manage",
                                "--json").stdout)["secret"]
    problem(call(stage, "POST", "/relays", relay(shop), [("api-key", narrow)]), 403, "forbidden")
    problem(call(stage, "POST", "/relays", relay(shop), [("api-key", "x")]), 401, "unauthorized")
    problem(call(stage, "POST", "/relays", relay(shop)), 401, "unauthorized")
    reply = call(stage, "POST", "/relays", relay(shop), [("api-key", wide)])
    assert reply.status == 201
    gone(stage, reply.json())
    assert wide not in stage.logs()


def test_custom_domains(stage, shop):
    r = made(stage, shop)
    place = f"/relays/{r['id']}/custom-domains"
    reply = call(stage, "POST", place, {"customDomain": "Pay.Shop.test"}, by_basic(stage))
    assert reply.status == 201, reply
    domain = reply.json()
    assert domain["id"].startswith("custom_domain_") and domain["customDomain"] == "pay.shop.test"
    assert domain["relay"] == r["id"] and domain["status"] == "active"
    assert len(domain["validationRecord"]) == 36
    assert call(stage, "GET", place, None, by_basic(stage)).json() == {"data": [domain]}
    assert call(stage, "GET", f"{place}/{domain['id']}", None, by_basic(stage)).json() == domain
    assert call(stage, "GET", "/relays", None, by_basic(stage)).json() == {"data": [r]}
    assert pay(stage, "pay.shop.test").status == 200
    assert len(tokens_in(shop.last().body)) == 1
    # it changes with its relay
    assert call(stage, "PATCH", f"/relays/{r['id']}", {"routes": []},
                by_basic(stage)).status == 200
    for host in ("pay.shop.test", r["evervaultDomain"]):
        assert pay(stage, host).status == 200 and tokens_in(shop.last().body) == []
    # taken
    problem(call(stage, "POST", place, {"customDomain": "pay.shop.test"}, by_basic(stage)), 409,
            "conflict")
    # in the names of relays an app could take another's
    for body in ({}, {"customDomain": "a b"}, {"customDomain": 7}, [],
                 {"customDomain": "stripe-com.app-000000000000.relay.test"},
                 {"customDomain": "Relay.test"}):
        problem(call(stage, "POST", place, body, by_basic(stage)), 400, "bad-request")
    second = call(stage, "POST", place, {"customDomain": "two.shop.test"}, by_basic(stage)).json()
    assert call(stage, "DELETE", f"{place}/{second['id']}", None, by_basic(stage)).status == 202
    assert pay(stage, "two.shop.test").status == 404
    problem(call(stage, "GET", f"{place}/{second['id']}", None, by_basic(stage)), 404,
            "resource-not-found")
    # and goes with it
    gone(stage, r)
    for host in ("pay.shop.test", r["evervaultDomain"]):
        assert pay(stage, host).status == 404


def test_a_relay_that_came_another_way(stage, shop):
    text = stage.relay("plain.test", shop, [PAY])
    listed = call(stage, "GET", "/relays", None, by_basic(stage)).json()["data"]
    assert len(listed) == 1
    r = listed[0]
    assert r["evervaultDomain"] == "plain.test" and r["routes"] == json.loads(text)["routes"]
    changed = call(stage, "PATCH", f"/relays/{r['id']}", {"routes": []}, by_basic(stage))
    assert changed.status == 200 and changed.json()["id"] == r["id"]
    assert json.loads(stage.ctl("relay", "get", "plain.test").stdout)["id"] == r["id"]
    gone(stage, r)


def test_egress(stage):
    keys = by_basic(stage)
    problem(call(stage, "GET", "/egress", None, keys), 404, "resource-not-found")
    problem(call(stage, "DELETE", "/egress", None, keys), 404, "resource-not-found")
    body = b'{ "destinations": [ {"host": "api.acme.test"} ] }'
    reply = call(stage, "PUT", "/egress", body, keys)
    assert reply.status == 200 and reply.body == body, reply
    assert call(stage, "GET", "/egress", None, keys).body == body
    outbound = call(stage, "GET", "/v2/relay-outbound", None, by_key(stage)).json()
    assert list(outbound["outboundDestinations"]) == ["api.acme.test"]
    other = {"destinations": [{"host": "*.bank.test"}, {"host": "api.acme.test", "port": 444}]}
    assert call(stage, "PUT", "/egress", other, keys).status == 200
    assert call(stage, "GET", "/egress", None, keys).json() == other
    problem(call(stage, "GET", "/egress", None, by_basic(stage, "other")), 404,
            "resource-not-found")
    for bad in ({"destinations": [{}]}, {"nonsense": 1}, [], {"destinations": [{"host": "a b"}]}):
        problem(call(stage, "PUT", "/egress", bad, keys), 400, "bad-request")
    # the operator's own network is not an app's to open
    inside = {"destinations": [{"host": "db.test", "internal": True}]}
    p = problem(call(stage, "PUT", "/egress", inside, keys), 403, "forbidden")
    assert p["detail"] == "destinations[0].internal: the operator alone sets it"
    assert call(stage, "GET", "/egress", None, keys).json() == other
    assert call(stage, "DELETE", "/egress", None, keys).status == 202
    problem(call(stage, "GET", "/egress", None, keys), 404, "resource-not-found")


def test_two_who_change_at_once(stage, shop):
    """One of them may be told of a conflict; what is live is what one of them wrote."""
    r = made(stage, shop)
    head = by_basic(stage) + [("Content-Type", "application/json")]
    with api(stage) as one, api(stage) as two:
        for n in range(10):
            for c, value in ((one, "true"), (two, "false")):
                body = b'{"encryptEmptyStrings":%s}' % value.encode()
                c.send(c.head("PATCH", f"/relays/{r['id']}",
                              head + [("Content-Length", len(body))]) + body)
            replies = [one.reply("PATCH"), two.reply("PATCH")]
            assert {x.status for x in replies} <= {200, 409}, replies
            assert 200 in {x.status for x in replies}
            good = [x.json()["encryptEmptyStrings"] for x in replies if x.status == 200]
            live = call(stage, "GET", f"/relays/{r['id']}", None, by_basic(stage)).json()
            assert live["encryptEmptyStrings"] in good
    gone(stage, r)


def test_an_app_reaches_nothing_private_by_its_relays(make_stack, tmp_path, ca, shop):
    """What the operator's relay may reach, a relay made with an app's key may not."""
    s = EgressStack(tmp_path, ca, egress_ca=False, internal=False)
    make_stack.stacks.append(s)
    for name, ask in (("localhost", {}), ("127.0.0.1", {"internal": True})):
        r = made(s, shop, name=name, **ask)
        assert r["internal"] is False
        seen = shop.seen()
        reply = pay(s, r["evervaultDomain"])
        problem(reply, 403, "forbidden-destination")
        assert call(s, "PATCH", f"/relays/{r['id']}", {"internal": True},
                    by_basic(s)).json()["internal"] is False
        problem(pay(s, r["evervaultDomain"]), 403, "forbidden-destination")
        assert shop.seen() == seen
        gone(s, r)
    # the operator's: other rules and names, not another port
    s.relay("plain.test", shop, [PAY])
    assert pay(s, "plain.test").status == 200
    r = call(s, "GET", "/relays", None, by_basic(s)).json()["data"][0]
    place = f"/relays/{r['id']}"
    p = problem(call(s, "PATCH", place, {"destination": {"port": 1}}, by_basic(s)),
                403, "forbidden")
    assert p["detail"].startswith("internal: the operator alone")
    assert call(s, "PATCH", place, {"routes": []}, by_basic(s)).status == 200
    assert call(s, "POST", place + "/custom-domains", {"customDomain": "two.test"},
                by_basic(s)).status == 201
    for host in ("plain.test", "two.test"):
        assert pay(s, host).status == 200


def test_records_are_held_as_bodies_are(make_stack, tmp_path, ca, shop):
    """Six large records are more than a worker may hold; each of them is not."""
    s = EgressStack(tmp_path, ca, egress_ca=False, conf="max_held_bytes = 1048576\n")
    make_stack.stacks.append(s)
    routes = [PAY | {"path": f"/{n}/" + "a" * 500} for n in range(400)]
    for n in range(6):
        last = made(s, shop, name=f"large{n}.test", routes=routes)
    listed = call(s, "GET", "/relays", None, by_basic(s))
    problem(listed, 503, "overloaded")
    assert call(s, "GET", f"/relays/{last['id']}", None, by_basic(s)).json() == last
    for _ in range(10):     # nothing of it is left behind
        assert call(s, "GET", f"/relays/{last['id']}", None, by_basic(s)).status == 200


def test_without_a_feed(make_stack, tmp_path, ca, shop):
    s = EgressStack(tmp_path, ca, egress_ca=False)
    make_stack.stacks.append(s)
    r = made(s, shop)
    feed = s.pids()["feed"]
    with stopped(feed):
        problem(call(s, "PATCH", f"/relays/{r['id']}", {"routes": []}, by_basic(s)), 503,
                "not-ready")
        assert call(s, "GET", f"/relays/{r['id']}", None, by_basic(s)).json() == r
    until("it is written", lambda: call(s, "PATCH", f"/relays/{r['id']}", {"routes": []},
                                        by_basic(s)).status == 200)
