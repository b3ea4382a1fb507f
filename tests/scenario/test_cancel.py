"""Calls that nobody waits for any more.  Peers: a client whose one body carries
60,000 values, each sealed by a key pair of its own (seconds of work in one call),
and who goes away in the middle; one who only says that it will send no more; a
caller of the engine in plain Python; an engine that counts."""
import json
import socket
import struct

import pytest

from conftest import Origin, running, seal, tokens_in, until
from rpc_client import connect, encrypt

FIELDS = 60_000
BODY = json.dumps([str(i) for i in range(FIELDS)]).encode()    # under 1 MiB: one call
WORK = {"keyScope": "field"}


def statistics(link):
    return link.call("GetStatistics")


@pytest.fixture(scope="module")
def patient(tmp_path_factory, ca):
    """(stack, origin, link to its engine): an engine may take its time."""
    folder = tmp_path_factory.mktemp("cancel")
    with running(folder, ca, conf="engine_timeout_ms = 60000\n") as stack:
        origin = Origin(folder, ca)
        stack.relay("shop.test", origin, seal("POST", "/", "$[*]"), **WORK)
        with connect(stack) as link:
            yield stack, origin, link
        origin.end()


def post_all(client):
    client.send(client.head("POST", "/", [("Content-Type", "application/json"),
                                          ("Content-Length", len(BODY))]) + BODY)


def begun(link, before):
    """The call is in the engine and under way."""
    def check():
        now = statistics(link)
        return now["queue"] == 1 and now["slices"] > before["slices"]
    until("the engine works on it", check)


def idle(link):
    until("the engine is idle", lambda: statistics(link)["queue"] == 0)
    return statistics(link)


def reset(client):
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def gone_without_goodbye(client):
    client.sock.close()


@pytest.mark.parametrize("leave", [reset, gone_without_goodbye])
def test_a_client_that_is_gone_stops_its_call(patient, leave):
    stack, origin, link = patient
    seen, before = len(origin.seen()), statistics(link)
    client = stack.connect("shop.test")
    post_all(client)
    begun(link, before)
    leave(client)
    until("the call is cancelled",
          lambda: statistics(link)["cancelled"] == before["cancelled"] + 1)
    after = idle(link)
    assert after["fields_sealed"] - before["fields_sealed"] < FIELDS
    assert len(origin.seen()) == seen
    assert after["cancelled"] == before["cancelled"] + 1


def test_a_half_close_is_no_cancel(patient):
    """It has sent all it wants to send, and waits for the answer."""
    stack, origin, link = patient
    before = statistics(link)
    with stack.connect("shop.test", timeout=60) as client:
        post_all(client)
        begun(link, before)
        client.half_close()
        reply = client.reply("POST")
    assert reply.status == 200, reply.code
    assert len(set(tokens_in(reply.body))) == FIELDS        # the origin sends back what it got
    after = idle(link)
    assert after["cancelled"] == before["cancelled"]
    assert after["fields_sealed"] - before["fields_sealed"] == FIELDS


def test_a_cancelled_call_stops_within_a_slice(patient):
    """Seen from the protocol: after the answer to Cancel the slice it was at is
    finished, and the next turn sees that nobody waits."""
    stack, _, link = patient
    app = stack.app()[0]
    before = statistics(link)
    call = link.send("Encrypt", encrypt(app, [b"%d" % i for i in range(FIELDS)], scope="field"))
    begun(link, before)
    cancel = link.send("Cancel", {"id": call})
    link.answer(cancel)
    at_cancel = statistics(link)
    after = idle(link)
    assert after["slices"] - at_cancel["slices"] <= 2
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["fields_sealed"] - before["fields_sealed"] < FIELDS


def test_a_call_past_its_deadline_is_stopped(make_stack, origin):
    stack = make_stack(conf="engine_timeout_ms = 200\n")
    stack.relay("shop.test", origin, seal("POST", "/", "$[*]"), **WORK)
    with connect(stack) as link:
        before = statistics(link)
        reply = stack.post("shop.test", "/", BODY)
        assert (reply.status, reply.code) == (503, "engine-unavailable")
        until("the call is cancelled",
              lambda: statistics(link)["cancelled"] == before["cancelled"] + 1)
        after = idle(link)
        assert after["fields_sealed"] - before["fields_sealed"] < FIELDS
        # The engine is there for the next one.
        assert stack.post("shop.test", "/", b'["x"]').status == 200
    assert all(len(tokens_in(s.body)) == 1 for s in origin.seen())
