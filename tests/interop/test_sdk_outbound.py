"""The public Node SDK's outbound relay, unchanged: an app that calls https.request or axios with
tokens, and a destination that sees values.  Nothing but three variables says that it is us:
the CA comes from the `ca` listener."""
import json

import pytest

import egress_stage
from sdk_stage import SDKS, result, run, said, start, start_under_run, wrong

CARD = "4111111111111111"
BY = ["https", "url", "string", "axios"]


def allow(stack, app, *destinations):
    """The app's list, live."""
    egress_stage.allow(stack, {"destinations": list(destinations)}, app)


def requests(stack, origin, app="app"):
    """One in each form that an app has for it."""
    body = json.dumps({"card": stack.token(CARD, app=app)})
    return [{"by": by, "port": origin.port, "body": body} for by in BY]


def check_open(stack, origin, answers):
    want = json.dumps({"card": CARD})
    assert [a["status"] for a in answers] == [200] * len(answers), answers
    assert [a["body"] for a in answers] == [want] * len(answers)
    seen = origin.seen()
    assert [s.body.decode() for s in seen] == [want] * len(answers)
    for s in seen:
        assert b"proxy-authorization" not in s.head.lower()
    for text in (CARD, stack.app()[1]):
        assert text not in stack.logs()


# A URL is compared by its host and port, what has options by its host alone.
@pytest.mark.parametrize("host", ["localhost", "*host"])
@pytest.mark.parametrize("sdk", SDKS)
def test_decryption_domains(egress, origin, sdk, host):
    answers = result(egress, sdk, "outbound", domains=[host, f"{host}:{origin.port}"],
                     requests=requests(egress, origin))
    check_open(egress, origin, answers)


@pytest.mark.parametrize("sdk", SDKS)
def test_an_agent_for_one_request(egress, origin, sdk):
    answers = result(egress, sdk, "agent", requests=requests(egress, origin))
    check_open(egress, origin, answers)


@pytest.mark.parametrize("sdk", SDKS)
def test_the_list_comes_from_the_app_s_record(egress, origin, sdk):
    allow(egress, sdk, {"host": "localhost", "port": origin.port})
    answers = result(egress, sdk, "outbound", app=sdk, requests=requests(egress, origin, sdk))
    check_open(egress, origin, answers)


# 6.3 and later take the list once, when they are told to enable it: their own fault.
@pytest.mark.parametrize("sdk", [s for s in SDKS if s != "sdk-6"])
def test_a_changed_record_reaches_an_sdk_that_polls(egress, origin, sdk):
    app = f"polling-{sdk}"
    allow(egress, app, {"host": "api.example.com"})
    node = start(egress, sdk, "polling", app=app, requests=requests(egress, origin, app))
    assert node.stderr.readline() == b"polling\n"
    allow(egress, app, {"host": "api.example.com"}, {"host": "localhost", "port": origin.port})
    before, after = said(node)["result"]
    # Not in the list: straight to the destination, with the token as it is.
    assert (before["status"], "ev:" in before["body"]) == (200, True)
    assert (after["status"], after["body"]) == (200, json.dumps({"card": CARD}))


# ---- relayctl run ----------------------------------------------------------------------

@pytest.mark.parametrize("sdk", SDKS)
def test_under_relayctl_run(egress, origin, sdk):
    """Its calls of the key API do not go through the proxy, what it sends to the destination
    does."""
    app = f"run-{sdk}"
    sealed = said(start_under_run(egress, sdk, "encrypt", app=app, values=[CARD]))["result"]
    opened = said(start_under_run(egress, sdk, "decrypt", app=app, values=sealed))
    assert opened == {"result": [CARD]}
    allow(egress, app, {"host": "localhost", "port": origin.port})
    answers = said(start_under_run(egress, sdk, "outbound", app=app,
                                   requests=requests(egress, origin, app)))["result"]
    check_open(egress, origin, answers)


# ---- refusals --------------------------------------------------------------------------

@pytest.mark.parametrize("sdk", SDKS)
def test_a_destination_that_the_app_may_not_reach(egress, origin, sdk):
    allow(egress, f"limited-{sdk}", {"host": "api.example.com"})
    domains = ["localhost", f"localhost:{origin.port}"]
    for case, plan in (("outbound", {"domains": domains}), ("agent", {})):
        answers = result(egress, sdk, case, app=f"limited-{sdk}",
                         requests=requests(egress, origin, f"limited-{sdk}"), **plan)
        assert [(a["status"], a["code"]) for a in answers] == \
            [(403, "forbidden-destination")] * len(BY)
    assert origin.seen() == []


@pytest.mark.parametrize("sdk", SDKS)
def test_a_wrong_key(egress, origin, sdk):
    key, each = wrong(egress.app()[1]), requests(egress, origin)
    answers = result(egress, sdk, "outbound", key=key,
                     domains=["localhost", f"localhost:{origin.port}"], requests=each)
    assert [(a["status"], a["code"]) for a in answers] == [(401, "unauthorized")] * len(BY)
    answers = result(egress, sdk, "agent", key=key, requests=each)
    assert [(a["status"], a["code"]) for a in answers] == \
        [(407, "proxy-authentication-required")] * len(BY)
    assert origin.seen() == []


@pytest.mark.parametrize("sdk", SDKS)
def test_a_wrong_key_that_polls(egress, sdk):
    said_by_sdk = run(egress, sdk, "outbound", key=wrong(egress.app()[1]), requests=[])
    assert "error" in said_by_sdk, said_by_sdk
