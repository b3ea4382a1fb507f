"""Clients of every common runtime through egress: what they seal is open at the destination
and nowhere else, however they connect; what goes wrong reaches their user in words."""
import json

import pytest

from clients import BY_NAME, CLIENTS, ROADS, Java, Plan, big_body

CARD = "4111111111111111"


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """What is compiled, once."""
    return tmp_path_factory.mktemp("programs")


def dechunked(seen):
    from egress_stage import dechunk
    chunked = b"transfer-encoding: chunked" in seen.head.lower()
    return dechunk(seen.body) if chunked else seen.body


def tunnels(stack):
    """How many were opened so far."""
    return sum("outcome=connect " in line for line in stack.relayd.text().splitlines())


@pytest.mark.parametrize("name,kind,way", ROADS)
def test_sealed_on_the_way_and_open_at_the_destination(egress, origin, published_ca, build,
                                                       tmp_path, name, kind, way):
    url = f"https://localhost:{origin.port}"
    values = [CARD] + [f"value {i}" for i in range(20)]
    tokens = egress.tokens(values)
    small = json.dumps({"card": tokens[0], "n": 1.0}).encode()
    plan = Plan(egress, kind, way, [("POST", f"{url}/pay", small),
                                    ("GET", f"{url}/bytes/1000?a=b%20c", None),
                                    ("PUT", f"{url}/long", big_body(tokens[1:])),
                                    ("DELETE", f"{url}/thing/1", None),
                                    ("POST", f"{url}/pay", small)], published_ca, tmp_path)
    result = BY_NAME[name].run(plan, build)
    assert (result.code, result.statuses()) == (0, [200] * 5), result.errors
    opened = json.dumps({"card": CARD, "n": 1.0}).encode()
    seen = origin.seen()
    assert [s.head.split(b" ")[0] for s in seen] == [b"POST", b"GET", b"PUT", b"DELETE", b"POST"]
    assert [seen[0].body, seen[4].body] == [opened] * 2
    assert dechunked(seen[2]) == big_body(values[1:])
    assert seen[1].head.split(b" ")[1] == b"/bytes/1000?a=b%20c"
    bodies = result.bodies()
    assert [bodies[0], bodies[4]] == [opened] * 2       # the origin's echo, as it is
    assert bodies[1] == b"x" * 1000
    assert bodies[2] == big_body(values[1:])
    for s in seen:
        assert b"proxy-authorization" not in s.head.lower()
    assert egress.app()[1].encode() not in origin.raw_log()
    assert CARD not in egress.logs() and egress.app()[1] not in egress.logs()


# fetch keeps its tunnels, and has no word to say otherwise.
@pytest.mark.parametrize("name,keep", [(c.name, keep) for c in CLIENTS if c.keeps
                                       for keep in (True, False)
                                       if keep or c.name != "node-fetch"])
def test_kept_tunnels_and_new_ones(egress, origin, published_ca, build, tmp_path, name, keep):
    """Six requests: one tunnel, or six."""
    client = BY_NAME[name]
    kind, way = client.roads()[0]
    url = f"https://localhost:{origin.port}"
    token = egress.token(CARD)
    requests = [("POST", f"{url}/{i}", json.dumps([i, token]).encode()) for i in range(6)]
    plan = Plan(egress, kind, way, requests, published_ca, tmp_path, keep=keep)
    before = tunnels(egress)
    result = client.run(plan, build)
    assert (result.code, result.statuses()) == (0, [200] * 6), result.errors
    assert [s.body for s in origin.seen()] == [json.dumps([i, CARD]).encode() for i in range(6)]
    assert tunnels(egress) - before == (1 if keep else 6)


@pytest.mark.parametrize("name,kind,way", ROADS)
def test_a_wrong_key(egress, origin, published_ca, build, tmp_path, name, kind, way):
    """Inside it is an answer like any other.  An answer to CONNECT is what each client makes of
    it: all of them tell their user at least the status."""
    token = egress.token(CARD)
    plan = Plan(egress, kind, way, [("POST", f"https://localhost:{origin.port}/pay",
                                     json.dumps([token]).encode())],
                published_ca, tmp_path, key="ev:key:1:wrong")
    result = BY_NAME[name].run(plan, build)
    assert origin.seen() == []
    if way == "inner":
        assert [a[:2] for a in result.answers] == [(401, "unauthorized")], result.errors
        if name != "wget":      # it drops the body of a 401
            assert json.loads(result.answers[0][2])["evervault-error-code"] == "unauthorized"
    elif result.answers:
        assert result.answers[0][:2] == (407, "proxy-authentication-required")
    else:
        assert result.code != 0
        assert "407" in result.errors or "Proxy Authentication Required" in result.errors


@pytest.mark.parametrize("name", [c.name for c in CLIENTS])
def test_a_client_that_does_not_trust_us(egress, origin, foreign_ca, build, tmp_path, name):
    """It says certificate to its user, and our log says why to us."""
    client = BY_NAME[name]
    kind = "egress-plain" if "egress-plain" in client.kinds else client.kinds[0]
    plan = Plan(egress, kind, "connect" if kind != "egress-plain" else None,
                [("GET", f"https://localhost:{origin.port}/", None)], foreign_ca, tmp_path)
    # wget (GnuTLS) looks at the certificate when the handshake is through.
    event = "tunnel unused" if name == "wget" else "tunnel handshake failed"
    with egress.logs_more(f"{event} host=localhost"):
        result = client.run(plan, build)
    assert result.answers == [] and result.code != 0
    assert "certificate" in result.errors.lower() or "PKIX" in result.errors
    line = [li for li in egress.relayd.text().splitlines() if event in li][-1]
    assert "client=127.0.0.1" in line and "trust the CA" in line
    assert origin.seen() == []


@pytest.mark.parametrize("name", [c.name for c in CLIENTS if c.kinds != ("egress-plain",)
                                  and "egress-plain" in c.kinds])
def test_a_key_in_clear_is_refused(egress, origin, published_ca, build, tmp_path, name):
    plan = Plan(egress, "egress-plain", "connect",
                [("GET", f"https://localhost:{origin.port}/", None)], published_ca, tmp_path)
    result = BY_NAME[name].run(plan, build)
    assert origin.seen() == []
    if name == "ApacheClient":      # sends nothing unless asked by 407, and here it is not
        assert [a[:2] for a in result.answers] == [(401, "unauthorized")]
    elif result.answers:
        assert result.answers[0][:2] == (407, "proxy-authentication-required")
    else:
        assert "407" in result.errors or "Proxy Authentication Required" in result.errors


@pytest.mark.parametrize("basic", [False, True], ids=["default", "basic-allowed"])
def test_the_jdks_own_client_gets_no_further_than_a_refusal(egress, origin, published_ca, build,
                                                            tmp_path, basic):
    """It knows neither TLS to a proxy nor a Proxy-Authorization of its user's inside; docs/clients
    has a way round.  By itself it reaches nobody, and sends its key nowhere."""
    plan = Plan(egress, "egress-plain", "connect",
                [("GET", f"https://localhost:{origin.port}/", None)], published_ca, tmp_path)
    client = Java("JdkClient", ["-Djdk.http.auth.tunneling.disabledSchemes="] if basic else [])
    with egress.logs_more("refused code=unauthorized status=401 stage=tunnel-request"):
        result = client.run(plan, build)
    assert [a[:2] for a in result.answers] == [(401, "unauthorized")], result
    assert origin.seen() == []
