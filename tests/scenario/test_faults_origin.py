"""Origins that misbehave, mixed with one that does not.  Peers: TLS clients of a
good relay and of a bad one at once, one installation, the demo origin, and an
origin that follows a script.  Each bad answer has its code, none costs the
good ones anything, and no POST is sent twice."""
import collections
import contextlib
import json
import threading
import time

import pytest

from conftest import DEADLINE_S, route
from faults import fault_load                                           # noqa: F401
from load import CARD
from scripted_origin import OK

PAY = [route("POST", "/pay", encrypt=["$.card.number"], decrypt=["$..*"])]
STALL_MS = 700
CLIENTS, EACH = 10, 3           # of the bad relay, and the requests of each
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def reset_at_once(peer):
    peer.reset()


def reset_inside_the_head(peer):
    peer.fill()
    peer.reset()


def reset_after_the_request(peer):
    peer.request()
    peer.reset()


def reset_inside_its_head(peer):
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    peer.reset()


def reset_inside_its_body(peer):
    peer.request()
    peer.send(JSON + b"Content-Length: 1000\r\n\r\n{")
    peer.reset()


def cut_inside_its_chunks(peer):
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + b"x" * 50)


def stalls_without_a_word(peer):
    peer.request()
    with contextlib.suppress(EOFError):
        peer.fill()


def stalls_inside_its_head(peer):
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Len")
    with contextlib.suppress(EOFError):
        peer.fill()


def answers_before_the_body(peer):
    peer.head()
    peer.send(OK)
    peer.goodbye()


def answers_at_the_first_byte_and_resets(peer):
    peer.take(1)
    peer.send(OK)
    peer.reset()


def speaks_first(peer):
    peer.send(OK)
    peer.request()


def garbage(peer):
    peer.request()
    peer.send(bytes(range(256)) * 8)


def garbage_behind_a_good_answer(peer):
    peer.request()
    peer.send(OK + b"\x00\xffHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
    with contextlib.suppress(EOFError):
        peer.fill()


def two_answers_to_one(peer):
    peer.request()
    peer.send(OK + OK.replace(b"ok", b"no"))
    with contextlib.suppress(EOFError):
        peer.fill()


def two_lengths(peer):
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!")


def endless_head(peer):
    peer.request()
    with contextlib.suppress(OSError):
        peer.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000)


BROKEN = {"upstream-protocol-error"}
SLOW = {"request-timeout"}
# script -> how its requests may end: a code, an answer that begins and is cut,
# or "ok", its answer as it stands
SCRIPTS = {
    reset_at_once: BROKEN | {"upstream-tls-error", "service-unavailable"},
    reset_inside_the_head: BROKEN,
    reset_after_the_request: BROKEN,
    reset_inside_its_head: BROKEN,
    reset_inside_its_body: BROKEN | {"cut"},
    cut_inside_its_chunks: {"cut"},
    stalls_without_a_word: SLOW,
    stalls_inside_its_head: SLOW,
    answers_before_the_body: {"ok"},
    answers_at_the_first_byte_and_resets: {"ok"} | BROKEN,
    speaks_first: {"ok"} | BROKEN,
    garbage: BROKEN,
    garbage_behind_a_good_answer: {"ok"},
    two_answers_to_one: {"ok"},
    two_lengths: BROKEN,
    endless_head: BROKEN,
}


def how_it_ends(stack, number):
    body = json.dumps({"card": {"number": CARD}, "n": number}).encode()
    try:
        reply = stack.post("bad.test", "/pay", body)
    except EOFError:
        return "cut"
    if reply.status == 200 and reply.code is None:
        return "ok" if reply.body == b"ok" else repr(reply.body)
    return reply.code


def mix(stack, bad, load):
    """Requests to bad.test from many clients while the load runs; how they ended."""
    ends = collections.Counter()

    def client(who):
        for i in range(EACH):
            ends[how_it_ends(stack, who * EACH + i)] += 1

    with load:
        load.wait_right(5)
        load.struck()
        clients = [threading.Thread(target=client, args=(who,)) for who in range(CLIENTS)]
        start = time.monotonic()
        for t in clients:
            t.start()
        for t in clients:
            t.join()
        assert time.monotonic() - start < EACH * (STALL_MS / 1000 + 2), "one waited for another"
        load.recovered(10)
        load.notes.update({f"bad-{k}": n for k, n in ends.items()})
    assert sum(ends.values()) == EACH * CLIENTS
    bodies = [body for _, body in bad.requests if body]
    assert len(set(bodies)) == len(bodies), "a POST was sent twice"
    assert CARD.encode() not in b"".join(bodies)
    return set(ends)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda f: f.__name__)
def test_bad_origins_beside_a_good_one(shared, origin, scripted, fault_load, script):
    bad = scripted(script)
    stalls = SCRIPTS[script] == SLOW        # the others are only as slow as this machine
    shared.relay("shop.test", origin, PAY)
    shared.relay("bad.test", bad, PAY, destination={
        "port": bad.port, "responseTimeoutMs": STALL_MS if stalls else DEADLINE_S * 1000})
    load = fault_load(f"origin-{script.__name__}", shared, origin, bad, n=2, pace_s=0.01)
    assert mix(shared, bad, load) <= SCRIPTS[script]


def test_an_origin_that_stalls_inside_its_body(make_stack, origin, scripted, fault_load):
    """An answer that is read whole is a 504; one that has begun is cut."""
    def script(peer):
        head, _ = peer.request()
        json_wanted = b"/pay" in head
        peer.send((JSON if json_wanted else b"HTTP/1.1 200 OK\r\n") +
                  b"Content-Length: 1000\r\n\r\n{")
        with contextlib.suppress(EOFError):
            peer.fill()

    stack = make_stack(conf=f"origin_body_timeout_ms = {STALL_MS}\n")
    bad = scripted(script)
    stack.relay("shop.test", origin, PAY)
    stack.relay("bad.test", bad, PAY)
    load = fault_load("origin-stalls_inside_its_body", stack, origin, bad, n=2, pace_s=0.01)
    assert mix(stack, bad, load) == {"request-timeout"}
    with pytest.raises(EOFError):
        stack.get("bad.test", "/other")
