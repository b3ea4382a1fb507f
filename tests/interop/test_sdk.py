"""The public Node SDK, unchanged, majors 4 to 6: every value it seals is opened by the key API,
and what goes wrong is an error that says so."""
import base64
import json
import os
import re

import pytest

import api_stage
from conftest import TOKEN, until
from sdk_stage import SDKS, WITH_ROLE, result, run, wrong

CURVES = ["secp256k1", "prime256v1"]
# The SDK trims strings: no white space at the ends.
VALUES = ["text", "", "ünïcödé ☃ 𝄞", "ev:not:a:token", 'a "quoted" \\\nline', "x" * 50_000,
          12, -0.5, 1e21, 0, True, False, {"a": "b"}, ["x", 1, False], [[["deep"]]],
          {"card": {"number": "4111111111111111", "cvc": 123, "ok": True, "none": None},
           "list": ["a", 1.5, None, [], {}], "é": "ü"}]


def leaves(value):
    if isinstance(value, dict):
        return [x for v in value.values() for x in leaves(v)]
    if isinstance(value, list):
        return [x for v in value for x in leaves(v)]
    return [value]


# ---- values ----------------------------------------------------------------------------

@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("sdk", SDKS)
def test_every_value_there_and_back(egress, sdk, curve):
    sealed = result(egress, sdk, "encrypt", values=VALUES, options={"curve": curve})
    for was, now in zip(VALUES, sealed, strict=True):
        for before, after in zip(leaves(was), leaves(now), strict=True):
            assert TOKEN.fullmatch(str(after).encode()) or (before in (None, "") and
                                                            after == before), (before, after)
    # Its own decrypt, then one that knows nothing of it.
    assert result(egress, sdk, "decrypt", values=sealed) == VALUES
    reply = api_stage.call(egress, "POST", "/decrypt", sealed, api_stage.by_basic(egress))
    assert (reply.status, reply.json()) == (200, VALUES)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("sdk", WITH_ROLE)
def test_data_role(egress, sdk, curve):
    value = {"card": "4111111111111111", "n": 12, "b": True}
    sealed, = result(egress, sdk, "encrypt", values=[value], role="pci-1",
                     options={"curve": curve})
    for token in leaves(sealed):
        seen = api_stage.call(egress, "POST", "/inspect", {"token": token},
                              api_stage.by_basic(egress))
        assert (seen.status, seen.json().get("role")) == (200, "pci-1"), seen
    assert result(egress, sdk, "decrypt", values=[sealed]) == [value]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("sdk", SDKS)
def test_files(egress, sdk, curve):
    files = [{"base64": base64.b64encode(data).decode()}
             for data in (b"x", bytes(range(256)) * 700, os.urandom(1 << 20))]
    sealed = result(egress, sdk, "encrypt", values=files, options={"curve": curve})
    for file, now in zip(files, sealed, strict=True):
        data = base64.b64decode(now["base64"])
        assert data.startswith(b"%EVENC")
        reply = api_stage.call(egress, "POST", "/decrypt", data, api_stage.by_basic(egress),
                               content_type="application/octet-stream")
        assert reply.status == 200 and reply.field("Content-Type") == "application/octet-stream"
        assert reply.body == base64.b64decode(file["base64"])
    assert result(egress, sdk, "decrypt", values=sealed) == files


def test_what_one_major_sealed_any_other_opens(egress):
    sealed = [result(egress, sdk, "encrypt", values=["card", 7, False], options={"curve": curve})
              for sdk in SDKS for curve in CURVES]
    for sdk in (SDKS[0], SDKS[-1]):
        assert result(egress, sdk, "decrypt", values=sealed) == [["card", 7, False]] * len(sealed)


def test_encryption_mode_needs_no_key(egress):
    sealed = result(egress, "sdk-6", "encrypt", key=None, values=["card"],
                    options={"encryptionMode": True, "curve": "prime256v1"})
    assert result(egress, "sdk-6", "decrypt", values=sealed) == ["card"]


@pytest.mark.parametrize("curve,member", [("secp256k1", "ecdhKey"),
                                          ("prime256v1", "ecdhP256Key")])
def test_a_public_key_given_by_hand(egress, curve, member):
    keys = api_stage.call(egress, "GET", "/cages/key", fields=api_stage.by_key(egress)).json()
    sealed = result(egress, "sdk-6", "encrypt", key="pk:" + keys[member], values=["card"],
                    options={"curve": curve})
    assert result(egress, "sdk-6", "decrypt", values=sealed) == ["card"]


# ---- refusals --------------------------------------------------------------------------

@pytest.mark.parametrize("sdk", SDKS)
def test_a_wrong_key(egress, sdk):
    key = wrong(egress.app()[1])
    sealed = result(egress, sdk, "encrypt", values=["card"])
    assert "error" in run(egress, sdk, "encrypt", key=key, values=["card"])
    said = run(egress, sdk, "decrypt", key=key, values=sealed)
    assert re.search("unauthorized|not good|credential|key", said["error"]["text"], re.I), said
    said = run(egress, sdk, "token", key=key, payload=sealed[0])
    assert "error" in said, said


@pytest.mark.parametrize("sdk", SDKS)
def test_a_token_of_another_app(egress, sdk):
    sealed = result(egress, sdk, "encrypt", app="other", values=["card"])
    said = run(egress, sdk, "decrypt", values=sealed)
    assert re.search("decrypt|does not open", said["error"]["text"], re.I), said
    assert "card" not in json.dumps(said)


# ---- client-side tokens ----------------------------------------------------------------

def by_browser(stack, token, payload):
    fields = [*api_stage.by_token(token), ("Origin", "https://shop.example.com")]
    return api_stage.call(stack, "POST", "/decrypt", payload, fields)


@pytest.mark.parametrize("sdk", SDKS)
def test_client_side_token(egress, sdk):
    sealed, other = result(egress, sdk, "encrypt", values=[{"b": "card", "a": [1]}, "more"])
    made = result(egress, sdk, "token", payload=sealed)
    assert made["id"].startswith("client_side_token_")
    assert 290_000 <= made["expiry"] - made["createdAt"] <= 300_000
    reply = by_browser(egress, made["token"], sealed)
    assert (reply.status, reply.json()) == (200, {"b": "card", "a": [1]})
    assert reply.field("Access-Control-Allow-Origin") == "*"
    # Another order of members is the same payload; another value is another one.
    again = by_browser(egress, made["token"], dict(reversed(sealed.items())))
    assert (again.status, again.json()) == (200, {"b": "card", "a": [1]})
    for payload in (other, sealed["b"], {**sealed, "c": other}):
        api_stage.problem(by_browser(egress, made["token"], payload), 401, "unauthorized")
    api_stage.problem(by_browser(egress, made["token"][:-4] + "AAAA", sealed), 401, "unauthorized")


@pytest.mark.parametrize("sdk", SDKS)
def test_client_side_token_that_ends(egress, sdk):
    """The SDK's only way to say when: milliseconds that we read as from now."""
    sealed, = result(egress, sdk, "encrypt", values=["card"])
    made = result(egress, sdk, "token", payload=sealed, expiry=1500)
    assert 1000 <= made["expiry"] - made["createdAt"] <= 1500
    until("the token has ended", lambda: by_browser(egress, made["token"], sealed).status != 200)
    api_stage.problem(by_browser(egress, made["token"], sealed), 401, "unauthorized")
